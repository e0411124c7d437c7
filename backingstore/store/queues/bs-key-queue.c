/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/queues/bs-key-queue-private.h"

#include "store/operations/bs-key-operation-private.h"
#include "store/queues/bs-path-private.h"

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
effects (BsOperationKind kind)
{
  switch ((int) kind)
    {
    case BS_KIND_WRITE:
    case BS_KIND_DELETE:
      return WRITES_PRIMARY;
    case BS_KIND_READ:
      return READS_PRIMARY;
    case BS_KIND_REGISTER:
      return WRITES_PRIMARY | READS_MEMBER;
    case BS_KIND_PERSIST:
      return READS_PRIMARY | WRITES_MEMBER;
    case BS_KIND_DELETE_PERSISTED:
      return WRITES_MEMBER;
    case BS_KIND_VERIFY:
      /* A bad blob is taken out. */
      return READS_MEMBER | WRITES_MEMBER;
    default:
      g_assert_not_reached ();
    }
}

static gboolean
conflicts (BsStoreOperation *operation, BsOperationKind kind, BsTrackedPath *tracked)
{
  Effects a = effects (operation->kind), b = effects (kind);
  Effects reads = READS_PRIMARY, writes = WRITES_PRIMARY;

  if (operation->tracked == tracked)
    {
      reads |= READS_MEMBER;
      writes |= WRITES_MEMBER;
    }
  return (((a & reads) << 1 | a) & b & writes) != 0 || (((b & reads) << 1 | b) & a & writes) != 0;
}

/* The identical operation that the new one may join: nothing that it conflicts
 * with was asked since. */
static BsStoreOperation *
find_joinable (BsToken *token, BsOperationKind kind, BsTrackedPath *tracked)
{
  for (BsStoreOperation *operation = token->last_operation; operation != NULL; operation = operation->previous)
    {
      if (bs_store_operation_joinable (operation, kind, tracked))
        return operation;
      if (conflicts (operation, kind, tracked))
        return NULL;
    }

  return NULL;
}

BsNeed
bs_key_queue_need (BsOperationKind kind, BsToken *token, BsTrackedPath *tracked, const BsKey *key, guint64 hash)
{
  gboolean present = token != NULL && token->primary == BS_PRIMARY_PRESENT;
  BsMembership member = tracked != NULL ? bs_tracked_path_get_membership (tracked, key, hash) : BS_MEMBER_NO;

  switch ((int) kind)
    {
    case BS_KIND_WRITE:
      return present ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_KIND_REGISTER:
      if (member == BS_MEMBER_NO)
        return BS_NEED_MISSING;
      return present && member == BS_MEMBER_YES ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_KIND_PERSIST:
      return member == BS_MEMBER_YES && !bs_tracked_path_is_in_doubt (tracked, key, hash) ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_KIND_DELETE_PERSISTED:
      return member == BS_MEMBER_NO && !bs_tracked_path_is_in_doubt (tracked, key, hash) ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_KIND_VERIFY:
      return member == BS_MEMBER_NO ? BS_NEED_NOTHING : BS_NEED_CALL;
    default:
      return BS_NEED_CALL;
    }
}

void
bs_key_queue_note (BsOperationKind kind, const BsKey *key, guint64 hash, BsToken *token, BsTrackedPath *tracked, const BsStoreOperation *operation, const GError *error)
{
  gboolean missing = error != NULL && g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND);

  switch ((int) kind)
    {
    case BS_KIND_WRITE:
      token->primary = error == NULL ? BS_PRIMARY_PRESENT : BS_PRIMARY_UNCERTAIN;
      break;
    case BS_KIND_READ:
      if (missing)
        token->primary = BS_PRIMARY_UNCERTAIN;
      break;
    case BS_KIND_DELETE:
      /* Not tried again where it failed: the blob stays in scratch. */
      token->primary = BS_PRIMARY_ABSENT;
      break;
    case BS_KIND_REGISTER:
      if (error == NULL)
        {
          token->primary = BS_PRIMARY_PRESENT;
          bs_tracked_path_set_membership (tracked, key, hash, BS_MEMBER_YES);
        }
      else
        {
          if (token->primary != BS_PRIMARY_PRESENT)
            token->primary = missing ? BS_PRIMARY_ABSENT : BS_PRIMARY_UNCERTAIN;
          bs_tracked_path_set_membership (tracked, key, hash, BS_MEMBER_UNCERTAIN);
        }
      break;
    case BS_KIND_PERSIST:
      bs_tracked_path_set_membership (tracked, key, hash, error == NULL ? BS_MEMBER_YES : BS_MEMBER_UNCERTAIN);
      break;
    case BS_KIND_DELETE_PERSISTED:
      bs_tracked_path_set_membership (tracked, key, hash, error == NULL ? BS_MEMBER_NO : BS_MEMBER_UNCERTAIN);
      break;
    case BS_KIND_VERIFY:
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
      (kind == BS_KIND_PERSIST || kind == BS_KIND_DELETE_PERSISTED))
    bs_tracked_path_settle (tracked, key, hash, operation);
}

