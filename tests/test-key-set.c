/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "base/bs-key-set-private.h"

#define N_SHARDS 64
#define SHARD_SHIFT 6

/* Groups of eight keys, each with a control byte, and with its marks where there are any. */
static gsize
get_size (const BsKeyTable *table)
{
  return table->n_groups * 8 * (sizeof (BsKey) + 1 + table->has_marks);
}

static guint
key_hash (gconstpointer key)
{
  return bs_key_hash (key);
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  return bs_key_equal (a, b);
}

static GHashTable *
model_new (void)
{
  return g_hash_table_new_full (key_hash, key_equal, g_free, NULL);
}

static BsKey
random_key (void)
{
  BsKey key;

  for (guint w = 0; w < 2; w++)
    key.words[w] = (guint64) g_test_rand_int () << 32 | (guint32) g_test_rand_int ();
  return key;
}

static gboolean
add (BsKeyTable *table, const BsKey *key)
{
  return bs_key_table_add (table, key, bs_key_hash (key));
}

static gboolean
contains (const BsKeyTable *table, const BsKey *key)
{
  return bs_key_table_contains (table, key, bs_key_hash (key));
}

/* The bookkeeping agrees with the control bytes, and every key can be found. */
static void
assert_whole (const BsKeyTable *table)
{
  guint64 n_places = (guint64) table->n_groups * 8;
  guint64 n_empty = 0, n_full = 0;
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  for (guint64 i = 0; i < n_places; i++)
    {
      n_empty += table->control[i] == 0;
      n_full += table->control[i] >> 7;
    }
  g_assert_cmpuint (n_full, ==, table->n_keys);
  g_assert_cmpuint (n_empty, ==, table->n_free + table->n_groups);

  while (bs_key_table_iter_next (table, &iter, &key))
    {
      g_assert_true (contains (table, key));
      n_full--;
    }
  g_assert_cmpuint (n_full, ==, 0);
}

static void
assert_like_model (const BsKeyTable *table, GHashTable *model)
{
  GHashTableIter iter;
  gpointer key;

  assert_whole (table);
  g_assert_cmpuint (table->n_keys, ==, g_hash_table_size (model));
  g_hash_table_iter_init (&iter, model);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_assert_true (contains (table, key));
}

/* Keys come out of a small range, so that they come and go many times. */
static void
change_at_random (BsKeyTable *table,
                  GHashTable *model,
                  guint n_changes,
                  guint range,
                  guint percent_added)
{
  for (guint i = 0; i < n_changes; i++)
    {
      BsKey key = { { g_test_rand_int_range (0, range), 7 } };

      if ((guint) g_test_rand_int_range (0, 100) < percent_added)
        g_assert_cmpint (add (table, &key), ==,
                         g_hash_table_add (model, g_memdup2 (&key, sizeof key)));
      else
        g_assert_cmpint (bs_key_table_remove (table, &key, bs_key_hash (&key)), ==,
                         g_hash_table_remove (model, &key));
      g_assert_cmpuint (table->n_keys, ==, g_hash_table_size (model));
    }
}

static void
test_model (void)
{
  const guint shifts[] = { 0, SHARD_SHIFT };

  for (guint s = 0; s < G_N_ELEMENTS (shifts); s++)
    for (guint range = 1; range <= 100000; range *= 10)
      {
        g_autoptr (GHashTable) model = model_new ();
        BsKeyTable table;

        bs_key_table_init (&table, shifts[s]);
        for (guint round = 0; round < 8; round++)
          {
            change_at_random (&table, model, 5000 + range / 10, range,
                              g_test_rand_int_range (10, 91));
            assert_like_model (&table, model);
            if (g_test_rand_int_range (0, 4) == 0)
              bs_key_table_reserve (&table, g_test_rand_int_range (0, 2 * range));
            assert_like_model (&table, model);
          }
        bs_key_table_clear (&table);
        g_assert_cmpuint (get_size (&table), ==, 0);
      }
}

static guint8 *
assert_marked_like_model (BsKeyTable *table, GHashTable *model, BsKey *key)
{
  guint8 expected = GPOINTER_TO_UINT (g_hash_table_lookup (model, key));
  guint8 *marks = bs_key_table_find_marks (table, key, bs_key_hash (key));

  g_assert_true (bs_key_table_look_up_marks (table, key, bs_key_hash (key)) == marks);
  g_assert_cmpint (marks != NULL, ==, expected != 0);
  if (marks != NULL)
    g_assert_cmpuint (*marks, ==, expected);
  return marks;
}

