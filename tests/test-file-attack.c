/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A directory that somebody prepared to hurt us: whatever stands in it, nothing
 * outside it is touched, no call hangs or ends the process, and no call says that
 * all is well with bytes that are not those of the blob. */

#include "file-fixture.h"
#include "file-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Sanitizers would rather abort than let malloc() say no. */
const char *__asan_default_options (void);
const char *__tsan_default_options (void);

const char *
__asan_default_options (void)
{
  return "allocator_may_return_null=1";
}

const char *
__tsan_default_options (void)
{
  return "allocator_may_return_null=1";
}

/* A file that is cut short just after fstat() said how long it is. */
static struct
{
  const char *path; /* or NULL */
  off_t size;
  off_t new_size;
  guint n_hits;
} cut;

/* In place of the C library's: there is no other moment between two calls. */
int
fstat (int fd, struct stat *status)
{
  int result = fstatat (fd, "", status, AT_EMPTY_PATH);

  if (result == 0 && cut.path != NULL && S_ISREG (status->st_mode) && status->st_size == cut.size)
    {
      cut.n_hits++;
      g_assert_cmpint (truncate (cut.path, cut.new_size), ==, 0);
    }

  return result;
}

/* A folder that gives way to a symbolic link just before a name in it is added or
 * removed. */
static struct
{
  const char *path; /* or NULL */
  const char *aside;
  const char *target;
} swap;

static void
swap_folder (void)
{
  /* Scratch is swept on a thread of its own. */
  const char *path = __atomic_exchange_n (&swap.path, NULL, __ATOMIC_ACQ_REL);

  if (path == NULL)
    return;

  g_assert_cmpint (rename (path, swap.aside), ==, 0);
  g_assert_cmpint (symlink (swap.target, path), ==, 0);
}

int
linkat (int from_fd, const char *from, int to_fd, const char *to, int flags)
{
  swap_folder ();

  return syscall (SYS_linkat, from_fd, from, to_fd, to, flags);
}

int
unlinkat (int fd, const char *name, int flags)
{
  swap_folder ();

  return syscall (SYS_unlinkat, fd, name, flags);
}

typedef struct
{
  const char *name; /* in the directory, or NULL for the shard or the blob */
  gboolean blob;
} Spot;

static const struct
{
  const char *test_name;
  Spot spot;
} spots[] = {
  { "shard", { NULL, FALSE } },
  { "blob", { NULL, TRUE } },
  { "marker", { ".backingstore", FALSE } },
  { "lock", { ".lock", FALSE } },
  { "root", { "root", FALSE } },
  { "dirty", { ".dirty", FALSE } },
  { "quarantine", { ".quarantine", FALSE } },
  { "temporary", { ".tmp-abcdef0123456789abcdef0123456789", FALSE } },
};

typedef enum
{
  LINK_TO_FILE,
  LINK_TO_FOLDER,
  LINK_TO_NOTHING,
  HARD_LINK,
  FIFO,
  SOCKET,
  FOLDER,
  FULL_FOLDER,
  ZERO_DEVICE,
  BLOCK_DEVICE,
  N_THINGS,
} Thing;

static const char *const thing_names[N_THINGS] = {
  "link-to-file", "link-to-folder", "link-to-nothing", "hard-link",   "fifo",
  "socket",       "folder",         "full-folder",     "zero-device", "block-device",
};

typedef struct
{
  Spot spot;
  Thing thing;
  gboolean in_scratch;
  gboolean in_use; /* planted while the directory is open */
} Attack;

/* Fixture, and what must not change. */
typedef struct
{
  char *name;
  char *file;
  char *before;
  int events; /* of inotify */
} Outside;

static void
outside_init (Outside *outside, Fixture *fixture)
{
  g_autofree char *folder = NULL;

  outside->name = g_build_filename (fixture->directory, "outside", NULL);
  outside->file = g_build_filename (outside->name, "file", NULL);
  folder = g_build_filename (outside->name, "folder", NULL);
  /* As good as a marker, for whoever follows a link to it. */
  plant (outside->file, "backingstore 1 persisted\n");
  plant_in (folder, "ab/abcdef0123456789abcdef0123456789", "secret");
  plant_in (folder, ".tmp-abcdef0123456789abcdef0123456789", "secret");
  outside->before = snapshot (outside->name);

  outside->events = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  g_assert_cmpint (inotify_add_watch (outside->events, outside->name, IN_ALL_EVENTS), >=, 0);
  g_assert_cmpint (inotify_add_watch (outside->events, folder, IN_ALL_EVENTS), >=, 0);
}

