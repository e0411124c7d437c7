/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-document-private.h"
#include "bs-s3-objects-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

gboolean
bs_s3_document_get_root (BsS3Document *self,
                         BsS3Root *root,
                         char **etag,
                         GCancellable *cancellable,
                         GError **error)
{
  g_autofree char *key = bs_s3_join (self->prefix, "root");
  const BsS3Request request = { .method = "GET", .key = key };
  g_auto (BsS3Answer) answer = { 0 };
  g_autoptr (GError) local = NULL;

  *etag = NULL;
  if (!bs_s3_client_ask (self->client, &request, &answer, cancellable, error))
    return FALSE;
  if (!bs_s3_answer_check (&answer, &local))
    {
      if (g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND))
        return TRUE;
      g_propagate_prefixed_error (error, g_steal_pointer (&local), "%s: ", key);
      return FALSE;
    }
  if (!bs_s3_root_parse (root, answer.content, error))
    return FALSE;

  *etag = g_steal_pointer (&answer.etag);
  return TRUE;
}

/* The root under way has become the root. */
static void
apply (BsS3Document *self, char *etag)
{
  BsS3Root *root = &self->pending_root;
  g_autoptr (GHashTable) named = g_hash_table_new (bs_s3_key_hash, bs_s3_key_equal);
  GHashTableIter iter;
  BsS3Object *object;

  for (gsize i = 0; i < root->n_names; i++)
    g_hash_table_add (named, &root->names[i]);

  g_mutex_lock (&self->mutex);
  g_hash_table_iter_init (&iter, self->objects);
  while (g_hash_table_iter_next (&iter, (gpointer *) &object, NULL))
    {
      const BsS3Name *name = g_hash_table_lookup (named, &object->name.key);

      if (name != NULL && name->nonce == object->name.nonce)
        object->flags |= BS_S3_NAMED;
      else if (object->flags & BS_S3_NAMED)
        object->flags = 0;
    }
  g_mutex_unlock (&self->mutex);

  bs_s3_root_clear (&self->root);
  self->root = *root;
  g_clear_pointer (&self->root.names, g_free);
  self->root.n_names = 0;
  memset (root, 0, sizeof *root);
  g_clear_pointer (&self->pending, g_bytes_unref);
  g_free (self->etag);
  self->etag = etag;
}

static void
drop_pending (BsS3Document *self)
{
  g_clear_pointer (&self->pending, g_bytes_unref);
  bs_s3_root_clear (&self->pending_root);
}

typedef enum
{
  FOUND_OURS,
  FOUND_BUILT_UPON, /* another program's, which follows ours */
  FOUND_UNCHANGED,  /* the condition held, and was refused for its spelling */
  FOUND_OTHER,
  FOUND_NOTHING, /* no answer */
} Found;

/* Looks at the root after a refusal, which may be that of a second copy of our request. */
static Found
look_at_root (BsS3Document *self, char **etag, GCancellable *cancellable, GError **error)
{
  g_auto (BsS3Root) root = { 0 };
  g_autoptr (GError) local = NULL;
  guint64 nonce = self->pending_root.nonce;

  if (!bs_s3_document_get_root (self, &root, etag, cancellable, &local))
    {
      if (g_error_matches (local, BS_ERROR, BS_ERROR_CORRUPT))
        return FOUND_OTHER;
      g_propagate_error (error, g_steal_pointer (&local));
      return FOUND_NOTHING;
    }

  if (*etag != NULL && root.nonce == nonce)
    return FOUND_OURS;
  if (*etag != NULL && bs_s3_root_stands_on (&root, nonce))
    return FOUND_BUILT_UPON;
  return g_strcmp0 (*etag, self->etag) == 0 ? FOUND_UNCHANGED : FOUND_OTHER;
}

