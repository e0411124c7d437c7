/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "waiting.h"

#include <backingstore/backingstore.h>

#include <string.h>
#include <unistd.h>

/* A pool on a store on a backing with gates and faults. The watchdog is a
 * signal, so that it also ends a blocking call that never returns. */

#define WATCHDOG_SECONDS 100

typedef struct
{
  BsFaultBacking *fault;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;       /* NULL until fixture_track() */
} Fixture;

static inline GBytes *
make_bytes (gsize size, char fill)
{
  char *data = g_malloc (size + 1);

  memset (data, fill, size);
  return g_bytes_new_take (data, size);
}

static inline BsItem *
insert (BsPool *pool, gsize size, char fill)
{
  g_autoptr (GBytes) bytes = make_bytes (size, fill);

  return bs_pool_insert (pool, bytes);
}

static inline void
fixture_set_up_in_context (Fixture *fixture, guint64 max_bytes, GMainContext *context)
{
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();

  alarm (WATCHDOG_SECONDS);
  memset (fixture, 0, sizeof *fixture);
  fixture->fault = bs_fault_backing_new (BS_BACKING (memory));
  if (context != NULL)
    fixture->store = bs_backing_store_new_in_context (BS_BACKING (fixture->fault), context);
  else
    fixture->store = bs_backing_store_new (BS_BACKING (fixture->fault));
  /* Calls of several threads may be held. */
  bs_backing_store_set_max_threads (fixture->store, 4);
  fixture->pool = bs_pool_new (fixture->store, max_bytes);
}

static inline void
fixture_set_up (Fixture *fixture, guint64 max_bytes)
{
  fixture_set_up_in_context (fixture, max_bytes, NULL);
}

static inline BsTrackedPath *
fixture_track (Fixture *fixture)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("memory:///persisted");
  g_autoptr (GError) error = NULL;

  fixture->tracked = bs_backing_store_track_path (fixture->store, file, NULL, &error);
  g_assert_no_error (error);

  return fixture->tracked;
}

static inline void
fixture_wait_finished (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_wait_finished (fixture->store, NULL, &error);
  g_assert_no_error (error);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
}

/* A key that is at the path, and that no item has. */
static inline char *
put_key (Fixture *fixture, gsize size, char fill)
{
  g_autoptr (GError) error = NULL;
  BsItem *item = insert (fixture->pool, size, fill);
  char *key = bs_item_dup_key (item);

  bs_item_persist (item, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  assert_goes (item);
  fixture_wait_finished (fixture);

  return key;
}

static inline void
fixture_tear_down (Fixture *fixture)
{
  bs_fault_backing_clear (fixture->fault);
  if (fixture->pool != NULL)
    assert_goes (fixture->pool);
  if (fixture->tracked != NULL)
    assert_goes (fixture->tracked);
  assert_goes (fixture->store);
  assert_goes (fixture->fault);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  alarm (0);
}

/* The content of the i-th of many items. */
static inline char
letter_of (guint i)
{
  return 'A' + i % 50;
}

static inline void
insert_many (BsPool *pool, BsItem **items, guint n, gsize size)
{
  for (guint i = 0; i < n; i++)
    items[i] = insert (pool, size, letter_of (i));
}

static inline void
assert_filled (GBytes *bytes, gsize size, char fill)
{
  const char *data;
  gsize length;

  g_assert_nonnull (bytes);
  data = g_bytes_get_data (bytes, &length);
  g_assert_cmpuint (length, ==, size);
  for (gsize i = 0; i < size; i++)
    g_assert_cmpint (data[i], ==, fill);
}

static inline void
assert_all_loadable (BsItem **items, guint n, gsize size)
{
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = bs_item_load (items[i], NULL, &error);

      g_assert_no_error (error);
      assert_filled (bytes, size, letter_of (i));
    }
}

static inline void
unref_items (BsItem **items, guint n)
{
  for (guint i = 0; i < n; i++)
    assert_goes (items[i]);
}

static inline gboolean
is_resident (BsItem *item)
{
  g_autoptr (GBytes) bytes = bs_item_try_load (item);

  return bytes != NULL;
}

static inline guint
count (Fixture *fixture, BsOperation operation)
{
  return bs_fault_backing_get_count (fixture->fault, operation);
}

/* How often a property was notified, and where. */
typedef struct
{
  GThread *home;
  guint n;
  guint n_elsewhere; /* not in the thread of the context */
} Notified;

static inline void
notify_cb (GObject *object, GParamSpec *pspec, Notified *notified)
{
  notified->n++;
  if (g_thread_self () != notified->home)
    notified->n_elsewhere++;
}

static inline void
store_result (GObject *object, GAsyncResult *result, gpointer user_data)
{
  GAsyncResult **where = user_data;

  g_assert_null (*where);
  *where = g_object_ref (result);
}

static inline GAsyncResult *
wait_result (GAsyncResult **where)
{
  while (*where == NULL)
    g_main_context_iteration (NULL, TRUE);

  return *where;
}

static inline void
fail_all (Fixture *fixture, BsOperation operation, const char *key, int code)
{
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, code, "so the test wants it");

  bs_fault_backing_fail (fixture->fault, operation, key, 0, error);
}
