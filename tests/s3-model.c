/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "s3-model.h"

#include "modules/s3/bs-s3-transport-private.h"

#include <string.h>

/* One in so many. */
#define RARELY 240
#define SOMETIMES 8
#define MAX_FROZEN 80
#define MAX_SKEW 3600
#define LONG 4000

typedef struct
{
  GBytes *body;
  char *meta;
  char *etag;
  gint64 modified;
} Object;

typedef struct
{
  GThread *thread;
  GThreadFunc func;
  gpointer data;
  GCond cond;
  gboolean runs;
  gboolean dead; /* killed: nothing that it asks for happens any more */
  gboolean ended;
  guint frozen;          /* steps for which chance passes it over */
  BsS3Exchange *awaited; /* borrowed; NULL: in a pause, or at its start */
} Actor;

struct _BsS3Transport
{
  int unused;
};

static struct
{
  GMutex mutex;
  GCond stopped;
  GRand *rand;
  guint n_steps;
  gint64 now;     /* microseconds */
  guint advances; /* one in so many steps, the clock does so by long */
  guint freezes;  /* one in so many steps, an actor does so */
  guint misses;   /* one in so many requests fails */
  GHashTable *objects;
  GPtrArray *pending; /* BsS3Exchange, owned; not done */
  GPtrArray *late;    /* BsS3Exchange, owned; nobody waits for them */
  GPtrArray *actors;
  ModelWatchFunc watch; /* nullable */
  gpointer watch_data;
} model;

static GPrivate this_actor;

static Actor *
get_actor (void)
{
  return g_private_get (&this_actor);
}

static void
object_free (gpointer data)
{
  Object *object = data;

  g_bytes_unref (object->body);
  g_free (object->meta);
  g_free (object->etag);
  g_free (object);
}

static gboolean
happens (guint one_in)
{
  return g_rand_int_range (model.rand, 0, one_in) == 0;
}

static guint
choose (void)
{
  static const guint rates[] = { 10, 60, 1000 };

  return rates[g_rand_int_range (model.rand, 0, G_N_ELEMENTS (rates))];
}

void
model_reset (guint32 seed)
{
  g_clear_pointer (&model.rand, g_rand_free);
  g_clear_pointer (&model.objects, g_hash_table_unref);
  g_clear_pointer (&model.pending, g_ptr_array_unref);
  g_clear_pointer (&model.late, g_ptr_array_unref);
  g_clear_pointer (&model.actors, g_ptr_array_unref);
  model.rand = g_rand_new_with_seed (seed);
  model.objects = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, object_free);
  model.pending = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_s3_exchange_unref);
  model.late = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_s3_exchange_unref);
  model.actors = g_ptr_array_new ();
  model.n_steps = 0;
  /* Each run is of another kind. */
  model.advances = choose ();
  model.freezes = choose ();
  model.misses = choose () / 3;
  model.now = G_GINT64_CONSTANT (1700000000) * G_USEC_PER_SEC;
}

GBytes *
model_peek (const char *key)
{
  Object *object = g_hash_table_lookup (model.objects, key);

  return object != NULL ? object->body : NULL;
}

void
model_advance (gint64 seconds)
{
  model.now += seconds * G_USEC_PER_SEC;
}

void
model_watch (ModelWatchFunc func, gpointer data)
{
  model.watch = func;
  model.watch_data = data;
}

guint
model_count_steps (void)
{
  return model.n_steps;
}

gboolean
model_is_dead (void)
{
  return get_actor () != NULL && get_actor ()->dead;
}

static char *
get_header (BsS3Exchange *exchange, const char *name)
{
  gsize length = strlen (name);

  for (struct curl_slist *l = exchange->headers; l != NULL; l = l->next)
    {
      if (g_ascii_strncasecmp (l->data, name, length) == 0 && l->data[length] == ':')
        return g_strdup (l->data + length + 2);
    }
  return NULL;
}

static char *
get_parameter (const char *query, const char *name)
{
  g_auto (GStrv) parts = g_strsplit (query != NULL ? query : "", "&", -1);
  gsize length = strlen (name);

  for (guint i = 0; parts[i] != NULL; i++)
    {
      if (strncmp (parts[i], name, length) == 0 && parts[i][length] == '=')
        return g_uri_unescape_string (parts[i] + length + 1, NULL);
    }
  return NULL;
}

