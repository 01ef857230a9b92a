/*
 * The last metre: the process that becomes the command gives everything up, in the order in which
 * each step still has the power it needs.
 *
 *	session, terminal, descriptors	before the identity changes: the tty is root's until then
 *	limits				while CAP_SYS_RESOURCE in our namespace still matters little
 *	securebits			need CAP_SETPCAP, so before the capabilities go; all locked
 *					(the bounding set has been empty since cloche-init began)
 *	groups, gid, uid		need CAP_SETUID and CAP_SETGID; never back
 *	working directory		as the user, so that no directory is entered by root's power
 *	capabilities			all three sets and ambient empty (runc CVE-2022-29162)
 *	no_new_privs			before Landlock and the filter, which ask for it
 *	Landlock			after the last mount and open of ours
 *	filter				last: what is after it must pass it
 *
 * The process shares cloche-init's memory until its exec: a failure is left there. Nothing else runs
 * in the namespaces yet that could look on.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "backends/linux/arch.h"
#include "backends/linux/filter.h"
#include "backends/linux/init/init.h"
#include "backends/linux/kernel.h"
#include "backends/linux/landlock.h"

#define ALL_SECUREBITS                                                                             \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                           \
		SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |                          \
		SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static int command_session(struct init *init)
{
	init_doing(init, "starting a session", "");
	if (!init_without(init, PLAN_LAYER_SESSION) && RT(setsid, 0) < 0) {
		return -1;
	}
	if (init->slave >= 0) {
		init_doing(init, "taking the terminal", "");
		return (int)RT(ioctl, init->slave, TIOCSCTTY, 0);
	}
	return 0;
}

static int command_streams(struct init *init)
{
	init_doing(init, "connecting standard streams", "");
	for (int i = 0; i < 3; i++) {
		int from = init->slave >= 0 ? init->slave : init->stdio[i];
		cleanup_close int null = -1;
		if (from < 0) {
			null = (int)RT(openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
			from = null;
		}
		/* Never one of 0 to 2 already: those have been taken since the beginning. */
		if (from < 0 || RT(dup3, from, i, 0) < 0) {
			return -1;
		}
	}
	return 0;
}

static int command_limits(struct init *init)
{
	const struct image *image = init->image;
	const struct image_rlimit *limits = (const void *)((const char *)image + image->rlimits);

	init_doing(init, "setting resource limits", "");
	for (uint32_t i = 0; i < image->rlimit_count; i++) {
		uint64_t pair[2] = {limits[i].soft, limits[i].hard};
		uint64_t old[2] = {0};
		if (RT(prlimit64, 0, limits[i].resource, NULL, old) < 0) {
			return -1;
		}
		/* A limit we are under already only ever gets lower. */
		pair[1] = pair[1] < old[1] ? pair[1] : old[1];
		pair[0] = pair[0] < pair[1] ? pair[0] : pair[1];
		if (RT(prlimit64, 0, limits[i].resource, pair, NULL) < 0) {
			return -1;
		}
	}
	/* When memory is short, the command goes before anything of the host's. How far it can take that
	 * back the launcher has said (birth_yield()). */
	(void)rt_write_file("/proc/self/oom_score_adj", "500");
	return 0;
}

static int lock_securebits(struct init *init)
{
	init_doing(init, "locking securebits", "");
	(void)RT(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return (int)RT(prctl, PR_SET_SECUREBITS, ALL_SECUREBITS, 0, 0, 0);
}

static int set_capabilities(uint32_t low, uint32_t high)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = low, .permitted = low}, {.effective = high, .permitted = high}};

	return (int)RT(capset, &header, data);
}

/* For tests of the testkit only: the command keeps what it had over its namespaces. */
static int keep_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}, {0}};

	if (RT(capget, &header, data) < 0) {
		return -1;
	}
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	if (RT(capset, &header, data) < 0) {
		return -1;
	}
	for (long number = 0; number < 64; number++) {
		(void)RT(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0);
	}
	return 0;
}

