/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-key-private.h"

#include "bs-fork-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <sys/random.h>

#define POOL_SIZE 1024
#define LONGEST_QUOTE 80

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

/* Sixteen characters, or their values. A compiler makes one instruction of an operation on
 * them where the processor has such. Given by pointer: how to pass one depends on that. */
typedef guint8 Bytes __attribute__ ((vector_size (16)));
typedef guint32 Pieces __attribute__ ((vector_size (16)));

/* Picks bytes of two vectors by their places. GCC has the builtin of Clang from 12 on. */
#if defined(__clang__) || __GNUC__ >= 12
#define shuffle __builtin_shufflevector
#else
#define shuffle(first, second, ...) __builtin_shuffle (first, second, (Bytes){ __VA_ARGS__ })
#endif

static const guint8 hex_places[] = { 0, 4, 8, 12, 16, 20, 24, 28 };
static const guint8 string_places[] = { 0, 4, 9, 14, 19, 24, 28, 32 };

/* Turns nibbles into digits. */
static inline void
spell (Bytes *nibbles)
{
  Bytes are_letters = (Bytes) (*nibbles > 9);

  *nibbles += '0' + (are_letters & ('a' - '0' - 10));
}

/* Turns digits into nibbles. Clears bits of `valid` where a character is no digit. */
static inline void
decode (Bytes *digits, gboolean canonical, Bytes *valid)
{
  Bytes numbers = *digits - '0';
  Bytes letters = (canonical ? *digits : *digits | ('a' ^ 'A')) - 'a';
  Bytes are_numbers = (Bytes) (numbers < 10);
  Bytes are_letters = (Bytes) (letters < 6);

  *digits = (numbers & are_numbers) | ((letters + 10) & are_letters);
  *valid &= are_numbers | are_letters;
}

/* Not by way of memory, where the processor would have to put the pieces together. */
static inline void
load (Bytes *digits, const char *string, const guint8 places[4])
{
  guint32 pieces[4];

  for (guint i = 0; i < 4; i++)
    memcpy (&pieces[i], string + places[i], sizeof pieces[i]);
  *digits = (Bytes) (Pieces){ pieces[0], pieces[1], pieces[2], pieces[3] };
}

/* Of 32 characters, four at each place. Leaves `key` alone when it fails. */
static inline gboolean
parse_digits (const char *string, const guint8 places[8], gboolean canonical, BsKey *key)
{
  Bytes first, second, bytes, valid = ~(Bytes){ 0 };
  guint64 words[2];

  load (&first, string, places);
  load (&second, string, places + 4);
  decode (&first, canonical, &valid);
  decode (&second, canonical, &valid);
  memcpy (words, &valid, sizeof words);
  if ((words[0] & words[1]) != G_MAXUINT64)
    return FALSE;

  bytes = shuffle (first, second, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) << 4 |
          shuffle (first, second, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  memcpy (key, &bytes, sizeof *key);
  return TRUE;
}

/* Leaves `key` alone when it fails. */
gboolean
bs_key_parse (const char *string, BsKey *key)
{
  gsize length = string != NULL ? strnlen (string, BS_KEY_STRING_SIZE) : 0;

  if (length == BS_KEY_HEX_LENGTH)
    return parse_digits (string, hex_places, FALSE, key);

  return length == BS_KEY_STRING_LENGTH && string[8] == '-' && string[13] == '-' &&
         string[18] == '-' && string[23] == '-' && parse_digits (string, string_places, FALSE, key);
}

/* Takes the form of bs_key_print_hex() alone: lower-case, no hyphens, nothing behind. */
gboolean
bs_key_parse_hex (const char *hex, BsKey *key)
{
  return strnlen (hex, BS_KEY_HEX_LENGTH + 1) == BS_KEY_HEX_LENGTH &&
         parse_digits (hex, hex_places, TRUE, key);
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
      g_set_error (error, BS_ERROR, BS_ERROR_INVALID_KEY, _ ("%s: NULL is not a key"), operation);
      return FALSE;
    }

  start = g_strndup (string, LONGEST_QUOTE);
  escaped = g_strescape (start, NULL);
  g_set_error (
    error, BS_ERROR, BS_ERROR_INVALID_KEY,
    _ (
      "%s: \"%s\"%s is not a key: it takes 32 hexadecimal digits, with hyphens after 8, 12, 16 and 20 or none"),
    operation, escaped, strnlen (string, LONGEST_QUOTE + 1) > LONGEST_QUOTE ? "…" : "");
  return FALSE;
}

static inline void
print_digits (const BsKey *key, char *hex)
{
  Bytes bytes, high, low, first, second;

  memcpy (&bytes, key, sizeof bytes);
  high = bytes >> 4;
  low = bytes & 0x0f;
  spell (&high);
  spell (&low);
  first = shuffle (high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  second = shuffle (high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  memcpy (hex, &first, sizeof first);
  memcpy (hex + sizeof first, &second, sizeof second);
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
