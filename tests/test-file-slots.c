/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Small blobs of scratch, which have no files of their own. */

#include "file-fixture.h"
#include "file-mount.h"
#include "waiting.h"

#include "backings/bs-file-slots-private.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024 * 1024)

static gboolean is_refusing_removal;
static int is_holding_removal; /* atomic */
static int is_removal_held;    /* atomic */

/* In place of the C library's. */
int
unlinkat (int fd, const char *name, int flags)
{
  if (is_refusing_removal)
    {
      errno = EIO;
      return -1;
    }
  while (g_atomic_int_get (&is_holding_removal))
    {
      g_atomic_int_set (&is_removal_held, TRUE);
      g_thread_yield ();
    }

  return syscall (SYS_unlinkat, fd, name, flags);
}

/* Called once, by the next call that reads, writes or makes a hole, as by another thread. */
static struct
{
  void (*func) (BsFileSlots *slots, const BsKey *key);
  BsFileSlots *slots;
  const BsKey *key;
} meanwhile;

static gboolean is_refusing_holes;

static void
set_meanwhile (void (*func) (BsFileSlots *, const BsKey *), BsFileSlots *slots, const BsKey *key)
{
  meanwhile.func = func;
  meanwhile.slots = slots;
  meanwhile.key = key;
}

static void
call_meanwhile (void)
{
  void (*func) (BsFileSlots *, const BsKey *) = meanwhile.func;

  if (func == NULL)
    return;

  meanwhile.func = NULL;
  func (meanwhile.slots, meanwhile.key);
}

static gpointer
find_in_library (const char *name, const char *name_of_64_bits)
{
  return dlsym (RTLD_NEXT, sizeof (off_t) == 8 ? name_of_64_bits : name);
}

/* In place of the C library's. */
ssize_t
pwrite (int fd, const void *data, size_t size, off_t offset)
{
  ssize_t (*library) (int, const void *, size_t, off_t);

  *(void **) &library = find_in_library ("pwrite", "pwrite64");
  call_meanwhile ();

  return library (fd, data, size, offset);
}

/* In place of the C library's. */
ssize_t
pread (int fd, void *data, size_t size, off_t offset)
{
  ssize_t (*library) (int, void *, size_t, off_t);

  *(void **) &library = find_in_library ("pread", "pread64");
  call_meanwhile ();

  return library (fd, data, size, offset);
}

