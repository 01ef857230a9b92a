/*
 * The docker and podman backends: one container a session, made for it and gone with it. What the
 * engines do alike is code here, where they differ is a row of engines[].
 *
 *	before	create	the engine checks the image, the mounts and the limits, and runs nothing
 *	tool	start	attached; its streams are the session's, its exit status is the command's
 *	kill	kill	by the name that {id} gives
 *	after	rm	also when the server, the tool or the container are gone
 *
 * Creating and starting are two steps, so that no request to create is under way when a session is
 * cut off: what exists then has a name and is removed by it.
 *
 * The processes of a container are children of the engine's daemon (docker) or of its monitor
 * (podman), not of the keeper. So the engine keeps the limits, and whatever is asked about a session
 * is asked by the container's first process, as the engine names it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backends/backend.h"
#include "backends/foreign.h"
#include "backends/keeper.h"
#include "backends/oci.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"

#define IMAGE_DEFAULT "cloche-base"
#define IMAGE_ID "sha256:"
#define DISK_DEFAULT (64ULL << 20)
#define NAME "cloche-{id}"
#define TOOL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/*
 * Without a user namespace an id inside is the same id outside. This one lies above what useradd
 * gives (up to 600100000 on Debian) and below the ranges of our own native sessions, so it is nobody.
 */
#define SESSION_ID UINT32_C(603915240)

#define ASK_TIMEOUT_MS 20000
#define START_TIMEOUT_MS 60000

struct engine {
	const char *name; /* of the backend */
	const char *tool; /* its command line */
	bool podman;
	const char *const *options; /* what create is told beyond the rest */
	const char *const *start; /* what start is told, before the name */
	const char *started; /* how events are asked for past starts, before the name's filter */
	uint32_t layers; /* enum plan_layer: that can be left out */
	struct capability_set enforces;
};

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)
#define KEPT_BY_ALL                                                                                \
	(HAS(NET_DISABLE) | HAS(FS_READ_SCOPE) | HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) |        \
		HAS(FS_WRITE_EPHEMERAL) | HAS(ENV_SCRUB) | HAS(IPC_RESTRICT) | HAS(RES_CPU) |      \
		HAS(RES_MEMORY) | HAS(RES_PIDS) | HAS(RES_DISK) | HAS(RES_TIME) |                  \
		HAS(PROC_ISOLATION) | HAS(DEV_MINIMAL) | HAS(SESSION_FRESH))
#define KEPT (KEPT_BY_ALL | HAS(KERNEL_FILTER) | HAS(TTY_ISOLATE))

#define LAYERS                                                                                     \
	(PLAN_LAYER_FILTER | PLAN_LAYER_CGROUP | PLAN_LAYER_NO_NEW_PRIVS | PLAN_LAYER_CAPS |       \
		PLAN_LAYER_NET | PLAN_LAYER_PID | PLAN_LAYER_IPC | PLAN_LAYER_UTS |                \
		PLAN_LAYER_DEV | PLAN_LAYER_ENV | PLAN_LAYER_READ_ONLY | PLAN_LAYER_DISK |         \
		PLAN_LAYER_TIME)

/* Nothing that a person types takes the terminal away from the container. */
static const char *const docker_start[] = {
	"--detach-keys", "ctrl-^,ctrl-_,ctrl-^,ctrl-_,ctrl-^,ctrl-@", NULL};
static const char *const podman_start[] = {"--detach-keys", "", "--sig-proxy=false", NULL};

static const char *const docker_options[] = {NULL};

/* What podman would add by itself: proxies of ours, temporary places, services of systemd. */
static const char *const podman_options[] = {"--http-proxy=false", "--read-only-tmpfs=false",
	"--systemd=false", "--sdnotify=ignore", "--image-volume=ignore", NULL};

static const struct engine engines[] = {
	{"docker", "docker", false, docker_options, docker_start, "--until=0s", LAYERS, {KEPT}},
	{"podman", "podman", true, podman_options, podman_start, "--stream=false",
		LAYERS | PLAN_LAYER_MASKS, {KEPT}},
};

struct container {
	struct sandbox base;
	const struct engine *engine;
	struct keeper keeper;
	struct cgroup cgroup; /* the container's own, for reading */
	struct sandbox_usage used; /* as last seen: the engine removes the group at the end */
	int nudge; /* makes base.event readable when an answer brought the end with it */
};

/* ---- asking an engine outside of a session ---- */

static bool find_tool(const char *name, char *path, size_t size)
{
	static const char *const places[] = {
		"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		(void)snprintf(path, size, "%s/%s", places[i], name);
		if (access(path, X_OK) == 0) {
			return true;
		}
	}
	return false;
}

/* The tool's own environment: where its engine is, and nothing of the server's user. */
static int make_tool_env(
	const struct engine *engine, const struct host *host, const char *home, char ***ret)
{
	int r = strv_append(ret, "PATH=" TOOL_PATH);

	r = r < 0 ? r : strv_appendf(ret, "HOME=%s", home);
	if (!engine->podman) {
		r = r < 0 ? r : strv_appendf(ret, "DOCKER_HOST=%s", host->docker_host);
		return r < 0 ? r : strv_appendf(ret, "DOCKER_CONFIG=%s", home);
	}
	if (r == 0 && host->containers_conf[0]) {
		r = strv_appendf(ret, "CONTAINERS_CONF=%s", host->containers_conf);
	}
	if (r == 0 && host->containers_storage_conf[0]) {
		r = strv_appendf(ret, "CONTAINERS_STORAGE_CONF=%s", host->containers_storage_conf);
	}
	return r;
}

