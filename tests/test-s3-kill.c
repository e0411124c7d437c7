/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A process that saves a document of the engine "s3:" again and again is killed at each of
 * its requests: before the server has done it, after, or so that it arrives when another
 * process has the document open. The document is the old one or the new one, whole, and the
 * next save leaves nothing behind. */

#include "s3-fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_PAGES 6
#define N_VERSIONS 4
/* Kills of a run that is not whole, for each kind. */
#define N_KILLS 12

static char *program;

/* Page i of a version is the one that was new in the last version that i divides. */
static GBytes *
make_page (guint version, guint page)
{
  return make_test_bytes (100 + 1000 * page, version - version % (page + 1) + 100 * page);
}

typedef struct
{
  BsBackingStore *store;
  BsTrackedPath *tracked;
  BsPool *pool;
  guint version; /* 0: never saved */
  BsItem *items[N_PAGES];
} Document;

static void
document_load (Document *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = bs_backing_store_load_root (self->store, self->tracked, NULL, &error);
  g_auto (GStrv) lines = NULL;
  g_autofree char *text = NULL;

  if (g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND))
    return;
  g_assert_no_error (error);

  text = g_strndup (g_bytes_get_data (root, NULL), g_bytes_get_size (root));
  lines = g_strsplit (text, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, N_PAGES + 1);
  self->version = g_ascii_strtoull (lines[0], NULL, 10);
  for (guint i = 0; i < N_PAGES; i++)
    {
      g_autoptr (GBytes) expected = make_page (self->version, i);
      g_autoptr (GBytes) bytes = NULL;

      self->items[i] = bs_pool_register (self->pool, self->tracked, lines[i + 1], NULL, &error);
      g_assert_no_error (error);
      bytes = bs_item_load (self->items[i], NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (bytes, expected));
    }
}

static void
document_open (Document *self, const char *uri)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsBacking) backing = bs_backing_new_for_uri (uri, &error);
  g_autoptr (GFile) path = make_path ("document");

  g_assert_no_error (error);
  self->store = bs_backing_store_new (backing);
  self->pool = bs_pool_new (self->store, 1000000);
  self->tracked = bs_backing_store_track_path (self->store, path, NULL, &error);
  g_assert_no_error (error);
  document_load (self);
}

static void
document_save (Document *self, guint version)
{
  g_autoptr (BsSave) save = bs_save_new (self->store, self->tracked);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;

  g_string_append_printf (text, "%u", version);
  for (guint i = 0; i < N_PAGES; i++)
    {
      g_autofree char *key = NULL;

      if (self->items[i] == NULL || version % (i + 1) == 0)
        {
          g_autoptr (GBytes) bytes = make_page (version, i);

          g_clear_object (&self->items[i]);
          self->items[i] = bs_pool_insert (self->pool, bytes);
        }
      key = bs_item_dup_key (self->items[i]);
      bs_save_add_item (save, self->items[i]);
      g_string_append_printf (text, "\n%s", key);
    }
  root = g_bytes_new (text->str, text->len);
  bs_save_set_root (save, root);
  printf ("trying %u\n", version);
  fflush (stdout);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  printf ("saved %u\n", version);
  fflush (stdout);
  self->version = version;
}

static void
document_close (Document *self)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < N_PAGES; i++)
    g_clear_object (&self->items[i]);
  bs_backing_store_close (self->store, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&self->tracked);
  g_clear_object (&self->pool);
  g_clear_object (&self->store);
}

/* In a process of its own, up to its death. */
static int
save_all (const char *uri)
{
  Document document = { NULL };

  document_open (&document, uri);
  for (guint version = 1; version <= N_VERSIONS; version++)
    document_save (&document, version);
  document_close (&document);
  return 0;
}

/* As the next process finds the document. */
static int
look (const char *uri)
{
  Document document = { NULL };

  document_open (&document, uri);
  printf ("found %u\n", document.version);
  document_save (&document, document.version + 1);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (document.tracked), ==, N_PAGES);
  document_close (&document);
  return 0;
}

