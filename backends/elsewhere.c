#include "backends/elsewhere.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/foreign.h"

static int fill_environment(
	const struct elsewhere *where, const struct spec *spec, struct plan *plan)
{
	cleanup_free char *home = NULL;
	int r = spec->home ? asprintf(&home, "%s", spec->home)
			   : asprintf(&home, "%s%c%s", where->homes,
				     strchr(where->homes, '\\') ? '\\' : '/', plan->user);

	if (r < 0) {
		home = NULL;
		return -ENOMEM;
	}
	r = spec_environment(spec, &plan->env);
	return r < 0 ? r
		     : foreign_defaults(
			       where->path, home, spec->shell ? spec->shell : where->shell, plan);
}

static int begin(const struct elsewhere *where, const struct spec *spec, uint32_t without,
	struct plan **ret, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	int r = spec_validate(spec, err);

	if (r < 0) {
		return r;
	}
	if (without) {
		return err_refuse(err, ENOTSUP,
			"without: the backend %s has none of these layers; they are those of "
			"native",
			where->backend);
	}
	r = plan_new(where->backend, &plan);
	if (r == 0) {
		plan->timeout = spec->timeout;
		plan->user = strdup(spec->user ? spec->user : "user");
		r = plan->user ? 0 : -ENOMEM;
	}
	r = r < 0 ? r : strv_copy(spec->args, &plan->argv);
	r = r < 0 ? r : fill_environment(where, spec, plan);
	r = r < 0 ? r : plan_add_caveat(plan, "backend.never_executed");
	if (r < 0) {
		return err_set(err, -r, "compiling the plan");
	}
	*ret = take_ptr(&plan);
	return 0;
}

int elsewhere_compile(const struct elsewhere_compiler *how, const struct spec *spec,
	uint32_t without, struct plan **ret, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	int r = begin(how->where, spec, without, &plan, err);

	for (size_t i = 0; r == 0 && how->refusals[i]; i++) {
		r = how->refusals[i](spec, err);
	}
	r = r < 0 ? r : how->fill(spec, plan, err);
	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	if (r == 0) {
		*ret = take_ptr(&plan);
	}
	return r;
}

/* Strict means the same everywhere: less than was asked for is not had by a caveat. */
static int check_strict(const struct elsewhere *where, const struct spec *spec,
	const struct plan *plan, struct err *err)
{
	struct capability_set lacking = capability_set_sub(spec_capabilities(spec), plan->uses);
	char names[200];

	if (!spec->strict || lacking.bits == 0) {
		return 0;
	}
	return err_refuse(err, ENOTSUP, "strict: %s cannot keep %s", where->backend,
		capability_set_format(lacking, names, sizeof(names)));
}

int elsewhere_end(const struct elsewhere *where, const struct spec *spec,
	const struct elsewhere_promise *promises, size_t promise_count,
	const struct elsewhere_note *notes, size_t note_count, struct plan *plan, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < promise_count; i++) {
		if (promises[i].asked && promises[i].kept) {
			capability_set_add(&plan->uses, promises[i].capability);
		}
	}
	for (size_t i = 0; r == 0 && i < note_count; i++) {
		r = notes[i].holds ? plan_add_caveat(plan, notes[i].code) : 0;
	}
	if (r == 0 && spec->why) {
		r = plan_add_caveat(plan, "session.no_why");
	}
	if (r == 0) {
		r = check_strict(where, spec, plan, err);
		if (r < 0) {
			return r;
		}
		r = plan_seal(plan);
	}
	return r < 0 ? err_set(err, -r, "compiling the plan") : 0;
}

bool elsewhere_is_below(const char *path, const char *above)
{
	size_t length = strlen(above);

	if (strcmp(above, "/") == 0) {
		return true;
	}
	return strncmp(path, above, length) == 0 && (path[length] == '/' || !path[length]);
}

bool elsewhere_is_covered(const char *path, char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (elsewhere_is_below(path, list[i])) {
			return true;
		}
	}
	return false;
}

static int check_placeholder(const char *what, const char *text, struct err *err)
{
	static const char *const placeholders[] = {"{id}", "{dir}", "{fd:", "{port:", "{brace}"};

	for (size_t i = 0; text && i < ARRAY_SIZE(placeholders); i++) {
		if (strstr(text, placeholders[i])) {
			return err_refuse(err, ENOTSUP,
				"%s: '%s' in '%s' would be replaced at the start; write it another "
				"way",
				what, placeholders[i], text);
		}
	}
	return 0;
}

int elsewhere_check_placeholders(const struct spec *spec, struct err *err)
{
	const struct {
		const char *name;
		char *const *list;
	} lists[] = {{"command", spec->args}, {"env", spec->env}, {"writable", spec->writable},
		{"readable", spec->readable}, {"read_deny", spec->read_deny},
		{"mach_allow", spec->mach_allow}};
	const struct {
		const char *name, *text;
	} texts[] = {{"dir", spec->dir}, {"home", spec->home}, {"shell", spec->shell},
		{"root_path", spec->root_path}};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lists); i++) {
		for (size_t j = 0; r == 0 && lists[i].list && lists[i].list[j]; j++) {
			r = check_placeholder(lists[i].name, lists[i].list[j], err);
		}
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++) {
		r = check_placeholder(texts[i].name, texts[i].text, err);
	}
	return r;
}

/* Texts from outside, so that they arrive as they were written. */
static int append_literals(char ***list, char *const *items)
{
	int r = 0;

	for (size_t i = 0; r == 0 && items && items[i]; i++) {
		char *text = foreign_literal(items[i]);
		r = text ? strv_consume(list, text) : -ENOMEM;
	}
	return r;
}

static int append_all(char ***list, char *const *items)
{
	int r = 0;

	for (size_t i = 0; r == 0 && items && items[i]; i++) {
		r = strv_append(list, items[i]);
	}
	return r;
}

int elsewhere_add_session(
	struct plan *plan, const char *shell, const char *dir, char *const *extra, struct err *err)
{
	const char *const words[] = {
		shell, "-c", "cd \"$0\" && exec \"$@\"", dir, "/usr/bin/env", "-i", "--"};
	int r = 0;

	if (strchr(plan->argv[0], '=')) {
		return err_refuse(err, ENOTSUP,
			"the command's name '%s' has a '=': env(1) would take it for a variable",
			plan->argv[0]);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++) {
		r = strv_append(&plan->command, words[i]);
	}
	r = r < 0 ? r : append_literals(&plan->command, plan->env);
	r = r < 0 ? r : append_all(&plan->command, extra);
	r = r < 0 ? r : append_literals(&plan->command, plan->argv);
	r = r < 0 ? r : plan_add_caveat(plan, "env.in_arguments");
	return r < 0 ? err_set(err, -r, "compiling the plan") : 0;
}

int elsewhere_refuse(const struct elsewhere *where, struct err *err)
{
	return err_refuse(err, ENOTSUP,
		"it runs on %s only; here its plans are made and read: cloche plan --backend=%s",
		where->system, where->backend);
}

int elsewhere_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err)
{
	return err_refuse(err, ENOTSUP,
		"%s: this plan is for another system and is not started here", plan->backend);
}

/* Never reached: no sandbox of theirs has ever been started. */

int elsewhere_signal(struct sandbox *sandbox, int signo)
{
	return -ENOTSUP;
}

int elsewhere_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret)
{
	return -EPIPE;
}

void elsewhere_usage(struct sandbox *sandbox, struct sandbox_usage *ret)
{
	*ret = (struct sandbox_usage){0};
}

void elsewhere_destroy(struct sandbox *sandbox)
{
	assert(!sandbox);
}
