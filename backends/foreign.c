#include "backends/foreign.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/strv.h"

#define SESSION_UID 1000
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

void foreign_identity(const struct host *host, struct plan *plan)
{
	plan->uid = plan->gid = SESSION_UID;
	plan->id_map_count = 1;
	if (host->root && host->id_count > 0) {
		plan->uid_map[0] = (struct plan_id_map){.inside = 0, .count = 65536};
	} else {
		plan->uid_map[0] =
			(struct plan_id_map){.inside = SESSION_UID, .count = 1, .own = true};
	}
}

int foreign_environment(const struct spec *spec, const char *home, struct plan *plan)
{
	const struct {
		const char *name, *value;
	} defaults[] = {{"PATH", PATH_DEFAULT}, {"HOME", home}, {"USER", plan->user},
		{"LOGNAME", plan->user}, {"SHELL", spec->shell ? spec->shell : "/bin/sh"}};
	int r = 0;

	if (plan->without & PLAN_LAYER_ENV) {
		r = strv_copy(spec->env, &plan->env);
	} else {
		r = spec_environment(spec, &plan->env);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(defaults); i++) {
		if (!strv_getenv(plan->env, defaults[i].name)) {
			r = strv_setenv(&plan->env, defaults[i].name, defaults[i].value);
		}
	}
	if (r == 0) {
		strv_sort(plan->env);
	}
	return r;
}

int foreign_command(const struct spec *spec, const char *start, struct plan *plan)
{
	plan->dir = strdup(spec->dir ? spec->dir : start);
	plan->hostname = strdup(spec->hostname ? spec->hostname : "cloche");
	plan->user = strdup(spec->user ? spec->user : "user");
	if (!plan->dir || !plan->hostname || !plan->user) {
		return -ENOMEM;
	}
	return strv_copy(spec->args, &plan->argv);
}

void foreign_rlimits(const struct spec *spec, struct plan *plan)
{
	if (plan->without & PLAN_LAYER_RLIMITS) {
		return;
	}
	plan_add_rlimit(plan, "core", RLIMIT_CORE, 0, 0);
	plan_add_rlimit(plan, "nofile", RLIMIT_NOFILE, 1024, 65536);
	plan_add_rlimit(plan, "memlock", RLIMIT_MEMLOCK, 8 << 20, 8 << 20);
	plan_add_rlimit(plan, "msgqueue", RLIMIT_MSGQUEUE, 819200, 819200);
	plan_add_rlimit(plan, "sigpending", RLIMIT_SIGPENDING, 256, 256);
	plan_add_rlimit(plan, "nice", RLIMIT_NICE, 0, 0);
	plan_add_rlimit(plan, "rtprio", RLIMIT_RTPRIO, 0, 0);
	/* Counted per uid and user namespace: ours alone when the ids are the session's own. */
	if (spec->pids > 0 && !plan->uid_map[0].own) {
		plan_add_rlimit(plan, "nproc", RLIMIT_NPROC, spec->pids, spec->pids);
	}
}

int foreign_limits(const struct spec *spec, const struct host *host, struct plan *plan)
{
	static const struct {
		enum cgroup_controller controller;
		const char *caveat;
	} missing[] = {{CGROUP_MEMORY, "res.memory.no_cgroup"}, {CGROUP_CPU, "res.cpu.no_cgroup"}};
	const uint64_t asked[] = {spec->memory, spec->cpu_milli};
	bool off = plan->without & PLAN_LAYER_CGROUP;
	int r = 0;

	plan->memory = spec->memory;
	plan->pids = spec->pids;
	plan->cpu_milli = spec->cpu_milli;
	plan->timeout = plan->without & PLAN_LAYER_TIME ? 0 : spec->timeout;
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		plan->cgroup_version[i] = off ? 0 : host->cgroup[i].version;
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(missing); i++) {
		if (asked[i] > 0 && !plan->cgroup_version[missing[i].controller]) {
			r = plan_add_caveat(plan, missing[i].caveat);
		}
	}
	if (r == 0 && spec->pids > 0 && !plan->cgroup_version[CGROUP_PIDS]) {
		bool by_rlimit = !plan->uid_map[0].own && !(plan->without & PLAN_LAYER_RLIMITS);
		r = plan_add_caveat(plan, by_rlimit ? "res.pids.by_rlimit" : "res.pids.no_cgroup");
	}
	if (r == 0 && !off && !host->cgroup_kill[0]) {
		r = plan_add_caveat(plan, "cgroup.no_kill");
	}
	if (r == 0 && spec->memory > 0) {
		r = plan_add_caveat(plan, "res.disk.shared_with_memory");
	}
	return r;
}

/* Where a placeholder could begin, whatever comes behind it. */
static bool looks_like_placeholder(const char *text)
{
	static const char *const heads[] = {"{id}", "{dir}", "{fd:", "{port:", "{brace}"};

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		if (strncmp(text, heads[i], strlen(heads[i])) == 0) {
			return true;
		}
	}
	return false;
}

char *foreign_literal(const char *text)
{
	struct buf out = {0};

	for (; *text; text++) {
		if (looks_like_placeholder(text)) {
			buf_printf(&out, "{brace}");
		} else {
			buf_put(&out, text, 1);
		}
	}
	buf_put(&out, "", 1);
	if (out.failed) {
		buf_fini(&out);
		return NULL;
	}
	return (char *)out.data;
}