/* Nothing in it was so much as opened. */
static void
outside_check (Outside *outside)
{
  char events[4096];

  g_assert_cmpint (read (outside->events, events, sizeof events), ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
  close (outside->events);
  assert_unchanged (outside->name, outside->before);
  g_free (outside->name);
  g_free (outside->file);
  g_free (outside->before);
}

static char *
get_spot_name (const Spot *spot, const char *directory, const char *key)
{
  if (spot->name != NULL)
    return g_build_filename (directory, spot->name, NULL);

  return spot->blob ? get_blob_name (directory, key) : get_shard_name (directory, key);
}

static void
make_socket (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpuint (strlen (path), <, sizeof address.sun_path);
  strcpy (address.sun_path, path);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  close (fd);
}

static void
make_thing (const char *path, Thing thing, const char *outside)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *file = g_build_filename (outside, "file", NULL);
  g_autofree char *target = NULL;

  if (exists (path))
    remove_test_directory (path);
  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);

  switch (thing)
    {
    case LINK_TO_FILE:
      g_assert_cmpint (symlink (file, path), ==, 0);
      break;
    case LINK_TO_FOLDER:
      target = g_build_filename (outside, "folder", NULL);
      g_assert_cmpint (symlink (target, path), ==, 0);
      break;
    case LINK_TO_NOTHING:
      target = g_build_filename (outside, "new", NULL);
      g_assert_cmpint (symlink (target, path), ==, 0);
      break;
    case HARD_LINK:
      g_assert_cmpint (link (file, path), ==, 0);
      break;
    case FIFO:
      g_assert_cmpint (mkfifo (path, 0600), ==, 0);
      break;
    case SOCKET:
      make_socket (path);
      break;
    case FOLDER:
      g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
      break;
    case FULL_FOLDER:
      plant_in (path, "theirs", "mine");
      break;
    case ZERO_DEVICE:
      g_assert_cmpint (mknod (path, S_IFCHR | 0600, makedev (1, 5)), ==, 0);
      break;
    case BLOCK_DEVICE:
      g_assert_cmpint (mknod (path, S_IFBLK | 0600, makedev (7, 0)), ==, 0);
      break;
    default:
      g_assert_not_reached ();
    }
}

/* Every call there is; which of them fail is not the point. */
static void
use_all (Fixture *fixture, const char *damaged)
{
  BsBacking *backing = fixture->backing;
  GFile *path = fixture->path;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GBytes) root = NULL;
  g_autofree char *fresh = bs_key_generate ();

  bs_key_set_add (keys, fixture->key, NULL);
  bs_backing_sanitize_path (backing, path, found, NULL, NULL);
  bs_backing_persist (backing, path, fixture->key, NULL, NULL);
  bs_backing_register_key (backing, path, fixture->key, NULL, NULL);
  bs_backing_register_keys (backing, path, keys, NULL, NULL);
  bytes = bs_backing_read (backing, fixture->key, NULL, NULL);
  bs_backing_verify_persisted (backing, path, fixture->key, NULL, NULL);
  bs_backing_verify_persisted (backing, path, damaged, NULL, NULL);
  bs_backing_write_root (backing, path, fixture->bytes, NULL, NULL, NULL);
  root = bs_backing_read_root (backing, path, NULL, NULL);
  if (root != NULL)
    g_assert_true (g_bytes_equal (root, fixture->bytes));
  bs_backing_write (backing, fresh, fixture->bytes, NULL, NULL);
  bs_backing_persist (backing, path, fresh, NULL, NULL);
  bs_backing_sync_persisted (backing, path, NULL, NULL);
  bs_backing_delete_persisted (backing, path, fixture->key, NULL, NULL);
  bs_backing_delete_persisted_keys (backing, path, keys, NULL, NULL);
  bs_backing_delete_key (backing, fixture->key, NULL, NULL);
  bs_backing_write (backing, fixture->key, fixture->bytes, NULL, NULL);
  bs_backing_persist (backing, path, fixture->key, NULL, NULL);
  bs_backing_delete_key (backing, fixture->key, NULL, NULL);
  bs_backing_release_path (backing, path, NULL, NULL);
}

/* A store with a blob, a root, and a blob in which a bit has flipped. */
static char *
make_store (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  char *damaged = bs_key_generate ();
  g_autofree char *name = get_blob_name (fixture->path_name, damaged);
  int fd;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  write_blob (fixture, damaged);
  persist_blob (fixture, damaged);
  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  sync_path (fixture);

  fd = open (name, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (fd, "damage", 6, 100), ==, 6);
  close (fd);

  return damaged;
}

static void
test_attack (Fixture *fixture, gconstpointer data)
{
  const Attack *attack = data;
  const char *directory = attack->in_scratch ? fixture->primary_name : fixture->path_name;
  g_autofree char *name = get_spot_name (&attack->spot, directory, fixture->key);
  g_autofree char *damaged = NULL;
  Outside outside;

  if (attack->thing >= ZERO_DEVICE && skip_unless_root ())
    return;

  damaged = make_store (fixture);
  outside_init (&outside, fixture);
  if (!attack->in_use)
    g_clear_object (&fixture->backing);
  make_thing (name, attack->thing, outside.name);
  if (!attack->in_use)
    fixture->backing = create (fixture->primary);

  /* The second time they find what the first left. */
  for (guint i = 0; i < 2; i++)
    {
      use_all (fixture, damaged);
      g_clear_object (&fixture->backing);
      fixture->backing = create (fixture->primary);
    }

  g_clear_object (&fixture->backing);
  outside_check (&outside);
}

