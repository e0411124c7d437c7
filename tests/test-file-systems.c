/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The file backing on real file systems, each with its own idea of links, room
 * and names. */

#include "file-fixture.h"
#include "file-mount.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define N_BLOBS 40

/* Under valgrind a file system would take minutes to fill. */
static gboolean
is_slow (void)
{
  const char *preload = g_getenv ("LD_PRELOAD");

  return preload != NULL && strstr (preload, "vgpreload") != NULL;
}

static Mount *
begin (Fixture *fixture, const char *type, guint megabytes)
{
  if (is_slow ())
    {
      g_test_skip ("Mounting file systems is too slow under valgrind");
      return NULL;
    }

  return mount_new (fixture->directory, type, megabytes);
}

static void
place_primary (Fixture *fixture, Mount *mount)
{
  g_autofree char *name = g_build_filename (mount_get_path (mount), "primary", NULL);

  move_primary (fixture, name);
}

static void
place_path (Fixture *fixture, Mount *mount)
{
  g_autofree char *name = g_build_filename (mount_get_path (mount), "persisted", NULL);

  move_path (fixture, name);
}

/* How `n` blobs get from one directory to another. */
static void
assert_way (BsBacking *backing, gboolean links, gboolean reflinks, guint64 n)
{
  assert_transfers (backing, links ? n : 0, !links && reflinks ? n : 0,
                    !links && !reflinks ? n : 0);
}

/* Why they did not get there by link: `n` of them, and none for another reason. */
typedef enum
{
  NO_REASON,
  CROSS_DEVICE,
  NOT_PERMITTED,
  TOO_MANY_LINKS,
} Reason;

static void
assert_reason (BsBacking *backing, Reason reason, guint64 n)
{
  g_autoptr (BsFileBackingStats) stats = bs_file_backing_get_stats (BS_FILE_BACKING (backing));

  g_assert_cmpuint (stats->cross_device, ==, reason == CROSS_DEVICE ? n : 0);
  g_assert_cmpuint (stats->not_permitted, ==, reason == NOT_PERMITTED ? n : 0);
  g_assert_cmpuint (stats->too_many_links, ==, reason == TOO_MANY_LINKS ? n : 0);
  g_assert_cmpuint (stats->not_supported, ==, 0);
}

/* A store, and an application that has one. */
typedef struct
{
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
} Session;

static void
session_begin (Session *session, Fixture *fixture, guint64 max_bytes)
{
  g_autoptr (GError) error = NULL;

  session->store = bs_backing_store_new (fixture->backing);
  session->pool = bs_pool_new (session->store, max_bytes);
  session->tracked = bs_backing_store_track_path (session->store, fixture->path, NULL, &error);
  g_assert_no_error (error);
}

static void
session_end (Session *session, Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  g_clear_object (&session->tracked);
  g_clear_object (&session->pool);
  bs_backing_store_close (session->store, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&session->store);
  g_clear_object (&fixture->backing);
}

static gsize
get_size (guint i)
{
  static const gsize sizes[] = { 0, 1, 100, 4096, 5000, 70000 };

  return sizes[i % G_N_ELEMENTS (sizes)];
}

static void
write_first_half (Session *session, char **keys)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < N_BLOBS; i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (get_size (i), i);
      g_autoptr (BsItem) item = bs_pool_insert (session->pool, bytes);

      keys[i] = bs_item_dup_key (item);
      bs_item_write (item, NULL, &error);
      g_assert_no_error (error);
      bs_item_persist (item, session->tracked, NULL, &error);
      g_assert_no_error (error);
    }
  bs_backing_store_sync (session->store, session->tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (session->tracked), ==, N_BLOBS);
}

static void
read_them_all (Session *session, char **keys)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (bs_tracked_path_get_n_keys (session->tracked), ==, N_BLOBS);
  for (guint i = 0; i < N_BLOBS; i++)
    {
      g_autoptr (GBytes) expected = make_test_bytes (get_size (i), i);
      g_autoptr (BsItem) item =
        bs_pool_register (session->pool, session->tracked, keys[i], NULL, &error);
      g_autoptr (GBytes) bytes = NULL;

      g_assert_no_error (error);
      bytes = bs_item_load (item, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (bytes, expected));
    }
}

