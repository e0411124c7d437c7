/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-key-job-private.h"

#include "base/bs-backing-private.h"
#include "bs-path-private.h"

/* An operation on one key, when its turn has come. */

static void
key_job_free (BsJob *job)
{
  g_clear_pointer (&((BsKeyJob *) job)->content, bs_content_unref);
}

static void
key_job_drop (BsJob *job, BsAftermath *after)
{
  BsKeyJob *self = (BsKeyJob *) job;
  BsShard *shard = &job->store->shards[bs_shard_index (self->hash)];

  bs_path_return_key_ticket (job, bs_shard_index (self->hash), after);
  bs_strand_advance (job->store, shard, self->record, self->hash, job, after);
  bs_aftermath_add_dropped (after, job);
}

/* A blob that is missing from primary storage, though some tracked path has it,
 * is made available again. While it does so the read stands in that path's
 * list, so that the path is not released meanwhile. */
static gboolean
heal_from (BsKeyJob *self, BsShard *shard, BsTrackedPath *tracked)
{
  BsJob *job = &self->job;
  BsAftermath after = { NULL, };
  gboolean healed = FALSE;
  gboolean usable;

  g_mutex_lock (&shard->mutex);
  usable = bs_tracked_path_get_membership (tracked, &self->key, self->hash) == BS_MEMBER_YES;
  if (usable)
    {
      job->tracked = tracked;
      usable = bs_path_take_key_ticket (job, bs_shard_index (self->hash), FALSE);
    }
  g_mutex_unlock (&shard->mutex);

  if (usable)
    healed = bs_backing_invoke_register_key (job->store->backing, bs_tracked_path_get_file (tracked),
                                             &self->key, job->cancellable, NULL);

  g_mutex_lock (&shard->mutex);
  bs_path_return_key_ticket (job, bs_shard_index (self->hash), &after);
  job->tracked = NULL;
  g_mutex_unlock (&shard->mutex);
  bs_aftermath_run (&after);

  return healed;
}

static gboolean
heal (BsKeyJob *self, BsShard *shard)
{
  g_autoptr (GPtrArray) tracked_paths = bs_path_list_tracked (self->job.store);

  for (guint i = 0; i < tracked_paths->len; i++)
    if (heal_from (self, shard, g_ptr_array_index (tracked_paths, i)))
      return TRUE;

  return FALSE;
}

static GBytes *
call_read (BsKeyJob *self, BsShard *shard, GError **error)
{
  BsBacking *backing = self->job.store->backing;
  g_autoptr (GError) local_error = NULL;
  GBytes *bytes;

  bytes = bs_backing_invoke_read (backing, &self->key, self->job.cancellable, &local_error);
  if (g_error_matches (local_error, BS_ERROR, BS_ERROR_NOT_FOUND) && heal (self, shard))
    {
      g_clear_error (&local_error);
      bytes = bs_backing_invoke_read (backing, &self->key, self->job.cancellable, &local_error);
    }
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));

  return bytes;
}

/* After a write that failed, nobody knows what it has left. */
static gboolean
call_write (BsKeyJob *self, GBytes *bytes, BsPrimary primary, GError **error)
{
  BsBacking *backing = self->job.store->backing;
  GCancellable *cancellable = self->job.cancellable;
  g_autoptr (GError) local_error = NULL;

  if (bs_backing_invoke_write (backing, &self->key, bytes, cancellable, &local_error))
    return TRUE;
  if (primary == BS_PRIMARY_UNCERTAIN && g_error_matches (local_error, BS_ERROR, BS_ERROR_EXISTS))
    return bs_backing_invoke_delete_key (backing, &self->key, cancellable, error) &&
           bs_backing_invoke_write (backing, &self->key, bytes, cancellable, error);

  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* What primary storage has may be the very file that was found to be bad: it is
 * written anew where somebody has it in memory. */
static void
call_persist (BsKeyJob *self, BsShard *shard, GFile *file, GError **error)
{
  BsJob *job = &self->job;
  BsBacking *backing = job->store->backing;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (bs_backing_invoke_persist (backing, file, &self->key, job->cancellable, &local_error))
    return;
  if (self->content == NULL || self->written || !g_error_matches (local_error, BS_ERROR, BS_ERROR_CORRUPT))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return;
    }

  bytes = bs_content_make_bytes (self->content, job->cancellable, error);
  if (bytes == NULL)
    return;

  self->written = call_write (self, bytes, BS_PRIMARY_UNCERTAIN, error);
  g_mutex_lock (&shard->mutex);
  bs_strand_note (BS_JOB_WRITE, &self->key, self->hash, self->record, NULL, NULL, *error);
  g_mutex_unlock (&shard->mutex);
  if (self->written)
    bs_backing_invoke_persist (backing, file, &self->key, job->cancellable, error);
}