/* The content of another file of the same user; it is ours to read, and no more. */
static void
test_hard_link (Fixture *fixture, gconstpointer data)
{
  const Attack *attack = data;
  const char *directory = attack->in_scratch ? fixture->primary_name : fixture->path_name;
  g_autofree char *name = get_spot_name (&attack->spot, directory, fixture->key);
  g_autofree char *outside = g_build_filename (fixture->directory, "outside", NULL);
  g_autofree char *file = g_build_filename (outside, "file", NULL);
  g_autofree char *damaged = make_store (fixture);
  g_autofree char *content = NULL;
  char names[256];

  plant (file, "secret");
  g_assert_cmpint (g_chmod (file, 0640), ==, 0);
  if (!attack->in_use)
    g_clear_object (&fixture->backing);
  make_thing (name, HARD_LINK, outside);
  if (!attack->in_use)
    fixture->backing = create (fixture->primary);

  for (guint i = 0; i < 2; i++)
    {
      use_all (fixture, damaged);
      restart_backing (fixture);
    }

  g_assert_true (g_file_get_contents (file, &content, NULL, NULL));
  g_assert_cmpstr (content, ==, "secret");
  g_assert_cmphex (get_mode (file), ==, 0640);
  g_assert_cmpint (listxattr (file, names, sizeof names), <=, 0);
}

static void
assert_read_fails (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_backing_read (fixture->backing, fixture->key, NULL, &error);

  g_assert_null (bytes);
  g_assert_nonnull (error);
}

/* A thing that cannot be a blob is not read as one, wherever it stands. */
static void
test_no_blob (Fixture *fixture, gconstpointer data)
{
  Thing thing = GPOINTER_TO_INT (data);
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *damaged = NULL;
  g_autoptr (GError) error = NULL;

  if (thing >= ZERO_DEVICE && skip_unless_root ())
    return;

  damaged = make_store (fixture);
  make_thing (scratch, thing, fixture->directory);
  assert_read_fails (fixture);
  g_assert_false (bs_backing_write (fixture->backing, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
  g_clear_error (&error);

  if (thing == FOLDER)
    g_assert_cmpint (g_rmdir (scratch), ==, 0);
  else
    delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);

  delete_scratch (fixture, fixture->key);
  make_thing (persisted, thing, fixture->directory);
  /* Registering looks at no content. */
  bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, NULL);
  assert_read_fails (fixture);
  g_assert_false (
    bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);

  /* In the listing it is no blob either. */
  {
    g_autoptr (BsKeySet) found = list_path (fixture->backing, fixture->path);

    g_assert_false (bs_key_set_contains_key (found, fixture->key));
  }
}

typedef struct
{
  Fixture *fixture;
  GCancellable *cancellable;
  int done; /* atomic */
} Verifying;

static gpointer
verify_in_thread (gpointer data)
{
  Verifying *self = data;
  g_autoptr (GError) error = NULL;

  /* Without a hash there is nothing wrong with one that can be read, and a hole can. */
  if (!bs_backing_verify_persisted (self->fixture->backing, self->fixture->path, self->fixture->key,
                                    self->cancellable, &error) &&
      !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_atomic_int_set (&self->done, TRUE);

  return NULL;
}

/* How much this process has read of anything. */
static guint64
count_read_bytes (void)
{
  g_autofree char *figures = NULL;

  g_assert_true (g_file_get_contents ("/proc/self/io", &figures, NULL, NULL));

  return g_ascii_strtoull (figures + strlen ("rchar: "), NULL, 10);
}

/* A long read can be cancelled in the middle. */
static void
verify_and_cancel (Fixture *fixture)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Verifying verifying = { fixture, cancellable, FALSE };
  guint64 before = count_read_bytes ();
  GThread *thread = g_thread_new ("verify", verify_in_thread, &verifying);

  while (!g_atomic_int_get (&verifying.done) && count_read_bytes () < before + (32 << 20))
    g_thread_yield ();
  g_cancellable_cancel (cancellable);
  g_thread_join (thread);
}

/* Larger than all memory, and than any disk. */
static void
test_sparse (Fixture *fixture, gconstpointer data)
{
  gboolean in_path = GPOINTER_TO_INT (data);
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 4);
  g_autofree char *primary_name = NULL;
  g_autofree char *path_name = NULL;
  g_autofree char *blob = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  if (mount == NULL)
    return;

  primary_name = g_build_filename (mount_get_path (mount), "primary", NULL);
  path_name = g_build_filename (mount_get_path (mount), "persisted", NULL);
  move_primary (fixture, primary_name);
  move_path (fixture, path_name);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);

  blob = get_blob_name (path_name, fixture->key);
  if (in_path)
    {
      g_assert_cmpint (g_unlink (blob), ==, 0);
      delete_scratch (fixture, fixture->key);
    }
  fd = open (blob, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  g_assert_cmpint (ftruncate (fd, (off_t) 1 << 60), ==, 0);
  close (fd);

  bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, NULL);
  assert_read_fails (fixture);
  verify_and_cancel (fixture);

  /* A root of that size. */
  {
    g_autofree char *root = g_build_filename (path_name, "root", NULL);
    g_autoptr (GBytes) bytes = NULL;

    fd = open (root, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    g_assert_cmpint (ftruncate (fd, (off_t) 1 << 60), ==, 0);
    close (fd);
    bytes = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
    g_assert_null (bytes);
    g_assert_nonnull (error);
  }

  /* All else goes on. */
  {
    g_autofree char *other = bs_key_generate ();

    write_blob (fixture, other);
    persist_blob (fixture, other);
    delete_scratch (fixture, other);
    register_blob (fixture, other);
  }
  g_clear_object (&fixture->backing);
}

