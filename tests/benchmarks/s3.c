/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The engine "s3:" at a server on this machine: blobs of 4 KiB put and got with 1, 16 and 64
 * requests under way, beside a bare loop of libcurl that makes the same requests without
 * signing or hashing; and the requests of a save and of tracking a document. */

#include "benchmark.h"

#include "s3-fixture.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define BLOB_SIZE 4096

static guint n_blobs = 4000;
static Server server; /* gofakes3 itself */

static void
check (gboolean success, GError *error)
{
  if (!success)
    g_error ("A call failed: %s", error != NULL ? error->message : "");
}

/* A bare loop. */

typedef struct
{
  CURLM *multi;
  gboolean put;
  guint round;
  guint next;
  const char *data;
} Loop;

static size_t
drop (char *bytes, size_t size, size_t n, void *data)
{
  return size * n;
}

static void
set_up_easy (Loop *loop, CURL *easy)
{
  g_autofree char *url = g_strdup_printf ("http://127.0.0.1:%u/bucket/bare/%u/%u", server.port,
                                          loop->round, loop->next++);

  curl_easy_setopt (easy, CURLOPT_URL, url);
  curl_easy_setopt (easy, CURLOPT_WRITEFUNCTION, drop);
  curl_easy_setopt (easy, CURLOPT_PROXY, "");
  if (loop->put)
    {
      curl_easy_setopt (easy, CURLOPT_CUSTOMREQUEST, "PUT");
      curl_easy_setopt (easy, CURLOPT_POSTFIELDSIZE, (long) BLOB_SIZE);
      curl_easy_setopt (easy, CURLOPT_POSTFIELDS, loop->data);
    }
}

static void
run_bare (gboolean put, guint n_parallel, guint round, Timing *timing)
{
  g_autofree char *data = g_malloc0 (BLOB_SIZE);
  Loop loop = { curl_multi_init (), put, round, 0, data };
  guint n_done = 0;
  int n_running;

  timing_start (timing);
  for (guint i = 0; i < n_parallel; i++)
    {
      CURL *easy = curl_easy_init ();

      set_up_easy (&loop, easy);
      curl_multi_add_handle (loop.multi, easy);
    }
  while (n_done < n_blobs)
    {
      CURLMsg *message;
      int n_left;

      curl_multi_perform (loop.multi, &n_running);
      while ((message = curl_multi_info_read (loop.multi, &n_left)) != NULL)
        {
          CURL *easy = message->easy_handle;
          long status = 0;

          curl_easy_getinfo (easy, CURLINFO_RESPONSE_CODE, &status);
          check (message->data.result == CURLE_OK && status == 200, NULL);
          n_done++;
          curl_multi_remove_handle (loop.multi, easy);
          if (loop.next < n_blobs)
            {
              set_up_easy (&loop, easy);
              curl_multi_add_handle (loop.multi, easy);
            }
          else
            {
              curl_easy_cleanup (easy);
            }
        }
      if (n_done < n_blobs)
        curl_multi_poll (loop.multi, NULL, 0, 1000, NULL);
    }
  timing_stop (timing, n_blobs);
  curl_multi_cleanup (loop.multi);
}

/* Ours, by as many threads as requests are to be under way. */

typedef struct
{
  BsBacking *backing;
  GFile *path;
  GBytes *blob;
  char **keys;
  int next; /* atomic */
} Work;

static gpointer
put_some (gpointer data)
{
  Work *work = data;
  GError *error = NULL;
  guint i;

  while ((i = g_atomic_int_add (&work->next, 1)) < n_blobs)
    check (bs_backing_persist_bytes (work->backing, work->path, work->keys[i], work->blob, NULL,
                                     &error),
           error);
  return NULL;
}

static gpointer
get_some (gpointer data)
{
  Work *work = data;
  GError *error = NULL;
  guint i;

  while ((i = g_atomic_int_add (&work->next, 1)) < n_blobs)
    {
      GBytes *bytes = bs_backing_read (work->backing, work->keys[i], NULL, &error);

      check (bytes != NULL, error);
      g_bytes_unref (bytes);
    }
  return NULL;
}

static void
run_threads (Work *work, GThreadFunc func, guint n_parallel, Timing *timing)
{
  GThread *threads[64];

  work->next = 0;
  timing_start (timing);
  for (guint i = 0; i < n_parallel; i++)
    threads[i] = g_thread_new ("benchmark", func, work);
  for (guint i = 0; i < n_parallel; i++)
    g_thread_join (threads[i]);
  timing_stop (timing, n_blobs);
}

static GFile *
make_document (void)
{
  static guint n_documents;
  g_autofree char *name = g_strdup_printf ("%u", n_documents++);

  return make_path (name);
}

