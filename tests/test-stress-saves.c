/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "gate-backing-private.h"
#include "store-fixture.h"

/* Random saves of two documents from several threads, beside whatever else may
 * happen there. Whenever the backing has done something, the root that it has
 * names nothing that is not there and durable. Run with the seed that it prints
 * (--seed) to see the same operations again; -m slow for long. */

#define N_THREADS 4
#define N_ITEMS 6
#define N_PATHS 2
#define KEY_LENGTH 36

typedef enum
{
  SAVE,
  SAVE_AND_FORGET,
  ABORTED_SAVE,
  SAVE_INSIDE,
  REPLACE,
  KEEP,
  STRANGER,
  SYNC,
  N_KINDS,
} Kind;

typedef struct
{
  Fixture *fixture;
  BsTrackedPath **paths;
  GRand *rand;
  GMainContext *context;
  guint n_operations;
  gboolean cancels;

  BsItem *items[N_ITEMS];
  guint n_contents;
  GPtrArray *answers; /* owned Answer */
  GPtrArray *cancellables;
} Worker;

/* A root is the keys that it names, one after the other. Where nothing fails,
 * nothing that is there is persisted again, and so none of it is dirty. */
static void
check_root (GateBacking *gates, BsOperation operation, const char *key, gpointer fails)
{
  GateBackingPrivate *self = gate_backing_get_private (gates);
  GHashTableIter iter;
  gpointer place_pointer;

  g_mutex_lock (&self->mutex);
  g_hash_table_iter_init (&iter, self->places);
  while (g_hash_table_iter_next (&iter, NULL, &place_pointer))
    {
      Place *place = place_pointer;
      gsize size = 0;
      const char *named = place->root != NULL ? g_bytes_get_data (place->root, &size) : NULL;

      for (gsize i = 0; i < size; i += KEY_LENGTH)
        {
          g_autofree char *one = g_strndup (named + i, KEY_LENGTH);

          g_assert_true (g_hash_table_contains (place->blobs, one));
          if (!GPOINTER_TO_INT (fails))
            g_assert_false (g_hash_table_contains (place->dirty, one));
        }
    }
  g_mutex_unlock (&self->mutex);
}

static const BsOperation checked[] = {
  BS_OPERATION_PERSIST,          BS_OPERATION_PERSIST_BYTES,         BS_OPERATION_PERSIST_KEYS,
  BS_OPERATION_DELETE_PERSISTED, BS_OPERATION_DELETE_PERSISTED_KEYS, BS_OPERATION_WRITE_ROOT,
};

/* Cancelled, or as the test wants it; or about a key that a save names. */
static void
assert_fair (const GError *error)
{
  if (error != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
      !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY) &&
      !g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND) &&
      !g_error_matches (error, BS_ERROR, BS_ERROR_BUSY))
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
}

static Answer *
answer_new (Worker *self)
{
  Answer *answer = g_new0 (Answer, 1);

  g_ptr_array_add (self->answers, answer);
  return answer;
}

static GCancellable *
pick_cancellable (Worker *self)
{
  GCancellable *cancellable;

  if (!self->cancels || g_rand_int_range (self->rand, 0, 3) != 0)
    return NULL;
  cancellable = g_cancellable_new ();
  g_ptr_array_add (self->cancellables, cancellable);
  return cancellable;
}

static BsItem *
make_item (Worker *self)
{
  g_autofree char *content = g_strdup_printf ("%p %u", (gpointer) self, self->n_contents++);

  return insert (self->fixture, content);
}

static BsSave *
make_save (Worker *self, BsTrackedPath *tracked)
{
  BsSave *save = bs_save_new (self->fixture->store, tracked);
  GString *root = g_string_new (NULL);
  g_autoptr (GBytes) bytes = NULL;

  for (guint i = 0; i < N_ITEMS; i++)
    if (g_rand_boolean (self->rand))
      {
        g_autofree char *key = bs_item_dup_key (self->items[i]);

        bs_save_add_item (save, self->items[i]);
        g_string_append (root, key);
      }
  bytes = g_string_free_to_bytes (root);
  bs_save_set_root (save, bytes);
  bs_save_set_max_parallel (save, g_rand_int_range (self->rand, 1, 6));
  return save;
}