static int command_identity(struct init *init)
{
	bool keep = init_without(init, PLAN_LAYER_CAPS);
	uint32_t uid = init->image->uid;
	uint32_t gid = init->image->gid;

	if (!keep && lock_securebits(init) < 0) {
		return -1;
	}
	if (keep && RT(prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0) {
		return -1;
	}
	init_doing(init, "changing identity", "");
	/* Without root setgroups is denied for good, and there is nothing to drop that was ours. */
	if (RT(setgroups, 0, NULL) < 0 && errno != EPERM) {
		return -1;
	}
	if (RT(setresgid, gid, gid, gid) < 0 || RT(setresuid, uid, uid, uid) < 0) {
		return -1;
	}
	init_doing(init, "entering the working directory", init_string(init, init->image->dir));
	if (RT(chdir, init_string(init, init->image->dir)) < 0) {
		return -1;
	}
	init_doing(init, "giving up capabilities", "");
	return keep ? keep_capabilities() : set_capabilities(0, 0);
}

static int command_landlock(struct init *init)
{
	const struct image *image = init->image;
	const struct image_rule *rules = (const void *)((const char *)image + image->rules);
	int ruleset = -1;
	int r = 0;

	/* In a shared sandbox cloche-init has entered the one domain, and what joins inherits it: in
	 * domains of their own the commands could not see or trace each other. */
	if (image->landlock_abi <= 0 || ((image->flags & IMAGE_SHARED) && !init->joined)) {
		return 0;
	}
	init_doing(init, "making the Landlock ruleset", "");
	ruleset = landlock_begin(image->handled_fs, image->handled_net, image->scoped);
	for (uint32_t i = 0; ruleset >= 0 && r == 0 && i < image->rule_count; i++) {
		const char *path = init_string(init, rules[i].path);
		cleanup_close int fd = (int)RT(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
		init_doing(init, "allowing by Landlock", path);
		/* An optional entry of the plan: what is not there needs no permission. */
		if (fd >= 0 || errno != ENOENT) {
			r = fd < 0 ? -errno : landlock_allow(ruleset, fd, rules[i].access);
		}
	}
	if (ruleset < 0 || r < 0) {
		errno = ruleset < 0 ? -ruleset : -r;
		return -1;
	}
	init_doing(init, "entering the Landlock domain", "");
	r = landlock_enforce(ruleset, image->landlock_abi);
	errno = -r;
	return r < 0 ? -1 : 0;
}

static int install_filter(const struct sock_filter *filter, uint32_t count)
{
	struct sock_fprog program = {
		.len = (unsigned short)count, .filter = (struct sock_filter *)(uintptr_t)filter};

	return (int)RT(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int command_filter(struct init *init)
{
	const struct image *image = init->image;
	const struct sock_filter *filter = (const void *)((const char *)image + image->filter);
	static struct sock_filter keyed[4096]; /* BPF_MAXINSNS */
	int r = 0;

	if (!(image->flags & IMAGE_HAS_FILTER)) {
		return 0;
	}
	init_doing(init, "loading the system call filter", "");
	if (!(image->flags & IMAGE_NO_EXEC)) {
		return install_filter(filter, image->filter_count);
	}
	if (image->filter_count > ARRAY_SIZE(keyed)) {
		errno = E2BIG;
		return -1;
	}
	memcpy(keyed, filter, image->filter_count * sizeof(filter[0]));
	r = filter_set_key(keyed, image->filter_count, init->start.key);
	if (r < 0) {
		errno = -r;
		return -1;
	}
	r = install_filter(keyed, image->filter_count);
	/* Our memory is cloche-init's until the exec. */
	memset(keyed, 0, sizeof(keyed));
	return r;
}

static int no_new_privs(struct init *init)
{
	if (init_without(init, PLAN_LAYER_NO_NEW_PRIVS)) {
		return 0;
	}
	init_doing(init, "setting no_new_privs", "");
	return (int)RT(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* 0, 1 and 2 stay. */
static int close_the_rest(struct init *init)
{
	long first = 3;

	init_doing(init, "closing descriptors", "");
	if (init->report >= 0 && RT(dup3, init->report, first++, 0) < 0) {
		return -1;
	}
	return init_without(init, PLAN_LAYER_CLOSE_FDS) ? 0 : (int)RT(close_range, first, ~0U, 0);
}

/* Tries one program file. Returns only when it could not be run. */
static void try_exec(const char *path, char *const argv[], char *const env[], const uint64_t key[3])
{
	/* The filter of a plan without exec lets pass one execve only, the one that carries this key
	 * in the registers the kernel does not look at (filter.h). */
	(void)RT(execve, path, argv, env, key[0], key[1], key[2]);
}

static void exec_by_path(
	const char *at, char *const argv[], char *const env[], const uint64_t key[3])
{
	int denied = ENOENT;

	while (*at) {
		char path[4096];
		size_t used = 0;
		while (*at && *at != ':' && used < 2048) {
			path[used++] = *at++;
		}
		at += *at == ':';
		path[used] = '\0';
		if (path[0] != '/') {
			continue; /* "" and "." would mean the user's directory */
		}
		rt_append(path, sizeof(path), &used, "/");
		rt_append(path, sizeof(path), &used, argv[0]);
		try_exec(path, argv, env, key);
		/* A directory of the search path that we may not enter has no program for us. */
		if (errno != ENOENT && errno != ENOTDIR &&
			(errno != EACCES || RT(faccessat, AT_FDCWD, path, 0, 0) == 0)) {
			denied = errno;
		}
	}
	errno = denied;
}

void init_exec(const char *search, char *const argv[], char *const env[], const uint64_t key[3])
{
	bool has_slash = false;

	for (const char *at = argv[0]; *at; at++) {
		has_slash |= *at == '/';
	}
	if (has_slash) {
		try_exec(argv[0], argv, env, key);
	} else {
		exec_by_path(search, argv, env, key);
	}
}

static void exec_command(struct init *init)
{
	const struct image *image = init->image;
	const uint32_t *argv_at = (const void *)((const char *)image + image->argv);
	const uint32_t *env_at = (const void *)((const char *)image + image->env);
	/* The launcher keeps both counts below this. */
	static char *argv[IMAGE_MAX_STRINGS];
	static char *env[IMAGE_MAX_STRINGS];

	for (uint32_t i = 0; i < image->argc; i++) {
		argv[i] = (char *)(uintptr_t)init_string(init, argv_at[i]);
	}
	for (uint32_t i = 0; i < image->envc; i++) {
		env[i] = (char *)(uintptr_t)init_string(init, env_at[i]);
	}
	/* A longer one may have joined before. */
	argv[image->argc] = env[image->envc] = NULL;
	init_doing(init, "running", argv[0]);
	init_exec(init_string(init, image->search_path), argv, env, init->start.key);
}

static int unblock_signals(struct init *init)
{
	uint64_t none = 0;

	return (int)RT(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

int init_become_user(struct init *init)
{
	static int (*const metres[])(struct init *) = {command_session, command_streams,
		command_limits, close_the_rest, command_identity, no_new_privs, command_landlock,
		unblock_signals, command_filter};

	for (size_t i = 0; i < ARRAY_SIZE(metres); i++) {
		if (metres[i](init) < 0) {
			return -1;
		}
	}
	return 0;
}

void init_become_command(struct init *init)
{
	if (init_become_user(init) == 0) {
		exec_command(init);
	}
	init->code = errno ? errno : EIO;
	rt_exit(127);
}

#define ALLOW(name)                                                                                \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1),                                     \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* To make a terminal and change identity for each command that joins; all over its own namespace. */
#define JOIN_CAPABILITIES                                                                          \
	(1U << CAP_KILL | 1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_SETPCAP | 1U << CAP_CHOWN)

/*
 * cloche-init keeps CAP_KILL over its own namespace, to pass signals on, and may from now on only
 * do what its waiting loop does. In a shared sandbox it goes on starting commands, so it can have no
 * such filter; it reads nothing but messages of the launcher's, and nobody inside may trace it.
 */
int init_confine_self(struct init *init)
{
	static const struct sock_filter waiting[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(ppoll),
		ALLOW(read),
		ALLOW(recvmsg),
		ALLOW(sendmsg),
		ALLOW(wait4),
		ALLOW(kill),
		ALLOW(close),
		ALLOW(clock_gettime),
		ALLOW(exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};

	init_doing(init, "confining cloche-init", "");
	if (init->joined) {
		return command_landlock(init) < 0 ? -1 : set_capabilities(JOIN_CAPABILITIES, 0);
	}
	if (set_capabilities(1U << CAP_KILL, 0) < 0 ||
		RT(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		return -1;
	}
	return install_filter(waiting, ARRAY_SIZE(waiting));
}
