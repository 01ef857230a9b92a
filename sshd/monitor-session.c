/*
 * What net asks for somebody who has logged in: channels, and what is to happen in them. Each request is
 * checked against what the login may do, and gets one answer.
 */
#include "sshd/monitor-state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "session/ahead.h"
#include "sshd/motd.h"

static struct session *find_session(const struct monitor *monitor, uint32_t channel)
{
	for (size_t i = 0; i < monitor->session_count; i++) {
		if (monitor->sessions[i]->channel == channel) {
			return monitor->sessions[i];
		}
	}
	return NULL;
}

/* The session a request is about, still without a command; else the rules are broken. */
static struct session *find_open(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_session(monitor, wire->channel);

	if (!session || session->state != SESSION_OPEN) {
		monitor_break_rule(monitor, wire_type_name(wire->type));
		return NULL;
	}
	return session;
}

/* For one session more. */
static int make_room(struct monitor *monitor)
{
	size_t room = monitor->session_room * 2 + 4;

	if (monitor->session_count < monitor->session_room) {
		return 0;
	}
	/* Three for each session: it, its agent, and its door. */
	struct session **sessions = reallocarray(monitor->sessions, room, sizeof(struct session *));
	if (!sessions) {
		return -ENOMEM;
	}
	monitor->sessions = sessions;
	struct pollfd *fds = reallocarray(
		monitor->fds, 3 * room + FORWARD_MAX + FIXED_FDS, sizeof(struct pollfd));
	if (!fds) {
		return -ENOMEM;
	}
	monitor->fds = fds;
	monitor->session_room = room;
	return 0;
}

/* Numbers are net's to choose, each once: a measurement has its own until it has ended, as the roster has. */
static bool is_taken(const struct monitor *monitor, uint32_t channel)
{
	const struct monitor_probe *probe = &monitor->probe;

	return (probe->pidfd >= 0 && probe->channel == channel) || channel >= WIRE_FIRST_INCOMING ||
		find_session(monitor, channel) || forwards_have(&monitor->forwards, channel);
}

void monitor_on_open(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = NULL;

	if (is_taken(monitor, wire->channel)) {
		monitor_break_rule(monitor, "channel opened twice");
		return;
	}
	if (monitor->draining) {
		monitor_answer(monitor, wire->channel, false, "the server is stopping");
		return;
	}
	if (monitor->session_count >= monitor->config->max_sessions) {
		/* Once, until one fits again: net could ask for ever, and fill the disk. */
		if (!monitor->limit_told) {
			monitor_audit(monitor, "limit_hit",
				json_pack("{s:i, s:s}", "channel", (int)wire->channel, "limit",
					"max_sessions"));
		}
		monitor->limit_told = true;
		limits_note(
			monitor->options->limits, monitor->options->slot, PENALTY_SESSION_FLOOD);
		monitor_answer(
			monitor, wire->channel, false, "too many sessions on this connection");
		/* A place that is given back and taken again between two of these has both in the log. */
		monitor_note_refusal(monitor);
		return;
	}
	if (make_room(monitor) < 0 || session_new(wire->channel, &session) < 0) {
		monitor_answer(monitor, wire->channel, false, "out of memory");
		return;
	}
	monitor->sessions[monitor->session_count++] = session;
	monitor->limit_told = false;
	monitor_answer(monitor, wire->channel, true, "");
}

void monitor_on_env(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_open(monitor, wire);

	if (!session) {
		return;
	}
	/* Of an empty value there is no data. */
	const char *data = wire->data ? (const char *)wire->data : "";
	cleanup_free char *value = strndup(data, wire->data_size);
	bool whole = value && strlen(value) == wire->data_size;
	int r = whole ? session_set_env(&monitor->context, session, wire->text, value) : -EINVAL;
	monitor_answer(monitor, wire->channel, r == 0, r == 0 ? "" : "not accepted");
}

void monitor_on_pty(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_open(monitor, wire);

	if (session) {
		int r = session_set_pty(&monitor->context, session, wire->text, &wire->size);
		monitor_answer(
			monitor, wire->channel, r == 0, r == 0 ? "" : "no terminal for this key");
	}
}

