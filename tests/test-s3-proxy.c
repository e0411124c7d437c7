/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The engine "s3:" behind a proxy that others have written: one that GIO's resolver names, and
 * in a process of its own one that the environment does. With TLS the proxy makes a way to the
 * server by CONNECT, and sees no request. */

#include "s3-fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exit status of a process whose GIO does not look at the environment. */
#define DOES_NOT_LOOK 77

static char *program;

/* The resolver that the engine asks, whichever modules this machine has. */
typedef GSimpleProxyResolver Resolver;
typedef GSimpleProxyResolverClass ResolverClass;

static GType resolver_get_type (void);
static void resolver_iface_init (GProxyResolverInterface *iface);

G_DEFINE_TYPE_WITH_CODE (Resolver,
                         resolver,
                         G_TYPE_SIMPLE_PROXY_RESOLVER,
                         G_IMPLEMENT_INTERFACE (G_TYPE_PROXY_RESOLVER, resolver_iface_init)
                           g_io_extension_point_implement (G_PROXY_RESOLVER_EXTENSION_POINT_NAME,
                                                           g_define_type_id,
                                                           "backingstore-test",
                                                           0))

static gboolean
is_supported (GProxyResolver *resolver)
{
  return TRUE;
}

static void
resolver_iface_init (GProxyResolverInterface *iface)
{
  iface->is_supported = is_supported;
}

static void
resolver_class_init (ResolverClass *klass)
{
}

static void
resolver_init (Resolver *self)
{
}

static void
set_proxy (const char *uri)
{
  GProxyResolver *resolver = g_proxy_resolver_get_default ();

  g_assert_true (G_TYPE_CHECK_INSTANCE_TYPE (resolver, resolver_get_type ()));
  g_simple_proxy_resolver_set_default_proxy (G_SIMPLE_PROXY_RESOLVER (resolver), uri);
}

typedef struct
{
  Server proxy;
  Server server;
  GFile *path;
  char *directory; /* of the certificate; NULL without TLS */
} Proxied;

static gboolean
start_proxy (Proxied *self, const char *line)
{
  alarm (SECONDS);
  self->path = make_path ("document");
  if (server_start_alone (&self->proxy, "tinyproxy", line))
    return TRUE;

  g_test_skip ("the proxy cannot be had");
  return FALSE;
}

static void
set_up_proxied (Proxied *self, gconstpointer line)
{
  if (start_proxy (self, line))
    g_assert_true (server_start (&self->server, NULL));
}

static void
set_up_secure (Proxied *self, gconstpointer line)
{
  g_autofree char *certificate = NULL;

  if (!start_proxy (self, line))
    return;

  self->directory = make_test_directory ();
  if (server_start_secure (&self->server, self->directory, "IP:127.0.0.1", FALSE, &certificate))
    g_setenv ("AWS_CA_BUNDLE", certificate, TRUE);
  else
    g_test_skip ("there is no certificate");
}

static void
tear_down_proxied (Proxied *self, gconstpointer line)
{
  set_proxy ("direct://");
  server_stop (&self->server);
  server_stop (&self->proxy);
  g_object_unref (self->path);
  g_unsetenv ("AWS_CA_BUNDLE");
  if (self->directory != NULL)
    remove_test_directory (self->directory);
  g_free (self->directory);
  alarm (0);
}

/* `credentials` end with "@"; or are empty. */
static void
use_proxy (Proxied *self, const char *credentials)
{
  g_autofree char *uri = g_strdup_printf ("http://%s127.0.0.1:%u", credentials, self->proxy.port);

  set_proxy (uri);
}

static void
work_at (Server *server, GFile *path)
{
  BsBacking *backing = create_at (server, NULL);
  g_autoptr (GBytes) bytes = make_test_bytes (100000, 1);
  g_autofree char *key = NULL;

  track (backing, path);
  key = persist_new (backing, path, 100000, 1);
  g_assert_true (save (backing, path, "root", NULL, key, NULL));
  assert_root (backing, path, "root");
  assert_reads (backing, key, bytes);
  bs_backing_close (backing, NULL, NULL);
  g_assert_finalize_object (backing);
}

static void
assert_all_by_proxy (Server *server)
{
  g_assert_cmpint (server_count (server, "all"), >, 10);
  g_assert_cmpint (server_count (server, "via"), ==, server_count (server, "all"));
}

/* Each request comes by the proxy, and its signature holds. */
static void
test_plain (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "");
  work_at (&self->server, self->path);
  assert_all_by_proxy (&self->server);
}

/* The proxy knows a name and a password, which are part of its URI alone. */
static void
test_authentication (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "somebody:secret@");
  work_at (&self->server, self->path);
  assert_all_by_proxy (&self->server);
}

static void
assert_refused (Proxied *self, GQuark domain, int code)
{
  BsBacking *backing = create_at (&self->server, NULL);
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_sanitize_path (backing, self->path, found, NULL, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, domain, code);
  g_assert_null (strstr (error->message, "secret"));
  g_assert_null (strstr (error->message, "wrong"));
  bs_backing_close (backing, NULL, NULL);
  g_assert_finalize_object (backing);
  g_assert_cmpint (server_count (&self->server, "all"), ==, -1);
}

