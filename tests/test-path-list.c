/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Lists that follow their path. A shadow repeats each change that a list tells of, and is
 * compared with the list each time. */

typedef struct
{
  GListModel *list;  /* owned */
  GPtrArray *keys;   /* of strings, owned */
  GString *changes;  /* each as "position-removed+added " */
  GThread *thread;   /* of the last one */
  BsItem *persisted; /* nullable: a handler runs the loop until that is at the path */
  Fixture *fixture;
} Shadow;

static char *
dup_key_at (GListModel *list, guint position)
{
  g_autoptr (BsItem) item = g_list_model_get_item (list, position);

  return item != NULL ? bs_item_dup_key (item) : NULL;
}

static void
assert_equal (Shadow *self)
{
  g_assert_cmpuint (g_list_model_get_n_items (self->list), ==, self->keys->len);
  for (guint i = 0; i < self->keys->len; i++)
    {
      g_autofree char *key = dup_key_at (self->list, i);

      g_assert_cmpstr (key, ==, self->keys->pdata[i]);
    }
}

static gboolean
set_true (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

/* Everything that a list was to tell of so far is dispatched: its source is due before this
 * one. */
static void
wait_told (void)
{
  gboolean is_over = FALSE;

  g_timeout_add (20, set_true, &is_over);
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
}

static void
items_changed_cb (GListModel *list, guint position, guint n_removed, guint n_added, gpointer data)
{
  Shadow *self = data;

  self->thread = g_thread_self ();
  g_string_append_printf (self->changes, "%u-%u+%u ", position, n_removed, n_added);
  if (n_removed > 0)
    g_ptr_array_remove_range (self->keys, position, n_removed);
  for (guint i = 0; i < n_added; i++)
    g_ptr_array_insert (self->keys, (int) (position + i), dup_key_at (list, position + i));
  assert_equal (self);

  if (self->persisted != NULL)
    {
      g_autoptr (BsItem) item = g_steal_pointer (&self->persisted);
      Answer answer = {
        0,
      };

      persist_async (self->fixture, item, NULL, &answer);
      answer_ok (&answer);
      /* The source of the next change comes in here, and has to wait. */
      wait_told ();
      assert_equal (self);
    }
}

/* Takes the list over. */
static void
shadow_init (Shadow *self, Fixture *fixture, GListModel *list)
{
  *self = (Shadow){ .fixture = fixture, .list = list };
  self->keys = g_ptr_array_new_with_free_func (g_free);
  self->changes = g_string_new (NULL);
  for (guint i = 0; i < g_list_model_get_n_items (list); i++)
    g_ptr_array_add (self->keys, dup_key_at (list, i));
  g_signal_connect (list, "items-changed", G_CALLBACK (items_changed_cb), self);
}

static void
shadow_clear (Shadow *self)
{
  g_signal_handlers_disconnect_by_data (self->list, self);
  assert_goes (self->list);
  g_ptr_array_unref (self->keys);
  g_string_free (self->changes, TRUE);
}

static void
follow (Shadow *self, Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  GListModel *list = bs_pool_follow (fixture->pool, fixture->tracked, NULL, &error);

  g_assert_no_error (error);
  shadow_init (self, fixture, list);
}

/* Waits until everything noted has been told of, and something was. */
static void
assert_changes (Shadow *self, const char *changes)
{
  wait_until (strlen (self->changes->str) >= strlen (changes));
  g_assert_cmpstr (self->changes->str, ==, changes);
  g_string_truncate (self->changes, 0);
}

/* Waits until the list has the path's keys. */
static void
wait_same (Shadow *self)
{
  for (;;)
    {
      gboolean is_same = self->keys->len == bs_tracked_path_get_n_keys (self->fixture->tracked);

      for (guint i = 0; is_same && i < self->keys->len; i++)
        is_same = bs_tracked_path_contains_key (self->fixture->tracked, self->keys->pdata[i]);
      if (is_same)
        break;
      g_main_context_iteration (NULL, FALSE);
      g_thread_yield ();
    }
}

/* Keys at the path that no item holds. */
static void
put_keys (Fixture *fixture, guint n_keys)
{
  for (guint i = 0; i < n_keys; i++)
    g_free (put_key (fixture, "a"));
}

static void
delete_key (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
}

static void
test_first (Fixture *fixture, gconstpointer data)
{
  Shadow shadow;

  put_keys (fixture, 20);
  follow (&shadow, fixture);
  g_assert_cmpuint (shadow.keys->len, ==, 20);
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (BsItem) item = g_list_model_get_item (shadow.list, i);
      g_autoptr (BsItem) again = g_list_model_get_item (shadow.list, i);

      g_assert_true (item == again);
      if (i > 0)
        g_assert_cmpstr (shadow.keys->pdata[i - 1], <, shadow.keys->pdata[i]);
      assert_content (item, "a");
    }
  g_assert_true (g_list_model_get_item_type (shadow.list) == BS_TYPE_ITEM);
  g_assert_null (g_list_model_get_item (shadow.list, 20));
  g_assert_null (g_list_model_get_item (shadow.list, G_MAXUINT));
  shadow_clear (&shadow);
}

