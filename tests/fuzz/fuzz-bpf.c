/*
 * Programs from live processes are foreign: struct seccomp_data first, then instructions.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backends/linux/bpf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sock_filter program[BPF_MAXINSNS + 1];
	struct seccomp_data call;
	uint32_t action;

	if (size < sizeof(call)) {
		return 0;
	}
	memcpy(&call, data, sizeof(call));
	size -= sizeof(call);
	size = size < sizeof(program) ? size : sizeof(program);
	memcpy(program, data + sizeof(call), size);
	(void)filter_evaluate(program, size / sizeof(program[0]), &call, &action);
	return 0;
}
