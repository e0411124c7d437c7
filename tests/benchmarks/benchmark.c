/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "benchmark.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

gboolean benchmark_smoke;
gboolean benchmark_large;
guint benchmark_rounds = 7;

static gboolean as_figures;
static int only_keys;
static char *directory;

void
benchmark_init (int *argc, char ***argv, const char *summary)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  int rounds = benchmark_rounds;
  const GOptionEntry entries[] = {
    { "smoke", 0, 0, G_OPTION_ARG_NONE, &benchmark_smoke, "Only show that it works", NULL },
    { "rounds", 0, 0, G_OPTION_ARG_INT, &rounds, "How many rounds", "N" },
    { "large", 0, 0, G_OPTION_ARG_NONE, &benchmark_large, "Ten million keys too", NULL },
    { "keys", 0, 0, G_OPTION_ARG_INT, &only_keys, "With so many keys instead", "N" },
    { "figures", 0, 0, G_OPTION_ARG_NONE, &as_figures, "Print each sample, between tabs", NULL },
    { "directory", 0, 0, G_OPTION_ARG_FILENAME, &directory, "Where files are made", "DIRECTORY" },
    { NULL }
  };

  g_option_context_set_summary (context, summary);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, &error))
    {
      g_printerr ("%s\n", error->message);
      exit (2);
    }

  benchmark_rounds = benchmark_smoke ? 2 : MAX (rounds, 1);
}

void
benchmark_each_size (void (*measure) (guint n_keys), guint smallest, guint smoke)
{
  if (benchmark_smoke || only_keys > 0)
    {
      measure (benchmark_smoke ? smoke : (guint) only_keys);
      return;
    }

  if (smallest < 1000000)
    measure (smallest);
  measure (1000000);
  if (benchmark_large)
    measure (10000000);
}

static gint64
read_clock (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

gint64
benchmark_now (void)
{
  return read_clock (CLOCK_MONOTONIC);
}

gint64
benchmark_cpu_now (void)
{
  return read_clock (CLOCK_PROCESS_CPUTIME_ID);
}

void
series_init (Series *series, const char *name)
{
  series->name = name;
  series->samples = g_array_new (FALSE, FALSE, sizeof (double));
}

void
series_clear (Series *series)
{
  g_clear_pointer (&series->samples, g_array_unref);
}

void
series_add (Series *series, double sample)
{
  g_array_append_val (series->samples, sample);
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  double left = *(const double *) a, right = *(const double *) b;

  return (left > right) - (left < right);
}

double
series_get_quantile (Series *series, double quantile)
{
  g_autoptr (GArray) sorted = g_array_copy (series->samples);

  if (sorted->len == 0)
    return 0;

  g_array_sort (sorted, compare_doubles);
  return g_array_index (sorted, double, (guint) (quantile * (sorted->len - 1) + 0.5));
}

double
series_get_median (Series *series)
{
  return series_get_quantile (series, 0.5);
}

static void
print_figures (Series *series, double divisor, const char *unit, const char *suffix)
{
  g_print ("\t%s%s\t%s", series->name, suffix, unit);
  for (guint i = 0; i < series->samples->len; i++)
    g_print ("\t%.9g", g_array_index (series->samples, double, i) / divisor);
  g_print ("\n");
}

void
series_print (Series *series, Series *floor, const char *unit)
{
  double lowest = G_MAXDOUBLE, highest = 0;

  if (as_figures)
    {
      print_figures (series, 1, unit, "");
      return;
    }

  g_print ("  %-44s %9.1f %s  (%.1f to %.1f)", series->name, series_get_median (series), unit,
           series_get_quantile (series, 0), series_get_quantile (series, 1));

  if (floor != NULL)
    {
      for (guint i = 0; i < series->samples->len; i++)
        {
          double ratio =
            g_array_index (series->samples, double, i) / g_array_index (floor->samples, double, i);

          lowest = MIN (lowest, ratio);
          highest = MAX (highest, ratio);
        }
      g_print ("  %.2f x floor (%.2f to %.2f)",
               series_get_median (series) / series_get_median (floor), lowest, highest);
    }
  g_print ("\n");
}

void
timing_init (Timing *timing, const char *name)
{
  series_init (&timing->clock, name);
  series_init (&timing->cpu, name);
}

void
timing_clear (Timing *timing)
{
  series_clear (&timing->clock);
  series_clear (&timing->cpu);
}

void
timing_start (Timing *timing)
{
  timing->clock_start = benchmark_now ();
  timing->cpu_start = benchmark_cpu_now ();
}

void
timing_stop (Timing *timing, guint n)
{
  series_add (&timing->cpu, (benchmark_cpu_now () - timing->cpu_start) / (double) n);
  series_add (&timing->clock, (benchmark_now () - timing->clock_start) / (double) n);
}

static void
print_scaled (Series *series, Series *floor, double divisor, const char *unit, const char *name)
{
  Series scaled[2];

  series_init (&scaled[0], name);
  series_init (&scaled[1], "floor");
  for (guint i = 0; i < series->samples->len; i++)
    {
      series_add (&scaled[0], g_array_index (series->samples, double, i) / divisor);
      if (floor != NULL)
        series_add (&scaled[1], g_array_index (floor->samples, double, i) / divisor);
    }
  series_print (&scaled[0], floor != NULL ? &scaled[1] : NULL, unit);
  series_clear (&scaled[0]);
  series_clear (&scaled[1]);
}

void
timing_print (Timing *timing, Timing *floor, double divisor, const char *unit)
{
  if (as_figures)
    {
      print_figures (&timing->clock, divisor, unit, "");
      print_figures (&timing->cpu, divisor, unit, ", processor");
      return;
    }

  print_scaled (&timing->clock, floor != NULL ? &floor->clock : NULL, divisor, unit,
                timing->clock.name);
  print_scaled (&timing->cpu, floor != NULL ? &floor->cpu : NULL, divisor, unit, "  processor");
}

char *
benchmark_make_directory (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *beside = g_path_get_dirname (program);
  char *template =
    g_build_filename (directory != NULL ? directory : beside, "benchmark-XXXXXX", NULL);

  if (g_mkdtemp (template) == NULL)
    g_error ("No directory could be made like %s", template);

  return template;
}

static int
remove_visited (const char *path, const struct stat *status, int type, struct FTW *where)
{
  return remove (path);
}

void
benchmark_remove_directory (const char *path)
{
  if (nftw (path, remove_visited, 32, FTW_DEPTH | FTW_PHYS) != 0)
    g_error ("%s could not be removed", path);
}

char **
benchmark_make_keys (guint n_keys)
{
  char **keys = g_new (char *, n_keys + 1);

  for (guint i = 0; i < n_keys; i++)
    keys[i] = bs_key_generate ();
  keys[n_keys] = NULL;

  return keys;
}

guint *
benchmark_make_order (guint n, gboolean shuffled)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (n);
  guint *order = g_new (guint, n);

  for (guint i = 0; i < n; i++)
    order[i] = i;
  for (guint i = n; shuffled && i > 1; i--)
    {
      guint j = g_rand_int_range (rand, 0, i);
      guint index = order[i - 1];

      order[i - 1] = order[j];
      order[j] = index;
    }

  return order;
}

