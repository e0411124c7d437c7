/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>
#include <stdint.h>

G_BEGIN_DECLS

/* libFuzzer calls LLVMFuzzerTestOneInput(), and finds by itself which inputs reach new code.
 * Without it, main() tries the first inputs and small changes of them. */

typedef void (*FuzzInputFunc) (const guint8 *data, gsize size, gpointer user_data);

/* A target implements these. */
int  LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
void fuzz_make_inputs       (FuzzInputFunc func, gpointer user_data);
void fuzz_clean_up          (void);

G_END_DECLS