static void
delete_them_all (Session *session, char **keys)
{
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < N_BLOBS / 2; i++)
    {
      bs_backing_store_delete_persisted (session->store, session->tracked, keys[i], NULL, &error);
      g_assert_no_error (error);
    }
  for (guint i = 0; i < N_BLOBS; i++)
    bs_key_set_add (set, keys[i], NULL);
  bs_backing_store_delete_persisted_keys (session->store, session->tracked, set, NULL, &error);
  g_assert_no_error (error);
  bs_backing_store_sync (session->store, session->tracked, NULL, &error);
  g_assert_no_error (error);
}

static void
verify_them_all (Fixture *fixture, char **keys)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < N_BLOBS; i++)
    {
      bs_backing_verify_persisted (fixture->backing, fixture->path, keys[i], NULL, &error);
      g_assert_no_error (error);
    }
}

/* A bit flips on the disk while nobody looks. */
static void
check_damage (Fixture *fixture, const char *key, gboolean attributes)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, key);
  g_autoptr (GError) error = NULL;
  struct timespec time = get_time (blob);
  struct timespec after;

  /* A program behind a file system may set no times: then somebody has written here. */
  flip (blob, 4000);
  after = get_time (blob);
  if (attributes && after.tv_sec == time.tv_sec && after.tv_nsec == time.tv_nsec)
    {
      g_assert_false (
        bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
      g_assert_false (exists (blob));
    }
  else
    {
      bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (exists (blob));
      flip (blob, 4000);
    }
}

static void
run_cycle (Fixture *fixture, Mount *mount, Reason reason, gboolean reflinks)
{
  gboolean links = reason == NO_REASON;
  gboolean attributes = mount_has_attributes (mount);
  char *keys[N_BLOBS];
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;
  Session session;

  session_begin (&session, fixture, 1000000);
  write_first_half (&session, keys);
  assert_way (fixture->backing, links, reflinks, N_BLOBS);
  assert_reason (fixture->backing, reason, N_BLOBS);
  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  session_end (&session, fixture);

  /* The stick is pulled out, and put in again. */
  mount_again (mount);
  fixture->backing = create (fixture->primary);
  session_begin (&session, fixture, 1000000);
  root = bs_backing_store_load_root (session.store, session.tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, fixture->bytes));
  read_them_all (&session, keys);
  assert_way (fixture->backing, links, reflinks, N_BLOBS);
  assert_reason (fixture->backing, reason, N_BLOBS);
  g_assert_cmpuint (count_foreign (fixture->backing), ==, 0);
  verify_them_all (fixture, keys);
  session_end (&session, fixture);

  fixture->backing = create (fixture->primary);
  session_begin (&session, fixture, 1000000);
  check_damage (fixture, keys[4], attributes);
  delete_them_all (&session, keys);
  session_end (&session, fixture);

  fixture->backing = create (fixture->primary);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_cmpuint (count_foreign (fixture->backing), ==, 0);
  g_clear_object (&fixture->backing);

  for (guint i = 0; i < N_BLOBS; i++)
    g_free (keys[i]);
}

static void
test_alone (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);
  run_cycle (fixture, mount, mount_has_links (mount) ? NO_REASON : NOT_PERMITTED,
             mount_has_reflinks (mount));
}

/* Scratch on the computer, the path on something else. */
static void
test_across (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);

  if (mount == NULL)
    return;

  place_path (fixture, mount);
  run_cycle (fixture, mount, CROSS_DEVICE, FALSE);
}

/* Links go from one place to another where neither the file system nor the place
 * is another; extents are shared within a file system. */
