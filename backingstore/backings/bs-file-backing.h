/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backings/bs-file-backing-stats.h>
#include <backingstore/base/bs-backing.h>
#include <backingstore/bs-version.h>

G_BEGIN_DECLS

/**
 * BsRepairFlags:
 * @BS_REPAIR_NONE: nothing but a marker where there is none
 * @BS_REPAIR_DRY_RUN: change nothing, and tell what would be done
 * @BS_REPAIR_ADOPT: take a directory that holds other files beside blobs, or has a damaged
 *   marker
 * @BS_REPAIR_RESTORE: put back blobs from quarantine that are whole
 *
 * Flags for [method@FileBacking.repair_path].
 */
typedef enum
{
  BS_REPAIR_NONE = 0,
  BS_REPAIR_DRY_RUN = 1 << 0,
  BS_REPAIR_ADOPT = 1 << 1,
  BS_REPAIR_RESTORE = 1 << 2,
} BsRepairFlags;

#define BS_TYPE_FILE_BACKING (bs_file_backing_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsFileBacking, bs_file_backing, BS, FILE_BACKING, GObject)

BS_AVAILABLE_IN_1_0
BsFileBacking      *bs_file_backing_new            (GFile *directory) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsFileBacking      *bs_file_backing_new_temporary  (GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsFileBacking      *bs_file_backing_new_temporary_in (GFile *parent, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
GFile              *bs_file_backing_get_directory  (BsFileBacking *self);
BS_AVAILABLE_IN_1_0
gboolean            bs_file_backing_get_read_only  (BsFileBacking *self);
BS_AVAILABLE_IN_1_0
void                bs_file_backing_set_read_only  (BsFileBacking *self, gboolean read_only);
BS_AVAILABLE_IN_1_0
gboolean            bs_file_backing_repair_path    (BsFileBacking *self, GFile *path, BsRepairFlags flags, BsKeySet *restored, gboolean *marked, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
BsFileBackingStats *bs_file_backing_get_stats      (BsFileBacking *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
