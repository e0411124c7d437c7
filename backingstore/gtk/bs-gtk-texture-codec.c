/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-texture-codec.h"

#include "bs-gtk-picture-private.h"

#include <glib/gi18n-lib.h>

/**
 * BsGtkTextureCodec:
 *
 * Turns pictures into textures, for a [class@Bs.Pool] of [class@Gdk.Texture].
 *
 * The bytes in the backing are those of a file in any format that the decoder knows,
 * as JPEG, PNG or WebP. A load decodes them in a thread of the store. The codec calls
 * nothing of the application, so it decodes beside the main loop in every language,
 * in JavaScript too.
 *
 * Textures are upright, as the picture's metadata says, and no larger than
 * [property@BsGtk.TextureCodec:max-size].
 *
 * The decoder is glycin 2 where this library was built with it, and gdk-pixbuf elsewhere.
 * Glycin decodes in a process of its own, shut in a sandbox, and needs its loaders to be
 * installed. Gdk-pixbuf decodes in the process of the application; its decoders of some
 * formats, JPEG among them, scale while they read, which takes less time and memory.
 *
 * A decoded texture has the format that GTK draws fastest: four bytes a pixel, or three
 * for a picture without transparency in GTK 4.8. A pool counts a texture by the memory of
 * its pixels.
 *
 * ## Errors
 *
 * Loading an item fails with %GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT if its bytes are no
 * picture, or none at all; with %GDK_TEXTURE_ERROR_CORRUPT_IMAGE if they make no sense;
 * and with %GDK_TEXTURE_ERROR_TOO_LARGE if the picture declares more pixels than
 * [property@BsGtk.TextureCodec:max-pixels], which a file of a few kilobytes can do.
 * Nothing is decoded then. A picture that ends early shows the part that there is, where
 * its decoder can.
 *
 * ## Textures that an application inserts
 *
 * [method@Bs.Pool.insert_object] takes any [class@Gdk.MemoryTexture]. When it leaves
 * memory it is written as a PNG. A texture of another kind, which belongs to the
 * GPU, is not: writing it fails with %BS_ERROR_NOT_SUPPORTED, since only the main loop
 * can read it back. Download such a texture first.
 */

/* 16,384 × 16,384: 1 GiB of pixels. */
#define DEFAULT_MAX_PIXELS (G_GUINT64_CONSTANT (1) << 28)

struct _BsGtkTextureCodec
{
  GObject parent_instance;

  BsGtkPictureBounds bounds; /* constant */
};

enum
{
  PROP_MAX_SIZE = 1,
  PROP_MAX_PIXELS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void bs_gtk_texture_codec_codec_iface_init (BsCodecInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsGtkTextureCodec,
                               bs_gtk_texture_codec,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_CODEC,
                                                      bs_gtk_texture_codec_codec_iface_init))

/* Called in a thread of the store. */
static GObject *
bs_gtk_texture_codec_decode (BsCodec *codec,
                             GBytes *bytes,
                             GCancellable *cancellable,
                             GError **error)
{
  BsGtkTextureCodec *self = BS_GTK_TEXTURE_CODEC (codec);

  return (GObject *) bs_gtk_picture_decode (bytes, &self->bounds, cancellable, error);
}

/* Called in a thread of the store. */
static GBytes *
bs_gtk_texture_codec_encode (BsCodec *codec,
                             GObject *object,
                             GCancellable *cancellable,
                             GError **error)
{
  if (!GDK_IS_MEMORY_TEXTURE (object))
    {
      g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                   _ ("a %s can only be read by the main loop: insert a GdkMemoryTexture"),
                   G_OBJECT_TYPE_NAME (object));
      return NULL;
    }

  return gdk_texture_save_to_png_bytes (GDK_TEXTURE (object));
}

static guint64
bytes_per_pixel (GdkTexture *texture)
{
#if GTK_CHECK_VERSION(4, 10, 0)
  switch (gdk_texture_get_format (texture))
    {
    case GDK_MEMORY_R8G8B8:
    case GDK_MEMORY_B8G8R8:
      return 3;
    case GDK_MEMORY_R16G16B16:
    case GDK_MEMORY_R16G16B16_FLOAT:
      return 6;
    case GDK_MEMORY_R16G16B16A16:
    case GDK_MEMORY_R16G16B16A16_PREMULTIPLIED:
    case GDK_MEMORY_R16G16B16A16_FLOAT:
    case GDK_MEMORY_R16G16B16A16_FLOAT_PREMULTIPLIED:
      return 8;
    case GDK_MEMORY_R32G32B32_FLOAT:
      return 12;
    case GDK_MEMORY_R32G32B32A32_FLOAT:
    case GDK_MEMORY_R32G32B32A32_FLOAT_PREMULTIPLIED:
      return 16;
    default:
      return 4;
    }
#else
  return 4;
#endif
}

