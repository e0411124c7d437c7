/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* A key that is to be at the path when a save ends. */
typedef struct
{
  BsKey key;
  BsToken *token;             /* held by the asker; NULL: the path must have the key */
} BsSaveName;

/* The plan of a save. */
struct _BsSavePlan
{
  BsSaveName *names;          /* owned */
  guint n_names;
  guint max_parallel;
  GBytes *root;               /* owned, nullable */
  BsFunction commit;          /* nullable; with `data` */

  gpointer data;              /* owned */
  void       (*free)        (gpointer data);
  /* The functions are called on any thread, with no lock held, before the save has ended. */
  /* The content to be written of a name that has a token, NULL if it is written. */
  BsContent *(*dup_content) (gpointer data, guint name);
  /* The name is at the path, and so in primary storage; not for names that were there. */
  void       (*persisted)   (gpointer data, guint name);
  /* `n_names` more names are at the path, or fewer. */
  void       (*progress)    (gpointer data, int n_names);
  void       (*committed)   (gpointer data);
  /* The application's word for the name, in an error; NULL where it is only a key. Nullable. */
  char      *(*describe)    (gpointer data, guint name);
};

G_END_DECLS
