/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Answers of servers are shallow: an element is told by its name and its parent's. */
typedef struct
{
  void (*value) (const char *parent, const char *name, const char *text, gpointer data);
  void (*end)   (const char *name, gpointer data); /* of an element with children; nullable */
} BsS3XmlFuncs;

gboolean bs_s3_xml_parse  (const guint8 *text, gsize length, const BsS3XmlFuncs *funcs, gpointer data, GError **error);
/* Returns the first value of an element, or NULL. */
char    *bs_s3_xml_lookup (const guint8 *text, gsize length, const char *name) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
