/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-client-private.h"

#include "bs-s3-signature-private.h"
#include "bs-s3-xml-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

/* The MD5 of a body is signed instead: a body that was changed on its way has another one,
 * and large contents are not hashed once more. */
#define UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define MAX_ATTEMPTS 8
#define MAX_BRIEF_ATTEMPTS 4
#define MAX_MENDED 2
#define FIRST_PAUSE (50 * 1000)
#define MAX_PAUSE (5 * G_USEC_PER_SEC)
#define MAX_HEADERS 12

struct _BsS3Client
{
  BsS3Settings *settings; /* borrowed */
  BsS3Transport *transport;

  GMutex mutex;

  /* under the mutex */
  BsS3Credentials *credentials;
  gint64 clock_offset; /* seconds that the server is ahead */

  int unquoted; /* atomic */
};

struct _BsS3Call
{
  BsS3Client *client;
  gboolean begun;         /* so that others may run beside it */
  BsS3Request request;    /* the fields are owned if it was begun, and else the caller's */
  BsS3Exchange *exchange; /* the current attempt; NULL after a failure to make one */
  GError *error;          /* that failure */
  gint64 sent;
  guint n_attempts;
  guint n_mended; /* attempts that were followed by mend() */
  gboolean unclear;
  gboolean refused;
};

BsS3Client *
bs_s3_client_new (BsS3Settings *settings)
{
  BsS3Client *self = g_new0 (BsS3Client, 1);

  self->settings = settings;
  self->transport = bs_s3_transport_new (settings->base, settings->timeout);
  g_mutex_init (&self->mutex);

  return self;
}

static void
free_memory (BsS3Client *self)
{
  g_clear_pointer (&self->credentials, bs_s3_credentials_unref);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

void
bs_s3_client_free (BsS3Client *self)
{
  bs_s3_transport_free (self->transport);
  free_memory (self);
}

void
bs_s3_client_abandon (BsS3Client *self)
{
  bs_s3_transport_abandon (self->transport);
  free_memory (self);
}

gboolean
bs_s3_client_pause (BsS3Client *self, gint64 microseconds, GCancellable *cancellable)
{
  return bs_s3_transport_pause (self->transport, microseconds, cancellable);
}

const BsS3Settings *
bs_s3_client_get_settings (BsS3Client *self)
{
  return self->settings;
}

gboolean
bs_s3_client_get_quotes (BsS3Client *self)
{
  return !g_atomic_int_get (&self->unquoted);
}

void
bs_s3_client_set_quotes (BsS3Client *self, gboolean quotes)
{
  g_atomic_int_set (&self->unquoted, !quotes);
}

void
bs_s3_answer_clear (BsS3Answer *self)
{
  g_clear_pointer (&self->content, g_bytes_unref);
  g_clear_pointer (&self->etag, g_free);
  g_clear_pointer (&self->meta, g_free);
  memset (self, 0, sizeof *self);
}

gboolean
bs_s3_set_code_error (guint status, const char *code, GError **error)
{
  const struct
  {
    const char *code;
    guint status;
    GQuark domain;
    int error;
    const char *message;
  } meanings[] = {
    { "NoSuchBucket", 0, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, N_ ("the server has no such bucket") },
    { "QuotaExceeded", 507, G_IO_ERROR, G_IO_ERROR_NO_SPACE, N_ ("the server has no more room") },
    { "BadDigest", 0, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
      N_ ("the server has received other bytes than were sent") },
    { "NoSuchKey", 404, BS_ERROR, BS_ERROR_NOT_FOUND, N_ ("there is no such object") },
    { "PreconditionFailed", 412, BS_ERROR, BS_ERROR_BUSY,
      N_ ("another program has changed the object") },
    { "ExpiredToken", 0, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
      N_ ("the credentials are those of a session that has ended") },
    { "InvalidToken", 0, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
      N_ ("the server refuses the credentials") },
    { "AuthorizationHeaderMalformed", 0, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
      N_ ("the bucket is in another region: check endpoint and region") },
    { "AccessDenied", 403, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
      N_ ("the server refuses the credentials, or what they ask for") },
    { "Unauthorized", 401, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
      N_ ("the server refuses the credentials") },
    { "ProxyAuthenticationRequired", 407, G_IO_ERROR, G_IO_ERROR_PROXY_NEED_AUTH,
      N_ ("the proxy asks for a name and a password, or refuses them") },
    { "NotImplemented", 501, BS_ERROR, BS_ERROR_NOT_SUPPORTED, N_ ("the server cannot do this") },
  };

  for (guint i = 0; i < G_N_ELEMENTS (meanings); i++)
    {
      if ((meanings[i].status != 0 && status == meanings[i].status) ||
          g_strcmp0 (code, meanings[i].code) == 0)
        {
          g_set_error (error, meanings[i].domain, meanings[i].error, "%s (%u %s)",
                       _ (meanings[i].message), status, code != NULL ? code : "without a reason");
          return FALSE;
        }
    }

  if (status >= 300 && status < 400)
    g_set_error (
      error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
      _ ("the server sends the request elsewhere (%u), which is refused: check endpoint and "
         "region"),
      status);
  else
    g_set_error (error, G_IO_ERROR, status >= 500 ? G_IO_ERROR_BUSY : G_IO_ERROR_FAILED,
                 _ ("the server answers %u %s"), status, code != NULL ? code : "without a reason");
  return FALSE;
}

static char *
find_code (GBytes *content)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (content, &size);
  g_autofree char *code = size > 0 ? bs_s3_xml_lookup (data, size, "Code") : NULL;

  /* The word goes into messages. */
  for (const char *c = code; c != NULL && *c != '\0'; c++)
    {
      if (!g_ascii_isalnum (*c) || c - code > 64)
        return NULL;
    }
  return g_steal_pointer (&code);
}

