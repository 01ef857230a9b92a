/*
 * What a container has: its mounts, limits, identity and files; and what an engine cannot do, which
 * is refused here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "backends/containers.h"
#include "backends/foreign-door.h"
#include "backends/foreign.h"
#include "backends/gvisor.h"
#include "backends/oci.h"
#include "base/buf.h"

#define PROFILE_DIR "/etc/profile.d"
#define DISK_DEFAULT (64ULL << 20)

/*
 * Without a user namespace an id inside is the same id outside. This one lies above what useradd
 * gives (up to 600100000 on Debian) and below the ranges of our own native sessions, so it is nobody.
 */
#define SESSION_ID UINT32_C(603915240)

/* ---- what cannot be done ---- */

/* Does something that is bound lie at path, below it or above it? */
static bool touches(char *const *list, const char *path)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (spec_path_is_below(path, list[i]) || spec_path_is_below(list[i], path)) {
			return true;
		}
	}
	return false;
}

static int refuse_paths(char *const *list, const char *key, struct err *err)
{
	/* What the engine gives every container lies there. */
	static const char *const taken[] = {"/proc", "/sys", "/dev"};

	for (size_t i = 0; list && list[i]; i++) {
		if (strpbrk(list[i], ",\n\r\"")) {
			return err_refuse(err, ENOTSUP,
				"%s: a path with a comma, a quote or a line's end cannot be said "
				"to the engine: '%s'",
				key, list[i]);
		}
		for (size_t j = 0; j < ARRAY_SIZE(taken); j++) {
			if (spec_path_is_below(list[i], taken[j])) {
				return err_refuse(err, ENOTSUP,
					"%s: %s is the container's own here", key, list[i]);
			}
		}
	}
	return 0;
}

static int refuse_environment(const struct spec *spec, struct err *err)
{
	for (size_t i = 0; spec->env && spec->env[i]; i++) {
		size_t name = strcspn(spec->env[i], "=");
		if (strpbrk(spec->env[i], "\n\r")) {
			return err_refuse(err, ENOTSUP,
				"env: the value of %.*s has more than one line, which this backend "
				"cannot pass on",
				(int)name, spec->env[i]);
		}
		if (strcspn(spec->env[i], " \t#") < name) {
			return err_refuse(err, ENOTSUP,
				"env: '%.*s' is no name that this backend can pass on", (int)name,
				spec->env[i]);
		}
	}
	return 0;
}

/*
 * Docker's daemon mounts its init at /sbin/docker-init, and /sbin is /usr/sbin in most images. Over a
 * directory of the host it finds no place for it. (Seen with 20.10; podman's is in /run.)
 */
static bool hides_init(const struct engine *engine, const struct spec *spec)
{
	static const char *const places[] = {"/usr/sbin", "/sbin"};
	bool hidden = false;

	for (size_t i = 0; !engine->podman && i < ARRAY_SIZE(places); i++) {
		hidden |= spec_path_is_covered(places[i], spec->readable) ||
			spec_path_is_covered(places[i], spec->writable);
	}
	return hidden;
}

