/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-slabs-private.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A slab is a mapping of slots of one size, at an address that is a multiple of its own
 * size. There are eight sizes of slots to each power of two, so that a content wastes an
 * eighth at most. A slot that was used and is free is *spare*: its pages are there for
 * the next content, at no cost, until they are given back. */

/* Linux before 5.14 refuses it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MIN_ORDER 9 /* of BS_SLABS_MIN */
#define MAX_ORDER 22
#define N_CLASSES ((MAX_ORDER - MIN_ORDER) * 8 + 1)

#define MOST_SLOTS_ORDER 6 /* the bits of a guint64 */
#define MIN_SLAB_ORDER (MIN_ORDER + MOST_SLOTS_ORDER)

/* Pages come cheaper together than one by one. */
#define MIN_POPULATED (32 * 1024)

#define MIN_RESERVE (4 * 1024 * 1024)

/* How many slabs are given back in part at once. */
#define MOST_PARTS 32

typedef struct _Slab Slab;
struct _Slab
{
  /* constant */
  guint8 *memory; /* owned */
  gsize size;
  gsize slot_size;
  guint64 all;
  guint8 class;

  /* under the mutex */
  guint64 free;
  guint64 touched; /* slots whose pages are there */
  Slab *previous;  /* of those of the class that have a free slot */
  Slab *next;
};

static GMutex mutex;

/* under the mutex */
static Slab *with_free[N_CLASSES]; /* the last one that a slot of was freed comes first */
static GHashTable *slabs;          /* address → Slab, owned */
static gsize n_used;               /* bytes */
static gsize n_spare;              /* bytes */

/* The highest bit. One instruction, where g_bit_nth_msf() is a loop. */
static guint
order_of (gsize size)
{
  return g_bit_storage (size) - 1;
}

static gsize
class_of (gsize size, gsize *slot_size)
{
  guint order = order_of (size);
  gsize step = (gsize) 1 << (order - 3);

  *slot_size = (size + step - 1) & ~(step - 1);
  return (order - MIN_ORDER) * 8 + *slot_size / step - 8;
}

guint
bs_slabs_get_order (gsize size)
{
  gsize slot_size;

  class_of (size, &slot_size);
  return MIN (order_of (slot_size) + MOST_SLOTS_ORDER, MAX_ORDER) - MIN_SLAB_ORDER;
}

static gsize
slab_size_of (guint order)
{
  return (gsize) 1 << (order + MIN_SLAB_ORDER);
}

static guint
count_bits (guint64 bits)
{
  return __builtin_popcountll (bits);
}

static guint64
spare_of (const Slab *slab)
{
  return slab->free & slab->touched;
}

static void
link_first (Slab *slab)
{
  slab->previous = NULL;
  slab->next = with_free[slab->class];
  if (slab->next != NULL)
    slab->next->previous = slab;
  with_free[slab->class] = slab;
}

static void
unlink_slab (Slab *slab)
{
  if (slab->next != NULL)
    slab->next->previous = slab->previous;
  if (slab->previous != NULL)
    slab->previous->next = slab->next;
  else
    with_free[slab->class] = slab->next;
}

static guint8 *
map_aligned (gsize size)
{
  guint8 *data = mmap (NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  gsize before;

  if (data == MAP_FAILED)
    return NULL;

  before = -(guintptr) data % size;
  if (before > 0)
    munmap (data, before);
  munmap (data + before + size, size - before);
  /* A slot in use would keep a page of 2 MiB. */
  madvise (data + before, size, MADV_NOHUGEPAGE);

  return data + before;
}

static Slab *
slab_new (guint class, gsize slot_size)
{
  gsize size = slab_size_of (bs_slabs_get_order (slot_size));
  guint n_slots = size / slot_size;
  guint8 *memory = map_aligned (size);
  Slab *slab;

  if (memory == NULL)
    return NULL;

  slab = g_new0 (Slab, 1);
  slab->memory = memory;
  slab->size = size;
  slab->slot_size = slot_size;
  slab->class = class;
  slab->all = n_slots == 64 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << n_slots) - 1;
  slab->free = slab->all;

  return slab;
}

static void
slab_free (Slab *slab)
{
  munmap (slab->memory, slab->size);
  g_free (slab);
}

/* Returns the number of a slot that is in use from now on; pages of spare ones come
 * first. */
static guint
take_slot_locked (Slab *slab, gboolean *is_fresh)
{
  guint64 spare = spare_of (slab);
  guint slot = __builtin_ctzll (spare != 0 ? spare : slab->free);
  guint64 bit = G_GUINT64_CONSTANT (1) << slot;

  *is_fresh = spare == 0;
  slab->free &= ~bit;
  slab->touched |= bit;
  n_used += slab->slot_size;
  if (!*is_fresh)
    n_spare -= slab->slot_size;
  if (slab->free == 0)
    unlink_slab (slab);

  return slot;
}

gpointer
bs_slabs_alloc (gsize size)
{
  gsize slot_size;
  guint class = class_of (size, &slot_size);
  gboolean is_fresh;
  guint8 *data;
  Slab *slab;

  g_mutex_lock (&mutex);
  slab = with_free[class];
  if (slab == NULL)
    {
      g_mutex_unlock (&mutex);
      slab = slab_new (class, slot_size);
      if (slab == NULL)
        return NULL;
      g_mutex_lock (&mutex);
      if (slabs == NULL)
        slabs = g_hash_table_new (NULL, NULL);
      g_hash_table_insert (slabs, slab->memory, slab);
      link_first (slab);
    }
  data = slab->memory + take_slot_locked (slab, &is_fresh) * slot_size;
  g_mutex_unlock (&mutex);

  if (is_fresh && slot_size >= MIN_POPULATED)
    madvise (data, slot_size, MADV_POPULATE_WRITE);

  return data;
}

