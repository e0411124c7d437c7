/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

#include <backingstore/bs-version.h>

G_BEGIN_DECLS

BS_AVAILABLE_IN_1_0
char     *bs_key_generate (void) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
gboolean  bs_key_is_valid (const char *string);

G_END_DECLS