int containers_refuse(
	const struct engine *engine, const struct spec *spec, uint32_t without, struct err *err)
{
	const struct promise_refusal table[] = {
		{spec->net != NET_DISABLE,
			"net: an engine's bridge reaches the host and its networks, and this "
			"backend does not filter it; use net: disable, or the native backend"},
		{spec->root == ROOT_DIRECTORY,
			"root: directory: this backend takes its root from an image; import it and "
			"use root: image"},
		{spec->root_path != NULL,
			"root_path: this backend knows images by name or id; use image"},
		{hides_init(engine, spec),
			"readable: docker puts its init in the image's /usr/sbin, which a "
			"directory of "
			"the host's would hide; list less, such as /usr/bin and /usr/lib, or use "
			"podman"},
		{spec->no_exec,
			"no_exec: the filter that keeps it would also keep the engine from "
			"starting the command; use native or gvisor"},
		{spec->allow_temp,
			"allow_temp: the host's /tmp is not shared with containers; name a path "
			"with writable"},
		{spec->ids == IDS_SINGLE,
			"ids: single: an engine's containers do not run as the caller; use auto"},
		{engine->runtime && spec->memory > 0 && spec->memory < GVISOR_MEMORY_LEAST,
			"memory: runsc itself takes about 40 MiB of it; use 96M or more"},
		{spec->ids == IDS_RANGE,
			"ids: range: this backend has one id for all its sessions; use auto"},
	};

	int r = promise_refuse_any(table, ARRAY_SIZE(table), err);
	if (r < 0) {
		return r;
	}
	if (without & ~engine->layers) {
		unsigned bit = (unsigned)__builtin_ctz(without & ~engine->layers);
		return err_refuse(err, ENOTSUP,
			"without: '%s' is no layer that this backend can leave out",
			plan_layer_names[bit]);
	}
	STRV_FOREACH (path, spec->read_deny) {
		if (touches(spec->readable, *path) || touches(spec->writable, *path)) {
			return err_refuse(err, ENOTSUP,
				"read_deny: %s cannot be taken out of a path that is bound; list "
				"less, or use native",
				*path);
		}
	}
	r = refuse_paths(spec->readable, "readable", err);
	r = r < 0 ? r : refuse_paths(spec->writable, "writable", err);
	return r < 0 ? r : refuse_environment(spec, err);
}

/* ---- the plan ---- */

static void add_tmpfs(
	struct container_builder *b, const char *target, mode_t mode, uint64_t size, uint32_t flags)
{
	struct plan_mount *mount = plan_add_mount(
		b->plan, PLAN_MOUNT_TMPFS, NULL, target, PLAN_NOSUID | PLAN_NODEV | flags);

	b->failed |= !mount;
	if (!mount) {
		return;
	}
	mount->mode = mode;
	if (!(b->plan->without & PLAN_LAYER_DISK)) {
		mount->size = size / 4096 * 4096;
		mount->inodes = b->engine->podman ? 0 : (size / 4096 < 64 ? 64 : size / 4096);
	}
}

static void add_bind(
	struct container_builder *b, const char *source, const char *target, uint32_t flags)
{
	b->failed |= !plan_add_mount(b->plan, PLAN_MOUNT_BIND, source, target, flags);
}

/* System directories hold programs; anything else may hold a socket somebody listens on. */
static bool is_system_path(const char *path)
{
	static const char *const system[] = {
		"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/opt", "/boot"};

	for (size_t i = 0; i < ARRAY_SIZE(system); i++) {
		if (spec_path_is_below(path, system[i])) {
			return true;
		}
	}
	return false;
}

static void choose_places(struct container_builder *b)
{
	uint64_t disk = b->spec->disk ? b->spec->disk : DISK_DEFAULT;

	b->plan->disk = b->plan->without & PLAN_LAYER_DISK ? 0 : disk;
	add_tmpfs(b, "/run", 0755, 65536 / 4, 0);
	add_tmpfs(b, "/tmp", 01777, disk / 4, 0);
	add_tmpfs(b, "/var/tmp", 01777, disk / 8, 0);
	add_tmpfs(b, "/dev/shm", 01777, disk / 8, 0);
	if (!spec_path_is_below(b->home, "/tmp") &&
		!spec_path_is_covered(b->home, b->spec->writable)) {
		add_tmpfs(b, b->home, 0700, disk * 7 / 16, PLAN_USER);
	}
}

/*
 * What tells of the host and its hardware. Docker's daemon refuses mounts below /proc, and what it
 * masks there by itself is not all of it.
 */
