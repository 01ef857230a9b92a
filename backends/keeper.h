/*
 * Foreign tools (bwrap, runsc, docker, qemu, ...) run under a keeper: a small process of ours, one a
 * sandbox, that makes the tool's directory, starts it with nothing but what the plan says, and
 * cleans up behind it. The keeper outlives the server by just that: when its socket ends, it kills
 * and undoes. If the keeper itself is killed, its tool dies with it, and keeper_end() or
 * backend_sweep() finds its directory unlocked and runs the plan's "after" steps from the copy in it.
 *
 * Every wait is bounded: one before step by a minute, one kill or after step by ten seconds. What an
 * after step's exit status is does not matter (what it removes may be gone); one that hangs leaves
 * the directory to the sweep, which tries once more and then removes it all the same.
 *
 * The tool gets: argv and tool_env as they are in the plan, looked for in the system's directories
 * when argv[0] has no slash; its own session; default signals, umask 022, an empty session keyring,
 * oom_score_adj 500; the named descriptors from 3 on in their order, and no other.
 *
 *	server --socket--> keeper (own session, the server's cgroup, outside the limits)
 *	                     +-- before steps, one by one
 *	                     +-- tool, in the sandbox's cgroup, stdio as given, or the slave of a
 *	                     |   terminal as its controlling terminal
 *	                     +-- kill steps, cgroup kill, after steps, rm of {dir}
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "backends/backend.h"
#include "backends/keeper-door.h"
#include "backends/linux/cgroup.h"
#include "backends/linux/keeper/job.h"
#include "base/err.h"

#define KEEPER_DOOR_PLACE (-2)

/*
 * A descriptor the tool inherits besides 0, 1, 2. Borrowed. "{fd:NAME}" is its number there.
 * KEEPER_DOOR_PLACE stands for that of the start's door.
 */
struct keeper_fd {
	const char *name;
	int fd;
};

/*
 * A keeper that has no job yet. Its program starts while its server still opens what the tool will
 * need; it ends when its socket does.
 */
struct keeper_ready {
	int socket, pidfd; /* -1: none */
	struct keeper_birth *birth; /* what its start needs of our memory; or NULL */
};

/*
 * As backend->begin and backend->forget: a keeper is started before there is a plan, for the next
 * keeper_prepare() to take; or, when nobody took it, ended.
 */
void keeper_ahead(void);
void keeper_forget(void);

/* Starts one, or takes the one ahead. 0 or negative errno with err naming the step. */
int keeper_prepare(struct keeper_ready *ret, struct err *err);

/*
 * Tells one that has no job yet to make a mount namespace for a tool that will be private_mounts: of
 * the host's mounts only those that lead to paths, and what any program needs, are in it where that can
 * be had (linux/keeper/narrow.h). A hint: what cannot be said is not said.
 */
void keeper_narrow(struct keeper_ready *ready, const char *const paths[], size_t count);

/*
 * Tells one that has no job yet, or (NULL) the one ahead, that its tool will be lone: the kernel takes half
 * a millisecond to make a network. A hint: the job says whether it is.
 */
void keeper_net(const struct keeper_ready *ready);

/* Once its exec has been tried: what that failed of, an errno, or 0. */
int keeper_ready_failed(struct keeper_ready *ready);

/* Ends one that was not used. Accepts one that was, and one of -1. */
void keeper_ready_fini(struct keeper_ready *ready);

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
	bool limit_tool; /* the tool itself gets plan->rlimits: where it is an ancestor of the command */
	bool become; /* the tool runs as uid and gid, without groups or capabilities; takes root */
	bool private_mounts; /* the host's mounts that come later are not seen; takes root */
	bool lone; /* its network is a loopback and nothing else; takes root */
	bool wide; /* it will have many descriptors and threads, and does not wait for room for them */
	uid_t uid;
	gid_t gid;
	int errors; /* the tool's standard error instead of io's, or -1; borrowed */
	struct keeper_door *door; /* made in {dir} before anything is run; NULL: none */
	struct keeper_ready *ready; /* its keeper is taken; NULL: one is started */
	int hold; /* held open by the keeper until all is undone (a lock), or -1; borrowed */
};

