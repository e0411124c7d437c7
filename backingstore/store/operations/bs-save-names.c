/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-save-names-private.h"

#include "base/bs-backing-private.h"
#include "store/operations/bs-bulk-private.h"
#include "store/operations/bs-store-private.h"

/* A name with a token is persisted. A name without one must be at the path. An
 * uncertain one is registered, behind the operations asked before, and is found or
 * not; after a failed call it is then persisted again: it may not be durable. */

/* One transaction of a database has so many blobs and more; all of them wait for each other. */
#define MOST_TOGETHER 1024

/* The item of an operation on many names, each of which has told its own result. */
#define TOGETHER G_MAXUINT64

char *
bs_save_plan_describe (const BsSavePlan *plan, guint name)
{
  g_autofree char *description = plan->describe != NULL ? plan->describe (plan->data, name) : NULL;

  return description != NULL ? g_strconcat (description, ": ", NULL) : g_strdup ("");
}

static const BsSaveName *
get_name (BsSaveNames *self, guint64 item)
{
  return &self->plan->names[self->todo[item]];
}

/* The next operation for a name. */
static void
make_request (gpointer data, guint64 item, BsRequest *request)
{
  BsSaveNames *self = data;
  const BsSaveName *name = get_name (self, item);
  BsToken *token = name->token != NULL ? name->token : self->tokens[item];

  *request = (BsRequest){
    .kind = token != NULL ? BS_KIND_PERSIST : BS_KIND_REGISTER,
    .internal = TRUE,
    .tracked = self->batch.operation->tracked,
    .token = token,
    .key = &name->key,
  };
  if (name->token != NULL)
    request->content = self->plan->dup_content (self->plan->data, self->todo[item]);
}

/* Takes the names of the next operation. Returns their number. */
static guint
take_names (BsSaveNames *self, guint *first)
{
  guint n = 0;

  g_mutex_lock (&self->mutex);
  *first = self->next_todo;
  while (*first + n < self->n_todo && n < self->n_together)
    if (get_name (self, *first + n++)->token == NULL)
      break;
  /* A name without a token goes alone. */
  if (n > 1 && get_name (self, *first + n - 1)->token == NULL)
    n--;
  self->next_todo += n;
  g_mutex_unlock (&self->mutex);

  return n;
}

static void one_done (gpointer data, guint64 item, const GError *error);

static gboolean
names_next (BsBatch *batch, BsRequest *request, guint64 *item)
{
  BsSaveNames *self = (BsSaveNames *) batch;
  guint first, n;

  if (g_atomic_int_get (&self->failed))
    return FALSE;
  n = take_names (self, &first);
  if (n == 0)
    return FALSE;

  if (n == 1)
    {
      *item = first;
      make_request (self, first, request);
      return TRUE;
    }

  *item = TOGETHER;
  *request = (BsRequest){ .kind = BS_KIND_PERSIST_KEYS,
                          .internal = TRUE,
                          .tracked = batch->operation->tracked,
                          .persists = { first, n, self, make_request, one_done } };
  return TRUE;
}

/* A registered name that may not be durable has yet to be persisted: UNCERTAIN makes
 * the persist call the backing. */
static gboolean
is_to_be_persisted (BsSaveNames *self, guint64 item)
{
  BsStoreOperation *operation = self->batch.operation;
  const BsKey *key = &get_name (self, item)->key;
  guint64 hash = bs_key_hash (key);
  BsShard *shard = bs_store_get_shard (operation->store, hash);

  if (!bs_key_table_contains (&self->uncertain, key, hash))
    return FALSE;

  g_mutex_lock (&shard->mutex);
  bs_members_set (&operation->tracked->members, key, hash, BS_MEMBER_UNCERTAIN, 0);
  g_mutex_unlock (&shard->mutex);
  return TRUE;
}

static void
note_first_error (BsSaveNames *self, const GError *error, const char *description)
{
  g_mutex_lock (&self->mutex);
  if (self->error == NULL)
    {
      self->error = g_error_copy (error);
      g_prefix_error (&self->error, "%s", description);
    }
  g_mutex_unlock (&self->mutex);
  g_atomic_int_set (&self->failed, TRUE);
}

static void
note_error (BsSaveNames *self, guint64 item, const GError *error)
{
  g_autofree char *description = bs_save_plan_describe (self->plan, self->todo[item]);

  note_first_error (self, error, description);
}

/* Primary storage has lost the blob, or has it damaged; the content is in memory: the request
 * writes it anew, once. */