/* Changes that nobody could see are told of at once, in the order of their arrival. */
static void
test_persist (Fixture *fixture, gconstpointer data)
{
  BsItem *items[3];
  Shadow shadow;

  put_keys (fixture, 2);
  follow (&shadow, fixture);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    items[i] = insert_persisted (fixture, "b");
  assert_changes (&shadow, "2-0+3 ");
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      g_autofree char *key = bs_item_dup_key (items[i]);

      g_assert_cmpstr (shadow.keys->pdata[2 + i], ==, key);
      g_object_unref (items[i]);
    }
  shadow_clear (&shadow);
}

static void
test_delete (Fixture *fixture, gconstpointer data)
{
  static const guint gone[] = { 1, 2, 4, 7 };
  g_autoptr (BsItem) held = NULL;
  Shadow shadow;

  put_keys (fixture, 8);
  follow (&shadow, fixture);
  held = g_list_model_get_item (shadow.list, 4);
  for (guint i = 0; i < G_N_ELEMENTS (gone); i++)
    delete_key (fixture, shadow.keys->pdata[gone[i]]);
  assert_changes (&shadow, "7-1+0 4-1+0 1-2+0 ");
  assert_content (held, "a");

  for (guint i = 0; i < 4; i++)
    delete_key (fixture, shadow.keys->pdata[i]);
  assert_changes (&shadow, "0-4+0 ");
  g_assert_null (g_list_model_get_item (shadow.list, 0));
  shadow_clear (&shadow);
}

/* A key that comes back before its departure was told of keeps its place; one that comes
 * and goes was never there. */
static void
test_back_again (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = NULL, passing = NULL, last = NULL;
  g_autofree char *key = NULL;
  Shadow shadow;

  put_keys (fixture, 3);
  follow (&shadow, fixture);
  first = g_list_model_get_item (shadow.list, 0);
  delete_key (fixture, shadow.keys->pdata[0]);
  {
    g_autoptr (GError) error = NULL;

    bs_item_persist (first, fixture->tracked, NULL, &error);
    g_assert_no_error (error);
  }
  passing = insert_persisted (fixture, "b");
  key = bs_item_dup_key (passing);
  delete_key (fixture, key);
  last = insert_persisted (fixture, "c");
  assert_changes (&shadow, "3-0+1 ");
  shadow_clear (&shadow);
}

static void
test_save (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) save = bs_save_new (fixture->store, fixture->tracked);
  g_autoptr (BsItem) added = NULL;
  g_autoptr (GError) error = NULL;
  Shadow shadow;

  put_keys (fixture, 4);
  follow (&shadow, fixture);
  added = insert (fixture, "b");
  bs_save_keep_key (save, shadow.keys->pdata[2]);
  bs_save_add_item (save, added);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  assert_changes (&shadow, "3-1+0 0-2+0 1-0+1 ");
  shadow_clear (&shadow);
}

static void
test_verify (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, fixture->tracked);
  g_autoptr (GError) error = NULL;
  Shadow shadow;

  put_keys (fixture, 3);
  follow (&shadow, fixture);
  gate_backing_spoil (fixture->gates, fixture->file, shadow.keys->pdata[1]);
  bs_verify_run (verify, NULL, &error);
  g_assert_no_error (error);
  assert_changes (&shadow, "1-1+0 ");
  shadow_clear (&shadow);
}

static gboolean
is_held (Fixture *fixture, BsOperation operation)
{
  return gate_backing_get_n_held (fixture->gates, operation, NULL, GATE_AFTER) > 0;
}

