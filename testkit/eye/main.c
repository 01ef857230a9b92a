/*
 * cloche-testkit-eye: see testkit/eye.h. Exits with 0 and a text when it found the process, else with
 * 1 and nothing.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "testkit/eye.h"
#include "testkit/room.h"

static int look(pid_t pid, const char *scope)
{
	static struct outside outside;
	cleanup(buf_fini) struct buf text = {0};

	outside_read(pid, &outside);
	if (!outside.found) {
		return 1;
	}
	outside.memory_peak = outside_memory_peak(&outside);
	if (outside.mount_count > 0) {
		outside.room_known = room_measure(NULL, &outside, scope, &outside.room,
			outside.room_where, sizeof(outside.room_where));
	}
	eye_write(&outside, &text);
	return text.failed || io_write_all(STDOUT_FILENO, text.data, text.size) < 0;
}

int main(int argc, char **argv)
{
	pid_t pid = 0;

	/* Nobody but the testkit starts this. */
	if (argc != 3) {
		(void)fprintf(stderr, "usage: cloche-testkit-eye NAME SCOPE\n");
		return 2;
	}
	pid = outside_find(argv[1]);
	return pid > 0 ? look(pid, argv[2]) : 1;
}
