/*
 * Between fork and exec the child is a copy of the monitor, so what it does there is only to give things up:
 * descriptors first, then ids, last the right to gain anything. After the ids have changed nobody can trace it
 * (it is not dumpable), and exec replaces the copy.
 *
 * The process namespace is what makes the end certain: its first process is the command itself, and when that
 * is killed the kernel kills all others in it, whatever session or group they have moved to.
 */
#include "sshd/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "keys/keyfile.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

#define USEC UINT64_C(1000000)
#define STATUS_FD 3

struct running {
	pid_t pid;
	int pidfd; /* -1: it has been waited for */
	int output, errors; /* our ends; -1: closed */
	int status;
	bool ended;
};

/* ---- the child ---- */

static bool set_limit(int resource, rlim_t value)
{
	const struct rlimit limit = {value, value};

	return setrlimit(resource, &limit) == 0;
}

/* Three descriptors and the one that tells of a failed exec. */
static bool take_stdio(const int fds[3], int status)
{
	int moved[4];

	for (int i = 0; i < 4; i++) {
		moved[i] = fcntl(i < 3 ? fds[i] : status, F_DUPFD_CLOEXEC, 10);
		if (moved[i] < 0) {
			return false;
		}
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(moved[i], i) < 0) {
			return false;
		}
	}
	return dup3(moved[3], STATUS_FD, O_CLOEXEC) == STATUS_FD &&
		syscall(SYS_close_range, STATUS_FD + 1, ~0u, 0) == 0;
}

static bool give_up(const struct helper *helper)
{
	bool change = helper->uid != (uid_t)-1;

	return setsid() >= 0 && chdir("/") == 0 && set_limit(RLIMIT_CORE, 0) &&
		set_limit(RLIMIT_CPU, helper->timeout + 1) &&
		(!change ||
			(setgroups(0, NULL) == 0 &&
				setresgid(helper->gid, helper->gid, helper->gid) == 0 &&
				setresuid(helper->uid, helper->uid, helper->uid) == 0)) &&
		/* Changing ids forgets this one, so it comes last. */
		prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static void be_helper(const struct helper *helper, const int fds[3], int status)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char language[] = "LANG=C.UTF-8";
	char *const env[] = {path, language, NULL};
	sigset_t none;
	int code = 0;

	if (!take_stdio(fds, status)) {
		_exit(127);
	}
	(void)umask(077);
	for (int signo = 1; signo < NSIG; signo++) {
		(void)signal(signo, SIG_DFL);
	}
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (give_up(helper)) {
		(void)execve(helper->argv[0], helper->argv, env);
	}
	code = errno ? errno : EIO;
	(void)io_write_all(STATUS_FD, &code, sizeof(code));
	_exit(127);
}

/* ---- the monitor's side ---- */

/* The clone that is a fork, with a pidfd. */
static pid_t fork_apart(bool apart, int *ret_pidfd)
{
	unsigned long flags = CLONE_PIDFD | SIGCHLD | (apart ? CLONE_NEWPID : 0);
	long pid = syscall(SYS_clone, flags, NULL, ret_pidfd, NULL, 0);

	return pid < 0 ? -errno : (pid_t)pid;
}

static int start(const struct helper *helper, struct running *ret, struct err *err)
{
	cleanup_close int input = io_sealed_memfd("question", helper->input, helper->input_size);
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}; /* output, errors, status */
	int code = 0;
	int r = input < 0 ? input : lseek(input, 0, SEEK_SET) < 0 ? -errno : 0;

	for (int i = 0; i < 3 && r == 0; i++) {
		r = pipe2(pipes[i], O_CLOEXEC) < 0 ? -errno : 0;
	}
	if (r == 0) {
		const int fds[3] = {input, pipes[0][1], pipes[1][1]};
		ret->pid = fork_apart(geteuid() == 0, &ret->pidfd);
		if (ret->pid == 0) {
			be_helper(helper, fds, pipes[2][1]);
		}
		r = ret->pid < 0 ? (int)ret->pid : 0;
	}
	for (int i = 0; i < 3; i++) {
		close_fdp(&pipes[i][1]);
	}
	if (r == 0 && io_read_all(pipes[2][0], &code, sizeof(code)) == 0) {
		r = -code;
	}
	close_fdp(&pipes[2][0]);
	ret->output = pipes[0][0];
	ret->errors = pipes[1][0];
	return r < 0 ? err_set(err, -r, "%s cannot be started", helper->argv[0]) : 0;
}

static void stop(struct running *running)
{
	close_fdp(&running->output);
	close_fdp(&running->errors);
	if (running->pidfd < 0) {
		return;
	}
	(void)proc_signal(running->pidfd, SIGKILL);
	if (!running->ended) {
		(void)kill(-running->pid, SIGKILL);
		(void)proc_wait(running->pidfd, -1, &running->status);
	}
	close_fdp(&running->pidfd);
}

