/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-stream-private.h"

#include "bs-s3-content-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <xxhash.h>

/* Two parts are in memory at a time. */
#define PART_SIZE (4 * 1024 * 1024)
#define RANGE_NOT_SATISFIABLE 416

typedef struct
{
  GInputStream parent_instance;

  BsS3Backing *backing; /* owned */
  char *object;         /* the only place of the content; NULL: that of the blob */
  BsS3Blob blob;        /* its prefix is owned */
  guint64 size;
  char *meta; /* nullable */

  guint64 position;
  GBytes *part; /* nullable */
  guint64 part_start;
  BsS3Call *ahead; /* for the next part; nullable */
  guint64 ahead_start;
  GInputStream *local; /* reads the blob in place of all this, once its object is gone */

  XXH3_state_t *hash;
  guint64 n_hashed; /* of the content from its start */
} BsS3Stream;

typedef struct
{
  GInputStreamClass parent_class;
} BsS3StreamClass;

static void bs_s3_stream_seekable_init (GSeekableIface *iface);

GType bs_s3_stream_get_type (void);

G_DEFINE_DYNAMIC_TYPE_EXTENDED (BsS3Stream,
                                bs_s3_stream,
                                G_TYPE_INPUT_STREAM,
                                G_TYPE_FLAG_FINAL,
                                G_IMPLEMENT_INTERFACE_DYNAMIC (G_TYPE_SEEKABLE,
                                                               bs_s3_stream_seekable_init))

static BsS3Stream *
cast (gpointer stream)
{
  return stream;
}

/* Without a range, for all of it. */
static BsS3Call *
begin_get (BsS3Stream *self, const char *range)
{
  g_autofree char *object = self->object != NULL
                              ? g_strdup (self->object)
                              : bs_s3_name_print (&self->blob.name, self->blob.prefix);

  return bs_s3_client_begin (self->backing->client,
                             &(BsS3Request){ .method = "GET", .key = object, .range = range });
}

static BsS3Call *
begin_part (BsS3Stream *self, guint64 start)
{
  g_autofree char *range = g_strdup_printf ("bytes=%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, start,
                                            start + PART_SIZE - 1);

  return begin_get (self, range);
}

static gboolean
set_other (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                       _ ("the content is not the one that was put there"));
  return FALSE;
}

/* A server may know no ranges, and answer with all of the content. */
static gboolean
take_part (BsS3Stream *self, guint64 start, BsS3Answer *answer, GError **error)
{
  gboolean partial = answer->status == 206;
  guint64 length;

  if (!bs_s3_answer_check (answer, error))
    return FALSE;

  length = g_bytes_get_size (answer->content);
  self->part_start = partial ? start : 0;
  if (length != (partial ? MIN (PART_SIZE, self->size - start) : self->size) ||
      (partial && answer->first != start))
    return set_other (error);

  g_clear_pointer (&self->part, g_bytes_unref);
  self->part = g_steal_pointer (&answer->content);
  return TRUE;
}

/* Takes the call over. */
static gboolean
end_part (BsS3Stream *self,
          BsS3Call *call,
          guint64 start,
          GCancellable *cancellable,
          GError **error)
{
  g_auto (BsS3Answer) answer = { 0 };

  return bs_s3_call_end (call, &answer, cancellable, error) &&
         take_part (self, start, &answer, error);
}

static gboolean
fetch (BsS3Stream *self, guint64 start, GCancellable *cancellable, GError **error)
{
  BsS3Call *call = NULL;

  if (self->ahead_start == start)
    call = g_steal_pointer (&self->ahead);
  g_clear_pointer (&self->ahead, bs_s3_call_free);

  return end_part (self, call != NULL ? call : begin_part (self, start), start, cancellable, error);
}

/* The object that has gone may have another name now, or its content is in the local files. */
static gboolean
find_again (BsS3Stream *self, GCancellable *cancellable, GError **error)
{
  guint64 nonce = self->blob.name.nonce;
  GError *local = NULL;

  if (self->object == NULL)
    {
      self->local = bs_s3_primary_read_stream (&self->backing->primary, &self->blob.name.key,
                                               cancellable, &local);
      if (self->local == NULL && local == NULL)
        bs_s3_backing_find_name (self->backing, &self->blob);
    }
  if (self->local != NULL || self->blob.name.nonce != nonce)
    return TRUE;
  if (local != NULL)
    {
      g_propagate_error (error, local);
      return FALSE;
    }

  g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, _ ("no such blob"));
  return FALSE;
}

static gboolean
has_position (BsS3Stream *self)
{
  return self->part != NULL && self->position >= self->part_start &&
         self->position - self->part_start < g_bytes_get_size (self->part);
}

