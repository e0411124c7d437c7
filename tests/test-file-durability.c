/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file-fixture.h"

#define N_THREADS 8
/* More than are synced one by one. */
#define N_MANY 1100

/* What follows takes the place of the functions of the C library in this
 * program: each call is put into a list by the last part of its file's name, and
 * may be made to fail or to wait. */
static struct
{
  GMutex mutex;
  GCond cond;
  GPtrArray *calls;             /* "fsync ab", "syncfs persisted" */
  char *failing;                /* a call that fails once, or NULL */
  int code;
  gboolean no_attributes;
  char *held;                   /* a call that waits, or NULL */
  gboolean is_held;
} calls;

/* The names of temporary files end in something random. */
static gboolean
matches (const char *call,
         const char *wanted)
{
  if (wanted == NULL)
    return FALSE;

  return g_str_has_suffix (wanted, "-") ? g_str_has_prefix (call, wanted) : g_str_equal (call, wanted);
}

/* FALSE with errno if it is to fail. */
static gboolean
enter_call (const char *name,
            const char *file)
{
  char *call = g_strdup_printf ("%s %s", name, file);
  gboolean fails;

  g_mutex_lock (&calls.mutex);
  g_ptr_array_add (calls.calls, call);

  while (matches (call, calls.held))
    {
      calls.is_held = TRUE;
      g_cond_broadcast (&calls.cond);
      g_cond_wait (&calls.cond, &calls.mutex);
    }

  fails = matches (call, calls.failing);
  if (fails)
    {
      g_clear_pointer (&calls.failing, g_free);
      errno = calls.code;
    }
  g_mutex_unlock (&calls.mutex);

  return !fails;
}

static gboolean
enter_call_on (const char *name,
               int fd)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *path = g_file_read_link (link, NULL);
  g_autofree char *file = g_path_get_basename (path != NULL ? path : "?");

  return enter_call (name, file);
}

/* The real ones, found before anything is called. */
static struct
{
  int (*fsync) (int);
  int (*syncfs) (int);
  int (*linkat) (int, const char *, int, const char *, int);
  int (*fsetxattr) (int, const char *, const void *, size_t, int);
} library;

static void
find_library (void)
{
  *(void **) &library.fsync = dlsym (RTLD_NEXT, "fsync");
  *(void **) &library.syncfs = dlsym (RTLD_NEXT, "syncfs");
  *(void **) &library.linkat = dlsym (RTLD_NEXT, "linkat");
  *(void **) &library.fsetxattr = dlsym (RTLD_NEXT, "fsetxattr");
}

int
fsync (int fd)
{
  return enter_call_on ("fsync", fd) ? library.fsync (fd) : -1;
}

int
syncfs (int fd)
{
  return enter_call_on ("syncfs", fd) ? library.syncfs (fd) : -1;
}

int
linkat (int from_fd,
        const char *from,
        int to_fd,
        const char *to,
        int flags)
{
  return enter_call ("linkat", from) ? library.linkat (from_fd, from, to_fd, to, flags) : -1;
}

int
fsetxattr (int fd,
           const char *name,
           const void *value,
           size_t size,
           int flags)
{
  if (calls.no_attributes)
    {
      errno = ENOTSUP;
      return -1;
    }

  return library.fsetxattr (fd, name, value, size, flags);
}

static void
fail_once (const char *name,
           const char *file,
           int code)
{
  g_mutex_lock (&calls.mutex);
  g_assert_null (calls.failing);
  calls.failing = g_strdup_printf ("%s %s", name, file);
  calls.code = code;
  g_mutex_unlock (&calls.mutex);
}

static void
hold_call (const char *call)
{
  g_mutex_lock (&calls.mutex);
  g_free (calls.held);
  calls.held = g_strdup (call);
  calls.is_held = FALSE;
  g_cond_broadcast (&calls.cond);
  g_mutex_unlock (&calls.mutex);
}

static void
wait_until_held (void)
{
  g_mutex_lock (&calls.mutex);
  while (!calls.is_held)
    g_cond_wait (&calls.cond, &calls.mutex);
  g_mutex_unlock (&calls.mutex);
}

