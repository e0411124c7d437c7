/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store/threads/bs-content-private.h"

struct _BsContent
{
  BsEncodeFunc encode;
  BsWriteFunc write; /* instead */
  gpointer data;
  GDestroyNotify data_free; /* nullable */
};

BsContent *
bs_content_new (BsEncodeFunc encode, gpointer data, GDestroyNotify data_free)
{
  BsContent *content = g_atomic_rc_box_new0 (BsContent);

  content->encode = encode;
  content->data = data;
  content->data_free = data_free;
  return content;
}

BsContent *
bs_content_new_source (BsWriteFunc write, gpointer data)
{
  BsContent *content = bs_content_new (NULL, data, NULL);

  content->write = write;
  return content;
}

static GBytes *
encode_bytes (gpointer data, GCancellable *cancellable, GError **error)
{
  return g_bytes_ref (data);
}

BsContent *
bs_content_new_bytes (GBytes *bytes)
{
  return bs_content_new (encode_bytes, g_bytes_ref (bytes), (GDestroyNotify) g_bytes_unref);
}

BsContent *
bs_content_ref (BsContent *content)
{
  return g_atomic_rc_box_acquire (content);
}

static void
content_clear (gpointer data)
{
  BsContent *content = data;

  if (content->data_free != NULL)
    content->data_free (content->data);
}

void
bs_content_unref (BsContent *content)
{
  g_atomic_rc_box_release_full (content, content_clear);
}

GBytes *
bs_content_make_bytes (BsContent *content, GCancellable *cancellable, GError **error)
{
  return content->encode (content->data, cancellable, error);
}

gboolean
bs_content_is_source (BsContent *content)
{
  return content->write != NULL;
}

gboolean
bs_content_write (BsContent *content,
                  BsBacking *backing,
                  const BsKey *key,
                  GCancellable *cancellable,
                  GError **error)
{
  return content->write (content->data, backing, key, cancellable, error);
}
