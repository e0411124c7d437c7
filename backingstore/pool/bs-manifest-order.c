/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-manifest-order-private.h"

#include <string.h>

void
bs_manifest_order_init (BsManifestOrder *self, BsManifestMovedFunc moved, gpointer data)
{
  *self = (BsManifestOrder){ .starts = g_array_new (FALSE, FALSE, sizeof (BsManifestStart)),
                             .moved = moved,
                             .data = data };
}

static BsManifestStart *
get_start (BsManifestOrder *self, guint index)
{
  return &g_array_index (self->starts, BsManifestStart, index);
}

void
bs_manifest_order_clear (BsManifestOrder *self)
{
  for (guint i = 0; i < self->starts->len; i++)
    g_free (get_start (self, i)->run);
  g_array_unref (self->starts);
}

/* Counts the starts anew behind the first run that has changed. */
static void
validate (BsManifestOrder *self)
{
  for (guint i = self->n_valid; i < self->starts->len; i++)
    get_start (self, i)->start =
      i == 0 ? 0 : get_start (self, i - 1)->start + get_start (self, i - 1)->run->n;
  self->n_valid = self->starts->len;
}

static void
invalidate (BsManifestOrder *self, guint index)
{
  self->n_valid = MIN (self->n_valid, index + 1);
}

/* The run of a position. The end of the sequence belongs to the last run. */
static BsManifestRun *
find_run (BsManifestOrder *self, guint position, guint *offset)
{
  guint low = 0, high = self->starts->len;

  validate (self);
  while (high - low > 1)
    {
      guint middle = low + (high - low) / 2;

      if (get_start (self, middle)->start <= position)
        low = middle;
      else
        high = middle;
    }

  *offset = position - get_start (self, low)->start;
  return get_start (self, low)->run;
}

static void
number_runs (BsManifestOrder *self, guint index)
{
  for (; index < self->starts->len; index++)
    get_start (self, index)->run->index = index;
}

static BsManifestRun *
add_run (BsManifestOrder *self, guint index)
{
  BsManifestStart start = { g_new (BsManifestRun, 1), 0 };

  start.run->n = 0;
  g_array_insert_val (self->starts, index, start);
  number_runs (self, index);
  self->n_valid = MIN (self->n_valid, index);

  return start.run;
}

/* Makes room in a full run: appending leaves full runs behind, any other insertion leaves
 * two halves. */
static BsManifestRun *
split (BsManifestOrder *self, BsManifestRun *run, guint *offset)
{
  guint at = *offset == run->n ? run->n : run->n / 2;
  BsManifestRun *next = add_run (self, run->index + 1);

  next->n = run->n - at;
  memcpy (next->nodes, run->nodes + at, next->n * sizeof (guint32));
  run->n = at;
  for (guint i = 0; i < next->n; i++)
    self->moved (self->data, next->nodes[i], next);

  if (*offset < at)
    return run;
  *offset -= at;
  return next;
}

void
bs_manifest_order_insert (BsManifestOrder *self, guint position, guint32 node)
{
  BsManifestRun *run;
  guint offset;

  if (self->starts->len == 0)
    add_run (self, 0);
  run = find_run (self, position, &offset);
  if (run->n == BS_MANIFEST_RUN_LENGTH)
    run = split (self, run, &offset);

  memmove (run->nodes + offset + 1, run->nodes + offset, (run->n - offset) * sizeof (guint32));
  run->nodes[offset] = node;
  run->n++;
  self->n_nodes++;
  invalidate (self, run->index);
  self->moved (self->data, node, run);
}

void
bs_manifest_order_remove (BsManifestOrder *self, guint position)
{
  guint offset;
  BsManifestRun *run = find_run (self, position, &offset);
  guint index = run->index;

  run->n--;
  self->n_nodes--;
  memmove (run->nodes + offset, run->nodes + offset + 1, (run->n - offset) * sizeof (guint32));
  invalidate (self, index);
  if (run->n > 0)
    return;

  g_free (run);
  g_array_remove_index (self->starts, index);
  number_runs (self, index);
  self->n_valid = MIN (self->n_valid, index);
}

guint32
bs_manifest_order_get (BsManifestOrder *self, guint position)
{
  guint offset;
  BsManifestRun *run = find_run (self, position, &offset);

  return run->nodes[offset];
}

guint
bs_manifest_order_get_position (BsManifestOrder *self, BsManifestRun *run, guint32 node)
{
  guint offset = 0;

  validate (self);
  while (run->nodes[offset] != node)
    offset++;

  return get_start (self, run->index)->start + offset;
}
