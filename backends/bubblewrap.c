/*
 * The bubblewrap backend: the view of native_view_compile(), the names, limits and filter of the
 * native backend, put in place by bwrap(1). What bwrap is told is a file of the plan, one operation
 * a line:
 *
 *	CONDITION TAB ARGUMENT TAB ARGUMENT ...
 *
 * "always"; "pipe" where there is no terminal; "net" where bwrap is to make the session's network itself
 * (as root the keeper has made it by then: the kernel takes long over one); "has:N" where the source of
 * mount N exists, "file:N" and "dir:N" where it is one. A start opens every source once ({fd:mN}), drops
 * what does not apply, and hands the rest to bwrap --args. bwrap opens no path of the host's but
 * /dev/null, and its command line names none.
 *
 * As root bwrap itself runs as one id out of the session's own range, without a capability: what
 * goes wrong in it goes wrong as nobody. One id is mapped inside.
 *
 * The last program of ours in the sandbox is "cloche-init enter" (init/enter.c), which bwrap execs
 * from a sealed memory file behind its filter: it says which process the command is and whether its
 * exec succeeded, and keeps bwrap out of the command's process group.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backends/foreign-door.h"
#include "backends/foreign.h"
#include "backends/keeper.h"
#include "backends/linux/filter.h"
#include "backends/linux/idrange.h"
#include "backends/linux/kernel.h"
#include "backends/linux/launcher.h"
#include "backends/native-view.h"
#include "backends/runtime.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"

#define ARGS_FILE "bwrap.args"
#define DOOR "door"
#define DOOR_FDS 2 /* the socket and the program */
#define ASK_MS 5000
#define START_MS 10000
#define SMALLEST 4096ULL

/* Options that a bwrap must have; Debian 12's 0.8.0 has all. */
static const char *const needed_options[] = {"--args", "--bind-fd", "--ro-bind-fd",
	"--disable-userns", "--size", "--perms", "--seccomp", "--die-with-parent", "--file"};

/* The layers this backend can leave out. The others are not its own, or cannot be had without. */
#define OPTIONAL_LAYERS                                                                            \
	(PLAN_LAYER_FILTER | PLAN_LAYER_CGROUP | PLAN_LAYER_RLIMITS | PLAN_LAYER_MASKS |           \
		PLAN_LAYER_NET | PLAN_LAYER_PID | PLAN_LAYER_IPC | PLAN_LAYER_UTS |                \
		PLAN_LAYER_MOUNT | PLAN_LAYER_USER_LIMITS | PLAN_LAYER_DEV | PLAN_LAYER_ENV |      \
		PLAN_LAYER_READ_ONLY | PLAN_LAYER_READ_DENY | PLAN_LAYER_DISK | PLAN_LAYER_TIME)

struct bubblewrap {
	struct sandbox base; /* pid and pidfd are the command's; event is the keeper's socket */
	struct keeper keeper;
	struct keeper_door door;
	struct idrange ids;
	bool gone; /* the command had ended before it could be held: base.pidfd is bwrap's */
};

/* ---- can it be used ---- */

