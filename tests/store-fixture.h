/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "gate-backing.h"
#include "waiting.h"

#include <string.h>

#include "store/bs-backing-store-private.h"
#include "store/operations/bs-store-private.h"

/* A store and a pool on a backing with gates. Nothing here sleeps: what other
 * threads bring about is waited for at gates, in main loops, or by looking. */

typedef struct
{
  GateBacking *gates;
  BsBackingStore *store;
  BsPool *pool;
  GFile *file;
  BsTrackedPath *tracked;
  guint n_threads;
} Fixture;

/* The settings of one run of a test. */
typedef struct
{
  guint max_threads;
  gboolean single;          /* a backing without bulk calls */
  gboolean direct;          /* a backing that persists bytes in one step */
  gboolean batch;           /* and many keys in one call */
} Variant;

static const Variant one_thread = { 1, FALSE };
static const Variant two_threads = { 2, FALSE };
static const Variant one_thread_single = { 1, TRUE };
static const Variant two_threads_single = { 2, TRUE };
static const Variant one_thread_direct = { 1, FALSE, TRUE };
static const Variant two_threads_direct = { 2, FALSE, TRUE };
static const Variant one_thread_batch = { 1, FALSE, TRUE, TRUE };
static const Variant two_threads_batch = { 2, FALSE, TRUE, TRUE };

#define test_add(path, function)                                                                    \
  G_STMT_START                                                                                      \
  {                                                                                                 \
    g_test_add (path "/one-thread", Fixture, &one_thread, fixture_set_up, function, fixture_tear_down);  \
    g_test_add (path "/two-threads", Fixture, &two_threads, fixture_set_up, function, fixture_tear_down); \
  }                                                                                                 \
  G_STMT_END

#define test_add_bulk(path, function)                                                               \
  G_STMT_START                                                                                      \
  {                                                                                                 \
    test_add (path "/bulk", function);                                                              \
    g_test_add (path "/single/one-thread", Fixture, &one_thread_single, fixture_set_up, function, fixture_tear_down);  \
    g_test_add (path "/single/two-threads", Fixture, &two_threads_single, fixture_set_up, function, fixture_tear_down); \
  }                                                                                                 \
  G_STMT_END

#define test_add_direct(path, function)                                                             \
  G_STMT_START                                                                                      \
  {                                                                                                 \
    g_test_add (path "/one-thread", Fixture, &one_thread_direct, fixture_set_up, function, fixture_tear_down);  \
    g_test_add (path "/two-threads", Fixture, &two_threads_direct, fixture_set_up, function, fixture_tear_down); \
  }                                                                                                 \
  G_STMT_END

#define test_add_batch(path, function)                                                              \
  G_STMT_START                                                                                      \
  {                                                                                                 \
    g_test_add (path "/one-thread", Fixture, &one_thread_batch, fixture_set_up, function, fixture_tear_down);  \
    g_test_add (path "/two-threads", Fixture, &two_threads_batch, fixture_set_up, function, fixture_tear_down); \
  }                                                                                                 \
  G_STMT_END

#define test_add_once(path, function) \
  g_test_add (path, Fixture, &two_threads, fixture_set_up, function, fixture_tear_down)

/* wait_until() without callbacks. */
#define spin_until(condition)                     \
  G_STMT_START                                    \
  {                                               \
    while (!(condition))                          \
      g_thread_yield ();                          \
  }                                               \
  G_STMT_END

static inline BsTrackedPath *
track (Fixture *fixture, GFile *file)
{
  g_autoptr (GError) error = NULL;
  BsTrackedPath *tracked = bs_backing_store_track_path (fixture->store, file, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (tracked);
  return tracked;
}

static inline void
fixture_start (Fixture *fixture, const Variant *variant, GMainContext *context)
{
  watchdog_start ();
  fixture->n_threads = variant->max_threads;
  fixture->gates = variant->single   ? gate_backing_new_single ()
                   : variant->batch  ? gate_backing_new_batch ()
                   : variant->direct ? gate_backing_new_direct ()
                                     : gate_backing_new ();
  fixture->store = context != NULL ? bs_backing_store_new_in_context (BS_BACKING (fixture->gates), context)
                                   : bs_backing_store_new (BS_BACKING (fixture->gates));
  bs_backing_store_set_max_threads (fixture->store, variant->max_threads);
  fixture->pool = bs_pool_new (fixture->store, G_MAXINT64);
  fixture->file = g_file_new_for_uri ("gate:///path");
  fixture->tracked = track (fixture, fixture->file);
  gate_backing_reset_log (fixture->gates);
}

static inline void
fixture_set_up (Fixture *fixture, gconstpointer data)
{
  fixture_start (fixture, data, NULL);
}

/* Lets go of everything; each is the last reference. */
static inline void
fixture_tear_down (Fixture *fixture, gconstpointer data)
{
  gate_backing_release_all (fixture->gates);
  gate_backing_clear (fixture->gates);
  if (fixture->pool != NULL)
    assert_goes (g_steal_pointer (&fixture->pool));
  if (fixture->tracked != NULL)
    assert_goes (g_steal_pointer (&fixture->tracked));
  if (fixture->store != NULL)
    assert_goes (g_steal_pointer (&fixture->store));
  gate_backing_assert_contract (fixture->gates);
  assert_goes (g_steal_pointer (&fixture->gates));
  g_assert_finalize_object (fixture->file);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  watchdog_stop ();
}

/* Everything that was asked is done, delayed deletions included. */
static inline void
settle (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_wait_finished (fixture->store, NULL, &error);
  g_assert_no_error (error);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
}

/* How an asynchronous call was answered. */
typedef struct
{
  GAsyncResult *result;     /* owned */
  GThread *thread;
  int n_calls;              /* atomic: other threads may look */
} Answer;

static inline void
answer_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Answer *answer = data;

  g_set_object (&answer->result, result);
  answer->thread = g_thread_self ();
  g_atomic_int_inc (&answer->n_calls);
}

