/*
 * The loop. It waits in its own poll(2) for everything, then gives libssh control for what came on
 * the socket, then moves bytes; libssh never waits by itself, since its session is non-blocking.
 */
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/io.h"
#include "sshd/net-confine.h"
#include "sshd/net-channel.h"
#include "sshd/net-watch.h"

#define READS_AT_ONCE 32 /* of 4 KiB each, before the sandboxes have their turn */
#define MAX_HELD (12u << 20) /* bytes no sandbox takes: the client is not listened to any more */
#define FAREWELL_MSEC 1000 /* how long a client may take to read that it is being disconnected */
#define IDLE_MSEC 1000 /* after which memory is given back, */
#define GARBAGE_FROM 65536 /* when so many bytes have come or gone since the last time */
#define WATCHDOG_SECONDS 3 /* of CPU time in one round of the loop */
/* Five, three on their way to a session, forwardings, watchers and one that is one too many. */
#define OTHER_FDS (8 + 2 * 64 + NET_ALL_WATCHERS + 1)
#define TCP_INDEX 0
#define MONITOR_INDEX 1
#define FIRST_CHANNEL_INDEX 2

/*
 * Small messages go back and forth until a session is up, and each would wait for the other side's
 * delayed acknowledgement. The kernel forgets this after a while, so it is said again and again.
 */
static void acknowledge_quickly(struct net_conn *conn)
{
	const int on = 1;

	if (!conn->up) {
		(void)setsockopt(conn->tcp, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
	}
}

static bool has_unsent(struct net_conn *conn)
{
	return (ssh_get_status(conn->session) & SSH_WRITE_PENDING) != 0;
}

static bool is_gone(struct net_conn *conn)
{
	return !ssh_is_connected(conn->session) ||
		(ssh_get_status(conn->session) & (SSH_CLOSED | SSH_CLOSED_ERROR));
}

/* What the client calls itself, fit for a log. */
static void say_hello(struct net_conn *conn)
{
	const char *version = ssh_get_clientbanner(conn->session);
	char text[256];
	size_t length = 0;

	if (conn->said_hello || !version) {
		return;
	}
	for (; version[length] && length < sizeof(text) - 1; length++) {
		char c = version[length];
		text[length] = (char)(c >= ' ' && c <= '~' ? c : '?');
	}
	text[length] = '\0';
	conn->said_hello = true;
	net_tell(conn, WIRE_HELLO, WIRE_NO_CHANNEL, text);
}

static void say_kex(struct net_conn *conn)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "%s %s %s", ssh_get_kex_algo(conn->session),
		ssh_get_cipher_in(conn->session), ssh_get_hmac_in(conn->session));
	net_tell(conn, WIRE_KEX, WIRE_NO_CHANNEL, text);
}

static void handle_channel_message(struct net_conn *conn, struct wire *wire)
{
	struct net_channel *channel = net_channel_find(conn, wire->channel);

	if (!channel) {
		return; /* closed meanwhile */
	}
	if (wire->type == WIRE_EXIT) {
		net_channel_exit(channel, wire->number, wire->text, (wire->flags & 1) != 0);
	} else if (wire->type == WIRE_WATCH) {
		net_watch_add(channel, take_fd(&wire->fds[0]));
	} else {
		net_channel_notify(channel, wire->text);
	}
}

/* Offers the logins the monitor wants. With none of those libssh has, it could not even say no. */
static void be_welcomed(struct net_conn *conn, const struct wire *wire)
{
	uint32_t methods = 0;

	if (conn->welcomed || wire_welcome_unpack(wire, &conn->welcome) < 0) {
		net_conn_end(conn, "monitor confused");
		return;
	}
	conn->welcomed = true;
	/* Each session needs three descriptors. */
	if (conn->welcome.max_sessions > (NET_MAX_FDS - OTHER_FDS) / 3) {
		conn->welcome.max_sessions = (NET_MAX_FDS - OTHER_FDS) / 3;
	}
	methods = conn->welcome.methods &
		(SSH_AUTH_METHOD_PASSWORD | SSH_AUTH_METHOD_PUBLICKEY |
			SSH_AUTH_METHOD_INTERACTIVE);
	ssh_set_auth_methods(conn->session, (int)(methods ? methods : SSH_AUTH_METHOD_PUBLICKEY));
}

