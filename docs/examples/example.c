/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Puts every file below a directory into a pool that is much smaller than all of
 * them, makes them permanent, and in another process brings them back and
 * compares.
 *
 *   example store [--budget=MIB] [--patience=SECONDS] [--backing=URI] SOURCE TARGET
 *   example verify [--budget=MIB] [--patience=SECONDS] [--backing=URI] TARGET
 *
 * TARGET/blobs is the persisted path, and its manifest has an entry for each file: the
 * URI is the name, and the SHA-256 an attribute. TARGET/scratch is primary storage, on
 * the same file system, so that persisting is making a hard link. The URI of another
 * backing keeps it otherwise: with --backing='s3://BUCKET?endpoint=URL' TARGET is
 * s3://BUCKET/PREFIX.
 *
 * Nothing blocks the main loop. The work is a list of steps, each done once or
 * for every file, with so many of those under way. Whatever was started ends
 * with finish_one(), and that starts what comes next.
 */

#include <backingstore/backingstore.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_FLIGHT 64
#define INSERTS_IN_FLIGHT 8
#define N_DELETED 3
#define MIB (1024.0 * 1024.0)
#define DEFAULT_PATIENCE 300

typedef struct _Example Example;

typedef struct
{
  Example *example;
  GFile *file;  /* owned */
  char *key;    /* owned; what the manifest says */
  char *sha256; /* owned */
  BsItem *item; /* owned; NULL if there is no content */
} Entry;

typedef struct
{
  const char *name;              /* NULL: not worth a line */
  void (*start) (Example *self); /* once, or: */
  void (*start_entry) (Entry *entry);
  guint in_flight;   /* 0: IN_FLIGHT */
  guint max_entries; /* 0: all */
  gboolean backwards;
} Step;

struct _Example
{
  GMainLoop *loop;
  BsBacking *backing;
  BsBackingStore *store;
  BsTrackedPath *tracked;
  BsPool *pool;
  BsManifest *manifest;

  GFile *source;
  GFile *target;
  GFile *blobs;
  GPtrArray *folders; /* still to be listed */
  GPtrArray *entries;

  const Step *step;
  guint in_flight; /* of this step */
  guint n_todo;
  guint n_started;
  guint n_running;
  gboolean advancing;
  GError *error; /* the first: no other step is begun then */

  guint n_skipped;
  guint n_wrong;
  guint64 peak_use;
  guint64 peak_before;
  gint64 begun;
  gint64 step_begun;
  gint64 shown;
  gint64 moved;   /* when something was last begun or ended */
  guint patience; /* seconds */
};

static double
seconds_since (gint64 time)
{
  return (g_get_monotonic_time () - time) / (double) G_USEC_PER_SEC;
}

/* How much of this process was in memory at most, in bytes. */
static guint64
get_resident_peak (void)
{
  g_autofree char *status = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL))
    return 0;

  line = strstr (status, "VmHWM:");

  return line != NULL ? g_ascii_strtoull (line + strlen ("VmHWM:"), NULL, 10) * 1024 : 0;
}

static void
show_progress (Example *self)
{
  static const char marks[] = "########################################";
  guint n_done = self->n_started - self->n_running;
  int n_marks = strlen (marks) * n_done / self->n_todo;
  gint64 now = g_get_monotonic_time ();

  if (self->step->start_entry == NULL || !isatty (STDOUT_FILENO) ||
      now - self->shown < G_USEC_PER_SEC / 20)
    return;

  self->shown = now;
  printf ("\r%-11s [%-*.*s] %u of %u ", self->step->name, (int) strlen (marks), n_marks, marks,
          n_done, self->n_todo);
  fflush (stdout);
}

static void
clear_progress (void)
{
  if (isatty (STDOUT_FILENO))
    printf ("\r\033[K");
  fflush (stdout);
}

static void
complain (Entry *entry, const char *problem)
{
  g_autofree char *name = g_file_get_parse_name (entry->file);

  clear_progress ();
  fprintf (stderr, "%s: %s\n", name, problem);
}

