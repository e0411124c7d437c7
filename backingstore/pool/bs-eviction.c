/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-eviction-private.h"
#include "bs-pool-private.h"
#include "bs-trim-private.h"

#define FIRST_PAUSE (100 * G_TIME_SPAN_MILLISECOND)
#define LONGEST_PAUSE (30 * G_TIME_SPAN_SECOND)

/* How much one round collects under the lock, to be done after unlocking. */
#define MAX_EVICTIONS 32
#define MAX_WRITES 8

/* The write of an entry that is to leave, or will have to before long. It holds
 * the payload and not the entry: if nobody wants the entry any more, the store need
 * not write it. */
typedef struct
{
  BsCache *cache;       /* owned */
  BsPayload *payload;     /* owned */
  BsReference reference;          /* a reference, until the write is started */
  BsKey key;
  BsOutbox *outbox;     /* NULL: written behind, it stays where it is meanwhile */
  guint epoch;          /* of the outbox */
} Departure;

typedef struct
{
  BsReference evicted[MAX_EVICTIONS];
  guint n_evicted;

  BsEntry *entries[MAX_WRITES];            /* references */
  Departure *departures[MAX_WRITES];
  guint n_writes;
  int priority;

  GPtrArray *callers;                   /* references; NULL while there are none */
  GError *hopeless;                     /* owned; why no trim that is left can succeed */
  gboolean again;
} Round;

/* The balances that run on this thread: dropping bytes and starting writes call
 * out, and what is called may come back here. An inner one leaves the work to
 * the outer one of the same cache, so that nothing nests without bound. */
typedef struct _Frame Frame;

struct _Frame
{
  BsCache *cache;
  gboolean again;
  Frame *outer;
};

static GPrivate current_frame;

static Departure *
departure_new_locked (BsCache *cache, BsEntry *entry, BsOutbox *outbox)
{
  Departure *self = g_new (Departure, 1);

  self->cache = bs_cache_ref (cache);
  /* Cannot fail: the cache has a hold on it. */
  bs_payload_try_ref (entry->payload);
  self->payload = entry->payload;
  self->reference = bs_reference_ref (bs_word_peek (&entry->reference));
  self->key = entry->key;
  self->outbox = outbox;
  self->epoch = outbox != NULL ? outbox->epoch : 0;

  return self;
}

static void
departure_free (gpointer data)
{
  Departure *self = data;

  if (self->payload != NULL)
    bs_payload_unref (self->payload);
  bs_cache_unref (self->cache);
  g_free (self);
}

static guint64
get_target_locked (BsCache *self)
{
  guint64 target = self->max_bytes;

  for (BsLink *link = self->trims.next; link != &self->trims; link = link->next)
    target = MIN (target, ((BsTrim *) link)->target);

  return target;
}

static void
pause_outbox (BsOutbox *outbox)
{
  outbox->epoch++;
  outbox->pause = CLAMP (outbox->pause * 2, FIRST_PAUSE, LONGEST_PAUSE);
  outbox->retry_at = g_get_monotonic_time () + outbox->pause;
}

static void
put_back_locked (BsCache *self, BsEntry *entry)
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

/* The write ended while its entry was still wanted. */
static BsReference
departure_arrive_locked (Departure *self, BsEntry *entry)
{
  BsCache *cache = self->cache;

  bs_amount_subtract (&cache->writing, entry);
  bs_cache_mark_clean_locked (cache, entry);

  /* Room in the meantime, or used again: then somebody else may have to go. */
  if (entry->was_used || !is_over_locked (cache, get_target_locked (cache), &cache->writing))
    {
      put_back_locked (cache, entry);
      return 0;
    }

  return bs_cache_evict_locked (cache, entry);
}

/* Why the write failed, noted where nobody else's write is to find out. TRUE if
 * that is to be reported. */
static gboolean
note_trouble_locked (Departure *self, BsEntry *entry, const GError *error)
{
  BsCache *cache = self->cache;
  gboolean is_first = entry->trouble == BS_TROUBLE_NONE;

  entry->trouble = g_atomic_int_get (&self->payload->is_unencodable) ? BS_TROUBLE_CODEC : BS_TROUBLE_BACKING;
  if (entry->trouble == BS_TROUBLE_CODEC)
    {
      g_clear_error (&cache->codec_error);
      cache->codec_error = g_error_copy (error);
    }

  return is_first;
}

