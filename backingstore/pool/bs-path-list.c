/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-path-list-private.h"

#include "bs-item-private.h"
#include "store/bs-tracked-path-private.h"

/* The items of a tracked path, which follow it. The path tells of each key that comes or
 * goes, under locks of the store: the key is noted. A source of the list's context looks
 * at all keys noted, takes out those that are gone, and registers those that are new; an
 * element is made for each whose token has arrived. */

/* The time for which changes are gathered, in milliseconds. */
#define DELAY 10
/* The time until a key is registered that a store which is being closed has refused. */
#define RETRY_DELAY 100

/* A key of the path. */
typedef struct
{
  gatomicrefcount ref_count;
  BsEntry *entry; /* a reference */
  GWeakRef item;  /* the only one as long as it lives */
  guint n_made;   /* under the list's lock: items so far */
} Element;

/* Given to sources and to the store, which may outlive the list. */
typedef struct
{
  GWeakRef list;
  BsPool *pool; /* owned */
} Tie;

/* A new key whose token is awaited. */
typedef struct
{
  Tie *tie; /* owned */
  BsKey key;
} Arrival;

struct _BsPathList
{
  GObject parent_instance;

  /* constant */
  BsPool *pool;           /* owned */
  BsTrackedPath *tracked; /* owned */
  GMainContext *context;  /* owned */
  Tie *tie;               /* owned */
  BsPathWatch watch;

  /* in the context */
  GHashTable *places; /* BsKey of an entry → GSequenceIter */
  gboolean is_updating;

  GMutex lock;

  /* under the lock, changed in the context */
  GSequence *elements; /* of Element */

  /* under the lock, which is taken under locks of the store */
  GArray *changed;       /* of BsKey, in the order of their changes */
  BsKeyTable is_changed; /* the same keys */
  GPtrArray *arrived;    /* of BsToken, each a token */
  gboolean is_made;      /* before, the thread that makes the list uses what is the context's */
  GSource *source;       /* owned; NULL while none is attached */
};

static void bs_path_list_model_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsPathList,
                               bs_path_list,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, bs_path_list_model_init))

static guint
key_hash (gconstpointer key)
{
  return (guint) bs_key_hash (key);
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  return bs_key_equal (a, b);
}

static int
compare_tokens (gconstpointer a, gconstpointer b)
{
  const BsToken *const *left = a, *const *right = b;

  return memcmp (&(*left)->key, &(*right)->key, sizeof (BsKey));
}

static Element *
element_new (BsEntry *entry)
{
  Element *self = g_new0 (Element, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->entry = entry;
  g_weak_ref_init (&self->item, NULL);
  return self;
}

/* No lock held. */
static void
element_unref (BsCache *cache, Element *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_weak_ref_clear (&self->item);
  bs_cache_drop_entry (cache, self->entry);
  g_free (self);
}

static void
tie_clear (gpointer data)
{
  Tie *self = data;

  g_weak_ref_clear (&self->list);
  g_object_unref (self->pool);
}

static void
tie_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, tie_clear);
}

static gboolean update_cb (gpointer data);

/* Under the lock. */
static void
schedule_locked (BsPathList *self, guint delay)
{
  if (self->source != NULL || !self->is_made)
    return;

  self->source = g_timeout_source_new (delay);
  g_source_set_static_name (self->source, "backingstore list");
  g_source_set_callback (self->source, update_cb, g_atomic_rc_box_acquire (self->tie), tie_unref);
  g_source_attach (self->source, self->context);
}

static void
note_changed (BsPathList *self, const BsKey *key, guint delay)
{
  g_mutex_lock (&self->lock);
  if (bs_key_table_add (&self->is_changed, key, bs_key_hash (key)))
    g_array_append_vals (self->changed, key, 1);
  schedule_locked (self, delay);
  g_mutex_unlock (&self->lock);
}

/* Called under locks of the store. */
static void
key_changed (BsPathWatch *watch, const BsKey *key)
{
  note_changed ((BsPathList *) ((char *) watch - G_STRUCT_OFFSET (BsPathList, watch)), key, DELAY);
}

