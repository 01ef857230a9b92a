/*
 * One session's control groups: a directory named by the session's id in the hierarchy of every
 * controller there is, v1 or v2 each by itself, plus one in a v2 tree for killing at once.
 *
 * The open directories carry a lock (flock) as long as their owner lives: what cgroup_sweep() finds
 * unlocked has no owner.
 */
#pragma once

#include <sys/types.h>

#include "backends/backend.h"
#include "backends/host.h"
#include "base/cleanup.h"
#include "base/err.h"

/* 0: no limit. */
struct cgroup_limits {
	uint64_t memory; /* bytes, swap included */
	uint64_t pids; /* tasks */
	uint64_t cpu_milli; /* thousandths of a processor */
};

struct cgroup {
	char id[33];
	struct host_cgroup where[CGROUP_CONTROLLERS]; /* of the parents */
	char kill_path[256];
	int dir[CGROUP_CONTROLLERS]; /* session directories, locked; -1: none. May be equal on v2 */
	int kill; /* v2 session directory, locked; -1: none. May be equal to one of dir */
};

/*
 * The first half: the directory for killing at once, which a process can be cloned into. Nothing is
 * limited yet. id: a name as parse_is_name() takes it, at most 32 long. 0 or negative errno.
 */
int cgroup_begin(const struct host *host, const char *id, struct cgroup *ret, struct err *err);

/*
 * The second half: the controllers' directories and the limits, each read back. What was made stays
 * for cgroup_remove() also on failure. A limit whose controller the host does not have is -ENOTSUP:
 * the plan must not have promised it. 0 or negative errno.
 */
int cgroup_limit(const struct host *host, const struct cgroup_limits *limits, struct cgroup *cgroup,
	struct err *err);

/* Both halves; on failure nothing is left. */
int cgroup_create(const struct host *host, const char *id, const struct cgroup_limits *limits,
	struct cgroup *ret, struct err *err);

/*
 * A v2 directory for CLONE_INTO_CGROUP, borrowed, or -1. A child cloned into it still needs
 * cgroup_attach() for the v1 controllers.
 */
int cgroup_clone_fd(const struct cgroup *cgroup);

/*
 * Puts pid (a child that still waits) into every directory; with cloned, those of the v2 tree that
 * cgroup_clone_fd() stands for are skipped. 0 or negative errno.
 */
int cgroup_attach(struct cgroup *cgroup, pid_t pid, bool cloned, struct err *err);

/* Puts pid into the v2 directory alone, when it could not be cloned into it. 0 or negative errno. */
int cgroup_attach_v2(struct cgroup *cgroup, pid_t pid, struct err *err);

/*
 * Opens the `tasks` file of every v1 directory. A child that has only one thread and writes "0" to
 * each goes in by itself, without the lock over all thread groups that a write to cgroup.procs
 * takes and that costs about 10 ms (Linux, cgroup_procs_write_start()). Returns how many of
 * ret_fds are set, the caller's to close, or negative errno.
 */
int cgroup_open_tasks(
	const struct cgroup *cgroup, int ret_fds[CGROUP_CONTROLLERS], struct err *err);

/* The first blow of cgroup_kill(): all at once where there is a cgroup.kill. Waits for nobody. */
void cgroup_strike(const struct cgroup *cgroup);

/* Whether nothing is inside that could still run. False where there is no cgroup.kill: not known. */
bool cgroup_is_empty(const struct cgroup *cgroup);

/*
 * Kills all that is inside: cgroup.kill where there is one, else one by one until none is left.
 * Bounded. 0, or -EBUSY when something would not die.
 */
int cgroup_kill(struct cgroup *cgroup);

/* What was used so far; fields the host cannot tell stay as they are. */
void cgroup_usage(const struct cgroup *cgroup, struct sandbox_usage *ret);

/*
 * Removes the directories (retrying while the kernel still lets go of the dead, at most about a
 * second) and closes everything; the struct is empty afterwards. Accepts an emptied one.
 * 0, or negative errno of what stayed; the sweep will get it.
 */
int cgroup_remove(struct cgroup *cgroup);

/* Closes everything and removes nothing: for a forked child that must not hold the locks. */
void cgroup_close(struct cgroup *cgroup);

/* An emptied struct: no descriptor, no id. */
void cgroup_init(struct cgroup *cgroup);

/*
 * Kills and removes what owners that are gone left. Returns how many directories went, or negative
 * errno.
 */
int cgroup_sweep(const struct host *host);
