/*
 * One loop over the socket to net, the events of the sandboxes, two signals and the clock.
 *
 * Trust: net has talked to the network, so every message is from the attacker. wire_receive() has
 * checked its form; wire_is_legal() says whether it may come now; here it is checked against what
 * the login may do. Each request gets one answer, in order, so a net process that asks without
 * reading fills its own socket and nothing of ours: our end never blocks, and when there is no room
 * for an answer the connection ends.
 *
 * Death: when net is gone, or breaks the rules, every sandbox gets a hang-up and HANG_UP_MS, then
 * is killed, and we exit. When we are gone, pid 1 of each sandbox and net see the end of their
 * sockets.
 */
#include "sshd/monitor.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/strv.h"
#include "session/ahead.h"
#include "sshd/monitor-state.h"

#define STOP_MS 1000
#define SETTLE_USEC (USEC / 2)
#define FAREWELL_USEC (USEC / 4)
#define FAREWELL_CHUNK (1U << 20) /* dropped at once */

static void (*const handlers[])(struct monitor *monitor, const struct wire *wire) = {
	[WIRE_HELLO] = monitor_on_hello,
	[WIRE_KEX] = monitor_on_kex,
	[WIRE_AUTH_NONE] = monitor_on_auth_none,
	[WIRE_AUTH_QUERY] = monitor_on_auth_query,
	[WIRE_AUTH_KEY] = monitor_on_auth_key,
	[WIRE_AUTH_PASSWORD] = monitor_on_auth_password,
	[WIRE_AUTH_ASK] = monitor_on_auth_ask,
	[WIRE_AUTH_ANSWER] = monitor_on_auth_answer,
	[WIRE_OPEN] = monitor_on_open,
	[WIRE_ENV] = monitor_on_env,
	[WIRE_PTY] = monitor_on_pty,
	[WIRE_SHELL] = monitor_on_shell,
	[WIRE_EXEC] = monitor_on_exec,
	[WIRE_SUBSYSTEM] = monitor_on_subsystem,
	[WIRE_SIGNAL] = monitor_on_signal,
	[WIRE_CLOSE] = monitor_on_close,
	[WIRE_ACTIVE] = monitor_on_active,
	[WIRE_BYE] = monitor_on_bye,
	[WIRE_AGENT] = monitor_on_agent,
	[WIRE_FORWARD] = monitor_on_forward,
	[WIRE_LISTEN] = monitor_on_forward,
};

/*
 * Holds net by pidfd, so that it can be killed whatever it does. The kernel says who sent the first
 * message; as net alone has the other end and that end is not closed, the pid is still its own.
 */
static void learn_net(struct monitor *monitor)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct ucred who = {0};
	int off = 0;

	ssize_t n = recvmsg(monitor->socket, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL; header;
		header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&who, CMSG_DATA(header), sizeof(who));
		}
	}
	(void)setsockopt(monitor->socket, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off));
	int pidfd = who.pid > 0 && who.pid != getpid() ? proc_pidfd(who.pid) : -1;
	struct pollfd hung = {.fd = monitor->socket};
	(void)poll(&hung, 1, 0);
	if (pidfd >= 0 && (hung.revents & POLLHUP)) {
		close_fdp(&pidfd);
	}
	monitor->net = pidfd;
}

static void on_socket(struct monitor *monitor)
{
	cleanup(wire_fini) struct wire wire = {0};
	struct err err = {0};

	if (monitor->state == WIRE_STATE_NEW && monitor->net < 0) {
		learn_net(monitor);
	}
	int r = wire_receive(monitor->socket, &wire, MSG_DONTWAIT, &err);
	if (r == -EAGAIN) {
		return;
	}
	if (r == -EPROTO) {
		monitor_break_rule(monitor, err.msg);
		return;
	}
	if (r <= 0) {
		/* It says goodbye before it ends; WIRE_STATE_ENDING is when it has, or we have. */
		monitor->crashed = monitor->crashed || monitor->state != WIRE_STATE_ENDING;
		monitor_drop(monitor, "client_gone");
		return;
	}
	if (!wire_is_legal(wire.type, monitor->state)) {
		/* What was on its way when we said END is nobody's fault. */
		if (monitor->state == WIRE_STATE_ENDING) {
			return;
		}
		monitor_break_rule(monitor, wire_type_name(wire.type));
		return;
	}
	handlers[wire.type](monitor, &wire);
}

