#include "sshd/net-channel.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/io.h"
#include "sshd/net-relay.h"
#include "sshd/net-watch.h"

#define MAX_NOTICE 8192
#define MAX_SIDE 10000 /* rows or columns */
#define DRAIN_USEC 2000000 /* a session that has ended and says nothing more has said all */
/*
 * The exit status mostly follows the last byte at once, and a client that has ended its own input
 * closes the channel when it sees our EOF, status or not: on a busy machine a moment is not enough.
 */
#define EOF_USEC 1000000
#define ACTIVE_USEC 1000000

/* since may be a little later than now, which was asked for at the head of the loop. */
static bool is_over(uint64_t since, uint64_t wait, uint64_t now)
{
	return now >= since + wait;
}

static void channel_eof(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct net_channel *channel = userdata;

	channel->client_eof = true;
}

static void channel_close(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct net_channel *channel = userdata;

	channel->client_closed = true;
	channel->conn->any_closed = true;
}

struct net_channel *net_channel_add(struct net_conn *conn, uint32_t id, ssh_channel ssh)
{
	struct net_channel *channel = calloc(1, sizeof(*channel));

	if (!channel) {
		return NULL;
	}
	channel->conn = conn;
	channel->id = id;
	channel->ssh = ssh;
	channel->in = channel->out = channel->err = -1;
	channel->callbacks.userdata = channel;
	channel->callbacks.channel_data_function = net_relay_data;
	channel->callbacks.channel_eof_function = channel_eof;
	channel->callbacks.channel_close_function = channel_close;
	*conn->channels_end = channel;
	conn->channels_end = &channel->next;
	return channel;
}

struct net_channel *net_channel_find(struct net_conn *conn, uint32_t id)
{
	struct net_channel *channel = conn->channels;

	while (channel && channel->id != id) {
		channel = channel->next;
	}
	return channel;
}

static void free_channel(struct net_channel *channel)
{
	net_relay_close(channel);
	net_watch_end(channel);
	free(channel->notice);
	/* libssh may keep its half for as long as it likes: ours is not called any more. */
	(void)ssh_remove_channel_callbacks(channel->ssh, &channel->callbacks);
	ssh_channel_free(channel->ssh);
	free(channel);
}

void net_channel_reap(struct net_conn *conn)
{
	struct net_channel **link = &conn->channels;

	while (*link) {
		struct net_channel *channel = *link;
		if (!channel->sent_close || !channel->client_closed) {
			link = &channel->next;
			continue;
		}
		*link = channel->next;
		free_channel(channel);
	}
	conn->channels_end = link;
}

void net_channel_resize(struct net_channel *channel, int columns, int rows, int x, int y)
{
	const int sides[] = {rows, columns, x, y};
	unsigned short clamped[ARRAY_SIZE(sides)];

	for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
		int side = sides[i] < 0 || sides[i] > MAX_SIDE ? MAX_SIDE : sides[i];
		clamped[i] = (unsigned short)side;
	}
	channel->size = (struct winsize){clamped[0], clamped[1], clamped[2], clamped[3]};
	if (channel->pty && channel->out >= 0) {
		(void)ioctl(channel->out, TIOCSWINSZ, &channel->size);
	}
	net_watch_resize(channel);
}

void net_channel_start(struct net_channel *channel, struct wire *started)
{
	channel->started = true;
	channel->pty = started->number == 1;
	channel->conn->up = true;
	for (size_t i = 0; i < started->fd_count; i++) {
		(void)io_set_nonblocking(started->fds[i], true);
	}
	if (channel->pty) {
		channel->out = take_fd(&started->fds[0]);
		channel->in = channel->out;
		/* The window may have changed since the terminal was asked for. */
		(void)ioctl(channel->out, TIOCSWINSZ, &channel->size);
	} else {
		channel->in = take_fd(&started->fds[0]);
		channel->out = take_fd(&started->fds[1]);
		channel->err = take_fd(&started->fds[2]);
	}
}

void net_channel_attach(struct net_channel *channel, struct wire *wire)
{
	channel->started = true;
	channel->conn->up = true;
	for (size_t i = 0; i < wire->fd_count; i++) {
		(void)io_set_nonblocking(wire->fds[i], true);
	}
	channel->in = take_fd(&wire->fds[0]);
	channel->out = take_fd(&wire->fds[1]);
}

void net_channel_refuse(struct net_channel *channel, const char *text, uint32_t status)
{
	channel->started = true;
	channel->pty = false;
	net_channel_notify(channel, text);
	net_channel_exit(channel, status, "", false);
}

void net_channel_notify(struct net_channel *channel, const char *text)
{
	size_t used = channel->notice ? strlen(channel->notice) : 0;
	size_t room = used + strlen(text) + sizeof("\r\n");
	char *grown = NULL;

	if (room > MAX_NOTICE) {
		return;
	}
	grown = realloc(channel->notice, room);
	if (grown) {
		(void)snprintf(grown + used, room - used, "%s\r\n", text);
		channel->notice = grown;
	}
}

void net_channel_exit(struct net_channel *channel, uint32_t status, const char *signal, bool core)
{
	channel->exited = true;
	channel->status = status;
	channel->core = core;
	(void)snprintf(channel->signal, sizeof(channel->signal), "%s", signal);
	channel->exit_at = io_now_usec();
}

