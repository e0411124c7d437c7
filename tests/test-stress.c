/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Random operations from several threads against a model. Run with the seed
 * that it prints (--seed) to see the same operations again; -m slow for long. */

#define N_THREADS 4
#define N_OWN 4    /* items that only one thread uses */
#define N_SHARED 4 /* items that all use */
#define N_PATHS 2
#define N_PASSING 2 /* paths that are tracked and untracked */

typedef enum
{
  PERSIST,
  DELETE,
  BULK_DELETE,
  REGISTER,
  LOAD,
  SYNC,
  FUNCTION,
  DROP_AND_REGISTER,
  REGISTER_ALL,
  TRIM,
  TRACK,
  VERIFY,
  COME_AND_GO,
  N_KINDS,
} Kind;

/* Operations of one thread on one of its own items at a path, in that order. */
typedef struct
{
  guint item;
  guint path;
  gboolean adds;
  Answer *answer; /* owned; NULL when it was a blocking call */
  gboolean success;
} Step;

/* The states in which a key may be at a path. */
typedef enum
{
  MAYBE_ABSENT = 1 << 0,
  MAYBE_PRESENT = 1 << 1,
} Possible;

typedef struct
{
  Fixture *fixture;
  BsTrackedPath **paths;
  BsItem **shared;
  GRand *rand;
  GMainContext *context;
  guint n_operations;
  gboolean cancels;

  BsItem *own[N_OWN];
  char *own_keys[N_OWN];
  Possible possible[N_OWN][N_PATHS];
  GArray *steps;      /* of Step */
  GPtrArray *answers; /* owned Answer, of everything else */
  GPtrArray *cancellables;
} Worker;

static gboolean
sync_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return bs_backing_store_sync (store, data, cancellable, error);
}

/* A call may fail when it was cancelled, or because the test wants it, or at a path
 * that is saved and untracked meanwhile. */
static void
assert_fair (const GError *error)
{
  if (error != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
      !g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND) &&
      !g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT) &&
      !g_error_matches (error, BS_ERROR, BS_ERROR_CLOSED) &&
      !g_error_matches (error, BS_ERROR, BS_ERROR_BUSY))
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
}

/* The operation that the leaver cancels next. */
static gpointer leaving; /* owned, nullable; atomic */
static int leaver_stops; /* atomic */

static void
let_leave (GCancellable *cancellable)
{
  g_autoptr (GCancellable) former =
    g_atomic_pointer_exchange (&leaving, cancellable != NULL ? g_object_ref (cancellable) : NULL);
}

/* Cancels on a thread of its own, just when something is asked. */
static gpointer
leaver (gpointer data)
{
  while (!g_atomic_int_get (&leaver_stops))
    {
      g_autoptr (GCancellable) cancellable = g_atomic_pointer_exchange (&leaving, NULL);

      if (cancellable != NULL)
        g_cancellable_cancel (cancellable);
      else
        g_thread_yield ();
    }
  let_leave (NULL);
  return NULL;
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
  if (g_rand_boolean (self->rand))
    let_leave (cancellable);
  return cancellable;
}

static void
change (Worker *self, gboolean adds, gboolean blocking)
{
  gboolean own = g_rand_boolean (self->rand);
  guint index = g_rand_int_range (self->rand, 0, own ? N_OWN : N_SHARED);
  guint path = g_rand_int_range (self->rand, 0, N_PATHS);
  BsItem *item = own ? self->own[index] : self->shared[index];
  GCancellable *cancellable = pick_cancellable (self);
  g_autofree char *key = bs_item_dup_key (item);
  BsTrackedPath *tracked = self->paths[path];
  BsBackingStore *store = self->fixture->store;
  Step step = { index, path, adds, NULL, FALSE };

  if (blocking)
    {
      g_autoptr (GError) error = NULL;

      if (adds)
        step.success = bs_item_persist (item, tracked, cancellable, &error);
      else
        step.success = bs_backing_store_delete_persisted (store, tracked, key, cancellable, &error);
      assert_fair (error);
    }
  else
    {
      step.answer = own ? g_new0 (Answer, 1) : answer_new (self);
      if (adds)
        bs_item_persist_async (item, tracked, G_PRIORITY_DEFAULT, cancellable, answer_cb,
                               step.answer);
      else
        bs_backing_store_delete_persisted_async (store, tracked, key, G_PRIORITY_DEFAULT,
                                                 cancellable, answer_cb, step.answer);
    }
  if (own)
    g_array_append_val (self->steps, step);
}

