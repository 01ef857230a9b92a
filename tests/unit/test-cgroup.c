/*
 * Real control groups, below directories of our own beside the product's.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/linux/cgroup.h"
#include "backends/linux/kernel.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#define MEMORY (24ULL << 20)

/* Where the product would be, but in a directory of this test. */
static struct host test_host;

static void own_directory(char *path)
{
	char *slash = strrchr(path, '/');

	if (path[0]) {
		(void)snprintf(slash, (size_t)(256 - (slash - path)), "/cloche-test-%d", getpid());
	}
}

static int prepare(void **state)
{
	if (host_probe(&test_host, NULL) < 0) {
		return -1;
	}
	own_directory(test_host.cgroup_kill);
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		own_directory(test_host.cgroup[i].path);
	}
	return 0;
}

static int tidy(void **state)
{
	/* A test that failed still holds its locks. */
	(void)close_range(3, ~0U, 0);
	(void)cgroup_sweep(&test_host);
	(void)rmdir(test_host.cgroup_kill);
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		(void)rmdir(test_host.cgroup[i].path);
	}
	return 0;
}

static bool any_left(const char *id)
{
	char path[512];
	bool left = false;

	for (int i = -1; i < CGROUP_CONTROLLERS; i++) {
		const char *parent = i < 0 ? test_host.cgroup_kill : test_host.cgroup[i].path;
		(void)snprintf(path, sizeof(path), "%s/%s", parent, id);
		left = left || (parent[0] && access(path, F_OK) == 0);
	}
	return left;
}

static void make(const char *id, struct cgroup_limits limits, struct cgroup *cgroup)
{
	struct err err = {0};

	if (cgroup_create(&test_host, id, &limits, cgroup, &err) < 0) {
		fail_msg("%s", err.msg);
	}
}

