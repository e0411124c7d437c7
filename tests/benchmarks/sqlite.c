/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A document in one database: durable insertion in batches, random reading and deletion,
 * beside SQLite doing the same in a loop and beside the file backing; then how much is
 * written and kept for many small blobs, and how long it takes to open them. */

#include "benchmark.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH 1024
#define N_COLUMNS 3

typedef enum
{
  PLAIN,
  SQLITE,
  FILES,
} Engine;

static const char *const names[N_COLUMNS] = { "plain SQLite", "sqlite:", "file:" };

typedef struct
{
  Timing insert;
  Timing read;
  Timing remove;
} Column;

typedef struct
{
  guint n_blobs;
  GBytes **blobs;
  char **keys;
  guint *order;
} Work;

static void
check (gboolean success, GError *error)
{
  if (!success)
    g_error ("A call failed: %s", error != NULL ? error->message : "");
}

static void
work_init (Work *self, guint n_blobs, gsize smallest, gsize largest)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);

  self->n_blobs = n_blobs;
  self->blobs = g_new (GBytes *, n_blobs);
  self->keys = g_new0 (char *, n_blobs + 1);
  self->order = g_new (guint, n_blobs);
  for (guint i = 0; i < n_blobs; i++)
    {
      gsize size = g_rand_int_range (rand, smallest, largest + 1);
      char *data = g_malloc (size);
      guint other = g_rand_int_range (rand, 0, i + 1);

      memset (data, i, size);
      self->blobs[i] = g_bytes_new_take (data, size);
      self->keys[i] = bs_key_generate ();
      self->order[i] = self->order[other];
      self->order[other] = i;
    }
}

static void
work_clear (Work *self)
{
  for (guint i = 0; i < self->n_blobs; i++)
    g_bytes_unref (self->blobs[i]);
  g_strfreev (self->keys);
  g_free (self->blobs);
  g_free (self->order);
}

static guint64
get_n_bytes (const Work *work)
{
  guint64 n_bytes = 0;

  for (guint i = 0; i < work->n_blobs; i++)
    n_bytes += g_bytes_get_size (work->blobs[i]);
  return n_bytes;
}

static void
exec (sqlite3 *database, const char *sql)
{
  if (sqlite3_exec (database, sql, NULL, NULL, NULL) != SQLITE_OK)
    g_error ("%s: %s", sql, sqlite3_errmsg (database));
}

static sqlite3_stmt *
prepare (sqlite3 *database, const char *sql)
{
  sqlite3_stmt *statement;

  if (sqlite3_prepare_v2 (database, sql, -1, &statement, NULL) != SQLITE_OK)
    g_error ("%s: %s", sql, sqlite3_errmsg (database));
  return statement;
}

static void
run_plain (const Work *work, Column *column)
{
  g_autofree char *directory = benchmark_make_directory ();
  g_autofree char *path = g_build_filename (directory, "database", NULL);
  sqlite3_stmt *insert, *read, *remove;
  sqlite3 *database;

  check (sqlite3_open (path, &database) == SQLITE_OK, NULL);
  exec (database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                  "CREATE TABLE blob(id INTEGER PRIMARY KEY, key BLOB, content BLOB)");
  insert = prepare (database, "INSERT INTO blob VALUES(?1, ?2, ?3)");
  read = prepare (database, "SELECT content FROM blob WHERE id = ?1");
  remove = prepare (database, "DELETE FROM blob WHERE id = ?1");

  timing_start (&column->insert);
  for (guint i = 0; i < work->n_blobs; i++)
    {
      gsize size;
      const void *data = g_bytes_get_data (work->blobs[i], &size);

      if (i % BATCH == 0)
        exec (database, "BEGIN");
      sqlite3_bind_int64 (insert, 1, i + 1);
      sqlite3_bind_blob (insert, 2, work->keys[i], 16, SQLITE_STATIC);
      sqlite3_bind_blob (insert, 3, data, size, SQLITE_STATIC);
      check (sqlite3_step (insert) == SQLITE_DONE, NULL);
      sqlite3_reset (insert);
      if (i % BATCH == BATCH - 1 || i == work->n_blobs - 1)
        exec (database, "COMMIT");
    }
  timing_stop (&column->insert, work->n_blobs);

  timing_start (&column->read);
  for (guint i = 0; i < work->n_blobs; i++)
    {
      sqlite3_bind_int64 (read, 1, work->order[i] + 1);
      check (sqlite3_step (read) == SQLITE_ROW, NULL);
      g_bytes_unref (g_bytes_new (sqlite3_column_blob (read, 0), sqlite3_column_bytes (read, 0)));
      sqlite3_reset (read);
    }
  timing_stop (&column->read, work->n_blobs);

  timing_start (&column->remove);
  for (guint i = 0; i < work->n_blobs; i++)
    {
      if (i % BATCH == 0)
        exec (database, "BEGIN");
      sqlite3_bind_int64 (remove, 1, work->order[i] + 1);
      check (sqlite3_step (remove) == SQLITE_DONE, NULL);
      sqlite3_reset (remove);
      if (i % BATCH == BATCH - 1 || i == work->n_blobs - 1)
        exec (database, "COMMIT");
    }
  timing_stop (&column->remove, work->n_blobs);

  sqlite3_finalize (insert);
  sqlite3_finalize (read);
  sqlite3_finalize (remove);
  sqlite3_close (database);
  benchmark_remove_directory (directory);
}

