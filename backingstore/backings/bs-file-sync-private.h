/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Makes the changes in a persisted directory durable. */
gboolean bs_file_sync (BsFileDirectory *directory, GError **error);

G_END_DECLS
