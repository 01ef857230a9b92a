/*
 * Order: namespaces first, then the whole tree read-only, then what has to be writable on top of
 * it. From the first step on no path leads to a writable place of the host but the control groups,
 * which the limits under test are made of.
 */
#include "testkit/outer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/linux/kernel.h"
#include "backends/linux/links.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define HOST_NAME "ablation"

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

static int make_read_only(struct err *err)
{
	struct kernel_mount_attr shut = {.attr_set = KERNEL_MOUNT_ATTR_RDONLY};
	struct kernel_mount_attr open = {.attr_clr = KERNEL_MOUNT_ATTR_RDONLY};

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		return err_set(err, errno, "keeping mounts to ourselves");
	}
	if (kernel_mount_setattr(AT_FDCWD, "/", KERNEL_AT_RECURSIVE, &shut) < 0) {
		return err_set(err, errno, "making the tree read-only");
	}
	/* The limits of the sandboxes under test are made there. */
	if (kernel_mount_setattr(AT_FDCWD, "/sys/fs/cgroup", KERNEL_AT_RECURSIVE, &open) < 0) {
		return err_set(err, errno, "opening the control groups");
	}
	return 0;
}

/* /proc goes last of all: what is mounted on it would keep sandboxes from mounting theirs. */
static int mount_places(struct err *err)
{
	static const struct {
		const char *path, *type, *data;
		unsigned long flags;
		bool optional;
	} places[] = {
		{"/home", "tmpfs", "mode=755,size=1m", MS_NOSUID | MS_NODEV, true},
		{"/root", "tmpfs", "mode=700,size=1m", MS_NOSUID | MS_NODEV, true},
		{"/mnt", "tmpfs", "mode=755,size=1m", MS_NOSUID | MS_NODEV, true},
		{"/media", "tmpfs", "mode=755,size=1m", MS_NOSUID | MS_NODEV, true},
		{"/run", "tmpfs", "mode=755,size=64m", MS_NOSUID | MS_NODEV, false},
		{"/tmp", "tmpfs", "mode=1777,size=512m", MS_NOSUID | MS_NODEV, false},
		{"/var/tmp", "tmpfs", "mode=1777,size=512m", MS_NOSUID | MS_NODEV, false},
		/* Canaries: one is a device node, one a program with a set-id bit. */
		{OUTER_CANARIES, "tmpfs", "mode=755,size=512m", 0, false},
		{"/dev", "tmpfs", "mode=755,size=1m", MS_NOSUID | MS_NOEXEC, false},
		{"/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=620,gid=5",
			MS_NOSUID | MS_NOEXEC, false},
		{"/dev/shm", "tmpfs", "mode=1777,size=512m", MS_NOSUID | MS_NODEV, false},
		{"/dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
		{"/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (strncmp(places[i].path, "/dev/", 5) == 0) {
			(void)mkdir(places[i].path, 0755);
		}
		if (mount(places[i].type, places[i].path, places[i].type, places[i].flags,
			    places[i].data) < 0 &&
			!(places[i].optional && errno == ENOENT)) {
			return err_set(
				err, errno, "mounting %s on %s", places[i].type, places[i].path);
		}
	}
	return 0;
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

	(void)mkdir("/dev/net", 0755);
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

static int furnish(struct err *err)
{
	static int (*const steps[])(struct err *) = {
		make_read_only, mount_places, make_nodes, make_network, drop_capabilities};
	int r = 0;

	(void)umask(0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++) {
		r = steps[i](err);
	}
	(void)umask(022);
	if (r == 0 && (sethostname(HOST_NAME, strlen(HOST_NAME)) < 0 || chdir("/") < 0)) {
		r = err_set(err, errno, "settling in");
	}
	return r;
}

/* One process further. In the first one: does not return. */
static int go_on(struct err *err)
{
	pid_t pid = fork();

	if (pid < 0) {
		return err_set(err, errno, "fork");
	}
	if (pid > 0) {
		stand_by(pid);
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return 0;
}

int outer_enter(int streams[3], struct err *err)
{
	int r = 0;

	if (geteuid() != 0) {
		return err_refuse(err, EPERM,
			"layers are taken away only inside a second sandbox, which root has to "
			"make: start as root");
	}
	if (unshare(NAMESPACES) < 0) {
		return err_set(err, errno, "making namespaces");
	}
	r = go_on(err);
	r = r < 0 ? r : furnish(err);
	r = r < 0 ? r : go_on(err);
	return r < 0 ? r : put_streams_away(streams, err);
}
