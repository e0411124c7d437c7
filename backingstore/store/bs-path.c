/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-path-private.h"

#include "bs-task-private.h"

/* A path's strand holds what concerns the path as a whole: one of these runs at
 * a time. Syncs and untracks also wait for the operations on its keys that were
 * asked before them: those have tickets, and stand in a list of their shard until
 * they are done. What waits for them looks at every list once, when its turn has
 * come, and is told by those that it found occupied.
 *
 * At most two syncs exist: one closing, which covers what was asked before it
 * was frozen, and one gathering, which is frozen when the closing one ends. */

typedef enum
{
  UNTRACKED,
  TRACKED,        /* `tracked` points to it, until it is finalized and a release follows */
  UNTRACKING,     /* an untrack was asked */
} PathState;

struct _BsPath
{
  gatomicrefcount ref_count;

  /* constant */
  GFile *file;              /* owned */
  char *uri;                /* owned */

  guint n_pins;             /* under the store's paths_mutex: somebody is about to ask for something */

  GMutex mutex;             /* taken under a shard's, never the other way round */

  /* under the mutex */
  PathState state;
  GWeakRef tracked;         /* not read under the mutex: that may run a binding's code */
  BsStrand strand;
  BsStrand saves;           /* the first one runs */
  BsJob *running;           /* borrowed: the READY or RUNNING one of the strand */
  BsJob *closing;           /* borrowed: stands on the strand */
  BsJob *gathering;         /* owned: does not */
  BsTicketList tickets;     /* of what changes many keys */
  BsJob *waiting;           /* borrowed: the SYNC or UNTRACK that waits for tickets */
  guint n_awaited;          /* lists whose tickets it waits for */
  guint n_surveys;          /* that were begun: the last one's number */
};

typedef struct
{
  BsJob job;

  BsPath *path;             /* owned */
  guint64 *barriers;        /* SYNC: owned; the last tickets that it covers, those of the shards and the path's */
  guint survey;             /* SYNC, UNTRACK: its number, once it has looked at the tickets */
  gboolean awaits_release;  /* TRACK: the former object is being finalized */
  GBytes *root;             /* WRITE_ROOT: owned */
} PathJob;

static const char waits_for_itself[] = "called from inside a commit function that the path's saves wait for, it would wait for itself";

BsPath *
bs_path_ref (BsPath *path)
{
  g_atomic_ref_count_inc (&path->ref_count);
  return path;
}

void
bs_path_unref (BsPath *path)
{
  if (!g_atomic_ref_count_dec (&path->ref_count))
    return;

  g_assert (path->strand.head == NULL && path->saves.head == NULL && path->gathering == NULL && path->tickets.first == NULL);
  g_object_unref (path->file);
  g_free (path->uri);
  g_weak_ref_clear (&path->tracked);
  g_mutex_clear (&path->mutex);
  g_free (path);
}

/* Finds or makes it, and keeps it in the table until it is unpinned. */
static BsPath *
path_pin (BsBackingStore *store, GFile *file)
{
  BsPath *spare = g_new0 (BsPath, 1);
  BsPath *path;

  g_atomic_ref_count_init (&spare->ref_count);
  spare->file = g_object_ref (file);
  spare->uri = g_file_get_uri (file);
  g_mutex_init (&spare->mutex);
  g_weak_ref_init (&spare->tracked, NULL);

  g_mutex_lock (&store->paths_mutex);
  path = g_hash_table_lookup (store->paths, spare->uri);
  if (path == NULL)
    {
      path = g_steal_pointer (&spare);
      g_hash_table_insert (store->paths, path->uri, path);
    }
  path->n_pins++;
  bs_path_ref (path);
  g_mutex_unlock (&store->paths_mutex);

  if (spare != NULL)
    bs_path_unref (spare);
  return path;
}