/* Each returns what was noted so far, and forgets it. */
static GArray *
take_changed (BsPathList *self)
{
  GArray *changed;

  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->source, g_source_unref);
  changed = self->changed;
  self->changed = g_array_new (FALSE, FALSE, sizeof (BsKey));
  bs_key_table_clear (&self->is_changed);
  g_mutex_unlock (&self->lock);

  return changed;
}

static GPtrArray *
take_arrived (BsPathList *self)
{
  GPtrArray *arrived;

  g_mutex_lock (&self->lock);
  arrived = self->arrived;
  self->arrived = g_ptr_array_new ();
  g_mutex_unlock (&self->lock);

  return arrived;
}

/* A store that is being closed may open again, and a path that is being untracked may stay. */
static void
note_refused (BsPathList *self, const Arrival *arrival, const GError *error)
{
  BsBackingStore *store = bs_pool_get_store (arrival->tie->pool);

  if (g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND))
    return;
  if (!g_error_matches (error, BS_ERROR, BS_ERROR_CLOSED))
    bs_store_report (store, &arrival->key, BS_OPERATION_REGISTER_KEY, g_error_copy (error));
  else if (self != NULL && !bs_tracked_path_get_closed (self->tracked) &&
           !bs_store_is_in_child (store))
    note_changed (self, &arrival->key, RETRY_DELAY);
}

/* Called in any thread, with the token of a new key. */
static gpointer
arrive (gpointer data, gpointer token, GError **error)
{
  Arrival *arrival = data;
  Tie *tie = arrival->tie;
  BsBackingStore *store = bs_pool_get_store (tie->pool);
  g_autoptr (BsPathList) self = g_weak_ref_get (&tie->list);

  if (*error != NULL)
    {
      note_refused (self, arrival, *error);
      return NULL;
    }
  if (self == NULL)
    {
      bs_token_drop (store, token);
      return NULL;
    }

  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->arrived, token);
  schedule_locked (self, DELAY);
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
arrival_free (gpointer data)
{
  tie_unref (((Arrival *) data)->tie);
  g_free (data);
}

static void
ask_token (BsPathList *self, const BsKey *key)
{
  Arrival *arrival = g_new (Arrival, 1);
  BsDelivery delivery = { .func = arrive, .data = arrival, .data_free = arrival_free };
  BsRequest request = { .kind = BS_KIND_REGISTER, .tracked = self->tracked, .key = key };

  arrival->tie = g_atomic_rc_box_acquire (self->tie);
  arrival->key = *key;
  bs_ask_in_background (bs_pool_get_store (self->pool), &request, &delivery, G_PRIORITY_DEFAULT,
                        NULL);
}

/* The position of the first of the places at the end of the array that follow one another. */
static guint
find_run (GPtrArray *places, guint *n_places)
{
  guint last = (guint) g_sequence_iter_get_position (places->pdata[places->len - 1]);
  guint n = 1;

  while (n < places->len &&
         (guint) g_sequence_iter_get_position (places->pdata[places->len - 1 - n]) == last - n)
    n++;

  *n_places = n;
  return last + 1 - n;
}

/* Takes the place out of the list; the caller drops the element. */
static Element *
remove_place (BsPathList *self, GSequenceIter *place)
{
  Element *element = g_sequence_get (place);

  g_hash_table_remove (self->places, &element->entry->key);
  g_mutex_lock (&self->lock);
  g_sequence_remove (place);
  g_mutex_unlock (&self->lock);

  return element;
}

static int
compare_places (gconstpointer a, gconstpointer b)
{
  return g_sequence_iter_compare (*(GSequenceIter *const *) a, *(GSequenceIter *const *) b);
}

/* From the end on, so that a handler sees what it was told of. */
static void
remove_places (BsPathList *self, GPtrArray *places)
{
  g_ptr_array_sort (places, compare_places);
  while (places->len > 0)
    {
      guint n;
      guint position = find_run (places, &n);

      for (guint i = 0; i < n; i++)
        element_unref (bs_pool_get_cache (self->pool),
                       remove_place (self, places->pdata[places->len - 1 - i]));
      g_ptr_array_set_size (places, places->len - n);
      g_list_model_items_changed (G_LIST_MODEL (self), position, n, 0);
    }
}

