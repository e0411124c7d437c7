/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/bs-enum-types.h>
#include <backingstore/bs-version.h>

#include <backingstore/base/bs-backing.h>
#include <backingstore/base/bs-error.h>
#include <backingstore/base/bs-key.h>
#include <backingstore/base/bs-key-set.h>

#include <backingstore/store/bs-backing-store.h>
#include <backingstore/store/bs-task-tracker.h>
#include <backingstore/store/bs-tracked-path.h>
#include <backingstore/store/bs-verify.h>

#include <backingstore/backings/bs-engine.h>
#include <backingstore/backings/bs-fault-backing.h>
#include <backingstore/backings/bs-file-backing.h>
#include <backingstore/backings/bs-memory-backing.h>

#include <backingstore/pool/bs-codec.h>
#include <backingstore/pool/bs-item.h>
#include <backingstore/pool/bs-loader.h>
#include <backingstore/pool/bs-manifest.h>
#include <backingstore/pool/bs-manifest-calls.h>
#include <backingstore/pool/bs-manifest-entry.h>
#include <backingstore/pool/bs-pool-items.h>
#include <backingstore/pool/bs-pool.h>
#include <backingstore/pool/bs-save.h>

