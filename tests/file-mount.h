/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

/* File systems of a test's own, on loop devices or in memory. They are mounted
 * where no other process sees them, and are gone with this one however it ends. */

typedef struct _Mount Mount;

/* Before any thread is made: those that are there would not see the mounts. */
void        mount_init       (void);

/* Makes and mounts one below the directory. `type` is "ext4", "ext4-narrow" (whose
 * inodes have no room for attributes), "xfs", "btrfs", "vfat", "exfat", "tmpfs",
 * "overlay", whose layers are in memory, or "bindfs", a folder by way of a program;
 * `megabytes` 0 is the least it takes. Returns NULL, with the test skipped for a
 * reason, where that can't be done. */
Mount      *mount_new        (const char *directory, const char *type, guint megabytes);
const char *mount_get_path   (Mount *self);
/* The lower layer of an overlay, to be changed only before it is mounted again. */
char       *mount_get_lower  (Mount *self);
/* As if the stick was pulled out and put in again; nothing may be using it. What
 * is only in memory stays as it is. */
void        mount_again      (Mount *self);
/* The same file system at a second place, below the directory. */
Mount      *mount_bind       (Mount *self, const char *directory);
/* With other options, and at another place; like the system calls. */
int         mount_remount    (Mount *self, const char *options);
int         mount_move_over  (Mount *self, const char *path);
/* Open files keep the mount until they are closed. */
void        mount_free       (Mount *self);

/* Abilities of the file system, found by trying. */
gboolean    mount_has_links      (Mount *self);
gboolean    mount_has_reflinks   (Mount *self);
gboolean    mount_has_attributes (Mount *self);
gboolean    mount_has_modes      (Mount *self);

/* As after an error in its structures: nothing can be written any more. Returns
 * FALSE where that can't be brought about. */
gboolean    mount_turn_read_only (Mount *self);
/* As after the disk is gone: nothing works any more. The same. */
gboolean    mount_shut_down  (Mount *self);

/* Takes all the room that is left, and gives it back. */
void        mount_fill       (Mount *self);
void        mount_make_room  (Mount *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Mount, mount_free)
