/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Maps fresh whole pages, which may be unmapped in parts. They are faulted in already,
 * unless they are so many that a load could not be cancelled meanwhile. Returns NULL if
 * there is no such memory. Safe to call from any thread. */
guint8 *bs_file_pages_map (gsize size) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
