/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

/* After every content was loaded and let go, none is in use, whatever the style of the
 * calls. The tests of the same name in other languages check their bindings. */

#define N_ITEMS 50
#define SIZE 65536

typedef struct
{
  Fixture fixture;
  GPtrArray *items;
  guint n_arrived;
} Released;

static void
released_set_up (Released *self)
{
  fixture_set_up (&self->fixture, SIZE);
  self->items = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < N_ITEMS; i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (SIZE), SIZE);

      g_ptr_array_add (self->items, bs_pool_insert (self->fixture.pool, bytes));
    }
}

/* A thread that has just written a content may hold it for a moment. */
static void
released_tear_down (Released *self)
{
  g_autoptr (GError) error = NULL;

  bs_pool_trim (self->fixture.pool, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (self->fixture.pool), ==, 0);
  while (bs_pool_get_memory_in_use (self->fixture.pool) > 0)
    g_thread_yield ();

  g_clear_pointer (&self->items, g_ptr_array_unref);
  g_assert_cmpuint (bs_pool_get_n_items (self->fixture.pool), ==, 0);
  fixture_tear_down (&self->fixture);
}

static void
test_blocking (void)
{
  Released self = { 0 };

  released_set_up (&self);
  for (guint i = 0; i < N_ITEMS; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = bs_item_load (self.items->pdata[i], NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (bytes), ==, SIZE);
    }
  released_tear_down (&self);
}

static void
loaded_cb (GObject *item, GAsyncResult *result, gpointer user_data)
{
  Released *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_item_load_finish (BS_ITEM (item), result, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, SIZE);
  self->n_arrived++;
}

static void
test_callback (void)
{
  Released self = { 0 };

  released_set_up (&self);
  for (guint i = 0; i < N_ITEMS; i++)
    bs_item_load_async (self.items->pdata[i], G_PRIORITY_DEFAULT, NULL, loaded_cb, &self);
  while (self.n_arrived < N_ITEMS)
    g_main_context_iteration (NULL, TRUE);
  released_tear_down (&self);
}

/* A result that its callback never asks for. */
static void
arrived_cb (GObject *item, GAsyncResult *result, gpointer user_data)
{
  ((Released *) user_data)->n_arrived++;
}

static void
test_unfinished (void)
{
  Released self = { 0 };

  released_set_up (&self);
  for (guint i = 0; i < N_ITEMS; i++)
    bs_item_load_async (self.items->pdata[i], G_PRIORITY_DEFAULT, NULL, arrived_cb, &self);
  while (self.n_arrived < N_ITEMS)
    g_main_context_iteration (NULL, TRUE);
  released_tear_down (&self);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/released/blocking", test_blocking);
  g_test_add_func ("/released/callback", test_callback);
  g_test_add_func ("/released/unfinished", test_unfinished);

  return g_test_run ();
}
