/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-document-private.h"

#include <stdlib.h>

/* A pool that reads and writes keeps so much in memory. */
#define BUDGET (32 * 1024 * 1024)

static gboolean
set_missing (BsToolDocument *self, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, _ ("There is no document “%s”"),
               self->name);
  return FALSE;
}

/* A URI of an engine whose documents are files may name one beside the working directory. */
static GFile *
parse_uri (const char *scheme, const char *argument)
{
  const char *path = argument + strlen (scheme) + 1;
  g_autofree char *local = NULL;
  g_autofree char *name = NULL;

  if (!g_str_equal (scheme, "sqlite") && !g_str_equal (scheme, "file"))
    {
      local = g_strndup (argument, strcspn (argument, "?"));
      return g_file_new_for_uri (local);
    }
  if (!g_str_has_prefix (path, "//"))
    return g_file_new_for_commandline_arg (path);

  local = g_strconcat ("file:", path, NULL);
  name = g_filename_from_uri (local, NULL, NULL);

  return name != NULL ? g_file_new_for_path (name) : g_file_new_for_uri (local);
}

static void
parse (BsToolDocument *self, const char *argument)
{
  const char *scheme = g_uri_peek_scheme (argument);

  if (scheme != NULL && !g_file_test (argument, G_FILE_TEST_EXISTS))
    {
      self->file = parse_uri (scheme, argument);
      if (!g_str_equal (scheme, "file"))
        self->engine = g_strdup (scheme);
    }
  else
    {
      self->file = g_file_new_for_commandline_arg (argument);
    }
}

/* Finds nothing where nothing is, and leaves a place that is not local to its engine. */
static gboolean
find_type (BsToolDocument *self, GFileType *type, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (GFileInfo) info = NULL;

  *type = G_FILE_TYPE_UNKNOWN;
  self->exists = TRUE;
  if (g_file_peek_path (self->file) == NULL)
    return TRUE;

  info = g_file_query_info (self->file, G_FILE_ATTRIBUTE_STANDARD_TYPE, G_FILE_QUERY_INFO_NONE,
                            NULL, &local);
  self->exists = info != NULL;
  /* Without the right to look there is none. */
  if (info != NULL && g_file_info_has_attribute (info, G_FILE_ATTRIBUTE_STANDARD_TYPE))
    *type = g_file_info_get_file_type (info);
  if (info != NULL || g_error_matches (local, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
      g_error_matches (local, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY))
    return TRUE;

  g_propagate_prefixed_error (error, g_steal_pointer (&local), "%s: ", self->name);
  return FALSE;
}

/* A folder and a file tell their engines. */
static gboolean
find_engine (BsToolDocument *self, BsToolAccess access, const char *engine, GError **error)
{
  GFileType type;

  if (!find_type (self, &type, error))
    return FALSE;
  if (!self->exists && access != BS_TOOL_MAKE)
    return set_missing (self, error);
  if (self->engine != NULL)
    return TRUE;

  if (type == G_FILE_TYPE_REGULAR)
    self->engine = g_strdup ("sqlite");
  else
    self->engine = g_strdup (self->exists || engine == NULL ? "file" : engine);

  return TRUE;
}

/* Only files on one file system can be linked: a new document has its scratch beside it. */
static BsBacking *
new_folder_backing (BsToolDocument *self, BsTool *tool, BsToolAccess access, GError **error)
{
  g_autoptr (GFile) place = NULL;
  BsFileBacking *backing = NULL;

  if (tool->scratch != NULL)
    place = g_file_new_for_commandline_arg (tool->scratch);
  else if (access == BS_TOOL_MAKE && !tool->dry_run)
    place = g_file_get_parent (self->file);
  if (place != NULL)
    backing = bs_file_backing_new_temporary_in (place, tool->scratch != NULL ? error : NULL);
  if (backing == NULL && tool->scratch == NULL)
    backing = bs_file_backing_new_temporary (error);

  return backing != NULL ? BS_BACKING (backing) : NULL;
}

/* The parameters of the engine are in the query, and its own URI is that of the folder that
 * the document is in: s3://BUCKET/PREFIX/DOCUMENT?endpoint=… */
static BsBacking *
new_remote_backing (BsToolDocument *self, GError **error)
{
  const char *query = strchr (self->argument, '?');
  g_autofree char *uri = g_file_get_uri (self->file);
  g_autofree char *parent = NULL;
  char *slash = strrchr (uri, '/');

  if (slash != NULL && slash > uri && slash[-1] != '/')
    *slash = '\0';
  parent = g_strconcat (uri, query, NULL);

  return bs_backing_new_for_uri (parent, error);
}

static BsBacking *
new_backing (BsToolDocument *self, BsTool *tool, BsToolAccess access, GError **error)
{
  g_autoptr (BsBacking) backing = NULL;
  g_autoptr (GFile) place = NULL;
  g_autofree char *uri = NULL;

  if (bs_tool_document_is_folder (self))
    {
      backing = new_folder_backing (self, tool, access, error);
    }
  else if (g_file_peek_path (self->file) != NULL)
    {
      g_autofree char *file_uri = NULL;

      place = tool->scratch != NULL ? g_file_new_for_commandline_arg (tool->scratch)
                                    : g_file_new_for_path (g_get_tmp_dir ());
      file_uri = g_file_get_uri (place);
      uri = g_strconcat (self->engine, strchr (file_uri, ':'), NULL);
      backing = bs_backing_new_for_uri (uri, error);
    }
  else
    {
      backing = new_remote_backing (self, error);
    }
  if (backing == NULL || (access != BS_TOOL_READ && !tool->dry_run))
    return g_steal_pointer (&backing);

  if (g_object_class_find_property (G_OBJECT_GET_CLASS (backing), "read-only") == NULL)
    {
      g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                   _ ("The engine “%s” cannot open “%s” without changing it"), self->engine,
                   self->name);
      return NULL;
    }
  g_object_set (backing, "read-only", TRUE, NULL);

  return g_steal_pointer (&backing);
}

