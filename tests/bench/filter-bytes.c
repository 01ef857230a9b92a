/* A session's filter as bytes, for a peer of the bench that reads one from a file (bwrap --seccomp). */
#include <stdio.h>

#include "backends/linux/filter.h"

int main(void)
{
	size_t count = 0;
	const struct sock_filter *program = filter_template(filter_get(false), &count);

	return fwrite(program, sizeof(*program), count, stdout) == count && fflush(stdout) == 0 ? 0
												: 1;
}
