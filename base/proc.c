#include "base/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int proc_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int proc_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

int proc_wait(int pidfd, int timeout_ms, int *ret_status)
{
	siginfo_t info = {0};
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};
	uint64_t deadline = io_now_usec() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000;

	for (;;) {
		int left = -1;
		if (timeout_ms >= 0) {
			uint64_t now = io_now_usec();
			left = now >= deadline ? 0 : (int)((deadline - now + 999) / 1000);
		}
		int r = poll(&wait, 1, left);
		if (r > 0) {
			break;
		}
		if (r == 0) {
			return -ETIMEDOUT;
		}
		if (errno != EINTR) {
			return -errno;
		}
	}
	if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0) {
		return -errno;
	}
	*ret_status = info.si_code == CLD_EXITED
		? info.si_status << 8
		: info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
	return 0;
}

/* In the child: never returns. Only calls that are safe after fork in any program. */
static void spawn_child(char *const argv[], char *const env[], const int fds[3], int status_fd)
{
	static char *const no_env[] = {NULL};
	sigset_t none;
	int moved[3];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < 3; i++) {
		int fd = fds[i] >= 0 ? fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
		moved[i] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	}
	status_fd = fcntl(status_fd, F_DUPFD_CLOEXEC, 10);
	for (int i = 0; i < 3; i++) {
		if (moved[i] < 0 || dup2(moved[i], i) < 0) {
			_exit(127);
		}
	}
	for (int signo = 1; signo < NSIG; signo++) {
		(void)signal(signo, SIG_DFL);
	}
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(argv[0], argv, env ? env : no_env);
	int code = errno;
	(void)io_write_all(status_fd, &code, sizeof(code));
	_exit(127);
}

int proc_spawn(char *const argv[], char *const env[], const int fds[3], pid_t *ret_pid)
{
	cleanup_close int read_end = -1;
	cleanup_close int write_end = -1;
	cleanup_close int pidfd = -1;
	int status[2];
	int code = 0;
	pid_t pid = 0;

	if (pipe2(status, O_CLOEXEC) < 0) {
		return -errno;
	}
	read_end = status[0];
	write_end = status[1];
	pid = fork();
	if (pid < 0) {
		return -errno;
	}
	if (pid == 0) {
		spawn_child(argv, env, fds, write_end);
	}
	close_fdp(&write_end);
	pidfd = proc_pidfd(pid);
	if (io_read_all(read_end, &code, sizeof(code)) == 0) {
		int ignored = 0;
		(void)waitpid(pid, &ignored, 0);
		return -code;
	}
	if (pidfd < 0) {
		return pidfd;
	}
	if (ret_pid) {
		*ret_pid = pid;
	}
	return take_fd(&pidfd);
}

int proc_find_fd(
	pid_t pid, bool (*is_wanted)(const struct proc_fd *fd, void *context), void *context)
{
	char path[32];
	struct dirent *entry = NULL;
	bool found = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *list = opendir(path);
	if (!list) {
		return -errno;
	}
	while (!found && (entry = readdir(list))) {
		char target[256] = "";
		/* One that is closed meanwhile is none. */
		if (entry->d_name[0] == '.' ||
			readlinkat(dirfd(list), entry->d_name, target, sizeof(target) - 1) < 0) {
			continue;
		}
		found = is_wanted(
			&(struct proc_fd){atoi(entry->d_name), dirfd(list), entry->d_name, target},
			context);
	}
	(void)closedir(list);
	return found;
}

int proc_exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
