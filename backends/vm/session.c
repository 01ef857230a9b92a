#include "backends/vm/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/native-door.h"
#include "base/cleanup.h"

void vm_session_host(const struct vm_facts *facts, struct host *ret)
{
	*ret = (struct host){.release = "guest",
		.machine = "x86_64",
		.root = true,
		.user_namespaces = true,
		.proc_mountable = true,
		.overlay = true,
		.clone_into_cgroup = true,
		.landlock_abi = facts->landlock_abi,
		.merged_usr = facts->merged_usr,
		.cgroup_kill = "/sys/fs/cgroup/cloche",
		.processors = facts->processors,
		.id_base = VM_ID_BASE,
		.id_count = 65536};
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		ret->cgroup[i] = (struct host_cgroup){2, "/sys/fs/cgroup/cloche"};
	}
}

bool vm_session_is_scope(const struct plan_mount *mount)
{
	return mount->kind == PLAN_MOUNT_BIND && !(mount->flags & (PLAN_READ_ONLY | PLAN_INSIDE));
}

/* Variables that the lists take out do not go into the guest at all. */
static int take_out_variables(struct spec *spec)
{
	cleanup(strv_freep) char **kept = NULL;
	int r = spec_environment(spec, &kept);

	if (r == 0) {
		spec->env = strv_free(spec->env);
		spec->env = take_ptr(&kept);
	}
	return r;
}

/* What is decided outside does not reach in: who may refuse the plan, and how long it may run. */
static int inner_spec(const struct spec *spec, uint32_t without, struct spec *ret)
{
	int r = spec_copy(spec, ret);

	if (r == 0 && !(without & PLAN_LAYER_ENV)) {
		r = take_out_variables(ret);
		if (r < 0) {
			spec_fini(ret);
		}
	}
	if (r == 0) {
		ret->timeout = 0;
		ret->require = (struct capability_set){0};
		ret->refuse_on = strv_free(ret->refuse_on);
		ret->ids = IDS_AUTO;
		ret->strict = false;
		/* The agent listens at the door inside, and asks at that of the jail. */
		ret->why = spec->why && !native_door_is_refused(spec, NATIVE_DOOR_CAVEAT);
		free(take_ptr(&ret->backend));
	}
	return r;
}

int vm_session_compile(const struct spec *spec, const struct vm_facts *facts, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	struct spec inner;
	struct host host;
	int r = inner_spec(spec, without, &inner);

	if (r < 0) {
		return err_set(err, -r, "copying the spec");
	}
	vm_session_host(facts, &host);
	r = backend_native.compile(&inner, &host, without, &plan, err);
	spec_fini(&inner);
	if (r < 0) {
		return r;
	}
	/* Owners are mapped outside, where the files are: 9p cannot. */
	for (size_t i = 0; i < plan->mount_count; i++) {
		plan->mounts[i].flags &= ~(uint32_t)PLAN_IDMAP;
	}
	r = plan_seal(plan);
	if (r == 0) {
		*ret_plan = take_ptr(&plan);
	}
	return r;
}

char *vm_session_text(
	const struct spec *spec, const struct vm_facts *facts, uint32_t without, const char *digest)
{
	cleanup_free char *json = NULL;
	struct spec inner;
	char *text = NULL;

	if (inner_spec(spec, without, &inner) < 0) {
		return NULL;
	}
	json = spec_to_json(&inner);
	int why = inner.why;
	spec_fini(&inner);
	if (!json ||
		asprintf(&text, "2 %s %s %d %d %u %x %d\n%s", digest, facts->kit,
			facts->landlock_abi, facts->merged_usr, facts->processors, without, why,
			json) < 0) {
		return NULL;
	}
	return text;
}

int vm_session_parse(const char *text, struct spec *ret_spec, struct vm_facts *ret_facts,
	uint32_t *ret_without, char digest[65], struct err *err)
{
	const char *json = strchr(text, '\n');
	int merged = 0;
	int why = 0;

	if (!json ||
		sscanf(text, "2 %64[0-9a-f] %64[0-9a-f] %d %d %u %x %d\n", digest, ret_facts->kit,
			&ret_facts->landlock_abi, &merged, &ret_facts->processors, ret_without,
			&why) != 7) {
		return err_refuse(err, EBADMSG, "%s", VM_OTHER_BUILD);
	}
	ret_facts->merged_usr = merged;
	int r = spec_from_json(json + 1, ret_spec, err);
	if (r == 0) {
		ret_spec->why = why;
	}
	return r;
}
