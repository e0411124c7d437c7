/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The order of entries in an executor, against a model: the best priority first; among
 * equals those that go newest first, the last one first, and then first come, first
 * served, whatever is boosted, brought forward or forgotten meanwhile. And what becomes of
 * an entry that a sleeping thread was given and does not come to run, or that waits behind
 * a busy worker. */

#include <unistd.h>

#include "store/threads/bs-executor-private.h"

#define QUEUE 1

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

static gboolean
note_other (gpointer data)
{
  g_array_append_val (ran, *(guint *) data);

  return G_SOURCE_REMOVE;
}

/* A source of the application comes between entries of better and of worse priority. */
static void
test_beside_others (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (BsExecutor) executor = bs_executor_new_in_context (context);
  g_autoptr (GSource) other = g_idle_source_new ();
  Entry entries[] = { { .entry.run = entry_run, .id = 0 }, { .entry.run = entry_run, .id = 2 } };
  guint id = 1;

  ran = g_array_new (FALSE, FALSE, sizeof (guint));
  bs_executor_submit (executor, &entries[1].entry, 10);
  bs_executor_submit (executor, &entries[0].entry, 0);
  g_source_set_priority (other, 5);
  g_source_set_callback (other, note_other, &id, NULL);
  g_source_attach (other, context);

  for (guint i = 0; i < 3; i++)
    {
      g_assert_true (g_main_context_iteration (context, FALSE));
      g_assert_cmpuint (ran->len, ==, i + 1);
      g_assert_cmpuint (g_array_index (ran, guint, i), ==, i);
    }

  g_array_unref (ran);
  bs_executor_close (executor);
}

/* An entry is boosted past a source of the application. */
static void
test_boosted_beside_others (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (BsExecutor) executor = bs_executor_new_in_context (context);
  g_autoptr (GSource) other = g_idle_source_new ();
  Entry entry = { .entry.run = entry_run, .id = 0 };
  guint id = 1;

  ran = g_array_new (FALSE, FALSE, sizeof (guint));
  bs_executor_submit (executor, &entry.entry, 10);
  g_source_set_priority (other, 5);
  g_source_set_callback (other, note_other, &id, NULL);
  g_source_attach (other, context);
  bs_executor_boost (executor, &entry.entry, 0);

  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (g_main_context_iteration (context, FALSE));
      g_assert_cmpuint (ran->len, ==, i + 1);
      g_assert_cmpuint (g_array_index (ran, guint, i), ==, i);
    }

  g_array_unref (ran);
  bs_executor_close (executor);
}

/* The one worker is busy while an entry waits and a thread sleeps that waits for many. */
typedef struct
{
  BsSleeper sleeper;
  BsExecutor *executor;
  BsExecutorEntry busy;
  BsExecutorEntry waiting;
  GMutex mutex;
  GCond cond;
  guint n_steps; /* of `busy`, which begins and ends */
  gboolean is_released;
  GThread *runner; /* of `waiting`; NULL: it has not run */
} Crowded;

static Crowded crowded;

static void
run_busy (BsExecutorEntry *entry)
{
  g_mutex_lock (&crowded.mutex);
  crowded.n_steps++;
  g_cond_broadcast (&crowded.cond);
  while (!crowded.is_released)
    g_cond_wait (&crowded.cond, &crowded.mutex);
  crowded.n_steps++;
  g_cond_broadcast (&crowded.cond);
  g_mutex_unlock (&crowded.mutex);
}

static void
await_busy (guint n_steps)
{
  g_mutex_lock (&crowded.mutex);
  while (crowded.n_steps < n_steps)
    g_cond_wait (&crowded.cond, &crowded.mutex);
  g_mutex_unlock (&crowded.mutex);
}

static void
run_waiting (BsExecutorEntry *entry)
{
  crowded.runner = g_thread_self ();
  bs_sleeper_wake (&crowded.sleeper);
}

static gpointer
boost_while_asleep (gpointer data)
{
  gboolean sleeps = FALSE;

  while (!sleeps)
    {
      g_thread_yield ();
      g_mutex_lock (&crowded.sleeper.mutex);
      sleeps = crowded.sleeper.sleeps;
      g_mutex_unlock (&crowded.sleeper.mutex);
    }
  bs_executor_boost (crowded.executor, &crowded.waiting, BS_PRIORITY_BLOCKING);

  return NULL;
}

