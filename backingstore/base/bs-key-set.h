/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib-object.h>

#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_KEY_SET (bs_key_set_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsKeySet, bs_key_set, BS, KEY_SET, GObject)

/**
 * BsKeyFunc:
 * @key: a key, lower-case and hyphenated
 * @user_data: the data given beside the function
 *
 * Called for each key of a set.
 */
typedef void (*BsKeyFunc) (const char *key, gpointer user_data);

BS_AVAILABLE_IN_1_0
BsKeySet  *bs_key_set_new          (void) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
gboolean   bs_key_set_add          (BsKeySet *self, const char *key, GError **error);
BS_AVAILABLE_IN_1_0
gboolean   bs_key_set_remove       (BsKeySet *self, const char *key);
BS_AVAILABLE_IN_1_0
gboolean   bs_key_set_contains_key (BsKeySet *self, const char *key);
BS_AVAILABLE_IN_1_0
guint64    bs_key_set_get_n_keys   (BsKeySet *self);
BS_AVAILABLE_IN_1_0
char     **bs_key_set_list_keys    (BsKeySet *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void       bs_key_set_foreach_key  (BsKeySet *self, BsKeyFunc func, gpointer user_data);

G_END_DECLS
