/*
 * What a plan of gvisor shows of a host whose /bin and its like are links into /usr: runsc is given
 * the places, as it follows no link of a spec's. And what it says to a runsc that has systrap, and to one
 * that has not.
 */
#include "tests/test.h"

#include <string.h>

#include "backends/gvisor.h"
#include "base/cleanup.h"
#include "tests/unit/planned.h"

static struct plan *compile(const char *assignments, const struct host *host)
{
	struct plan *plan = NULL;
	struct err err = {0};
	struct spec spec;

	planned_spec(assignments, &spec);
	if (backend_gvisor.compile(&spec, host, 0, &plan, &err) < 0) {
		fail_msg("%s: %s", assignments, err.msg);
	}
	spec_fini(&spec);
	return plan;
}

/* The one mount at target, or NULL. */
static const struct plan_mount *find(const struct plan *plan, const char *target)
{
	const struct plan_mount *found = NULL;

	for (size_t i = 0; i < plan->mount_count; i++) {
		if (strcmp(plan->mounts[i].target, target) == 0) {
			assert_null(found);
			found = &plan->mounts[i];
		}
	}
	return found;
}

static void assert_bound(const struct plan *plan, const char *target, const char *source)
{
	const struct plan_mount *mount = find(plan, target);

	assert_non_null(mount);
	assert_int_equal(mount->kind, PLAN_MOUNT_BIND);
	assert_string_equal(mount->source, source);
}

static void assert_covered(const struct plan *plan, const char *target)
{
	const struct plan_mount *mount = find(plan, target);

	assert_non_null(mount);
	assert_int_equal(mount->kind, PLAN_MOUNT_TMPFS);
	assert_int_equal(mount->mode, 0);
}

#define LISTED "readable=/usr;readable=/bin;readable=/lib32;readable=/lib/a;readable=/library"

static void links_into_usr_are_bound_from_there(void **state)
{
	cleanup(plan_freep) struct plan *merged = NULL;
	cleanup(plan_freep) struct plan *again = NULL;
	cleanup(plan_freep) struct plan *apart = NULL;
	struct host host;

	host_init_ideal(&host, 7);
	apart = compile(LISTED, &host);
	assert_bound(apart, "/bin", "/bin");
	host.merged_usr = true;
	merged = compile(LISTED, &host);
	assert_bound(merged, "/usr", "/usr");
	assert_bound(merged, "/bin", "/usr/bin");
	assert_bound(merged, "/sbin", "/usr/sbin");
	assert_bound(merged, "/lib32", "/usr/lib32");
	assert_bound(merged, "/lib/a", "/usr/lib/a");
	assert_bound(merged, "/library", "/library");
	again = compile(LISTED, &host);
	assert_string_equal(merged->digest, again->digest);
	assert_string_not_equal(merged->digest, apart->digest);
}

static void what_the_host_lacks_is_left_out(void **state)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	struct host host;

	host_init_ideal(&host, 7);
	host.merged_usr = true;
	host.gvisor.files = 0;
	plan = compile(LISTED, &host);
	assert_null(find(plan, "/lib32"));
	assert_null(find(plan, "/lib64"));
	assert_bound(plan, "/bin", "/usr/bin");
}

static void what_is_denied_is_denied_by_both_names(void **state)
{
	cleanup(plan_freep) struct plan *scoped = NULL;
	cleanup(plan_freep) struct plan *broad = NULL;
	cleanup(plan_freep) struct plan *whole = NULL;
	struct host host;

	host_init_ideal(&host, 7);
	host.merged_usr = true;
	scoped = compile("readable=/usr;read_deny=/usr/bin/a;read_deny=/lib/b", &host);
	assert_covered(scoped, "/usr/bin/a");
	assert_covered(scoped, "/bin/a");
	assert_covered(scoped, "/usr/lib/b");
	assert_covered(scoped, "/lib/b");
	whole = compile("readable=/srv;read_deny=/usr/sbin", &host);
	assert_covered(whole, "/usr/sbin");
	broad = compile("read_deny=/lib/b", &host);
	assert_covered(broad, "/usr/lib/b");
	assert_null(find(broad, "/lib/b"));
}

/* Which of systrap and ptrace is said, once and never another, and what comes with it. */
static void check_platform(bool systrap)
{
	static const char *const olds[] = {"gvisor.ptrace", "gvisor.statx_preload"};
	cleanup(plan_freep) struct plan *plan = NULL;
	struct host host;
	size_t count = 0;

	host_init_ideal(&host, 7);
	host.gvisor.systrap = systrap;
	plan = compile("readable=/usr", &host);
	STRV_FOREACH (word, plan->command) {
		count += strncmp(*word, "--platform", 10) == 0;
	}
	assert_int_equal(count, 1);
	assert_true(
		strv_contains(plan->command, systrap ? "--platform=systrap" : "--platform=ptrace"));
	for (size_t i = 0; i < ARRAY_SIZE(olds); i++) {
		assert_int_equal(plan_has_caveat(plan, olds[i]), !systrap);
	}
	assert_int_equal(find(plan, "/etc/ld.so.preload") != NULL, !systrap);
	for (size_t i = 0; i < plan->file_count; i++) {
		/* How a runsc of 2022 is told to answer clone3 with ENOSYS. */
		assert_true(strcmp(plan->files[i].name, GVISOR_CONFIG) != 0 ||
			(strstr(plan->files[i].content, "SCMP_ACT_TRACE") != NULL) == !systrap);
	}
}

static void platform_is_the_best_that_runsc_has_and_brings_its_own(void **state)
{
	check_platform(true);
	check_platform(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_into_usr_are_bound_from_there),
		cmocka_unit_test(what_the_host_lacks_is_left_out),
		cmocka_unit_test(what_is_denied_is_denied_by_both_names),
		cmocka_unit_test(platform_is_the_best_that_runsc_has_and_brings_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
