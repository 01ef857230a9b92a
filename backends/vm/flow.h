/*
 * Bytes from one descriptor to another, with room for one read between them.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm_flow {
	int from, to; /* -1: none. Borrowed */
	bool foreign; /* to is shared with others, who may not want it non-blocking */
	bool ended; /* nothing comes any more */
	bool broken; /* to takes nothing any more; what comes is dropped */
	uint64_t taken; /* bytes read so far */
	uint64_t given; /* bytes written or dropped so far */
	size_t start, end;
	uint8_t data[32768];
};

/*
 * Ends of ours are made non-blocking. A foreign one is left as it is: it is read once, or given no
 * more than it must take at once, after poll has said so. 0 or negative errno.
 */
enum vm_flow_foreign { VM_FLOW_OURS, VM_FLOW_FROM_FOREIGN, VM_FLOW_TO_FOREIGN };
int vm_flow_init(struct vm_flow *flow, int from, int to, enum vm_flow_foreign foreign);

/* What to poll for; *ret gets entries for both ends, fd -1 where nothing is wanted. */
void vm_flow_watch(const struct vm_flow *flow, struct pollfd ret[2]);

/* Moves what can be moved, as poll has found. */
void vm_flow_move(struct vm_flow *flow, const struct pollfd found[2]);

/* Has everything that came gone on? */
bool vm_flow_is_empty(const struct vm_flow *flow);
