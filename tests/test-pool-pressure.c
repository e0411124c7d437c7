/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <glib/gstdio.h>

/* Pools whose budget, disk or application gives them no rest. */

#define KILOBYTE 1024

/* The same fixture over files in a directory. */
static void
set_up_files (Fixture *fixture, guint64 max_bytes, const char *path)
{
  g_autoptr (GFile) directory = g_file_new_build_filename (path, "scratch", NULL);
  g_autoptr (BsFileBacking) files = bs_file_backing_new (directory);

  alarm (WATCHDOG_SECONDS);
  memset (fixture, 0, sizeof *fixture);
  fixture->fault = bs_fault_backing_new (BS_BACKING (files));
  fixture->store = bs_backing_store_new (BS_BACKING (fixture->fault));
  /* Calls of several threads may be held. */
  bs_backing_store_set_max_threads (fixture->store, 4);
  fixture->pool = bs_pool_new (fixture->store, max_bytes);
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

/* Nobody else sees the mount, and it goes with the process at the latest. NULL,
 * and the test is skipped, where that is not allowed. */
static char *
mount_small_disk (const char *size)
{
  g_autofree char *options = g_strdup_printf ("size=%s", size);
  g_autofree char *path = g_dir_make_tmp ("backingstore-XXXXXX", NULL);

  if (unshare (CLONE_NEWNS) != 0 || mount ("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount ("tmpfs", path, "tmpfs", 0, options) != 0)
    {
      g_autofree char *reason =
        g_strdup_printf ("No small disk could be mounted: %s", g_strerror (errno));

      g_test_skip (reason);
      g_rmdir (path);
      return NULL;
    }

  return g_steal_pointer (&path);
}

typedef struct
{
  GHashTable *keys;
  guint n;
  guint n_others; /* that do not say that the disk is full, or say it elsewhere */
  GThread *home;
} Reports;

static void
background_error_cb (BsBackingStore *store,
                     const char *key,
                     BsOperation operation,
                     GError *error,
                     Reports *reports)
{
  reports->n++;
  g_hash_table_add (reports->keys, g_strdup (key));
  if (operation != BS_OPERATION_WRITE ||
      !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE) ||
      strstr (error->message, key) == NULL || g_thread_self () != reports->home)
    reports->n_others++;
}

static void
reports_connect (Reports *reports, BsBackingStore *store)
{
  memset (reports, 0, sizeof *reports);
  reports->home = g_thread_self ();
  reports->keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_signal_connect (store, "background-error", G_CALLBACK (background_error_cb), reports);
}

static void
reports_disconnect (Reports *reports, BsBackingStore *store)
{
  g_signal_handlers_disconnect_by_data (store, reports);
  g_hash_table_unref (reports->keys);
}

/* Each of the two kinds, fresh and failed before, is tried once after each
 * pause; pauses double from a tenth of a second. */
static guint
most_attempts_after (gint64 microseconds, guint n_side_by_side)
{
  return n_side_by_side + 2 * (2 + g_bit_storage (microseconds / (100 * G_TIME_SPAN_MILLISECOND)));
}

/* A disk that is nearly full, or a backing that says so. */
typedef struct
{
  Fixture *fixture;
  char *path;    /* NULL for the backing */
  char *ballast; /* somebody else's three and a half of four megabytes */
} Disk;

static gboolean
disk_fill (Disk *self, Fixture *fixture, guint64 max_bytes, gboolean mounted)
{
  int fd;

  memset (self, 0, sizeof *self);
  self->fixture = fixture;
  if (!mounted)
    {
      fixture_set_up (fixture, max_bytes);
      fail_all (fixture, BS_OPERATION_WRITE, NULL, G_IO_ERROR_NO_SPACE);
      return TRUE;
    }

  self->path = mount_small_disk ("4m");
  if (self->path == NULL)
    return FALSE;

  self->ballast = g_build_filename (self->path, "ballast", NULL);
  fd = g_open (self->ballast, O_CREAT | O_WRONLY, 0600);
  g_assert_cmpint (posix_fallocate (fd, 0, 3584 * KILOBYTE), ==, 0);
  close (fd);
  set_up_files (fixture, max_bytes, self->path);
  return TRUE;
}

static void
disk_make_room (Disk *self)
{
  if (self->path == NULL)
    bs_fault_backing_clear (self->fixture->fault);
  else
    g_assert_no_errno (g_unlink (self->ballast));
}

static void
disk_clear (Disk *self)
{
  if (self->path != NULL)
    {
      umount2 (self->path, MNT_DETACH);
      g_rmdir (self->path);
    }
  g_free (self->path);
  g_free (self->ballast);
}

#define N_ON_DISK 40
#define SIZE_ON_DISK (64 * KILOBYTE)

static void
test_full_disk (gconstpointer mounted)
{
  const guint64 budget = 256 * KILOBYTE;
  g_autoptr (BsPoolStats) stats = NULL;
  g_autoptr (GError) error = NULL;
  BsItem *items[N_ON_DISK];
  guint n_attempts, most;
  Reports reports;
  Fixture fixture;
  gint64 start;
  Disk disk;

  if (!disk_fill (&disk, &fixture, budget, mounted != NULL))
    return;

  reports_connect (&reports, fixture.store);
  start = g_get_monotonic_time ();
  insert_many (fixture.pool, items, N_ON_DISK, SIZE_ON_DISK);
  if (mounted != NULL)
    wait_until (bs_pool_get_memory_use (fixture.pool) < N_ON_DISK * SIZE_ON_DISK);
  fixture_wait_finished (&fixture);

  /* A failed write is tried again, after a pause. */
  n_attempts = count (&fixture, BS_OPERATION_WRITE);
  wait_until (count (&fixture, BS_OPERATION_WRITE) >= n_attempts + 5);

  /* Uses of the items and of the budget end no pause. */
  for (guint i = 0; i < 1000; i++)
    {
      bs_pool_set_max_bytes (fixture.pool, budget - i % 2);
      g_assert_true (is_resident (items[N_ON_DISK - 1]));
    }
  bs_pool_set_max_bytes (fixture.pool, budget);
  n_attempts = count (&fixture, BS_OPERATION_WRITE);
  most = most_attempts_after (g_get_monotonic_time () - start,
                              bs_backing_store_get_max_threads (fixture.store));
  stats = bs_pool_get_stats (fixture.pool);
  g_assert_cmpuint (n_attempts - stats->writes, <=, most);
  g_assert_cmpint (stats->writes > 0, ==, mounted != NULL);

  /* Nothing is lost, and a producer hears of it. */
  assert_all_loadable (items, N_ON_DISK, SIZE_ON_DISK);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), >, 1024 * KILOBYTE);
  g_assert_false (bs_pool_trim (fixture.pool, budget, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);

  /* Each key is reported once, in the thread of the store's context. */
  wait_until (reports.n > 0);
  g_assert_cmpuint (reports.n_others, ==, 0);
  g_assert_cmpuint (reports.n, ==, g_hash_table_size (reports.keys));

  disk_make_room (&disk);
  wait_until (bs_pool_get_memory_use (fixture.pool) <= budget);
  assert_all_loadable (items, N_ON_DISK, SIZE_ON_DISK);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_no_error (error);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  assert_all_loadable (items, N_ON_DISK, SIZE_ON_DISK);
  g_assert_cmpuint (reports.n, ==, g_hash_table_size (reports.keys));

  unref_items (items, N_ON_DISK);
  reports_disconnect (&reports, fixture.store);
  fixture_tear_down (&fixture);
  disk_clear (&disk);
}

/* A disk that was full for long: those that have failed often are not the last
 * to hear that there is space again. */
static void
test_recovers_together (void)
{
  BsItem *items[20], *last;
  Reports reports;
  Fixture fixture;
  gint64 start;

  fixture_set_up (&fixture, 0);
  reports_connect (&reports, fixture.store);
  fail_all (&fixture, BS_OPERATION_WRITE, NULL, G_IO_ERROR_NO_SPACE);
  insert_many (fixture.pool, items, 20, 100);

  /* A trim tries at once, and makes the next pause longer. It may fail with a write that was
   * tried before it, so that a content is left which only the end of that pause would try. */
  for (guint i = 0; i < 60 || reports.n < 20; i++)
    {
      g_assert_false (bs_pool_trim (fixture.pool, 0, NULL, NULL));
      g_main_context_iteration (NULL, FALSE);
    }

  start = g_get_monotonic_time ();
  bs_fault_backing_clear (fixture.fault);
  last = insert (fixture.pool, 100, 'A');
  g_assert_true (bs_item_write (last, NULL, NULL));
  wait_until (bs_pool_get_memory_use (fixture.pool) == 0);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 20 * G_TIME_SPAN_SECOND);
  assert_all_loadable (items, 20, 100);

  g_assert_cmpuint (reports.n, ==, 20);
  g_assert_cmpuint (g_hash_table_size (reports.keys), ==, 20);
  unref_items (items, 20);
  assert_goes (last);
  reports_disconnect (&reports, fixture.store);
  fixture_tear_down (&fixture);
}

