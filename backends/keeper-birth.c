/*
 * A keeper's birth: its program is copied into a sealed memory file and run from there by a child that
 * shares our memory until its exec. Until it has a job it has nothing to undo and can just be ended.
 */
#include "backends/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "backends/linux/kernel.h"
#include "backends/linux/nursery.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"

#define KEEPER_SOCKET 3
#define KEEPER_FILE 4

static int program_fd = -1;
static struct keeper_ready ahead = {.socket = -1, .pidfd = -1};

/* Of a keeper that is being born; not of this thread's alone, so not a static one. */
struct keeper_birth {
	struct nursery nursery;
	int socket, program; /* program -1: it has to be written first */
	volatile int code; /* errno of what failed */
};

int keeper_warm(void)
{
	cleanup_close int low = -1;

	if (program_fd >= 0) {
		return 0;
	}
	low = io_sealed_memfd("cloche-keeper", keeper_program, keeper_size);
	if (low < 0) {
		return low;
	}
	/* Out of the way of 0 to 4, which mean something in the child. */
	program_fd = fcntl(low, F_DUPFD_CLOEXEC, 10);
	return program_fd < 0 ? -errno : 0;
}

/* For children that share our memory: errno is ours. */
#define RAW(name, ...) raw_call(SYS_##name, __VA_ARGS__, 0)

/* As io_sealed_memfd(). By the child, since it takes longer than its exec, and we have other things to do. */
static __attribute__((no_sanitize("address", "undefined"))) long write_program(void)
{
	long fd =
		RAW(memfd_create, (long)"cloche-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING, 0, 0, 0);
	size_t done = 0;

	while (fd >= 0 && done < keeper_size) {
		long n = RAW(write, fd, (long)(keeper_program + done), keeper_size - done, 0, 0);
		if (n <= 0) {
			return n < 0 ? n : -EIO;
		}
		done += (size_t)n;
	}
	long r = fd < 0 ? fd
			: RAW(fcntl, fd, F_ADD_SEALS,
				  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 0, 0);
	return r < 0 ? r : fd;
}

/* Puts descriptors 0 to 4 in place and closes all the rest. */
static __attribute__((no_sanitize("address", "undefined"))) long place_descriptors(
	const struct keeper_birth *mine, long program)
{
	/* Both are 10 or more. */
	long high = RAW(fcntl, program, F_DUPFD, 10, 0, 0);
	long r = high < 0 ? high : RAW(dup3, mine->socket, KEEPER_SOCKET, 0, 0, 0);

	r = r < 0 ? r : RAW(dup3, high, KEEPER_FILE, 0, 0, 0);
	for (long i = 0; r >= 0 && i < 3; i++) {
		(void)RAW(close, i, 0, 0, 0, 0);
		r = RAW(openat, AT_FDCWD, (long)"/dev/null", O_RDWR, 0, 0);
	}
	return r < 0 ? r : RAW(close_range, KEEPER_FILE + 1, ~0U, 0, 0, 0);
}

static __attribute__((no_sanitize("address", "undefined"))) void become_keeper(const void *data)
{
	static const char *const argv[] = {"cloche-keeper", NULL};
	static const char *const env[] = {NULL};
	static const uint64_t by_default[4]; /* struct sigaction as the kernel has it */
	struct keeper_birth *mine = (struct keeper_birth *)(uintptr_t)data;
	uint64_t none = 0;

	(void)RAW(setsid, 0, 0, 0, 0, 0);
	for (long signo = 1; signo <= 64; signo++) {
		(void)RAW(rt_sigaction, signo, (long)by_default, 0, sizeof(none), 0);
	}
	long program = mine->program >= 0 ? mine->program : write_program();
	long r = program < 0 ? program : place_descriptors(mine, program);
	(void)RAW(rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none), 0);
	if (r >= 0) {
		r = RAW(execveat, KEEPER_FILE, (long)"", (long)argv, (long)env, AT_EMPTY_PATH);
	}
	mine->code = (int)-r;
	for (;;) {
		(void)RAW(exit_group, 127, 0, 0, 0, 0);
	}
}

