/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-claim-private.h"

G_BEGIN_DECLS

#define BS_SQLITE_PAGE_SIZE 4096
#define BS_SQLITE_NONCE_SIZE 16
#define BS_SQLITE_RECORD_SIZE 80

/* The row of the table `state`. A log carries one, which tells the file that it was
 * written for: each first transaction after a checkpoint sets a new nonce. In the file the
 * nonce is that of the last checkpoint. */
typedef struct
{
  guint8 nonce[BS_SQLITE_NONCE_SIZE];
  guint8 previous[BS_SQLITE_NONCE_SIZE];
  BsSqliteStamp stamp; /* of the file, when the log began */
  gboolean homing;     /* a checkpoint has begun, so that size and time may differ */
  guint64 serial;      /* of the writes of a record: none writes what is there already */
} BsSqliteRecord;

/* The row's text, by which it is known in a page. */
#define BS_SQLITE_RECORD_NAME "record"

void     bs_sqlite_record_print  (const BsSqliteRecord *self, guint8 bytes[BS_SQLITE_RECORD_SIZE]);
gboolean bs_sqlite_record_parse  (BsSqliteRecord *self, const guint8 *bytes, gsize size);

/* A file beside a document, under a name that SQLite uses. */
typedef enum
{
  BS_SQLITE_SIDECAR_NONE,    /* nothing, or nothing that SQLite would take in */
  BS_SQLITE_SIDECAR_OWN,     /* a log or a journal that was written for the file */
  BS_SQLITE_SIDECAR_STRANGE, /* one of another file, or of another state of this one */
} BsSqliteSidecar;

gboolean        bs_sqlite_sidecar_find_log     (const BsSqliteClaim *claim, BsSqliteSidecar *found, GError **error);
gboolean        bs_sqlite_sidecar_find_journal (const BsSqliteClaim *claim, BsSqliteSidecar *found, GError **error);
/* Removes one that SQLite would take nothing in from, and leave where it is. */
void            bs_sqlite_sidecar_remove_journal (const BsSqliteClaim *claim);
/* Renames it, so that SQLite does not find it. Returns the new name. */
char           *bs_sqlite_sidecar_set_aside    (const BsSqliteClaim *claim, const char *suffix, GError **error);
/* Writes the log once more where it is, so that syncing it means something after a sync
 * that has failed. */
gboolean        bs_sqlite_sidecar_rewrite_log  (const BsSqliteClaim *claim, GError **error);

G_END_DECLS
