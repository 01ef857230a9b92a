/*
 * Which kernel serves a session, by what the host has of it. Nothing the client says counts, not even
 * its name: a session that a kernel in user space serves has its memory in that kernel's, where a word
 * that only the client was told is found; and every task that belongs to it is that kernel's own
 * program, or held by it so that none of its system calls reaches the host.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum machine_kernel {
	MACHINE_UNKNOWN,
	MACHINE_HOST, /* a task is served by the host itself */
	MACHINE_OTHER, /* none is */
};

struct machine {
	enum machine_kernel kernel;
	bool guest;
	pid_t memory; /* the task that holds the session's memory, or 0 */
	char engine[64]; /* the file of its program */
	char text[120]; /* why, in words */
};

/*
 * launched: what was started, which must be the other kernel's too; 0 when that stands elsewhere (a
 * login, a daemon). word: what the client alone was told. guest: look for QEMU, else for runsc.
 */
void machine_read(pid_t launched, const char *word, bool guest, struct machine *ret);

/* Whether text is in the session's memory. *ret_known: could that be read? */
bool machine_holds(const struct machine *machine, const char *text, bool *ret_known);
