/*
 * cloche-init from its first line to its last: receive, build, start the command, wait.
 *
 * The order of the steps is the argument: namespaces are filled while the powers over them are
 * still there; /proc and cgroups are looked at only after the mounts are ours; the terminal is made
 * in the new devpts, so that no path of the user's is ever opened by the server (runc
 * CVE-2025-52565); user.max_user_namespaces is written first of all, through the host's own procfs,
 * which is checked to be one (CVE-2025-52881).
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#include "backends/linux/init/init.h"
#include "backends/linux/kernel.h"

#define KEYCTL_JOIN_SESSION_KEYRING 1
#define SIGNALS_SIZE 8

const char *init_string(const struct init *init, uint32_t offset)
{
	return offset ? (const char *)init->image + offset : "";
}

void init_doing(struct init *init, const char *verb, const char *object)
{
	size_t used = 0;

	rt_append(init->what, sizeof(init->what), &used, verb);
	if (*object) {
		rt_append(init->what, sizeof(init->what), &used, " ");
		rt_append(init->what, sizeof(init->what), &used, object);
	}
}

void init_send_all(int socket, const struct image_message *message, const int *fds, size_t count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 2)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {(void *)(uintptr_t)message, sizeof(*message)};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * count);
	}
	(void)RT(sendmsg, socket, &header, MSG_NOSIGNAL);
}

void init_send(int socket, const struct image_message *message, int fd)
{
	init_send_all(socket, message, &fd, fd >= 0 ? 1 : 0);
}

/* What the launcher is to have, and has then alone. */
static void tell_started(const struct init *init)
{
	struct image_message started = {.type = IMAGE_STARTED};
	int fds[2];
	size_t count = 0;

	if (init->master >= 0) {
		started.flags |= IMAGE_STARTED_MASTER;
		fds[count++] = init->master;
	}
	if (init->door >= 0) {
		started.flags |= IMAGE_STARTED_DOOR;
		fds[count++] = init->door;
	}
	init_send_all(IMAGE_CONTROL_FD, &started, fds, count);
}

static void fail(const char *step, int code, const char *what) __attribute__((noreturn));
static void fail(const char *step, int code, const char *what)
{
	struct image_message message = {.type = IMAGE_FAILED, .number = (uint32_t)code};

	rt_copy(message.step, step, sizeof(message.step));
	rt_copy(message.text, what, sizeof(message.text));
	init_send(IMAGE_CONTROL_FD, &message, -1);
	rt_exit(1);
}

long init_receive(
	int socket, struct image_message *message, int *fds, size_t max, size_t *ret_count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * (IMAGE_MESSAGE_FDS + 4))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {message, sizeof(*message)};
	struct msghdr header = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	long n = RT(recvmsg, socket, &header, MSG_CMSG_CLOEXEC);

	*ret_count = 0;
	if (n <= 0) {
		return n;
	}
	if (header.msg_controllen >= CMSG_LEN(0) && control.align.cmsg_type == SCM_RIGHTS) {
		*ret_count = (control.align.cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (*ret_count > max) {
			*ret_count = 0;
			errno = EMFILE;
			return -1;
		}
		memcpy(fds, CMSG_DATA(&control.align), *ret_count * sizeof(int));
	}
	if (n != (long)sizeof(*message) || (header.msg_flags & MSG_CTRUNC)) {
		errno = EBADMSG;
		return -1;
	}
	return n;
}

/* What the launcher ignored (a server ignores SIGPIPE, a shell's background jobs SIGINT) would stay
 * ignored through exec; the kernel resets handlers only. */
static void default_signals(void)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} action = {0}; /* SIG_DFL */

	for (long signo = 1; signo <= 64; signo++) {
		(void)RT(rt_sigaction, signo, &action, NULL, SIGNALS_SIZE);
	}
}