static void
check_cut (Fixture *fixture, gsize size, gsize new_size)
{
  g_autoptr (GBytes) whole = make_test_bytes (size, 2);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = bs_key_generate ();
  g_autofree char *scratch = get_blob_name (fixture->primary_name, key);

  g_assert_true (
    bs_backing_persist_bytes (fixture->backing, fixture->path, key, whole, NULL, NULL));

  cut.path = scratch;
  cut.size = size;
  cut.new_size = new_size;
  cut.n_hits = 0;
  bytes = bs_backing_read (fixture->backing, key, NULL, &error);
  cut.path = NULL;

  g_assert_cmpuint (cut.n_hits, >=, 1);
  g_assert_null (bytes);
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
}

static void
test_cut_short (Fixture *fixture, gconstpointer data)
{
  check_cut (fixture, 100001, 100000);
  check_cut (fixture, 100002, 0);
  check_cut (fixture, 300001, 4096);
  check_cut (fixture, 3 * 1024 * 1024 + 1, 1024 * 1024);
  check_cut (fixture, 3 * 1024 * 1024 + 2, 0);
}

/* Bytes that were handed out are there to stay. */
static void
test_cut_after_load (Fixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 5000, 300000, 3 * 1024 * 1024, 20 * 1024 * 1024 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) whole = make_test_bytes (sizes[i], 3);
      g_autoptr (GBytes) bytes = NULL;
      g_autofree char *key = bs_key_generate ();
      g_autofree char *scratch = get_blob_name (fixture->primary_name, key);

      g_assert_true (
        bs_backing_persist_bytes (fixture->backing, fixture->path, key, whole, NULL, NULL));
      bytes = bs_backing_read (fixture->backing, key, NULL, NULL);
      g_assert_nonnull (bytes);
      g_assert_cmpint (truncate (scratch, 0), ==, 0);
      g_assert_true (g_bytes_equal (bytes, whole));
    }
}

/* The name of the attribute that a persisted blob has, or NULL. */
static char *
find_attribute (const char *blob)
{
  char names[1024];
  gssize size = listxattr (blob, names, sizeof names);

  for (gssize at = 0; at < size; at += strlen (names + at) + 1)
    {
      if (g_str_has_prefix (names + at, "user."))
        return g_strdup (names + at);
    }

  return NULL;
}

/* A read gives the blob or an error, whatever the attribute says. */
static gboolean
reads_or_fails (Fixture *fixture)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  if (bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error))
    bytes = bs_backing_read (fixture->backing, fixture->key, NULL, &error);
  if (bytes == NULL)
    g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  else
    g_assert_true (g_bytes_equal (bytes, fixture->bytes));

  return bytes != NULL;
}

static void
restore (Fixture *fixture)
{
  bs_backing_delete_key (fixture->backing, fixture->key, NULL, NULL);
  bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, NULL);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  delete_scratch (fixture, fixture->key);
}

static void
test_attribute (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *attribute = NULL;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  char value[256];
  char garbage[3000];
  gssize size;

  restore (fixture);
  attribute = find_attribute (blob);
  if (attribute == NULL)
    {
      g_test_skip ("There are no extended attributes here");
      return;
    }
  size = getxattr (blob, attribute, value, sizeof value);
  g_assert_cmpint (size, >, 0);

  /* Each single bit of it, or some of each byte. */
  for (gssize bit = 0; bit < size * 8; bit += tests_are_whole () ? 1 : 3)
    {
      value[bit / 8] ^= 1 << (bit % 8);
      g_assert_cmpint (setxattr (blob, attribute, value, size, XATTR_REPLACE), ==, 0);
      if (!reads_or_fails (fixture))
        restore (fixture);
      value[bit / 8] ^= 1 << (bit % 8);
      delete_scratch (fixture, fixture->key);
    }

  /* Every length, of its beginning and of anything. */
  for (guint i = 0; i < sizeof garbage; i++)
    garbage[i] = g_rand_int (random);
  for (gssize length = 0; length <= 2 * size;
       length += tests_are_whole () || length >= size - 1 ? 1 : 3)
    {
      g_assert_cmpint (setxattr (blob, attribute, length <= size ? value : garbage, length, 0), ==,
                       0);
      if (!reads_or_fails (fixture))
        restore (fixture);
      delete_scratch (fixture, fixture->key);
    }
  if (setxattr (blob, attribute, garbage, sizeof garbage, 0) == 0 && !reads_or_fails (fixture))
    restore (fixture);
}