static void
forget_calls (void)
{
  g_mutex_lock (&calls.mutex);
  g_ptr_array_set_size (calls.calls, 0);
  g_mutex_unlock (&calls.mutex);
}

/* All since they were forgotten, in order, and forgets them. */
static char *
take_calls (void)
{
  char *joined;

  g_mutex_lock (&calls.mutex);
  g_ptr_array_add (calls.calls, NULL);
  joined = g_strjoinv (", ", (char **) calls.calls->pdata);
  g_ptr_array_set_size (calls.calls, 0);
  g_mutex_unlock (&calls.mutex);

  return joined;
}

static guint
count_calls (const char *call)
{
  guint n = 0;

  g_mutex_lock (&calls.mutex);
  for (guint i = 0; i < calls.calls->len; i++)
    n += g_str_equal (calls.calls->pdata[i], call);
  g_mutex_unlock (&calls.mutex);

  return n;
}

#define assert_calls(expected) \
  G_STMT_START \
    { \
      g_autofree char *taken = take_calls (); \
      g_autofree char *wanted = expected; \
      g_assert_cmpstr (taken, ==, wanted); \
    } \
  G_STMT_END

static char *
get_hex (const char *key)
{
  g_autofree char *name = get_blob_name ("", key);

  return g_path_get_basename (name);
}

static void
set_up_calls (Fixture *fixture,
              gconstpointer data)
{
  set_up (fixture, data);
  write_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  forget_calls ();
}

static void
tear_down_calls (Fixture *fixture,
                 gconstpointer data)
{
  g_assert_null (calls.failing);
  calls.no_attributes = FALSE;
  tear_down (fixture, data);
}

static gboolean
is_marked (Fixture *fixture)
{
  return exists_in (fixture->path_name, ".dirty");
}

static GError *
sync_error (Fixture *fixture)
{
  GError *error = NULL;

  g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
  g_assert_nonnull (error);

  return error;
}

static GError *
persist_error (Fixture *fixture,
               const char *key)
{
  GError *error = NULL;

  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_nonnull (error);

  return error;
}

static void
delete_blob (Fixture *fixture,
             const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
}

static char *
write_other (Fixture *fixture)
{
  char *key = bs_key_generate ();

  write_blob (fixture, key);

  return key;
}

static guint64
count_rewritten (Fixture *fixture)
{
  g_autoptr (BsFileBackingStats) stats = bs_file_backing_get_stats (BS_FILE_BACKING (fixture->backing));

  return stats->rewritten;
}

static void
assert_same_file (Fixture *fixture,
                  const char *key,
                  gboolean same)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, key);

  if (same)
    g_assert_cmpuint (get_inode (scratch), ==, get_inode (persisted));
  else
    g_assert_cmpuint (get_inode (scratch), !=, get_inode (persisted));
}

/* The mark is durable before the first name, and goes with the sync. */
static void
test_mark (Fixture *fixture,
           gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *mark = g_build_filename (fixture->path_name, ".dirty", NULL);

  g_assert_false (is_marked (fixture));
  persist_blob (fixture, fixture->key);
  g_assert_true (is_marked (fixture));
  g_assert_cmphex (get_mode (mark), ==, 0600);
  assert_calls (g_strdup_printf ("fsync persisted, linkat %s", hex));

  /* One that has it stands for all the changes until the sync. */
  persist_blob (fixture, other);
  g_assert_cmpuint (count_calls ("fsync persisted"), ==, 0);

  sync_path (fixture);
  g_assert_false (is_marked (fixture));

  /* A name that is gone can't be half there. */
  delete_blob (fixture, other);
  g_assert_false (is_marked (fixture));
  sync_path (fixture);

  forget_calls ();
  persist_blob (fixture, other);
  g_assert_true (is_marked (fixture));
  g_assert_cmpuint (count_calls ("fsync persisted"), ==, 1);
}

typedef struct
{
  Fixture *fixture;
  char *key;
} Persist;

static gpointer
persist_in_thread (gpointer data)
{
  Persist *persist = data;

  persist_blob (persist->fixture, persist->key);

  return NULL;
}