static void choose_masks(struct container_builder *b)
{
	static const char *const below_proc[] = {"/proc/asound", "/proc/cmdline", "/proc/config.gz",
		"/proc/diskstats", "/proc/driver", "/proc/interrupts", "/proc/iomem",
		"/proc/ioports", "/proc/kallsyms", "/proc/key-users", "/proc/kmsg", "/proc/modules",
		"/proc/mtrr", "/proc/partitions", "/proc/slabinfo", "/proc/swaps",
		"/proc/sys/kernel/random/boot_id", "/proc/vmallocinfo"};
	bool deep = b->engine->podman;

	if (b->plan->without & PLAN_LAYER_MASKS || b->engine->runtime) {
		return;
	}
	for (size_t i = 0; deep && i < ARRAY_SIZE(below_proc); i++) {
		b->failed |= !plan_add_mount(b->plan, PLAN_MOUNT_MASK, NULL, below_proc[i], 0);
	}
	b->failed |= !plan_add_mount(b->plan, PLAN_MOUNT_MASK, NULL, "/sys", 0);
}

static void choose_binds(struct container_builder *b)
{
	const struct spec *spec = b->spec;
	bool scoped = spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY;
	uint32_t host = PLAN_NOSUID | PLAN_NODEV;
	uint32_t readable = host | (b->plan->without & PLAN_LAYER_READ_ONLY ? 0 : PLAN_READ_ONLY);

	for (size_t i = 0; spec->readable && spec->readable[i]; i++) {
		b->host_sockets |= !is_system_path(spec->readable[i]);
		add_bind(b, spec->readable[i], spec->readable[i], readable);
	}
	for (size_t i = 0; scoped && spec->writable && spec->writable[i]; i++) {
		b->host_sockets = b->persistent = true;
		add_bind(b, spec->writable[i], spec->writable[i], host);
	}
	add_bind(b, "{dir}/passwd", "/etc/passwd", PLAN_READ_ONLY);
	add_bind(b, "{dir}/group", "/etc/group", PLAN_READ_ONLY);
	if (b->plan->without & PLAN_LAYER_DEV) {
		add_bind(b, "/dev", "/dev", 0);
	}
	/* Throw-away writes over a host's directory would take an upper layer, which no engine gives. */
	b->no_overlay = (spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY) &&
		spec->dir && spec_path_is_covered(spec->dir, spec->readable) &&
		!spec_path_is_covered(spec->dir, spec->writable);
}

static void choose_identity(struct plan *plan)
{
	plan->uid = plan->gid = SESSION_ID;
	plan->namespaces = PLAN_NS_MOUNT | PLAN_NS_PID | PLAN_NS_NET | PLAN_NS_IPC | PLAN_NS_UTS |
		PLAN_NS_CGROUP;
	plan->namespaces &= ~(uint32_t)((plan->without & PLAN_LAYER_PID ? PLAN_NS_PID : 0) |
		(plan->without & PLAN_LAYER_NET ? PLAN_NS_NET : 0) |
		(plan->without & PLAN_LAYER_IPC ? PLAN_NS_IPC : 0) |
		(plan->without & PLAN_LAYER_UTS ? PLAN_NS_UTS : 0));
}

/*
 * Hard limits are at most what most daemons have themselves. RLIMIT_NPROC counts all sessions, which
 * share an id; podman's own number is more than many hosts allow.
 */
static void choose_limits(struct container_builder *b)
{
	const struct spec *spec = b->spec;
	struct plan *plan = b->plan;

	plan_add_rlimit(plan, "core", RLIMIT_CORE, 0, 0);
	plan_add_rlimit(plan, "nofile", RLIMIT_NOFILE, 1024, 4096);
	if (b->engine->runtime && spec->pids > 0) {
		/* Counted by a kernel that serves nobody else. */
		plan_add_rlimit(plan, "nproc", RLIMIT_NPROC, spec->pids, spec->pids);
	} else if (b->engine->podman) {
		plan_add_rlimit(plan, "nproc", RLIMIT_NPROC, 16384, 16384);
	}
	plan->memory = spec->memory;
	plan->pids =
		b->engine->runtime && spec->pids > 0 ? gvisor_host_tasks(spec->pids) : spec->pids;
	plan->cpu_milli = spec->cpu_milli;
	plan->timeout = plan->without & PLAN_LAYER_TIME ? 0 : spec->timeout;
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		plan->cgroup_version[i] =
			plan->without & PLAN_LAYER_CGROUP ? 0 : b->host->cgroup[i].version;
	}
}

