/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-strand-private.h"

#include "bs-key-job-private.h"
#include "bs-path-private.h"

/* Operations on one key run one at a time, in the order asked. What is still
 * needed is decided when an operation's turn comes. */

/* What a kind of operation reads and writes of a key. */
typedef enum
{
  READS_PRIMARY = 1 << 0,
  WRITES_PRIMARY = 1 << 1,
  READS_MEMBER = 1 << 2,
  WRITES_MEMBER = 1 << 3,
} Effects;

static Effects
effects (BsJobKind kind)
{
  switch ((int) kind)
    {
    case BS_JOB_WRITE:
    case BS_JOB_DELETE:
      return WRITES_PRIMARY;
    case BS_JOB_READ:
      return READS_PRIMARY;
    case BS_JOB_REGISTER:
      return WRITES_PRIMARY | READS_MEMBER;
    case BS_JOB_PERSIST:
      return READS_PRIMARY | WRITES_MEMBER;
    case BS_JOB_DELETE_PERSISTED:
      return WRITES_MEMBER;
    case BS_JOB_VERIFY:
      /* A bad blob is taken out. */
      return READS_MEMBER | WRITES_MEMBER;
    default:
      g_assert_not_reached ();
    }
}

static gboolean
conflicts (BsJob *job, BsJobKind kind, BsTrackedPath *tracked)
{
  Effects a = effects (job->kind), b = effects (kind);
  Effects reads = READS_PRIMARY, writes = WRITES_PRIMARY;

  if (job->tracked == tracked)
    {
      reads |= READS_MEMBER;
      writes |= WRITES_MEMBER;
    }
  return (((a & reads) << 1 | a) & b & writes) != 0 || (((b & reads) << 1 | b) & a & writes) != 0;
}

/* The identical operation that the new one may join: nothing that it conflicts
 * with was asked since. */
static BsJob *
find_joinable (BsKeyRecord *record, BsJobKind kind, BsTrackedPath *tracked)
{
  for (BsJob *job = record->last_job; job != NULL; job = job->previous)
    {
      if (bs_job_joinable (job, kind, tracked))
        return job;
      if (conflicts (job, kind, tracked))
        return NULL;
    }

  return NULL;
}

BsNeed
bs_strand_need (BsJobKind kind, BsKeyRecord *record, BsTrackedPath *tracked, const BsKey *key, guint64 hash)
{
  gboolean present = record != NULL && record->primary == BS_PRIMARY_PRESENT;
  BsMembership member = tracked != NULL ? bs_tracked_path_get_membership (tracked, key, hash) : BS_MEMBER_NO;

  switch ((int) kind)
    {
    case BS_JOB_WRITE:
      return present ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_JOB_REGISTER:
      if (member == BS_MEMBER_NO)
        return BS_NEED_MISSING;
      return present && member == BS_MEMBER_YES ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_JOB_PERSIST:
      return member == BS_MEMBER_YES && !bs_tracked_path_is_in_doubt (tracked, key, hash) ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_JOB_DELETE_PERSISTED:
      return member == BS_MEMBER_NO && !bs_tracked_path_is_in_doubt (tracked, key, hash) ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_JOB_VERIFY:
      return member == BS_MEMBER_NO ? BS_NEED_NOTHING : BS_NEED_CALL;
    default:
      return BS_NEED_CALL;
    }
}

