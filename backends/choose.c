/*
 * Which backend takes a spec. Compiling costs little and has no effect, asking a foreign tool whether
 * it is there may cost a process: so all that can be decided from plans is decided first, and only
 * those are asked whose plan would be taken.
 */
#include "backends/choose.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

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

/* The restrictions that a spec wants and kept does not have. */
static struct capability_set find_lacking(const struct spec *spec, struct capability_set kept)
{
	struct capability_set wanted = capability_set_union(spec_capabilities(spec), spec->require);
	struct capability_set lacking = capability_set_sub(wanted, kept);

	for (enum capability c = 0; c < CAPABILITY_COUNT; c++) {
		if (capability_kind(c) != CAPABILITY_RESTRICTION) {
			capability_set_remove(&lacking, c);
		}
	}
	return lacking;
}

/*
 * A restriction the spec asks for may be missing from what the plan uses only where the plan says
 * so. A plan that is silent about one is a bug of its backend, and is not run.
 */
static int check_silence(const struct spec *spec, const struct plan *plan, struct err *err)
{
	struct capability_set silent = find_lacking(spec, plan->uses);
	char names[200];

	for (enum capability c = 0; c < CAPABILITY_COUNT; c++) {
		if (has_caveat_about(plan, c)) {
			capability_set_remove(&silent, c);
		}
	}
	if (silent.bits == 0) {
		return 0;
	}
	return err_refuse(err, ENOTSUP, "lacks %s and does not say so",
		capability_set_format(silent, names, sizeof(names)));
}

/* A promise beyond what the backend says it can keep at its best is not believed. */
static int check_claims(const struct backend *backend, const struct plan *plan, struct err *err)
{
	struct capability_set beyond = capability_set_sub(plan->uses, backend->enforces);
	char names[200];

	if (beyond.bits == 0) {
		return 0;
	}
	return err_refuse(err, ENOTSUP, "promises %s, which it cannot keep",
		capability_set_format(beyond, names, sizeof(names)));
}

int backend_compile(const struct backend *backend, const struct spec *spec, const struct host *host,
	uint32_t without, struct plan **ret_plan, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	cleanup(spec_fini) struct spec resolved = {0};
	int r = 0;

	if (spec->share != SHARE_NONE && !backend->join) {
		return err_refuse(err, ENOTSUP,
			"share: connection and agent forwarding: this backend cannot let a command "
			"join a sandbox");
	}
	if (spec->home_source && !backend->keeps_home) {
		return err_refuse(err, ENOTSUP,
			"home_mode: persistent: this backend does not keep home directories; "
			"native "
			"does");
	}
	r = spec_check_paths(spec, backend->name, err);
	if (r == 0 && backend->resolve) {
		r = backend->resolve(spec, host, &resolved, err);
	}
	r = r < 0
		? r
		: backend->compile(backend->resolve ? &resolved : spec, host, without, &plan, err);
	r = r < 0 ? r : check_claims(backend, plan, err);
	r = r < 0 ? r : plan_check(plan, spec->require, spec->refuse_on, err);
	r = r < 0 ? r : check_silence(spec, plan, err);
	if (r == 0) {
		*ret_plan = take_ptr(&plan);
	}
	return r;
}

static bool is_named(const struct spec *spec)
{
	return spec->backend && strcmp(spec->backend, "auto") != 0;
}

static const char *nearest_name(const struct backend *const list[], const char *name)
{
	const char *nearest = NULL;
	size_t best = 4;

	for (size_t i = 0; list[i]; i++) {
		size_t distance = parse_edit_distance(name, list[i]->name, best);
		if (distance < best && distance < strlen(list[i]->name)) {
			best = distance;
			nearest = list[i]->name;
		}
	}
	return nearest;
}

int backend_check_name(const struct backend *const list[], const char *name, struct err *err)
{
	const char *nearest = NULL;
	char names[256] = "";
	size_t used = 0;

	if (strcmp(name, "auto") == 0 || backend_find(list, name)) {
		return 0;
	}
	nearest = nearest_name(list, name);
	if (nearest) {
		return err_refuse(err, ENOTSUP, "there is no backend '%s'; did you mean '%s'?",
			name, nearest);
	}
	for (size_t i = 0; list[i] && used < sizeof(names); i++) {
		used += (size_t)snprintf(
			names + used, sizeof(names) - used, "%s%s", i ? ", " : "", list[i]->name);
	}
	return err_refuse(err, ENOTSUP, "there is no backend '%s'; there are: %s", name, names);
}

