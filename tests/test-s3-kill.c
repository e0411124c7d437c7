/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A process that saves a document of the engine "s3:" again and again is killed at each of
 * its requests: before the server has done it, after, or so that it arrives when another
 * process has the document open. The document is the old one or the new one, whole; and when
 * a lease has passed, the next process leaves on the server what the document has, and
 * nothing else. A process that puts contents back from quarantine is killed as well, and loses
 * none. With -m slow a thousand kills, and some at servers that others have written. */

#include "s3-fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_PAGES 6
/* Requests of some saves. A process makes a few more or less: how many is decided by threads. */
#define N_REQUESTS 40
/* Requests by which an opening puts back from quarantine, and one more on either side. */
#define FIRST_RESTORING 10
#define LAST_RESTORING 21
/* Pages that are in quarantine. */
#define N_ASIDE 2
/* Kills for each kind. */
#define N_KILLS 8
#define N_KILLS_SLOW 334
/* The first page where it goes in parts; the requests for those of two saves; and kills. */
#define LARGE (17 * 1024 * 1024)
#define N_PARTS 10
#define N_KILLS_PARTS 2
/* More than the seconds of a lease. */
#define LATER 61

static char *program;
static gsize first_size = 100;

/* The wait of the test that is under way, and the processes that it may hang in. */
static const char *awaited = "nothing";
static Server *server_used;
static GSubprocess *child_used;

/* Page i of a version is the one that was new in the last version that i divides. */
static GBytes *
make_page (guint version, guint page)
{
  gsize size = page == 0 ? first_size : 100 + 1000 * page;

  return make_test_bytes (size, version - version % (page + 1) + 100 * page);
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
document_open (Document *self, const char *uri, const char *name, gboolean restores)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsBacking) backing = bs_backing_new_for_uri (uri, &error);
  g_autoptr (GFile) path = make_path (name);

  g_assert_no_error (error);
  g_object_set (backing, "restores", restores, NULL);
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
  printf ("# trying %u\n", version);
  fflush (stdout);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  printf ("# saved %u\n", version);
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
static void G_GNUC_NORETURN
save_all (const char *uri, const char *name)
{
  Document document = { NULL };

  document_open (&document, uri, name, FALSE);
  for (;;)
    document_save (&document, document.version + 1);
}

/* Puts back from quarantine, in a process of its own, up to its death. */
static void G_GNUC_NORETURN
restore_all (const char *uri, const char *name)
{
  for (;;)
    {
      Document document = { NULL };

      document_open (&document, uri, name, TRUE);
      document_close (&document);
    }
}

/* As the next process finds the document. */
static int
look (const char *uri, const char *name, gboolean restores)
{
  Document document = { NULL };

  document_open (&document, uri, name, restores);
  printf ("# found %u\n", document.version);
  document_save (&document, document.version + 1);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (document.tracked), ==, N_PAGES);
  document_close (&document);
  return 0;
}

static void
print_threads (GSubprocess *process)
{
  g_autofree char *tasks = g_strdup_printf ("/proc/%s/task", g_subprocess_get_identifier (process));
  g_autoptr (GDir) directory = g_dir_open (tasks, 0, NULL);
  const char *task;

  while (directory != NULL && (task = g_dir_read_name (directory)) != NULL)
    {
      static const char *const files[] = { "comm", "wchan" };

      g_printerr ("#   thread %s:", task);
      for (guint i = 0; i < G_N_ELEMENTS (files); i++)
        {
          g_autofree char *file = g_build_filename (tasks, task, files[i], NULL);
          g_autofree char *text = NULL;

          if (g_file_get_contents (file, &text, NULL, NULL))
            g_printerr (" %s", g_strstrip (text));
        }
      g_printerr ("\n");
    }
}

/* Says which of the three processes waits. This one ends in any case. */
static void
report (int number)
{
  g_printerr ("# the test has waited %d seconds for %s\n", SECONDS, awaited);
  if (child_used != NULL && g_subprocess_get_identifier (child_used) != NULL)
    print_threads (child_used);
  if (server_used != NULL && g_subprocess_get_identifier (server_used->process) != NULL)
    kill (atoi (g_subprocess_get_identifier (server_used->process)), SIGUSR1);
  /* The server prints on its own. */
  g_usleep (G_USEC_PER_SEC);
  signal (number, SIG_DFL);
  raise (number);
}

static char *
make_uri (Server *server)
{
  return g_strdup_printf ("s3://bucket/top?endpoint=http://127.0.0.1:%u", server->port);
}

static GSubprocess *
start (const char *what, const char *name)
{
  g_autofree char *uri = make_uri (server_used);
  g_autofree char *size = g_strdup_printf ("%" G_GSIZE_FORMAT, first_size);
  g_autoptr (GError) error = NULL;
  GSubprocess *process =
    g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, program, what, uri, name, size, NULL);

  g_assert_no_error (error);
  child_used = process;
  return process;
}

