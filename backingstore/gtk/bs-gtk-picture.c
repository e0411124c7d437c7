/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-picture-private.h"

#include "bs-gtk-pixels-private.h"

/* Converts to the format that GTK draws without a conversion, which would otherwise
 * take its time in the main loop at every drawing. */
static GdkTexture *
make_texture (GdkPixbuf *pixbuf)
{
  int width = gdk_pixbuf_get_width (pixbuf);
  int height = gdk_pixbuf_get_height (pixbuf);
  gsize stride = (gsize) width * 4;
  g_autoptr (GBytes) pixels = gdk_pixbuf_read_pixel_bytes (pixbuf);
  g_autoptr (GdkTexture) source =
    gdk_memory_texture_new (width, height,
                            gdk_pixbuf_get_has_alpha (pixbuf) ? GDK_MEMORY_R8G8B8A8
                                                              : GDK_MEMORY_R8G8B8,
                            pixels, gdk_pixbuf_get_rowstride (pixbuf));
  guchar *data = g_malloc (stride * height);
  g_autoptr (GBytes) converted = g_bytes_new_take (data, stride * height);

  gdk_texture_download (source, data, stride);
  return gdk_memory_texture_new (width, height, GDK_MEMORY_DEFAULT, converted, stride);
}

/* Decodes a picture upright, on any thread. */
GdkTexture *
bs_gtk_picture_decode (GBytes *bytes,
                       const BsGtkPictureBounds *bounds,
                       GCancellable *cancellable,
                       GError **error)
{
  g_autoptr (GdkPixbuf) pixbuf = NULL;

  if (g_bytes_get_size (bytes) == 0)
    {
      g_set_error_literal (error, GDK_TEXTURE_ERROR, GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT,
                           "a picture of 0 bytes");
      return NULL;
    }

  pixbuf = bs_gtk_pixels_load (bytes, bounds, cancellable, error);
  if (pixbuf == NULL)
    return NULL;
  return make_texture (pixbuf);
}
