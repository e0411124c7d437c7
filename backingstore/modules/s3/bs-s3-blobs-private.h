/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

/* The functions of the backing that deal with blobs. */
void bs_s3_blobs_iface_init (BsBackingInterface *iface);

G_END_DECLS
