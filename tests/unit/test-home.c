/* What a home directory is said to take, whatever its user has done to hide it. */
#include "tests/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/kernel.h"
#include "base/cleanup.h"
#include "session/home-count.h"
#include "session/home-watch.h"

#define PLENTY UINT64_C(1) << 40
#define MEGABYTE (UINT64_C(1) << 20)

static char top[64];
static int home = -1;

static int set_up(void **state)
{
	(void)snprintf(top, sizeof(top), "/var/tmp/cloche-home-XXXXXX");
	assert_non_null(mkdtemp(top));
	home = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return home < 0;
}

static int tear_down(void **state)
{
	char command[128];

	close_fdp(&home);
	(void)snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command) != 0;
}

static struct home_use count_within(uint64_t bytes, uint64_t entries)
{
	const struct home_bounds bounds = {.bytes = bytes, .entries = entries};
	struct home_count *count = NULL;

	assert_int_equal(home_count_new(home, &bounds, &count), 0);
	while (home_count_step(count, 3) == 0) {
	}
	struct home_use use = home_count_use(count);
	home_count_free(count);
	return use;
}

static void write_file(const char *name, size_t size)
{
	cleanup_free char *data = calloc(1, size + 1);
	cleanup_close int fd = openat(home, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	memset(data, 'x', size);
	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(fsync(fd), 0);
}

static void test_files_are_counted_by_their_blocks(void **state)
{
	struct home_use empty = count_within(PLENTY, 10);

	assert_int_equal(empty.entries, 1);
	write_file("a", MEGABYTE);
	assert_int_equal(mkdirat(home, "d", 0700), 0);
	write_file("d/b", MEGABYTE);
	struct home_use use = count_within(PLENTY, 10);
	assert_null(use.over);
	assert_int_equal(use.entries, 4);
	assert_in_range(use.bytes, 2 * MEGABYTE, 2 * MEGABYTE + 65536);
}

static void test_a_hole_takes_nothing_until_it_is_filled(void **state)
{
	cleanup_close int fd = openat(home, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, (off_t)(1024 * MEGABYTE)), 0);
	assert_in_range(count_within(PLENTY, 10).bytes, 0, 65536);
	cleanup_free char *data = calloc(1, MEGABYTE);
	memset(data, 'x', MEGABYTE);
	assert_int_equal(pwrite(fd, data, MEGABYTE, (off_t)(512 * MEGABYTE)), MEGABYTE);
	assert_int_equal(fsync(fd), 0);
	assert_in_range(count_within(PLENTY, 10).bytes, MEGABYTE, MEGABYTE + 65536);
}

static void test_a_file_of_many_names_is_counted_once(void **state)
{
	char name[16];

	write_file("first", MEGABYTE);
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "name%d", i);
		assert_int_equal(linkat(home, "first", home, name, 0), 0);
	}
	struct home_use use = count_within(PLENTY, 1000);
	assert_int_equal(use.entries, 302);
	assert_in_range(use.bytes, MEGABYTE, MEGABYTE + 65536);
}

static void test_many_files_with_two_names_are_each_counted_once(void **state)
{
	char name[16];
	char other[16];

	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "a%d", i);
		(void)snprintf(other, sizeof(other), "b%d", i);
		write_file(name, 4096);
		assert_int_equal(linkat(home, name, home, other, 0), 0);
	}
	assert_in_range(count_within(PLENTY, 1000).bytes, 200 * 4096, 200 * 4096 + 65536);
}

static void test_no_link_is_followed(void **state)
{
	assert_int_equal(symlinkat("/usr", home, "usr"), 0);
	assert_int_equal(symlinkat(".", home, "self"), 0);
	assert_int_equal(symlinkat("/proc/self/fd/0", home, "magic"), 0);
	assert_int_equal(mkfifoat(home, "fifo", 0600), 0);
	struct home_use use = count_within(PLENTY, 10);
	assert_null(use.over);
	assert_int_equal(use.entries, 5);
	assert_in_range(use.bytes, 0, 65536);
}

static void test_what_others_own_and_what_is_shut_is_counted(void **state)
{
	assert_int_equal(mkdirat(home, "shut", 0700), 0);
	write_file("shut/of-nobody", MEGABYTE);
	if (geteuid() == 0) {
		assert_int_equal(fchownat(home, "shut/of-nobody", 65534, 65534, 0), 0);
		assert_int_equal(fchmodat(home, "shut/of-nobody", 0, 0), 0);
		assert_int_equal(fchmodat(home, "shut", 0, 0), 0);
	}
	assert_in_range(count_within(PLENTY, 10).bytes, MEGABYTE, MEGABYTE + 65536);
}

