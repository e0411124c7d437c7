/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "store/threads/bs-notifier-private.h"

#include "base/bs-fork-private.h"

/* The time for which changes are gathered before they are told, in milliseconds. */
#define DELAY 10

typedef struct
{
  GWeakRef object;   /* of a notification */
  gpointer identity; /* the object's address, only to compare */
  GParamSpec *pspec; /* borrowed from the class; NULL for a report */
  int *pending;      /* in the object, nullable */

  /* a report */
  guint signal_id;
  BsOperation operation;
  char *key;     /* owned, nullable */
  GError *error; /* owned */
} Notice;

/* An attached source holds the memory, and is no owner: in a context that is not
 * run any more it would keep the notifier, which keeps the context, which keeps
 * the source. */
struct _BsNotifier
{
  gatomicrefcount n_owners;

  GMainContext *context; /* owned; constant */
  guint n_forks;         /* constant: a forked child says nothing for its parent */
  GWeakRef
    reporter; /* of all reports: GLib allows no more than 65535 weak references to an object */

  GMutex mutex;

  /* under the mutex */
  GPtrArray *notices; /* owned */
  GSource *source;    /* owned; NULL while none is attached */
  GHashTable *queued; /* of the notices without a flag, by object and property */
};

static void
notice_clear (gpointer data)
{
  Notice *notice = data;

  g_weak_ref_clear (&notice->object);
  g_clear_error (&notice->error);
  g_free (notice->key);
}

static void
notice_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, notice_clear);
}

static guint
notice_hash (gconstpointer key)
{
  const Notice *notice = key;

  return g_direct_hash (notice->identity) * 31 + g_direct_hash (notice->pspec);
}

static gboolean
notice_equal (gconstpointer a, gconstpointer b)
{
  const Notice *left = a, *right = b;

  return left->identity == right->identity && left->pspec == right->pspec;
}

BsNotifier *
bs_notifier_new (void)
{
  BsNotifier *notifier = g_atomic_rc_box_new0 (BsNotifier);

  g_atomic_ref_count_init (&notifier->n_owners);
  g_mutex_init (&notifier->mutex);
  notifier->context = g_main_context_ref_thread_default ();
  notifier->n_forks = bs_n_forks;
  g_weak_ref_init (&notifier->reporter, NULL);
  notifier->notices = g_ptr_array_new_with_free_func (notice_unref);
  notifier->queued = g_hash_table_new (notice_hash, notice_equal);
  return notifier;
}

BsNotifier *
bs_notifier_ref (BsNotifier *notifier)
{
  g_atomic_ref_count_inc (&notifier->n_owners);
  return notifier;
}

static void
notifier_clear (gpointer data)
{
  BsNotifier *notifier = data;

  g_hash_table_unref (notifier->queued);
  g_ptr_array_unref (notifier->notices);
  g_main_context_unref (notifier->context);
  g_weak_ref_clear (&notifier->reporter);
  g_mutex_clear (&notifier->mutex);
}

static void
notifier_release (gpointer data)
{
  g_atomic_rc_box_release_full (data, notifier_clear);
}

void
bs_notifier_unref (BsNotifier *notifier)
{
  GSource *source;

  if (!g_atomic_ref_count_dec (&notifier->n_owners))
    return;

  g_mutex_lock (&notifier->mutex);
  source = g_steal_pointer (&notifier->source);
  g_mutex_unlock (&notifier->mutex);

  if (source != NULL)
    {
      g_source_destroy (source);
      g_source_unref (source);
    }
  notifier_release (notifier);
}

static void
emit (BsNotifier *notifier, GPtrArray *notices)
{
  for (guint i = 0; i < notices->len; i++)
    {
      Notice *notice = g_ptr_array_index (notices, i);
      g_autoptr (GObject) object =
        g_weak_ref_get (notice->pspec != NULL ? &notice->object : &notifier->reporter);

      if (object == NULL)
        continue;
      if (notice->pending != NULL)
        g_atomic_int_set (notice->pending, FALSE);
      if (notice->pspec != NULL)
        g_object_notify_by_pspec (object, notice->pspec);
      else
        g_signal_emit (object, notice->signal_id, 0, notice->key, notice->operation, notice->error);
    }
}

static gboolean
tell (gpointer data)
{
  BsNotifier *notifier = data;
  g_autoptr (GPtrArray) notices = g_ptr_array_new_with_free_func (notice_unref);

  if (notifier->n_forks != bs_n_forks)
    return G_SOURCE_REMOVE;

  g_mutex_lock (&notifier->mutex);
  g_clear_pointer (&notifier->source, g_source_unref);
  g_ptr_array_extend_and_steal (notices, g_steal_pointer (&notifier->notices));
  notifier->notices = g_ptr_array_new_with_free_func (notice_unref);
  g_hash_table_remove_all (notifier->queued);
  g_mutex_unlock (&notifier->mutex);

  emit (notifier, notices);

  return G_SOURCE_REMOVE;
}

