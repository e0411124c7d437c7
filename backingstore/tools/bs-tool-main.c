/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-commands-private.h"

#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BAR_WIDTH 30

static const BsToolCommand *const commands[] = {
  &bs_tool_info,   &bs_tool_list,   &bs_tool_verify, &bs_tool_du,
  &bs_tool_export, &bs_tool_import, &bs_tool_copy,   &bs_tool_repair,
};

/* One run of a subcommand. */
typedef struct
{
  BsTool tool;
  const BsToolCommand *command;
  char **arguments;
  GMainLoop *loop;
  int signal; /* that has stopped it, or 0 */
  gboolean bar_shown;
} Run;

static void
erase_bar (Run *self)
{
  if (self->bar_shown)
    fputs ("\r\033[K", stderr);
  self->bar_shown = FALSE;
}

static gboolean
show_progress_cb (gpointer data)
{
  Run *self = data;
  const char *action;
  double fraction;
  guint filled;

  if (!bs_tool_get_progress (&self->tool, &action, &fraction))
    {
      erase_bar (self);
      return G_SOURCE_CONTINUE;
    }

  filled = CLAMP (fraction, 0, 1) * BAR_WIDTH;
  fprintf (stderr, "\r%s [%.*s%*s] %3d%%\033[K", action, (int) filled,
           "##############################", (int) (BAR_WIDTH - filled), "",
           (int) (CLAMP (fraction, 0, 1) * 100));
  fflush (stderr);
  self->bar_shown = TRUE;

  return G_SOURCE_CONTINUE;
}

/* A second signal ends the process at once: everything survives that. */
static gboolean
signal_cb (Run *self, int number)
{
  self->signal = number;
  g_cancellable_cancel (self->tool.cancellable);

  return G_SOURCE_REMOVE;
}

static gboolean
interrupt_cb (gpointer data)
{
  return signal_cb (data, SIGINT);
}

static gboolean
terminate_cb (gpointer data)
{
  return signal_cb (data, SIGTERM);
}

static void
run_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Run *self = data;
  GError *error = NULL;

  if (self->command->run (&self->tool, self->arguments, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
done_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Run *self = data;
  g_autoptr (GError) error = NULL;

  erase_bar (self);
  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) || self->signal == 0)
        bs_tool_report (&self->tool, error);
    }
  g_main_loop_quit (self->loop);
}

static int
run_command (Run *self)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, done_cb, self);
  guint progress = 0;

  self->loop = g_main_loop_new (NULL, FALSE);
  g_unix_signal_add (SIGINT, interrupt_cb, self);
  g_unix_signal_add (SIGTERM, terminate_cb, self);
  if (isatty (STDERR_FILENO) && !self->tool.quiet)
    progress = g_timeout_add (100, show_progress_cb, self);

  g_task_set_task_data (task, self, NULL);
  g_task_run_in_thread (task, run_in_thread);
  g_main_loop_run (self->loop);

  g_clear_handle_id (&progress, g_source_remove);
  g_main_loop_unref (self->loop);

  if ((fflush (stdout) != 0 || ferror (stdout)) && self->tool.status == BS_TOOL_DONE)
    {
      bs_tool_warn (_ ("the output could not be written"));
      return BS_TOOL_FAILED;
    }

  return self->signal != 0 ? 128 + self->signal : self->tool.status;
}

static char *
describe_commands (void)
{
  GString *text = g_string_new (_ ("Commands:"));

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    g_string_append_printf (text, "\n  %-10s %s", commands[i]->name, _ (commands[i]->summary));
  g_string_append_printf (text, "\n\n%s\n%s",
                          _ ("A document is a folder, a file, or a URI as sqlite:PATH."),
                          _ ("“backingstore COMMAND --help” tells the options of a command."));

  return g_string_free (text, FALSE);
}

static int
fail_usage (const char *message)
{
  g_printerr ("backingstore: %s\n%s\n", message, _ ("“backingstore --help” tells how it is used."));

  return BS_TOOL_USAGE;
}

static int
run_main (int argc, char **argv)
{
  gboolean version = FALSE;
  const GOptionEntry entries[] = { { "version", 0, 0, G_OPTION_ARG_NONE, &version,
                                     N_ ("Show the version"), NULL },
                                   G_OPTION_ENTRY_NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (_ ("COMMAND [ARGUMENT…]"));
  g_autofree char *description = describe_commands ();
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  g_option_context_set_summary (
    context, _ ("Looks into documents of applications that use libbackingstore."));
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    return fail_usage (error->message);
  if (!version)
    return fail_usage (_ ("A command is missing"));

  g_print ("backingstore %s\n", PACKAGE_VERSION);

  return BS_TOOL_DONE;
}

static GOptionContext *
new_context (Run *self)
{
  const BsToolCommand *command = self->command;
  BsTool *tool = &self->tool;
  const GOptionEntry common[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &tool->json,
                                    N_ ("Print objects of JSON, one a line"), NULL },
                                  { "quiet", 'q', 0, G_OPTION_ARG_NONE, &tool->quiet,
                                    N_ ("Print errors only"), NULL },
                                  { "scratch", 0, 0, G_OPTION_ARG_FILENAME, &tool->scratch,
                                    N_ ("Put temporary files into FOLDER"), N_ ("FOLDER") },
                                  G_OPTION_ENTRY_NULL };
  const GOptionEntry dry_run[] = { { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &tool->dry_run,
                                     N_ ("Change nothing, and tell what would be done"), NULL },
                                   G_OPTION_ENTRY_NULL };
  g_autofree char *usage = g_strdup_printf ("%s %s", command->name, _ (command->arguments));
  GOptionContext *context = g_option_context_new (usage);

  g_option_context_set_summary (context, _ (command->summary));
  if (command->entries != NULL)
    g_option_context_add_main_entries (context, command->entries, GETTEXT_PACKAGE);
  if (command->changes)
    g_option_context_add_main_entries (context, dry_run, GETTEXT_PACKAGE);
  g_option_context_add_main_entries (context, common, GETTEXT_PACKAGE);

  return context;
}

static int
run_subcommand (const BsToolCommand *command, char **arguments)
{
  g_autoptr (GOptionContext) context = NULL;
  g_autoptr (GError) error = NULL;
  Run run = { .command = command };
  g_auto (GStrv) parsed = g_strdupv (arguments);
  guint n;
  int status;

  bs_tool_init (&run.tool);
  context = new_context (&run);
  if (!g_option_context_parse_strv (context, &parsed, &error))
    {
      status = fail_usage (error->message);
    }
  else
    {
      run.arguments = parsed + 1;
      n = g_strv_length (run.arguments);
      if (n < command->min_arguments || n > command->max_arguments)
        {
          g_autofree char *message =
            g_strdup_printf (_ ("The command “%s” takes these arguments: %s"), command->name,
                             _ (command->arguments));

          status = fail_usage (message);
        }
      else
        {
          status = run_command (&run);
        }
    }
  bs_tool_clear (&run.tool);

  return status;
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  textdomain (GETTEXT_PACKAGE);
  g_set_prgname ("backingstore");

  if (argc < 2 || argv[1][0] == '-')
    return run_main (argc, argv);

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      if (strcmp (argv[1], commands[i]->name) == 0)
        return run_subcommand (commands[i], argv + 1);
    }

  {
    g_autofree char *name = bs_tool_escape (argv[1]);
    g_autofree char *message = g_strdup_printf (_ ("There is no command “%s”"), name);

    return fail_usage (message);
  }
}
