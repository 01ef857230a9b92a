/*
 * The docker and podman backends: one container a session, made for it and gone with it. The rows
 * and the promises are here; containers.h says what is where.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/containers.h"
#include "backends/foreign-door.h"
#include "backends/foreign.h"
#include "backends/gvisor.h"
#include "backends/keeper.h"
#include "base/strv.h"

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

/*
 * Under runsc the session's kernel is gVisor, which applies no filter of ours and keeps tasks, devices
 * and throw-away files where nobody outside could see a promise about them broken.
 */
#define KEPT_RUNSC                                                                                 \
	(HAS(KERNEL_ISOLATION) | HAS(NET_DISABLE) | HAS(FS_READ_SCOPE) | HAS(FS_WRITE_DENY) |      \
		HAS(FS_WRITE_SCOPE) | HAS(FS_WRITE_EPHEMERAL) | HAS(ENV_SCRUB) |                   \
		HAS(IPC_RESTRICT) | HAS(RES_CPU) | HAS(RES_MEMORY) | HAS(RES_TIME) |               \
		HAS(PROC_ISOLATION) | HAS(HOST_CONCEAL) | HAS(SESSION_FRESH))

/* What changes nothing under a kernel of the session's own cannot be left out. */
#define LAYERS_RUNSC (PLAN_LAYER_CGROUP | PLAN_LAYER_ENV | PLAN_LAYER_READ_ONLY | PLAN_LAYER_TIME)

/* Nothing that a person types takes the terminal away from the container. */
static const char *const docker_start[] = {
	"--detach-keys", "ctrl-^,ctrl-_,ctrl-^,ctrl-_,ctrl-^,ctrl-@", NULL};
static const char *const podman_start[] = {"--detach-keys", "", "--sig-proxy=false", NULL};

static const char *const docker_options[] = {NULL};

/* What podman would add by itself: proxies of ours, temporary places, services of systemd. */
static const char *const podman_options[] = {"--http-proxy=false", "--read-only-tmpfs=false",
	"--systemd=false", "--sdnotify=ignore", "--image-volume=ignore", "--pidfile", "{dir}/pid",
	NULL};

static const struct engine engines[] = {
	{"docker", "docker", false, false, NULL, docker_options, docker_start, "--until=0s", LAYERS,
		{KEPT}},
	{"podman", "podman", true, false, NULL, podman_options, podman_start, "--stream=false",
		LAYERS | PLAN_LAYER_MASKS, {KEPT}},
	{"docker-runsc", "docker", false, true, "runsc", docker_options, docker_start, "--until=0s",
		LAYERS_RUNSC, {KEPT_RUNSC}},
	{"podman-runsc", "podman", true, true, "runsc", podman_options, podman_start,
		"--stream=false", LAYERS_RUNSC | PLAN_LAYER_FILTER,
		{KEPT_RUNSC | HAS(TTY_ISOLATE)}},
};

const struct engine *containers_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		if (strcmp(engines[i].name, name) == 0) {
			return &engines[i];
		}
	}
	return NULL;
}

/* ---- what it promises ---- */

