/*
 * cloche-init as the last step before the command in a sandbox that a foreign tool has made:
 *
 *	cloche-init enter CONTROL STDERR COMMAND...
 *
 * The tool has closed the sandbox already; this runs inside, under its filter, from a sealed memory
 * file. It gives the command a process group of its own (so that signals meet it and not the tool),
 * the terminal where there is one, its standard error, and no descriptor besides; and it tells the
 * server through CONTROL, a socket, what no tool does: which process the command is (the message's
 * credentials), and whether its exec succeeded (the end of the stream, or an errno).
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>

#include "backends/linux/init/init.h"
#include "backends/linux/init/rt.h"

#define CONTROL_FD 3
#define PATH_IF_NONE "/usr/local/bin:/usr/bin:/bin"

static int read_number(const char *text)
{
	int value = 0;

	for (; *text >= '0' && *text <= '9' && value < 100000; text++) {
		value = value * 10 + (*text - '0');
	}
	return *text ? -1 : value;
}

static const char *search_path(char *const env[])
{
	static const char name[] = "PATH=";

	for (; *env; env++) {
		size_t same = 0;
		while (name[same] && (*env)[same] == name[same]) {
			same++;
		}
		if (!name[same]) {
			return *env + same;
		}
	}
	return PATH_IF_NONE;
}

/*
 * A group of our own, in front of the terminal when standard input is the one that controls us; that
 * is standard error then, too. The change would stop us if the signal were not blocked.
 */
static bool lead_group(void)
{
	uint64_t stop = UINT64_C(1) << (SIGTTOU - 1);
	uint64_t none = 0;
	pid_t own = (pid_t)RT(getpid, 0);
	pid_t front = 0;

	/* Who leads a session leads a group already, and may not change it. */
	if (RT(setpgid, 0, 0) < 0 && RT(getpgid, 0) != own) {
		return false;
	}
	(void)RT(rt_sigprocmask, SIG_BLOCK, &stop, NULL, sizeof(stop));
	if (RT(ioctl, 0, TIOCGPGRP, &front) == 0 &&
		(RT(ioctl, 0, TIOCSPGRP, &own) < 0 || RT(dup3, 0, 2, 0) < 0)) {
		return false;
	}
	return RT(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none)) == 0;
}

static bool arrange(int control, int errors)
{
	return control > CONTROL_FD && errors > CONTROL_FD &&
		RT(dup3, control, CONTROL_FD, O_CLOEXEC) >= 0 && RT(dup3, errors, 2, 0) >= 0 &&
		RT(close_range, CONTROL_FD + 1, UINT_MAX, 0) == 0;
}

void enter_main(const long *stack)
{
	static const uint64_t no_key[3];
	char *const *argv = (char *const *)(stack + 1);
	char *const *env = argv + stack[0] + 1;
	char go = 'o';
	int code = 0;

	if (stack[0] < 5 || !arrange(read_number(argv[2]), read_number(argv[3])) || !lead_group() ||
		RT(write, CONTROL_FD, &go, 1) != 1 || RT(read, CONTROL_FD, &go, 1) != 1) {
		rt_exit(125);
	}
	init_exec(search_path(env), argv + 4, env, no_key);
	code = errno;
	(void)RT(write, CONTROL_FD, &code, sizeof(code));
	rt_exit(127);
}
