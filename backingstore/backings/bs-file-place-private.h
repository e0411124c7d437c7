/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The directory of primary storage, found by a URI or made. */

GFile *bs_file_place_parse_uri         (const char *uri, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes a temporary directory where the user's programs keep caches, else temporary files. */
GFile *bs_file_place_make_temporary    (GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Makes a temporary directory, and its parents if need be. */
GFile *bs_file_place_make_temporary_in (GFile *parent, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