/* Reads to the end, into at most size bytes, NUL included. 0, -ETIMEDOUT, or negative errno. */
static int read_answer(int fd, char *text, size_t size)
{
	uint64_t until = io_now_usec() + ASK_TIMEOUT_MS * 1000ULL;
	size_t used = 0;

	for (;;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		uint64_t now = io_now_usec();
		char spare[256];
		ssize_t n = 0;
		if (now >= until || poll(&wait, 1, (int)((until - now) / 1000 + 1)) == 0) {
			return -ETIMEDOUT;
		}
		n = used + 1 < size ? read(fd, text + used, size - used - 1)
				    : read(fd, spare, sizeof(spare));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			text[used] = '\0';
			return n < 0 ? -errno : 0;
		}
		used += used + 1 < size ? (size_t)n : 0;
	}
}

/* The last line of text, in place. */
static const char *last_line(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && strchr("\n\r ", text[length - 1])) {
		text[--length] = '\0';
	}
	const char *line = strrchr(text, '\n');
	return line ? line + 1 : text;
}

/* Runs the engine's tool and waits for it. Its exit code, or negative errno. */
static int ask_tool(const struct engine *engine, const struct host *host, const char *const *words,
	char *answer, size_t size)
{
	cleanup(strv_freep) char **argv = NULL;
	cleanup(strv_freep) char **env = NULL;
	cleanup_close int read_end = -1;
	cleanup_close int write_end = -1;
	cleanup_close int pidfd = -1;
	char path[64];
	int status = 0;
	int ends[2];

	*answer = '\0';
	if (!find_tool(engine->tool, path, sizeof(path)) ||
		make_tool_env(engine, host, "/", &env) < 0 || strv_append(&argv, path) < 0) {
		return -ENOENT;
	}
	for (size_t i = 0; words[i]; i++) {
		if (strv_append(&argv, words[i]) < 0) {
			return -ENOMEM;
		}
	}
	if (pipe2(ends, O_CLOEXEC) < 0) {
		return -errno;
	}
	read_end = ends[0];
	write_end = ends[1];
	const int fds[3] = {-1, write_end, write_end};
	pidfd = proc_spawn(argv, env, fds, NULL);
	if (pidfd < 0) {
		return take_fd(&pidfd);
	}
	close_fdp(&write_end);
	int r = read_answer(read_end, answer, size);
	if (r < 0 || proc_wait(pidfd, ASK_TIMEOUT_MS, &status) < 0) {
		(void)proc_signal(pidfd, SIGKILL);
		(void)proc_wait(pidfd, -1, &status);
		return r < 0 ? r : -ETIMEDOUT;
	}
	return proc_exit_code(status);
}

/* ---- can it run here ---- */

static int probe_socket(const struct host *host, struct err *err)
{
	static const char scheme[] = "unix://";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = host->docker_host + sizeof(scheme) - 1;
	cleanup_close int fd = -1;

	if (strncmp(host->docker_host, scheme, sizeof(scheme) - 1) != 0 ||
		strlen(path) >= sizeof(address.sun_path)) {
		return err_refuse(err, ENOTSUP,
			"DOCKER_HOST is %s: only a daemon on this host will do, by unix:///PATH",
			host->docker_host);
	}
	(void)strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		return err_refuse(err, ENOTSUP,
			"no Docker daemon answers at %s (%s); start dockerd, or say where it is "
			"with DOCKER_HOST",
			path, strerror(errno));
	}
	return 0;
}

static int probe(const struct engine *engine, const struct host *host, struct err *err)
{
	char path[64];

	if (!find_tool(engine->tool, path, sizeof(path))) {
		return err_refuse(err, ENOTSUP, "there is no %s here: apt-get install %s",
			engine->tool, engine->podman ? "podman" : "docker.io");
	}
	if (engine->podman && !host->root) {
		return err_refuse(err, ENOTSUP,
			"podman's containers are made by root here: without root their limits "
			"are not kept (use native)");
	}
	return engine->podman ? 0 : probe_socket(host, err);
}

/* ---- the image ---- */

static bool is_image_id(const char *image)
{
	size_t prefix = sizeof(IMAGE_ID) - 1;

	return image && strncmp(image, IMAGE_ID, prefix) == 0 && strlen(image) == prefix + 64 &&
		strspn(image + prefix, "0123456789abcdef") == 64;
}

/* The image's id. An image that declares a VOLUME would get a writable place without a bound. */
static int find_image(const struct engine *engine, const struct host *host, const char *name,
	char *id, size_t size, struct err *err)
{
	const char *const words[] = {"image", "inspect", "--format",
		"{{.Id}} {{if .Config.Volumes}}volumes{{else}}plain{{end}}", name, NULL};
	char answer[512];
	char digest[80];
	char kind[16];
	int r = ask_tool(engine, host, words, answer, sizeof(answer));

	if (r < 0) {
		return err_set(err, -r, "asking %s for the image %s", engine->tool, name);
	}
	if (r != 0) {
		return err_refuse(err, ENOTSUP,
			"%s has no image '%s' (%.120s); `./dev image %s` makes one", engine->tool,
			name, last_line(answer), engine->tool);
	}
	if (sscanf(answer, "%79s %15s", digest, kind) != 2) {
		return err_refuse(err, ENOTSUP, "%s speaks of the image %s in words unknown here",
			engine->tool, name);
	}
	if (strcmp(kind, "plain") != 0) {
		return err_refuse(err, ENOTSUP,
			"the image %s declares a VOLUME, a writable place without bounds; build it "
			"without",
			name);
	}
	(void)snprintf(id, size, "%s%s", strncmp(digest, IMAGE_ID, 7) == 0 ? "" : IMAGE_ID, digest);
	return is_image_id(id)
		? 0
		: err_refuse(err, ENOTSUP, "%s gives '%s' for an image's id", engine->tool, digest);
}

