#include "backends/linux/filter.h"

#include <errno.h>
#include <linux/seccomp.h>

#include "backends/linux/filter-policy.h"

/*
 * Why one keyed execve is enough, and safe.
 *
 * A session without exec has a problem: its filter must be there before the user's program starts,
 * and the user's program starts by execve. The usual answer, a supervisor that is asked about each
 * execve, costs a process and two switches a call, and lets programs go on once it is gone. Here
 * the filter itself knows the one good call: its unused argument registers hold 192 random bits
 * that nobody else will ever know.
 *
 *   - The kernel ignores the registers: execve has three arguments.
 *   - Nobody can guess them: each wrong try is one refused call, and there are 2^192.
 *   - Nobody can find them. The memory that held them was replaced by the execve itself; registers
 *     are cleared by it; pid 1 and the launcher wipe their copies, run as another user, and are not
 *     dumpable. The filter in the kernel is read with PTRACE_SECCOMP_GET_FILTER, which wants
 *     CAP_SYS_ADMIN in the first user namespace. Neither audit records nor SIGSYS show the 4th to
 *     6th argument of a call that was refused with an errno.
 *   - The call decides nothing by pointer: there is no memory to swap after the check. That the
 *     path is the one of the plan is seen to by the code that makes the call, before user code.
 *   - The filter is inherited by every child and cannot be taken off, and a filter that is put on
 *     top can only refuse more.
 *   - execveat has no allowed form at all, uselib and io_uring neither.
 *
 * What it does not stop: code brought in without exec, by an interpreter or by mmap. Mounts
 * without exec are the answer to that.
 */

static size_t find(const struct sock_filter *program, size_t count, uint32_t value)
{
	size_t found = count;

	for (size_t i = 0; i < count; i++) {
		if (program[i].code != (BPF_JMP | BPF_JEQ | BPF_K) || program[i].k != value) {
			continue;
		}
		if (found != count) {
			return count; /* twice: not what we made */
		}
		found = i;
	}
	return found;
}

int filter_set_key(struct sock_filter *program, size_t count, const uint64_t key[3])
{
	size_t where[FILTER_KEY_HALVES];

	if (count == 0 || program[0].code != (BPF_RET | BPF_K) ||
		program[0].k != SECCOMP_RET_KILL_PROCESS) {
		return -EINVAL;
	}
	for (size_t i = 0; i < FILTER_KEY_HALVES; i++) {
		where[i] = find(program, count, FILTER_KEY_HALF(i));
		if (where[i] == count) {
			return -EINVAL;
		}
	}
	for (size_t i = 0; i < FILTER_KEY_HALVES; i++) {
		program[where[i]].k = (uint32_t)(key[i / 2] >> (i % 2 * 32));
	}
	program[0] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0);
	return 0;
}
