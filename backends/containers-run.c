/*
 * A session in a container. The processes of a container are children of the engine's daemon (docker)
 * or of its monitor (podman), not of the keeper. So the engine keeps the limits, and whatever is
 * asked about a session is asked by the container's first process, as the engine names it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "backends/containers.h"
#include "backends/foreign-door.h"
#include "backends/keeper.h"
#include "backends/linux/launcher.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"

#define ASK_TIMEOUT_MS 20000
#define START_TIMEOUT_MS 60000
#define OVER_TIMEOUT_MS 10000

struct container {
	struct sandbox base;
	const struct engine *engine;
	struct keeper keeper;
	struct keeper_door door;
	struct cgroup cgroup; /* the container's own, for reading */
	struct sandbox_usage used; /* as last seen: the engine removes the group at the end */
	char docker_host[sizeof(((struct host *)NULL)->docker_host)];
	int nudge; /* makes base.event readable when an answer brought the end with it */
};

static struct container *container(struct sandbox *sandbox)
{
	assert(containers_find(sandbox->backend->name));
	return (struct container *)sandbox;
}

/* Runs a question of the engine's. When the answer brought the end with it, the end is news too. */
static int ask(struct container *container, const char *const *words, char *answer, size_t size)
{
	int r = keeper_ask(
		&container->keeper, (char *const *)(uintptr_t)words, ASK_TIMEOUT_MS, answer, size);

	if (container->keeper.exited) {
		(void)eventfd_write(container->nudge, 1);
	}
	return r;
}

/*
 * Podman writes the number of a container's first process to a file, before that is what it will be.
 * It is taken once it is the init that podman puts there, in the container's control group: by then
 * the number could be somebody else's.
 */
