/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-root-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <string.h>
#include <xxhash.h>

/* Numbers are little-endian:
 *
 *   magic, 8 bytes; version, 4; flags, 4: 1 where there is a content
 *   nonce, 8
 *   number of nonces before it, 8; those, 8 each
 *   number of names, 8; those, 16 bytes of the key and 8 of the nonce each
 *   length of the content, 8; the content
 *   XXH3 of all before it, 8 */
#define MAGIC "bs-root\n"
#define VERSION 1
#define HAS_CONTENT 1
#define NAME_SIZE 24

void
bs_s3_root_clear (BsS3Root *self)
{
  g_clear_pointer (&self->names, g_free);
  g_clear_pointer (&self->content, g_bytes_unref);
  memset (self, 0, sizeof *self);
}

static void
append_number (GByteArray *array, guint64 number)
{
  number = GUINT64_TO_LE (number);
  g_byte_array_append (array, (const guint8 *) &number, sizeof number);
}

GBytes *
bs_s3_root_serialize (const BsS3Root *self)
{
  gsize size = 0;
  const guint8 *content = self->content != NULL ? g_bytes_get_data (self->content, &size) : NULL;
  GByteArray *array =
    g_byte_array_sized_new (64 + 8 * self->n_history + NAME_SIZE * self->n_names + size);

  g_byte_array_append (array, (const guint8 *) MAGIC, 8);
  append_number (array, (self->content != NULL ? (guint64) HAS_CONTENT << 32 : 0) | VERSION);
  append_number (array, self->nonce);
  append_number (array, self->n_history);
  for (guint i = 0; i < self->n_history; i++)
    append_number (array, self->history[i]);
  append_number (array, self->n_names);
  for (gsize i = 0; i < self->n_names; i++)
    {
      g_byte_array_append (array, self->names[i].key.bytes, sizeof self->names[i].key.bytes);
      append_number (array, self->names[i].nonce);
    }
  append_number (array, size);
  g_byte_array_append (array, content, size);
  append_number (array, XXH3_64bits (array->data, array->len));

  return g_byte_array_free_to_bytes (array);
}

typedef struct
{
  const guint8 *data;
  gsize left;
} Reader;

static gboolean
read_number (Reader *reader, guint64 *number)
{
  if (reader->left < sizeof *number)
    return FALSE;

  memcpy (number, reader->data, sizeof *number);
  *number = GUINT64_FROM_LE (*number);
  reader->data += sizeof *number;
  reader->left -= sizeof *number;
  return TRUE;
}

static gboolean
read_history (BsS3Root *self, Reader *reader)
{
  guint64 n;

  if (!read_number (reader, &self->nonce) || !read_number (reader, &n) || n > BS_S3_MAX_HISTORY)
    return FALSE;

  self->n_history = n;
  for (guint i = 0; i < n; i++)
    {
      if (!read_number (reader, &self->history[i]))
        return FALSE;
    }
  return TRUE;
}

static gboolean
read_names (BsS3Root *self, Reader *reader)
{
  guint64 n;

  if (!read_number (reader, &n) || n > reader->left / NAME_SIZE)
    return FALSE;

  self->n_names = n;
  self->names = g_new (BsS3Name, n);
  for (gsize i = 0; i < n; i++)
    {
      memcpy (self->names[i].key.bytes, reader->data, sizeof self->names[i].key.bytes);
      reader->data += sizeof self->names[i].key.bytes;
      reader->left -= sizeof self->names[i].key.bytes;
      read_number (reader, &self->names[i].nonce);
    }
  return TRUE;
}

static gboolean
read_all (BsS3Root *self, GBytes *bytes)
{
  Reader reader;
  guint64 version, size, hash;
  const guint8 *start = reader.data = g_bytes_get_data (bytes, &reader.left);

  if (reader.left < 16 || memcmp (start, MAGIC, 8) != 0)
    return FALSE;
  reader.data += 8;
  reader.left -= 8;
  if (!read_number (&reader, &version) || (guint32) version != VERSION ||
      !read_history (self, &reader) || !read_names (self, &reader) ||
      !read_number (&reader, &size) || reader.left < 8 || reader.left - 8 != size)
    return FALSE;

  if (version >> 32 & HAS_CONTENT)
    self->content = g_bytes_new_from_bytes (bytes, reader.data - start, size);
  reader.data += size;
  reader.left -= size;
  return read_number (&reader, &hash) && hash == XXH3_64bits (start, reader.data - 8 - start);
}

gboolean
bs_s3_root_parse (BsS3Root *self, GBytes *bytes, GError **error)
{
  if (read_all (self, bytes))
    return TRUE;

  bs_s3_root_clear (self);
  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                       _ ("the root is not one that this version of the engine has written"));
  return FALSE;
}

void
bs_s3_root_follow (BsS3Root *self, const BsS3Root *previous)
{
  self->nonce = bs_s3_make_nonce ();
  self->n_history = 0;
  if (previous == NULL || previous->nonce == 0)
    return;

  self->history[0] = previous->nonce;
  self->n_history = MIN (previous->n_history + 1, BS_S3_MAX_HISTORY);
  memcpy (self->history + 1, previous->history, (self->n_history - 1) * sizeof self->history[0]);
}

gboolean
bs_s3_root_stands_on (const BsS3Root *self, guint64 nonce)
{
  for (guint i = 0; i < self->n_history; i++)
    {
      if (self->history[i] == nonce)
        return TRUE;
    }
  return self->nonce == nonce;
}
