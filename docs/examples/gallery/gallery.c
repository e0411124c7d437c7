/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A gallery: imports folders of photos, and shows them in a grid, large and zoomed.
 *
 *   gallery-c LIBRARY MIB [FOLDER...]
 *
 * The photos are kept in the directory LIBRARY. Two pools of MIB mebibytes hold the
 * textures on the screen: one of thumbnails, one of whole pictures. Each FOLDER is
 * imported. */

#include <backingstore/gtk/backingstore-gtk.h>

#define NORMAL G_PRIORITY_DEFAULT
#define THUMBNAIL 256

#define GALLERY_TYPE_APPLICATION (gallery_application_get_type ())
G_DECLARE_FINAL_TYPE (Gallery, gallery_application, GALLERY, APPLICATION, GtkApplication)

struct _Gallery
{
  GtkApplication parent_instance;

  BsBackingStore *store;
  BsPool *thumbnails;
  BsPool *pictures;
  GFile *library;
  BsTrackedPath *tracked; /* NULL until it is tracked */
  GListModel *photos;     /* of BsItem; follows the path, NULL until it is listed */

  GtkWindow *window; /* it and its children live until the window is closed */
  GtkStack *stack;
  GtkGridView *grid;
  double scrolled; /* where the grid was before */
  GtkWidget *view;
  BsGtkItemPaintable *large;
  GtkActionBar *bar;
  GtkProgressBar *progress;
  GtkFileChooserNative *chooser;

  GQueue folders;            /* of GFile, to be imported */
  GFile *folder;             /* under way */
  GQueue files;              /* of its photos, to be imported */
  guint n_files;             /* of its photos in all */
  GCancellable *cancellable; /* of the import under way, or NULL */
};

G_DEFINE_FINAL_TYPE (Gallery, gallery_application, GTK_TYPE_APPLICATION)

static void import_folder (Gallery *self);
static void import_photo (Gallery *self);

static void
report (const GError *error)
{
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
      !g_error_matches (error, BS_ERROR, BS_ERROR_CLOSED))
    g_printerr ("%s\n", error->message);
}

/* The page of the grid that follows the one in sight. */
static void
scrolled_cb (GtkAdjustment *adjustment, Gallery *self)
{
  double value = gtk_adjustment_get_value (adjustment);
  double upper = gtk_adjustment_get_upper (adjustment);
  guint n_items = g_list_model_get_n_items (self->photos);
  guint first = value / upper * n_items;
  guint n_in_page = gtk_adjustment_get_page_size (adjustment) / upper * n_items;

  if (value >= self->scrolled)
    bs_pool_prefetch (self->thumbnails, self->photos, first + n_in_page, n_in_page);
  else
    bs_pool_prefetch (self->thumbnails, self->photos, first - MIN (first, n_in_page), n_in_page);
  self->scrolled = value;
}

/* The large view. Its pool is another one, so its items are too. */

static void
picture_registered_cb (GObject *pictures, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) picture = bs_pool_register_finish (BS_POOL (pictures), result, &error);

  if (picture == NULL)
    report (error);
  else if (self->window != NULL)
    bs_gtk_item_paintable_set_item (self->large, picture);
}

static void
show_grid (Gallery *self)
{
  bs_gtk_item_paintable_set_item (self->large, NULL);
  gtk_stack_set_visible_child (self->stack, gtk_widget_get_first_child (GTK_WIDGET (self->stack)));
}

static void
picked_cb (GtkGridView *grid, guint position, Gallery *self)
{
  GListModel *model = G_LIST_MODEL (gtk_grid_view_get_model (grid));
  g_autoptr (BsItem) thumbnail = g_list_model_get_item (model, position);
  g_autoptr (GObject) texture = bs_item_try_load_object (thumbnail);
  g_autofree char *key = bs_item_dup_key (thumbnail);

  bs_gtk_item_paintable_set_placeholder (self->large, (GdkPaintable *) texture);
  bs_gtk_item_paintable_set_item (self->large, NULL);
  gtk_stack_set_visible_child (self->stack, self->view);
  bs_pool_register_async (self->pictures, self->tracked, key, NORMAL, NULL, picture_registered_cb,
                          g_object_ref (self));
}

