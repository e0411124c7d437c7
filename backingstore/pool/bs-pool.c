/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-pool.h"

#include "bs-eviction-private.h"
#include "bs-pool-private.h"

/**
 * BsPool:
 *
 * A memory cache over a [class@BackingStore].
 *
 * A pool holds the contents of its [class@Item]s in memory as long as they fit
 * into [property@Pool:max-bytes], and otherwise lets go of the contents that are
 * the least likely to be used again soon: [Which items stay in
 * memory](residency.html) tells which these are. A content that is not yet in the
 * backing is written there before it leaves memory, in the background. A content
 * that cannot be written stays in memory: the store says so with
 * [signal@BackingStore::background-error], once for a content, and the pool tries
 * again after growing pauses. It tries when its main context runs, which is the
 * thread-default one of the thread that made the pool, and otherwise at the next
 * occasion.
 *
 * A pool that is over its budget is visible ([property@Pool:memory-use]) and
 * goes on working; a producer that is faster than the disk awaits
 * [method@Pool.trim] now and then.
 *
 * All functions may be called from any thread. The properties notify in the
 * main context that was the thread's default where the store was made,
 * coalesced.
 */

typedef enum
{
  PROP_STORE = 1,
  PROP_CODEC,
  PROP_MAX_BYTES,
  PROP_MAX_ITEMS,
  PROP_MEMORY_USE,
  PROP_MEMORY_IN_USE,
  PROP_N_ITEMS,
  PROP_N_RESIDENT,
  PROP_TRIM_ON_LOW_MEMORY,
} BsPoolProperty;

static GParamSpec *properties[PROP_TRIM_ON_LOW_MEMORY + 1];

G_DEFINE_FINAL_TYPE (BsPool, bs_pool, G_TYPE_OBJECT)

gboolean
bs_pool_has_store (BsPool *self)
{
  return BS_IS_POOL (self) && self->store != NULL;
}

/* Notifications would pile up where no main loop runs, and most pools have no handler. */
static gboolean
has_notify_handler (gpointer object)
{
  static gsize notify_id = 0;

  if (g_once_init_enter (&notify_id))
    g_once_init_leave (&notify_id, g_signal_lookup ("notify", G_TYPE_OBJECT));

  return g_signal_handler_find (object, G_SIGNAL_MATCH_ID, notify_id, 0, NULL, NULL, NULL) != 0;
}

void
bs_pool_notify (BsPool *self, gpointer object, GParamSpec *pspec)
{
  if (has_notify_handler (object))
    bs_notifier_notify (bs_backing_store_get_notifier (self->store), object, pspec, NULL);
}

/* A pool that was made without a store has no contents. */
static void
limit_changed (BsPool *self, GParamSpec *pspec)
{
  if (self->store == NULL)
    return;

  bs_pool_notify (self, self, pspec);
  bs_cache_settle (self->cache);
}

/* Called in any thread. */
static void
changed (GObject *owner, BsCacheChanges changes)
{
  static const struct
  {
    BsCacheChanges change;
    BsPoolProperty property;
  } told[] = {
    { BS_CHANGED_MEMORY_USE, PROP_MEMORY_USE },
    { BS_CHANGED_MEMORY_IN_USE, PROP_MEMORY_IN_USE },
    { BS_CHANGED_N_ITEMS, PROP_N_ITEMS },
    { BS_CHANGED_N_RESIDENT, PROP_N_RESIDENT },
  };
  BsPool *self = BS_POOL (owner);

  if (!has_notify_handler (self))
    return;

  for (guint i = 0; i < G_N_ELEMENTS (told); i++)
    if (changes & told[i].change)
      bs_notifier_notify (bs_backing_store_get_notifier (self->store), owner,
                          properties[told[i].property], NULL);
}

