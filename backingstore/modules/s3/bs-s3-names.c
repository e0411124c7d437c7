/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-names-private.h"

#include <string.h>

#define HEX_LENGTH 32
#define NONCE_LENGTH 16
/* The two digits and the slash before the others. */
#define FOLDER_LENGTH 3

/* The string is a key as the library passes it. */
void
bs_s3_key_parse (const char *string, BsS3Key *key)
{
  const char *digit = string;

  for (guint i = 0; i < sizeof key->bytes; i++)
    {
      if (*digit == '-')
        digit++;
      key->bytes[i] = g_ascii_xdigit_value (digit[0]) << 4 | g_ascii_xdigit_value (digit[1]);
      digit += 2;
    }
}

/* Keys are random, so any part of them is a hash. */
guint
bs_s3_key_hash (gconstpointer key)
{
  guint hash;

  memcpy (&hash, ((const BsS3Key *) key)->bytes + 9, sizeof hash);
  return hash;
}

gboolean
bs_s3_key_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (BsS3Key)) == 0;
}

static char *
print_byte (char *string, guint8 byte)
{
  static const char digits[] = "0123456789abcdef";

  string[0] = digits[byte >> 4];
  string[1] = digits[byte & 15];
  return string + 2;
}

void
bs_s3_key_print (const BsS3Key *key, char string[37])
{
  for (guint i = 0; i < sizeof key->bytes; i++)
    {
      if (i == 4 || i == 6 || i == 8 || i == 10)
        *string++ = '-';
      string = print_byte (string, key->bytes[i]);
    }
  *string = '\0';
}

guint64
bs_s3_make_nonce (void)
{
  guint64 nonce;

  do
    {
      g_autofree char *uuid = g_uuid_string_random ();
      BsS3Key key;

      bs_s3_key_parse (uuid, &key);
      memcpy (&nonce, key.bytes + 8, sizeof nonce);
      nonce ^= (guint64) key.bytes[0] << 56;
    }
  while (nonce == 0);

  return nonce;
}

char *
bs_s3_join (const char *prefix, const char *name)
{
  return prefix[0] != '\0' ? g_strconcat (prefix, "/", name, NULL) : g_strdup (name);
}

char *
bs_s3_name_print (const BsS3Name *name, const char *prefix)
{
  char text[FOLDER_LENGTH + HEX_LENGTH + 1 + NONCE_LENGTH + 1];
  char *end = print_byte (text, name->key.bytes[0]);

  *end++ = '/';
  for (guint i = 0; i < sizeof name->key.bytes; i++)
    end = print_byte (end, name->key.bytes[i]);
  if (name->nonce != 0)
    *end++ = '.';
  for (guint i = 0; name->nonce != 0 && i < sizeof name->nonce; i++)
    end = print_byte (end, name->nonce >> (56 - 8 * i));
  *end = '\0';

  return bs_s3_join (prefix, text);
}

char *
bs_s3_name_print_aside (const BsS3Name *name, const char *prefix)
{
  g_autofree char *folder = bs_s3_join (prefix, BS_S3_QUARANTINE);
  g_autofree char *object = bs_s3_name_print (name, "");

  return g_strconcat (folder, object + FOLDER_LENGTH, NULL);
}

static gboolean
is_hex (const char *text, gsize length)
{
  for (gsize i = 0; i < length; i++)
    {
      if (!g_ascii_isxdigit (text[i]) || g_ascii_isupper (text[i]))
        return FALSE;
    }
  return TRUE;
}

gboolean
bs_s3_name_parse (const char *text, BsS3Name *name)
{
  gsize length = strlen (text);
  const char *hex = text + FOLDER_LENGTH;
  const char *nonce = hex + HEX_LENGTH + 1;

  if ((length != FOLDER_LENGTH + HEX_LENGTH &&
       length != FOLDER_LENGTH + HEX_LENGTH + 1 + NONCE_LENGTH) ||
      text[2] != '/' || memcmp (text, hex, 2) != 0 || !is_hex (hex, HEX_LENGTH))
    return FALSE;

  bs_s3_key_parse (hex, &name->key);
  name->nonce = 0;
  if (hex[HEX_LENGTH] == '\0')
    return TRUE;
  if (hex[HEX_LENGTH] != '.' || !is_hex (nonce, NONCE_LENGTH))
    return FALSE;
  name->nonce = g_ascii_strtoull (nonce, NULL, 16);
  return name->nonce != 0;
}

gboolean
bs_s3_name_parse_aside (const char *text, BsS3Name *name)
{
  g_autofree char *object = g_strdup_printf ("%.2s/%s", text, text);

  return bs_s3_name_parse (object, name);
}
