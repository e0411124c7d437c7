/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-objects-private.h"
#include "bs-s3-xml-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Ranges of names that are listed side by side: one for so many pages, and no more than
 * there are pairs of hexadecimal digits. */
#define PAGES_PER_RANGE 10
#define MAX_RANGES 256
#define MAX_PARALLEL 64
#define PAGE_SIZE 1000
/* The characters on both sides of the digits and of the letters up to f. */
#define BEFORE_DIGITS "/"
#define BEHIND_DIGITS "g"
/* The element around a list. */
#define LIST "ListBucketResult"

/* One page, while it is parsed. */
typedef struct
{
  BsS3ListFunc func;
  gpointer data;
  const char *end;   /* names from here on belong to another range; nullable */
  const char *after; /* the name behind which it begins; nullable */
  gboolean is_list;  /* the answer is one */
  char *key;         /* of the object under way */
  guint64 size;
  char *last; /* the last name of the page */
  guint n;
  gboolean truncated;
} Page;

static void
page_clear (Page *self)
{
  g_clear_pointer (&self->key, g_free);
  g_clear_pointer (&self->last, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Page, page_clear)

static void
take_value (const char *parent, const char *name, const char *text, gpointer data)
{
  Page *self = data;

  self->is_list |= g_str_equal (parent, LIST) || g_str_equal (name, LIST);
  if (g_str_equal (name, "IsTruncated"))
    self->truncated = g_str_equal (text, "true");
  else if (g_str_equal (name, "Size") && g_str_equal (parent, "Contents"))
    self->size = g_ascii_strtoull (text, NULL, 10);
  else if ((g_str_equal (name, "Key") && g_str_equal (parent, "Contents")) ||
           (g_str_equal (name, "Prefix") && g_str_equal (parent, "CommonPrefixes")))
    {
      g_free (self->key);
      self->key = g_strdup (text);
    }
}

static void
end_element (const char *name, gpointer data)
{
  Page *self = data;
  g_autofree char *key = NULL;

  self->is_list |= g_str_equal (name, LIST);
  if ((!g_str_equal (name, "Contents") && !g_str_equal (name, "CommonPrefixes")) ||
      self->key == NULL)
    return;

  key = g_steal_pointer (&self->key);
  if (self->end == NULL || strcmp (key, self->end) < 0)
    self->func (key, self->size, self->data);
  else
    self->truncated = FALSE;
  g_free (self->last);
  self->last = g_steal_pointer (&key);
  self->size = 0;
  self->n++;
}

static BsS3Call *
begin_page (BsS3Client *client, const char *prefix, const char *after, gboolean level)
{
  g_autofree char *encoded = bs_s3_encode (prefix, FALSE);
  g_autofree char *start = after != NULL ? bs_s3_encode (after, FALSE) : NULL;
  g_autofree char *query =
    g_strconcat (level ? "delimiter=%2F&" : "", "list-type=2&prefix=", encoded,
                 start != NULL ? "&start-after=" : NULL, start, NULL);

  return bs_s3_client_begin (client, &(BsS3Request){ .method = "GET", .query = query });
}

/* Takes the call over. */
static gboolean
end_page (BsS3Call *call, Page *page, GCancellable *cancellable, GError **error)
{
  static const BsS3XmlFuncs funcs = { take_value, end_element };
  g_auto (BsS3Answer) answer = { 0 };
  const guint8 *text;
  gsize size;

  if (!bs_s3_call_end (call, &answer, cancellable, error) || !bs_s3_answer_check (&answer, error))
    return FALSE;

  text = g_bytes_get_data (answer.content, &size);
  if (!bs_s3_xml_parse (text, size, &funcs, page, error))
    return FALSE;
  /* Something between here and the server may answer in its place. */
  if (!page->is_list)
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_FAILED,
                           _ ("the server's answer is no list of names"));
      return FALSE;
    }
  /* A server that does not go on would be asked for ever. */
  if (page->truncated &&
      (page->last == NULL || (page->after != NULL && strcmp (page->last, page->after) <= 0)))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_FAILED,
                           _ ("the server says that there are more names, and gives none"));
      return FALSE;
    }
  return TRUE;
}

gboolean
bs_s3_list_level (BsS3Client *client,
                  const char *prefix,
                  BsS3ListFunc func,
                  gpointer data,
                  GCancellable *cancellable,
                  GError **error)
{
  g_auto (Page) page = { func, data };

  return end_page (begin_page (client, prefix, NULL, TRUE), &page, cancellable, error);
}

/* A range of names, up to its end. */
typedef struct
{
  char *after;
  char *end;
  BsS3Call *call;
} Range;

