/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Small blobs of scratch, which have no files of their own. */

#include "file-fixture.h"
#include "file-mount.h"

#include "backings/bs-file-slots-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1024 * 1024)

static gboolean is_refusing_removal;

/* In place of the C library's. */
int
unlinkat (int fd, const char *name, int flags)
{
  if (is_refusing_removal)
    {
      errno = EIO;
      return -1;
    }

  return syscall (SYS_unlinkat, fd, name, flags);
}

static gsize
random_length (GRand *random)
{
  gsize most = 1 << g_rand_int_range (random, 0, 20);

  return MIN ((gsize) g_rand_int_range (random, 0, most + 1), BS_FILE_MAX_SLOT);
}

/* Slots that are laid out behind another one. */
typedef struct
{
  BsFileSlotPlace place;
  guint n_slots;
} Ahead;

static gpointer
get_ahead (const Ahead *ahead, guint i)
{
  gsize offset =
    bs_file_slot_space_get_offset (&ahead->place) + i * bs_file_slot_space_get_size (&ahead->place);

  return GSIZE_TO_POINTER (offset + 1);
}

static void
take_ahead (BsFileSlotSpace *space, const BsFileSlotPlace *place, GHashTable *owners, GArray *taken)
{
  Ahead ahead = { *place, bs_file_slot_space_take_ahead (space, place) };

  if (ahead.n_slots > 0)
    g_assert_cmpuint ((ahead.n_slots + 1) * bs_file_slot_space_get_size (place), <=,
                      BS_FILE_BLOCK_SPACE);
  for (guint i = 1; i <= ahead.n_slots; i++)
    g_assert_true (g_hash_table_add (owners, get_ahead (&ahead, i)));
  if (ahead.n_slots > 0)
    g_array_append_val (taken, ahead);
}

static void
give_ahead (BsFileSlotSpace *space, GHashTable *owners, GArray *taken)
{
  for (guint n = 0; n < taken->len; n++)
    {
      const Ahead *ahead = &g_array_index (taken, Ahead, n);

      for (guint i = 1; i <= ahead->n_slots; i++)
        g_assert_true (g_hash_table_remove (owners, get_ahead (ahead, i)));
      bs_file_slot_space_give_ahead (space, &ahead->place, ahead->n_slots);
    }
  g_array_set_size (taken, 0);
}

/* Slots in use hold what is asked for, and none overlaps another one or a hole. */
static void
test_space (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  g_autoptr (GArray) taken = g_array_new (FALSE, FALSE, sizeof (Ahead));
  g_autoptr (GArray) places = g_array_new (FALSE, FALSE, sizeof (BsFileSlotPlace));
  g_autoptr (GHashTable) owners = g_hash_table_new (g_direct_hash, g_direct_equal);
  BsFileSlotSpace space;
  BsFileHole hole;

  bs_file_slot_space_init (&space);
  for (guint round = 0; round < 200000; round++)
    {
      gboolean grows = (round / 20000) % 2 == 0;

      if (places->len == 0 || g_rand_int_range (random, 0, 100) < (grows ? 60 : 40))
        {
          gsize length = random_length (random);
          BsFileSlotPlace place;
          gpointer offset;

          bs_file_slot_space_take (&space, length, &place);
          g_assert_cmpuint (bs_file_slot_space_get_size (&place), >=, length);
          offset = GSIZE_TO_POINTER ((gsize) bs_file_slot_space_get_offset (&place) + 1);
          g_assert_true (g_hash_table_add (owners, offset));
          g_array_append_val (places, place);
          take_ahead (&space, &place, owners, taken);
        }
      else
        {
          guint i = g_rand_int_range (random, 0, places->len);
          BsFileSlotPlace place = g_array_index (places, BsFileSlotPlace, i);
          gsize offset = bs_file_slot_space_get_offset (&place);

          g_array_remove_index_fast (places, i);
          g_assert_true (g_hash_table_remove (owners, GSIZE_TO_POINTER (offset + 1)));
          bs_file_slot_space_give (&space, &place);
        }
      if (round % 8 == 0)
        give_ahead (&space, owners, taken);

      while (bs_file_slot_space_begin_hole (&space, &hole))
        {
          for (guint i = 0; !hole.whole && i < hole.n_slots; i++)
            {
              gsize offset = hole.offset + i * (hole.length / hole.n_slots);

              g_assert_false (g_hash_table_contains (owners, GSIZE_TO_POINTER (offset + 1)));
            }
          for (guint i = 0; hole.whole && i < places->len; i++)
            g_assert_cmpuint (g_array_index (places, BsFileSlotPlace, i).chunk, !=,
                              hole.place.chunk);
          bs_file_slot_space_end_hole (&space, &hole, TRUE);
        }
    }

  give_ahead (&space, owners, taken);
  while (places->len > 0)
    {
      bs_file_slot_space_give (&space, &g_array_index (places, BsFileSlotPlace, places->len - 1));
      g_array_set_size (places, places->len - 1);
    }
  while (bs_file_slot_space_begin_hole (&space, &hole))
    bs_file_slot_space_end_hole (&space, &hole, TRUE);
  g_assert_cmpuint (space.used, ==, 0);
  g_assert_cmpuint (space.idle, ==, 0);
  g_assert_cmpuint (space.n_chunks_used, ==, 0);
  g_assert_cmpuint (space.warm->len, <=, 16);
  g_assert_cmpuint (space.warm->len + space.cold->len, ==, space.n_chunks);
  bs_file_slot_space_clear (&space);
}

