/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-gtk-picture-bounds-private.h"

G_BEGIN_DECLS

/* By glycin or by gdk-pixbuf: one of the two is built. */
GdkPixbuf *bs_gtk_pixels_load (GBytes *bytes,
                               const BsGtkPictureBounds *bounds,
                               GCancellable *cancellable,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
