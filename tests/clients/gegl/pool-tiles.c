/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-tiles.h"

#include <gegl-buffer-backend.h>
#include <string.h>

/* GEGL keeps the tiles in use in a cache of its own. Its swap, below that cache, is told
 * by commands which tile to store, fetch, copy and forget. The class of the swap is
 * private, but its instances are tile sources, and a tile source is a function in its
 * public structure: here the class is made to put another function there. */

typedef struct
{
  BsPool *pool;
  gsize max_waiting;
  GMutex mutex;
  GHashTable *items; /* of place to BsItem, or to NULL for a tile of zeros; under the mutex */
} Tiles;

static BsPool *current_pool;      /* not owned; atomic */
static gsize current_max_waiting; /* atomic */
static void (*swap_constructed) (GObject *object);
static GQuark tiles_quark;

static void
tiles_free (gpointer data)
{
  Tiles *tiles = data;

  g_hash_table_unref (tiles->items);
  g_mutex_clear (&tiles->mutex);
  g_object_unref (tiles->pool);
  g_free (tiles);
}

static Tiles *
tiles_of (gpointer source)
{
  return g_object_get_qdata (source, tiles_quark);
}

static void
clear_item (gpointer item)
{
  g_clear_object ((BsItem **) &item);
}

static gint64
place_of (gint x, gint y, gint z)
{
  return (gint64) (guint32) z << 56 | (gint64) (x & 0xfffffff) << 28 | (y & 0xfffffff);
}

/* Takes the item. */
static void
tiles_insert (Tiles *tiles, gint64 place, BsItem *item)
{
  g_mutex_lock (&tiles->mutex);
  g_hash_table_insert (tiles->items, g_memdup2 (&place, sizeof place), item);
  g_mutex_unlock (&tiles->mutex);
}

/* Returns FALSE if there is no such tile; sets the item to NULL for a tile of zeros. */
static gboolean
tiles_lookup (Tiles *tiles, gint64 place, BsItem **item)
{
  gpointer found = NULL;
  gboolean exists;

  g_mutex_lock (&tiles->mutex);
  exists = g_hash_table_lookup_extended (tiles->items, &place, NULL, &found);
  *item = found != NULL ? g_object_ref (found) : NULL;
  g_mutex_unlock (&tiles->mutex);

  return exists;
}

static GeglTile *
get_tile (GeglTileSource *source, gint64 place)
{
  Tiles *tiles = tiles_of (source);
  gsize size = gegl_tile_backend_get_tile_size (GEGL_TILE_BACKEND (source));
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  GeglTile *tile;

  if (!tiles_lookup (tiles, place, &item))
    return NULL;

  if (item != NULL)
    {
      bytes = bs_item_load (item, NULL, &error);
      if (bytes == NULL)
        {
          g_critical ("A tile is lost: %s", error->message);
          return NULL;
        }
    }

  /* GEGL writes into its tiles, and the contents of a pool never change. */
  tile = gegl_tile_new (size);
  if (bytes != NULL)
    memcpy (gegl_tile_get_data (tile), g_bytes_get_data (bytes, NULL), size);
  else
    memset (gegl_tile_get_data (tile), 0, size);
  gegl_tile_mark_as_stored (tile);

  return tile;
}

static void
unref_tile (gpointer tile)
{
  gegl_tile_unref (tile);
}

static gboolean
is_zero (const guchar *data, gsize size)
{
  return data[0] == 0 && memcmp (data, data + 1, size - 1) == 0;
}

/* GEGL waits here for the disk, as it does for its own swap. */
static void
wait_for_room (const Tiles *tiles)
{
  g_autoptr (GError) error = NULL;

  /* A tile that cannot be written stays in memory, and is tried again later. */
  if (bs_pool_get_memory_use (tiles->pool) > tiles->max_waiting &&
      !bs_pool_trim (tiles->pool, tiles->max_waiting, NULL, &error))
    g_debug ("Tiles stay in memory: %s", error->message);
}

