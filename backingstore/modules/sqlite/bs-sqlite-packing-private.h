/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-rows-private.h"

G_BEGIN_DECLS

/* Puts new rows and their contents into an order in which they leave little of each page
 * unused, if they are added one after the other. */
void bs_sqlite_pack (BsSqliteRow *rows, GBytes **contents, guint n_rows);

G_END_DECLS
