/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/operations/bs-save-names-private.h"

#include "store/queues/bs-path-private.h"
#include "store/queues/bs-key-queue-private.h"

/* A name with a token is persisted. One without must be there: where that is not
 * certain it is registered, behind whatever else was asked for it, and is found or
 * not; where a call has failed before, it is then persisted again, since nobody
 * knows whether it would be durable. */

/* One name that is under way. */
typedef struct
{
  BsSaveNames *names;
  guint index;                /* in `todo` */
} Step;

static const BsSaveName *
get_name (BsSaveNames *self, guint index)
{
  return &self->plan->names[self->todo[index]];
}

static BsToken *
get_record (BsSaveNames *self, guint index)
{
  const BsSaveName *name = get_name (self, index);

  return name->token != NULL ? name->token : self->tokens[index];
}

/* It was registered, and has to be persisted yet, which the save itself sees to. */
static gboolean
is_to_be_persisted (BsSaveNames *self, guint index)
{
  const BsKey *key = &get_name (self, index)->key;
  guint64 hash = bs_key_hash (key);
  BsShard *shard = &self->operation->store->shards[bs_shard_index (hash)];

  if (!bs_key_table_contains (&self->doubted, key, hash))
    return FALSE;

  g_mutex_lock (&shard->mutex);
  bs_tracked_path_set_uncertain (self->operation->tracked, key, hash);
  g_mutex_unlock (&shard->mutex);
  return TRUE;
}

/* One operation has ended. TRUE if there is another to be done for the name. */
static gboolean
note_step (BsSaveNames *self, guint index, BsToken *token, GError *error)
{
  if (error != NULL)
    {
      g_mutex_lock (&self->mutex);
      if (self->error == NULL)
        self->error = g_steal_pointer (&error);
      g_mutex_unlock (&self->mutex);
      g_clear_error (&error);
      return FALSE;
    }

  if (token != NULL)
    {
      self->tokens[index] = token;
      if (is_to_be_persisted (self, index))
        return TRUE;
    }
  else if (get_name (self, index)->token != NULL)
    {
      self->plan->persisted (self->plan->data, self->todo[index]);
    }
  self->plan->progress (self->plan->data, 1);

  return FALSE;
}

static void
start_step (BsSaveNames *self, guint index, BsWaiter *waiter)
{
  const BsSaveName *name = get_name (self, index);
  BsToken *token = get_record (self, index);
  BsOperationKind kind = token != NULL ? BS_KIND_PERSIST : BS_KIND_REGISTER;
  g_autoptr (BsContent) content = NULL;

  if (name->token != NULL)
    content = self->plan->dup_content (self->plan->data, self->todo[index]);
  bs_waiter_set_subject (waiter, kind, &name->key, self->operation->tracked);
  bs_key_queue_start (self->operation->store, kind, &name->key, token, self->operation->tracked, content, waiter);
}

static void
step_free (gpointer data)
{
  Step *step = data;

  bs_store_operation_unref (step->names->operation);
  g_free (step);
}

static void start_in_background (BsSaveNames *self, guint index);
static void pump (BsSaveNames *self);

static gpointer
background_step_done (gpointer data, gpointer value, GError **error)
{
  Step *step = data;
  BsSaveNames *self = step->names;

  if (note_step (self, step->index, value, g_steal_pointer (error)))
    {
      start_in_background (self, step->index);
      return NULL;
    }

  g_mutex_lock (&self->mutex);
  self->n_running--;
  g_mutex_unlock (&self->mutex);
  pump (self);

  return NULL;
}

static void
start_in_background (BsSaveNames *self, guint index)
{
  Step *step = g_new (Step, 1);
  BsWaiter *waiter;

  bs_store_operation_ref (self->operation);
  step->names = self;
  step->index = index;
  waiter = bs_waiter_new_background (self->operation->store, g_atomic_int_get (&self->operation->priority), background_step_done, step, step_free);
  g_set_object (&waiter->cancellable, self->cancellable);
  start_step (self, index, waiter);
  bs_waiter_unref (waiter);
}

/* Under the mutex. */
static gboolean
take (BsSaveNames *self, guint *index)
{
  /* Once it has been answered nothing more is to be done, after an error too. */
  if (self->waiter == NULL || self->error != NULL || self->next_todo == self->n_todo)
    return FALSE;

  *index = self->next_todo++;
  return TRUE;
}

/* Starts as many as may be under way, and ends it when all are done. What is done
 * while somebody pumps is seen by that one. */
