/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-private.h"
#include "bs-backing-store-private.h"
#include "bs-lane-private.h"
#include "bs-progress-private.h"
#include "bs-wait-private.h"

G_BEGIN_DECLS

/* What waits for its turn, runs once, and is then done. */
typedef enum
{
  BS_JOB_QUEUED,      /* its turn has not come */
  BS_JOB_READY,       /* waits for a place in the lane */
  BS_JOB_RUNNING,
  BS_JOB_DONE,
} BsJobState;

typedef enum
{
  /* on a key's strand */
  BS_JOB_WRITE,
  BS_JOB_READ,
  BS_JOB_DELETE,
  BS_JOB_REGISTER,
  BS_JOB_PERSIST,
  BS_JOB_DELETE_PERSISTED,
  BS_JOB_VERIFY,
  /* on a path's strand */
  BS_JOB_TRACK,
  BS_JOB_UNTRACK,
  BS_JOB_RELEASE,
  BS_JOB_SYNC,
  BS_JOB_LOAD_ROOT,
  BS_JOB_WRITE_ROOT,
  BS_JOB_SAVE,
  /* on none */
  BS_JOB_REGISTER_ALL,
  BS_JOB_DELETE_KEYS,
  BS_JOB_DROP_TOKENS,
  BS_JOB_VERIFY_PATH,
  BS_JOB_TASK,
  BS_JOB_CLOSE,
} BsJobKind;

typedef struct _BsPath BsPath;

/* What must be done once the lock is released. */
typedef struct _BsAftermath BsAftermath;
struct _BsAftermath
{
  BsJob *ready;       /* owned, by ready_next */
  BsJob *dropped;     /* owned, by dropped_next */
  BsAftermath *outer; /* on this thread's stack */
};

typedef struct
{
  /* Does the work of a RUNNING operation and ends by answering its callers. No lock held. */
  void (*run)  (BsJob *job);
  /* Takes out a QUEUED or READY operation that everybody has left. Under its lock. */
  void (*drop) (BsJob *job, BsAftermath *after);
  /* Frees what the kind adds. No lock held. */
  void (*free) (BsJob *job);
} BsJobClass;

struct _BsJob
{
  gatomicrefcount ref_count;
  int priority;                     /* atomic; changed under the lock */

  /* constant */
  const BsJobClass *klass;
  BsBackingStore *store;            /* owned */
  BsTaskTracker *tracker;           /* owned */
  BsLane *lane;                     /* borrowed from the store */
  GMutex *lock;                     /* the shard's, the path's, or the operation's own */
  BsTrackedPath *tracked;           /* owned, nullable */
  guint8 kind;                      /* BsJobKind */
  guint8 unattended : 1;            /* wanted even where no caller is left */
  guint8 embedded : 1;              /* in somebody's memory, while it runs: holds no references, is never freed */
  guint8 uncounted : 1;             /* by the task tracker */
  guint8 held : 1;                  /* has the references that it owns */
  guint8 resumes : 1;               /* runs in several goes */

  /* under the lock */
  guint8 state;                     /* BsJobState */
  gboolean fired;                   /* everybody left while it ran: nobody joins it */
  guint n_wanting;                  /* callers that have not left */
  BsCaller *callers;                /* owned, by next, the last that came first */
  BsCaller *runner;                 /* borrowed: the blocking caller on whose thread it runs */
  BsJob *previous;            /* the strand */
  BsJob *next;

  /* written when it starts to run, read by the running thread and, under the lock, by who fires it */
  GCancellable *cancellable;        /* owned; NULL where it can't be fired */

  /* under the lane's mutex */
  BsJob *lane_previous;
  BsJob *lane_next;
  int lane_priority;
  gboolean lane_queued;

  /* under the lock of the list of tickets in which it stands */
  guint64 ticket;                   /* 0: none */
  BsJob *ticket_previous;
  BsJob *ticket_next;

  /* of whoever has it in a BsAftermath; it can be dropped by one before another has submitted it */
  BsJob *ready_next;
  BsJob *dropped_next;
};

#define BS_PRIORITY_BLOCKING G_PRIORITY_HIGH

/* `job` is zeroed memory whose first member is a BsJob. It counts from now on.
 * What it owns it takes with bs_job_hold(), which must not be called under a
 * lock: a reference on a GObject may run a binding's code. A job that is made
 * under a lock is held when that is released, by bs_aftermath_run(). */
void         bs_job_init     (BsJob            *job,
                                    const BsJobClass *klass,
                                    BsJobKind         kind,
                                    BsBackingStore         *store,
                                    BsLane                 *lane,
                                    GMutex                 *lock,
                                    BsTrackedPath          *tracked,
                                    int                     priority);
void         bs_job_hold     (BsJob *job);
BsJob       *bs_job_ref      (BsJob *job);
void         bs_job_unref    (BsJob *job);

/* Under the lock. Whoever goes on with a job that somebody may have joined needs a
 * reference from before it is released: all may leave at once. */
void         bs_job_join     (BsJob *job, BsCaller *caller);
void         bs_job_raise    (BsJob *job, int priority);
/* Lends a priority to a job and to everything before it on its strand. */
void         bs_job_lend     (BsJob *job, int priority);
/* Whether somebody has joined it after everybody had left: he has nothing to do with
 * what came of the cancellation. */