static void
bs_pool_get_property (GObject *object, guint property_id, GValue *value, GParamSpec *pspec)
{
  BsPool *self = BS_POOL (object);

  switch ((BsPoolProperty) property_id)
    {
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_CODEC:
      g_value_set_object (value, self->codec);
      break;
    case PROP_MAX_ITEMS:
      g_value_set_uint (value, bs_pool_get_max_items (self));
      break;
    case PROP_MAX_BYTES:
      g_value_set_uint64 (value, bs_pool_get_max_bytes (self));
      break;
    case PROP_MEMORY_USE:
      g_value_set_uint64 (value, bs_pool_get_memory_use (self));
      break;
    case PROP_MEMORY_IN_USE:
      g_value_set_uint64 (value, bs_pool_get_memory_in_use (self));
      break;
    case PROP_N_ITEMS:
      g_value_set_uint (value, bs_pool_get_n_items (self));
      break;
    case PROP_N_RESIDENT:
      g_value_set_uint (value, bs_pool_get_n_resident (self));
      break;
    case PROP_TRIM_ON_LOW_MEMORY:
      g_value_set_boolean (value, bs_pool_get_trim_on_low_memory (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
bs_pool_set_property (GObject *object, guint property_id, const GValue *value, GParamSpec *pspec)
{
  BsPool *self = BS_POOL (object);

  switch ((BsPoolProperty) property_id)
    {
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      self->cache->store = self->store;
      break;
    case PROP_CODEC:
      self->codec = g_value_dup_object (value);
      self->cache->codec = self->codec;
      break;
    case PROP_MAX_ITEMS:
      bs_pool_set_max_items (self, g_value_get_uint (value));
      break;
    case PROP_MAX_BYTES:
      bs_pool_set_max_bytes (self, g_value_get_uint64 (value));
      break;
    case PROP_TRIM_ON_LOW_MEMORY:
      bs_pool_set_trim_on_low_memory (self, g_value_get_boolean (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
follow_memory_pressure (BsPool *self)
{
  BsMemoryPressure *pressure = bs_memory_pressure_start (self->cache);

  g_mutex_lock (&self->cache->lock);
  if (self->trim_on_low_memory && self->pressure == NULL)
    self->pressure = g_steal_pointer (&pressure);
  g_mutex_unlock (&self->cache->lock);

  /* Another thread follows already, or has turned trim-on-low-memory off. */
  if (pressure != NULL)
    bs_memory_pressure_stop (pressure);
}

static void
bs_pool_finalize (GObject *object)
{
  BsPool *self = BS_POOL (object);

  g_clear_pointer (&self->pressure, bs_memory_pressure_stop);
  /* Items and trims hold the pool, so no content is left. */
  bs_cache_destroy_retry (self->cache);
  bs_cache_unref (self->cache);
  g_clear_object (&self->codec);
  g_clear_object (&self->store);

  G_OBJECT_CLASS (bs_pool_parent_class)->finalize (object);
}

static void
bs_pool_class_init (BsPoolClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags constant = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;
  GParamFlags readable = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;
  GParamFlags writable = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = bs_pool_get_property;
  object_class->set_property = bs_pool_set_property;
  object_class->finalize = bs_pool_finalize;

  /**
   * BsPool:store: (attributes org.gtk.Property.get=bs_pool_get_store)
   *
   * The store behind the pool.
   */
  properties[PROP_STORE] =
    g_param_spec_object ("store", NULL, NULL, BS_TYPE_BACKING_STORE, constant);

  /**
   * BsPool:codec: (attributes org.gtk.Property.get=bs_pool_get_codec)
   *
   * The codec that turns objects into bytes and back; %NULL for a pool of bytes
   * only.
   */
  properties[PROP_CODEC] = g_param_spec_object ("codec", NULL, NULL, BS_TYPE_CODEC, constant);

  /**
   * BsPool:max-items: (attributes org.gtk.Property.get=bs_pool_get_max_items org.gtk.Property.set=bs_pool_set_max_items)
   *
   * How many contents, as counted by [property@Pool:n-resident], the pool tries to
   * hold at most, whatever their sizes; 0 for as many as [property@Pool:max-bytes]
   * allows.
   *
   * Notifies in the main context that was the thread's default where the store was
   * made.
   */
  properties[PROP_MAX_ITEMS] =
    g_param_spec_uint ("max-items", NULL, NULL, 0, G_MAXUINT, 0, writable | G_PARAM_CONSTRUCT);

  /**
   * BsPool:max-bytes: (attributes org.gtk.Property.get=bs_pool_get_max_bytes org.gtk.Property.set=bs_pool_set_max_bytes)
   *
   * The budget: how many bytes the pool tries to hold at most.
   *
   * With 0 every content goes straight to the backing; %G_MAXUINT64, which a pool
   * made with g_object_new() begins with, is no limit. Notifies in the main
   * context that was the thread's default where the store was made.
   */
  properties[PROP_MAX_BYTES] = g_param_spec_uint64 ("max-bytes", NULL, NULL, 0, G_MAXUINT64,
                                                    G_MAXUINT64, writable | G_PARAM_CONSTRUCT);

  /**
   * BsPool:memory-use: (attributes org.gtk.Property.get=bs_pool_get_memory_use)
   *
   * How many bytes of content the pool holds in memory.
   *
   * Notifies in the main context that was the thread's default where the store
   * was made, coalesced.
   */
  properties[PROP_MEMORY_USE] =
    g_param_spec_uint64 ("memory-use", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  /**
   * BsPool:memory-in-use: (attributes org.gtk.Property.get=bs_pool_get_memory_in_use)
   *
   * How many bytes of contents the pool has given up that are still in memory, because
   * the application holds them.
   *
   * Notifies in the main context that was the thread's default where the store
   * was made, coalesced.
   */
  properties[PROP_MEMORY_IN_USE] =
    g_param_spec_uint64 ("memory-in-use", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  /**
   * BsPool:n-items: (attributes org.gtk.Property.get=bs_pool_get_n_items)
   *
   * How many items of this pool exist, in memory or not.
   *
   * Notifies in the main context that was the thread's default where the store
   * was made, coalesced.
   */
  properties[PROP_N_ITEMS] = g_param_spec_uint ("n-items", NULL, NULL, 0, G_MAXUINT, 0, readable);

  /**
   * BsPool:n-resident: (attributes org.gtk.Property.get=bs_pool_get_n_resident)
   *
   * How many contents the pool holds in memory; items that share one count
   * once.
   *
   * Notifies in the main context that was the thread's default where the store
   * was made, coalesced.
   */
  properties[PROP_N_RESIDENT] =
    g_param_spec_uint ("n-resident", NULL, NULL, 0, G_MAXUINT, 0, readable);

  /**
   * BsPool:trim-on-low-memory: (attributes org.gtk.Property.get=bs_pool_get_trim_on_low_memory org.gtk.Property.set=bs_pool_set_trim_on_low_memory)
   *
   * Whether the pool gives memory back when the system is short of it.
   *
   * A pool that does follows [iface@Gio.MemoryMonitor]: a low warning trims it to one
   * half of [property@Pool:max-bytes], a medium one to one quarter, and a
   * critical one to nothing; a pool without a limit, to that part of
   * [property@Pool:memory-use]. This happens in the background, as with
   * [method@Pool.trim_async], and the pool may grow again afterwards. Warnings come where
   * the default main context of the process is run, and never where there is no memory
   * monitor.
   *
   * Notifies in the main context that was the thread's default where the store
   * was made.
   */
  properties[PROP_TRIM_ON_LOW_MEMORY] =
    g_param_spec_boolean ("trim-on-low-memory", NULL, NULL, TRUE, writable | G_PARAM_CONSTRUCT);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_pool_init (BsPool *self)
{
  self->cache = bs_cache_new (G_OBJECT (self), changed);
  bs_cache_attach_retry (self->cache);
}

/**
 * bs_pool_new:
 * @store: a store
 * @max_bytes: how many bytes to hold in memory at most
 *
 * Makes a memory cache over a store.
 *
 * A store may have several pools.
 *
 * Returns: (transfer full): a new pool
 */
BsPool *
bs_pool_new (BsBackingStore *store, guint64 max_bytes)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (store), NULL);

  return g_object_new (BS_TYPE_POOL, "store", store, "max-bytes", max_bytes, NULL);
}

/**
 * bs_pool_new_with_codec:
 * @store: a store
 * @codec: turns objects into bytes and back
 * @max_bytes: how many bytes to hold in memory at most, as the codec measures them
 *
 * Makes a memory cache over a store that holds objects.
 *
 * See [method@Pool.insert_object].
 *
 * Returns: (transfer full): a new pool
 */
BsPool *
bs_pool_new_with_codec (BsBackingStore *store, BsCodec *codec, guint64 max_bytes)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (store), NULL);
  g_return_val_if_fail (BS_IS_CODEC (codec), NULL);

  return g_object_new (BS_TYPE_POOL, "store", store, "codec", codec, "max-bytes", max_bytes, NULL);
}

/**
 * bs_pool_get_store: (attributes org.gtk.Method.get_property=store)
 * @self: a pool
 *
 * Gets the store behind the pool.
 *
 * Returns: (transfer none): the store
 */
BsBackingStore *
bs_pool_get_store (BsPool *self)
{
  g_return_val_if_fail (BS_IS_POOL (self), NULL);

  return self->store;
}

/**
 * bs_pool_get_codec: (attributes org.gtk.Method.get_property=codec)
 * @self: a pool
 *
 * Gets the codec that turns objects into bytes and back.
 *
 * Returns: (transfer none) (nullable): the codec, %NULL for a pool of bytes only
 */
BsCodec *
bs_pool_get_codec (BsPool *self)
{
  g_return_val_if_fail (BS_IS_POOL (self), NULL);

  return self->codec;
}

/**
 * bs_pool_get_max_bytes: (attributes org.gtk.Method.get_property=max-bytes)
 * @self: a pool
 *
 * Gets the budget.
 *
 * Returns: how many bytes the pool tries to hold at most
 */
guint64
bs_pool_get_max_bytes (BsPool *self)
{
  guint64 max_bytes;

  g_return_val_if_fail (BS_IS_POOL (self), 0);

  g_mutex_lock (&self->cache->lock);
  max_bytes = self->cache->max_bytes;
  g_mutex_unlock (&self->cache->lock);

  return max_bytes;
}

/**
 * bs_pool_set_max_bytes: (attributes org.gtk.Method.set_property=max-bytes)
 * @self: a pool
 * @max_bytes: how many bytes to hold in memory at most
 *
 * Changes the budget.
 *
 * When it shrinks, contents that are in the backing leave memory before this
 * returns; the others follow when they are written, in the background. See
 * [method@Pool.trim] for a way to wait for that.
 */
void
bs_pool_set_max_bytes (BsPool *self, guint64 max_bytes)
{
  gboolean changed;

  g_return_if_fail (BS_IS_POOL (self));

  g_mutex_lock (&self->cache->lock);
  changed = self->cache->max_bytes != max_bytes;
  self->cache->max_bytes = max_bytes;
  bs_residency_set_budget (&self->cache->residency, max_bytes);
  g_mutex_unlock (&self->cache->lock);

  if (changed)
    limit_changed (self, properties[PROP_MAX_BYTES]);
}

/**
 * bs_pool_get_max_items: (attributes org.gtk.Method.get_property=max-items)
 * @self: a pool
 *
 * Gets how many contents the pool tries to hold at most.
 *
 * Returns: a number of contents, 0 for as many as the budget in bytes allows
 */
guint
bs_pool_get_max_items (BsPool *self)
{
  guint max_items;

  g_return_val_if_fail (BS_IS_POOL (self), 0);

  g_mutex_lock (&self->cache->lock);
  max_items = self->cache->max_items;
  g_mutex_unlock (&self->cache->lock);

  return max_items != G_MAXUINT ? max_items : 0;
}

/**
 * bs_pool_set_max_items: (attributes org.gtk.Method.set_property=max-items)
 * @self: a pool
 * @max_items: how many contents to hold in memory at most, 0 for as many as the
 *   budget in bytes allows
 *
 * Limits the number of contents in memory, in addition to
 * [property@Pool:max-bytes].
 *
 * When it shrinks, contents that are in the backing leave memory before this
 * returns; the others follow when they are written, in the background.
 */
void
bs_pool_set_max_items (BsPool *self, guint max_items)
{
  gboolean changed;

  g_return_if_fail (BS_IS_POOL (self));

  if (max_items == 0)
    max_items = G_MAXUINT;

  g_mutex_lock (&self->cache->lock);
  changed = self->cache->max_items != max_items;
  self->cache->max_items = max_items;
  g_mutex_unlock (&self->cache->lock);

  if (changed)
    limit_changed (self, properties[PROP_MAX_ITEMS]);
}

/**
 * bs_pool_get_memory_use: (attributes org.gtk.Method.get_property=memory-use)
 * @self: a pool
 *
 * Gets how much the pool holds in memory.
 *
 * Returns: the size of all contents held, in bytes
 */
guint64
bs_pool_get_memory_use (BsPool *self)
{
  g_return_val_if_fail (BS_IS_POOL (self), 0);

  return bs_cache_read_figures (self->cache).memory_use;
}

/**
 * bs_pool_get_memory_in_use: (attributes org.gtk.Method.get_property=memory-in-use)
 * @self: a pool
 *
 * Gets the size of evicted contents that the application still holds.
 *
 * Returns: the size in bytes
 */
guint64
bs_pool_get_memory_in_use (BsPool *self)
{
  g_return_val_if_fail (BS_IS_POOL (self), 0);

  return bs_cache_read_figures (self->cache).memory_in_use;
}

/**
 * bs_pool_get_n_items: (attributes org.gtk.Method.get_property=n-items)
 * @self: a pool
 *
 * Gets how many items of this pool exist.
 *
 * Returns: the number of items
 */
guint
bs_pool_get_n_items (BsPool *self)
{
  g_return_val_if_fail (BS_IS_POOL (self), 0);

  return bs_cache_read_figures (self->cache).n_items;
}

/**
 * bs_pool_get_n_resident: (attributes org.gtk.Method.get_property=n-resident)
 * @self: a pool
 *
 * Gets how many contents the pool holds in memory.
 *
 * Returns: the number of contents
 */
guint
bs_pool_get_n_resident (BsPool *self)
{
  g_return_val_if_fail (BS_IS_POOL (self), 0);

  return bs_cache_read_figures (self->cache).n_resident;
}

/**
 * bs_pool_get_trim_on_low_memory: (attributes org.gtk.Method.get_property=trim-on-low-memory)
 * @self: a pool
 *
 * Gets whether the pool gives memory back when the system is short of it.
 *
 * Returns: whether it does
 */
gboolean
bs_pool_get_trim_on_low_memory (BsPool *self)
{
  gboolean trim_on_low_memory;

  g_return_val_if_fail (BS_IS_POOL (self), FALSE);

  g_mutex_lock (&self->cache->lock);
  trim_on_low_memory = self->trim_on_low_memory;
  g_mutex_unlock (&self->cache->lock);

  return trim_on_low_memory;
}

/**
 * bs_pool_set_trim_on_low_memory: (attributes org.gtk.Method.set_property=trim-on-low-memory)
 * @self: a pool
 * @trim_on_low_memory: whether to give memory back
 *
 * Sets whether the pool gives memory back when the system is short of it.
 *
 * A trim that a warning has begun goes on.
 */
void
bs_pool_set_trim_on_low_memory (BsPool *self, gboolean trim_on_low_memory)
{
  BsMemoryPressure *pressure = NULL;
  gboolean changed;

  g_return_if_fail (BS_IS_POOL (self));

  trim_on_low_memory = !!trim_on_low_memory;
  g_mutex_lock (&self->cache->lock);
  changed = self->trim_on_low_memory != trim_on_low_memory;
  self->trim_on_low_memory = trim_on_low_memory;
  if (!trim_on_low_memory)
    pressure = g_steal_pointer (&self->pressure);
  g_mutex_unlock (&self->cache->lock);

  if (pressure != NULL)
    bs_memory_pressure_stop (pressure);

  if (changed && self->store != NULL)
    {
      if (trim_on_low_memory)
        follow_memory_pressure (self);
      bs_pool_notify (self, self, properties[PROP_TRIM_ON_LOW_MEMORY]);
    }
}

/**
 * bs_pool_get_stats:
 * @self: a pool
 *
 * Gets the counts of the pool since it was made.
 *
 * Returns: (transfer full): the statistics of this moment
 */
BsPoolStats *
bs_pool_get_stats (BsPool *self)
{
  BsPoolStats stats;

  g_return_val_if_fail (BS_IS_POOL (self), NULL);

  g_mutex_lock (&self->cache->lock);
  stats = self->cache->stats;
  stats.hits = bs_counter_get (&self->cache->hits);
  g_mutex_unlock (&self->cache->lock);

  return bs_pool_stats_copy (&stats);
}