/* In place of the C library's. */
int
fallocate (int fd, int mode, off_t offset, off_t size)
{
  int (*library) (int, int, off_t, off_t);

  *(void **) &library = find_in_library ("fallocate", "fallocate64");
  call_meanwhile ();
  if (is_refusing_holes && (mode & FALLOC_FL_PUNCH_HOLE))
    {
      errno = EOPNOTSUPP;
      return -1;
    }

  return library (fd, mode, offset, size);
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

static gpointer
get_in_hole (const BsFileHole *hole, guint i)
{
  gsize size = hole->whole ? 64 : hole->length / hole->n_slots;

  return GSIZE_TO_POINTER ((gsize) hole->offset + i * size + 1);
}

static guint
count_in_hole (const BsFileHole *hole)
{
  return hole->whole ? BS_FILE_CHUNK_SPACE / 64 : hole->n_slots;
}

/* Nothing of a hole is used until it is made. */
static void
begin_holes (BsFileSlotSpace *space, GHashTable *owners, GArray *begun)
{
  BsFileHole hole;

  while (begun->len < 3 && bs_file_slot_space_begin_hole (space, FALSE, &hole))
    {
      for (guint i = 0; i < count_in_hole (&hole); i++)
        g_assert_true (g_hash_table_add (owners, get_in_hole (&hole, i)));
      g_array_append_val (begun, hole);
    }
}

static void
end_holes (BsFileSlotSpace *space, GHashTable *owners, GArray *begun)
{
  for (guint n = 0; n < begun->len; n++)
    {
      const BsFileHole *hole = &g_array_index (begun, BsFileHole, n);

      for (guint i = 0; i < count_in_hole (hole); i++)
        g_assert_true (g_hash_table_remove (owners, get_in_hole (hole, i)));
      bs_file_slot_space_end_hole (space, hole, TRUE);
    }
  g_array_set_size (begun, 0);
}

/* Slots in use hold what is asked for, and none overlaps another one or a hole. */
static void
test_space (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  g_autoptr (GArray) taken = g_array_new (FALSE, FALSE, sizeof (Ahead));
  g_autoptr (GArray) places = g_array_new (FALSE, FALSE, sizeof (BsFileSlotPlace));
  g_autoptr (GArray) begun = g_array_new (FALSE, FALSE, sizeof (BsFileHole));
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

      begin_holes (&space, owners, begun);
      if (round % 16 == 0)
        end_holes (&space, owners, begun);
    }

  end_holes (&space, owners, begun);
  give_ahead (&space, owners, taken);
  while (places->len > 0)
    {
      bs_file_slot_space_give (&space, &g_array_index (places, BsFileSlotPlace, places->len - 1));
      g_array_set_size (places, places->len - 1);
    }
  while (bs_file_slot_space_begin_hole (&space, FALSE, &hole))
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

static int
compare_places (gconstpointer a, gconstpointer b)
{
  goffset first = bs_file_slot_space_get_offset (a);
  goffset second = bs_file_slot_space_get_offset (b);

  return (first > second) - (first < second);
}

/* Free slots take no more room than used ones, however scattered they are and in whichever
 * order they are given back. */
static void
test_scattered (void)
{
  const guint n_places = 256 * 1024;
  const guint64 used = 64 * MIB;
  const guint64 most = used + 2 * MIB;
  g_autofree BsFileSlotPlace *places = g_new (BsFileSlotPlace, n_places);

  for (guint shuffled = 0; shuffled < 2; shuffled++)
    {
      guint64 n_holes = 0;
      guint64 idle;
      BsFileSlotSpace space;
      BsFileHole hole;

      bs_file_slot_space_init (&space);
      for (guint i = 0; i < n_places; i++)
        bs_file_slot_space_take (&space, 4096, &places[i]);
      for (guint i = n_places - 1; shuffled && i > 0; i--)
        {
          guint other = g_test_rand_int_range (0, i + 1);
          BsFileSlotPlace place = places[i];

          places[i] = places[other];
          places[other] = place;
        }

      for (guint i = 0; i < n_places; i++)
        if (i % 16 != 0)
          bs_file_slot_space_give (&space, &places[i]);
      while (bs_file_slot_space_begin_hole (&space, FALSE, &hole))
        {
          n_holes++;
          bs_file_slot_space_end_hole (&space, &hole, TRUE);
        }
      g_assert_false (bs_file_slot_space_has_excess (&space));
      g_assert_cmpuint (space.used, ==, used);
      g_assert_cmpuint (space.idle, <=, most);
      g_assert_cmpuint (n_holes, >, 0);
      /* Neighbours become one hole, of six slots and more. */
      g_assert_cmpuint (n_holes, <, (n_places * 15 / 16 - most / 4096) / 6);

      /* Holes are filled last. */
      idle = space.idle;
      bs_file_slot_space_take (&space, 4096, &places[1]);
      g_assert_cmpuint (space.idle, <, idle);

      /* Each of them can be used, once. */
      for (guint i = 2; i < n_places; i++)
        if (i % 16 != 0)
          bs_file_slot_space_take (&space, 4096, &places[i]);
      g_assert_cmpuint (space.used, ==, (guint64) n_places * 4096);
      g_assert_cmpuint (space.idle, ==, 0);
      g_assert_cmpuint (space.n_chunks, ==, n_places / 256);
      qsort (places, n_places, sizeof *places, compare_places);
      for (guint i = 0; i < n_places; i++)
        g_assert_cmpint (bs_file_slot_space_get_offset (&places[i]), ==, (goffset) i * 4096);
      bs_file_slot_space_clear (&space);
    }
}

/* A chunk whose free slots are all becoming a hole has no slot to give. */
static void
test_hole_meanwhile (void)
{
  enum
  {
    N_CHUNKS = 128,
    N_IN_CHUNK = BS_FILE_CHUNK_SPACE / 4096
  };
  const guint n_places = N_CHUNKS * N_IN_CHUNK;
  g_autofree BsFileSlotPlace *places = g_new (BsFileSlotPlace, n_places);
  g_autoptr (GHashTable) owners = g_hash_table_new (g_direct_hash, g_direct_equal);
  g_autoptr (GArray) begun = g_array_new (FALSE, FALSE, sizeof (BsFileHole));
  BsFileSlotSpace space;

  bs_file_slot_space_init (&space);
  for (guint i = 0; i < n_places; i++)
    bs_file_slot_space_take (&space, 4096, &places[i]);
  for (guint i = 0; i < n_places; i++)
    if (places[i].index == 0)
      g_hash_table_add (owners, GSIZE_TO_POINTER (bs_file_slot_space_get_offset (&places[i]) + 1));
    else
      bs_file_slot_space_give (&space, &places[i]);

  begin_holes (&space, owners, begun);
  g_assert_cmpuint (g_hash_table_size (owners), ==, N_CHUNKS + begun->len * (N_IN_CHUNK - 1));
  for (guint i = 0; i < n_places; i++)
    {
      BsFileSlotPlace place;

      bs_file_slot_space_take (&space, 4096, &place);
      g_assert_true (
        g_hash_table_add (owners, GSIZE_TO_POINTER (bs_file_slot_space_get_offset (&place) + 1)));
    }
  end_holes (&space, owners, begun);
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
          g_assert_cmpint (bs_file_slots_read (&slots, &keys[i], cancelled, &bytes), ==, ECANCELED);
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
      if (contents[i] != NULL)
        g_assert_true (bs_file_slots_remove (&slots, &keys[i]));
      g_clear_pointer (&contents[i], g_bytes_unref);
    }
  g_assert_cmpuint (n_opened, ==, 1);
  g_assert_cmpuint (slots.space.n_chunks_used, ==, 0);
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
  /* A file that was not opened has nothing to give. */
  g_assert_false (bs_file_slots_give_back (&slots, 0));
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

static gboolean
is_trimming (BsFileSlots *slots)
{
  gboolean trimming;

  g_mutex_lock (&slots->mutex);
  trimming = slots->is_trimming;
  g_mutex_unlock (&slots->mutex);

  return trimming;
}

static void
fill (BsFileSlots *slots, BsKey *keys, guint n, GBytes *bytes)
{
  for (guint i = 0; i < n; i++)
    {
      bs_key_init_random (&keys[i]);
      g_assert_cmpint (bs_file_slots_write (slots, &keys[i], bytes, NULL), ==, 0);
    }
}

static void
empty (BsFileSlots *slots, const BsKey *keys, guint n)
{
  for (guint i = 0; i < n; i++)
    g_assert_true (bs_file_slots_remove (slots, &keys[i]));
}

/* A file system gets back what is dropped, but for a small rest, each time. */
static void
test_gives_back (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (65536, 1);
  g_autofree BsKey *keys = g_new (BsKey, 2000);
  guint n_opened = 0;
  BsFileSlots slots = { NULL };

  bs_file_slots_init (&slots, open_memory, &n_opened);
  slots.trim_pause = 0;
  for (guint round = 0; round < 2; round++)
    {
      fill (&slots, keys, 2000, bytes);
      g_assert_cmpuint (count_bytes (&slots), >=, 125 * MIB);
      empty (&slots, &keys[1], 1999);
      wait_until (!is_trimming (&slots));
      g_assert_cmpuint (count_bytes (&slots), <=, 18 * MIB);
      assert_slot_reads (&slots, &keys[0], bytes);
      empty (&slots, keys, 1);
    }

  bs_file_slots_close (&slots);
  bs_file_slots_clear (&slots);
}

/* One of two threads that find the disk full. */
typedef struct
{
  BsFileSlots *slots;
  gboolean made_room;
  int has_ended; /* atomic */
} Late;

static Late late;
static GThread *late_thread;

static gpointer
give_back_late (gpointer data)
{
  late.made_room = bs_file_slots_give_back (late.slots, 0);
  g_atomic_int_set (&late.has_ended, TRUE);

  return NULL;
}

/* By the thread that takes the only part that is free. The other one waits, and would end
 * otherwise. */
static void
begin_giving_back (BsFileSlots *slots, const BsKey *key)
{
  late = (Late){ slots };
  late_thread = g_thread_new ("late", give_back_late, NULL);
  for (guint i = 0; i < 10000 && !g_atomic_int_get (&late.has_ended); i++)
    g_thread_yield ();
}

/* Room that one thread makes is room for all that have found the disk full before. */
static void
test_full_for_two (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (65536, 1);
  guint n_opened = 0;
  BsFileSlots slots = { NULL };
  BsKey key;

  bs_file_slots_init (&slots, open_memory, &n_opened);
  fill (&slots, &key, 1, bytes);
  empty (&slots, &key, 1);

  set_meanwhile (begin_giving_back, &slots, NULL);
  g_assert_true (bs_file_slots_give_back (&slots, 0));
  g_assert_null (meanwhile.func);
  g_thread_join (late_thread);
  g_assert_true (late.made_room);

  /* A thread that comes later as well, if it has found the disk full before. */
  g_assert_true (bs_file_slots_give_back (&slots, 0));
  g_assert_false (bs_file_slots_give_back (&slots, bs_file_slots_get_n_given (&slots)));

  bs_file_slots_close (&slots);
  bs_file_slots_clear (&slots);
}

static int
open_limited (gpointer data, int *fd)
{
  const goffset *limit = data;

  *fd = memfd_create ("slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0 || ftruncate (*fd, *limit) != 0)
    return errno;

  return fcntl (*fd, F_ADD_SEALS, F_SEAL_GROW) == 0 ? 0 : errno;
}

/* A blob that can be written in part only leaves nothing behind. */
static void
test_write_fails (void)
{
  g_autoptr (GBytes) large = make_test_bytes (12288, 1);
  g_autoptr (GBytes) small = make_test_bytes (1000, 2);
  g_autoptr (GBytes) fits = make_test_bytes (8192, 3);
  goffset limit = 8192;
  BsFileSlots slots = { NULL };
  BsKey key;

  bs_key_init_random (&key);
  bs_file_slots_init (&slots, open_limited, &limit);
  slots.lays_out = TRUE;

  g_assert_cmpint (bs_file_slots_write (&slots, &key, large, NULL), ==, EPERM);
  g_assert_false (bs_file_slots_contains (&slots, &key, NULL));
  g_assert_cmpuint (slots.space.used, ==, 0);
  g_assert_cmpuint (slots.space.n_chunks_used, ==, 0);
  g_assert_cmpuint (count_bytes (&slots), ==, 0);

  for (guint i = 0; i < 2; i++)
    {
      GBytes *bytes = i == 0 ? fits : small;

      g_assert_cmpint (bs_file_slots_write (&slots, &key, bytes, NULL), ==, 0);
      assert_slot_reads (&slots, &key, bytes);
      g_assert_true (bs_file_slots_remove (&slots, &key));
      g_assert_cmpuint (slots.space.n_chunks_used, ==, 0);
    }
  bs_file_slots_clear (&slots);
}

/* A process that may write no more is not killed for a blob that ends behind the limit. */
static void
test_write_limited (void)
{
  g_autoptr (GBytes) large = make_test_bytes (5000, 1);
  g_autoptr (GBytes) small = make_test_bytes (4000, 2);
  struct rlimit limit, page;
  guint n_opened = 0;
  BsFileSlots slots = { NULL };
  BsKey key;

  bs_key_init_random (&key);
  bs_file_slots_init (&slots, open_memory, &n_opened);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  page = limit;
  page.rlim_cur = 4096;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &page), ==, 0);
  g_assert_cmpint (bs_file_slots_write (&slots, &key, large, NULL), ==, ENOTSUP);
  g_assert_cmpint (bs_file_slots_write (&slots, &key, small, NULL), ==, 0);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  assert_slot_reads (&slots, &key, small);
  bs_file_slots_clear (&slots);
}

