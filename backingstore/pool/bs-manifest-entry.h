/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-item.h>

G_BEGIN_DECLS

#define BS_TYPE_MANIFEST_ENTRY (bs_manifest_entry_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsManifestEntry, bs_manifest_entry, BS, MANIFEST_ENTRY, GObject)

BS_AVAILABLE_IN_1_0
char     *bs_manifest_entry_dup_name         (BsManifestEntry *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
char     *bs_manifest_entry_dup_key          (BsManifestEntry *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsItem   *bs_manifest_entry_dup_item         (BsManifestEntry *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
GVariant *bs_manifest_entry_dup_attributes   (BsManifestEntry *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
GVariant *bs_manifest_entry_lookup_attribute (BsManifestEntry *self, const char *name, const GVariantType *expected_type) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
