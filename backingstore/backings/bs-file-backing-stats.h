/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib-object.h>

#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_FILE_BACKING_STATS (bs_file_backing_stats_get_type ())

/**
 * BsFileBackingStats:
 * @linked: blobs made available or permanent by a hard link
 * @reflinked: blobs that share their extents with their source
 * @copied: blobs that had to be copied
 * @cross_device: how many of the reflinked or copied ones were not linked because
 *   the other directory is on another file system (`EXDEV`)
 * @not_permitted: because the file system has no hard links, or not for this
 *   file (`EPERM`)
 * @too_many_links: because the file has as many links as it may (`EMLINK`)
 * @not_supported: because the system does not know how (`EOPNOTSUPP`, `ENOSYS`)
 * @rewritten: blobs written anew because a sync had failed
 * @quarantined: bad blobs set aside
 * @foreign: files seen in persisted paths that are not ours, and were left alone
 *
 * The figures of a file backing since it was made.
 */
typedef struct
{
  guint64 linked;
  guint64 reflinked;
  guint64 copied;
  guint64 cross_device;
  guint64 not_permitted;
  guint64 too_many_links;
  guint64 not_supported;
  guint64 rewritten;
  guint64 quarantined;
  guint64 foreign;

  /*< private >*/
  guint64 padding[6];
} BsFileBackingStats;

BS_AVAILABLE_IN_1_0
GType               bs_file_backing_stats_get_type (void) G_GNUC_CONST;
BS_AVAILABLE_IN_1_0
BsFileBackingStats *bs_file_backing_stats_copy     (const BsFileBackingStats *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void                bs_file_backing_stats_free     (BsFileBackingStats *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsFileBackingStats, bs_file_backing_stats_free)

G_END_DECLS