/* Only the shared ones: a bulk may come before or after what is asked meanwhile. */
static void
change_many (Worker *self, gboolean blocking)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  BsTrackedPath *tracked = self->paths[g_rand_int_range (self->rand, 0, N_PATHS)];
  GCancellable *cancellable = pick_cancellable (self);

  for (guint i = 0; i < N_SHARED; i++)
    {
      g_autofree char *key = bs_item_dup_key (self->shared[i]);

      if (g_rand_boolean (self->rand))
        bs_key_set_add (keys, key, NULL);
    }
  if (blocking)
    bs_backing_store_delete_persisted_keys (self->fixture->store, tracked, keys, cancellable,
                                            &error);
  else
    bs_backing_store_delete_persisted_keys_async (self->fixture->store, tracked, keys,
                                                  G_PRIORITY_DEFAULT, cancellable, answer_cb,
                                                  answer_new (self));
  assert_fair (error);
}

static BsItem *
pick_shared (Worker *self)
{
  return self->shared[g_rand_int_range (self->rand, 0, N_SHARED)];
}

static void
save_there (Worker *self, BsTrackedPath *passing, gboolean blocking, GError **error)
{
  g_autoptr (BsSave) save = bs_save_new (self->fixture->store, passing);
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);

  bs_save_set_root (save, root);
  for (guint n = g_rand_int_range (self->rand, 0, 3); n > 0; n--)
    bs_save_add_item (save, pick_shared (self));
  if (g_rand_int_range (self->rand, 0, 4) == 0)
    {
      g_autofree char *key = bs_item_dup_key (pick_shared (self));

      bs_save_keep_key (save, key);
    }
  if (blocking)
    bs_save_run (save, pick_cancellable (self), error);
  else
    bs_save_run_async (save, G_PRIORITY_DEFAULT, pick_cancellable (self), answer_cb,
                       answer_new (self));
}

/* A path that others may untrack, or let go of, at any time. */
static void
come_and_go (Worker *self)
{
  g_autofree char *uri =
    g_strdup_printf ("gate:///coming/%u", g_rand_int_range (self->rand, 0, N_PASSING));
  g_autoptr (GFile) file = g_file_new_for_uri (uri);
  BsBackingStore *store = self->fixture->store;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsTrackedPath) passing = bs_backing_store_track_path (store, file, NULL, &error);

  for (guint n = g_rand_int_range (self->rand, 1, 5); n > 0 && error == NULL; n--)
    {
      gboolean blocking = g_rand_int_range (self->rand, 0, 3) == 0;
      BsItem *item = pick_shared (self);
      g_autofree char *key = bs_item_dup_key (item);

      switch (g_rand_int_range (self->rand, 0, 6))
        {
        case 0:
          if (blocking)
            bs_backing_store_untrack_path (store, passing, pick_cancellable (self), &error);
          else
            bs_backing_store_untrack_path_async (store, passing, G_PRIORITY_DEFAULT,
                                                 pick_cancellable (self), answer_cb,
                                                 answer_new (self));
          break;
        case 1:
          if (blocking)
            bs_item_persist (item, passing, NULL, &error);
          else
            bs_item_persist_async (item, passing, G_PRIORITY_DEFAULT, pick_cancellable (self),
                                   answer_cb, answer_new (self));
          break;
        case 2:
          if (blocking)
            bs_backing_store_delete_persisted (store, passing, key, NULL, &error);
          else
            bs_backing_store_delete_persisted_async (store, passing, key, G_PRIORITY_DEFAULT,
                                                     pick_cancellable (self), answer_cb,
                                                     answer_new (self));
          break;
        case 3:
          bs_backing_store_sync_async (store, passing, G_PRIORITY_DEFAULT, pick_cancellable (self),
                                       answer_cb, answer_new (self));
          break;
        default:
          save_there (self, passing, blocking, &error);
          break;
        }
    }
  assert_fair (error);
}