static void
run_ours (guint n_parallel, Timing *put, Timing *get)
{
  g_autoptr (BsBacking) backing = create_at (&server, "&cache-size=1");
  g_autoptr (GFile) path = make_document ();
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autofree char *data = g_malloc0 (BLOB_SIZE);
  g_autoptr (GBytes) blob = g_bytes_new (data, BLOB_SIZE);
  g_auto (GStrv) keys = benchmark_make_keys (n_blobs);
  Work work = { backing, path, blob, keys };
  GError *error = NULL;

  check (bs_backing_sanitize_path (backing, path, found, NULL, &error), error);
  run_threads (&work, put_some, n_parallel, put);
  run_threads (&work, get_some, n_parallel, get);
  check (bs_backing_close (backing, NULL, &error), error);
}

static void
measure_parallel (guint n_parallel)
{
  Timing bare[2], ours[2];

  for (guint i = 0; i < 2; i++)
    {
      timing_init (&bare[i], "bare libcurl");
      timing_init (&ours[i], "s3:");
    }
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_bare (TRUE, n_parallel, round + 100 * n_parallel, &bare[0]);
      run_bare (FALSE, n_parallel, round + 100 * n_parallel, &bare[1]);
      run_ours (n_parallel, &ours[0], &ours[1]);
    }
  for (guint i = 0; i < 2; i++)
    {
      g_print ("%s, 4 KiB, %u under way\n", i == 0 ? "put" : "get", n_parallel);
      timing_print (&bare[i], NULL, 1000, "us");
      timing_print (&ours[i], &bare[i], 1000, "us");
      timing_clear (&bare[i]);
      timing_clear (&ours[i]);
    }
}

static void
print_count (const char *heading, const char *name, double count)
{
  Series series;

  g_print ("%s\n", heading);
  series_init (&series, name);
  series_add (&series, count);
  series_print (&series, NULL, "requests");
  series_clear (&series);
}

/* At a server that counts. */
static void
count_requests (void)
{
  const guint n = benchmark_smoke ? 50 : 10000;
  Server counting = { NULL };
  g_autoptr (BsBacking) backing = NULL;
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (GFile) path = make_document ();
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsPool) pool = NULL;
  g_autoptr (BsSave) save = NULL;
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);
  g_autofree char *save_heading = g_strdup_printf ("a save of %u new items", n);
  GError *error = NULL;
  int before;

  check (server_start (&counting, NULL), NULL);
  backing = create_at (&counting, "&timeout=30");
  store = bs_backing_store_new (backing);
  tracked = bs_backing_store_track_path (store, path, NULL, &error);
  check (tracked != NULL, error);
  pool = bs_pool_new (store, G_MAXINT32);
  save = bs_save_new (store, tracked);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new (&i, sizeof i);
      g_autoptr (BsItem) item = bs_pool_insert (pool, bytes);

      bs_save_add_item (save, item);
    }
  bs_save_set_root (save, root);
  before = server_count (&counting, "all");
  check (bs_save_run (save, NULL, &error), error);
  print_count (save_heading, "all requests", server_count (&counting, "all") - before);
  check (bs_backing_store_close (store, NULL, &error), error);

  server_stop (&counting);
}

static void
count_lists (void)
{
  const guint n = benchmark_smoke ? 3000 : 100000;
  Server counting = { NULL };
  g_autoptr (BsBacking) backing = NULL;
  g_autoptr (GFile) path = make_path ("many");
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GString) commands = g_string_new ("[");
  g_autofree char *heading = g_strdup_printf ("tracking %u keys", n);
  g_auto (GStrv) keys = benchmark_make_keys (n);
  GError *error = NULL;

  check (server_start (&counting, NULL), NULL);
  for (guint i = 0; i < n; i++)
    {
      g_auto (GStrv) parts = g_strsplit (keys[i], "-", -1);
      g_autofree char *hex = g_strjoinv ("", parts);

      g_string_append_printf (commands, "{\"set\": \"top/many/%.2s/%s\", \"body\": \"x\"},", hex,
                              hex);
    }
  commands->str[commands->len - 1] = ']';
  server_do (&counting, "%s", commands->str);
  backing = create_at (&counting, NULL);
  check (bs_backing_sanitize_path (backing, path, found, NULL, &error), error);
  check (bs_key_set_get_n_keys (found) == n, NULL);
  print_count (heading, "list requests", server_count (&counting, "LIST"));
  server_stop (&counting);
}

int
main (int argc, char *argv[])
{
  static const guint parallel[] = { 1, 16, 64 };

  benchmark_init (&argc, &argv, "The engine for servers that speak S3, beside bare libcurl.");
  g_test_init (&argc, &argv, NULL);
  /* Figures are no comments of a test, which newer GLib makes of what is printed. */
  g_set_print_handler (NULL);
  set_up_environment ();
  curl_global_init (CURL_GLOBAL_DEFAULT);
  if (benchmark_smoke)
    n_blobs = 100;

  if (server_start_alone (&server, "gofakes3", NULL))
    {
      for (guint i = 0; i < G_N_ELEMENTS (parallel); i++)
        measure_parallel (parallel[i]);
      server_stop (&server);
    }
  else
    {
      g_printerr ("gofakes3 cannot be had\n");
    }
  count_requests ();
  count_lists ();

  return 0;
}
