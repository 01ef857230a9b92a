/*
 * Order: namespaces first, then the whole tree read-only, then what has to be writable on top of
 * it. From the first step on no path leads to a writable place of the host but the control groups,
 * which the limits under test are made of.
 */
#include "testkit/outer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/linux/idrange.h"
#include "backends/linux/kernel.h"
#include "backends/linux/links.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define HOST_NAME "ablation"
#define BLOCK_TRIES 64

static pid_t child;

static void pass_on(int signo)
{
	(void)signo;
	(void)kill(child, SIGTERM);
}

/* Waits for the child, and for whatever is left to us as the first process, and exits as it does. */
static _Noreturn void stand_by(pid_t pid)
{
	struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
	int status = 0;
	pid_t gone = 0;

	child = pid;
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	do {
		gone = waitpid(-1, &status, 0);
	} while (gone != pid && !(gone < 0 && errno != EINTR));
	_exit(gone == pid ? proc_exit_code(status) : 1);
}

/* ---- the tree ---- */

static int make_tree_read_only(const char *writable, struct err *err)
{
	struct kernel_mount_attr shut = {.attr_set = KERNEL_MOUNT_ATTR_RDONLY};
	struct kernel_mount_attr open = {.attr_clr = KERNEL_MOUNT_ATTR_RDONLY};

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		return err_set(err, errno, "keeping mounts to ourselves");
	}
	if (kernel_mount_setattr(AT_FDCWD, "/", KERNEL_AT_RECURSIVE, &shut) < 0) {
		return err_set(err, errno, "making the tree read-only");
	}
	if (kernel_mount_setattr(AT_FDCWD, writable, KERNEL_AT_RECURSIVE, &open) < 0) {
		return err_set(err, errno, "opening %s", writable);
	}
	return 0;
}

/* The limits of the sandboxes under test are made there. */
static int make_read_only(struct err *err)
{
	return make_tree_read_only("/sys/fs/cgroup", err);
}

/*
 * Only who has a writable /proc in sight may mount one in a user namespace. What can be written there
 * is root's, and root is nobody.
 */
static int make_all_read_only(struct err *err)
{
	return make_tree_read_only("/proc", err);
}

struct place {
	const char *path, *type, *data;
	unsigned long flags;
	bool optional;
};

static int mount_list(const struct place *places, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (mount(places[i].type, places[i].path, places[i].type, places[i].flags,
			    places[i].data) < 0 &&
			!(places[i].optional && errno == ENOENT)) {
			return err_set(
				err, errno, "mounting %s on %s", places[i].type, places[i].path);
		}
	}
	return 0;
}

static int mount_dev(struct err *err)
{
	static const struct place dev = {
		"/dev", "tmpfs", "mode=755,size=1m", MS_NOSUID | MS_NOEXEC, false};

	return mount_list(&dev, 1, err);
}

