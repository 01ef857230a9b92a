/*
 * What a session under gVisor sees. "Scoped": an empty directory is the root, into which what is
 * listed is bound. "Broad": the host's tree is the root. Whatever is fresh (/tmp, home, /run) is a
 * sized file system of gVisor's own, in memory, and so are the covers over what is denied: an empty
 * directory nobody may enter, which gVisor puts over files and over paths that do not exist alike.
 * /proc, /sys and /dev are gVisor's own and tell nothing of the host.
 */
#include <errno.h>
#include <sys/stat.h>
#include <stdio.h>
#include <string.h>

#include "backends/foreign-door.h"
#include "backends/foreign.h"
#include "backends/gvisor.h"
#include "base/cleanup.h"

#define DISK_DEFAULT (64ULL << 20)
#define SMALL (64ULL << 10)

struct builder {
	const struct spec *spec;
	const struct host *host;
	struct plan *plan;
	struct gvisor_view *view;
	uint64_t disk;
	bool failed; /* out of memory */
};

void gvisor_view_fini(struct gvisor_view *view)
{
	free(view->home);
	free(view->start);
}

static void note(struct builder *b, const char *caveat)
{
	b->failed |= plan_add_caveat(b->plan, caveat) < 0;
}

static void add_tmpfs(
	struct builder *b, const char *target, mode_t mode, uint64_t size, uint32_t flags)
{
	struct plan_mount *mount = plan_add_mount(
		b->plan, PLAN_MOUNT_TMPFS, NULL, target, PLAN_NOSUID | PLAN_NODEV | flags);

	b->failed |= !mount;
	if (mount) {
		mount->mode = mode;
		mount->size = b->plan->without & PLAN_LAYER_DISK ? 0 : size;
	}
}

static void add_bind(struct builder *b, const char *source, const char *target, uint32_t flags)
{
	flags |= PLAN_NOSUID | PLAN_NODEV;
	if (b->plan->without & PLAN_LAYER_READ_ONLY) {
		flags &= ~(uint32_t)PLAN_READ_ONLY;
	}
	b->failed |= !plan_add_mount(b->plan, PLAN_MOUNT_BIND, source, target, flags);
}

static bool host_has(const struct builder *b, const char *path)
{
	for (uint32_t i = 0; gvisor_files[i]; i++) {
		if (strcmp(gvisor_files[i], path) == 0) {
			return gvisor_facts(b->host)->files >> i & 1;
		}
	}
	return true;
}

/* The place itself: on a merged system /bin and its like are links into /usr. */
static char *place_of(struct builder *b, const char *path)
{
	char *place = NULL;

	if (asprintf(&place, "%s%s", foreign_usr(b->host, path), path) < 0) {
		b->failed = true;
		return NULL;
	}
	return place;
}

/* Shows path where it is named, unless it is one of those that a host need not have. */
static bool bind_place(struct builder *b, const char *path, uint32_t flags)
{
	cleanup_free char *place = place_of(b, path);

	if (!place || !host_has(b, place)) {
		return false;
	}
	add_bind(b, place, path, PLAN_READ_ONLY | flags);
	return true;
}

/* What programs need to start. */
static void bind_runtime(struct builder *b)
{
	static const char *const runtime[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};
	bool added = false;

	for (size_t i = 0; i < ARRAY_SIZE(runtime); i++) {
		if (!spec_path_is_covered(runtime[i], b->spec->readable)) {
			added |= bind_place(b, runtime[i], PLAN_FOLLOW);
		}
	}
	if (added) {
		note(b, "fs.read_scope.runtime_added");
	}
}

static void add_file(struct builder *b, const char *name, const char *target, const char *content)
{
	char source[64];

	cleanup_free char *literal = foreign_literal(content);

	(void)snprintf(source, sizeof(source), "{dir}/%s", name);
	b->failed |= !literal || plan_add_file(b->plan, name, literal, 0644) < 0;
	add_bind(b, source, target, PLAN_READ_ONLY | PLAN_FOLLOW);
}

