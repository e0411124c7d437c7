/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

#include <backingstore/gtk/backingstore-gtk.h>

#include "pictures.h"

/* When a paintable loads, what it shows, and what it tells, without a screen. */

#define SIDE 20
#define TEXTURE_SIZE (SIDE * SIDE * 4)

typedef struct
{
  Fixture pools; /* its pool is not used */
  BsPool *pool;
  guint n_contents;
  guint n_sizes;
  guint n_paintables; /* notifications of each property */
  guint n_loadings;
  guint n_errors;
} Pictures;

static void
pictures_set_up (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (0);

  memset (pictures, 0, sizeof *pictures);
  fixture_set_up (&pictures->pools, 0);
  pictures->pool =
    bs_pool_new_with_codec (pictures->pools.store, BS_CODEC (codec), 1000 * TEXTURE_SIZE);
}

static void
pictures_tear_down (Pictures *pictures, gconstpointer data)
{
  bs_fault_backing_clear (pictures->pools.fault);
  fixture_wait_finished (&pictures->pools);
  assert_goes (pictures->pool);
  fixture_tear_down (&pictures->pools);
}

static void
drop_pool (Pictures *pictures)
{
  g_autoptr (GError) error = NULL;

  bs_pool_trim (pictures->pool, 0, NULL, &error);
  g_assert_no_error (error);
}

static void
drop_all (Pictures *pictures)
{
  drop_pool (pictures);
  wait_until (bs_pool_get_memory_in_use (pictures->pool) == 0);
}

/* Returns an item that is not in memory. */
static BsItem *
insert_picture (Pictures *pictures, guint32 colour)
{
  g_autoptr (GBytes) picture = make_picture ("png", SIDE, SIDE, colour);
  BsItem *item = bs_pool_insert (pictures->pool, picture);

  drop_all (pictures);
  return item;
}

static void
count_cb (guint *n)
{
  ++*n;
}

static void
forget_counts (Pictures *pictures)
{
  pictures->n_contents = pictures->n_sizes = 0;
  pictures->n_paintables = pictures->n_loadings = pictures->n_errors = 0;
}

static BsGtkItemPaintable *
make_paintable (Pictures *pictures, BsItem *item)
{
  BsGtkItemPaintable *self = bs_gtk_item_paintable_new (item);
  const struct
  {
    const char *signal;
    guint *n;
  } counts[] = {
    { "invalidate-contents", &pictures->n_contents }, { "invalidate-size", &pictures->n_sizes },
    { "notify::paintable", &pictures->n_paintables }, { "notify::loading", &pictures->n_loadings },
    { "notify::error", &pictures->n_errors },
  };

  forget_counts (pictures);
  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    g_signal_connect_swapped (self, counts[i].signal, G_CALLBACK (count_cb), counts[i].n);
  return self;
}

static void
assert_told (Pictures *pictures, guint n_paintables, guint n_loadings, guint n_errors)
{
  g_assert_cmpuint (pictures->n_paintables, ==, n_paintables);
  g_assert_cmpuint (pictures->n_loadings, ==, n_loadings);
  g_assert_cmpuint (pictures->n_errors, ==, n_errors);
  forget_counts (pictures);
}

/* Returns the texture that is drawn, or NULL. */
static GdkTexture *
draw (BsGtkItemPaintable *self)
{
  g_autoptr (GtkSnapshot) snapshot = gtk_snapshot_new ();
  g_autoptr (GskRenderNode) node = NULL;

  gdk_paintable_snapshot (GDK_PAINTABLE (self), snapshot, SIDE, SIDE);
  node = gtk_snapshot_to_node (snapshot);
  if (node == NULL)
    return NULL;
  g_assert_cmpint (gsk_render_node_get_node_type (node), ==, GSK_TEXTURE_NODE);
  return gsk_texture_node_get_texture (node);
}

static void
assert_drawn (BsGtkItemPaintable *self, guint32 pixel)
{
  GdkTexture *texture = draw (self);

  g_assert_nonnull (texture);
  g_assert_cmphex (get_pixel (texture, SIDE / 2, SIDE / 2), ==, pixel);
}

static guint
count_reads (Pictures *pictures)
{
  return count (&pictures->pools, BS_OPERATION_READ);
}

