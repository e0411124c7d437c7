/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-item-private.h"
#include "bs-pool-items.h"

#include "base/bs-backing-private.h"
#include "base/bs-stream-private.h"

/* New contents that go straight to the backing, and need not fit into memory. */

typedef struct
{
  BsPool *pool;         /* owned by an asynchronous call */
  BsToken *token;       /* held; NULL once an item has it */
  GFile *file;          /* borrowed by a blocking call, else owned; NULL for a stream */
  GInputStream *stream; /* likewise */
  goffset size;         /* of the blob, or -1 */
} Insertion;

/* A file or a stream may have changed while it was read: the blob itself tells its size. */
static goffset
find_size (BsBacking *backing, const BsKey *key)
{
  g_autoptr (GInputStream) stream = NULL;
  goffset size;

  if (!bs_backing_implements (backing, BS_OPERATION_READ_STREAM))
    return -1;

  stream = bs_backing_invoke_read_stream (backing, key, NULL, NULL);
  return stream != NULL && bs_stream_get_size (stream, &size, NULL) ? size : -1;
}

static gboolean
insertion_write (gpointer data,
                 BsBacking *backing,
                 const BsKey *key,
                 GCancellable *cancellable,
                 GError **error)
{
  Insertion *self = data;
  gboolean success;

  if (self->file != NULL)
    success = bs_backing_invoke_write_file (backing, key, self->file, cancellable, error);
  else
    success = bs_backing_invoke_write_stream (backing, key, self->stream, -1, cancellable, error);
  /* The size of an item with a codec is that of an object. */
  if (success && bs_pool_get_codec (self->pool) == NULL)
    self->size = find_size (backing, key);

  return success;
}

static gpointer
insertion_deliver (gpointer data, gpointer value, GError **error)
{
  Insertion *self = data;
  BsEntry *entry;

  if (*error != NULL)
    return NULL;

  entry = bs_cache_insert_stored (bs_pool_get_cache (self->pool), g_steal_pointer (&self->token),
                                  self->size);
  return bs_item_new (self->pool, entry);
}

static void
insertion_drop_token (Insertion *self)
{
  if (self->token != NULL)
    bs_token_drop (bs_pool_get_store (self->pool), self->token);
}

static void
insertion_free (gpointer data)
{
  Insertion *self = data;

  insertion_drop_token (self);
  g_clear_object (&self->file);
  g_clear_object (&self->stream);
  g_object_unref (self->pool);
  g_free (self);
}

static BsItem *
insert_blocking (Insertion *self, GCancellable *cancellable, GError **error)
{
  BsBackingStore *store = bs_pool_get_store (self->pool);
  g_autoptr (BsContent) content = bs_content_new_source (insertion_write, self);
  BsDelivery delivery = { .func = insertion_deliver, .data = self, .value_free = g_object_unref };
  BsRequest request = { .kind = BS_KIND_WRITE, .content = content };
  BsItem *item;

  self->size = -1;
  self->token = request.token = bs_token_new (store);
  item = bs_ask_blocking (store, &request, &delivery, cancellable, error);
  insertion_drop_token (self);

  return item;
}

/* Takes the task over. */
static void
insert_async (BsPool *pool, GFile *file, GInputStream *stream, GTask *task)
{
  BsBackingStore *store = bs_pool_get_store (pool);
  Insertion *self = g_new0 (Insertion, 1);
  g_autoptr (BsContent) content = bs_content_new_source (insertion_write, self);
  BsDelivery delivery = { .func = insertion_deliver,
                          .data = self,
                          .data_free = insertion_free,
                          .value_free = g_object_unref };
  BsRequest request = { .kind = BS_KIND_WRITE, .content = content };

  self->pool = g_object_ref (pool);
  self->size = -1;
  g_set_object (&self->file, file);
  g_set_object (&self->stream, stream);
  self->token = request.token = bs_token_new (store);
  bs_ask_async (store, &request, &delivery, task);
}

/**
 * bs_pool_insert_file:
 * @self: a pool
 * @file: a file
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Puts the content of a file into the pool, under a new key, blocking.
 *
 * The content goes to the backing's primary storage at once, and is not in memory
 * afterwards. It is never in memory whole, unless the backing needs it there. Where the file
 * system can, the backing shares the file's blocks, or the kernel copies the file. The file
 * is not needed any more afterwards; one that another program changes meanwhile is stored as
 * it was read.
 *
 * In a pool with a codec the file has the bytes of an encoded object.
 *
 * Fails with %G_IO_ERROR_NOT_FOUND if there is no such file, %G_IO_ERROR_IS_DIRECTORY or
 * %G_IO_ERROR_NOT_REGULAR_FILE if it is of another kind, %G_IO_ERROR_NO_SPACE,
 * %BS_ERROR_CLOSED if the store is closed, %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK
 * if called from inside a virtual function of the store's backing, and with the backing's
 * errors. Nothing is left in the backing then.
 *
 * Returns: (transfer full): an item for the content
 */
