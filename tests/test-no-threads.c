/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* No thread can be made, for a limit on processes or for want of memory. Everything is
 * done as soon as one can be made again; blocking calls need none. */

#include "store-fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

/* How many of a hundred threads can't be made, those of a test excepted. */
static int refused_percent; /* atomic */
static int n_refused;       /* atomic */
static int n_made;          /* atomic */
static __thread gboolean makes_own;

/* Stands before the C library's: GLib calls this one. */
int
pthread_create (pthread_t *thread,
                const pthread_attr_t *attributes,
                void *(*function) (void *),
                void *data)
{
  static int (*next) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);
  int percent = g_atomic_int_get (&refused_percent);

  if (!makes_own && percent > 0 && (percent == 100 || g_random_int_range (0, 100) < percent))
    {
      g_atomic_int_inc (&n_refused);
      return EAGAIN;
    }

  if (g_atomic_pointer_get (&next) == NULL)
    g_atomic_pointer_set (&next, dlsym (RTLD_NEXT, "pthread_create"));
  g_atomic_int_inc (&n_made);
  return next (thread, attributes, function, data);
}

static void
forbid_threads (void)
{
  g_atomic_int_set (&n_refused, 0);
  g_atomic_int_set (&refused_percent, 100);
}

static void
allow_threads (void)
{
  g_atomic_int_set (&refused_percent, 0);
}

static GThread *
make_own_thread (GThreadFunc func, gpointer data)
{
  GThread *thread;

  makes_own = TRUE;
  thread = g_thread_new ("own", func, data);
  makes_own = FALSE;

  return thread;
}

static void
end_test (Fixture *fixture, gconstpointer data)
{
  allow_threads ();
  fixture_tear_down (fixture, data);
}

#define add(path, function)                                                                        \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_test_add (path "/one-thread", Fixture, &one_thread, fixture_set_up, function, end_test);     \
    g_test_add (path "/two-threads", Fixture, &two_threads, fixture_set_up, function, end_test);   \
  }                                                                                                \
  G_STMT_END

#define N_ITEMS 6

typedef struct
{
  BsItem *items[N_ITEMS];
  Answer answers[N_ITEMS];
  GPtrArray *order; /* of Answers */
} Writes;

static void
write_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Writes *writes = g_object_get_data (source, "writes");

  g_ptr_array_add (writes->order, data);
  answer_cb (source, result, data);
}

/* Asks for writes, the last with the best priority. */
static void
ask_for_writes (Fixture *fixture, Writes *writes)
{
  *writes = (Writes){ .order = g_ptr_array_new () };
  for (guint i = 0; i < N_ITEMS; i++)
    {
      writes->items[i] = insert (fixture, "a");
      g_object_set_data (G_OBJECT (writes->items[i]), "writes", writes);
      bs_item_write_async (writes->items[i], G_PRIORITY_LOW - (int) i, NULL, write_cb,
                           &writes->answers[i]);
    }
}

static int
count_answers (Writes *writes)
{
  int n = 0;

  for (guint i = 0; i < N_ITEMS; i++)
    n += writes->answers[i].n_calls;
  return n;
}

static void
assert_written_once (Fixture *fixture, Writes *writes)
{
  for (guint i = 0; i < N_ITEMS; i++)
    {
      g_autofree char *key = bs_item_dup_key (writes->items[i]);

      answer_ok (&writes->answers[i]);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE, key), ==, 1);
      g_clear_object (&writes->items[i]);
    }
  g_clear_pointer (&writes->order, g_ptr_array_unref);
}

/* Until the spawner has tried again, too. */
static void
wait_for_refusals (void)
{
  wait_until (g_atomic_int_get (&n_refused) >= 2);
}

