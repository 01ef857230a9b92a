/*
 * What one backend will do for one spec: pure data, with no effect and nothing left to decide.
 * What is printed is what runs: the launcher reads these very fields, and the digest covers all of
 * them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "backends/capability.h"
#include "base/cleanup.h"

enum plan_mount_kind {
	PLAN_MOUNT_TMPFS, /* fresh, sized */
	PLAN_MOUNT_BIND, /* host source, recursively */
	PLAN_MOUNT_OVERLAY, /* host source below, upper layer in the scratch tmpfs */
	PLAN_MOUNT_PROC,
	PLAN_MOUNT_DEVPTS,
	PLAN_MOUNT_MQUEUE,
	PLAN_MOUNT_DEVICE, /* one device node of the host */
	PLAN_MOUNT_DIR, /* mkdir, mode */
	PLAN_MOUNT_FILE, /* file with content */
	PLAN_MOUNT_SYMLINK, /* source is the text of the link */
	PLAN_MOUNT_MASK, /* what is there becomes empty: a directory or a file, whichever it is */
	PLAN_MOUNT_RDONLY, /* what is there becomes read-only */
	PLAN_MOUNT_WHY, /* the program that asks at the DOOR */
	PLAN_MOUNT_DOOR, /* a socket on which the server answers `why`; it listens, and reads nothing */
	PLAN_MOUNT_PAGE, /* a directory with that program, and the file it reads where no socket leads out */
	PLAN_MOUNT_KINDS,
};

enum plan_mount_flag {
	PLAN_READ_ONLY = 1 << 0,
	PLAN_NOSUID = 1 << 1,
	PLAN_NODEV = 1 << 2,
	PLAN_NOEXEC = 1 << 3,
	PLAN_OPTIONAL = 1 << 4, /* a source (or masked target) that does not exist is left out */
	PLAN_USER = 1 << 5, /* directory or file belongs to the session user, not to root inside */
	PLAN_IDMAP = 1 << 6, /* the source's owner on the host appears as the session user */
	PLAN_FOLLOW =
		1 << 8, /* the source may be reached by symbolic links: the system's own paths */
	PLAN_IN_ROOT =
		1 << 9, /* BIND: source is below the directory named by content, its links too */
	PLAN_INSIDE = 1 << 7, /* BIND: source is a path inside, made by an earlier entry */
};

struct plan_mount {
	enum plan_mount_kind kind;
	char *source; /* host path, or link text; NULL where the kind has none */
	char *target; /* path inside, absolute */
	uint32_t flags;
	mode_t mode; /* for DIR, FILE, TMPFS, DEVPTS (there: max ptys in size) */
	uint64_t size; /* bytes, for TMPFS */
	uint64_t inodes; /* for TMPFS */
	char *content; /* for FILE */
};

/* A Landlock path rule: access is the kernel's bit mask. */
struct plan_path_rule {
	char *path; /* inside */
	uint64_t access;
};

struct plan_landlock {
	int abi; /* applied; 0: no Landlock layer */
	uint64_t handled_fs, handled_net, scoped;
	struct plan_path_rule *rules;
	size_t rule_count;
};

enum plan_namespace {
	PLAN_NS_USER = 1 << 0,
	PLAN_NS_MOUNT = 1 << 1,
	PLAN_NS_PID = 1 << 2,
	PLAN_NS_NET = 1 << 3,
	PLAN_NS_IPC = 1 << 4,
	PLAN_NS_UTS = 1 << 5,
	PLAN_NS_CGROUP = 1 << 6,
};

