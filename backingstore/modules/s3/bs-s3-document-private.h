/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-content-private.h"
#include "bs-s3-lease-private.h"
#include "bs-s3-root-private.h"

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

/* One document: a prefix with its objects, as one opening knows it. Several programs may
 * have one open, although a lease tells them not to; bs-s3-document.c has the rules by
 * which none of them loses what another has saved. Safe to use from any thread, between
 * hold and unhold. */
typedef struct _BsS3Document BsS3Document;

typedef enum
{
  BS_S3_NAMED = 1 << 0, /* by the root */
  BS_S3_OURS = 1 << 1,  /* put by this opening, and by no root dropped since */
} BsS3ObjectFlags;

/* An object of the document. */
typedef struct
{
  BsS3Name name; /* the key first: it is the key in the table */
  guint flags;
} BsS3Object;

struct _BsS3Document
{
  gatomicrefcount n_references;
  BsS3Client *client;  /* borrowed */
  char *prefix;        /* interned */
  char *uri;           /* by which it is tracked. Constant */
  GError *refusal;     /* why it cannot be written; NULL: it can. Constant */
  BsS3Lease lease;

  GRWLock use;         /* held for reading by calls, for writing to retire */
  gboolean retired;    /* under `use` */

  int unclear;         /* atomic: a request of ours may still be carried out */

  GMutex mutex;

  /* under the mutex */
  GHashTable *objects; /* BsS3Object, by its key */
  GArray *strays;      /* BsS3Name: further objects of keys, which no root names */

  /* the root, by one thread at a time: that which has set `writing` */
  gboolean writing;    /* under the mutex */
  BsS3Root root;       /* without its names: those are flags of the objects */
  char *etag;
  GBytes *pending;     /* a root whose PUT has had no answer; nullable */
  BsS3Root pending_root;
};

/* With `read_only` no lease is taken, and no object is put. */
BsS3Document *bs_s3_document_open   (BsS3Client *client, const char *prefix, const char *owner, gboolean read_only, GCancellable *cancellable, GError **error);
BsS3Document *bs_s3_document_ref    (BsS3Document *self);
void          bs_s3_document_unref  (BsS3Document *self);
/* Fails once the document is closed. Until unhold it is not closed. */
gboolean      bs_s3_document_hold   (BsS3Document *self);
void          bs_s3_document_unhold (BsS3Document *self);
/* Waits until nobody holds the document, and gives its lease back. */
void          bs_s3_document_close  (BsS3Document *self, GCancellable *cancellable);

gboolean      bs_s3_document_is_lost (BsS3Document *self);
gboolean      bs_s3_document_lookup  (BsS3Document *self, const BsS3Key *key, BsS3Name *name);
void          bs_s3_document_list    (BsS3Document *self, BsKeySet *keys);

/* Fails where the document cannot be changed. */
gboolean      bs_s3_document_check   (BsS3Document *self, GCancellable *cancellable, GError **error);
/* Adds a blob. `fresh`: the name of the key was never in use anywhere. */
gboolean      bs_s3_document_add     (BsS3Document *self, const BsS3Key *key, const BsS3Content *content, gboolean fresh, BsS3Name *name, GCancellable *cancellable, GError **error);
/* Begins the same for one of several blobs side by side, which is in memory and not large. */
BsS3Call     *bs_s3_document_begin_add (BsS3Document *self, const BsS3Key *key, const BsS3Content *content, gboolean fresh, BsS3Name *name, GCancellable *cancellable, GError **error);
/* Ends it, and takes the call over. */
gboolean      bs_s3_document_end_add (BsS3Document *self, BsS3Call *call, const BsS3Name *name, GCancellable *cancellable, GError **error);
/* Ends it without waiting for the answer. */
void          bs_s3_document_drop_add (BsS3Document *self, BsS3Call *call, const BsS3Name *name);
/* Deletes blobs; keys that are not there are passed over. */
gboolean      bs_s3_document_remove  (BsS3Document *self, const BsS3Key *keys, guint n_keys, GCancellable *cancellable, GError **error);
/* Sets a bad blob aside. */
gboolean      bs_s3_document_quarantine (BsS3Document *self, const BsS3Key *key, GCancellable *cancellable, GError **error);
/* Puts objects in quarantine back, which have been found whole: a root names a copy of each
 * before they are deleted. No copy is made where the root names an object of the key already, as
 * after a call that was interrupted. */
gboolean      bs_s3_document_put_back   (BsS3Document *self, const BsS3Name *aside, guint n, GCancellable *cancellable, GError **error);
/* `named`: NULL for all keys. */
gboolean      bs_s3_document_write_root (BsS3Document *self, GBytes *content, BsKeySet *named, GCancellable *cancellable, GError **error);
GBytes       *bs_s3_document_read_root  (BsS3Document *self, GCancellable *cancellable, GError **error);

/* Steps that opening and changes share. */

/* One thread at a time deals with the root. */
gboolean      bs_s3_document_begin_writing (BsS3Document *self, GCancellable *cancellable, GError **error);
void          bs_s3_document_end_writing   (BsS3Document *self);
/* Gets the root; where there is none, leaves it empty and `etag` NULL. */
gboolean      bs_s3_document_get_root (BsS3Document *self, BsS3Root *root, char **etag, GCancellable *cancellable, GError **error);
/* Puts a root, which is taken over, on the ETag of the one before, until the answer is
 * clear. BUSY: another program has replaced that one. */
gboolean      bs_s3_document_put_root (BsS3Document *self, BsS3Root *root, GCancellable *cancellable, GError **error);
/* Carries through a root whose PUT has had no answer. */
gboolean      bs_s3_document_settle   (BsS3Document *self, GCancellable *cancellable, GError **error);
void          bs_s3_document_note_unclear (BsS3Document *self, gboolean unclear);
/* Adds an object, or another one of a key, under the mutex. */
void          bs_s3_document_note     (BsS3Document *self, const BsS3Name *name, guint flags);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsS3Document, bs_s3_document_unref)

G_END_DECLS