/* What compile() refuses anyway is handed on as it is. */
static int resolve(const struct engine *engine, const struct spec *spec, const struct host *host,
	struct spec *ret, struct err *err)
{
	const char *name = spec->image ? spec->image : IMAGE_DEFAULT;
	bool wanted = spec->root != ROOT_DIRECTORY && !spec->root_path;
	char id[96];
	int r = wanted ? probe(engine, host, err) : 0;

	if (r == 0 && wanted) {
		r = find_image(engine, host, name, id, sizeof(id), err);
	}
	if (r < 0) {
		return r;
	}
	if (spec_copy(spec, ret) < 0) {
		return err_set(err, ENOMEM, "resolving the image");
	}
	if (wanted) {
		free(ret->image);
		ret->image = strdup(id);
		ret->root = ROOT_IMAGE;
	}
	if (wanted && !ret->image) {
		spec_fini(ret);
		return err_set(err, ENOMEM, "resolving the image");
	}
	return 0;
}

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

static int refuse_unsupported(
	const struct engine *engine, const struct spec *spec, uint32_t without, struct err *err)
{
	const struct {
		bool holds;
		const char *why;
	} table[] = {
		{spec->net != NET_DISABLE,
			"net: an engine's bridge reaches the host and its networks, and this "
			"backend does not filter it; use net: disable, or the native backend"},
		{spec->root == ROOT_DIRECTORY,
			"root: directory: this backend takes its root from an image; import it and "
			"use root: image"},
		{spec->root_path != NULL,
			"root_path: this backend knows images by name or id; use image"},
		{spec->no_exec,
			"no_exec: the filter that keeps it would also keep the engine from "
			"starting the command; use native or gvisor"},
		{spec->allow_temp,
			"allow_temp: the host's /tmp is not shared with containers; name a path "
			"with writable"},
		{spec->ids == IDS_SINGLE,
			"ids: single: an engine's containers do not run as the caller; use auto"},
		{spec->ids == IDS_RANGE,
			"ids: range: this backend has one id for all its sessions; use auto"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].holds) {
			return err_refuse(err, ENOTSUP, "%s", table[i].why);
		}
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
	int r = refuse_paths(spec->readable, "readable", err);
	r = r < 0 ? r : refuse_paths(spec->writable, "writable", err);
	return r < 0 ? r : refuse_environment(spec, err);
}

/* ---- the plan ---- */

struct builder {
	const struct engine *engine;
	const struct spec *spec;
	const struct host *host;
	struct plan *plan;
	const char *home;
	bool host_sockets, persistent, no_overlay;
	bool failed; /* out of memory */
};

static void note(struct builder *b, bool holds, const char *caveat)
{
	b->failed |= holds && plan_add_caveat(b->plan, caveat) < 0;
}

static void add_tmpfs(
	struct builder *b, const char *target, mode_t mode, uint64_t size, uint32_t flags)
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

static void add_bind(struct builder *b, const char *source, const char *target, uint32_t flags)
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

static void choose_places(struct builder *b)
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
static void choose_masks(struct builder *b)
{
	static const char *const below_proc[] = {"/proc/asound", "/proc/cmdline", "/proc/config.gz",
		"/proc/diskstats", "/proc/driver", "/proc/interrupts", "/proc/iomem",
		"/proc/ioports", "/proc/kallsyms", "/proc/key-users", "/proc/kmsg", "/proc/modules",
		"/proc/mtrr", "/proc/partitions", "/proc/slabinfo", "/proc/swaps",
		"/proc/sys/kernel/random/boot_id", "/proc/vmallocinfo"};
	bool deep = b->engine->podman;

	if (b->plan->without & PLAN_LAYER_MASKS) {
		return;
	}
	for (size_t i = 0; deep && i < ARRAY_SIZE(below_proc); i++) {
		b->failed |= !plan_add_mount(b->plan, PLAN_MOUNT_MASK, NULL, below_proc[i], 0);
	}
	b->failed |= !plan_add_mount(b->plan, PLAN_MOUNT_MASK, NULL, "/sys", 0);
}

static void choose_binds(struct builder *b)
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
static void choose_limits(struct builder *b)
{
	const struct spec *spec = b->spec;
	struct plan *plan = b->plan;

	plan_add_rlimit(plan, "core", RLIMIT_CORE, 0, 0);
	plan_add_rlimit(plan, "nofile", RLIMIT_NOFILE, 1024, 4096);
	if (b->engine->podman) {
		plan_add_rlimit(plan, "nproc", RLIMIT_NPROC, 16384, 16384);
	}
	plan->memory = spec->memory;
	plan->pids = spec->pids;
	plan->cpu_milli = spec->cpu_milli;
	plan->timeout = plan->without & PLAN_LAYER_TIME ? 0 : spec->timeout;
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		plan->cgroup_version[i] =
			plan->without & PLAN_LAYER_CGROUP ? 0 : b->host->cgroup[i].version;
	}
}

/* ---- files ---- */

static void add_file(struct builder *b, const char *name, const char *content, mode_t mode)
{
	cleanup_free char *literal = content ? foreign_literal(content) : NULL;

	b->failed |= !literal || plan_add_file(b->plan, name, literal, mode) < 0;
}

static void make_files(struct builder *b)
{
	const struct plan *plan = b->plan;
	cleanup(buf_fini) struct buf env = {0};
	cleanup_free char *filter = oci_seccomp_json(0);
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
	if (!(plan->without & PLAN_LAYER_FILTER)) {
		add_file(b, "seccomp.json", filter, 0600);
	}
}

