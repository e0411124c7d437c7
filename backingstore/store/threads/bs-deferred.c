/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-deferred-private.h"

static __thread BsDeferred *pushed;

void
bs_deferred_push (BsDeferred *deferred, void (*run) (BsDeferred *deferred))
{
  deferred->run = run;
  deferred->outer = pushed;
  pushed = deferred;
}

void
bs_deferred_pop (BsDeferred *deferred)
{
  g_assert (pushed == deferred);
  pushed = deferred->outer;
}

void
bs_deferred_run_pushed (void)
{
  for (BsDeferred *deferred = pushed; deferred != NULL; deferred = deferred->outer)
    deferred->run (deferred);
}