static void
close_slots (BsFileSlots *slots, const BsKey *key)
{
  bs_file_slots_close (slots);
}

static GThread *closing; /* atomic */

static gpointer
close_in_thread (gpointer slots)
{
  bs_file_slots_close (slots);
  return NULL;
}

static gboolean
is_closed (BsFileSlots *slots)
{
  gboolean closed;

  g_mutex_lock (&slots->mutex);
  closed = slots->closed;
  g_mutex_unlock (&slots->mutex);

  return closed;
}

/* By the trimmer, which a close awaits: no blob is found meanwhile. */
static void
begin_closing_slots (BsFileSlots *slots, const BsKey *key)
{
  g_autoptr (GBytes) bytes = NULL;

  g_assert_true (bs_file_slots_contains (slots, key, NULL));
  g_atomic_pointer_set (&closing, g_thread_new ("closing", close_in_thread, slots));
  while (!is_closed (slots))
    g_thread_yield ();
  g_assert_cmpint (bs_file_slots_read (slots, key, NULL, &bytes), ==, ENOENT);
}

static void
assert_closed (BsFileSlots *slots, int copy_of_fd)
{
  struct stat status;

  g_assert_null (meanwhile.func);
  g_assert_cmpuint (slots->fds->len, ==, 0);
  g_assert_cmpint (fstat (copy_of_fd, &status), ==, 0);
  g_assert_cmpint (status.st_size, ==, 0);
}

