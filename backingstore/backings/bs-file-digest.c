/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "config.h"

#include "bs-file-digest-private.h"

#include <errno.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <xxhash.h>

/* Redirects XXH3_64bits() and XXH3_64bits_update() to variants for this processor. */
#ifdef HAVE_XXH_X86DISPATCH
#include <immintrin.h>
#include <xxh_x86dispatch.h>
#endif

#define ATTRIBUTE_NAME "user.backingstore"
#define ATTRIBUTE_VERSION 2

/* The attribute as it is stored; its numbers are little-endian. */
typedef struct
{
  guint8 version;
  guint8 reserved[7]; /* zero */
  guint64 length;
  guint64 hash; /* XXH3, 64 bits, seed 0 */
  guint64 time; /* not in version 1 */
} Attribute;

G_STATIC_ASSERT (sizeof (Attribute) == 32);

#ifdef HAVE_XXH_X86DISPATCH
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

void
bs_file_hasher_init (BsFileHasher *self, guint64 total)
{
  prepare_vectors ();
  self->state = NULL;
  self->digest.length = 0;
  self->digest.hash = 0;

  /* The size of the state may change with the version of xxhash. */
  if (total > BS_FILE_CHUNK_SIZE)
    {
      self->state = XXH3_createState ();
      if (self->state == NULL)
        g_error ("no memory for the state of a hash");
      XXH3_64bits_reset (self->state);
    }
}

void
bs_file_hasher_add (BsFileHasher *self, const guint8 *chunk, gsize size)
{
  if (self->state != NULL)
    XXH3_64bits_update (self->state, chunk, size);
  else
    self->digest.hash = XXH3_64bits (chunk, size);
  release_vectors ();

  self->digest.length += size;
}

/* Frees the state. */
void
bs_file_hasher_end (BsFileHasher *self, BsFileDigest *digest)
{
  if (self->state != NULL)
    self->digest.hash = XXH3_64bits_digest (self->state);
  else if (self->digest.length == 0)
    self->digest.hash = XXH3_64bits ("", 0);

  g_clear_pointer ((XXH3_state_t **) &self->state, XXH3_freeState);
  *digest = self->digest;
}

static gssize
get_size (guint8 version)
{
  return version == 1 ? G_STRUCT_OFFSET (Attribute, time) : sizeof (Attribute);
}

/* An attribute that is longer than those of known versions. */
static int
load_long (int fd)
{
  g_autofree guint8 *value = g_malloc (XATTR_SIZE_MAX);
  gssize size = fgetxattr (fd, ATTRIBUTE_NAME, value, XATTR_SIZE_MAX);

  if (size < 0)
    return errno;

  return size > 0 && value[0] > ATTRIBUTE_VERSION ? 0 : EILSEQ;
}

int
bs_file_digest_load (int fd, BsFileDigest *digest, gboolean *known)
{
  Attribute attribute = { 0 };
  const guint8 zeros[sizeof attribute.reserved] = { 0 };
  gssize size = fgetxattr (fd, ATTRIBUTE_NAME, &attribute, sizeof attribute);

  *known = FALSE;
  if (size < 0 && errno == ERANGE)
    return load_long (fd);
  if (size < 0)
    return errno == ENODATA || bs_file_digest_is_refusal (errno) ? 0 : errno;

  /* The attribute of a newer version does not make the blob bad. */
  if (size > 0 && attribute.version > ATTRIBUTE_VERSION)
    return 0;

  if (size == 0 || attribute.version == 0 || size != get_size (attribute.version) ||
      memcmp (attribute.reserved, zeros, sizeof zeros) != 0)
    return EILSEQ;

  digest->length = GUINT64_FROM_LE (attribute.length);
  digest->hash = GUINT64_FROM_LE (attribute.hash);
  digest->time = (gint64) GUINT64_FROM_LE (attribute.time);
  *known = TRUE;

  return 0;
}

/* Returns 0 if the time can't be had: then nothing speaks for a replaced content. */
static gint64
get_time (int fd)
{
  struct stat status;

  if (fstat (fd, &status) != 0)
    return 0;

  return status.st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + status.st_mtim.tv_nsec;
}

int
bs_file_digest_mismatch (int fd, const BsFileDigest *digest)
{
  gint64 time = digest->time != 0 ? get_time (fd) : 0;

  return time != 0 && time != digest->time ? 0 : EILSEQ;
}

int
bs_file_digest_store (int fd, const BsFileDigest *digest)
{
  const Attribute attribute = {
    .version = ATTRIBUTE_VERSION,
    .length = GUINT64_TO_LE (digest->length),
    .hash = GUINT64_TO_LE (digest->hash),
    .time = GUINT64_TO_LE ((guint64) get_time (fd)),
  };

  return fsetxattr (fd, ATTRIBUTE_NAME, &attribute, sizeof attribute, 0) == 0 ? 0 : errno;
}

/* ENOSPC and EDQUOT are failures: the disk is full. */
gboolean
bs_file_digest_is_refusal (int code)
{
  switch (code)
    {
    case ENOTSUP:
    case ENOSYS:
    case EPERM:
    case EACCES:
    case E2BIG:
      return TRUE;
    default:
      return FALSE;
    }
}
