/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "base/bs-buffer-private.h"

#include "bs-eviction-private.h"

#include "bs-trim-private.h"

/* The most that one round collects under the lock, to be executed after unlocking. */
#define MAX_EVICTIONS 32
#define MAX_WRITES 8

/* A smaller amount is not worth a search through the heap. */
#define MIN_GIVEN_BACK (1024 * 1024)

/* The write of an entry that is to leave, or will have to before long. A reference on the
 * payload, not on the entry, lets the store leave out the write once no item has the
 * entry. */
typedef struct
{
  BsCache *cache;        /* owned */
  BsPayload *payload;    /* a reference */
  BsReference reference; /* owned, until the write is started */
  BsKey key;
  BsWriteQueue *queue; /* NULL for a write-behind, whose entry stays resident */
  guint n_failures;    /* the queue's at the start */
} EvictionWrite;

/* Work collected under the lock, for after unlocking. */
typedef struct
{
  BsReference evicted[MAX_EVICTIONS];
  guint n_evicted;

  BsEntry *entries[MAX_WRITES]; /* references */
  EvictionWrite *writes[MAX_WRITES];
  guint n_writes;
  int priority;

  GPtrArray *reached; /* of BsWaiter, references: trims that are down to their target; nullable */
  GError *trim_error; /* owned; the error of all trims that are left; nullable */
  gboolean again;
} Round;

/* The caches that this thread is balancing. A dropped content and a started write call
 * out, and the called function may change the same cache: its work is left to the scope
 * that is there, so that scopes do not nest without bound. */
typedef struct _BalanceScope BalanceScope;

struct _BalanceScope
{
  BsCache *cache;
  gboolean again;
  BalanceScope *outer;
};

static GPrivate current_scope;

static EvictionWrite *
eviction_write_new_locked (BsCache *cache, BsEntry *entry, BsWriteQueue *queue)
{
  EvictionWrite *self = g_new (EvictionWrite, 1);

  self->cache = bs_cache_ref (cache);
  /* The entry's reference keeps the payload alive. */
  bs_payload_try_ref (entry->payload);
  self->payload = entry->payload;
  self->reference = bs_reference_dup (bs_entry_get_reference (entry));
  self->key = entry->key;
  self->queue = queue;
  self->n_failures = queue != NULL ? queue->n_failures : 0;

  return self;
}

static void
eviction_write_free (gpointer data)
{
  EvictionWrite *self = data;

  if (self->payload != NULL)
    bs_payload_unref (self->payload);
  bs_cache_unref (self->cache);
  g_free (self);
}

static void
readmit_locked (BsCache *self, BsEntry *entry)
{
  if (entry->was_used)
    bs_cache_enter_locked (self, entry);
  else
    bs_cache_restore_locked (self, entry);
}

static gboolean
is_over_locked (BsCache *self, guint64 target, const BsAmount *leaving)
{
  return self->figures.memory_use - leaving->bytes > target ||
         self->figures.n_resident - leaving->n > self->max_items;
}

/* Another thread may have brought the trim to its target while this one still held what was
 * evicted: the last one gives the memory back. */
static void
end_drops (BsCache *self, guint n)
{
  if (g_atomic_int_add (&self->n_dropping, -(int) n) == (int) n &&
      g_atomic_int_compare_and_exchange (&self->gives_back, TRUE, FALSE))
    bs_buffer_give_back ();
}

/* Ends the successful write of an entry that is still needed. Returns the reference to
 * drop after unlocking. */
static BsReference
eviction_write_succeed_locked (EvictionWrite *self, BsEntry *entry)
{
  BsCache *cache = self->cache;

  bs_cache_mark_clean_locked (cache, entry);
  bs_amount_subtract (&cache->writing, entry);

  /* An entry that was used, or for which there is room by now, stays. */
  if (entry->was_used ||
      !is_over_locked (cache, bs_cache_get_target_locked (cache), &cache->writing))
    {
      readmit_locked (cache, entry);
      return 0;
    }

  return bs_cache_evict_locked (cache, entry);
}

/* Notes why the write has failed. Returns TRUE for the entry's first failure, which is to be
 * reported. A store that is closed, and may open again, refuses writes: its contents stay in
 * memory then, as promised. */
