/*
 * The gvisor backend: what it asks runsc for, and what may be promised then. Every flag that decides
 * something is said, none is left to a default, which differ from release to release. The limits are
 * ours, around all of runsc: one way for root and users, read back by us.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "backends/foreign-door.h"
#include "backends/foreign.h"
#include "backends/gvisor.h"
#include "backends/keeper.h"
#include "backends/oci.h"
#include "base/cleanup.h"

#define SESSION_ID 1000 /* within the range of ids that are no user's */
#define NO_RANGE_ID 65532 /* nobody else's, where there is no range */

static int gvisor_probe(const struct host *host, struct err *err)
{
	if (!gvisor_facts(host)->present) {
		return err_refuse(err, ENOTSUP,
			"runsc is not installed here; apt-get install runsc, or see gvisor.dev");
	}
	if (!host->root && !host->user_namespaces) {
		return err_refuse(err, ENOTSUP,
			"runsc without root needs user namespaces, which cannot be made here");
	}
	return 0;
}

static int refuse_unsupported(
	const struct spec *spec, const struct host *host, uint32_t without, struct err *err)
{
	const struct promise_refusal table[] = {
		{spec->net == NET_ENABLE || spec->net == NET_OUTBOUND,
			"net: gvisor has no network yet that was measured; use net: disable"},
		{spec->net == NET_EGRESS || strv_length(spec->egress) > 0,
			"net.egress: gvisor cannot do this yet; use net: disable"},
		{strv_length(spec->inbound) > 0, "net.inbound: gvisor cannot do this yet"},
		{spec->root != ROOT_HOST,
			"root: gvisor takes files from the host's own tree only yet; list them "
			"with readable"},
		{spec->ids == IDS_RANGE,
			"ids: range: runsc runs all sessions as nobody; use native, or auto"},
		{spec->ids == IDS_SINGLE && host->root,
			"ids: single would make the session root's own; use auto, or start as a "
			"user"},
		{spec->memory > 0 && spec->memory < GVISOR_MEMORY_LEAST,
			"memory: runsc itself takes about 40 MiB of it; use 96M or more"},
	};

	(void)without; /* what runsc has no such layer for changes nothing */
	return promise_refuse_any(table, ARRAY_SIZE(table), err);
}

/*
 * File modes are checked by gVisor's kernel against the ids that files have on the host, so the
 * session must not have those of a user. Without root there is one id only, which is 0 inside.
 */
static void choose_identity(const struct host *host, struct plan *plan)
{
	foreign_identity(host, plan);
	plan->uid = !host->root               ? 0
		: host->id_count > SESSION_ID ? host->id_base + SESSION_ID
					      : NO_RANGE_ID;
	plan->gid = plan->uid;
}

static void choose_rlimits(const struct spec *spec, struct plan *plan)
{
	foreign_rlimits(spec, plan);
	/* Counted by a kernel that serves nobody else. */
	if (spec->pids > 0 && plan->uid_map[0].own && !(plan->without & PLAN_LAYER_RLIMITS)) {
		plan_add_rlimit(plan, "nproc", RLIMIT_NPROC, spec->pids, spec->pids);
	}
}

static int choose_limits(const struct spec *spec, const struct host *host, struct plan *plan)
{
	int r = foreign_limits(spec, host, plan);

	if (spec->pids > 0) {
		plan->pids = gvisor_host_tasks(spec->pids);
	}
	return r;
}

static bool has_net(const struct spec *spec, const struct plan *plan)
{
	return spec->net == NET_ENABLE || plan->without & PLAN_LAYER_NET;
}

static bool has_filter(const struct host *host, const struct plan *plan)
{
	return gvisor_facts(host)->oci_seccomp && !(plan->without & PLAN_LAYER_FILTER);
}

