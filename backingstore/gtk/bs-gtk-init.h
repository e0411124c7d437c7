/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/bs-version.h>

G_BEGIN_DECLS

BS_AVAILABLE_IN_1_0
void bs_gtk_init (void);

G_END_DECLS
