/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-transport-private.h"

#include "bs-s3-memory-private.h"

#include <string.h>
#include <time.h>

#define CONNECT_MILLISECONDS 10000
#define POLL_MILLISECONDS 60000
/* Idle connections that are kept. */
#define MAX_IDLE 128
/* Contents of so many bytes have memory of their own. */
#define LARGE (1024 * 1024)

struct _BsS3Transport
{
  char *url; /* of the server, for the choice of a proxy */
  guint timeout;

  GMutex mutex;

  /* under the mutex */
  GThread *thread;   /* started by the first exchange */
  CURLM *multi;      /* used by the thread; waking it up needs no lock */
  GQueue queued;     /* of BsS3Exchange, owned */
  gboolean look;     /* a waiter has left */
  gboolean sleeping; /* the thread is to be woken up */
  gboolean stopping;
  char *proxy;      /* found by the thread; NULL until then */
  GPtrArray *lines; /* of Line: the idle ones, the one used last is the last */

  /* by the thread */
  GHashTable *running; /* CURL → BsS3Exchange, owned */
  GPtrArray *idle;     /* of CURL */
};

/* A place where a thread carries out one exchange: its connection stays open for the next. */
typedef struct
{
  CURLM *multi;
  CURL *easy;
} Line;

gint64
bs_s3_get_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_BOOTTIME, &now);
  return (gint64) now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

static gboolean
is_header (const char *line, gsize size, const char *name)
{
  gsize length = strlen (name);

  return size > length && line[length] == ':' && g_ascii_strncasecmp (line, name, length) == 0;
}

static char *
dup_value (const char *line, gsize size, const char *name)
{
  gsize length = strlen (name);

  if (!is_header (line, size, name))
    return NULL;

  return g_strstrip (g_strndup (line + length + 1, size - length - 1));
}

static void
set_time (BsS3Time *time, const char *line, gsize size, const char *name)
{
  gsize start = strlen (name) + 1;

  if (!is_header (line, size, name))
    return;

  size = MIN (size - start, sizeof time->text - 1);
  memcpy (time->text, line + start, size);
  time->text[size] = '\0';
}

static void
set_text (char **text, char *value)
{
  if (value == NULL)
    return;
  g_free (*text);
  *text = value;
}

/* Memory that is reserved is not used before the bytes arrive, if ever they do. */
static void
reserve (BsS3Exchange *self, guint64 length)
{
  if (length < LARGE)
    {
      g_byte_array_set_size (self->content, length);
      return;
    }

  self->mapped = length <= G_MAXSSIZE ? bs_s3_memory_map (length) : NULL;
  self->too_large = self->mapped == NULL;
}

static void
set_length (BsS3Exchange *self, char *value)
{
  guint64 length;

  if (value != NULL && g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT64, &length, NULL))
    {
      self->has_length = TRUE;
      self->length = length;
      if (!g_str_equal (self->method, "HEAD") && bs_s3_exchange_get_size (self) == 0)
        reserve (self, length);
      self->content->len = 0;
    }
  g_free (value);
}

/* As in "bytes 0-99/1234". */
static void
set_range (BsS3Exchange *self, char *value)
{
  const char *slash = value != NULL ? strchr (value, '/') : NULL;
  guint64 total;

  if (value != NULL && g_str_has_prefix (value, "bytes "))
    self->first = g_ascii_strtoull (value + strlen ("bytes "), NULL, 10);
  if (slash != NULL && g_ascii_string_to_unsigned (slash + 1, 10, 0, G_MAXINT64, &total, NULL))
    self->total = total;
  g_free (value);
}

/* A date is passed over: this clock may be wrong. */
static void
set_retry_after (BsS3Exchange *self, char *value)
{
  guint64 seconds;

  if (value != NULL && g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT32, &seconds, NULL))
    self->retry_after = seconds;
  g_free (value);
}

/* A line "HTTP/1.1 100 Continue" may come before the one that counts. */
static size_t
receive_header (char *line, size_t size, size_t n, void *data)
{
  BsS3Exchange *self = data;

  n *= size;
  set_text (&self->etag, dup_value (line, n, "etag"));
  set_text (&self->meta, dup_value (line, n, "x-amz-meta-backingstore"));
  set_time (&self->date, line, n, "date");
  set_time (&self->modified, line, n, "last-modified");
  set_length (self, dup_value (line, n, "content-length"));
  set_range (self, dup_value (line, n, "content-range"));
  set_retry_after (self, dup_value (line, n, "retry-after"));

  return n;
}