struct plan_rlimit {
	const char *name; /* "nofile": the kernel's name in lower case, static */
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

struct plan_id_map {
	uint32_t inside, count;
	bool own; /* maps our own uid (no root): inside -> caller; else offset in the session's range */
	uint32_t offset;
};

#define PLAN_MAX_RLIMITS 16
#define PLAN_MAX_ID_MAPS 4

/*
 * Layers that can be left out on purpose, by tests and lessons only: cloche run --without LAYER
 * (a caveat and a smaller uses each time).
 */
enum plan_layer {
	PLAN_LAYER_LANDLOCK = 1 << 0,
	PLAN_LAYER_FILTER = 1 << 1,
	PLAN_LAYER_CGROUP = 1 << 2,
	PLAN_LAYER_RLIMITS = 1 << 3,
	PLAN_LAYER_NO_NEW_PRIVS = 1 << 4,
	PLAN_LAYER_CAPS = 1 << 5,
	PLAN_LAYER_KEYRING = 1 << 6,
	PLAN_LAYER_SESSION = 1 << 7, /* setsid */
	PLAN_LAYER_MASKS = 1 << 8, /* /proc masks */
	PLAN_LAYER_CLOSE_FDS = 1 << 9,
	PLAN_LAYER_NET = 1 << 10, /* network namespace */
	PLAN_LAYER_PID = 1 << 11,
	PLAN_LAYER_IPC = 1 << 12,
	PLAN_LAYER_MOUNT = 1 << 13, /* the host's tree stays visible */
	PLAN_LAYER_USER_LIMITS = 1 << 14, /* user.max_*_namespaces = 0 */
	PLAN_LAYER_DEV = 1 << 15, /* the host's /dev */
	PLAN_LAYER_ENV = 1 << 16, /* environment not scrubbed */
	PLAN_LAYER_UTS = 1 << 17,
	PLAN_LAYER_READ_ONLY = 1 << 18, /* binds writable */
	PLAN_LAYER_READ_DENY = 1 << 19,
	PLAN_LAYER_DISK = 1 << 20, /* tmpfs not sized */
	PLAN_LAYER_TIME = 1 << 21,
	PLAN_LAYER_NET_RULES = 1 << 22, /* what may be reached through a network of its own */
	PLAN_LAYER_USER = 1 << 23, /* user namespace: only where root is nobody's (linux/ring.h) */
};
extern const char *const plan_layer_names[]; /* by bit number, NULL-terminated */

/* A file that a foreign tool reads, in its directory on the host: configuration, profile, filter. */
struct plan_file {
	char *name; /* "config.json", below {dir} */
	char *content; /* text */
	mode_t mode; /* 0600 where nobody else has to read it; with S_IFDIR an empty directory */
	bool base64; /* content is that of what the file will hold */
};

/* What is run around a foreign tool, in this order. */
enum plan_when {
	PLAN_BEFORE, /* before it starts; a failure is a refused session */
	PLAN_KILL, /* to end what still runs */
	PLAN_AFTER, /* to remove what it made; runs also when the server is gone */
	PLAN_WHENS,
};

struct plan_step {
	enum plan_when when;
	char **argv;
};

/*
 * The network of a sandbox that has one of its own and a way out of it. "{address}", "{gateway}" and
 * "{host}" (the host's own addresses, with commas) stand in the rules for what only a start knows.
 * All NULL and false: there is no way out, or no network of its own.
 */
struct plan_net {
	char *pool; /* where the link's addresses are taken from; NULL: no link */
	char *rules; /* nftables, loaded inside before anything runs there; not the sandbox's to change */
	char *host_rules; /* nftables of the host, one table for all sessions */
	bool resolver; /* 127.0.0.1:53 inside leads to the resolvers of the host's /etc/resolv.conf */
	char **proxy; /* what SOCKS 5 and HTTP CONNECT on 127.0.0.1:1080 inside lead to; NULL: none */
};

/* Whose kernel serves the system calls: the value of kernel.isolation. */
enum plan_kernel { PLAN_KERNEL_SHARED, PLAN_KERNEL_USER, PLAN_KERNEL_GUEST, PLAN_KERNELS };

enum caveat_severity { CAVEAT_INFO, CAVEAT_WEAKER, CAVEAT_MISSING };

/* A coded difference between what the spec means and what the plan does. See docs/caveats. */
struct caveat {
	char *code; /* "res.memory.no_cgroup" */
	enum capability capability; /* CAPABILITY_COUNT: none in particular */
	enum caveat_severity severity;
	char *text;
	char *remedy; /* may be NULL */
};

struct plan {
	const char *backend; /* its name; static */
	bool executable_here;
	enum plan_kernel kernel;
	struct capability_set uses;
	struct caveat *caveats;
	size_t caveat_count;

	char **argv;
	char **env;
	char *dir;
	char *hostname;
	char *user;
	uint32_t uid, gid; /* inside */

	uint32_t namespaces; /* enum plan_namespace */
	struct plan_id_map uid_map[PLAN_MAX_ID_MAPS]; /* gids alike */
	size_t id_map_count;
	struct plan_mount *mounts; /* in the order they are made */
	size_t mount_count;
	struct plan_net net;
	char **sysctls; /* "user.max_user_namespaces=0": written inside, in order */

	struct plan_landlock landlock;
	const struct filter *filter; /* backends/linux/filter.h; NULL: no filter layer */
	bool no_exec; /* one execve only */
	bool shared; /* argv joins a sandbox that others join too: see backend->join */

