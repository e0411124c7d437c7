/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The file backing, one thread, blocking: by itself, and under items of a pool.
 *
 * The floor is the system calls without which the bytes or the name would not get
 * where they belong, in a bare loop over folders that are open already: no hash, no
 * attribute, no mark of what is not synced. For what is read, it allocates
 * memory for each, as anyone must who hands it on, and has the time of access noted, as
 * anyone does who asks for nothing else. A second floor adds the attribute.
 *
 * Every round has a directory of its own. Nothing is synced in the timed parts. */

#include "benchmark.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define N_SHARDS 256

enum
{
  WRITE,
  PERSIST,
  REGISTER,
  LOAD,
  DELETE_PERSISTED,
  N_STEPS,
};

static const char *const step_names[N_STEPS] = { "write", "persist", "register", "load",
                                                 "delete_persisted" };

enum
{
  FLOOR,
  FLOOR_WITH_ATTRIBUTE,
  BACKING,
  ITEMS,
  N_COLUMNS,
};

static const char *const column_names[N_COLUMNS] = { "floor", "floor with an attribute",
                                                     "ours, the backing", "ours, items of a pool" };

/* Names as in our layout, made before the clock runs. */
typedef struct
{
  guint shard;
  char name[33];
} Name;

static Name *
make_names (char **keys, guint n_keys)
{
  Name *names = g_new0 (Name, n_keys);

  for (guint i = 0; i < n_keys; i++)
    {
      guint length = 0;

      for (const char *c = keys[i]; *c != '\0'; c++)
        if (*c != '-')
          names[i].name[length++] = *c;
      names[i].shard =
        (guint) (g_ascii_xdigit_value (keys[i][0]) * 16 + g_ascii_xdigit_value (keys[i][1]));
    }

  return names;
}

/* Folders like ours, open: those that the names are in. */
typedef struct
{
  char *path;
  int shards[N_SHARDS];
} Tree;

