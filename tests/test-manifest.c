/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

/* A manifest as a set of names and as a list, without any save. */

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture_set_up (fixture, G_MAXINT64);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  fixture_tear_down (fixture);
}

#define test_add(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)

static GVariant *
attributes_new (const char *title)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "title", "s", title);
  return g_variant_dict_end (&dict);
}

static void
add (BsManifest *manifest, const char *name, const char *key)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_manifest_add (manifest, name, key, NULL, &error));
  g_assert_no_error (error);
}

static void
add_new (BsManifest *manifest, const char *name)
{
  g_autofree char *key = bs_key_generate ();

  add (manifest, name, key);
}

static guint
get_n_items (BsManifest *manifest)
{
  guint n_items;

  g_object_get (manifest, "n-items", &n_items, NULL);
  g_assert_cmpuint (n_items, ==, g_list_model_get_n_items (G_LIST_MODEL (manifest)));
  return n_items;
}

static char *
join_names (BsManifest *manifest)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < get_n_items (manifest); i++)
    {
      g_autoptr (BsManifestEntry) entry = g_list_model_get_item (G_LIST_MODEL (manifest), i);
      g_autofree char *name = bs_manifest_entry_dup_name (entry);
      guint position;

      g_string_append_printf (names, "%s%s", i > 0 ? " " : "", name);
      g_assert_true (bs_manifest_find (manifest, name, &position));
      g_assert_cmpuint (position, ==, i);
    }

  return g_string_free (g_steal_pointer (&names), FALSE);
}

#define assert_names(manifest, expected)                                                           \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autofree char *__names = join_names (manifest);                                              \
                                                                                                   \
    g_assert_cmpstr (__names, ==, expected);                                                       \
  }                                                                                                \
  G_STMT_END

static void
assert_key (BsManifest *manifest, const char *name, const char *expected)
{
  g_autoptr (BsManifestEntry) entry = bs_manifest_lookup (manifest, name);
  g_autofree char *key = NULL;

  g_assert_nonnull (entry);
  key = bs_manifest_entry_dup_key (entry);
  g_assert_cmpstr (key, ==, expected);
}

static void
test_names (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autofree char *key = bs_key_generate ();
  g_autofree char *upper = g_ascii_strup (key, -1);
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (get_n_items (manifest), ==, 0);
  g_assert_null (g_list_model_get_item (G_LIST_MODEL (manifest), 0));
  g_assert_null (bs_manifest_lookup (manifest, "a"));
  g_assert_false (bs_manifest_find (manifest, "a", NULL));

  add (manifest, "a", upper);
  add (manifest, "ü", key);
  add_new (manifest, "c");
  assert_names (manifest, "a ü c");
  assert_key (manifest, "a", key);
  assert_key (manifest, "ü", key);
  g_assert_null (g_list_model_get_item (G_LIST_MODEL (manifest), 3));

  g_assert_true (bs_manifest_rename (manifest, "a", "d", &error));
  g_assert_true (bs_manifest_rename (manifest, "d", "d", &error));
  assert_names (manifest, "d ü c");
  assert_key (manifest, "d", key);
  g_assert_null (bs_manifest_lookup (manifest, "a"));

  g_assert_true (bs_manifest_remove (manifest, "ü", &error));
  assert_names (manifest, "d c");
  add_new (manifest, "ü");
  assert_names (manifest, "d c ü");

  g_assert_true (bs_manifest_move (manifest, "ü", 0, &error));
  assert_names (manifest, "ü d c");
  g_assert_true (bs_manifest_move (manifest, "ü", 1, &error));
  assert_names (manifest, "d ü c");
  g_assert_true (bs_manifest_move (manifest, "d", G_MAXUINT, &error));
  assert_names (manifest, "ü c d");
  g_assert_no_error (error);
}

/* Each fails, and changes nothing. */
#define assert_refused(call, domain, code, ...)                                                    \
  G_STMT_START                                                                                     \
  {                                                                                                \
    const char *__words[] = { __VA_ARGS__ };                                                       \
    g_autoptr (GError) error = NULL;                                                               \
                                                                                                   \
    g_assert_false (call);                                                                         \
    g_assert_error (error, domain, code);                                                          \
    for (guint __i = 0; __i < G_N_ELEMENTS (__words); __i++)                                       \
      g_assert_nonnull (strstr (error->message, __words[__i]));                                    \
    assert_names (manifest, "a b");                                                                \
    assert_key (manifest, "a", key);                                                               \
    assert_key (manifest, "b", key);                                                               \
  }                                                                                                \
  G_STMT_END