static void
operate (Worker *self)
{
  Kind kind = g_rand_int_range (self->rand, 0, N_KINDS);
  gboolean blocking = g_rand_int_range (self->rand, 0, 3) == 0;
  BsTrackedPath *tracked = self->paths[g_rand_int_range (self->rand, 0, N_PATHS)];
  BsItem *shared = self->shared[g_rand_int_range (self->rand, 0, N_SHARED)];
  g_autofree char *key = bs_item_dup_key (shared);
  BsBackingStore *store = self->fixture->store;
  BsPool *pool = self->fixture->pool;
  g_autoptr (GError) error = NULL;
  g_autoptr (GObject) object = NULL;
  g_autoptr (GBytes) bytes = NULL;
  int priority = g_rand_int_range (self->rand, -1, 2) * 100;

  switch (kind)
    {
    case PERSIST:
    case DELETE:
      change (self, kind == PERSIST, blocking);
      break;
    case BULK_DELETE:
      change_many (self, blocking);
      break;
    case REGISTER:
      if (blocking)
        object = (GObject *) bs_pool_register (pool, tracked, key, NULL, &error);
      else
        bs_pool_register_async (pool, tracked, key, priority, pick_cancellable (self), answer_cb,
                                answer_new (self));
      break;
    case LOAD:
      if (blocking)
        bytes = bs_item_load (shared, NULL, &error);
      else
        bs_item_load_async (shared, priority, pick_cancellable (self), answer_cb,
                            answer_new (self));
      break;
    case SYNC:
      if (blocking)
        bs_backing_store_sync (store, tracked, pick_cancellable (self), &error);
      else
        bs_backing_store_sync_async (store, tracked, priority, pick_cancellable (self), answer_cb,
                                     answer_new (self));
      break;
    case FUNCTION:
      if (blocking)
        bs_backing_store_run_in_thread (store, sync_inside, tracked, NULL, NULL, &error);
      else
        bs_backing_store_run_in_thread_async (store, sync_inside, g_object_ref (tracked),
                                              g_object_unref, priority, pick_cancellable (self),
                                              answer_cb, answer_new (self));
      break;
    case DROP_AND_REGISTER:
      {
        g_autoptr (GBytes) content = g_bytes_new_static ("short-lived", 11);
        g_autoptr (BsItem) item = bs_pool_insert (pool, content);
        g_autoptr (BsItem) again = NULL;
        g_autofree char *short_key = bs_item_dup_key (item);

        if (bs_item_persist (item, tracked, NULL, &error))
          {
            g_clear_object (&item);
            bs_pool_register_async (pool, tracked, short_key, priority, pick_cancellable (self),
                                    answer_cb, answer_new (self));
            bs_backing_store_delete_persisted_async (store, tracked, short_key, priority, NULL,
                                                     answer_cb, answer_new (self));
          }
      }
      break;
    case REGISTER_ALL:
      if (blocking)
        object = (GObject *) bs_pool_register_all (pool, tracked, NULL, &error);
      else
        bs_pool_register_all_async (pool, tracked, priority, pick_cancellable (self), answer_cb,
                                    answer_new (self));
      break;
    case TRIM:
      bs_pool_trim_async (pool, 0, priority, pick_cancellable (self), answer_cb, answer_new (self));
      break;
    case TRACK:
      if (blocking)
        {
          object =
            (GObject *) bs_backing_store_track_path (store, bs_tracked_path_get_file (tracked),
                                                     NULL, &error);
          g_assert_true (object == (GObject *) tracked);
        }
      else
        {
          g_autofree char *uri =
            g_strdup_printf ("gate:///passing/%u", g_rand_int_range (self->rand, 0, 3));
          g_autoptr (GFile) file = g_file_new_for_uri (uri);

          bs_backing_store_track_path_async (store, file, priority, pick_cancellable (self),
                                             answer_cb, answer_new (self));
        }
      break;
    case VERIFY:
      {
        g_autoptr (BsVerify) verify = bs_verify_new (store, tracked);

        if (blocking)
          bs_verify_run (verify, pick_cancellable (self), &error);
        else
          bs_verify_run_async (verify, priority, pick_cancellable (self), answer_cb,
                               answer_new (self));
      }
      break;
    case COME_AND_GO:
      come_and_go (self);
      break;
    case N_KINDS:
    default:
      g_assert_not_reached ();
    }
  assert_fair (error);

  if (self->cancellables->len > 0 && g_rand_int_range (self->rand, 0, 4) == 0)
    g_cancellable_cancel (
      g_ptr_array_index (self->cancellables,
                         g_rand_int_range (self->rand, 0, self->cancellables->len)));
  if (g_rand_int_range (self->rand, 0, 4) == 0)
    g_main_context_iteration (self->context, FALSE);
}

