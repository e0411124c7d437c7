/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A grid of thumbnails of large photos, scrolled through to the end and back, with a
 * budget for a part of them: without more, and with a prefetch of the page that comes
 * next. The first fourth is scrolled through at the pace of somebody who looks. The floor is
 * the same window with every texture in memory and held, so that it draws the same and loads
 * nothing.
 *
 * Needs a screen, and starts an Xvfb where there is none. */

#include "benchmark.h"

#include <backingstore/gtk/backingstore-gtk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET (64 * 1024 * 1024)
#define THUMBNAIL 256
#define N_DISTINCT 12

static guint n_photos = 600;
static double seconds = 6;
static double least_megapixels = 1;

static const char cell[] =
  "<interface><template class='GtkListItem'><property name='child'><object class='GtkPicture'>"
  "<property name='width-request'>128</property><property name='height-request'>128</property>"
  "<property name='content-fit'>cover</property>"
  "<property name='paintable'><object class='BsGtkItemPaintable'>"
  "<binding name='item'><lookup name='item'>GtkListItem</lookup></binding>"
  "</object></property></object></property></template></interface>";

typedef enum
{
  FLOOR,
  PLAIN,
  AHEAD,
  N_KINDS
} Kind;

static const char *const names[N_KINDS] = { "all in memory", "ours", "ours, with a prefetch" };

typedef struct
{
  Series frame;
  Series gap;
  Series filled;
  Series empty;        /* of the cells in sight, per cent, while scrolling */
  Series empty_slowly; /* likewise, at the slower pace */
  Series quit;
} Figures;

typedef struct
{
  Kind kind;
  BenchmarkPlace place;
  BsBackingStore *store;
  BsTrackedPath *tracked;
  BsPool *pool;
  GListModel *items;
  GPtrArray *held; /* of textures; the floor's */

  GtkWidget *window;
  GtkWidget *scrolled;
  GtkWidget *grid;

  double from;  /* where scrolling one way begins, of the whole height */
  double to;    /* likewise, ends */
  double pace;  /* in seconds through the whole height */
  gint64 start; /* of scrolling one way */
  gint64 last;  /* time that the main loop came round */
  gint64 longest;
  guint n_frames;
  guint n_cells; /* in sight, of all frames */
  guint n_empty; /* of them */
  gboolean is_done;

  /* of all pieces of the way */
  struct
  {
    gint64 time;
    gint64 longest;
    guint n_frames;
    guint n_cells;
    guint n_empty;
  } passed;
} Grid;

static GBytes *
make_photo (GRand *rand, double megapixels)
{
  g_autoptr (GdkPixbuf) small = gdk_pixbuf_new (GDK_COLORSPACE_RGB, FALSE, 8, 12, 8);
  g_autoptr (GdkPixbuf) photo = NULL;
  g_autoptr (GError) error = NULL;
  int height = 1;
  char *data;
  gsize size;

  for (guint i = 0; i < gdk_pixbuf_get_byte_length (small); i++)
    gdk_pixbuf_get_pixels (small)[i] = g_rand_int_range (rand, 0, 256);
  while (1.5 * height * height < megapixels * 1e6)
    height++;
  photo = gdk_pixbuf_scale_simple (small, height * 3 / 2, height, GDK_INTERP_BILINEAR);
  if (!gdk_pixbuf_save_to_buffer (photo, &data, &size, "jpeg", &error, "quality", "90", NULL))
    g_error ("%s", error->message);
  return g_bytes_new_take (data, size);
}

/* Fills a path. Few of the photos are distinct: each is decoded all the same. */
static void
import (const char *library)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  g_autoptr (GFile) path = g_file_new_for_path (library);
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsPool) pool = NULL;
  g_autoptr (GError) error = NULL;
  BenchmarkPlace place;
  GBytes *photos[N_DISTINCT];

  benchmark_place_init (&place);
  store = bs_backing_store_new (place.backing);
  pool = bs_pool_new (store, 0);
  tracked = bs_backing_store_track_path (store, path, NULL, &error);
  if (tracked == NULL)
    g_error ("%s", error->message);
  for (guint i = 0; i < N_DISTINCT; i++)
    photos[i] = make_photo (rand, least_megapixels * (1 + i % 4));
  for (guint i = 0; i < n_photos; i++)
    {
      g_autoptr (BsItem) item = bs_pool_insert (pool, photos[i % N_DISTINCT]);

      if (!bs_item_persist (item, tracked, NULL, &error))
        g_error ("%s", error->message);
    }
  for (guint i = 0; i < N_DISTINCT; i++)
    g_bytes_unref (photos[i]);
  if (!bs_backing_store_close (store, NULL, &error))
    g_error ("%s", error->message);
  g_clear_object (&pool);
  g_clear_object (&tracked);
  g_clear_object (&store);
  benchmark_place_clear (&place);
}

