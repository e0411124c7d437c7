/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A pool, saves and verifications on real files that go bad, or that the disk
 * does not take. */

#include <backingstore/backingstore.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "file-calls.h"
#include "file-fixture.h"

/* More than are synced one by one. */
#define N_MANY 300

typedef struct
{
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
} Session;

static void
session_begin (Session *session, Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  session->store = bs_backing_store_new (fixture->backing);
  session->pool = bs_pool_new (session->store, G_MAXINT64);
  session->tracked = bs_backing_store_track_path (session->store, fixture->path, NULL, &error);
  g_assert_no_error (error);
}

/* Everything that was asked is done, delayed deletions included. */
static void
settle (Session *session)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_wait_finished (session->store, NULL, &error);
  g_assert_no_error (error);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (session->store));
}

static void
session_end (Session *session)
{
  settle (session);
  g_clear_object (&session->pool);
  g_clear_object (&session->tracked);
  settle (session);
  g_clear_object (&session->store);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static BsItem *
insert_persisted (Session *session, GBytes *bytes, char **key)
{
  g_autoptr (GError) error = NULL;
  BsItem *item = bs_pool_insert (session->pool, bytes);

  bs_item_persist (item, session->tracked, NULL, &error);
  g_assert_no_error (error);
  if (key != NULL)
    *key = bs_item_dup_key (item);

  return item;
}

static void
trim_all (Session *session)
{
  g_autoptr (GError) error = NULL;

  bs_pool_trim (session->pool, 0, NULL, &error);
  g_assert_no_error (error);
}

/* In place: whatever else has this file has it too. */
static void
spoil (Fixture *fixture, const char *key)
{
  g_autofree char *name = get_blob_name (fixture->path_name, key);
  struct timespec time = get_time (name);
  int fd = open (name, O_WRONLY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (pwrite (fd, "bad", 3, 100), ==, 3);
  close (fd);
  set_time (name, time);
}

static guint64
verify (Session *session)
{
  g_autoptr (BsVerify) verify = bs_verify_new (session->store, session->tracked);
  g_autoptr (GError) error = NULL;

  bs_verify_run (verify, NULL, &error);
  g_assert_no_error (error);

  return bs_verify_get_n_bad (verify);
}

/* A blob was set aside, and scratch has the same file. What is still in memory is
 * written anew; what is not is lost. */
static void
test_bad_blob (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 8; i++)
    {
      gboolean in_memory = i & 1;
      gboolean saves = i & 2;
      gboolean held = i & 4;
      g_autoptr (GBytes) loaded = NULL;
      g_autoptr (BsSave) save = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (BsItem) item = NULL;
      g_autofree char *key = NULL;
      gboolean success;
      Session session;

      session_begin (&session, fixture);
      item = insert_persisted (&session, fixture->bytes, &key);
      if (held && in_memory)
        loaded = bs_item_load (item, NULL, NULL);
      if (held || !in_memory)
        trim_all (&session);
      spoil (fixture, key);
      g_assert_cmpuint (verify (&session), ==, 1);

      save = bs_save_new (session.store, session.tracked);
      bs_save_add_item (save, item);
      success = saves ? bs_save_run (save, NULL, &error)
                      : bs_item_persist (item, session.tracked, NULL, &error);
      g_assert_cmpint (success, ==, in_memory);
      if (in_memory)
        {
          g_assert_no_error (error);
          g_assert_true (
            bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, NULL));
          g_clear_pointer (&loaded, g_bytes_unref);
          trim_all (&session);
          loaded = bs_item_load (item, NULL, &error);
          g_assert_no_error (error);
          g_assert_true (g_bytes_equal (loaded, fixture->bytes));
        }
      else
        {
          g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
          g_assert_nonnull (strstr (error->message, key));
          g_assert_false (bs_tracked_path_contains_key (session.tracked, key));
        }

      g_clear_object (&save);
      g_clear_object (&item);
      session_end (&session);
    }
}

