#include "backends/promise.h"

#include <errno.h>

#include "backends/host.h"
#include "base/strv.h"

static bool is_scoped(const struct spec *spec)
{
	return spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY;
}

static bool is_ephemeral(const struct spec *spec)
{
	return spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY;
}

struct capability_set promise_asked(const struct spec *spec, const struct plan *plan)
{
	const struct {
		enum capability capability;
		bool asked;
	} table[] = {
		{CAPABILITY_NET_DISABLE, spec->net == NET_DISABLE},
		{CAPABILITY_NET_ENABLE, spec->net == NET_ENABLE},
		{CAPABILITY_NET_OUTBOUND, spec->net == NET_OUTBOUND},
		{CAPABILITY_NET_EGRESS, spec->net == NET_EGRESS},
		{CAPABILITY_NET_INBOUND, spec->inbound != NULL},
		{CAPABILITY_FS_READ_DENY, strv_length(spec->read_deny) > 0},
		{CAPABILITY_FS_WRITE_DENY, spec->write == WRITE_NONE},
		{CAPABILITY_FS_WRITE_SCOPE, is_scoped(spec)},
		{CAPABILITY_FS_WRITE_EPHEMERAL, is_ephemeral(spec)},
		{CAPABILITY_ENV_SCRUB,
			strv_length(spec->env_allow) > 0 || strv_length(spec->env_deny) > 0},
		{CAPABILITY_PROC_NO_EXEC, spec->no_exec},
		{CAPABILITY_RES_CPU, spec->cpu_milli > 0},
		{CAPABILITY_RES_MEMORY, spec->memory > 0},
		{CAPABILITY_RES_PIDS, spec->pids > 0},
		{CAPABILITY_RES_TIME, plan->timeout > 0},
	};
	struct capability_set asked = {(UINT64_C(1) << CAPABILITY_COUNT) - 1};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (!table[i].asked) {
			capability_set_remove(&asked, table[i].capability);
		}
	}
	return asked;
}

uint32_t promise_grounds(const struct spec *spec, const struct plan *plan)
{
	const uint32_t out = plan->without;
	const bool own_ids = !plan->uid_map[0].own;
	const struct {
		enum promise_ground ground;
		bool holds;
	} table[] = {
		{PROMISE_OWN_MOUNTS, !(out & PLAN_LAYER_MOUNT)},
		{PROMISE_OWN_NET, plan->namespaces & PLAN_NS_NET},
		{PROMISE_CPU_GROUP, plan->cgroup_version[CGROUP_CPU]},
		{PROMISE_MEMORY_GROUP, plan->cgroup_version[CGROUP_MEMORY]},
		{PROMISE_PIDS_GROUP, plan->cgroup_version[CGROUP_PIDS]},
		{PROMISE_PIDS_KEPT,
			plan->cgroup_version[CGROUP_PIDS] ||
				(own_ids && !(out & PLAN_LAYER_RLIMITS))},
		{PROMISE_UNSHARED, spec->share != SHARE_CONNECTION},
	};
	uint32_t grounds = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		grounds |= table[i].holds ? table[i].ground : 0;
	}
	return grounds;
}

void promise_keep(const struct promise *table, size_t count, const struct spec *spec,
	uint32_t grounds, struct plan *plan)
{
	struct capability_set asked = promise_asked(spec, plan);

	for (size_t i = 0; i < count; i++) {
		if (capability_set_has(asked, table[i].capability) &&
			!(plan->without & table[i].layers) && !(table[i].grounds & ~grounds)) {
			capability_set_add(&plan->uses, table[i].capability);
		}
	}
}

int promise_note_all(const struct promise_note *table, size_t count, struct plan *plan)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		r = table[i].holds ? plan_add_caveat(plan, table[i].caveat) : 0;
	}
	return r;
}

int promise_refuse_any(const struct promise_refusal *table, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (table[i].holds) {
			return err_refuse(err, ENOTSUP, "%s", table[i].why);
		}
	}
	return 0;
}
