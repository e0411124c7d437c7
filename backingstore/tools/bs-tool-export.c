/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-folder-private.h"
#include "bs-tool-json-private.h"

static gboolean force;

static const GOptionEntry entries[] = {
  { "force", 'f', 0, G_OPTION_ARG_NONE, &force,
    N_ ("Write into a folder that is not empty, beside what is in it"), NULL },
  G_OPTION_ENTRY_NULL
};

/* An export in the making. */
typedef struct
{
  BsTool *tool;
  BsToolDocument *document;
  BsPool *pool;
  BsToolFolder folder;
  guint64 n_done;
  guint64 n_total;
  guint64 n_failed;
} Export;

static void
tell (Export *self, const char *name, const char *key, const char *path)
{
  BsToolJson json;

  if (!self->tool->json)
    return;

  bs_tool_json_begin (&json);
  bs_tool_json_add_string (&json, "name", name);
  bs_tool_json_add_string (&json, "key", key);
  bs_tool_json_add_string (&json, "file", path);
  bs_tool_json_end (&json);
}

/* The one place where a content becomes a file. */
static char *
write_content (Export *self, const char *path, const char *key, GError **error)
{
  g_autoptr (GInputStream) stream =
    bs_tool_document_read (self->document, self->pool, key, self->tool->cancellable, error);

  if (stream == NULL)
    return NULL;

  return bs_tool_folder_write (&self->folder, path, stream, self->tool->cancellable, error);
}

/* A content that is damaged or missing does not keep others from their files. */
static gboolean
is_of_one_content (const GError *error)
{
  return g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT) ||
         g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND);
}

static gboolean
export_one (Export *self, const char *name, const char *key, GError **error)
{
  g_autofree char *path = bs_tool_folder_make_path (name);
  g_autoptr (GError) local = NULL;
  g_autofree char *written = NULL;

  if (!self->tool->dry_run)
    written = write_content (self, path, key, &local);
  else if (bs_tracked_path_contains_key (self->document->tracked, key))
    written = g_strdup (path);
  bs_tool_count (self->tool, _ ("Exporting"), ++self->n_done, self->n_total);

  if (written != NULL)
    {
      tell (self, name, key, written);
      if (self->tool->dry_run)
        bs_tool_say (self->tool, "%s", written);
      return TRUE;
    }
  if (local != NULL && !is_of_one_content (local))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  self->n_failed++;
  bs_tool_warn (_ ("the content of “%s” is damaged or missing: %s"), path,
                local != NULL ? local->message : key);
  self->tool->status = BS_TOOL_CORRUPT;

  return TRUE;
}

static gboolean
export_entry (Export *self, BsManifestEntry *entry, GError **error)
{
  g_autofree char *name = bs_manifest_entry_dup_name (entry);
  g_autofree char *key = bs_manifest_entry_dup_key (entry);

  return export_one (self, name, key, error);
}

static gboolean
export_named (Export *self, char **names, GError **error)
{
  self->n_total = g_strv_length (names);
  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autoptr (BsManifestEntry) entry =
        self->document->manifest != NULL ? bs_manifest_lookup (self->document->manifest, names[i])
                                         : NULL;

      if (entry == NULL && bs_key_is_valid (names[i]))
        {
          if (!export_one (self, names[i], names[i], error))
            return FALSE;
          continue;
        }
      if (entry == NULL)
        {
          g_autofree char *name = bs_tool_escape (names[i]);

          g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                       _ ("The document has no content of the name “%s”"), name);
          return FALSE;
        }
      if (!export_entry (self, entry, error))
        return FALSE;
    }

  return TRUE;
}

static gboolean
export_all (Export *self, GError **error)
{
  g_auto (GStrv) keys = NULL;
  GListModel *manifest = NULL;

  /* A manifest names all that belongs to the document. */
  if (self->document->manifest != NULL)
    manifest = G_LIST_MODEL (self->document->manifest);
  else
    keys = bs_tool_document_list_unnamed (self->document);
  self->n_total = manifest != NULL ? g_list_model_get_n_items (manifest) : g_strv_length (keys);
  for (guint i = 0; i < self->n_total; i++)
    {
      g_autoptr (BsManifestEntry) entry =
        manifest != NULL ? g_list_model_get_item (manifest, i) : NULL;

      if (entry != NULL ? !export_entry (self, entry, error)
                        : !export_one (self, keys[i], keys[i], error))
        return FALSE;
    }

  return TRUE;
}

static gboolean
run_export (Export *self, char **arguments, GError **error)
{
  g_autoptr (GFile) target = g_file_new_for_commandline_arg (arguments[1]);
  gboolean exported;

  if (!self->tool->dry_run && !bs_tool_folder_open (&self->folder, target, force, error))
    return FALSE;

  exported =
    arguments[2] != NULL ? export_named (self, arguments + 2, error) : export_all (self, error);
  bs_tool_count (self->tool, NULL, 0, 0);
  if (exported && !self->tool->dry_run)
    {
      guint64 n = self->n_done - self->n_failed;

      bs_tool_say (self->tool,
                   g_dngettext (GETTEXT_PACKAGE, "%" PRIu64 " file was written",
                                "%" PRIu64 " files were written", n),
                   n);
    }

  return exported;
}

static gboolean
run (BsTool *tool, char **arguments, GError **error)
{
  g_autoptr (BsToolDocument) document =
    bs_tool_document_new (tool, arguments[0], BS_TOOL_READ, NULL, error);
  g_autoptr (BsPool) pool = NULL;
  Export self = { .tool = tool, .document = document, .folder = { .fd = -1 } };
  gboolean exported;

  if (document == NULL || !bs_tool_document_open (document, tool, error))
    return FALSE;

  pool = bs_tool_document_new_pool (document);
  self.pool = pool;
  exported = run_export (&self, arguments, error);
  bs_tool_folder_close (&self.folder);

  return exported;
}

const BsToolCommand bs_tool_export = {
  .name = "export",
  .arguments = N_ ("DOCUMENT FOLDER [NAME…]"),
  .summary = N_ ("Write the contents of a document to files of their names"),
  .entries = entries,
  .min_arguments = 2,
  .max_arguments = G_MAXUINT,
  .changes = TRUE,
  .run = run,
};
