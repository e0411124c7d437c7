/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-key-private.h"

#include "bs-fork-private.h"

#include <errno.h>
#include <sys/random.h>

#define POOL_SIZE 1024
#define LONGEST_QUOTE 80

#define ONES G_GUINT64_CONSTANT (0x0101010101010101)

/* Random bytes fetched ahead: a system call for each key would cost more than
 * all the rest of making one. */
typedef struct
{
  guint n_left;
  guint n_forks;
  guint8 bytes[POOL_SIZE];
} RandomPool;

static GPrivate random_pool = G_PRIVATE_INIT (g_free);

static void
fetch_random (gpointer bytes, gsize size)
{
  guint8 *at = bytes;
  gsize done = 0;

  while (done < size)
    {
      gssize n = getrandom (at + done, size - done, 0);

      if (n > 0)
        done += n;
      else if (errno != EINTR)
        break;
    }

  /* A kernel or a sandbox without getrandom(). */
  for (; done < size; done++)
    at[done] = g_random_int () >> 24;
}

static RandomPool *
get_random_pool (void)
{
  RandomPool *pool = g_private_get (&random_pool);

  if (pool == NULL)
    {
      pool = g_new0 (RandomPool, 1);
      g_private_set (&random_pool, pool);
    }

  /* A forked child must not use the bytes that its parent is going to use. */
  if (pool->n_left == 0 || pool->n_forks != bs_n_forks)
    {
      fetch_random (pool->bytes, POOL_SIZE);
      pool->n_left = POOL_SIZE;
      pool->n_forks = bs_n_forks;
    }
  return pool;
}

/* A random UUID, version 4 of RFC 9562. */
void
bs_key_init_random (BsKey *key)
{
  RandomPool *pool = get_random_pool ();

  pool->n_left -= sizeof (BsKey);
  memcpy (key, pool->bytes + pool->n_left, sizeof (BsKey));

  key->words[0] &= ~GUINT64_TO_BE (0xf000);
  key->words[0] |= GUINT64_TO_BE (0x4000);
  key->words[1] &= ~GUINT64_TO_BE (G_GUINT64_CONSTANT (3) << 62);
  key->words[1] |= GUINT64_TO_BE (G_GUINT64_CONSTANT (2) << 62);
}

/* The eight digits of `value`, the first one in the highest byte;
 * `letters` has a one for each that is a letter. */
static inline guint64
spell (guint32 value, guint64 *letters)
{
  guint64 nibbles = value;

  nibbles = (nibbles | nibbles << 16) & G_GUINT64_CONSTANT (0x0000ffff0000ffff);
  nibbles = (nibbles | nibbles << 8) & G_GUINT64_CONSTANT (0x00ff00ff00ff00ff);
  nibbles = (nibbles | nibbles << 4) & (ONES * 0x0f);
  *letters = ((nibbles + ONES * 6) >> 4) & ONES;
  return nibbles + ONES * '0' + *letters * ('a' - '0' - 10);
}

/* The value of eight digits, if that is what they are. */
static inline guint32
decode (guint64 digits)
{
  guint64 nibbles = (digits & (ONES * 0x0f)) + ((digits >> 6) & ONES) * 9;

  nibbles = (nibbles | nibbles >> 4) & G_GUINT64_CONSTANT (0x00ff00ff00ff00ff);
  nibbles = (nibbles | nibbles >> 8) & G_GUINT64_CONSTANT (0x0000ffff0000ffff);
  return nibbles | nibbles >> 16;
}

/* Of 32 characters. What they are is seen by spelling their value again: there
 * may be no difference but in the case of letters, and in file names not even
 * that. */
static gboolean
parse_digits (const char *string, gboolean canonical, BsKey *key)
{
  guint32 values[4];
  guint64 wrong = 0;

  for (guint i = 0; i < 4; i++)
    {
      guint64 digits, letters, difference;

      memcpy (&digits, string + 8 * i, 8);
      digits = GUINT64_FROM_BE (digits);
      values[i] = decode (digits);
      difference = digits ^ spell (values[i], &letters);
      wrong |= canonical ? difference : difference & ~(letters * ('a' ^ 'A'));
    }
  if (wrong != 0)
    return FALSE;

  for (guint i = 0; i < 2; i++)
    key->words[i] = GUINT64_TO_BE ((guint64) values[2 * i] << 32 | values[2 * i + 1]);
  return TRUE;
}

