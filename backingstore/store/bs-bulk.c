/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-bulk-private.h"

#include <string.h>

#include "base/bs-backing-private.h"
#include "base/bs-key-set-private.h"
#include "bs-path-private.h"
#include "bs-strand-private.h"

/* A bulk goes shard by shard, a chunk of keys at a time: it takes those whose
 * strands are idle, makes one backing call for them, and lets them go. What is
 * asked of a busy key is queued on its strand like any other operation, and
 * the bulk ends when the last of those has. So it never holds one strand while
 * it waits for another. Between chunks others get their turn in the lane. */

#define CHUNK 256
#define CHUNK_SHIFT 20

/* Stands at the head of a key's strand during one chunk's call. */
typedef struct
{
  BsJob job;
  BsKeyRecord *record;
  guint64 hash;
  BsCaller *callers;      /* who joined it */
  GError *error;          /* owned */
} Part;

typedef struct
{
  BsJob job;

  /* constant once started */
  BsJobKind what;         /* on each key: REGISTER, DELETE_PERSISTED or DELETE */
  gboolean doomed;        /* DELETE_PERSISTED: what a save has doomed */
  guint64 n_total;

  /* by the running thread */
  BsKeyTable source;      /* DELETE_PERSISTED: which keys, unless they are those that are doomed */
  BsKeyTableIter iter;
  GArray *keys;           /* what comes from the path: those of the current shard */
  guint next_key;
  guint next_shard;
  BsKeyRecord **records;  /* DELETE: whose tokens to drop; owned */
  gsize n_records;
  gsize next_record;
  Part *parts;            /* owned; CHUNK of them */
  BsKey chunk[CHUNK];
  BsKey pending;          /* read from the source, belongs to the next chunk */
  gboolean has_pending;
  BsKey pinned;           /* DELETE_PERSISTED: the last one that a save has pinned */
  gboolean has_pinned;

  int n_open;             /* atomic: what is queued on strands, and one for the running thread */

  GMutex mutex;
  GPtrArray *tokens;      /* REGISTER: owned, of BsKeyRecord; under the mutex */
  guint64 n_done;         /* under the mutex */
  GError *error;          /* owned; the first one; under the mutex */
} Bulk;

static void
note_error (Bulk *self, const GError *error)
{
  g_mutex_lock (&self->mutex);
  if (self->error == NULL)
    self->error = g_error_copy (error);
  g_mutex_unlock (&self->mutex);
}

static void
note_done_locked (Bulk *self, BsKeyRecord *token)
{
  self->n_done++;
  if (token != NULL)
    g_ptr_array_add (self->tokens, token);
}

static void
note_done (Bulk *self, BsKeyRecord *token)
{
  g_mutex_lock (&self->mutex);
  note_done_locked (self, token);
  g_mutex_unlock (&self->mutex);
}

/* The next keys, all of one shard. */
static guint
feed_from_source (Bulk *self)
{
  guint shard = 0, n = 0;
  const BsKey *key;

  if (self->has_pending)
    {
      self->chunk[n++] = self->pending;
      shard = bs_shard_index (bs_key_hash (&self->pending));
      self->has_pending = FALSE;
    }
  while (n < CHUNK && bs_key_table_iter_next (&self->source, &self->iter, &key))
    {
      guint key_shard = bs_shard_index (bs_key_hash (key));

      if (n > 0 && key_shard != shard)
        {
          self->pending = *key;
          self->has_pending = TRUE;
          break;
        }
      shard = key_shard;
      self->chunk[n++] = *key;
    }

  return n;
}

static guint
feed_from_path (Bulk *self)
{
  guint n;

  while (self->next_key == self->keys->len)
    {
      if (self->next_shard == BS_N_SHARDS)
        return 0;
      g_array_set_size (self->keys, 0);
      self->next_key = 0;
      if (self->doomed)
        bs_tracked_path_copy_doomed (self->job.tracked, self->next_shard++, self->keys);
      else
        bs_tracked_path_copy_keys (self->job.tracked, self->next_shard++, self->keys);
    }

  n = MIN (CHUNK, self->keys->len - self->next_key);
  memcpy (self->chunk, &g_array_index (self->keys, BsKey, self->next_key), n * sizeof (BsKey));
  self->next_key += n;

  return n;
}

