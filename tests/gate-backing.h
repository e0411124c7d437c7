/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

/* A backing in memory whose every virtual function has a gate before its effect
 * and one after it. It writes down what is called and on which thread, and
 * whether the store keeps what a backing may rely on. */

#define GATE_TYPE_BACKING (gate_backing_get_type ())
G_DECLARE_DERIVABLE_TYPE (GateBacking, gate_backing, GATE, BACKING, GObject)

struct _GateBackingClass
{
  GObjectClass parent_class;
};

/* A GateBacking without register_keys and delete_persisted_keys. */
#define GATE_TYPE_SINGLE_BACKING (gate_single_backing_get_type ())
G_DECLARE_FINAL_TYPE (GateSingleBacking, gate_single_backing, GATE, SINGLE_BACKING, GateBacking)

/* A GateBacking with persist_bytes. */
#define GATE_TYPE_DIRECT_BACKING (gate_direct_backing_get_type ())
G_DECLARE_FINAL_TYPE (GateDirectBacking, gate_direct_backing, GATE, DIRECT_BACKING, GateBacking)

/* A GateBacking with persist_bytes and persist_keys. */
#define GATE_TYPE_BATCH_BACKING (gate_batch_backing_get_type ())
G_DECLARE_FINAL_TYPE (GateBatchBacking, gate_batch_backing, GATE, BATCH_BACKING, GateBacking)

typedef enum
{
  GATE_BEFORE,
  GATE_AFTER,
} GatePoint;

/* Called with no lock held. */
typedef void (*GateHook) (GateBacking *self, BsOperation operation, const char *key, gpointer data);

GateBacking *gate_backing_new         (void);
GateBacking *gate_backing_new_single  (void);
GateBacking *gate_backing_new_direct  (void);
GateBacking *gate_backing_new_batch   (void);

/* In what follows a NULL key stands for every key. Bulk calls have none. */

/* Calls stop at the gate until it is released. One that is stopped before its
 * effect ends with CANCELLED when its cancellable fires, unless told otherwise. */
void         gate_backing_hold        (GateBacking *self, BsOperation operation, const char *key, GatePoint point);
void         gate_backing_release     (GateBacking *self, BsOperation operation, const char *key, GatePoint point);
void         gate_backing_release_all (GateBacking *self);
void         gate_backing_set_stubborn (GateBacking *self, gboolean stubborn);
/* Waits until `n` calls stand at that gate. */
void         gate_backing_wait_held   (GateBacking *self, BsOperation operation, const char *key, GatePoint point, guint n);
guint        gate_backing_get_n_held  (GateBacking *self, BsOperation operation, const char *key, GatePoint point);

/* The nth call from now on fails, or each of them with 0; without an error where that is NULL. */
void         gate_backing_fail        (GateBacking *self, BsOperation operation, const char *key, GatePoint point, guint nth, int io_error);
void         gate_backing_fail_silently (GateBacking *self, BsOperation operation);
void         gate_backing_set_hook    (GateBacking *self, BsOperation operation, GatePoint point, GateHook hook, gpointer data);
/* Forgets failures and hooks. */
void         gate_backing_clear       (GateBacking *self);

/* How many calls have begun. */
guint        gate_backing_count       (GateBacking *self, BsOperation operation, const char *key);
guint        gate_backing_count_all   (GateBacking *self);
void         gate_backing_reset_log   (GateBacking *self);
/* The names of the calls that concerned a key, in the order in which they began, with spaces between. */
char        *gate_backing_dup_log     (GateBacking *self, const char *key);
/* Where the last call was made, only to compare. */
GThread     *gate_backing_get_thread  (GateBacking *self, BsOperation operation);
/* How many ran side by side at most. */
guint        gate_backing_get_max_parallel (GateBacking *self);

/* The stored blobs. */
gboolean     gate_backing_has_primary     (GateBacking *self, const char *key);
void         gate_backing_lose_primary    (GateBacking *self, const char *key);
guint        gate_backing_get_n_primary   (GateBacking *self);
gboolean     gate_backing_has_persisted   (GateBacking *self, GFile *path, const char *key);
void         gate_backing_put_persisted   (GateBacking *self, GFile *path, const char *key, const char *content);
/* Whether the root was written with the key among those that it names. */
gboolean     gate_backing_is_named       (GateBacking *self, GFile *path, const char *key);
/* Verifying it finds it bad, and sets it aside. */
void         gate_backing_spoil           (GateBacking *self, GFile *path, const char *key);
void         gate_backing_lose_persisted  (GateBacking *self, GFile *path, const char *key);
/* Whether a sync that began after the last change of the key there has ended well. */
gboolean     gate_backing_is_durable      (GateBacking *self, GFile *path, const char *key);
gboolean     gate_backing_is_closed       (GateBacking *self);

/* Fails where the store has broken the contract of backings. */
void         gate_backing_assert_contract (GateBacking *self);

/* How long a test may wait for something that must come, in seconds. */
guint        watchdog_get_seconds (void);
void         watchdog_start       (void);
void         watchdog_stop        (void);

G_END_DECLS
