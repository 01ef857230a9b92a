#include "cli/choices.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/strv.h"

#define INDENT 5

int cli_put_json(struct emitter *out)
{
	cleanup_free char *text = emit_finish(out);

	if (!text) {
		return cli_fail(CLI_FAILED, "out of memory");
	}
	(void)puts(text);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

int cli_weigh(const struct cli_options *options, const struct host *host, struct choices *ret)
{
	struct err err = {0};
	int r = backend_weigh(backends, &options->spec, host, options->without, ret, &err);

	return r < 0 ? cli_fail(r == -ENOMEM ? CLI_FAILED : CLI_USAGE, "%s", err.msg) : 0;
}

static enum plan_kernel kernel_of(const struct choice *choice)
{
	return choice->plan ? choice->plan->kernel : choice->backend->kernel;
}

static void print_detail(const char *label, const char *text)
{
	(void)printf("%*s%s", INDENT, "", label);
	cli_wrap(INDENT + (unsigned)strlen(label), text);
}

/* The codes of one severity, on as few lines as they take. */
static void print_codes(const struct plan *plan, enum caveat_severity severity)
{
	cleanup(strv_freep) char **codes = NULL;
	cleanup_free char *text = NULL;
	char label[32];

	for (size_t i = 0; i < plan->caveat_count; i++) {
		if (plan->caveats[i].severity == severity) {
			(void)strv_append(&codes, plan->caveats[i].code);
		}
	}
	text = codes ? strv_join(codes, ", ") : NULL;
	if (text) {
		(void)snprintf(label, sizeof(label), "%s: ", caveat_severity_name(severity));
		print_detail(label, text);
	}
}

static void print_choice(const struct choice *choice)
{
	char names[512];
	char rank[12] = "-";
	char uses[12] = "-";

	if (choice->rank) {
		(void)snprintf(rank, sizeof(rank), "%u", choice->rank);
	}
	if (choice->plan) {
		(void)snprintf(uses, sizeof(uses), "%zu", capability_set_len(choice->plan->uses));
	}
	(void)printf("%-4s %-15s %-4s %-14s %5s %6zu %6zu %7u\n", rank, choice->backend->name,
		choice->available ? "yes" : "no", plan_kernel_name(kernel_of(choice)), uses,
		capability_set_len(choice->backend->enforces), capability_set_len(choice->lacks),
		choice->weaker);
	if (!choice->fits) {
		print_detail("refused: ", choice->refusal.msg);
	}
	if (!choice->available) {
		print_detail("not here: ", choice->absence.msg);
	}
	if (choice->lacks.bits) {
		print_detail("lacks: ", capability_set_format(choice->lacks, names, sizeof(names)));
	}
	if (choice->plan) {
		print_codes(choice->plan, CAVEAT_MISSING);
		print_codes(choice->plan, CAVEAT_WEAKER);
	}
}

int cli_choices_print(const struct choices *choices, const struct spec *spec)
{
	const struct choice *taken = choices_taken(choices, spec);
	char names[CAPABILITY_COUNT * 24];

	(void)printf("the spec asks for ");
	cli_wrap(18, capability_set_format(spec_capabilities(spec), names, sizeof(names)));
	if (spec->require.bits) {
		(void)printf("and requires      ");
		cli_wrap(18, capability_set_format(spec->require, names, sizeof(names)));
	}
	(void)printf("\n%-4s %-15s %-4s %-14s %5s %6s %6s %7s\n", "rank", "backend", "here",
		"kernel", "uses", "could", "lacks", "weaker");
	for (size_t i = 0; i < choices->count; i++) {
		print_choice(&choices->list[i]);
	}
	(void)putchar('\n');
	cli_wrap(0,
		"uses: capabilities this plan keeps; could: those of the backend's best plan; "
		"lacks: restrictions asked for and not kept; weaker: caveats that are more than "
		"information.");
	(void)putchar('\n');
	if (!taken) {
		(void)printf("None is taken: refused.\n");
		return CLI_LAUNCH;
	}
	(void)printf("Taken: %s (backend: %s).\n", taken->backend->name,
		spec->backend ? spec->backend : "not said, so the first that will do");
	return CLI_OK;
}

/* ---- for machines ---- */

static void put_caveats(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '[');
	for (size_t i = 0; plan && i < plan->caveat_count; i++) {
		emit_text(out, plan->caveats[i].code);
	}
	emit_close(out, ']');
}

static void put_choice(struct emitter *out, const struct choice *choice)
{
	const char *reason = choice_reason(choice);

	emit_open(out, '{');
	emit_key(out, "absence");
	emit_text(out, choice->available ? NULL : choice->absence.msg);
	emit_key(out, "available");
	emit_bool(out, choice->available);
	emit_key(out, "caveats");
	put_caveats(out, choice->plan);
	emit_key(out, "digest");
	emit_text(out, choice->plan ? choice->plan->digest : NULL);
	emit_key(out, "enforces");
	emit_capabilities(out, choice->backend->enforces);
	emit_key(out, "fits");
	emit_bool(out, choice->fits);
	emit_key(out, "kernel");
	emit_text(out, plan_kernel_name(kernel_of(choice)));
	emit_key(out, "lacks");
	emit_capabilities(out, choice->lacks);
	emit_key(out, "name");
	emit_text(out, choice->backend->name);
	emit_key(out, "rank");
	emit_number(out, choice->rank);
	emit_key(out, "reason");
	emit_text(out, *reason ? reason : NULL);
	emit_key(out, "refusal");
	emit_text(out, choice->fits ? NULL : choice->refusal.msg);
	emit_key(out, "uses");
	emit_capabilities(out, choice->plan ? choice->plan->uses : (struct capability_set){0});
	emit_key(out, "weaker");
	emit_number(out, choice->weaker);
	emit_close(out, '}');
}

int cli_choices_json(const struct choices *choices, const struct spec *spec)
{
	const struct choice *taken = choices_taken(choices, spec);
	struct emitter out = {0};

	emit_open(&out, '{');
	emit_key(&out, "asked");
	emit_capabilities(&out, spec_capabilities(spec));
	emit_key(&out, "backends");
	emit_open(&out, '[');
	for (size_t i = 0; i < choices->count; i++) {
		put_choice(&out, &choices->list[i]);
	}
	emit_close(&out, ']');
	emit_key(&out, "required");
	emit_capabilities(&out, spec->require);
	emit_key(&out, "schema");
	emit_text(&out, "cloche.choice/1");
	emit_key(&out, "taken");
	emit_text(&out, taken ? taken->backend->name : NULL);
	emit_close(&out, '}');
	int r = cli_put_json(&out);
	return r == CLI_OK && !taken ? CLI_LAUNCH : r;
}

void cli_choices_complain(const struct choices *choices)
{
	for (size_t i = 0; i < choices->count; i++) {
		const struct choice *choice = &choices->list[i];
		char names[512];
		(void)cli_fail(0, "  %s: %s%s%s", choice->backend->name, choice_reason(choice),
			choice->lacks.bits ? "; lacks " : "",
			choice->lacks.bits
				? capability_set_format(choice->lacks, names, sizeof(names))
				: "");
	}
}