GError *
bs_key_queue_missing_error (BsOperationKind kind, const BsKey *key, BsTrackedPath *tracked)
{
  if (kind == BS_KIND_WRITE)
    return bs_operation_error (kind, key, NULL, G_IO_ERROR, G_IO_ERROR_CANCELLED, "nobody holds the blob any more");

  return bs_operation_error (kind, key, tracked, BS_ERROR, BS_ERROR_NOT_FOUND, "there is no such key");
}

GError *
bs_key_queue_pinned_error (const BsKey *key, BsTrackedPath *tracked)
{
  return bs_operation_error (BS_KIND_DELETE_PERSISTED, key, tracked, BS_ERROR, BS_ERROR_BUSY, "a running save names it");
}

void
bs_key_queue_stand (BsShard *shard, BsToken *token, BsStoreOperation *operation)
{
  shard->n_standing++;
  operation->next = NULL;
  operation->previous = token->last_operation;
  if (operation->previous != NULL)
    operation->previous->next = operation;
  token->last_operation = operation;
}

static void
leave (BsShard *shard, BsToken *token, BsStoreOperation *operation)
{
  shard->n_standing--;
  if (operation->next != NULL)
    operation->next->previous = operation->previous;
  else
    token->last_operation = operation->previous;
  if (operation->previous != NULL)
    operation->previous->next = operation->next;
  operation->previous = operation->next = NULL;
}

void
bs_key_queue_lock (BsShard *shard)
{
  BsKeyOperation *self;

  g_mutex_lock (&shard->mutex);
  if (G_LIKELY (shard->loose == NULL))
    return;

  self = (BsKeyOperation *) g_steal_pointer (&shard->loose);
  self->token = bs_shard_obtain (shard, &self->key, self->hash);
  bs_key_queue_stand (shard, self->token, &self->operation);
}

void
bs_key_queue_settle (BsBackingStore *store, BsShard *shard, BsToken *token, guint64 hash, BsDeferred *deferred)
{
  if (token->last_operation != NULL || token->n_holders > 0)
    return;

  if (token->primary != BS_PRIMARY_ABSENT && g_atomic_int_get (&store->state) != BS_STATE_CLOSED)
    {
      BsKeyOperation *self = g_new0 (BsKeyOperation, 1);
      BsStoreOperation *operation = bs_key_operation_init (self, store, BS_KIND_DELETE, &token->key, hash, NULL, G_PRIORITY_LOW);

      self->token = token;
      operation->unattended = TRUE;
      bs_key_queue_stand (shard, token, operation);
      bs_deferred_add_ready (deferred, operation);
    }
  else
    {
      bs_shard_remove (shard, token, hash);
    }
}

void
bs_key_queue_advance (BsBackingStore *store, BsShard *shard, BsToken *token, guint64 hash, BsStoreOperation *operation, BsDeferred *deferred)
{
  BsStoreOperation *next = operation->next;
  gboolean first = operation->previous == NULL;

  leave (shard, token, operation);

  if (token->last_operation == NULL)
    bs_key_queue_settle (store, shard, token, hash, deferred);
  else if (first && next->state == BS_OPERATION_QUEUED)
    bs_deferred_add_ready (deferred, next);
}

/* At the end of its queue, and in the list of its path unless that is closed.
 * Under the shard's mutex. */
