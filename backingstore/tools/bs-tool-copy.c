/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-bridge-private.h"
#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-json-private.h"

/* So many contents at once keep the threads of a store busy. */
#define MOST_UNDER_WAY 64

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

/* Contents on their way to the target, by the thread that copies. */
typedef struct
{
  BsTool *tool;
  BsToolDocument *from;
  BsToolDocument *to;
  BsPool *pool;
  GMainContext *context;
  guint n_under_way;
  guint64 n_done;
  guint64 n_total;
  GError *error; /* the first */
} Transfer;

static void
persisted_cb (GObject *item, GAsyncResult *result, gpointer data)
{
  Transfer *self = data;
  g_autoptr (GError) error = NULL;

  self->n_under_way--;
  if (!bs_item_persist_finish (BS_ITEM (item), result, &error) && self->error == NULL)
    self->error = g_steal_pointer (&error);
  bs_tool_count (self->tool, _ ("Copying"), ++self->n_done, self->n_total);
}

static void
wait_until_under (Transfer *self, guint n)
{
  while (self->n_under_way > n)
    g_main_context_iteration (self->context, TRUE);
}

/* An item lives no longer than it takes to copy its content, so that many take no memory. */
static void
transfer_keys (Transfer *self, char **keys)
{
  for (guint64 i = 0; keys[i] != NULL && self->error == NULL; i++)
    {
      g_autoptr (BsItem) item = NULL;

      wait_until_under (self, MOST_UNDER_WAY - 1);
      if (self->error != NULL)
        break;
      item = bs_pool_register (self->pool, self->from->tracked, keys[i], self->tool->cancellable,
                               &self->error);
      if (item == NULL)
        break;
      self->n_under_way++;
      bs_item_persist_async (item, self->to->tracked, G_PRIORITY_DEFAULT, self->tool->cancellable,
                             persisted_cb, self);
    }
  wait_until_under (self, 0);
}

static gboolean
transfer (BsTool *tool, BsToolDocument *from, BsToolDocument *to, char **keys, GError **error)
{
  g_autoptr (BsPool) pool = bs_tool_document_new_pool (to);
  g_autoptr (GMainContext) context = g_main_context_new ();
  Transfer self = { .tool = tool, .from = from, .to = to, .pool = pool, .context = context };

  self.n_total = bs_tracked_path_get_n_keys (from->tracked);
  g_main_context_push_thread_default (context);
  transfer_keys (&self, keys);
  g_main_context_pop_thread_default (context);
  if (self.error == NULL)
    return TRUE;

  g_propagate_error (error, self.error);
  return FALSE;
}

/* Up to here the target is what it was, besides contents that nothing names. */
static gboolean
save (BsTool *tool, BsToolDocument *from, BsToolDocument *to, char **keys, GError **error)
{
  g_autoptr (BsSave) save = bs_save_new (to->store, to->tracked);

  for (guint64 i = 0; keys[i] != NULL; i++)
    bs_save_keep_key (save, keys[i]);
  if (from->root != NULL)
    bs_save_set_root (save, from->root);

  bs_tool_follow (tool, _ ("Saving"), save);
  if (!bs_save_run (save, tool->cancellable, error))
    return FALSE;
  bs_tool_count (tool, NULL, 0, 0);

  return TRUE;
}

/* A save of nothing is refused, and a document without contents is as good as a new one. */
static gboolean
transfer_and_save (BsTool *tool, BsToolDocument *from, BsToolDocument *to, GError **error)
{
  g_auto (GStrv) keys = bs_tracked_path_list_keys (from->tracked);

  /* The root is copied as it is, and a million names take memory. */
  g_clear_object (&from->manifest);
  g_clear_object (&to->manifest);
  if (keys[0] == NULL && from->root == NULL)
    return TRUE;

  return transfer (tool, from, to, keys, error) && save (tool, from, to, keys, error);
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
      !transfer_and_save (tool, from, to, error) || !bs_tool_document_close (to, error))
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
