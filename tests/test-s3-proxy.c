/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The engine "s3:" behind a proxy that others have written. */

#include "s3-fixture.h"

#include <string.h>
#include <unistd.h>

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
} Proxied;

static void
set_up_proxied (Proxied *self, gconstpointer line)
{
  alarm (SECONDS);
  set_up_environment ();
  self->path = make_path ("document");
  if (!server_start_alone (&self->proxy, "tinyproxy", line))
    {
      g_test_skip ("the proxy cannot be had");
      return;
    }
  g_assert_true (server_start (&self->server, NULL));
}

static void
tear_down_proxied (Proxied *self, gconstpointer line)
{
  set_proxy ("direct://");
  server_stop (&self->server);
  server_stop (&self->proxy);
  g_object_unref (self->path);
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
work_at (Proxied *self)
{
  BsBacking *backing = create_at (&self->server, NULL);
  g_autoptr (GBytes) bytes = make_test_bytes (100000, 1);
  g_autofree char *key = NULL;

  track (backing, self->path);
  key = persist_new (backing, self->path, 100000, 1);
  g_assert_true (save (backing, self->path, "root", NULL, key, NULL));
  assert_root (backing, self->path, "root");
  assert_reads (backing, key, bytes);
  bs_backing_close (backing, NULL, NULL);
  g_assert_finalize_object (backing);
}

/* Each request comes by the proxy, and its signature holds. */
static void
test_plain (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "");
  work_at (self);
  g_assert_cmpint (server_count (&self->server, "all"), >, 10);
  g_assert_cmpint (server_count (&self->server, "via"), ==, server_count (&self->server, "all"));
}

/* The proxy knows a name and a password, which are part of its URI alone. */
static void
test_authentication (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "somebody:secret@");
  work_at (self);
  g_assert_cmpint (server_count (&self->server, "via"), >, 10);
}

static void
assert_refused (Proxied *self, int code)
{
  BsBacking *backing = create_at (&self->server, NULL);
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_sanitize_path (backing, self->path, found, NULL, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, G_IO_ERROR, code);
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
  assert_refused (self, G_IO_ERROR_PROXY_NEED_AUTH);
  use_proxy (self, "somebody:wrong@");
  assert_refused (self, G_IO_ERROR_PERMISSION_DENIED);
}

/* The proxy lets nobody of this machine in. */
static void
test_refused (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "");
  assert_refused (self, G_IO_ERROR_PERMISSION_DENIED);
}

/* The proxy has ended: the engine does not go past it. */
static void
test_gone (Proxied *self, gconstpointer line)
{
  if (self->server.process == NULL)
    return;

  use_proxy (self, "");
  server_stop (&self->proxy);
  assert_refused (self, G_IO_ERROR_CONNECTION_REFUSED);
}

static void
add (const char *name, void (*func) (Proxied *self, gconstpointer line), const char *line)
{
  g_autofree char *path = g_strconcat ("/s3/proxy/", name, NULL);

  g_test_add (path, Proxied, line, set_up_proxied, func, tear_down_proxied);
}

int
main (int argc, char *argv[])
{
  g_setenv ("GIO_USE_PROXY_RESOLVER", "backingstore-test", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_io_extension_point_register (G_PROXY_RESOLVER_EXTENSION_POINT_NAME);
  g_type_ensure (resolver_get_type ());

  add ("plain", test_plain, "");
  add ("authentication", test_authentication, "BasicAuth somebody secret");
  add ("no-authentication", test_no_authentication, "BasicAuth somebody secret");
  add ("refused", test_refused, "Allow 192.0.2.1");
  add ("gone", test_gone, "");

  return g_test_run ();
}
