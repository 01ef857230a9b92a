/*
 * Why the bytes are moved in just this way (libssh 0.10; each was seen to go wrong otherwise):
 *
 * Reading from a channel tops the client's window up without counting what libssh still holds. So a
 * reader that takes a little at a time lets the client send without bound. Here libssh hands over
 * directly in the data callback as long as the sandbox takes everything; once it does not, libssh
 * keeps what comes (and then counts it), and when the sandbox can be written to again all of it is
 * taken in one read, as the backlog.
 *
 * Writing to a channel takes less than it was given while keys are exchanged; the rest is kept.
 * Writing puts everything the window allows into libssh's memory, whether or not the client reads;
 * so nothing is written while libssh still has unsent bytes.
 *
 * A packet carries 32768 - 10 bytes, and writing one byte more makes a second packet; so reads are
 * multiples of that.
 */
#include "sshd/net-relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sshd/net-watch.h"

#define PACKET_PAYLOAD 32758u
#define READ_SIZE (4 * PACKET_PAYLOAD)
#define LARGE_PIPE (1 << 20)
#define LARGE_FROM 32768 /* a transfer of this size makes the pipes large */

/*
 * The window the client gets while its bytes are taken as they come: enough for 100 MiB/s over
 * 20 ms. Until then, and when the sandbox is slow, it is libssh's 1.28 MB.
 */
#define WINDOW (2000u * 1000)
#define WINDOW_STEP (256u * 1024)
#define WINDOW_SLACK (512u * 1024) /* packets in flight when libssh grants anew */

/* Bytes of the client that wait here, for the connection's sum. */
static void set_unread(struct net_channel *channel, size_t unread)
{
	channel->conn->held += unread;
	channel->conn->held -= channel->unread;
	channel->unread = unread;
}

static void drop_backlog(struct net_channel *channel)
{
	channel->conn->held -= channel->backlog_size;
	free(channel->backlog);
	channel->backlog = NULL;
	channel->backlog_size = channel->backlog_at = 0;
}

void net_relay_close_in(struct net_channel *channel)
{
	if (channel->forward && channel->in >= 0) {
		(void)shutdown(channel->in, SHUT_WR);
	}
	if (channel->in != channel->out) {
		io_close_hostile(&channel->in, channel->in >= 0);
	}
	channel->in = -1;
	drop_backlog(channel);
}

void net_relay_close_out(struct net_channel *channel)
{
	if (channel->pty) {
		net_relay_close_in(channel);
	}
	io_close_hostile(&channel->out, channel->out >= 0);
}

/* More room in the pipes for a session that moves much; refused by the kernel, it stays small. */
static void enlarge_pipes(struct net_channel *channel)
{
	if (channel->large_pipes || channel->pty || channel->forward) {
		return;
	}
	channel->large_pipes = true;
	if (channel->in >= 0) {
		(void)fcntl(channel->in, F_SETPIPE_SZ, LARGE_PIPE);
	}
	if (channel->out >= 0) {
		(void)fcntl(channel->out, F_SETPIPE_SZ, LARGE_PIPE);
	}
}

/*
 * Writes to the session. Returns how much it took; 0 when it takes nothing now; -1 when it never
 * will again, and then in is closed.
 */
static ssize_t write_in(struct net_channel *channel, const void *data, size_t size)
{
	ssize_t n = write(channel->in, data, size);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return 0;
	}
	if (n < 0) {
		net_relay_close_in(channel);
		return -1;
	}
	channel->active = true;
	channel->taken += (size_t)n;
	return n;
}

/*
 * Called with all that libssh holds for this channel. Returns how much of it is done with; the rest
 * libssh keeps, and counts against the window.
 */
int net_relay_data(ssh_session session, ssh_channel ssh, void *data, uint32_t size, int is_stderr,
	void *userdata)
{
	struct net_channel *channel = userdata;
	ssize_t n = 0;

	if (is_stderr || (channel->started && channel->in < 0) || channel->sent_close) {
		return (int)size; /* nobody wants it */
	}
	if (channel->started && !channel->backlog) {
		if (size >= LARGE_FROM) {
			enlarge_pipes(channel);
		}
		n = write_in(channel, data, size);
		n = n < 0 ? (ssize_t)size : n;
	}
	set_unread(channel, size - (size_t)n);
	/* libssh takes what comes, window or not. */
	if (channel->unread > WINDOW + WINDOW_SLACK) {
		net_conn_end(channel->conn, "window overrun");
	}
	return (int)n;
}

