/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-slot-table-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Opens a new file without a name, for reading and writing. Returns 0 or an errno. */
typedef int (*BsFileSlotsOpen) (gpointer data, int *fd);

/* Blobs in slots of few files, which have no name and go with the process. Safe to use from
 * any thread, one call at a time for each key. A function that returns an int returns 0
 * or an errno: ECANCELED if the cancellable fired, EILSEQ if a content is not the one that
 * was written. */
typedef struct
{
  /* constant */
  BsFileSlotsOpen open;
  gpointer open_data;
  gboolean lays_out;    /* the slots of a block together; FALSE by default */
  gint64 trim_pause;    /* in microseconds; for tests */

  int n_given;          /* atomic: parts that have gone back to the file system */

  GMutex giving;        /* held while all free slots are given back; before the other one */
  GMutex mutex;
  GCond closing;

  /* under the mutex */
  BsFileSlotTable table;
  BsFileSlotSpace space;
  GArray *fds;          /* of files, each with a part of the space */
  goffset allowed_end;  /* the largest size that a file may have, as far as was asked */
  guint n_users;        /* calls that use the files */
  gboolean closed;      /* the files go with the last user */
  GThread *trimmer;     /* owned, nullable: gives free space back */
  gboolean is_trimming; /* it has not ended */
  guint n_forks;        /* when they were made, or the first file was opened */
} BsFileSlots;

void     bs_file_slots_init     (BsFileSlots *self, BsFileSlotsOpen open, gpointer open_data);
void     bs_file_slots_clear    (BsFileSlots *self);

/* Empties the slots. A forked child must not: it would empty its parent's. */
void     bs_file_slots_close    (BsFileSlots *self);

/* EEXIST if the key has a slot; ENOTSUP if the blob cannot have one: it needs a file of its
 * own. No key is left after an error. */
int      bs_file_slots_write    (BsFileSlots *self, const BsKey *key, GBytes *bytes, GCancellable *cancellable);
/* ENOENT if the key has no slot. */
int      bs_file_slots_read     (BsFileSlots *self, const BsKey *key, GCancellable *cancellable, GBytes **bytes);
/* FALSE if the key has no slot. */
gboolean bs_file_slots_remove   (BsFileSlots *self, const BsKey *key);
gboolean bs_file_slots_contains (BsFileSlots *self, const BsKey *key, gsize *length);
/* How many parts have gone back to the file system so far. */
guint    bs_file_slots_get_n_given (BsFileSlots *self);
/* Gives all free slots back to the file system. FALSE if it has taken none since there were so
 * many, be it from another thread. */
gboolean bs_file_slots_give_back (BsFileSlots *self, guint n_given);

G_END_DECLS
