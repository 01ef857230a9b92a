/*
 * From a plan to a running sandbox. The order is that of the launch recipe:
 *
 *	ids, group	the names it will have on the host
 *	network		if it has a way out: the namespace, its link, its rules (network.c)
 *	clone3		into the v2 group, signals cleared, with a pidfd
 *	maps, go	never to host root when we are root; the child execs cloche-init from the sealed
 *			file and makes its network namespace, which takes longest, while we do this:
 *	sources		every host path once, to a descriptor; what follows uses descriptors only
 *	limits		written and read back, before the child has anything to run
 *	image		the plan, the streams, the groups to enter
 *	trees		detached, flagged recursively, idmapped
 *	STARTED		the command's exec has succeeded
 *
 * Whatever fails, destroy() undoes: kill by cgroup and pidfd, wait, remove. The child's birth is in
 * birth.c.
 */
#include "backends/linux/launcher.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "backends/linux/birth.h"
#include "backends/linux/cgroup.h"
#include "backends/linux/filter.h"
#include "backends/linux/image-make.h"
#include "backends/linux/kernel.h"
#include "backends/linux/leave.h"
#include "backends/linux/network.h"
#include "backends/linux/sandbox.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"

#define START_TIMEOUT_MS 10000
#define DEATH_TIMEOUT_MS 5000
#define NETD_ID 65000 /* cloche-netd's, within the session's range; nobody inside can have it */

/* For children that share our memory: errno is ours. */
#define RAW(name, ...) raw_call(SYS_##name, __VA_ARGS__, 0)

/* Sources, opened: what a start needs besides the plan. */
struct sources {
	struct image_source *found;
	int *paths; /* O_PATH descriptors, -1 where there is none */
	size_t count;
};

struct native_sandbox *launcher_native(struct sandbox *sandbox)
{
	assert(sandbox->backend == &backend_native);
	return (struct native_sandbox *)sandbox;
}

static void sources_fini(struct sources *sources)
{
	for (size_t i = 0; i < sources->count; i++) {
		close_fdp(&sources->paths[i]);
	}
	free(sources->found);
	free(sources->paths);
}

static bool needs_host_source(const struct plan_mount *mount)
{
	return (mount->kind == PLAN_MOUNT_BIND && !(mount->flags & PLAN_INSIDE)) ||
		mount->kind == PLAN_MOUNT_OVERLAY || mount->kind == PLAN_MOUNT_DEVICE;
}

/*
 * What a session may have written (a path below somebody's writable scope, a root directory's
 * content) must not lead elsewhere: no symbolic link is followed, or only within its root.
 */
static int resolve_source(const struct plan_mount *mount)
{
	uint64_t how = KERNEL_RESOLVE_NO_MAGICLINKS;

	if (mount->flags & PLAN_IN_ROOT) {
		cleanup_close int root = kernel_openat2(AT_FDCWD, mount->content,
			O_PATH | O_DIRECTORY | O_CLOEXEC, 0, how | KERNEL_RESOLVE_NO_SYMLINKS);
		return root < 0 ? -1
				: kernel_openat2(root, mount->source, O_PATH | O_CLOEXEC, 0,
					  how | KERNEL_RESOLVE_IN_ROOT);
	}
	if (!(mount->flags & PLAN_FOLLOW)) {
		how |= KERNEL_RESOLVE_NO_SYMLINKS;
	}
	return kernel_openat2(AT_FDCWD, mount->source, O_PATH | O_CLOEXEC, 0, how);
}

