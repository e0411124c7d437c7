/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-key-table-private.h"

/* The places of the table stand in groups of eight. Each place has a control
 * byte, and the eight of a group are looked at together, as one word.
 *
 * A key's home is the group at the same fraction of the table as its hash is of
 * all hashes. Where the home is full it goes to one of the next groups; a
 * search follows until it meets a group with an empty place, for no key ever
 * went past one. */

#define GROUP_SIZE 8
#define GROUP_CAPACITY 7
#define GROUP_BYTES (GROUP_SIZE * (sizeof (BsKey) + 2))

#define EMPTY 0x00
#define DELETED 0x01
#define FULL 0x80

#define LOW_BITS G_GUINT64_CONSTANT (0x0101010101010101)
#define HIGH_BITS G_GUINT64_CONSTANT (0x8080808080808080)

/* A search goes through so many groups in a row, then on from another place
 * that depends on the hash, and after so many such runs straight on. In a table
 * with keys from all over, hardly any key leaves its first run; but where keys
 * arrive in the order of their hashes (out of another table) and the table
 * grows with them, all of them have their home at its beginning. */
#define RUN_LENGTH 8
#define N_RUNS 32

/* From here on a table grows in small steps, so as not to waste memory. */
#define MANY_KEYS 4096

/* An emptied table keeps no more groups than this. */
#define FEW_GROUPS 8

typedef struct
{
  guint64 hash;
  guint32 group;
  guint32 n_steps;
} Search;

/* Bytes from the control bytes of a group to those of the next. */
static inline guint
stride (const BsKeyTable *table)
{
  return GROUP_SIZE << table->has_marks;
}

static inline guint32
group_at (const BsKeyTable *table, guint64 hash)
{
  return ((hash >> 32) * table->n_groups) >> 32;
}

static inline void
search_begin (Search *search, const BsKeyTable *table, guint64 hash)
{
  search->hash = hash << table->shift;
  search->group = group_at (table, search->hash);
  search->n_steps = 0;
}

static inline void
search_next (Search *search, const BsKeyTable *table)
{
  search->n_steps++;
  if (G_LIKELY (search->n_steps % RUN_LENGTH != 0 || search->n_steps >= RUN_LENGTH * N_RUNS))
    {
      search->group++;
      if (search->group == table->n_groups)
        search->group = 0;
      return;
    }

  search->hash = (search->hash ^ search->hash >> 32) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  search->group = group_at (table, search->hash);
}

static inline guint64
load_group (const BsKeyTable *table, guint64 group)
{
  guint64 controls;

  memcpy (&controls, table->control + group * stride (table), GROUP_SIZE);
  return GUINT64_FROM_LE (controls);
}

/* Writes the whole group: the next load of it would wait for a single byte to
 * arrive in the cache. */
static inline void
set_control (BsKeyTable *table, guint64 place, guint8 control)
{
  guint shift = place % GROUP_SIZE * 8;
  guint64 controls = load_group (table, place / GROUP_SIZE);

  controls &= ~((guint64) 0xff << shift);
  controls |= (guint64) control << shift;
  controls = GUINT64_TO_LE (controls);
  memcpy (table->control + place / GROUP_SIZE * stride (table), &controls, GROUP_SIZE);
}

static inline guint8
control_of (guint64 hash)
{
  return FULL | (hash & 0x7f);
}

/* May have bits too many above a right one; all of them of full places. */
static inline guint64
match_full (guint64 controls, guint8 control)
{
  guint64 difference = controls ^ (LOW_BITS * control);

  return (difference - LOW_BITS) & ~difference & HIGH_BITS;
}

/* Of any eight bytes. */
static inline guint64
match_zero (guint64 bytes)
{
  return ~(((bytes & ~HIGH_BITS) + ~HIGH_BITS) | bytes) & HIGH_BITS;
}

static inline guint64
match_empty (guint64 controls)
{
  return ~controls & ~(controls << 7) & HIGH_BITS;
}

static inline guint64
match_empty_or_deleted (guint64 controls)
{
  return ~controls & HIGH_BITS;
}

static inline guint64
place_of (guint64 group, guint64 matches)
{
  return group * GROUP_SIZE + __builtin_ctzll (matches) / 8;
}

static inline guint8 *
control_at (const BsKeyTable *table, guint64 place)
{
  return table->control + place / GROUP_SIZE * stride (table) + place % GROUP_SIZE;
}

