/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-buffer-private.h"

#include "bs-slabs-private.h"

#include <pthread.h>
#include <string.h>
#ifdef HAVE_MALLOC_TRIM
#include <malloc.h>
#endif

/* Larger bytes are not copied: that would cost more than to load them. The heap gives
 * back nine tenths of these by itself. */
#define MAX_COPIED (64 * 1024)

/* An address sanitizer sees a use after free only of memory that was freed by itself. GCC
 * and Clang tell of it in ways of their own. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_SLABS FALSE
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SLABS FALSE
#endif
#endif
#ifndef HAS_SLABS
#define HAS_SLABS TRUE
#endif

/* The lowest bits of an address in a slab, which are free. */
#define ORDER_MASK ((guintptr) 7)

/* The least time between two times that memory is given back, in microseconds: a heap is
 * locked while it is searched. */
#define PAUSE (G_USEC_PER_SEC / 4)

typedef enum
{
  GIVE_SPARE = 1 << 0, /* all beyond the reserve */
  GIVE_ALL = 1 << 1,   /* the reserve, and free memory of the heap */
} Gift;

static GMutex mutex;
static int wanted; /* atomic Gift, set under the mutex */

/* under the mutex */
static gboolean is_giving;

static gboolean
is_in_slabs (gsize size)
{
  return HAS_SLABS && size >= BS_SLABS_MIN && size <= BS_SLABS_MAX;
}

static void
give (Gift gift)
{
  bs_slabs_give_back (gift & GIVE_ALL ? 0 : bs_slabs_get_reserve ());
#ifdef HAVE_MALLOC_TRIM
  if (gift & GIVE_ALL)
    malloc_trim (0);
#endif
}

static gpointer
giver (gpointer unused)
{
  Gift gift;

  for (;;)
    {
      g_mutex_lock (&mutex);
      gift = wanted;
      g_atomic_int_set (&wanted, 0);
      is_giving = gift != 0;
      g_mutex_unlock (&mutex);

      if (gift == 0)
        return NULL;

      give (gift);
      g_usleep (PAUSE);
    }
}

/* Where no thread can be made, the next request tries again. */
static void
request (Gift gift)
{
  if ((g_atomic_int_get (&wanted) & gift) == gift)
    return;

  g_mutex_lock (&mutex);
  g_atomic_int_or ((guint *) &wanted, gift);
  if (!is_giving)
    {
      GThread *thread = g_thread_try_new ("backingstore-memory", giver, NULL, NULL);

      is_giving = thread != NULL;
      if (thread != NULL)
        g_thread_unref (thread);
      else
        g_atomic_int_set (&wanted, 0);
    }
  g_mutex_unlock (&mutex);
}

void
bs_buffer_give_back (void)
{
  request (GIVE_SPARE | GIVE_ALL);
}

guint8 *
bs_buffer_new (gsize size)
{
  return is_in_slabs (size) ? bs_slabs_alloc (size) : g_try_malloc (MAX (size, 1));
}

static void
free_tagged (gpointer tagged)
{
  guintptr order = (guintptr) tagged & ORDER_MASK;

  if (bs_slabs_free ((gpointer) ((guintptr) tagged - order), order))
    request (GIVE_SPARE);
}

static gpointer
tag (guint8 *data, gsize size)
{
  return (gpointer) ((guintptr) data | bs_slabs_get_order (size));
}

void
bs_buffer_free (guint8 *data, gsize size)
{
  if (is_in_slabs (size))
    free_tagged (tag (data, size));
  else
    g_free (data);
}

GBytes *
bs_buffer_to_bytes (guint8 *data, gsize size)
{
  return is_in_slabs (size) ? g_bytes_new_with_free_func (data, size, free_tagged, tag (data, size))
                            : g_bytes_new_take (data, size);
}

GBytes *
bs_buffer_dup_bytes (GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);
  guint8 *copy = is_in_slabs (size) && size <= MAX_COPIED ? bs_buffer_new (size) : NULL;

  if (copy == NULL)
    return g_bytes_ref (bytes);

  memcpy (copy, data, size);
  return bs_buffer_to_bytes (copy, size);
}

static void
lock_for_fork (void)
{
  g_mutex_lock (&mutex);
}

static void
unlock_after_fork (void)
{
  g_mutex_unlock (&mutex);
}

/* The thread is the parent's. */
static void
begin_child (void)
{
  is_giving = FALSE;
  g_atomic_int_set (&wanted, 0);
  g_mutex_unlock (&mutex);
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (lock_for_fork, unlock_after_fork, begin_child);
}