static void
answer (BsS3Exchange *exchange, guint status, const char *text)
{
  exchange->status = status;
  if (text != NULL)
    g_byte_array_append (exchange->content, (const guint8 *) text, strlen (text));
}

static void
put_object (const char *key, GBytes *body, const char *meta)
{
  Object *object = g_new0 (Object, 1);
  g_autofree char *hash = g_compute_checksum_for_bytes (G_CHECKSUM_MD5, body);

  object->body = g_bytes_ref (body);
  object->meta = g_strdup (meta);
  object->etag = g_strdup_printf ("\"%s\"", hash);
  object->modified = model.now / G_USEC_PER_SEC;
  g_hash_table_insert (model.objects, g_strdup (key), object);
}

static void
serve_put (BsS3Exchange *exchange, const char *key)
{
  Object *object = g_hash_table_lookup (model.objects, key);
  g_autofree char *if_match = get_header (exchange, "if-match");
  g_autofree char *if_none_match = get_header (exchange, "if-none-match");
  g_autofree char *meta = get_header (exchange, "x-amz-meta-backingstore");

  if ((if_none_match != NULL && object != NULL) ||
      (if_match != NULL && (object == NULL || !g_str_equal (object->etag, if_match))))
    {
      answer (exchange, 412, "<Error><Code>PreconditionFailed</Code></Error>");
      return;
    }
  put_object (key, exchange->body, meta);
  object = g_hash_table_lookup (model.objects, key);
  exchange->etag = g_strdup (object->etag);
  answer (exchange, 200, NULL);
}

/* No server checks a condition of a copy or a deletion. */
static void
serve_copy (BsS3Exchange *exchange, const char *key, const char *source)
{
  g_autofree char *decoded = g_uri_unescape_string (source + strlen ("/bucket/"), NULL);
  Object *object = g_hash_table_lookup (model.objects, decoded);

  if (object == NULL)
    {
      answer (exchange, 404, "<Error><Code>NoSuchKey</Code></Error>");
      return;
    }
  put_object (key, object->body, object->meta);
  answer (exchange, 200, "<CopyObjectResult><ETag>copy</ETag></CopyObjectResult>");
}

static void
serve_get (BsS3Exchange *exchange, const char *key)
{
  Object *object = g_hash_table_lookup (model.objects, key);
  gsize size;
  gconstpointer data;

  if (object == NULL)
    {
      answer (exchange, 404, "<Error><Code>NoSuchKey</Code></Error>");
      return;
    }
  data = g_bytes_get_data (object->body, &size);
  if (!g_str_equal (exchange->method, "HEAD"))
    g_byte_array_append (exchange->content, data, size);
  exchange->etag = g_strdup (object->etag);
  exchange->meta = g_strdup (object->meta);
  exchange->modified.seconds = object->modified;
  answer (exchange, 200, NULL);
}

static void
serve_list (BsS3Exchange *exchange, const char *query)
{
  g_autofree char *prefix = get_parameter (query, "prefix");
  g_autofree char *after = get_parameter (query, "start-after");
  gboolean level = strstr (query, "delimiter") != NULL;
  g_autoptr (GList) keys =
    g_list_sort (g_hash_table_get_keys (model.objects), (GCompareFunc) strcmp);
  g_autoptr (GString) text = g_string_new ("<ListBucketResult>");

  for (GList *l = keys; l != NULL; l = l->next)
    {
      const char *key = l->data;
      const char *slash;

      if (!g_str_has_prefix (key, prefix) || (after != NULL && strcmp (key, after) <= 0))
        continue;
      slash = level ? strchr (key + strlen (prefix), '/') : NULL;
      if (slash != NULL)
        g_string_append_printf (text, "<CommonPrefixes><Prefix>%.*s</Prefix></CommonPrefixes>",
                                (int) (slash + 1 - key), key);
      else
        g_string_append_printf (text, "<Contents><Key>%s</Key></Contents>", key);
    }
  g_string_append (text, "</ListBucketResult>");
  answer (exchange, 200, text->str);
}

