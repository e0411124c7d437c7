/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-lease-private.h"

#include "bs-s3-names-private.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The clocks of a cluster's servers may differ so far. */
#define SKEW 5
/* How often a thread looks whether another one has stopped asking. */
#define LOOK_AGAIN (10 * 1000)
/* How often a lease is put anew after answers that were lost. */
#define MAX_TRIES 5

/* A line each: the owner's UUID, host and process, a nonce that makes each renewal another
 * object, and after how many seconds the lease ends, counted from the moment at which the
 * server has stored it. */
typedef struct
{
  char *owner;
  char *host;
  char *place; /* boot and namespace of process ids */
  guint64 process;
  guint64 seconds; /* 0: given back */
} Holder;

static void
holder_clear (Holder *self)
{
  g_free (self->owner);
  g_free (self->host);
  g_free (self->place);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Holder, holder_clear)

/* Process ids mean the same in one place only. */
static char *
make_place (void)
{
  g_autofree char *boot = NULL;
  g_autofree char *namespace = g_file_read_link ("/proc/self/ns/pid", NULL);

  g_file_get_contents ("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL);
  if (boot == NULL || namespace == NULL)
    return g_strdup ("unknown");
  return g_strdup_printf ("%s %s", g_strstrip (boot), namespace);
}

static GBytes *
make_body (BsS3Lease *self, guint seconds)
{
  g_autofree char *place = make_place ();
  char *text =
    g_strdup_printf ("owner %s\nhost %s\nplace %s\nprocess %d\nnonce %016" G_GINT64_MODIFIER
                     "x\nexpiry %u\n",
                     self->owner, g_get_host_name (), place, (int) getpid (), bs_s3_make_nonce (),
                     seconds);

  return g_bytes_new_take (text, strlen (text));
}

static void
parse_line (Holder *self, const char *line)
{
  if (g_str_has_prefix (line, "owner "))
    self->owner = g_strdup (line + 6);
  else if (g_str_has_prefix (line, "host "))
    self->host = g_utf8_make_valid (line + 5, -1);
  else if (g_str_has_prefix (line, "place "))
    self->place = g_strdup (line + 6);
  else if (g_str_has_prefix (line, "process "))
    self->process = g_ascii_strtoull (line + 8, NULL, 10);
  else if (g_str_has_prefix (line, "expiry "))
    self->seconds = g_ascii_strtoull (line + 7, NULL, 10);
}

static void
parse_body (Holder *self, GBytes *body)
{
  gsize size;
  const char *data = g_bytes_get_data (body, &size);
  /* Empty bytes may be NULL. */
  g_autofree char *text = g_strndup (size > 0 ? data : "", MIN (size, 4096));
  g_auto (GStrv) lines = g_strsplit (text, "\n", 16);

  for (guint i = 0; lines[i] != NULL; i++)
    parse_line (self, lines[i]);
}

/* A holder that has ended without giving the lease back is told where it ran. */
static gboolean
is_dead (const Holder *holder)
{
  g_autofree char *place = make_place ();

  return g_strcmp0 (holder->place, place) == 0 && !g_str_equal (place, "unknown") &&
         holder->process > 0 && holder->process <= G_MAXINT && kill (holder->process, 0) != 0 &&
         errno == ESRCH;
}

/* Both times are the server's. */
static gboolean
has_expired (const Holder *holder, const BsS3Answer *answer)
{
  gint64 date = bs_s3_time_parse (&answer->date);
  gint64 modified = bs_s3_time_parse (&answer->modified);

  return holder->seconds == 0 ||
         (date > 0 && modified > 0 &&
          date - modified > (gint64) MIN (holder->seconds, G_MAXUINT32) + SKEW);
}

void
bs_s3_lease_init (BsS3Lease *self, BsS3Client *client, const char *key, const char *owner)
{
  g_mutex_init (&self->asking);
  g_mutex_init (&self->mutex);
  self->client = client;
  self->key = g_strdup (key);
  self->owner = g_strdup (owner);
}

void
bs_s3_lease_clear (BsS3Lease *self)
{
  g_free (self->key);
  g_free (self->owner);
  g_free (self->etag);
  g_mutex_clear (&self->mutex);
  g_mutex_clear (&self->asking);
}

static gboolean
put (BsS3Lease *self,
     const char *etag,
     guint seconds,
     BsS3Answer *answer,
     GCancellable *cancellable,
     GError **error)
{
  g_autoptr (GBytes) body = make_body (self, seconds);
  const BsS3Request request = {
    .method = "PUT",
    .key = self->key,
    .body = body,
    .if_match = etag,
    .if_none_match = etag == NULL,
    /* A program that ends does not wait for a server that is away. */
    .brief = seconds == 0,
  };

  return bs_s3_client_ask (self->client, &request, answer, cancellable, error);
}

/* A thread that is cancelled does not wait for the requests of another one. */
static gboolean
lock (BsS3Lease *self, GCancellable *cancellable, GError **error)
{
  while (!g_mutex_trylock (&self->asking))
    {
      if (bs_s3_client_pause (self->client, LOOK_AGAIN, cancellable))
        continue;
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("it was cancelled"));
      return FALSE;
    }
  return TRUE;
}

