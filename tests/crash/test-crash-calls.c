/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "power-cut.h"
#include "run.h"

#include <errno.h>

#include "backing-contract.h"

/* Each system call that a workload makes fails, with each errno that it can
 * fail with. The step is tried again, the workload goes on to its end, and the
 * power is cut then; with "-m slow" after any event since the failure, too. */

typedef struct
{
  guint64 nth;
  InterposeCall call;
  int code;
  gboolean onwards;
} Failure;

static char *
describe (const Failure *failure)
{
  return g_strdup_printf ("call %" G_GUINT64_FORMAT " (%s): %s%s", failure->nth,
                          interpose_get_name (failure->call),
                          interpose_get_code_name (failure->code),
                          failure->onwards ? ", and so on" : "");
}

/* That the disk is full, or that there are no more descriptors, does not end
 * with the call that meets it first. */
static gboolean
lasts (int code)
{
  return code == ENOSPC || code == EMFILE;
}

/* The calls that a run of the workload makes. */
static GArray *
list_calls (Run *run)
{
  GArray *calls = g_array_new (FALSE, FALSE, sizeof (InterposeCall));
  g_autofree char *directory = run_make_directory (run, "count");
  const InterposePlan plan = run_make_plan (run);

  journal_restart (run->journal, NULL);
  interpose_begin (directory, &plan, NULL);
  run_workload (run, directory);
  interpose_end ();

  for (guint64 n = 1; n <= interpose_get_n_calls (); n++)
    {
      InterposeCall call = interpose_get_call (n);

      g_array_append_val (calls, call);
    }

  return calls;
}

/* All that can happen to them. */
static GArray *
list_failures (Run *run)
{
  GArray *failures = g_array_new (FALSE, FALSE, sizeof (Failure));
  g_autoptr (GArray) calls = list_calls (run);

  for (guint i = 0; i < calls->len; i++)
    {
      InterposeCall call = g_array_index (calls, InterposeCall, i);

      for (const int *code = interpose_get_codes (call); *code != 0; code++)
        {
          Failure failure = { i + 1, call, *code, FALSE };

          g_array_append_val (failures, failure);
          failure.onwards = TRUE;
          if (lasts (*code))
            g_array_append_val (failures, failure);
        }
    }

  return failures;
}

/* After a sync that failed, another may fail too, until all is done anew; which may
 * also be done at once. */
static gboolean
retry (Run *run, gpointer state, guint step, GError **error)
{
  const Workload *workload = run->setting->workload;
  const gboolean lost_data = interpose_lost_data ();
  g_autoptr (GError) local_error = NULL;

  if (lost_data && g_rand_boolean (run->rand))
    return workload->redo (state, error) && workload->step (state, step, error);

  if (workload->step (state, step, &local_error))
    return TRUE;

  if (!lost_data || local_error->domain == WORKLOAD_BROKEN)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&local_error), "tried again: ");
      return FALSE;
    }

  return workload->redo (state, error) && workload->step (state, step, error);
}

/* Returns how many steps failed. */
static guint
run_steps (Run *run, const char *what)
{
  const Workload *workload = run->setting->workload;
  gpointer state = workload->start (run->directory, run->journal);
  g_autoptr (GError) error = NULL;
  guint n_failed = 0;

  for (guint i = 0; i < workload->n_steps && error == NULL; i++)
    {
      if (workload->step (state, i, &error))
        continue;

      if (error->domain != WORKLOAD_BROKEN && interpose_was_hit () && n_failed == 0)
        {
          n_failed++;
          interpose_relent ();
          g_clear_error (&error);
          if (workload->verify (state, &error))
            retry (run, state, i, &error);
        }
      if (error != NULL)
        run_fail (run, "%s: step %u (%s): %s", what, i, workload->describe (i), error->message);
    }

  workload->stop (state);

  return n_failed;
}

/* Promises made in spite of the failure outlive a power cut. */
static void
check_after_power_cut (Run *run,
                       const EventLog *log,
                       gsize n_events,
                       PowerCutStyle style,
                       const char *failure)
{
  g_autofree char *directory = run_make_directory (run, "cut");
  g_autofree char *what =
    g_strdup_printf ("%s, and a power cut after %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT
                     " events, %s",
                     failure, n_events, event_log_get_n_events (log), power_cut_get_name (style));

  power_cut_apply (log, n_events, style, run->rand, directory);
  run_check (run, directory, journal_count_until (run->journal, n_events), what);
  remove_test_directory (directory);
}

/* Any moment from the failed call on. The few of the step that failed, or that went on in spite
 * of the failure, come as often as the many after them. */
static gsize
draw_moment (Run *run, const EventLog *log, gsize first)
{
  const gsize n_moments = event_log_get_n_events (log) - first + 1;
  const guint scale = g_rand_int_range (run->rand, 0, g_bit_storage (n_moments));

  return first + g_rand_int_range (run->rand, 0, n_moments >> scale);
}

