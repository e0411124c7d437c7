/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-objects-private.h"

#include "bs-s3-upload-private.h"
#include "bs-s3-xml-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <string.h>

/* The protocol's limit. */
#define DELETED_AT_ONCE 1000
/* The status of a copy that is too large for one request, among other errors. */
#define TOO_LARGE 400

static BsS3Request
make_put (const char *key, const BsS3Content *content, GBytes *bytes)
{
  return (BsS3Request){ .method = "PUT", .key = key, .meta = content->meta, .body = bytes };
}

BsS3Call *
bs_s3_begin_put (BsS3Client *client, const char *key, const BsS3Content *content)
{
  const BsS3Request request = make_put (key, content, content->bytes);

  return bs_s3_client_begin (client, &request);
}

/* Something between here and the server may answer in its place. */
gboolean
bs_s3_put_check (const BsS3Answer *answer, GError **error)
{
  if (!bs_s3_answer_check (answer, error))
    return FALSE;

  if (answer->etag == NULL)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                         _ ("the server does not say that it has stored the object"));
  return answer->etag != NULL;
}

gboolean
bs_s3_put (BsS3Client *client,
           const char *key,
           const BsS3Content *content,
           gboolean *unclear,
           GCancellable *cancellable,
           GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_auto (BsS3Answer) answer = { 0 };
  BsS3Request request;
  gboolean success;

  if (content->size >= BS_S3_LARGE)
    return bs_s3_upload (client, key, content, unclear, cancellable, error);

  bytes = bs_s3_content_read (content, 0, content->size, cancellable, error);
  if (bytes == NULL)
    return FALSE;

  request = make_put (key, content, bytes);
  success = bs_s3_client_ask (client, &request, &answer, cancellable, error) &&
            bs_s3_put_check (&answer, error);
  *unclear |= answer.unclear;
  return success;
}

GBytes *
bs_s3_get (BsS3Client *client, const char *key, GCancellable *cancellable, GError **error)
{
  const BsS3Request request = { .method = "GET", .key = key };
  g_auto (BsS3Answer) answer = { 0 };
  g_auto (BsS3Content) content = { 0 };

  if (!bs_s3_client_ask (client, &request, &answer, cancellable, error) ||
      !bs_s3_answer_check (&answer, error))
    return NULL;

  bs_s3_content_init_bytes (&content, answer.content);
  if (answer.meta != NULL && !g_str_equal (content.meta, answer.meta))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                           _ ("the content is not the one that was put there"));
      return NULL;
    }

  return g_steal_pointer (&answer.content);
}

/* Requests side by side: the next one starts when the first one under way has ended. */
typedef struct
{
  GQueue calls; /* of BsS3Call, owned */
} Window;

static void
window_clear (Window *self)
{
  BsS3Call *call;

  while ((call = g_queue_pop_head (&self->calls)) != NULL)
    bs_s3_call_free (call);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Window, window_clear)

/* The answer to a copy has the ETag inside. */
static gboolean
check_copy (BsS3Answer *answer, GError **error)
{
  gsize size;
  const guint8 *text;
  g_autofree char *etag = NULL;

  if (!bs_s3_answer_check (answer, error))
    return FALSE;

  text = g_bytes_get_data (answer->content, &size);
  etag = bs_s3_xml_lookup (text, size, "ETag");
  if (etag == NULL)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                         _ ("the server does not say that it has made the copy"));
  return etag != NULL;
}

static char *
make_source (BsS3Client *client, const char *from)
{
  const BsS3Settings *settings = bs_s3_client_get_settings (client);
  g_autofree char *encoded = bs_s3_encode (from, TRUE);

  return g_strconcat ("/", settings->bucket, "/", encoded, NULL);
}

typedef struct
{
  BsS3Client *client;
  BsS3NameFunc from;
  BsS3NameFunc to;
  gpointer data;
  gboolean *unclear;
  GCancellable *cancellable;
} Copies;

static BsS3Call *
begin_copy (Copies *self, guint n)
{
  g_autofree char *from = self->from (self->data, n);
  g_autofree char *to = self->to (self->data, n);
  g_autofree char *source = make_source (self->client, from);

  return bs_s3_client_begin (self->client,
                             &(BsS3Request){ .method = "PUT", .key = to, .copy_source = source });
}

/* Some 5 GiB are the most that one request copies. */
static gboolean
copy_in_parts (Copies *self, guint n, GError **error)
{
  g_autofree char *from = self->from (self->data, n);
  g_autofree char *to = self->to (self->data, n);
  g_autofree char *source = make_source (self->client, from);

  return bs_s3_upload_copy (self->client, source, from, to, self->unclear, self->cancellable,
                            error);
}

