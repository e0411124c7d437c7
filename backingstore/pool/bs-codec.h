/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_CODEC (bs_codec_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_INTERFACE (BsCodec, bs_codec, BS, CODEC, GObject)

struct _BsCodecInterface
{
  GTypeInterface parent_iface;

  GBytes * (*encode)  (BsCodec *self, GObject *object, GCancellable *cancellable, GError **error);
  GObject * (*decode) (BsCodec *self, GBytes *bytes, GCancellable *cancellable, GError **error);
  guint64 (*measure)  (BsCodec *self, GObject *object);

  /*< private >*/
  gpointer padding[5];
};

BS_AVAILABLE_IN_1_0
GBytes   *bs_codec_encode  (BsCodec *self, GObject *object, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
GObject  *bs_codec_decode  (BsCodec *self, GBytes *bytes, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
guint64   bs_codec_measure (BsCodec *self, GObject *object);

G_END_DECLS
