/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-engine.h"

#include "base/bs-error-private.h"
#include "bs-file-backing.h"
#include "bs-memory-backing.h"

#include <glib/gi18n-lib.h>
#include <stdlib.h>

/* A list of directories, instead of the one of the installation. */
#define MODULES_VARIABLE "BACKINGSTORE_MODULES"

/* Covers the extension point, whose list GIO leaves unprotected. Recursive, since the
 * functions of a module run under it. */
static GRecMutex engines_mutex;

static void
scan_modules (void)
{
  const char *path = secure_getenv (MODULES_VARIABLE);
  g_auto (GStrv) directories =
    g_strsplit (path != NULL ? path : MODULE_DIR, G_SEARCHPATH_SEPARATOR_S, -1);

  for (guint i = 0; directories[i] != NULL; i++)
    {
      if (directories[i][0] != '\0')
        g_io_modules_scan_all_in_directory (directories[i]);
    }
}

/* Called with the mutex held. */
static GIOExtensionPoint *
ensure_extension_point (void)
{
  static GIOExtensionPoint *point;

  if (point != NULL)
    return point;

  point = g_io_extension_point_register (BS_BACKING_EXTENSION_POINT_NAME);
  g_io_extension_point_set_required_type (point, BS_TYPE_BACKING);
  g_io_extension_point_implement (BS_BACKING_EXTENSION_POINT_NAME, BS_TYPE_FILE_BACKING, "file", 0);
  g_io_extension_point_implement (BS_BACKING_EXTENSION_POINT_NAME, BS_TYPE_MEMORY_BACKING, "memory",
                                  0);
  scan_modules ();

  return point;
}

/* Returns G_TYPE_INVALID if no engine has the scheme. */
static GType
find_engine (const char *scheme)
{
  GIOExtension *extension;
  GType type;

  g_rec_mutex_lock (&engines_mutex);
  extension = g_io_extension_point_get_extension_by_name (ensure_extension_point (), scheme);
  type = extension != NULL ? g_io_extension_get_type (extension) : G_TYPE_INVALID;
  g_rec_mutex_unlock (&engines_mutex);

  return type;
}

static int
compare_schemes (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static char *
list_schemes (void)
{
  g_autoptr (GPtrArray) schemes = g_ptr_array_new_with_free_func (g_free);

  g_rec_mutex_lock (&engines_mutex);
  for (GList *l = g_io_extension_point_get_extensions (ensure_extension_point ()); l; l = l->next)
    g_ptr_array_add (schemes, g_strdup (g_io_extension_get_name (l->data)));
  g_rec_mutex_unlock (&engines_mutex);

  g_ptr_array_sort (schemes, compare_schemes);
  g_ptr_array_add (schemes, NULL);

  return g_strjoinv (", ", (char **) schemes->pdata);
}

static gboolean
has_uri (GType type)
{
  GObjectClass *klass = g_type_class_ref (type);
  GParamSpec *pspec = g_object_class_find_property (klass, "uri");
  gboolean result = pspec != NULL && pspec->value_type == G_TYPE_STRING &&
                    (pspec->flags & G_PARAM_WRITABLE) != 0 &&
                    (pspec->flags & G_PARAM_CONSTRUCT_ONLY) != 0;

  g_type_class_unref (klass);

  return result;
}

static gboolean
check_engine (GType type, GError **error)
{
  const char *reason = NULL;

  if (!G_TYPE_IS_OBJECT (type) || G_TYPE_IS_ABSTRACT (type))
    reason = "objects of it cannot be made";
  else if (!g_type_is_a (type, BS_TYPE_BACKING))
    reason = "it does not implement BsBacking";
  else if (!g_type_is_a (type, G_TYPE_INITABLE))
    reason = "it does not implement GInitable";
  else if (!has_uri (type))
    reason = "it has no construct-only property “uri” that takes a string";

  if (reason == NULL)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "type %s is no engine: %s",
               type != G_TYPE_INVALID ? g_type_name (type) : "invalid", reason);
  return FALSE;
}