/* The path changes after its keys were registered, and before the list is there. */
static void
test_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_autofree char *gone = put_key (fixture, "a");
  g_autoptr (BsItem) added = NULL;
  Answer answer = { 0, }, deleted = { 0, };
  Shadow shadow;

  put_keys (fixture, 2);
  /* A bulk makes one call for the keys of a shard: mostly there is one key. */
  gate_backing_hold (fixture->gates, BS_OPERATION_REGISTER_KEY, NULL, GATE_AFTER);
  gate_backing_hold (fixture->gates, BS_OPERATION_REGISTER_KEYS, NULL, GATE_AFTER);
  bs_pool_follow_async (fixture->pool, fixture->tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                        &answer);
  spin_until (is_held (fixture, BS_OPERATION_REGISTER_KEY) ||
              is_held (fixture, BS_OPERATION_REGISTER_KEYS));
  added = insert_persisted (fixture, "b");
  delete_async (fixture, gone, NULL, &deleted);
  gate_backing_release_all (fixture->gates);
  shadow_init (&shadow, fixture, answer_pointer (&answer));
  answer_ok (&deleted);
  wait_same (&shadow);
  g_assert_cmpuint (shadow.keys->len, ==, 3);
  shadow_clear (&shadow);
}

/* A close that is cancelled has refused a new key's token meanwhile: the key comes when the store
 * is open again. */
static void
test_close_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert (fixture, "held");
  g_autofree char *key = bs_item_dup_key (item);
  Answer persist = { 0 }, close = { 0 };
  Shadow shadow;

  follow (&shadow, fixture);
  g_free (put_key (fixture, "new"));
  ask_held (fixture, BS_OPERATION_PERSIST, key, persist_async (fixture, item, NULL, &persist));
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable, answer_cb, &close);
  wait_told ();
  g_assert_cmpuint (shadow.keys->len, ==, 0);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&close);
  gate_backing_release_all (fixture->gates);
  answer_ok (&persist);
  wait_same (&shadow);
  g_assert_cmpuint (shadow.keys->len, ==, 2);
  shadow_clear (&shadow);
}

/* In milliseconds; -1 where no source of the context waits for a time. */
static int
get_timeout (GMainContext *context)
{
  int priority, timeout;

  g_assert_true (g_main_context_acquire (context));
  g_main_context_prepare (context, &priority);
  g_main_context_query (context, priority, &timeout, NULL, 0);
  g_main_context_release (context);

  return timeout;
}

/* A key comes while a thread of the store makes the list: the list is not changed before that
 * thread is done with it. */
static void
test_changes_while_made (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "there");
  g_autoptr (BsItem) item = insert (fixture, "new");
  g_autofree char *new_key = bs_item_dup_key (item);
  g_autoptr (GMainContext) context = g_main_context_new ();
  GMutex *held = NULL;
  Answer answer = { 0 };
  GListModel *list;

  for (guint i = 0; i < BS_N_SHARDS && held == NULL; i++)
    if (i != get_shard_index (key) && i != get_shard_index (new_key))
      held = &fixture->store->shards[i].mutex;

  g_main_context_push_thread_default (context);
  ask_held (fixture, BS_OPERATION_REGISTER_KEY, key,
            bs_pool_follow_async (fixture->pool, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                  answer_cb, &answer));
  /* The thread follows the path before it looks at all shards once more. */
  g_mutex_lock (held);
  gate_backing_release (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_BEFORE);
  spin_until (g_atomic_int_get (&fixture->tracked->n_watches) > 0);
  g_assert_true (bs_item_persist (item, fixture->tracked, NULL, NULL));
  g_assert_cmpint (get_timeout (context), ==, -1);
  g_mutex_unlock (held);

  while (answer.n_calls == 0)
    g_main_context_iteration (context, TRUE);
  list = answer_pointer (&answer);
  while (g_list_model_get_n_items (list) < 2)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  assert_goes (list);
}

static void
background_error_cb (BsBackingStore *store,
                     const char *key,
                     BsOperation operation,
                     const GError *error,
                     gpointer data)
{
  g_assert_cmpint (operation, ==, BS_OPERATION_REGISTER_KEY);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_nonnull (key);
  g_assert_nonnull (strstr (error->message, key));
  ++*(guint *) data;
}

/* A new blob that nobody holds by now has to be made available again. */
static void
test_register (Fixture *fixture, gconstpointer data)
{
  g_autofree char *failing = NULL, *key = NULL;
  guint n_errors = 0;
  Shadow shadow;

  g_signal_connect (fixture->store, "background-error", G_CALLBACK (background_error_cb),
                    &n_errors);
  follow (&shadow, fixture);
  failing = put_key (fixture, "a");
  key = put_key (fixture, "b");
  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEY, failing, GATE_BEFORE, 1,
                     G_IO_ERROR_NO_SPACE);
  assert_changes (&shadow, "0-0+1 ");
  g_assert_cmpstr (shadow.keys->pdata[0], ==, key);
  wait_until (n_errors == 1);
  {
    g_autoptr (BsItem) item = g_list_model_get_item (shadow.list, 0);

    assert_content (item, "b");
  }
  shadow_clear (&shadow);
}