/* The photo leaves the grid by itself. */

static void
deleted_cb (GObject *store, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;

  if (!bs_backing_store_delete_persisted_finish (BS_BACKING_STORE (store), result, &error))
    report (error);
}

static void
delete_activated (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  Gallery *self = data;
  BsItem *picture = bs_gtk_item_paintable_get_item (self->large);
  g_autofree char *key = NULL;

  if (picture == NULL)
    return;
  key = bs_item_dup_key (picture);
  bs_backing_store_delete_persisted_async (self->store, self->tracked, key, NORMAL, NULL,
                                           deleted_cb, g_object_ref (self));
  show_grid (self);
}

/* The import: one folder after the other, one photo after the other. */

static void
synced_cb (GObject *store, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;

  if (!bs_backing_store_sync_finish (BS_BACKING_STORE (store), result, &error))
    report (error);
  import_folder (self);
}

/* Photos of a cancelled import stay. */
static void
sync_library (Gallery *self)
{
  bs_backing_store_sync_async (self->store, self->tracked, NORMAL, NULL, synced_cb,
                               g_object_ref (self));
}

static void
end_import (Gallery *self, const GError *error)
{
  if (error != NULL)
    report (error);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->folder);
  g_queue_clear_full (&self->files, g_object_unref);
  if (self->window != NULL)
    gtk_action_bar_set_revealed (self->bar, FALSE);
  sync_library (self);
}

static void
persisted_cb (GObject *item, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;

  if (bs_item_persist_finish (BS_ITEM (item), result, &error))
    import_photo (self);
  else
    end_import (self, error);
}

static void
read_cb (GObject *file, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) photo = g_file_load_bytes_finish (G_FILE (file), result, NULL, &error);
  g_autoptr (BsItem) item = NULL;

  if (photo == NULL)
    {
      end_import (self, error);
      return;
    }
  item = bs_pool_insert (self->thumbnails, photo);
  bs_item_persist_async (item, self->tracked, NORMAL, self->cancellable, persisted_cb,
                         g_object_ref (self));
}

static void
import_photo (Gallery *self)
{
  g_autoptr (GFile) file = g_queue_pop_tail (&self->files);

  if (file == NULL)
    {
      end_import (self, NULL);
      return;
    }
  if (self->window != NULL)
    gtk_progress_bar_set_fraction (self->progress, 1 - (self->files.length + 1.0) / self->n_files);
  g_file_load_bytes_async (file, self->cancellable, read_cb, g_object_ref (self));
}

static void
listed_cb (GObject *enumerator, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;
  GList *infos =
    g_file_enumerator_next_files_finish (G_FILE_ENUMERATOR (enumerator), result, &error);

  if (error != NULL)
    {
      end_import (self, error);
      return;
    }
  for (GList *info = infos; info != NULL; info = info->next)
    {
      const char *type = g_file_info_get_content_type (info->data);

      if (type != NULL && g_str_has_prefix (type, "image/"))
        g_queue_push_tail (&self->files,
                           g_file_enumerator_get_child (G_FILE_ENUMERATOR (enumerator),
                                                        info->data));
    }
  g_list_free_full (infos, g_object_unref);
  self->n_files = self->files.length;
  if (self->window != NULL)
    gtk_action_bar_set_revealed (self->bar, TRUE);
  import_photo (self);
}

static void
enumerated_cb (GObject *folder, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GFileEnumerator) enumerator =
    g_file_enumerate_children_finish (G_FILE (folder), result, &error);

  if (enumerator == NULL)
    end_import (self, error);
  else
    g_file_enumerator_next_files_async (enumerator, G_MAXINT, NORMAL, self->cancellable, listed_cb,
                                        g_object_ref (self));
}

