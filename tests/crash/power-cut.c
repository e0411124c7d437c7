/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "power-cut.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK_SIZE 4096

typedef struct
{
  GHashTable *entries; /* name → number of the file; NULL in a file */
  GByteArray *data;    /* NULL in a folder */
  GHashTable *xattrs;  /* name → GBytes */
  char *path;          /* once it was made */
  gint64 time;         /* of the last write, as it is on the disk; 0 if none is */
  gint64 time_in_memory;
} Node;

typedef struct
{
  const EventLog *log;
  gsize n_events;
  PowerCutStyle style;
  GRand *rand;
  gsize journal_end; /* POWER_CUT_PREFIX: names and attributes from here on are lost */
  Node *nodes;
} Disk;

const char *
power_cut_get_name (PowerCutStyle style)
{
  static const char *const names[] = {
    [POWER_CUT_LOSES_ALL] = "loses all",     [POWER_CUT_LOSES_DATA] = "loses data",
    [POWER_CUT_ZEROES_DATA] = "zeroes data", [POWER_CUT_LOSES_NOTHING] = "loses nothing",
    [POWER_CUT_RANDOM] = "random",           [POWER_CUT_PREFIX] = "prefix",
  };

  return names[style];
}

/* A name or an attribute that is not certain. */
static gboolean
is_kept (Disk *disk, gsize n)
{
  switch (disk->style)
    {
    case POWER_CUT_LOSES_ALL:
      return FALSE;
    case POWER_CUT_RANDOM:
      return g_rand_boolean (disk->rand);
    case POWER_CUT_PREFIX:
      return n < disk->journal_end;
    case POWER_CUT_LOSES_DATA:
    case POWER_CUT_ZEROES_DATA:
    case POWER_CUT_LOSES_NOTHING:
    case POWER_CUT_N_STYLES:
    default:
      return TRUE;
    }
}

static void
set_size (GByteArray *data, gsize size)
{
  const gsize old_size = data->len;

  g_byte_array_set_size (data, size);
  if (size > old_size)
    memset (data->data + old_size, 0, size - old_size);
}

static void
put (GByteArray *data, gsize offset, const guint8 *bytes, gsize size)
{
  if (size == 0)
    return;

  if (data->len < offset + size)
    set_size (data, offset + size);
  memcpy (data->data + offset, bytes, size);
}

/* Some of the blocks; where others follow, the missing ones are zero. */
static void
put_blocks (Disk *disk, GByteArray *data, gsize offset, const guint8 *bytes, gsize size)
{
  for (gsize at = 0; at < size; at += BLOCK_SIZE)
    {
      if (g_rand_boolean (disk->rand))
        put (data, offset + at, bytes + at, MIN (size - at, BLOCK_SIZE));
    }
}

static void
write_uncertain (Disk *disk, GByteArray *data, gsize offset, const guint8 *bytes, gsize size)
{
  int choice = g_rand_int_range (disk->rand, 0, 5);

  if (disk->style == POWER_CUT_LOSES_ALL || disk->style == POWER_CUT_LOSES_DATA)
    choice = 0;
  else if (disk->style == POWER_CUT_ZEROES_DATA)
    choice = 1;
  else if (disk->style == POWER_CUT_LOSES_NOTHING)
    choice = 2;

  switch (choice)
    {
    case 0:
      break;
    case 1:
      if (data->len < offset + size)
        set_size (data, offset + size);
      break;
    case 2:
      put (data, offset, bytes, size);
      break;
    case 3:
      put (data, offset, bytes, g_rand_double_range (disk->rand, 0, size));
      break;
    default:
      put_blocks (disk, data, offset, bytes, size);
      break;
    }
}

static void
change_data (Disk *disk, const Event *event, gboolean certain)
{
  GByteArray *data = disk->nodes[event->file].data;
  const guint8 *bytes;
  gsize size;

  if (event->kind == EVENT_TRUNCATE)
    {
      if (certain || disk->style != POWER_CUT_LOSES_ALL)
        set_size (data, event->offset);
      return;
    }

  bytes = g_bytes_get_data (event->bytes, &size);
  if (certain)
    put (data, event->offset, bytes, size);
  else
    write_uncertain (disk, data, event->offset, bytes, size);
}

static void
change_xattr (Disk *disk, const Event *event)
{
  GHashTable *xattrs = disk->nodes[event->file].xattrs;

  if (event->bytes != NULL)
    g_hash_table_insert (xattrs, g_strdup (event->name), g_bytes_ref (event->bytes));
  else
    g_hash_table_remove (xattrs, event->name);
}

static void
change_names (Disk *disk, const Event *event)
{
  GHashTable *entries = disk->nodes[event->folder].entries;

  if (event->kind == EVENT_RENAME)
    g_hash_table_remove (disk->nodes[event->old_folder].entries, event->old_name);

  if (event->kind == EVENT_REMOVE)
    g_hash_table_remove (entries, event->name);
  else
    g_hash_table_insert (entries, g_strdup (event->name), GUINT_TO_POINTER (event->file));
}

/* Which of the names and attributes are there. Those attributes are that were set
 * before a name that is. */
