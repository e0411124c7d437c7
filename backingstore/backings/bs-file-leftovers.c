/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-leftovers-private.h"

#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

typedef struct
{
  int code;
  gboolean kept;
} Removal;

static int
remove_entry (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data)
{
  Removal *removal = user_data;

  if ((kind == BS_FILE_ENTRY_BLOB || kind == BS_FILE_ENTRY_LEFTOVER) &&
      unlinkat (fd, name, 0) != 0 && errno != ENOENT)
    removal->code = errno;

  /* A folder with foreign files stays. */
  if (kind == BS_FILE_ENTRY_SHARD && unlinkat (fd, name, AT_REMOVEDIR) != 0)
    removal->kept = TRUE;

  return 0;
}

/* Temporary files beside the folders go at once, since there are few. */
static int
find_entry (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data)
{
  BsFileLeftovers *self = user_data;

  if (kind == BS_FILE_ENTRY_LEFTOVER && unlinkat (fd, name, 0) != 0 && errno != ENOENT)
    return errno;

  if (kind == BS_FILE_ENTRY_SHARD)
    {
      g_atomic_int_set (&self->unswept[g_ascii_xdigit_value (name[0]) * 16 +
                                       g_ascii_xdigit_value (name[1])],
                        TRUE);
      self->any = TRUE;
    }

  return 0;
}

void
bs_file_leftovers_init (BsFileLeftovers *self)
{
  g_mutex_init (&self->mutex);
}

void
bs_file_leftovers_clear (BsFileLeftovers *self)
{
  g_mutex_clear (&self->mutex);
}

int
bs_file_leftovers_find (BsFileLeftovers *self, int fd, GCancellable *cancellable)
{
  return bs_file_walk_top (fd, cancellable, find_entry, self);
}

int
bs_file_leftovers_sweep (BsFileLeftovers *self,
                         int fd,
                         guint shard,
                         gboolean *kept,
                         GCancellable *cancellable)
{
  Removal removal = { 0 };
  char name[3];
  int code = 0;

  if (!bs_file_leftovers_is_unswept (self, shard))
    return 0;

  bs_file_shard_print_name (shard, name);
  g_mutex_lock (&self->mutex);
  if (bs_file_leftovers_is_unswept (self, shard))
    {
      code = bs_file_walk_shard (fd, name, cancellable, remove_entry, &removal);
      if (code == 0)
        code = removal.code;
      /* Another thread may write to the folder as soon as it is swept. */
      if (removal.kept)
        g_atomic_int_set (kept, TRUE);
      if (code == 0)
        g_atomic_int_set (&self->unswept[shard], FALSE);
    }
  g_mutex_unlock (&self->mutex);

  return code;
}

int
bs_file_leftovers_remove_all (int fd, gboolean *kept, GCancellable *cancellable)
{
  Removal removal = { 0 };
  int code = bs_file_walk (fd, cancellable, remove_entry, &removal);

  if (removal.kept)
    g_atomic_int_set (kept, TRUE);

  return code != 0 ? code : removal.code;
}
