/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "power-cut.h"
#include "run.h"

#include "backing-contract.h"

/* The power is cut after each step of a recorded run. */

#define N_SAMPLES 12 /* of each moment; the first ones are the extremes */

static PowerCutStyle
get_style (guint sample)
{
  if (sample < POWER_CUT_RANDOM)
    return sample;

  return sample % 2 == 0 ? POWER_CUT_RANDOM : POWER_CUT_PREFIX;
}

static EventLog *
record (Run *run, const InterposePlan *plan)
{
  g_autofree char *directory = run_make_directory (run, "record");
  EventLog *log = event_log_new (directory);

  journal_restart (run->journal, log);
  interpose_begin (directory, plan, log);
  run_workload (run, directory);
  interpose_end ();
  remove_test_directory (directory);

  return log;
}

/* Looks at the directory as it may be after a power cut. */
static void
cut (Run *run, const EventLog *log, gsize n_events, PowerCutStyle style)
{
  g_autofree char *what =
    g_strdup_printf ("a power cut after %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " events, %s",
                     n_events, event_log_get_n_events (log), power_cut_get_name (style));

  power_cut_apply (log, n_events, style, run->rand, run->directory);
  run_check (run, run->directory, journal_count_until (run->journal, n_events), what);
}

static void
test_power_cut (gconstpointer data)
{
  g_autoptr (EventLog) log = NULL;
  InterposePlan plan;
  Run run;
  guint n;

  run_init (&run, data);
  plan = run_make_plan (&run);
  log = record (&run, &plan);
  run_set_n_cases (&run, (event_log_get_n_events (log) + 1) * N_SAMPLES);

  while (run_next (&run, &n))
    cut (&run, log, n / N_SAMPLES, get_style (n % N_SAMPLES));

  run_report (&run, "power cuts");
  run_clear (&run);
}

static void
look_after_cut (Run *run, const EventLog *log, PowerCutStyle style, GError **error)
{
  g_autofree char *directory = run_make_directory (run, "no-sync");

  power_cut_apply (log, event_log_get_n_events (log), style, run->rand, directory);
  run_look (run, directory, journal_get_n_marks (run->journal), error);
  remove_test_directory (directory);
}

/* The model does lose what was not synced, and the oracle does see it. */
static void
test_no_sync (gconstpointer data)
{
  g_autoptr (EventLog) log = NULL;
  InterposePlan plan;
  Run run;

  run_init (&run, data);
  plan = run_make_plan (&run);
  plan.forget_syncs = TRUE;
  log = record (&run, &plan);

  for (PowerCutStyle style = 0; style < POWER_CUT_N_STYLES; style++)
    {
      g_autoptr (GError) error = NULL;

      /* Once in a while all that is needed happens to be there. */
      for (guint i = 0; i < N_SAMPLES && error == NULL; i++)
        look_after_cut (&run, log, style, &error);
      if (style == POWER_CUT_LOSES_NOTHING)
        g_assert_no_error (error);
      else
        g_assert_nonnull (error);
    }

  run_clear (&run);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  run_add_tests ("power-cut", test_power_cut);
  run_add_tests ("power-cut-without-sync", test_no_sync);

  return g_test_run ();
}
