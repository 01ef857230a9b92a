#include "backends/linux/idrange.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

/*
 * One file a range, named by its first id, locked by the holder. A file may be unlinked by its
 * holder (release) or by the sweep, each only while holding its lock; so whoever gets a lock looks
 * whether the name still leads to the file that is locked, and otherwise tries again. Nothing here
 * depends on anyone cleaning up: a file without a holder is as good as none.
 */

/* /run/cloche/ids, made if need be, and nobody else's. Returns a descriptor. */
static int open_directory(void)
{
	cleanup_close int fd = -1;
	struct stat status;

	if (mkdir("/run/cloche", 0711) < 0 && errno != EEXIST) {
		return -errno;
	}
	if (mkdir(IDRANGE_DIRECTORY, 0700) < 0 && errno != EEXIST) {
		return -errno;
	}
	fd = open(IDRANGE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0) {
		return -errno;
	}
	if (status.st_uid != geteuid() || (status.st_mode & 022)) {
		return -EPERM;
	}
	return take_fd(&fd);
}

static bool is_still_named(int directory, const char *name, int fd)
{
	struct stat named, opened;

	return fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		fstat(fd, &opened) == 0 && named.st_ino == opened.st_ino &&
		named.st_dev == opened.st_dev;
}

/* Returns the locked file, -EWOULDBLOCK when someone has it, or another negative errno. */
static int lock_file(int directory, const char *name, int flags)
{
	for (int i = 0; i < 8; i++) {
		cleanup_close int fd =
			openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);

		if (fd < 0) {
			return -errno;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			return -errno;
		}
		if (is_still_named(directory, name, fd)) {
			return take_fd(&fd);
		}
	}
	return -EWOULDBLOCK;
}

int idrange_take(const struct host *host, struct idrange *ret, struct err *err)
{
	cleanup_close int directory = -1;
	uint32_t slots = host->id_count / IDRANGE_SIZE;
	uint32_t start;

	if (slots == 0) {
		return err_refuse(err, ENOTSUP, "this host has no ids for a session of its own");
	}
	directory = open_directory();
	if (directory < 0) {
		return err_set(err, -directory, "opening %s", IDRANGE_DIRECTORY);
	}
	io_random(&start, sizeof(start));
	for (uint32_t i = 0; i < slots; i++) {
		uint32_t base = host->id_base + (start % slots + i) % slots * IDRANGE_SIZE;
		char name[16];

		(void)snprintf(name, sizeof(name), "%u", base);
		int fd = lock_file(directory, name, O_CREAT);
		if (fd >= 0) {
			*ret = (struct idrange){.base = base, .lock = fd};
			return 0;
		}
		if (fd != -EWOULDBLOCK) {
			return err_set(err, -fd, "locking %s/%s", IDRANGE_DIRECTORY, name);
		}
	}
	return err_refuse(err, EBUSY, "all %u ranges of ids are taken", slots);
}

void idrange_release(struct idrange *range)
{
	char path[64];

	if (range->lock < 0) {
		return;
	}
	/* The lock is ours until the close below, so that the name leads to our file. */
	(void)snprintf(path, sizeof(path), "%s/%u", IDRANGE_DIRECTORY, range->base);
	(void)unlink(path);
	close_fdp(&range->lock);
}

int idrange_sweep(void)
{
	cleanup_close int directory = open_directory();
	uint64_t base;
	int count = 0;

	if (directory < 0) {
		return directory;
	}
	DIR *list = fdopendir(fcntl(directory, F_DUPFD_CLOEXEC, 3));
	if (!list) {
		return -errno;
	}
	for (struct dirent *entry; (entry = readdir(list));) {
		if (parse_u64(entry->d_name, &base) < 0) {
			continue;
		}
		cleanup_close int fd = lock_file(directory, entry->d_name, 0);
		if (fd >= 0 && unlinkat(directory, entry->d_name, 0) == 0) {
			count++;
		}
	}
	(void)closedir(list);
	return count;
}