/* Gets the part with the position. Where parts follow one another, the next one is begun. */
static gboolean
ensure_part (BsS3Stream *self, GCancellable *cancellable, GError **error)
{
  guint64 start = self->position;
  gboolean follows;
  guint64 end;

  if (has_position (self))
    return TRUE;
  if (!bs_s3_backing_begin (self->backing, error))
    return FALSE;

  follows = self->part != NULL && start == self->part_start + g_bytes_get_size (self->part);
  g_clear_pointer (&self->part, g_bytes_unref);
  while (self->local == NULL)
    {
      g_autoptr (GError) local = NULL;

      if (fetch (self, start, cancellable, &local))
        break;
      if (g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND))
        {
          if (!find_again (self, cancellable, error))
            return FALSE;
          continue;
        }
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  end = start + PART_SIZE;
  if (self->local == NULL && follows && end < self->size)
    {
      self->ahead = begin_part (self, end);
      self->ahead_start = end;
    }
  return TRUE;
}

/* Bytes that were read at the position. A content that is read from its start to its end is
 * compared with its hash. */
static gboolean
hash (BsS3Stream *self, gconstpointer data, gsize size, GError **error)
{
  g_autofree char *meta = NULL;

  if (self->position == 0)
    {
      XXH3_64bits_reset (self->hash);
      self->n_hashed = 0;
    }
  if (self->position != self->n_hashed)
    return TRUE;

  XXH3_64bits_update (self->hash, data, size);
  self->n_hashed += size;
  if (self->n_hashed < self->size || self->meta == NULL)
    return TRUE;

  meta = bs_s3_meta_print (self->size, XXH3_64bits_digest (self->hash));
  return g_str_equal (meta, self->meta) || set_other (error);
}

static gssize
read_local (BsS3Stream *self, void *buffer, gsize count, GCancellable *cancellable, GError **error)
{
  if (!g_seekable_seek (G_SEEKABLE (self->local), self->position, G_SEEK_SET, cancellable, error))
    return -1;

  return g_input_stream_read (self->local, buffer, count, cancellable, error);
}

static gssize
bs_s3_stream_read (GInputStream *stream,
                   void *buffer,
                   gsize count,
                   GCancellable *cancellable,
                   GError **error)
{
  BsS3Stream *self = cast (stream);
  gssize n;

  if (self->position == self->size)
    return 0;
  if (!ensure_part (self, cancellable, error))
    return -1;

  if (self->local != NULL)
    {
      n = read_local (self, buffer, count, cancellable, error);
      if (n < 0)
        return -1;
    }
  else
    {
      gsize offset = self->position - self->part_start;
      gsize size;
      const guint8 *data = g_bytes_get_data (self->part, &size);

      n = MIN (count, size - offset);
      memcpy (buffer, data + offset, n);
    }
  if (!hash (self, buffer, n, error))
    return -1;

  self->position += n;
  return n;
}

static gboolean
bs_s3_stream_close (GInputStream *stream, GCancellable *cancellable, GError **error)
{
  BsS3Stream *self = cast (stream);

  g_clear_pointer (&self->ahead, bs_s3_call_free);
  g_clear_pointer (&self->part, g_bytes_unref);
  g_clear_object (&self->local);
  return TRUE;
}

static goffset
bs_s3_stream_tell (GSeekable *seekable)
{
  return cast (seekable)->position;
}

static gboolean
bs_s3_stream_can_seek (GSeekable *seekable)
{
  return TRUE;
}

static gboolean
bs_s3_stream_seek (GSeekable *seekable,
                   goffset offset,
                   GSeekType type,
                   GCancellable *cancellable,
                   GError **error)
{
  BsS3Stream *self = cast (seekable);
  goffset base = type == G_SEEK_SET ? 0 : type == G_SEEK_CUR ? self->position : self->size;

  if (offset < -base || offset > (goffset) self->size - base)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           _ ("cannot seek out of the content"));
      return FALSE;
    }

  self->position = base + offset;
  return TRUE;
}

static gboolean
bs_s3_stream_can_truncate (GSeekable *seekable)
{
  return FALSE;
}

static gboolean
bs_s3_stream_truncate (GSeekable *seekable,
                       goffset offset,
                       GCancellable *cancellable,
                       GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                       _ ("cannot truncate a stream for reading"));
  return FALSE;
}

static void
bs_s3_stream_seekable_init (GSeekableIface *iface)
{
  iface->tell = bs_s3_stream_tell;
  iface->can_seek = bs_s3_stream_can_seek;
  iface->seek = bs_s3_stream_seek;
  iface->can_truncate = bs_s3_stream_can_truncate;
  iface->truncate_fn = bs_s3_stream_truncate;
}

