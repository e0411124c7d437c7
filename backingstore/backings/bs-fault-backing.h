/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/base/bs-backing.h>
#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_FAULT_BACKING (bs_fault_backing_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsFaultBacking, bs_fault_backing, BS, FAULT_BACKING, GObject)

BS_AVAILABLE_IN_1_0
BsFaultBacking *bs_fault_backing_new       (BsBacking *inner) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsBacking      *bs_fault_backing_get_inner (BsFaultBacking *self);
BS_AVAILABLE_IN_1_0
void            bs_fault_backing_fail      (BsFaultBacking *self, BsOperation operation, const char *key, guint nth, const GError *error);
BS_AVAILABLE_IN_1_0
void            bs_fault_backing_delay     (BsFaultBacking *self, BsOperation operation, const char *key, guint milliseconds);
BS_AVAILABLE_IN_1_0
void            bs_fault_backing_hold      (BsFaultBacking *self, BsOperation operation);
BS_AVAILABLE_IN_1_0
void            bs_fault_backing_release   (BsFaultBacking *self, BsOperation operation);
BS_AVAILABLE_IN_1_0
void            bs_fault_backing_clear     (BsFaultBacking *self);
BS_AVAILABLE_IN_1_0
guint           bs_fault_backing_get_count (BsFaultBacking *self, BsOperation operation);

G_END_DECLS