BsToolDocument *
bs_tool_document_new (BsTool *tool,
                      const char *argument,
                      BsToolAccess access,
                      const char *engine,
                      GError **error)
{
  g_autoptr (BsToolDocument) self = g_new0 (BsToolDocument, 1);

  self->argument = g_strdup (argument);
  self->name = bs_tool_escape (argument);
  parse (self, argument);
  if (!find_engine (self, access, engine, error))
    return NULL;

  self->backing = new_backing (self, tool, access, error);

  return self->backing != NULL ? g_steal_pointer (&self) : NULL;
}

static void
background_error_cb (BsBackingStore *store,
                     const char *key,
                     BsOperation operation,
                     const GError *error,
                     gpointer user_data)
{
  bs_tool_warn ("%s", error->message);
}

gboolean
bs_tool_document_open (BsToolDocument *self, BsTool *tool, GError **error)
{
  g_autoptr (BsBackingStore) store = bs_backing_store_new (self->backing);

  g_signal_connect (store, "background-error", G_CALLBACK (background_error_cb), NULL);

  return bs_tool_document_open_in (self, tool, store, error);
}

static gboolean
load_root (BsToolDocument *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;

  self->root = bs_backing_store_load_root (self->store, self->tracked, cancellable, &local);
  if (self->root == NULL && !g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND) &&
      !g_error_matches (local, BS_ERROR, BS_ERROR_NOT_SUPPORTED))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  /* An application may have a root of its own. */
  if (self->root != NULL)
    self->manifest = bs_manifest_new_from_bytes (self->root, NULL);

  return TRUE;
}

gboolean
bs_tool_document_open_in (BsToolDocument *self, BsTool *tool, BsBackingStore *store, GError **error)
{
  self->store = g_object_ref (store);
  self->tracked = bs_backing_store_track_path (store, self->file, tool->cancellable, error);

  return self->tracked != NULL && load_root (self, tool->cancellable, error);
}

gboolean
bs_tool_document_close (BsToolDocument *self, GError **error)
{
  return bs_backing_store_close (self->store, NULL, error);
}