static void
test_refusals (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GVariant) list = g_variant_ref_sink (g_variant_new_strv (NULL, 0));
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'x');
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autofree char *key = bs_key_generate ();

  add (manifest, "a", key);
  add (manifest, "b", key);
  assert_refused (bs_manifest_add (manifest, "a", key, NULL, &error), BS_ERROR, BS_ERROR_EXISTS,
                  "Adding", "“a”");
  assert_refused (bs_manifest_add_item (manifest, "a", item, NULL, &error), BS_ERROR,
                  BS_ERROR_EXISTS, "Adding", "“a”");
  assert_refused (bs_manifest_add (manifest, "c", "x", NULL, &error), BS_ERROR,
                  BS_ERROR_INVALID_KEY, "Adding", "“c”", "“x”");
  assert_refused (bs_manifest_add (manifest, "", key, NULL, &error), G_IO_ERROR,
                  G_IO_ERROR_INVALID_ARGUMENT, "empty");
  assert_refused (bs_manifest_add_item (manifest, "\xff", item, NULL, &error), G_IO_ERROR,
                  G_IO_ERROR_INVALID_ARGUMENT, "UTF-8");
  assert_refused (bs_manifest_add (manifest, "c", key, list, &error), G_IO_ERROR,
                  G_IO_ERROR_INVALID_ARGUMENT, "“c”", "a{sv}");
  assert_refused (bs_manifest_set_attributes (manifest, "a", list, &error), G_IO_ERROR,
                  G_IO_ERROR_INVALID_ARGUMENT, "“a”", "a{sv}");
  assert_refused (bs_manifest_set_attributes (manifest, "c", NULL, &error), BS_ERROR,
                  BS_ERROR_NOT_FOUND, "Changing", "“c”");
  assert_refused (bs_manifest_set_key (manifest, "a", "x", &error), BS_ERROR, BS_ERROR_INVALID_KEY,
                  "Changing", "“a”", "“x”");
  assert_refused (bs_manifest_set_key (manifest, "c", key, &error), BS_ERROR, BS_ERROR_NOT_FOUND,
                  "Changing", "“c”");
  assert_refused (bs_manifest_set_item (manifest, "c", item, &error), BS_ERROR, BS_ERROR_NOT_FOUND,
                  "Changing", "“c”");
  assert_refused (bs_manifest_set_item (manifest, "c", NULL, &error), BS_ERROR, BS_ERROR_NOT_FOUND,
                  "Changing", "“c”");
  assert_refused (bs_manifest_remove (manifest, "c", &error), BS_ERROR, BS_ERROR_NOT_FOUND,
                  "Removing", "“c”");
  assert_refused (bs_manifest_rename (manifest, "c", "d", &error), BS_ERROR, BS_ERROR_NOT_FOUND,
                  "Renaming", "“c”");
  assert_refused (bs_manifest_rename (manifest, "a", "b", &error), BS_ERROR, BS_ERROR_EXISTS,
                  "Renaming", "“a”", "“b”");
  assert_refused (bs_manifest_rename (manifest, "a", "", &error), G_IO_ERROR,
                  G_IO_ERROR_INVALID_ARGUMENT, "Renaming", "empty");
  assert_refused (bs_manifest_move (manifest, "c", 0, &error), BS_ERROR, BS_ERROR_NOT_FOUND,
                  "Moving", "“c”");
}

