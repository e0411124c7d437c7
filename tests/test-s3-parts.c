/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The parts of the engine "s3:" that ask no server: settings, credentials, signatures, the
 * names of objects, the format of the root. */

#include "backing-contract.h"
#include "modules/s3/bs-s3-credentials-private.h"
#include "modules/s3/bs-s3-root-private.h"
#include "modules/s3/bs-s3-settings-private.h"
#include "modules/s3/bs-s3-signature-private.h"
#include "modules/s3/bs-s3-xml-private.h"

#include <backingstore/backingstore.h>

#include <glib/gstdio.h>
#include <string.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* The examples of Amazon's documentation of the signature of S3. */
static const struct
{
  const char *method;
  const char *path;
  const char *query;
  const char *payload;
  const char *headers[8][2];
  const char *signature;
} vectors[] = {
  { "GET",
    "/test.txt",
    "",
    EMPTY,
    { { "host", "examplebucket.s3.amazonaws.com" },
      { "range", "bytes=0-9" },
      { "x-amz-content-sha256", EMPTY },
      { "x-amz-date", "20130524T000000Z" } },
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
  { "PUT",
    "/test%24file.text",
    "",
    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
    { { "date", "Fri, 24 May 2013 00:00:00 GMT" },
      { "host", "examplebucket.s3.amazonaws.com" },
      { "x-amz-content-sha256",
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" },
      { "x-amz-date", "20130524T000000Z" },
      { "x-amz-storage-class", "REDUCED_REDUNDANCY" } },
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
  { "GET",
    "/",
    "lifecycle=",
    EMPTY,
    { { "host", "examplebucket.s3.amazonaws.com" },
      { "x-amz-content-sha256", EMPTY },
      { "x-amz-date", "20130524T000000Z" } },
    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
  { "GET",
    "/",
    "max-keys=2&prefix=J",
    EMPTY,
    { { "host", "examplebucket.s3.amazonaws.com" },
      { "x-amz-content-sha256", EMPTY },
      { "x-amz-date", "20130524T000000Z" } },
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static void
test_signature (void)
{
  g_autoptr (BsS3Credentials) credentials = NULL;
  g_autofree char *time = bs_s3_time (1369353600);

  g_setenv ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", TRUE);
  g_setenv ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", TRUE);
  credentials = bs_s3_credentials_new ("default", NULL);
  g_assert_cmpstr (time, ==, "20130524T000000Z");
  for (guint i = 0; i < G_N_ELEMENTS (vectors); i++)
    {
      BsS3Header headers[8];
      BsS3Signing signing = {
        .method = vectors[i].method,
        .path = vectors[i].path,
        .query = vectors[i].query,
        .headers = headers,
        .payload = vectors[i].payload,
        .region = "us-east-1",
        .time = time,
      };
      g_autofree char *authorization = NULL;

      for (; vectors[i].headers[signing.n_headers][0] != NULL; signing.n_headers++)
        headers[signing.n_headers] =
          (BsS3Header){ vectors[i].headers[signing.n_headers][0],
                        (char *) vectors[i].headers[signing.n_headers][1] };
      authorization = bs_s3_sign (&signing, credentials);
      g_assert_true (g_str_has_suffix (authorization, vectors[i].signature));
      g_assert_true (g_str_has_prefix (authorization,
                                       "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/"
                                       "us-east-1/s3/aws4_request,SignedHeaders="));
    }
}

static void
clear_environment (void)
{
  static const char *const names[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                       "AWS_SESSION_TOKEN", "AWS_PROFILE",
                                       "AWS_REGION",        "AWS_DEFAULT_REGION",
                                       "AWS_ENDPOINT_URL",  "AWS_ENDPOINT_URL_S3" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_unsetenv (names[i]);
  g_setenv ("AWS_CONFIG_FILE", "/dev/null", TRUE);
  g_setenv ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", TRUE);
}

static void
test_settings (void)
{
  static const struct
  {
    const char *uri;
    const char *base;
    const char *prefix;
    const char *region;
  } good[] = {
    { "s3://bucket/a/b?endpoint=http://localhost:7480&region=here", "http://localhost:7480/bucket",
      "a/b", "here" },
    { "s3://bucket", "https://bucket.s3.us-east-1.amazonaws.com", "", "us-east-1" },
    { "s3://my.bucket/?region=eu-west-3", "https://s3.eu-west-3.amazonaws.com/my.bucket", "",
      "eu-west-3" },
    { "s3://bucket/%C3%A4//?endpoint=https%3A%2F%2F[::1]:1%2Fs3", "https://[::1]:1/s3/bucket", "ä",
      "us-east-1" },
    { "s3://bucket/?endpoint=http://host/a%2520b/", "http://host/a%20b/bucket", "", "us-east-1" },
  };

  clear_environment ();
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (BsS3Settings) settings = bs_s3_settings_new (good[i].uri, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (settings->base, ==, good[i].base);
      g_assert_cmpstr (settings->prefix, ==, good[i].prefix);
      g_assert_cmpstr (settings->region, ==, good[i].region);
    }
}

/* No message repeats what may be a secret. */
static void
test_bad_settings (void)
{
  static const char *const bad[] = {
    "s3:",
    "s3:///prefix",
    "s3://b/c",
    "s3://SECRET:SECRET@bucket/a",
    "s3://bucket/a?secret-key=SECRET",
    "s3://bucket/a?region=",
    "s3://bucket/a?cache-size=SECRET",
    "s3://bucket/a?lease=0",
    "s3://bucket/a#SECRET",
    "s3://bucket:80/a",
    "s3://bucket/a?endpoint=ftp://SECRET",
    "s3://bucket/a?endpoint=http://SECRET:SECRET@host",
    "s3://bucket/a?endpoint=http://host/?SECRET",
    "s3://bucket/a?SECRET&region=here",
    "s3://bucket/a?region&endpoint=http://SECRET",
    "s3://bucket/a?region=%zz&endpoint=http://SECRET",
    "s3://bucket/a?region=%FF&endpoint=http://SECRET",
  };

  clear_environment ();
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (bs_s3_settings_new (bad[i], &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      g_assert_null (strstr (error->message, "SECRET"));
      /* The bucket is there, and its name is too short. */
      g_assert_true ((strstr (error->message, "3 to 63") != NULL) ==
                     g_str_equal (bad[i], "s3://b/c"));
    }
}

/* A message names the parameter. */
static void
test_bad_parameters (void)
{
  static const char *const bad[] = { "cache-size=0", "lease=-1",
                                     "lease=3601",   "timeout=1s",
                                     "region=",      "regoin=eu",
                                     "profile=",     "timeout=99999999999999999999" };

  clear_environment ();
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *uri = g_strconcat ("s3://bucket/a?", bad[i], NULL);
      g_autofree char *quoted =
        g_strdup_printf ("“%.*s”", (int) (strchr (bad[i], '=') - bad[i]), bad[i]);
      g_autoptr (GError) error = NULL;

      g_assert_null (bs_s3_settings_new (uri, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, quoted));
    }
}

static void
assert_fits (BsS3Settings *settings, const char *path, gboolean fits)
{
  g_autofree char *uri = g_strconcat ("s3://bucket/", path, NULL);
  g_autoptr (GFile) file = g_file_new_for_uri (uri);
  g_autoptr (GError) error = NULL;
  g_autofree char *prefix = bs_s3_settings_get_path (settings, file, &error);

  if (fits)
    g_assert_no_error (error);
  else
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

static void
test_paths (void)
{
  static const struct
  {
    const char *uri;
    const char *prefix; /* NULL: refused */
  } paths[] = {
    { "s3://bucket/top", "top" },       { "s3://bucket/top/a%20b/", "top/a b" },
    { "s3://bucket/topmost", NULL },    { "s3://other/top/a", NULL },
    { "s3://bucket/top/a?b=c", NULL },  { "file:///top/a", NULL },
    { "s3://user@bucket/top/a", NULL }, { "s3://bucket/top/a%01b", NULL },
    { "s3://bucket/top/a%0Ab", NULL },  { "s3://bucket/top/%7F", NULL },
  };
  /* The longest object below it has a name of 1,024 bytes. */
  g_autofree char *longest = g_strnfill (1024 - 62, 'x');
  g_autofree char *longer = g_strnfill (1024 - 61, 'x');
  g_autoptr (BsS3Settings) settings = bs_s3_settings_new ("s3://bucket/top", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autoptr (GFile) file = g_file_new_for_uri (paths[i].uri);
      g_autoptr (GError) error = NULL;
      g_autofree char *prefix = bs_s3_settings_get_path (settings, file, &error);

      g_assert_cmpstr (prefix, ==, paths[i].prefix);
      g_assert_true ((error == NULL) == (prefix != NULL));
    }
  memcpy (longest, "top/", 4);
  memcpy (longer, "top/", 4);
  assert_fits (settings, longest, TRUE);
  assert_fits (settings, longer, FALSE);
}

static void
set_contents (const char *directory, const char *name, const char *variable, const char *text)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_setenv (variable, path, TRUE);
}

static void
assert_credentials (const char *profile, const char *id, const char *secret, const char *token)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsS3Credentials) credentials = bs_s3_credentials_new (profile, &error);

  if (id == NULL)
    {
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
      return;
    }
  g_assert_no_error (error);
  g_assert_cmpstr (credentials->id, ==, id);
  g_assert_cmpstr (credentials->secret, ==, secret);
  g_assert_cmpstr (credentials->token, ==, token);
}

static void
test_credentials (void)
{
  g_autofree char *directory = make_test_directory ();

  clear_environment ();
  assert_credentials ("default", NULL, NULL, NULL);
  set_contents (directory, "credentials", "AWS_SHARED_CREDENTIALS_FILE",
                "# comment = 1\n[default]\naws_access_key_id = A\naws_secret_access_key=B==\n"
                "s3 =\n  aws_access_key_id = nested\nno equals sign\n"
                "[ci]\naws_access_key_id=C\naws_secret_access_key=D\naws_session_token = E\n"
                "[half]\naws_access_key_id=F\n");
  set_contents (directory, "config", "AWS_CONFIG_FILE",
                "[profile other]\nregion = far\naws_access_key_id=G\naws_secret_access_key=H\n");
  assert_credentials ("default", "A", "B==", NULL);
  assert_credentials ("ci", "C", "D", "E");
  assert_credentials ("half", NULL, NULL, NULL);
  assert_credentials ("other", "G", "H", NULL);
  assert_credentials ("missing", NULL, NULL, NULL);

  /* The environment comes first, but for half of it. */
  g_setenv ("AWS_ACCESS_KEY_ID", "I", TRUE);
  assert_credentials ("ci", "C", "D", "E");
  g_setenv ("AWS_SECRET_ACCESS_KEY", "J", TRUE);
  assert_credentials ("ci", "I", "J", NULL);
  g_setenv ("AWS_SESSION_TOKEN", "K", TRUE);
  assert_credentials ("ci", "I", "J", "K");

  g_setenv ("AWS_PROFILE", "other", TRUE);
  {
    g_autoptr (BsS3Settings) settings = bs_s3_settings_new ("s3://bucket/", NULL);

    g_assert_cmpstr (settings->region, ==, "far");
    g_assert_cmpstr (settings->profile, ==, "other");
  }
  clear_environment ();
  remove_test_directory (directory);
}

#define N_READINGS 2000

typedef struct
{
  const char *path;
  int ended; /* atomic */
} Rotation;

/* As a program does that renews a session. */
static gpointer
rotate (gpointer data)
{
  Rotation *self = data;
  g_autofree char *new = g_strconcat (self->path, ".new", NULL);

  for (guint i = 0; !g_atomic_int_get (&self->ended); i++)
    {
      g_autofree char *text =
        g_strdup_printf ("[default]\naws_access_key_id=%u\naws_secret_access_key=%u\n"
                         "aws_session_token=%u\n",
                         i, i, i);
      FILE *file = g_fopen (new, "we");

      g_assert_nonnull (file);
      fputs (text, file);
      fclose (file);
      g_assert_cmpint (g_rename (new, self->path), ==, 0);
    }
  return NULL;
}

/* Credentials belong together, also where another program replaces the file meanwhile. */
static void
test_rotated (void)
{
  g_autofree char *directory = make_test_directory ();
  g_autofree char *path = g_build_filename (directory, "credentials", NULL);
  Rotation rotation = { path };
  GThread *thread;

  clear_environment ();
  set_contents (directory, "credentials", "AWS_SHARED_CREDENTIALS_FILE",
                "[default]\naws_access_key_id=0\naws_secret_access_key=0\naws_session_token=0\n");
  thread = g_thread_new ("rotate", rotate, &rotation);
  for (guint i = 0; i < N_READINGS; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (BsS3Credentials) credentials = bs_s3_credentials_new ("default", &error);

      g_assert_no_error (error);
      g_assert_cmpstr (credentials->secret, ==, credentials->id);
      g_assert_cmpstr (credentials->token, ==, credentials->id);
    }
  g_atomic_int_set (&rotation.ended, TRUE);
  g_thread_join (thread);
  clear_environment ();
  remove_test_directory (directory);
}

static void
test_names (void)
{
  static const char *const bad[] = {
    "",
    "ab",
    "ab/",
    "ac/ab0123456789abcdef0123456789abcd",
    "ab/AB0123456789ABCDEF0123456789ABCD",
    "ab/ab0123456789abcdef0123456789abc",
    "ab/ab0123456789abcdef0123456789abcde",
    "ab/ab0123456789abcdef0123456789abcd.",
    "ab/ab0123456789abcdef0123456789abcd.0000000000000000",
    "ab/ab0123456789abcdef0123456789abcd.00000000000000001",
    "ab/ab0123456789abcdef0123456789abcd-0000000000000001",
    "ab\377ab0123456789abcdef0123456789abcd",
  };
  static const char *const good[] = { "ab/ab0123456789abcdef0123456789abcd",
                                      "ab/ab0123456789abcdef0123456789abcd.0123456789abcdef" };
  BsS3Name name;
  char key[37];

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (bs_s3_name_parse (bad[i], &name));
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autofree char *alone = NULL;
      g_autofree char *below = NULL;
      g_autofree char *expected = g_strconcat ("a/b/", good[i], NULL);

      g_assert_true (bs_s3_name_parse (good[i], &name));
      alone = bs_s3_name_print (&name, "");
      below = bs_s3_name_print (&name, "a/b");
      g_assert_cmpstr (alone, ==, good[i]);
      g_assert_cmpstr (below, ==, expected);
    }
  bs_s3_key_print (&name.key, key);
  g_assert_cmpstr (key, ==, "ab012345-6789-abcd-ef01-23456789abcd");
}

static GBytes *
make_root (guint n_names, GBytes *content)
{
  g_auto (BsS3Root) root = { 0 };

  for (guint i = 0; i < 3; i++)
    {
      BsS3Root previous = root;

      bs_s3_root_follow (&root, &previous);
    }
  root.names = g_new0 (BsS3Name, n_names);
  root.n_names = n_names;
  for (guint i = 0; i < n_names; i++)
    root.names[i] = (BsS3Name){ { { i, 1, 2 } }, i * G_GUINT64_CONSTANT (0x123456789) };
  root.content = content != NULL ? g_bytes_ref (content) : NULL;
  return bs_s3_root_serialize (&root);
}

static void
test_root (void)
{
  g_autoptr (GBytes) content = g_bytes_new_static ("content", 7);
  g_autoptr (GBytes) bytes = make_root (5, content);
  g_autoptr (GBytes) empty = make_root (0, NULL);
  g_auto (BsS3Root) root = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_s3_root_parse (&root, empty, &error));
  g_assert_null (root.content);
  bs_s3_root_clear (&root);

  g_assert_true (bs_s3_root_parse (&root, bytes, &error));
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root.content, content));
  g_assert_cmpuint (root.n_names, ==, 5);
  g_assert_cmpuint (root.names[4].nonce, ==, 4 * G_GUINT64_CONSTANT (0x123456789));
  g_assert_cmpuint (root.n_history, ==, 2);
  g_assert_true (bs_s3_root_stands_on (&root, root.nonce));
  g_assert_true (bs_s3_root_stands_on (&root, root.history[1]));
  g_assert_false (bs_s3_root_stands_on (&root, root.history[1] + 1));
}

/* A root is read from the network: each byte that is wrong or missing is found. */
static void
test_hostile_root (void)
{
  g_autoptr (GBytes) content = g_bytes_new_static ("content", 7);
  g_autoptr (GBytes) bytes = make_root (5, content);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  for (gsize i = 0; i < size; i++)
    {
      g_autoptr (GBytes) cut = g_bytes_new_from_bytes (bytes, 0, i);
      g_autofree guint8 *copy = g_memdup2 (data, size);
      g_autoptr (GBytes) changed = NULL;
      g_auto (BsS3Root) root = { 0 };
      g_autoptr (GError) error = NULL;

      g_assert_false (bs_s3_root_parse (&root, cut, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
      g_clear_error (&error);

      copy[i] ^= 0xff;
      changed = g_bytes_new (copy, size);
      g_assert_false (bs_s3_root_parse (&root, changed, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
    }
}

/* A root remembers the last ones, and no more. */
static void
test_history (void)
{
  BsS3Root root = { 0 };
  guint64 first = 0;

  for (guint i = 0; i < BS_S3_MAX_HISTORY + 2; i++)
    {
      BsS3Root previous = root;

      bs_s3_root_follow (&root, &previous);
      if (i == 0)
        first = root.nonce;
      g_assert_true (bs_s3_root_stands_on (&root, first) == (i <= BS_S3_MAX_HISTORY));
    }
}

static void
test_xml (void)
{
  static const char text[] = "<?xml version=\"1.0\"?><Error xmlns=\"x\"><Code>NoSuchKey</Code>"
                             "<Message>a &amp; b</Message></Error>";
  g_autofree char *code = bs_s3_xml_lookup ((const guint8 *) text, strlen (text), "Code");
  g_autofree char *message = bs_s3_xml_lookup ((const guint8 *) text, strlen (text), "Message");
  g_autofree char *none = bs_s3_xml_lookup ((const guint8 *) "<a>", 3, "Code");
  g_autofree char *empty = bs_s3_xml_lookup (NULL, 0, "Code");
  g_autoptr (GString) deep = g_string_new (NULL);
  g_autofree char *lost = NULL;

  g_assert_null (empty);
  g_assert_cmpstr (code, ==, "NoSuchKey");
  g_assert_cmpstr (message, ==, "a & b");
  g_assert_null (none);
  for (guint i = 0; i < 100000; i++)
    g_string_append (deep, "<a>");
  lost = bs_s3_xml_lookup ((const guint8 *) deep->str, deep->len, "a");
  g_assert_null (lost);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/s3/parts/signature", test_signature);
  g_test_add_func ("/s3/parts/settings", test_settings);
  g_test_add_func ("/s3/parts/bad-settings", test_bad_settings);
  g_test_add_func ("/s3/parts/bad-parameters", test_bad_parameters);
  g_test_add_func ("/s3/parts/paths", test_paths);
  g_test_add_func ("/s3/parts/credentials", test_credentials);
  g_test_add_func ("/s3/parts/rotated", test_rotated);
  g_test_add_func ("/s3/parts/names", test_names);
  g_test_add_func ("/s3/parts/root", test_root);
  g_test_add_func ("/s3/parts/hostile-root", test_hostile_root);
  g_test_add_func ("/s3/parts/history", test_history);
  g_test_add_func ("/s3/parts/xml", test_xml);

  return g_test_run ();
}
