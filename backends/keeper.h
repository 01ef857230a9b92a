/*
 * Foreign tools (bwrap, runsc, docker, qemu, ...) run under a keeper: a small process of ours, one a
 * sandbox, that makes the tool's directory, starts it with nothing but what the plan says, and
 * cleans up behind it. The keeper outlives the server by just that: when its socket ends, it kills
 * and undoes. If the keeper itself is killed, backend_sweep() finds its directory unlocked and runs
 * the plan's "after" steps from the copy in it.
 *
 *	server --socket--> keeper (own session, own cgroup outside the limits)
 *	                     +-- before steps, one by one
 *	                     +-- tool, in the sandbox's cgroup, stdio as given, or the slave of a
 *	                     |   terminal as its controlling terminal
 *	                     +-- kill steps, cgroup kill, after steps, rm of {dir}
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "backends/backend.h"
#include "backends/linux/cgroup.h"
#include "base/err.h"

/* A descriptor the tool inherits besides 0, 1, 2. Borrowed. "{fd:NAME}" is its number there. */
struct keeper_fd {
	const char *name;
	int fd;
};

/* What a start needs besides the plan. All borrowed. */
struct keeper_start {
	const struct plan *plan;
	const struct host *host;
	const struct sandbox_stdio *io;
	const struct keeper_fd *fds;
	size_t fd_count;
	/*
	 * With io->pty: false makes a terminal on the host, whose slave is the tool's stdio and
	 * controlling terminal and whose master is keeper->pty; true leaves stdio /dev/null, because
	 * the tool sends a master itself (runsc --console-socket).
	 */
	bool own_terminal;
	bool no_cgroup; /* the tool's children are limited elsewhere (docker's daemon) */
};

struct keeper {
	char id[33]; /* as in struct sandbox */
	char dir[108]; /* {dir}: 0700, made by start, short enough for a socket's name with 20 more */
	int socket; /* to the keeper; readable when it has something to say */
	int pidfd; /* of the keeper */
	pid_t tool; /* the tool's process */
	int pty; /* or -1 */
	struct cgroup cgroup; /* what the tool and its children are in */
	bool exited;
	int status; /* of the tool, as waitpid(2), once exited */
};

/*
 * Makes {dir}, writes plan->files, runs the "before" steps, and starts plan->command. Returns when
 * the tool has been exec'd; whether the command inside runs is for the backend to find out.
 * On failure nothing is left. 0 or negative errno with err naming the step and the tool's last line
 * of standard error.
 */
int keeper_start(const struct keeper_start *start, struct keeper *ret, struct err *err);

/* As backend->poll_exit: 1 when the tool has ended, 0 not yet, -EPIPE when the keeper died. */
int keeper_poll(struct keeper *keeper);

/*
 * Runs argv (placeholders filled in) as the steps are run, and waits: for signals and questions
 * while the sandbox lives. output may be NULL. Returns the exit status, -ETIMEDOUT or other negative errno.
 */
int keeper_ask(struct keeper *keeper, char *const argv[], int timeout_ms, char *output,
	size_t output_size);

/* A signal to the tool itself (its process group). 0 or negative errno. */
int keeper_signal(struct keeper *keeper, int signo);

/* Kill steps, kill, wait, after steps, directory, cgroups. Accepts a zeroed one. */
void keeper_end(struct keeper *keeper);

/* What keepers that were killed left behind: undone. Returns how many, or negative errno. */
int keeper_sweep(const struct host *host);

/* text with its placeholders filled in; the caller frees. NULL: no memory. */
char *keeper_fill(const char *text, const struct keeper *keeper);
