/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-document-private.h"
#include "bs-s3-objects-private.h"
#include "bs-s3-upload-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MARKER ".backingstore"
#define MARKER_TEXT "backingstore s3 1\n"
/* Another program may put roots while its lease is being taken from it. */
#define MAX_TRIES 5

/* The names at the top of a prefix. */
typedef struct
{
  gsize prefix_length;
  gboolean has_root;
  char *foreign; /* a name that is not ours; nullable */
} Top;

static gboolean
is_folder (const char *name)
{
  return g_ascii_isxdigit (name[0]) && g_ascii_isxdigit (name[1]) && g_str_equal (name + 2, "/");
}

static void
look_at_top (const char *key, guint64 size, gpointer data)
{
  Top *top = data;
  const char *name = key + top->prefix_length;

  if (top->foreign == NULL && !is_folder (name) && !g_str_equal (name, BS_S3_QUARANTINE) &&
      !g_str_equal (name, ".lock") && !g_str_equal (name, "root"))
    top->foreign = g_strdup (name);
}

/* A prefix without a marker may only have what a document has. */
static gboolean
check_foreign (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  g_autofree char *prefix = bs_s3_join (self->prefix, "");
  Top top = { strlen (prefix) };
  g_autofree char *foreign = NULL;

  if (!bs_s3_list_level (self->client, prefix, look_at_top, &top, cancellable, error))
    return FALSE;

  foreign = top.foreign;
  if (foreign != NULL)
    g_set_error (error, BS_ERROR, BS_ERROR_FOREIGN,
                 _ ("something else than a document is there, such as “%s”"), foreign);
  return foreign == NULL;
}

static gboolean
check_marker (BsS3Document *self, gboolean *exists, GCancellable *cancellable, GError **error)
{
  g_autofree char *key = bs_s3_join (self->prefix, MARKER);
  const BsS3Request request = { .method = "GET", .key = key };
  g_auto (BsS3Answer) answer = { 0 };
  g_autoptr (GError) local = NULL;
  gsize size;
  const char *text;

  if (!bs_s3_client_ask (self->client, &request, &answer, cancellable, error))
    return FALSE;
  *exists = bs_s3_answer_check (&answer, &local);
  if (g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND))
    return check_foreign (self, cancellable, error);
  if (!*exists)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&local), "%s: ", key);
      return FALSE;
    }

  text = g_bytes_get_data (answer.content, &size);
  if (size == strlen (MARKER_TEXT) && memcmp (text, MARKER_TEXT, size) == 0)
    return TRUE;
  g_set_error_literal (error, BS_ERROR, BS_ERROR_FOREIGN,
                       _ ("the marker is that of another format or of a later version"));
  return FALSE;
}

static gboolean
put_marker (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  g_autofree char *key = bs_s3_join (self->prefix, MARKER);
  g_autoptr (GBytes) body = g_bytes_new_static (MARKER_TEXT, strlen (MARKER_TEXT));
  const BsS3Request request = { .method = "PUT", .key = key, .body = body };
  g_auto (BsS3Answer) answer = { 0 };

  return bs_s3_client_ask (self->client, &request, &answer, cancellable, error) &&
         bs_s3_answer_check (&answer, error);
}

static gboolean
set_no_conditions (BsS3Document *self)
{
  g_set_error_literal (&self->refusal, G_IO_ERROR, G_IO_ERROR_READ_ONLY,
                       _ ("the server ignores conditions of a request, without which two programs "
                          "could destroy each other's document"));
  return TRUE;
}

