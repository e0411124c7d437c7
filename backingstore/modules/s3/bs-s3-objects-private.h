/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-client-private.h"
#include "bs-s3-content-private.h"

G_BEGIN_DECLS

/* Requests for objects: one function for each kind. */

/* Puts a content, in parts where it is large: no object is there before all of it is. Sets
 * `unclear` where a request may still be carried out. */
gboolean  bs_s3_put            (BsS3Client *client, const char *key, const BsS3Content *content, gboolean *unclear, GCancellable *cancellable, GError **error);
/* Begins to put a content that is in memory and not large; the answer is for put_check(). */
BsS3Call *bs_s3_begin_put      (BsS3Client *client, const char *key, const BsS3Content *content);
/* TRUE where the object is stored. */
gboolean  bs_s3_put_check      (const BsS3Answer *answer, GError **error);
/* Gets a content whole, and compares it with its hash: CORRUPT. */
GBytes   *bs_s3_get            (BsS3Client *client, const char *key, GCancellable *cancellable, GError **error);
/* One of several objects that a call works on side by side. */
typedef char *(*BsS3NameFunc) (gpointer data, guint n);

/* Copies objects within the server. */
gboolean  bs_s3_copy_many      (BsS3Client *client, BsS3NameFunc from, BsS3NameFunc to, gpointer data, guint n, gboolean *unclear, GCancellable *cancellable, GError **error);
/* Deletes objects; missing ones are no error. */
gboolean  bs_s3_delete_many    (BsS3Client *client, BsS3NameFunc name, gpointer data, guint n, gboolean *unclear, GCancellable *cancellable, GError **error);

/* Called for each object, from one thread. */
typedef void (*BsS3ListFunc)   (const char *key, guint64 size, gpointer data);
/* Lists the objects whose names start so and go on with a hexadecimal digit, many pages
 * side by side where there are many. */
gboolean  bs_s3_list           (BsS3Client *client, const char *prefix, BsS3ListFunc func, gpointer data, GCancellable *cancellable, GError **error);
/* Lists one page of names up to the next slash; directories come with theirs. */
gboolean  bs_s3_list_level     (BsS3Client *client, const char *prefix, BsS3ListFunc func, gpointer data, GCancellable *cancellable, GError **error);

G_END_DECLS
