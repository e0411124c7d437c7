/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A document that several people have in a folder that is open to all of them. */

#include "file-fixture.h"

#include <glib/gstdio.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FIRST 60001
#define SECOND 60002
#define THEIR_GROUP 60010

typedef enum
{
  SHARED_BY_GROUP,
  SHARED_BY_ACL,
} Sharing;

/* As the kernel stores it. */
typedef struct
{
  guint16 tag;
  guint16 permissions;
  guint32 id;
} AclEntry;

typedef struct
{
  guint32 version;
  AclEntry entries[5];
} Acl;

static gboolean
set_acl (const char *path)
{
  const Acl acl = {
    2,
    {
      { 0x01, 7, G_MAXUINT32 },
      { 0x04, 7, G_MAXUINT32 },
      { 0x08, 7, THEIR_GROUP },
      { 0x10, 7, G_MAXUINT32 },
      { 0x20, 0, G_MAXUINT32 },
    },
  };

  return setxattr (path, "system.posix_acl_access", &acl, sizeof acl, 0) == 0 &&
         setxattr (path, "system.posix_acl_default", &acl, sizeof acl, 0) == 0;
}

static void
become (uid_t user)
{
  const gid_t groups[] = { THEIR_GROUP };

  umask (077);
  g_assert_cmpint (setgroups (G_N_ELEMENTS (groups), groups), ==, 0);
  g_assert_cmpint (setresgid (user, user, user), ==, 0);
  g_assert_cmpint (setresuid (user, user, user), ==, 0);
}

typedef void (*Func) (Fixture *fixture, gconstpointer data);

/* With scratch of the user's own. */
static void
run_as (Fixture *fixture, uid_t user, Func func, gconstpointer data)
{
  g_autofree char *scratch = g_strdup_printf ("%s/scratch-%u", fixture->directory, (guint) user);
  int status;
  pid_t pid;

  g_mkdir (scratch, 0700);
  g_assert_cmpint (chown (scratch, user, user), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      g_autoptr (GFile) file = g_file_new_for_path (scratch);

      become (user);
      fixture->backing = create (file);
      func (fixture, data);
      g_assert_true (bs_backing_close (fixture->backing, NULL, NULL));
      /* A leak checker has no word on a child that is killed. */
      kill (getpid (), SIGKILL);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
}

static void
save (Fixture *fixture, gconstpointer data)
{
  const char *key = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = g_bytes_new (key, strlen (key));

  count_listed (fixture->backing, fixture->path);
  write_blob (fixture, key);
  persist_blob (fixture, key);
  sync_path (fixture);
  g_assert_true (bs_backing_write_root (fixture->backing, fixture->path, root, NULL, NULL, &error));
  g_assert_no_error (error);
}

static void
load (Fixture *fixture, gconstpointer data)
{
  const char *key = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = NULL;

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), >, 0);
  root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (root, NULL), g_bytes_get_size (root), key, strlen (key));
  register_blob (fixture, key);
}

static void
drop_others (Fixture *fixture, gconstpointer data)
{
  count_listed (fixture->backing, fixture->path);
  delete_blob (fixture, data);
  sync_path (fixture);
}

static void
test_shared (Fixture *fixture, gconstpointer data)
{
  const Sharing sharing = GPOINTER_TO_INT (data);
  g_autofree char *first = bs_key_generate ();
  g_autofree char *second = bs_key_generate ();
  g_autofree char *first_blob = get_blob_name (fixture->path_name, first);

  if (skip_unless_root ())
    return;

  g_clear_object (&fixture->backing);
  g_assert_cmpint (chmod (fixture->directory, 0755), ==, 0);
  g_mkdir (fixture->path_name, 0770);
  g_assert_cmpint (chown (fixture->path_name, FIRST,
                          sharing == SHARED_BY_GROUP ? THEIR_GROUP : FIRST),
                   ==, 0);
  g_assert_cmpint (chmod (fixture->path_name, sharing == SHARED_BY_GROUP ? 02770 : 0770), ==, 0);
  if (sharing == SHARED_BY_ACL && !set_acl (fixture->path_name))
    {
      g_test_skip ("This file system has no access lists");
      return;
    }

  run_as (fixture, FIRST, save, first);
  run_as (fixture, SECOND, load, first);
  run_as (fixture, SECOND, save, second);
  run_as (fixture, FIRST, load, second);
  run_as (fixture, FIRST, load, second);
  run_as (fixture, SECOND, drop_others, first);
  g_assert_false (exists (first_blob));
  run_as (fixture, FIRST, save, first);
}

static void
fail_to_persist (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  load (fixture, data);
  write_blob (fixture, fixture->key);
  error = persist_error (fixture, fixture->key);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
}

/* The owner opens the directory to others after its files were made: those can be read, and
 * the lock is not theirs. */
static void
test_opened_later (Fixture *fixture, gconstpointer data)
{
  static const char *const names[] = { ".lock", ".backingstore", "root" };
  g_autofree char *key = bs_key_generate ();
  g_autofree char *blob = get_blob_name (fixture->path_name, key);
  g_autofree char *shard = get_shard_name (fixture->path_name, key);

  if (skip_unless_root ())
    return;

  g_clear_object (&fixture->backing);
  g_assert_no_errno (g_chmod (fixture->directory, 0755));
  g_assert_no_errno (g_mkdir (fixture->path_name, 0700));
  g_assert_no_errno (chown (fixture->path_name, FIRST, FIRST));
  run_as (fixture, FIRST, save, key);

  g_assert_no_errno (g_chmod (fixture->path_name, 0777));
  g_assert_no_errno (g_chmod (shard, 0755));
  g_assert_no_errno (g_chmod (blob, 0644));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *name = g_build_filename (fixture->path_name, names[i], NULL);

      g_assert_no_errno (g_chmod (name, 0644));
    }
  run_as (fixture, SECOND, fail_to_persist, key);
  run_as (fixture, FIRST, load, key);
}

/* A user who may only read can read new files like the old ones; scratch stays private. */
static void
test_for_reading (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *shard = get_shard_name (fixture->path_name, fixture->key);
  g_autofree char *scratch_shard = get_shard_name (fixture->primary_name, fixture->key);
  g_autofree char *root = g_build_filename (fixture->path_name, "root", NULL);
  mode_t mask = umask (077);

  g_mkdir (fixture->path_name, 0700);
  g_assert_cmpint (chmod (fixture->path_name, 0755), ==, 0);
  save (fixture, fixture->key);
  g_assert_cmphex (get_mode (blob), ==, 0644);
  g_assert_cmphex (get_mode (root), ==, 0644);
  g_assert_cmphex (get_mode (shard), ==, 0755);
  g_assert_cmphex (get_mode (scratch_shard), ==, 0700);
  assert_transfers (fixture->backing, 1, 0, 0);
  umask (mask);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add ("/file-shared/by-group", Fixture, GINT_TO_POINTER (SHARED_BY_GROUP), set_up,
              test_shared, tear_down);
  g_test_add ("/file-shared/by-acl", Fixture, GINT_TO_POINTER (SHARED_BY_ACL), set_up, test_shared,
              tear_down);
  g_test_add ("/file-shared/opened-later", Fixture, NULL, set_up, test_opened_later, tear_down);
  g_test_add ("/file-shared/for-reading", Fixture, NULL, set_up, test_for_reading, tear_down);

  return g_test_run ();
}
