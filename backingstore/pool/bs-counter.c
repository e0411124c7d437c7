/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-counter-private.h"

#define NOT_ASKED_YET G_MAXUINT

/* A bit for each cell that a living thread has; the shared one is never free. */
static guint taken_cells = 1;

static _Thread_local guint this_cell = NOT_ASKED_YET;

/* Called when a thread ends: the next one to take the cell continues its count. */
static void
return_cell (gpointer cell)
{
  this_cell = 0;
  __atomic_fetch_and (&taken_cells, ~(1u << GPOINTER_TO_UINT (cell)), __ATOMIC_RELEASE);
}

static GPrivate cell_returner = G_PRIVATE_INIT (return_cell);

static guint
take_cell (void)
{
  guint taken = __atomic_load_n (&taken_cells, __ATOMIC_RELAXED);

  this_cell = 0;
  for (guint cell = 1; cell < BS_COUNTER_CELLS;)
    {
      if ((taken & (1u << cell)) != 0)
        {
          cell++;
        }
      else if (__atomic_compare_exchange_n (&taken_cells, &taken, taken | (1u << cell), FALSE,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        {
          this_cell = cell;
          g_private_set (&cell_returner, GUINT_TO_POINTER (cell));
          break;
        }
    }

  return this_cell;
}

guint
bs_counter_get_cell (void)
{
  guint cell = this_cell;

  return G_LIKELY (cell != NOT_ASKED_YET) ? cell : take_cell ();
}

guint64
bs_counter_get (const BsCounter *self)
{
  guint64 sum = 0;

  for (guint i = 0; i < BS_COUNTER_CELLS; i++)
    sum += __atomic_load_n (&self->cells[i].n, __ATOMIC_RELAXED);

  return sum;
}