/*
 * What a session has left in the background of a shared sandbox goes on without it, and without a session
 * nobody would see it any more: an operator who ends one ends the connection.
 */
static void look_at_roster(struct monitor *monitor)
{
	bool killed = false;

	for (size_t i = 0; i < monitor->session_count; i++) {
		struct session *session = monitor->sessions[i];
		session_look_at_roster(&monitor->context, session);
		killed = killed || (session->cause && strcmp(session->cause, "killed") == 0);
	}
	monitor_probe_look_at_roster(monitor);
	if (killed && policy_shares(monitor->context.login.profile)) {
		monitor->cut = "this connection was ended by the operator";
		monitor->draining = true;
		monitor_end_sessions(monitor, "killed");
	}
}

static void on_signals(struct monitor *monitor)
{
	struct signalfd_siginfo info;

	while (read(monitor->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGUSR2) {
			monitor_look_at_watchers(monitor);
			look_at_roster(monitor);
		}
		monitor->draining = monitor->draining || info.ssi_signo != SIGUSR2;
		if (info.ssi_signo != SIGTERM || monitor->stopping) {
			continue;
		}
		monitor->stopping = true;
		for (size_t i = 0; i < monitor->session_count; i++) {
			session_end(monitor->sessions[i], "server_stop", STOP_MS,
				"the server is stopping; this session ends");
		}
		monitor_probe_end(monitor, "server_stop", "the server is stopping");
	}
}

static void log_end(const struct monitor *monitor, const struct session *session,
	const struct session_news *news)
{
	char how[48];

	if (news->signal[0]) {
		(void)snprintf(how, sizeof(how), "signal %s", news->signal);
	} else {
		(void)snprintf(how, sizeof(how), "status %u", (unsigned)news->status);
	}
	log_info("session %u of %s ended: %s%s%s", session->channel, monitor->auth.name, how,
		session->cause ? ", " : "", session->cause ? session->cause : "");
}

static void tell_news(
	struct monitor *monitor, const struct session *session, const struct session_news *news)
{
	char text[sizeof(news->text) + 16];
	struct wire wire;

	if (news->text[0]) {
		(void)snprintf(text, sizeof(text), "cloche: %s", news->text);
		monitor_say(monitor, WIRE_NOTICE, session->channel, 0, text);
	}
	if (news->kind == SESSION_ENDED) {
		log_end(monitor, session, news);
		wire_init(&wire, WIRE_EXIT, session->channel);
		wire.number = news->status;
		wire.flags = news->core;
		wire.text = (char *)(uintptr_t)news->signal;
		monitor_send(monitor, &wire);
	}
}

static void step_sessions(struct monitor *monitor)
{
	uint64_t now = io_now_usec();

	for (size_t i = monitor->session_count; i-- > 0;) {
		struct session *session = monitor->sessions[i];
		struct session_news news = session_step(&monitor->context, session, now);
		while (news.kind != SESSION_NO_NEWS) {
			tell_news(monitor, session, &news);
			news = session_step(&monitor->context, session, now);
		}
		if (session->state == SESSION_OVER && session->closed && !session->sandbox) {
			monitor_forget(monitor, session);
		}
	}
}