/* Takes the call over. */
static gboolean
end_copy (Copies *self, BsS3Call *call, guint n, GError **error)
{
  g_auto (BsS3Answer) answer = { 0 };

  if (!bs_s3_call_end (call, &answer, self->cancellable, error))
    {
      *self->unclear |= answer.unclear;
      return FALSE;
    }

  *self->unclear |= answer.unclear;
  return answer.status == TOO_LARGE ? copy_in_parts (self, n, error) : check_copy (&answer, error);
}

gboolean
bs_s3_copy_many (BsS3Client *client,
                 BsS3NameFunc from,
                 BsS3NameFunc to,
                 gpointer data,
                 guint n,
                 gboolean *unclear,
                 GCancellable *cancellable,
                 GError **error)
{
  Copies copies = { client, from, to, data, unclear, cancellable };
  g_auto (Window) window = { G_QUEUE_INIT };
  guint n_begun = 0;

  for (guint i = 0; i < n;)
    {
      if (n_begun < n && n_begun - i < BS_S3_MAX_PARALLEL)
        {
          g_queue_push_tail (&window.calls, begin_copy (&copies, n_begun++));
          continue;
        }
      if (!end_copy (&copies, g_queue_pop_head (&window.calls), i, error))
        {
          g_autofree char *name = from (data, i);

          g_prefix_error (error, "%s: ", name);
          *unclear |= !g_queue_is_empty (&window.calls);
          return FALSE;
        }
      i++;
    }

  return TRUE;
}

/* The keys that the server says it has deleted, and one that it has not. */
typedef struct
{
  GHashTable *deleted;
  char *failed;
} Deleted;

static void
note_deleted (const char *parent, const char *name, const char *text, gpointer data)
{
  Deleted *self = data;

  if (g_str_equal (parent, "Deleted") && g_str_equal (name, "Key"))
    g_hash_table_add (self->deleted, g_strdup (text));
  if (g_str_equal (parent, "Error") && g_str_equal (name, "Code") && self->failed == NULL)
    self->failed = g_strdup (text);
}

static gboolean
check_deleted (BsS3Answer *answer, GPtrArray *names, GError **error)
{
  static const BsS3XmlFuncs funcs = { note_deleted, NULL };
  g_autoptr (GHashTable) table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Deleted deleted = { table, NULL };
  g_autofree char *failed = NULL;
  gsize size;
  const guint8 *text;

  if (!bs_s3_answer_check (answer, error))
    return FALSE;

  text = g_bytes_get_data (answer->content, &size);
  if (!bs_s3_xml_parse (text, size, &funcs, &deleted, error))
    return FALSE;

  failed = deleted.failed;
  for (guint i = 0; i < names->len; i++)
    {
      if (g_hash_table_contains (table, names->pdata[i]))
        continue;
      if (failed != NULL)
        bs_s3_set_code_error (answer->status, failed, error);
      else
        g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                             _ ("the server does not say that it has deleted the object"));
      g_prefix_error (error, "%s: ", (const char *) names->pdata[i]);
      return FALSE;
    }

  return TRUE;
}

static BsS3Call *
begin_deletion (BsS3Client *client, GPtrArray *names)
{
  g_autoptr (GString) text =
    g_string_new ("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
  g_autoptr (GBytes) body = NULL;

  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *name = g_markup_escape_text (names->pdata[i], -1);

      g_string_append_printf (text, "<Object><Key>%s</Key></Object>", name);
    }
  g_string_append (text, "</Delete>");
  body = g_string_free_to_bytes (g_steal_pointer (&text));

  return bs_s3_client_begin (client,
                             &(BsS3Request){ .method = "POST", .query = "delete=", .body = body });
}

static gboolean
delete_one (BsS3Client *client,
            const char *name,
            gboolean *unclear,
            GCancellable *cancellable,
            GError **error)
{
  const BsS3Request request = { .method = "DELETE", .key = name };
  g_auto (BsS3Answer) answer = { 0 };
  gboolean success = bs_s3_client_ask (client, &request, &answer, cancellable, error);

  *unclear |= answer.unclear;
  success = success && (answer.status == 404 || bs_s3_answer_check (&answer, error));
  if (!success)
    g_prefix_error (error, "%s: ", name);
  return success;
}

gboolean
bs_s3_delete_many (BsS3Client *client,
                   BsS3NameFunc name,
                   gpointer data,
                   guint n,
                   gboolean *unclear,
                   GCancellable *cancellable,
                   GError **error)
{
  if (n == 1)
    {
      g_autofree char *only = name (data, 0);

      return delete_one (client, only, unclear, cancellable, error);
    }

  for (guint first = 0; first < n; first += DELETED_AT_ONCE)
    {
      g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
      g_auto (BsS3Answer) answer = { 0 };
      gboolean success;

      for (guint i = first; i < MIN (n, first + DELETED_AT_ONCE); i++)
        g_ptr_array_add (names, name (data, i));
      success = bs_s3_call_end (begin_deletion (client, names), &answer, cancellable, error) &&
                check_deleted (&answer, names, error);
      *unclear |= answer.unclear;
      if (!success)
        return FALSE;
    }

  return TRUE;
}