static void
await_all (Worker *self)
{
  for (guint i = 0; i < self->answers->len; i++)
    {
      Answer *answer = g_ptr_array_index (self->answers, i);

      while (answer->n_calls == 0)
        g_main_context_iteration (self->context, TRUE);
    }
  for (guint i = 0; i < self->steps->len; i++)
    {
      Step *step = &g_array_index (self->steps, Step, i);

      while (step->answer != NULL && step->answer->n_calls == 0)
        g_main_context_iteration (self->context, TRUE);
    }
  while (g_main_context_iteration (self->context, FALSE))
    ;
}

static void
judge_answer (Answer *answer)
{
  g_autoptr (GError) error = NULL;
  GTask *task = G_TASK (answer->result);

  g_assert_cmpint (answer->n_calls, ==, 1);
  if (g_task_had_error (task))
    g_task_propagate_pointer (task, &error);
  assert_fair (error);
  answer_clear (answer);
}

/* The possible leftovers of each step. */
static void
judge_steps (Worker *self)
{
  for (guint i = 0; i < self->steps->len; i++)
    {
      Step *step = &g_array_index (self->steps, Step, i);
      Possible effect = step->adds ? MAYBE_PRESENT : MAYBE_ABSENT;
      Possible *possible = &self->possible[step->item][step->path];

      if (step->answer != NULL)
        {
          step->success = !g_task_had_error (G_TASK (step->answer->result));
          judge_answer (step->answer);
          g_free (step->answer);
        }
      *possible = step->success ? effect : *possible | effect;
    }
  g_array_set_size (self->steps, 0);
}

static gpointer
work (gpointer data)
{
  Worker *self = data;

  g_main_context_push_thread_default (self->context);
  for (guint i = 0; i < self->n_operations; i++)
    operate (self);
  await_all (self);
  judge_steps (self);
  for (guint i = 0; i < self->answers->len; i++)
    judge_answer (g_ptr_array_index (self->answers, i));
  g_ptr_array_set_size (self->answers, 0);
  g_ptr_array_set_size (self->cancellables, 0);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static void
check_worker (Worker *self)
{
  for (guint i = 0; i < N_OWN; i++)
    for (guint j = 0; j < N_PATHS; j++)
      {
        GFile *file = bs_tracked_path_get_file (self->paths[j]);
        gboolean there = gate_backing_has_persisted (self->fixture->gates, file, self->own_keys[i]);

        g_assert_true (self->possible[i][j] & (there ? MAYBE_PRESENT : MAYBE_ABSENT));
        if (self->possible[i][j] == MAYBE_PRESENT || self->possible[i][j] == MAYBE_ABSENT)
          g_assert_cmpint (bs_tracked_path_contains_key (self->paths[j], self->own_keys[i]), ==,
                           there);
      }
}

/* Between rounds: nothing is under way, and what is known is so. */
static void
check_round (Fixture *fixture, Worker *workers, BsTrackedPath **paths, BsItem **shared)
{
  g_autoptr (GError) error = NULL;

  gate_backing_clear (fixture->gates);
  settle (fixture);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (
                      bs_backing_store_get_task_tracker (fixture->store)),
                    ==, 0);
  gate_backing_assert_contract (fixture->gates);
  for (guint i = 0; i < N_THREADS; i++)
    check_worker (&workers[i]);
  for (guint j = 0; j < N_PATHS; j++)
    {
      GFile *file = bs_tracked_path_get_file (paths[j]);

      g_assert_true (bs_backing_store_sync (fixture->store, paths[j], NULL, &error));
      for (guint i = 0; i < N_SHARED; i++)
        {
          g_autofree char *key = bs_item_dup_key (shared[i]);

          g_assert_true (gate_backing_is_durable (fixture->gates, file, key));
          /* A persist makes an uncertain key certain. */
          g_assert_true (bs_item_persist (shared[i], paths[j], NULL, &error));
          g_assert_true (bs_tracked_path_contains_key (paths[j], key));
          g_assert_true (gate_backing_has_persisted (fixture->gates, file, key));
        }
    }
  for (guint i = 0; i < N_SHARED; i++)
    assert_content (shared[i], "shared");
}