/* The store's errors name a key. A person knows the file. */
static char *
name_files (Example *self, const char *message)
{
  for (guint i = 0; i < self->entries->len; i++)
    {
      Entry *entry = self->entries->pdata[i];
      g_autofree char *key = entry->item != NULL ? bs_item_dup_key (entry->item) : NULL;

      if (key != NULL && strstr (message, key) != NULL)
        {
          g_autofree char *name = g_file_get_parse_name (entry->file);
          g_auto (GStrv) parts = g_strsplit (message, key, -1);

          return g_strjoinv (name, parts);
        }
    }

  return g_strdup (message);
}

static gboolean
watch_cb (gpointer data)
{
  Example *self = data;

  if (seconds_since (self->moved) < self->patience)
    return G_SOURCE_CONTINUE;

  /* A thread may be stuck, too: nothing here waits for it. */
  clear_progress ();
  fprintf (stderr, "example: nothing has moved for %u s\n", self->patience);
  _exit (1);
}

static void
closed_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Example *self = data;
  GError *error = NULL;

  if (!bs_backing_store_close_finish (self->store, result, &error))
    {
      if (self->error == NULL)
        self->error = g_steal_pointer (&error);
      g_clear_error (&error);
    }
  g_main_loop_quit (self->loop);
}

static void
begin_step (Example *self, const Step *step)
{
  self->step = step;
  self->step_begun = self->moved = g_get_monotonic_time ();
  self->in_flight = step->in_flight != 0 ? step->in_flight : IN_FLIGHT;
  self->n_started = 0;
  self->n_todo = step->start != NULL ? 1 : self->entries->len;
  if (step->max_entries != 0)
    self->n_todo = MIN (self->n_todo, step->max_entries);

  /* The end of the list. The scratch files go, too. */
  if ((step->start == NULL && step->start_entry == NULL) || self->error != NULL)
    {
      self->n_todo = 0;
      self->n_running = 1;
      bs_backing_store_close_async (self->store, G_PRIORITY_DEFAULT, NULL, closed_cb, self);
    }
}

/* Starts what may be started, and the next step when this one has ended. */
static void
advance (Example *self)
{
  /* A call that ends at once comes back here. */
  if (self->advancing)
    return;

  self->advancing = TRUE;
  while (self->n_running == 0 || (self->n_running < self->in_flight &&
                                  self->n_started < self->n_todo && self->error == NULL))
    {
      const Step *step = self->step;

      if (self->n_started == self->n_todo || self->error != NULL)
        {
          clear_progress ();
          if (self->error == NULL && step->name != NULL)
            printf ("%-11s %8.2f s\n", step->name, seconds_since (self->step_begun));
          begin_step (self, step + 1);
        }
      else
        {
          guint i = self->n_started++;

          self->n_running++;
          if (step->start != NULL)
            step->start (self);
          else
            step->start_entry (self->entries->pdata[step->backwards ? self->n_todo - 1 - i : i]);
        }
    }
  self->advancing = FALSE;
}

static void
note_memory_use (Example *self)
{
  self->peak_use = MAX (self->peak_use, bs_pool_get_memory_use (self->pool));
}

/* Takes `error` over. */
static void
finish_one (Example *self, GError *error)
{
  if (error != NULL && self->error == NULL)
    self->error = g_steal_pointer (&error);
  g_clear_error (&error);

  self->moved = g_get_monotonic_time ();
  self->n_running--;
  show_progress (self);
  advance (self);
}

static Entry *
add_entry (Example *self, GFile *file)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->example = self;
  entry->file = g_object_ref (file);
  g_ptr_array_add (self->entries, entry);

  return entry;
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_clear_object (&entry->file);
  g_clear_object (&entry->item);
  g_free (entry->key);
  g_free (entry->sha256);
  g_free (entry);
}

/* Listing the files */

static void list_folder (Example *self);

