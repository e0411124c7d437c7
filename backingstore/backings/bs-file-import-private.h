/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Put a new blob into scratch, whose content need not fit into memory. Nothing is left there
 * after an error. */

/* Reads `size` bytes, or, with -1, all that there are. */
gboolean bs_file_import_stream (BsFileDirectory *scratch, const BsKey *key, GInputStream *stream, gint64 size, GCancellable *cancellable, GError **error);
gboolean bs_file_import_file   (BsFileDirectory *scratch, const BsKey *key, GFile *file, GCancellable *cancellable, GError **error);

G_END_DECLS