/* While one makes the mark durable all the others wait for it. */
static void
test_mark_is_shared (Fixture *fixture,
                     gconstpointer data)
{
  Persist persists[N_THREADS];
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    {
      persists[i].fixture = fixture;
      persists[i].key = write_other (fixture);
    }
  forget_calls ();
  hold_call ("fsync persisted");
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("persist", persist_in_thread, &persists[i]);
  wait_until_held ();
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_autofree char *blob = get_blob_name (fixture->path_name, persists[i].key);

      g_assert_false (exists (blob));
    }
  hold_call (NULL);

  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      g_free (persists[i].key);
    }
  g_assert_cmpuint (count_calls ("fsync persisted"), ==, 1);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, N_THREADS);
}

static void
test_mark_fails (Fixture *fixture,
                 gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fail_once ("fsync", "persisted", EIO);
  error = persist_error (fixture, fixture->key);
  g_assert_nonnull (strstr (error->message, fixture->key));
  g_assert_nonnull (strstr (error->message, fixture->path_name));
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);

  persist_blob (fixture, fixture->key);
  g_assert_true (is_marked (fixture));
}

/* A sync does what it must, and no more. */
static void
test_sync_calls (Fixture *fixture,
                 gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  const char shard[] = { hex[0], hex[1], '\0' };

  persist_blob (fixture, fixture->key);
  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup_printf ("fsync %s, fsync %s, fsync persisted", hex, shard));

  sync_path (fixture);
  assert_calls (g_strdup (""));

  delete_blob (fixture, fixture->key);
  sync_path (fixture);
  assert_calls (g_strdup_printf ("fsync %s", shard));

  /* The folder is there by now. */
  persist_blob (fixture, fixture->key);
  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup_printf ("fsync %s, fsync %s", hex, shard));

  /* Added and taken away. */
  delete_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  delete_blob (fixture, fixture->key);
  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup_printf ("fsync %s", shard));
  g_assert_false (is_marked (fixture));
}

static GPtrArray *
persist_many (Fixture *fixture)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < N_MANY; i++)
    {
      g_ptr_array_add (keys, write_other (fixture));
      persist_blob (fixture, keys->pdata[i]);
    }

  return keys;
}

static void
test_many (Fixture *fixture,
           gconstpointer data)
{
  g_autoptr (GPtrArray) keys = persist_many (fixture);

  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup ("syncfs persisted"));
  g_assert_false (is_marked (fixture));
  sync_path (fixture);
  assert_calls (g_strdup (""));
}

/* An error of fsync() is not forgotten because the next one succeeds. */
static void
test_file_fails (Fixture *fixture,
                 gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  persist_blob (fixture, other);

  fail_once ("fsync", hex, EIO);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, fixture->key));
  g_assert_nonnull (strstr (error->message, fixture->path_name));
  g_assert_nonnull (strstr (error->message, g_strerror (EIO)));
  g_clear_error (&error);
  g_assert_true (is_marked (fixture));

  for (guint i = 0; i < 2; i++)
    {
      forget_calls ();
      error = sync_error (fixture);
      g_assert_nonnull (strstr (error->message, fixture->key));
      g_assert_cmpuint (count_calls (hex), ==, 0);
      g_clear_error (&error);
    }

  /* One that was written is no worse for it. */
  forget_calls ();
  persist_blob (fixture, other);
  g_assert_cmpuint (count_rewritten (fixture), ==, 0);
  assert_same_file (fixture, other, TRUE);
  error = sync_error (fixture);
  g_clear_error (&error);

  /* The other becomes a new file, which scratch has too. */
  {
    g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
    g_autofree char *kept = g_build_filename (fixture->directory, "kept", NULL);

    g_assert_cmpint (link (blob, kept), ==, 0);
    persist_blob (fixture, fixture->key);
    g_assert_cmpuint (get_inode (kept), !=, get_inode (blob));
  }
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);
  assert_same_file (fixture, fixture->key, TRUE);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);

  sync_path (fixture);
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
}

