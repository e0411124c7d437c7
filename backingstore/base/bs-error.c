/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-error-private.h"

#include <libintl.h>
#include <stdlib.h>
#include <string.h>

/* A directory of translations, instead of the one of the installation. */
#define LOCALE_VARIABLE "BACKINGSTORE_LOCALES"

/* Every program that has the library in it has this file. */
__attribute__ ((constructor)) static void
bind_translations (void)
{
  const char *directory = secure_getenv (LOCALE_VARIABLE);

  bindtextdomain (GETTEXT_PACKAGE, directory != NULL ? directory : LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
}

/**
 * bs_error_quark:
 *
 * The domain of [error@Error].
 *
 * Returns: the domain
 */
GQuark
bs_error_quark (void)
{
  /* ThreadSanitizer reports a data race in G_DEFINE_QUARK(). */
  static gsize quark;

  if (g_once_init_enter (&quark))
    g_once_init_leave (&quark, g_quark_from_static_string ("bs-error-quark"));

  return quark;
}

/* The error of an application's function that failed without one. `type_name` may be
 * NULL; `forgotten` ends the sentence "or forgets …". */
void
bs_error_set_silent (GError **error,
                     const char *type_name,
                     const char *function,
                     const char *forgotten)
{
  g_set_error (
    error, BS_ERROR, BS_ERROR_FAILED,
    "%s%s%s returned without success and without an error; a function written in Python or "
    "JavaScript does that when it forgets %s, one in JavaScript where its store is not of "
    "bs_backing_store_new_in_context(), one in Python without the override of this library when "
    "it raises something other than GLib.Error",
    type_name != NULL ? type_name : "", type_name != NULL ? "." : "", function, forgotten);
}

/* Credentials that somebody has put into a URI stay out of messages, be they before the host or
 * a parameter. */
char *
bs_error_hide_credentials (const char *uri)
{
  gsize length = strcspn (uri, "?#");
  const char *rest = uri[length] == '?' ? "?…" : uri[length] == '#' ? "#…" : "";
  const char *authority = g_strstr_len (uri, length, "://");
  const char *at = NULL;

  if (authority != NULL)
    {
      authority += strlen ("://");
      at = g_strrstr_len (authority,
                          MIN (strcspn (authority, "/"), (gsize) (uri + length - authority)), "@");
    }
  if (at == NULL)
    return g_strdup_printf ("%.*s%s", (int) length, uri, rest);
  return g_strdup_printf ("%.*s…%.*s%s", (int) (authority - uri), uri, (int) (uri + length - at),
                          at, rest);
}

char *
bs_error_name_file (GFile *file)
{
  g_autofree char *name = g_file_get_parse_name (file);

  return g_file_is_native (file) ? g_steal_pointer (&name) : bs_error_hide_credentials (name);
}
