/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A number that many threads raise and few read. Each of the first threads has
 * a cell of its own, on a cache line of its own; all further threads share a cell. */

#define BS_COUNTER_CELLS 16

typedef struct
{
  guint64 padding_before[7];
  struct
  {
    _Alignas (8) guint64 n;   /* atomic */
    guint64 padding[7];
  } cells[BS_COUNTER_CELLS];  /* the first one is shared */
} BsCounter;

/* This thread's cell. */
guint   bs_counter_get_cell (void);

guint64 bs_counter_get      (const BsCounter *self);

static inline void
bs_counter_raise (BsCounter *self)
{
  guint cell = bs_counter_get_cell ();
  guint64 *n = &self->cells[cell].n;

  if (G_LIKELY (cell != 0))
    __atomic_store_n (n, __atomic_load_n (n, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
  else
    __atomic_fetch_add (n, 1, __ATOMIC_RELAXED);
}

G_END_DECLS
