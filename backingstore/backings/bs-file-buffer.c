/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-buffer-private.h"

#include "base/bs-buffer-private.h"

#include "bs-file-pages-private.h"

#include <sys/mman.h>
#include <unistd.h>

/* Below this size memory is reused, so that most of it is faulted in already. Larger
 * blobs get pages of their own, which go back to the system at once. */
#define MIN_MAPPED (4 * 1024 * 1024)

typedef struct
{
  guint8 *data;
  gsize size;
} Mapping;

/* Returns 0 if there is no such size. */
static gsize
round_up (gsize size)
{
  const gsize page = sysconf (_SC_PAGESIZE);

  return size > G_MAXSIZE - page ? 0 : (size + page - 1) & ~(page - 1);
}

guint8 *
bs_file_buffer_new (gsize size)
{
  if (size < MIN_MAPPED)
    return bs_buffer_new (size);

  return round_up (size) != 0 ? bs_file_pages_map (round_up (size)) : NULL;
}

void
bs_file_buffer_free (guint8 *data, gsize size)
{
  if (size < MIN_MAPPED)
    bs_buffer_free (data, size);
  else
    munmap (data, round_up (size));
}

static void
free_mapping (gpointer user_data)
{
  Mapping *mapping = user_data;

  bs_file_buffer_free (mapping->data, mapping->size);
  g_free (mapping);
}

GBytes *
bs_file_buffer_to_bytes (guint8 *data, gsize size)
{
  Mapping *mapping;

  if (size < MIN_MAPPED)
    return bs_buffer_to_bytes (data, size);

  mapping = g_new (Mapping, 1);
  mapping->data = data;
  mapping->size = size;

  return g_bytes_new_with_free_func (data, size, free_mapping, mapping);
}