/* ---- what the engine is told ---- */

struct words {
	char **list;
	bool failed;
};

static void say(struct words *words, const char *text)
{
	words->failed |= strv_append(&words->list, text) < 0;
}

static void say_two(struct words *words, const char *option, const char *value)
{
	say(words, option);
	say(words, value);
}

static void say_number(struct words *words, const char *option, uint64_t value)
{
	say(words, option);
	words->failed |= strv_appendf(&words->list, "%llu", (unsigned long long)value) < 0;
}

/* A text of the session's, which is no placeholder of ours. */
static void say_literal(struct words *words, const char *text)
{
	cleanup_free char *literal = foreign_literal(text);

	words->failed |= !literal;
	if (literal) {
		say(words, literal);
	}
}

static void say_namespaces(const struct builder *b, struct words *words)
{
	const struct plan *plan = b->plan;

	say_two(words, "--network", plan->namespaces & PLAN_NS_NET ? "none" : "host");
	say_two(words, "--ipc", plan->namespaces & PLAN_NS_IPC ? "private" : "host");
	say_two(words, "--cgroupns", "private");
	if (!(plan->namespaces & PLAN_NS_PID)) {
		say_two(words, "--pid", "host");
	}
	if (plan->namespaces & PLAN_NS_UTS) {
		say_two(words, "--hostname", plan->hostname);
	} else {
		say_two(words, "--uts", "host");
	}
}

/* Podman's list of masks; docker's is said one by one, as mounts. */
static void say_masks(const struct builder *b, struct words *words)
{
	cleanup(buf_fini) struct buf list = {0};

	for (size_t i = 0; b->engine->podman && i < b->plan->mount_count; i++) {
		if (b->plan->mounts[i].kind == PLAN_MOUNT_MASK) {
			buf_printf(&list, "%s%s",
				list.size ? ":" : "mask=", b->plan->mounts[i].target);
		}
	}
	if (list.size) {
		buf_put(&list, "", 1);
		words->failed |= list.failed;
		say_two(words, "--security-opt", list.failed ? "" : (const char *)list.data);
	}
}

static void say_privileges(const struct builder *b, struct words *words)
{
	const uint32_t out = b->plan->without;

	if (!(out & PLAN_LAYER_READ_ONLY)) {
		say(words, "--read-only");
	}
	if (!(out & PLAN_LAYER_CAPS)) {
		say_two(words, "--cap-drop", "ALL");
	}
	if (!(out & PLAN_LAYER_NO_NEW_PRIVS)) {
		say_two(words, "--security-opt", "no-new-privileges");
	}
	say_two(words, "--security-opt",
		out & PLAN_LAYER_FILTER ? "seccomp=unconfined" : "seccomp={dir}/seccomp.json");
	say_masks(b, words);
}

static void say_limits(const struct builder *b, struct words *words)
{
	const struct plan *plan = b->plan;

	for (size_t i = 0; i < plan->rlimit_count; i++) {
		say(words, "--ulimit");
		words->failed |= strv_appendf(&words->list, "%s=%llu:%llu", plan->rlimits[i].name,
					 (unsigned long long)plan->rlimits[i].soft,
					 (unsigned long long)plan->rlimits[i].hard) < 0;
	}
	if (plan->without & PLAN_LAYER_CGROUP) {
		return;
	}
	if (plan->pids) {
		say_number(words, "--pids-limit", plan->pids);
	}
	if (plan->memory) {
		say_number(words, "--memory", plan->memory);
		say_number(words, "--memory-swap", plan->memory);
	}
	if (plan->cpu_milli) {
		say(words, "--cpus");
		words->failed |= strv_appendf(&words->list, "%llu.%03u",
					 (unsigned long long)(plan->cpu_milli / 1000),
					 (unsigned)(plan->cpu_milli % 1000)) < 0;
	}
}

static void say_tmpfs(const struct builder *b, const struct plan_mount *mount, struct words *words)
{
	cleanup(buf_fini) struct buf text = {0};

	if (strcmp(mount->target, "/dev/shm") == 0) {
		if (mount->size) {
			say_number(words, "--shm-size", mount->size);
		}
		return;
	}
	if (b->engine->podman) {
		buf_printf(&text, "type=tmpfs,destination=%s,tmpfs-mode=%o,notmpcopyup",
			mount->target, mount->mode);
	} else {
		buf_printf(&text, "%s:rw,nosuid,nodev,exec,mode=%o", mount->target, mount->mode);
	}
	if (mount->size) {
		buf_printf(&text, ",%s=%llu", b->engine->podman ? "tmpfs-size" : "size",
			(unsigned long long)mount->size);
	}
	if (mount->inodes) {
		buf_printf(&text, ",nr_inodes=%llu", (unsigned long long)mount->inodes);
	}
	if (mount->flags & PLAN_USER && b->engine->podman) {
		buf_printf(&text, ",U=true");
	} else if (mount->flags & PLAN_USER) {
		buf_printf(&text, ",uid=%u,gid=%u", b->plan->uid, b->plan->gid);
	}
	buf_put(&text, "", 1);
	words->failed |= text.failed;
	if (!text.failed) {
		say_two(words, b->engine->podman ? "--mount" : "--tmpfs", (const char *)text.data);
	}
}

/*
 * Never recursive: what is mounted below would stay writable. Docker's bind mounts take neither
 * nosuid nor nodev, a volume of its local driver does: it is a bind of a directory, made for this
 * container, and nothing of the image is copied into it.
 */