static gboolean
note_trouble_locked (EvictionWrite *self, BsEntry *entry, const GError *error)
{
  BsCache *cache = self->cache;
  gboolean report = !entry->is_reported && !g_error_matches (error, BS_ERROR, BS_ERROR_CLOSED);

  entry->is_reported |= report;
  entry->trouble =
    g_atomic_int_get (&self->payload->is_unencodable) ? BS_TROUBLE_CODEC : BS_TROUBLE_BACKING;
  if (entry->trouble == BS_TROUBLE_CODEC)
    {
      g_clear_error (&cache->codec_error);
      cache->codec_error = g_error_copy (error);
    }

  return report;
}

/* Ends the failed write of an entry. Returns TRUE if the failure is to be reported. */
static gboolean
eviction_write_fail_locked (EvictionWrite *self, BsEntry *entry, const GError *error)
{
  BsCache *cache = self->cache;
  BsWriteQueue *queue;
  gboolean is_news, report;

  bs_amount_subtract (&cache->writing, entry);
  if (entry->is_clean)
    {
      /* Another write of the entry has succeeded. */
      readmit_locked (cache, entry);
      return FALSE;
    }

  report = note_trouble_locked (self, entry, error);
  queue = &cache->write_queues[entry->trouble];
  bs_write_queue_append (queue, entry);

  /* A codec failure must not pause writes of other entries. */
  is_news = self->n_failures == self->queue->n_failures;
  if (is_news && entry->trouble == BS_TROUBLE_BACKING)
    bs_write_queue_pause (self->queue);
  if (queue->pause == 0 || (is_news && entry->trouble == BS_TROUBLE_CODEC && queue == self->queue))
    bs_write_queue_pause (queue);

  return report;
}

/* Ends a write-behind. Returns TRUE if a failure is to be reported. */
static gboolean
write_behind_end_locked (EvictionWrite *self, BsEntry *entry, const GError *error)
{
  if (error == NULL)
    {
      bs_cache_mark_clean_locked (self->cache, entry);
      return FALSE;
    }

  /* An entry that has to leave by now is written again, and its next failure reported. */
  if (entry->place != BS_PLACE_RESIDENT || entry->is_clean)
    return FALSE;

  self->cache->is_behind_paused = TRUE;
  return note_trouble_locked (self, entry, error);
}

/* Work left when a write has ended, for after unlocking. */
typedef struct
{
  BsReference evicted; /* to be dropped, or 0 */
  gboolean report;
  gboolean fail_trims;
} WriteEnd;

static WriteEnd
eviction_write_end_locked (EvictionWrite *self, const GError *error)
{
  /* Without an entry, the store may have left out the write. */
  BsEntry *entry = self->payload->entry;
  WriteEnd end = { 0 };

  if (self->queue == NULL)
    {
      self->cache->n_behind--;
      end.report = entry != NULL && write_behind_end_locked (self, entry, error);
      return end;
    }

  self->queue->n_writing--;
  if (entry == NULL)
    return end;

  if (error == NULL)
    {
      end.evicted = eviction_write_succeed_locked (self, entry);
      self->queue->pause = 0;
    }
  else
    {
      end.report = eviction_write_fail_locked (self, entry, error);
      end.fail_trims = entry->trouble != BS_TROUBLE_CODEC;
    }

  return end;
}

/* Called on the thread that finishes the write. */
static gpointer
eviction_write_deliver (gpointer data, gpointer value, GError **error)
{
  EvictionWrite *self = data;
  BsCache *cache = self->cache;
  g_autoptr (GObject) owner = NULL;
  WriteEnd end;

  g_mutex_lock (&cache->lock);
  end = eviction_write_end_locked (self, *error);
  g_mutex_unlock (&cache->lock);

  if (end.evicted != 0)
    {
      bs_reference_drop (end.evicted);
      end_drops (cache, 1);
    }
  bs_payload_unref (g_steal_pointer (&self->payload));

  owner = bs_cache_dup_owner (cache);
  if (owner == NULL)
    return NULL;

  if (end.report)
    bs_store_report (cache->store, &self->key, BS_OPERATION_WRITE, g_error_copy (*error));
  bs_cache_settle (cache);
  if (end.fail_trims)
    bs_cache_fail_trims (cache, *error);

  return NULL;
}

