/*
 * The native backend: Linux namespaces, mounts, Landlock, a system call filter, control groups and
 * limits, put together by ourselves. This file decides; backends/linux/ does.
 */
#include <errno.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/foreign.h"
#include "backends/linux/birth.h"
#include "backends/linux/filter.h"
#include "backends/linux/landlock.h"
#include "backends/linux/launcher.h"
#include "backends/native-door.h"
#include "backends/native-net.h"
#include "backends/native-view.h"

static int native_probe(const struct host *host, struct err *err)
{
	if (!host->user_namespaces) {
		return err_refuse(err, ENOTSUP,
			"user namespaces cannot be made here; as root: sysctl "
			"user.max_user_namespaces=15000 "
			"kernel.unprivileged_userns_clone=1 (Ubuntu: "
			"kernel.apparmor_restrict_unprivileged_userns=0)");
	}
	if (!host->proc_mountable) {
		return err_refuse(err, ENOTSUP,
			"a fresh /proc cannot be mounted here: something covers parts of this "
			"/proc "
			"(systemd: remove ProtectKernelTunables= and ProtectKernelLogs=; "
			"container: unmask /proc)");
	}
	return 0;
}

/* What this backend does not do yet is refused by name, never done halfway. */
static int refuse_unsupported(
	const struct spec *spec, const struct host *host, uint32_t without, struct err *err)
{
	/* Its numbers would be written for the namespace around, and hold for whatever else is in it. */
	if (without & PLAN_LAYER_USER && !(without & PLAN_LAYER_USER_LIMITS)) {
		return err_refuse(err, EINVAL,
			"without a user namespace of its own a session has no limits in one: leave "
			"out user_limits as well");
	}
	if (spec->root == ROOT_IMAGE) {
		return err_refuse(err, ENOTSUP,
			"root: image: the native backend cannot do this yet; unpack it and use "
			"root: "
			"directory");
	}
	if (spec->ids == IDS_RANGE && !(host->root && host->id_count > 0)) {
		return err_refuse(err, ENOTSUP,
			"ids: range: there are no ids to give here; that takes root (cloche "
			"doctor)");
	}
	if (spec->ids == IDS_SINGLE && host->root) {
		return err_refuse(err, ENOTSUP,
			"ids: single would make the session root's own; use range, or start as a "
			"user");
	}
	return 0;
}

