/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/base/bs-backing.h>
#include <backingstore/bs-version.h>

G_BEGIN_DECLS

/**
 * BS_BACKING_EXTENSION_POINT_NAME:
 *
 * The extension point of engines: types that implement [iface@Backing] and
 * [iface@Gio.Initable], each named by its URI scheme.
 */
#define BS_BACKING_EXTENSION_POINT_NAME "bs-backing"

BS_AVAILABLE_IN_1_0
BsBacking *bs_backing_new_for_uri (const char *uri, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
gboolean   bs_backing_add_scheme  (const char *scheme, GType type, GError **error);

G_END_DECLS
