/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-error.h"

G_BEGIN_DECLS

#define BS_FORGOT_TRUE "`return True`"
#define BS_FORGOT_RESULT "to return its result"

void  bs_error_set_silent       (GError **error, const char *type_name, const char *function, const char *forgotten);
char *bs_error_hide_credentials (const char *uri);
/* The name of a file in a message. */
char *bs_error_name_file        (GFile *file);

G_END_DECLS
