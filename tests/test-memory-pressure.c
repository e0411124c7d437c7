/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

/* A low-memory-monitor of our own, on a bus of our own that GIO takes for the
 * system's. */

#define LOW G_MEMORY_MONITOR_WARNING_LEVEL_LOW
#define MEDIUM G_MEMORY_MONITOR_WARNING_LEVEL_MEDIUM
#define CRITICAL G_MEMORY_MONITOR_WARNING_LEVEL_CRITICAL

static GTestDBus *bus;
static GDBusConnection *service;

static void
start_service (void)
{
  g_autoptr (GVariant) reply = NULL;
  g_autoptr (GError) error = NULL;

  bus = g_test_dbus_new (G_TEST_DBUS_NONE);
  g_test_dbus_up (bus);
  g_setenv ("DBUS_SYSTEM_BUS_ADDRESS", g_test_dbus_get_bus_address (bus), TRUE);

  service =
    g_dbus_connection_new_for_address_sync (g_test_dbus_get_bus_address (bus),
                                            G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                              G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                            NULL, NULL, &error);
  g_assert_no_error (error);
  reply =
    g_dbus_connection_call_sync (service, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                 "org.freedesktop.DBus", "RequestName",
                                 g_variant_new ("(su)", "org.freedesktop.LowMemoryMonitor", 0u),
                                 G_VARIANT_TYPE ("(u)"), G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
  g_assert_no_error (error);
}

static void
stop_service (void)
{
  g_autoptr (GDBusConnection) ours = g_bus_get_sync (G_BUS_TYPE_SYSTEM, NULL, NULL);

  /* The end of the bus is not to be the end of this program. */
  if (ours != NULL)
    g_dbus_connection_set_exit_on_close (ours, FALSE);
  g_dbus_connection_close_sync (service, NULL, NULL);
  g_clear_object (&service);
  g_test_dbus_stop (bus);
  g_clear_object (&bus);
}

/* The warnings of the monitor in this process. */
typedef struct
{
  GMemoryMonitor *monitor;
  gulong handler;
  guint n_warnings;
  GThread *thread;
} Probe;

static void
probe_cb (GMemoryMonitor *monitor, int level, Probe *probe)
{
  probe->n_warnings++;
  probe->thread = g_thread_self ();
}

static void
emit_warning (guint8 level)
{
  g_autoptr (GError) error = NULL;

  g_dbus_connection_emit_signal (service, NULL, "/org/freedesktop/LowMemoryMonitor",
                                 "org.freedesktop.LowMemoryMonitor", "LowMemoryWarning",
                                 g_variant_new ("(y)", level), &error);
  g_assert_no_error (error);
  g_dbus_connection_flush_sync (service, NULL, &error);
  g_assert_no_error (error);
}

/* Returns when the warning was heard, by the pools too. */
static void
warn_of (Probe *probe, guint8 level)
{
  guint before = probe->n_warnings;

  emit_warning (level);
  wait_until (probe->n_warnings > before);
  g_assert_cmpuint (probe->n_warnings, ==, before + 1);
}

static gboolean
knock_cb (gpointer data)
{
  emit_warning (0);
  return G_SOURCE_CONTINUE;
}

static void
probe_set_up (Probe *probe)
{
  guint knock;

  memset (probe, 0, sizeof *probe);
  probe->monitor = g_memory_monitor_dup_default ();
  probe->handler =
    g_signal_connect (probe->monitor, "low-memory-warning", G_CALLBACK (probe_cb), probe);

  /* The monitor finds its service when it pleases: knock until it answers, and
   * wait for the last of those knocks. */
  emit_warning (0);
  knock = g_timeout_add (20, knock_cb, NULL);
  while (probe->n_warnings == 0)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (knock);
  emit_warning (1);
  {
    g_autoptr (GDBusConnection) ours = g_bus_get_sync (G_BUS_TYPE_SYSTEM, NULL, NULL);
    g_autoptr (GVariant) reply = NULL;

    /* Signals emitted before this call are in the main context when it ends. */
    reply = g_dbus_connection_call_sync (ours, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                         "org.freedesktop.DBus", "GetId", NULL, NULL,
                                         G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
    g_assert_nonnull (reply);
  }
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
probe_tear_down (Probe *probe)
{
  g_assert_true (probe->thread == g_thread_self ());
  g_signal_handler_disconnect (probe->monitor, probe->handler);
  g_object_unref (probe->monitor);
}

static gpointer
set_up_elsewhere (gpointer data)
{
  GMainContext *context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  fixture_set_up (data, 1000);
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);

  return NULL;
}

/* Must come first: this pool is the one to ask for the process's memory monitor. */
static void
test_first_in_other_context (void)
{
  BsItem *items[10];
  Fixture fixture;
  Probe probe;

  g_thread_join (g_thread_new ("elsewhere", set_up_elsewhere, &fixture));
  insert_many (fixture.pool, items, 10, 100);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  probe_set_up (&probe);
  warn_of (&probe, MEDIUM);
  wait_until (bs_pool_get_memory_use (fixture.pool) <= 250);
  assert_all_loadable (items, 10, 100);

  unref_items (items, 10);
  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

static void
test_levels (void)
{
  const struct
  {
    guint8 level;
    guint64 remains;
  } steps[] = {
    { 0, 1000 },     { LOW - 1, 1000 },     { LOW, 500 },    { MEDIUM - 1, 500 },
    { MEDIUM, 200 }, { CRITICAL - 1, 200 }, { CRITICAL, 0 },
  };
  BsItem *items[10];
  Fixture fixture;
  Probe probe;

  fixture_set_up (&fixture, 1000);
  probe_set_up (&probe);
  insert_many (fixture.pool, items, 10, 100);
  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      warn_of (&probe, steps[i].level);
      fixture_wait_finished (&fixture);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, steps[i].remains);
    }
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 10);
  g_assert_cmpuint (bs_pool_get_max_bytes (fixture.pool), ==, 1000);

  /* The pool may grow again, and is trimmed again. */
  assert_all_loadable (items, 10, 100);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 1000);
  warn_of (&probe, 70);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 500);

  unref_items (items, 10);
  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

