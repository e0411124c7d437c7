/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-json-private.h"

static gboolean show_sizes;

static const GOptionEntry entries[] = { { "long", 'l', 0, G_OPTION_ARG_NONE, &show_sizes,
                                          N_ ("Show keys and sizes too"), NULL },
                                        G_OPTION_ENTRY_NULL };

/* A list in the making. */
typedef struct
{
  BsTool *tool;
  BsToolDocument *document;
  BsPool *pool;
} Listing;

static void
print_json (const char *name, const char *key, const guint64 *size, gboolean present)
{
  BsToolJson json;

  bs_tool_json_begin (&json);
  bs_tool_json_add_string (&json, "name", name);
  bs_tool_json_add_string (&json, "key", key);
  if (size != NULL)
    bs_tool_json_add_number (&json, "size", *size);
  bs_tool_json_add_boolean (&json, "present", present);
  bs_tool_json_end (&json);
}

static void
print_text (const char *name, const char *key, const guint64 *size, gboolean present)
{
  g_autofree char *shown = name != NULL ? bs_tool_escape (name) : NULL;
  g_autofree char *length = size != NULL ? g_format_size (*size) : NULL;

  if (!show_sizes)
    g_print ("%s\n", shown != NULL ? shown : key);
  else
    g_print ("%s %10s %s\n", key, length != NULL ? length : "–", shown != NULL ? shown : "–");
  if (!present)
    bs_tool_warn (_ ("the content of “%s” is missing"), shown != NULL ? shown : key);
}

/* A content that cannot be read has no size, and the list goes on. */
static void
show (Listing *self, const char *name, const char *key)
{
  gboolean present = bs_tracked_path_contains_key (self->document->tracked, key);
  g_autoptr (GError) error = NULL;
  guint64 size;
  gboolean measured = show_sizes && present &&
                      bs_tool_document_measure (self->document, self->pool, key, &size,
                                                self->tool->cancellable, &error);

  if (self->tool->json)
    print_json (name, key, measured ? &size : NULL, present);
  else
    print_text (name, key, measured ? &size : NULL, present);
  if (error != NULL)
    bs_tool_report (self->tool, error);
}

static void
list_entries (Listing *self)
{
  GListModel *manifest = G_LIST_MODEL (self->document->manifest);
  guint n = g_list_model_get_n_items (manifest);

  for (guint i = 0; i < n && !g_cancellable_is_cancelled (self->tool->cancellable); i++)
    {
      g_autoptr (BsManifestEntry) entry = g_list_model_get_item (manifest, i);
      g_autofree char *name = bs_manifest_entry_dup_name (entry);
      g_autofree char *key = bs_manifest_entry_dup_key (entry);

      show (self, name, key);
    }
}

static void
list_unnamed (Listing *self)
{
  g_auto (GStrv) keys = bs_tool_document_list_unnamed (self->document);

  for (guint i = 0; keys[i] != NULL && !g_cancellable_is_cancelled (self->tool->cancellable); i++)
    show (self, NULL, keys[i]);
}

static gboolean
run (BsTool *tool, char **arguments, GError **error)
{
  g_autoptr (BsToolDocument) document =
    bs_tool_document_new (tool, arguments[0], BS_TOOL_READ, NULL, error);
  g_autoptr (BsPool) pool = NULL;
  Listing self;

  if (document == NULL || !bs_tool_document_open (document, tool, error))
    return FALSE;

  pool = bs_tool_document_new_pool (document);
  self = (Listing){ tool, document, pool };
  if (document->manifest != NULL)
    list_entries (&self);
  list_unnamed (&self);

  return TRUE;
}

const BsToolCommand bs_tool_list = {
  .name = "list",
  .arguments = N_ ("DOCUMENT"),
  .summary = N_ ("List the contents of a document by their names"),
  .entries = entries,
  .min_arguments = 1,
  .max_arguments = 1,
  .run = run,
};