static void
import_folder (Gallery *self)
{
  if (self->cancellable != NULL || g_queue_is_empty (&self->folders))
    return;

  self->folder = g_queue_pop_head (&self->folders);
  self->cancellable = g_cancellable_new ();
  g_file_enumerate_children_async (self->folder,
                                   G_FILE_ATTRIBUTE_STANDARD_NAME
                                   "," G_FILE_ATTRIBUTE_STANDARD_CONTENT_TYPE,
                                   G_FILE_QUERY_INFO_NONE, NORMAL, self->cancellable, enumerated_cb,
                                   g_object_ref (self));
}

static void
chosen_cb (GtkNativeDialog *chooser, int response, Gallery *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_queue_push_tail (&self->folders, gtk_file_chooser_get_file (GTK_FILE_CHOOSER (chooser)));
      import_folder (self);
    }
  g_clear_object (&self->chooser);
}

static void
import_activated (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  Gallery *self = data;

  g_clear_object (&self->chooser);
  self->chooser = gtk_file_chooser_native_new ("Import a folder", self->window,
                                               GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, NULL, NULL);
  g_signal_connect (self->chooser, "response", G_CALLBACK (chosen_cb), self);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (self->chooser));
}

static void
cancel_activated (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  g_cancellable_cancel (((Gallery *) data)->cancellable);
}

static void
back_activated (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  show_grid (data);
}

/* The window goes at once; the store finishes what is to be durable. */

static void
closed_cb (GObject *store, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;

  if (!bs_backing_store_close_finish (BS_BACKING_STORE (store), result, &error))
    report (error);
  g_application_release (G_APPLICATION (self));
}

static gboolean
close_request_cb (GtkWindow *window, Gallery *self)
{
  g_application_hold (G_APPLICATION (self));
  if (self->cancellable != NULL)
    {
      g_queue_clear_full (&self->folders, g_object_unref);
      g_cancellable_cancel (self->cancellable);
      sync_library (self);
    }
  /* No frame comes before the store any more. */
  bs_backing_store_set_thread_nice (self->store, 0);
  bs_backing_store_close_async (self->store, NORMAL, NULL, closed_cb, g_object_ref (self));
  self->window = NULL;
  return FALSE;
}

static void
listed_photos_cb (GObject *thumbnails, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GtkSelectionModel) model = NULL;

  self->photos = bs_pool_follow_finish (BS_POOL (thumbnails), result, &error);
  if (self->photos == NULL || self->window == NULL)
    {
      if (error != NULL)
        report (error);
      return;
    }
  model = GTK_SELECTION_MODEL (gtk_no_selection_new (g_object_ref (self->photos)));
  gtk_grid_view_set_model (self->grid, model);
  g_signal_connect (gtk_scrollable_get_vadjustment (GTK_SCROLLABLE (self->grid)), "value-changed",
                    G_CALLBACK (scrolled_cb), self);
  import_folder (self);
}

static void
tracked_cb (GObject *store, GAsyncResult *result, gpointer data)
{
  g_autoptr (Gallery) self = data;
  g_autoptr (GError) error = NULL;

  self->tracked = bs_backing_store_track_path_finish (BS_BACKING_STORE (store), result, &error);
  if (self->tracked == NULL)
    {
      report (error);
      if (self->window != NULL)
        gtk_window_close (self->window);
      return;
    }
  bs_pool_follow_async (self->thumbnails, self->tracked, NORMAL, NULL, listed_photos_cb,
                        g_object_ref (self));
}