static void
test_two_places (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autoptr (Mount) other = NULL;
  g_autofree char *key = bs_key_generate ();
  g_autofree char *blob = NULL;
  g_autofree char *scratch = NULL;
  gboolean reflinks;

  if (mount == NULL)
    return;

  other = mount_bind (mount, fixture->directory);
  reflinks = mount_has_reflinks (mount);
  place_primary (fixture, mount);
  place_path (fixture, other);
  blob = get_blob_name (fixture->path_name, fixture->key);
  scratch = get_blob_name (fixture->primary_name, fixture->key);

  use_large_blobs (fixture);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  assert_way (fixture->backing, FALSE, reflinks, 1);
  sync_path (fixture);
  g_assert_cmpuint (get_inode (blob), !=, get_inode (scratch));

  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);
  assert_way (fixture->backing, FALSE, reflinks, 2);
  assert_reason (fixture->backing, CROSS_DEVICE, 2);

  /* Nothing but blob, marker, lock: no temporary is left in either. */
  g_assert_cmpuint (count_files (fixture->path_name), ==, 3);
  g_assert_cmpuint (count_files (fixture->primary_name), ==, 3);
  g_clear_object (&fixture->backing);
}

static void
sync_mount (Mount *mount)
{
  int fd = open (mount_get_path (mount), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  g_assert_cmpint (syncfs (fd), ==, 0);
  close (fd);
}

static guint64
count_free_bytes (Mount *mount)
{
  struct statvfs status;

  sync_mount (mount);
  g_assert_cmpint (statvfs (mount_get_path (mount), &status), ==, 0);

  return status.f_bfree * status.f_frsize;
}

/* A transfer counted as a reflink takes no room. */
static void
test_reflinks_take_no_room (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autoptr (Mount) other = NULL;
  g_autoptr (GBytes) large = make_test_bytes (16 << 20, 5);
  g_autoptr (GError) error = NULL;
  guint64 before;

  if (mount == NULL)
    return;

  other = mount_bind (mount, fixture->directory);
  g_assert_true (mount_has_reflinks (mount));
  place_primary (fixture, mount);
  place_path (fixture, other);
  g_assert_true (bs_backing_write (fixture->backing, fixture->key, large, NULL, &error));

  before = count_free_bytes (mount);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  g_assert_cmpuint (count_free_bytes (mount) + (8 << 20), >, before);
  assert_transfers (fixture->backing, 0, 1, 0);

  delete_scratch (fixture, fixture->key);
  bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, large);
  g_clear_object (&fixture->backing);
}

static gboolean
make_subvolume (const char *path)
{
  struct
  {
    gint64 fd;
    char name[4088];
  } arguments = { 0 };
  g_autofree char *parent = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  int fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean made;

  g_strlcpy (arguments.name, name, sizeof arguments.name);
  /* BTRFS_IOC_SUBVOL_CREATE */
  made = ioctl (fd, _IOW (0x94, 14, arguments), &arguments) == 0;
  close (fd);

  return made;
}

static void
test_subvolumes (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, "btrfs", 0);

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);
  g_assert_true (make_subvolume (fixture->primary_name));
  g_assert_true (make_subvolume (fixture->path_name));
  run_cycle (fixture, mount, CROSS_DEVICE, TRUE);
}

static gboolean
set_immutable (const char *path, gboolean immutable)
{
  int flags = 0;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  gboolean done = FALSE;

  if (ioctl (fd, FS_IOC_GETFLAGS, &flags) == 0)
    {
      flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
      done = ioctl (fd, FS_IOC_SETFLAGS, &flags) == 0;
    }
  close (fd);

  return done;
}

/* EPERM, from the system and not from the file system. */
static void
test_immutable (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autofree char *scratch = NULL;

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);
  scratch = get_blob_name (fixture->primary_name, fixture->key);
  use_large_blobs (fixture);
  write_blob (fixture, fixture->key);
  g_assert_true (set_immutable (scratch, TRUE));
  persist_blob (fixture, fixture->key);
  g_assert_true (set_immutable (scratch, FALSE));
  assert_way (fixture->backing, FALSE, mount_has_reflinks (mount), 1);
  assert_reason (fixture->backing, NOT_PERMITTED, 1);
  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);
  g_clear_object (&fixture->backing);
}

static guint
make_links_in_folders (Mount *mount, const char *name)
{
  guint n_links = 0;

  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *folder = g_strdup_printf ("%s/links-%u", mount_get_path (mount), i);

      g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
      for (guint j = 0; j < 700; j++)
        {
          char link_name[256];

          g_snprintf (link_name, sizeof link_name, "%s/%u", folder, j);
          if (link (name, link_name) != 0)
            {
              g_assert_cmpint (errno, ==, EMLINK);
              return n_links;
            }
          n_links++;
        }
    }

  return n_links;
}