/* Removes it from the table when nothing is left to know about it. */
static void
path_forget (BsBackingStore *store, BsPath *path, guint n_pins)
{
  gboolean idle;

  g_mutex_lock (&store->paths_mutex);
  path->n_pins -= n_pins;
  g_mutex_lock (&path->mutex);
  idle = path->n_pins == 0 && path->state == UNTRACKED && path->strand.head == NULL &&
         g_hash_table_lookup (store->paths, path->uri) == path;
  g_mutex_unlock (&path->mutex);
  if (idle)
    g_hash_table_steal (store->paths, path->uri);
  g_mutex_unlock (&store->paths_mutex);

  if (idle)
    bs_path_unref (path);
}

/* It is, until it has looked at the tickets, so as to do that. */
static gboolean
tickets_passed (BsPath *path, PathJob *self)
{
  return self->survey == 0 || path->n_awaited == 0;
}

static gboolean
eligible (BsPath *path, PathJob *self)
{
  switch ((int) self->job.kind)
    {
    case BS_JOB_TRACK:
      return path->state == UNTRACKED || (path->state == TRACKED && !self->awaits_release);
    case BS_JOB_SYNC:
      return tickets_passed (path, self);
    case BS_JOB_UNTRACK:
      /* New ones are refused; what those before it ask for is done before they are. */
      return path->strand.head == &self->job && path->closing == NULL && path->saves.head == NULL &&
             path->tickets.first == NULL && tickets_passed (path, self);
    default:
      return TRUE;
    }
}

/* The next whose turn has come, made READY. */
static BsJob *
path_next (BsPath *path)
{
  if (path->running != NULL)
    return NULL;

  for (BsJob *job = path->strand.head; job != NULL; job = job->next)
    if (eligible (path, (PathJob *) job))
      {
        path->running = job;
        job->state = BS_JOB_READY;
        return job;
      }

  return NULL;
}

static void
path_dispatch (BsPath *path, BsAftermath *after)
{
  BsJob *job = path_next (path);

  if (job != NULL)
    bs_aftermath_add_ready (after, job);
}

#define N_LISTS (BS_N_SHARDS + 1)

/* The last ticket there of what was asked so far. */
static guint64
peek_barrier (BsPath *path, BsTrackedPath *tracked, guint list)
{
  return bs_ticket_list_peek_last_ticket (list < BS_N_SHARDS ? &tracked->shards[list].tickets : &path->tickets);
}

static gboolean
covers_all (BsPath *path, PathJob *sync)
{
  for (guint i = 0; i < N_LISTS; i++)
    if (peek_barrier (path, sync->job.tracked, i) != sync->barriers[i])
      return FALSE;

  return TRUE;
}

/* The gathering sync becomes the closing one. Takes its reference over. */
static void
freeze (BsPath *path)
{
  PathJob *sync = (PathJob *) path->gathering;

  path->closing = g_steal_pointer (&path->gathering);
  for (guint i = 0; i < N_LISTS; i++)
    sync->barriers[i] = peek_barrier (path, sync->job.tracked, i);
  bs_strand_append (&path->strand, path->closing);
}

/* Takes a job that is done, or that everybody has left, out of the path. */
static void
path_remove (BsPath *path, BsJob *job)
{
  if (job == path->gathering)
    {
      path->gathering = NULL;
      return;
    }

  bs_strand_remove (&path->strand, job);
  if (path->running == job)
    path->running = NULL;
  if (path->waiting == job)
    path->waiting = NULL;
  if (path->closing == job)
    {
      path->closing = NULL;
      if (path->gathering != NULL)
        freeze (path);
    }
}

/* Tells whoever waits for the tickets of a list, if they have been returned.
 * Under the path's mutex, and the list's. */
static void
note_passed (BsPath *path, BsTicketList *list, BsAftermath *after)
{
  guint waiter = bs_ticket_list_steal_waiter (list);

  /* Who waited may have been cancelled since. */
  if (waiter != 0 && path->waiting != NULL && ((PathJob *) path->waiting)->survey == waiter && --path->n_awaited == 0)
    path_dispatch (path, after);
}

gboolean
bs_path_take_key_ticket (BsJob *job, guint shard, gboolean inner)
{
  BsTrackedPath *tracked = job->tracked;

  if (!inner && g_atomic_int_get (&tracked->refusing))
    return FALSE;

  bs_ticket_list_append (&tracked->shards[shard].tickets, job);
  return TRUE;
}

