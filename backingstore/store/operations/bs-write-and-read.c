/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-write-and-read-private.h"

#include "store/operations/bs-admission-private.h"
#include "store/operations/bs-ask-private.h"
#include "store/operations/bs-store-private.h"

/* Both parts are internal: a store that closes in between finishes the write, and lets
 * the read fail as it does with every load. */

static void
free_data (const BsDelivery *delivery)
{
  if (delivery->data_free != NULL)
    delivery->data_free (delivery->data);
}

static void
clear_data (BsDelivery *delivery)
{
  free_data (delivery);
  delivery->data_free = NULL;
}

/* Returns TRUE with a count, which bs_task_count_end() ends, else answers the waiter. */
static gboolean
admit (BsBackingStore *store, BsOperationKind kind, BsToken *token, BsWaiter *waiter, guint *stripe)
{
  BsRequest request = { .kind = kind, .token = token };
  GError *error = NULL;

  if (bs_admission_admit (store, &request, waiter, stripe, &error))
    {
      if (waiter->cancellable != NULL)
        bs_waiter_set_subject (waiter, kind, &token->key, NULL);
      return TRUE;
    }

  bs_waiter_answer (waiter, NULL, error);
  return FALSE;
}

static void
ask_read (BsBackingStore *store, BsOperationKind kind, BsToken *token, BsWaiter *waiter)
{
  BsRequest request = { .kind = kind, .internal = TRUE, .token = token };

  bs_ask (store, &request, waiter);
}

gpointer
bs_write_and_read_blocking (BsBackingStore *store,
                            BsOperationKind kind,
                            BsToken *token,
                            BsContent *content,
                            const BsDelivery *written,
                            const BsDelivery *read,
                            GCancellable *cancellable,
                            GError **error)
{
  BsWaiter *waiter = bs_waiter_new_blocking (store->backing_executor, cancellable, read);
  BsRequest write = { .kind = BS_KIND_WRITE, .internal = TRUE, .token = token, .content = content };
  GError *write_error = NULL;
  guint stripe;

  if (!admit (store, kind, token, waiter, &stripe))
    {
      free_data (written);
      return bs_waiter_wait (waiter, error);
    }

  bs_ask_blocking (store, &write, written, cancellable, &write_error);
  if (write_error == NULL)
    ask_read (store, kind, token, waiter);
  else
    bs_waiter_answer (waiter, NULL, write_error);
  bs_task_count_end (store->count, stripe);

  return bs_waiter_wait (waiter, error);
}

/* A read that waits for a write. */
typedef struct
{
  BsBackingStore *store; /* owned */
  BsOperationKind kind;
  BsToken *token;   /* held by the reader */
  BsWaiter *waiter; /* owned; the read's */
  BsDelivery written;
} WaitingRead;

/* The write still counts, so that a store that is being closed waits for both. */
static gpointer
write_done (gpointer data, gpointer value, GError **error)
{
  WaitingRead *self = data;

  self->written.func (self->written.data, value, error);
  /* The read may be answered before this thread goes on, and the item is to go by then. */
  clear_data (&self->written);
  if (*error == NULL)
    ask_read (self->store, self->kind, self->token, self->waiter);
  else
    bs_waiter_answer (self->waiter, NULL, g_steal_pointer (error));

  return NULL;
}

static void
waiting_read_free (gpointer data)
{
  WaitingRead *self = data;

  clear_data (&self->written);
  bs_waiter_unref (self->waiter);
  g_object_unref (self->store);
  g_free (self);
}

void
bs_write_and_read (BsBackingStore *store,
                   BsOperationKind kind,
                   BsToken *token,
                   BsContent *content,
                   const BsDelivery *written,
                   BsWaiter *waiter)
{
  BsRequest write = { .kind = BS_KIND_WRITE, .internal = TRUE, .token = token, .content = content };
  WaitingRead *waiting;
  guint stripe;

  if (!admit (store, kind, token, waiter, &stripe))
    {
      free_data (written);
      return;
    }

  waiting = g_new (WaitingRead, 1);
  waiting->store = g_object_ref (store);
  waiting->kind = kind;
  waiting->token = token;
  waiting->waiter = bs_waiter_ref (waiter);
  waiting->written = *written;
  bs_ask_in_background (store, &write,
                        &(BsDelivery){
                          .func = write_done, .data = waiting, .data_free = waiting_read_free },
                        waiter->priority, waiter->cancellable);
  bs_task_count_end (store->count, stripe);
}
