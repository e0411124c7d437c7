/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A word, such as a pointer, whose lowest bit is its own lock: what stands
 * behind the word stays while it is locked. For a few instructions at a time;
 * nothing is ever called out to, and no mutex taken, while one is held. */

#define BS_WORD_LOCKED ((guintptr) 1)

guintptr bs_word_lock_contended (guintptr *word);

static inline guintptr
bs_word_lock (guintptr *word)
{
  guintptr value = __atomic_load_n (word, __ATOMIC_RELAXED) & ~BS_WORD_LOCKED;

  if (G_LIKELY (__atomic_compare_exchange_n (word, &value, value | BS_WORD_LOCKED, FALSE, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
    return value;

  return bs_word_lock_contended (word);
}

/* The word may be another one then. */
static inline void
bs_word_unlock (guintptr *word, guintptr value)
{
  __atomic_store_n (word, value, __ATOMIC_RELEASE);
}

/* For those who keep the word from being changed in another way. */
static inline guintptr
bs_word_peek (guintptr *word)
{
  return __atomic_load_n (word, __ATOMIC_RELAXED) & ~BS_WORD_LOCKED;
}

G_END_DECLS