static gboolean
key_operation_stand (BsKeyOperation *self, BsShard *shard, gboolean inner)
{
  BsStoreOperation *operation = &self->operation;

  if (operation->tracked != NULL && !bs_path_take_key_ticket (operation, bs_shard_index (self->hash), inner))
    return FALSE;

  if (self->token != NULL)
    bs_key_queue_stand (shard, self->token, operation);
  else
    shard->loose = operation;
  return TRUE;
}

/* How asking for an operation has ended. */
typedef enum
{
  ASKED_WAIT,           /* the waiter has joined; the answer comes later */
  ASKED_START,          /* likewise, and its turn is now: the spare operation, with a reference for whoever starts it */
  ASKED_NOTHING,        /* it is so already */
  ASKED_MISSING,
  ASKED_CLOSED,
  ASKED_PINNED,
  ASKED_CANCELLED,
} Asked;

typedef struct
{
  BsBackingStore *store;
  BsOperationKind kind;
  const BsKey *key;
  guint64 hash;
  BsToken *token;
  BsTrackedPath *tracked;
  BsContent *content;
  BsWaiter *waiter;

  gboolean inner;       /* what a bulk asks was asked when the bulk was */
  BsKeyOperation *spare;        /* owned: a operation to put on the queue */
} Asking;

/* Lends a priority to a operation and to those before it. Each has lent its own to all
 * before it, so that nothing is left to do where one has as much. */
static void
lend (BsStoreOperation *operation, int priority)
{
  for (; operation != NULL && g_atomic_int_get (&operation->priority) > priority; operation = operation->previous)
    bs_store_operation_raise (operation, priority);
}

/* A new operation. Under the shard's mutex. */
static Asked
ask_new (Asking *self, BsShard *shard, BsDeferred *deferred)
{
  BsStoreOperation *operation = &self->spare->operation;

  if (self->token == NULL)
    self->token = bs_shard_insert (shard, self->key, self->hash);
  self->spare->token = self->token;
  if (!key_operation_stand (self->spare, shard, self->inner))
    {
      bs_key_queue_settle (self->store, shard, self->token, self->hash, deferred);
      return ASKED_CLOSED;
    }

  bs_store_operation_join (operation, self->waiter);
  if (operation->previous == NULL)
    {
      operation->state = BS_OPERATION_READY;
      bs_store_operation_ref (operation);
      return ASKED_START;
    }
  lend (operation->previous, self->waiter->priority);
  self->spare = NULL;
  return ASKED_WAIT;
}

/* Under the shard's mutex. */
static Asked
ask (Asking *self, BsShard *shard, BsDeferred *deferred)
{
  BsStoreOperation *operation;

  if (self->waiter->left)
    return ASKED_CANCELLED;
  if (self->tracked != NULL && !self->inner && g_atomic_int_get (&self->tracked->refusing))
    return ASKED_CLOSED;
  if (self->waiter->doomed && !bs_tracked_path_is_doomed (self->tracked, self->key, self->hash))
    return ASKED_NOTHING;
  if (self->kind == BS_KIND_DELETE_PERSISTED && bs_tracked_path_is_pinned (self->tracked, self->key, self->hash))
    return ASKED_PINNED;
  if (self->kind == BS_KIND_PERSIST && !self->inner)
    bs_tracked_path_claim_key (self->tracked, self->key, self->hash);

  if (self->token == NULL)
    self->token = bs_shard_lookup (shard, self->key, self->hash);
  if (self->token != NULL && (operation = find_joinable (self->token, self->kind, self->tracked)) != NULL)
    {
      bs_store_operation_join (operation, self->waiter);
      /* A part of a bulk must be seen by syncs even when the bulk is gone. */
      if (operation->embedded && operation->ticket == 0 && self->tracked != NULL)
        bs_path_take_key_ticket (operation, bs_shard_index (self->hash), TRUE);
      lend (operation, self->waiter->priority);
      return ASKED_WAIT;
    }

  if (self->token == NULL || self->token->last_operation == NULL)
    switch (bs_key_queue_need (self->kind, self->token, self->tracked, self->key, self->hash))
      {
      case BS_NEED_NOTHING:
        if (self->kind == BS_KIND_REGISTER)
          self->token->n_holders++;
        return ASKED_NOTHING;
      case BS_NEED_MISSING:
        return ASKED_MISSING;
      case BS_NEED_CALL:
        break;
      }

  return ask_new (self, shard, deferred);
}