static void
test_load (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, RED);
  g_autoptr (BsGtkItemPaintable) self = make_paintable (pictures, item);

  /* Nothing is loaded that is not drawn. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (count_reads (pictures), ==, 0);
  g_assert_true (bs_gtk_item_paintable_get_loading (self));
  g_assert_null (bs_gtk_item_paintable_get_paintable (self));
  g_assert_cmpint (gdk_paintable_get_intrinsic_width (GDK_PAINTABLE (self)), ==, 0);

  g_assert_null (draw (self));
  g_assert_null (draw (self));
  wait_until (!bs_gtk_item_paintable_get_loading (self));
  g_assert_cmpuint (count_reads (pictures), ==, 1);
  g_assert_cmpuint (pictures->n_contents, ==, 1);
  g_assert_cmpuint (pictures->n_sizes, ==, 1);
  g_assert_null (bs_gtk_item_paintable_get_error (self));
  assert_drawn (self, 0xffff0000);
  g_assert_cmpint (gdk_paintable_get_intrinsic_width (GDK_PAINTABLE (self)), ==, SIDE);
  g_assert_cmpint (gdk_paintable_get_intrinsic_height (GDK_PAINTABLE (self)), ==, SIDE);
  g_assert_true (gdk_paintable_get_intrinsic_aspect_ratio (GDK_PAINTABLE (self)) > 0.99);
  {
    g_autoptr (GdkPaintable) image = gdk_paintable_get_current_image (GDK_PAINTABLE (self));

    g_assert_true (image == bs_gtk_item_paintable_get_paintable (self));
  }

  bs_gtk_item_paintable_set_item (self, NULL);
  g_assert_null (draw (self));
  g_assert_false (bs_gtk_item_paintable_get_loading (self));
  drop_all (pictures);
}

/* An object in memory is there before the first drawing, and with it. */
static void
test_in_memory (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, GREEN);
  g_autoptr (GError) error = NULL;
  g_autoptr (BsGtkItemPaintable) early = make_paintable (pictures, item);
  g_autoptr (GObject) texture = bs_item_load_object (item, NULL, &error);
  g_autoptr (BsGtkItemPaintable) late = bs_gtk_item_paintable_new (item);

  g_assert_no_error (error);
  g_assert_true (bs_gtk_item_paintable_get_paintable (late) == GDK_PAINTABLE (texture));
  assert_drawn (late, 0xff00ff00);

  /* An object that has come into memory since is drawn at once, and told of afterwards. */
  g_assert_null (bs_gtk_item_paintable_get_paintable (early));
  assert_drawn (early, 0xff00ff00);
  g_assert_cmpuint (pictures->n_sizes, ==, 0);
  wait_until (pictures->n_sizes == 1);
  g_assert_cmpuint (count_reads (pictures), ==, 1);
}

static void
test_placeholder (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, BLUE);
  g_autoptr (GBytes) grey = make_picture ("png", 7, 5, 0x808080ff);
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (0);
  g_autoptr (GObject) placeholder = bs_codec_decode (BS_CODEC (codec), grey, NULL, NULL);
  g_autoptr (BsGtkItemPaintable) moving = bs_gtk_item_paintable_new (NULL);
  g_autoptr (BsGtkItemPaintable) self = make_paintable (pictures, item);

  bs_fault_backing_hold (pictures->pools.fault, BS_OPERATION_READ);
  g_object_set (self, "placeholder", placeholder, NULL);
  g_assert_cmpuint (pictures->n_sizes, ==, 1);
  g_assert_true (draw (self) == GDK_TEXTURE (placeholder));
  g_assert_cmpint (gdk_paintable_get_intrinsic_width (GDK_PAINTABLE (self)), ==, 7);

  bs_fault_backing_release (pictures->pools.fault, BS_OPERATION_READ);
  wait_until (!bs_gtk_item_paintable_get_loading (self));
  assert_drawn (self, 0xff0000ff);
  bs_gtk_item_paintable_set_item (self, NULL);
  g_assert_true (draw (self) == GDK_TEXTURE (placeholder));

  /* The placeholder may change while it is shown. */
  bs_gtk_item_paintable_set_placeholder (self, GDK_PAINTABLE (moving));
  pictures->n_contents = pictures->n_sizes = 0;
  gdk_paintable_invalidate_contents (GDK_PAINTABLE (moving));
  gdk_paintable_invalidate_size (GDK_PAINTABLE (moving));
  g_assert_cmpuint (pictures->n_contents, ==, 1);
  g_assert_cmpuint (pictures->n_sizes, ==, 1);
  bs_gtk_item_paintable_set_placeholder (self, NULL);
  gdk_paintable_invalidate_contents (GDK_PAINTABLE (moving));
  g_assert_cmpuint (pictures->n_contents, ==, 2);
  g_assert_null (draw (self));
}