static void
listed_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  GFileEnumerator *enumerator = G_FILE_ENUMERATOR (source);
  Example *self = data;
  GError *error = NULL;
  GList *infos = g_file_enumerator_next_files_finish (enumerator, result, &error);

  self->moved = g_get_monotonic_time ();
  if (error != NULL)
    {
      finish_one (self, error);
      return;
    }

  for (GList *l = infos; l != NULL; l = l->next)
    {
      g_autoptr (GFile) file = g_file_enumerator_get_child (enumerator, l->data);

      if (g_file_info_get_file_type (l->data) == G_FILE_TYPE_DIRECTORY)
        g_ptr_array_add (self->folders, g_steal_pointer (&file));
      else if (g_file_info_get_file_type (l->data) == G_FILE_TYPE_REGULAR)
        add_entry (self, file);
    }

  if (infos != NULL)
    g_file_enumerator_next_files_async (enumerator, 100, G_PRIORITY_DEFAULT, NULL, listed_cb, self);
  else
    list_folder (self);
  g_list_free_full (infos, g_object_unref);
}

static void
enumerated_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GFileEnumerator) enumerator = NULL;
  GFile *folder = G_FILE (source);
  Example *self = data;
  GError *error = NULL;

  enumerator = g_file_enumerate_children_finish (folder, result, &error);
  if (enumerator != NULL)
    {
      g_file_enumerator_next_files_async (enumerator, 100, G_PRIORITY_DEFAULT, NULL, listed_cb,
                                          self);
    }
  else if (g_file_equal (folder, self->source))
    {
      finish_one (self, error);
    }
  else
    {
      fprintf (stderr, "%s\n", error->message);
      g_error_free (error);
      self->n_skipped++;
      list_folder (self);
    }
}

static void
list_folder (Example *self)
{
  g_autoptr (GFile) folder = NULL;

  if (self->folders->len == 0)
    {
      g_autofree char *name = g_file_get_parse_name (self->source);
      GError *error = NULL;

      if (self->entries->len == 0)
        error = g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s: there are no files", name);
      finish_one (self, error);
      return;
    }

  folder = g_ptr_array_steal_index_fast (self->folders, self->folders->len - 1);
  g_file_enumerate_children_async (folder,
                                   G_FILE_ATTRIBUTE_STANDARD_NAME
                                   "," G_FILE_ATTRIBUTE_STANDARD_TYPE,
                                   G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, G_PRIORITY_DEFAULT, NULL,
                                   enumerated_cb, self);
}

static void
start_listing (Example *self)
{
  g_ptr_array_add (self->folders, g_object_ref (self->source));
  list_folder (self);
}

/* Tracking, syncing */

static void
tracked_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Example *self = data;
  GError *error = NULL;

  self->tracked = bs_backing_store_track_path_finish (self->store, result, &error);
  if (self->tracked != NULL && self->source != NULL &&
      bs_tracked_path_get_n_keys (self->tracked) > 0)
    {
      g_autofree char *name = g_file_get_parse_name (self->target);

      error = g_error_new (G_IO_ERROR, G_IO_ERROR_EXISTS, "%s was used before: choose a new target",
                           name);
    }
  finish_one (self, error);
}

static void
start_tracking (Example *self)
{
  bs_backing_store_track_path_async (self->store, self->blobs, G_PRIORITY_DEFAULT, NULL, tracked_cb,
                                     self);
}

/* Tracking would make the directory. What is on a server is asked when it is tracked. */

static void
queried_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  GError *error = NULL;
  g_autoptr (GFileInfo) info = g_file_query_info_finish (G_FILE (source), result, &error);

  finish_one (data, error);
}

static void
start_looking (Example *self)
{
  if (!g_file_is_native (self->blobs))
    {
      finish_one (self, NULL);
      return;
    }

  g_file_query_info_async (self->blobs, G_FILE_ATTRIBUTE_STANDARD_TYPE, G_FILE_QUERY_INFO_NONE,
                           G_PRIORITY_DEFAULT, NULL, queried_cb, self);
}

static void
synced_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  GError *error = NULL;

  bs_backing_store_sync_finish (BS_BACKING_STORE (source), result, &error);
  finish_one (data, error);
}

static void
start_syncing (Example *self)
{
  bs_backing_store_sync_async (self->store, self->tracked, G_PRIORITY_DEFAULT, NULL, synced_cb,
                               self);
}

