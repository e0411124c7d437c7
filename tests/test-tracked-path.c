/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A tracked path is a directory, not a name: what a store makes of it. */

#include "file-fixture.h"
#include "file-mount.h"

#include <backingstore/backingstore.h>
#include <glib/gstdio.h>
#include <sys/mount.h>
#include <unistd.h>

typedef struct
{
  Fixture files;
  BsFaultBacking *faults;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  BsItem *item;
  char *aside; /* a free name beside the path's */
  char *link;  /* leads to the path's parent */
} Case;

static BsTrackedPath *
track (Case *self, const char *name)
{
  g_autoptr (GFile) file = g_file_new_for_path (name);
  g_autoptr (GError) error = NULL;
  BsTrackedPath *tracked = bs_backing_store_track_path (self->store, file, NULL, &error);

  g_assert_no_error (error);
  return tracked;
}

static GError *
save (Case *self, BsTrackedPath *tracked, BsItem *item, const char *kept)
{
  g_autoptr (BsSave) save = bs_save_new (self->store, tracked);
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);
  GError *error = NULL;

  if (item != NULL)
    bs_save_add_item (save, item);
  if (kept != NULL)
    bs_save_keep_key (save, kept);
  bs_save_set_root (save, root);
  bs_save_run (save, NULL, &error);

  return error;
}

static void
save_ok (Case *self, BsTrackedPath *tracked, BsItem *item)
{
  g_autoptr (GError) error = save (self, tracked, item, NULL);

  g_assert_no_error (error);
}

static BsItem *
insert (Case *self, const char *content)
{
  g_autoptr (GBytes) bytes = g_bytes_new (content, strlen (content));

  return bs_pool_insert (self->pool, bytes);
}

static void
begin (Case *self, gconstpointer data)
{
  g_autofree char *parent = NULL;

  set_up (&self->files, NULL);
  self->faults = bs_fault_backing_new (self->files.backing);
  self->store = bs_backing_store_new (BS_BACKING (self->faults));
  self->pool = bs_pool_new (self->store, G_MAXINT64);
  self->tracked = track (self, self->files.path_name);
  self->item = insert (self, "first");
  save_ok (self, self->tracked, self->item);
  self->aside = g_strconcat (self->files.path_name, "-aside", NULL);
  self->link = g_build_filename (self->files.directory, "link", NULL);
  parent = g_path_get_dirname (self->files.path_name);
  g_assert_cmpint (symlink (parent, self->link), ==, 0);
}

static void
end (Case *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_clear_object (&self->item);
  g_clear_object (&self->pool);
  g_clear_object (&self->tracked);
  bs_backing_store_close (self->store, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&self->store);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_finalize_object (g_steal_pointer (&self->faults));
  g_free (self->aside);
  g_free (self->link);
  tear_down (&self->files, NULL);
}

static char *
get_linked_name (Case *self)
{
  g_autofree char *name = g_path_get_basename (self->files.path_name);

  return g_build_filename (self->link, name, NULL);
}

static void
assert_name (BsTrackedPath *tracked, const char *name)
{
  g_assert_cmpstr (g_file_peek_path (bs_tracked_path_get_file (tracked)), ==, name);
}

static void
count_cb (GObject *object, GParamSpec *pspec, gpointer data)
{
  (*(guint *) data)++;
}

#define run_until(condition)                                                                       \
  G_STMT_START                                                                                     \
  {                                                                                                \
    while (!(condition))                                                                           \
      g_main_context_iteration (NULL, FALSE);                                                      \
  }                                                                                                \
  G_STMT_END