/* Links to a file elsewhere, as many as there can be. Btrfs logs a file once for
 * each of its new links, all of them each time, if it or anything near was or will
 * be synced alone in the same transaction; so they have one of their own. */
static guint
make_links (Mount *mount, const char *name)
{
  guint n_links;

  sync_mount (mount);
  n_links = make_links_in_folders (mount, name);
  sync_mount (mount);

  return n_links;
}

static void
test_link_limit (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 64);
  g_autofree char *scratch = NULL;
  g_autofree char *blob = NULL;
  g_autofree char *other = bs_key_generate ();
  gboolean reflinks;

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);
  reflinks = mount_has_reflinks (mount);
  scratch = get_blob_name (fixture->primary_name, fixture->key);
  blob = get_blob_name (fixture->path_name, fixture->key);

  /* ext4 takes 65,000 of them, btrfs 65,535, this one among them. */
  use_large_blobs (fixture);
  write_blob (fixture, fixture->key);
  g_assert_cmpuint (make_links (mount, scratch), <, 65536);
  for (guint i = 0; i < 2; i++)
    persist_blob (fixture, fixture->key);
  assert_way (fixture->backing, FALSE, reflinks, 1);
  assert_reason (fixture->backing, TOO_MANY_LINKS, 1);
  sync_path (fixture);

  /* A copy has a count of its own, and the others never noticed. */
  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);
  assert_transfers (fixture->backing, 1, reflinks ? 1 : 0, reflinks ? 0 : 1);
  g_assert_cmpuint (get_inode (blob), ==, get_inode (scratch));
  write_blob (fixture, other);
  persist_blob (fixture, other);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
  g_clear_object (&fixture->backing);
}

/* A register copies on the way back, too. */
static void
test_link_limit_of_persisted (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 64);
  g_autofree char *blob = NULL;
  gboolean reflinks;

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);
  reflinks = mount_has_reflinks (mount);
  blob = get_blob_name (fixture->path_name, fixture->key);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  delete_scratch (fixture, fixture->key);
  g_assert_cmpuint (make_links (mount, blob), <, 65536);

  for (guint i = 0; i < 2; i++)
    register_blob (fixture, fixture->key);
  assert_transfers (fixture->backing, 1, reflinks ? 1 : 0, reflinks ? 0 : 1);
  assert_reason (fixture->backing, TOO_MANY_LINKS, 1);
  g_clear_object (&fixture->backing);
}

