/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "workload.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backing-contract.h"

typedef enum
{
  OPEN, /* a backing, and the path */
  WRITE,
  WRITE_FILE,
  WRITE_STREAM,
  READ,
  READ_STREAM,
  PERSIST,
  REGISTER,
  REGISTER_MANY,
  DELETE, /* from primary storage */
  DELETE_PERSISTED,
  DELETE_PERSISTED_MANY,
  VERIFY,
  SYNC,
  WRITE_ROOT,
  READ_ROOT,
  CLOSE,
} Operation;

/* The name tells the shard folder. */
static const struct
{
  const char *key;
  gsize size;
} blobs[] = {
  { "a1000000-0000-4000-8000-000000000001", 0 },
  { "b2000000-0000-4000-8000-000000000002", 1 },
  { "c3000000-0000-4000-8000-000000000003", 4096 },
  { "d4000000-0000-4000-8000-000000000004", 1024 * 1024 },
  { "a1000000-0000-4000-8000-000000000005", 5000 },
  { "e5000000-0000-4000-8000-000000000006", 70000 },
  { "b2000000-0000-4000-8000-000000000007", 10 },
  { "f6000000-0000-4000-8000-000000000008", 300 },
  { "a1000000-0000-4000-8000-000000000009", 700000 },
};
#define N_BLOBS G_N_ELEMENTS (blobs)
#define N_ROOTS 4
#define SMALL_DISK (64 * 1024 * 1024)

typedef struct
{
  Operation operation;
  int subjects[4]; /* ended by -1 */
} Step;

static const Step all_steps[] = {
  { OPEN, { 1, -1 } },
  { WRITE, { 0, -1 } },
  { WRITE, { 1, -1 } },
  { WRITE, { 2, -1 } },
  { WRITE_FILE, { 3, -1 } },
  { READ, { 0, -1 } },
  { READ_STREAM, { 3, -1 } },
  { PERSIST, { 0, -1 } },
  { PERSIST, { 1, -1 } },
  { PERSIST, { 2, -1 } },
  { SYNC, { -1 } },
  { SYNC, { -1 } },
  { WRITE, { 4, -1 } },
  { WRITE_STREAM, { 8, -1 } },
  { READ_STREAM, { 8, -1 } },
  { PERSIST, { 8, -1 } },
  { PERSIST, { 3, -1 } },
  { PERSIST, { 4, -1 } },
  { PERSIST, { 4, -1 } },
  { WRITE_ROOT, { 1, -1 } },
  { SYNC, { -1 } },
  { READ_ROOT, { -1 } },
  { DELETE_PERSISTED, { 1, -1 } },
  { DELETE, { 2, -1 } },
  { REGISTER, { 2, -1 } },
  { READ, { 2, -1 } },
  { VERIFY, { 2, -1 } },
  { DELETE_PERSISTED_MANY, { 2, 4, -1 } },
  { SYNC, { -1 } },
  { WRITE_ROOT, { 2, -1 } },
  { WRITE_STREAM, { 5, -1 } },
  { PERSIST, { 5, -1 } },
  { CLOSE, { -1 } },
  { OPEN, { 2, -1 } },
  { REGISTER_MANY, { 0, 3, 5, -1 } },
  { READ, { 0, -1 } },
  { READ_STREAM, { 3, -1 } },
  { READ, { 3, -1 } },
  { READ, { 5, -1 } },
  { VERIFY, { 3, -1 } },
  { WRITE, { 6, -1 } },
  { PERSIST, { 6, -1 } },
  { SYNC, { -1 } },
  { DELETE_PERSISTED, { 3, -1 } },
  { WRITE, { 7, -1 } },
  { PERSIST, { 7, -1 } },
  { DELETE_PERSISTED, { 7, -1 } },
  { PERSIST, { 7, -1 } },
  { SYNC, { -1 } },
  { WRITE_ROOT, { 3, -1 } },
  { READ_ROOT, { -1 } },
  { CLOSE, { -1 } },
};