static void send_exit(struct net_channel *channel)
{
	channel->sent_exit = true;
	if (channel->signal[0]) {
		(void)ssh_channel_request_send_exit_signal(
			channel->ssh, channel->signal, channel->core, "", "");
	} else {
		(void)ssh_channel_request_send_exit_status(channel->ssh, (int)channel->status);
	}
}

/*
 * The end, in the only order clients like: every byte, then the exit status, then EOF, then CLOSE.
 * libssh's ssh_channel_close() gives up half-way when EOF could not be sent at once, so EOF is sent
 * by itself first; both are in its queue when it says so, even where it says "again".
 */
/* Of a socket each way ends by itself, and the channel when both have. */
static void finish_forward(struct net_channel *channel)
{
	if (!channel->started || channel->out >= 0 || channel->kept || channel->sent_close) {
		return;
	}
	if (!channel->sent_eof) {
		channel->sent_eof = true;
		(void)ssh_channel_send_eof(channel->ssh);
	}
	if (channel->in < 0) {
		channel->sent_close = true;
		(void)ssh_channel_close(channel->ssh);
	}
}

static void finish(struct net_channel *channel, uint64_t now)
{
	bool silent = channel->out < 0 && channel->err < 0 && !channel->kept && !channel->notice;

	if (!channel->started || !silent || channel->sent_close) {
		return;
	}
	channel->silent_at = channel->silent_at ? channel->silent_at : now;
	if (channel->exited && !channel->sent_exit) {
		send_exit(channel);
	}
	if (!channel->sent_eof && (channel->exited || is_over(channel->silent_at, EOF_USEC, now))) {
		channel->sent_eof = true;
		(void)ssh_channel_send_eof(channel->ssh);
	}
	if (channel->exited) {
		net_relay_close_in(channel);
		channel->sent_close = true;
		(void)ssh_channel_close(channel->ssh);
	}
}

/* The client is gone from this channel: so is its session. */
static void abandon(struct net_channel *channel)
{
	net_relay_close(channel);
	if (!channel->sent_close) {
		channel->sent_eof = channel->sent_close = true;
		(void)ssh_channel_send_eof(channel->ssh);
		(void)ssh_channel_close(channel->ssh);
	}
}

static void tell_monitor(struct net_channel *channel, uint64_t now)
{
	if (channel->sent_close && !channel->told_close) {
		channel->told_close = true;
		net_tell(channel->conn, WIRE_CLOSE, channel->id, NULL);
	} else if (channel->active && !channel->told_close &&
		is_over(channel->told_active_at, ACTIVE_USEC, now)) {
		channel->active = false;
		channel->told_active_at = now;
		net_hint(channel->conn, WIRE_ACTIVE, channel->id);
	}
}

void net_channel_pump(
	struct net_channel *channel, const struct pollfd *fds, size_t count, uint64_t now)
{
	if (channel->opening) {
		net_forward_open(channel);
	}
	if (channel->opening) {
		return;
	}
	net_relay_pace(channel, now);
	net_relay_in(channel,
		net_relay_revents(fds, count, channel->in) & (POLLOUT | POLLHUP | POLLERR));
	net_relay_out(channel, fds, count);
	if (channel->exited && is_over(channel->exit_at, DRAIN_USEC, now) &&
		net_relay_can_send(channel)) {
		net_relay_close_out(channel);
		close_fdp(&channel->err);
	}
	if (channel->client_closed || channel->failed) {
		abandon(channel);
	}
	if (channel->forward) {
		finish_forward(channel);
	} else {
		finish(channel, now);
	}
	net_relay_pace(channel, now);
	net_watch_catch_up(channel);
	if (channel->sent_close) {
		net_watch_end(channel);
	}
	tell_monitor(channel, now);
}

static size_t add_pollfd(struct pollfd *fds, size_t count, int fd, short events)
{
	if (fd < 0 || !events) {
		return count;
	}
	fds[count] = (struct pollfd){.fd = fd, .events = events};
	return count + 1;
}

size_t net_channel_prepare(struct net_channel *channel, struct pollfd *fds)
{
	short in_events = channel->backlog || channel->unread > 0 ? POLLOUT : 0;
	short out_events = net_relay_can_send(channel) ? POLLIN : 0;
	size_t count = 0;

	if (channel->pty) {
		return add_pollfd(fds, 0, channel->out, (short)(in_events | out_events));
	}
	count = add_pollfd(fds, count, channel->in, in_events);
	count = add_pollfd(fds, count, channel->out, out_events);
	return add_pollfd(fds, count, channel->err, out_events);
}

static int milliseconds_left(uint64_t since, uint64_t wait, uint64_t now)
{
	return is_over(since, wait, now) ? 0 : (int)((since + wait - now) / 1000 + 1);
}

static int next_duty(const struct net_channel *channel, uint64_t now)
{
	if (channel->exited && net_relay_can_send(channel)) {
		return milliseconds_left(channel->exit_at, DRAIN_USEC, now);
	}
	if (channel->silent_at && !channel->sent_eof) {
		return milliseconds_left(channel->silent_at, EOF_USEC, now);
	}
	if (channel->active) {
		return milliseconds_left(channel->told_active_at, ACTIVE_USEC, now);
	}
	return -1;
}

int net_channel_timeout(const struct net_channel *channel, uint64_t now)
{
	int duty = next_duty(channel, now);
	const int others[] = {net_relay_pace_timeout(channel, now), net_watch_timeout(channel)};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		duty = duty < 0 || (others[i] >= 0 && others[i] < duty) ? others[i] : duty;
	}
	return channel->sent_close ? -1 : duty;
}
