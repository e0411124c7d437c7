/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

#include "base/bs-buffer-private.h"
#include "base/bs-slabs-private.h"

#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* Memory that is not in use goes back to the system. The library is linked into this
 * program, and calls the functions below in place of the C library's. */

#define KIB 1024
#define MIB (1024 * 1024)

static GThread *main_thread;
static int n_heap_trims; /* atomic */
static int n_on_main;    /* atomic: memory given back on the main thread */
static int n_on_others;  /* atomic */

static void
note_given_back (void)
{
  g_atomic_int_inc (g_thread_self () == main_thread ? &n_on_main : &n_on_others);
}

int
malloc_trim (size_t keep)
{
  int (*trim) (size_t) = dlsym (RTLD_NEXT, "malloc_trim");

  g_atomic_int_inc (&n_heap_trims);
  note_given_back ();
  return trim != NULL ? trim (keep) : 0;
}

int
madvise (void *start, size_t size, int advice)
{
  int (*advise) (void *, size_t, int) = dlsym (RTLD_NEXT, "madvise");

  if (advice == MADV_DONTNEED)
    note_given_back ();
  return advise (start, size, advice);
}

static int n_givers; /* atomic: threads made to give memory back */

GThread *
g_thread_try_new (const char *name, GThreadFunc func, gpointer data, GError **error)
{
  GThread *(*try_new) (const char *, GThreadFunc, gpointer, GError **) =
    dlsym (RTLD_NEXT, "g_thread_try_new");

  if (g_strcmp0 (name, "backingstore-memory") == 0)
    g_atomic_int_inc (&n_givers);
  return try_new (name, func, data, error);
}

static gsize
get_resident (void)
{
  g_autofree char *content = NULL;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &content, NULL, NULL));
  return g_ascii_strtoull (strchr (content, ' '), NULL, 10) * sysconf (_SC_PAGESIZE);
}

/* Other allocators keep what is freed. */
static gboolean
has_own_heap (void)
{
  const char *preload = g_getenv ("LD_PRELOAD");

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return FALSE;
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return FALSE;
#endif
#endif
  return preload == NULL || strstr (preload, "vgpreload") == NULL;
}

static gboolean
skip_without_own_heap (void)
{
  if (has_own_heap ())
    return FALSE;

  g_test_skip ("a sanitizer keeps what is freed");
  return TRUE;
}

static gboolean
is_filled (const guint8 *data, gsize size, guint8 byte)
{
  return data[0] == byte && memcmp (data, data + 1, size - 1) == 0;
}

typedef struct
{
  guint8 *data;
  gsize size;
  guint8 byte;
} Block;

static void
block_free (Block *block)
{
  if (block->data == NULL)
    return;

  g_assert_true (is_filled (block->data, block->size, block->byte));
  bs_buffer_free (g_steal_pointer (&block->data), block->size);
}

/* Blocks of all sizes come and go, and each has its own memory meanwhile. */
static gpointer
come_and_go (gpointer data)
{
  enum
  {
    N = 200
  };
  Block blocks[N] = { 0 };

  for (guint round = 0; round < 4000; round++)
    {
      GRand *rand = data;
      Block *block = &blocks[g_rand_int_range (rand, 0, N)];
      gsize size = (gsize) 1 << g_rand_int_range (rand, 4, round % 50 == 0 ? 22 : 16);

      block_free (block);
      block->size = size + g_rand_int_range (rand, 0, size);
      block->byte = g_rand_int (rand);
      block->data = bs_buffer_new (block->size);
      g_assert_nonnull (block->data);
      memset (block->data, block->byte, block->size);
      if (round % 500 == 0)
        bs_slabs_give_back (g_rand_int_range (rand, 0, 8 * MIB));
    }
  for (guint i = 0; i < N; i++)
    block_free (&blocks[i]);

  return NULL;
}

static void
test_blocks (void)
{
  GThread *threads[4];
  GRand *rands[4];

  for (guint i = 0; i < 4; i++)
    {
      rands[i] = g_rand_new_with_seed (g_test_rand_int ());
      threads[i] = g_thread_new ("blocks", come_and_go, rands[i]);
    }
  for (guint i = 0; i < 4; i++)
    {
      g_thread_join (threads[i]);
      g_rand_free (rands[i]);
    }

  bs_slabs_give_back (0);
}

