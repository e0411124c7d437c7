/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-private.h"

void
bs_tool_init (BsTool *self)
{
  g_mutex_init (&self->mutex);
  self->cancellable = g_cancellable_new ();
}

void
bs_tool_clear (BsTool *self)
{
  g_clear_object (&self->progress);
  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->scratch, g_free);
  g_mutex_clear (&self->mutex);
}

static void
set_progress (BsTool *self, const char *action, gpointer object, guint64 n_done, guint64 n_total)
{
  g_autoptr (GObject) old = NULL;

  g_mutex_lock (&self->mutex);
  old = g_steal_pointer (&self->progress);
  g_set_object (&self->progress, object);
  self->action = action;
  self->n_done = n_done;
  self->n_total = n_total;
  g_mutex_unlock (&self->mutex);
}

void
bs_tool_follow (BsTool *self, const char *action, gpointer object)
{
  set_progress (self, action, object, 0, 0);
}

void
bs_tool_count (BsTool *self, const char *action, guint64 n_done, guint64 n_total)
{
  set_progress (self, action, NULL, n_done, n_total);
}

gboolean
bs_tool_get_progress (BsTool *self, const char **action, double *fraction)
{
  g_autoptr (GObject) object = NULL;

  g_mutex_lock (&self->mutex);
  g_set_object (&object, self->progress);
  *action = self->action;
  *fraction = self->n_total > 0 ? (double) self->n_done / self->n_total : -1;
  g_mutex_unlock (&self->mutex);

  if (object != NULL)
    g_object_get (object, "fraction", fraction, NULL);

  return *fraction >= 0;
}

static int
get_status (const GError *error)
{
  if (g_error_matches (error, BS_ERROR, BS_ERROR_BUSY))
    return BS_TOOL_BUSY;
  if (g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT))
    return BS_TOOL_CORRUPT;
  if (g_error_matches (error, BS_ERROR, BS_ERROR_FOREIGN) ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return BS_TOOL_NO_DOCUMENT;

  return error->domain == G_OPTION_ERROR ? BS_TOOL_USAGE : BS_TOOL_FAILED;
}

static const char *
get_hint (BsTool *self, const GError *error)
{
  if (g_error_matches (error, BS_ERROR, BS_ERROR_BUSY))
    return _ ("The document is in use. Close it in the other program and try again.");
  if (g_error_matches (error, BS_ERROR, BS_ERROR_FOREIGN) && !self->adopts)
    return _ ("If it was a document, “backingstore repair --adopt --dry-run” tells whether it can "
              "be one again.");
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY))
    return _ ("“backingstore repair” opens a document for writing, and takes in what a crashed "
              "program has left.");

  return NULL;
}

void
bs_tool_report (BsTool *self, const GError *error)
{
  const char *hint = get_hint (self, error);

  g_printerr ("backingstore: %s\n", error->message);
  if (hint != NULL)
    g_printerr ("%s\n", hint);
  if (self->status == BS_TOOL_DONE)
    self->status = get_status (error);
}

void
bs_tool_warn (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_printerr ("backingstore: %s\n", text);
}

void
bs_tool_say (BsTool *self, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  if (self->quiet || self->json)
    return;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_print ("%s\n", text);
}

char *
bs_tool_escape (const char *name)
{
  g_autofree char *valid = g_utf8_make_valid (name, -1);
  GString *escaped = g_string_new (NULL);

  for (const char *c = valid; *c != '\0'; c = g_utf8_next_char (c))
    {
      gunichar character = g_utf8_get_char (c);

      if (character == '\\')
        g_string_append (escaped, "\\\\");
      else if (g_unichar_isprint (character))
        g_string_append_unichar (escaped, character);
      else
        g_string_append_printf (escaped, "\\u%04x", character);
    }

  return g_string_free (escaped, FALSE);
}
