/*
 * Somebody wants to watch a session. Root and the server's own user may watch any; another uid
 * only those of the login name that is its own on this host. It is written down before it begins,
 * and the session is told.
 *
 * What is printed goes from the sandbox to net and not by here, so net is given the one end of a
 * pair, and who watches the other.
 */
#include "sshd/monitor-state.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"

#define PASSWD_ROOM 16384

static bool is_own(const struct monitor *monitor, uid_t uid)
{
	cleanup_free char *room = malloc(PASSWD_ROOM);
	struct passwd entry;
	struct passwd *found = NULL;

	if (uid == 0 || uid == geteuid()) {
		return true;
	}
	return room &&
		getpwnam_r(monitor->context.login.name, &entry, room, PASSWD_ROOM, &found) == 0 &&
		found && found->pw_uid == uid;
}

/* Without a line in the audit log nobody watches. */
static int write_down(
	struct monitor *monitor, const struct session *session, uid_t uid, struct err *err)
{
	return audit_event(monitor->options->audit, "join",
		json_pack("{s:i, s:o, s:I, s:b}", "channel", (int)session->channel, "user",
			audit_text(monitor->context.login.name), "uid", (json_int_t)uid, "told",
			(int)monitor->config->join_notice),
		err);
}

static void tell_session(struct monitor *monitor, const struct session *session, uid_t uid)
{
	char text[80];

	if (!monitor->config->join_notice) {
		return;
	}
	if (uid == 0) {
		(void)snprintf(text, sizeof(text), "cloche: root watches this session from now on");
	} else {
		(void)snprintf(text, sizeof(text),
			"cloche: uid %u of the server's host watches this session from now on",
			(unsigned)uid);
	}
	monitor_say(monitor, WIRE_NOTICE, session->channel, 0, text);
}

static int make_ends(int *ret_net, int *ret_watcher, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(err, errno, "a socket to watch by");
	}
	*ret_net = pair[0];
	*ret_watcher = pair[1];
	/* Nothing goes the other way. */
	if (io_set_nonblocking(pair[0], true) < 0 || shutdown(pair[1], SHUT_WR) < 0) {
		return err_set(err, errno, "a socket to watch by");
	}
	return 0;
}

/* The watcher's end in *ret, or why not. */
static int join(struct monitor *monitor, const struct session *session, uid_t uid, int *ret,
	struct err *err)
{
	cleanup_close int watcher = -1;
	struct wire wire;

	if (!is_own(monitor, uid)) {
		return err_refuse(err, EPERM, "that is somebody else's session");
	}
	if (session->state != SESSION_RUNNING || monitor->state != WIRE_STATE_OPEN ||
		monitor->socket < 0) {
		return err_refuse(err, ENOENT, "that session is ending");
	}
	wire_init(&wire, WIRE_WATCH, session->channel);
	int r = make_ends(&wire.fds[0], &watcher, err);
	wire.fd_count = wire.fds[0] >= 0;
	r = r < 0 ? r : write_down(monitor, session, uid, err);
	if (r == 0) {
		monitor_send(monitor, &wire);
		tell_session(monitor, session, uid);
		*ret = take_fd(&watcher);
	}
	wire_fini(&wire);
	return r;
}

static void answer(const struct monitor *monitor, uint32_t channel, uint32_t token, int code,
	const struct err *err, int socket)
{
	struct monitor_join message = {.token = token, .code = code};

	(void)snprintf(
		message.id, sizeof(message.id), "%s.%u", monitor->options->audit->conn, channel);
	(void)snprintf(message.text, sizeof(message.text), "%.*s", (int)sizeof(message.text) - 1,
		code < 0 ? err->msg : "");
	int r = io_send(
		monitor->options->join, &message, sizeof(message), &socket, socket >= 0 ? 1 : 0);
	if (r < 0) {
		log_warning("who wants to watch a session cannot be answered: %s", strerror(-r));
	}
}

/* It is in the list, too. Without an answer its place would be kept from whoever asks next. */
static void look_at_probe(const struct monitor *monitor)
{
	const struct monitor_probe *probe = &monitor->probe;
	struct err err = {0};
	uint32_t token = 0;
	uint32_t uid = 0;

	if (probe->pidfd >= 0 && probe->place >= 0 &&
		roster_take_watch(monitor->options->roster, (size_t)probe->place, &token, &uid)) {
		int r = err_refuse(&err, ENOTSUP, "that is a measurement: it prints nothing yet");
		answer(monitor, probe->channel, token, r, &err, -1);
	}
}

void monitor_look_at_watchers(struct monitor *monitor)
{
	look_at_probe(monitor);
	for (size_t i = 0; i < monitor->session_count; i++) {
		const struct session *session = monitor->sessions[i];
		cleanup_close int watcher = -1;
		struct err err = {0};
		uint32_t token = 0;
		uint32_t uid = 0;

		if (session->place < 0 ||
			!roster_take_watch(
				monitor->options->roster, (size_t)session->place, &token, &uid)) {
			continue;
		}
		int r = join(monitor, session, uid, &watcher, &err);
		answer(monitor, session->channel, token, r, &err, watcher);
	}
}
