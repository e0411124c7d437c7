/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-buffer-private.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Linux 5.14; older ones refuse it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Smaller ones are malloc()'s, which keeps those itself. */
#define MIN_MAPPED (128 * 1024)

#define MAX_KEPT (64 * 1024 * 1024)
#define MAX_KEPT_BUFFERS 64

/* A mapping, or a part of one: the system lets it be unmapped piece by piece. */
typedef struct
{
  guint8 *data;
  gsize size;
} Buffer;

G_LOCK_DEFINE_STATIC (kept);

/* Under the lock; the oldest first. The system may take back the pages at any
 * time, without asking, as from a cache of its own. */
static Buffer kept[MAX_KEPT_BUFFERS];
static guint n_kept;
static gsize kept_size;

static gsize
round_up (gsize size)
{
  const gsize page = sysconf (_SC_PAGESIZE);

  return size > G_MAXSIZE - page ? 0 : (size + page - 1) & ~(page - 1);
}

/* Called with the lock held. */
static void
remove_kept (guint i)
{
  kept_size -= kept[i].size;
  n_kept--;
  memmove (&kept[i], &kept[i + 1], (n_kept - i) * sizeof *kept);
}

/* The smallest that is large enough, or the end of it. */
static guint8 *
reuse (gsize size)
{
  guint8 *data = NULL;
  guint best = MAX_KEPT_BUFFERS;

  G_LOCK (kept);
  for (guint i = 0; i < n_kept; i++)
    {
      if (kept[i].size >= size && (best == MAX_KEPT_BUFFERS || kept[i].size < kept[best].size))
        best = i;
    }
  if (best < MAX_KEPT_BUFFERS)
    {
      data = kept[best].data + kept[best].size - size;
      kept[best].size -= size;
      kept_size -= size;
      if (kept[best].size == 0)
        remove_kept (best);
    }
  G_UNLOCK (kept);

  return data;
}

guint8 *
bs_file_buffer_new (gsize size)
{
  gsize rounded = round_up (size);
  guint8 *data;

  if (size < MIN_MAPPED)
    return g_try_malloc (MAX (size, 1));
  if (rounded == 0)
    return NULL;

  data = reuse (rounded);
  if (data != NULL)
    return data;

  /* Pages of 2 MiB are not asked for: they cost half as much, or five times as
   * much where the system has to make them first. */
  data = mmap (NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    return NULL;

  /* All page faults at once, but for what would take too long to cancel. */
  if (rounded <= MAX_KEPT)
    madvise (data, rounded, MADV_POPULATE_WRITE);

  return data;
}

/* Takes what is too much out, and puts it into `dropped`. Called with the lock
 * held. */
static guint
make_room (gsize size,
           Buffer dropped[MAX_KEPT_BUFFERS])
{
  guint n_dropped = 0;

  while (n_kept > 0 && (n_kept == MAX_KEPT_BUFFERS || kept_size + size > MAX_KEPT))
    {
      dropped[n_dropped++] = kept[0];
      remove_kept (0);
    }

  return n_dropped;
}

void
bs_file_buffer_free (guint8 *data,
                     gsize size)
{
  Buffer dropped[MAX_KEPT_BUFFERS];
  guint n_dropped;

  if (size < MIN_MAPPED)
    {
      g_free (data);
      return;
    }

  size = round_up (size);
  if (size > MAX_KEPT)
    {
      munmap (data, size);
      return;
    }

  madvise (data, size, MADV_FREE);

  G_LOCK (kept);
  n_dropped = make_room (size, dropped);
  kept[n_kept].data = data;
  kept[n_kept].size = size;
  n_kept++;
  kept_size += size;
  G_UNLOCK (kept);

  for (guint i = 0; i < n_dropped; i++)
    munmap (dropped[i].data, dropped[i].size);
}

static void
free_bytes (gpointer user_data)
{
  Buffer *buffer = user_data;

  bs_file_buffer_free (buffer->data, buffer->size);
  g_free (buffer);
}

GBytes *
bs_file_buffer_to_bytes (guint8 *data,
                         gsize size)
{
  Buffer *buffer;

  if (size < MIN_MAPPED)
    return g_bytes_new_take (data, size);

  buffer = g_new (Buffer, 1);
  buffer->data = data;
  buffer->size = size;

  return g_bytes_new_with_free_func (data, size, free_bytes, buffer);
}

void
bs_file_buffer_trim (void)
{
  Buffer dropped[MAX_KEPT_BUFFERS];
  guint n_dropped;

  G_LOCK (kept);
  n_dropped = make_room (MAX_KEPT, dropped);
  G_UNLOCK (kept);

  for (guint i = 0; i < n_dropped; i++)
    munmap (dropped[i].data, dropped[i].size);
}

gsize
bs_file_buffer_get_kept (void)
{
  gsize size;

  G_LOCK (kept);
  size = kept_size;
  G_UNLOCK (kept);

  return size;
}
