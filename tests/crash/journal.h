/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "event-log.h"

G_BEGIN_DECLS

/* Steps that a workload has begun, and promises made to it, in memory that outlives
 * the process which notes them. One process and one thread at a time notes. */

typedef enum
{
  /* the subject is a key's number */
  MARK_PERSIST,
  MARK_PERSISTED,
  MARK_DELETE,
  MARK_DELETED,
  /* no subject */
  MARK_SYNC,
  MARK_SYNCED,
  /* the subject is the number of a root, or of a document */
  MARK_ROOT,
  MARK_ROOTED,
} MarkKind;

typedef struct
{
  guint16 kind;
  guint16 subject;
  guint32 n_events;     /* how long the event log was */
} Mark;

typedef struct _Journal Journal;

Journal    *journal_new         (void) G_GNUC_WARN_UNUSED_RESULT;
void        journal_free        (Journal *self);
/* `log` may be NULL. */
void        journal_restart     (Journal *self, const EventLog *log);
void        journal_mark        (Journal *self, MarkKind kind, guint subject);
gsize       journal_get_n_marks (Journal *self);
/* Marks noted before the log had more than `n_events`. */
gsize       journal_count_until (Journal *self, gsize n_events);
const Mark *journal_get_mark    (Journal *self, gsize n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Journal, journal_free)

G_END_DECLS
