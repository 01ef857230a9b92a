/*
 * One measurement: controls outside, the same probes inside, and what it all means.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "testkit/evidence.h"
#include "testkit/judge.h"
#include "testkit/known.h"
#include "testkit/snapshot.h"
#include "testkit/target.h"

struct measure_options {
	bool quick; /* only probes that are needed to judge, none that takes its time */
	const char *only; /* as probe_is() takes it, or NULL */
	unsigned skip; /* enum probe_flag: probes with one of these are left out */
	const struct outcome
		*control; /* controls that were taken before, borrowed; NULL: take them */
	unsigned timeout_ms; /* for each run of the client */
	const struct run_watch *watch; /* or NULL: who is told what happens meanwhile */
	const struct target *peer; /* what the second session is, borrowed; NULL: the same target */
	bool police; /* compare the host before and after */
};

/* How the client behaved. */
struct measure_client {
	bool hello, ended;
	size_t lost, damaged;
	char fault[160];
};

struct measurement {
	struct outcome *control, *inside; /* probe_count each */
	struct probe_verdict *verdicts;
	struct judgement judgement;
	struct known_list known; /* of the caller, who applies it; freed with the rest */
	struct measure_client client;
	struct limits limits;
	uint64_t inside_usec, total_usec; /* from the job to its end; everything */
	uint64_t end_usec; /* until the session that was measured was gone */
	uint64_t boot_usec; /* of a guest, until the client ran; 0: none was booted, or not by us */
	char **gaps; /* evidence that could not be had, and why */
	struct snapshot_changes changes; /* what became of the host, where that was asked */
	int code; /* exit code: 0, 1, 3; 2: the client did not come up, or things were left behind */
};

/*
 * Runs everything. declared: what is to be held. 0 and *ret, for the caller to measurement_fini();
 * or a negative errno when no measurement came about.
 */
int measure(const struct target *target, struct ground *ground, struct capability_set declared,
	const struct measure_options *options, struct measurement *ret, struct err *err);

void measurement_fini(struct measurement *measurement);
