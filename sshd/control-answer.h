/*
 * One client of the control socket, served in a process of its own: the listener neither waits for it
 * nor reads what it says. Lists are made from what the process has inherited and shares; what changes
 * something is asked of the listener.
 */
#pragma once

#include "session/limits.h"
#include "session/penalties.h"
#include "session/roster.h"
#include "sshd/control-request.h"

struct control_answer { /* from the listener */
	int code; /* 0 or negative errno */
	uint32_t count;
	char text[160]; /* why not */
	/* with JOIN and 0 a socket comes along (watch.h) */
};

struct control_helper {
	int client; /* connected stream */
	int listener; /* SOCK_SEQPACKET: a struct control_request out, a struct control_answer back */
	bool may_change;
	bool draining;
	const struct roster *roster;
	const struct limits *limits;
	const struct penalties *penalties;
};

/* Serves one request. An exit code; the process is to end with it. */
int control_answer(const struct control_helper *helper);