void
bs_s3_lease_lose (BsS3Lease *self)
{
  g_mutex_lock (&self->mutex);
  self->lost = TRUE;
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_s3_lease_is_lost (BsS3Lease *self)
{
  gboolean lost;

  g_mutex_lock (&self->mutex);
  lost = self->lost;
  g_mutex_unlock (&self->mutex);

  return lost;
}

static void
get_state (BsS3Lease *self, gint64 *age, gboolean *lost)
{
  g_mutex_lock (&self->mutex);
  *age = (bs_s3_get_time () - self->renewed) / G_USEC_PER_SEC;
  *lost = self->lost;
  g_mutex_unlock (&self->mutex);
}

static void
take_answer (BsS3Lease *self, BsS3Answer *answer)
{
  g_free (self->etag);
  self->etag = g_steal_pointer (&answer->etag);
  g_mutex_lock (&self->mutex);
  self->renewed = answer->sent;
  g_mutex_unlock (&self->mutex);
}

static gboolean
set_busy (const Holder *holder, GError **error)
{
  g_set_error (error, BS_ERROR, BS_ERROR_BUSY, _ ("a program on %s has the document open"),
               holder->host != NULL ? holder->host : "another machine");
  return FALSE;
}

/* A PUT that is tried again may meet what its first attempt has stored. */
static gboolean
get (BsS3Lease *self, BsS3Answer *answer, Holder *holder, GCancellable *cancellable, GError **error)
{
  const BsS3Request request = { .method = "GET", .key = self->key };

  if (!bs_s3_client_ask (self->client, &request, answer, cancellable, error))
    return FALSE;
  if (answer->status == 404)
    {
      g_autoptr (GError) local = NULL;

      bs_s3_answer_set_error (answer, &local);
      if (g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND))
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (!bs_s3_answer_check (answer, error))
    return FALSE;

  parse_body (holder, answer->content);
  return TRUE;
}

static gboolean
is_ours (BsS3Lease *self, const Holder *holder)
{
  return g_strcmp0 (holder->owner, self->owner) == 0;
}

/* Under `asking`. */
static gboolean
take (BsS3Lease *self, GCancellable *cancellable, GError **error)
{
  g_auto (BsS3Answer) found = { 0 };
  g_auto (BsS3Answer) answer = { 0 };
  g_auto (Holder) holder = { 0 };
  gboolean exists;

  if (!get (self, &found, &holder, cancellable, error))
    return FALSE;

  exists = found.status != 404;
  if (exists && !is_ours (self, &holder) && !has_expired (&holder, &found) && !is_dead (&holder))
    return set_busy (&holder, error);

  if (!put (self, exists ? found.etag : NULL, bs_s3_client_get_settings (self->client)->lease,
            &answer, cancellable, error))
    return FALSE;
  if (answer.status == 412)
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_BUSY,
                           _ ("another program opens the document at this moment"));
      return FALSE;
    }
  if (!bs_s3_answer_check (&answer, error))
    return FALSE;

  take_answer (self, &answer);
  return TRUE;
}

gboolean
bs_s3_lease_take (BsS3Lease *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  gboolean success;

  g_mutex_lock (&self->asking);
  success = take (self, cancellable, &local);
  /* A server that refuses quotes answers as if the lock had changed; so does one that has
   * carried out a request whose answer was lost. */
  for (guint i = 0; !success && i < 2 && g_error_matches (local, BS_ERROR, BS_ERROR_BUSY); i++)
    {
      g_auto (BsS3Answer) found = { 0 };
      g_auto (Holder) holder = { 0 };

      if (!get (self, &found, &holder, cancellable, NULL) || found.status == 404 ||
          !(is_ours (self, &holder) || has_expired (&holder, &found) || is_dead (&holder)))
        break;
      g_clear_error (&local);
      if (!is_ours (self, &holder))
        bs_s3_client_set_quotes (self->client, !bs_s3_client_get_quotes (self->client));
      success = take (self, cancellable, &local);
    }
  g_mutex_unlock (&self->asking);

  if (!success)
    g_propagate_error (error, g_steal_pointer (&local));
  return success;
}

/* FALSE without an error: `.lock` has changed, or is gone. */
static gboolean
put_again (BsS3Lease *self, GCancellable *cancellable, GError **error)
{
  g_auto (BsS3Answer) answer = { 0 };

  if (!put (self, self->etag, bs_s3_client_get_settings (self->client)->lease, &answer, cancellable,
            error))
    return FALSE;
  if (answer.status == 412 || answer.status == 404)
    return FALSE;
  if (!bs_s3_answer_check (&answer, error))
    return FALSE;

  take_answer (self, &answer);
  return TRUE;
}

