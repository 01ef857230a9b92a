#include "backends/linux/keeper/lone.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "backends/linux/links.h"
#include "base/cleanup.h"

int lone_make(void)
{
	static const char own[] = "/proc/self/ns/net";
	cleanup_close int host = open(own, O_RDONLY | O_CLOEXEC);
	int fd = -1;

	if (host < 0 || unshare(CLONE_NEWNET) < 0) {
		return -errno;
	}
	int r = links_up("lo", 0, 0);
	if (r == 0) {
		fd = open(own, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : fd;
	}
	if (setns(host, CLONE_NEWNET) < 0) {
		close_fdp(&fd);
		return -ENOTRECOVERABLE;
	}
	return r;
}
