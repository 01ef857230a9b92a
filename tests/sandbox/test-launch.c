/*
 * What is begun before there is a plan, and what is left to be done when the launcher is gone: taken by
 * the start it was meant for and by no other, and nothing of it stays.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/birth.h"
#include "backends/linux/kernel.h"
#include "base/io.h"

#define WAIT_MS 20000

struct world {
	struct host host;
	struct spec spec;
};

static int set_up(void **state)
{
	static struct world world;
	struct err err = {0};

	world = (struct world){0};
	assert_int_equal(host_probe(&world.host, &err), 0);
	spec_init(&world.spec);
	world.spec.write = WRITE_EPHEMERAL;
	assert_int_equal(strv_append(&world.spec.readable, "/usr"), 0);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	backend_native.forget();
	spec_fini(&world->spec);
	return 0;
}

static struct plan *compile(struct world *world, const char *script, uint32_t without)
{
	struct plan *plan = NULL;
	struct err err = {0};

	world->spec.args = strv_free(world->spec.args);
	assert_int_equal(strv_append(&world->spec.args, "/bin/sh"), 0);
	assert_int_equal(strv_append(&world->spec.args, "-c"), 0);
	assert_int_equal(strv_append(&world->spec.args, script), 0);
	if (backend_native.compile(&world->spec, &world->host, without, &plan, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	return plan;
}

static struct sandbox *start(
	struct world *world, const char *script, const struct sandbox_stdio *io, uint32_t without)
{
	struct plan *plan = compile(world, script, without);
	struct sandbox *sandbox = NULL;
	struct err err = {0};
	int r = backend_native.start(plan, &world->host, io, &sandbox, &err);

	plan_free(plan);
	if (r < 0) {
		fail_msg("%s", err.msg);
	}
	return sandbox;
}

static int await_exit(struct sandbox *sandbox)
{
	struct sandbox_exit ended = {0};
	uint64_t end = io_now_usec() + WAIT_MS * UINT64_C(1000);

	while (io_now_usec() < end) {
		struct pollfd wait = {.fd = sandbox->event, .events = POLLIN};
		int r = sandbox->backend->poll_exit(sandbox, &ended);
		if (r != 0) {
			return r < 0 ? r : ended.status;
		}
		(void)poll(&wait, 1, 100);
	}
	return -ETIMEDOUT;
}

/* Our one child, or 0; -1: there are more. */
static pid_t only_child(void)
{
	char path[64];
	cleanup_free char *list = NULL;
	char *end = NULL;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	assert_int_equal(io_read_file(AT_FDCWD, path, 4096, &list, NULL), 0);
	pid_t pid = (pid_t)strtol(list, &end, 10);
	return strtol(end, NULL, 10) ? -1 : pid;
}

static pid_t prepare(struct world *world)
{
	backend_native.prepare(&world->spec, &world->host, 0);
	pid_t pid = only_child();
	assert_true(pid > 0);
	return pid;
}

static void what_is_begun_is_taken_once(void **state)
{
	struct world *world = *state;
	pid_t pid = prepare(world);

	/* A second time it is there already. */
	assert_int_equal(prepare(world), pid);
	struct sandbox *first = start(world, "exit 3", &(struct sandbox_stdio){{-1, -1, -1}}, 0);
	struct sandbox *second = start(world, "exit 4", &(struct sandbox_stdio){{-1, -1, -1}}, 0);
	assert_int_equal(first->pid, pid);
	assert_int_not_equal(second->pid, pid);
	assert_string_not_equal(first->id, second->id);
	assert_int_equal(WEXITSTATUS(await_exit(first)), 3);
	assert_int_equal(WEXITSTATUS(await_exit(second)), 4);
	backend_native.destroy(first);
	backend_native.destroy(second);
	assert_int_equal(only_child(), 0);
}