/* The picture that came into sight last is read first. */
static void
test_newest_first (Pictures *pictures, gconstpointer data)
{
  BsItem *items[6];
  BsGtkItemPaintable *paintables[6];

  for (guint i = 0; i < 6; i++)
    items[i] = insert_picture (pictures, RED);
  bs_backing_store_set_max_threads (pictures->pools.store, 1);
  /* The code of an error is the place of a read in their order. */
  for (int code = 1; code <= 6; code++)
    {
      g_autoptr (GError) error = g_error_new_literal (G_FILE_ERROR, code, "no");

      bs_fault_backing_fail (pictures->pools.fault, BS_OPERATION_READ, NULL, code, error);
    }
  bs_fault_backing_hold (pictures->pools.fault, BS_OPERATION_READ);
  for (guint i = 0; i < 6; i++)
    {
      paintables[i] = bs_gtk_item_paintable_new (items[i]);
      g_assert_null (draw (paintables[i]));
      /* The only thread is with the first one. */
      if (i == 0)
        wait_until (count_reads (pictures) == 1);
    }
  bs_fault_backing_release (pictures->pools.fault, BS_OPERATION_READ);

  for (int i = 0; i < 6; i++)
    {
      wait_until (!bs_gtk_item_paintable_get_loading (paintables[i]));
      g_assert_error (bs_gtk_item_paintable_get_error (paintables[i]), G_FILE_ERROR,
                      (i == 0 ? 1 : 7 - i));
      g_assert_finalize_object (paintables[i]);
      g_object_unref (items[i]);
    }
}

/* An item that has left is not read, and what is read for it is not shown. */
static void
test_change (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) first = insert_picture (pictures, RED);
  g_autoptr (BsItem) other = insert_picture (pictures, RED + 1);
  g_autoptr (BsItem) second = insert_picture (pictures, GREEN);
  g_autoptr (BsItem) third = insert_picture (pictures, BLUE);
  g_autoptr (BsGtkItemPaintable) self = make_paintable (pictures, first);

  bs_backing_store_set_max_threads (pictures->pools.store, 1);
  bs_fault_backing_hold (pictures->pools.fault, BS_OPERATION_READ);
  g_assert_null (draw (self));
  wait_until (count_reads (pictures) == 1);
  bs_item_load_object_async (other, G_PRIORITY_DEFAULT, NULL, NULL, NULL);
  /* That ends the first read; the only thread is with the other one then. */
  bs_gtk_item_paintable_set_item (self, NULL);
  wait_until (count_reads (pictures) == 2);
  bs_gtk_item_paintable_set_item (self, second);
  g_assert_null (draw (self));
  g_object_set (self, "item", third, NULL);
  g_assert_null (draw (self));
  g_assert_true (bs_gtk_item_paintable_get_item (self) == third);
  bs_fault_backing_release (pictures->pools.fault, BS_OPERATION_READ);
  wait_until (!bs_gtk_item_paintable_get_loading (self));
  assert_drawn (self, 0xff0000ff);
  g_assert_cmpuint (count_reads (pictures), ==, 3);
  g_assert_cmpuint (pictures->n_contents, ==, 4);
}

/* A paintable that goes while its item is read takes nothing with it. */
static void
test_goes (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, RED);
  g_autoptr (BsItem) queued = insert_picture (pictures, GREEN);
  BsGtkItemPaintable *self = bs_gtk_item_paintable_new (item);
  BsGtkItemPaintable *other = bs_gtk_item_paintable_new (queued);

  bs_backing_store_set_max_threads (pictures->pools.store, 1);
  bs_fault_backing_hold (pictures->pools.fault, BS_OPERATION_READ);
  g_assert_null (draw (self));
  wait_until (count_reads (pictures) == 1);
  g_assert_null (draw (other));
  g_assert_finalize_object (other);
  g_assert_finalize_object (self);
  bs_fault_backing_release (pictures->pools.fault, BS_OPERATION_READ);
  fixture_wait_finished (&pictures->pools);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (count_reads (pictures), ==, 1);
}

