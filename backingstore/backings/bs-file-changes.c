/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-changes-private.h"

#include "bs-file-io-private.h"
#include "bs-file-system-private.h"
#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void
bs_file_keys_init (BsFileKeys *self)
{
  g_mutex_init (&self->mutex);
  bs_key_table_init (&self->keys, 0);
}

void
bs_file_keys_clear (BsFileKeys *self)
{
  bs_key_table_clear (&self->keys);
  g_mutex_clear (&self->mutex);
}

void
bs_file_keys_add (BsFileKeys *self, const BsKey *key)
{
  g_mutex_lock (&self->mutex);
  bs_key_table_add (&self->keys, key, bs_key_hash (key));
  g_atomic_int_set (&self->any, TRUE);
  g_mutex_unlock (&self->mutex);
}

void
bs_file_keys_add_all (BsFileKeys *self)
{
  g_mutex_lock (&self->mutex);
  self->all = TRUE;
  g_atomic_int_set (&self->any, TRUE);
  g_mutex_unlock (&self->mutex);
}

void
bs_file_keys_remove (BsFileKeys *self, const BsKey *key)
{
  if (!g_atomic_int_get (&self->any))
    return;

  g_mutex_lock (&self->mutex);
  bs_key_table_remove (&self->keys, key, bs_key_hash (key));
  g_atomic_int_set (&self->any, self->all || self->keys.n_keys > 0);
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_file_keys_contains (BsFileKeys *self, const BsKey *key)
{
  gboolean contains;

  if (G_LIKELY (!g_atomic_int_get (&self->any)))
    return FALSE;

  g_mutex_lock (&self->mutex);
  contains = self->all || bs_key_table_contains (&self->keys, key, bs_key_hash (key));
  g_mutex_unlock (&self->mutex);

  return contains;
}

gboolean
bs_file_keys_is_all (BsFileKeys *self)
{
  gboolean all;

  g_mutex_lock (&self->mutex);
  all = self->all;
  g_mutex_unlock (&self->mutex);

  return all;
}

void
bs_file_keys_copy (BsFileKeys *self, BsKeyTable *keys)
{
  g_mutex_lock (&self->mutex);
  bs_key_table_copy (&self->keys, keys);
  g_mutex_unlock (&self->mutex);
}

static guint
get_shard (const BsKey *key)
{
  return ((const guint8 *) key)[0];
}

void
bs_file_pending_clear (BsFilePending *self)
{
  bs_key_table_clear (&self->linked);
  bs_key_table_clear (&self->renamed);
  memset (self, 0, sizeof *self);
}

gboolean
bs_file_pending_is_many (const BsFilePending *self)
{
  guint64 n_changes = self->linked.n_keys;

  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    n_changes += bs_byte_set_contains (&self->changed, shard);

  return self->everything || n_changes >= BS_FILE_MANY_CHANGES;
}

static gboolean
is_empty (const BsFilePending *pending)
{
  return bs_byte_set_is_empty (&pending->changed) && bs_byte_set_is_empty (&pending->made) &&
         pending->linked.n_keys == 0 && pending->renamed.n_keys == 0 && !pending->quarantine &&
         !pending->root && !pending->everything;
}

static void
set_everything (BsFilePending *pending)
{
  bs_file_pending_clear (pending);
  pending->everything = TRUE;
}

static void
add_key (BsFilePending *pending, BsKeyTable *table, const BsKey *key)
{
  if (pending->everything)
    return;

  bs_byte_set_add (&pending->changed, get_shard (key));
  bs_key_table_add (table, key, bs_key_hash (key));

  if (pending->linked.n_keys + pending->renamed.n_keys > BS_FILE_MAX_NAMES)
    set_everything (pending);
}

void
bs_file_pending_add (BsFilePending *self, const BsKey *key, BsFileChange change)
{
  if (change == BS_FILE_CHANGE_LINKED)
    add_key (self, &self->linked, key);
  else if (change == BS_FILE_CHANGE_RENAMED)
    add_key (self, &self->renamed, key);
}

/* The folder of the key has changed too. */
static void
remove_key (BsFilePending *pending, const BsKey *key)
{
  guint64 hash = bs_key_hash (key);

  bs_byte_set_add (&pending->changed, get_shard (key));
  bs_key_table_remove (&pending->linked, key, hash);
  bs_key_table_remove (&pending->renamed, key, hash);
}

void
bs_file_changes_init (BsFileChanges *self)
{
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
  bs_file_keys_init (&self->failed);
}

void
bs_file_changes_clear (BsFileChanges *self)
{
  bs_file_pending_clear (&self->pending);
  bs_file_keys_clear (&self->failed);
  g_cond_clear (&self->cond);
  g_mutex_clear (&self->mutex);
}

/* Any file of that name is a mark. A mark that could not be made durable is removed and
 * made anew the next time: a second fsync that succeeds proves nothing. */
static int
make_mark (int fd, gboolean *made)
{
  const mode_t mode = bs_file_get_mode (fd);
  int mark_fd = TEMP_FAILURE_RETRY (
    openat (fd, BS_FILE_DIRTY_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  int code;

  *made = mark_fd >= 0;
  if (mark_fd < 0 && errno != EEXIST)
    return errno;

  if (mark_fd >= 0)
    {
      fchmod (mark_fd, mode);
      close (mark_fd);
    }

  code = bs_file_system_sync_folder (fd);
  if (code != 0 && mark_fd >= 0)
    unlinkat (fd, BS_FILE_DIRTY_NAME, 0);

  return code;
}

/* Called with the mutex held, and drops it meanwhile. */
static int
mark_locked (BsFileChanges *self, int fd)
{
  gboolean made;
  int code;

  self->marking = TRUE;
  g_mutex_unlock (&self->mutex);
  code = make_mark (fd, &made);
  g_mutex_lock (&self->mutex);
  self->marking = FALSE;

  self->marked = code == 0;
  self->mark_stands |= code == 0;
  self->mark_is_ours |= code == 0 && made;
  g_cond_broadcast (&self->cond);

  return code;
}

gboolean
bs_file_changes_is_marked (BsFileChanges *self)
{
  gboolean marked;

  g_mutex_lock (&self->mutex);
  marked = self->marked;
  g_mutex_unlock (&self->mutex);

  return marked;
}

gboolean
bs_file_changes_is_linked (BsFileChanges *self, const BsKey *key)
{
  gboolean linked;

  g_mutex_lock (&self->mutex);
  linked = self->pending.everything ||
           bs_key_table_contains (&self->pending.linked, key, bs_key_hash (key));
  g_mutex_unlock (&self->mutex);

  return linked;
}

gboolean
bs_file_changes_is_changed (BsFileChanges *self, guint shard)
{
  gboolean changed;

  g_mutex_lock (&self->mutex);
  changed = self->pending.everything || bs_byte_set_contains (&self->pending.changed, shard);
  g_mutex_unlock (&self->mutex);

  return changed;
}

int
bs_file_changes_begin (BsFileChanges *self, int fd)
{
  int code = 0;

  g_mutex_lock (&self->mutex);
  while (code == 0 && !self->marked)
    {
      if (self->marking)
        g_cond_wait (&self->cond, &self->mutex);
      else
        code = mark_locked (self, fd);
    }
  if (code == 0)
    self->n_adding++;
  g_mutex_unlock (&self->mutex);

  return code;
}

void
bs_file_changes_end (BsFileChanges *self, const BsKey *key, BsFileChange change)
{
  g_mutex_lock (&self->mutex);
  self->n_adding--;
  /* The rename replaced a file that was not durable by one that is. */
  if (change == BS_FILE_CHANGE_RENAMED)
    bs_key_table_remove (&self->pending.linked, key, bs_key_hash (key));
  bs_file_pending_add (&self->pending, key, change);
  g_mutex_unlock (&self->mutex);
}

void
bs_file_changes_make_shard (BsFileChanges *self, guint shard)
{
  g_mutex_lock (&self->mutex);
  bs_byte_set_add (&self->making, shard);
  g_mutex_unlock (&self->mutex);
}

/* Another thread may have made the same folder. */
void
bs_file_changes_made_shard (BsFileChanges *self, guint shard)
{
  g_mutex_lock (&self->mutex);
  bs_byte_set_remove (&self->making, shard);
  bs_byte_set_add (&self->pending.made, shard);
  self->pending.root = TRUE;
  g_mutex_unlock (&self->mutex);
}

void
bs_file_changes_removed (BsFileChanges *self, const BsKey *key)
{
  g_mutex_lock (&self->mutex);
  remove_key (&self->pending, key);
  g_mutex_unlock (&self->mutex);

  bs_file_keys_remove (&self->failed, key);
}

void
bs_file_changes_set_aside (BsFileChanges *self, const BsKey *key)
{
  g_mutex_lock (&self->mutex);
  remove_key (&self->pending, key);
  self->pending.quarantine = TRUE;
  self->pending.root = TRUE;
  g_mutex_unlock (&self->mutex);

  bs_file_keys_remove (&self->failed, key);
}

void
bs_file_changes_set_unknown (BsFileChanges *self)
{
  g_mutex_lock (&self->mutex);
  set_everything (&self->pending);
  g_mutex_unlock (&self->mutex);
}

/* A folder in the making may exist already, with blobs in it. */
void
bs_file_changes_take (BsFileChanges *self, BsFilePending *taken)
{
  g_mutex_lock (&self->mutex);
  *taken = self->pending;
  for (guint i = 0; i < G_N_ELEMENTS (self->making.words); i++)
    {
      taken->made.words[i] |= self->making.words[i];
      taken->root |= self->making.words[i] != 0;
    }
  memset (&self->pending, 0, sizeof self->pending);
  g_mutex_unlock (&self->mutex);
}

static void
add_keys (BsFilePending *pending, BsKeyTable *table, const BsKeyTable *keys)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (keys, &iter, &key))
    add_key (pending, table, key);
}

/* Clears `taken`. */
void
bs_file_changes_restore (BsFileChanges *self, BsFilePending *taken)
{
  BsFilePending *pending = &self->pending;

  g_mutex_lock (&self->mutex);
  if (taken->everything)
    set_everything (pending);
  add_keys (pending, &pending->linked, &taken->linked);
  add_keys (pending, &pending->renamed, &taken->renamed);
  for (guint i = 0; i < G_N_ELEMENTS (pending->changed.words); i++)
    {
      pending->changed.words[i] |= taken->changed.words[i];
      pending->made.words[i] |= taken->made.words[i];
    }
  pending->quarantine |= taken->quarantine;
  pending->root |= taken->root;
  g_mutex_unlock (&self->mutex);

  bs_file_pending_clear (taken);
}

static void
set_failed_code (BsFileChanges *self, int code)
{
  g_mutex_lock (&self->mutex);
  if (self->failed_code == 0 || !g_atomic_int_get (&self->failed.any))
    self->failed_code = code;
  g_mutex_unlock (&self->mutex);
}

void
bs_file_changes_fail (BsFileChanges *self, const BsKey *key, int code)
{
  set_failed_code (self, code);
  bs_file_keys_add (&self->failed, key);
}

void
bs_file_changes_fail_all (BsFileChanges *self, int code)
{
  set_failed_code (self, code);
  bs_file_keys_add_all (&self->failed);
}

/* Removing the mark need not be durable, nor succeed: a mark that stands for nothing
 * costs time when the directory is opened, and no more. */
void
bs_file_changes_settle (BsFileChanges *self, int fd)
{
  g_mutex_lock (&self->mutex);
  if (self->mark_stands && self->n_adding == 0 && !self->marking && is_empty (&self->pending) &&
      !g_atomic_int_get (&self->failed.any))
    {
      self->marked = FALSE;
      self->mark_stands = FALSE;
      self->mark_is_ours = FALSE;
      unlinkat (fd, BS_FILE_DIRTY_NAME, 0);
    }
  g_mutex_unlock (&self->mutex);
}

int
bs_file_changes_find_mark (BsFileChanges *self, int fd, gboolean *stands)
{
  struct stat status;

  *stands = fstatat (fd, BS_FILE_DIRTY_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0;
  if (!*stands)
    return errno == ENOENT ? 0 : errno;

  g_mutex_lock (&self->mutex);
  self->mark_stands = TRUE;
  *stands = !self->mark_is_ours;
  g_mutex_unlock (&self->mutex);

  return 0;
}
