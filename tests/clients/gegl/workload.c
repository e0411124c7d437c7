/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "workload.h"

#include <string.h>

#define PIXEL 16       /* bytes */
#define STRIP 128      /* rows that are read or written at a time: one row of tiles */
#define MAX_STROKE 200 /* pixels */
#define N_STROKES 400
#define N_SNAPSHOTS 8

static const Babl *
pixel_format (void)
{
  return babl_format ("RGBA float");
}

void
workload_init (const char *directory, guint64 cache_size)
{
  gegl_init (NULL, NULL);
  g_object_set (gegl_config (), "swap", directory, "tile-cache-size", cache_size, "threads", 2,
                "use-opencl", FALSE, NULL);
}

static guint32
next_random (guint32 *state)
{
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

/* Noise over a slope, as in a photograph: neither flat nor to be compressed away. */
static void
fill (float *pixels, const GeglRectangle *area, guint32 seed)
{
  guint32 state = seed;

  for (int y = 0; y < area->height; y++)
    for (int x = 0; x < area->width; x++)
      {
        float *pixel = pixels + 4 * ((gsize) y * area->width + x);

        pixel[0] = (area->x + x) % 1000 / 1000.0f;
        pixel[1] = (area->y + y) % 1000 / 1000.0f;
        pixel[2] = next_random (&state) / 16777216.0f;
        pixel[3] = 1.0f;
      }
}

static void
write_area (GeglBuffer *buffer, const GeglRectangle *area, guint32 seed)
{
  g_autofree float *pixels = g_malloc ((gsize) area->width * area->height * PIXEL);

  fill (pixels, area, seed);
  gegl_buffer_set (buffer, area, 0, pixel_format (), pixels, GEGL_AUTO_ROWSTRIDE);
}

static GeglBuffer *
make_image (int size)
{
  GeglBuffer *buffer = gegl_buffer_new (GEGL_RECTANGLE (0, 0, size, size), pixel_format ());

  for (int y = 0; y < size; y += STRIP)
    write_area (buffer, GEGL_RECTANGLE (0, y, size, MIN (STRIP, size - y)), y + 1);

  return buffer;
}

/* Takes the operation's node. */
static GeglBuffer *
apply (GeglBuffer *input, GeglNode *operation)
{
  g_autoptr (GeglNode) graph = gegl_node_new ();
  GeglNode *source =
    gegl_node_new_child (graph, "operation", "gegl:buffer-source", "buffer", input, NULL);
  GeglRectangle extent;
  GeglBuffer *output;

  gegl_node_add_child (graph, operation);
  gegl_node_link (source, operation);
  extent = gegl_node_get_bounding_box (operation);
  output = gegl_buffer_new (&extent, pixel_format ());
  gegl_node_blit_buffer (operation, output, &extent, 0, GEGL_ABYSS_NONE);
  g_object_unref (operation);

  return output;
}

static GeglNode *
make_operation (const char *name)
{
  return g_object_new (GEGL_TYPE_NODE, "operation", name, NULL);
}

static void
run_chain (GPtrArray *buffers, GeglBuffer *image)
{
  static const char *const names[] = { "gegl:gaussian-blur", "gegl:unsharp-mask", "gegl:rotate",
                                       "gegl:scale-ratio" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      GeglNode *operation = make_operation (names[i]);

      if (i == 0)
        gegl_node_set (operation, "std-dev-x", 4.0, "std-dev-y", 4.0, NULL);
      else if (i == 2)
        gegl_node_set (operation, "degrees", 17.0, NULL);
      else if (i == 3)
        gegl_node_set (operation, "x", 0.7, "y", 0.7, NULL);
      image = apply (image, operation);
      g_ptr_array_add (buffers, image);
    }
}

static void
write_stroke (GeglBuffer *image, guint32 *state)
{
  const GeglRectangle *extent = gegl_buffer_get_extent (image);
  int width = MIN (1 + next_random (state) % MAX_STROKE, extent->width);
  int height = MIN (1 + next_random (state) % MAX_STROKE, extent->height);
  int x = extent->x + next_random (state) % (extent->width - width + 1);
  int y = extent->y + next_random (state) % (extent->height - height + 1);

  write_area (image, GEGL_RECTANGLE (x, y, width, height), next_random (state));
}

/* Undoes what was painted since the snapshot in one half of the image. */
static void
undo (GeglBuffer *image, GeglBuffer *snapshot, gboolean is_upper)
{
  GeglRectangle half = *gegl_buffer_get_extent (image);

  half.height /= 2;
  if (!is_upper)
    half.y += half.height;
  gegl_buffer_copy (snapshot, &half, GEGL_ABYSS_NONE, image, &half);
}

static void
run_strokes (GPtrArray *buffers, GeglBuffer *image, gboolean with_snapshots)
{
  guint32 state = 7;

  for (guint i = 0; i < N_STROKES; i++)
    {
      if (with_snapshots && i % (N_STROKES / N_SNAPSHOTS) == 0)
        {
          g_ptr_array_add (buffers, gegl_buffer_dup (image));
          if (next_random (&state) % 2 == 0)
            undo (image, buffers->pdata[1 + next_random (&state) % (buffers->len - 1)], i % 4 == 0);
        }
      write_stroke (image, &state);
    }
}

GPtrArray *
workload_run (Workload workload, int size)
{
  GPtrArray *buffers = g_ptr_array_new_with_free_func (g_object_unref);
  GeglBuffer *image = make_image (size);

  g_ptr_array_add (buffers, image);
  if (workload & (WORKLOAD_WRITES | WORKLOAD_SNAPSHOTS))
    run_strokes (buffers, image, workload & WORKLOAD_SNAPSHOTS);
  if (workload & WORKLOAD_CHAIN)
    run_chain (buffers, image);

  return buffers;
}

static float *
read_strip (GeglBuffer *buffer, int y, gsize *n_bytes)
{
  const GeglRectangle *extent = gegl_buffer_get_extent (buffer);
  int height = MIN (STRIP, extent->height - y);
  float *pixels;

  *n_bytes = (gsize) extent->width * height * PIXEL;
  pixels = g_malloc (*n_bytes);
  gegl_buffer_get (buffer, GEGL_RECTANGLE (extent->x, extent->y + y, extent->width, height), 1.0,
                   pixel_format (), pixels, GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);

  return pixels;
}

guint64
workload_sum (GPtrArray *buffers)
{
  guint64 sum = 0;

  for (guint i = 0; i < buffers->len; i++)
    for (int y = 0; y < gegl_buffer_get_extent (buffers->pdata[i])->height; y += STRIP)
      {
        gsize n_bytes;
        g_autofree float *pixels = read_strip (buffers->pdata[i], y, &n_bytes);
        const guint64 *words = (const guint64 *) pixels;

        for (gsize j = 0; j < n_bytes / sizeof *words; j++)
          sum = (sum ^ words[j]) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
      }

  return sum;
}

guint64
workload_count (GPtrArray *buffers)
{
  guint64 n = 0;

  for (guint i = 0; i < buffers->len; i++)
    n += (guint64) gegl_buffer_get_extent (buffers->pdata[i])->width *
         gegl_buffer_get_extent (buffers->pdata[i])->height;

  return n;
}

static gboolean
compare_buffers (guint index, GeglBuffer *buffer, GeglBuffer *other)
{
  const GeglRectangle *extent = gegl_buffer_get_extent (buffer);

  if (!gegl_rectangle_equal (extent, gegl_buffer_get_extent (other)))
    {
      g_printerr ("buffer %u is not as large as it should be\n", index);
      return FALSE;
    }

  for (int y = 0; y < extent->height; y += STRIP)
    {
      gsize n_bytes, at = 0;
      g_autofree float *pixels = read_strip (buffer, y, &n_bytes);
      g_autofree float *others = read_strip (other, y, &n_bytes);

      if (memcmp (pixels, others, n_bytes) == 0)
        continue;

      while (memcmp ((char *) pixels + at, (char *) others + at, PIXEL) == 0)
        at += PIXEL;
      g_printerr ("buffer %u, pixel %d, %d differs\n", index,
                  extent->x + (int) (at / PIXEL % extent->width),
                  extent->y + y + (int) (at / PIXEL / extent->width));
      return FALSE;
    }

  return TRUE;
}

gboolean
workload_compare (GPtrArray *buffers, GPtrArray *others)
{
  if (buffers->len != others->len)
    {
      g_printerr ("%u buffers in place of %u\n", buffers->len, others->len);
      return FALSE;
    }

  for (guint i = 0; i < buffers->len; i++)
    if (!compare_buffers (i, buffers->pdata[i], others->pdata[i]))
      return FALSE;

  return TRUE;
}
