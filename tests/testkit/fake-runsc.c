/*
 * What the testkit takes for runsc, where a test has put it in its place:
 *
 *	runsc boot --root=DIR WORD CONTAINER
 *
 * holds WORD in memory of the name that runsc's has, and starts a child with a lower number that has the
 * same descriptors and shows no arguments, as runsc's address spaces do. Says the child's number, and
 * stays until its standard input ends.
 *
 *	runsc --root=DIR exec ... CONTAINER EYE NAME SCOPE
 *
 * answers with the files text and errors of DIR, and ends with the number in code. As long as there is
 * one of these called busy-N, it takes one away and does nothing but refuse.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define REFUSED 128

/* The next number below ours that is nobody's. */
static pid_t fork_below(void)
{
	for (pid_t pid = getpid() - 1; pid > 1; pid--) {
		struct clone_args args = {.exit_signal = SIGCHLD,
			.set_tid = (uint64_t)(uintptr_t)&pid,
			.set_tid_size = 1};
		long child = syscall(SYS_clone3, &args, sizeof(args));
		if (child >= 0 || errno != EEXIST) {
			return (pid_t)child;
		}
	}
	return -1;
}

/*
 * Without the pages that the arguments, from first to last, lie in. What stands there of the stack is
 * not returned to.
 */
static int stay_as_address_space(const char *first, const char *last, int ready)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	volatile char deeper[65536];
	uintptr_t from = (uintptr_t)first / page * page;
	uintptr_t to = ((uintptr_t)last + strlen(last)) / page * page + page;

	deeper[0] = 0;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if ((uintptr_t)&deeper[sizeof(deeper) / 2] >= from || deeper[0] ||
		munmap((void *)from, to - from) < 0 || write(ready, "", 1) != 1) {
		_exit(1);
	}
	for (;;) {
		(void)pause();
	}
}

static int boot(char **argv, const char *word)
{
	int memory = memfd_create("runsc-memory", 0);
	int ready[2];
	char byte = 0;
	pid_t child = 0;

	if (memory < 0 || io_write_all(memory, word, strlen(word)) < 0 || pipe(ready) < 0) {
		return 1;
	}
	child = fork_below();
	if (child == 0) {
		return stay_as_address_space(argv[0], argv[4], ready[1]);
	}
	(void)close(ready[1]);
	if (child < 0 || read(ready[0], &byte, 1) != 1) {
		return 1;
	}
	(void)printf("%d\n", child);
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0) {
	}
	return kill(child, SIGKILL);
}

static bool is_busy(int dir)
{
	DIR *list = fdopendir(dup(dir));
	struct dirent *entry = NULL;
	bool busy = false;

	while (list && !busy && (entry = readdir(list))) {
		busy = strncmp(entry->d_name, "busy-", 5) == 0 &&
			unlinkat(dir, entry->d_name, 0) == 0;
	}
	if (list) {
		(void)closedir(list);
	}
	return busy;
}

static int pass_on(int dir, const char *name, int to)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r = io_read_file(dir, name, 1U << 20, &text, &size);

	return r < 0 ? r : io_write_all(to, text, size);
}

static int answer(const char *root)
{
	cleanup_close int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *code = NULL;

	if (is_busy(dir)) {
		(void)fputs("container is not running\n", stderr);
		return REFUSED;
	}
	if (pass_on(dir, "errors", STDERR_FILENO) < 0 || pass_on(dir, "text", STDOUT_FILENO) < 0 ||
		io_read_file(dir, "code", 16, &code, NULL) < 0) {
		return 1;
	}
	return atoi(code);
}

int main(int argc, char **argv)
{
	static const char root[] = "--root=";

	if (argc == 5 && strcmp(argv[1], "boot") == 0) {
		return boot(argv, argv[3]);
	}
	if (argc > 6 && strncmp(argv[1], root, sizeof(root) - 1) == 0 &&
		strcmp(argv[2], "exec") == 0 && strcmp(argv[argc - 4], "container") == 0) {
		return answer(argv[1] + sizeof(root) - 1);
	}
	return 2;
}
