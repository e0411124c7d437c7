/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-gtk-item-paintable.h"

/**
 * BsGtkItemPaintable:
 *
 * Shows the object of an item, as soon as it is there.
 *
 * The item belongs to a pool whose codec makes objects that are a [iface@Gdk.Paintable],
 * as the textures of a [class@BsGtk.TextureCodec]. An object that is in memory is shown
 * in the same frame. Any other is loaded when the paintable is drawn for the first time,
 * so that a cell of a list loads nothing while it is out of sight. The last picture that
 * came into sight is loaded first. Until then [property@BsGtk.ItemPaintable:placeholder]
 * is shown.
 *
 * A load ends when [property@BsGtk.ItemPaintable:item] changes or the paintable goes.
 * While the paintable shows an object, that object stays in memory.
 *
 * In a list a paintable belongs to each row, and its item changes with the row's:
 *
 * ```xml
 * <template class="GtkListItem">
 *   <property name="child">
 *     <object class="GtkPicture">
 *       <property name="width-request">128</property>
 *       <property name="height-request">128</property>
 *       <property name="paintable"><object class="BsGtkItemPaintable">
 *         <binding name="item"><lookup name="item">GtkListItem</lookup></binding>
 *       </object></property>
 *     </object>
 *   </property>
 * </template>
 * ```
 *
 * Call [func@BsGtk.init] before a builder reads this. No space stands between the
 * property and the object, or GTK 4.8 takes the object for the name of a file. The
 * picture needs a size of its own: a picture without one, and without a placeholder that
 * has one, may get no space, so that it is never drawn.
 *
 * An item whose content is replaced is shown with its new content. An object that cannot
 * be loaded leaves the placeholder, and [property@BsGtk.ItemPaintable:error] says why. A
 * drawing does not try again; setting the item does, but for bytes that the codec has
 * refused. [class@Bs.Loader], which does the loading, says more of both.
 *
 * Like all of GTK, a paintable is used in the thread of the main loop only.
 */

struct _BsGtkItemPaintable
{
  GObject parent_instance;

  BsItem *item;              /* owned, or NULL */
  BsLoader *loader;          /* owned; has the item from the first drawing on */
  GdkPaintable *placeholder; /* owned, or NULL */
  GdkPaintable *paintable;   /* owned; the object of the item once it is there */

  /* what was last told; not owned, only to compare */
  GdkPaintable *told_paintable;
  const GError *told_error;
  gboolean told_loading;

  gboolean is_quiet;    /* a change is noted, and told later */
  gboolean has_changed; /* while it is quiet */
  guint announcement;   /* source that tells of a change made while drawing, or 0 */
};

enum
{
  PROP_ITEM = 1,
  PROP_PLACEHOLDER,
  PROP_PAINTABLE,
  PROP_LOADING,
  PROP_ERROR,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void bs_gtk_item_paintable_paintable_iface_init (GdkPaintableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsGtkItemPaintable,
                               bs_gtk_item_paintable,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (GDK_TYPE_PAINTABLE,
                                                      bs_gtk_item_paintable_paintable_iface_init))

static GdkPaintable *
get_shown (BsGtkItemPaintable *self)
{
  return self->paintable != NULL ? self->paintable : self->placeholder;
}

static void
follow (BsGtkItemPaintable *self, GdkPaintable *shown)
{
  g_signal_connect_object (shown, "invalidate-contents",
                           G_CALLBACK (gdk_paintable_invalidate_contents), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (shown, "invalidate-size", G_CALLBACK (gdk_paintable_invalidate_size),
                           self, G_CONNECT_SWAPPED);
}

static void
unfollow (BsGtkItemPaintable *self, GdkPaintable *shown)
{
  g_signal_handlers_disconnect_by_data (shown, self);
}

static gboolean
is_missing (BsGtkItemPaintable *self)
{
  return self->item != NULL && self->paintable == NULL &&
         bs_loader_get_error (self->loader) == NULL;
}

/* Contents are invalid even where no property changes: an item that is missing is loaded
 * when it is drawn. */
static void
announce (BsGtkItemPaintable *self)
{
  gboolean has_paintable_changed = self->paintable != self->told_paintable;
  const GError *error = bs_loader_get_error (self->loader);
  gboolean loading = is_missing (self);

  g_clear_handle_id (&self->announcement, g_source_remove);
  g_object_freeze_notify (G_OBJECT (self));
  if (has_paintable_changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PAINTABLE]);
  if (error != self->told_error)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ERROR]);
  if (loading != self->told_loading)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LOADING]);
  self->told_paintable = self->paintable;
  self->told_error = error;
  self->told_loading = loading;
  g_object_thaw_notify (G_OBJECT (self));

  if (has_paintable_changed)
    gdk_paintable_invalidate_size (GDK_PAINTABLE (self));
  gdk_paintable_invalidate_contents (GDK_PAINTABLE (self));
}