static void test_it_stops_at_either_bound(void **state)
{
	char name[16];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		write_file(name, 0);
	}
	struct home_use use = count_within(PLENTY, 50);
	assert_non_null(use.over);
	assert_int_equal(use.entries, 51);
	write_file("large", MEGABYTE);
	use = count_within(MEGABYTE / 2, 1000);
	assert_non_null(use.over);
	assert_true(use.bytes > MEGABYTE / 2);
	assert_null(count_within(PLENTY, 102).over);
}

static void test_what_is_nested_too_deep_is_not_taken_for_small(void **state)
{
	cleanup_close int at = dup(home);

	for (int i = 0; i < 200; i++) {
		assert_int_equal(mkdirat(at, "d", 0700), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close_fdp(&at);
		at = next;
	}
	struct home_use use = count_within(PLENTY, 1000);
	assert_non_null(use.over);
	assert_non_null(strstr(use.over, "deep"));
}

/* Who renames and removes while it is walked gets no error out of it, and nothing but the home is walked. */
static void test_what_changes_meanwhile_does_no_harm(void **state)
{
	const struct home_bounds bounds = {.bytes = PLENTY, .entries = 100000};
	struct home_count *count = NULL;
	char name[16];

	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(mkdirat(home, name, 0700), 0);
		(void)snprintf(name, sizeof(name), "%d/f", i);
		write_file(name, 10);
	}
	assert_int_equal(home_count_new(home, &bounds, &count), 0);
	assert_int_equal(home_count_step(count, 5), 0);
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "%d/f", i);
		assert_int_equal(unlinkat(home, name, 0), 0);
		(void)snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(unlinkat(home, name, AT_REMOVEDIR), 0);
		assert_int_equal(symlinkat("/", home, name), 0);
	}
	while (home_count_step(count, 5) == 0) {
	}
	assert_null(home_count_use(count).over);
	assert_true(home_count_use(count).entries < 200);
	home_count_free(count);
}

static void test_bounds_grow_with_the_limit_and_end(void **state)
{
	assert_int_equal(home_bounds(1).entries, 1000);
	assert_int_equal(home_bounds(64 * MEGABYTE).entries, 16384);
	assert_int_equal(home_bounds(PLENTY).entries, 1000000);
	assert_int_equal(home_bounds(64 * MEGABYTE).bytes, 64 * MEGABYTE);
}

/* The homes' directory and the home below it, as the server has them. */
static void make_place(char *path, size_t size)
{
	(void)snprintf(path, size, "%s/homes/ann", top);
}

static void test_a_watch_sees_what_is_written_and_says_it_once(void **state)
{
	struct home_watch watch;
	struct err err = {0};
	char path[96];
	char text[96];
	bool full = true;

	make_place(path, sizeof(path));
	home_watch_init(&watch);
	assert_int_equal(home_watch_begin(&watch, path, 2 * MEGABYTE, &full, &err), 0);
	assert_false(full);
	assert_true(home_watch_deadline(&watch) != UINT64_MAX);
	assert_int_equal(home_watch_step(&watch, watch.counted_at + 1), HOME_NOTHING);
	assert_int_equal(home_watch_step(&watch, watch.counted_at + HOME_PAUSE_MAX), HOME_NOTHING);

	write_file("homes/ann/a", 1950 * 1024);
	assert_int_equal(home_watch_step(&watch, watch.counted_at + HOME_PAUSE_MAX), HOME_NEAR);
	assert_int_equal(home_watch_step(&watch, watch.counted_at + HOME_PAUSE_MAX), HOME_NOTHING);
	write_file("homes/ann/b", MEGABYTE);
	assert_int_equal(home_watch_step(&watch, watch.counted_at + HOME_PAUSE_MAX), HOME_OVER);
	assert_true(home_watch_deadline(&watch) == UINT64_MAX);
	assert_int_equal(home_watch_step(&watch, UINT64_MAX - 1), HOME_NOTHING);
	assert_non_null(strstr(home_watch_describe(&watch, text, sizeof(text)), "of 2.0M"));
	home_watch_fini(&watch);

	assert_int_equal(home_watch_begin(&watch, path, 2 * MEGABYTE, &full, &err), 0);
	assert_true(full);
	/* Those that were there before still write. */
	assert_int_equal(home_watch_step(&watch, watch.counted_at), HOME_OVER);
	home_watch_fini(&watch);

	assert_int_equal(unlinkat(home, "homes/ann/b", 0), 0);
	assert_int_equal(home_watch_begin(&watch, path, 2 * MEGABYTE, &full, &err), 0);
	assert_false(full);
	home_watch_fini(&watch);
	assert_int_equal(home_watch_begin(&watch, path, 0, &full, &err), 0);
	assert_true(home_watch_deadline(&watch) == UINT64_MAX);
}

