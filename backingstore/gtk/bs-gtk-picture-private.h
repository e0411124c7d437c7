/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-gtk-picture-bounds-private.h"

G_BEGIN_DECLS

GdkTexture *bs_gtk_picture_decode (GBytes *bytes,
                                   const BsGtkPictureBounds *bounds,
                                   GCancellable *cancellable,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

gsize bs_gtk_picture_get_size (GdkTexture *texture);

G_END_DECLS