/* An entry that a blocking call comes to wait for needs no worker. */
static void
test_boosted_for_helper (void)
{
  g_autoptr (BsExecutor) executor = bs_executor_new ("executor", 1, NULL);
  GThread *booster;

  alarm (120);
  crowded.executor = executor;
  crowded.sleeper.awaits_many = TRUE;
  crowded.busy.run = run_busy;
  crowded.waiting.run = run_waiting;
  bs_executor_submit (executor, &crowded.busy, G_PRIORITY_DEFAULT);
  await_busy (1);
  bs_executor_submit (executor, &crowded.waiting, G_PRIORITY_DEFAULT);

  booster = g_thread_new ("booster", boost_while_asleep, NULL);
  bs_executor_sleep (executor, &crowded.sleeper);
  g_assert_true (crowded.runner == g_thread_self ());
  g_thread_join (booster);

  g_mutex_lock (&crowded.mutex);
  crowded.is_released = TRUE;
  g_cond_broadcast (&crowded.cond);
  g_mutex_unlock (&crowded.mutex);
  await_busy (2);
  bs_sleeper_clear (&crowded.sleeper);
  bs_executor_close (executor);
  alarm (0);
}

/* A thread that sleeps, and entries of the queue that it waits for. */
typedef struct
{
  BsSleeper sleeper; /* first */
  BsExecutor *executor;
  BsExecutorEntry outer; /* runs on the thread that sleeps */
  BsExecutorEntry given; /* to the sleeper */
  GThread *thread;
  GMutex mutex;
  GCond cond;
  GThread *runner; /* of `given`; NULL: it has not run */
} Handover;

static void
note_runner (BsExecutorEntry *entry)
{
  Handover *self = (Handover *) ((char *) entry - G_STRUCT_OFFSET (Handover, given));

  g_mutex_lock (&self->mutex);
  self->runner = g_thread_self ();
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->mutex);
}

static void
await_runner (Handover *self)
{
  g_mutex_lock (&self->mutex);
  while (self->runner == NULL)
    g_cond_wait (&self->cond, &self->mutex);
  g_mutex_unlock (&self->mutex);
  g_assert_true (self->runner != self->thread);
}

static void
give (Handover *self)
{
  bs_executor_submit (self->executor, &self->given, BS_PRIORITY_BLOCKING);
  g_assert_true (self->sleeper.given == &self->given);
}

static void
sleep_until_woken (gboolean (*run_awaited) (BsSleeper *sleeper),
                   void (*run) (BsExecutorEntry *entry))
{
  g_autoptr (BsExecutor) executor = bs_executor_new ("executor", 1, NULL);
  Handover self = {
    .sleeper = { .queue = QUEUE, .run_awaited = run_awaited },
    .executor = executor,
    .outer = { .run = run, .queue = QUEUE },
    .given = { .run = note_runner, .queue = QUEUE },
    .thread = g_thread_self (),
  };

  alarm (120);
  bs_executor_sleep (executor, &self.sleeper);
  await_runner (&self);
  alarm (0);

  bs_sleeper_clear (&self.sleeper);
  g_mutex_clear (&self.mutex);
  g_cond_clear (&self.cond);
  bs_executor_close (executor);
}

static gboolean
give_and_wake (BsSleeper *sleeper)
{
  give ((Handover *) sleeper);
  bs_sleeper_wake (sleeper);

  return TRUE;
}

/* The sleeper is woken before it comes to run what it was given. */
static void
test_given_and_woken (void)
{
  sleep_until_woken (give_and_wake, NULL);
}

/* Between what is taken to be run and its begin, the sleeper is given another entry. */
static void
run_and_be_given (BsExecutorEntry *entry)
{
  Handover *self = (Handover *) ((char *) entry - G_STRUCT_OFFSET (Handover, outer));

  bs_sleeper_set_busy (&self->sleeper, FALSE);
  give (self);
  bs_sleeper_set_busy (&self->sleeper, TRUE);
  /* This entry may wait for the other one. */
  await_runner (self);
  bs_sleeper_wake (&self->sleeper);
}

static gboolean
give_outer (BsSleeper *sleeper)
{
  Handover *self = (Handover *) sleeper;

  bs_executor_submit (self->executor, &self->outer, BS_PRIORITY_BLOCKING);

  return TRUE;
}

static void
test_given_and_busy (void)
{
  sleep_until_woken (give_outer, run_and_be_given);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/executor/order", test_order);
  g_test_add_func ("/executor/beside-others", test_beside_others);
  g_test_add_func ("/executor/boosted-beside-others", test_boosted_beside_others);
  g_test_add_func ("/executor/boosted-for-helper", test_boosted_for_helper);
  g_test_add_func ("/executor/given-and-woken", test_given_and_woken);
  g_test_add_func ("/executor/given-and-busy", test_given_and_busy);

  return g_test_run ();
}