static void
serve_deletions (BsS3Exchange *exchange)
{
  gsize size;
  const char *data = g_bytes_get_data (exchange->body, &size);
  g_autofree char *body = g_strndup (data, size);
  g_auto (GStrv) parts = g_strsplit (body, "<Key>", -1);
  g_autoptr (GString) text = g_string_new ("<DeleteResult>");

  for (guint i = 1; parts[i] != NULL; i++)
    {
      *strchr (parts[i], '<') = '\0';
      g_hash_table_remove (model.objects, parts[i]);
      g_string_append_printf (text, "<Deleted><Key>%s</Key></Deleted>", parts[i]);
    }
  g_string_append (text, "</DeleteResult>");
  answer (exchange, 200, text->str);
}

/* Contents of parts are forgotten. */
static void
serve_upload (BsS3Exchange *exchange)
{
  exchange->etag = g_strdup ("\"part\"");
  answer (exchange, 200, "<R><UploadId>id</UploadId><ETag>whole</ETag></R>");
}

static const char *
get_target (BsS3Exchange *exchange)
{
  return strstr (exchange->url, "/bucket") + strlen ("/bucket");
}

static void
serve (BsS3Exchange *exchange)
{
  const char *path = get_target (exchange);
  const char *query = strchr (path, '?');
  g_autofree char *encoded = query != NULL ? g_strndup (path, query - path) : g_strdup (path);
  g_autofree char *key = g_uri_unescape_string (encoded[0] == '/' ? encoded + 1 : encoded, NULL);
  g_autofree char *source = get_header (exchange, "x-amz-copy-source");

  if (source != NULL)
    serve_copy (exchange, key, source);
  else if (query != NULL && strstr (query, "upload") != NULL &&
           !g_str_equal (exchange->method, "GET"))
    serve_upload (exchange);
  else if (g_str_equal (exchange->method, "PUT"))
    serve_put (exchange, key);
  else if (query != NULL && strstr (query, "list-type") != NULL)
    serve_list (exchange, query);
  else if (query != NULL && g_str_has_prefix (query, "?delete"))
    serve_deletions (exchange);
  else if (g_str_equal (exchange->method, "DELETE"))
    {
      g_hash_table_remove (model.objects, key);
      answer (exchange, 204, NULL);
    }
  else
    serve_get (exchange, key);

  exchange->date.seconds = model.now / G_USEC_PER_SEC;
}

/* The same request once more, for nobody. */
static BsS3Exchange *
copy_request (BsS3Exchange *exchange)
{
  BsS3Exchange *copy = bs_s3_exchange_new (exchange->method, g_strdup (exchange->url));

  for (struct curl_slist *l = exchange->headers; l != NULL; l = l->next)
    bs_s3_exchange_take_header (copy, g_strdup (l->data));
  copy->body = exchange->body != NULL ? g_bytes_ref (exchange->body) : NULL;
  return copy;
}

static void
fail (BsS3Exchange *exchange)
{
  exchange->code = CURLE_RECV_ERROR;
  exchange->problem = g_strdup ("lost");
}

/* A request that matters most is hit most. */
static gboolean
is_hot (BsS3Exchange *exchange)
{
  return g_str_equal (exchange->method, "DELETE") || g_str_equal (exchange->method, "POST") ||
         (g_str_equal (exchange->method, "PUT") && g_str_has_suffix (exchange->url, "/root"));
}

/* Decides by chance whether a request arrives, and its answer. */
static void
meet_fate (BsS3Exchange *exchange)
{
  gboolean changes =
    !g_str_equal (exchange->method, "GET") && !g_str_equal (exchange->method, "HEAD");

  if (!happens (is_hot (exchange) ? 2 : model.misses))
    {
      serve (exchange);
      return;
    }

  switch (g_rand_int_range (model.rand, 0, changes ? 5 : 2))
    {
    case 0:
      answer (exchange, 503, "<Error><Code>SlowDown</Code></Error>");
      break;
    case 1:
      fail (exchange);
      break;
    case 2: /* the answer is lost */
      {
        g_autoptr (BsS3Exchange) copy = copy_request (exchange);

        serve (copy);
        fail (exchange);
      }
      break;
    case 3: /* late, and nobody hears of it */
      g_ptr_array_add (model.late, copy_request (exchange));
      fail (exchange);
      break;
    default: /* twice */
      g_ptr_array_add (model.late, copy_request (exchange));
      serve (exchange);
    }
}

