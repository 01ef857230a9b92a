/*
 * A former report, read again: the JSON of --format json, or what is in a receipt. It may come from
 * anywhere; what is taken from it is names and verdicts.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "testkit/known.h"
#include "testkit/measure.h"

#define PAST_MAX_SIZE (16 << 20) /* bytes of a file */
#define PAST_MAX_TARGETS 64

/* What was found for one target. Texts are printable, at most 600 bytes. */
struct past_target {
	char *name, *version, *kernel, *plan; /* plan: "" without one */
	bool declared[CAPABILITY_COUNT];
	enum verdict capabilities[CAPABILITY_COUNT]; /* VERDICT_NOT_TESTED: not in it */
	enum observation *observed; /* probe_count of them; OBSERVED_NOT_RUN: not in it */
	enum verdict *probes; /* probe_count of them */
	size_t unknown; /* probes and capabilities that this program does not know */
};

struct past {
	struct past_target *targets;
	size_t count;
};

/* Reads a report or the "report" of a receipt. 0 and *ret, for past_fini(); negative errno with err. */
int past_read(const json_t *root, struct past *ret, struct err *err);

/* The same from text, and from a file; path is for messages. */
int past_parse(const char *text, size_t size, struct past *ret, struct err *err);
int past_load(const char *path, struct past *ret, struct err *err);

void past_fini(struct past *past);

/*
 * The target of this name, as it was given or as it was read; where there is but one and one is looked
 * for (only), that one. Or NULL.
 */
const struct past_target *past_find(const struct past *past, const char *name, bool only);
const struct past_target *past_find_read(const struct past *past, const char *name, bool only);

/*
 * What was wrong before is known: its violations and what was undecided excuse the same now, and a
 * promise that is declared no more is an entry that fails. 0 or -ENOMEM.
 */
int past_to_known(
	const struct past_target *before, struct capability_set declared, struct known_list *list);

/* Prints what differs, one a line, indented. Returns how many differences are for the worse. */
size_t past_compare(const struct past_target *before, const struct past_target *after, FILE *out);