static int note_all(struct container_builder *b, bool resolved)
{
	const struct spec *spec = b->spec;
	const bool runtime = b->engine->runtime;
	const struct promise_note table[] = {
		{!resolved, "container.image_unresolved"},
		{strv_length(spec->readable) == 0, "container.image_root"},
		{strv_length(spec->read_deny) > 0, "container.read_deny"},
		{b->no_overlay, "container.no_overlay"},
		{spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY,
			"fs.write_ephemeral.places"},
		{spec->net == NET_DISABLE, "net.disable.loopback_private"},
		{b->host_sockets && !b->persistent, "fs.read_host.sockets_reachable"},
		{b->persistent, "fs.write_scope.hard_links"},
		{b->persistent, "fs.write_scope.set_id"},
		{b->persistent, "fs.write_scope.disk_unbounded"},
		{b->persistent, "fs.write_scope.shares_sockets"},
		{strv_length(spec->mach_allow) > 0, "mach.ignored"},
		{spec->memory > 0, "res.disk.shared_with_memory"},
		{true, "container.one_uid"},
		{true, "container.engine_is_root"},
		{true, "container.env_added"},
		{true, "container.signal_status"},
		{!runtime, "container.user_namespaces"},
		{!b->engine->podman && !runtime, "container.masks"},
		{!runtime, "container.mounts"},
		{!runtime, "kernel.isolation.shared"},
		{runtime && !b->filtered, "container.runtime_inside"},
		{runtime && !b->filtered, "container.runtime_tty"},
		{runtime && b->filtered, "gvisor.filter_inside"},
		{runtime, "gvisor.priv_inside"},
		{runtime, "container.runtime_devices"},
		{runtime, "container.runtime_signal"},
		{runtime && b->statx, "gvisor.statx_preload"},
		{runtime && spec->memory > 0, "gvisor.memory_whole"},
		{runtime && spec->pids > 0, "gvisor.tasks_inside"},
		{runtime && spec->disk > 0, "gvisor.unseen.disk"},

		{spec->why && !foreign_door_is_in(b->plan), "session.no_why"},
		{b->plan->without != 0, "layer.removed"},
	};

	return promise_note_all(table, ARRAY_SIZE(table), b->plan);
}

/* The promises, each with all it rests on, cut down to what the engine can keep at all. */
static const struct promise promises[] = {
	{CAPABILITY_KERNEL_ISOLATION, 0, 0},
	{CAPABILITY_NET_DISABLE, PLAN_LAYER_NET, 0},
	{CAPABILITY_FS_READ_SCOPE, PLAN_LAYER_PID, 0},
	{CAPABILITY_FS_WRITE_DENY, PLAN_LAYER_READ_ONLY | PLAN_LAYER_DEV, 0},
	{CAPABILITY_FS_WRITE_SCOPE, PLAN_LAYER_READ_ONLY, 0},
	{CAPABILITY_FS_WRITE_EPHEMERAL, PLAN_LAYER_READ_ONLY, PROMISE_THROW_AWAY},
	{CAPABILITY_ENV_SCRUB, PLAN_LAYER_ENV, 0},
	{CAPABILITY_IPC_RESTRICT,
		PLAN_LAYER_IPC | PLAN_LAYER_NET | PLAN_LAYER_DEV | PLAN_LAYER_FILTER,
		PROMISE_NO_HOST_SOCKETS},
	{CAPABILITY_RES_CPU, PLAN_LAYER_CGROUP, 0},
	{CAPABILITY_RES_MEMORY, PLAN_LAYER_CGROUP, 0},
	{CAPABILITY_RES_PIDS, PLAN_LAYER_CGROUP, 0},
	{CAPABILITY_RES_DISK, PLAN_LAYER_DISK | PLAN_LAYER_READ_ONLY | PLAN_LAYER_DEV,
		PROMISE_NOTHING_PERSISTS},
	{CAPABILITY_RES_TIME, PLAN_LAYER_TIME, 0},
	{CAPABILITY_PROC_ISOLATION, PLAN_LAYER_PID, 0},
	{CAPABILITY_KERNEL_FILTER, PLAN_LAYER_FILTER, PROMISE_FILTERED},
	{CAPABILITY_DEV_MINIMAL, PLAN_LAYER_DEV, 0},
	{CAPABILITY_TTY_ISOLATE, PLAN_LAYER_FILTER | PLAN_LAYER_DEV, PROMISE_FILTERED},
	{CAPABILITY_HOST_CONCEAL, 0, 0},
	{CAPABILITY_SESSION_FRESH,
		PLAN_LAYER_IPC | PLAN_LAYER_PID | PLAN_LAYER_NET | PLAN_LAYER_FILTER,
		PROMISE_NOTHING_PERSISTS},
};

static void choose_uses(struct container_builder *b)
{
	uint32_t grounds = promise_grounds(b->spec, b->plan) |
		(b->no_overlay ? 0 : PROMISE_THROW_AWAY) | (b->filtered ? PROMISE_FILTERED : 0) |
		(b->host_sockets ? 0 : PROMISE_NO_HOST_SOCKETS) |
		(b->persistent ? 0 : PROMISE_NOTHING_PERSISTS);

	promise_keep(promises, ARRAY_SIZE(promises), b->spec, grounds, b->plan);
	b->plan->uses = capability_set_intersect(b->plan->uses, b->engine->enforces);
}