static void
hold_all (Grid *self)
{
  self->held = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < n_photos; i++)
    {
      g_autoptr (BsItem) item = g_list_model_get_item (self->items, i);
      g_autoptr (GError) error = NULL;
      GObject *texture = bs_item_load_object (item, NULL, &error);

      if (texture == NULL)
        g_error ("%s", error->message);
      g_ptr_array_add (self->held, texture);
    }
}

static void
wait_for (gboolean (*condition) (Grid *self), Grid *self)
{
  while (!condition (self))
    g_main_context_iteration (NULL, TRUE);
}

/* Counts the cells in sight, and those that have no texture. */
static void
count_cells (Grid *self, guint *n_cells, guint *n_empty)
{
  for (GtkWidget *each = gtk_widget_get_first_child (self->grid); each != NULL;
       each = gtk_widget_get_next_sibling (each))
    {
      GtkWidget *picture = gtk_widget_get_first_child (each);
      graphene_rect_t bounds;
      GdkPaintable *paintable;

      if (!gtk_widget_get_mapped (each) || picture == NULL ||
          !gtk_widget_compute_bounds (picture, self->scrolled, &bounds) ||
          bounds.origin.y + bounds.size.height < 0 ||
          bounds.origin.y > gtk_widget_get_height (self->scrolled))
        continue;
      paintable = gtk_picture_get_paintable (GTK_PICTURE (picture));
      *n_empty += bs_gtk_item_paintable_get_paintable (BS_GTK_ITEM_PAINTABLE (paintable)) == NULL;
      ++*n_cells;
    }
}

static gboolean
is_filled (Grid *self)
{
  guint n_cells = 0, n_empty = 0;

  count_cells (self, &n_cells, &n_empty);
  return n_cells > 0 && n_empty == 0;
}

/* Asks for the page that follows the one in sight. */
static void
look_ahead (Grid *self, GtkAdjustment *adjustment)
{
  double upper = gtk_adjustment_get_upper (adjustment);
  guint n_items = g_list_model_get_n_items (self->items);
  guint n_in_page = gtk_adjustment_get_page_size (adjustment) / upper * n_items;
  guint first = gtk_adjustment_get_value (adjustment) / upper * n_items;
  guint next = self->to < self->from ? first - MIN (first, n_in_page) : first + n_in_page;

  bs_pool_prefetch (self->pool, self->items, next, n_in_page);
}

