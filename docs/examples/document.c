/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A document of named pages that survives whatever happens while it is saved.
 *
 *   document DOCUMENT                        shows the pages
 *   document DOCUMENT set NAME FILE...       sets pages, each from a file
 *   document DOCUMENT remove NAME...         removes pages
 *
 * The manifest names the pages, which are the blobs. DOCUMENT is a directory, and
 * .DOCUMENT.scratch beside it is for the time that it is open. The URI of another backing
 * keeps it otherwise: with --backing=sqlite:///SCRATCH it is one file, and with
 * --backing='s3://BUCKET?endpoint=URL' DOCUMENT is s3://BUCKET/PREFIX.
 *
 * With --crash=WHERE the process is killed in the middle of the save: at the first
 * write, persist, sync, root or delete. Up to the root the document is the old one
 * then, and after it the new one. document.py is the same program in Python, for
 * the same documents. */

#include <backingstore/backingstore.h>

#include <signal.h>
#include <unistd.h>

#define POOL_BYTES (64 * 1024 * 1024)

typedef struct
{
  BsFaultBacking *backing;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  BsManifest *manifest; /* of the pages */
} Document;

static void
document_free (Document *self)
{
  g_autoptr (GError) error = NULL;

  if (self->store != NULL && !bs_backing_store_close (self->store, NULL, &error))
    g_printerr ("%s\n", error->message);
  g_clear_object (&self->manifest);
  g_clear_object (&self->tracked);
  g_clear_object (&self->pool);
  g_clear_object (&self->store);
  g_clear_object (&self->backing);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Document, document_free)

static gboolean
document_load (Document *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  self->manifest = bs_backing_store_load_manifest (self->store, self->tracked, NULL, &local_error);
  if (self->manifest != NULL)
    return bs_pool_register_manifest (self->pool, self->tracked, self->manifest, NULL, error);
  if (!g_error_matches (local_error, BS_ERROR, BS_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }

  self->manifest = bs_manifest_new (); /* a new document */
  return TRUE;
}

/* A directory of scratch beside the document. */
static char *
make_default_uri (GFile *place)
{
  g_autoptr (GFile) parent = g_file_get_parent (place);
  g_autofree char *basename = g_file_get_basename (place);
  g_autofree char *name = g_strdup_printf (".%s.scratch", basename);
  g_autoptr (GFile) scratch = g_file_get_child (parent, name);

  return g_file_get_uri (scratch);
}

static Document *
document_open (const char *path, const char *uri, GError **error)
{
  g_autoptr (GFile) place = g_file_new_for_commandline_arg (path);
  g_autofree char *default_uri = make_default_uri (place);
  g_autoptr (BsBacking) kept = bs_backing_new_for_uri (uri != NULL ? uri : default_uri, error);
  g_autoptr (Document) self = g_new0 (Document, 1);

  if (kept == NULL)
    return NULL;

  self->backing = bs_fault_backing_new (kept);
  self->store = bs_backing_store_new (BS_BACKING (self->backing));
  self->pool = bs_pool_new (self->store, POOL_BYTES);
  self->tracked = bs_backing_store_track_path (self->store, place, NULL, error);
  if (self->tracked == NULL || !document_load (self, error))
    return NULL;

  return g_steal_pointer (&self);
}

/* The page that was there is still in the document on the disk. */
static gboolean
document_set_page (Document *self, const char *name, GBytes *content, GError **error)
{
  g_autoptr (BsItem) item = bs_pool_insert (self->pool, content);

  if (bs_manifest_find (self->manifest, name, NULL))
    return bs_manifest_set_item (self->manifest, name, item, error);

  return bs_manifest_add_item (self->manifest, name, item, NULL, error);
}

static BsSave *
document_save_async (Document *self, GAsyncReadyCallback callback, gpointer user_data)
{
  BsSave *save = bs_save_new (self->store, self->tracked);

  bs_save_set_manifest (save, self->manifest);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, callback, user_data);

  return save;
}

static gboolean
show_page (BsManifestEntry *entry, GError **error)
{
  g_autofree char *name = bs_manifest_entry_dup_name (entry);
  g_autoptr (BsItem) item = bs_manifest_entry_dup_item (entry);
  g_autoptr (GBytes) content = bs_item_load (item, NULL, error);
  g_autofree char *checksum = NULL;

  if (content == NULL)
    return FALSE;
  checksum = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, content);
  g_print ("%s %" G_GSIZE_FORMAT " %s\n", name, g_bytes_get_size (content), checksum);
  return TRUE;
}

static gboolean
show (Document *document, GError **error)
{
  GListModel *pages = G_LIST_MODEL (document->manifest);

  for (guint i = 0; i < g_list_model_get_n_items (pages); i++)
    {
      g_autoptr (BsManifestEntry) entry = g_list_model_get_item (pages, i);

      if (!show_page (entry, error))
        return FALSE;
    }

  return TRUE;
}

typedef struct
{
  const char *name;
  BsOperation operations[2];
} Crash;

