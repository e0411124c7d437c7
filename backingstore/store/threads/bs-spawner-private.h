/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Makes the threads of all executors, in a thread of its own. So a new thread inherits
 * nothing of the one that happens to need it; and where no thread can be made, be it
 * for a limit on processes, the spawner tries again until one can. */
typedef struct _BsSpawn BsSpawn;
struct _BsSpawn
{
  /* Makes the threads that are wanted now. FALSE where one could not be made: it is
   * called again. After TRUE the spawner knows nothing of it. Called in the spawner's
   * thread, with no lock held. */
  gboolean (*make) (BsSpawn *spawn);

  BsSpawn *next;                /* under the spawner's mutex */
};

/* Sees to it that the spawner has its thread, without waiting. FALSE where that could
 * not be made: the next call tries again, at most so often. */
gboolean bs_spawner_start    (void);
/* Sees to the thread, and has a source of the context try again where no call may come. */
void     bs_spawner_start_in (GMainContext *context);
/* Tries again in one more context, if the thread could not be made so far. */
void     bs_spawner_retry_in (GMainContext *context);

/* Has threads made, as soon as that can be. `spawn` belongs to the spawner until its
 * `make` returns TRUE. */
void     bs_spawner_ask      (BsSpawn *spawn);

G_END_DECLS
