/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Reads a blob of scratch, whatever becomes of its name. The stream can seek. A content that
 * is read from start to end is compared with its digest before the last bytes are given
 * out. Returns 0 or an errno. */
int bs_file_open_stream (BsFileDirectory *scratch, const BsKey *key, GInputStream **stream, GCancellable *cancellable);

G_END_DECLS
