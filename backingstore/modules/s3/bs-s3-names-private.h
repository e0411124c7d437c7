/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A key, as 16 bytes. */
typedef struct
{
  guint8 bytes[16];
} BsS3Key;

/* The name of an object below the prefix of a document: ab/HEX for a key that was made
 * here, and ab/HEX.NONCE where that name may have been in use. 0: no nonce. */
typedef struct
{
  BsS3Key key;
  guint64 nonce;
} BsS3Name;

/* The folder of a document for objects that are set aside. */
#define BS_S3_QUARANTINE ".quarantine/"

void     bs_s3_key_parse  (const char *string, BsS3Key *key);
guint    bs_s3_key_hash   (gconstpointer key);
gboolean bs_s3_key_equal  (gconstpointer a, gconstpointer b);
void     bs_s3_key_print  (const BsS3Key *key, char string[37]);

guint64  bs_s3_make_nonce (void);

/* The prefix has no slash at its end; it may be empty. */
char    *bs_s3_name_print (const BsS3Name *name, const char *prefix) G_GNUC_WARN_UNUSED_RESULT;
/* Parses what comes behind the prefix and its slash. FALSE for names that are not ours. */
gboolean bs_s3_name_parse (const char *text, BsS3Name *name);
/* The name of an object in quarantine, where no two ever have one either. */
char    *bs_s3_name_print_aside (const BsS3Name *name, const char *prefix) G_GNUC_WARN_UNUSED_RESULT;
/* Parses what comes behind the folder. */
gboolean bs_s3_name_parse_aside (const char *text, BsS3Name *name);
char    *bs_s3_join       (const char *prefix, const char *name) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