/* The blob changes and the attribute does not: that is what it is for. */
static void
test_flipped_bit (Fixture *fixture, gconstpointer data)
{
  static const goffset offsets[] = { 0, 1, 2500, 4998, 4999 };
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *attribute = NULL;

  restore (fixture);
  attribute = find_attribute (blob);
  if (attribute == NULL)
    {
      g_test_skip ("There are no extended attributes here");
      return;
    }

  for (guint i = 0; i < G_N_ELEMENTS (offsets); i++)
    {
      g_autoptr (GError) error = NULL;

      flip (blob, offsets[i]);
      g_assert_false (reads_or_fails (fixture));
      g_assert_false (
        bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
      g_assert_false (exists (blob));
      g_assert_true (exists_in (fixture->path_name, ".quarantine"));
      restore (fixture);
      register_blob (fixture, fixture->key);
      delete_scratch (fixture, fixture->key);
    }
}

/* A hostile set of names in the quarantine does not keep a bad blob in place. */
static void
test_full_quarantine (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *hex = g_path_get_basename (blob);
  g_autofree char *attribute = NULL;
  g_autofree char *taken =
    g_build_filename (fixture->path_name, ".quarantine", hex, "theirs", NULL);

  restore (fixture);
  attribute = find_attribute (blob);
  if (attribute == NULL)
    {
      g_test_skip ("There are no extended attributes here");
      return;
    }

  plant (taken, "mine");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;

      cut_short (blob, 100);
      g_assert_false (
        bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
      g_assert_nonnull (error);
      g_assert_true (exists (taken));
      restore (fixture);
      register_blob (fixture, fixture->key);
      delete_scratch (fixture, fixture->key);
    }
}

static glong
get_peak_kilobytes (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);

  return usage.ru_maxrss;
}

static void
test_marker (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *content;
    gsize size;   /* of the content, or 0 for all of it */
    goffset hole; /* so long is the file */
    int code;
  } markers[] = {
    { "backingstore 1 persisted\n", 0, 1 << 30, BS_ERROR_FOREIGN },
    { "", 0, 1 << 30, BS_ERROR_FOREIGN },
    { "", 0, 0, BS_ERROR_FOREIGN },
    { "backingstore 1 persisted\n\0more", 30, 0, BS_ERROR_FOREIGN },
    { "backingstore 1 persisted\n\0", 26, 0, BS_ERROR_FOREIGN },
    { "backingstore 1 persisted", 0, 0, BS_ERROR_FOREIGN },
    { "backingstore 1 persisted\r\n", 0, 0, BS_ERROR_FOREIGN },
    { "backingstore 1 scratch\n", 0, 0, BS_ERROR_FOREIGN },
    { "backingstore 2 persisted\n", 0, 0, BS_ERROR_NOT_SUPPORTED },
    { "backingstore 2 persisted in a new way\nwith more to say\n", 0, 0, BS_ERROR_NOT_SUPPORTED },
    { "backingstore 4294967295 persisted\n", 0, 0, BS_ERROR_NOT_SUPPORTED },
    { "%s%s%s%n", 0, 0, BS_ERROR_FOREIGN },
    { "\xff\xfe\x00\x01", 4, 0, BS_ERROR_FOREIGN },
  };
  g_autofree char *name = g_build_filename (fixture->path_name, ".backingstore", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (markers); i++)
    {
      gsize size = markers[i].size != 0 ? markers[i].size : strlen (markers[i].content);
      g_autoptr (GError) error = NULL;
      g_autofree char *before = NULL;
      glong peak;

      plant_in (fixture->path_name, "ab/abcdef0123456789abcdef0123456789", "blob");
      g_assert_true (g_file_set_contents (name, markers[i].content, size, NULL));
      if (markers[i].hole > 0)
        g_assert_cmpint (truncate (name, markers[i].hole), ==, 0);
      before = snapshot (fixture->path_name);

      peak = get_peak_kilobytes ();
      error = sanitize_error (fixture->backing, fixture->path);
      g_assert_error (error, BS_ERROR, markers[i].code);
      g_assert_cmpint (get_peak_kilobytes () - peak, <, 512 * 1024);
      g_assert_nonnull (strstr (error->message, fixture->path_name));
      assert_unchanged (fixture->path_name, before);
      remove_test_directory (fixture->path_name);
    }
}

/* Nothing below a directory can be read, written or entered by others. */
static void
check_modes (const char *path)
{
  g_autoptr (GDir) dir = NULL;
  GStatBuf status;
  const char *name;

  g_assert_cmpint (g_lstat (path, &status), ==, 0);
  if (!S_ISDIR (status.st_mode))
    {
      g_assert_cmphex (status.st_mode, ==, S_IFREG | 0600);
      return;
    }

  g_assert_cmphex (status.st_mode, ==, S_IFDIR | 0700);
  dir = g_dir_open (path, 0, NULL);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      check_modes (child);
    }
}

static void
test_modes (Fixture *fixture, gconstpointer data)
{
  mode_t old = umask (GPOINTER_TO_UINT (data));
  g_autofree char *damaged = make_store (fixture);
  g_autofree char *copied = bs_key_generate ();
  g_autofree char *again = bs_key_generate ();

  write_blob (fixture, copied);
  persist_blob (fixture, copied);

  /* With a mark of what is not synced, a quarantine, and all the rest. */
  bs_backing_verify_persisted (fixture->backing, fixture->path, damaged, NULL, NULL);
  write_blob (fixture, again);
  persist_blob (fixture, again);
  check_modes (fixture->primary_name);
  check_modes (fixture->path_name);

  restart_backing (fixture);
  register_blob (fixture, fixture->key);
  sync_path (fixture);
  check_modes (fixture->primary_name);
  check_modes (fixture->path_name);
  umask (old);
}

