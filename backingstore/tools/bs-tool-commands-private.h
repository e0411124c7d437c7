/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-tool-private.h"

G_BEGIN_DECLS

/* A subcommand. Errors that are its own fault have the domain G_OPTION_ERROR. */
typedef struct
{
  const char *name;
  const char *arguments; /* for the usage, marked for translation */
  const char *summary;   /* the same */
  const GOptionEntry *entries;
  guint min_arguments;
  guint max_arguments;
  gboolean changes; /* so that --dry-run means something */
  /* In a thread of its own. */
  gboolean (*run) (BsTool *tool, char **arguments, GError **error);
} BsToolCommand;

extern const BsToolCommand bs_tool_info;
extern const BsToolCommand bs_tool_list;
extern const BsToolCommand bs_tool_verify;
extern const BsToolCommand bs_tool_export;
extern const BsToolCommand bs_tool_import;
extern const BsToolCommand bs_tool_copy;
extern const BsToolCommand bs_tool_repair;
extern const BsToolCommand bs_tool_du;


G_END_DECLS
