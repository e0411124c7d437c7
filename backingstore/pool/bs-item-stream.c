/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-item-stream-private.h"

#include "base/bs-stream-private.h"

struct _BsItemStream
{
  GInputStream parent_instance;

  BsPool *pool;        /* owned; constant */
  BsEntry *entry;      /* a reference; NULL once closed */
  GInputStream *inner; /* owned; NULL once closed */
  goffset size;        /* constant */
  goffset position;    /* of this stream; the inner one follows when it is read */
};

static void bs_item_stream_seekable_init (GSeekableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsItemStream,
                               bs_item_stream,
                               G_TYPE_INPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_SEEKABLE,
                                                      bs_item_stream_seekable_init))

/* One call that reads. */
typedef struct
{
  BsItemStream *self;
  void *buffer;
  gsize count;
  gssize n_read;
} Part;

/* Runs where the backing's functions run, unless the content is in memory. The stream is
 * pending: nobody else moves it. */
static gboolean
read_part (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Part *part = data;
  BsItemStream *self = part->self;
  GSeekable *seekable = G_SEEKABLE (self->inner);

  if (g_seekable_tell (seekable) == self->position ||
      g_seekable_seek (seekable, self->position, G_SEEK_SET, cancellable, error))
    part->n_read = g_input_stream_read (self->inner, part->buffer, part->count, cancellable, error);
  if (part->n_read < 0)
    {
      char key[BS_KEY_STRING_SIZE];

      bs_key_print (&self->entry->key, key);
      g_prefix_error (error, "read_stream %s: ", key);
      return FALSE;
    }

  self->position += part->n_read;
  return TRUE;
}

/* Whether a part is at hand without the store. */
static gboolean
is_at_hand (BsItemStream *self)
{
  return self->position == self->size || G_IS_MEMORY_INPUT_STREAM (self->inner);
}

/* Whether this thread is one on which the backing's functions run, and inside of one: that
 * reads the stream, to store it under another key. */
static gboolean
is_inside (BsBackingStore *store)
{
  return bs_call_scope_find (store, BS_SCOPE_BACKING) != NULL;
}

static BsRequest
make_request (Part *part)
{
  const BsEntry *entry = part->self->entry;

  return (BsRequest){ .kind = BS_KIND_READ_PART,
                      .token = entry->token,
                      .key = &entry->key,
                      .function = read_part,
                      .data = part };
}

static gssize
bs_item_stream_read (GInputStream *stream,
                     void *buffer,
                     gsize count,
                     GCancellable *cancellable,
                     GError **error)
{
  BsItemStream *self = BS_ITEM_STREAM (stream);
  BsBackingStore *store = bs_pool_get_store (self->pool);
  Part part = { self, buffer, count, -1 };
  BsRequest request = make_request (&part);

  if (is_at_hand (self) || is_inside (store))
    read_part (store, cancellable, &part, error);
  else if (!GPOINTER_TO_INT (bs_ask_blocking (store, &request, NULL, cancellable, error)))
    return -1;

  return part.n_read;
}

static void
bs_item_stream_read_async (GInputStream *stream,
                           void *buffer,
                           gsize count,
                           int io_priority,
                           GCancellable *cancellable,
                           GAsyncReadyCallback callback,
                           gpointer user_data)
{
  BsItemStream *self = BS_ITEM_STREAM (stream);
  BsBackingStore *store = bs_pool_get_store (self->pool);
  GTask *task = bs_task_new (self, cancellable, callback, user_data, bs_item_stream_read_async,
                             "bs_item_stream_read_async", io_priority);
  Part *part = g_new (Part, 1);
  BsRequest request;
  GError *error = NULL;

  *part = (Part){ self, buffer, count, -1 };
  g_task_set_task_data (task, part, g_free);
  request = make_request (part);
  if (!is_at_hand (self))
    {
      bs_ask_async (store, &request, NULL, task);
      return;
    }

  read_part (store, cancellable, part, &error);
  bs_answer_async (task, NULL, NULL, error);
}

static gssize
bs_item_stream_read_finish (GInputStream *stream, GAsyncResult *result, GError **error)
{
  const Part *part = g_task_get_task_data (G_TASK (result));

  return g_task_propagate_boolean (G_TASK (result), error) ? part->n_read : -1;
}