/* A file that is in use stays open, and is emptied by its last user: a child of a fork may
 * hold it for longer. */
static void
test_close_meanwhile (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (65536, 1);
  BsKey keys[401];

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    bs_key_init_random (&keys[i]);

  for (guint use = 0; use < 4; use++)
    {
      guint n_opened = 0;
      BsFileSlots slots = { NULL };
      int copy_of_fd;

      bs_file_slots_init (&slots, open_memory, &n_opened);
      slots.trim_pause = 0;
      for (guint i = 0; i < 400; i++)
        g_assert_cmpint (bs_file_slots_write (&slots, &keys[i], bytes, NULL), ==, 0);
      copy_of_fd = dup (g_array_index (slots.fds, int, 0));

      set_meanwhile (use == 2 ? begin_closing_slots : close_slots, &slots, &keys[399]);
      switch (use)
        {
        case 0:
          g_assert_cmpint (bs_file_slots_write (&slots, &keys[400], bytes, NULL), ==, EBADF);
          g_assert_false (bs_file_slots_contains (&slots, &keys[400], NULL));
          break;
        case 1:
          assert_slot_reads (&slots, &keys[0], bytes);
          break;
        case 2:
          for (guint i = 0; i < 399 && !is_closed (&slots); i++)
            bs_file_slots_remove (&slots, &keys[i]);
          wait_until (g_atomic_pointer_get (&closing) != NULL);
          g_thread_join (closing);
          break;
        default:
          meanwhile.func = NULL;
          bs_file_slots_close (&slots);
        }
      assert_closed (&slots, copy_of_fd);
      g_assert_false (bs_file_slots_contains (&slots, &keys[399], NULL));
      g_assert_cmpint (bs_file_slots_write (&slots, &keys[0], bytes, NULL), ==, EBADF);

      close (copy_of_fd);
      bs_file_slots_clear (&slots);
    }
}

static void
remove_slot (BsFileSlots *slots, const BsKey *key)
{
  g_assert_true (bs_file_slots_remove (slots, key));
}

/* A pause that no test waits for. */
#define LONG_PAUSE G_TIME_SPAN_DAY

/* Dropped slots are kept for a while. A close neither waits for the end of that nor makes a
 * hole. */