static size_t
receive (char *bytes, size_t size, size_t n, void *data)
{
  BsS3Exchange *self = data;

  n *= size;
  if (self->mapped != NULL && n <= self->length - self->n_mapped)
    {
      memcpy (self->mapped + self->n_mapped, bytes, n);
      self->n_mapped += n;
      return n;
    }
  if (self->mapped != NULL || self->too_large || n > G_MAXUINT - self->content->len)
    return 0;
  g_byte_array_append (self->content, (const guint8 *) bytes, n);

  return n;
}

/* A handle may have carried out another exchange before. */
static void
set_up (CURL *easy, BsS3Exchange *exchange)
{
  gboolean is_get = g_str_equal (exchange->method, "GET");
  gsize size = 0;
  const char *data = exchange->body != NULL ? g_bytes_get_data (exchange->body, &size) : NULL;

  curl_easy_setopt (easy, CURLOPT_URL, exchange->url);
  curl_easy_setopt (easy, CURLOPT_HTTPHEADER, exchange->headers);
  curl_easy_setopt (easy, CURLOPT_HEADERDATA, exchange);
  curl_easy_setopt (easy, CURLOPT_WRITEDATA, exchange);
  curl_easy_setopt (easy, CURLOPT_HTTPGET, 1L);
  curl_easy_setopt (easy, CURLOPT_CUSTOMREQUEST, is_get ? NULL : exchange->method);
  if (g_str_equal (exchange->method, "HEAD"))
    curl_easy_setopt (easy, CURLOPT_NOBODY, 1L);
  if (g_str_equal (exchange->method, "PUT") || g_str_equal (exchange->method, "POST"))
    {
      curl_easy_setopt (easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) size);
      curl_easy_setopt (easy, CURLOPT_POSTFIELDS, data != NULL ? data : "");
    }
}

