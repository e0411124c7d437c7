/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-paths-private.h"

static guint
path_hash (gconstpointer key)
{
  const BsPath *path = key;

  return path->uri != NULL ? g_str_hash (path->uri) : g_direct_hash (path->file);
}

static gboolean
path_equal (gconstpointer a, gconstpointer b)
{
  const BsPath *left = a, *right = b;

  if (left->uri == NULL || right->uri == NULL)
    return left->uri == right->uri && left->file == right->file;

  return g_str_equal (left->uri, right->uri);
}

GHashTable *
bs_paths_new_table (void)
{
  return g_hash_table_new (path_hash, path_equal);
}

/* Pins the path of the table that equals the spare one, else the spare one itself. Takes the
 * spare one over. */
static BsPath *
pin (BsBackingStore *store, BsPath *spare)
{
  BsPath *path;

  g_mutex_lock (&store->paths_mutex);
  path = g_hash_table_lookup (store->paths, spare);
  if (path == NULL)
    {
      path = g_steal_pointer (&spare);
      g_hash_table_add (store->paths, path);
    }
  path->n_pins++;
  bs_path_ref (path);
  g_mutex_unlock (&store->paths_mutex);

  if (spare != NULL)
    bs_path_unref (spare);
  return path;
}

BsPath *
bs_paths_pin (BsBackingStore *store, GFile *file)
{
  /* The backing may have made the file itself: only a copy of it is nothing but a name. */
  return pin (store, bs_path_new (g_file_dup (file), TRUE));
}

BsPath *
bs_paths_pin_opened (BsBackingStore *store, BsPath *name, GFile *opened)
{
  if (opened != name->file)
    return pin (store, bs_path_new (g_object_ref (opened), FALSE));

  g_mutex_lock (&store->paths_mutex);
  name->n_pins++;
  g_mutex_unlock (&store->paths_mutex);
  return bs_path_ref (name);
}

void
bs_paths_unpin (BsBackingStore *store, BsPath *path, guint n_pins)
{
  gboolean idle;

  g_mutex_lock (&store->paths_mutex);
  path->n_pins -= n_pins;
  g_mutex_lock (&path->mutex);
  idle = path->n_pins == 0 && path->state == BS_PATH_UNTRACKED && path->queue.head == NULL &&
         g_hash_table_lookup (store->paths, path) == path;
  g_mutex_unlock (&path->mutex);
  if (idle)
    g_hash_table_steal (store->paths, path);
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
  while (g_hash_table_iter_next (&iter, &path, NULL))
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

static void
notify (BsTrackedPath *tracked, const char *property)
{
  bs_notifier_notify (tracked->store->notifier, G_OBJECT (tracked),
                      g_object_class_find_property (G_OBJECT_GET_CLASS (tracked), property), NULL);
}

static void
set_flag (BsTrackedPath *tracked, int *flag, gboolean value, const char *property)
{
  if (g_atomic_int_compare_and_exchange (flag, !value, value))
    notify (tracked, property);
}

void
bs_paths_set_closed (BsTrackedPath *tracked)
{
  set_flag (tracked, &tracked->closed, TRUE, "closed");
}

void
bs_paths_set_moved (BsTrackedPath *tracked, gboolean moved)
{
  set_flag (tracked, &tracked->moved, moved, "moved");
}

void
bs_paths_set_name (BsTrackedPath *tracked, GFile *file, gboolean writable)
{
  gboolean changed = !g_file_equal (bs_tracked_path_peek_file (tracked), file);

  if (changed)
    {
      g_mutex_lock (&tracked->path->mutex);
      g_ptr_array_add (tracked->names, g_object_ref (file));
      g_atomic_pointer_set (&tracked->file, file);
      g_mutex_unlock (&tracked->path->mutex);
      notify (tracked, "file");
    }
  set_flag (tracked, &tracked->writable, writable, "writable");
  bs_paths_set_moved (tracked, FALSE);
}

void
bs_paths_note_error (BsTrackedPath *tracked, const GError *error)
{
  if (error != NULL && g_error_matches (error, BS_ERROR, BS_ERROR_MOVED))
    bs_paths_set_moved (tracked, TRUE);
}

gboolean
bs_paths_release_all (BsBackingStore *store,
                      GPtrArray *list,
                      GCancellable *cancellable,
                      GError **error)
{
  for (guint i = 0; i < list->len; i++)
    {
      BsTrackedPath *tracked = g_ptr_array_index (list, i);
      BsPath *path = tracked->path;
      GError *local_error = NULL;

      if (g_atomic_int_get (&tracked->closed))
        continue;

      bs_backing_release_path (store->backing, path->file, cancellable, &local_error);
      if (bs_is_cancellation (local_error, cancellable))
        {
          g_clear_error (error);
          g_propagate_error (error, local_error);
          return FALSE;
        }

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

  return TRUE;
}