static void
test_close_before_trim (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (65536, 1);

  for (guint closes = 0; closes < 2; closes++)
    {
      BsKey keys[400];
      guint n_opened = 0;
      BsFileSlots slots = { NULL };

      bs_file_slots_init (&slots, open_memory, &n_opened);
      slots.trim_pause = LONG_PAUSE;
      fill (&slots, keys, G_N_ELEMENTS (keys), bytes);
      empty (&slots, keys, G_N_ELEMENTS (keys));
      g_assert_true (is_trimming (&slots));
      g_assert_cmpuint (count_bytes (&slots), >=, 25 * MIB);

      fill (&slots, keys, G_N_ELEMENTS (keys), bytes);
      g_assert_cmpuint (slots.space.n_chunks, ==, 25);
      empty (&slots, keys, G_N_ELEMENTS (keys));

      set_meanwhile (remove_slot, &slots, &keys[0]);
      if (closes)
        bs_file_slots_close (&slots);
      bs_file_slots_clear (&slots);
      g_assert_nonnull (meanwhile.func);
      meanwhile.func = NULL;
    }
}

/* Ends a child that has done its work. A process that is killed tells of no leak: threads of
 * the parent have memory that nobody in the child knows of. */
static void
end_child (void)
{
  kill (getpid (), SIGKILL);
}

static void
assert_child_ends (pid_t pid)
{
  int status;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
}

/* A child of a fork has no trimmer to wait for, and a mutex that nobody unlocks there. */
static void
test_fork_before_trim (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (65536, 1);
  BsKey keys[400];
  guint n_opened = 0;
  BsFileSlots slots = { NULL };
  pid_t pid;

  bs_file_slots_init (&slots, open_memory, &n_opened);
  slots.trim_pause = LONG_PAUSE;
  fill (&slots, keys, G_N_ELEMENTS (keys), bytes);
  empty (&slots, keys, G_N_ELEMENTS (keys));

  g_mutex_lock (&slots.mutex);
  g_assert_true (slots.is_trimming);
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      alarm (60);
      bs_file_slots_clear (&slots);
      end_child ();
    }
  g_mutex_unlock (&slots.mutex);
  assert_child_ends (pid);

  bs_file_slots_clear (&slots);
}

/* By the trimmer, when no other blob is left. */
static void
remove_last (BsFileSlots *slots, const BsKey *key)
{
  gsize n_slots;

  do
    {
      g_thread_yield ();
      g_mutex_lock (&slots->mutex);
      n_slots = slots->table.n_slots;
      g_mutex_unlock (&slots->mutex);
    }
  while (n_slots > 1);
  remove_slot (slots, key);
}

/* A file system that makes no holes gets all back at once, when no blob is left, and none is
 * being read. */
static void
test_no_holes (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (65536, 1);
  BsKey keys[400];
  guint n_opened = 0;
  BsFileSlots slots = { NULL };

  bs_file_slots_init (&slots, open_memory, &n_opened);
  slots.trim_pause = 0;
  is_refusing_holes = TRUE;
  for (guint round = 0; round < 2; round++)
    {
      fill (&slots, keys, G_N_ELEMENTS (keys), bytes);
      empty (&slots, &keys[1], G_N_ELEMENTS (keys) - 1);
      wait_until (!is_trimming (&slots));
      g_assert_cmpuint (count_bytes (&slots), >=, 25 * MIB);
      g_assert_cmpuint (slots.space.cold->len, ==, 0);

      set_meanwhile (remove_slot, &slots, &keys[0]);
      assert_slot_reads (&slots, &keys[0], bytes);
      g_assert_null (meanwhile.func);
      g_assert_cmpint (bs_file_slots_write (&slots, &keys[0], bytes, NULL), ==, 0);
      remove_slot (&slots, &keys[0]);
      g_assert_cmpuint (count_bytes (&slots), ==, 0);
    }
  bs_file_slots_close (&slots);
  bs_file_slots_clear (&slots);

  /* No blob is left when the first hole is refused. */
  slots = (BsFileSlots){ NULL };
  bs_file_slots_init (&slots, open_memory, &n_opened);
  slots.trim_pause = 0;
  fill (&slots, keys, G_N_ELEMENTS (keys), bytes);
  set_meanwhile (remove_last, &slots, &keys[0]);
  empty (&slots, &keys[1], G_N_ELEMENTS (keys) - 1);
  wait_until (!is_trimming (&slots));
  g_assert_null (meanwhile.func);
  g_assert_cmpuint (count_bytes (&slots), ==, 0);
  bs_file_slots_clear (&slots);
  is_refusing_holes = FALSE;
}