void
bs_path_return_key_ticket (BsJob *job, guint shard, BsAftermath *after)
{
  BsTicketList *list;
  BsPath *path;

  if (job->tracked == NULL || job->ticket == 0)
    return;

  list = &job->tracked->shards[shard].tickets;
  bs_ticket_list_remove (list, job);
  if (G_LIKELY (list->awaited == 0))
    return;

  path = job->tracked->path;
  g_mutex_lock (&path->mutex);
  note_passed (path, list, after);
  g_mutex_unlock (&path->mutex);
}

gboolean
bs_path_take_ticket (BsJob *job, gboolean inner)
{
  BsTrackedPath *tracked = job->tracked;
  BsPath *path = tracked->path;
  gboolean refused;

  g_mutex_lock (&path->mutex);
  refused = !inner && g_atomic_int_get (&tracked->refusing);
  if (!refused)
    bs_ticket_list_append (&path->tickets, job);
  g_mutex_unlock (&path->mutex);

  return !refused;
}

void
bs_path_return_ticket (BsJob *job, BsAftermath *after)
{
  BsPath *path;

  if (job->tracked == NULL || job->ticket == 0)
    return;

  path = job->tracked->path;
  g_mutex_lock (&path->mutex);
  bs_ticket_list_remove (&path->tickets, job);
  note_passed (path, &path->tickets, after);
  /* An untrack looks at the others only when this list is empty. */
  path_dispatch (path, after);
  g_mutex_unlock (&path->mutex);
}

void
bs_path_renew_ticket (BsJob *job, BsAftermath *after)
{
  BsPath *path = job->tracked->path;

  g_mutex_lock (&path->mutex);
  bs_ticket_list_remove (&path->tickets, job);
  bs_ticket_list_append (&path->tickets, job);
  note_passed (path, &path->tickets, after);
  g_mutex_unlock (&path->mutex);
}

static void
lend_to_keys (BsTrackedPath *tracked, int priority)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      BsTicketList *list = &tracked->shards[i].tickets;
      GMutex *mutex = &tracked->store->shards[i].mutex;

      g_mutex_lock (mutex);
      if (list->first != NULL && list->worst_priority > priority)
        {
          for (BsJob *job = list->first; job != NULL; job = job->ticket_next)
            if (!job->embedded)
              bs_job_lend (job, priority);
          list->worst_priority = priority;
        }
      g_mutex_unlock (mutex);
    }
}

/* What a sync waits for must not wait longer than the sync would. It does not
 * wait for the whole of what steps aside; an untrack does. */
static void
lend_to_tickets (BsTrackedPath *tracked, BsJobKind kind, int priority)
{
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_job_unref);
  BsPath *path = tracked->path;

  lend_to_keys (tracked, priority);

  g_mutex_lock (&path->mutex);
  if (path->tickets.first != NULL && (path->tickets.worst_priority > priority || kind == BS_JOB_UNTRACK))
    {
      for (BsJob *job = path->tickets.first; job != NULL; job = job->ticket_next)
        if (job->kind != BS_JOB_VERIFY_PATH || kind == BS_JOB_UNTRACK)
          g_ptr_array_add (jobs, bs_job_ref (job));
      path->tickets.worst_priority = priority;
    }
  g_mutex_unlock (&path->mutex);

  for (guint i = 0; i < jobs->len; i++)
    {
      BsJob *job = g_ptr_array_index (jobs, i);

      g_mutex_lock (job->lock);
      if (job->state != BS_JOB_DONE)
        bs_job_lend (job, priority);
      g_mutex_unlock (job->lock);
    }
}

/* Ends a job of the path: whoever waits for it is answered. */
static void
path_job_end (PathJob *self, gpointer value, const GError *error)
{
  BsJob *job = &self->job;
  BsPath *path = self->path;
  BsAftermath after = { NULL, };
  BsCaller *callers;

  g_mutex_lock (&path->mutex);
  job->state = BS_JOB_DONE;
  callers = bs_job_steal_callers (job);
  path_remove (path, job);
  path_dispatch (path, &after);
  g_mutex_unlock (&path->mutex);

  bs_job_answer (callers, value, error);
  bs_aftermath_run (&after);
  bs_job_unref (job);
}