static void handle_message(struct net_conn *conn, struct wire *wire)
{
	switch (wire->type) {
	case WIRE_WELCOME:
		be_welcomed(conn, wire);
		break;
	case WIRE_EXIT:
	case WIRE_NOTICE:
	case WIRE_WATCH:
		handle_channel_message(conn, wire);
		break;
	case WIRE_SOCKET:
	case WIRE_BOUND:
	case WIRE_FAILED:
	case WIRE_INCOMING:
		net_forward_handle(conn, wire);
		break;
	case WIRE_END:
		net_conn_set_farewell(conn, wire->text);
		net_conn_end(conn, "ended");
		break;
	default:
		net_conn_end(conn, "monitor confused");
		break;
	}
}

static void handle_inbox(struct net_conn *conn)
{
	struct wire wire;

	while (net_next_message(conn, &wire)) {
		handle_message(conn, &wire);
		wire_fini(&wire);
	}
}

static void await_welcome(struct net_conn *conn)
{
	uint64_t deadline = io_now_usec() + NET_ANSWER_USEC;

	while (!conn->welcomed && !conn->bye && net_await(conn, deadline) == 0) {
		net_collect(conn);
		handle_inbox(conn);
	}
}

void net_conn_prepare_logins(struct net_conn *conn)
{
	if (!conn->prepared) {
		conn->prepared = true;
		say_hello(conn);
		say_kex(conn);
		await_welcome(conn);
	}
}

/*
 * Exchanges keys. HELLO goes out on the way, so that its answer is there when it is needed. libssh knows
 * the end by a state that a login along with it has left again.
 */
static int exchange_keys(struct net_conn *conn)
{
	while (!conn->bye) {
		int r = ssh_handle_key_exchange(conn->session);
		say_hello(conn);
		if (r == SSH_OK || (r == SSH_AGAIN && conn->authenticated)) {
			return 0;
		}
		if (r != SSH_AGAIN || ssh_get_status(conn->session) & SSH_CLOSED_ERROR) {
			break;
		}
		struct pollfd fds[] = {
			{.fd = conn->tcp,
				.events = (short)(POLLIN | (has_unsent(conn) ? POLLOUT : 0))},
			{.fd = conn->monitor, .events = POLLIN},
		};
		(void)poll(fds, 2, -1);
		if (fds[1].revents) {
			net_collect(conn);
			handle_inbox(conn);
		}
		acknowledge_quickly(conn);
	}
	net_conn_end(conn,
		conn->mismatch             ? conn->mismatch
			: conn->said_hello ? "key exchange"
					   : "no banner");
	return -ECONNABORTED;
}

static void end_if_unanswered(struct net_conn *conn)
{
	if ((conn->unanswered_login || conn->dropped_login) && !is_gone(conn)) {
		net_conn_set_farewell(conn, "This signature or kind of key is not accepted");
		net_conn_end(conn, "bad signature");
	}
}

/*
 * Gives libssh what has come, and sends what it has to say. A channel that was closed is put away
 * before more is read, since until then it counts as open, and the client knows better.
 */
static void let_libssh_work(struct net_conn *conn)
{
	conn->any_closed = false;
	for (int i = 0; i < READS_AT_ONCE && !conn->bye; i++) {
		acknowledge_quickly(conn);
		if (ssh_event_dopoll(conn->event, 0) != SSH_OK || is_gone(conn) ||
			conn->any_closed || conn->held > MAX_HELD) {
			break;
		}
	}
	end_if_unanswered(conn);
	if (is_gone(conn)) {
		net_conn_end(conn, "closed");
	}
}