/* A block is laid out once, with its first slot, and its others are used next. */
static void
test_ahead (void)
{
  enum
  {
    N = BS_FILE_BLOCK_SPACE / 1024
  };
  const guint n_places = BS_FILE_CHUNK_SPACE / 1024;
  g_autofree BsFileSlotPlace *places = g_new (BsFileSlotPlace, n_places);
  BsFileSlotSpace space;

  bs_file_slot_space_init (&space);
  for (guint i = 0; i < n_places; i++)
    {
      guint n_ahead;

      bs_file_slot_space_take (&space, 1024, &places[i]);
      g_assert_cmpint (bs_file_slot_space_get_offset (&places[i]), ==, i * 1024);
      n_ahead = bs_file_slot_space_take_ahead (&space, &places[i]);
      g_assert_cmpuint (n_ahead, ==, i % N == 0 ? N - 1 : 0);
      bs_file_slot_space_give_ahead (&space, &places[i], n_ahead);
    }

  /* The chunk has been written, and goes to slots of another size. */
  for (guint i = 0; i < n_places; i++)
    bs_file_slot_space_give (&space, &places[i]);
  bs_file_slot_space_take (&space, 512, &places[0]);
  g_assert_cmpuint (places[0].chunk, ==, 0);
  g_assert_cmpuint (bs_file_slot_space_take_ahead (&space, &places[0]), ==, 0);

  /* Slots as large as a block are laid out alone. */
  bs_file_slot_space_take (&space, BS_FILE_BLOCK_SPACE, &places[0]);
  g_assert_cmpuint (places[0].chunk, ==, 1);
  g_assert_cmpuint (bs_file_slot_space_take_ahead (&space, &places[0]), ==, 0);
  bs_file_slot_space_clear (&space);
}

/* Free slots take no more room than used ones, however scattered they are. */
static void
test_scattered (void)
{
  const guint n_places = 256 * 1024;
  g_autofree BsFileSlotPlace *places = g_new (BsFileSlotPlace, n_places);
  guint64 n_holes = 0;
  guint64 idle;
  BsFileSlotSpace space;
  BsFileHole hole;

  bs_file_slot_space_init (&space);
  for (guint i = 0; i < n_places; i++)
    bs_file_slot_space_take (&space, 4096, &places[i]);

  for (guint i = 0; i < n_places; i++)
    if (i % 16 != 0)
      {
        bs_file_slot_space_give (&space, &places[i]);
        for (guint n = 0; n < BS_FILE_MAX_HOLES && bs_file_slot_space_begin_hole (&space, &hole);
             n++)
          {
            n_holes++;
            bs_file_slot_space_end_hole (&space, &hole, TRUE);
          }
      }
  g_assert_cmpuint (space.used, ==, 64 * MIB);
  g_assert_cmpuint (space.idle, <=, 66 * MIB);
  g_assert_cmpuint (n_holes, >, 0);
  /* Neighbours become one hole. */
  g_assert_cmpuint (n_holes, <, (n_places * 15 / 16 - 66 * MIB / 4096) / 2);

  /* Holes are filled last. */
  idle = space.idle;
  bs_file_slot_space_take (&space, 4096, &places[1]);
  g_assert_cmpuint (space.idle, <, idle);
  bs_file_slot_space_clear (&space);
}