static void
test_attributes (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autofree char *key = bs_key_generate ();
  g_autoptr (BsManifestEntry) entry = NULL;
  g_autoptr (GVariant) attributes = NULL;
  g_autoptr (GVariant) title = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_manifest_add (manifest, "a", key, attributes_new ("one"), &error));
  entry = bs_manifest_lookup (manifest, "a");
  title = bs_manifest_entry_lookup_attribute (entry, "title", G_VARIANT_TYPE_STRING);
  g_assert_cmpstr (g_variant_get_string (title, NULL), ==, "one");
  g_assert_null (bs_manifest_entry_lookup_attribute (entry, "title", G_VARIANT_TYPE_INT32));
  g_assert_null (bs_manifest_entry_lookup_attribute (entry, "size", NULL));

  g_assert_true (bs_manifest_set_attributes (manifest, "a", attributes_new ("two"), &error));
  g_assert_true (bs_manifest_rename (manifest, "a", "a longer name than before", &error));
  g_clear_pointer (&title, g_variant_unref);
  title = bs_manifest_entry_lookup_attribute (entry, "title", NULL);
  g_assert_cmpstr (g_variant_get_string (title, NULL), ==, "two");

  g_assert_true (bs_manifest_set_attributes (manifest, "a longer name than before", NULL, &error));
  attributes = bs_manifest_entry_dup_attributes (entry);
  g_assert_cmpuint (g_variant_n_children (attributes), ==, 0);
  g_assert_true (g_variant_is_of_type (attributes, G_VARIANT_TYPE_VARDICT));
  assert_key (manifest, "a longer name than before", key);
  g_assert_no_error (error);
}

static void
test_items (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'x');
  g_autoptr (GBytes) bytes = make_bytes (10, 'y');
  g_autofree char *first_key = bs_item_dup_key (item);
  g_autofree char *other_key = bs_key_generate ();
  g_autofree char *second_key = NULL;
  g_autoptr (BsManifestEntry) entry = NULL;
  g_autoptr (BsManifest) read = NULL;
  g_autoptr (GBytes) saved = NULL;
  g_autoptr (BsItem) got = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_manifest_add_item (manifest, "a", item, NULL, &error));
  entry = bs_manifest_lookup (manifest, "a");
  g_object_get (entry, "item", &got, NULL);
  g_assert_true (got == item);
  assert_key (manifest, "a", first_key);

  bs_item_replace (item, bytes);
  second_key = bs_item_dup_key (item);
  g_assert_cmpstr (second_key, !=, first_key);
  assert_key (manifest, "a", second_key);
  saved = bs_manifest_to_bytes (manifest);
  read = bs_manifest_new_from_bytes (saved, &error);
  g_assert_no_error (error);
  assert_key (read, "a", second_key);

  /* Without the item, its last key stays. */
  g_assert_true (bs_manifest_set_item (manifest, "a", NULL, &error));
  g_assert_null (bs_manifest_entry_dup_item (entry));
  assert_key (manifest, "a", second_key);
  bs_item_replace (item, bytes);
  assert_key (manifest, "a", second_key);

  g_assert_true (bs_manifest_set_item (manifest, "a", item, &error));
  g_assert_true (bs_manifest_set_item (manifest, "a", item, &error));
  g_assert_true (bs_manifest_set_key (manifest, "a", other_key, &error));
  g_assert_null (bs_manifest_entry_dup_item (entry));
  assert_key (manifest, "a", other_key);
  g_assert_no_error (error);
  g_clear_object (&got);
  g_assert_finalize_object (g_steal_pointer (&item));
}

static void
count_cb (gpointer object, GParamSpec *pspec, gpointer data)
{
  guint *n = data;

  (*n)++;
}

