/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-pixels-private.h"

#include <glycin.h>

/* Errors of decoders have one domain, whichever decoder there is. */
static void
set_error (GError **error, const GError *failure, GCancellable *cancellable)
{
  gboolean is_unknown =
    g_error_matches (failure, GLY_LOADER_ERROR, GLY_LOADER_ERROR_UNKNOWN_IMAGE_FORMAT);

  if (!g_cancellable_set_error_if_cancelled (cancellable, error))
    g_set_error_literal (error, GDK_TEXTURE_ERROR,
                         is_unknown ? GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT
                                    : GDK_TEXTURE_ERROR_CORRUPT_IMAGE,
                         failure->message);
}

/* Reads no more than the size and the metadata. */
static GlyImage *
load_image (GBytes *bytes, GCancellable *cancellable, GError **error)
{
  g_autoptr (GlyLoader) loader = gly_loader_new_for_bytes (bytes);
  g_autoptr (GError) failure = NULL;
  GlyImage *image;

  if (cancellable != NULL)
    g_object_set (loader, "cancellable", cancellable, NULL);
  gly_loader_set_accepted_memory_formats (loader, GLY_MEMORY_SELECTION_R8G8B8 |
                                                    GLY_MEMORY_SELECTION_R8G8B8A8);
  image = gly_loader_load (loader, &failure);
  if (image == NULL)
    set_error (error, failure, cancellable);
  return image;
}

static GlyFrame *
load_frame (GlyImage *image,
            const BsGtkPictureBounds *bounds,
            GCancellable *cancellable,
            GError **error)
{
  g_autoptr (GlyFrameRequest) request = gly_frame_request_new ();
  g_autoptr (GError) failure = NULL;
  int width = gly_image_get_width (image);
  int height = gly_image_get_height (image);
  GlyFrame *frame;

  /* Most loaders do not scale. */
  if (bs_gtk_picture_bounds_scale (bounds, &width, &height))
    gly_frame_request_set_scale (request, width, height);
  frame = gly_image_get_specific_frame (image, request, &failure);
  if (frame == NULL)
    set_error (error, failure, cancellable);
  return frame;
}

static GdkPixbuf *
make_pixbuf (GlyFrame *frame, const BsGtkPictureBounds *bounds)
{
  int width = gly_frame_get_width (frame);
  int height = gly_frame_get_height (frame);
  g_autoptr (GdkPixbuf) pixbuf =
    gdk_pixbuf_new_from_bytes (gly_frame_get_buf_bytes (frame), GDK_COLORSPACE_RGB,
                               gly_memory_format_has_alpha (gly_frame_get_memory_format (frame)), 8,
                               width, height, gly_frame_get_stride (frame));

  if (!bs_gtk_picture_bounds_scale (bounds, &width, &height))
    return g_steal_pointer (&pixbuf);
  return gdk_pixbuf_scale_simple (pixbuf, width, height, GDK_INTERP_BILINEAR);
}

/* Decodes a picture upright, on any thread. */
GdkPixbuf *
bs_gtk_pixels_load (GBytes *bytes,
                    const BsGtkPictureBounds *bounds,
                    GCancellable *cancellable,
                    GError **error)
{
  g_autoptr (GlyImage) image = NULL;
  g_autoptr (GlyFrame) frame = NULL;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;

  image = load_image (bytes, cancellable, error);
  if (image == NULL || !bs_gtk_picture_bounds_allow (bounds, gly_image_get_width (image),
                                                     gly_image_get_height (image), error))
    return NULL;

  frame = load_frame (image, bounds, cancellable, error);
  if (frame == NULL)
    return NULL;
  return make_pixbuf (frame, bounds);
}