static int
open_memory (gpointer data, int *fd)
{
  guint *n_opened = data;

  (*n_opened)++;
  *fd = memfd_create ("slots", MFD_CLOEXEC);

  return *fd >= 0 ? 0 : errno;
}

static int
refuse_to_open (gpointer data, int *fd)
{
  return EMFILE;
}

static void
assert_slot_reads (BsFileSlots *slots, const BsKey *key, GBytes *expected)
{
  g_autoptr (GBytes) bytes = NULL;

  g_assert_cmpint (bs_file_slots_read (slots, key, NULL, &bytes), ==, 0);
  g_assert_true (g_bytes_equal (bytes, expected));
}

static void
test_slots (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (11);
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GBytes) large = make_test_bytes (BS_FILE_MAX_SLOT + 1, 1);
  BsKey keys[500];
  GBytes *contents[500] = { NULL };
  guint n_opened = 0;
  BsFileSlots slots = { NULL };

  g_cancellable_cancel (cancelled);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    bs_key_init_random (&keys[i]);
  bs_file_slots_init (&slots, open_memory, &n_opened);
  slots.lays_out = TRUE;

  for (guint round = 0; round < 20000; round++)
    {
      guint i = g_rand_int_range (random, 0, G_N_ELEMENTS (keys));

      if (contents[i] == NULL)
        {
          g_assert_cmpint (bs_file_slots_read (&slots, &keys[i], NULL, &bytes), ==, ENOENT);
          g_assert_false (bs_file_slots_remove (&slots, &keys[i]));
          contents[i] = make_test_bytes (random_length (random) / 8, round);
          g_assert_cmpint (bs_file_slots_write (&slots, &keys[i], contents[i], cancelled), ==,
                           ECANCELED);
          g_assert_cmpint (bs_file_slots_write (&slots, &keys[i], contents[i], NULL), ==, 0);
        }
      else if (round % 2 == 0)
        {
          assert_slot_reads (&slots, &keys[i], contents[i]);
        }
      else
        {
          g_assert_cmpint (bs_file_slots_write (&slots, &keys[i], contents[i], NULL), ==, EEXIST);
          g_assert_true (bs_file_slots_remove (&slots, &keys[i]));
          g_clear_pointer (&contents[i], g_bytes_unref);
        }
    }
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      gsize length = 0;

      g_assert_cmpint (bs_file_slots_contains (&slots, &keys[i], &length), ==, contents[i] != NULL);
      if (contents[i] != NULL)
        {
          g_assert_cmpuint (length, ==, g_bytes_get_size (contents[i]));
          assert_slot_reads (&slots, &keys[i], contents[i]);
        }
      g_clear_pointer (&contents[i], g_bytes_unref);
    }
  g_assert_cmpuint (n_opened, ==, 1);
  g_assert_cmpint (bs_file_slots_write (&slots, &keys[0], large, NULL), ==, ENOTSUP);

  bs_file_slots_close (&slots);
  g_assert_cmpint (bs_file_slots_read (&slots, &keys[0], NULL, &bytes), ==, ENOENT);
  g_assert_cmpint (bs_file_slots_write (&slots, &keys[0], large, NULL), ==, ENOTSUP);
  bs_file_slots_clear (&slots);
}

static void
test_no_descriptor (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (100, 1);
  BsFileSlots slots = { NULL };
  BsKey key;

  bs_key_init_random (&key);
  bs_file_slots_init (&slots, refuse_to_open, NULL);
  g_assert_cmpint (bs_file_slots_write (&slots, &key, bytes, NULL), ==, ENOTSUP);
  g_assert_false (bs_file_slots_contains (&slots, &key, NULL));
  g_assert_cmpuint (slots.space.used, ==, 0);
  bs_file_slots_clear (&slots);
}

/* A content that has changed is not taken for the blob. */
static void
test_corrupt (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (GBytes) read = NULL;
  guint n_opened = 0;
  BsFileSlots slots = { NULL };
  BsKey key;
  int fd;

  bs_key_init_random (&key);
  bs_file_slots_init (&slots, open_memory, &n_opened);
  g_assert_cmpint (bs_file_slots_write (&slots, &key, bytes, NULL), ==, 0);
  fd = g_array_index (slots.fds, int, 0);
  g_assert_cmpint (pwrite (fd, "x", 1, 4999), ==, 1);
  g_assert_cmpint (bs_file_slots_read (&slots, &key, NULL, &read), ==, EILSEQ);
  g_assert_cmpint (ftruncate (fd, 100), ==, 0);
  g_assert_cmpint (bs_file_slots_read (&slots, &key, NULL, &read), ==, EBADMSG);
  g_assert_null (read);
  bs_file_slots_clear (&slots);
}

