/*
 * Programs run in the guest beside the session, for whoever measures it from outside: they see the
 * guest as its first process does, and are in no control group and behind no filter of the session's.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct vm_look {
	int output; /* readable: the program wrote, or ended. -1: none runs */
	pid_t pid;
};

/* words: each ended by a newline; the first is the program's path. 0 or negative errno. */
int vm_look_start(char *words, struct vm_look *ret);

/*
 * Reads once what the program has written. The bytes, or 0 when that was all: it is waited for, and
 * none runs any more.
 */
size_t vm_look_read(struct vm_look *look, void *data, size_t size);
