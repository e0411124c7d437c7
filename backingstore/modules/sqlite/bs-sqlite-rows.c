/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-rows-private.h"

#include <string.h>

static guint
get_digit (char character)
{
  return character <= '9' ? character - '0' : character - 'a' + 10;
}

void
bs_sqlite_key_parse (const char *string, BsSqliteKey *key)
{
  for (guint i = 0; i < BS_SQLITE_KEY_SIZE; i++, string += 2)
    {
      if (*string == '-')
        string++;
      key->bytes[i] = get_digit (string[0]) << 4 | get_digit (string[1]);
    }
}

void
bs_sqlite_key_print (const BsSqliteKey *key, char string[BS_SQLITE_KEY_STRING_SIZE])
{
  static const char digits[] = "0123456789abcdef";
  char *end = string;

  for (guint i = 0; i < BS_SQLITE_KEY_SIZE; i++)
    {
      if (i == 4 || i == 6 || i == 8 || i == 10)
        *end++ = '-';
      *end++ = digits[key->bytes[i] >> 4];
      *end++ = digits[key->bytes[i] & 15];
    }
  *end = '\0';
}

/* Keys are random, but for those that somebody chose. */
static guint64
mix (const BsSqliteKey *key)
{
  guint64 halves[2];

  memcpy (halves, key->bytes, sizeof halves);

  return (halves[0] ^ (halves[1] * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15))) *
         G_GUINT64_CONSTANT (0xff51afd7ed558ccd);
}

guint
bs_sqlite_key_hash (gconstpointer key)
{
  return mix (key) >> 32;
}

gboolean
bs_sqlite_key_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, BS_SQLITE_KEY_SIZE) == 0;
}

void
bs_sqlite_rows_clear (BsSqliteRows *self)
{
  g_free (self->slots);
  memset (self, 0, sizeof *self);
}

static gsize
first_slot (const BsSqliteRows *self, const BsSqliteKey *key)
{
  return (mix (key) >> 20) & self->mask;
}

/* Returns the slot of the key, or the free one where it belongs. */
static BsSqliteRow *
find_slot (const BsSqliteRows *self, const BsSqliteKey *key)
{
  gsize i = first_slot (self, key);

  while (self->slots[i].id != 0 && !bs_sqlite_key_equal (&self->slots[i].key, key))
    i = (i + 1) & self->mask;

  return &self->slots[i];
}

const BsSqliteRow *
bs_sqlite_rows_lookup (const BsSqliteRows *self, const BsSqliteKey *key)
{
  const BsSqliteRow *slot;

  if (self->slots == NULL)
    return NULL;

  slot = find_slot (self, key);
  return slot->id != 0 ? slot : NULL;
}

static void
grow (BsSqliteRows *self)
{
  BsSqliteRows old = *self;

  self->mask = MAX (2 * old.mask + 1, 63);
  self->slots = g_new0 (BsSqliteRow, self->mask + 1);
  for (gsize i = 0; old.slots != NULL && i <= old.mask; i++)
    {
      if (old.slots[i].id != 0)
        *find_slot (self, &old.slots[i].key) = old.slots[i];
    }
  g_free (old.slots);
}

void
bs_sqlite_rows_set (BsSqliteRows *self, const BsSqliteRow *row)
{
  BsSqliteRow *slot;

  if (self->slots == NULL || self->n_rows >= self->mask / 4 * 3)
    grow (self);

  slot = find_slot (self, &row->key);
  if (slot->id == 0)
    self->n_rows++;
  *slot = *row;
}

void
bs_sqlite_rows_remove (BsSqliteRows *self, const BsSqliteKey *key)
{
  BsSqliteRow *slot = self->slots != NULL ? find_slot (self, key) : NULL;
  gsize hole, i;

  if (slot == NULL || slot->id == 0)
    return;

  self->n_rows--;
  hole = slot - self->slots;
  /* Every row behind the hole stays reachable from its first slot. */
  for (i = (hole + 1) & self->mask; self->slots[i].id != 0; i = (i + 1) & self->mask)
    {
      gsize first = first_slot (self, &self->slots[i].key);

      if (((i - first) & self->mask) < ((i - hole) & self->mask))
        continue;
      self->slots[hole] = self->slots[i];
      hole = i;
    }
  self->slots[hole].id = 0;
}
