/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-manifest-record-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

G_STATIC_ASSERT (sizeof (BsManifestRecord) == 24);
G_STATIC_ASSERT (G_STRUCT_OFFSET (BsManifestRecord, name) == 24);

static guint64
align (guint64 size)
{
  return (size + BS_MANIFEST_RECORD_ALIGNMENT - 1) & ~(guint64) (BS_MANIFEST_RECORD_ALIGNMENT - 1);
}

static guint32
get_attributes_length (const BsManifestRecord *self)
{
  return GUINT32_FROM_LE (self->attributes_length);
}

static guint64
get_attributes_offset (guint32 name_length)
{
  return align (sizeof (BsManifestRecord) + (guint64) name_length + 1);
}

static const char *
get_attributes (const BsManifestRecord *self)
{
  return (const char *) self + get_attributes_offset (bs_manifest_record_get_name_length (self));
}

static guint64
compute_size (guint32 name_length, guint32 attributes_length)
{
  return get_attributes_offset (name_length) + align (attributes_length);
}

gsize
bs_manifest_record_get_size (const BsManifestRecord *self)
{
  return compute_size (bs_manifest_record_get_name_length (self), get_attributes_length (self));
}

static const char *
check_name_length (gsize length)
{
  if (length == 0)
    return N_ ("the name is empty");
  if (length > G_MAXINT32)
    return N_ ("the name is too long");

  return NULL;
}

const char *
bs_manifest_check_name (const char *name)
{
  const char *reason = check_name_length (strlen (name));

  if (reason == NULL && !g_utf8_validate (name, -1, NULL))
    reason = N_ ("the name is not UTF-8");

  return reason;
}

const char *
bs_manifest_check_attributes (GVariant *attributes)
{
  if (!g_variant_is_of_type (attributes, G_VARIANT_TYPE_VARDICT))
    return N_ ("the attributes are not of the type a{sv}");
  if (g_variant_get_size (attributes) > G_MAXINT32)
    return N_ ("the attributes are too large");

  return NULL;
}

static BsManifestRecord *
record_alloc (const BsKey *key, const char *name, gsize name_length, gsize attributes_length)
{
  BsManifestRecord *self = g_malloc0 (compute_size (name_length, attributes_length));

  self->key = *key;
  self->name_length = GUINT32_TO_LE (name_length);
  self->attributes_length = GUINT32_TO_LE (attributes_length);
  memcpy (self->name, name, name_length);

  return self;
}

BsManifestRecord *
bs_manifest_record_new (const BsKey *key, const char *name, GVariant *attributes)
{
  g_autoptr (GVariant) normal = NULL;
  BsManifestRecord *self;

  if (attributes == NULL)
    return record_alloc (key, name, strlen (name), 0);

  normal = g_variant_get_normal_form (attributes);
#if G_BYTE_ORDER == G_BIG_ENDIAN
  {
    g_autoptr (GVariant) native = g_steal_pointer (&normal);

    normal = g_variant_byteswap (native);
  }
#endif
  self = record_alloc (key, name, strlen (name), g_variant_get_size (normal));
  g_variant_store (normal, (char *) get_attributes (self));

  return self;
}

BsManifestRecord *
bs_manifest_record_copy (const BsManifestRecord *self, const BsKey *key, const char *name)
{
  guint32 attributes_length = get_attributes_length (self);
  BsManifestRecord *copy;

  if (name == NULL)
    name = self->name;
  copy = record_alloc (key != NULL ? key : &self->key, name, strlen (name), attributes_length);
  memcpy ((char *) get_attributes (copy), get_attributes (self), attributes_length);

  return copy;
}

static GVariant *
wrap_attributes (gconstpointer data, gsize length, gboolean trusted)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, length);

  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_VARDICT, bytes, trusted));
}

GVariant *
bs_manifest_record_dup_attributes (const BsManifestRecord *self)
{
  GVariant *attributes =
    wrap_attributes (get_attributes (self), get_attributes_length (self), TRUE);

#if G_BYTE_ORDER == G_BIG_ENDIAN
  {
    g_autoptr (GVariant) little = g_steal_pointer (&attributes);

    attributes = g_variant_byteswap (little);
  }
#endif

  return attributes;
}

static gboolean
are_zeros (const char *from, const char *to)
{
  for (; from < to; from++)
    if (*from != 0)
      return FALSE;

  return TRUE;
}

/* The byte order has no part in the normal form of a dictionary. */
static const char *
check_attributes (const BsManifestRecord *self)
{
  const char *attributes = get_attributes (self);
  guint32 length = get_attributes_length (self);
  g_autoptr (GVariant) variant = NULL;

  if (length == 0)
    return NULL;

  variant = g_variant_ref_sink (
    g_variant_new_from_data (G_VARIANT_TYPE_VARDICT, attributes, length, FALSE, NULL, NULL));
  if (!g_variant_is_normal_form (variant))
    return N_ ("the attributes are no serialised dictionary");
  if (!are_zeros (attributes + length, attributes + align (length)))
    return N_ ("the space behind the attributes is not empty");

  return NULL;
}

const char *
bs_manifest_record_check (const guint8 *data, gsize left)
{
  const BsManifestRecord *self = (const BsManifestRecord *) data;
  const char *reason;
  guint32 length;

  if (left < sizeof (BsManifestRecord))
    return N_ ("the bytes end within an entry");

  length = bs_manifest_record_get_name_length (self);
  reason = check_name_length (length);
  if (reason != NULL)
    return reason;
  if (get_attributes_length (self) > G_MAXINT32)
    return N_ ("the attributes are too large");
  if (compute_size (length, get_attributes_length (self)) > left)
    return N_ ("the bytes end within an entry");
  if (memchr (self->name, 0, length) != NULL)
    return N_ ("the name has a NUL in it");
  if (!g_utf8_validate_len (self->name, length, NULL))
    return N_ ("the name is not UTF-8");
  if (!are_zeros (self->name + length, get_attributes (self)))
    return N_ ("the space behind the name is not empty");

  return check_attributes (self);
}