static void
test_names (Case *self, gconstpointer data)
{
  g_autofree char *linked = get_linked_name (self);
  g_autofree char *spelled =
    g_strconcat (self->files.path_name, "/../", strrchr (self->files.path_name, '/') + 1, NULL);
  g_autoptr (BsTrackedPath) by_link = NULL;
  g_autoptr (BsTrackedPath) by_spelling = NULL;
  GFile *first = bs_tracked_path_get_file (self->tracked);
  guint n_notified = 0;

  g_signal_connect (self->tracked, "notify::file", G_CALLBACK (count_cb), &n_notified);
  by_link = track (self, linked);
  g_assert_true (by_link == self->tracked);
  assert_name (self->tracked, linked);
  run_until (n_notified > 0);
  /* The file that a caller was given stays valid. */
  g_assert_cmpstr (g_file_peek_path (first), ==, self->files.path_name);

  by_spelling = track (self, spelled);
  g_assert_true (by_spelling == self->tracked);
  g_assert_cmpuint (bs_fault_backing_get_count (self->faults, BS_OPERATION_SANITIZE_PATH), ==, 1);
  save_ok (self, self->tracked, self->item);
  g_signal_handlers_disconnect_by_func (self->tracked, count_cb, &n_notified);
}

/* The document is renamed while it is open, and another one made under its old name. */
static void
test_renamed (Case *self, gconstpointer data)
{
  g_autofree char *before = NULL;
  g_autoptr (BsTrackedPath) other = NULL;
  g_autoptr (BsTrackedPath) again = NULL;
  g_autoptr (BsItem) item = insert (self, "second");
  g_autoptr (GError) error = NULL;
  guint n_moved = 0;

  g_signal_connect (self->tracked, "notify::moved", G_CALLBACK (count_cb), &n_moved);
  g_assert_cmpint (g_rename (self->files.path_name, self->aside), ==, 0);
  before = snapshot (self->aside);
  error = save (self, self->tracked, item, NULL);
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  assert_unchanged (self->aside, before);
  g_assert_true (bs_tracked_path_get_moved (self->tracked));
  run_until (n_moved == 1);

  other = track (self, self->files.path_name);
  g_assert_true (other != self->tracked);
  g_assert_false (bs_tracked_path_get_moved (other));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (other), ==, 0);
  save_ok (self, other, item);
  assert_unchanged (self->aside, before);

  again = track (self, self->aside);
  g_assert_true (again == self->tracked);
  assert_name (again, self->aside);
  g_assert_false (bs_tracked_path_get_moved (again));
  run_until (n_moved == 2);
  save_ok (self, again, self->item);
  g_assert_cmpuint (count_files (self->aside), ==, count_files (self->files.path_name));
  g_signal_handlers_disconnect_by_func (self->tracked, count_cb, &n_moved);
}

static void
test_sync_moved (Case *self, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (self, "second");
  g_autoptr (GError) error = NULL;

  bs_item_persist (item, self->tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_rename (self->files.path_name, self->aside), ==, 0);
  bs_backing_store_sync (self->store, self->tracked, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_true (bs_tracked_path_get_moved (self->tracked));

  g_assert_cmpint (g_rename (self->aside, self->files.path_name), ==, 0);
  bs_backing_store_sync (self->store, self->tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (bs_tracked_path_get_moved (self->tracked));
}

static gboolean
commit (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  (*(guint *) data)++;

  return TRUE;
}

static void
saved_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  bs_save_run_finish (BS_SAVE (object), result, data);
  g_assert_nonnull (*(GError **) data);
}

/* The directory leaves its name while the save syncs: neither is the root blob replaced,
 * nor the application's function called. */
static void
test_moved_during_save (Case *self, gconstpointer data)
{
  gboolean commits = GPOINTER_TO_INT (data);
  g_autoptr (BsSave) save = bs_save_new (self->store, self->tracked);
  g_autoptr (GBytes) root = g_bytes_new_static ("new", 3);
  g_autoptr (BsItem) item = insert (self, "second");
  g_autofree char *root_name = g_build_filename (self->aside, "root", NULL);
  g_autofree char *content = NULL;
  g_autoptr (GError) error = NULL;
  guint n_commits = 0;
  guint n_syncs = bs_fault_backing_get_count (self->faults, BS_OPERATION_SYNC_PERSISTED);

  bs_save_add_item (save, item);
  if (commits)
    bs_save_set_commit_func (save, commit, &n_commits, NULL);
  else
    bs_save_set_root (save, root);
  bs_fault_backing_hold (self->faults, BS_OPERATION_SYNC_PERSISTED);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, saved_cb, &error);
  run_until (bs_fault_backing_get_count (self->faults, BS_OPERATION_SYNC_PERSISTED) > n_syncs);
  g_assert_cmpint (g_rename (self->files.path_name, self->aside), ==, 0);
  bs_fault_backing_release (self->faults, BS_OPERATION_SYNC_PERSISTED);
  run_until (error != NULL);
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_assert_cmpuint (n_commits, ==, 0);
  g_assert_true (bs_tracked_path_get_moved (self->tracked));
  g_assert_true (g_file_get_contents (root_name, &content, NULL, NULL));
  g_assert_cmpstr (content, ==, "root");
}