/* Writing it anew may fail as well. */
static void
test_rewriting_fails (Fixture *fixture,
                      gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  fail_once ("fsync", hex, EIO);
  error = sync_error (fixture);
  g_clear_error (&error);

  fail_once ("fsync", ".tmp-", ENOSPC);
  error = persist_error (fixture, fixture->key);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  error = sync_error (fixture);
  g_clear_error (&error);

  /* Without its scratch file the persisted one is what it is written from. */
  delete_scratch (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  register_blob (fixture, fixture->key);
}

static void
test_deletion_heals (Fixture *fixture,
                     gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *other_hex = get_hex (other);
  g_autofree char *other_blob = get_blob_name (fixture->path_name, other);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  fail_once ("fsync", hex, EIO);
  error = sync_error (fixture);
  g_clear_error (&error);
  delete_blob (fixture, fixture->key);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));

  /* Whoever does it. */
  persist_blob (fixture, other);
  fail_once ("fsync", other_hex, EIO);
  error = sync_error (fixture);
  g_clear_error (&error);
  g_assert_cmpint (g_unlink (other_blob), ==, 0);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
}

static void
test_folder_fails (Fixture *fixture,
                   gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  const char shard[] = { hex[0], hex[1], '\0' };
  const char *const folders[] = { shard, "persisted" };

  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *shard_name = get_shard_name (fixture->path_name, fixture->key);

      persist_blob (fixture, fixture->key);
      fail_once ("fsync", folders[i], EIO);
      error = sync_error (fixture);
      g_assert_nonnull (strstr (error->message, fixture->key));
      g_clear_error (&error);
      error = sync_error (fixture);
      g_clear_error (&error);

      persist_blob (fixture, fixture->key);
      g_assert_cmpuint (count_rewritten (fixture), ==, i + 1);
      sync_path (fixture);
      g_assert_false (is_marked (fixture));

      /* The next has to make the folder again. */
      delete_blob (fixture, fixture->key);
      sync_path (fixture);
      g_assert_cmpint (g_rmdir (shard_name), ==, 0);
    }

  /* A deletion is tried again. */
  {
    g_autoptr (GError) error = NULL;

    persist_blob (fixture, fixture->key);
    sync_path (fixture);
    delete_blob (fixture, fixture->key);
    fail_once ("fsync", shard, EIO);
    error = sync_error (fixture);
    g_assert_nonnull (strstr (error->message, fixture->path_name));
    forget_calls ();
    sync_path (fixture);
    assert_calls (g_strdup_printf ("fsync %s", shard));
  }
}

/* Nobody knows which file it was, so that it may have been any. */
static void
test_file_system_fails (Fixture *fixture,
                        gconstpointer data)
{
  g_autofree char *early = write_other (fixture);
  g_autofree char *in_scratch = write_other (fixture);
  g_autoptr (GPtrArray) keys = NULL;
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, early);
  sync_path (fixture);
  keys = persist_many (fixture);

  fail_once ("syncfs", "persisted", EIO);
  error = sync_error (fixture);
  g_clear_error (&error);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, "1100"));
  g_clear_error (&error);
  g_assert_true (is_marked (fixture));

  /* Also one that was not persisted yet. */
  persist_blob (fixture, in_scratch);
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);

  /* What an earlier sync covered is durable all the same. */
  persist_blob (fixture, early);
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);

  for (guint i = 0; i < keys->len; i++)
    {
      g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, NULL));
      persist_blob (fixture, keys->pdata[i]);
    }
  g_assert_cmpuint (count_rewritten (fixture), ==, N_MANY + 1);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, N_MANY + 2);
}

/* Two names of one file: the system reports its error to the first only. */
static void
test_two_paths (Fixture *fixture,
                gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *other_name = g_build_filename (fixture->directory, "other", NULL);
  g_autoptr (GFile) other = g_file_new_for_path (other_name);
  g_autoptr (GFile) path = g_object_ref (fixture->path);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  bs_backing_persist (fixture->backing, other, fixture->key, NULL, &error);
  g_assert_no_error (error);

  fail_once ("fsync", hex, EIO);
  error = sync_error (fixture);
  g_clear_error (&error);

  g_set_object (&fixture->path, other);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, fixture->key));
  g_clear_error (&error);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);

  g_set_object (&fixture->path, path);
  error = sync_error (fixture);
  g_clear_error (&error);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
}

