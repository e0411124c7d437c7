/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "file-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

struct _Mount
{
  char *type;
  char *path;
  char *image; /* or NULL, in memory */
  GPid server; /* of a file system in user space, or 0 */
};

typedef struct
{
  const char *type;
  guint megabytes; /* the least that mkfs takes */
  const char *const command[8];
} Kind;

/* Images are sparse: what is not written takes no room. */
static const Kind kinds[] = {
  { "tmpfs", 4, { NULL } },
  { "ext4", 4, { "mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", NULL } },
  { "xfs", 304, { "mkfs.xfs", "-q", "-f", "-m", "reflink=1,rmapbt=0", NULL } },
  { "btrfs", 112, { "mkfs.btrfs", "-q", "-f", NULL } },
  { "vfat", 8, { "mkfs.vfat", NULL } },
};

void
mount_init (void)
{
  if (geteuid () != 0 || unshare (CLONE_NEWNS) != 0)
    return;

  /* Below a changed root there is no mount to make private, nor a need to. */
  mount ("none", "/", "none", MS_REC | MS_PRIVATE, NULL);
}

G_GNUC_PRINTF (2, 3)
static gboolean
skip (Mount *self,
      const char *format,
      ...)
{
  g_autofree char *reason = NULL;
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  reason = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  message = g_strdup_printf ("No %s could be mounted: %s", self->type, reason);
  g_test_skip (message);

  return FALSE;
}

static const Kind *
find_kind (const char *type)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      if (g_str_equal (kinds[i].type, type))
        return &kinds[i];
    }
  g_assert_not_reached ();
}

/* Packages of file systems put their programs where not every PATH leads. */
static char *
find_program (const char *name)
{
  static const char *const folders[] = { "/usr/sbin", "/sbin", "/usr/bin" };

  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *path = g_build_filename (folders[i], name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_EXECUTABLE))
        return g_steal_pointer (&path);
    }

  return g_find_program_in_path (name);
}

static gboolean
make_image (Mount *self,
            const Kind *kind,
            guint megabytes)
{
  g_autofree char *program = find_program (kind->command[0]);
  g_autoptr (GPtrArray) arguments = g_ptr_array_new ();
  g_autofree char *messages = NULL;
  int status = 0;
  int fd;

  if (program == NULL)
    return skip (self, "there is no %s", kind->command[0]);

  fd = open (self->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, (off_t) megabytes << 20), ==, 0);
  close (fd);

  g_ptr_array_add (arguments, program);
  for (guint i = 1; kind->command[i] != NULL; i++)
    g_ptr_array_add (arguments, (char *) kind->command[i]);
  g_ptr_array_add (arguments, self->image);
  g_ptr_array_add (arguments, NULL);
  if (!g_spawn_sync (NULL, (char **) arguments->pdata, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
                     NULL, &messages, &status, NULL) ||
      !g_spawn_check_wait_status (status, NULL))
    return skip (self, "%s failed: %s", program, messages);

  return TRUE;
}

/* Returns the device, open: it is gone once nobody has it. */
static int
attach_loop (const char *image,
             char name[32])
{
  struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
  int control = open ("/dev/loop-control", O_RDWR | O_CLOEXEC);
  int device = -1;

  if (control < 0)
    return -1;

  config.fd = open (image, O_RDWR | O_CLOEXEC);
  while (device < 0)
    {
      int number = ioctl (control, LOOP_CTL_GET_FREE);

      if (number < 0)
        break;
      g_snprintf (name, 32, "/dev/loop%d", number);
      device = open (name, O_RDWR | O_CLOEXEC);
      if (device < 0)
        break;
      if (ioctl (device, LOOP_CONFIGURE, &config) == 0)
        break;

      /* Somebody else took it meanwhile. */
      close (device);
      device = -1;
      if (errno != EBUSY)
        break;
    }
  close (config.fd);
  close (control);

  return device;
}

static void
die_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* Kernels made for virtual machines often lack vfat; the same on-disk format is
 * served by a program then. */
static gboolean
start_server (Mount *self)
{
  g_autofree char *program = find_program ("fusefat");
  const char *const arguments[] = { program, "-f", "-o", "rw+", self->image, self->path, NULL };
  GStatBuf before;
  GStatBuf now;

  if (program == NULL)
    return skip (self, "neither the kernel has it, nor is there a fusefat");

  g_assert_cmpint (g_stat (self->path, &before), ==, 0);
  if (!g_spawn_async (NULL, (char **) arguments, NULL,
                      G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                      die_with_parent, NULL, &self->server, NULL))
    return skip (self, "fusefat could not be run");

  /* It has mounted once another device is there. */
  while (g_stat (self->path, &now) != 0 || now.st_dev == before.st_dev)
    {
      if (waitpid (self->server, NULL, WNOHANG) == self->server)
        {
          self->server = 0;
          return skip (self, "fusefat gave up");
        }
      g_thread_yield ();
    }

  return TRUE;
}