static int bubblewrap_probe(const struct host *host, struct err *err)
{
	char name[] = "bwrap";
	char option[] = "--help";
	char *argv[] = {name, option, NULL};
	char path[KEEPER_TOOL_PATH];
	char help[16384];
	struct stat seen;

	if (!host->user_namespaces || !host->proc_mountable) {
		return err_refuse(err, ENOTSUP,
			"bwrap needs user namespaces and a /proc that can be mounted in them");
	}
	if (keeper_find_tool(name, path) < 0 || stat(path, &seen) < 0) {
		return err_refuse(err, ENOTSUP, "bwrap is not installed (package bubblewrap)");
	}
	if (seen.st_mode & (S_ISUID | S_ISGID)) {
		return err_refuse(err, ENOTSUP,
			"%s is set-user-id, which changes what its options mean: chmod u-s it",
			path);
	}
	int r = foreign_ask_once(argv, ASK_MS, help, sizeof(help));
	if (r != 0) {
		return err_refuse(err, ENOTSUP, "%s --help does not answer", path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(needed_options); i++) {
		if (!strstr(help, needed_options[i])) {
			return err_refuse(err, ENOTSUP,
				"%s has no %s; take bubblewrap 0.8.0 or newer", path,
				needed_options[i]);
		}
	}
	return 0;
}

/* ---- compile ---- */

/* What this backend cannot do is refused by name, never done halfway. */
static int refuse_unsupported(
	const struct spec *spec, const struct host *host, uint32_t without, struct err *err)
{
	const bool scopes =
		(spec->write == WRITE_SCOPE && strv_length(spec->writable) > 0) || spec->allow_temp;
	const struct promise_refusal table[] = {
		{spec->net == NET_OUTBOUND || spec->net == NET_EGRESS ||
				strv_length(spec->egress) > 0 || strv_length(spec->inbound) > 0,
			"net: bubblewrap knows none and the host's; use net: disable or enable, or "
			"another backend"},
		{spec->root == ROOT_IMAGE,
			"root: image: unpack it and use root: directory, or another backend"},
		{spec->no_exec,
			"no_exec: bwrap has to exec the command after the filter is in place; use "
			"native"},
		{spec->write == WRITE_OVERLAY,
			"write: overlay: this bwrap has no overlays (0.11 and newer have); use "
			"native"},
		{scopes && host->root,
			"write: as root a session has ids of its own, and bwrap cannot map the "
			"owner of "
			"what lies on the host to them; use native, or run as the user who owns "
			"it"},
		{spec->ids == IDS_RANGE, "ids: range: bwrap maps one id; use native"},
		{spec->ids == IDS_SINGLE && host->root,
			"ids: single would make the session root's own; leave ids out"},
		{host->root && host->id_count == 0,
			"as root bwrap is run with ids of the session's own, and there is no range "
			"to "
			"give (/etc/subuid)"},
		{spec->share != SHARE_NONE,
			"a bubblewrap sandbox cannot be joined; use share: session and no agent "
			"forwarding"},
		{without & ~(uint32_t)OPTIONAL_LAYERS,
			"--without: bubblewrap has no such layer to leave out"},
	};

	return promise_refuse_any(table, ARRAY_SIZE(table), err);
}

/* One id inside, which is one of a range of our own, or ours. */
static void choose_identity(const struct host *host, struct plan *plan)
{
	foreign_identity(host, plan);
	if (!plan->uid_map[0].own) {
		plan->uid_map[0] =
			(struct plan_id_map){.inside = plan->uid, .count = 1, .offset = plan->uid};
	}
}

/* A writable place: in native these share one file system, here each has its own part of the sum. */
static int give_place(struct plan_mount *mount, const char *home, uint64_t disk)
{
	uint64_t part = strcmp(mount->target, home) == 0 ? disk / 2
		: strcmp(mount->target, "/tmp") == 0     ? disk / 4
							 : disk / 8;

	mount->kind = PLAN_MOUNT_TMPFS;
	free(mount->source);
	mount->source = NULL;
	mount->size = disk == 0 ? 0 : part < SMALLEST ? SMALLEST : part & ~(SMALLEST - 1);
	mount->flags = PLAN_NOSUID | PLAN_NODEV;
	mount->inodes = 0;
	return 0;
}

/* What is masked must be looked for where the view has it from. */
static int find_mask(const struct spec *spec, struct plan_mount *mount)
{
	mount->source = strdup(mount->target);
	if (!mount->source) {
		return -ENOMEM;
	}
	if (spec->root == ROOT_DIRECTORY && !spec_path_is_below(mount->target, "/proc") &&
		!spec_path_is_below(mount->target, "/sys")) {
		mount->flags |= PLAN_IN_ROOT;
		mount->content = strdup(spec->root_path);
		return mount->content ? 0 : -ENOMEM;
	}
	return 0;
}

/*
 * What native makes as a directory beside what is mounted below it would cover that as a mount: it
 * goes before the first of them.
 */
static void uncover(struct plan *plan, size_t number)
{
	struct plan_mount place = plan->mounts[number];
	size_t first = 0;

	while (first < number && !spec_path_is_below(plan->mounts[first].target, place.target)) {
		first++;
	}
	memmove(&plan->mounts[first + 1], &plan->mounts[first],
		(number - first) * sizeof(plan->mounts[0]));
	plan->mounts[first] = place;
}

/* The native view, in what bwrap can do. What it cannot is dropped here, so that the plan is true. */
static int adapt_mounts(const struct spec *spec, const struct native_view *view, struct plan *plan)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < plan->mount_count; i++) {
		struct plan_mount *mount = &plan->mounts[i];
		bool inside = mount->kind == PLAN_MOUNT_BIND && (mount->flags & PLAN_INSIDE);
		bool place = mount->kind == PLAN_MOUNT_DIR &&
			((mount->mode & 0002) || (mount->flags & PLAN_USER));

		if (r == 0 && mount->kind == PLAN_MOUNT_MASK) {
			r = find_mask(spec, mount);
		}
		if (inside) {
			mount->mode = 01777;
		}
		if (r == 0 && (inside || place)) {
			r = give_place(mount, view->home, plan->disk);
		}
		if (mount->kind == PLAN_MOUNT_TMPFS) {
			mount->inodes = 0; /* bwrap cannot say it */
		}
		if (mount->kind == PLAN_MOUNT_RDONLY) {
			free(mount->target); /* bwrap's own /proc has these */
			continue;
		}
		plan->mounts[kept++] = *mount;
	}
	plan->mount_count = kept;
	for (size_t i = 0; i < kept; i++) {
		if (plan->mounts[i].kind == PLAN_MOUNT_TMPFS) {
			uncover(plan, i);
		}
	}
	return r;
}

/* ---- what bwrap is told ---- */

/* The file's text: arguments from outside can hold anything but NUL. */
static void put_word(struct buf *out, const char *word)
{
	for (size_t plain = 0; *word; word += plain + (word[plain] ? 1 : 0)) {
		plain = strcspn(word, "\t\n\\");
		buf_put(out, word, plain);
		switch (word[plain]) {
		case '\t':
			buf_printf(out, "\\t");
			break;
		case '\n':
			buf_printf(out, "\\n");
			break;
		case '\\':
			buf_printf(out, "\\\\");
			break;
		default:
			break;
		}
	}
}

static void put_line(struct buf *out, const char *condition, const char *const words[])
{
	buf_put(out, condition, strlen(condition));
	for (size_t i = 0; words[i]; i++) {
		buf_put_u8(out, '\t');
		put_word(out, words[i]);
	}
	buf_put_u8(out, '\n');
}

#define PUT(out, condition, ...) put_line(out, condition, (const char *const[]){__VA_ARGS__, NULL})

static void put_tmpfs(struct buf *out, const char *condition, const char *perms, uint64_t size,
	const char *target)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	if (size > 0) {
		PUT(out, condition, "--perms", perms, "--size", text, "--tmpfs", target);
	} else {
		PUT(out, condition, "--perms", perms, "--tmpfs", target);
	}
}

static void put_bind(
	struct buf *out, const struct plan_mount *mount, size_t number, const char *target)
{
	char condition[32];
	char fd[40];

	(void)snprintf(condition, sizeof(condition), "has:%zu", number);
	(void)snprintf(fd, sizeof(fd), "{fd:m%zu}", number);
	PUT(out, condition, mount->flags & PLAN_READ_ONLY ? "--ro-bind-fd" : "--bind-fd", fd,
		target);
}

