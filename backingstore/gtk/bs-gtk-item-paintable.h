/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gtk/gtk.h>

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

#define BS_GTK_TYPE_ITEM_PAINTABLE (bs_gtk_item_paintable_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsGtkItemPaintable, bs_gtk_item_paintable, BS_GTK, ITEM_PAINTABLE, GObject)

BS_AVAILABLE_IN_1_0
BsGtkItemPaintable *bs_gtk_item_paintable_new             (BsItem *item) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsItem             *bs_gtk_item_paintable_get_item        (BsGtkItemPaintable *self);
BS_AVAILABLE_IN_1_0
void                bs_gtk_item_paintable_set_item        (BsGtkItemPaintable *self, BsItem *item);
BS_AVAILABLE_IN_1_0
GdkPaintable       *bs_gtk_item_paintable_get_placeholder (BsGtkItemPaintable *self);
BS_AVAILABLE_IN_1_0
void                bs_gtk_item_paintable_set_placeholder (BsGtkItemPaintable *self, GdkPaintable *placeholder);
BS_AVAILABLE_IN_1_0
GdkPaintable       *bs_gtk_item_paintable_get_paintable   (BsGtkItemPaintable *self);
BS_AVAILABLE_IN_1_0
gboolean            bs_gtk_item_paintable_get_loading     (BsGtkItemPaintable *self);
BS_AVAILABLE_IN_1_0
const GError       *bs_gtk_item_paintable_get_error       (BsGtkItemPaintable *self);

G_END_DECLS
