/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-codec.h"

G_BEGIN_DECLS

/* FALSE, with an error, where the codec could never write an object. */
gboolean bs_codec_check_encodes (BsCodec *self, GError **error);
/* Measures an object, and warns of a codec that says 0, once for its type. */
guint64  bs_codec_measure_checked (BsCodec *self, GObject *object);

G_END_DECLS