gboolean
bs_s3_answer_set_error (const BsS3Answer *self, GError **error)
{
  g_autofree char *code = find_code (self->content);

  return bs_s3_set_code_error (self->status, code, error);
}

gboolean
bs_s3_answer_check (const BsS3Answer *self, GError **error)
{
  return (self->status >= 200 && self->status < 300) || bs_s3_answer_set_error (self, error);
}

static char *
make_md5 (GBytes *body)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_MD5);
  guint8 digest[16];
  gsize size = sizeof digest;

  g_checksum_update (checksum, g_bytes_get_data (body, NULL), g_bytes_get_size (body));
  g_checksum_get_digest (checksum, digest, &size);
  return g_base64_encode (digest, size);
}

static char *
make_condition (BsS3Client *self, const char *etag)
{
  gsize length = strlen (etag);
  gboolean quoted = length >= 2 && etag[0] == '"' && etag[length - 1] == '"';

  if (bs_s3_client_get_quotes (self))
    return quoted ? g_strdup (etag) : g_strconcat ("\"", etag, "\"", NULL);
  return quoted ? g_strndup (etag + 1, length - 2) : g_strdup (etag);
}

typedef struct
{
  BsS3Header headers[MAX_HEADERS];
  gsize n_headers;
} Headers;

/* In order of their names. */
static void
add_header (Headers *self, const char *name, char *value)
{
  if (value != NULL)
    self->headers[self->n_headers++] = (BsS3Header){ name, value };
}

static void
headers_clear (Headers *self)
{
  for (gsize i = 0; i < self->n_headers; i++)
    g_free (self->headers[i].value);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Headers, headers_clear)

/* Credentials are read when the first request is signed. */
static BsS3Credentials *
get_credentials (BsS3Client *self, gint64 *clock_offset, GError **error)
{
  BsS3Credentials *credentials;

  g_mutex_lock (&self->mutex);
  if (self->credentials == NULL)
    self->credentials = bs_s3_credentials_new (self->settings->profile, error);
  credentials = self->credentials != NULL ? bs_s3_credentials_ref (self->credentials) : NULL;
  *clock_offset = self->clock_offset;
  g_mutex_unlock (&self->mutex);

  return credentials;
}

