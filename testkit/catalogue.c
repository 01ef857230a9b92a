#include "testkit/catalogue.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "testkit/evidence.h"
#include "testkit/fold.h"

#define EXIT_USAGE 2

struct filter {
	const char *group; /* NULL: all */
	enum capability capability; /* CAPABILITY_COUNT: all */
	bool json;
};

static const struct judge_rule *rule_of(const struct probe *probe, enum capability capability)
{
	for (size_t i = 0; i < judge_rule_count; i++) {
		if (judge_rules[i].capability == capability &&
			strcmp(judge_rules[i].probe, probe->id) == 0) {
			return &judge_rules[i];
		}
	}
	return NULL;
}

static bool in_group(const struct probe *probe, const char *group)
{
	size_t size = strlen(group);

	return strcmp(group, probe_group(probe)) == 0 ||
		(strncmp(group, probe->id, size) == 0 && probe->id[size] == '.');
}

static bool matches(const struct probe *probe, const struct filter *filter)
{
	return (!filter->group || in_group(probe, filter->group)) &&
		(filter->capability == CAPABILITY_COUNT || rule_of(probe, filter->capability));
}

/* Each group with the letters its probes begin with; probes of one stand together. */
static void list_groups(char *names, size_t size)
{
	const char *last = "";
	size_t used = 0;

	for (const struct probe *probe = probe_table; probe->id && used < size; probe++) {
		if (strcmp(probe_group(probe), last) == 0) {
			continue;
		}
		last = probe_group(probe);
		used += (size_t)snprintf(names + used, size - used, "%s%.*s (%s)", used ? ", " : "",
			(int)strcspn(probe->id, "."), probe->id, last);
	}
}

static int set_group(struct filter *filter, const char *value, struct err *err)
{
	char names[240];

	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (in_group(probe, value)) {
			filter->group = value;
			return 0;
		}
	}
	list_groups(names, sizeof(names));
	return err_refuse(err, EINVAL, "no group is called '%.24s'; there are %s", value, names);
}

static int set_capability(struct filter *filter, const char *value, struct err *err)
{
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		if (strcmp(capability_name((enum capability)i), value) == 0) {
			filter->capability = (enum capability)i;
			return 0;
		}
	}
	return err_refuse(
		err, EINVAL, "no capability is called '%s'; `cloche caps` names them", value);
}

static int parse(int argc, char **argv, struct filter *ret, struct err *err)
{
	static const struct option options[] = {
		{"group", required_argument, NULL, 'g'},
		{"capability", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	int c = 0;
	int r = 0;

	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, ":g:c:j", options, NULL)) != -1) {
		switch (c) {
		case 'g':
			r = set_group(ret, optarg, err);
			break;
		case 'c':
			r = set_capability(ret, optarg, err);
			break;
		case 'j':
			ret->json = true;
			break;
		default:
			r = err_refuse(err, EINVAL,
				"list knows --group=GROUP, --capability=NAME and --json");
		}
	}
	return r == 0 && optind < argc ? err_refuse(err, EINVAL, "'%s' is no option", argv[optind])
				       : r;
}

static json_t *words_json(const char *text, const char *separator)
{
	json_t *list = json_array();
	cleanup_free char *copy = strdup(text);
	char *save = NULL;

	for (char *word = copy ? strtok_r(copy, separator, &save) : NULL; word;
		word = strtok_r(NULL, separator, &save)) {
		(void)json_array_append_new(list, json_string(word + strspn(word, " ")));
	}
	return list;
}

static json_t *capabilities_json(const struct probe *probe)
{
	json_t *list = json_array();

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct judge_rule *rule = rule_of(probe, (enum capability)i);
		if (rule) {
			(void)json_array_append_new(list,
				json_pack("{s:s, s:s}", "name", capability_name((enum capability)i),
					"expected", expectation_name(rule->expectation)));
		}
	}
	return list;
}

static int print_json(const struct filter *filter)
{
	json_t *list = json_array();

	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (!matches(probe, filter)) {
			continue;
		}
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:o}", "id", probe->id,
				"group", probe_group(probe), "what", probe->what, "why", probe->why,
				"evidence", evidence_text(probe), "layers",
				words_json(probe->layer, ","), "references",
				words_json(probe->reference, ","), "quick",
				(probe->flags & PROBE_QUICK) != 0, "capabilities",
				capabilities_json(probe)));
	}
	json_t *root = json_pack("{s:s, s:o}", "schema", "cloche.probes/1", "probes", list);
	int r = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
	json_decref(root);
	(void)putchar('\n');
	return r < 0 || fflush(stdout) != 0 ? EXIT_USAGE : 0;
}

int catalogue_list(int argc, char **argv)
{
	struct filter filter = {.capability = CAPABILITY_COUNT};
	struct err err = {0};

	if (parse(argc, argv, &filter, &err) < 0) {
		log_error("%s", err.msg);
		return EXIT_USAGE;
	}
	if (filter.json) {
		return print_json(&filter);
	}
	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (matches(probe, &filter)) {
			(void)printf("%-25s %-20s %s%s\n", probe->id, probe_group(probe),
				probe->what, probe->flags & PROBE_QUICK ? "" : " (not in --quick)");
		}
	}
	return fflush(stdout) == 0 ? 0 : EXIT_USAGE;
}

static void print_field(const char *name, const char *text)
{
	char line[512];

	(void)snprintf(line, sizeof(line), "  %-10s %s", name, text);
	fold(line, 13, stdout);
}

