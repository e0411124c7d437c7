/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-manifest-table-private.h"
#include "bs-manifest.h"

G_BEGIN_DECLS

/* Borrowed: the manifest has it as long as it lives. */
BsManifestTable *bs_manifest_get_table (BsManifest *self);

G_END_DECLS
