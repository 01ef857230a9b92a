#include "backends/linux/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "base/io.h"

/* PROC_USER_INIT_INO of linux/proc_ns.h: the inode of the user namespace that a kernel starts with. */
#define FIRST_USER_NAMESPACE UINT64_C(0xEFFFFFFD)
#define NSFS_MAGIC_NUMBER 0x6e736673

static bool is_on(int fd, unsigned long magic)
{
	struct statfs seen;

	return fd >= 0 && fstatfs(fd, &seen) == 0 && (unsigned long)seen.f_type == magic;
}

/* Something else at these paths of /proc would answer whatever it likes. */
static int open_namespace(const char *name)
{
	char path[40];
	int fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !is_on(fd, NSFS_MAGIC_NUMBER)) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_owned_by(const char *name, const struct stat *user)
{
	cleanup_close int ns = open_namespace(name);
	cleanup_close int owner = ns < 0 ? -1 : ioctl(ns, NS_GET_USERNS);
	struct stat seen;

	return owner >= 0 && fstat(owner, &seen) == 0 && is_same(&seen, user);
}

/* Every line names ids, and none of them those of root outside. */
static bool maps_no_root(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = NULL;
	unsigned long inside = 0;
	unsigned long outside = 0;
	unsigned long count = 0;
	size_t lines = 0;

	if (!is_on(fd, PROC_SUPER_MAGIC) || io_read_fd(fd, 1 << 16, &text, NULL) < 0) {
		return false;
	}
	for (const char *line = text; *line; lines++) {
		const char *end = strchr(line, '\n');
		if (!end || sscanf(line, "%lu %lu %lu", &inside, &outside, &count) != 3 ||
			outside == 0 || count == 0) {
			return false;
		}
		line = end + 1;
	}
	return lines > 0;
}

int ring_check(struct err *err)
{
	static const char *const owned[] = {"mnt", "pid", "net", "ipc", "uts"};
	static const char advice[] = "a session without a user namespace of its own is started "
				     "inside a second sandbox only";
	cleanup_close int user = open_namespace("user");
	struct stat seen;

	if (user < 0 || fstat(user, &seen) < 0 || seen.st_ino == FIRST_USER_NAMESPACE) {
		return err_refuse(err, EPERM, "%s: this is the host's user namespace", advice);
	}
	if (!maps_no_root("/proc/self/uid_map") || !maps_no_root("/proc/self/gid_map")) {
		return err_refuse(err, EPERM, "%s: root may be root outside here", advice);
	}
	for (size_t i = 0; i < ARRAY_SIZE(owned); i++) {
		if (!is_owned_by(owned[i], &seen)) {
			return err_refuse(
				err, EPERM, "%s: the %s namespace is not of it", advice, owned[i]);
		}
	}
	return 0;
}