void
bs_strand_note (BsJobKind kind, const BsKey *key, guint64 hash, BsKeyRecord *record, BsTrackedPath *tracked, const BsJob *job, const GError *error)
{
  gboolean missing = error != NULL && g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND);

  switch ((int) kind)
    {
    case BS_JOB_WRITE:
      record->primary = error == NULL ? BS_PRIMARY_PRESENT : BS_PRIMARY_UNCERTAIN;
      break;
    case BS_JOB_READ:
      if (missing)
        record->primary = BS_PRIMARY_UNCERTAIN;
      break;
    case BS_JOB_DELETE:
      /* Not tried again where it failed: the blob stays in scratch. */
      record->primary = BS_PRIMARY_ABSENT;
      break;
    case BS_JOB_REGISTER:
      if (error == NULL)
        {
          record->primary = BS_PRIMARY_PRESENT;
          bs_tracked_path_set_membership (tracked, key, hash, BS_MEMBER_YES);
        }
      else
        {
          if (record->primary != BS_PRIMARY_PRESENT)
            record->primary = missing ? BS_PRIMARY_ABSENT : BS_PRIMARY_UNCERTAIN;
          bs_tracked_path_set_membership (tracked, key, hash, BS_MEMBER_UNCERTAIN);
        }
      break;
    case BS_JOB_PERSIST:
      bs_tracked_path_set_membership (tracked, key, hash, error == NULL ? BS_MEMBER_YES : BS_MEMBER_UNCERTAIN);
      break;
    case BS_JOB_DELETE_PERSISTED:
      bs_tracked_path_set_membership (tracked, key, hash, error == NULL ? BS_MEMBER_NO : BS_MEMBER_UNCERTAIN);
      break;
    case BS_JOB_VERIFY:
      if (error == NULL)
        bs_tracked_path_set_membership (tracked, key, hash, BS_MEMBER_YES);
      else if (missing || g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT))
        bs_tracked_path_set_membership (tracked, key, hash, BS_MEMBER_NO);
      else
        bs_tracked_path_set_membership (tracked, key, hash, BS_MEMBER_UNCERTAIN);
      break;
    default:
      g_assert_not_reached ();
    }

  if (error != NULL && tracked != NULL && g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT))
    g_atomic_int_set (&tracked->store->has_seen_bad, TRUE);
  if (tracked != NULL && G_UNLIKELY (g_atomic_int_get (&tracked->doubted)) && error == NULL &&
      (kind == BS_JOB_PERSIST || kind == BS_JOB_DELETE_PERSISTED))
    bs_tracked_path_settle (tracked, key, hash, job);
}

GError *
bs_strand_missing_error (BsJobKind kind, const BsKey *key, BsTrackedPath *tracked)
{
  if (kind == BS_JOB_WRITE)
    return bs_job_error (kind, key, NULL, G_IO_ERROR, G_IO_ERROR_CANCELLED, "nobody holds the blob any more");

  return bs_job_error (kind, key, tracked, BS_ERROR, BS_ERROR_NOT_FOUND, "there is no such key");
}

GError *
bs_strand_pinned_error (const BsKey *key, BsTrackedPath *tracked)
{
  return bs_job_error (BS_JOB_DELETE_PERSISTED, key, tracked, BS_ERROR, BS_ERROR_BUSY, "a running save names it");
}

void
bs_strand_stand (BsShard *shard, BsKeyRecord *record, BsJob *job)
{
  shard->n_standing++;
  job->next = NULL;
  job->previous = record->last_job;
  if (job->previous != NULL)
    job->previous->next = job;
  record->last_job = job;
}

static void
leave (BsShard *shard, BsKeyRecord *record, BsJob *job)
{
  shard->n_standing--;
  if (job->next != NULL)
    job->next->previous = job->previous;
  else
    record->last_job = job->previous;
  if (job->previous != NULL)
    job->previous->next = job->next;
  job->previous = job->next = NULL;
}

void
bs_strand_lock (BsShard *shard)
{
  BsKeyJob *self;

  g_mutex_lock (&shard->mutex);
  if (G_LIKELY (shard->loose == NULL))
    return;

  self = (BsKeyJob *) g_steal_pointer (&shard->loose);
  self->record = bs_shard_obtain (shard, &self->key, self->hash);
  bs_strand_stand (shard, self->record, &self->job);
}

void
bs_strand_settle (BsBackingStore *store, BsShard *shard, BsKeyRecord *record, guint64 hash, BsAftermath *after)
{
  if (record->last_job != NULL || record->n_tokens > 0)
    return;

  if (record->primary != BS_PRIMARY_ABSENT && g_atomic_int_get (&store->state) != BS_STATE_CLOSED)
    {
      BsKeyJob *self = g_new0 (BsKeyJob, 1);
      BsJob *job = bs_key_job_init (self, store, BS_JOB_DELETE, &record->key, hash, NULL, G_PRIORITY_LOW);

      self->record = record;
      job->unattended = TRUE;
      bs_strand_stand (shard, record, job);
      bs_aftermath_add_ready (after, job);
    }
  else
    {
      bs_shard_remove (shard, record, hash);
    }
}