/* A file becomes one that cannot be opened, a directory one with nothing in it. */
static void put_mask(struct buf *out, size_t number, const char *target)
{
	char condition[32];

	(void)snprintf(condition, sizeof(condition), "file:%zu", number);
	PUT(out, condition, "--ro-bind", "/dev/null", target); /* nodev there */
	(void)snprintf(condition, sizeof(condition), "dir:%zu", number);
	put_tmpfs(out, condition, "0555", SMALLEST, target);
	PUT(out, condition, "--remount-ro", target);
}

static void put_mount(struct buf *out, const struct plan *plan, size_t number)
{
	const struct plan_mount *mount = &plan->mounts[number];
	cleanup_free char *target = foreign_literal(mount->target);
	cleanup_free char *source = mount->source ? foreign_literal(mount->source) : NULL;
	char perms[16];
	char fd[40];

	if (!target || (mount->source && !source)) {
		out->failed = true;
		return;
	}
	(void)snprintf(perms, sizeof(perms), "%04o", (unsigned)mount->mode);
	(void)snprintf(fd, sizeof(fd), "{fd:d%zu}", number);
	switch (mount->kind) {
	case PLAN_MOUNT_TMPFS:
		if (strcmp(target, "/") != 0) { /* bwrap's root is one */
			put_tmpfs(out, "always", perms, mount->size, target);
		}
		break;
	case PLAN_MOUNT_BIND:
		put_bind(out, mount, number, target);
		break;
	case PLAN_MOUNT_PROC:
		PUT(out, "always", "--proc", target);
		break;
	case PLAN_MOUNT_MQUEUE:
		PUT(out, "always", "--mqueue", target);
		break;
	case PLAN_MOUNT_DIR:
		PUT(out, "always", "--perms", perms, "--dir", target);
		break;
	case PLAN_MOUNT_DOOR:
		PUT(out, "always", "--ro-bind-fd", "{fd:" DOOR "}", target);
		break;
	case PLAN_MOUNT_WHY:
	case PLAN_MOUNT_FILE:
		PUT(out, "always", "--perms", perms, "--file", fd, target);
		break;
	case PLAN_MOUNT_SYMLINK:
		PUT(out, "always", "--symlink", source, target);
		break;
	case PLAN_MOUNT_MASK:
		put_mask(out, number, target);
		break;
	default:
		out->failed = true; /* adapt_mounts() has left none of the others */
	}
}

/* /dev and what bwrap's --dev puts in it; what else the view has there is mounted over that. */
static bool is_of_dev(const struct plan_mount *mount)
{
	return spec_path_is_below(mount->target, "/dev") &&
		(mount->kind == PLAN_MOUNT_DEVICE || mount->kind == PLAN_MOUNT_DEVPTS ||
			mount->kind == PLAN_MOUNT_SYMLINK ||
			(mount->kind == PLAN_MOUNT_TMPFS && strcmp(mount->target, "/dev") == 0));
}

/* Last, when everything is in its place: what nobody is to write to. Not recursive. */
static void put_remounts(struct buf *out, const struct plan *plan, bool own_dev)
{
	for (size_t i = 0; i < plan->mount_count; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		if (mount->kind == PLAN_MOUNT_TMPFS && !(mount->mode & 0002) &&
			strcmp(mount->target, "/dev") != 0 && mount->mode != 0700) {
			PUT(out, "always", "--remount-ro", mount->target);
		}
	}
	if (own_dev) {
		PUT(out, "always", "--remount-ro", "/dev");
	}
}

static void put_mounts(struct buf *out, const struct plan *plan)
{
	bool own_dev = false;

	for (size_t i = 0; i < plan->mount_count; i++) {
		if (!is_of_dev(&plan->mounts[i])) {
			put_mount(out, plan, i);
		} else if (!own_dev) {
			own_dev = true;
			PUT(out, "always", "--dev", "/dev");
		}
	}
	put_remounts(out, plan, own_dev);
}

static void put_namespaces(struct buf *out, const struct plan *plan)
{
	static const struct {
		uint32_t namespace;
		const char *option;
	} table[] = {{PLAN_NS_PID, "--unshare-pid"}, {PLAN_NS_IPC, "--unshare-ipc"},
		{PLAN_NS_UTS, "--unshare-uts"}, {PLAN_NS_CGROUP, "--unshare-cgroup"},
		{PLAN_NS_NET, "--unshare-net"}};
	char uid[16];
	char gid[16];

	(void)snprintf(uid, sizeof(uid), "%u", plan->uid);
	(void)snprintf(gid, sizeof(gid), "%u", plan->gid);
	PUT(out, "always", "--unshare-user", "--uid", uid, "--gid", gid);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (plan->namespaces & table[i].namespace) {
			PUT(out, table[i].namespace == PLAN_NS_NET ? "net" : "always",
				table[i].option);
		}
	}
	if (!(plan->without & PLAN_LAYER_USER_LIMITS)) {
		PUT(out, "always", "--disable-userns");
	}
}

static void put_environment(struct buf *out, const struct plan *plan)
{
	PUT(out, "always", "--clearenv");
	STRV_FOREACH (variable, plan->env) {
		cleanup_free char *text = foreign_literal(*variable);
		char *value = text ? strchr(text, '=') : NULL;
		if (!value) {
			out->failed = true;
			return;
		}
		*value = '\0';
		PUT(out, "always", "--setenv", text, value + 1);
	}
}

static int write_args(struct plan *plan)
{
	cleanup(buf_fini) struct buf out = {0};
	cleanup_free char *dir = foreign_literal(plan->dir);
	cleanup_free char *hostname = foreign_literal(plan->hostname);

	if (!dir || !hostname) {
		return -ENOMEM;
	}
	put_namespaces(&out, plan);
	PUT(&out, "always", "--die-with-parent");
	PUT(&out, "pipe", "--new-session");
	PUT(&out, "always", "--cap-drop", "ALL");
	put_environment(&out, plan);
	put_mounts(&out, plan);
	if (plan->namespaces & PLAN_NS_UTS) {
		PUT(&out, "always", "--hostname", hostname);
	}
	PUT(&out, "always", "--chdir", dir);
	if (plan->filter) {
		PUT(&out, "always", "--seccomp", "{fd:filter}");
	}
	buf_put(&out, "", 1);
	return out.failed ? -ENOMEM : plan_add_file(plan, ARGS_FILE, (const char *)out.data, 0600);
}

