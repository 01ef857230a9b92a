/*
 * The end of a sandbox whose launcher is about to exit. When nothing runs in it any more, what is left
 * is the kernel's work with its mounts, four directories and a lock: longer than a short command
 * itself. A child that shares our memory does it when we are gone. It is born at the end only, so
 * nothing stands beside a command that runs for long.
 *
 * Memory: until we have exited the child makes system calls only; afterwards all of it is the child's.
 * Descriptors: it keeps what it needs and closes the rest first of all, so that nobody who waits for
 * the end of our output waits for it.
 */
#include "backends/linux/leave.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "backends/linux/cgroup.h"
#include "backends/linux/idrange.h"
#include "backends/linux/image.h"
#include "backends/linux/kernel.h"
#include "base/cleanup.h"
#include "base/io.h"

#define DEATH_TIMEOUT_MS 5000

/* For a child that shares our memory: errno is ours. */
#define RAW(name, ...) raw_call(SYS_##name, __VA_ARGS__, 0)

/* The pipe's end, pid 1, the lock, and the groups. */
#define KEPT (3 + 1 + CGROUP_CONTROLLERS)

static struct leaver {
	struct native_sandbox *sandbox;
	int left; /* ends with the launcher */
	int kept[KEPT]; /* in ascending order, -1 first */
} leaver;
static _Alignas(16) char leaver_stack[65536];

/* Everything between the ones we keep. */
static __attribute__((no_sanitize("address", "undefined"))) void close_others(
	const struct leaver *mine)
{
	long from = 0;

	for (int i = 0; i < KEPT; i++) {
		if (mine->kept[i] > from) {
			(void)RAW(close_range, from, mine->kept[i] - 1, 0, 0, 0);
		}
		from = mine->kept[i] >= from ? mine->kept[i] + 1 : from;
	}
	(void)RAW(close_range, from, UINT_MAX, 0, 0, 0);
}

static void remove_all(struct native_sandbox *sandbox)
{
	struct pollfd end = {.fd = sandbox->base.pidfd, .events = POLLIN};

	/* It has been alone and on its way out before this began. */
	if (poll(&end, 1, DEATH_TIMEOUT_MS) <= 0) {
		(void)cgroup_kill(&sandbox->cgroup);
	}
	(void)cgroup_remove(&sandbox->cgroup);
	idrange_release(&sandbox->ids);
}

static __attribute__((no_sanitize("address", "undefined"))) void leave(const void *data)
{
	const struct leaver *mine = data;
	char byte = 0;

	close_others(mine);
	(void)RAW(setsid, 0, 0, 0, 0, 0);
	while (RAW(read, mine->left, (long)&byte, 1, 0, 0) == -EINTR) {
	}
	remove_all(mine->sandbox);
	for (;;) {
		(void)RAW(exit_group, 0, 0, 0, 0, 0);
	}
}

/* Has cloche-init said that it is alone? The word comes right behind that of the command's end. */
static bool is_alone(const struct native_sandbox *sandbox)
{
	struct pollfd word = {.fd = sandbox->base.event, .events = POLLIN};
	struct image_message message = {0};

	return poll(&word, 1, DEATH_TIMEOUT_MS) > 0 &&
		io_receive(sandbox->base.event, &message, sizeof(message), NULL, 0, NULL,
			MSG_DONTWAIT) == (ssize_t)sizeof(message) &&
		message.type == IMAGE_ALONE;
}

static void keep(struct leaver *mine, int fd)
{
	int at = 0;

	/* The first place is free: there are as many as there are descriptors. */
	for (; at + 1 < KEPT && mine->kept[at + 1] < fd; at++) {
		mine->kept[at] = mine->kept[at + 1];
	}
	mine->kept[at] = fd;
}

static void keep_all(struct leaver *mine)
{
	const struct native_sandbox *sandbox = mine->sandbox;
	const int wanted[KEPT] = {mine->left, sandbox->base.pidfd, sandbox->ids.lock,
		sandbox->cgroup.kill, sandbox->cgroup.dir[0], sandbox->cgroup.dir[1],
		sandbox->cgroup.dir[2]};

	for (int i = 0; i < KEPT; i++) {
		mine->kept[i] = -1;
	}
	for (int i = 0; i < KEPT; i++) {
		keep(mine, wanted[i]);
	}
}

bool leave_behind(struct native_sandbox *sandbox)
{
	struct kernel_clone_args args = {.flags = CLONE_VM,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)leaver_stack,
		.stack_size = sizeof(leaver_stack)};
	sigset_t all;
	sigset_t before;
	int ends[2];

	/* The end of a first process is the end of all. */
	if (!sandbox->exited || !(sandbox->namespaces & PLAN_NS_PID) || getpid() == 1 ||
		sandbox->network.helper >= 0 || sandbox->network.link[0] || !is_alone(sandbox) ||
		pipe2(ends, O_CLOEXEC) < 0) {
		return false;
	}
	leaver = (struct leaver){.sandbox = sandbox, .left = ends[0]};
	keep_all(&leaver);
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	long pid = kernel_clone3_run(&args, leave, &leaver);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	/* ends[1] stays open for as long as we live. */
	(void)close(ends[0]);
	if (pid < 0) {
		(void)close(ends[1]);
		return false;
	}
	return true;
}