/* Takes what is there. 1 at the end, 0 when more may come, -EFBIG beyond room. */
static int take(int fd, char *into, size_t room, size_t *used)
{
	char spill[512];

	for (;;) {
		bool full = *used >= room;
		ssize_t n = full ? read(fd, spill, sizeof(spill))
				 : read(fd, into + *used, room - *used);
		if (n < 0) {
			return errno == EINTR ? 0 : errno == EAGAIN ? 0 : -errno;
		}
		if (n == 0) {
			return 1;
		}
		if (full) {
			return -EFBIG;
		}
		*used += (size_t)n;
	}
}

/* Both pipes, once. The complaint is cut; the answer is not. */
static int take_both(struct running *running, size_t max, struct helper_result *result)
{
	size_t complained = strlen(result->complaint);
	char text[sizeof(result->complaint)] = "";
	int r = 0;

	if (running->output >= 0) {
		r = take(running->output, result->output, max, &result->size);
		if (r != 0) {
			close_fdp(&running->output);
		}
	}
	if (running->errors >= 0) {
		size_t used = 0;
		int e = take(running->errors, text, sizeof(text) - 1 - complained, &used);
		/* A byte that ends the text early ends what is kept of it. */
		text[used] = '\0';
		(void)snprintf(result->complaint + complained,
			sizeof(result->complaint) - complained, "%s", text);
		if (e == 1) {
			close_fdp(&running->errors);
		}
	}
	return r < 0 ? r : 0;
}

/* The status of the command itself, when it has ended. */
static int collect(struct running *running, struct err *err)
{
	struct pollfd over = {.fd = running->pidfd, .events = POLLIN};

	if (poll(&over, 1, 0) != 1) {
		return 0;
	}
	/* Without a namespace of its own, what it left behind is in its group, while the number is its own. */
	(void)kill(-running->pid, SIGKILL);
	int r = proc_wait(running->pidfd, 0, &running->status);
	running->ended = r == 0;
	return r == 0 ? 0 : err_set(err, -r, "waiting for it");
}

static int serve(const struct helper *helper, struct running *running, uint64_t began,
	struct helper_result *result, struct err *err)
{
	uint64_t deadline = began + helper->timeout * USEC;

	for (;;) {
		struct pollfd fds[] = {
			{.fd = running->output, .events = POLLIN},
			{.fd = running->errors, .events = POLLIN},
			{.fd = running->pidfd, .events = POLLIN},
			{.fd = helper->client, .events = POLLRDHUP},
			{.fd = helper->interrupt, .events = POLLIN},
		};
		uint64_t now = io_now_usec();
		if (now >= deadline) {
			return err_refuse(err, ETIMEDOUT, "%s has not answered within %llu s",
				helper->argv[0], (unsigned long long)helper->timeout);
		}
		if (poll(fds, ARRAY_SIZE(fds), (int)((deadline - now + 999) / 1000)) < 0 &&
			errno != EINTR) {
			return err_set(err, errno, "waiting for %s", helper->argv[0]);
		}
		if (fds[3].revents) {
			return err_refuse(err, EPIPE, "the client is gone");
		}
		if (fds[4].revents) {
			return err_refuse(err, EINTR, "the server is stopping");
		}
		/* Asked first: what it wrote before it ended is then in the pipes. */
		int r = collect(running, err);
		bool over = running->ended;
		if (r < 0) {
			return r;
		}
		r = take_both(running, helper->max_output, result);
		if (r < 0) {
			return err_refuse(err, -r, "%s has written more than %zu bytes",
				helper->argv[0], helper->max_output);
		}
		if (over) {
			return 0;
		}
	}
}

static int judge(const struct helper *helper, int status, struct err *err)
{
	if (WIFSIGNALED(status)) {
		return err_refuse(
			err, EIO, "%s was ended by signal %d", helper->argv[0], WTERMSIG(status));
	}
	return WEXITSTATUS(status) == 0 ? 0
					: err_refuse(err, EIO, "%s ended with status %d",
						  helper->argv[0], WEXITSTATUS(status));
}

int helper_run(const struct helper *helper, struct helper_result *ret, struct err *err)
{
	cleanup_close int file = keyfile_open(helper->argv[0], geteuid(), 0, err);
	struct running running = {.pidfd = -1, .output = -1, .errors = -1};
	uint64_t began = io_now_usec();

	*ret = (struct helper_result){0};
	if (file < 0) {
		return file;
	}
	ret->output = calloc(1, helper->max_output + 1);
	int r = ret->output ? start(helper, &running, err)
			    : err_set(err, ENOMEM, "starting %s", helper->argv[0]);
	if (r == 0 &&
		(io_set_nonblocking(running.output, true) < 0 ||
			io_set_nonblocking(running.errors, true) < 0)) {
		r = err_set(err, EIO, "reading from %s", helper->argv[0]);
	}
	r = r ? r : serve(helper, &running, began, ret, err);
	stop(&running);
	r = r ? r : judge(helper, running.status, err);
	ret->usec = io_now_usec() - began;
	if (r < 0) {
		free(ret->output);
		ret->output = NULL;
		ret->size = 0;
	}
	return r;
}
