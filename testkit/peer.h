/*
 * A second session of the same target, alive while the first one tries to reach it.
 */
#pragma once

#include "testkit/run.h"

struct peer {
	struct canary canary;
	struct run run;
	char name[24]; /* in the names of all it keeps */
	char token[CANARY_TOKEN]; /* told to it alone */
	char title[16]; /* what its holder calls itself */
	char shared[96]; /* a file that both sessions may see and, by its mode, change */
	char terminal
		[32]; /* the path of a terminal it has made, as it sees it; "": none is known */
	uint64_t terminal_device, terminal_inode;
	pid_t holder; /* as the host sees it; 0: not found */
	bool alive;
	bool loaded; /* it was told to be busy */
};

/* Whoever reaches the holder's signal handler makes it change its first letter to this. */
#define PEER_HIT 'h'

/*
 * Starts it and waits until it holds what it has to. 0 or negative errno; peer_stop() in any case.
 */
int peer_start(struct peer *peer, const struct target *target, struct ground *ground,
	unsigned timeout_ms, struct err *err);

/* What the other session is told of it, appended to settings. 0 or -ENOMEM. */
int peer_describe(const struct peer *peer, char ***settings);

/* Does its part of a probe of the other session that begins (see run_help); context is the peer. */
void peer_help(const char *probe, void *context);

/* Ends it and takes away what it left with the host. */
void peer_stop(struct peer *peer);
