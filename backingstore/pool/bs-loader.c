/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-loader.h"

#include "bs-item-private.h"

/**
 * BsLoader:
 *
 * Shows the object that an item holds in a property of another object.
 *
 * A loader is for the cells of a grid or list: it belongs to one widget, its *target*,
 * and is given another [class@Item] each time the cell shows another row. An object that
 * is in memory is in the target's property when [method@Loader.set_item] returns, so
 * that the cell never shows anything else before. Otherwise the placeholder is there
 * until the object is loaded:
 *
 * ```c
 * static void
 * setup (GtkSignalListItemFactory *factory, GtkListItem *cell)
 * {
 *   GtkWidget *picture = gtk_picture_new ();
 *   BsLoader *loader = bs_loader_new (G_OBJECT (picture), "paintable");
 *
 *   g_object_set_data_full (G_OBJECT (cell), "loader", loader, g_object_unref);
 *   gtk_list_item_set_child (cell, picture);
 * }
 *
 * static void
 * bind (GtkSignalListItemFactory *factory, GtkListItem *cell)
 * {
 *   bs_loader_set_item (g_object_get_data (G_OBJECT (cell), "loader"),
 *                       gtk_list_item_get_item (cell));
 * }
 *
 * static void
 * unbind (GtkSignalListItemFactory *factory, GtkListItem *cell)
 * {
 *   bs_loader_set_item (g_object_get_data (G_OBJECT (cell), "loader"), NULL);
 * }
 * ```
 *
 * The items are those of a pool with a [iface@Codec]; an item of another pool is an
 * error.
 *
 * ## Which goes first
 *
 * Loads have `G_PRIORITY_DEFAULT`, and go before everything else of that priority. Among
 * themselves the last one asked goes first: the rows that have just come into view are
 * more urgent than those that were passed over. In a store with a main context the loads
 * come below the drawing of GTK, at `G_PRIORITY_HIGH_IDLE + 30`, so that a frame is drawn
 * between two of them. A load is cancelled when the loader gets another item, or when its
 * target goes.
 *
 * ## When a load fails
 *
 * [property@Loader:error] says why, until the loader gets another item; the placeholder
 * is shown. An object that the codec could not decode is not decoded again for each cell
 * that comes to show it, since the bytes of a key never change: as long as the pool has an
 * item with that content, every loader has the same error at once. Other failures, as
 * those of a disk, are tried again with the next item that is set. [method@Item.load_object]
 * tries in any case; if it succeeds, loaders do too.
 *
 * ## Threads
 *
 * A loader works in the main context that was the thread's default where it was made. Its
 * target is touched, and its properties notify, in that context and nowhere else. An item
 * that is set on another thread is shown there soon.
 *
 * A loader does not hold its target. A load under way holds the loader.
 */

typedef enum
{
  PROP_TARGET = 1,
  PROP_TARGET_PROPERTY,
  PROP_ITEM,
  PROP_PLACEHOLDER,
  PROP_ERROR,
  PROP_LOADING,
} BsLoaderProperty;

static GParamSpec *properties[PROP_LOADING + 1];

/* Given to the target and the item, which may outlive the loader and call on any thread. */
typedef struct
{
  GWeakRef loader;
} Tie;

struct _BsLoader
{
  GObject parent_instance;

  /* constant after construction */
  GMainContext *context; /* owned */
  Tie *tie;              /* owned */
  char *target_property;
  GParamSpec
    *pspec; /* owned; NULL where the target has no such property: the loader does nothing */

  GWeakRef target;

  /* in the context */
  BsItem *told_item; /* not owned; only to compare */
  gboolean told_loading;
  gboolean shows_object; /* not the placeholder */

  GMutex lock;

  /* under the lock */
  BsItem *item;              /* owned, nullable */
  gulong key_id;             /* a signal handler of the item's */
  GObject *placeholder;      /* owned, nullable */
  GError *error;             /* owned, nullable */
  GCancellable *cancellable; /* owned; of the load under way, else NULL */
};

