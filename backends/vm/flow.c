#include "backends/vm/flow.h"

#include <errno.h>
#include <unistd.h>

#include "base/io.h"

#define FOREIGN_CHUNK 4096 /* PIPE_BUF: what a pipe takes whole once it is ready */

int vm_flow_init(struct vm_flow *flow, int from, int to, enum vm_flow_foreign foreign)
{
	int r = 0;

	flow->from = from;
	flow->to = to;
	flow->ended = from < 0;
	flow->broken = to < 0;
	flow->foreign = foreign == VM_FLOW_TO_FOREIGN;
	if (from >= 0 && foreign != VM_FLOW_FROM_FOREIGN) {
		r = io_set_nonblocking(from, true);
	}
	return r < 0 || to < 0 || flow->foreign ? r : io_set_nonblocking(to, true);
}

bool vm_flow_is_empty(const struct vm_flow *flow)
{
	return flow->start == flow->end;
}

void vm_flow_watch(const struct vm_flow *flow, struct pollfd ret[2])
{
	bool empty = vm_flow_is_empty(flow);

	ret[0] = (struct pollfd){.fd = empty && !flow->ended ? flow->from : -1, .events = POLLIN};
	ret[1] = (struct pollfd){.fd = empty || flow->broken ? -1 : flow->to, .events = POLLOUT};
}

static void take(struct vm_flow *flow)
{
	ssize_t n = read(flow->from, flow->data, sizeof(flow->data));

	if (n > 0) {
		flow->start = 0;
		flow->end = (size_t)n;
		flow->taken += (uint64_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		flow->ended = true;
	}
}

static void give(struct vm_flow *flow)
{
	size_t size = flow->end - flow->start;
	ssize_t n = 0;

	if (flow->foreign && size > FOREIGN_CHUNK) {
		size = FOREIGN_CHUNK;
	}
	n = write(flow->to, flow->data + flow->start, size);

	if (n > 0) {
		flow->start += (size_t)n;
		flow->given += (uint64_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		flow->broken = true;
	}
}

void vm_flow_move(struct vm_flow *flow, const struct pollfd found[2])
{
	if (found[0].revents) {
		take(flow);
	}
	if (!vm_flow_is_empty(flow) && !flow->broken &&
		(found[1].revents || (found[0].revents && !flow->foreign))) {
		give(flow);
	}
	if (flow->broken) {
		flow->given += flow->end - flow->start;
		flow->start = flow->end;
	}
}
