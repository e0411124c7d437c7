/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "journal.h"

#include <sys/mman.h>

#define MAX_MARKS 8192

struct _Journal
{
  const EventLog *log;
  gsize n_marks; /* atomic */
  Mark marks[MAX_MARKS];
};

Journal *
journal_new (void)
{
  Journal *self =
    mmap (NULL, sizeof *self, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (self == MAP_FAILED)
    g_error ("no memory to share: %m");

  return self;
}

void
journal_free (Journal *self)
{
  munmap (self, sizeof *self);
}

void
journal_restart (Journal *self, const EventLog *log)
{
  self->log = log;
  g_atomic_pointer_set (&self->n_marks, 0);
}

void
journal_mark (Journal *self, MarkKind kind, guint subject)
{
  const gsize n = journal_get_n_marks (self);
  const guint32 n_events = self->log != NULL ? event_log_get_n_events (self->log) : 0;

  g_assert (n < MAX_MARKS);
  self->marks[n] = (Mark){ kind, subject, n_events };
  g_atomic_pointer_set (&self->n_marks, n + 1);
}

gsize
journal_get_n_marks (Journal *self)
{
  return (gsize) g_atomic_pointer_get (&self->n_marks);
}

gsize
journal_count_until (Journal *self, gsize n_events)
{
  gsize n = 0;

  while (n < journal_get_n_marks (self) && self->marks[n].n_events <= n_events)
    n++;

  return n;
}

const Mark *
journal_get_mark (Journal *self, gsize n)
{
  g_assert (n < journal_get_n_marks (self));

  return &self->marks[n];
}
