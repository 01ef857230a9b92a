#include "sshd/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#define FIRST_LISTEN_FD 3
#define MAX_LISTEN_FDS 16

void notify_send(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;

	if (length < 2 || length >= sizeof(address.sun_path) || !strchr("/@", path[0])) {
		return;
	}
	memcpy(address.sun_path, path, length);
	if (path[0] == '@') {
		address.sun_path[0] = '\0';
	}
	cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return;
	}
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
		(const struct sockaddr *)&address,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

void notify_reloading(void)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)io_now_usec());
	notify_send(text);
}

int notify_listen_fds(void)
{
	const char *pid_text = getenv("LISTEN_PID");
	const char *count_text = getenv("LISTEN_FDS");
	uint64_t pid = 0;
	uint64_t count = 0;
	bool ours = pid_text && count_text && parse_u64(pid_text, &pid) == 0 &&
		pid == (uint64_t)getpid();
	int r = ours ? parse_range(count_text, 0, MAX_LISTEN_FDS, &count) : 0;

	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (r < 0) {
		return -EINVAL;
	}
	for (uint64_t i = 0; i < count; i++) {
		int fd = FIRST_LISTEN_FD + (int)i;
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
			return -EINVAL;
		}
		(void)io_set_nonblocking(fd, true);
	}
	return (int)count;
}
