/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A pointer whose lowest bit is the lock for its changes. A thread holds the lock for a
 * few instructions, and takes no mutex and calls nothing out meanwhile. */

static inline gpointer
bs_locked_pointer_get (gpointer *pointer)
{
  return (gpointer) ((guintptr) g_atomic_pointer_get (pointer) & ~(guintptr) 1);
}

static inline gpointer
bs_locked_pointer_lock (gpointer *pointer)
{
  /* GLib's function, which waits, where another thread has it. */
  if (G_UNLIKELY (g_atomic_pointer_or (pointer, 1) & 1))
    g_pointer_bit_lock (pointer, 0);
  return bs_locked_pointer_get (pointer);
}

static inline void
bs_locked_pointer_unlock (gpointer *pointer)
{
  g_pointer_bit_unlock (pointer, 0);
}

static inline gpointer
bs_locked_pointer_exchange (gpointer *pointer, gpointer value)
{
  gpointer old = bs_locked_pointer_lock (pointer);

  g_atomic_pointer_set (pointer, (gpointer) ((guintptr) value | 1));
  bs_locked_pointer_unlock (pointer);
  return old;
}

G_END_DECLS
