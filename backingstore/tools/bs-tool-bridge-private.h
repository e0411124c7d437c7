/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

/* A backing made of two: a path of each, so that one store has both and one save copies from
 * the first to the second. Keys stay as they are. */
#define BS_TYPE_TOOL_BRIDGE (bs_tool_bridge_get_type ())
G_DECLARE_FINAL_TYPE (BsToolBridge, bs_tool_bridge, BS, TOOL_BRIDGE, GObject)

BsBacking *bs_tool_bridge_new (BsBacking *from_backing, GFile *from, BsBacking *to_backing, GFile *to) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
