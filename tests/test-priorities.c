/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

#include "store/threads/bs-priority-queue-private.h"

#include <dlfcn.h>

/* Priorities of any number. A main context keeps a list of those that its sources have,
 * and searches it, so what counts is how many sources the library attaches. The library
 * is linked into this program, and calls the functions below in place of GLib's. */

static int n_attached; /* atomic */
static int n_moved;    /* atomic */

guint
g_source_attach (GSource *source, GMainContext *context)
{
  guint (*attach) (GSource *, GMainContext *) = dlsym (RTLD_NEXT, "g_source_attach");

  if (g_strcmp0 (g_source_get_name (source), "backingstore answers") == 0)
    g_atomic_int_inc (&n_attached);
  return attach (source, context);
}

void
g_source_set_priority (GSource *source, int priority)
{
  void (*set_priority) (GSource *, int) = dlsym (RTLD_NEXT, "g_source_set_priority");

  if (g_strcmp0 (g_source_get_name (source), "backingstore answers") == 0)
    g_atomic_int_inc (&n_moved);
  set_priority (source, priority);
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const BsPriorityEntry *left = a, *right = b;

  if (left->priority != right->priority)
    return left->priority < right->priority ? -1 : 1;
  return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

/* Entries come and go, and change their priorities, as in a sorted list. */
static void
test_queue (void)
{
  enum
  {
    N = 400
  };
  BsPriorityEntry entries[N] = { 0 };
  g_autoptr (GSequence) model = g_sequence_new (NULL);
  GSequenceIter *iters[N] = { NULL };
  BsPriorityQueue queue;

  bs_priority_queue_init (&queue);
  for (guint round = 0; round < 50000; round++)
    {
      guint at = g_test_rand_int_range (0, N);
      BsPriorityEntry *first = bs_priority_queue_peek (&queue);

      if (g_sequence_get_length (model) == 0)
        g_assert_null (first);
      else
        g_assert_true (g_sequence_get (g_sequence_get_begin_iter (model)) == first);

      if (iters[at] != NULL)
        {
          g_assert_cmpuint (entries[at].index, !=, 0);
          bs_priority_queue_take (&queue, &entries[at]);
          g_clear_pointer (&iters[at], g_sequence_remove);
        }
      else
        {
          g_assert_cmpuint (entries[at].index, ==, 0);
          bs_priority_queue_push (&queue, &entries[at], g_test_rand_int_range (-20, 20));
          iters[at] = g_sequence_insert_sorted (model, &entries[at],
                                                (GCompareDataFunc) compare_entries, NULL);
        }
    }

  while (g_sequence_get_length (model) > 0)
    {
      GSequenceIter *begin = g_sequence_get_begin_iter (model);

      g_assert_true (g_sequence_get (begin) == bs_priority_queue_pop (&queue));
      g_sequence_remove (begin);
    }
  g_assert_null (bs_priority_queue_pop (&queue));
  bs_priority_queue_clear (&queue);
}

#define N_LOADS 5000

typedef struct
{
  int last_priority;
  guint n_out_of_order;
  guint n_left;
} Order;

static void
loaded_cb (GObject *item, GAsyncResult *result, gpointer data)
{
  Order *order = data;
  int priority = g_task_get_priority (G_TASK (result));
  g_autoptr (GBytes) bytes = bs_item_load_finish (BS_ITEM (item), result, NULL);

  if (bytes == NULL || priority < order->last_priority)
    order->n_out_of_order++;
  order->last_priority = priority;
  order->n_left--;
}

/* Each load has a priority of its own, as where it is a distance from what is seen. */
static void
test_one_source (void)
{
  Order order = { .last_priority = G_MININT, .n_left = N_LOADS };
  g_autoptr (GBytes) bytes = g_bytes_new ("content", 7);
  g_autoptr (BsItem) item = NULL;
  Fixture fixture;

  fixture_set_up (&fixture, G_MAXUINT64);
  item = bs_pool_insert (fixture.pool, bytes);
  g_atomic_int_set (&n_attached, 0);
  g_atomic_int_set (&n_moved, 0);

  /* 7 and N_LOADS have no common divisor. */
  for (guint i = 0; i < N_LOADS; i++)
    bs_item_load_async (item, (int) (i * 7 % N_LOADS) - 100, NULL, loaded_cb, &order);
  g_assert_cmpuint (order.n_left, ==, N_LOADS);
  g_assert_cmpint (g_atomic_int_get (&n_attached), ==, 1);

  while (order.n_left > 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (order.n_out_of_order, ==, 0);
  g_assert_cmpint (g_atomic_int_get (&n_attached), ==, 1);
  /* Once for each answer, and as often as a better one has come. */
  g_assert_cmpint (g_atomic_int_get (&n_moved), <=, N_LOADS + 100);

  g_clear_object (&item);
  fixture_tear_down (&fixture);
}

static gboolean
other_source_cb (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

typedef struct
{
  gboolean other_ran;
  guint n_early; /* answers that are worse than the other source, and came before it */
  guint n_left;
} Others;

static void
beside_others_cb (GObject *item, GAsyncResult *result, gpointer data)
{
  Others *others = data;
  g_autoptr (GBytes) bytes = bs_item_load_finish (BS_ITEM (item), result, NULL);

  if (g_task_get_priority (G_TASK (result)) > 5 && !others->other_ran)
    others->n_early++;
  others->n_left--;
}

/* A source of the application comes between the answers of better and of worse
 * priority. */
static void
test_beside_others (void)
{
  g_autoptr (GBytes) bytes = g_bytes_new ("content", 7);
  g_autoptr (BsItem) item = NULL;
  Others others = { .n_left = 10 };
  Fixture fixture;

  fixture_set_up (&fixture, G_MAXUINT64);
  item = bs_pool_insert (fixture.pool, bytes);

  for (guint i = 0; i < 10; i++)
    bs_item_load_async (item, i, NULL, beside_others_cb, &others);
  g_idle_add_full (5, other_source_cb, &others.other_ran, NULL);

  while (others.n_left > 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (others.other_ran);
  g_assert_cmpuint (others.n_early, ==, 0);

  g_clear_object (&item);
  fixture_tear_down (&fixture);
}

static void
nested_cb (GObject *item, GAsyncResult *result, gpointer data)
{
  guint *n_left = data;
  g_autoptr (GBytes) bytes = bs_item_load_finish (BS_ITEM (item), result, NULL);

  (*n_left)--;
  while (*n_left > 0)
    g_main_context_iteration (NULL, TRUE);
}

/* Each callback runs a loop, which gives the rest of the answers. */
static void
test_nested (void)
{
  g_autoptr (GBytes) bytes = g_bytes_new ("content", 7);
  g_autoptr (BsItem) item = NULL;
  guint n_left = 50;
  Fixture fixture;

  fixture_set_up (&fixture, G_MAXUINT64);
  item = bs_pool_insert (fixture.pool, bytes);

  for (guint i = 0; i < 50; i++)
    bs_item_load_async (item, i * 7 % 50, NULL, nested_cb, &n_left);
  g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (n_left, ==, 0);

  g_clear_object (&item);
  fixture_tear_down (&fixture);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/priorities/queue", test_queue);
  g_test_add_func ("/priorities/one-source", test_one_source);
  g_test_add_func ("/priorities/beside-others", test_beside_others);
  g_test_add_func ("/priorities/nested", test_nested);

  return g_test_run ();
}
