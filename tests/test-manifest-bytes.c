/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include <backingstore/backingstore.h>

#include <string.h>
#include <unistd.h>

/* The bytes of a manifest, honest and hostile. */

#define HEADER_SIZE 16
#define RECORD_SIZE 24

static const guint8 honest[] = {
  'B', 's', 'M', 'a', 'n', 'i', 'f', '\n', 1, 0, 0, 0, 2, 0, 0, 0,
  /* at 16: a key, the length of the name and of the attributes, the name */
  0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 5,
  0, 0, 0, 0, 0, 0, 0, 'c', 'o', 'v', 'e', 'r', 0, 0, 0,
  /* at 48 */
  0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 8,
  0, 0, 0, 20, 0, 0, 0, 'p', 'a', 'g', 'e', ' ', '1', '2', '3', 0, 0, 0, 0, 0, 0, 0, 0,
  /* at 88: {'title': <int64 258>} */
  't', 'i', 't', 'l', 'e', 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 'x', 6, 19, 0, 0, 0, 0
};

/* One byte, or four of a number, are other ones. */
typedef struct
{
  const char *title;
  gsize offset;
  guint32 value;
  gboolean is_number;
  const char *message;
} Damage;

static const Damage damages[] = {
  { "magic", 0, 'b', FALSE, "at byte 0, the bytes do not begin" },
  { "text-mode", 7, '\r', FALSE, "at byte 0, the bytes do not begin" },
  { "version-0", 8, 0, TRUE, "at byte 8, the version" },
  { "more-entries", 12, 3, TRUE, "at byte 112, the bytes end within an entry" },
  { "most-entries", 12, G_MAXUINT32, TRUE, "at byte 12, there are more entries" },
  { "fewer-entries", 12, 1, TRUE, "at byte 48, there is something behind the last entry" },
  { "no-entries", 12, 0, TRUE, "at byte 16, there is something behind the last entry" },
  { "empty-name", 32, 0, TRUE, "at byte 16, the name is empty" },
  { "shorter-name", 32, 4, TRUE, "at byte 16, the space behind the name is not empty" },
  { "longer-name", 32, 6, TRUE, "at byte 16, the name has a NUL in it" },
  { "long-name", 32, 88, TRUE, "at byte 16, the bytes end within an entry" },
  { "longest-name", 32, G_MAXINT32, TRUE, "at byte 16, the bytes end within an entry" },
  { "too-long-name", 32, G_MAXUINT32, TRUE, "at byte 16, the name is too long" },
  { "nul-in-name", 41, 0, FALSE, "at byte 16, the name has a NUL in it" },
  { "latin-1-name", 41, 0xe9, FALSE, "at byte 16, the name is not UTF-8" },
  { "behind-name", 46, 1, FALSE, "at byte 16, the space behind the name is not empty" },
  { "no-terminator", 45, 's', FALSE, "at byte 16, the space behind the name is not empty" },
  { "attributes-appear", 36, 8, TRUE, "at byte 16, the attributes are no serialised" },
  { "attributes-too-long", 68, 25, TRUE, "at byte 48, the bytes end within an entry" },
  { "attributes-longest", 68, G_MAXUINT32 - 7, TRUE, "at byte 48, the attributes are too large" },
  { "attributes-shorter", 68, 19, TRUE, "at byte 48, the attributes are no serialised" },
  { "attributes-go", 68, 0, TRUE, "at byte 88, there is something behind the last entry" },
  { "attributes-offset", 106, 200, FALSE, "at byte 48, the attributes are no serialised" },
  { "attributes-type", 105, '?', FALSE, "at byte 48, the attributes are no serialised" },
  { "behind-attributes", 111, 1, FALSE, "at byte 48, the space behind the attributes" },
};

static GBytes *
copy_honest (gsize size)
{
  g_assert_cmpuint (size, <=, sizeof honest);
  return g_bytes_new (honest, size);
}

static void
assert_corrupt (GBytes *bytes, const char *message)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_manifest_new_from_bytes (bytes, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, message));
}