static void say_bind(const struct builder *b, const struct plan_mount *mount, struct words *words)
{
	bool ours = strncmp(mount->source, "{dir}/", 6) == 0;
	bool read_only = mount->flags & PLAN_READ_ONLY;
	cleanup_free char *source = ours ? strdup(mount->source) : foreign_literal(mount->source);
	cleanup_free char *target = foreign_literal(mount->target);

	if (!source || !target) {
		words->failed = true;
		return;
	}
	say(words, "--mount");
	if (ours || b->engine->podman || !(mount->flags & PLAN_NODEV)) {
		words->failed |= strv_appendf(&words->list,
					 "type=bind,source=%s,target=%s,bind-nonrecursive%s%s",
					 source, target, read_only ? ",readonly" : "",
					 mount->flags & PLAN_NODEV ? ",nosuid,nodev" : "") < 0;
		return;
	}
	words->failed |=
		strv_appendf(&words->list,
			"type=volume,target=%s,volume-nocopy,volume-driver=local,volume-opt=type="
			"none,volume-opt=device=%s,\"volume-opt=o=bind%s,nosuid,nodev\"",
			target, source, read_only ? ",ro" : "") < 0;
}

/* What is there becomes empty; podman has an option for that, which also reaches below /proc. */
static void say_mask(const struct builder *b, const struct plan_mount *mount, struct words *words)
{
	if (!b->engine->podman) {
		say(words, "--tmpfs");
		words->failed |= strv_appendf(&words->list, "%s:ro,nosuid,nodev,noexec,size=4096",
					 mount->target) < 0;
	}
}

static void say_create(const struct builder *b, const char *image, struct words *words)
{
	const struct plan *plan = b->plan;

	say(words, b->engine->tool);
	say(words, "create");
	say(words, "--rm");
	say(words, "--interactive");
	say(words, "--init");
	say_two(words, "--pull", "never");
	say_two(words, "--log-driver", "none");
	say_two(words, "--name", NAME);
	say_two(words, "--label", "cloche={id}");
	say_two(words, "--cidfile", "{dir}/cid");
	say_two(words, "--env-file", "{dir}/env");
	say(words, "--user");
	words->failed |= strv_appendf(&words->list, "%u:%u", plan->uid, plan->gid) < 0;
	say(words, "--workdir");
	say_literal(words, plan->dir);
	say_namespaces(b, words);
	say_privileges(b, words);
	say_limits(b, words);
	for (size_t i = 0; i < plan->mount_count; i++) {
		if (plan->mounts[i].kind == PLAN_MOUNT_TMPFS) {
			say_tmpfs(b, &plan->mounts[i], words);
		} else if (plan->mounts[i].kind == PLAN_MOUNT_MASK) {
			say_mask(b, &plan->mounts[i], words);
		} else {
			say_bind(b, &plan->mounts[i], words);
		}
	}
	for (size_t i = 0; b->engine->options[i]; i++) {
		say(words, b->engine->options[i]);
	}
	say_two(words, "--entrypoint", "");
	say(words, image);
	STRV_FOREACH (word, plan->argv) {
		say_literal(words, *word);
	}
}

static int make_steps(struct builder *b, const char *image)
{
	const char *tool = b->engine->tool;
	const char *const kill[] = {tool, "kill", "--signal", "KILL", NAME, NULL};
	const char *const rm[] = {tool, "rm", "--force", "--volumes", NAME, NULL};
	struct words create = {0};
	struct words start = {0};
	int r = 0;

	say_create(b, image, &create);
	say(&start, tool);
	say(&start, "start");
	say_two(&start, "--attach", "--interactive");
	for (size_t i = 0; b->engine->start[i]; i++) {
		say(&start, b->engine->start[i]);
	}
	say(&start, NAME);
	r = create.failed || start.failed ? -ENOMEM
					  : plan_add_step(b->plan, PLAN_BEFORE, create.list);
	strv_free(create.list);
	b->plan->command = start.list;
	r = r < 0 ? r : plan_add_step(b->plan, PLAN_KILL, (char *const *)(uintptr_t)kill);
	r = r < 0 ? r : plan_add_step(b->plan, PLAN_AFTER, (char *const *)(uintptr_t)rm);
	return r < 0 ? r : make_tool_env(b->engine, b->host, "{dir}", &b->plan->tool_env);
}

/* ---- what it promises ---- */

static void note_all(struct builder *b, bool resolved)
{
	const struct spec *spec = b->spec;

	note(b, !resolved, "container.image_unresolved");
	note(b, strv_length(spec->readable) == 0, "container.image_root");
	note(b, strv_length(spec->read_deny) > 0, "container.read_deny");
	note(b, b->no_overlay, "container.no_overlay");
	note(b, spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY,
		"fs.write_ephemeral.places");
	note(b, spec->net == NET_DISABLE, "net.disable.loopback_private");
	note(b, b->host_sockets && !b->persistent, "fs.read_host.sockets_reachable");
	note(b, b->persistent, "fs.write_scope.hard_links");
	note(b, b->persistent, "fs.write_scope.set_id");
	note(b, b->persistent, "fs.write_scope.disk_unbounded");
	note(b, b->persistent, "fs.write_scope.shares_sockets");
	note(b, strv_length(spec->mach_allow) > 0, "mach.ignored");
	note(b, spec->memory > 0, "res.disk.shared_with_memory");
	note(b, true, "container.one_uid");
	note(b, true, "container.engine_is_root");
	note(b, true, "container.env_added");
	note(b, true, "container.signal_status");
	note(b, true, "container.user_namespaces");
	note(b, !b->engine->podman, "container.masks");
	note(b, true, "container.mounts");
	note(b, true, "kernel.isolation.shared");
	note(b, b->plan->without != 0, "layer.removed");
}