/* Returns the last number after a word in the output. */
static guint
find_last (const char *output, const char *word)
{
  const char *found = g_strrstr (output, word);

  return found != NULL ? atoi (found + strlen (word)) : 0;
}

/* Returns what the process has printed, after its end. */
static char *
read_output (GSubprocess *process)
{
  g_autoptr (GError) error = NULL;
  char *output = NULL;

  g_subprocess_communicate_utf8 (process, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_subprocess_wait (process, NULL, &error);
  g_assert_no_error (error);
  child_used = NULL;
  return output;
}

/* Returns what the process had printed. */
static char *
start_and_kill (Server *server, const char *what, const char *name, const char *fault, guint nth)
{
  g_autoptr (GSubprocess) process = NULL;

  server_do (server, "[{\"clear\": true}, {\"fault\": \"%s\", %s \"nth\": %u}]", fault,
             first_size == LARGE ? "\"method\": \"PART\"," : "", nth);
  process = start (what, name);
  awaited = "a request of the process that is killed";
  server_await_hit (server);
  g_subprocess_force_exit (process);
  awaited = "the end of the process that is killed";
  return read_output (process);
}

/* Returns the version that was found. */
static guint
look_at (Server *server, const char *what, const char *name, const char *commands)
{
  g_autoptr (GSubprocess) looker = NULL;
  g_autofree char *output = NULL;

  awaited = "the server, which is told what to do";
  server_do (server, "[{\"clear\": true}, %s]", commands);
  looker = start (what, name);
  awaited = "the process that looks";
  output = read_output (looker);
  if (!g_subprocess_get_successful (looker))
    g_error ("the remains are not whole after %s", output);
  return find_last (output, "found ");
}

/* The marker, the lock, the root and the pages; whatever the process had begun. */
static void
assert_nothing_left (Server *server, const char *name)
{
  g_autofree char *answer = NULL;
  g_autofree char *prefix = g_strdup_printf ("\"top/%s/", name);
  guint n = 0;

  look_at (server, "--look", name,
           "{\"await\": \"calm\"}, {\"deliver\": true}, {\"advance\": " G_STRINGIFY (LATER) "}");
  answer = server_tell (server, "[]");
  for (const char *c = answer; (c = strstr (c, prefix)) != NULL; c++)
    n++;
  if (n != 3 + N_PAGES || answer_get_number (answer, "uploads") != 0)
    g_error ("too much or too little is left: %s", answer);
}

static void
kill_at (Server *upstream, const char *fault, guint nth)
{
  static guint n_documents;
  g_autofree char *name = g_strdup_printf ("document-%u", n_documents++);
  Server server = { NULL };
  g_autofree char *output = NULL;
  guint version;

  alarm (SECONDS);
  awaited = "the start of a server";
  g_assert_true (upstream != NULL ? server_start_before (&server, upstream)
                                  : server_start (&server, NULL));
  server_used = &server;
  g_test_message ("%s at request %u", fault, nth);
  output = start_and_kill (&server, "--save", name, fault, nth);
  version = look_at (&server, "--look", name, "{\"fault\": \"deliver\", \"nth\": 12}");
  if (version != find_last (output, "saved ") && version != find_last (output, "trying "))
    g_error ("version %u was found after %s", version, output);
  assert_nothing_left (&server, name);
  awaited = "the end of a server";
  server_stop (&server);
  server_used = NULL;
  alarm (0);
}

static void
spoil (Server *server, const char *folder, BsItem *item)
{
  g_autofree char *key = bs_item_dup_key (item);
  g_auto (GStrv) parts = g_strsplit (key, "-", -1);
  g_autofree char *hex = g_strjoinv ("", parts);

  server_do (server, "[{\"spoil\": \"top/document/%.*s/%s\"}]",
             folder != NULL ? (int) strlen (folder) : 2, folder != NULL ? folder : hex, hex);
}

/* A document of whose contents some are in quarantine, and whole again. */
static void
make_aside (Server *server)
{
  g_autofree char *uri = make_uri (server);
  g_autoptr (BsVerify) verify = NULL;
  Document document = { NULL };
  g_autoptr (GError) error = NULL;

  document_open (&document, uri, "document", FALSE);
  document_save (&document, 1);
  for (guint i = 0; i < N_ASIDE; i++)
    spoil (server, NULL, document.items[i]);
  verify = bs_verify_new (document.store, document.tracked);
  bs_verify_run (verify, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_verify_get_n_bad (verify), ==, N_ASIDE);
  for (guint i = 0; i < N_ASIDE; i++)
    spoil (server, ".quarantine", document.items[i]);
  g_clear_object (&verify);
  document_close (&document);
}

static void
kill_restoring_at (const char *fault, guint nth)
{
  Server server = { NULL };
  g_autofree char *output = NULL;
  g_autofree char *answer = NULL;

  alarm (SECONDS);
  g_assert_true (server_start (&server, NULL));
  server_used = &server;
  first_size = 100;
  make_aside (&server);
  g_test_message ("%s at request %u", fault, nth);
  output = start_and_kill (&server, "--restore", "document", fault, nth);
  g_assert_cmpuint (look_at (&server, "--look-restored", "document",
                             "{\"fault\": \"deliver\", \"nth\": 12}"),
                    ==, 1);
  answer = server_tell (&server, "[]");
  g_assert_null (strstr (answer, ".quarantine"));
  child_used = NULL;
  awaited = "the end of a server";
  server_stop (&server);
  server_used = NULL;
  alarm (0);
}

static void
test_kill_restoring (gconstpointer fault)
{
  guint step = tests_are_whole () || g_test_slow () ? 1 : 4;

  guint first = FIRST_RESTORING + g_test_rand_int_range (0, step);

  for (guint nth = first; nth <= LAST_RESTORING; nth += step)
    kill_restoring_at (fault, nth);
}

typedef struct
{
  const char *server; /* a script; NULL: ours */
  const char *fault;
  gboolean large;
} Kind;

static void
kill_all (Server *upstream, const Kind *kind)
{
  guint n_requests = kind->large ? N_PARTS : N_REQUESTS;
  guint n_kills = kind->large ? N_KILLS_PARTS : N_KILLS;
  guint step, first;

  if (upstream != NULL || tests_are_whole ())
    n_kills = n_requests;
  if (upstream == NULL && !kind->large && g_test_slow ())
    n_kills = N_KILLS_SLOW;
  step = MAX (1, n_requests / n_kills);
  first = g_test_rand_int_range (0, step);
  for (guint i = 0; i < n_kills; i++)
    kill_at (upstream, kind->fault, 1 + (first + i * step) % (2 * n_requests));
}

static void
test_kill (gconstpointer data)
{
  const Kind *kind = data;
  Server upstream = { NULL };

  if (kind->server != NULL && !server_start_alone (&upstream, kind->server, NULL))
    {
      g_test_skip ("the server cannot be had");
      return;
    }
  first_size = kind->large ? LARGE : 100;
  kill_all (kind->server != NULL ? &upstream : NULL, kind);
  server_stop (&upstream);
}

int
main (int argc, char *argv[])
{
  static const Kind kinds[] = {
    { NULL, "stall", FALSE },
    { NULL, "stall-after", FALSE },
    { NULL, "stall-late", FALSE },
    { NULL, "stall", TRUE },
    { NULL, "stall-after", TRUE },
    { NULL, "stall-late", TRUE },
    { "gofakes3", "stall", FALSE },
    { "gofakes3", "stall-after", FALSE },
    { "gofakes3", "stall-late", FALSE },
    { "gofakes3", "stall", TRUE },
    { "gofakes3", "stall-after", TRUE },
    { "gofakes3", "stall-late", TRUE },
    { "ceph", "stall", FALSE },
    { "ceph", "stall-after", FALSE },
    { "ceph", "stall-late", FALSE },
    { "ceph", "stall", TRUE },
    { "ceph", "stall-after", TRUE },
    { "ceph", "stall-late", TRUE },
  };

  set_up_environment ();
  if (argc == 5)
    first_size = g_ascii_strtoull (argv[4], NULL, 10);
  if (argc == 5 && g_str_equal (argv[1], "--save"))
    save_all (argv[2], argv[3]);
  if (argc == 5 && g_str_equal (argv[1], "--look"))
    return look (argv[2], argv[3], FALSE);
  if (argc == 5 && g_str_equal (argv[1], "--restore"))
    restore_all (argv[2], argv[3]);
  if (argc == 5 && g_str_equal (argv[1], "--look-restored"))
    return look (argv[2], argv[3], TRUE);

  program = g_file_read_link ("/proc/self/exe", NULL);
  g_test_init (&argc, &argv, NULL);
  signal (SIGALRM, report);

  g_test_add_data_func ("/s3/kill/restoring/before", "stall", test_kill_restoring);
  g_test_add_data_func ("/s3/kill/restoring/after", "stall-after", test_kill_restoring);
  g_test_add_data_func ("/s3/kill/restoring/late", "stall-late", test_kill_restoring);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *path =
        g_strdup_printf ("/s3/kill/%s%s%s%s", kinds[i].server != NULL ? kinds[i].server : "",
                         kinds[i].server != NULL ? "/" : "", kinds[i].large ? "parts/" : "",
                         kinds[i].fault);

      if (kinds[i].server == NULL || g_test_slow ())
        g_test_add_data_func (path, &kinds[i], test_kill);
    }

  return g_test_run ();
}