G_DEFINE_FINAL_TYPE (BsLoader, bs_loader, G_TYPE_OBJECT)

static void
tie_clear (gpointer data)
{
  g_weak_ref_clear (&((Tie *) data)->loader);
}

static void
tie_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, tie_clear);
}

static void
tie_closure_notify (gpointer data, GClosure *closure)
{
  tie_unref (data);
}

static BsItem *
dup_item (BsLoader *self)
{
  BsItem *item = NULL;

  g_mutex_lock (&self->lock);
  g_set_object (&item, self->item);
  g_mutex_unlock (&self->lock);

  return item;
}

/* Gives the loader another load, or none, and cancels the one that is under way: when it
 * ends it is the loader's no more. */
static void
set_load (BsLoader *self, GCancellable *cancellable)
{
  g_autoptr (GCancellable) old = NULL;

  if (cancellable != NULL)
    g_object_ref (cancellable);
  g_mutex_lock (&self->lock);
  old = self->cancellable;
  self->cancellable = cancellable;
  g_mutex_unlock (&self->lock);

  g_cancellable_cancel (old);
}

/* FALSE if the load is the loader's no more. */
static gboolean
finish_load (BsLoader *self, GCancellable *cancellable)
{
  gboolean is_current;

  g_mutex_lock (&self->lock);
  is_current = self->cancellable == cancellable;
  if (is_current)
    self->cancellable = NULL;
  g_mutex_unlock (&self->lock);

  if (is_current)
    g_object_unref (cancellable);
  return is_current;
}

/* Takes the error over. */
static void
set_error (BsLoader *self, GError *error)
{
  g_autoptr (GError) old = NULL;

  g_mutex_lock (&self->lock);
  old = self->error;
  self->error = error;
  g_mutex_unlock (&self->lock);

  if (old != NULL || error != NULL)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ERROR]);
}

/* Puts the object, or else the placeholder, into the target's property. A handler there
 * may give the loader another item, so nothing is left to be done afterwards. */
static void
show (BsLoader *self, GObject *object)
{
  g_autoptr (GObject) target = g_weak_ref_get (&self->target);
  g_autoptr (GObject) placeholder = NULL;

  self->shows_object = object != NULL;
  g_mutex_lock (&self->lock);
  g_set_object (&placeholder, self->placeholder);
  g_mutex_unlock (&self->lock);

  if (target != NULL && self->pspec != NULL)
    g_object_set (target, self->target_property, object != NULL ? object : placeholder, NULL);
}

static gboolean
fits (BsLoader *self, GObject *object)
{
  return g_type_is_a (G_OBJECT_TYPE (object), self->pspec->value_type);
}

static GError *
misfit_error (BsLoader *self, BsItem *item, GObject *object)
{
  g_autofree char *why =
    g_strdup_printf ("the property “%s” takes a %s, and the object is a %s", self->target_property,
                     g_type_name (self->pspec->value_type), G_OBJECT_TYPE_NAME (object));

  return bs_item_error (item, BS_KIND_READ, NULL, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, why);
}

/* Shows what a load, or a look into memory, has brought. The loader tells of its properties
 * last. Takes `error` over. */
static void
show_result (BsLoader *self, BsItem *item, GObject *object, GError *error)
{
  gboolean loading = bs_loader_get_loading (self);

  g_object_freeze_notify (G_OBJECT (self));
  if (loading != self->told_loading)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LOADING]);
  self->told_loading = loading;

  if (object != NULL && !fits (self, object))
    {
      set_error (self, misfit_error (self, item, object));
      object = NULL;
    }
  else
    {
      set_error (self, error);
    }
  show (self, object);
  g_object_thaw_notify (G_OBJECT (self));
}

/* Called in the loader's context. Drops a reference on the loader. */
static void
loaded_cb (GObject *item, GAsyncResult *result, gpointer data)
{
  g_autoptr (BsLoader) self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GObject) object = bs_item_load_object_finish (BS_ITEM (item), result, &error);

  if (finish_load (self, g_task_get_cancellable (G_TASK (result))))
    show_result (self, BS_ITEM (item), object, g_steal_pointer (&error));
}

