/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-paths-private.h"

BsPath *
bs_paths_pin (BsBackingStore *store, GFile *file)
{
  BsPath *spare = bs_path_new (file);
  BsPath *path;

  g_mutex_lock (&store->paths_mutex);
  path = g_hash_table_lookup (store->paths, spare->uri);
  if (path == NULL)
    {
      path = g_steal_pointer (&spare);
      g_hash_table_insert (store->paths, path->uri, path);
    }
  path->n_pins++;
  bs_path_ref (path);
  g_mutex_unlock (&store->paths_mutex);

  if (spare != NULL)
    bs_path_unref (spare);
  return path;
}

void
bs_paths_unpin (BsBackingStore *store, BsPath *path, guint n_pins)
{
  gboolean idle;

  g_mutex_lock (&store->paths_mutex);
  path->n_pins -= n_pins;
  g_mutex_lock (&path->mutex);
  idle = path->n_pins == 0 && path->state == BS_PATH_UNTRACKED && path->queue.head == NULL &&
         g_hash_table_lookup (store->paths, path->uri) == path;
  g_mutex_unlock (&path->mutex);
  if (idle)
    g_hash_table_steal (store->paths, path->uri);
  g_mutex_unlock (&store->paths_mutex);

  if (idle)
    bs_path_unref (path);
}

GPtrArray *
bs_paths_list_tracked (BsBackingStore *store)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_path_unref);
  GPtrArray *list = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer path;

  g_mutex_lock (&store->paths_mutex);
  g_hash_table_iter_init (&iter, store->paths);
  while (g_hash_table_iter_next (&iter, NULL, &path))
    g_ptr_array_add (paths, bs_path_ref (path));
  g_mutex_unlock (&store->paths_mutex);

  for (guint i = 0; i < paths->len; i++)
    {
      BsTrackedPath *tracked = g_weak_ref_get (&((BsPath *) g_ptr_array_index (paths, i))->tracked);

      if (tracked != NULL && g_atomic_int_get (&tracked->closed))
        g_clear_object (&tracked);
      if (tracked != NULL)
        g_ptr_array_add (list, tracked);
    }

  return list;
}

void
bs_paths_set_closed (BsTrackedPath *tracked)
{
  if (g_atomic_int_compare_and_exchange (&tracked->closed, FALSE, TRUE))
    bs_notifier_notify (tracked->store->notifier, G_OBJECT (tracked),
                        g_object_class_find_property (G_OBJECT_GET_CLASS (tracked), "closed"), NULL);
}

void
bs_paths_release_all (BsBackingStore *store, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) list = bs_paths_list_tracked (store);

  for (guint i = 0; i < list->len; i++)
    {
      BsTrackedPath *tracked = g_ptr_array_index (list, i);
      BsPath *path = tracked->path;
      GError *local_error = NULL;

      bs_backing_release_path (store->backing, path->file, cancellable, &local_error);

      g_mutex_lock (&path->mutex);
      path->state = BS_PATH_UNTRACKED;
      g_atomic_int_set (&tracked->members.refusing, TRUE);
      g_mutex_unlock (&path->mutex);
      bs_paths_set_closed (tracked);
      bs_paths_unpin (store, path, 0);

      if (local_error == NULL)
        continue;
      if (*error == NULL)
        g_propagate_error (error, local_error);
      else
        g_error_free (local_error);
    }
}