/* Everything waits, and comes in its order. */
static void
test_later (Fixture *fixture, gconstpointer data)
{
  Writes writes;

  forbid_threads ();
  ask_for_writes (fixture, &writes);
  wait_for_refusals ();
  g_assert_cmpint (count_answers (&writes), ==, 0);
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);

  allow_threads ();
  wait_until (count_answers (&writes) == N_ITEMS);
  for (guint i = 0; fixture->n_threads == 1 && i < N_ITEMS; i++)
    g_assert_true (writes.order->pdata[i] == &writes.answers[N_ITEMS - 1 - i]);
  assert_written_once (fixture, &writes);
}

/* The thread that tries again is no main loop. */
static void
test_without_loop (Fixture *fixture, gconstpointer data)
{
  Writes writes;

  forbid_threads ();
  ask_for_writes (fixture, &writes);
  spin_until (g_atomic_int_get (&n_refused) >= 2);
  allow_threads ();
  spin_until (gate_backing_count (fixture->gates, BS_OPERATION_WRITE, NULL) == N_ITEMS);
  g_assert_cmpint (count_answers (&writes), ==, 0);
  assert_written_once (fixture, &writes);
}

/* A blocking call joins an operation that has no thread, or waits behind it, and is
 * done before all others. */
static void
test_blocking (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer write = { 0 }, delete = { 0 };
  g_autoptr (GError) error = NULL;
  Writes writes;

  forbid_threads ();
  ask_for_writes (fixture, &writes);
  bs_item_write_async (item, G_PRIORITY_LOW, NULL, answer_cb, &write);

  g_assert_true (bs_item_write (item, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 1);
  g_assert_cmpint (write.n_calls, ==, 0);
  answer_ok (&write);

  delete_async (fixture, key, NULL, &delete);
  g_assert_true (bs_item_persist (item, fixture->tracked, NULL, &error));
  g_assert_no_error (error);
  assert_log (fixture, key, "write persist");
  answer_ok (&delete);
  g_assert_cmpint (count_answers (&writes), ==, 0);

  allow_threads ();
  assert_written_once (fixture, &writes);
}

/* A blocking sync runs everything that it covers. */
static void
test_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  BsItem *items[N_ITEMS];
  Answer answers[N_ITEMS] = { 0 };

  forbid_threads ();
  for (guint i = 0; i < N_ITEMS; i++)
    {
      items[i] = insert (fixture, "a");
      persist_async (fixture, items[i], NULL, &answers[i]);
    }
  g_assert_true (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < N_ITEMS; i++)
    {
      g_autofree char *key = bs_item_dup_key (items[i]);

      g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
      answer_ok (&answers[i]);
      g_object_unref (items[i]);
    }
}

static gboolean
count_run (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_atomic_int_inc ((int *) data);
  return TRUE;
}

static gboolean
count_commit (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  g_atomic_int_inc ((int *) data);
  return TRUE;
}

/* Operations of every kind, none of which has a thread. */
typedef struct
{
  BsItem *item;
  BsItem *loaded;
  BsItem *other;
  BsSave *save;
  BsVerify *verify;
  BsKeySet *keys;
  char *deleted;
  Answer answers[8];
  guint n_answers;
  int n_run;
  int n_committed;
} Everything;

static BsSave *
save_new (Fixture *fixture, BsItem *item, int *n_committed)
{
  BsSave *save = bs_save_new (fixture->store, fixture->tracked);

  bs_save_add_item (save, item);
  bs_save_set_commit_func (save, count_commit, n_committed, NULL);
  return save;
}

