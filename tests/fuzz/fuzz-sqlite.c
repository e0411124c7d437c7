/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A document of the engine "sqlite:", with a log and a journal beside it, of any bytes: it is
 * opened, read, changed and closed, with errors or without. An input is the size of the document
 * and that of the log, in four bytes each, and then the three files. */

#include "fuzz-target.h"

#include "modules/sqlite/bs-sqlite-changes-private.h"
#include "modules/sqlite/bs-sqlite-reading-private.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define HEADER_SIZE 8
#define N_READ 8 /* blobs, of as many as there may be */

static const char *const suffixes[] = { "", "-wal", "-journal" };

typedef struct
{
  char *directory;
  char *path;
  GFile *file;
} Place;

static GLogWriterOutput
write_nothing (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  g_assert (!(level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING)));
  return G_LOG_WRITER_HANDLED;
}

static const Place *
get_place (void)
{
  static Place place;

  if (place.path != NULL)
    return &place;

  g_log_set_writer_func (write_nothing, NULL, NULL);
  /* In memory: a million inputs are no wear of a disk. */
  place.directory = g_strdup ("/dev/shm/backingstore-fuzz-XXXXXX");
  if (g_mkdtemp (place.directory) == NULL)
    {
      g_free (place.directory);
      place.directory = g_dir_make_tmp ("backingstore-fuzz-XXXXXX", NULL);
    }
  g_assert (place.directory != NULL);
  place.path = g_build_filename (place.directory, "document", NULL);
  place.file = g_file_new_for_path (place.path);

  return &place;
}

static void
empty_place (const Place *place)
{
  g_autoptr (GDir) directory = g_dir_open (place->directory, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *path = g_build_filename (place->directory, name, NULL);

      g_unlink (path);
    }
}

void
fuzz_clean_up (void)
{
  empty_place (get_place ());
  g_rmdir (get_place ()->directory);
}

static void
write_file (const Place *place, const char *suffix, const guint8 *data, gsize size)
{
  g_autofree char *path = g_strconcat (place->path, suffix, NULL);

  if (size > 0)
    g_assert (g_file_set_contents_full (path, (const char *) data, size, G_FILE_SET_CONTENTS_NONE,
                                        0600, NULL));
}

static void
read_one (const char *string, gpointer data)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  BsSqliteDocument *document = data;
  BsSqliteKey key;
  BsSqliteRow row;
  static guint n;

  bs_sqlite_key_parse (string, &key);
  if (n++ % N_READ != 0 || !bs_sqlite_document_lookup (document, &key, &row))
    return;

  bytes = bs_sqlite_document_read (document, &row, &error);
  g_assert ((bytes != NULL) == (error == NULL));
}

static gboolean
change (BsSqliteDocument *document)
{
  static const gboolean held[] = { FALSE, TRUE };
  g_autoptr (GBytes) bytes = g_bytes_new_static ("content", 7);
  GBytes *contents[] = { bytes, bytes };
  BsSqliteRow rows[] = { { .key = { "a new key" } }, { .key = { "another" } } };

  rows[0].hash = rows[1].hash = bs_sqlite_hash (bytes);

  return bs_sqlite_document_add (document, rows, contents, 2, NULL, NULL) &&
         bs_sqlite_document_sync (document, NULL) &&
         bs_sqlite_document_remove (document, rows, held, 2, NULL) &&
         bs_sqlite_document_write_root (document, bytes, NULL);
}

static void
use_document (GFile *file, gboolean read_only)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;
  BsSqliteDocument *document = bs_sqlite_document_open (file, read_only, &error);

  g_assert ((document != NULL) == (error == NULL));
  if (document == NULL)
    return;

  bs_sqlite_document_list (document, keys);
  bs_key_set_foreach_key (keys, read_one, document);
  root = bs_sqlite_document_read_root (document, NULL);
  change (document);
  bs_sqlite_document_retire (document);
  bs_sqlite_document_close (document);
  bs_sqlite_document_unref (document);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const Place *place = get_place ();

  if (size < HEADER_SIZE)
    return 0;

  empty_place (place);
  for (guint i = 0, offset = HEADER_SIZE; i < G_N_ELEMENTS (suffixes); i++)
    {
      guint32 wanted = size;
      gsize given;

      if (i < 2)
        memcpy (&wanted, data + 4 * i, 4);
      given = MIN (GUINT32_FROM_LE (wanted), size - offset);
      write_file (place, suffixes[i], data + offset, given);
      offset += given;
    }
  use_document (place->file, size % 2 != 0);
  use_document (place->file, FALSE);

  return 0;
}

static GByteArray *
take_input (const Place *place)
{
  GByteArray *input = g_byte_array_new ();

  g_byte_array_set_size (input, HEADER_SIZE);
  memset (input->data, 0, HEADER_SIZE);
  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *path = g_strconcat (place->path, suffixes[i], NULL);
      g_autofree char *data = NULL;
      guint32 stored;
      gsize size;

      if (!g_file_get_contents (path, &data, &size, NULL))
        continue;
      stored = GUINT32_TO_LE (size);
      if (i < 2)
        memcpy (input->data + 4 * i, &stored, 4);
      g_byte_array_append (input, (const guint8 *) data, size);
    }

  return input;
}

/* The first inputs: a document at each step from none to one with a root, while its log or
 * journal is beside it, and closed. */
void
fuzz_make_inputs (FuzzInputFunc func, gpointer user_data)
{
  const Place *place = get_place ();

  for (guint closed = 0; closed < 2; closed++)
    for (guint n_blobs = 0; n_blobs < 4; n_blobs++)
      {
        g_autoptr (GByteArray) input = NULL;
        BsSqliteDocument *document;

        empty_place (place);
        document = bs_sqlite_document_open (place->file, FALSE, NULL);
        g_assert (document != NULL);
        for (guint i = 0; i < n_blobs; i++)
          {
            g_autofree char *content = g_strnfill (100 + 5000 * i, 'x');
            g_autoptr (GBytes) bytes = g_bytes_new (content, strlen (content));
            BsSqliteRow row = { .key = { "key" }, .hash = bs_sqlite_hash (bytes) };

            row.key.bytes[BS_SQLITE_KEY_SIZE - 1] = i;
            g_assert (bs_sqlite_document_add (document, &row, &bytes, 1, NULL, NULL));
          }
        if (n_blobs > 2)
          change (document);
        if (!closed)
          input = take_input (place);
        bs_sqlite_document_retire (document);
        bs_sqlite_document_close (document);
        bs_sqlite_document_unref (document);
        if (closed)
          input = take_input (place);
        func (input->data, input->len, user_data);
      }
}
