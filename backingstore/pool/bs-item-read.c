/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-export-private.h"
#include "bs-item-private.h"
#include "bs-item-stream-private.h"

#include "base/bs-error-private.h"
#include "store/operations/bs-write-and-read-private.h"

/* Contents as streams and files, which need not fit into memory. */

/* Returns a stream of a content that is in memory as bytes, else NULL. */
static GInputStream *
find_stream (BsItem *self, BsEntry *entry)
{
  g_autoptr (GBytes) bytes = bs_item_find (self, entry, BS_KIND_BYTES);

  return bytes != NULL ? g_memory_input_stream_new_from_bytes (bytes) : NULL;
}

static BsRequest
make_open_request (BsEntry *entry)
{
  return (BsRequest){ .kind = BS_KIND_READ_STREAM, .token = entry->token, .key = &entry->key };
}

/* Asks the backing for a stream. A content that is in memory alone, as an object, is written
 * first. */
static gpointer
open_blocking (BsItem *self,
               BsEntry *entry,
               const BsDelivery *delivery,
               GCancellable *cancellable,
               GError **error)
{
  BsBackingStore *store = bs_pool_get_store (self->pool);
  g_autoptr (BsContent) unwritten = bs_cache_dup_unwritten (bs_item_get_cache (self), entry);
  BsItemRequest request = { .item = self, .entry = entry };
  BsDelivery written = { .func = bs_item_write_deliver, .data = &request };
  BsRequest open = make_open_request (entry);

  if (unwritten != NULL)
    return bs_write_and_read_blocking (store, BS_KIND_READ_STREAM, entry->token, unwritten,
                                       &written, delivery, cancellable, error);

  return bs_ask_blocking (store, &open, delivery, cancellable, error);
}

/* Consumes the reference on the waiter. */
static void
open_for_waiter (BsItem *self, BsEntry *entry, BsWaiter *waiter)
{
  BsBackingStore *store = bs_pool_get_store (self->pool);
  g_autoptr (BsContent) unwritten = bs_cache_dup_unwritten (bs_item_get_cache (self), entry);
  BsDelivery written = { .func = bs_item_write_deliver, .data_free = bs_item_request_free };
  BsRequest open = make_open_request (entry);

  if (unwritten != NULL)
    {
      written.data = bs_item_request_new (self, entry, BS_KIND_BYTES, NULL);
      bs_write_and_read (store, BS_KIND_READ_STREAM, entry->token, unwritten, &written, waiter);
    }
  else
    {
      bs_ask (store, &open, waiter);
    }
  bs_waiter_unref (waiter);
}

/* Called on the thread where the stream was opened. */
static gpointer
read_deliver (gpointer data, gpointer value, GError **error)
{
  BsItemRequest *self = data;

  if (*error != NULL)
    return NULL;

  return bs_item_stream_new (self->item->pool, self->entry, value, error);
}

/**
 * bs_item_read:
 * @self: an item
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Opens the item's content for reading, blocking if it is not in memory.
 *
 * The stream is a [iface@Gio.Seekable] that can seek. It reads the content of the moment of
 * the call, and holds that until it is closed, whether or not the item is replaced,
 * dropped or deleted from a path meanwhile. A content that is not in memory is read in the
 * store's threads, a part at a time, and is never in memory whole; one that is in memory is
 * read from there. Seeking and closing never block. Reads fail with %BS_ERROR_CLOSED once
 * the store is closed, and with %BS_ERROR_CORRUPT where the backing finds the content to be
 * bad, which it may find out at the end.
 *
 * In a pool with a codec the stream has the encoded bytes. An object that is not yet in
 * the backing is written first.
 *
 * Fails like [method@Item.load].
 *
 * Returns: (transfer full): a stream that can seek
 */
