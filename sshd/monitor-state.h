/*
 * The monitor's own: what its parts share. monitor.c has the loop, monitor-talk.c the words, monitor-watch.c
 * those who watch, and monitor-login.c and monitor-session.c answer what net asks.
 */
#pragma once

#include <netinet/in.h>

#include "sshd/auth.h"
#include "sshd/forward.h"
#include "sshd/monitor.h"
#include "sshd/monitor-probe.h"
#include "sshd/wire.h"

#define USEC UINT64_C(1000000)
#define HANG_UP_MS 500

#define FIXED_FDS 5 /* net, signals, two of a measurement, and a shared sandbox's door */

struct monitor {
	const struct monitor_options *options;
	const struct config *config;
	struct auth auth;
	struct session_context context;
	struct session_shared shared;
	struct home_watch home; /* the login's, where its size is limited */
	struct refusals why; /* what was refused, for the user */
	struct forwards forwards;
	struct monitor_probe probe;
	enum wire_state state;
	char address[INET6_ADDRSTRLEN];
	char version[128];
	char identity[512]; /* once somebody has logged in: who it was shown to be */
	uint16_t port;
	int socket; /* -1: net is gone */
	int signals;
	int net; /* pidfd, -1 before the first message */
	uint64_t deadline; /* of login, or of ENDING; UINT64_MAX: none */
	uint64_t trim_at; /* when unused memory is given back */
	uint64_t settle_at; /* when a connection without sessions is ended by a stopping server */
	bool draining, stopping, logged_in;
	const char *
		cut; /* a session was ended, and what it shared with others goes too: why, or NULL */
	bool crashed, too_slow, refused, trouble; /* how it ended, for the listener */
	unsigned started; /* sessions so far, up to 2 */
	bool limit_told; /* the audit log knows that max_sessions was hit */
	unsigned refusals; /* of sessions and forwardings: a level that sinks with time */
	uint64_t refusals_at;
	struct session **sessions; /* room for session_room of them */
	struct pollfd *fds; /* room for FIXED_FDS more */
	size_t session_count, session_room;
};

/* Connection events go to the audit log as well as they can; sessions wait for a log that works. */
void monitor_audit(struct monitor *monitor, const char *event, json_t *fields);

void monitor_end_sessions(struct monitor *monitor, const char *cause);

/* The end of talking to net. What it had open is closed, whatever state it is in. */
void monitor_drop(struct monitor *monitor, const char *cause);

/* One message to net; text is borrowed. */
void monitor_send(struct monitor *monitor, const struct wire *wire);
void monitor_say(struct monitor *monitor, enum wire_type type, uint32_t channel, uint32_t number,
	const char *text);
void monitor_answer(struct monitor *monitor, uint32_t channel, bool yes, const char *text);

/* The moment net has is given once: saying goodbye again must not keep the connection. */
void monitor_begin_ending(struct monitor *monitor);

/* Tells the client why, and gives net a moment to do it. */
void monitor_end_connection(struct monitor *monitor, const char *text);

/*
 * A session or a forwarding has come to nothing, which is a line of the audit log: who asks again and again
 * would fill the disk, and without the log nobody gets a session. So such a connection is ended.
 */
void monitor_note_refusal(struct monitor *monitor);

/* net has said what it may not. */
void monitor_break_rule(struct monitor *monitor, const char *what);

/* The certificate a login rests on, as the audit log has it; null when there is none. */
json_t *monitor_describe_certificate(const struct auth *auth);

/* Names of rules that have a part in what the login is. */
json_t *monitor_list_rules(const struct auth *auth);

/*
 * Asks the operator's command, where there is one, whether the login may come in, and makes it what the answer
 * says. False, with all said to the client and the audit log, when it may not.
 */
bool monitor_authorize(struct monitor *monitor);

/* monitor-why.c: those who ask `why` inside are told what was refused there. */
void monitor_answer_doors(struct monitor *monitor);

/* Those who want to watch, as the roster says. */
void monitor_look_at_watchers(struct monitor *monitor);

/* A session that is over: its place is free. */
void monitor_forget(struct monitor *monitor, struct session *session);

/* One for each message that net may send. */
void monitor_on_hello(struct monitor *monitor, const struct wire *wire);
void monitor_on_auth_none(struct monitor *monitor, const struct wire *wire);
void monitor_on_auth_query(struct monitor *monitor, const struct wire *wire);
void monitor_on_auth_key(struct monitor *monitor, const struct wire *wire);
void monitor_on_auth_password(struct monitor *monitor, const struct wire *wire);
void monitor_on_auth_ask(struct monitor *monitor, const struct wire *wire);
void monitor_on_auth_answer(struct monitor *monitor, const struct wire *wire);
void monitor_on_open(struct monitor *monitor, const struct wire *wire);
void monitor_on_env(struct monitor *monitor, const struct wire *wire);
void monitor_on_pty(struct monitor *monitor, const struct wire *wire);
void monitor_on_shell(struct monitor *monitor, const struct wire *wire);
void monitor_on_exec(struct monitor *monitor, const struct wire *wire);
void monitor_on_subsystem(struct monitor *monitor, const struct wire *wire);
void monitor_on_signal(struct monitor *monitor, const struct wire *wire);
void monitor_on_close(struct monitor *monitor, const struct wire *wire);
void monitor_on_active(struct monitor *monitor, const struct wire *wire);
void monitor_on_agent(struct monitor *monitor, const struct wire *wire);
void monitor_on_forward(struct monitor *monitor, const struct wire *wire);
void monitor_on_kex(struct monitor *monitor, const struct wire *wire);
void monitor_on_bye(struct monitor *monitor, const struct wire *wire);