/* Every second block stays: whole pages of the others go all the same. */
static void
test_holes (void)
{
  enum
  {
    N = 1024
  };
  static const gsize sizes[] = { 4 * KIB, 16 * KIB, 20 * KIB };
  guint8 *blocks[N];

  if (skip_without_own_heap ())
    return;

  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
    {
      gsize size = sizes[s], full;

      for (guint i = 0; i < N; i++)
        blocks[i] = memset (bs_buffer_new (size), i, size);
      full = get_resident ();
      for (guint i = 0; i < N; i += 2)
        bs_buffer_free (blocks[i], size);
      bs_slabs_give_back (0);
      g_assert_cmpuint (get_resident (), <, full - N / 2 * size * 7 / 10);

      for (guint i = 0; i < N; i += 2)
        blocks[i] = memset (bs_buffer_new (size), i, size);
      for (guint i = 0; i < N; i++)
        {
          g_assert_true (is_filled (blocks[i], size, i));
          bs_buffer_free (blocks[i], size);
        }
      bs_slabs_give_back (0);
      g_assert_cmpuint (get_resident (), <, full - N * size * 7 / 10);
    }
}

/* The reserve is there for what comes next; what is beyond goes by itself. */
static void
test_reserve (void)
{
  enum
  {
    N = 64
  };
  guint8 *blocks[N];
  gsize full;

  if (skip_without_own_heap ())
    return;

  alarm (WATCHDOG_SECONDS);
  for (guint i = 0; i < N; i++)
    blocks[i] = memset (bs_buffer_new (MIB), i, MIB);
  full = get_resident ();
  for (guint i = 0; i < N; i++)
    bs_buffer_free (blocks[i], MIB);
  while (get_resident () > full - (N - 16) * MIB)
    g_thread_yield ();
  alarm (0);
}

static void
test_copies (void)
{
  static const struct
  {
    gsize size;
    gboolean is_copied;
  } cases[] = {
    { 0, FALSE },       { 511, FALSE },          { 512, TRUE },  { 4096, TRUE },
    { 64 * KIB, TRUE }, { 64 * KIB + 1, FALSE }, { MIB, FALSE },
  };

  if (skip_without_own_heap ())
    return;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (cases[i].size), cases[i].size);
      g_autoptr (GBytes) dup = bs_buffer_dup_bytes (bytes);

      g_assert_true (g_bytes_equal (bytes, dup));
      g_assert_true ((bytes != dup) == cases[i].is_copied);
    }
}

/* A child has no thread of ours, and no lock that another thread had. */
static void
test_fork (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (g_test_rand_int ());
  GThread *thread;

  if (skip_without_own_heap ())
    return;

  thread = g_thread_new ("blocks", come_and_go, rand);
  for (guint i = 0; i < 20; i++)
    {
      guint8 *block = bs_buffer_new (16 * KIB);
      int status;
      pid_t child = fork ();

      if (child == 0)
        {
          alarm (WATCHDOG_SECONDS);
          bs_buffer_free (block, 16 * KIB);
          bs_buffer_give_back ();
          _exit (0);
        }
      g_assert_cmpint (child, >, 0);
      g_assert_cmpint (waitpid (child, &status, 0), ==, child);
      g_assert_cmpint (status, ==, 0);
      bs_buffer_free (block, 16 * KIB);
    }
  g_thread_join (thread);
}

typedef struct
{
  BsPool *pool;
  BsItem **items;
  guint n_items;
  gsize size;
  gboolean loads;
  guint part;
  guint n_parts;
} Filler;

static gpointer
fill (gpointer data)
{
  Filler *self = data;

  for (guint i = self->part; i < self->n_items; i += self->n_parts)
    {
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GError) error = NULL;

      if (self->loads)
        {
          bytes = bs_item_load (self->items[i], NULL, &error);
          g_assert_no_error (error);
          continue;
        }
      bytes = g_bytes_new_take (memset (g_malloc (self->size), i, self->size), self->size);
      self->items[i] = bs_pool_insert (self->pool, bytes);
    }
  return NULL;
}

static void
fill_by (Filler *filler, guint n_threads)
{
  Filler fillers[4];
  GThread *threads[4];

  for (guint i = 0; i < n_threads; i++)
    {
      fillers[i] = *filler;
      fillers[i].part = i;
      fillers[i].n_parts = n_threads;
      threads[i] = g_thread_new ("fill", fill, &fillers[i]);
    }
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
}

/* Nine tenths of what was held are given back, before the watchdog is at its end. */
static void
assert_falls (gsize full, gsize held)
{
  while (get_resident () > full - held / 10 * 9)
    g_thread_yield ();
}

static void
shrink (BsPool *pool, GMemoryMonitor *monitor)
{
  g_autoptr (GError) error = NULL;

  if (monitor != NULL)
    {
      g_signal_emit_by_name (monitor, "low-memory-warning",
                             G_MEMORY_MONITOR_WARNING_LEVEL_CRITICAL);
      while (bs_pool_get_memory_use (pool) > 0)
        g_main_context_iteration (NULL, FALSE);
      return;
    }

  bs_pool_trim (pool, 0, NULL, &error);
  g_assert_no_error (error);
}

