#include "backends/linux/keeper/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backends/linux/kernel.h"
#include "base/cleanup.h"

#define DEEPEST 64

static int empty(int fd, int depth);

static int remove_entry(int fd, const char *name, int depth)
{
	if (unlinkat(fd, name, 0) == 0 || errno == ENOENT) {
		return 0;
	}
	if (errno != EISDIR && errno != EPERM) {
		return -errno;
	}
	cleanup_close int below =
		kernel_openat2(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0,
			KERNEL_RESOLVE_NO_XDEV | KERNEL_RESOLVE_NO_SYMLINKS);
	if (below < 0) {
		return -errno;
	}
	int r = depth < DEEPEST ? empty(below, depth + 1) : -ELOOP;
	return r < 0 ? r : (unlinkat(fd, name, AT_REMOVEDIR) < 0 ? -errno : 0);
}

static int empty(int fd, int depth)
{
	DIR *list = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int result = 0;

	if (!list) {
		return -errno;
	}
	for (struct dirent *entry = NULL; (entry = readdir(list));) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			int r = remove_entry(fd, entry->d_name, depth);
			result = result < 0 ? result : r;
		}
	}
	(void)closedir(list);
	return result;
}

int tree_remove(int fd, const char *path)
{
	int r = empty(fd, 0);

	return r < 0 ? r : (rmdir(path) < 0 && errno != ENOENT ? -errno : 0);
}
