/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include "base/bs-key-private.h"
#include "base/bs-backing.h"

G_BEGIN_DECLS

/* Emits notify and other signals in the context that was the thread's default where
 * it was made, once for many changes. Outlives its objects. */
typedef struct _BsNotifier BsNotifier;

BsNotifier *bs_notifier_new     (void);
BsNotifier *bs_notifier_ref     (BsNotifier *notifier);
void        bs_notifier_unref   (BsNotifier *notifier);

/* `pending`, where given, belongs to the object and is set while the notification is
 * under way: cheap for a property that changes all the time. */
void        bs_notifier_notify  (BsNotifier *notifier, GObject *object, GParamSpec *pspec, int *pending);
/* Tells the object's queued notices at once. Called from a source in `context`; does
 * nothing where that is not the notifier's. */
void        bs_notifier_tell_now (BsNotifier *notifier, GMainContext *context, GObject *object);
/* Drops the notices of an object that is being finalized: where no loop runs they
 * would stay. */
void        bs_notifier_forget  (BsNotifier *notifier, GObject *object);
/* Takes `error` over. */
void        bs_notifier_report  (BsNotifier *notifier, GObject *object, guint signal_id, const BsKey *key, BsOperation operation, GError *error);

G_END_DECLS