static void
collect_headers (BsS3Client *self,
                 const BsS3Request *request,
                 const char *time,
                 const char *token,
                 Headers *headers)
{
  add_header (headers, "content-md5", request->body != NULL ? make_md5 (request->body) : NULL);
  add_header (headers, "host", g_strdup (self->settings->host));
  add_header (headers, "if-match",
              request->if_match != NULL ? make_condition (self, request->if_match) : NULL);
  add_header (headers, "if-none-match", request->if_none_match ? g_strdup ("*") : NULL);
  add_header (headers, "range", g_strdup (request->range));
  add_header (headers, "x-amz-content-sha256", g_strdup (UNSIGNED_PAYLOAD));
  add_header (headers, "x-amz-copy-source", g_strdup (request->copy_source));
  add_header (headers, "x-amz-copy-source-range", g_strdup (request->copy_range));
  add_header (headers, "x-amz-date", g_strdup (time));
  add_header (headers, "x-amz-meta-backingstore", g_strdup (request->meta));
  add_header (headers, "x-amz-security-token", g_strdup (token));
}

static gboolean
sign (BsS3Client *self,
      const BsS3Request *request,
      const char *path,
      BsS3Exchange *exchange,
      GError **error)
{
  gint64 clock_offset;
  g_autoptr (BsS3Credentials) credentials = get_credentials (self, &clock_offset, error);
  g_autofree char *time = bs_s3_time (g_get_real_time () / G_USEC_PER_SEC + clock_offset);
  g_autofree char *authorization = NULL;
  g_auto (Headers) headers = { 0 };

  if (credentials == NULL)
    return FALSE;

  collect_headers (self, request, time, credentials->token, &headers);
  authorization = bs_s3_sign (
    &(BsS3Signing){
      .method = request->method,
      .path = path,
      .query = request->query != NULL ? request->query : "",
      .headers = headers.headers,
      .n_headers = headers.n_headers,
      .payload = UNSIGNED_PAYLOAD,
      .region = self->settings->region,
      .time = time,
    },
    credentials);

  for (gsize i = 0; i < headers.n_headers; i++)
    bs_s3_exchange_take_header (exchange, g_strconcat (headers.headers[i].name, ": ",
                                                       headers.headers[i].value, NULL));
  bs_s3_exchange_take_header (exchange, g_strconcat ("Authorization: ", authorization, NULL));
  return TRUE;
}

/* libcurl adds neither a type nor a question whether to go on. */
static void
set_body (BsS3Exchange *exchange, GBytes *body)
{
  bs_s3_exchange_take_header (exchange, g_strdup ("Content-Type:"));
  bs_s3_exchange_take_header (exchange, g_strdup ("Expect:"));
  exchange->body = body != NULL ? g_bytes_ref (body) : NULL;
}

static BsS3Exchange *
make_exchange (BsS3Client *client, const BsS3Request *request, GError **error)
{
  g_autofree char *key = request->key != NULL ? bs_s3_encode (request->key, TRUE) : NULL;
  gboolean at_root = key == NULL && client->settings->path[0] == '\0';
  g_autofree char *path =
    g_strconcat (client->settings->path, at_root ? "/" : "", key != NULL ? "/" : NULL, key, NULL);
  g_autoptr (BsS3Exchange) exchange =
    bs_s3_exchange_new (request->method,
                        g_strconcat (client->settings->base, path + strlen (client->settings->path),
                                     request->query != NULL ? "?" : NULL, request->query, NULL));

  if (!sign (client, request, path, exchange, error))
    return NULL;

  if (g_str_equal (request->method, "PUT") || g_str_equal (request->method, "POST"))
    set_body (exchange, request->body);
  return g_steal_pointer (&exchange);
}

static void
start_attempt (BsS3Call *self)
{
  g_clear_error (&self->error);
  self->exchange = make_exchange (self->client, &self->request, &self->error);
  if (self->exchange == NULL)
    return;

  self->n_attempts++;
  self->sent = bs_s3_get_time ();
  if (self->begun)
    bs_s3_transport_start (self->client->transport, self->exchange);
}