/* Takes `notice` over. */
static void
add (BsNotifier *notifier, Notice *notice)
{
  if (notifier->n_forks != bs_n_forks)
    {
      notice_unref (notice);
      return;
    }

  g_mutex_lock (&notifier->mutex);
  g_ptr_array_add (notifier->notices, notice);
  if (notice->pspec != NULL && notice->pending == NULL)
    g_hash_table_replace (notifier->queued, notice, notice);
  if (notifier->source == NULL)
    {
      notifier->source = g_timeout_source_new (DELAY);
      g_source_set_static_name (notifier->source, "backingstore notifications");
      g_source_set_callback (notifier->source, tell, g_atomic_rc_box_acquire (notifier),
                             notifier_release);
      g_source_attach (notifier->source, notifier->context);
    }
  g_mutex_unlock (&notifier->mutex);
}

/* Whether a notification without a flag of the object's own is queued already. */
static gboolean
is_queued (BsNotifier *notifier, GObject *object, GParamSpec *pspec)
{
  g_autoptr (GObject) alive = NULL;
  Notice key = { .identity = object, .pspec = pspec };
  Notice *notice;

  g_mutex_lock (&notifier->mutex);
  notice = g_hash_table_lookup (notifier->queued, &key);
  if (notice != NULL)
    g_atomic_rc_box_acquire (notice);
  g_mutex_unlock (&notifier->mutex);

  if (notice == NULL)
    return FALSE;

  /* The notice may be that of a former object at the same address. */
  alive = g_weak_ref_get (&notice->object);
  notice_unref (notice);
  return alive != NULL;
}

/* Takes out the notices of one object, in order. */
static GPtrArray *
take (BsNotifier *notifier, GObject *object)
{
  GPtrArray *taken = g_ptr_array_new_with_free_func (notice_unref);

  g_mutex_lock (&notifier->mutex);
  for (guint i = 0; i < notifier->notices->len;)
    {
      Notice *notice = g_ptr_array_index (notifier->notices, i);

      if (notice->identity != object)
        {
          i++;
          continue;
        }
      if (g_hash_table_lookup (notifier->queued, notice) == notice)
        g_hash_table_remove (notifier->queued, notice);
      g_ptr_array_add (taken, g_ptr_array_steal_index (notifier->notices, i));
    }
  g_mutex_unlock (&notifier->mutex);

  return taken;
}

void
bs_notifier_forget (BsNotifier *notifier, GObject *object)
{
  if (notifier->n_forks == bs_n_forks)
    g_ptr_array_unref (take (notifier, object));
}

void
bs_notifier_tell_now (BsNotifier *notifier, GMainContext *context, GObject *object)
{
  g_autoptr (GPtrArray) notices = NULL;

  if (context != notifier->context || notifier->n_forks != bs_n_forks)
    return;

  notices = take (notifier, object);
  emit (notifier, notices);
}

void
bs_notifier_notify (BsNotifier *notifier, GObject *object, GParamSpec *pspec, int *pending)
{
  Notice *notice;

  if (notifier->n_forks != bs_n_forks)
    return;

  if (pending != NULL)
    {
      if (g_atomic_int_get (pending) || !g_atomic_int_compare_and_exchange (pending, FALSE, TRUE))
        return;
    }
  else if (is_queued (notifier, object, pspec))
    {
      return;
    }

  notice = g_atomic_rc_box_new0 (Notice);
  g_weak_ref_init (&notice->object, object);
  notice->identity = object;
  notice->pspec = pspec;
  notice->pending = pending;
  add (notifier, notice);
}

void
bs_notifier_report (BsNotifier *notifier,
                    GObject *object,
                    guint signal_id,
                    const BsKey *key,
                    BsOperation operation,
                    GError *error)
{
  Notice *notice;

  /* Without a handler there may be no main loop, and reports would pile up. */
  if (!g_signal_has_handler_pending (object, signal_id, 0, TRUE))
    {
      g_error_free (error);
      return;
    }

  g_weak_ref_set (&notifier->reporter, object);
  notice = g_atomic_rc_box_new0 (Notice);
  notice->identity = object;
  notice->signal_id = signal_id;
  notice->operation = operation;
  notice->key = key != NULL ? bs_key_to_string (key) : NULL;
  notice->error = error;
  add (notifier, notice);
}
