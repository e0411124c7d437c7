/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/bs-backing-store-private.h"

G_BEGIN_DECLS

/* A key that is to be at the path when a save ends. */
typedef struct
{
  BsKey key;
  BsToken *token;        /* whoever asks for the save holds a token; NULL: the path must have the key */
} BsSaveName;

/* What is to be saved. */
typedef struct
{
  BsSaveName *names;          /* owned */
  guint n_names;
  guint max_parallel;
  GBytes *root;               /* owned, nullable */
  BsTaskFunc commit;          /* nullable; with `data` */

  gpointer context_data;      /* owned; destroyed in the waiter's context, with the answer */
  GDestroyNotify context_data_free;     /* nullable */

  gpointer data;              /* owned */
  void       (*free)        (gpointer data);
  /* These are called on any thread, with no lock held, before the save has ended. */
  /* What has to be written of a name that has a token, NULL if it is written. */
  BsContent *(*dup_content) (gpointer data, guint name);
  /* The name is at the path, and so in primary storage; not for those that were there. */
  void       (*persisted)   (gpointer data, guint name);
  /* So many names more are at the path, or fewer. */
  void       (*progress)    (gpointer data, int n_names);
  void       (*committed)   (gpointer data);
} BsSavePlan;

/* Saves, first come first served, and answers `waiter`. Takes the plan's content over. */
void bs_backing_store_start_save (BsBackingStore *self, BsTrackedPath *tracked, BsSavePlan *plan, BsWaiter *waiter);

G_END_DECLS
