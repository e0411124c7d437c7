/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backings/bs-file-buffer-private.h"
#include "backings/bs-file-pages-private.h"

#define KIB 1024
#define MIB (1024 * 1024)
#define N_THREADS 4
#define N_ROUNDS 300

static GBytes *
make_bytes (gsize size, guint8 byte)
{
  guint8 *data = bs_file_buffer_new (size);

  g_assert_nonnull (data);
  memset (data, byte, size);

  return bs_file_buffer_to_bytes (data, size);
}

static gsize
get_mapped (void)
{
  g_autofree char *content = NULL;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &content, NULL, NULL));

  return g_ascii_strtoull (content, NULL, 10) * sysconf (_SC_PAGESIZE);
}

/* All that was asked for, whether or not in large pages, and no more of it left than
 * the process's other memory sways by. */
static void
test_pages (void)
{
  static const gsize sizes[] = { 128 * KIB,          4 * MIB - 64 * KIB, 4 * MIB,
                                 5 * MIB + 64 * KIB, 64 * MIB,           100 * MIB };
  const gsize before = get_mapped ();

  for (guint i = 0; i < 10 * G_N_ELEMENTS (sizes); i++)
    {
      gsize size = sizes[i % G_N_ELEMENTS (sizes)];
      guint8 *data = bs_file_pages_map (size);

      g_assert_nonnull (data);
      for (gsize at = 0; at < size; at += 4 * KIB)
        g_assert_cmpuint (data[at]++, ==, 0);
      g_assert_cmpuint (data[size - 1]++, ==, 0);

      g_assert_cmpint (munmap (data + 64 * KIB, size - 64 * KIB), ==, 0);
      g_assert_cmpint (munmap (data, 64 * KIB), ==, 0);
    }

  g_assert_cmpuint (get_mapped (), <, before + 8 * MIB);
}

/* Memory of blobs that are gone goes back to the system, without a trim. */
static void
test_nothing_kept (void)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  const gsize before = get_mapped ();

  for (guint i = 0; i < 10; i++)
    g_ptr_array_add (all, make_bytes ((4 + i) * MIB + 1, i));
  g_assert_cmpuint (get_mapped (), >, before + 80 * MIB);

  g_ptr_array_set_size (all, 0);
  g_assert_cmpuint (get_mapped (), <, before + 4 * MIB);
}

static void
test_impossible (void)
{
  g_assert_null (bs_file_buffer_new (G_MAXSIZE));
  g_assert_null (bs_file_buffer_new (G_MAXSIZE - MIB));
#if GLIB_SIZEOF_SIZE_T > 4
  /* Of 32 bits, half may well be had. */
  g_assert_null (bs_file_buffer_new (G_MAXSIZE / 2));
  g_assert_null (bs_file_buffer_new ((gsize) 1 << 60));
#endif
}

static gpointer
use_buffers (gpointer data)
{
  guint8 mine = GPOINTER_TO_UINT (data);
  g_autoptr (GRand) rand = g_rand_new_with_seed (mine);
  GBytes *held[4] = { NULL };

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      guint at = i % G_N_ELEMENTS (held);
      gsize size = g_rand_int_range (rand, 1, 6 * MIB);

      if (held[at] != NULL)
        {
          gsize old_size;
          const guint8 *old = g_bytes_get_data (held[at], &old_size);

          g_assert_cmpuint (old[0], ==, mine);
          g_assert_cmpuint (old[old_size / 2], ==, mine);
          g_assert_cmpuint (old[old_size - 1], ==, mine);
        }
      g_clear_pointer (&held[at], g_bytes_unref);
      held[at] = make_bytes (size, mine);
    }
  for (guint i = 0; i < G_N_ELEMENTS (held); i++)
    g_bytes_unref (held[i]);

  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("buffers", use_buffers, GUINT_TO_POINTER (i + 1));
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  alarm (100);

  g_test_add_func ("/file-buffer/nothing-kept", test_nothing_kept);
  g_test_add_func ("/file-buffer/pages", test_pages);
  g_test_add_func ("/file-buffer/impossible", test_impossible);
  g_test_add_func ("/file-buffer/threads", test_threads);

  return g_test_run ();
}