/* /proc goes last of all: what is mounted on it would keep sandboxes from mounting theirs. */
static int mount_places(struct err *err)
{
	static const struct place places[] = {
		{"/home", "tmpfs", "mode=755,size=1m", MS_NOSUID | MS_NODEV, true},
		{"/root", "tmpfs", "mode=700,size=1m", MS_NOSUID | MS_NODEV, true},
		{"/mnt", "tmpfs", "mode=755,size=1m", MS_NOSUID | MS_NODEV, true},
		{"/media", "tmpfs", "mode=755,size=1m", MS_NOSUID | MS_NODEV, true},
		{"/run", "tmpfs", "mode=755,size=64m", MS_NOSUID | MS_NODEV, false},
		{"/tmp", "tmpfs", "mode=1777,size=512m", MS_NOSUID | MS_NODEV, false},
		{"/var/tmp", "tmpfs", "mode=1777,size=512m", MS_NOSUID | MS_NODEV, false},
		/* Canaries: one is a device node, one a program with a set-id bit. */
		{OUTER_CANARIES, "tmpfs", "mode=755,size=512m", 0, false},
		{"/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=620,gid=5",
			MS_NOSUID | MS_NOEXEC, false},
		{"/dev/shm", "tmpfs", "mode=1777,size=512m", MS_NOSUID | MS_NODEV, false},
		{"/dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
		{"/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
	};

	return mount_list(places, ARRAY_SIZE(places), err);
}

/* Enough that a /dev shared by mistake differs from a minimal one; no disk, no memory, no console. */
static int make_nodes(struct err *err)
{
	static const struct {
		const char *path;
		unsigned major, minor;
	} nodes[] = {{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},
		{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
		{"/dev/fuse", 10, 229}, {"/dev/net/tun", 10, 200}};
	static const char *const links[][2] = {{"pts/ptmx", "/dev/ptmx"},
		{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}};

	static const char *const directories[] = {
		"/dev/net", "/dev/pts", "/dev/shm", "/dev/mqueue"};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		if (mkdir(directories[i], 0755) < 0) {
			return err_set(err, errno, "making %s", directories[i]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) <
				0 ||
			chmod(nodes[i].path, 0666) < 0) {
			return err_set(err, errno, "making %s", nodes[i].path);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (symlink(links[i][0], links[i][1]) < 0) {
			return err_set(err, errno, "making %s", links[i][1]);
		}
	}
	return 0;
}

/* ---- the rest ---- */

/* An address, and a way to a world that ends at the other end of a link, where nobody is. */
static int make_network(struct err *err)
{
	cleanup_close int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r = own < 0 ? -errno : links_add_pair("up0", "down0", own);

	r = r < 0 ? r : links_up("lo", 0, 0);
	r = r < 0 ? r : links_up("down0", 0, 0);
	r = r < 0 ? r : links_up("up0", htonl(0xcb007101U), htonl(0xffffff00U));
	r = r < 0 ? r : links_add_default_route(htonl(0xcb007102U));
	return r < 0 ? err_set(err, -r, "making a network") : 0;
}

static int drop_capabilities(struct err *err)
{
	static const int unneeded[] = {CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME,
		CAP_SYS_PACCT, CAP_SYSLOG, CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_AUDIT_CONTROL,
		CAP_LINUX_IMMUTABLE, CAP_WAKE_ALARM, CAP_BLOCK_SUSPEND, CAP_SYS_TTY_CONFIG};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0) {
		return err_set(err, errno, "reading capabilities");
	}
	for (size_t i = 0; i < ARRAY_SIZE(unneeded); i++) {
		uint32_t bit = CAP_TO_MASK(unneeded[i]);
		struct __user_cap_data_struct *word = &data[CAP_TO_INDEX(unneeded[i])];
		(void)prctl(PR_CAPBSET_DROP, unneeded[i], 0, 0, 0);
		word->effective &= ~bit;
		word->permitted &= ~bit;
		word->inheritable &= ~bit;
	}
	return syscall(SYS_capset, &head, data) < 0 ? err_set(err, errno, "dropping capabilities")
						    : 0;
}

/* A layer that no longer closes descriptors hands on what we have: nothing of the caller's then. */
static int put_streams_away(int streams[3], struct err *err)
{
	for (int i = 0; i < 3; i++) {
		streams[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
	}
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		if (null < 0 || dup2(null, i) < 0) {
			return err_set(err, errno, "opening /dev/null");
		}
	}
	/* And whatever else was inherited. */
	for (int fd = 3; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);
		if (flags >= 0 && !(flags & FD_CLOEXEC)) {
			(void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
		}
	}
	return 0;
}

static int take_steps(int (*const *steps)(struct err *), size_t count, struct err *err)
{
	int r = 0;

	(void)umask(0);
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = steps[i](err);
	}
	(void)umask(022);
	return r;
}

static int settle(struct err *err)
{
	return sethostname(HOST_NAME, strlen(HOST_NAME)) < 0 || chdir("/") < 0
		? err_set(err, errno, "settling in")
		: 0;
}

/* Of a pipe that nobody writes to: it hangs up when our parent is dead, whose number we may not be able to see. */
static int parents_end = -1;

/* Our parent's death is ours. It may be dead before we have asked for that. */
static void die_with_parent(void)
{
	struct pollfd end = {.fd = parents_end};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || poll(&end, 1, 0) != 0) {
		_exit(1);
	}
}

/* One process further. In the first one: does not return. */
static int go_on(struct err *err)
{
	int ends[2];
	pid_t pid = pipe2(ends, O_CLOEXEC) < 0 ? -1 : fork();

	if (pid < 0) {
		return err_set(err, errno, "fork");
	}
	if (pid > 0) {
		(void)close(ends[0]);
		stand_by(pid);
	}
	(void)close(ends[1]);
	close_fdp(&parents_end);
	parents_end = ends[0];
	die_with_parent();
	return 0;
}

/* Not before: the namespaces of who is no root are not what is asked for. */
static int check_root(struct err *err)
{
	return geteuid() == 0 ? 0
			      : err_refuse(err, EPERM,
					"layers are taken away only inside a second sandbox, which "
					"root has to make: start as root");
}

int outer_enter(int streams[3], struct err *err)
{
	static int (*const steps[])(struct err *) = {make_read_only, mount_dev, make_nodes,
		mount_places, make_network, settle, drop_capabilities};
	int r = check_root(err);

	if (r == 0 && unshare(NAMESPACES) < 0) {
		r = err_set(err, errno, "making namespaces");
	}
	r = r < 0 ? r : go_on(err);
	r = r < 0 ? r : take_steps(steps, ARRAY_SIZE(steps), err);
	r = r < 0 ? r : go_on(err);
	close_fdp(&parents_end);
	return r < 0 ? r : put_streams_away(streams, err);
}

/* ---- with a user namespace around it ---- */

static void release_ranges(struct idrange ranges[OUTER_RANGES], size_t count)
{
	while (count > 0) {
		idrange_release(&ranges[--count]);
	}
}

