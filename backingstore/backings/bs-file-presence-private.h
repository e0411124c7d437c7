/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-backing-private.h"
#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Asks for each folder's inode, or 0, and the time of its last change, or 0 where a later
 * change may leave it the same time. Returns 0 or an errno. */
int bs_file_shard_times_read (BsFileShardTimes *self, BsFileDirectory *directory);

/* Adds to `missing` the keys that another program has removed from the directory. A
 * folder is listed if its time has changed since it was last listed. Returns 0 or an
 * errno. One thread at a time for each directory. */
int bs_file_find_missing     (BsFileDirectory *directory, BsExpectFunc expect, gpointer expect_data, BsKeyTable *missing, GCancellable *cancellable);

G_END_DECLS
