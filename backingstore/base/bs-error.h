/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_ERROR (bs_error_quark ())

/**
 * BsError:
 * @BS_ERROR_FAILED: something failed without saying why, for example a virtual
 *   function written in a script that returned without setting an error.
 * @BS_ERROR_INVALID_KEY: a string is not a key.
 * @BS_ERROR_NOT_FOUND: there is no such key, or no root blob.
 * @BS_ERROR_EXISTS: the key is already in primary storage.
 * @BS_ERROR_BUSY: somebody else holds it: another process has the directory
 *   open, a running save names the key, or this very save is running.
 * @BS_ERROR_CORRUPT: the bytes read are not the bytes written.
 * @BS_ERROR_FOREIGN: the place holds something that is not a store.
 * @BS_ERROR_NOT_SUPPORTED: the backing cannot do this.
 * @BS_ERROR_CLOSED: the store or the tracked path was closed.
 * @BS_ERROR_MOVED: the name of a path does not lead to its directory any more: that
 *   was renamed, replaced or removed.
 *
 * The errors of a backing or a store.
 *
 * Besides these, operations report G_IO_ERROR_CANCELLED,
 * G_IO_ERROR_WOULD_BLOCK (the call could only wait for itself),
 * G_IO_ERROR_INVALID_ARGUMENT (an object belongs to another store), and
 * other errors of the system as a G_IO_ERROR.
 */
typedef enum
{
  BS_ERROR_FAILED,
  BS_ERROR_INVALID_KEY,
  BS_ERROR_NOT_FOUND,
  BS_ERROR_EXISTS,
  BS_ERROR_BUSY,
  BS_ERROR_CORRUPT,
  BS_ERROR_FOREIGN,
  BS_ERROR_NOT_SUPPORTED,
  BS_ERROR_CLOSED,
  BS_ERROR_MOVED,
} BsError;

BS_AVAILABLE_IN_1_0
GQuark bs_error_quark (void);

G_END_DECLS
