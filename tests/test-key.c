/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include <sys/wait.h>
#include <unistd.h>

#include "base/bs-key-private.h"

#define CANONICAL "0123abcd-4567-89ef-cdab-0f1e2d3c4b5a"

static void
test_valid (void)
{
  const char *spellings[] = {
    CANONICAL,
    "0123ABCD-4567-89EF-CDAB-0F1E2D3C4B5A",
    "0123aBcD-4567-89eF-CdaB-0f1E2d3C4b5a",
    "0123abcd456789efcdab0f1e2d3c4b5a",
    "0123ABCD456789EFCDAB0F1E2D3C4B5A",
  };
  const guint8 bytes[] = { 0x01, 0x23, 0xab, 0xcd, 0x45, 0x67, 0x89, 0xef,
                           0xcd, 0xab, 0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a };

  for (guint i = 0; i < G_N_ELEMENTS (spellings); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *string = NULL;
      BsKey key;

      g_assert_true (bs_key_is_valid (spellings[i]));
      g_assert_true (bs_key_parse_error (spellings[i], "read", &key, &error));
      g_assert_no_error (error);
      g_assert_cmpmem (&key, sizeof key, bytes, sizeof bytes);
      string = bs_key_to_string (&key);
      g_assert_cmpstr (string, ==, CANONICAL);
    }
}

static void
assert_invalid (const char *string)
{
  g_autoptr (GError) error = NULL;
  BsKey key = { { 1, 2 } };
  const BsKey untouched = key;

  g_assert_false (bs_key_is_valid (string));
  g_assert_false (bs_key_parse (string, &key));
  g_assert_false (bs_key_parse_error (string, "persist", &key, NULL));
  g_assert_false (bs_key_parse_error (string, "persist", &key, &error));
  g_assert_true (bs_key_equal (&key, &untouched));

  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_assert_true (g_str_has_prefix (error->message, "persist: "));
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_cmpuint (strlen (error->message), <, 600);
}

static void
test_invalid (void)
{
  const char *strings[] = {
    NULL,
    "",
    " ",
    "-",
    "----",
    "key",
    "0123abcd456789efcdab0f1e2d3c4b5",
    "0123abcd456789efcdab0f1e2d3c4b5a0",
    "0123abcd-4567-89ef-cdab-0f1e2d3c4b5",
    "0123abcd-4567-89ef-cdab-0f1e2d3c4b5a0",
    " 0123abcd-4567-89ef-cdab-0f1e2d3c4b5a",
    "0123abcd-4567-89ef-cdab-0f1e2d3c4b5a ",
    "0123abcd-4567-89ef-cdab-0f1e2d3c4b5a\n",
    "{0123abcd-4567-89ef-cdab-0f1e2d3c4b5a}",
    "urn:uuid:0123abcd-4567-89ef-cdab-0f1e2d3c4b5a",
    "0123abcd-456789ef-cdab-0f1e2d3c4b5a",
    "0123abcd4567-89ef-cdab-0f1e2d3c4b5a",
    "0123abc-d4567-89ef-cdab-0f1e2d3c4b5a",
    "0123abcd-4567-89ef-cdab-0f1e2d3c-b5a",
    "0123-abcd-4567-89ef-cdab-0f1e2d3c4b5",
    "0123abcd-4567-89ef-cdab0f1e2d3c4b5a00",
    "0123abcd_4567_89ef_cdab_0f1e2d3c4b5a",
    "0123abcd\342\200\2204567-89ef-cdab-0f1e2d3c4b5a",
    "0123abcg-4567-89ef-cdab-0f1e2d3c4b5a",
    "0x23abcd456789efcdab0f1e2d3c4b5a",
    "+123abcd456789efcdab0f1e2d3c4b5a",
    "\357\274\220123abcd456789efcdab0f1e2d3c4b",
    "\377\37623abcd456789efcdab0f1e2d3c4b5a",
    "0123abcd456789ef\ndab0f1e2d3c4b5a",
    "01/0123abcd456789efcdab0f1e2d3c4b",
    "../../../../../../../../etc/pass",
    "0123abcd456789efcdab0f1e2d3c4b5a.tmp",
  };
  g_autofree char *huge = g_strnfill (1 << 20, 'a');

  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    assert_invalid (strings[i]);
  assert_invalid (huge);
}

static void
test_message (void)
{
  g_autoptr (GError) error = NULL;
  BsKey key;

  g_assert_false (bs_key_parse_error ("no\n\xff \"key\"", "read", &key, &error));
  g_assert_nonnull (strstr (error->message, "\"no\\n\\377 \\\"key\\\"\""));
}

/* Each of the 256 characters at each place of each spelling. */
static void
test_characters (void)
{
  const char *spellings[] = { CANONICAL, "0123abcd456789efcdab0f1e2d3c4b5a" };

  for (guint i = 0; i < G_N_ELEMENTS (spellings); i++)
    for (guint place = 0; place < strlen (spellings[i]); place++)
      for (guint c = 0; c < 256; c++)
        {
          g_autofree char *string = g_strdup (spellings[i]);
          gboolean hyphen = string[place] == '-';
          BsKey key;

          string[place] = c;
          g_assert_cmpint (bs_key_parse (string, &key), ==,
                           hyphen ? c == '-' : g_ascii_isxdigit (c));
          if (!hyphen && i == 1)
            g_assert_cmpint (bs_key_parse_hex (string, &key), ==,
                             g_ascii_isxdigit (c) && !g_ascii_isupper (c));
        }
}

