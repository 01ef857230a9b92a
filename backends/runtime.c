#include "backends/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A directory of ours, without what is forbidden to others, or it is not used. Returns its descriptor. */
static int open_checked(const char *path, mode_t forbidden, bool make)
{
	struct stat seen;
	cleanup_close int fd = -1;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST) {
		return -errno;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &seen) < 0) {
		return -errno;
	}
	if (seen.st_uid != geteuid() || (seen.st_mode & forbidden)) {
		return -EPERM;
	}
	return take_fd(&fd);
}

int runtime_open(const char *name, bool make, char *path)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char above[52];

	if (geteuid() == 0) {
		(void)snprintf(above, sizeof(above), "/run/cloche");
	} else if (runtime && runtime[0] == '/' && strlen(runtime) < 40) {
		(void)snprintf(above, sizeof(above), "%s/cloche", runtime);
	} else {
		(void)snprintf(above, sizeof(above), "/tmp/cloche-%u", geteuid());
	}
	cleanup_close int parent = open_checked(above, 022, make);
	if (parent < 0) {
		return parent;
	}
	(void)snprintf(path, RUNTIME_PATH, "%s/%s", above, name);
	return open_checked(path, 066, make);
}