/* Without measuring, people who look at their screen are told so; programs are left alone. */
static void say_unmeasured(struct monitor *monitor, const struct session *session)
{
	if (!monitor->context.gate->measured && session->pty) {
		monitor_say(monitor, WIRE_NOTICE, session->channel, 0,
			"cloche: this server runs with --no-proof; what its sandbox promises was "
			"not "
			"measured");
	}
}

/*
 * Said before STARTED, so that net has it before it reads the shell's first word. A forced command is
 * no shell.
 */
static void greet(struct monitor *monitor, struct session *session, enum policy_kind kind)
{
	const struct policy_login *login = &monitor->context.login;
	bool why = session_door(session) || monitor->shared.door.open;
	cleanup_free char *text = NULL;

	if (kind != POLICY_SHELL || !session->pty || (login->key && login->key->command)) {
		return;
	}
	if (motd_make(login->profile, monitor->context.gate, why, &text) < 0) {
		log_warning("no memory for a greeting");
	} else if (text) {
		monitor_say(monitor, WIRE_NOTICE, session->channel, 0, text);
	}
}

static void start(struct monitor *monitor, const struct wire *wire, enum policy_kind kind,
	const char *command)
{
	struct session *session = find_open(monitor, wire);
	struct wire reply;
	struct err err = {0};
	char text[sizeof(err.msg) + 16];

	if (!session) {
		return;
	}
	wire_init(&reply, WIRE_STARTED, wire->channel);
	int r = monitor->draining ? err_refuse(&err, EAGAIN, "the server is stopping")
				  : session_start(&monitor->context, session, kind, command,
					    reply.fds, &reply.fd_count, &err);
	if (r < 0) {
		log_warning("session of %s refused: %s", monitor->auth.name, err.msg);
		(void)snprintf(text, sizeof(text), "cloche: %s", err.msg);
		monitor_answer(monitor, wire->channel, false, text);
		monitor_note_refusal(monitor);
		return;
	}
	reply.number = session->pty;
	log_info("session %u of %s started: %s, pid %d", session->channel, monitor->auth.name,
		policy_kind_name(kind), (int)session->sandbox->pid);
	greet(monitor, session, kind);
	monitor_send(monitor, &reply);
	wire_fini(&reply);
	say_unmeasured(monitor, session);
	monitor->trim_at = io_now_usec() + USEC;
	/* Behind the answer, while the command runs: who has asked twice will ask again. Until trimmed. */
	monitor->started += monitor->started < 2;
	if (monitor->started > 1) {
		session_prepare(&monitor->context);
	}
}

void monitor_on_shell(struct monitor *monitor, const struct wire *wire)
{
	start(monitor, wire, POLICY_SHELL, NULL);
}

void monitor_on_exec(struct monitor *monitor, const struct wire *wire)
{
	start(monitor, wire, POLICY_EXEC, wire->text);
}

/*
 * The answer to "why", in words that are in a pipe before net has it; a pipe holds more than there can
 * be. Nothing is started: it tells a user what this connection's own requests came to.
 */
