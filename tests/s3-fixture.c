/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "s3-fixture.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
set_up_environment (void)
{
  static const char *const unset[] = { "AWS_SESSION_TOKEN", "AWS_PROFILE",
                                       "AWS_REGION",        "AWS_DEFAULT_REGION",
                                       "AWS_ENDPOINT_URL",  "AWS_ENDPOINT_URL_S3",
                                       "AWS_CA_BUNDLE" };

  for (guint i = 0; i < G_N_ELEMENTS (unset); i++)
    g_unsetenv (unset[i]);
  g_setenv ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", TRUE);
  g_setenv ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", TRUE);
  g_setenv ("AWS_CONFIG_FILE", "/dev/null", TRUE);
  g_setenv ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", TRUE);
}

static char *
read_line (Server *server)
{
  g_autoptr (GError) error = NULL;
  char *line = g_data_input_stream_read_line (server->output, NULL, NULL, &error);

  g_assert_no_error (error);
  return line;
}

static gboolean
spawn (Server *server, const char *const *arguments)
{
  g_autoptr (GError) error = NULL;

  server->process =
    g_subprocess_newv (arguments, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE,
                       &error);
  if (server->process == NULL)
    {
      g_test_message ("%s", error->message);
      return FALSE;
    }
  server->output = g_data_input_stream_new (g_subprocess_get_stdout_pipe (server->process));
  return TRUE;
}

gboolean
server_start (Server *server, const char *const *arguments)
{
  g_autofree char *program = g_test_build_filename (G_TEST_DIST, "s3", "server.py", NULL);
  g_autoptr (GPtrArray) all = g_ptr_array_new ();
  g_autofree char *line = NULL;
  g_auto (GStrv) ports = NULL;

  g_ptr_array_add (all, (char *) "/usr/bin/python3");
  g_ptr_array_add (all, program);
  for (guint i = 0; arguments != NULL && arguments[i] != NULL; i++)
    g_ptr_array_add (all, (char *) arguments[i]);
  g_ptr_array_add (all, NULL);
  if (!spawn (server, (const char *const *) all->pdata))
    return FALSE;

  line = read_line (server);
  g_assert_nonnull (line);
  ports = g_strsplit (line, " ", 2);
  server->port = g_ascii_strtoull (ports[0], NULL, 10);
  server->control_port = ports[1] != NULL ? g_ascii_strtoull (ports[1], NULL, 10) : server->port;
  return TRUE;
}

/* The script says why the server cannot be had, or runs it. */
gboolean
server_start_alone (Server *server, const char *name, const char *argument)
{
  g_autofree char *program = g_test_build_filename (G_TEST_DIST, "s3", name, NULL);
  const char *arguments[] = { program, argument, NULL };
  g_autofree char *line = NULL;

  if (!spawn (server, arguments))
    return FALSE;
  line = read_line (server);
  if (line == NULL || !g_ascii_isdigit (line[0]))
    {
      g_test_message ("%s: %s", name, line != NULL ? line : "it does not start");
      server_stop (server);
      return FALSE;
    }

  server->port = g_ascii_strtoull (line, NULL, 10);
  return TRUE;
}

gboolean
server_start_before (Server *server, Server *upstream)
{
  g_autofree char *address = g_strdup_printf ("127.0.0.1:%u", upstream->port);

  return server_start (server, (const char *const[]){ "--upstream", address, NULL });
}

static gboolean
run_openssl (const char *directory, const char *line)
{
  g_autoptr (GSubprocessLauncher) launcher =
    g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  g_auto (GStrv) arguments = g_strsplit (line, " ", -1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocess) openssl = NULL;

  g_subprocess_launcher_set_cwd (launcher, directory);
  openssl = g_subprocess_launcher_spawnv (launcher, (const char *const *) arguments, &error);
  if (openssl == NULL)
    {
      g_test_message ("%s", error->message);
      return FALSE;
    }
  g_subprocess_wait_check (openssl, NULL, &error);
  g_assert_no_error (error);
  return TRUE;
}

