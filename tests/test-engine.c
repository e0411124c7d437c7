/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Backings by URI, the schemes that an application adds, and the engine of
 * docs/examples/engine, which is loaded as a module. */

#include <backingstore/backingstore.h>

#include "backing-contract.h"

static BsBacking *
create_traced (GFile *directory)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GFile) primary = g_file_get_child (directory, "primary");
  g_autofree char *inner = g_file_get_uri (primary);
  g_autofree char *uri = g_strconcat ("trace:", inner, NULL);
  BsBacking *backing = bs_backing_new_for_uri (uri, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (G_OBJECT_TYPE_NAME (backing), ==, "TraceBacking");
  return backing;
}

static BsBacking *
restart_traced (BsBacking *backing, GFile *directory)
{
  g_autoptr (GError) error = NULL;

  bs_backing_close (backing, NULL, &error);
  g_assert_no_error (error);
  g_assert_finalize_object (backing);
  return create_traced (directory);
}

static const BackingKind traced = { "/engine/trace", create_traced, restart_traced };

static void
assert_uri (BsBacking *backing, const char *expected)
{
  g_autofree char *uri = NULL;

  g_object_get (backing, "uri", &uri, NULL);
  g_assert_cmpstr (uri, ==, expected);
}

static void
test_file (void)
{
  static const char *const paths[][2] = {
    { "file:///a/b", "/a/b" },
    { "FILE:///a/b", "/a/b" },
    { "file:/a/b", "/a/b" },
    { "file://localhost/a/b", "/a/b" },
    { "file:///a%20b/%C3%A4%23%3F", "/a b/ä#?" },
    { "file:///a%FF", "/a\xff" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autoptr (GError) error = NULL;
      BsBacking *backing = bs_backing_new_for_uri (paths[i][0], &error);
      GFile *directory;

      g_assert_no_error (error);
      g_assert_true (BS_IS_FILE_BACKING (backing));
      directory = bs_file_backing_get_directory (BS_FILE_BACKING (backing));
      g_assert_cmpstr (g_file_peek_path (directory), ==, paths[i][1]);
      g_assert_finalize_object (backing);
    }
}

/* A backing's property names another one of the same directory. */
static void
test_file_uri (void)
{
  g_autoptr (GFile) directory = g_file_new_for_path ("/a b");
  BsFileBacking *file = bs_file_backing_new (directory);
  BsBacking *same = g_object_new (BS_TYPE_FILE_BACKING, "uri", "file:///a%20b", NULL);

  assert_uri (BS_BACKING (file), "file:///a%20b");
  g_assert_true (g_file_equal (bs_file_backing_get_directory (BS_FILE_BACKING (same)), directory));
  g_assert_finalize_object (file);
  g_assert_finalize_object (same);
}

static void
test_memory (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (10, 1);
  g_autofree char *key = bs_key_generate ();
  BsBacking *backing = bs_backing_new_for_uri ("memory:", &error);
  BsBacking *other = bs_backing_new_for_uri ("Memory:", &error);
  BsMemoryBacking *plain = bs_memory_backing_new ();

  g_assert_no_error (error);
  g_assert_true (BS_IS_MEMORY_BACKING (backing));
  assert_uri (backing, "memory:");
  assert_uri (BS_BACKING (plain), "memory:");

  bs_backing_write (backing, key, bytes, NULL, &error);
  g_assert_no_error (error);
  assert_reads (backing, key, bytes);
  assert_does_not_read (other, key);

  g_assert_finalize_object (backing);
  g_assert_finalize_object (other);
  g_assert_finalize_object (plain);
}

/* The message has the URI up to its parameters. */
static void
assert_refused (const char *uri, GQuark domain, int code, const char *message)
{
  g_autofree char *shown = g_strndup (uri, strcspn (uri, "?#"));
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_backing_new_for_uri (uri, &error));
  g_assert_error (error, domain, code);
  if (strstr (error->message, shown) == NULL || strstr (error->message, message) == NULL)
    g_error ("“%s” and “%s” are not in “%s”", shown, message, error->message);
  g_assert_null (bs_backing_new_for_uri (uri, NULL));
}

