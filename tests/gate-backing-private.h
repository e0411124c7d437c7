/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "gate-backing.h"

G_BEGIN_DECLS

#define N_OPERATIONS (BS_OPERATION_CLOSE + 1)

typedef struct
{
  BsOperation operation;
  char *key;            /* owned; NULL for all */
  GatePoint point;
  guint n_held;
  gboolean open;        /* released: goes with the last one that stands there */
} Gate;

typedef struct
{
  BsOperation operation;
  char *key;            /* owned; NULL for all */
  GatePoint point;
  guint nth;            /* 0: each */
  guint n_seen;
  gboolean silent;
  int io_error;
} Failure;

typedef struct
{
  BsOperation operation;
  char *key;            /* owned, nullable */
} Event;

typedef struct
{
  GHashTable *blobs;    /* key → GBytes */
  GHashTable *dirty;    /* key → serial of its last change */
  GHashTable *bad;      /* of keys */
  GBytes *root;
  GHashTable *named;    /* by the root; NULL: all */
  gboolean ready;       /* sanitized, and not released since */
  guint n_calls;
  gboolean exclusive;   /* sanitize_path runs */
  gboolean whole;       /* sync_persisted or one of the root calls runs */
} Place;

typedef struct
{
  GHashTable *primary;  /* key → GBytes */
  GHashTable *places;   /* uri → Place */
  GHashTable *busy;     /* key → itself */
  guint64 serial;
  gboolean closed;

  GPtrArray *gates;     /* owned Gate */
  GPtrArray *failures;  /* owned Failure */
  GateHook hooks[N_OPERATIONS][2];
  gpointer hook_data[N_OPERATIONS][2];
  gboolean stubborn;

  GArray *log;          /* of Event */
  GThread *threads[N_OPERATIONS];
  guint n_parallel;
  guint max_parallel;
  GPtrArray *violations; /* owned strings */

  GMutex mutex;         /* guards it all */
  GCond cond;
} GateBackingPrivate;

extern const char *const gate_operation_names[N_OPERATIONS];

GateBackingPrivate *gate_backing_get_private (gpointer self);
gboolean            gate_matches             (BsOperation operation, const char *key, BsOperation wanted, const char *wanted_key);

/* The mutex must be held. */
Place              *gate_place_get           (GateBackingPrivate *self, GFile *path);
/* Waits for a change, or for the watchdog. */
void                gate_await               (GateBackingPrivate *self, const char *what, BsOperation operation, const char *key);

G_END_DECLS