static void
write_text (const char *directory, const char *name, const char *text)
{
  g_autofree char *file = g_build_filename (directory, name, NULL);

  g_assert_true (g_file_set_contents (file, text, -1, NULL));
}

static char *
read_text (const char *directory, const char *name)
{
  g_autofree char *file = g_build_filename (directory, name, NULL);
  char *text;

  g_assert_true (g_file_get_contents (file, &text, NULL, NULL));
  return text;
}

static gboolean
make_certificate (const char *directory, const char *name, gboolean expired)
{
  g_autofree char *settings =
    g_strdup_printf ("[ca]\ndefault_ca = all\n"
                     "[all]\ndatabase = issued\nnew_certs_dir = .\nrand_serial = yes\n"
                     "default_md = sha256\npolicy = names\nx509_extensions = extensions\n"
                     "[names]\ncommonName = supplied\n"
                     "[extensions]\nbasicConstraints = CA:TRUE\nsubjectAltName = %s\n"
                     "[req]\ndistinguished_name = empty\n[empty]\n",
                     name);

  write_text (directory, "settings", settings);
  write_text (directory, "issued", "");
  return run_openssl (directory, "openssl ecparam -name prime256v1 -genkey -noout -out key") &&
         run_openssl (directory,
                      "openssl req -new -config settings -key key -subj /CN=x -out request") &&
         run_openssl (directory,
                      expired ? "openssl ca -batch -notext -selfsign -config settings -keyfile key "
                                "-in request -out certificate "
                                "-startdate 20000101000000Z -enddate 20010101000000Z"
                              : "openssl ca -batch -notext -selfsign -config settings -keyfile key "
                                "-in request -out certificate -days 2");
}

gboolean
server_start_secure (Server *server,
                     const char *directory,
                     const char *name,
                     gboolean expired,
                     char **certificate)
{
  g_autofree char *both = g_build_filename (directory, "both", NULL);
  g_autofree char *key = NULL;
  g_autofree char *text = NULL;
  g_autofree char *all = NULL;

  if (!make_certificate (directory, name, expired))
    return FALSE;
  key = read_text (directory, "key");
  text = read_text (directory, "certificate");
  all = g_strconcat (key, text, NULL);
  write_text (directory, "both", all);

  server->secure = TRUE;
  *certificate = g_build_filename (directory, "certificate", NULL);
  return server_start (server, (const char *const[]){ "--certificate", both, NULL });
}

void
server_stop (Server *server)
{
  if (server->process != NULL)
    {
      g_output_stream_close (g_subprocess_get_stdin_pipe (server->process), NULL, NULL);
      g_subprocess_wait (server->process, NULL, NULL);
    }
  g_clear_object (&server->output);
  g_clear_object (&server->process);
}

static char *
post (Server *server, const char *body)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *request =
    g_strdup_printf ("POST /_control HTTP/1.1\r\nContent-Length: %" G_GSIZE_FORMAT "\r\n\r\n%s",
                     strlen (body), body);
  g_autoptr (GDataInputStream) input = NULL;
  gsize length = 0;
  char *answer;

  g_socket_client_set_enable_proxy (client, FALSE);
  connection =
    g_socket_client_connect_to_host (client, "127.0.0.1", server->control_port, NULL, &error);
  g_assert_no_error (error);
  g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (connection)), request,
                             strlen (request), NULL, NULL, &error);
  g_assert_no_error (error);

  input = g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  g_data_input_stream_set_newline_type (input, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
  for (;;)
    {
      g_autofree char *line = g_data_input_stream_read_line (input, NULL, NULL, &error);

      g_assert_no_error (error);
      g_assert_nonnull (line);
      if (line[0] == '\0')
        break;
      if (g_str_has_prefix (line, "Content-Length: "))
        length = g_ascii_strtoull (line + strlen ("Content-Length: "), NULL, 10);
    }
  answer = g_malloc0 (length + 1);
  g_input_stream_read_all (G_INPUT_STREAM (input), answer, length, NULL, NULL, &error);
  g_assert_no_error (error);
  return answer;
}