int launcher_open_source(
	const struct plan_mount *mount, int *ret_fd, struct image_source *ret, struct err *err)
{
	struct stat seen;
	cleanup_close int fd = resolve_source(mount);

	if (fd < 0 && errno == ENOENT && (mount->flags & PLAN_OPTIONAL)) {
		ret->absent = true;
		return 0;
	}
	if (fd < 0 && errno == ELOOP) {
		return err_refuse(err, ELOOP,
			"%s: there is a symbolic link in it; give the path it leads to",
			mount->source);
	}
	if (fd < 0 || fstat(fd, &seen) < 0) {
		return err_set(err, errno, "opening %s for the sandbox", mount->source);
	}
	if (mount->kind == PLAN_MOUNT_DEVICE && !S_ISCHR(seen.st_mode)) {
		return err_set(err, ENODEV, "%s is not the device it should be", mount->source);
	}
	if (mount->kind == PLAN_MOUNT_OVERLAY && !S_ISDIR(seen.st_mode)) {
		return err_set(err, ENOTDIR, "%s cannot get an overlay", mount->source);
	}
	ret->device = (uint64_t)major(seen.st_dev) << 32 | minor(seen.st_dev);
	ret->inode = seen.st_ino;
	*ret_fd = take_fd(&fd);
	return 0;
}

static int open_sources(
	const struct plan *plan, const struct host *host, struct sources *ret, struct err *err)
{
	ret->found = calloc(plan->mount_count + 1, sizeof(*ret->found));
	ret->paths = calloc(plan->mount_count + 1, sizeof(*ret->paths));
	if (!ret->found || !ret->paths) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < plan->mount_count; i++) {
		ret->paths[i] = -1;
		ret->count = i + 1;
		if (!needs_host_source(&plan->mounts[i])) {
			continue;
		}
		int r = launcher_open_source(&plan->mounts[i], &ret->paths[i], &ret->found[i], err);
		if (r < 0) {
			return r;
		}
		ret->found[i].has_tree = host->root && !ret->found[i].absent;
	}
	return 0;
}

static uint64_t mount_attributes(const struct plan_mount *mount)
{
	uint32_t flags = mount->flags;

	if (mount->kind == PLAN_MOUNT_DEVICE) {
		return KERNEL_MOUNT_ATTR_NOSUID | KERNEL_MOUNT_ATTR_NOEXEC;
	}
	return (flags & PLAN_READ_ONLY || mount->kind == PLAN_MOUNT_OVERLAY
			       ? KERNEL_MOUNT_ATTR_RDONLY
			       : 0) |
		(flags & PLAN_NOSUID ? KERNEL_MOUNT_ATTR_NOSUID : 0) |
		(flags & PLAN_NODEV ? KERNEL_MOUNT_ATTR_NODEV : 0) |
		(flags & PLAN_NOEXEC ? KERNEL_MOUNT_ATTR_NOEXEC : 0);
}

struct map_holder {
	pid_t parent;
};
static struct map_holder map_holder;
static _Alignas(16) char map_holder_stack[4096];

/* Holds a namespace open and nothing else; dies with us. Shares our memory: raw calls only. */
static __attribute__((no_sanitize("address", "undefined"))) void hold_namespace(const void *data)
{
	const struct map_holder *mine = data;

	(void)RAW(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)RAW(close_range, 0, ~0U, 0, 0, 0);
	/* Had we died before that, our parent would be another. */
	while (RAW(getppid, 0, 0, 0, 0, 0) == mine->parent) {
		(void)RAW(ppoll, 0, 0, 0, 0, 0);
	}
	for (;;) {
		(void)RAW(exit, 0, 0, 0, 0, 0);
	}
}

/* What an id inside is on the host. The plan maps the session's. */
static uint32_t host_id(const struct plan *plan, const struct native_sandbox *sandbox, uint32_t id)
{
	for (size_t i = 0; i < plan->id_map_count; i++) {
		const struct plan_id_map *entry = &plan->uid_map[i];
		if (id >= entry->inside && id - entry->inside < entry->count) {
			return sandbox->ids.base + entry->offset + (id - entry->inside);
		}
	}
	return sandbox->ids.base + id;
}

/*
 * A user namespace in which the owner on disk is the session's user on the host: what an idmapped
 * mount takes its map from. Nobody ever runs in it.
 */
