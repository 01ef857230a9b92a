/*
 * What can be promised, by whom, and how it is found out: `caps` and `backends`. With options of a
 * spec, `caps` shows beside what each backend could keep what its plan for that spec does keep.
 */
#include "cli/cli.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backends/choose.h"
#include "backends/emit.h"
#include "cli/choices.h"
#include "testkit/judge.h"

#define NAME_WIDTH 20
#define MAX_COLUMNS 26 /* letters */

static const struct capability_set all = {(UINT64_C(1) << CAPABILITY_COUNT) - 1};

static int ask_host(struct host *host)
{
	struct err err = {0};

	return host_probe(host, &err) < 0 ? cli_fail(CLI_FAILED, "%s", err.msg) : 0;
}

/* ---- sets ---- */

static struct capability_set find_union(void)
{
	struct capability_set set = {0};

	for (size_t i = 0; backends[i]; i++) {
		set = capability_set_union(set, backends[i]->enforces);
	}
	return set;
}

static struct capability_set find_intersection(void)
{
	struct capability_set set = all;

	for (size_t i = 0; backends[i]; i++) {
		set = capability_set_intersect(set, backends[i]->enforces);
	}
	return set;
}

/* What a backend offers to those who do not need to move. */
static struct capability_set find_extras(const struct backend *backend)
{
	return capability_set_sub(backend->enforces, capability_set_portable());
}

/* ---- for machines ---- */

