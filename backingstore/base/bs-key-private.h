/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <string.h>

#include "bs-error.h"
#include "bs-key.h"

G_BEGIN_DECLS

#define BS_KEY_STRING_LENGTH 36
#define BS_KEY_STRING_SIZE (BS_KEY_STRING_LENGTH + 1)
#define BS_KEY_HEX_LENGTH 32

/* A key inside the library: 16 bytes, in the order in which they are printed. */
typedef struct
{
  guint64 words[2];
} BsKey;

void     bs_key_init_random (BsKey *key);
/* Parses any case, with hyphens or without. */
gboolean bs_key_parse       (const char *string, BsKey *key);
gboolean bs_key_parse_error (const char *string, const char *operation, BsKey *key, GError **error);
/* Parses lower-case without hyphens only, as in file names. */
gboolean bs_key_parse_hex   (const char *hex, BsKey *key);
void     bs_key_print       (const BsKey *key, char string[BS_KEY_STRING_SIZE]);
void     bs_key_print_hex   (const BsKey *key, char hex[BS_KEY_HEX_LENGTH + 1]);
char    *bs_key_to_string   (const BsKey *key) G_GNUC_WARN_UNUSED_RESULT;

/* Random, and set when the library is loaded: nobody can prepare keys that collide. */
extern guint64 bs_key_seeds[2];

static inline gboolean
bs_key_equal (const BsKey *a, const BsKey *b)
{
  return ((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1])) == 0;
}

static inline guint64
bs_key_multiply_and_fold (guint64 a, guint64 b)
{
#ifdef __SIZEOF_INT128__
  __extension__ unsigned __int128 product = (unsigned __int128) a * b;

  return (guint64) (product >> 64) ^ (guint64) product;
#else
  guint64 low = (a & G_MAXUINT32) * (b & G_MAXUINT32);
  guint64 middle = (a >> 32) * (b & G_MAXUINT32) + (low >> 32);
  guint64 other = (a & G_MAXUINT32) * (b >> 32) + (middle & G_MAXUINT32);
  guint64 high = (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);

  return high ^ (other << 32 | (low & G_MAXUINT32));
#endif
}

/* Every bit is good. The top bits give shards and the order of tables, the bottom bits
 * the tags of tables. */
static inline guint64
bs_key_hash (const BsKey *key)
{
  return bs_key_multiply_and_fold (key->words[0] ^ bs_key_seeds[0], key->words[1] ^ bs_key_seeds[1]);
}

G_END_DECLS
