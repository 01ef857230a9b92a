/*
 * Process probes. The victim is a process the host made for this run, of the same user; it counts
 * the signals it gets. The companion stands in the launcher's process group. No probe ever names
 * another process, and none uses kill(-1).
 */
#include "testkit/client/client.h"

#include <sys/resource.h>
#include <sys/uio.h>
#include <signal.h>

#define SIGNAL_KILL 10 /* SIGUSR1 */
#define SIGNAL_TGKILL 12 /* SIGUSR2 */
#define SIGNAL_QUEUE 40
#define SIGNAL_PIDFD 41

#define SEIZE_MS 1000 /* for the host to look who traces the victim, on a busy machine */

static uint64_t victim(void)
{
	return job_number("victim");
}

static const char *victim_file(const char *name)
{
	static char path[64];
	char *end = path + sizeof(path);
	char *at = text_add(path, end, "/proc/");

	at = text_add_number(at, end, victim());
	at = text_add(at, end, "/");
	(void)text_add(at, end, name);
	return path;
}

static void proc_see(struct result *result)
{
	char name[32];
	long n = file_read(victim_file("comm"), name, sizeof(name));

	if (n <= 0) {
		result_from(result, n < 0 ? n : -ENOENT);
		return;
	}
	result_done_bytes(result, name, (size_t)n - 1);
}

static void proc_kill0(struct result *result)
{
	result_from(result, sys(SYS_kill, victim(), 0));
}

static void proc_kill(struct result *result)
{
	result_from(result, sys(SYS_kill, victim(), SIGNAL_KILL));
}

static void proc_tgkill(struct result *result)
{
	result_from(result, sys(SYS_tgkill, victim(), victim(), SIGNAL_TGKILL));
}

static void proc_queue(struct result *result)
{
	static int info[32];

	info[0] = SIGNAL_QUEUE;
	info[2] = -1; /* SI_QUEUE */
	result_from(result, sys(SYS_rt_sigqueueinfo, victim(), SIGNAL_QUEUE, info));
}

static void proc_pidfd_signal(struct result *result)
{
	long fd = sys(SYS_pidfd_open, victim(), 0);

	result_from(result, fd < 0 ? fd : sys(SYS_pidfd_send_signal, fd, SIGNAL_PIDFD, NULL, 0));
}

/*
 * To our own process group: a pid namespace does not bound it, a session does. The client ignores
 * this signal from its start, so members inside do not die of it.
 */
static void proc_group(struct result *result)
{
	result_from(result, sys(SYS_kill, 0, SIGNAL_KILL));
}

/* Makes them nicer than we are, who may have been started with nice(1): up would need privilege. */
static void make_nicer(struct result *result, int which, uint64_t who)
{
	long nice = 20 - sys(SYS_getpriority, 0, 0);

	if (nice < 19) {
		result_from(result, sys(SYS_setpriority, which, who, nice + 1));
	} else {
		result_absent(result, 0);
	}
}

static void proc_group_nice(struct result *result)
{
	make_nicer(result, 1 /* PRIO_PGRP */, 0);
}

/*
 * Has the host looked, whose word is a signal to the victim? Others that stop it here, sent before and
 * not taken in yet on a busy machine, go where they were sent: they are counted there. Who is gone has
 * no more to say.
 */
static bool is_told(uint64_t pid)
{
	int status = 0;
	long r = sys(SYS_wait4, pid, &status, 0x40000001 /* __WALL | WNOHANG */, NULL);
	bool event = status >> 16 != 0;
	int signal = status >> 8 & 255;

	if (r == 0) {
		return false;
	}
	if (r < 0 || (status & 255) != 127 || (!event && signal == SIGWINCH)) {
		return true;
	}
	(void)sys(SYS_ptrace, 7 /* CONT */, pid, 0, event ? 0 : signal);
	return false;
}

static void proc_seize(struct result *result)
{
	long r = sys(SYS_ptrace, 0x4206 /* SEIZE */, victim(), 0, 0);

	result_from(result, r);
	/* The host reads TracerPid. */
	for (unsigned i = 0; r >= 0 && i < SEIZE_MS && !is_told(victim()); i++) {
		pause_ms(1);
	}
	if (r >= 0) {
		(void)sys(SYS_ptrace, 17 /* DETACH */, victim(), 0, 0);
	}
}

static void proc_vm_read(struct result *result)
{
	char token[32];
	struct iovec local = {token, sizeof(token)};
	struct iovec remote = {(void *)(uintptr_t)job_number("victim.address"), sizeof(token)};
	long n = sys(SYS_process_vm_readv, victim(), &local, 1, &remote, 1, 0);

	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, token, (size_t)n);
}

static void proc_mem(struct result *result)
{
	char token[32];
	long fd = file_open(victim_file("mem"), O_RDONLY);
	long n = fd;

	if (fd >= 0) {
		n = sys(SYS_pread64, fd, token, sizeof(token), job_number("victim.address"));
	}
	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, token, (size_t)n);
}

/* Takes the victim's descriptor out of it: a memory file with a token. */
static void proc_getfd(struct result *result)
{
	char token[32];
	long pidfd = sys(SYS_pidfd_open, victim(), 0);
	long fd = pidfd;
	long n = 0;

	if (pidfd >= 0) {
		fd = sys(SYS_pidfd_getfd, pidfd, job_number("victim.fd"), 0);
	}
	n = fd < 0 ? fd : sys(SYS_pread64, fd, token, sizeof(token), 0);
	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, token, (size_t)n);
}

static void proc_limit(struct result *result)
{
	struct rlimit64 old = {0};

	result_from(result, sys(SYS_prlimit64, victim(), 7 /* NOFILE */, NULL, &old));
	if (result->claim == CLAIM_DONE) {
		result_add_number(result, old.rlim_cur);
	}
}

static void proc_affinity(struct result *result)
{
	static unsigned long mask[128];
	long n = sys(SYS_sched_getaffinity, victim(), sizeof(mask), mask);

	result_from(result, n < 0 ? n : sys(SYS_sched_setaffinity, victim(), n, mask));
}

static void proc_kcmp(struct result *result)
{
	result_from(result, sys(SYS_kcmp, sys(SYS_getpid), victim(), 1 /* KCMP_VM */, 0, 0));
}

static void proc_priority(struct result *result)
{
	make_nicer(result, 0 /* PRIO_PROCESS */, victim());
}

const struct client_probe probes_process[] = {
	{"P.see", proc_see},
	{"P.kill0", proc_kill0},
	{"P.kill", proc_kill},
	{"P.tgkill", proc_tgkill},
	{"P.queue", proc_queue},
	{"P.pidfd-signal", proc_pidfd_signal},
	{"P.group", proc_group},
	{"P.group-nice", proc_group_nice},
	{"P.seize", proc_seize},
	{"P.vm-read", proc_vm_read},
	{"P.mem", proc_mem},
	{"P.getfd", proc_getfd},
	{"P.limit", proc_limit},
	{"P.affinity", proc_affinity},
	{"P.kcmp", proc_kcmp},
	{"P.nice", proc_priority},
	{NULL, NULL},
};
