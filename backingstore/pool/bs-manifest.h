/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-item.h>
#include <backingstore/pool/bs-manifest-entry.h>

G_BEGIN_DECLS

#define BS_TYPE_MANIFEST (bs_manifest_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsManifest, bs_manifest, BS, MANIFEST, GObject)

BS_AVAILABLE_IN_1_0
BsManifest      *bs_manifest_new            (void) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsManifest      *bs_manifest_new_from_bytes (GBytes *bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
GBytes          *bs_manifest_to_bytes       (BsManifest *self) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
BsManifestEntry *bs_manifest_lookup         (BsManifest *self, const char *name) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_find           (BsManifest *self, const char *name, guint *position);

BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_add            (BsManifest *self, const char *name, const char *key, GVariant *attributes, GError **error);
BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_add_item       (BsManifest *self, const char *name, BsItem *item, GVariant *attributes, GError **error);
BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_remove         (BsManifest *self, const char *name, GError **error);

BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_rename         (BsManifest *self, const char *name, const char *new_name, GError **error);
BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_move           (BsManifest *self, const char *name, guint position, GError **error);
BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_set_key        (BsManifest *self, const char *name, const char *key, GError **error);
BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_set_item       (BsManifest *self, const char *name, BsItem *item, GError **error);
BS_AVAILABLE_IN_1_0
gboolean         bs_manifest_set_attributes (BsManifest *self, const char *name, GVariant *attributes, GError **error);

G_END_DECLS