static guint64
count_bytes (BsFileSlots *slots)
{
  guint64 n_bytes = 0;

  for (guint i = 0; i < slots->fds->len; i++)
    {
      struct stat status;

      g_assert_cmpint (fstat (g_array_index (slots->fds, int, i), &status), ==, 0);
      n_bytes += status.st_blocks * G_GUINT64_CONSTANT (512);
    }

  return n_bytes;
}

/* A file system gets back what is dropped, but for a small rest. */
static void
test_gives_back (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (65536, 1);
  g_autofree BsKey *keys = g_new (BsKey, 2000);
  guint n_opened = 0;
  BsFileSlots slots = { NULL };

  bs_file_slots_init (&slots, open_memory, &n_opened);
  for (guint i = 0; i < 2000; i++)
    {
      bs_key_init_random (&keys[i]);
      g_assert_cmpint (bs_file_slots_write (&slots, &keys[i], bytes, NULL), ==, 0);
    }
  g_assert_cmpuint (count_bytes (&slots), >=, 125 * MIB);
  for (guint i = 1; i < 2000; i++)
    g_assert_true (bs_file_slots_remove (&slots, &keys[i]));
  g_assert_cmpuint (count_bytes (&slots), <=, 18 * MIB);
  assert_slot_reads (&slots, &keys[0], bytes);

  bs_file_slots_close (&slots);
  bs_file_slots_clear (&slots);
}

static guint
count_blobs (const char *directory)
{
  /* The marker and the lock are none. */
  return count_files (directory) - 2;
}

/* A blob gets a file when it is persisted, with length and hash. */
static void
test_persist (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *other_name = g_build_filename (fixture->directory, "other", NULL);
  g_autoptr (GFile) other = g_file_new_for_path (other_name);
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 0);
  g_assert_false (bs_backing_write (fixture->backing, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
  g_clear_error (&error);

  persist_blob (fixture, fixture->key);
  g_assert_cmpint (get_inode (persisted), ==, get_inode (scratch));
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  g_assert_false (bs_backing_write (fixture->backing, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
  g_clear_error (&error);

  g_assert_true (bs_backing_persist (fixture->backing, other, fixture->key, NULL, &error));
  g_assert_true (bs_backing_verify_persisted (fixture->backing, other, fixture->key, NULL, &error));
  delete_blob (fixture, fixture->key);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  delete_scratch (fixture, fixture->key);
  assert_does_not_read (fixture->backing, fixture->key);
  write_blob (fixture, fixture->key);
  g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 0);
}

/* A content that goes to the path at once has a file from the start, and one that cannot
 * go there leaves nothing. */
static void
test_persist_bytes (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *shard = get_shard_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  plant (shard, "in the way");
  g_assert_false (bs_backing_persist_bytes (fixture->backing, fixture->path, fixture->key,
                                            fixture->bytes, NULL, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_false (exists (scratch));
  assert_does_not_read (fixture->backing, fixture->key);

  g_assert_cmpint (unlink (shard), ==, 0);
  g_assert_true (bs_backing_persist_bytes (fixture->backing, fixture->path, fixture->key,
                                           fixture->bytes, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (get_inode (persisted), ==, get_inode (scratch));
}

/* A key that is in a slot and at the path needs no file. */
static void
test_register (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GBytes) other = make_test_bytes (17, 4);
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  delete_scratch (fixture, fixture->key);
  write_blob (fixture, fixture->key);
  register_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  g_assert_false (exists (scratch));

  /* The path's blob counts where the two differ. */
  delete_scratch (fixture, fixture->key);
  g_assert_true (bs_backing_write (fixture->backing, fixture->key, other, NULL, NULL));
  register_blob (fixture, fixture->key);
  g_assert_cmpint (get_inode (persisted), ==, get_inode (scratch));
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  delete_scratch (fixture, fixture->key);
  assert_does_not_read (fixture->backing, fixture->key);
}

/* A process whose files may not grow keeps small blobs in files of their own, and is not
 * killed for the size of a file that it never asked for. */
static void
test_file_size_limit (Fixture *fixture, gconstpointer data)
{
  struct rlimit limit;
  struct rlimit small;
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < 300; i++)
    g_ptr_array_add (keys, write_other (fixture));
  g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 0);

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  small = limit;
  small.rlim_cur = 8192;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  for (guint i = 0; i < 100; i++)
    g_ptr_array_add (keys, write_other (fixture));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 100);

  for (guint i = 0; i < keys->len; i++)
    {
      assert_reads (fixture->backing, keys->pdata[i], fixture->bytes);
      delete_scratch (fixture, keys->pdata[i]);
    }
  g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 0);
}

/* A file that could be neither written nor removed does not replace the slot, which has
 * the only copy of the blob. */
static void
test_file_not_written (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  struct rlimit limit, small;

  write_blob (fixture, fixture->key);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  small = limit;
  small.rlim_cur = 100;
  signal (SIGXFSZ, SIG_IGN);
  is_refusing_removal = TRUE;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  is_refusing_removal = FALSE;
  signal (SIGXFSZ, SIG_DFL);
  g_assert_nonnull (error);
  g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 1);

  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  persist_blob (fixture, fixture->key);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
}