static void
test_credentials (void)
{
  static const char *const uris[] = { "nowhere://id:SECRET@host/a", "nowhere://SECRET@id@host",
                                      "file://SECRET@host/a" };
  static const char *const others[] = { "nowhere://host/a?key=SECRET", "file:///a?SECRET",
                                        "file:///a#SECRET", "memory:?a://SECRET@b" };

  for (guint i = 0; i < G_N_ELEMENTS (uris); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (bs_backing_new_for_uri (uris[i], &error));
      g_assert_nonnull (error);
      g_assert_nonnull (strstr (error->message, "://…@"));
      g_assert_null (strstr (error->message, "SECRET"));
    }
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (bs_backing_new_for_uri (others[i], &error));
      g_assert_nonnull (error);
      g_assert_null (strstr (error->message, "SECRET"));
    }
}

static void
test_bad_uri (void)
{
  static const char *const uris[][2] = {
    { "", "no scheme" },
    { "/a/b", "no scheme" },
    { "a b", "no scheme" },
    { "1file:///a", "no scheme" },
    { ":", "no scheme" },
    { "file:", "no absolute path" },
    { "file://", "no absolute path" },
    { "file:a", "no absolute path" },
    { "file:///a%00b", "no absolute path" },
    { "file:///a%2Fb", "no absolute path" },
    { "file:///a%", "not a file URI" },
    { "file:///a?b", "neither query nor fragment" },
    { "file:///a#b", "neither query nor fragment" },
    { "file://elsewhere/a", "another host" },
    { "memory:a", "nothing may follow" },
    { "memory:///", "nothing may follow" },
    { "memory:?a", "nothing may follow" },
    { "trace:", "no scheme" },
    { "trace:file:", "no absolute path" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (uris); i++)
    assert_refused (uris[i][0], G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, uris[i][1]);
}

static void
test_unknown_scheme (void)
{
  assert_refused ("gopher://a", BS_ERROR, BS_ERROR_NOT_SUPPORTED, "“gopher”");
  assert_refused ("gopher://a", BS_ERROR, BS_ERROR_NOT_SUPPORTED, "file, memory, ");
  assert_refused ("gopher://a", BS_ERROR, BS_ERROR_NOT_SUPPORTED, ", trace");
  assert_refused ("trace:gopher:", BS_ERROR, BS_ERROR_NOT_SUPPORTED, "“gopher”");
}

/* A backing and no more, that fails to be made without saying why. */
typedef GObject Half;
typedef GObjectClass HalfClass;

static void half_backing_iface_init (BsBackingInterface *iface);
GType half_get_type (void);

G_DEFINE_TYPE_WITH_CODE (Half,
                         half,
                         G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, half_backing_iface_init))

static void
half_backing_iface_init (BsBackingInterface *iface)
{
}

static void
half_class_init (HalfClass *klass)
{
}

static void
half_init (Half *self)
{
}

/* A backing without the property, but with GInitable. */
typedef GObject Mute;
typedef GObjectClass MuteClass;

static void mute_initable_iface_init (GInitableIface *iface);
GType mute_get_type (void);

G_DEFINE_TYPE_WITH_CODE (Mute,
                         mute,
                         half_get_type (),
                         G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, mute_initable_iface_init))

static gboolean
mute_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  return FALSE;
}

static void
mute_initable_iface_init (GInitableIface *iface)
{
  iface->init = mute_initable_init;
}

static void
mute_class_init (MuteClass *klass)
{
}

static void
mute_init (Mute *self)
{
}

/* And with the property too: an engine. */
typedef GObject Engine;
typedef GObjectClass EngineClass;

GType engine_get_type (void);

G_DEFINE_TYPE (Engine, engine, mute_get_type ())