/* An item that fails, comes through, is replaced, and fails again is reported
 * again: it is another content. */
static void
test_reported_again (void)
{
  g_autoptr (GBytes) bytes = make_bytes (100, 'B');
  Reports reports;
  Fixture fixture;
  BsItem *item;

  fixture_set_up (&fixture, 0);
  reports_connect (&reports, fixture.store);
  fail_all (&fixture, BS_OPERATION_WRITE, NULL, G_IO_ERROR_NO_SPACE);
  item = insert (fixture.pool, 100, 'A');
  wait_until (count (&fixture, BS_OPERATION_WRITE) >= 3);
  wait_until (reports.n == 1);
  bs_fault_backing_clear (fixture.fault);
  /* One that has failed may still be on its way. */
  wait_until (bs_pool_trim (fixture.pool, 0, NULL, NULL));

  fail_all (&fixture, BS_OPERATION_WRITE, NULL, G_IO_ERROR_NO_SPACE);
  bs_item_replace (item, bytes);
  wait_until (reports.n == 2);
  g_assert_cmpuint (g_hash_table_size (reports.keys), ==, 2);
  wait_until (count (&fixture, BS_OPERATION_WRITE) >= 6);
  g_assert_cmpuint (reports.n, ==, 2);
  g_assert_cmpuint (reports.n_others, ==, 0);

  /* The write of a dropped item is not tried again. */
  assert_goes (item);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  reports_disconnect (&reports, fixture.store);
  fixture_tear_down (&fixture);
}

