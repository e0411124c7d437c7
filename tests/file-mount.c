/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

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

/* XFS's, which others took over; no header of the kernel's for programs has it. */
#define SHUT_DOWN _IOR ('X', 125, guint32)

typedef struct
{
  const char *name;
  const char *type;    /* as the kernel calls it */
  guint megabytes;     /* the least that mkfs takes */
  const char *options; /* of the mount, or NULL */
  const char *const command[10];
  const char *server; /* a program for kernels that lack it, or NULL */
} Kind;

/* Images are sparse: what is not written takes no room. */
static const Kind kinds[] = {
  { "tmpfs", "tmpfs", 4, NULL, { NULL } },
  { "ext4", "ext4", 8, "errors=remount-ro", { "mkfs.ext4", "-q", "-F", "-m", "0", NULL } },
  { "ext4-narrow", "ext4", 8, NULL, { "mkfs.ext4", "-q", "-F", "-m", "0", "-I", "128", NULL } },
  { "xfs", "xfs", 304, NULL, { "mkfs.xfs", "-q", "-f", "-m", "reflink=1", NULL } },
  { "btrfs", "btrfs", 112, NULL, { "mkfs.btrfs", "-q", "-f", NULL } },
  { "vfat", "vfat", 8, NULL, { "mkfs.vfat", NULL } },
  { "exfat", "exfat", 8, NULL, { "mkfs.exfat", NULL }, "mount.exfat-fuse" },
  { "bindfs", "fuse", 0, NULL, { NULL }, "bindfs" },
  { "overlay", "overlay", 4, NULL, { NULL } },
};

struct _Mount
{
  const Kind *kind; /* or NULL, of another place for the same */
  char *path;
  char *place;     /* where it is now */
  char *image;     /* or NULL, in memory */
  char device[32]; /* that the image is attached to */
  GPid server;     /* of a file system in user space, or 0 */
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
skip (Mount *self, const char *format, ...)
{
  g_autofree char *reason = NULL;
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  reason = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  message = g_strdup_printf ("No %s could be mounted: %s", self->kind->name, reason);
  g_test_skip (message);

  return FALSE;
}

static const Kind *
find_kind (const char *type)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      if (g_str_equal (kinds[i].name, type))
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
make_image (Mount *self, guint megabytes)
{
  const Kind *kind = self->kind;
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
attach_loop (const char *image, char name[32])
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

/* Not by SIGKILL: it must unmount first, or it waits for itself for ever. */
static void
end_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGTERM);
}

/* Kernels made for virtual machines often lack what is on USB sticks. The device
 * must be open until this returns. */
static gboolean
start_server (Mount *self)
{
  g_autofree char *program = find_program (self->kind->server);
  /* Debugging keeps it in the foreground, where it can be told to go with us. */
  const char *const arguments[] = { program, "-d",
                                    self->image != NULL && self->device[0] == '\0' ? self->image
                                                                                   : self->device,
                                    self->path, NULL };
  GStatBuf before;
  GStatBuf now;

  if (program == NULL)
    return skip (self, "neither does the kernel have it, nor is there a %s", self->kind->server);

  g_assert_cmpint (g_stat (self->path, &before), ==, 0);
  if (!g_spawn_async (NULL, (char **) arguments, NULL,
                      G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL |
                        G_SPAWN_STDERR_TO_DEV_NULL,
                      end_with_parent, NULL, &self->server, NULL))
    return skip (self, "%s could not be run", program);

  /* The mount is done once another device is there. */
  while (g_stat (self->path, &now) != 0 || now.st_dev == before.st_dev)
    {
      if (waitpid (self->server, NULL, WNOHANG) == self->server)
        {
          self->server = 0;
          return skip (self, "%s gave up", program);
        }
      g_thread_yield ();
    }

  return TRUE;
}

static gboolean
mount_image (Mount *self)
{
  int device = attach_loop (self->image, self->device);
  gboolean mounted;

  if (device < 0)
    return skip (self, "there is no loop device: %s", g_strerror (errno));

  mounted = mount (self->device, self->path, self->kind->type, 0, self->kind->options) == 0;
  if (!mounted && errno == ENODEV && self->kind->server != NULL)
    mounted = start_server (self);
  else if (!mounted)
    skip (self, "%s", errno == ENODEV ? "the kernel does not have it" : g_strerror (errno));
  close (device);

  return mounted;
}

static gboolean
mount_memory (Mount *self, guint megabytes)
{
  g_autofree char *options = g_strdup_printf ("size=%um", megabytes);

  if (mount ("tmpfs", self->path, "tmpfs", 0, options) != 0)
    return skip (self, "%s", g_strerror (errno));

  return TRUE;
}

/* A folder seen through a file system in user space. */
static gboolean
mount_folder (Mount *self)
{
  self->image = g_strconcat (self->path, ".img", NULL);
  g_assert_cmpint (g_mkdir (self->image, 0700), ==, 0);

  return start_server (self);
}

