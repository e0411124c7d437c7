/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tracked-path-private.h"

#include "store/operations/bs-path-operation-private.h"

/**
 * BsTrackedPath:
 *
 * A persisted path whose keys a [class@BackingStore] knows.
 *
 * A tracked path comes from [method@BackingStore.track_path]. The same path
 * gives the same object while anyone holds it. With the last reference, or
 * earlier with [method@BackingStore.untrack_path], the path is released.
 *
 * ## A directory, not a name
 *
 * With [class@FileBacking] a tracked path is a directory. Another spelling, a symbolic
 * link, a bind mount, or the new name after it was renamed give the same object, whose
 * [property@TrackedPath:file] follows. The old name, free or taken by something else,
 * gives another object.
 *
 * While the last name does not lead to the directory, because that was renamed,
 * replaced, removed or moved to the wastebasket, a [class@Save] and a sync fail with
 * %BS_ERROR_MOVED and change nothing, and so do all changes after them.
 * [property@TrackedPath:moved] tells. Tracking the directory by its new name ends that;
 * so does the directory when it has its name again, or untracking.
 *
 * A directory that cannot be changed is tracked all the same: its keys, its root and
 * its contents can be read, and [property@TrackedPath:writable] is %FALSE.
 *
 * ## Threads
 *
 * A tracked path may be used from any thread. It lists the keys of
 * the operations that have succeeded so far.
 */

typedef enum
{
  PROP_FILE = 1,
  PROP_N_KEYS,
  PROP_CLOSED,
  PROP_WRITABLE,
  PROP_MOVED,
} BsTrackedPathProperty;

static GParamSpec *properties[PROP_MOVED + 1];

G_DEFINE_FINAL_TYPE (BsTrackedPath, bs_tracked_path, G_TYPE_OBJECT)

static void
tell_watches (BsTrackedPath *self, const BsKey *key)
{
  g_mutex_lock (&self->watches_mutex);
  for (GList *link = self->watches.head; link != NULL; link = link->next)
    {
      BsPathWatch *watch = link->data;

      watch->key_changed (watch, key);
    }
  g_mutex_unlock (&self->watches_mutex);
}

/* Called under the key's shard's mutex. */
static void
key_changed (GObject *object, const BsKey *key)
{
  BsTrackedPath *self = (BsTrackedPath *) object;

  if (g_atomic_int_get (&self->n_watches) > 0)
    tell_watches (self, key);
  if (!g_atomic_int_get (&self->n_keys_pending))
    bs_notifier_notify (self->store->notifier, object, properties[PROP_N_KEYS],
                        &self->n_keys_pending);
}

BsTrackedPath *
bs_tracked_path_new (BsBackingStore *store,
                     BsPath *path,
                     GFile *file,
                     gboolean writable,
                     const BsKeyTable *found)
{
  BsTrackedPath *self = g_object_new (BS_TYPE_TRACKED_PATH, NULL);

  self->store = g_object_ref (store);
  self->path = bs_path_ref (path);
  self->names = g_ptr_array_new_with_free_func (g_object_unref);
  g_ptr_array_add (self->names, g_object_ref (file));
  self->file = file;
  self->writable = writable;
  bs_members_init (&self->members, store->shards, found, G_OBJECT (self), key_changed);

  return self;
}

static void
bs_tracked_path_finalize (GObject *object)
{
  BsTrackedPath *self = BS_TRACKED_PATH (object);

  /* A script can make an object that tracks no path. */
  if (self->store != NULL && !bs_store_is_in_child (self->store))
    {
      if (!g_atomic_int_get (&self->closed))
        bs_path_operation_release (self->store, self->path);
      bs_notifier_forget (self->store->notifier, object);
      bs_members_clear (&self->members);
    }
  if (self->store == NULL || !bs_store_is_in_child (self->store))
    g_clear_pointer (&self->path, bs_path_unref);
  g_clear_pointer (&self->names, g_ptr_array_unref);
  g_clear_object (&self->store);
  g_mutex_clear (&self->watches_mutex);

  G_OBJECT_CLASS (bs_tracked_path_parent_class)->finalize (object);
}