static void
tree_init (Tree *tree, const char *directory, const char *name, const Name *names, guint n_names)
{
  int fd;

  tree->path = g_build_filename (directory, name, NULL);
  if (mkdir (tree->path, 0700) != 0)
    g_error ("mkdir");
  fd = open (tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (guint i = 0; i < N_SHARDS; i++)
    tree->shards[i] = -1;
  for (guint i = 0; i < n_names; i++)
    {
      char shard[3];

      if (tree->shards[names[i].shard] >= 0)
        continue;
      g_snprintf (shard, sizeof shard, "%02x", names[i].shard);
      if (mkdirat (fd, shard, 0700) != 0)
        g_error ("mkdirat");
      tree->shards[names[i].shard] = openat (fd, shard, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
  close (fd);
}

static void
tree_clear (Tree *tree)
{
  for (guint i = 0; i < N_SHARDS; i++)
    if (tree->shards[i] >= 0)
      close (tree->shards[i]);
  g_free (tree->path);
}

static void
floor_write (Tree *tree, const Name *name, GBytes *bytes, gboolean attribute)
{
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);
  int fd = openat (tree->shards[name->shard], name->name,
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0 || write (fd, data, size) != (gssize) size ||
      (attribute && fsetxattr (fd, "user.benchmark", "12345678901234567890", 20, 0) != 0))
    g_error ("A file could not be written");
  close (fd);
}

static gpointer
floor_load (Tree *tree, const Name *name, gboolean attribute)
{
  int fd = openat (tree->shards[name->shard], name->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  struct stat status;
  char value[20];
  gpointer data;

  if (fd < 0 || fstat (fd, &status) != 0 ||
      (attribute && fgetxattr (fd, "user.benchmark", value, sizeof value) != sizeof value))
    g_error ("A file could not be opened");
  data = g_malloc (status.st_size);
  for (gssize at = 0; at < status.st_size;)
    {
      gssize filled = read (fd, (char *) data + at, status.st_size - at);

      if (filled <= 0)
        g_error ("A file could not be read");
      at += filled;
    }
  close (fd);
  return data;
}

static void
floor_link (Tree *from, Tree *to, const Name *name)
{
  if (linkat (from->shards[name->shard], name->name, to->shards[name->shard], name->name, 0) != 0)
    g_error ("A file could not be linked");
}

static void
floor_unlink (Tree *tree, const Name *name)
{
  if (unlinkat (tree->shards[name->shard], name->name, 0) != 0)
    g_error ("A file could not be removed");
}

static void
run_floor (const Name *names, guint n, GBytes *bytes, gboolean attribute, Timing *timings)
{
  g_autofree char *directory = benchmark_make_directory ();
  Tree scratch, path;

  tree_init (&scratch, directory, "scratch", names, n);
  tree_init (&path, directory, "path", names, n);

  timing_start (&timings[WRITE]);
  for (guint i = 0; i < n; i++)
    floor_write (&scratch, &names[i], bytes, attribute);
  timing_stop (&timings[WRITE], n);

  timing_start (&timings[PERSIST]);
  for (guint i = 0; i < n; i++)
    floor_link (&scratch, &path, &names[i]);
  timing_stop (&timings[PERSIST], n);

  for (guint i = 0; i < n; i++)
    floor_unlink (&scratch, &names[i]);

  timing_start (&timings[REGISTER]);
  for (guint i = 0; i < n; i++)
    floor_link (&path, &scratch, &names[i]);
  timing_stop (&timings[REGISTER], n);

  timing_start (&timings[LOAD]);
  for (guint i = 0; i < n; i++)
    g_free (floor_load (&scratch, &names[i], attribute));
  timing_stop (&timings[LOAD], n);

  timing_start (&timings[DELETE_PERSISTED]);
  for (guint i = 0; i < n; i++)
    floor_unlink (&path, &names[i]);
  timing_stop (&timings[DELETE_PERSISTED], n);

  tree_clear (&scratch);
  tree_clear (&path);
  benchmark_remove_directory (directory);
}

static void
check (gboolean success, GError *error)
{
  if (!success)
    g_error ("%s", error != NULL ? error->message : "A call failed");
}

/* One blob in each folder, as floors have their folders already. */
static void
warm_up (BenchmarkPlace *place, GBytes *bytes)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();

  check (bs_backing_sanitize_path (place->backing, place->path, found, NULL, NULL), NULL);
  for (guint i = 0; i < (benchmark_smoke ? 4 : N_SHARDS); i++)
    {
      g_autofree char *key = g_strdup_printf ("%02x000000-0000-4000-8000-000000000000", i);

      check (bs_backing_write (place->backing, key, bytes, NULL, NULL), NULL);
      check (bs_backing_persist (place->backing, place->path, key, NULL, NULL), NULL);
      check (bs_backing_delete_key (place->backing, key, NULL, NULL), NULL);
      check (bs_backing_delete_persisted (place->backing, place->path, key, NULL, NULL), NULL);
    }
}

static void
run_backing (char **keys, guint n, GBytes *bytes, Timing *timings)
{
  g_autoptr (GError) error = NULL;
  BenchmarkPlace place;

  benchmark_place_init (&place);
  warm_up (&place, bytes);

  timing_start (&timings[WRITE]);
  for (guint i = 0; i < n; i++)
    check (bs_backing_write (place.backing, keys[i], bytes, NULL, &error), error);
  timing_stop (&timings[WRITE], n);

  timing_start (&timings[PERSIST]);
  for (guint i = 0; i < n; i++)
    check (bs_backing_persist (place.backing, place.path, keys[i], NULL, &error), error);
  timing_stop (&timings[PERSIST], n);

  for (guint i = 0; i < n; i++)
    check (bs_backing_delete_key (place.backing, keys[i], NULL, &error), error);

  timing_start (&timings[REGISTER]);
  for (guint i = 0; i < n; i++)
    check (bs_backing_register_key (place.backing, place.path, keys[i], NULL, &error), error);
  timing_stop (&timings[REGISTER], n);

  timing_start (&timings[LOAD]);
  for (guint i = 0; i < n; i++)
    {
      GBytes *loaded = bs_backing_read (place.backing, keys[i], NULL, &error);

      check (loaded != NULL, error);
      g_bytes_unref (loaded);
    }
  timing_stop (&timings[LOAD], n);

  timing_start (&timings[DELETE_PERSISTED]);
  for (guint i = 0; i < n; i++)
    check (bs_backing_delete_persisted (place.backing, place.path, keys[i], NULL, &error), error);
  timing_stop (&timings[DELETE_PERSISTED], n);

  benchmark_place_clear (&place);
}

static void
wait_finished (BsBackingStore *store)
{
  bs_backing_store_wait_finished (store, NULL, NULL);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (store));
}

/* `drop` takes a sample of letting go of items until their scratch is gone. */
static void
run_items (guint n, GBytes *bytes, Timing *timings, Timing *drop)
{
  g_autoptr (GError) error = NULL;
  g_autofree BsItem **items = g_new (BsItem *, n);
  char **keys = g_new0 (char *, n + 1);
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsPool) pool = NULL;
  g_autoptr (BsTrackedPath) tracked = NULL;
  BenchmarkPlace place;

  benchmark_place_init (&place);
  warm_up (&place, bytes);
  store = bs_backing_store_new (place.backing);
  tracked = bs_backing_store_track_path (store, place.path, NULL, &error);
  check (tracked != NULL, error);
  pool = bs_pool_new (store, G_MAXINT64);
  for (guint i = 0; i < n; i++)
    {
      items[i] = bs_pool_insert (pool, bytes);
      keys[i] = bs_item_dup_key (items[i]);
    }

  timing_start (&timings[WRITE]);
  for (guint i = 0; i < n; i++)
    check (bs_item_write (items[i], NULL, &error), error);
  timing_stop (&timings[WRITE], n);

  timing_start (&timings[PERSIST]);
  for (guint i = 0; i < n; i++)
    check (bs_item_persist (items[i], tracked, NULL, &error), error);
  timing_stop (&timings[PERSIST], n);

  timing_start (drop);
  for (guint i = 0; i < n; i++)
    g_object_unref (items[i]);
  wait_finished (store);
  timing_stop (drop, n);

  /* From here on each load has another item leave. */
  bs_pool_set_max_bytes (pool, 16 * g_bytes_get_size (bytes));
  timing_start (&timings[REGISTER]);
  for (guint i = 0; i < n; i++)
    {
      items[i] = bs_pool_register (pool, tracked, keys[i], NULL, &error);
      check (items[i] != NULL, error);
    }
  timing_stop (&timings[REGISTER], n);

  timing_start (&timings[LOAD]);
  for (guint i = 0; i < n; i++)
    {
      GBytes *loaded = bs_item_load (items[i], NULL, &error);

      check (loaded != NULL, error);
      g_bytes_unref (loaded);
    }
  timing_stop (&timings[LOAD], n);

  timing_start (&timings[DELETE_PERSISTED]);
  for (guint i = 0; i < n; i++)
    check (bs_backing_store_delete_persisted (store, tracked, keys[i], NULL, &error), error);
  timing_stop (&timings[DELETE_PERSISTED], n);

  for (guint i = 0; i < n; i++)
    g_object_unref (items[i]);
  wait_finished (store);
  g_strfreev (keys);
  g_clear_object (&tracked);
  g_clear_object (&pool);
  bs_backing_store_close (store, NULL, NULL);
  benchmark_place_clear (&place);
}

