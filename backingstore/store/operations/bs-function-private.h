/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

/* The application's own functions. */

void bs_task_start     (BsBackingStore *store, BsTaskFunc func, gpointer func_data, BsWaiter *waiter);
/* The function returns the task itself. Takes `task` over. */
void bs_task_start_raw (BsBackingStore *store, GTask *task, GTaskThreadFunc func);
/* A save's commit function. It needs no place among the others: one of those may
 * wait for the save. */
void bs_task_start_commit (BsTrackedPath *tracked, BsTaskFunc func, gpointer func_data, BsWaiter *waiter);

/* A function of the application is about to wait for others, perhaps: another
 * one may run in its place. Nothing where this thread is in none. */
void bs_task_lend_place (BsBackingStore *store);

G_END_DECLS