BsS3Call *
bs_s3_client_begin (BsS3Client *self, const BsS3Request *request)
{
  BsS3Call *call = g_new0 (BsS3Call, 1);

  call->client = self;
  call->begun = TRUE;
  call->request = (BsS3Request){
    .method = request->method,
    .key = g_strdup (request->key),
    .query = g_strdup (request->query),
    .if_match = g_strdup (request->if_match),
    .if_none_match = request->if_none_match,
    .copy_source = g_strdup (request->copy_source),
    .copy_range = g_strdup (request->copy_range),
    .meta = g_strdup (request->meta),
    .range = g_strdup (request->range),
    .body = request->body != NULL ? g_bytes_ref (request->body) : NULL,
    .brief = request->brief,
  };
  start_attempt (call);

  return call;
}

void
bs_s3_call_detach (BsS3Call *self)
{
  BsS3Request *request = &self->request;

  g_clear_pointer (&self->exchange, bs_s3_exchange_unref);
  g_clear_error (&self->error);
  g_clear_pointer (&request->body, g_bytes_unref);
  g_free ((char *) request->key);
  g_free ((char *) request->query);
  g_free ((char *) request->if_match);
  g_free ((char *) request->copy_source);
  g_free ((char *) request->copy_range);
  g_free ((char *) request->meta);
  g_free ((char *) request->range);
  g_free (self);
}

void
bs_s3_call_free (BsS3Call *self)
{
  if (self->exchange != NULL)
    bs_s3_transport_leave (self->client->transport, self->exchange);
  bs_s3_call_detach (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsS3Call, bs_s3_call_free)

guint
bs_s3_client_wait_any (BsS3Client *self, BsS3Call *const *calls, guint n, GCancellable *cancellable)
{
  BsS3Exchange *exchanges[BS_S3_MAX_PARALLEL];

  g_assert (n > 0 && n <= BS_S3_MAX_PARALLEL);

  for (guint i = 0; i < n; i++)
    {
      if (calls[i]->exchange == NULL)
        return i;
      exchanges[i] = calls[i]->exchange;
    }
  return bs_s3_transport_wait_any (self->transport, exchanges, n, cancellable);
}

static gboolean
changes_something (const BsS3Request *request)
{
  return !g_str_equal (request->method, "GET") && !g_str_equal (request->method, "HEAD");
}

/* Whether no byte of the request can have reached the server. */
static gboolean
never_left (CURLcode code)
{
  return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
         code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_SSL_CONNECT_ERROR ||
         code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_FAILED_INIT;
}

static void
set_too_large (const BsS3Exchange *exchange, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
               _ ("no memory for a content of %" PRId64 " bytes"), exchange->length);
}

static gboolean
set_transport_error (const BsS3Exchange *exchange, GError **error)
{
  GQuark domain = G_IO_ERROR;
  int code;

  switch ((int) exchange->code)
    {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      code = G_IO_ERROR_HOST_NOT_FOUND;
      break;
    case CURLE_COULDNT_CONNECT:
      code = G_IO_ERROR_CONNECTION_REFUSED;
      break;
    case CURLE_OPERATION_TIMEDOUT:
      code = G_IO_ERROR_TIMED_OUT;
      break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      domain = G_TLS_ERROR;
      code = G_TLS_ERROR_BAD_CERTIFICATE;
      break;
    default:
      code = G_IO_ERROR_CONNECTION_CLOSED;
    }

  g_set_error (error, domain, code, _ ("the server gives no whole answer: %s"), exchange->problem);
  return FALSE;
}

static gboolean
is_transient_status (guint status)
{
  return status >= 500 ? status != 501 && status != 507
                       : status == 408 || status == 409 || status == 429;
}

/* A content without a length may be cut off. */
static gboolean
is_whole (const BsS3Exchange *exchange)
{
  return g_str_equal (exchange->method, "HEAD") || exchange->status == 204 ||
         !exchange->has_length || exchange->length == (gint64) bs_s3_exchange_get_size (exchange);
}