/* Enough of /etc that programs find their user, their names and their libraries. */
static void make_etc(struct builder *b)
{
	static const struct {
		const char *path;
		bool with_net;
	} from_host[] = {{"/etc/alternatives", false}, {"/etc/ld.so.cache", false},
		{"/etc/bash.bashrc", false}, {"/etc/localtime", false}, {"/etc/resolv.conf", true},
		{"/etc/ssl", true}, {"/etc/services", true}};
	const struct spec *spec = b->spec;
	const char *shell = spec->shell ? spec->shell : "/bin/sh";
	const char *user = spec->user ? spec->user : "user";
	const unsigned uid = b->plan->uid;
	char text[1024];

	(void)snprintf(text, sizeof(text),
		"%s%s:x:%u:%u:%s:%s:%s\n"
		"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		uid ? "root:x:0:0:root:/:/usr/sbin/nologin\n" : "", user, uid, b->plan->gid, user,
		b->view->home, shell);
	add_file(b, "passwd", "/etc/passwd", text);
	(void)snprintf(text, sizeof(text), "%s%s:x:%u:\nnogroup:x:65534:\n",
		uid ? "root:x:0:\n" : "", user, b->plan->gid);
	add_file(b, "group", "/etc/group", text);
	(void)snprintf(text, sizeof(text), "127.0.0.1 localhost %s\n::1 localhost\n",
		spec->hostname ? spec->hostname : "cloche");
	add_file(b, "hosts", "/etc/hosts", text);
	add_file(b, "nsswitch.conf", "/etc/nsswitch.conf",
		"passwd: files\ngroup: files\nhosts: files dns\n");
	for (size_t i = 0; i < ARRAY_SIZE(from_host); i++) {
		const char *path = from_host[i].path;
		if (!spec_path_is_covered(path, spec->readable) && host_has(b, path) &&
			(!from_host[i].with_net || spec->net == NET_ENABLE)) {
			add_bind(b, path, path, PLAN_READ_ONLY | PLAN_FOLLOW);
		}
	}
}

static void make_scoped(struct builder *b)
{
	b->failed |= plan_add_file(b->plan, "rootfs", "", S_IFDIR | 0755) < 0;
	bind_runtime(b);
	if (!spec_path_is_covered("/etc", b->spec->readable)) {
		make_etc(b);
	}
	for (size_t i = 0; b->spec->readable && b->spec->readable[i]; i++) {
		(void)bind_place(b, b->spec->readable[i], 0);
	}
}

static void make_scratch(struct builder *b)
{
	if (!spec_path_is_below(b->view->home, "/tmp") && !b->view->broad) {
		add_tmpfs(b, b->view->home, 0700, b->disk / 4, PLAN_USER);
	}
	if (!b->spec->allow_temp) {
		add_tmpfs(b, "/tmp", 01777, b->disk / 2, 0);
	}
	add_tmpfs(b, "/var/tmp", 01777, b->disk / 8, 0);
	add_tmpfs(b, "/dev/shm", 01777, b->disk / 8, 0);
	add_tmpfs(b, "/run", 0755, SMALL, 0);
}

/*
 * Old runsc: what lets ls and stat work there. Where /etc is the spec's own, nothing of ours is put
 * into it; where the root is the host's, runsc would make the places to mount at on the host.
 */
static void make_preload(struct builder *b)
{
	if (gvisor_facts(b->host)->systrap || b->view->broad ||
		spec_path_is_covered("/etc", b->spec->readable)) {
		return;
	}
	b->failed |= plan_add_bytes(b->plan, "statx.so", gvisor_statx_program, gvisor_statx_size,
			     0644) < 0;
	bool beside = foreign_door_has_page(b->spec, b->plan);
	if (!beside) {
		add_bind(b, "{dir}/statx.so", "/run/cloche-statx.so", PLAN_READ_ONLY | PLAN_FOLLOW);
	}
	add_file(b, "ld.so.preload", "/etc/ld.so.preload",
		beside ? FOREIGN_DOOR_BESIDE "\n" : "/run/cloche-statx.so\n");
	b->view->statx = true;
}

/* Devices that gVisor makes on its own and that no session needs. */
static void cover_devices(struct builder *b)
{
	static const char *const devices[] = {"/dev/fuse", "/dev/net"};

	for (size_t i = 0; i < ARRAY_SIZE(devices) && !(b->plan->without & PLAN_LAYER_DEV); i++) {
		add_tmpfs(b, devices[i], 0, SMALL, PLAN_READ_ONLY);
	}
}

static void make_scopes(struct builder *b)
{
	bool scoped = b->spec->write == WRITE_SCOPE || b->spec->write == WRITE_OVERLAY;
	bool any = false;

	if (b->spec->allow_temp) {
		add_bind(b, "/tmp", "/tmp", PLAN_FOLLOW);
		b->view->persistent = true;
	}
	for (size_t i = 0; scoped && b->spec->writable && b->spec->writable[i]; i++) {
		add_bind(b, b->spec->writable[i], b->spec->writable[i], 0);
		any = true;
	}
	if (any) {
		b->view->persistent = true;
		note(b, "fs.write_scope.hard_links");
		note(b, "fs.write_scope.disk_unbounded");
		note(b, "gvisor.scope_owner");
	}
}

