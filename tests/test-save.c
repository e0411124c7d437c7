/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture_set_up (fixture, G_MAXINT64);
  fixture_track (fixture);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  fixture_tear_down (fixture);
}

#define test_add(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)

static BsSave *
save_new (Fixture *fixture)
{
  return bs_save_new (fixture->store, fixture->tracked);
}

static void
save_ok (BsSave *save)
{
  g_autoptr (GError) error = NULL;
  gboolean success = bs_save_run (save, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (success);
}

static void
save_ok_async (BsSave *save)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  gboolean success;

  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  success = bs_save_run_finish (save, wait_result (&result), &error);
  g_assert_no_error (error);
  g_assert_true (success);
}

/* All three forms of call say the same. */
#define save_fails(save, domain, code, ...)                                                        \
  G_STMT_START                                                                                     \
  {                                                                                                \
    const char *__words[] = { __VA_ARGS__ };                                                       \
    for (guint __i = 0; __i < 2; __i++)                                                            \
      {                                                                                            \
        g_autoptr (GError) __error = NULL;                                                         \
        g_autoptr (GAsyncResult) __result = NULL;                                                  \
                                                                                                   \
        if (__i == 0)                                                                              \
          {                                                                                        \
            g_assert_false (bs_save_run (save, NULL, &__error));                                   \
          }                                                                                        \
        else                                                                                       \
          {                                                                                        \
            bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &__result);           \
            g_assert_null (__result);                                                              \
            g_assert_false (bs_save_run_finish (save, wait_result (&__result), &__error));         \
          }                                                                                        \
        g_assert_error (__error, domain, code);                                                    \
        for (guint __j = 0; __j < G_N_ELEMENTS (__words); __j++)                                   \
          g_assert_nonnull (strstr (__error->message, __words[__j]));                              \
      }                                                                                            \
  }                                                                                                \
  G_STMT_END

static void
assert_root (Fixture *fixture, gsize size, char fill)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root =
    bs_backing_store_load_root (fixture->store, fixture->tracked, NULL, &error);

  g_assert_no_error (error);
  assert_filled (root, size, fill);
}

static void
assert_no_root (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_backing_store_load_root (fixture->store, fixture->tracked, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
}

static void
set_root (BsSave *save, gsize size, char fill)
{
  g_autoptr (GBytes) root = make_bytes (size, fill);

  bs_save_set_root (save, root);
}

static gboolean
contains (Fixture *fixture, BsItem *item)
{
  g_autofree char *key = bs_item_dup_key (item);

  return bs_tracked_path_contains_key (fixture->tracked, key);
}

typedef struct
{
  GThread *thread; /* where they came */
  guint n;
  double last;
} Notices;

static void
notice_fraction (BsSave *save, GParamSpec *pspec, gpointer data)
{
  Notices *notices = data;
  double fraction = bs_save_get_fraction (save);

  g_assert_cmpfloat (fraction, >=, notices->last);
  notices->last = fraction;
  notices->thread = g_thread_self ();
  notices->n++;
}

static void
test_properties (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) save = save_new (fixture);
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Notices notices = { 0 };
  guint64 n_total, n_done;
  guint max_parallel;
  double fraction;

  g_object_get (save, "store", &store, "tracked", &tracked, "n-total", &n_total, "n-done", &n_done,
                "fraction", &fraction, "max-parallel", &max_parallel, NULL);
  g_assert_true (store == fixture->store);
  g_assert_true (tracked == fixture->tracked);
  g_assert_true (bs_save_get_store (save) == store);
  g_assert_true (bs_save_get_tracked (save) == tracked);
  g_assert_cmpuint (n_total, ==, 0);
  g_assert_cmpuint (n_done, ==, 0);
  g_assert_cmpfloat (fraction, <=, 0.0);
  g_assert_cmpuint (max_parallel, >=, 1);
  bs_save_set_max_parallel (save, 3);
  g_assert_cmpuint (bs_save_get_max_parallel (save), ==, 3);

  g_signal_connect (save, "notify::fraction", G_CALLBACK (notice_fraction), &notices);
  for (guint i = 0; i < 500; i++)
    {
      g_autoptr (BsItem) item = insert (fixture->pool, 10, 'a');

      bs_save_add_item (save, item);
    }
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_cmpuint (notices.n, ==, 0);
  g_assert_cmpuint (bs_save_get_n_total (save), ==, 500);
  g_assert_true (bs_save_run_finish (save, wait_result (&result), &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_save_get_n_done (save), ==, 500);
  g_assert_cmpfloat (bs_save_get_fraction (save), >=, 1.0);
  while (notices.last < 1.0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (notices.thread == g_thread_self ());
  /* Once for many changes. */
  g_assert_cmpuint (notices.n, <, 500);
  g_signal_handlers_disconnect_by_data (save, &notices);
}

/* A progress bar, and what it shows when the save is answered. */
typedef struct
{
  Notices notices;
  double answered_at;
  gboolean saved;
  guint n_answers;
} Bar;

static void
bar_saved_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  Bar *bar = data;

  bar->answered_at = bar->notices.last;
  bar->saved = bs_save_run_finish (BS_SAVE (object), result, NULL);
  bar->n_answers++;
}

/* Nobody else holds the save: it goes with the answer. */
static void
test_last_notice (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'a');
  BsSave *save = save_new (fixture);
  Bar bar = { .answered_at = 0.0 };

  g_signal_connect (save, "notify::fraction", G_CALLBACK (notice_fraction), &bar.notices);
  bs_save_add_item (save, item);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, bar_saved_cb, &bar);
  g_object_add_weak_pointer (G_OBJECT (save), (gpointer *) &save);
  g_object_unref (save);
  wait_until (bar.n_answers > 0 && save == NULL);
  g_assert_true (bar.saved);
  g_assert_cmpfloat (bar.answered_at, >=, 1.0);
  g_assert_true (bar.notices.thread == g_thread_self ());
}