static void
start_load (BsLoader *self, BsItem *item)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  set_load (self, cancellable);
  g_main_context_push_thread_default (self->context);
  bs_item_load_object_newest_first_async (item, cancellable, loaded_cb, g_object_ref (self));
  g_main_context_pop_thread_default (self->context);
}

/* Called in the loader's context. Shows the item as it is now. */
static gboolean
update (gpointer data)
{
  BsLoader *self = data;
  g_autoptr (GObject) target = g_weak_ref_get (&self->target);
  g_autoptr (BsItem) item = dup_item (self);
  g_autoptr (GObject) object = NULL;
  g_autoptr (GError) failure = NULL;

  g_object_freeze_notify (G_OBJECT (self));
  if (item != self->told_item)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ITEM]);
  self->told_item = item;

  if (target == NULL || self->pspec == NULL)
    g_clear_object (&item);
  if (item != NULL)
    object = bs_item_try_load_object (item);
  if (item != NULL && object == NULL)
    failure = bs_item_dup_failure (item);
  if (item != NULL && object == NULL && failure == NULL)
    start_load (self, item);
  else
    set_load (self, NULL);
  show_result (self, item, object, g_steal_pointer (&failure));
  g_object_thaw_notify (G_OBJECT (self));

  return G_SOURCE_REMOVE;
}

/* Called in the loader's context. */
static gboolean
update_placeholder (gpointer data)
{
  BsLoader *self = data;

  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PLACEHOLDER]);
  if (!self->shows_object)
    show (self, NULL);

  return G_SOURCE_REMOVE;
}

/* At once where this thread runs the context. */
static void
run_in_context (BsLoader *self, GSourceFunc func)
{
  g_main_context_invoke_full (self->context, G_PRIORITY_DEFAULT, func, g_object_ref (self),
                              g_object_unref);
}

/* Called in any thread. */
static void
key_changed_cb (BsItem *item, GParamSpec *pspec, gpointer data)
{
  g_autoptr (BsLoader) self = g_weak_ref_get (&((Tie *) data)->loader);

  if (self != NULL)
    run_in_context (self, update);
}

/* Called in any thread. Takes over a reference on the tie. */
static void
target_gone_cb (gpointer data, GObject *target)
{
  g_autoptr (BsLoader) self = g_weak_ref_get (&((Tie *) data)->loader);

  if (self != NULL)
    {
      /* A target that was disposed of may still have references. */
      g_weak_ref_set (&self->target, NULL);
      set_load (self, NULL);
      run_in_context (self, update);
    }
  tie_unref (data);
}

static gboolean
holds_objects (GParamSpec *pspec)
{
  return pspec != NULL && G_IS_PARAM_SPEC_OBJECT (pspec) &&
         (pspec->flags & (G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY)) == G_PARAM_WRITABLE;
}

static void
bs_loader_constructed (GObject *object)
{
  BsLoader *self = BS_LOADER (object);
  g_autoptr (GObject) target = g_weak_ref_get (&self->target);
  GParamSpec *pspec;

  G_OBJECT_CLASS (bs_loader_parent_class)->constructed (object);

  /* A script may make one that shows nothing. */
  if (target == NULL || self->target_property == NULL)
    return;

  pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (target), self->target_property);
  if (!holds_objects (pspec))
    {
      g_critical ("BsLoader: %s has no property “%s” that an object can be put into",
                  G_OBJECT_TYPE_NAME (target), self->target_property);
      return;
    }

  self->pspec = g_param_spec_ref (pspec);
  g_object_weak_ref (target, target_gone_cb, g_atomic_rc_box_acquire (self->tie));
}