static void
assert_no_space (GError **error)
{
  g_assert_error (*error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (error);
}

/* No room for scratch. */
static void
test_full_scratch (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autofree char *before = bs_key_generate ();
  g_autofree char *blob = NULL;
  g_autoptr (GBytes) large = make_test_bytes (1000000, 2);
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  blob = get_blob_name (fixture->primary_name, fixture->key);
  write_blob (fixture, before);
  persist_blob (fixture, before);

  mount_fill (mount);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_false (bs_backing_write (fixture->backing, fixture->key, large, NULL, &error));
      assert_no_space (&error);
      g_assert_false (exists (blob));
      assert_does_not_read (fixture->backing, fixture->key);
    }
  assert_reads (fixture->backing, before, fixture->bytes);

  mount_make_room (mount);
  g_assert_true (bs_backing_write (fixture->backing, fixture->key, large, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, large);
  persist_blob (fixture, fixture->key);
  delete_scratch (fixture, fixture->key);

  /* Bringing it back is by copy. */
  mount_fill (mount);
  g_assert_false (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  assert_no_space (&error);
  assert_does_not_read (fixture->backing, fixture->key);
  mount_make_room (mount);
  g_assert_true (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, large);
  g_clear_object (&fixture->backing);
}

#define SLOT_BLOB_SIZE 20000

/* Blobs that are small enough for slots, each with a content of its own. */
typedef struct
{
  GPtrArray *keys; /* owned */
  GArray *seeds;
  guint next_seed;
} SlotBlobs;

static gboolean
write_slot_blob (Fixture *fixture, SlotBlobs *blobs, GError **error)
{
  g_autoptr (GBytes) bytes = make_test_bytes (SLOT_BLOB_SIZE, blobs->next_seed);
  g_autofree char *key = bs_key_generate ();

  if (!bs_backing_write (fixture->backing, key, bytes, NULL, error))
    {
      assert_does_not_read (fixture->backing, key);
      return FALSE;
    }

  g_ptr_array_add (blobs->keys, g_steal_pointer (&key));
  g_array_append_val (blobs->seeds, blobs->next_seed);
  blobs->next_seed++;

  return TRUE;
}

static void
assert_slot_blobs_read (Fixture *fixture, SlotBlobs *blobs)
{
  for (guint i = 0; i < blobs->keys->len; i++)
    {
      g_autoptr (GBytes) bytes =
        make_test_bytes (SLOT_BLOB_SIZE, g_array_index (blobs->seeds, guint, i));

      assert_reads (fixture->backing, blobs->keys->pdata[i], bytes);
    }
}

static void
drop_slot_blobs (Fixture *fixture, SlotBlobs *blobs, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      delete_scratch (fixture, blobs->keys->pdata[i]);
      g_ptr_array_remove_index_fast (blobs->keys, i);
      g_array_remove_index_fast (blobs->seeds, i);
    }
}

/* Small blobs share files: what is written on a full disk harms none that is there, also
 * where the file system writes anew what is written again. */
static void
test_full_slots (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  SlotBlobs blobs = { g_ptr_array_new_with_free_func (g_free),
                      g_array_new (FALSE, FALSE, sizeof (guint)), 1 };
  g_autoptr (GError) error = NULL;

  if (mount != NULL)
    {
      place_primary (fixture, mount);
      for (guint i = 0; i < 100; i++)
        g_assert_true (write_slot_blob (fixture, &blobs, NULL));

      for (guint round = 0; round < 3; round++)
        {
          mount_fill (mount);
          while (write_slot_blob (fixture, &blobs, &error))
            ;
          assert_no_space (&error);
          assert_slot_blobs_read (fixture, &blobs);

          /* The room of a dropped blob may be used, or may not be there before the file
           * system has written something. */
          drop_slot_blobs (fixture, &blobs, 20);
          for (guint i = 0; i < 10; i++)
            if (!write_slot_blob (fixture, &blobs, &error))
              assert_no_space (&error);
          assert_slot_blobs_read (fixture, &blobs);

          mount_make_room (mount);
          for (guint i = 0; i < 30; i++)
            g_assert_true (write_slot_blob (fixture, &blobs, NULL));
          assert_slot_blobs_read (fixture, &blobs);
        }
      g_clear_object (&fixture->backing);
    }

  g_ptr_array_unref (blobs.keys);
  g_array_unref (blobs.seeds);
}

static void
check_root (Fixture *fixture, GBytes *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, expected));
}

/* No room at the path, for a copy or a root. */
static void
test_full_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autofree char *before = bs_key_generate ();
  g_autofree char *unneeded = bs_key_generate ();
  g_autofree char *blob = NULL;
  g_autoptr (GBytes) large = make_test_bytes (1000000, 2);
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  place_path (fixture, mount);
  blob = get_blob_name (fixture->path_name, fixture->key);
  write_blob (fixture, before);
  persist_blob (fixture, before);
  write_blob (fixture, unneeded);
  persist_blob (fixture, unneeded);
  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  sync_path (fixture);
  bs_backing_write (fixture->backing, fixture->key, large, NULL, &error);
  g_assert_no_error (error);

  mount_fill (mount);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_false (
        bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
      assert_no_space (&error);
      g_assert_false (exists (blob));
      g_assert_false (
        bs_backing_write_root (fixture->backing, fixture->path, large, NULL, NULL, &error));
      assert_no_space (&error);
      check_root (fixture, fixture->bytes);
    }
  assert_reads (fixture->backing, fixture->key, large);
  delete_scratch (fixture, before);
  register_blob (fixture, before);

  /* How else is there to be room again? */
  bs_backing_delete_persisted (fixture->backing, fixture->path, unneeded, NULL, &error);
  g_assert_no_error (error);

  mount_make_room (mount);
  persist_blob (fixture, fixture->key);
  bs_backing_write_root (fixture->backing, fixture->path, large, NULL, NULL, &error);
  g_assert_no_error (error);
  sync_path (fixture);
  check_root (fixture, large);

  /* No half-made file is in the way, now or later. */
  restart_backing (fixture);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
  g_assert_cmpuint (count_foreign (fixture->backing), ==, 0);
  g_assert_true (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  assert_reads (fixture->backing, fixture->key, large);
  register_blob (fixture, before);
  g_clear_object (&fixture->backing);
}

