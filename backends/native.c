/*
 * The native backend: Linux namespaces, mounts, Landlock, a system call filter, control groups and
 * limits, put together by ourselves. This file decides; backends/linux/ does.
 */
#include <errno.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/foreign.h"
#include "backends/linux/filter.h"
#include "backends/linux/landlock.h"
#include "backends/linux/launcher.h"
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
static int refuse_unsupported(const struct spec *spec, const struct host *host, struct err *err)
{
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

/*
 * The promises, each with everything it rests on. What a missing layer takes away is this table and
 * nothing else, so that no promise can outlive its reason.
 */
static void choose_uses(const struct spec *spec, const struct native_view *view, struct plan *plan)
{
	const uint32_t out = plan->without;
	const bool pids_kept = plan->cgroup_version[CGROUP_PIDS] ||
		(!plan->uid_map[0].own && !(out & PLAN_LAYER_RLIMITS));
	const bool scrubs = strv_length(spec->env_allow) > 0 || strv_length(spec->env_deny) > 0;
	const bool own_mounts = !(out & PLAN_LAYER_MOUNT);
	const bool persistent = view->has_scopes || spec->allow_temp;
	const bool own_net = plan->namespaces & PLAN_NS_NET;
	const struct {
		enum capability capability;
		bool asked;
		uint32_t layers; /* all of them must be there */
		bool also;
	} table[] = {
		{CAPABILITY_NET_DISABLE, spec->net == NET_DISABLE, PLAN_LAYER_NET, own_net},
		{CAPABILITY_NET_ENABLE, spec->net == NET_ENABLE, 0, true},
		{CAPABILITY_NET_OUTBOUND, spec->net == NET_OUTBOUND,
			PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS, own_net},
		{CAPABILITY_NET_EGRESS, spec->net == NET_EGRESS,
			PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS, own_net},
		{CAPABILITY_NET_INBOUND, spec->inbound != NULL,
			PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS, own_net},
		{CAPABILITY_FS_READ_HOST, view->broad, 0, true},
		{CAPABILITY_FS_READ_SCOPE, !view->broad, 0, own_mounts},
		{CAPABILITY_FS_READ_DENY, strv_length(spec->read_deny) > 0, PLAN_LAYER_READ_DENY,
			own_mounts},
		{CAPABILITY_FS_WRITE_DENY, spec->write == WRITE_NONE,
			PLAN_LAYER_READ_ONLY | PLAN_LAYER_DEV, own_mounts},
		{CAPABILITY_FS_WRITE_SCOPE,
			spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY,
			PLAN_LAYER_READ_ONLY, own_mounts},
		{CAPABILITY_FS_WRITE_EPHEMERAL,
			spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY,
			PLAN_LAYER_READ_ONLY, own_mounts && !view->no_overlay},
		{CAPABILITY_ENV_SCRUB, scrubs, PLAN_LAYER_ENV, true},
		{CAPABILITY_PROC_NO_EXEC, spec->no_exec, PLAN_LAYER_FILTER, true},
		{CAPABILITY_IPC_RESTRICT, !view->host_sockets,
			PLAN_LAYER_IPC | PLAN_LAYER_KEYRING | PLAN_LAYER_DEV | PLAN_LAYER_FILTER,
			own_mounts && own_net},
		{CAPABILITY_RES_CPU, spec->cpu_milli > 0, PLAN_LAYER_CGROUP,
			plan->cgroup_version[CGROUP_CPU]},
		{CAPABILITY_RES_MEMORY, spec->memory > 0, PLAN_LAYER_CGROUP,
			plan->cgroup_version[CGROUP_MEMORY]},
		{CAPABILITY_RES_PIDS, spec->pids > 0, 0, pids_kept},
		{CAPABILITY_RES_DISK, !persistent,
			PLAN_LAYER_DISK | PLAN_LAYER_DEV | PLAN_LAYER_READ_ONLY, own_mounts},
		{CAPABILITY_RES_TIME, plan->timeout > 0, PLAN_LAYER_TIME, true},
		{CAPABILITY_PROC_ISOLATION, true, PLAN_LAYER_PID | PLAN_LAYER_SESSION, own_mounts},
		{CAPABILITY_KERNEL_FILTER, true, PLAN_LAYER_FILTER, true},
		{CAPABILITY_PRIV_NONE, true,
			PLAN_LAYER_CAPS | PLAN_LAYER_NO_NEW_PRIVS | PLAN_LAYER_USER_LIMITS, true},
		{CAPABILITY_DEV_MINIMAL, true, PLAN_LAYER_DEV, own_mounts},
		{CAPABILITY_TTY_ISOLATE, true,
			PLAN_LAYER_SESSION | PLAN_LAYER_FILTER | PLAN_LAYER_DEV, own_mounts},
		{CAPABILITY_HOST_CONCEAL, !view->broad,
			PLAN_LAYER_UTS | PLAN_LAYER_MASKS | PLAN_LAYER_KEYRING | PLAN_LAYER_PID |
				PLAN_LAYER_CGROUP | PLAN_LAYER_DEV | PLAN_LAYER_FILTER,
			own_mounts},
		{CAPABILITY_SESSION_FRESH, !persistent && spec->share != SHARE_CONNECTION,
			PLAN_LAYER_IPC | PLAN_LAYER_PID | PLAN_LAYER_KEYRING | PLAN_LAYER_CLOSE_FDS,
			own_mounts && own_net},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].asked && !(out & table[i].layers) && table[i].also) {
			capability_set_add(&plan->uses, table[i].capability);
		}
	}
}