static inline guint8 *
marks_at (const BsKeyTable *table, guint64 place)
{
  return control_at (table, place) + GROUP_SIZE;
}

static inline void
put (BsKeyTable *table, guint64 place, const BsKey *key, guint64 hash, guint8 marks)
{
  set_control (table, place, control_of (hash));
  table->keys[place] = *key;
  if (table->has_marks)
    *marks_at (table, place) = marks;
}

static guint64
groups_for (guint64 n_keys)
{
  return n_keys == 0 ? 1 : (n_keys + GROUP_CAPACITY - 1) / GROUP_CAPACITY;
}

/* Puts the key into the first place from its home on, and gives up on the way to a
 * group before `first`. Returns the place, or -1. */
static gint64
settle (BsKeyTable *table, const BsKey *key, guint64 hash, guint8 marks, guint32 first)
{
  Search search;

  for (search_begin (&search, table, hash); search.group >= first; search_next (&search, table))
    {
      guint64 matches = match_empty_or_deleted (load_group (table, search.group));

      if (matches != 0)
        {
          put (table, place_of (search.group, matches), key, hash, marks);
          return place_of (search.group, matches);
        }
    }
  return -1;
}

typedef struct
{
  BsKey key;
  guint8 marks;
} Entry;

static guint
take_group (BsKeyTable *table, guint32 group, Entry entries[GROUP_SIZE])
{
  guint64 matches = load_group (table, group) & HIGH_BITS;
  guint n = 0;

  for (; matches != 0; matches &= matches - 1)
    {
      guint64 place = place_of (group, matches);

      entries[n].key = table->keys[place];
      entries[n++].marks = table->has_marks ? *marks_at (table, place) : 0;
    }

  memset (table->control + (gsize) group * stride (table), EMPTY, GROUP_SIZE);
  return n;
}

static inline void
set_n_keys (BsKeyTable *table, guint64 n_keys)
{
  __atomic_store_n (&table->n_keys, n_keys, __ATOMIC_RELAXED);
  table->knows_found = FALSE;
}

static void
set_memory (BsKeyTable *table, guint8 *control, BsKey *keys, guint32 n_groups)
{
  __atomic_store_n (&table->control, control, __ATOMIC_RELAXED);
  __atomic_store_n (&table->keys, keys, __ATOMIC_RELAXED);
  __atomic_store_n (&table->n_groups, n_groups, __ATOMIC_RELAXED);
  table->knows_found = FALSE;
}

/* In place, so that a table never needs twice its memory: from the last group
 * to the first, since keys move to the back. A key that would go to a group
 * whose turn is still to come waits until the end. */
static void
rehash (BsKeyTable *table, guint32 n_old_groups)
{
  g_autoptr (GArray) waiting = NULL;

  for (guint32 group = n_old_groups; group-- > 0;)
    {
      Entry entries[GROUP_SIZE];
      guint n = take_group (table, group, entries);

      for (guint i = 0; i < n; i++)
        {
          if (settle (table, &entries[i].key, bs_key_hash (&entries[i].key), entries[i].marks,
                      group) >= 0)
            continue;
          if (waiting == NULL)
            waiting = g_array_new (FALSE, FALSE, sizeof (Entry));
          g_array_append_val (waiting, entries[i]);
        }
    }

  for (guint i = 0; waiting != NULL && i < waiting->len; i++)
    {
      const Entry *entry = &g_array_index (waiting, Entry, i);

      settle (table, &entry->key, bs_key_hash (&entry->key), entry->marks, 0);
    }
}

static void
resize (BsKeyTable *table, guint64 n_groups)
{
  guint32 n_old_groups = table->n_groups;
  guint8 *control;

  if (n_groups > G_MAXUINT32 || n_groups > G_MAXSIZE / GROUP_BYTES)
    g_error ("A table of %" G_GUINT64_FORMAT " keys is too large", table->n_keys);

  control = g_realloc (table->control, n_groups * stride (table));
  memset (control + (gsize) n_old_groups * stride (table), EMPTY,
          (n_groups - n_old_groups) * stride (table));
  set_memory (table, control, g_realloc (table->keys, n_groups * GROUP_SIZE * sizeof (BsKey)),
              n_groups);
  table->n_free = n_groups * GROUP_CAPACITY - table->n_keys;
  rehash (table, n_old_groups);
}

