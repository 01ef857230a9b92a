/*
 * What native claims, held against what the running kernel itself says: asked for here by system
 * calls and files of the test's own, not by host_probe(). On Debian's kernel (debian-kernel.sh) most
 * of it is less than on a new one, and the claims must be less as well.
 *
 *	test-claims [LANDLOCK_ABI CGROUP_VERSION]
 *
 * The arguments say on which kernel this is meant to run: another one fails the test, so that the
 * machine in QEMU can never become a newer one unseen.
 */
#include "tests/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/kernel.h"
#include "base/cleanup.h"
#include "base/io.h"

static struct {
	int abi, cgroup_version; /* 0: whatever it is */
} expected;

static struct host host;
static struct plan *plan;

static int kernel_abi(void)
{
	long abi = syscall(
		SYS_landlock_create_ruleset, NULL, 0, KERNEL_LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static int compile(void **state)
{
	static const char *const settings[][2] = {
		{"pids", "32"}, {"memory", "64M"}, {"cpus", "0.5"}, {"net", "enable"}};
	cleanup(spec_fini) struct spec spec = {0};
	struct err err = {0};

	spec_init(&spec);
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (spec_set(&spec, spec_find_key(settings[i][0]), settings[i][1], &err) < 0) {
			fail_msg("%s", err.msg);
		}
	}
	if (strv_append(&spec.args, "/bin/true") < 0 || host_probe(&host, &err) < 0 ||
		backend_native.compile(&spec, &host, 0, &plan, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	return 0;
}

static int discard(void **state)
{
	plan_freep(&plan);
	return 0;
}

static void test_the_kernel_is_the_expected_one(void **state)
{
	if (expected.abi) {
		assert_int_equal(kernel_abi(), expected.abi);
		assert_int_equal(access("/sys/fs/cgroup/cgroup.controllers", F_OK), 0);
	}
}

/* A right that the kernel does not know makes it refuse the whole rule set (landlock(7)). */
static void test_landlock_handles_what_the_kernel_knows(void **state)
{
	struct kernel_landlock_ruleset_attr attr = {.handled_access_fs = plan->landlock.handled_fs,
		.handled_access_net = plan->landlock.handled_net,
		.scoped = plan->landlock.scoped};
	long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	assert_true(fd >= 0);
	(void)close((int)fd);
	assert_true(plan->landlock.abi <= kernel_abi());
	if (kernel_abi() < 4) {
		assert_int_equal(plan->landlock.handled_net, 0);
	}
	assert_int_equal(plan->landlock.scoped != 0, kernel_abi() >= 6);
}

static void test_what_landlock_lacks_is_said(void **state)
{
	assert_int_equal(plan_has_caveat(plan, "landlock.no_refer"), kernel_abi() < 2);
	assert_int_equal(plan_has_caveat(plan, "landlock.no_truncate"), kernel_abi() < 3);
	assert_int_equal(plan_has_caveat(plan, "landlock.no_scope"), kernel_abi() < 6);
}

/* In the host's network an abstract socket of the host's is stopped by no layer but scopes. */
static void test_a_shared_network_takes_promises_with_it(void **state)
{
	assert_false(capability_set_has(plan->uses, CAPABILITY_NET_DISABLE));
	assert_false(capability_set_has(plan->uses, CAPABILITY_IPC_RESTRICT));
}

/* Whether name stands in a file of words divided by blanks, colons and commas. */
static bool has_word(const char *path, const char *name)
{
	cleanup_free char *text = NULL;
	char *rest = NULL;

	if (io_read_file(AT_FDCWD, path, 65536, &text, NULL) < 0) {
		return false;
	}
	for (char *word = strtok_r(text, " :,\n", &rest); word;
		word = strtok_r(NULL, " :,\n", &rest)) {
		if (strcmp(word, name) == 0) {
			return true;
		}
	}
	return false;
}

/* Version 1: a hierarchy of its own (cgroups(7)). Version 2: listed where the sessions' groups go. */
static bool is_served(const struct host_cgroup *cgroup, const char *controller)
{
	char path[sizeof(cgroup->path) + 32];
	char *end = NULL;

	if (cgroup->version == 1) {
		return has_word("/proc/self/cgroup", controller);
	}
	(void)snprintf(path, sizeof(path), "%s", cgroup->path);
	while (access(path, F_OK) < 0 && (end = strrchr(path, '/'))) {
		*end = '\0'; /* not made before the first session */
	}
	(void)snprintf(path + strlen(path), 32, "/cgroup.controllers");
	return has_word(path, controller);
}

static void test_limits_are_those_of_this_hierarchy(void **state)
{
	static const struct {
		enum cgroup_controller controller;
		enum capability capability;
		const char *name;
	} rows[] = {
		{CGROUP_MEMORY, CAPABILITY_RES_MEMORY, "memory"},
		{CGROUP_PIDS, CAPABILITY_RES_PIDS, "pids"},
		{CGROUP_CPU, CAPABILITY_RES_CPU, "cpu"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int version = plan->cgroup_version[rows[i].controller];

		if (version || rows[i].controller != CGROUP_PIDS) { /* an rlimit can count tasks */
			assert_int_equal(
				capability_set_has(plan->uses, rows[i].capability), version != 0);
		}
		if (expected.cgroup_version) {
			assert_int_equal(version, expected.cgroup_version);
		}
		if (version) {
			assert_true(is_served(&host.cgroup[rows[i].controller], rows[i].name));
		}
	}
}

/* Without a controller its promise goes, and the others stay. */
static void test_a_controller_that_is_not_there_is_not_promised(void **state)
{
	struct host poorer = host;
	cleanup(spec_fini) struct spec spec = {0};
	cleanup(plan_freep) struct plan *less = NULL;
	struct err err = {0};

	poorer.cgroup[CGROUP_MEMORY] = (struct host_cgroup){0};
	spec_init(&spec);
	assert_int_equal(strv_append(&spec.args, "/bin/true"), 0);
	assert_int_equal(spec_set(&spec, spec_find_key("memory"), "64M", &err), 0);
	if (backend_native.compile(&spec, &poorer, 0, &less, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	assert_false(capability_set_has(less->uses, CAPABILITY_RES_MEMORY));
	assert_true(plan_has_caveat(less, "res.memory.no_cgroup"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_kernel_is_the_expected_one),
		cmocka_unit_test(test_landlock_handles_what_the_kernel_knows),
		cmocka_unit_test(test_what_landlock_lacks_is_said),
		cmocka_unit_test(test_a_shared_network_takes_promises_with_it),
		cmocka_unit_test(test_limits_are_those_of_this_hierarchy),
		cmocka_unit_test(test_a_controller_that_is_not_there_is_not_promised),
	};

	if (argc == 3) {
		expected.abi = atoi(argv[1]);
		expected.cgroup_version = atoi(argv[2]);
	}
	return cmocka_run_group_tests(tests, compile, discard);
}
