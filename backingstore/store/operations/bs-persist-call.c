/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-persist-call-private.h"

#include "base/bs-backing-private.h"
#include "base/bs-error.h"
#include "base/bs-key-set-private.h"
#include "store/threads/bs-call-scope-private.h"

/* Encoded contents are in memory besides the pool's. */
#define MAX_BYTES (4 * 1024 * 1024)

void
bs_persist_call_init (BsPersistCall *self,
                      BsBackingStore *store,
                      GFile *path,
                      GCancellable *cancellable,
                      guint n_most)
{
  self->store = store;
  self->path = path;
  self->cancellable = cancellable;
  self->keys = bs_key_set_new ();
  bs_key_table_reserve (bs_key_set_get_table (self->keys), n_most);
  self->contents =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  self->written = g_ptr_array_new ();
  self->n_bytes = 0;
}

void
bs_persist_call_clear (BsPersistCall *self)
{
  g_clear_object (&self->keys);
  g_clear_pointer (&self->contents, g_hash_table_unref);
  g_clear_pointer (&self->written, g_ptr_array_unref);
}

static void
add_content (BsPersistCall *self, BsKeyOperation *operation, GBytes *bytes)
{
  char *string = g_malloc (BS_KEY_STRING_SIZE);

  bs_key_print (&operation->key, string);
  g_hash_table_insert (self->contents, string, bytes);
  g_ptr_array_add (self->written, operation);
  self->n_bytes += g_bytes_get_size (bytes);
}

gboolean
bs_persist_call_add (BsPersistCall *self, BsKeyOperation *operation, GError **error)
{
  BsPrimary primary =
    operation->content != NULL ? bs_key_operation_get_primary (operation) : BS_PRIMARY_PRESENT;
  GBytes *bytes;

  if (primary == BS_PRIMARY_UNCERTAIN ||
      (primary == BS_PRIMARY_ABSENT && bs_content_is_source (operation->content)))
    return FALSE;
  if (primary == BS_PRIMARY_ABSENT)
    {
      BsCallScope scope;

      bs_call_scope_push (&scope, self->store, BS_SCOPE_BACKING);
      bytes = bs_content_make_bytes (operation->content, self->cancellable, error);
      bs_call_scope_pop (&scope);
      if (bytes == NULL)
        return FALSE;
      add_content (self, operation, bytes);
    }

  bs_key_table_add (bs_key_set_get_table (self->keys), &operation->key, operation->hash);
  return TRUE;
}

gboolean
bs_persist_call_is_full (BsPersistCall *self)
{
  return self->n_bytes >= MAX_BYTES;
}

/* A call that is not supported had no effect; another failure may have had any. */
gboolean
bs_persist_call_run (BsPersistCall *self)
{
  g_autoptr (GError) error = NULL;
  BsCallScope scope;

  if (bs_key_set_get_n_keys (self->keys) < 2)
    return FALSE;

  bs_call_scope_push (&scope, self->store, BS_SCOPE_BACKING);
  bs_backing_invoke_persist_keys (self->store->backing, self->path, self->keys, self->contents,
                                  self->cancellable, &error);
  bs_call_scope_pop (&scope);

  if (!g_error_matches (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED))
    for (guint i = 0; i < self->written->len; i++)
      bs_key_operation_note_write (self->written->pdata[i], error);

  return error == NULL;
}