/* Room for no attribute, and at times for no folder. */
static void
test_full_linked (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  guint n_persisted = 0;

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  for (guint i = 0; i < 50; i++)
    {
      g_ptr_array_add (keys, bs_key_generate ());
      write_blob (fixture, keys->pdata[i]);
    }

  mount_fill (mount);
  for (guint i = 0; i < keys->len; i++)
    {
      g_autoptr (GError) error = NULL;

      if (bs_backing_persist (fixture->backing, fixture->path, keys->pdata[i], NULL, &error))
        n_persisted++;
      else
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      assert_reads (fixture->backing, keys->pdata[i], fixture->bytes);
    }
  /* An error means no effect. */
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, n_persisted);

  mount_make_room (mount);
  for (guint i = 0; i < keys->len; i++)
    persist_blob (fixture, keys->pdata[i]);
  sync_path (fixture);
  restart_backing (fixture);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, keys->len);
  for (guint i = 0; i < keys->len; i++)
    {
      g_autoptr (GError) error = NULL;

      register_blob (fixture, keys->pdata[i]);
      bs_backing_verify_persisted (fixture->backing, fixture->path, keys->pdata[i], NULL, &error);
      g_assert_no_error (error);
    }
  g_clear_object (&fixture->backing);
}

/* Blocks are left, but nothing new can have a name. What is there can be deleted. */
static void
test_no_inodes (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, "tmpfs", 0);
  g_autofree char *options = NULL;
  g_autofree char *other = bs_key_generate ();
  g_autoptr (GError) error = NULL;
  struct statvfs status;

  if (mount == NULL)
    return;

  place_path (fixture, mount);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  write_blob (fixture, other);

  g_assert_cmpint (statvfs (mount_get_path (mount), &status), ==, 0);
  options = g_strdup_printf ("nr_inodes=%lu", (gulong) (status.f_files - status.f_ffree));
  g_assert_cmpint (mount_remount (mount, options), ==, 0);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, other, NULL, &error));
  assert_no_space (&error);
  bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (mount_remount (mount, "nr_inodes=1000"), ==, 0);
  persist_blob (fixture, other);
  sync_path (fixture);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_clear_object (&fixture->backing);
}

static void
assert_all_load (GPtrArray *items)
{
  for (guint i = 0; i < items->len; i++)
    {
      g_autoptr (GBytes) expected = make_test_bytes (100000, i);
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = bs_item_load (items->pdata[i], NULL, &error);

      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (bytes, expected));
    }
}

/* A pool whose disk is full keeps what it can't write. */
static void
test_full_pool (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;
  Session session;

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  session_begin (&session, fixture, G_MAXINT64);
  write_blob (fixture, fixture->key);
  mount_fill (mount);

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (100000, i);

      g_ptr_array_add (items, bs_pool_insert (session.pool, bytes));
    }
  g_assert_false (bs_pool_trim (session.pool, 0, NULL, &error));
  assert_no_space (&error);
  assert_all_load (items);

  /* Persisting writes first. */
  g_assert_false (bs_item_persist (items->pdata[0], session.tracked, NULL, &error));
  assert_no_space (&error);
  assert_all_load (items);

  /* A write begun before there is room may still fail. */
  bs_backing_store_wait_finished (session.store, NULL, &error);
  g_assert_no_error (error);
  mount_make_room (mount);
  bs_pool_trim (session.pool, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (session.pool), ==, 0);
  assert_all_load (items);
  for (guint i = 0; i < items->len; i++)
    {
      bs_item_persist (items->pdata[i], session.tracked, NULL, &error);
      g_assert_no_error (error);
    }
  g_assert_cmpuint (bs_tracked_path_get_n_keys (session.tracked), ==, items->len);

  g_ptr_array_set_size (items, 0);
  session_end (&session, fixture);
}

