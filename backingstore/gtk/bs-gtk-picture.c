/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-picture-private.h"

#include "bs-gtk-pixels-private.h"

#include <glib/gi18n-lib.h>

static G_DEFINE_QUARK (bs_gtk_picture_size, size);

static GdkTexture *
wrap (GBytes *pixels, int width, int height, GdkMemoryFormat format, gsize stride)
{
  GdkTexture *texture = gdk_memory_texture_new (width, height, format, pixels, stride);

  g_object_set_qdata (G_OBJECT (texture), size_quark (),
                      GSIZE_TO_POINTER (g_bytes_get_size (pixels)));
  return texture;
}

/* GTK 4.8 converts a texture of its own format by way of floating point at every drawing,
 * which takes ten times as long as one without transparency that was not converted. */
static gboolean
is_drawn_fast (GdkMemoryFormat format)
{
  return format == GDK_MEMORY_R8G8B8 && gtk_check_version (4, 10, 0) != NULL;
}

/* Converts to the format that takes the least time in the main loop, which draws it. */
static GdkTexture *
make_texture (GdkPixbuf *pixbuf)
{
  int width = gdk_pixbuf_get_width (pixbuf);
  int height = gdk_pixbuf_get_height (pixbuf);
  gsize source_stride = gdk_pixbuf_get_rowstride (pixbuf);
  gsize stride = (gsize) width * 4;
  GdkMemoryFormat format =
    gdk_pixbuf_get_has_alpha (pixbuf) ? GDK_MEMORY_R8G8B8A8 : GDK_MEMORY_R8G8B8;
  g_autoptr (GBytes) pixels = gdk_pixbuf_read_pixel_bytes (pixbuf);
  g_autoptr (GdkTexture) source = NULL;
  g_autoptr (GBytes) converted = NULL;
  guchar *data;

  if (is_drawn_fast (format))
    return wrap (pixels, width, height, format, source_stride);

  source = gdk_memory_texture_new (width, height, format, pixels, source_stride);
  data = g_malloc (stride * height);
  converted = g_bytes_new_take (data, stride * height);
  gdk_texture_download (source, data, stride);
  return wrap (converted, width, height, GDK_MEMORY_DEFAULT, stride);
}

/* Returns the memory that the pixels take, or 0 for a texture that was not decoded here. */
gsize
bs_gtk_picture_get_size (GdkTexture *texture)
{
  return GPOINTER_TO_SIZE (g_object_get_qdata (G_OBJECT (texture), size_quark ()));
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
                           _ ("a picture of 0 bytes"));
      return NULL;
    }

  pixbuf = bs_gtk_pixels_load (bytes, bounds, cancellable, error);
  if (pixbuf == NULL)
    return NULL;
  return make_texture (pixbuf);
}