/* A synchronising tool has removed a blob of an open document. */
static void
test_missing (Case *self, gconstpointer data)
{
  g_autofree char *key = bs_item_dup_key (self->item);
  g_autofree char *name = get_blob_name (self->files.path_name, key);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_unlink (name), ==, 0);
  save_ok (self, self->tracked, self->item);
  g_assert_true (exists (name));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (self->tracked), ==, 1);

  g_assert_cmpint (g_unlink (name), ==, 0);
  error = save (self, self->tracked, NULL, key);
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_false (bs_tracked_path_contains_key (self->tracked, key));
  save_ok (self, self->tracked, self->item);
  g_assert_true (exists (name));
}

/* Another program renames a folder of blobs, or puts a copy in its place: a save looks where
 * the names are, not where they were. */
static void
test_folder_moved (Case *self, gconstpointer data)
{
  const gboolean replaced = GPOINTER_TO_INT (data);
  g_autofree char *key = bs_item_dup_key (self->item);
  g_autofree char *blob = get_blob_name (self->files.path_name, key);
  g_autofree char *folder = g_path_get_dirname (blob);
  g_autofree char *away = g_strconcat (self->files.path_name, "/away", NULL);

  g_assert_no_errno (g_rename (folder, away));
  if (replaced)
    g_assert_no_errno (g_mkdir (folder, 0700));
  save_ok (self, self->tracked, self->item);
  g_assert_true (exists (blob));
}

/* A cleaner of temporary folders has removed scratch. */
static void
test_scratch_gone (Case *self, gconstpointer data)
{
  gboolean saves = GPOINTER_TO_INT (data);
  g_autoptr (BsItem) item = insert (self, "second");
  g_autofree char *key = bs_item_dup_key (item);
  g_autofree char *scratch_name = get_blob_name (self->files.primary_name, key);
  g_autofree char *name = get_blob_name (self->files.path_name, key);
  g_autoptr (GError) error = NULL;

  bs_item_write (item, NULL, &error);
  g_assert_no_error (error);
  delete_scratch (&self->files, key);
  g_assert_false (exists (scratch_name));
  if (saves)
    {
      save_ok (self, self->tracked, item);
    }
  else
    {
      bs_item_persist (item, self->tracked, NULL, &error);
      g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
      g_clear_error (&error);
      bs_item_persist (item, self->tracked, NULL, &error);
      g_assert_no_error (error);
    }
  g_assert_true (exists (name));
}

static void
test_read_only (Case *self, gconstpointer data)
{
  g_autoptr (Mount) memory = mount_new (self->files.directory, "tmpfs", 0);
  g_autoptr (Mount) bound = NULL;
  g_autofree char *name = NULL;
  g_autofree char *bound_name = NULL;
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsTrackedPath) again = NULL;
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;
  guint n_notified = 0;

  g_assert_true (bs_tracked_path_get_writable (self->tracked));
  if (memory == NULL)
    return;

  bound = mount_bind (memory, self->files.directory);
  name = g_build_filename (mount_get_path (memory), "path", NULL);
  bound_name = g_build_filename (mount_get_path (bound), "path", NULL);
  tracked = track (self, name);
  save_ok (self, tracked, self->item);
  g_assert_true (bs_backing_store_untrack_path (self->store, tracked, NULL, NULL));
  g_clear_object (&tracked);
  g_assert_cmpint (mount ("none", mount_get_path (bound), "none", MS_BIND | MS_REMOUNT | MS_RDONLY,
                          NULL),
                   ==, 0);

  tracked = track (self, bound_name);
  g_assert_false (bs_tracked_path_get_writable (tracked));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (tracked), ==, 1);
  root = bs_backing_store_load_root (self->store, tracked, NULL, &error);
  g_assert_no_error (error);
  error = save (self, tracked, self->item, NULL);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);

  g_signal_connect (tracked, "notify::writable", G_CALLBACK (count_cb), &n_notified);
  again = track (self, name);
  g_assert_true (again == tracked);
  g_assert_true (bs_tracked_path_get_writable (tracked));
  run_until (n_notified == 1);
  save_ok (self, tracked, self->item);
  g_signal_handlers_disconnect_by_func (tracked, count_cb, &n_notified);
  g_clear_object (&tracked);
  g_clear_object (&again);
  bs_backing_store_wait_finished (self->store, NULL, NULL);
}

