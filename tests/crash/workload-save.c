/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "workload.h"

#include <string.h>

#include "backing-contract.h"

/* A document of some pages, saved again and again. Its root blob names the
 * version, and the key of each page. Keys are random, and so are the folders
 * that have to be made for them. */

#define N_KINDS 8  /* of pages */
#define N_MANY 320 /* so many that syncing the whole file system pays */
#define N_VERSIONS 6

/* For each kind of page the version that it is from, or '.' if it is not there. */
static const char *const versions[N_VERSIONS + 1] = {
  "........", "11111...", "12112...", "12.12333", "42.12343", ".2555343", "62......",
};

static const gsize page_sizes[N_KINDS] = { 0, 1, 4096, 150000, 3000, 500, 20000, 7 };

typedef enum
{
  OPEN,
  SAVE,
  CLOSE,
} Operation;

static const struct
{
  Operation operation;
  guint version; /* the one to save */
} steps[] = {
  { OPEN, 0 }, { SAVE, 1 }, { SAVE, 2 }, { SAVE, 3 }, { CLOSE, 0 },
  { OPEN, 0 }, { SAVE, 4 }, { SAVE, 5 }, { SAVE, 6 }, { CLOSE, 0 },
};

static const char *const operation_names[] = {
  [OPEN] = "open",
  [SAVE] = "save",
  [CLOSE] = "close",
};

/* A document that is open. */
typedef struct
{
  BsBackingStore *store;
  BsTrackedPath *tracked;
  BsPool *pool;
  guint version;
  guint n_pages;
  char *keys[N_MANY];
  BsItem *items[N_MANY]; /* NULL also for a page that nobody has looked at */
} Document;

typedef struct
{
  const char *directory;
  Journal *journal;
  guint max_parallel;
  Document document;
  guint version_tried; /* if the save failed, it may have come all the same */
} State;

static GFile *
make_file (const char *directory, const char *name)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  return g_file_new_for_path (path);
}

static gboolean
has_page (guint version, guint page)
{
  return versions[version][page % N_KINDS] != '.';
}

static GBytes *
make_page (guint version, guint page)
{
  const guint kind = page % N_KINDS;

  return make_test_bytes (page < N_KINDS ? page_sizes[kind] : 100 + kind,
                          N_MANY * (versions[version][kind] - '0') + page);
}

static gboolean
is_page (GBytes *bytes, guint version, guint page)
{
  g_autoptr (GBytes) expected = make_page (version, page);

  return g_bytes_equal (bytes, expected);
}

static GBytes *
make_root (const Document *document, guint version)
{
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "%u\n", version);
  for (guint i = 0; i < document->n_pages; i++)
    g_string_append_printf (text, "%s\n", has_page (version, i) ? document->keys[i] : "");

  return g_string_free_to_bytes (text);
}

static gboolean
parse_root (Document *document, GBytes *root, GError **error)
{
  gsize size;
  const char *data = g_bytes_get_data (root, &size);
  g_autofree char *text = g_strndup (data, size);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  guint version;

  if (g_strv_length (lines) != document->n_pages + 2)
    return workload_set_broken (error,
                                "a root blob of %" G_GSIZE_FORMAT " bytes is none that was written",
                                size);

  version = g_ascii_strtoull (lines[0], NULL, 10);
  if (version == 0 || version > N_VERSIONS)
    return workload_set_broken (error, "there is no version %u", version);

  document->version = version;
  for (guint i = 0; i < document->n_pages; i++)
    {
      if (bs_key_is_valid (lines[i + 1]) != has_page (version, i))
        return workload_set_broken (error, "version %u has wrong pages", version);

      g_free (document->keys[i]);
      document->keys[i] = has_page (version, i) ? g_strdup (lines[i + 1]) : NULL;
    }

  return TRUE;
}

static void
document_clear (Document *self)
{
  for (guint i = 0; i < self->n_pages; i++)
    {
      g_clear_object (&self->items[i]);
      g_clear_pointer (&self->keys[i], g_free);
    }
  g_clear_object (&self->tracked);
  g_clear_object (&self->pool);
  if (self->store != NULL)
    bs_backing_store_close (self->store, NULL, NULL);
  g_clear_object (&self->store);
  self->version = 0;
}