static int write_command(struct plan *plan)
{
	static const char *const head[] = {"bwrap", "--args", "{fd:args}", "--",
		"/proc/self/fd/{fd:enter}", "enter", "{fd:control}", "{fd:errors}"};
	int r = strv_append(&plan->tool_env, "PATH=/usr/bin:/bin");

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(head); i++) {
		r = strv_append(&plan->command, head[i]);
	}
	STRV_FOREACH (word, plan->argv) {
		char *literal = r == 0 ? foreign_literal(*word) : NULL;
		r = !literal ? -ENOMEM : strv_consume(&plan->command, literal);
	}
	return r;
}

/* ---- promises ---- */

static int note_lacks(const struct spec *spec, const struct native_view *view, struct plan *plan)
{
	const struct promise_note table[] = {{true, "bubblewrap.no_landlock"},
		{true, "bubblewrap.exit_status"}, {spec->memory == 0, "bubblewrap.disk.inodes"},
		{spec->write == WRITE_EPHEMERAL, "bubblewrap.no_overlay"},
		{view->broad && plan->uid_map[0].own, "bubblewrap.later_mounts"}};

	return promise_note_all(table, ARRAY_SIZE(table), plan);
}

/* As native's table: each promise with everything it rests on. */
static const struct promise promises[] = {
	{CAPABILITY_NET_DISABLE, PLAN_LAYER_NET, PROMISE_OWN_NET},
	{CAPABILITY_NET_ENABLE, 0, 0},
	{CAPABILITY_FS_READ_HOST, 0, PROMISE_BROAD_VIEW},
	{CAPABILITY_FS_READ_SCOPE, 0, PROMISE_LISTED_VIEW | PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_READ_DENY, PLAN_LAYER_READ_DENY, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_DENY, PLAN_LAYER_READ_ONLY | PLAN_LAYER_DEV, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_SCOPE, PLAN_LAYER_READ_ONLY, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_EPHEMERAL, PLAN_LAYER_READ_ONLY,
		PROMISE_OWN_MOUNTS | PROMISE_THROW_AWAY},
	{CAPABILITY_ENV_SCRUB, PLAN_LAYER_ENV, 0},
	{CAPABILITY_IPC_RESTRICT, PLAN_LAYER_IPC | PLAN_LAYER_DEV | PLAN_LAYER_FILTER,
		PROMISE_NO_HOST_SOCKETS | PROMISE_OWN_MOUNTS | PROMISE_OWN_NET},
	{CAPABILITY_RES_CPU, PLAN_LAYER_CGROUP, PROMISE_CPU_GROUP},
	{CAPABILITY_RES_MEMORY, PLAN_LAYER_CGROUP, PROMISE_MEMORY_GROUP},
	{CAPABILITY_RES_PIDS, 0, PROMISE_PIDS_KEPT},
	{CAPABILITY_RES_DISK, PLAN_LAYER_DISK | PLAN_LAYER_DEV | PLAN_LAYER_READ_ONLY,
		PROMISE_NOTHING_PERSISTS | PROMISE_OWN_MOUNTS},
	{CAPABILITY_RES_TIME, PLAN_LAYER_TIME, 0},
	{CAPABILITY_PROC_ISOLATION, PLAN_LAYER_PID, PROMISE_OWN_MOUNTS},
	{CAPABILITY_KERNEL_FILTER, PLAN_LAYER_FILTER, 0},
	{CAPABILITY_PRIV_NONE, PLAN_LAYER_USER_LIMITS, 0},
	{CAPABILITY_DEV_MINIMAL, PLAN_LAYER_DEV, PROMISE_OWN_MOUNTS},
	{CAPABILITY_TTY_ISOLATE, PLAN_LAYER_FILTER | PLAN_LAYER_DEV, PROMISE_OWN_MOUNTS},
	{CAPABILITY_HOST_CONCEAL,
		PLAN_LAYER_UTS | PLAN_LAYER_MASKS | PLAN_LAYER_PID | PLAN_LAYER_CGROUP |
			PLAN_LAYER_DEV | PLAN_LAYER_FILTER,
		PROMISE_LISTED_VIEW | PROMISE_OWN_MOUNTS},
	{CAPABILITY_SESSION_FRESH, PLAN_LAYER_IPC | PLAN_LAYER_PID,
		PROMISE_NOTHING_PERSISTS | PROMISE_OWN_MOUNTS | PROMISE_OWN_NET},
};

static size_t count_fds(const struct plan *plan)
{
	size_t count = 6; /* enter, control, complaints, errors, filter, args */

	for (size_t i = 0; i < plan->mount_count; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		count += mount->kind == PLAN_MOUNT_FILE || mount->kind == PLAN_MOUNT_BIND ||
			mount->kind == PLAN_MOUNT_WHY || mount->kind == PLAN_MOUNT_DOOR;
	}
	return count;
}

