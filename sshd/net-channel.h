/*
 * One channel: its session's descriptors, what waits between them and the client, its end. The
 * bytes themselves are net-relay.c's.
 *
 * Memory is bounded. Towards the client nothing is read from the sandbox while libssh still has
 * something to send or the channel's window is closed. Towards the sandbox the client's window is
 * the bound: libssh holds what the sandbox does not take, and gives it up only as one whole.
 */
#pragma once

#include <poll.h>

#include "sshd/net-conn.h"

#define NET_CHANNEL_POLLFDS 3

struct net_channel {
	struct net_channel *next;
	struct net_conn *conn;
	uint32_t id;
	ssh_channel ssh;
	size_t pollfds; /* the loop's: how many of its own are being waited for */
	struct ssh_channel_callbacks_struct callbacks;

	bool pty, started;
	bool forward; /* a socket, not a session: no exit status, and each way ends by itself */
	bool failed; /* the socket will not come */
	enum { NET_NOT_OPENING, NET_OPENING_REMOTE, NET_OPENING_AGENT } opening;
	char bound[256], origin[80]; /* what the client is told of a remote forwarding */
	uint32_t bound_port, origin_port;
	struct winsize size;
	int in; /* the session's stdin; with a pty the same number as out */
	int out, err; /* owned, like in; -1 at their end */
	bool large_pipes;

	/* client to sandbox */
	uint8_t *backlog;
	size_t backlog_size, backlog_at;
	size_t unread; /* left with libssh at the last data callback */
	size_t taken; /* since the window was last topped up */
	bool client_eof, client_closed;
	bool active; /* input came since the monitor was last told */
	uint64_t told_active_at;

	/* sandbox to client: what libssh did not take at once (it was exchanging keys) */
	uint8_t *kept;
	size_t kept_size, kept_at;
	bool kept_is_stderr;
	char *notice; /* lines to show, or NULL */
	struct net_watcher *watchers; /* net-watch.c's; NULL: nobody */
	/* a terminal's: what the client has not taken yet, see net_relay_pace() */
	size_t full_window, last_window, ahead_limit;
	bool credited; /* the client has widened its window at least once */
	uint64_t ahead_at; /* since when it is too much; 0: it is not */

	bool exited, core;
	uint32_t status;
	char signal[33];
	uint64_t exit_at; /* when we heard, or last read something after it */
	uint64_t silent_at; /* when both outputs had ended; 0: not yet */
	bool sent_exit, sent_eof, sent_close, told_close;
};

/* Adds a channel to conn. NULL when out of memory. ssh becomes the channel's. */
struct net_channel *net_channel_add(struct net_conn *conn, uint32_t id, ssh_channel ssh);

struct net_channel *net_channel_find(struct net_conn *conn, uint32_t id);

/* Frees the channels that both sides have closed. */
void net_channel_reap(struct net_conn *conn);

/* Takes the descriptors of a STARTED message. */
void net_channel_start(struct net_channel *channel, struct wire *started);

/* Takes the sockets of a SOCKET or INCOMING message. */
void net_channel_attach(struct net_channel *channel, struct wire *wire);

/* Starts a session that never ran: text is shown, and the exit status is status. */
void net_channel_refuse(struct net_channel *channel, const char *text, uint32_t status);

void net_channel_resize(struct net_channel *channel, int columns, int rows, int x, int y);

/* Shows one line to the user; dropped when many wait already. */
void net_channel_notify(struct net_channel *channel, const char *text);

void net_channel_exit(struct net_channel *channel, uint32_t status, const char *signal, bool core);

/* Fills what is to be waited for; returns how many (at most NET_CHANNEL_POLLFDS). */
size_t net_channel_prepare(struct net_channel *channel, struct pollfd *fds);

/* Moves what can be moved without waiting, given what poll(2) made of what prepare filled. */
void net_channel_pump(
	struct net_channel *channel, const struct pollfd *fds, size_t count, uint64_t now);

/* Milliseconds until pump has something to do without any event; -1: never. */
int net_channel_timeout(const struct net_channel *channel, uint64_t now);