static void
ask_for_everything (Fixture *fixture, Everything *all)
{
  Answer *answer = all->answers;

  /* No thread is made before: no key is deleted, and none is written in the background. */
  *all = (Everything){ .loaded = insert_persisted (fixture, "b"),
                       .other = insert_persisted (fixture, "c") };
  bs_pool_trim (fixture->pool, 0, NULL, NULL);
  all->item = insert (fixture, "a");
  all->deleted = bs_item_dup_key (all->other);
  all->save = save_new (fixture, all->item, &all->n_committed);
  bs_save_add_item (all->save, all->loaded);
  all->verify = bs_verify_new (fixture->store, fixture->tracked);
  all->keys = bs_key_set_new ();
  bs_key_set_add (all->keys, all->deleted, NULL);

  forbid_threads ();
  bs_item_load_async (all->loaded, 0, NULL, answer_cb, answer++);
  bs_verify_run_async (all->verify, 0, NULL, answer_cb, answer++);
  bs_backing_store_delete_persisted_keys_async (fixture->store, fixture->tracked, all->keys, 0,
                                                NULL, answer_cb, answer++);
  bs_save_run_async (all->save, 0, NULL, answer_cb, answer++);
  bs_backing_store_run_in_thread_async (fixture->store, count_run, &all->n_run, NULL, 0, NULL,
                                        answer_cb, answer++);
  bs_pool_register_all_async (fixture->pool, fixture->tracked, 0, NULL, answer_cb, answer++);
  sync_async (fixture, NULL, answer++);
  all->n_answers = (guint) (answer - all->answers);
}

/* A close finishes all but the first, a load. */
static void
everything_is_done (Fixture *fixture, Everything *all, gboolean closed)
{
  for (guint i = 0; i < all->n_answers; i++)
    {
      answer_wait (&all->answers[i]);
      g_assert_cmpint (g_task_had_error (G_TASK (all->answers[i].result)), ==, closed && i == 0);
      answer_clear (&all->answers[i]);
    }
  g_assert_cmpint (all->n_run, ==, 1);
  g_assert_cmpint (all->n_committed, ==, 1);
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, all->deleted));
  g_clear_object (&all->item);
  g_clear_object (&all->loaded);
  g_clear_object (&all->other);
  g_assert_finalize_object (all->save);
  g_assert_finalize_object (all->verify);
  g_assert_finalize_object (all->keys);
  g_free (all->deleted);
}

static void
test_everything (Fixture *fixture, gconstpointer data)
{
  Everything all;

  ask_for_everything (fixture, &all);
  wait_for_refusals ();
  for (guint i = 0; i < all.n_answers; i++)
    g_assert_cmpint (all.answers[i].n_calls, ==, 0);
  allow_threads ();
  everything_is_done (fixture, &all, FALSE);
}

static void
test_wait_finished (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Everything all;

  ask_for_everything (fixture, &all);
  g_assert_true (bs_backing_store_wait_finished (fixture->store, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (all.n_run, ==, 1);
  everything_is_done (fixture, &all, FALSE);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
}

static void
test_close (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Everything all;

  ask_for_everything (fixture, &all);
  g_assert_true (bs_backing_store_close (fixture->store, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (gate_backing_is_closed (fixture->gates));
  g_assert_cmpint (all.n_committed, ==, 1);
  everything_is_done (fixture, &all, TRUE);
}

/* A save runs the commit function of the one before it, and no function that nothing
 * waits for. */
static void
test_commit (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  int n_first = 0, n_second = 0, n_run = 0;
  g_autoptr (BsSave) first = save_new (fixture, item, &n_first);
  g_autoptr (BsSave) second = save_new (fixture, item, &n_second);
  g_autoptr (GError) error = NULL;
  Answer save = { 0 }, run = { 0 };

  forbid_threads ();
  bs_backing_store_run_in_thread_async (fixture->store, count_run, &n_run, NULL, G_PRIORITY_DEFAULT,
                                        NULL, answer_cb, &run);
  bs_save_run_async (first, G_PRIORITY_DEFAULT, NULL, answer_cb, &save);
  g_assert_true (bs_save_run (second, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (n_first, ==, 1);
  g_assert_cmpint (n_second, ==, 1);
  g_assert_cmpint (n_run, ==, 0);
  answer_ok (&save);

  allow_threads ();
  answer_ok (&run);
  g_assert_cmpint (n_run, ==, 1);
}

/* A cancelled operation is answered at once, and never done. */
static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer write = { 0 };

  forbid_threads ();
  bs_item_write_async (item, G_PRIORITY_DEFAULT, cancellable, answer_cb, &write);
  wait_for_refusals ();
  g_cancellable_cancel (cancellable);
  answer_cancelled (&write);

  allow_threads ();
  g_clear_object (&item);
  settle (fixture);
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);
}

static gpointer
write_here (gpointer item)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_item_write (item, NULL, &error));
  g_assert_no_error (error);
  return NULL;
}

/* The thread sleeps already when its operation is in want of a thread. */
static void
test_asleep (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Blocking behind;
  GThread *runs;

  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, key, GATE_BEFORE);
  runs = make_own_thread (write_here, item);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, key, GATE_BEFORE, 1);
  makes_own = TRUE;
  gate_backing_put_persisted (fixture->gates, fixture->file, key, "a");
  blocking_start (&behind, fixture, blocking_delete_persisted, key, NULL);
  makes_own = FALSE;
  spin_until (count_callers (fixture->store, key) == 1);

  forbid_threads ();
  gate_backing_release (fixture->gates, BS_OPERATION_WRITE, key, GATE_BEFORE);
  g_thread_join (runs);
  blocking_ok (&behind);
}