typedef struct
{
  BsTrackedPath *tracked;
  GError *error;
  gboolean done;
} Tracking;

static void
tracked_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  Tracking *self = data;

  self->tracked =
    bs_backing_store_track_path_finish (BS_BACKING_STORE (object), result, &self->error);
  self->done = TRUE;
}

static void
track_start (Case *self, Tracking *tracking, const char *name, GCancellable *cancellable)
{
  g_autoptr (GFile) file = g_file_new_for_path (name);

  bs_backing_store_track_path_async (self->store, file, G_PRIORITY_DEFAULT, cancellable, tracked_cb,
                                     tracking);
}

static void
tracking_clear (Tracking *self)
{
  g_clear_object (&self->tracked);
  g_clear_error (&self->error);
}

/* A thread of the store may hold the object a moment longer. */
static void
drop_tracked (Case *self)
{
  GWeakRef ref;
  gpointer alive;

  g_weak_ref_init (&ref, self->tracked);
  g_clear_object (&self->tracked);
  while ((alive = g_weak_ref_get (&ref)) != NULL)
    {
      g_object_unref (alive);
      g_main_context_iteration (NULL, FALSE);
    }
  g_weak_ref_clear (&ref);
}

/* Three names at the same time: one scan. If it fails, or everybody leaves, the next name
 * is scanned. */
static void
test_at_once (Case *self, gconstpointer data)
{
  const char *fails = data;
  int code = g_strcmp0 (fails, "fails") == 0 ? G_IO_ERROR_NO_SPACE : G_IO_ERROR_CANCELLED;
  g_autofree char *linked = get_linked_name (self);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) wanted =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "so the test wants it");
  Tracking first = { NULL }, second = { NULL }, third = { NULL };
  guint n_scans = bs_fault_backing_get_count (self->faults, BS_OPERATION_SANITIZE_PATH);

  drop_tracked (self);
  g_assert_cmpint (symlink (self->files.path_name, self->aside), ==, 0);
  bs_fault_backing_hold (self->faults, BS_OPERATION_SANITIZE_PATH);
  if (g_strcmp0 (fails, "fails") == 0)
    bs_fault_backing_fail (self->faults, BS_OPERATION_SANITIZE_PATH, NULL, 1, wanted);
  track_start (self, &first, self->files.path_name, cancellable);
  run_until (bs_fault_backing_get_count (self->faults, BS_OPERATION_SANITIZE_PATH) == n_scans + 1);
  track_start (self, &second, linked, NULL);
  track_start (self, &third, self->aside, NULL);
  if (g_strcmp0 (fails, "cancelled") == 0)
    g_cancellable_cancel (cancellable);
  bs_fault_backing_release (self->faults, BS_OPERATION_SANITIZE_PATH);
  run_until (first.done && second.done && third.done);

  g_assert_no_error (second.error);
  g_assert_no_error (third.error);
  g_assert_true (second.tracked == third.tracked);
  if (fails == NULL)
    g_assert_true (first.tracked == second.tracked);
  else
    g_assert_error (first.error, G_IO_ERROR, code);
  g_assert_cmpuint (bs_fault_backing_get_count (self->faults, BS_OPERATION_SANITIZE_PATH), ==,
                    n_scans + (fails != NULL ? 2 : 1));

  tracking_clear (&first);
  tracking_clear (&second);
  tracking_clear (&third);
}