/* Opens whatever version is there. */
static gboolean
document_open (Document *self, const char *directory, GError **error)
{
  g_autoptr (GFile) scratch = make_file (directory, "scratch");
  g_autoptr (GFile) path = make_file (directory, "persisted");
  g_autoptr (BsBacking) backing = workload_make_backing (scratch);
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) local_error = NULL;

  self->store = bs_backing_store_new (backing);
  self->pool = bs_pool_new (self->store, G_MAXINT64);
  bs_pool_set_trim_on_low_memory (self->pool, FALSE);
  self->tracked = bs_backing_store_track_path (self->store, path, NULL, error);
  if (self->tracked == NULL)
    return FALSE;

  root = bs_backing_store_load_root (self->store, self->tracked, NULL, &local_error);
  if (root != NULL)
    return parse_root (self, root, error);
  if (g_error_matches (local_error, BS_ERROR, BS_ERROR_NOT_FOUND))
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&local_error));

  return FALSE;
}

static gboolean
document_load_page (Document *self, guint page, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;

  if (self->items[page] == NULL)
    self->items[page] = bs_pool_register (self->pool, self->tracked, self->keys[page], NULL, error);
  if (self->items[page] == NULL)
    return FALSE;

  bytes = bs_item_load (self->items[page], NULL, error);
  if (bytes == NULL || is_page (bytes, self->version, page))
    return bytes != NULL;

  return workload_set_broken (error, "page %u of version %u is not what was saved", page,
                              self->version);
}

/* A page that has changed becomes a new item; one that has not keeps its key, and
 * is not even looked at if nobody did before. */
static void
document_edit (Document *self, guint version)
{
  for (guint i = 0; i < self->n_pages; i++)
    {
      g_autoptr (GBytes) bytes = NULL;

      if (versions[version][i % N_KINDS] == versions[self->version][i % N_KINDS])
        continue;

      g_clear_object (&self->items[i]);
      g_clear_pointer (&self->keys[i], g_free);
      if (!has_page (version, i))
        continue;

      bytes = make_page (version, i);
      self->items[i] = bs_pool_insert (self->pool, bytes);
      self->keys[i] = bs_item_dup_key (self->items[i]);
    }

  self->version = version;
}

static gboolean
document_save (Document *self, guint max_parallel, GError **error)
{
  g_autoptr (BsSave) save = bs_save_new (self->store, self->tracked);
  g_autoptr (GBytes) root = make_root (self, self->version);

  bs_save_set_max_parallel (save, max_parallel);
  bs_save_set_root (save, root);
  for (guint i = 0; i < self->n_pages; i++)
    {
      if (self->items[i] != NULL)
        bs_save_add_item (save, self->items[i]);
      else if (self->keys[i] != NULL)
        bs_save_keep_key (save, self->keys[i]);
    }

  return bs_save_run (save, NULL, error);
}

/* Waits for all background work. */
static void
document_settle (Document *self)
{
  bs_backing_store_wait_finished (self->store, NULL, NULL);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (self->store));
}

static gpointer
start (const char *directory, Journal *journal, guint n_pages, guint max_parallel)
{
  State *self = g_new0 (State, 1);

  self->directory = directory;
  self->journal = journal;
  self->max_parallel = max_parallel;
  self->document.n_pages = n_pages;

  return self;
}

static gpointer
start_few (const char *directory, Journal *journal)
{
  return start (directory, journal, N_KINDS, 1);
}

static gpointer
start_parallel (const char *directory, Journal *journal)
{
  return start (directory, journal, N_KINDS, 4);
}

static gpointer
start_many (const char *directory, Journal *journal)
{
  return start (directory, journal, N_MANY, 4);
}

static void
stop (gpointer state)
{
  State *self = state;

  document_clear (&self->document);
  g_free (self);
}

static gboolean
save_version (State *self, guint version, GError **error)
{
  if (self->document.tracked == NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "the document is not open");
      return FALSE;
    }

  self->version_tried = version;
  if (self->document.version != version)
    document_edit (&self->document, version);

  journal_mark (self->journal, MARK_ROOT, version);
  if (!document_save (&self->document, self->max_parallel, error))
    return FALSE;
  journal_mark (self->journal, MARK_ROOTED, version);

  return TRUE;
}

static const char *
describe (guint n)
{
  return operation_names[steps[n].operation];
}

static gboolean
step (gpointer state, guint n, GError **error)
{
  State *self = state;
  gboolean success = TRUE;

  switch (steps[n].operation)
    {
    case OPEN:
      document_clear (&self->document);
      success = document_open (&self->document, self->directory, error);
      if (!success)
        document_clear (&self->document);
      break;
    case SAVE:
      success = save_version (self, steps[n].version, error);
      break;
    case CLOSE:
      document_clear (&self->document);
      break;
    default:
      g_assert_not_reached ();
    }

  if (self->document.store != NULL)
    document_settle (&self->document);

  return success;
}