static void
count_cb (BsSave *save, GParamSpec *pspec, gpointer n)
{
  (*(guint *) n)++;
}

/* Nothing is told of what a run leaves as it was. */
static void
test_told_of_changes (Fixture *fixture, gconstpointer data)
{
  static const char *const signals[] = { "notify::n-total", "notify::n-done", "notify::fraction" };
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'a');
  g_autoptr (BsSave) save = save_new (fixture);
  guint n[3] = { 0 };

  for (guint i = 0; i < 3; i++)
    g_signal_connect (save, signals[i], G_CALLBACK (count_cb), &n[i]);

  /* Told before the answer. */
  bs_save_add_item (save, item);
  save_ok_async (save);
  g_assert_cmpuint (n[0], ==, 1);
  g_assert_cmpuint (n[1], >=, 1);
  g_assert_cmpuint (n[2], >=, 1);

  n[1] = n[2] = 0;
  save_ok_async (save);
  g_assert_cmpuint (n[0], ==, 1);
  g_assert_cmpuint (n[1], >=, 1);
  g_assert_cmpuint (n[2], >=, 1);
  for (guint i = 0; i < 3; i++)
    g_signal_handlers_disconnect_by_data (save, &n[i]);
}

static void
test_keeps_and_deletes (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsPool) other_pool = bs_pool_new (fixture->store, 100);
  g_autoptr (BsItem) first = insert (fixture->pool, 10, 'a');
  g_autoptr (BsItem) second = insert (other_pool, 2000, 'b');
  g_autoptr (BsItem) third = insert (fixture->pool, 10, 'c');
  g_autoptr (BsSave) save = save_new (fixture);
  g_autoptr (BsSave) next = save_new (fixture);
  g_autoptr (BsPoolStats) stats = NULL;
  g_autofree char *key = NULL;
  guint n_calls;

  assert_no_root (fixture);
  bs_save_add_item (save, first);
  bs_save_add_item (save, second);
  bs_save_add_item (save, second);
  set_root (save, 3, 'r');
  save_ok (save);
  g_assert_true (contains (fixture, first));
  g_assert_true (contains (fixture, second));
  assert_root (fixture, 3, 'r');

  /* The pool knows that they are written. */
  stats = bs_pool_get_stats (fixture->pool);
  g_assert_cmpuint (stats->writes, ==, 1);
  g_assert_cmpuint (stats->bytes_out, ==, 10);

  /* A blob that is there costs no call. */
  n_calls = count (fixture, BS_OPERATION_PERSIST) + count (fixture, BS_OPERATION_REGISTER_KEY) +
            count (fixture, BS_OPERATION_WRITE);
  save_ok (save);
  g_assert_cmpuint (n_calls, ==,
                    count (fixture, BS_OPERATION_PERSIST) +
                      count (fixture, BS_OPERATION_REGISTER_KEY) +
                      count (fixture, BS_OPERATION_WRITE));

  key = bs_item_dup_key (first);
  for (char *c = key; *c != '\0'; c++)
    *c = g_ascii_toupper (*c);
  bs_save_keep_key (next, key);
  bs_save_add_item (next, third);
  save_ok (next);
  g_assert_true (contains (fixture, first));
  g_assert_false (contains (fixture, second));
  g_assert_true (contains (fixture, third));
  /* Without a root the old one stays. */
  assert_root (fixture, 3, 'r');
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 2);
}