/* The file system finds an error in itself and takes no more. */
static void
test_turns_read_only (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autofree char *late = bs_key_generate ();
  g_autofree char *written = bs_key_generate ();
  g_autofree char *before = NULL;
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  sync_path (fixture);
  write_blob (fixture, written);

  if (!mount_turn_read_only (mount))
    {
      g_test_skip ("The file system can't be made to fail");
      g_clear_object (&fixture->backing);
      return;
    }

  g_assert_false (bs_backing_write (fixture->backing, late, fixture->bytes, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, written, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  g_assert_false (bs_backing_delete_key (fixture->backing, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);

  /* Blobs that are there can still be read. */
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  assert_reads (fixture->backing, written, fixture->bytes);
  check_root (fixture, fixture->bytes);
  bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&fixture->backing);

  mount_again (mount);
  fixture->backing = create (fixture->primary);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  register_blob (fixture, fixture->key);
  check_root (fixture, fixture->bytes);
  g_clear_object (&fixture->backing);
}

/* The disk is gone, and a sync may not say that all is well. */
static void
test_shut_down (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autofree char *lost = bs_key_generate ();
  g_autofree char *late = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  place_path (fixture, mount);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  write_blob (fixture, lost);
  persist_blob (fixture, lost);
  write_blob (fixture, late);

  if (!mount_shut_down (mount))
    {
      g_test_skip ("The file system can't be shut down");
      g_clear_object (&fixture->backing);
      return;
    }

  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, late, NULL, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
      g_assert_nonnull (error);
      g_clear_error (&error);
    }
  assert_reads (fixture->backing, lost, fixture->bytes);
  g_clear_object (&fixture->backing);

  /* As after a power cut: what was synced is there and right. */
  mount_again (mount);
  fixture->backing = create (fixture->primary);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), >=, 1);
  register_blob (fixture, fixture->key);
  if (bs_backing_register_key (fixture->backing, fixture->path, lost, NULL, NULL))
    {
      g_autoptr (GBytes) bytes = bs_backing_read (fixture->backing, lost, NULL, NULL);

      g_assert_true (bytes == NULL || g_bytes_equal (bytes, fixture->bytes));
    }
  g_clear_object (&fixture->backing);
}

/* Names in which only the case differs are one name here. */
static void
test_case_insensitive (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  const char *key = "abcdef01-2345-6789-abcd-ef0123456789";
  g_autofree char *upper = g_ascii_strup (key, -1);

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);

  for (guint i = 0; i < 3; i++)
    {
      write_blob (fixture, i == 1 ? upper : key);
      persist_blob (fixture, key);
      sync_path (fixture);
      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
      delete_scratch (fixture, upper);
      register_blob (fixture, upper);
      g_clear_object (&fixture->backing);
      mount_again (mount);
      fixture->backing = create (fixture->primary);
      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
      g_assert_cmpuint (count_foreign (fixture->backing), ==, 0);
      bs_backing_delete_persisted (fixture->backing, fixture->path, upper, NULL, NULL);
      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
    }
  g_clear_object (&fixture->backing);
}

/* Another file system comes over the path while it is in use. */
static void
test_mounted_over (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, "tmpfs", 0);
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  g_assert_cmpint (mount_move_over (mount, fixture->path_name), ==, 0);

  /* To those who have the path it is the old one, or an error. */
  bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, NULL);
  g_assert_cmpuint (count_files (fixture->path_name), ==, 0);

  /* Tracked again, it is the new one. */
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  assert_transfers (fixture->backing, 1, 0, 1);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);

  g_assert_cmpint (mount_move_over (mount, mount_get_path (mount)), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  register_blob (fixture, fixture->key);
  g_clear_object (&fixture->backing);
}

