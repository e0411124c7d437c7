/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Open documents on real file systems, as people treat them: renamed, replaced, thrown
 * away, copied by a snapshot, unmounted. */

#include "file-fixture.h"
#include "file-mount.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

/* A store, and the document that it has open. */
typedef struct
{
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  GPtrArray *items;
} Document;

static BsTrackedPath *
track (Document *self, const char *name)
{
  g_autoptr (GFile) file = g_file_new_for_path (name);
  g_autoptr (GError) error = NULL;
  BsTrackedPath *tracked = bs_backing_store_track_path (self->store, file, NULL, &error);

  g_assert_no_error (error);

  return tracked;
}

static void
document_open (Document *self, const char *scratch, const char *name)
{
  g_autoptr (GFile) file = g_file_new_for_path (scratch);
  g_autoptr (BsFileBacking) backing = bs_file_backing_new (file);

  self->store = bs_backing_store_new (BS_BACKING (backing));
  self->pool = bs_pool_new (self->store, G_MAXINT64);
  self->tracked = track (self, name);
  self->items = g_ptr_array_new_with_free_func (g_object_unref);
}

/* Nothing of the store may be held any more, or the mount is held as well. */
static void
document_close (Document *self)
{
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&self->items, g_ptr_array_unref);
  g_clear_object (&self->tracked);
  g_clear_object (&self->pool);
  bs_backing_store_close (self->store, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&self->store);
}

static void
add (Document *self, const char *content)
{
  g_autoptr (GBytes) bytes = g_bytes_new (content, strlen (content));

  g_ptr_array_add (self->items, bs_pool_insert (self->pool, bytes));
}

/* The root has the keys, one a line. */
static GError *
save_at (Document *self, BsTrackedPath *tracked)
{
  g_autoptr (BsSave) save = bs_save_new (self->store, tracked);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GBytes) root = NULL;
  GError *error = NULL;

  for (guint i = 0; i < self->items->len; i++)
    {
      g_autofree char *key = bs_item_dup_key (self->items->pdata[i]);

      bs_save_add_item (save, self->items->pdata[i]);
      g_string_append_printf (text, "%s\n", key);
    }
  root = g_bytes_new (text->str, text->len);
  bs_save_set_root (save, root);
  bs_save_run (save, NULL, &error);

  return error;
}

static void
save_ok (Document *self, BsTrackedPath *tracked)
{
  g_autoptr (GError) error = save_at (self, tracked);

  g_assert_no_error (error);
  g_assert_false (bs_tracked_path_get_moved (tracked));
}

/* Fails, and touches nothing in the places, of which the second may be NULL. */
static void
assert_moved (Document *self, const char *place, const char *other)
{
  g_autofree char *before = snapshot (place);
  g_autofree char *other_before = other != NULL ? snapshot (other) : NULL;
  g_autoptr (GError) error = save_at (self, self->tracked);

  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_assert_true (bs_tracked_path_get_moved (self->tracked));
  assert_unchanged (place, before);
  if (other != NULL)
    assert_unchanged (other, other_before);
}

static void
load_items (Document *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = bs_backing_store_load_root (self->store, self->tracked, NULL, &error);
  g_autofree char *text = NULL;
  g_auto (GStrv) keys = NULL;

  g_assert_no_error (error);
  text = g_strndup (g_bytes_get_data (root, NULL), g_bytes_get_size (root));
  keys = g_strsplit (text, "\n", -1);
  for (guint i = 0; keys[i][0] != '\0'; i++)
    {
      BsItem *item = bs_pool_register (self->pool, self->tracked, keys[i], NULL, &error);

      g_assert_no_error (error);
      g_ptr_array_add (self->items, item);
    }
}

