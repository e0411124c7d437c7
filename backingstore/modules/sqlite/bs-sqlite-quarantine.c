/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-quarantine-private.h"

#include "bs-sqlite-changes-private.h"
#include "bs-sqlite-reading-private.h"

/* A content that is damaged still stays in quarantine, and so does one whose key has another. */
static gboolean
restore_row (BsSqliteDocument *document,
             const BsSqliteRow *row,
             gboolean only_count,
             guint64 *n_restored,
             GError **error)
{
  GError *local = NULL;
  BsSqliteRow named;

  if (bs_sqlite_document_lookup (document, &row->key, &named))
    return TRUE;

  if (!bs_sqlite_document_read_large (document, row, NULL, &local))
    {
      if (!g_error_matches (local, BS_ERROR, BS_ERROR_CORRUPT))
        {
          g_propagate_error (error, local);
          return FALSE;
        }
      g_error_free (local);
      return TRUE;
    }
  if (!only_count && !bs_sqlite_document_put_back (document, row, error))
    return FALSE;

  ++*n_restored;
  return TRUE;
}

gboolean
bs_sqlite_quarantine_restore (BsSqliteDocument *document,
                              gboolean only_count,
                              guint64 *n_restored,
                              GError **error)
{
  BsSqliteRows rows = { 0 };
  gboolean success = bs_sqlite_document_load_quarantine (document, &rows, error);

  for (gsize i = 0; success && rows.slots != NULL && i <= rows.mask; i++)
    {
      if (rows.slots[i].id != 0)
        success = restore_row (document, &rows.slots[i], only_count, n_restored, error);
    }
  bs_sqlite_rows_clear (&rows);

  return success;
}
