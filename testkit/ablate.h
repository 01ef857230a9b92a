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
};

/* One plan that was measured. */
struct ablation_trial {
	uint32_t without;
	bool ran;
	char fault[160]; /* why not, or "" */
	uint8_t seen[CANARY_MAX_PROBES]; /* by place in probe_table: enum ablation_seen */
};

enum ablation_seen { SEEN_NOTHING, SEEN_STOPPED, SEEN_THROUGH };

#define ABLATION_MAX_TRIALS 64

struct ablation {
	struct ablation_trial trials[ABLATION_MAX_TRIALS];
	size_t trial_count;
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
	struct ablation *ret, struct err *err);

/* From trials to classes: data to data. control: what gets through without a sandbox. */
void ablation_conclude(struct ablation *ablation, const uint8_t *control);

/* What was found: for people, as JSON ("cloche.ablation/1"; 0 or -ENOMEM), as a page of the docs. */
void ablation_text(const struct ablation *ablation, FILE *out);
int ablation_json(const struct ablation *ablation, const char *profile, FILE *out);
void ablation_markdown(const struct ablation *ablation, const char *profile, FILE *out);