static void
run_save (Worker *self, BsSave *save, gboolean blocking)
{
  g_autoptr (GError) error = NULL;
  int priority = g_rand_int_range (self->rand, -1, 2) * 100;

  if (blocking)
    bs_save_run (save, pick_cancellable (self), &error);
  else
    bs_save_run_async (save, priority, pick_cancellable (self), answer_cb, answer_new (self));
  assert_fair (error);
}

/* Nothing that a save names can be deleted, or saved to, in its commit function. */
static gboolean
abort_cb (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY, "so the test wants it");
  return FALSE;
}

static gboolean
save_inside_cb (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  BsTrackedPath **paths = data;

  for (guint i = 0; i < N_PATHS; i++)
    {
      g_autoptr (BsSave) inner = bs_save_new (bs_save_get_store (save), paths[i]);
      g_autoptr (GError) local_error = NULL;

      /* A save that names nothing, and aborts, has no effect. */
      bs_save_set_commit_func (inner, abort_cb, NULL, NULL);
      g_assert_false (bs_save_run (inner, cancellable, &local_error));
      if (paths[i] == bs_save_get_tracked (save))
        g_assert_error (local_error, BS_ERROR, BS_ERROR_BUSY);
      else if (!g_error_matches (local_error, BS_ERROR, BS_ERROR_BUSY))
        assert_fair (local_error);
    }

  return abort_cb (save, cancellable, NULL, error);
}

static void
keep (Worker *self, BsTrackedPath *tracked, gboolean blocking)
{
  g_autoptr (BsSave) save = bs_save_new (self->fixture->store, tracked);
  g_auto (GStrv) keys = bs_tracked_path_list_keys (tracked);

  /* A key that is there now may be gone when the save's turn comes; it aborts anyway. */
  for (guint i = 0; keys[i] != NULL; i++)
    bs_save_keep_key (save, keys[i]);
  bs_save_set_commit_func (save, abort_cb, NULL, NULL);
  run_save (self, save, blocking);
}

/* Keys that no save names come and go at random. */
static void
move_stranger (Worker *self, BsTrackedPath *tracked)
{
  g_autoptr (BsItem) item = make_item (self);
  g_autofree char *key = bs_item_dup_key (item);

  bs_item_persist_async (item, tracked, G_PRIORITY_DEFAULT, pick_cancellable (self), answer_cb,
                         answer_new (self));
  bs_backing_store_delete_persisted_async (self->fixture->store, tracked, key, G_PRIORITY_DEFAULT,
                                           pick_cancellable (self), answer_cb, answer_new (self));
}

static void
operate (Worker *self)
{
  Kind kind = g_rand_int_range (self->rand, 0, N_KINDS);
  gboolean blocking = g_rand_int_range (self->rand, 0, 3) == 0;
  BsTrackedPath *tracked = self->paths[g_rand_int_range (self->rand, 0, N_PATHS)];
  guint index = g_rand_int_range (self->rand, 0, N_ITEMS);
  g_autoptr (BsSave) save = make_save (self, tracked);

  switch (kind)
    {
    case SAVE:
      run_save (self, save, blocking);
      break;
    case SAVE_AND_FORGET:
      run_save (self, save, blocking);
      g_clear_object (&self->items[index]);
      self->items[index] = make_item (self);
      break;
    case ABORTED_SAVE:
      bs_save_set_root (save, NULL);
      bs_save_set_commit_func (save, abort_cb, NULL, NULL);
      run_save (self, save, blocking);
      break;
    case SAVE_INSIDE:
      bs_save_set_root (save, NULL);
      bs_save_set_commit_func (save, save_inside_cb, self->paths, NULL);
      run_save (self, save, blocking);
      break;
    case REPLACE:
      {
        g_autoptr (GBytes) bytes = g_bytes_new_static ("replaced", 8);

        bs_item_replace (self->items[index], bytes);
      }
      break;
    case KEEP:
      keep (self, tracked, blocking);
      break;
    case STRANGER:
      move_stranger (self, tracked);
      break;
    case SYNC:
      bs_backing_store_sync_async (self->fixture->store, tracked, G_PRIORITY_DEFAULT,
                                   pick_cancellable (self), answer_cb, answer_new (self));
      break;
    case N_KINDS:
    default:
      g_assert_not_reached ();
    }

  if (self->cancellables->len > 0 && g_rand_int_range (self->rand, 0, 4) == 0)
    g_cancellable_cancel (
      g_ptr_array_index (self->cancellables,
                         g_rand_int_range (self->rand, 0, self->cancellables->len)));
  if (g_rand_int_range (self->rand, 0, 4) == 0)
    g_main_context_iteration (self->context, FALSE);
}

