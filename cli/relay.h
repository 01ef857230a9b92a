/*
 * Carries bytes between the caller's standard streams and the command's, while signals, time and
 * the command's end are looked after. The command never gets a descriptor through which it could
 * reach what is the caller's alone: no terminal (input could be pushed into it), no directory, no
 * device, no socket.
 */
#pragma once

#include "backends/backend.h"

/* The two sides of the standard streams. Zero is not empty: see relay_init(). */
struct relay {
	struct sandbox_stdio io; /* for backend->start() */
	int inner
		[3]; /* ends the sandbox gets; ours to close after the start; -1: the caller's own */
	int outer[3]; /* our ends of the same pipes; -1: none */
	bool file_input; /* 0 is a regular file: what nobody took of it is given back */
	int signals; /* where signals for the command arrive; blocked from then on; -1 before */
};

void relay_init(struct relay *relay);

/*
 * From here on signals are for the command: before anything is made for it, so that none can end us and
 * leave it behind. relay_open() does it otherwise. 0 or negative errno with err.
 */
int relay_hold_signals(struct relay *relay, struct err *err);

/*
 * Decides what the command gets for 0, 1 and 2, and makes pipes; no_files: for regular files as well.
 * 0 or negative errno with err.
 */
int relay_open(struct relay *relay, bool no_files, struct err *err);

/*
 * Runs until the command has ended and what it had written is passed on. With relay->io.pty the
 * caller's terminal is in raw mode meanwhile. timeout: seconds, 0: none; a sandbox that has not
 * ended two seconds after that is given up.
 *
 * Returns 0 and *ret; -ETIMEDOUT; -EPIPE when the sandbox died without saying how; or another
 * negative errno.
 */
int relay_run(
	struct relay *relay, struct sandbox *sandbox, uint64_t timeout, struct sandbox_exit *ret);

/* Closes what is open. */
void relay_fini(struct relay *relay);
