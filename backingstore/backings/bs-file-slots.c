/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-slots-private.h"

#include "bs-file-buffer-private.h"
#include "bs-file-digest-private.h"

#include "base/bs-fork-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Some file systems have no larger files than this by far. */
#define FILE_SPACE (G_GINT64_CONSTANT (1) << 30)

/* For so long free space is kept for the next blobs, and for free space beside it, with which
 * it becomes one hole. A program that ends drops all of its blobs by then, and needs no hole. */
#define TRIM_PAUSE G_TIME_SPAN_SECOND

/* A part of a file, which stays open for the caller. */
typedef struct
{
  int fd;
  goffset offset;
  guint n_ahead; /* slots behind it that were never written: the caller's, to be laid out */
} Room;

void
bs_file_slots_init (BsFileSlots *self, BsFileSlotsOpen open, gpointer open_data)
{
  self->open = open;
  self->open_data = open_data;
  self->n_forks = bs_n_forks;
  self->trim_pause = TRIM_PAUSE;
  g_mutex_init (&self->giving);
  g_mutex_init (&self->mutex);
  g_cond_init (&self->closing);
  bs_file_slot_space_init (&self->space);
  self->fds = g_array_new (FALSE, FALSE, sizeof (int));
}

static void
close_files (BsFileSlots *self)
{
  for (guint i = 0; i < self->fds->len; i++)
    close (g_array_index (self->fds, int, i));
  g_array_set_size (self->fds, 0);
}

void
bs_file_slots_clear (BsFileSlots *self)
{
  /* A thread of the parent may have held the mutex, and have been in the middle of a change. */
  if (self->n_forks != bs_n_forks)
    {
      close_files (self);
      return;
    }

  bs_file_slots_close (self);
  g_clear_pointer (&self->fds, g_array_unref);
  bs_file_slot_space_clear (&self->space);
  g_cond_clear (&self->closing);
  g_mutex_clear (&self->mutex);
  g_mutex_clear (&self->giving);
}

/* A forked child may have copies of the descriptors, but keeps no room on the disk. */
static void
empty_files_locked (BsFileSlots *self)
{
  for (guint i = 0; i < self->fds->len; i++)
    {
      if (ftruncate (g_array_index (self->fds, int, i), 0) != 0)
        g_debug ("cannot empty a scratch file: %s", g_strerror (errno));
    }
}

/* The files of closed slots go with the last user. */
static void
close_unused_locked (BsFileSlots *self)
{
  if (self->closed && self->n_users == 0)
    {
      empty_files_locked (self);
      close_files (self);
    }
}

/* No slot is found any more once the files may close. */
void
bs_file_slots_close (BsFileSlots *self)
{
  g_mutex_lock (&self->mutex);
  self->closed = TRUE;
  bs_file_slot_table_clear (&self->table);
  close_unused_locked (self);
  g_cond_signal (&self->closing);
  g_mutex_unlock (&self->mutex);

  g_clear_pointer (&self->trimmer, g_thread_join);
}

static Room
get_room_locked (BsFileSlots *self, goffset offset)
{
  return (Room){ .fd = g_array_index (self->fds, int, offset / FILE_SPACE),
                 .offset = offset % FILE_SPACE };
}

static void
leave_locked (BsFileSlots *self)
{
  self->n_users--;
  close_unused_locked (self);
}

/* Opens files up to the one at the offset. */
static int
open_files_locked (BsFileSlots *self, goffset offset)
{
  if (self->fds->len == 0)
    self->n_forks = bs_n_forks;
  while (offset / FILE_SPACE >= self->fds->len)
    {
      int fd;
      int code = self->open (self->open_data, &fd);

      if (code != 0)
        return code;
      g_array_append_val (self->fds, fd);
    }

  return 0;
}

/* A process that may write no such large file would be killed for trying to. The system is
 * asked once for each size: that takes a tenth of what writing a page does. */
