/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

/* Shared by all benchmarks: a backing that does nothing, interleaved rounds,
 * medians. A benchmark prints figures and asserts none. */

extern gboolean benchmark_smoke;     /* --smoke: only show that it works */
extern gboolean benchmark_large;     /* --large: what takes minutes too */
extern guint benchmark_rounds;       /* --rounds N */

void     benchmark_init          (int *argc, char ***argv, const char *summary);

/* Calls it with the number of keys: `smallest`, a million, with --large ten
 * million; or what --keys says; or, to show that it works, `smoke`. */
void     benchmark_each_size     (void (*measure) (guint n_keys), guint smallest, guint smoke);

/* Nanoseconds of a monotonic clock. */
gint64   benchmark_now           (void);
/* Nanoseconds of processor time, of all threads: where nothing sleeps, that is
 * the same and does not count what else the machine is doing. */
gint64   benchmark_cpu_now       (void);

/* One column of figures: a sample a round. */
typedef struct
{
  const char *name;
  GArray *samples;      /* of double */
} Series;

void     series_init             (Series *series, const char *name);
void     series_clear            (Series *series);
void     series_add              (Series *series, double sample);
double   series_get_median       (Series *series);
double   series_get_quantile     (Series *series, double quantile);
/* With --figures: a tab, the name, the unit and each sample, with tabs between them; a line
 * without a tab before it is the heading of those that follow. Else
 * "name: median (min to max) unit", and against `floor`, where given, the ratio of
 * the medians and the lowest and highest ratio of a round. */
void     series_print            (Series *series, Series *floor, const char *unit);

/* A span measured twice at once: by the clock, and by the processor. */
typedef struct
{
  Series clock;
  Series cpu;
  gint64 clock_start;
  gint64 cpu_start;
} Timing;

void     timing_init             (Timing *timing, const char *name);
void     timing_clear            (Timing *timing);
void     timing_start            (Timing *timing);
/* A sample, in nanoseconds for one of `n`. */
void     timing_stop             (Timing *timing, guint n);
void     timing_print            (Timing *timing, Timing *floor, double divisor, const char *unit);

/* A new directory, below what --directory says, or else the program's own. */
char    *benchmark_make_directory   (void);
void     benchmark_remove_directory (const char *directory);

/* Keys as an application has them. */
char   **benchmark_make_keys     (guint n_keys);
guint   *benchmark_make_order    (guint n, gboolean shuffled);

/* A backing whose functions do nothing but count. It finds at every path the
 * keys that it was given. */
#define BENCHMARK_TYPE_BACKING (benchmark_backing_get_type ())
G_DECLARE_DERIVABLE_TYPE (BenchmarkBacking, benchmark_backing, BENCHMARK, BACKING, GObject)

struct _BenchmarkBackingClass
{
  GObjectClass parent_class;
};

/* A backing with functions for many keys at a time. */
#define BENCHMARK_TYPE_BULK_BACKING (benchmark_bulk_backing_get_type ())
GType        benchmark_bulk_backing_get_type (void);

/* `keys` stay the caller's. */
BenchmarkBacking *benchmark_backing_new     (GType type, char **keys, guint n_keys);
guint        benchmark_backing_get_n_calls (BenchmarkBacking *self);
/* Makes the calls for one key last. */
void         benchmark_backing_stall   (BenchmarkBacking *self, const char *key, guint milliseconds);

BsTrackedPath *benchmark_track    (BsBackingStore *store);

/* A file backing, in a directory of its own. */
typedef struct
{
  char *directory;
  GFile *path;
  BsBacking *backing;
} BenchmarkPlace;

void benchmark_place_init  (BenchmarkPlace *place);
void benchmark_place_clear (BenchmarkPlace *place);

G_END_DECLS
