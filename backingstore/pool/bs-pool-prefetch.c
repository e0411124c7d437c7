/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-pool.h"

#include "bs-item-private.h"

/* A load that two calls want goes on, so that calls may follow each other faster than an
 * object is decoded. */

/* Returns the item that an element of a list is, or has. */
static BsItem *
dup_item (GObject *element)
{
  GParamSpec *pspec;
  GObject *value = NULL;

  if (BS_IS_ITEM (element))
    return BS_ITEM (g_object_ref (element));

  pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (element), "item");
  if (pspec == NULL || !G_IS_PARAM_SPEC_OBJECT (pspec) || !(pspec->flags & G_PARAM_READABLE))
    return NULL;

  g_object_get (element, "item", &value, NULL);
  if (!BS_IS_ITEM (value))
    g_clear_object (&value);
  return (BsItem *) value;
}

/* A content that is read ahead. */
typedef struct
{
  GCancellable *cancellable; /* owned */
  guint64 call;              /* the last call of bs_pool_prefetch() that wants it */
} Ahead;

static void
ahead_free (gpointer data)
{
  Ahead *self = data;

  g_object_unref (self->cancellable);
  g_free (self);
}

static guint64
begin_call (BsCache *cache)
{
  guint64 call;

  g_mutex_lock (&cache->lock);
  if (cache->ahead == NULL)
    cache->ahead = g_hash_table_new (NULL, NULL);
  call = ++cache->n_prefetches;
  g_mutex_unlock (&cache->lock);

  return call;
}

/* FALSE if the content is read ahead already. */
static gboolean
add (BsCache *cache, BsEntry *entry, GCancellable *cancellable, guint64 call)
{
  Ahead *made = g_new (Ahead, 1);
  Ahead *found;

  *made = (Ahead){ g_object_ref (cancellable), call };
  g_mutex_lock (&cache->lock);
  found = g_hash_table_lookup (cache->ahead, entry);
  if (found != NULL)
    found->call = MAX (found->call, call);
  else
    g_hash_table_insert (cache->ahead, entry, made);
  g_mutex_unlock (&cache->lock);

  if (found != NULL)
    ahead_free (made);
  return found == NULL;
}

/* The end of a request, whatever has come of it. */
static void
request_free (gpointer data)
{
  BsItemRequest *request = data;
  BsCache *cache = bs_item_get_cache (request->item);
  Ahead *ahead;

  g_mutex_lock (&cache->lock);
  ahead = g_hash_table_lookup (cache->ahead, request->entry);
  if (ahead != NULL && ahead->cancellable == request->cancellable)
    g_hash_table_remove (cache->ahead, request->entry);
  else
    ahead = NULL;
  g_mutex_unlock (&cache->lock);

  g_clear_pointer (&ahead, ahead_free);
  bs_item_request_free (request);
}

static void
prefetch (BsItem *item, guint64 call)
{
  BsKind kind = bs_pool_get_codec (item->pool) != NULL ? BS_KIND_OBJECT : BS_KIND_BYTES;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) failure = bs_item_dup_failure (item);
  BsCache *cache = bs_item_get_cache (item);
  BsEntry *entry = bs_item_dup_entry (item);

  if (failure == NULL && bs_item_is_out (item, entry, kind) &&
      add (cache, entry, cancellable, call))
    bs_item_read_ahead (bs_item_request_new (item, entry, kind, cancellable), request_free);
  bs_cache_drop_entry (cache, entry);
}

/* Cancels what was wanted by earlier calls only. */
static void
end_call (BsCache *cache, guint64 call)
{
  g_autoptr (GPtrArray) unwanted = g_ptr_array_new_with_free_func (ahead_free);
  GHashTableIter iter;
  gpointer ahead;

  g_mutex_lock (&cache->lock);
  g_hash_table_iter_init (&iter, cache->ahead);
  while (g_hash_table_iter_next (&iter, NULL, &ahead))
    if (((Ahead *) ahead)->call < call)
      {
        g_ptr_array_add (unwanted, ahead);
        g_hash_table_iter_remove (&iter);
      }
  g_mutex_unlock (&cache->lock);

  for (guint i = 0; i < unwanted->len; i++)
    g_cancellable_cancel (((Ahead *) unwanted->pdata[i])->cancellable);
}

/**
 * bs_pool_prefetch:
 * @self: a pool
 * @model: a list of [class@Item], or of objects that have one in a property `item`
 * @position: the first element to load
 * @n_items: how many elements to load
 *
 * Brings contents into memory that will be asked for next, such as those of the rows that
 * follow the visible ones.
 *
 * The contents are loaded in the order of the list, below everything else that the store
 * has to do; one that is asked for meanwhile goes at once. In a pool with a codec they are
 * decoded. The next call replaces this one: what it has not yet loaded is loaded no more,
 * so that 0 for @n_items ends it. The pool holds the contents within its budget like all
 * others: prefetch no more than fits.
 *
 * Elements that are no items, have none, or have one of another pool, are passed over, as
 * are positions beyond the end. A content that cannot be loaded is not told of.
 *
 * Never blocks. The elements are asked for on this thread.
 */
void
bs_pool_prefetch (BsPool *self, GListModel *model, guint position, guint n_items)
{
  BsCache *cache;
  guint64 call;

  g_return_if_fail (bs_pool_has_store (self));
  g_return_if_fail (G_IS_LIST_MODEL (model));

  cache = bs_pool_get_cache (self);
  call = begin_call (cache);
  for (guint i = 0; i < n_items && i <= G_MAXUINT - position; i++)
    {
      g_autoptr (GObject) element = g_list_model_get_object (model, position + i);
      g_autoptr (BsItem) item = element != NULL ? dup_item (element) : NULL;

      if (element == NULL)
        break;
      if (item != NULL && bs_item_get_pool (item) == self)
        prefetch (item, call);
    }
  end_call (cache, call);
}
