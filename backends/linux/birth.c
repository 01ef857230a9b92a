/*
 * The first half of a launch: from a plan's namespaces and ids to a child that runs cloche-init and
 * waits for the rest.
 *
 *	ids, group	the names it will have on the host
 *	clone3		into the v2 group, signals cleared, with a pidfd
 *	maps, go	never to host root when we are root; the child execs cloche-init from the sealed
 *			file and makes its network namespace, which takes longest, while we go on
 *
 * The child runs our code with our memory only between clone3 and exec, where it does nothing but
 * wait and change identity.
 *
 * What is born knows nothing of a session: not its command, its mounts or its limits. So it may be
 * born ahead, for a start that is likely to come, and that start takes it if what it needs is the
 * same. It is used once, by one session, like every other.
 */
#include "backends/linux/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "backends/linux/cgroup.h"
#include "backends/linux/image.h"
#include "backends/linux/kernel.h"
#include "backends/linux/launcher.h"
#include "backends/linux/nursery.h"
#include "backends/linux/ring.h"
#include "base/cleanup.h"
#include "base/io.h"

/* For children that share our memory: errno is ours. */
#define RAW(name, ...) raw_call(SYS_##name, __VA_ARGS__, 0)

static int init_memfd = -1;

int launcher_warm(void)
{
	cleanup_close int low = -1;

	if (init_memfd >= 0) {
		return 0;
	}
	low = io_sealed_memfd("cloche-init", launcher_init_program, launcher_init_size);
	if (low < 0) {
		return low;
	}
	/* Out of the way of 0 to 3, which mean something in the child. */
	init_memfd = fcntl(low, F_DUPFD_CLOEXEC, 10);
	return init_memfd < 0 ? -errno : 0;
}

/* What the child needs between clone3 and exec. */
struct birth {
	int control, program;
	int launchers_end; /* of the control socket: closed, or we would never see it close */
	bool root; /* become root inside; without root there is one uid, and it is ours */
	bool net; /* cloche-init makes a network namespace */
	bool keep_fds; /* PLAN_LAYER_CLOSE_FDS is left out */
};

/* Of the one child that is being born: they outlive the function that clones it. */
static struct nursery nursery;
static struct birth birth;

/* An exec by a user that is not root inside would lose the capabilities; ambient ones stay. */
static __attribute__((no_sanitize("address", "undefined"))) bool keep_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (RAW(capget, (long)&header, (long)data, 0, 0, 0) < 0) {
		return false;
	}
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	if (RAW(capset, (long)&header, (long)data, 0, 0, 0) < 0) {
		return false;
	}
	for (long number = 0; RAW(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) == 0;
		number++) {
	}
	return true;
}

/*
 * Between clone3 and exec. The child shares our memory and has a stack of its own, so that nothing
 * is copied (a page fault costs 2 us where this was measured, a fork of a small process 0.14 ms). It
 * only makes system calls, and those do not write errno, which is ours too. Nobody can look on: in
 * its namespaces there is nobody yet.
 */
static __attribute__((no_sanitize("address", "undefined"))) void become_init(const void *data)
{
	static char *const env[] = {NULL};
	const struct birth *mine = data;
	const char *const argv[] = {"cloche-init", mine->net ? IMAGE_ARGUMENT_NET : NULL, NULL};
	char go = 0;
	bool fine = true;

	(void)RAW(close, mine->launchers_end, 0, 0, 0, 0);
	fine = RAW(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
	fine = fine && RAW(read, mine->control, (long)&go, 1, 0, 0) == 1 && go == 'g';
	if (mine->root) {
		fine = fine && RAW(setresgid, 0, 0, 0, 0, 0) == 0 &&
			RAW(setresuid, 0, 0, 0, 0, 0) == 0;
	} else {
		fine = fine && keep_capabilities();
	}
	/* The change of identity has cleared it. */
	fine = fine && RAW(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
	/* Close-on-exec goes away with the copy. */
	if (fine && RAW(dup3, mine->control, IMAGE_CONTROL_FD, 0, 0, 0) >= 0) {
		for (int i = 0; i < 3; i++) {
			(void)RAW(close, i, 0, 0, 0, 0);
		}
		/* What our caller left open to us must not reach even cloche-init. */
		if (!mine->keep_fds &&
			RAW(close_range, IMAGE_CONTROL_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC, 0, 0) <
				0) {
			RAW(exit, 125, 0, 0, 0, 0);
		}
		(void)RAW(execveat, mine->program, (long)"", (long)argv, (long)env, AT_EMPTY_PATH);
	}
	for (;;) {
		(void)RAW(exit, 125, 0, 0, 0, 0);
	}
}

static uint64_t clone_flags(uint32_t namespaces)
{
	static const struct {
		uint32_t ours;
		uint64_t kernels;
	} table[] = {
		{PLAN_NS_USER, CLONE_NEWUSER}, {PLAN_NS_MOUNT, CLONE_NEWNS},
		{PLAN_NS_PID, CLONE_NEWPID}, {PLAN_NS_IPC, CLONE_NEWIPC},
		{PLAN_NS_UTS, CLONE_NEWUTS},
		/* net: by cloche-init, at the same time as we prepare what it needs;
		 * cgroup: by cloche-init, once it is in all its cgroups */
	};
	uint64_t flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		flags |= namespaces & table[i].ours ? table[i].kernels : 0;
	}
	return flags;
}

/*
 * Descriptors 0 to 3 get new meanings in the child, so the socket's end and the program must not
 * sit there.
 */
static int clone_child(struct native_sandbox *sandbox, const struct plan *plan, struct err *err)
{
	int group = cgroup_clone_fd(&sandbox->cgroup);
	int pidfd = -1;
	struct kernel_clone_args args = {
		.flags = clone_flags(plan->namespaces) | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD};
	long pid = -1;

	if (group >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)group;
		pid = nursery_clone(&nursery, args, become_init, &birth);
	}
	if (pid < 0) {
		/* Older kernels, or a v2 tree that takes no process: attach it while it waits. */
		args.flags &= ~CLONE_INTO_CGROUP;
		args.cgroup = 0;
		group = -1;
		pid = nursery_clone(&nursery, args, become_init, &birth);
	}
	if (pid < 0) {
		return err_set(err, (int)-pid, "making the sandbox's namespaces");
	}
	sandbox->cloned = group >= 0;
	sandbox->base.pid = (pid_t)pid;
	sandbox->base.pidfd = pidfd;
	return 0;
}