static void
test_notifications (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'x');
  g_autofree char *key = bs_key_generate ();
  g_autofree char *item_key = bs_item_dup_key (item);
  guint name = 0, keys = 0, items = 0, attributes = 0, n_items = 0;
  g_autoptr (BsManifestEntry) entry = NULL;
  g_autoptr (GError) error = NULL;

  g_signal_connect (manifest, "notify::n-items", G_CALLBACK (count_cb), &n_items);
  add (manifest, "a", key);
  g_assert_cmpuint (n_items, ==, 1);
  entry = bs_manifest_lookup (manifest, "a");
  g_signal_connect (entry, "notify::name", G_CALLBACK (count_cb), &name);
  g_signal_connect (entry, "notify::key", G_CALLBACK (count_cb), &keys);
  g_signal_connect (entry, "notify::item", G_CALLBACK (count_cb), &items);
  g_signal_connect (entry, "notify::attributes", G_CALLBACK (count_cb), &attributes);

  g_assert_true (bs_manifest_rename (manifest, "a", "b", &error));
  g_assert_true (bs_manifest_rename (manifest, "b", "b", &error));
  g_assert_true (bs_manifest_set_attributes (manifest, "b", attributes_new ("one"), &error));
  g_assert_true (bs_manifest_set_item (manifest, "b", item, &error));
  g_assert_true (bs_manifest_set_item (manifest, "b", item, &error));
  g_assert_true (bs_manifest_set_item (manifest, "b", NULL, &error));
  g_assert_true (bs_manifest_set_key (manifest, "b", item_key, &error));
  g_assert_true (bs_manifest_set_key (manifest, "b", key, &error));
  g_assert_true (bs_manifest_move (manifest, "b", 0, &error));
  g_assert_cmpuint (name, ==, 1);
  g_assert_cmpuint (attributes, ==, 1);
  g_assert_cmpuint (items, ==, 2);
  g_assert_cmpuint (keys, ==, 2);
  g_assert_cmpuint (n_items, ==, 1);
  g_assert_true (bs_manifest_remove (manifest, "b", &error));
  g_assert_cmpuint (n_items, ==, 2);
  g_assert_no_error (error);
}

/* One object for an entry as long as it lives, whatever happens to the entry. */
static void
test_identity (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsItem) item = insert (fixture->pool, 10, 'x');
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsManifestEntry) entry = NULL;
  g_autoptr (BsManifestEntry) other = NULL;
  g_autoptr (GVariant) title = NULL;
  g_autofree char *kept_name = NULL;
  g_autofree char *kept_key = NULL;
  g_autoptr (GError) error = NULL;
  BsItem *kept_item;

  add_new (manifest, "first");
  g_assert_true (bs_manifest_add_item (manifest, "a", item, attributes_new ("one"), &error));
  entry = bs_manifest_lookup (manifest, "a");
  other = g_list_model_get_item (G_LIST_MODEL (manifest), 1);
  g_assert_true (entry == other);
  g_clear_object (&other);

  g_assert_true (bs_manifest_rename (manifest, "a", "b", &error));
  g_assert_true (bs_manifest_move (manifest, "b", 0, &error));
  other = g_list_model_get_item (G_LIST_MODEL (manifest), 0);
  g_assert_true (entry == other);
  g_clear_object (&other);

  /* A removed entry keeps what it had. */
  g_assert_true (bs_manifest_remove (manifest, "b", &error));
  add_new (manifest, "b");
  other = bs_manifest_lookup (manifest, "b");
  g_assert_true (entry != other);
  kept_name = bs_manifest_entry_dup_name (entry);
  kept_key = bs_manifest_entry_dup_key (entry);
  g_object_get (entry, "item", &kept_item, NULL);
  title = bs_manifest_entry_lookup_attribute (entry, "title", NULL);
  g_assert_cmpstr (kept_name, ==, "b");
  g_assert_cmpstr (kept_key, ==, key);
  g_assert_true (kept_item == item);
  g_assert_cmpstr (g_variant_get_string (title, NULL), ==, "one");
  g_object_unref (kept_item);
  g_assert_no_error (error);

  /* The manifest may go before its entries. */
  g_assert_finalize_object (g_steal_pointer (&manifest));
  g_clear_pointer (&kept_name, g_free);
  kept_name = bs_manifest_entry_dup_name (other);
  g_assert_cmpstr (kept_name, ==, "b");
  g_assert_finalize_object (g_steal_pointer (&entry));
  g_assert_finalize_object (g_steal_pointer (&other));
  g_assert_finalize_object (g_steal_pointer (&item));
}

/* Beside the manifest, what it should be: names, and keys of the same positions. */
typedef struct
{
  BsManifest *manifest;
  GPtrArray *names;
  GPtrArray *keys;
  GPtrArray *seen; /* names as items-changed tells them */
} Model;