/* The child is behind our memory then. What it died of, or 0. */
static int birth_free(struct keeper_birth **birth)
{
	struct keeper_birth *gone = take_ptr(birth);
	int code = 0;

	if (!gone) {
		return 0;
	}
	if (nursery_await(&gone->nursery, NULL) < 0) {
		return ETIMEDOUT; /* somebody may still use it: left to him */
	}
	code = gone->code;
	free(gone);
	return code;
}

static int spawn(int socket, struct keeper_ready *ret)
{
	int pidfd = -1;
	struct kernel_clone_args args = {
		.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
	struct keeper_birth *birth = calloc(1, sizeof(*birth));
	sigset_t all;
	sigset_t before;

	if (!birth) {
		return -ENOMEM;
	}
	birth->socket = socket;
	birth->program = program_fd;
	/* No handler of ours may run in the child. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	long pid = nursery_clone(&birth->nursery, args, become_keeper, birth);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		free(birth);
		return (int)pid;
	}
	ret->birth = birth;
	ret->pidfd = pidfd;
	return 0;
}

static int make_keeper(struct keeper_ready *ret, struct err *err)
{
	cleanup_close int theirs = -1;
	int pair[2];
	int r = 0;

	*ret = (struct keeper_ready){.socket = -1, .pidfd = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(err, errno, "making the keeper's socket");
	}
	ret->socket = pair[0];
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
	(void)close(pair[1]);
	r = theirs < 0 ? -errno : spawn(theirs, ret);
	if (r < 0) {
		close_fdp(&ret->socket);
		return err_set(err, -r, "starting the keeper");
	}
	return 0;
}

/* It says nothing before it has its job: what can be read there is that it has ended. */
static bool is_waiting(const struct keeper_ready *ready)
{
	struct pollfd looked[] = {
		{.fd = ready->socket, .events = POLLIN}, {.fd = ready->pidfd, .events = POLLIN}};

	return ready->socket >= 0 && poll(looked, ARRAY_SIZE(looked), 0) == 0;
}

void keeper_ahead(void)
{
	if (ahead.socket < 0) {
		(void)make_keeper(&ahead, NULL);
	}
}

void keeper_forget(void)
{
	keeper_ready_fini(&ahead);
}

int keeper_prepare(struct keeper_ready *ret, struct err *err)
{
	if (is_waiting(&ahead)) {
		*ret = ahead;
		ahead = (struct keeper_ready){.socket = -1, .pidfd = -1};
		return 0;
	}
	keeper_forget();
	return make_keeper(ret, err);
}

void keeper_narrow(struct keeper_ready *ready, const char *const paths[], size_t count)
{
	cleanup_free struct keeper_message *message = malloc(sizeof(*message));
	size_t used = 0;

	if (!message) {
		return;
	}
	message->head = (struct keeper_head){.type = KEEPER_TREE, .flags = (uint32_t)count};
	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(paths[i]) + 1;
		if (used + length > sizeof(message->text)) {
			return;
		}
		memcpy(message->text + used, paths[i], length);
		used += length;
	}
	message->head.size = (uint32_t)used;
	(void)keeper_message_send(ready->socket, message, NULL, 0);
}

void keeper_net(const struct keeper_ready *ready)
{
	const struct keeper_ready *told = ready ? ready : &ahead;

	if (told->socket >= 0) {
		(void)keeper_head_send(
			told->socket, (struct keeper_head){.type = KEEPER_NET}, NULL, 0);
	}
}

int keeper_ready_failed(struct keeper_ready *ready)
{
	return birth_free(&ready->birth);
}

void keeper_ready_fini(struct keeper_ready *ready)
{
	int status = 0;

	close_fdp(&ready->socket);
	(void)birth_free(&ready->birth);
	if (ready->pidfd >= 0 && proc_wait(ready->pidfd, KEEPER_KILL_MS, &status) < 0) {
		(void)proc_signal(ready->pidfd, SIGKILL);
		(void)proc_wait(ready->pidfd, KEEPER_KILL_MS, &status);
	}
	close_fdp(&ready->pidfd);
}