BsTrackedPath *
benchmark_track (BsBackingStore *store)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("memory:///persisted");
  g_autoptr (GError) error = NULL;
  BsTrackedPath *tracked = bs_backing_store_track_path (store, file, NULL, &error);

  g_assert_no_error (error);
  return tracked;
}

typedef struct
{
  /* constant */
  char **keys; /* not owned */
  guint n_keys;

  int n_calls; /* atomic */

  GMutex mutex;
  const char
    *stalled; /* not owned; under the mutex, and atomic where it is only compared with NULL */
  guint milliseconds;
} BenchmarkBackingPrivate;

/* A type of its own: which functions an interface has is a matter of the type. */
typedef BenchmarkBacking BenchmarkBulkBacking;
typedef BenchmarkBackingClass BenchmarkBulkBackingClass;

static void iface_init (BsBackingInterface *iface);
static void bulk_iface_init (BsBackingInterface *iface);

G_DEFINE_TYPE_WITH_CODE (BenchmarkBacking,
                         benchmark_backing,
                         G_TYPE_OBJECT,
                         G_ADD_PRIVATE (BenchmarkBacking)
                           G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, iface_init))
G_DEFINE_TYPE_WITH_CODE (BenchmarkBulkBacking,
                         benchmark_bulk_backing,
                         BENCHMARK_TYPE_BACKING,
                         G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, bulk_iface_init))

static BenchmarkBackingPrivate *
get_private (gpointer backing)
{
  return benchmark_backing_get_instance_private (backing);
}

static void
count (BsBacking *backing)
{
  BenchmarkBackingPrivate *self = get_private (backing);

  /* Not one atomic addition for all threads, which would be the floor of it all. */
  if (G_UNLIKELY (benchmark_smoke))
    g_atomic_int_inc (&self->n_calls);
}