/* Folders that were there before say nothing of the umask. */
static void
test_modes_in_old_folder (Fixture *fixture, gconstpointer data)
{
  const gboolean marked = GPOINTER_TO_INT (data);
  const char *key = "abcdef01-2345-6789-abcd-ef0123456789";
  g_autofree char *blob = get_blob_name (fixture->primary_name, key);
  mode_t old;

  use_large_blobs (fixture);
  if (marked)
    {
      write_blob (fixture, key);
      plant_in (fixture->primary_name, "ab/theirs", "mine");
      restart_backing (fixture);
    }
  else
    plant_in (fixture->primary_name, "ab/abcdef0123456789abcdef0123456780", "mine");

  old = umask (0777);
  write_blob (fixture, key);
  umask (old);
  g_assert_cmphex (get_mode (blob), ==, 0600);
}

/* A copy must not have the mode of its source, which others could read. */
static void
test_mode_of_a_copy (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 4);
  g_autofree char *path_name = NULL;
  g_autofree char *blob = NULL;
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  mode_t old = umask (0);

  if (mount != NULL)
    {
      path_name = g_build_filename (mount_get_path (mount), "persisted", NULL);
      move_path (fixture, path_name);
      blob = get_blob_name (path_name, fixture->key);
      use_large_blobs (fixture);
      write_blob (fixture, fixture->key);
      g_assert_cmpint (g_chmod (scratch, 0666), ==, 0);
      persist_blob (fixture, fixture->key);
      g_assert_cmphex (get_mode (blob), ==, 0600);
      g_assert_cmpint (g_chmod (blob, 0666), ==, 0);
      delete_scratch (fixture, fixture->key);
      register_blob (fixture, fixture->key);
      g_assert_cmphex (get_mode (scratch), ==, 0600);
      g_clear_object (&fixture->backing);
    }
  umask (old);
}

static char *
make_odd_key (GRand *random)
{
  static const char alphabet[] = "0123456789abcdefABCDEF--////....\\%~\n\x7f\xc3\xa4";
  guint length = g_rand_int_range (random, 0, 80);
  char *key = g_malloc (length + 1);

  for (guint i = 0; i < length; i++)
    key[i] = alphabet[g_rand_int_range (random, 0, sizeof alphabet - 1)];
  key[length] = '\0';

  return key;
}