static void
test_file_names (void)
{
  const char *strings[] = {
    "",
    CANONICAL,
    "0123ABCD456789EFCDAB0F1E2D3C4B5A",
    "0123abcd456789efcdab0f1e2d3c4b5A",
    "0123abcd456789efcdab0f1e2d3c4b5",
    "0123abcd456789efcdab0f1e2d3c4b5a0",
    "0123abcd456789efcdab0f1e2d3c4b5a.tmp",
  };
  char hex[BS_KEY_HEX_LENGTH + 1];
  BsKey key = { { 1, 2 } };
  const BsKey untouched = key;

  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    {
      g_assert_false (bs_key_parse_hex (strings[i], &key));
      g_assert_true (bs_key_equal (&key, &untouched));
    }

  g_assert_true (bs_key_parse_hex ("0123abcd456789efcdab0f1e2d3c4b5a", &key));
  bs_key_print_hex (&key, hex);
  g_assert_cmpstr (hex, ==, "0123abcd456789efcdab0f1e2d3c4b5a");
}

static void
test_round_trip (void)
{
  for (guint i = 0; i < 100000; i++)
    {
      char string[BS_KEY_STRING_SIZE];
      char hex[BS_KEY_HEX_LENGTH + 1];
      BsKey key, parsed;

      for (guint w = 0; w < 2; w++)
        key.words[w] = (guint64) g_test_rand_int () << 32 | (guint32) g_test_rand_int ();

      bs_key_print (&key, string);
      g_assert_true (g_uuid_string_is_valid (string));
      g_assert_true (bs_key_parse (string, &parsed));
      g_assert_true (bs_key_equal (&key, &parsed));

      for (guint c = 0; c < BS_KEY_STRING_LENGTH; c++)
        {
          g_assert_false (g_ascii_isupper (string[c]));
          if (g_test_rand_bit ())
            string[c] = g_ascii_toupper (string[c]);
        }
      g_assert_true (bs_key_parse (string, &parsed));
      g_assert_true (bs_key_equal (&key, &parsed));

      bs_key_print_hex (&key, hex);
      g_assert_true (bs_key_parse_hex (hex, &parsed));
      g_assert_true (bs_key_equal (&key, &parsed));
      g_assert_true (bs_key_parse (hex, &parsed));
      g_assert_true (bs_key_equal (&key, &parsed));
    }
}

#define N_GENERATED 10000

static gpointer
generate_keys (gpointer data)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < N_GENERATED; i++)
    g_ptr_array_add (keys, bs_key_generate ());
  return keys;
}

static void
test_generate (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("generate", generate_keys, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      g_autoptr (GPtrArray) keys = g_thread_join (threads[i]);

      for (guint k = 0; k < keys->len; k++)
        {
          const char *key = g_ptr_array_index (keys, k);

          g_assert_cmpuint (strlen (key), ==, BS_KEY_STRING_LENGTH);
          g_assert_true (bs_key_is_valid (key));
          g_assert_cmpint (key[14], ==, '4');
          g_assert_nonnull (strchr ("89ab", key[19]));
          g_assert_true (g_hash_table_add (seen, g_strdup (key)));
        }
    }
}

/* A child that took over its parent's random bytes would make the same keys. */
static void
test_generate_in_child (void)
{
  BsKey key;
  BsKey childs;
  int ends[2];
  int status;
  pid_t pid;

  bs_key_init_random (&key);
  g_assert_no_errno (pipe (ends));
  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      bs_key_init_random (&key);
      _exit (write (ends[1], &key, sizeof key) == sizeof key ? 0 : 1);
    }

  bs_key_init_random (&key);
  g_assert_cmpint (read (ends[0], &childs, sizeof childs), ==, sizeof childs);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_false (bs_key_equal (&key, &childs));
  close (ends[0]);
  close (ends[1]);
}

static void
test_hash (void)
{
  guint n_set[64] = { 0 };
  const guint n_keys = 100000;

  for (guint i = 0; i < n_keys; i++)
    {
      BsKey key, copy;
      guint64 hash;

      bs_key_init_random (&key);
      copy = key;
      hash = bs_key_hash (&key);
      g_assert_cmpuint (hash, ==, bs_key_hash (&copy));
      for (guint bit = 0; bit < 64; bit++)
        n_set[bit] += hash >> bit & 1;
    }

  /* Twelve standard deviations. */
  for (guint bit = 0; bit < 64; bit++)
    {
      g_assert_cmpuint (n_set[bit], >, n_keys / 2 - n_keys / 50);
      g_assert_cmpuint (n_set[bit], <, n_keys / 2 + n_keys / 50);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/key/valid", test_valid);
  g_test_add_func ("/key/invalid", test_invalid);
  g_test_add_func ("/key/message", test_message);
  g_test_add_func ("/key/characters", test_characters);
  g_test_add_func ("/key/file-names", test_file_names);
  g_test_add_func ("/key/round-trip", test_round_trip);
  g_test_add_func ("/key/generate", test_generate);
  g_test_add_func ("/key/generate-in-child", test_generate_in_child);
  g_test_add_func ("/key/hash", test_hash);

  return g_test_run ();
}