static pid_t find_init(const struct container *container)
{
	cleanup_free char *number = NULL;
	cleanup_free char *id = NULL;
	cleanup_free char *name = NULL;
	cleanup_free char *groups = NULL;
	char path[160];
	uint64_t pid = 0;

	(void)snprintf(path, sizeof(path), "%s/pid", container->keeper.dir);
	if (io_read_file(AT_FDCWD, path, 32, &number, NULL) < 0) {
		return 0;
	}
	number[strcspn(number, "\n")] = '\0';
	(void)snprintf(path, sizeof(path), "%s/cid", container->keeper.dir);
	if (parse_range(number, 2, INT32_MAX, &pid) < 0 ||
		io_read_file(AT_FDCWD, path, 128, &id, NULL) < 0) {
		return 0;
	}
	id[strcspn(id, "\n")] = '\0';
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (strlen(id) != 64 || io_read_file(AT_FDCWD, path, 64, &name, NULL) < 0 ||
		strcmp(name, "podman-init\n") != 0) {
		return 0;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	return io_read_file(AT_FDCWD, path, 65536, &groups, NULL) == 0 && strstr(groups, id)
		? (pid_t)pid
		: 0;
}

/* A sandbox of a runtime is there, and in the group, before anything runs in it: podman is asked. */
static pid_t ask_podman(struct container *container)
{
	const char *const words[] = {container->engine->tool, "container", "inspect", "--format",
		"{{.State.Running}} {{.State.Pid}}", CONTAINERS_NAME, NULL};
	char answer[256];
	int pid = 0;

	if (ask(container, words, answer, sizeof(answer)) != 0 ||
		sscanf(answer, "true %d", &pid) != 1) {
		return 0;
	}
	return pid > 0 ? pid : 0;
}

/* The container's first process, as the engine says; 0 when it does not run. */
static pid_t inspect(struct container *container)
{
	char name[64];
	bool absent = false;

	if (container->engine->podman) {
		return container->engine->runtime ? ask_podman(container) : find_init(container);
	}
	(void)snprintf(name, sizeof(name), "cloche-%s", container->keeper.id);
	return containers_pid(container->docker_host, name, &absent);
}

/*
 * Is there nothing more of the container than its name? Then removing it may be left to the keeper.
 * Podman's status is its own (125 to 127) when it did not come to that.
 */
static bool is_over(struct container *container)
{
	char name[64];
	bool absent = false;
	int code = proc_exit_code(container->keeper.status);

	if (container->engine->podman) {
		return code < 125;
	}
	(void)snprintf(name, sizeof(name), "cloche-%s", container->keeper.id);
	(void)containers_pid(container->docker_host, name, &absent);
	return absent;
}

/*
 * The tool has ended before the container was seen to run. Its status alone does not say whether the
 * engine refused or the command was quick; the engine's own record does.
 */
static int judge_early_end(struct container *container, struct err *err)
{
	const struct engine *engine = container->engine;
	char answer[512];
	static const char which[] = "--filter=container=" CONTAINERS_NAME;
	const char *const words[] = {engine->tool, "events", "--since=120s", engine->started, which,
		"--filter=event=start", NULL};
	int code = proc_exit_code(container->keeper.status);

	if (code == 0 || container->keeper.timed_out) {
		return 0;
	}
	if (ask(container, words, answer, sizeof(answer)) == 0 && strstr(answer, "start")) {
		return 0;
	}
	return err_refuse(err, EIO,
		"%s did not start the container (%s ended with %d; what it says is on "
		"standard error)",
		engine->name, engine->tool, code);
}

/* Waits until the command runs, or did. *ret_pid is 0 when it is over already. */
static int wait_running(struct container *container, pid_t *ret_pid, struct err *err)
{
	const struct engine *engine = container->engine;
	uint64_t until = io_now_usec() + START_TIMEOUT_MS * 1000ULL;

	while (io_now_usec() < until) {
		struct pollfd wait = {.fd = container->keeper.socket, .events = POLLIN};
		pid_t pid = inspect(container);
		if (pid > 0) {
			*ret_pid = pid;
			return 0;
		}
		if (container->keeper.exited || keeper_poll(&container->keeper) != 0) {
			return container->keeper.exited
				? judge_early_end(container, err)
				: err_refuse(err, EPIPE, "the keeper ended");
		}
		(void)poll(&wait, 1, 10);
	}
	return err_refuse(err, ETIMEDOUT, "%s did not start the container in time", engine->name);
}

/* Does the tool say within a few seconds that all is over, as for a process that has gone it must? */
static bool has_ended(struct container *container)
{
	uint64_t until = io_now_usec() + OVER_TIMEOUT_MS * 1000ULL;

	while (!container->keeper.exited && io_now_usec() < until) {
		struct pollfd wait = {.fd = container->keeper.socket, .events = POLLIN};
		if (keeper_poll(&container->keeper) < 0) {
			return false;
		}
		(void)poll(&wait, 1, 50);
	}
	return container->keeper.exited;
}

/*
 * Is the container's first process the very program that the engine has for the runtime? What the
 * engine has written down was checked before the start, by a step; this is what the host sees of it.
 * A command that was over before anybody looked has only the former.
 */
static int check_runtime(
	struct container *container, const struct host *host, pid_t pid, struct err *err)
{
	const struct engine *engine = container->engine;
	struct stat program;
	struct stat runs;
	char wanted[256];
	char path[64];

	if (!engine->runtime || pid <= 0) {
		return 0;
	}
	int r = containers_find_runtime(engine, host, wanted, sizeof(wanted), err);
	if (r < 0) {
		return r;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (stat(path, &runs) < 0 && has_ended(container)) {
		return 0;
	}
	if (stat(path, &runs) == 0 && stat(wanted, &program) == 0 &&
		program.st_dev == runs.st_dev && program.st_ino == runs.st_ino) {
		return 0;
	}
	return err_refuse(err, EPERM,
		"the container's first process (%d) does not run %s, the program of the runtime "
		"that was asked for",
		(int)pid, wanted);
}

/* The directory of one control group of the process, for reading what it used. */
static int open_group(const struct host_cgroup *where, const char *list, const char *controller)
{
	char path[512];
	size_t top = strlen(where->path) - strlen("/cloche");

	for (const char *line = list; line && *line; line = strchr(line, '\n')) {
		char names[64] = "";
		char group[256];
		line += *line == '\n';
		if (sscanf(line, "%*u:%63[^:]:%255[^\n]", names, group) < 2 &&
			sscanf(line, "0::%255[^\n]", group) < 1) {
			continue;
		}
		if (where->version == 2 ? *names != '\0' : !strstr(names, controller)) {
			continue;
		}
		(void)snprintf(path, sizeof(path), "%.*s%s", (int)top, where->path, group);
		return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return -1;
}

static void find_groups(struct container *container, const struct host *host, pid_t pid)
{
	static const char *const names[] = {
		[CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids", [CGROUP_CPU] = "cpu"};
	cleanup_free char *list = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (pid <= 0 || io_read_file(AT_FDCWD, path, 4096, &list, NULL) < 0) {
		return;
	}
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (host->cgroup[i].version) {
			container->cgroup.where[i] = host->cgroup[i];
			container->cgroup.dir[i] = open_group(&host->cgroup[i], list, names[i]);
		}
	}
}

/* The event: what the keeper has to say, or our own nudge. */
static int make_event(struct container *container, struct err *err)
{
	struct epoll_event keeper = {.events = EPOLLIN};
	struct epoll_event nudge = {.events = EPOLLIN};

	container->base.event = epoll_create1(EPOLL_CLOEXEC);
	if (container->base.event < 0 ||
		epoll_ctl(container->base.event, EPOLL_CTL_ADD, container->keeper.socket, &keeper) <
			0 ||
		epoll_ctl(container->base.event, EPOLL_CTL_ADD, container->nudge, &nudge) < 0) {
		return err_set(err, errno, "watching the container");
	}
	return 0;
}

void containers_destroy(struct sandbox *sandbox)
{
	struct container *it = sandbox ? container(sandbox) : NULL;

	if (!it) {
		return;
	}
	bool left = sandbox->leaving && it->keeper.exited && is_over(it);
	(left ? keeper_leave : keeper_end)(&it->keeper);
	cgroup_close(&it->cgroup);
	close_fdp(&it->base.event);
	close_fdp(&it->base.pidfd);
	close_fdp(&it->base.pty);
	close_fdp(&it->nudge);
	keeper_door_fini(&it->door);
	free(it);
}

/* A terminal is the session's wish, not the plan's. */
static int add_terminal(char *const *argv, char ***ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && argv[i]; i++) {
		r = strv_append(ret, argv[i]);
		if (r == 0 && strcmp(argv[i], "--interactive") == 0) {
			r = strv_append(ret, "--tty");
		}
	}
	return r;
}

/* What makes the container is told of it: the first step, or the command. Shares the rest with plan. */
struct variant {
	struct plan plan;
	struct plan_step *steps;
	char **argv;
};

static void variant_fini(struct variant *variant)
{
	free(variant->steps);
	strv_free(variant->argv);
}

static int variant_make(const struct engine *engine, const struct plan *plan, struct variant *ret)
{
	ret->plan = *plan;
	int r = add_terminal(!engine->apart ? plan->command : plan->steps[0].argv, &ret->argv);

	if (r < 0) {
		return r;
	}
	if (!engine->apart) {
		ret->plan.command = ret->argv;
		return 0;
	}
	ret->steps = calloc(plan->step_count, sizeof(*ret->steps));
	if (!ret->steps) {
		return -ENOMEM;
	}
	memcpy(ret->steps, plan->steps, plan->step_count * sizeof(*ret->steps));
	ret->steps[0].argv = ret->argv;
	ret->plan.steps = ret->steps;
	return 0;
}

static int start_keeper(struct container *container, const struct plan *plan,
	const struct host *host, const struct sandbox_stdio *io, struct err *err)
{
	cleanup(variant_fini) struct variant variant = {0};
	struct keeper_start start = {
		.plan = plan, .host = host, .io = io, .no_cgroup = true, .errors = -1, .hold = -1};

	if (foreign_door_is_in(plan)) {
		/* There is no user namespace: who it is inside it is here. */
		container->door.uid = plan->uid;
		container->door.gid = plan->gid;
		container->door.is_page = container->engine->runtime;
		start.door = &container->door;
	}
	if (io->pty) {
		int r = variant_make(container->engine, plan, &variant);
		if (r < 0) {
			return err_set(err, -r, "starting the container");
		}
		start.plan = &variant.plan;
	}
	return keeper_start(&start, &container->keeper, err);
}

static int new_container(const struct engine *engine, struct container **ret)
{
	struct container *it = calloc(1, sizeof(*it));

	if (!it) {
		return -ENOMEM;
	}
	it->base.backend = backend_find(backends, engine->name);
	it->base.pidfd = it->base.event = it->base.pty = -1;
	it->engine = engine;
	keeper_init(&it->keeper);
	keeper_door_init(&it->door);
	cgroup_init(&it->cgroup);
	it->nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*ret = it;
	return 0;
}

/*
 * What one session has left in a writable place must not lead the next one elsewhere: the engine would
 * follow a symbolic link that has come to stand in the path of a mount.
 */
static int check_sources(const struct plan *plan, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->mount_count; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		struct image_source found = {0};
		cleanup_close int fd = -1;

		if (mount->kind == PLAN_MOUNT_BIND && mount->source[0] == '/') {
			r = launcher_open_source(mount, &fd, &found, err);
		}
	}
	return r;
}

int containers_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err)
{
	const struct engine *engine = containers_find(plan->backend);
	struct container *it = NULL;
	pid_t pid = 0;
	int r = 0;

	assert(engine);
	if (!plan->executable_here) {
		return err_refuse(err, ENOTSUP,
			"the plan names its image and not its id; such plans are for reading");
	}
	r = check_sources(plan, err);
	if (r < 0) {
		return r;
	}
	if (new_container(engine, &it) < 0) {
		return err_set(err, ENOMEM, "starting the container");
	}
	(void)memcpy(it->docker_host, host->docker_host, sizeof(it->docker_host));
	r = start_keeper(it, plan, host, io, err);
	r = r < 0 ? r : make_event(it, err);
	r = r < 0 ? r : wait_running(it, &pid, err);
	r = r < 0 ? r : check_runtime(it, host, pid, err);
	if (r < 0) {
		containers_destroy(&it->base);
		return r;
	}
	if (it->keeper.exited) {
		/* A command so quick that its end was read while waiting for its start: still news. */
		(void)eventfd_write(it->nudge, 1);
	}
	(void)snprintf(it->base.id, sizeof(it->base.id), "%s", it->keeper.id);
	it->base.pid = pid;
	it->base.pidfd = pid > 0 ? proc_pidfd(pid) : -1;
	it->base.pty = take_fd(&it->keeper.pty);
	find_groups(it, host, pid);
	*ret_sandbox = &it->base;
	return 0;
}

/* The command: what the container's init started first, and what it waits for. 0: none. */
static pid_t find_command(pid_t init)
{
	cleanup_free char *text = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)init, (int)init);
	if (io_read_file(AT_FDCWD, path, 65536, &text, NULL) < 0) {
		return 0;
	}
	return (pid_t)strtol(text, NULL, 10);
}