static int choose_sysctls(struct plan *plan)
{
	/* Instances and watches are also counted against the whole host (see the caveat). Without a
	 * user namespace nobody has the power to make the other kinds. */
	static const char *const settings[] = {"user.max_inotify_instances=16",
		"user.max_inotify_watches=8192", "user.max_user_namespaces=0"};

	for (size_t i = 0; i < ARRAY_SIZE(settings) && !(plan->without & PLAN_LAYER_USER_LIMITS);
		i++) {
		int r = strv_append(&plan->sysctls, settings[i]);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

static int note_landlock(const struct host *host, struct plan *plan)
{
	static const struct {
		int abi; /* that brought it */
		const char *caveat;
	} lacks[] = {
		{2, "landlock.no_refer"}, {3, "landlock.no_truncate"}, {6, "landlock.no_scope"}};
	int r = 0;

	if (plan->without & PLAN_LAYER_LANDLOCK) {
		return 0;
	}
	if (host->landlock_abi <= 0) {
		return plan_add_caveat(plan, "landlock.absent");
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lacks); i++) {
		if (host->landlock_abi < lacks[i].abi) {
			r = plan_add_caveat(plan, lacks[i].caveat);
		}
	}
	return r;
}

/* The promises, each with everything it rests on: what a missing layer takes away is this table. */
static const struct promise promises[] = {
	{CAPABILITY_NET_DISABLE, PLAN_LAYER_NET, PROMISE_OWN_NET},
	{CAPABILITY_NET_ENABLE, 0, 0},
	{CAPABILITY_NET_OUTBOUND, PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS,
		PROMISE_OWN_NET},
	{CAPABILITY_NET_EGRESS, PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS,
		PROMISE_OWN_NET},
	{CAPABILITY_NET_INBOUND, PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS,
		PROMISE_OWN_NET},
	{CAPABILITY_FS_READ_HOST, 0, PROMISE_BROAD_VIEW},
	{CAPABILITY_FS_READ_SCOPE, 0, PROMISE_LISTED_VIEW | PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_READ_DENY, PLAN_LAYER_READ_DENY, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_DENY, PLAN_LAYER_READ_ONLY | PLAN_LAYER_DEV, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_SCOPE, PLAN_LAYER_READ_ONLY, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_EPHEMERAL, PLAN_LAYER_READ_ONLY,
		PROMISE_OWN_MOUNTS | PROMISE_THROW_AWAY},
	{CAPABILITY_ENV_SCRUB, PLAN_LAYER_ENV, 0},
	{CAPABILITY_PROC_NO_EXEC, PLAN_LAYER_FILTER, 0},
	{CAPABILITY_IPC_RESTRICT,
		PLAN_LAYER_IPC | PLAN_LAYER_KEYRING | PLAN_LAYER_DEV | PLAN_LAYER_FILTER,
		PROMISE_NO_HOST_SOCKETS | PROMISE_OWN_MOUNTS | PROMISE_OWN_NET},
	{CAPABILITY_RES_CPU, PLAN_LAYER_CGROUP, PROMISE_CPU_GROUP},
	{CAPABILITY_RES_MEMORY, PLAN_LAYER_CGROUP, PROMISE_MEMORY_GROUP},
	{CAPABILITY_RES_PIDS, 0, PROMISE_PIDS_KEPT},
	{CAPABILITY_RES_DISK, PLAN_LAYER_DISK | PLAN_LAYER_DEV | PLAN_LAYER_READ_ONLY,
		PROMISE_NOTHING_PERSISTS | PROMISE_OWN_MOUNTS},
	{CAPABILITY_RES_TIME, PLAN_LAYER_TIME, 0},
	{CAPABILITY_PROC_ISOLATION, PLAN_LAYER_PID | PLAN_LAYER_SESSION | PLAN_LAYER_USER,
		PROMISE_OWN_MOUNTS},
	{CAPABILITY_KERNEL_FILTER, PLAN_LAYER_FILTER, 0},
	{CAPABILITY_PRIV_NONE,
		PLAN_LAYER_CAPS | PLAN_LAYER_NO_NEW_PRIVS | PLAN_LAYER_USER_LIMITS |
			PLAN_LAYER_USER,
		0},
	{CAPABILITY_DEV_MINIMAL, PLAN_LAYER_DEV, PROMISE_OWN_MOUNTS},
	{CAPABILITY_TTY_ISOLATE, PLAN_LAYER_SESSION | PLAN_LAYER_FILTER | PLAN_LAYER_DEV,
		PROMISE_OWN_MOUNTS},
	{CAPABILITY_HOST_CONCEAL,
		PLAN_LAYER_UTS | PLAN_LAYER_MASKS | PLAN_LAYER_KEYRING | PLAN_LAYER_PID |
			PLAN_LAYER_CGROUP | PLAN_LAYER_DEV | PLAN_LAYER_FILTER,
		PROMISE_LISTED_VIEW | PROMISE_OWN_MOUNTS},
	{CAPABILITY_SESSION_FRESH,
		PLAN_LAYER_IPC | PLAN_LAYER_PID | PLAN_LAYER_KEYRING | PLAN_LAYER_CLOSE_FDS |
			PLAN_LAYER_USER,
		PROMISE_NOTHING_PERSISTS | PROMISE_UNSHARED | PROMISE_OWN_MOUNTS | PROMISE_OWN_NET},
};

static const struct filter *choose_filter(const struct spec *spec, const struct plan *plan)
{
	if (plan->without & PLAN_LAYER_FILTER) {
		return NULL;
	}
	return spec->home_source && spec->home_full ? filter_get_full(plan->no_exec)
						    : filter_get(plan->no_exec);
}

static int fill(
	const struct spec *spec, const struct host *host, struct plan *plan, struct err *err)
{
	cleanup(native_view_fini) struct native_view view = {0};
	int r = 0;

	foreign_namespaces(spec, plan);
	foreign_identity(host, plan);
	plan->id_map_count = plan->without & PLAN_LAYER_USER ? 0 : plan->id_map_count;
	foreign_rlimits(spec, plan);
	plan->no_exec = spec->no_exec && !(plan->without & PLAN_LAYER_FILTER);
	plan->filter = choose_filter(spec, plan);
	if (!(plan->without & PLAN_LAYER_LANDLOCK)) {
		landlock_compile(host->landlock_abi, false, &plan->landlock);
	}
	plan->shared = spec->share != SHARE_NONE;
	r = native_net_compile(spec, host, plan, err);
	r = r < 0 ? r : native_view_compile(spec, host, plan, &view, err);
	r = r < 0 ? r : foreign_command(spec, view.start, plan);
	r = r < 0 ? r : foreign_environment(spec, view.home, plan);
	r = r < 0 ? r : native_net_environment(plan, &plan->env);
	r = r < 0 ? r : native_door_compile(spec, plan);
	r = r < 0 ? r : choose_sysctls(plan);
	r = r < 0 ? r : foreign_limits(spec, host, plan);
	r = r < 0 ? r : note_landlock(host, plan);
	r = r < 0 ? r : foreign_notes(spec, host, plan);
	if (r == 0) {
		promise_keep(promises, ARRAY_SIZE(promises), spec,
			promise_grounds(spec, plan) | native_view_grounds(spec, &view), plan);
		r = foreign_seal(spec, plan);
	}
	return r;
}

static int native_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	static const struct foreign_compiler compiler = {
		"native", PLAN_KERNEL_SHARED, refuse_unsupported, fill};

	return foreign_compile(&compiler, spec, host, without, ret_plan, err);
}

