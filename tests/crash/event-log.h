/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* All changes of a directory since it was empty, in order, with all data.
 * Not thread-safe, but for the number of events. */

typedef enum
{
  EVENT_CREATE,                 /* a new file or folder gets its first name */
  EVENT_LINK,                   /* another name */
  EVENT_REMOVE,                 /* a name goes */
  EVENT_RENAME,                 /* a name goes and another comes, in one step */
  EVENT_WRITE,
  EVENT_TRUNCATE,               /* or extend with zeros, to `offset` */
  EVENT_SET_XATTR,              /* `bytes` NULL removes it */
  EVENT_SYNC,
  EVENT_SYNC_ALL,
  EVENT_SYNC_FAILED,
  EVENT_SYNC_ALL_FAILED,
} EventKind;

/* Files and folders have numbers for life; the directory itself has 0. */
typedef struct
{
  EventKind kind;
  guint file;                   /* who is named, changed or synced */
  guint folder;                 /* where the name stands */
  char *name;                   /* owned; of the entry or the xattr */
  guint old_folder;
  char *old_name;               /* owned */
  guint64 offset;
  GBytes *bytes;                /* owned */
  gint64 time;                  /* of the file after a write, in nanoseconds */
  gboolean data_only;           /* of a sync: it keeps no time */
} Event;

typedef struct _EventLog EventLog;

EventLog    *event_log_new           (const char *directory) G_GNUC_WARN_UNUSED_RESULT;
void         event_log_free          (EventLog *self);
gsize        event_log_get_n_events  (const EventLog *self);
const Event *event_log_get_event     (const EventLog *self, gsize n);
guint        event_log_get_n_files   (const EventLog *self);
gboolean     event_log_is_folder     (const EventLog *self, guint file);

/* Each is told of a call that has succeeded, but for `sync_failed`. */
void         event_log_created       (EventLog *self, int fd, const char *path);
void         event_log_opened_nameless (EventLog *self, int fd);
void         event_log_linked        (EventLog *self, int fd, const char *path);
void         event_log_removed       (EventLog *self, int fd, const char *path);
void         event_log_renamed       (EventLog *self, int old_fd, const char *old_path, int fd, const char *path);
void         event_log_written       (EventLog *self, int fd, guint64 offset, const void *data, gsize size);
void         event_log_copied        (EventLog *self, int source_fd, guint64 source_offset, int fd, guint64 offset, gsize size);
void         event_log_truncated     (EventLog *self, int fd, guint64 size);
void         event_log_set_xattr     (EventLog *self, int fd, const char *name, const void *data, gsize size);
void         event_log_synced        (EventLog *self, int fd, gboolean data_only, gboolean failed);
void         event_log_synced_all    (EventLog *self, gboolean failed);
/* Bytes that a failed sync has spoilt go from the file itself. */
void         event_log_evict         (EventLog *self, int fd);

gboolean     event_is_of_data        (const Event *event);
gboolean     event_is_of_name        (const Event *event);

/* How durable the syncs among the first events have made each of them. */
typedef enum
{
  FATE_UNCERTAIN,
  FATE_CERTAIN,
  FATE_SPOILT,                  /* a sync failed, and none to come saves it */
} EventFate;

EventFate   *event_log_find_fates    (const EventLog *self, gsize n_events) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EventLog, event_log_free)

G_END_DECLS