/* Somebody puts another directory, or something else, in the place of ours. */
static void
test_replaced (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = begin (fixture, data, 0);
  g_autofree char *aside = NULL;
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  place_primary (fixture, mount);
  place_path (fixture, mount);
  aside = g_strconcat (fixture->path_name, "-aside", NULL);
  write_blob (fixture, fixture->key);
  write_blob (fixture, key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);

  /* By another store. */
  g_assert_cmpint (g_rename (fixture->path_name, aside), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  persist_blob (fixture, key);
  sync_path (fixture);

  /* By the first one, come back. */
  remove_test_directory (fixture->path_name);
  g_assert_cmpint (g_rename (aside, fixture->path_name), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  register_blob (fixture, fixture->key);

  /* By nothing, and by a file. */
  remove_test_directory (fixture->path_name);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, NULL);
  plant (fixture->path_name, "a file");
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);
  g_assert_cmpint (g_unlink (fixture->path_name), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  persist_blob (fixture, key);
  persist_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);

  /* Scratch that is removed while it is in use is made again. */
  remove_test_directory (fixture->primary_name);
  register_blob (fixture, key);
  g_clear_object (&fixture->backing);
  fixture->backing = create (fixture->primary);
  register_blob (fixture, key);
  g_clear_object (&fixture->backing);
}

typedef struct
{
  const char *name;
  void (*func) (Fixture *fixture, gconstpointer data);
  const char *types[8]; /* of file systems; none: the test knows which */
  gboolean whole_only;
} Test;

static const Test tests[] = {
  { "alone", test_alone, { "ext4", "xfs", "btrfs", "vfat", "exfat", "tmpfs", "bindfs" } },
  { "across", test_across, { "ext4", "xfs", "btrfs", "vfat", "exfat", "tmpfs", "bindfs" } },
  { "two-places", test_two_places, { "ext4", "xfs", "btrfs", "vfat", "exfat", "tmpfs", "bindfs" } },
  { "reflinks-take-no-room", test_reflinks_take_no_room, { "xfs", "btrfs" } },
  { "subvolumes", test_subvolumes, { NULL } },
  { "immutable", test_immutable, { "ext4", "xfs", "btrfs" } },
  { "link-limit/scratch", test_link_limit, { "ext4" } },
  { "link-limit/scratch", test_link_limit, { "btrfs" }, TRUE },
  { "link-limit/persisted", test_link_limit_of_persisted, { "ext4" } },
  { "link-limit/persisted", test_link_limit_of_persisted, { "btrfs" }, TRUE },
  { "full/scratch", test_full_scratch, { "ext4", "xfs", "btrfs", "vfat", "exfat", "tmpfs" } },
  { "full/slots", test_full_slots, { "ext4", "xfs", "btrfs", "vfat", "exfat", "tmpfs" } },
  { "full/path", test_full_path, { "ext4", "xfs", "btrfs", "vfat", "exfat", "tmpfs" } },
  { "full/linked",
    test_full_linked,
    { "ext4", "ext4-narrow", "xfs", "btrfs", "tmpfs", "vfat", "exfat" } },
  { "full/inodes", test_no_inodes, { NULL } },
  { "full/pool", test_full_pool, { "ext4", "xfs", "btrfs", "vfat", "exfat", "tmpfs" } },
  { "turns-read-only", test_turns_read_only, { "ext4" } },
  { "shut-down", test_shut_down, { "ext4", "xfs", "btrfs" } },
  { "case-insensitive", test_case_insensitive, { "vfat", "exfat" } },
  { "mounted-over", test_mounted_over, { NULL } },
  /* A file system in user space hides what is removed while it is in use. */
  { "replaced", test_replaced, { "ext4", "xfs", "btrfs", "vfat", "tmpfs" } },
};

int
main (int argc, char *argv[])
{
  mount_init ();
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      guint j = 0;

      if (tests[i].whole_only && !tests_are_whole ())
        continue;

      do
        {
          const char *type = tests[i].types[j];
          g_autofree char *path = type != NULL
                                    ? g_strdup_printf ("/file-systems/%s/%s", tests[i].name, type)
                                    : g_strdup_printf ("/file-systems/%s", tests[i].name);

          g_test_add (path, Fixture, type, set_up, tests[i].func, tear_down);
          j++;
        }
      while (tests[i].types[j] != NULL);
    }

  return g_test_run ();
}
