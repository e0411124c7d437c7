/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/bs-residency-private.h"

/* Runs recorded requests over what chooses who stays in memory, and prints how
 * many found their item there: of the requests for an item that had been there
 * before, and of their bytes. What is larger than the budget never stays.
 *
 * A trace is little-endian 32-bit words: "1CRT", numbers of items and of
 * requests, a flag; the sizes of the items; the requests, two bits of kind above
 * 30 of item; if the flag is set, a size for each request. */

#define MAGIC 0x54524331u
#define ITEM_MASK 0x3fffffffu

typedef enum
{
  REQUEST_ACCESS,
  REQUEST_INSERT,
  REQUEST_REMOVE,
  REQUEST_MUTATE,
} RequestKind;

typedef struct
{
  char *name;
  GBytes *bytes;
  guint n_items;
  guint n_requests;
  const guint32 *sizes; /* of items */
  const guint32 *requests;
  const guint32 *request_sizes; /* or NULL */
} Trace;

typedef struct
{
  BsResidencyNode node; /* link and size serve the other lists too */
  guint8 is_known : 1;
  guint8 is_in : 1;
  guint8 is_front : 1;
} Item;

typedef struct
{
  guint64 budget;
  guint64 bytes;
  BsLink front; /* newest first */
  BsLink back;
  guint64 front_bytes;
  BsResidency residency;
} Cache;

typedef struct
{
  const char *name;
  void (*enter) (Cache *cache, Item *item);
  void (*hit) (Cache *cache, Item *item);
  void (*leave) (Cache *cache, Item *item);
  Item *(*get_victim) (Cache *cache);
} Policy;

typedef struct
{
  guint64 hits, hit_bytes;
  guint64 requests, request_bytes;
} Score;

static void
lru_enter (Cache *cache, Item *item)
{
  bs_link_prepend (&cache->front, &item->node.link);
}

static void
lru_leave (Cache *cache, Item *item)
{
  bs_link_remove (&item->node.link);
}

static void
lru_hit (Cache *cache, Item *item)
{
  bs_link_remove (&item->node.link);
  bs_link_prepend (&cache->front, &item->node.link);
}

static Item *
lru_get_victim (Cache *cache)
{
  return (Item *) cache->front.prev;
}

/* The Rust crate file_backed 0.6.13: one list, cut in the middle of the budget
 * (in bytes here, in items there). A hit in the front half moves nothing, one in
 * the back half moves the item to the front. */

static void
halves_move (Cache *cache, Item *item, gboolean to_front)
{
  bs_link_remove (&item->node.link);
  if (to_front)
    bs_link_append (&cache->front, &item->node.link);
  else
    bs_link_prepend (&cache->back, &item->node.link);
  cache->front_bytes =
    to_front ? cache->front_bytes + item->node.size : cache->front_bytes - item->node.size;
  item->is_front = to_front;
}

static void
halves_cut (Cache *cache)
{
  while (cache->front_bytes > cache->budget / 2)
    halves_move (cache, (Item *) cache->front.prev, FALSE);
  while (!bs_link_is_empty (&cache->back) &&
         cache->front_bytes + ((Item *) cache->back.next)->node.size <= cache->budget / 2)
    halves_move (cache, (Item *) cache->back.next, TRUE);
}

static void
halves_enter (Cache *cache, Item *item)
{
  bs_link_prepend (&cache->front, &item->node.link);
  cache->front_bytes += item->node.size;
  item->is_front = TRUE;
  halves_cut (cache);
}

static void
halves_leave (Cache *cache, Item *item)
{
  bs_link_remove (&item->node.link);
  if (item->is_front)
    cache->front_bytes -= item->node.size;
  halves_cut (cache);
}

static void
halves_hit (Cache *cache, Item *item)
{
  if (item->is_front)
    return;

  bs_link_remove (&item->node.link);
  halves_enter (cache, item);
}

static Item *
halves_get_victim (Cache *cache)
{
  return (Item *) (bs_link_is_empty (&cache->back) ? cache->front.prev : cache->back.prev);
}

static void
residency_enter (Cache *cache, Item *item)
{
  bs_residency_enter (&cache->residency, &item->node);
}

