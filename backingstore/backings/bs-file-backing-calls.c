/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-backing-private.h"

#include "base/bs-error.h"
#include "base/bs-key-set-private.h"
#include "bs-file-blob-private.h"
#include "bs-file-io-private.h"
#include "bs-file-sanitize-private.h"
#include "bs-file-sync-private.h"
#include "bs-file-transfer-private.h"

#include <errno.h>

/* The virtual functions. */

/* Fails with BS_ERROR_NOT_FOUND for ENOENT, unless it is the directory that is
 * not there any more. */
static gboolean
set_key_error (BsFileDirectory *directory,
               int code,
               GError **error)
{
  if (code == ENOENT && bs_file_directory_is_current (directory))
    g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, "there is no such blob");
  else
    bs_file_directory_set_error (directory, code, error);

  return FALSE;
}

static gboolean
bs_file_backing_write (BsBacking *backing,
                       const char *key_string,
                       GBytes *bytes,
                       GCancellable *cancellable,
                       GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  BsKey key;
  int code;

  if (!bs_key_parse_error (key_string, "write", &key, error) || !bs_file_backing_begin (self, cancellable, error))
    return FALSE;

  code = bs_file_create (self->primary, &key, bytes, cancellable);
  if (code == EEXIST)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_EXISTS, "the key is already in primary storage");
  else if (code != 0)
    bs_file_directory_set_error (self->primary, code, error);

  return code == 0;
}

static GBytes *
bs_file_backing_read (BsBacking *backing,
                      const char *key_string,
                      GCancellable *cancellable,
                      GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (GBytes) bytes = NULL;
  BsKey key;
  int code;

  if (!bs_key_parse_error (key_string, "read", &key, error) || !bs_file_backing_begin (self, cancellable, error))
    return NULL;

  code = bs_file_load (self->primary, &key, cancellable, &bytes);
  if (code != 0)
    set_key_error (self->primary, code, error);

  return g_steal_pointer (&bytes);
}

static gboolean
bs_file_backing_delete_key (BsBacking *backing,
                            const char *key_string,
                            GCancellable *cancellable,
                            GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  BsKey key;
  int code;

  if (!bs_key_parse_error (key_string, "delete_key", &key, error) || !bs_file_backing_begin (self, cancellable, error))
    return FALSE;

  code = bs_file_remove (self->primary, &key);
  if (code != 0)
    bs_file_directory_set_error (self->primary, code, error);

  return code == 0;
}

static gboolean
register_one (BsFileBacking *self,
              BsFileDirectory *directory,
              const BsKey *key,
              GCancellable *cancellable,
              GError **error)
{
  int code = bs_file_register (directory, self->primary, key, cancellable);

  return code == 0 || set_key_error (directory, code, error);
}

static gboolean
delete_one (BsFileBacking *self,
            BsFileDirectory *directory,
            const BsKey *key,
            GCancellable *cancellable,
            GError **error)
{
  int code = bs_file_remove (directory, key);

  if (code != 0)
    bs_file_directory_set_error (directory, code, error);

  return code == 0;
}

static gboolean
for_each_key (BsFileBacking *self,
              BsFileDirectory *directory,
              BsKeySet *keys,
              gboolean (*func) (BsFileBacking *, BsFileDirectory *, const BsKey *, GCancellable *, GError **),
              GCancellable *cancellable,
              GError **error)
{
  const BsKeyTable *table = bs_key_set_get_table (keys);
  BsKeyTableIter iter = { 0 };
  guint64 n_done = 0;
  const BsKey *key;

  for (; bs_key_table_iter_next (table, &iter, &key); n_done++)
    {
      char string[BS_KEY_STRING_SIZE];

      if (!g_cancellable_set_error_if_cancelled (cancellable, error) &&
          func (self, directory, key, cancellable, error))
        continue;

      bs_key_print (key, string);
      g_prefix_error (error, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " done: %s: ", n_done, table->n_keys, string);
      return FALSE;
    }

  return TRUE;
}

static gboolean
bs_file_backing_register_key (BsBacking *backing,
                              GFile *path,
                              const char *key_string,
                              GCancellable *cancellable,
                              GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = NULL;
  BsKey key;

  if (!bs_key_parse_error (key_string, "register_key", &key, error))
    return FALSE;

  directory = bs_file_backing_begin_at (self, path, cancellable, error);

  return directory != NULL && register_one (self, directory, &key, cancellable, error);
}

static gboolean
bs_file_backing_register_keys (BsBacking *backing,
                               GFile *path,
                               BsKeySet *keys,
                               GCancellable *cancellable,
                               GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = bs_file_backing_begin_at (self, path, cancellable, error);

  return directory != NULL && for_each_key (self, directory, keys, register_one, cancellable, error);
}

static gboolean
bs_file_backing_persist (BsBacking *backing,
                         GFile *path,
                         const char *key_string,
                         GCancellable *cancellable,
                         GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = NULL;
  BsKey key;
  int code;

  if (!bs_key_parse_error (key_string, "persist", &key, error))
    return FALSE;

  directory = bs_file_backing_begin_at (self, path, cancellable, error);
  if (directory == NULL)
    return FALSE;

  code = bs_file_persist (self->primary, directory, &key, cancellable);

  return code == 0 || set_key_error (directory, code, error);
}

