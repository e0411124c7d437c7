/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-json-private.h"

/* The names that the manifest has for some keys. */
static char **
list_names (BsToolDocument *document, BsKeySet *keys)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  guint n =
    document->manifest != NULL ? g_list_model_get_n_items (G_LIST_MODEL (document->manifest)) : 0;

  for (guint i = 0; i < n && bs_key_set_get_n_keys (keys) > 0; i++)
    {
      g_autoptr (BsManifestEntry) entry =
        g_list_model_get_item (G_LIST_MODEL (document->manifest), i);
      g_autofree char *key = bs_manifest_entry_dup_key (entry);

      if (bs_key_set_contains_key (keys, key))
        g_ptr_array_add (names, bs_manifest_entry_dup_name (entry));
    }
  g_ptr_array_add (names, NULL);

  return (char **) g_ptr_array_steal (names, NULL);
}

/* Entries whose contents are not there when the document is opened. */
static BsKeySet *
list_missing (BsToolDocument *document)
{
  BsKeySet *missing = bs_key_set_new ();
  guint n =
    document->manifest != NULL ? g_list_model_get_n_items (G_LIST_MODEL (document->manifest)) : 0;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (BsManifestEntry) entry =
        g_list_model_get_item (G_LIST_MODEL (document->manifest), i);
      g_autofree char *key = bs_manifest_entry_dup_key (entry);

      if (!bs_tracked_path_contains_key (document->tracked, key))
        bs_key_set_add (missing, key, NULL);
    }

  return missing;
}

static void
print_json (BsToolDocument *document, guint64 n_checked, BsKeySet *bad, BsKeySet *missing)
{
  g_auto (GStrv) bad_keys = bs_key_set_list_keys (bad);
  g_auto (GStrv) bad_names = list_names (document, bad);
  g_auto (GStrv) missing_names = list_names (document, missing);
  BsToolJson json;

  bs_tool_json_begin (&json);
  bs_tool_json_add_string (&json, "document", document->argument);
  bs_tool_json_add_number (&json, "checked", n_checked);
  bs_tool_json_add_strings (&json, "damaged", (const char *const *) bad_keys);
  bs_tool_json_add_strings (&json, "damaged-names", (const char *const *) bad_names);
  bs_tool_json_add_strings (&json, "missing-names", (const char *const *) missing_names);
  bs_tool_json_end (&json);
}

static void
print_lines (const char *label, char **words)
{
  for (guint i = 0; words[i] != NULL; i++)
    {
      g_autofree char *shown = bs_tool_escape (words[i]);

      g_print ("%s %s\n", label, shown);
    }
}

static void
print_text (BsToolDocument *document, guint64 n_checked, BsKeySet *bad, BsKeySet *missing)
{
  g_auto (GStrv) bad_keys = bs_key_set_list_keys (bad);
  g_auto (GStrv) bad_names = list_names (document, bad);
  g_auto (GStrv) missing_names = list_names (document, missing);

  print_lines (_ ("damaged content:"), bad_keys);
  print_lines (_ ("damaged:"), bad_names);
  print_lines (_ ("missing:"), missing_names);
  g_print (g_dngettext (GETTEXT_PACKAGE, "%s: %" PRIu64 " content was checked",
                        "%s: %" PRIu64 " contents were checked", n_checked),
           document->name, n_checked);
  g_print ("\n");
}

static gboolean
check (BsTool *tool, BsToolDocument *document, GError **error)
{
  g_autoptr (BsKeySet) missing = list_missing (document);
  g_autoptr (BsVerify) verify = bs_verify_new (document->store, document->tracked);
  g_autoptr (BsKeySet) bad = NULL;
  guint64 n_checked;

  bs_tool_follow (tool, _ ("Checking"), verify);
  if (!bs_verify_run (verify, tool->cancellable, error))
    return FALSE;

  bs_tool_count (tool, NULL, 0, 0);
  bad = bs_verify_dup_bad_keys (verify);
  n_checked = bs_verify_get_n_total (verify);
  if (tool->json)
    print_json (document, n_checked, bad, missing);
  else if (!tool->quiet)
    print_text (document, n_checked, bad, missing);
  if (bs_key_set_get_n_keys (bad) + bs_key_set_get_n_keys (missing) > 0 &&
      tool->status == BS_TOOL_DONE)
    tool->status = BS_TOOL_CORRUPT;

  return TRUE;
}

static gboolean
run (BsTool *tool, char **arguments, GError **error)
{
  bs_tool_document_foreach (tool, arguments, check);

  return TRUE;
}

const BsToolCommand bs_tool_verify = {
  .name = "verify",
  .arguments = N_ ("DOCUMENT…"),
  .summary = N_ ("Check whether every content of a document is whole"),
  .min_arguments = 1,
  .max_arguments = G_MAXUINT,
  .run = run,
};