/* The figures against the truth: every content tells when it is freed. */

typedef struct
{
  int *n_bytes; /* atomic */
  gsize size;
  char data[];
} Counted;

static void
counted_free (gpointer data)
{
  Counted *self = data;

  g_atomic_int_add (self->n_bytes, -(int) self->size);
  g_free (self);
}

static GBytes *
counted_new (int *n_bytes, gsize size)
{
  Counted *self = g_malloc0 (sizeof *self + size);

  self->n_bytes = n_bytes;
  self->size = size;
  g_atomic_int_add (n_bytes, size);

  return g_bytes_new_with_free_func (self->data, size, counted_free, self);
}

#define N_COUNTED 30

static void
count_step (BsPool *pool, BsItem **items, GBytes **held, int *n_bytes, GRand *rand)
{
  guint i = g_rand_int_range (rand, 0, N_COUNTED);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (BsItem) copy = NULL;

  switch (g_rand_int_range (rand, 0, 8))
    {
    case 0:
      /* Bytes that the application holds of a dropped item are its own. */
      g_clear_pointer (&held[i], g_bytes_unref);
      g_clear_object (&items[i]);
      break;
    case 1:
      g_clear_pointer (&held[i], g_bytes_unref);
      bytes = counted_new (n_bytes, g_rand_int_range (rand, 0, 500));
      if (items[i] != NULL)
        bs_item_replace (items[i], bytes);
      else
        items[i] = bs_pool_insert (pool, bytes);
      break;
    case 2:
    case 3:
      g_clear_pointer (&held[i], g_bytes_unref);
      held[i] = items[i] != NULL ? bs_item_try_load (items[i]) : NULL;
      break;
    case 4:
      g_clear_pointer (&held[i], g_bytes_unref);
      break;
    case 5:
      g_assert_true (bs_pool_trim (pool, g_rand_int_range (rand, 0, 4000), NULL, NULL));
      break;
    case 6:
      bs_pool_set_max_bytes (pool, g_rand_int_range (rand, 0, 8000));
      break;
    case 7:
      copy = items[i] != NULL ? bs_item_copy (items[i]) : NULL;
      bytes = copy != NULL ? bs_item_try_load (copy) : NULL;
      break;
    default:
      g_assert_not_reached ();
    }
}