/* Called in any thread. */
static guint64
bs_gtk_texture_codec_measure (BsCodec *codec, GObject *object)
{
  GdkTexture *texture;
  gsize size;

  if (!GDK_IS_TEXTURE (object))
    return 0;

  texture = GDK_TEXTURE (object);
  size = bs_gtk_picture_get_size (texture);
  if (size > 0)
    return size;
  return (guint64) gdk_texture_get_width (texture) * gdk_texture_get_height (texture) *
         bytes_per_pixel (texture);
}

static void
bs_gtk_texture_codec_codec_iface_init (BsCodecInterface *iface)
{
  iface->encode = bs_gtk_texture_codec_encode;
  iface->decode = bs_gtk_texture_codec_decode;
  iface->measure = bs_gtk_texture_codec_measure;
}

static void
bs_gtk_texture_codec_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsGtkTextureCodec *self = BS_GTK_TEXTURE_CODEC (object);

  switch (id)
    {
    case PROP_MAX_SIZE:
      g_value_set_int (value, self->bounds.max_size);
      break;
    case PROP_MAX_PIXELS:
      g_value_set_uint64 (value, self->bounds.max_pixels);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_gtk_texture_codec_set_property (GObject *object,
                                   guint id,
                                   const GValue *value,
                                   GParamSpec *pspec)
{
  BsGtkTextureCodec *self = BS_GTK_TEXTURE_CODEC (object);

  switch (id)
    {
    case PROP_MAX_SIZE:
      self->bounds.max_size = g_value_get_int (value);
      break;
    case PROP_MAX_PIXELS:
      self->bounds.max_pixels = g_value_get_uint64 (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_gtk_texture_codec_class_init (BsGtkTextureCodecClass *class)
{
  GObjectClass *object_class = G_OBJECT_CLASS (class);
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = bs_gtk_texture_codec_get_property;
  object_class->set_property = bs_gtk_texture_codec_set_property;

  /**
   * BsGtkTextureCodec:max-size:
   *
   * The longer side of a texture in pixels, at most; 0 for the size of the picture.
   *
   * A smaller picture is not enlarged.
   */
  properties[PROP_MAX_SIZE] = g_param_spec_int ("max-size", NULL, NULL, 0, G_MAXINT, 0, flags);

  /**
   * BsGtkTextureCodec:max-pixels:
   *
   * The number of pixels of the largest picture that is decoded, before scaling.
   */
  properties[PROP_MAX_PIXELS] =
    g_param_spec_uint64 ("max-pixels", NULL, NULL, 1, G_MAXUINT64, DEFAULT_MAX_PIXELS, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
bs_gtk_texture_codec_init (BsGtkTextureCodec *self)
{
}

/**
 * bs_gtk_texture_codec_new:
 * @max_size: the longer side of a texture in pixels, at most; 0 for the size of the
 *   picture
 *
 * Makes a codec of textures.
 *
 * Returns: (transfer full): a new codec
 */
BsGtkTextureCodec *
bs_gtk_texture_codec_new (int max_size)
{
  g_return_val_if_fail (max_size >= 0, NULL);

  return g_object_new (BS_GTK_TYPE_TEXTURE_CODEC, "max-size", max_size, NULL);
}

/**
 * bs_gtk_texture_codec_get_max_size:
 * @self: a codec
 *
 * Gets the longer side that a texture has at most.
 *
 * Returns: a number of pixels, or 0
 */
int
bs_gtk_texture_codec_get_max_size (BsGtkTextureCodec *self)
{
  g_return_val_if_fail (BS_GTK_IS_TEXTURE_CODEC (self), 0);

  return self->bounds.max_size;
}

/**
 * bs_gtk_texture_codec_get_max_pixels:
 * @self: a codec
 *
 * Gets the number of pixels of the largest picture that is decoded.
 *
 * Returns: a number of pixels
 */
guint64
bs_gtk_texture_codec_get_max_pixels (BsGtkTextureCodec *self)
{
  g_return_val_if_fail (BS_GTK_IS_TEXTURE_CODEC (self), 0);

  return self->bounds.max_pixels;
}
