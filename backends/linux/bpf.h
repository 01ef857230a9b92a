/*
 * Classic BPF as seccomp runs it, evaluated in user space: tests judge our own filters with it, and
 * the testkit judges programs dumped from live processes. Foreign programs are safe to pass.
 */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Runs a seccomp program over data and gives what it returns (SECCOMP_RET_* with its data bits).
 *
 * Returns 0, or -EINVAL when the kernel would not have taken the program: an instruction outside
 * seccomp's subset, a jump past the end, a load outside struct seccomp_data, no return at the end,
 * or a count of 0 or above BPF_MAXINSNS. Always ends: jumps go forward only.
 */
int filter_evaluate(const struct sock_filter *program, size_t count,
	const struct seccomp_data *data, uint32_t *ret_action);