static void
choose_victims_locked (BsCache *self, guint64 target, Round *round)
{
  while (TRUE)
    {
      BsAmount leaving = self->writing;
      BsResidencyNode *node;
      BsEntry *entry;

      /* Entries that can be written now count as gone, so that no other entry is
       * chosen in their place. */
      for (guint i = 0; i < BS_N_TROUBLES; i++)
        if (self->write_queues[i].pause == 0)
          {
            leaving.bytes += self->write_queues[i].amount.bytes;
            leaving.n += self->write_queues[i].amount.n;
          }
      if (!is_over_locked (self, target, &leaving))
        return;

      node = bs_residency_get_victim (&self->residency);
      if (node == NULL)
        return;
      if (round->n_evicted == MAX_EVICTIONS)
        {
          round->again = TRUE;
          return;
        }

      bs_residency_leave (&self->residency, node);
      entry = bs_entry_from_node (node);
      if (entry->is_clean)
        round->evicted[round->n_evicted++] = bs_cache_evict_locked (self, entry);
      else
        bs_write_queue_append (&self->write_queues[entry->trouble], entry);
    }
}

static guint
count_writing (const BsCache *self)
{
  guint n_writing = self->n_behind;

  for (guint i = 0; i < BS_N_TROUBLES; i++)
    n_writing += self->write_queues[i].n_writing;

  return n_writing;
}

static void
choose_writes_locked (BsCache *self,
                      BsWriteQueue *queue,
                      guint64 target,
                      guint max_writes,
                      gint64 now,
                      Round *round)
{
  while (is_over_locked (self, target, &self->writing) && count_writing (self) < max_writes &&
         !bs_link_is_empty (&queue->entries) && bs_write_queue_may_write (queue, now))
    {
      BsEntry *entry;

      if (round->n_writes == MAX_WRITES || round->n_evicted == MAX_EVICTIONS)
        {
          round->again = TRUE;
          return;
        }

      entry = bs_entry_from_link (queue->entries.next);
      bs_write_queue_remove (queue, entry);
      if (!bs_entry_try_ref (entry))
        {
          /* The last reference is just being dropped. */
          round->evicted[round->n_evicted++] = bs_cache_evict_locked (self, entry);
          continue;
        }

      bs_entry_set_place (entry, BS_PLACE_WRITING);
      entry->was_used = FALSE;
      bs_amount_add (&self->writing, entry);
      queue->n_writing++;
      round->entries[round->n_writes] = entry;
      round->writes[round->n_writes++] = eviction_write_new_locked (self, entry, queue);
    }
}

/* Whether entries may be written before they have to leave. After a failure only entries
 * that have to leave are tried. */
static gboolean
may_write_behind_locked (BsCache *self, guint max_writes)
{
  return !self->is_behind_paused && self->write_queues[BS_TROUBLE_NONE].pause == 0 &&
         self->write_queues[BS_TROUBLE_BACKING].pause == 0 && count_writing (self) < max_writes &&
         bs_residency_is_ageing (&self->residency);
}

static void
choose_write_behinds_locked (BsCache *self, guint max_writes, Round *round)
{
  while (may_write_behind_locked (self, max_writes))
    {
      BsEntry *entry;

      if (round->n_writes == MAX_WRITES)
        {
          round->again = TRUE;
          return;
        }

      entry = bs_entry_from_node (bs_residency_next_ageing (&self->residency));
      if (entry->is_clean || entry->trouble != BS_TROUBLE_NONE || !bs_entry_try_ref (entry))
        continue;

      self->n_behind++;
      round->entries[round->n_writes] = entry;
      round->writes[round->n_writes++] = eviction_write_new_locked (self, entry, NULL);
    }
}

static void
schedule_retry_locked (BsCache *self, gint64 now)
{
  gint64 at = G_MAXINT64;

  for (guint i = 0; i < BS_N_TROUBLES; i++)
    if (bs_write_queue_is_paused (&self->write_queues[i], now))
      at = MIN (at, self->write_queues[i].retry_at);

  if (at != G_MAXINT64 && self->retry != NULL)
    g_source_set_ready_time (self->retry, at);
}