struct keeper {
	char id[33]; /* as in struct sandbox */
	/* {dir}: 0700 (0711 with a passable door), made by start, short enough for a socket's name with 20 more */
	char dir[108];
	int socket; /* to the keeper; readable when it has something to say */
	int pidfd; /* of the keeper */
	pid_t tool; /* the tool's process */
	int tool_pidfd; /* not a child of ours: it can be signalled and polled, not waited for */
	int pty; /* or -1 */
	struct cgroup cgroup; /* what the tool and its children are in; for cgroup_usage() */
	bool exited;
	bool timed_out; /* plan->timeout ended it */
	bool clear; /* with exited: nothing of the sandbox runs any more */
	int status; /* of the tool, as waitpid(2), once exited */
	uint32_t serial; /* of the last question */
};

/* The keeper's program, linked in. */
extern const unsigned char keeper_program[];
extern const size_t keeper_size;

/* An emptied struct: keeper_end() of it does nothing. */
void keeper_init(struct keeper *keeper);

/*
 * Makes the sealed memory file that keepers are run from, once a process, for who will start several;
 * otherwise each keeper makes its own. 0 or negative errno.
 */
int keeper_warm(void);

/*
 * Makes {dir}, writes plan->files, runs the "before" steps, and starts plan->command. Returns when
 * the tool has been exec'd; whether the command inside runs is for the backend to find out.
 * On failure nothing is left. 0 or negative errno with err naming the step and the tool's last line
 * of standard error.
 */
int keeper_start(const struct keeper_start *start, struct keeper *ret, struct err *err);

/* The tool's exit as backends tell it; only once keeper->exited. */
struct sandbox_exit keeper_exit(const struct keeper *keeper);

/* As backend->poll_exit, without blocking: 1 when the tool has ended, 0 not yet, -EPIPE when the keeper died. */
int keeper_poll(struct keeper *keeper);

/*
 * Runs argv (placeholders filled in) as the steps are run, and waits: for signals and questions
 * while the sandbox lives. output (what it printed, both streams) may be NULL. The keeper does
 * nothing else meanwhile, so timeout_ms (at most a minute) is also what the plan's time limit may be
 * late by. Returns the exit status (128 + signal), -ETIMEDOUT or other negative errno.
 */
int keeper_ask(struct keeper *keeper, char *const argv[], int timeout_ms, char *output,
	size_t output_size);

/*
 * Has the keeper hold fd until all is undone: a namespace that ends with a sandbox takes the time of who
 * lets go of it last, and nobody waits for the keeper. A hint. fd stays the caller's.
 */
void keeper_hold(struct keeper *keeper, int fd);

/* A signal to the tool itself (its process group). 0 or negative errno. */
int keeper_signal(struct keeper *keeper, int signo);

/*
 * Kill steps (when the tool still runs), kill, wait, after steps, directory, cgroups; closes all but
 * keeper->pty when that was taken. Accepts an emptied one, and leaves one.
 */
void keeper_end(struct keeper *keeper);

/*
 * The same for a process that is about to exit, once keeper->exited: returns when nothing of the
 * sandbox runs any more. What is left to remove the keeper removes by itself, as it would if we were
 * killed now; nobody waits for it but the process that adopts it.
 */
void keeper_leave(struct keeper *keeper);

/* What keepers that were killed left behind: undone. Returns how many, or negative errno. */
int keeper_sweep(const struct host *host);

/*
 * text with {id} and {dir} filled in, and "{brace}", which stands for "{" where a text from outside
 * would otherwise look like a placeholder (foreign_literal() puts it there). The caller frees. NULL:
 * no memory.
 */
char *keeper_fill(const char *text, const struct keeper *keeper);

/*
 * The same for a start's own needs before there is a keeper: text with "{fd:NAME}" and "{brace}"
 * filled in, the rest as it is. The caller frees. NULL: no memory.
 */
char *keeper_fill_fds(const char *text, const struct keeper_fd *fds, size_t count);