static const Crash crashes[] = {
  { "write", { BS_OPERATION_WRITE, BS_OPERATION_WRITE } },
  { "persist", { BS_OPERATION_PERSIST, BS_OPERATION_PERSIST } },
  { "sync", { BS_OPERATION_SYNC_PERSISTED, BS_OPERATION_SYNC_PERSISTED } },
  { "root", { BS_OPERATION_WRITE_ROOT, BS_OPERATION_WRITE_ROOT } },
  { "delete", { BS_OPERATION_DELETE_PERSISTED, BS_OPERATION_DELETE_PERSISTED_KEYS } },
};

typedef struct
{
  Document *document;
  GMainLoop *loop;
  const Crash *crash; /* nullable */
  GError *error;
} Saving;

static void
saved_cb (GObject *save, GAsyncResult *result, gpointer data)
{
  Saving *saving = data;

  bs_save_run_finish (BS_SAVE (save), result, &saving->error);
  g_main_loop_quit (saving->loop);
}

static void
fraction_cb (BsSave *save, GParamSpec *pspec, gpointer data)
{
  g_printerr ("%3.0f%%\n", 100 * bs_save_get_fraction (save));
}

static gboolean
crash_cb (gpointer data)
{
  Saving *saving = data;

  for (guint i = 0; i < G_N_ELEMENTS (saving->crash->operations); i++)
    if (bs_fault_backing_get_count (saving->document->backing, saving->crash->operations[i]) > 0)
      kill (getpid (), SIGKILL);

  return G_SOURCE_CONTINUE;
}

/* Saves, and shows how far it is; nothing blocks the main loop meanwhile. */
static gboolean
save (Document *document, const Crash *crash, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Saving saving = { document, loop, crash, NULL };
  g_autoptr (BsSave) running = NULL;

  if (crash != NULL)
    {
      /* The call waits before it has done anything, and is the last one. */
      for (guint i = 0; i < G_N_ELEMENTS (crash->operations); i++)
        bs_fault_backing_hold (document->backing, crash->operations[i]);
      g_timeout_add (1, crash_cb, &saving);
    }
  running = document_save_async (document, saved_cb, &saving);
  g_signal_connect (running, "notify::fraction", G_CALLBACK (fraction_cb), NULL);
  g_main_loop_run (loop);
  g_signal_handlers_disconnect_by_func (running, fraction_cb, NULL);

  if (saving.error == NULL)
    return TRUE;
  g_propagate_error (error, saving.error);
  return FALSE;
}

static gboolean
set_pages (Document *document, char **arguments, GError **error)
{
  for (; arguments[0] != NULL; arguments += 2)
    {
      g_autoptr (GBytes) content = NULL;
      char *data;
      gsize size;

      if (arguments[1] == NULL)
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "No file is given for “%s”",
                       arguments[0]);
          return FALSE;
        }
      if (!g_file_get_contents (arguments[1], &data, &size, error))
        return FALSE;
      content = g_bytes_new_take (data, size);
      if (!document_set_page (document, arguments[0], content, error))
        return FALSE;
    }

  return TRUE;
}

static gboolean
remove_pages (Document *document, char **arguments, GError **error)
{
  for (; arguments[0] != NULL; arguments++)
    if (!bs_manifest_remove (document->manifest, arguments[0], error))
      return FALSE;

  return TRUE;
}

static const Crash *
find_crash (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (crashes); i++)
    if (g_strcmp0 (crashes[i].name, name) == 0)
      return &crashes[i];

  return NULL;
}

static gboolean
run (char **arguments, const char *uri, const Crash *crash, GError **error)
{
  g_autoptr (Document) document = document_open (arguments[0], uri, error);
  const char *command = arguments[1] != NULL ? arguments[1] : "show";

  if (document == NULL)
    return FALSE;
  if (g_str_equal (command, "show"))
    return show (document, error);
  if (g_str_equal (command, "set"))
    return set_pages (document, arguments + 2, error) && save (document, crash, error);
  if (g_str_equal (command, "remove"))
    return remove_pages (document, arguments + 2, error) && save (document, crash, error);

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "“%s” is not a command", command);
  return FALSE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context =
    g_option_context_new ("DOCUMENT [show | set NAME FILE… | remove NAME…]");
  g_autofree char *uri = NULL;
  g_autofree char *where = NULL;
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
    { "backing", 0, 0, G_OPTION_ARG_STRING, &uri, "Keep the document by this backing", "URI" },
    { "crash", 0, 0, G_OPTION_ARG_STRING, &where,
      "Be killed at the first write, persist, sync, root or delete of the save", "WHERE" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL },
    { NULL }
  };

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  if (arguments == NULL || (where != NULL && find_crash (where) == NULL))
    {
      g_autofree char *help = g_option_context_get_help (context, TRUE, NULL);

      g_printerr ("%s", help);
      return 2;
    }

  if (!run (arguments, uri, where != NULL ? find_crash (where) : NULL, &error))
    {
      g_printerr ("%s: %s\n", argv[0], error->message);
      return 1;
    }

  return 0;
}
