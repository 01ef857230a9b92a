/*
 * A command of the operator's that is asked something: one question on its standard input, one answer on its
 * standard output, and no way to stay.
 *
 * It runs as a user of its own, in a process namespace of its own where we are root (else in a process group),
 * without a shell, with three descriptors, an empty environment but for PATH and LANG, no new privileges, and
 * limits. Whatever it has started is gone when helper_run() returns.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

struct helper {
	char *const *argv; /* argv[0]: absolute path; it and all above it must be root's or ours */
	uid_t uid; /* (uid_t)-1: ours */
	gid_t gid;
	const void *input;
	size_t input_size;
	uint64_t timeout; /* seconds */
	size_t max_output;
	int client; /* a socket; when its other end is gone nobody waits for the answer; -1: none */
	int interrupt; /* readable when nobody is to wait any more; not read; -1: none */
};

struct helper_result {
	char *output; /* with a NUL behind it; the caller frees */
	size_t size;
	uint64_t usec; /* that it took */
	char complaint[161]; /* the beginning of what it wrote to standard error; not escaped */
};

/*
 * Runs it to its end. 0 when it has ended with status 0 and *ret is filled, else negative errno with err in one
 * line for the operator: -ETIMEDOUT, -EFBIG (too much output), -EPIPE (client gone), -EINTR, -EIO (it failed), or what kept it
 * from being started. complaint and usec are filled in each case.
 */
int helper_run(const struct helper *helper, struct helper_result *ret, struct err *err);