/* The floor of a drop: its file removed. */
static void
run_drop_floor (const Name *names, guint n, GBytes *bytes, Timing *timing)
{
  g_autofree char *directory = benchmark_make_directory ();
  Tree scratch, path;

  tree_init (&scratch, directory, "scratch", names, n);
  tree_init (&path, directory, "path", names, n);
  for (guint i = 0; i < n; i++)
    floor_write (&scratch, &names[i], bytes, FALSE);
  for (guint i = 0; i < n; i++)
    floor_link (&scratch, &path, &names[i]);

  timing_start (timing);
  for (guint i = 0; i < n; i++)
    floor_unlink (&scratch, &names[i]);
  timing_stop (timing, n);

  tree_clear (&scratch);
  tree_clear (&path);
  benchmark_remove_directory (directory);
}

static GBytes *
make_bytes (gsize size)
{
  guint32 *data = g_malloc (size);

  for (gsize i = 0; i < size / 4; i++)
    data[i] = i * 2654435761u;
  return g_bytes_new_take (data, size);
}

static void
measure_small (guint n_keys)
{
  char **keys = benchmark_make_keys (n_keys);
  g_autofree Name *names = make_names (keys, n_keys);
  g_autoptr (GBytes) bytes = make_bytes (4096);
  Timing timings[N_COLUMNS][N_STEPS], drops[2];

  for (guint column = 0; column < N_COLUMNS; column++)
    for (guint step = 0; step < N_STEPS; step++)
      timing_init (&timings[column][step], column_names[column]);
  timing_init (&drops[0], "floor");
  timing_init (&drops[1], column_names[ITEMS]);

  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_floor (names, n_keys, bytes, FALSE, timings[FLOOR]);
      run_backing (keys, n_keys, bytes, timings[BACKING]);
      run_floor (names, n_keys, bytes, TRUE, timings[FLOOR_WITH_ATTRIBUTE]);
      run_drop_floor (names, n_keys, bytes, &drops[0]);
      run_items (n_keys, bytes, timings[ITEMS], &drops[1]);
    }

  for (guint step = 0; step < N_STEPS; step++)
    {
      g_print ("%s, 4 KiB, %u keys, for each\n", step_names[step], n_keys);
      for (guint column = 0; column < N_COLUMNS; column++)
        timing_print (&timings[column][step], column != FLOOR ? &timings[FLOOR][step] : NULL, 1000,
                      "us");
    }
  g_print ("drop, until the scratch file is gone, %u keys, for each\n", n_keys);
  timing_print (&drops[0], NULL, 1000, "us");
  timing_print (&drops[1], &drops[0], 1000, "us");

  for (guint column = 0; column < N_COLUMNS; column++)
    for (guint step = 0; step < N_STEPS; step++)
      timing_clear (&timings[column][step]);
  timing_clear (&drops[0]);
  timing_clear (&drops[1]);
  g_strfreev (keys);
}