/* Inserting: a file is read and hashed in a thread of the store, and goes into the
 * pool. When the pool is over its budget, this waits until it is not: the disk
 * sets the pace. Memory goes over by what is in flight, so that is little. */

static void
trimmed_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Entry *entry = data;
  GError *error = NULL;

  bs_pool_trim_finish (BS_POOL (source), result, &error);
  finish_one (entry->example, error);
}

static void
read_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  Entry *entry = data;
  Example *self = entry->example;

  bytes = g_task_propagate_pointer (G_TASK (result), &error);
  if (bytes == NULL)
    {
      complain (entry, error->message);
      self->n_skipped++;
      finish_one (self, NULL);
      return;
    }

  entry->item = bs_pool_insert (self->pool, bytes);
  note_memory_use (self);
  if (bs_pool_get_memory_use (self->pool) > bs_pool_get_max_bytes (self->pool))
    bs_pool_trim_async (self->pool, bs_pool_get_max_bytes (self->pool), G_PRIORITY_DEFAULT, NULL,
                        trimmed_cb, entry);
  else
    finish_one (self, NULL);
}

/* Called in one of the store's threads. */
static void
read_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Entry *entry = data;
  GError *error = NULL;
  char *contents;
  gsize length;

  if (!g_file_get_contents (g_file_peek_path (entry->file), &contents, &length, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  entry->sha256 = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *) contents, length);
  g_task_return_pointer (task, g_bytes_new_take (contents, length), (GDestroyNotify) g_bytes_unref);
}

static void
start_inserting (Entry *entry)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, read_cb, entry);

  g_task_set_task_data (task, entry, NULL);
  bs_backing_store_run_task (entry->example->store, task, read_in_thread);
}

/* Persisting */

static gboolean
has_item (gconstpointer data, gconstpointer unused)
{
  const Entry *entry = data;

  return entry->item != NULL;
}

static void
start_counting (Example *self)
{
  g_autofree char *name = g_file_get_parse_name (self->source);
  GError *error = NULL;

  if (!g_ptr_array_find_with_equal_func (self->entries, NULL, has_item, NULL))
    error = g_error_new (G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                         "%s: none of the files can be read", name);
  finish_one (self, error);
}

static void
persisted_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Entry *entry = data;
  GError *error = NULL;

  bs_item_persist_finish (BS_ITEM (source), result, &error);
  finish_one (entry->example, error);
}

static void
start_persisting (Entry *entry)
{
  Example *self = entry->example;

  if (entry->item != NULL)
    bs_item_persist_async (entry->item, self->tracked, G_PRIORITY_DEFAULT, NULL, persisted_cb,
                           entry);
  else
    finish_one (self, NULL);
}

/* The manifest: everything is at the path already, and the save puts the names in place. */

static void
manifest_saved_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  GError *error = NULL;

  bs_save_run_finish (BS_SAVE (source), result, &error);
  finish_one (data, error);
}

static gboolean
add_name (BsManifest *manifest, Entry *entry, GError **error)
{
  g_autofree char *uri = g_file_get_uri (entry->file);
  GVariantDict attributes;

  g_variant_dict_init (&attributes, NULL);
  g_variant_dict_insert (&attributes, "sha256", "s", entry->sha256);

  return bs_manifest_add_item (manifest, uri, entry->item, g_variant_dict_end (&attributes), error);
}

static void
start_saving_manifest (Example *self)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsSave) save = bs_save_new (self->store, self->tracked);
  GError *error = NULL;

  for (guint i = 0; i < self->entries->len && error == NULL; i++)
    {
      Entry *entry = self->entries->pdata[i];
      g_autofree char *key = entry->item != NULL ? bs_item_dup_key (entry->item) : NULL;

      if (key != NULL && bs_tracked_path_contains_key (self->tracked, key))
        add_name (manifest, entry, &error);
    }
  if (error != NULL)
    {
      finish_one (self, error);
      return;
    }

  bs_save_set_manifest (save, manifest);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, manifest_saved_cb, self);
}