static void
bs_loader_get_property (GObject *object, guint property_id, GValue *value, GParamSpec *pspec)
{
  BsLoader *self = BS_LOADER (object);

  switch ((BsLoaderProperty) property_id)
    {
    case PROP_TARGET:
      g_value_take_object (value, bs_loader_dup_target (self));
      break;
    case PROP_TARGET_PROPERTY:
      g_value_set_string (value, self->target_property);
      break;
    case PROP_ITEM:
      g_value_take_object (value, dup_item (self));
      break;
    case PROP_PLACEHOLDER:
      g_mutex_lock (&self->lock);
      g_value_set_object (value, self->placeholder);
      g_mutex_unlock (&self->lock);
      break;
    case PROP_ERROR:
      g_mutex_lock (&self->lock);
      g_value_set_boxed (value, self->error);
      g_mutex_unlock (&self->lock);
      break;
    case PROP_LOADING:
      g_value_set_boolean (value, bs_loader_get_loading (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
bs_loader_set_property (GObject *object, guint property_id, const GValue *value, GParamSpec *pspec)
{
  BsLoader *self = BS_LOADER (object);

  switch ((BsLoaderProperty) property_id)
    {
    case PROP_TARGET:
      g_weak_ref_set (&self->target, g_value_get_object (value));
      break;
    case PROP_TARGET_PROPERTY:
      self->target_property = g_value_dup_string (value);
      break;
    case PROP_ITEM:
      bs_loader_set_item (self, g_value_get_object (value));
      break;
    case PROP_PLACEHOLDER:
      bs_loader_set_placeholder (self, g_value_get_object (value));
      break;
    case PROP_ERROR:
    case PROP_LOADING:
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
unfollow_item (BsItem *item, gulong key_id)
{
  if (item == NULL)
    return;

  g_signal_handler_disconnect (item, key_id);
  g_object_unref (item);
}

/* May run on any thread. No load is under way, since that would hold the loader. */
static void
bs_loader_finalize (GObject *object)
{
  BsLoader *self = BS_LOADER (object);
  g_autoptr (GObject) target = g_weak_ref_get (&self->target);

  if (target != NULL && self->pspec != NULL)
    {
      g_object_weak_unref (target, target_gone_cb, self->tie);
      tie_unref (self->tie);
    }
  tie_unref (self->tie);
  unfollow_item (self->item, self->key_id);
  g_clear_object (&self->placeholder);
  g_clear_error (&self->error);
  g_clear_pointer (&self->pspec, g_param_spec_unref);
  g_weak_ref_clear (&self->target);
  g_mutex_clear (&self->lock);
  g_main_context_unref (self->context);
  g_free (self->target_property);

  G_OBJECT_CLASS (bs_loader_parent_class)->finalize (object);
}

static void
bs_loader_class_init (BsLoaderClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags constant = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;
  GParamFlags readable = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;
  GParamFlags writable = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->constructed = bs_loader_constructed;
  object_class->get_property = bs_loader_get_property;
  object_class->set_property = bs_loader_set_property;
  object_class->finalize = bs_loader_finalize;

  /**
   * BsLoader:target: (attributes org.gtk.Property.get=bs_loader_dup_target)
   *
   * The object that shows the items' objects, such as a widget; %NULL once it is gone.
   * The loader does not hold it.
   */
  properties[PROP_TARGET] = g_param_spec_object ("target", NULL, NULL, G_TYPE_OBJECT, constant);

  /**
   * BsLoader:target-property: (attributes org.gtk.Property.get=bs_loader_get_target_property)
   *
   * The name of the target's property that the objects are put into.
   */
  properties[PROP_TARGET_PROPERTY] =
    g_param_spec_string ("target-property", NULL, NULL, NULL, constant);

  /**
   * BsLoader:item: (attributes org.gtk.Property.get=bs_loader_get_item org.gtk.Property.set=bs_loader_set_item)
   *
   * The item whose object is shown.
   *
   * Notifies in the loader's context.
   */
  properties[PROP_ITEM] = g_param_spec_object ("item", NULL, NULL, BS_TYPE_ITEM, writable);

  /**
   * BsLoader:placeholder: (attributes org.gtk.Property.get=bs_loader_get_placeholder org.gtk.Property.set=bs_loader_set_placeholder)
   *
   * The object that the target has while there is none of an item; %NULL by default.
   *
   * Notifies in the loader's context.
   */
  properties[PROP_PLACEHOLDER] =
    g_param_spec_object ("placeholder", NULL, NULL, G_TYPE_OBJECT, writable);

  /**
   * BsLoader:error: (attributes org.gtk.Property.get=bs_loader_get_error)
   *
   * Why the item could not be shown; %NULL if it could, or may still be.
   *
   * Notifies in the loader's context.
   */
  properties[PROP_ERROR] = g_param_spec_boxed ("error", NULL, NULL, G_TYPE_ERROR, readable);

  /**
   * BsLoader:loading: (attributes org.gtk.Property.get=bs_loader_get_loading)
   *
   * Whether the item is being loaded.
   *
   * Notifies in the loader's context.
   */
  properties[PROP_LOADING] = g_param_spec_boolean ("loading", NULL, NULL, FALSE, readable);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_loader_init (BsLoader *self)
{
  self->context = g_main_context_ref_thread_default ();
  self->tie = g_atomic_rc_box_new0 (Tie);
  g_weak_ref_init (&self->tie->loader, self);
  g_weak_ref_init (&self->target, NULL);
  g_mutex_init (&self->lock);
}

/**
 * bs_loader_new:
 * @target: an object, such as a widget
 * @target_property: a property of @target that an object can be put into
 *
 * Makes a loader without an item, that works in the thread-default main context.
 *
 * Where @target has no such property, be it for want of a setter, there is a critical
 * message, and the loader shows nothing.
 *
 * Returns: (transfer full): a new loader
 */
BsLoader *
bs_loader_new (GObject *target, const char *target_property)
{
  g_return_val_if_fail (G_IS_OBJECT (target), NULL);
  g_return_val_if_fail (target_property != NULL, NULL);

  return g_object_new (BS_TYPE_LOADER, "target", target, "target-property", target_property, NULL);
}

/**
 * bs_loader_dup_target: (attributes org.gtk.Method.get_property=target)
 * @self: a loader
 *
 * Gets the object that shows the items' objects.
 *
 * Returns: (transfer full) (nullable): the target, or %NULL once it is gone
 */
GObject *
bs_loader_dup_target (BsLoader *self)
{
  g_return_val_if_fail (BS_IS_LOADER (self), NULL);

  return g_weak_ref_get (&self->target);
}

/**
 * bs_loader_get_target_property: (attributes org.gtk.Method.get_property=target-property)
 * @self: a loader
 *
 * Gets the name of the target's property that the objects are put into.
 *
 * Returns: (nullable): the name
 */
const char *
bs_loader_get_target_property (BsLoader *self)
{
  g_return_val_if_fail (BS_IS_LOADER (self), NULL);

  return self->target_property;
}

/**
 * bs_loader_get_item: (attributes org.gtk.Method.get_property=item)
 * @self: a loader
 *
 * Gets the item whose object is shown.
 *
 * Returns: (transfer none) (nullable): the item, which is the loader's until it is given
 *   another one
 */
BsItem *
bs_loader_get_item (BsLoader *self)
{
  BsItem *item;

  g_return_val_if_fail (BS_IS_LOADER (self), NULL);

  g_mutex_lock (&self->lock);
  item = self->item;
  g_mutex_unlock (&self->lock);

  return item;
}

/* FALSE if it has the item already. */
static gboolean
exchange_item (BsLoader *self, BsItem *item)
{
  BsItem *old = bs_loader_get_item (self);
  gulong key_id = 0, old_key_id;

  if (old == item)
    return FALSE;

  if (item != NULL)
    key_id = g_signal_connect_data (g_object_ref (item), "notify::key", G_CALLBACK (key_changed_cb),
                                    g_atomic_rc_box_acquire (self->tie), tie_closure_notify, 0);
  g_mutex_lock (&self->lock);
  old = self->item;
  old_key_id = self->key_id;
  self->item = item;
  self->key_id = key_id;
  g_mutex_unlock (&self->lock);

  unfollow_item (old, old_key_id);
  return TRUE;
}

/**
 * bs_loader_set_item: (attributes org.gtk.Method.set_property=item)
 * @self: a loader
 * @item: (nullable): an item of a pool that has a codec
 *
 * Shows the object of an item, or the placeholder where there is none.
 *
 * Never blocks. Where the object is in memory the target has it when this returns, if
 * this is the thread of the loader's context. Otherwise the target has the placeholder
 * until the object is loaded. When the item is given another content, by
 * [method@Item.replace_object] or [method@Item.replace], that is shown.
 *
 * To try again what has failed, set %NULL and then the item: see [class@Loader] for what
 * is tried again.
 */
void
bs_loader_set_item (BsLoader *self, BsItem *item)
{
  g_return_if_fail (BS_IS_LOADER (self));
  g_return_if_fail (item == NULL || bs_item_has_pool (item));

  if (!exchange_item (self, item))
    return;

  set_load (self, NULL);
  run_in_context (self, update);
}

/**
 * bs_loader_get_placeholder: (attributes org.gtk.Method.get_property=placeholder)
 * @self: a loader
 *
 * Gets the object that the target has while there is none of an item.
 *
 * Returns: (transfer none) (nullable): the placeholder
 */
GObject *
bs_loader_get_placeholder (BsLoader *self)
{
  GObject *placeholder;

  g_return_val_if_fail (BS_IS_LOADER (self), NULL);

  g_mutex_lock (&self->lock);
  placeholder = self->placeholder;
  g_mutex_unlock (&self->lock);

  return placeholder;
}

/**
 * bs_loader_set_placeholder: (attributes org.gtk.Method.set_property=placeholder)
 * @self: a loader
 * @placeholder: (nullable): an object that the target's property takes
 *
 * Sets the object that the target has while there is none of an item: while that is
 * loaded, after an error, and without an item.
 */
void
bs_loader_set_placeholder (BsLoader *self, GObject *placeholder)
{
  g_autoptr (GObject) old = NULL;

  g_return_if_fail (BS_IS_LOADER (self));
  g_return_if_fail (placeholder == NULL || G_IS_OBJECT (placeholder));
  g_return_if_fail (placeholder == NULL || self->pspec == NULL || fits (self, placeholder));

  if (placeholder != NULL)
    g_object_ref (placeholder);
  g_mutex_lock (&self->lock);
  old = self->placeholder;
  self->placeholder = placeholder;
  g_mutex_unlock (&self->lock);

  if (old != placeholder)
    run_in_context (self, update_placeholder);
}

/**
 * bs_loader_get_error: (attributes org.gtk.Method.get_property=error)
 * @self: a loader
 *
 * Gets why the item could not be shown.
 *
 * The errors are those of [method@Item.load_object], and %G_IO_ERROR_INVALID_ARGUMENT for
 * an object that the target's property does not take.
 *
 * Returns: (transfer none) (nullable): the error, valid until the loader's context runs
 *   or gets another item; %NULL if there is none
 */
const GError *
bs_loader_get_error (BsLoader *self)
{
  const GError *error;

  g_return_val_if_fail (BS_IS_LOADER (self), NULL);

  g_mutex_lock (&self->lock);
  error = self->error;
  g_mutex_unlock (&self->lock);

  return error;
}

/**
 * bs_loader_get_loading: (attributes org.gtk.Method.get_property=loading)
 * @self: a loader
 *
 * Gets whether the item is being loaded.
 *
 * Returns: whether it is
 */
gboolean
bs_loader_get_loading (BsLoader *self)
{
  gboolean loading;

  g_return_val_if_fail (BS_IS_LOADER (self), FALSE);

  g_mutex_lock (&self->lock);
  loading = self->cancellable != NULL;
  g_mutex_unlock (&self->lock);

  return loading;
}
