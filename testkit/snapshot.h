/*
 * The host before and after a measurement. What a measurement has changed and not put back is its own
 * fault or its target's, and either way nobody asked for it.
 */
#pragma once

#include "testkit/canary.h"

struct snapshot {
	char **lines; /* "what: text", sorted */
	int64_t clock_msec; /* wall clock less time since boot */
	uint64_t log_record; /* of the kernel's log: the next one to come */
};

/* What became of the host. Both lists are the caller's, to be freed with strv_free(). */
struct snapshot_changes {
	char **left; /* bears our marks, or is a setting that nobody else changes meanwhile */
	char **meanwhile; /* came or went, and may be somebody else's */
};

/*
 * Reads mounts, network links, System V objects, keys, names in shared places and the clock; unless
 * quick also control groups, settings of the kernel, routes, sockets that have a name, modules, BPF
 * and the content of files that every session runs from. 0 or -ENOMEM.
 */
int snapshot_take(struct snapshot *snapshot, bool quick);

void snapshot_fini(struct snapshot *snapshot);

/*
 * Compares the host as it is now with before, and looks for processes that bear ground's marks. Waits
 * a little for what is on its way out. 0 and *ret, or -ENOMEM.
 */
int snapshot_compare(const struct snapshot *before, const struct ground *ground, bool quick,
	struct snapshot_changes *ret);

/*
 * What the kernel has complained of in its log since the record of that number, at most a few lines
 * appended to *ret (NULL: none are wanted). *sequence becomes that of the next record to come. Where
 * the log cannot be read nothing is said. 0 or -ENOMEM.
 */
int snapshot_read_log(uint64_t *sequence, char ***ret);
