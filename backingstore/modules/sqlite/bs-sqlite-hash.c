/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-hash-private.h"

#include <xxhash.h>

/* Redirects XXH3_64bits() and XXH3_64bits_update() to variants for this processor. */
#ifdef HAVE_XXH_X86DISPATCH
#include <immintrin.h>
#include <xxh_x86dispatch.h>

/* xxhash leaves the upper halves of the vector registers in use, which slows down code
 * that uses the lower halves alone. */
__attribute__ ((target ("avx"))) static void
release_upper_halves (void)
{
  _mm256_zeroupper ();
}

static void
prepare_vectors (void)
{
  static gsize prepared;

  /* xxhash inspects the processor in its first call, without a lock. */
  if (g_once_init_enter (&prepared))
    {
      XXH3_64bits ("", 0);
      g_once_init_leave (&prepared, TRUE);
    }
}

static void
release_vectors (void)
{
  if (__builtin_cpu_supports ("avx"))
    release_upper_halves ();
}
#else
static inline void
prepare_vectors (void)
{
}
static inline void
release_vectors (void)
{
}
#endif

guint64
bs_sqlite_hash (GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);
  guint64 hash;

  prepare_vectors ();
  hash = XXH3_64bits (data, size);
  release_vectors ();

  return hash & BS_SQLITE_HASH_MASK;
}

BsSqliteHasher *
bs_sqlite_hasher_new (void)
{
  XXH3_state_t *state = XXH3_createState ();

  if (state == NULL)
    g_error ("no memory for the state of a hash");
  prepare_vectors ();
  XXH3_64bits_reset (state);

  return (BsSqliteHasher *) state;
}

void
bs_sqlite_hasher_add (BsSqliteHasher *self, gconstpointer data, gsize size)
{
  XXH3_64bits_update ((XXH3_state_t *) self, data, size);
  release_vectors ();
}

guint64
bs_sqlite_hasher_end (BsSqliteHasher *self)
{
  XXH3_state_t *state = (XXH3_state_t *) self;
  guint64 hash = XXH3_64bits_digest (state) & BS_SQLITE_HASH_MASK;

  XXH3_freeState (state);
  return hash;
}