/* The table forgets its last search with any change that ends the result. */
static void
change_marks_at_random (BsKeyTable *table, GHashTable *model, guint n_changes, guint range)
{
  for (guint i = 0; i < n_changes; i++)
    {
      BsKey key = { { g_test_rand_int_range (0, range), 7 } };
      guint8 *marks = assert_marked_like_model (table, model, &key);

      switch (g_test_rand_int_range (0, 4))
        {
        case 0:
          bs_key_table_reserve (table, g_test_rand_int_range (0, 2 * range));
          break;
        case 1:
          if (marks != NULL)
            bs_key_table_remove_marked (table, marks);
          g_hash_table_remove (model, &key);
          break;
        default:
          marks = bs_key_table_obtain_marks (table, &key, bs_key_hash (&key));
          *marks = g_test_rand_int_range (1, 256);
          g_hash_table_insert (model, g_memdup2 (&key, sizeof key), GUINT_TO_POINTER (*marks));
        }
      assert_marked_like_model (table, model, &key);
      g_assert_cmpuint (table->n_keys, ==, g_hash_table_size (model));
    }
}

/* Some marks go from all keys, and with their last mark some keys go. */
static void
unset_marks_at_random (BsKeyTable *table, GHashTable *model)
{
  guint8 unset = g_test_rand_int_range (0, 256);
  GHashTableIter iter;
  gpointer key, marks;

  bs_key_table_unset_marks (table, unset);
  g_hash_table_iter_init (&iter, model);
  while (g_hash_table_iter_next (&iter, &key, &marks))
    if ((GPOINTER_TO_UINT (marks) & ~unset) == 0)
      g_hash_table_iter_remove (&iter);
    else
      g_hash_table_iter_replace (&iter, GUINT_TO_POINTER (GPOINTER_TO_UINT (marks) & ~unset));

  g_hash_table_iter_init (&iter, model);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    assert_marked_like_model (table, model, key);
  g_assert_cmpuint (table->n_keys, ==, g_hash_table_size (model));
}

/* The keys that have all of some marks, and a first byte out of a set. */
static void
copy_marked_at_random (const BsKeyTable *table, GHashTable *model)
{
  guint8 wanted = g_test_rand_int_range (0, 256) & g_test_rand_int_range (0, 256);
  BsByteSet first_bytes = { { 0 } };
  BsKeyTable copy;
  GHashTableIter iter;
  gpointer key, marks;
  guint n = 0;

  for (guint byte = 0; byte < 256; byte++)
    if (g_test_rand_bit ())
      bs_byte_set_add (&first_bytes, byte);
  bs_key_table_init (&copy, 0);
  bs_key_table_copy_marked (table, wanted, &first_bytes, &copy);

  g_hash_table_iter_init (&iter, model);
  while (g_hash_table_iter_next (&iter, &key, &marks))
    {
      gboolean expected = (GPOINTER_TO_UINT (marks) & wanted) == wanted &&
                          bs_byte_set_contains (&first_bytes, *(const guint8 *) key);

      g_assert_cmpint (bs_key_table_contains (&copy, key, bs_key_hash (key)), ==, expected);
      n += expected;
    }
  g_assert_cmpuint (copy.n_keys, ==, n);
  bs_key_table_clear (&copy);
}

static void
test_marks (void)
{
  for (guint range = 1; range <= 10000; range *= 10)
    {
      g_autoptr (GHashTable) model = model_new ();
      BsKeyTableIter iter = { 0 };
      const BsKey *key;
      BsKeyTable table;

      bs_key_table_init_with_marks (&table, SHARD_SHIFT);
      for (guint i = 0; i < 4; i++)
        {
          change_marks_at_random (&table, model, 5000, range);
          unset_marks_at_random (&table, model);
          copy_marked_at_random (&table, model);
        }
      bs_key_table_unset_marks (&table, G_MAXUINT8);
      g_assert_cmpuint (table.n_keys, ==, 0);
      g_hash_table_remove_all (model);
      change_marks_at_random (&table, model, 5000, range);
      while (bs_key_table_iter_next (&table, &iter, &key))
        g_assert_cmpuint (*bs_key_table_iter_get_marks (&table, &iter), ==,
                          GPOINTER_TO_UINT (g_hash_table_lookup (model, key)));
      bs_key_table_clear (&table);
      g_assert_null (bs_key_table_find_marks (&table, &(BsKey){ { 0, 7 } }, 0));
    }
}