/* Called when no place may be filled any more: because of keys, or of deleted
 * places that a rehash of the same size makes empty again. Either way it leaves
 * so many free that the next time is a sixth of the table away. */
static void
make_room (BsKeyTable *table)
{
  guint64 n_keys =
    table->n_keys < MANY_KEYS ? table->n_keys * 2 : table->n_keys + table->n_keys / 9 * 2;

  resize (table, MAX (table->n_groups, groups_for (n_keys)));
}

void
bs_key_table_init (BsKeyTable *table, guint shift)
{
  memset (table, 0, sizeof *table);
  table->shift = shift;
}

void
bs_key_table_init_with_marks (BsKeyTable *table, guint shift)
{
  bs_key_table_init (table, shift);
  table->has_marks = TRUE;
}

void
bs_key_table_clear (BsKeyTable *table)
{
  g_free (table->keys);
  g_free (table->control);
  set_memory (table, NULL, NULL, 0);
  set_n_keys (table, 0);
  table->n_free = 0;
}

/* `copy` must not be initialised. */
void
bs_key_table_copy (const BsKeyTable *table, BsKeyTable *copy)
{
  *copy = *table;
  if (table->keys == NULL)
    return;

  copy->keys = g_memdup2 (table->keys, (gsize) table->n_groups * GROUP_SIZE * sizeof (BsKey));
  copy->control = g_memdup2 (table->control, (gsize) table->n_groups * stride (table));
  copy->knows_found = FALSE;
}

void
bs_key_table_reserve (BsKeyTable *table, guint64 n_keys)
{
  guint64 n_groups = groups_for (n_keys);

  if (n_keys > 0 && n_groups > table->n_groups)
    resize (table, n_groups);
}

/* Returns the place of the key, or -1, and sets `place` to the place where the key would go.
 * Inline, so that results without a use cost nothing. */
G_ALWAYS_INLINE
static inline gint64
look_up (const BsKeyTable *table, const BsKey *key, guint64 hash, gint64 *place)
{
  Search search;

  *place = -1;
  if (table->n_groups == 0)
    return -1;

  for (search_begin (&search, table, hash);; search_next (&search, table))
    {
      guint64 controls = load_group (table, search.group);
      guint64 matches = match_full (controls, control_of (hash));

      for (; matches != 0; matches &= matches - 1)
        {
          guint64 found = place_of (search.group, matches);

          if (bs_key_equal (&table->keys[found], key))
            return found;
        }

      matches = match_empty_or_deleted (controls);
      if (matches != 0 && *place < 0)
        *place = place_of (search.group, matches);
      if (match_empty (controls) != 0)
        return -1;
    }
}

/* Adds a key that is not there, at `place` if that is 0 or more and may be filled.
 * Returns its place. */
static gint64
add_at (BsKeyTable *table, gint64 place, const BsKey *key, guint64 hash)
{
  set_n_keys (table, table->n_keys + 1);
  if (place >= 0 && (table->n_free > 0 || *control_at (table, place) == DELETED))
    {
      table->n_free -= *control_at (table, place) == EMPTY;
      put (table, place, key, hash, 0);
      return place;
    }

  make_room (table);
  return settle (table, key, hash, 0, 0);
}

/* Whether the key is new. */
gboolean
bs_key_table_add (BsKeyTable *table, const BsKey *key, guint64 hash)
{
  gint64 place;

  if (look_up (table, key, hash, &place) >= 0)
    return FALSE;

  add_at (table, place, key, hash);
  return TRUE;
}

void
bs_key_table_search_marked (BsKeyTable *table, const BsKey *key, guint64 hash)
{
  BsKeyTableFound *found = &table->found;
  gint64 place = look_up (table, key, hash, &found->free_place);

  found->key = *key;
  found->marks = place >= 0 ? marks_at (table, place) : NULL;
  table->knows_found = TRUE;
}

guint8 *
bs_key_table_look_up_marks (const BsKeyTable *table, const BsKey *key, guint64 hash)
{
  gint64 unused;
  gint64 place = look_up (table, key, hash, &unused);

  return place >= 0 ? marks_at (table, place) : NULL;
}

