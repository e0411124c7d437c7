/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A file backing that only reads, and the repair of a directory that a store refuses. */

#include "file-fixture.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

/* Leaves a document of one blob with a root, closed. */
static void
make_document (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  sync_path (fixture);
  restart_backing (fixture);
}

static void
use_read_only (Fixture *fixture)
{
  bs_file_backing_set_read_only (BS_FILE_BACKING (fixture->backing), TRUE);
}

static gboolean
repair (Fixture *fixture, BsRepairFlags flags, guint64 n_restored, gboolean marked, GError **error)
{
  g_autoptr (BsKeySet) restored = bs_key_set_new ();
  gboolean was_marked = FALSE;
  gboolean repaired =
    bs_file_backing_repair_path (BS_FILE_BACKING (fixture->backing), fixture->path, flags, restored,
                                 &was_marked, NULL, error);

  g_assert_cmpuint (bs_key_set_get_n_keys (restored), ==, n_restored);
  g_assert_cmpint (was_marked, ==, marked);
  if (n_restored > 0)
    g_assert_true (bs_key_set_contains_key (restored, fixture->key));

  return repaired;
}

static void
assert_repairs (Fixture *fixture, BsRepairFlags flags, guint64 n_restored, gboolean marked)
{
  g_autoptr (GError) error = NULL;
  gboolean repaired = repair (fixture, flags, n_restored, marked, &error);

  g_assert_no_error (error);
  g_assert_true (repaired);
}

static void
assert_refuses (Fixture *fixture, BsRepairFlags flags, GQuark domain, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (repair (fixture, flags, 0, FALSE, &error));
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, fixture->path_name));
}

static char *
get_marker (Fixture *fixture)
{
  return g_build_filename (fixture->path_name, ".backingstore", NULL);
}

/* Moves the blob to quarantine, as a verification does, with a mended content there. */
static void
quarantine_blob (Fixture *fixture)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  flip (blob, 0);
  g_assert_false (
    bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_false (exists (blob));
  restart_backing (fixture);
}

static char *
find_quarantined (Fixture *fixture)
{
  g_autofree char *folder = g_build_filename (fixture->path_name, ".quarantine", NULL);
  g_autoptr (GDir) files = g_dir_open (folder, 0, NULL);

  return g_build_filename (folder, g_dir_read_name (files), NULL);
}

/* As after a cable that was loose: the content is there again. */
static void
mend_quarantined (Fixture *fixture)
{
  g_autofree char *name = find_quarantined (fixture);

  flip (name, 0);
}

static void
test_read_only_changes_nothing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = NULL;
  g_autofree char *marker = get_marker (fixture);
  g_autofree char *before = NULL;

  make_document (fixture);
  /* A store that may write would make a marker, remove the first and check all for the second. */
  g_unlink (marker);
  plant_in (fixture->path_name, ".tmp-abcdef0123456789abcdef0123456789", "half");
  plant_in (fixture->path_name, ".dirty", "");
  before = snapshot (fixture->path_name);
  use_read_only (fixture);

  g_assert_true (bs_file_backing_get_read_only (BS_FILE_BACKING (fixture->backing)));
  /* The temporary file is foreign to a directory without a marker. */
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_clear_error (&error);
  assert_unchanged (fixture->path_name, before);
  g_clear_pointer (&before, g_free);

  plant (marker, "backingstore 1 persisted\n");
  before = snapshot (fixture->path_name);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, fixture->bytes));
  bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_no_error (error);
  register_blob (fixture, fixture->key);
  delete_scratch (fixture, fixture->key);

  g_assert_false (
    bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_assert_nonnull (strstr (error->message, "opened for reading"));
  g_clear_error (&error);
  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  sync_path (fixture);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
  assert_unchanged (fixture->path_name, before);
}

static void
test_read_only_keeps_bad_blobs (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *before = NULL;
  g_autoptr (GError) error = NULL;

  make_document (fixture);
  flip (blob, 0);
  before = snapshot (fixture->path_name);
  use_read_only (fixture);
  g_assert_false (
    bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_object (&fixture->backing);
  assert_unchanged (fixture->path_name, before);
}

static void
test_read_only_makes_no_directory (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  use_read_only (fixture);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_false (exists (fixture->path_name));
}

/* Readers share a path; one that may change it has it alone. */
static void
test_read_only_locks (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsFileBacking) reader = bs_file_backing_new_temporary (NULL);
  g_autoptr (BsFileBacking) writer = bs_file_backing_new_temporary (NULL);
  g_autoptr (GError) error = NULL;

  make_document (fixture);
  use_read_only (fixture);
  bs_file_backing_set_read_only (reader, TRUE);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_cmpuint (count_listed (BS_BACKING (reader), fixture->path), ==, 1);
  error = sanitize_error (BS_BACKING (writer), fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&error);

  bs_backing_close (BS_BACKING (reader), NULL, NULL);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
  g_assert_cmpuint (count_listed (BS_BACKING (writer), fixture->path), ==, 1);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  bs_backing_close (BS_BACKING (writer), NULL, NULL);
}