static void
worker_init (Worker *self,
             Fixture *fixture,
             BsTrackedPath **paths,
             BsItem **shared,
             guint n_operations)
{
  memset (self, 0, sizeof *self);
  self->fixture = fixture;
  self->paths = paths;
  self->shared = shared;
  self->rand = g_rand_new_with_seed (g_test_rand_int ());
  self->context = g_main_context_new ();
  self->n_operations = n_operations;
  self->steps = g_array_new (FALSE, FALSE, sizeof (Step));
  self->answers = g_ptr_array_new_with_free_func (g_free);
  self->cancellables = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < N_OWN; i++)
    {
      self->own[i] = insert (fixture, "own");
      self->own_keys[i] = bs_item_dup_key (self->own[i]);
      for (guint j = 0; j < N_PATHS; j++)
        self->possible[i][j] = MAYBE_ABSENT;
    }
}

static void
worker_clear (Worker *self)
{
  for (guint i = 0; i < N_OWN; i++)
    {
      g_object_unref (self->own[i]);
      g_free (self->own_keys[i]);
    }
  g_rand_free (self->rand);
  g_main_context_unref (self->context);
  g_array_unref (self->steps);
  g_ptr_array_unref (self->answers);
  g_ptr_array_unref (self->cancellables);
}

/* Now and then something fails, before its effect or after. */
static void
inject_failures (Fixture *fixture)
{
  static const BsOperation operations[] = {
    BS_OPERATION_WRITE,
    BS_OPERATION_REGISTER_KEY,
    BS_OPERATION_REGISTER_KEYS,
    BS_OPERATION_PERSIST,
    BS_OPERATION_DELETE_PERSISTED,
    BS_OPERATION_DELETE_PERSISTED_KEYS,
    BS_OPERATION_SYNC_PERSISTED,
    BS_OPERATION_SANITIZE_PATH,
    BS_OPERATION_WRITE_ROOT,
    BS_OPERATION_VERIFY_PERSISTED,
  };

  for (guint i = 0; i < 10; i++)
    gate_backing_fail (fixture->gates,
                       operations[g_test_rand_int_range (0, G_N_ELEMENTS (operations))], NULL,
                       g_test_rand_int_range (0, 2), g_test_rand_int_range (1, 40),
                       G_IO_ERROR_BUSY);
}

/* `rounds` of them, and in the end nothing is left. */
static void
stress (Fixture *fixture, gboolean cancels, gboolean fails)
{
  guint n_rounds = g_test_slow () ? 300 : 4;
  g_autoptr (GFile) other_file = g_file_new_for_uri ("gate:///other");
  BsTrackedPath *paths[N_PATHS] = { fixture->tracked, track (fixture, other_file) };
  BsItem *shared[N_SHARED];
  char *shared_keys[N_SHARED];
  Worker workers[N_THREADS];

  for (guint i = 0; i < N_SHARED; i++)
    {
      shared[i] = insert (fixture, "shared");
      shared_keys[i] = bs_item_dup_key (shared[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    {
      worker_init (&workers[i], fixture, paths, shared, g_test_slow () ? 200 : 60);
      workers[i].cancels = cancels;
    }
  for (guint round = 0; round < n_rounds; round++)
    {
      GThread *threads[N_THREADS];
      GThread *leaving_thread;

      watchdog_start ();
      g_atomic_int_set (&leaver_stops, FALSE);
      leaving_thread = g_thread_new ("leaver", leaver, NULL);
      if (fails)
        inject_failures (fixture);
      for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new ("worker", work, &workers[i]);
      for (guint i = 0; i < N_THREADS; i++)
        g_thread_join (threads[i]);
      g_atomic_int_set (&leaver_stops, TRUE);
      g_thread_join (leaving_thread);
      check_round (fixture, workers, paths, shared);
    }

  for (guint i = 0; i < N_THREADS; i++)
    worker_clear (&workers[i]);
  for (guint i = 0; i < N_SHARED; i++)
    g_object_unref (shared[i]);
  settle (fixture);
  for (guint i = 0; i < N_SHARED; i++)
    {
      g_assert_true (is_forgotten (fixture->store, shared_keys[i]));
      g_free (shared_keys[i]);
    }
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

  test_add_bulk ("/stress/plain", test_plain);
  test_add_bulk ("/stress/cancels", test_cancels);
  test_add_bulk ("/stress/failures", test_failures);
  test_add_bulk ("/stress/everything", test_everything);

  return g_test_run ();
}
