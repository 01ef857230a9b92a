/*
 * One run of the client in one target: its job goes in, its fenced lines come out, the canaries are
 * served and sampled meanwhile, and the host looks from outside while it waits.
 *
 * The client is not trusted: what it sends is bounded in size and time, and nothing it says ends
 * anything but its own run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "testkit/canary.h"
#include "testkit/machine.h"
#include "testkit/outside.h"
#include "testkit/protocol.h"
#include "testkit/target.h"

#define RUN_MAX_OUTPUT (4U << 20)

/* What the client said about one probe. */
struct answer {
	bool asked, started, answered;
	enum claim claim;
	int error;
	size_t size;
	uint8_t text[PROTOCOL_MAX_TEXT + 1];
};

/* Something that happened. probe NULL: a run began that asks for so many. */
struct run_event {
	bool control;
	const char *probe;
	enum claim claim;
	int error;
	size_t asked;
};

/* Who is told. take must not fail and must not take long: a client waits. */
struct run_watch {
	void (*take)(const struct run_event *event, void *context);
	void *context;
};

/* Who is told when a probe begins, because another session has a part in it. Must not take long. */
struct run_help {
	void (*begin)(const char *probe, void *context);
	void *context;
};

struct run_options {
	const struct run_watch *watch; /* or NULL */
	const struct run_help *help; /* or NULL */
	bool control; /* for the watcher */
	unsigned mask; /* probes whose flags & mask == match are asked */
	unsigned match;
	const char *only; /* as probe_is() takes it, or NULL */
	bool hold; /* no probe at all: it keeps things for another session to look for */
	bool plant; /* S probes leave things instead of looking for them */
	uint64_t seconds; /* a time limit for the sandbox itself; 0: its plan's */
	bool hurried; /* no time for an eye in the client's kernel */
	unsigned timeout_ms; /* for the whole run */
	char **settings; /* further lines of the job, "set NAME VALUE" */
};

struct run {
	struct answer *answers; /* probe_count of them */
	struct outside outside; /* read before the first probe */
	struct machine machine; /* read then too, when the client is no process of the host's */
	int environment; /* and its memory: 1 a variable of the launcher's lies there, 0 none; -1 unknown */
	bool hello, ended; /* the client came; it finished all */
	bool alone; /* none could be brought there: outside is all there is */
	bool timed_out, flooded;
	size_t damaged, lost; /* lines */
	uint64_t started_usec, ended_usec;
	uint64_t reaching_usec; /* when the last probe ended that may have sent something */
	uint64_t memory_peak, cpu_used_usec;
	uint64_t boot_usec; /* of a guest that the target's backend booted */
	uint64_t
		cpu_wall_usec; /* how long that took by our clock: the target's may be slow, or lie */
	const char *current; /* probe under way */
	char fault[160]; /* why it did not end well, or "" */
	char unseen[160]; /* why an eye in the client's kernel saw nothing, or "" */
	/* while it runs */
	const struct run_watch *watch;
	const struct run_help *help;
	bool control;
	struct canary *canary;
	const struct target *target;
	struct running running;
	struct protocol_stream stream;
	uint32_t next_sequence;
	size_t output;
};

/*
 * Runs the client in target. The canaries must be planted. A client that misbehaves is not an
 * error: it shows in *ret. 0, or a negative errno when the target could not be started. The client
 * is still there afterwards, waiting, so that it can be looked at; run_fini() ends it.
 */
int run_client(const struct target *target, struct canary *canary,
	const struct run_options *options, struct run *ret, struct err *err);

void run_fini(struct run *run);

/* For signal handlers: every run ends at once, now and later. */
void run_interrupt(void);
bool run_interrupted(void);
