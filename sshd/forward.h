/*
 * What the monitor knows of a connection's forwardings. It never sees their bytes: a process in the
 * sandbox makes each socket, the monitor looks at it and hands it to net.
 *
 *	[RESOLVING ->] CONNECTING -> OPEN	local forwarding (-L, -D, -W)
 *	BINDING -> LISTENING -> OPEN*		remote forwarding (-R); each that connects is one more OPEN
 *
 * A listener belongs to the monitor, because net may not accept: a taken-over net gets no sockets but
 * those it is given.
 */
#pragma once

#include <poll.h>
#include <stdint.h>

#include "session/session.h"
#include "sshd/wire.h"

#define FORWARD_MAX 64 /* of one connection at once, of all kinds */

enum forward_state {
	FORWARD_FREE,
	FORWARD_RESOLVING, /* a program inside looks the name up, as any program there would */
	FORWARD_CONNECTING,
	FORWARD_BINDING,
	FORWARD_LISTENING,
	FORWARD_OPEN, /* net's, until it says CLOSE */
};

struct forward {
	enum forward_state state;
	uint32_t channel;
	int fd; /* the sandbox's answer, the listener, or what the lookup says; -1 */
	struct sandbox *lookup; /* the program that looks up, or NULL */
	char answer[1024]; /* what it has said; then what is left to be tried */
	size_t answer_size;
	char host[256];
	uint16_t port;
};

struct forwards {
	struct forward
		*list; /* FORWARD_MAX of them, made for the first: most connections have none */
	uint32_t accepted; /* counts them, for their numbers */
};

/* Accepts a zeroed one. */
void forwards_fini(struct forwards *forwards);

/*
 * A request of net's: FORWARD or LISTEN. 0, and then forwards_step() has the outcome; negative errno
 * with err for the user.
 */
int forwards_ask(struct forwards *forwards, const struct session_context *context,
	const struct wire *request, struct err *err);

/* Is there something with this number? */
bool forwards_have(const struct forwards *forwards, uint32_t channel);

/* Net is done with it. True when it was one of ours. */
bool forwards_close(
	struct forwards *forwards, const struct session_context *context, uint32_t channel);

/* Somebody inside has connected to the agent of this session: makes the message. 0 or -EAGAIN. */
int forwards_accept_agent(
	struct forwards *forwards, int listener, uint32_t session, struct wire *ret);

/* What is to be waited for, at most FORWARD_MAX. */
size_t forwards_prepare(const struct forwards *forwards, struct pollfd *fds);

/*
 * The next message for net, if something has happened: 1 and *ret, for wire_fini(); 0 when there is
 * nothing more.
 */
int forwards_step(
	struct forwards *forwards, const struct session_context *context, struct wire *ret);
