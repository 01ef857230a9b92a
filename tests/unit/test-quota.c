/*
 * Limits that a file system keeps by itself.
 *
 *	test-quota [DIRECTORY]
 *
 * The directory must be on a file system that enforces limits of projects, as the machine of debian-kernel.sh has
 * one. Without it only what must not happen elsewhere is looked at.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/linux/quota.h"
#include "base/cleanup.h"

#define SOMEBODY 65520
#define MEGABYTE (UINT64_C(1) << 20)

static const char *place;

static void test_a_file_system_without_refuses_and_is_left_as_it_is(void **state)
{
	char path[] = "/tmp/cloche-quota-XXXXXX";

	assert_non_null(mkdtemp(path));
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = quota_probe(dir);
	if (!place || r < 0) {
		assert_true(r < 0);
		assert_int_equal(quota_limit(dir, MEGABYTE, 100), r);
	}
	quota_lift(dir);
	assert_int_equal(rmdir(path), 0);
}

static int make_home(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", place, name);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, SOMEBODY, SOMEBODY), 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Runs a function as a session would: as somebody, in a user namespace. Returns its value. */
static int as_somebody(int dir, int (*work)(int dir))
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0) {
		if (setgid(SOMEBODY) < 0 || setuid(SOMEBODY) < 0 || unshare(CLONE_NEWUSER) < 0) {
			_exit(250);
		}
		_exit(work(dir));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 250);
	return WEXITSTATUS(status);
}

/* How many files of 64 KiB could be written, at most 100; 200 and more: another error came than that of a limit. */
static int fill(int dir)
{
	static char data[65536];
	char name[16];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		cleanup_close int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		ssize_t n = fd >= 0 ? write(fd, data, sizeof(data)) : -1;
		if (n != (ssize_t)sizeof(data)) {
			return n >= 0 || errno == EDQUOT || errno == ENOSPC ? i : 200;
		}
	}
	return 100;
}

/* How many empty files. */
static int litter(int dir)
{
	char name[16];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "e%d", i);
		cleanup_close int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0) {
			return errno == EDQUOT || errno == ENOSPC ? i : 200;
		}
	}
	return 100;
}

/* A way out of the project: 1. */
static int escape(int dir)
{
	struct fsxattr attributes = {0};

	cleanup_close int home = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (home < 0 || ioctl(home, FS_IOC_FSGETXATTR, &attributes) < 0) {
		return 2;
	}
	attributes.fsx_projid = 0;
	attributes.fsx_xflags &= ~(uint32_t)FS_XFLAG_PROJINHERIT;
	return ioctl(home, FS_IOC_FSSETXATTR, &attributes) == 0;
}

static void test_a_limit_of_bytes_holds_and_can_be_raised_and_lifted(void **state)
{
	cleanup_close int home = make_home("bytes");

	assert_int_equal(quota_probe(home), 0);
	assert_int_equal(quota_limit(home, MEGABYTE, 1000), 0);
	assert_in_range(as_somebody(home, fill), 10, 16);
	assert_int_equal(quota_limit(home, 2 * MEGABYTE, 1000), 0);
	assert_in_range(as_somebody(home, fill), 20, 32);
	quota_lift(home);
	assert_int_equal(as_somebody(home, fill), 100);
}

static void test_a_limit_of_entries_holds(void **state)
{
	cleanup_close int home = make_home("entries");

	assert_int_equal(quota_limit(home, 64 * MEGABYTE, 20), 0);
	assert_in_range(as_somebody(home, litter), 15, 20);
}

static void test_homes_do_not_share_a_limit(void **state)
{
	cleanup_close int one = make_home("one");
	cleanup_close int other = make_home("other");

	assert_int_equal(quota_limit(one, MEGABYTE, 1000), 0);
	assert_int_equal(quota_limit(other, MEGABYTE, 1000), 0);
	assert_in_range(as_somebody(one, fill), 10, 16);
	assert_in_range(as_somebody(other, fill), 10, 16);
}

static void test_nobody_in_a_namespace_leaves_the_project(void **state)
{
	cleanup_close int home = make_home("escape");

	assert_int_equal(quota_limit(home, MEGABYTE, 1000), 0);
	assert_int_equal(as_somebody(home, escape), 0);
	assert_in_range(as_somebody(home, fill), 10, 16);
}

static void test_without_a_limit_nothing_stops_it(void **state)
{
	cleanup_close int home = make_home("free");

	assert_int_equal(as_somebody(home, fill), 100);
	assert_int_equal(as_somebody(home, litter), 100);
}

static void test_what_is_full_already_or_of_another_project_is_refused(void **state)
{
	cleanup_close int home = make_home("old");
	cleanup_close int theirs = make_home("theirs");
	struct fsxattr attributes = {.fsx_projid = 7};

	assert_int_equal(mkdirat(home, "there", 0700), 0);
	assert_int_equal(quota_limit(home, MEGABYTE, 1000), -ENOTEMPTY);
	assert_int_equal(ioctl(theirs, FS_IOC_FSSETXATTR, &attributes), 0);
	assert_int_equal(quota_limit(theirs, MEGABYTE, 1000), -EBUSY);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest elsewhere[] = {
		cmocka_unit_test(test_a_file_system_without_refuses_and_is_left_as_it_is),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_file_system_without_refuses_and_is_left_as_it_is),
		cmocka_unit_test(test_a_limit_of_bytes_holds_and_can_be_raised_and_lifted),
		cmocka_unit_test(test_a_limit_of_entries_holds),
		cmocka_unit_test(test_homes_do_not_share_a_limit),
		cmocka_unit_test(test_nobody_in_a_namespace_leaves_the_project),
		cmocka_unit_test(test_without_a_limit_nothing_stops_it),
		cmocka_unit_test(test_what_is_full_already_or_of_another_project_is_refused),
	};

	if (argc < 2) {
		return cmocka_run_group_tests(elsewhere, NULL, NULL);
	}
	place = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
