/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "backing-contract.h"

#include <backingstore/backingstore.h>

/* The engine "s3:" with a server of its own on this machine, which is told what to do to
 * the requests: tests/s3/server.py says what it understands. */

#define SECONDS 100

typedef struct
{
  GSubprocess *process;
  GDataInputStream *output;
  guint port;
  guint control_port; /* for commands */
  gboolean secure;
} Server;

/* Without a program that is needed, returns FALSE and has said so. */
gboolean   server_start         (Server *server, const char *const *arguments);
/* A server that others have written, run by a script of tests/s3, without a way to tell it
 * anything. The argument of the script is nullable. */
gboolean   server_start_alone   (Server *server, const char *name, const char *argument);
/* A proxy that only does damage before such a server. */
gboolean   server_start_before  (Server *server, Server *upstream);
/* A server with TLS. Its certificate, which no authority has signed, is made in the directory,
 * for a name such as "IP:127.0.0.1"; AWS_CA_BUNDLE takes it. */
gboolean   server_start_secure  (Server *server, const char *directory, const char *name, gboolean expired, char **certificate);
void       server_stop          (Server *server);
/* Gives commands, as printf() makes them. Returns the answer. */
char      *server_tell          (Server *server, const char *format, ...) G_GNUC_PRINTF (2, 3);
void       server_do            (Server *server, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* How many requests of a kind there were; -1 for one that the answer does not name. */
int        server_count         (Server *server, const char *kind);
/* Waits until a fault has met its request. */
void       server_await_hit     (Server *server);
int        answer_get_number    (const char *answer, const char *name);

typedef struct
{
  Server server;
  GFile *path;
  BsBacking *backing;
} Fixture;

/* The credentials that the server knows, and nothing else of the environment. */
void       set_up_environment   (void);
/* With more parameters, each with an ampersand before it. */
BsBacking *create_at            (Server *server, const char *parameters);
GFile     *make_path            (const char *name);

void       set_up               (Fixture *fixture, gconstpointer parameters);
void       tear_down            (Fixture *fixture, gconstpointer parameters);

void       track                (BsBacking *backing, GFile *path);
guint64    count_keys           (BsBacking *backing, GFile *path);
void       assert_track_fails   (BsBacking *backing, GFile *path, GQuark domain, int code);
char      *write_new            (BsBacking *backing, GBytes *bytes);
/* A new blob at the path, that primary storage has too. */
char      *persist_new          (BsBacking *backing, GFile *path, gsize size, guint seed);
/* `keys` end with NULL; without any, the root names nothing. */
gboolean   save                 (BsBacking *backing, GFile *path, const char *text, GError **error, ...) G_GNUC_NULL_TERMINATED;
void       assert_root          (BsBacking *backing, GFile *path, const char *text);
