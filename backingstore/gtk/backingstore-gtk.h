/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>

#include <backingstore/gtk/bs-gtk-init.h>
#include <backingstore/gtk/bs-gtk-item-paintable.h>
#include <backingstore/gtk/bs-gtk-texture-codec.h>
