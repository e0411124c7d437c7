/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include <backingstore/backingstore.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* Loaded before the library into a gallery, which fails if one of its two pools is alive
 * when it ends: items, lists and widgets that are left hold their pool. */

#define N_POOLS 2

static GWeakRef pools[N_POOLS];
static guint n_pools;

G_MODULE_EXPORT BsPool *
bs_pool_new_with_codec (BsBackingStore *store, BsCodec *codec, guint64 max_bytes)
{
  BsPool *(*new_with_codec) (BsBackingStore * store, BsCodec * codec, guint64 max_bytes) =
    dlsym (RTLD_NEXT, "bs_pool_new_with_codec");
  BsPool *self = new_with_codec (store, codec, max_bytes);

  if (n_pools < N_POOLS)
    g_weak_ref_init (&pools[n_pools], self);
  n_pools++;
  return self;
}

static gboolean
is_alive (GWeakRef *pool)
{
  g_autoptr (GObject) alive = g_weak_ref_get (pool);

  return alive != NULL;
}

__attribute__ ((destructor)) static void
check_pools (void)
{
  /* The callback of a load that was cancelled last may be still to come. */
  gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

  for (guint i = 0; i < MIN (n_pools, N_POOLS); i++)
    while (is_alive (&pools[i]) && g_get_monotonic_time () < end)
      g_main_context_iteration (NULL, FALSE);
  for (guint i = 0; i < N_POOLS; i++)
    if (n_pools != N_POOLS || is_alive (&pools[i]))
      {
        fprintf (stderr, "%u pools, and number %u is alive\n", n_pools, i);
        _Exit (3);
      }
}