static gboolean
mount_image (Mount *self)
{
  char name[32];
  int device = attach_loop (self->image, name);
  int code;

  if (device < 0)
    return skip (self, "there is no loop device: %s", g_strerror (errno));

  code = mount (name, self->path, self->type, 0, NULL) == 0 ? 0 : errno;
  close (device);
  if (code == ENODEV && g_str_equal (self->type, "vfat"))
    return start_server (self);
  if (code != 0)
    return skip (self, "%s", g_strerror (code));

  return TRUE;
}

static gboolean
mount_memory (Mount *self,
              guint megabytes)
{
  g_autofree char *options = g_strdup_printf ("size=%um", megabytes);

  if (mount ("tmpfs", self->path, "tmpfs", 0, options) != 0)
    return skip (self, "%s", g_strerror (errno));

  return TRUE;
}

Mount *
mount_new (const char *directory,
           const char *type,
           guint megabytes)
{
  static guint n_mounts;
  const Kind *kind = find_kind (type);
  Mount *self = g_new0 (Mount, 1);
  g_autofree char *name = g_strdup_printf ("%s-%u", type, ++n_mounts);
  g_autofree char *image = g_strconcat (name, ".img", NULL);
  gboolean mounted;

  megabytes = MAX (megabytes, kind->megabytes);
  self->type = g_strdup (type);
  self->path = g_build_filename (directory, name, NULL);

  if (geteuid () != 0)
    {
      skip (self, "this needs root");
      mounted = FALSE;
    }
  else
    {
      g_assert_cmpint (g_mkdir (self->path, 0755), ==, 0);
      if (kind->command[0] == NULL)
        mounted = mount_memory (self, megabytes);
      else
        {
          self->image = g_build_filename (directory, image, NULL);
          mounted = make_image (self, kind, megabytes) && mount_image (self);
        }
    }

  if (mounted)
    return self;

  g_free (self->type);
  g_free (self->path);
  g_free (self->image);
  g_free (self);

  return NULL;
}

const char *
mount_get_path (Mount *self)
{
  return self->path;
}

void
mount_set_read_only (Mount *self,
                     gboolean read_only)
{
  g_assert_cmpint (mount ("none", self->path, NULL, MS_REMOUNT | (read_only ? MS_RDONLY : 0), NULL), ==, 0);
}

void
mount_free (Mount *self)
{
  g_assert_cmpint (umount2 (self->path, MNT_DETACH), ==, 0);
  if (self->server != 0)
    g_assert_cmpint (waitpid (self->server, NULL, 0), ==, self->server);
  g_assert_cmpint (g_rmdir (self->path), ==, 0);
  if (self->image != NULL)
    g_assert_cmpint (g_unlink (self->image), ==, 0);
  g_free (self->type);
  g_free (self->path);
  g_free (self->image);
  g_free (self);
}

static int
open_probe (Mount *self,
            char **name)
{
  int fd;

  *name = g_build_filename (self->path, "probe", NULL);
  fd = open (*name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, "probe", 5), ==, 5);

  return fd;
}

gboolean
mount_has_links (Mount *self)
{
  g_autofree char *name = NULL;
  g_autofree char *other = g_build_filename (self->path, "other", NULL);
  int fd = open_probe (self, &name);
  gboolean linked = link (name, other) == 0;

  close (fd);
  g_unlink (name);
  g_unlink (other);

  return linked;
}

gboolean
mount_has_reflinks (Mount *self)
{
  g_autofree char *name = NULL;
  g_autofree char *other = g_build_filename (self->path, "other", NULL);
  int fd = open_probe (self, &name);
  int other_fd = open (other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  gboolean cloned = ioctl (other_fd, FICLONE, fd) == 0;

  close (fd);
  close (other_fd);
  g_unlink (name);
  g_unlink (other);

  return cloned;
}

gboolean
mount_has_attributes (Mount *self)
{
  g_autofree char *name = NULL;
  int fd = open_probe (self, &name);
  gboolean set = fsetxattr (fd, "user.probe", "x", 1, 0) == 0;

  close (fd);
  g_unlink (name);

  return set;
}

gboolean
mount_has_modes (Mount *self)
{
  g_autofree char *name = NULL;
  int fd = open_probe (self, &name);
  struct stat status;
  gboolean set;

  fchmod (fd, 0640);
  set = fstat (fd, &status) == 0 && (status.st_mode & 0777) == 0640;
  close (fd);
  g_unlink (name);

  return set;
}

void
mount_fill (Mount *self)
{
  g_autofree char *name = g_build_filename (self->path, "ballast", NULL);
  g_autofree char *block = g_malloc0 (1 << 20);
  int fd = open (name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  /* To the last byte: what does not fit as a whole may fit in part. */
  for (gsize size = 1 << 20; size > 0;)
    {
      gssize written = write (fd, block, size);

      if (written > 0)
        continue;
      g_assert_cmpint (errno, ==, ENOSPC);
      size /= 2;
    }
  /* Where blocks are only allocated now, there may be some to spare. */
  fsync (fd);
  close (fd);
}

void
mount_make_room (Mount *self)
{
  g_autofree char *name = g_build_filename (self->path, "ballast", NULL);
  int fd;

  g_assert_cmpint (g_unlink (name), ==, 0);

  /* Some give room back only with the next transaction. */
  fd = open (self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  syncfs (fd);
  close (fd);
}