static int fill(
	const struct spec *spec, const struct host *host, struct plan *plan, struct err *err)
{
	cleanup(native_view_fini) struct native_view view = {0};
	int r = 0;

	foreign_namespaces(spec, plan);
	foreign_identity(host, plan);
	foreign_rlimits(spec, plan);
	plan->no_exec = spec->no_exec && !(plan->without & PLAN_LAYER_FILTER);
	plan->filter = plan->without & PLAN_LAYER_FILTER ? NULL : filter_get(plan->no_exec);
	if (!(plan->without & PLAN_LAYER_LANDLOCK)) {
		landlock_compile(host->landlock_abi, false, &plan->landlock);
	}
	plan->shared = spec->share != SHARE_NONE;
	r = native_net_compile(spec, host, plan, err);
	r = r < 0 ? r : native_view_compile(spec, host, plan, &view, err);
	r = r < 0 ? r : foreign_command(spec, view.start, plan);
	r = r < 0 ? r : foreign_environment(spec, view.home, plan);
	r = r < 0 ? r : native_net_environment(plan, &plan->env);
	r = r < 0 ? r : choose_sysctls(plan);
	r = r < 0 ? r : foreign_limits(spec, host, plan);
	r = r < 0 ? r : note_landlock(host, plan);
	r = r < 0 ? r : foreign_notes(spec, host, plan);
	if (r == 0) {
		choose_uses(spec, &view, plan);
		r = plan_seal(plan);
	}
	return r;
}

static int native_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	int r = spec_validate(spec, err);

	if (r < 0 || (r = refuse_unsupported(spec, host, err)) < 0) {
		return r;
	}
	r = plan_new("native", &plan);
	if (r == 0) {
		plan->executable_here = true;
		plan->without = without;
		r = fill(spec, host, plan, err);
	}
	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	if (r == 0) {
		*ret_plan = take_ptr(&plan);
	}
	return r;
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_native = {
	.name = "native",
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
	.start = launcher_start,
	.signal = launcher_signal,
	.poll_exit = launcher_poll_exit,
	.usage = launcher_usage,
	.destroy = launcher_destroy,
	.join = launcher_join,
	.open_socket = launcher_open_socket,
};
