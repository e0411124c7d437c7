/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-walk-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_BUFFER_SIZE (128 * 1024)

static gboolean
is_shard_name (const char *name)
{
  return g_ascii_isxdigit (name[0]) && !g_ascii_isupper (name[0]) && g_ascii_isxdigit (name[1]) &&
         !g_ascii_isupper (name[1]) && name[2] == '\0';
}

static gboolean
is_temporary_name (const char *name)
{
  BsKey key;

  return g_str_has_prefix (name, BS_FILE_TEMPORARY_PREFIX) &&
         bs_key_parse_hex (name + strlen (BS_FILE_TEMPORARY_PREFIX), &key);
}

/* Returns the DT_ of the entry, without following symbolic links. */
static guchar
get_entry_type (int fd, const struct dirent64 *entry)
{
  struct stat status;

  if (entry->d_type != DT_UNKNOWN)
    return entry->d_type;

  if (fstatat (fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
    return DT_UNKNOWN;

  return IFTODT (status.st_mode);
}

/* Calls `func` for all but "." and "..". */
static int
walk_folder (int fd,
             GCancellable *cancellable,
             int (*func) (int fd, const struct dirent64 *entry, gpointer user_data),
             gpointer user_data)
{
  g_autofree char *buffer = g_malloc (LIST_BUFFER_SIZE);

  for (;;)
    {
      gssize filled;

      if (g_cancellable_is_cancelled (cancellable))
        return ECANCELED;

      filled = getdents64 (fd, buffer, LIST_BUFFER_SIZE);
      if (filled < 0)
        return errno;
      if (filled == 0)
        return 0;

      for (gssize at = 0; at < filled;)
        {
          const struct dirent64 *entry = (const struct dirent64 *) (buffer + at);
          int code;

          at += entry->d_reclen;
          if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
            continue;

          code = func (fd, entry, user_data);
          if (code != 0)
            return code;
        }
    }
}

typedef struct
{
  BsFileWalkFunc func;
  gpointer user_data;
  GCancellable *cancellable;
  const char *shard; /* the folder being walked */
  gboolean top;      /* shard folders are left out */
} Walk;

static int
classify_in_shard (int fd, const struct dirent64 *entry, gpointer user_data)
{
  const Walk *walk = user_data;
  BsKey key;

  if (entry->d_name[0] == walk->shard[0] && entry->d_name[1] == walk->shard[1] &&
      bs_key_parse_hex (entry->d_name, &key) && get_entry_type (fd, entry) == DT_REG)
    return walk->func (BS_FILE_ENTRY_BLOB, fd, entry->d_name, &key, walk->user_data);

  if (is_temporary_name (entry->d_name) && get_entry_type (fd, entry) == DT_REG)
    return walk->func (BS_FILE_ENTRY_LEFTOVER, fd, entry->d_name, NULL, walk->user_data);

  return walk->func (BS_FILE_ENTRY_FOREIGN, fd, entry->d_name, NULL, walk->user_data);
}

static int
walk_shard (int fd, const char *name, Walk *walk)
{
  int shard_fd =
    TEMP_FAILURE_RETRY (openat (fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  int code;

  if (shard_fd < 0)
    return errno == ENOENT ? 0 : errno;

  walk->shard = name;
  code = walk_folder (shard_fd, walk->cancellable, classify_in_shard, walk);
  close (shard_fd);
  if (code != 0)
    return code;

  return walk->func (BS_FILE_ENTRY_SHARD, fd, name, NULL, walk->user_data);
}

static gboolean
is_our_name (const char *name)
{
  static const char *const names[] = { BS_FILE_MARKER_NAME, BS_FILE_LOCK_NAME, BS_FILE_DIRTY_NAME,
                                       BS_FILE_ROOT_NAME };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      if (strcmp (name, names[i]) == 0)
        return TRUE;
    }

  return FALSE;
}

static int
classify (int fd, const struct dirent64 *entry, gpointer user_data)
{
  Walk *walk = user_data;
  const char *name = entry->d_name;
  guchar type = get_entry_type (fd, entry);
  BsFileEntry kind = BS_FILE_ENTRY_FOREIGN;

  if (type == DT_DIR && is_shard_name (name))
    return walk->top ? walk->func (BS_FILE_ENTRY_SHARD, fd, name, NULL, walk->user_data)
                     : walk_shard (fd, name, walk);

  if (type == DT_REG && is_temporary_name (name))
    kind = BS_FILE_ENTRY_LEFTOVER;
  else if (type == DT_REG && is_our_name (name))
    kind = BS_FILE_ENTRY_OURS;
  else if (type == DT_DIR && strcmp (name, BS_FILE_QUARANTINE_NAME) == 0)
    kind = BS_FILE_ENTRY_OURS;

  return walk->func (kind, fd, name, NULL, walk->user_data);
}

int
bs_file_walk_shard (int fd,
                    const char *name,
                    GCancellable *cancellable,
                    BsFileWalkFunc func,
                    gpointer user_data)
{
  Walk walk = { func, user_data, cancellable, NULL, FALSE };

  return walk_shard (fd, name, &walk);
}

static int
walk_directory (int fd, Walk *walk)
{
  int code;
  /* A descriptor of its own, since other threads share the position of `fd`. */
  int walk_fd = TEMP_FAILURE_RETRY (openat (fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

  if (walk_fd < 0)
    return errno;

  code = walk_folder (walk_fd, walk->cancellable, classify, walk);
  close (walk_fd);

  return code;
}

int
bs_file_walk_top (int fd, GCancellable *cancellable, BsFileWalkFunc func, gpointer user_data)
{
  Walk walk = { func, user_data, cancellable, NULL, TRUE };

  return walk_directory (fd, &walk);
}

int
bs_file_walk (int fd, GCancellable *cancellable, BsFileWalkFunc func, gpointer user_data)
{
  Walk walk = { func, user_data, cancellable, NULL, FALSE };

  return walk_directory (fd, &walk);
}