static BsKeyOperation *
key_operation_new (Asking *asking)
{
  BsKeyOperation *self = g_new0 (BsKeyOperation, 1);

  bs_key_operation_init (self, asking->store, asking->kind, asking->key, asking->hash, asking->tracked, asking->waiter->priority);
  if (asking->content != NULL)
    self->content = bs_content_ref (asking->content);
  bs_store_operation_hold (&self->operation);

  return self;
}

static void
answer_now (Asking *self, Asked asked)
{
  GError *error = NULL;

  if (asked == ASKED_MISSING)
    error = bs_key_queue_missing_error (self->kind, self->key, self->tracked);
  else if (asked == ASKED_CLOSED)
    error = bs_operation_error (self->kind, self->key, self->tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed");
  else if (asked == ASKED_PINNED)
    error = bs_key_queue_pinned_error (self->key, self->tracked);
  else if (asked == ASKED_CANCELLED)
    error = bs_operation_error (self->kind, self->key, self->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");

  bs_waiter_answer (self->waiter, error == NULL && self->kind == BS_KIND_REGISTER ? self->token : NULL, error);
}

void
bs_key_queue_start (BsBackingStore *store,
                 BsOperationKind       kind,
                 const BsKey    *key,
                 BsToken    *token,
                 BsTrackedPath  *tracked,
                 BsContent      *content,
                 BsWaiter       *waiter)
{
  guint64 hash = bs_key_hash (key);
  BsShard *shard = &store->shards[bs_shard_index (hash)];
  BsDeferred deferred = { NULL, };
  Asking asking;
  Asked asked;

  asking.store = store;
  asking.kind = kind;
  asking.key = key;
  asking.hash = hash;
  asking.token = token;
  asking.tracked = tracked;
  asking.content = content;
  asking.waiter = waiter;
  asking.inner = waiter->inner;
  asking.spare = key_operation_new (&asking);

  waiter->lock = &shard->mutex;
  bs_waiter_connect (waiter, bs_store_operation_leave, NULL);

  bs_key_queue_lock (shard);
  asked = ask (&asking, shard, &deferred);
  g_mutex_unlock (&shard->mutex);

  switch (asked)
    {
    case ASKED_START:
      bs_store_operation_start (&g_steal_pointer (&asking.spare)->operation, waiter);
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
  bs_deferred_run (&deferred);
  if (asking.spare != NULL)
    bs_store_operation_unref (&asking.spare->operation);
}

/* An operation that runs now, at the head of its queue, where others can join
 * it, or loose where there is no token. It is its thread's, and so are the
 * references that it uses. FALSE where its path is closed. Under the shard's
 * mutex. */
static gboolean
key_operation_stand_now (BsKeyOperation         *self,
                   BsBackingStore *store,
                   BsShard        *shard,
                   BsOperationKind       kind,
                   const BsKey    *key,
                   guint64         hash,
                   BsToken    *token,
                   BsTrackedPath  *tracked,
                   BsContent      *content)
{
  *self = (BsKeyOperation) {
    .operation = { .embedded = TRUE, .unattended = TRUE, .state = BS_OPERATION_RUNNING },
    .token = token,
    .content = content,
  };
  bs_key_operation_init (self, store, kind, key, hash, tracked, BS_PRIORITY_BLOCKING);

  return key_operation_stand (self, shard, FALSE);
}

/* Whether there is nothing to say against the short way. Under the shard's mutex. */
static gboolean
can_call_now (BsBackingStore *store, BsOperationKind kind, const BsKey *key, guint64 hash, BsToken *token, BsTrackedPath *tracked, gboolean inner)
{
  if (!inner && g_atomic_int_get (&store->state) != BS_STATE_OPEN)
    return FALSE;
  if (tracked != NULL && g_atomic_int_get (&tracked->refusing))
    return FALSE;
  if (kind == BS_KIND_DELETE_PERSISTED && bs_tracked_path_is_pinned (tracked, key, hash))
    return FALSE;

  return token == NULL || token->last_operation == NULL;
}

/* A short call is done, but others have joined it, or something follows it. */
static void
go_on (BsKeyOperation *self, BsWaiter *waiters, GBytes *bytes, const GError *error, BsDeferred *deferred)
{
  bs_deferred_push (deferred);
  bs_store_operation_answer (waiters, bs_key_operation_get_value (self, bytes), error);
  bs_deferred_run (deferred);
  bs_task_tracker_end (self->operation.store->tracker);
}

gboolean
bs_key_queue_call_now (BsBackingStore *store,
                    BsOperationKind       kind,
                    const BsKey    *key,
                    BsToken    *token,
                    BsTrackedPath  *tracked,
                    BsContent      *content,
                    gboolean        inner,
                    gpointer       *value,
                    GError        **error)
{
  guint64 hash = bs_key_hash (key);
  BsShard *shard = &store->shards[bs_shard_index (hash)];
  BsDeferred deferred = { NULL, };
  BsNeed need = BS_NEED_MISSING;
  GBytes *bytes = NULL;
  BsWaiter *waiters;
  gboolean loose;
  BsKeyOperation self;

  bs_key_queue_lock (shard);
  loose = shard->n_standing == 0 && bs_key_queue_needs_no_record (kind, content);
  if (loose)
    token = NULL;
  else if (token == NULL)
    token = bs_shard_lookup (shard, key, hash);
  if (can_call_now (store, kind, key, hash, token, tracked, inner))
    need = bs_key_queue_need (kind, token, tracked, key, hash);
  if (need != BS_NEED_MISSING && kind == BS_KIND_PERSIST && !inner)
    bs_tracked_path_claim_key (tracked, key, hash);

  if (need == BS_NEED_CALL)
    {
      if (!loose && token == NULL)
        token = bs_shard_insert (shard, key, hash);
      if (key_operation_stand_now (&self, store, shard, kind, key, hash, token, tracked, content))
        {
          bs_shard_set_n_calls (shard, shard->n_calls + 1);
        }
      else
        {
          if (token != NULL)
            bs_key_queue_settle (store, shard, token, hash, &deferred);
          need = BS_NEED_MISSING;
        }
    }
  else if (need == BS_NEED_NOTHING && kind == BS_KIND_REGISTER)
    {
      token->n_holders++;
      *value = token;
    }
  g_mutex_unlock (&shard->mutex);

  if (need == BS_NEED_CALL)
    {
      bs_task_tracker_note_call (store->tracker);
      waiters = bs_key_operation_carry_out (&self, TRUE, 1, &bytes, &deferred, error);
      if (waiters != NULL || !bs_deferred_is_empty (&deferred))
        go_on (&self, waiters, bytes, *error, &deferred);
      else
        bs_task_tracker_note_ended (store->tracker);
      *value = *error == NULL ? bs_key_operation_get_value (&self, bytes) : NULL;
    }
  else if (!bs_deferred_is_empty (&deferred))
    {
      bs_deferred_run (&deferred);
    }

  return need != BS_NEED_MISSING;
}

BsToken *
bs_backing_store_new_token (BsBackingStore *self)
{
  BsToken *token;
  guint64 hash;
  BsShard *shard;
  BsKey key;

  bs_key_init_random (&key);
  hash = bs_key_hash (&key);
  shard = &self->shards[bs_shard_index (hash)];

  g_mutex_lock (&shard->mutex);
  token = bs_shard_obtain (shard, &key, hash);
  token->n_holders++;
  g_mutex_unlock (&shard->mutex);

  return token;
}

void
bs_backing_store_drop_token (BsBackingStore *self, BsToken *token)
{
  guint64 hash = bs_key_hash (&token->key);
  BsShard *shard = &self->shards[bs_shard_index (hash)];
  BsDeferred deferred = { NULL, };

  bs_key_queue_lock (shard);
  token->n_holders--;
  bs_key_queue_settle (self, shard, token, hash, &deferred);
  g_mutex_unlock (&shard->mutex);

  bs_deferred_run (&deferred);
}

const BsKey *
bs_token_get_key (BsToken *token)
{
  return &token->key;
}