/* Every key has the same hash: the searches of all go the same way, through
 * every run and on to the end. */
static void
test_collisions (void)
{
  const guint64 seeds[2] = { bs_key_seeds[0], bs_key_seeds[1] };
  const guint n_keys = 5000;
  BsKeyTable table = { 0 };

  bs_key_seeds[0] = 0;
  for (guint i = 0; i < n_keys; i++)
    {
      const BsKey key = { { 0, i } };

      g_assert_cmpuint (bs_key_hash (&key), ==, 0);
      g_assert_true (add (&table, &key));
      g_assert_false (add (&table, &key));
    }
  assert_whole (&table);

  for (guint i = 0; i < n_keys; i += 2)
    {
      const BsKey key = { { 0, i } };

      g_assert_true (bs_key_table_remove (&table, &key, 0));
      g_assert_false (bs_key_table_remove (&table, &key, 0));
    }
  assert_whole (&table);
  bs_key_table_clear (&table);

  memcpy (bs_key_seeds, seeds, sizeof seeds);
}

#define N_MANY 1000000

/* However many keys there are, from some thousands on. */
static void
test_memory (void)
{
  BsKeyTable table = { 0 };
  gdouble worst = 0;

  while (table.n_keys < N_MANY)
    {
      BsKey key = random_key ();
      gdouble per_key;

      g_assert_true (add (&table, &key));
      per_key = (gdouble) get_size (&table) / table.n_keys;
      if (table.n_keys > 10000)
        worst = MAX (worst, per_key);
    }

  g_test_message ("%.2f bytes a key at a million, %.2f at worst",
                  (gdouble) get_size (&table) / N_MANY, worst);
  g_assert_cmpfloat (worst, <=, 24);
  bs_key_table_clear (&table);
}

static void
fill (BsKeyTable *table, guint n_keys)
{
  for (guint i = 0; i < n_keys; i++)
    {
      BsKey key = random_key ();

      g_assert_true (add (table, &key));
    }
}

static gsize
fill_shards (const BsKeyTable *table, BsKeyTable *shards)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;
  gsize size = 0;

  while (bs_key_table_iter_next (table, &iter, &key))
    {
      guint64 hash = bs_key_hash (key);

      g_assert_true (bs_key_table_add (&shards[hash >> (64 - SHARD_SHIFT)], key, hash));
    }

  for (guint i = 0; i < N_SHARDS; i++)
    {
      assert_whole (&shards[i]);
      size += get_size (&shards[i]);
    }
  return size;
}

static void
assert_in_shards (const BsKeyTable *table, const BsKeyTable *shards)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;
  guint64 n_keys = 0;

  while (bs_key_table_iter_next (table, &iter, &key))
    g_assert_true (contains (&shards[bs_key_hash (key) >> (64 - SHARD_SHIFT)], key));
  for (guint i = 0; i < N_SHARDS; i++)
    n_keys += shards[i].n_keys;
  g_assert_cmpuint (n_keys, ==, table->n_keys);
}

/* Keys go from one table to the shards of a tracked path, reserved or not. */
static void
test_shards (void)
{
  BsKeyTable table = { 0 };
  BsKeyTable shards[N_SHARDS];

  fill (&table, N_MANY);
  for (guint reserved = 0; reserved < 2; reserved++)
    {
      gsize size;

      for (guint i = 0; i < N_SHARDS; i++)
        {
          bs_key_table_init (&shards[i], SHARD_SHIFT);
          if (reserved)
            bs_key_table_reserve (&shards[i], N_MANY / N_SHARDS);
        }
      size = fill_shards (&table, shards);
      assert_in_shards (&table, shards);
      g_assert_cmpfloat ((gdouble) size / N_MANY, <=, 24);
      for (guint i = 0; i < N_SHARDS; i++)
        bs_key_table_clear (&shards[i]);
    }
  bs_key_table_clear (&table);
}

