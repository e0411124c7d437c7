/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-job-private.h"

G_BEGIN_DECLS

/* The application's own functions. */

void bs_task_start     (BsBackingStore *store, BsTaskFunc func, gpointer func_data, BsCaller *caller);
/* The function returns the task itself. Takes `task` over. */
void bs_task_start_raw (BsBackingStore *store, GTask *task, GTaskThreadFunc func);

G_END_DECLS
