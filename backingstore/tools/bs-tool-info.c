/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-json-private.h"

/* The findings about one document. */
typedef struct
{
  guint64 n_blobs;
  guint64 n_entries;
  guint64 n_unnamed; /* blobs that the manifest does not name */
  guint64 n_missing; /* entries without a blob */
  guint64 n_foreign;
  guint64 n_quarantined;
  gboolean unsynced; /* a program was stopped before it had synced */
  gboolean unmarked;
  const char *root; /* "manifest", "application", or NULL */
} Findings;

static gboolean
has_child (BsToolDocument *document, const char *name)
{
  g_autoptr (GFile) child = g_file_get_child (document->file, name);

  return g_file_query_exists (child, NULL);
}

static guint64
count_children (BsToolDocument *document, const char *name)
{
  g_autoptr (GFile) folder = g_file_get_child (document->file, name);
  g_autoptr (GFileEnumerator) children =
    g_file_enumerate_children (folder, G_FILE_ATTRIBUTE_STANDARD_NAME,
                               G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL, NULL);
  GFileInfo *info;
  guint64 n = 0;

  while (children != NULL && g_file_enumerator_iterate (children, &info, NULL, NULL, NULL) &&
         info != NULL)
    n++;

  return n;
}

static void
look_into_folder (BsToolDocument *document, Findings *findings)
{
  g_autoptr (BsFileBackingStats) stats =
    bs_file_backing_get_stats (BS_FILE_BACKING (document->backing));

  findings->n_foreign = stats->foreign;
  findings->n_quarantined = count_children (document, ".quarantine");
  findings->unsynced = has_child (document, ".dirty");
  findings->unmarked = !has_child (document, ".backingstore");
}

static void
count_entries (BsToolDocument *document, Findings *findings)
{
  g_auto (GStrv) unnamed = bs_tool_document_list_unnamed (document);
  GListModel *entries = G_LIST_MODEL (document->manifest);

  findings->n_entries = g_list_model_get_n_items (entries);
  findings->n_unnamed = g_strv_length (unnamed);
  for (guint i = 0; i < findings->n_entries; i++)
    {
      g_autoptr (BsManifestEntry) entry = g_list_model_get_item (entries, i);
      g_autofree char *key = bs_manifest_entry_dup_key (entry);

      if (!bs_tracked_path_contains_key (document->tracked, key))
        findings->n_missing++;
    }
}

static void
find (BsToolDocument *document, Findings *findings)
{
  findings->n_blobs = bs_tracked_path_get_n_keys (document->tracked);
  if (document->manifest != NULL)
    findings->root = "manifest";
  else if (document->root != NULL)
    findings->root = "application";
  if (document->manifest != NULL)
    count_entries (document, findings);
  if (bs_tool_document_is_folder (document))
    look_into_folder (document, findings);
}

static void
print_json (BsToolDocument *document, const Findings *findings)
{
  g_autofree char *uri = g_file_get_uri (document->file);
  BsToolJson json;

  bs_tool_json_begin (&json);
  bs_tool_json_add_string (&json, "document", document->argument);
  bs_tool_json_add_string (&json, "uri", uri);
  bs_tool_json_add_string (&json, "engine", document->engine);
  bs_tool_json_add_number (&json, "blobs", findings->n_blobs);
  bs_tool_json_add_string (&json, "root", findings->root);
  if (document->manifest != NULL)
    {
      bs_tool_json_add_number (&json, "entries", findings->n_entries);
      bs_tool_json_add_number (&json, "unnamed", findings->n_unnamed);
      bs_tool_json_add_number (&json, "missing", findings->n_missing);
    }
  if (bs_tool_document_is_folder (document))
    {
      bs_tool_json_add_number (&json, "quarantined", findings->n_quarantined);
      bs_tool_json_add_number (&json, "foreign", findings->n_foreign);
      bs_tool_json_add_boolean (&json, "marked", !findings->unmarked);
      bs_tool_json_add_boolean (&json, "synced", !findings->unsynced);
    }
  bs_tool_json_end (&json);
}

static void
print_number (const char *label, guint64 n)
{
  g_print ("  %s %" PRIu64 "\n", label, n);
}

static void
print_text (BsToolDocument *document, const Findings *findings)
{
  g_print ("%s\n", document->name);
  if (bs_tool_document_is_folder (document))
    g_print ("  %s\n", _ ("a folder"));
  else
    g_print (_ ("  one file, of the engine “%s”\n"), document->engine);
  print_number (_ ("contents:"), findings->n_blobs);

  if (document->manifest != NULL)
    {
      print_number (_ ("names:"), findings->n_entries);
      if (findings->n_unnamed > 0)
        print_number (_ ("contents without a name:"), findings->n_unnamed);
      if (findings->n_missing > 0)
        print_number (_ ("names without a content:"), findings->n_missing);
    }
  else if (document->root != NULL)
    {
      g_print ("  %s\n", _ ("the list of names is the application’s own"));
    }
  else
    {
      g_print ("  %s\n", _ ("nothing was saved here yet"));
    }

  if (findings->n_quarantined > 0)
    print_number (_ ("files in quarantine:"), findings->n_quarantined);
  if (findings->n_foreign > 0)
    print_number (_ ("other files:"), findings->n_foreign);
  if (findings->unmarked)
    g_print ("  %s\n", _ ("the marker is missing, and is made when a program opens the document"));
  if (findings->unsynced)
    g_print ("  %s\n", _ ("a program was stopped before all was written: the next one that opens "
                          "the document checks every content"));
}

static gboolean
show (BsTool *tool, BsToolDocument *document, GError **error)
{
  Findings findings = { 0 };

  find (document, &findings);
  if (tool->json)
    print_json (document, &findings);
  else
    print_text (document, &findings);

  return TRUE;
}

static gboolean
run (BsTool *tool, char **arguments, GError **error)
{
  bs_tool_document_foreach (tool, arguments, show);

  return TRUE;
}

const BsToolCommand bs_tool_info = {
  .name = "info",
  .arguments = N_ ("DOCUMENT…"),
  .summary = N_ ("Tell what a document is and has"),
  .min_arguments = 1,
  .max_arguments = G_MAXUINT,
  .run = run,
};