static Part *
take_strand (Bulk *self, guint n_parts, BsShard *shard, BsKeyRecord *record, guint64 hash)
{
  Part *part = &self->parts[n_parts];

  memset (part, 0, sizeof *part);
  part->job.embedded = TRUE;
  part->job.unattended = TRUE;
  bs_job_init (&part->job, NULL, self->what, self->job.store, self->job.lane, &shard->mutex, self->job.tracked, 0);
  part->job.state = BS_JOB_RUNNING;
  part->record = record;
  part->hash = hash;
  bs_strand_stand (shard, record, &part->job);

  return part;
}

/* Takes the strands that are idle; moves the keys of the others to the front of
 * the chunk, and says how many they are. */
static guint
take_chunk (Bulk *self, BsShard *shard, guint n_keys, guint *n_parts)
{
  guint n_busy = 0;

  *n_parts = 0;

  bs_strand_lock (shard);
  for (guint i = 0; i < n_keys; i++)
    {
      BsKey key = self->chunk[i];
      guint64 hash = bs_key_hash (&key);
      BsKeyRecord *record = bs_shard_lookup (shard, &key, hash);

      if (self->doomed && !bs_tracked_path_is_doomed (self->job.tracked, &key, hash))
        continue;
      if (self->what == BS_JOB_DELETE_PERSISTED && bs_tracked_path_is_pinned (self->job.tracked, &key, hash))
        {
          self->pinned = key;
          self->has_pinned = TRUE;
          continue;
        }
      if (record != NULL && record->last_job != NULL)
        {
          self->chunk[n_busy++] = key;
          continue;
        }

      switch (bs_strand_need (self->what, record, self->job.tracked, &key, hash))
        {
        case BS_NEED_NOTHING:
          if (self->what == BS_JOB_REGISTER)
            record->n_tokens++;
          note_done (self, self->what == BS_JOB_REGISTER ? record : NULL);
          break;
        case BS_NEED_MISSING:
          /* It went since the bulk was asked. */
          break;
        case BS_NEED_CALL:
          if (record == NULL)
            record = bs_shard_insert (shard, &key, hash);
          take_strand (self, (*n_parts)++, shard, record, hash);
          break;
        }
    }
  g_mutex_unlock (&shard->mutex);

  if (self->has_pinned)
    {
      g_autoptr (GError) error = bs_strand_pinned_error (&self->pinned, self->job.tracked);

      note_error (self, error);
      self->has_pinned = FALSE;
    }

  return n_busy;
}

/* The same for tokens to drop: those that were not the last are done with that. */
static void
take_unheld (Bulk *self, guint *n_parts)
{
  BsBackingStore *store = self->job.store;
  guint64 hash = bs_key_hash (&self->records[self->next_record]->key);
  BsShard *shard = &store->shards[bs_shard_index (hash)];
  BsAftermath after = { NULL, };

  *n_parts = 0;

  bs_strand_lock (shard);
  for (guint n = 0; n < CHUNK && self->next_record < self->n_records; n++)
    {
      BsKeyRecord *record = self->records[self->next_record];

      hash = bs_key_hash (&record->key);
      if (shard != &store->shards[bs_shard_index (hash)])
        break;

      self->next_record++;
      record->n_tokens--;
      if (record->n_tokens == 0 && record->last_job == NULL && record->primary != BS_PRIMARY_ABSENT &&
          g_atomic_int_get (&store->state) != BS_STATE_CLOSED)
        take_strand (self, (*n_parts)++, shard, record, hash);
      else
        bs_strand_settle (store, shard, record, hash, &after);
    }
  g_mutex_unlock (&shard->mutex);

  bs_aftermath_run (&after);
}

static void
call_one (Bulk *self, Part *part, GCancellable *cancellable)
{
  BsBacking *backing = self->job.store->backing;

  switch ((int) self->what)
    {
    case BS_JOB_REGISTER:
      bs_backing_invoke_register_key (backing, bs_tracked_path_get_file (self->job.tracked), &part->record->key, cancellable, &part->error);
      break;
    case BS_JOB_DELETE_PERSISTED:
      bs_backing_invoke_delete_persisted (backing, bs_tracked_path_get_file (self->job.tracked), &part->record->key, cancellable, &part->error);
      break;
    case BS_JOB_DELETE:
      bs_backing_invoke_delete_key (backing, &part->record->key, cancellable, &part->error);
      break;
    default:
      g_assert_not_reached ();
    }
}

