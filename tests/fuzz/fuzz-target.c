/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "fuzz-target.h"

#include <glib/gstdio.h>
#include <stdlib.h>

#ifdef HAVE_FUZZER

int LLVMFuzzerInitialize (int *argc, char ***argv);

static void
save_input (const guint8 *data, gsize size, gpointer corpus)
{
  static guint n;
  g_autofree char *name = g_strdup_printf ("first-%u", n++);
  g_autofree char *path = g_build_filename (corpus, name, NULL);

  g_assert (g_file_set_contents (path, (const char *) data, size, NULL));
}

/* The last argument is the folder of inputs. */
int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  char *corpus = (*argv)[*argc - 1];

  atexit (fuzz_clean_up);
  if (corpus[0] == '-' || g_mkdir_with_parents (corpus, 0700) != 0)
    return 0;

  fuzz_make_inputs (save_input, corpus);
  return 0;
}

#else

static void
try_input (const guint8 *data, gsize size, gpointer user_data)
{
  g_autofree guint8 *changed = g_memdup2 (data, size);

  LLVMFuzzerTestOneInput (data, size);
  for (guint i = 0; i < 20; i++)
    {
      changed[g_test_rand_int_range (0, size)] ^= 1 << g_test_rand_int_range (0, 8);
      LLVMFuzzerTestOneInput (changed, size);
    }
}

static void
test_inputs (void)
{
  fuzz_make_inputs (try_input, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  atexit (fuzz_clean_up);
  g_test_add_func ("/fuzz/" TARGET, test_inputs);

  return g_test_run ();
}

#endif
