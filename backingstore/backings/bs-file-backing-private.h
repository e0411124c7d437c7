/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-backing.h"

#include "bs-file-paths-private.h"

G_BEGIN_DECLS

struct _BsFileBacking
{
  GObject parent_instance;

  BsFilePaths paths;

  /* constant after construct */
  GFile *directory; /* given by the property; the paths have the one that is used */
  char *uri;
};

G_END_DECLS
