/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Saves: of many new blobs of 4 KiB, and of one that changed among many.
 *
 * The floor makes the same files by the same system calls in one loop: for each
 * new blob a scratch file with the attributes that ours has, and a hard link; then
 * one sync of the file system, or of the one file and its folder; the root blob
 * written beside the old one, synced, renamed and its folder synced; the old blob
 * unlinked. Each round has fresh directories.
 *
 * A second floor, for the one that changed, also makes the calls of what is promised: a
 * mark that is durable before the blob has its name, looks at name, lock and marker and at
 * each folder, a sync of the folder that the last save has deleted from, an attribute of
 * the root, and a second name of the old root until the new one is durable.
 *
 * The manager alone is a save of keys that are all there, on a backing that does
 * nothing. */

#include "benchmark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOB_SIZE 4096
#define ROOT_SIZE 4096
#define N_CHANGES 5 /* saves of one changed blob in each round */
#define N_FOLDERS 256
#define LOCK ".lock"
#define MARK ".dirty"

static guint n_keys = 10000;

static void
check (gboolean success, const char *what)
{
  if (!success)
    g_error ("%s: %s", what, g_strerror (errno));
}

/* The attribute of our files: the floor's carry the same. */
typedef struct
{
  char names[1024];
  gssize names_size;
  char values[8][256];
  gssize value_sizes[8];
} Attributes;

static void
read_attributes (Attributes *attributes, const char *path)
{
  guint i = 0;

  attributes->names_size = listxattr (path, attributes->names, sizeof attributes->names);
  for (char *name = attributes->names;
       name < attributes->names + MAX (attributes->names_size, 0) && i < 8;
       name += strlen (name) + 1, i++)
    attributes->value_sizes[i] =
      getxattr (path, name, attributes->values[i], sizeof attributes->values[i]);
}

static void
write_attributes (const Attributes *attributes, int fd)
{
  guint i = 0;

  for (const char *name = attributes->names;
       name < attributes->names + MAX (attributes->names_size, 0) && i < 8;
       name += strlen (name) + 1, i++)
    if (g_str_has_prefix (name, "user."))
      check (fsetxattr (fd, name, attributes->values[i], attributes->value_sizes[i], 0) == 0,
             "setting an attribute");
}

typedef struct
{
  char *path; /* owned; removed with it */
  char *scratch;
  char *document;
} Place;

static void
place_init (Place *place)
{
  place->path = benchmark_make_directory ();
  place->scratch = g_build_filename (place->path, "scratch", NULL);
  place->document = g_build_filename (place->path, "document", NULL);
}