/* A moment at which a promise was just made, or the end. */
static gsize
draw_promise (Run *run, const EventLog *log, gsize first)
{
  const gsize n_marks = journal_get_n_marks (run->journal);
  const gsize n =
    g_rand_int_range (run->rand, journal_count_until (run->journal, first), n_marks + 1);

  return n < n_marks ? journal_get_mark (run->journal, n)->n_events : event_log_get_n_events (log);
}

static void
cut_since_failure (Run *run, const EventLog *log, const char *failure)
{
  const gsize first = interpose_get_hit_event ();
  const gsize moments[] = { draw_moment (run, log, first), draw_promise (run, log, first) };

  for (guint i = 0; i < G_N_ELEMENTS (moments); i++)
    check_after_power_cut (run, log, moments[i],
                           g_rand_int_range (run->rand, 0, POWER_CUT_N_STYLES), failure);
}

/* Returns how many steps failed. */
static guint
run_failure (Run *run, const Failure *failure)
{
  g_autoptr (EventLog) log = event_log_new (run->directory);
  g_autofree char *what = describe (failure);
  InterposePlan plan = run_make_plan (run);
  gsize n_events;
  guint n_failed;

  plan.nth = failure->nth;
  plan.code = failure->code;
  plan.onwards = failure->onwards;

  journal_restart (run->journal, log);
  interpose_begin (run->directory, &plan, log);
  n_failed = run_steps (run, what);
  interpose_end ();
  n_events = event_log_get_n_events (log);

  if (!interpose_was_hit () && !run->setting->workload->varies)
    run_fail (run, "%s: was never made", what);
  if (interpose_get_n_open () != 0)
    run_fail (run, "%s: %u descriptors were not closed", what, interpose_get_n_open ());

  run_check (run, run->directory, journal_get_n_marks (run->journal), what);
  check_after_power_cut (run, log, n_events, POWER_CUT_LOSES_ALL, what);
  check_after_power_cut (run, log, n_events, POWER_CUT_RANDOM, what);
  if (g_test_slow ())
    cut_since_failure (run, log, what);

  return n_failed;
}

static void
test_calls (gconstpointer data)
{
  g_autoptr (GArray) failures = NULL;
  guint n_failed = 0;
  Run run;
  guint n;

  run_init (&run, data);
  failures = list_failures (&run);
  run_set_n_cases (&run, failures->len);

  while (run_next (&run, &n))
    n_failed += run_failure (&run, &g_array_index (failures, Failure, n));

  /* A few calls may be such that an engine does without them. */
  if (run.n_done > 100)
    g_assert_cmpuint (n_failed, >, 0);
  run_report (&run, "failing calls");
  g_test_message ("%u steps failed and were tried again", n_failed);
  run_clear (&run);
}

/* The disk gives errors and nothing else, from one call on until the step has
 * failed, or for good. Not even what failed can be cleaned up: some of what
 * follows may fail, but nothing that is returned is wrong. */
static void
run_gone (Run *run, guint64 nth, gboolean comes_back, const char *what)
{
  const Workload *workload = run->setting->workload;
  InterposePlan plan = run_make_plan (run);
  gpointer state;

  plan.nth = nth;
  plan.code = EIO;
  plan.onwards = TRUE;
  journal_restart (run->journal, NULL);
  interpose_begin (run->directory, &plan, NULL);
  state = workload->start (run->directory, run->journal);

  for (guint i = 0; i < workload->n_steps; i++)
    {
      g_autoptr (GError) error = NULL;

      if (!workload->step (state, i, &error) && comes_back)
        interpose_relent ();
      if (error != NULL && error->domain == WORKLOAD_BROKEN)
        run_fail (run, "%s: step %u (%s): %s", what, i, workload->describe (i), error->message);
    }

  workload->stop (state);
  interpose_end ();

  if (interpose_get_n_open () != 0)
    run_fail (run, "%s: %u descriptors were not closed", what, interpose_get_n_open ());
  run_check (run, run->directory, journal_get_n_marks (run->journal), what);
}

static void
test_gone (gconstpointer data)
{
  g_autoptr (GArray) calls = NULL;
  Run run;
  guint n;

  run_init (&run, data);
  calls = list_calls (&run);
  run_set_n_cases (&run, 2 * calls->len);

  while (run_next (&run, &n))
    {
      const gboolean comes_back = n % 2 != 0;
      const char *name = interpose_get_name (g_array_index (calls, InterposeCall, n / 2));
      g_autofree char *what = g_strdup_printf ("EIO from call %u (%s) on%s", n / 2 + 1, name,
                                               comes_back ? " until a step fails" : "");

      run_gone (&run, n / 2 + 1, comes_back, what);
    }

  run_report (&run, "moments when the disk goes");
  run_clear (&run);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  run_add_tests ("calls", test_calls);
  run_add_tests ("disk-gone", test_gone);

  return g_test_run ();
}
