/*
 * Processes of ours: a victim that counts its signals, a companion in the launcher's process group.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/canary-parts.h"

static const int victim_signals[CANARY_SIGNALS] = {SIGUSR1, SIGUSR2, 40, 41};
static struct victim_page *victim_page; /* in the child alone */

static void victim_count(int signo)
{
	for (size_t i = 0; i < CANARY_SIGNALS; i++) {
		if (victim_signals[i] == signo) {
			victim_page->signals[i]++;
		}
	}
}

static void companion_count(int signo)
{
	(void)signo;
	victim_page->group_signals++;
}

/* Signals come in the order of their numbers, each handled to its end: after this one all were. */
#define BARRIER_SIGNAL 63
#define BARRIER_TIMEOUT_USEC 10000000 /* as long as a busy machine may take */

static void count_barrier(int signo)
{
	(void)signo;
	__atomic_add_fetch(&victim_page->barriers, 1, __ATOMIC_SEQ_CST);
}

/* The one that only keeps the group alive. */
static void ignore_signal(int signo)
{
	(void)signo;
}

static void count_signals(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigset_t none;

	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < CANARY_SIGNALS; i++) {
		(void)sigaction(victim_signals[i], &action, NULL);
	}
	action.sa_handler = count_barrier;
	(void)sigaction(BARRIER_SIGNAL, &action, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void wait_for_ever(void)
{
	for (;;) {
		(void)pause();
	}
}

/* What a process of ours needs to be: which user, in which group, counting what. */
struct role {
	uid_t uid;
	gid_t gid;
	pid_t group; /* 0: one of its own */
	int token_fd; /* becomes descriptor 3, or -1 */
	void (*count)(int signo);
};

/* Holds nothing but its token, and may be looked at. Never returns. */
static void play(const struct canary *canary, const struct role *role, int ready)
{
	char token[CANARY_TOKEN];
	struct rlimit limit = {canary->victim_limit, canary->victim_limit};

	victim_page = canary->page;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, canary_token(canary, "P.see", token));
	(void)setpgid(0, role->group);
	ready = fcntl(ready, F_DUPFD_CLOEXEC, 4);
	if (role->token_fd >= 0) {
		(void)dup2(role->token_fd, 3);
	}
	for (unsigned fd = 0; fd < 3; fd++) {
		(void)close((int)fd);
	}
	if (role->token_fd < 0) {
		(void)close(3);
	}
	(void)syscall(SYS_close_range, 4, (unsigned)ready - 1, 0);
	(void)syscall(SYS_close_range, (unsigned)ready + 1, ~0U, 0);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (geteuid() == 0 &&
		(setgroups(0, NULL) < 0 || setresgid(role->gid, role->gid, role->gid) < 0 ||
			setresuid(role->uid, role->uid, role->uid) < 0)) {
		_exit(1);
	}
	(void)prctl(PR_SET_DUMPABLE, 1);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes it away */
	count_signals(role->count);
	(void)!write(ready, "r", 1);
	(void)close(ready);
	wait_for_ever();
}

/* Returns the pid once it is ready, or a negative errno. */
static pid_t cast(const struct canary *canary, const struct role *role)
{
	int ready[2];
	char byte = 0;
	pid_t pid = 0;
	int code = 0;

	if (pipe2(ready, O_CLOEXEC) < 0) {
		return -errno;
	}
	pid = fork();
	code = errno;
	if (pid == 0) {
		play(canary, role, ready[1]);
	}
	(void)close(ready[1]);
	if (pid > 0) {
		(void)!read(ready[0], &byte, 1);
	}
	(void)close(ready[0]);
	return pid < 0 ? -code : pid;
}

int canary_meet(struct canary *canary, uid_t uid, gid_t gid, struct err *err)
{
	static const char *const mine[] = {"mine/F.chmod", "mine/F.times"};
	struct role victim = {uid, gid, 0, -1, victim_count};
	struct role companion = {uid, gid, canary->anchor, -1, companion_count};
	char token[CANARY_TOKEN];
	char path[160];
	uint16_t random = 0;
	cleanup_close int token_fd = -1;

	if (canary->bare) {
		return 0;
	}
	token_fd = memfd_create("token", MFD_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", canary->read, mine[i]);
		(void)!lchown(path, uid, gid);
	}
	io_random(&random, sizeof(random));
	canary->victim_limit = 200 + random % 700;
	(void)canary_token(canary, "P.getfd", token);
	if (token_fd < 0 || io_write_all(token_fd, token, strlen(token)) < 0) {
		return err_set(err, errno, "making the victim");
	}
	victim.token_fd = token_fd;
	canary->victim = cast(canary, &victim);
	canary->companion = cast(canary, &companion);
	if (canary->victim < 0 || canary->companion < 0) {
		return err_set(err, EAGAIN, "making the victim");
	}
	canary_set(canary, "victim", "%d", canary->victim);
	canary_set(canary, "victim.address", "%llu",
		(unsigned long long)(uintptr_t)canary->page->token);
	canary_set(canary, "victim.fd", "3");
	return 0;
}

int canary_company(struct canary *canary, struct err *err)
{
	const struct role anchor = {CANARY_NOBODY, CANARY_NOBODY, 0, -1, ignore_signal};

	canary->victim_limit = 64;
	canary->anchor = cast(canary, &anchor);
	return canary->anchor < 0 ? err_set(err, -canary->anchor, "making a process group") : 0;
}

/* Whoever ended it reached it. It is still to be waited for. */
static bool is_dead(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid == pid;
}

/* A stopped one is let go on, so that it can say what it got. */
static void ask_barrier(pid_t pid, unsigned *expected)
{
	if (pid > 0 && kill(pid, SIGCONT) == 0 && kill(pid, BARRIER_SIGNAL) == 0) {
		(*expected)++;
	}
}

void canary_settle(struct canary *canary)
{
	uint64_t until = io_now_usec() + BARRIER_TIMEOUT_USEC;
	unsigned expected = canary->page->barriers;

	ask_barrier(canary->victim, &expected);
	ask_barrier(canary->companion, &expected);
	while (canary->page->barriers < expected && io_now_usec() < until &&
		!canary->victim_killed && !canary->companion_killed) {
		canary->victim_killed = canary->victim > 0 && is_dead(canary->victim);
		canary->companion_killed = canary->companion > 0 && is_dead(canary->companion);
		(void)usleep(200);
	}
	canary->settled = canary->page->barriers >= expected;
}

bool canary_counted(const struct canary *canary)
{
	return canary->settled;
}

unsigned canary_signals(const struct canary *canary, unsigned which)
{
	return canary->page->signals[which] + canary->victim_killed;
}

unsigned canary_group_signals(const struct canary *canary)
{
	return canary->page->group_signals + canary->companion_killed;
}

static void end_process(pid_t *pid)
{
	if (*pid > 0) {
		(void)kill(*pid, SIGKILL);
		(void)waitpid(*pid, NULL, 0);
		*pid = 0;
	}
}

void canary_dismiss(struct canary *canary)
{
	end_process(&canary->victim);
	end_process(&canary->companion);
	end_process(&canary->anchor);
}