static int take_block(uint32_t base, struct idrange ret[OUTER_RANGES], struct err *err)
{
	for (size_t i = 0; i < OUTER_RANGES; i++) {
		const struct host one = {
			.id_base = base + (uint32_t)i * IDRANGE_SIZE, .id_count = IDRANGE_SIZE};
		int r = idrange_take(&one, &ret[i], err);
		if (r < 0) {
			release_ranges(ret, i);
			return r;
		}
	}
	return 0;
}

int outer_take_ranges(struct idrange ret[OUTER_RANGES], struct err *err)
{
	struct host host = {0};
	uint32_t places = 0;
	uint32_t at = 0;
	int r = host_probe(&host, err);

	places = host.id_count / IDRANGE_SIZE;
	if (r == 0 && places < OUTER_RANGES) {
		return err_refuse(err, ENOTSUP, "this host has too few ids");
	}
	for (size_t tries = 0; tries < BLOCK_TRIES; tries++) {
		if (r < 0 && r != -EBUSY) {
			return r;
		}
		io_random(&at, sizeof(at));
		at %= places - OUTER_RANGES + 1;
		r = take_block(host.id_base + at * IDRANGE_SIZE, ret, err);
		if (r == 0) {
			return 0;
		}
	}
	return r;
}

/* Waits in it until it has its maps and somebody has it open. */
static _Noreturn void hold_user_namespace(const int ends[2])
{
	char made = 'u';

	/* Who has died before it could be asked for reads no more: the write ends us. */
	(void)close(ends[0]);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWUSER) == 0 && write(ends[1], &made, 1) == 1) {
		for (;;) {
			(void)pause();
		}
	}
	_exit(1);
}

static int write_maps(pid_t pid, const struct idrange ranges[OUTER_RANGES])
{
	static const char *const files[] = {"uid_map", "gid_map"};
	char path[64];
	char map[128];
	int r = 0;

	(void)snprintf(map, sizeof(map), "0 %u %u\n%u %u %u\n", ranges[0].base, IDRANGE_SIZE,
		ranges[1].base, ranges[1].base, (OUTER_RANGES - 1) * IDRANGE_SIZE);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
		r = io_write_file(AT_FDCWD, path, map);
	}
	return r;
}

/* Its descriptor, or negative errno. Nobody of ours is ever in it with ids of the host's. */
static int make_user_namespace(const struct idrange ranges[OUTER_RANGES], struct err *err)
{
	char path[64];
	char made = 0;
	int ends[2];
	int ns = -1;
	int r = 0;
	pid_t pid = pipe2(ends, O_CLOEXEC) < 0 ? -1 : fork();

	if (pid < 0) {
		return err_set(err, errno, "making a user namespace");
	}
	if (pid == 0) {
		hold_user_namespace(ends);
	}
	(void)close(ends[1]);
	r = read(ends[0], &made, 1) == 1 ? write_maps(pid, ranges) : -EPERM;
	(void)close(ends[0]);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	ns = r < 0 ? r : open(path, O_RDONLY | O_CLOEXEC);
	r = ns < 0 && r == 0 ? -errno : r;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return r < 0 ? err_set(err, -r, "making a user namespace") : ns;
}

/* Its root, with nothing left of the host's. */
static int become_nobody(int user, struct err *err)
{
	if (setns(user, CLONE_NEWUSER) < 0 || setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 ||
		setresuid(0, 0, 0) < 0) {
		return err_set(err, errno, "entering the user namespace");
	}
	/* The change of identity has cleared it. */
	die_with_parent();
	if (unshare(NAMESPACES) < 0) {
		return err_set(err, errno, "making namespaces");
	}
	return 0;
}

/*
 * Read-only first, by the host's root: what a user namespace gets from one before it is locked as it
 * is. Then the namespaces, all of them owned by it, and what can be mounted from there.
 */
int outer_enter_apart(const struct idrange ranges[OUTER_RANGES], int streams[3], struct err *err)
{
	static int (*const before[])(struct err *) = {make_all_read_only, mount_dev, make_nodes};
	static int (*const inside[])(struct err *) = {
		mount_places, make_network, settle, drop_capabilities};
	cleanup_close int user = -1;
	int r = check_root(err);

	r = r < 0 ? r : (user = make_user_namespace(ranges, err));
	r = r < 0 ? r : 0;
	if (r == 0 && unshare(CLONE_NEWNS) < 0) {
		r = err_set(err, errno, "making namespaces");
	}
	r = r < 0 ? r : take_steps(before, ARRAY_SIZE(before), err);
	r = r < 0 ? r : go_on(err);
	r = r < 0 ? r : become_nobody(user, err);
	r = r < 0 ? r : go_on(err);
	r = r < 0 ? r : take_steps(inside, ARRAY_SIZE(inside), err);
	r = r < 0 ? r : go_on(err);
	close_fdp(&parents_end);
	return r < 0 ? r : put_streams_away(streams, err);
}