static void
test_no_limit (void)
{
  BsItem *items[10];
  Fixture fixture;
  Probe probe;

  fixture_set_up (&fixture, G_MAXUINT64);
  probe_set_up (&probe);
  insert_many (fixture.pool, items, 10, 100);
  warn_of (&probe, LOW);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 500);
  warn_of (&probe, CRITICAL);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);

  unref_items (items, 10);
  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

static void
test_property (void)
{
  Notified notified = { .home = g_thread_self () };
  BsItem *items[10];
  gboolean value;
  Fixture fixture;
  Probe probe;

  fixture_set_up (&fixture, 1000);
  assert_goes (fixture.pool);
  fixture.pool = g_object_new (BS_TYPE_POOL, "store", fixture.store, "max-bytes", (guint64) 1000,
                               "trim-on-low-memory", FALSE, NULL);
  g_assert_false (bs_pool_get_trim_on_low_memory (fixture.pool));
  probe_set_up (&probe);
  insert_many (fixture.pool, items, 10, 100);
  warn_of (&probe, CRITICAL);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 1000);

  g_signal_connect (fixture.pool, "notify::trim-on-low-memory", G_CALLBACK (notify_cb), &notified);
  g_object_set (fixture.pool, "trim-on-low-memory", TRUE, NULL);
  g_object_set (fixture.pool, "trim-on-low-memory", TRUE, NULL);
  wait_until (notified.n > 0);
  g_object_get (fixture.pool, "trim-on-low-memory", &value, NULL);
  g_assert_true (value);
  g_assert_cmpuint (notified.n, ==, 1);
  warn_of (&probe, LOW);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 500);

  bs_pool_set_trim_on_low_memory (fixture.pool, FALSE);
  warn_of (&probe, CRITICAL);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 500);
  wait_until (notified.n > 1);

  g_signal_handlers_disconnect_by_data (fixture.pool, &notified);
  unref_items (items, 10);
  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

/* The disk does not move: the main loop does, and warnings do not pile up. */
static void
test_stalled_disk (void)
{
  BsItem *items[10];
  Fixture fixture;
  Probe probe;

  fixture_set_up (&fixture, 1000);
  probe_set_up (&probe);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  insert_many (fixture.pool, items, 10, 100);
  for (guint i = 0; i < 50; i++)
    warn_of (&probe, i % 2 == 0 ? LOW : CRITICAL);
  assert_all_loadable (items, 10, 100);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 1000);
  /* Two trims, and the writes under way. */
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (bs_backing_store_get_task_tracker (fixture.store)),
                    <=, 2 + bs_backing_store_get_max_threads (fixture.store));

  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  wait_until (bs_pool_get_memory_use (fixture.pool) == 0);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 10);

  /* And it is answered again. */
  assert_all_loadable (items, 10, 100);
  warn_of (&probe, CRITICAL);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);

  unref_items (items, 10);
  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