static void
range_free (Range *self)
{
  g_clear_pointer (&self->call, bs_s3_call_free);
  g_free (self->after);
  g_free (self->end);
  g_free (self);
}

/* Where the first of all names stands among those of 16 bits, from 0 to 1. */
static double
place_of (const char *name, gsize prefix_length)
{
  const char *digits = strlen (name) > prefix_length ? name + prefix_length : "";
  double place = 0, weight = 1. / 16;

  for (guint i = 0; i < 4 && digits[i] != '\0'; i++)
    {
      if (digits[i] == '/')
        {
          digits++;
          i--;
          continue;
        }
      place += MAX (0, g_ascii_xdigit_value (digits[i])) * weight;
      weight /= 16;
    }
  return place;
}

static char *
name_at (const char *prefix, double place)
{
  return g_strdup_printf ("%s%02x", prefix, (guint) (place * 256));
}

/* Names are spread evenly, so the first page tells how many there are. */
static GQueue *
make_ranges (const char *prefix, const char *last, const char *end_of_all, guint n_seen)
{
  double done = place_of (last, strlen (prefix));
  double n_pages =
    done > 0 ? n_seen / (double) PAGE_SIZE / done : 1. * MAX_RANGES * PAGES_PER_RANGE;
  guint n_ranges = CLAMP (n_pages / PAGES_PER_RANGE, 1, MAX_RANGES);
  GQueue *ranges = g_queue_new ();
  double first = done;

  for (guint i = 0; i < n_ranges; i++)
    {
      double end = done + (1 - done) * (i + 1) / n_ranges;
      Range *range;

      if (i + 1 < n_ranges && (guint) (end * 256) == (guint) (first * 256))
        continue;
      range = g_new0 (Range, 1);
      range->after = g_queue_is_empty (ranges)
                       ? g_strdup (last)
                       : g_strdup (((Range *) g_queue_peek_tail (ranges))->end);
      range->end = i + 1 < n_ranges ? name_at (prefix, end) : g_strdup (end_of_all);
      g_queue_push_tail (ranges, range);
      first = end;
    }

  return ranges;
}

static void
free_ranges (GQueue *ranges)
{
  g_queue_free_full (ranges, (GDestroyNotify) range_free);
}

typedef GQueue Ranges;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Ranges, free_ranges)

/* Ends the page of the first range under way. */
static gboolean
end_first (Ranges *running,
           BsS3ListFunc func,
           gpointer data,
           GCancellable *cancellable,
           GError **error)
{
  Range *range = g_queue_peek_head (running);
  g_auto (Page) page = { func, data, range->end, range->after };

  if (!end_page (g_steal_pointer (&range->call), &page, cancellable, error))
    return FALSE;

  g_queue_pop_head (running);
  if (page.truncated)
    {
      g_free (range->after);
      range->after = g_steal_pointer (&page.last);
      g_queue_push_tail (running, range);
    }
  else
    {
      range_free (range);
    }
  return TRUE;
}

static gboolean
list_ranges (BsS3Client *client,
             const char *prefix,
             Ranges *waiting,
             BsS3ListFunc func,
             gpointer data,
             GCancellable *cancellable,
             GError **error)
{
  g_autoptr (Ranges) running = g_queue_new ();

  while (!g_queue_is_empty (waiting) || !g_queue_is_empty (running))
    {
      while (!g_queue_is_empty (waiting) && g_queue_get_length (running) < MAX_PARALLEL)
        g_queue_push_tail (running, g_queue_pop_head (waiting));
      for (GList *l = running->head; l != NULL; l = l->next)
        {
          Range *range = l->data;

          if (range->call == NULL)
            range->call = begin_page (client, prefix, range->after, FALSE);
        }
      if (!end_first (running, func, data, cancellable, error))
        return FALSE;
    }

  return TRUE;
}

gboolean
bs_s3_list (BsS3Client *client,
            const char *prefix,
            BsS3ListFunc func,
            gpointer data,
            GCancellable *cancellable,
            GError **error)
{
  g_auto (Page) page = { func, data };
  g_autofree char *first = g_strconcat (prefix, BEFORE_DIGITS, NULL);
  g_autofree char *end = g_strconcat (prefix, BEHIND_DIGITS, NULL);
  g_autoptr (Ranges) ranges = NULL;

  page.end = end;
  page.after = first;
  if (!end_page (begin_page (client, prefix, first, FALSE), &page, cancellable, error))
    return FALSE;
  if (!page.truncated)
    return TRUE;

  ranges = make_ranges (prefix, page.last, end, page.n);
  return list_ranges (client, prefix, ranges, func, data, cancellable, error);
}