static void
gallery_application_activate (GApplication *application)
{
  static const GActionEntry actions[] = {
    { .name = "import", .activate = import_activated },
    { .name = "cancel", .activate = cancel_activated },
    { .name = "back", .activate = back_activated },
    { .name = "delete", .activate = delete_activated },
  };
  Gallery *self = GALLERY_APPLICATION (application);
  g_autoptr (GtkBuilder) builder = gtk_builder_new_from_file (GALLERY_UI);
  g_autoptr (GPropertyAction) zoom = NULL;

  self->window = GTK_WINDOW (gtk_builder_get_object (builder, "window"));
  self->stack = GTK_STACK (gtk_builder_get_object (builder, "stack"));
  self->grid = GTK_GRID_VIEW (gtk_builder_get_object (builder, "grid"));
  self->view = GTK_WIDGET (gtk_builder_get_object (builder, "view"));
  self->large = BS_GTK_ITEM_PAINTABLE (gtk_builder_get_object (builder, "large"));
  self->bar = GTK_ACTION_BAR (gtk_builder_get_object (builder, "bar"));
  self->progress = GTK_PROGRESS_BAR (gtk_builder_get_object (builder, "progress"));

  g_action_map_add_action_entries (G_ACTION_MAP (self->window), actions, G_N_ELEMENTS (actions),
                                   self);
  zoom = g_object_new (G_TYPE_PROPERTY_ACTION, "name", "zoom", "object",
                       gtk_builder_get_object (builder, "picture"), "property-name", "can-shrink",
                       "invert-boolean", TRUE, NULL);
  g_action_map_add_action (G_ACTION_MAP (self->window), G_ACTION (zoom));
  gtk_application_set_accels_for_action (GTK_APPLICATION (self), "win.back",
                                         (const char *[]){ "Escape", NULL });
  gtk_application_set_accels_for_action (GTK_APPLICATION (self), "win.delete",
                                         (const char *[]){ "Delete", NULL });
  gtk_application_set_accels_for_action (GTK_APPLICATION (self), "win.zoom",
                                         (const char *[]){ "z", NULL });
  gtk_application_set_accels_for_action (GTK_APPLICATION (self), "window.close",
                                         (const char *[]){ "<Control>q", NULL });
  g_signal_connect (self->grid, "activate", G_CALLBACK (picked_cb), self);
  g_signal_connect (self->window, "close-request", G_CALLBACK (close_request_cb), self);
  gtk_window_set_application (self->window, GTK_APPLICATION (self));
  gtk_window_present (self->window);
  bs_backing_store_track_path_async (self->store, self->library, NORMAL, NULL, tracked_cb,
                                     g_object_ref (self));
}

static void
gallery_application_finalize (GObject *object)
{
  Gallery *self = GALLERY_APPLICATION (object);

  g_queue_clear_full (&self->folders, g_object_unref);
  g_queue_clear_full (&self->files, g_object_unref);
  g_clear_object (&self->chooser);
  g_clear_object (&self->photos);
  g_clear_object (&self->tracked);
  g_clear_object (&self->thumbnails);
  g_clear_object (&self->pictures);
  g_clear_object (&self->store);
  g_clear_object (&self->library);
  G_OBJECT_CLASS (gallery_application_parent_class)->finalize (object);
}

static void
gallery_application_class_init (GalleryClass *class)
{
  G_OBJECT_CLASS (class)->finalize = gallery_application_finalize;
  G_APPLICATION_CLASS (class)->activate = gallery_application_activate;
}

static void
gallery_application_init (Gallery *self)
{
}

static BsPool *
make_pool (BsBackingStore *store, int max_size, guint64 budget)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (max_size);

  return bs_pool_new_with_codec (store, BS_CODEC (codec), budget);
}

int
main (int argc, char *argv[])
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsFileBacking) scratch = NULL;
  g_autoptr (Gallery) self = NULL;
  guint64 budget;

  if (argc < 3)
    {
      g_printerr ("Usage: %s LIBRARY MIB [FOLDER...]\n", argv[0]);
      return 2;
    }
  budget = g_ascii_strtoull (argv[2], NULL, 10) * 1024 * 1024;
  scratch = bs_file_backing_new_temporary (&error);
  if (scratch == NULL)
    {
      report (error);
      return 1;
    }

  bs_gtk_init ();
  self = g_object_new (GALLERY_TYPE_APPLICATION, "application-id", "org.example.Gallery", "flags",
                       G_APPLICATION_NON_UNIQUE, NULL);
  self->library = g_file_new_for_path (argv[1]);
  self->store = bs_backing_store_new (BS_BACKING (scratch));
  self->thumbnails = make_pool (self->store, THUMBNAIL, budget);
  self->pictures = make_pool (self->store, 0, budget);
  for (int i = 3; i < argc; i++)
    g_queue_push_tail (&self->folders, g_file_new_for_path (argv[i]));

  return g_application_run (G_APPLICATION (self), 1, argv);
}