/* Where the network, and with it the birth, depends on nothing but the namespaces. */
static void native_prepare(const struct spec *spec, const struct host *host, uint32_t without)
{
	struct plan like = {.without = without};

	if (spec->share == SHARE_NONE && spec->root != ROOT_IMAGE && host->user_namespaces &&
		(!host->root || host->id_count > 0) &&
		(spec->net == NET_DISABLE || spec->net == NET_ENABLE)) {
		foreign_namespaces(spec, &like);
		foreign_identity(host, &like);
		birth_ahead(&like, host);
	}
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_native = {
	.name = "native",
	.keeps_home = true,
	.summary =
		"Linux namespaces, Landlock, seccomp and control groups, launched by cloche itself",
	.enforces = {HAS(NET_DISABLE) | HAS(NET_ENABLE) | HAS(NET_OUTBOUND) | HAS(NET_EGRESS) |
		HAS(NET_INBOUND) | HAS(FS_READ_HOST) | HAS(FS_READ_SCOPE) | HAS(FS_READ_DENY) |
		HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) | HAS(FS_WRITE_EPHEMERAL) |
		HAS(ENV_SCRUB) | HAS(PROC_NO_EXEC) | HAS(IPC_RESTRICT) | HAS(RES_CPU) |
		HAS(RES_MEMORY) | HAS(RES_PIDS) | HAS(RES_DISK) | HAS(RES_TIME) |
		HAS(PROC_ISOLATION) | HAS(KERNEL_FILTER) | HAS(PRIV_NONE) | HAS(DEV_MINIMAL) |
		HAS(TTY_ISOLATE) | HAS(HOST_CONCEAL) | HAS(SESSION_FRESH)},
	.probe = native_probe,
	.compile = native_compile,
	.warm = launcher_warm,
	.prepare = native_prepare,
	.forget = birth_forget,
	.start = launcher_start,
	.signal = launcher_signal,
	.poll_exit = launcher_poll_exit,
	.usage = launcher_usage,
	.destroy = launcher_destroy,
	.join = launcher_join,
	.open_socket = launcher_open_socket,
	.take_door = launcher_take_door,
};
