#include "backends/linux/keeper/run.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backends/linux/kernel.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"

#define HIGH_FD 100 /* where descriptors wait while those below are put in order */

static char *const no_env[] = {NULL};

/* What a child is given. Descriptors from 0 on, -1: /dev/null. */
struct birth {
	char *const *argv, *const *env;
	const int *fds;
	size_t fd_count;
	const int *groups; /* tasks files of v1 groups to enter */
	size_t group_count;
	int v2; /* the group to be born in, or -1 */
	const struct keeper_job *job; /* identity, limits, terminal; NULL for a step */
	int tree; /* a mount namespace to enter, or -1 */
	int net; /* a network namespace to enter, or -1 */
};

/* One message of a child that did not come to its exec. */
struct failure {
	int code;
	char what[60];
};

static void fail(int fd, const char *what)
{
	struct failure failure = {.code = errno};

	(void)snprintf(failure.what, sizeof(failure.what), "%s", what);
	(void)io_write_all(fd, &failure, sizeof(failure));
	_exit(127);
}

/*
 * Puts the descriptors into their places and the status pipe behind them, and closes all the rest.
 * Returns the pipe's new number.
 */
static int arrange_fds(const struct birth *birth, int status)
{
	int high[3 + KEEPER_MAX_FDS];
	int last = (int)birth->fd_count;

	for (size_t i = 0; i < birth->fd_count; i++) {
		int fd = birth->fds[i] >= 0 ? birth->fds[i] : open("/dev/null", O_RDWR);
		high[i] = fcntl(fd, F_DUPFD, HIGH_FD);
		if (high[i] < 0) {
			fail(status, "descriptors");
		}
	}
	status = fcntl(status, F_DUPFD, HIGH_FD);
	for (size_t i = 0; i < birth->fd_count; i++) {
		if (dup2(high[i], (int)i) < 0) {
			fail(status, "descriptors");
		}
	}
	if (dup3(status, last, O_CLOEXEC) < 0 ||
		syscall(SYS_close_range, (unsigned)last + 1, UINT_MAX, 0) < 0) {
		fail(last, "descriptors");
	}
	return last;
}

/*
 * Who makes room for more descriptors while it has threads waits until the whole machine has let go of the
 * old table: 10 to 20 ms, and runsc's processes do it for the 65th, the 129th and the 257th. A table has room
 * for the highest descriptor that was handed on: this one, the end of a pipe that has no other. A hint.
 */
static void widen_table(void)
{
	int pipes[2];

	if (pipe(pipes) == 0) {
		(void)dup2(pipes[0], KEEPER_WIDE_FD);
		(void)close(pipes[0]);
		(void)close(pipes[1]);
	}
}

/* The keeper's death is the tool's. A change of identity forgets that: asked for again after it. */
static void die_with_keeper(pid_t keeper, int status)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper) {
		fail(status, "waiting for the keeper's death");
	}
}

static void restrict_tool(const struct keeper_job *job, bool private, int status)
{
	if (io_write_file(AT_FDCWD, "/proc/self/oom_score_adj", "500") < 0) {
		/* Only lowering it needs a privilege; a /proc that is not there is not our case. */
		fail(status, "setting the out-of-memory score");
	}
	/* Best effort by nature: a kernel without key retention has no keyring to leave. */
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
	if ((job->flags & KEEPER_TERMINAL) && ioctl(0, TIOCSCTTY, 0) < 0) {
		fail(status, "taking the terminal");
	}
	for (uint32_t i = 0; i < job->limit_count; i++) {
		struct rlimit limit = {
			.rlim_cur = job->limits[i].soft, .rlim_max = job->limits[i].hard};
		struct rlimit now;
		int resource = (int)job->limits[i].resource;

		/* A hard limit that is lower already stays: raising it is not ours to do. */
		if (getrlimit(resource, &now) == 0 && now.rlim_max < limit.rlim_max) {
			limit.rlim_max = now.rlim_max;
			limit.rlim_cur =
				limit.rlim_cur < now.rlim_max ? limit.rlim_cur : now.rlim_max;
		}
		if (setrlimit(resource, &limit) < 0) {
			fail(status, "setting a limit");
		}
	}
	/* A mount namespace made by a user of a user namespace is a slave of ours for ever. */
	if (!private && (job->flags & KEEPER_PRIVATE) &&
		(unshare(CLONE_NEWNS) < 0 ||
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)) {
		fail(status, "keeping the host's later mounts away");
	}
	if ((job->flags & KEEPER_BECOME) &&
		(setgroups(0, NULL) < 0 || setresgid(job->gid, job->gid, job->gid) < 0 ||
			setresuid(job->uid, job->uid, job->uid) < 0)) {
		fail(status, "changing to the session's ids");
	}
}

