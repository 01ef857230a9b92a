#include "backends/door.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/linux/page.h"
#include "base/cleanup.h"
#include "base/io.h"

#define PAUSE_USEC UINT64_C(1000000)

void door_open(struct session_door *door, const struct backend *backend, struct sandbox *sandbox)
{
	struct sandbox_door given = {.listener = -1, .page = -1};

	if (backend->take_door) {
		backend->take_door(sandbox, &given);
	}
	if (given.listener >= 0 || given.page >= 0) {
		*door = (struct session_door){
			.open = true, .listener = given.listener, .page = given.page, .peer = -1};
	}
}

static void hang_up(struct session_door *door)
{
	if (door->busy) {
		io_close_hostile(&door->peer, 1);
		door->busy = false;
	}
}

void door_close(struct session_door *door)
{
	hang_up(door);
	if (door->open) {
		io_close_hostile(&door->listener, 1);
		close_fdp(&door->page);
	}
	*door = (struct session_door){.peer = -1};
}

struct pollfd door_poll(const struct session_door *door, uint64_t now)
{
	if (!door->open || (!door->busy && now < door->again)) {
		return (struct pollfd){.fd = -1};
	}
	/* Of a peer only its end is of interest, which needs no asking. */
	return door->busy ? (struct pollfd){.fd = door->peer}
			  : (struct pollfd){.fd = door->listener, .events = POLLIN};
}

uint64_t door_deadline(const struct session_door *door, uint64_t now)
{
	if (door->open && door->page >= 0) {
		return door->again;
	}
	return door->open && !door->busy && now < door->again ? door->again : UINT64_MAX;
}

bool door_is_due(const struct session_door *door, uint64_t now)
{
	return door->open && door->page >= 0 && now >= door->again;
}

bool door_accept(struct session_door *door, uint64_t now)
{
	if (door_is_due(door, now)) {
		door->again = now + PAUSE_USEC;
		return true;
	}
	if (door->open && door->busy) {
		struct pollfd peer = {.fd = door->peer};
		if (poll(&peer, 1, 0) == 1 && (peer.revents & (POLLHUP | POLLERR))) {
			hang_up(door);
		}
	}
	if (!door->open || door->listener < 0 || door->busy || now < door->again) {
		return false;
	}
	door->peer = accept4(door->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	door->busy = door->peer >= 0;
	/* Without descriptors, too: who waits there waits on, and poll() would say so without end. */
	door->again = door->busy || errno != EAGAIN ? now + PAUSE_USEC : door->again;
	return door->busy;
}

/* A reader may come at any moment: the sum is of what is there when all is written. */
static void write_page(struct session_door *door, const char *text, size_t size)
{
	struct page page = {.magic = PAGE_MAGIC, .serial = ++door->serial};

	page.size = size < sizeof(page.text) ? size : sizeof(page.text);
	memcpy(page.text, text, page.size);
	page.sum = page_seal(page_sum(PAGE_SUM, page.text, page.size), page.serial, page.size);
	if (pwrite(door->page, &page, offsetof(struct page, text) + page.size, 0) < 0) {
		door->serial--; /* a full disk: the next one, a second later, may fit */
	}
}

void door_tell(struct session_door *door, const char *text, size_t size)
{
	if (door->page >= 0) {
		write_page(door, text, size);
		return;
	}
	(void)send(door->peer, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(door->peer, SHUT_WR);
}
