#include "session/door.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/io.h"

#define PAUSE_USEC UINT64_C(1000000)

void door_open(struct session_door *door, const struct backend *backend, struct sandbox *sandbox)
{
	int fd = backend->take_door ? backend->take_door(sandbox) : -1;

	if (fd >= 0) {
		*door = (struct session_door){.open = true, .listener = fd, .peer = -1};
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
	return door->open && !door->busy && now < door->again ? door->again : UINT64_MAX;
}

bool door_accept(struct session_door *door, uint64_t now)
{
	if (door->open && door->busy) {
		struct pollfd peer = {.fd = door->peer};
		if (poll(&peer, 1, 0) == 1 && (peer.revents & (POLLHUP | POLLERR))) {
			hang_up(door);
		}
	}
	if (!door->open || door->busy || now < door->again) {
		return false;
	}
	door->peer = accept4(door->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	door->busy = door->peer >= 0;
	/* Without descriptors, too: who waits there waits on, and poll() would say so without end. */
	door->again = door->busy || errno != EAGAIN ? now + PAUSE_USEC : door->again;
	return door->busy;
}

void door_tell(struct session_door *door, const char *text, size_t size)
{
	(void)send(door->peer, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(door->peer, SHUT_WR);
}
