/*
 * A login shell for the peers of the bench: bash in bubblewrap, as the table names it. It does
 * no more than exec, so that what is measured is bubblewrap.
 */
#include <stddef.h>
#include <unistd.h>

#define MAX_ARGUMENTS 16

int main(int argc, char **argv)
{
	static const char *const head[] = {"bwrap", "--unshare-all", "--ro-bind", "/", "/",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "/bin/bash"};
	const size_t count = sizeof(head) / sizeof(*head);
	const char *arguments[sizeof(head) / sizeof(*head) + MAX_ARGUMENTS + 1] = {NULL};

	for (size_t i = 0; i < count; i++) {
		arguments[i] = head[i];
	}
	for (int i = 1; i < argc && i <= MAX_ARGUMENTS; i++) {
		arguments[count + (size_t)i - 1] = argv[i];
	}
	(void)execv("/usr/bin/bwrap", (char *const *)(void *)arguments);
	return 127;
}