static void
residency_leave (Cache *cache, Item *item)
{
  bs_residency_leave (&cache->residency, &item->node);
}

static void
residency_hit (Cache *cache, Item *item)
{
  bs_residency_hit (&cache->residency, &item->node);
}

static Item *
residency_get_victim (Cache *cache)
{
  return (Item *) bs_residency_get_victim (&cache->residency);
}

static const Policy policies[] = {
  { "LRU", lru_enter, lru_hit, lru_leave, lru_get_victim },
  { "file_backed", halves_enter, halves_hit, halves_leave, halves_get_victim },
  { "backingstore", residency_enter, residency_hit, residency_leave, residency_get_victim },
};

static void
cache_init (Cache *cache, guint64 budget)
{
  cache->budget = budget;
  cache->bytes = 0;
  bs_link_init (&cache->front);
  bs_link_init (&cache->back);
  cache->front_bytes = 0;
  bs_residency_init (&cache->residency, budget);
}

static void
cache_leave (Cache *cache, const Policy *policy, Item *item)
{
  policy->leave (cache, item);
  cache->bytes -= item->node.size;
  item->is_in = FALSE;
}

static void
cache_enter (Cache *cache, const Policy *policy, Item *item)
{
  if (item->node.size > cache->budget)
    return;

  policy->enter (cache, item);
  cache->bytes += item->node.size;
  item->is_in = TRUE;
  while (cache->bytes > cache->budget)
    cache_leave (cache, policy, policy->get_victim (cache));
}

static void
cache_forget (Cache *cache, const Policy *policy, Item *item)
{
  if (item->is_in)
    cache_leave (cache, policy, item);
  memset (item, 0, sizeof *item);
}

static void
replay_access (Cache *cache, const Policy *policy, Item *item, guint64 size, Score *score)
{
  if (item->is_known)
    {
      score->requests++;
      score->request_bytes += item->node.size;
      if (item->is_in)
        {
          score->hits++;
          score->hit_bytes += item->node.size;
          policy->hit (cache, item);
          return;
        }
    }

  item->is_known = TRUE;
  item->node.size = size;
  cache_enter (cache, policy, item);
}

static void
replay_request (Cache *cache,
                const Policy *policy,
                RequestKind kind,
                Item *item,
                guint64 size,
                Score *score)
{
  switch (kind)
    {
    case REQUEST_ACCESS:
      replay_access (cache, policy, item, size, score);
      break;
    case REQUEST_INSERT:
      cache_forget (cache, policy, item);
      replay_access (cache, policy, item, size, score);
      break;
    case REQUEST_REMOVE:
      cache_forget (cache, policy, item);
      break;
    case REQUEST_MUTATE:
      /* Its old content is needed for that. */
      replay_access (cache, policy, item, size, score);
      if (item->node.size != size)
        {
          if (item->is_in)
            cache_leave (cache, policy, item);
          item->node.size = size;
          cache_enter (cache, policy, item);
        }
      break;
    default:
      g_assert_not_reached ();
    }
}

static guint64
get_size (const Trace *trace, guint at)
{
  if (trace->request_sizes != NULL)
    return trace->request_sizes[at];

  return trace->sizes[trace->requests[at] & ITEM_MASK];
}

static Score
replay (const Trace *trace, const Policy *policy, guint64 budget)
{
  g_autofree Item *items = g_new0 (Item, trace->n_items);
  Score score = { 0 };
  Cache cache;

  cache_init (&cache, budget);
  for (guint i = 0; i < trace->n_requests; i++)
    replay_request (&cache, policy, trace->requests[i] >> 30,
                    &items[trace->requests[i] & ITEM_MASK], get_size (trace, i), &score);

  return score;
}

/* The most that is there at any time, if everything stays. */
static guint64
measure_footprint (const Trace *trace)
{
  g_autofree guint64 *sizes = g_new0 (guint64, trace->n_items);
  guint64 footprint = 0, peak = 0;

  for (guint i = 0; i < trace->n_requests; i++)
    {
      guint64 *size = &sizes[trace->requests[i] & ITEM_MASK];
      RequestKind kind = trace->requests[i] >> 30;

      if (kind == REQUEST_ACCESS && *size != 0)
        continue;
      footprint -= *size;
      *size = kind == REQUEST_REMOVE ? 0 : get_size (trace, i);
      footprint += *size;
      peak = MAX (peak, footprint);
    }

  return peak;
}

