/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Which part of a space, that has no end, holds what. The space is cut into chunks, and a
 * chunk into slots of one size. Knows nothing of files. Not thread-safe. */

#define BS_FILE_CHUNK_SPACE (1024 * 1024)
#define BS_FILE_MAX_SLOT (BS_FILE_CHUNK_SPACE / 2)
#define BS_FILE_N_SLOT_SIZES 31
/* The slots of a block are laid out together. In larger blocks it costs more to write one of
 * many slots again. */
#define BS_FILE_BLOCK_SPACE (16 * 1024)

typedef struct
{
  guint32 chunk;
  guint16 index;        /* in the chunk */
  guint8 size;          /* number of its size */
} BsFileSlotPlace;

typedef struct _BsFileChunk BsFileChunk;

typedef struct
{
  BsFileChunk *chunks;
  guint32 n_chunks;
  guint32 n_chunks_used;        /* with a slot in use */
  guint32 rooms[BS_FILE_N_SLOT_SIZES]; /* of each size a chunk with room + 1, or 0 */
  GArray *warm;                 /* chunks without slots, that occupy the disk; the next to use comes last */
  GArray *cold;                 /* chunks without slots, that are holes */
  guint64 used;                 /* bytes of slots in use */
  guint64 idle;                 /* bytes that free slots between them occupy, as far as they could be holes */
  guint32 seen;                 /* the chunk where the last look for idle bytes ended */
  gboolean keeps;               /* no holes can be made */
} BsFileSlotSpace;

/* A part of the space that is to become a hole. */
typedef struct
{
  goffset offset;
  gsize length;
  gboolean whole;               /* a chunk, else slots of one */
  BsFileSlotPlace place;        /* the first slot */
  guint n_slots;
} BsFileHole;

void     bs_file_slot_space_init  (BsFileSlotSpace *self);
void     bs_file_slot_space_clear (BsFileSlotSpace *self);

/* `length` is BS_FILE_MAX_SLOT at most. */
void     bs_file_slot_space_take  (BsFileSlotSpace *self, gsize length, BsFileSlotPlace *place);
void     bs_file_slot_space_give  (BsFileSlotSpace *self, const BsFileSlotPlace *place);
/* Takes the slots behind a slot that was just taken that are to be laid out with it, for it
 * is the first of its block. Returns their number. */
guint    bs_file_slot_space_take_ahead (BsFileSlotSpace *self, const BsFileSlotPlace *place);
/* The slots are the next to be used. */
void     bs_file_slot_space_give_ahead (BsFileSlotSpace *self, const BsFileSlotPlace *place, guint n_slots);
goffset  bs_file_slot_space_get_offset (const BsFileSlotPlace *place);
gsize    bs_file_slot_space_get_size   (const BsFileSlotPlace *place);

/* Whether so much is free that some of it is to go back to the file system. */
gboolean bs_file_slot_space_has_excess (const BsFileSlotSpace *self);
/* Chooses a part of that, or of all that is free. It belongs to the caller until
 * bs_file_slot_space_end_hole(). FALSE where there is none. */
gboolean bs_file_slot_space_begin_hole (BsFileSlotSpace *self, gboolean all, BsFileHole *hole);
/* Without success no other hole is chosen. */
void     bs_file_slot_space_end_hole   (BsFileSlotSpace *self, const BsFileHole *hole, gboolean success);

G_END_DECLS