/* ---- one row ---- */

static unsigned count_weaker(const struct plan *plan)
{
	unsigned count = 0;

	for (size_t i = 0; i < plan->caveat_count; i++) {
		count += plan->caveats[i].severity != CAVEAT_INFO;
	}
	return count;
}

/* All that the plan decides. 0, also when it is refused; -ENOMEM. */
static int weigh(struct choice *choice, const struct backend *backend, const struct spec *spec,
	const struct host *host, uint32_t without)
{
	*choice = (struct choice){.backend = backend};
	int r = backend_compile(backend, spec, host, without, &choice->plan, &choice->refusal);

	if (r == -ENOMEM) {
		return err_set(&choice->refusal, ENOMEM, "compiling");
	}
	choice->fits = r == 0;
	choice->lacks = find_lacking(spec, choice->fits ? choice->plan->uses : backend->enforces);
	choice->weaker = choice->fits ? count_weaker(choice->plan) : 0;
	return 0;
}

/* Asks the host, once. */
static bool ask(struct choice *choice, const struct host *host)
{
	if (!choice->asked) {
		choice->asked = true;
		choice->available = choice->backend->probe(host, &choice->absence) == 0;
	}
	return choice->available;
}

static bool is_perfect(const struct choice *choice)
{
	return choice->fits && choice->lacks.bits == 0 && choice->weaker == 0;
}

/* Does a rank before b, where a stands behind b in the registry? */
static bool is_better(const struct choice *a, const struct choice *b)
{
	size_t a_lacks = capability_set_len(a->lacks);
	size_t b_lacks = capability_set_len(b->lacks);

	return a_lacks != b_lacks ? a_lacks < b_lacks : a->weaker < b->weaker;
}

/* The best that fits and was not found absent, or NULL. */
static struct choice *find_best(const struct choices *choices)
{
	struct choice *best = NULL;

	for (size_t i = 0; i < choices->count; i++) {
		struct choice *choice = &choices->list[i];
		bool possible = choice->fits && (!choice->asked || choice->available);
		if (possible && choice->rank == 0 && (!best || is_better(choice, best))) {
			best = choice;
		}
	}
	return best;
}

/* ---- the table ---- */

void choices_fini(struct choices *choices)
{
	for (size_t i = 0; i < choices->count; i++) {
		plan_free(choices->list[i].plan);
	}
	free(choices->list);
	*choices = (struct choices){0};
}

static int choices_init(
	struct choices *choices, const struct backend *const list[], struct err *err)
{
	size_t count = 0;

	while (list[count]) {
		count++;
	}
	*choices = (struct choices){.list = calloc(count + 1, sizeof(*choices->list))};
	return choices->list ? 0 : err_set(err, ENOMEM, "choosing a backend");
}

static int check_request(
	const struct backend *const list[], const struct spec *spec, struct err *err)
{
	int r = spec_validate(spec, err);

	return r == 0 && spec->backend ? backend_check_name(list, spec->backend, err) : r;
}

int backend_weigh(const struct backend *const list[], const struct spec *spec,
	const struct host *host, uint32_t without, struct choices *ret, struct err *err)
{
	cleanup(choices_fini) struct choices choices = {0};
	struct choice *best = NULL;
	unsigned rank = 0;
	int r = check_request(list, spec, err);

	r = r < 0 ? r : choices_init(&choices, list, err);
	for (size_t i = 0; r == 0 && list[i]; i++) {
		r = weigh(&choices.list[choices.count++], list[i], spec, host, without);
		(void)ask(&choices.list[i], host);
	}
	if (r < 0) {
		return r == -ENOMEM ? err_set(err, ENOMEM, "choosing a backend") : r;
	}
	while ((best = find_best(&choices))) {
		best->rank = ++rank;
	}
	*ret = choices;
	choices = (struct choices){0};
	return 0;
}

const struct choice *choices_taken(const struct choices *choices, const struct spec *spec)
{
	bool best_only = spec->backend && !is_named(spec);

	for (size_t i = 0; i < choices->count; i++) {
		const struct choice *choice = &choices->list[i];
		bool meant = !is_named(spec) || strcmp(choice->backend->name, spec->backend) == 0;
		if (meant && choice->rank && (!best_only || choice->rank == 1)) {
			return choice;
		}
	}
	return NULL;
}