static gboolean
tick_cb (GtkWidget *widget, GdkFrameClock *clock, gpointer data)
{
  Grid *self = data;
  GtkAdjustment *adjustment =
    gtk_scrolled_window_get_vadjustment (GTK_SCROLLED_WINDOW (self->scrolled));
  double bottom = gtk_adjustment_get_upper (adjustment) - gtk_adjustment_get_page_size (adjustment);
  double fraction =
    (benchmark_now () - self->start) / (self->pace * ABS (self->to - self->from) * 1e9);

  self->n_frames++;
  count_cells (self, &self->n_cells, &self->n_empty);
  self->is_done = fraction >= 1;
  fraction = MIN (fraction, 1);
  gtk_adjustment_set_value (adjustment, bottom * (self->from + fraction * (self->to - self->from)));
  if (self->kind == AHEAD)
    look_ahead (self, adjustment);

  return self->is_done ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean
is_done (Grid *self)
{
  return self->is_done;
}

static gboolean
beat_cb (gpointer data)
{
  Grid *self = data;
  gint64 now = benchmark_now ();

  self->longest = MAX (self->longest, now - self->last);
  self->last = now;
  return G_SOURCE_CONTINUE;
}

static void
scroll (Grid *self, double from, double to, double pace)
{
  guint beat = g_timeout_add (1, beat_cb, self);

  self->from = from;
  self->to = to;
  self->pace = pace;
  self->is_done = FALSE;
  self->n_frames = self->n_cells = self->n_empty = 0;
  self->longest = 0;
  self->start = self->last = benchmark_now ();
  gtk_widget_add_tick_callback (self->window, tick_cb, self, NULL);
  wait_for (is_done, self);
  g_source_remove (beat);
}

static gboolean
is_quiet (Grid *self)
{
  return is_filled (self) &&
         bs_task_tracker_get_n_tasks (bs_backing_store_get_task_tracker (self->store)) == 0;
}

/* Only one window is there at a time, and does nothing before it is scrolled. */
static void
bring_up (Grid *self)
{
  gtk_window_present (GTK_WINDOW (self->window));
  wait_for (is_quiet, self);
}

static void
put_away (Grid *self)
{
  gtk_widget_set_visible (self->window, FALSE);
}

static void
scroll_slowly (Grid *self, Figures *figures)
{
  bring_up (self);
  scroll (self, 0, 0.25, 4 * seconds);
  series_add (&figures->empty_slowly, 100.0 * self->n_empty / self->n_cells);
  wait_for (is_quiet, self);
  put_away (self);
}

static void
scroll_fast (Grid *self, double from, double to, Figures *figures)
{
  gint64 stopped;

  bring_up (self);
  scroll (self, from, to, seconds);
  stopped = benchmark_now ();
  self->passed.time += stopped - self->start;
  self->passed.n_frames += self->n_frames;
  self->passed.longest = MAX (self->passed.longest, self->longest);
  self->passed.n_cells += self->n_cells;
  self->passed.n_empty += self->n_empty;
  wait_for (is_filled, self);
  series_add (&figures->filled, (benchmark_now () - stopped) / 1e6);
  wait_for (is_quiet, self);
  put_away (self);
}

static void
note_passed (Grid *self, Figures *figures)
{
  series_add (&figures->frame, self->passed.time / 1e6 / self->passed.n_frames);
  series_add (&figures->gap, self->passed.longest / 1e6);
  series_add (&figures->empty, 100.0 * self->passed.n_empty / self->passed.n_cells);
}

static void
closed_cb (GObject *store, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  if (!bs_backing_store_close_finish (BS_BACKING_STORE (store), result, &error))
    g_error ("%s", error->message);
  ((Grid *) data)->is_done = TRUE;
}

static void
quit (Grid *self, Figures *figures)
{
  gint64 start = benchmark_now ();

  self->is_done = FALSE;
  gtk_window_destroy (GTK_WINDOW (self->window));
  bs_backing_store_close_async (self->store, G_PRIORITY_DEFAULT, NULL, closed_cb, self);
  wait_for (is_done, self);
  series_add (&figures->quit, (benchmark_now () - start) / 1e6);
}

static void
open_grid (Grid *self, const char *library, Kind kind)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (THUMBNAIL);
  g_autoptr (GFile) path = g_file_new_for_path (library);
  g_autoptr (GBytes) bytes = g_bytes_new_static (cell, strlen (cell));
  g_autoptr (GError) error = NULL;
  GtkListItemFactory *factory;

  *self = (Grid){ .kind = kind };
  benchmark_place_init (&self->place);
  self->store = bs_backing_store_new (self->place.backing);
  self->pool =
    bs_pool_new_with_codec (self->store, BS_CODEC (codec), kind == FLOOR ? G_MAXUINT64 : BUDGET);
  self->tracked = bs_backing_store_track_path (self->store, path, NULL, &error);
  if (self->tracked == NULL)
    g_error ("%s", error->message);
  self->items = bs_pool_register_all (self->pool, self->tracked, NULL, &error);
  if (self->items == NULL)
    g_error ("%s", error->message);
  if (kind == FLOOR)
    hold_all (self);

  factory = gtk_builder_list_item_factory_new_from_bytes (NULL, bytes);
  self->grid =
    gtk_grid_view_new (GTK_SELECTION_MODEL (gtk_no_selection_new (g_object_ref (self->items))),
                       factory);
  self->scrolled = gtk_scrolled_window_new ();
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (self->scrolled), self->grid);
  self->window = gtk_window_new ();
  gtk_window_set_default_size (GTK_WINDOW (self->window), 780, 580);
  gtk_window_set_child (GTK_WINDOW (self->window), self->scrolled);
}

static void
let_go (Grid *self)
{
  g_clear_pointer (&self->held, g_ptr_array_unref);
  g_clear_object (&self->items);
  g_clear_object (&self->tracked);
  g_clear_object (&self->pool);
  g_clear_object (&self->store);
  benchmark_place_clear (&self->place);
}

/* The kinds take turns at each piece of the way, so that whatever else the machine does
 * slows all of them. */
static void
measure (char *libraries[N_KINDS], Figures figures[N_KINDS])
{
  static const double stops[] = { 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0 };
  Grid grids[N_KINDS];

  for (Kind kind = 0; kind < N_KINDS; kind++)
    open_grid (&grids[kind], libraries[kind], kind);
  for (Kind kind = 0; kind < N_KINDS; kind++)
    scroll_slowly (&grids[kind], &figures[kind]);
  for (gsize i = benchmark_smoke ? 5 : 0; i + 1 < G_N_ELEMENTS (stops); i++)
    for (Kind kind = 0; kind < N_KINDS; kind++)
      scroll_fast (&grids[kind], stops[i], stops[i + 1], &figures[kind]);
  for (Kind kind = 0; kind < N_KINDS; kind++)
    {
      note_passed (&grids[kind], &figures[kind]);
      bring_up (&grids[kind]);
      quit (&grids[kind], &figures[kind]);
      let_go (&grids[kind]);
    }
}