/* Its namespaces, its ids and its group are those of a start that was not begun. */
static void what_is_begun_is_confined_like_any(void **state)
{
	static const char script[] =
		"while read a b c; do echo $a $c; done </proc/self/uid_map; grep -e NoNew -e Cap "
		"-e Sec -e Uid -e Gid /proc/self/status; wc -l </proc/net/dev; hostname; "
		"ls /proc/self/fd | wc -l; wc -l </proc/self/mountinfo; set -- /proc/[0-9]*; echo "
		"$#";
	struct world *world = *state;
	cleanup_free char *texts[2] = {NULL};

	for (int i = 0; i < 2; i++) {
		int pipes[2];
		assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		if (i == 1) {
			(void)prepare(world);
		}
		struct sandbox *sandbox =
			start(world, script, &(struct sandbox_stdio){{-1, pipes[1], pipes[1]}}, 0);
		(void)close(pipes[1]);
		assert_int_equal(io_read_fd(pipes[0], 1 << 16, &texts[i], NULL), 0);
		(void)close(pipes[0]);
		assert_int_equal(await_exit(sandbox), 0);
		backend_native.destroy(sandbox);
	}
	assert_non_null(strstr(texts[0], "NoNewPrivs:\t1"));
	assert_string_equal(texts[0], texts[1]);
	free(texts[1]);
}

static void what_does_not_fit_is_ended_and_not_taken(void **state)
{
	static const struct {
		uint32_t without;
		enum net_mode net;
	} rows[] = {{PLAN_LAYER_IPC, NET_DISABLE}, {PLAN_LAYER_CLOSE_FDS, NET_DISABLE},
		{PLAN_LAYER_CGROUP, NET_DISABLE}, {0, NET_ENABLE}};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		world->spec.net = NET_DISABLE;
		pid_t pid = prepare(world);
		world->spec.net = rows[i].net;
		struct sandbox *sandbox = start(
			world, "exit 0", &(struct sandbox_stdio){{-1, -1, -1}}, rows[i].without);
		assert_int_not_equal(sandbox->pid, pid);
		assert_int_equal(only_child(), sandbox->pid);
		assert_int_equal(await_exit(sandbox), 0);
		backend_native.destroy(sandbox);
	}
}

static void one_that_was_killed_is_not_taken(void **state)
{
	struct world *world = *state;
	pid_t pid = prepare(world);

	assert_int_equal(kill(pid, SIGKILL), 0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	struct sandbox *sandbox = start(world, "exit 5", &(struct sandbox_stdio){{-1, -1, -1}}, 0);
	assert_int_not_equal(sandbox->pid, pid);
	assert_int_equal(WEXITSTATUS(await_exit(sandbox)), 5);
	backend_native.destroy(sandbox);
}

static bool has_group(const struct world *world, const char *id)
{
	char path[512];

	for (int i = -1; i < CGROUP_CONTROLLERS; i++) {
		const char *parent = i < 0 ? world->host.cgroup_kill : world->host.cgroup[i].path;
		(void)snprintf(path, sizeof(path), "%s/%s", parent, id);
		if (*parent && access(path, F_OK) == 0) {
			return true;
		}
	}
	return false;
}

static void what_nobody_takes_leaves_nothing(void **state)
{
	struct world *world = *state;
	struct plan *plan = compile(world, "true", 0);

	birth_ahead(plan, &world->host);
	struct native_sandbox *taken = birth_take(plan, &world->host);
	assert_non_null(taken);
	char id[sizeof(taken->base.id)];
	(void)strcpy(id, taken->base.id);
	backend_native.destroy(&taken->base);
	assert_false(has_group(world, id));
	(void)prepare(world);
	backend_native.forget();
	assert_int_equal(only_child(), 0);
	plan_free(plan);
}

/* A launcher that exits behind its command, as `cloche run` does. Tells the sandbox's id and ids. */
static void launch_and_leave(struct world *world, const char *script, int output, int told)
{
	struct sandbox *sandbox =
		start(world, script, &(struct sandbox_stdio){{-1, output, output}}, 0);
	struct native_sandbox *native = (struct native_sandbox *)sandbox;
	int status = await_exit(sandbox);

	(void)io_write_all(told, sandbox->id, sizeof(sandbox->id));
	(void)io_write_all(told, &native->ids.base, sizeof(native->ids.base));
	sandbox->leaving = true;
	backend_native.destroy(sandbox);
	_exit(status == 0 ? 0 : 1);
}

struct left {
	void (*before)(void); /* what the launcher does first, or NULL */
	char id[33];
	uint32_t ids;
	char *output;
};

/* Returns when the launcher has exited and its output has ended. */
static void run_and_leave(struct world *world, const char *script, struct left *ret)
{
	int output[2];
	int told[2];
	int status = 0;

	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (ret->before) {
			ret->before();
		}
		launch_and_leave(world, script, output[1], told[1]);
	}
	(void)close(output[1]);
	(void)close(told[1]);
	assert_int_equal(io_read_all(told[0], ret->id, sizeof(ret->id)), 0);
	assert_int_equal(io_read_all(told[0], &ret->ids, sizeof(ret->ids)), 0);
	assert_int_equal(io_read_fd(output[0], 1 << 16, &ret->output, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(output[0]);
	(void)close(told[0]);
}

/* Who is left behind is ours now, and ends by itself. */
static void await_all(void)
{
	uint64_t end = io_now_usec() + WAIT_MS * UINT64_C(1000);

	while (only_child() != 0 && io_now_usec() < end) {
		while (waitpid(-1, NULL, WNOHANG) > 0) {
		}
		(void)poll(NULL, 0, 2);
	}
	assert_int_equal(only_child(), 0);
}

static void what_is_left_is_removed_behind_the_launcher(void **state)
{
	struct world *world = *state;
	struct left left = {0};
	char lock[64];

	run_and_leave(world, "echo done", &left);
	assert_string_equal(left.output, "done\n");
	await_all();
	assert_false(has_group(world, left.id));
	(void)snprintf(lock, sizeof(lock), "/run/cloche/ids/%u", left.ids);
	assert_true(!world->host.root || access(lock, F_OK) < 0);
	free(left.output);
}

/* The signal 0 reaches who is not dead; a number inside means nothing here, so they are asked by name. */
static bool any_runs(const char *name)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "pgrep -f '[s]leep %s' >/dev/null", name);
	return system(command) == 0;
}