void
bs_strand_advance (BsBackingStore *store, BsShard *shard, BsKeyRecord *record, guint64 hash, BsJob *job, BsAftermath *after)
{
  BsJob *next = job->next;
  gboolean first = job->previous == NULL;

  leave (shard, record, job);

  if (record->last_job == NULL)
    bs_strand_settle (store, shard, record, hash, after);
  else if (first && next->state == BS_JOB_QUEUED)
    bs_aftermath_add_ready (after, next);
}

/* At the end of its strand, and in the list of its path unless that is closed.
 * Under the shard's mutex. */
static gboolean
key_job_stand (BsKeyJob *self, BsShard *shard, gboolean inner)
{
  BsJob *job = &self->job;

  if (job->tracked != NULL && !bs_path_take_key_ticket (job, bs_shard_index (self->hash), inner))
    return FALSE;

  if (self->record != NULL)
    bs_strand_stand (shard, self->record, job);
  else
    shard->loose = job;
  return TRUE;
}

/* How asking for an operation has ended. */
typedef enum
{
  ASKED_WAIT,           /* the caller has joined; the answer comes later */
  ASKED_START,          /* likewise, and its turn is now: the spare job, with a reference for whoever starts it */
  ASKED_NOTHING,        /* it is so already */
  ASKED_MISSING,
  ASKED_CLOSED,
  ASKED_PINNED,
  ASKED_CANCELLED,
} Asked;

typedef struct
{
  BsBackingStore *store;
  BsJobKind kind;
  const BsKey *key;
  guint64 hash;
  BsKeyRecord *record;
  BsTrackedPath *tracked;
  BsContent *content;
  BsCaller *caller;

  gboolean inner;       /* what a bulk asks was asked when the bulk was */
  BsKeyJob *spare;        /* owned: a job to put on the strand */
} Asking;

/* Lends a priority to a job and to those before it. Each has lent its own to all
 * before it, so that nothing is left to do where one has as much. */
static void
lend (BsJob *job, int priority)
{
  for (; job != NULL && g_atomic_int_get (&job->priority) > priority; job = job->previous)
    bs_job_raise (job, priority);
}

/* A new operation. Under the shard's mutex. */
static Asked
ask_new (Asking *self, BsShard *shard, BsAftermath *after)
{
  BsJob *job = &self->spare->job;

  if (self->record == NULL)
    self->record = bs_shard_insert (shard, self->key, self->hash);
  self->spare->record = self->record;
  if (!key_job_stand (self->spare, shard, self->inner))
    {
      bs_strand_settle (self->store, shard, self->record, self->hash, after);
      return ASKED_CLOSED;
    }

  bs_job_join (job, self->caller);
  if (job->previous == NULL)
    {
      job->state = BS_JOB_READY;
      bs_job_ref (job);
      return ASKED_START;
    }
  lend (job->previous, self->caller->priority);
  self->spare = NULL;
  return ASKED_WAIT;
}

/* Under the shard's mutex. */
static Asked
ask (Asking *self, BsShard *shard, BsAftermath *after)
{
  BsJob *job;

  if (self->caller->left)
    return ASKED_CANCELLED;
  if (self->tracked != NULL && !self->inner && g_atomic_int_get (&self->tracked->refusing))
    return ASKED_CLOSED;
  if (self->caller->doomed && !bs_tracked_path_is_doomed (self->tracked, self->key, self->hash))
    return ASKED_NOTHING;
  if (self->kind == BS_JOB_DELETE_PERSISTED && bs_tracked_path_is_pinned (self->tracked, self->key, self->hash))
    return ASKED_PINNED;
  if (self->kind == BS_JOB_PERSIST && !self->inner)
    bs_tracked_path_claim_key (self->tracked, self->key, self->hash);

  if (self->record == NULL)
    self->record = bs_shard_lookup (shard, self->key, self->hash);
  if (self->record != NULL && (job = find_joinable (self->record, self->kind, self->tracked)) != NULL)
    {
      bs_job_join (job, self->caller);
      /* A part of a bulk must be seen by syncs even when the bulk is gone. */
      if (job->embedded && job->ticket == 0 && self->tracked != NULL)
        bs_path_take_key_ticket (job, bs_shard_index (self->hash), TRUE);
      lend (job, self->caller->priority);
      return ASKED_WAIT;
    }

  if (self->record == NULL || self->record->last_job == NULL)
    switch (bs_strand_need (self->kind, self->record, self->tracked, self->key, self->hash))
      {
      case BS_NEED_NOTHING:
        if (self->kind == BS_JOB_REGISTER)
          self->record->n_tokens++;
        return ASKED_NOTHING;
      case BS_NEED_MISSING:
        return ASKED_MISSING;
      case BS_NEED_CALL:
        break;
      }

  return ask_new (self, shard, after);
}

