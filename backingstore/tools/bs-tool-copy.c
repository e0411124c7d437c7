/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-bridge-private.h"
#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-json-private.h"

static gboolean replace;
static char *engine;

static const GOptionEntry entries[] = {
  { "replace", 0, 0, G_OPTION_ARG_NONE, &replace, N_ ("Replace all that the target has"), NULL },
  { "engine", 0, 0, G_OPTION_ARG_STRING, &engine,
    N_ ("The engine of a target that is made: file (a folder) or sqlite (one file)"),
    N_ ("ENGINE") },
  G_OPTION_ENTRY_NULL
};

typedef struct
{
  BsToolDocument *from;
  gboolean all;
} Comparison;

static void
compare_key (const char *key, gpointer data)
{
  Comparison *comparison = data;

  comparison->all &= bs_tracked_path_contains_key (comparison->from->tracked, key);
}

/* A copy that was stopped has left contents of the source, and no root. */
static gboolean
is_part_of (BsToolDocument *to, BsToolDocument *from)
{
  Comparison comparison = { from, to->root == NULL };

  bs_tracked_path_foreach_key (to->tracked, compare_key, &comparison);

  return comparison.all;
}

static gboolean
check_target (BsToolDocument *from, BsToolDocument *to, GError **error)
{
  if (from->root == NULL && to->root != NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                   _ ("“%s” was never saved, and cannot take the place of “%s”, which was"),
                   from->name, to->name);
      return FALSE;
    }
  if (replace || is_part_of (to, from))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
               _ ("“%s” has contents: --replace deletes them"), to->name);
  return FALSE;
}

static gboolean
save (BsTool *tool, BsToolDocument *from, BsToolDocument *to, GError **error)
{
  g_autoptr (BsPool) pool = bs_tool_document_new_pool (to);
  g_autoptr (GListModel) items = NULL;
  g_autoptr (BsSave) save = bs_save_new (to->store, to->tracked);
  guint n;

  items = bs_pool_register_all (pool, from->tracked, tool->cancellable, error);
  if (items == NULL)
    return FALSE;

  n = g_list_model_get_n_items (items);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (BsItem) item = g_list_model_get_item (items, i);

      bs_save_add_item (save, item);
    }
  if (from->root != NULL)
    bs_save_set_root (save, from->root);
  /* A save of nothing is refused, and a document without contents is as good as a new one. */
  if (n == 0 && from->root == NULL)
    return TRUE;

  bs_tool_follow (tool, _ ("Copying"), save);
  if (!bs_save_run (save, tool->cancellable, error))
    return FALSE;
  bs_tool_count (tool, NULL, 0, 0);

  return TRUE;
}

static void
tell (BsTool *tool, BsToolDocument *from, BsToolDocument *to)
{
  guint64 n = bs_tracked_path_get_n_keys (from->tracked);
  BsToolJson json;

  if (tool->dry_run)
    bs_tool_say (tool,
                 g_dngettext (GETTEXT_PACKAGE, "%" PRIu64 " content would be copied",
                              "%" PRIu64 " contents would be copied", n),
                 n);
  else
    bs_tool_say (tool,
                 g_dngettext (GETTEXT_PACKAGE, "%" PRIu64 " content was copied",
                              "%" PRIu64 " contents were copied", n),
                 n);
  if (!tool->json)
    return;

  bs_tool_json_begin (&json);
  bs_tool_json_add_string (&json, "from", from->argument);
  bs_tool_json_add_string (&json, "to", to->argument);
  bs_tool_json_add_number (&json, "blobs", n);
  bs_tool_json_add_boolean (&json, "root", from->root != NULL);
  bs_tool_json_add_boolean (&json, "done", !tool->dry_run);
  bs_tool_json_end (&json);
}

/* Whether one is the other, or is inside of the other's folder. */
static gboolean
are_apart (BsToolDocument *from, BsToolDocument *to, GError **error)
{
  if (!g_file_equal (from->file, to->file) && !g_file_has_prefix (from->file, to->file) &&
      !g_file_has_prefix (to->file, from->file))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               _ ("“%s” and “%s” are one document, or one is inside the other"), from->name,
               to->name);
  return FALSE;
}

/* A target that is missing is only looked at: it is empty. */
static gboolean
look (BsTool *tool, BsToolDocument *from, BsToolDocument *to, GError **error)
{
  if (!bs_tool_document_open (from, tool, error))
    return FALSE;
  if (to->exists && (!bs_tool_document_open (to, tool, error) || !check_target (from, to, error)))
    return FALSE;

  tell (tool, from, to);

  return TRUE;
}

static gboolean
copy (BsTool *tool, BsToolDocument *from, BsToolDocument *to, GError **error)
{
  g_autoptr (BsBacking) bridge =
    bs_tool_bridge_new (from->backing, from->file, to->backing, to->file);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (bridge);

  if (!bs_tool_document_open_in (from, tool, store, error) ||
      !bs_tool_document_open_in (to, tool, store, error) || !check_target (from, to, error) ||
      !save (tool, from, to, error) || !bs_tool_document_close (to, error))
    return FALSE;

  tell (tool, from, to);

  return TRUE;
}

static gboolean
run (BsTool *tool, char **arguments, GError **error)
{
  g_autoptr (BsToolDocument) from =
    bs_tool_document_new (tool, arguments[0], BS_TOOL_READ, NULL, error);
  g_autoptr (BsToolDocument) to = NULL;

  if (from == NULL)
    return FALSE;

  to = bs_tool_document_new (tool, arguments[1], BS_TOOL_MAKE, engine, error);
  if (to == NULL || !are_apart (from, to, error))
    return FALSE;

  return tool->dry_run ? look (tool, from, to, error) : copy (tool, from, to, error);
}

const BsToolCommand bs_tool_copy = {
  .name = "copy",
  .arguments = N_ ("FROM TO"),
  .summary = N_ ("Copy a document, also to another engine"),
  .entries = entries,
  .min_arguments = 2,
  .max_arguments = 2,
  .changes = TRUE,
  .run = run,
};
