/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-upload-private.h"

#include "bs-s3-xml-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>

#define PART_SIZE (8 * 1024 * 1024)
/* The protocol's limit. */
#define MAX_PARTS 10000
#define MAX_PARALLEL 4
/* Parts of a stream are held in memory until they are answered. */
#define MAX_HELD 2
#define COPIED_PART_SIZE (512 * 1024 * 1024)
/* The status of a part without a length. */
#define LENGTH_REQUIRED 411

typedef struct
{
  BsS3Client *client;
  const char *key;
  const BsS3Content *content;
  GCancellable *cancellable;
  gboolean *unclear;
  const char *copy_source; /* of the parts; NULL: they have contents */
  const char *from;        /* the object that has those; NULL: the content */

  char *id; /* encoded */
  gsize part_size;
  guint n_parts;
  GPtrArray *etags;
} Upload;

static gboolean
ask (Upload *self, const BsS3Request *request, BsS3Answer *answer, GError **error)
{
  gboolean success = bs_s3_client_ask (self->client, request, answer, self->cancellable, error) &&
                     bs_s3_answer_check (answer, error);

  *self->unclear |= answer->unclear;
  return success;
}

static char *
lookup (BsS3Answer *answer, const char *name)
{
  gsize size;
  const guint8 *text = g_bytes_get_data (answer->content, &size);

  return bs_s3_xml_lookup (text, size, name);
}

static gboolean
begin (Upload *self, GError **error)
{
  const BsS3Request request = {
    .method = "POST", .key = self->key, .query = "uploads=", .meta = self->content->meta
  };
  g_auto (BsS3Answer) answer = { 0 };
  g_autofree char *id = NULL;

  if (!ask (self, &request, &answer, error))
    return FALSE;

  id = lookup (&answer, "UploadId");
  if (id == NULL)
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_FAILED, _ ("the server begins no upload"));
      return FALSE;
    }
  self->id = bs_s3_encode (id, FALSE);
  return TRUE;
}

static char *
make_range (guint64 offset, gsize size)
{
  return g_strdup_printf ("bytes=%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, offset,
                          offset + size - 1);
}

static BsS3Call *
begin_copy (Upload *self, const char *query, guint64 offset, gsize size)
{
  g_autofree char *range = make_range (offset, size);

  return bs_s3_client_begin (self->client, &(BsS3Request){ .method = "PUT",
                                                           .key = self->key,
                                                           .query = query,
                                                           .copy_source = self->copy_source,
                                                           .copy_range = range });
}

static GBytes *
get_part (Upload *self, guint64 offset, gsize size, GError **error)
{
  g_autofree char *range = make_range (offset, size);
  const BsS3Request request = { .method = "GET", .key = self->from, .range = range };
  g_auto (BsS3Answer) answer = { 0 };

  if (!ask (self, &request, &answer, error))
    return NULL;

  if (g_bytes_get_size (answer.content) != size || (answer.status == 206 && answer.first != offset))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                           _ ("the server gives no part of an object"));
      return NULL;
    }
  return g_steal_pointer (&answer.content);
}

static BsS3Call *
begin_part (Upload *self, guint n, GError **error)
{
  guint64 offset = (guint64) n * self->part_size;
  gsize size = MIN (self->part_size, self->content->size - offset);
  g_autofree char *query = g_strdup_printf ("partNumber=%u&uploadId=%s", n + 1, self->id);
  g_autoptr (GBytes) part = NULL;

  if (self->copy_source != NULL)
    return begin_copy (self, query, offset, size);
  if (g_cancellable_set_error_if_cancelled (self->cancellable, error))
    return NULL;

  part = self->from != NULL
           ? get_part (self, offset, size, error)
           : bs_s3_content_read (self->content, offset, size, self->cancellable, error);
  if (part == NULL)
    return NULL;

  return bs_s3_client_begin (self->client,
                             &(BsS3Request){
                               .method = "PUT", .key = self->key, .query = query, .body = part });
}