static void
notify_cb (GObject *object, GParamSpec *pspec, gpointer data)
{
  ++*(guint *) data;
}

static void
test_read_only_property (Fixture *fixture, gconstpointer data)
{
  gboolean read_only = TRUE;
  guint n_notified = 0;

  g_signal_connect (fixture->backing, "notify::read-only", G_CALLBACK (notify_cb), &n_notified);
  g_object_get (fixture->backing, "read-only", &read_only, NULL);
  g_assert_false (read_only);
  g_object_set (fixture->backing, "read-only", TRUE, NULL);
  g_object_set (fixture->backing, "read-only", TRUE, NULL);
  g_object_get (fixture->backing, "read-only", &read_only, NULL);
  g_assert_true (read_only);
  g_assert_cmpuint (n_notified, ==, 1);
}

/* A document that is already fit for use. */
static void
test_nothing_to_repair (Fixture *fixture, gconstpointer data)
{
  make_document (fixture);
  assert_repairs (fixture, BS_REPAIR_DRY_RUN | BS_REPAIR_ADOPT | BS_REPAIR_RESTORE, 0, FALSE);
  assert_repairs (fixture, BS_REPAIR_ADOPT | BS_REPAIR_RESTORE, 0, FALSE);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
}

static void
test_marker (Fixture *fixture, gconstpointer data)
{
  static const char *const markers[] = { "", "garbage", "\1\2\3" };
  g_autofree char *marker = get_marker (fixture);
  g_autoptr (GError) error = NULL;

  make_document (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (markers); i++)
    {
      g_autofree char *before = NULL;

      plant (marker, markers[i]);
      before = snapshot (fixture->path_name);
      error = sanitize_error (fixture->backing, fixture->path);
      g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
      g_clear_error (&error);
      assert_refuses (fixture, BS_REPAIR_RESTORE, BS_ERROR, BS_ERROR_FOREIGN);
      assert_repairs (fixture, BS_REPAIR_ADOPT | BS_REPAIR_DRY_RUN, 0, TRUE);
      assert_unchanged (fixture->path_name, before);

      assert_repairs (fixture, BS_REPAIR_ADOPT, 0, TRUE);
      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
      restart_backing (fixture);
    }
}