static gboolean
write_again (BsSaveNames *self, guint64 item, const GError *error, BsRequest *request)
{
  const BsSaveName *name = get_name (self, item);
  gboolean first;

  if (name->token == NULL || !(g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND) ||
                               g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT)))
    return FALSE;

  g_mutex_lock (&self->mutex);
  first = bs_key_table_add (&self->rewritten, &name->key, bs_key_hash (&name->key));
  g_mutex_unlock (&self->mutex);
  if (!first)
    return FALSE;

  make_request (self, item, request);
  return request->content != NULL;
}

static gboolean
names_done (BsBatch *batch,
            guint64 item,
            const BsKey *key,
            gpointer value,
            const GError *error,
            BsRequest *request)
{
  BsSaveNames *self = (BsSaveNames *) batch;

  if (item == TOGETHER)
    {
      /* Nothing was begun, or the operation was cancelled in the middle. */
      if (error != NULL)
        note_first_error (self, error, "");
      return FALSE;
    }
  if (error != NULL)
    {
      if (write_again (self, item, error, request))
        return TRUE;
      note_error (self, item, error);
      return FALSE;
    }

  if (get_name (self, item)->token != NULL)
    {
      self->plan->persisted (self->plan->data, self->todo[item]);
    }
  else if (self->tokens[item] == NULL)
    {
      self->tokens[item] = value;
      if (is_to_be_persisted (self, item))
        {
          make_request (self, item, request);
          return TRUE;
        }
    }
  self->plan->progress (self->plan->data, 1);

  return FALSE;
}

/* One of the names that go together. */
static void
one_done (gpointer data, guint64 item, const GError *error)
{
  BsSaveNames *self = data;
  BsRequest request;

  if (!names_done (&self->batch, item, NULL, NULL, error, &request))
    return;

  bs_batch_add (&self->batch, &request, item);
  g_clear_pointer (&request.content, bs_content_unref);
}

static void
names_end (BsBatch *batch)
{
  BsSaveNames *self = (BsSaveNames *) batch;

  bs_waiter_answer_and_unref (g_steal_pointer (&self->waiter), NULL,
                              g_steal_pointer (&self->error));
}

static const BsBatchClass names_class = {
  .next = names_next,
  .done = names_done,
  .end = names_end,
};

void
bs_save_names_start (BsSaveNames *self, BsWaiter *waiter)
{
  guint n_parallel = MIN (self->plan->max_parallel, self->n_todo);
  BsBacking *backing = self->batch.operation->store->backing;

  self->tokens = g_new0 (BsToken *, self->n_todo);
  self->n_together = bs_backing_implements (backing, BS_OPERATION_PERSIST_KEYS)
                       ? MIN ((self->n_todo + n_parallel - 1) / n_parallel, MOST_TOGETHER)
                       : 1;
  self->waiter = bs_waiter_ref (waiter);
  /* A blocking save persists the last name on its own thread. */
  bs_batch_begin (&self->batch, n_parallel, waiter->cancellable);
  if (waiter->blocking)
    bs_batch_feed_here (&self->batch);
  else
    bs_batch_feed (&self->batch);
}

void
bs_save_names_init (BsSaveNames *self, BsStoreOperation *operation, const BsSavePlan *plan)
{
  bs_batch_init (&self->batch, &names_class, operation);
  self->plan = plan;
  bs_key_table_init (&self->uncertain, 0);
  bs_key_table_init (&self->rewritten, 0);
  g_mutex_init (&self->mutex);
}

static void
drop_tokens (BsSaveNames *self)
{
  guint n_tokens = 0;

  for (guint i = 0; self->tokens != NULL && i < self->n_todo; i++)
    if (self->tokens[i] != NULL)
      self->tokens[n_tokens++] = self->tokens[i];
  bs_bulk_drop_tokens (self->batch.operation->store, self->tokens, n_tokens);
  g_clear_pointer (&self->tokens, g_free);
}

void
bs_save_names_reset (BsSaveNames *self, guint *todo, guint n_todo)
{
  drop_tokens (self);
  g_free (self->todo);
  self->todo = todo;
  self->n_todo = n_todo;
  self->next_todo = 0;
}

void
bs_save_names_clear (BsSaveNames *self)
{
  drop_tokens (self);
  g_free (self->todo);
  bs_key_table_clear (&self->uncertain);
  bs_key_table_clear (&self->rewritten);
  g_clear_error (&self->error);
  g_mutex_clear (&self->mutex);
  bs_batch_clear (&self->batch);
}