/* A pool that lets go of its contents needs no thread where it is waited for. */
static void
test_trim (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  BsItem *items[N_ITEMS];

  forbid_threads ();
  bs_pool_set_max_bytes (fixture->pool, 1);
  for (guint i = 0; i < N_ITEMS; i++)
    items[i] = insert (fixture, "content");
  wait_for_refusals ();
  g_assert_cmpint (bs_pool_get_memory_use (fixture->pool), >, 1);
  g_assert_true (bs_pool_trim (fixture->pool, 0, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (bs_pool_get_memory_use (fixture->pool), ==, 0);

  /* In the background, deletions of scratch included, as soon as that can be. */
  bs_pool_set_max_bytes (fixture->pool, G_MAXINT64);
  for (guint i = 0; i < N_ITEMS; i++)
    g_object_unref (items[i]);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, N_ITEMS);
  allow_threads ();
  spin_until (gate_backing_get_n_primary (fixture->gates) == 0);
}

/* A worker that is idle takes the place of one that can't be made. */
static void
test_idle_worker (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert (fixture, "a");
  g_autoptr (BsItem) second = insert (fixture, "b");
  g_autoptr (BsItem) third = insert (fixture, "c");
  g_autofree char *key = bs_item_dup_key (first);
  Answer answers[3] = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 2);
  ask_held (fixture, BS_OPERATION_WRITE, key,
            bs_item_write_async (first, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[0]));
  forbid_threads ();
  bs_item_write_async (second, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[1]);
  wait_for_refusals ();
  bs_backing_store_set_max_threads (fixture->store, 1);
  gate_backing_release (fixture->gates, BS_OPERATION_WRITE, key, GATE_BEFORE);
  answer_ok (&answers[0]);
  answer_ok (&answers[1]);
  bs_item_write_async (third, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[2]);
  answer_ok (&answers[2]);
}

/* A place whose entries were run by a sleeper is free again when the spawner comes to it. */
static void
test_place_is_free (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GateBacking) gates = gate_backing_new ();
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (gates));
  Answer persist = { 0 }, run = { 0 }, write = { 0 };
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autoptr (BsItem) other = insert (fixture, "b");
  g_autoptr (GError) error = NULL;
  int n_run = 0;

  forbid_threads ();
  persist_async (fixture, item, NULL, &persist);
  g_assert_true (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error));
  g_assert_no_error (error);
  answer_ok (&persist);
  /* The spawner serves those that ask in their order. */
  bs_backing_store_run_in_thread_async (store, count_run, &n_run, NULL, G_PRIORITY_DEFAULT, NULL,
                                        answer_cb, &run);
  allow_threads ();
  answer_ok (&run);

  bs_backing_store_set_max_threads (fixture->store, 1);
  bs_item_write_async (other, G_PRIORITY_DEFAULT, NULL, answer_cb, &write);
  answer_ok (&write);
  assert_goes (g_steal_pointer (&store));
}

static gpointer
save_here (gpointer save)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_save_run (save, NULL, &error));
  g_assert_no_error (error);
  return NULL;
}