static int write_map(
	pid_t pid, const char *file, const struct plan *plan, uint32_t own, uint32_t base)
{
	char path[64];
	char map[256];
	size_t used = 0;

	for (size_t i = 0; i < plan->id_map_count; i++) {
		const struct plan_id_map *entry = &plan->uid_map[i];
		used += (size_t)snprintf(map + used, sizeof(map) - used, "%u %u %u\n",
			entry->inside, entry->own ? own : base + entry->offset, entry->count);
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return io_write_file(AT_FDCWD, path, map);
}

/* The child is ours and unreaped, so its number cannot mean anybody else. */
static int write_maps(struct native_sandbox *sandbox, const struct plan *plan,
	const struct host *host, struct err *err)
{
	pid_t pid = sandbox->base.pid;
	char path[64];
	int r = 0;

	if (!(plan->namespaces & PLAN_NS_USER)) {
		return 0;
	}
	if (!host->root) {
		(void)snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
		r = io_write_file(AT_FDCWD, path, "deny");
	}
	r = r < 0 ? r : write_map(pid, "gid_map", plan, getegid(), sandbox->ids.base);
	r = r < 0 ? r : write_map(pid, "uid_map", plan, geteuid(), sandbox->ids.base);
	return r < 0 ? err_set(err, -r, "writing the id maps") : 0;
}

/* What the child is born with: its range of ids, and the group it is killed by. */
int birth_names(struct native_sandbox *sandbox, const struct plan *plan, const struct host *host,
	struct err *err)
{
	for (size_t i = 0; i < plan->id_map_count; i++) {
		if (!plan->uid_map[i].own) {
			int r = idrange_take(host, &sandbox->ids, err);
			if (r < 0) {
				return err_wrap(err, "taking an id range");
			}
			break;
		}
	}
	if (plan->without & PLAN_LAYER_CGROUP) {
		return 0;
	}
	return cgroup_begin(host, sandbox->base.id, &sandbox->cgroup, err);
}

int birth_give(struct native_sandbox *sandbox, const struct plan *plan, const struct host *host,
	struct err *err)
{
	cleanup_close int theirs = -1;
	int pair[2];
	int r = plan->namespaces & PLAN_NS_USER ? 0 : ring_check(err);

	if (r < 0) {
		return r;
	}
	r = launcher_warm();
	if (r < 0) {
		return err_set(err, -r, "making cloche-init's file");
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(err, errno, "making the control socket");
	}
	sandbox->base.event = pair[0];
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
	(void)close(pair[1]);
	if (theirs < 0) {
		return err_set(err, errno, "making the control socket");
	}
	r = nursery_await(&nursery, err);
	if (r < 0) {
		return r;
	}
	sandbox->namespaces = plan->namespaces;
	birth = (struct birth){.control = theirs,
		.launchers_end = sandbox->base.event,
		.program = init_memfd,
		.net = plan->namespaces & PLAN_NS_NET && !plan_has_way_out(plan),
		.keep_fds = plan->without & PLAN_LAYER_CLOSE_FDS,
		.root = !plan->id_map_count || !plan->uid_map[0].own};
	/* Born in the network that was made for it, which stays ours. */
	r = network_enter(&sandbox->network, err);
	r = r < 0 ? r : clone_child(sandbox, plan, err);
	network_leave(&sandbox->network);
	if (r < 0 || (r = write_maps(sandbox, plan, host, err)) < 0) {
		return r;
	}
	r = io_send(sandbox->base.event, "g", 1, NULL, 0);
	if (r < 0) {
		return err_set(err, -r, "letting the child go on");
	}
	sandbox->born = true;
	return 0;
}

/*
 * Not earlier: the kernel gives all who share a memory the same score, and it would be ours. Below the
 * command's own 500, so that cloche-init is not the first to go.
 */
int birth_yield(const struct native_sandbox *sandbox, struct err *err)
{
	char path[64];
	int r = nursery_await(&nursery, err);

	if (r < 0) {
		return r;
	}
	/* One that is dead says so itself; a root that may not lower its own score is no better than a user. */
	(void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", sandbox->base.pid);
	(void)io_write_file(AT_FDCWD, path, "400");
	return 0;
}

struct native_sandbox *birth_new(void)
{
	struct native_sandbox *sandbox = calloc(1, sizeof(*sandbox));
	unsigned char id[16];

	if (!sandbox) {
		return NULL;
	}
	sandbox->base =
		(struct sandbox){.backend = &backend_native, .pidfd = -1, .event = -1, .pty = -1};
	sandbox->ids.lock = -1;
	sandbox->door = -1;
	cgroup_init(&sandbox->cgroup);
	network_init(&sandbox->network);
	io_random(id, sizeof(id));
	(void)io_hex(id, sizeof(id), sandbox->base.id);
	return sandbox;
}

/* ---- ahead ---- */

/* Of a plan and a host, all that decides what is born. */
struct kind {
	uint32_t namespaces, without;
	struct plan_id_map maps[PLAN_MAX_ID_MAPS];
	size_t map_count;
	uint32_t id_base, id_count;
	char cgroup_kill[sizeof(((struct host *)NULL)->cgroup_kill)];
};

static struct native_sandbox *ahead;
static struct kind ahead_kind;

static struct kind kind_of(const struct plan *plan, const struct host *host)
{
	struct kind kind = {.namespaces = plan->namespaces,
		.without = plan->without & (PLAN_LAYER_CGROUP | PLAN_LAYER_CLOSE_FDS),
		.map_count = plan->id_map_count,
		.id_base = host->id_base,
		.id_count = host->id_count};

	memcpy(kind.maps, plan->uid_map, sizeof(kind.maps[0]) * plan->id_map_count);
	(void)snprintf(kind.cgroup_kill, sizeof(kind.cgroup_kill), "%s", host->cgroup_kill);
	return kind;
}

static bool is_same_map(const struct plan_id_map *a, const struct plan_id_map *b)
{
	return a->inside == b->inside && a->count == b->count && a->offset == b->offset &&
		a->own == b->own;
}

static bool is_same_kind(const struct kind *a, const struct kind *b)
{
	bool same = a->namespaces == b->namespaces && a->without == b->without &&
		a->map_count == b->map_count && a->id_base == b->id_base &&
		a->id_count == b->id_count && strcmp(a->cgroup_kill, b->cgroup_kill) == 0;

	for (size_t i = 0; same && i < a->map_count; i++) {
		same = is_same_map(&a->maps[i], &b->maps[i]);
	}
	return same;
}

void birth_ahead(const struct plan *plan, const struct host *host)
{
	struct native_sandbox *sandbox = NULL;

	if (ahead || plan_has_way_out(plan) || !(sandbox = birth_new())) {
		return;
	}
	if (birth_names(sandbox, plan, host, NULL) < 0 ||
		birth_give(sandbox, plan, host, NULL) < 0) {
		launcher_destroy(&sandbox->base);
		return;
	}
	ahead = sandbox;
	ahead_kind = kind_of(plan, host);
}

void birth_forget(void)
{
	if (ahead) {
		launcher_destroy(&take_ptr(&ahead)->base);
	}
}

/* It says nothing before it has its plan: what can be read there is that it has ended. */
static bool is_waiting(const struct native_sandbox *sandbox)
{
	struct pollfd looked[] = {{.fd = sandbox->base.event, .events = POLLIN},
		{.fd = sandbox->base.pidfd, .events = POLLIN}};

	return poll(looked, ARRAY_SIZE(looked), 0) == 0;
}

struct native_sandbox *birth_take(const struct plan *plan, const struct host *host)
{
	struct kind wanted = {0};

	if (!ahead) {
		return NULL;
	}
	wanted = kind_of(plan, host);
	if (plan_has_way_out(plan) || !is_same_kind(&wanted, &ahead_kind) || !is_waiting(ahead)) {
		birth_forget();
		return NULL;
	}
	return take_ptr(&ahead);
}