static void
done_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_untrack_path_finish (BS_BACKING_STORE (object), result, &error);
  g_assert_no_error (error);
  *(gboolean *) data = TRUE;
}

/* A name of a path that is being untracked, or let go of, waits, and gets a new object. */
static void
test_during_release (Case *self, gconstpointer data)
{
  gboolean untracks = GPOINTER_TO_INT (data);
  g_autofree char *linked = get_linked_name (self);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Tracking first = { NULL }, second = { NULL };
  guint n_releases = bs_fault_backing_get_count (self->faults, BS_OPERATION_RELEASE_PATH);
  gboolean done = !untracks;

  bs_fault_backing_hold (self->faults, BS_OPERATION_RELEASE_PATH);
  if (untracks)
    bs_backing_store_untrack_path_async (self->store, self->tracked, G_PRIORITY_DEFAULT, NULL,
                                         done_cb, &done);
  else
    g_clear_object (&self->tracked);
  run_until (bs_fault_backing_get_count (self->faults, BS_OPERATION_RELEASE_PATH) > n_releases);
  track_start (self, &first, linked, cancellable);
  track_start (self, &second, self->files.path_name, NULL);
  g_cancellable_cancel (cancellable);
  run_until (first.done);
  g_assert_error (first.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (second.done);
  bs_fault_backing_release (self->faults, BS_OPERATION_RELEASE_PATH);
  run_until (second.done && done);

  g_assert_no_error (second.error);
  g_assert_true (second.tracked != self->tracked);
  g_assert_false (bs_tracked_path_get_closed (second.tracked));
  save_ok (self, second.tracked, self->item);
  tracking_clear (&first);
  tracking_clear (&second);
}

/* An untrack that fails leaves the path to the names that wait. */
static void
test_untrack_fails (Case *self, gconstpointer data)
{
  g_autofree char *linked = get_linked_name (self);
  g_autoptr (GError) wanted =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_BUSY, "so the test wants it");
  Tracking tracking = { NULL };
  guint n_releases = bs_fault_backing_get_count (self->faults, BS_OPERATION_RELEASE_PATH);

  bs_fault_backing_hold (self->faults, BS_OPERATION_RELEASE_PATH);
  bs_fault_backing_fail (self->faults, BS_OPERATION_RELEASE_PATH, NULL, 1, wanted);
  bs_backing_store_untrack_path_async (self->store, self->tracked, G_PRIORITY_DEFAULT, NULL, NULL,
                                       NULL);
  run_until (bs_fault_backing_get_count (self->faults, BS_OPERATION_RELEASE_PATH) > n_releases);
  track_start (self, &tracking, linked, NULL);
  bs_fault_backing_release (self->faults, BS_OPERATION_RELEASE_PATH);
  run_until (tracking.done);
  g_assert_no_error (tracking.error);
  g_assert_true (tracking.tracked == self->tracked);
  tracking_clear (&tracking);
}

typedef struct
{
  Case *self;
  GError *error;
  gboolean untracked;
} InCommit;

static gboolean
track_in_commit (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  InCommit *in_commit = data;
  Case *self = in_commit->self;
  g_autofree char *linked = get_linked_name (self);
  g_autoptr (GFile) file = g_file_new_for_path (linked);

  bs_backing_store_untrack_path_async (self->store, self->tracked, G_PRIORITY_DEFAULT, NULL,
                                       done_cb, &in_commit->untracked);
  g_assert_null (bs_backing_store_track_path (self->store, file, NULL, &in_commit->error));

  return TRUE;
}

/* The untrack waits for the save, and the commit function of the save for the untrack. */
static void
test_in_commit (Case *self, gconstpointer data)
{
  InCommit in_commit = {
    self,
  };
  g_autoptr (BsSave) save = bs_save_new (self->store, self->tracked);
  g_autoptr (GError) error = NULL;

  bs_save_add_item (save, self->item);
  bs_save_set_commit_func (save, track_in_commit, &in_commit, NULL);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  g_assert_error (in_commit.error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&in_commit.error);
  g_clear_object (&save);
  run_until (in_commit.untracked);
}

