/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-pages-private.h"

#include <sys/mman.h>
#include <time.h>

/* Linux before 5.14 refuses it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* More in small pages would take too long to cancel. */
#define MAX_POPULATED (64 * 1024 * 1024)

#define HUGE_PAGE (2 * 1024 * 1024)
#define MIN_HUGE (2 * HUGE_PAGE)

/* A huge page costs a small part of the small pages in its place if the system has one
 * ready, and up to ten times as much if the system must make it first. Only trying tells.
 * After a huge page that did not pay, so much memory comes in small pages that the loss is
 * a small part of their cost: a quarter at most, then an eighth, and so on until huge
 * pages pay again. */
#define MIN_PATIENCE 4
#define MAX_PATIENCE 256

G_LOCK_DEFINE_STATIC (experience);

/* Under the lock. */
static guint64 to_skip;   /* bytes to map without huge pages */
static guint patience;    /* how many times the loss to skip */
static gint64 small_cost; /* of small pages in the place of a huge one; 0 to measure it */

static gboolean
begin_huge (gsize size, gint64 *small)
{
  gboolean skip;

  G_LOCK (experience);
  skip = to_skip > 0;
  to_skip -= MIN (size, to_skip);
  *small = small_cost;
  G_UNLOCK (experience);

  return !skip;
}

/* `cost` is 0 before the first huge page. */
static gboolean
pays (gint64 cost, gint64 small)
{
  return cost <= small / 2;
}

static void
end_huge (gint64 small, gint64 cost)
{
  G_LOCK (experience);
  if (pays (cost, small))
    {
      patience = 0;
      small_cost = small;
    }
  else
    {
      patience = CLAMP (2 * patience, MIN_PATIENCE, MAX_PATIENCE);
      to_skip = patience * (1 + cost / MAX (small, 1)) * HUGE_PAGE;
      small_cost = 0;
    }
  G_UNLOCK (experience);
}

/* Returns nanoseconds of processor time. */
static gint64
time_populate (guint8 *data)
{
  struct timespec start;
  struct timespec end;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &start);
  madvise (data, HUGE_PAGE, MADV_POPULATE_WRITE);
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &end);

  return (end.tv_sec - start.tv_sec) * G_GINT64_CONSTANT (1000000000) + end.tv_nsec - start.tv_nsec;
}

/* `small` is the cost of small pages, or 0 to measure it with the first. Returns how many
 * bytes are populated. Pages that the system takes back later come again as small ones,
 * since nothing would measure their cost. */
static gsize
populate_huge (guint8 *data, gsize size, gint64 small)
{
  gint64 cost = 0;
  gsize done = 0;

  if (small == 0)
    {
      madvise (data, HUGE_PAGE, MADV_NOHUGEPAGE);
      small = time_populate (data);
      done = HUGE_PAGE;
    }

  madvise (data + done, size - done, MADV_HUGEPAGE);
  for (; size - done >= HUGE_PAGE && pays (cost, small); done += HUGE_PAGE)
    cost = time_populate (data + done);
  madvise (data, size, MADV_NOHUGEPAGE);

  end_huge (small, cost);

  return done;
}

static guint8 *
map (gsize size)
{
  guint8 *data = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return data != MAP_FAILED ? data : NULL;
}

static guint8 *
map_aligned (gsize size)
{
  guint8 *data = map (size + HUGE_PAGE);
  gsize before;

  if (data == NULL)
    return NULL;

  before = -(guintptr) data % HUGE_PAGE;
  if (before > 0)
    munmap (data, before);
  if (before < HUGE_PAGE)
    munmap (data + before + size, HUGE_PAGE - before);

  return data + before;
}

guint8 *
bs_file_pages_map (gsize size)
{
  gsize done = 0;
  guint8 *data;
  gint64 small;

  if (size >= MIN_HUGE && size <= G_MAXSSIZE && begin_huge (size, &small))
    {
      data = map_aligned (size);
      if (data != NULL)
        done = populate_huge (data, size, small);
    }
  else
    data = map (size);

  if (data != NULL && size - done <= MAX_POPULATED)
    madvise (data + done, size - done, MADV_POPULATE_WRITE);

  return data;
}
