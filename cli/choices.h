/*
 * The table of reasons: what came of each backend for one spec. For `explain`, for `caps` with a
 * spec, and for refusals.
 */
#pragma once

#include "backends/choose.h"
#include "backends/emit.h"
#include "cli/cli.h"

/* Weighs all backends. 0, or the exit code when all was said. */
int cli_weigh(const struct cli_options *options, const struct host *host, struct choices *ret);

/* Prints the table for people, and which one is taken. Returns the exit code. */
int cli_choices_print(const struct choices *choices, const struct spec *spec);

/* The same as JSON. */
int cli_choices_json(const struct choices *choices, const struct spec *spec);

/* One line a backend on standard error, after a refusal. */
void cli_choices_complain(const struct choices *choices);

/* What decides a capability, behind label. In caps.c. */
void cli_print_probes(unsigned indent, const char *label, enum capability capability);

/* Prints what was written as one line on standard output. Returns the exit code. */
int cli_put_json(struct emitter *out);
