/*
 * What the launcher tells cloche-init: one flat, sealed memory file made from a plan, and a few
 * messages over a SOCK_SEQPACKET pair. Both sides are built together, so there is one version and
 * no parsing: offsets into one run of bytes, checked against its size.
 *
 *	launcher			cloche-init
 *	clone3 with every namespace ->	(still the launcher's code) waits for one byte
 *	id maps, cgroups, 'g'       ->	becomes root inside, execs cloche-init,
 *					makes its network namespace
 *	IMAGE, stdio descriptors    ->
 *	MOUNTS, tree descriptors    ->	(as often as needed)
 *				    <-	STARTED with the terminal's master and the door, or FAILED
 *	SIGNAL			    ->
 *				    <-	EXITED
 *				    <-	ALONE, when all the others are dead as well
 *
 * A shared sandbox starts no command. Instead, as often as needed:
 *
 *	JOIN with a socket of its own,
 *	  the image and the streams  ->
 *				    <-	STARTED with a terminal's master or a socket, or FAILED
 *	SIGNAL			    ->	(these three on the socket that came with JOIN; its end
 *				    <-	EXITED	ends what joined)
 *
 * The end of the socket ends the sandbox: cloche-init exits, and the kernel kills the rest.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define IMAGE_MAGIC UINT64_C(0x3165686f6c63636c)
#define IMAGE_CONTROL_FD 3 /* cloche-init's end of the socket */
#define IMAGE_ARGUMENT_NET "net" /* cloche-init's argument: make a network namespace */
#define IMAGE_ARGUMENT_ENTER "enter" /* see init/enter.c */
#define IMAGE_MAX_MOUNTS 192
#define IMAGE_MAX_STRINGS 4096 /* arguments, or variables, with the NULL behind them */
#define IMAGE_MESSAGE_FDS 60 /* descriptors a MOUNTS message carries at most */

/* Where `why` asks: the socket, or the page (page.h), and the program for it. */
#define IMAGE_WHY_DIR "/run/cloche"
#define IMAGE_WHY_SOCKET IMAGE_WHY_DIR "/why"
#define IMAGE_WHY_BIN IMAGE_WHY_DIR "/bin"

enum image_flag {
	IMAGE_UNSHARE_CGROUP = 1 << 0,
	IMAGE_NO_EXEC = 1 << 1,
	IMAGE_HAS_FILTER = 1 << 2,
	IMAGE_LOOPBACK = 1 << 3, /* bring lo up: there is a network namespace of our own */
	IMAGE_MOUNTS = 1 << 4, /* there is a mount namespace to fill */
	IMAGE_ONE_ID = 1 << 6, /* one uid and one gid are mapped, the session's */
	IMAGE_OWN_PIDS = 1 << 5, /* we are pid 1 */
	IMAGE_SHARED = 1 << 7, /* no command of its own: commands join, until the socket ends */
};

struct image_mount {
	uint32_t kind, flags; /* enum plan_mount_kind, enum plan_mount_flag */
	uint32_t mode;
	uint32_t source, target, content; /* offsets of strings; 0: none */
	uint32_t content_size;
	uint32_t has_tree; /* a descriptor comes for it, in order */
	uint64_t size, inodes;
	uint64_t device, inode; /* without a descriptor: what the source must still be */
};

struct image_rule {
	uint32_t path, reserved;
	uint64_t access;
};

struct image_rlimit {
	uint64_t resource, soft, hard;
};

/* All offsets count from the start of the image. */
struct image {
	uint64_t magic, size;
	uint32_t flags, without; /* enum image_flag, enum plan_layer */
	uint32_t uid, gid;
	uint32_t dir, hostname, search_path; /* strings; search_path: where argv[0] is looked for */
	uint32_t argv, argc, env, envc; /* arrays of uint32_t offsets */
	uint32_t mounts, mount_count;
	uint32_t sysctls, sysctl_count; /* array of offsets: "name=value" */
	uint32_t rules, rule_count;
	uint32_t rlimits, rlimit_count;
	uint32_t filter, filter_count; /* struct sock_filter */
	int32_t landlock_abi;
	uint32_t reserved;
	uint64_t handled_fs, handled_net, scoped;
	uint64_t timeout; /* seconds; 0: none */
};

enum image_message_type {
	IMAGE_START = 1,
	IMAGE_TREES,
	IMAGE_SIGNAL,
	IMAGE_STARTED,
	IMAGE_FAILED,
	IMAGE_EXITED,
	IMAGE_ALONE, /* behind EXITED: of the sandbox only cloche-init is left, and it ends */
	IMAGE_JOIN, /* to a shared one; answers come on a socket of its own */
};

/* What joins. The first three end with the answer; a command's socket lives as long as it does. */
enum image_join {
	IMAGE_JOIN_CONNECT, /* a connected stream socket, to the address in text */
	IMAGE_JOIN_LISTEN, /* one that listens there */
	IMAGE_JOIN_LISTEN_PRIVATE, /* the same in a directory made for it, for a name in the file system */
	IMAGE_JOIN_COMMAND,
};

/* What comes with STARTED, in this order. Of what joins it is not said: one descriptor or none. */
enum image_started {
	IMAGE_STARTED_MASTER = 1 << 0,
	IMAGE_STARTED_DOOR = 1 << 1,
};

#define IMAGE_MAX_JOINED 64

struct image_message {
	uint32_t type;
	uint32_t
		number; /* START: groups to enter, their `tasks` behind the streams; SIGNAL: which; EXITED: wait status; FAILED: errno; JOIN: enum image_join */
	uint32_t
		flags; /* START: bit n: stdio n has a descriptor, bit 3: a terminal is asked for, bit 4: a
				 descriptor for 3 comes behind the streams;
				 EXITED: 1 when the time was up; JOIN: as START;
				 STARTED: enum image_started */
	uint32_t tree_count; /* START: how many tree descriptors will come in all; JOIN: the
				 address's size */
	uint64_t key[3]; /* START: the one exec's key (filter.h) */
	struct winsize size; /* START: of the terminal */
	char step[24]; /* FAILED: which step */
	char text[200]; /* FAILED: what was being attempted; JOIN: a socket address */
};
