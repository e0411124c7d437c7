/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The engine "s3:" at a server on this machine: blobs of 4 KiB put and got with 1, 16 and 64
 * requests under way, and put by one call for many, beside two bare loops of libcurl: one that
 * makes the same requests without signing or hashing, and one whose requests are the same to the
 * last header; and the requests of a save and of tracking a document. */

#include "benchmark.h"

#include "modules/s3/bs-s3-signature-private.h"
#include "s3-fixture.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define BLOB_SIZE 4096
/* Requests of a call for many blobs that are under way. */
#define IN_ONE_CALL 32
/* Blobs of such a call. */
#define AT_ONCE 1000

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
  BsS3Credentials *credentials; /* NULL: unsigned */
  guint round;
  guint next;
  const char *data;
} Loop;

static size_t
drop (char *bytes, size_t size, size_t n, void *data)
{
  return size * n;
}

static char *
make_md5 (const char *data)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_MD5);
  guint8 digest[16];
  gsize size = sizeof digest;

  g_checksum_update (checksum, (const guint8 *) data, BLOB_SIZE);
  g_checksum_get_digest (checksum, digest, &size);
  return g_base64_encode (digest, size);
}

/* The headers of the engine's request. */
static struct curl_slist *
make_headers (Loop *loop, const char *path)
{
  g_autofree char *md5 = loop->put ? make_md5 (loop->data) : NULL;
  g_autofree char *host = g_strdup_printf ("127.0.0.1:%u", server.port);
  g_autofree char *time = bs_s3_time (g_get_real_time () / G_USEC_PER_SEC);
  g_autofree char *signature = NULL;
  g_autofree char *authorization = NULL;
  struct curl_slist *list = NULL;
  const BsS3Header headers[] = {
    { "content-md5", md5 },
    { "host", host },
    { "x-amz-content-sha256", (char *) "UNSIGNED-PAYLOAD" },
    { "x-amz-date", time },
    { "x-amz-meta-backingstore", (char *) "4096-0123456789abcdef" },
  };
  /* A GET has neither the first nor the last. */
  const guint first = loop->put ? 0 : 1;
  BsS3Signing signing = { .method = loop->put ? "PUT" : "GET",
                          .path = path,
                          .query = "",
                          .headers = headers + first,
                          .n_headers = loop->put ? 5 : 3,
                          .payload = "UNSIGNED-PAYLOAD",
                          .region = "us-east-1",
                          .time = time };

  signature = bs_s3_sign (&signing, loop->credentials);
  authorization = g_strconcat ("Authorization: ", signature, NULL);
  for (guint i = 0; i < signing.n_headers; i++)
    {
      g_autofree char *line =
        g_strconcat (signing.headers[i].name, ": ", signing.headers[i].value, NULL);

      list = curl_slist_append (list, line);
    }
  list = curl_slist_append (list, authorization);
  list = curl_slist_append (list, "Content-Type:");
  return curl_slist_append (list, "Expect:");
}

static void
set_up_easy (Loop *loop, CURL *easy)
{
  g_autofree char *path = g_strdup_printf ("/bucket/bare/%u/%u", loop->round, loop->next++);
  g_autofree char *url = g_strdup_printf ("http://127.0.0.1:%u%s", server.port, path);

  if (loop->credentials != NULL)
    {
      struct curl_slist *headers = make_headers (loop, path);

      curl_easy_setopt (easy, CURLOPT_HTTPHEADER, headers);
      curl_easy_setopt (easy, CURLOPT_PRIVATE, headers);
    }
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
free_headers (CURL *easy)
{
  struct curl_slist *headers = NULL;

  curl_easy_getinfo (easy, CURLINFO_PRIVATE, (char **) &headers);
  curl_slist_free_all (headers);
  curl_easy_setopt (easy, CURLOPT_PRIVATE, NULL);
}

static void
run_bare (gboolean put, BsS3Credentials *credentials, guint n_parallel, guint round, Timing *timing)
{
  g_autofree char *data = g_malloc0 (BLOB_SIZE);
  Loop loop = { curl_multi_init (), put, credentials, round, 0, data };
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
          free_headers (easy);
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

static void
put_many (Work *work, Timing *timing)
{
  GError *error = NULL;

  timing_start (timing);
  for (guint first = 0; first < n_blobs; first += AT_ONCE)
    {
      g_autoptr (BsKeySet) keys = bs_key_set_new ();
      g_autoptr (GHashTable) contents = g_hash_table_new (g_str_hash, g_str_equal);

      for (guint i = first; i < MIN (n_blobs, first + AT_ONCE); i++)
        {
          bs_key_set_add (keys, work->keys[i], NULL);
          g_hash_table_insert (contents, work->keys[i], work->blob);
        }
      check (bs_backing_persist_keys (work->backing, work->path, keys, contents, NULL, &error),
             error);
    }
  timing_stop (timing, n_blobs);
}

static GFile *
make_document (void)
{
  static guint n_documents;
  g_autofree char *name = g_strdup_printf ("%u", n_documents++);

  return make_path (name);
}

/* `get` is NULL for puts in one call. */
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
  if (get == NULL)
    {
      put_many (&work, put);
    }
  else
    {
      run_threads (&work, put_some, n_parallel, put);
      run_threads (&work, get_some, n_parallel, get);
    }
  check (bs_backing_close (backing, NULL, &error), error);
}

static void
print_timings (const char *heading, Timing *bare, Timing *same, Timing *ours)
{
  g_print ("%s\n", heading);
  timing_print (bare, NULL, 1000, "us");
  timing_print (same, bare, 1000, "us");
  timing_print (ours, bare, 1000, "us");
  timing_clear (bare);
  timing_clear (same);
  timing_clear (ours);
}

static void
measure_parallel (guint n_parallel)
{
  g_autoptr (BsS3Credentials) credentials = bs_s3_credentials_new ("default", NULL);
  Timing bare[2], same[2], ours[2];

  for (guint i = 0; i < 2; i++)
    {
      timing_init (&bare[i], "bare libcurl");
      timing_init (&same[i], "libcurl, same headers");
      timing_init (&ours[i], "s3:");
    }
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      const guint name = round + 100 * n_parallel;

      run_bare (TRUE, NULL, n_parallel, name, &bare[0]);
      run_bare (FALSE, NULL, n_parallel, name, &bare[1]);
      run_bare (TRUE, credentials, n_parallel, name + 50, &same[0]);
      run_bare (FALSE, credentials, n_parallel, name + 50, &same[1]);
      run_ours (n_parallel, &ours[0], &ours[1]);
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *heading =
        g_strdup_printf ("%s, 4 KiB, %u under way", i == 0 ? "put" : "get", n_parallel);

      print_timings (heading, &bare[i], &same[i], &ours[i]);
    }
}

static void
measure_one_call (void)
{
  g_autoptr (BsS3Credentials) credentials = bs_s3_credentials_new ("default", NULL);
  Timing bare, same, ours;

  timing_init (&bare, "bare libcurl");
  timing_init (&same, "libcurl, same headers");
  timing_init (&ours, "s3:");
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      const guint name = round + 100 * IN_ONE_CALL;

      run_bare (TRUE, NULL, IN_ONE_CALL, name, &bare);
      run_bare (TRUE, credentials, IN_ONE_CALL, name + 50, &same);
      run_ours (IN_ONE_CALL, &ours, NULL);
    }
  print_timings ("put, 4 KiB, in one call", &bare, &same, &ours);
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
  backing = create_at (&counting, NULL);
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
      measure_one_call ();
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
