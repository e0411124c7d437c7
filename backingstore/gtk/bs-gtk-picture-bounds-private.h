/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Bounds of a decoded picture. */
typedef struct
{
  int max_size;       /* of the longer side, in pixels; 0: none */
  guint64 max_pixels; /* that the picture may declare */
} BsGtkPictureBounds;

gboolean bs_gtk_picture_bounds_allow (const BsGtkPictureBounds *self,
                                      guint width,
                                      guint height,
                                      GError **error);
gboolean bs_gtk_picture_bounds_scale (const BsGtkPictureBounds *self, int *width, int *height);

G_END_DECLS
