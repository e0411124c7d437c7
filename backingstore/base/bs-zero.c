/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-zero-private.h"

#include <string.h>

void
bs_zero (gpointer memory, gsize size)
{
  memset (memory, 0, size);
}