static gboolean
call_all (Bulk *self, guint n_parts)
{
  g_autoptr (BsKeySet) keys = NULL;
  BsBacking *backing = self->job.store->backing;
  BsKeyTable *table;
  GFile *file;

  if (self->what == BS_JOB_DELETE || n_parts < 2)
    return FALSE;
  if (!bs_backing_implements (backing, self->what == BS_JOB_REGISTER ? BS_OPERATION_REGISTER_KEYS : BS_OPERATION_DELETE_PERSISTED_KEYS))
    return FALSE;

  keys = bs_key_set_new ();
  table = bs_key_set_get_table (keys);
  /* Hashes that follow one another differ in the bits below only. */
  bs_key_table_init (table, CHUNK_SHIFT);
  bs_key_table_reserve (table, n_parts);
  for (guint i = 0; i < n_parts; i++)
    bs_key_table_add (table, &self->parts[i].record->key, self->parts[i].hash);

  file = bs_tracked_path_get_file (self->job.tracked);
  if (self->what == BS_JOB_REGISTER)
    return bs_backing_register_keys (backing, file, keys, self->job.cancellable, NULL);
  else
    return bs_backing_delete_persisted_keys (backing, file, keys, self->job.cancellable, NULL);
}

/* A call that failed because the bulk was left is made again for those who have
 * joined it; nobody else joins it now. */
static void
call_for_joined (Bulk *self, Part *part)
{
  gboolean wanted;

  g_mutex_lock (part->job.lock);
  wanted = part->job.n_wanting > 0;
  part->job.fired = !wanted;
  g_mutex_unlock (part->job.lock);

  if (wanted)
    {
      g_clear_error (&part->error);
      call_one (self, part, NULL);
    }
}

/* One call for the chunk; where that fails, key by key, to know of each what
 * has become of it. */
static void
call_backing (Bulk *self, guint n_parts)
{
  BsFrame frame;

  bs_frame_push (&frame, self->job.store, BS_FRAME_CALL);
  if (!call_all (self, n_parts))
    for (guint i = 0; i < n_parts; i++)
      {
        Part *part = &self->parts[i];

        call_one (self, part, self->job.cancellable);
        if (part->error != NULL && g_cancellable_is_cancelled (self->job.cancellable))
          call_for_joined (self, part);
      }
  bs_frame_pop (&frame);
}

static void
end_part (Bulk *self, BsShard *shard, Part *part, BsAftermath *after)
{
  BsJob *job = &part->job;

  bs_strand_note (self->what, &part->record->key, part->hash, part->record, job->tracked, &self->job, part->error);
  part->callers = bs_job_steal_callers (job);
  if (self->what == BS_JOB_REGISTER && part->error == NULL)
    {
      part->record->n_tokens++;
      for (BsCaller *caller = part->callers; caller != NULL; caller = caller->next)
        part->record->n_tokens++;
    }
  job->state = BS_JOB_DONE;
  bs_path_return_key_ticket (job, bs_shard_index (part->hash), after);
}

static void
end_chunk (Bulk *self, guint n_parts)
{
  BsBackingStore *store = self->job.store;
  BsShard *shard = &store->shards[bs_shard_index (self->parts[0].hash)];
  BsAftermath after = { NULL, };

  g_mutex_lock (&shard->mutex);
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < n_parts; i++)
    {
      Part *part = &self->parts[i];

      end_part (self, shard, part, &after);
      if (self->what == BS_JOB_DELETE && part->error != NULL)
        bs_backing_store_report (store, &part->record->key, BS_OPERATION_DELETE_KEY, g_error_copy (part->error));
      if (part->error == NULL)
        note_done_locked (self, self->what == BS_JOB_REGISTER ? part->record : NULL);
      bs_strand_advance (store, shard, part->record, part->hash, &part->job, &after);
    }
  g_mutex_unlock (&self->mutex);
  g_mutex_unlock (&shard->mutex);

  bs_aftermath_push (&after);
  for (guint i = 0; i < n_parts; i++)
    {
      Part *part = &self->parts[i];

      bs_job_answer (part->callers, part->error == NULL && self->what == BS_JOB_REGISTER ? part->record : NULL, part->error);
      if (part->error != NULL)
        note_error (self, part->error);
      g_clear_error (&part->error);
    }
  bs_aftermath_run (&after);
}