/* The promises, each with all it rests on, cut down to what the engine can keep at all. */
static void choose_uses(struct builder *b)
{
	const struct spec *spec = b->spec;
	struct plan *plan = b->plan;
	const uint32_t out = plan->without;
	const bool scrubs = strv_length(spec->env_allow) > 0 || strv_length(spec->env_deny) > 0;
	const struct {
		enum capability capability;
		bool asked;
		uint32_t layers;
	} table[] = {
		{CAPABILITY_NET_DISABLE, true, PLAN_LAYER_NET},
		{CAPABILITY_FS_READ_SCOPE, true, PLAN_LAYER_PID},
		{CAPABILITY_FS_WRITE_DENY, spec->write == WRITE_NONE,
			PLAN_LAYER_READ_ONLY | PLAN_LAYER_DEV},
		{CAPABILITY_FS_WRITE_SCOPE,
			spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY,
			PLAN_LAYER_READ_ONLY},
		{CAPABILITY_FS_WRITE_EPHEMERAL,
			(spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY) &&
				!b->no_overlay,
			PLAN_LAYER_READ_ONLY},
		{CAPABILITY_ENV_SCRUB, scrubs, PLAN_LAYER_ENV},
		{CAPABILITY_IPC_RESTRICT, !b->host_sockets,
			PLAN_LAYER_IPC | PLAN_LAYER_NET | PLAN_LAYER_DEV | PLAN_LAYER_FILTER},
		{CAPABILITY_RES_CPU, spec->cpu_milli > 0, PLAN_LAYER_CGROUP},
		{CAPABILITY_RES_MEMORY, spec->memory > 0, PLAN_LAYER_CGROUP},
		{CAPABILITY_RES_PIDS, spec->pids > 0, PLAN_LAYER_CGROUP},
		{CAPABILITY_RES_DISK, !b->persistent,
			PLAN_LAYER_DISK | PLAN_LAYER_READ_ONLY | PLAN_LAYER_DEV},
		{CAPABILITY_RES_TIME, plan->timeout > 0, PLAN_LAYER_TIME},
		{CAPABILITY_PROC_ISOLATION, true, PLAN_LAYER_PID},
		{CAPABILITY_KERNEL_FILTER, true, PLAN_LAYER_FILTER},
		{CAPABILITY_DEV_MINIMAL, true, PLAN_LAYER_DEV},
		{CAPABILITY_TTY_ISOLATE, true, PLAN_LAYER_FILTER | PLAN_LAYER_DEV},
		{CAPABILITY_SESSION_FRESH, !b->persistent,
			PLAN_LAYER_IPC | PLAN_LAYER_PID | PLAN_LAYER_NET | PLAN_LAYER_FILTER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].asked && !(out & table[i].layers) &&
			capability_set_has(b->engine->enforces, table[i].capability)) {
			capability_set_add(&plan->uses, table[i].capability);
		}
	}
}

static int choose_home(struct builder *b, char *room, size_t size, struct err *err)
{
	const char *user = b->spec->user ? b->spec->user : "user";

	(void)snprintf(room, size, "/home/%s", user);
	b->home = b->spec->home ? b->spec->home : room;
	if (strpbrk(b->home, ",:\n\r\"{}")) {
		return err_refuse(err, ENOTSUP,
			"home: '%s' has a character that cannot be said to the engine", b->home);
	}
	return 0;
}

static int fill(struct builder *b, struct err *err)
{
	bool resolved = is_image_id(b->spec->image);
	const char *image = b->spec->image ? b->spec->image : IMAGE_DEFAULT;
	struct plan *plan = b->plan;
	char home[96];
	int r = choose_home(b, home, sizeof(home), err);

	plan->executable_here = resolved;
	plan->kernel = PLAN_KERNEL_SHARED;
	choose_identity(plan);
	r = r < 0 ? r : foreign_command(b->spec, b->home, plan);
	r = r < 0 ? r : foreign_environment(b->spec, b->home, plan);
	if (r < 0) {
		return r;
	}
	choose_limits(b);
	choose_masks(b);
	choose_places(b);
	choose_binds(b);
	make_files(b);
	r = b->failed ? -ENOMEM : make_steps(b, image);
	note_all(b, resolved);
	choose_uses(b);
	r = r < 0 || b->failed ? -ENOMEM : plan_seal(plan);
	return r;
}

static int compile(const struct engine *engine, const struct spec *spec, const struct host *host,
	uint32_t without, struct plan **ret_plan, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	struct builder builder = {.engine = engine, .spec = spec, .host = host};
	int r = spec_validate(spec, err);

	r = r < 0 ? r : refuse_unsupported(engine, spec, without, err);
	if (r < 0) {
		return r;
	}
	r = plan_new(engine->name, &plan);
	if (r == 0) {
		plan->without = without;
		builder.plan = plan;
		r = fill(&builder, err);
	}
	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	if (r == 0) {
		*ret_plan = take_ptr(&plan);
	}
	return r;
}

/* ---- a session ---- */

static const struct engine *find_engine(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		if (strcmp(engines[i].name, name) == 0) {
			return &engines[i];
		}
	}
	return NULL;
}

static struct container *container(struct sandbox *sandbox)
{
	assert(find_engine(sandbox->backend->name));
	return (struct container *)sandbox;
}

/* Runs a question of the engine's. When the answer brought the end with it, the end is news too. */
static int ask(struct container *container, const char *const *words, char *answer, size_t size)
{
	int r = keeper_ask(
		&container->keeper, (char *const *)(uintptr_t)words, ASK_TIMEOUT_MS, answer, size);

	if (container->keeper.exited) {
		(void)eventfd_write(container->nudge, 1);
	}
	return r;
}

