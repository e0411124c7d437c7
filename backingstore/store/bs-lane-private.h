/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _BsJob BsJob;

/* Where ready operations run: a bounded number of threads, or one main context.
 * The operation with the best priority goes first, first come first served
 * among equals. */
typedef struct _BsLane BsLane;

BsLane   *bs_lane_new             (guint max_threads);
BsLane   *bs_lane_new_in_context  (GMainContext *context);
BsLane   *bs_lane_ref             (BsLane *lane);
void      bs_lane_unref           (BsLane *lane);
/* Nothing will be submitted any more. */
void      bs_lane_close           (BsLane *lane);

void      bs_lane_set_max_threads (BsLane *lane, guint max_threads);
/* One more thread, until it is given back: for a function that waits. */
void      bs_lane_lend            (BsLane *lane, int n_threads);

/* The lane that this thread is one of, or NULL. Whatever runs on it is part of an
 * operation that is not over. */
BsLane   *bs_lane_get_current     (void);

void      bs_lane_submit          (BsLane *lane, BsJob *job);
void      bs_lane_forget          (BsLane *lane, BsJob *job);
void      bs_lane_raise           (BsLane *lane, BsJob *job, int priority);

/* Whether this thread may run operations itself: always where the lane has
 * threads, else where it is the context's. Every TRUE is paired with a leave. */
gboolean  bs_lane_enter           (BsLane *lane);
void      bs_lane_leave           (BsLane *lane);

/* Runs ready operations until `*done` is set; only inside enter and leave of a
 * lane in a context. Whoever sets it calls bs_lane_wake() afterwards. */
gboolean  bs_lane_is_context      (BsLane *lane);
void      bs_lane_run_until       (BsLane *lane, int *done);
void      bs_lane_wake            (BsLane *lane);

/* What this thread is inside of. A chain on the stack, so that a call which
 * could only wait for itself is seen. */
typedef enum
{
  BS_FRAME_CALL,     /* a virtual function of the backing */
  BS_FRAME_TASK,     /* an application's function */
} BsFrameKind;

typedef struct _BsFrame BsFrame;
struct _BsFrame
{
  BsFrame *previous;
  gconstpointer store;
  BsFrameKind kind;
  gboolean lends;    /* has given its place in the lane to others */
  gconstpointer saving;   /* the path, in a save's commit function */
};

void      bs_frame_push           (BsFrame *frame, gconstpointer store, BsFrameKind kind);
void      bs_frame_pop            (BsFrame *frame);
/* The innermost frame of that kind of this store, or NULL. */
BsFrame  *bs_frame_find           (gconstpointer store, BsFrameKind kind);
/* The innermost one of any kind and store, or NULL. */
BsFrame  *bs_frame_get_current    (void);

G_END_DECLS