/* Puts a job that came too early back. Under the path's mutex; returns those who
 * left while it ran. */
static BsCaller *
path_job_put_back (PathJob *self, BsAftermath *after)
{
  BsPath *path = self->path;
  BsCaller *left;

  path->running = NULL;
  left = bs_job_put_back (&self->job, after);
  path_dispatch (path, after);

  return left;
}

static void
path_job_wait_for_release (PathJob *self)
{
  BsPath *path = self->path;
  BsAftermath after = { NULL, };
  BsCaller *left;

  g_mutex_lock (&path->mutex);
  self->awaits_release = TRUE;
  left = path_job_put_back (self, &after);
  g_mutex_unlock (&path->mutex);

  bs_job_answer_left (left);
  bs_aftermath_run (&after);
}

/* New ones are refused while an untrack waits: it covers all there are. */
static guint64
get_barrier (PathJob *self, guint list)
{
  return self->barriers != NULL ? self->barriers[list] : G_MAXUINT64;
}

/* Asks each list to tell when what has to be waited for is done. */
static void
survey_keys (PathJob *self)
{
  BsTrackedPath *tracked = self->job.tracked;
  BsPath *path = self->path;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      GMutex *mutex = &tracked->store->shards[i].mutex;

      g_mutex_lock (mutex);
      if (bs_ticket_list_await (&tracked->shards[i].tickets, get_barrier (self, i), self->survey))
        {
          g_mutex_lock (&path->mutex);
          path->n_awaited++;
          g_mutex_unlock (&path->mutex);
        }
      g_mutex_unlock (mutex);
    }
}

/* FALSE if it has to wait for tickets, and is put back until they are returned. */
static gboolean
survey (PathJob *self)
{
  BsPath *path = self->path;
  BsAftermath after = { NULL, };
  BsCaller *left = NULL;
  gboolean surveyed, passed;

  g_mutex_lock (&path->mutex);
  surveyed = self->survey != 0;
  if (!surveyed)
    {
      self->survey = ++path->n_surveys;
      path->waiting = &self->job;
      path->n_awaited = 1 + bs_ticket_list_await (&path->tickets, get_barrier (self, BS_N_SHARDS), self->survey);
    }
  g_mutex_unlock (&path->mutex);
  if (surveyed)
    return TRUE;

  survey_keys (self);

  g_mutex_lock (&path->mutex);
  passed = --path->n_awaited == 0;
  if (!passed)
    left = path_job_put_back (self, &after);
  g_mutex_unlock (&path->mutex);

  bs_job_answer_left (left);
  bs_aftermath_run (&after);
  return passed;
}

static void
run_track (PathJob *self)
{
  BsBackingStore *store = self->job.store;
  BsPath *path = self->path;
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (GError) error = NULL;
  PathState state;
  BsFrame frame;

  g_mutex_lock (&path->mutex);
  state = path->state;
  g_mutex_unlock (&path->mutex);
  if (state == TRACKED)
    tracked = g_weak_ref_get (&path->tracked);

  if (state == TRACKED && tracked == NULL)
    {
      path_job_wait_for_release (self);
      return;
    }

  if (tracked == NULL)
    {
      found = bs_key_set_new ();
      bs_frame_push (&frame, store, BS_FRAME_CALL);
      bs_backing_sanitize_path (store->backing, path->file, found, self->job.cancellable, &error);
      bs_frame_pop (&frame);
    }
  if (tracked == NULL && error == NULL)
    {
      tracked = bs_tracked_path_new (store, path, path->file, found);
      g_mutex_lock (&path->mutex);
      path->state = TRACKED;
      g_weak_ref_set (&path->tracked, tracked);
      g_mutex_unlock (&path->mutex);
    }

  path_job_end (self, tracked, error);
}