/* Credentials may be those of a session that was renewed, or read while they were written. */
static gboolean
is_of_credentials (const char *code)
{
  static const char *const codes[] = { "ExpiredToken", "InvalidToken", "InvalidAccessKeyId",
                                       "SignatureDoesNotMatch", NULL };

  return g_strv_contains (codes, code);
}

/* The clock may be wrong by hours, and credentials may be old: each is mended, some times.
 * Returns whether to try again. */
static gboolean
mend (BsS3Call *self, const char *code)
{
  BsS3Client *client = self->client;
  gboolean again = FALSE;

  if (self->n_mended == MAX_MENDED || code == NULL)
    return FALSE;

  g_mutex_lock (&client->mutex);
  if (g_str_equal (code, "RequestTimeTooSkewed") && bs_s3_time_parse (&self->exchange->date) > 0)
    {
      client->clock_offset =
        bs_s3_time_parse (&self->exchange->date) - g_get_real_time () / G_USEC_PER_SEC;
      again = TRUE;
    }
  else if (is_of_credentials (code))
    {
      g_clear_pointer (&client->credentials, bs_s3_credentials_unref);
      again = TRUE;
    }
  g_mutex_unlock (&client->mutex);
  self->n_mended += again;

  return again;
}

/* Some answers begin with a success before the server has done what they are about. */
static gboolean
may_fail_inside (const BsS3Request *request)
{
  return request->copy_source != NULL ||
         (g_str_equal (request->method, "POST") && request->query != NULL &&
          g_str_has_prefix (request->query, "uploadId="));
}

/* The code of an error. NULL where there is none, or it has no code. */
static char *
dup_code (BsS3Call *self)
{
  BsS3Exchange *exchange = self->exchange;
  g_autoptr (GBytes) content = NULL;

  if (exchange->status < 400 && !may_fail_inside (&self->request))
    return NULL;

  content = g_bytes_new (exchange->content->data, exchange->content->len);
  return find_code (content);
}

static gboolean
is_transient (guint status, const char *code)
{
  static const char *const codes[] = { "RequestTimeout", "BadDigest", "IncompleteBody", NULL };

  return status < 400 || is_transient_status (status) ||
         (code != NULL && g_strv_contains (codes, code));
}

/* Whether the server itself has done with a request that it does not carry out. What stands
 * before a server gives no code, and may have passed the request on. */
static gboolean
is_refusal (guint status, const char *code)
{
  return status == 503 && code != NULL;
}

/* Of an error that may pass, or one inside a success. */
static void
note_error (BsS3Call *self, guint status, const char *code)
{
  if (!changes_something (&self->request))
    return;
  if (is_refusal (status, code))
    self->refused = TRUE;
  else if (status < 400 || status >= 500)
    self->unclear = TRUE;
}

typedef enum
{
  VERDICT_FINAL,
  VERDICT_AGAIN, /* at once */
  VERDICT_LATER,
  VERDICT_FAILED,
} Verdict;

/* Judges an attempt that has ended; sets the error unless it is final. */
static Verdict
judge (BsS3Call *self, GError **error)
{
  BsS3Exchange *exchange = self->exchange;
  g_autofree char *code = NULL;
  gboolean transient;

  if (exchange->too_large)
    {
      set_too_large (exchange, error);
      return VERDICT_FAILED;
    }
  if (exchange->code != CURLE_OK)
    {
      self->unclear |= changes_something (&self->request) && !never_left (exchange->code);
      set_transport_error (exchange, error);
      return exchange->code == CURLE_PEER_FAILED_VERIFICATION ||
                 exchange->code == CURLE_SSL_CACERT_BADFILE
               ? VERDICT_FAILED
               : VERDICT_LATER;
    }
  if (!is_whole (exchange))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                           _ ("the server's answer is not as long as it says"));
      return VERDICT_LATER;
    }
  code = dup_code (self);
  if (exchange->status < 400 && code == NULL)
    return VERDICT_FINAL;

  transient = is_transient (exchange->status, code);
  if (!transient && !mend (self, code))
    return VERDICT_FINAL;
  note_error (self, exchange->status, code);
  bs_s3_set_code_error (exchange->status, code, error);
  return transient ? VERDICT_LATER : VERDICT_AGAIN;
}

