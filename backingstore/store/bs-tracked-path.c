/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/bs-tracked-path.h"

#include "base/bs-key-set-private.h"
#include "store/queues/bs-path-private.h"

/**
 * BsTrackedPath:
 *
 * A persisted path whose keys a [class@BackingStore] knows.
 *
 * It comes from [method@BackingStore.track_path]. The same path gives the same
 * object while anyone holds it. With the last reference, or earlier with
 * [method@BackingStore.untrack_path], the path is released.
 *
 * A tracked path may be used from any thread. The keys that it lists are those
 * of the operations that have succeeded so far.
 */

typedef enum
{
  PROP_FILE = 1,
  PROP_N_KEYS,
  PROP_CLOSED,
} BsTrackedPathProperty;

static GParamSpec *properties[PROP_CLOSED + 1];

G_DEFINE_FINAL_TYPE (BsTrackedPath, bs_tracked_path, G_TYPE_OBJECT)

static void
notify_n_keys (BsTrackedPath *self)
{
  if (!g_atomic_int_get (&self->n_keys_pending))
    bs_notifier_notify (self->store->notifier, G_OBJECT (self), properties[PROP_N_KEYS], &self->n_keys_pending);
}

BsMembership
bs_tracked_path_get_membership (BsTrackedPath *self, const BsKey *key, guint64 hash)
{
  guint shard = bs_shard_index (hash);

  if (self->shards[shard].uncertain.n_keys > 0 && bs_key_table_contains (&self->shards[shard].uncertain, key, hash))
    return BS_MEMBER_UNCERTAIN;

  return bs_key_table_contains (&self->shards[shard].members, key, hash) ? BS_MEMBER_YES : BS_MEMBER_NO;
}

void
bs_tracked_path_set_uncertain (BsTrackedPath *self, const BsKey *key, guint64 hash)
{
  bs_key_table_add (&self->shards[bs_shard_index (hash)].uncertain, key, hash);
}

void
bs_tracked_path_set_membership (BsTrackedPath *self, const BsKey *key, guint64 hash, BsMembership membership)
{
  guint shard = bs_shard_index (hash);

  if (membership != BS_MEMBER_YES && bs_tracked_path_is_pinned (self, key, hash))
    g_atomic_int_set (&self->disturbed, TRUE);

  if (membership == BS_MEMBER_UNCERTAIN)
    {
      bs_tracked_path_set_uncertain (self, key, hash);
      return;
    }

  if (self->shards[shard].uncertain.n_keys > 0)
    bs_key_table_remove (&self->shards[shard].uncertain, key, hash);
  if (membership == BS_MEMBER_YES)
    {
      if (bs_key_table_add (&self->shards[shard].members, key, hash))
        notify_n_keys (self);
    }
  else
    {
      if (bs_key_table_remove (&self->shards[shard].members, key, hash))
        notify_n_keys (self);
    }
}

gboolean
bs_tracked_path_is_pinned (BsTrackedPath *self, const BsKey *key, guint64 hash)
{
  BsKeyTable *pinned = &self->shards[bs_shard_index (hash)].pinned;

  return pinned->n_keys > 0 && bs_key_table_contains (pinned, key, hash);
}

gboolean
bs_tracked_path_is_doomed (BsTrackedPath *self, const BsKey *key, guint64 hash)
{
  return bs_key_table_contains (&self->shards[bs_shard_index (hash)].doomed, key, hash);
}

/* From here on it is not only the running save's, and stays whatever becomes of
 * that; nor is it one that was there when those to come were run. */
void
bs_tracked_path_claim_key (BsTrackedPath *self, const BsKey *key, guint64 hash)
{
  guint shard = bs_shard_index (hash);

  if (self->shards[shard].added.n_keys > 0 && bs_key_table_remove (&self->shards[shard].added, key, hash))
    bs_key_table_add (&self->shards[shard].pinned, key, hash);
  if (self->shards[shard].doomed.n_keys > 0)
    bs_key_table_remove (&self->shards[shard].doomed, key, hash);
  if (G_UNLIKELY (g_atomic_int_get (&self->n_awaiting_turn) > 0))
    bs_key_table_add (&self->shards[shard].claimed, key, hash);
}

void
bs_tracked_path_set_closed (BsTrackedPath *self)
{
  if (g_atomic_int_compare_and_exchange (&self->closed, FALSE, TRUE))
    bs_notifier_notify (self->store->notifier, G_OBJECT (self), properties[PROP_CLOSED], NULL);
}

static void
copy_table (BsTrackedPath *self, guint shard, BsKeyTable *table, GArray *keys)
{
  BsKeyTableIter iter = { 0, };
  const BsKey *key;

  g_mutex_lock (&self->store->shards[shard].mutex);
  while (bs_key_table_iter_next (table, &iter, &key))
    g_array_append_vals (keys, key, 1);
  g_mutex_unlock (&self->store->shards[shard].mutex);
}

void
bs_tracked_path_copy_keys (BsTrackedPath *self, guint shard, GArray *keys)
{
  copy_table (self, shard, &self->shards[shard].members, keys);
}

