/*
 * `why` inside a session: prints what the server says at the socket that was made for it. It
 * sends nothing, and nobody asks who it is: what is told there is told to this session alone. Where
 * no socket leads out there is a page in its place, which the server writes.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "backends/linux/image.h"
#include "backends/linux/init/rt.h"
#include "backends/linux/page.h"

#define LOOKS 500 /* ten seconds, where once a second is promised */
#define LOOK_NSEC 20000000

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

static bool ask(void)
{
	static const struct sockaddr_un address = {
		.sun_family = AF_UNIX, .sun_path = IMAGE_WHY_SOCKET};
	static char text[4096];
	long n = 0;
	bool any = false;
	long fd = RT(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && RT(connect, fd, &address, sizeof(address)) == 0) {
		while ((n = RT(read, fd, text, sizeof(text))) > 0) {
			say(1, text, (size_t)n);
			any = true;
		}
	}
	return any;
}

/* The file as it is now, or was while it was written: then it is none. */
static bool look(struct page *page)
{
	char *at = (char *)page;
	size_t used = 0;
	long n = 0;
	long fd = RT(openat, AT_FDCWD, IMAGE_WHY_SOCKET, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	while (fd >= 0 && used < sizeof(*page) &&
		(n = RT(read, fd, at + used, sizeof(*page) - used)) > 0) {
		used += (size_t)n;
	}
	(void)RT(close, fd);
	return used >= offsetof(struct page, text) && page->magic == PAGE_MAGIC &&
		page->size <= used - offsetof(struct page, text) &&
		page->sum ==
		page_seal(page_sum(PAGE_SUM, page->text, page->size), page->serial, page->size);
}

/* What was there when we came may be a second old. */
static bool read_next(void)
{
	static const struct timespec pause = {.tv_nsec = LOOK_NSEC};
	static struct page page;
	uint64_t seen = 0;

	if (RT(faccessat, AT_FDCWD, IMAGE_WHY_SOCKET, R_OK) != 0) {
		return false;
	}
	for (int i = 0; i < LOOKS; i++) {
		bool whole = look(&page);
		if (whole && i > 0 && page.serial != seen) {
			say(1, page.text, page.size);
			return true;
		}
		seen = whole ? page.serial : seen;
		(void)RT(nanosleep, &pause, NULL);
	}
	return false;
}

void init_main(const long *stack)
{
	static const char failure[] = "why: the server does not answer\n";

	(void)stack;
	bool told = ask() || read_next();
	if (!told) {
		say(2, failure, sizeof(failure) - 1);
	}
	rt_exit(told ? 0 : 1);
}