static BsManifest *
open (GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  BsManifest *manifest = bs_manifest_new_from_bytes (bytes, &error);

  g_assert_no_error (error);
  return manifest;
}

static void
test_format (void)
{
  g_autoptr (GBytes) bytes = copy_honest (sizeof honest);
  g_autoptr (BsManifest) manifest = open (bytes);
  g_autoptr (BsManifestEntry) cover = bs_manifest_lookup (manifest, "cover");
  g_autoptr (BsManifestEntry) page = g_list_model_get_item (G_LIST_MODEL (manifest), 1);
  g_autoptr (GVariant) title = NULL;
  g_autoptr (GBytes) again = NULL;
  g_autofree char *name = NULL;
  g_autofree char *key = NULL;

  key = bs_manifest_entry_dup_key (cover);
  g_assert_cmpstr (key, ==, "00112233-4455-6677-8899-aabbccddeeff");
  name = bs_manifest_entry_dup_name (page);
  g_assert_cmpstr (name, ==, "page 123");
  title = bs_manifest_entry_lookup_attribute (page, "title", G_VARIANT_TYPE_INT64);
  g_assert_nonnull (title);
  g_assert_cmpint (g_variant_get_int64 (title), ==, 258);

  again = bs_manifest_to_bytes (manifest);
  g_assert_true (g_bytes_equal (bytes, again));
}

static void
test_made (void)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (GBytes) expected = copy_honest (sizeof honest);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "title", "x", G_GINT64_CONSTANT (258));
  g_assert_true (bs_manifest_add (manifest, "page 123", "ffeeddccbbaa99887766554433221100",
                                  g_variant_dict_end (&dict), &error));
  g_assert_true (
    bs_manifest_add (manifest, "other", "00112233445566778899aabbccddeeff", NULL, &error));
  g_assert_true (bs_manifest_move (manifest, "other", 0, &error));
  g_assert_true (bs_manifest_rename (manifest, "other", "cover", &error));
  bytes = bs_manifest_to_bytes (manifest);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), honest, sizeof honest);
}

static void
test_empty (void)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (GBytes) bytes = bs_manifest_to_bytes (manifest);
  g_autoptr (GBytes) nothing = g_bytes_new (NULL, 0);
  g_autoptr (BsManifest) read = open (bytes);

  g_assert_cmpuint (g_bytes_get_size (bytes), ==, HEADER_SIZE);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (read)), ==, 0);
  assert_corrupt (nothing, "at byte 0, the bytes end within the header");
}

/* No address need be aligned, and the slice's bytes may go with the manifest. */
static void
test_unaligned (void)
{
  for (guint offset = 0; offset < 9; offset++)
    {
      g_autofree guint8 *data = g_malloc0 (sizeof honest + offset);
      g_autoptr (GBytes) whole = NULL;
      g_autoptr (GBytes) slice = NULL;
      g_autoptr (BsManifest) manifest = NULL;
      g_autoptr (GBytes) again = NULL;

      memcpy (data + offset, honest, sizeof honest);
      whole = g_bytes_new (data, sizeof honest + offset);
      slice = g_bytes_new_from_bytes (whole, offset, sizeof honest);
      manifest = open (slice);
      again = bs_manifest_to_bytes (manifest);
      g_assert_true (g_bytes_equal (slice, again));
    }
}

static void
test_damage (gconstpointer data)
{
  const Damage *damage = data;
  g_autofree guint8 *copy = g_memdup2 (honest, sizeof honest);
  guint32 number = GUINT32_TO_LE (damage->value);
  g_autoptr (GBytes) bytes = NULL;

  if (damage->is_number)
    memcpy (copy + damage->offset, &number, sizeof number);
  else
    copy[damage->offset] = damage->value;
  bytes = g_bytes_new (copy, sizeof honest);
  assert_corrupt (bytes, damage->message);
}

