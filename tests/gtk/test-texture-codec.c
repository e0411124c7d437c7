/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

#include <backingstore/gtk/backingstore-gtk.h>
#include <sys/resource.h>

#include "pictures.h"

/* Pictures in, textures out, on every thread, and the refusal of all else. */

static GdkTexture *
decode (int max_size, GBytes *picture, GError **error)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (max_size);

  return (GdkTexture *) bs_codec_decode (BS_CODEC (codec), picture, NULL, error);
}

static GdkTexture *
decode_well (int max_size, GBytes *picture)
{
  g_autoptr (GError) error = NULL;
  GdkTexture *texture = decode (max_size, picture, &error);

  g_assert_no_error (error);
  g_assert_true (GDK_IS_MEMORY_TEXTURE (texture));
  return texture;
}

static void
assert_refused (GBytes *picture, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (decode (0, picture, &error));
  g_assert_error (error, GDK_TEXTURE_ERROR, code);
  g_assert_true (g_str_has_prefix (error->message, "decode: "));
}

static void
test_formats (void)
{
  const char *formats[] = { "png", "jpeg", "bmp", "tiff" };

  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_autoptr (GBytes) picture = make_picture (formats[i], 40, 30, 0x404040ff);
      g_autoptr (GdkTexture) texture = decode_well (0, picture);

      assert_size (texture, 40, 30);
      g_assert_cmphex (get_pixel (texture, 39, 29), ==, 0xff404040);
    }
}

static void
test_transparency (void)
{
  g_autoptr (GBytes) picture = make_picture ("png", 3, 5, 0xff000080);
  g_autoptr (GdkTexture) texture = decode_well (0, picture);

  assert_size (texture, 3, 5);
  g_assert_cmphex (get_pixel (texture, 2, 4), ==, 0x80800000);
}

static void
test_max_size (void)
{
  const struct
  {
    int max_size, width, height, scaled_width, scaled_height;
  } cases[] = {
    { 100, 400, 200, 100, 50 }, { 100, 200, 400, 50, 100 }, { 100, 100, 100, 100, 100 },
    { 100, 50, 20, 50, 20 },    { 100, 1000, 1, 100, 1 },   { 0, 1000, 1, 1000, 1 },
    { 1, 7, 1000, 1, 1 },
  };
  const char *formats[] = { "png", "jpeg" };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (formats); j++)
      {
        g_autoptr (GBytes) picture =
          make_picture (formats[j], cases[i].width, cases[i].height, BLUE);
        g_autoptr (GdkTexture) texture = decode_well (cases[i].max_size, picture);

        assert_size (texture, cases[i].scaled_width, cases[i].scaled_height);
      }
}

/* A JPEG whose left half is red and whose right half is blue, with that orientation. */
static GBytes *
make_photo (int width, int height, char orientation)
{
  const char exif[] = "\xff\xe1\0\x22"
                      "Exif\0\0"
                      "MM\0\x2a\0\0\0\x08"
                      "\0\x01"
                      "\x01\x12\0\x03\0\0\0\x01\0?\0\0"
                      "\0\0\0\0";
  const gsize place = 29;
  g_autoptr (GdkPixbuf) pixbuf = gdk_pixbuf_new (GDK_COLORSPACE_RGB, FALSE, 8, width, height);
  g_autoptr (GdkPixbuf) left = gdk_pixbuf_new_subpixbuf (pixbuf, 0, 0, width / 2, height);
  g_autoptr (GByteArray) photo = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *data = NULL;
  gsize size;

  gdk_pixbuf_fill (pixbuf, BLUE);
  gdk_pixbuf_fill (left, RED);
  gdk_pixbuf_save_to_buffer (pixbuf, &data, &size, "jpeg", &error, "quality", "100", NULL);
  g_assert_no_error (error);

  g_byte_array_append (photo, (guint8 *) data, 2);
  g_byte_array_append (photo, (guint8 *) exif, sizeof exif - 1);
  g_assert_cmpint (photo->data[2 + place], ==, '?');
  photo->data[2 + place] = orientation;
  g_byte_array_append (photo, (guint8 *) data + 2, size - 2);

  return g_byte_array_free_to_bytes (g_steal_pointer (&photo));
}

static gboolean
is_red (GdkTexture *texture, int x, int y)
{
  guint32 pixel = get_pixel (texture, x, y);

  return (pixel >> 16 & 0xff) > (pixel & 0xff);
}

