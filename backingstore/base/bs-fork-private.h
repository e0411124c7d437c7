/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* How often this process and its ancestors were forked. An object that kept another number
 * belongs to the parent. */
extern guint bs_n_forks;

/* Fails with BS_ERROR_CLOSED in a child of the process that had this number. */
gboolean bs_fork_check (guint n_forks, GError **error);

G_END_DECLS