/* Takes the entry and the write over. */
static void
start_write (BsCache *self, BsEntry *entry, EvictionWrite *write, Round *round)
{
  /* Taken from the write, which is freed as soon as it has ended. */
  g_autoptr (BsContent) content =
    bs_content_new_for_reference (write->payload, write->reference, self->codec, &write->key);
  BsDelivery delivery = { .func = eviction_write_deliver,
                          .data = write,
                          .data_free = eviction_write_free };
  BsRequest request = { .kind = BS_KIND_WRITE, .token = entry->token, .content = content };
  BsToken *token;

  bs_ask_in_background (self->store, &request, &delivery,
                        write->queue != NULL ? round->priority : G_PRIORITY_LOW, NULL);

  token = bs_cache_release_entry (self, entry);
  if (token != NULL)
    {
      bs_token_drop (self->store, token);
      round->again = TRUE;
    }
}

static void
execute_round (BsCache *self, Round *round)
{
  for (guint i = 0; i < round->n_evicted; i++)
    bs_reference_drop (round->evicted[i]);

  for (guint i = 0; i < round->n_writes; i++)
    start_write (self, round->entries[i], round->writes[i], round);

  end_drops (self, round->n_evicted);

  /* The answers of the trims come last, when the memory is free. */
  if (round->reached != NULL)
    {
      for (guint i = 0; i < round->reached->len; i++)
        bs_waiter_answer (round->reached->pdata[i], NULL, NULL);
      g_ptr_array_unref (round->reached);
      round->again = TRUE;
    }
  if (round->trim_error != NULL)
    {
      bs_cache_fail_trims (self, round->trim_error);
      g_error_free (round->trim_error);
      round->again = TRUE;
    }
}

/* Whether no entries are left but those that the codec has failed to encode. */
static gboolean
is_stuck_locked (const BsCache *self, gint64 now)
{
  return bs_residency_get_n_nodes (&self->residency) == 0 &&
         bs_link_is_empty (&self->write_queues[BS_TROUBLE_NONE].entries) &&
         bs_link_is_empty (&self->write_queues[BS_TROUBLE_BACKING].entries) &&
         bs_write_queue_is_paused (&self->write_queues[BS_TROUBLE_CODEC], now) &&
         count_writing (self) == 0;
}

static gboolean
is_balanced_locked (BsCache *self, guint max_writes)
{
  const BsAmount nothing = { 0 };

  return !is_over_locked (self, self->max_bytes, &nothing) && bs_link_is_empty (&self->trims) &&
         !may_write_behind_locked (self, max_writes);
}

/* Returns TRUE if another round is needed. */
static gboolean
balance_once (BsCache *self, guint max_writes)
{
  Round round = { .priority = G_PRIORITY_DEFAULT };
  gint64 now = g_get_monotonic_time ();
  gboolean is_shrunk = FALSE;
  guint64 target;

  g_mutex_lock (&self->lock);
  target = bs_cache_get_target_locked (self);
  choose_victims_locked (self, target, &round);
  for (guint i = 0; i < BS_N_TROUBLES; i++)
    choose_writes_locked (self, &self->write_queues[i], target, max_writes, now, &round);
  choose_write_behinds_locked (self, max_writes, &round);
  round.reached = bs_cache_take_reached_trims_locked (self, &is_shrunk);
  if (is_shrunk && self->n_given_up >= MIN_GIVEN_BACK)
    {
      self->n_given_up = 0;
      g_atomic_int_set (&self->gives_back, TRUE);
    }
  if (!bs_link_is_empty (&self->trims))
    {
      round.priority = bs_cache_get_trim_priority_locked (self);
      if (is_stuck_locked (self, now))
        round.trim_error = g_error_copy (self->codec_error);
    }
  if (is_over_locked (self, target, &self->writing))
    schedule_retry_locked (self, now);
  g_mutex_unlock (&self->lock);

  execute_round (self, &round);
  return round.again;
}

static BalanceScope *
find_scope (BsCache *self)
{
  BalanceScope *scope = g_private_get (&current_scope);

  while (scope != NULL && scope->cache != self)
    scope = scope->outer;

  return scope;
}

gboolean
bs_cache_is_settling (BsCache *self)
{
  return find_scope (self) != NULL;
}

static void
balance (BsCache *self, guint max_writes)
{
  BalanceScope scope = { .cache = self, .outer = g_private_get (&current_scope) };

  g_private_set (&current_scope, &scope);
  do
    {
      scope.again = FALSE;
      if (balance_once (self, max_writes))
        scope.again = TRUE;
    }
  while (scope.again);
  g_private_set (&current_scope, scope.outer);
}

