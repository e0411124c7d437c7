/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A manifest: opening it from bytes, looking for names in random order, its memory, and
 * its bytes. Names stand in the order in which they are looked for, as a caller has them at
 * hand.
 *
 * The floor is a GHashTable from the same names to keys, as an application would have it:
 * filled, and looked up. A lookup makes an object, and the floor of that is a find and a bare
 * object of the type with a weak reference. Memory is resident size: with the bytes that the
 * manifest was opened from, without the names. */

#include "benchmark.h"

#include <malloc.h>
#include <string.h>

static gsize name_bytes;

static gsize
get_resident (void)
{
  g_autofree char *status = NULL;
  const char *line;

  /* Memory that was given back to malloc earlier is no affair of the manifest. */
  malloc_trim (0);
  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL))
    return 0;
  line = strstr (status, "VmRSS:");

  return line != NULL ? g_ascii_strtoull (line + strlen ("VmRSS:"), NULL, 10) * 1024 : 0;
}

/* All names in one block, so that looking for them costs no more than it must. */
static char **
make_names (guint n_names, const guint *order)
{
  char **names = g_new (char *, n_names);
  char *at = g_malloc (n_names * 24);

  name_bytes = 0;
  for (guint i = 0; i < n_names; i++)
    {
      names[i] = at;
      at += g_snprintf (at, 24, "page %u of some", order[i]) + 1;
      name_bytes += strlen (names[i]);
    }

  return names;
}

static void
free_names (char **names)
{
  g_free (names[0]);
  g_free (names);
}

static GBytes *
make_manifest (guint n_names, char **names, char **keys)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();

  for (guint i = 0; i < n_names; i++)
    if (!bs_manifest_add (manifest, names[i], keys[i], NULL, NULL))
      g_error ("Adding failed");

  return bs_manifest_to_bytes (manifest);
}

static void
fill_table (GHashTable *table, guint n_names, char **names, char **keys)
{
  for (guint i = 0; i < n_names; i++)
    g_hash_table_insert (table, g_strdup (names[i]), keys[i]);
}

typedef enum
{
  FLOOR,
  FIND,
  FIND_POSITION,
  FIND_OBJECT,
  LOOKUP,
  LOOKUP_ALIVE,
  N_KINDS,
} Kind;

/* An object of no manifest, with what it takes to be found as long as it lives. */
static void
make_object (void)
{
  g_autoptr (GObject) object = g_object_new (BS_TYPE_MANIFEST_ENTRY, NULL);
  GWeakRef reference;

  g_weak_ref_init (&reference, object);
  g_clear_object (&object);
  g_weak_ref_clear (&reference);
}

static void
look_for_all (Kind kind, GHashTable *table, BsManifest *manifest, guint n_names, char **names)
{
  for (guint i = 0; i < n_names; i++)
    {
      gpointer found;
      guint position;

      switch (kind)
        {
        case FLOOR:
          found = g_hash_table_lookup (table, names[i]);
          break;
        case FIND:
          found = GINT_TO_POINTER (bs_manifest_find (manifest, names[i], NULL));
          break;
        case FIND_POSITION:
          found = GINT_TO_POINTER (bs_manifest_find (manifest, names[i], &position));
          break;
        case FIND_OBJECT:
          found = GINT_TO_POINTER (bs_manifest_find (manifest, names[i], NULL));
          make_object ();
          break;
        default:
          found = bs_manifest_lookup (manifest, names[i]);
          g_object_unref (found);
          break;
        }
      if (found == NULL)
        g_error ("%s is missing", names[i]);
    }
}

static void
print_timing (Timing *timing,
              Timing *floor,
              const char *heading,
              guint n,
              double divisor,
              const char *unit)
{
  g_print ("%s, %u names\n", heading, n);
  if (floor != NULL)
    timing_print (floor, NULL, divisor, unit);
  timing_print (timing, floor, divisor, unit);
}

