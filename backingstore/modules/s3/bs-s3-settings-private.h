/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Where the objects of a backing are, by its URI, the environment and ~/.aws/config.
 * Constant after it is made. */
typedef struct
{
  char *bucket;
  char *prefix;   /* without a slash at its ends; may be empty */
  char *profile;  /* of ~/.aws */
  char *region;
  char *base;     /* the URL of the bucket, without a slash at its end */
  char *host;     /* for the header Host */
  char *path;     /* of the base, encoded; may be empty */
  char *scratch;  /* the parent directory of scratch; NULL for the default */
  guint64 cache_size;
  guint lease;    /* seconds */
  guint timeout;  /* seconds without a byte */
} BsS3Settings;

BsS3Settings *bs_s3_settings_new      (const char *uri, GError **error);
void          bs_s3_settings_free     (BsS3Settings *self);

/* The prefix of a tracked path, without a slash at its ends. */
char         *bs_s3_settings_get_path (BsS3Settings *self, GFile *path, GError **error);

/* Percent-encodes as signatures need it, slashes excepted or not. */
char         *bs_s3_encode            (const char *text, gboolean keep_slashes) G_GNUC_WARN_UNUSED_RESULT;

/* The contents of a file of ~/.aws, which a variable of the environment may name; NULL if there
 * is none. */
char         *bs_s3_profile_read      (const char *variable, const char *name);
/* A value of a section in there; NULL if there is none. The contents are nullable. */
char         *bs_s3_profile_find      (const char *contents, const char *section, const char *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsS3Settings, bs_s3_settings_free)

G_END_DECLS
