/*
 * Forwarded ports and agents, on libssh's side. The sockets are made in the sandbox and come from the
 * monitor; here they become channels.
 *
 * A client's channel must be answered before libssh's callback returns, but connecting may take
 * minutes: so the outcome is waited for a moment, within which nearly every connection is made or
 * refused, and after it the channel is opened all the same and closed again if it comes to nothing.
 * (libssh 0.10 has one reason for refusing a channel, "administratively prohibited", and sends no
 * text with it.)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "sshd/net-channel.h"

#define CONNECT_PATIENCE_USEC 1000000
#define LISTEN_PATIENCE_USEC 10000000 /* its port is told in the answer, so there is no later */
#define MAX_FORWARDS 64 /* channels of this kind, whatever the monitor thinks */

struct net_listener {
	struct net_listener *next;
	uint32_t id;
	char host[256]; /* as the client wrote it: it wants to be told just that again */
	uint32_t asked, port;
};

static struct net_listener *find_listener(struct net_conn *conn, uint32_t id)
{
	struct net_listener *listener = conn->listeners;

	while (listener && listener->id != id) {
		listener = listener->next;
	}
	return listener;
}

static size_t count_forwards(const struct net_conn *conn)
{
	size_t count = 0;

	for (const struct net_channel *channel = conn->channels; channel; channel = channel->next) {
		count += channel->forward;
	}
	return count;
}

/* Asks the monitor and waits for the outcome of a yes. The message that has it stays in the inbox. */
static const struct wire *ask(
	struct net_conn *conn, enum wire_type type, uint32_t id, const char *host, uint32_t port)
{
	uint64_t patience = type == WIRE_LISTEN ? LISTEN_PATIENCE_USEC : CONNECT_PATIENCE_USEC;
	struct wire request, answer;
	bool yes = false;

	wire_init(&request, type, id);
	request.text = (char *)(uintptr_t)host;
	request.number = port;
	if (net_ask(conn, &request, &answer) < 0) {
		return NULL;
	}
	yes = answer.type == WIRE_RESULT && answer.number == 1;
	wire_fini(&answer);
	return yes ? net_await_about(conn, id, patience) : &net_refused;
}

static struct net_channel *add(struct net_conn *conn, uint32_t id, ssh_channel ssh)
{
	struct net_channel *channel = ssh ? net_channel_add(conn, id, ssh) : NULL;

	if (!channel) {
		net_conn_end(conn, "memory");
		return NULL;
	}
	channel->forward = true;
	ssh_callbacks_init(&channel->callbacks);
	if (ssh_set_channel_callbacks(ssh, &channel->callbacks) != SSH_OK) {
		net_conn_end(conn, "memory");
	}
	return channel;
}

/* ---- to the sandbox ---- */

static int open_direct(struct net_conn *conn, ssh_message message)
{
	const char *host = ssh_message_channel_request_open_destination(message);
	int port = ssh_message_channel_request_open_destination_port(message);
	uint32_t id = conn->next_channel;
	const struct wire *outcome = NULL;

	if (!conn->authenticated || !host || port <= 0 || port > UINT16_MAX ||
		count_forwards(conn) >= MAX_FORWARDS) {
		return 1;
	}
	conn->next_channel++;
	outcome = ask(conn, WIRE_FORWARD, id, host, (uint32_t)port);
	if (conn->bye || (outcome && outcome->type != WIRE_SOCKET)) {
		return 1; /* what is in the inbox about it finds no channel, and is dropped */
	}
	ssh_channel ssh = ssh_message_channel_request_open_reply_accept(message);
	(void)add(conn, id, ssh);
	return 0;
}

static int on_message(ssh_session session, ssh_message message, void *userdata)
{
	if (ssh_message_type(message) == SSH_REQUEST_CHANNEL_OPEN &&
		ssh_message_subtype(message) == SSH_CHANNEL_DIRECT_TCPIP) {
		return open_direct(userdata, message);
	}
	if (ssh_message_type(message) == SSH_REQUEST_AUTH &&
		ssh_message_subtype(message) == SSH_AUTH_METHOD_INTERACTIVE) {
		return net_conn_interact(userdata, message);
	}
	return 1; /* libssh refuses it */
}

/* ---- from the sandbox ---- */

