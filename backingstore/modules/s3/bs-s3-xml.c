/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-xml-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>

#define MAX_DEPTH 16

typedef struct
{
  const BsS3XmlFuncs *funcs;
  gpointer data;
  GString *text;
  gboolean has_children; /* of the element that ends next */
} Parser;

static void
start_element (GMarkupParseContext *context,
               const char *name,
               const char **attribute_names,
               const char **attribute_values,
               gpointer data,
               GError **error)
{
  Parser *self = data;

  g_string_truncate (self->text, 0);
  self->has_children = FALSE;
  if (g_slist_length ((GSList *) g_markup_parse_context_get_element_stack (context)) > MAX_DEPTH)
    g_set_error_literal (error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "too deep");
}

static void
end_element (GMarkupParseContext *context, const char *name, gpointer data, GError **error)
{
  Parser *self = data;
  const GSList *stack = g_markup_parse_context_get_element_stack (context);
  const char *parent = stack->next != NULL ? stack->next->data : "";

  if (!self->has_children)
    self->funcs->value (parent, name, self->text->str, self->data);
  else if (self->funcs->end != NULL)
    self->funcs->end (name, self->data);
  g_string_truncate (self->text, 0);
  self->has_children = TRUE;
}

static void
text (GMarkupParseContext *context, const char *text, gsize length, gpointer data, GError **error)
{
  g_string_append_len (((Parser *) data)->text, text, length);
}

gboolean
bs_s3_xml_parse (const guint8 *bytes,
                 gsize length,
                 const BsS3XmlFuncs *funcs,
                 gpointer data,
                 GError **error)
{
  static const GMarkupParser parser = { start_element, end_element, text, NULL, NULL };
  g_autoptr (GString) buffer = g_string_new (NULL);
  Parser self = { funcs, data, buffer, FALSE };
  g_autoptr (GMarkupParseContext) context =
    g_markup_parse_context_new (&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &self, NULL);
  g_autoptr (GError) local = NULL;
  /* Empty bytes may be NULL. */
  const char *document = length > 0 ? (const char *) bytes : "";

  if (g_markup_parse_context_parse (context, document, length, &local) &&
      g_markup_parse_context_end_parse (context, &local))
    return TRUE;

  g_set_error (error, BS_ERROR, BS_ERROR_FAILED, _ ("the server's answer cannot be read: %s"),
               local->message);
  return FALSE;
}

typedef struct
{
  const char *name;
  char *text;
} Lookup;

static void
find (const char *parent, const char *name, const char *text, gpointer data)
{
  Lookup *lookup = data;

  if (lookup->text == NULL && g_str_equal (name, lookup->name))
    lookup->text = g_strdup (text);
}

char *
bs_s3_xml_lookup (const guint8 *text, gsize length, const char *name)
{
  static const BsS3XmlFuncs funcs = { find, NULL };
  Lookup lookup = { name, NULL };

  bs_s3_xml_parse (text, length, &funcs, &lookup, NULL);
  return lookup.text;
}
