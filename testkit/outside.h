/*
 * What the host reads about a live process without asking it: status, namespaces, maps, limits,
 * descriptors, mounts, control groups, and the system-call filter itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/filter.h>

#include "base/cleanup.h"

enum outside_namespace {
	OUTSIDE_NET,
	OUTSIDE_PID,
	OUTSIDE_IPC,
	OUTSIDE_UTS,
	OUTSIDE_MNT,
	OUTSIDE_USER,
	OUTSIDE_CGROUP,
	OUTSIDE_NAMESPACES,
};

#define OUTSIDE_MAX_FILTERS 8

struct outside_filter {
	struct sock_filter *program;
	size_t count;
};

/* A file system in the process's mount table. */
struct outside_mount {
	char target[192];
	char type[24];
	unsigned major, minor;
	bool writable;
};

struct outside {
	bool found; /* the process was found; nothing else counts otherwise, but: */
	bool group; /* the limits of its control group are known */
	bool elsewhere; /* an eye in another kernel read it (eye.h): its pid here is 0 */
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uint64_t caps[5]; /* inheritable, permitted, effective, bounding, ambient */
	int no_new_privs; /* 0, 1; -1 unknown */
	int seccomp; /* as in status: 0, 1, 2; -1 unknown */
	bool launcher_group; /* holds the supplementary group the host marked itself with */
	int maps_host_root; /* 0, 1; -1 unknown */
	bool dumped; /* filters are what the kernel has */
	struct outside_filter filters[OUTSIDE_MAX_FILTERS];
	size_t filter_count;
	uint64_t namespaces[OUTSIDE_NAMESPACES]; /* inode numbers; 0 unknown */
	uint64_t beside[OUTSIDE_NAMESPACES]; /* those of who read this, to compare with */
	int64_t user_namespaces; /* user.max_user_namespaces in its user namespace; -1 unknown */
	pid_t session;
	int terminal; /* tty_nr */
	char cgroup[4096]; /* /proc/<pid>/cgroup as the host sees it */
	char tree[32]; /* the path by which who reads this sees its tree */
	int root_is_ours; /* its / is that of who reads this: 0, 1; -1 unknown */
	unsigned devices; /* nodes beyond the usual; see device_text */
	char device_text[120];
	struct outside_mount *mounts;
	size_t mount_count;
	uint64_t memory_limit, tasks_limit, cpu_limit; /* cpu in thousandths; 0: none found */
	uint64_t memory_peak; /* read by an eye, when it looked */
	int room_known; /* read by an eye: 1 room, 0 a place without a size; -1 unknown */
	uint64_t room; /* of its writable places; see room.h */
	char room_where[128];
	int route; /* errno of a route to the world in its network namespace; -1 unknown */
};

#define OUTSIDE_GROUP 65531 /* the host puts itself into it, to see whether launchers drop it */

/* The process that calls itself name, or 0. */
pid_t outside_find(const char *name);

/* Reads everything about pid. Fields that cannot be read keep "unknown". */
void outside_read(pid_t pid, struct outside *ret);

/*
 * Where the client is no process of the host's: only the limits of the control group that pid, which
 * holds it, is in. ret->found stays false.
 */
void outside_read_group(pid_t pid, struct outside *ret);

void outside_fini(struct outside *outside);
DEFINE_CLEANUP(struct outside *, outside_fini);

/* Only the mounts of outside->pid, as they are now; outside_fini() frees them. */
void outside_read_mounts(struct outside *outside);

/*
 * Whether the filters let this call through: 1 yes, 0 no, -1 unknown. arch is AUDIT_ARCH_*.
 */
int outside_allows(
	const struct outside *outside, uint32_t arch, int number, const uint64_t args[6]);

/* True when /proc/<pid>/environ holds text. False when not; *ret_known says whether it was read. */
bool outside_environment_has(pid_t pid, const char *text, bool *ret_known);

/* True when the process holds a descriptor of the same object as fd. */
bool outside_holds(pid_t pid, int fd, bool *ret_known);

/* True when path in its tree is the same object as path in ours. */
bool outside_same_object(pid_t pid, const char *path, bool *ret_known);

/* The most its control group has used; 0 unknown. */
uint64_t outside_memory_peak(const struct outside *outside);

/*
 * Processor time of it and of its children that have ended, or of all its control group where it was
 * read by that; in microseconds; 0 unknown.
 */
uint64_t outside_cpu_usec(const struct outside *outside);