typedef struct
{
  gsize size;
  guint n_threads;
  gboolean by_warning;
} Case;

/* The library connects to the monitor from within the loop. */
static GMemoryMonitor *
wait_for_monitor (void)
{
  GMemoryMonitor *monitor = g_memory_monitor_dup_default ();

  while (
    !g_signal_has_handler_pending (monitor,
                                   g_signal_lookup ("low-memory-warning", G_TYPE_MEMORY_MONITOR), 0,
                                   TRUE))
    g_main_context_iteration (NULL, FALSE);
  return monitor;
}

/* In a process of its own: what an earlier case has left in the heap would be used
 * again. */
static void
test_trim (gconstpointer data)
{
  const Case *given = data;
  g_autoptr (BsFileBacking) backing = NULL;
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsPool) pool = NULL;
  g_autoptr (GMemoryMonitor) monitor = NULL;
  g_autoptr (GError) error = NULL;
  Filler filler = { .size = given->size, .n_items = 16 * MIB / given->size };
  gsize full;

  if (skip_without_own_heap ())
    return;
  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }

  alarm (WATCHDOG_SECONDS);
  backing = bs_file_backing_new_temporary (&error);
  g_assert_no_error (error);
  store = bs_backing_store_new (BS_BACKING (backing));
  filler.pool = pool = bs_pool_new (store, G_MAXUINT64);
  filler.items = g_new (BsItem *, filler.n_items);
  if (given->by_warning)
    monitor = wait_for_monitor ();

  fill_by (&filler, given->n_threads);
  full = get_resident ();
  g_assert_cmpuint (bs_pool_get_memory_use (pool), ==, filler.n_items * given->size);
  shrink (pool, monitor);
  assert_falls (full, filler.n_items * given->size);

  filler.loads = TRUE;
  fill_by (&filler, given->n_threads);
  full = get_resident ();
  shrink (pool, monitor);
  assert_falls (full, filler.n_items * given->size);

  for (guint i = 0; i < filler.n_items; i++)
    g_object_unref (filler.items[i]);
  g_free (filler.items);
  bs_backing_store_close (store, NULL, &error);
  g_assert_no_error (error);
}

/* The main thread gives nothing back itself, and the heap, which is locked meanwhile, is
 * searched a few times in a second at most. */
static void
test_aside (void)
{
  enum
  {
    N = 512
  };
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GBytes) large = g_bytes_new_take (g_malloc0 (100 * KIB), 100 * KIB);
  gint64 start;
  Fixture fixture;

  if (skip_without_own_heap ())
    return;

  fixture_set_up (&fixture, G_MAXUINT64);
  for (guint i = 0; i < N; i++)
    g_ptr_array_add (items, bs_pool_insert (fixture.pool, large));
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, NULL));
  while (g_atomic_int_get (&n_heap_trims) == 0)
    g_thread_yield ();

  g_atomic_int_set (&n_heap_trims, 0);
  g_atomic_int_set (&n_on_main, 0);
  start = g_get_monotonic_time ();
  for (guint round = 0; round < 50; round++)
    {
      for (guint i = 0; i < N; i++)
        {
          g_autoptr (GBytes) bytes = bs_item_load (items->pdata[i], NULL, NULL);

          g_assert_nonnull (bytes);
        }
      g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, NULL));
    }
  while (g_atomic_int_get (&n_heap_trims) == 0)
    g_thread_yield ();
  g_assert_cmpint (g_atomic_int_get (&n_heap_trims), <=,
                   2 + 4 * (g_get_monotonic_time () - start) / G_USEC_PER_SEC);
  g_assert_cmpint (g_atomic_int_get (&n_on_main), ==, 0);
  g_assert_cmpint (g_atomic_int_get (&n_on_others), >, 0);

  /* A producer that trims to its budget searches nothing. */
  g_atomic_int_set (&n_heap_trims, 0);
  bs_pool_set_max_bytes (fixture.pool, 10 * MIB);
  for (guint i = 0; i < N; i++)
    {
      g_autoptr (GBytes) bytes = bs_item_load (items->pdata[i], NULL, NULL);

      g_assert_true (bs_pool_trim (fixture.pool, 10 * MIB, NULL, NULL));
    }
  g_assert_cmpint (g_atomic_int_get (&n_heap_trims), <=, 1);

  g_ptr_array_set_size (items, 0);
  fixture_tear_down (&fixture);
}

/* The first content that is freed waits. */
typedef struct
{
  BsPool *pool;
  GMutex mutex;
  GCond cond;
  gboolean waits;
  gboolean is_open;
} Gate;