/* Takes the token over. */
static void
append (BsPathList *self, BsToken *token)
{
  BsToken *spare;
  BsEntry *entry = bs_cache_obtain_entry (bs_pool_get_cache (self->pool), token, &spare);
  GSequenceIter *place;

  if (spare != NULL)
    bs_token_drop (bs_pool_get_store (self->pool), spare);
  g_mutex_lock (&self->lock);
  place = g_sequence_append (self->elements, element_new (entry));
  g_mutex_unlock (&self->lock);
  g_hash_table_insert (self->places, &entry->key, place);
}

static void
append_arrived (BsPathList *self)
{
  g_autoptr (GPtrArray) arrived = take_arrived (self);
  guint position = g_hash_table_size (self->places);
  guint n_added = 0;

  for (guint i = 0; i < arrived->len; i++)
    {
      BsToken *token = arrived->pdata[i];

      /* The key may be gone again, or may have been asked for twice. */
      if (g_hash_table_contains (self->places, &token->key) ||
          !bs_tracked_path_has_key (self->tracked, &token->key))
        {
          bs_token_drop (bs_pool_get_store (self->pool), token);
          continue;
        }
      append (self, token);
      n_added++;
    }

  if (n_added > 0)
    g_list_model_items_changed (G_LIST_MODEL (self), position, 0, n_added);
}

static void
update (BsPathList *self)
{
  g_autoptr (GArray) changed = take_changed (self);
  g_autoptr (GPtrArray) gone = g_ptr_array_new ();

  for (guint i = 0; i < changed->len; i++)
    {
      const BsKey *key = &g_array_index (changed, BsKey, i);
      GSequenceIter *place = g_hash_table_lookup (self->places, key);
      gboolean is_here = bs_tracked_path_has_key (self->tracked, key);

      if (is_here && place == NULL)
        ask_token (self, key);
      else if (!is_here && place != NULL)
        g_ptr_array_add (gone, place);
    }

  remove_places (self, gone);
  append_arrived (self);
  bs_cache_settle (bs_pool_get_cache (self->pool));
}

/* Called in the list's context. */
static gboolean
update_cb (gpointer data)
{
  g_autoptr (BsPathList) self = g_weak_ref_get (&((Tie *) data)->list);

  /* A handler of the list may run the context: the update under way is not over. */
  if (self != NULL && self->is_updating)
    return G_SOURCE_CONTINUE;

  if (self != NULL)
    {
      self->is_updating = TRUE;
      update (self);
      self->is_updating = FALSE;
    }
  return G_SOURCE_REMOVE;
}

static GType
bs_path_list_get_item_type (GListModel *model)
{
  return BS_TYPE_ITEM;
}

static guint
bs_path_list_get_n_items (GListModel *model)
{
  BsPathList *self = BS_PATH_LIST (model);
  guint n_items;

  g_mutex_lock (&self->lock);
  n_items = (guint) g_sequence_get_length (self->elements);
  g_mutex_unlock (&self->lock);

  return n_items;
}

static Element *
dup_element (BsPathList *self, guint position, guint *n_made)
{
  Element *element = NULL;
  GSequenceIter *place;

  g_mutex_lock (&self->lock);
  place = position <= G_MAXINT ? g_sequence_get_iter_at_pos (self->elements, (int) position) : NULL;
  if (place != NULL && !g_sequence_iter_is_end (place))
    {
      element = g_sequence_get (place);
      g_atomic_ref_count_inc (&element->ref_count);
      *n_made = element->n_made;
    }
  g_mutex_unlock (&self->lock);

  return element;
}

/* FALSE if another thread was faster. */
static gboolean
set_item (BsPathList *self, Element *element, guint n_made, BsItem *item)
{
  gboolean is_first;

  g_mutex_lock (&self->lock);
  is_first = element->n_made == n_made;
  if (is_first)
    {
      element->n_made++;
      g_weak_ref_set (&element->item, item);
    }
  g_mutex_unlock (&self->lock);

  return is_first;
}

