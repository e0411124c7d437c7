/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One object of JSON in one line of the output. */
typedef struct
{
  GString *line;
} BsToolJson;

void bs_tool_json_begin       (BsToolJson *self);
/* NULL is null. */
void bs_tool_json_add_string  (BsToolJson *self, const char *name, const char *value);
void bs_tool_json_add_strings (BsToolJson *self, const char *name, const char *const *values);
void bs_tool_json_add_number  (BsToolJson *self, const char *name, guint64 value);
void bs_tool_json_add_boolean (BsToolJson *self, const char *name, gboolean value);
/* Prints the line. */
void bs_tool_json_end         (BsToolJson *self);

G_END_DECLS