static gboolean
is_allowed_locked (BsFileSlots *self, goffset end)
{
  struct rlimit limit;

  if (end <= self->allowed_end)
    return TRUE;
  if (getrlimit (RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      (guint64) end > limit.rlim_cur)
    return FALSE;

  self->allowed_end = end;
  return TRUE;
}

static gboolean
make_hole (const Room *room, gsize length)
{
  return TEMP_FAILURE_RETRY (fallocate (room->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                        room->offset, length)) == 0;
}

/* A file system that takes no parts back gets all when nothing is used any more. */
static void
empty_unused_locked (BsFileSlots *self)
{
  if (self->space.keeps && self->table.n_slots == 0 && self->n_users == 0)
    empty_files_locked (self);
}

/* Gives back to the file system what is free beyond a measure, or all. Called with the mutex
 * held, which it releases meanwhile. */
static void
trim_locked (BsFileSlots *self, gboolean all)
{
  BsFileHole hole;

  while (!self->closed && bs_file_slot_space_begin_hole (&self->space, all, &hole))
    {
      gboolean made;
      Room room;

      /* A chunk whose file could not be opened occupies nothing. */
      if (hole.offset / FILE_SPACE >= self->fds->len)
        {
          bs_file_slot_space_end_hole (&self->space, &hole, TRUE);
          continue;
        }

      room = get_room_locked (self, hole.offset);
      self->n_users++;
      g_mutex_unlock (&self->mutex);
      made = make_hole (&room, hole.length);
      g_mutex_lock (&self->mutex);
      bs_file_slot_space_end_hole (&self->space, &hole, made);
      leave_locked (self);
      g_atomic_int_add (&self->n_given, made);
    }

  empty_unused_locked (self);
}

static gpointer
run_trimmer (gpointer data)
{
  BsFileSlots *self = data;
  const gint64 end = g_get_monotonic_time () + self->trim_pause;

  g_mutex_lock (&self->mutex);
  while (!self->closed && g_cond_wait_until (&self->closing, &self->mutex, end))
    ;
  trim_locked (self, FALSE);
  self->is_trimming = FALSE;
  g_mutex_unlock (&self->mutex);

  return NULL;
}

/* Where no thread can be made, the next removal tries again. */
static void
start_trimmer_locked (BsFileSlots *self)
{
  if (self->is_trimming || self->closed)
    return;

  g_clear_pointer (&self->trimmer, g_thread_join);
  self->trimmer = g_thread_try_new ("backing-trimmer", run_trimmer, self, NULL);
  self->is_trimming = self->trimmer != NULL;
}

static int
take_slot (BsFileSlots *self, const BsKey *key, gsize size, BsFileSlotPlace *place, Room *room)
{
  goffset offset;
  int code = 0;

  g_mutex_lock (&self->mutex);
  if (self->closed)
    code = EBADF;
  else if (bs_file_slot_table_lookup (&self->table, key) != NULL)
    code = EEXIST;
  if (code == 0)
    {
      bs_file_slot_space_take (&self->space, size, place);
      offset = bs_file_slot_space_get_offset (place);
      if (!is_allowed_locked (self, offset % FILE_SPACE + size) ||
          open_files_locked (self, offset) != 0)
        {
          bs_file_slot_space_give (&self->space, place);
          code = ENOTSUP;
        }
      else
        {
          *room = get_room_locked (self, offset);
          if (self->lays_out)
            room->n_ahead = bs_file_slot_space_take_ahead (&self->space, place);
          self->n_users++;
        }
    }
  g_mutex_unlock (&self->mutex);

  return code;
}

/* Makes the slot the key's, or after an error gives it back. */
static int
end_write (BsFileSlots *self, BsFileSlot *slot, const Room *room, int code)
{
  if (code != 0)
    make_hole (room, bs_file_slot_space_get_size (&slot->place));

  g_mutex_lock (&self->mutex);
  bs_file_slot_space_give_ahead (&self->space, &slot->place, room->n_ahead);
  if (code == 0 && self->closed)
    code = EBADF;
  if (code == 0 && !bs_file_slot_table_add (&self->table, slot))
    code = EEXIST;
  if (code != 0)
    bs_file_slot_space_give (&self->space, &slot->place);
  leave_locked (self);
  g_mutex_unlock (&self->mutex);

  return code;
}

/* Slots are as good where this fails. */
static void
lay_out (const Room *room, const BsFileSlotPlace *place)
{
  static guint8 zeros[BS_FILE_BLOCK_SPACE];
  const gsize size = (room->n_ahead + 1) * bs_file_slot_space_get_size (place);

  if (TEMP_FAILURE_RETRY (pwrite (room->fd, zeros, size, room->offset)) < 0)
    g_debug ("cannot lay out scratch: %s", g_strerror (errno));
}

static int
write_at (const Room *room, const guint8 *data, gsize size)
{
  for (gsize at = 0; at < size;)
    {
      gssize part = TEMP_FAILURE_RETRY (pwrite (room->fd, data + at, size - at, room->offset + at));

      if (part < 0)
        return errno;
      if (part == 0)
        return EIO;
      at += part;
    }

  return 0;
}

/* EBADMSG if there is less than `size`. */
static int
read_at (const Room *room, guint8 *data, gsize size)
{
  for (gsize at = 0; at < size;)
    {
      gssize part = TEMP_FAILURE_RETRY (pread (room->fd, data + at, size - at, room->offset + at));

      if (part < 0)
        return errno;
      if (part == 0)
        return EBADMSG;
      at += part;
    }

  return 0;
}

static guint64
hash_content (const guint8 *data, gsize size)
{
  BsFileHasher hasher;
  BsFileDigest digest;

  bs_file_hasher_init (&hasher, size);
  for (gsize at = 0; at < size; at += BS_FILE_CHUNK_SIZE)
    bs_file_hasher_add (&hasher, data + at, MIN (size - at, BS_FILE_CHUNK_SIZE));
  bs_file_hasher_end (&hasher, &digest);

  return digest.hash;
}

int
bs_file_slots_write (BsFileSlots *self, const BsKey *key, GBytes *bytes, GCancellable *cancellable)
{
  BsFileSlot slot = { .key = *key };
  const guint8 *data;
  gsize size;
  Room room;
  int code;

  if (g_cancellable_is_cancelled (cancellable))
    return ECANCELED;

  data = g_bytes_get_data (bytes, &size);
  if (size > BS_FILE_MAX_SLOT)
    return ENOTSUP;

  code = take_slot (self, key, size, &slot.place, &room);
  if (code != 0)
    return code;

  if (room.n_ahead > 0)
    lay_out (&room, &slot.place);
  code = write_at (&room, data, size);
  slot.hash = hash_content (data, size);
  slot.length = size;

  return end_write (self, &slot, &room, code);
}

int
bs_file_slots_read (BsFileSlots *self, const BsKey *key, GCancellable *cancellable, GBytes **bytes)
{
  const BsFileSlot *found;
  BsFileSlot slot;
  guint8 *data;
  Room room;
  int code;

  if (g_cancellable_is_cancelled (cancellable))
    return ECANCELED;

  g_mutex_lock (&self->mutex);
  found = bs_file_slot_table_lookup (&self->table, key);
  if (found != NULL)
    {
      slot = *found;
      room = get_room_locked (self, bs_file_slot_space_get_offset (&slot.place));
      self->n_users++;
    }
  g_mutex_unlock (&self->mutex);
  if (found == NULL)
    return ENOENT;

  data = bs_file_buffer_new (slot.length);
  code = data != NULL ? read_at (&room, data, slot.length) : ENOMEM;
  g_mutex_lock (&self->mutex);
  leave_locked (self);
  g_mutex_unlock (&self->mutex);

  if (code == 0 && hash_content (data, slot.length) != slot.hash)
    code = EILSEQ;
  if (code == 0)
    *bytes = bs_file_buffer_to_bytes (data, slot.length);
  else if (data != NULL)
    bs_file_buffer_free (data, slot.length);

  return code;
}

gboolean
bs_file_slots_remove (BsFileSlots *self, const BsKey *key)
{
  BsFileSlot slot;
  gboolean removed;

  g_mutex_lock (&self->mutex);
  removed = bs_file_slot_table_remove (&self->table, key, &slot);
  if (removed)
    {
      bs_file_slot_space_give (&self->space, &slot.place);
      if (bs_file_slot_space_has_excess (&self->space))
        start_trimmer_locked (self);
      empty_unused_locked (self);
    }
  g_mutex_unlock (&self->mutex);

  return removed;
}

gboolean
bs_file_slots_contains (BsFileSlots *self, const BsKey *key, gsize *length)
{
  const BsFileSlot *slot;

  g_mutex_lock (&self->mutex);
  slot = bs_file_slot_table_lookup (&self->table, key);
  if (slot != NULL && length != NULL)
    *length = slot->length;
  g_mutex_unlock (&self->mutex);

  return slot != NULL;
}

guint
bs_file_slots_get_n_given (BsFileSlots *self)
{
  return g_atomic_int_get (&self->n_given);
}

/* A thread that comes while another one gives back waits for the room that this makes. */
gboolean
bs_file_slots_give_back (BsFileSlots *self, guint n_given)
{
  g_mutex_lock (&self->giving);
  g_mutex_lock (&self->mutex);
  trim_locked (self, TRUE);
  g_mutex_unlock (&self->mutex);
  g_mutex_unlock (&self->giving);

  return bs_file_slots_get_n_given (self) != n_given;
}
