/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gegl.h>

G_BEGIN_DECLS

/* Work that a painting program asks of GEGL, the same each time. */
typedef enum
{
  WORKLOAD_CHAIN = 1 << 0,     /* blur, unsharp mask, rotate, scale */
  WORKLOAD_WRITES = 1 << 1,    /* strokes all over the image */
  WORKLOAD_SNAPSHOTS = 1 << 2, /* an undo history of them, half of which is undone */
} Workload;

/* Tells GEGL where its swap is, how large its cache is, and that it has two threads. */
void       workload_init      (const char *directory, guint64 cache_size);

/* Returns each buffer that is there at the end: images and snapshots. */
GPtrArray *workload_run       (Workload workload, int size);

/* A sum over all pixels, one after the other. */
guint64    workload_sum       (GPtrArray *buffers);

/* The number of pixels. */
guint64    workload_count     (GPtrArray *buffers);

/* Returns whether each pixel is the same in both; if not, it prints the first. */
gboolean   workload_compare   (GPtrArray *buffers, GPtrArray *others);

G_END_DECLS
