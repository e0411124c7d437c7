/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "run.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backing-contract.h"

#define QUICK_MILLISECONDS 200
#define WHOLE_MILLISECONDS 2000
#define QUICK_N_CASES 10
#define LONG_N_CASES 6000
#define MAX_FAILED 20

const Setting settings[] = {
  { &workload_backing, "link", 0, 0 },
  { &workload_backing_few, "link", 0, 0 },
  { &workload_save, "link", 0, 0 },
  { &workload_save_parallel, "link", 0, 0 },
  { &workload_save_many, "link", 0, 0 },
/* A document in one database has neither links nor attributes. */
#ifndef WORKLOAD_SCHEME
  { &workload_backing, "copy", INTERPOSE_LINK, EXDEV },
  { &workload_backing, "no-xattr", INTERPOSE_SET_XATTR, EOPNOTSUPP },
  { &workload_save, "copy", INTERPOSE_LINK, EXDEV },
  { &workload_save, "no-xattr", INTERPOSE_SET_XATTR, EOPNOTSUPP },
#endif
};
const guint n_settings = G_N_ELEMENTS (settings);

void
run_add_tests (const char *engine, GTestDataFunc func)
{
  for (guint i = 0; i < n_settings; i++)
    {
      g_autofree char *path =
        g_strdup_printf ("/crash/%s/%s/%s", engine, settings[i].workload->name, settings[i].name);

      g_test_add_data_func (path, &settings[i], func);
    }
}

/* In memory, if files there can have attributes: what becomes of them on a disk is
 * modelled, not tried. */
static char *
make_base (void)
{
  g_autofree char *base = g_strdup ("/dev/shm/backingstore-test-XXXXXX");

  if (g_mkdtemp (base) == NULL)
    return make_test_directory ();

  if (setxattr (base, "user.backingstore", "", 0, 0) != 0)
    {
      rmdir (base);
      return make_test_directory ();
    }

  return g_steal_pointer (&base);
}

void
run_init (Run *self, const Setting *setting)
{
  *self = (Run){ .setting = setting };
  self->journal = journal_new ();
  self->base = make_base ();
  self->seed = g_test_rand_int ();
  self->rand = g_rand_new ();
  g_test_message ("seed %u", self->seed);
  alarm (100);
}

void
run_clear (Run *self)
{
  alarm (0);
  remove_test_directory (self->base);
  journal_free (self->journal);
  g_rand_free (self->rand);
  g_free (self->base);
  g_free (self->directory);
  g_free (self->order);
}

void
run_set_n_cases (Run *self, guint n_cases)
{
  const gint64 milliseconds = tests_are_whole () ? WHOLE_MILLISECONDS : QUICK_MILLISECONDS;

  self->n_cases = n_cases;
  self->order = g_new (guint, n_cases);
  self->end = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;

  g_rand_set_seed (self->rand, self->seed);
  for (guint i = 0; i < n_cases; i++)
    {
      guint other = g_rand_int_range (self->rand, 0, i + 1);

      self->order[i] = self->order[other];
      self->order[other] = i;
    }
}

char *
run_make_directory (Run *self, const char *name)
{
  char *directory = g_build_filename (self->base, name, NULL);

  g_assert_no_errno (mkdir (directory, 0700));

  return directory;
}

gboolean
run_next (Run *self, guint *n)
{
  if (self->directory != NULL)
    remove_test_directory (self->directory);
  g_clear_pointer (&self->directory, g_free);

  if (self->n_done == MIN (self->n_cases, LONG_N_CASES) || self->n_failed >= MAX_FAILED ||
      (!g_test_slow () && self->n_done >= QUICK_N_CASES && g_get_monotonic_time () > self->end))
    return FALSE;

  alarm (100);
  *n = self->order[self->n_done++];
  g_rand_set_seed (self->rand, self->seed + *n);
  self->directory = run_make_directory (self, "case");

  return TRUE;
}

InterposePlan
run_make_plan (Run *self)
{
  InterposePlan plan = { .skip_syncs = TRUE };

  plan.refused[self->setting->refused] = self->setting->code;

  return plan;
}

void
run_workload (Run *self, const char *directory)
{
  const Workload *workload = self->setting->workload;
  gpointer state = workload->start (directory, self->journal);

  for (guint i = 0; i < workload->n_steps; i++)
    {
      g_autoptr (GError) error = NULL;

      if (!workload->step (state, i, &error))
        g_error ("step %u, %s: %s", i, workload->describe (i), error->message);
    }

  workload->stop (state);
}

void
run_fail (Run *self, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  self->n_failed++;
  g_test_message ("case %u, seed %u: %s", self->order[self->n_done - 1], self->seed, message);
  g_test_fail ();
}

gboolean
run_look (Run *self, const char *directory, gsize n_marks, GError **error)
{
  const InterposePlan plan = run_make_plan (self);
  gboolean kept;

  interpose_begin (directory, &plan, NULL);
  kept = self->setting->workload->check (directory, self->journal, n_marks, error);
  interpose_end ();

  return kept;
}

void
run_check (Run *self, const char *directory, gsize n_marks, const char *what)
{
  g_autoptr (GError) error = NULL;

  if (!run_look (self, directory, n_marks, &error))
    run_fail (self, "%s: opened again, after %" G_GSIZE_FORMAT " marks: %s", what, n_marks,
              error->message);
}

void
run_report (Run *self, const char *what)
{
  g_test_message ("%u of %u %s, seed %u", self->n_done, self->n_cases, what, self->seed);
}
