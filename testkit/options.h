/*
 * What the command line of cloche-testkit-host asks for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "backends/capability.h"
#include "backends/spec.h"
#include "base/err.h"
#include "testkit/report.h"
#include "testkit/target.h"

#define OPTIONS_MAX_OUTPUTS 8
#define OPTIONS_MAX_SPEC 128
#define OPTIONS_MAX_ARGUMENTS 512

/* One report to write. */
struct output {
	const struct report_format *format;
	const char *path; /* NULL: standard output */
	FILE *file; /* open from before the measurement on */
};

struct given {
	const struct spec_key *key;
	const char *value;
};

struct options {
	const char *targets[REPORT_MAX_COLUMNS]; /* NULL: the one its manifest names */
	const char *manifests[REPORT_MAX_COLUMNS]; /* of the target in the same place, or NULL */
	size_t target_count;
	const char *profile, *config, *identity, *client, *only, *canaries, *eye, *peer;
	const char *learn, *baseline, *sign;
	const char *deliver,
		*client_at; /* a rung of the ladder; where a login has the client already */
	struct target_offers offers;
	struct output outputs[OPTIONS_MAX_OUTPUTS];
	size_t output_count;
	bool quick, brief, list, help, version, ablate, verbose;
	struct capability_set declare;
	bool declares;
	uint32_t without;
	uint64_t timeout; /* seconds */
	struct given given[OPTIONS_MAX_SPEC];
	size_t given_count;
	char **argv; /* all of it, as it came */
};

/* Reads the command line into *ret, whose texts are argv's. 0, or -EINVAL with a reason in err. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);

/* Writes the usage to standard output. */
void options_print_help(void);

/* Is the first format asked for the one of this name? */
bool options_has_format(const struct options *options, const char *name);

/* Adds a format without a path. 0, or -EINVAL with a reason in err. */
int options_add_format(struct options *options, const char *name, struct err *err);

/*
 * The spec that is to be measured: the profile's, changed by the options that are a spec's. The
 * caller frees *ret with spec_fini(), whatever is returned. 0 or negative errno.
 */
int options_make_spec(const struct options *options, struct spec *ret, struct err *err);
