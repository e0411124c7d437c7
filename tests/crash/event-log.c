/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "event-log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct _EventLog
{
  GArray *events;      /* of Event */
  gsize n_events;      /* atomic */
  GArray *is_folder;   /* of gboolean, by number */
  GHashTable *numbers; /* inode number → number; the latest bearer */
  dev_t device;
};

static void
event_clear (gpointer data)
{
  Event *event = data;

  g_free (event->name);
  g_free (event->old_name);
  g_clear_pointer (&event->bytes, g_bytes_unref);
}

static void
add_event (EventLog *self, const Event *event)
{
  g_array_append_vals (self->events, event, 1);
  g_atomic_pointer_set (&self->n_events, self->events->len);
}

static guint
add_file (EventLog *self, const struct stat *status)
{
  guint number = self->is_folder->len;
  gboolean is_folder = S_ISDIR (status->st_mode);
  gint64 inode = status->st_ino;

  g_array_append_val (self->is_folder, is_folder);
  g_hash_table_insert (self->numbers, g_memdup2 (&inode, sizeof inode), GUINT_TO_POINTER (number));

  return number;
}

static void
look (int fd, const char *path, struct stat *status)
{
  if (fstatat (fd, path, status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)
    g_error ("%s: %m", path);
}

static gint64
get_time (int fd)
{
  struct stat status;

  look (fd, "", &status);
  return status.st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + status.st_mtim.tv_nsec;
}

static guint
find_file (EventLog *self, int fd, const char *path)
{
  struct stat status;
  gpointer number;
  gint64 inode;

  look (fd, path, &status);
  inode = status.st_ino;
  if (status.st_dev != self->device ||
      !g_hash_table_lookup_extended (self->numbers, &inode, NULL, &number))
    g_error ("%s was not made under the eyes of the log", path);

  return GPOINTER_TO_UINT (number);
}

/* Sets `folder` and `name`. */
static void
find_entry (EventLog *self, int fd, const char *path, guint *folder, char **name)
{
  g_autofree char *parent = g_path_get_dirname (path);

  *name = g_path_get_basename (path);
  if (strchr (path, '/') == NULL)
    *folder = find_file (self, fd, "");
  else
    *folder = find_file (self, fd, parent);
}

EventLog *
event_log_new (const char *directory)
{
  EventLog *self = g_new0 (EventLog, 1);
  struct stat status;

  self->events = g_array_new (FALSE, TRUE, sizeof (Event));
  g_array_set_clear_func (self->events, event_clear);
  self->is_folder = g_array_new (FALSE, FALSE, sizeof (gboolean));
  self->numbers = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);

  look (AT_FDCWD, directory, &status);
  self->device = status.st_dev;
  add_file (self, &status);

  return self;
}

void
event_log_free (EventLog *self)
{
  g_array_unref (self->events);
  g_array_unref (self->is_folder);
  g_hash_table_unref (self->numbers);
  g_free (self);
}

gsize
event_log_get_n_events (const EventLog *self)
{
  return (gsize) g_atomic_pointer_get (&((EventLog *) self)->n_events);
}

const Event *
event_log_get_event (const EventLog *self, gsize n)
{
  g_assert (n < self->events->len);

  return &g_array_index (self->events, Event, n);
}

guint
event_log_get_n_files (const EventLog *self)
{
  return self->is_folder->len;
}

gboolean
event_log_is_folder (const EventLog *self, guint file)
{
  return g_array_index (self->is_folder, gboolean, file);
}

void
event_log_created (EventLog *self, int fd, const char *path)
{
  Event event = { EVENT_CREATE };
  struct stat status;

  look (fd, path, &status);
  event.file = add_file (self, &status);
  find_entry (self, fd, path, &event.folder, &event.name);
  add_event (self, &event);
}

void
event_log_opened_nameless (EventLog *self, int fd)
{
  struct stat status;

  look (fd, "", &status);
  add_file (self, &status);
}

void
event_log_linked (EventLog *self, int fd, const char *path)
{
  Event event = { EVENT_LINK };

  event.file = find_file (self, fd, path);
  find_entry (self, fd, path, &event.folder, &event.name);
  add_event (self, &event);
}

void
event_log_removed (EventLog *self, int fd, const char *path)
{
  Event event = { EVENT_REMOVE };

  find_entry (self, fd, path, &event.folder, &event.name);
  add_event (self, &event);
}

void
event_log_renamed (EventLog *self, int old_fd, const char *old_path, int fd, const char *path)
{
  Event event = { EVENT_RENAME };

  event.file = find_file (self, fd, path);
  find_entry (self, old_fd, old_path, &event.old_folder, &event.old_name);
  find_entry (self, fd, path, &event.folder, &event.name);
  add_event (self, &event);
}

