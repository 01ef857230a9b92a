/*
 * The probes as the host knows them: one table names every one, says what it tries and what kind
 * of thing it is. What the client does for it is in client/, what the host looks at in evidence.c,
 * and what it means for a promise in judge.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum probe_flag {
	PROBE_QUICK = 1 << 0, /* part of the proof before login */
	PROBE_VIRTUAL = 1 << 1, /* may succeed inside without reaching the host */
	PROBE_STATE = 1 << 2, /* the host looks by itself; the client does nothing */
	PROBE_FRESH = 1 << 3, /* planted in one session, looked for in the next */
	PROBE_LIMIT = 1 << 4, /* uses up a resource: runs after all others */
	PROBE_PEER = 1 << 6, /* needs a second session at the same time */
	PROBE_SSH = 1 << 7, /* of a login, tried from its own side of the connection */
	PROBE_TIME = 1 << 5, /* outlives its time: a session of its own */
};

struct probe {
	const char *id; /* "N.tcp4": group, dot, name */
	unsigned flags; /* enum probe_flag */
	const char *what; /* one line: what is tried */
	const char *why; /* one line: what it would be good for */
	const char *layer; /* which layers should stop it, best first: "net,filter" */
	const char *reference; /* where to read on: a manual page, an address, a CVE; by ", " */
};

/* The words for layers: those of a plan (plan_layer_names) and a few that are no layer of it. */
extern const char *const probe_more_layers[]; /* ends with NULL */

extern const struct probe probe_table[]; /* ends with a NULL id */
extern const size_t probe_count;

/* The probe called id, or NULL. */
const struct probe *probe_find(const char *id);

/* Is it among the names, with commas between them? The letter of a group names all of it. */
bool probe_is(const struct probe *probe, const char *names);

/* Its place in probe_table. */
size_t probe_index(const struct probe *probe);

/* The words for its group letter: "network". */
const char *probe_group(const struct probe *probe);