static int choose_tool(const struct spec *spec, const struct host *host,
	const struct gvisor_view *view, struct plan *plan)
{
	const struct host_gvisor *facts = gvisor_facts(host);
	const struct {
		bool holds;
		const char *flag;
	} table[] = {
		{true, "runsc"},
		{true, "--root={dir}/state"},
		{true, "--log={dir}/log"},
		{true, "--log-format=json"},
		{true, "--debug=false"},
		{true, "--strace=false"},
		{true, "--profile=false"},
		{true, "--allow-flag-override=false"},
		{!host->root, "--rootless=true"},
		{host->root, "--rootless=false"},
		{true, facts->systrap ? "--platform=systrap" : "--platform=ptrace"},
		{true, has_net(spec, plan) ? "--network=host" : "--network=none"},
		{true, "--net-raw=false"},
		{true,
			view->overlay_root          ? "--overlay2=root:memory"
				: view->overlay_all ? "--overlay2=all:memory"
						    : "--overlay2=none"},
		{true, view->broad ? "--file-access=shared" : "--file-access=exclusive"},
		{true, "--file-access-mounts=shared"},
		{true, "--host-uds=none"},
		{facts->host_fifo, "--host-fifo=none"},
		{facts->directfs, "--directfs=false"},
		{true, "--ignore-cgroups=true"},
		{true, "--systemd-cgroup=false"},
		{facts->oci_seccomp,
			has_filter(host, plan) ? "--oci-seccomp=true" : "--oci-seccomp=false"},
		{true, "run"},
		{true, "--bundle={dir}"},
		{true, "{id}"},
	};
	int r = strv_append(&plan->tool_env,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(table); i++) {
		r = table[i].holds ? strv_append(&plan->command, table[i].flag) : 0;
	}
	return r;
}

/* Without a group to kill, runsc is asked to. */
static int choose_steps(const struct host *host, struct plan *plan)
{
	static const char *const kill[] = {"runsc", "--root={dir}/state", "--rootless=true", "kill",
		"--all", "{id}", "KILL", NULL};

	if (host->root || host->cgroup_kill[0]) {
		return 0;
	}
	return plan_add_step(plan, PLAN_KILL, (char *const *)(uintptr_t)kill);
}

/* For a session without a terminal; a start turns the one word over that says so. */
static int make_bundle(const struct spec *spec, const struct host *host,
	const struct gvisor_view *view, struct plan *plan, struct err *err)
{
	/* The network's is the last: with the host's network runsc is to stay where that is. */
	const char *const namespaces[] = {
		"pid", "mount", "ipc", "uts", has_net(spec, plan) ? NULL : "network", NULL};
	/* It does not read the state that a hook is told: runsc does not mind, crun now and then does. */
	static const char *const started[] = {"/bin/touch", "{dir}/started", NULL};
	static const char *const none[] = {NULL};
	uint32_t flags = (spec->no_exec ? OCI_SECCOMP_NO_EXEC : 0) |
		(gvisor_facts(host)->systrap ? 0 : OCI_SECCOMP_OLD_RUNSC);
	cleanup_free char *seccomp = has_filter(host, plan) ? oci_seccomp_json(flags) : NULL;
	struct oci_config config = {.plan = plan,
		.root = view->broad ? "/" : "rootfs",
		.root_read_only = !view->overlay_root && !view->overlay_all &&
			!(plan->without & (PLAN_LAYER_READ_ONLY | PLAN_LAYER_MOUNT)),
		.seccomp = seccomp,
		.namespaces = namespaces,
		.masked = none,
		.read_only = none,
		.cgroups_path = "/cloche/{id}",
		.started = started};
	cleanup_free char *text = NULL;

	if (has_filter(host, plan) && !seccomp) {
		return -ENOMEM;
	}
	int r = oci_config_json(&config, &text);
	if (r == -EINVAL) {
		return err_refuse(err, EINVAL,
			"an argument, variable or path is not UTF-8, which a bundle cannot carry");
	}
	return r < 0 ? r : plan_add_file(plan, GVISOR_CONFIG, text, 0600);
}

