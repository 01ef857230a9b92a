/*
 * The second sandboxes of `ablate`, attacked by their own root: where the user namespace of a plan can
 * be left out, nothing gets out to the host; in the other one some of it would, which is what the
 * attacks are held against. And nobody else gets a session without that layer.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/idrange.h"
#include "backends/linux/kernel.h"
#include "backends/linux/ring.h"
#include "backends/plan.h"
#include "backends/spec.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/outer.h"
#include "tests/test.h"

/* Anybody's to write, in a directory of the host's that no second sandbox covers. */
static char place[] = "/var/lib/cloche-outer.XXXXXX";
static char canary[64];
static char core_pattern[256];
static pid_t outside;

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int remount(void)
{
	return result(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int clear_read_only(void)
{
	struct kernel_mount_attr open = {.attr_clr = KERNEL_MOUNT_ATTR_RDONLY};

	return result(kernel_mount_setattr(AT_FDCWD, "/", KERNEL_AT_RECURSIVE, &open));
}

static int write_canary(void)
{
	cleanup_close int fd = open(canary, O_WRONLY | O_APPEND | O_CLOEXEC);

	return fd < 0 ? errno : result(write(fd, "reached", 7));
}

static int bind_and_write(void)
{
	if (mount(place, "/mnt", NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, "/mnt", NULL, MS_REMOUNT | MS_BIND, NULL) < 0) {
		return errno;
	}
	cleanup_close int fd = open("/mnt/canary", O_WRONLY | O_APPEND | O_CLOEXEC);
	return fd < 0 ? errno : result(write(fd, "reached", 7));
}

static int uncover(void)
{
	return result(umount2("/dev", MNT_DETACH));
}

static int make_device(void)
{
	return result(mknod(OUTER_CANARIES "/disk", S_IFBLK | 0600, makedev(8, 0)));
}

static int make_group(void)
{
	static const char *const trees[] = {
		"/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"};
	char path[80];
	int code = ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(trees) && code != 0; i++) {
		(void)snprintf(path, sizeof(path), "%s/cloche-outer-%d", trees[i], outside);
		code = result(mkdir(path, 0755));
		(void)rmdir(path);
	}
	return code;
}

/* With what is there already, so that no harm is done where it works. */
static int write_setting(void)
{
	return -io_write_file(AT_FDCWD, "/proc/sys/kernel/core_pattern", core_pattern);
}

static int load_keys(void)
{
	cleanup_close int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	return fd < 0 ? errno : 0;
}

static int signal_outside(void)
{
	return result(kill(outside, 0));
}

static int become_owner(void)
{
	return result(chown(canary, 0, 0));
}

static int open_by_handle(void)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} name = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
	int mount_id = 0;
	cleanup_close int at = open("/var/lib", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (name_to_handle_at(AT_FDCWD, canary, &name.handle, &mount_id, 0) < 0) {
		return errno;
	}
	cleanup_close int fd = open_by_handle_at(at, &name.handle, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? errno : result(write(fd, "reached", 7));
}

static int is_in_a_ring(void)
{
	return -ring_check(NULL);
}

/* works: with a second sandbox whose root is the host's. */
static const struct attack {
	const char *name;
	int (*run)(void);
	bool works;
} attacks[] = {
	{"write to the host", write_canary, false},
	{"bind, remount and write", bind_and_write, true},
	{"remount the tree", remount, true},
	{"clear the read-only flags", clear_read_only, true},
	{"write to the host after that", write_canary, true},
	{"write by a file handle", open_by_handle, true},
	{"take a file for root", become_owner, true},
	{"uncover /dev", uncover, true},
	{"make a disk", make_device, true},
	{"make a control group", make_group, true},
	{"write a setting of the kernel's", write_setting, true},
	{"open sysrq", load_keys, true},
	{"signal a process outside", signal_outside, false},
};

struct shared {
	int entered, ring, found[ARRAY_SIZE(attacks)];
};

/* Where it cannot be told: file systems without handles, kernels without sysrq. */
static bool does_not_exist(int code)
{
	return code == EOPNOTSUPP || code == ENOENT || code == EOVERFLOW;
}

static void attack_from(const struct idrange *ranges, struct shared *shared)
{
	int streams[3];
	struct err err = {0};
	int status = 0;
	pid_t pid = fork();

	memset(shared, 0xff, sizeof(*shared));
	if (pid == 0) {
		shared->entered = ranges ? outer_enter_apart(ranges, streams, &err)
					 : outer_enter(streams, &err);
		for (size_t i = 0; shared->entered == 0 && i < ARRAY_SIZE(attacks); i++) {
			shared->found[i] = attacks[i].run();
		}
		shared->ring = is_in_a_ring();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(shared->entered, 0);
}

static size_t size_of_canary(void)
{
	struct stat seen;

	assert_int_equal(stat(canary, &seen), 0);
	return (size_t)seen.st_size;
}

static void empty_canary(void)
{
	cleanup_close int fd = open(canary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	assert_true(fd >= 0 && fchmod(fd, 0666) == 0 && fchown(fd, 65534, 65534) == 0);
}

static struct shared *map_shared(void)
{
	struct shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(shared != MAP_FAILED);
	return shared;
}

static void nothing_gets_out_where_root_is_nobody(void **state)
{
	struct shared *shared = map_shared();
	struct idrange ranges[OUTER_RANGES];

	(void)state;
	assert_int_equal(outer_take_ranges(ranges, NULL), 0);
	empty_canary();
	attack_from(ranges, shared);
	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		if (shared->found[i] == 0) {
			fail_msg("got out: %s", attacks[i].name);
		}
	}
	assert_int_equal(shared->ring, 0);
	assert_int_equal(size_of_canary(), 0);
	for (size_t i = 0; i < OUTER_RANGES; i++) {
		idrange_release(&ranges[i]);
	}
	(void)munmap(shared, sizeof(*shared));
}

/* Or the attacks above would prove nothing. */
static void root_of_the_host_would_get_out(void **state)
{
	struct shared *shared = map_shared();

	(void)state;
	empty_canary();
	attack_from(NULL, shared);
	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		if ((shared->found[i] == 0) != attacks[i].works &&
			!does_not_exist(shared->found[i])) {
			fail_msg("%s: %s", attacks[i].name, strerror(shared->found[i]));
		}
	}
	assert_true(size_of_canary() > 0);
	assert_int_equal(shared->ring, EPERM);
	(void)munmap(shared, sizeof(*shared));
}

/* ---- who starts it is killed ---- */

/* The one of the calls for PR_SET_PDEATHSIG before which a process waits: it has not asked yet. */
static struct waiting {
	int at, calls;
} * waiting;
static int reached[2] = {-1, -1};
static int released[2] = {-1, -1};

int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	char byte = 0;

	if (option == PR_SET_PDEATHSIG && waiting &&
		__atomic_add_fetch(&waiting->calls, 1, __ATOMIC_SEQ_CST) == waiting->at) {
		(void)!write(reached[1], &byte, 1);
		(void)!read(released[0], &byte, 1);
	}
	return __real_prctl(option, a, b, c, d);
}