static void
test_bad_input (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'a');
  g_autofree char *missing = bs_key_generate ();
  g_autoptr (BsSave) first = save_new (fixture);
  g_autoptr (BsSave) save = NULL;

  /* Something to lose. */
  bs_save_add_item (first, item);
  set_root (first, 1, 'r');
  save_ok (first);

  save = save_new (fixture);
  save_fails (save, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "memory:///persisted", "nothing");
  g_clear_object (&save);

  save = save_new (fixture);
  set_root (save, 1, 'n');
  bs_save_keep_key (save, "no \xff key");
  save_fails (save, BS_ERROR, BS_ERROR_INVALID_KEY, "memory:///persisted", "no ");
  g_clear_object (&save);

  save = save_new (fixture);
  set_root (save, 1, 'n');
  bs_save_keep_key (save, missing);
  save_fails (save, BS_ERROR, BS_ERROR_NOT_FOUND, "memory:///persisted", missing);
  g_clear_object (&save);

  g_assert_true (contains (fixture, item));
  assert_root (fixture, 1, 'r');
}

static void
test_item_of_other_store (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'a');
  g_autoptr (BsSave) save = NULL;
  Fixture other;

  fixture_set_up (&other, G_MAXINT64);
  fixture_track (&other);
  save = bs_save_new (other.store, other.tracked);
  bs_save_add_item (save, item);
  save_fails (save, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "memory:///persisted",
              "another store");
  g_clear_object (&save);
  fixture_tear_down (&other);
}

static gboolean
commit (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  return TRUE;
}

static void
destroyed (gpointer data)
{
  g_assert_null (*(GThread **) data);
  *(GThread **) data = g_thread_self ();
}

static void
test_root_and_commit (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) save = save_new (fixture);
  GThread *threads[3] = { NULL };

  set_root (save, 1, 'r');
  bs_save_set_commit_func (save, commit, &threads[0], destroyed);
  save_fails (save, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "memory:///persisted", "only one of");
  assert_no_root (fixture);

  /* Each takes the place of the one before. */
  bs_save_set_commit_func (save, commit, &threads[1], destroyed);
  g_assert_true (threads[0] == g_thread_self ());
  bs_save_set_commit_func (save, NULL, &threads[2], destroyed);
  g_assert_true (threads[1] == g_thread_self ());
  g_assert_true (threads[2] == g_thread_self ());
  save_ok (save);
  assert_root (fixture, 1, 'r');
}

/* The function and its data stay until the run has ended, and go where its caller is. */
static gboolean
commit_and_clear (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  bs_save_set_commit_func (save, NULL, NULL, NULL);
  g_assert_null (*(GThread **) data);
  return TRUE;
}

static void
test_commit_data (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (BsSave) save = save_new (fixture);
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;
      GThread *thread = NULL;

      bs_save_set_commit_func (save, commit_and_clear, &thread, destroyed);
      if (i == 0)
        {
          save_ok (save);
        }
      else
        {
          bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &result);
          bs_save_run_finish (save, wait_result (&result), &error);
          g_assert_no_error (error);
          wait_until (thread != NULL);
        }
      g_assert_true (thread == g_thread_self ());
    }
}

static gboolean
run_again (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  g_assert_false (bs_save_run (save, NULL, &local_error));
  g_assert_error (local_error, BS_ERROR, BS_ERROR_BUSY);
  return TRUE;
}