static void
test_orientation (void)
{
  g_autoptr (GBytes) upright = make_photo (64, 32, 1);
  g_autoptr (GBytes) turned = make_photo (64, 32, 6);
  g_autoptr (GBytes) mirrored = make_photo (64, 32, 2);
  g_autoptr (GdkTexture) plain = decode_well (0, upright);
  g_autoptr (GdkTexture) clockwise = decode_well (0, turned);
  g_autoptr (GdkTexture) small = decode_well (16, turned);
  g_autoptr (GdkTexture) mirror = decode_well (16, mirrored);

  assert_size (plain, 64, 32);
  g_assert_true (is_red (plain, 5, 16) && !is_red (plain, 58, 16));
  assert_size (clockwise, 32, 64);
  g_assert_true (is_red (clockwise, 16, 5) && !is_red (clockwise, 16, 58));
  assert_size (small, 8, 16);
  g_assert_true (is_red (small, 4, 1) && !is_red (small, 4, 14));
  assert_size (mirror, 16, 8);
  g_assert_true (!is_red (mirror, 1, 4) && is_red (mirror, 14, 4));
}

static void
test_no_picture (void)
{
  g_autoptr (GBytes) nothing = g_bytes_new (NULL, 0);
  g_autoptr (GBytes) text = g_bytes_new_static ("a photo", 7);
  g_autoptr (GBytes) filled = make_bytes (100000, 'x');
  g_autoptr (GBytes) zeros = make_bytes (100000, 0);

  assert_refused (nothing, GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT);
  assert_refused (text, GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT);
  assert_refused (filled, GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT);
  assert_refused (zeros, GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT);
}

/* A picture that ends early is an error without its header. With it, decoders return
 * the part that there is; nothing else happens. */
static void
test_cut_off (void)
{
  const char *formats[] = { "png", "jpeg", "bmp" };

  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_autoptr (GBytes) picture = make_picture (formats[i], 64, 64, GREEN);
      gsize size = g_bytes_get_size (picture);

      for (gsize length = 1; length < size; length += 1 + size / 100)
        {
          g_autoptr (GBytes) head = g_bytes_new_from_bytes (picture, 0, length);
          g_autoptr (GError) error = NULL;
          g_autoptr (GdkTexture) texture = decode (0, head, &error);

          if (length < 16)
            g_assert_null (texture);
          if (texture != NULL)
            assert_size (texture, 64, 64);
          else
            g_assert_true (error->domain == GDK_TEXTURE_ERROR);
        }
    }
}

static guint32
get_crc (const guchar *data, gsize size)
{
  guint32 crc = 0xffffffff;

  for (gsize i = 0; i < size; i++)
    {
      crc ^= data[i];
      for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
  return ~crc;
}

static void
put_number (guchar *data, gsize n_bytes, gboolean is_big_endian, guint32 number)
{
  for (gsize i = 0; i < n_bytes; i++)
    data[is_big_endian ? n_bytes - 1 - i : i] = number >> 8 * i;
}

/* Returns a small picture that declares 30,000 × 30,000 pixels. */
static GBytes *
make_monster (const char *format)
{
  const guint32 side = 30000;
  g_autoptr (GBytes) picture = make_picture (format, 16, 16, GREEN);
  gsize size;
  guchar *data = g_bytes_unref_to_data (g_steal_pointer (&picture), &size);

  if (g_str_equal (format, "png"))
    {
      put_number (data + 16, 4, TRUE, side);
      put_number (data + 20, 4, TRUE, side);
      put_number (data + 29, 4, TRUE, get_crc (data + 12, 17));
    }
  else if (g_str_equal (format, "bmp"))
    {
      put_number (data + 18, 4, FALSE, side);
      put_number (data + 22, 4, FALSE, side);
    }
  else
    {
      gsize frame = 0; /* its height and width stand 5 and 7 bytes behind the marker */

      while (data[frame] != 0xff || data[frame + 1] != 0xc0)
        g_assert_cmpuint (++frame, <, size - 10);
      put_number (data + frame + 5, 2, TRUE, side);
      put_number (data + frame + 7, 2, TRUE, side);
    }
  return g_bytes_new_take (data, size);
}

static void
test_declared_size (void)
{
  const char *formats[] = { "png", "jpeg", "bmp" };
  struct rusage before, after;

  getrusage (RUSAGE_SELF, &before);
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_autoptr (GBytes) picture = make_monster (formats[i]);
      g_autoptr (GError) error = NULL;

      assert_refused (picture, GDK_TEXTURE_ERROR_TOO_LARGE);
      g_assert_null (decode (256, picture, &error));
      g_assert_error (error, GDK_TEXTURE_ERROR, GDK_TEXTURE_ERROR_TOO_LARGE);
      g_assert_nonnull (strstr (error->message, "30000 × 30000"));
    }
  getrusage (RUSAGE_SELF, &after);
  g_assert_cmpint (after.ru_maxrss - before.ru_maxrss, <, 64 * 1024);
}

