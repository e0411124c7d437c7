/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-item-list-private.h"

#include "bs-item-private.h"

/* The items of all keys of a path, each made when asked for. A place holds a token until
 * its first item is made, from then on the entry, so that the pool's knowledge of the
 * content outlives the item. */

/* The item of a place. No other item is made there as long as this one lives. */
typedef struct
{
  gatomicrefcount ref_count;
  GWeakRef item;
} Made;

struct _BsItemList
{
  GObject parent_instance;

  /* constant */
  BsPool *pool; /* owned */
  guint n_places;

  GMutex lock;

  /* under the lock */
  gpointer *places; /* BsToken (a token), or BsEntry (a reference) with the lowest bit set */
  GHashTable *made; /* position → Made */
  guint sweep_at;   /* size of `made` that calls for a sweep */
};

static void bs_item_list_model_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsItemList,
                               bs_item_list,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, bs_item_list_model_init))

#define FIRST_SWEEP 64

static Made *
made_new (BsItem *item)
{
  Made *self = g_new (Made, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_weak_ref_init (&self->item, item);

  return self;
}

static Made *
made_ref (Made *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
made_unref (gpointer data)
{
  Made *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_weak_ref_clear (&self->item);
  g_free (self);
}

static gboolean
made_is_dead (Made *self)
{
  g_autoptr (BsItem) item = g_weak_ref_get (&self->item);

  return item == NULL;
}

static BsEntry *
get_entry (gpointer place)
{
  guintptr tagged = (guintptr) place;

  return (tagged & 1) != 0 ? (BsEntry *) (tagged & ~(guintptr) 1) : NULL;
}

static BsEntry *
dup_entry (BsItemList *self, guint position)
{
  BsToken *spare = NULL;
  BsEntry *entry;

  g_mutex_lock (&self->lock);
  entry = get_entry (self->places[position]);
  if (entry == NULL)
    {
      entry =
        bs_cache_obtain_entry (bs_pool_get_cache (self->pool), self->places[position], &spare);
      self->places[position] = (gpointer) ((guintptr) entry | 1);
    }
  bs_entry_ref (entry);
  g_mutex_unlock (&self->lock);

  if (spare != NULL)
    bs_token_drop (bs_pool_get_store (self->pool), spare);
  return entry;
}

static Made *
dup_made (BsItemList *self, guint position)
{
  Made *made;

  g_mutex_lock (&self->lock);
  made = g_hash_table_lookup (self->made, GUINT_TO_POINTER (position));
  if (made != NULL)
    made_ref (made);
  g_mutex_unlock (&self->lock);

  return made;
}

/* Puts `made` in the place of `seen`; FALSE if another thread was faster. */
static gboolean
swap_made (BsItemList *self, guint position, Made *seen, Made *made)
{
  gboolean is_current;

  g_mutex_lock (&self->lock);
  is_current = g_hash_table_lookup (self->made, GUINT_TO_POINTER (position)) == seen;
  if (is_current)
    g_hash_table_insert (self->made, GUINT_TO_POINTER (position), made);
  g_mutex_unlock (&self->lock);

  if (is_current && seen != NULL)
    made_unref (seen);
  return is_current;
}

typedef struct
{
  guint position;
  Made *made; /* a reference */
} Candidate;

static void
candidate_clear (gpointer data)
{
  made_unref (((Candidate *) data)->made);
}

/* Forgets dead items, now and then. No reference on an item may be taken under the
 * lock. */
static void
sweep (BsItemList *self)
{
  g_autoptr (GArray) candidates = g_array_new (FALSE, FALSE, sizeof (Candidate));
  GHashTableIter iter;
  gpointer position, made;

  g_array_set_clear_func (candidates, candidate_clear);

  g_mutex_lock (&self->lock);
  if (g_hash_table_size (self->made) >= self->sweep_at)
    {
      /* Keeps other threads from starting a sweep meanwhile. */
      self->sweep_at = G_MAXUINT;
      g_hash_table_iter_init (&iter, self->made);
      while (g_hash_table_iter_next (&iter, &position, &made))
        {
          Candidate candidate = { GPOINTER_TO_UINT (position), made_ref (made) };

          g_array_append_val (candidates, candidate);
        }
    }
  g_mutex_unlock (&self->lock);

  if (candidates->len == 0)
    return;

  for (guint i = 0; i < candidates->len;)
    if (made_is_dead (g_array_index (candidates, Candidate, i).made))
      i++;
    else
      g_array_remove_index_fast (candidates, i);

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < candidates->len; i++)
    {
      Candidate *candidate = &g_array_index (candidates, Candidate, i);

      made = g_hash_table_lookup (self->made, GUINT_TO_POINTER (candidate->position));
      if (made == candidate->made)
        {
          g_hash_table_remove (self->made, GUINT_TO_POINTER (candidate->position));
          made_unref (made);
        }
    }
  self->sweep_at = MAX (FIRST_SWEEP, 2 * g_hash_table_size (self->made));
  g_mutex_unlock (&self->lock);
}

static GType
bs_item_list_get_item_type (GListModel *model)
{
  return BS_TYPE_ITEM;
}

static guint
bs_item_list_get_n_items (GListModel *model)
{
  return BS_ITEM_LIST (model)->n_places;
}

/* Returns NULL if another thread was faster. */
static BsItem *
make_item (BsItemList *self, guint position, Made *seen)
{
  BsItem *item = bs_item_new (self->pool, dup_entry (self, position));
  Made *made = made_new (item);

  if (!swap_made (self, position, seen, made))
    {
      made_unref (made);
      g_object_unref (item);
      return NULL;
    }

  bs_cache_settle (bs_pool_get_cache (self->pool));
  sweep (self);
  return item;
}

static gpointer
bs_item_list_get_item (GListModel *model, guint position)
{
  BsItemList *self = BS_ITEM_LIST (model);
  BsItem *item = NULL;

  if (position >= self->n_places)
    return NULL;

  while (item == NULL)
    {
      Made *seen = dup_made (self, position);

      if (seen != NULL)
        item = g_weak_ref_get (&seen->item);
      if (item == NULL)
        item = make_item (self, position, seen);
      g_clear_pointer (&seen, made_unref);
    }

  return item;
}

static void
bs_item_list_model_init (GListModelInterface *iface)
{
  iface->get_item_type = bs_item_list_get_item_type;
  iface->get_n_items = bs_item_list_get_n_items;
  iface->get_item = bs_item_list_get_item;
}

static void
bs_item_list_finalize (GObject *object)
{
  BsItemList *self = BS_ITEM_LIST (object);
  BsBackingStore *store = bs_pool_get_store (self->pool);
  BsCache *cache = bs_pool_get_cache (self->pool);
  BsToken **tokens = (BsToken **) self->places;
  guint n_tokens = 0;
  GHashTableIter iter;
  gpointer made;

  /* The tokens move to the front of the same array. */
  for (guint i = 0; i < self->n_places; i++)
    {
      BsEntry *entry = get_entry (self->places[i]);
      BsToken *token = entry != NULL ? bs_cache_release_entry (cache, entry) : self->places[i];

      if (token != NULL)
        tokens[n_tokens++] = token;
    }
  if (n_tokens > 0)
    bs_bulk_drop_tokens (store, tokens, n_tokens);
  g_free (self->places);

  g_hash_table_iter_init (&iter, self->made);
  while (g_hash_table_iter_next (&iter, NULL, &made))
    made_unref (made);
  g_hash_table_unref (self->made);

  g_mutex_clear (&self->lock);
  bs_cache_settle (cache);
  g_object_unref (self->pool);

  G_OBJECT_CLASS (bs_item_list_parent_class)->finalize (object);
}

static void
bs_item_list_class_init (BsItemListClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = bs_item_list_finalize;
}

static void
bs_item_list_init (BsItemList *self)
{
  g_mutex_init (&self->lock);
  self->made = g_hash_table_new (NULL, NULL);
  self->sweep_at = FIRST_SWEEP;
}

BsItemList *
bs_item_list_new (BsPool *pool, GPtrArray *tokens)
{
  BsItemList *self = g_object_new (BS_TYPE_ITEM_LIST, NULL);

  self->pool = g_object_ref (pool);
  self->n_places = tokens->len;
  self->places = g_memdup2 (tokens->pdata, tokens->len * sizeof (gpointer));

  return self;
}