static void
assert_content (Document *self, const char *expected)
{
  g_autoptr (GString) content = g_string_new (NULL);

  for (guint i = 0; i < self->items->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = bs_item_load (self->items->pdata[i], NULL, &error);

      g_assert_no_error (error);
      g_string_append_len (content, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
    }
  g_assert_cmpstr (content->str, ==, expected);
}

/* Another store, which opens the document anew. */
static void
assert_document (const char *scratch, const char *name, const char *expected)
{
  Document document;

  document_open (&document, scratch, name);
  load_items (&document);
  assert_content (&document, expected);
  document_close (&document);
}

/* Where a test has its documents, and one of them that is open. */
typedef struct
{
  Fixture fixture;
  Mount *mount; /* NULL where this machine can't mount the file system */
  char *scratch;
  char *other_scratch;
  char *name;
  char *aside;
  char *lower; /* of an overlay, and how it was before its document was opened */
  char *lower_before;
  Document document;
} Places;

typedef struct
{
  const char *type;
  void (*func) (Places *, const char *type);
} Case;

static void
places_set_up (Places *self, gconstpointer data)
{
  const Case *test = data;
  const char *path;

  set_up (&self->fixture, NULL);
  self->mount = mount_new (self->fixture.directory, test->type, 0);
  if (self->mount == NULL)
    return;

  path = mount_get_path (self->mount);
  self->scratch = g_build_filename (path, "scratch", NULL);
  /* Elsewhere: its links do not count. */
  self->other_scratch = g_build_filename (self->fixture.directory, "other-scratch", NULL);
  self->name = g_build_filename (path, "document", NULL);
  self->aside = g_build_filename (path, "aside", NULL);
}

static void
places_run (Places *self, gconstpointer data)
{
  const Case *test = data;

  if (self->mount != NULL)
    test->func (self, test->type);
}

static void
places_tear_down (Places *self, gconstpointer data)
{
  g_clear_pointer (&self->mount, mount_free);
  g_free (self->scratch);
  g_free (self->other_scratch);
  g_free (self->name);
  g_free (self->aside);
  g_free (self->lower);
  g_free (self->lower_before);
  tear_down (&self->fixture, NULL);
}

static void
make_other (Places *places, const char *name)
{
  Document other;

  document_open (&other, places->other_scratch, name);
  add (&other, "other");
  save_ok (&other, other.tracked);
  document_close (&other);
}

/* Opens a new document of that name, and saves it. */
static Document *
open_new (Places *places, const char *name, const char *content)
{
  document_open (&places->document, places->scratch, name);
  add (&places->document, content);
  save_ok (&places->document, places->document.tracked);

  return &places->document;
}

/* Opens a document that the lower layer of an overlay has. */
static Document *
open_lower (Places *places)
{
  g_autofree char *name = NULL;

  places->lower = mount_get_lower (places->mount);
  name = g_build_filename (places->lower, "document", NULL);
  make_other (places, name);
  mount_again (places->mount);
  places->lower_before = snapshot (places->lower);

  document_open (&places->document, places->scratch, places->name);
  load_items (&places->document);
  assert_content (&places->document, "other");

  return &places->document;
}

/* Renamed, with its old name free and taken; and back. */
static void
test_renamed (Places *places, const char *type)
{
  g_autoptr (BsTrackedPath) again = NULL;
  g_autoptr (BsTrackedPath) other = NULL;
  g_autofree char *other_name = NULL;
  Document *document;

  other_name = g_strconcat (places->name, "-other", NULL);
  document = open_new (places, places->name, "one ");

  g_assert_no_errno (g_rename (places->name, places->aside));
  add (document, "two ");
  assert_moved (document, places->aside, NULL);
  make_other (places, places->name);
  assert_moved (document, places->aside, places->name);

  again = track (document, places->aside);
  g_assert_true (again == document->tracked);
  save_ok (document, again);
  other = track (document, places->name);
  g_assert_true (other != document->tracked);

  g_clear_object (&other);
  g_assert_no_errno (g_rename (places->name, other_name));
  g_assert_no_errno (g_rename (places->aside, places->name));
  add (document, "three");
  assert_moved (document, places->name, NULL);
  g_assert_no_errno (g_rename (places->name, places->aside));
  save_ok (document, document->tracked);
  g_clear_object (&again);
  document_close (document);

  assert_document (places->scratch, places->aside, "one two three");
}

/* Thrown away and made anew, or a copy put in its place. */
static void
test_replaced (Places *places, const char *type)
{
  g_autoptr (BsTrackedPath) again = NULL;
  Document *document = open_new (places, places->name, "one ");

  make_other (places, places->aside);

  remove_test_directory (places->name);
  g_assert_no_errno (g_rename (places->aside, places->name));
  add (document, "two");
  assert_moved (document, places->name, NULL);

  again = track (document, places->name);
  g_assert_true (again != document->tracked);
  save_ok (document, again);
  g_clear_object (&again);
  document_close (document);

  assert_document (places->scratch, places->name, "one two");
}

static void
plant_leftovers (Places *places)
{
  static const char *const names[] = { ".tmp-0123456789abcdef0123456789abcdef", ".dirty" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    plant_in (places->name, names[i], "");
  plant_in (places->scratch, ".tmp-0123456789abcdef0123456789abcdef", "");
}

/* Of a process that was killed; after that it is whole, and nothing is left. */
static void
test_leftovers (Places *places, const char *type)
{
  g_autofree char *left = NULL;
  Document *document = open_new (places, places->name, "one");

  document_close (document);
  plant_leftovers (places);
  if (g_str_equal (type, "overlay") || g_str_equal (type, "ext4"))
    mount_again (places->mount);

  assert_document (places->scratch, places->name, "one");
  g_assert_false (exists_in (places->name, ".tmp-0123456789abcdef0123456789abcdef"));
  g_assert_false (exists_in (places->name, ".dirty"));
  left = g_build_filename (places->scratch, ".tmp-0123456789abcdef0123456789abcdef", NULL);
  wait_until_gone (left);
}

/* A document of the lower layer: its folders and files get other numbers when they are
 * first changed. */
static void
test_copied_up (Places *places, const char *type)
{
  g_autoptr (BsTrackedPath) again = NULL;
  g_autofree char *old = NULL;
  Document *document = open_lower (places);

  g_assert_true (bs_tracked_path_get_writable (document->tracked));
  add (document, " one");
  save_ok (document, document->tracked);
  old = bs_item_dup_key (document->items->pdata[0]);
  g_ptr_array_remove_index (document->items, 0);
  save_ok (document, document->tracked);
  g_assert_false (bs_tracked_path_contains_key (document->tracked, old));
  again = track (document, places->name);
  g_assert_true (again == document->tracked);
  save_ok (document, again);
  g_clear_object (&again);
  document_close (document);

  assert_document (places->scratch, places->name, " one");
  assert_unchanged (places->lower, places->lower_before);
}

/* A blob of the lower layer is removed behind the document, and its folder with it. */
static void
test_copied_up_missing (Places *places, const char *type)
{
  g_autofree char *key = NULL;
  g_autofree char *folder = NULL;
  Document *document = open_lower (places);

  key = bs_item_dup_key (document->items->pdata[0]);
  folder = get_shard_name (places->name, key);
  remove_test_directory (folder);
  save_ok (document, document->tracked);
  document_close (document);

  assert_document (places->scratch, places->name, "other");
  assert_unchanged (places->lower, places->lower_before);
}

static gboolean
control (const char *path, unsigned long request, gpointer arguments)
{
  g_autofree char *parent = g_path_get_dirname (path);
  int fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean done = ioctl (fd, request, arguments) == 0;

  close (fd);

  return done;
}

static gboolean
make_subvolume (const char *path)
{
  struct
  {
    gint64 fd;
    char name[4088];
  } arguments = { 0 };
  g_autofree char *name = g_path_get_basename (path);

  g_strlcpy (arguments.name, name, sizeof arguments.name);

  /* BTRFS_IOC_SUBVOL_CREATE */
  return control (path, _IOW (0x94, 14, arguments), &arguments);
}

static gboolean
make_snapshot (const char *subvolume, const char *path, gboolean read_only)
{
  struct
  {
    gint64 fd;
    guint64 transaction;
    guint64 flags; /* 2: read-only */
    guint64 unused[4];
    char name[4040];
  } arguments = { .flags = read_only ? 2 : 0 };
  g_autofree char *name = g_path_get_basename (path);
  gboolean made;

  g_strlcpy (arguments.name, name, sizeof arguments.name);
  arguments.fd = open (subvolume, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  /* BTRFS_IOC_SNAP_CREATE_V2 */
  made = control (path, _IOW (0x94, 23, arguments), &arguments);
  close (arguments.fd);

  return made;
}

/* A snapshot of an open document is another one, though each file in it has the number of
 * its original. */
static void
test_snapshot (Places *places, const char *type)
{
  g_autoptr (BsTrackedPath) copy = NULL;
  g_autoptr (BsTrackedPath) old = NULL;
  g_autoptr (BsTrackedPath) back = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *replaced_name = NULL;
  g_autofree char *old_name = NULL;
  g_autofree char *before = NULL;
  Document *document;

  replaced_name = g_strconcat (places->name, "-replaced", NULL);
  old_name = g_strconcat (places->name, "-old", NULL);
  g_assert_true (make_subvolume (places->name));
  document = open_new (places, places->name, "one ");
  g_assert_true (make_snapshot (places->name, places->aside, FALSE));
  g_assert_true (make_snapshot (places->name, old_name, TRUE));
  g_assert_cmpuint (get_inode (places->name), ==, get_inode (places->aside));

  copy = track (document, places->aside);
  old = track (document, old_name);
  g_assert_true (copy != document->tracked && old != document->tracked && old != copy);
  g_assert_false (bs_tracked_path_get_moved (copy));
  g_assert_true (bs_tracked_path_get_writable (copy));
  g_assert_false (bs_tracked_path_get_writable (old));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (old), ==, 1);

  add (document, "two ");
  save_ok (document, document->tracked);
  save_ok (document, copy);
  before = snapshot (old_name);
  error = save_at (document, old);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  assert_unchanged (old_name, before);

  /* The snapshot is put back in the document's place. */
  bs_backing_store_untrack_path (document->store, copy, NULL, NULL);
  g_assert_no_errno (g_rename (places->name, replaced_name));
  g_assert_no_errno (g_rename (places->aside, places->name));
  add (document, "three");
  assert_moved (document, places->name, replaced_name);
  back = track (document, places->name);
  g_assert_true (back != document->tracked && back != copy);
  save_ok (document, back);
  g_clear_object (&back);
  g_clear_object (&old);
  g_clear_object (&copy);
  document_close (document);

  assert_document (places->scratch, places->name, "one two three");
  assert_document (places->scratch, replaced_name, "one two ");
}

/* An open document is unmounted, and mounted again at the same place. */
static void
test_unmounted (Places *places, const char *type)
{
  g_autofree char *bound_name = NULL;
  g_autoptr (BsTrackedPath) by_mount = NULL;
  Mount *bound;
  Document *document;

  bound = mount_bind (places->mount, places->fixture.directory);
  bound_name = g_build_filename (mount_get_path (bound), "document", NULL);
  document = open_new (places, bound_name, "one ");

  g_assert_no_errno (umount2 (mount_get_path (bound), MNT_DETACH));
  add (document, "two ");
  assert_moved (document, places->name, mount_get_path (bound));
  g_assert_no_errno (
    mount (mount_get_path (places->mount), mount_get_path (bound), "none", MS_BIND, NULL));
  save_ok (document, document->tracked);

  mount_free (bound);
  add (document, "three");
  assert_moved (document, places->name, NULL);
  by_mount = track (document, places->name);
  g_assert_true (by_mount == document->tracked);
  save_ok (document, by_mount);
  g_clear_object (&by_mount);
  document_close (document);

  mount_again (places->mount);
  assert_document (places->scratch, places->name, "one two three");
}

typedef struct
{
  const char *name;
  void (*func) (Places *, const char *type);
  const char *types[8];
} Test;

static const Test tests[] = {
  { "renamed", test_renamed, { "ext4", "xfs", "btrfs", "tmpfs", "bindfs", "exfat", "overlay" } },
  /* A file system in user space hides what is removed while it is in use. */
  { "replaced", test_replaced, { "ext4", "xfs", "btrfs", "tmpfs", "overlay" } },
  { "leftovers", test_leftovers, { "ext4", "tmpfs", "bindfs", "exfat", "overlay" } },
  { "unmounted", test_unmounted, { "ext4", "btrfs", "tmpfs", "overlay" } },
  { "copied-up", test_copied_up, { "overlay" } },
  { "copied-up-missing", test_copied_up_missing, { "overlay" } },
  { "snapshot", test_snapshot, { "btrfs" } },
};

int
main (int argc, char *argv[])
{
  static Case cases[G_N_ELEMENTS (tests)][G_N_ELEMENTS (tests[0].types)];

  mount_init ();
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      for (guint j = 0; tests[i].types[j] != NULL; j++)
        {
          g_autofree char *name =
            g_strdup_printf ("/documents/%s/%s", tests[i].name, tests[i].types[j]);

          cases[i][j] = (Case){ .type = tests[i].types[j], .func = tests[i].func };
          g_test_add (name, Places, &cases[i][j], places_set_up, places_run, places_tear_down);
        }
    }

  return g_test_run ();
}
