/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-path-job-private.h"

#include "bs-task-private.h"

/* A path's strand holds what concerns the path as a whole: one of these runs at
 * a time.
 *
 * At most two syncs exist: one closing, which covers what was asked before it
 * was frozen, and one gathering, which is frozen when the closing one ends. */

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

void
bs_path_forget (BsBackingStore *store, BsPath *path, guint n_pins)
{
  gboolean idle;

  g_mutex_lock (&store->paths_mutex);
  path->n_pins -= n_pins;
  g_mutex_lock (&path->mutex);
  idle = path->n_pins == 0 && path->state == BS_PATH_UNTRACKED && path->strand.head == NULL &&
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
tickets_passed (BsPath *path, BsPathJob *self)
{
  return self->survey == 0 || path->n_awaited == 0;
}

/* An untrack that was asked later is not what it waits for. */
static gboolean
is_before_untrack (BsJob *job)
{
  while (job != NULL && job->kind != BS_JOB_UNTRACK)
    job = job->next;

  return job != NULL;
}

static gboolean
eligible (BsPath *path, BsPathJob *self)
{
  switch ((int) self->job.kind)
    {
    case BS_JOB_TRACK:
      return path->state == BS_PATH_UNTRACKED ||
             (!self->awaits_release && (path->state == BS_PATH_TRACKED || is_before_untrack (&self->job)));
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
    if (eligible (path, (BsPathJob *) job))
      {
        path->running = job;
        job->state = BS_JOB_READY;
        return job;
      }

  return NULL;
}

void
bs_path_dispatch (BsPath *path, BsAftermath *after)
{
  BsJob *job = path_next (path);

  if (job != NULL)
    bs_aftermath_add_ready (after, job);
}

/* The last ticket there of what was asked so far. */
static guint64
peek_barrier (BsPath *path, BsTrackedPath *tracked, guint list)
{
  return bs_ticket_list_peek_last_ticket (list < BS_N_SHARDS ? &tracked->shards[list].tickets : &path->tickets);
}

static gboolean
covers_all (BsPath *path, BsPathJob *sync)
{
  for (guint i = 0; i < BS_PATH_N_LISTS; i++)
    if (peek_barrier (path, sync->job.tracked, i) != sync->barriers[i])
      return FALSE;

  return TRUE;
}

/* The gathering sync becomes the closing one. Takes its reference over. */
static void
freeze (BsPath *path)
{
  BsPathJob *sync = (BsPathJob *) path->gathering;

  path->closing = g_steal_pointer (&path->gathering);
  for (guint i = 0; i < BS_PATH_N_LISTS; i++)
    sync->barriers[i] = peek_barrier (path, sync->job.tracked, i);
  bs_strand_append (&path->strand, path->closing);
}

void
bs_path_remove (BsPath *path, BsJob *job)
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

/* There is one at most. One that everybody has left releases the path again for who
 * joins it, if need be. */
static BsJob *
find_untrack (BsPath *path)
{
  BsJob *job = path->strand.head;

  if (path->state != BS_PATH_UNTRACKING)
    return NULL;

  while (job->kind != BS_JOB_UNTRACK)
    job = job->next;
  return job;
}

/* The sync that covers all that was asked so far; `spare` becomes one where
 * there is none. */
static BsJob *
obtain_sync (BsPath *path, BsJob **spare)
{
  BsJob *closing = path->closing;

  if (closing != NULL && !closing->fired && covers_all (path, (BsPathJob *) closing))
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
  BsJob *spare = bs_path_job_new (store, path, BS_JOB_TRACK, NULL, caller->priority);
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
  answer = left || (tracked != NULL && path->state == BS_PATH_TRACKED && !g_atomic_int_get (&tracked->refusing));
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
    error = bs_job_error_at (BS_JOB_TRACK, NULL, file, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  else if (refused)
    error = bs_job_error_at (BS_JOB_TRACK, NULL, file, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, waits_for_itself);
  if (answer)
    bs_caller_answer (caller, error != NULL ? NULL : tracked, error);
  if (!answer)
    bs_task_lend_place (store);
  if (start != NULL)
    bs_job_start (start, caller);
  bs_aftermath_run (&after);
  if (spare != NULL)
    bs_job_unref (spare);
  bs_path_forget (store, path, 1);
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
  if (kind == BS_JOB_UNTRACK && (g_atomic_int_get (&tracked->closed) || path->state == BS_PATH_UNTRACKED))
    return ASKED_NOTHING;
  if (kind == BS_JOB_UNTRACK && caller->blocking && !bs_wait_begin (&caller->wait, path))
    return ASKED_WOULD_BLOCK;

  if (kind == BS_JOB_UNTRACK)
    job = find_untrack (path);
  else if (kind != BS_JOB_SYNC && kind != BS_JOB_WRITE_ROOT)
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
          path->state = BS_PATH_UNTRACKING;
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
    bs_path_lend_to_tickets (tracked, kind, caller->priority);
  if (start != NULL)
    bs_job_start (start, caller);
  bs_aftermath_run (&after);
  if (spare != NULL)
    bs_job_unref (spare);
}

void
bs_path_start (BsJobKind kind, BsTrackedPath *tracked, BsCaller *caller)
{
  start_job (bs_path_job_new (tracked->store, tracked->path, kind, tracked, caller->priority), caller);
}

void
bs_path_start_write_root (BsTrackedPath *tracked, GBytes *root, BsCaller *caller)
{
  BsJob *job = bs_path_job_new (tracked->store, tracked->path, BS_JOB_WRITE_ROOT, tracked, caller->priority);

  ((BsPathJob *) job)->root = g_bytes_ref (root);
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

  bs_path_lend_to_tickets (tracked, BS_JOB_SAVE, priority);
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
    bs_path_dispatch (path, after);
  else if (path->saves.head->state == BS_JOB_QUEUED)
    bs_aftermath_add_ready (after, path->saves.head);
}

void
bs_path_start_release (BsPath *path, BsBackingStore *store)
{
  BsAftermath after = { NULL, };
  BsJob *job = bs_path_job_new (store, path, BS_JOB_RELEASE, NULL, G_PRIORITY_DEFAULT);

  g_mutex_lock (&path->mutex);
  if (g_atomic_int_get (&store->state) == BS_STATE_CLOSED)
    {
      path->state = BS_PATH_UNTRACKED;
      job->state = BS_JOB_DONE;
      bs_aftermath_add_dropped (&after, job);
    }
  else
    {
      job->unattended = TRUE;
      bs_strand_prepend (&path->strand, job);
    }
  bs_path_dispatch (path, &after);
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
      path->state = BS_PATH_UNTRACKED;
      g_atomic_int_set (&tracked->refusing, TRUE);
      g_mutex_unlock (&path->mutex);
      bs_tracked_path_set_closed (tracked);
      bs_path_forget (store, path, 0);

      if (local_error == NULL)
        continue;
      if (*error == NULL)
        g_propagate_error (error, local_error);
      else
        g_error_free (local_error);
    }
}