static gboolean
announce_cb (gpointer data)
{
  BsGtkItemPaintable *self = data;

  self->announcement = 0;
  announce (self);
  return G_SOURCE_REMOVE;
}

static void
note_change (BsGtkItemPaintable *self)
{
  if (self->is_quiet)
    self->has_changed = TRUE;
  else
    announce (self);
}

/* Called by the loader, with NULL where there is no object. */
static void
set_paintable (BsGtkItemPaintable *self, GdkPaintable *paintable)
{
  if (self->paintable == paintable)
    return;

  if (self->paintable != NULL)
    unfollow (self, self->paintable);
  g_set_object (&self->paintable, paintable);
  if (paintable != NULL)
    follow (self, paintable);
  note_change (self);
}

static void
give_to_loader (BsGtkItemPaintable *self, BsItem *item)
{
  self->is_quiet = TRUE;
  self->has_changed = FALSE;
  bs_loader_set_item (self->loader, item);
  self->is_quiet = FALSE;
}

static void
bs_gtk_item_paintable_snapshot (GdkPaintable *paintable,
                                GdkSnapshot *snapshot,
                                double width,
                                double height)
{
  BsGtkItemPaintable *self = BS_GTK_ITEM_PAINTABLE (paintable);
  GdkPaintable *shown;

  if (is_missing (self) && bs_loader_get_item (self->loader) == NULL)
    {
      give_to_loader (self, self->item);
      /* Widgets must not be told of a new size while they are drawn. */
      if (self->has_changed && self->announcement == 0)
        self->announcement = g_idle_add_full (G_PRIORITY_HIGH, announce_cb, self, NULL);
    }

  shown = get_shown (self);
  if (shown != NULL)
    gdk_paintable_snapshot (shown, snapshot, width, height);
}

static GdkPaintable *
bs_gtk_item_paintable_get_current_image (GdkPaintable *paintable)
{
  GdkPaintable *shown = get_shown (BS_GTK_ITEM_PAINTABLE (paintable));

  return shown != NULL ? gdk_paintable_get_current_image (shown) : gdk_paintable_new_empty (0, 0);
}

static int
bs_gtk_item_paintable_get_intrinsic_width (GdkPaintable *paintable)
{
  GdkPaintable *shown = get_shown (BS_GTK_ITEM_PAINTABLE (paintable));

  return shown != NULL ? gdk_paintable_get_intrinsic_width (shown) : 0;
}

static int
bs_gtk_item_paintable_get_intrinsic_height (GdkPaintable *paintable)
{
  GdkPaintable *shown = get_shown (BS_GTK_ITEM_PAINTABLE (paintable));

  return shown != NULL ? gdk_paintable_get_intrinsic_height (shown) : 0;
}

static double
bs_gtk_item_paintable_get_intrinsic_aspect_ratio (GdkPaintable *paintable)
{
  GdkPaintable *shown = get_shown (BS_GTK_ITEM_PAINTABLE (paintable));

  return shown != NULL ? gdk_paintable_get_intrinsic_aspect_ratio (shown) : 0;
}

static void
bs_gtk_item_paintable_paintable_iface_init (GdkPaintableInterface *iface)
{
  iface->snapshot = bs_gtk_item_paintable_snapshot;
  iface->get_current_image = bs_gtk_item_paintable_get_current_image;
  iface->get_intrinsic_width = bs_gtk_item_paintable_get_intrinsic_width;
  iface->get_intrinsic_height = bs_gtk_item_paintable_get_intrinsic_height;
  iface->get_intrinsic_aspect_ratio = bs_gtk_item_paintable_get_intrinsic_aspect_ratio;
}

