/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-tool-json-private.h"

#include <stdio.h>

void
bs_tool_json_begin (BsToolJson *self)
{
  self->line = g_string_new (NULL);
}

static void
append_string (GString *line, const char *value)
{
  g_autofree char *valid = g_utf8_make_valid (value, -1);

  g_string_append_c (line, '"');
  for (const char *c = valid; *c != '\0'; c++)
    {
      if (*c == '"' || *c == '\\')
        g_string_append_printf (line, "\\%c", *c);
      else if (g_ascii_iscntrl (*c))
        g_string_append_printf (line, "\\u%04x", *c);
      else
        g_string_append_c (line, *c);
    }
  g_string_append_c (line, '"');
}

static void
append_name (BsToolJson *self, const char *name)
{
  g_string_append (self->line, self->line->len == 0 ? "{" : ", ");
  append_string (self->line, name);
  g_string_append (self->line, ": ");
}

void
bs_tool_json_add_string (BsToolJson *self, const char *name, const char *value)
{
  append_name (self, name);
  if (value != NULL)
    append_string (self->line, value);
  else
    g_string_append (self->line, "null");
}

void
bs_tool_json_add_strings (BsToolJson *self, const char *name, const char *const *values)
{
  append_name (self, name);
  g_string_append_c (self->line, '[');
  for (guint i = 0; values[i] != NULL; i++)
    {
      if (i > 0)
        g_string_append (self->line, ", ");
      append_string (self->line, values[i]);
    }
  g_string_append_c (self->line, ']');
}

void
bs_tool_json_add_number (BsToolJson *self, const char *name, guint64 value)
{
  append_name (self, name);
  g_string_append_printf (self->line, "%" G_GUINT64_FORMAT, value);
}

void
bs_tool_json_add_boolean (BsToolJson *self, const char *name, gboolean value)
{
  append_name (self, name);
  g_string_append (self->line, value ? "true" : "false");
}

void
bs_tool_json_end (BsToolJson *self)
{
  g_string_append (self->line, self->line->len == 0 ? "{}\n" : "}\n");
  fputs (self->line->str, stdout);
  g_string_free (g_steal_pointer (&self->line), TRUE);
}
