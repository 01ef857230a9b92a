#include "backends/vm/window.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"

void vm_window_open(struct vm_window *window, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*window = (struct vm_window){-1, -1};
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)umask(077);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		listen(fd, 1) == 0) {
		window->listener = take_fd(&fd);
	}
}

int vm_window_watch(const struct vm_window *window, bool open_question)
{
	if (open_question) {
		return -1;
	}
	return window->asker >= 0 ? window->asker : window->listener;
}

bool vm_window_take(struct vm_window *window, char *words, size_t size)
{
	ssize_t n = 0;

	if (window->asker < 0) {
		window->asker = accept4(window->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		return false;
	}
	n = recv(window->asker, words, size - 1, MSG_DONTWAIT);
	if (n <= 0 || memchr(words, '\0', (size_t)n)) {
		close_fdp(&window->asker);
		return false;
	}
	words[n] = '\0';
	return true;
}

void vm_window_give(struct vm_window *window, const void *data, size_t size)
{
	if (window->asker >= 0 &&
		send(window->asker, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size) {
		close_fdp(&window->asker);
	}
}

void vm_window_end(struct vm_window *window)
{
	close_fdp(&window->asker);
}
