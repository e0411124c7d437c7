/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-buffer-private.h"

#include "bs-file-pages-private.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Smaller ones are malloc()'s, which keeps those itself. */
#define MIN_MAPPED (128 * 1024)

#define MAX_KEPT (64 * 1024 * 1024)
#define MAX_WARM (4 * 1024 * 1024)
#define MAX_BUFFERS 64

/* A mapping, or a part of one: the system lets it be unmapped piece by piece. */
typedef struct
{
  guint8 *data;
  gsize size;
} Buffer;

/* Buffers that are kept, the oldest first. */
typedef struct
{
  Buffer buffers[MAX_BUFFERS];
  guint n_buffers;
  gsize size;
  gsize max_size;
} Shelf;

G_LOCK_DEFINE_STATIC (shelves);

/* Under the lock. What was freed last is warm: its pages are ours, and ready. From
 * the others the system may take theirs back at any time, without asking, as from a
 * cache of its own; telling it so takes as long as reading into them. */
static Shelf warm = { .max_size = MAX_WARM };
static Shelf cold = { .max_size = MAX_KEPT };

static gsize
round_up (gsize size)
{
  const gsize page = sysconf (_SC_PAGESIZE);

  return size > G_MAXSIZE - page ? 0 : (size + page - 1) & ~(page - 1);
}

/* Called with the lock held. */
static void
shelf_remove (Shelf *self,
              guint i)
{
  self->size -= self->buffers[i].size;
  self->n_buffers--;
  memmove (&self->buffers[i], &self->buffers[i + 1], (self->n_buffers - i) * sizeof *self->buffers);
}

/* The smallest that is large enough, or the end of it. Called with the lock held. */
static guint8 *
shelf_take (Shelf *self,
            gsize size)
{
  Buffer *best = NULL;
  guint8 *data;

  for (guint i = 0; i < self->n_buffers; i++)
    {
      Buffer *buffer = &self->buffers[i];

      if (buffer->size >= size && (best == NULL || buffer->size < best->size))
        best = buffer;
    }
  if (best == NULL)
    return NULL;

  data = best->data + best->size - size;
  best->size -= size;
  self->size -= size;
  if (best->size == 0)
    shelf_remove (self, best - self->buffers);

  return data;
}

/* Moves to `removed` what is too much beside a buffer of this size. Called with the
 * lock held. */
static guint
shelf_make_room (Shelf *self,
                 gsize size,
                 Buffer *removed)
{
  guint n_removed = 0;

  while (self->n_buffers > 0 && (self->n_buffers == MAX_BUFFERS || self->size + size > self->max_size))
    {
      removed[n_removed++] = self->buffers[0];
      shelf_remove (self, 0);
    }

  return n_removed;
}

/* The same, and keeps the buffer, unless it is too large. Called with the lock held. */
static guint
shelf_put (Shelf *self,
           Buffer buffer,
           Buffer *removed)
{
  guint n_removed;

  if (buffer.size > self->max_size)
    {
      removed[0] = buffer;
      return 1;
    }

  n_removed = shelf_make_room (self, buffer.size, removed);
  self->buffers[self->n_buffers++] = buffer;
  self->size += buffer.size;

  return n_removed;
}

static guint8 *
reuse (gsize size)
{
  guint8 *data;

  G_LOCK (shelves);
  data = shelf_take (&warm, size);
  if (data == NULL)
    data = shelf_take (&cold, size);
  G_UNLOCK (shelves);

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

  return data != NULL ? data : bs_file_pages_map (rounded);
}

static void
unmap (const Buffer *buffers,
       guint n_buffers)
{
  for (guint i = 0; i < n_buffers; i++)
    munmap (buffers[i].data, buffers[i].size);
}

/* While it is told to the system nobody else knows of them. */
static void
cool_down (const Buffer *buffers,
           guint n_buffers)
{
  Buffer removed[2 * MAX_BUFFERS];
  guint n_removed = 0;

  for (guint i = 0; i < n_buffers; i++)
    madvise (buffers[i].data, buffers[i].size, MADV_FREE);

  G_LOCK (shelves);
  for (guint i = 0; i < n_buffers; i++)
    n_removed += shelf_put (&cold, buffers[i], removed + n_removed);
  G_UNLOCK (shelves);

  unmap (removed, n_removed);
}

void
bs_file_buffer_free (guint8 *data,
                     gsize size)
{
  const Buffer buffer = { data, round_up (size) };
  Buffer removed[MAX_BUFFERS];
  guint n_removed;

  if (size < MIN_MAPPED)
    {
      g_free (data);
      return;
    }

  if (buffer.size > MAX_KEPT)
    {
      unmap (&buffer, 1);
      return;
    }

  G_LOCK (shelves);
  n_removed = shelf_put (&warm, buffer, removed);
  G_UNLOCK (shelves);

  if (n_removed > 0)
    cool_down (removed, n_removed);
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
  Buffer removed[2 * MAX_BUFFERS];
  guint n_removed;

  G_LOCK (shelves);
  n_removed = shelf_make_room (&warm, MAX_WARM, removed);
  n_removed += shelf_make_room (&cold, MAX_KEPT, removed + n_removed);
  G_UNLOCK (shelves);

  unmap (removed, n_removed);
}

gsize
bs_file_buffer_get_kept (void)
{
  gsize size;

  G_LOCK (shelves);
  size = warm.size + cold.size;
  G_UNLOCK (shelves);

  return size;
}