/* Blobs beyond the largest size of a file are in another file. */
static void
test_two_files (void)
{
  g_autoptr (GBytes) first = make_test_bytes (100, 1);
  g_autoptr (GBytes) second = make_test_bytes (200, 2);
  const goffset behind = G_GINT64_CONSTANT (1) << 30;
  guint n_opened = 0;
  BsFileSlotPlace place;
  BsFileSlots slots = { NULL };
  BsKey keys[2];

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    bs_key_init_random (&keys[i]);
  bs_file_slots_init (&slots, open_memory, &n_opened);
  g_assert_cmpint (bs_file_slots_write (&slots, &keys[0], first, NULL), ==, 0);
  do
    bs_file_slot_space_take (&slots.space, BS_FILE_MAX_SLOT, &place);
  while (bs_file_slot_space_get_offset (&place) < 2 * behind);
  g_assert_cmpint (bs_file_slots_write (&slots, &keys[1], second, NULL), ==, 0);

  g_assert_cmpuint (n_opened, ==, 3);
  for (guint i = 0; i < slots.fds->len; i++)
    {
      struct stat status;

      g_assert_cmpint (fstat (g_array_index (slots.fds, int, i), &status), ==, 0);
      g_assert_cmpint (status.st_size, <, behind);
    }
  assert_slot_reads (&slots, &keys[0], first);
  assert_slot_reads (&slots, &keys[1], second);

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

  /* A blob that was there before stays. */
  write_blob (fixture, fixture->key);
  g_assert_false (bs_backing_persist_bytes (fixture->backing, fixture->path, fixture->key,
                                            fixture->bytes, NULL, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  delete_scratch (fixture, fixture->key);

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
  g_autoptr (GBytes) large = make_test_bytes (BS_FILE_MAX_SLOT + 1, 5);
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
  for (guint i = 0; i < 2; i++)
    {
      delete_scratch (fixture, fixture->key);
      g_assert_true (
        bs_backing_write (fixture->backing, fixture->key, i == 0 ? other : large, NULL, NULL));
      register_blob (fixture, fixture->key);
      if (i == 0)
        g_assert_cmpint (get_inode (persisted), ==, get_inode (scratch));
      assert_reads (fixture->backing, fixture->key, fixture->bytes);
      g_assert_false (bs_backing_write (fixture->backing, fixture->key, other, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
      g_clear_error (&error);
    }
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

/* Files can be neither written nor removed until they are allowed. */
static void
refuse_files (struct rlimit *limit)
{
  struct rlimit small;

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, limit), ==, 0);
  small = *limit;
  small.rlim_cur = 100;
  signal (SIGXFSZ, SIG_IGN);
  is_refusing_removal = TRUE;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
}

static void
allow_files (const struct rlimit *limit)
{
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, limit), ==, 0);
  is_refusing_removal = FALSE;
  signal (SIGXFSZ, SIG_DFL);
}

/* A file that could be neither written nor removed does not replace the slot, which has
 * the only copy of the blob. */
static void
test_file_not_written (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;
      struct rlimit limit;

      write_blob (fixture, fixture->key);
      refuse_files (&limit);
      g_assert_false (
        bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
      allow_files (&limit);
      g_assert_nonnull (error);
      g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 1);

      assert_reads (fixture->backing, fixture->key, fixture->bytes);
      if (i == 0)
        {
          delete_scratch (fixture, fixture->key);
          g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 0);
          assert_does_not_read (fixture->backing, fixture->key);
        }
    }

  persist_blob (fixture, fixture->key);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
}

/* The rest of a failed write that could not be removed is no blob for any function. */
static void
test_rest_is_no_blob (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) large = make_test_bytes (BS_FILE_MAX_SLOT + 1, 1);
  g_autoptr (GBytes) at_path = g_bytes_new_static ("at the path", 11);

  for (guint use = 0; use < 8; use++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autofree char *blob = NULL;
      g_autoptr (GInputStream) stream = NULL;
      g_autoptr (GInputStream) source = NULL;
      g_autoptr (GError) error = NULL;
      GBytes *expected = NULL;
      struct rlimit limit;

      refuse_files (&limit);
      g_assert_false (bs_backing_write (fixture->backing, key, large, NULL, NULL));
      g_assert_null (bs_backing_read (fixture->backing, key, NULL, NULL));
      allow_files (&limit);
      g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 1);

      switch (use)
        {
        case 0:
          break;
        case 1:
          stream = bs_backing_read_stream (fixture->backing, key, NULL, &error);
          g_assert_null (stream);
          g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
          g_clear_error (&error);
          break;
        case 2:
          g_assert_false (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
          g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
          g_clear_error (&error);
          g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
          break;
        case 3:
          delete_scratch (fixture, key);
          g_assert_cmpuint (count_blobs (fixture->primary_name), ==, 0);
          break;
        case 4:
          bs_backing_write (fixture->backing, key, large, NULL, &error);
          expected = large;
          break;
        case 5:
          source = g_memory_input_stream_new_from_bytes (large);
          bs_backing_write_stream (fixture->backing, key, source, -1, NULL, &error);
          expected = large;
          break;
        case 6:
          bs_backing_persist_bytes (fixture->backing, fixture->path, key, large, NULL, &error);
          expected = large;
          break;
        default:
          blob = get_blob_name (fixture->path_name, key);
          plant (blob, "at the path");
          bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error);
          expected = at_path;
          break;
        }
      g_assert_no_error (error);

      if (expected != NULL)
        assert_reads (fixture->backing, key, expected);
      else
        assert_does_not_read (fixture->backing, key);
      delete_scratch (fixture, key);
      assert_does_not_read (fixture->backing, key);
      if (use == 6)
        g_assert_true (
          bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, NULL));
    }
}

/* A key that is deleted may get another content, in any form. */
static void
test_another_content (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) large = make_test_bytes (BS_FILE_MAX_SLOT + 1, 1);
  g_autoptr (GBytes) other = make_test_bytes (BS_FILE_MAX_SLOT + 1, 2);
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_write (fixture->backing, fixture->key, large, NULL, NULL));
  delete_scratch (fixture, fixture->key);
  g_assert_true (
    bs_backing_persist_bytes (fixture->backing, fixture->path, fixture->key, other, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, other);
}