static gboolean *
find_kept (Disk *disk, const EventFate *fates)
{
  gboolean *kept = g_new0 (gboolean, disk->n_events + 1);
  g_autofree gboolean *named = g_new0 (gboolean, event_log_get_n_files (disk->log));

  for (gsize i = disk->n_events; i-- > 0;)
    {
      const Event *event = event_log_get_event (disk->log, i);

      if (event->kind >= EVENT_SYNC || event_is_of_data (event))
        continue;

      kept[i] = fates[i] == FATE_CERTAIN || is_kept (disk, i);
      if (event->kind == EVENT_SET_XATTR)
        kept[i] |= named[event->file];
      else if (kept[i])
        named[event->file] = TRUE;
    }

  return kept;
}

/* A file's time is certain from an fsync() of all of it on. */
static void
change_time (Disk *disk, const Event *event)
{
  Node *node = &disk->nodes[event->file];
  gboolean kept = FALSE;

  if (disk->style == POWER_CUT_LOSES_NOTHING)
    kept = TRUE;
  else if (disk->style == POWER_CUT_RANDOM || disk->style == POWER_CUT_PREFIX)
    kept = g_rand_boolean (disk->rand);

  node->time_in_memory = event->time;
  if (kept)
    node->time = event->time;
}

static void
sync_times (Disk *disk, const Event *event)
{
  for (guint i = 0; i < event_log_get_n_files (disk->log); i++)
    {
      if (event->kind == EVENT_SYNC_ALL || (event->file == i && !event->data_only))
        disk->nodes[i].time = disk->nodes[i].time_in_memory;
    }
}

static void
build (Disk *disk)
{
  g_autofree EventFate *fates = event_log_find_fates (disk->log, disk->n_events);
  g_autofree gboolean *kept = find_kept (disk, fates);

  for (gsize i = 0; i < disk->n_events; i++)
    {
      const Event *event = event_log_get_event (disk->log, i);

      if (event->kind == EVENT_SYNC || event->kind == EVENT_SYNC_ALL)
        sync_times (disk, event);
      if (event->kind >= EVENT_SYNC)
        continue;

      if (event_is_of_data (event))
        {
          change_time (disk, event);
          change_data (disk, event, fates[i] == FATE_CERTAIN);
        }
      else if (!kept[i])
        continue;
      else if (event_is_of_name (event))
        change_names (disk, event);
      else
        change_xattr (disk, event);
    }
}

static void
set_time (int fd, guint64 time)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

  times[1].tv_sec = time / 1000000000;
  times[1].tv_nsec = time % 1000000000;
  if (futimens (fd, times) != 0)
    g_error ("The time of a file could not be set: %m");
}

/* A disk keeps the time of the last change together with the attribute that names it. */
static void
restore_time (int fd, const guint8 *attribute, gsize size)
{
  guint64 time;

  if (size != 32)
    return;

  memcpy (&time, attribute + 24, sizeof time);
  set_time (fd, GUINT64_FROM_LE (time));
}

static void
write_file (const Node *node)
{
  GHashTableIter iter;
  gpointer name;
  gpointer value;
  int fd = open (node->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0)
    g_error ("%s: %m", node->path);

  for (gsize done = 0; done < node->data->len;)
    {
      gssize written = write (fd, node->data->data + done, node->data->len - done);

      if (written <= 0)
        g_error ("%s: %m", node->path);
      done += written;
    }

  if (node->time != 0)
    set_time (fd, node->time);
  g_hash_table_iter_init (&iter, node->xattrs);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      gsize size;
      const void *data = g_bytes_get_data (value, &size);

      if (fsetxattr (fd, name, data, size, 0) != 0)
        g_error ("%s: %m", node->path);
      restore_time (fd, data, size);
    }

  close (fd);
}

static void
write_folder (Disk *disk, guint folder)
{
  Node *node = &disk->nodes[folder];
  GHashTableIter iter;
  gpointer name;
  gpointer value;

  g_hash_table_iter_init (&iter, node->entries);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      guint number = GPOINTER_TO_UINT (value);
      Node *child = &disk->nodes[number];
      g_autofree char *path = g_build_filename (node->path, name, NULL);

      if (child->path != NULL)
        {
          if (link (child->path, path) != 0)
            g_error ("%s: %m", path);
          continue;
        }

      child->path = g_steal_pointer (&path);
      if (!event_log_is_folder (disk->log, number))
        write_file (child);
      else if (mkdir (child->path, 0700) == 0)
        write_folder (disk, number);
      else
        g_error ("%s: %m", child->path);
    }
}

static void
node_init (Node *self, gboolean is_folder)
{
  self->xattrs =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  if (is_folder)
    self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  else
    self->data = g_byte_array_new ();
}

static void
node_clear (Node *self)
{
  g_clear_pointer (&self->entries, g_hash_table_unref);
  g_clear_pointer (&self->data, g_byte_array_unref);
  g_clear_pointer (&self->xattrs, g_hash_table_unref);
  g_clear_pointer (&self->path, g_free);
}

void
power_cut_apply (const EventLog *log,
                 gsize n_events,
                 PowerCutStyle style,
                 GRand *rand,
                 const char *directory)
{
  const guint n_files = event_log_get_n_files (log);
  g_autofree Node *nodes = g_new0 (Node, n_files);
  Disk disk = { log, n_events, style, rand, g_rand_int_range (rand, 0, n_events + 1), nodes };

  for (guint i = 0; i < n_files; i++)
    node_init (&nodes[i], event_log_is_folder (log, i));
  nodes[0].path = g_strdup (directory);

  build (&disk);
  write_folder (&disk, 0);

  for (guint i = 0; i < n_files; i++)
    node_clear (&nodes[i]);
}
