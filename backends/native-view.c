/*
 * Two shapes of view. "Scoped": a fresh sized tmpfs is the root, and only what is listed is bound
 * into it. "Broad": the host's own tree, read-only, with everything that is alive in it (/proc,
 * /sys, /dev, /run, /tmp) covered. Order matters throughout: what comes later covers what came
 * before, so denials are last.
 */
#include "backends/native-view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/foreign.h"
#include "backends/linux/kernel.h"
#include "backends/linux/landlock.h"
#include "backends/promise.h"

#define DISK_DEFAULT (64ULL << 20)
#define SMALL (64ULL << 10)
#define BROAD_UPPER "/run/.cloche-upper"

struct builder {
	const struct spec *spec;
	const struct host *host;
	struct plan *plan;
	struct native_view *view;
	uint64_t disk;
	bool failed; /* out of memory */
};

void native_view_fini(struct native_view *view)
{
	free(view->home);
	free(view->start);
}

static struct plan_mount *add(struct builder *b, enum plan_mount_kind kind, const char *source,
	const char *target, uint32_t flags)
{
	static struct plan_mount spare;
	struct plan_mount *mount = plan_add_mount(b->plan, kind, source, target, flags);

	b->failed |= !mount;
	return mount ? mount : &spare;
}

static void add_dir(struct builder *b, const char *target, mode_t mode, uint32_t flags)
{
	add(b, PLAN_MOUNT_DIR, NULL, target, flags)->mode = mode;
}

static void add_tmpfs(
	struct builder *b, const char *target, mode_t mode, uint64_t size, uint32_t flags)
{
	struct plan_mount *mount =
		add(b, PLAN_MOUNT_TMPFS, NULL, target, PLAN_NOSUID | PLAN_NODEV | flags);

	mount->mode = mode;
	if (!(b->plan->without & PLAN_LAYER_DISK)) {
		mount->size = size;
		/* A file costs at least a page: as many files as pages, within reason. */
		mount->inodes = size / 4096 < 64 ? 64 : size / 4096;
	}
}

static void add_file(struct builder *b, const char *target, const char *content)
{
	struct plan_mount *mount = add(b, PLAN_MOUNT_FILE, NULL, target, 0);

	mount->mode = 0444;
	mount->content = strdup(content);
	b->failed |= !mount->content;
}

static void allow(struct builder *b, const char *path, uint64_t access)
{
	if (b->plan->landlock.abi > 0 && access) {
		b->failed |= plan_add_path_rule(b->plan, path, access) < 0;
	}
}

static void note(struct builder *b, const char *caveat)
{
	b->failed |= plan_add_caveat(b->plan, caveat) < 0;
}

static void note_once(struct builder *b, const char *caveat)
{
	if (!plan_has_caveat(b->plan, caveat)) {
		note(b, caveat);
	}
}

static uint64_t reading(const struct builder *b)
{
	return landlock_access_read(b->plan->landlock.abi);
}

static uint64_t writing(const struct builder *b)
{
	return landlock_access_read(b->plan->landlock.abi) |
		landlock_access_write(b->plan->landlock.abi);
}

/* On a merged system these are links into /usr, and a link is cheaper than a mount. */
static const char *usr_link(const struct host *host, const char *path)
{
	return *foreign_usr(host, path) && !strchr(path + 1, '/') ? path + 1 : NULL;
}

/* System directories hold programs; anything else may hold a socket somebody listens on. */
static bool is_system_path(const char *path)
{
	static const char *const system[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
		"/libx32", "/etc", "/opt", "/boot"};

	for (size_t i = 0; i < ARRAY_SIZE(system); i++) {
		if (spec_path_is_below(path, system[i])) {
			return true;
		}
	}
	return false;
}

static uint32_t bind_flags(const struct builder *b)
{
	return PLAN_NOSUID | PLAN_NODEV |
		(b->plan->without & PLAN_LAYER_READ_ONLY ? 0 : PLAN_READ_ONLY);
}

static void bind_readable(struct builder *b, const char *path)
{
	const char *link = usr_link(b->host, path);
	char source[64];

	if (b->spec->root == ROOT_DIRECTORY) {
		struct plan_mount *mount = add(b, PLAN_MOUNT_BIND, path, path,
			bind_flags(b) | PLAN_OPTIONAL | PLAN_IN_ROOT);
		mount->content = strdup(b->spec->root_path);
		b->failed |= !mount->content;
	} else if (link) {
		(void)snprintf(source, sizeof(source), "usr/%s", link);
		add(b, PLAN_MOUNT_SYMLINK, source, path, 0);
		return; /* Landlock follows the object, which is below /usr */
	} else {
		add(b, PLAN_MOUNT_BIND, path, path,
			bind_flags(b) | PLAN_OPTIONAL | (is_system_path(path) ? PLAN_FOLLOW : 0));
	}
	allow(b, path, reading(b));
}

