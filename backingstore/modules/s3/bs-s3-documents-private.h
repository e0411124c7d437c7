/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-document-private.h"
#include "bs-s3-primary-private.h"

G_BEGIN_DECLS

/* A backing whose persisted paths are prefixes of a bucket: several machines may open a
 * document, one after the other. Primary storage is a table of keys over local files, which
 * are also the cache of what was read. */
typedef struct _BsS3Backing BsS3Backing;

struct _BsS3Backing
{
  GObject parent_instance;

  char *uri;
  char *owner; /* a UUID of this backing, for leases */
  pid_t process;
  BsS3Settings *settings;
  BsS3Client *client;
  BsS3Primary primary;

  GMutex opening; /* held while a path is opened or closed; taken first */
  GMutex mutex;

  int closed;    /* atomic */
  int read_only; /* atomic: documents that are opened from now on */
  int restores;  /* likewise */

  /* under the mutex */
  GHashTable *documents; /* by their prefix */
  BsKeySet *used;        /* keys whose names are in use, or were */
  GThread *keeper;       /* renews leases; runs while there are documents */
  GCancellable *keeping; /* ends it */
  guint64 n_restored;    /* contents that were put back from quarantine */
};

gboolean      bs_s3_backing_is_forked    (BsS3Backing *self);
/* Fails once the backing is closed. */
gboolean      bs_s3_backing_begin        (BsS3Backing *self, GError **error);
/* The same, and returns the document of a path, held. */
BsS3Document *bs_s3_backing_begin_at     (BsS3Backing *self, GFile *path, GCancellable *cancellable, GError **error);
void          bs_s3_backing_end_at       (BsS3Document *document);
/* Returns the document of a path, which is opened if need be. */
BsS3Document *bs_s3_backing_open_document (BsS3Backing *self, GFile *path, GCancellable *cancellable, GError **error);
/* Returns a document that is open, or NULL. */
BsS3Document *bs_s3_backing_dup_document (BsS3Backing *self, const char *prefix);
/* The object of a key may have got another name since it was registered. */
void          bs_s3_backing_find_name    (BsS3Backing *self, BsS3Blob *blob);
gboolean      bs_s3_backing_release      (BsS3Backing *self, const char *prefix, GCancellable *cancellable, GError **error);
void          bs_s3_backing_release_all  (BsS3Backing *self, GCancellable *cancellable);

G_END_DECLS