static int choose_home(struct container_builder *b, char *room, size_t size, struct err *err)
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

static int fill_all(struct container_builder *b, struct err *err)
{
	bool resolved = containers_is_image_id(b->spec->image);
	const char *image = b->spec->image ? b->spec->image : CONTAINERS_IMAGE;
	struct plan *plan = b->plan;
	char home[96];
	int r = choose_home(b, home, sizeof(home), err);

	plan->executable_here = resolved;
	r = r < 0 ? r : foreign_command(b->spec, b->home, plan);
	r = r < 0 ? r : foreign_environment(b->spec, b->home, plan);
	if (r < 0) {
		return r;
	}
	/* A daemon's settings say what its runtime is told; podman tells it what we do. */
	b->filtered =
		!b->engine->runtime || (b->engine->podman && gvisor_facts(b->host)->oci_seccomp);
	containers_choose(b);
	r = b->failed ? -ENOMEM : containers_make_steps(b, image);
	r = r < 0 ? r : note_all(b, resolved);
	choose_uses(b);
	return r < 0 ? r : foreign_seal(b->spec, plan);
}

static int fill(
	const struct spec *spec, const struct host *host, struct plan *plan, struct err *err)
{
	struct container_builder builder = {
		.engine = containers_find(plan->backend), .spec = spec, .host = host, .plan = plan};
	int r = containers_refuse(builder.engine, spec, plan->without, err);

	return r < 0 ? r : fill_all(&builder, err);
}

/* ---- one backend a row ---- */

#define BACKEND(symbol, row, label, words, whose, kept)                                            \
	static int symbol##_probe(const struct host *host, struct err *err)                        \
	{                                                                                          \
		return containers_probe(&engines[row], host, err);                                 \
	}                                                                                          \
	static int symbol##_resolve(const struct spec *spec, const struct host *host,              \
		struct spec *ret, struct err *err)                                                 \
	{                                                                                          \
		return containers_resolve(&engines[row], spec, host, ret, err);                    \
	}                                                                                          \
	static int symbol##_compile(const struct spec *spec, const struct host *host,              \
		uint32_t without, struct plan **ret_plan, struct err *err)                         \
	{                                                                                          \
		static const struct foreign_compiler how = {label, whose, NULL, fill};             \
		return foreign_compile(&how, spec, host, without, ret_plan, err);                  \
	}                                                                                          \
	const struct backend backend_##symbol = {                                                  \
		.name = label,                                                                     \
		.summary = words,                                                                  \
		.enforces = {kept},                                                                \
		.kernel = whose,                                                                   \
		.probe = symbol##_probe,                                                           \
		.resolve = symbol##_resolve,                                                       \
		.compile = symbol##_compile,                                                       \
		.warm = keeper_warm,                                                               \
		.begin = keeper_ahead,                                                             \
		.forget = keeper_forget,                                                           \
		.start = containers_start,                                                         \
		.signal = containers_signal,                                                       \
		.poll_exit = containers_poll_exit,                                                 \
		.usage = containers_usage,                                                         \
		.take_door = containers_take_door,                                                 \
		.destroy = containers_destroy,                                                     \
	}

BACKEND(docker, 0, "docker", "an ephemeral container of a Docker daemon on this host",
	PLAN_KERNEL_SHARED, KEPT);
BACKEND(podman, 1, "podman", "an ephemeral container of podman, as root", PLAN_KERNEL_SHARED, KEPT);
BACKEND(docker_runsc, 2, "docker-runsc",
	"an ephemeral container of a Docker daemon, on gVisor's kernel", PLAN_KERNEL_USER,
	KEPT_RUNSC);
BACKEND(podman_runsc, 3, "podman-runsc",
	"an ephemeral container of podman, as root, on gVisor's kernel", PLAN_KERNEL_USER,
	KEPT_RUNSC | HAS(TTY_ISOLATE));