/*
 * Takes the first of the registry's order that will do. With spec->backend "auto" the rest is looked
 * at as long as something better could come, and the best is asked for first.
 */
static struct choice *pick(struct choices *choices, const struct backend *const list[],
	const struct spec *spec, const struct host *host, uint32_t without)
{
	bool best_only = spec->backend && !is_named(spec);
	struct choice *choice = NULL;

	for (size_t i = 0; list[i]; i++) {
		if (is_named(spec) && strcmp(list[i]->name, spec->backend) != 0) {
			continue;
		}
		choice = &choices->list[choices->count++];
		if (weigh(choice, list[i], spec, host, without) < 0) {
			return NULL;
		}
		if ((is_perfect(choice) || (choice->fits && !best_only)) && ask(choice, host)) {
			return choice;
		}
	}
	while ((choice = find_best(choices))) {
		if (ask(choice, host)) {
			return choice;
		}
	}
	return NULL;
}

/* ---- refusals ---- */

const char *choice_reason(const struct choice *choice)
{
	if (choice->asked && !choice->available) {
		return choice->absence.msg;
	}
	return choice->fits ? "" : choice->refusal.msg;
}

/* Each with its full reason. False when that is too much for one line. */
static bool say_all(const struct choices *choices, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < choices->count && used < size; i++) {
		const struct choice *choice = &choices->list[i];
		used += (size_t)snprintf(text + used, size - used, "%s%s: %s", used ? "; " : "",
			choice->backend->name, choice_reason(choice));
	}
	return used < size;
}

static void say(char *text, size_t size, const char *separator, const char *word)
{
	size_t used = strlen(text);

	(void)snprintf(text + used, size - used, "%s%s", used ? separator : "", word);
}

/* "native lacks net.outbound; jail refuses; not here: gvisor, docker" */
static void say_short(const struct choices *choices, char *text, size_t size)
{
	char absent[200] = "";
	char names[120];
	char row[160];

	*text = '\0';
	for (size_t i = 0; i < choices->count; i++) {
		const struct choice *choice = &choices->list[i];
		if (choice->asked && !choice->available) {
			say(absent, sizeof(absent), ", ", choice->backend->name);
			continue;
		}
		(void)snprintf(row, sizeof(row), "%s %s%s", choice->backend->name,
			choice->lacks.bits ? "lacks " : "refuses",
			choice->lacks.bits
				? capability_set_format(choice->lacks, names, sizeof(names))
				: "");
		say(text, size, "; ", row);
	}
	if (*absent) {
		(void)snprintf(row, sizeof(row), "not here: %.140s", absent);
		say(text, size, "; ", row);
	}
}

static int refuse_all(struct choices *choices, const struct host *host, struct err *err)
{
	char text[sizeof(err->msg) - 64];

	if (choices->count == 0) {
		return err_refuse(err, ENOTSUP, "there is no backend");
	}
	for (size_t i = 0; i < choices->count; i++) {
		(void)ask(&choices->list[i], host);
	}
	if (say_all(choices, text, sizeof(text))) {
		return err_refuse(err, ENOTSUP, "%s", text);
	}
	say_short(choices, text, sizeof(text));
	return err_refuse(
		err, ENOTSUP, "no backend can do it: %s (cloche explain says more)", text);
}

int backend_choose(const struct backend *const list[], const struct spec *spec,
	const struct host *host, uint32_t without, const struct backend **ret_backend,
	struct plan **ret_plan, struct err *err)
{
	cleanup(choices_fini) struct choices choices = {0};
	struct choice *choice = NULL;
	int r = check_request(list, spec, err);

	r = r < 0 ? r : choices_init(&choices, list, err);
	if (r < 0) {
		return r;
	}
	choice = pick(&choices, list, spec, host, without);
	for (size_t i = 0; !choice && i < choices.count; i++) {
		if (choices.list[i].refusal.code == ENOMEM) {
			return err_set(
				err, ENOMEM, "compiling for %s", choices.list[i].backend->name);
		}
	}
	if (!choice) {
		return refuse_all(&choices, host, err);
	}
	*ret_backend = choice->backend;
	*ret_plan = take_ptr(&choice->plan);
	return 0;
}