void
bs_tracked_path_copy_doomed (BsTrackedPath *self, guint shard, GArray *keys)
{
  copy_table (self, shard, &self->shards[shard].doomed, keys);
}

gboolean
bs_tracked_path_is_in_doubt (BsTrackedPath *self, const BsKey *key, guint64 hash)
{
  guint shard = bs_shard_index (hash);

  return g_atomic_int_get (&self->doubted) && self->shards[shard].in_doubt &&
         !bs_key_table_contains (&self->shards[shard].redone, key, hash);
}

void
bs_tracked_path_settle (BsTrackedPath *self, const BsKey *key, guint64 hash, const BsStoreOperation *operation)
{
  BsPathShard *shard = &self->shards[bs_shard_index (hash)];

  /* What was asked while the sync ran may have been done before it failed. */
  if (operation->ticket > (operation->kind == BS_KIND_DELETE_KEYS ? shard->last_doubted_bulk : shard->last_doubted))
    bs_key_table_add (&shard->redone, key, hash);
}

void
bs_tracked_path_doubt (BsTrackedPath *self, guint64 last_bulk)
{
  g_atomic_int_set (&self->doubted, TRUE);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      GMutex *mutex = &self->store->shards[i].mutex;

      g_mutex_lock (mutex);
      self->shards[i].in_doubt = TRUE;
      self->shards[i].last_doubted = self->shards[i].tickets.last_ticket;
      self->shards[i].last_doubted_bulk = last_bulk;
      bs_key_table_clear (&self->shards[i].redone);
      g_mutex_unlock (mutex);
    }
  g_atomic_int_set (&self->disturbed, TRUE);
}

/* With room for some more. */
static void
take_found (BsTrackedPath *self, BsKeyTable *found)
{
  guint64 n_keys[BS_N_SHARDS] = { 0, };
  BsKeyTableIter iter = { 0, };
  const BsKey *key;

  while (bs_key_table_iter_next (found, &iter, &key))
    n_keys[bs_shard_index (bs_key_hash (key))]++;
  for (guint i = 0; i < BS_N_SHARDS; i++)
    bs_key_table_reserve (&self->shards[i].members, n_keys[i] + n_keys[i] / 16);

  iter = (BsKeyTableIter) { 0, };
  while (bs_key_table_iter_next (found, &iter, &key))
    {
      guint64 hash = bs_key_hash (key);

      bs_key_table_add_new (&self->shards[bs_shard_index (hash)].members, key, hash);
    }
}

BsTrackedPath *
bs_tracked_path_new (BsBackingStore *store, BsPath *path, GFile *file, BsKeySet *found)
{
  BsTrackedPath *self = g_object_new (BS_TYPE_TRACKED_PATH, NULL);

  self->store = g_object_ref (store);
  self->path = bs_path_ref (path);
  self->file = g_object_ref (file);

  self->shards = g_aligned_alloc0 (BS_N_SHARDS, sizeof (BsPathShard), BS_CACHE_LINE);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      bs_key_table_init (&self->shards[i].members, BS_SHARD_BITS);
      bs_key_table_init (&self->shards[i].uncertain, BS_SHARD_BITS);
      bs_key_table_init (&self->shards[i].pinned, BS_SHARD_BITS);
      bs_key_table_init (&self->shards[i].added, BS_SHARD_BITS);
      bs_key_table_init (&self->shards[i].claimed, BS_SHARD_BITS);
      bs_key_table_init (&self->shards[i].doomed, BS_SHARD_BITS);
      bs_key_table_init (&self->shards[i].redone, BS_SHARD_BITS);
    }
  take_found (self, bs_key_set_get_table (found));

  return self;
}

static void
bs_tracked_path_finalize (GObject *object)
{
  BsTrackedPath *self = BS_TRACKED_PATH (object);

  if (self->path != NULL && !g_atomic_int_get (&self->closed))
    bs_path_start_release (self->path, self->store);

  if (self->store != NULL)
    bs_notifier_forget (self->store->notifier, object);
  for (guint i = 0; self->shards != NULL && i < BS_N_SHARDS; i++)
    {
      bs_key_table_clear (&self->shards[i].redone);
      bs_key_table_clear (&self->shards[i].members);
      bs_key_table_clear (&self->shards[i].uncertain);
      bs_key_table_clear (&self->shards[i].pinned);
      bs_key_table_clear (&self->shards[i].added);
      bs_key_table_clear (&self->shards[i].claimed);
      bs_key_table_clear (&self->shards[i].doomed);
    }
  g_clear_pointer (&self->shards, g_aligned_free);
  g_clear_pointer (&self->path, bs_path_unref);
  g_clear_object (&self->file);
  g_clear_object (&self->store);

  G_OBJECT_CLASS (bs_tracked_path_parent_class)->finalize (object);
}

