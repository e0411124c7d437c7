/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-item.h>

G_BEGIN_DECLS

#define BS_TYPE_LOADER (bs_loader_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsLoader, bs_loader, BS, LOADER, GObject)

BS_AVAILABLE_IN_1_0
BsLoader     *bs_loader_new                 (GObject *target, const char *target_property) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
GObject      *bs_loader_dup_target          (BsLoader *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
const char   *bs_loader_get_target_property (BsLoader *self);
BS_AVAILABLE_IN_1_0
BsItem       *bs_loader_get_item            (BsLoader *self);
BS_AVAILABLE_IN_1_0
void          bs_loader_set_item            (BsLoader *self, BsItem *item);
BS_AVAILABLE_IN_1_0
GObject      *bs_loader_get_placeholder     (BsLoader *self);
BS_AVAILABLE_IN_1_0
void          bs_loader_set_placeholder     (BsLoader *self, GObject *placeholder);
BS_AVAILABLE_IN_1_0
const GError *bs_loader_get_error           (BsLoader *self);
BS_AVAILABLE_IN_1_0
gboolean      bs_loader_get_loading         (BsLoader *self);

G_END_DECLS