static gboolean
trace_parse (Trace *trace, const char *name, GBytes *bytes)
{
  gsize n_words, n_bytes;
  guint32 *words = g_bytes_unref_to_data (bytes, &n_bytes);

  trace->bytes = g_bytes_new_take (words, n_bytes);
  trace->name = g_strdup (name);
  n_words = n_bytes / sizeof *words;
  for (gsize i = 0; i < n_words; i++)
    words[i] = GUINT32_FROM_LE (words[i]);

  if (n_words < 4 || words[0] != MAGIC || words[3] > 1 ||
      n_words != 4 + (guint64) words[1] + words[2] * (1 + (guint64) words[3]))
    return FALSE;

  trace->n_items = words[1];
  trace->n_requests = words[2];
  trace->sizes = words + 4;
  trace->requests = trace->sizes + trace->n_items;
  trace->request_sizes = words[3] ? trace->requests + trace->n_requests : NULL;
  for (guint i = 0; i < trace->n_requests; i++)
    if ((trace->requests[i] & ITEM_MASK) >= trace->n_items)
      return FALSE;

  return TRUE;
}

static void
trace_clear (Trace *trace)
{
  g_clear_pointer (&trace->bytes, g_bytes_unref);
  g_clear_pointer (&trace->name, g_free);
}

static GBytes *
read_file (const char *path, GError **error)
{
  g_autoptr (GSubprocess) xz = NULL;
  g_autoptr (GBytes) bytes = NULL;
  char *data;
  gsize size;

  if (!g_str_has_suffix (path, ".xz"))
    return g_file_get_contents (path, &data, &size, error) ? g_bytes_new_take (data, size) : NULL;

  xz = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, error, "xz", "-dc", "--", path, NULL);
  if (xz == NULL || !g_subprocess_communicate (xz, NULL, NULL, &bytes, NULL, error) ||
      !g_subprocess_wait_check (xz, NULL, error))
    return NULL;

  return g_steal_pointer (&bytes);
}

static gboolean
trace_load (Trace *trace, const char *path, GError **error)
{
  g_autofree char *name = g_path_get_basename (path);
  GBytes *bytes = read_file (path, error);
  char *suffix = strstr (name, ".tr");

  if (bytes == NULL)
    return FALSE;
  if (suffix != NULL)
    *suffix = '\0';
  if (trace_parse (trace, name, bytes))
    return TRUE;

  trace_clear (trace);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s is not a trace", path);
  return FALSE;
}

/* Favourites, a loop, and items that come, change and go. */
static void
trace_make (Trace *trace, guint n_requests)
{
  const guint n_items = 1000;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  guint n_words = 4 + n_items + 2 * n_requests;
  guint32 *words = g_new0 (guint32, n_words);
  guint32 *sizes = words + 4, *requests = sizes + n_items, *request_sizes = requests + n_requests;

  words[0] = MAGIC;
  words[1] = n_items;
  words[2] = n_requests;
  words[3] = 1;
  for (guint i = 0; i < n_items; i++)
    sizes[i] = 100 << g_rand_int_range (random, 0, 8);
  for (guint i = 0; i < n_requests; i++)
    {
      double favour = g_rand_double (random);
      guint kind = g_rand_int_range (random, 0, 20);
      guint item = i % 3 == 0 ? i / 3 % 500 : 500 + (guint) (favour * favour * favour * 500);

      requests[i] = item | (kind < 4 ? kind : REQUEST_ACCESS) << 30;
      request_sizes[i] = sizes[item] + (kind == REQUEST_MUTATE);
    }
  for (guint i = 0; i < n_words; i++)
    words[i] = GUINT32_TO_LE (words[i]);

  if (!trace_parse (trace, "made up", g_bytes_new_take (words, n_words * sizeof *words)))
    g_assert_not_reached ();
}

/* For ./run, as other benchmarks print theirs. */
static gboolean as_figures;