static void
test_max_pixels (void)
{
  g_autoptr (BsGtkTextureCodec) codec =
    g_object_new (BS_GTK_TYPE_TEXTURE_CODEC, "max-pixels", (guint64) 200, NULL);
  g_autoptr (GBytes) small = make_picture ("png", 20, 10, RED);
  g_autoptr (GBytes) large = make_picture ("png", 67, 3, RED);
  g_autoptr (GError) error = NULL;
  g_autoptr (GObject) texture = bs_codec_decode (BS_CODEC (codec), small, NULL, &error);

  g_assert_no_error (error);
  g_assert_null (bs_codec_decode (BS_CODEC (codec), large, NULL, &error));
  g_assert_error (error, GDK_TEXTURE_ERROR, GDK_TEXTURE_ERROR_TOO_LARGE);
  g_assert_cmpuint (bs_gtk_texture_codec_get_max_pixels (codec), ==, 200);
  g_assert_cmpint (bs_gtk_texture_codec_get_max_size (codec), ==, 0);
}

static void
test_cancel (void)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (10);
  g_autoptr (GBytes) picture = make_picture ("png", 20, 10, RED);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancellable);
  g_assert_null (bs_codec_decode (BS_CODEC (codec), picture, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static gpointer
cancel_thread (gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
  return NULL;
}

/* A decode that is cancelled at any moment ends with its texture or as cancelled. */
static void
test_cancel_meanwhile (void)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (10);
  g_autoptr (GBytes) picture = make_picture ("png", 400, 300, RED);

  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      GThread *thread = g_thread_new ("cancel", cancel_thread, cancellable);
      g_autoptr (GError) error = NULL;
      g_autoptr (GObject) texture =
        bs_codec_decode (BS_CODEC (codec), picture, cancellable, &error);

      g_thread_join (thread);
      if (texture == NULL)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      else
        g_assert_no_error (error);
    }
}

static void
test_encode (void)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (0);
  g_autoptr (GBytes) picture = make_picture ("png", 20, 10, 0x00ff0080);
  g_autoptr (GdkTexture) texture = decode_well (0, picture);
  g_autoptr (GdkPaintable) other = gdk_paintable_new_empty (10, 10);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) encoded = bs_codec_encode (BS_CODEC (codec), G_OBJECT (texture), NULL, &error);
  g_autoptr (GdkTexture) again = NULL;

  g_assert_no_error (error);
  again = decode_well (0, encoded);
  assert_size (again, 20, 10);
  g_assert_cmphex (get_pixel (again, 19, 9), ==, get_pixel (texture, 19, 9));

  g_assert_null (bs_codec_encode (BS_CODEC (codec), G_OBJECT (other), NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
}

static gboolean
is_gtk_4_8 (void)
{
  return gtk_check_version (4, 10, 0) != NULL;
}

static void
test_measure (void)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (0);
  g_autoptr (GBytes) picture = make_picture ("jpeg", 41, 10, RED);
  g_autoptr (GBytes) glass = make_picture ("png", 41, 10, 0xff000080);
  g_autoptr (GBytes) pixels = make_bytes (24, 'x');
  g_autoptr (GdkTexture) texture = decode_well (0, picture);
  g_autoptr (GdkTexture) transparent = decode_well (0, glass);
  g_autoptr (GdkTexture) inserted = gdk_memory_texture_new (3, 2, GDK_MEMORY_DEFAULT, pixels, 12);
  g_autoptr (GdkPaintable) other = gdk_paintable_new_empty (10, 10);

  /* Rows of three bytes a pixel begin at multiples of four. */
  g_assert_cmpuint (bs_codec_measure (BS_CODEC (codec), G_OBJECT (texture)), ==,
                    is_gtk_4_8 () ? 9 * 124 + 123 : 4 * 41 * 10);
  g_assert_cmpuint (bs_codec_measure (BS_CODEC (codec), G_OBJECT (transparent)), ==, 4 * 41 * 10);
  g_assert_cmpuint (bs_codec_measure (BS_CODEC (codec), G_OBJECT (inserted)), ==, 4 * 3 * 2);
  g_assert_cmpuint (bs_codec_measure (BS_CODEC (codec), G_OBJECT (other)), ==, 0);
}

#define N_PICTURES 60
#define N_THREADS 4
#define SIDE 100
#define TEXTURE_SIZE (SIDE * SIDE * 4)

static int n_loaded;

