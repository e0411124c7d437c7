/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-document-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Rules by which several programs share a prefix. They hold with requests that arrive late
 * by any time, programs that pause, and clocks that are wrong: no time-out repairs a late
 * deletion, and servers check no condition of a deletion or a copy.
 *
 * 1. The root and `.lock` carry a nonce in their contents, since an ETag is a hash of
 *    those; and the root carries the objects that it names.
 * 2. A root is put on the ETag that opening or the last root of this opening gave, never
 *    on one that is read for the purpose. After an unclear answer the same root is put
 *    again. A root carries the nonces of roots before it, by which a program finds that
 *    another one has built on its root.
 * 3. A root names only objects that the root before it names, or that this opening has
 *    put, under names that were never in use. An object that the root before does not
 *    name, and that this opening has not put, is copied to a new name first. A name that a
 *    root has dropped is never named again.
 * 4. An object is deleted only if it was listed, or put, before this program's own root
 *    was put, and that does not name it. Opening lists, and then puts the root anew with
 *    another nonce: from then on no root of an older opening can be put.
 * 5. After BUSY, or a lease that was lost, all that this opening has put is void; nothing
 *    is deleted any more, and the path is to be tracked anew.
 * 6. A commit function of the application has no root. It has the lease alone.
 *
 * An object in quarantine is put back by them: it is copied to a name that was never in use,
 * a root names the copy, and only then the one in quarantine is deleted. */

/* How often a thread looks whether another one has done with the root. */
#define LOOK_AGAIN (5 * 1000)

BsS3Document *
bs_s3_document_ref (BsS3Document *self)
{
  g_atomic_ref_count_inc (&self->n_references);
  return self;
}

void
bs_s3_document_unref (BsS3Document *self)
{
  if (!g_atomic_ref_count_dec (&self->n_references))
    return;

  bs_s3_lease_clear (&self->lease);
  bs_s3_root_clear (&self->root);
  bs_s3_root_clear (&self->pending_root);
  g_clear_pointer (&self->pending, g_bytes_unref);
  g_clear_error (&self->refusal);
  g_hash_table_unref (self->objects);
  g_array_unref (self->strays);
  g_ref_string_release (self->prefix);
  g_free (self->uri);
  g_rw_lock_clear (&self->use);
  g_mutex_clear (&self->mutex);
  g_free (self->etag);
  g_free (self);
}

gboolean
bs_s3_document_hold (BsS3Document *self)
{
  g_rw_lock_reader_lock (&self->use);
  if (!self->retired)
    return TRUE;

  g_rw_lock_reader_unlock (&self->use);
  return FALSE;
}

void
bs_s3_document_unhold (BsS3Document *self)
{
  g_rw_lock_reader_unlock (&self->use);
}

void
bs_s3_document_close (BsS3Document *self, GCancellable *cancellable)
{
  gboolean was_retired;

  g_rw_lock_writer_lock (&self->use);
  was_retired = self->retired;
  self->retired = TRUE;
  g_rw_lock_writer_unlock (&self->use);

  /* A request that arrives late must find the lease taken. */
  if (!was_retired && !g_atomic_int_get (&self->unclear))
    bs_s3_lease_give_back (&self->lease, cancellable);
}

void
bs_s3_document_note_unclear (BsS3Document *self, gboolean unclear)
{
  if (unclear)
    g_atomic_int_set (&self->unclear, TRUE);
}

gboolean
bs_s3_document_is_lost (BsS3Document *self)
{
  return bs_s3_lease_is_lost (&self->lease);
}

gboolean
bs_s3_document_check (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  if (self->refusal != NULL)
    {
      g_propagate_error (error, g_error_copy (self->refusal));
      return FALSE;
    }
  return bs_s3_lease_check (&self->lease, cancellable, error);
}

gboolean
bs_s3_document_lookup (BsS3Document *self, const BsS3Key *key, BsS3Name *name)
{
  BsS3Object *object;

  g_mutex_lock (&self->mutex);
  object = g_hash_table_lookup (self->objects, key);
  if (object != NULL)
    *name = object->name;
  g_mutex_unlock (&self->mutex);

  return object != NULL;
}

void
bs_s3_document_list (BsS3Document *self, BsKeySet *keys)
{
  GHashTableIter iter;
  BsS3Object *object;

  g_mutex_lock (&self->mutex);
  g_hash_table_iter_init (&iter, self->objects);
  while (g_hash_table_iter_next (&iter, (gpointer *) &object, NULL))
    {
      char key[37];

      bs_s3_key_print (&object->name.key, key);
      bs_key_set_add (keys, key, NULL);
    }
  g_mutex_unlock (&self->mutex);
}

/* The object that the root names stands for its key. */
void
bs_s3_document_note (BsS3Document *self, const BsS3Name *name, guint flags)
{
  BsS3Object *object = g_hash_table_lookup (self->objects, &name->key);

  if (object == NULL)
    {
      object = g_new0 (BsS3Object, 1);
      object->name = *name;
      object->flags = flags;
      g_hash_table_add (self->objects, object);
    }
  else if (object->name.nonce != name->nonce && (flags == 0 || (object->flags & BS_S3_NAMED)))
    {
      g_array_append_val (self->strays, *name);
    }
  else
    {
      if (object->name.nonce != name->nonce)
        g_array_append_val (self->strays, object->name);
      object->name.nonce = name->nonce;
      object->flags = flags;
    }
}

gboolean
bs_s3_document_begin_writing (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  gboolean begun;

  for (;;)
    {
      g_mutex_lock (&self->mutex);
      begun = !self->writing;
      self->writing = TRUE;
      g_mutex_unlock (&self->mutex);
      if (begun)
        return TRUE;
      if (!bs_s3_client_pause (self->client, LOOK_AGAIN, cancellable))
        break;
    }

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("it was cancelled"));
  return FALSE;
}

void
bs_s3_document_end_writing (BsS3Document *self)
{
  g_mutex_lock (&self->mutex);
  self->writing = FALSE;
  g_mutex_unlock (&self->mutex);
}