static int fill_plan(
	const struct spec *spec, const struct host *host, struct plan *plan, struct err *err)
{
	cleanup(native_view_fini) struct native_view view = {0};
	struct host without_overlay = *host;
	int r = 0;

	without_overlay.overlay = false;
	foreign_namespaces(spec, plan);
	choose_identity(host, plan);
	foreign_rlimits(spec, plan);
	plan->filter = plan->without & PLAN_LAYER_FILTER ? NULL : filter_get(false);
	r = native_view_compile(spec, &without_overlay, plan, &view, err);
	r = r < 0 ? r : adapt_mounts(spec, &view, plan);
	if (r == 0 && count_fds(plan) > KEEPER_MAX_FDS) {
		return err_refuse(err, E2BIG,
			"bubblewrap takes at most %d paths; name directories above them",
			KEEPER_MAX_FDS - 16);
	}
	r = r < 0 ? r : foreign_command(spec, view.start, plan);
	r = r < 0 ? r : foreign_environment(spec, view.home, plan);
	if (r == 0 && count_fds(plan) + DOOR_FDS <= KEEPER_MAX_FDS) {
		r = foreign_door_compile(spec, plan, FOREIGN_DOOR_MADE);
	}
	r = r < 0 ? r : foreign_limits(spec, host, plan);
	r = r < 0 ? r : note_lacks(spec, &view, plan);
	r = r < 0 ? r : foreign_notes(spec, host, plan);
	r = r < 0 ? r : write_args(plan);
	r = r < 0 ? r : write_command(plan);
	if (r == 0) {
		promise_keep(promises, ARRAY_SIZE(promises), spec,
			promise_grounds(spec, plan) | native_view_grounds(spec, &view), plan);
		r = plan_seal(plan);
	}
	return r;
}

static int bubblewrap_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	static const struct foreign_compiler compiler = {
		"bubblewrap", PLAN_KERNEL_SHARED, refuse_unsupported, fill_plan};

	return foreign_compile(&compiler, spec, host, without, ret_plan, err);
}

/* ---- start ---- */

#define START_FDS 52

static_assert(START_FDS <= KEEPER_MAX_FDS, "a keeper takes what a start has");

/* What is passed first: their numbers must not be 3 (see init/enter.c), where the program itself goes. */
enum channel { CHANNEL_ENTER, CHANNEL_CONTROL, CHANNEL_COMPLAINTS, CHANNEL_ERRORS, CHANNELS };

static const char *const channel_names[CHANNELS] = {"enter", "control", "complaints", "errors"};

/* Everything bwrap inherits, by name. Owned. */
struct start {
	const struct plan *plan;
	const struct sandbox_stdio *io;
	struct keeper_fd fds[START_FDS];
	char names[START_FDS][32];
	size_t count;
	mode_t *kinds; /* of each mount's source: S_IFDIR, S_IFREG for all else, 0: absent */
	int control; /* our end of cloche-init's socket */
	int errors; /* our end of bwrap's standard error */
	bool waved; /* cloche-init need not wait for us */
	struct keeper_ready ready; /* starts while all this is opened */
};

/* The channels have their places, and are opened when there is time. */
static void start_init(struct start *start, const struct plan *plan, const struct sandbox_stdio *io)
{
	*start = (struct start){.plan = plan,
		.io = io,
		.count = CHANNELS,
		.control = -1,
		.errors = -1,
		.ready = {-1, -1, NULL}};
	for (size_t i = 0; i < CHANNELS; i++) {
		start->fds[i] = (struct keeper_fd){.name = channel_names[i], .fd = -1};
	}
}

static void start_close(struct start *start)
{
	for (size_t i = 0; i < start->count; i++) {
		close_fdp(&start->fds[i].fd);
	}
	start->count = 0;
}

static void start_fini(struct start *start)
{
	start_close(start);
	free(start->kinds);
	close_fdp(&start->control);
	close_fdp(&start->errors);
	keeper_ready_fini(&start->ready);
}

/* Takes fd over. number: behind the name, or -1. */
static int add_fd(struct start *start, int fd, const char *name, ssize_t number)
{
	if (start->count == START_FDS) {
		(void)close(fd);
		return -E2BIG;
	}
	char *own = start->names[start->count];
	(void)snprintf(own, sizeof(start->names[0]), "%s", name);
	if (number >= 0) {
		(void)snprintf(own, sizeof(start->names[0]), "%s%zd", name, number);
	}
	start->fds[start->count++] = (struct keeper_fd){.name = own, .fd = fd};
	return 0;
}

static int make_memory(const void *data, size_t size)
{
	cleanup_close int fd = io_sealed_memfd("cloche-bwrap", data, size);

	/* Every one is read from its beginning, and it was written to its end. */
	return fd < 0 ? fd : lseek(fd, 0, SEEK_SET) < 0 ? -errno : take_fd(&fd);
}

static int add_memory(
	struct start *start, const void *data, size_t size, const char *name, ssize_t number)
{
	int fd = make_memory(data, size);

	return fd < 0 ? fd : add_fd(start, fd, name, number);
}

/*
 * A kernel that tells with a message which process sent it, by a pidfd, spares cloche-init to stay what it
 * is until we have looked.
 */
static void wave_on(struct start *start)
{
	int on = 1;

	start->waved =
		setsockopt(start->control, SOL_SOCKET, KERNEL_SO_PASSPIDFD, &on, sizeof(on)) == 0 &&
		io_send(start->control, "g", 1, NULL, 0) == 0;
}

static int open_channels(struct start *start, struct err *err)
{
	/* With a terminal cloche-init takes that. */
	bool given = !start->io->pty && start->io->fds[2] >= 0;
	int pair[2];
	int pipes[2];
	int on = 1;
	int program = make_memory(launcher_init_program, launcher_init_size);

	start->fds[CHANNEL_ENTER].fd = program;
	if (program < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(
			err, program < 0 ? -program : errno, "making the way to cloche-init");
	}
	start->control = pair[0];
	start->fds[CHANNEL_CONTROL].fd = pair[1];
	if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
		pipe2(pipes, O_CLOEXEC) < 0) {
		return err_set(err, errno, "making the way to cloche-init");
	}
	start->errors = pipes[0];
	start->fds[CHANNEL_COMPLAINTS].fd = pipes[1];
	wave_on(start);
	start->fds[CHANNEL_ERRORS].fd = given ? fcntl(start->io->fds[2], F_DUPFD_CLOEXEC, 3)
					      : open("/dev/null", O_RDWR | O_CLOEXEC);
	return start->fds[CHANNEL_ERRORS].fd < 0 ? err_set(err, errno, "passing standard error on")
						 : 0;
}