/* A key has one blob, whichever of slot and file it has. */
static void
test_exists (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) large = make_test_bytes (BS_FILE_MAX_SLOT + 1, 1);
  GBytes *const sizes[] = { fixture->bytes, large };

  for (guint i = 0; i < 4; i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (sizes[i / 2]);
      g_autoptr (GError) error = NULL;

      g_assert_true (bs_backing_write (fixture->backing, key, sizes[i % 2], NULL, NULL));
      g_assert_false (bs_backing_write (fixture->backing, key, sizes[i / 2], NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
      g_clear_error (&error);
      g_assert_false (bs_backing_write_stream (fixture->backing, key, stream, -1, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
      g_clear_error (&error);

      /* The blob that is there goes to the path. */
      g_assert_true (bs_backing_persist_bytes (fixture->backing, fixture->path, key, sizes[i % 2],
                                               NULL, &error));
      g_assert_no_error (error);
      assert_reads (fixture->backing, key, sizes[i % 2]);
      delete_scratch (fixture, key);
      g_assert_true (bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error));
      assert_reads (fixture->backing, key, sizes[i % 2]);
      delete_scratch (fixture, key);
      assert_does_not_read (fixture->backing, key);
    }
}

/* A file in scratch that is nobody's blob is not what is persisted. */
static void
test_planted (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);

  write_blob (fixture, fixture->key);
  plant (scratch, "of another program");
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

/* Calls that need room. */
static gboolean
need_slot (Fixture *fixture, GError **error)
{
  g_autoptr (GBytes) bytes = make_test_bytes (400000, 2);
  g_autofree char *key = bs_key_generate ();

  return bs_backing_write (fixture->backing, key, bytes, NULL, error);
}

static gboolean
need_file (Fixture *fixture, GError **error)
{
  g_autofree char *key = bs_key_generate ();

  return bs_backing_write (fixture->backing, key, fixture->bytes, NULL, error);
}

static gboolean
need_copy (Fixture *fixture, GError **error)
{
  g_autofree char *key = bs_key_generate ();
  g_autofree char *name = g_build_filename (fixture->directory, "source", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (name);

  return bs_backing_write_file (fixture->backing, key, file, NULL, error);
}

static gboolean
need_stream (Fixture *fixture, GError **error)
{
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (fixture->bytes);

  if (!bs_backing_write_stream (fixture->backing, key, stream, -1, NULL, error))
    return FALSE;

  assert_reads (fixture->backing, key, fixture->bytes);
  return TRUE;
}

static gboolean
need_slot_for_stream (Fixture *fixture, GError **error)
{
  g_autoptr (GBytes) bytes = make_test_bytes (400000, 2);
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (bytes);

  return bs_backing_write_stream (fixture->backing, key, stream, -1, NULL, error);
}

static gboolean
need_persist (Fixture *fixture, GError **error)
{
  return bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, error);
}

static gboolean
need_persist_bytes (Fixture *fixture, GError **error)
{
  g_autofree char *key = bs_key_generate ();

  return bs_backing_persist_bytes (fixture->backing, fixture->path, key, fixture->bytes, NULL,
                                   error);
}

/* On another file system, with one blob. */
static const char elsewhere_key[] = "e0000000-0000-4000-8000-000000000000";

static GFile *
get_elsewhere (Fixture *fixture)
{
  g_autofree char *name = g_build_filename (fixture->directory, "elsewhere", NULL);

  return g_file_new_for_path (name);
}

static gboolean
need_register (Fixture *fixture, GError **error)
{
  g_autoptr (GFile) elsewhere = get_elsewhere (fixture);

  return bs_backing_register_key (fixture->backing, elsewhere, elsewhere_key, NULL, error);
}

static gboolean
need_root (Fixture *fixture, GError **error)
{
  return bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, error);
}

/* Free slots between others give their room to whatever finds the disk full. */
static void
test_makes_room (Fixture *fixture, gconstpointer data)
{
  gboolean (*const calls[]) (Fixture *, GError **) = {
    need_slot,    need_file,          need_copy, need_stream,  need_slot_for_stream,
    need_persist, need_persist_bytes, need_root, need_register
  };
  g_autoptr (GFile) elsewhere = get_elsewhere (fixture);
  g_autofree char *source = g_build_filename (fixture->directory, "source", NULL);
  g_autoptr (GBytes) slot = make_test_bytes (65536, 1);

  g_bytes_unref (fixture->bytes);
  fixture->bytes = make_test_bytes (MIB, 3);
  g_assert_true (g_file_set_contents (source, g_bytes_get_data (fixture->bytes, NULL), MIB, NULL));
  g_assert_true (bs_backing_persist_bytes (fixture->backing, elsewhere, elsewhere_key,
                                           fixture->bytes, NULL, NULL));

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 20);
      g_autofree char *primary_name = NULL;
      g_autofree char *path_name = NULL;
      g_autoptr (GError) error = NULL;
      char *keys[192];

      if (mount == NULL)
        return;

      primary_name = g_build_filename (mount_get_path (mount), "primary", NULL);
      path_name = g_build_filename (mount_get_path (mount), "persisted", NULL);
      move_primary (fixture, primary_name);
      move_path (fixture, path_name);
      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
      for (guint k = 0; k < G_N_ELEMENTS (keys); k++)
        {
          keys[k] = bs_key_generate ();
          g_assert_true (bs_backing_write (fixture->backing, keys[k], slot, NULL, &error));
        }
      g_assert_true (bs_backing_write (fixture->backing, fixture->key, slot, NULL, &error));
      for (guint k = 0; k < G_N_ELEMENTS (keys); k++)
        if (k % 16 != 0)
          g_assert_true (bs_backing_delete_key (fixture->backing, keys[k], NULL, &error));

      mount_fill (mount);
      calls[i](fixture, &error);
      g_assert_no_error (error);
      assert_reads (fixture->backing, fixture->key, slot);
      for (guint k = 0; k < G_N_ELEMENTS (keys); k++)
        {
          if (k % 16 == 0)
            assert_reads (fixture->backing, keys[k], slot);
          g_free (keys[k]);
        }
      g_clear_object (&fixture->backing);
    }
}