/* Returns milliseconds until the next keep-alive is due, -1 for never. */
static int keep_alive(struct net_conn *conn, uint64_t now)
{
	uint64_t interval = conn->welcome.keepalive_interval * 1000000ull;
	uint64_t due = 0;

	if (conn->traffic.in_bytes != conn->heard_bytes) {
		conn->heard_bytes = conn->traffic.in_bytes;
		conn->heard_at = now;
		conn->unanswered = 0;
	}
	if (!interval || !conn->authenticated) {
		return -1;
	}
	due = conn->heard_at + interval * (conn->unanswered + 1);
	if (now >= due) {
		if (conn->unanswered >= conn->welcome.keepalive_count) {
			net_conn_end(conn, "unresponsive");
			return 0;
		}
		conn->unanswered++;
		/* While one is unanswered libssh sends no other; TCP repeats that one anyway. */
		(void)ssh_send_keepalive(conn->session);
		due += interval;
	}
	return now >= due ? 0 : (int)((due - now) / 1000 + 1);
}

static int earlier(int a, int b)
{
	if (a < 0 || b < 0) {
		return a < 0 ? b : a;
	}
	return a < b ? a : b;
}

static bool has_garbage(const struct net_conn *conn)
{
	return conn->traffic.in_bytes + conn->traffic.out_bytes > conn->trimmed_at + GARBAGE_FROM;
}

/*
 * Gives back what a transfer has left free, once nothing happens: most connections are idle most of
 * the time.
 */
static void give_back_memory(struct net_conn *conn)
{
	if (has_garbage(conn) && io_now_usec() >= conn->busy_at + IDLE_MSEC * 1000ull) {
		conn->trimmed_at = conn->traffic.in_bytes + conn->traffic.out_bytes;
		(void)malloc_trim(0);
	}
}

static int next_timeout(struct net_conn *conn, uint64_t now)
{
	int timeout = earlier(keep_alive(conn, now), has_garbage(conn) ? IDLE_MSEC : -1);

	for (struct net_channel *channel = conn->channels; channel; channel = channel->next) {
		timeout = earlier(timeout, net_channel_timeout(channel, now));
	}
	return timeout;
}

/* Fills fds; each channel is given how many of them are its own, in order. */
static size_t prepare(struct net_conn *conn, struct pollfd *fds, size_t max)
{
	size_t count = FIRST_CHANNEL_INDEX;
	bool listen = conn->held <= MAX_HELD;

	fds[TCP_INDEX] = (struct pollfd){.fd = conn->tcp,
		.events = (short)((listen ? POLLIN : 0) | (has_unsent(conn) ? POLLOUT : 0))};
	fds[MONITOR_INDEX] = (struct pollfd){.fd = conn->monitor, .events = POLLIN};
	for (struct net_channel *channel = conn->channels; channel; channel = channel->next) {
		channel->pollfds = 0;
		if (count + NET_CHANNEL_POLLFDS <= max) {
			channel->pollfds = net_channel_prepare(channel, fds + count);
			count += channel->pollfds;
		}
	}
	return count;
}

/* Channels opened while this runs are at the end of the list, and have nothing ready yet. */
static void pump(struct net_conn *conn, const struct pollfd *fds)
{
	uint64_t now = io_now_usec();
	size_t at = FIRST_CHANNEL_INDEX;

	for (struct net_channel *channel = conn->channels; channel && !conn->bye;
		channel = channel->next) {
		size_t count = channel->pollfds;
		channel->pollfds = 0;
		net_channel_pump(channel, fds + at, count, now);
		at += count;
	}
	net_channel_reap(conn);
}

/*
 * libssh can be sent round for ever (a channel whose packets have no room for data does it). Each
 * round of the loop puts off the signal that ends such a process; asleep it uses no CPU time.
 */
static void feed_watchdog(struct net_conn *conn, uint64_t now)
{
	const struct itimerval timer = {.it_value = {.tv_sec = WATCHDOG_SECONDS}};

	if (now >= conn->fed_at + 1000000) {
		conn->fed_at = now;
		(void)setitimer(ITIMER_PROF, &timer, NULL);
	}
}