static int idmap_namespace(uid_t owner, gid_t group, uint32_t uid, uint32_t gid, struct err *err)
{
	char path[64];
	char map[64];
	int pidfd = -1;
	int status = 0;
	cleanup_close int ns = -1;
	cleanup_close int held = -1;
	struct kernel_clone_args args = {.flags = CLONE_NEWUSER | CLONE_PIDFD | CLONE_VM,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)map_holder_stack,
		.stack_size = sizeof(map_holder_stack)};
	int r = 0;
	long pid = 0;

	map_holder.parent = getpid();
	pid = kernel_clone3_run(&args, hold_namespace, &map_holder);
	if (pid < 0) {
		return err_set(err, (int)-pid, "making a namespace for an id map");
	}
	held = pidfd;
	(void)snprintf(path, sizeof(path), "/proc/%ld/uid_map", pid);
	(void)snprintf(map, sizeof(map), "%u %u 1\n", owner, uid);
	r = io_write_file(AT_FDCWD, path, map);
	(void)snprintf(path, sizeof(path), "/proc/%ld/gid_map", pid);
	(void)snprintf(map, sizeof(map), "%u %u 1\n", group, gid);
	r = r < 0 ? r : io_write_file(AT_FDCWD, path, map);
	(void)snprintf(path, sizeof(path), "/proc/%ld/ns/user", pid);
	ns = r < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	(void)proc_signal(held, SIGKILL);
	(void)proc_wait(held, -1, &status);
	if (r < 0 || ns < 0) {
		return err_set(err, r < 0 ? -r : errno, "writing an id map");
	}
	return take_fd(&ns);
}

