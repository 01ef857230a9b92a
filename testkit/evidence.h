/*
 * What the host saw of each probe: one table, one function a kind of evidence. Called when a run is
 * over and its client still waits.
 */
#pragma once

#include "testkit/judge.h"
#include "testkit/run.h"

/* What declared limits the R probes are held against; 0: none declared. */
struct limits {
	uint64_t memory, tasks, cpu_milli, disk;
};

struct evidence_context {
	const struct run *run;
	const struct canary *canary;
	const struct ground *ground;
	const struct target *target;
	const struct outside *own; /* this process, to compare with */
	const struct outside *before; /* the session that planted, or NULL */
	const struct limits *limits;
	bool control;
	const struct peer *peer; /* alive at the same time, or NULL */
	/* What the control's surveys of system calls brought, by enum call_abi; zero before it. */
	uint8_t (*surveys)[SURVEY_BYTES];
};

/* Fills probe_count outcomes: the client's claim and the host's evidence. */
void evidence_collect(const struct evidence_context *context, struct outcome *ret);

/* True when the probe has host evidence of its own: a lie about it is found out. */
bool evidence_exists(const struct probe *probe);

/* What counts as evidence for it, in words, beginning with its level: "E2: ...". */
const char *evidence_text(const struct probe *probe);
