/*
 * Processes, held by pidfd.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A pidfd of pid, close-on-exec, or negative errno. */
int proc_pidfd(pid_t pid);

/* Sends a signal. 0, -ESRCH when it is gone, or negative errno. */
int proc_signal(int pidfd, int signo);

/*
 * Waits for the child behind pidfd and gives its status as waitpid(2) does. timeout_ms < 0 waits
 * for ever. 0, -ETIMEDOUT, or negative errno.
 */
int proc_wait(int pidfd, int timeout_ms, int *ret_status);

/*
 * Runs argv with an empty-by-default environment (env may be NULL), stdio from fds (-1: /dev/null),
 * no other descriptor, default signals. The child dies with the calling thread. Returns a pidfd and
 * the pid through *ret_pid (may be NULL), or negative errno, also that of a failed exec.
 */
int proc_spawn(char *const argv[], char *const env[], const int fds[3], pid_t *ret_pid);

/* An open file of another process, as proc_pid_fd(5) shows it. */
struct proc_fd {
	int number;
	int dir; /* the list, and in it: */
	const char *name;
	const char *target; /* what the link says, cut to 255 bytes */
};

/*
 * Shows is_wanted() the open files of pid, in no order, until it says yes. 1: it did, 0: it never
 * did, or negative errno: the list cannot be read.
 */
int proc_find_fd(
	pid_t pid, bool (*is_wanted)(const struct proc_fd *fd, void *context), void *context);

/* The exit code a shell would give: the code itself, or 128 + the signal. */
int proc_exit_code(int status);