BsItem *
bs_pool_insert_file (BsPool *self, GFile *file, GCancellable *cancellable, GError **error)
{
  Insertion insertion = { .pool = self, .file = file };

  g_return_val_if_fail (bs_pool_has_store (self), NULL);
  g_return_val_if_fail (G_IS_FILE (file), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return insert_blocking (&insertion, cancellable, error);
}

/**
 * bs_pool_insert_file_async:
 * @self: a pool
 * @file: a file
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the item is there
 * @user_data: data for @callback
 *
 * Puts the content of a file into the pool, under a new key.
 *
 * The asynchronous form of [method@Pool.insert_file]; @callback is called in the
 * thread-default main context of the caller.
 */
void
bs_pool_insert_file_async (BsPool *self,
                           GFile *file,
                           int io_priority,
                           GCancellable *cancellable,
                           GAsyncReadyCallback callback,
                           gpointer user_data)
{
  g_return_if_fail (bs_pool_has_store (self));
  g_return_if_fail (G_IS_FILE (file));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  insert_async (self, file, NULL,
                bs_task_new (self, cancellable, callback, user_data, bs_pool_insert_file_async,
                             "bs_pool_insert_file_async", io_priority));
}

/**
 * bs_pool_insert_file_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Pool.insert_file_async]; the errors are those of
 * [method@Pool.insert_file].
 *
 * Returns: (transfer full): an item for the content
 */
BsItem *
bs_pool_insert_file_finish (BsPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_POOL (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_pool_insert_file_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * bs_pool_insert_stream:
 * @self: a pool
 * @stream: a stream
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Puts all that a stream has into the pool, under a new key, blocking.
 *
 * The stream is read to its end, and not closed. The content goes to the backing's primary
 * storage as it is read, and is not in memory afterwards, nor ever in memory whole, unless
 * the backing needs it there.
 *
 * In a pool with a codec the stream has the bytes of an encoded object.
 *
 * [method@BackingStore.close] waits for the end of the stream: cancel an insertion whose
 * stream may not end. In a store with a [property@BackingStore:main-context] the stream is
 * read in that context, where a stream that waits for the same context never ends.
 *
 * Fails with the error of the stream, %G_IO_ERROR_NO_SPACE, %BS_ERROR_CLOSED if the store
 * is closed, %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual
 * function of the store's backing, and with the backing's errors. Nothing is left in the
 * backing then, and the stream has been read up to an unknown place.
 *
 * Returns: (transfer full): an item for the content
 */
BsItem *
bs_pool_insert_stream (BsPool *self,
                       GInputStream *stream,
                       GCancellable *cancellable,
                       GError **error)
{
  Insertion insertion = { .pool = self, .stream = stream };

  g_return_val_if_fail (bs_pool_has_store (self), NULL);
  g_return_val_if_fail (G_IS_INPUT_STREAM (stream), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return insert_blocking (&insertion, cancellable, error);
}

/**
 * bs_pool_insert_stream_async:
 * @self: a pool
 * @stream: a stream
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the item is there
 * @user_data: data for @callback
 *
 * Puts all that a stream has into the pool, under a new key.
 *
 * The asynchronous form of [method@Pool.insert_stream]; @callback is called in the
 * thread-default main context of the caller. The stream is read in one of the store's
 * threads until then.
 */
void
bs_pool_insert_stream_async (BsPool *self,
                             GInputStream *stream,
                             int io_priority,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  g_return_if_fail (bs_pool_has_store (self));
  g_return_if_fail (G_IS_INPUT_STREAM (stream));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  insert_async (self, NULL, stream,
                bs_task_new (self, cancellable, callback, user_data, bs_pool_insert_stream_async,
                             "bs_pool_insert_stream_async", io_priority));
}

/**
 * bs_pool_insert_stream_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Pool.insert_stream_async]; the errors are those of
 * [method@Pool.insert_stream].
 *
 * Returns: (transfer full): an item for the content
 */
BsItem *
bs_pool_insert_stream_finish (BsPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_POOL (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_pool_insert_stream_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