static void put_backends(struct emitter *out, const struct host *host)
{
	emit_open(out, '[');
	for (size_t i = 0; backends[i]; i++) {
		struct err err = {0};
		bool available = backends[i]->probe(host, &err) == 0;
		emit_open(out, '{');
		emit_key(out, "available");
		emit_bool(out, available);
		emit_key(out, "enforces");
		emit_capabilities(out, backends[i]->enforces);
		emit_key(out, "extras");
		emit_capabilities(out, find_extras(backends[i]));
		emit_key(out, "kernel");
		emit_text(out, plan_kernel_name(backends[i]->kernel));
		emit_key(out, "name");
		emit_text(out, backends[i]->name);
		emit_key(out, "reason");
		emit_text(out, available ? NULL : err.msg);
		emit_key(out, "summary");
		emit_text(out, backends[i]->summary);
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void put_probes(struct emitter *out, enum capability capability)
{
	emit_open(out, '[');
	for (size_t i = 0; i < judge_rule_count; i++) {
		if (judge_rules[i].capability == capability) {
			emit_open(out, '{');
			emit_key(out, "expects");
			emit_text(out, expectation_name(judge_rules[i].expectation));
			emit_key(out, "name");
			emit_text(out, judge_rules[i].probe);
			emit_close(out, '}');
		}
	}
	emit_close(out, ']');
}

static void put_capability(struct emitter *out, enum capability capability)
{
	emit_open(out, '{');
	emit_key(out, "backends");
	emit_open(out, '[');
	for (size_t i = 0; backends[i]; i++) {
		if (capability_set_has(backends[i]->enforces, capability)) {
			emit_text(out, backends[i]->name);
		}
	}
	emit_close(out, ']');
	emit_key(out, "description");
	emit_text(out, capability_describe(capability));
	emit_key(out, "kind");
	emit_text(out, capability_kind(capability) == CAPABILITY_GRANT ? "grant" : "restriction");
	emit_key(out, "name");
	emit_text(out, capability_name(capability));
	emit_key(out, "portable");
	emit_bool(out, capability_set_has(capability_set_portable(), capability));
	emit_key(out, "probes");
	put_probes(out, capability);
	emit_close(out, '}');
}

static void put_capabilities(struct emitter *out)
{
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(all, list);

	emit_open(out, '[');
	for (size_t i = 0; i < count; i++) {
		put_capability(out, list[i]);
	}
	emit_close(out, ']');
}

static int print_json(const struct host *host, bool with_capabilities)
{
	struct emitter out = {0};

	emit_open(&out, '{');
	emit_key(&out, "backends");
	put_backends(&out, host);
	if (with_capabilities) {
		emit_key(&out, "capabilities");
		put_capabilities(&out);
		emit_key(&out, "intersection");
		emit_capabilities(&out, find_intersection());
		emit_key(&out, "portable");
		emit_capabilities(&out, capability_set_portable());
	}
	emit_key(&out, "schema");
	emit_text(&out, with_capabilities ? "cloche.caps/1" : "cloche.backends/1");
	if (with_capabilities) {
		emit_key(&out, "union");
		emit_capabilities(&out, find_union());
	}
	emit_close(&out, '}');
	return cli_put_json(&out);
}

/* ---- for people ---- */

/* "native": then more words in the next columns, wrapped. */
static void print_words(unsigned indent, const char *label, const char *words)
{
	(void)printf("%-*s", (int)indent, label);
	if (strlen(label) >= indent) {
		(void)printf("\n%*s", (int)indent, "");
	}
	cli_wrap(indent, words);
}

static void print_set(const char *label, struct capability_set set)
{
	char names[CAPABILITY_COUNT * 24];

	print_words(16, label, capability_set_format(set, names, sizeof(names)));
}

/* The letters of the matrix, what they stand for, and whether it is here. */
static void print_legend(const struct choices *choices, const struct host *host)
{
	(void)printf("   %-15s %-5s%s\n", "backend", "here", "kernel");
	for (size_t i = 0; backends[i]; i++) {
		const struct choice *choice = choices->list ? &choices->list[i] : NULL;
		struct err err = {0};
		bool here = choice ? choice->available : backends[i]->probe(host, &err) == 0;
		const char *reason = choice ? choice_reason(choice) : err.msg;
		bool plain = choice ? *reason == '\0' : here;
		(void)printf("%c  %-15s %-5s%-15s ", (int)('a' + i), backends[i]->name,
			here ? "yes" : "no",
			plan_kernel_name(choice && choice->plan ? choice->plan->kernel
								: backends[i]->kernel));
		cli_wrap(40, plain ? backends[i]->summary : reason);
	}
}

/*
 * '+': kept, here and now: by the best plan, or by this spec's. 'o': it could be, elsewhere or by
 * another spec. The kernel's row says which one it is.
 */
static char mark(const struct backend *backend, const struct choice *choice, bool here,
	enum capability capability)
{
	bool could = capability_set_has(backend->enforces, capability);
	bool does = choice ? choice->plan && capability_set_has(choice->plan->uses, capability)
			   : could && here;

	if (does && capability == CAPABILITY_KERNEL_ISOLATION) {
		return (choice ? choice->plan->kernel : backend->kernel) == PLAN_KERNEL_GUEST ? 'g'
											      : 'u';
	}
	return does ? '+' : could ? 'o' : '.';
}

static void print_matrix(
	const struct choices *choices, const struct host *host, struct capability_set asked)
{
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(all, list);
	bool here[MAX_COLUMNS] = {false};

	(void)printf("\n%-*s  ", NAME_WIDTH, "");
	for (size_t i = 0; backends[i]; i++) {
		assert(i < MAX_COLUMNS);
		here[i] = choices->list ? choices->list[i].available
					: backends[i]->probe(host, NULL) == 0;
		(void)printf(" %c", (int)('a' + i));
	}
	(void)putchar('\n');
	for (size_t row = 0; row < count; row++) {
		(void)printf("%-*s%c%c", NAME_WIDTH, capability_name(list[row]),
			capability_set_has(asked, list[row]) ? '!' : ' ',
			capability_set_has(capability_set_portable(), list[row]) ? 'p' : ' ');
		for (size_t i = 0; backends[i]; i++) {
			(void)printf(" %c",
				mark(backends[i], choices->list ? &choices->list[i] : NULL, here[i],
					list[row]));
		}
		(void)putchar('\n');
	}
}

static void print_key(bool with_spec)
{
	static const char *const lines[][2] = {
		{"+",
			"kept here by the backend's best plan; o: it could be, but not here; .: "
			"never"},
		{"+", "kept by this plan; o: the backend could, this plan does not; .: never"},
		{"!", "the spec asks for it"},
		{"p", "portable: --strict lets it through"},
		{"u, g", "served by a kernel in user space (u) or by a guest's own (g)"},
	};

	(void)putchar('\n');
	print_words(6, lines[with_spec][0], lines[with_spec][1]);
	for (size_t i = with_spec ? 2 : 3; i < ARRAY_SIZE(lines); i++) {
		print_words(6, lines[i][0], lines[i][1]);
	}
}

static void print_sets(void)
{
	(void)putchar('\n');
	print_set("union", find_union());
	print_set("intersection", find_intersection());
	print_set("portable", capability_set_portable());
	(void)printf("\nbeyond the portable ones\n");
	for (size_t i = 0; backends[i]; i++) {
		print_set(backends[i]->name, find_extras(backends[i]));
	}
}

/* "N.tcp4, N.tcp6; open: N.listen": what has to be shut, then what has to be open. */
static void format_probes(enum capability capability, char *text, size_t size)
{
	static const enum expectation order[] = {EXPECT_SHUT, EXPECT_OPEN, EXPECT_VIRTUAL};
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		const char *before = expectation_name(order[i]);
		for (size_t j = 0; j < judge_rule_count && used < size; j++) {
			const struct judge_rule *rule = &judge_rules[j];
			if (rule->capability != capability || rule->expectation != order[i]) {
				continue;
			}
			used += (size_t)snprintf(text + used, size - used, "%s%s%s%s",
				!used            ? ""
					: before ? "; "
						 : ", ",
				before ? before : "", before ? ": " : "", rule->probe);
			before = NULL;
		}
	}
}

void cli_print_probes(unsigned indent, const char *label, enum capability capability)
{
	char text[1024];

	format_probes(capability, text, sizeof(text));
	print_words(indent, label, *text ? text : "no probe");
}

static void print_probes(void)
{
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(all, list);

	for (size_t i = 0; i < count; i++) {
		print_words(NAME_WIDTH, capability_name(list[i]), capability_describe(list[i]));
		cli_print_probes(NAME_WIDTH, "", list[i]);
	}
}

int command_caps(int argc, char **argv)
{
	cleanup(cli_options_fini) struct cli_options options = {0};
	cleanup(choices_fini) struct choices choices = {0};
	struct host host = {0};
	int r = cli_options_parse(argc, argv, CLI_SPEC_OPTIONAL, &options);

	if (r >= 0 || (r = ask_host(&host)) > 0) {
		return r;
	}
	if (options.has_spec && (r = cli_weigh(&options, &host, &choices)) > 0) {
		return r;
	}
	if (options.json) {
		return options.has_spec ? cli_choices_json(&choices, &options.spec)
					: print_json(&host, true);
	}
	if (options.probes) {
		print_probes();
		return cli_flush() ? CLI_OK : CLI_FAILED;
	}
	print_legend(&choices, &host);
	print_matrix(&choices, &host,
		options.has_spec ? spec_capabilities(&options.spec) : (struct capability_set){0});
	print_key(options.has_spec);
	if (!options.has_spec) {
		print_sets();
	}
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

int command_backends(int argc, char **argv)
{
	struct host host = {0};
	bool json = false;
	int r = cli_only_json(argc, argv, &json);

	if (r >= 0 || (r = ask_host(&host)) > 0) {
		return r;
	}
	if (json) {
		return print_json(&host, false);
	}
	for (size_t i = 0; backends[i]; i++) {
		struct err err = {0};
		bool available = backends[i]->probe(&host, &err) == 0;
		(void)printf("%-15s %-4s ", backends[i]->name, available ? "yes" : "no");
		cli_wrap(21, backends[i]->summary);
		if (!available) {
			(void)printf("%21s", "");
			cli_wrap(21, err.msg);
		}
	}
	return cli_flush() ? CLI_OK : CLI_FAILED;
}