/* A detached tree of a source, its flags set on all of it, for the child to attach. */
static int make_tree(const struct plan *plan, const struct native_sandbox *sandbox, int path,
	const struct plan_mount *mount, struct err *err)
{
	struct kernel_mount_attr attr = {
		.attr_set = mount_attributes(mount), .propagation = MS_PRIVATE};
	cleanup_close int userns = -1;
	cleanup_close int tree = kernel_open_tree(path, "",
		KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
			KERNEL_AT_RECURSIVE);

	if (tree < 0) {
		return err_set(err, errno, "cloning the tree at %s", mount->source);
	}
	if (kernel_mount_setattr(tree, "", AT_EMPTY_PATH | KERNEL_AT_RECURSIVE, &attr) < 0) {
		return err_set(err, errno, "setting the flags of %s", mount->source);
	}
	if (mount->flags & PLAN_IDMAP) {
		struct stat owner;
		if (fstat(path, &owner) < 0) {
			return err_set(err, errno, "looking at %s", mount->source);
		}
		if (mount->kind == PLAN_MOUNT_OVERLAY && owner.st_uid == 0) {
			/* Mapped, root's own files would be the session's to read. */
			return take_fd(&tree);
		}
		/* Files made by the session would belong to root, or to root's group, on the host,
		 * set-id bits and all. */
		if (owner.st_uid == 0 || owner.st_gid == 0) {
			return err_refuse(err, EPERM,
				"%s belongs to root or root's group, and so would what a session "
				"writes "
				"there: give it to another user and group (chown), or use write: "
				"ephemeral",
				mount->source);
		}
		userns = idmap_namespace(owner.st_uid, owner.st_gid,
			host_id(plan, sandbox, plan->uid), host_id(plan, sandbox, plan->gid), err);
		if (userns < 0) {
			return userns;
		}
		attr = (struct kernel_mount_attr){
			.attr_set = KERNEL_MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
		if (kernel_mount_setattr(tree, "", AT_EMPTY_PATH, &attr) < 0) {
			return err_set(err, errno,
				"mapping the owner of %s (its file system must know idmapped "
				"mounts: ext4, xfs, btrfs, or tmpfs since Linux 6.3)",
				mount->source);
		}
	}
	return take_fd(&tree);
}

static size_t count_trees(const struct sources *sources)
{
	size_t count = 0;

	for (size_t i = 0; i < sources->count; i++) {
		count += sources->found[i].has_tree;
	}
	return count;
}

int launcher_image(const struct plan *plan, const struct image_source *sources, struct err *err)
{
	cleanup(buf_fini) struct buf image = {0};
	int r = image_make(plan, sources, &image);

	if (r < 0) {
		return err_set(
			err, -r, "the plan does not fit (too many mounts, arguments or variables)");
	}
	r = io_sealed_memfd("cloche-plan", image.data, image.size);
	return r < 0 ? err_set(err, -r, "making the launch image") : r;
}

static int send_start(struct native_sandbox *sandbox, const struct plan *plan,
	const struct sandbox_stdio *io, const struct sources *sources, struct err *err)
{
	struct image_message message = {
		.type = IMAGE_START, .tree_count = (uint32_t)count_trees(sources)};
	cleanup_close int file = launcher_image(plan, sources->found, err);
	int tasks[CGROUP_CONTROLLERS];
	int fds[1 + 4 + CGROUP_CONTROLLERS];
	size_t count = 1;
	int r = 0;

	if (file < 0) {
		return file;
	}
	fds[0] = file;
	for (int i = 0; i < 3; i++) {
		if (!io->pty && io->fds[i] >= 0) {
			message.flags |= 1U << i;
			fds[count++] = io->fds[i];
		}
	}
	if (io->report) {
		message.flags |= 16;
		fds[count++] = *io->report;
	}
	if (io->pty) {
		message.flags |= 8;
		message.size = io->size;
	}
	if (plan->no_exec) {
		io_random(message.key, sizeof(message.key));
	}
	r = cgroup_open_tasks(&sandbox->cgroup, tasks, err);
	if (r < 0) {
		return r;
	}
	message.number = (uint32_t)r;
	memcpy(fds + count, tasks, message.number * sizeof(tasks[0]));
	r = io_send(sandbox->base.event, &message, sizeof(message), fds, count + message.number);
	for (uint32_t i = 0; i < message.number; i++) {
		(void)close(tasks[i]);
	}
	explicit_bzero(message.key, sizeof(message.key));
	return r < 0 ? err_set(err, -r, "sending the plan") : 0;
}

static int send_trees(struct native_sandbox *sandbox, const struct plan *plan,
	const struct sources *sources, struct err *err)
{
	struct image_message message = {.type = IMAGE_TREES};
	int trees[IMAGE_MESSAGE_FDS];
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sources->count; i++) {
		if (sources->found[i].has_tree) {
			int tree =
				make_tree(plan, sandbox, sources->paths[i], &plan->mounts[i], err);
			if (tree < 0) {
				r = tree;
				break;
			}
			trees[count++] = tree;
		}
		if (count == IMAGE_MESSAGE_FDS || (count > 0 && i + 1 == sources->count)) {
			r = io_send(sandbox->base.event, &message, sizeof(message), trees, count);
			if (r < 0) {
				(void)err_set(err, -r, "sending mounts");
			}
			while (count > 0) {
				(void)close(trees[--count]);
			}
		}
	}
	while (count > 0) {
		(void)close(trees[--count]);
	}
	return r;
}

/* A command that cannot be run is the user's affair; any other step is the operator's. */
static int tell_failure(const struct image_message *message, struct err *err)
{
	if (strncmp(message->text, "running ", strlen("running ")) == 0) {
		return err_set(err, (int)message->number, "%s", message->text);
	}
	return err_set(err, (int)message->number, "step %s: %s", message->step, message->text);
}

/*
 * A send fails when cloche-init has ended already, and then it has said why: that is the error to
 * tell, not ours.
 */
static void explain_death(struct native_sandbox *sandbox, struct err *err)
{
	struct image_message message = {0};

	if (sandbox->base.event < 0 ||
		io_receive(sandbox->base.event, &message, sizeof(message), NULL, 0, NULL,
			MSG_DONTWAIT) != (ssize_t)sizeof(message) ||
		message.type != IMAGE_FAILED) {
		return;
	}
	message.step[sizeof(message.step) - 1] = '\0';
	message.text[sizeof(message.text) - 1] = '\0';
	(void)tell_failure(&message, err);
}

