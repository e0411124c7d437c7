/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Brings a blob from one directory to the other by the ladder: hard link, reflink, copy.
 * A blob that is there already is left alone. Returns 0 or an errno, see
 * BsFileDirectory. */

int bs_file_persist  (BsFileDirectory *scratch, BsFileDirectory *persisted, const BsKey *key, GCancellable *cancellable);
int bs_file_register (BsFileDirectory *persisted, BsFileDirectory *scratch, const BsKey *key, GCancellable *cancellable);

G_END_DECLS
