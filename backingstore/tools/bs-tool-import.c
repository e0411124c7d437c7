/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-json-private.h"

static gboolean add;
static gboolean replace;
static char *engine;

static const GOptionEntry entries[] = {
  { "add", 'a', 0, G_OPTION_ARG_NONE, &add,
    N_ ("Add to a document that has contents; a file takes the place of its name"), NULL },
  { "replace", 0, 0, G_OPTION_ARG_NONE, &replace, N_ ("Replace all that a document has"), NULL },
  { "engine", 0, 0, G_OPTION_ARG_STRING, &engine,
    N_ ("The engine of a document that is made: file (a folder) or sqlite (one file)"),
    N_ ("ENGINE") },
  G_OPTION_ENTRY_NULL
};

/* An import in the making. */
typedef struct
{
  BsTool *tool;
  GPtrArray *files; /* owned; of GFile */
  GPtrArray *names; /* owned; of these files */
  BsToolDocument *document;
  BsPool *pool;
  BsManifest *manifest;
} Import;

static gboolean
import_file (Import *self, GFile *file, const char *name, GError **error)
{
  g_autoptr (BsItem) item = bs_pool_insert_file (self->pool, file, self->tool->cancellable, error);

  if (item == NULL)
    return FALSE;
  if (bs_manifest_find (self->manifest, name, NULL))
    return bs_manifest_set_item (self->manifest, name, item, error);

  return bs_manifest_add_item (self->manifest, name, item, NULL, error);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static gboolean collect (Import *self, GFile *file, const char *name, GError **error);

static gboolean
collect_folder (Import *self, GFile *folder, const char *prefix, GError **error)
{
  g_autoptr (GFileEnumerator) children =
    g_file_enumerate_children (folder, G_FILE_ATTRIBUTE_STANDARD_NAME,
                               G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, self->tool->cancellable, error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  GFileInfo *info = NULL;

  if (children == NULL)
    return FALSE;

  do
    {
      if (!g_file_enumerator_iterate (children, &info, NULL, self->tool->cancellable, error))
        return FALSE;
      if (info != NULL)
        g_ptr_array_add (names, g_strdup (g_file_info_get_name (info)));
    }
  while (info != NULL);

  /* The order of a folder is an accident, and that of a manifest stays. */
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    {
      g_autoptr (GFile) child = g_file_get_child (folder, names->pdata[i]);
      g_autofree char *name = prefix != NULL ? g_strconcat (prefix, "/", names->pdata[i], NULL)
                                             : g_strdup (names->pdata[i]);

      if (!collect (self, child, name, error))
        return FALSE;
    }

  return TRUE;
}

static gboolean
collect (Import *self, GFile *file, const char *name, GError **error)
{
  GFileType type = g_file_query_file_type (file, G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL);
  g_autofree char *shown = bs_tool_escape (name);

  if (type == G_FILE_TYPE_DIRECTORY)
    return collect_folder (self, file, name, error);
  if (type != G_FILE_TYPE_REGULAR)
    {
      bs_tool_warn (_ ("“%s” is left out: it is no file and no folder"), shown);
      return TRUE;
    }
  if (!g_utf8_validate (name, -1, NULL))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_FILENAME,
                   _ ("The name “%s” is not in UTF-8"), shown);
      return FALSE;
    }

  g_ptr_array_add (self->files, g_object_ref (file));
  g_ptr_array_add (self->names, g_strdup (name));
  return TRUE;
}

/* A folder of the command line gives its files their names; a file has its own. */
static gboolean
collect_argument (Import *self, const char *argument, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_commandline_arg (argument);
  g_autofree char *name = g_file_get_basename (file);
  GFileType type = g_file_query_file_type (file, G_FILE_QUERY_INFO_NONE, NULL);

  if (type == G_FILE_TYPE_DIRECTORY)
    return collect_folder (self, file, NULL, error);
  if (type == G_FILE_TYPE_UNKNOWN)
    {
      g_autofree char *shown = bs_tool_escape (argument);

      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _ ("There is no file “%s”"), shown);
      return FALSE;
    }

  return collect (self, file, name, error);
}

static gboolean
check_target (BsToolDocument *document, GError **error)
{
  if (add && document->root != NULL && document->manifest == NULL)
    {
      g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                   _ ("“%s” has a list of names of its application, which only that can change"),
                   document->name);
      return FALSE;
    }
  if (add || replace || bs_tool_document_is_empty (document))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
               _ ("“%s” has contents: --add keeps them, --replace deletes them"), document->name);
  return FALSE;
}

static gboolean
save (Import *self, GError **error)
{
  g_autoptr (BsSave) save = bs_save_new (self->document->store, self->document->tracked);
  guint64 n_files = self->files->len;
  BsToolJson json;

  bs_save_set_manifest (save, self->manifest);
  bs_tool_follow (self->tool, _ ("Saving"), save);
  if (!bs_save_run (save, self->tool->cancellable, error) ||
      !bs_tool_document_close (self->document, error))
    return FALSE;

  bs_tool_count (self->tool, NULL, 0, 0);
  bs_tool_say (self->tool,
               g_dngettext (GETTEXT_PACKAGE, "%" PRIu64 " file is in “%s”",
                            "%" PRIu64 " files are in “%s”", n_files),
               n_files, self->document->name);
  if (self->tool->json)
    {
      bs_tool_json_begin (&json);
      bs_tool_json_add_string (&json, "document", self->document->argument);
      bs_tool_json_add_number (&json, "files", n_files);
      bs_tool_json_end (&json);
    }

  return TRUE;
}

static gboolean
import_all (Import *self, GError **error)
{
  for (guint i = 0; i < self->files->len; i++)
    {
      if (!import_file (self, self->files->pdata[i], self->names->pdata[i], error))
        return FALSE;
    }

  return save (self, error);
}

static void
print_names (Import *self)
{
  for (guint i = 0; i < self->names->len; i++)
    {
      g_autofree char *shown = bs_tool_escape (self->names->pdata[i]);

      bs_tool_say (self->tool, "%s", shown);
    }
}

/* The files are found first: a dry run makes no document, and neither does a file that cannot
 * be imported. */
static gboolean
run (BsTool *tool, char **arguments, GError **error)
{
  guint n_sources = g_strv_length (arguments) - 1;
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (BsToolDocument) document = NULL;
  g_autoptr (BsPool) pool = NULL;
  g_autoptr (BsManifest) manifest = NULL;
  Import self = { .tool = tool, .files = files, .names = names };

  if (add && replace)
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                           _ ("--add and --replace exclude each other"));
      return FALSE;
    }
  for (guint i = 0; i < n_sources; i++)
    {
      if (!collect_argument (&self, arguments[i], error))
        return FALSE;
    }
  if (tool->dry_run)
    {
      print_names (&self);
      return TRUE;
    }

  document = bs_tool_document_new (tool, arguments[n_sources], BS_TOOL_MAKE, engine, error);
  if (document == NULL || !bs_tool_document_open (document, tool, error) ||
      !check_target (document, error))
    return FALSE;

  pool = bs_tool_document_new_pool (document);
  manifest =
    add && document->manifest != NULL ? g_object_ref (document->manifest) : bs_manifest_new ();
  self.document = document;
  self.pool = pool;
  self.manifest = manifest;

  return import_all (&self, error);
}

const BsToolCommand bs_tool_import = {
  .name = "import",
  .arguments = N_ ("FILE… DOCUMENT"),
  .summary = N_ ("Make a document of files, with their names"),
  .entries = entries,
  .min_arguments = 2,
  .max_arguments = G_MAXUINT,
  .changes = TRUE,
  .run = run,
};