/* A new blob is deleted while it is registered: the list never has it. */
static void
test_gone_while_registered (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  Answer answer = {
    0,
  };
  Shadow shadow;

  follow (&shadow, fixture);
  key = put_key (fixture, "a");
  gate_backing_hold (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER);
  wait_until (
    gate_backing_get_n_held (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER) == 1);
  delete_async (fixture, key, NULL, &answer);
  gate_backing_release_all (fixture->gates);
  while (g_atomic_int_get (&answer.n_calls) == 0)
    g_main_context_iteration (NULL, TRUE);
  wait_same (&shadow);
  answer_ok (&answer);
  g_assert_cmpuint (shadow.keys->len, ==, 0);
  shadow_clear (&shadow);
  settle (fixture);
  spin_until (is_forgotten (fixture->store, key));
}

/* The list goes while a new blob is registered, or with changes that it has not told of. */
static void
test_list_goes (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL, *other = NULL;
  Shadow shadow;

  follow (&shadow, fixture);
  key = put_key (fixture, "a");
  gate_backing_hold (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER);
  wait_until (
    gate_backing_get_n_held (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER) == 1);
  {
    g_autoptr (BsItem) item = insert_persisted (fixture, "b");

    other = bs_item_dup_key (item);
  }
  shadow_clear (&shadow);
  gate_backing_release_all (fixture->gates);
  settle (fixture);
  spin_until (is_forgotten (fixture->store, key));
  spin_until (is_forgotten (fixture->store, other));
}