guint8 *
bs_key_table_obtain_marks (BsKeyTable *table, const BsKey *key, guint64 hash)
{
  if (bs_key_table_find_marks (table, key, hash) == NULL)
    {
      table->found.marks = marks_at (table, add_at (table, table->found.free_place, key, hash));
      table->knows_found = TRUE;
    }
  return table->found.marks;
}

/* The key must not be in the table, and room must be reserved for it. */
void
bs_key_table_add_new (BsKeyTable *table, const BsKey *key, guint64 hash, guint8 marks)
{
  set_n_keys (table, table->n_keys + 1);
  table->n_free--;
  settle (table, key, hash, marks, 0);
}

static void
remove_at (BsKeyTable *table, gint64 place)
{
  set_n_keys (table, table->n_keys - 1);
  if (match_empty (load_group (table, place / GROUP_SIZE)) != 0)
    {
      set_control (table, place, EMPTY);
      table->n_free++;
    }
  else
    {
      set_control (table, place, DELETED);
    }

  if (table->n_keys == 0 && table->n_groups > FEW_GROUPS)
    {
      bs_key_table_clear (table);
    }
  else if (table->n_keys == 0)
    {
      memset (table->control, EMPTY, (gsize) table->n_groups * stride (table));
      table->n_free = (guint64) table->n_groups * GROUP_CAPACITY;
    }
}

/* Whether the key was there. */
gboolean
bs_key_table_remove (BsKeyTable *table, const BsKey *key, guint64 hash)
{
  gint64 unused;
  gint64 place = look_up (table, key, hash, &unused);

  if (place < 0)
    return FALSE;

  remove_at (table, place);
  return TRUE;
}

void
bs_key_table_remove_marked (BsKeyTable *table, const guint8 *marks)
{
  guint64 offset = marks - table->control;

  remove_at (table, offset / stride (table) * GROUP_SIZE + offset % stride (table) - GROUP_SIZE);
}

/* Goes over eight keys at a time. */
void
bs_key_table_unset_marks (BsKeyTable *table, guint8 marks)
{
  for (guint32 group = 0; group < table->n_groups; group++)
    {
      guint8 *group_marks = marks_at (table, (guint64) group * GROUP_SIZE);
      guint64 left, matches;

      memcpy (&left, group_marks, GROUP_SIZE);
      left &= ~(LOW_BITS * marks);
      memcpy (group_marks, &left, GROUP_SIZE);

      matches = match_zero (GUINT64_FROM_LE (left)) & load_group (table, group);
      for (; matches != 0; matches &= matches - 1)
        remove_at (table, place_of (group, matches));
    }
}

/* Goes over eight keys at a time. */
void
bs_key_table_copy_marked (const BsKeyTable *table,
                          guint8 marks,
                          const BsByteSet *first_bytes,
                          BsKeyTable *copy)
{
  for (guint32 group = 0; group < table->n_groups; group++)
    {
      guint64 missing, matches;

      memcpy (&missing, marks_at (table, (guint64) group * GROUP_SIZE), GROUP_SIZE);
      missing = ~missing & LOW_BITS * marks;

      matches = match_zero (GUINT64_FROM_LE (missing)) & load_group (table, group);
      for (; matches != 0; matches &= matches - 1)
        {
          const BsKey *key = &table->keys[place_of (group, matches)];

          if (bs_byte_set_contains (first_bytes, ((const guint8 *) key)[0]))
            bs_key_table_add (copy, key, bs_key_hash (key));
        }
    }
}

gboolean
bs_key_table_contains (const BsKeyTable *table, const BsKey *key, guint64 hash)
{
  gint64 unused;

  return look_up (table, key, hash, &unused) >= 0;
}

/* The key it gives may be removed before the next call. After any other change
 * it goes on without harm, but may leave keys out and give others twice. */
gboolean
bs_key_table_iter_next (const BsKeyTable *table, BsKeyTableIter *iter, const BsKey **key)
{
  guint64 group = iter->next / GROUP_SIZE;
  guint64 wanted = HIGH_BITS << (iter->next % GROUP_SIZE * 8);

  for (; group < table->n_groups; group++)
    {
      guint64 matches = load_group (table, group) & wanted;

      if (matches != 0)
        {
          guint64 place = place_of (group, matches);

          iter->next = place + 1;
          *key = &table->keys[place];
          return TRUE;
        }
      wanted = HIGH_BITS;
    }

  iter->next = group * GROUP_SIZE;
  return FALSE;
}
