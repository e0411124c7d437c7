/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store/queues/bs-key-queue-private.h"

#define N_KEYS 20000

static void
shard_init (BsShard *shard)
{
  memset (shard, 0, sizeof *shard);
  g_mutex_init (&shard->mutex);
}

static void
shard_clear (BsShard *shard)
{
  bs_shard_clear (shard);
  g_mutex_clear (&shard->mutex);
}

static BsToken *
lookup (BsShard *shard, const BsKey *key)
{
  return bs_shard_lookup (shard, key, bs_key_hash (key));
}

/* Records stay where they are while others come and go and the table grows. */
static void
test_model (void)
{
  g_autofree BsKey *keys = g_new (BsKey, N_KEYS);
  g_autofree BsToken **records = g_new0 (BsToken *, N_KEYS);
  guint n_records = 0;
  BsShard shard;

  shard_init (&shard);
  for (guint i = 0; i < N_KEYS; i++)
    bs_key_init_random (&keys[i]);

  for (guint round = 0; round < 10 * N_KEYS; round++)
    {
      /* First more come, then more go. */
      guint i = g_test_rand_int_range (0, N_KEYS);
      gboolean come = g_test_rand_int_range (0, 10) < (round < 5 * N_KEYS ? 7 : 3);
      guint64 hash = bs_key_hash (&keys[i]);

      g_assert_true (lookup (&shard, &keys[i]) == records[i]);
      if (come && records[i] == NULL)
        {
          records[i] = bs_shard_insert (&shard, &keys[i], hash);
          n_records++;
        }
      else if (!come && records[i] != NULL)
        {
          bs_shard_remove (&shard, records[i], hash);
          records[i] = NULL;
          n_records--;
        }
      g_assert_cmpuint (shard.n_tokens, ==, n_records);
    }

  for (guint i = 0; i < N_KEYS; i++)
    {
      g_assert_true (lookup (&shard, &keys[i]) == records[i]);
      if (records[i] != NULL)
        bs_shard_remove (&shard, records[i], bs_key_hash (&keys[i]));
    }
  g_assert_cmpuint (shard.n_tokens, ==, 0);
  g_assert_null (shard.groups);
  g_assert_null (lookup (&shard, &keys[0]));
  shard_clear (&shard);
}

/* Nobody can prepare such keys; more pass the first group than it can count. */
static void
test_one_home (void)
{
  const guint n_keys = 1000;
  g_autofree BsKey *keys = g_new (BsKey, n_keys);
  g_autofree BsToken **records = g_new0 (BsToken *, n_keys);
  BsShard shard;

  shard_init (&shard);
  bs_shard_reserve (&shard, n_keys);
  for (guint round = 0; round < 3; round++)
    {
      for (guint i = 0; i < n_keys; i++)
        {
          bs_key_init_random (&keys[i]);
          g_assert_null (bs_shard_lookup (&shard, &keys[i], 7));
          records[i] = bs_shard_insert (&shard, &keys[i], 7);
        }
      for (guint i = 0; i < n_keys; i++)
        {
          guint j = i ^ (round == 0 ? 0 : 0x155);

          if (j >= n_keys)
            continue;
          g_assert_true (bs_shard_lookup (&shard, &keys[j], 7) == records[j]);
          bs_shard_remove (&shard, records[j], 7);
          g_assert_null (bs_shard_lookup (&shard, &keys[j], 7));
          records[j] = NULL;
        }
      for (guint i = 0; i < n_keys; i++)
        if (records[i] != NULL)
          {
            g_assert_true (bs_shard_lookup (&shard, &keys[i], 7) == records[i]);
            bs_shard_remove (&shard, records[i], 7);
          }
      g_assert_cmpuint (shard.n_tokens, ==, 0);
      bs_shard_reserve (&shard, n_keys);
    }
  shard_clear (&shard);
}

/* A closed store may leave records behind. */
static void
test_clear (void)
{
  BsShard shard;

  shard_init (&shard);
  for (guint i = 0; i < 100; i++)
    {
      BsKey key;

      bs_key_init_random (&key);
      bs_shard_obtain (&shard, &key, bs_key_hash (&key));
      bs_shard_obtain (&shard, &key, bs_key_hash (&key));
    }
  g_assert_cmpuint (shard.n_tokens, ==, 100);
  shard_clear (&shard);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/shard/model", test_model);
  g_test_add_func ("/shard/one-home", test_one_home);
  g_test_add_func ("/shard/clear", test_clear);

  return g_test_run ();
}