static gboolean
two_saves_wait (Fixture *fixture)
{
  BsPath *path = fixture->tracked->path;
  gboolean two;

  g_mutex_lock (&path->mutex);
  two = path->saves.head != path->saves.tail;
  g_mutex_unlock (&path->mutex);

  return two;
}

/* A save that waits runs no commit function that it does not wait for. */
static void
test_other_commit (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) tracked = track (fixture, file);
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autoptr (BsItem) other = insert_persisted (fixture, "b");
  g_autofree char *key = bs_item_dup_key (item);
  int n_here = 0, n_there = 0;
  g_autoptr (BsSave) before = bs_save_new (fixture->store, fixture->tracked);
  g_autoptr (BsSave) here = save_new (fixture, item, &n_here);
  g_autoptr (BsSave) there = bs_save_new (fixture->store, tracked);
  Answer saves[2] = { 0 };
  GThread *thread;

  bs_save_add_item (before, item);
  bs_save_add_item (there, other);
  bs_save_set_commit_func (there, count_commit, &n_there, NULL);
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  bs_backing_store_set_max_threads (fixture->store, 2);
  bs_save_run_async (before, G_PRIORITY_DEFAULT, NULL, answer_cb, &saves[0]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1);
  bs_item_write_async (other, G_PRIORITY_DEFAULT, NULL, answer_cb, &saves[1]);
  answer_ok (&saves[1]);

  forbid_threads ();
  bs_save_run_async (there, G_PRIORITY_DEFAULT, NULL, answer_cb, &saves[1]);
  thread = make_own_thread (save_here, here);
  wait_until (two_saves_wait (fixture) && g_atomic_int_get (&n_refused) >= 2);
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  g_thread_join (thread);
  g_assert_cmpint (n_here, ==, 1);
  g_assert_cmpint (n_there, ==, 0);
  answer_ok (&saves[0]);
  g_assert_cmpint (saves[1].n_calls, ==, 0);
  allow_threads ();
  answer_ok (&saves[1]);
}

typedef struct
{
  Fixture *fixture;
  GError *error;
} Freed;

static void
wait_when_freed (gpointer data)
{
  Freed *freed = data;

  g_assert_false (bs_backing_store_wait_finished (freed->fixture->store, NULL, &freed->error));
}

/* A sleeper that runs an operation is inside of it, as a worker would be. */
static void
test_inside (Fixture *fixture, gconstpointer data)
{
  Freed freed = { fixture, NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = g_bytes_new_with_free_func ("a", 1, wait_when_freed, &freed);
  g_autoptr (BsItem) item = bs_pool_insert (fixture->pool, bytes);

  g_clear_pointer (&bytes, g_bytes_unref);
  forbid_threads ();
  g_assert_true (bs_pool_trim (fixture->pool, 0, NULL, &error));
  g_assert_no_error (error);
  g_assert_error (freed.error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_error_free (freed.error);
}

static gboolean
sync_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Fixture *fixture = data;

  return bs_backing_store_sync (store, fixture->tracked, cancellable, error);
}

/* A function that has a thread waits for operations that have none. */
static void
test_function (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  Answer run = { 0 }, persist = { 0 };
  int n_run = 0;

  bs_backing_store_run_in_thread_async (fixture->store, count_run, &n_run, NULL, G_PRIORITY_DEFAULT,
                                        NULL, answer_cb, &run);
  answer_ok (&run);
  forbid_threads ();
  persist_async (fixture, item, NULL, &persist);
  bs_backing_store_run_in_thread_async (fixture->store, sync_inside, fixture, NULL,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &run);
  answer_ok (&run);
  answer_ok (&persist);
}

typedef struct
{
  Fixture *fixture;
  guint32 seed;
} Worker;

/* Many calls of both kinds, while many threads can't be made. */
static gpointer
work (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  Worker *self = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (self->seed);

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < 40; i++)
    {
      g_autoptr (BsItem) item = insert (self->fixture, "a");
      g_autoptr (GError) error = NULL;
      Answer answers[2] = { 0 };

      persist_async (self->fixture, item, NULL, &answers[0]);
      if (g_rand_boolean (rand))
        g_assert_true (bs_item_persist (item, self->fixture->tracked, NULL, &error));
      sync_async (self->fixture, NULL, &answers[1]);
      if (g_rand_boolean (rand))
        g_assert_true (
          bs_backing_store_sync (self->fixture->store, self->fixture->tracked, NULL, &error));
      g_assert_no_error (error);
      for (guint j = 0; j < 2; j++)
        {
          while (g_atomic_int_get (&answers[j].n_calls) == 0)
            g_main_context_iteration (context, TRUE);
          g_assert_true (g_task_propagate_boolean (G_TASK (answers[j].result), &error));
          answer_clear (&answers[j]);
        }
    }
  g_main_context_pop_thread_default (context);

  return NULL;
}

