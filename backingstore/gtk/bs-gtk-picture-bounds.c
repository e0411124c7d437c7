/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-picture-bounds-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>

/* FALSE, with an error, if a picture declares more pixels than it may. */
gboolean
bs_gtk_picture_bounds_allow (const BsGtkPictureBounds *self,
                             guint width,
                             guint height,
                             GError **error)
{
  if ((guint64) width * height <= self->max_pixels)
    return TRUE;

  g_set_error (error, GDK_TEXTURE_ERROR, GDK_TEXTURE_ERROR_TOO_LARGE,
               _ ("the picture has %u × %u pixels, more than the %" PRIu64 " allowed"), width,
               height, self->max_pixels);
  return FALSE;
}

/* FALSE if a picture of this size needs no scaling. */
gboolean
bs_gtk_picture_bounds_scale (const BsGtkPictureBounds *self, int *width, int *height)
{
  int longer = MAX (*width, *height);

  if (self->max_size == 0 || longer <= self->max_size)
    return FALSE;

  *width = MAX (1, (gint64) *width * self->max_size / longer);
  *height = MAX (1, (gint64) *height * self->max_size / longer);
  return TRUE;
}
