/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-s3-quarantine-private.h"

#include "bs-s3-objects-private.h"
#include "bs-s3-reading-private.h"
#include "bs-s3-stream-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define BUFFER_SIZE (256 * 1024)

/* Reads an object to its end, where the hash is compared. */
static gboolean
read_object (BsS3Backing *self, const char *object, GCancellable *cancellable, GError **error)
{
  g_autoptr (GInputStream) stream = bs_s3_stream_open_object (self, object, cancellable, error);
  g_autofree guint8 *buffer = NULL;
  gssize n;

  if (stream == NULL)
    return FALSE;

  buffer = g_malloc (BUFFER_SIZE);
  do
    n = g_input_stream_read (stream, buffer, BUFFER_SIZE, cancellable, error);
  while (n > 0);

  return n == 0;
}

gboolean
bs_s3_verify (BsS3Backing *self,
              BsS3Document *document,
              const BsS3Key *key,
              GCancellable *cancellable,
              GError **error)
{
  g_autofree char *object = NULL;
  g_autoptr (GError) local = NULL;
  BsS3Name name;

  if (!bs_s3_document_lookup (document, key, &name))
    return bs_s3_set_not_found (error);

  object = bs_s3_name_print (&name, document->prefix);
  if (read_object (self, object, cancellable, &local))
    return TRUE;

  if (g_error_matches (local, BS_ERROR, BS_ERROR_CORRUPT) && document->refusal == NULL &&
      !bs_s3_document_quarantine (document, key, cancellable, error))
    {
      g_prefix_error (error, _ ("the blob is corrupt and can't be set aside: "));
      return FALSE;
    }
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

/* Returns length and hash of an object, as it carries them, if its content is that one. NULL
 * without an error where it is another, or where the object carries none or has gone. */
static char *
find_whole (BsS3Backing *self, const char *object, GCancellable *cancellable, GError **error)
{
  const BsS3Request request = { .method = "HEAD", .key = object };
  g_auto (BsS3Answer) answer = { 0 };
  g_autoptr (GError) local = NULL;

  if (!bs_s3_client_ask (self->client, &request, &answer, cancellable, &local) ||
      !bs_s3_answer_check (&answer, &local) || answer.meta == NULL ||
      !read_object (self, object, cancellable, &local))
    {
      if (local != NULL && !g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND) &&
          !g_error_matches (local, BS_ERROR, BS_ERROR_CORRUPT))
        g_propagate_prefixed_error (error, g_steal_pointer (&local), "%s: ", object);
      return NULL;
    }

  return g_steal_pointer (&answer.meta);
}

typedef struct
{
  gsize prefix_length;
  GArray *names; /* BsS3Name */
} Listing;

static void
note_listed (const char *object, guint64 size, gpointer data)
{
  Listing *self = data;
  BsS3Name name;

  if (strlen (object) > self->prefix_length &&
      bs_s3_name_parse_aside (object + self->prefix_length, &name))
    g_array_append_val (self->names, name);
}

static gboolean
list (BsS3Document *document, GArray *names, GCancellable *cancellable, GError **error)
{
  g_autofree char *prefix = bs_s3_join (document->prefix, BS_S3_QUARANTINE);
  Listing listing = { strlen (prefix), names };

  return bs_s3_list (document->client, prefix, note_listed, &listing, cancellable, error);
}

/* Contents in quarantine that are whole. */
typedef struct
{
  BsS3Backing *backing;
  BsS3Document *document;
  GHashTable *keys; /* BsS3Key: of these */
  GArray *names;    /* BsS3Name */
  GCancellable *cancellable;
} Restoration;

/* Whether the document has no other content of the key. The object of a call to set it aside
 * that was interrupted stands there still, and may be set aside again. */
static gboolean
may_replace (Restoration *self, const BsS3Name *aside, const char *meta, GError **error)
{
  g_autofree char *object = NULL;
  g_autofree char *other = NULL;
  BsS3Name name;

  if (!bs_s3_document_lookup (self->document, &aside->key, &name))
    return TRUE;
  if (name.nonce == aside->nonce)
    return FALSE;

  object = bs_s3_name_print (&name, self->document->prefix);
  other = find_whole (self->backing, object, self->cancellable, error);
  return g_strcmp0 (meta, other) == 0;
}

/* A content that is damaged still stays in quarantine. */
static gboolean
look_at (Restoration *self, const BsS3Name *aside, GError **error)
{
  g_autofree char *object = bs_s3_name_print_aside (aside, self->document->prefix);
  g_autofree char *meta = NULL;
  GError *local = NULL;

  if (g_hash_table_contains (self->keys, &aside->key))
    return TRUE;

  meta = find_whole (self->backing, object, self->cancellable, &local);
  if (meta != NULL && may_replace (self, aside, meta, &local))
    {
      g_hash_table_add (self->keys, (gpointer) &aside->key);
      g_array_append_val (self->names, *aside);
    }
  if (local != NULL)
    g_propagate_error (error, local);
  return local == NULL;
}

gboolean
bs_s3_restore (BsS3Backing *self,
               BsS3Document *document,
               gboolean only_count,
               guint64 *n_restored,
               GCancellable *cancellable,
               GError **error)
{
  g_autoptr (GArray) listed = g_array_new (FALSE, FALSE, sizeof (BsS3Name));
  g_autoptr (GArray) names = g_array_new (FALSE, FALSE, sizeof (BsS3Name));
  g_autoptr (GHashTable) keys = g_hash_table_new (bs_s3_key_hash, bs_s3_key_equal);
  Restoration restoration = { self, document, keys, names, cancellable };

  if (!list (document, listed, cancellable, error))
    return FALSE;

  for (guint i = 0; i < listed->len; i++)
    {
      if (!look_at (&restoration, &g_array_index (listed, BsS3Name, i), error))
        return FALSE;
    }
  if (!only_count && names->len > 0 &&
      !bs_s3_document_put_back (document, (const BsS3Name *) names->data, names->len, cancellable,
                                error))
    return FALSE;

  *n_restored = names->len;
  return TRUE;
}
