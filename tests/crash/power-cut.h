/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "event-log.h"

G_BEGIN_DECLS

/* The states in which a power cut may leave a disk.
 *
 * A file's data and attributes are certain from the next fsync() of the file or
 * syncfs() on, a name from the next fsync() of its folder or syncfs(); nothing
 * else is. In particular, the fsync() of a new file does not save its name, as
 * it does on some file systems. What is not certain is there or not, each by
 * itself; of data it may also be a part, or zeros of the right length. Where a
 * rename is there, the new name has come and the old one has gone. Attributes
 * stand in the inode, apart from the data, so that either may be there without
 * the other; but where a name is, the attributes are that the file had when it
 * got the name, since ext4, xfs and btrfs keep these in one journal or tree, in
 * order. After a sync that failed, no later one saves what was written
 * before it: the kernel has forgotten that it should. */

typedef enum
{
  POWER_CUT_LOSES_ALL,          /* only what is certain is there */
  POWER_CUT_LOSES_DATA,         /* all names and attributes, in files that are empty */
  POWER_CUT_ZEROES_DATA,        /* all names and attributes, files of the right length */
  POWER_CUT_LOSES_NOTHING,
  POWER_CUT_RANDOM,
  POWER_CUT_PREFIX,             /* names and attributes up to some moment, as a journal keeps them; data at random */
  POWER_CUT_N_STYLES,
} PowerCutStyle;

const char *power_cut_get_name (PowerCutStyle style);

/* Makes an empty directory what the logged one may be after `n_events`. */
void        power_cut_apply    (const EventLog *log, gsize n_events, PowerCutStyle style, GRand *rand, const char *directory);

G_END_DECLS
