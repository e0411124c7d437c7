/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-json-private.h"

static gboolean adopt;
static gboolean quarantine;

static const GOptionEntry entries[] = {
  { "adopt", 0, 0, G_OPTION_ARG_NONE, &adopt,
    N_ ("Take a folder that has other files beside contents, or a damaged marker"), NULL },
  { "quarantine", 0, 0, G_OPTION_ARG_NONE, &quarantine,
    N_ ("Check every content, and set damaged ones aside"), NULL },
  G_OPTION_ENTRY_NULL
};

/* The changes that were made, or would be. */
typedef struct
{
  gboolean marked;
  guint64 n_restored;
  guint64 n_set_aside;
} Repair;

static gboolean
repair_folder (BsTool *tool, BsToolDocument *document, Repair *repair, GError **error)
{
  g_autoptr (BsKeySet) restored = bs_key_set_new ();
  BsRepairFlags flags = BS_REPAIR_RESTORE;

  if (adopt)
    flags |= BS_REPAIR_ADOPT;
  if (tool->dry_run)
    flags |= BS_REPAIR_DRY_RUN;
  if (!bs_file_backing_repair_path (BS_FILE_BACKING (document->backing), document->file, flags,
                                    restored, &repair->marked, tool->cancellable, error))
    return FALSE;
  repair->n_restored = bs_key_set_get_n_keys (restored);

  return TRUE;
}

/* Another engine puts back what is whole when it opens the document, and counts that in a dry
 * run, if it can. */
static gboolean
can_restore (BsToolDocument *document)
{
  return g_object_class_find_property (G_OBJECT_GET_CLASS (document->backing), "restores") != NULL;
}

static gboolean
open_document (BsTool *tool, BsToolDocument *document, Repair *repair, GError **error)
{
  if (can_restore (document))
    g_object_set (document->backing, "restores", TRUE, NULL);
  if (!bs_tool_document_open (document, tool, error))
    return FALSE;
  if (can_restore (document))
    g_object_get (document->backing, "n-restored", &repair->n_restored, NULL);

  return TRUE;
}

/* A document that is opened for reading keeps its damaged contents where they are. */
static gboolean
check (BsTool *tool, BsToolDocument *document, Repair *repair, GError **error)
{
  g_autoptr (BsVerify) verify = bs_verify_new (document->store, document->tracked);

  bs_tool_follow (tool, _ ("Checking"), verify);
  if (!bs_verify_run (verify, tool->cancellable, error))
    return FALSE;
  bs_tool_count (tool, NULL, 0, 0);
  repair->n_set_aside = bs_verify_get_n_bad (verify);

  return TRUE;
}

static void
print_json (BsTool *tool, BsToolDocument *document, const Repair *repair)
{
  BsToolJson json;

  bs_tool_json_begin (&json);
  bs_tool_json_add_string (&json, "document", document->argument);
  bs_tool_json_add_boolean (&json, "marked", repair->marked);
  bs_tool_json_add_number (&json, "restored", repair->n_restored);
  bs_tool_json_add_number (&json, "set-aside", repair->n_set_aside);
  bs_tool_json_add_boolean (&json, "done", !tool->dry_run);
  bs_tool_json_end (&json);
}

static void
print_text (BsTool *tool, BsToolDocument *document, const Repair *repair)
{
  if (repair->marked)
    bs_tool_say (tool,
                 tool->dry_run ? _ ("%s: the marker would be made anew")
                               : _ ("%s: the marker was made anew"),
                 document->name);
  if (repair->n_restored > 0)
    bs_tool_say (tool,
                 tool->dry_run
                   ? _ ("%s: whole contents in quarantine that would be put back: %" PRIu64)
                   : _ ("%s: whole contents in quarantine that were put back: %" PRIu64),
                 document->name, repair->n_restored);
  if (repair->n_set_aside > 0)
    bs_tool_say (tool,
                 tool->dry_run ? _ ("%s: damaged contents that would be set aside: %" PRIu64)
                               : _ ("%s: damaged contents that were set aside: %" PRIu64),
                 document->name, repair->n_set_aside);
  if (!repair->marked && repair->n_restored + repair->n_set_aside == 0)
    bs_tool_say (tool, _ ("%s: nothing is to be repaired"), document->name);
}

/* Opening for writing does the rest: it takes in a log, and removes what an interrupted
 * program has left. A folder whose marker is missing still cannot be opened in a dry run. */
static gboolean
run (BsTool *tool, char **arguments, GError **error)
{
  g_autoptr (BsToolDocument) document =
    bs_tool_document_new (tool, arguments[0], BS_TOOL_CHANGE, NULL, error);
  Repair repair = { FALSE };
  gboolean opens;

  tool->adopts = adopt;
  if (document == NULL)
    return FALSE;
  if (bs_tool_document_is_folder (document) && !repair_folder (tool, document, &repair, error))
    return FALSE;

  opens = !tool->dry_run || !repair.marked;
  if ((opens && !open_document (tool, document, &repair, error)) ||
      (opens && quarantine && !check (tool, document, &repair, error)) ||
      (opens && !bs_tool_document_close (document, error)))
    return FALSE;

  if (tool->json)
    print_json (tool, document, &repair);
  else
    print_text (tool, document, &repair);

  return TRUE;
}

const BsToolCommand bs_tool_repair = {
  .name = "repair",
  .arguments = N_ ("DOCUMENT"),
  .summary = N_ ("Make a document fit for use again"),
  .entries = entries,
  .min_arguments = 1,
  .max_arguments = 1,
  .changes = TRUE,
  .run = run,
};
