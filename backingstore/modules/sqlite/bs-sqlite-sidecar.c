/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-sidecar-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The formats of a log and a journal are those of https://sqlite.org/fileformat2.html. */
#define LOG_HEADER_SIZE 32
#define LOG_MAGIC 0x377f0682 /* and with the lowest bit for numbers in big endian */
#define FRAME_HEADER_SIZE 24
#define JOURNAL_HEADER_SIZE 28
#define LEAF_PAGE 0x0d

static const guint8 tag[16] = "bs-sqlite-state";
static const guint8 journal_magic[8] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };

/* The cell of the one row of `state`: sizes, row id, types, and the text. */
static const guint8 cell[] = { 91, 1, 5, 0, 25, 0x81, 0x2c, 'r', 'e', 'c', 'o', 'r', 'd' };

void
bs_sqlite_record_print (const BsSqliteRecord *self, guint8 bytes[BS_SQLITE_RECORD_SIZE])
{
  gint64 size = GINT64_TO_LE (self->stamp.size);
  gint64 seconds = GINT64_TO_LE (self->stamp.seconds);
  guint32 nanoseconds = GUINT32_TO_LE (self->stamp.nanoseconds);
  guint64 serial = GUINT64_TO_LE (self->serial);

  memset (bytes, 0, BS_SQLITE_RECORD_SIZE);
  memcpy (bytes, tag, 16);
  /* Of a write that is cut off, the one or the other is whole. */
  memcpy (bytes + 16, self->previous, 16);
  memcpy (bytes + 32, self->nonce, 16);
  memcpy (bytes + 48, &size, 8);
  memcpy (bytes + 56, &seconds, 8);
  memcpy (bytes + 64, &nanoseconds, 4);
  bytes[68] = self->homing;
  memcpy (bytes + 72, &serial, 8);
}

gboolean
bs_sqlite_record_parse (BsSqliteRecord *self, const guint8 *bytes, gsize size)
{
  if (size != BS_SQLITE_RECORD_SIZE || memcmp (bytes, tag, 16) != 0)
    return FALSE;

  memcpy (self->previous, bytes + 16, 16);
  memcpy (self->nonce, bytes + 32, 16);
  memcpy (&self->stamp.size, bytes + 48, 8);
  memcpy (&self->stamp.seconds, bytes + 56, 8);
  memcpy (&self->stamp.nanoseconds, bytes + 64, 4);
  self->stamp.size = GINT64_FROM_LE (self->stamp.size);
  self->stamp.seconds = GINT64_FROM_LE (self->stamp.seconds);
  self->stamp.nanoseconds = GUINT32_FROM_LE (self->stamp.nanoseconds);
  self->homing = bytes[68] != 0;
  memcpy (&self->serial, bytes + 72, 8);
  self->serial = GUINT64_FROM_LE (self->serial);
  return TRUE;
}

static guint32
get32 (const guint8 *bytes)
{
  guint32 number;

  memcpy (&number, bytes, 4);
  return GUINT32_FROM_BE (number);
}

static guint
get16 (const guint8 *bytes)
{
  return bytes[0] << 8 | bytes[1];
}

/* Finds the row in a page that holds it and nothing else. */
static gboolean
parse_page (const guint8 page[BS_SQLITE_PAGE_SIZE], BsSqliteRecord *record)
{
  guint offset = get16 (page + 8);

  return page[0] == LEAF_PAGE && get16 (page + 3) == 1 &&
         offset + sizeof cell + BS_SQLITE_RECORD_SIZE <= BS_SQLITE_PAGE_SIZE &&
         memcmp (page + offset, cell, sizeof cell) == 0 &&
         bs_sqlite_record_parse (record, page + offset + sizeof cell, BS_SQLITE_RECORD_SIZE);
}

/* Sets `errno`: to 0 if the file ends before. */
static gboolean
read_at (int fd, gpointer data, gsize size, goffset offset)
{
  gsize done = 0;

  while (done < size)
    {
      gssize n = pread (fd, (char *) data + done, size - done, offset + done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n == 0)
        errno = 0;
      if (n <= 0)
        return FALSE;
      done += n;
    }

  errno = 0;
  return TRUE;
}

