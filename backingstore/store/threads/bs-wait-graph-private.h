/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A blocking call that waits until the saves of a path have ended. Inside a save's
 * commit function such a call may wait for that very function: for its own save, or
 * for another one whose commit function waits for it. */
typedef struct _BsWaitEdge BsWaitEdge;
struct _BsWaitEdge
{
  BsWaitEdge *next;
  gconstpointer saving;     /* the path whose commit function waits; NULL outside of one */
  gconstpointer awaited;    /* the path for whose saves it waits */
};

/* FALSE where this thread could only wait for itself. `edge` is zeroed memory,
 * in use until bs_wait_graph_leave(). May be called under a path's lock. */
gboolean bs_wait_graph_enter (BsWaitEdge *edge, gconstpointer path);
/* The blocking call of that edge waits for another path, and may be another thread's.
 * FALSE where it could only wait for itself. */
gboolean bs_wait_graph_move  (BsWaitEdge *edge, gconstpointer path);
void     bs_wait_graph_leave (BsWaitEdge *edge);

G_END_DECLS