/* A save that runs can't be run; what is added meanwhile is for the next run. */
static void
test_run_again (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert (fixture->pool, 10, 'a');
  g_autoptr (BsItem) second = insert (fixture->pool, 10, 'b');
  g_autoptr (BsSave) save = save_new (fixture);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  bs_save_add_item (save, first);
  bs_save_set_commit_func (save, run_again, NULL, NULL);
  bs_fault_backing_hold (fixture->fault, BS_OPERATION_PERSIST);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  save_fails (save, BS_ERROR, BS_ERROR_BUSY, "memory:///persisted");
  bs_save_add_item (save, second);
  bs_fault_backing_release (fixture->fault, BS_OPERATION_PERSIST);
  g_assert_true (bs_save_run_finish (save, wait_result (&result), &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 1);
  save_ok (save);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 2);
}

static void
test_root_sizes (Fixture *fixture, gconstpointer data)
{
  const gsize sizes[] = { 0, 1, 100 * 1024 * 1024, 0 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (BsItem) item = insert (fixture->pool, 0, 'a');
      g_autoptr (BsSave) save = save_new (fixture);

      bs_save_add_item (save, item);
      set_root (save, sizes[i], 'r');
      save_ok (save);
      assert_root (fixture, sizes[i], 'r');
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 1);
    }
}

/* An empty document. */
static void
test_root_alone (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'a');
  g_autoptr (BsSave) save = save_new (fixture);
  g_autoptr (BsSave) empty = save_new (fixture);

  bs_save_add_item (save, item);
  set_root (save, 1, 'r');
  save_ok (save);
  set_root (empty, 1, 'e');
  save_ok (empty);
  assert_root (fixture, 1, 'e');
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 0);
  g_assert_cmpfloat (bs_save_get_fraction (empty), >=, 1.0);
}

#define N_MANY 10000

static void
test_many (Fixture *fixture, gconstpointer data)
{
  const guint max_parallels[] = { 1, 4, 64 };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (max_parallels); i++)
    {
      g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
      g_autoptr (BsSave) save = save_new (fixture);
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;

      for (guint j = 0; j < N_MANY; j++)
        {
          g_ptr_array_add (items, insert (fixture->pool, 16, 'a' + j % 26));
          bs_save_add_item (save, g_ptr_array_index (items, j));
        }
      bs_save_set_max_parallel (save, max_parallels[i / 2]);
      set_root (save, 1, 'a' + i);
      if (i % 2 == 0)
        {
          save_ok (save);
        }
      else
        {
          bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &result);
          bs_save_run_finish (save, wait_result (&result), &error);
          g_assert_no_error (error);
        }
      /* The blobs of the save before are gone. */
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, N_MANY);
      g_assert_cmpuint (bs_save_get_n_done (save), ==, N_MANY);
      for (guint j = 0; j < N_MANY; j++)
        g_assert_true (contains (fixture, g_ptr_array_index (items, j)));
      g_assert_cmpuint (count (fixture, BS_OPERATION_PERSIST), ==, (i + 1) * N_MANY);
      assert_root (fixture, 1, 'a' + i);
    }
}

/* Cancelled somewhere in the middle of many. */
static void
test_many_cancelled (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (BsSave) save = save_new (fixture);
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;
      gboolean success;

      for (guint j = 0; j < 1000; j++)
        {
          g_autoptr (BsItem) item = insert (fixture->pool, 16, 'a');

          bs_save_add_item (save, item);
        }
      set_root (save, 1, 'a' + i);
      bs_save_run_async (save, G_PRIORITY_DEFAULT, cancellable, store_result, &result);
      wait_until (bs_save_get_n_done (save) >= i * 50);
      g_cancellable_cancel (cancellable);
      success = bs_save_run_finish (save, wait_result (&result), &error);
      if (!success)
        {
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          save_ok (save);
        }
      assert_root (fixture, 1, 'a' + i);
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 1000);
    }
}

static void
test_cancelled_before (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (BsItem) item = insert (fixture->pool, 10, 'a');
      g_autoptr (BsSave) save = save_new (fixture);
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;

      bs_save_add_item (save, item);
      g_cancellable_cancel (cancellable);
      if (i == 0)
        {
          g_assert_false (bs_save_run (save, cancellable, &error));
        }
      else
        {
          bs_save_run_async (save, G_PRIORITY_DEFAULT, cancellable, store_result, &result);
          g_assert_null (result);
          g_assert_false (bs_save_run_finish (save, wait_result (&result), &error));
        }
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_cmpuint (count (fixture, BS_OPERATION_PERSIST) +
                          count (fixture, BS_OPERATION_SYNC_PERSISTED),
                        ==, 0);
    }
}