static void
finish (BsS3Exchange *exchange)
{
  meet_fate (exchange);
  /* No two servers of a cluster need agree. */
  if (exchange->date.seconds > 0 && happens (SOMETIMES))
    exchange->date.seconds += g_rand_int_range (model.rand, -MAX_SKEW, MAX_SKEW);
  exchange->has_length = exchange->code == CURLE_OK && !g_str_equal (exchange->method, "HEAD");
  exchange->length = exchange->content->len;
  exchange->done = TRUE;
  g_ptr_array_remove (model.pending, exchange);
}

BsS3Transport *
bs_s3_transport_new (const char *url, guint timeout)
{
  return g_new0 (BsS3Transport, 1);
}

void
bs_s3_transport_free (BsS3Transport *self)
{
  g_free (self);
}

void
bs_s3_transport_abandon (BsS3Transport *self)
{
  g_free (self);
}

gint64
bs_s3_get_time (void)
{
  return model.now;
}

void
bs_s3_transport_start (BsS3Transport *self, BsS3Exchange *exchange)
{
  g_mutex_lock (&model.mutex);
  if (!model_is_dead ())
    g_ptr_array_add (model.pending, bs_s3_exchange_ref (exchange));
  g_mutex_unlock (&model.mutex);
}

/* A request without a waiter is lost, or late. */
static void
abandon (BsS3Exchange *exchange)
{
  if (!g_ptr_array_find (model.pending, exchange, NULL))
    return;
  if (happens (2))
    g_ptr_array_add (model.late, copy_request (exchange));
  g_ptr_array_remove (model.pending, exchange);
}

void
bs_s3_transport_leave (BsS3Transport *self, BsS3Exchange *exchange)
{
  g_mutex_lock (&model.mutex);
  abandon (exchange);
  g_mutex_unlock (&model.mutex);
}

/* Stops the actor until chance has it go on. Under the mutex. */
static void
stop (Actor *self)
{
  self->runs = FALSE;
  g_cond_signal (&model.stopped);
  while (!self->runs)
    g_cond_wait (&self->cond, &model.mutex);
}

gboolean
bs_s3_transport_wait (BsS3Transport *self, BsS3Exchange *exchange, GCancellable *cancellable)
{
  Actor *actor = get_actor ();
  gboolean done;

  g_mutex_lock (&model.mutex);
  if (actor == NULL && !exchange->done)
    {
      /* The program that looks at the remains has a calm network. */
      serve (exchange);
      if (model.watch != NULL)
        model.watch (exchange, get_target (exchange), model.watch_data);
      exchange->has_length = !g_str_equal (exchange->method, "HEAD");
      exchange->length = exchange->content->len;
      exchange->done = TRUE;
      g_ptr_array_remove (model.pending, exchange);
    }
  else if (actor != NULL && !actor->dead)
    {
      actor->awaited = exchange;
      stop (actor);
      actor->awaited = NULL;
    }
  if (actor != NULL && actor->dead)
    abandon (exchange);
  done = exchange->done && !model_is_dead ();
  g_mutex_unlock (&model.mutex);

  return done;
}

/* Chance decides which one is waited for. */
guint
bs_s3_transport_wait_any (BsS3Transport *self,
                          BsS3Exchange *const *exchanges,
                          guint n,
                          GCancellable *cancellable)
{
  guint i;

  g_mutex_lock (&model.mutex);
  i = g_rand_int_range (model.rand, 0, n);
  g_mutex_unlock (&model.mutex);

  return i;
}

gboolean
bs_s3_transport_perform (BsS3Transport *self, BsS3Exchange *exchange, GCancellable *cancellable)
{
  bs_s3_transport_start (self, exchange);
  return bs_s3_transport_wait (self, exchange, cancellable);
}

gboolean
bs_s3_transport_pause (BsS3Transport *self, gint64 microseconds, GCancellable *cancellable)
{
  Actor *actor = get_actor ();

  g_mutex_lock (&model.mutex);
  model.now += microseconds;
  if (actor != NULL && !actor->dead)
    stop (actor);
  g_mutex_unlock (&model.mutex);

  return !model_is_dead ();
}