/* A child of a fork drops a backing whose parent removes the blobs of a crashed process. */
static void
test_fork_while_sweeping (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *other = write_other (fixture);
  pid_t pid;

  g_clear_object (&fixture->backing);
  plant (blob, "left");
  g_atomic_int_set (&is_holding_removal, TRUE);
  restart_backing (fixture);
  g_free (write_other (fixture));
  wait_until (g_atomic_int_get (&is_removal_held));

  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  g_atomic_int_set (&is_holding_removal, FALSE);
  if (pid == 0)
    {
      alarm (60);
      g_assert_finalize_object (fixture->backing);
      end_child ();
    }
  assert_child_ends (pid);
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

/* The descriptor of a file of the process that has content and no name. */
static int
dup_nameless (const char *directory)
{
  g_autoptr (GDir) descriptors = g_dir_open ("/proc/self/fd", 0, NULL);
  struct stat beside;
  const char *name;

  g_assert_nonnull (descriptors);
  g_assert_cmpint (stat (directory, &beside), ==, 0);
  while ((name = g_dir_read_name (descriptors)) != NULL)
    {
      int fd = atoi (name);
      struct stat status;

      if (fstat (fd, &status) == 0 && S_ISREG (status.st_mode) && status.st_nlink == 0 &&
          status.st_size > 0 && status.st_dev == beside.st_dev)
        return dup (fd);
    }

  return -1;
}

/* A backing that is closed keeps no room on the disk, even where a child of a fork has its
 * descriptors. */
static void
test_closed_is_empty (Fixture *fixture, gconstpointer data)
{
  struct stat status;
  int fd;

  write_blob (fixture, fixture->key);
  fd = dup_nameless (fixture->primary_name);
  if (fd < 0)
    {
      g_test_skip ("The file system takes no files without names.");
      return;
    }

  g_assert_true (bs_backing_close (fixture->backing, NULL, NULL));
  g_assert_cmpint (fstat (fd, &status), ==, 0);
  g_assert_cmpint (status.st_size, ==, 0);
  close (fd);
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
    { "rest-is-no-blob", test_rest_is_no_blob },
    { "another-content", test_another_content },
    { "exists", test_exists },
    { "planted", test_planted },
    { "full-disk", test_full_disk },
    { "makes-room", test_makes_room },
    { "removed-before-use", test_removed_before_use },
    { "fork-while-sweeping", test_fork_while_sweeping },
    { "closed-is-empty", test_closed_is_empty },
    { "threads", test_threads },
  };

  mount_init ();
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/file-slots/space", test_space);
  g_test_add_func ("/file-slots/ahead", test_ahead);
  g_test_add_func ("/file-slots/scattered", test_scattered);
  g_test_add_func ("/file-slots/hole-meanwhile", test_hole_meanwhile);
  g_test_add_func ("/file-slots/slots", test_slots);
  g_test_add_func ("/file-slots/no-descriptor", test_no_descriptor);
  g_test_add_func ("/file-slots/corrupt", test_corrupt);
  g_test_add_func ("/file-slots/gives-back", test_gives_back);
  g_test_add_func ("/file-slots/close-before-trim", test_close_before_trim);
  g_test_add_func ("/file-slots/fork-before-trim", test_fork_before_trim);
  g_test_add_func ("/file-slots/full-for-two", test_full_for_two);
  g_test_add_func ("/file-slots/write-fails", test_write_fails);
  g_test_add_func ("/file-slots/write-limited", test_write_limited);
  g_test_add_func ("/file-slots/close-meanwhile", test_close_meanwhile);
  g_test_add_func ("/file-slots/no-holes", test_no_holes);
  g_test_add_func ("/file-slots/two-files", test_two_files);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-slots/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up, tests[i].func, tear_down);
    }

  return g_test_run ();
}