static int note_spec(const struct spec *spec, const struct host *host,
	const struct gvisor_view *view, struct plan *plan)
{
	const struct host_gvisor *facts = gvisor_facts(host);
	const struct promise_note table[] = {
		{spec->net == NET_DISABLE, "net.disable.loopback_private"},
		{spec->no_exec && has_filter(host, plan), "proc.no_exec.loader"},
		{spec->no_exec && !has_filter(host, plan), "gvisor.no_filter"},
		{spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY,
			"fs.write_ephemeral.places"},
		{strv_length(spec->mach_allow) > 0, "mach.ignored"},
		{!host->root, "id.single_uid"},
		{host->root && host->id_count == 0, "userns.no_range"},
		{host->root, "gvisor.gofer_root"},
		{!facts->systrap, "gvisor.ptrace"},
		{!facts->systrap && view->statx, "gvisor.statx_preload"},
		{!facts->systrap && !view->statx, "gvisor.statx"},
		{has_filter(host, plan), "gvisor.filter_inside"},
		{true, "gvisor.device_nodes"},
		{true, "gvisor.paths_again"},
		{true, "gvisor.exit_status"},
		{spec->memory > 0, "gvisor.memory_whole"},
		{spec->pids > 0, "gvisor.tasks_inside"},
		{spec->memory == 0, "res.disk.memfd"},
		{capability_set_has(spec->require, CAPABILITY_DENIAL_LOG),
			"denial_log.unavailable"},
		{spec->why && !foreign_door_is_in(plan), "session.no_why"},
		{plan->without != 0, "layer.removed"},
	};

	return promise_note_all(table, ARRAY_SIZE(table), plan);
}

/*
 * The promises, each with everything it rests on, and only those the testkit has seen kept: by the
 * host, or by its eye in gVisor's own kernel. User namespaces are kept by the filter alone there.
 */
static const struct promise promises[] = {
	{CAPABILITY_KERNEL_ISOLATION, 0, 0},
	{CAPABILITY_NET_DISABLE, PLAN_LAYER_NET, 0},
	{CAPABILITY_FS_READ_HOST, 0, PROMISE_BROAD_VIEW},
	{CAPABILITY_FS_READ_SCOPE, 0, PROMISE_LISTED_VIEW | PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_READ_DENY, PLAN_LAYER_READ_DENY, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_DENY, PLAN_LAYER_READ_ONLY, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_SCOPE, PLAN_LAYER_READ_ONLY, PROMISE_OWN_MOUNTS},
	{CAPABILITY_FS_WRITE_EPHEMERAL, PLAN_LAYER_READ_ONLY,
		PROMISE_OWN_MOUNTS | PROMISE_THROW_AWAY},
	{CAPABILITY_ENV_SCRUB, PLAN_LAYER_ENV, 0},
	{CAPABILITY_PROC_NO_EXEC, PLAN_LAYER_FILTER, PROMISE_FILTERED},
	{CAPABILITY_IPC_RESTRICT, 0, PROMISE_OWN_MOUNTS},
	{CAPABILITY_RES_CPU, PLAN_LAYER_CGROUP, PROMISE_CPU_GROUP},
	{CAPABILITY_RES_MEMORY, PLAN_LAYER_CGROUP, PROMISE_MEMORY_GROUP},
	{CAPABILITY_RES_PIDS, PLAN_LAYER_RLIMITS, 0},
	{CAPABILITY_RES_DISK, PLAN_LAYER_DISK | PLAN_LAYER_READ_ONLY,
		PROMISE_NOTHING_PERSISTS | PROMISE_OWN_MOUNTS | PROMISE_SIZED_PLACES},
	{CAPABILITY_RES_TIME, PLAN_LAYER_TIME, 0},
	{CAPABILITY_KERNEL_FILTER, PLAN_LAYER_FILTER, PROMISE_FILTERED},
	{CAPABILITY_PRIV_NONE, PLAN_LAYER_CAPS | PLAN_LAYER_FILTER, PROMISE_FILTERED},
	{CAPABILITY_PROC_ISOLATION, 0, 0},
	{CAPABILITY_TTY_ISOLATE, PLAN_LAYER_FILTER, PROMISE_OWN_MOUNTS},
	{CAPABILITY_HOST_CONCEAL, 0, PROMISE_LISTED_VIEW | PROMISE_OWN_MOUNTS},
	{CAPABILITY_SESSION_FRESH, 0, PROMISE_NOTHING_PERSISTS | PROMISE_OWN_MOUNTS},
};