/* Takes all that libssh holds as the backlog; nothing less, see above. */
static void take_unread(struct net_channel *channel)
{
	int n = ssh_channel_poll(channel->ssh, 0);

	set_unread(channel, 0);
	if (n <= 0) {
		return;
	}
	channel->backlog = malloc((size_t)n);
	if (!channel->backlog) {
		net_conn_end(channel->conn, "memory");
		return;
	}
	n = ssh_channel_read_timeout(channel->ssh, channel->backlog, (uint32_t)n, 0, 0);
	channel->backlog_size = n > 0 ? (size_t)n : 0;
	channel->conn->held += channel->backlog_size;
	if (n <= 0) {
		drop_backlog(channel);
	}
}

/*
 * Widens the client's window. The one way to say so is to read more than there is; where something
 * came just then, it is the backlog.
 */
static void top_up(struct net_channel *channel)
{
	uint8_t *data = malloc(WINDOW);
	int n = 0;

	channel->taken = 0;
	if (!data) {
		return;
	}
	n = ssh_channel_read_timeout(channel->ssh, data, WINDOW, 0, 0);
	if (n <= 0) {
		free(data);
		return;
	}
	uint8_t *shrunk = realloc(data, (size_t)n);
	channel->backlog = shrunk ? shrunk : data;
	channel->backlog_size = (size_t)n;
	channel->conn->held += (size_t)n;
	set_unread(channel, 0);
}

static void write_backlog(struct net_channel *channel)
{
	ssize_t n = write_in(channel, channel->backlog + channel->backlog_at,
		channel->backlog_size - channel->backlog_at);

	if (n <= 0) {
		return;
	}
	channel->backlog_at += (size_t)n;
	if (channel->backlog_at == channel->backlog_size) {
		drop_backlog(channel);
	}
}

/* Client to session. Ends by closing the session's stdin when all was delivered. */
void net_relay_in(struct net_channel *channel, bool writable)
{
	if (channel->in >= 0 && writable && !channel->backlog && channel->unread > 0) {
		take_unread(channel);
	}
	if (channel->in >= 0 && writable && channel->backlog) {
		write_backlog(channel);
	}
	/* Only while the sandbox keeps up, so that a slow one never holds more than it must. */
	if (channel->in >= 0 && !channel->backlog && channel->unread == 0 &&
		channel->taken >= WINDOW_STEP && !channel->client_eof) {
		top_up(channel);
	}
	/* A terminal has no end of its input: its user types one. */
	if (channel->client_eof && channel->in >= 0 && !channel->pty && !channel->backlog &&
		channel->unread == 0) {
		net_relay_close_in(channel);
	}
}

static bool client_listens(const struct net_channel *channel)
{
	return !channel->client_closed && !channel->sent_close && !channel->sent_eof;
}

/*
 * A terminal whose user types Ctrl-C should stop then and there. What is on its way cannot be called
 * back, and a client's window is megabytes, which take seconds where the screen is slow. So of a
 * terminal no more is sent than AHEAD beyond what the client has taken, which its window tells. Some
 * clients widen theirs in large steps only: after each PATIENCE without a step they are trusted with
 * twice as much, for good. A window of HUGE bytes tells nothing.
 */
#define AHEAD (64u << 10)
#define HUGE (16u << 20)
#define FIRST_PATIENCE 100000 /* microseconds, until the window has been widened once */
#define PATIENCE 1000000

static uint64_t patience_of(const struct net_channel *channel)
{
	return channel->credited ? PATIENCE : FIRST_PATIENCE;
}

void net_relay_pace(struct net_channel *channel, uint64_t now)
{
	size_t window = 0;

	if (!channel->pty || !client_listens(channel)) {
		channel->ahead_at = 0;
		return;
	}
	window = ssh_channel_window_size(channel->ssh);
	if (!channel->full_window) {
		channel->ahead_limit = AHEAD;
	} else if (window > channel->last_window) {
		channel->credited = true;
		channel->ahead_at = 0;
	}
	if (channel->ahead_at && now >= channel->ahead_at + patience_of(channel)) {
		channel->ahead_limit *= 2;
		channel->ahead_at = 0;
	}
	channel->last_window = window;
	channel->full_window = window > channel->full_window ? window : channel->full_window;
	if (channel->full_window >= HUGE || channel->full_window - window < channel->ahead_limit) {
		channel->ahead_at = 0;
	} else if (!channel->ahead_at) {
		channel->ahead_at = now;
	}
}

int net_relay_pace_timeout(const struct net_channel *channel, uint64_t now)
{
	uint64_t until = channel->ahead_at + patience_of(channel);

	if (!channel->ahead_at) {
		return -1;
	}
	return until > now ? (int)((until - now) / 1000 + 1) : 0;
}

