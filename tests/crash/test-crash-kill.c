/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The process that runs a workload is killed before and after each system call,
 * and at random moments. Neither it nor what looks at the remains is this
 * process: one that forks had better have no threads. */

/* The watchdog of a child, which barks before that of its parent, who then says
 * what it was about. */
#define CHILD_SECONDS 60

typedef struct
{
  guint64 n_calls;
  gint64 duration; /* microseconds */
} Measure;

static int
wait_for (pid_t pid)
{
  int status;

  g_assert_no_errno (waitpid (pid, &status, 0));

  return status;
}

static void
measure_here (Run *run, Measure *result)
{
  g_autofree char *directory = run_make_directory (run, "count");
  const InterposePlan plan = run_make_plan (run);
  gint64 start;

  interpose_begin (directory, &plan, NULL);
  start = g_get_monotonic_time ();
  run_workload (run, directory);
  result->duration = g_get_monotonic_time () - start;
  result->n_calls = interpose_get_n_calls ();
}

/* One run, to its end. */
static Measure
measure (Run *run)
{
  Measure *shared =
    mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Measure result;
  pid_t pid;

  g_assert_true (shared != MAP_FAILED);
  journal_restart (run->journal, NULL);

  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      measure_here (run, shared);
      _exit (0);
    }
  g_assert_cmpint (wait_for (pid), ==, 0);

  result = *shared;
  munmap (shared, sizeof *shared);

  return result;
}

/* Runs the workload in a process that is killed at a call, or after some time. */
static void
kill_at (Run *run, guint64 nth, int code, gulong moment, const char *what)
{
  InterposePlan plan = run_make_plan (run);
  pid_t pid;
  int status;

  plan.nth = nth;
  plan.code = code;
  journal_restart (run->journal, NULL);

  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      alarm (CHILD_SECONDS);
      interpose_begin (run->directory, &plan, NULL);
      run_workload (run, run->directory);
      _exit (0);
    }

  if (nth == 0)
    {
      g_usleep (moment);
      kill (pid, SIGKILL);
    }

  status = wait_for (pid);
  if (!WIFSIGNALED (status) || WTERMSIG (status) != SIGKILL)
    {
      if ((nth != 0 && !run->setting->workload->varies) || !WIFEXITED (status) ||
          WEXITSTATUS (status) != 0)
        run_fail (run, "%s: the process ended otherwise, with status 0x%x", what, status);
    }
}

/* Looks at the remains, in a process of its own. */
static void
check_remains (Run *run, const char *what)
{
  const guint n_failed = run->n_failed;
  pid_t pid = fork ();
  int status;

  g_assert_no_errno (pid);
  if (pid == 0)
    {
      alarm (CHILD_SECONDS);
      run_check (run, run->directory, journal_get_n_marks (run->journal), what);
      fflush (stdout);
      _exit (run->n_failed != n_failed);
    }

  status = wait_for (pid);
  if (status != 0)
    run_fail (run, "%s: who looked at the remains ended with status 0x%x", what, status);
}

static void
test_calls (gconstpointer data)
{
  Run run;
  guint n;

  run_init (&run, data);
  run_set_n_cases (&run, 2 * measure (&run).n_calls);

  while (run_next (&run, &n))
    {
      const int code = n % 2 == 0 ? INTERPOSE_KILL_BEFORE : INTERPOSE_KILL_AFTER;
      g_autofree char *what =
        g_strdup_printf ("%s call %u", interpose_get_code_name (code), n / 2 + 1);

      kill_at (&run, n / 2 + 1, code, 0, what);
      check_remains (&run, what);
    }

  run_report (&run, "moments before and after a call");
  run_clear (&run);
}

static void
test_random (gconstpointer data)
{
  Measure whole;
  Run run;
  guint n;

  run_init (&run, data);
  whole = measure (&run);
  run_set_n_cases (&run, 2000);

  while (run_next (&run, &n))
    {
      gulong moment = g_rand_double_range (run.rand, 0, 1.2 * whole.duration);
      g_autofree char *what = g_strdup_printf ("SIGKILL after some %lu µs", moment);

      kill_at (&run, 0, 0, moment, what);
      check_remains (&run, what);
    }

  run_report (&run, "random moments");
  run_clear (&run);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  run_add_tests ("kill", test_calls);
  run_add_tests ("kill-at-random", test_random);

  return g_test_run ();
}
