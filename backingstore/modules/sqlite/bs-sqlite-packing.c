/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-packing-private.h"

#include "bs-sqlite-sidecar-private.h"

#include <stdlib.h>

/* The format of SQLite's files: a row that does not fit into what is left of the last page
 * begins the next one, and a large one has a part of itself in its page. */
#define ROOM (BS_SQLITE_PAGE_SIZE - 8)
#define MAX_LOCAL (BS_SQLITE_PAGE_SIZE - 35)
#define MIN_LOCAL ((BS_SQLITE_PAGE_SIZE - 12) * 32 / 255 - 23)
#define POINTER_SIZE 2
#define LINK_SIZE 4
/* Of a row below 268 million; a shorter one leaves a byte. */
#define ID_SIZE 4

typedef struct
{
  guint size; /* in a page */
  guint row;
  guint next; /* the place itself, or one behind it, from where on to look for a free one */
} Place;

static guint
count_varint (guint64 number)
{
  guint n_bytes = 1;

  while (number >>= 7)
    n_bytes++;

  return n_bytes;
}

static guint
get_size_in_page (gsize size)
{
  guint64 payload = 2 + count_varint (2 * (guint64) size + 12) + size;
  guint around = POINTER_SIZE + count_varint (payload) + ID_SIZE;
  guint local;

  if (payload <= MAX_LOCAL)
    return around + payload;

  local = MIN_LOCAL + (payload - MIN_LOCAL) % (BS_SQLITE_PAGE_SIZE - LINK_SIZE);
  return around + (local <= MAX_LOCAL ? local : MIN_LOCAL) + LINK_SIZE;
}

static int
compare_places (gconstpointer a, gconstpointer b)
{
  const Place *left = a, *right = b;

  if (left->size != right->size)
    return left->size > right->size ? -1 : 1;
  return left->row < right->row ? -1 : left->row > right->row;
}

/* Returns the first place from `i` on whose row is not taken yet, or the end. */
static guint
find_free (Place *places, guint i)
{
  while (places[i].next != i)
    {
      places[i].next = places[places[i].next].next;
      i = places[i].next;
    }

  return i;
}

/* Returns the place of the largest row that fits and is not taken yet, or the end. */
static guint
find_largest (Place *places, guint n_places, guint room)
{
  guint low = 0, high = n_places;

  while (low < high)
    {
      guint middle = (low + high) / 2;

      if (places[middle].size > room)
        low = middle + 1;
      else
        high = middle;
    }

  return find_free (places, low);
}

void
bs_sqlite_pack (BsSqliteRow *rows, GBytes **contents, guint n_rows)
{
  g_autofree Place *places = g_new (Place, n_rows + 1);
  g_autofree BsSqliteRow *old_rows = g_memdup2 (rows, n_rows * sizeof *rows);
  g_autofree GBytes **old_contents = g_memdup2 (contents, n_rows * sizeof *contents);
  guint room = ROOM;

  for (guint i = 0; i < n_rows; i++)
    places[i] = (Place){ get_size_in_page (g_bytes_get_size (contents[i])), i, 0 };
  qsort (places, n_rows, sizeof *places, compare_places);
  for (guint i = 0; i <= n_rows; i++)
    places[i].next = i;

  for (guint n_done = 0; n_done < n_rows;)
    {
      guint i = find_largest (places, n_rows, room);

      if (i == n_rows)
        {
          room = ROOM;
          continue;
        }
      rows[n_done] = old_rows[places[i].row];
      contents[n_done++] = old_contents[places[i].row];
      room -= places[i].size;
      places[i].next = i + 1;
    }
}