/* Sockets of the sandbox that are to be net's. */
static void step_forwards(struct monitor *monitor)
{
	struct wire wire;

	while (monitor->socket >= 0 &&
		forwards_step(&monitor->forwards, &monitor->context, &wire) > 0) {
		bool failed = wire.type == WIRE_FAILED;
		monitor_send(monitor, &wire);
		wire_fini(&wire);
		if (failed) {
			monitor_note_refusal(monitor);
		}
	}
	for (size_t i = 0; i < monitor->session_count && monitor->socket >= 0; i++) {
		const struct session *session = monitor->sessions[i];
		while (session->agent >= 0 && monitor->socket >= 0 &&
			forwards_accept_agent(
				&monitor->forwards, session->agent, session->channel, &wire) == 0) {
			monitor_send(monitor, &wire);
			wire_fini(&wire);
		}
	}
}

static bool any_running(const struct monitor *monitor)
{
	for (size_t i = 0; i < monitor->session_count; i++) {
		if (monitor->sessions[i]->sandbox) {
			return true;
		}
	}
	return monitor->probe.pidfd >= 0;
}

/*
 * While the server stops, or once the connection is cut, a connection without sessions is ended; a moment later, because a client
 * that is cut off before it has closed its channel forgets the output and status it was sent.
 */
static void watch_stop(struct monitor *monitor, uint64_t now)
{
	bool over = monitor->stopping || monitor->cut ||
		(monitor->draining && monitor->session_count == 0);

	if (!over || monitor->state == WIRE_STATE_ENDING || any_running(monitor)) {
		monitor->settle_at = UINT64_MAX;
	} else if (monitor->settle_at == UINT64_MAX) {
		monitor->settle_at = now + (monitor->logged_in ? SETTLE_USEC : 0);
	}
	if (now >= monitor->settle_at) {
		monitor->settle_at = UINT64_MAX;
		monitor_end_connection(
			monitor, monitor->cut ? monitor->cut : "the server is stopping");
	}
}

/*
 * What making plans and starting sandboxes took goes back, so that an idle session stays small: free
 * heap, and the pages of the stack below this frame, which hold nothing any more.
 */
static void trim(void)
{
	enum { DEPTH = 512 * 1024, MARGIN = 16 * 1024 };
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - MARGIN) & ~(page - 1);

	(void)malloc_trim(0);
	/* Where the stack has not been that deep there is nothing mapped: -ENOMEM, and no harm. */
	(void)madvise((void *)(end - DEPTH), DEPTH, MADV_DONTNEED);
}

/*
 * Without a session nobody writes, and nothing is looked at. What a session has left in the background of a shared
 * sandbox writes on without it, so that there the connection ends.
 */
static void watch_home(struct monitor *monitor)
{
	bool ended = false;

	if (!any_running(monitor) && !monitor->shared.sandbox) {
		home_watch_fini(&monitor->home);
		return;
	}
	enum home_news news = home_watch_step(&monitor->home, io_now_usec());
	for (size_t i = 0; news != HOME_NOTHING && i < monitor->session_count; i++) {
		struct session *session = monitor->sessions[i];
		if (news == HOME_NEAR) {
			session_warn_of_home(&monitor->context, session);
		} else if (session_end_for_home(&monitor->context, session)) {
			ended = true;
		}
	}
	if (news == HOME_OVER && monitor->shared.sandbox && !monitor->shared.home_full) {
		monitor->cut = "your home directory is full: log in again to remove files";
		monitor->draining = true;
		ended = true;
	}
	if (ended) {
		log_info("sessions of %s end: the home directory is over its limit",
			monitor->auth.name);
	}
}

/* What the clock asks for, sessions apart. */
static void watch_clock(struct monitor *monitor)
{
	uint64_t now = io_now_usec();

	if (now >= monitor->trim_at) {
		session_forget(&monitor->context);
		trim();
		monitor->trim_at = UINT64_MAX;
	}
	watch_stop(monitor, now);
	if (now < monitor->deadline) {
		return;
	}
	monitor->deadline = UINT64_MAX;
	if (monitor->state != WIRE_STATE_ENDING) {
		monitor->too_slow = true;
		log_info("%s port %u did not log in within %llu seconds", monitor->address,
			monitor->port, (unsigned long long)monitor->config->login_grace);
		monitor_audit(monitor, "auth_refused",
			json_pack("{s:o, s:s}", "user",
				audit_text(monitor->auth.named ? monitor->auth.name : NULL),
				"reason", "login_grace"));
	}
	monitor_drop(monitor, "deadline");
}