static gboolean
null_write (BsBacking *backing,
            const char *key,
            GBytes *bytes,
            GCancellable *cancellable,
            GError **error)
{
  count (backing);
  return TRUE;
}

static GBytes *
null_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  count (backing);
  return g_bytes_new_static ("nothing", 7);
}

static gboolean
null_delete_key (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  count (backing);
  return TRUE;
}

static gboolean
null_key_at_path (BsBacking *backing,
                  GFile *path,
                  const char *key,
                  GCancellable *cancellable,
                  GError **error)
{
  BenchmarkBackingPrivate *self = get_private (backing);

  count (backing);
  if (G_UNLIKELY (g_atomic_pointer_get (&self->stalled) != NULL))
    {
      guint milliseconds = 0;

      g_mutex_lock (&self->mutex);
      if (g_strcmp0 (self->stalled, key) == 0)
        milliseconds = self->milliseconds;
      g_mutex_unlock (&self->mutex);
      if (milliseconds > 0)
        g_usleep (milliseconds * G_GUINT64_CONSTANT (1000));
    }

  return TRUE;
}

static gboolean
null_sanitize_path (BsBacking *backing,
                    GFile *path,
                    BsKeySet *found,
                    GCancellable *cancellable,
                    GError **error)
{
  BenchmarkBackingPrivate *self = get_private (backing);

  for (guint i = 0; i < self->n_keys; i++)
    if (!bs_key_set_add (found, self->keys[i], error))
      return FALSE;

  return TRUE;
}

static gboolean
null_sync_persisted (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  return TRUE;
}

static gboolean
null_keys_at_path (BsBacking *backing,
                   GFile *path,
                   BsKeySet *keys,
                   GCancellable *cancellable,
                   GError **error)
{
  count (backing);
  return TRUE;
}

static void
iface_init (BsBackingInterface *iface)
{
  iface->write = null_write;
  iface->read = null_read;
  iface->delete_key = null_delete_key;
  iface->register_key = null_key_at_path;
  iface->persist = null_key_at_path;
  iface->delete_persisted = null_key_at_path;
  iface->sanitize_path = null_sanitize_path;
  iface->sync_persisted = null_sync_persisted;
}

static void
bulk_iface_init (BsBackingInterface *iface)
{
  iface_init (iface);
  iface->register_keys = null_keys_at_path;
  iface->delete_persisted_keys = null_keys_at_path;
}

static void
benchmark_backing_finalize (GObject *object)
{
  g_mutex_clear (&get_private (object)->mutex);

  G_OBJECT_CLASS (benchmark_backing_parent_class)->finalize (object);
}

static void
benchmark_backing_class_init (BenchmarkBackingClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = benchmark_backing_finalize;
}

static void
benchmark_backing_init (BenchmarkBacking *self)
{
  g_mutex_init (&get_private (self)->mutex);
}

static void
benchmark_bulk_backing_class_init (BenchmarkBulkBackingClass *klass)
{
}

static void
benchmark_bulk_backing_init (BenchmarkBulkBacking *self)
{
}

BenchmarkBacking *
benchmark_backing_new (GType type, char **keys, guint n_keys)
{
  BenchmarkBacking *self = g_object_new (type, NULL);

  get_private (self)->keys = keys;
  get_private (self)->n_keys = n_keys;
  return self;
}

guint
benchmark_backing_get_n_calls (BenchmarkBacking *self)
{
  return g_atomic_int_get (&get_private (self)->n_calls);
}

void
benchmark_backing_stall (BenchmarkBacking *self, const char *key, guint milliseconds)
{
  BenchmarkBackingPrivate *private = get_private (self);

  g_mutex_lock (&private->mutex);
  g_atomic_pointer_set (&private->stalled, key);
  private->milliseconds = milliseconds;
  g_mutex_unlock (&private->mutex);
}

void
benchmark_place_init (BenchmarkPlace *place)
{
  g_autofree char *scratch_name = NULL;
  g_autofree char *path_name = NULL;
  g_autoptr (GFile) scratch = NULL;

  place->directory = benchmark_make_directory ();
  scratch_name = g_build_filename (place->directory, "scratch", NULL);
  path_name = g_build_filename (place->directory, "path", NULL);
  scratch = g_file_new_for_path (scratch_name);
  place->path = g_file_new_for_path (path_name);
  place->backing = BS_BACKING (bs_file_backing_new (scratch));
}

void
benchmark_place_clear (BenchmarkPlace *place)
{
  g_object_unref (place->backing);
  g_object_unref (place->path);
  benchmark_remove_directory (place->directory);
  g_free (place->directory);
}
