/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gtk/gtk.h>

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

#define BS_GTK_TYPE_TEXTURE_CODEC (bs_gtk_texture_codec_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsGtkTextureCodec, bs_gtk_texture_codec, BS_GTK, TEXTURE_CODEC, GObject)

BS_AVAILABLE_IN_1_0
BsGtkTextureCodec *bs_gtk_texture_codec_new            (int max_size) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
int                bs_gtk_texture_codec_get_max_size   (BsGtkTextureCodec *self);
BS_AVAILABLE_IN_1_0
guint64            bs_gtk_texture_codec_get_max_pixels (BsGtkTextureCodec *self);

G_END_DECLS