	uint64_t memory, pids, cpu_milli, disk, timeout;
	int cgroup_version[3]; /* per enum cgroup_controller; 0: not applied */
	struct plan_rlimit rlimits[PLAN_MAX_RLIMITS];
	size_t rlimit_count;
	uint32_t without; /* enum plan_layer bits left out on purpose */

	/*
	 * Foreign backends: the tool that does it, and all it is told. In each text "{id}" stands for the
	 * sandbox's id, "{dir}" for its directory on the host, "{fd:NAME}" for the number of a
	 * descriptor it is given (see keeper.h), "{port:NAME}" for that of a loopback port something of
	 * ours listens on: what only a start knows, and no digest covers. Text from outside goes through
	 * foreign_literal() first.
	 */
	char **command; /* argv; NULL for native */
	char **tool_env; /* the tool's own environment, never the session's */
	struct plan_file *files;
	size_t file_count;
	struct plan_step *steps;
	size_t step_count;
	/* microvm: the native sandbox that QEMU is put in; its argv is command. The rest of this plan is
	 * what the session has inside the guest. */
	struct plan *jail;
	char digest[65]; /* BLAKE2b-256 of the canonical JSON, hex; by plan_seal(), else empty */
};

int plan_new(const char *backend, struct plan **ret_plan); /* 0 or -ENOMEM */
struct plan *plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan *, plan_free);

/* Appends a zeroed mount of this kind with copies of source and target; NULL: no memory. */
struct plan_mount *plan_add_mount(struct plan *plan, enum plan_mount_kind kind, const char *source,
	const char *target, uint32_t flags);

/* Appends a file with copies of name and content. 0 or -ENOMEM. */
int plan_add_file(struct plan *plan, const char *name, const char *content, mode_t mode);

/* The same for bytes, which the plan holds as base64. */
int plan_add_bytes(struct plan *plan, const char *name, const void *data, size_t size, mode_t mode);

/* Appends a step with a copy of argv. 0 or -ENOMEM. */
int plan_add_step(struct plan *plan, enum plan_when when, char *const argv[]);

/* Does somebody have to make a way out of this sandbox's network before it starts? */
bool plan_has_way_out(const struct plan *plan);

/* Appends a Landlock rule. 0 or -ENOMEM. */
int plan_add_path_rule(struct plan *plan, const char *path, uint64_t access);

/* Appends a caveat with copies of the texts; the table in caveat.c must know the code. */
int plan_add_caveat(struct plan *plan, const char *code);

bool plan_has_caveat(const struct plan *plan, const char *code);

/* Appends a limit; asserts that there is room. */
void plan_add_rlimit(
	struct plan *plan, const char *name, int resource, uint64_t soft, uint64_t hard);

/*
 * Computes the digest: over plan_to_json() without filter.rules, for which filter.digest stands, and
 * without text and remedy of caveats, for which their code stands. A
 * plan is not changed afterwards. 0 or -ENOMEM.
 */
int plan_seal(struct plan *plan);

/*
 * The digest of the sandbox alone, without what joins it (argv, env, dir), as 64 digits and a NUL in
 * digest: what joins a shared sandbox must have a plan with the same. 0 or -ENOMEM.
 */
int plan_sandbox_digest(const struct plan *plan, char digest[65]);

/*
 * Refuses a sealed plan that lacks something of require, or has a caveat named in refuse_on (by
 * code, by "code.*" pattern, or by severity). 0 or -ENOTSUP with err naming all that is missing.
 */
int plan_check(const struct plan *plan, struct capability_set require, char *const *refuse_on,
	struct err *err);

/*
 * The canonical form: one JSON object, sorted keys, no blanks, everything that will be executed.
 * The caller frees it. NULL: no memory.
 */
char *plan_to_json(const struct plan *plan);

/* The same as pretty text for people: uses, caveats, mounts, limits, filter, argv. */
void plan_print(const struct plan *plan, FILE *out);

/* Caveats and names. */
const char *caveat_severity_name(enum caveat_severity severity);
const char *plan_mount_kind_name(enum plan_mount_kind kind);
const char *plan_when_name(enum plan_when when); /* "before" */
const char *plan_kernel_name(enum plan_kernel kernel); /* "user-kernel" */

struct caveat_info {
	const char *code;
	enum capability capability;
	enum caveat_severity severity;
	const char *text;
	const char *remedy;
};
extern const struct caveat_info caveat_table[]; /* caveat.c; ends with a NULL code */
