/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-backing-private.h"

G_BEGIN_DECLS

/* Fills in the public functions too, which parse the key and call these. */
void bs_key_backing_init_interface (BsBackingInterface *iface, const BsKeyBackingFuncs *funcs);

G_END_DECLS