/* Takes the changes if nothing is to be done. */
static gboolean
check_balance_locked (BsCache *self, guint max_writes, BsCacheChanges *changes)
{
  gboolean is_balanced = is_balanced_locked (self, max_writes);

  *changes = is_balanced ? bs_cache_take_changes_locked (self) : 0;
  return is_balanced;
}

static void
settle_checked (BsCache *self, guint max_writes, gboolean is_balanced, BsCacheChanges changes)
{
  if (!is_balanced)
    {
      BalanceScope *outer = find_scope (self);

      if (outer != NULL)
        {
          outer->again = TRUE;
          return;
        }

      balance (self, max_writes);
      g_mutex_lock (&self->lock);
      changes = bs_cache_take_changes_locked (self);
      g_mutex_unlock (&self->lock);
    }

  bs_cache_tell_changes (self, changes);
}

void
bs_cache_settle (BsCache *self)
{
  guint max_writes = bs_backing_store_get_max_threads (self->store);
  BsCacheChanges changes;
  gboolean is_balanced;

  g_mutex_lock (&self->lock);
  is_balanced = check_balance_locked (self, max_writes, &changes);
  g_mutex_unlock (&self->lock);

  settle_checked (self, max_writes, is_balanced, changes);
}

void
bs_cache_write_ahead (BsCache *self, BsEntry *entry)
{
  Round round = { 0 };

  g_mutex_lock (&self->lock);
  if (entry->place == BS_PLACE_RESIDENT && !entry->is_clean)
    {
      self->n_behind++;
      round.entries[0] = bs_entry_ref (entry);
      round.writes[0] = eviction_write_new_locked (self, entry, NULL);
      round.n_writes = 1;
    }
  g_mutex_unlock (&self->lock);

  execute_round (self, &round);
}

void
bs_cache_drop_entry (BsCache *self, BsEntry *entry)
{
  BsToken *token = bs_cache_release_entry (self, entry);

  if (token != NULL)
    {
      bs_token_drop (self->store, token);
      bs_cache_settle (self);
    }
}

/* Locks once: a garbage collector drops many. */
void
bs_cache_drop_item (BsCache *self, BsEntry *entry)
{
  guint max_writes = bs_backing_store_get_max_threads (self->store);
  BsReleased released = { NULL };
  BsCacheChanges changes;
  gboolean is_balanced;
  BsToken *token;

  __builtin_prefetch (entry->token, 1);
  g_mutex_lock (&self->lock);
  bs_cache_release_item_locked (self, entry, &released);
  is_balanced = check_balance_locked (self, max_writes, &changes);
  g_mutex_unlock (&self->lock);

  token = bs_released_clear (&released);
  if (token != NULL)
    bs_token_drop (self->store, token);
  settle_checked (self, max_writes, is_balanced, changes);
}

typedef struct
{
  GSource source;
  BsCache *cache; /* owned */
} RetrySource;

static gboolean
retry_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  BsCache *cache = ((RetrySource *) source)->cache;
  g_autoptr (GObject) owner = bs_cache_dup_owner (cache);

  g_source_set_ready_time (source, -1);
  if (owner != NULL)
    bs_cache_settle (cache);

  return G_SOURCE_CONTINUE;
}

static void
retry_finalize (GSource *source)
{
  bs_cache_unref (((RetrySource *) source)->cache);
}

static GSourceFuncs retry_funcs = {
  .dispatch = retry_dispatch,
  .finalize = retry_finalize,
};

void
bs_cache_attach_retry (BsCache *self)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  self->retry = g_source_new (&retry_funcs, sizeof (RetrySource));
  ((RetrySource *) self->retry)->cache = bs_cache_ref (self);
  g_source_set_static_name (self->retry, "backingstore pool retry");
  g_source_attach (self->retry, context);
}

void
bs_cache_destroy_retry (BsCache *self)
{
  GSource *retry;

  g_mutex_lock (&self->lock);
  retry = g_steal_pointer (&self->retry);
  g_mutex_unlock (&self->lock);

  g_source_destroy (retry);
  g_source_unref (retry);
}