static void
test_now_and_then (Fixture *fixture, gconstpointer data)
{
  Worker workers[4];
  GThread *threads[4];

  for (guint i = 0; i < 4; i++)
    {
      workers[i] = (Worker){ fixture, (guint32) g_test_rand_int () };
      threads[i] = make_own_thread (work, &workers[i]);
      g_atomic_int_set (&refused_percent, 70);
    }
  for (guint i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  allow_threads ();
  settle (fixture);
}

/* A monitor of memory, which would need a thread for its bus. */
static int n_monitors; /* atomic */

typedef GObject Monitor;
typedef GObjectClass MonitorClass;

static GType monitor_get_type (void);

static gboolean
monitor_initable_init (GInitable *self, GCancellable *cancellable, GError **error)
{
  g_assert_cmpint (g_atomic_int_get (&refused_percent), ==, 0);
  g_atomic_int_inc (&n_monitors);
  return TRUE;
}

static void
monitor_initable_iface_init (GInitableIface *iface)
{
  iface->init = monitor_initable_init;
}

G_DEFINE_TYPE_WITH_CODE (Monitor,
                         monitor,
                         G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, monitor_initable_iface_init)
                           G_IMPLEMENT_INTERFACE (G_TYPE_MEMORY_MONITOR, NULL))

static void
monitor_init (Monitor *self)
{
}

static void
monitor_class_init (MonitorClass *klass)
{
}

/* GLib would end the process. */
static void
test_first_monitor (Fixture *fixture, gconstpointer data)
{
  wait_for_refusals ();
  g_assert_cmpint (n_monitors, ==, 0);
  allow_threads ();
  wait_until (n_monitors == 1);
}

#define in_new_process(path, function)                                                             \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_test_add_data_func (path, path "/subprocess/apart", run_in_process);                         \
    g_test_add (path "/subprocess/apart", Fixture, &one_thread, fixture_set_up_first, function,    \
                end_test);                                                                         \
  }                                                                                                \
  G_STMT_END

static void
run_in_process (gconstpointer data)
{
  g_test_trap_subprocess (data, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static void
fixture_set_up_first (Fixture *fixture, gconstpointer data)
{
  forbid_threads ();
  fixture_set_up (fixture, data);
}

static gpointer
ask_elsewhere (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  Fixture *fixture = data;
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autoptr (GError) error = NULL;
  Answer write = { 0 };

  g_main_context_push_thread_default (context);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &write);
  g_atomic_int_set (&fixture->n_threads, 0);
  while (g_atomic_int_get (&write.n_calls) == 0)
    g_main_context_iteration (context, TRUE);
  g_assert_true (g_task_propagate_boolean (G_TASK (write.result), &error));
  answer_clear (&write);
  g_main_context_pop_thread_default (context);

  return NULL;
}

/* The loop that waits for the answer tries again, and no other one. */
static void
test_first_elsewhere (Fixture *fixture, gconstpointer data)
{
  GThread *thread = make_own_thread (ask_elsewhere, fixture);

  spin_until (g_atomic_int_get (&fixture->n_threads) == 0);
  allow_threads ();
  g_thread_join (thread);
}

/* Where no loop runs, the next call tries again. */
static void
test_first_next_call (Fixture *fixture, gconstpointer data)
{
  g_object_unref (insert_written (fixture, "a"));
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 1);
  n_made = 0;
  allow_threads ();
  while (g_atomic_int_get (&n_made) == 0)
    g_object_unref (insert_written (fixture, "b"));
  spin_until (gate_backing_get_n_primary (fixture->gates) == 0);
}

