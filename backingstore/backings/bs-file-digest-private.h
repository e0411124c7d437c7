/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A chunk is hashed while it is in the processor's cache, on its way to a file or from
 * one. */
#define BS_FILE_CHUNK_SIZE (256 * 1024)

/* Length and hash of a file's content, kept in an extended attribute of the file. */
typedef struct
{
  guint64 length;
  guint64 hash;
  gint64 time; /* of the last change of the content, in nanoseconds; 0 if unknown */
} BsFileDigest;

/* A hash in the making. All chunks but the last have BS_FILE_CHUNK_SIZE bytes. */
typedef struct
{
  gpointer state;       /* or NULL while there is one chunk at most */
  BsFileDigest digest;
} BsFileHasher;

void     bs_file_hasher_init  (BsFileHasher *self, guint64 total);
void     bs_file_hasher_add   (BsFileHasher *self, const guint8 *chunk, gsize size);
void     bs_file_hasher_end   (BsFileHasher *self, BsFileDigest *digest);

/* Returns 0 or an errno: EILSEQ if the attribute is damaged. `known` is FALSE without
 * an attribute, or with one that a newer version wrote. */
int      bs_file_digest_load  (int fd, BsFileDigest *digest, gboolean *known);
/* For a file that does not match its digest: returns EILSEQ, or 0 if another program
 * has replaced the content on purpose, which the time of its last change tells. */
int      bs_file_digest_mismatch (int fd, const BsFileDigest *digest);
/* Returns 0 or an errno; see bs_file_digest_is_refusal(). */
int      bs_file_digest_store (int fd, const BsFileDigest *digest);
/* Whether the errno says that the file can have no attribute: no failure. */
gboolean bs_file_digest_is_refusal (int code);

static inline gboolean
bs_file_digest_equal (const BsFileDigest *a, const BsFileDigest *b)
{
  return a->length == b->length && a->hash == b->hash;
}

G_END_DECLS