/* The container's first process, as the engine says; 0 when it does not run. */
static pid_t inspect(struct container *container)
{
	const char *const words[] = {container->engine->tool, "container", "inspect", "--format",
		"{{.State.Running}} {{.State.Pid}}", NAME, NULL};
	char answer[256];
	char running[8];
	int pid = 0;

	if (ask(container, words, answer, sizeof(answer)) != 0 ||
		sscanf(answer, "%7s %d", running, &pid) != 2 || strcmp(running, "true") != 0) {
		return 0;
	}
	return pid > 0 ? pid : 0;
}

/*
 * The tool has ended before the container was seen to run. Its status alone does not say whether the
 * engine refused or the command was quick; the engine's own record does.
 */
static int judge_early_end(struct container *container, struct err *err)
{
	const struct engine *engine = container->engine;
	char answer[512];
	static const char which[] = "--filter=container=" NAME;
	const char *const words[] = {engine->tool, "events", "--since=120s", engine->started, which,
		"--filter=event=start", NULL};
	int code = proc_exit_code(container->keeper.status);

	if (code == 0 || container->keeper.timed_out) {
		return 0;
	}
	if (ask(container, words, answer, sizeof(answer)) == 0 && strstr(answer, "start")) {
		return 0;
	}
	return err_refuse(err, EIO,
		"%s did not start the container (%s start ended with %d; what it says is on "
		"standard error)",
		engine->name, engine->tool, code);
}

/* Waits until the command runs, or did. *ret_pid is 0 when it is over already. */
static int wait_running(struct container *container, pid_t *ret_pid, struct err *err)
{
	const struct engine *engine = container->engine;
	uint64_t until = io_now_usec() + START_TIMEOUT_MS * 1000ULL;

	while (io_now_usec() < until) {
		struct pollfd wait = {.fd = container->keeper.socket, .events = POLLIN};
		pid_t pid = inspect(container);
		if (pid > 0) {
			*ret_pid = pid;
			return 0;
		}
		if (container->keeper.exited || keeper_poll(&container->keeper) != 0) {
			return container->keeper.exited
				? judge_early_end(container, err)
				: err_refuse(err, EPIPE, "the keeper ended");
		}
		(void)poll(&wait, 1, 10);
	}
	return err_refuse(err, ETIMEDOUT, "%s did not start the container in time", engine->name);
}

/* The directory of one control group of the process, for reading what it used. */
static int open_group(const struct host_cgroup *where, const char *list, const char *controller)
{
	char path[512];
	size_t top = strlen(where->path) - strlen("/cloche");

	for (const char *line = list; line && *line; line = strchr(line, '\n')) {
		char names[64] = "";
		char group[256];
		line += *line == '\n';
		if (sscanf(line, "%*u:%63[^:]:%255[^\n]", names, group) < 2 &&
			sscanf(line, "0::%255[^\n]", group) < 1) {
			continue;
		}
		if (where->version == 2 ? *names != '\0' : !strstr(names, controller)) {
			continue;
		}
		(void)snprintf(path, sizeof(path), "%.*s%s", (int)top, where->path, group);
		return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return -1;
}

static void find_groups(struct container *container, const struct host *host, pid_t pid)
{
	static const char *const names[] = {
		[CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids", [CGROUP_CPU] = "cpu"};
	cleanup_free char *list = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (pid <= 0 || io_read_file(AT_FDCWD, path, 4096, &list, NULL) < 0) {
		return;
	}
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (host->cgroup[i].version) {
			container->cgroup.where[i] = host->cgroup[i];
			container->cgroup.dir[i] = open_group(&host->cgroup[i], list, names[i]);
		}
	}
}

/* The event: what the keeper has to say, or our own nudge. */
static int make_event(struct container *container, struct err *err)
{
	struct epoll_event keeper = {.events = EPOLLIN};
	struct epoll_event nudge = {.events = EPOLLIN};

	container->base.event = epoll_create1(EPOLL_CLOEXEC);
	if (container->base.event < 0 ||
		epoll_ctl(container->base.event, EPOLL_CTL_ADD, container->keeper.socket, &keeper) <
			0 ||
		epoll_ctl(container->base.event, EPOLL_CTL_ADD, container->nudge, &nudge) < 0) {
		return err_set(err, errno, "watching the container");
	}
	return 0;
}

static void destroy(struct sandbox *sandbox)
{
	struct container *it = sandbox ? container(sandbox) : NULL;

	if (!it) {
		return;
	}
	keeper_end(&it->keeper);
	cgroup_close(&it->cgroup);
	close_fdp(&it->base.event);
	close_fdp(&it->base.pidfd);
	close_fdp(&it->base.pty);
	close_fdp(&it->nudge);
	free(it);
}

/* A terminal is the session's wish, not the plan's: create is told of it here. */
static int with_terminal(const struct plan *plan, struct plan *ret, struct plan_step **ret_steps)
{
	struct plan_step *steps = calloc(plan->step_count, sizeof(*steps));
	char **words = NULL;
	int r = steps ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && plan->steps[0].argv[i]; i++) {
		const char *word = plan->steps[0].argv[i];
		r = strv_append(&words, word);
		if (r == 0 && strcmp(word, "--interactive") == 0) {
			r = strv_append(&words, "--tty");
		}
	}
	if (r < 0) {
		strv_free(words);
		free(steps);
		return r;
	}
	memcpy(steps, plan->steps, plan->step_count * sizeof(*steps));
	steps[0].argv = words;
	*ret = *plan;
	ret->steps = steps;
	*ret_steps = steps;
	return 0;
}

static int start_keeper(struct container *container, const struct plan *plan,
	const struct host *host, const struct sandbox_stdio *io, struct err *err)
{
	struct plan_step *steps = NULL;
	struct plan patched = *plan;
	struct keeper_start start = {
		.plan = plan, .host = host, .io = io, .no_cgroup = true, .errors = -1, .hold = -1};
	int r = io->pty ? with_terminal(plan, &patched, &steps) : 0;

	if (r < 0) {
		return err_set(err, -r, "starting the container");
	}
	start.plan = &patched;
	r = keeper_start(&start, &container->keeper, err);
	if (steps) {
		strv_free(steps[0].argv);
		free(steps);
	}
	return r;
}

static int new_container(const struct engine *engine, struct container **ret)
{
	struct container *it = calloc(1, sizeof(*it));

	if (!it) {
		return -ENOMEM;
	}
	it->base.backend = backend_find(backends, engine->name);
	it->base.pidfd = it->base.event = it->base.pty = -1;
	it->engine = engine;
	keeper_init(&it->keeper);
	cgroup_init(&it->cgroup);
	it->nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*ret = it;
	return 0;
}

static int start(const struct plan *plan, const struct host *host, const struct sandbox_stdio *io,
	struct sandbox **ret_sandbox, struct err *err)
{
	const struct engine *engine = find_engine(plan->backend);
	struct container *it = NULL;
	pid_t pid = 0;
	int r = 0;

	assert(engine);
	if (!plan->executable_here) {
		return err_refuse(err, ENOTSUP,
			"the plan names its image and not its id; such plans are for reading");
	}
	if (new_container(engine, &it) < 0) {
		return err_set(err, ENOMEM, "starting the container");
	}
	r = start_keeper(it, plan, host, io, err);
	r = r < 0 ? r : make_event(it, err);
	r = r < 0 ? r : wait_running(it, &pid, err);
	if (r < 0) {
		destroy(&it->base);
		return r;
	}
	if (it->keeper.exited) {
		/* A command so quick that its end was read while waiting for its start: still news. */
		(void)eventfd_write(it->nudge, 1);
	}
	(void)snprintf(it->base.id, sizeof(it->base.id), "%s", it->keeper.id);
	it->base.pid = pid;
	it->base.pidfd = pid > 0 ? proc_pidfd(pid) : -1;
	it->base.pty = take_fd(&it->keeper.pty);
	find_groups(it, host, pid);
	*ret_sandbox = &it->base;
	return 0;
}

/* The command: what the container's init started first, and what it waits for. 0: none. */
static pid_t find_command(pid_t init)
{
	cleanup_free char *text = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)init, (int)init);
	if (io_read_file(AT_FDCWD, path, 65536, &text, NULL) < 0) {
		return 0;
	}
	return (pid_t)strtol(text, NULL, 10);
}