/* Looks at `.lock` after a refusal. FALSE without an error: it is not this owner's any more. */
static gboolean
find_again (BsS3Lease *self, GCancellable *cancellable, GError **error)
{
  g_auto (BsS3Answer) found = { 0 };
  g_auto (Holder) holder = { 0 };

  if (!get (self, &found, &holder, cancellable, error) || found.status == 404 ||
      !is_ours (self, &holder))
    return FALSE;

  /* Nothing has changed, so that the server wants another spelling. */
  if (g_strcmp0 (found.etag, self->etag) == 0)
    bs_s3_client_set_quotes (self->client, !bs_s3_client_get_quotes (self->client));
  g_free (self->etag);
  self->etag = g_steal_pointer (&found.etag);
  return TRUE;
}

/* Puts the lease on its own ETag, which a PUT has changed whose answer was lost. FALSE without
 * an error: another program has it. */
static gboolean
put_on_own (BsS3Lease *self, GCancellable *cancellable, GError **error)
{
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr (GError) local = NULL;

      if (put_again (self, cancellable, &local))
        return TRUE;
      if (local == NULL && find_again (self, cancellable, &local))
        continue;
      if (local != NULL)
        g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  return FALSE;
}

/* Whether a PUT that must not succeed is refused. */
static gboolean
is_refused (BsS3Lease *self,
            const char *etag,
            gboolean *refused,
            GCancellable *cancellable,
            GError **error)
{
  g_auto (BsS3Answer) answer = { 0 };

  if (!put (self, etag, bs_s3_client_get_settings (self->client)->lease, &answer, cancellable,
            error))
    return FALSE;
  *refused = answer.status == 412;
  if (*refused)
    return TRUE;
  if (answer.status == 501)
    return TRUE;
  if (!bs_s3_answer_check (&answer, error))
    return FALSE;
  take_answer (self, &answer);
  return TRUE;
}

gboolean
bs_s3_lease_probe (BsS3Lease *self, gboolean *respected, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  gboolean refused = FALSE;
  gboolean success;

  *respected = FALSE;
  g_mutex_lock (&self->asking);
  success = put_on_own (self, cancellable, &local);
  if (!success && local == NULL)
    g_set_error_literal (&local, BS_ERROR, BS_ERROR_BUSY,
                         _ ("another program opens the document at this moment"));
  success = success && is_refused (self, NULL, &refused, cancellable, &local);
  if (success && refused)
    success =
      is_refused (self, "\"00000000000000000000000000000000\"", respected, cancellable, &local);
  g_mutex_unlock (&self->asking);

  if (!success)
    g_propagate_error (error, g_steal_pointer (&local));
  return success;
}

/* Under `asking`. */
static gboolean
renew (BsS3Lease *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (put_on_own (self, cancellable, &local))
    return TRUE;
  if (local != NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  else
    bs_s3_lease_lose (self);
  return FALSE;
}

static gboolean
renew_if_due (BsS3Lease *self, gint64 limit, GCancellable *cancellable, GError **error)
{
  gboolean success, lost;
  gint64 age;

  get_state (self, &age, &lost);
  if (lost || age < limit)
    return !lost;
  if (!lock (self, cancellable, error))
    return FALSE;

  get_state (self, &age, &lost);
  success = !lost && self->etag != NULL && (age < limit || renew (self, cancellable, error));
  g_mutex_unlock (&self->asking);
  return success;
}

gboolean
bs_s3_lease_check (BsS3Lease *self, GCancellable *cancellable, GError **error)
{
  gint64 seconds = bs_s3_client_get_settings (self->client)->lease;
  g_autoptr (GError) local = NULL;

  /* The server's Date has no fractions. */
  if (renew_if_due (self, seconds - 1, cancellable, &local))
    return TRUE;

  if (local != NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  else
    g_set_error_literal (
      error, BS_ERROR, BS_ERROR_BUSY,
      _ ("another program has taken the document; what was persisted here since is "
         "void, and the path is to be tracked anew"));
  return FALSE;
}

void
bs_s3_lease_renew (BsS3Lease *self, GCancellable *cancellable)
{
  renew_if_due (self, bs_s3_client_get_settings (self->client)->lease / 3, cancellable, NULL);
}

void
bs_s3_lease_give_back (BsS3Lease *self, GCancellable *cancellable)
{
  g_auto (BsS3Answer) answer = { 0 };
  gboolean lost;
  gint64 age;

  if (!lock (self, cancellable, NULL))
    return;

  get_state (self, &age, &lost);
  if (self->etag != NULL && !lost)
    put (self, self->etag, 0, &answer, cancellable, NULL);
  g_clear_pointer (&self->etag, g_free);
  g_mutex_unlock (&self->asking);
  bs_s3_lease_lose (self);
}
