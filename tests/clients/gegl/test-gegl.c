/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* GEGL with its buffers on a pool, beside GEGL alone in the same process: each pixel of
 * each buffer is compared. The cache of GEGL holds a few tiles of an image that has many,
 * and the pool those that are being written. */

#include "pool-tiles.h"
#include "workload.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define SIZE 640
#define TILE (128 * 128 * 16)
#define CACHE (4 * TILE)
#define WAITING TILE
#define WATCHDOG_SECONDS 100

static char *directory;

typedef struct
{
  char *scratch;
  BsFaultBacking *fault;
  BsBackingStore *store;
  BsPool *pool;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = NULL;
  g_autoptr (BsFileBacking) files = NULL;

  alarm (WATCHDOG_SECONDS);
  fixture->scratch = g_build_filename (directory, "scratch", NULL);
  file = g_file_new_for_path (fixture->scratch);
  files = bs_file_backing_new (file);
  fixture->fault = bs_fault_backing_new (BS_BACKING (files));
  fixture->store = bs_backing_store_new (BS_BACKING (fixture->fault));
  fixture->pool = bs_pool_new (fixture->store, 0);
}

static void
remove_file (GFile *file)
{
  g_autoptr (GFileEnumerator) children =
    g_file_enumerate_children (file, "standard::name", G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL,
                               NULL);
  GFile *child;

  while (children != NULL && g_file_enumerator_iterate (children, NULL, &child, NULL, NULL) &&
         child)
    remove_file (child);
  g_assert_true (g_file_delete (file, NULL, NULL));
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_path (fixture->scratch);
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_store_close (fixture->store, NULL, &error));
  g_assert_no_error (error);
  g_assert_finalize_object (fixture->pool);
  g_assert_finalize_object (fixture->store);
  g_assert_finalize_object (fixture->fault);
  remove_file (file);
  g_free (fixture->scratch);
  alarm (0);
}

static GPtrArray *
run_on_pool (Fixture *fixture, Workload workload)
{
  GPtrArray *buffers;

  pool_tiles_set_pool (fixture->pool, WAITING);
  buffers = workload_run (workload, SIZE);
  pool_tiles_set_pool (NULL, 0);

  return buffers;
}

static void
compare_and_free (Fixture *fixture, Workload workload, GPtrArray *buffers)
{
  g_autoptr (GPtrArray) alone = workload_run (workload, SIZE);

  g_assert_true (workload_compare (buffers, alone));
  g_ptr_array_unref (buffers);
  g_assert_cmpuint (bs_pool_get_n_items (fixture->pool), ==, 0);
}

static void
test_pixels (Fixture *fixture, gconstpointer data)
{
  Workload workload = GPOINTER_TO_UINT (data);
  GPtrArray *buffers = run_on_pool (fixture, workload);
  guint n_tiles = bs_pool_get_n_items (fixture->pool);
  g_autoptr (BsPoolStats) stats = NULL;

  /* Most tiles were read back: the caches are too small for them. */
  g_assert_cmpuint (n_tiles, >=, SIZE / 128 * SIZE / 128 - CACHE / TILE);
  compare_and_free (fixture, workload, buffers);
  stats = bs_pool_get_stats (fixture->pool);
  g_assert_cmpuint (stats->misses, >=, n_tiles / 2);
  g_assert_cmpuint (stats->bytes_out, >=, 8 * CACHE);
}

/* A duplicate of a buffer is made of copies of items: nothing is written for it. */
static void
test_shared (Fixture *fixture, gconstpointer data)
{
  GPtrArray *buffers = run_on_pool (fixture, 0);
  g_autoptr (GError) error = NULL;
  GeglBuffer *duplicate;
  guint n_items, n_writes;

  g_assert_true (bs_pool_trim (fixture->pool, 0, NULL, &error));
  g_assert_no_error (error);
  n_items = bs_pool_get_n_items (fixture->pool);
  n_writes = bs_fault_backing_get_count (fixture->fault, BS_OPERATION_WRITE);

  pool_tiles_set_pool (fixture->pool, WAITING);
  duplicate = gegl_buffer_dup (buffers->pdata[0]);
  pool_tiles_set_pool (NULL, 0);
  g_ptr_array_add (buffers, duplicate);
  g_assert_cmpuint (bs_pool_get_n_items (fixture->pool), >=, 2 * n_items - CACHE / TILE);
  g_assert_true (bs_pool_trim (fixture->pool, 0, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_fault_backing_get_count (fixture->fault, BS_OPERATION_WRITE), <=,
                    n_writes + CACHE / TILE);

  g_ptr_array_unref (buffers);
  g_assert_cmpuint (bs_pool_get_n_items (fixture->pool), ==, 0);
}

/* A tile that cannot be written stays in memory: no pixel is lost. */
static void
test_failing_writes (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) full =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "The disk is full");
  GPtrArray *buffers;

  for (guint i = 1; i < 100; i += 3)
    bs_fault_backing_fail (fixture->fault, BS_OPERATION_WRITE, NULL, i, full);
  buffers = run_on_pool (fixture, WORKLOAD_WRITES);
  g_assert_cmpuint (bs_fault_backing_get_count (fixture->fault, BS_OPERATION_WRITE), >=, 100);
  bs_fault_backing_clear (fixture->fault);
  compare_and_free (fixture, WORKLOAD_WRITES, buffers);
}

static void
add (const char *path, Workload workload, void (*test) (Fixture *fixture, gconstpointer data))
{
  g_test_add (path, Fixture, GUINT_TO_POINTER (workload), set_up, test, tear_down);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  directory = g_dir_make_tmp ("gegl-XXXXXX", &error);
  g_assert_no_error (error);
  workload_init (directory, CACHE);

  add ("/gegl/chain", WORKLOAD_CHAIN, test_pixels);
  add ("/gegl/writes", WORKLOAD_WRITES, test_pixels);
  add ("/gegl/snapshots", WORKLOAD_WRITES | WORKLOAD_SNAPSHOTS, test_pixels);
  add ("/gegl/shared", 0, test_shared);
  add ("/gegl/failing-writes", 0, test_failing_writes);

  status = g_test_run ();
  gegl_exit ();
  g_assert_cmpint (g_rmdir (directory), ==, 0);
  g_free (directory);

  return status;
}