static BsKeyJob *
key_job_new (Asking *asking)
{
  BsKeyJob *self = g_new0 (BsKeyJob, 1);

  bs_key_job_init (self, asking->store, asking->kind, asking->key, asking->hash, asking->tracked, asking->caller->priority);
  if (asking->content != NULL)
    self->content = bs_content_ref (asking->content);
  bs_job_hold (&self->job);

  return self;
}

static void
answer_now (Asking *self, Asked asked)
{
  GError *error = NULL;

  if (asked == ASKED_MISSING)
    error = bs_strand_missing_error (self->kind, self->key, self->tracked);
  else if (asked == ASKED_CLOSED)
    error = bs_job_error (self->kind, self->key, self->tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed");
  else if (asked == ASKED_PINNED)
    error = bs_strand_pinned_error (self->key, self->tracked);
  else if (asked == ASKED_CANCELLED)
    error = bs_job_error (self->kind, self->key, self->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");

  bs_caller_answer (self->caller, error == NULL && self->kind == BS_JOB_REGISTER ? self->record : NULL, error);
}

void
bs_strand_start (BsBackingStore *store,
                 BsJobKind       kind,
                 const BsKey    *key,
                 BsKeyRecord    *record,
                 BsTrackedPath  *tracked,
                 BsContent      *content,
                 BsCaller       *caller)
{
  guint64 hash = bs_key_hash (key);
  BsShard *shard = &store->shards[bs_shard_index (hash)];
  BsAftermath after = { NULL, };
  Asking asking;
  Asked asked;

  asking.store = store;
  asking.kind = kind;
  asking.key = key;
  asking.hash = hash;
  asking.record = record;
  asking.tracked = tracked;
  asking.content = content;
  asking.caller = caller;
  asking.inner = caller->inner;
  asking.spare = key_job_new (&asking);

  caller->lock = &shard->mutex;
  bs_caller_connect (caller, bs_job_leave, NULL);

  bs_strand_lock (shard);
  asked = ask (&asking, shard, &after);
  g_mutex_unlock (&shard->mutex);

  switch (asked)
    {
    case ASKED_START:
      bs_job_start (&g_steal_pointer (&asking.spare)->job, caller);
      break;
    case ASKED_NOTHING:
    case ASKED_MISSING:
    case ASKED_CLOSED:
    case ASKED_PINNED:
    case ASKED_CANCELLED:
      answer_now (&asking, asked);
      break;
    case ASKED_WAIT:
    default:
      break;
    }
  bs_aftermath_run (&after);
  if (asking.spare != NULL)
    bs_job_unref (&asking.spare->job);
}

/* An operation that runs now, at the head of its strand, where others can join
 * it, or loose where there is no record. It is its thread's, and so are the
 * references that it uses. FALSE where its path is closed. Under the shard's
 * mutex. */
static gboolean
key_job_stand_now (BsKeyJob         *self,
                   BsBackingStore *store,
                   BsShard        *shard,
                   BsJobKind       kind,
                   const BsKey    *key,
                   guint64         hash,
                   BsKeyRecord    *record,
                   BsTrackedPath  *tracked,
                   BsContent      *content)
{
  *self = (BsKeyJob) {
    .job = { .embedded = TRUE, .unattended = TRUE, .state = BS_JOB_RUNNING },
    .record = record,
    .content = content,
  };
  bs_key_job_init (self, store, kind, key, hash, tracked, BS_PRIORITY_BLOCKING);

  return key_job_stand (self, shard, FALSE);
}

/* Whether there is nothing to say against the short way. Under the shard's mutex. */
static gboolean
can_call_now (BsBackingStore *store, BsJobKind kind, const BsKey *key, guint64 hash, BsKeyRecord *record, BsTrackedPath *tracked, gboolean inner)
{
  if (!inner && g_atomic_int_get (&store->state) != BS_STATE_OPEN)
    return FALSE;
  if (tracked != NULL && g_atomic_int_get (&tracked->refusing))
    return FALSE;
  if (kind == BS_JOB_DELETE_PERSISTED && bs_tracked_path_is_pinned (tracked, key, hash))
    return FALSE;

  return record == NULL || record->last_job == NULL;
}

/* A short call is done, but others have joined it, or something follows it. */
static void
go_on (BsKeyJob *self, BsCaller *callers, GBytes *bytes, const GError *error, BsAftermath *after)
{
  bs_aftermath_push (after);
  bs_job_answer (callers, bs_key_job_get_value (self, bytes), error);
  bs_aftermath_run (after);
  bs_task_tracker_end (self->job.store->tracker);
}

gboolean
bs_strand_call_now (BsBackingStore *store,
                    BsJobKind       kind,
                    const BsKey    *key,
                    BsKeyRecord    *record,
                    BsTrackedPath  *tracked,
                    BsContent      *content,
                    gboolean        inner,
                    gpointer       *value,
                    GError        **error)
{
  guint64 hash = bs_key_hash (key);
  BsShard *shard = &store->shards[bs_shard_index (hash)];
  BsAftermath after = { NULL, };
  BsNeed need = BS_NEED_MISSING;
  GBytes *bytes = NULL;
  BsCaller *callers;
  gboolean loose;
  BsKeyJob self;

  bs_strand_lock (shard);
  loose = shard->n_standing == 0 && bs_strand_needs_no_record (kind, content);
  if (loose)
    record = NULL;
  else if (record == NULL)
    record = bs_shard_lookup (shard, key, hash);
  if (can_call_now (store, kind, key, hash, record, tracked, inner))
    need = bs_strand_need (kind, record, tracked, key, hash);
  if (need != BS_NEED_MISSING && kind == BS_JOB_PERSIST && !inner)
    bs_tracked_path_claim_key (tracked, key, hash);

  if (need == BS_NEED_CALL)
    {
      if (!loose && record == NULL)
        record = bs_shard_insert (shard, key, hash);
      if (key_job_stand_now (&self, store, shard, kind, key, hash, record, tracked, content))
        {
          bs_shard_set_n_calls (shard, shard->n_calls + 1);
        }
      else
        {
          if (record != NULL)
            bs_strand_settle (store, shard, record, hash, &after);
          need = BS_NEED_MISSING;
        }
    }
  else if (need == BS_NEED_NOTHING && kind == BS_JOB_REGISTER)
    {
      record->n_tokens++;
      *value = record;
    }
  g_mutex_unlock (&shard->mutex);

  if (need == BS_NEED_CALL)
    {
      bs_task_tracker_note_call (store->tracker);
      callers = bs_key_job_carry_out (&self, TRUE, 1, &bytes, &after, error);
      if (callers != NULL || !bs_aftermath_is_empty (&after))
        go_on (&self, callers, bytes, *error, &after);
      else
        bs_task_tracker_note_ended (store->tracker);
      *value = *error == NULL ? bs_key_job_get_value (&self, bytes) : NULL;
    }
  else if (!bs_aftermath_is_empty (&after))
    {
      bs_aftermath_run (&after);
    }

  return need != BS_NEED_MISSING;
}

BsKeyRecord *
bs_backing_store_new_token (BsBackingStore *self)
{
  BsKeyRecord *record;
  guint64 hash;
  BsShard *shard;
  BsKey key;

  bs_key_init_random (&key);
  hash = bs_key_hash (&key);
  shard = &self->shards[bs_shard_index (hash)];

  g_mutex_lock (&shard->mutex);
  record = bs_shard_obtain (shard, &key, hash);
  record->n_tokens++;
  g_mutex_unlock (&shard->mutex);

  return record;
}

void
bs_backing_store_drop_token (BsBackingStore *self, BsKeyRecord *record)
{
  guint64 hash = bs_key_hash (&record->key);
  BsShard *shard = &self->shards[bs_shard_index (hash)];
  BsAftermath after = { NULL, };

  bs_strand_lock (shard);
  record->n_tokens--;
  bs_strand_settle (self, shard, record, hash, &after);
  g_mutex_unlock (&shard->mutex);

  bs_aftermath_run (&after);
}

const BsKey *
bs_key_record_get_key (BsKeyRecord *record)
{
  return &record->key;
}
