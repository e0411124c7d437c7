/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-codec-private.h"

#include "base/bs-error-private.h"

/**
 * BsCodec:
 *
 * Turns objects into bytes and back, for a [class@Pool] that keeps objects in
 * memory and bytes in the backing.
 *
 * ## Threads
 *
 * All functions run in the store's threads, or on a thread that makes a blocking
 * call, and `measure` on the one that calls [method@Pool.insert_object] or
 * [method@Item.replace_object] too; with [property@BackingStore:main-context] set,
 * in that context and nowhere else. They may run for several objects at once, and
 * must not make blocking calls on the same store, which fail there with
 * %G_IO_ERROR_WOULD_BLOCK.
 *
 * ## Promises of a codec
 *
 * The result of `decode`, from the bytes that `encode` made of an object, stands for
 * that object. An object that a pool holds must not be changed: give the item a
 * new one with [method@Item.replace_object]. A function that fails sets an
 * error. One that returns %NULL without an error, as a function written in
 * Python does when it raises anything but a GLib.Error, is reported as
 * %BS_ERROR_FAILED.
 *
 * `decode` returns the very object that the application shows or uses: a
 * `GdkTexture`, not an object of your own that has one in it. A pool finds an
 * object again as long as that object is alive. A wrapper dies while its texture is on
 * the screen: the texture is then neither counted in [property@Pool:memory-in-use] nor
 * found, and the next load decodes it once more. Where more belongs to it, keep that in
 * the object's data (g_object_set_data()), or in a subclass.
 *
 * `encode` may be missing from a codec whose pool is given no objects, only bytes. A
 * codec without `measure`, or whose `measure` says 0, as one in Python does that raises
 * an exception, has its objects counted by their encoded bytes, which may be far less
 * than they take, and each new object is encoded and written at once, to know how many
 * those are.
 *
 * ## Memory
 *
 * The bytes that `decode` is given never change, and nobody may write into them: a
 * backing may keep them, or hand them to several loads. A codec may hold a reference on
 * them in its object, so that decoding copies nothing. A codec whose objects live in
 * memory of the application's choice, such as a buffer of a pool of buffers, copies or
 * unpacks the bytes into that, and nothing else copies them on the way there. The memory
 * belongs to the object from then on, and must stay as it is for as long as the pool or
 * the application holds the object.
 *
 * In JavaScript, use it in a store with a [property@BackingStore:main-context]
 * only, and never keep the bytes that `decode` is given: GJS lends them for the
 * call, without a reference. Keep `new GLib.Bytes(bytes.toArray())`.
 */

/**
 * BsCodecInterface:
 * @parent_iface: the parent
 * @encode: see [method@Codec.encode]
 * @decode: see [method@Codec.decode]
 * @measure: see [method@Codec.measure]
 *
 * The virtual functions of a codec. Only `decode` is required; the text above tells
 * what a pool does without the other two.
 */

G_DEFINE_INTERFACE (BsCodec, bs_codec, G_TYPE_OBJECT)

static void
bs_codec_default_init (BsCodecInterface *iface)
{
}

/* Returns the result of a function, or sets an error. */
static gpointer
check_result (BsCodec *self,
              const char *function,
              gboolean implemented,
              gpointer result,
              GError *local_error,
              GError **error)
{
  if (result != NULL)
    {
      g_clear_error (&local_error);
      return result;
    }

  if (!implemented)
    g_set_error (&local_error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, "%s does not implement %s",
                 G_OBJECT_TYPE_NAME (self), function);
  else if (local_error == NULL)
    bs_error_set_silent (&local_error, G_OBJECT_TYPE_NAME (self), function, BS_FORGOT_RESULT);
  g_propagate_prefixed_error (error, local_error, "%s: ", function);

  return NULL;
}

/**
 * bs_codec_encode:
 * @self: a codec
 * @object: an object
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Turns an object into bytes.
 *
 * Fails with the error of the codec; with %BS_ERROR_FAILED if it sets none,
 * with %BS_ERROR_NOT_SUPPORTED if it has no such function.
 *
 * Returns: (transfer full): the bytes
 */
