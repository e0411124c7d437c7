/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "modules/s3/bs-s3-exchange-private.h"

G_BEGIN_DECLS

/* A server and a network in the process, in place of modules/s3/bs-s3-transport.c. Threads
 * of the test are actors: one runs at a time, up to its next request or pause, and chance
 * says which one goes on, what becomes of its request, and when a request that is late
 * arrives. The same seed gives the same run. */

/* Empties the server. */
void     model_reset   (guint32 seed);
/* Runs the functions as actors, to their ends. `check` is called after each step, on this
 * thread, while no actor runs. */
void     model_run     (GThreadFunc func, gpointer *actors, guint n_actors, void (*check) (gpointer data), gpointer data);
/* Whether the actor that asks was killed. */
gboolean model_is_dead (void);
/* Lets requests that are late arrive, or lets them be lost. */
void     model_settle  (void);
/* The server's clock goes on. */
void     model_advance (gint64 seconds);
guint    model_count_steps (void);

/* Calls the function as the server answers a request of a program that is no actor, and may
 * change the answer. NULL: none. The target is a path with its query. */
typedef void (*ModelWatchFunc) (BsS3Exchange *exchange, const char *target, gpointer data);
void     model_watch   (ModelWatchFunc func, gpointer data);

/* Returns the body of an object, or NULL; borrowed. */
GBytes  *model_peek    (const char *key);

G_END_DECLS