/* So few that many of their calls fail in each run. */
static const Step few_steps[] = {
  { OPEN, { 1, -1 } },       { WRITE, { 0, -1 } },
  { WRITE, { 1, -1 } },      { PERSIST, { 0, -1 } },
  { PERSIST, { 1, -1 } },    { SYNC, { -1 } },
  { WRITE_ROOT, { 1, -1 } }, { CLOSE, { -1 } },
  { OPEN, { 2, -1 } },       { REGISTER, { 1, -1 } },
  { READ, { 1, -1 } },       { WRITE, { 6, -1 } },
  { PERSIST, { 6, -1 } },    { DELETE_PERSISTED, { 0, -1 } },
  { SYNC, { -1 } },          { WRITE_ROOT, { 2, -1 } },
  { READ_ROOT, { -1 } },     { CLOSE, { -1 } },
};

static const char *const operation_names[] = {
  [OPEN] = "open",
  [WRITE] = "write",
  [WRITE_FILE] = "write file",
  [WRITE_STREAM] = "write stream",
  [READ] = "read",
  [READ_STREAM] = "read stream",
  [PERSIST] = "persist",
  [REGISTER] = "register",
  [REGISTER_MANY] = "register many",
  [DELETE] = "delete",
  [DELETE_PERSISTED] = "delete persisted",
  [DELETE_PERSISTED_MANY] = "delete many persisted",
  [VERIFY] = "verify",
  [SYNC] = "sync",
  [WRITE_ROOT] = "write root",
  [READ_ROOT] = "read root",
  [CLOSE] = "close",
};

typedef struct
{
  const char *directory;
  Journal *journal;
  const Step *steps;
  GFile *path;
  BsBacking *backing;
  gboolean open; /* it, and the path */
  GBytes *contents[N_BLOBS];
  gboolean primary[N_BLOBS];
  gboolean persisted[N_BLOBS];
  guint root;
  guint root_tried; /* if writing it failed, it may have come all the same */
} State;

/* The states in which a key may be found. */
typedef enum
{
  ABSENT = 1 << 0,
  PRESENT = 1 << 1,
} Possible;

typedef struct
{
  Possible now;
  Possible durable;
} Expectation;

/* A root's number as a bit. */
#define ROOT(number) (1u << (number))

/* Reads the marks. Returns the possible roots. */
static guint
expect (Journal *journal, gsize n_marks, Expectation expectations[N_BLOBS])
{
  guint roots = ROOT (0);

  for (guint i = 0; i < N_BLOBS; i++)
    expectations[i] = (Expectation){ ABSENT, ABSENT };

  for (gsize i = 0; i < n_marks; i++)
    {
      const Mark *mark = journal_get_mark (journal, i);
      Expectation *blob = &expectations[mark->subject];

      switch ((MarkKind) mark->kind)
        {
        case MARK_PERSIST:
          blob->now |= PRESENT;
          blob->durable |= PRESENT;
          break;
        case MARK_PERSISTED:
          blob->now = PRESENT;
          break;
        case MARK_DELETE:
          blob->now |= ABSENT;
          blob->durable |= ABSENT;
          break;
        case MARK_DELETED:
          blob->now = ABSENT;
          break;
        case MARK_SYNC:
          break;
        case MARK_SYNCED:
          for (guint j = 0; j < N_BLOBS; j++)
            expectations[j].durable = expectations[j].now;
          break;
        case MARK_ROOT:
          roots |= ROOT (mark->subject);
          break;
        case MARK_ROOTED:
          roots = ROOT (mark->subject);
          break;
        default:
          g_assert_not_reached ();
        }
    }

  return roots;
}

static GFile *
make_file (const char *directory, const char *name)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  return g_file_new_for_path (path);
}

static GBytes *
make_content (guint blob)
{
  return make_test_bytes (blobs[blob].size, blob + 1);
}

/* The number 0 is that there is none. */
static GBytes *
make_root (guint root)
{
  return make_test_bytes (2000 * root, 100 + root);
}