static void
test_figures (void)
{
  g_autofree char *path = g_dir_make_tmp ("backingstore-XXXXXX", NULL);
  g_autoptr (GRand) rand = g_rand_new_with_seed (g_test_rand_int ());
  GBytes *held[N_COUNTED] = { NULL };
  BsItem *items[N_COUNTED] = { NULL };
  int n_bytes = 0;
  Fixture fixture;

  set_up_files (&fixture, 4000, path);
  for (guint n = 0; n < 400; n++)
    {
      count_step (fixture.pool, items, held, &n_bytes, rand);
      fixture_wait_finished (&fixture);
      wait_until (bs_pool_get_memory_use (fixture.pool) +
                    bs_pool_get_memory_in_use (fixture.pool) ==
                  (guint) g_atomic_int_get (&n_bytes));
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=,
                        bs_pool_get_max_bytes (fixture.pool));
    }

  for (guint i = 0; i < N_COUNTED; i++)
    {
      g_clear_pointer (&held[i], g_bytes_unref);
      if (items[i] != NULL)
        assert_goes (items[i]);
    }
  wait_until (g_atomic_int_get (&n_bytes) == 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);
  fixture_tear_down (&fixture);
  remove_tree (path);
}

#define N_HELD 10000

static void
test_all_held (void)
{
  g_autofree BsItem **items = g_new (BsItem *, N_HELD);
  g_autofree GBytes **held = g_new (GBytes *, N_HELD);
  g_autoptr (GError) error = NULL;
  guint n_reads;
  Fixture fixture;

  fixture_set_up (&fixture, 100 * KILOBYTE);
  for (guint i = 0; i < N_HELD; i++)
    {
      items[i] = insert (fixture.pool, KILOBYTE, letter_of (i));
      held[i] = bs_item_load (items[i], NULL, &error);
      g_assert_no_error (error);
    }
  g_assert_true (bs_pool_trim (fixture.pool, 100 * KILOBYTE, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, 100 * KILOBYTE);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool) +
                      bs_pool_get_memory_in_use (fixture.pool),
                    ==, N_HELD * KILOBYTE);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, N_HELD);

  /* The same bytes again, whatever the pool has let go of. */
  for (guint i = 0; i < N_HELD; i++)
    {
      g_autoptr (GBytes) again = bs_item_load (items[i], NULL, &error);

      g_assert_no_error (error);
      g_assert_true (g_bytes_get_data (again, NULL) == g_bytes_get_data (held[i], NULL));
    }
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool) +
                      bs_pool_get_memory_in_use (fixture.pool),
                    ==, N_HELD * KILOBYTE);

  for (guint i = 0; i < N_HELD; i++)
    g_bytes_unref (held[i]);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_no_error (error);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  n_reads = count (&fixture, BS_OPERATION_READ);
  assert_all_loadable (items, N_HELD, KILOBYTE);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, n_reads + N_HELD);

  for (guint i = 0; i < N_HELD; i++)
    g_object_unref (items[i]);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  fixture_tear_down (&fixture);
}

/* A producer that awaits trim while the disk stands still. */
static void
test_producer (void)
{
  g_autoptr (GError) error = NULL;
  guint64 peak = 0;
  BsItem *items[50];
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (GAsyncResult) result = NULL;

      bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
      items[i] = insert (fixture.pool, 100, letter_of (i));
      bs_pool_trim_async (fixture.pool, 1000, G_PRIORITY_DEFAULT, NULL, store_result, &result);
      peak = MAX (peak, bs_pool_get_memory_use (fixture.pool));
      if (bs_pool_get_memory_use (fixture.pool) > 1000)
        {
          wait_until (count (&fixture, BS_OPERATION_WRITE) > 0);
          g_assert_null (result);
        }
      bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
      g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
      g_assert_no_error (error);
      peak = MAX (peak, bs_pool_get_memory_use (fixture.pool));
    }
  g_assert_cmpuint (peak, <=, 1000 + 2 * 100);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);
  assert_all_loadable (items, 50, 100);

  unref_items (items, 50);
  fixture_tear_down (&fixture);
}

static BsItem *
asked_item (GAsyncResult *result)
{
  return BS_ITEM (g_task_get_source_object (G_TASK (result)));
}

