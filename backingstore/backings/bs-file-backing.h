/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <backingstore/base/bs-backing.h>
#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_FILE_BACKING (bs_file_backing_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsFileBacking, bs_file_backing, BS, FILE_BACKING, GObject)

#define BS_TYPE_FILE_BACKING_STATS (bs_file_backing_stats_get_type ())

/**
 * BsFileBackingStats:
 * @linked: blobs made available or permanent by a hard link
 * @reflinked: blobs that share their extents with their source
 * @copied: blobs that had to be copied
 * @foreign: files seen in persisted paths that are not ours, and were left alone
 *
 * What a file backing has done since it was made.
 */
typedef struct
{
  guint64 linked;
  guint64 reflinked;
  guint64 copied;
  guint64 foreign;

  /*< private >*/
  guint64 padding[8];
} BsFileBackingStats;

BS_AVAILABLE_IN_1_0
GType               bs_file_backing_stats_get_type (void) G_GNUC_CONST;
BS_AVAILABLE_IN_1_0
BsFileBackingStats *bs_file_backing_stats_copy     (const BsFileBackingStats *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void                bs_file_backing_stats_free     (BsFileBackingStats *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsFileBackingStats, bs_file_backing_stats_free)

BS_AVAILABLE_IN_1_0
BsFileBacking      *bs_file_backing_new            (GFile *directory) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsFileBacking      *bs_file_backing_new_temporary  (GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
GFile              *bs_file_backing_get_directory  (BsFileBacking *self);
BS_AVAILABLE_IN_1_0
BsFileBackingStats *bs_file_backing_get_stats      (BsFileBacking *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
