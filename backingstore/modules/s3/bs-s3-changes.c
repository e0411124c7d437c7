/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-document-private.h"
#include "bs-s3-objects-private.h"

#include <string.h>

static char *
begin_adding (BsS3Document *self,
              const BsS3Key *key,
              gboolean fresh,
              BsS3Name *name,
              GCancellable *cancellable,
              GError **error)
{
  if (!bs_s3_document_check (self, cancellable, error))
    return NULL;

  name->key = *key;
  name->nonce = fresh ? 0 : bs_s3_make_nonce ();
  return bs_s3_name_print (name, self->prefix);
}

/* An object that was not put for certain may be there, or come to be. */
static void
end_adding (BsS3Document *self, const BsS3Name *name, gboolean success, gboolean unclear)
{
  bs_s3_document_note_unclear (self, unclear);

  g_mutex_lock (&self->mutex);
  if (success)
    bs_s3_document_note (self, name, BS_S3_OURS);
  else
    g_array_append_val (self->strays, *name);
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_s3_document_add (BsS3Document *self,
                    const BsS3Key *key,
                    const BsS3Content *content,
                    gboolean fresh,
                    BsS3Name *name,
                    GCancellable *cancellable,
                    GError **error)
{
  g_autofree char *object = begin_adding (self, key, fresh, name, cancellable, error);
  gboolean unclear = FALSE;
  gboolean success;

  if (object == NULL)
    return FALSE;

  success = bs_s3_put (self->client, object, content, &unclear, cancellable, error);
  end_adding (self, name, success, unclear);
  return success;
}

BsS3Call *
bs_s3_document_begin_add (BsS3Document *self,
                          const BsS3Key *key,
                          const BsS3Content *content,
                          gboolean fresh,
                          BsS3Name *name,
                          GCancellable *cancellable,
                          GError **error)
{
  g_autofree char *object = begin_adding (self, key, fresh, name, cancellable, error);

  return object != NULL ? bs_s3_begin_put (self->client, object, content) : NULL;
}

gboolean
bs_s3_document_end_add (BsS3Document *self,
                        BsS3Call *call,
                        const BsS3Name *name,
                        GCancellable *cancellable,
                        GError **error)
{
  g_auto (BsS3Answer) answer = { 0 };
  gboolean success =
    bs_s3_call_end (call, &answer, cancellable, error) && bs_s3_put_check (&answer, error);

  end_adding (self, name, success, answer.unclear);
  return success;
}

void
bs_s3_document_drop_add (BsS3Document *self, BsS3Call *call, const BsS3Name *name)
{
  bs_s3_call_free (call);
  end_adding (self, name, FALSE, TRUE);
}

/* Objects on their way out. */
typedef struct
{
  BsS3Document *document;
  GHashTable *keys; /* BsS3Key */
  GArray *names;    /* BsS3Name */
  guint n_strays;   /* the first ones of the names */
  gboolean any_named;
} Removal;

static void
collect_strays (Removal *self)
{
  GArray *strays = self->document->strays;

  for (guint i = 0; i < strays->len;)
    {
      BsS3Name *stray = &g_array_index (strays, BsS3Name, i);

      if (!g_hash_table_contains (self->keys, &stray->key))
        {
          i++;
          continue;
        }
      g_array_append_val (self->names, *stray);
      g_array_remove_index_fast (strays, i);
    }
}

/* Finds the objects of the keys: strays, and then those that stand for a key. */
static void
collect (Removal *self, const BsS3Key *keys, guint n_keys)
{
  BsS3Document *document = self->document;

  g_mutex_lock (&document->mutex);
  for (guint i = 0; i < n_keys; i++)
    g_hash_table_add (self->keys, (gpointer) &keys[i]);
  collect_strays (self);
  self->n_strays = self->names->len;
  for (guint i = 0; i < n_keys; i++)
    {
      BsS3Object *object = g_hash_table_lookup (document->objects, &keys[i]);

      if (object != NULL)
        {
          g_array_append_val (self->names, object->name);
          self->any_named |= (object->flags & BS_S3_NAMED) != 0;
        }
    }
  g_mutex_unlock (&document->mutex);
}

/* An application may delete what its root names: then the root names it no longer. */
static gboolean
put_root_without (Removal *self, GCancellable *cancellable, GError **error)
{
  BsS3Document *document = self->document;
  g_autoptr (GArray) names = g_array_new (FALSE, FALSE, sizeof (BsS3Name));
  g_auto (BsS3Root) root = { 0 };
  GHashTableIter iter;
  BsS3Object *object;
  gsize n_names;

  g_mutex_lock (&document->mutex);
  g_hash_table_iter_init (&iter, document->objects);
  while (g_hash_table_iter_next (&iter, (gpointer *) &object, NULL))
    {
      if ((object->flags & BS_S3_NAMED) && !g_hash_table_contains (self->keys, &object->name.key))
        g_array_append_val (names, object->name);
    }
  g_mutex_unlock (&document->mutex);

  bs_s3_root_follow (&root, &document->root);
  root.names = g_array_steal (names, &n_names);
  root.n_names = n_names;
  root.content = document->root.content != NULL ? g_bytes_ref (document->root.content) : NULL;
  return bs_s3_document_put_root (document, &root, cancellable, error);
}

static void
return_strays (Removal *self, guint n)
{
  g_mutex_lock (&self->document->mutex);
  g_array_append_vals (self->document->strays, self->names->data, n);
  g_mutex_unlock (&self->document->mutex);
}

/* From now on no root of this opening names the objects: a deletion may arrive late. */
static gboolean
take_out (Removal *self,
          const BsS3Key *keys,
          guint n_keys,
          GCancellable *cancellable,
          GError **error)
{
  BsS3Document *document = self->document;
  g_autoptr (GError) local = NULL;
  gboolean success;

  if (!bs_s3_document_begin_writing (document, cancellable, error))
    return FALSE;

  success = bs_s3_document_settle (document, cancellable, &local);
  if (success)
    {
      collect (self, keys, n_keys);
      success = !self->any_named || put_root_without (self, cancellable, &local);
      if (success && bs_s3_document_is_lost (document))
        success = bs_s3_document_check (document, cancellable, &local);
    }
  if (g_error_matches (local, BS_ERROR, BS_ERROR_BUSY))
    bs_s3_lease_lose (&document->lease);
  if (!success)
    return_strays (self, self->n_strays);
  else
    {
      g_mutex_lock (&document->mutex);
      for (guint i = 0; i < n_keys; i++)
        g_hash_table_remove (document->objects, &keys[i]);
      g_mutex_unlock (&document->mutex);
    }
  bs_s3_document_end_writing (document);

  if (!success)
    g_propagate_error (error, g_steal_pointer (&local));
  return success;
}

static char *
print_name (gpointer data, guint n)
{
  Removal *self = data;

  return bs_s3_name_print (&g_array_index (self->names, BsS3Name, n), self->document->prefix);
}

gboolean
bs_s3_document_remove (BsS3Document *self,
                       const BsS3Key *keys,
                       guint n_keys,
                       GCancellable *cancellable,
                       GError **error)
{
  g_autoptr (GHashTable) table = g_hash_table_new (bs_s3_key_hash, bs_s3_key_equal);
  g_autoptr (GArray) names = g_array_new (FALSE, FALSE, sizeof (BsS3Name));
  Removal removal = { self, table, names };
  gboolean unclear = FALSE;
  gboolean success;

  if (!bs_s3_document_check (self, cancellable, error) ||
      !take_out (&removal, keys, n_keys, cancellable, error))
    return FALSE;
  if (names->len == 0)
    return TRUE;

  success = bs_s3_delete_many (self->client, print_name, &removal, names->len, &unclear,
                               cancellable, error);
  bs_s3_document_note_unclear (self, unclear);
  if (!success)
    return_strays (&removal, names->len);
  return success;
}

typedef struct
{
  const char *prefix;
  BsS3Name name;
} Move;

static char *
print_from (gpointer data, guint n)
{
  const Move *self = data;

  return bs_s3_name_print (&self->name, self->prefix);
}

static char *
print_to (gpointer data, guint n)
{
  const Move *self = data;

  return bs_s3_name_print_aside (&self->name, self->prefix);
}

gboolean
bs_s3_document_quarantine (BsS3Document *self,
                           const BsS3Key *key,
                           GCancellable *cancellable,
                           GError **error)
{
  Move move = { self->prefix };
  gboolean unclear = FALSE;
  gboolean success;

  if (!bs_s3_document_check (self, cancellable, error))
    return FALSE;
  if (!bs_s3_document_lookup (self, key, &move.name))
    return TRUE;

  success =
    bs_s3_copy_many (self->client, print_from, print_to, &move, 1, &unclear, cancellable, error);
  bs_s3_document_note_unclear (self, unclear);

  return success && bs_s3_document_remove (self, key, 1, cancellable, error);
}