static int next_timeout(const struct monitor *monitor)
{
	uint64_t now = io_now_usec();
	uint64_t next = monitor->deadline < monitor->trim_at ? monitor->deadline : monitor->trim_at;
	uint64_t home = home_watch_deadline(&monitor->home);

	next = monitor->settle_at < next ? monitor->settle_at : next;
	next = home < next ? home : next;
	if (monitor->probe.pidfd >= 0 && monitor->probe.end_at < next) {
		next = monitor->probe.end_at;
	}
	uint64_t shared = door_deadline(&monitor->shared.door, now);
	next = shared < next ? shared : next;
	for (size_t i = 0; i < monitor->session_count; i++) {
		uint64_t wanted = session_deadline(monitor->sessions[i]);
		next = wanted < next ? wanted : next;
		const struct session_door *door = session_door(monitor->sessions[i]);
		wanted = door ? door_deadline(door, now) : UINT64_MAX;
		next = wanted < next ? wanted : next;
	}
	if (next == UINT64_MAX) {
		return -1;
	}
	uint64_t left = next > now ? (next - now + 999) / 1000 : 0;
	return left > 3600000 ? 3600000 : (int)left;
}

/* At a session's door, its third descriptor, or the one of a shared sandbox; or a page is due. */
static bool is_asked_why(const struct monitor *monitor, const struct pollfd *fds)
{
	const uint64_t now = io_now_usec();
	bool asked = fds[4].revents || door_is_due(&monitor->shared.door, now);

	for (size_t i = 0; i < monitor->session_count; i++) {
		const struct session_door *door = session_door(monitor->sessions[i]);
		asked = asked || fds[FIXED_FDS + 3 * i + 2].revents ||
			(door && door_is_due(door, now));
	}
	return asked;
}

static void turn(struct monitor *monitor)
{
	struct pollfd first[FIXED_FDS];
	struct pollfd *fds = monitor->fds ? monitor->fds : first;
	nfds_t count = FIXED_FDS;
	uint64_t now = io_now_usec();

	fds[0] = (struct pollfd){.fd = monitor->socket, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = monitor->signals, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = monitor->probe.pidfd, .events = POLLIN};
	fds[3] = (struct pollfd){.fd = monitor->probe.report, .events = POLLIN};
	fds[4] = door_poll(&monitor->shared.door, now);
	for (size_t i = 0; i < monitor->session_count; i++) {
		fds[count++] = (struct pollfd){
			.fd = session_event_fd(monitor->sessions[i]), .events = POLLIN};
		fds[count++] = (struct pollfd){.fd = monitor->sessions[i]->agent, .events = POLLIN};
		const struct session_door *door = session_door(monitor->sessions[i]);
		fds[count++] = door ? door_poll(door, now) : (struct pollfd){.fd = -1};
	}
	if (monitor->fds) {
		count += forwards_prepare(&monitor->forwards, fds + count);
	}
	if (poll(fds, count, next_timeout(monitor)) < 0) {
		if (errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			monitor_drop(monitor, "trouble");
		}
		return;
	}
	/* Handling one may move fds. */
	bool told = fds[1].revents;
	bool asked = fds[0].revents;
	bool why = is_asked_why(monitor, fds);
	if (told) {
		on_signals(monitor);
	}
	if (asked && monitor->socket >= 0) {
		on_socket(monitor);
	}
	if (why) {
		monitor_answer_doors(monitor);
	}
	watch_home(monitor);
	step_sessions(monitor);
	monitor_probe_step(monitor, io_now_usec());
	step_forwards(monitor);
	watch_clock(monitor);
}

static int set_up(struct monitor *monitor)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	monitor->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (monitor->signals < 0) {
		return -errno;
	}
	/* Ours alone: net's end is another open file description. */
	return io_set_nonblocking(monitor->socket, true);
}