static void nothing_runs_when_the_launcher_has_left(void **state)
{
	struct left left = {0};
	char script[128];
	char name[32];

	(void)snprintf(name, sizeof(name), "98%d", (int)getpid());
	(void)snprintf(script, sizeof(script),
		"for i in 1 2 3 4 5; do sleep %s </dev/null >/dev/null 2>&1 & done; echo on", name);
	run_and_leave(*state, script, &left);
	assert_string_equal(left.output, "on\n");
	assert_false(any_runs(name));
	await_all();
	assert_false(has_group(*state, left.id));
	free(left.output);
}

/*
 * A score that it has no power to lower: the kernel's floor is inherited. It may write there, if it does not
 * ask for a truncated file.
 */
static void what_runs_goes_before_the_host_when_memory_is_short(void **state)
{
	struct world *world = *state;
	struct left left = {0};

	/* The root of some containers has no power over scores, and then nobody can set a floor. */
	if (!world->host.root || prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) != 1) {
		skip();
	}
	run_and_leave(world,
		"for i in -1000 0 399; do { echo $i 1<>/proc/self/oom_score_adj; } 2>/dev/null; "
		"done; "
		"cat /proc/self/oom_score_adj",
		&left);
	assert_string_equal(left.output, "500\n");
	await_all();
	free(left.output);
}

/* Behind all others for the processor, before all others for the disk, and without randomisation. */
static void be_extraordinary(void)
{
	const struct sched_param nothing = {0};

	assert_int_equal(sched_setscheduler(0, SCHED_IDLE, &nothing), 0);
	assert_int_not_equal(personality(ADDR_NO_RANDOMIZE), -1);
	/* Takes root, and says nothing where we are not. */
	(void)syscall(SYS_ioprio_set, KERNEL_IOPRIO_WHO_PROCESS, 0,
		KERNEL_IOPRIO_CLASS_RT << KERNEL_IOPRIO_CLASS_SHIFT);
}

static void what_a_launcher_is_before_others_is_not_handed_on(void **state)
{
	struct left left = {.before = be_extraordinary};

	run_and_leave(*state,
		"cat /proc/self/personality; cut -d ' ' -f 41 /proc/self/stat; ionice | cut -d : "
		"-f 1",
		&left);
	assert_string_equal(left.output, "00000000\n5\nnone\n");
	await_all();
	free(left.output);
}

int main(void)
{
	struct host host;
	struct err err = {0};
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(what_is_begun_is_taken_once),
		CASE(what_is_begun_is_confined_like_any),
		CASE(what_does_not_fit_is_ended_and_not_taken),
		CASE(one_that_was_killed_is_not_taken),
		CASE(what_nobody_takes_leaves_nothing),
		CASE(what_is_left_is_removed_behind_the_launcher),
		CASE(nothing_runs_when_the_launcher_has_left),
		CASE(what_runs_goes_before_the_host_when_memory_is_short),
		CASE(what_a_launcher_is_before_others_is_not_handed_on),
	};

	if (host_probe(&host, &err) < 0 || backend_native.probe(&host, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 77;
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