GBytes *
bs_codec_encode (BsCodec *self, GObject *object, GCancellable *cancellable, GError **error)
{
  BsCodecInterface *iface;
  GError *local_error = NULL;
  GBytes *bytes = NULL;

  g_return_val_if_fail (BS_IS_CODEC (self), NULL);
  g_return_val_if_fail (G_IS_OBJECT (object), NULL);

  iface = BS_CODEC_GET_IFACE (self);
  if (iface->encode != NULL)
    bytes = iface->encode (self, object, cancellable, &local_error);

  return check_result (self, "encode", iface->encode != NULL, bytes, local_error, error);
}

/**
 * bs_codec_decode:
 * @self: a codec
 * @bytes: the result of an earlier encode
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Turns bytes into an object.
 *
 * Fails with the error of the codec; with %BS_ERROR_FAILED if it sets none,
 * with %BS_ERROR_NOT_SUPPORTED if it has no such function.
 *
 * Returns: (transfer full): a new object
 */
GObject *
bs_codec_decode (BsCodec *self, GBytes *bytes, GCancellable *cancellable, GError **error)
{
  BsCodecInterface *iface;
  GError *local_error = NULL;
  GObject *object = NULL;

  g_return_val_if_fail (BS_IS_CODEC (self), NULL);
  g_return_val_if_fail (bytes != NULL, NULL);

  iface = BS_CODEC_GET_IFACE (self);
  if (iface->decode != NULL)
    object = iface->decode (self, bytes, cancellable, &local_error);

  return check_result (self, "decode", iface->decode != NULL, object, local_error, error);
}

/**
 * bs_codec_measure:
 * @self: a codec
 * @object: an object
 *
 * Says how many bytes of memory an object takes, which is what a pool counts.
 *
 * Called once for each object that comes into memory. Must be quick. A pool counts an
 * object of which the codec says 0, or nothing, by the size of its encoded bytes, and
 * warns of that codec once.
 *
 * Returns: a number of bytes
 */
guint64
bs_codec_measure (BsCodec *self, GObject *object)
{
  BsCodecInterface *iface;

  g_return_val_if_fail (BS_IS_CODEC (self), 0);
  g_return_val_if_fail (G_IS_OBJECT (object), 0);

  iface = BS_CODEC_GET_IFACE (self);
  if (iface->measure == NULL)
    return 0;

  /* With 32 bits, a function in Python or JavaScript returns the lower half alone. */
  return (gsize) iface->measure (self, object);
}

gboolean
bs_codec_check_encodes (BsCodec *self, GError **error)
{
  if (BS_CODEC_GET_IFACE (self)->encode != NULL)
    return TRUE;

  g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
               "%s does not implement encode: an object could never leave memory",
               G_OBJECT_TYPE_NAME (self));
  return FALSE;
}

/* Returns TRUE once for each type. */
static gboolean
is_first_of_type (GType type)
{
  static GMutex mutex;
  static GHashTable *seen; /* of GType; under the mutex */
  gboolean is_first;

  g_mutex_lock (&mutex);
  if (seen == NULL)
    seen = g_hash_table_new (NULL, NULL);
  is_first = g_hash_table_add (seen, GSIZE_TO_POINTER (type));
  g_mutex_unlock (&mutex);

  return is_first;
}

guint64
bs_codec_measure_checked (BsCodec *self, GObject *object)
{
  guint64 size = bs_codec_measure (self, object);

  if (size == 0 && is_first_of_type (G_OBJECT_TYPE (self)))
    g_warning ("%s %s: its objects are counted by the size of their encoded bytes",
               G_OBJECT_TYPE_NAME (self),
               BS_CODEC_GET_IFACE (self)->measure != NULL ? "says 0 in measure"
                                                          : "does not implement measure");
  return size;
}