char *
server_tell (Server *server, const char *format, ...)
{
  g_autofree char *body = NULL;
  va_list arguments;

  va_start (arguments, format);
  body = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return post (server, body);
}

void
server_do (Server *server, const char *format, ...)
{
  g_autofree char *body = NULL;
  va_list arguments;

  va_start (arguments, format);
  body = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_free (post (server, body));
}

int
answer_get_number (const char *answer, const char *name)
{
  g_autofree char *field = g_strdup_printf ("\"%s\": ", name);
  const char *found = strstr (answer, field);

  return found != NULL ? atoi (found + strlen (field)) : -1;
}

int
server_count (Server *server, const char *kind)
{
  g_autofree char *answer = server_tell (server, "[]");

  return answer_get_number (answer, kind);
}

void
server_await_hit (Server *server)
{
  server_do (server, "[{\"await\": \"hit\"}]");
}

BsBacking *
create_at (Server *server, const char *parameters)
{
  g_autofree char *uri = g_strdup_printf ("s3://bucket/top?endpoint=%s://127.0.0.1:%u%s",
                                          server->secure ? "https" : "http", server->port,
                                          parameters != NULL ? parameters : "");
  g_autoptr (GError) error = NULL;
  BsBacking *backing = bs_backing_new_for_uri (uri, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (G_OBJECT_TYPE_NAME (backing), ==, "BsS3Backing");
  return backing;
}

GFile *
make_path (const char *name)
{
  g_autofree char *uri = g_strconcat ("s3://bucket/top/", name, NULL);

  return g_file_new_for_uri (uri);
}

void
set_up (Fixture *fixture, gconstpointer parameters)
{
  alarm (SECONDS);
  set_up_environment ();
  fixture->path = make_path ("document");
  if (server_start (&fixture->server, NULL))
    fixture->backing = create_at (&fixture->server, parameters);
}

void
tear_down (Fixture *fixture, gconstpointer parameters)
{
  if (fixture->backing != NULL)
    g_assert_finalize_object (fixture->backing);
  server_stop (&fixture->server);
  g_object_unref (fixture->path);
  alarm (0);
}

void
track (BsBacking *backing, GFile *path)
{
  g_autoptr (BsKeySet) found = list_path (backing, path);
}

guint64
count_keys (BsBacking *backing, GFile *path)
{
  g_autoptr (BsKeySet) found = list_path (backing, path);

  return bs_key_set_get_n_keys (found);
}

void
assert_track_fails (BsBacking *backing, GFile *path, GQuark domain, int code)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_sanitize_path (backing, path, found, NULL, &error));
  g_assert_error (error, domain, code);
}

char *
write_new (BsBacking *backing, GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  char *key = bs_key_generate ();

  bs_backing_write (backing, key, bytes, NULL, &error);
  g_assert_no_error (error);
  return key;
}

char *
persist_new (BsBacking *backing, GFile *path, gsize size, guint seed)
{
  g_autoptr (GBytes) bytes = make_test_bytes (size, seed);
  g_autoptr (GError) error = NULL;
  char *key = bs_key_generate ();

  bs_backing_persist_bytes (backing, path, key, bytes, NULL, &error);
  g_assert_no_error (error);
  return key;
}

gboolean
save (BsBacking *backing, GFile *path, const char *text, GError **error, ...)
{
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));
  g_autoptr (BsKeySet) named = bs_key_set_new ();
  const char *key;
  va_list keys;

  va_start (keys, error);
  while ((key = va_arg (keys, const char *)) != NULL)
    g_assert_true (bs_key_set_add (named, key, NULL));
  va_end (keys);
  return bs_backing_write_root (backing, path, bytes, named, NULL, error);
}

void
assert_root (BsBacking *backing, GFile *path, const char *text)
{
  g_autoptr (GBytes) expected = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = bs_backing_read_root (backing, path, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, expected));
}