/* In a main context all of it runs there: blocking, asynchronous, and blocking
 * from another thread. */
static gboolean
commit_in_context (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  g_assert_true (g_thread_self () == *(GThread **) data);
  return TRUE;
}

typedef struct
{
  BsSave *save;
  gint done; /* atomic */
} SaveElsewhere;

static gpointer
save_thread (gpointer data)
{
  SaveElsewhere *self = data;
  g_autoptr (GError) error = NULL;
  gboolean success = bs_save_run (self->save, NULL, &error);

  g_assert_no_error (error);
  g_atomic_int_set (&self->done, TRUE);
  return GINT_TO_POINTER (success);
}

static void
test_main_context (void)
{
  GThread *self = g_thread_self ();
  Fixture fixture;

  fixture_set_up_in_context (&fixture, G_MAXINT64, g_main_context_default ());
  fixture_track (&fixture);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (BsSave) save = save_new (&fixture);
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;
      GThread *thread;

      for (guint j = 0; j < 100; j++)
        {
          g_autoptr (BsItem) item = insert (fixture.pool, 10, 'a');

          bs_save_add_item (save, item);
        }
      bs_save_set_commit_func (save, commit_in_context, &self, NULL);
      if (i == 0)
        {
          save_ok (save);
        }
      else if (i == 1)
        {
          bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &result);
          g_assert_cmpuint (bs_save_get_n_done (save), ==, 0);
          bs_save_run_finish (save, wait_result (&result), &error);
          g_assert_no_error (error);
        }
      else
        {
          SaveElsewhere elsewhere = { save, FALSE };

          thread = g_thread_new ("save", save_thread, &elsewhere);
          /* To its very end it needs this loop. */
          wait_until (g_atomic_int_get (&elsewhere.done));
          g_assert_cmpfloat (bs_save_get_fraction (save), >=, 1.0);
          g_assert_true (GPOINTER_TO_INT (g_thread_join (thread)));
        }
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture.tracked), ==, 100);
    }
  fixture_tear_down (&fixture);
}

/* A save takes the content that an item has when the save is run. */
static void
test_snapshot (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'a');
  g_autofree char *before = bs_item_dup_key (item);
  g_autofree char *now = NULL;
  g_autoptr (BsSave) save = save_new (fixture);
  g_autoptr (GBytes) bytes = make_bytes (10, 'b');
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  bs_save_add_item (save, item);
  bs_item_replace (item, bytes);
  now = bs_item_dup_key (item);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  bs_item_replace (item, bytes);
  bs_save_run_finish (save, wait_result (&result), &error);
  g_assert_no_error (error);
  g_assert_false (bs_tracked_path_contains_key (fixture->tracked, before));
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, now));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 1);
}

static void
test_made_by_hand (void)
{
  BsSave *save = g_object_new (BS_TYPE_SAVE, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = bs_key_generate ();

  bs_save_keep_key (save, key);
  bs_save_set_max_parallel (save, 2);
  g_assert_cmpuint (bs_save_get_n_total (save), ==, 0);
  g_test_expect_message ("backingstore", G_LOG_LEVEL_CRITICAL, "*bs_save_has_path*");
  g_assert_false (bs_save_run (save, NULL, &error));
  g_test_assert_expected_messages ();
  g_assert_no_error (error);
  g_assert_finalize_object (save);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/save/properties", test_properties);
  test_add ("/save/last-notice", test_last_notice);
  test_add ("/save/told-of-changes", test_told_of_changes);
  test_add ("/save/keeps-and-deletes", test_keeps_and_deletes);
  test_add ("/save/bad-input", test_bad_input);
  test_add ("/save/item-of-other-store", test_item_of_other_store);
  test_add ("/save/root-and-commit", test_root_and_commit);
  test_add ("/save/commit-data", test_commit_data);
  test_add ("/save/run-again", test_run_again);
  test_add ("/save/root-sizes", test_root_sizes);
  test_add ("/save/root-alone", test_root_alone);
  test_add ("/save/many", test_many);
  test_add ("/save/many-cancelled", test_many_cancelled);
  test_add ("/save/cancelled-before", test_cancelled_before);
  g_test_add_func ("/save/main-context", test_main_context);
  test_add ("/save/snapshot", test_snapshot);
  g_test_add_func ("/save/made-by-hand", test_made_by_hand);

  return g_test_run ();
}