/* Tables whose numbers of keys are known before, all of them new. */
static void
test_shards_of_new (void)
{
  BsKeyTable table = { 0 };
  BsKeyTable shards[N_SHARDS];
  guint64 n_keys[N_SHARDS] = { 0 };
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  fill (&table, N_MANY);
  while (bs_key_table_iter_next (&table, &iter, &key))
    n_keys[bs_key_hash (key) >> (64 - SHARD_SHIFT)]++;
  for (guint i = 0; i < N_SHARDS; i++)
    {
      bs_key_table_init (&shards[i], SHARD_SHIFT);
      bs_key_table_reserve (&shards[i], n_keys[i]);
    }

  iter = (BsKeyTableIter){ 0 };
  while (bs_key_table_iter_next (&table, &iter, &key))
    bs_key_table_add_new (&shards[bs_key_hash (key) >> (64 - SHARD_SHIFT)], key, bs_key_hash (key),
                          0);
  assert_in_shards (&table, shards);
  for (guint i = 0; i < N_SHARDS; i++)
    {
      assert_whole (&shards[i]);
      bs_key_table_clear (&shards[i]);
    }
  bs_key_table_clear (&table);
}

/* How many keys stand more than a few groups from where their hash belongs. */
static guint64
count_strays (const BsKeyTable *table)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;
  guint64 n_strays = 0;

  while (bs_key_table_iter_next (table, &iter, &key))
    {
      gint64 group = (iter.next - 1) / 8;
      gint64 home = ((bs_key_hash (key) << table->shift >> 32) * table->n_groups) >> 32;

      n_strays += ABS (group - home) >= 8;
    }
  return n_strays;
}

static void
test_order (void)
{
  BsKeyTable table = { 0 };
  BsKeyTable other = { 0 };
  BsKeyTable shards[N_SHARDS];
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  for (guint i = 0; i < 20; i++)
    {
      fill (&table, 10000 + g_test_rand_int_range (0, 3000));
      g_assert_cmpuint (count_strays (&table), <=, table.n_keys / 50);
    }

  for (guint i = 0; i < N_SHARDS; i++)
    {
      bs_key_table_init (&shards[i], SHARD_SHIFT);
      bs_key_table_reserve (&shards[i], table.n_keys / N_SHARDS * 5 / 4);
    }
  fill_shards (&table, shards);
  for (guint i = 0; i < N_SHARDS; i++)
    {
      g_assert_cmpuint (count_strays (&shards[i]), <=, shards[i].n_keys / 50);
      bs_key_table_clear (&shards[i]);
    }

  /* Unreserved, and all that is there at any time belongs at the beginning. */
  while (bs_key_table_iter_next (&table, &iter, &key))
    g_assert_true (add (&other, key));
  assert_whole (&other);
  g_assert_cmpuint (other.n_keys, ==, table.n_keys);

  bs_key_table_clear (&other);
  bs_key_table_clear (&table);
}

/* Keys come and go for ever, and the table stays as it is. */
static void
test_churn (void)
{
  const guint n_keys = 3000;
  g_autofree BsKey *keys = g_new (BsKey, n_keys);
  BsKeyTable table = { 0 };
  gsize size;

  for (guint i = 0; i < n_keys; i++)
    {
      keys[i] = random_key ();
      add (&table, &keys[i]);
    }

  size = get_size (&table);
  for (guint i = 0; i < 300000; i++)
    {
      BsKey *key = &keys[i % n_keys];

      g_assert_true (bs_key_table_remove (&table, key, bs_key_hash (key)));
      g_assert_false (contains (&table, key));
      *key = random_key ();
      g_assert_true (add (&table, key));
      g_assert_true (contains (&table, key));
    }
  assert_whole (&table);
  g_assert_cmpuint (table.n_keys, ==, n_keys);
  /* The table may double once. */
  g_assert_cmpuint (get_size (&table), <=, 2 * size + 136);

  for (guint i = 0; i < n_keys; i++)
    g_assert_true (bs_key_table_remove (&table, &keys[i], bs_key_hash (&keys[i])));
  g_assert_cmpuint (get_size (&table), <=, 8 * 136);
  assert_whole (&table);
  bs_key_table_clear (&table);
}

/* At the memory of a million: what churn may add is bounded too. */
static void
test_churn_memory (void)
{
  const guint n_keys = 100000;
  g_autofree BsKey *keys = g_new (BsKey, n_keys);
  BsKeyTable table = { 0 };

  for (guint i = 0; i < n_keys; i++)
    {
      keys[i] = random_key ();
      add (&table, &keys[i]);
    }
  for (guint i = 0; i < 10 * n_keys; i++)
    {
      BsKey *key = &keys[g_test_rand_int_range (0, n_keys)];

      g_assert_true (bs_key_table_remove (&table, key, bs_key_hash (key)));
      *key = random_key ();
      g_assert_true (add (&table, key));
    }
  assert_whole (&table);
  g_assert_cmpfloat ((gdouble) get_size (&table) / n_keys, <=, 24);
  bs_key_table_clear (&table);
}