static void
take_answer (BsS3Call *self, BsS3Answer *answer)
{
  BsS3Exchange *exchange = self->exchange;

  answer->status = exchange->status;
  answer->content = bs_s3_exchange_steal_content (exchange);
  answer->etag = g_steal_pointer (&exchange->etag);
  answer->meta = g_steal_pointer (&exchange->meta);
  answer->length = exchange->has_length ? exchange->length : -1;
  answer->first = exchange->first;
  answer->total = exchange->total;
  answer->date = exchange->date;
  answer->modified = exchange->modified;
  answer->sent = self->sent;
}

/* By chance from half to one and a half times as long as planned, and not less than the server
 * has asked for, unless that is too long. */
static gint64
get_pause (const BsS3Call *self)
{
  gint64 asked = self->request.brief ? 0 : self->exchange->retry_after * G_USEC_PER_SEC;
  gint64 least = MIN (MAX_PAUSE, asked);
  gint64 pause = MAX (least, MIN (MAX_PAUSE, (gint64) FIRST_PAUSE << (self->n_attempts - 1)));

  least = MAX (least, pause / 2);
  return least + g_random_double () * (pause * 3 / 2 - least);
}

static gboolean
set_cancelled (GError **error)
{
  g_clear_error (error);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("it was cancelled"));
  return FALSE;
}

/* Waits for the answer of the current attempt. A request that has none beside it is carried
 * out by this very thread. */
static gboolean
wait (BsS3Call *self, GCancellable *cancellable)
{
  BsS3Transport *transport = self->client->transport;

  return self->begun ? bs_s3_transport_wait (transport, self->exchange, cancellable)
                     : bs_s3_transport_perform (transport, self->exchange, cancellable);
}

static gboolean
is_last_attempt (const BsS3Call *self)
{
  if (!self->request.brief)
    return self->n_attempts == MAX_ATTEMPTS;
  return self->n_attempts == MAX_BRIEF_ATTEMPTS || self->exchange->code != CURLE_OK;
}

static gboolean
try (BsS3Call *self, BsS3Answer *answer, GCancellable *cancellable, GError **error)
{
  BsS3Transport *transport = self->client->transport;

  while (self->exchange != NULL)
    {
      g_autoptr (GError) local = NULL;
      Verdict verdict;

      if (!wait (self, cancellable))
        {
          self->unclear |= changes_something (&self->request);
          return set_cancelled (error);
        }
      verdict = judge (self, &local);
      if (verdict == VERDICT_FINAL)
        {
          take_answer (self, answer);
          return TRUE;
        }
      if (verdict == VERDICT_FAILED || is_last_attempt (self))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      if (verdict == VERDICT_LATER &&
          !bs_s3_transport_pause (transport, get_pause (self), cancellable))
        return set_cancelled (error);

      g_clear_pointer (&self->exchange, bs_s3_exchange_unref);
      start_attempt (self);
    }

  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}

gboolean
bs_s3_call_end (BsS3Call *self, BsS3Answer *answer, GCancellable *cancellable, GError **error)
{
  gboolean success;

  memset (answer, 0, sizeof *answer);
  success = try (self, answer, cancellable, error);
  answer->unclear = self->unclear;
  answer->refused = self->refused;
  bs_s3_call_free (self);

  return success;
}

gboolean
bs_s3_client_ask (BsS3Client *self,
                  const BsS3Request *request,
                  BsS3Answer *answer,
                  GCancellable *cancellable,
                  GError **error)
{
  BsS3Call call = { .client = self, .request = *request };
  gboolean success;

  memset (answer, 0, sizeof *answer);
  start_attempt (&call);
  success = try (&call, answer, cancellable, error);
  answer->unclear = call.unclear;
  answer->refused = call.refused;
  g_clear_pointer (&call.exchange, bs_s3_exchange_unref);
  g_clear_error (&call.error);

  return success;
}
