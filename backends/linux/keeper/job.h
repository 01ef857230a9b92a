/*
 * What the server tells a keeper: one job in a sealed memory file, its descriptors beside it, and a
 * few messages over a SOCK_SEQPACKET pair. Both sides are built together: there is one version.
 *
 *	server			keeper
 *	TREE, NET	   ->	a mount or network namespace for the tool, while the job is still made
 *	JOB, descriptors   ->	before steps, tool
 *			   <-	STARTED with the tool's pidfd, or FAILED
 *	SIGNAL, ASK, HOLD  ->
 *			   <-	ANSWER, EXITED
 *	END, or the end	   ->	kill steps, kill
 *			   <-	GONE: nothing of the sandbox runs any more
 *				after steps, directory, control groups; exits
 *
 * The copy in a tool's directory (KEEPER_UNDO_FILE) is a job too, of the steps that are left when
 * everybody is dead.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "backends/linux/cgroup.h"
#include "backends/plan.h"
#include "base/buf.h"

#define KEEPER_UNDO_FILE ".after"
#define KEEPER_MAX_FDS 52 /* named descriptors for the tool: what one message can carry */
#define KEEPER_WIDE_FD 511 /* the last that fits into 4 KiB of pointers */
#define KEEPER_MAX_STRINGS 4096 /* of one argv or environment */
#define KEEPER_MAX_STEPS 64
#define KEEPER_JOB_MAX (4U << 20) /* bytes */
#define KEEPER_BEFORE_MS 60000 /* one before step; an image may have to be unpacked */
#define KEEPER_STEP_MS 10000 /* one kill or after step */
#define KEEPER_KILL_MS 5000 /* until the killed are gone */

enum keeper_flag {
	KEEPER_HAS_STDIO = 1 << 0, /* << n: a descriptor for stdio n comes along */
	KEEPER_TERMINAL = 1 << 3, /* stdio 0 is to be the controlling terminal */
	KEEPER_BECOME = 1 << 4, /* change to uid and gid before the tool's exec */
	KEEPER_UNDO = 1 << 5, /* no tool: the after steps and the directory only */
	KEEPER_PRIVATE = 1 << 7, /* the tool sees no later mount of the host's; takes root */
	KEEPER_HOLDS = 1 << 6, /* a descriptor to hold until all is undone comes along */
	KEEPER_LONE = 1 << 8, /* the tool's network is a loopback and nothing else; takes root */
	KEEPER_WIDE = 1 << 9, /* the tool's table of descriptors has room for KEEPER_WIDE_FD */
};

struct keeper_limit {
	uint32_t resource;
	uint64_t soft, hard;
};

struct keeper_step {
	enum plan_when when;
	char **argv;
};

/*
 * Descriptors come in this order: the directory (locked), stdio as flagged, the named ones, the
 * control groups', what is to be held.
 */
struct keeper_job {
	uint32_t flags; /* enum keeper_flag */
	char *dir;
	uint32_t uid, gid;
	uint64_t timeout; /* seconds; 0: none */
	char **argv, **env;
	uint32_t fd_count; /* named ones: 3, 4, ... in the tool */
	struct keeper_limit limits[PLAN_MAX_RLIMITS];
	uint32_t limit_count;
	struct keeper_step steps[KEEPER_MAX_STEPS];
	uint32_t step_count;
	/* dir[] and kill count from 0 through the control groups' descriptors while on their way */
	struct cgroup cgroup;
	uint32_t group_count;
};

enum keeper_message_type {
	KEEPER_JOB = 1,
	KEEPER_SIGNAL,
	KEEPER_ASK,
	KEEPER_END,
	KEEPER_STARTED,
	KEEPER_FAILED,
	KEEPER_EXITED,
	KEEPER_ANSWER,
	KEEPER_GONE,
	KEEPER_TREE,
	KEEPER_HOLD, /* a descriptor to hold until all is undone comes along */
	KEEPER_NET,
};

enum keeper_exit_flag {
	KEEPER_TIMED_OUT = 1 << 0,
	KEEPER_CLEAR = 1 << 1, /* nothing of the sandbox runs any more, as after GONE */
};

struct keeper_head {
	uint32_t type;
	/* SIGNAL: which; ASK: milliseconds; STARTED: the tool's pid; FAILED: errno;
	 * EXITED: wait status; ANSWER: exit status or negative errno */
	int32_t number;
	uint32_t flags; /* EXITED: enum keeper_exit_flag; ASK, TREE: strings in the text */
	uint32_t serial; /* ASK: any; ANSWER: the ASK's, so that a late one is known */
	uint32_t size; /* of the text; most messages have none, and are sent as the head alone */
};

struct keeper_message {
	struct keeper_head head;
	/* ASK: argv, TREE: paths, each with its NUL; FAILED: why; ANSWER: the output */
	char text[16384];
};

/* Sends one with as much text as its head says, and descriptors. 0 or negative errno. */
int keeper_message_send(
	int socket, const struct keeper_message *message, const int *fds, size_t count);

/* The same for a message without a text. */
int keeper_head_send(int socket, struct keeper_head head, const int *fds, size_t count);

/*
 * Receives one; of the text what is there has a NUL behind it. At most max descriptors, which are the
 * caller's then; *ret_count is 0 on failure. 1, 0 at the end, -EPROTO for what is none of ours, or another
 * negative errno of io_receive().
 */
int keeper_message_receive(int socket, struct keeper_message *ret, int *ret_fds, size_t max,
	size_t *ret_count, int flags);

/* Appends the job's bytes. Descriptor numbers are not part of them. buf->failed: no memory. */
void keeper_job_put(const struct keeper_job *job, struct buf *buf);

/* The other way round, into a zeroed job; free with keeper_job_fini(). 0 or -EPROTO. */
int keeper_job_get(const void *data, size_t size, struct keeper_job *ret);

void keeper_job_fini(struct keeper_job *job);

#define KEEPER_TOOL_PATH 128

/*
 * Where the tool called name is, in path: name itself when it has a slash, else the first of the
 * system's directories that has such a program. A plan says "bwrap", not where a host has it. 0,
 * -ENOENT, or -ENAMETOOLONG.
 */
int keeper_find_tool(const char *name, char path[KEEPER_TOOL_PATH]);
