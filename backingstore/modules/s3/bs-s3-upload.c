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

typedef struct
{
  BsS3Client *client;
  const char *key;
  GBytes *bytes;
  const char *meta;
  GCancellable *cancellable;
  gboolean *unclear;

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
    .method = "POST", .key = self->key, .query = "uploads=", .meta = self->meta
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

static BsS3Call *
begin_part (Upload *self, guint n)
{
  gsize offset = n * self->part_size;
  gsize size = MIN (self->part_size, g_bytes_get_size (self->bytes) - offset);
  g_autoptr (GBytes) part = g_bytes_new_from_bytes (self->bytes, offset, size);
  g_autofree char *query = g_strdup_printf ("partNumber=%u&uploadId=%s", n + 1, self->id);

  return bs_s3_client_begin (self->client,
                             &(BsS3Request){
                               .method = "PUT", .key = self->key, .query = query, .body = part });
}

/* Takes the call over. */
static gboolean
end_part (Upload *self, BsS3Call *call, GError **error)
{
  g_auto (BsS3Answer) answer = { 0 };

  if (!bs_s3_call_end (call, &answer, self->cancellable, error) ||
      !bs_s3_answer_check (&answer, error))
    return FALSE;

  if (answer.etag == NULL)
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_FAILED,
                           _ ("the server gives no ETag of a part"));
      return FALSE;
    }
  g_ptr_array_add (self->etags, g_steal_pointer (&answer.etag));
  return TRUE;
}

static gboolean
put_parts (Upload *self, GError **error)
{
  GQueue calls = G_QUEUE_INIT;
  gboolean success = TRUE;

  for (guint i = 0; success && (i < self->n_parts || !g_queue_is_empty (&calls));)
    {
      if (i < self->n_parts && g_queue_get_length (&calls) < MAX_PARALLEL)
        g_queue_push_tail (&calls, begin_part (self, i++));
      else
        success = end_part (self, g_queue_pop_head (&calls), error);
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
         bs_s3_answer_check (&answer, NULL) && g_strcmp0 (answer.meta, self->meta) == 0;
}

/* The answer may be a success with an error inside; and an upload that was completed by a
 * request whose answer was lost is not there any more. libcurl itself may send a request
 * twice, where a connection that it used before turns out to be closed. */
static gboolean
complete (Upload *self, GError **error)
{
  g_autoptr (GBytes) list = make_list (self);
  g_autofree char *query = g_strconcat ("uploadId=", self->id, NULL);
  const BsS3Request request = { .method = "POST", .key = self->key, .query = query, .body = list };
  g_auto (BsS3Answer) answer = { 0 };
  g_autoptr (GError) local = NULL;
  g_autofree char *code = NULL;

  if (ask (self, &request, &answer, &local))
    {
      code = lookup (&answer, "Code");
      if (code == NULL)
        return TRUE;
      g_set_error_literal (&local, G_IO_ERROR, G_IO_ERROR_FAILED,
                           _ ("the server has not put the parts together"));
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

gboolean
bs_s3_upload (BsS3Client *client,
              const char *key,
              GBytes *bytes,
              const char *meta,
              gboolean *unclear,
              GCancellable *cancellable,
              GError **error)
{
  gsize size = g_bytes_get_size (bytes);
  g_autoptr (GPtrArray) etags = g_ptr_array_new_with_free_func (g_free);
  Upload self = { client, key, bytes, meta, cancellable, unclear };
  gboolean success;

  self.part_size = MAX (PART_SIZE, (size + MAX_PARTS - 1) / MAX_PARTS);
  self.n_parts = (size + self.part_size - 1) / self.part_size;
  self.etags = etags;
  if (!begin (&self, error))
    return FALSE;

  success = put_parts (&self, error) && complete (&self, error);
  if (!success)
    abort_upload (&self);
  g_free (self.id);

  return success;
}