static void
release (PathJob *self, GError **error)
{
  BsFrame frame;

  bs_frame_push (&frame, self->job.store, BS_FRAME_CALL);
  bs_backing_release_path (self->job.store->backing, self->path->file, self->job.cancellable, error);
  bs_frame_pop (&frame);
}

static void
run_untrack (PathJob *self)
{
  BsTrackedPath *tracked = self->job.tracked;
  g_autoptr (GError) error = NULL;

  release (self, &error);

  g_mutex_lock (&self->path->mutex);
  self->path->state = error == NULL ? UNTRACKED : TRACKED;
  g_atomic_int_set (&tracked->refusing, error == NULL);
  g_mutex_unlock (&self->path->mutex);

  if (error == NULL)
    bs_tracked_path_set_closed (tracked);
  path_job_end (self, NULL, error);
}

static void
run_release (PathJob *self)
{
  GError *error = NULL;

  release (self, &error);
  if (error != NULL)
    bs_backing_store_report (self->job.store, NULL, BS_OPERATION_RELEASE_PATH, error);

  g_mutex_lock (&self->path->mutex);
  self->path->state = UNTRACKED;
  g_mutex_unlock (&self->path->mutex);

  path_job_end (self, NULL, NULL);
}

static void
run_sync (PathJob *self)
{
  BsJob *job = &self->job;
  g_autoptr (GError) error = NULL;
  BsFrame frame;

  /* Where the backing is not asked, nothing has gone wrong. */
  if (g_cancellable_is_cancelled (job->cancellable))
    {
      error = bs_job_error (BS_JOB_SYNC, NULL, job->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
      path_job_end (self, NULL, error);
      return;
    }

  bs_frame_push (&frame, job->store, BS_FRAME_CALL);
  bs_backing_sync_persisted (job->store->backing, self->path->file, job->cancellable, &error);
  bs_frame_pop (&frame);

  /* Before anybody is told, so that whoever tries again reaches the backing. */
  if (error != NULL)
    bs_tracked_path_doubt (job->tracked, bs_ticket_list_peek_last_ticket (&self->path->tickets));
  path_job_end (self, NULL, error);
}

static void
run_load_root (PathJob *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsFrame frame;

  bs_frame_push (&frame, self->job.store, BS_FRAME_CALL);
  bytes = bs_backing_read_root (self->job.store->backing, self->path->file, self->job.cancellable, &error);
  bs_frame_pop (&frame);

  path_job_end (self, bytes, error);
}

static void
run_write_root (PathJob *self)
{
  g_autoptr (GError) error = NULL;
  BsFrame frame;

  bs_frame_push (&frame, self->job.store, BS_FRAME_CALL);
  bs_backing_write_root (self->job.store->backing, self->path->file, self->root, self->job.cancellable, &error);
  bs_frame_pop (&frame);

  path_job_end (self, NULL, error);
}

static void
path_job_run (BsJob *job)
{
  PathJob *self = (PathJob *) job;

  /* Counted until what it had in hand is let go. */
  bs_job_ref (job);
  switch (job->kind)
    {
    case BS_JOB_TRACK:
      run_track (self);
      break;
    case BS_JOB_UNTRACK:
      if (survey (self))
        run_untrack (self);
      break;
    case BS_JOB_RELEASE:
      run_release (self);
      break;
    case BS_JOB_SYNC:
      if (survey (self))
        run_sync (self);
      break;
    case BS_JOB_LOAD_ROOT:
      run_load_root (self);
      break;
    case BS_JOB_WRITE_ROOT:
      run_write_root (self);
      break;
    default:
      g_assert_not_reached ();
    }
  bs_job_unref (job);
}

static void
path_job_drop (BsJob *job, BsAftermath *after)
{
  BsPath *path = ((PathJob *) job)->path;

  if (job->kind == BS_JOB_UNTRACK)
    {
      path->state = TRACKED;
      g_atomic_int_set (&job->tracked->refusing, FALSE);
    }
  path_remove (path, job);
  path_dispatch (path, after);
  bs_aftermath_add_dropped (after, job);
}

static void
path_job_free (BsJob *job)
{
  PathJob *self = (PathJob *) job;

  /* What was dropped may have been all there was to know. */
  path_forget (job->store, self->path, 0);
  bs_path_unref (self->path);
  g_free (self->barriers);
  g_clear_pointer (&self->root, g_bytes_unref);
}

static const BsJobClass path_job_class = {
  .run = path_job_run,
  .drop = path_job_drop,
  .free = path_job_free,
};

static BsJob *
path_job_new (BsBackingStore *store, BsPath *path, BsJobKind kind, BsTrackedPath *tracked, int priority)
{
  PathJob *self = g_new0 (PathJob, 1);

  bs_job_init (&self->job, &path_job_class, kind, store, store->backing_lane, &path->mutex, tracked, priority);
  self->path = bs_path_ref (path);
  if (kind == BS_JOB_SYNC)
    self->barriers = g_new (guint64, N_LISTS);
  bs_job_hold (&self->job);

  return &self->job;
}

/* The identical job that may be joined. */
static BsJob *
find_joinable (BsPath *path, BsJobKind kind, BsTrackedPath *tracked)
{
  for (BsJob *job = path->strand.tail; job != NULL; job = job->previous)
    {
      if (bs_job_joinable (job, kind, tracked))
        return job;
      if (job->kind == BS_JOB_UNTRACK || job->kind == BS_JOB_RELEASE || job->kind == BS_JOB_WRITE_ROOT)
        return NULL;
    }

  return NULL;
}

/* The sync that covers all that was asked so far; `spare` becomes one where
 * there is none. */
static BsJob *
obtain_sync (BsPath *path, BsJob **spare)
{
  BsJob *closing = path->closing;

  if (closing != NULL && !closing->fired && covers_all (path, (PathJob *) closing))
    return closing;

  if (path->gathering == NULL)
    path->gathering = g_steal_pointer (spare);

  return path->gathering;
}

/* Adds the caller to a job, and whatever may run now to `after`; returns the
 * caller's own job, referenced, when that may run now. Under the path's mutex. */
static BsJob *
path_submit (BsPath *path, BsJob *job, BsCaller *caller, BsAftermath *after)
{
  BsJob *next;

  bs_job_join (job, caller);
  bs_job_lend (job, caller->priority);
  if (job == path->gathering && path->closing == NULL)
    freeze (path);

  next = path_next (path);
  if (next == job)
    return bs_job_ref (job);
  if (next != NULL)
    bs_aftermath_add_ready (after, next);
  return NULL;
}

void
bs_path_start_track (BsBackingStore *store, GFile *file, BsCaller *caller)
{
  BsPath *path = path_pin (store, file);
  g_autoptr (BsTrackedPath) tracked = g_weak_ref_get (&path->tracked);
  BsJob *spare = path_job_new (store, path, BS_JOB_TRACK, NULL, caller->priority);
  BsAftermath after = { NULL, };
  GError *error = NULL;
  BsJob *start = NULL;
  gboolean refused = FALSE;
  gboolean answer, left;

  caller->keep = bs_path_ref (path);
  caller->keep_free = (GDestroyNotify) bs_path_unref;
  caller->lock = &path->mutex;
  bs_caller_connect (caller, bs_job_leave, NULL);

  g_mutex_lock (&path->mutex);
  left = caller->left;
  /* What the weak reference gave may have been untracked since. */
  answer = left || (tracked != NULL && path->state == TRACKED && !g_atomic_int_get (&tracked->refusing));
  if (!answer && caller->blocking)
    answer = refused = !bs_wait_begin (&caller->wait, path);
  if (!answer)
    {
      BsJob *job = find_joinable (path, BS_JOB_TRACK, NULL);

      if (job == NULL)
        {
          job = g_steal_pointer (&spare);
          bs_strand_append (&path->strand, job);
        }
      start = path_submit (path, job, caller, &after);
    }
  g_mutex_unlock (&path->mutex);

  if (left)
    error = bs_job_error (BS_JOB_TRACK, NULL, NULL, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  else if (refused)
    error = bs_job_error (BS_JOB_TRACK, NULL, NULL, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, waits_for_itself);
  if (answer)
    bs_caller_answer (caller, error != NULL ? NULL : tracked, error);
  if (!answer)
    bs_task_lend_place (store);
  if (start != NULL)
    bs_job_start (start, caller);
  bs_aftermath_run (&after);
  if (spare != NULL)
    bs_job_unref (spare);
  path_forget (store, path, 1);
  bs_path_unref (path);
}

/* How asking for something of the path as a whole has ended. */
typedef enum
{
  ASKED_WAIT,
  ASKED_NOTHING,        /* it is so already */
  ASKED_CLOSED,
  ASKED_CANCELLED,
  ASKED_WOULD_BLOCK,
} Asked;

/* Under the path's mutex. */
static Asked
ask (BsJobKind kind, BsTrackedPath *tracked, BsCaller *caller, BsJob **spare, BsJob **start, BsAftermath *after)
{
  BsPath *path = tracked->path;
  BsJob *job = NULL;

  if (caller->left)
    return ASKED_CANCELLED;
  if (kind == BS_JOB_UNTRACK && g_atomic_int_get (&tracked->closed))
    return ASKED_NOTHING;
  if (kind == BS_JOB_UNTRACK && caller->blocking && !bs_wait_begin (&caller->wait, path))
    return ASKED_WOULD_BLOCK;

  if (kind != BS_JOB_SYNC && kind != BS_JOB_WRITE_ROOT)
    job = find_joinable (path, kind, tracked);
  if (job == NULL && !caller->inner && g_atomic_int_get (&tracked->refusing))
    return ASKED_CLOSED;

  if (kind == BS_JOB_SYNC)
    {
      job = obtain_sync (path, spare);
    }
  else if (job == NULL)
    {
      job = g_steal_pointer (spare);
      if (kind == BS_JOB_UNTRACK)
        {
          path->state = UNTRACKING;
          g_atomic_int_set (&tracked->refusing, TRUE);
          bs_job_lend (path->saves.tail, caller->priority);
        }
      bs_strand_append (&path->strand, job);
    }
  *start = path_submit (path, job, caller, after);

  return ASKED_WAIT;
}

/* Takes `spare` over. */
static void
start_job (BsJob *spare, BsCaller *caller)
{
  BsTrackedPath *tracked = spare->tracked;
  BsJobKind kind = spare->kind;
  BsPath *path = tracked->path;
  BsAftermath after = { NULL, };
  GError *error = NULL;
  BsJob *start = NULL;
  Asked asked;

  /* An untrack waits for saves, and a save for a function of the application. */
  if (kind == BS_JOB_UNTRACK)
    bs_task_lend_place (tracked->store);

  caller->keep = bs_path_ref (path);
  caller->keep_free = (GDestroyNotify) bs_path_unref;
  caller->lock = &path->mutex;
  bs_caller_connect (caller, bs_job_leave, NULL);

  g_mutex_lock (&path->mutex);
  asked = ask (kind, tracked, caller, &spare, &start, &after);
  g_mutex_unlock (&path->mutex);

  if (asked == ASKED_CLOSED)
    error = bs_job_error (kind, NULL, tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed");
  else if (asked == ASKED_CANCELLED)
    error = bs_job_error (kind, NULL, tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  else if (asked == ASKED_WOULD_BLOCK)
    error = bs_job_error (kind, NULL, tracked, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, waits_for_itself);
  if (asked != ASKED_WAIT)
    bs_caller_answer (caller, NULL, error);
  else if (kind == BS_JOB_SYNC || kind == BS_JOB_UNTRACK)
    lend_to_tickets (tracked, kind, caller->priority);
  if (start != NULL)
    bs_job_start (start, caller);
  bs_aftermath_run (&after);
  if (spare != NULL)
    bs_job_unref (spare);
}

void
bs_path_start (BsJobKind kind, BsTrackedPath *tracked, BsCaller *caller)
{
  start_job (path_job_new (tracked->store, tracked->path, kind, tracked, caller->priority), caller);
}

void
bs_path_start_write_root (BsTrackedPath *tracked, GBytes *root, BsCaller *caller)
{
  BsJob *job = path_job_new (tracked->store, tracked->path, BS_JOB_WRITE_ROOT, tracked, caller->priority);

  ((PathJob *) job)->root = g_bytes_ref (root);
  start_job (job, caller);
}

GMutex *
bs_path_get_save_lock (BsPath *path)
{
  return &path->mutex;
}

void
bs_path_lend_to_saves (BsTrackedPath *tracked, int priority)
{
  BsPath *path = tracked->path;

  g_mutex_lock (&path->mutex);
  bs_job_lend (path->strand.tail, priority);
  g_mutex_unlock (&path->mutex);

  lend_to_tickets (tracked, BS_JOB_SAVE, priority);
}

gboolean
bs_path_queue_save (BsJob *job)
{
  BsPath *path = job->tracked->path;

  if (g_atomic_int_get (&job->tracked->refusing))
    return FALSE;

  bs_strand_append (&path->saves, job);
  if (job->previous == NULL)
    job->state = BS_JOB_READY;
  else
    bs_job_lend (job->previous, g_atomic_int_get (&job->priority));

  return TRUE;
}

void
bs_path_remove_save (BsJob *job, BsAftermath *after)
{
  BsPath *path = job->tracked->path;

  bs_strand_remove (&path->saves, job);
  if (path->saves.head == NULL)
    path_dispatch (path, after);
  else if (path->saves.head->state == BS_JOB_QUEUED)
    bs_aftermath_add_ready (after, path->saves.head);
}

void
bs_path_start_release (BsPath *path, BsBackingStore *store)
{
  BsAftermath after = { NULL, };
  BsJob *job = path_job_new (store, path, BS_JOB_RELEASE, NULL, G_PRIORITY_DEFAULT);

  g_mutex_lock (&path->mutex);
  if (g_atomic_int_get (&store->state) == BS_STATE_CLOSED)
    {
      path->state = UNTRACKED;
      job->state = BS_JOB_DONE;
      bs_aftermath_add_dropped (&after, job);
    }
  else
    {
      job->unattended = TRUE;
      bs_strand_prepend (&path->strand, job);
    }
  path_dispatch (path, &after);
  g_mutex_unlock (&path->mutex);

  bs_aftermath_run (&after);
}

GPtrArray *
bs_path_list_tracked (BsBackingStore *store)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_path_unref);
  GPtrArray *list = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer path;

  g_mutex_lock (&store->paths_mutex);
  g_hash_table_iter_init (&iter, store->paths);
  while (g_hash_table_iter_next (&iter, NULL, &path))
    g_ptr_array_add (paths, bs_path_ref (path));
  g_mutex_unlock (&store->paths_mutex);

  for (guint i = 0; i < paths->len; i++)
    {
      BsTrackedPath *tracked = g_weak_ref_get (&((BsPath *) g_ptr_array_index (paths, i))->tracked);

      if (tracked != NULL && g_atomic_int_get (&tracked->closed))
        g_clear_object (&tracked);
      if (tracked != NULL)
        g_ptr_array_add (list, tracked);
    }

  return list;
}

void
bs_path_release_all (BsBackingStore *store, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) list = bs_path_list_tracked (store);

  for (guint i = 0; i < list->len; i++)
    {
      BsTrackedPath *tracked = g_ptr_array_index (list, i);
      BsPath *path = tracked->path;
      GError *local_error = NULL;

      bs_backing_release_path (store->backing, path->file, cancellable, &local_error);

      g_mutex_lock (&path->mutex);
      path->state = UNTRACKED;
      g_atomic_int_set (&tracked->refusing, TRUE);
      g_mutex_unlock (&path->mutex);
      bs_tracked_path_set_closed (tracked);
      path_forget (store, path, 0);

      if (local_error == NULL)
        continue;
      if (*error == NULL)
        g_propagate_error (error, local_error);
      else
        g_error_free (local_error);
    }
}