static gboolean
set_tile (GeglTileSource *source, gint64 place, GeglTile *tile)
{
  Tiles *tiles = tiles_of (source);
  gsize size = gegl_tile_backend_get_tile_size (GEGL_TILE_BACKEND (source));
  const guchar *data = gegl_tile_get_data (tile);
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (is_zero (data, size))
    {
      tiles_insert (tiles, place, NULL);
    }
  else
    {
      wait_for_room (tiles);
      /* The duplicate shares the data, until GEGL writes into either. */
      bytes = g_bytes_new_with_free_func (data, size, unref_tile, gegl_tile_dup (tile));
      if (tiles_lookup (tiles, place, &item) && item != NULL)
        bs_item_replace (item, bytes);
      else
        tiles_insert (tiles, place, bs_pool_insert (tiles->pool, bytes));
    }
  gegl_tile_mark_as_stored (tile);

  return TRUE;
}

static gboolean
exists_tile (GeglTileSource *source, gint64 place)
{
  g_autoptr (BsItem) item = NULL;

  return tiles_lookup (tiles_of (source), place, &item);
}

static void
void_tile (GeglTileSource *source, gint64 place)
{
  Tiles *tiles = tiles_of (source);

  g_mutex_lock (&tiles->mutex);
  g_hash_table_remove (tiles->items, &place);
  g_mutex_unlock (&tiles->mutex);
}

/* A copy of an item shares the content, until one of the two is replaced. */
static gboolean
copy_tile (GeglTileSource *source, gint64 place, const GeglTileCopyParams *params)
{
  g_autoptr (GObject) target = NULL;
  g_autoptr (BsItem) item = NULL;
  Tiles *tiles;

  if (params->dst_buffer != NULL)
    g_object_get (params->dst_buffer, "backend", &target, NULL);
  else
    target = g_object_ref (G_OBJECT (source));

  tiles = tiles_of (target);
  if (tiles == NULL || tiles->pool != tiles_of (source)->pool ||
      !tiles_lookup (tiles_of (source), place, &item))
    return FALSE;

  tiles_insert (tiles, place_of (params->dst_x, params->dst_y, params->dst_z),
                item != NULL ? bs_item_copy (item) : NULL);
  return TRUE;
}

static gpointer
run_command (GeglTileSource *source, GeglTileCommand command, gint x, gint y, gint z, gpointer data)
{
  gint64 place = place_of (x, y, z);

  switch (command)
    {
    case GEGL_TILE_GET:
      return get_tile (source, place);
    case GEGL_TILE_SET:
      return GINT_TO_POINTER (set_tile (source, place, data));
    case GEGL_TILE_EXIST:
      return GINT_TO_POINTER (exists_tile (source, place));
    case GEGL_TILE_VOID:
      void_tile (source, place);
      return NULL;
    case GEGL_TILE_COPY:
      return GINT_TO_POINTER (copy_tile (source, place, data));
    case GEGL_TILE_IDLE:
    case GEGL_TILE_FLUSH:
      return NULL;
    default:
      return gegl_tile_backend_command (GEGL_TILE_BACKEND (source), command, x, y, z, data);
    }
}

static void
tiles_constructed (GObject *object)
{
  BsPool *pool = g_atomic_pointer_get (&current_pool);

  if (pool != NULL)
    {
      Tiles *tiles = g_new0 (Tiles, 1);

      tiles->pool = g_object_ref (pool);
      tiles->max_waiting = g_atomic_pointer_get (&current_max_waiting);
      g_mutex_init (&tiles->mutex);
      tiles->items = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, clear_item);
      g_object_set_qdata_full (object, tiles_quark, tiles, tiles_free);
      /* The parent class notes the function, and so must find it. */
      GEGL_TILE_SOURCE (object)->command = run_command;
    }

  swap_constructed (object);
}

static void
replace_swap (void)
{
  /* The class exists once there is a buffer. */
  g_autoptr (GeglBuffer) buffer =
    gegl_buffer_new (GEGL_RECTANGLE (0, 0, 1, 1), babl_format ("RGBA float"));
  GType type = g_type_from_name ("GeglTileBackendSwap");
  GObjectClass *klass;

  if (type == G_TYPE_INVALID)
    g_error ("This GEGL has no swap, or calls it otherwise");

  tiles_quark = g_quark_from_static_string ("pool-tiles");
  klass = g_type_class_ref (type);
  swap_constructed = klass->constructed;
  klass->constructed = tiles_constructed;
}

void
pool_tiles_set_pool (BsPool *pool, gsize max_waiting)
{
  static gsize is_replaced;

  if (g_once_init_enter (&is_replaced))
    {
      replace_swap ();
      g_once_init_leave (&is_replaced, TRUE);
    }

  g_atomic_pointer_set (&current_max_waiting, max_waiting);
  g_atomic_pointer_set (&current_pool, pool);
}
