/*
 * The order, and why it is safe:
 *
 *	zygote, once		namespaces, then root, then groups and limits, then capabilities,
 *				then no_new_privs and Landlock: each step needs what the next takes.
 *	net, per connection	bounding set (needs CAP_SETPCAP), gid and uid (need CAP_SETUID; going
 *				from 0 to another clears every capability), limits, the filter.
 *
 * Without root the same is done inside a user namespace that maps only our own uid, where the host
 * allows one; else the root directory and the namespaces stay the host's, and Landlock and the
 * filter alone keep files and sockets away.
 */
#include "sshd/net-confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/linux/landlock.h"
#include "backends/linux/net-filter.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"

#define NET_MAX_DATA (64ull << 20)
#define SANITIZER_DATA (1ull << 34)
#define MASK(capability) (1ull << (capability))
#define ZYGOTE_CAPABILITIES (MASK(CAP_SETUID) | MASK(CAP_SETGID) | MASK(CAP_SETPCAP))
#define OWN_NAMESPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static const struct {
	const char *name;
	__rlimit_resource_t resource;
	rlim_t value;
} zygote_limits[] = {
	{"open files", RLIMIT_NOFILE, NET_MAX_FDS},
	{"core files", RLIMIT_CORE, 0},
	{"locked memory", RLIMIT_MEMLOCK, 0},
	{"message queues", RLIMIT_MSGQUEUE, 0},
	{"pending signals", RLIMIT_SIGPENDING, 0},
};

static int set_limit(const char *name, __rlimit_resource_t resource, rlim_t value, struct err *err)
{
	struct rlimit limit = {.rlim_cur = value, .rlim_max = value};

	if (setrlimit(resource, &limit) < 0) {
		return err_set(err, errno, "limiting %s to %llu", name, (unsigned long long)value);
	}
	return 0;
}

/* Permitted and effective become keep; nothing is inheritable. */
static int set_capabilities(uint64_t keep, struct err *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)keep, .permitted = (uint32_t)keep},
		{.effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32)},
	};

	if (syscall(SYS_capset, &header, data) < 0) {
		return err_set(err, errno, "dropping capabilities");
	}
	return 0;
}

/* Takes all but keep out of the bounding set. Reading it fails beyond the kernel's last one. */
static int set_bounding(uint64_t keep, struct err *err)
{
	for (int i = 0;; i++) {
		int present = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
		if (present < 0) {
			return 0;
		}
		if (present == 0 || keep & MASK(i)) {
			continue;
		}
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) {
			return err_set(
				err, errno, "dropping capability %d from the bounding set", i);
		}
	}
}

/* A user namespace where our uid and gid are themselves and no other exists. */
static int enter_user_namespace(struct err *err)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	char uids[64], gids[64];

	(void)snprintf(uids, sizeof(uids), "%u %u 1", uid, uid);
	(void)snprintf(gids, sizeof(gids), "%u %u 1", gid, gid);
	/* Mapping is refused to a process that is not dumpable: its /proc files are root's. */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (unshare(CLONE_NEWUSER | OWN_NAMESPACES) < 0) {
		return err_set(err, errno, "making a user namespace");
	}
	int r = io_write_file(AT_FDCWD, "/proc/self/setgroups", "deny");
	r = r < 0 ? r : io_write_file(AT_FDCWD, "/proc/self/uid_map", uids);
	r = r < 0 ? r : io_write_file(AT_FDCWD, "/proc/self/gid_map", gids);
	return r < 0 ? err_set(err, -r, "mapping our uid into a user namespace") : 0;
}

/* The root becomes an empty file system of one page, and nothing else is mounted any more. */
static int enter_empty_root(const char *directory, struct err *err)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		return err_set(err, errno, "making mounts private");
	}
	if (mount("cloche-net", directory, "tmpfs", flags | MS_RDONLY,
		    "size=4k,nr_inodes=2,mode=0555") < 0) {
		return err_set(err, errno, "mounting an empty file system on %s", directory);
	}
	if (chdir(directory) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
		umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) {
		return err_set(err, errno, "moving into the empty root %s", directory);
	}
	return 0;
}

/*
 * A last bound on memory, for what libssh might be talked into allocating. An address sanitizer
 * reserves terabytes of data beforehand and quarantines what is freed: its builds go without.
 */
