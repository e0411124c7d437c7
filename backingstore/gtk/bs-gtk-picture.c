/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-picture-private.h"

/* Cancelling a decode takes effect after a piece of this size. A picture that declares
 * too many pixels has made the decoder read no more than its first piece. */
#define PIECE (16 * 1024)

typedef struct
{
  const BsGtkPictureBounds *bounds;
  int width; /* that the picture declares; 0 before that */
  int height;
  gboolean is_refused;
} Sizing;

/* Decoders that can scale while they read do so. */
static void
size_prepared_cb (GdkPixbufLoader *loader, int width, int height, Sizing *sizing)
{
  int max_size = sizing->bounds->max_size;
  int longer = MAX (width, height);

  sizing->width = width;
  sizing->height = height;
  sizing->is_refused = (guint64) width * height > sizing->bounds->max_pixels;
  if (sizing->is_refused)
    /* The decoder gives up before it allocates. */
    gdk_pixbuf_loader_set_size (loader, 0, 0);
  else if (max_size > 0 && longer > max_size)
    gdk_pixbuf_loader_set_size (loader, MAX (1, (gint64) width * max_size / longer),
                                MAX (1, (gint64) height * max_size / longer));
}

static gboolean
write_pieces (GdkPixbufLoader *loader,
              GBytes *bytes,
              Sizing *sizing,
              GCancellable *cancellable,
              GError **error)
{
  gsize size;
  const guchar *data = g_bytes_get_data (bytes, &size);

  while (size > 0 && !sizing->is_refused)
    {
      gsize length = MIN (size, PIECE);

      if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
          !gdk_pixbuf_loader_write (loader, data, length, error))
        return FALSE;
      data += length;
      size -= length;
    }

  return TRUE;
}

/* Errors of decoders have one domain, whichever decoder there is. */
static int
texture_error_code (const GError *error)
{
  if (g_error_matches (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_UNKNOWN_TYPE))
    return GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT;
  if (g_error_matches (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_INSUFFICIENT_MEMORY))
    return GDK_TEXTURE_ERROR_TOO_LARGE;
  return GDK_TEXTURE_ERROR_CORRUPT_IMAGE;
}

static GdkPixbuf *
load_pixbuf (GBytes *bytes, Sizing *sizing, GCancellable *cancellable, GError **error)
{
  g_autoptr (GdkPixbufLoader) loader = gdk_pixbuf_loader_new ();
  g_autoptr (GError) local_error = NULL;
  GdkPixbuf *pixbuf;
  gboolean is_written;

  g_signal_connect (loader, "size-prepared", G_CALLBACK (size_prepared_cb), sizing);
  is_written = write_pieces (loader, bytes, sizing, cancellable, &local_error);
  /* A loader must be closed, also after a failure. */
  if (gdk_pixbuf_loader_close (loader, is_written ? &local_error : NULL) && is_written &&
      !sizing->is_refused)
    {
      pixbuf = gdk_pixbuf_loader_get_pixbuf (loader);
      if (pixbuf != NULL)
        return gdk_pixbuf_apply_embedded_orientation (pixbuf);
    }

  if (g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_propagate_error (error, g_steal_pointer (&local_error));
  else if (sizing->is_refused)
    g_set_error (error, GDK_TEXTURE_ERROR, GDK_TEXTURE_ERROR_TOO_LARGE,
                 "the picture has %d × %d pixels, more than the %" G_GUINT64_FORMAT " allowed",
                 sizing->width, sizing->height, sizing->bounds->max_pixels);
  else
    g_set_error_literal (error, GDK_TEXTURE_ERROR, texture_error_code (local_error),
                         local_error != NULL ? local_error->message
                                             : "the data ends before the picture");
  return NULL;
}

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
  Sizing sizing = { .bounds = bounds };
  g_autoptr (GdkPixbuf) pixbuf = NULL;

  if (g_bytes_get_size (bytes) == 0)
    {
      g_set_error_literal (error, GDK_TEXTURE_ERROR, GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT,
                           "a picture of 0 bytes");
      return NULL;
    }

  pixbuf = load_pixbuf (bytes, &sizing, cancellable, error);
  if (pixbuf == NULL)
    return NULL;
  return make_texture (pixbuf);
}