void
bs_tool_document_free (BsToolDocument *self)
{
  if (self->store != NULL)
    bs_backing_store_close (self->store, NULL, NULL);
  else if (self->backing != NULL)
    bs_backing_close (self->backing, NULL, NULL);
  g_clear_object (&self->manifest);
  g_clear_pointer (&self->root, g_bytes_unref);
  g_clear_object (&self->tracked);
  g_clear_object (&self->store);
  g_clear_object (&self->backing);
  g_clear_object (&self->file);
  g_free (self->engine);
  g_free (self->name);
  g_free (self->argument);
  g_free (self);
}

gboolean
bs_tool_document_is_folder (BsToolDocument *self)
{
  return g_str_equal (self->engine, "file");
}

gboolean
bs_tool_document_is_empty (BsToolDocument *self)
{
  return self->root == NULL && bs_tracked_path_get_n_keys (self->tracked) == 0;
}

BsPool *
bs_tool_document_new_pool (BsToolDocument *self)
{
  BsPool *pool = bs_pool_new (self->store, BUDGET);

  bs_pool_set_trim_on_low_memory (pool, FALSE);

  return pool;
}

GInputStream *
bs_tool_document_read (BsToolDocument *self,
                       BsPool *pool,
                       const char *key,
                       GCancellable *cancellable,
                       GError **error)
{
  g_autoptr (BsItem) item = bs_pool_register (pool, self->tracked, key, cancellable, error);

  return item != NULL ? bs_item_read (item, cancellable, error) : NULL;
}

/* The layout of a folder is documented: a blob is a file with its bytes and nothing else. */
static gboolean
measure_file (BsToolDocument *self, const char *key, guint64 *size)
{
  g_auto (GStrv) parts = g_strsplit (key, "-", -1);
  g_autofree char *hex = g_strjoinv ("", parts);
  g_autofree char *relative = g_strdup_printf ("%.2s/%s", hex, hex);
  g_autoptr (GFile) file = g_file_resolve_relative_path (self->file, relative);
  g_autoptr (GFileInfo) info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE,
                                                  G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL, NULL);

  if (info == NULL || !g_file_info_has_attribute (info, G_FILE_ATTRIBUTE_STANDARD_SIZE))
    return FALSE;

  *size = g_file_info_get_size (info);
  return TRUE;
}

gboolean
bs_tool_document_measure (BsToolDocument *self,
                          BsPool *pool,
                          const char *key,
                          guint64 *size,
                          GCancellable *cancellable,
                          GError **error)
{
  g_autoptr (GInputStream) stream = NULL;

  if (bs_tool_document_is_folder (self) && measure_file (self, key, size))
    return TRUE;

  stream = bs_tool_document_read (self, pool, key, cancellable, error);
  if (stream == NULL || !g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_END, cancellable, error))
    return FALSE;

  *size = g_seekable_tell (G_SEEKABLE (stream));

  return TRUE;
}

static void
add_key (const char *key, gpointer keys)
{
  bs_key_set_add (keys, key, NULL);
}

static int
compare_keys (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

char **
bs_tool_document_list_unnamed (BsToolDocument *self)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  char **list;
  guint n = self->manifest != NULL ? g_list_model_get_n_items (G_LIST_MODEL (self->manifest)) : 0;

  bs_tracked_path_foreach_key (self->tracked, add_key, keys);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (BsManifestEntry) entry = g_list_model_get_item (G_LIST_MODEL (self->manifest), i);
      g_autofree char *key = bs_manifest_entry_dup_key (entry);

      bs_key_set_remove (keys, key);
    }

  list = bs_key_set_list_keys (keys);
  qsort (list, g_strv_length (list), sizeof *list, compare_keys);

  return list;
}

void
bs_tool_document_foreach (BsTool *tool, char **arguments, BsToolDocumentFunc func)
{
  for (guint i = 0; arguments[i] != NULL && !g_cancellable_is_cancelled (tool->cancellable); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (BsToolDocument) document =
        bs_tool_document_new (tool, arguments[i], BS_TOOL_READ, NULL, &error);

      if (document == NULL || !bs_tool_document_open (document, tool, &error) ||
          !func (tool, document, &error))
        bs_tool_report (tool, error);
    }
}