/* Once the proxy is known. */
static CURL *
make_easy (BsS3Transport *self)
{
  const char *authorities = g_getenv ("AWS_CA_BUNDLE");
  CURL *easy = curl_easy_init ();

  curl_easy_setopt (easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt (easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt (easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
  curl_easy_setopt (easy, CURLOPT_PROXY, self->proxy);
  curl_easy_setopt (easy, CURLOPT_NOPROXY, "");
  curl_easy_setopt (easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt (easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
  curl_easy_setopt (easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt (easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt (easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt (easy, CURLOPT_CONNECTTIMEOUT_MS,
                    (long) MIN (CONNECT_MILLISECONDS, self->timeout * 1000));
  curl_easy_setopt (easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt (easy, CURLOPT_LOW_SPEED_TIME, (long) self->timeout);
  curl_easy_setopt (easy, CURLOPT_HEADERFUNCTION, receive_header);
  curl_easy_setopt (easy, CURLOPT_WRITEFUNCTION, receive);
  if (authorities != NULL && authorities[0] != '\0')
    curl_easy_setopt (easy, CURLOPT_CAINFO, authorities);

  return easy;
}

/* A proxy that makes no way to the server answers in the server's place. */
static void
set_result (BsS3Exchange *exchange, CURL *easy, CURLcode code)
{
  long status = 0;

  curl_easy_getinfo (easy, CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK && status == 0)
    {
      curl_easy_getinfo (easy, CURLINFO_HTTP_CONNECTCODE, &status);
      code = status >= 300 ? CURLE_OK : code;
    }
  exchange->status = status;
  exchange->code = code;
  if (code != CURLE_OK)
    exchange->problem = g_strdup (curl_easy_strerror (code));
}

/* A signal is a system call, also where nobody waits for it. Under the mutex. */
static void
wake_waiter (BsS3Exchange *exchange)
{
  if (exchange->waiter != NULL)
    g_cond_signal (exchange->waiter);
}

/* Takes the exchange over. A waiter may count on the memory of the body. */
static void
finish (BsS3Transport *self, BsS3Exchange *exchange)
{
  g_clear_pointer (&exchange->body, g_bytes_unref);

  g_mutex_lock (&self->mutex);
  exchange->done = TRUE;
  wake_waiter (exchange);
  g_mutex_unlock (&self->mutex);
  bs_s3_exchange_unref (exchange);
}

static void
run (BsS3Transport *self, BsS3Exchange *exchange)
{
  CURL *easy = self->idle->len > 0 ? g_ptr_array_steal_index_fast (self->idle, self->idle->len - 1)
                                   : make_easy (self);

  set_up (easy, exchange);
  g_hash_table_insert (self->running, easy, exchange);
  curl_multi_add_handle (self->multi, easy);
}

static void
remove_easy (BsS3Transport *self, CURL *easy)
{
  curl_multi_remove_handle (self->multi, easy);
  g_hash_table_steal (self->running, easy);
  g_ptr_array_add (self->idle, easy);
}

static void
finish_done (BsS3Transport *self)
{
  CURLMsg *message;
  int n_left;

  while ((message = curl_multi_info_read (self->multi, &n_left)) != NULL)
    {
      CURL *easy = message->easy_handle;
      BsS3Exchange *exchange = g_hash_table_lookup (self->running, easy);

      set_result (exchange, easy, message->data.result);
      remove_easy (self, easy);
      finish (self, exchange);
    }
}

static void
abort_exchange (BsS3Transport *self, BsS3Exchange *exchange, CURLcode code)
{
  exchange->code = code;
  exchange->problem = g_strdup (curl_easy_strerror (exchange->code));
  finish (self, exchange);
}

/* Exchanges without a waiter end now. */
static void
drop_left (BsS3Transport *self, gboolean all)
{
  g_autoptr (GPtrArray) left = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer easy, exchange;

  g_mutex_lock (&self->mutex);
  g_hash_table_iter_init (&iter, self->running);
  while (g_hash_table_iter_next (&iter, &easy, &exchange))
    {
      if (all || ((BsS3Exchange *) exchange)->left)
        g_ptr_array_add (left, easy);
    }
  g_mutex_unlock (&self->mutex);

  for (guint i = 0; i < left->len; i++)
    {
      exchange = g_hash_table_lookup (self->running, left->pdata[i]);
      remove_easy (self, left->pdata[i]);
      abort_exchange (self, exchange, CURLE_ABORTED_BY_CALLBACK);
    }
}

static gboolean
has_left (BsS3Transport *self, BsS3Exchange *exchange)
{
  gboolean left;

  g_mutex_lock (&self->mutex);
  left = exchange->left;
  g_mutex_unlock (&self->mutex);

  return left;
}

/* Returns whether the thread goes on. */
static gboolean
take_queued (BsS3Transport *self)
{
  GQueue queued;
  gboolean look, stopping;
  BsS3Exchange *exchange;

  g_mutex_lock (&self->mutex);
  queued = self->queued;
  g_queue_init (&self->queued);
  look = self->look;
  self->look = FALSE;
  stopping = self->stopping;
  self->sleeping = FALSE;
  g_mutex_unlock (&self->mutex);

  if (look || stopping)
    drop_left (self, stopping);
  while ((exchange = g_queue_pop_head (&queued)) != NULL)
    {
      if (stopping || has_left (self, exchange))
        abort_exchange (self, exchange, CURLE_ABORTED_BY_CALLBACK);
      else
        run (self, exchange);
    }

  return !stopping;
}

/* A thread that is on its way to sleep goes on where a request has come meanwhile. */
static void
sleep_until_asked (BsS3Transport *self)
{
  gboolean asked;

  g_mutex_lock (&self->mutex);
  asked = !g_queue_is_empty (&self->queued) || self->look || self->stopping;
  self->sleeping = !asked;
  g_mutex_unlock (&self->mutex);

  if (!asked)
    curl_multi_poll (self->multi, NULL, 0, POLL_MILLISECONDS, NULL);
}

/* An empty string is no proxy, whatever the environment says. */
static char *
find_proxy (const char *url)
{
  g_auto (GStrv) proxies =
    g_proxy_resolver_lookup (g_proxy_resolver_get_default (), url, NULL, NULL);

  for (guint i = 0; proxies != NULL && proxies[i] != NULL; i++)
    {
      if (g_str_has_prefix (proxies[i], "direct:"))
        return g_strdup ("");
      /* To GIO a SOCKS proxy looks up names itself unless told otherwise. */
      if (g_str_has_prefix (proxies[i], "socks:"))
        return g_strconcat ("socks5h:", proxies[i] + strlen ("socks:"), NULL);
      if (g_str_has_prefix (proxies[i], "socks5:"))
        return g_strconcat ("socks5h:", proxies[i] + strlen ("socks5:"), NULL);
      return g_strdup (proxies[i]);
    }

  return g_strdup ("");
}

static gpointer
run_thread (gpointer data)
{
  BsS3Transport *self = data;
  char *proxy = find_proxy (self->url);
  int n_running;

  g_mutex_lock (&self->mutex);
  self->proxy = proxy;
  g_mutex_unlock (&self->mutex);

  while (take_queued (self))
    {
      curl_multi_perform (self->multi, &n_running);
      finish_done (self);
      sleep_until_asked (self);
    }

  return NULL;
}

static void
line_free (gpointer data)
{
  Line *line = data;

  curl_easy_cleanup (line->easy);
  curl_multi_cleanup (line->multi);
  g_free (line);
}

BsS3Transport *
bs_s3_transport_new (const char *url, guint timeout)
{
  static gsize initialized;
  BsS3Transport *self = g_new0 (BsS3Transport, 1);

  if (g_once_init_enter (&initialized))
    {
      curl_global_init (CURL_GLOBAL_DEFAULT);
      g_once_init_leave (&initialized, 1);
    }

  g_mutex_init (&self->mutex);
  g_queue_init (&self->queued);
  self->url = g_strdup (url);
  self->timeout = timeout;
  self->running = g_hash_table_new (NULL, NULL);
  self->idle = g_ptr_array_new_with_free_func (curl_easy_cleanup);
  self->lines = g_ptr_array_new_with_free_func (line_free);
  self->multi = curl_multi_init ();
  curl_multi_setopt (self->multi, CURLMOPT_MAXCONNECTS, (long) MAX_IDLE);

  return self;
}

static void
free_memory (BsS3Transport *self)
{
  g_hash_table_unref (self->running);
  g_mutex_clear (&self->mutex);
  g_free (self->proxy);
  g_free (self->url);
  g_free (self);
}

void
bs_s3_transport_free (BsS3Transport *self)
{
  GThread *thread;

  g_mutex_lock (&self->mutex);
  self->stopping = TRUE;
  thread = g_steal_pointer (&self->thread);
  g_mutex_unlock (&self->mutex);

  if (thread != NULL)
    {
      curl_multi_wakeup (self->multi);
      g_thread_join (thread);
    }
  g_ptr_array_unref (self->lines);
  g_ptr_array_unref (self->idle);
  curl_multi_cleanup (self->multi);
  free_memory (self);
}

/* Handles of libcurl belong to the parent, as do their connections. */
void
bs_s3_transport_abandon (BsS3Transport *self)
{
  g_ptr_array_set_free_func (self->idle, NULL);
  g_ptr_array_unref (self->idle);
  g_ptr_array_set_free_func (self->lines, g_free);
  g_ptr_array_unref (self->lines);
  free_memory (self);
}

/* Returns whether the thread is to be woken up, after unlocking. Under the mutex. */
static gboolean
claim_wakeup (BsS3Transport *self)
{
  gboolean sleeping = self->sleeping;

  self->sleeping = FALSE;
  return sleeping;
}

void
bs_s3_transport_start (BsS3Transport *self, BsS3Exchange *exchange)
{
  gboolean started, sleeping;

  bs_s3_exchange_ref (exchange);

  g_mutex_lock (&self->mutex);
  if (self->thread == NULL)
    self->thread = g_thread_try_new ("backingstore-s3", run_thread, self, NULL);
  started = self->thread != NULL;
  if (started)
    g_queue_push_tail (&self->queued, exchange);
  sleeping = claim_wakeup (self);
  g_mutex_unlock (&self->mutex);

  if (!started)
    abort_exchange (self, exchange, CURLE_FAILED_INIT);
  if (sleeping)
    curl_multi_wakeup (self->multi);
}

void
bs_s3_transport_leave (BsS3Transport *self, BsS3Exchange *exchange)
{
  gboolean sleeping = FALSE;

  g_mutex_lock (&self->mutex);
  if (!exchange->done)
    {
      exchange->left = TRUE;
      self->look = TRUE;
      sleeping = claim_wakeup (self);
    }
  g_mutex_unlock (&self->mutex);

  if (sleeping)
    curl_multi_wakeup (self->multi);
}

/* A waiter for any of several exchanges, or for none. */
typedef struct
{
  BsS3Transport *transport;
  GCond cond;
  gboolean cancelled; /* under the transport's mutex */
} Watch;

static void
end_watch (GCancellable *cancellable, gpointer data)
{
  Watch *watch = data;

  g_mutex_lock (&watch->transport->mutex);
  watch->cancelled = TRUE;
  g_cond_signal (&watch->cond);
  g_mutex_unlock (&watch->transport->mutex);
}

/* Returns `n` where none has ended. Under the mutex. */
static guint
find_done (BsS3Exchange *const *exchanges, guint n)
{
  guint i = 0;

  while (i < n && !exchanges[i]->done)
    i++;
  return i;
}

/* Under the mutex. */
static void
set_waiter (BsS3Exchange *const *exchanges, guint n, GCond *waiter)
{
  for (guint i = 0; i < n; i++)
    exchanges[i]->waiter = waiter;
}

/* Returns FALSE at the end of the time; a negative one is none. Under the mutex. */
static gboolean
sleep_until (Watch *watch, gint64 end)
{
  if (end >= 0)
    return g_cond_wait_until (&watch->cond, &watch->transport->mutex, end);

  g_cond_wait (&watch->cond, &watch->transport->mutex);
  return TRUE;
}

/* Waits until one has ended, which it returns, or until the time or the cancellable ends that:
 * `n`. */
static guint
wait_until (BsS3Transport *self,
            BsS3Exchange *const *exchanges,
            guint n,
            gint64 end,
            GCancellable *cancellable)
{
  Watch watch = { .transport = self };
  gulong handler = 0;
  guint found;

  g_cond_init (&watch.cond);
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (end_watch), &watch, NULL);

  g_mutex_lock (&self->mutex);
  set_waiter (exchanges, n, &watch.cond);
  while ((found = find_done (exchanges, n)) == n && !watch.cancelled && sleep_until (&watch, end))
    ;
  set_waiter (exchanges, n, NULL);
  g_mutex_unlock (&self->mutex);

  g_cancellable_disconnect (cancellable, handler);
  g_cond_clear (&watch.cond);
  return found;
}

gboolean
bs_s3_transport_wait (BsS3Transport *self, BsS3Exchange *exchange, GCancellable *cancellable)
{
  gboolean done = wait_until (self, &exchange, 1, -1, cancellable) == 0;

  if (!done)
    bs_s3_transport_leave (self, exchange);
  return done;
}

guint
bs_s3_transport_wait_any (BsS3Transport *self,
                          BsS3Exchange *const *exchanges,
                          guint n,
                          GCancellable *cancellable)
{
  guint found = wait_until (self, exchanges, n, -1, cancellable);

  return found < n ? found : 0;
}

gboolean
bs_s3_transport_pause (BsS3Transport *self, gint64 microseconds, GCancellable *cancellable)
{
  wait_until (self, NULL, 0, g_get_monotonic_time () + microseconds, cancellable);
  return !g_cancellable_is_cancelled (cancellable);
}

/* Returns NULL until the proxy is known. */
static Line *
take_line (BsS3Transport *self)
{
  Line *line = NULL;
  gboolean ready;

  g_mutex_lock (&self->mutex);
  ready = self->proxy != NULL;
  if (ready && self->lines->len > 0)
    line = g_ptr_array_steal_index (self->lines, self->lines->len - 1);
  g_mutex_unlock (&self->mutex);

  if (!ready || line != NULL)
    return line;

  line = g_new (Line, 1);
  line->multi = curl_multi_init ();
  line->easy = make_easy (self);
  return line;
}

static void
give_line_back (BsS3Transport *self, Line *line)
{
  g_mutex_lock (&self->mutex);
  if (self->lines->len < MAX_IDLE)
    g_ptr_array_add (self->lines, g_steal_pointer (&line));
  g_mutex_unlock (&self->mutex);

  if (line != NULL)
    line_free (line);
}

static void
wake_line (GCancellable *cancellable, gpointer multi)
{
  curl_multi_wakeup (multi);
}

/* Returns whether the exchange has ended. */
static gboolean
run_line (Line *line, GCancellable *cancellable)
{
  int n_running;

  for (;;)
    {
      curl_multi_perform (line->multi, &n_running);
      if (n_running == 0)
        return TRUE;
      curl_multi_poll (line->multi, NULL, 0, POLL_MILLISECONDS, NULL);
      if (g_cancellable_is_cancelled (cancellable))
        return FALSE;
    }
}

static gboolean
perform_on (Line *line, BsS3Exchange *exchange, GCancellable *cancellable)
{
  gulong handler = 0;
  CURLMsg *message;
  int n_left;

  set_up (line->easy, exchange);
  curl_multi_add_handle (line->multi, line->easy);
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (wake_line), line->multi, NULL);
  exchange->done = run_line (line, cancellable);
  g_cancellable_disconnect (cancellable, handler);

  message = exchange->done ? curl_multi_info_read (line->multi, &n_left) : NULL;
  if (message != NULL)
    set_result (exchange, line->easy, message->data.result);
  curl_multi_remove_handle (line->multi, line->easy);

  return exchange->done;
}

/* The thread has found the proxy when it has started, as the first exchange makes it do. */
gboolean
bs_s3_transport_perform (BsS3Transport *self, BsS3Exchange *exchange, GCancellable *cancellable)
{
  Line *line;
  gboolean done;

  if (g_cancellable_is_cancelled (cancellable))
    return FALSE;
  line = take_line (self);
  if (line == NULL)
    {
      bs_s3_transport_start (self, exchange);
      return bs_s3_transport_wait (self, exchange, cancellable);
    }

  done = perform_on (line, exchange, cancellable);
  give_line_back (self, line);
  return done;
}