/* Each runs until the default main context has called back. */
static inline GAsyncResult *
answer_wait (Answer *answer)
{
  while (g_atomic_int_get (&answer->n_calls) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (answer->n_calls, ==, 1);
  return answer->result;
}

static inline gboolean
answer_is_there (Answer *answer)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
  return g_atomic_int_get (&answer->n_calls) > 0;
}

static inline void
answer_clear (Answer *answer)
{
  g_clear_object (&answer->result);
  memset (answer, 0, sizeof *answer);
}

/* Waits, and checks what came. Every result of ours is a GTask. */
static inline void
answer_ok (Answer *answer)
{
  g_autoptr (GError) error = NULL;
  gboolean success = g_task_propagate_boolean (G_TASK (answer_wait (answer)), &error);

  g_assert_no_error (error);
  g_assert_true (success);
  answer_clear (answer);
}

static inline gpointer
answer_pointer (Answer *answer)
{
  g_autoptr (GError) error = NULL;
  gpointer pointer = g_task_propagate_pointer (G_TASK (answer_wait (answer)), &error);

  g_assert_no_error (error);
  g_assert_nonnull (pointer);
  answer_clear (answer);
  return pointer;
}

static inline GError *
answer_dup_error (Answer *answer)
{
  GError *error = NULL;

  answer_wait (answer);
  g_assert_true (g_task_had_error (G_TASK (answer->result)));
  g_task_propagate_pointer (G_TASK (answer->result), &error);
  answer_clear (answer);
  return error;
}

#define answer_fails(answer, domain, code)                 \
  G_STMT_START                                             \
  {                                                        \
    g_autoptr (GError) __error = answer_dup_error (answer); \
    g_assert_error (__error, domain, code);                \
  }                                                        \
  G_STMT_END

static inline void
answer_cancelled (Answer *answer)
{
  answer_fails (answer, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static inline BsItem *
insert (Fixture *fixture, const char *content)
{
  g_autoptr (GBytes) bytes = g_bytes_new (content, strlen (content));

  return bs_pool_insert (fixture->pool, bytes);
}

/* An item in primary storage. */
static inline BsItem *
insert_written (Fixture *fixture, const char *content)
{
  g_autoptr (GError) error = NULL;
  BsItem *item = insert (fixture, content);

  bs_item_write (item, NULL, &error);
  g_assert_no_error (error);
  return item;
}

static inline BsItem *
insert_persisted (Fixture *fixture, const char *content)
{
  g_autoptr (GError) error = NULL;
  BsItem *item = insert (fixture, content);

  bs_item_persist (item, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  return item;
}

/* A key that is at the path and that nobody holds. */
static inline char *
put_key (Fixture *fixture, const char *content)
{
  BsItem *item = insert_persisted (fixture, content);
  char *key = bs_item_dup_key (item);

  g_object_unref (item);
  settle (fixture);
  gate_backing_reset_log (fixture->gates);
  return key;
}

static inline void
assert_content (BsItem *item, const char *content)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_item_load (item, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), content, strlen (content));
}

static inline void
assert_log (Fixture *fixture, const char *key, const char *expected)
{
  g_autofree char *log = gate_backing_dup_log (fixture->gates, key);

  g_assert_cmpstr (log, ==, expected);
}

/* Inside the store: the shard of a key. */
static inline guint
get_shard_index (const char *string)
{
  BsKey key;

  g_assert_true (bs_key_parse (string, &key));
  return bs_shard_index (bs_key_hash (&key));
}

/* Inside the store: the waiters of all operations on a key, but for the thread that runs
 * one of its own. */
static inline guint
count_callers (BsBackingStore *store, const char *string)
{
  guint n = 0;
  BsKey key;

  g_assert_true (bs_key_parse (string, &key));
  {
    guint64 hash = bs_key_hash (&key);
    BsShard *shard = &store->shards[bs_shard_index (hash)];
    BsStoreOperation *operation;

    g_mutex_lock (&shard->mutex);
    operation = (BsStoreOperation *) bs_key_queue_find_last (shard, &key, hash);
    for (; operation != NULL; operation = operation->previous)
      n += operation->n_wanted - (operation->on_stack && operation->runner != NULL);
    g_mutex_unlock (&shard->mutex);
  }
  return n;
}

/* Nothing is left of a key in the store's memory. */
static inline gboolean
is_forgotten (BsBackingStore *store, const char *string)
{
  gboolean forgotten;
  BsShard *shard;
  guint64 hash;
  BsKey key;

  g_assert_true (bs_key_parse (string, &key));
  hash = bs_key_hash (&key);
  shard = &store->shards[bs_shard_index (hash)];
  g_mutex_lock (&shard->mutex);
  forgotten = bs_shard_lookup (shard, &key, hash) == NULL && bs_key_queue_find_last (shard, &key, hash) == NULL;
  g_mutex_unlock (&shard->mutex);
  return forgotten;
}

/* A call that fills every thread of the store until plug_out(). */
typedef struct
{
  BsItem *items[8];
  char *keys[8];
  Answer answers[8];
  guint n;
} Plug;

static inline void
plug_in (Plug *plug, Fixture *fixture)
{
  plug->n = fixture->n_threads;
  for (guint i = 0; i < plug->n; i++)
    {
      plug->items[i] = insert (fixture, "plug");
      plug->keys[i] = bs_item_dup_key (plug->items[i]);
      gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, plug->keys[i], GATE_BEFORE);
      bs_item_write_async (plug->items[i], G_PRIORITY_HIGH, NULL, answer_cb, &plug->answers[i]);
    }
  for (guint i = 0; i < plug->n; i++)
    gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, plug->keys[i], GATE_BEFORE, 1);
}

