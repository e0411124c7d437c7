/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-set.h"
#include "store/queues/bs-shard-private.h"
#include "store/threads/bs-content-private.h"
#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

/* A function of the application: returns FALSE with or without an error. */
typedef gboolean (*BsFunction) (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error);

typedef struct _BsSavePlan BsSavePlan;
typedef struct _BsVerifyRun BsVerifyRun;
typedef struct _BsRequest BsRequest;

/* Keys of one path that are to be persisted by one operation: `n_keys` items from `first`
 * on. The functions are called on any thread, with no lock held, before the request is
 * answered. */
typedef struct
{
  guint first;
  guint n_keys;
  gpointer data;              /* borrowed */
  /* Makes the request of one item: a PERSIST with a token. Its content is a reference. */
  void (*make_request) (gpointer data, guint64 item, BsRequest *request);
  /* The item is persisted, or has failed. */
  void (*done)         (gpointer data, guint64 item, const GError *error);
} BsPersists;

/* A request for an operation. Its contents are borrowed until the call that asks
 * returns, unless stated otherwise.
 *
 *                    result (borrowed by the delivery)
 * READ               GBytes, from the backing
 * READ_STREAM        GInputStream, of the backing
 * READ_PART, COPY_OUT  none. A function of the library runs where the backing's functions run, with a stream of the
 *                    backing
 * WRITE              none. No call if the key is already in primary storage
 * PERSIST            none. `content` is written first if the key is not yet in primary storage; NULL where it is
 *                    known to be
 * REGISTER           BsToken: a hold on it belongs to the delivery, which takes or drops it
 * DELETE_PERSISTED   none
 * VERIFY             none
 * REGISTER_ALL, REGISTER_KEYS
 *                    GPtrArray of BsToken, without a free function: the holds belong to the delivery. Keys that
 *                    the path does not have are left out
 * PERSIST_KEYS       none; each key has an answer of its own
 * TRACK              BsTrackedPath
 * LOAD_ROOT          GBytes
 * the others         none */
struct _BsRequest
{
  BsOperationKind kind;
  gboolean internal;          /* part of an earlier operation: never refused */
  gboolean newest_first;      /* on a key: before all others of its priority, and the last one asked first */

  BsTrackedPath *tracked;     /* nullable */
  BsToken *token;             /* of the key, where the asker holds it */
  const BsKey *key;           /* nullable where there is a token: the asker may have it at hand sooner */

  union
  {
    BsContent *content;       /* WRITE, PERSIST: nullable */
    gboolean only_to_delete;  /* DELETE_PERSISTED: the key only where a save is to delete it */
    GFile *file;              /* TRACK */
    struct
    {
      GBytes *root;           /* WRITE_ROOT */
      BsKeySet *named;        /* WRITE_ROOT: the keys that the root names; nullable */
    };
    gboolean find_missing;    /* CHECK: also find keys that a save has pinned, and that are missing */
    BsKeySet *keys;           /* DELETE_KEYS, REGISTER_KEYS: copied */
    BsPersists persists;      /* PERSIST_KEYS */
    guint64 n_keys;           /* DELETE_NOT_SAVED */
    BsSavePlan *plan;         /* SAVE: its contents are taken over */
    BsVerifyRun *run;         /* VERIFY_PATH: taken over */
    struct
    {
      BsFunction function;    /* FUNCTION, COMMIT, READ_PART, COPY_OUT */
      GTaskThreadFunc task_function;    /* FUNCTION: instead; returns the waiter's task itself */
      gpointer data;          /* used until the request is answered */
    };
  };
};

static inline const BsKey *
bs_request_get_key (const BsRequest *request)
{
  return request->key != NULL || request->token == NULL ? request->key : &request->token->key;
}

G_END_DECLS