/* A harder warning waits for no trim that is under way. */
static void
test_harder (void)
{
  BsItem *items[2];
  Fixture fixture;
  Probe probe;

  fixture_set_up (&fixture, G_MAXUINT64);
  probe_set_up (&probe);
  insert_many (fixture.pool, items, 2, 100);
  g_assert_true (bs_item_write (items[1], NULL, NULL));
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  warn_of (&probe, LOW);
  wait_until (count (&fixture, BS_OPERATION_WRITE) == 2);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 200);
  warn_of (&probe, CRITICAL);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);

  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  wait_until (bs_pool_get_memory_use (fixture.pool) == 0);

  unref_items (items, 2);
  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

typedef struct
{
  GMemoryMonitor *monitor;
  BsPool *pool;
  BsItem *item;
  gboolean stops; /* the pool's reaction is switched off after the warnings */
} Growth;

/* Called by the thread that has brought the trim to its target and has not ended it. */
static void
grow_and_warn (gpointer data)
{
  Growth *growth = data;

  g_assert_cmpuint (bs_pool_get_memory_use (growth->pool), ==, 0);
  growth->item = insert (growth->pool, 100, 'b');
  g_signal_emit_by_name (growth->monitor, "low-memory-warning", LOW);
  g_signal_emit_by_name (growth->monitor, "low-memory-warning", CRITICAL);
  if (growth->stops)
    bs_pool_set_trim_on_low_memory (growth->pool, FALSE);
}

/* The hardest warning counts that is heard between the target of a trim and its end, unless the
 * reaction is switched off. The backing keeps no reference on the content. */
static void
test_grown_meanwhile (gconstpointer stops)
{
  static const char content[100] = "a";
  g_autoptr (BsFileBacking) backing = NULL;
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsPool) pool = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GError) error = NULL;
  Growth growth = { .stops = stops != NULL };
  GBytes *bytes;
  Probe probe;

  alarm (WATCHDOG_SECONDS);
  backing = bs_file_backing_new_temporary (&error);
  g_assert_no_error (error);
  store = bs_backing_store_new (BS_BACKING (backing));
  growth.pool = pool = bs_pool_new (store, 1000);
  probe_set_up (&probe);
  growth.monitor = probe.monitor;
  bytes = g_bytes_new_with_free_func (content, sizeof content, grow_and_warn, &growth);
  item = bs_pool_insert (pool, bytes);
  g_bytes_unref (bytes);
  g_assert_true (bs_item_write (item, NULL, &error));
  g_assert_no_error (error);

  g_signal_emit_by_name (probe.monitor, "low-memory-warning", CRITICAL);
  g_assert_nonnull (growth.item);
  g_assert_true (bs_backing_store_wait_finished (store, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (pool), ==, stops != NULL ? 100 : 0);

  g_object_unref (growth.item);
  g_assert_true (bs_backing_store_close (store, NULL, &error));
  g_assert_no_error (error);
  probe_tear_down (&probe);
  alarm (0);
}

static void
test_full_disk (void)
{
  BsItem *items[10];
  Fixture fixture;
  Probe probe;

  fixture_set_up (&fixture, 1000);
  probe_set_up (&probe);
  fail_all (&fixture, BS_OPERATION_WRITE, NULL, G_IO_ERROR_NO_SPACE);
  insert_many (fixture.pool, items, 10, 100);
  for (guint i = 0; i < 3; i++)
    {
      warn_of (&probe, CRITICAL);
      wait_until (count (&fixture, BS_OPERATION_WRITE) > i);
      fixture_wait_finished (&fixture);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 1000);
    }
  assert_all_loadable (items, 10, 100);

  bs_fault_backing_clear (fixture.fault);
  warn_of (&probe, CRITICAL);
  wait_until (bs_pool_get_memory_use (fixture.pool) == 0);
  assert_all_loadable (items, 10, 100);

  unref_items (items, 10);
  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