static gboolean
read_page (int fd, guint32 number, guint8 page[BS_SQLITE_PAGE_SIZE])
{
  return number > 0 &&
         read_at (fd, page, BS_SQLITE_PAGE_SIZE, (goffset) (number - 1) * BS_SQLITE_PAGE_SIZE);
}

static int
open_sidecar (const BsSqliteClaim *claim, const char *suffix, int flags)
{
  g_autofree char *path = g_strconcat (claim->path, suffix, NULL);

  return open (path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

static goffset
get_size (int fd)
{
  struct stat status;

  return fstat (fd, &status) == 0 ? status.st_size : -1;
}

typedef struct
{
  guint32 sums[2];
  gboolean big_endian;
} Checksum;

static void
checksum_add (Checksum *self, const guint8 *data, gsize size)
{
  for (gsize i = 0; i < size; i += 8)
    {
      guint32 numbers[2];

      memcpy (numbers, data + i, 8);
      self->sums[0] +=
        (self->big_endian ? GUINT32_FROM_BE (numbers[0]) : GUINT32_FROM_LE (numbers[0])) +
        self->sums[1];
      self->sums[1] +=
        (self->big_endian ? GUINT32_FROM_BE (numbers[1]) : GUINT32_FROM_LE (numbers[1])) +
        self->sums[0];
    }
}

static gboolean
checksum_is (const Checksum *self, const guint8 *bytes)
{
  return self->sums[0] == get32 (bytes) && self->sums[1] == get32 (bytes + 4);
}

/* The part of a log that SQLite would take in. */
typedef struct
{
  goffset end;  /* of the last commit; 0 if there is none */
  guint32 page; /* of the record; 0 if there is none */
  BsSqliteRecord record;
} Log;

static void
read_log (int fd, Log *log)
{
  guint8 header[LOG_HEADER_SIZE];
  guint8 frame[FRAME_HEADER_SIZE + BS_SQLITE_PAGE_SIZE];
  Checksum checksum = { { 0, 0 }, FALSE };
  BsSqliteRecord record;
  guint32 page = 0;

  memset (log, 0, sizeof *log);
  errno = 0;
  if (!read_at (fd, header, sizeof header, 0) || (get32 (header) & ~1u) != LOG_MAGIC)
    return;
  checksum.big_endian = get32 (header) & 1;
  checksum_add (&checksum, header, 24);
  if (!checksum_is (&checksum, header + 24))
    return;
  /* Of another page size: no log of a document, but a log. */
  if (get32 (header + 8) != BS_SQLITE_PAGE_SIZE)
    {
      log->end = sizeof header;
      return;
    }

  for (goffset offset = sizeof header; read_at (fd, frame, sizeof frame, offset);
       offset += sizeof frame)
    {
      checksum_add (&checksum, frame, 8);
      checksum_add (&checksum, frame + FRAME_HEADER_SIZE, BS_SQLITE_PAGE_SIZE);
      if (memcmp (frame + 8, header + 16, 8) != 0 || !checksum_is (&checksum, frame + 16))
        return;

      if (parse_page (frame + FRAME_HEADER_SIZE, &record))
        page = get32 (frame);
      if (get32 (frame + 4) == 0)
        continue;
      log->end = offset + sizeof frame;
      log->page = page;
      if (page != 0)
        log->record = record;
    }
}

static gboolean
nonce_equal (const guint8 *a, const guint8 *b)
{
  return memcmp (a, b, BS_SQLITE_NONCE_SIZE) == 0;
}

/* The new nonce has been written over the old one, or a part of it. */
static gboolean
nonce_is_between (const guint8 *nonce, const guint8 *old, const guint8 *new)
{
  for (guint i = 0; i < BS_SQLITE_NONCE_SIZE; i++)
    {
      if (nonce[i] != old[i] && nonce[i] != new[i])
        return FALSE;
    }

  return TRUE;
}

/* A checkpoint that was interrupted may have written any part of the file; its nonce is
 * then the log's or the one before, and it tells this file from any other. */
static gboolean
log_belongs (const BsSqliteClaim *claim, const Log *log)
{
  guint8 page[BS_SQLITE_PAGE_SIZE];
  BsSqliteRecord record;
  BsSqliteStamp stamp;

  errno = 0;
  if (!read_page (claim->fd, log->page, page) || !parse_page (page, &record))
    return FALSE;
  if (nonce_equal (record.nonce, log->record.nonce) ||
      (log->record.homing &&
       nonce_is_between (record.nonce, log->record.previous, log->record.nonce)))
    return TRUE;

  return bs_sqlite_claim_get_stamp (claim, &stamp, NULL) &&
         nonce_equal (record.nonce, log->record.previous) &&
         bs_sqlite_stamp_equal (&stamp, &log->record.stamp);
}

/* Opens one that has contents. Returns -1 if there is none, or nothing that may be read:
 * then `found` says what it is. */
static int
open_to_judge (const BsSqliteClaim *claim,
               const char *suffix,
               BsSqliteSidecar *found,
               GError **error)
{
  int fd = open_sidecar (claim, suffix, O_RDONLY);
  goffset size;

  *found = BS_SQLITE_SIDECAR_NONE;
  if (fd < 0)
    {
      if (errno == ELOOP)
        *found = BS_SQLITE_SIDECAR_STRANGE;
      else if (errno != ENOENT)
        bs_sqlite_set_errno (_ ("cannot open the log of the document"), errno, error);
      return -1;
    }

  size = get_size (fd);
  if (size > 0)
    return fd;

  if (size < 0)
    bs_sqlite_set_errno (_ ("cannot look at the log of the document"), errno, error);
  close (fd);
  return -1;
}

/* A log that could not be read is not judged. Closes `fd`. */
static gboolean
end_judging (int fd, int code, GError **error)
{
  close (fd);

  return code == 0 || bs_sqlite_set_errno (_ ("cannot read the log of the document"), code, error);
}

gboolean
bs_sqlite_sidecar_find_log (const BsSqliteClaim *claim, BsSqliteSidecar *found, GError **error)
{
  GError *local = NULL;
  int fd = open_to_judge (claim, "-wal", found, &local);
  int code;
  Log log;

  if (fd < 0)
    {
      gboolean good = local == NULL;

      if (!good)
        g_propagate_error (error, local);
      return good;
    }

  read_log (fd, &log);
  code = errno;
  if (code == 0 && log.end > 0)
    {
      *found = log_belongs (claim, &log) ? BS_SQLITE_SIDECAR_OWN : BS_SQLITE_SIDECAR_STRANGE;
      code = errno;
    }

  return end_judging (fd, code, error);
}

/* A switch between log and journal changes nothing in the first page but a few numbers. */
static gboolean
is_switch (const guint8 old[BS_SQLITE_PAGE_SIZE], const guint8 new[BS_SQLITE_PAGE_SIZE])
{
  return memcmp (old, new, 18) == 0 && memcmp (old + 20, new + 20, 4) == 0 &&
         memcmp (old + 28, new + 28, 64) == 0 &&
         memcmp (old + 100, new + 100, BS_SQLITE_PAGE_SIZE - 100) == 0;
}

static gboolean
journal_page_is_whole (const guint8 *page, guint32 nonce, guint32 sum)
{
  for (int i = BS_SQLITE_PAGE_SIZE - 200; i > 0; i -= 200)
    nonce += page[i];

  return nonce == sum;
}

/* A journal has the old contents of pages, that of the record among them. One that was not
 * synced may end before: then the file was not written either, and is as the journal says. */
static BsSqliteSidecar
judge_pages (const BsSqliteClaim *claim, int fd, const guint8 *header)
{
  guint8 entry[4 + BS_SQLITE_PAGE_SIZE + 4];
  guint8 page[BS_SQLITE_PAGE_SIZE];
  goffset offset = get32 (header + 20);
  BsSqliteRecord old, record;
  gboolean same = (goffset) get32 (header + 16) * BS_SQLITE_PAGE_SIZE == get_size (claim->fd);

  for (; read_at (fd, entry, sizeof entry, offset) &&
         journal_page_is_whole (entry + 4, get32 (header + 12), get32 (entry + 4 + sizeof page));
       offset += sizeof entry)
    {
      if (!read_page (claim->fd, get32 (entry), page))
        return BS_SQLITE_SIDECAR_STRANGE;
      if (parse_page (entry + 4, &old) && parse_page (page, &record))
        return nonce_equal (record.nonce, old.nonce) || nonce_equal (record.previous, old.nonce)
                 ? BS_SQLITE_SIDECAR_OWN
                 : BS_SQLITE_SIDECAR_STRANGE;
      same &= memcmp (entry + 4, page, sizeof page) == 0 ||
              (get32 (entry) == 1 && is_switch (entry + 4, page));
    }

  return same ? BS_SQLITE_SIDECAR_OWN : BS_SQLITE_SIDECAR_STRANGE;
}

/* A power cut may leave the header empty, or its end, or any part of its magic number, or only
 * a part of it. Then SQLite takes nothing in. */
static gboolean
is_cut_off (const guint8 *header)
{
  static const guint8 zeros[8];
  gboolean whole = memcmp (header, journal_magic, sizeof journal_magic) == 0;
  gsize n = 0;

  while (n < sizeof journal_magic && (header[n] == journal_magic[n] || header[n] == 0))
    n++;

  if (!whole)
    return header[0] == 0 || n == sizeof journal_magic;
  return memcmp (header + 20, zeros, sizeof zeros) == 0;
}

/* From a journal without pages it takes the size of the file. That header may be cut off
 * before the size of a page, which is the file's then. */
static BsSqliteSidecar
judge_journal (const BsSqliteClaim *claim, int fd, const guint8 *header)
{
  guint32 n_pages = get32 (header + 8);
  guint32 page_size = get32 (header + 24);

  errno = 0;
  if (is_cut_off (header))
    return BS_SQLITE_SIDECAR_NONE;
  if (memcmp (header, journal_magic, sizeof journal_magic) != 0 ||
      (page_size != BS_SQLITE_PAGE_SIZE && (page_size != 0 || n_pages != 0)))
    return BS_SQLITE_SIDECAR_STRANGE;
  if (n_pages == 0)
    return (goffset) get32 (header + 16) * BS_SQLITE_PAGE_SIZE == get_size (claim->fd)
             ? BS_SQLITE_SIDECAR_NONE
             : BS_SQLITE_SIDECAR_STRANGE;

  return judge_pages (claim, fd, header);
}

gboolean
bs_sqlite_sidecar_find_journal (const BsSqliteClaim *claim, BsSqliteSidecar *found, GError **error)
{
  guint8 header[JOURNAL_HEADER_SIZE] = { 0 };
  GError *local = NULL;
  int fd = open_to_judge (claim, "-journal", found, &local);
  int code;

  if (fd < 0)
    {
      gboolean good = local == NULL;

      if (!good)
        g_propagate_error (error, local);
      return good;
    }

  *found = BS_SQLITE_SIDECAR_STRANGE;
  if (read_at (fd, header, sizeof header, 0) || errno == 0)
    *found = judge_journal (claim, fd, header);
  code = errno;

  return end_judging (fd, code, error);
}

void
bs_sqlite_sidecar_remove_journal (const BsSqliteClaim *claim)
{
  g_autofree char *path = g_strconcat (claim->path, "-journal", NULL);

  g_unlink (path);
}

char *
bs_sqlite_sidecar_set_aside (const BsSqliteClaim *claim, const char *suffix, GError **error)
{
  g_autofree char *path = g_strconcat (claim->path, suffix, NULL);

  for (guint i = 1; i < 1000; i++)
    {
      g_autofree char *aside = g_strdup_printf ("%s.aside-%u", path, i);

      if (g_access (aside, F_OK) == 0)
        continue;
      if (g_rename (path, aside) == 0)
        return g_steal_pointer (&aside);
      break;
    }

  bs_sqlite_set_errno (_ ("cannot set aside a log that is not the document's"), errno, error);
  return NULL;
}

gboolean
bs_sqlite_sidecar_rewrite_log (const BsSqliteClaim *claim, GError **error)
{
  guint8 buffer[64 * 1024];
  int fd = open_sidecar (claim, "-wal", O_RDWR);
  gboolean good = fd >= 0;
  Log log = { 0 };

  if (good)
    read_log (fd, &log);
  for (goffset offset = 0; good && offset < log.end;)
    {
      gsize size = MIN ((goffset) sizeof buffer, log.end - offset);

      good =
        read_at (fd, buffer, size, offset) && pwrite (fd, buffer, size, offset) == (gssize) size;
      offset += size;
    }
  if (!good)
    bs_sqlite_set_errno (_ ("cannot write the log anew"), errno, error);
  if (fd >= 0)
    close (fd);

  return good;
}