/* Returns TRUE where the request is to be made again. */
static gboolean
end_refused (BsS3Document *self,
             gboolean may_respell,
             gboolean *success,
             GCancellable *cancellable,
             GError **error)
{
  g_autofree char *etag = NULL;

  switch (look_at_root (self, &etag, cancellable, error))
    {
    case FOUND_OURS:
      apply (self, g_steal_pointer (&etag));
      *success = TRUE;
      return FALSE;
    case FOUND_BUILT_UPON:
      apply (self, g_steal_pointer (&etag));
      bs_s3_lease_lose (&self->lease);
      *success = TRUE;
      return FALSE;
    case FOUND_UNCHANGED:
      if (may_respell && etag != NULL)
        {
          bs_s3_client_set_quotes (self->client, !bs_s3_client_get_quotes (self->client));
          return TRUE;
        }
      break;
    case FOUND_NOTHING:
      return FALSE;
    case FOUND_OTHER:
    default:
      break;
    }

  drop_pending (self);
  g_set_error_literal (error, BS_ERROR, BS_ERROR_BUSY,
                       _ ("another program has replaced the root; what was persisted here since is "
                          "void, and the path is to be tracked anew"));
  return FALSE;
}

static gboolean
take_success (BsS3Document *self, BsS3Answer *answer, GCancellable *cancellable, GError **error)
{
  gboolean success = FALSE;

  if (answer->etag == NULL)
    {
      end_refused (self, FALSE, &success, cancellable, error);
      return success;
    }
  apply (self, g_steal_pointer (&answer->etag));
  return TRUE;
}

gboolean
bs_s3_document_settle (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  g_autofree char *key = bs_s3_join (self->prefix, "root");
  gboolean success = FALSE;

  if (self->pending == NULL)
    return TRUE;

  for (gboolean respelled = FALSE;; respelled = TRUE)
    {
      const BsS3Request request = { .method = "PUT",
                                    .key = key,
                                    .body = self->pending,
                                    .if_match = self->etag,
                                    .if_none_match = self->etag == NULL };
      g_auto (BsS3Answer) answer = { 0 };
      gboolean answered = bs_s3_client_ask (self->client, &request, &answer, cancellable, error);

      bs_s3_document_note_unclear (self, answer.unclear);
      /* With If-Match, a server may say instead that there is no root. */
      if (answered && (answer.status == 412 || answer.status == 404))
        {
          if (end_refused (self, !respelled, &success, cancellable, error))
            continue;
          return success;
        }
      if (answered && bs_s3_answer_check (&answer, error))
        return take_success (self, &answer, cancellable, error);
      if (!answer.unclear && !answer.refused)
        drop_pending (self);
      return FALSE;
    }
}

gboolean
bs_s3_document_put_root (BsS3Document *self,
                         BsS3Root *root,
                         GCancellable *cancellable,
                         GError **error)
{
  g_assert (self->pending == NULL);

  /* Another program may have built upon the root that was settled just before. */
  if (bs_s3_document_is_lost (self))
    return bs_s3_document_check (self, cancellable, error);

  self->pending = bs_s3_root_serialize (root);
  self->pending_root = *root;
  memset (root, 0, sizeof *root);
  return bs_s3_document_settle (self, cancellable, error);
}

/* The objects of a root to be, and those that must have another name first. */
typedef struct
{
  BsS3Document *document;
  GArray *names;    /* BsS3Name */
  GArray *to_copy;  /* BsS3Name: old ones */
  GArray *copies;   /* BsS3Name: new ones */
  gboolean aside;   /* the old ones are in quarantine */
  char missing[37]; /* a key that is not there */
} Naming;

static void
naming_init (Naming *self, BsS3Document *document)
{
  *self = (Naming){ document, g_array_new (FALSE, FALSE, sizeof (BsS3Name)),
                    g_array_new (FALSE, FALSE, sizeof (BsS3Name)),
                    g_array_new (FALSE, FALSE, sizeof (BsS3Name)) };
}