/*
 * The engine's kill reaches the container's init, which passes it on to the command alone and not to
 * its group. The processes are the host's own, so the group is signalled directly.
 */
static int send_signal(struct sandbox *sandbox, int signo)
{
	struct container *it = container(sandbox);

	if (it->keeper.exited || it->base.pid <= 0) {
		return -ESRCH;
	}
	pid_t command = find_command(it->base.pid);
	pid_t group = command > 1 ? getpgid(command) : -1;
	if (group <= 1 || group == getpgrp() || proc_signal(it->base.pidfd, 0) < 0) {
		return -ESRCH;
	}
	return kill(-group, signo) < 0 ? -errno : 0;
}

static int poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret)
{
	struct container *it = container(sandbox);
	int r = it->keeper.exited ? 1 : keeper_poll(&it->keeper);

	if (r == 1) {
		*ret = keeper_exit(&it->keeper);
	}
	return r;
}

static void usage(struct sandbox *sandbox, struct sandbox_usage *ret)
{
	struct container *it = container(sandbox);

	cgroup_usage(&it->cgroup, &it->used);
	*ret = it->used;
}

/* ---- one backend a row ---- */

#define BACKEND(symbol, row, label, words, whose, kept)                                            \
	static int symbol##_probe(const struct host *host, struct err *err)                        \
	{                                                                                          \
		return probe(&engines[row], host, err);                                            \
	}                                                                                          \
	static int symbol##_resolve(const struct spec *spec, const struct host *host,              \
		struct spec *ret, struct err *err)                                                 \
	{                                                                                          \
		return resolve(&engines[row], spec, host, ret, err);                               \
	}                                                                                          \
	static int symbol##_compile(const struct spec *spec, const struct host *host,              \
		uint32_t without, struct plan **ret_plan, struct err *err)                         \
	{                                                                                          \
		return compile(&engines[row], spec, host, without, ret_plan, err);                 \
	}                                                                                          \
	const struct backend backend_##symbol = {                                                  \
		.name = label,                                                                     \
		.summary = words,                                                                  \
		.enforces = {kept},                                                                \
		.kernel = whose,                                                                   \
		.probe = symbol##_probe,                                                           \
		.resolve = symbol##_resolve,                                                       \
		.compile = symbol##_compile,                                                       \
		.start = start,                                                                    \
		.signal = send_signal,                                                             \
		.poll_exit = poll_exit,                                                            \
		.usage = usage,                                                                    \
		.destroy = destroy,                                                                \
	}

BACKEND(docker, 0, "docker", "an ephemeral container of a Docker daemon on this host",
	PLAN_KERNEL_SHARED, KEPT);
BACKEND(podman, 1, "podman", "an ephemeral container of podman, as root", PLAN_KERNEL_SHARED, KEPT);