static void
save_ok (BsSave *save)
{
  g_autoptr (GError) error = NULL;

  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
}

/* A document of one key, and a save that names it. */
static BsSave *
save_document (Session *session, Fixture *fixture)
{
  BsSave *save = bs_save_new (session->store, session->tracked);
  g_autoptr (BsItem) item = NULL;
  g_autofree char *key = NULL;

  item = insert_persisted (session, fixture->bytes, &key);
  bs_save_keep_key (save, key);
  bs_save_set_root (save, fixture->bytes);
  save_ok (save);

  return save;
}

/* Blobs that the application has persisted besides, and then a sync failed. The
 * error does not say which file could not be written. */
static void
persist_in_vain (Session *session, Fixture *fixture, guint n_failures)
{
  for (guint i = 0; i < N_MANY; i++)
    {
      g_autoptr (BsItem) item = insert_persisted (session, fixture->bytes, NULL);
    }
  settle (session);

  for (guint i = 0; i < n_failures; i++)
    {
      fail_once ("syncfs", "persisted", EIO);
      g_assert_false (bs_backing_store_sync (session->store, session->tracked, NULL, NULL));
    }
  g_assert_false (bs_backing_store_sync (session->store, session->tracked, NULL, NULL));
}

static void
keep_all (BsSave *save, BsTrackedPath *tracked)
{
  g_auto (GStrv) keys = bs_tracked_path_list_keys (tracked);

  for (guint i = 0; keys[i] != NULL; i++)
    bs_save_keep_key (save, keys[i]);
}

typedef struct
{
  guint n_failures;
  gboolean tracks_anew;
} Variant;

/* A save writes anew what it keeps. What it does not name is in its way, as the
 * error says, until that is persisted again, or found to be whole. */
static void
test_sync_fails (Fixture *fixture, gconstpointer data)
{
  const Variant *variant = data;
  g_autoptr (BsSave) document = NULL;
  g_autoptr (BsSave) save = NULL;
  g_autoptr (GError) error = NULL;
  Session session;

  session_begin (&session, fixture);
  document = save_document (&session, fixture);
  persist_in_vain (&session, fixture, variant->n_failures);
  g_assert_false (bs_save_run (document, NULL, &error));
  g_assert_nonnull (strstr (error->message, "persisted again or deleted"));
  g_clear_error (&error);

  if (variant->tracks_anew)
    {
      bs_backing_store_untrack_path (session.store, session.tracked, NULL, &error);
      g_assert_no_error (error);
      g_object_unref (session.tracked);
      session.tracked = bs_backing_store_track_path (session.store, fixture->path, NULL, &error);
      g_assert_no_error (error);
    }
  else
    {
      save = bs_save_new (session.store, session.tracked);
      keep_all (save, session.tracked);
      save_ok (save);
    }
  g_assert_cmpuint (bs_tracked_path_get_n_keys (session.tracked), ==, N_MANY + 1);
  bs_backing_store_sync (session.store, session.tracked, NULL, &error);
  g_assert_no_error (error);

  g_clear_object (&save);
  g_clear_object (&document);
  session_end (&session);
}

int
main (int argc, char *argv[])
{
  static const Variant once = { 1, FALSE };
  static const Variant twice = { 2, FALSE };
  static const Variant tracked_anew = { 2, TRUE };
  int result;

  file_calls_init ();
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/file-save/bad-blob", Fixture, NULL, set_up, test_bad_blob, tear_down);
  g_test_add ("/file-save/sync-fails/once", Fixture, &once, set_up, test_sync_fails, tear_down);
  g_test_add ("/file-save/sync-fails/twice", Fixture, &twice, set_up, test_sync_fails, tear_down);
  g_test_add ("/file-save/sync-fails/tracked-anew", Fixture, &tracked_anew, set_up, test_sync_fails,
              tear_down);
  result = g_test_run ();
  file_calls_clear ();

  return result;
}