GInputStream *
bs_item_read (BsItem *self, GCancellable *cancellable, GError **error)
{
  BsItemRequest request = { .item = self };
  BsDelivery delivery = { .func = read_deliver, .data = &request, .value_free = g_object_unref };
  g_autoptr (GInputStream) found = NULL;
  GInputStream *stream;

  g_return_val_if_fail (bs_item_has_pool (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!bs_item_check_cancelled (self, BS_KIND_READ_STREAM, NULL, cancellable, error))
    return NULL;

  request.entry = bs_item_dup_entry (self);
  found = find_stream (self, request.entry);
  if (found != NULL)
    stream = bs_item_stream_new (self->pool, request.entry, found, error);
  else
    stream = open_blocking (self, request.entry, &delivery, cancellable, error);
  bs_cache_drop_entry (bs_item_get_cache (self), request.entry);

  return stream;
}

/* Returns the stream that was made of a content in memory. */
static gpointer
found_deliver (gpointer data, gpointer value, GError **error)
{
  return data;
}

/**
 * bs_item_read_async:
 * @self: an item
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the stream is there
 * @user_data: data for @callback
 *
 * Opens the item's content for reading.
 *
 * The asynchronous form of [method@Item.read]; @callback is called in the
 * thread-default main context of the caller, and never before this returns.
 */
void
bs_item_read_async (BsItem *self,
                    int io_priority,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  BsDelivery delivery = { .value_free = g_object_unref };
  g_autoptr (GInputStream) found = NULL;
  GError *error = NULL;
  BsEntry *entry;
  GTask *task;

  g_return_if_fail (bs_item_has_pool (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = bs_task_new (self, cancellable, callback, user_data, bs_item_read_async,
                      "bs_item_read_async", io_priority);
  if (!bs_item_check_cancelled (self, BS_KIND_READ_STREAM, NULL, cancellable, &error))
    {
      bs_answer_async (task, &delivery, NULL, error);
      return;
    }

  entry = bs_item_dup_entry (self);
  found = find_stream (self, entry);
  if (found != NULL)
    {
      delivery.data = bs_item_stream_new (self->pool, entry, found, &error);
      delivery.func = error == NULL ? found_deliver : NULL;
      bs_answer_async (task, &delivery, NULL, error);
    }
  else
    {
      delivery.func = read_deliver;
      delivery.data = bs_item_request_new (self, entry, BS_KIND_BYTES, NULL);
      delivery.data_free = bs_item_request_free;
      open_for_waiter (self, entry, bs_waiter_new_async (task, &delivery));
    }
  bs_cache_drop_entry (bs_item_get_cache (self), entry);
}

/**
 * bs_item_read_finish:
 * @self: an item
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Item.read_async]; the errors are those of [method@Item.read].
 *
 * Returns: (transfer full): a stream that can seek
 */
GInputStream *
bs_item_read_finish (BsItem *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_item_read_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* A copy from the backing to a file: opens a stream, then copies. */
typedef struct
{
  BsItem *item;         /* owned */
  BsEntry *entry;       /* a reference */
  GFile *file;          /* owned */
  GInputStream *stream; /* owned; NULL until it is open */
  GTask *task;          /* owned until the copying is asked; of an asynchronous call */
} CopyOut;

static CopyOut *
copy_out_new (BsItem *item, GFile *file)
{
  CopyOut *self = g_atomic_rc_box_new0 (CopyOut);

  self->item = g_object_ref (item);
  self->file = g_object_ref (file);
  self->entry = bs_item_dup_entry (item);
  self->stream = find_stream (item, self->entry);

  return self;
}

static void
copy_out_clear (gpointer data)
{
  CopyOut *self = data;

  g_clear_object (&self->stream);
  bs_cache_drop_entry (bs_item_get_cache (self->item), self->entry);
  g_object_unref (self->file);
  g_object_unref (self->item);
}

static void
copy_out_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, copy_out_clear);
}

/* Runs where the backing's functions run. */
static gboolean
copy_out (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  CopyOut *self = data;
  g_autofree char *name = NULL;
  char key[BS_KEY_STRING_SIZE];

  if (bs_export (self->stream, self->file, cancellable, error))
    return TRUE;

  name = bs_error_name_file (self->file);
  bs_key_print (&self->entry->key, key);
  g_prefix_error (error, "Copying key %s to %s: ", key, name);
  return FALSE;
}

/* The second part of one call is not refused: a close that is asked meanwhile awaits it. */
static BsRequest
make_copy_request (CopyOut *self, gboolean internal)
{
  return (BsRequest){ .kind = BS_KIND_COPY_OUT,
                      .internal = internal,
                      .token = self->entry->token,
                      .key = &self->entry->key,
                      .function = copy_out,
                      .data = self };
}

static gpointer
keep_stream (gpointer data, gpointer value, GError **error)
{
  return *error == NULL ? g_object_ref (value) : NULL;
}

static gboolean
copy_out_blocking (CopyOut *self, GCancellable *cancellable, GError **error)
{
  BsDelivery opened = { .func = keep_stream, .value_free = g_object_unref };
  BsRequest request;

  if (self->stream == NULL)
    self->stream = open_blocking (self->item, self->entry, &opened, cancellable, error);
  if (self->stream == NULL)
    return FALSE;

  request = make_copy_request (self, FALSE);
  return GPOINTER_TO_INT (
    bs_ask_blocking (bs_pool_get_store (self->item->pool), &request, NULL, cancellable, error));
}

/* Takes the task over. */
static void
ask_copy (CopyOut *self, gboolean internal, GTask *task)
{
  BsDelivery copied = { .data = g_atomic_rc_box_acquire (self), .data_free = copy_out_unref };
  BsRequest request = make_copy_request (self, internal);

  bs_ask_async (bs_pool_get_store (self->item->pool), &request, &copied, task);
}

/* The opening still counts, so that a store that is being closed waits for both. */
static gpointer
copy_opened (gpointer data, gpointer value, GError **error)
{
  CopyOut *self = data;
  GTask *task = g_steal_pointer (&self->task);

  if (*error != NULL)
    {
      bs_answer_async (task, NULL, NULL, g_steal_pointer (error));
      return NULL;
    }

  self->stream = g_object_ref (value);
  ask_copy (self, TRUE, task);
  return NULL;
}

/**
 * bs_item_copy_to_file:
 * @self: an item
 * @file: a file, which need not exist
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes a file of the item's content, blocking.
 *
 * The file appears whole, in one step, in the place of the one that was there, whose
 * permissions it takes; a symbolic link is replaced, not followed. After an error nothing
 * has changed. A new file is not synced to the disk; one that replaces another is, so that
 * a power cut leaves one of the two.
 *
 * Where the file systems can, the file shares the blocks of the backing's, or the kernel
 * copies it. The content is never in memory whole, unless it is there already, and
 * what the kernel copies is not compared with the hash that was stored: a [class@Verify]
 * finds bad contents. The content of the moment of the call is copied, whatever becomes of
 * the item. In a pool with a codec it is the encoded bytes.
 *
 * Fails with %G_IO_ERROR_IS_DIRECTORY if @file is one, with %G_IO_ERROR_NOT_REGULAR_FILE if it
 * is a device, a FIFO or a socket, with another %G_IO_ERROR of the system, as
 * %G_IO_ERROR_NO_SPACE, and like [method@Item.load]; with %BS_ERROR_CLOSED if the store is
 * closed, also where the content is in memory.
 *
 * Returns: %TRUE if the file has the content
 */
gboolean
bs_item_copy_to_file (BsItem *self, GFile *file, GCancellable *cancellable, GError **error)
{
  gboolean success;
  CopyOut *out;

  g_return_val_if_fail (bs_item_has_pool (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (file), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!bs_item_check_cancelled (self, BS_KIND_COPY_OUT, NULL, cancellable, error))
    return FALSE;

  out = copy_out_new (self, file);
  success = copy_out_blocking (out, cancellable, error);
  copy_out_unref (out);

  return success;
}

/**
 * bs_item_copy_to_file_async:
 * @self: an item
 * @file: a file, which need not exist
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the file has the content
 * @user_data: data for @callback
 *
 * Makes a file of the item's content.
 *
 * The asynchronous form of [method@Item.copy_to_file]; @callback is called in the
 * thread-default main context of the caller, and never before this returns.
 */
void
bs_item_copy_to_file_async (BsItem *self,
                            GFile *file,
                            int io_priority,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  BsDelivery opened = { .func = copy_opened, .data_free = copy_out_unref };
  GError *error = NULL;
  CopyOut *out;
  GTask *task;

  g_return_if_fail (bs_item_has_pool (self));
  g_return_if_fail (G_IS_FILE (file));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = bs_task_new (self, cancellable, callback, user_data, bs_item_copy_to_file_async,
                      "bs_item_copy_to_file_async", io_priority);
  if (!bs_item_check_cancelled (self, BS_KIND_COPY_OUT, NULL, cancellable, &error))
    {
      bs_answer_async (task, NULL, NULL, error);
      return;
    }

  out = copy_out_new (self, file);
  if (out->stream != NULL)
    {
      ask_copy (out, FALSE, task);
    }
  else
    {
      out->task = task;
      opened.data = g_atomic_rc_box_acquire (out);
      open_for_waiter (self, out->entry,
                       bs_waiter_new_background (io_priority, cancellable, &opened));
    }
  copy_out_unref (out);
}

/**
 * bs_item_copy_to_file_finish:
 * @self: an item
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Item.copy_to_file_async]; the errors are those of
 * [method@Item.copy_to_file].
 *
 * Returns: %TRUE if the file has the content
 */
gboolean
bs_item_copy_to_file_finish (BsItem *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_ITEM (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_item_copy_to_file_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