static int limit_memory(struct err *err)
{
	cleanup_free char *text = NULL;
	unsigned long long data = 0;
	int r = io_read_file(AT_FDCWD, "/proc/self/statm", 4096, &text, NULL);

	if (r < 0 || sscanf(text, "%*u %*u %*u %*u %*u %llu", &data) != 1) {
		return err_set(err, r < 0 ? -r : EPROTO, "reading /proc/self/statm");
	}
	data *= (unsigned long long)sysconf(_SC_PAGESIZE);
	if (data > SANITIZER_DATA) {
		return 0;
	}
	return set_limit("data", RLIMIT_DATA, data + NET_MAX_DATA, err);
}

static int confine_zygote_root(const struct net_options *options, struct err *err)
{
	int r = 0;

	if (options->uid == (uid_t)-1 || options->uid == 0 || options->gid == 0) {
		return err_refuse(err, EINVAL, "the net process needs a user that is not root");
	}
	if (unshare(OWN_NAMESPACES) < 0) {
		return err_set(err, errno, "making namespaces for the net processes");
	}
	r = enter_empty_root(options->empty_dir, err);
	if (r < 0) {
		return r;
	}
	if (setgroups(0, NULL) < 0) {
		return err_set(err, errno, "dropping supplementary groups");
	}
	r = set_bounding(ZYGOTE_CAPABILITIES, err);
	return r < 0 ? r : set_capabilities(ZYGOTE_CAPABILITIES, err);
}

static int confine_zygote_user(const struct net_options *options, char ***ret_lost)
{
	struct err err = {0};
	struct err ignored;
	int r = enter_user_namespace(&err);

	if (r == 0) {
		r = enter_empty_root(options->empty_dir, &err);
	}
	/* Those of the new namespace, also when only half of the above was possible. */
	(void)set_bounding(0, &ignored);
	(void)set_capabilities(0, &ignored);
	if (r < 0) {
		return strv_appendf(ret_lost, "namespaces and an empty root (%s)", err.msg);
	}
	return strv_append(ret_lost, "a uid of its own (not root)");
}

/* Every right the kernel's Landlock knows is handled, and no rule grants one. */
static int apply_landlock(char ***ret_lost, struct err *err)
{
	struct plan_landlock rights = {0};
	int abi = landlock_abi();
	int ruleset = -1;
	int r = 0;

	if (abi <= 0) {
		return strv_append(ret_lost, "Landlock (not in this kernel, or turned off)");
	}
	landlock_compile(abi, true, &rights);
	ruleset = landlock_begin(rights.handled_fs, rights.handled_net, rights.scoped);
	if (ruleset < 0) {
		return err_set(err, -ruleset, "making a Landlock ruleset");
	}
	r = landlock_enforce(ruleset, abi);
	return r < 0 ? err_set(err, -r, "applying Landlock") : 0;
}

int net_confine_zygote(const struct net_options *options, char ***ret_lost, struct err *err)
{
	int r = limit_memory(err); /* while there is a /proc */

	if (r == 0) {
		r = geteuid() == 0 ? confine_zygote_root(options, err)
				   : confine_zygote_user(options, ret_lost);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(zygote_limits); i++) {
		r = set_limit(zygote_limits[i].name, zygote_limits[i].resource,
			zygote_limits[i].value, err);
	}
	if (r < 0) {
		return r;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
		return err_set(err, errno, "giving up new privileges");
	}
	return apply_landlock(ret_lost, err);
}

static int become_user(const struct net_options *options, struct err *err)
{
	int r = set_bounding(0, err);

	if (r < 0) {
		return r;
	}
	if (setresgid(options->gid, options->gid, options->gid) < 0 ||
		setresuid(options->uid, options->uid, options->uid) < 0) {
		return err_set(err, errno, "becoming uid %u", options->uid);
	}
	/* Not left to the rule that leaving uid 0 does it. */
	return set_capabilities(0, err);
}

int net_confine(const struct net_options *options, struct err *err)
{
	int r = 0;

	if (geteuid() == 0) {
		r = become_user(options, err);
	}
	/* Changing uid made it dumpable again. */
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
		r = err_set(err, errno, "becoming undumpable");
	}
	if (r == 0) {
		r = set_limit("processes", RLIMIT_NPROC, 0, err);
	}
	if (r == 0 && !options->debug) {
		r = set_limit("file size", RLIMIT_FSIZE, 0, err);
	}
	return r < 0 ? r : net_filter_install(err);
}