static void exec_found(char *const argv[], char *const env[])
{
	char path[KEEPER_TOOL_PATH];
	int r = keeper_find_tool(argv[0], path);

	if (r == 0) {
		(void)execve(path, argv, env);
	} else {
		errno = -r;
	}
}

/* Never returns. */
static void become(const struct birth *birth, pid_t keeper, int status)
{
	sigset_t none;

	if (kernel_be_ordinary() < 0) {
		fail(status, "giving up a priority");
	}
	for (size_t i = 0; i < birth->group_count; i++) {
		if (write(birth->groups[i], "0", 1) != 1) {
			fail(status, "entering the control groups");
		}
	}
	(void)setsid();
	(void)umask(022);
	if (birth->tree >= 0 && setns(birth->tree, CLONE_NEWNS) < 0) {
		fail(status, "keeping the host's later mounts away");
	}
	if (birth->net >= 0 && setns(birth->net, CLONE_NEWNET) < 0) {
		fail(status, "entering a network of its own");
	}
	status = arrange_fds(birth, status);
	if (birth->job && (birth->job->flags & KEEPER_WIDE)) {
		widen_table();
	}
	if (birth->job) {
		restrict_tool(birth->job, birth->tree >= 0, status);
	}
	die_with_keeper(keeper, status);
	(void)signal(SIGPIPE,
		SIG_DFL); /* the only one that a keeper does not leave as it is by default */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	exec_found(birth->argv, birth->env ? birth->env : no_env);
	fail(status, birth->argv[0]);
}

/*
 * Being born in a v2 group costs nothing; moving there takes a lock over all thread groups, about
 * 10 ms. Kernels before 5.7 cannot. The child makes system calls only.
 */
static pid_t fork_into(int group)
{
	struct kernel_clone_args args = {
		.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)group};
	pid_t pid = group >= 0 ? (pid_t)kernel_clone3(&args) : -1;

	if (pid >= 0) {
		return pid;
	}
	pid = fork();
	if (pid == 0 && group >= 0 && io_write_file(group, "cgroup.procs", "0") < 0) {
		_exit(126);
	}
	return pid;
}

static int spawn(const struct birth *birth, pid_t *ret_pid, struct err *err)
{
	cleanup_close int read_end = -1;
	cleanup_close int write_end = -1;
	struct failure failure = {0};
	pid_t keeper = getpid();
	int pipes[2];
	pid_t pid = 0;

	if (pipe2(pipes, O_CLOEXEC) < 0) {
		return err_set(err, errno, "making a pipe");
	}
	read_end = pipes[0];
	write_end = pipes[1];
	pid = fork_into(birth->v2);
	if (pid < 0) {
		return err_set(err, errno, "making a process");
	}
	if (pid == 0) {
		become(birth, keeper, write_end);
	}
	close_fdp(&write_end);
	if (io_read_all(read_end, &failure, sizeof(failure)) == 0) {
		(void)waitpid(pid, NULL, 0);
		failure.what[sizeof(failure.what) - 1] = '\0';
		return err_set(err, failure.code, "starting %s: %s", birth->argv[0], failure.what);
	}
	*ret_pid = pid;
	return 0;
}

void keeper_reap(struct keeper_tool *tool)
{
	int status = 0;

	for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (tool->running && pid == tool->pid) {
			tool->running = false;
			tool->status = status;
		}
	}
}

/* There is one v2 tree, so one directory stands for all. */
static int v2_group(const struct cgroup *cgroup)
{
	int group = cgroup->kill;

	for (int i = 0; i < CGROUP_CONTROLLERS && group < 0; i++) {
		group = cgroup->where[i].version == 2 ? cgroup->dir[i] : -1;
	}
	return group;
}

int keeper_run_tool(const struct keeper_job *job, const struct keeper_streams *streams,
	struct keeper_tool *ret, struct err *err)
{
	int groups[CGROUP_CONTROLLERS];
	int fds[3 + KEEPER_MAX_FDS];
	struct birth birth = {.argv = job->argv,
		.env = job->env,
		.fds = fds,
		.groups = groups,
		.fd_count = 3 + job->fd_count,
		.job = job,
		.tree = job->flags & KEEPER_PRIVATE ? streams->tree : -1,
		.net = job->flags & KEEPER_LONE ? streams->net : -1,
		.v2 = v2_group(&job->cgroup)};
	pid_t pid = 0;
	int r = cgroup_open_tasks(&job->cgroup, groups, err);

	if (r < 0) {
		return r;
	}
	birth.group_count = (size_t)r;
	memcpy(fds, streams->stdio, sizeof(streams->stdio));
	memcpy(fds + 3, streams->named, job->fd_count * sizeof(int));
	r = spawn(&birth, &pid, err);
	for (size_t i = 0; i < birth.group_count; i++) {
		(void)close(groups[i]);
	}
	if (r < 0) {
		return r;
	}
	*ret = (struct keeper_tool){.pid = pid, .pidfd = proc_pidfd(pid), .running = true};
	return 0;
}

