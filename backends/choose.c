#include "backends/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct backend *backend_find(const struct backend *const list[], const char *name)
{
	for (size_t i = 0; list[i]; i++) {
		if (strcmp(list[i]->name, name) == 0) {
			return list[i];
		}
	}
	return NULL;
}

static bool has_caveat_about(const struct plan *plan, enum capability capability)
{
	for (size_t i = 0; i < plan->caveat_count; i++) {
		if (plan->caveats[i].capability == capability) {
			return true;
		}
	}
	return plan->without != 0 && plan_has_caveat(plan, "layer.removed");
}

/*
 * A restriction the spec asks for may be missing from what the plan uses only where the plan says
 * so. A plan that is silent about one is a bug of its backend, and is not run.
 */
static int check_silence(const struct spec *spec, const struct plan *plan, struct err *err)
{
	struct capability_set lacking = capability_set_sub(spec_capabilities(spec), plan->uses);
	struct capability_set silent = {0};
	char names[200];

	for (enum capability c = 0; c < CAPABILITY_COUNT; c++) {
		if (capability_set_has(lacking, c) &&
			capability_kind(c) == CAPABILITY_RESTRICTION &&
			!has_caveat_about(plan, c)) {
			capability_set_add(&silent, c);
		}
	}
	if (silent.bits == 0) {
		return 0;
	}
	return err_refuse(err, ENOTSUP, "lacks %s and does not say so",
		capability_set_format(silent, names, sizeof(names)));
}

static int try_backend(const struct backend *backend, const struct spec *spec,
	const struct host *host, uint32_t without, struct plan **ret_plan, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	int r = backend->probe(host, err);

	if (r == 0) {
		r = backend->compile(spec, host, without, &plan, err);
	}
	if (r == 0) {
		r = plan_check(plan, spec->require, spec->refuse_on, err);
	}
	if (r == 0) {
		r = check_silence(spec, plan, err);
	}
	if (r == 0) {
		*ret_plan = take_ptr(&plan);
	}
	return r;
}

static bool is_auto(const char *name)
{
	return !name || strcmp(name, "auto") == 0;
}

/* "there is no backend 'x'; there are native, ..." */
static int refuse_unknown(const struct backend *const list[], const char *name, struct err *err)
{
	char names[256] = "";
	size_t used = 0;

	for (size_t i = 0; list[i] && used < sizeof(names); i++) {
		used += (size_t)snprintf(
			names + used, sizeof(names) - used, "%s%s", i ? ", " : "", list[i]->name);
	}
	return err_refuse(err, ENOTSUP, "there is no backend '%s'; there are: %s", name, names);
}

int backend_choose(const struct backend *const list[], const struct spec *spec,
	const struct host *host, uint32_t without, const struct backend **ret_backend,
	struct plan **ret_plan, struct err *err)
{
	char refusals[sizeof(err->msg)] = "";
	size_t used = 0;
	int r = spec_validate(spec, err);

	if (r < 0) {
		return r;
	}
	if (!is_auto(spec->backend) && !backend_find(list, spec->backend)) {
		return refuse_unknown(list, spec->backend, err);
	}
	for (size_t i = 0; list[i]; i++) {
		struct err refusal = {0};
		if (!is_auto(spec->backend) && strcmp(list[i]->name, spec->backend) != 0) {
			continue;
		}
		r = try_backend(list[i], spec, host, without, ret_plan, &refusal);
		if (r == 0) {
			*ret_backend = list[i];
			return 0;
		}
		if (r == -ENOMEM) {
			return err_set(err, ENOMEM, "compiling for %s", list[i]->name);
		}
		if (used < sizeof(refusals)) {
			used += (size_t)snprintf(refusals + used, sizeof(refusals) - used,
				"%s%s: %s", used ? "; " : "", list[i]->name, refusal.msg);
		}
	}
	return err_refuse(err, ENOTSUP, "%s", *refusals ? refusals : "there is no backend");
}