/* Its layers are in memory, where every kernel lets them be. */
static gboolean
mount_layers (Mount *self)
{
  g_autofree char *lower = mount_get_lower (self);
  g_autofree char *upper = g_build_filename (self->image, "upper", NULL);
  g_autofree char *work = g_build_filename (self->image, "work", NULL);
  g_autofree char *options =
    g_strdup_printf ("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);

  if (mount ("overlay", self->path, "overlay", 0, options) != 0)
    return skip (self, "%s", g_strerror (errno));

  return TRUE;
}

static gboolean
mount_overlay (Mount *self, guint megabytes)
{
  const char *const layers[] = { "lower", "upper", "work" };
  g_autofree char *options = g_strdup_printf ("size=%um", megabytes);

  self->image = g_strconcat (self->path, ".img", NULL);
  g_assert_no_errno (g_mkdir (self->image, 0755));
  if (mount ("tmpfs", self->image, "tmpfs", 0, options) != 0)
    return skip (self, "%s", g_strerror (errno));

  for (guint i = 0; i < G_N_ELEMENTS (layers); i++)
    {
      g_autofree char *layer = g_build_filename (self->image, layers[i], NULL);

      g_assert_no_errno (g_mkdir (layer, 0755));
    }

  return mount_layers (self);
}

static gboolean
is_overlay (Mount *self)
{
  return self->kind != NULL && g_str_equal (self->kind->type, "overlay");
}

static gboolean
mount_any (Mount *self)
{
  if (is_overlay (self))
    return mount_layers (self);

  return g_str_equal (self->kind->type, "fuse") ? start_server (self) : mount_image (self);
}

static void
release (Mount *self)
{
  g_free (self->path);
  g_free (self->place);
  g_free (self->image);
  g_free (self);
}

static char *
make_mount_point (const char *directory, const char *name)
{
  static guint n_mounts;
  g_autofree char *unique = g_strdup_printf ("%s-%u", name, ++n_mounts);
  char *path = g_build_filename (directory, unique, NULL);

  g_assert_cmpint (g_mkdir (path, 0755), ==, 0);

  return path;
}

Mount *
mount_new (const char *directory, const char *type, guint megabytes)
{
  Mount *self = g_new0 (Mount, 1);
  gboolean mounted;

  self->kind = find_kind (type);
  megabytes = MAX (megabytes, self->kind->megabytes);

  if (geteuid () != 0)
    {
      skip (self, "this needs root");
      release (self);
      return NULL;
    }

  self->path = make_mount_point (directory, type);
  self->place = g_strdup (self->path);
  if (g_str_equal (self->kind->type, "fuse"))
    {
      mounted = mount_folder (self);
    }
  else if (is_overlay (self))
    {
      mounted = mount_overlay (self, megabytes);
    }
  else if (self->kind->command[0] == NULL)
    {
      mounted = mount_memory (self, megabytes);
    }
  else
    {
      self->image = g_strconcat (self->path, ".img", NULL);
      mounted = make_image (self, megabytes) && mount_image (self);
    }

  if (!mounted)
    g_clear_pointer (&self, release);

  return self;
}

const char *
mount_get_path (Mount *self)
{
  return self->path;
}

char *
mount_get_lower (Mount *self)
{
  return g_build_filename (self->image, "lower", NULL);
}

static void
unmount (Mount *self)
{
  g_assert_cmpint (umount2 (self->place, MNT_DETACH), ==, 0);
  if (self->server != 0)
    g_assert_cmpint (waitpid (self->server, NULL, 0), ==, self->server);
  self->server = 0;
}

void
mount_again (Mount *self)
{
  if (self->image == NULL)
    return;

  unmount (self);
  g_assert_true (mount_any (self));
}

Mount *
mount_bind (Mount *self, const char *directory)
{
  Mount *other = g_new0 (Mount, 1);

  other->path = make_mount_point (directory, "bound");
  other->place = g_strdup (other->path);
  g_assert_cmpint (mount (self->path, other->path, "none", MS_BIND, NULL), ==, 0);

  return other;
}

int
mount_remount (Mount *self, const char *options)
{
  return mount ("none", self->path, "none", MS_REMOUNT, options);
}

int
mount_move_over (Mount *self, const char *path)
{
  int result = mount (self->place, path, "none", MS_MOVE, NULL);

  if (result == 0)
    {
      g_free (self->place);
      self->place = g_strdup (path);
    }

  return result;
}

static void
remove_image (const char *image)
{
  const char *const arguments[] = { "rm", "-rf", image, NULL };

  g_assert_true (g_spawn_sync (NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                               NULL, NULL, NULL, NULL));
}

void
mount_free (Mount *self)
{
  unmount (self);
  g_assert_cmpint (g_rmdir (self->path), ==, 0);
  if (is_overlay (self))
    g_assert_no_errno (umount2 (self->image, MNT_DETACH));
  if (self->image != NULL)
    remove_image (self->image);
  release (self);
}

gboolean
mount_turn_read_only (Mount *self)
{
  g_autofree char *device = g_path_get_basename (self->device);
  g_autofree char *trigger = g_build_filename ("/sys/fs/ext4", device, "trigger_fs_error", NULL);
  int fd = open (trigger, O_WRONLY | O_CLOEXEC);
  gboolean triggered;

  if (fd < 0)
    return FALSE;

  triggered = write (fd, "1", 1) == 1;
  close (fd);

  return triggered;
}

gboolean
mount_shut_down (Mount *self)
{
  const guint32 no_log_flush = 2;
  int fd = open (self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean done = ioctl (fd, SHUT_DOWN, &no_log_flush) == 0;

  close (fd);

  return done;
}

static int
open_probe (Mount *self, char **name)
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