/* A paintable that goes holds its texture no longer. */
static void
test_shown_goes (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, RED);
  BsGtkItemPaintable *self = bs_gtk_item_paintable_new (item);
  GdkTexture *texture;

  g_assert_null (draw (self));
  wait_until (bs_gtk_item_paintable_get_paintable (self) != NULL);
  drop_pool (pictures);
  texture = draw (self);
  g_assert_cmpuint (bs_pool_get_memory_in_use (pictures->pool), >, 0);
  g_object_add_weak_pointer (G_OBJECT (texture), (gpointer *) &texture);
  g_assert_finalize_object (self);
  wait_until (texture == NULL);
}

static void
test_replaced (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, RED);
  g_autoptr (BsGtkItemPaintable) self = make_paintable (pictures, item);
  g_autoptr (GBytes) blue = make_picture ("png", SIDE, 2 * SIDE, BLUE);

  g_assert_null (draw (self));
  wait_until (bs_gtk_item_paintable_get_paintable (self) != NULL);
  bs_item_replace (item, blue);
  wait_until (bs_gtk_item_paintable_get_loading (self));
  g_assert_null (draw (self));
  wait_until (bs_gtk_item_paintable_get_paintable (self) != NULL);
  assert_drawn (self, 0xff0000ff);
  g_assert_cmpint (gdk_paintable_get_intrinsic_height (GDK_PAINTABLE (self)), ==, 2 * SIDE);
}

static void
test_error (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, RED);
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsGtkItemPaintable) self = make_paintable (pictures, item);
  g_autoptr (GError) copy = NULL;

  g_autoptr (GError) failure = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "no");
  bs_fault_backing_fail (pictures->pools.fault, BS_OPERATION_READ, NULL, 1, failure);
  g_assert_null (draw (self));
  wait_until (bs_gtk_item_paintable_get_error (self) != NULL);
  g_assert_error (bs_gtk_item_paintable_get_error (self), G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_object_get (self, "error", &copy, NULL);
  g_assert_nonnull (strstr (copy->message, key));
  g_assert_false (bs_gtk_item_paintable_get_loading (self));

  /* Not tried at every drawing, but when it is set anew. */
  g_assert_null (draw (self));
  fixture_wait_finished (&pictures->pools);
  g_assert_cmpuint (count_reads (pictures), ==, 1);
  bs_gtk_item_paintable_set_item (self, item);
  g_assert_null (bs_gtk_item_paintable_get_error (self));
  g_assert_null (draw (self));
  wait_until (bs_gtk_item_paintable_get_paintable (self) != NULL);
  assert_drawn (self, 0xffff0000);
}