static int open_mount(struct start *start, size_t number, struct err *err)
{
	const struct plan_mount *mount = &start->plan->mounts[number];
	struct image_source found = {0};
	struct stat seen;
	int fd = -1;
	int r = launcher_open_source(mount, &fd, &found, err);

	if (r < 0 || found.absent) {
		return r;
	}
	if (fstat(fd, &seen) < 0) {
		close_fdp(&fd);
		return err_set(err, errno, "looking at %s", mount->source);
	}
	start->kinds[number] = S_ISDIR(seen.st_mode) ? S_IFDIR : S_IFREG;
	if (mount->kind == PLAN_MOUNT_MASK) {
		close_fdp(&fd);
		return 0;
	}
	r = add_fd(start, fd, "m", (ssize_t)number);
	return r < 0 ? err_refuse(err, E2BIG, "too many paths for bubblewrap") : 0;
}

static int open_mounts(struct start *start, struct err *err)
{
	const struct plan *plan = start->plan;
	int r = 0;

	start->kinds = calloc(plan->mount_count + 1, sizeof(mode_t));
	if (!start->kinds) {
		return err_set(err, ENOMEM, "opening the view");
	}
	for (size_t i = 0; r == 0 && i < plan->mount_count; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		if (mount->kind == PLAN_MOUNT_BIND || mount->kind == PLAN_MOUNT_MASK) {
			r = open_mount(start, i, err);
		} else if (mount->kind == PLAN_MOUNT_FILE) {
			r = add_memory(
				start, mount->content, strlen(mount->content), "d", (ssize_t)i);
		} else if (mount->kind == PLAN_MOUNT_WHY) {
			r = add_memory(start, image_why_program, image_why_size, "d", (ssize_t)i);
		} else if (mount->kind == PLAN_MOUNT_DOOR) {
			r = add_fd(start, KEEPER_DOOR_PLACE, DOOR, -1);
		}
	}
	return r < 0 && !err->code ? err_set(err, -r, "opening the view") : r;
}

/* Where the sources are, for the keeper to make bwrap's tree while we go on. */
static void tell_sources(struct start *start)
{
	char text[8192];
	size_t used = 0;
	const char *list[START_FDS];
	char door[RUNTIME_PATH];
	size_t count = 0;

	for (size_t i = 0; i < start->count; i++) {
		char name[40];

		if (start->names[i][0] != 'm') {
			continue;
		}
		(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", start->fds[i].fd);
		ssize_t length = readlink(name, text + used, sizeof(text) - used);
		if (length <= 0 || (size_t)length >= sizeof(text) - used || text[used] != '/') {
			return;
		}
		text[used + (size_t)length] = '\0';
		list[count++] = text + used;
		used += (size_t)length + 1;
	}
	if (foreign_door_is_in(start->plan) && count < ARRAY_SIZE(list)) {
		/* Not there yet; this is where it will be. */
		cleanup_close int tools = runtime_open("tools", true, door);
		if (tools >= 0) {
			list[count++] = door;
		}
	}
	keeper_narrow(&start->ready, list, count);
}

static int add_filter(struct start *start, struct err *err)
{
	struct sock_filter *program = NULL;
	size_t count = 0;
	int r = 0;

	if (!start->plan->filter) {
		return 0;
	}
	r = filter_program(start->plan->filter, NULL, &program, &count);
	r = r < 0 ? r : add_memory(start, program, count * sizeof(*program), "filter", -1);
	free(program);
	return r < 0 ? err_set(err, -r, "passing the filter on") : 0;
}

/* ---- the arguments ---- */

/* Its network is the keeper's to make; without root that takes bwrap's user namespace. */
static bool is_lone(const struct plan *plan)
{
	return !plan->uid_map[0].own && (plan->namespaces & PLAN_NS_NET);
}

static bool applies(const struct start *start, const char *condition)
{
	static const struct {
		const char *word;
		mode_t kinds;
	} table[] = {{"has:", S_IFDIR | S_IFREG}, {"dir:", S_IFDIR}, {"file:", S_IFREG}};
	uint64_t number = 0;

	if (strcmp(condition, "pipe") == 0) {
		return !start->io->pty;
	}
	if (strcmp(condition, "net") == 0) {
		return !is_lone(start->plan);
	}
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		size_t length = strlen(table[i].word);
		if (strncmp(condition, table[i].word, length) == 0 &&
			parse_u64(condition + length, &number) == 0 &&
			number < start->plan->mount_count) {
			mode_t kind = start->kinds[number];
			return kind != 0 &&
				(table[i].kinds == (S_IFDIR | S_IFREG) || kind == table[i].kinds);
		}
	}
	return strcmp(condition, "always") == 0;
}

static void unescape(char *word)
{
	char *to = word;

	for (; *word; word++) {
		if (*word == '\\' && word[1]) {
			word++;
			*to++ = (char)(*word == 't' ? '\t' : *word == 'n' ? '\n' : *word);
		} else {
			*to++ = *word;
		}
	}
	*to = '\0';
}

static int put_words(const struct start *start, char *line, struct buf *out)
{
	for (char *word = NULL; (word = strsep(&line, "\t"));) {
		unescape(word);
		cleanup_free char *filled = keeper_fill_fds(word, start->fds, start->count);
		if (!filled) {
			return -ENOMEM;
		}
		buf_put(out, filled, strlen(filled) + 1);
	}
	return 0;
}

static const char *find_args(const struct plan *plan)
{
	for (size_t i = 0; i < plan->file_count; i++) {
		if (strcmp(plan->files[i].name, ARGS_FILE) == 0) {
			return plan->files[i].content;
		}
	}
	return NULL;
}

