/*
 * Which layers of a plan stop each probe: the same measurement with layers taken away in turn.
 *
 * Two questions a layer, each a plan of its own. Is it needed: does the probe get through when this
 * layer alone is missing? Is it enough: is the probe stopped when this layer alone is there, and not
 * without it? A probe that needs a layer has a single point of failure in it; one that needs none but
 * gets through when all are missing is stopped by several. That is two plans a layer instead of the
 * 2^n of all combinations, and it says nothing about which pairs would do: a layer that is neither
 * needed nor enough still may be half of a pair.
 *
 * Some layers cannot be had alone: a filter needs no_new_privs, a private /dev needs mounts. Such a
 * layer is taken away with what rests on it, and left with what it rests on, and the result counts
 * only as far as it differs from that of the others alone.
 *
 * The user namespace is what keeps the client from being root outside, and every other plan has it. It is
 * left out of two plans, measured beside the same two with it, in a place where that root is nobody
 * (outer_enter_apart()). Evidence that takes the host's own rights (a filter is read by who is root over
 * the first user namespace, a device made by him) is not to be had there: where it decides a probe,
 * this layer is not asked. Control groups are left out of all four, as they belong to the host's root.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "testkit/measure.h"

enum ablation_class {
	ABLATION_OPEN, /* no layer stops it: the plan lets it through */
	ABLATION_ONE, /* at least one layer is needed: a single point of failure each */
	ABLATION_SEVERAL, /* none is needed, and all missing let it through */
	ABLATION_ALWAYS, /* never through, but without a sandbox: what no plan leaves out stops it */
	ABLATION_NOTHING, /* not even through without a sandbox: nothing to be learnt here */
	ABLATION_CLASSES,
};

struct ablation_probe {
	enum ablation_class class;
	uint32_t needs, enough; /* enum plan_layer bits */
	bool tried; /* there is something to be told */
	bool unasked; /* of the user namespace: the evidence takes rights that are not to be had there */
};

/* One plan that was measured. */
struct ablation_trial {
	uint32_t without;
	bool apart; /* in the second sandbox that has a user namespace around it */
	bool ran;
	char fault[160]; /* why not, or "" */
	uint8_t observed[CANARY_MAX_PROBES]; /* by place in probe_table: enum observation */
};

#define ABLATION_MAX_TRIALS 64
#define ABLATION_APART_TRIALS 4

/*
 * What was measured where the user namespace can be left out. Written by a process of its own in that
 * place, so that it is a plain value.
 */
struct ablation_apart {
	char fault[160]; /* why there is none of it, or "" */
	struct ablation_trial trials[ABLATION_APART_TRIALS];
};

/* How layers hang together, and what is to be said where one of them stands alone. */
struct ablation_layer {
	uint32_t bit;
	uint32_t rests_on; /* without it this one does not exist */
	bool takes_along; /* what rests on it has to be left out by name */
	const char *alone; /* why it may stand alone, and what was done */
};
extern const struct ablation_layer ablation_layers[];
extern const size_t ablation_layer_count;

struct ablation {
	struct ablation_trial trials[ABLATION_MAX_TRIALS];
	size_t trial_count;
	char apart_fault[160];
	struct ablation_probe probes[CANARY_MAX_PROBES];
	uint32_t layers; /* all that were taken away */
	uint64_t usec;
};

struct ablation_options {
	bool quick;
	unsigned timeout_ms; /* for each run of the client */
	unsigned seconds; /* for everything */
	FILE *progress; /* a dot for each plan, or NULL */
};

/*
 * Measures a prepared target again and again. Only where nothing of the host's can be reached: after
 * outer_enter(). 0, -ETIMEDOUT when the time is up, or another negative errno.
 */
int ablate(struct target *target, struct ground *ground, const struct ablation_options *options,
	const struct ablation_apart *apart, struct ablation *ret, struct err *err);

/*
 * The plans with and without a user namespace, which ablate() is told of afterwards. Only after
 * outer_enter_apart(). 0 or negative errno.
 */
int ablate_apart(struct target *target, struct ground *ground,
	const struct ablation_options *options, struct ablation_apart *ret, struct err *err);

/* From trials to classes: data to data. control: what gets through without a sandbox. */
void ablation_conclude(struct ablation *ablation, const uint8_t *control);

/* What was found: for people, as JSON ("cloche.ablation/1"; 0 or -ENOMEM), as a page of the docs. */
void ablation_text(const struct ablation *ablation, FILE *out);
int ablation_json(const struct ablation *ablation, const char *profile, FILE *out);
void ablation_markdown(const struct ablation *ablation, const char *profile, FILE *out);