static char *
make_uri (Server *server)
{
  return g_strdup_printf ("s3://bucket/top?endpoint=http://127.0.0.1:%u", server->port);
}

static GSubprocess *
start (Server *server, const char *what)
{
  g_autofree char *uri = make_uri (server);
  g_autoptr (GError) error = NULL;
  GSubprocess *process =
    g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, program, what, uri, NULL);

  g_assert_no_error (error);
  return process;
}

/* Returns the last number after a word in the output. */
static guint
find_last (const char *output, const char *word)
{
  const char *found = g_strrstr (output, word);

  return found != NULL ? atoi (found + strlen (word)) : 0;
}

static char *
read_output (GSubprocess *process)
{
  g_autoptr (GError) error = NULL;
  char *output = NULL;

  g_subprocess_communicate_utf8 (process, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  return output;
}

static guint
count_requests (Server *server)
{
  return server_count (server, "all");
}

static void
kill_at (const char *fault, guint nth)
{
  Server server = { NULL };
  g_autoptr (GSubprocess) saver = NULL;
  g_autoptr (GSubprocess) looker = NULL;
  g_autofree char *output = NULL;
  g_autofree char *found = NULL;
  guint version;

  alarm (SECONDS);
  g_assert_true (server_start (&server, NULL));
  server_do (&server, "[{\"fault\": \"%s\", \"nth\": %u}]", fault, nth);
  saver = start (&server, "--save");
  /* The number of requests differs a little from run to run. */
  while (server_count (&server, "hit") < 1 && g_subprocess_get_identifier (saver) != NULL)
    g_usleep (1000);
  g_subprocess_force_exit (saver);
  output = read_output (saver);
  g_subprocess_wait (saver, NULL, NULL);

  server_do (&server, "[{\"clear\": true}, {\"fault\": \"deliver\", \"nth\": 12}]");
  looker = start (&server, "--look");
  found = read_output (looker);
  g_subprocess_wait (looker, NULL, NULL);
  if (!g_subprocess_get_successful (looker))
    g_error ("%s at request %u: the remains are not whole", fault, nth);
  version = find_last (found, "found ");
  if (version != find_last (output, "saved ") && version != find_last (output, "trying "))
    g_error ("%s at request %u: version %u was found after %s", fault, nth, version, output);
  server_stop (&server);
  alarm (0);
}

static guint
count_all (void)
{
  Server server = { NULL };
  g_autoptr (GSubprocess) saver = NULL;
  guint n;

  g_assert_true (server_start (&server, NULL));
  saver = start (&server, "--save");
  g_free (read_output (saver));
  g_subprocess_wait (saver, NULL, NULL);
  g_assert_true (g_subprocess_get_successful (saver));
  n = count_requests (&server);
  server_stop (&server);

  return n;
}

static void
test_kill (gconstpointer fault)
{
  /* The last one gives the lease back. */
  guint n_requests = count_all () - 1;
  guint n_kills = tests_are_whole () ? n_requests : N_KILLS;
  guint first = tests_are_whole () ? 0 : g_test_rand_int_range (0, n_requests / N_KILLS);

  for (guint i = 0; i < n_kills; i++)
    kill_at (fault, 1 + first + i * n_requests / n_kills);
  g_test_message ("%u kills at %u requests", n_kills, n_requests);
}

int
main (int argc, char *argv[])
{
  set_up_environment ();
  if (argc == 3 && g_str_equal (argv[1], "--save"))
    return save_all (argv[2]);
  if (argc == 3 && g_str_equal (argv[1], "--look"))
    return look (argv[2]);

  program = g_file_read_link ("/proc/self/exe", NULL);
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/s3/kill/before", "stall", test_kill);
  g_test_add_data_func ("/s3/kill/after", "stall-after", test_kill);
  g_test_add_data_func ("/s3/kill/late", "stall-late", test_kill);

  return g_test_run ();
}
