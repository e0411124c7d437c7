/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"
#include "store/threads/bs-progress-private.h"

G_BEGIN_DECLS

/* One run of a verification, as its object sees it. */
struct _BsVerifyRun
{
  gpointer data;                /* owned: the object */
  GDestroyNotify free;
  BsProgress *progress;         /* the object's */

  /* Called on any thread, with no lock held. */
  /* The run was admitted. */
  void (*begun)     (gpointer data);
  /* The blob is bad or missing. */
  void (*found_bad) (gpointer data, const BsKey *key);
  /* The run is over: before the waiter is answered, or where it was refused. */
  void (*ended)     (gpointer data);
};

/* Frees a run that is refused. */
void              bs_verify_run_clear     (BsVerifyRun *run);

/* Takes the contents of the request's run over. */
BsStoreOperation *bs_verify_operation_new (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