static void
manifest_loaded_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Example *self = data;
  GError *error = NULL;

  self->manifest = bs_backing_store_load_manifest_finish (self->store, result, &error);
  if (self->manifest != NULL && g_list_model_get_n_items (G_LIST_MODEL (self->manifest)) == 0)
    {
      g_autofree char *name = g_file_get_parse_name (self->target);

      error = g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s: no file is left there", name);
    }
  finish_one (self, error);
}

static void
start_loading_manifest (Example *self)
{
  bs_backing_store_load_manifest_async (self->store, self->tracked, G_PRIORITY_DEFAULT, NULL,
                                        manifest_loaded_cb, self);
}

/* Registering: one operation for all keys. */

static void
add_named (Example *self, BsManifestEntry *named)
{
  g_autoptr (GVariant) sha256 =
    bs_manifest_entry_lookup_attribute (named, "sha256", G_VARIANT_TYPE_STRING);
  g_autofree char *uri = bs_manifest_entry_dup_name (named);
  g_autoptr (GFile) file = g_file_new_for_uri (uri);
  Entry *entry = add_entry (self, file);

  entry->key = bs_manifest_entry_dup_key (named);
  entry->sha256 = sha256 != NULL ? g_variant_dup_string (sha256, NULL) : NULL;
  entry->item = bs_manifest_entry_dup_item (named);
}

static void
registered_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Example *self = data;
  GListModel *names = G_LIST_MODEL (self->manifest);
  GError *error = NULL;

  /* The entries that have no item are told one by one. */
  if (!bs_pool_register_manifest_finish (self->pool, result, &error) &&
      g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND))
    g_clear_error (&error);

  for (guint i = 0; error == NULL && i < g_list_model_get_n_items (names); i++)
    {
      g_autoptr (BsManifestEntry) named = g_list_model_get_item (names, i);

      add_named (self, named);
    }
  finish_one (self, error);
}

static void
start_registering (Example *self)
{
  bs_pool_register_manifest_async (self->pool, self->tracked, self->manifest, G_PRIORITY_DEFAULT,
                                   NULL, registered_cb, self);
}

/* Loading, and comparing the SHA-256 with the original's */

static void
reject (Entry *entry, const char *problem)
{
  complain (entry, problem);
  entry->example->n_wrong++;
  finish_one (entry->example, NULL);
}

static void
hashed_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree char *sha256 = g_task_propagate_pointer (G_TASK (result), NULL);
  Entry *entry = data;

  if (g_strcmp0 (sha256, entry->sha256) == 0)
    finish_one (entry->example, NULL);
  else
    reject (entry, "has another SHA-256 than the original");
}

/* Called in one of the store's threads. */
static void
hash_in_thread (GTask *task, gpointer source, gpointer bytes, GCancellable *cancellable)
{
  g_task_return_pointer (task, g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, bytes), g_free);
}

static void
loaded_for_check_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GTask) task = NULL;
  Entry *entry = data;
  GBytes *bytes;

  bytes = bs_item_load_finish (BS_ITEM (source), result, &error);
  note_memory_use (entry->example);
  if (bytes == NULL)
    {
      reject (entry, error->message);
      return;
    }

  task = g_task_new (NULL, NULL, hashed_cb, entry);
  g_task_set_task_data (task, bytes, (GDestroyNotify) g_bytes_unref);
  bs_backing_store_run_task (entry->example->store, task, hash_in_thread);
}

static void
start_checking (Entry *entry)
{
  if (entry->item != NULL)
    bs_item_load_async (entry->item, G_PRIORITY_DEFAULT, NULL, loaded_for_check_cb, entry);
  else
    reject (entry, "is not at the persisted path");
}

static void
start_judging (Example *self)
{
  GError *error = NULL;

  if (self->n_wrong > 0)
    error = g_error_new (BS_ERROR, BS_ERROR_CORRUPT, "%u of %u files are missing or differ",
                         self->n_wrong, self->entries->len);
  finish_one (self, error);
}

static void
loaded_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GBytes) bytes = NULL;
  Entry *entry = data;
  GError *error = NULL;

  bytes = bs_item_load_finish (BS_ITEM (source), result, &error);
  note_memory_use (entry->example);
  finish_one (entry->example, error);
}

