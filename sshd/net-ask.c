#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "sshd/net-conn.h"

static void put_inbox(struct net_conn *conn, struct wire *wire)
{
	struct net_message *message = malloc(sizeof(*message));

	if (!message) {
		wire_fini(wire);
		net_conn_end(conn, "memory");
		return;
	}
	message->wire = *wire;
	message->next = NULL;
	*conn->inbox_end = message;
	conn->inbox_end = &message->next;
}

bool net_next_message(struct net_conn *conn, struct wire *ret)
{
	struct net_message *message = conn->inbox;

	if (!message) {
		return false;
	}
	conn->inbox = message->next;
	if (!conn->inbox) {
		conn->inbox_end = &conn->inbox;
	}
	*ret = message->wire;
	free(message);
	return true;
}

/* Receives one message. 1 and *ret; 0 when there is none now; negative: the monitor is gone. */
static int receive(struct net_conn *conn, struct wire *ret)
{
	struct err err;
	int r = wire_receive(conn->monitor, ret, MSG_DONTWAIT, &err);

	if (r == -EAGAIN) {
		return 0;
	}
	if (r <= 0) {
		net_conn_end(conn, "monitor gone");
		return r < 0 ? r : -EPIPE;
	}
	conn->ended |= ret->type == WIRE_END;
	return 1;
}

void net_collect(struct net_conn *conn)
{
	struct wire wire;

	while (receive(conn, &wire) > 0) {
		put_inbox(conn, &wire);
	}
}

static bool is_answer(const struct wire *wire)
{
	return wire->type == WIRE_AUTH_RESULT || wire->type == WIRE_RESULT ||
		wire->type == WIRE_STARTED;
}

int net_await(struct net_conn *conn, uint64_t deadline)
{
	struct pollfd wait = {.fd = conn->monitor, .events = POLLIN};
	uint64_t now = io_now_usec();

	if (now >= deadline || poll(&wait, 1, (int)((deadline - now) / 1000 + 1)) == 0) {
		net_conn_end(conn, "monitor silent");
		return -ETIMEDOUT;
	}
	return 0;
}

int net_ask(struct net_conn *conn, const struct wire *request, struct wire *ret_answer)
{
	uint64_t deadline = io_now_usec() + NET_ANSWER_USEC;
	int r = 0;

	/* libssh may have more requests at hand than the one that was answered by END. */
	if (conn->ended) {
		return -ECANCELED;
	}
	r = conn->bye ? -EPIPE : wire_send(conn->monitor, request);
	if (r == -EINVAL || r == -EMSGSIZE) {
		return -EINVAL;
	}
	if (r < 0) {
		net_conn_end(conn, "monitor gone");
		return r;
	}
	for (;;) {
		struct wire wire;
		r = receive(conn, &wire);
		if (r < 0) {
			return r;
		}
		if (r > 0 && is_answer(&wire)) {
			*ret_answer = wire;
			return 0;
		}
		if (r > 0) {
			put_inbox(conn, &wire);
			if (conn->ended) {
				return -ECANCELED;
			}
			continue;
		}
		r = net_await(conn, deadline);
		if (r < 0) {
			return r;
		}
	}
}

const struct wire net_refused = {.type = WIRE_FAILED};

static const struct wire *find_about(const struct net_conn *conn, uint32_t channel)
{
	for (const struct net_message *message = conn->inbox; message; message = message->next) {
		if (message->wire.channel == channel) {
			return &message->wire;
		}
	}
	return NULL;
}

const struct wire *net_await_about(struct net_conn *conn, uint32_t channel, uint64_t usec)
{
	uint64_t deadline = io_now_usec() + usec;

	for (;;) {
		struct pollfd wait = {.fd = conn->monitor, .events = POLLIN};
		uint64_t now = 0;
		net_collect(conn);
		const struct wire *found = find_about(conn, channel);
		now = io_now_usec();
		if (found || conn->ended || conn->bye || now >= deadline) {
			return found;
		}
		(void)poll(&wait, 1, (int)((deadline - now) / 1000 + 1));
	}
}

void net_tell(struct net_conn *conn, enum wire_type type, uint32_t channel, const char *text)
{
	int r = wire_send_simple(conn->monitor, type, channel, 0, text);

	if (r < 0 && r != -EINVAL) {
		net_conn_end(conn, "monitor gone");
	}
}

void net_hint(struct net_conn *conn, enum wire_type type, uint32_t channel)
{
	struct pollfd ready = {.fd = conn->monitor, .events = POLLOUT};

	if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT)) {
		net_tell(conn, type, channel, NULL);
	}
}
