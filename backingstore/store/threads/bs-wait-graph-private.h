/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-executor-private.h"

G_BEGIN_DECLS

/* A blocking call that waits until the saves of a path have ended. Made inside a
 * save's commit function it may, in the end, wait for that very function: for
 * its own save, or for another one whose commit function waits for its own. */
typedef struct _BsWait BsWaitEdge;
struct _BsWait
{
  BsWaitEdge *next;
  gconstpointer saving;     /* the path whose commit function waits; NULL outside of one */
  gconstpointer awaited;    /* the path for whose saves it waits */
};

/* FALSE where this thread could only wait for itself. `wait` is zeroed memory,
 * in use until bs_wait_graph_leave(). May be called under a path's lock. */
gboolean bs_wait_graph_enter (BsWaitEdge *wait, gconstpointer path);
void     bs_wait_graph_leave   (BsWaitEdge *wait);

G_END_DECLS