/* True when all that came of us ends; what does not is killed. */
static bool all_end(void)
{
	const uint64_t end = io_now_usec() + UINT64_C(10000000);
	bool left = false;

	while (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
		cleanup_free char *list = NULL;
		char path[64];
		(void)usleep(5000);
		if (io_now_usec() < end) {
			continue;
		}
		left = true;
		(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
		if (io_read_file(AT_FDCWD, path, 4096, &list, NULL) == 0 && atoi(list) > 1) {
			(void)kill(atoi(list), SIGKILL);
		}
	}
	return !left;
}

static void kill_starter(const struct idrange *ranges, int at)
{
	int streams[3];
	char byte = 0;
	int entered[2];

	*waiting = (struct waiting){.at = at};
	assert_true(pipe2(reached, O_CLOEXEC) == 0 && pipe2(released, O_CLOEXEC) == 0 &&
		pipe2(entered, O_CLOEXEC) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		int r = ranges ? outer_enter_apart(ranges, streams, NULL)
			       : outer_enter(streams, NULL);
		while (r == 0 && write(entered[1], &byte, 1) >= 0) {
			(void)pause();
		}
		_exit(1);
	}
	assert_true(pid > 0);
	(void)close(reached[1]);
	(void)close(entered[1]);
	assert_int_equal(read(reached[0], &byte, 1), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)usleep(50000); /* those in between have asked, and go with it */
	assert_int_equal(write(released[1], &byte, 1), 1);
	if (!all_end()) {
		fail_msg("killed before call %d: somebody goes on", at);
	}
	assert_int_equal(read(entered[0], &byte, 1), 0);
	(void)close(reached[0]);
	(void)close(released[0]);
	(void)close(released[1]);
	(void)close(entered[0]);
}

static void nobody_is_left_when_its_starter_is_killed(void **state)
{
	struct idrange ranges[OUTER_RANGES];

	(void)state;
	waiting = mmap(
		NULL, sizeof(*waiting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(waiting != MAP_FAILED);
	assert_int_equal(__real_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	assert_int_equal(outer_take_ranges(ranges, NULL), 0);
	for (int at = 1; at <= 4; at++) {
		kill_starter(ranges, at);
	}
	for (int at = 1; at <= 2; at++) {
		kill_starter(NULL, at);
	}
	for (size_t i = 0; i < OUTER_RANGES; i++) {
		idrange_release(&ranges[i]);
	}
	assert_int_equal(__real_prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
	(void)munmap(waiting, sizeof(*waiting));
	waiting = NULL;
}

/* ---- nobody else ---- */

/* In a namespace of its own, with this map or none: what ring_check() says. */
static int ring_with(int flags, const char *map)
{
	int ready[2];
	int go[2];
	int status = 0;
	char byte = 0;
	char path[64];

	assert_true(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (unshare(flags) < 0 || write(ready[1], "r", 1) != 1 ||
			read(go[0], &byte, 1) != 1) {
			_exit(99);
		}
		_exit(is_in_a_ring());
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	for (size_t i = 0; map && i < 2; i++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/%s_map", pid, i ? "gid" : "uid");
		assert_int_equal(io_write_file(AT_FDCWD, path, map), 0);
	}
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (size_t i = 0; i < 2; i++) {
		(void)close(ready[i]);
		(void)close(go[i]);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The pid namespace of who unshares one stays the old one: the last thing that is looked at. */
static void half_a_ring_is_none(void **state)
{
	const int all = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

	(void)state;
	assert_int_equal(is_in_a_ring(), EPERM);
	assert_int_equal(ring_with(all, NULL), EPERM);
	assert_int_equal(ring_with(all, "0 0 1\n"), EPERM);
	assert_int_equal(ring_with(all, "0 0 4294967295\n"), EPERM);
	assert_int_equal(ring_with(all, "0 700000000 65536\n65536 0 1\n"), EPERM);
	assert_int_equal(ring_with(all, "0 700000000 65536\n"), EPERM);
	assert_int_equal(ring_with(CLONE_NEWUSER, "0 700000000 65536\n"), EPERM);
}

static void the_launcher_refuses_it_on_the_host(void **state)
{
	static char *const argv[] = {(char *)(uintptr_t) "/bin/true", NULL};
	const struct sandbox_stdio io = {.fds = {-1, -1, -1}};
	cleanup(plan_freep) struct plan *plan = NULL;
	struct sandbox *sandbox = NULL;
	struct spec spec;
	struct host host = {0};
	struct err err = {0};

	(void)state;
	spec_init(&spec);
	assert_int_equal(strv_copy(argv, &spec.args), 0);
	assert_int_equal(host_probe(&host, &err), 0);
	/* Not without the limits that would be written for others. */
	assert_int_equal(
		backend_native.compile(&spec, &host, PLAN_LAYER_USER, &plan, &err), -EINVAL);
	assert_int_equal(backend_native.compile(&spec, &host,
				 PLAN_LAYER_USER | PLAN_LAYER_USER_LIMITS, &plan, &err),
		0);
	assert_int_equal(plan->namespaces & PLAN_NS_USER, 0);
	assert_int_equal(plan->sysctls ? strv_length(plan->sysctls) : 0, 0);
	assert_false(capability_set_has(plan->uses, CAPABILITY_PRIV_NONE));
	assert_int_equal(backend_native.start(plan, &host, &io, &sandbox, &err), -EPERM);
	assert_non_null(strstr(err.msg, "second sandbox"));
	spec_fini(&spec);
}

static int make_place(void **state)
{
	cleanup_free char *text = NULL;

	(void)state;
	assert_true(mkdtemp(place) && chmod(place, 0777) == 0);
	(void)snprintf(canary, sizeof(canary), "%s/canary", place);
	assert_int_equal(
		io_read_file(AT_FDCWD, "/proc/sys/kernel/core_pattern", 255, &text, NULL), 0);
	(void)snprintf(core_pattern, sizeof(core_pattern), "%s", text);
	outside = getpid();
	return 0;
}

static int remove_place(void **state)
{
	(void)state;
	(void)unlink(canary);
	return rmdir(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_gets_out_where_root_is_nobody),
		cmocka_unit_test(root_of_the_host_would_get_out),
		cmocka_unit_test(nobody_is_left_when_its_starter_is_killed),
		cmocka_unit_test(half_a_ring_is_none),
		cmocka_unit_test(the_launcher_refuses_it_on_the_host),
	};

	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root, for the second sandboxes\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_place, remove_place);
}