static void
engine_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
}

static void
engine_class_init (EngineClass *klass)
{
  klass->set_property = engine_set_property;
  g_object_class_install_property (klass, 1,
                                   g_param_spec_string ("uri", NULL, NULL, NULL,
                                                        G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY));
}

static void
engine_init (Engine *self)
{
}

static void
assert_not_added (const char *scheme, GType type, GQuark domain, int code, const char *message)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_add_scheme (scheme, type, &error));
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, message));
  g_assert_nonnull (strstr (error->message, scheme));
}

static void
test_add_scheme (void)
{
  static const char *const bad_schemes[] = { "", "1a", "A", "aB", "a:", "a/b", "ä", "a b" };
  const struct
  {
    GType type;
    const char *message;
  } bad_types[] = {
    { G_TYPE_INVALID, "cannot be made" },   { G_TYPE_STRING, "cannot be made" },
    { BS_TYPE_BACKING, "cannot be made" },  { BS_TYPE_POOL, "does not implement BsBacking" },
    { half_get_type (), "GInitable" },      { mute_get_type (), "“uri”" },
    { BS_TYPE_FAULT_BACKING, "GInitable" },
  };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad_schemes); i++)
    assert_not_added (bad_schemes[i], engine_get_type (), G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                      "not a URI scheme");
  for (guint i = 0; i < G_N_ELEMENTS (bad_types); i++)
    assert_not_added ("bad", bad_types[i].type, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                      bad_types[i].message);
  assert_refused ("bad:", BS_ERROR, BS_ERROR_NOT_SUPPORTED, "“bad”");

  assert_not_added ("file", engine_get_type (), BS_ERROR, BS_ERROR_EXISTS, "BsFileBacking");
  assert_not_added ("trace", engine_get_type (), BS_ERROR, BS_ERROR_EXISTS, "TraceBacking");
  assert_not_added ("folder", BS_TYPE_FILE_BACKING, BS_ERROR, BS_ERROR_EXISTS, "already: file");

  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (bs_backing_add_scheme ("x-1.2+a", engine_get_type (), &error));
      g_assert_no_error (error);
    }
  assert_not_added ("other", engine_get_type (), BS_ERROR, BS_ERROR_EXISTS, "already: x-1.2+a");

  /* The engine is found, and fails. */
  assert_refused ("x-1.2+a:b", BS_ERROR, BS_ERROR_FAILED, "Engine.init");
}

static gpointer
make_one (gpointer data)
{
  return bs_backing_new_for_uri (data, NULL);
}

/* The first calls of a process find the modules. */
static void
test_threads (void)
{
  static const char *const uris[] = { "trace:memory:", "memory:", "trace:trace:memory:" };
  GThread *threads[12];

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 60 * G_USEC_PER_SEC, 0);
      g_test_trap_assert_passed ();
      return;
    }

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("engine", make_one, (gpointer) uris[i % G_N_ELEMENTS (uris)]);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      g_autoptr (BsBacking) backing = g_thread_join (threads[i]);

      g_assert_true (BS_IS_BACKING (backing));
    }
}

int
main (int argc, char **argv)
{
  g_autofree char *cache = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);

  /* G_TEST_OPTION_ISOLATE_DIRS would do, if it did not leak. */
  cache = make_test_directory ();
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);

  g_test_add_func ("/engine/file", test_file);
  g_test_add_func ("/engine/file-uri", test_file_uri);
  g_test_add_func ("/engine/memory", test_memory);
  g_test_add_func ("/engine/bad-uri", test_bad_uri);
  g_test_add_func ("/engine/credentials", test_credentials);
  g_test_add_func ("/engine/unknown-scheme", test_unknown_scheme);
  g_test_add_func ("/engine/add-scheme", test_add_scheme);
  g_test_add_func ("/engine/threads", test_threads);
  backing_contract_add_tests (&traced);

  result = g_test_run ();
  remove_test_directory (cache);

  return result;
}