static int add_args(struct start *start, struct err *err)
{
	cleanup(buf_fini) struct buf out = {0};
	const char *content = find_args(start->plan);
	cleanup_free char *text = content ? strdup(content) : NULL;
	char *rest = text;
	int r = text ? 0 : -ENOMEM;

	for (char *line = NULL; r == 0 && (line = strsep(&rest, "\n"));) {
		char *condition = strsep(&line, "\t");
		if (line && applies(start, condition)) {
			r = put_words(start, line, &out);
		}
	}
	r = r < 0 ? r : out.failed ? -ENOMEM : add_memory(start, out.data, out.size, "args", -1);
	return r < 0 ? err_set(err, -r, "writing bwrap's arguments") : 0;
}

/* ---- until the command runs ---- */

/* bwrap says what it could not do; its last line is the reason. */
static int tell_complaint(struct start *start, struct err *err)
{
	char text[2048];
	struct pollfd wait = {.fd = start->errors, .events = POLLIN};
	size_t used = 0;
	ssize_t n = 1;

	while (n > 0 && used + 1 < sizeof(text) && poll(&wait, 1, 500) > 0) {
		n = read(start->errors, text + used, sizeof(text) - 1 - used);
		used += n > 0 ? (size_t)n : 0;
	}
	while (used > 0 && text[used - 1] == '\n') {
		used--;
	}
	text[used] = '\0';
	char *line = strrchr(text, '\n');
	return err_refuse(err, EIO, "step bwrap: %s",
		*text ? (line ? line + 1 : text) : "it ended without a word");
}

/* Who sent a message, as the kernel says it. */
struct sender {
	pid_t pid; /* 0: it says nothing */
	int pidfd; /* owned; -1: this kernel does not say, or it has ended */
};

/* What a sandbox sends is bytes: nothing of these is a descriptor of its. */
static void take_sender(struct msghdr *message, struct sender *ret)
{
	struct ucred credentials;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
		header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET) {
			continue;
		}
		if (header->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
			ret->pid = credentials.pid;
		} else if (header->cmsg_type == KERNEL_SCM_PIDFD) {
			close_fdp(&ret->pidfd);
			memcpy(&ret->pidfd, CMSG_DATA(header), sizeof(ret->pidfd));
			ret->pidfd = ret->pidfd < 0 ? -1 : ret->pidfd;
		}
	}
}

/* One message and who sent it. 1, 0 at the end, or negative errno. */
static int receive_from(int socket, int timeout_ms, void *data, size_t size, struct sender *ret)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct pollfd wait = {.fd = socket, .events = POLLIN};

	if (poll(&wait, 1, timeout_ms) <= 0) {
		return -ETIMEDOUT;
	}
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n <= 0) {
		return n < 0 ? -errno : 0;
	}
	take_sender(&message, ret);
	return 1;
}

/* The sandbox's mounts end with the keeper's handle of them, and not before our exit. */
static void hold_mounts(struct bubblewrap *sandbox)
{
	struct pollfd ended = {.fd = sandbox->base.pidfd, .events = POLLIN};
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)sandbox->base.pid);
	cleanup_close int mounts = open(path, O_RDONLY | O_CLOEXEC);
	/* While it lives its number is its own. */
	if (mounts >= 0 && poll(&ended, 1, 0) == 0) {
		keeper_hold(&sandbox->keeper, mounts);
	}
}

/*
 * Takes hold of the command: by the pidfd that came with its word, or by its number, which is its own while
 * it waits for our byte.
 */
static int hold_command(struct bubblewrap *sandbox, const struct start *start,
	struct sender *sender, struct err *err)
{
	sandbox->base.pid = sender->pid;
	sandbox->gone = start->waved && sender->pidfd < 0;
	sandbox->base.pidfd = sender->pidfd >= 0 ? take_fd(&sender->pidfd)
		: sandbox->gone ? fcntl(sandbox->keeper.tool_pidfd, F_DUPFD_CLOEXEC, 3)
				: proc_pidfd(sender->pid);
	if (sandbox->base.pidfd < 0) {
		return err_set(
			err, sandbox->gone ? errno : -sandbox->base.pidfd, "holding the command");
	}
	int r = start->waved ? 0 : io_send(start->control, "g", 1, NULL, 0);
	if (r == 0 && !sandbox->gone) {
		hold_mounts(sandbox);
	}
	return r < 0 ? err_set(err, -r, "waiting for the command") : 0;
}

static int await_command(struct bubblewrap *sandbox, struct start *start, struct err *err)
{
	char word = 0;
	int code = 0;
	struct sender sender = {.pidfd = -1};
	int r = receive_from(start->control, START_MS, &word, 1, &sender);

	if (r < 0) {
		return err_set(err, -r, "waiting for bwrap");
	}
	if (r == 0 || word != 'o' || sender.pid <= 0) {
		close_fdp(&sender.pidfd);
		return tell_complaint(start, err);
	}
	r = hold_command(sandbox, start, &sender, err);
	if (r < 0) {
		return r;
	}
	r = receive_from(start->control, START_MS, &code, sizeof(code), &sender);
	close_fdp(&sender.pidfd);
	if (r < 0 && r != -ECONNRESET) {
		return err_set(err, -r, "waiting for the command");
	}
	return r > 0 ? err_set(err, code, "running %s", start->plan->argv[0]) : 0;
}

static int run(
	struct bubblewrap *sandbox, struct start *start, const struct host *host, struct err *err)
{
	const struct plan *plan = start->plan;
	bool own = plan->uid_map[0].own;
	struct plan without_files = *plan;
	const struct keeper_start given = {.plan = &without_files,
		.host = host,
		.io = start->io,
		.fds = start->fds,
		.fd_count = start->count,
		.limit_tool = true,
		.become = !own,
		.private_mounts = !own,
		.lone = is_lone(plan),
		.uid = own ? 0 : sandbox->ids.base + plan->uid_map[0].offset,
		.gid = own ? 0 : sandbox->ids.base + plan->uid_map[0].offset,
		.errors = start->fds[CHANNEL_COMPLAINTS].fd,
		.door = foreign_door_is_in(plan) ? &sandbox->door : NULL,
		.ready = &start->ready,
		.hold = sandbox->ids.lock};