static gpointer
work (gpointer data)
{
  Worker *self = data;

  g_main_context_push_thread_default (self->context);
  for (guint i = 0; i < self->n_operations; i++)
    operate (self);
  for (guint i = 0; i < self->answers->len; i++)
    {
      Answer *answer = g_ptr_array_index (self->answers, i);
      g_autoptr (GError) error = NULL;

      while (answer->n_calls == 0)
        g_main_context_iteration (self->context, TRUE);
      g_assert_cmpint (answer->n_calls, ==, 1);
      if (g_task_had_error (G_TASK (answer->result)))
        g_task_propagate_pointer (G_TASK (answer->result), &error);
      assert_fair (error);
      answer_clear (answer);
    }
  while (g_main_context_iteration (self->context, FALSE))
    ;
  g_ptr_array_set_size (self->answers, 0);
  g_ptr_array_set_size (self->cancellables, 0);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static void
worker_init (Worker *self, Fixture *fixture, BsTrackedPath **paths, gboolean cancels)
{
  memset (self, 0, sizeof *self);
  self->fixture = fixture;
  self->paths = paths;
  self->rand = g_rand_new_with_seed (g_test_rand_int ());
  self->context = g_main_context_new ();
  self->n_operations = g_test_slow () ? 150 : 40;
  self->cancels = cancels;
  self->answers = g_ptr_array_new_with_free_func (g_free);
  self->cancellables = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < N_ITEMS; i++)
    self->items[i] = make_item (self);
}

static void
worker_clear (Worker *self)
{
  for (guint i = 0; i < N_ITEMS; i++)
    g_object_unref (self->items[i]);
  g_rand_free (self->rand);
  g_main_context_unref (self->context);
  g_ptr_array_unref (self->answers);
  g_ptr_array_unref (self->cancellables);
}

/* Now and then something fails. A root is replaced or not: a backing that says
 * that it was not, and did it, breaks its contract. */
static void
inject_failures (Fixture *fixture)
{
  static const BsOperation operations[] = {
    BS_OPERATION_WRITE,
    BS_OPERATION_REGISTER_KEY,
    BS_OPERATION_PERSIST,
    BS_OPERATION_PERSIST_BYTES,
    BS_OPERATION_PERSIST_KEYS,
    BS_OPERATION_DELETE_PERSISTED,
    BS_OPERATION_DELETE_PERSISTED_KEYS,
    BS_OPERATION_SYNC_PERSISTED,
    BS_OPERATION_WRITE_ROOT,
  };

  for (guint i = 0; i < 10; i++)
    {
      BsOperation operation = operations[g_test_rand_int_range (0, G_N_ELEMENTS (operations))];
      GatePoint point =
        operation == BS_OPERATION_WRITE_ROOT ? GATE_BEFORE : g_test_rand_int_range (0, 2);

      gate_backing_fail (fixture->gates, operation, NULL, point, g_test_rand_int_range (1, 30),
                         G_IO_ERROR_BUSY);
    }
}