/* A document that cannot be written is opened all the same. */
static gboolean
take_lease (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  gboolean respected;

  if (!bs_s3_lease_take (&self->lease, cancellable, &local))
    {
      /* A server that knows no conditions says so. */
      if (g_error_matches (local, BS_ERROR, BS_ERROR_NOT_SUPPORTED))
        return set_no_conditions (self);
      if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
        {
          self->refusal = g_steal_pointer (&local);
          return TRUE;
        }
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  if (!bs_s3_lease_probe (&self->lease, &respected, cancellable, error))
    return FALSE;
  return respected || set_no_conditions (self);
}

typedef struct
{
  BsS3Document *document;
  GHashTable *named; /* BsS3Name by its key; borrowed from the root */
  gsize prefix_length;
} Listing;

static void
note_listed (const char *key, guint64 size, gpointer data)
{
  Listing *listing = data;
  BsS3Name name, *named;

  if (strlen (key) <= listing->prefix_length ||
      !bs_s3_name_parse (key + listing->prefix_length, &name))
    return;

  named = g_hash_table_lookup (listing->named, &name.key);
  bs_s3_document_note (listing->document, &name,
                       named != NULL && named->nonce == name.nonce ? BS_S3_NAMED : 0);
}

static gboolean
list (BsS3Document *self, const BsS3Root *root, GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) named = g_hash_table_new (bs_s3_key_hash, bs_s3_key_equal);
  g_autofree char *prefix = bs_s3_join (self->prefix, "");
  Listing listing = { self, named, strlen (prefix) };

  for (gsize i = 0; i < root->n_names; i++)
    g_hash_table_add (named, &root->names[i]);
  g_hash_table_remove_all (self->objects);
  g_array_set_size (self->strays, 0);

  return bs_s3_list (self->client, prefix, note_listed, &listing, cancellable, error);
}

/* Lists, and then puts the root anew, so that no root of an older opening can be put. */
static gboolean
read_and_put_root (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  g_auto (BsS3Root) root = { 0 };
  g_auto (BsS3Root) next = { 0 };

  g_clear_pointer (&self->etag, g_free);
  if (!bs_s3_document_get_root (self, &root, &self->etag, cancellable, error) ||
      !list (self, &root, cancellable, error))
    return FALSE;

  bs_s3_root_clear (&self->root);
  if (self->refusal != NULL)
    {
      self->root = root;
      memset (&root, 0, sizeof root);
      return TRUE;
    }

  bs_s3_root_follow (&next, &root);
  next.names = g_steal_pointer (&root.names);
  next.n_names = root.n_names;
  next.content = g_steal_pointer (&root.content);
  return bs_s3_document_put_root (self, &next, cancellable, error);
}

static gboolean
is_object (const char *name)
{
  BsS3Name parsed;

  return bs_s3_name_parse (name, &parsed);
}

/* A program whose upload is older than a lease has been killed, or has lost the document. */
static void
abort_uploads (BsS3Document *self, GCancellable *cancellable)
{
  const BsS3Settings *settings = bs_s3_client_get_settings (self->client);
  g_autofree char *prefix = bs_s3_join (self->prefix, "");

  bs_s3_upload_abort_old (self->client, prefix, is_object, settings->lease, cancellable);
}

static gboolean
open_all (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  gboolean marked;

  if (!check_marker (self, &marked, cancellable, error) ||
      !(self->refusal != NULL || take_lease (self, cancellable, error)) ||
      !(marked || self->refusal != NULL || put_marker (self, cancellable, error)))
    return FALSE;
  if (self->refusal == NULL)
    abort_uploads (self, cancellable);

  for (guint i = 0;; i++)
    {
      g_autoptr (GError) local = NULL;

      if (read_and_put_root (self, cancellable, &local))
        return bs_s3_document_is_lost (self) ? bs_s3_document_check (self, cancellable, error)
                                             : TRUE;
      if (g_error_matches (local, BS_ERROR, BS_ERROR_BUSY) && i + 1 < MAX_TRIES)
        continue;
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
}

BsS3Document *
bs_s3_document_open (BsS3Client *client,
                     const char *prefix,
                     const char *owner,
                     gboolean read_only,
                     GCancellable *cancellable,
                     GError **error)
{
  g_autoptr (BsS3Document) self = g_new0 (BsS3Document, 1);
  g_autofree char *lock = bs_s3_join (prefix, ".lock");

  g_atomic_ref_count_init (&self->n_references);
  g_rw_lock_init (&self->use);
  g_mutex_init (&self->mutex);
  self->client = client;
  self->prefix = g_ref_string_new_intern (prefix);
  self->objects = g_hash_table_new_full (bs_s3_key_hash, bs_s3_key_equal, g_free, NULL);
  self->strays = g_array_new (FALSE, FALSE, sizeof (BsS3Name));
  bs_s3_lease_init (&self->lease, client, lock, owner);
  if (read_only)
    g_set_error_literal (&self->refusal, G_IO_ERROR, G_IO_ERROR_READ_ONLY,
                         _ ("the document was opened for reading alone"));

  if (open_all (self, cancellable, error))
    return g_steal_pointer (&self);

  bs_s3_document_close (self, cancellable);
  return NULL;
}