/* A server that copies no parts wants a body, or takes the part for an empty one. */
static gboolean
set_no_copy (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                       _ ("the server copies no part of an object"));
  return FALSE;
}

/* Takes the call over. The answer to a copy has the ETag inside. */
static gboolean
end_part (Upload *self, BsS3Call *call, GError **error)
{
  g_auto (BsS3Answer) answer = { 0 };
  char *etag;

  if (!bs_s3_call_end (call, &answer, self->cancellable, error))
    return FALSE;
  if (self->copy_source != NULL && answer.status == LENGTH_REQUIRED)
    return set_no_copy (error);
  if (!bs_s3_answer_check (&answer, error))
    return FALSE;

  etag = self->copy_source != NULL ? lookup (&answer, "ETag") : g_steal_pointer (&answer.etag);
  if (etag == NULL && self->copy_source != NULL)
    return set_no_copy (error);
  if (etag == NULL)
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_FAILED,
                           _ ("the server gives no ETag of a part"));
      return FALSE;
    }
  g_ptr_array_add (self->etags, etag);
  return TRUE;
}

static gboolean
put_parts (Upload *self, GError **error)
{
  const guint n_most = self->content->bytes != NULL ? MAX_PARALLEL : MAX_HELD;
  GQueue calls = G_QUEUE_INIT;
  gboolean success = TRUE;

  for (guint i = 0; success && (i < self->n_parts || !g_queue_is_empty (&calls));)
    {
      if (i < self->n_parts && g_queue_get_length (&calls) < n_most)
        {
          BsS3Call *call = begin_part (self, i++, error);

          success = call != NULL;
          if (success)
            g_queue_push_tail (&calls, call);
        }
      else
        {
          success = end_part (self, g_queue_pop_head (&calls), error);
        }
    }
  g_queue_clear_full (&calls, (GDestroyNotify) bs_s3_call_free);

  return success;
}

static GBytes *
make_list (Upload *self)
{
  GString *text =
    g_string_new ("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");

  for (guint i = 0; i < self->n_parts; i++)
    {
      g_autofree char *etag = g_markup_escape_text (self->etags->pdata[i], -1);

      g_string_append_printf (text, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>",
                              i + 1, etag);
    }
  g_string_append (text, "</CompleteMultipartUpload>");
  return g_string_free_to_bytes (text);
}

static gboolean
is_there (Upload *self)
{
  const BsS3Request request = { .method = "HEAD", .key = self->key };
  g_auto (BsS3Answer) answer = { 0 };

  return bs_s3_client_ask (self->client, &request, &answer, self->cancellable, NULL) &&
         bs_s3_answer_check (&answer, NULL) && g_strcmp0 (answer.meta, self->content->meta) == 0;
}

/* An upload that was completed by a request whose answer was lost is not there any more. libcurl
 * itself may send a request twice, where a connection that it used before turns out to be
 * closed. */