static gboolean
bs_file_backing_delete_persisted (BsBacking *backing,
                                  GFile *path,
                                  const char *key_string,
                                  GCancellable *cancellable,
                                  GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = NULL;
  BsKey key;

  if (!bs_key_parse_error (key_string, "delete_persisted", &key, error))
    return FALSE;

  directory = bs_file_backing_begin_at (self, path, cancellable, error);

  return directory != NULL && delete_one (self, directory, &key, cancellable, error);
}

static gboolean
bs_file_backing_delete_persisted_keys (BsBacking *backing,
                                       GFile *path,
                                       BsKeySet *keys,
                                       GCancellable *cancellable,
                                       GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = bs_file_backing_begin_at (self, path, cancellable, error);

  return directory != NULL && for_each_key (self, directory, keys, delete_one, cancellable, error);
}

static gboolean
bs_file_backing_sanitize_path (BsBacking *backing,
                               GFile *path,
                               BsKeySet *found,
                               GCancellable *cancellable,
                               GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = bs_file_backing_begin_at (self, path, cancellable, error);

  /* Something else may stand at the path by now. */
  if (directory != NULL && !bs_file_directory_is_current (directory))
    {
      bs_file_backing_forget (self, path);
      g_clear_pointer (&directory, bs_file_directory_unref);
      directory = bs_file_backing_begin_at (self, path, cancellable, error);
    }

  if (directory != NULL && bs_file_sanitize (directory, found, cancellable, error))
    return TRUE;

  /* Whoever could not track the path will not release it. */
  bs_file_backing_forget (self, path);

  return FALSE;
}

static gboolean
bs_file_backing_sync_persisted (BsBacking *backing,
                                GFile *path,
                                GCancellable *cancellable,
                                GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = bs_file_backing_begin_at (self, path, cancellable, error);

  return directory != NULL && bs_file_sync (directory, error);
}

static gboolean
bs_file_backing_write_root (BsBacking *backing,
                            GFile *path,
                            GBytes *bytes,
                            GCancellable *cancellable,
                            GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = bs_file_backing_begin_at (self, path, cancellable, error);
  int code;

  if (directory == NULL)
    return FALSE;

  code = bs_file_replace (bs_file_directory_get_fd (directory), BS_FILE_ROOT_NAME, bytes, TRUE, cancellable);
  if (code != 0)
    bs_file_directory_set_error (directory, code, error);

  return code == 0;
}

static GBytes *
bs_file_backing_read_root (BsBacking *backing,
                           GFile *path,
                           GCancellable *cancellable,
                           GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = bs_file_backing_begin_at (self, path, cancellable, error);
  g_autoptr (GBytes) bytes = NULL;
  int code;

  if (directory == NULL)
    return NULL;

  code = bs_file_load_at (directory, BS_FILE_ROOT_NAME, cancellable, &bytes);
  if (code == ENOENT && bs_file_directory_is_current (directory))
    g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, "there is no root blob");
  else if (code != 0)
    bs_file_directory_set_error (directory, code, error);

  return g_steal_pointer (&bytes);
}

static gboolean
bs_file_backing_verify_persisted (BsBacking *backing,
                                  GFile *path,
                                  const char *key_string,
                                  GCancellable *cancellable,
                                  GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = NULL;
  BsKey key;
  gboolean bad;
  int code;

  if (!bs_key_parse_error (key_string, "verify_persisted", &key, error))
    return FALSE;

  directory = bs_file_backing_begin_at (self, path, cancellable, error);
  if (directory == NULL)
    return FALSE;

  code = bs_file_verify (directory, &key, &bad, cancellable);
  if (code == 0)
    return TRUE;

  set_key_error (directory, code, error);
  if (bad && code != EBADMSG && code != EILSEQ)
    g_prefix_error (error, "it is not what was written, and can't be set aside: ");

  return FALSE;
}

static gboolean
bs_file_backing_release_path (BsBacking *backing,
                              GFile *path,
                              GCancellable *cancellable,
                              GError **error)
{
  bs_file_backing_forget (BS_FILE_BACKING (backing), path);

  return TRUE;
}

void
bs_file_backing_init_calls (BsBackingInterface *iface)
{
  iface->write = bs_file_backing_write;
  iface->read = bs_file_backing_read;
  iface->delete_key = bs_file_backing_delete_key;
  iface->register_key = bs_file_backing_register_key;
  iface->register_keys = bs_file_backing_register_keys;
  iface->persist = bs_file_backing_persist;
  iface->delete_persisted = bs_file_backing_delete_persisted;
  iface->delete_persisted_keys = bs_file_backing_delete_persisted_keys;
  iface->sanitize_path = bs_file_backing_sanitize_path;
  iface->sync_persisted = bs_file_backing_sync_persisted;
  iface->write_root = bs_file_backing_write_root;
  iface->read_root = bs_file_backing_read_root;
  iface->verify_persisted = bs_file_backing_verify_persisted;
  iface->release_path = bs_file_backing_release_path;
  iface->close = bs_file_backing_close;
}