static BsBacking *
make_backing (Engine engine, const char *directory)
{
  g_autofree char *uri =
    g_strconcat (engine == SQLITE ? "sqlite://" : "file://", directory, "/scratch", NULL);
  GError *error = NULL;
  BsBacking *backing = bs_backing_new_for_uri (uri, &error);

  check (backing != NULL, error);
  return backing;
}

static void
insert_all (BsBacking *backing, GFile *path, const Work *work)
{
  GError *error = NULL;

  for (guint i = 0; i < work->n_blobs; i += BATCH)
    {
      g_autoptr (BsKeySet) keys = bs_key_set_new ();
      g_autoptr (GHashTable) contents = g_hash_table_new (g_str_hash, g_str_equal);

      for (guint j = i; j < MIN (i + BATCH, work->n_blobs); j++)
        {
          bs_key_set_add (keys, work->keys[j], NULL);
          g_hash_table_insert (contents, work->keys[j], work->blobs[j]);
        }
      check (bs_backing_persist_keys (backing, path, keys, contents, NULL, &error) &&
               bs_backing_sync_persisted (backing, path, NULL, &error),
             error);
    }
}

static void
remove_all (BsBacking *backing, GFile *path, const Work *work)
{
  GError *error = NULL;

  for (guint i = 0; i < work->n_blobs; i++)
    bs_backing_delete_key (backing, work->keys[i], NULL, NULL);
  for (guint i = 0; i < work->n_blobs; i += BATCH)
    {
      g_autoptr (BsKeySet) keys = bs_key_set_new ();

      for (guint j = i; j < MIN (i + BATCH, work->n_blobs); j++)
        bs_key_set_add (keys, work->keys[work->order[j]], NULL);
      check (bs_backing_delete_persisted_keys (backing, path, keys, NULL, &error) &&
               bs_backing_sync_persisted (backing, path, NULL, &error),
             error);
    }
}

static void
run_backing (Engine engine, const Work *work, Column *column)
{
  g_autofree char *directory = benchmark_make_directory ();
  g_autofree char *name = g_build_filename (directory, "document", NULL);
  g_autoptr (GFile) path = g_file_new_for_path (name);
  g_autoptr (BsBacking) backing = make_backing (engine, directory);
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  GError *error = NULL;

  check (bs_backing_sanitize_path (backing, path, found, NULL, &error), error);
  timing_start (&column->insert);
  insert_all (backing, path, work);
  timing_stop (&column->insert, work->n_blobs);

  timing_start (&column->read);
  for (guint i = 0; i < work->n_blobs; i++)
    {
      GBytes *bytes = bs_backing_read (backing, work->keys[work->order[i]], NULL, &error);

      check (bytes != NULL, error);
      g_bytes_unref (bytes);
    }
  timing_stop (&column->read, work->n_blobs);

  timing_start (&column->remove);
  remove_all (backing, path, work);
  timing_stop (&column->remove, work->n_blobs);

  check (bs_backing_close (backing, NULL, &error), error);
  benchmark_remove_directory (directory);
}