static gboolean
complete (Upload *self, GError **error)
{
  g_autoptr (GBytes) list = make_list (self);
  g_autofree char *query = g_strconcat ("uploadId=", self->id, NULL);
  const BsS3Request request = { .method = "POST", .key = self->key, .query = query, .body = list };
  g_auto (BsS3Answer) answer = { 0 };
  g_autoptr (GError) local = NULL;
  g_autofree char *etag = NULL;

  if (ask (self, &request, &answer, &local))
    {
      etag = lookup (&answer, "ETag");
      if (etag != NULL)
        return TRUE;
      g_set_error_literal (&local, G_IO_ERROR, G_IO_ERROR_FAILED,
                           _ ("the server does not say that it has put the parts together"));
    }
  if (is_there (self))
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

/* Parts that nobody puts together are paid for until somebody removes them. A caller that
 * has left does not wait for it. */
static void
abort_upload (Upload *self)
{
  g_autofree char *query = g_strconcat ("uploadId=", self->id, NULL);
  const BsS3Request request = { .method = "DELETE", .key = self->key, .query = query };
  BsS3Call *call = bs_s3_client_begin (self->client, &request);
  g_auto (BsS3Answer) answer = { 0 };

  if (g_cancellable_is_cancelled (self->cancellable))
    bs_s3_call_detach (call);
  else
    bs_s3_call_end (call, &answer, self->cancellable, NULL);
}

static gboolean
upload (Upload *self, gsize part_size, GError **error)
{
  guint64 size = self->content->size;
  g_autoptr (GPtrArray) etags = g_ptr_array_new_with_free_func (g_free);
  gboolean success;

  self->part_size = MAX (part_size, (size + MAX_PARTS - 1) / MAX_PARTS);
  self->n_parts = (size + self->part_size - 1) / self->part_size;
  self->etags = etags;
  if (!begin (self, error))
    return FALSE;

  success = put_parts (self, error) && complete (self, error);
  if (!success)
    abort_upload (self);
  g_free (self->id);

  return success;
}

gboolean
bs_s3_upload (BsS3Client *client,
              const char *key,
              const BsS3Content *content,
              gboolean *unclear,
              GCancellable *cancellable,
              GError **error)
{
  Upload self = { client, key, content, cancellable, unclear };

  return upload (&self, PART_SIZE, error);
}

gboolean
bs_s3_upload_copy (BsS3Client *client,
                   const char *source,
                   const char *from,
                   const char *to,
                   gboolean *unclear,
                   GCancellable *cancellable,
                   GError **error)
{
  const BsS3Request request = { .method = "HEAD", .key = from };
  g_auto (BsS3Answer) answer = { 0 };
  BsS3Content content = { 0 };
  Upload self = { client, to, &content, cancellable, unclear, source };
  g_autoptr (GError) local = NULL;

  if (!bs_s3_client_ask (client, &request, &answer, cancellable, error) ||
      !bs_s3_answer_check (&answer, error))
    return FALSE;

  if (answer.length <= 0)
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_FAILED,
                           _ ("the server copies no object, and tells no size of it"));
      return FALSE;
    }

  content.size = answer.length;
  content.meta = answer.meta;
  if (upload (&self, COPIED_PART_SIZE, &local))
    return TRUE;
  if (!g_error_matches (local, BS_ERROR, BS_ERROR_NOT_SUPPORTED))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  self.copy_source = NULL;
  self.from = from;
  return upload (&self, PART_SIZE, error);
}

/* Uploads that are under way somewhere, or were left. */
typedef struct
{
  const char *prefix;
  BsS3IsOursFunc is_ours;
  gint64 latest; /* the seconds up to which an upload began that is aborted */
  GPtrArray *queries;
  GPtrArray *keys;

  /* where the next page begins */
  gboolean truncated;
  char *next_key; /* nullable */
  char *next_id;  /* nullable */

  /* of the upload under way */
  char *key;
  char *id;
  gint64 begun;
} Leftovers;

static void
leftovers_clear (Leftovers *self)
{
  g_ptr_array_unref (self->queries);
  g_ptr_array_unref (self->keys);
  g_free (self->next_key);
  g_free (self->next_id);
  g_free (self->key);
  g_free (self->id);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Leftovers, leftovers_clear)

static void
set_text (char **text, const char *value)
{
  g_free (*text);
  *text = g_strdup (value);
}

static void
note_value (const char *parent, const char *name, const char *text, gpointer data)
{
  Leftovers *self = data;

  if (g_str_equal (name, "IsTruncated"))
    self->truncated = g_str_equal (text, "true");
  else if (g_str_equal (name, "NextKeyMarker"))
    set_text (&self->next_key, text);
  else if (g_str_equal (name, "NextUploadIdMarker"))
    set_text (&self->next_id, text);
  else if (!g_str_equal (parent, "Upload"))
    return;
  else if (g_str_equal (name, "Key"))
    set_text (&self->key, text);
  else if (g_str_equal (name, "UploadId"))
    set_text (&self->id, text);
  else if (g_str_equal (name, "Initiated"))
    {
      g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (text, NULL);

      self->begun = time != NULL ? g_date_time_to_unix (time) : G_MAXINT64;
    }
}

