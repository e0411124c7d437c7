/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-names-private.h"

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

/* Primary storage: a table of keys over a temporary file backing. A blob that an object
 * has too is in the files only as a cache, within a budget of bytes: the one that was used
 * longest ago goes first. Safe to use from any thread, for different keys. */
typedef struct
{
  char *directory;    /* the parent of the files; NULL for the default */
  guint64 max_cached; /* bytes */

  GMutex opening;     /* held while the files are made */
  GMutex mutex;
  GCond evicted;

  /* under the mutex */
  BsBacking *files;   /* made when the first blob is written */
  GHashTable *blobs;  /* Blob, by its key */
  GQueue cached;      /* of Blob: those that an object has too, the one used last first */
  guint64 n_cached;   /* their bytes */
} BsS3Primary;

/* A blob of primary storage. */
typedef struct
{
  char *prefix;     /* a reference on a string, and borrowed by a copy: of the document whose
                     * object it is; NULL: in the files only */
  BsS3Name name;    /* of the object */
  gboolean fresh;   /* no object has ever had the name of the key */
} BsS3Blob;

void     bs_s3_primary_init    (BsS3Primary *self);
void     bs_s3_primary_clear   (BsS3Primary *self);
/* Lets go of every blob. */
void     bs_s3_primary_close   (BsS3Primary *self);

gboolean bs_s3_primary_lookup  (BsS3Primary *self, const BsS3Key *key, BsS3Blob *blob);
/* Adds a blob that is in the files only. */
gboolean bs_s3_primary_write   (BsS3Primary *self, const BsS3Key *key, GBytes *bytes, GCancellable *cancellable, GError **error);
/* Both add a content that need not fit into memory. */
gboolean bs_s3_primary_write_stream (BsS3Primary *self, const BsS3Key *key, GInputStream *stream, gint64 size, GCancellable *cancellable, GError **error);
gboolean bs_s3_primary_write_file (BsS3Primary *self, const BsS3Key *key, GFile *file, GCancellable *cancellable, GError **error);
/* Adds a blob that an object has, unless the key is there. */
void     bs_s3_primary_add     (BsS3Primary *self, const BsS3Name *name, const char *prefix);
/* The blob has an object now, and the files are its cache. */
void     bs_s3_primary_set_object (BsS3Primary *self, const BsS3Name *name, const char *prefix);
/* The name of the key is in use. */
void     bs_s3_primary_set_used (BsS3Primary *self, const BsS3Key *key);
/* Reads from the files; NULL without an error where they do not have the blob. */
GBytes  *bs_s3_primary_read    (BsS3Primary *self, const BsS3Key *key, GCancellable *cancellable, GError **error);
GInputStream *bs_s3_primary_read_stream (BsS3Primary *self, const BsS3Key *key, GCancellable *cancellable, GError **error);
/* Whether the files have the blob, and its size. */
gboolean bs_s3_primary_find_size (BsS3Primary *self, const BsS3Key *key, guint64 *size);
/* Keeps a content that was read from its object. */
void     bs_s3_primary_cache   (BsS3Primary *self, const BsS3Key *key, GBytes *bytes);
/* The blob is in the files alone from now on. `stream` has the content. */
gboolean bs_s3_primary_own     (BsS3Primary *self, const BsS3Key *key, GInputStream *stream, GCancellable *cancellable, GError **error);
gboolean bs_s3_primary_remove  (BsS3Primary *self, const BsS3Key *key, GCancellable *cancellable, GError **error);

G_END_DECLS