static gsize
get_reserve_locked (void)
{
  return MAX (MIN_RESERVE, n_used / 8);
}

gboolean
bs_slabs_free (gpointer data, guint order)
{
  guint8 *memory = (guint8 *) ((guintptr) data & ~(slab_size_of (order) - 1));
  gboolean has_much;
  Slab *slab;

  g_mutex_lock (&mutex);
  slab = g_hash_table_lookup (slabs, memory);
  if (slab->free == 0)
    link_first (slab);
  slab->free |= G_GUINT64_CONSTANT (1) << (((guint8 *) data - memory) / slab->slot_size);
  n_used -= slab->slot_size;
  n_spare += slab->slot_size;
  has_much = n_spare > 2 * get_reserve_locked ();
  g_mutex_unlock (&mutex);

  return has_much;
}

/* Slabs without a slot in use, by next. */
static Slab *
take_empty_locked (gsize keep)
{
  Slab *empty = NULL;

  for (guint class = 0; class < N_CLASSES; class ++)
    for (Slab *slab = with_free[class], *next; slab != NULL && n_spare > keep; slab = next)
      {
        next = slab->next;
        if (slab->free != slab->all)
          continue;
        unlink_slab (slab);
        g_hash_table_remove (slabs, slab->memory);
        n_spare -= count_bits (slab->touched) * slab->slot_size;
        slab->next = empty;
        empty = slab;
      }

  return empty;
}

/* Spare slots of a slab that has others in use. */
typedef struct
{
  Slab *slab;
  guint64 slots; /* that are kept from use meanwhile */
} Part;

/* The whole pages of spare slots that follow one another, from `slot` on. Returns the
 * number of the slot behind them. */
static guint
find_pages (const Part *part, guint slot, guint8 **start, guint8 **end)
{
  const gsize page = sysconf (_SC_PAGESIZE);
  const Slab *slab = part->slab;
  guint behind = slot;

  while (behind < 64 && (part->slots >> behind & 1) != 0)
    behind++;
  *start = slab->memory + ((slot * slab->slot_size + page - 1) & ~(page - 1));
  *end = slab->memory + (behind * slab->slot_size & ~(page - 1));

  return behind;
}

static gboolean
has_pages (const Part *part)
{
  guint8 *start, *end;

  for (guint64 left = part->slots; left != 0;)
    {
      guint slot = __builtin_ctzll (left);
      guint behind = find_pages (part, slot, &start, &end);

      if (start < end)
        return TRUE;
      left = behind < 64 ? left & (G_MAXUINT64 << behind) : 0;
    }

  return FALSE;
}

static guint
take_parts_locked (Part *parts, gsize keep)
{
  guint n_parts = 0;

  for (guint class = 0; class < N_CLASSES; class ++)
    for (Slab *slab = with_free[class], *next; slab != NULL; slab = next)
      {
        Part part = { slab, spare_of (slab) };

        next = slab->next;
        if (n_spare <= keep || n_parts == MOST_PARTS)
          return n_parts;
        if (slab->free == slab->all || !has_pages (&part))
          continue;
        slab->free &= ~part.slots;
        n_spare -= count_bits (part.slots) * slab->slot_size;
        if (slab->free == 0)
          unlink_slab (slab);
        parts[n_parts++] = part;
      }

  return n_parts;
}

/* Slots that follow one another and have given back a page count as given back. */
static void
give_back_part (Part *part)
{
  guint64 untouched = 0;

  for (guint64 left = part->slots; left != 0;)
    {
      guint slot = __builtin_ctzll (left);
      guint8 *start, *end;
      guint behind = find_pages (part, slot, &start, &end);

      if (start < end)
        {
          madvise (start, end - start, MADV_DONTNEED);
          for (; slot < behind; slot++)
            untouched |= G_GUINT64_CONSTANT (1) << slot;
        }
      left = behind < 64 ? left & (G_MAXUINT64 << behind) : 0;
    }

  g_mutex_lock (&mutex);
  if (part->slab->free == 0)
    link_first (part->slab);
  part->slab->free |= part->slots;
  part->slab->touched &= ~untouched;
  n_spare += count_bits (part->slots & ~untouched) * part->slab->slot_size;
  g_mutex_unlock (&mutex);
}

void
bs_slabs_give_back (gsize keep)
{
  Part parts[MOST_PARTS];
  Slab *empty, *next;
  guint n_parts;

  g_mutex_lock (&mutex);
  empty = take_empty_locked (keep);
  g_mutex_unlock (&mutex);

  for (; empty != NULL; empty = next)
    {
      next = empty->next;
      slab_free (empty);
    }

  do
    {
      g_mutex_lock (&mutex);
      n_parts = take_parts_locked (parts, keep);
      g_mutex_unlock (&mutex);

      for (guint i = 0; i < n_parts; i++)
        give_back_part (&parts[i]);
    }
  while (n_parts == MOST_PARTS);
}

gsize
bs_slabs_get_reserve (void)
{
  gsize reserve;

  g_mutex_lock (&mutex);
  reserve = get_reserve_locked ();
  g_mutex_unlock (&mutex);

  return reserve;
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

/* A child may drop contents that its parent had. */
__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (lock_for_fork, unlock_after_fork, unlock_after_fork);
}
