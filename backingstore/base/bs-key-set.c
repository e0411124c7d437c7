/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-key-set-private.h"

/**
 * BsKeySet:
 *
 * A set of keys.
 *
 * Keys go in as strings, in any case and with or without hyphens, and come out
 * lower-case and hyphenated, in no particular order. A key takes 20 to 24 bytes
 * when there are many.
 *
 * A set belongs to one thread at a time. It has no lock: a thread that gives a set to
 * another thread, or to an asynchronous operation, leaves it alone until the
 * other side is done.
 */

/* The set shares them with each walk through it: a change during a walk goes into a
 * copy. */
typedef struct
{
  BsKeyTable table;
  guint n_refs;
} Keys;

struct _BsKeySet
{
  GObject parent_instance;

  Keys *keys;
};

enum
{
  PROP_0,
  PROP_N_KEYS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (BsKeySet, bs_key_set, G_TYPE_OBJECT)

static Keys *
keys_new (void)
{
  Keys *keys = g_new0 (Keys, 1);

  keys->n_refs = 1;
  return keys;
}

static void
keys_unref (Keys *keys)
{
  if (--keys->n_refs > 0)
    return;

  bs_key_table_clear (&keys->table);
  g_free (keys);
}

/* Returns a table that may be changed. A change made through it is not notified. */
BsKeyTable *
bs_key_set_get_table (BsKeySet *self)
{
  if (self->keys->n_refs > 1)
    {
      Keys *keys = keys_new ();

      bs_key_table_copy (&self->keys->table, &keys->table);
      keys_unref (self->keys);
      self->keys = keys;
    }
  return &self->keys->table;
}

static void
bs_key_set_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  BsKeySet *self = BS_KEY_SET (object);

  switch (prop_id)
    {
    case PROP_N_KEYS:
      g_value_set_uint64 (value, bs_key_set_get_n_keys (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
bs_key_set_finalize (GObject *object)
{
  BsKeySet *self = BS_KEY_SET (object);

  keys_unref (self->keys);
  G_OBJECT_CLASS (bs_key_set_parent_class)->finalize (object);
}

static void
bs_key_set_class_init (BsKeySetClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = bs_key_set_get_property;
  object_class->finalize = bs_key_set_finalize;

  /**
   * BsKeySet:n-keys: (getter get_n_keys)
   *
   * How many keys there are.
   *
   * Notifies at once, in the thread that changed the set. Keys that a backing
   * puts into a set that it is to fill may go unnotified.
   */
  properties[PROP_N_KEYS] =
    g_param_spec_uint64 ("n-keys", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
bs_key_set_init (BsKeySet *self)
{
  self->keys = keys_new ();
}

/**
 * bs_key_set_new:
 *
 * Makes an empty set.
 *
 * Returns: (transfer full): a new set
 */
BsKeySet *
bs_key_set_new (void)
{
  return g_object_new (BS_TYPE_KEY_SET, NULL);
}

/**
 * bs_key_set_add:
 * @self: a set
 * @key: a key
 * @error: return location for a #GError
 *
 * Puts a key into the set.
 *
 * A key that is already there, in upper or lower case, is no error.
 *
 * Fails with %BS_ERROR_INVALID_KEY if @key is not a key.
 *
 * Returns: %TRUE if the key is in the set now, %FALSE with @error set
 */
gboolean
bs_key_set_add (BsKeySet *self, const char *key, GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_KEY_SET (self), FALSE);

  if (!bs_key_parse_error (key, "add", &parsed, error))
    return FALSE;

  if (bs_key_table_add (bs_key_set_get_table (self), &parsed, bs_key_hash (&parsed)))
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_KEYS]);
  return TRUE;
}

/**
 * bs_key_set_remove:
 * @self: a set
 * @key: a key
 *
 * Takes a key out of the set.
 *
 * Returns: whether it was there; a string that is no key never is
 */
gboolean
bs_key_set_remove (BsKeySet *self, const char *key)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_KEY_SET (self), FALSE);

  if (!bs_key_parse (key, &parsed))
    return FALSE;
  if (!bs_key_table_remove (bs_key_set_get_table (self), &parsed, bs_key_hash (&parsed)))
    return FALSE;

  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_KEYS]);
  return TRUE;
}

/**
 * bs_key_set_contains_key:
 * @self: a set
 * @key: a key
 *
 * Whether a key is in the set.
 *
 * Returns: whether it is there; a string that is no key never is
 */
gboolean
bs_key_set_contains_key (BsKeySet *self, const char *key)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_KEY_SET (self), FALSE);

  return bs_key_parse (key, &parsed) &&
         bs_key_table_contains (&self->keys->table, &parsed, bs_key_hash (&parsed));
}

/**
 * bs_key_set_get_n_keys: (get-property n-keys)
 * @self: a set
 *
 * How many keys are in the set.
 *
 * Returns: the number of keys
 */
guint64
bs_key_set_get_n_keys (BsKeySet *self)
{
  g_return_val_if_fail (BS_IS_KEY_SET (self), 0);

  return self->keys->table.n_keys;
}

/**
 * bs_key_set_list_keys:
 * @self: a set
 *
 * Lists the keys of the set, in no particular order.
 *
 * This takes some 50 bytes a key; [method@KeySet.foreach_key] takes none.
 *
 * Returns: (transfer full) (array zero-terminated=1): the keys, lower-case and
 *   hyphenated
 */
char **
bs_key_set_list_keys (BsKeySet *self)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;
  char **list;
  gsize i = 0;

  g_return_val_if_fail (BS_IS_KEY_SET (self), NULL);

  list = g_new (char *, self->keys->table.n_keys + 1);
  while (bs_key_table_iter_next (&self->keys->table, &iter, &key))
    list[i++] = bs_key_to_string (key);
  list[i] = NULL;
  return list;
}

/**
 * bs_key_set_foreach_key:
 * @self: a set
 * @func: (scope call) (closure user_data): called for each key
 * @user_data: data for @func
 *
 * Calls a function for each key of the set, in no particular order.
 *
 * The function is called for the keys that are there when this begins. It should
 * not change the set: nothing goes wrong when it does, but the set is copied.
 */
void
bs_key_set_foreach_key (BsKeySet *self, BsKeyFunc func, gpointer user_data)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;
  Keys *keys;

  g_return_if_fail (BS_IS_KEY_SET (self));
  g_return_if_fail (func != NULL);

  keys = self->keys;
  keys->n_refs++;
  while (bs_key_table_iter_next (&keys->table, &iter, &key))
    {
      char string[BS_KEY_STRING_SIZE];

      bs_key_print (key, string);
      func (string, user_data);
    }
  keys_unref (keys);
}