/* Is the working directory one of the host's that the view shows read-only? */
static bool wants_overlay(const struct builder *b)
{
	static const char *const others[] = {"/tmp", "/proc", "/dev", "/run", "/sys", "/var/tmp"};
	const char *dir = b->spec->dir;

	if ((b->spec->write != WRITE_EPHEMERAL && b->spec->write != WRITE_OVERLAY) || !dir ||
		strcmp(dir, "/") == 0 || spec_path_is_covered(dir, b->spec->writable)) {
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (spec_path_is_below(dir, others[i])) {
			return false;
		}
	}
	return b->view->broad || spec_path_is_covered(dir, b->spec->readable);
}

static void make_overlay(struct builder *b)
{
	if (!wants_overlay(b)) {
		return;
	}
	/* One switch for the root, one for all: what a bind is to keep must not be among all. */
	b->view->overlay_root = b->view->broad;
	b->view->overlay_all = !b->view->broad && !b->view->persistent;
	b->view->no_overlay = !b->view->overlay_root && !b->view->overlay_all;
	note(b, b->view->no_overlay ? "gvisor.overlay_scoped" : "gvisor.overlay_unsized");
}

/* Of what is below /usr a scoped view has a second place, which is no link there. */
static void deny_alias(struct builder *b, const char *link, const char *denied)
{
	char usr[16];

	(void)snprintf(usr, sizeof(usr), "/usr%s", link);
	if (spec_path_is_below(denied, usr)) {
		add_tmpfs(b, denied + strlen("/usr"), 0, SMALL, PLAN_READ_ONLY | PLAN_FOLLOW);
	} else if (spec_path_is_below(usr, denied)) {
		add_tmpfs(b, link, 0, SMALL, PLAN_READ_ONLY | PLAN_FOLLOW);
	}
}

static void deny(struct builder *b, const char *path)
{
	cleanup_free char *place = place_of(b, path);

	if (!place) {
		return;
	}
	add_tmpfs(b, place, 0, SMALL, PLAN_READ_ONLY);
	for (size_t i = 0; b->host->merged_usr && !b->view->broad && foreign_usr_links[i]; i++) {
		deny_alias(b, foreign_usr_links[i], place);
	}
}

static void make_denials(struct builder *b)
{
	if (strv_length(b->spec->read_deny) == 0) {
		return;
	}
	for (size_t i = 0; b->spec->read_deny[i] && !(b->plan->without & PLAN_LAYER_READ_DENY);
		i++) {
		deny(b, b->spec->read_deny[i]);
	}
	note(b, "fs.read_deny.by_path");
}

static int choose_home(struct builder *b)
{
	const char *home = b->spec->home;

	if (!home && b->view->broad) {
		const char *env = strv_getenv(b->spec->env, "HOME");
		home = env && env[0] == '/' ? env : "/tmp";
	}
	if (home) {
		b->view->home = strdup(home);
	} else if (asprintf(&b->view->home, "/home/%s", b->spec->user ? b->spec->user : "user") <
		0) {
		b->view->home = NULL;
	}
	b->view->start = b->view->home ? strdup(b->view->broad ? "/" : b->view->home) : NULL;
	return b->view->start ? 0 : -ENOMEM;
}

int gvisor_view_compile(const struct spec *spec, const struct host *host, struct plan *plan,
	struct gvisor_view *ret)
{
	struct builder b = {.spec = spec,
		.host = host,
		.plan = plan,
		.view = ret,
		.disk = spec->disk ? spec->disk : DISK_DEFAULT};

	ret->broad = strv_length(spec->readable) == 0 || plan->without & PLAN_LAYER_MOUNT;
	plan->disk = plan->without & PLAN_LAYER_DISK ? 0 : b.disk;
	if (choose_home(&b) < 0) {
		return -ENOMEM;
	}
	b.failed |= !plan_add_mount(
		plan, PLAN_MOUNT_PROC, NULL, "/proc", PLAN_NOSUID | PLAN_NODEV | PLAN_NOEXEC);
	if (plan->without & PLAN_LAYER_MOUNT) {
		return b.failed ? -ENOMEM : 0;
	}
	if (!ret->broad) {
		make_scoped(&b);
	}
	make_scratch(&b);
	make_preload(&b);
	cover_devices(&b);
	make_scopes(&b);
	make_overlay(&b);
	make_denials(&b);
	return b.failed ? -ENOMEM : 0;
}
