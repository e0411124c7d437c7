/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run.h"


/* Each system call that a workload makes fails, with each errno that it can
 * fail with. */

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
  return g_strdup_printf ("call %" G_GUINT64_FORMAT " (%s): %s%s", failure->nth, interpose_get_name (failure->call),
                          interpose_get_code_name (failure->code), failure->onwards ? ", and so on" : "");
}

/* That the disk is full, or that there are no more descriptors, does not end
 * with the call that meets it first. */
static gboolean
lasts (int code)
{
  return code == ENOSPC || code == EMFILE;
}

/* All that can happen in a run of the workload. */
static GArray *
list_failures (Run *run)
{
  GArray *failures = g_array_new (FALSE, FALSE, sizeof (Failure));
  g_autofree char *directory = run_make_directory (run, "count");
  const InterposePlan plan = run_make_plan (run);

  journal_restart (run->journal, NULL);
  interpose_begin (directory, &plan, NULL);
  run_workload (run, directory);
  interpose_end ();

  for (guint64 n = 1; n <= interpose_get_n_calls (); n++)
    {
      InterposeCall call = interpose_get_call (n);

      for (const int *code = interpose_get_codes (call); *code != 0; code++)
        {
          Failure failure = { n, call, *code, FALSE };

          g_array_append_val (failures, failure);
          failure.onwards = TRUE;
          if (lasts (*code))
            g_array_append_val (failures, failure);
        }
    }

  return failures;
}

static void
fail_test (const char *what,
           guint step,
           Run *run,
           GError *error)
{
  g_error ("%s\n  step %u (%s): %s", what, step, run->setting->workload->describe (step), error->message);
}

/* After a sync that failed, another may fail too, until all is done anew. */
static gboolean
retry (Run *run,
       const Failure *failure,
       gpointer state,
       guint step,
       GError **error)
{
  const Workload *workload = run->setting->workload;
  g_autoptr (GError) local_error = NULL;

  if (workload->step (state, step, &local_error))
    return TRUE;

  if ((failure->call != INTERPOSE_SYNC && failure->call != INTERPOSE_SYNC_ALL) ||
      local_error->domain == WORKLOAD_BROKEN)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&local_error), "tried again: ");
      return FALSE;
    }

  return workload->redo (state, error) && workload->step (state, step, error);
}

/* Returns how many steps failed. */
static guint
run_steps (Run *run,
           const Failure *failure,
           const char *what)
{
  const Workload *workload = run->setting->workload;
  gpointer state = workload->start (run->directory, run->journal);
  guint n_failed = 0;

  for (guint i = 0; i < workload->n_steps; i++)
    {
      g_autoptr (GError) error = NULL;

      if (workload->step (state, i, &error))
        continue;

      n_failed++;
      if (error->domain == WORKLOAD_BROKEN || !interpose_was_hit () || n_failed > 1)
        fail_test (what, i, run, error);

      interpose_relent ();
      g_clear_error (&error);
      if (!workload->verify (state, &error) || !retry (run, failure, state, i, &error))
        fail_test (what, i, run, error);
    }

  workload->stop (state);

  return n_failed;
}

/* Returns how many steps failed. */
static guint
run_failure (Run *run,
             const Failure *failure)
{
  g_autofree char *what = describe (failure);
  g_autoptr (GError) error = NULL;
  InterposePlan plan = run_make_plan (run);
  guint n_failed;

  plan.nth = failure->nth;
  plan.code = failure->code;
  plan.onwards = failure->onwards;

  journal_restart (run->journal, NULL);
  interpose_begin (run->directory, &plan, NULL);
  n_failed = run_steps (run, failure, what);
  interpose_end ();

  if (!interpose_was_hit ())
    g_error ("%s\n  was never made", what);
  if (interpose_get_n_open () != 0)
    g_error ("%s\n  %u descriptors were not closed", what, interpose_get_n_open ());
  if (!run->setting->workload->check (run->directory, run->journal, journal_get_n_marks (run->journal), &error))
    g_error ("%s\n  opened again: %s", what, error->message);

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

  g_assert_cmpuint (n_failed, >, 0);
  run_report (&run, "failing calls");
  g_test_message ("%u steps failed and were tried again", n_failed);
  run_clear (&run);
}

int
main (int argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  run_add_tests ("calls", test_calls);

  return g_test_run ();
}