static void
bs_gtk_item_paintable_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsGtkItemPaintable *self = BS_GTK_ITEM_PAINTABLE (object);

  switch (id)
    {
    case PROP_ITEM:
      g_value_set_object (value, self->item);
      break;
    case PROP_PLACEHOLDER:
      g_value_set_object (value, self->placeholder);
      break;
    case PROP_PAINTABLE:
      g_value_set_object (value, self->paintable);
      break;
    case PROP_LOADING:
      g_value_set_boolean (value, is_missing (self));
      break;
    case PROP_ERROR:
      g_value_set_boxed (value, bs_loader_get_error (self->loader));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_gtk_item_paintable_set_property (GObject *object,
                                    guint id,
                                    const GValue *value,
                                    GParamSpec *pspec)
{
  BsGtkItemPaintable *self = BS_GTK_ITEM_PAINTABLE (object);

  switch (id)
    {
    case PROP_ITEM:
      bs_gtk_item_paintable_set_item (self, g_value_get_object (value));
      break;
    case PROP_PLACEHOLDER:
      bs_gtk_item_paintable_set_placeholder (self, g_value_get_object (value));
      break;
    case PROP_PAINTABLE:
      set_paintable (self, g_value_get_object (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_gtk_item_paintable_dispose (GObject *object)
{
  BsGtkItemPaintable *self = BS_GTK_ITEM_PAINTABLE (object);

  /* The loader has lost its target already, where this is the last reference. */
  if (self->loader != NULL)
    give_to_loader (self, NULL);
  if (self->paintable != NULL)
    unfollow (self, self->paintable);
  g_clear_object (&self->paintable);
  g_clear_handle_id (&self->announcement, g_source_remove);
  g_clear_object (&self->item);
  if (self->placeholder != NULL)
    unfollow (self, self->placeholder);
  g_clear_object (&self->placeholder);
  G_OBJECT_CLASS (bs_gtk_item_paintable_parent_class)->dispose (object);
}

static void
bs_gtk_item_paintable_finalize (GObject *object)
{
  BsGtkItemPaintable *self = BS_GTK_ITEM_PAINTABLE (object);

  g_signal_handlers_disconnect_by_data (self->loader, self);
  g_clear_object (&self->loader);
  G_OBJECT_CLASS (bs_gtk_item_paintable_parent_class)->finalize (object);
}

static void
bs_gtk_item_paintable_class_init (BsGtkItemPaintableClass *class)
{
  GObjectClass *object_class = G_OBJECT_CLASS (class);
  GParamFlags flags = G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->dispose = bs_gtk_item_paintable_dispose;
  object_class->finalize = bs_gtk_item_paintable_finalize;
  object_class->get_property = bs_gtk_item_paintable_get_property;
  object_class->set_property = bs_gtk_item_paintable_set_property;

  /**
   * BsGtkItemPaintable:item: (attributes org.gtk.Property.get=bs_gtk_item_paintable_get_item org.gtk.Property.set=bs_gtk_item_paintable_set_item)
   *
   * The item whose object is shown.
   */
  properties[PROP_ITEM] =
    g_param_spec_object ("item", NULL, NULL, BS_TYPE_ITEM, G_PARAM_READWRITE | flags);

  /**
   * BsGtkItemPaintable:placeholder: (attributes org.gtk.Property.get=bs_gtk_item_paintable_get_placeholder org.gtk.Property.set=bs_gtk_item_paintable_set_placeholder)
   *
   * The paintable that is shown while there is no object to show.
   */
  properties[PROP_PLACEHOLDER] =
    g_param_spec_object ("placeholder", NULL, NULL, GDK_TYPE_PAINTABLE, G_PARAM_READWRITE | flags);

  /**
   * BsGtkItemPaintable:paintable: (attributes org.gtk.Property.get=bs_gtk_item_paintable_get_paintable)
   *
   * The object of the item, once it is there.
   *
   * A loader writes it; applications only read it.
   */
  properties[PROP_PAINTABLE] =
    g_param_spec_object ("paintable", NULL, NULL, GDK_TYPE_PAINTABLE, G_PARAM_READWRITE | flags);

  /**
   * BsGtkItemPaintable:loading: (attributes org.gtk.Property.get=bs_gtk_item_paintable_get_loading)
   *
   * Whether the object of the item is not there yet.
   *
   * The load itself begins when the paintable is drawn.
   */
  properties[PROP_LOADING] =
    g_param_spec_boolean ("loading", NULL, NULL, FALSE, G_PARAM_READABLE | flags);

  /**
   * BsGtkItemPaintable:error: (attributes org.gtk.Property.get=bs_gtk_item_paintable_get_error)
   *
   * The reason why the object of the item cannot be shown.
   */
  properties[PROP_ERROR] =
    g_param_spec_boxed ("error", NULL, NULL, G_TYPE_ERROR, G_PARAM_READABLE | flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
bs_gtk_item_paintable_init (BsGtkItemPaintable *self)
{
  self->loader = bs_loader_new (G_OBJECT (self), "paintable");
  g_signal_connect_swapped (self->loader, "notify::error", G_CALLBACK (note_change), self);
}

/**
 * bs_gtk_item_paintable_new:
 * @item: (nullable): an item of a pool whose codec makes paintables
 *
 * Makes a paintable for an item.
 *
 * Returns: (transfer full): a new paintable
 */
BsGtkItemPaintable *
bs_gtk_item_paintable_new (BsItem *item)
{
  g_return_val_if_fail (item == NULL || BS_IS_ITEM (item), NULL);

  return g_object_new (BS_GTK_TYPE_ITEM_PAINTABLE, "item", item, NULL);
}

/**
 * bs_gtk_item_paintable_get_item: (attributes org.gtk.Method.get_property=item)
 * @self: a paintable
 *
 * Gets the item whose object is shown.
 *
 * Returns: (transfer none) (nullable): an item
 */
BsItem *
bs_gtk_item_paintable_get_item (BsGtkItemPaintable *self)
{
  g_return_val_if_fail (BS_GTK_IS_ITEM_PAINTABLE (self), NULL);

  return self->item;
}

/**
 * bs_gtk_item_paintable_set_item: (attributes org.gtk.Method.set_property=item)
 * @self: a paintable
 * @item: (nullable): an item of a pool whose codec makes paintables
 *
 * Sets the item whose object is shown.
 *
 * A load of another item ends.
 */
void
bs_gtk_item_paintable_set_item (BsGtkItemPaintable *self, BsItem *item)
{
  g_autoptr (GdkPaintable) before = NULL;
  g_autoptr (GObject) object = NULL;

  g_return_if_fail (BS_GTK_IS_ITEM_PAINTABLE (self));
  g_return_if_fail (item == NULL || BS_IS_ITEM (item));

  if (self->item == item && bs_loader_get_error (self->loader) == NULL)
    return;

  /* No other paintable may have its address until the change is told. */
  g_set_object (&before, self->paintable);
  if (g_set_object (&self->item, item))
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ITEM]);
  give_to_loader (self, NULL);
  if (item != NULL)
    object = bs_item_try_load_object (item);
  if (object != NULL)
    give_to_loader (self, item);
  announce (self);
}

/**
 * bs_gtk_item_paintable_get_placeholder: (attributes org.gtk.Method.get_property=placeholder)
 * @self: a paintable
 *
 * Gets the paintable that is shown while there is no object to show.
 *
 * Returns: (transfer none) (nullable): a paintable
 */
GdkPaintable *
bs_gtk_item_paintable_get_placeholder (BsGtkItemPaintable *self)
{
  g_return_val_if_fail (BS_GTK_IS_ITEM_PAINTABLE (self), NULL);

  return self->placeholder;
}

/**
 * bs_gtk_item_paintable_set_placeholder: (attributes org.gtk.Method.set_property=placeholder)
 * @self: a paintable
 * @placeholder: (nullable): another paintable
 *
 * Sets the paintable that is shown while there is no object to show.
 */
void
bs_gtk_item_paintable_set_placeholder (BsGtkItemPaintable *self, GdkPaintable *placeholder)
{
  g_return_if_fail (BS_GTK_IS_ITEM_PAINTABLE (self));
  g_return_if_fail (placeholder == NULL || GDK_IS_PAINTABLE (placeholder));
  g_return_if_fail (placeholder != GDK_PAINTABLE (self));

  if (self->placeholder == placeholder)
    return;

  if (self->placeholder != NULL)
    unfollow (self, self->placeholder);
  g_set_object (&self->placeholder, placeholder);
  if (placeholder != NULL)
    follow (self, placeholder);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PLACEHOLDER]);
  if (self->paintable != NULL)
    return;

  gdk_paintable_invalidate_size (GDK_PAINTABLE (self));
  gdk_paintable_invalidate_contents (GDK_PAINTABLE (self));
}

/**
 * bs_gtk_item_paintable_get_paintable: (attributes org.gtk.Method.get_property=paintable)
 * @self: a paintable
 *
 * Gets the object of the item, once it is there.
 *
 * Returns: (transfer none) (nullable): another paintable
 */
GdkPaintable *
bs_gtk_item_paintable_get_paintable (BsGtkItemPaintable *self)
{
  g_return_val_if_fail (BS_GTK_IS_ITEM_PAINTABLE (self), NULL);

  return self->paintable;
}

/**
 * bs_gtk_item_paintable_get_loading: (attributes org.gtk.Method.get_property=loading)
 * @self: a paintable
 *
 * Gets whether the object of the item is not there yet.
 *
 * Returns: whether it is awaited
 */
gboolean
bs_gtk_item_paintable_get_loading (BsGtkItemPaintable *self)
{
  g_return_val_if_fail (BS_GTK_IS_ITEM_PAINTABLE (self), FALSE);

  return is_missing (self);
}

/**
 * bs_gtk_item_paintable_get_error: (attributes org.gtk.Method.get_property=error)
 * @self: a paintable
 *
 * Gets the reason why the object of the item cannot be shown.
 *
 * Returns: (transfer none) (nullable): the error of the load
 */
const GError *
bs_gtk_item_paintable_get_error (BsGtkItemPaintable *self)
{
  g_return_val_if_fail (BS_GTK_IS_ITEM_PAINTABLE (self), NULL);

  return bs_loader_get_error (self->loader);
}