static void
test_iteration (void)
{
  g_autoptr (GHashTable) seen = model_new ();
  BsKeyTable table = { 0 };
  BsKeyTable copy;
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  g_assert_false (bs_key_table_iter_next (&table, &iter, &key));
  bs_key_table_copy (&table, &copy);
  g_assert_false (bs_key_table_iter_next (&copy, &iter, &key));

  fill (&table, 1000);
  bs_key_table_copy (&table, &copy);

  iter = (BsKeyTableIter){ 0 };
  while (bs_key_table_iter_next (&table, &iter, &key))
    g_assert_true (g_hash_table_add (seen, g_memdup2 (key, sizeof *key)));
  g_assert_cmpuint (g_hash_table_size (seen), ==, 1000);

  /* Each goes as soon as it was given, the last with the table. */
  iter = (BsKeyTableIter){ 0 };
  while (bs_key_table_iter_next (&table, &iter, &key))
    {
      BsKey taken = *key;

      g_assert_true (g_hash_table_remove (seen, &taken));
      g_assert_true (bs_key_table_remove (&table, &taken, bs_key_hash (&taken)));
    }
  g_assert_cmpuint (table.n_keys, ==, 0);
  g_assert_cmpuint (g_hash_table_size (seen), ==, 0);

  g_assert_cmpuint (copy.n_keys, ==, 1000);
  assert_whole (&copy);
  bs_key_table_clear (&copy);
  bs_key_table_clear (&table);
}

static void
count_notify (GObject *object, GParamSpec *pspec, gpointer data)
{
  guint *n_notified = data;

  (*n_notified)++;
}