static void
bulk_end (Bulk *self)
{
  BsJob *job = &self->job;
  BsBackingStore *store = job->store;
  BsAftermath after = { NULL, };
  GPtrArray *tokens = self->tokens;
  BsCaller *callers;

  if (self->error != NULL && self->what != BS_JOB_DELETE)
    g_prefix_error (&self->error, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " keys done: ", self->n_done, self->n_total);

  g_mutex_lock (job->lock);
  job->state = BS_JOB_DONE;
  callers = bs_job_steal_callers (job);
  bs_path_return_ticket (job, &after);
  g_mutex_unlock (job->lock);

  if (self->error != NULL && tokens != NULL)
    bs_backing_store_drop_tokens (store, (BsKeyRecord **) tokens->pdata, tokens->len);
  bs_aftermath_push (&after);
  bs_job_answer (callers, tokens, self->error);
  bs_aftermath_run (&after);
  bs_job_unref (job);
}

static void
bulk_close_one (Bulk *self)
{
  if (g_atomic_int_dec_and_test (&self->n_open))
    bulk_end (self);
}

/* What was queued on a busy strand is done. */
static gpointer
queued_done (gpointer data, gpointer value, GError **error)
{
  Bulk *self = data;

  if (*error == NULL)
    note_done (self, self->what == BS_JOB_REGISTER ? value : NULL);
  else if (self->what != BS_JOB_REGISTER || !g_error_matches (*error, BS_ERROR, BS_ERROR_NOT_FOUND))
    note_error (self, *error);
  g_clear_error (error);
  bulk_close_one (self);

  return NULL;
}

static void
queue_busy (Bulk *self, guint n_busy)
{
  for (guint i = 0; i < n_busy; i++)
    {
      BsCaller *caller = bs_caller_new_background (self->job.store, g_atomic_int_get (&self->job.priority), queued_done,
                                                   bs_job_ref (&self->job), (GDestroyNotify) bs_job_unref);

      g_set_object (&caller->cancellable, self->job.cancellable);
      bs_caller_set_subject (caller, self->what, &self->chunk[i], self->job.tracked);
      caller->doomed = self->doomed;
      g_atomic_int_inc (&self->n_open);
      bs_strand_start (self->job.store, self->what, &self->chunk[i], NULL, self->job.tracked, NULL, caller);
      bs_caller_unref (caller);
    }
}

