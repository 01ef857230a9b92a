/*
 * The keeper's children: the tool, and one step at a time. One thread; SIGCHLD is blocked and comes
 * by a signalfd, so that whatever is reaped is reaped in one place.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "backends/linux/keeper/job.h"
#include "base/err.h"

struct keeper_tool {
	pid_t pid; /* 0: never started */
	int pidfd;
	bool running;
	int status; /* once it has ended */
};

/* Descriptors of a tool: borrowed. */
struct keeper_streams {
	int stdio[3]; /* -1: /dev/null */
	int named[KEEPER_MAX_FDS];
	int tree; /* the mount namespace of a tool whose job is KEEPER_PRIVATE; -1: one is made */
	int net; /* the network namespace of a tool whose job is KEEPER_LONE */
};

/* Reaps whatever has ended, the tool among it. */
void keeper_reap(struct keeper_tool *tool);

/* Starts the job's tool; returns when its exec has succeeded. 0 or negative errno. */
int keeper_run_tool(const struct keeper_job *job, const struct keeper_streams *streams,
	struct keeper_tool *ret, struct err *err);

/* Where a step may be interrupted and what it may not lose. */
struct keeper_watch {
	int children; /* the signalfd */
	int socket; /* its end ends a step, unless it is -1 */
	struct keeper_tool *tool;
};

/*
 * Runs argv with the job's tool environment, standard input /dev/null, nothing else open, and
 * keeps the first bytes of what it prints in output. Killed, with its session, when the time is up.
 * Returns its exit status (128 + signal), -ETIMEDOUT, -ECANCELED when the socket ended, or another
 * negative errno.
 */
int keeper_run_step(char *const argv[], char *const env[], int timeout_ms,
	const struct keeper_watch *watch, char *output, size_t output_size);

/* Kills every child there is, adopted ones too, and waits at most KEEPER_KILL_MS. */
void keeper_kill_children(const struct keeper_watch *watch);