static void
measure_engines (void)
{
  Column columns[N_COLUMNS];
  Work work;

  work_init (&work, benchmark_smoke ? 50 : 20000, 100, 16 * 1024);
  for (guint i = 0; i < N_COLUMNS; i++)
    {
      timing_init (&columns[i].insert, names[i]);
      timing_init (&columns[i].read, names[i]);
      timing_init (&columns[i].remove, names[i]);
    }
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_plain (&work, &columns[PLAIN]);
      run_backing (SQLITE, &work, &columns[SQLITE]);
      run_backing (FILES, &work, &columns[FILES]);
    }

  g_print ("%u blobs of 100 B to 16 KiB: durable insertion in batches of %u\n", work.n_blobs,
           BATCH);
  for (guint i = 0; i < N_COLUMNS; i++)
    timing_print (&columns[i].insert, i > 0 ? &columns[0].insert : NULL, 1000, "us");
  g_print ("random reading\n");
  for (guint i = 0; i < N_COLUMNS; i++)
    timing_print (&columns[i].read, i > 0 ? &columns[0].read : NULL, 1000, "us");
  g_print ("deletion in batches of %u\n", BATCH);
  for (guint i = 0; i < N_COLUMNS; i++)
    timing_print (&columns[i].remove, i > 0 ? &columns[0].remove : NULL, 1000, "us");

  for (guint i = 0; i < N_COLUMNS; i++)
    {
      timing_clear (&columns[i].insert);
      timing_clear (&columns[i].read);
      timing_clear (&columns[i].remove);
    }
  work_clear (&work);
}

/* Bytes that the process has handed to the system to write. */
static guint64
count_written (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/io", &text, NULL, NULL))
    return 0;
  line = strstr (text, "wchar: ");
  return line != NULL ? g_ascii_strtoull (line + strlen ("wchar: "), NULL, 10) : 0;
}

static void
print_figure (const char *name, double figure, const char *unit)
{
  Series series;

  series_init (&series, name);
  series_add (&series, figure);
  series_print (&series, NULL, unit);
  series_clear (&series);
}

static void
measure_size (guint n_blobs)
{
  g_autofree char *directory = benchmark_make_directory ();
  g_autofree char *name = g_build_filename (directory, "document", NULL);
  g_autoptr (GFile) path = g_file_new_for_path (name);
  g_autoptr (BsBacking) backing = make_backing (SQLITE, directory);
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  GError *error = NULL;
  guint64 stored, written;
  struct stat status;
  gint64 cpu, clock;
  Work work;

  work_init (&work, n_blobs, 100, 1024);
  stored = get_n_bytes (&work);
  check (bs_backing_sanitize_path (backing, path, found, NULL, &error), error);
  written = count_written ();
  cpu = benchmark_cpu_now ();
  insert_all (backing, path, &work);
  cpu = benchmark_cpu_now () - cpu;
  for (guint i = 0; i < work.n_blobs; i++)
    bs_backing_delete_key (backing, work.keys[i], NULL, NULL);
  check (bs_backing_release_path (backing, path, NULL, &error), error);
  written = count_written () - written;
  check (stat (name, &status) == 0, NULL);

  clock = benchmark_now ();
  check (bs_backing_sanitize_path (backing, path, found, NULL, &error), error);
  clock = benchmark_now () - clock;
  g_print ("%u blobs of 100 B to 1 KiB\n", n_blobs);
  print_figure ("insertion of one, processor", cpu / 1000.0 / n_blobs, "us");
  print_figure ("written for each that is stored", (double) written / stored, "times");
  print_figure ("on disk over the payload", ((double) status.st_size - stored) / n_blobs, "bytes");
  print_figure ("tracking", clock / 1e9, "s");

  check (bs_backing_close (backing, NULL, &error), error);
  benchmark_remove_directory (directory);
  work_clear (&work);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "a document in one SQLite database");

  measure_engines ();
  benchmark_each_size (measure_size, 10000, 100);
  return 0;
}