static void
test_no_picture (Pictures *pictures, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_bytes (100, 'x');
  g_autoptr (BsItem) item = bs_pool_insert (pictures->pool, bytes);
  g_autoptr (BsPool) plain = bs_pool_new (pictures->pools.store, 1000);
  g_autoptr (BsItem) plain_item = bs_pool_insert (plain, bytes);
  g_autoptr (BsGtkItemPaintable) self = make_paintable (pictures, item);

  g_assert_null (draw (self));
  wait_until (!bs_gtk_item_paintable_get_loading (self));
  g_assert_error (bs_gtk_item_paintable_get_error (self), GDK_TEXTURE_ERROR,
                  GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT);

  /* Bytes that the codec has refused are not read again. */
  {
    g_autoptr (BsGtkItemPaintable) other = bs_gtk_item_paintable_new (item);
    guint n_reads;

    drop_all (pictures);
    n_reads = count_reads (pictures);
    g_assert_true (bs_gtk_item_paintable_get_loading (other));
    g_assert_null (draw (other));
    wait_until (!bs_gtk_item_paintable_get_loading (other));
    g_assert_error (bs_gtk_item_paintable_get_error (other), GDK_TEXTURE_ERROR,
                    GDK_TEXTURE_ERROR_UNSUPPORTED_FORMAT);
    g_assert_cmpuint (count_reads (pictures), ==, n_reads);
  }

  bs_gtk_item_paintable_set_item (self, plain_item);
  g_assert_null (draw (self));
  wait_until (!bs_gtk_item_paintable_get_loading (self));
  g_assert_error (bs_gtk_item_paintable_get_error (self), BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  bs_gtk_item_paintable_set_item (self, NULL);
  g_assert_null (bs_gtk_item_paintable_get_error (self));
  fixture_wait_finished (&pictures->pools);
}

/* The store is closed while cells wait for their pictures. */
static void
test_closed (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, RED);
  g_autoptr (BsGtkItemPaintable) self = make_paintable (pictures, item);
  g_autoptr (GError) error = NULL;

  bs_backing_store_close (pictures->pools.store, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (draw (self));
  wait_until (!bs_gtk_item_paintable_get_loading (self));
  g_assert_error (bs_gtk_item_paintable_get_error (self), BS_ERROR, BS_ERROR_CLOSED);
}

/* Only a property that changes notifies. */
static void
test_notify (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) first = insert_picture (pictures, RED);
  g_autoptr (BsItem) second = insert_picture (pictures, GREEN);
  g_autoptr (GBytes) bytes = make_bytes (100, 'x');
  g_autoptr (BsItem) bad = bs_pool_insert (pictures->pool, bytes);
  g_autoptr (BsGtkItemPaintable) self = make_paintable (pictures, NULL);

  bs_gtk_item_paintable_set_item (self, first);
  assert_told (pictures, 0, 1, 0);
  /* One that is missing after another: drawn, to be loaded, at the same size. */
  bs_gtk_item_paintable_set_item (self, second);
  g_assert_cmpuint (pictures->n_contents, ==, 1);
  g_assert_cmpuint (pictures->n_sizes, ==, 0);
  assert_told (pictures, 0, 0, 0);

  g_assert_null (draw (self));
  wait_until (bs_gtk_item_paintable_get_paintable (self) != NULL);
  g_assert_cmpuint (pictures->n_sizes, ==, 1);
  assert_told (pictures, 1, 1, 0);
  /* From one that is in memory to one that is not, and back. */
  bs_gtk_item_paintable_set_item (self, first);
  assert_told (pictures, 1, 1, 0);
  bs_gtk_item_paintable_set_item (self, second);
  assert_told (pictures, 1, 1, 0);
  /* Another item with the object that is shown. */
  {
    g_autoptr (BsItem) copy = bs_item_copy (second);

    bs_gtk_item_paintable_set_item (self, copy);
    assert_told (pictures, 0, 0, 0);
  }

  bs_gtk_item_paintable_set_item (self, bad);
  assert_told (pictures, 1, 1, 0);
  g_assert_null (draw (self));
  wait_until (!bs_gtk_item_paintable_get_loading (self));
  assert_told (pictures, 0, 1, 1);
  bs_gtk_item_paintable_set_item (self, NULL);
  assert_told (pictures, 0, 0, 1);
}

static const char interface[] =
  "<interface><object class='BsGtkItemPaintable' id='paintable'>"
  "  <binding name='item'><lookup name='item' type='BsGtkItemPaintable'>row</lookup></binding>"
  "</object></interface>";

static void
test_builder (Pictures *pictures, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_picture (pictures, RED);
  g_autoptr (GtkBuilder) builder = gtk_builder_new ();
  g_autoptr (BsGtkItemPaintable) row = bs_gtk_item_paintable_new (NULL);
  g_autoptr (GError) error = NULL;
  BsGtkItemPaintable *self;

  bs_gtk_init ();
  gtk_builder_expose_object (builder, "row", G_OBJECT (row));
  gtk_builder_add_from_string (builder, interface, -1, &error);
  g_assert_no_error (error);
  self = BS_GTK_ITEM_PAINTABLE (gtk_builder_get_object (builder, "paintable"));
  g_assert_null (bs_gtk_item_paintable_get_item (self));
  bs_gtk_item_paintable_set_item (row, item);
  g_assert_true (bs_gtk_item_paintable_get_item (self) == item);
  bs_gtk_item_paintable_set_item (row, NULL);
  g_assert_null (bs_gtk_item_paintable_get_item (self));
}

static void
add (const char *path, void (*test) (Pictures *, gconstpointer))
{
  g_test_add (path, Pictures, NULL, pictures_set_up, test, pictures_tear_down);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  /* Render nodes exist after this, with or without a screen. */
  gtk_init_check ();
  add ("/item-paintable/load", test_load);
  add ("/item-paintable/in-memory", test_in_memory);
  add ("/item-paintable/placeholder", test_placeholder);
  add ("/item-paintable/newest-first", test_newest_first);
  add ("/item-paintable/change", test_change);
  add ("/item-paintable/goes", test_goes);
  add ("/item-paintable/shown-goes", test_shown_goes);
  add ("/item-paintable/replaced", test_replaced);
  add ("/item-paintable/error", test_error);
  add ("/item-paintable/no-picture", test_no_picture);
  add ("/item-paintable/closed", test_closed);
  add ("/item-paintable/notify", test_notify);
  add ("/item-paintable/builder", test_builder);

  return g_test_run ();
}