static void
pump (BsSaveNames *self)
{
  BsWaiter *waiter = NULL;
  GError *error = NULL;
  guint index;

  g_mutex_lock (&self->mutex);
  if (!self->pumping)
    {
      self->pumping = TRUE;
      while (self->n_running < self->plan->max_parallel && take (self, &index))
        {
          self->n_running++;
          g_mutex_unlock (&self->mutex);
          start_in_background (self, index);
          g_mutex_lock (&self->mutex);
        }
      self->pumping = FALSE;
      if (self->n_running == 0)
        {
          waiter = g_steal_pointer (&self->waiter);
          error = g_steal_pointer (&self->error);
        }
    }
  g_mutex_unlock (&self->mutex);

  if (waiter != NULL)
    {
      bs_waiter_answer (waiter, NULL, error);
      bs_waiter_unref (waiter);
    }
}

/* The store's short way; FALSE where it can't be taken. */
static gboolean
persist_now (BsSaveNames *self, guint index)
{
  const BsSaveName *name = get_name (self, index);
  BsBackingStore *store = self->operation->store;
  g_autoptr (BsContent) content = NULL;
  GError *error = NULL;
  gpointer unused;

  if (self->cancellable != NULL || name->token == NULL)
    return FALSE;

  content = self->plan->dup_content (self->plan->data, self->todo[index]);
  if (!bs_key_queue_call_now (store, BS_KIND_PERSIST, &name->key, name->token, self->operation->tracked, content, TRUE, &unused, &error))
    return FALSE;

  note_step (self, index, NULL, error);
  return TRUE;
}

typedef struct
{
  Step step;
  gboolean more;
} StepHere;

static gpointer
step_here_done (gpointer data, gpointer value, GError **error)
{
  StepHere *here = data;

  here->more = note_step (here->step.names, here->step.index, value, g_steal_pointer (error));
  return NULL;
}

static void
do_here (BsSaveNames *self, guint index)
{
  StepHere here = { { self, index }, FALSE };

  if (persist_now (self, index))
    return;

  do
    {
      BsWaiter *waiter = bs_waiter_new_blocking (self->operation->store, self->cancellable, step_here_done, &here, NULL, NULL);

      waiter->inner = TRUE;
      start_step (self, index, waiter);
      bs_waiter_wait (waiter, NULL);
    }
  while (here.more);
}

void
bs_save_names_start (BsSaveNames *self, BsWaiter *waiter)
{
  gboolean more = TRUE;
  guint index;

  self->tokens = g_new0 (BsToken *, self->n_todo);
  g_mutex_lock (&self->mutex);
  self->waiter = bs_waiter_ref (waiter);
  /* The thread of a blocking call is one of those that are under way. */
  self->n_running = waiter->blocking;
  g_mutex_unlock (&self->mutex);

  pump (self);
  if (!waiter->blocking)
    return;

  while (more)
    {
      g_mutex_lock (&self->mutex);
      more = take (self, &index);
      if (!more)
        self->n_running--;
      g_mutex_unlock (&self->mutex);
      if (more)
        do_here (self, index);
    }
  pump (self);
}

void
bs_save_names_init (BsSaveNames *self, BsStoreOperation *operation, const BsSavePlan *plan, GCancellable *cancellable)
{
  self->operation = operation;
  self->plan = plan;
  self->cancellable = cancellable;
  bs_key_table_init (&self->doubted, 0);
  g_mutex_init (&self->mutex);
}

static void
drop_tokens (BsSaveNames *self)
{
  guint n_holders = 0;

  for (guint i = 0; self->tokens != NULL && i < self->n_todo; i++)
    if (self->tokens[i] != NULL)
      self->tokens[n_holders++] = self->tokens[i];
  if (n_holders > 0)
    bs_backing_store_drop_tokens (self->operation->store, self->tokens, n_holders);
  g_clear_pointer (&self->tokens, g_free);
}

/* Somebody may still pump, and finds nobody to be answered. */
void
bs_save_names_reset (BsSaveNames *self, guint *todo, guint n_todo)
{
  drop_tokens (self);
  g_free (self->todo);
  self->todo = todo;
  self->n_todo = n_todo;

  g_mutex_lock (&self->mutex);
  self->next_todo = 0;
  g_mutex_unlock (&self->mutex);
}

void
bs_save_names_clear (BsSaveNames *self)
{
  drop_tokens (self);
  g_free (self->todo);
  bs_key_table_clear (&self->doubted);
  g_clear_error (&self->error);
  g_mutex_clear (&self->mutex);
}
