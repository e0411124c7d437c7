/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "backing-contract.h"

void backing_contract_add_stream_tests (const BackingKind *kind);