/* A newer version and scratch have markers that are whole. */
static void
test_other_markers (Fixture *fixture, gconstpointer data)
{
  g_autofree char *marker = get_marker (fixture);
  g_autofree char *before = NULL;

  make_document (fixture);
  plant (marker, "backingstore 2 persisted\n");
  assert_refuses (fixture, BS_REPAIR_ADOPT, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  plant (marker, "backingstore 1 scratch\n");
  before = snapshot (fixture->path_name);
  assert_refuses (fixture, BS_REPAIR_ADOPT, BS_ERROR, BS_ERROR_FOREIGN);
  assert_unchanged (fixture->path_name, before);
}

/* As from a copy by a program that leaves dot files out and puts its own in. */
static void
test_foreign_beside_blobs (Fixture *fixture, gconstpointer data)
{
  g_autofree char *marker = get_marker (fixture);

  make_document (fixture);
  g_unlink (marker);
  plant_in (fixture->path_name, "Thumbs.db", "thumbs");
  assert_refuses (fixture, BS_REPAIR_NONE, BS_ERROR, BS_ERROR_FOREIGN);
  assert_repairs (fixture, BS_REPAIR_ADOPT, 0, TRUE);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_true (exists_in (fixture->path_name, "Thumbs.db"));
}

static void
test_foreign_alone (Fixture *fixture, gconstpointer data)
{
  g_autofree char *before = NULL;

  plant_in (fixture->path_name, "letter.txt", "text");
  plant_in (fixture->path_name, ".backingstore", "garbage");
  before = snapshot (fixture->path_name);
  assert_refuses (fixture, BS_REPAIR_ADOPT, BS_ERROR, BS_ERROR_FOREIGN);
  assert_unchanged (fixture->path_name, before);
}

static void
test_restore (Fixture *fixture, gconstpointer data)
{
  g_autofree char *before = NULL;
  g_autofree char *folder = NULL;

  make_document (fixture);
  quarantine_blob (fixture);
  folder = g_build_filename (fixture->path_name, ".quarantine", NULL);

  before = snapshot (folder);
  assert_repairs (fixture, BS_REPAIR_RESTORE, 0, FALSE);
  assert_unchanged (folder, before);
  mend_quarantined (fixture);
  assert_repairs (fixture, BS_REPAIR_NONE, 0, FALSE);
  assert_repairs (fixture, BS_REPAIR_RESTORE | BS_REPAIR_DRY_RUN, 1, FALSE);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  restart_backing (fixture);

  assert_repairs (fixture, BS_REPAIR_RESTORE, 1, FALSE);
  g_assert_false (exists_in (fixture->path_name, ".dirty"));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  register_blob (fixture, fixture->key);
}

/* The key is at the path again: a save has written it anew. */
static void
test_restore_beside_a_blob (Fixture *fixture, gconstpointer data)
{
  g_autofree char *quarantined = NULL;

  make_document (fixture);
  quarantine_blob (fixture);
  mend_quarantined (fixture);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  restart_backing (fixture);

  assert_repairs (fixture, BS_REPAIR_RESTORE, 0, FALSE);
  quarantined = find_quarantined (fixture);
  g_assert_true (exists (quarantined));
}

/* Names that no verification has given, and files that are none. */
static void
test_restore_strangers (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_build_filename (fixture->path_name, ".quarantine", NULL);
  g_autofree char *link = NULL;
  g_autofree char *before = NULL;

  make_document (fixture);
  plant_in (folder, "short", "");
  plant_in (folder, "0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef", "no hash");
  link =
    g_build_filename (folder, "1123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef",
                      NULL);
  g_assert_cmpint (symlink ("/etc/passwd", link), ==, 0);
  before = snapshot (folder);
  assert_repairs (fixture, BS_REPAIR_RESTORE, 0, FALSE);
  assert_unchanged (folder, before);
}

static void
test_repair_refused (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsFileBacking) other = bs_file_backing_new_temporary (NULL);
  g_autoptr (BsKeySet) restored = bs_key_set_new ();
  g_autoptr (GFile) remote = g_file_new_for_uri ("test:///path");
  g_autoptr (GError) error = NULL;

  make_document (fixture);
  g_assert_cmpuint (count_listed (BS_BACKING (other), fixture->path), ==, 1);
  assert_refuses (fixture, BS_REPAIR_RESTORE, BS_ERROR, BS_ERROR_BUSY);
  bs_backing_close (BS_BACKING (other), NULL, NULL);

  use_read_only (fixture);
  assert_refuses (fixture, BS_REPAIR_RESTORE, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  assert_repairs (fixture, BS_REPAIR_RESTORE | BS_REPAIR_DRY_RUN, 0, FALSE);

  g_assert_false (bs_file_backing_repair_path (BS_FILE_BACKING (fixture->backing), remote,
                                               BS_REPAIR_NONE, restored, NULL, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
}

#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("/file-repair/read-only/changes-nothing", test_read_only_changes_nothing);
  ADD ("/file-repair/read-only/keeps-bad-blobs", test_read_only_keeps_bad_blobs);
  ADD ("/file-repair/read-only/makes-no-directory", test_read_only_makes_no_directory);
  ADD ("/file-repair/read-only/locks", test_read_only_locks);
  ADD ("/file-repair/read-only/property", test_read_only_property);
  ADD ("/file-repair/nothing", test_nothing_to_repair);
  ADD ("/file-repair/marker", test_marker);
  ADD ("/file-repair/other-markers", test_other_markers);
  ADD ("/file-repair/foreign-beside-blobs", test_foreign_beside_blobs);
  ADD ("/file-repair/foreign-alone", test_foreign_alone);
  ADD ("/file-repair/restore", test_restore);
  ADD ("/file-repair/restore-beside-a-blob", test_restore_beside_a_blob);
  ADD ("/file-repair/restore-strangers", test_restore_strangers);
  ADD ("/file-repair/refused", test_repair_refused);

  return g_test_run ();
}