/* The list holds the path, and every blob. */
static void
test_holds (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (GError) error = NULL;
  Shadow shadow;

  follow (&shadow, fixture);
  g_clear_object (&fixture->tracked);
  settle (fixture);
  g_assert_true (gate_backing_has_primary (fixture->gates, key));
  fixture->tracked = track (fixture, fixture->file);
  g_object_unref (insert_persisted (fixture, "b"));
  assert_changes (&shadow, "1-0+1 ");

  bs_backing_store_untrack_path (fixture->store, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  assert_equal (&shadow);
  {
    g_autoptr (BsItem) item = g_list_model_get_item (shadow.list, 0);

    assert_content (item, "a");
  }
  shadow_clear (&shadow);
  settle (fixture);
  g_assert_false (gate_backing_has_primary (fixture->gates, key));
}

/* The path is untracked before the list could register a new blob. */
static void
test_untracked (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  guint n_errors = 0;
  Shadow shadow;

  g_signal_connect (fixture->store, "background-error", G_CALLBACK (background_error_cb),
                    &n_errors);
  follow (&shadow, fixture);
  g_free (put_key (fixture, "a"));
  bs_backing_store_untrack_path (fixture->store, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  wait_told ();
  g_assert_cmpuint (shadow.keys->len, ==, 0);
  g_assert_cmpuint (n_errors, ==, 0);
  shadow_clear (&shadow);
}

static void
test_from_handler (Fixture *fixture, gconstpointer data)
{
  Shadow shadow;

  put_keys (fixture, 3);
  follow (&shadow, fixture);
  shadow.persisted = insert (fixture, "nested");
  delete_key (fixture, shadow.keys->pdata[2]);
  delete_key (fixture, shadow.keys->pdata[0]);
  assert_changes (&shadow, "2-1+0 0-1+0 1-0+1 ");
  shadow_clear (&shadow);
}

static gpointer
follow_in_thread (gpointer data)
{
  Fixture *fixture = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GError) error = NULL;
  Shadow shadow;

  g_main_context_push_thread_default (context);
  follow (&shadow, fixture);
  g_object_unref (insert_persisted (fixture, "b"));
  while (shadow.changes->len == 0)
    g_main_context_iteration (context, TRUE);
  g_assert_true (shadow.thread == g_thread_self ());
  g_assert_cmpstr (shadow.changes->str, ==, "1-0+1 ");
  shadow_clear (&shadow);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_other_context (Fixture *fixture, gconstpointer data)
{
  put_keys (fixture, 1);
  g_thread_join (g_thread_new ("follow", follow_in_thread, fixture));
}

static void
test_errors (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();
  g_autoptr (BsBackingStore) other = bs_backing_store_new (BS_BACKING (memory));
  g_autoptr (BsPool) pool = bs_pool_new (other, 0);
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (GError) error = NULL;
  Answer answer = {
    0,
  };

  g_assert_null (bs_pool_follow (pool, fixture->tracked, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  g_cancellable_cancel (cancellable);
  bs_pool_follow_async (fixture->pool, fixture->tracked, G_PRIORITY_DEFAULT, cancellable, answer_cb,
                        &answer);
  answer_cancelled (&answer);

  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEYS, NULL, GATE_BEFORE, 0,
                     G_IO_ERROR_NO_SPACE);
  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEY, NULL, GATE_BEFORE, 0,
                     G_IO_ERROR_NO_SPACE);
  g_assert_null (bs_pool_follow (fixture->pool, fixture->tracked, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  gate_backing_clear (fixture->gates);

  bs_backing_store_untrack_path (fixture->store, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  bs_pool_follow_async (fixture->pool, fixture->tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                        &answer);
  answer_fails (&answer, BS_ERROR, BS_ERROR_CLOSED);
}

/* Several threads change the path and look at the list, while the list follows. */
typedef struct
{
  Fixture *fixture;
  GListModel *list;
  int *n_running;
} Changer;

static gpointer
change (gpointer data)
{
  Changer *self = data;

  for (guint i = 0; i < 60; i++)
    {
      g_autoptr (BsItem) kept = insert_persisted (self->fixture, "a");
      g_autoptr (BsItem) dropped = insert_persisted (self->fixture, "b");
      g_autofree char *key = bs_item_dup_key (dropped);
      g_autoptr (BsItem) seen =
        g_list_model_get_item (self->list, i % MAX (1, g_list_model_get_n_items (self->list)));

      delete_key (self->fixture, key);
    }
  g_atomic_int_add (self->n_running, -1);
  return NULL;
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  GThread *threads[3];
  int n_running = G_N_ELEMENTS (threads);
  Changer changer;
  Shadow shadow;

  put_keys (fixture, 5);
  follow (&shadow, fixture);
  changer = (Changer){ fixture, shadow.list, &n_running };
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("change", change, &changer);
  wait_until (g_atomic_int_get (&n_running) == 0);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  wait_same (&shadow);
  assert_equal (&shadow);
  g_assert_cmpuint (shadow.keys->len, ==, 5 + 60 * G_N_ELEMENTS (threads));
  shadow_clear (&shadow);
}

/* Random changes against the shadow, told of at random times. */
static void
test_random (Fixture *fixture, gconstpointer data)
{
  Shadow shadow;

  put_keys (fixture, 10);
  follow (&shadow, fixture);
  for (guint i = 0; i < 300; i++)
    {
      g_auto (GStrv) keys = bs_tracked_path_list_keys (fixture->tracked);
      guint n_keys = g_strv_length (keys);

      switch (g_test_rand_int_range (0, 5))
        {
        case 0:
        case 1:
          g_object_unref (insert_persisted (fixture, "a"));
          break;
        case 2:
        case 3:
          if (n_keys > 0)
            delete_key (fixture, keys[(guint) g_test_rand_int () % n_keys]);
          break;
        default:
          for (guint n = (guint) g_test_rand_int () % 20; n > 0; n--)
            g_main_context_iteration (NULL, FALSE);
        }
    }
  wait_same (&shadow);
  assert_equal (&shadow);
  shadow_clear (&shadow);
}

static void
set_up_in_context (Fixture *fixture, gconstpointer data)
{
  fixture_start (fixture, data, g_main_context_default ());
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/path-list/first", test_first);
  test_add ("/path-list/persist", test_persist);
  test_add ("/path-list/delete", test_delete);
  test_add ("/path-list/back-again", test_back_again);
  test_add ("/path-list/save", test_save);
  test_add ("/path-list/verify", test_verify);
  test_add ("/path-list/meanwhile", test_meanwhile);
  test_add ("/path-list/close-cancelled", test_close_cancelled);
  test_add ("/path-list/while-made", test_changes_while_made);
  test_add ("/path-list/register", test_register);
  test_add ("/path-list/gone-while-registered", test_gone_while_registered);
  test_add ("/path-list/list-goes", test_list_goes);
  test_add ("/path-list/holds", test_holds);
  test_add ("/path-list/untracked", test_untracked);
  test_add ("/path-list/from-handler", test_from_handler);
  test_add ("/path-list/other-context", test_other_context);
  test_add ("/path-list/errors", test_errors);
  test_add ("/path-list/threads", test_threads);
  test_add ("/path-list/random", test_random);
  g_test_add ("/path-list/main-context/persist", Fixture, &one_thread, set_up_in_context,
              test_persist, fixture_tear_down);
  g_test_add ("/path-list/main-context/register", Fixture, &one_thread, set_up_in_context,
              test_register, fixture_tear_down);
  g_test_add ("/path-list/main-context/random", Fixture, &one_thread, set_up_in_context,
              test_random, fixture_tear_down);

  return g_test_run ();
}