static void
items_changed_cb (BsManifest *manifest,
                  guint position,
                  guint n_removed,
                  guint n_added,
                  gpointer data)
{
  Model *model = data;

  g_ptr_array_remove_range (model->seen, position, n_removed);
  for (guint i = 0; i < n_added; i++)
    {
      g_autoptr (BsManifestEntry) entry =
        g_list_model_get_item (G_LIST_MODEL (manifest), position + i);

      g_ptr_array_insert (model->seen, position + i, bs_manifest_entry_dup_name (entry));
    }
}

static void
model_add (Model *model, guint number)
{
  char *name = g_strdup_printf ("name %u", number);
  char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  if (g_ptr_array_find_with_equal_func (model->names, name, g_str_equal, NULL))
    {
      g_assert_false (bs_manifest_add (model->manifest, name, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
      g_free (name);
      g_free (key);
      return;
    }
  add (model->manifest, name, key);
  g_ptr_array_add (model->names, name);
  g_ptr_array_add (model->keys, key);
}

static void
model_move (GPtrArray *array, guint from, guint to)
{
  g_ptr_array_insert (array, to, g_ptr_array_steal_index (array, from));
}

static void
model_change (Model *model, guint kind)
{
  g_autoptr (GError) error = NULL;
  guint at, to;

  if (kind < 5 || model->names->len == 0)
    {
      model_add (model, g_random_int_range (0, 1500));
      return;
    }

  at = g_random_int_range (0, model->names->len);
  to = g_random_int_range (0, model->names->len);
  if (kind == 5)
    {
      g_assert_true (bs_manifest_remove (model->manifest, model->names->pdata[at], &error));
      g_ptr_array_remove_index (model->names, at);
      g_ptr_array_remove_index (model->keys, at);
    }
  else if (kind == 6)
    {
      g_assert_true (bs_manifest_move (model->manifest, model->names->pdata[at], to, &error));
      model_move (model->names, at, to);
      model_move (model->keys, at, to);
    }
  else
    {
      g_autofree char *old = model->names->pdata[at];

      model->names->pdata[at] = g_strdup_printf ("other name %u", g_random_int ());
      g_assert_true (bs_manifest_rename (model->manifest, old, model->names->pdata[at], &error));
      /* A new name is no change of the list. */
      g_free (model->seen->pdata[at]);
      model->seen->pdata[at] = g_strdup (model->names->pdata[at]);
    }
  g_assert_no_error (error);
}

static void
model_check (Model *model)
{
  g_assert_cmpuint (get_n_items (model->manifest), ==, model->names->len);
  g_assert_cmpuint (model->seen->len, ==, model->names->len);
  for (guint i = 0; i < model->names->len; i++)
    {
      guint position;

      g_assert_cmpstr (model->seen->pdata[i], ==, model->names->pdata[i]);
      g_assert_true (bs_manifest_find (model->manifest, model->names->pdata[i], &position));
      g_assert_cmpuint (position, ==, i);
      assert_key (model->manifest, model->names->pdata[i], model->keys->pdata[i]);
    }
}

static void
test_random (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  Model model = { bs_manifest_new (), g_ptr_array_new_with_free_func (g_free),
                  g_ptr_array_new_with_free_func (g_free),
                  g_ptr_array_new_with_free_func (g_free) };

  g_signal_connect (model.manifest, "items-changed", G_CALLBACK (items_changed_cb), &model);
  /* First more come than go, then the other way round. */
  for (guint i = 0; i < 3000; i++)
    model_change (&model, g_random_int_range (0, 8));
  model_check (&model);

  /* Half of the records are in the bytes from now on. */
  bytes = bs_manifest_to_bytes (model.manifest);
  g_clear_object (&model.manifest);
  model.manifest = bs_manifest_new_from_bytes (bytes, &error);
  g_assert_no_error (error);
  g_signal_connect (model.manifest, "items-changed", G_CALLBACK (items_changed_cb), &model);
  model_check (&model);
  for (guint i = 0; i < 1500; i++)
    model_change (&model, g_random_int_range (2, 8));
  model_check (&model);
  while (model.names->len > 0)
    model_change (&model, 5 + g_random_int_range (0, 2));
  model_check (&model);
  for (guint i = 0; i < 1000; i++)
    model_add (&model, i);
  model_check (&model);

  g_assert_finalize_object (model.manifest);
  g_ptr_array_unref (model.names);
  g_ptr_array_unref (model.keys);
  g_ptr_array_unref (model.seen);
}

#define N_SHARED 20
#define N_ROUNDS 2000

typedef struct
{
  BsManifest *manifest;
  BsItem *item;
  guint number;
} Changer;

/* Any of these may fail because another thread was faster. */
static gpointer
change_thread (gpointer data)
{
  Changer *changer = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (changer->number);

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autofree char *name = g_strdup_printf ("%d", g_rand_int_range (rand, 0, N_SHARED));
      g_autofree char *other = g_strdup_printf ("%d", g_rand_int_range (rand, 0, N_SHARED));
      g_autoptr (BsManifestEntry) entry = NULL;
      g_autofree char *key = bs_key_generate ();
      g_autofree char *read = NULL;
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (BsItem) item = NULL;

      switch (g_rand_int_range (rand, 0, 9))
        {
        case 0:
          bs_manifest_add (changer->manifest, name, key, attributes_new ("one"), NULL);
          break;
        case 1:
          bs_manifest_add_item (changer->manifest, name, changer->item, NULL, NULL);
          break;
        case 2:
          bs_manifest_remove (changer->manifest, name, NULL);
          break;
        case 3:
          bs_manifest_rename (changer->manifest, name, other, NULL);
          break;
        case 4:
          bs_manifest_set_item (changer->manifest, name, changer->item, NULL);
          break;
        case 5:
          bs_manifest_set_item (changer->manifest, name, NULL, NULL);
          break;
        case 6:
          bs_manifest_move (changer->manifest, name, 3, NULL);
          bytes = bs_manifest_to_bytes (changer->manifest);
          break;
        case 7:
          bytes = make_bytes (10, 'z');
          bs_item_replace (changer->item, bytes);
          bs_manifest_set_attributes (changer->manifest, name, attributes_new ("two"), NULL);
          break;
        default:
          entry = g_list_model_get_item (G_LIST_MODEL (changer->manifest), 1);
          break;
        }

      if (entry == NULL)
        entry = bs_manifest_lookup (changer->manifest, name);
      if (entry == NULL)
        continue;
      read = bs_manifest_entry_dup_name (entry);
      g_assert_nonnull (read);
      g_free (read);
      read = bs_manifest_entry_dup_key (entry);
      g_assert_true (bs_key_is_valid (read));
      item = bs_manifest_entry_dup_item (entry);
    }

  return NULL;
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsManifest) read = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *names = NULL;
  g_autoptr (GError) error = NULL;
  Changer changers[4];
  GThread *threads[4];

  for (guint i = 0; i < 4; i++)
    {
      changers[i] = (Changer){ manifest, insert (fixture->pool, 10, 'x'), i };
      threads[i] = g_thread_new ("change", change_thread, &changers[i]);
    }
  for (guint i = 0; i < 4; i++)
    {
      g_thread_join (threads[i]);
      g_object_unref (changers[i].item);
    }

  /* The table is whole. */
  names = join_names (manifest);
  bytes = bs_manifest_to_bytes (manifest);
  read = bs_manifest_new_from_bytes (bytes, &error);
  g_assert_no_error (error);
  assert_names (read, names);
}

/* A script can make an entry of its own, which is in no manifest. */
static void
test_nothing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifestEntry) entry = g_object_new (BS_TYPE_MANIFEST_ENTRY, NULL);

  g_assert_null (bs_manifest_entry_dup_name (entry));
  g_assert_null (bs_manifest_entry_dup_key (entry));
  g_assert_null (bs_manifest_entry_dup_item (entry));
  g_assert_null (bs_manifest_entry_dup_attributes (entry));
  g_assert_null (bs_manifest_entry_lookup_attribute (entry, "title", NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/manifest/names", test_names);
  test_add ("/manifest/refusals", test_refusals);
  test_add ("/manifest/attributes", test_attributes);
  test_add ("/manifest/items", test_items);
  test_add ("/manifest/notifications", test_notifications);
  test_add ("/manifest/identity", test_identity);
  test_add ("/manifest/random", test_random);
  test_add ("/manifest/threads", test_threads);
  test_add ("/manifest/nothing", test_nothing);

  return g_test_run ();
}
