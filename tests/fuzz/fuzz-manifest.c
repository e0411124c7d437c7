/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A manifest of any bytes: it is opened, looked at, changed and written. An input is the size
 * of the bytes, in two bytes, the bytes, and then changes, in three bytes each: which, to the
 * entry at which position, and a name or another position. */

#include "fuzz-target.h"

#include <backingstore/backingstore.h>

#include <string.h>

#define HEADER_SIZE 2
#define CHANGE_SIZE 3
#define KEY "00112233-4455-6677-8899-aabbccddeeff"

void
fuzz_clean_up (void)
{
}

static char *
dup_name (BsManifest *manifest, guint position)
{
  g_autoptr (BsManifestEntry) entry = g_list_model_get_item (G_LIST_MODEL (manifest), position);

  return entry != NULL ? bs_manifest_entry_dup_name (entry) : g_strdup ("none");
}

static void
look_at_entry (BsManifest *manifest, guint i)
{
  g_autoptr (BsManifestEntry) entry = g_list_model_get_item (G_LIST_MODEL (manifest), i);
  g_autoptr (BsManifestEntry) found = NULL;
  g_autoptr (GVariant) attributes = bs_manifest_entry_dup_attributes (entry);
  g_autofree char *name = bs_manifest_entry_dup_name (entry);
  g_autofree char *key = bs_manifest_entry_dup_key (entry);
  g_autofree char *printed = g_variant_print (attributes, TRUE);
  guint position = G_MAXUINT;

  g_assert (*name != '\0' && g_utf8_validate (name, -1, NULL));
  g_assert (bs_key_is_valid (key));
  g_assert (g_variant_is_of_type (attributes, G_VARIANT_TYPE_VARDICT));
  g_assert (printed != NULL);
  g_assert (bs_manifest_find (manifest, name, &position) && position == i);
  found = bs_manifest_lookup (manifest, name);
  g_assert (found == entry);
}

/* Its bytes make the same manifest again. */
static void
look_at_all (BsManifest *manifest)
{
  g_autoptr (GBytes) bytes = bs_manifest_to_bytes (manifest);
  g_autoptr (BsManifest) again = bs_manifest_new_from_bytes (bytes, NULL);
  g_autoptr (GBytes) bytes_again = NULL;
  guint n = g_list_model_get_n_items (G_LIST_MODEL (manifest));

  g_assert (again != NULL && g_list_model_get_n_items (G_LIST_MODEL (again)) == n);
  bytes_again = bs_manifest_to_bytes (again);
  g_assert (g_bytes_equal (bytes, bytes_again));
  for (guint i = 0; i < n; i++)
    look_at_entry (manifest, i);
}

static void
change (BsManifest *manifest, guint8 which, guint8 position, guint8 value)
{
  g_autofree char *name = dup_name (manifest, position);
  const char other[] = { 'a' + value % 16, '\0' };
  GVariantDict dict;

  switch (which % 7)
    {
    case 0:
      bs_manifest_add (manifest, other, KEY, NULL, NULL);
      break;
    case 1:
      bs_manifest_remove (manifest, name, NULL);
      break;
    case 2:
      bs_manifest_rename (manifest, name, other, NULL);
      break;
    case 3:
      bs_manifest_move (manifest, name, value, NULL);
      break;
    case 4:
      bs_manifest_set_key (manifest, name, KEY, NULL);
      break;
    case 5:
      g_variant_dict_init (&dict, NULL);
      g_variant_dict_insert (&dict, other, "u", value);
      bs_manifest_set_attributes (manifest, name, g_variant_dict_end (&dict), NULL);
      break;
    default:
      bs_manifest_set_attributes (manifest, name, NULL, NULL);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (BsManifest) manifest = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GBytes) written = NULL;
  g_autoptr (GError) error = NULL;
  gsize n_bytes;

  if (size < HEADER_SIZE)
    return 0;

  n_bytes = MIN (data[0] | (gsize) data[1] << 8, size - HEADER_SIZE);
  bytes = g_bytes_new (data + HEADER_SIZE, n_bytes);
  manifest = bs_manifest_new_from_bytes (bytes, &error);
  g_assert ((manifest != NULL) == (error == NULL));
  if (manifest == NULL)
    {
      g_assert (error->domain == BS_ERROR);
      return 0;
    }

  written = bs_manifest_to_bytes (manifest);
  g_assert (g_bytes_equal (bytes, written));
  look_at_all (manifest);
  for (gsize i = HEADER_SIZE + n_bytes; i + CHANGE_SIZE <= size; i += CHANGE_SIZE)
    change (manifest, data[i], data[i + 1], data[i + 2]);
  look_at_all (manifest);

  return 0;
}

static void
append_input (GByteArray *input, BsManifest *manifest)
{
  g_autoptr (GBytes) bytes = bs_manifest_to_bytes (manifest);
  gsize size = g_bytes_get_size (bytes);
  const guint8 header[HEADER_SIZE] = { size & 0xff, size >> 8 };

  g_byte_array_append (input, header, HEADER_SIZE);
  g_byte_array_append (input, g_bytes_get_data (bytes, NULL), size);
}

/* Manifests of up to four entries, with and without attributes, and each change of them. */
void
fuzz_make_inputs (FuzzInputFunc func, gpointer user_data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();

  for (guint n = 0; n < 5; n++)
    {
      g_autoptr (GByteArray) input = g_byte_array_new ();

      append_input (input, manifest);
      for (guint8 which = 0; which < 7; which++)
        g_byte_array_append (input, (const guint8[]){ which, which % MAX (n, 1), 3 * which },
                             CHANGE_SIZE);
      func (input->data, input->len, user_data);
      change (manifest, 0, 0, n);
      if (n % 2 != 0)
        change (manifest, 5, n, n);
    }
}