/* Returns NULL where there is a screen, or can be none. */
static GSubprocess *
start_screen (void)
{
  g_autoptr (GSubprocess) screen = NULL;
  g_autofree char *display = NULL;
  char number[16] = "";

  if (g_getenv ("DISPLAY") != NULL || g_getenv ("WAYLAND_DISPLAY") != NULL)
    return NULL;

  screen = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE,
                             NULL, "Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24",
                             "-nolisten", "tcp", NULL);
  if (screen == NULL || g_input_stream_read (g_subprocess_get_stdout_pipe (screen), number,
                                             sizeof number - 1, NULL, NULL) < 1)
    return NULL;

  display = g_strconcat (":", g_strchomp (number), NULL);
  g_setenv ("DISPLAY", display, TRUE);
  g_setenv ("GDK_BACKEND", "x11", TRUE);
  g_setenv ("GSK_RENDERER", "cairo", TRUE);
  return g_steal_pointer (&screen);
}

static void
figures_init (Figures *figures, const char *name)
{
  series_init (&figures->frame, name);
  series_init (&figures->gap, name);
  series_init (&figures->filled, name);
  series_init (&figures->empty, name);
  series_init (&figures->empty_slowly, name);
  series_init (&figures->quit, name);
}

static void
figures_clear (Figures *figures)
{
  series_clear (&figures->frame);
  series_clear (&figures->gap);
  series_clear (&figures->filled);
  series_clear (&figures->empty);
  series_clear (&figures->empty_slowly);
  series_clear (&figures->quit);
}

int
main (int argc, char *argv[])
{
  g_autoptr (GSubprocess) screen = NULL;
  char *libraries[N_KINDS]; /* a path has one store at a time */
  Figures figures[N_KINDS];

  benchmark_init (&argc, &argv, "Scrolls through a grid of photos and back");
  if (benchmark_smoke)
    {
      n_photos = 60;
      seconds = 0.2;
      least_megapixels = 0.1;
    }
  g_setenv ("GTK_A11Y", "none", FALSE);
  g_setenv ("GSETTINGS_BACKEND", "memory", FALSE);
  screen = start_screen ();
  if (!gtk_init_check ())
    {
      printf ("there is no screen, and no Xvfb that starts\n");
      return 77;
    }
  bs_gtk_init ();

  for (Kind kind = 0; kind < N_KINDS; kind++)
    {
      libraries[kind] = benchmark_make_directory ();
      import (libraries[kind]);
      figures_init (&figures[kind], names[kind]);
    }
  for (guint round = 0; round < benchmark_rounds; round++)
    measure (libraries, figures);
  for (Kind kind = 0; kind < N_KINDS; kind++)
    {
      benchmark_remove_directory (libraries[kind]);
      g_free (libraries[kind]);
    }

  printf ("%u photos of %g to %g megapixels, scrolled through in %g s: a frame\n", n_photos,
          least_megapixels, 4 * least_megapixels, seconds);
  for (Kind kind = 0; kind < N_KINDS; kind++)
    series_print (&figures[kind].frame, kind == FLOOR ? NULL : &figures[FLOOR].frame, "ms");
  printf ("longest gap of the main loop\n");
  for (Kind kind = 0; kind < N_KINDS; kind++)
    series_print (&figures[kind].gap, kind == FLOOR ? NULL : &figures[FLOOR].gap, "ms");
  printf ("after stopping, until no cell in sight is empty\n");
  for (Kind kind = PLAIN; kind < N_KINDS; kind++)
    series_print (&figures[kind].filled, NULL, "ms");
  printf ("cells in sight that are empty\n");
  for (Kind kind = PLAIN; kind < N_KINDS; kind++)
    series_print (&figures[kind].empty, NULL, "%");
  printf ("cells in sight that are empty, at a fourth of that pace\n");
  for (Kind kind = PLAIN; kind < N_KINDS; kind++)
    series_print (&figures[kind].empty_slowly, NULL, "%");
  printf ("quit\n");
  for (Kind kind = 0; kind < N_KINDS; kind++)
    series_print (&figures[kind].quit, kind == FLOOR ? NULL : &figures[FLOOR].quit, "ms");

  for (Kind kind = 0; kind < N_KINDS; kind++)
    figures_clear (&figures[kind]);
  if (screen != NULL)
    {
      g_subprocess_force_exit (screen);
      /* A process that ends before has sent no signal. */
      g_subprocess_wait (screen, NULL, NULL);
    }
  return 0;
}