/* As flags say; what they do not speak of, or the caller does not want, is closed. */
static void take_started(uint32_t flags, int fds[2], int *ret_fd, int *ret_door)
{
	bool door = flags & IMAGE_STARTED_DOOR;
	int none = -1;
	int *at = ret_door ? ret_door : &none;

	*at = -1;
	*ret_fd = -1;
	if (door) {
		*at = take_fd(&fds[flags & IMAGE_STARTED_MASTER ? 1 : 0]);
	}
	*ret_fd = door && !(flags & IMAGE_STARTED_MASTER) ? -1 : take_fd(&fds[0]);
	close_fdp(&fds[0]);
	close_fdp(&fds[1]);
	close_fdp(&none);
}

int launcher_await(int socket, int *ret_fd, int *ret_door, struct err *err)
{
	struct image_message message = {0};
	struct pollfd wait = {.fd = socket, .events = POLLIN};
	int fds[2] = {-1, -1};
	size_t count = 0;
	int r = 0;

	do {
		r = poll(&wait, 1, START_TIMEOUT_MS);
	} while (r < 0 && errno == EINTR);
	if (r == 0) {
		return err_set(err, ETIMEDOUT, "starting the sandbox");
	}
	ssize_t n = io_receive(socket, &message, sizeof(message), fds, 2, &count, 0);
	if (n != (ssize_t)sizeof(message)) {
		return err_set(
			err, n < 0 ? (int)-n : EPIPE, "the sandbox died while it was being made");
	}
	message.step[sizeof(message.step) - 1] = '\0';
	message.text[sizeof(message.text) - 1] = '\0';
	if (message.type == IMAGE_FAILED) {
		return tell_failure(&message, err);
	}
	if (message.type != IMAGE_STARTED) {
		return err_set(err, EPROTO, "the sandbox said something unexpected");
	}
	take_started(message.flags, fds, ret_fd, ret_door);
	return 0;
}

/*
 * The limits, after the child has begun and before it gets its plan: until then it runs our program
 * and nothing else. v1 groups it enters itself, by descriptors that come with the plan.
 */
static int limit(struct native_sandbox *sandbox, const struct plan *plan, const struct host *host,
	struct err *err)
{
	/* A limit that the plan does not promise to keep by cgroup is not asked of it. */
	struct cgroup_limits limits = {
		.memory = plan->cgroup_version[CGROUP_MEMORY] ? plan->memory : 0,
		.pids = plan->cgroup_version[CGROUP_PIDS] ? plan->pids : 0,
		.cpu_milli = plan->cgroup_version[CGROUP_CPU] ? plan->cpu_milli : 0};
	int r = 0;

	if (plan->without & PLAN_LAYER_CGROUP) {
		return 0;
	}
	r = cgroup_limit(host, &limits, &sandbox->cgroup, err);
	if (r == 0 && !sandbox->cloned) {
		r = cgroup_attach_v2(&sandbox->cgroup, sandbox->base.pid, err);
	}
	return r;
}

/* Unless that was done ahead. */
static int begin(struct native_sandbox *sandbox, const struct plan *plan, const struct host *host,
	struct err *err)
{
	bool way_out = plan_has_way_out(plan);
	int r = 0;

	if (sandbox->born) {
		return 0;
	}
	r = birth_names(sandbox, plan, host, err);
	if (r == 0 && way_out) {
		r = network_prepare(plan, sandbox->base.id, &sandbox->network, err);
	}
	r = r < 0 ? r : birth_give(sandbox, plan, host, err);
	if (r == 0 && way_out) {
		r = network_serve(plan, sandbox->ids.base + NETD_ID, &sandbox->network, err);
	}
	return r;
}

static int launch(struct native_sandbox *sandbox, const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct err *err)
{
	cleanup(sources_fini) struct sources sources = {0};
	int r = begin(sandbox, plan, host, err);

	/* From here on two processes work at once. */
	r = r < 0 ? r : open_sources(plan, host, &sources, err);
	r = r < 0 ? r : limit(sandbox, plan, host, err);
	r = r < 0 ? r : birth_yield(sandbox, err);
	r = r < 0 ? r : send_start(sandbox, plan, io, &sources, err);
	r = r < 0 ? r : send_trees(sandbox, plan, &sources, err);
	if (r < 0) {
		explain_death(sandbox, err);
		return r;
	}
	return launcher_await(sandbox->base.event, &sandbox->base.pty, &sandbox->door, err);
}

