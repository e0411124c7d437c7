/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One bit for each value of a byte, as of the first byte of keys. */
typedef struct
{
  guint64 words[4];
} BsByteSet;

static inline void
bs_byte_set_add (BsByteSet *self, guint8 byte)
{
  self->words[byte / 64] |= G_GUINT64_CONSTANT (1) << byte % 64;
}

static inline void
bs_byte_set_remove (BsByteSet *self, guint8 byte)
{
  self->words[byte / 64] &= ~(G_GUINT64_CONSTANT (1) << byte % 64);
}

static inline gboolean
bs_byte_set_contains (const BsByteSet *self, guint8 byte)
{
  return (self->words[byte / 64] >> byte % 64 & 1) != 0;
}

static inline gboolean
bs_byte_set_is_empty (const BsByteSet *self)
{
  return (self->words[0] | self->words[1] | self->words[2] | self->words[3]) == 0;
}

G_END_DECLS