static void serve_once(struct net_conn *conn)
{
	struct pollfd fds[NET_MAX_FDS];
	nfds_t count = (nfds_t)prepare(conn, fds, NET_MAX_FDS);
	uint64_t now = io_now_usec();
	int r = 0;

	feed_watchdog(conn, now);
	r = poll(fds, count, next_timeout(conn, now));
	if (r < 0 && errno != EINTR) {
		net_conn_end(conn, "poll");
	}
	if (r > 0) {
		conn->busy_at = io_now_usec();
	} else {
		memset(fds, 0, sizeof(fds));
		give_back_memory(conn);
	}
	if (fds[MONITOR_INDEX].revents) {
		net_collect(conn);
	}
	if (fds[TCP_INDEX].revents) {
		let_libssh_work(conn);
	}
	handle_inbox(conn);
	pump(conn, fds);
	if (has_unsent(conn)) {
		(void)ssh_event_dopoll(conn->event, 0);
	}
	if (is_gone(conn)) {
		net_conn_end(conn, "closed");
	}
}

/*
 * libssh writes at once what it has found the socket to have room for, and once only: after each write
 * it waits for POLLOUT again, and what comes meanwhile stays in its buffer.
 */
static bool can_write_at_once(struct net_conn *conn)
{
	return !has_unsent(conn) && !(ssh_get_poll_flags(conn->session) & SSH_WRITE_PENDING);
}

/*
 * Tells the client why, if there is anything to tell. libssh closes the socket right after queueing
 * its last message, which therefore must be one that is written at once. A client that goes on asking
 * is answered meanwhile.
 */
static void say_farewell(struct net_conn *conn)
{
	uint64_t deadline = io_now_usec() + FAREWELL_MSEC * 1000ull;
	bool ready = false;

	if (!conn->event || is_gone(conn)) {
		return;
	}
	for (uint64_t now = 0; !ready && (now = io_now_usec()) < deadline;) {
		struct pollfd wait = {.fd = conn->tcp, .events = POLLOUT};
		(void)poll(&wait, 1, (int)((deadline - now) / 1000 + 1));
		if (ssh_event_dopoll(conn->event, 0) == SSH_ERROR || is_gone(conn)) {
			return;
		}
		ready = can_write_at_once(conn);
	}
	if (ready) {
		(void)ssh_session_set_disconnect_message(
			conn->session, conn->farewell ? conn->farewell : "Bye");
		ssh_disconnect(conn->session);
	}
}

static void serve(struct net_conn *conn)
{
	net_conn_listen_to_libssh(conn);
	if (exchange_keys(conn) < 0) {
		return;
	}
	net_conn_prepare_logins(conn);
	conn->event = ssh_event_new();
	if (!conn->event || ssh_event_add_session(conn->event, conn->session) != SSH_OK) {
		net_conn_end(conn, "memory");
		return;
	}
	end_if_unanswered(conn);
	conn->heard_at = io_now_usec();
	while (!conn->bye) {
		serve_once(conn);
	}
}

void net_conn_run(ssh_session session, int tcp, int monitor)
{
	struct net_conn conn = {.session = session, .tcp = tcp, .monitor = monitor};
	const int on = 1;

	conn.inbox_end = &conn.inbox;
	conn.channels_end = &conn.channels;
	(void)setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ssh_set_blocking(session, 0);
	ssh_set_counters(session, &conn.traffic, NULL);
	if (net_conn_set_callbacks(&conn) < 0) {
		net_conn_end(&conn, "memory");
	} else {
		serve(&conn);
	}
	say_farewell(&conn);
	net_tell(&conn, WIRE_BYE, WIRE_NO_CHANNEL, conn.bye);
	close_fdp(&conn.monitor);
	net_forward_fini(&conn);
	free(conn.farewell);
	free(conn.mismatch);
	free(conn.user);
}