typedef struct
{
  Case *self;
  GThread *thread;
  const char *names[3];
  guint32 seed;
} Tracker;

static gpointer
track_and_let_go (gpointer data)
{
  Tracker *tracker = data;
  BsBackingStore *store = tracker->self->store;
  g_autoptr (GRand) rand = g_rand_new_with_seed (tracker->seed);

  for (guint i = 0; i < 200; i++)
    {
      g_autoptr (BsTrackedPath) tracked =
        track (tracker->self, tracker->names[g_rand_int_range (rand, 0, 3)]);
      g_autoptr (GError) error = NULL;

      g_assert_cmpuint (bs_tracked_path_get_n_keys (tracked), ==, 1);
      if (g_rand_boolean (rand))
        continue;
      /* Another thread may have untracked it. */
      if (!bs_backing_store_sync (store, tracked, NULL, &error))
        g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
      g_clear_error (&error);
      if (!bs_backing_store_untrack_path (store, tracked, NULL, &error))
        g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
    }

  return NULL;
}

/* Threads track, untrack and let go of one directory by three names. */
static void
test_threads (Case *self, gconstpointer data)
{
  g_autofree char *linked = get_linked_name (self);
  Tracker trackers[4];

  g_clear_object (&self->tracked);
  g_assert_cmpint (symlink (self->files.path_name, self->aside), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (trackers); i++)
    {
      trackers[i] =
        (Tracker){ self, NULL, { self->files.path_name, linked, self->aside }, g_test_rand_int () };
      trackers[i].thread = g_thread_new ("tracker", track_and_let_go, &trackers[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (trackers); i++)
    g_thread_join (trackers[i].thread);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/tracked-path/names", Case, NULL, begin, test_names, end);
  g_test_add ("/tracked-path/renamed", Case, NULL, begin, test_renamed, end);
  g_test_add ("/tracked-path/sync-moved", Case, NULL, begin, test_sync_moved, end);
  g_test_add ("/tracked-path/moved-during-save/root", Case, GINT_TO_POINTER (FALSE), begin,
              test_moved_during_save, end);
  g_test_add ("/tracked-path/moved-during-save/commit", Case, GINT_TO_POINTER (TRUE), begin,
              test_moved_during_save, end);
  g_test_add ("/tracked-path/missing", Case, NULL, begin, test_missing, end);
  g_test_add ("/tracked-path/folder-moved", Case, GINT_TO_POINTER (FALSE), begin, test_folder_moved,
              end);
  g_test_add ("/tracked-path/folder-replaced", Case, GINT_TO_POINTER (TRUE), begin,
              test_folder_moved, end);
  g_test_add ("/tracked-path/scratch-gone/persist", Case, GINT_TO_POINTER (FALSE), begin,
              test_scratch_gone, end);
  g_test_add ("/tracked-path/scratch-gone/save", Case, GINT_TO_POINTER (TRUE), begin,
              test_scratch_gone, end);
  g_test_add ("/tracked-path/read-only", Case, NULL, begin, test_read_only, end);
  g_test_add ("/tracked-path/at-once/shared", Case, NULL, begin, test_at_once, end);
  g_test_add ("/tracked-path/at-once/fails", Case, "fails", begin, test_at_once, end);
  g_test_add ("/tracked-path/at-once/cancelled", Case, "cancelled", begin, test_at_once, end);
  g_test_add ("/tracked-path/during-untrack", Case, GINT_TO_POINTER (TRUE), begin,
              test_during_release, end);
  g_test_add ("/tracked-path/during-release", Case, GINT_TO_POINTER (FALSE), begin,
              test_during_release, end);
  g_test_add ("/tracked-path/untrack-fails", Case, NULL, begin, test_untrack_fails, end);
  g_test_add ("/tracked-path/in-commit", Case, NULL, begin, test_in_commit, end);

  g_test_add ("/tracked-path/threads", Case, NULL, begin, test_threads, end);

  return g_test_run ();
}