static void
measure_looking (guint n_names, char **names, char **keys, BsManifest *manifest)
{
  static const char *titles[N_KINDS] = { "a GHashTable",
                                         "ours, find",
                                         "ours, find its position",
                                         "floor, find and a bare object",
                                         "ours, lookup",
                                         "ours, lookup, the entry alive" };
  g_autoptr (GHashTable) table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  gpointer *alive = g_new (gpointer, n_names);
  Timing timings[N_KINDS];
  Timing *floors[N_KINDS] = {
    NULL, &timings[FLOOR], &timings[FLOOR], NULL, &timings[FIND_OBJECT], &timings[FIND_OBJECT],
  };

  fill_table (table, n_names, names, keys);
  for (Kind kind = 0; kind < N_KINDS; kind++)
    timing_init (&timings[kind], titles[kind]);
  for (guint round = 0; round < benchmark_rounds; round++)
    for (Kind kind = 0; kind < N_KINDS; kind++)
      {
        if (kind == LOOKUP_ALIVE)
          for (guint i = 0; i < n_names; i++)
            alive[i] = g_list_model_get_item (G_LIST_MODEL (manifest), i);
        timing_start (&timings[kind]);
        look_for_all (kind, table, manifest, n_names, names);
        timing_stop (&timings[kind], n_names);
        if (kind == LOOKUP_ALIVE)
          for (guint i = 0; i < n_names; i++)
            g_object_unref (alive[i]);
      }

  g_print ("looking for a name, %u names\n", n_names);
  for (Kind kind = 0; kind < N_KINDS; kind++)
    timing_print (&timings[kind], floors[kind], 1, "ns");
  for (Kind kind = 0; kind < N_KINDS; kind++)
    timing_clear (&timings[kind]);
  g_free (alive);
}

static void
measure_opening (guint n_names, char **names, char **keys, GBytes *bytes)
{
  Timing floor, ours, writing;

  timing_init (&floor, "a GHashTable, filled");
  timing_init (&ours, "ours");
  timing_init (&writing, "ours");
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      GHashTable *table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
      BsManifest *manifest;
      GBytes *again;

      timing_start (&floor);
      fill_table (table, n_names, names, keys);
      timing_stop (&floor, 1);
      g_hash_table_unref (table);

      timing_start (&ours);
      manifest = bs_manifest_new_from_bytes (bytes, NULL);
      timing_stop (&ours, 1);

      timing_start (&writing);
      again = bs_manifest_to_bytes (manifest);
      timing_stop (&writing, 1);
      g_bytes_unref (again);
      g_object_unref (manifest);
    }

  print_timing (&ours, &floor, "opening", n_names, 1e6, "ms");
  print_timing (&writing, NULL, "to bytes", n_names, 1e6, "ms");
  timing_clear (&floor);
  timing_clear (&ours);
  timing_clear (&writing);
}

static void
measure_memory (guint n_names, GBytes *bytes)
{
  gsize size = g_bytes_get_size (bytes);
  g_autoptr (GBytes) copy = NULL;
  g_autoptr (BsManifest) manifest = NULL;
  gsize before = get_resident ();
  Series series;

  copy = g_bytes_new (g_bytes_get_data (bytes, NULL), size);
  manifest = bs_manifest_new_from_bytes (copy, NULL);
  series_init (&series, "an entry, without its name");
  series_add (&series, ((double) get_resident () - before - name_bytes) / n_names);
  g_print ("memory of a manifest, %u names\n", n_names);
  series_print (&series, NULL, "bytes");
  series_clear (&series);
}

static void
measure (guint n_names)
{
  guint *order = benchmark_make_order (n_names, FALSE);
  char **names = make_names (n_names, order);
  char **keys = benchmark_make_keys (n_names);
  guint *other_order = benchmark_make_order (n_names, TRUE);
  char **shuffled = make_names (n_names, other_order);
  g_autoptr (GBytes) bytes = make_manifest (n_names, names, keys);
  g_autoptr (BsManifest) manifest = NULL;

  measure_memory (n_names, bytes);
  measure_opening (n_names, names, keys, bytes);
  manifest = bs_manifest_new_from_bytes (bytes, NULL);
  measure_looking (n_names, shuffled, keys, manifest);

  g_strfreev (keys);
  free_names (names);
  free_names (shuffled);
  g_free (order);
  g_free (other_order);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "A manifest of many names: row 24");
  benchmark_each_size (measure, 1000000, 200);
  return 0;
}
