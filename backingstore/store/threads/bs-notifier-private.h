/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "base/bs-key-private.h"
#include "base/bs-backing.h"

G_BEGIN_DECLS

/* Emits notify and other signals in the context that was the thread's default
 * where it was made; what happens often is told once. Outlives its objects. */
typedef struct _BsNotifier BsNotifier;

BsNotifier *bs_notifier_new     (void);
BsNotifier *bs_notifier_ref     (BsNotifier *notifier);
void        bs_notifier_unref   (BsNotifier *notifier);

/* `pending`, where given, belongs to the object and is set while the
 * notification is under way: the cheap way for what changes all the time. */
void        bs_notifier_notify  (BsNotifier *notifier, GObject *object, GParamSpec *pspec, int *pending);
/* Tells what is queued for the object rather than when the time has come. Called
 * from a source in `context`; nothing happens where that is not the notifier's. */
void        bs_notifier_tell_now (BsNotifier *notifier, GMainContext *context, GObject *object);
/* The object is being finalized: where no loop runs, nobody else clears up. */
void        bs_notifier_forget  (BsNotifier *notifier, GObject *object);
/* Takes `error` over. */
void        bs_notifier_report  (BsNotifier *notifier, GObject *object, guint signal_id, const BsKey *key, BsOperation operation, GError *error);

G_END_DECLS