/* A round writes its own leftovers, so that the next figure is without them. */
static void
settle (Place *place)
{
  int fd = open (place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  check (fd >= 0 && syncfs (fd) == 0, "syncing");
  close (fd);
}

static void
place_clear (Place *place)
{
  benchmark_remove_directory (place->path);
  g_free (place->path);
  g_free (place->scratch);
  g_free (place->document);
}

/* Bare C. */
typedef struct
{
  const char *path; /* of the document */
  int scratch;
  int document;
  char **names; /* owned; 32 digits each */
  char *content;
  const Attributes *attributes;

  gboolean keeps_promises;
  int lock;
  int folders[N_FOLDERS];
  const char *last_deleted; /* a name; nullable */
} Bare;

static void
bare_open (Bare *bare,
           Place *place,
           const Attributes *attributes,
           const char *content,
           guint n_names)
{
  mkdir (place->scratch, 0700);
  mkdir (place->document, 0700);
  bare->path = place->document;
  bare->scratch = open (place->scratch, O_RDONLY | O_DIRECTORY);
  bare->document = open (place->document, O_RDONLY | O_DIRECTORY);
  bare->attributes = attributes;
  bare->content = g_strndup (content, BLOB_SIZE);
  bare->names = benchmark_make_keys (n_names);
  for (guint i = 0; i < n_names; i++)
    {
      g_auto (GStrv) parts = g_strsplit (bare->names[i], "-", -1);

      g_free (bare->names[i]);
      bare->names[i] = g_strjoinv ("", parts);
    }
}

static void
bare_close (Bare *bare)
{
  close (bare->scratch);
  close (bare->document);
  g_strfreev (bare->names);
  g_free (bare->content);
}

static void
bare_print_path (char path[40], const char *name)
{
  path[0] = name[0];
  path[1] = name[1];
  path[2] = '/';
  strcpy (path + 3, name);
}

static void
make_folder (int fd, const char *name)
{
  char folder[3] = { name[0], name[1], 0 };

  check (mkdirat (fd, folder, 0700) == 0 || errno == EEXIST, "making a folder");
}

static void
bare_begin_promises (Bare *bare)
{
  bare->keeps_promises = TRUE;
  bare->last_deleted = NULL;
  bare->lock = openat (bare->document, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  check (bare->lock >= 0 && write (bare->lock, bare->names[0], 32) == 32, "making the lock");
  for (guint i = 0; i < N_FOLDERS; i++)
    {
      g_autofree char *folder = g_strdup_printf ("%02x", i);

      bare->folders[i] = openat (bare->document, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
}

static void
bare_end_promises (Bare *bare)
{
  for (guint i = 0; i < N_FOLDERS; i++)
    close (bare->folders[i]);
  close (bare->lock);
}

/* At name and lock. */
static void
bare_look (Bare *bare)
{
  struct stat status;
  char text[512];
  int fd;

  check (fstatat (AT_FDCWD, bare->path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat (bare->document, LOCK, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstat (bare->lock, &status) == 0,
         "looking at the lock");
  fd = openat (bare->document, LOCK, O_RDONLY | O_CLOEXEC);
  check (pread (fd, text, sizeof text, 0) > 0, "reading the lock");
  close (fd);
}

static void
bare_list (Bare *bare, const char *name)
{
  char folder[3] = { name[0], name[1], 0 };
  char entries[32768];
  int fd = openat (bare->document, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  while (syscall (SYS_getdents64, fd, entries, sizeof entries) > 0)
    ;
  close (fd);
}

/* For blobs that another program has removed. */
static void
bare_look_for_removals (Bare *bare)
{
  struct stat status;
  struct statfs file_system;

  bare_look (bare);
  check (fstatfs (bare->document, &file_system) == 0, "looking at the file system");
  for (guint i = 0; i < N_FOLDERS; i++)
    if (bare->folders[i] >= 0)
      fstat (bare->folders[i], &status);
  if (bare->last_deleted != NULL)
    bare_list (bare, bare->last_deleted);
}

static void
bare_mark (Bare *bare)
{
  int fd = openat (bare->document, MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  check (fd >= 0, "making the mark");
  close (fd);
  check (fsync (bare->document) == 0, "syncing the mark");
}

static void
bare_persist (Bare *bare, const char *name)
{
  char path[40];
  int fd;

  bare_print_path (path, name);
  fd = openat (bare->scratch, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == ENOENT)
    {
      make_folder (bare->scratch, name);
      fd = openat (bare->scratch, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
  check (fd >= 0, "making a file");
  check (write (fd, bare->content, BLOB_SIZE) == BLOB_SIZE, "writing");
  write_attributes (bare->attributes, fd);
  close (fd);
  if (bare->keeps_promises)
    bare_mark (bare);
  if (linkat (bare->scratch, path, bare->document, path, 0) != 0)
    {
      make_folder (bare->document, name);
      check (linkat (bare->scratch, path, bare->document, path, 0) == 0, "linking");
    }
}

static void
bare_sync_folder (Bare *bare, const char *name)
{
  char folder[3] = { name[0], name[1], 0 };
  int fd = openat (bare->document, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  check (fsync (fd) == 0, "syncing a folder");
  close (fd);
}

static void
bare_sync_one (Bare *bare, const char *name)
{
  char path[40];
  int fd;

  bare_print_path (path, name);
  fd = openat (bare->document, path, O_RDONLY | O_CLOEXEC);
  check (fsync (fd) == 0, "syncing a file");
  close (fd);
  bare_sync_folder (bare, name);
}

static void
bare_write_root (Bare *bare)
{
  int fd = openat (bare->document, "root.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  check (fd >= 0, "making the root");
  check (write (fd, bare->content, ROOT_SIZE) == ROOT_SIZE, "writing the root");
  if (bare->keeps_promises)
    write_attributes (bare->attributes, fd);
  check (fsync (fd) == 0, "syncing the root");
  close (fd);
  if (bare->keeps_promises)
    check (linkat (bare->document, "root", bare->document, "root.old", 0) == 0, "linking the root");
  check (renameat (bare->document, "root.new", bare->document, "root") == 0, "renaming the root");
  check (fsync (bare->document) == 0, "syncing the folder");
  if (bare->keeps_promises)
    check (unlinkat (bare->document, "root.old", 0) == 0, "unlinking the old root");
}

static void
bare_save_all (Bare *bare)
{
  for (guint i = 0; i < n_keys; i++)
    bare_persist (bare, bare->names[i]);
  check (syncfs (bare->document) == 0, "syncing");
  bare_write_root (bare);
}

static void
bare_save_one (Bare *bare, guint change)
{
  char path[40];

  bare_persist (bare, bare->names[n_keys + change]);
  bare_sync_one (bare, bare->names[n_keys + change]);
  bare_write_root (bare);
  bare_print_path (path, bare->names[change]);
  check (unlinkat (bare->document, path, 0) == 0, "unlinking");
}

static void
bare_save_one_keeping (Bare *bare, guint change)
{
  char path[40];

  bare_look_for_removals (bare);
  bare_persist (bare, bare->names[n_keys + change]);
  bare_look (bare);
  bare_sync_one (bare, bare->names[n_keys + change]);
  if (bare->last_deleted != NULL)
    bare_sync_folder (bare, bare->last_deleted);
  check (unlinkat (bare->document, MARK, 0) == 0, "unlinking the mark");
  bare_look (bare);
  bare_write_root (bare);
  bare_print_path (path, bare->names[change]);
  check (unlinkat (bare->document, path, 0) == 0, "unlinking");
  bare->last_deleted = bare->names[change];
}

static void
run_floor (const Attributes *attributes,
           const char *content,
           Timing *all,
           Timing *one,
           Timing *keeping)
{
  Place place;
  Bare bare = { 0 };

  place_init (&place);
  bare_open (&bare, &place, attributes, content, n_keys + 2 * N_CHANGES);
  timing_start (all);
  bare_save_all (&bare);
  timing_stop (all, 1);
  settle (&place);
  for (guint i = 0; i < N_CHANGES; i++)
    {
      timing_start (one);
      bare_save_one (&bare, i);
      timing_stop (one, 1);
    }

  bare_begin_promises (&bare);
  for (guint i = N_CHANGES; i < 2 * N_CHANGES; i++)
    {
      timing_start (keeping);
      bare_save_one_keeping (&bare, i);
      timing_stop (keeping, 1);
    }
  bare_end_promises (&bare);
  bare_close (&bare);
  place_clear (&place);
}

/* Ours. */
typedef struct
{
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  BsItem **items; /* N_CHANGES more than there are keys */
  GBytes *root;
} Ours;

static GBytes *
make_blob (const char *content)
{
  return g_bytes_new (content, BLOB_SIZE);
}

static void
ours_open (Ours *ours, Place *place, const char *content)
{
  g_autoptr (GFile) scratch = g_file_new_for_path (place->scratch);
  g_autoptr (GFile) document = g_file_new_for_path (place->document);
  g_autoptr (BsFileBacking) backing = bs_file_backing_new (scratch);
  g_autoptr (GError) error = NULL;

  ours->store = bs_backing_store_new (BS_BACKING (backing));
  ours->pool = bs_pool_new (ours->store, G_MAXINT64);
  ours->tracked = bs_backing_store_track_path (ours->store, document, NULL, &error);
  g_assert_no_error (error);
  ours->root = make_blob (content);
  ours->items = g_new0 (BsItem *, n_keys + N_CHANGES);
  for (guint i = 0; i < n_keys + N_CHANGES; i++)
    {
      g_autoptr (GBytes) bytes = make_blob (content);

      ours->items[i] = bs_pool_insert (ours->pool, bytes);
    }
}

static void
ours_close (Ours *ours)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n_keys + N_CHANGES; i++)
    g_object_unref (ours->items[i]);
  g_free (ours->items);
  g_bytes_unref (ours->root);
  g_object_unref (ours->pool);
  g_object_unref (ours->tracked);
  bs_backing_store_close (ours->store, NULL, &error);
  g_assert_no_error (error);
  g_object_unref (ours->store);
}

static void
saved_cb (GObject *object, GAsyncResult *result, gpointer loop)
{
  g_autoptr (GError) error = NULL;

  bs_save_run_finish (BS_SAVE (object), result, &error);
  g_assert_no_error (error);
  g_main_loop_quit (loop);
}

typedef enum
{
  BLOCKING,
  BLOCKING_PARALLEL,
  ASYNCHRONOUS,
  N_KINDS,
} Kind;

/* From the first word about it. */
static void
ours_save (Ours *ours, guint first, Kind kind, Timing *timing)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (BsSave) save = NULL;
  g_autoptr (GError) error = NULL;

  timing_start (timing);
  save = bs_save_new (ours->store, ours->tracked);
  for (guint i = 0; i < n_keys; i++)
    bs_save_add_item (save, ours->items[first + i]);
  bs_save_set_root (save, ours->root);
  if (kind == BLOCKING)
    bs_save_set_max_parallel (save, 1);
  if (kind == ASYNCHRONOUS)
    {
      bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, saved_cb, loop);
      g_main_loop_run (loop);
    }
  else
    {
      bs_save_run (save, NULL, &error);
      g_assert_no_error (error);
    }

  timing_stop (timing, 1);
}

static void
run_ours (const char *content, Kind kind, Timing *all, Timing *one, Attributes *attributes)
{
  g_autofree char *key = NULL;
  g_autofree char *path = NULL;
  g_auto (GStrv) parts = NULL;
  g_autofree char *name = NULL;
  Place place;
  Ours ours;

  place_init (&place);
  ours_open (&ours, &place, content);
  ours_save (&ours, 0, kind, all);
  settle (&place);
  for (guint i = 1; i <= N_CHANGES; i++)
    ours_save (&ours, i, kind, one);

  key = bs_item_dup_key (ours.items[n_keys]);
  parts = g_strsplit (key, "-", -1);
  name = g_strjoinv ("", parts);
  path = g_strdup_printf ("%s/%.2s/%s", place.document, name, name);
  read_attributes (attributes, path);
  ours_close (&ours);
  place_clear (&place);
}

static void
measure_files (void)
{
  static const char *names[2][N_KINDS] = {
    { "ours, blocking, max-parallel 1", "ours, blocking", "ours, asynchronous" },
    { "ours, blocking, max-parallel 1", "ours, blocking", "ours, asynchronous" },
  };
  g_autofree char *content = g_malloc (BLOB_SIZE);
  Attributes attributes = { { 0 } };
  Timing ours[2][N_KINDS], floors[2], keeping, unused;

  memset (content, 'x', BLOB_SIZE);
  timing_init (&unused, "unused");
  timing_init (&keeping, "floor, with what is promised");
  for (guint i = 0; i < 2; i++)
    {
      timing_init (&floors[i], "floor, bare C");
      for (guint kind = 0; kind < N_KINDS; kind++)
        timing_init (&ours[i][kind], names[i][kind]);
    }

  run_ours (content, BLOCKING, &unused, &unused, &attributes);
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_floor (&attributes, content, &floors[0], &floors[1], &keeping);
      for (guint kind = 0; kind < N_KINDS; kind++)
        run_ours (content, kind, &ours[0][kind], &ours[1][kind], &attributes);
    }

  for (guint i = 0; i < 2; i++)
    {
      g_print (i == 0 ? "a save of %u new blobs of %u bytes\n"
                      : "a save of one changed among %u blobs of %u bytes\n",
               n_keys, BLOB_SIZE);
      timing_print (&floors[i], NULL, 1000000, "ms");
      if (i == 1)
        timing_print (&keeping, &floors[i], 1000000, "ms");
      for (guint kind = 0; kind < N_KINDS; kind++)
        {
          timing_print (&ours[i][kind], &floors[i], 1000000, "ms");
          timing_clear (&ours[i][kind]);
        }
      timing_clear (&floors[i]);
    }
  timing_clear (&keeping);
  timing_clear (&unused);
}

static void
measure_manager (guint n)
{
  g_auto (GStrv) keys = benchmark_make_keys (n);
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BULK_BACKING, keys, n);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsTrackedPath) tracked = benchmark_track (store);
  g_autoptr (BsPool) pool = bs_pool_new (store, G_MAXINT64);
  g_autoptr (GListModel) model = bs_pool_register_all (pool, tracked, NULL, NULL);
  g_autofree BsItem **items = g_new (BsItem *, n);
  Series kept, added, told;

  series_init (&told, "telling it the items");
  series_init (&added, "running it with items that are there");
  series_init (&kept, "running it with keys that are there");
  for (guint i = 0; i < n; i++)
    items[i] = g_list_model_get_item (model, i);

  for (guint round = 0; round < benchmark_rounds; round++)
    {
      g_autoptr (BsSave) with_items = bs_save_new (store, tracked);
      g_autoptr (BsSave) with_keys = bs_save_new (store, tracked);
      gint64 start = benchmark_now ();

      for (guint i = 0; i < n; i++)
        bs_save_add_item (with_items, items[i]);
      series_add (&told, (benchmark_now () - start) / (double) n);
      start = benchmark_now ();
      if (!bs_save_run (with_items, NULL, NULL))
        g_error ("Saving failed");
      series_add (&added, (benchmark_now () - start) / (double) n);

      for (guint i = 0; i < n; i++)
        bs_save_keep_key (with_keys, keys[i]);
      start = benchmark_now ();
      if (!bs_save_run (with_keys, NULL, NULL))
        g_error ("Saving failed");
      series_add (&kept, (benchmark_now () - start) / (double) n);
    }

  g_print ("the manager alone, %u keys\n", n);
  series_print (&told, NULL, "ns a key");
  series_print (&added, NULL, "ns a key");
  series_print (&kept, NULL, "ns a key");
  series_clear (&told);
  series_clear (&added);
  series_clear (&kept);
  for (guint i = 0; i < n; i++)
    g_object_unref (items[i]);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "Saves: row 13");
  if (benchmark_smoke)
    n_keys = 20;

  benchmark_each_size (measure_manager, 10000, 50);
  measure_files ();
  return 0;
}