	/* What bwrap is told it reads from a descriptor, of which {fd:args} is the text. */
	without_files.file_count = 0;
	if (!own) {
		sandbox->door.uid = given.uid;
		sandbox->door.gid = given.gid;
		sandbox->door.passable = true;
	}
	int r = keeper_start(&given, &sandbox->keeper, err);

	if (r < 0) {
		return r;
	}
	/* Ours must go, or we would wait for our own end of the socket. */
	start_close(start);
	return await_command(sandbox, start, err);
}

static void bubblewrap_destroy(struct sandbox *base);

static int bubblewrap_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err)
{
	cleanup(start_fini) struct start start;
	struct bubblewrap *sandbox = calloc(1, sizeof(*sandbox));
	int r = 0;

	start_init(&start, plan, io);
	if (!sandbox) {
		return err_set(err, ENOMEM, "starting a sandbox");
	}
	err->code = 0;
	sandbox->base = (struct sandbox){
		.backend = &backend_bubblewrap, .pidfd = -1, .event = -1, .pty = -1};
	sandbox->ids.lock = -1;
	keeper_init(&sandbox->keeper);
	keeper_door_init(&sandbox->door);
	r = keeper_prepare(&start.ready, err);
	if (r == 0 && is_lone(plan)) {
		keeper_net(&start.ready); /* unless it was told ahead of the plan */
	}
	/* As soon as can be: the keeper takes about as long to make the tree as we for what is left. */
	r = r < 0 ? r : open_mounts(&start, err);
	if (r == 0 && !plan->uid_map[0].own) {
		tell_sources(&start);
		r = idrange_take(host, &sandbox->ids, err);
	}
	r = r < 0 ? r : open_channels(&start, err);
	r = r < 0 ? r : add_filter(&start, err);
	r = r < 0 ? r : add_args(&start, err);
	r = r < 0 ? r : run(sandbox, &start, host, err);
	if (r < 0) {
		bubblewrap_destroy(&sandbox->base);
		return r;
	}
	(void)memcpy(sandbox->base.id, sandbox->keeper.id, sizeof(sandbox->base.id));
	sandbox->base.event = sandbox->keeper.socket;
	sandbox->base.pty = take_fd(&sandbox->keeper.pty);
	*ret_sandbox = &sandbox->base;
	return 0;
}

/* ---- while it runs ---- */

static struct bubblewrap *own(struct sandbox *base)
{
	assert(base->backend == &backend_bubblewrap);
	return (struct bubblewrap *)base;
}

/* The command leads its group, and while it lives the group's number is its own. */
static int bubblewrap_signal(struct sandbox *base, int signo)
{
	struct pollfd ended = {.fd = own(base)->base.pidfd, .events = POLLIN};

	if (own(base)->gone || poll(&ended, 1, 0) != 0) {
		return -ESRCH;
	}
	return kill(-base->pid, signo) < 0 ? -errno : 0;
}

/*
 * bwrap turns a signal into 128 and its number, which a command may also exit with. The kernel knows
 * which it was; only where both say the same is it believed.
 */
static int bubblewrap_poll_exit(struct sandbox *base, struct sandbox_exit *ret)
{
	int r = keeper_poll(&own(base)->keeper);
	int status = 0;

	if (r == 1) {
		*ret = keeper_exit(&own(base)->keeper);
		if (kernel_pidfd_status(base->pidfd, &status) && WIFSIGNALED(status) &&
			proc_exit_code(status) == proc_exit_code(ret->status)) {
			ret->status = status;
		}
	}
	return r;
}

static void bubblewrap_usage(struct sandbox *base, struct sandbox_usage *ret)
{
	*ret = (struct sandbox_usage){0};
	cgroup_usage(&own(base)->keeper.cgroup, ret);
}

static int bubblewrap_take_door(struct sandbox *base)
{
	return take_fd(&own(base)->door.listener);
}

static void bubblewrap_destroy(struct sandbox *base)
{
	struct bubblewrap *sandbox = NULL;

	if (!base) {
		return;
	}
	sandbox = own(base);
	close_fdp(&base->pty);
	close_fdp(&base->pidfd);
	(base->leaving ? keeper_leave : keeper_end)(&sandbox->keeper); /* closes base->event */
	idrange_release(&sandbox->ids);
	keeper_door_fini(&sandbox->door);
	free(sandbox);
}

/* Nearly every plan has a network of its own. */
static void bubblewrap_begin(void)
{
	keeper_ahead();
	if (geteuid() == 0) {
		keeper_net(NULL);
	}
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_bubblewrap = {
	.name = "bubblewrap",
	.summary = "bwrap, with our view, filter and control groups",
	.enforces = {HAS(NET_DISABLE) | HAS(NET_ENABLE) | HAS(FS_READ_HOST) | HAS(FS_READ_SCOPE) |
		HAS(FS_READ_DENY) | HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) |
		HAS(FS_WRITE_EPHEMERAL) | HAS(ENV_SCRUB) | HAS(IPC_RESTRICT) | HAS(RES_CPU) |
		HAS(RES_MEMORY) | HAS(RES_PIDS) | HAS(RES_DISK) | HAS(RES_TIME) |
		HAS(PROC_ISOLATION) | HAS(KERNEL_FILTER) | HAS(PRIV_NONE) | HAS(DEV_MINIMAL) |
		HAS(TTY_ISOLATE) | HAS(HOST_CONCEAL) | HAS(SESSION_FRESH)},
	.kernel = PLAN_KERNEL_SHARED,
	.probe = bubblewrap_probe,
	.compile = bubblewrap_compile,
	.warm = keeper_warm,
	.begin = bubblewrap_begin,
	.forget = keeper_forget,
	.start = bubblewrap_start,
	.signal = bubblewrap_signal,
	.poll_exit = bubblewrap_poll_exit,
	.usage = bubblewrap_usage,
	.take_door = bubblewrap_take_door,
	.destroy = bubblewrap_destroy,
};
