/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-backing.h"
#include "base/bs-key-private.h"

G_BEGIN_DECLS

/* The content of a write: bytes, or a function that makes them when the operation's
 * turn has come, or one that puts the content into the backing itself. */
typedef struct _BsContent BsContent;

/* Runs where the backing's functions run, as part of the operation. */
typedef GBytes *(*BsEncodeFunc) (gpointer data, GCancellable *cancellable, GError **error);

BsContent *bs_content_new        (BsEncodeFunc encode, gpointer data, GDestroyNotify data_free) G_GNUC_WARN_UNUSED_RESULT;
/* Writes a new key. Runs once, as part of the operation. */
typedef gboolean (*BsWriteFunc) (gpointer data, BsBacking *backing, const BsKey *key, GCancellable *cancellable, GError **error);

BsContent *bs_content_new_source (BsWriteFunc write, gpointer data) G_GNUC_WARN_UNUSED_RESULT;
BsContent *bs_content_new_bytes  (GBytes *bytes) G_GNUC_WARN_UNUSED_RESULT;
BsContent *bs_content_ref        (BsContent *content);
void       bs_content_unref      (BsContent *content);

/* A content without bytes in memory: it is written by bs_content_write(). */
gboolean   bs_content_is_source  (BsContent *content);
gboolean   bs_content_write      (BsContent *content, BsBacking *backing, const BsKey *key, GCancellable *cancellable, GError **error);
GBytes    *bs_content_make_bytes (BsContent *content, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsContent, bs_content_unref)

G_END_DECLS