static void drain(int fd, char *output, size_t size, size_t *used)
{
	char rest[4096];
	ssize_t n = 0;

	do {
		bool room = output && *used + 1 < size;
		n = read(fd, room ? output + *used : rest, room ? size - *used - 1 : sizeof(rest));
		*used += room && n > 0 ? (size_t)n : 0;
	} while (n > 0);
	if (output && size > 0) {
		output[*used < size ? *used : size - 1] = '\0';
	}
}

static void clear_signals(int fd)
{
	char info[1024];

	while (read(fd, info, sizeof(info)) > 0) {
	}
}

/* Waits for one child of ours; the tool may end meanwhile, and strangers are reaped on the way. */
static bool has_ended(pid_t pid, struct keeper_tool *tool, int *ret_status)
{
	int status = 0;
	bool ended = false;

	for (pid_t found = 0; (found = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (found == pid) {
			*ret_status = status;
			ended = true;
		} else if (tool->running && found == tool->pid) {
			tool->running = false;
			tool->status = status;
		}
	}
	return ended;
}

static int await_step(pid_t pid, int from, int timeout_ms, const struct keeper_watch *watch,
	char *output, size_t size)
{
	uint64_t end = io_now_usec() + (uint64_t)timeout_ms * 1000;
	struct pollfd polled[3] = {{.fd = watch->children, .events = POLLIN},
		{.fd = from, .events = POLLIN}, {.fd = watch->socket, .events = 0}};
	size_t used = 0;
	int status = 0;

	for (;;) {
		uint64_t now = io_now_usec();

		(void)poll(polled, 3, now >= end ? 0 : (int)((end - now) / 1000) + 1);
		clear_signals(watch->children);
		drain(from, output, size, &used);
		if (polled[1].revents & POLLHUP) {
			polled[1].fd = -1;
		}
		if (has_ended(pid, watch->tool, &status)) {
			drain(from, output, size, &used);
			return proc_exit_code(status);
		}
		if (polled[2].revents & (POLLHUP | POLLERR)) {
			return -ECANCELED;
		}
		if (io_now_usec() >= end) {
			return -ETIMEDOUT;
		}
	}
}

int keeper_run_step(char *const argv[], char *const env[], int timeout_ms,
	const struct keeper_watch *watch, char *output, size_t output_size)
{
	cleanup_close int read_end = -1;
	int pipes[2];
	struct err err = {0};
	pid_t pid = 0;
	int r = 0;

	if (pipe2(pipes, O_CLOEXEC) < 0) {
		return -errno;
	}
	read_end = pipes[0];
	const int fds[3] = {-1, pipes[1], pipes[1]};
	struct birth birth = {.argv = argv,
		.env = env,
		.fds = fds,
		.fd_count = 3,
		.tree = -1,
		.net = -1,
		.v2 = -1};
	r = io_set_nonblocking(read_end, true);
	r = r < 0 ? r : spawn(&birth, &pid, &err);
	(void)close(pipes[1]);
	if (r < 0) {
		if (output && output_size > 0) {
			(void)snprintf(output, output_size, "%s", err.msg);
		}
		return r;
	}
	r = await_step(pid, read_end, timeout_ms, watch, output, output_size);
	if (r == -ETIMEDOUT || r == -ECANCELED) {
		(void)kill(-pid, SIGKILL);
		(void)kill(pid, SIGKILL);
	}
	return r;
}

/*
 * Signals each child in the kernel's list, or as many as there is room for: false when there is none. None
 * of them can be anybody else before we reap it.
 */
static bool kill_listed(void)
{
	char list[4096];
	char path[64];
	char *rest = list;
	char *end = NULL;
	bool any = false;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? fd : read(fd, list, sizeof(list) - 1);
	list[n > 0 ? n : 0] = '\0';
	/* A number without a blank behind it is cut short, and somebody else's. */
	for (long pid = 0; (pid = strtol(rest, &end, 10)) > 1 && *end == ' '; rest = end) {
		(void)kill((pid_t)pid, SIGKILL);
		any = true;
	}
	return any;
}

void keeper_kill_children(const struct keeper_watch *watch)
{
	uint64_t end = io_now_usec() + (uint64_t)KEEPER_KILL_MS * 1000;
	struct pollfd polled = {.fd = watch->children, .events = POLLIN};

	while (kill_listed() && io_now_usec() < end) {
		(void)poll(&polled, 1, 100);
		clear_signals(watch->children);
		keeper_reap(watch->tool);
	}
}
