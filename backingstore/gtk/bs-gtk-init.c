/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-init.h"

#include "bs-gtk-item-paintable.h"
#include "bs-gtk-texture-codec.h"

/**
 * bs_gtk_init:
 *
 * Makes the types of this library known to GType.
 *
 * [class@Gtk.Builder] finds a type by its name only once the type exists. An application
 * whose templates name one calls this function first, before or after gtk_init().
 * More than one call does no harm. In Python and JavaScript the import of the library does
 * it.
 */
void
bs_gtk_init (void)
{
  g_type_ensure (BS_GTK_TYPE_ITEM_PAINTABLE);
  g_type_ensure (BS_GTK_TYPE_TEXTURE_CODEC);
}
