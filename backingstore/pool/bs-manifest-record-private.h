/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"

G_BEGIN_DECLS

/* An entry of a manifest as its bytes have it: immutable, and the same in memory, so
 * that an opened manifest needs no copy. Aligned to eight bytes, and a multiple of
 * eight long. Numbers are little-endian. */
typedef struct
{
  BsKey key;
  guint32 name_length;          /* without the NUL */
  guint32 attributes_length;
  char name[];                  /* a NUL, zeros up to eight, the attributes, zeros up to eight */
} BsManifestRecord;

#define BS_MANIFEST_RECORD_ALIGNMENT 8

static inline guint32
bs_manifest_record_get_name_length (const BsManifestRecord *self)
{
  return GUINT32_FROM_LE (self->name_length);
}

/* The reason why a manifest cannot have the name, or the attributes; NULL where it can. */
const char       *bs_manifest_check_name          (const char *name);
const char       *bs_manifest_check_attributes    (GVariant *attributes);

/* `attributes` is nullable, else checked, and not floating. */
BsManifestRecord *bs_manifest_record_new          (const BsKey *key, const char *name, GVariant *attributes) G_GNUC_WARN_UNUSED_RESULT;
/* A copy with another key, or another name; NULL for the same. */
BsManifestRecord *bs_manifest_record_copy         (const BsManifestRecord *self, const BsKey *key, const char *name) G_GNUC_WARN_UNUSED_RESULT;

gsize             bs_manifest_record_get_size     (const BsManifestRecord *self);
GVariant         *bs_manifest_record_dup_attributes (const BsManifestRecord *self) G_GNUC_WARN_UNUSED_RESULT;

/* Whether a record that nobody vouches for stands at the start of `left` aligned bytes:
 * NULL where it does, else the reason why not. */
const char       *bs_manifest_record_check        (const guint8 *data, gsize left);

G_END_DECLS
