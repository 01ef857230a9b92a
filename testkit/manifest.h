/*
 * What a foreign target promises, written down by its owner:
 *
 *	manifest: 1
 *	target: "exec:bwrap --ro-bind / / --unshare-all {client}"
 *	promises: [net.disable, proc.isolation]
 *	openings:
 *	  - probe: P.ptrace
 *	    reason: the launcher is of the same user
 *	    until: 2027-01-31
 *
 * An opening names a probe or a capability. Behind its last day it is no excuse, and a failure.
 */
#pragma once

#include <stdio.h>

#include "backends/capability.h"
#include "base/err.h"
#include "testkit/known.h"
#include "testkit/measure.h"

struct manifest {
	char *target; /* or NULL */
	bool declares; /* promises is given */
	struct capability_set promises;
	struct known_list openings;
};

/*
 * Reads text, which has a NUL behind its end. Mistakes are printed to out, each with its place. 0 and
 * *ret, for manifest_fini(); -EINVAL, or -ENOMEM.
 */
int manifest_parse(
	const char *text, size_t size, const char *name, FILE *out, struct manifest *ret);

/* The same from a file. Negative errno with err; -EINVAL also when the mistakes have been printed. */
int manifest_load(const char *path, FILE *out, struct manifest *ret, struct err *err);

void manifest_fini(struct manifest *manifest);

/*
 * Writes what was observed as a manifest: promises that are declared or kept, and each violation as an
 * opening for MANIFEST_DAYS.
 */
#define MANIFEST_DAYS 90
void manifest_write(const char *target, const struct measurement *measurement, FILE *out);
