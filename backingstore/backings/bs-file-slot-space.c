/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-slot-space-private.h"

#include "base/bs-byte-set-private.h"

/* Below a page a slot cannot become a hole. */
#define PAGE 4096

/* Slots that can be holes have numbers below 256. */
G_STATIC_ASSERT (BS_FILE_CHUNK_SPACE / PAGE <= G_MAXUINT8 + 1);

/* Free space that stays allocated however little is in use, since it is soon used again. */
#define MIN_WARM_CHUNKS 16
#define MIN_IDLE (64 * 1024 * 1024)

struct _BsFileChunk
{
  guint8 size;      /* number of the size of its slots */
  gboolean is_warm; /* has been written when it had other slots */
  guint16 n_used;   /* slots in use, those that are becoming holes included */
  guint16 n_begun;  /* slots before this one have been used */
  guint16 n_free;   /* of those */
  guint16 n_holes;  /* of those again: the first in `free` */
  guint16 *free;    /* owned; the next to use comes last */
  guint32 previous; /* chunk + 1 with room for the same size, or 0 */
  guint32 next;
};

/* Whole pages from one page on, and no more than a fifth more than is asked for from four
 * pages on. */
static const guint32 sizes[] = {
  64,     128,    256,    512,    1024,   2048,   4096,   8192,   12288,  16384,  20480,
  24576,  28672,  32768,  40960,  49152,  57344,  65536,  81920,  98304,  114688, 131072,
  163840, 196608, 229376, 262144, 327680, 393216, 425984, 458752, 524288,
};

G_STATIC_ASSERT (G_N_ELEMENTS (sizes) == BS_FILE_N_SLOT_SIZES);

static guint8
choose_size (gsize length)
{
  guint low = 0;
  guint high = BS_FILE_N_SLOT_SIZES - 1;

  while (low < high)
    {
      guint middle = (low + high) / 2;

      if (sizes[middle] < length)
        low = middle + 1;
      else
        high = middle;
    }

  return low;
}

static guint
get_n_slots (const BsFileChunk *chunk)
{
  return BS_FILE_CHUNK_SPACE / sizes[chunk->size];
}

static gboolean
is_full (const BsFileChunk *chunk)
{
  return chunk->n_free == 0 && chunk->n_begun == get_n_slots (chunk);
}

void
bs_file_slot_space_init (BsFileSlotSpace *self)
{
  memset (self, 0, sizeof *self);
  self->warm = g_array_new (FALSE, FALSE, sizeof (guint32));
  self->cold = g_array_new (FALSE, FALSE, sizeof (guint32));
}

void
bs_file_slot_space_clear (BsFileSlotSpace *self)
{
  for (guint32 i = 0; i < self->n_chunks; i++)
    g_free (self->chunks[i].free);
  g_clear_pointer (&self->chunks, g_free);
  g_clear_pointer (&self->warm, g_array_unref);
  g_clear_pointer (&self->cold, g_array_unref);
}

goffset
bs_file_slot_space_get_offset (const BsFileSlotPlace *place)
{
  return (goffset) place->chunk * BS_FILE_CHUNK_SPACE + (goffset) place->index * sizes[place->size];
}

gsize
bs_file_slot_space_get_size (const BsFileSlotPlace *place)
{
  return sizes[place->size];
}

static void
link_room (BsFileSlotSpace *self, guint32 number)
{
  BsFileChunk *chunk = &self->chunks[number];
  guint32 *room = &self->rooms[chunk->size];

  chunk->previous = 0;
  chunk->next = *room;
  if (*room != 0)
    self->chunks[*room - 1].previous = number + 1;
  *room = number + 1;
}

static void
unlink_room (BsFileSlotSpace *self, guint32 number)
{
  BsFileChunk *chunk = &self->chunks[number];

  if (chunk->next != 0)
    self->chunks[chunk->next - 1].previous = chunk->previous;
  if (chunk->previous != 0)
    self->chunks[chunk->previous - 1].next = chunk->next;
  else
    self->rooms[chunk->size] = chunk->next;
}

static guint32
pop (GArray *chunks)
{
  guint32 number = g_array_index (chunks, guint32, chunks->len - 1);

  g_array_set_size (chunks, chunks->len - 1);

  return number;
}

/* The memory of the chunks doubles whenever their number reaches a power of two. */
static guint32
make_chunk (BsFileSlotSpace *self)
{
  if ((self->n_chunks & (self->n_chunks - 1)) == 0)
    self->chunks = g_renew (BsFileChunk, self->chunks, MAX (self->n_chunks * 2, 1));

  return self->n_chunks++;
}

