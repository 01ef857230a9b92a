/* From a spec to a plan, and to what bwrap is told. See bubblewrap.h. */
#include "backends/bubblewrap.h"

#include <stdio.h>
#include <string.h>

#include "backends/foreign-door.h"
#include "backends/foreign.h"
#include "backends/linux/filter.h"
#include "backends/native-view.h"
#include "base/buf.h"

#define DOOR_FDS 2 /* the socket and the program */
#define SMALLEST 4096ULL

/* The layers this backend can leave out. The others are not its own, or cannot be had without. */
#define OPTIONAL_LAYERS                                                                            \
	(PLAN_LAYER_FILTER | PLAN_LAYER_CGROUP | PLAN_LAYER_RLIMITS | PLAN_LAYER_MASKS |           \
		PLAN_LAYER_NET | PLAN_LAYER_PID | PLAN_LAYER_IPC | PLAN_LAYER_UTS |                \
		PLAN_LAYER_MOUNT | PLAN_LAYER_USER_LIMITS | PLAN_LAYER_DEV | PLAN_LAYER_ENV |      \
		PLAN_LAYER_READ_ONLY | PLAN_LAYER_READ_DENY | PLAN_LAYER_DISK | PLAN_LAYER_TIME)

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
		PUT(out, "always", "--ro-bind-fd", "{fd:" BUBBLEWRAP_DOOR "}", target);
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
	return out.failed ? -ENOMEM
			  : plan_add_file(plan, BUBBLEWRAP_ARGS, (const char *)out.data, 0600);
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
		r = foreign_seal(spec, plan);
	}
	return r;
}

int bubblewrap_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	static const struct foreign_compiler compiler = {
		"bubblewrap", PLAN_KERNEL_SHARED, refuse_unsupported, fill_plan};

	return foreign_compile(&compiler, spec, host, without, ret_plan, err);
}