static void
test_truncated (void)
{
  for (gsize size = 0; size < sizeof honest; size++)
    {
      g_autoptr (GBytes) bytes = copy_honest (size);

      assert_corrupt (bytes, "at byte ");
    }
}

static void
test_trailing (void)
{
  for (gsize more = 1; more < 40; more++)
    {
      g_autofree guint8 *copy = g_malloc0 (sizeof honest + more);
      g_autoptr (GBytes) bytes = NULL;

      memcpy (copy, honest, sizeof honest);
      bytes = g_bytes_new (copy, sizeof honest + more);
      assert_corrupt (bytes, "at byte 112, there is something behind the last entry");
    }
}

static void
test_duplicate (void)
{
  g_autofree guint8 *copy = g_malloc0 (HEADER_SIZE + 2 * 32);
  g_autoptr (GBytes) bytes = NULL;

  memcpy (copy, honest, HEADER_SIZE + 32);
  memcpy (copy + HEADER_SIZE + 32, honest + HEADER_SIZE, 32);
  bytes = g_bytes_new (copy, HEADER_SIZE + 2 * 32);
  assert_corrupt (bytes, "at byte 48, the name is taken");
}

static void
test_future (void)
{
  g_autofree guint8 *copy = g_memdup2 (honest, sizeof honest);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  copy[8] = 2;
  bytes = g_bytes_new (copy, HEADER_SIZE);
  g_assert_null (bs_manifest_new_from_bytes (bytes, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "version 2"));
}

/* Any bytes are refused, or are a manifest that gives the same bytes, and that every
 * function can use. */
static gboolean
try_bytes (const guint8 *data, gsize size)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (BsManifest) manifest = bs_manifest_new_from_bytes (bytes, &error);
  g_autoptr (GBytes) again = NULL;
  guint n_items;

  if (manifest == NULL)
    {
      g_assert_true (error->domain == BS_ERROR);
      g_assert_true (error->code == BS_ERROR_CORRUPT || error->code == BS_ERROR_NOT_SUPPORTED);
      return FALSE;
    }

  again = bs_manifest_to_bytes (manifest);
  g_assert_true (g_bytes_equal (bytes, again));
  n_items = g_list_model_get_n_items (G_LIST_MODEL (manifest));
  for (guint i = 0; i < n_items; i++)
    {
      g_autoptr (BsManifestEntry) entry = g_list_model_get_item (G_LIST_MODEL (manifest), i);
      g_autoptr (GVariant) attributes = bs_manifest_entry_dup_attributes (entry);
      g_autofree char *name = bs_manifest_entry_dup_name (entry);
      g_autofree char *key = bs_manifest_entry_dup_key (entry);
      g_autofree char *printed = g_variant_print (attributes, TRUE);
      guint position;

      g_assert_true (g_utf8_validate (name, -1, NULL) && *name != 0);
      g_assert_true (bs_key_is_valid (key));
      g_assert_true (bs_manifest_find (manifest, name, &position));
      g_assert_cmpuint (position, ==, i);
      g_assert_true (bs_manifest_set_attributes (manifest, name, NULL, &error));
      g_assert_nonnull (printed);
    }

  return TRUE;
}

static GBytes *
make_random (void)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();

  for (guint i = g_random_int_range (0, 6); i > 0; i--)
    {
      g_autofree char *name = g_strnfill (g_random_int_range (1, 20), 'a' + i);
      g_autofree char *key = bs_key_generate ();
      GVariantDict dict;

      g_variant_dict_init (&dict, NULL);
      if (g_random_boolean ())
        g_variant_dict_insert (&dict, "title", "s", name);
      if (g_random_boolean ())
        g_variant_dict_insert (&dict, "place", "(dd)", 1.0, 2.0);
      if (g_random_boolean ())
        g_variant_dict_insert (&dict, "tags", "as", NULL);
      g_assert_true (bs_manifest_add (manifest, name, key, g_variant_dict_end (&dict), NULL));
    }

  return bs_manifest_to_bytes (manifest);
}