/* What a plan lets a session do in its home: the rights by Landlock, and whether the mount is read-only. */
static void look_at_plan(
	int abi, bool full, char *writable, uint64_t *ret_access, bool *ret_read_only)
{
	char program[] = "true";
	char *args[] = {program, NULL};
	char usr[] = "/usr";
	char *readable[] = {usr, NULL};
	char *scopes[] = {writable, NULL};
	char source[] = "/var/lib/cloche/homes/ann";
	const struct spec spec = {.args = args,
		.readable = readable,
		.writable = writable ? scopes : NULL,
		.write = WRITE_OVERLAY,
		.home_source = source,
		.home_quota = MEGABYTE,
		.home_full = full};
	cleanup(plan_freep) struct plan *plan = NULL;
	struct err err = {0};
	struct host host;

	host_init_ideal(&host, abi);
	assert_int_equal(backend_compile(&backend_native, &spec, &host, 0, &plan, &err), 0);
	assert_int_equal(plan_has_caveat(plan, "home.full"), full);
	assert_true(plan_has_caveat(plan, "home.quota"));
	*ret_access = 0;
	for (size_t i = 0; i < plan->landlock.rule_count; i++) {
		if (strcmp(plan->landlock.rules[i].path, "/home/user") == 0) {
			*ret_access |= plan->landlock.rules[i].access;
		}
	}
	for (size_t i = 0; i < plan->mount_count; i++) {
		if (strcmp(plan->mounts[i].target, "/home/user") == 0) {
			*ret_read_only = plan->mounts[i].flags & PLAN_READ_ONLY;
		}
	}
}

static void test_a_full_home_can_be_emptied_and_not_filled(void **state)
{
	const uint64_t fills = KERNEL_LL_WRITE_FILE | KERNEL_LL_MAKE_REG | KERNEL_LL_MAKE_DIR |
		KERNEL_LL_MAKE_SYM | KERNEL_LL_MAKE_FIFO | KERNEL_LL_MAKE_SOCK | KERNEL_LL_REFER |
		KERNEL_LL_TRUNCATE;
	const uint64_t empties = KERNEL_LL_REMOVE_FILE | KERNEL_LL_REMOVE_DIR | KERNEL_LL_READ_DIR;
	char above[] = "/home";
	uint64_t access = 0;
	bool read_only = true;

	look_at_plan(7, false, NULL, &access, &read_only);
	assert_int_equal(access & fills, fills);
	assert_false(read_only);
	look_at_plan(7, true, NULL, &access, &read_only);
	assert_int_equal(access & fills, 0);
	assert_int_equal(access & empties, empties);
	assert_false(read_only);
	/* Where Landlock cannot tell the two apart. */
	look_at_plan(0, true, NULL, &access, &read_only);
	assert_true(read_only);
	look_at_plan(7, true, above, &access, &read_only);
	assert_true(read_only);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_files_are_counted_by_their_blocks),
		TEST(test_a_hole_takes_nothing_until_it_is_filled),
		TEST(test_a_file_of_many_names_is_counted_once),
		TEST(test_many_files_with_two_names_are_each_counted_once),
		TEST(test_no_link_is_followed),
		TEST(test_what_others_own_and_what_is_shut_is_counted),
		TEST(test_it_stops_at_either_bound),
		TEST(test_what_is_nested_too_deep_is_not_taken_for_small),
		TEST(test_what_changes_meanwhile_does_no_harm),
		TEST(test_bounds_grow_with_the_limit_and_end),
		TEST(test_a_full_home_can_be_emptied_and_not_filled),
		TEST(test_a_watch_sees_what_is_written_and_says_it_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
