/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-byte-set-private.h"
#include "bs-key-private.h"

G_BEGIN_DECLS

/* The result of a search. */
typedef struct
{
  BsKey key;
  guint8 *marks;      /* NULL where the key is not there */
  gint64 free_place;  /* where the key may go, unless it is there; -1 where there is none */
} BsKeyTableFound;

/* A compact set of keys: open addressing in groups of eight, the keys inline,
 * one control byte a key, and a byte of marks a key, beside it, where the table has
 * those. Not thread-safe; to be initialized.
 *
 * Keys stand in the order of their hash shifted left by `shift`, save for the
 * few whose place was taken, so that a table read in order fills other tables
 * in order. Reserve room in those first where their size is known. */
typedef struct
{
  /* written atomically, as is n_groups */
  guint8 *control;  /* n_groups * 8 bytes, twice as many with marks; NULL while nothing was added */
  BsKey *keys;      /* n_groups * 8 */
  _Alignas (8) guint64 n_keys; /* written atomically */
  guint64 n_free;   /* how many empty places may still be filled before growing */
  guint32 n_groups;
  guint8 shift;
  guint8 has_marks; /* 1 where it has: a group of control bytes is followed by one of marks */
  guint8 knows_found;
  BsKeyTableFound found;  /* with marks: by the last search, while knows_found */
} BsKeyTable;

typedef struct
{
  guint64 next;     /* index of the place to look at next */
} BsKeyTableIter;

void     bs_key_table_init      (BsKeyTable *table, guint shift);
void     bs_key_table_init_with_marks (BsKeyTable *table, guint shift);
void     bs_key_table_clear     (BsKeyTable *table);
void     bs_key_table_copy      (const BsKeyTable *table, BsKeyTable *copy);
void     bs_key_table_reserve   (BsKeyTable *table, guint64 n_keys);
gboolean bs_key_table_add       (BsKeyTable *table, const BsKey *key, guint64 hash);
void     bs_key_table_add_new   (BsKeyTable *table, const BsKey *key, guint64 hash, guint8 marks);
gboolean bs_key_table_remove    (BsKeyTable *table, const BsKey *key, guint64 hash);
gboolean bs_key_table_contains  (const BsKeyTable *table, const BsKey *key, guint64 hash);
gboolean bs_key_table_iter_next (const BsKeyTable *table, BsKeyTableIter *iter, const BsKey **key);

void     bs_key_table_search_marked (BsKeyTable *table, const BsKey *key, guint64 hash);

/* The marks of a key, or NULL where it is not there; of a table with marks. The
 * pointer is good until the table changes. */
static inline guint8 *
bs_key_table_find_marks (BsKeyTable *table, const BsKey *key, guint64 hash)
{
  /* A key is often looked for twice in a row: before a call of the backing, and after. */
  if (!table->knows_found || !bs_key_equal (&table->found.key, key))
    bs_key_table_search_marked (table, key, hash);
  return table->found.marks;
}

/* Keeps no result: for many keys, none of which is looked for again. */
guint8  *bs_key_table_look_up_marks (const BsKeyTable *table, const BsKey *key, guint64 hash);

/* Adds the key, without marks, where it is not there. */
guint8  *bs_key_table_obtain_marks (BsKeyTable *table, const BsKey *key, guint64 hash);

/* Removes the key that has these marks. */
void     bs_key_table_remove_marked (BsKeyTable *table, const guint8 *marks);
/* Takes the marks off all keys, and removes the keys that have no other. */
void     bs_key_table_unset_marks (BsKeyTable *table, guint8 marks);

/* Adds the keys to another table that have all of the marks, and whose first byte is in the
 * set. */
void     bs_key_table_copy_marked (const BsKeyTable *table, guint8 marks, const BsByteSet *first_bytes, BsKeyTable *copy);

/* The marks of the key that bs_key_table_iter_next() gave last. */
static inline guint8 *
bs_key_table_iter_get_marks (const BsKeyTable *table, const BsKeyTableIter *iter)
{
  guint64 place = iter->next - 1;

  return table->control + place / 8 * 16 + 8 + place % 8;
}

/* Both functions need no lock. */
static inline guint64
bs_key_table_peek_n_keys (const BsKeyTable *table)
{
  return __atomic_load_n (&table->n_keys, __ATOMIC_RELAXED);
}

/* Brings the memory of a search for the key into the cache, while the caller is busy
 * otherwise, and in vain if the table has just moved. */
static inline void
bs_key_table_prefetch (const BsKeyTable *table,
                       guint64 hash)
{
  guint64 group = (((hash << table->shift) >> 32) * __atomic_load_n (&table->n_groups, __ATOMIC_RELAXED)) >> 32;
  const BsKey *keys = __atomic_load_n (&table->keys, __ATOMIC_RELAXED) + group * 8;

  __builtin_prefetch (__atomic_load_n (&table->control, __ATOMIC_RELAXED) + group * (8u << table->has_marks));
  __builtin_prefetch (keys);
  __builtin_prefetch (keys + 4);
}

G_END_DECLS