static gssize
bs_item_stream_skip (GInputStream *stream, gsize count, GCancellable *cancellable, GError **error)
{
  BsItemStream *self = BS_ITEM_STREAM (stream);
  gssize n_skipped = MIN (MIN (count, (guint64) (self->size - self->position)), G_MAXSSIZE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return -1;

  self->position += n_skipped;
  return n_skipped;
}

static gboolean
bs_item_stream_close (GInputStream *stream, GCancellable *cancellable, GError **error)
{
  BsItemStream *self = BS_ITEM_STREAM (stream);
  gboolean success = TRUE;

  if (self->inner != NULL)
    success = g_input_stream_close (self->inner, NULL, error);
  g_clear_object (&self->inner);
  if (self->entry != NULL)
    bs_cache_drop_entry (bs_pool_get_cache (self->pool), g_steal_pointer (&self->entry));

  return success;
}

/* Closing waits for nothing. */
static void
bs_item_stream_close_async (GInputStream *stream,
                            int io_priority,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  GTask *task = bs_task_new (stream, cancellable, callback, user_data, bs_item_stream_close_async,
                             "bs_item_stream_close_async", io_priority);
  GError *error = NULL;

  bs_item_stream_close (stream, cancellable, &error);
  bs_answer_async (task, NULL, NULL, error);
}

static gboolean
bs_item_stream_close_finish (GInputStream *stream, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static goffset
bs_item_stream_tell (GSeekable *seekable)
{
  return BS_ITEM_STREAM (seekable)->position;
}

static gboolean
bs_item_stream_can_seek (GSeekable *seekable)
{
  return TRUE;
}

static gboolean
bs_item_stream_seek (GSeekable *seekable,
                     goffset offset,
                     GSeekType type,
                     GCancellable *cancellable,
                     GError **error)
{
  BsItemStream *self = BS_ITEM_STREAM (seekable);
  gboolean success;

  /* Not while a read is under way. */
  if (!g_input_stream_set_pending (G_INPUT_STREAM (self), error))
    return FALSE;

  success =
    bs_stream_resolve_seek (self->position, self->size, offset, type, &self->position, error);
  g_input_stream_clear_pending (G_INPUT_STREAM (self));

  return success;
}

static gboolean
bs_item_stream_can_truncate (GSeekable *seekable)
{
  return FALSE;
}

static gboolean
bs_item_stream_truncate (GSeekable *seekable,
                         goffset offset,
                         GCancellable *cancellable,
                         GError **error)
{
  return bs_stream_refuse_truncate (error);
}

static void
bs_item_stream_finalize (GObject *object)
{
  /* The stream was closed when it was disposed of. */
  g_object_unref (BS_ITEM_STREAM (object)->pool);

  G_OBJECT_CLASS (bs_item_stream_parent_class)->finalize (object);
}

static void
bs_item_stream_class_init (BsItemStreamClass *klass)
{
  GInputStreamClass *stream_class = G_INPUT_STREAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = bs_item_stream_finalize;
  stream_class->read_fn = bs_item_stream_read;
  stream_class->read_async = bs_item_stream_read_async;
  stream_class->read_finish = bs_item_stream_read_finish;
  stream_class->skip = bs_item_stream_skip;
  stream_class->close_fn = bs_item_stream_close;
  stream_class->close_async = bs_item_stream_close_async;
  stream_class->close_finish = bs_item_stream_close_finish;
}

static void
bs_item_stream_seekable_init (GSeekableIface *iface)
{
  iface->tell = bs_item_stream_tell;
  iface->can_seek = bs_item_stream_can_seek;
  iface->seek = bs_item_stream_seek;
  iface->can_truncate = bs_item_stream_can_truncate;
  iface->truncate_fn = bs_item_stream_truncate;
}

static void
bs_item_stream_init (BsItemStream *self)
{
}

GInputStream *
bs_item_stream_new (BsPool *pool, BsEntry *entry, GInputStream *inner, GError **error)
{
  BsItemStream *self;
  goffset size;

  if (!bs_stream_get_size (inner, &size, error))
    return NULL;

  self = g_object_new (BS_TYPE_ITEM_STREAM, NULL);
  self->pool = g_object_ref (pool);
  self->entry = bs_entry_ref (entry);
  self->inner = g_object_ref (inner);
  self->size = size;

  return G_INPUT_STREAM (self);
}