static GBytes *
call_backing (BsKeyJob *self, BsShard *shard, GError **error)
{
  BsJob *job = &self->job;
  BsBacking *backing = job->store->backing;
  GFile *file = job->tracked != NULL ? job->tracked->file : NULL;
  GBytes *bytes = NULL;
  BsFrame frame;

  bs_frame_push (&frame, job->store, BS_FRAME_CALL);
  switch (job->kind)
    {
    case BS_JOB_READ:
      bytes = call_read (self, shard, error);
      break;
    case BS_JOB_DELETE:
      bs_backing_invoke_delete_key (backing, &self->key, job->cancellable, error);
      break;
    case BS_JOB_REGISTER:
      bs_backing_invoke_register_key (backing, file, &self->key, job->cancellable, error);
      break;
    case BS_JOB_PERSIST:
      call_persist (self, shard, file, error);
      break;
    case BS_JOB_DELETE_PERSISTED:
      bs_backing_invoke_delete_persisted (backing, file, &self->key, job->cancellable, error);
      break;
    case BS_JOB_VERIFY:
      bs_backing_invoke_verify_persisted (backing, file, &self->key, job->cancellable, error);
      break;
    default:
      g_assert_not_reached ();
    }
  bs_frame_pop (&frame);

  return bytes;
}

/* Writes the content if it is not in primary storage yet. */
static gboolean
write_first (BsKeyJob *self, BsShard *shard, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  BsPrimary primary;
  BsFrame frame;

  if (self->content == NULL)
    return TRUE;

  g_mutex_lock (&shard->mutex);
  primary = self->record->primary;
  g_mutex_unlock (&shard->mutex);
  if (primary == BS_PRIMARY_PRESENT)
    return TRUE;

  bs_frame_push (&frame, self->job.store, BS_FRAME_CALL);
  bytes = bs_content_make_bytes (self->content, self->job.cancellable, error);
  if (bytes != NULL)
    self->written = call_write (self, bytes, primary, error);
  bs_frame_pop (&frame);

  /* Where there was nothing to write, the backing was not called. */
  if (bytes == NULL)
    return FALSE;

  g_mutex_lock (&shard->mutex);
  bs_strand_note (BS_JOB_WRITE, &self->key, self->hash, self->record, NULL, NULL, *error);
  g_mutex_unlock (&shard->mutex);

  return *error == NULL;
}

/* Its turn has come: what is still needed? Under the shard's mutex. */
static BsNeed
decide (BsKeyJob *self)
{
  BsJob *job = &self->job;
  BsKeyRecord *record = self->record;
  BsNeed need = bs_strand_need (job->kind, record, job->tracked, &self->key, self->hash);

  if (need == BS_NEED_CALL && job->kind == BS_JOB_DELETE)
    {
      if (record->n_tokens > 0 || record->primary == BS_PRIMARY_ABSENT)
        return BS_NEED_NOTHING;
      for (BsJob *later = job->next; later != NULL; later = later->next)
        if (later->kind == BS_JOB_REGISTER)
          return BS_NEED_NOTHING;
    }
  if (need == BS_NEED_CALL && job->kind == BS_JOB_WRITE && record->n_tokens == 0)
    return BS_NEED_MISSING;

  return need;
}

