/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The order of entries in an executor, against a model: the best priority first; among
 * equals those that go newest first, the last one first, and then first come, first
 * served, whatever is boosted, brought forward or forgotten meanwhile. */

#include "store/threads/bs-executor-private.h"

#define MAX_ENTRIES 60

typedef struct
{
  BsExecutorEntry entry;
  guint id;
} Entry;

typedef struct
{
  guint id;
  int priority;
  gboolean newest_first;
  gint64 order;
} Expected;

static GArray *ran; /* of ids */

static void
entry_run (BsExecutorEntry *entry)
{
  g_array_append_val (ran, ((Entry *) entry)->id);
}

static int
expected_compare (gconstpointer a, gconstpointer b)
{
  const Expected *left = a, *right = b;

  if (left->priority != right->priority)
    return left->priority < right->priority ? -1 : 1;
  if (left->newest_first != right->newest_first)
    return left->newest_first ? -1 : 1;
  return (left->order < right->order) != left->newest_first ? -1 : 1;
}

static Expected *
find (GArray *expected, guint id)
{
  for (guint i = 0; i < expected->len; i++)
    if (g_array_index (expected, Expected, i).id == id)
      return &g_array_index (expected, Expected, i);

  return NULL;
}

typedef struct
{
  BsExecutor *executor;
  GMainContext *context;
  Entry entries[MAX_ENTRIES];
  guint n_entries;
  GArray *expected;
  gint64 order;
} Model;

static void
submit (Model *model, int priority, gboolean newest_first)
{
  Entry *entry = &model->entries[model->n_entries];
  Expected expected = { model->n_entries, priority, newest_first, model->order++ };

  *entry = (Entry){ .entry.run = entry_run, .id = model->n_entries++ };
  entry->entry.waiting.newest_first = newest_first;
  bs_executor_submit (model->executor, &entry->entry, priority);
  g_array_append_val (model->expected, expected);
}

/* A worse priority changes nothing; a better one puts the entry behind its equals. */
static void
boost (Model *model, guint id, int priority)
{
  Expected *expected = find (model->expected, id);

  bs_executor_boost (model->executor, &model->entries[id].entry, priority);
  if (expected == NULL || expected->priority <= priority)
    return;

  expected->priority = priority;
  expected->order = model->order++;
}

static void
bring_forward (Model *model, guint id)
{
  Expected *expected = find (model->expected, id);

  bs_executor_bring_forward (model->executor, &model->entries[id].entry);
  if (expected == NULL)
    return;

  expected->newest_first = TRUE;
  expected->order = model->order++;
}

static void
forget (Model *model, guint id)
{
  Expected *expected = find (model->expected, id);

  g_assert_cmpint (bs_executor_forget (model->executor, &model->entries[id].entry), ==,
                   expected != NULL);
  if (expected != NULL)
    g_array_remove_index (model->expected,
                          (guint) (expected - &g_array_index (model->expected, Expected, 0)));
}

/* Each dispatch of the context runs one. */
static void
run_best (Model *model)
{
  guint n_before = ran->len;

  g_array_sort (model->expected, expected_compare);
  g_assert_true (g_main_context_iteration (model->context, FALSE));
  g_assert_cmpuint (ran->len, ==, n_before + 1);
  g_assert_cmpuint (g_array_index (ran, guint, n_before), ==,
                    g_array_index (model->expected, Expected, 0).id);
  g_array_remove_index (model->expected, 0);
}

static void
test_order (void)
{
  for (guint round = 0; round < 300; round++)
    {
      Model model = { .context = g_main_context_new () };
      int n_priorities = g_test_rand_int_range (1, 20);

      ran = g_array_new (FALSE, FALSE, sizeof (guint));
      model.expected = g_array_new (FALSE, FALSE, sizeof (Expected));
      model.executor = bs_executor_new_in_context (model.context);
      while (model.n_entries < MAX_ENTRIES)
        {
          int priority = g_test_rand_int_range (0, n_priorities);
          guint id = model.n_entries > 0 ? (guint) g_test_rand_int () % model.n_entries : 0;

          switch (g_test_rand_int_range (0, 9))
            {
            case 0:
              if (model.n_entries > 0)
                boost (&model, id, priority);
              break;
            case 1:
              if (model.n_entries > 0)
                forget (&model, id);
              break;
            case 2:
              if (model.expected->len > 0)
                run_best (&model);
              break;
            case 3:
              if (model.n_entries > 0)
                bring_forward (&model, id);
              break;
            default:
              submit (&model, priority, g_test_rand_int_range (0, 3) == 0);
            }
        }
      while (model.expected->len > 0)
        run_best (&model);
      g_assert_false (g_main_context_iteration (model.context, FALSE));

      bs_executor_close (model.executor);
      bs_executor_unref (model.executor);
      g_main_context_unref (model.context);
      g_array_unref (model.expected);
      g_array_unref (ran);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/executor/order", test_order);

  return g_test_run ();
}