static gpointer
start (const char *directory, Journal *journal, const Step *steps)
{
  State *self = g_new0 (State, 1);

  self->directory = directory;
  self->journal = journal;
  self->steps = steps;
  self->path = make_file (directory, "persisted");
  for (guint i = 0; i < N_BLOBS; i++)
    self->contents[i] = make_content (i);

  return self;
}

static gpointer
start_all (const char *directory, Journal *journal)
{
  return start (directory, journal, all_steps);
}

static gpointer
start_few (const char *directory, Journal *journal)
{
  return start (directory, journal, few_steps);
}

static void
stop (gpointer state)
{
  State *self = state;

  g_clear_object (&self->backing);
  g_clear_object (&self->path);
  for (guint i = 0; i < N_BLOBS; i++)
    g_bytes_unref (self->contents[i]);
  g_free (self);
}

static gboolean
check_content (guint blob, GBytes *expected, GBytes *bytes, GError **error)
{
  if (g_bytes_equal (bytes, expected))
    return TRUE;

  return workload_set_broken (error,
                              "%s: %" G_GSIZE_FORMAT " bytes read are not the %" G_GSIZE_FORMAT
                              " written",
                              blobs[blob].key, g_bytes_get_size (bytes),
                              g_bytes_get_size (expected));
}

static gboolean
read_blob (State *self, guint blob, GError **error)
{
  g_autoptr (GBytes) bytes = bs_backing_read (self->backing, blobs[blob].key, NULL, error);

  return bytes != NULL && check_content (blob, self->contents[blob], bytes, error);
}

static gboolean
write_stream (State *self, guint blob, GError **error)
{
  g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (self->contents[blob]);

  return bs_backing_write_stream (self->backing, blobs[blob].key, stream, -1, NULL, error);
}

/* The source stands on the same file system, so that the kernel may copy it, and outside of the
 * directory whose calls are made to fail. A small disk is full without it: there it is in
 * memory. */
static int
open_source (State *self)
{
  g_autofree char *parent = g_path_get_dirname (self->directory);
  struct statvfs status;

  if (statvfs (parent, &status) == 0 && status.f_blocks * (guint64) status.f_frsize > SMALL_DISK)
    return open (parent, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

  return memfd_create ("source", MFD_CLOEXEC);
}

static gboolean
write_file (State *self, guint blob, GError **error)
{
  int fd = open_source (self);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autoptr (GFile) file = g_file_new_for_path (path);
  const gsize size = blobs[blob].size;
  gboolean success;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, g_bytes_get_data (self->contents[blob], NULL), size), ==, size);
  success = bs_backing_write_file (self->backing, blobs[blob].key, file, NULL, error);
  close (fd);

  return success;
}

static gboolean
read_stream (State *self, guint blob, GError **error)
{
  g_autoptr (GInputStream) stream =
    bs_backing_read_stream (self->backing, blobs[blob].key, NULL, error);
  g_autofree guint8 *data = g_malloc (blobs[blob].size + 1);
  g_autoptr (GBytes) bytes = NULL;
  gsize n_read;

  if (stream == NULL ||
      !g_input_stream_read_all (stream, data, blobs[blob].size + 1, &n_read, NULL, error))
    return FALSE;

  bytes = g_bytes_new (data, n_read);
  return check_content (blob, self->contents[blob], bytes, error);
}

static gboolean
check_key (guint blob, gboolean is_there, Possible possible, GError **error)
{
  if (possible & (is_there ? PRESENT : ABSENT))
    return TRUE;

  return workload_set_broken (error, "%s was %s", blobs[blob].key,
                              is_there ? "deleted, and is there" : "synced, and is gone");
}

/* A blob that no sync has covered may have been set aside. */
static gboolean
learn_keys (State *self, BsKeySet *found, GError **error)
{
  Expectation expectations[N_BLOBS];

  expect (self->journal, journal_get_n_marks (self->journal), expectations);
  for (guint i = 0; i < N_BLOBS; i++)
    {
      gboolean is_there = bs_key_set_contains_key (found, blobs[i].key);

      if (!check_key (i, is_there, expectations[i].durable, error))
        return FALSE;
      if (self->persisted[i] && !is_there)
        journal_mark (self->journal, MARK_DELETED, i);
      self->persisted[i] = is_there;
    }

  return TRUE;
}

