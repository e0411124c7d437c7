/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-key-set.h"
#include "bs-key-table-private.h"

G_BEGIN_DECLS

BsKeyTable *bs_key_set_get_table (BsKeySet *self);

G_END_DECLS
