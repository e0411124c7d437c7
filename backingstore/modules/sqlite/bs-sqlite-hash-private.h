/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The part of an XXH3 hash that is kept. SQLite stores a larger number in two bytes more. */
#define BS_SQLITE_HASH_MASK G_GUINT64_CONSTANT (0x7fffffffffff)

/* The hash of a content that comes in parts. */
typedef struct _BsSqliteHasher BsSqliteHasher;

guint64         bs_sqlite_hash       (GBytes *bytes);

BsSqliteHasher *bs_sqlite_hasher_new (void);
void            bs_sqlite_hasher_add (BsSqliteHasher *self, gconstpointer data, gsize size);
/* Frees the hasher. */
guint64         bs_sqlite_hasher_end (BsSqliteHasher *self);

G_END_DECLS