static gboolean
open_backing (State *self, guint number, GError **error)
{
  g_autofree char *name = g_strdup_printf ("scratch-%u", number);
  g_autoptr (GFile) scratch = make_file (self->directory, name);
  g_autoptr (BsKeySet) found = bs_key_set_new ();

  if (self->backing == NULL)
    self->backing = workload_make_backing (scratch);
  if (!bs_backing_sanitize_path (self->backing, self->path, found, NULL, error))
    return FALSE;

  self->open = TRUE;

  return learn_keys (self, found, error);
}

static gboolean
close_backing (State *self, GError **error)
{
  if (!bs_backing_release_path (self->backing, self->path, NULL, error) ||
      !bs_backing_close (self->backing, NULL, error))
    return FALSE;

  g_clear_object (&self->backing);
  self->open = FALSE;
  memset (self->primary, 0, sizeof self->primary);

  return TRUE;
}

static gboolean
persist (State *self, guint blob, GError **error)
{
  journal_mark (self->journal, MARK_PERSIST, blob);
  if (!bs_backing_persist (self->backing, self->path, blobs[blob].key, NULL, error))
    return FALSE;
  journal_mark (self->journal, MARK_PERSISTED, blob);
  self->persisted[blob] = TRUE;

  return TRUE;
}

static gboolean
delete_persisted (State *self, guint blob, GError **error)
{
  journal_mark (self->journal, MARK_DELETE, blob);
  if (!bs_backing_delete_persisted (self->backing, self->path, blobs[blob].key, NULL, error))
    return FALSE;
  journal_mark (self->journal, MARK_DELETED, blob);
  self->persisted[blob] = FALSE;

  return TRUE;
}

/* The keys that are there. */
static BsKeySet *
make_keys (State *self, const int *subjects)
{
  BsKeySet *keys = bs_key_set_new ();

  for (; *subjects >= 0; subjects++)
    {
      if (self->persisted[*subjects])
        bs_key_set_add (keys, blobs[*subjects].key, NULL);
    }

  return keys;
}

static gboolean
delete_persisted_many (State *self, const int *subjects, GError **error)
{
  g_autoptr (BsKeySet) keys = make_keys (self, subjects);

  for (guint i = 0; subjects[i] >= 0; i++)
    journal_mark (self->journal, MARK_DELETE, subjects[i]);
  if (!bs_backing_delete_persisted_keys (self->backing, self->path, keys, NULL, error))
    return FALSE;
  for (guint i = 0; subjects[i] >= 0; i++)
    {
      journal_mark (self->journal, MARK_DELETED, subjects[i]);
      self->persisted[subjects[i]] = FALSE;
    }

  return TRUE;
}

static gboolean
register_many (State *self, const int *subjects, GError **error)
{
  g_autoptr (BsKeySet) keys = make_keys (self, subjects);

  if (!bs_backing_register_keys (self->backing, self->path, keys, NULL, error))
    return FALSE;
  for (guint i = 0; subjects[i] >= 0; i++)
    self->primary[subjects[i]] = self->persisted[subjects[i]];

  return TRUE;
}

static gboolean
sync_path (State *self, GError **error)
{
  journal_mark (self->journal, MARK_SYNC, 0);
  if (!bs_backing_sync_persisted (self->backing, self->path, NULL, error))
    return FALSE;
  journal_mark (self->journal, MARK_SYNCED, 0);

  return TRUE;
}

static gboolean
write_root (State *self, guint root, GError **error)
{
  g_autoptr (GBytes) bytes = make_root (root);

  self->root_tried = root;
  journal_mark (self->journal, MARK_ROOT, root);
  if (!bs_backing_write_root (self->backing, self->path, bytes, NULL, NULL, error))
    return FALSE;
  journal_mark (self->journal, MARK_ROOTED, root);
  self->root = root;

  return TRUE;
}

