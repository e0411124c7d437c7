/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bs-zero-private.h"

#include <string.h>

void
bs_zero (gpointer memory, gsize size)
{
  memset (memory, 0, size);
}