static void
run_limited (void)
{
  Fixture fixture = { NULL };
  g_autoptr (GError) error = NULL;
  struct rlimit limit;
  Answer persist = { 0 };
  Writes writes;

  getrlimit (RLIMIT_NPROC, &limit);
  fixture_start (&fixture, &two_threads, NULL);
  limit.rlim_cur = 1;
  setrlimit (RLIMIT_NPROC, &limit);
  ask_for_writes (&fixture, &writes);
  persist_async (&fixture, writes.items[0], NULL, &persist);
  g_assert_true (bs_backing_store_sync (fixture.store, fixture.tracked, NULL, &error));
  g_assert_no_error (error);
  answer_ok (&persist);
  g_assert_cmpint (count_answers (&writes), <, N_ITEMS);

  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NPROC, &limit);
  wait_until (count_answers (&writes) == N_ITEMS);
  assert_written_once (&fixture, &writes);
  fixture_tear_down (&fixture, NULL);
}

/* A user's limit on processes, as a system has it. */
static void
test_real_limit (void)
{
  uid_t user = 0x40000000 + (uid_t) getpid ();

  if (!g_test_subprocess ())
    {
      if (geteuid () != 0)
        {
          g_test_skip ("this needs root, to become a user without processes");
          return;
        }
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      if (g_test_trap_reached_timeout () || !g_test_trap_has_passed ())
        g_test_fail ();
      return;
    }

  if (setresuid (user, user, user) != 0)
    {
      g_test_skip ("this user id is of no use here");
      return;
    }
  run_limited ();
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  /* Two threads may make it at once, which ThreadSanitizer takes for a race where a user may
   * not read the names of GLib's functions. */
  (void) G_THREAD_ERROR;
  /* GLib ends a process in which it can't make the threads that it needs for tasks. */
  g_type_ensure (G_TYPE_TASK);
  /* Has GIO register its extension points. */
  g_object_unref (g_file_new_for_path ("/"));
  g_io_extension_point_implement (G_MEMORY_MONITOR_EXTENSION_POINT_NAME, monitor_get_type (),
                                  "test", 1000);

  add ("/no-threads/later", test_later);
  add ("/no-threads/without-loop", test_without_loop);
  add ("/no-threads/blocking", test_blocking);
  add ("/no-threads/sync", test_sync);
  add ("/no-threads/everything", test_everything);
  add ("/no-threads/wait-finished", test_wait_finished);
  add ("/no-threads/close", test_close);
  add ("/no-threads/commit", test_commit);
  add ("/no-threads/cancelled", test_cancelled);
  add ("/no-threads/asleep", test_asleep);
  add ("/no-threads/trim", test_trim);
  add ("/no-threads/function", test_function);
  add ("/no-threads/idle-worker", test_idle_worker);
  add ("/no-threads/place-is-free", test_place_is_free);
  add ("/no-threads/other-commit", test_other_commit);
  add ("/no-threads/inside", test_inside);
  add ("/no-threads/now-and-then", test_now_and_then);
  in_new_process ("/no-threads/first/later", test_later);
  in_new_process ("/no-threads/first/blocking", test_blocking);
  in_new_process ("/no-threads/first/everything", test_everything);
  in_new_process ("/no-threads/first/close", test_close);
  in_new_process ("/no-threads/first/elsewhere", test_first_elsewhere);
  in_new_process ("/no-threads/first/next-call", test_first_next_call);
  in_new_process ("/no-threads/first/monitor", test_first_monitor);
  g_test_add_func ("/no-threads/real-limit", test_real_limit);

  return g_test_run ();
}