static void listen_remote(struct net_conn *conn, ssh_message message)
{
	const char *host = ssh_message_global_request_address(message);
	int port = ssh_message_global_request_port(message);
	struct net_listener *listener = calloc(1, sizeof(*listener));
	const struct wire *outcome = NULL;

	if (!listener || !host || strlen(host) >= sizeof(listener->host) || port < 0 ||
		port > UINT16_MAX) {
		free(listener);
		(void)ssh_message_reply_default(message);
		return;
	}
	listener->id = conn->next_channel++;
	listener->asked = (uint32_t)port;
	(void)snprintf(listener->host, sizeof(listener->host), "%s", host);
	outcome = ask(conn, WIRE_LISTEN, listener->id, host, (uint32_t)port);
	if (!outcome || outcome->type != WIRE_BOUND) {
		if (!outcome && !conn->bye) {
			net_tell(conn, WIRE_CLOSE, listener->id, NULL);
		}
		free(listener);
		(void)ssh_message_reply_default(message);
		return;
	}
	listener->port = outcome->number;
	listener->next = conn->listeners;
	conn->listeners = listener;
	(void)ssh_message_global_request_reply_success(message, (uint16_t)listener->port);
}

static void cancel_remote(struct net_conn *conn, ssh_message message)
{
	const char *host = ssh_message_global_request_address(message);
	uint32_t port = (uint32_t)ssh_message_global_request_port(message);

	for (struct net_listener **link = &conn->listeners; host && *link; link = &(*link)->next) {
		struct net_listener *listener = *link;
		if (listener->port == port && strcmp(listener->host, host) == 0) {
			*link = listener->next;
			net_tell(conn, WIRE_CLOSE, listener->id, NULL);
			free(listener);
			(void)ssh_message_global_request_reply_success(message, 0);
			return;
		}
	}
	(void)ssh_message_reply_default(message);
}

static void on_global(ssh_session session, ssh_message message, void *userdata)
{
	struct net_conn *conn = userdata;
	int type = ssh_message_subtype(message);

	if (conn->authenticated && type == SSH_GLOBAL_REQUEST_TCPIP_FORWARD) {
		listen_remote(conn, message);
	} else if (conn->authenticated && type == SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD) {
		cancel_remote(conn, message);
	} else {
		(void)ssh_message_reply_default(message);
	}
}

void net_forward_set_callbacks(struct net_conn *conn)
{
	conn->common_callbacks.userdata = conn;
	conn->common_callbacks.global_request_function = on_global;
	ssh_callbacks_init(&conn->common_callbacks);
	(void)ssh_set_callbacks(conn->session, &conn->common_callbacks);
	ssh_set_message_callback(conn->session, on_message, conn);
}

void net_forward_fini(struct net_conn *conn)
{
	while (conn->listeners) {
		struct net_listener *listener = conn->listeners;
		conn->listeners = listener->next;
		free(listener);
	}
}

static void come_in(struct net_conn *conn, struct wire *wire)
{
	struct net_listener *listener = find_listener(conn, wire->number);
	struct net_channel *channel = NULL;
	bool agent = wire->flags & 1;
	unsigned port = 0;
	char host[80] = "127.0.0.1";

	if ((!agent && !listener) || count_forwards(conn) >= MAX_FORWARDS) {
		net_tell(conn, WIRE_CLOSE, wire->channel, NULL);
		return;
	}
	channel = add(conn, wire->channel, ssh_channel_new(conn->session));
	if (!channel) {
		return;
	}
	channel->opening = agent ? NET_OPENING_AGENT : NET_OPENING_REMOTE;
	if (!agent) {
		(void)sscanf(wire->text, "%79[0-9a-fA-F.:] %u", host, &port);
		(void)snprintf(channel->origin, sizeof(channel->origin), "%s", host);
		(void)snprintf(channel->bound, sizeof(channel->bound), "%s", listener->host);
		channel->origin_port = port;
		channel->bound_port = listener->port;
	}
	net_channel_attach(channel, wire);
}

void net_forward_handle(struct net_conn *conn, struct wire *wire)
{
	struct net_channel *channel = net_channel_find(conn, wire->channel);

	if (wire->type == WIRE_INCOMING) {
		come_in(conn, wire);
	} else if (wire->type == WIRE_SOCKET && channel && channel->forward) {
		net_channel_attach(channel, wire);
	} else if (wire->type == WIRE_FAILED && channel && channel->forward) {
		channel->failed = true;
	} else if (wire->type == WIRE_SOCKET) {
		net_tell(conn, WIRE_CLOSE, wire->channel, NULL);
	}
	/* BOUND was read when it came, or comes too late for anybody. */
}

void net_forward_open(struct net_channel *channel)
{
	int r = channel->opening == NET_OPENING_AGENT
		? ssh_channel_open_auth_agent(channel->ssh)
		: ssh_channel_open_reverse_forward(channel->ssh, channel->bound,
			  (int)channel->bound_port, channel->origin, (int)channel->origin_port);

	if (r == SSH_AGAIN) {
		return;
	}
	channel->opening = NET_NOT_OPENING;
	if (r != SSH_OK) {
		/* The client will not have it: there is nothing to close over there. */
		channel->sent_eof = channel->sent_close = channel->client_closed = true;
		channel->failed = true;
	}
}