/* By the container's init, to the command alone: the host sees no process of gVisor's sessions. */
static int signal_inside(struct container *container, int signo)
{
	char number[16];
	const char *const words[] = {
		container->engine->tool, "kill", "--signal", number, CONTAINERS_NAME, NULL};
	char answer[256];

	(void)snprintf(number, sizeof(number), "%d", signo);
	return ask(container, words, answer, sizeof(answer)) == 0 ? 0 : -ESRCH;
}

/*
 * The engine's kill reaches the container's init, which passes it on to the command alone and not to
 * its group. The processes are the host's own, so the group is signalled directly.
 */
int containers_signal(struct sandbox *sandbox, int signo)
{
	struct container *it = container(sandbox);

	if (it->keeper.exited || it->base.pid <= 0) {
		return -ESRCH;
	}
	if (it->engine->runtime) {
		return signal_inside(it, signo);
	}
	pid_t command = find_command(it->base.pid);
	pid_t group = command > 1 ? getpgid(command) : -1;
	if (group <= 1 || group == getpgrp() || proc_signal(it->base.pidfd, 0) < 0) {
		return -ESRCH;
	}
	return kill(-group, signo) < 0 ? -errno : 0;
}

int containers_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret)
{
	struct container *it = container(sandbox);
	int r = it->keeper.exited ? 1 : keeper_poll(&it->keeper);

	if (r == 1) {
		*ret = keeper_exit(&it->keeper);
	}
	return r;
}

void containers_take_door(struct sandbox *sandbox, struct sandbox_door *ret)
{
	keeper_door_take(&container(sandbox)->door, ret);
}

void containers_usage(struct sandbox *sandbox, struct sandbox_usage *ret)
{
	struct container *it = container(sandbox);

	cgroup_usage(&it->cgroup, &it->used);
	*ret = it->used;
}