int launcher_start(const struct plan *plan, const struct host *host, const struct sandbox_stdio *io,
	struct sandbox **ret_sandbox, struct err *err)
{
	struct native_sandbox *sandbox = birth_take(plan, host);
	const struct sandbox_stdio nothing = {.fds = {-1, -1, -1}};
	int r = 0;

	sandbox = sandbox ? sandbox : birth_new();
	if (!sandbox) {
		return err_set(err, ENOMEM, "starting a sandbox");
	}
	r = launch(sandbox, plan, host, plan->shared ? &nothing : io, err);
	if (r == 0 && plan->shared && io) {
		return launcher_join_alone(&sandbox->base, plan, io, ret_sandbox, err);
	}
	if (r < 0) {
		launcher_destroy(&sandbox->base);
		return r;
	}
	*ret_sandbox = &sandbox->base;
	return 0;
}

int launcher_signal(struct sandbox *base, int signo)
{
	struct image_message message = {.type = IMAGE_SIGNAL, .number = (uint32_t)signo};

	return io_send(base->event, &message, sizeof(message), NULL, 0);
}

int launcher_poll_exit(struct sandbox *base, struct sandbox_exit *ret)
{
	struct native_sandbox *sandbox = launcher_native(base);
	struct image_message message = {0};
	ssize_t n = 0;

	if (sandbox->exited) {
		*ret = sandbox->how;
		return 1;
	}
	n = io_receive(base->event, &message, sizeof(message), NULL, 0, NULL, MSG_DONTWAIT);
	if (n == -EAGAIN) {
		return 0;
	}
	if (n != (ssize_t)sizeof(message) || message.type != IMAGE_EXITED) {
		return -EPIPE;
	}
	sandbox->exited = true;
	sandbox->how = (struct sandbox_exit){
		.status = (int)message.number, .timed_out = message.flags & 1};
	*ret = sandbox->how;
	return 1;
}

void launcher_usage(struct sandbox *base, struct sandbox_usage *ret)
{
	const struct native_sandbox *sandbox = launcher_native(base);

	/* All that joined share one account. */
	*ret = (struct sandbox_usage){0};
	cgroup_usage(&(sandbox->joined ? sandbox->joined : sandbox)->cgroup, ret);
}

void launcher_take_door(struct sandbox *base, struct sandbox_door *ret)
{
	struct native_sandbox *sandbox = launcher_native(base);
	struct native_sandbox *holder = sandbox->joined ? sandbox->joined : sandbox;

	ret->listener = take_fd(&holder->door);
}

void launcher_destroy(struct sandbox *base)
{
	struct native_sandbox *sandbox = NULL;
	bool gone = false;
	int status = 0;

	if (!base) {
		return;
	}
	sandbox = launcher_native(base);
	if (base->leaving && !sandbox->joined && leave_behind(sandbox)) {
		return;
	}
	/* Closing our end already ends pid 1, and with it the namespace; the rest is for certainty. */
	close_fdp(&base->event);
	close_fdp(&base->pty);
	close_fdp(&sandbox->door);
	if (sandbox->joined) {
		if (sandbox->alone) {
			launcher_destroy(&sandbox->joined->base);
		}
		free(sandbox);
		return;
	}
	if (base->pidfd >= 0) {
		(void)proc_signal(base->pidfd, SIGKILL);
		gone = proc_wait(base->pidfd, DEATH_TIMEOUT_MS, &status) == 0 &&
			(sandbox->namespaces & PLAN_NS_PID);
		close_fdp(&base->pidfd);
	}
	/* pid 1 of a namespace ends after all others in it: the group is empty then. */
	if (!gone) {
		(void)cgroup_kill(&sandbox->cgroup);
	}
	(void)cgroup_remove(&sandbox->cgroup);
	network_end(&sandbox->network);
	idrange_release(&sandbox->ids);
	free(sandbox);
}
