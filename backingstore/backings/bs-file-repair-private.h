/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-directory-private.h"

#include "base/bs-key-set.h"

G_BEGIN_DECLS

/* Puts back each blob in quarantine that is whole, where the directory has none of its key.
 * In a directory that cannot be written the keys are found alone. Returns 0 or an errno. */
int bs_file_restore (BsFileDirectory *directory, BsKeySet *restored, GCancellable *cancellable);

G_END_DECLS