static void
test_set (void)
{
  BsKeySet *set = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) list = NULL;
  guint n_notified = 0;
  guint64 n_keys;

  g_signal_connect (set, "notify::n-keys", G_CALLBACK (count_notify), &n_notified);

  list = bs_key_set_list_keys (set);
  g_assert_cmpuint (g_strv_length (list), ==, 0);
  g_clear_pointer (&list, g_strfreev);

  g_assert_true (bs_key_set_add (set, "0123ABCD456789EFCDAB0F1E2D3C4B5A", &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n_notified, ==, 1);
  g_assert_true (bs_key_set_add (set, "0123abcd-4567-89ef-cdab-0f1e2d3c4b5a", &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n_notified, ==, 1);

  g_assert_false (bs_key_set_add (set, "no key", &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  g_assert_false (bs_key_set_add (set, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_assert_false (bs_key_set_add (set, "", NULL));

  g_assert_true (bs_key_set_contains_key (set, "0123abcd-4567-89EF-cdab-0f1e2d3c4b5a"));
  g_assert_false (bs_key_set_contains_key (set, "0123abcd-4567-89EF-cdab-0f1e2d3c4b5b"));
  g_assert_false (bs_key_set_contains_key (set, "no key"));
  g_assert_false (bs_key_set_contains_key (set, NULL));

  g_object_get (set, "n-keys", &n_keys, NULL);
  g_assert_cmpuint (n_keys, ==, 1);
  list = bs_key_set_list_keys (set);
  g_assert_cmpuint (g_strv_length (list), ==, 1);
  g_assert_cmpstr (list[0], ==, "0123abcd-4567-89ef-cdab-0f1e2d3c4b5a");

  g_assert_false (bs_key_set_remove (set, "no key"));
  g_assert_false (bs_key_set_remove (set, NULL));
  g_assert_false (bs_key_set_remove (set, "0123abcd-4567-89ef-cdab-0f1e2d3c4b5b"));
  g_assert_cmpuint (n_notified, ==, 1);
  g_assert_true (bs_key_set_remove (set, "0123abcd456789efcdab0f1e2d3c4b5a"));
  g_assert_cmpuint (n_notified, ==, 2);
  g_assert_false (bs_key_set_remove (set, "0123abcd456789efcdab0f1e2d3c4b5a"));
  g_assert_cmpuint (bs_key_set_get_n_keys (set), ==, 0);
  g_assert_cmpuint (n_notified, ==, 2);

  g_assert_finalize_object (set);
}

typedef struct
{
  BsKeySet *set;
  GHashTable *seen;
  guint n_nested;
} Walk;

static void
count_nested (const char *key, gpointer data)
{
  Walk *walk = data;

  walk->n_nested++;
}

static void
change_while_walking (const char *key, gpointer data)
{
  Walk *walk = data;
  g_autofree char *another = bs_key_generate ();
  guint64 n_keys = bs_key_set_get_n_keys (walk->set);

  g_assert_true (g_hash_table_add (walk->seen, g_strdup (key)));
  g_assert_true (bs_key_set_contains_key (walk->set, key));
  g_assert_true (bs_key_set_remove (walk->set, key));
  g_assert_false (bs_key_set_contains_key (walk->set, key));
  g_assert_true (bs_key_set_add (walk->set, another, NULL));

  if (g_hash_table_size (walk->seen) % 100 == 0)
    {
      walk->n_nested = 0;
      bs_key_set_foreach_key (walk->set, count_nested, walk);
      g_assert_cmpuint (walk->n_nested, ==, n_keys);
    }
}

/* The function is called for what was there, once each, whatever it does. */
static void
test_change_while_walking (void)
{
  BsKeySet *set = bs_key_set_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Walk walk = { set, seen, 0 };
  g_auto (GStrv) list = NULL;

  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *key = bs_key_generate ();

      g_assert_true (bs_key_set_add (set, key, NULL));
    }
  list = bs_key_set_list_keys (set);
  g_assert_cmpuint (g_strv_length (list), ==, 1000);

  bs_key_set_foreach_key (set, change_while_walking, &walk);
  g_assert_cmpuint (g_hash_table_size (seen), ==, 1000);
  for (guint i = 0; i < 1000; i++)
    g_assert_true (g_hash_table_contains (seen, list[i]));
  g_assert_cmpuint (bs_key_set_get_n_keys (set), ==, 1000);

  g_assert_finalize_object (set);
}

static void
drop_while_walking (const char *key, gpointer data)
{
  BsKeySet **set = data;

  g_clear_object (set);
}

static void
test_drop_while_walking (void)
{
  BsKeySet *set = bs_key_set_new ();

  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *key = bs_key_generate ();

      g_assert_true (bs_key_set_add (set, key, NULL));
    }
  bs_key_set_foreach_key (set, drop_while_walking, &set);
  g_assert_null (set);
}

static void
test_set_model (void)
{
  BsKeySet *set = bs_key_set_new ();
  g_autoptr (GHashTable) model = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char **pool = g_new0 (char *, 1001);

  for (guint i = 0; i < 1000; i++)
    {
      BsKey key = random_key ();

      pool[i] = bs_key_to_string (&key);
    }

  for (guint i = 0; i < 100000; i++)
    {
      const char *key = pool[g_test_rand_int_range (0, 1000)];

      if (g_test_rand_bit ())
        {
          g_assert_true (bs_key_set_add (set, key, NULL));
          g_hash_table_add (model, g_strdup (key));
        }
      else
        {
          g_assert_cmpint (bs_key_set_remove (set, key), ==, g_hash_table_remove (model, key));
        }
      g_assert_cmpuint (bs_key_set_get_n_keys (set), ==, g_hash_table_size (model));
    }

  for (guint i = 0; i < 1000; i++)
    {
      g_assert_cmpint (bs_key_set_contains_key (set, pool[i]), ==,
                       g_hash_table_contains (model, pool[i]));
      g_free (pool[i]);
    }
  g_assert_finalize_object (set);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  /* All else comes from the seed that was printed; so does this. */
  for (guint i = 0; i < 2; i++)
    bs_key_seeds[i] = random_key ().words[i];

  g_test_add_func ("/key-table/model", test_model);
  g_test_add_func ("/key-table/marks", test_marks);
  g_test_add_func ("/key-table/collisions", test_collisions);
  g_test_add_func ("/key-table/memory", test_memory);
  g_test_add_func ("/key-table/shards", test_shards);
  g_test_add_func ("/key-table/shards-of-new", test_shards_of_new);
  g_test_add_func ("/key-table/order", test_order);
  g_test_add_func ("/key-table/churn", test_churn);
  g_test_add_func ("/key-table/churn-memory", test_churn_memory);
  g_test_add_func ("/key-table/iteration", test_iteration);
  g_test_add_func ("/key-set/set", test_set);
  g_test_add_func ("/key-set/change-while-walking", test_change_while_walking);
  g_test_add_func ("/key-set/drop-while-walking", test_drop_while_walking);
  g_test_add_func ("/key-set/model", test_set_model);

  return g_test_run ();
}