static gpointer
sync_in_thread (gpointer data)
{
  sync_path (data);

  return NULL;
}

/* What is added during a sync belongs to the next one. */
static void
test_change_during_sync (Fixture *fixture,
                         gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *other_hex = get_hex (other);
  g_autofree char *held = g_strdup_printf ("fsync %s", hex);
  g_autofree char *expected = g_strdup_printf ("fsync %s", other_hex);
  GThread *thread;

  persist_blob (fixture, fixture->key);
  hold_call (held);
  thread = g_thread_new ("sync", sync_in_thread, fixture);
  wait_until_held ();
  persist_blob (fixture, other);
  hold_call (NULL);
  g_thread_join (thread);

  g_assert_cmpuint (count_calls (expected), ==, 0);
  g_assert_true (is_marked (fixture));
  sync_path (fixture);
  g_assert_cmpuint (count_calls (expected), ==, 1);
  g_assert_false (is_marked (fixture));
}

/* Without a hash nobody could tell a half from a whole. */
static void
test_without_attributes (Fixture *fixture,
                         gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autofree char *hex = NULL;
  g_autofree char *other = NULL;
  g_autoptr (GError) error = NULL;

  calls.no_attributes = TRUE;
  key = write_other (fixture);
  other = write_other (fixture);
  hex = get_hex (key);
  forget_calls ();
  persist_blob (fixture, key);
  assert_calls (g_strdup_printf ("fsync persisted, fsync %s, linkat %s", hex, hex));
  sync_path (fixture);

  /* This one has one, and need not wait. */
  g_free (hex);
  hex = get_hex (fixture->key);
  forget_calls ();
  persist_blob (fixture, fixture->key);
  assert_calls (g_strdup_printf ("fsync persisted, linkat %s", hex));

  /* It is not linked once that has failed. */
  g_free (hex);
  hex = get_hex (other);
  fail_once ("fsync", hex, EIO);
  error = persist_error (fixture, other);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
  persist_blob (fixture, other);
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);
  sync_path (fixture);
}

static void
test_root_fails (Fixture *fixture,
                 gconstpointer data)
{
  static const char *const files[] = { ".tmp-", "persisted" };
  g_autoptr (GBytes) other = make_test_bytes (100, 2);

  for (guint i = 0; i < 2 * G_N_ELEMENTS (files); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) root = NULL;

      fail_once ("fsync", files[i % G_N_ELEMENTS (files)], EIO);
      g_assert_false (bs_backing_write_root (fixture->backing, fixture->path, other, NULL, &error));
      g_assert_nonnull (strstr (error->message, fixture->path_name));
      g_clear_error (&error);

      root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
      if (i < G_N_ELEMENTS (files))
        {
          g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
          g_clear_error (&error);
        }
      else
        {
          g_assert_no_error (error);
          g_assert_true (g_bytes_equal (root, fixture->bytes));
        }

      if (i + 1 == G_N_ELEMENTS (files))
        {
          bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, &error);
          g_assert_no_error (error);
        }
    }

  /* The root, the marker, the lock. */
  g_assert_cmpuint (count_files (fixture->path_name), ==, 3);
}

static void
persist_some (Fixture *fixture)
{
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *key = g_strdup_printf ("abcdef01-2345-6789-abcd-ef012345678%u", i);

      write_blob (fixture, key);
      persist_blob (fixture, key);
    }
}

static char *
get_some (Fixture *fixture,
          guint i)
{
  g_autofree char *key = g_strdup_printf ("abcdef01-2345-6789-abcd-ef012345678%u", i);

  return get_blob_name (fixture->path_name, key);
}