static void
bs_tracked_path_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsTrackedPath *self = BS_TRACKED_PATH (object);

  switch ((BsTrackedPathProperty) id)
    {
    case PROP_FILE:
      g_value_set_object (value, bs_tracked_path_peek_file (self));
      break;
    case PROP_N_KEYS:
      g_value_set_uint64 (value, bs_tracked_path_get_n_keys (self));
      break;
    case PROP_CLOSED:
      g_value_set_boolean (value, bs_tracked_path_get_closed (self));
      break;
    case PROP_WRITABLE:
      g_value_set_boolean (value, bs_tracked_path_get_writable (self));
      break;
    case PROP_MOVED:
      g_value_set_boolean (value, bs_tracked_path_get_moved (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_tracked_path_class_init (BsTrackedPathClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags readable = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->finalize = bs_tracked_path_finalize;
  object_class->get_property = bs_tracked_path_get_property;

  /**
   * BsTrackedPath:file: (getter get_file)
   *
   * The path, by the name by which it was last tracked.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_FILE] = g_param_spec_object ("file", NULL, NULL, G_TYPE_FILE, readable);

  /**
   * BsTrackedPath:n-keys: (getter get_n_keys)
   *
   * How many keys are there.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_KEYS] = g_param_spec_uint64 ("n-keys", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  /**
   * BsTrackedPath:closed: (getter get_closed)
   *
   * Whether the path was released, by [method@BackingStore.untrack_path] or
   * [method@BackingStore.close].
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_CLOSED] = g_param_spec_boolean ("closed", NULL, NULL, FALSE, readable);

  /**
   * BsTrackedPath:writable: (getter get_writable)
   *
   * Whether the path can be changed, as far as was known when it was last tracked.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_WRITABLE] = g_param_spec_boolean ("writable", NULL, NULL, FALSE, readable);

  /**
   * BsTrackedPath:moved: (getter get_moved)
   *
   * Whether an operation has found that [property@TrackedPath:file] does not lead to
   * the path any more.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_MOVED] = g_param_spec_boolean ("moved", NULL, NULL, FALSE, readable);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_tracked_path_init (BsTrackedPath *self)
{
  g_mutex_init (&self->watches_mutex);
}

void
bs_tracked_path_add_watch (BsTrackedPath *self, BsPathWatch *watch)
{
  watch->link.data = watch;
  g_mutex_lock (&self->watches_mutex);
  g_queue_push_tail_link (&self->watches, &watch->link);
  g_mutex_unlock (&self->watches_mutex);
  g_atomic_int_inc (&self->n_watches);
}

void
bs_tracked_path_remove_watch (BsTrackedPath *self, BsPathWatch *watch)
{
  g_atomic_int_add (&self->n_watches, -1);
  g_mutex_lock (&self->watches_mutex);
  g_queue_unlink (&self->watches, &watch->link);
  g_mutex_unlock (&self->watches_mutex);
}

gboolean
bs_tracked_path_has_key (BsTrackedPath *self, const BsKey *key)
{
  guint64 hash = bs_key_hash (key);
  BsShard *shard = bs_store_get_shard (self->store, hash);
  gboolean found;

  g_mutex_lock (&shard->mutex);
  found = (bs_members_get (&self->members, key, hash) & BS_MEMBER_PRESENT) != 0;
  g_mutex_unlock (&shard->mutex);

  return found;
}

void
bs_tracked_path_copy_keys (BsTrackedPath *self, GArray *keys)
{
  for (guint shard = 0; shard < BS_N_SHARDS; shard++)
    bs_members_copy_keys (&self->members, shard, BS_MEMBER_PRESENT, keys);
}

/**
 * bs_tracked_path_get_file: (get-property file)
 * @self: a tracked path
 *
 * Gets the path, by the name by which it was last tracked. The file stays valid as long
 * as @self, also when another name takes its place.
 *
 * Returns: (transfer none): the path
 */
GFile *
bs_tracked_path_get_file (BsTrackedPath *self)
{
  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), NULL);

  return bs_tracked_path_peek_file (self);
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
  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), 0);

  return self->store != NULL ? bs_members_get_n_keys (&self->members) : 0;
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
 * bs_tracked_path_get_writable: (get-property writable)
 * @self: a tracked path
 *
 * Gets whether the path can be changed, as far as was known when it was last tracked.
 *
 * A path on a read-only medium, in a snapshot or in somebody else's folder can be read;
 * changes of it fail with %G_IO_ERROR_READ_ONLY or %G_IO_ERROR_PERMISSION_DENIED. Tracked
 * again by a name that can be written, the path becomes writable.
 *
 * Returns: whether it is writable
 */
gboolean
bs_tracked_path_get_writable (BsTrackedPath *self)
{
  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), FALSE);

  return g_atomic_int_get (&self->writable);
}

/**
 * bs_tracked_path_get_moved: (get-property moved)
 * @self: a tracked path
 *
 * Gets whether an operation has failed with %BS_ERROR_MOVED, because the name of the
 * path does not lead there any more, and none has found it again since. Does no I/O.
 *
 * Returns: whether the path was moved
 */
gboolean
bs_tracked_path_get_moved (BsTrackedPath *self)
{
  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), FALSE);

  return g_atomic_int_get (&self->moved);
}

/**
 * bs_tracked_path_contains_key:
 * @self: a tracked path
 * @key: a key
 *
 * Checks whether the key is there. Does no I/O.
 *
 * Returns: whether it is; %FALSE if @key is not a key
 */
gboolean
bs_tracked_path_contains_key (BsTrackedPath *self, const char *key)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_TRACKED_PATH (self), FALSE);

  return self->store != NULL && bs_key_parse (key, &parsed) &&
         bs_tracked_path_has_key (self, &parsed);
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

  if (self->store != NULL)
    bs_tracked_path_copy_keys (self, keys);

  list = g_new (char *, (gsize) keys->len + 1);
  for (guint i = 0; i < keys->len; i++)
    list[i] = bs_key_to_string (&g_array_index (keys, BsKey, i));
  list[keys->len] = NULL;

  return list;
}

/**
 * bs_tracked_path_foreach_key:
 * @self: a tracked path
 * @func: (scope call) (closure user_data): the function to call
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
  g_return_if_fail (func != NULL);

  for (guint shard = 0; self->store != NULL && shard < BS_N_SHARDS; shard++)
    {
      g_array_set_size (keys, 0);
      bs_members_copy_keys (&self->members, shard, BS_MEMBER_PRESENT, keys);
      for (guint i = 0; i < keys->len; i++)
        {
          char string[BS_KEY_STRING_SIZE];

          bs_key_print (&g_array_index (keys, BsKey, i), string);
          func (string, user_data);
        }
    }
}
