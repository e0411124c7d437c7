/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-memory-private.h"

#include <sys/mman.h>

gpointer
bs_s3_memory_map (gsize size)
{
  gpointer data =
    mmap (NULL, MAX (size, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return data != MAP_FAILED ? data : NULL;
}

void
bs_s3_memory_unmap (gpointer data, gsize size)
{
  munmap (data, MAX (size, 1));
}

typedef struct
{
  gpointer data;
  gsize size;
} Mapping;

static void
mapping_free (gpointer data)
{
  Mapping *self = data;

  bs_s3_memory_unmap (self->data, self->size);
  g_free (self);
}

GBytes *
bs_s3_memory_to_bytes (gpointer data, gsize size)
{
  Mapping *mapping = g_new (Mapping, 1);

  mapping->data = data;
  mapping->size = size;
  return g_bytes_new_with_free_func (data, size, mapping_free, mapping);
}
