/*
 * A home is full of what its user has put there, so no path of ours goes on behind its name: names are looked up
 * in a directory that only we can write to, and the home itself is opened by its descriptor.
 */
#include "session/homes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/linux/kernel.h"
#include "base/cleanup.h"

#define HOW (KERNEL_RESOLVE_NO_SYMLINKS | KERNEL_RESOLVE_NO_MAGICLINKS)

/* The directory above the homes, made if it is not there. A descriptor, or negative errno with err. */
static int open_above(const char *path, struct err *err)
{
	struct stat info;

	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		return err_set(err, errno, "making %s for home directories", path);
	}
	cleanup_close int fd =
		kernel_openat2(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, HOW);
	if (fd < 0 || fstat(fd, &info) < 0) {
		return err_set(err, errno, "opening %s, where home directories are", path);
	}
	if (info.st_uid != geteuid() || (info.st_mode & 022)) {
		return err_refuse(err, EPERM,
			"%s, where home directories are, must belong to the server's user, and "
			"nobody "
			"else may write to it (chmod go-w)",
			path);
	}
	return take_fd(&fd);
}

/* Makes a home's owner the right one. A crash between making and giving leaves one that is ours, and empty. */
static int give(int home, const char *path, const struct stat *info, struct err *err)
{
	bool root = geteuid() == 0;
	uid_t owner = root ? HOMES_OWNER : geteuid();

	if (info->st_uid == owner) {
		return 0;
	}
	if (info->st_uid != geteuid() || info->st_nlink > 2 || (info->st_mode & 077)) {
		return err_refuse(err, EPERM, "%s belongs to uid %u and not to %u", path,
			(unsigned)info->st_uid, (unsigned)owner);
	}
	return fchown(home, owner, (gid_t)owner) < 0
		? err_set(err, errno, "giving %s to uid %u", path, (unsigned)owner)
		: 0;
}

int homes_open(const char *path, int *ret_fd, struct err *err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *above = slash > path ? strndup(path, (size_t)(slash - path)) : NULL;
	struct stat info;

	if (!above || !slash[1] || slash[1] == '.') {
		return err_refuse(err, EINVAL, "%s cannot be a home directory", path);
	}
	cleanup_close int dir = open_above(above, err);
	if (dir < 0) {
		return dir;
	}
	if (mkdirat(dir, slash + 1, 0700) < 0 && errno != EEXIST) {
		return err_set(err, errno, "making the home directory %s", path);
	}
	cleanup_close int home = kernel_openat2(dir, slash + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		0, HOW | KERNEL_RESOLVE_BENEATH);
	if (home < 0 || fstat(home, &info) < 0) {
		return err_set(err, errno, "opening the home directory %s", path);
	}
	int r = give(home, path, &info, err);
	if (r == 0) {
		*ret_fd = take_fd(&home);
	}
	return r;
}

int homes_prepare(const char *path, struct err *err)
{
	cleanup_close int home = -1;

	return homes_open(path, &home, err);
}
