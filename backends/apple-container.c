/*
 * Apple's `container` tool: a Linux guest in a virtual machine of its own for each session. Planned
 * here, run on macOS 26 with Apple silicon alone, and never executed by us.
 *
 * Paths are the Mac's, taken literally: nothing is looked up on this host. As file names there differ
 * only in spelling when they differ in case, every comparison that refuses ignores case; what would
 * need two spellings to be told apart inside the guest (a denied path below a shared one) is not
 * promised.
 *
 * Facts about the tool: its command reference and sources (github.com/apple/container, docs/).
 * Rules of the security context: limits of processors and memory, targets, writable system paths and
 * privileged requests that no session gets, whatever its profile says.
 *
 * A session with a terminal gets `--tty` behind `--interactive`: that is the session's, not the
 * plan's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "backends/backend.h"
#include "backends/elsewhere.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/strv.h"

#define MIB (UINT64_C(1) << 20)
#define NAME "cloche-{id}"
#define SESSION_ID 1000 /* uid and gid in the guest */
#define CPU_MILLI_MAX 8000
#define MEMORY_MAX (UINT64_C(16) << 30)
#define CPUS_DEFAULT 4 /* as the tool has it; said so that its configuration does not matter */
#define MEMORY_DEFAULT (UINT64_C(1) << 30)
#define DISK_DEFAULT (UINT64_C(64) << 20)
#define FILES_MAX 65536

/*
 * Images are found by a name that no registry can have (RFC 6761), as the tool would fetch what it
 * does not find.
 */
#define IMAGE_REGISTRY "cloche.invalid"
#define IMAGE_DEFAULT "default"

static const struct elsewhere where = {
	.backend = "apple-container",
	.system = "macOS 26 on Apple silicon, with Apple's container tool",
	.path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	.homes = "/home", /* the guest's */
	.shell = "/bin/sh",
};

enum access { ACCESS_ANY, ACCESS_WRITE };

/* Where nothing of the Mac's may be put or come from; a link or a firmlink is listed by both names. */
static const struct {
	const char *path;
	enum access access; /* what is refused */
	bool above; /* what lies above it too, as it would come along */
} system_paths[] = {
	{"/", ACCESS_ANY, false},
	{"/etc/passwd", ACCESS_ANY, true},
	{"/etc/shadow", ACCESS_ANY, true},
	{"/etc/ssh", ACCESS_ANY, true},
	{"/private/etc/passwd", ACCESS_ANY, true},
	{"/private/etc/master.passwd", ACCESS_ANY, true},
	{"/private/etc/ssh", ACCESS_ANY, true},
	{"/var/run", ACCESS_ANY, true},
	{"/private/var/run", ACCESS_ANY, true},
	{"/proc", ACCESS_ANY, false},
	{"/sys", ACCESS_ANY, false},
	{"/dev", ACCESS_ANY, false},
	{"/usr", ACCESS_WRITE, false},
	{"/etc", ACCESS_WRITE, false},
	{"/var", ACCESS_WRITE, false},
	{"/bin", ACCESS_WRITE, false},
	{"/sbin", ACCESS_WRITE, false},
	{"/lib", ACCESS_WRITE, false},
	{"/boot", ACCESS_WRITE, false},
	{"/private/etc", ACCESS_WRITE, false},
	{"/private/var", ACCESS_WRITE, false},
	{"/Applications", ACCESS_WRITE, false},
	{"/Library", ACCESS_WRITE, false},
	{"/System", ACCESS_WRITE, false},
};

/* path is dir or below it, whatever the case of its letters. */
static bool is_below(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	return strncasecmp(path, dir, length) == 0 && (path[length] == '/' || !path[length]);
}

/* The same file has a second name below the data volume. */
static const char *without_volume(const char *path)
{
	static const char volume[] = "/System/Volumes/Data";

	if (!is_below(path, volume)) {
		return path;
	}
	path += sizeof(volume) - 1;
	return *path ? path : "/";
}