static void
start_loading (Entry *entry)
{
  bs_item_load_async (entry->item, G_PRIORITY_DEFAULT, NULL, loaded_cb, entry);
}

/* Deleting what is permanent: the item stays whole as long as it is held. */

static void
deleted_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Entry *entry = data;
  GError *error = NULL;

  if (!bs_backing_store_delete_persisted_finish (BS_BACKING_STORE (source), result, &error))
    finish_one (entry->example, error);
  else if (bs_tracked_path_contains_key (entry->example->tracked, entry->key))
    reject (entry, "was deleted and is still there");
  else
    start_checking (entry);
}

static void
start_deleting (Entry *entry)
{
  Example *self = entry->example;

  bs_backing_store_delete_persisted_async (self->store, self->tracked, entry->key,
                                           G_PRIORITY_DEFAULT, NULL, deleted_cb, entry);
}

static const Step store_steps[] = { { "Listing", start_listing },
                                    { "Tracking", start_tracking },
                                    { "Inserting", .start_entry = start_inserting,
                                      .in_flight = INSERTS_IN_FLIGHT },
                                    { NULL, start_counting },
                                    { "Persisting", .start_entry = start_persisting },
                                    { "Syncing", start_syncing },
                                    { "Manifest", start_saving_manifest },
                                    { NULL } };

static const Step verify_steps[] = {
  { NULL, start_looking },
  { "Tracking", start_tracking },
  { "Manifest", start_loading_manifest },
  { "Registering", start_registering },
  { "Comparing", .start_entry = start_checking },
  { NULL, start_judging },
  { "Backwards", .start_entry = start_loading, .backwards = TRUE },
  { "Deleting", .start_entry = start_deleting, .max_entries = N_DELETED },
  { NULL, start_judging },
  { "Syncing", start_syncing },
  { "Manifest", start_saving_manifest },
  { NULL }
};

static void
print_blobs (BsFileBacking *backing)
{
  g_autoptr (BsFileBackingStats) files = bs_file_backing_get_stats (backing);

  printf ("%-11s %" G_GUINT64_FORMAT " linked, %" G_GUINT64_FORMAT " reflinked, %" G_GUINT64_FORMAT
          " copied\n",
          "Blobs", files->linked, files->reflinked, files->copied);
}

static void
summarize (Example *self)
{
  g_autoptr (BsPoolStats) stats = bs_pool_get_stats (self->pool);
  guint64 n_bytes = 0;
  gint64 largest = 0;
  guint n_items = 0;

  for (guint i = 0; i < self->entries->len; i++)
    {
      Entry *entry = self->entries->pdata[i];

      if (entry->item != NULL)
        {
          n_items++;
          n_bytes += bs_item_get_size (entry->item);
          largest = MAX (largest, bs_item_get_size (entry->item));
        }
    }

  printf ("%-11s %8.2f s\n\n", "Total", seconds_since (self->begun));
  printf ("%-11s %u, %.1f MiB, the largest %.1f MiB; ", "Files", n_items, n_bytes / MIB,
          largest / MIB);
  if (self->source != NULL)
    printf ("%u skipped\n", self->n_skipped);
  else
    printf ("each with the SHA-256 of the original\n");
  printf ("%-11s %.1f MiB at most, budget %.1f MiB\n", "Pool", self->peak_use / MIB,
          bs_pool_get_max_bytes (self->pool) / MIB);
  printf ("%-11s %.1f MiB resident at most, %.1f MiB before the first file\n", "Process",
          get_resident_peak () / MIB, self->peak_before / MIB);
  if ((guint64) largest > bs_pool_get_max_bytes (self->pool))
    printf ("%-11s the largest file is above the budget: it is in memory whole while it is used\n",
            "Memory");
  printf ("%-11s %" G_GUINT64_FORMAT " hits, %" G_GUINT64_FORMAT " misses, %" G_GUINT64_FORMAT
          " written, "
          "%" G_GUINT64_FORMAT " evicted\n",
          "Loads", stats->hits, stats->misses, stats->writes, stats->evictions);
  if (BS_IS_FILE_BACKING (self->backing))
    print_blobs (BS_FILE_BACKING (self->backing));
  printf ("%-11s %" G_GUINT64_FORMAT " files; %u deleted\n", "Persisted",
          bs_tracked_path_get_n_keys (self->tracked),
          self->source == NULL ? MIN (n_items, N_DELETED) : 0);
}