/* What the promises rest on. */
static uint32_t find_grounds(const struct spec *spec, const struct host *host,
	const struct gvisor_view *view, const struct plan *plan)
{
	return promise_grounds(spec, plan) |
		(view->broad ? PROMISE_BROAD_VIEW : PROMISE_LISTED_VIEW) |
		(view->no_overlay ? 0 : PROMISE_THROW_AWAY) |
		(view->overlay_root || view->overlay_all ? 0 : PROMISE_SIZED_PLACES) |
		(view->persistent ? 0 : PROMISE_NOTHING_PERSISTS) |
		(has_filter(host, plan) ? PROMISE_FILTERED : 0);
}

/* Where the root is the host's, what runsc is to mount at must be there: root's servers have made it. */
static bool has_place(const struct host *host, const struct gvisor_view *view)
{
	return host->root || !view->broad;
}

static int fill(
	const struct spec *spec, const struct host *host, struct plan *plan, struct err *err)
{
	cleanup(gvisor_view_fini) struct gvisor_view view = {0};
	int r = 0;

	choose_identity(host, plan);
	choose_rlimits(spec, plan);
	r = gvisor_view_compile(spec, host, plan, &view);
	r = r < 0 ? r : foreign_command(spec, view.start, plan);
	r = r < 0 ? r : foreign_environment(spec, view.home, plan);
	r = r < 0 || !has_place(host, &view) ? r
					     : foreign_door_compile(spec, plan, FOREIGN_DOOR_PAGE);
	r = r < 0 ? r : choose_limits(spec, host, plan);
	r = r < 0 ? r : choose_tool(spec, host, &view, plan);
	r = r < 0 ? r : choose_steps(host, plan);
	r = r < 0 ? r : make_bundle(spec, host, &view, plan, err);
	r = r < 0 ? r : note_spec(spec, host, &view, plan);
	if (r == 0) {
		promise_keep(promises, ARRAY_SIZE(promises), spec,
			find_grounds(spec, host, &view, plan), plan);
		r = foreign_seal(spec, plan);
	}
	return r;
}

static int gvisor_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	static const struct foreign_compiler compiler = {
		"gvisor", PLAN_KERNEL_USER, refuse_unsupported, fill};

	return foreign_compile(&compiler, spec, host, without, ret_plan, err);
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_gvisor = {
	.name = "gvisor",
	.summary = "a kernel in user space (runsc) serves the session's system calls",
	.kernel = PLAN_KERNEL_USER,
	.no_file_streams = true,
	.enforces = {HAS(NET_DISABLE) | HAS(FS_READ_HOST) | HAS(FS_READ_SCOPE) | HAS(FS_READ_DENY) |
		HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) | HAS(FS_WRITE_EPHEMERAL) |
		HAS(ENV_SCRUB) | HAS(PROC_NO_EXEC) | HAS(RES_CPU) | HAS(RES_MEMORY) |
		HAS(RES_PIDS) | HAS(RES_DISK) | HAS(KERNEL_ISOLATION) | HAS(IPC_RESTRICT) |
		HAS(RES_TIME) | HAS(PROC_ISOLATION) | HAS(KERNEL_FILTER) | HAS(PRIV_NONE) |
		HAS(TTY_ISOLATE) | HAS(HOST_CONCEAL) | HAS(SESSION_FRESH)},
	.probe = gvisor_probe,
	.compile = gvisor_compile,
	.warm = keeper_warm,
	.begin = keeper_ahead,
	.forget = keeper_forget,
	.start = gvisor_start,
	.signal = gvisor_signal,
	.poll_exit = gvisor_poll_exit,
	.usage = gvisor_usage,
	.take_door = gvisor_take_door,
	.destroy = gvisor_destroy,
};
