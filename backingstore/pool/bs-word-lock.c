/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-word-lock-private.h"

#define N_SPINS 64
#define N_YIELDS 64
#define NAP 50 /* microseconds */

guintptr
bs_word_lock_contended (guintptr *word)
{
  for (guint n = 0;; n++)
    {
      guintptr value = __atomic_load_n (word, __ATOMIC_RELAXED);

      if ((value & BS_WORD_LOCKED) == 0 &&
          __atomic_compare_exchange_n (word, &value, value | BS_WORD_LOCKED, FALSE, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return value;

      /* Its holder has lost the processor. One of lower priority than this
       * thread gets it back only while this one sleeps. */
      if (n >= N_SPINS + N_YIELDS)
        g_usleep (NAP);
      else if (n >= N_SPINS)
        g_thread_yield ();
    }
}
