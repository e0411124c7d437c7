/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/queues/bs-path-private.h"

G_BEGIN_DECLS

#define BS_PATH_N_LISTS (BS_N_SHARDS + 1)

typedef enum
{
  BS_PATH_UNTRACKED,
  BS_PATH_TRACKED,        /* `tracked` points to it, until it is finalized and a release follows */
  BS_PATH_UNTRACKING,     /* an untrack was asked */
} BsPathState;

struct _BsPath
{
  gatomicrefcount ref_count;

  /* constant */
  GFile *file;              /* owned */
  char *uri;                /* owned */

  guint n_pins;             /* under the store's paths_mutex: somebody is about to ask for something */

  GMutex mutex;             /* taken under a shard's, never the other way round */

  /* under the mutex */
  BsPathState state;
  GWeakRef tracked;         /* not read under the mutex: that may run a binding's code */
  BsOperationList queue;
  BsOperationList saves;           /* the first one runs */
  BsStoreOperation *running;           /* borrowed: the READY or RUNNING one of the queue */
  BsStoreOperation *closing;           /* borrowed: stands on the queue */
  BsStoreOperation *gathering;         /* owned: does not */
  BsTickets tickets;     /* of what changes many keys */
  BsStoreOperation *waiting;           /* borrowed: the SYNC or UNTRACK that waits for tickets */
  guint n_awaited;          /* lists whose tickets it waits for */
  guint n_surveys;          /* that were begun: the last one's number */
};

typedef struct
{
  BsStoreOperation operation;

  BsPath *path;             /* owned */
  guint64 *barriers;        /* SYNC: owned; the last tickets that it covers, those of the shards and the path's */
  guint survey;             /* SYNC, UNTRACK: its number, once it has looked at the tickets */
  gboolean awaits_release;  /* TRACK: the former object is being finalized */
  GBytes *root;             /* WRITE_ROOT: owned */
} BsPathOperation;

BsStoreOperation     *bs_path_operation_new         (BsBackingStore *store, BsPath *path, BsOperationKind kind, BsTrackedPath *tracked, int priority);
/* It came too early. Under the path's mutex; returns those who left while it ran,
 * for bs_store_operation_answer_left(). */
BsWaiter  *bs_path_operation_put_back    (BsPathOperation *self, BsDeferred *deferred);

/* FALSE if it has to wait for tickets: then it was put back until they are returned. */
gboolean   bs_path_survey          (BsPathOperation *self);
/* What a sync waits for must not wait longer than the sync would. It does not
 * wait for the whole of what steps aside; an untrack does. */
void       bs_path_lend_to_tickets (BsTrackedPath *tracked, BsOperationKind kind, int priority);

/* Under the path's mutex: whatever may run now is added to `deferred`. */
void       bs_path_dispatch        (BsPath *path, BsDeferred *deferred);
/* Takes a operation that is done, or that everybody has left, out of the path. Under its mutex. */
void       bs_path_remove          (BsPath *path, BsStoreOperation *operation);
/* Removes it from the store's table when nothing is left to know about it. */
void       bs_path_forget          (BsBackingStore *store, BsPath *path, guint n_pins);

G_END_DECLS