static void print_flags(const struct probe *probe)
{
	static const struct {
		unsigned flag;
		const char *text;
	} words[] = {
		{PROBE_STATE, "the host looks by itself; the client does nothing"},
		{PROBE_VIRTUAL, "may succeed inside without reaching the host"},
		{PROBE_FRESH, "planted in one session, looked for in the next"},
		{PROBE_LIMIT, "uses up a resource, so it runs after all others"},
		{PROBE_TIME, "outlives its time, so it has a session of its own"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (probe->flags & words[i].flag) {
			print_field("kind", words[i].text);
		}
	}
}

/* What reports say of a probe or a capability: verdicts, observations, levels of evidence. */
static const struct {
	const char *word, *text;
} report_words[] = {
	{"PASS", "verdict: as declared, by evidence of the host's own and an open control"},
	{"FAIL", "verdict: declared shut, observed open"},
	{"OVER-RESTRICTED", "verdict: declared open, observed shut"},
	{"EXPECTED",
		"verdict: violated, as a manifest or a baseline says; does not fail until the "
		"entry's day is over"},
	{"UNDECLARED-OPEN", "verdict: nothing was promised, and it is open"},
	{"UNDECLARED-SHUT", "verdict: nothing was promised, and it is shut all the same"},
	{"NOT-TESTED", "verdict: nothing was run that could tell"},
	{"INCONCLUSIVE",
		"observation: looks shut, but so did the control outside; verdict: nothing decides "
		"it on this machine, or the client did not answer all"},
	{"NOT-RUN", "observation: the probe was not asked for, or this target has no such thing"},
	{"OPEN", "observation: it reached the host, which saw it"},
	{"CLAIM-OPEN", "observation: the client says it worked, and the host cannot know"},
	{"SHUT", "observation: the client was refused, and the host would have seen it"},
	{"SHUT-BY-KILL", "observation: whoever tried was killed, and nothing reached the host"},
	{"VIRTUAL", "observation: it worked inside, and the host is untouched"},
	{"LEAK", "observation: the client was refused, and yet it reached the host"},
	{"LYING", "observation: the client says it worked, and the host saw nothing of it"},
	{"CLAIM-ONLY",
		"observation: the client says it was refused, and the host cannot know; never "
		"enough for PASS"},
	{"ABSENT", "observation: there is nothing of the kind here"},
	{"UNKNOWN", "observation: no answer came, and the host saw nothing"},
	{"E0", "evidence: the client's word alone"},
	{"E1", "evidence: a token came back that only the canary knew"},
	{"E2", "evidence: the host saw it happen"},
	{"E3", "evidence: the host read the state itself"},
	{"E4", "evidence: the host compared before and after"},
};

/* What is said of the word, or NULL. */
static const char *find_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(report_words); i++) {
		if (strcmp(report_words[i].word, word) == 0) {
			return report_words[i].text;
		}
	}
	return NULL;
}

static void explain_capability(enum capability capability)
{
	char text[192];

	(void)printf("%s (%s)\n", capability_name(capability),
		capability_kind(capability) == CAPABILITY_GRANT ? "grant" : "restriction");
	print_field("promises", capability_describe(capability));
	for (size_t i = 0; i < judge_rule_count; i++) {
		if (judge_rules[i].capability == capability) {
			(void)snprintf(text, sizeof(text), "%s %s: %s", judge_rules[i].probe,
				expectation_name(judge_rules[i].expectation),
				probe_find(judge_rules[i].probe)->what);
			print_field("expects", text);
		}
	}
}

static void explain_probe(const struct probe *probe)
{
	bool decides = false;
	char text[128];

	(void)printf("%s (%s)\n", probe->id, probe_group(probe));
	print_field("tried", probe->what);
	print_field("why", probe->why);
	print_field("evidence", evidence_text(probe));
	print_field("control",
		"the same outside the sandbox: only where it is open there does"
		" looking shut inside count");
	print_field("layers", probe->layer);
	print_flags(probe);
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct judge_rule *rule = rule_of(probe, (enum capability)i);
		if (rule) {
			(void)snprintf(text, sizeof(text), "%s, which expects it %s",
				capability_name((enum capability)i),
				expectation_name(rule->expectation));
			print_field("decides", text);
			decides = true;
		}
	}
	if (!decides) {
		print_field("decides", "no capability: what is found is told, without a promise");
	}
	print_field("read on", probe->reference);
}

/* False, and nothing is printed with dry, when nothing is called that. */
static bool explain(const char *name, bool dry)
{
	const struct probe *probe = probe_find(name);
	const char *text = find_word(name);
	enum capability capability = CAPABILITY_COUNT;
	struct err ignored;
	bool found = probe || text || capability_parse(name, &capability, &ignored) == 0;

	if (dry || !found) {
		return found;
	}
	if (probe) {
		explain_probe(probe);
	} else if (text) {
		(void)printf("%s\n", name);
		print_field("means", text);
	} else {
		explain_capability(capability);
	}
	return true;
}

int catalogue_explain(int argc, char **argv)
{
	if (argc < 2) {
		log_error("explain needs the name of a probe, such as N.tcp4; `list` names them");
		return EXIT_USAGE;
	}
	for (int i = 1; i < argc; i++) {
		if (!explain(argv[i], true)) {
			log_error("no probe is called '%s', no capability and no word of reports; "
				  "`list` names the probes",
				argv[i]);
			return EXIT_USAGE;
		}
	}
	for (int i = 1; i < argc; i++) {
		(void)printf("%s", i > 1 ? "\n" : "");
		(void)explain(argv[i], false);
	}
	return fflush(stdout) == 0 ? 0 : EXIT_USAGE;
}