static int step_harden(struct init *init)
{
	uint64_t all = ~UINT64_C(0);

	init_doing(init, "hardening", "");
	(void)RT(umask, 022);
	default_signals();
	if (!init_without(init, PLAN_LAYER_SESSION)) {
		(void)RT(setsid, 0);
	}
	if (RT(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		RT(rt_sigprocmask, SIG_SETMASK, &all, NULL, SIGNALS_SIZE) < 0) {
		return -1;
	}
	/* No exec from here on gives a capability: we keep ours, the command never gets any. */
	for (long number = 0; !(init_without(init, PLAN_LAYER_CAPS)) &&
		RT(prctl, PR_CAPBSET_DROP, number, 0, 0, 0) == 0;
		number++) {
	}
	return (int)RT(prctl, PR_SET_NAME, "cloche-init", 0, 0, 0);
}

int init_map_image(struct init *init, int fd)
{
	struct statx seen = {0};
	long at = 0;

	if (RT(statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &seen) < 0 ||
		seen.stx_size < sizeof(struct image)) {
		return -1;
	}
	at = RT(mmap, NULL, seen.stx_size, PROT_READ, MAP_PRIVATE, fd, 0L);
	if (at == -1) {
		return -1;
	}
	init->image = (const struct image *)at;
	if (init->image->magic != IMAGE_MAGIC || init->image->size != seen.stx_size) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

/* v1 groups: a write of 0 to `tasks` moves the writer. */
static int enter_groups(const int *tasks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (RT(write, tasks[i], "0", 1) != 1) {
			return -1;
		}
		(void)close(tasks[i]);
	}
	return 0;
}

static int step_receive(struct init *init)
{
	int fds[IMAGE_MESSAGE_FDS + 4];
	size_t count = 0;
	size_t next = 1;

	init_doing(init, "receiving the plan", "");
	if (kernel_be_ordinary() < 0 ||
		init_receive(IMAGE_CONTROL_FD, &init->start, fds, ARRAY_SIZE(fds), &count) <= 0 ||
		count < 1) {
		return -1;
	}
	for (int i = 0; i < 3; i++) {
		init->stdio[i] = (init->start.flags >> i & 1) && next < count ? fds[next++] : -1;
	}
	init->report = (init->start.flags & 16) && next < count ? fds[next++] : -1;
	if (enter_groups(fds + next, count - next) < 0) {
		return -1;
	}
	if (init->start.tree_count > IMAGE_MAX_MOUNTS || init_map_image(init, fds[0]) < 0) {
		return -1;
	}
	(void)close(fds[0]);
	while (init->tree_count < init->start.tree_count) {
		struct image_message message;
		if (init_receive(IMAGE_CONTROL_FD, &message, init->trees + init->tree_count,
			    IMAGE_MAX_MOUNTS - init->tree_count, &count) <= 0 ||
			message.type != IMAGE_TREES || count == 0) {
			errno = EBADMSG;
			return -1;
		}
		init->tree_count += (uint32_t)count;
	}
	return 0;
}

static int step_cgroup(struct init *init)
{
	init_doing(init, "making the cgroup namespace", "");
	if (!(init->image->flags & IMAGE_UNSHARE_CGROUP)) {
		return 0;
	}
	return (int)RT(unshare, CLONE_NEWCGROUP);
}

/* Is this the procfs that we mounted, and not something else at its path? */
static int write_sysctl(const char *setting)
{
	char path[160];
	size_t used = 0;
	struct statfs fs;
	cleanup_close int fd = -1;

	rt_append(path, sizeof(path), &used, "/proc/sys/");
	for (; *setting && *setting != '='; setting++) {
		char letter[2] = {*setting == '.' ? '/' : *setting, '\0'};
		rt_append(path, sizeof(path), &used, letter);
	}
	setting += *setting == '=';
	fd = kernel_openat2(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0,
		KERNEL_RESOLVE_NO_SYMLINKS | KERNEL_RESOLVE_NO_MAGICLINKS);
	if (fd < 0 || RT(fstatfs, fd, &fs) < 0) {
		return -1;
	}
	if (fs.f_type != PROC_SUPER_MAGIC) {
		errno = EXDEV;
		return -1;
	}
	return RT(write, fd, setting, strlen(setting)) < 0 ? -1 : 0;
}

static int step_sysctls(struct init *init)
{
	const struct image *image = init->image;
	const uint32_t *at = (const void *)((const char *)image + image->sysctls);

	for (uint32_t i = 0; i < image->sysctl_count; i++) {
		init_doing(init, "setting", init_string(init, at[i]));
		if (write_sysctl(init_string(init, at[i])) < 0 && errno != ENOENT) {
			return -1;
		}
	}
	return 0;
}

static int step_hostname(struct init *init)
{
	const char *name = init_string(init, init->image->hostname);

	init_doing(init, "setting the host name", name);
	return *name ? (int)RT(sethostname, name, strlen(name)) : 0;
}

static int step_loopback(struct init *init)
{
	struct ifreq request = {.ifr_name = "lo"};
	cleanup_close int fd = -1;

	init_doing(init, "bringing the loopback up", "");
	if (!(init->image->flags & IMAGE_LOOPBACK)) {
		return 0;
	}
	/* The plan says there is a network of our own: it must not be the host's loopback we touch. */
	if (!init->own_network) {
		errno = EPROTO;
		return -1;
	}
	fd = (int)RT(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || RT(ioctl, fd, SIOCGIFFLAGS, &request) < 0) {
		return -1;
	}
	request.ifr_flags |= IFF_UP;
	return (int)RT(ioctl, fd, SIOCSIFFLAGS, &request);
}

static int step_keyring(struct init *init)
{
	init_doing(init, "joining a fresh keyring", "");
	if (init->image->without & PLAN_LAYER_KEYRING) {
		return 0;
	}
	/* A kernel without keyrings has none to share. */
	return RT(keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 && errno != ENOSYS ? -1
											     : 0;
}

int init_make_terminal(struct init *init)
{
	init_doing(init, "making a terminal", "");
	if (!(init->start.flags & 8)) {
		return 0;
	}
	init->master = (int)RT(openat, AT_FDCWD, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (init->master < 0) {
		return -1;
	}
	int zero = 0;
	if (RT(ioctl, init->master, TIOCSPTLCK, &zero) < 0) {
		return -1;
	}
	init->slave = (int)RT(ioctl, init->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (init->slave < 0 || RT(fchown, init->slave, init->image->uid, init->image->gid) < 0) {
		return -1;
	}
	return (int)RT(ioctl, init->master, TIOCSWINSZ, &init->start.size);
}

/*
 * The child shares our memory and we are suspended until its exec: nothing is copied, and what it
 * leaves in init->what is there for us to read when it fails. It shares the frame of this function
 * too, so this function does nothing else and is not inlined.
 */
static __attribute__((noinline)) long spawn_command(struct init *init)
{
	long pid = rt_vfork();

	if (pid == 0) {
		init_become_command(init);
	}
	return pid;
}

/* When this returns its exec has succeeded, or init->code says why not. */
int init_start_command(struct init *init)
{
	init_doing(init, "starting the command", "");
	init->code = 0;
	init->child = spawn_command(init);
	/* The key of the one exec ends here. */
	memset(init->start.key, 0, sizeof(init->start.key));
	if (init->child < 0) {
		errno = (int)-init->child;
		return -1;
	}
	if (init->code) {
		errno = init->code;
		return -1;
	}
	return 0;
}

/* A shared sandbox has none of its own. */
static int step_command(struct init *init)
{
	static struct joined joined[IMAGE_MAX_JOINED];

	if (!(init->image->flags & IMAGE_SHARED)) {
		return init_start_command(init);
	}
	for (size_t i = 0; i < ARRAY_SIZE(joined); i++) {
		joined[i].control = -1;
	}
	init->joined = joined;
	return 0;
}

static const struct step {
	const char *name;
	int (*run)(struct init *init);
} steps[] = {
	{"receive", step_receive},
	{"harden", step_harden},
	{"cgroup", step_cgroup},
	{"sysctls", step_sysctls},
	{"mounts", init_make_mounts},
	{"root", init_change_root},
	{"hostname", step_hostname},
	{"loopback", step_loopback},
	{"keyring", step_keyring},
	{"terminal", init_make_terminal},
	{"command", step_command},
	{"confine", init_confine_self},
};

static void close_all(struct init *init)
{
	close_fdp(&init->slave);
	close_fdp(&init->master);
	close_fdp(&init->door);
	for (int i = 0; i < 3; i++) {
		close_fdp(&init->stdio[i]);
	}
	close_fdp(&init->report);
}

/*
 * Who waits for the end of all need not wait for ours, which is that of every mount, too. As pid 1 we
 * are the parent of whoever loses its own.
 */
static void end_others(void)
{
	struct image_message message = {.type = IMAGE_ALONE};
	int status = 0;

	(void)RT(kill, -1, SIGKILL);
	while (RT(wait4, -1, &status, 0, NULL) > 0) {
	}
	init_send(IMAGE_CONTROL_FD, &message, -1);
}

static void finish(const struct init *init, int status, bool timed_out) __attribute__((noreturn));
static void finish(const struct init *init, int status, bool timed_out)
{
	struct image_message message = {
		.type = IMAGE_EXITED, .number = (uint32_t)status, .flags = timed_out};

	init_send(IMAGE_CONTROL_FD, &message, -1);
	if (init->image->flags & IMAGE_OWN_PIDS) {
		end_others();
	}
	/* As pid 1 our end is everybody's. */
	rt_exit(0);
}

/* Reaps what has ended; when the command is among it, the sandbox ends with it. */
static void reap(struct init *init)
{
	for (;;) {
		int status = 0;
		long pid = RT(wait4, -1, &status, WNOHANG, NULL);
		if (pid <= 0) {
			return;
		}
		if (init->joined) {
			(void)init_joined_ended(init, pid, status);
		} else if (pid == init->child) {
			finish(init, status, false);
		}
	}
}

static void obey(struct init *init)
{
	struct image_message message = {0};
	int fds[IMAGE_MESSAGE_FDS + 4];
	size_t count = 0;
	long n = init_receive(IMAGE_CONTROL_FD, &message, fds, ARRAY_SIZE(fds), &count);

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
		rt_exit(0); /* the launcher is gone */
	}
	if (n > 0 && message.type == IMAGE_JOIN && init->joined && count > 0) {
		init_join(init, &message, fds, count);
		return;
	}
	if (n > 0 && message.type == IMAGE_SIGNAL && message.number < 65 && !init->joined) {
		/* The whole process group, as a terminal would; the command alone if it has left it. */
		if (RT(kill, -init->child, message.number) < 0) {
			(void)RT(kill, init->child, message.number);
		}
	}
}

static uint64_t now_seconds(void)
{
	struct timespec now = {0};

	(void)RT(clock_gettime, CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec;
}

static void wait_for_the_end(struct init *init, int signals) __attribute__((noreturn));
static void wait_for_the_end(struct init *init, int signals)
{
	uint64_t limit = init->image->timeout;
	uint64_t end = limit ? now_seconds() + limit : 0;

	for (;;) {
		struct pollfd watch[2 + IMAGE_MAX_JOINED] = {
			{.fd = IMAGE_CONTROL_FD, .events = POLLIN},
			{.fd = signals, .events = POLLIN}};
		size_t count = 2;
		struct timespec left = {0};
		for (size_t i = 0; init->joined && i < IMAGE_MAX_JOINED; i++) {
			watch[count++] =
				(struct pollfd){.fd = init->joined[i].control, .events = POLLIN};
		}
		uint64_t now = limit ? now_seconds() : 0;
		if (limit && now >= end) {
			/* -1 is everybody in a pid namespace of our own, and somebody else without one. */
			(void)RT(kill, init->image->flags & IMAGE_OWN_PIDS ? -1 : -init->child,
				SIGKILL);
			finish(init, SIGKILL, true);
		}
		left.tv_sec = limit ? (time_t)(end - now) : 0;
		(void)RT(ppoll, watch, count, limit ? &left : NULL, NULL, SIGNALS_SIZE);
		if (watch[1].revents) {
			char drain[1024];
			(void)RT(read, signals, drain, sizeof(drain));
			reap(init);
		}
		for (size_t i = 2; i < count; i++) {
			/* What has ended meanwhile has another answer, or another owner, by now. */
			if (watch[i].revents && init->joined[i - 2].control == watch[i].fd) {
				init_joined_obey(&init->joined[i - 2]);
			}
		}
		if (watch[0].revents) {
			obey(init);
		}
	}
}

/*
 * A network namespace takes the kernel longer than all others together, so it is made here, while
 * the launcher still opens what it will send.
 */
static int make_network(struct init *init, const long *stack)
{
	const char *const *argv = (const char *const *)(stack + 1);

	init_doing(init, "making the network namespace", "");
	if (stack[0] < 2 || strcmp(argv[1], IMAGE_ARGUMENT_NET) != 0) {
		return 0;
	}
	init->own_network = true;
	return (int)RT(unshare, CLONE_NEWNET);
}

void init_main(const long *stack)
{
	static struct init init = {.stdio = {-1, -1, -1},
		.report = -1,
		.root = -1,
		.master = -1,
		.slave = -1,
		.door = -1};
	uint64_t child_signal = UINT64_C(1) << (SIGCHLD - 1);
	int signals = -1;

	if (stack[0] > 1 &&
		strcmp(((const char *const *)(stack + 1))[1], IMAGE_ARGUMENT_ENTER) == 0) {
		enter_main(stack);
	}
	/* 0, 1 and 2 are taken until the command gets its own, so that nothing else lands there. */
	for (int i = 0; i < 3; i++) {
		(void)RT(dup3, IMAGE_CONTROL_FD, i, O_CLOEXEC);
	}
	signals = (int)RT(signalfd4, -1, &child_signal, SIGNALS_SIZE, O_CLOEXEC);
	if (make_network(&init, stack) < 0) {
		fail("network", errno, init.what);
	}
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		if (steps[i].run(&init) < 0) {
			fail(steps[i].name, errno, init.what);
		}
	}
	tell_started(&init);
	close_all(&init);
	wait_for_the_end(&init, signals);
}