static void answer_why(struct monitor *monitor, const struct session *session)
{
	cleanup_free char *text = NULL;
	cleanup_close int in = -1, out = -1, err = -1;
	struct wire reply;
	size_t size = 0;
	int pairs[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
	FILE *memory = open_memstream(&text, &size);

	wire_init(&reply, WIRE_STARTED, session->channel);
	for (size_t i = 0; i < 3 && pipe2(pairs[i], O_CLOEXEC | O_NONBLOCK) == 0; i++) {
		reply.fds[reply.fd_count++] = pairs[i][i == 0 ? 1 : 0];
	}
	in = pairs[0][0];
	out = pairs[1][1];
	err = pairs[2][1];
	if (memory) {
		refusals_print(&monitor->why, REFUSALS_ALL, monitor->context.login.profile, memory);
	}
	if (memory && fclose(memory) == 0 && reply.fd_count == 3 &&
		write(out, text, size) == (ssize_t)size) {
		monitor_send(monitor, &reply);
		monitor_say(monitor, WIRE_EXIT, session->channel, 0, "");
	} else {
		monitor_answer(monitor, session->channel, false, "cloche: out of memory");
	}
	wire_fini(&reply);
}

/* Two subsystems are ours to answer. A forced command stands in the place of every other. */
void monitor_on_subsystem(struct monitor *monitor, const struct wire *wire)
{
	const struct key_options *key = monitor->context.login.key;
	bool why = strcmp(wire->text, "cloche-why") == 0;
	struct session *session = NULL;

	if ((!why && !monitor_probe_is_name(wire->text)) || (key && key->command)) {
		start(monitor, wire, POLICY_SUBSYSTEM, wire->text);
		return;
	}
	session = find_open(monitor, wire);
	if (session && why) {
		session->state = SESSION_OVER;
		answer_why(monitor, session);
	} else if (session) {
		monitor_probe_start(monitor, session, wire->text);
	}
}

void monitor_on_signal(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_session(monitor, wire->channel);

	if (session && session_signal(session, wire->text) < 0) {
		log_debug("unknown signal from the client");
	}
}

void monitor_forget(struct monitor *monitor, struct session *session)
{
	for (size_t i = 0; i < monitor->session_count; i++) {
		if (monitor->sessions[i] == session) {
			monitor->sessions[i] = monitor->sessions[--monitor->session_count];
			break;
		}
	}
	session_free(&monitor->context, session);
}

void monitor_on_close(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_session(monitor, wire->channel);

	monitor_probe_close(monitor, wire->channel);
	if (forwards_close(&monitor->forwards, &monitor->context, wire->channel)) {
		return;
	}
	/* Closing what is closed is no crime: our EXIT and its CLOSE may cross. */
	if (!session) {
		return;
	}
	session->closed = true;
	session_end(session, "client_closed", HANG_UP_MS, NULL);
	if (!session->sandbox) {
		monitor_forget(monitor, session);
	}
}

void monitor_on_active(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_session(monitor, wire->channel);

	if (session) {
		session_touch(&monitor->context, session);
	}
}

void monitor_on_agent(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_open(monitor, wire);

	if (session) {
		int r = session_set_agent(&monitor->context, session);
		monitor_answer(monitor, wire->channel, r == 0, r == 0 ? "" : "not offered");
	}
}

void monitor_on_forward(struct monitor *monitor, const struct wire *wire)
{
	struct err err = {0};
	int r = 0;

	if (is_taken(monitor, wire->channel)) {
		monitor_break_rule(monitor, "channel opened twice");
		return;
	}
	if (monitor->draining) {
		r = err_refuse(&err, EAGAIN, "the server is stopping");
	} else if (make_room(monitor) < 0) {
		r = err_set(&err, ENOMEM, "forwarding");
	} else {
		r = forwards_ask(&monitor->forwards, &monitor->context, wire, &err);
	}
	if (r < 0) {
		log_info("forwarding of %s to %s port %u refused: %s", monitor->auth.name,
			wire->text, wire->number, err.msg);
	}
	monitor_answer(monitor, wire->channel, r == 0, r == 0 ? "" : err.msg);
	if (r < 0) {
		monitor_note_refusal(monitor);
	}
}

void monitor_on_kex(struct monitor *monitor, const struct wire *wire)
{
	log_debug("%s port %u: %s", monitor->address, monitor->port, wire->text);
}

void monitor_on_bye(struct monitor *monitor, const struct wire *wire)
{
	const bool mismatch =
		strncmp(wire->text, WIRE_BYE_MISMATCH, strlen(WIRE_BYE_MISMATCH)) == 0;

	log_line(mismatch ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "%s port %u leaves: %s",
		monitor->address, monitor->port, wire->text);
	/* It is about to exit; what it still has to write is let out. */
	monitor_end_sessions(monitor, "client_gone");
	monitor_begin_ending(monitor);
}
