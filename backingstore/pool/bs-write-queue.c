/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-write-queue-private.h"

#define FIRST_PAUSE (100 * G_TIME_SPAN_MILLISECOND)
#define LONGEST_PAUSE (30 * G_TIME_SPAN_SECOND)

void
bs_write_queue_init (BsWriteQueue *self)
{
  *self = (BsWriteQueue){ 0 };
  bs_link_init (&self->entries);
}

void
bs_write_queue_append (BsWriteQueue *self, BsEntry *entry)
{
  bs_entry_set_place (entry, BS_PLACE_QUEUED);
  bs_link_append (&self->entries, &entry->node.link);
  bs_amount_add (&self->amount, entry);
}

void
bs_write_queue_remove (BsWriteQueue *self, BsEntry *entry)
{
  bs_link_remove (&entry->node.link);
  bs_amount_subtract (&self->amount, entry);
}

void
bs_write_queue_pause (BsWriteQueue *self)
{
  self->n_failures++;
  self->pause = CLAMP (self->pause * 2, FIRST_PAUSE, LONGEST_PAUSE);
  self->retry_at = g_get_monotonic_time () + self->pause;
}

gboolean
bs_write_queue_may_write (const BsWriteQueue *self, gint64 now)
{
  return self->pause == 0 || (self->n_writing == 0 && self->retry_at <= now);
}

gboolean
bs_write_queue_is_paused (const BsWriteQueue *self, gint64 now)
{
  return self->pause != 0 && self->retry_at > now && !bs_link_is_empty (&self->entries);
}
