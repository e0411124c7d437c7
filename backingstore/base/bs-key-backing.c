/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-key-backing-private.h"

static const BsKeyBackingFuncs *
get_funcs (BsBacking *self)
{
  return BS_BACKING_GET_IFACE (self)->key_funcs;
}

static gboolean
parse_and_write (BsBacking *self,
                 const char *string,
                 GBytes *bytes,
                 GCancellable *cancellable,
                 GError **error)
{
  BsKey key;

  return bs_key_parse_error (string, "write", &key, error) &&
         get_funcs (self)->write (self, &key, bytes, cancellable, error);
}

static GBytes *
parse_and_read (BsBacking *self, const char *string, GCancellable *cancellable, GError **error)
{
  BsKey key;

  if (!bs_key_parse_error (string, "read", &key, error))
    return NULL;

  return get_funcs (self)->read (self, &key, cancellable, error);
}

static gboolean
parse_and_delete_key (BsBacking *self,
                      const char *string,
                      GCancellable *cancellable,
                      GError **error)
{
  BsKey key;

  return bs_key_parse_error (string, "delete_key", &key, error) &&
         get_funcs (self)->delete_key (self, &key, cancellable, error);
}

#define DEFINE_PARSE_AND(name)                                                                     \
  static gboolean parse_and_##name (BsBacking *self, GFile *path, const char *string,              \
                                    GCancellable *cancellable, GError **error)                     \
  {                                                                                                \
    BsKey key;                                                                                     \
                                                                                                   \
    return bs_key_parse_error (string, #name, &key, error) &&                                      \
           get_funcs (self)->name (self, path, &key, cancellable, error);                          \
  }

DEFINE_PARSE_AND (register_key)
DEFINE_PARSE_AND (persist)
DEFINE_PARSE_AND (delete_persisted)
DEFINE_PARSE_AND (verify_persisted)

static gboolean
parse_and_persist_bytes (BsBacking *self,
                         GFile *path,
                         const char *string,
                         GBytes *bytes,
                         GCancellable *cancellable,
                         GError **error)
{
  BsKey key;

  return bs_key_parse_error (string, "persist_bytes", &key, error) &&
         get_funcs (self)->persist_bytes (self, path, &key, bytes, cancellable, error);
}

static GInputStream *
parse_and_read_stream (BsBacking *self,
                       const char *string,
                       GCancellable *cancellable,
                       GError **error)
{
  BsKey key;

  if (!bs_key_parse_error (string, "read_stream", &key, error))
    return NULL;

  return get_funcs (self)->read_stream (self, &key, cancellable, error);
}

static gboolean
parse_and_write_stream (BsBacking *self,
                        const char *string,
                        GInputStream *stream,
                        gint64 size,
                        GCancellable *cancellable,
                        GError **error)
{
  BsKey key;

  return bs_key_parse_error (string, "write_stream", &key, error) &&
         get_funcs (self)->write_stream (self, &key, stream, size, cancellable, error);
}

static gboolean
parse_and_write_file (BsBacking *self,
                      const char *string,
                      GFile *file,
                      GCancellable *cancellable,
                      GError **error)
{
  BsKey key;

  return bs_key_parse_error (string, "write_file", &key, error) &&
         get_funcs (self)->write_file (self, &key, file, cancellable, error);
}

void
bs_key_backing_init_interface (BsBackingInterface *iface, const BsKeyBackingFuncs *funcs)
{
  iface->key_funcs = funcs;
  iface->write = parse_and_write;
  iface->read = parse_and_read;
  iface->delete_key = parse_and_delete_key;
  iface->register_key = parse_and_register_key;
  iface->persist = parse_and_persist;
  iface->delete_persisted = parse_and_delete_persisted;
  if (funcs->persist_bytes != NULL)
    iface->persist_bytes = parse_and_persist_bytes;
  if (funcs->verify_persisted != NULL)
    iface->verify_persisted = parse_and_verify_persisted;
  if (funcs->read_stream != NULL)
    iface->read_stream = parse_and_read_stream;
  if (funcs->write_stream != NULL)
    iface->write_stream = parse_and_write_stream;
  if (funcs->write_file != NULL)
    iface->write_file = parse_and_write_file;
}