static void
naming_clear (Naming *self)
{
  g_clear_pointer (&self->names, g_array_unref);
  g_clear_pointer (&self->to_copy, g_array_unref);
  g_clear_pointer (&self->copies, g_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Naming, naming_clear)

/* Under the mutex. */
static void
copy_object (Naming *self, BsS3Name name)
{
  g_array_append_val (self->to_copy, name);
  name.nonce = bs_s3_make_nonce ();
  g_array_append_val (self->copies, name);
  g_array_append_val (self->names, name);
}

/* Under the mutex. */
static void
name_object (Naming *self, const BsS3Object *object)
{
  if (object->flags & (BS_S3_NAMED | BS_S3_OURS))
    g_array_append_val (self->names, object->name);
  else
    copy_object (self, object->name);
}

static void
name_key (const char *string, gpointer data)
{
  Naming *self = data;
  BsS3Object *object;
  BsS3Key key;

  bs_s3_key_parse (string, &key);
  object = g_hash_table_lookup (self->document->objects, &key);
  if (object != NULL)
    name_object (self, object);
  else
    g_strlcpy (self->missing, string, sizeof self->missing);
}

static gboolean
collect_names (Naming *self, BsKeySet *named, GError **error)
{
  BsS3Document *document = self->document;
  GHashTableIter iter;
  BsS3Object *object;

  g_mutex_lock (&document->mutex);
  if (named != NULL)
    {
      bs_key_set_foreach_key (named, name_key, self);
    }
  else
    {
      g_hash_table_iter_init (&iter, document->objects);
      while (g_hash_table_iter_next (&iter, (gpointer *) &object, NULL))
        name_object (self, object);
    }
  g_mutex_unlock (&document->mutex);

  if (self->missing[0] != '\0')
    g_set_error (error, BS_ERROR, BS_ERROR_NOT_FOUND,
                 _ ("the root is to name %s, which is not there"), self->missing);
  return self->missing[0] == '\0';
}

/* The root goes on naming its objects, and names those in quarantine as well. */
static void
collect_aside (Naming *self, const BsS3Name *aside, guint n)
{
  BsS3Document *document = self->document;
  GHashTableIter iter;
  BsS3Object *object;

  self->aside = TRUE;
  g_mutex_lock (&document->mutex);
  g_hash_table_iter_init (&iter, document->objects);
  while (g_hash_table_iter_next (&iter, (gpointer *) &object, NULL))
    {
      if (object->flags & BS_S3_NAMED)
        g_array_append_val (self->names, object->name);
    }
  for (guint i = 0; i < n; i++)
    {
      object = g_hash_table_lookup (document->objects, &aside[i].key);
      if (object == NULL || !(object->flags & BS_S3_NAMED))
        copy_object (self, aside[i]);
    }
  g_mutex_unlock (&document->mutex);
}

static char *
print_old (gpointer data, guint n)
{
  Naming *self = data;
  const BsS3Name *name = &g_array_index (self->to_copy, BsS3Name, n);

  return self->aside ? bs_s3_name_print_aside (name, self->document->prefix)
                     : bs_s3_name_print (name, self->document->prefix);
}

static char *
print_new (gpointer data, guint n)
{
  Naming *self = data;

  return bs_s3_name_print (&g_array_index (self->copies, BsS3Name, n), self->document->prefix);
}

/* An object that no root has named may be deleted late by the program that has listed it. */
static gboolean
put_copies (Naming *self, GCancellable *cancellable, GError **error)
{
  BsS3Document *document = self->document;
  gboolean unclear = FALSE;
  gboolean success = bs_s3_copy_many (document->client, print_old, print_new, self,
                                      self->to_copy->len, &unclear, cancellable, error);

  bs_s3_document_note_unclear (document, unclear);
  g_mutex_lock (&document->mutex);
  for (guint i = 0; i < self->copies->len; i++)
    {
      BsS3Name *copy = &g_array_index (self->copies, BsS3Name, i);

      if (success)
        bs_s3_document_note (document, copy, BS_S3_OURS);
      else
        g_array_append_val (document->strays, *copy);
    }
  g_mutex_unlock (&document->mutex);

  return success;
}

/* Puts a root that names them. The content is nullable. */
static gboolean
put_names (Naming *self, GBytes *content, GCancellable *cancellable, GError **error)
{
  BsS3Document *document = self->document;
  g_auto (BsS3Root) root = { 0 };
  gsize n_names;

  if (!put_copies (self, cancellable, error))
    return FALSE;

  bs_s3_root_follow (&root, &document->root);
  root.names = g_array_steal (self->names, &n_names);
  root.n_names = n_names;
  root.content = content != NULL ? g_bytes_ref (content) : NULL;
  return bs_s3_document_put_root (document, &root, cancellable, error);
}

static char *
print_stray (gpointer data, guint n)
{
  BsS3Document *self = data;

  return bs_s3_name_print (&g_array_index (self->strays, BsS3Name, n), self->prefix);
}

/* The root that was put names none of them. An error leaves them for the next root. */
static void
delete_strays (BsS3Document *self, GCancellable *cancellable)
{
  g_autoptr (GArray) strays = NULL;
  gboolean unclear = FALSE;
  BsS3Document view = { .prefix = self->prefix };

  g_mutex_lock (&self->mutex);
  strays = g_steal_pointer (&self->strays);
  self->strays = g_array_new (FALSE, FALSE, sizeof (BsS3Name));
  g_mutex_unlock (&self->mutex);

  view.strays = strays;
  if (strays->len == 0 || bs_s3_delete_many (self->client, print_stray, &view, strays->len,
                                             &unclear, cancellable, NULL))
    return;

  bs_s3_document_note_unclear (self, unclear);
  g_mutex_lock (&self->mutex);
  g_array_append_vals (self->strays, strays->data, strays->len);
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_s3_document_write_root (BsS3Document *self,
                           GBytes *content,
                           BsKeySet *named,
                           GCancellable *cancellable,
                           GError **error)
{
  g_auto (Naming) naming = { NULL };
  g_autoptr (GError) local = NULL;
  gboolean success;

  if (!bs_s3_document_check (self, cancellable, error) ||
      !bs_s3_document_begin_writing (self, cancellable, error))
    return FALSE;

  naming_init (&naming, self);
  success = bs_s3_document_settle (self, cancellable, &local) &&
            collect_names (&naming, named, &local) &&
            put_names (&naming, content, cancellable, &local);
  if (g_error_matches (local, BS_ERROR, BS_ERROR_BUSY))
    bs_s3_lease_lose (&self->lease);
  if (success && !bs_s3_document_is_lost (self))
    delete_strays (self, cancellable);
  bs_s3_document_end_writing (self);

  if (!success)
    g_propagate_error (error, g_steal_pointer (&local));
  return success;
}

/* Puts a root that names their keys. No program that has lost the document can. */
static gboolean
name_aside (BsS3Document *self,
            const BsS3Name *aside,
            guint n,
            GCancellable *cancellable,
            GError **error)
{
  g_auto (Naming) naming = { NULL };
  g_autoptr (GError) local = NULL;
  gboolean success;

  if (!bs_s3_document_begin_writing (self, cancellable, error))
    return FALSE;

  naming_init (&naming, self);
  success = bs_s3_document_settle (self, cancellable, &local);
  if (success)
    {
      collect_aside (&naming, aside, n);
      success = put_names (&naming, self->root.content, cancellable, &local);
    }
  if (g_error_matches (local, BS_ERROR, BS_ERROR_BUSY))
    bs_s3_lease_lose (&self->lease);
  bs_s3_document_end_writing (self);

  if (!success)
    g_propagate_error (error, g_steal_pointer (&local));
  return success;
}

typedef struct
{
  const char *prefix;
  const BsS3Name *names;
} Aside;

static char *
print_aside (gpointer data, guint n)
{
  const Aside *self = data;

  return bs_s3_name_print_aside (&self->names[n], self->prefix);
}

gboolean
bs_s3_document_put_back (BsS3Document *self,
                         const BsS3Name *aside,
                         guint n,
                         GCancellable *cancellable,
                         GError **error)
{
  Aside names = { self->prefix, aside };
  gboolean unclear = FALSE;
  gboolean success;

  if (!bs_s3_document_check (self, cancellable, error) ||
      !name_aside (self, aside, n, cancellable, error) ||
      !bs_s3_document_check (self, cancellable, error))
    return FALSE;

  success = bs_s3_delete_many (self->client, print_aside, &names, n, &unclear, cancellable, error);
  bs_s3_document_note_unclear (self, unclear);
  if (!success)
    g_prefix_error_literal (error, _ ("the contents are put back, and stay in quarantine too: "));
  return success;
}

/* An application that is given another program's root would take it for its own. */
GBytes *
bs_s3_document_read_root (BsS3Document *self, GCancellable *cancellable, GError **error)
{
  g_auto (BsS3Root) root = { 0 };
  g_autofree char *etag = NULL;
  gboolean success;

  if (!bs_s3_document_begin_writing (self, cancellable, error))
    return NULL;

  success = (self->refusal != NULL || bs_s3_document_is_lost (self) ||
             bs_s3_document_settle (self, cancellable, error)) &&
            bs_s3_document_get_root (self, &root, &etag, cancellable, error);
  if (success && self->refusal == NULL && root.nonce != self->root.nonce)
    bs_s3_lease_lose (&self->lease);
  bs_s3_document_end_writing (self);
  if (!success)
    return NULL;

  if (root.content == NULL)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, _ ("nothing has been saved there"));
  return g_steal_pointer (&root.content);
}
