#include "backends/linux/nursery.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <time.h>

#include "base/io.h"

#define TIMEOUT_USEC (10 * UINT64_C(1000000))

int nursery_await(struct nursery *nursery, struct err *err)
{
	const struct timespec a_while = {.tv_nsec = 100 * 1000000};
	uint64_t end = io_now_usec() + TIMEOUT_USEC;

	for (pid_t pid = 0; (pid = __atomic_load_n(&nursery->busy, __ATOMIC_ACQUIRE)) != 0;) {
		if (io_now_usec() > end) {
			return err_set(err, ETIMEDOUT, "waiting for a child to exec");
		}
		(void)syscall(SYS_futex, &nursery->busy, FUTEX_WAIT, pid, &a_while, NULL, 0);
	}
	return 0;
}

long nursery_clone(struct nursery *nursery, struct kernel_clone_args args,
	void (*run)(const void *data), const void *data)
{
	long pid = 0;

	args.flags |= CLONE_VM | CLONE_CHILD_CLEARTID;
	args.child_tid = (uint64_t)(uintptr_t)&nursery->busy;
	args.stack = (uint64_t)(uintptr_t)nursery->stack;
	args.stack_size = sizeof(nursery->stack);
	nursery->busy = 1;
	pid = kernel_clone3_run(&args, run, data);
	if (pid < 0) {
		nursery->busy = 0;
	}
	return pid;
}