/* TRUE if that is to be reported. */
static gboolean
departure_fail_locked (Departure *self, BsEntry *entry, const GError *error)
{
  BsCache *cache = self->cache;
  BsOutbox *outbox;
  gboolean report;

  bs_amount_subtract (&cache->writing, entry);
  if (entry->is_clean)
    {
      /* Somebody else's write came through. */
      put_back_locked (cache, entry);
      return FALSE;
    }

  report = note_trouble_locked (self, entry, error);
  outbox = &cache->outboxes[entry->trouble];
  bs_cache_outbox_append_locked (cache, entry);

  /* What a codec cannot do says nothing of other entries. */
  if (entry->trouble == BS_TROUBLE_BACKING && self->epoch == self->outbox->epoch)
    pause_outbox (self->outbox);
  if (outbox->pause == 0 || (entry->trouble == BS_TROUBLE_CODEC && self->outbox == outbox && self->epoch == outbox->epoch))
    pause_outbox (outbox);

  return report;
}

/* A write-behind has ended. TRUE if that is to be reported. */
static gboolean
write_behind_end_locked (Departure *self, BsEntry *entry, const GError *error)
{
  if (error == NULL)
    {
      bs_cache_mark_clean_locked (self->cache, entry);
      return FALSE;
    }

  /* Where it has to leave by now, the write that this takes tells. */
  if (entry->place != BS_PLACE_RESIDENT || entry->is_clean)
    return FALSE;

  self->cache->is_behind_paused = TRUE;
  return note_trouble_locked (self, entry, error);
}

static void
fail_trims (BsCache *self, const GError *error)
{
  g_autoptr (GPtrArray) callers = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_caller_unref);

  g_mutex_lock (&self->lock);
  while (!bs_link_is_empty (&self->trims))
    {
      BsTrim *trim = (BsTrim *) self->trims.next;

      bs_link_remove (&trim->link);
      g_ptr_array_add (callers, g_steal_pointer (&trim->caller));
    }
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < callers->len; i++)
    bs_caller_answer (callers->pdata[i], NULL, g_error_copy (error));
}

/* Called on the thread that finishes the write. */
static gpointer
departure_deliver (gpointer data, gpointer value, GError **error)
{
  Departure *self = data;
  BsCache *cache = self->cache;
  BsReference evicted = 0;
  gboolean report = FALSE, fails_trims = FALSE;
  BsEntry *entry;
  BsPool *pool;

  g_mutex_lock (&cache->lock);
  /* Where nobody wants the entry any more, nothing may have been written at all. */
  entry = self->payload->entry;
  if (self->outbox == NULL)
    {
      cache->n_behind--;
      report = entry != NULL && write_behind_end_locked (self, entry, *error);
    }
  else
    {
      self->outbox->n_writing--;
      if (*error == NULL && entry != NULL)
        {
          evicted = departure_arrive_locked (self, entry);
          self->outbox->pause = 0;
        }
      else if (*error != NULL && entry != NULL)
        {
          report = departure_fail_locked (self, entry, *error);
          fails_trims = entry->trouble != BS_TROUBLE_CODEC;
        }
    }
  g_mutex_unlock (&cache->lock);

  if (evicted != 0)
    bs_reference_drop (evicted);
  bs_payload_unref (g_steal_pointer (&self->payload));

  pool = g_weak_ref_get (&cache->pool);
  if (pool != NULL)
    {
      if (report)
        bs_backing_store_report (bs_pool_get_store (pool), &self->key, BS_OPERATION_WRITE, g_error_copy (*error));
      bs_pool_settle (pool);
      if (fails_trims)
        fail_trims (cache, *error);
      g_object_unref (pool);
    }

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

      /* Those that can be written count as gone, so that nobody else is chosen
       * in their place; those that cannot be for now do not. */
      for (guint i = 0; i < BS_N_OUTBOXES; i++)
        if (self->outboxes[i].pause == 0)
          {
            leaving.bytes += self->outboxes[i].amount.bytes;
            leaving.n += self->outboxes[i].amount.n;
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
        bs_cache_outbox_append_locked (self, entry);
    }
}

