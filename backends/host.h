/*
 * What this machine can do, asked once. compile() takes it as an argument, so that plans for other
 * kernels (Landlock ABI 2 as well as 7) can be made and tested anywhere.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum cgroup_controller {
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_CPU,
	CGROUP_CONTROLLERS,
};

/* Where a server that must leave its own cgroup (v2) moves to. */
#define HOST_CGROUP_LEAF "cloche-server"

#define HOST_DOCKER_DEFAULT "unix:///var/run/docker.sock"

/* Where one controller can be used by us. */
struct host_cgroup {
	int version; /* 1 or 2; 0: not available to us */
	char path
		[256]; /* the directory our session directories go below, e.g. /sys/fs/cgroup/pids/cloche */
};

/* What runsc says of itself; see backends/gvisor.h. */
struct host_gvisor {
	bool known; /* asked, or made up for a test */
	bool present;
	bool systrap, directfs, host_fifo, oci_seccomp; /* what its help names */
	uint32_t files; /* which of gvisor_files[] this host has, by index */
};

/* The kit that machines of the microvm backend boot from, made by cloche-make-guest. */
struct host_guest {
	char dir[200]; /* "": there is none, or not one to be trusted */
	char missing[200]; /* then: why */
	char release[65]; /* of its kernel */
	char digest[65]; /* of its files */
	int landlock_abi; /* of its kernel */
	bool kvm; /* a virtual machine can be made by /dev/kvm */
};

struct host {
	char release[65]; /* uname -r */
	char machine[65]; /* uname -m */
	bool root; /* we may use id ranges and prepare mounts for others */
	bool user_namespaces; /* a user namespace can be made */
	bool proc_mountable; /* a fresh procfs can be mounted in it */
	bool overlay; /* overlayfs can be mounted the way native needs it */
	bool clone_into_cgroup;
	int landlock_abi; /* 0: none */
	bool merged_usr; /* /bin, /sbin and /lib* are links into /usr */
	bool legacy_tiocsti;
	char resolv_conf[256]; /* where /etc/resolv.conf leads to; "" there is none */
	bool nft; /* rules for a network of the session's own can be loaded */
	bool audit_landlock; /* Landlock denials can be read (ABI 7 and audit) */
	struct host_cgroup cgroup[CGROUP_CONTROLLERS];
	char cgroup_kill
		[256]; /* v2 directory below which session directories get cgroup.kill, or "" */
	struct host_gvisor gvisor; /* host_probe() does not ask: it takes a process */
	uint32_t processors;
	/* From our environment: where the engines of containers are. */
	char docker_host[128]; /* DOCKER_HOST, or Docker's own default */
	char containers_conf[192], containers_storage_conf[192]; /* podman's; "": its own */
	uint32_t id_base, id_count; /* ids for session ranges; count 0: one uid only */
	struct host_guest guest;
};

/* Asks the kernel. Leaves nothing behind. 0 or negative errno. */
int host_probe(struct host *ret, struct err *err);

/*
 * Proves by doing, in short-lived children, what host_probe() took from hints: makes the user
 * namespace, mounts procfs and overlayfs in it, clones into a cgroup, and corrects *host. For the
 * start of a server and for doctor: about 10 ms. Leaves nothing behind. 0 or negative errno.
 */
int host_probe_deep(struct host *host, struct err *err);

/* A made-up modern host for tests: everything there, Landlock ABI as given. */
void host_init_ideal(struct host *host, int landlock_abi);