/* Takes `backing` over. */
static Example *
example_new (const char *source, GFile *target, BsBacking *backing, guint64 budget, guint patience)
{
  Example *self = g_new0 (Example, 1);

  self->begun = g_get_monotonic_time ();
  self->peak_before = get_resident_peak ();
  self->source = source != NULL ? g_file_new_for_commandline_arg (source) : NULL;
  self->target = g_object_ref (target);
  self->blobs = g_file_get_child (self->target, "blobs");
  self->folders = g_ptr_array_new_with_free_func (g_object_unref);
  self->entries = g_ptr_array_new_with_free_func (entry_free);
  self->loop = g_main_loop_new (NULL, FALSE);
  self->backing = backing;
  self->store = bs_backing_store_new (self->backing);
  self->pool = bs_pool_new (self->store, budget);
  self->patience = patience;

  return self;
}

static void
example_free (Example *self)
{
  g_ptr_array_unref (self->entries);
  g_ptr_array_unref (self->folders);
  g_clear_object (&self->pool);
  g_clear_object (&self->tracked);
  g_clear_object (&self->store);
  g_clear_object (&self->backing);
  g_clear_object (&self->source);
  g_clear_object (&self->target);
  g_clear_object (&self->blobs);
  g_clear_object (&self->manifest);
  g_clear_pointer (&self->loop, g_main_loop_unref);
  g_clear_error (&self->error);
  g_free (self);
}

static BsBacking *
make_backing (const char *uri, GFile *target, GError **error)
{
  g_autoptr (GFile) scratch = g_file_get_child (target, "scratch");

  return uri != NULL ? bs_backing_new_for_uri (uri, error)
                     : BS_BACKING (bs_file_backing_new (scratch));
}

int
main (int argc, char **argv)
{
  g_autofree char *uri = NULL;
  int budget = 4;
  int patience = DEFAULT_PATIENCE;
  const GOptionEntry options[] = {
    { "budget", 'b', 0, G_OPTION_ARG_INT, &budget, "Memory that the pool may hold (4)", "MIB" },
    { "patience", 'p', 0, G_OPTION_ARG_INT, &patience,
      "Give up when nothing has moved for so long (300)", "SECONDS" },
    { "backing", 'k', 0, G_OPTION_ARG_STRING, &uri, "Where it is kept instead of files", "URI" },
    { NULL }
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("store SOURCE TARGET | verify TARGET");
  g_autoptr (GFile) target = NULL;
  g_autoptr (GError) error = NULL;
  BsBacking *backing;
  gboolean store, verify;
  Example *self;
  int status = 0;

  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      fprintf (stderr, "example: %s\n", error->message);
      return 2;
    }

  store = argc == 4 && g_str_equal (argv[1], "store");
  verify = argc == 3 && g_str_equal (argv[1], "verify");
  if ((!store && !verify) || budget < 0 || patience < 1)
    {
      g_autofree char *help = g_option_context_get_help (context, TRUE, NULL);

      fputs (help, stderr);
      return 2;
    }

  target = g_file_new_for_commandline_arg (argv[argc - 1]);
  backing = make_backing (uri, target, &error);
  if (backing == NULL)
    {
      fprintf (stderr, "example: %s\n", error->message);
      return 1;
    }

  self = example_new (store ? argv[2] : NULL, target, backing, budget * (guint64) MIB, patience);
  g_timeout_add_seconds (1, watch_cb, self);
  begin_step (self, store ? store_steps : verify_steps);
  advance (self);
  g_main_loop_run (self->loop);

  if (self->error == NULL)
    {
      summarize (self);
    }
  else
    {
      g_autofree char *message = name_files (self, self->error->message);

      fprintf (stderr, "example: %s\n", message);
      status = 1;
    }
  example_free (self);

  return status;
}
