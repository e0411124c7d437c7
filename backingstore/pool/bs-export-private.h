/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Makes a file of all that a seekable stream has, and puts it in the place of the one that is
 * there, if any, in one step. Leaves that one, and nothing besides, after an error. */
gboolean bs_export (GInputStream *stream, GFile *file, GCancellable *cancellable, GError **error);

G_END_DECLS
