/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-commands-private.h"
#include "bs-tool-document-private.h"
#include "bs-tool-json-private.h"

/* The disk that a document takes. */
typedef struct
{
  guint64 disk;       /* all of it */
  guint64 quarantine; /* a part of it */
} Usage;

static gboolean
measure (GFile *file, GCancellable *cancellable, guint64 *size, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (g_file_measure_disk_usage (file, G_FILE_MEASURE_REPORT_ANY_ERROR, cancellable, NULL, NULL,
                                 size, NULL, NULL, &local))
    return TRUE;

  *size = 0;
  if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
measure_folder (BsToolDocument *document, GCancellable *cancellable, Usage *usage, GError **error)
{
  g_autoptr (GFile) quarantine = g_file_get_child (document->file, ".quarantine");

  return measure (document->file, cancellable, &usage->disk, error) &&
         measure (quarantine, cancellable, &usage->quarantine, error);
}

/* A document in one file may have a log beside it. */
static gboolean
measure_file (BsToolDocument *document, GCancellable *cancellable, Usage *usage, GError **error)
{
  static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
  const char *path = g_file_peek_path (document->file);

  if (path == NULL)
    {
      g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, _ ("“%s” is not on a disk"),
                   document->name);
      return FALSE;
    }

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *name = g_strconcat (path, suffixes[i], NULL);
      g_autoptr (GFile) file = g_file_new_for_path (name);
      guint64 size;

      if (!measure (file, cancellable, &size, error))
        return FALSE;
      usage->disk += size;
    }

  return TRUE;
}

static void
print_json (BsToolDocument *document, const Usage *usage)
{
  BsToolJson json;

  bs_tool_json_begin (&json);
  bs_tool_json_add_string (&json, "document", document->argument);
  bs_tool_json_add_number (&json, "blobs", bs_tracked_path_get_n_keys (document->tracked));
  bs_tool_json_add_number (&json, "disk", usage->disk);
  bs_tool_json_add_number (&json, "quarantine", usage->quarantine);
  bs_tool_json_end (&json);
}

static gboolean
show (BsTool *tool, BsToolDocument *document, GError **error)
{
  Usage usage = { 0 };
  g_autofree char *disk = NULL;

  if (bs_tool_document_is_folder (document)
        ? !measure_folder (document, tool->cancellable, &usage, error)
        : !measure_file (document, tool->cancellable, &usage, error))
    return FALSE;

  disk = g_format_size (usage.disk);
  if (tool->json)
    print_json (document, &usage);
  else
    g_print ("%10s  %s\n", disk, document->name);
  if (!tool->json && usage.quarantine > 0)
    {
      g_autofree char *quarantine = g_format_size (usage.quarantine);

      g_print (_ ("%10s  of that in quarantine\n"), quarantine);
    }

  return TRUE;
}

static gboolean
run (BsTool *tool, char **arguments, GError **error)
{
  bs_tool_document_foreach (tool, arguments, show);

  return TRUE;
}

const BsToolCommand bs_tool_du = {
  .name = "du",
  .arguments = N_ ("DOCUMENT…"),
  .summary = N_ ("Tell how much disk a document takes"),
  .min_arguments = 1,
  .max_arguments = G_MAXUINT,
  .run = run,
};