gboolean     bs_job_is_wanted_again (BsJob *job);
gboolean     bs_job_joinable (BsJob *job, BsJobKind kind, BsTrackedPath *tracked);

/* Runs what is READY, unless it was dropped meanwhile. `runner` is the blocking
 * caller on whose thread this is, nullable. No lock held. */
void         bs_job_run      (BsJob *job, BsCaller *runner);

/* What is RUNNING finds that it has come too early, and is QUEUED again, or
 * dropped if everybody has left meanwhile. Under the lock; returns those who have,
 * to be answered without it. */
BsCaller    *bs_job_put_back    (BsJob *job, BsAftermath *after);
void         bs_job_answer_left (BsCaller *left);

/* Answers everyone. `callers` were taken from the operation under its lock when it became DONE. */
BsCaller    *bs_job_steal_callers (BsJob *job);
void         bs_job_answer        (BsCaller *callers, gpointer value, const GError *error);

/* The blocking caller runs it on this thread, where this thread may; else it
 * goes to the lane. Gives up the reference. No lock held. */
void         bs_job_start    (BsJob *job, BsCaller *caller);

/* An error whose message names the operation, the key and the path. No lock held. */
GError      *bs_job_error    (BsJobKind kind, const BsKey *key, BsTrackedPath *tracked, GQuark domain, int code, const char *why);
/* The same for a path that is not tracked yet. */
GError      *bs_job_error_at (BsJobKind kind, const BsKey *key, GFile *path, GQuark domain, int code, const char *why);

/* What a cancelled caller does, for bs_caller_connect(). */
void         bs_job_leave    (BsCaller *caller, gpointer unused);

void         bs_aftermath_add_ready   (BsAftermath *after, BsJob *job);
void         bs_aftermath_add_dropped (BsAftermath *after, BsJob *job);
void         bs_aftermath_run         (BsAftermath *after);
/* Callers are answered first, and that may call out: should this thread come to
 * wait before it has run `after`, that is run then. To be followed by
 * bs_aftermath_run(). */
void         bs_aftermath_push        (BsAftermath *after);
/* Runs what this thread has pushed. No lock held. */
void         bs_aftermath_run_pushed  (void);

static inline gboolean
bs_aftermath_is_empty (const BsAftermath *after)
{
  return after->ready == NULL && after->dropped == NULL;
}

/* The strand: a list of operations in the order in which they were asked. */
typedef struct
{
  BsJob *head;
  BsJob *tail;
} BsStrand;

void         bs_strand_append  (BsStrand *strand, BsJob *job);
void         bs_strand_prepend (BsStrand *strand, BsJob *job);
void         bs_strand_remove  (BsStrand *strand, BsJob *job);

struct _BsCaller
{
  gatomicrefcount ref_count;
  int priority;

  /* constant */
  BsLane *lane;                 /* owned; NULL but where a blocking wait runs what is ready in it */
  BsBackingStore *store;        /* owned; NULL where nobody can leave: keeps the lock there */
  GTask *task;                  /* owned; NULL in the background and in blocking calls */
  gboolean blocking;
  gboolean returned;            /* the task's function has returned it itself */
  gboolean inner;               /* part of something that was asked earlier: a closed path does not refuse it */
  gboolean doomed;              /* deletes a key only where a save has doomed it */
  GCancellable *cancellable;    /* owned, nullable */
  gulong cancelled_id;
  BsDeliverFunc deliver;
  gpointer data;
  GDestroyNotify data_free;
  GDestroyNotify value_free;
  gpointer context_data;        /* destroyed in the caller's context, after the answer */
  GDestroyNotify context_data_free;
  BsProgress *progress;         /* the task's source object's, nullable: told before the answer */

  /* what it has asked for, for the message when it leaves: only where it can */
  guint8 kind;                  /* BsJobKind */
  gboolean has_key;
  BsKey key;
  BsTrackedPath *tracked;       /* owned, nullable */
  GFile *path;                  /* owned, nullable: of what is not tracked yet */

  gpointer keep;                /* owned, nullable: what the lock is part of */
  GDestroyNotify keep_free;
  GMutex *lock;                 /* the job's; constant once connected */

  /* under the job's lock */
  BsJob *job;                   /* borrowed, nullable */
  BsCaller *next;
  gboolean left;

  /* the answer */
  int answered;                 /* atomic: who sets it answers */
  gpointer value;
  GError *error;

  BsWait wait;                  /* of a blocking caller, which ends it */

  GMutex mutex;
  GCond cond;
  int done;                     /* atomic; set under the mutex: a blocking caller may go on */
  gboolean sleeps;              /* under the mutex */

  void (*leave) (BsCaller *caller, gpointer data);
  gpointer leave_data;
};

void      bs_caller_set_subject  (BsCaller *caller, guint kind, const BsKey *key, BsTrackedPath *tracked);
BsCaller *bs_caller_new_for_lane (BsLane *lane, GTask *task, gboolean blocking, GCancellable *cancellable);

G_END_DECLS