/* Gives a chunk without slots to a size. */
static void
open_chunk (BsFileSlotSpace *self, guint8 size)
{
  gboolean is_warm = self->warm->len > 0;
  guint32 number = is_warm               ? pop (self->warm)
                   : self->cold->len > 0 ? pop (self->cold)
                                         : make_chunk (self);

  self->chunks[number] = (BsFileChunk){ .size = size, .is_warm = is_warm };
  self->n_chunks_used++;
  link_room (self, number);
}

/* The bytes of its free slots that could become holes. */
static guint64
get_idle (const BsFileChunk *chunk)
{
  return sizes[chunk->size] < PAGE
           ? 0
           : (guint64) (chunk->n_free - chunk->n_holes) * sizes[chunk->size];
}

/* Gives a chunk whose slots are all free to any size. */
static void
close_chunk (BsFileSlotSpace *self, guint32 number)
{
  BsFileChunk *chunk = &self->chunks[number];

  unlink_room (self, number);
  g_clear_pointer (&chunk->free, g_free);
  self->n_chunks_used--;
  g_array_append_val (self->warm, number);
}

static guint16
take_slot (BsFileSlotSpace *self, BsFileChunk *chunk)
{
  guint16 index;

  self->idle -= get_idle (chunk);
  if (chunk->n_free > 0)
    {
      index = chunk->free[--chunk->n_free];
      chunk->n_holes = MIN (chunk->n_holes, chunk->n_free);
    }
  else
    {
      index = chunk->n_begun++;
    }
  chunk->n_used++;
  self->idle += get_idle (chunk);

  return index;
}

void
bs_file_slot_space_take (BsFileSlotSpace *self, gsize length, BsFileSlotPlace *place)
{
  guint8 size = choose_size (length);
  BsFileChunk *chunk;

  g_return_if_fail (length <= BS_FILE_MAX_SLOT);

  if (self->rooms[size] == 0)
    open_chunk (self, size);

  place->size = size;
  place->chunk = self->rooms[size] - 1;
  chunk = &self->chunks[place->chunk];
  place->index = take_slot (self, chunk);
  self->used += sizes[size];
  if (is_full (chunk))
    unlink_room (self, place->chunk);
}

guint
bs_file_slot_space_take_ahead (BsFileSlotSpace *self, const BsFileSlotPlace *place)
{
  BsFileChunk *chunk = &self->chunks[place->chunk];
  const guint n_in_block = BS_FILE_BLOCK_SPACE / sizes[chunk->size];
  guint n_slots;

  if (chunk->is_warm || n_in_block == 0 || place->index + 1 != chunk->n_begun ||
      (gsize) place->index * sizes[chunk->size] % BS_FILE_BLOCK_SPACE != 0)
    return 0;

  n_slots = MIN (n_in_block - 1, get_n_slots (chunk) - chunk->n_begun);
  if (n_slots == 0)
    return 0;

  chunk->n_begun += n_slots;
  chunk->n_used += n_slots;
  if (is_full (chunk))
    unlink_room (self, place->chunk);

  return n_slots;
}

/* A hole goes below the slots that are none, else the slot is the next to be used. */
static void
give_slot (BsFileSlotSpace *self, const BsFileSlotPlace *place, gboolean is_hole)
{
  BsFileChunk *chunk = &self->chunks[place->chunk];
  gboolean was_full = is_full (chunk);

  if (chunk->free == NULL)
    chunk->free = g_new (guint16, get_n_slots (chunk));

  self->idle -= get_idle (chunk);
  chunk->free[chunk->n_free++] = place->index;
  if (is_hole)
    {
      chunk->free[chunk->n_free - 1] = chunk->free[chunk->n_holes];
      chunk->free[chunk->n_holes++] = place->index;
    }
  chunk->n_used--;

  if (was_full)
    link_room (self, place->chunk);
  if (chunk->n_used == 0)
    close_chunk (self, place->chunk);
  else
    self->idle += get_idle (chunk);
}

void
bs_file_slot_space_give (BsFileSlotSpace *self, const BsFileSlotPlace *place)
{
  self->used -= sizes[place->size];
  give_slot (self, place, FALSE);
}

void
bs_file_slot_space_give_ahead (BsFileSlotSpace *self, const BsFileSlotPlace *place, guint n_slots)
{
  BsFileSlotPlace ahead = *place;

  for (guint i = n_slots; i > 0; i--)
    {
      ahead.index = place->index + i;
      give_slot (self, &ahead, FALSE);
    }
}