/* The proxy asks for a name, or knows another password; this one calls that 401. */
static void
test_no_authentication (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "");
  assert_refused (self, G_IO_ERROR, G_IO_ERROR_PROXY_NEED_AUTH);
  use_proxy (self, "somebody:wrong@");
  assert_refused (self, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
}

/* The proxy lets nobody of this machine in. */
static void
test_refused (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "");
  assert_refused (self, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
}

/* The proxy has ended: the engine does not go past it. */
static void
test_gone (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "");
  server_stop (&self->proxy);
  assert_refused (self, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
}

/* An answer to CONNECT has headers, and a length, that are none of the server's. */
static void
test_refused_at_length (Proxied *self, gconstpointer line)
{
  Server proxy = { NULL };
  g_autofree char *uri = NULL;

  if (self->server.process == NULL)
    return;

  g_assert_true (server_start (&proxy, NULL));
  server_do (&proxy, "[{\"fault\": \"403\", \"method\": \"CONNECT\"}]");
  uri = g_strdup_printf ("http://127.0.0.1:%u", proxy.port);
  set_proxy (uri);
  assert_refused (self, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_cmpint (server_count (&proxy, "CONNECT"), ==, 1);
  server_stop (&proxy);
}

/* The proxy leaves the certificate of the server as it is, which another authority of the same
 * name has not signed. */
static void
test_certificate (Proxied *self, gconstpointer line)
{
  Server other = { NULL };
  g_autofree char *directory = make_test_directory ();
  g_autofree char *certificate = NULL;

  if (self->server.process != NULL &&
      server_start_secure (&other, directory, "IP:127.0.0.1", FALSE, &certificate))
    {
      use_proxy (self, "");
      g_setenv ("AWS_CA_BUNDLE", certificate, TRUE);
      assert_refused (self, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE);
      server_stop (&other);
    }
  remove_test_directory (directory);
}

/* In a process of its own. */
static int
work_by_environment (const char *port)
{
  Server server = { .port = atoi (port) };
  g_autofree char *uri = g_strdup_printf ("http://127.0.0.1:%s/", port);
  g_autoptr (GFile) path = make_path ("document");
  g_auto (GStrv) proxies =
    g_proxy_resolver_lookup (g_proxy_resolver_get_default (), uri, NULL, NULL);

  if (proxies == NULL || !g_str_has_prefix (proxies[0], "http://"))
    return DOES_NOT_LOOK;
  work_at (&server, path);
  return 0;
}

static void
test_environment (Proxied *self, gconstpointer line)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = g_strdup_printf ("http://somebody:secret@127.0.0.1:%u", self->proxy.port);
  g_autofree char *port = g_strdup_printf ("%u", self->server.port);

  if (self->server.process == NULL)
    return;

  g_subprocess_launcher_setenv (launcher, "http_proxy", uri, TRUE);
  g_subprocess_launcher_unsetenv (launcher, "no_proxy");
  g_subprocess_launcher_unsetenv (launcher, "GIO_USE_PROXY_RESOLVER");
  process = g_subprocess_launcher_spawn (launcher, &error, program, "--work", port, NULL);
  g_assert_no_error (error);
  g_subprocess_wait (process, NULL, NULL);
  g_assert_true (g_subprocess_get_if_exited (process));
  if (g_subprocess_get_exit_status (process) == DOES_NOT_LOOK)
    {
      g_test_skip ("GIO has no module here that finds proxies in the environment");
      return;
    }
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 0);
  assert_all_by_proxy (&self->server);
}

static void
add (const char *name, void (*func) (Proxied *self, gconstpointer line), const char *line)
{
  g_autofree char *path = g_strconcat ("/s3/proxy/", name, NULL);

  g_test_add (path, Proxied, line, set_up_proxied, func, tear_down_proxied);
}

static void
add_secure (const char *name, void (*func) (Proxied *self, gconstpointer line), const char *line)
{
  g_autofree char *path = g_strconcat ("/s3/proxy/secure/", name, NULL);

  g_test_add (path, Proxied, line, set_up_secure, func, tear_down_proxied);
}

int
main (int argc, char *argv[])
{
  set_up_environment ();
  if (argc == 3 && g_str_equal (argv[1], "--work"))
    return work_by_environment (argv[2]);

  program = g_file_read_link ("/proc/self/exe", NULL);
  g_setenv ("GIO_USE_PROXY_RESOLVER", "backingstore-test", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_io_extension_point_register (G_PROXY_RESOLVER_EXTENSION_POINT_NAME);
  g_type_ensure (resolver_get_type ());

  add ("plain", test_plain, "");
  add ("authentication", test_authentication, "BasicAuth somebody secret");
  add ("no-authentication", test_no_authentication, "BasicAuth somebody secret");
  add ("refused", test_refused, "Allow 192.0.2.1");
  add ("gone", test_gone, "");
  add ("environment", test_environment, "BasicAuth somebody secret");
  add_secure ("plain", test_plain, "");
  add_secure ("authentication", test_authentication, "BasicAuth somebody secret");
  add_secure ("no-authentication", test_no_authentication, "BasicAuth somebody secret");
  add_secure ("refused", test_refused, "Allow 192.0.2.1");
  add_secure ("refused-at-length", test_refused_at_length, "");
  add_secure ("certificate", test_certificate, "");

  return g_test_run ();
}