/* A short call is counted by its shard, under the lock that it takes anyhow, but
 * while it answers others by the task tracker. */
static void
end_call (BsShard *shard, BsBackingStore *store, gboolean goes_on)
{
  if (goes_on)
    bs_task_tracker_begin (store->tracker);
  bs_shard_set_n_calls (shard, shard->n_calls - 1);
}

BsCaller *
bs_key_job_carry_out (BsKeyJob *self, gboolean needed, guint n_others, GBytes **bytes, BsAftermath *after, GError **error)
{
  BsJob *job = &self->job;
  BsShard *shard = &job->store->shards[bs_shard_index (self->hash)];
  gboolean called = FALSE;
  BsCaller *callers;

  if (needed && (job->kind == BS_JOB_WRITE || job->kind == BS_JOB_PERSIST))
    needed = write_first (self, shard, error) && job->kind == BS_JOB_PERSIST;
  if (needed)
    {
      *bytes = call_backing (self, shard, error);
      called = TRUE;
    }

  g_mutex_lock (&shard->mutex);
  if (called)
    bs_strand_note (job->kind, &self->key, self->hash, self->record, job->tracked, job, *error);
  callers = bs_job_steal_callers (job);
  if (job->kind == BS_JOB_REGISTER && *error == NULL)
    {
      self->record->n_tokens += n_others;
      for (BsCaller *caller = callers; caller != NULL; caller = caller->next)
        self->record->n_tokens++;
    }
  job->state = BS_JOB_DONE;
  bs_path_return_key_ticket (job, bs_shard_index (self->hash), after);
  if (self->record != NULL)
    bs_strand_advance (job->store, shard, self->record, self->hash, job, after);
  else
    shard->loose = NULL;
  if (job->embedded)
    end_call (shard, job->store, callers != NULL || !bs_aftermath_is_empty (after));
  g_mutex_unlock (&shard->mutex);

  return callers;
}

gpointer
bs_key_job_get_value (BsKeyJob *self, GBytes *bytes)
{
  return self->job.kind == BS_JOB_REGISTER ? (gpointer) self->record : bytes;
}

static void
key_job_run (BsJob *job)
{
  BsKeyJob *self = (BsKeyJob *) job;
  BsAftermath after = { NULL, };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsCaller *callers;
  BsNeed need;

  g_mutex_lock (job->lock);
  need = decide (self);
  g_mutex_unlock (job->lock);

  if (need == BS_NEED_MISSING)
    error = bs_strand_missing_error (job->kind, &self->key, job->tracked);
  callers = bs_key_job_carry_out (self, need == BS_NEED_CALL, 0, &bytes, &after, &error);
  if (job->kind == BS_JOB_DELETE && error != NULL)
    bs_backing_store_report (job->store, &self->key, BS_OPERATION_DELETE_KEY, g_steal_pointer (&error));

  bs_aftermath_push (&after);
  bs_job_answer (callers, bs_key_job_get_value (self, bytes), error);
  bs_aftermath_run (&after);
  g_clear_pointer (&bytes, g_bytes_unref);
  bs_job_unref (job);
}

static const BsJobClass key_job_class = {
  .run = key_job_run,
  .drop = key_job_drop,
  .free = key_job_free,
};

BsJob *
bs_key_job_init (BsKeyJob *self, BsBackingStore *store, BsJobKind kind, const BsKey *key, guint64 hash, BsTrackedPath *tracked, int priority)
{
  bs_job_init (&self->job, &key_job_class, kind, store, store->backing_lane,
               &store->shards[bs_shard_index (hash)].mutex, tracked, priority);
  self->key = *key;
  self->hash = hash;

  return &self->job;
}