static void
loaded_cb (GObject *item, GAsyncResult *result, gpointer colour)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GObject) texture = bs_item_load_object_finish (BS_ITEM (item), result, &error);

  if (error != NULL)
    g_error ("%s", error->message);
  if (get_pixel (GDK_TEXTURE (texture), SIDE - 1, SIDE - 1) != GPOINTER_TO_UINT (colour))
    g_error ("a texture of another item");
  n_loaded++;
}

/* Textures come and go through a budget for a few of them, decoded on several threads. */
static void
test_pool (void)
{
  Fixture fixture;
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (SIDE);
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (BsPool) pool = NULL;
  g_autoptr (GError) error = NULL;

  fixture_set_up (&fixture, 0);
  bs_backing_store_set_max_threads (fixture.store, N_THREADS);
  pool = bs_pool_new_with_codec (fixture.store, BS_CODEC (codec), 5 * TEXTURE_SIZE);
  for (guint i = 0; i < N_PICTURES; i++)
    {
      g_autoptr (GBytes) picture = make_picture ("png", 2 * SIDE, 2 * SIDE, i << 24 | 0xff);

      g_ptr_array_add (items, bs_pool_insert (pool, picture));
    }
  /* Also as an object, which is encoded on its way out. */
  {
    g_autoptr (GBytes) picture = make_picture ("png", SIDE, SIDE, N_PICTURES << 24 | 0xff);
    g_autoptr (GdkTexture) texture = decode_well (0, picture);

    g_ptr_array_add (items, bs_pool_insert_object (pool, G_OBJECT (texture), &error));
    g_assert_no_error (error);
  }
  bs_pool_trim (pool, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (pool), ==, 0);

  n_loaded = 0;
  for (guint i = 0; i < items->len; i++)
    bs_item_load_object_async (items->pdata[i], G_PRIORITY_DEFAULT, NULL, loaded_cb,
                               GUINT_TO_POINTER (0xff000000 | i << 16));
  while (n_loaded < (int) items->len)
    {
      g_main_context_iteration (NULL, TRUE);
      /* A thread that has just brought a texture makes room for it right afterwards. */
      g_assert_cmpuint (bs_pool_get_memory_use (pool), <=, (5 + N_THREADS) * TEXTURE_SIZE);
    }
  wait_until (bs_pool_get_memory_use (pool) <= 5 * TEXTURE_SIZE);

  g_ptr_array_set_size (items, 0);
  fixture_wait_finished (&fixture);
  g_assert_finalize_object (g_steal_pointer (&pool));
  fixture_tear_down (&fixture);
}

/* An error says which item has no picture, and the item keeps its bytes. */
static void
test_pool_error (void)
{
  Fixture fixture;
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (SIDE);
  g_autoptr (BsPool) pool = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GBytes) bytes = make_bytes (1000, 'x');
  g_autoptr (GBytes) loaded = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  fixture_set_up (&fixture, 0);
  pool = bs_pool_new_with_codec (fixture.store, BS_CODEC (codec), TEXTURE_SIZE);
  item = bs_pool_insert (pool, bytes);
  key = bs_item_dup_key (item);
  g_assert_null (bs_item_load_object (item, NULL, &error));
  g_assert_error (error, GDK_TEXTURE_ERROR, GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT);
  g_assert_nonnull (strstr (error->message, key));
  g_clear_error (&error);

  loaded = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  assert_filled (loaded, 1000, 'x');

  g_clear_object (&item);
  fixture_wait_finished (&fixture);
  g_assert_finalize_object (g_steal_pointer (&pool));
  fixture_tear_down (&fixture);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/texture-codec/formats", test_formats);
  g_test_add_func ("/texture-codec/transparency", test_transparency);
  g_test_add_func ("/texture-codec/max-size", test_max_size);
  g_test_add_func ("/texture-codec/orientation", test_orientation);
  g_test_add_func ("/texture-codec/no-picture", test_no_picture);
  g_test_add_func ("/texture-codec/cut-off", test_cut_off);
  g_test_add_func ("/texture-codec/declared-size", test_declared_size);
  g_test_add_func ("/texture-codec/max-pixels", test_max_pixels);
  g_test_add_func ("/texture-codec/cancel", test_cancel);
  g_test_add_func ("/texture-codec/cancel-meanwhile", test_cancel_meanwhile);
  g_test_add_func ("/texture-codec/encode", test_encode);
  g_test_add_func ("/texture-codec/measure", test_measure);
  g_test_add_func ("/texture-codec/pool", test_pool);
  g_test_add_func ("/texture-codec/pool-error", test_pool_error);

  return g_test_run ();
}