/* A full disk takes no blob, keeps no part of one, and takes it once there is room. */
static void
test_full_disk (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 4);
  g_autofree char *primary_name = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (200000, 1);
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);

  if (mount == NULL)
    return;

  primary_name = g_build_filename (mount_get_path (mount), "primary", NULL);
  move_primary (fixture, primary_name);
  for (guint round = 0; round < 3; round++)
    {
      g_autoptr (GError) error = NULL;

      while (error == NULL)
        {
          g_autofree char *key = bs_key_generate ();

          if (bs_backing_write (fixture->backing, key, bytes, NULL, &error))
            g_ptr_array_add (keys, g_steal_pointer (&key));
          else
            assert_does_not_read (fixture->backing, key);
        }
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_cmpuint (keys->len, >=, 15);
      for (guint i = 0; i < keys->len; i++)
        assert_reads (fixture->backing, keys->pdata[i], bytes);
      for (guint i = 0; i < 5; i++)
        {
          delete_scratch (fixture, keys->pdata[0]);
          g_ptr_array_remove_index (keys, 0);
        }
    }
  g_clear_object (&fixture->backing);
}

/* Scratch that a program removes is made again for what comes next. */
static void
test_removed_before_use (Fixture *fixture, gconstpointer data)
{
  g_autofree char *never = bs_key_generate ();

  assert_does_not_read (fixture->backing, never);
  remove_test_directory (fixture->primary_name);
  write_blob (fixture, fixture->key);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);

  /* Some file systems make a nameless file in a directory that is gone. */
  if (exists (fixture->primary_name))
    remove_test_directory (fixture->primary_name);
  persist_blob (fixture, fixture->key);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  g_assert_true (exists (fixture->primary_name));
}

static gpointer
write_and_drop (gpointer data)
{
  BsBacking *backing = data;

  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autoptr (GBytes) bytes = make_test_bytes (i * 17 % 70000, i);

      g_assert_true (bs_backing_write (backing, key, bytes, NULL, NULL));
      assert_reads (backing, key, bytes);
      g_assert_true (bs_backing_delete_key (backing, key, NULL, NULL));
    }

  return NULL;
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("slots", write_and_drop, fixture->backing);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 0);
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "persist", test_persist },
    { "persist-bytes", test_persist_bytes },
    { "register", test_register },
    { "file-size-limit", test_file_size_limit },
    { "file-not-written", test_file_not_written },
    { "full-disk", test_full_disk },
    { "removed-before-use", test_removed_before_use },
    { "threads", test_threads },
  };

  mount_init ();
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/file-slots/space", test_space);
  g_test_add_func ("/file-slots/ahead", test_ahead);
  g_test_add_func ("/file-slots/scattered", test_scattered);
  g_test_add_func ("/file-slots/slots", test_slots);
  g_test_add_func ("/file-slots/no-descriptor", test_no_descriptor);
  g_test_add_func ("/file-slots/corrupt", test_corrupt);
  g_test_add_func ("/file-slots/gives-back", test_gives_back);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-slots/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up, tests[i].func, tear_down);
    }

  return g_test_run ();
}