static gboolean
may_write (const BsOutbox *outbox, gint64 now)
{
  return outbox->pause == 0 || (outbox->n_writing == 0 && outbox->retry_at <= now);
}

static guint
count_writing (const BsCache *self)
{
  guint n_writing = self->n_behind;

  for (guint i = 0; i < BS_N_OUTBOXES; i++)
    n_writing += self->outboxes[i].n_writing;

  return n_writing;
}

static void
choose_writes_locked (BsCache *self, BsOutbox *outbox, guint64 target, guint max_writes, gint64 now, Round *round)
{
  while (is_over_locked (self, target, &self->writing) &&
         count_writing (self) < max_writes &&
         !bs_link_is_empty (&outbox->entries) &&
         may_write (outbox, now))
    {
      BsEntry *entry;

      if (round->n_writes == MAX_WRITES || round->n_evicted == MAX_EVICTIONS)
        {
          round->again = TRUE;
          return;
        }

      entry = bs_entry_from_link (outbox->entries.next);
      bs_cache_outbox_remove_locked (self, entry);
      if (!bs_entry_try_ref (entry))
        {
          /* Its last user is just letting go of it. */
          round->evicted[round->n_evicted++] = bs_cache_evict_locked (self, entry);
          continue;
        }

      __atomic_store_n (&entry->place, BS_PLACE_WRITING, __ATOMIC_RELAXED);
      entry->was_used = FALSE;
      bs_amount_add (&self->writing, entry);
      outbox->n_writing++;
      round->entries[round->n_writes] = entry;
      round->departures[round->n_writes++] = departure_new_locked (self, entry, outbox);
    }
}

/* Whether there is something to write before it has to leave. Not while writing
 * does not work: then only what has to leave is tried. */
static gboolean
may_write_behind_locked (BsCache *self, guint max_writes)
{
  return !self->is_behind_paused &&
         self->outboxes[BS_TROUBLE_NONE].pause == 0 && self->outboxes[BS_TROUBLE_BACKING].pause == 0 &&
         count_writing (self) < max_writes &&
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
      round->departures[round->n_writes++] = departure_new_locked (self, entry, NULL);
    }
}

static void
choose_answers_locked (BsCache *self, Round *round)
{
  BsLink *link = self->trims.next;

  while (link != &self->trims)
    {
      BsTrim *trim = (BsTrim *) link;

      link = link->next;
      if (self->figures.memory_use > trim->target)
        {
          round->priority = MIN (round->priority, trim->priority);
          continue;
        }

      bs_link_remove (&trim->link);
      if (round->callers == NULL)
        round->callers = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_caller_unref);
      g_ptr_array_add (round->callers, g_steal_pointer (&trim->caller));
    }
}

/* What is due already waits for a write under way, whose end comes back here. */
static gboolean
is_paused (const BsOutbox *outbox, gint64 now)
{
  return outbox->pause != 0 && outbox->retry_at > now && !bs_link_is_empty (&outbox->entries);
}

static void
schedule_retry_locked (BsCache *self, gint64 now)
{
  gint64 at = G_MAXINT64;

  for (guint i = 0; i < BS_N_OUTBOXES; i++)
    if (is_paused (&self->outboxes[i], now))
      at = MIN (at, self->outboxes[i].retry_at);

  if (at != G_MAXINT64 && self->retry != NULL)
    g_source_set_ready_time (self->retry, at);
}

static void
carry_out (BsCache *self, BsBackingStore *store, Round *round)
{
  for (guint i = 0; i < round->n_evicted; i++)
    bs_reference_drop (round->evicted[i]);

  for (guint i = 0; i < round->n_writes; i++)
    {
      Departure *departure = round->departures[i];
      /* The departure is gone as soon as the write has ended. */
      g_autoptr (BsContent) content =
        bs_content_new_for_reference (departure->payload, departure->reference, self->codec, &departure->key);
      BsEntry *entry = round->entries[i];
      BsCaller *caller;
      BsKeyRecord *token;

      caller = bs_caller_new_background (store, departure->outbox != NULL ? round->priority : G_PRIORITY_LOW,
                                         departure_deliver, departure, departure_free);
      bs_backing_store_start_write (store, entry->record, content, caller);
      bs_caller_unref (caller);

      token = bs_cache_release_entry (self, entry);
      if (token != NULL)
        {
          bs_backing_store_drop_token (store, token);
          round->again = TRUE;
        }
    }

  /* Last, so that the memory is really free when they are answered. */
  if (round->callers != NULL)
    {
      for (guint i = 0; i < round->callers->len; i++)
        bs_caller_answer (round->callers->pdata[i], NULL, NULL);
      g_ptr_array_unref (round->callers);
    }
  if (round->hopeless != NULL)
    fail_trims (self, round->hopeless);
  g_clear_error (&round->hopeless);
}

