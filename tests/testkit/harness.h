/*
 * Runs cloche-testkit-host and reads its report. The programs' paths come from the environment,
 * where meson puts them.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/strv.h"

struct measured {
	int code; /* exit code */
	uint64_t msec; /* how long it took */
	json_t *report; /* NULL when it printed none */
};

/* A program's path by its variable, such as "TESTKIT_LIAR"; fails the test when it is not set. */
const char *program_path(const char *variable);

/*
 * Runs the host with --format=json and these words (each one is an argument; NULL ends). The caller
 * frees the report with measured_fini().
 */
struct measured run_host(const char *word, ...) __attribute__((sentinel));
struct measured run_host_list(char *const *words);
void measured_fini(struct measured *measured);

/* A field of the capability or probe of that name, or "". */
const char *capability_field(const struct measured *measured, const char *name, const char *field);
const char *probe_field(const struct measured *measured, const char *id, const char *field);

/* The declared capabilities whose verdict is not PASS, sorted, joined by blanks. Caller frees. */
char *broken_promises(const struct measured *measured);