/* Does one chunk; FALSE when there is none left. */
static gboolean
bulk_step (Bulk *self)
{
  guint n_keys, n_parts, n_busy = 0;

  if (self->what == BS_JOB_DELETE)
    {
      if (self->next_record == self->n_records)
        return FALSE;
      take_unheld (self, &n_parts);
    }
  else
    {
      g_autoptr (GError) error = NULL;
      BsShard *shard;

      n_keys = self->keys != NULL ? feed_from_path (self) : feed_from_source (self);
      if (n_keys == 0)
        return FALSE;
      if (g_cancellable_is_cancelled (self->job.cancellable))
        {
          error = bs_job_error (self->job.kind, NULL, self->job.tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
          note_error (self, error);
          return FALSE;
        }
      shard = &self->job.store->shards[bs_shard_index (bs_key_hash (&self->chunk[0]))];
      n_busy = take_chunk (self, shard, n_keys, &n_parts);
    }

  if (n_parts > 0)
    {
      call_backing (self, n_parts);
      end_chunk (self, n_parts);
    }
  queue_busy (self, n_busy);

  return TRUE;
}

static void
bulk_run (BsJob *job)
{
  Bulk *self = (Bulk *) job;

  while (bulk_step (self))
    if (job->runner == NULL)
      {
        bs_lane_submit (job->lane, job);
        return;
      }

  bulk_close_one (self);
}

static void
bulk_drop (BsJob *job, BsAftermath *after)
{
  bs_path_return_ticket (job, after);
  bs_aftermath_add_dropped (after, job);
}

static void
bulk_free (BsJob *job)
{
  Bulk *self = (Bulk *) job;

  bs_key_table_clear (&self->source);
  g_clear_pointer (&self->keys, g_array_unref);
  g_free (self->records);
  g_free (self->parts);
  g_clear_pointer (&self->tokens, g_ptr_array_unref);
  g_clear_error (&self->error);
  g_mutex_clear (&self->mutex);
}

static const BsJobClass bulk_class = {
  .run = bulk_run,
  .drop = bulk_drop,
  .free = bulk_free,
};

static Bulk *
bulk_new (BsBackingStore *store, BsJobKind kind, BsJobKind what, BsTrackedPath *tracked, int priority)
{
  Bulk *self = g_new0 (Bulk, 1);

  bs_job_init (&self->job, &bulk_class, kind, store, store->backing_lane, &store->jobs_mutex, tracked, priority);
  bs_job_hold (&self->job);
  self->job.resumes = TRUE;
  self->job.state = BS_JOB_READY;
  self->what = what;
  self->parts = g_new (Part, CHUNK);
  self->n_open = 1;
  g_mutex_init (&self->mutex);
  bs_key_table_init (&self->source, 0);

  return self;
}

static void
bulk_start (Bulk *self, BsCaller *caller)
{
  BsJob *job = &self->job;
  gboolean joined, left;

  caller->lock = job->lock;
  bs_caller_connect (caller, bs_job_leave, NULL);

  g_mutex_lock (job->lock);
  left = caller->left;
  joined = !left && bs_path_take_ticket (job, caller->inner);
  if (joined)
    bs_job_join (bs_job_ref (job), caller);
  g_mutex_unlock (job->lock);

  if (joined)
    {
      bs_job_start (job, caller);
      return;
    }

  if (left)
    bs_caller_answer (caller, NULL, bs_job_error (job->kind, NULL, job->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled"));
  else
    bs_caller_answer (caller, NULL, bs_job_error (job->kind, NULL, job->tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed"));
  bs_job_unref (job);
}

void
bs_bulk_start_delete_persisted (BsBackingStore *store, BsTrackedPath *tracked, BsKeySet *keys, BsCaller *caller)
{
  Bulk *self = bulk_new (store, BS_JOB_DELETE_KEYS, BS_JOB_DELETE_PERSISTED, tracked, caller->priority);

  /* A key set is not thread-safe, and stays the caller's. */
  bs_key_table_copy (bs_key_set_get_table (keys), &self->source);
  self->n_total = self->source.n_keys;

  bulk_start (self, caller);
}

void
bs_bulk_start_delete_doomed (BsBackingStore *store, BsTrackedPath *tracked, guint64 n_keys, BsCaller *caller)
{
  Bulk *self = bulk_new (store, BS_JOB_DELETE_KEYS, BS_JOB_DELETE_PERSISTED, tracked, caller->priority);

  self->doomed = TRUE;
  self->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
  self->n_total = n_keys;

  bulk_start (self, caller);
}

void
bs_bulk_start_register_all (BsBackingStore *store, BsTrackedPath *tracked, BsCaller *caller)
{
  Bulk *self = bulk_new (store, BS_JOB_REGISTER_ALL, BS_JOB_REGISTER, tracked, caller->priority);

  self->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
  self->n_total = bs_tracked_path_get_n_keys (tracked);
  self->tokens = g_ptr_array_sized_new (self->n_total);

  bulk_start (self, caller);
}

void
bs_backing_store_drop_tokens (BsBackingStore *self, BsKeyRecord **records, gsize n_records)
{
  Bulk *bulk;

  if (n_records == 0)
    return;

  bulk = bulk_new (self, BS_JOB_DROP_TOKENS, BS_JOB_DELETE, NULL, G_PRIORITY_LOW);
  bulk->job.unattended = TRUE;
  bulk->records = g_memdup2 (records, n_records * sizeof *records);
  bulk->n_records = n_records;

  bs_lane_submit (bulk->job.lane, &bulk->job);
}