static gboolean
read_root (State *self, GError **error)
{
  g_autoptr (GBytes) expected = make_root (self->root);
  g_autoptr (GBytes) tried = make_root (self->root_tried);
  g_autoptr (GBytes) bytes = bs_backing_read_root (self->backing, self->path, NULL, error);

  if (bytes == NULL || g_bytes_equal (bytes, expected) || g_bytes_equal (bytes, tried))
    return bytes != NULL;

  return workload_set_broken (error, "the root is not the one that was written");
}

static gboolean
set_primary (State *self, guint blob, gboolean is_there, gboolean success)
{
  if (success)
    self->primary[blob] = is_there;

  return success;
}

static const char *
describe_all (guint n)
{
  return operation_names[all_steps[n].operation];
}

static const char *
describe_few (guint n)
{
  return operation_names[few_steps[n].operation];
}

static gboolean
step (gpointer state, guint n, GError **error)
{
  State *self = state;
  const int *subjects = self->steps[n].subjects;
  const int subject = subjects[0];
  const char *key = subject >= 0 ? blobs[subject].key : NULL;

  switch (self->steps[n].operation)
    {
    case OPEN:
      return open_backing (self, subject, error);
    case WRITE:
      return set_primary (self, subject, TRUE,
                          bs_backing_write (self->backing, key, self->contents[subject], NULL,
                                            error));
    case WRITE_FILE:
      return set_primary (self, subject, TRUE, write_file (self, subject, error));
    case WRITE_STREAM:
      return set_primary (self, subject, TRUE, write_stream (self, subject, error));
    case READ:
      return !self->primary[subject] || read_blob (self, subject, error);
    case READ_STREAM:
      return !self->primary[subject] || read_stream (self, subject, error);
    case PERSIST:
      return persist (self, subject, error);
    case REGISTER:
      return set_primary (self, subject, TRUE,
                          bs_backing_register_key (self->backing, self->path, key, NULL, error));
    case REGISTER_MANY:
      return register_many (self, subjects, error);
    case DELETE:
      return set_primary (self, subject, FALSE,
                          bs_backing_delete_key (self->backing, key, NULL, error));
    case DELETE_PERSISTED:
      return delete_persisted (self, subject, error);
    case DELETE_PERSISTED_MANY:
      return delete_persisted_many (self, subjects, error);
    case VERIFY:
      return bs_backing_verify_persisted (self->backing, self->path, key, NULL, error);
    case SYNC:
      return sync_path (self, error);
    case WRITE_ROOT:
      return write_root (self, subject, error);
    case READ_ROOT:
      return read_root (self, error);
    case CLOSE:
      return close_backing (self, error);
    default:
      g_assert_not_reached ();
    }
}

static gboolean
redo (gpointer state, GError **error)
{
  State *self = state;

  for (guint i = 0; i < N_BLOBS; i++)
    {
      const char *key = blobs[i].key;

      if (self->persisted[i] &&
          (!bs_backing_delete_key (self->backing, key, NULL, error) ||
           !delete_persisted (self, i, error) ||
           !bs_backing_write (self->backing, key, self->contents[i], NULL, error) ||
           !persist (self, i, error)))
        return FALSE;
      self->primary[i] |= self->persisted[i];
    }

  return TRUE;
}

static gboolean
verify (gpointer state, GError **error)
{
  State *self = state;

  if (!self->open)
    return TRUE;

  for (guint i = 0; i < N_BLOBS; i++)
    {
      if (self->primary[i] && !read_blob (self, i, error))
        return FALSE;
    }

  return self->root == 0 || read_root (self, error);
}

static gboolean
check_blob (BsBacking *backing,
            GFile *path,
            BsKeySet *found,
            guint blob,
            Possible possible,
            GError **error)
{
  const char *key = blobs[blob].key;
  const gboolean is_there = bs_key_set_contains_key (found, key);
  g_autoptr (GBytes) expected = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (!check_key (blob, is_there, possible, error))
    return FALSE;
  if (!is_there)
    return TRUE;

  if (!bs_backing_verify_persisted (backing, path, key, NULL, error) ||
      !bs_backing_register_key (backing, path, key, NULL, error) ||
      (bytes = bs_backing_read (backing, key, NULL, error)) == NULL)
    return FALSE;

  expected = make_content (blob);

  return check_content (blob, expected, bytes, error);
}