static void
note_upload (const char *name, gpointer data)
{
  Leftovers *self = data;
  g_autofree char *key = NULL;
  g_autofree char *id = NULL;
  g_autofree char *encoded = NULL;

  if (!g_str_equal (name, "Upload"))
    return;

  key = g_steal_pointer (&self->key);
  id = g_steal_pointer (&self->id);
  if (key == NULL || id == NULL || self->begun > self->latest ||
      !g_str_has_prefix (key, self->prefix) || !self->is_ours (key + strlen (self->prefix)))
    return;

  encoded = bs_s3_encode (id, FALSE);
  g_ptr_array_add (self->queries, g_strconcat ("uploadId=", encoded, NULL));
  g_ptr_array_add (self->keys, g_steal_pointer (&key));
}

/* The parameters are in order. */
static char *
make_query (const Leftovers *self)
{
  g_autofree char *prefix = bs_s3_encode (self->prefix, FALSE);
  g_autofree char *key = NULL;
  g_autofree char *id = NULL;

  if (self->next_key == NULL || self->next_id == NULL)
    return g_strconcat ("prefix=", prefix, "&uploads=", NULL);

  key = bs_s3_encode (self->next_key, FALSE);
  id = bs_s3_encode (self->next_id, FALSE);
  return g_strconcat ("key-marker=", key, "&prefix=", prefix, "&upload-id-marker=", id,
                      "&uploads=", NULL);
}

static gboolean
list_page (Leftovers *self,
           BsS3Client *client,
           const char *query,
           gint64 seconds,
           GCancellable *cancellable)
{
  static const BsS3XmlFuncs funcs = { note_value, note_upload };
  const BsS3Request request = { .method = "GET", .query = query, .brief = TRUE };
  g_auto (BsS3Answer) answer = { 0 };
  const guint8 *text;
  gsize size;

  if (!bs_s3_client_ask (client, &request, &answer, cancellable, NULL) ||
      !bs_s3_answer_check (&answer, NULL) || bs_s3_time_parse (&answer.date) == 0)
    return FALSE;

  self->latest = bs_s3_time_parse (&answer.date) - seconds;
  self->truncated = FALSE;
  text = g_bytes_get_data (answer.content, &size);
  return bs_s3_xml_parse (text, size, &funcs, self, NULL);
}

static void
list_uploads (Leftovers *self, BsS3Client *client, gint64 seconds, GCancellable *cancellable)
{
  g_autofree char *query = make_query (self);

  while (list_page (self, client, query, seconds, cancellable) && self->truncated)
    {
      g_autofree char *last = g_steal_pointer (&query);

      query = make_query (self);
      /* A server that gives no place to go on at would be asked for ever. */
      if (g_str_equal (query, last))
        break;
    }
}

/* Both times are the server's. */
void
bs_s3_upload_abort_old (BsS3Client *client,
                        const char *prefix,
                        BsS3IsOursFunc is_ours,
                        gint64 seconds,
                        GCancellable *cancellable)
{
  g_auto (Leftovers) self = { .prefix = prefix,
                              .is_ours = is_ours,
                              .queries = g_ptr_array_new_with_free_func (g_free),
                              .keys = g_ptr_array_new_with_free_func (g_free) };

  list_uploads (&self, client, seconds, cancellable);
  for (guint i = 0; i < self.keys->len; i++)
    {
      const BsS3Request request = { .method = "DELETE",
                                    .key = self.keys->pdata[i],
                                    .query = self.queries->pdata[i] };
      g_auto (BsS3Answer) answer = { 0 };

      if (!bs_s3_client_ask (client, &request, &answer, cancellable, NULL))
        break;
    }
}