static void
pass_gate (gpointer data)
{
  Gate *gate = data;

  g_mutex_lock (&gate->mutex);
  if (!gate->waits)
    {
      gate->waits = TRUE;
      g_cond_broadcast (&gate->cond);
      while (!gate->is_open)
        g_cond_wait (&gate->cond, &gate->mutex);
    }
  g_mutex_unlock (&gate->mutex);
}

static void
wait_at_gate (Gate *gate)
{
  g_mutex_lock (&gate->mutex);
  while (!gate->waits)
    g_cond_wait (&gate->cond, &gate->mutex);
  g_mutex_unlock (&gate->mutex);
}

static void
open_gate (Gate *gate)
{
  g_mutex_lock (&gate->mutex);
  gate->is_open = TRUE;
  g_cond_broadcast (&gate->cond);
  g_mutex_unlock (&gate->mutex);
}

static gpointer
trim_to_nothing (gpointer pool)
{
  g_assert_true (bs_pool_trim (pool, 0, NULL, NULL));
  return NULL;
}

/* One thread still holds what it has evicted when another one ends the trim: memory is
 * given back once all of it is free. */
static void
test_late_drop (void)
{
  enum
  {
    N = 64
  };
  g_autofree guint8 *content = g_malloc0 (100 * KIB);
  g_autoptr (BsFileBacking) backing = NULL;
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsPool) pool = NULL;
  Gate gate = { NULL };
  BsItem *items[N];
  GThread *thread;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }

  alarm (WATCHDOG_SECONDS);
  backing = bs_file_backing_new_temporary (NULL);
  store = bs_backing_store_new (BS_BACKING (backing));
  pool = bs_pool_new (store, G_MAXUINT64);
  for (guint i = 0; i < N; i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_with_free_func (content, 100 * KIB, pass_gate, &gate);

      items[i] = bs_pool_insert (pool, bytes);
      g_assert_true (bs_item_write (items[i], NULL, NULL));
    }

  thread = g_thread_new ("trim", trim_to_nothing, pool);
  wait_at_gate (&gate);
  trim_to_nothing (pool);
  g_assert_cmpuint (bs_pool_get_memory_use (pool), ==, 0);
  g_assert_cmpint (g_atomic_int_get (&n_givers), ==, 0);

  open_gate (&gate);
  g_thread_join (thread);
  g_assert_cmpint (g_atomic_int_get (&n_givers), ==, 1);

  for (guint i = 0; i < N; i++)
    g_object_unref (items[i]);
  g_assert_true (bs_backing_store_close (store, NULL, NULL));
}

static char *memory_directory;

/* Scratch is thousands of files, of which only the memory of this process matters. A
 * subprocess has what its parent has made. */
static void
begin_in_memory (void)
{
  g_autofree char *template = g_strdup ("/dev/shm/backingstore-XXXXXX");

  if (g_getenv ("TEST_RESIDENT") != NULL || g_mkdtemp (template) == NULL)
    return;

  memory_directory = g_steal_pointer (&template);
  g_setenv ("TEST_RESIDENT", "1", TRUE);
  g_setenv ("XDG_CACHE_HOME", memory_directory, TRUE);
}

static void
end_in_memory (void)
{
  g_autofree char *stores = NULL;

  if (memory_directory == NULL)
    return;

  stores = g_build_filename (memory_directory, "backingstore", NULL);
  rmdir (stores);
  rmdir (memory_directory);
  g_free (memory_directory);
}

int
main (int argc, char **argv)
{
  static const gsize sizes[] = { 4 * KIB, 16 * KIB, 100 * KIB, MIB };
  static Case cases[16];
  guint n_cases = 0;
  int status;

  begin_in_memory ();
  g_test_init (&argc, &argv, NULL);
  main_thread = g_thread_self ();

  g_test_add_func ("/resident/blocks", test_blocks);
  g_test_add_func ("/resident/holes", test_holes);
  g_test_add_func ("/resident/reserve", test_reserve);
  g_test_add_func ("/resident/copies", test_copies);
  g_test_add_func ("/resident/fork", test_fork);
  g_test_add_func ("/resident/aside", test_aside);
  g_test_add_func ("/resident/late-drop", test_late_drop);
  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
    for (guint n_threads = 1; n_threads <= 4; n_threads += 3)
      for (guint by_warning = 0; by_warning <= 1; by_warning++)
        {
          g_autofree char *path =
            g_strdup_printf ("/resident/%s/%" G_GSIZE_FORMAT "-bytes-%u-threads",
                             by_warning ? "warning" : "trim", sizes[s], n_threads);

          cases[n_cases] = (Case){ sizes[s], n_threads, by_warning };
          g_test_add_data_func (path, &cases[n_cases++], test_trim);
        }

  status = g_test_run ();
  end_in_memory ();
  return status;
}
