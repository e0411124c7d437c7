/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib-object.h>

/* Waits until a condition holds that other threads bring about; callbacks run meanwhile. */
#define wait_until(condition)                     \
  G_STMT_START                                    \
  {                                               \
    while (!(condition))                          \
      {                                           \
        g_main_context_iteration (NULL, FALSE);   \
        g_thread_yield ();                        \
      }                                           \
  }                                               \
  G_STMT_END

/* Drops a reference on an object that another thread may still hold for a moment, since it
 * is just finishing, and waits until the object is gone. */
static inline void
assert_goes (gpointer object)
{
  GWeakRef weak;
  GObject *alive;

  g_weak_ref_init (&weak, object);
  g_object_unref (object);
  while ((alive = g_weak_ref_get (&weak)) != NULL)
    {
      g_object_unref (alive);
      g_main_context_iteration (NULL, FALSE);
      g_thread_yield ();
    }
  g_weak_ref_clear (&weak);
}
