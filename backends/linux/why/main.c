/*
 * `why` inside a session: prints what the server says at the socket that was made for it. It
 * sends nothing, and nobody asks who it is: what is told there is told to this session alone.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backends/linux/image.h"
#include "backends/linux/init/rt.h"

static void say(int fd, const char *text, size_t size)
{
	while (size > 0) {
		long n = RT(write, fd, text, size);
		if (n <= 0) {
			rt_exit(1);
		}
		text += n;
		size -= (size_t)n;
	}
}

void init_main(const long *stack)
{
	static const char failure[] = "why: the server does not answer\n";
	static const struct sockaddr_un address = {
		.sun_family = AF_UNIX, .sun_path = IMAGE_WHY_SOCKET};
	static char text[4096];
	long n = 0;
	bool any = false;

	(void)stack;
	long fd = RT(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && RT(connect, fd, &address, sizeof(address)) == 0) {
		while ((n = RT(read, fd, text, sizeof(text))) > 0) {
			say(1, text, (size_t)n);
			any = true;
		}
	}
	if (!any) {
		say(2, failure, sizeof(failure) - 1);
	}
	rt_exit(any ? 0 : 1);
}