/* Values that lengths and counts dislike. */
static guint32
pick_number (void)
{
  static const guint32 numbers[] = { 0,  1,          2,          7,          8,
                                     24, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };

  return numbers[g_random_int_range (0, G_N_ELEMENTS (numbers))];
}

static void
mutate (guint8 *data, gsize *size)
{
  gsize at = g_random_int_range (0, MAX (*size, 1));
  gsize other = g_random_int_range (0, MAX (*size, 1));
  gsize length = g_random_int_range (0, 40);
  guint32 number = GUINT32_TO_LE (pick_number ());

  switch (g_random_int_range (0, 6))
    {
    case 0:
      data[at] ^= 1 << g_random_int_range (0, 8);
      break;
    case 1:
      data[at] = g_random_int ();
      break;
    case 2:
      if (at / 4 * 4 + 4 <= *size)
        memcpy (data + at / 4 * 4, &number, sizeof number);
      break;
    case 3:
      *size = at;
      break;
    case 4:
      memmove (data + at, data + other, MIN (length, *size - MAX (at, other)));
      break;
    default:
      if (at + 1 < *size)
        {
          memmove (data + at, data + at + 1, *size - at - 1);
          (*size)--;
        }
      break;
    }
}

static void
test_fuzz (void)
{
  guint n_rounds = g_test_slow () ? 3000000 : 15000;
  guint n_good = 0;

  for (guint i = 0; i < n_rounds; i++)
    {
      g_autoptr (GBytes) seed = i % 4 == 0 ? copy_honest (sizeof honest) : make_random ();
      gsize size = g_bytes_get_size (seed);
      g_autofree guint8 *data = g_malloc0 (size + 1);

      memcpy (data, g_bytes_get_data (seed, NULL), size);
      for (int n = g_random_int_range (1, 4); n > 0 && size > 0; n--)
        mutate (data, &size);
      n_good += try_bytes (data, size);
      alarm (100);
    }

  /* Keys are any bytes, so some changes do no harm; others must. */
  g_assert_cmpuint (n_good, >, 0);
  g_assert_cmpuint (n_good, <, n_rounds);
}

/* Names that one process has found to collide do so in no other: here, that many names
 * of one length are found as quickly as any, whatever they are. */
static void
test_many (void)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autofree char *key = bs_key_generate ();
  g_autoptr (BsManifest) read = NULL;
  g_autoptr (GBytes) bytes = NULL;

  for (guint i = 0; i < 100000; i++)
    {
      g_autofree char *name = g_strdup_printf ("%08x", i << 12 | i >> 20);

      g_assert_true (bs_manifest_add (manifest, name, key, NULL, NULL));
    }
  bytes = bs_manifest_to_bytes (manifest);
  read = open (bytes);
  for (guint i = 0; i < 100000; i++)
    {
      g_autofree char *name = g_strdup_printf ("%08x", i << 12 | i >> 20);
      guint position;

      g_assert_true (bs_manifest_find (read, name, &position));
      g_assert_cmpuint (position, ==, i);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  alarm (100);

  g_test_add_func ("/manifest-bytes/format", test_format);
  g_test_add_func ("/manifest-bytes/made", test_made);
  g_test_add_func ("/manifest-bytes/empty", test_empty);
  g_test_add_func ("/manifest-bytes/unaligned", test_unaligned);
  for (guint i = 0; i < G_N_ELEMENTS (damages); i++)
    {
      g_autofree char *path = g_strconcat ("/manifest-bytes/damage/", damages[i].title, NULL);

      g_test_add_data_func (path, &damages[i], test_damage);
    }
  g_test_add_func ("/manifest-bytes/truncated", test_truncated);
  g_test_add_func ("/manifest-bytes/trailing", test_trailing);
  g_test_add_func ("/manifest-bytes/duplicate", test_duplicate);
  g_test_add_func ("/manifest-bytes/future", test_future);
  g_test_add_func ("/manifest-bytes/fuzz", test_fuzz);
  g_test_add_func ("/manifest-bytes/many", test_many);

  return g_test_run ();
}