static void bind_all_readable(struct builder *b)
{
	static const char *const runtime[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};
	bool added = false;

	for (size_t i = 0; i < ARRAY_SIZE(runtime); i++) {
		if (!spec_path_is_covered(runtime[i], b->spec->readable)) {
			bind_readable(b, runtime[i]);
			added = true;
		}
	}
	if (added) {
		note(b, "fs.read_scope.runtime_added");
	}
	for (size_t i = 0; b->spec->readable && b->spec->readable[i]; i++) {
		const char *path = b->spec->readable[i];
		b->view->host_sockets |= !is_system_path(path);
		bind_readable(b, path);
	}
}

/* What /etc/resolv.conf says where the way out is our own. */
static const char *resolver_text(const struct builder *b)
{
	return b->plan->net.resolver ? "nameserver 127.0.0.1\n"
				     : "# Names are resolved by the proxy on 127.0.0.1:1080.\n";
}

/* Enough of /etc that programs find their user, their names and their libraries. */
static void make_etc(struct builder *b)
{
	static const char *const from_host[] = {
		"/etc/alternatives", "/etc/ld.so.cache", "/etc/bash.bashrc", "/etc/localtime"};
	static const char *const with_net[] = {"/etc/ssl", "/etc/services", "/etc/resolv.conf"};
	const bool own_names =
		plan_has_way_out(b->plan); /* the host's resolv.conf means nothing inside */
	const struct spec *spec = b->spec;
	const char *name = spec->hostname ? spec->hostname : "cloche";
	const char *user = spec->user ? spec->user : "user";
	const char *shell = spec->shell ? spec->shell : "/bin/sh";
	char text[1024];

	(void)snprintf(text, sizeof(text),
		"root:x:0:0:root:/:/usr/sbin/nologin\n%s:x:%u:%u:%s:%s:%s\n"
		"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		user, b->plan->uid, b->plan->gid, user, b->view->home, shell);
	add_file(b, "/etc/passwd", text);
	(void)snprintf(
		text, sizeof(text), "root:x:0:\n%s:x:%u:\nnogroup:x:65534:\n", user, b->plan->gid);
	add_file(b, "/etc/group", text);
	(void)snprintf(text, sizeof(text), "127.0.0.1 localhost %s\n::1 localhost\n", name);
	add_file(b, "/etc/hosts", text);
	(void)snprintf(text, sizeof(text), "%s\n", name);
	add_file(b, "/etc/hostname", text);
	add_file(b, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
	for (size_t i = 0; i < ARRAY_SIZE(from_host); i++) {
		if (!spec_path_is_covered(from_host[i], spec->readable)) {
			add(b, PLAN_MOUNT_BIND, from_host[i], from_host[i],
				bind_flags(b) | PLAN_OPTIONAL | PLAN_FOLLOW);
		}
	}
	for (size_t i = 0;
		spec->net != NET_DISABLE && i < ARRAY_SIZE(with_net) - (own_names ? 1 : 0); i++) {
		if (!spec_path_is_covered(with_net[i], spec->readable)) {
			add(b, PLAN_MOUNT_BIND, with_net[i], with_net[i],
				bind_flags(b) | PLAN_OPTIONAL | PLAN_FOLLOW);
		}
	}
	if (own_names) {
		add_file(b, "/etc/resolv.conf", resolver_text(b));
	}
	allow(b, "/etc", reading(b));
}

/* Is this a directory of the host's that the view shows read-only? */
static bool wants_overlay(const struct builder *b)
{
	const char *dir = b->spec->dir;

	if ((b->spec->write != WRITE_EPHEMERAL && b->spec->write != WRITE_OVERLAY) || !dir ||
		strcmp(dir, "/") == 0 || spec_path_is_below(dir, "/tmp") ||
		spec_path_is_below(dir, "/proc") || spec_path_is_below(dir, "/dev") ||
		spec_path_is_below(dir, "/run") || spec_path_is_covered(dir, b->spec->writable)) {
		return false;
	}
	return b->view->broad || spec_path_is_covered(dir, b->spec->readable);
}

/*
 * In a home that is full files can be removed, and nothing written: Landlock tells the two apart, unless a rule for
 * what is above gives more. A mount does not, so that without Landlock nothing is changed there at all.
 */
static bool removes_alone(const struct builder *b)
{
	const char *home = b->view->home;

	return b->plan->landlock.abi > 0 && !spec_path_is_covered(home, b->spec->writable) &&
		!spec_path_is_below(home, "/tmp") && !spec_path_is_below(home, "/var/tmp") &&
		!spec_path_is_below(home, "/dev") && !wants_overlay(b);
}

static uint64_t using_home(const struct builder *b)
{
	return b->spec->home_source && b->spec->home_full
		? reading(b) | KERNEL_LL_REMOVE_FILE | KERNEL_LL_REMOVE_DIR
		: writing(b);
}

/*
 * A fresh directory, or one of the host's that belongs to this user's sessions alone: the owner it has there
 * appears as the session's user, whatever ids the session has.
 */
static void make_home(struct builder *b)
{
	if (!b->spec->home_source) {
		add_dir(b, b->view->home, 0700, PLAN_USER);
		return;
	}
	add(b, PLAN_MOUNT_BIND, b->spec->home_source, b->view->home,
		PLAN_NOSUID | PLAN_NODEV | (b->host->root ? PLAN_IDMAP : 0) |
			(b->spec->home_full && !removes_alone(b) ? PLAN_READ_ONLY : 0));
	b->view->has_scopes = true;
	/* Other sessions of the same user may listen there. */
	b->view->host_sockets = true;
	note(b, "home.persistent");
	note(b, b->spec->home_quota ? "home.quota" : "fs.write_scope.disk_unbounded");
	if (b->spec->home_full) {
		note(b, "home.full");
	}
	note(b, "fs.write_scope.set_id");
	note(b, "fs.write_scope.shares_sockets");
}

static void scoped_root(struct builder *b)
{
	add_tmpfs(b, "/", 0755, b->disk, 0);
	bind_all_readable(b);
	if (!spec_path_is_covered("/etc", b->spec->readable)) {
		make_etc(b);
	}
	add_dir(b, "/run", 0755, 0);
	add_dir(b, "/var/tmp", 01777, 0);
	add(b, PLAN_MOUNT_SYMLINK, "../run", "/var/run", 0);
	if (!b->spec->allow_temp) {
		add_dir(b, "/tmp", 01777, 0);
	}
	make_home(b);
	/* Listing what is there is not reading it. */
	allow(b, "/", landlock_access_read(b->plan->landlock.abi) & KERNEL_LL_READ_DIR);
	allow(b, b->view->home, using_home(b));
	allow(b, "/var/tmp", writing(b));
}

/* Over the host's own, or at the end of its link into /run, which is covered. */
static void cover_resolver(struct builder *b)
{
	const char *path = b->host->resolv_conf;

	if (!plan_has_way_out(b->plan) || !*path) {
		return;
	}
	if (spec_path_is_below(path, "/run")) {
		add_file(b, path, resolver_text(b));
		return;
	}
	add_file(b, "/run/.cloche-resolv.conf", resolver_text(b));
	/* Where there is such a file, there is one here too: the tree is the host's. */
	add(b, PLAN_MOUNT_BIND, "/run/.cloche-resolv.conf", path,
		PLAN_INSIDE | PLAN_READ_ONLY | PLAN_NOSUID | PLAN_NODEV | PLAN_NOEXEC);
}

static void broad_root(struct builder *b)
{
	add(b, PLAN_MOUNT_BIND, "/", "/", bind_flags(b));
	add_tmpfs(b, "/run", 0755, SMALL, 0);
	if (!b->spec->allow_temp) {
		add_tmpfs(b, "/tmp", 01777, b->disk / (wants_overlay(b) ? 4 : 2), 0);
		add(b, PLAN_MOUNT_BIND, "/tmp", "/var/tmp", PLAN_INSIDE | PLAN_NOSUID | PLAN_NODEV);
	}
	add(b, PLAN_MOUNT_MASK, NULL, "/sys", PLAN_OPTIONAL);
	cover_resolver(b);
	b->view->host_sockets = true;
	allow(b, "/", reading(b));
	allow(b, "/var/tmp", writing(b));
}

/* The lessons' and tests' view with the mount layer taken away: the host's tree as it is. */
static void bare_root(struct builder *b)
{
	add(b, PLAN_MOUNT_BIND, "/", "/", 0);
	b->view->host_sockets = true;
	allow(b, "/", landlock_access_all(b->plan->landlock.abi));
}

static void make_dev(struct builder *b)
{
	static const char *const nodes[] = {
		"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
	static const struct {
		const char *text, *path;
	} links[] = {{"pts/ptmx", "/dev/ptmx"}, {"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"}};
	struct plan_mount *pts = NULL;

	if (b->plan->without & PLAN_LAYER_DEV) {
		if (!b->view->broad) {
			add(b, PLAN_MOUNT_BIND, "/dev", "/dev", 0);
		}
		allow(b, "/dev", landlock_access_all(b->plan->landlock.abi));
		return;
	}
	if (b->view->broad) {
		add_tmpfs(b, "/dev", 0755, SMALL, PLAN_NOEXEC);
	}
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		add(b, PLAN_MOUNT_DEVICE, nodes[i], nodes[i], 0);
	}
	pts = add(b, PLAN_MOUNT_DEVPTS, NULL, "/dev/pts", PLAN_NOSUID | PLAN_NOEXEC);
	pts->mode = 0620;
	pts->size = 64;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		add(b, PLAN_MOUNT_SYMLINK, links[i].text, links[i].path, 0);
	}
	if (b->plan->namespaces & PLAN_NS_IPC) {
		add(b, PLAN_MOUNT_MQUEUE, NULL, "/dev/mqueue",
			PLAN_NOSUID | PLAN_NODEV | PLAN_NOEXEC);
		allow(b, "/dev/mqueue", writing(b));
	}
	if (b->view->broad) {
		add_tmpfs(b, "/dev/shm", 01777, b->disk / 4, 0);
	} else {
		add_dir(b, "/dev/shm", 01777, 0);
	}
	allow(b, "/dev", landlock_access_device(b->plan->landlock.abi) | KERNEL_LL_READ_DIR);
	allow(b, "/dev/shm", writing(b));
}

/*
 * Ours is mounted while the host's is still to be seen, which the kernel asks for. What is masked
 * tells of the host or of other users; what is read-only would change it.
 */
static void make_proc(struct builder *b)
{
	static const char *const masked[] = {"/proc/acpi", "/proc/asound", "/proc/bus",
		"/proc/cmdline", "/proc/config.gz", "/proc/diskstats", "/proc/driver",
		"/proc/interrupts", "/proc/iomem", "/proc/ioports", "/proc/kallsyms", "/proc/kcore",
		"/proc/key-users", "/proc/keys", "/proc/kmsg", "/proc/latency_stats",
		"/proc/modules", "/proc/mtrr", "/proc/partitions", "/proc/sched_debug",
		"/proc/scsi", "/proc/slabinfo", "/proc/swaps", "/proc/sys/kernel/random/boot_id",
		"/proc/sysrq-trigger", "/proc/timer_list", "/proc/timer_stats",
		"/proc/vmallocinfo"};
	static const char *const read_only[] = {"/proc/fs", "/proc/irq", "/proc/sys"};
	uint32_t flags = PLAN_NOSUID | PLAN_NODEV | PLAN_NOEXEC;
	bool mask = !(b->plan->without & (PLAN_LAYER_MASKS | PLAN_LAYER_DEV));

	if (!(b->plan->namespaces & PLAN_NS_PID)) {
		add(b, PLAN_MOUNT_BIND, "/proc", "/proc", flags);
	} else {
		add(b, PLAN_MOUNT_PROC, NULL, "/proc", flags);
	}
	/* Read-only first: it makes all devices below unusable, and a mask may be one. */
	for (size_t i = 0; mask && i < ARRAY_SIZE(read_only); i++) {
		add(b, PLAN_MOUNT_RDONLY, NULL, read_only[i], PLAN_OPTIONAL);
	}
	for (size_t i = 0; mask && i < ARRAY_SIZE(masked); i++) {
		add(b, PLAN_MOUNT_MASK, NULL, masked[i], PLAN_OPTIONAL);
	}
	allow(b, "/proc", reading(b) | KERNEL_LL_WRITE_FILE);
}

static void make_temp(struct builder *b)
{
	if (b->spec->allow_temp) {
		add(b, PLAN_MOUNT_BIND, "/tmp", "/tmp", PLAN_NOSUID | PLAN_NODEV | PLAN_FOLLOW);
		b->view->host_sockets = true;
	}
	allow(b, "/tmp", writing(b));
}

static void make_scopes(struct builder *b)
{
	bool scoped = b->spec->write == WRITE_SCOPE || b->spec->write == WRITE_OVERLAY;
	bool any = false;

	for (size_t i = 0; scoped && b->spec->writable && b->spec->writable[i]; i++) {
		add(b, PLAN_MOUNT_BIND, b->spec->writable[i], b->spec->writable[i],
			PLAN_NOSUID | PLAN_NODEV | (b->host->root ? PLAN_IDMAP : 0));
		allow(b, b->spec->writable[i], writing(b));
		any = true;
	}
	if (any) {
		b->view->has_scopes = true;
		b->view->host_sockets = true;
		note(b, "fs.write_scope.hard_links");
		note_once(b, "fs.write_scope.set_id");
		note_once(b, "fs.write_scope.disk_unbounded");
		note_once(b, "fs.write_scope.shares_sockets");
	}
}

static void make_overlay(struct builder *b)
{
	struct plan_mount *overlay = NULL;

	if (!wants_overlay(b)) {
		return;
	}
	if (b->view->broad && b->host->overlay) {
		add_tmpfs(b, BROAD_UPPER, 0700, b->disk / 2, 0);
	}
	if (!b->host->overlay) {
		b->view->no_overlay = true;
		note(b, "fs.overlay.unavailable");
		return;
	}
	overlay = add(b, PLAN_MOUNT_OVERLAY, b->spec->dir, b->spec->dir,
		PLAN_NOSUID | PLAN_NODEV | (b->host->root ? PLAN_IDMAP : 0));
	overlay->content = strdup(b->view->broad ? BROAD_UPPER "/0" : "/.cloche-upper");
	b->failed |= !overlay->content;
	allow(b, b->spec->dir, writing(b));
}

static void make_denials(struct builder *b)
{
	if (strv_length(b->spec->read_deny) == 0) {
		return;
	}
	for (size_t i = 0; !(b->plan->without & PLAN_LAYER_READ_DENY) && b->spec->read_deny[i];
		i++) {
		add(b, PLAN_MOUNT_MASK, NULL, b->spec->read_deny[i], PLAN_OPTIONAL);
	}
	note(b, "fs.read_deny.by_path");
	note(b, "fs.read_deny.absent_path");
}

static int choose_home(struct builder *b)
{
	const char *user = b->spec->user ? b->spec->user : "user";
	const char *home = b->spec->home;

	if (!home && b->view->broad) {
		const char *env = strv_getenv(b->spec->env, "HOME");
		home = env && env[0] == '/' ? env : "/tmp";
	}
	b->view->home = NULL;
	if (home) {
		b->view->home = strdup(home);
	} else if (asprintf(&b->view->home, "/home/%s", user) < 0) {
		b->view->home = NULL;
	}
	b->view->start = b->view->home ? strdup(b->view->broad ? "/" : b->view->home) : NULL;
	return b->view->home && b->view->start ? 0 : -ENOMEM;
}

uint32_t native_view_grounds(const struct spec *spec, const struct native_view *view)
{
	return (view->broad ? PROMISE_BROAD_VIEW : PROMISE_LISTED_VIEW) |
		(view->host_sockets ? 0 : PROMISE_NO_HOST_SOCKETS) |
		(view->no_overlay ? 0 : PROMISE_THROW_AWAY) |
		(view->has_scopes || spec->allow_temp ? 0 : PROMISE_NOTHING_PERSISTS);
}

int native_view_compile(const struct spec *spec, const struct host *host, struct plan *plan,
	struct native_view *ret, struct err *err)
{
	struct builder builder = {.spec = spec,
		.host = host,
		.plan = plan,
		.view = ret,
		.disk = spec->disk ? spec->disk : DISK_DEFAULT};

	ret->broad = strv_length(spec->readable) == 0 && spec->root == ROOT_HOST;
	plan->disk = plan->without & PLAN_LAYER_DISK ? 0 : builder.disk;
	if (choose_home(&builder) < 0) {
		return -ENOMEM;
	}
	if (plan->without & PLAN_LAYER_MOUNT) {
		(void)strcpy(ret->start, "/");
		bare_root(&builder);
		return builder.failed ? -ENOMEM : 0;
	}
	if (ret->broad) {
		broad_root(&builder);
		note(&builder, "fs.read_host.sockets_reachable");
	} else {
		scoped_root(&builder);
	}
	make_dev(&builder);
	make_proc(&builder);
	make_temp(&builder);
	make_scopes(&builder);
	make_overlay(&builder);
	make_denials(&builder);
	return builder.failed ? -ENOMEM : 0;
}