static gpointer
bs_path_list_get_item (GListModel *model, guint position)
{
  BsPathList *self = BS_PATH_LIST (model);
  BsCache *cache = bs_pool_get_cache (self->pool);
  BsItem *item = NULL;

  while (item == NULL)
    {
      guint n_made;
      Element *element = dup_element (self, position, &n_made);

      if (element == NULL)
        return NULL;

      item = g_weak_ref_get (&element->item);
      if (item == NULL)
        {
          item = bs_item_new (self->pool, bs_entry_ref (element->entry));
          if (!set_item (self, element, n_made, item))
            g_clear_object (&item);
        }
      element_unref (cache, element);
    }

  bs_cache_settle (cache);
  return item;
}

static void
bs_path_list_model_init (GListModelInterface *iface)
{
  iface->get_item_type = bs_path_list_get_item_type;
  iface->get_n_items = bs_path_list_get_n_items;
  iface->get_item = bs_path_list_get_item;
}

static void
drop_element (gpointer data, gpointer cache)
{
  element_unref (cache, data);
}

/* May run on any thread. */
static void
bs_path_list_finalize (GObject *object)
{
  BsPathList *self = BS_PATH_LIST (object);
  BsBackingStore *store = bs_pool_get_store (self->pool);

  if (!bs_store_is_in_child (store))
    bs_tracked_path_remove_watch (self->tracked, &self->watch);
  if (self->source != NULL)
    g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);

  for (guint i = 0; i < self->arrived->len; i++)
    bs_token_drop (store, self->arrived->pdata[i]);
  g_ptr_array_unref (self->arrived);
  g_array_unref (self->changed);
  bs_key_table_clear (&self->is_changed);
  g_hash_table_unref (self->places);
  g_sequence_foreach (self->elements, drop_element, bs_pool_get_cache (self->pool));
  g_sequence_free (self->elements);
  g_mutex_clear (&self->lock);

  tie_unref (self->tie);
  g_main_context_unref (self->context);
  g_object_unref (self->tracked);
  g_object_unref (self->pool);

  G_OBJECT_CLASS (bs_path_list_parent_class)->finalize (object);
}

static void
bs_path_list_class_init (BsPathListClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = bs_path_list_finalize;
}

static void
bs_path_list_init (BsPathList *self)
{
  g_mutex_init (&self->lock);
  self->watch.key_changed = key_changed;
  self->places = g_hash_table_new (key_hash, key_equal);
  self->elements = g_sequence_new (NULL);
  self->changed = g_array_new (FALSE, FALSE, sizeof (BsKey));
  bs_key_table_init (&self->is_changed, 0);
  self->arrived = g_ptr_array_new ();
}

/* The path may have changed between the registration of its keys and the watch. */
static void
note_missed (BsPathList *self)
{
  g_autoptr (GArray) keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
  guint n_found = 0;
  GHashTableIter iter;
  gpointer key;

  bs_tracked_path_copy_keys (self->tracked, keys);
  for (guint i = 0; i < keys->len; i++)
    if (g_hash_table_contains (self->places, &g_array_index (keys, BsKey, i)))
      n_found++;
    else
      note_changed (self, &g_array_index (keys, BsKey, i), DELAY);
  if (n_found == g_hash_table_size (self->places))
    return;

  g_hash_table_iter_init (&iter, self->places);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (!bs_tracked_path_has_key (self->tracked, key))
      note_changed (self, key, DELAY);
}

static void
end_making (BsPathList *self)
{
  g_mutex_lock (&self->lock);
  self->is_made = TRUE;
  if (self->changed->len > 0)
    schedule_locked (self, DELAY);
  g_mutex_unlock (&self->lock);
}

BsPathList *
bs_path_list_new (BsPool *pool, BsTrackedPath *tracked, GMainContext *context, GPtrArray *tokens)
{
  BsPathList *self = g_object_new (BS_TYPE_PATH_LIST, NULL);

  self->pool = g_object_ref (pool);
  self->tracked = g_object_ref (tracked);
  self->context = g_main_context_ref (context);
  self->tie = g_atomic_rc_box_new0 (Tie);
  g_weak_ref_init (&self->tie->list, self);
  self->tie->pool = g_object_ref (pool);

  g_ptr_array_sort (tokens, compare_tokens);
  for (guint i = 0; i < tokens->len; i++)
    append (self, tokens->pdata[i]);
  bs_tracked_path_add_watch (tracked, &self->watch);
  note_missed (self);
  end_making (self);
  bs_cache_settle (bs_pool_get_cache (pool));

  return self;
}