static void
print_head (void)
{
  if (as_figures)
    return;

  g_print ("| trace | budget |");
  for (guint i = 0; i < G_N_ELEMENTS (policies); i++)
    g_print (" %s |", policies[i].name);
  g_print ("\n|---|---|");
  for (guint i = 0; i < G_N_ELEMENTS (policies); i++)
    g_print ("---|");
  g_print ("\n");
}

static void
print_score (const Policy *policy, const Score *score)
{
  double hits = 100.0 * score->hits / MAX (score->requests, 1);
  double bytes = 100.0 * score->hit_bytes / MAX (score->request_bytes, 1);

  if (as_figures)
    g_print ("\t%s, objects\t%%\t%.1f\n\t%s, bytes\t%%\t%.1f\n", policy->name, hits, policy->name,
             bytes);
  else
    g_print (" %.1f / %.1f |", hits, bytes);
}

static void
print_trace (const Trace *trace, char **percents)
{
  guint64 footprint = measure_footprint (trace);

  for (guint p = 0; percents[p] != NULL; p++)
    {
      double percent = g_ascii_strtod (percents[p], NULL);

      if (as_figures)
        g_print ("hits, %s, %g %%\n", trace->name, percent);
      else
        g_print ("| %s | %g %% |", trace->name, percent);
      for (guint i = 0; i < G_N_ELEMENTS (policies); i++)
        {
          Score score = replay (trace, &policies[i], footprint * percent / 100);

          print_score (&policies[i], &score);
        }
      if (!as_figures)
        g_print ("\n");
    }
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* The traces that a folder holds, or the argument itself. */
static char **
list_traces (const char *path, GError **error)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) folder = NULL;
  const char *name;

  if (!g_file_test (path, G_FILE_TEST_IS_DIR))
    return g_strdupv ((char *[]){ (char *) path, NULL });

  folder = g_dir_open (path, 0, error);
  if (folder == NULL)
    return NULL;
  while ((name = g_dir_read_name (folder)) != NULL)
    if (g_str_has_suffix (name, ".tr") || g_str_has_suffix (name, ".tr.xz"))
      g_ptr_array_add (paths, g_build_filename (path, name, NULL));
  g_ptr_array_sort (paths, compare_strings);
  g_ptr_array_add (paths, NULL);

  return (char **) g_ptr_array_steal (paths, NULL);
}

static gboolean
print_traces (const char *argument, char **percents, GError **error)
{
  g_auto (GStrv) paths = list_traces (argument, error);

  if (paths == NULL)
    return FALSE;

  for (guint i = 0; paths[i] != NULL; i++)
    {
      Trace trace = { 0 };

      if (!trace_load (&trace, paths[i], error))
        return FALSE;
      print_trace (&trace, percents);
      trace_clear (&trace);
    }

  return TRUE;
}

int
main (int argc, char *argv[])
{
  g_autoptr (GOptionContext) context = g_option_context_new ("[TRACE OR FOLDER…]");
  g_auto (GStrv) arguments = NULL;
  g_auto (GStrv) percents = NULL;
  g_autofree char *budgets = NULL;
  g_autoptr (GError) error = NULL;
  gboolean smoke = FALSE;
  const GOptionEntry entries[] = {
    { "smoke", 0, 0, G_OPTION_ARG_NONE, &smoke, "Only show that it works", NULL },
    { "budgets", 0, 0, G_OPTION_ARG_STRING, &budgets, "Budgets in percent of all bytes (10,25)",
      "LIST" },
    { "figures", 0, 0, G_OPTION_ARG_NONE, &as_figures, "Print each figure, between tabs", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL },
    { NULL }
  };

  g_option_context_set_summary (context,
                                "Hit ratios, of objects and of bytes, over recorded requests");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }

  percents = g_strsplit (budgets != NULL ? budgets : "10,25", ",", -1);
  print_head ();
  if (smoke || arguments == NULL)
    {
      Trace trace = { 0 };

      trace_make (&trace, smoke ? 10000 : 300000);
      print_trace (&trace, percents);
      trace_clear (&trace);
    }
  for (guint i = 0; arguments != NULL && arguments[i] != NULL; i++)
    if (!print_traces (arguments[i], percents, &error))
      {
        g_printerr ("%s\n", error->message);
        return 1;
      }

  return 0;
}