static void begin(struct monitor *monitor)
{
	monitor_format_peer(monitor->options->client, monitor->address, sizeof(monitor->address),
		&monitor->port);
	audit_begin(monitor->options->audit);
	monitor_audit(monitor, "connect",
		json_pack("{s:o, s:i}", "address", audit_text(monitor->address), "port",
			(int)monitor->port));
	auth_init(&monitor->auth, monitor->config, monitor->address);
	monitor->deadline = monitor->config->login_grace
		? io_now_usec() + monitor->config->login_grace * USEC
		: UINT64_MAX;
}

static enum monitor_exit find_exit(const struct monitor *monitor)
{
	/* The credential was good, and that is not enough. */
	static const char *const refusals[] = {"no_profile", "rule", NULL};
	const struct auth *auth = &monitor->auth;

	if (monitor->crashed) {
		return MONITOR_CRASH;
	}
	if (monitor->refused || monitor->trouble) {
		return monitor->refused ? MONITOR_REFUSED : MONITOR_TROUBLE;
	}
	if (monitor->logged_in) {
		return MONITOR_LOGGED_IN;
	}
	if (monitor->too_slow) {
		return MONITOR_GRACE_EXCEEDED;
	}
	if (auth->tries == 0) {
		return MONITOR_NO_AUTH;
	}
	if (!auth->user) {
		return MONITOR_INVALID_USER;
	}
	return strv_contains((char **)(uintptr_t)refusals, auth->reason ? auth->reason : "")
		? MONITOR_REFUSED
		: MONITOR_AUTH_FAILED;
}

/*
 * Net has said why the connection ends. TCP takes that back from a client that is still sending: what arrives at
 * a closed socket, or lies unread in it, is answered by a reset, at which the other side drops what it has not
 * read yet. So the client is given a moment to end its own side. The kernel throws away what it sends
 * (MSG_TRUNC of tcp(7)): no byte of it gets here.
 */
static void let_farewell_arrive(int client)
{
	uint64_t until = io_now_usec() + FAREWELL_USEC;
	uint64_t now = 0;
	ssize_t n = 1;

	if (shutdown(client, SHUT_WR) < 0) {
		return;
	}
	while (n != 0 && (now = io_now_usec()) < until) {
		struct pollfd more = {.fd = client, .events = POLLIN};
		(void)poll(&more, 1, (int)((until - now + 999) / 1000));
		n = recv(client, NULL, FAREWELL_CHUNK, MSG_TRUNC | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return;
		}
	}
}

int monitor_run(const struct monitor_options *options)
{
	struct monitor monitor = {
		.options = options,
		.config = options->config,
		.socket = options->socket,
		.signals = -1,
		.net = -1,
		.home = {.home = -1},
		.trim_at = UINT64_MAX,
		.settle_at = UINT64_MAX,
	};
	int r = set_up(&monitor);

	if (r < 0) {
		log_error("connection refused: %s", strerror(-r));
		return MONITOR_TROUBLE;
	}
	monitor_probe_init(&monitor.probe);
	begin(&monitor);
	while (monitor.socket >= 0 || any_running(&monitor)) {
		turn(&monitor);
	}
	while (monitor.session_count > 0) {
		monitor_forget(&monitor, monitor.sessions[0]);
	}
	home_watch_fini(&monitor.home);
	forwards_fini(&monitor.forwards);
	session_forget(&monitor.context);
	session_unshare(&monitor.context);
	monitor_audit(
		&monitor, "disconnect", json_pack("{s:b}", "logged_in", (int)monitor.logged_in));
	int code = find_exit(&monitor);
	if (!monitor.crashed) {
		let_farewell_arrive(options->client);
	}
	auth_fini(&monitor.auth);
	free(monitor.sessions);
	free(monitor.fds);
	close_fdp(&monitor.net);
	close_fdp(&monitor.signals);
	return code;
}