/* All pages once more, under new keys. */
static gboolean
redo (gpointer state, GError **error)
{
  State *self = state;
  Document *document = &self->document;

  for (guint i = 0; i < document->n_pages; i++)
    {
      g_autoptr (GBytes) bytes = NULL;

      if (document->keys[i] == NULL)
        continue;

      bytes = make_page (document->version, i);
      g_clear_object (&document->items[i]);
      g_free (document->keys[i]);
      document->items[i] = bs_pool_insert (document->pool, bytes);
      document->keys[i] = bs_item_dup_key (document->items[i]);
    }

  return TRUE;
}

static gboolean
verify (gpointer state, GError **error)
{
  State *self = state;
  Document *document = &self->document;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) root = NULL;
  Document saved = { .n_pages = document->n_pages };
  gboolean success;

  if (document->tracked == NULL)
    return TRUE;

  for (guint i = 0; i < document->n_pages; i++)
    {
      if (document->items[i] != NULL && !document_load_page (document, i, error))
        return FALSE;
    }

  root = bs_backing_store_load_root (document->store, document->tracked, NULL, &local_error);
  if (root == NULL)
    return self->version_tried <= 1 ||
           workload_set_broken (error, "no root: %s", local_error->message);

  success = parse_root (&saved, root, error);
  if (success && saved.version != self->version_tried && saved.version + 1 != self->version_tried)
    success = workload_set_broken (error, "the root is of version %u", saved.version);
  document_clear (&saved);

  return success;
}

/* Whether the version is the last one that was saved, or one whose save was
 * under way. */
static gboolean
is_possible (Journal *journal, gsize n_marks, guint version)
{
  guint possible = 1;

  for (gsize i = 0; i < n_marks; i++)
    {
      const Mark *mark = journal_get_mark (journal, i);

      if (mark->kind == MARK_ROOT)
        possible |= 1u << mark->subject;
      else if (mark->kind == MARK_ROOTED)
        possible = 1u << mark->subject;
    }

  return (possible >> version & 1) != 0;
}

/* The next save removes the leftovers of an interrupted one. */
static gboolean
check_next_save (Document *document, GError **error)
{
  guint n_pages = 0;

  for (guint i = 0; i < document->n_pages; i++)
    n_pages += has_page (document->version, i);

  if (!document_save (document, 2, error))
    return FALSE;
  if (bs_tracked_path_get_n_keys (document->tracked) != n_pages)
    return workload_set_broken (error,
                                "%" G_GUINT64_FORMAT
                                " blobs are there after the next save of %u pages",
                                (guint64) bs_tracked_path_get_n_keys (document->tracked), n_pages);

  return TRUE;
}

static gboolean
check_document (Document *document,
                const char *directory,
                Journal *journal,
                gsize n_marks,
                GError **error)
{
  if (!document_open (document, directory, error))
    return FALSE;

  for (guint i = 0; i < document->n_pages; i++)
    {
      if (document->keys[i] != NULL && !document_load_page (document, i, error))
        return FALSE;
    }

  if (!is_possible (journal, n_marks, document->version))
    return workload_set_broken (error,
                                "version %u is there, which is neither the old one nor the new one",
                                document->version);

  return check_next_save (document, error);
}

static gboolean
check (const char *directory, Journal *journal, gsize n_marks, guint n_pages, GError **error)
{
  g_autofree char *persisted = g_build_filename (directory, "persisted", NULL);
  Document document = { .n_pages = n_pages };
  gboolean success;

  success = check_document (&document, directory, journal, n_marks, error) &&
            workload_check_leftovers (persisted, FALSE, error);
  document_clear (&document);

  return success && workload_check_beside (directory, "persisted", error);
}

static gboolean
check_few (const char *directory, Journal *journal, gsize n_marks, GError **error)
{
  return check (directory, journal, n_marks, N_KINDS, error);
}

static gboolean
check_many (const char *directory, Journal *journal, gsize n_marks, GError **error)
{
  return check (directory, journal, n_marks, N_MANY, error);
}

#define WORKLOAD(title, start_func, check_func)                                                    \
  {                                                                                                \
    .name = title, .varies = TRUE, .start = start_func, .n_steps = G_N_ELEMENTS (steps),           \
    .describe = describe, .step = step, .redo = redo, .verify = verify, .stop = stop,              \
    .check = check_func,                                                                           \
  }

const Workload workload_save = WORKLOAD ("save", start_few, check_few);
const Workload workload_save_parallel = WORKLOAD ("save-parallel", start_parallel, check_few);
const Workload workload_save_many = WORKLOAD ("save-many", start_many, check_many);