/* Only such entries are left as their codec cannot encode, and each was tried. */
static gboolean
is_hopeless_locked (const BsCache *self, gint64 now)
{
  const BsResidency *residency = &self->residency;

  return residency->small.n_nodes + residency->main.n_nodes + residency->misfits.n_nodes == 0 &&
         bs_link_is_empty (&self->outboxes[BS_TROUBLE_NONE].entries) &&
         bs_link_is_empty (&self->outboxes[BS_TROUBLE_BACKING].entries) &&
         is_paused (&self->outboxes[BS_TROUBLE_CODEC], now) &&
         count_writing (self) == 0;
}

static gboolean
is_balanced_locked (BsCache *self, guint max_writes)
{
  const BsAmount nothing = { 0, };

  return !is_over_locked (self, self->max_bytes, &nothing) && bs_link_is_empty (&self->trims) &&
         !may_write_behind_locked (self, max_writes);
}

static void
balance_once (BsCache *self, BsBackingStore *store, guint max_writes, Frame *frame)
{
  Round round = { .priority = G_PRIORITY_DEFAULT };
  gint64 now = g_get_monotonic_time ();
  gboolean was_hopeless;
  guint64 target;

  g_mutex_lock (&self->lock);
  target = get_target_locked (self);
  choose_victims_locked (self, target, &round);
  for (guint i = 0; i < BS_N_OUTBOXES; i++)
    choose_writes_locked (self, &self->outboxes[i], target, max_writes, now, &round);
  choose_write_behinds_locked (self, max_writes, &round);
  choose_answers_locked (self, &round);
  if (!bs_link_is_empty (&self->trims) && is_hopeless_locked (self, now))
    round.hopeless = g_error_copy (self->codec_error);
  if (is_over_locked (self, target, &self->writing))
    schedule_retry_locked (self, now);
  g_mutex_unlock (&self->lock);

  was_hopeless = round.hopeless != NULL;
  carry_out (self, store, &round);
  if (round.again || round.callers != NULL || was_hopeless)
    frame->again = TRUE;
}

static Frame *
find_frame (BsCache *self)
{
  Frame *frame = g_private_get (&current_frame);

  while (frame != NULL && frame->cache != self)
    frame = frame->outer;

  return frame;
}

gboolean
bs_cache_is_balancing (BsCache *self)
{
  return find_frame (self) != NULL;
}

BsCacheChanges
bs_cache_balance (BsCache *self, BsBackingStore *store)
{
  Frame frame = { .cache = self };
  guint max_writes = bs_backing_store_get_max_threads (store);
  BsCacheChanges changes = 0;
  gboolean balanced;
  Frame *outer;

  g_mutex_lock (&self->lock);
  balanced = is_balanced_locked (self, max_writes);
  if (balanced)
    changes = bs_cache_take_changes_locked (self);
  g_mutex_unlock (&self->lock);
  if (balanced)
    return changes;

  outer = find_frame (self);
  if (outer != NULL)
    {
      outer->again = TRUE;
      return 0;
    }

  frame.outer = g_private_get (&current_frame);
  g_private_set (&current_frame, &frame);
  do
    {
      frame.again = FALSE;
      balance_once (self, store, max_writes, &frame);
    }
  while (frame.again);
  g_private_set (&current_frame, frame.outer);

  g_mutex_lock (&self->lock);
  changes = bs_cache_take_changes_locked (self);
  g_mutex_unlock (&self->lock);

  return changes;
}

typedef struct
{
  GSource source;
  BsCache *cache;       /* owned */
} RetrySource;

static gboolean
retry_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  g_source_set_ready_time (source, -1);
  bs_pool_settle_weak (((RetrySource *) source)->cache);

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