static gpointer
run_actor (gpointer data)
{
  Actor *self = data;

  g_private_set (&this_actor, self);
  g_mutex_lock (&model.mutex);
  stop (self);
  g_mutex_unlock (&model.mutex);

  self->func (self->data);

  g_mutex_lock (&model.mutex);
  self->ended = TRUE;
  self->runs = FALSE;
  g_cond_signal (&model.stopped);
  g_mutex_unlock (&model.mutex);
  return NULL;
}

/* Under the mutex. */
static void
go_on (Actor *actor)
{
  actor->runs = TRUE;
  g_cond_signal (&actor->cond);
  while (actor->runs)
    g_cond_wait (&model.stopped, &model.mutex);
}

/* Returns an actor that is not frozen, or NULL where none is left at all. */
static Actor *
pick_actor (void)
{
  g_autoptr (GPtrArray) free_ones = g_ptr_array_new ();
  gboolean any = FALSE;

  for (guint i = 0; i < model.actors->len; i++)
    {
      Actor *actor = model.actors->pdata[i];

      any |= !actor->ended;
      if (actor->frozen > 0)
        actor->frozen--;
      else if (!actor->ended)
        g_ptr_array_add (free_ones, actor);
    }
  if (free_ones->len > 0)
    return free_ones->pdata[g_rand_int_range (model.rand, 0, free_ones->len)];

  return any ? pick_actor () : NULL;
}

static void
let_late_arrive (void)
{
  g_autoptr (BsS3Exchange) exchange =
    g_ptr_array_steal_index (model.late, g_rand_int_range (model.rand, 0, model.late->len));

  serve (exchange);
}

/* Returns FALSE at the end. Under the mutex. */
static gboolean
take_step (void)
{
  Actor *actor = pick_actor ();

  if (actor == NULL)
    return FALSE;

  model.n_steps++;
  model.now += g_rand_int_range (model.rand, 0, G_USEC_PER_SEC);
  if (happens (model.advances))
    model_advance (LONG);
  if (model.late->len > 0 && happens (SOMETIMES))
    let_late_arrive ();
  else if (happens (model.freezes))
    actor->frozen = g_rand_int_range (model.rand, 1, MAX_FROZEN);
  else if (happens (RARELY))
    actor->dead = TRUE;
  else if (model.pending->len > 0 && happens (SOMETIMES))
    finish (model.pending->pdata[g_rand_int_range (model.rand, 0, model.pending->len)]);
  else
    {
      if (actor->awaited != NULL && !actor->awaited->done)
        finish (actor->awaited);
      go_on (actor);
    }
  if (actor->dead && !actor->ended)
    go_on (actor);

  return TRUE;
}

void
model_run (GThreadFunc func,
           gpointer *actors,
           guint n_actors,
           void (*check) (gpointer data),
           gpointer data)
{
  for (guint i = 0; i < n_actors; i++)
    {
      Actor *actor = g_new0 (Actor, 1);

      g_cond_init (&actor->cond);
      actor->func = func;
      actor->data = actors[i];
      actor->runs = TRUE;
      g_ptr_array_add (model.actors, actor);
      actor->thread = g_thread_new ("actor", run_actor, actor);
    }

  g_mutex_lock (&model.mutex);
  for (guint i = 0; i < n_actors; i++)
    {
      while (((Actor *) model.actors->pdata[i])->runs)
        g_cond_wait (&model.stopped, &model.mutex);
    }
  while (take_step ())
    check (data);
  g_mutex_unlock (&model.mutex);

  for (guint i = 0; i < n_actors; i++)
    {
      Actor *actor = model.actors->pdata[i];

      g_thread_join (actor->thread);
      g_cond_clear (&actor->cond);
      g_free (actor);
    }
  g_ptr_array_set_size (model.actors, 0);
}

void
model_settle (void)
{
  while (model.pending->len > 0)
    abandon (model.pending->pdata[0]);
  while (model.late->len > 0)
    {
      if (happens (4))
        g_ptr_array_remove_index (model.late, g_rand_int_range (model.rand, 0, model.late->len));
      else
        let_late_arrive ();
    }
}