/* An operation keeps to the content that it was asked for, whether the item is replaced or
 * dropped meanwhile: written, loaded and persisted at a time, with no budget to keep it. */
static void
test_change_during_everything (gconstpointer data)
{
  gboolean drop = GPOINTER_TO_INT (data);
  GAsyncResult *writes[10] = { NULL }, *persists[10] = { NULL }, *loads[10] = { NULL };
  BsItem *items[10], *registered[10];
  Fixture fixture;

  fixture_set_up (&fixture, G_MAXUINT64);
  fixture_track (&fixture);
  insert_many (fixture.pool, items, 10, 100);
  for (guint i = 0; i < 10; i++)
    {
      g_autofree char *key = bs_item_dup_key (items[i]);

      g_assert_true (bs_item_persist (items[i], fixture.tracked, NULL, NULL));
      registered[i] = bs_pool_register (fixture.pool, fixture.tracked, key, NULL, NULL);
    }
  unref_items (items, 10);
  insert_many (fixture.pool, items, 10, 100);

  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_READ);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_PERSIST);
  bs_pool_set_max_bytes (fixture.pool, 0);
  for (guint i = 0; i < 10; i++)
    {
      bs_item_write_async (items[i], G_PRIORITY_DEFAULT, NULL, store_result, &writes[i]);
      bs_item_persist_async (items[i], fixture.tracked, G_PRIORITY_DEFAULT, NULL, store_result,
                             &persists[i]);
      bs_item_load_async (registered[i], G_PRIORITY_DEFAULT, NULL, store_result, &loads[i]);
    }
  wait_until (count (&fixture, BS_OPERATION_WRITE) >= 11);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GBytes) bytes = make_bytes (50, 'z');

      if (drop)
        {
          g_clear_object (&items[i]);
          g_clear_object (&registered[i]);
        }
      else
        {
          bs_item_replace (items[i], bytes);
          bs_item_replace (registered[i], bytes);
        }
    }
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_READ);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_PERSIST);

  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = NULL;

      wait_until (writes[i] != NULL && persists[i] != NULL && loads[i] != NULL);
      bs_item_write_finish (asked_item (writes[i]), writes[i], &error);
      g_assert_no_error (error);
      bs_item_persist_finish (asked_item (persists[i]), persists[i], &error);
      g_assert_no_error (error);
      bytes = bs_item_load_finish (asked_item (loads[i]), loads[i], &error);
      g_assert_no_error (error);
      assert_filled (bytes, 100, letter_of (i));
      g_clear_object (&writes[i]);
      g_clear_object (&persists[i]);
      g_clear_object (&loads[i]);
    }
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture.tracked), ==, 20);
  fixture_wait_finished (&fixture);
  /* No old content stays in primary storage. */
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 20);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);

  if (!drop)
    for (guint i = 0; i < 10; i++)
      {
        g_autoptr (GBytes) bytes = bs_item_load (items[i], NULL, NULL);
        g_autoptr (GBytes) other = bs_item_load (registered[i], NULL, NULL);

        assert_filled (bytes, 50, 'z');
        assert_filled (other, 50, 'z');
      }
  if (!drop)
    {
      unref_items (items, 10);
      unref_items (registered, 10);
    }
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 0);
  fixture_tear_down (&fixture);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  /* The first case: a thread that is made before the mount does not see it. */
  g_test_add_data_func ("/pool-pressure/full-disk", GINT_TO_POINTER (TRUE), test_full_disk);
  g_test_add_data_func ("/pool-pressure/full-backing", GINT_TO_POINTER (FALSE), test_full_disk);
  g_test_add_func ("/pool-pressure/recovers-together", test_recovers_together);
  g_test_add_func ("/pool-pressure/reported-again", test_reported_again);
  g_test_add_func ("/pool-pressure/figures", test_figures);
  g_test_add_func ("/pool-pressure/all-held", test_all_held);
  g_test_add_func ("/pool-pressure/producer", test_producer);
  g_test_add_data_func ("/pool-pressure/replace-during-everything", GINT_TO_POINTER (FALSE),
                        test_change_during_everything);
  g_test_add_data_func ("/pool-pressure/drop-during-everything", GINT_TO_POINTER (TRUE),
                        test_change_during_everything);

  return g_test_run ();
}