static gboolean
check_root (BsBacking *backing, GFile *path, guint possible, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) bytes = bs_backing_read_root (backing, path, NULL, &local_error);

  if (bytes == NULL && !g_error_matches (local_error, BS_ERROR, BS_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }

  for (guint i = 0; i < N_ROOTS; i++)
    {
      g_autoptr (GBytes) root = i != 0 ? make_root (i) : NULL;

      if ((possible & ROOT (i)) &&
          (bytes == NULL ? root == NULL : root != NULL && g_bytes_equal (bytes, root)))
        return TRUE;
    }

  return workload_set_broken (error,
                              "the root of %" G_GSIZE_FORMAT
                              " bytes is none of the possible ones (0x%x)",
                              bytes != NULL ? g_bytes_get_size (bytes) : 0, possible);
}

/* The directory is of use: a blob comes, stays and goes. */
static gboolean
check_use (BsBacking *backing, GFile *path, GError **error)
{
  const char *key = "a1000000-0000-4000-8000-0000000000ff";
  g_autoptr (GBytes) content = make_test_bytes (3000, 1);

  return bs_backing_write (backing, key, content, NULL, error) &&
         bs_backing_persist (backing, path, key, NULL, error) &&
         bs_backing_sync_persisted (backing, path, NULL, error) &&
         bs_backing_delete_key (backing, key, NULL, error) &&
         bs_backing_delete_persisted (backing, path, key, NULL, error) &&
         bs_backing_sync_persisted (backing, path, NULL, error);
}

static gboolean
check_with (BsBacking *backing, GFile *path, Journal *journal, gsize n_marks, GError **error)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  Expectation expectations[N_BLOBS];
  guint roots = expect (journal, n_marks, expectations);
  guint n_found = 0;

  if (!bs_backing_sanitize_path (backing, path, found, NULL, error) ||
      !workload_check_leftovers (g_file_peek_path (path), FALSE, error))
    return FALSE;

  for (guint i = 0; i < N_BLOBS; i++)
    {
      if (!check_blob (backing, path, found, i, expectations[i].durable, error))
        return FALSE;
      n_found += bs_key_set_contains_key (found, blobs[i].key);
    }
  if (n_found != bs_key_set_get_n_keys (found))
    return workload_set_broken (error, "a key is there that nobody wrote");

  return check_root (backing, path, roots, error) && check_use (backing, path, error);
}

static gboolean
check (const char *directory, Journal *journal, gsize n_marks, GError **error)
{
  g_autoptr (GFile) path = make_file (directory, "persisted");

  /* Each scratch directory is somebody's who is gone. */
  for (guint i = 1; i <= 2; i++)
    {
      g_autofree char *name = g_strdup_printf ("scratch-%u", i);
      g_autoptr (GFile) scratch = make_file (directory, name);
      g_autoptr (BsBacking) backing = workload_make_backing (scratch);

      if (!check_with (backing, path, journal, n_marks, error) ||
          !bs_backing_close (backing, NULL, error) ||
          !workload_check_leftovers (g_file_peek_path (scratch), TRUE, error) ||
          !workload_check_beside (directory, "persisted", error))
        return FALSE;
    }

  return TRUE;
}

#define WORKLOAD(title, steps, start_func, describe_func)                                          \
  {                                                                                                \
    .name = title, .start = start_func, .n_steps = G_N_ELEMENTS (steps),                           \
    .describe = describe_func, .step = step, .redo = redo, .verify = verify, .stop = stop,         \
    .check = check,                                                                                \
  }

const Workload workload_backing = WORKLOAD ("backing", all_steps, start_all, describe_all);
const Workload workload_backing_few = WORKLOAD ("backing-few", few_steps, start_few, describe_few);
