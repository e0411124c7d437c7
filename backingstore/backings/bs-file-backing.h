/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backings/bs-file-backing-stats.h>
#include <backingstore/base/bs-backing.h>
#include <backingstore/bs-version.h>

G_BEGIN_DECLS

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
BsFileBackingStats *bs_file_backing_get_stats      (BsFileBacking *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
