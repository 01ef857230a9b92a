/*
 * The privileged half of one connection: decides who it is, what it gets, and when it ends. It
 * never reads a byte of SSH, only the messages of sshd/wire.h from the net process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "backends/backend.h"
#include "session/audit.h"
#include "session/config.h"
#include "session/limits.h"
#include "session/session.h"

enum monitor_exit {
	MONITOR_LOGGED_IN = 0,
	MONITOR_NO_AUTH = 1, /* the client went away without trying to log in */
	MONITOR_TROUBLE = 2, /* ours */
	MONITOR_GRACE_EXCEEDED = 3,
	MONITOR_CRASH = 4, /* net ended without a word, or broke the rules; even after a login */
	MONITOR_AUTH_FAILED = 5,
	MONITOR_REFUSED = 6, /* whoever it is, the configuration has nothing for them */
	MONITOR_INVALID_USER = 7,
};

/* What a monitor answers, with a socket where code is 0 (watch.h), to whom asked by the roster to watch. */
struct monitor_join {
	uint32_t token; /* the roster's */
	int32_t code; /* 0 or negative errno */
	char id[32]; /* of the session */
	char text[160]; /* why not */
};

/* All borrowed, and unchanged while the monitor runs. */
struct monitor_options {
	const struct config *config;
	const struct host *host;
	const struct backend *const *backends;
	const struct session_gate *gates; /* by the profile's place in config->profiles */
	struct audit *audit;
	struct limits *limits;
	size_t slot;
	struct roster *roster; /* of sessions; NULL: not kept */
	const struct penalties *penalties; /* of users; read only */
	int socket; /* our end of the pair with net */
	int join; /* where struct monitor_join goes; with a roster */
	int client; /* the TCP connection: to ask who it is, and to cut it; nothing of it gets into memory */
};

/*
 * Serves one connection to its end; then no sandbox of it is left. SIGTERM ends all sessions with a
 * word to their users, SIGUSR1 says that the server is draining: no new sessions, SIGUSR2 that the
 * roster has one of ours that is to end. All must be blocked by the caller. Returns an exit code, by which the listener learns how it went.
 */
int monitor_run(const struct monitor_options *options);

/*
 * The sockets of a connection: the monitor's end, which learns who writes to it, and net's. 0 or
 * negative errno.
 */
int monitor_make_pair(int *ret_monitor, int *ret_net);

/* The numeric address in text (size >= 46) and port of a peer; "unknown" when it has none. */
void monitor_format_peer(int client, char *text, size_t size, uint16_t *ret_port);
