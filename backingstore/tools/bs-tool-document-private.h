/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-tool-private.h"

G_BEGIN_DECLS

/* A dry run reads only, whatever it would do. */
typedef enum
{
  BS_TOOL_READ,   /* nothing in the document is changed */
  BS_TOOL_CHANGE, /* the document is there */
  BS_TOOL_MAKE,   /* or is made */
} BsToolAccess;

/* A document of the command line, and the engine that can open it. */
typedef struct
{
  char *argument; /* as it was given */
  char *name;     /* of it, for messages */
  char *engine;   /* the scheme of its URI */
  GFile *file;
  gboolean exists;
  BsBacking *backing;

  /* after it was opened */
  BsBackingStore *store;
  BsTrackedPath *tracked;
  GBytes *root;         /* or NULL */
  BsManifest *manifest; /* or NULL: the root is an application's own */
} BsToolDocument;

/* Finds out what an argument names. `engine` is for a document that is made, or NULL. */
BsToolDocument *bs_tool_document_new       (BsTool *tool, const char *argument, BsToolAccess access, const char *engine, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Opens it in a store of its own, and reads its root. */
gboolean        bs_tool_document_open      (BsToolDocument *self, BsTool *tool, GError **error);
/* Opens it in the store of another backing. */
gboolean        bs_tool_document_open_in   (BsToolDocument *self, BsTool *tool, BsBackingStore *store, GError **error);
/* Lets go of the document, and tells if that has failed. */
gboolean        bs_tool_document_close     (BsToolDocument *self, GError **error);
void            bs_tool_document_free      (BsToolDocument *self);

gboolean        bs_tool_document_is_folder (BsToolDocument *self);
gboolean        bs_tool_document_is_empty  (BsToolDocument *self);
/* Returns a pool over its store. */
BsPool         *bs_tool_document_new_pool  (BsToolDocument *self) G_GNUC_WARN_UNUSED_RESULT;
/* Opens a content. A stream that is read from start to end compares the hash. */
GInputStream   *bs_tool_document_read      (BsToolDocument *self, BsPool *pool, const char *key, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The length of a content. */
gboolean        bs_tool_document_measure   (BsToolDocument *self, BsPool *pool, const char *key, guint64 *size, GCancellable *cancellable, GError **error);
/* Keys that the manifest does not name, in order. */
char          **bs_tool_document_list_unnamed (BsToolDocument *self) G_GNUC_WARN_UNUSED_RESULT;

/* Runs a function for each of several documents, opened for reading. An error of one is
 * reported, and the others have their turn. */
typedef gboolean (*BsToolDocumentFunc) (BsTool *tool, BsToolDocument *document, GError **error);

void            bs_tool_document_foreach   (BsTool *tool, char **arguments, BsToolDocumentFunc func);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsToolDocument, bs_tool_document_free)

G_END_DECLS