/* Leaves `key` alone when it fails. */
gboolean
bs_key_parse (const char *string, BsKey *key)
{
  char hex[BS_KEY_HEX_LENGTH];
  gsize length;

  if (string == NULL)
    return FALSE;

  length = strnlen (string, BS_KEY_STRING_SIZE);
  if (length == BS_KEY_HEX_LENGTH)
    return parse_digits (string, FALSE, key);
  if (length != BS_KEY_STRING_LENGTH)
    return FALSE;
  if (string[8] != '-' || string[13] != '-' || string[18] != '-' || string[23] != '-')
    return FALSE;

  memcpy (hex, string, 8);
  memcpy (hex + 8, string + 9, 4);
  memcpy (hex + 12, string + 14, 4);
  memcpy (hex + 16, string + 19, 4);
  memcpy (hex + 20, string + 24, 12);
  return parse_digits (hex, FALSE, key);
}

/* Only what bs_key_print_hex() prints: lower-case, no hyphens, nothing behind. */
gboolean
bs_key_parse_hex (const char *hex, BsKey *key)
{
  return strnlen (hex, BS_KEY_HEX_LENGTH + 1) == BS_KEY_HEX_LENGTH && parse_digits (hex, TRUE, key);
}

gboolean
bs_key_parse_error (const char *string, const char *operation, BsKey *key, GError **error)
{
  g_autofree char *start = NULL;
  g_autofree char *escaped = NULL;

  if (bs_key_parse (string, key))
    return TRUE;

  if (string == NULL)
    {
      g_set_error (error, BS_ERROR, BS_ERROR_INVALID_KEY, "%s: NULL is not a key", operation);
      return FALSE;
    }

  start = g_strndup (string, LONGEST_QUOTE);
  escaped = g_strescape (start, NULL);
  g_set_error (
    error, BS_ERROR, BS_ERROR_INVALID_KEY,
    "%s: \"%s\"%s is not a key: it takes 32 hexadecimal digits, with hyphens after 8, 12, 16 and 20 or none",
    operation, escaped, strnlen (string, LONGEST_QUOTE + 1) > LONGEST_QUOTE ? "…" : "");
  return FALSE;
}

static inline void
print_digits (const BsKey *key, char *hex)
{
  for (guint i = 0; i < 2; i++)
    {
      guint64 word = GUINT64_FROM_BE (key->words[i]);
      guint64 unused;
      guint64 high = GUINT64_TO_BE (spell (word >> 32, &unused));
      guint64 low = GUINT64_TO_BE (spell (word & G_MAXUINT32, &unused));

      memcpy (hex + 16 * i, &high, 8);
      memcpy (hex + 16 * i + 8, &low, 8);
    }
}

void
bs_key_print_hex (const BsKey *key, char hex[BS_KEY_HEX_LENGTH + 1])
{
  print_digits (key, hex);
  hex[BS_KEY_HEX_LENGTH] = '\0';
}

void
bs_key_print (const BsKey *key, char string[BS_KEY_STRING_SIZE])
{
  char hex[BS_KEY_HEX_LENGTH];

  print_digits (key, hex);
  memcpy (string, hex, 8);
  memcpy (string + 9, hex + 8, 4);
  memcpy (string + 14, hex + 12, 4);
  memcpy (string + 19, hex + 16, 4);
  memcpy (string + 24, hex + 20, 12);
  string[8] = string[13] = string[18] = string[23] = '-';
  string[BS_KEY_STRING_LENGTH] = '\0';
}

char *
bs_key_to_string (const BsKey *key)
{
  char *string = g_malloc (BS_KEY_STRING_SIZE);

  bs_key_print (key, string);
  return string;
}

guint64 bs_key_seeds[2];

__attribute__ ((constructor)) static void
choose_seeds (void)
{
  fetch_random (bs_key_seeds, sizeof bs_key_seeds);
}

/**
 * bs_key_generate:
 *
 * Makes a new key: a random UUID.
 *
 * May be called in any thread.
 *
 * Returns: (transfer full): the key, lower-case and hyphenated
 */
char *
bs_key_generate (void)
{
  BsKey key;

  bs_key_init_random (&key);
  return bs_key_to_string (&key);
}

/**
 * bs_key_is_valid:
 * @string: (nullable): a string
 *
 * Whether a string is a key: a UUID in any case, with hyphens in their places
 * or without any, and nothing around it.
 *
 * May be called in any thread.
 *
 * Returns: whether @string is a key
 */
gboolean
bs_key_is_valid (const char *string)
{
  BsKey key;

  return bs_key_parse (string, &key);
}
