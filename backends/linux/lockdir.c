#include "backends/linux/lockdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"

int lockdir_open(const char *path)
{
	cleanup_close int fd = -1;
	struct stat status;

	if (mkdir("/run/cloche", 0711) < 0 && errno != EEXIST) {
		return -errno;
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		return -errno;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
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

int lockdir_lock(int directory, const char *name, int flags)
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

void lockdir_release(const char *path, unsigned number, int *lock)
{
	char name[64];

	if (*lock < 0) {
		return;
	}
	/* The lock is ours until the close below, so that the name leads to our file. */
	(void)snprintf(name, sizeof(name), "%s/%u", path, number);
	(void)unlink(name);
	close_fdp(lock);
}

int lockdir_sweep(const char *path, void (*look)(int fd))
{
	cleanup_close int directory = lockdir_open(path);
	uint64_t number;
	int count = 0;

	if (directory < 0) {
		return directory;
	}
	DIR *list = fdopendir(fcntl(directory, F_DUPFD_CLOEXEC, 3));
	if (!list) {
		return -errno;
	}
	for (struct dirent *entry; (entry = readdir(list));) {
		if (parse_u64(entry->d_name, &number) < 0) {
			continue;
		}
		cleanup_close int fd = lockdir_lock(directory, entry->d_name, 0);
		if (fd < 0) {
			continue;
		}
		if (look) {
			look(fd);
		}
		count += unlinkat(directory, entry->d_name, 0) == 0;
	}
	(void)closedir(list);
	return count;
}
