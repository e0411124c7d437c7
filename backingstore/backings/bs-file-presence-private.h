/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Adds to `missing` the keys that another program has removed from the directory. A
 * folder is listed if its time has changed since it was last listed here. Returns 0 or an
 * errno. One thread at a time for each directory. */
int bs_file_find_missing (BsFileDirectory *directory, const BsKeyTable *expected, BsKeyTable *missing, GCancellable *cancellable);

G_END_DECLS