/* Starts a child inside, which has let go of the locks; it runs body once it is there. */
static pid_t start_inside(struct cgroup *cgroup, void (*body)(void))
{
	int gate[2], ready[2];
	char byte = 0;
	struct err err = {0};

	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		cgroup_close(cgroup); /* what execs loses the locks by itself */
		(void)close(gate[1]);
		(void)!write(ready[1], "r", 1);
		(void)!read(gate[0], &byte, 1);
		body();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	if (cgroup_attach(cgroup, pid, false, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	(void)close(gate[0]);
	(void)close(gate[1]);
	(void)close(ready[0]);
	(void)close(ready[1]);
	return pid;
}

static int wait_for(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void sleep_for_ever(void)
{
	for (;;) {
		(void)pause();
	}
}

static void read_value(enum cgroup_controller controller, const char *id, const char *file,
	char *value, size_t size)
{
	char path[600];
	cleanup_free char *text = NULL;

	(void)snprintf(path, sizeof(path), "%s/%s/%s", test_host.cgroup[controller].path, id, file);
	assert_int_equal(io_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	(void)snprintf(value, size, "%.*s", (int)strcspn(text, "\n"), text);
}

static void limits_are_in_the_kernel(void **state)
{
	struct cgroup cgroup;
	char value[64];
	bool v1 = test_host.cgroup[CGROUP_MEMORY].version == 1;

	make("limits", (struct cgroup_limits){.memory = MEMORY, .pids = 17, .cpu_milli = 1500},
		&cgroup);
	read_value(CGROUP_MEMORY, "limits", v1 ? "memory.limit_in_bytes" : "memory.max", value,
		sizeof(value));
	assert_string_equal(value, "25165824");
	read_value(CGROUP_PIDS, "limits", "pids.max", value, sizeof(value));
	assert_string_equal(value, "17");
	v1 = test_host.cgroup[CGROUP_CPU].version == 1;
	read_value(CGROUP_CPU, "limits", v1 ? "cpu.cfs_quota_us" : "cpu.max", value, sizeof(value));
	assert_string_equal(value, v1 ? "150000" : "150000 100000");
	assert_int_equal(cgroup_remove(&cgroup), 0);
	assert_false(any_left("limits"));
}

static void odd_sizes_are_rounded_down(void **state)
{
	struct cgroup cgroup;

	make("odd", (struct cgroup_limits){.memory = MEMORY + 4095}, &cgroup);
	assert_int_equal(cgroup_remove(&cgroup), 0);
}

static void use_memory(void)
{
	for (int i = 0; i < 64; i++) {
		char *page = mmap(
			NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(page, 1, 1 << 20);
	}
}

static void a_memory_hog_is_killed_and_counted(void **state)
{
	struct cgroup cgroup;
	struct sandbox_usage usage = {0};

	make("hog", (struct cgroup_limits){.memory = MEMORY}, &cgroup);
	int status = wait_for(start_inside(&cgroup, use_memory));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	cgroup_usage(&cgroup, &usage);
	assert_int_equal(usage.oom_kills, 1);
	assert_in_range(usage.memory_peak, MEMORY / 2, MEMORY);
	assert_int_equal(cgroup_remove(&cgroup), 0);

	make("hog", (struct cgroup_limits){0}, &cgroup); /* without the limit it lives */
	assert_int_equal(wait_for(start_inside(&cgroup, use_memory)), 0);
	assert_int_equal(cgroup_remove(&cgroup), 0);
}

static void fork_much(void)
{
	int made = 0;

	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			sleep_for_ever();
		}
		made += pid > 0;
	}
	_exit(made);
}

static void a_fork_bomb_stops_at_the_limit(void **state)
{
	struct cgroup cgroup;
	struct sandbox_usage usage = {0};

	make("bomb", (struct cgroup_limits){.pids = 8}, &cgroup);
	assert_int_equal(WEXITSTATUS(wait_for(start_inside(&cgroup, fork_much))), 7);
	cgroup_usage(&cgroup, &usage);
	assert_true(usage.pids_refused >= 1);
	assert_int_equal(cgroup_kill(&cgroup), 0);
	assert_int_equal(cgroup_remove(&cgroup), 0);
	assert_false(any_left("bomb"));

	make("bomb", (struct cgroup_limits){0}, &cgroup);
	assert_int_equal(WEXITSTATUS(wait_for(start_inside(&cgroup, fork_much))), 40);
	assert_int_equal(cgroup_kill(&cgroup), 0);
	assert_int_equal(cgroup_remove(&cgroup), 0);
}

static void kill_takes_everyone_also_without_cgroup_kill(void **state)
{
	struct host whole = test_host;

	for (int i = 0; i < 2; i++) {
		struct cgroup cgroup;

		if (i == 1) {
			test_host.cgroup_kill[0] = '\0';
		}
		make("kill", (struct cgroup_limits){0}, &cgroup);
		pid_t pid = start_inside(&cgroup, fork_much);
		assert_int_equal(WEXITSTATUS(wait_for(pid)), 40);
		assert_int_equal(cgroup_kill(&cgroup), 0);
		assert_int_equal(cgroup_remove(&cgroup), 0);
	}
	test_host = whole;
	assert_false(any_left("kill"));
}

static void processor_time_is_counted(void **state)
{
	struct cgroup cgroup;
	struct sandbox_usage usage = {0};

	if (!test_host.cgroup_kill[0]) {
		return; /* nothing here could tell, and nothing is claimed */
	}
	make("cpu", (struct cgroup_limits){0}, &cgroup);
	assert_int_equal(wait_for(start_inside(&cgroup, use_memory)), 0);
	cgroup_usage(&cgroup, &usage);
	assert_in_range(usage.cpu_usec, 1, 60000000);
	assert_int_equal(cgroup_remove(&cgroup), 0);
}

static void a_clone_can_be_born_inside(void **state)
{
	struct cgroup cgroup;
	cleanup_free char *text = NULL;
	char path[32];
	int status;

	if (!test_host.clone_into_cgroup) {
		return;
	}
	make("born", (struct cgroup_limits){0}, &cgroup);
	struct kernel_clone_args args = {.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)cgroup_clone_fd(&cgroup)};
	pid_t pid = (pid_t)kernel_clone3(&args);
	if (pid == 0) {
		sleep_for_ever();
	}
	assert_true(pid > 0);
	assert_int_equal(cgroup_attach(&cgroup, pid, true, NULL), 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	assert_int_equal(io_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	int places = 0;
	for (const char *at = text; (at = strstr(at, "/born")); at++) {
		places++;
	}
	/* the v2 tree, and each controller that has a hierarchy of its own */
	assert_true(places >= (test_host.cgroup[CGROUP_MEMORY].version == 1 ? 2 : 1));
	assert_int_equal(cgroup_kill(&cgroup), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(cgroup_remove(&cgroup), 0);
}

static void what_cannot_be_limited_is_refused_and_leaves_nothing(void **state)
{
	struct host whole = test_host;
	struct cgroup cgroup;
	struct cgroup_limits limits = {.pids = 4, .cpu_milli = 5};

	assert_int_equal(cgroup_create(&test_host, "no", &limits, &cgroup, NULL), -EINVAL);
	test_host.cgroup[CGROUP_CPU].version = 0;
	limits.cpu_milli = 500;
	assert_int_equal(cgroup_create(&test_host, "no", &limits, &cgroup, NULL), -ENOTSUP);
	limits = (struct cgroup_limits){.pids = 1ULL << 40}; /* more than there are numbers */
	assert_true(cgroup_create(&test_host, "no", &limits, &cgroup, NULL) < 0);
	assert_int_equal(cgroup_create(&test_host, "../no", &limits, &cgroup, NULL), -EINVAL);
	test_host = whole;
	assert_false(any_left("no"));
}

static void a_name_is_taken_once(void **state)
{
	struct cgroup first, second;

	make("once", (struct cgroup_limits){0}, &first);
	assert_int_equal(
		cgroup_create(&test_host, "once", &(struct cgroup_limits){0}, &second, NULL),
		-EEXIST);
	assert_true(any_left("once")); /* the failed one did not take the other's away */
	assert_int_equal(cgroup_remove(&first), 0);
	assert_int_equal(cgroup_remove(&first), 0);
}

static void the_sweep_takes_orphans_only(void **state)
{
	struct cgroup held, orphan;

	make("held", (struct cgroup_limits){0}, &held);
	make("orphan", (struct cgroup_limits){.pids = 4}, &orphan);
	pid_t pid = start_inside(&orphan, sleep_for_ever);
	cgroup_close(&orphan); /* as when its owner is killed */
	assert_true(cgroup_sweep(&test_host) >= 1);
	assert_int_equal(WTERMSIG(wait_for(pid)), SIGKILL);
	assert_false(any_left("orphan"));
	assert_true(any_left("held"));
	assert_int_equal(cgroup_remove(&held), 0);
}

/* Not a test of speed: says what a session pays, and that it is far from being noticed. */
static void a_session_costs_little(void **state)
{
	uint64_t total[4] = {0};
	enum { ROUNDS = 50 };

	for (int i = 0; i < ROUNDS; i++) {
		struct cgroup cgroup;
		uint64_t t0 = io_now_usec();
		make("cost", (struct cgroup_limits){.memory = MEMORY, .pids = 9, .cpu_milli = 500},
			&cgroup);
		uint64_t t1 = io_now_usec();
		pid_t pid = start_inside(&cgroup, use_memory);
		uint64_t t2 = io_now_usec();
		(void)wait_for(pid);
		uint64_t t3 = io_now_usec();
		assert_int_equal(cgroup_remove(&cgroup), 0);
		total[0] += t1 - t0;
		total[1] += t2 - t1;
		total[2] += io_now_usec() - t3;
	}
	print_message("create %llu us, fork and attach %llu us, remove %llu us\n",
		(unsigned long long)total[0] / ROUNDS, (unsigned long long)total[1] / ROUNDS,
		(unsigned long long)total[2] / ROUNDS);
	assert_true(total[0] / ROUNDS < 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_are_in_the_kernel),
		cmocka_unit_test(odd_sizes_are_rounded_down),
		cmocka_unit_test(a_memory_hog_is_killed_and_counted),
		cmocka_unit_test(a_fork_bomb_stops_at_the_limit),
		cmocka_unit_test(kill_takes_everyone_also_without_cgroup_kill),
		cmocka_unit_test(processor_time_is_counted),
		cmocka_unit_test(a_clone_can_be_born_inside),
		cmocka_unit_test(what_cannot_be_limited_is_refused_and_leaves_nothing),
		cmocka_unit_test(a_name_is_taken_once),
		cmocka_unit_test(the_sweep_takes_orphans_only),
		cmocka_unit_test(a_session_costs_little),
	};
	struct host host;

	if (host_probe(&host, NULL) == 0 &&
		(!host.cgroup[CGROUP_MEMORY].version || !host.cgroup[CGROUP_PIDS].version ||
			!host.cgroup[CGROUP_CPU].version)) {
		return 77; /* no cgroups for us here */
	}
	return cmocka_run_group_tests(tests, prepare, tidy);
}