static void
try_key (Fixture *fixture, const char *key)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (fixture->backing);
  BsBacking *backing = fixture->backing;
  GFile *path = fixture->path;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  if (bs_key_is_valid (key))
    return;

  /* Not even where nobody checks them first. */
  g_assert_false (iface->write (backing, key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  bytes = iface->read (backing, key, NULL, &error);
  g_assert_null (bytes);
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  g_assert_false (iface->delete_key (backing, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  g_assert_false (iface->register_key (backing, path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  g_assert_false (iface->persist (backing, path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  g_assert_false (iface->delete_persisted (backing, path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  if (iface->verify_persisted != NULL)
    {
      g_assert_false (iface->verify_persisted (backing, path, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
      g_clear_error (&error);
    }
  g_assert_false (bs_backing_write (backing, key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
}

static void
test_odd_keys (Fixture *fixture, gconstpointer data)
{
  static const char *const keys[] = {
    "",
    ".",
    "..",
    "/",
    "../../outside",
    "/etc/passwd",
    ".lock",
    ".backingstore",
    "root",
    ".dirty",
    "ab/abcdef0123456789abcdef01234567",
    "../abcdef0123456789abcdef0123456",
    "abcdef01-2345-6789-abcd-ef012345678/",
    "abcdef0123456789abcdef0123456789/..",
    "abcdef0123456789abcdef0123456789 ",
    "abcdef0123456789abcdef012345678\n",
    "abcdef01-2345-6789-abcd-ef01234567890",
    "a-bcdef0-1234-5678-9abc-def0123456789",
    "{abcdef01-2345-6789-abcd-ef0123456789}",
    "abcdef0123456789abcdef012345678g",
    "abcdef0123456789abcdef012345678\xef\xbd\x81",
  };
  g_autofree char *long_key = g_strnfill (100000, 'a');
  g_autoptr (GRand) random = g_rand_new_with_seed (g_test_rand_int ());
  g_autofree char *before = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  before = snapshot (fixture->directory);

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    try_key (fixture, keys[i]);
  try_key (fixture, long_key);
  for (guint i = 0; i < 2000; i++)
    {
      g_autofree char *key = make_odd_key (random);

      try_key (fixture, key);
    }

  assert_unchanged (fixture->directory, before);
}

/* From here on as a user who may not do everything. */
static gboolean
become_nobody (Fixture *fixture)
{
  if (skip_unless_root ())
    return FALSE;

  g_assert_cmpint (chown (fixture->directory, NOBODY, NOBODY), ==, 0);
  g_assert_cmpint (seteuid (NOBODY), ==, 0);

  return TRUE;
}

static void
become_root (void)
{
  g_assert_cmpint (seteuid (0), ==, 0);
}

static void
assert_denied (GError **error)
{
  g_assert_error (*error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (error);
}

static void
test_unreadable (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted_shard = get_shard_name (fixture->path_name, fixture->key);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  if (!become_nobody (fixture))
    return;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);

  /* The blob; a hard link has the same mode. */
  g_assert_cmpint (g_chmod (scratch, 0), ==, 0);
  bytes = bs_backing_read (fixture->backing, fixture->key, NULL, &error);
  g_assert_null (bytes);
  assert_denied (&error);
  g_assert_cmpint (g_chmod (scratch, 0600), ==, 0);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);

  /* The folder, that nothing is hidden by. */
  delete_scratch (fixture, fixture->key);
  g_assert_cmpint (g_chmod (persisted_shard, 0), ==, 0);
  error = sanitize_error (fixture->backing, fixture->path);
  assert_denied (&error);
  g_assert_cmpint (g_chmod (persisted_shard, 0700), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  register_blob (fixture, fixture->key);

  g_clear_object (&fixture->backing);
  become_root ();
}

/* The error says why a directory cannot be used, by its code too. */
static void
test_unreadable_lock (Fixture *fixture, gconstpointer data)
{
  static const char *const names[] = { ".lock", ".backingstore" };
  g_autofree char *lock = g_build_filename (fixture->path_name, ".lock", NULL);
  g_autoptr (GError) error = NULL;

  if (!become_nobody (fixture))
    return;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *name = g_build_filename (fixture->path_name, names[i], NULL);

      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
      g_assert_true (bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL));
      g_assert_cmpint (g_chmod (name, 0), ==, 0);
      error = sanitize_error (fixture->backing, fixture->path);
      assert_denied (&error);
      g_assert_cmpint (g_chmod (name, 0600), ==, 0);
    }

  g_assert_cmpint (g_unlink (lock), ==, 0);
  g_assert_cmpint (g_mkdir (lock, 0700), ==, 0);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_assert_cmpint (g_rmdir (lock), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);

  g_clear_object (&fixture->backing);
  become_root ();
}

static void
test_unwritable (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch_shard = get_shard_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted_shard = get_shard_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  if (!become_nobody (fixture))
    return;

  use_large_blobs (fixture);
  write_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_cmpint (g_mkdir (persisted_shard, 0500), ==, 0);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
  assert_denied (&error);
  g_assert_cmpint (g_chmod (persisted_shard, 0700), ==, 0);
  persist_blob (fixture, fixture->key);

  g_assert_cmpint (g_chmod (persisted_shard, 0500), ==, 0);
  g_assert_false (
    bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  assert_denied (&error);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);

  g_assert_cmpint (g_chmod (scratch_shard, 0500), ==, 0);
  g_assert_false (bs_backing_delete_key (fixture->backing, fixture->key, NULL, &error));
  assert_denied (&error);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  g_assert_cmpint (g_chmod (scratch_shard, 0700), ==, 0);
  delete_scratch (fixture, fixture->key);
  g_assert_cmpint (g_chmod (scratch_shard, 0500), ==, 0);
  g_assert_false (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  assert_denied (&error);
  g_assert_false (bs_backing_write (fixture->backing, fixture->key, fixture->bytes, NULL, &error));
  assert_denied (&error);

  g_assert_cmpint (g_chmod (scratch_shard, 0700), ==, 0);
  g_assert_cmpint (g_chmod (persisted_shard, 0700), ==, 0);
  register_blob (fixture, fixture->key);

  /* The path itself, once it is in use. */
  g_assert_cmpint (g_chmod (fixture->path_name, 0500), ==, 0);
  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error));
  assert_denied (&error);
  g_assert_cmpint (g_chmod (fixture->path_name, 0700), ==, 0);

  g_clear_object (&fixture->backing);
  become_root ();
}

/* A folder for all, with blobs of somebody else's: they can be read where their
 * mode says so, by copy where the system links no file of others, and not deleted. */
static void
test_sticky (Fixture *fixture, gconstpointer data)
{
  g_autofree char *shard = get_shard_name (fixture->path_name, fixture->key);
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *secret = bs_key_generate ();
  g_autofree char *secret_blob = get_blob_name (fixture->path_name, secret);
  g_autofree char *secret_shard = get_shard_name (fixture->path_name, secret);
  g_autoptr (GError) error = NULL;

  if (skip_unless_root ())
    return;

  plant (blob, "");
  g_assert_true (g_file_set_contents (blob, g_bytes_get_data (fixture->bytes, NULL),
                                      g_bytes_get_size (fixture->bytes), NULL));
  plant (secret_blob, "secret");
  g_assert_cmpint (g_chmod (blob, 0644), ==, 0);
  g_assert_cmpint (g_chmod (secret_blob, 0600), ==, 0);
  g_assert_cmpint (g_chmod (fixture->path_name, 01777), ==, 0);
  g_assert_cmpint (g_chmod (shard, 01777), ==, 0);
  g_assert_cmpint (g_chmod (secret_shard, 01777), ==, 0);
  become_nobody (fixture);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
  register_blob (fixture, fixture->key);
  g_assert_false (
    bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  assert_denied (&error);
  g_assert_true (exists (blob));

  {
    g_autoptr (GBytes) bytes = NULL;

    if (bs_backing_register_key (fixture->backing, fixture->path, secret, NULL, &error))
      bytes = bs_backing_read (fixture->backing, secret, NULL, &error);
    g_assert_null (bytes);
    assert_denied (&error);
  }

  g_clear_object (&fixture->backing);
  become_root ();
}

/* Nor is it followed where there are too many folders for each to have a descriptor
 * of its own. */
static void
test_swapped_folder_process (Fixture *fixture, gconstpointer data)
{
  const struct rlimit few = { 40, 40 };
  const char *key = "abcdef01-2345-6789-abcd-ef0123456789";
  g_autofree char *folder = get_shard_name (fixture->path_name, key);
  g_autofree char *aside = g_build_filename (fixture->path_name, "aside", NULL);
  g_autofree char *blob = g_build_filename (aside, "abcdef0123456789abcdef0123456789", NULL);
  g_autofree char *outside = g_build_filename (fixture->directory, "outside", NULL);
  g_autofree char *theirs = g_build_filename (outside, "abcdef0123456789abcdef0123456789", NULL);

  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &few), ==, 0);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *other = g_strdup_printf ("%02xcdef01-2345-6789-abcd-ef0123456789", i);

      write_blob (fixture, other);
      persist_blob (fixture, other);
    }
  write_blob (fixture, key);
  persist_blob (fixture, key);

  swap.aside = aside;
  swap.target = outside;
  for (guint i = 0; i < 2; i++)
    {
      const gboolean persists = i > 0;

      g_assert_cmpint (g_mkdir (outside, 0700), ==, 0);
      if (!persists)
        plant (theirs, "mine");
      swap.path = folder;
      if (persists)
        persist_blob (fixture, key);
      else
        delete_blob (fixture, key);
      g_assert_null (swap.path);
      g_assert_true (exists (theirs) == !persists);
      g_assert_true (exists (blob) == persists);

      remove_test_directory (outside);
      g_assert_cmpint (g_unlink (folder), ==, 0);
      g_assert_cmpint (rename (aside, folder), ==, 0);
    }
}

/* The share of a process's descriptors is reckoned once, so in a new process. */
static void
test_swapped_folder (void)
{
  g_test_trap_subprocess ("/file-attack/swapped-folder/subprocess", 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed ();
}

/* Where not all are run, each thing is tried once at each spot, and each variant at
 * each spot and with each thing. */
static void
add_attacks (GPtrArray *attacks)
{
  for (guint i = 0; i < G_N_ELEMENTS (spots); i++)
    for (Thing thing = 0; thing < N_THINGS; thing++)
      for (guint variant = 0; variant < 4; variant++)
        {
          g_autofree char *path = NULL;
          Attack *attack;

          if (!tests_are_whole () && (i + thing) % 4 != variant)
            continue;

          attack = g_new (Attack, 1);
          attack->spot = spots[i].spot;
          attack->thing = thing;
          attack->in_scratch = variant & 1;
          attack->in_use = (variant & 2) != 0;
          g_ptr_array_add (attacks, attack);
          path = g_strdup_printf ("/file-attack/%s/%s/%s/%s", spots[i].test_name,
                                  thing_names[thing], attack->in_scratch ? "scratch" : "path",
                                  attack->in_use ? "in-use" : "before");
          g_test_add (path, Fixture, attack, set_up,
                      thing == HARD_LINK ? test_hard_link : test_attack, tear_down);
        }
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
    gpointer data;
  } tests[] = {
    { "no-blob/fifo", test_no_blob, GINT_TO_POINTER (FIFO) },
    { "no-blob/socket", test_no_blob, GINT_TO_POINTER (SOCKET) },
    { "no-blob/folder", test_no_blob, GINT_TO_POINTER (FOLDER) },
    { "no-blob/link", test_no_blob, GINT_TO_POINTER (LINK_TO_FILE) },
    { "no-blob/zero-device", test_no_blob, GINT_TO_POINTER (ZERO_DEVICE) },
    { "no-blob/block-device", test_no_blob, GINT_TO_POINTER (BLOCK_DEVICE) },
    { "sparse/both", test_sparse, GINT_TO_POINTER (FALSE) },
    { "sparse/path", test_sparse, GINT_TO_POINTER (TRUE) },
    { "cut/between-calls", test_cut_short, NULL },
    { "cut/after-load", test_cut_after_load, NULL },
    { "attribute", test_attribute, NULL },
    { "flipped-bit", test_flipped_bit, NULL },
    { "full-quarantine", test_full_quarantine, NULL },
    { "markers", test_marker, NULL },
    { "modes/umask-0", test_modes, GUINT_TO_POINTER (0) },
    { "modes/umask-0777", test_modes, GUINT_TO_POINTER (0777) },
    { "modes/in-old-folder", test_modes_in_old_folder, GINT_TO_POINTER (TRUE) },
    { "modes/in-old-folder-unmarked", test_modes_in_old_folder, GINT_TO_POINTER (FALSE) },
    { "modes/of-a-copy", test_mode_of_a_copy, NULL },
    { "odd-keys", test_odd_keys, NULL },
    { "permissions/unreadable", test_unreadable, NULL },
    { "permissions/unreadable-lock", test_unreadable_lock, NULL },
    { "permissions/unwritable", test_unwritable, NULL },
    { "permissions/sticky", test_sticky, NULL },
    { "swapped-folder/subprocess", test_swapped_folder_process, NULL },
  };
  g_autoptr (GPtrArray) attacks = g_ptr_array_new_with_free_func (g_free);

  mount_init ();
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strdup_printf ("/file-attack/%s", tests[i].name);

      g_test_add (path, Fixture, tests[i].data, set_up, tests[i].func, tear_down);
    }
  g_test_add_func ("/file-attack/swapped-folder", test_swapped_folder);
  add_attacks (attacks);

  return g_test_run ();
}