static inline void
plug_pull (Plug *plug, Fixture *fixture)
{
  for (guint i = 0; i < plug->n; i++)
    gate_backing_release (fixture->gates, BS_OPERATION_WRITE, plug->keys[i], GATE_BEFORE);
}

static inline void
plug_wait (Plug *plug)
{
  for (guint i = 0; i < plug->n; i++)
    {
      answer_ok (&plug->answers[i]);
      g_clear_object (&plug->items[i]);
      g_clear_pointer (&plug->keys[i], g_free);
    }
  plug->n = 0;
}

static inline void
plug_out (Plug *plug, Fixture *fixture)
{
  plug_pull (plug, fixture);
  plug_wait (plug);
}

/* A blocking call on a thread of its own. */
typedef struct
{
  Fixture *fixture;
  GThread *thread;
  const char *key;
  GCancellable *cancellable;
  GError *error;        /* owned */
  gboolean success;
  int done;             /* atomic */
} Blocking;

static inline gpointer
blocking_delete_persisted (gpointer data)
{
  Blocking *self = data;

  self->success = bs_backing_store_delete_persisted (self->fixture->store, self->fixture->tracked, self->key, self->cancellable, &self->error);
  g_atomic_int_set (&self->done, TRUE);
  return NULL;
}

static inline gpointer
blocking_sync (gpointer data)
{
  Blocking *self = data;

  self->success = bs_backing_store_sync (self->fixture->store, self->fixture->tracked, self->cancellable, &self->error);
  g_atomic_int_set (&self->done, TRUE);
  return NULL;
}

static inline void
blocking_start (Blocking *self, Fixture *fixture, GThreadFunc func, const char *key, GCancellable *cancellable)
{
  memset (self, 0, sizeof *self);
  self->fixture = fixture;
  self->key = key;
  self->cancellable = cancellable;
  self->thread = g_thread_new ("blocking", func, self);
}

static inline void
blocking_join (Blocking *self)
{
  g_thread_join (g_steal_pointer (&self->thread));
}

static inline void
blocking_ok (Blocking *self)
{
  blocking_join (self);
  g_assert_no_error (self->error);
  g_assert_true (self->success);
}

/* Lets go of a key that a test is done with. */
#define delete_async(fixture, key, cancellable, answer) \
  bs_backing_store_delete_persisted_async ((fixture)->store, (fixture)->tracked, key, G_PRIORITY_DEFAULT, cancellable, answer_cb, answer)
#define sync_async(fixture, cancellable, answer) \
  bs_backing_store_sync_async ((fixture)->store, (fixture)->tracked, G_PRIORITY_DEFAULT, cancellable, answer_cb, answer)
#define persist_async(fixture, item, cancellable, answer) \
  bs_item_persist_async (item, (fixture)->tracked, G_PRIORITY_DEFAULT, cancellable, answer_cb, answer)
#define register_async(fixture, key, cancellable, answer) \
  bs_pool_register_async ((fixture)->pool, (fixture)->tracked, key, G_PRIORITY_DEFAULT, cancellable, answer_cb, answer)

/* Asks, and waits until the backing holds the call for the key before its effect. */
#define ask_held(fixture, operation, key, ask)                                      \
  G_STMT_START                                                                      \
  {                                                                                 \
    gate_backing_hold ((fixture)->gates, operation, key, GATE_BEFORE);              \
    ask;                                                                            \
    gate_backing_wait_held ((fixture)->gates, operation, key, GATE_BEFORE, 1);      \
  }                                                                                 \
  G_STMT_END
