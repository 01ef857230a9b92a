/*
 * A child that shares our memory until its exec: nothing is copied, and both go on at once. It makes
 * system calls only (kernel.h, raw.h), since errno and the heap are ours. What it reads there must
 * outlive the function that made it; the kernel tells when it has left.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "backends/linux/kernel.h"
#include "base/err.h"

struct nursery {
	pid_t busy; /* not 0: somebody has our memory; the kernel writes 0 at its exec or end */
	_Alignas(16) char stack[16384];
};

/* Until nobody is in it; some 20 us for a child that only has its exec before it. 0 or -ETIMEDOUT. */
int nursery_await(struct nursery *nursery, struct err *err);

/*
 * clone3 with args, of which the flags and the stack are completed, to run(data), which never returns.
 * The nursery must be free. The pid or a negative errno.
 */
long nursery_clone(struct nursery *nursery, struct kernel_clone_args args,
	void (*run)(const void *data), const void *data);