/* As a power cut leaves them: one whole, one short, one with another content. */
static void
test_power_cut (Fixture *fixture,
                gconstpointer data)
{
  g_autofree char *quarantine = g_build_filename (fixture->path_name, ".quarantine", NULL);
  g_autofree char *shortened = get_some (fixture, 1);
  g_autofree char *changed = get_some (fixture, 2);
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (BsFileBackingStats) stats = NULL;
  int fd;

  bs_backing_close (fixture->backing, NULL, NULL);
  g_clear_object (&fixture->backing);
  fixture->backing = create (fixture->primary);
  run_and_crash (persist_some, fixture);
  g_assert_true (is_marked (fixture));

  g_assert_cmpint (truncate (shortened, 4096), ==, 0);
  fd = open (changed, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (fd, "\0\0\0\0", 4, 2000), ==, 4);
  close (fd);

  found = list_path (fixture->backing, fixture->path);
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, 1);
  g_assert_true (bs_key_set_contains_key (found, "abcdef01-2345-6789-abcd-ef0123456780"));
  g_assert_false (exists (shortened));
  g_assert_false (exists (changed));
  g_assert_cmpuint (count_files (quarantine), ==, 2);
  g_assert_cmphex (get_mode (quarantine), ==, 0700);
  stats = bs_file_backing_get_stats (BS_FILE_BACKING (fixture->backing));
  g_assert_cmpuint (stats->quarantined, ==, 2);

  /* The next opening need not look again. */
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_calls ("syncfs persisted"), ==, 1);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
}

/* Only where the mark stands is each file looked at. */
static void
test_clean_is_listed (Fixture *fixture,
                      gconstpointer data)
{
  g_autofree char *shortened = get_some (fixture, 1);

  persist_some (fixture);
  sync_path (fixture);
  g_assert_cmpint (truncate (shortened, 4096), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 3);

  plant_in (fixture->path_name, ".dirty", "");
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
}

/* If what was found can't be made durable, the mark stays. */
static void
test_recovery_fails (Fixture *fixture,
                     gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  persist_some (fixture);
  restart_backing (fixture);
  fail_once ("syncfs", "persisted", EIO);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_true (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 3);
  g_assert_false (is_marked (fixture));
}

/* What a stranger left is made durable before it is ours. */
static void
test_adoption (Fixture *fixture,
               gconstpointer data)
{
  g_autofree char *other_name = g_build_filename (fixture->directory, "other", NULL);
  g_autofree char *blob = get_blob_name (other_name, fixture->key);
  g_autoptr (GError) error = NULL;

  plant (blob, "content");
  move_path (fixture, other_name);
  fail_once ("syncfs", "other", EIO);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_false (exists_in (other_name, ".backingstore"));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_cmpuint (count_calls ("syncfs other"), ==, 2);
}

/* A new directory is not durable before its parent is. */
static void
test_new_directory (Fixture *fixture,
                    gconstpointer data)
{
  g_autofree char *name = g_build_filename (fixture->directory, "outer", "inner", NULL);
  g_autofree char *directory = g_path_get_basename (fixture->directory);
  g_autofree char *expected = g_strdup_printf ("fsync %s", directory);

  move_path (fixture, name);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_cmpuint (count_calls (expected), ==, 1);
  g_assert_cmpuint (count_calls ("fsync outer"), ==, 1);
}

int
main (int argc,
      char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "mark", test_mark },
    { "mark-is-shared", test_mark_is_shared },
    { "mark-fails", test_mark_fails },
    { "sync-calls", test_sync_calls },
    { "many", test_many },
    { "file-fails", test_file_fails },
    { "rewriting-fails", test_rewriting_fails },
    { "deletion-heals", test_deletion_heals },
    { "folder-fails", test_folder_fails },
    { "file-system-fails", test_file_system_fails },
    { "two-paths", test_two_paths },
    { "change-during-sync", test_change_during_sync },
    { "without-attributes", test_without_attributes },
    { "root-fails", test_root_fails },
    { "power-cut", test_power_cut },
    { "clean-is-listed", test_clean_is_listed },
    { "recovery-fails", test_recovery_fails },
    { "adoption", test_adoption },
    { "new-directory", test_new_directory },
  };
  int result;

  find_library ();
  g_test_init (&argc, &argv, NULL);
  calls.calls = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-durability/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up_calls, tests[i].func, tear_down_calls);
    }

  result = g_test_run ();
  g_ptr_array_unref (calls.calls);

  return result;
}
