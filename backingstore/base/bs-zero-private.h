/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Clears memory of some hundred bytes. Where the compiler knows the size it clears
 * that much with a string instruction, which takes several times as long as the C
 * library does. */
void bs_zero (gpointer memory, gsize size);

G_END_DECLS