/**
 * bs_backing_new_for_uri:
 * @uri: a URI
 * @error: return location for an error
 *
 * Creates the backing that a URI names. The scheme picks the engine:
 *
 * - `file:///PATH`: a [class@FileBacking] whose scratch files are in that directory;
 * - `memory:`: a [class@MemoryBacking];
 * - each scheme that [func@Backing.add_scheme] or a module brings. Modules are files in
 *   `LIBDIR/backingstore-1/modules`, or in the directories that the environment variable
 *   `BACKINGSTORE_MODULES` lists instead. They are found once in a process.
 *
 * [Writing an engine](writing-an-engine.html) tells how to bring one.
 *
 * An engine checks the URI and makes the object. It opens nothing yet, so that this
 * function may be called in a main loop.
 *
 * Fails with %BS_ERROR_NOT_SUPPORTED if no engine has the scheme, in a message that names
 * the schemes there are; with %G_IO_ERROR_INVALID_ARGUMENT if @uri is not a URI, or not one
 * of that engine; or as the engine does.
 *
 * Returns: (transfer full): a new backing
 */
BsBacking *
bs_backing_new_for_uri (const char *uri, GError **error)
{
  g_autofree char *scheme = NULL;
  g_autofree char *shown = NULL;
  GError *local = NULL;
  gpointer backing = NULL;
  GType type;

  g_return_val_if_fail (uri != NULL, NULL);

  shown = bs_error_hide_credentials (uri);
  /* In lower case. */
  scheme = g_strdup (g_uri_peek_scheme (uri));
  if (scheme == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   _ ("new_for_uri: “%s” is not a URI: it has no scheme"), shown);
      return NULL;
    }

  type = find_engine (scheme);
  if (type == G_TYPE_INVALID)
    {
      g_autofree char *schemes = list_schemes ();

      g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                   _ ("new_for_uri: no engine has the scheme “%s” of “%s”; the schemes are %s"),
                   scheme, shown, schemes);
      return NULL;
    }

  if (check_engine (type, &local))
    {
      backing = g_initable_new (type, NULL, &local, "uri", uri, NULL);
      if (backing == NULL && local == NULL)
        bs_error_set_silent (&local, g_type_name (type), "init", BS_FORGOT_TRUE);
    }
  if (local != NULL)
    g_propagate_prefixed_error (error, local, "new_for_uri: %s: ", shown);

  return backing;
}

static gboolean
is_scheme (const char *scheme)
{
  if (!g_ascii_islower (scheme[0]))
    return FALSE;
  for (const char *c = scheme; *c != '\0'; c++)
    {
      if (!g_ascii_islower (*c) && !g_ascii_isdigit (*c) && strchr ("+-.", *c) == NULL)
        return FALSE;
    }

  return TRUE;
}

/**
 * bs_backing_add_scheme:
 * @scheme: a URI scheme, in lower case
 * @type: a type that implements [iface@Backing] and [iface@Gio.Initable], with a
 *   construct-only property `uri`
 * @error: return location for an error
 *
 * Lets [func@Backing.new_for_uri] make backings of a type for a scheme, for the rest of
 * the process. A type has one scheme. Adding it again changes nothing.
 *
 * The function may be called from any thread.
 *
 * Fails with %G_IO_ERROR_INVALID_ARGUMENT if @scheme is not one or @type is no engine, and
 * with %BS_ERROR_EXISTS if another type has the scheme or @type has another one.
 *
 * Returns: %TRUE if @type has the scheme now, %FALSE with @error set
 */
gboolean
bs_backing_add_scheme (const char *scheme, GType type, GError **error)
{
  GIOExtension *extension;
  GType found;

  g_return_val_if_fail (scheme != NULL, FALSE);

  if (!is_scheme (scheme))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "add_scheme: “%s” is not a URI scheme in lower case", scheme);
      return FALSE;
    }
  if (!check_engine (type, error))
    {
      g_prefix_error (error, "add_scheme %s: ", scheme);
      return FALSE;
    }

  g_rec_mutex_lock (&engines_mutex);
  found = find_engine (scheme);
  extension = found == G_TYPE_INVALID
                ? g_io_extension_point_implement (BS_BACKING_EXTENSION_POINT_NAME, type, scheme, 0)
                : NULL;
  g_rec_mutex_unlock (&engines_mutex);

  if (found == type ||
      (extension != NULL && g_str_equal (g_io_extension_get_name (extension), scheme)))
    return TRUE;

  if (found != G_TYPE_INVALID)
    g_set_error (error, BS_ERROR, BS_ERROR_EXISTS, "add_scheme %s: the engine %s has it already",
                 scheme, g_type_name (found));
  else
    g_set_error (error, BS_ERROR, BS_ERROR_EXISTS,
                 "add_scheme %s: the engine %s has a scheme already: %s", scheme,
                 g_type_name (type), g_io_extension_get_name (extension));
  return FALSE;
}