void
event_log_written (EventLog *self, int fd, guint64 offset, const void *data, gsize size)
{
  Event event = { EVENT_WRITE };

  event.file = find_file (self, fd, "");
  event.offset = offset;
  event.bytes = g_bytes_new (data, size);
  event.time = get_time (fd);
  add_event (self, &event);
}

void
event_log_copied (EventLog *self,
                  int source_fd,
                  guint64 source_offset,
                  int fd,
                  guint64 offset,
                  gsize size)
{
  g_autofree char *data = g_malloc (size);
  gsize done = 0;

  while (done < size)
    {
      gssize filled = pread (source_fd, data + done, size - done, source_offset + done);

      if (filled <= 0)
        g_error ("what was copied can't be read: %m");
      done += filled;
    }

  event_log_written (self, fd, offset, data, size);
}

void
event_log_truncated (EventLog *self, int fd, guint64 size)
{
  Event event = { EVENT_TRUNCATE };

  event.file = find_file (self, fd, "");
  event.offset = size;
  event.time = get_time (fd);
  add_event (self, &event);
}

void
event_log_set_xattr (EventLog *self, int fd, const char *name, const void *data, gsize size)
{
  Event event = { EVENT_SET_XATTR };

  event.file = find_file (self, fd, "");
  event.name = g_strdup (name);
  event.bytes = data != NULL ? g_bytes_new (data, size) : NULL;
  add_event (self, &event);
}

void
event_log_synced (EventLog *self, int fd, gboolean data_only, gboolean failed)
{
  Event event = { failed ? EVENT_SYNC_FAILED : EVENT_SYNC };

  event.file = find_file (self, fd, "");
  event.data_only = data_only;
  add_event (self, &event);
}

void
event_log_synced_all (EventLog *self, gboolean failed)
{
  Event event = { failed ? EVENT_SYNC_ALL_FAILED : EVENT_SYNC_ALL };

  add_event (self, &event);
}

gboolean
event_is_of_data (const Event *event)
{
  return event->kind == EVENT_WRITE || event->kind == EVENT_TRUNCATE;
}

gboolean
event_is_of_name (const Event *event)
{
  return event->kind == EVENT_CREATE || event->kind == EVENT_LINK || event->kind == EVENT_REMOVE ||
         event->kind == EVENT_RENAME;
}

static gboolean
is_covered (const Event *event, const Event *sync)
{
  if (sync->kind == EVENT_SYNC_ALL || sync->kind == EVENT_SYNC_ALL_FAILED)
    return TRUE;

  return sync->file == (event_is_of_name (event) ? event->folder : event->file);
}

/* Names and attributes are in a journal, which is tried again. */
EventFate *
event_log_find_fates (const EventLog *self, gsize n_events)
{
  EventFate *fates = g_new0 (EventFate, n_events + 1);
  g_autofree gsize *waiting = g_new (gsize, n_events + 1);
  gsize n_waiting = 0;

  for (gsize i = 0; i < n_events; i++)
    {
      const Event *event = event_log_get_event (self, i);
      const gboolean fails =
        event->kind == EVENT_SYNC_FAILED || event->kind == EVENT_SYNC_ALL_FAILED;
      gsize n_kept = 0;

      if (event->kind < EVENT_SYNC)
        {
          waiting[n_waiting++] = i;
          continue;
        }

      for (gsize j = 0; j < n_waiting; j++)
        {
          const Event *other = event_log_get_event (self, waiting[j]);

          if (!is_covered (other, event) || (fails && !event_is_of_data (other)))
            waiting[n_kept++] = waiting[j];
          else
            fates[waiting[j]] = fails ? FATE_SPOILT : FATE_CERTAIN;
        }
      n_waiting = n_kept;
    }

  return fates;
}

/* Bytes that the disk never got are gone, and no time changes for that. */
void
event_log_evict (EventLog *self, int fd)
{
  g_autofree EventFate *fates = event_log_find_fates (self, self->events->len);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  const guint file = find_file (self, fd, "");

  for (gsize i = 0; i < self->events->len; i++)
    {
      const Event *event = event_log_get_event (self, i);
      struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
      g_autofree char *zeros = NULL;
      struct stat status;
      gsize size;
      int own_fd;

      if (event->kind != EVENT_WRITE || event->file != file || fates[i] != FATE_SPOILT)
        continue;

      size = g_bytes_get_size (event->bytes);
      zeros = g_malloc0 (size);
      own_fd = open (path, O_WRONLY | O_CLOEXEC);
      if (own_fd < 0 || fstat (own_fd, &status) != 0 ||
          pwrite (own_fd, zeros, size, event->offset) != (gssize) size)
        g_error ("%s: %m", path);
      times[1] = status.st_mtim;
      if (futimens (own_fd, times) != 0)
        g_error ("%s: %m", path);
      close (own_fd);
    }
}