/* ---- files ---- */

static void add_file(
	struct container_builder *b, const char *name, const char *content, mode_t mode)
{
	cleanup_free char *literal = content ? foreign_literal(content) : NULL;

	b->failed |= !literal || plan_add_file(b->plan, name, literal, mode) < 0;
}

static void make_files(struct container_builder *b)
{
	const struct plan *plan = b->plan;
	cleanup(buf_fini) struct buf env = {0};
	const bool old = b->engine->runtime && b->filtered && !gvisor_facts(b->host)->systrap;
	cleanup_free char *filter = oci_seccomp_json(old ? OCI_SECCOMP_OLD_RUNSC : 0);
	char text[1024];

	(void)snprintf(text, sizeof(text),
		"root:x:0:0:root:/:/usr/sbin/nologin\n%s:x:%u:%u:%s:%s:%s\n"
		"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		plan->user, plan->uid, plan->gid, plan->user, b->home,
		b->spec->shell ? b->spec->shell : "/bin/sh");
	add_file(b, "passwd", text, 0444);
	(void)snprintf(text, sizeof(text), "root:x:0:\ntty:x:5:\n%s:x:%u:\nnogroup:x:65534:\n",
		plan->user, plan->gid);
	add_file(b, "group", text, 0444);
	STRV_FOREACH (variable, plan->env) {
		buf_printf(&env, "%s\n", *variable);
	}
	buf_put(&env, "", 1);
	add_file(b, "env", env.failed ? NULL : (const char *)env.data, 0600);
	if (!(plan->without & PLAN_LAYER_FILTER) && b->filtered) {
		add_file(b, "seccomp.json", filter, 0600);
	}
}

/* What lets ls and stat work on gVisor of 2022. */
static void choose_preload(struct container_builder *b)
{
	if (b->engine->runtime && !spec_path_is_covered("/etc", b->spec->readable)) {
		b->failed |= plan_add_bytes(b->plan, "statx.so", gvisor_statx_program,
				     gvisor_statx_size, 0644) < 0;
		bool beside = foreign_door_has_page(b->spec, b->plan);
		add_file(b, "ld.so.preload",
			beside ? FOREIGN_DOOR_BESIDE "\n" : "/run/cloche-statx.so\n", 0444);
		if (!beside) {
			add_bind(b, "{dir}/statx.so", "/run/cloche-statx.so", PLAN_READ_ONLY);
		}
		add_bind(b, "{dir}/ld.so.preload", "/etc/ld.so.preload", PLAN_READ_ONLY);
		b->statx = true;
	}
}

/*
 * In most images login shells are given a PATH by /etc/profile, which reads what lies in profile.d; but a file that is
 * missing there would be made for the mount, and that must not be in a directory of the host's.
 */
static void choose_door(struct container_builder *b)
{
	static const char text[] = "case \":$PATH:\" in\n*:/run/cloche/bin:*) ;;\n"
				   "*) PATH=$PATH:/run/cloche/bin ;;\nesac\n";

	b->failed |= foreign_door_compile(b->spec, b->plan,
			     b->engine->runtime ? FOREIGN_DOOR_PAGE : FOREIGN_DOOR_BOUND) < 0;
	if (foreign_door_is_in(b->plan) && !touches(b->spec->readable, PROFILE_DIR) &&
		!touches(b->spec->writable, PROFILE_DIR)) {
		add_file(b, "why.sh", text, 0444);
		add_bind(b, "{dir}/why.sh", PROFILE_DIR "/cloche-why.sh", PLAN_READ_ONLY);
	}
}

void containers_choose(struct container_builder *b)
{
	choose_identity(b->plan);
	choose_limits(b);
	choose_masks(b);
	choose_places(b);
	choose_binds(b);
	choose_preload(b);
	choose_door(b);
	make_files(b);
}