/* Nothing is under way: a save that is left alone leaves what it names. */
static void
check_round (Fixture *fixture, Worker *workers, BsTrackedPath **paths)
{
  gate_backing_clear (fixture->gates);
  settle (fixture);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (
                      bs_backing_store_get_task_tracker (fixture->store)),
                    ==, 0);
  gate_backing_assert_contract (fixture->gates);
  check_root (fixture->gates, BS_OPERATION_CLOSE, NULL, NULL);
  for (guint i = 0; i < N_PATHS; i++)
    {
      g_autoptr (BsSave) save = make_save (&workers[i], paths[i]);
      g_autoptr (GBytes) root = NULL;
      g_autoptr (GError) error = NULL;
      gboolean success = bs_save_run (save, NULL, &error);

      g_assert_no_error (error);
      g_assert_true (success);
      root = bs_backing_store_load_root (fixture->store, paths[i], NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (root) / KEY_LENGTH, ==,
                        bs_tracked_path_get_n_keys (paths[i]));
      for (guint j = 0; j < BS_N_SHARDS; j++)
        for (guint k = 0; k < BS_N_MEMBER_FLAGS; k++)
          if ((1 << k) &
              (BS_MEMBER_PINNED | BS_MEMBER_ADDED | BS_MEMBER_CLAIMED | BS_MEMBER_TO_DELETE))
            g_assert_cmpuint (paths[i]->members.shards[j].n_flagged[k], ==, 0);
    }
  check_root (fixture->gates, BS_OPERATION_CLOSE, NULL, NULL);
}

static void
stress (Fixture *fixture, gboolean cancels, gboolean fails)
{
  guint n_rounds = g_test_slow () ? 300 : 5;
  g_autoptr (GFile) other_file = g_file_new_for_uri ("gate:///other");
  BsTrackedPath *paths[N_PATHS] = { fixture->tracked, track (fixture, other_file) };
  Worker workers[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    worker_init (&workers[i], fixture, paths, cancels);
  for (guint round = 0; round < n_rounds; round++)
    {
      GThread *threads[N_THREADS];

      watchdog_start ();
      for (guint i = 0; i < G_N_ELEMENTS (checked); i++)
        gate_backing_set_hook (fixture->gates, checked[i], GATE_AFTER, check_root,
                               GINT_TO_POINTER (fails));
      if (fails)
        inject_failures (fixture);
      for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new ("worker", work, &workers[i]);
      for (guint i = 0; i < N_THREADS; i++)
        g_thread_join (threads[i]);
      check_round (fixture, workers, paths);
    }

  for (guint i = 0; i < N_THREADS; i++)
    worker_clear (&workers[i]);
  settle (fixture);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    g_assert_cmpuint (fixture->store->shards[i].n_tokens, ==, 0);
  g_object_unref (paths[1]);
}

static void
test_plain (Fixture *fixture, gconstpointer data)
{
  stress (fixture, FALSE, FALSE);
}

static void
test_cancels (Fixture *fixture, gconstpointer data)
{
  stress (fixture, TRUE, FALSE);
}

static void
test_failures (Fixture *fixture, gconstpointer data)
{
  stress (fixture, FALSE, TRUE);
}

static void
test_everything (Fixture *fixture, gconstpointer data)
{
  stress (fixture, TRUE, TRUE);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add_bulk ("/stress/saves/plain", test_plain);
  test_add_bulk ("/stress/saves/cancels", test_cancels);
  test_add_bulk ("/stress/saves/failures", test_failures);
  test_add_bulk ("/stress/saves/everything", test_everything);
  test_add_batch ("/stress/saves/batch/plain", test_plain);
  test_add_batch ("/stress/saves/batch/cancels", test_cancels);
  test_add_batch ("/stress/saves/batch/failures", test_failures);
  test_add_batch ("/stress/saves/batch/everything", test_everything);

  return g_test_run ();
}
