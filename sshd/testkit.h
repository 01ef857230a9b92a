/*
 * The testkit as a child of ours: for the proof before login, and for users who ask for a measurement.
 *
 * It is another program, not a copy of us: what it reads from a sandbox never meets our memory, and what it writes
 * is bytes to us. It has root where we have it, and nothing taken away by us: whatever were taken from it would be
 * missing in the sandbox it makes as well, and would be reported as kept by a plan that does not keep it.
 */
#pragma once

#include <stddef.h>

#define TESTKIT "cloche-testkit-host"
#define TESTKIT_PATH 1024

struct testkit_job {
	const char *program; /* from testkit_find() */
	const char *backend; /* whose plan is measured */
	const char *profile;
	const char *config; /* path, "-" for input, NULL for the embedded default */
	const char *format; /* of the report */
	int input; /* its standard input; -1: nothing */
};

/* Beside us, in a build tree, or where it is installed. 0 and its path, or -ENOENT. */
int testkit_find(char *path, size_t size);

/*
 * Starts it: what was declared, quickly. It dies with us. The caller closes *ret_output, where the report comes, and
 * waits for the pidfd that is returned (see proc_wait()). Complaints go to our standard error. Or negative errno.
 */
int testkit_start(const struct testkit_job *job, int *ret_output);