static void
bs_s3_stream_finalize (GObject *object)
{
  BsS3Stream *self = cast (object);

  bs_s3_stream_close (G_INPUT_STREAM (self), NULL, NULL);
  XXH3_freeState (self->hash);
  g_clear_pointer (&self->blob.prefix, g_ref_string_release);
  g_free (self->object);
  g_free (self->meta);
  g_object_unref (self->backing);

  G_OBJECT_CLASS (bs_s3_stream_parent_class)->finalize (object);
}

static void
bs_s3_stream_class_init (BsS3StreamClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = bs_s3_stream_finalize;
  G_INPUT_STREAM_CLASS (klass)->read_fn = bs_s3_stream_read;
  G_INPUT_STREAM_CLASS (klass)->close_fn = bs_s3_stream_close;
}

static void
bs_s3_stream_class_finalize (BsS3StreamClass *klass)
{
}

static void
bs_s3_stream_init (BsS3Stream *self)
{
  self->hash = XXH3_createState ();
}

/* The answer to the first part tells the size. */
static gboolean
take_first (BsS3Stream *self, BsS3Answer *answer, GError **error)
{
  self->size = answer->status == 206 && answer->total >= 0 ? (guint64) answer->total
                                                           : g_bytes_get_size (answer->content);
  self->meta = g_steal_pointer (&answer->meta);
  return take_part (self, 0, answer, error);
}

/* Of a content without a byte no byte can be had. */
static gboolean
get_first (BsS3Stream *self, BsS3Answer *answer, GCancellable *cancellable, GError **error)
{
  if (!bs_s3_call_end (begin_part (self, 0), answer, cancellable, error))
    return FALSE;
  if (answer->status != RANGE_NOT_SATISFIABLE)
    return TRUE;

  bs_s3_answer_clear (answer);
  return bs_s3_call_end (begin_get (self, NULL), answer, cancellable, error);
}

static gboolean
open_object (BsS3Stream *self, GCancellable *cancellable, GError **error)
{
  for (;;)
    {
      g_auto (BsS3Answer) answer = { 0 };
      g_autoptr (GError) local = NULL;

      if (!get_first (self, &answer, cancellable, error))
        return FALSE;
      if (take_first (self, &answer, &local))
        return TRUE;
      if (!g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      if (!find_again (self, cancellable, error))
        return FALSE;
      if (self->local != NULL)
        return TRUE;
    }
}

/* Returns a stream in memory, after comparing the hash. */
static GInputStream *
make_whole (BsS3Stream *self, GError **error)
{
  g_auto (BsS3Content) content = { 0 };

  bs_s3_content_init_bytes (&content, self->part);
  if (self->meta != NULL && !g_str_equal (self->meta, content.meta))
    {
      set_other (error);
      return NULL;
    }

  if (self->object == NULL)
    bs_s3_primary_cache (&self->backing->primary, &self->blob.name.key, self->part);
  return g_memory_input_stream_new_from_bytes (self->part);
}

/* Takes the stream over. */
static GInputStream *
open_stream (BsS3Stream *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GInputStream) stream = G_INPUT_STREAM (self);

  if (!open_object (self, cancellable, error))
    return NULL;

  if (self->local != NULL)
    return g_steal_pointer (&self->local);
  if (self->size <= g_bytes_get_size (self->part))
    return make_whole (self, error);
  return g_steal_pointer (&stream);
}

static BsS3Stream *
new_stream (BsS3Backing *backing)
{
  BsS3Stream *self = g_object_new (bs_s3_stream_get_type (), NULL);

  self->backing = g_object_ref (backing);
  return self;
}

GInputStream *
bs_s3_stream_open (BsS3Backing *backing,
                   const BsS3Blob *blob,
                   GCancellable *cancellable,
                   GError **error)
{
  BsS3Stream *self = new_stream (backing);

  self->blob = *blob;
  self->blob.prefix = g_ref_string_acquire (blob->prefix);
  bs_s3_backing_find_name (backing, &self->blob);
  return open_stream (self, cancellable, error);
}

GInputStream *
bs_s3_stream_open_object (BsS3Backing *backing,
                          const char *object,
                          GCancellable *cancellable,
                          GError **error)
{
  BsS3Stream *self = new_stream (backing);

  self->object = g_strdup (object);
  return open_stream (self, cancellable, error);
}

const char *
bs_s3_stream_get_meta (GInputStream *stream)
{
  return G_TYPE_CHECK_INSTANCE_TYPE (stream, bs_s3_stream_get_type ()) ? cast (stream)->meta : NULL;
}

void
bs_s3_stream_register (GTypeModule *module)
{
  bs_s3_stream_register_type (module);
}