static void
bs_tracked_path_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsTrackedPath *self = BS_TRACKED_PATH (object);

  switch ((BsTrackedPathProperty) id)
    {
    case PROP_FILE:
      g_value_set_object (value, self->file);
      break;
    case PROP_N_KEYS:
      g_value_set_uint64 (value, bs_tracked_path_get_n_keys (self));
      break;
    case PROP_CLOSED:
      g_value_set_boolean (value, bs_tracked_path_get_closed (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_tracked_path_class_init (BsTrackedPathClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = bs_tracked_path_finalize;
  object_class->get_property = bs_tracked_path_get_property;

  /**
   * BsTrackedPath:file: (getter get_file)
   *
   * The path.
   */
  properties[PROP_FILE] =
    g_param_spec_object ("file", NULL, NULL, G_TYPE_FILE,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsTrackedPath:n-keys: (getter get_n_keys)
   *
   * How many keys are there.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_KEYS] =
    g_param_spec_uint64 ("n-keys", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsTrackedPath:closed: (getter get_closed)
   *
   * Whether the path was released, by [method@BackingStore.untrack_path] or
   * [method@BackingStore.close].
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_CLOSED] =
    g_param_spec_boolean ("closed", NULL, NULL, FALSE,
                          G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_tracked_path_init (BsTrackedPath *self)
{
}

/**
 * bs_tracked_path_get_file: (get-property file)
 * @self: a tracked path
 *
 * Gets the path.
 *
 * Returns: (transfer none): the path
 */
GFile *
bs_tracked_path_get_file (BsTrackedPath *self)
{
  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), NULL);

  return self->file;
}

/**
 * bs_tracked_path_get_n_keys: (get-property n-keys)
 * @self: a tracked path
 *
 * Gets how many keys are there.
 *
 * Returns: the number of keys
 */
guint64
bs_tracked_path_get_n_keys (BsTrackedPath *self)
{
  guint64 n = 0;

  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), 0);

  for (guint i = 0; i < BS_N_SHARDS; i++)
    n += bs_key_table_peek_n_keys (&self->shards[i].members);

  return n;
}

/**
 * bs_tracked_path_get_closed: (get-property closed)
 * @self: a tracked path
 *
 * Gets whether the path was released. Operations on it fail then with
 * %BS_ERROR_CLOSED.
 *
 * Returns: whether it is closed
 */
gboolean
bs_tracked_path_get_closed (BsTrackedPath *self)
{
  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), TRUE);

  return g_atomic_int_get (&self->closed);
}

/**
 * bs_tracked_path_contains_key:
 * @self: a tracked path
 * @key: a key
 *
 * Checks whether the key is there. Does no I/O.
 *
 * Returns: whether it is; %FALSE for what is not a key
 */
gboolean
bs_tracked_path_contains_key (BsTrackedPath *self, const char *key)
{
  BsShard *shard;
  gboolean found;
  guint64 hash;
  BsKey parsed;

  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), FALSE);
  g_return_val_if_fail (self->store != NULL, FALSE);

  if (!bs_key_parse (key, &parsed))
    return FALSE;

  hash = bs_key_hash (&parsed);
  shard = &self->store->shards[bs_shard_index (hash)];
  g_mutex_lock (&shard->mutex);
  found = bs_key_table_contains (&self->shards[bs_shard_index (hash)].members, &parsed, hash);
  g_mutex_unlock (&shard->mutex);

  return found;
}

/**
 * bs_tracked_path_list_keys:
 * @self: a tracked path
 *
 * Lists the keys, in no particular order.
 *
 * Returns: (transfer full) (array zero-terminated=1): the keys
 */
char **
bs_tracked_path_list_keys (BsTrackedPath *self)
{
  g_autoptr (GArray) keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
  char **list;

  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), NULL);
  g_return_val_if_fail (self->store != NULL, NULL);

  for (guint shard = 0; shard < BS_N_SHARDS; shard++)
    bs_tracked_path_copy_keys (self, shard, keys);

  list = g_new (char *, (gsize) keys->len + 1);
  for (guint i = 0; i < keys->len; i++)
    list[i] = bs_key_to_string (&g_array_index (keys, BsKey, i));
  list[keys->len] = NULL;

  return list;
}

/**
 * bs_tracked_path_foreach_key:
 * @self: a tracked path
 * @func: (scope call) (closure user_data): what to call
 * @user_data: data for @func
 *
 * Calls a function for each key, in no particular order, on this thread. The
 * function may call the store and change the path: it sees each key that is
 * there all the time exactly once.
 */
void
bs_tracked_path_foreach_key (BsTrackedPath *self, BsKeyFunc func, gpointer user_data)
{
  g_autoptr (GArray) keys = g_array_new (FALSE, FALSE, sizeof (BsKey));

  g_return_if_fail (BS_IS_TRACKED_PATH (self));
  g_return_if_fail (self->store != NULL);
  g_return_if_fail (func != NULL);

  for (guint shard = 0; shard < BS_N_SHARDS; shard++)
    {
      g_array_set_size (keys, 0);
      bs_tracked_path_copy_keys (self, shard, keys);
      for (guint i = 0; i < keys->len; i++)
        {
          char string[BS_KEY_STRING_SIZE];

          bs_key_print (&g_array_index (keys, BsKey, i), string);
          func (string, user_data);
        }
    }
}