static int refuse_share(const char *path, bool writable, struct err *err)
{
	const char *meant = without_volume(path);

	for (size_t i = 0; i < ARRAY_SIZE(system_paths); i++) {
		const char *system = system_paths[i].path;
		bool within = strcmp(system, "/") == 0 ? strcmp(meant, "/") == 0
						       : is_below(meant, system);
		bool above = system_paths[i].above && is_below(system, meant);
		if ((within || above) && (writable || system_paths[i].access == ACCESS_ANY)) {
			return err_refuse(err, ENOTSUP,
				"%s: '%s' is %s %s, which no session gets%s; share a directory "
				"of its own",
				writable ? "writable" : "readable", path,
				strcasecmp(meant, system) == 0 ? "the same as"
					: within               ? "part of"
							       : "above",
				system, system_paths[i].access == ACCESS_ANY ? "" : " to write");
		}
	}
	if (strpbrk(path, ",=")) {
		return err_refuse(err, ENOTSUP,
			"%s: '%s' has a ',' or '=', which the tool's --mount cannot say",
			writable ? "writable" : "readable", path);
	}
	return 0;
}

static int refuse_shares(const struct spec *spec, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < strv_length(spec->readable); i++) {
		r = refuse_share(spec->readable[i], false, err);
	}
	for (size_t i = 0; r == 0 && i < strv_length(spec->writable); i++) {
		r = refuse_share(spec->writable[i], true, err);
	}
	return r;
}

/* What is shared by a path that is denied as well, or lies below one. */
static int refuse_denied_share(const struct spec *spec, struct err *err)
{
	char **const shared[] = {spec->readable, spec->writable};

	if (strv_contains(spec->read_deny, "/")) {
		return err_refuse(err, ENOTSUP,
			"read_deny: '/' is all of the image too, and leaves nothing to start");
	}
	for (size_t l = 0; l < ARRAY_SIZE(shared); l++) {
		for (size_t i = 0; i < strv_length(shared[l]); i++) {
			for (size_t d = 0; d < strv_length(spec->read_deny); d++) {
				const char *denied = spec->read_deny[d];
				if (is_below(shared[l][i], denied)) {
					return err_refuse(err, ENOTSUP,
						"%s: '%s' lies below '%s', which read_deny takes "
						"out",
						l ? "writable" : "readable", shared[l][i], denied);
				}
			}
		}
	}
	return 0;
}

/* More than a session may have, whoever asks. */
static int refuse_context(const struct spec *spec, struct err *err)
{
	if (spec->cpu_milli > CPU_MILLI_MAX) {
		return err_refuse(err, ENOTSUP,
			"cpus: apple-container gives a session 8 at most, not %llu.%03u",
			(unsigned long long)(spec->cpu_milli / 1000),
			(unsigned)(spec->cpu_milli % 1000));
	}
	if (spec->memory > MEMORY_MAX) {
		return err_refuse(err, ENOTSUP,
			"memory: apple-container gives a session 16G at most, not %llu bytes",
			(unsigned long long)spec->memory);
	}
	if (spec->user && strcmp(spec->user, "root") == 0) {
		return err_refuse(err, ENOTSUP,
			"user: root would be a privileged container, which no session gets; name "
			"another");
	}
	if (spec->ids == IDS_RANGE) {
		return err_refuse(err, ENOTSUP,
			"ids: range: a Mac has no ranges of ids to give; its own user serves all "
			"shares (ids: auto)");
	}
	return 0;
}

static int refuse_unsupported(const struct spec *spec, struct err *err)
{
	if (spec->root == ROOT_DIRECTORY) {
		return err_refuse(err, ENOTSUP,
			"root: directory: a guest starts from an image; use root: image with the "
			"path of a saved image");
	}
	if (spec->home && strpbrk(spec->home, ",=")) {
		return err_refuse(err, ENOTSUP,
			"home: '%s' has a ',' or '=', which the tool's --mount cannot say",
			spec->home);
	}
	if (spec->args[0][0] == '-') {
		return err_refuse(err, ENOTSUP,
			"the command '%s' begins with '-', which the tool would take for an option",
			spec->args[0]);
	}
	return 0;
}

/*
 * "/images/debian-12.tar" holds the image cloche.invalid/debian-12:latest: the name says which, as a
 * plan must not open the archive.
 */
