#include "backends/vm/look.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define WORDS_MAX 8

/* Between fork and exec. All other descriptors close themselves. */
static void be_program(char *const argv[], int output) __attribute__((noreturn));
static void be_program(char *const argv[], int output)
{
	static char *const none[] = {NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0 && dup2(null, 0) == 0 && dup2(output, 1) == 1 && dup2(null, 2) == 2) {
		(void)execve(argv[0], argv, none);
	}
	_exit(127);
}

int vm_look_start(char *words, struct vm_look *ret)
{
	char *argv[WORDS_MAX + 1] = {NULL};
	size_t count = 0;
	int ends[2];

	for (char *end = NULL; (end = strchr(words, '\n')); words = end + 1) {
		*end = '\0';
		if (count == WORDS_MAX) {
			return -E2BIG;
		}
		argv[count++] = words;
	}
	if (count == 0) {
		return -EINVAL;
	}
	if (pipe2(ends, O_CLOEXEC) < 0) {
		return -errno;
	}
	ret->pid = fork();
	if (ret->pid == 0) {
		be_program(argv, ends[1]);
	}
	(void)close(ends[1]);
	if (ret->pid < 0) {
		(void)close(ends[0]);
		return -errno;
	}
	ret->output = ends[0];
	return 0;
}

size_t vm_look_read(struct vm_look *look, void *data, size_t size)
{
	ssize_t n = read(look->output, data, size);

	if (n > 0) {
		return (size_t)n;
	}
	close_fdp(&look->output);
	(void)waitpid(look->pid, NULL, 0);
	return 0;
}