enum
{
  LARGE_WRITE,
  LARGE_LOAD,      /* dropped before the next: malloc() has that memory still */
  LARGE_LOAD_HELD, /* all held until the last is there: memory is new */
  N_LARGE_STEPS,
};

static const char *const large_names[N_LARGE_STEPS] = { "write", "load and drop",
                                                        "load, all held" };

static void
run_large_floor (const Name *names, guint n, GBytes *bytes, Timing *timings)
{
  g_autofree char *directory = benchmark_make_directory ();
  g_autofree gpointer *held = g_new (gpointer, n);
  Tree tree;

  tree_init (&tree, directory, "scratch", names, n);
  timing_start (&timings[LARGE_WRITE]);
  for (guint i = 0; i < n; i++)
    floor_write (&tree, &names[i], bytes, FALSE);
  timing_stop (&timings[LARGE_WRITE], n);

  timing_start (&timings[LARGE_LOAD]);
  for (guint i = 0; i < n; i++)
    g_free (floor_load (&tree, &names[i], FALSE));
  timing_stop (&timings[LARGE_LOAD], n);

  timing_start (&timings[LARGE_LOAD_HELD]);
  for (guint i = 0; i < n; i++)
    held[i] = floor_load (&tree, &names[i], FALSE);
  for (guint i = 0; i < n; i++)
    g_free (held[i]);
  timing_stop (&timings[LARGE_LOAD_HELD], n);

  tree_clear (&tree);
  benchmark_remove_directory (directory);
}

static void
run_large (char **keys, guint n, GBytes *bytes, Timing *timings)
{
  g_autofree GBytes **held = g_new (GBytes *, n);
  BenchmarkPlace place;

  benchmark_place_init (&place);
  timing_start (&timings[LARGE_WRITE]);
  for (guint i = 0; i < n; i++)
    check (bs_backing_write (place.backing, keys[i], bytes, NULL, NULL), NULL);
  timing_stop (&timings[LARGE_WRITE], n);

  timing_start (&timings[LARGE_LOAD]);
  for (guint i = 0; i < n; i++)
    {
      GBytes *loaded = bs_backing_read (place.backing, keys[i], NULL, NULL);

      check (loaded != NULL, NULL);
      g_bytes_unref (loaded);
    }
  timing_stop (&timings[LARGE_LOAD], n);

  timing_start (&timings[LARGE_LOAD_HELD]);
  for (guint i = 0; i < n; i++)
    {
      held[i] = bs_backing_read (place.backing, keys[i], NULL, NULL);
      check (held[i] != NULL, NULL);
    }
  for (guint i = 0; i < n; i++)
    g_bytes_unref (held[i]);
  timing_stop (&timings[LARGE_LOAD_HELD], n);

  benchmark_place_clear (&place);
}

static void
measure_large (gsize size, guint n_keys)
{
  char **keys = benchmark_make_keys (n_keys);
  g_autofree Name *names = make_names (keys, n_keys);
  g_autoptr (GBytes) bytes = make_bytes (size);
  Timing floors[N_LARGE_STEPS], ours[N_LARGE_STEPS];

  for (guint i = 0; i < N_LARGE_STEPS; i++)
    {
      timing_init (&floors[i], "floor");
      timing_init (&ours[i], column_names[BACKING]);
    }

  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_large_floor (names, n_keys, bytes, floors);
      run_large (keys, n_keys, bytes, ours);
    }

  for (guint i = 0; i < N_LARGE_STEPS; i++)
    {
      g_print ("%s, %" G_GSIZE_FORMAT " KiB, %u keys, for each\n", large_names[i], size / 1024,
               n_keys);
      timing_print (&floors[i], NULL, 1000, "us");
      timing_print (&ours[i], &floors[i], 1000, "us");
      timing_clear (&floors[i]);
      timing_clear (&ours[i]);
    }
  g_strfreev (keys);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "The file backing: rows 1, 1b and 2");
  measure_small (benchmark_smoke ? 20 : 20000);
  measure_large (benchmark_smoke ? 100 * 1024 : 1024 * 1024, benchmark_smoke ? 3 : 64);
  measure_large (benchmark_smoke ? 1024 * 1024 : 64 * 1024 * 1024, benchmark_smoke ? 2 : 4);
  return 0;
}