static int choose_image(const struct spec *spec, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	const char *name = IMAGE_DEFAULT;
	size_t length = strlen(name);

	if (spec->root == ROOT_IMAGE) {
		name = strrchr(spec->root_path, '/') + 1;
		length = strspn(name, allowed);
		if (length == 0 || name[0] == '-' || strcmp(name + length, ".tar") != 0) {
			return err_refuse(err, ENOTSUP,
				"root_path: '%s' must be named NAME.tar with NAME of small "
				"letters, digits and '-': it holds the image " IMAGE_REGISTRY
				"/NAME:latest",
				spec->root_path);
		}
	}
	if (asprintf(ret, IMAGE_REGISTRY "/%.*s:latest", (int)length, name) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* ---- what is in the guest ---- */

static int add_tmpfs(struct plan *plan, const char *target, mode_t mode, uint64_t size)
{
	struct plan_mount *mount =
		plan_add_mount(plan, PLAN_MOUNT_TMPFS, NULL, target, PLAN_NOSUID | PLAN_NODEV);

	if (!mount) {
		return -ENOMEM;
	}
	mount->mode = mode;
	mount->size = size / 1024 * 1024;
	return 0;
}

static int add_shares(struct plan *plan, char *const *paths, uint32_t flags)
{
	for (size_t i = 0; i < strv_length(paths); i++) {
		if (!plan_add_mount(plan, PLAN_MOUNT_BIND, paths[i], paths[i], flags)) {
			return -ENOMEM;
		}
	}
	return 0;
}

static bool takes_writes(const struct spec *spec)
{
	return spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY;
}

/*
 * Shared memory, /tmp and the home directory are what can be written without an overlay. With one,
 * only the home directory is made, which an image need not have.
 */
static int choose_mounts(const struct spec *spec, const char *home, struct plan *plan)
{
	uint64_t disk = spec->disk ? spec->disk : DISK_DEFAULT;
	int r = add_tmpfs(plan, home, 01777, disk / 2);

	if (!takes_writes(spec)) {
		plan->disk = disk;
		r = r < 0 ? r : add_tmpfs(plan, "/tmp", 01777, disk / 4);
	}
	r = r < 0 ? r : add_shares(plan, spec->readable, PLAN_READ_ONLY);
	return r < 0 ? r : add_shares(plan, spec->writable, 0);
}

static void choose_limits(const struct spec *spec, struct plan *plan)
{
	plan->cpu_milli = spec->cpu_milli ? (spec->cpu_milli + 999) / 1000 * 1000
					  : UINT64_C(1000) * CPUS_DEFAULT;
	plan->memory = spec->memory ? spec->memory / MIB * MIB : MEMORY_DEFAULT;
	plan->pids = spec->pids;
}

static int choose_home(const struct spec *spec, const struct plan *plan, char **ret)
{
	if (spec->home) {
		*ret = strdup(spec->home);
		return *ret ? 0 : -ENOMEM;
	}
	if (asprintf(ret, "%s/%s", where.homes, plan->user) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int choose_identity(const struct spec *spec, const char *home, struct plan *plan)
{
	plan->uid = plan->gid = SESSION_ID;
	plan->dir = strdup(spec->dir ? spec->dir : home);
	plan->hostname = strdup(NAME);
	return plan->dir && plan->hostname ? 0 : -ENOMEM;
}

/* ---- how the tool is told ---- */

/* One line a variable: what the tool's file cannot say is refused. */
static int write_environment(struct plan *plan, struct err *err)
{
	cleanup(buf_fini) struct buf text = {0};

	STRV_FOREACH (entry, plan->env) {
		const char *value = strchr(*entry, '=') + 1;
		size_t length = strlen(*entry);
		if (strpbrk(*entry, "\r\n") || (*entry)[0] == '#' ||
			strcspn(*entry, " \t") < (size_t)(value - *entry) ||
			strchr(" \t", *value) || strchr(" \t", (*entry)[length - 1])) {
			if (*value) {
				return err_refuse(err, ENOTSUP,
					"env: %.*s has a line end, a blank at an end of its value, "
					"or a "
					"name, that the tool's env-file cannot say; take it out "
					"with "
					"env_deny",
					(int)(value - *entry - 1), *entry);
			}
		}
		buf_printf(&text, "%s\n", *entry);
	}
	buf_put(&text, "", 1);
	return text.failed ? -ENOMEM : plan_add_file(plan, "env", (const char *)text.data, 0600);
}

static int add_mount_argument(char ***argv, const struct plan_mount *mount)
{
	if (mount->kind == PLAN_MOUNT_TMPFS) {
		return strv_appendf(argv, "type=tmpfs,target=%s,size=%llu,mode=%04o", mount->target,
			(unsigned long long)mount->size, mount->mode);
	}
	return strv_appendf(argv, "type=bind,source=%s,target=%s%s", mount->source, mount->target,
		mount->flags & PLAN_READ_ONLY ? ",readonly" : "");
}

static int add_words(char ***argv, const char *const *words)
{
	int r = 0;

	for (; *words && r == 0; words++) {
		r = strv_append(argv, *words);
	}
	return r;
}

static int add_network(const struct spec *spec, bool network, char ***argv)
{
	static const char *const none[] = {"--network", "none", "--no-dns", NULL};
	static const char *const own[] = {"--network", NAME, NULL};
	static const char *const no_dns[] = {"--no-dns", NULL};
	int r = add_words(argv, network ? own : none);

	if (r == 0 && network && spec->net == NET_EGRESS) {
		r = add_words(argv, no_dns);
	}
	for (size_t i = 0; r == 0 && i < strv_length(spec->inbound); i++) {
		r = strv_append(argv, "--publish");
		r = r < 0 ? r
			  : strv_appendf(argv, "127.0.0.1:%s:%s/tcp", spec->inbound[i],
				    spec->inbound[i]);
	}
	return r;
}

static int add_limits(const struct plan *plan, char ***argv)
{
	int r = strv_append(argv, "--cpus");

	r = r < 0 ? r : strv_appendf(argv, "%llu", (unsigned long long)(plan->cpu_milli / 1000));
	r = r < 0 ? r : strv_append(argv, "--memory");
	r = r < 0 ? r : strv_appendf(argv, "%lluM", (unsigned long long)(plan->memory / MIB));
	r = r < 0 ? r : strv_append(argv, "--ulimit");
	r = r < 0 ? r : strv_appendf(argv, "nofile=%u:%u", 1024, FILES_MAX);
	r = r < 0 ? r : strv_append(argv, "--ulimit");
	r = r < 0 ? r : strv_append(argv, "core=0:0");
	if (r == 0 && plan->pids > 0) {
		r = strv_append(argv, "--ulimit");
		r = r < 0 ? r
			  : strv_appendf(argv, "nproc=%llu:%llu", (unsigned long long)plan->pids,
				    (unsigned long long)plan->pids);
	}
	return r;
}

static int add_files(const struct spec *spec, const struct plan *plan, char ***argv)
{
	int r = takes_writes(spec) ? 0 : strv_append(argv, "--read-only");

	for (size_t i = 0; r == 0 && i < plan->mount_count; i++) {
		r = strv_append(argv, "--mount");
		r = r < 0 ? r : add_mount_argument(argv, &plan->mounts[i]);
	}
	if (r == 0 && plan->disk) {
		r = strv_append(argv, "--shm-size");
		r = r < 0
			? r
			: strv_appendf(argv, "%lluK", (unsigned long long)(plan->disk / 4 / 1024));
	}
	for (size_t i = 0; r == 0 && i < strv_length(spec->read_deny); i++) {
		r = strv_append(argv, "--masked-path");
		r = r < 0 ? r : strv_append(argv, spec->read_deny[i]);
	}
	return r;
}

static int build_command(
	const struct spec *spec, bool network, const char *image, struct plan *plan)
{
	static const char *const head[] = {"container", "run", "--rm", "--interactive", "--name",
		NAME, "--cidfile", "{dir}/cid", "--label", "cloche.session={id}", "--progress",
		"none", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--env-file",
		"{dir}/env", "--workdir", NULL};
	char ***argv = &plan->command;
	int r = add_words(argv, head);

	r = r < 0 ? r : strv_append(argv, plan->dir);
	r = r < 0 ? r : add_limits(plan, argv);
	r = r < 0 ? r : add_files(spec, plan, argv);
	r = r < 0 ? r : add_network(spec, network, argv);
	/* What the image calls its entry point must not come before the command. */
	r = r < 0 ? r : strv_append(argv, "--entrypoint");
	r = r < 0 ? r : strv_append(argv, plan->argv[0]);
	r = r < 0 ? r : strv_append(argv, image);
	for (size_t i = 1; r == 0 && plan->argv[i]; i++) {
		r = strv_append(argv, plan->argv[i]);
	}
	return r;
}

static int add_step(struct plan *plan, enum plan_when when, const char *const *words)
{
	cleanup(strv_freep) char **argv = NULL;
	int r = add_words(&argv, words);

	return r < 0 ? r : plan_add_step(plan, when, argv);
}

static int build_steps(const struct spec *spec, bool network, const char *image, struct plan *plan)
{
	const char *const load[] = {"container", "image", "load", "--input", spec->root_path, NULL};
	const char *const find[] = {"container", "image", "inspect", image, NULL};
	const char *const create[] = {
		"container", "network", "create", "--label", "cloche.session={id}", NAME, NULL};
	const char *const create_internal[] = {"container", "network", "create", "--internal",
		"--label", "cloche.session={id}", NAME, NULL};
	static const char *const kill[] = {"container", "kill", NAME, NULL};
	static const char *const delete[] = {"container", "delete", "--force", NAME, NULL};
	static const char *const delete_network[] = {"container", "network", "delete", NAME, NULL};
	int r = 0;

	if (spec->root == ROOT_IMAGE) {
		r = add_step(plan, PLAN_BEFORE, load);
	}
	/* Refuses the session where the tool would go and fetch the image. */
	r = r < 0 ? r : add_step(plan, PLAN_BEFORE, find);
	if (r == 0 && network) {
		r = add_step(plan, PLAN_BEFORE, spec->net == NET_EGRESS ? create_internal : create);
	}
	r = r < 0 ? r : add_step(plan, PLAN_KILL, kill);
	r = r < 0 ? r : add_step(plan, PLAN_AFTER, delete);
	if (r == 0 && network) {
		r = add_step(plan, PLAN_AFTER, delete_network);
	}
	return r;
}

/* ---- what comes of it ---- */

/* An empty list lets nothing through: then there is no network to have. */
static bool has_network(const struct spec *spec)
{
	return spec->net != NET_DISABLE && !(spec->net == NET_EGRESS && !spec->egress);
}

static bool denies_within_share(const struct spec *spec)
{
	char **const shared[] = {spec->readable, spec->writable};

	for (size_t d = 0; d < strv_length(spec->read_deny); d++) {
		for (size_t l = 0; l < ARRAY_SIZE(shared); l++) {
			for (size_t i = 0; i < strv_length(shared[l]); i++) {
				if (is_below(spec->read_deny[d], shared[l][i])) {
					return true;
				}
			}
		}
	}
	return false;
}

/* Promises and caveats: two tables of what the plan does about the spec. */
static int conclude(const struct spec *spec, bool network, struct plan *plan, struct err *err)
{
	const bool shares = spec->readable || spec->writable;
	const bool persists = spec->writable != NULL;
	const bool throws = takes_writes(spec);
	const bool egress = network && spec->net == NET_EGRESS;
	const struct elsewhere_promise promises[] = {
		{CAPABILITY_NET_DISABLE, spec->net == NET_DISABLE, true},
		{CAPABILITY_NET_ENABLE, spec->net == NET_ENABLE, true},
		{CAPABILITY_NET_EGRESS, spec->net == NET_EGRESS, !network},
		{CAPABILITY_FS_READ_SCOPE, spec->readable != NULL, true},
		{CAPABILITY_FS_READ_DENY, spec->read_deny != NULL, !denies_within_share(spec)},
		{CAPABILITY_FS_WRITE_DENY, spec->write == WRITE_NONE, true},
		{CAPABILITY_FS_WRITE_SCOPE,
			spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY, true},
		{CAPABILITY_FS_WRITE_EPHEMERAL, throws, true},
		{CAPABILITY_ENV_SCRUB, spec->env_allow || spec->env_deny, true},
		{CAPABILITY_KERNEL_ISOLATION, true, true},
		{CAPABILITY_RES_CPU, spec->cpu_milli > 0, spec->cpu_milli % 1000 == 0},
		{CAPABILITY_RES_MEMORY, spec->memory > 0, true},
		{CAPABILITY_RES_PIDS, spec->pids > 0, true},
		{CAPABILITY_RES_DISK, true, !throws && !persists},
		{CAPABILITY_RES_TIME, spec->timeout > 0, true},
		{CAPABILITY_PROC_ISOLATION, true, true},
		{CAPABILITY_SESSION_FRESH, true, !persists},
	};
	const struct elsewhere_note notes[] = {
		{spec->root == ROOT_HOST, "container.image_required"},
		{true, "container.image_by_name"},
		{!spec->readable, "container.no_host_files"},
		{spec->readable != NULL, "container.image_readable"},
		{denies_within_share(spec), "container.read_deny_spelling"},
		{throws && spec->readable, "container.shares_read_only"},
		{throws, "container.disk_unbounded"},
		{persists, "fs.write_scope.hard_links"},
		{persists, "fs.write_scope.disk_unbounded"},
		{persists, "compliance.writable_volumes"},
		{spec->allow_temp, "container.temp_is_private"},
		{spec->cpu_milli == 0 && spec->memory == 0, "compliance.unlimited_resources"},
		{spec->cpu_milli % 1000 != 0, "container.cpu_rounded"},
		{spec->memory > 0, "container.memory_is_guest"},
		{spec->pids > 0, "container.pids_by_ulimit"},
		{!network, "net.disable.loopback_private"},
		{spec->net == NET_ENABLE, "container.gateway_reachable"},
		{spec->net == NET_OUTBOUND, "container.host_reaches_listeners"},
		{spec->net == NET_OUTBOUND, "container.gateway_reachable"},
		{egress, "container.egress_unfiltered"},
		{egress, "container.net_internal_leaky"},
		{spec->inbound != NULL, "container.inbound_unfiltered"},
		{spec->no_exec, "container.no_exec_unsupported"},
		{spec->mach_allow != NULL, "mach.ignored"},
		{spec->hostname != NULL, "container.hostname_is_id"},
		{shares, "id.single_uid"},
		{true, "container.no_filter"},
		{true, "container.no_new_privs_unknown"},
		{true, "container.vsock"},
	};

	return elsewhere_end(
		&where, spec, promises, ARRAY_SIZE(promises), notes, ARRAY_SIZE(notes), plan, err);
}

static int fill(const struct spec *spec, struct plan *plan, struct err *err)
{
	bool network = has_network(spec);
	cleanup_free char *image = NULL;
	cleanup_free char *home = NULL;
	int r = choose_image(spec, &image, err);

	plan->kernel = PLAN_KERNEL_GUEST;
	r = r < 0 ? r : choose_home(spec, plan, &home);
	r = r < 0 ? r : choose_identity(spec, home, plan);
	choose_limits(spec, plan);
	r = r < 0 ? r : choose_mounts(spec, home, plan);
	r = r < 0 ? r : write_environment(plan, err);
	r = r < 0 ? r : build_command(spec, network, image, plan);
	r = r < 0 ? r : build_steps(spec, network, image, plan);
	r = r < 0
		? r
		: strv_append(&plan->tool_env, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
	return r < 0 ? r : conclude(spec, network, plan, err);
}

static int container_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	static const struct elsewhere_compiler how = {&where,
		{elsewhere_check_placeholders, refuse_unsupported, refuse_context, refuse_shares,
			refuse_denied_share},
		fill};

	(void)host; /* not the system this is for */
	return elsewhere_compile(&how, spec, without, ret_plan, err);
}

static int container_probe(const struct host *host, struct err *err)
{
	(void)host;
	return elsewhere_refuse(&where, err);
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_apple_container = {
	.name = "apple-container",
	.summary =
		"Apple's container tool on macOS: a Linux guest in a virtual machine per session",
	.enforces = {HAS(NET_DISABLE) | HAS(NET_ENABLE) | HAS(NET_EGRESS) | HAS(FS_READ_SCOPE) |
		HAS(FS_READ_DENY) | HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) |
		HAS(FS_WRITE_EPHEMERAL) | HAS(ENV_SCRUB) | HAS(KERNEL_ISOLATION) | HAS(RES_CPU) |
		HAS(RES_MEMORY) | HAS(RES_PIDS) | HAS(RES_DISK) | HAS(RES_TIME) |
		HAS(PROC_ISOLATION) | HAS(SESSION_FRESH)},
	.kernel = PLAN_KERNEL_GUEST,
	.probe = container_probe,
	.compile = container_compile,
	.start = elsewhere_start,
	.signal = elsewhere_signal,
	.poll_exit = elsewhere_poll_exit,
	.usage = elsewhere_usage,
	.destroy = elsewhere_destroy,
};
