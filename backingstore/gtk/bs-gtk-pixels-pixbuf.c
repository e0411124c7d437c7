/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-pixels-private.h"

#include <glib/gi18n-lib.h>

/* Cancelling a decode takes effect after a piece of this size. A picture that declares
 * too many pixels has made the decoder read no more than its first piece. */
#define PIECE (16 * 1024)

typedef struct
{
  const BsGtkPictureBounds *bounds;
  GError *refusal; /* owned; NULL unless the picture declares too many pixels */
} Sizing;

/* Decoders that can scale while they read do so. */
static void
size_prepared_cb (GdkPixbufLoader *loader, int width, int height, Sizing *sizing)
{
  g_clear_error (&sizing->refusal);
  if (!bs_gtk_picture_bounds_allow (sizing->bounds, width, height, &sizing->refusal))
    /* The decoder gives up before it allocates. */
    gdk_pixbuf_loader_set_size (loader, 0, 0);
  else if (bs_gtk_picture_bounds_scale (sizing->bounds, &width, &height))
    gdk_pixbuf_loader_set_size (loader, width, height);
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

  while (size > 0 && sizing->refusal == NULL)
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

/* Decodes a picture upright, on any thread. */
GdkPixbuf *
bs_gtk_pixels_load (GBytes *bytes,
                    const BsGtkPictureBounds *bounds,
                    GCancellable *cancellable,
                    GError **error)
{
  g_autoptr (GdkPixbufLoader) loader = gdk_pixbuf_loader_new ();
  g_autoptr (GError) local_error = NULL;
  Sizing sizing = { .bounds = bounds };
  GdkPixbuf *pixbuf;
  gboolean is_written;

  g_signal_connect (loader, "size-prepared", G_CALLBACK (size_prepared_cb), &sizing);
  is_written = write_pieces (loader, bytes, &sizing, cancellable, &local_error);
  /* A loader must be closed, also after a failure. */
  if (gdk_pixbuf_loader_close (loader, is_written ? &local_error : NULL) && is_written &&
      sizing.refusal == NULL)
    {
      pixbuf = gdk_pixbuf_loader_get_pixbuf (loader);
      if (pixbuf != NULL)
        return gdk_pixbuf_apply_embedded_orientation (pixbuf);
    }

  if (g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_propagate_error (error, g_steal_pointer (&local_error));
  else if (sizing.refusal != NULL)
    g_propagate_error (error, g_steal_pointer (&sizing.refusal));
  else
    g_set_error_literal (error, GDK_TEXTURE_ERROR, texture_error_code (local_error),
                         local_error != NULL ? local_error->message
                                             : _ ("the data ends before the picture"));
  g_clear_error (&sizing.refusal);
  return NULL;
}