/* Can libssh be given bytes for this channel now? */
bool net_relay_can_send(const struct net_channel *channel)
{
	return client_listens(channel) && !channel->kept && !channel->ahead_at &&
		!(ssh_get_status(channel->conn->session) & SSH_WRITE_PENDING) &&
		ssh_channel_window_size(channel->ssh) > 0;
}

static void keep(struct net_channel *channel, const uint8_t *data, size_t size, bool is_stderr)
{
	channel->kept = malloc(size);
	if (!channel->kept) {
		net_conn_end(channel->conn, "memory");
		return;
	}
	memcpy(channel->kept, data, size);
	channel->kept_size = size;
	channel->kept_at = 0;
	channel->kept_is_stderr = is_stderr;
}

/* Gives bytes to libssh. Returns how many it took; -1 when the client will not have them. */
static int send_bytes(struct net_channel *channel, const void *data, size_t size, bool is_stderr)
{
	return is_stderr ? ssh_channel_write_stderr(channel->ssh, data, (uint32_t)size)
			 : ssh_channel_write(channel->ssh, data, (uint32_t)size);
}

static void drop_kept(struct net_channel *channel)
{
	free(channel->kept);
	channel->kept = NULL;
}

static void send_kept(struct net_channel *channel)
{
	int n = send_bytes(channel, channel->kept + channel->kept_at,
		channel->kept_size - channel->kept_at, channel->kept_is_stderr);

	channel->kept_at += n > 0 ? (size_t)n : 0;
	if (n < 0 || channel->kept_at == channel->kept_size) {
		drop_kept(channel);
	}
}

static void send_notice(struct net_channel *channel)
{
	char *text = take_ptr(&channel->notice);
	int n = send_bytes(channel, text, strlen(text), !channel->pty);

	net_watch_copy(channel, text, n >= 0 ? strlen(text) : 0);
	if (n >= 0 && (size_t)n < strlen(text)) {
		keep(channel, (uint8_t *)text + n, strlen(text) - (size_t)n, !channel->pty);
	}
	free(text);
}

/* How much to read so that libssh can take it all, in whole packets. */
static size_t read_room(const struct net_channel *channel)
{
	size_t window = ssh_channel_window_size(channel->ssh);

	if (window >= READ_SIZE) {
		return READ_SIZE;
	}
	return window > PACKET_PAYLOAD ? window - window % PACKET_PAYLOAD : window;
}

/* One read from the session, sent on. Returns false at its end. */
static bool move_out(struct net_channel *channel, int fd, bool is_stderr)
{
	/* Static: only what is used of it becomes memory, and one read is done with before the next. */
	static uint8_t data[READ_SIZE];
	size_t room = read_room(channel);
	/* A session that sends its agent a lingering socket would stop us with it, and outlive its client. */
	ssize_t n = channel->forward ? io_read_hostile(fd, data, room) : read(fd, data, room);
	int sent = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return true;
	}
	if (n <= 0) {
		return false; /* a terminal ends with EIO */
	}
	if (n >= LARGE_FROM) {
		enlarge_pipes(channel);
	}
	channel->exit_at = channel->exited ? io_now_usec() : channel->exit_at;
	sent = send_bytes(channel, data, (size_t)n, is_stderr);
	net_watch_copy(channel, data, sent >= 0 ? (size_t)n : 0);
	if (sent >= 0 && sent < n) {
		keep(channel, data + sent, (size_t)(n - sent), is_stderr);
	}
	return true;
}

short net_relay_revents(const struct pollfd *fds, size_t count, int fd)
{
	for (size_t i = 0; fd >= 0 && i < count; i++) {
		if (fds[i].fd == fd) {
			return fds[i].revents;
		}
	}
	return 0;
}

/* Session to client. */
void net_relay_out(struct net_channel *channel, const struct pollfd *fds, size_t count)
{
	const short readable = POLLIN | POLLHUP | POLLERR;

	if (channel->kept && client_listens(channel)) {
		send_kept(channel);
	}
	/* While it runs, what we say comes first: a greeting before the shell's first word. */
	if (channel->notice && !channel->exited && net_relay_can_send(channel)) {
		send_notice(channel);
	}
	if ((net_relay_revents(fds, count, channel->out) & readable) &&
		net_relay_can_send(channel) && !move_out(channel, channel->out, false)) {
		net_relay_close_out(channel);
	}
	if ((net_relay_revents(fds, count, channel->err) & readable) &&
		net_relay_can_send(channel) && !move_out(channel, channel->err, true)) {
		close_fdp(&channel->err);
	}
	if (channel->notice && net_relay_can_send(channel)) {
		send_notice(channel);
	}
}

void net_relay_close(struct net_channel *channel)
{
	net_relay_close_in(channel);
	net_relay_close_out(channel);
	close_fdp(&channel->err);
	drop_kept(channel);
	set_unread(channel, 0);
}