static void
test_keeps_nothing_alive (void)
{
  BsItem *items[10];
  Fixture fixture;
  Probe probe;

  fixture_set_up (&fixture, 1000);
  probe_set_up (&probe);
  g_assert_finalize_object (g_steal_pointer (&fixture.pool));
  warn_of (&probe, CRITICAL);

  /* Nor while a trim is under way. */
  fixture.pool = bs_pool_new (fixture.store, 1000);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  insert_many (fixture.pool, items, 10, 100);
  warn_of (&probe, CRITICAL);
  wait_until (count (&fixture, BS_OPERATION_WRITE) > 0);
  unref_items (items, 10);
  assert_goes (g_steal_pointer (&fixture.pool));
  warn_of (&probe, CRITICAL);

  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

/* A store whose backing is called in this very thread. */
static void
test_main_context (void)
{
  BsItem *items[10];
  Fixture fixture;
  Probe probe;

  fixture_set_up_in_context (&fixture, 1000, g_main_context_default ());
  probe_set_up (&probe);
  insert_many (fixture.pool, items, 10, 100);
  warn_of (&probe, LOW);
  wait_until (bs_pool_get_memory_use (fixture.pool) <= 500);
  assert_all_loadable (items, 10, 100);

  unref_items (items, 10);
  probe_tear_down (&probe);
  fixture_tear_down (&fixture);
}

typedef struct
{
  Fixture *fixture;
  GMemoryMonitor *monitor;
  int *n_running; /* atomic */
} Coming;

static gpointer
come_and_go_thread (gpointer data)
{
  Coming *coming = data;

  for (guint i = 0; i < 200; i++)
    {
      g_autoptr (BsPool) pool = bs_pool_new (coming->fixture->store, 1000);
      g_autoptr (BsItem) item = insert (pool, 100, 'x');

      if (i % 3 == 0)
        bs_pool_set_trim_on_low_memory (pool, FALSE);
      if (i % 5 == 0)
        bs_pool_set_trim_on_low_memory (pool, TRUE);
      if (i % 7 == 0)
        g_object_set (coming->fixture->pool, "trim-on-low-memory", i % 2 == 0, NULL);
    }

  g_atomic_int_dec_and_test (coming->n_running);
  return NULL;
}

/* In a thread of its own, as newer GLibs may. */
static gpointer
emit_thread (gpointer data)
{
  Coming *coming = data;

  while (g_atomic_int_get (coming->n_running) > 0)
    {
      g_signal_emit_by_name (coming->monitor, "low-memory-warning", LOW);
      g_signal_emit_by_name (coming->monitor, "low-memory-warning", CRITICAL);
    }

  return NULL;
}

static void
test_threads (void)
{
  int n_running = 3;
  GThread *threads[3], *emitter;
  BsItem *items[10];
  Coming coming;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  insert_many (fixture.pool, items, 10, 100);
  coming = (Coming){ &fixture, g_memory_monitor_dup_default (), &n_running };
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("come and go", come_and_go_thread, &coming);
  emitter = g_thread_new ("emit", emit_thread, &coming);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_thread_join (emitter);

  assert_all_loadable (items, 10, 100);
  bs_pool_set_trim_on_low_memory (fixture.pool, TRUE);
  g_signal_emit_by_name (coming.monitor, "low-memory-warning", CRITICAL);
  wait_until (bs_pool_get_memory_use (fixture.pool) == 0);

  unref_items (items, 10);
  g_object_unref (coming.monitor);
  fixture_tear_down (&fixture);
}

static void
test_no_bus (void)
{
  g_test_skip ("There is no dbus-daemon");
}

int
main (int argc, char *argv[])
{
  g_autofree char *daemon_path = g_find_program_in_path ("dbus-daemon");
  int status;

  g_test_init (&argc, &argv, NULL);

  if (daemon_path == NULL)
    {
      g_test_add_func ("/memory-pressure", test_no_bus);
      return g_test_run ();
    }

  start_service ();
  g_test_add_func ("/memory-pressure/first-in-other-context", test_first_in_other_context);
  g_test_add_func ("/memory-pressure/levels", test_levels);
  g_test_add_func ("/memory-pressure/no-limit", test_no_limit);
  g_test_add_func ("/memory-pressure/property", test_property);
  g_test_add_func ("/memory-pressure/stalled-disk", test_stalled_disk);
  g_test_add_func ("/memory-pressure/harder", test_harder);
  g_test_add_data_func ("/memory-pressure/grown-meanwhile", NULL, test_grown_meanwhile);
  g_test_add_data_func ("/memory-pressure/stopped-meanwhile", "stops", test_grown_meanwhile);
  g_test_add_func ("/memory-pressure/full-disk", test_full_disk);
  g_test_add_func ("/memory-pressure/keeps-nothing-alive", test_keeps_nothing_alive);
  g_test_add_func ("/memory-pressure/main-context", test_main_context);
  g_test_add_func ("/memory-pressure/threads", test_threads);
  status = g_test_run ();
  stop_service ();

  return status;
}
