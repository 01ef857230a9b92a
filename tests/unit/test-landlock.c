#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/linux/kernel.h"
#include "backends/linux/landlock.h"
#include "base/cleanup.h"

static void each_abi_handles_what_it_knows(void **state)
{
	static const struct {
		int abi;
		uint64_t fs, net, scoped;
	} rows[] = {
		{-1, 0, 0, 0},
		{0, 0, 0, 0},
		{1, 0x1fff, 0, 0},
		{2, 0x3fff, 0, 0},
		{3, 0x7fff, 0, 0},
		{4, 0x7fff, 3, 0},
		{5, 0xffff, 3, 0},
		{6, 0xffff, 3, 3},
		{7, 0xffff, 3, 3},
		{12, 0xffff, 3, 3},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct plan_landlock landlock = {.handled_fs = 99, .handled_net = 99};

		landlock_compile(rows[i].abi, true, &landlock);
		assert_int_equal(landlock.handled_fs, rows[i].fs);
		assert_int_equal(landlock.handled_net, rows[i].net);
		assert_int_equal(landlock.scoped, rows[i].scoped);
		assert_int_equal(landlock_access_all(rows[i].abi), rows[i].fs);
		landlock_compile(rows[i].abi, false, &landlock);
		assert_int_equal(landlock.handled_net, 0);
	}
}

static void an_abi_from_the_future_counts_as_the_newest_known(void **state)
{
	struct plan_landlock landlock = {0};

	landlock_compile(99, false, &landlock);
	assert_int_equal(landlock.abi, 7);
}

static void rights_stay_inside_what_is_handled(void **state)
{
	for (int abi = 0; abi < 9; abi++) {
		uint64_t all = landlock_access_all(abi);

		assert_int_equal(landlock_access_read(abi) & ~all, 0);
		assert_int_equal(landlock_access_write(abi) & ~all, 0);
		assert_int_equal(landlock_access_device(abi) & ~all, 0);
		assert_int_equal(landlock_access_read(abi) & landlock_access_write(abi), 0);
		/* nobody may make device nodes */
		assert_int_equal(
			landlock_access_write(abi) & (KERNEL_LL_MAKE_CHAR | KERNEL_LL_MAKE_BLOCK),
			0);
	}
}

/* A directory with in/ and out/, each with a file. */
static int make_tree(void **state)
{
	char path[64], *root = strdup("/tmp/cloche-landlock-XXXXXX");

	if (!root || !mkdtemp(root)) {
		return -1;
	}
	for (int i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, i ? "in" : "out");
		(void)mkdir(path, 0755);
		(void)strcat(path, "/file");
		(void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	}
	*state = root;
	return 0;
}

static int remove_tree(void **state)
{
	static const char *const names[] = {
		"in/file", "in/new", "out/file", "out/new", "in", "out", ""};
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", (char *)*state, names[i]);
		(void)remove(path);
	}
	free(*state);
	return 0;
}

static void confine(int abi, const char *path, uint64_t access)
{
	struct plan_landlock landlock = {0};
	cleanup_close int target = open(path, O_PATH | O_CLOEXEC);

	landlock_compile(abi, false, &landlock);
	int ruleset = landlock_begin(landlock.handled_fs, landlock.handled_net, landlock.scoped);
	if (ruleset < 0 || target < 0 || landlock_allow(ruleset, target, access) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_enforce(ruleset, abi) < 0) {
		_exit(99);
	}
}

static int try_open(const char *path, int flags)
{
	cleanup_close int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? errno : 0;
}

/* Each attempt, and what it must give when everything below in/ is granted. */
static const struct {
	const char *path;
	int flags, with_write, with_read;
} attempts[] = {
	{"in/file", O_RDONLY, 0, 0},
	{"in/file", O_WRONLY, 0, EACCES},
	{"in/file", O_WRONLY | O_TRUNC, 0, EACCES},
	{"in/new", O_WRONLY | O_CREAT, 0, EACCES},
	{"out/file", O_RDONLY, EACCES, EACCES},
	{"out/file", O_WRONLY, EACCES, EACCES},
	{"out/new", O_WRONLY | O_CREAT, EACCES, EACCES},
	{"out", O_RDONLY | O_DIRECTORY, EACCES, EACCES},
};

static int attempt_all(const char *root, bool write)
{
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, attempts[i].path);
		int wanted = write ? attempts[i].with_write : attempts[i].with_read;
		if (try_open(path, attempts[i].flags) != wanted) {
			return 1 + (int)i;
		}
	}
	return 0;
}

static int run(const char *root, int abi, bool write)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		char path[64];
		uint64_t access = landlock_access_read(abi);

		(void)snprintf(path, sizeof(path), "%s/in", root);
		confine(abi, path, write ? access | landlock_access_write(abi) : access);
		_exit(attempt_all(root, write));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The claims of an old kernel hold on a new one: every ABI there is here is applied and tried. */
static void what_no_rule_grants_is_refused(void **state)
{
	for (int abi = 1; abi <= landlock_abi() && abi <= 7; abi++) {
		assert_int_equal(run(*state, abi, true), 0);
		assert_int_equal(run(*state, abi, false), 0);
	}
	assert_int_not_equal(attempt_all(*state, true), 0); /* without it all is open */
}

static void a_file_can_carry_a_rule_for_directories(void **state)
{
	int abi = landlock_abi(), status = -1;
	char path[64];
	pid_t pid = fork();

	(void)snprintf(path, sizeof(path), "%s/in/file", (char *)*state);
	if (pid == 0) {
		confine(abi, path, landlock_access_all(abi));
		_exit(try_open(path, O_RDWR) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_rule_of_nothing_is_no_error(void **state)
{
	char path[64];
	cleanup_close int ruleset = landlock_begin(landlock_access_all(1), 0, 0);

	(void)snprintf(path, sizeof(path), "%s/in/file", (char *)*state);
	cleanup_close int fd = open(path, O_PATH | O_CLOEXEC);
	assert_true(ruleset >= 0);
	assert_int_equal(landlock_allow(ruleset, fd, KERNEL_LL_READ_DIR), 0);
	assert_int_equal(landlock_allow(ruleset, -1, KERNEL_LL_READ_DIR), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_abi_handles_what_it_knows),
		cmocka_unit_test(an_abi_from_the_future_counts_as_the_newest_known),
		cmocka_unit_test(rights_stay_inside_what_is_handled),
	};
	const struct CMUnitTest with_kernel[] = {
		cmocka_unit_test_setup_teardown(
			what_no_rule_grants_is_refused, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(
			a_file_can_carry_a_rule_for_directories, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(
			a_rule_of_nothing_is_no_error, make_tree, remove_tree),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	if (failed == 0 && landlock_abi() == 0) {
		return 77; /* this kernel has no Landlock */
	}
	return failed + cmocka_run_group_tests(with_kernel, NULL, NULL);
}