/* Where more is free than in use, there is a chunk where it is so. A chunk without slots in
 * use counts no idle bytes. */
static gboolean
has_idle (const BsFileChunk *chunk, gboolean any)
{
  return chunk->n_used > 0 && get_idle (chunk) > 0 &&
         (any || chunk->n_free - chunk->n_holes >= chunk->n_used);
}

/* The next call goes on from there. */
static gboolean
find_idle (BsFileSlotSpace *self, gboolean any)
{
  for (guint32 n = 0; n < self->n_chunks; n++)
    {
      if (has_idle (&self->chunks[self->seen], any))
        return TRUE;
      self->seen = (self->seen + 1) % self->n_chunks;
    }

  return FALSE;
}

/* Finds the free slots around one, those that are holes already included. */
static void
find_free_run (const BsFileChunk *chunk, guint16 slot, guint16 *first, guint16 *last)
{
  BsByteSet free_slots = { { 0 } };

  for (guint i = 0; i < chunk->n_free; i++)
    bs_byte_set_add (&free_slots, chunk->free[i]);

  *first = *last = slot;
  while (*first > 0 && bs_byte_set_contains (&free_slots, *first - 1))
    (*first)--;
  while (*last < G_MAXUINT8 && bs_byte_set_contains (&free_slots, *last + 1))
    (*last)++;
}

/* Takes the slot that has been free for longest, and its neighbours: a large hole costs
 * hardly more than a small one. */
static void
take_for_hole (BsFileSlotSpace *self, BsFileHole *hole)
{
  BsFileChunk *chunk = &self->chunks[self->seen];
  guint16 first, last;
  guint n_holes = 0;
  guint n_free = 0;

  find_free_run (chunk, chunk->free[chunk->n_holes], &first, &last);
  hole->place = (BsFileSlotPlace){ .chunk = self->seen, .index = first, .size = chunk->size };
  hole->n_slots = last - first + 1;

  self->idle -= get_idle (chunk);
  for (guint i = 0; i < chunk->n_free; i++)
    if (chunk->free[i] < first || chunk->free[i] > last)
      {
        chunk->free[n_free++] = chunk->free[i];
        n_holes += i < chunk->n_holes;
      }
  chunk->n_free = n_free;
  chunk->n_holes = n_holes;
  chunk->n_used += hole->n_slots;
  self->idle += get_idle (chunk);
  if (is_full (chunk))
    unlink_room (self, self->seen);
}

static guint
get_most_warm (const BsFileSlotSpace *self)
{
  return MAX (MIN_WARM_CHUNKS, self->n_chunks_used / 4);
}

static guint64
get_most_idle (const BsFileSlotSpace *self)
{
  return MAX (MIN_IDLE, self->used);
}

gboolean
bs_file_slot_space_has_excess (const BsFileSlotSpace *self)
{
  return !self->keeps &&
         (self->warm->len > get_most_warm (self) || self->idle > get_most_idle (self));
}

gboolean
bs_file_slot_space_begin_hole (BsFileSlotSpace *self, gboolean all, BsFileHole *hole)
{
  if (self->keeps)
    return FALSE;

  if (self->warm->len > (all ? 0 : get_most_warm (self)))
    {
      hole->whole = TRUE;
      hole->place.chunk = g_array_index (self->warm, guint32, 0);
      g_array_remove_index (self->warm, 0);
      hole->offset = (goffset) hole->place.chunk * BS_FILE_CHUNK_SPACE;
      hole->length = BS_FILE_CHUNK_SPACE;
      return TRUE;
    }

  if (self->idle <= (all ? 0 : get_most_idle (self)) || !find_idle (self, all))
    return FALSE;

  hole->whole = FALSE;
  take_for_hole (self, hole);
  hole->offset = bs_file_slot_space_get_offset (&hole->place);
  hole->length = (gsize) hole->n_slots * sizes[hole->place.size];

  return TRUE;
}

void
bs_file_slot_space_end_hole (BsFileSlotSpace *self, const BsFileHole *hole, gboolean success)
{
  if (!success)
    self->keeps = TRUE;

  if (hole->whole)
    {
      g_array_append_val (success ? self->cold : self->warm, hole->place.chunk);
      return;
    }

  for (guint i = 0; i < hole->n_slots; i++)
    {
      BsFileSlotPlace place = hole->place;

      place.index += i;
      give_slot (self, &place, success);
    }
}
