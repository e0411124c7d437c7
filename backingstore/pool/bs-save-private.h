/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/threads/bs-progress-private.h"
#include "store/operations/bs-save-operation-private.h"

#include "bs-manifest-private.h"
#include "bs-save.h"

G_BEGIN_DECLS

/* The application's function. The last reference destroys the function's data. The save
 * has a reference, and the call that runs the save has one that is dropped in the caller's
 * context. */
typedef struct
{
  BsCommitFunc func;
  gpointer data;
  GDestroyNotify destroy;     /* nullable */
} BsCommit;

struct _BsSave
{
  GObject parent_instance;

  /* constant after construction */
  BsBackingStore *store;      /* owned */
  BsTrackedPath *tracked;     /* owned */

  BsProgress progress;

  GMutex mutex;

  /* under the mutex */
  GPtrArray *items;           /* owned; of BsItem */
  GArray *keys;               /* owned; of BsKey */
  char *bad_key;              /* owned; an argument of bs_save_keep_key() that is no key; nullable */
  GBytes *root;               /* owned, nullable */
  BsManifest *manifest;       /* owned, nullable */
  BsCommit *commit;           /* a reference, nullable */
  guint max_parallel;
  gboolean running;
};

void     bs_commit_unref (gpointer data);

/* FALSE for a save that a script made without a store or a path: it cannot be run. */
static inline gboolean
bs_save_has_path (BsSave *self)
{
  return BS_IS_SAVE (self) && self->store != NULL && self->tracked != NULL;
}

G_END_DECLS
