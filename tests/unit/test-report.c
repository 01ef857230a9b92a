/* Reports of a made-up measurement, in all three forms. */
#include "testkit/report.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "testkit/fold.h"
#include "tests/test.h"

struct scene {
	struct measurement measurement;
	struct target target;
	struct report_header header;
	char *text;
	size_t size;
};

static void play(struct scene *scene, const char *id, enum claim claim, enum evidence evidence,
	const char *detail)
{
	size_t i = probe_index(probe_find(id));

	scene->measurement.control[i] = (struct outcome){
		.claim = CLAIM_DONE, .evidence = EVIDENCE_SEEN, .level = LEVEL_EVENT};
	scene->measurement.inside[i] =
		(struct outcome){.claim = claim, .evidence = evidence, .level = LEVEL_EVENT};
	(void)snprintf(scene->measurement.inside[i].detail,
		sizeof(scene->measurement.inside[i].detail), "%s", detail);
}

static int set_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct measurement *measurement = scene ? &scene->measurement : NULL;
	struct capability_set declared = {0};

	if (!scene) {
		return -1;
	}
	measurement->control = calloc(probe_count, sizeof(struct outcome));
	measurement->inside = calloc(probe_count, sizeof(struct outcome));
	measurement->verdicts = calloc(probe_count, sizeof(struct probe_verdict));
	if (!measurement->control || !measurement->inside || !measurement->verdicts) {
		return -1;
	}
	play(scene, "N.tcp4", CLAIM_REFUSED, EVIDENCE_UNSEEN, "Network is unreachable");
	play(scene, "P.kill", CLAIM_REFUSED, EVIDENCE_SEEN, "bad \"word\"\n\033[31m");
	play(scene, "I.shm", CLAIM_DONE, EVIDENCE_SEEN, "");
	play(scene, "K.filter", CLAIM_NOT_RUN, EVIDENCE_NONE, "");
	capability_set_add(&declared, CAPABILITY_NET_DISABLE);
	capability_set_add(&declared, CAPABILITY_PROC_ISOLATION);
	capability_set_add(&declared, CAPABILITY_MACH_RESTRICT);
	judge_all(declared, measurement->control, measurement->inside, measurement->verdicts,
		&measurement->judgement);
	measurement->code = judge_exit_code(&measurement->judgement);
	measurement->client.hello = true;
	scene->header = (struct report_header){
		.target = "exec:launcher {client}", .details = &scene->target};
	*state = scene;
	return 0;
}

static int clear_scene(void **state)
{
	struct scene *scene = *state;

	measurement_fini(&scene->measurement);
	free(scene->text);
	free(scene);
	return 0;
}

static void print_with(struct scene *scene,
	void (*print)(const struct report_header *, const struct measurement *, FILE *))
{
	FILE *out = open_memstream(&scene->text, &scene->size);

	assert_non_null(out);
	print(&scene->header, &scene->measurement, out);
	assert_int_equal(fclose(out), 0);
}

static void print_json(
	const struct report_header *header, const struct measurement *measurement, FILE *out)
{
	assert_int_equal(report_json(header, measurement, out), 0);
}

/* In a format, with the control beside it as the host does. */
static void print_format(struct scene *scene, const char *name)
{
	const struct report_column columns[] = {
		{scene->header, &scene->measurement, false},
		{scene->header, &scene->measurement, true},
	};
	static const struct signature_key key;
	const struct report report = {columns, ARRAY_SIZE(columns), &key};
	FILE *out = NULL;

	free(take_ptr(&scene->text));
	out = open_memstream(&scene->text, &scene->size);
	assert_non_null(out);
	assert_int_equal(report_format_find(name)->write(&report, out), 0);
	assert_int_equal(fclose(out), 0);
}

static json_t *find(json_t *list, const char *key, const char *value)
{
	size_t i = 0;
	json_t *item = NULL;

	json_array_foreach(list, i, item)
	{
		if (strcmp(json_string_value(json_object_get(item, key)), value) == 0) {
			return item;
		}
	}
	return NULL;
}

static const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "(none)";
}

static void json_has_the_schema(void **state)
{
	static const char *const capability_keys[] = {
		"name", "declared", "observed", "verdict", "probes"};
	static const char *const probe_keys[] = {"id", "group", "claim", "evidence", "level",
		"control", "observed", "expected", "verdict", "detail"};
	struct scene *scene = *state;
	json_t *item = NULL;
	size_t at = 0;

	print_with(scene, print_json);
	json_t *root = json_loads(scene->text, JSON_REJECT_DUPLICATES, NULL);
	json_t *capabilities = json_object_get(root, "capabilities");
	json_t *probes = json_object_get(root, "probes");
	assert_string_equal(text_of(root, "schema"), "cloche.report/1");
	assert_int_equal(json_array_size(capabilities), CAPABILITY_COUNT);
	assert_int_equal(json_array_size(probes), 3); /* what did not run is not there */
	json_array_foreach(capabilities, at, item)
	{
		for (size_t i = 0; i < ARRAY_SIZE(capability_keys); i++) {
			assert_non_null(json_object_get(item, capability_keys[i]));
		}
	}
	json_array_foreach(probes, at, item)
	{
		for (size_t i = 0; i < ARRAY_SIZE(probe_keys); i++) {
			assert_non_null(json_object_get(item, probe_keys[i]));
		}
	}
	item = find(capabilities, "name", "net.disable");
	assert_true(json_is_true(json_object_get(item, "declared")));
	assert_string_equal(text_of(item, "observed"), "kept");
	assert_string_equal(text_of(item, "verdict"), "PASS");
	assert_int_equal(json_array_size(json_object_get(item, "probes")), 1);
	assert_string_equal(
		text_of(find(capabilities, "name", "proc.isolation"), "verdict"), "FAIL");
	assert_string_equal(
		text_of(find(capabilities, "name", "mach.restrict"), "verdict"), "INCONCLUSIVE");
	item = find(probes, "id", "P.kill");
	assert_string_equal(text_of(item, "observed"), "LEAK");
	assert_string_equal(text_of(item, "control"), "OPEN");
	assert_string_equal(text_of(item, "expected"), "shut");
	assert_string_equal(text_of(item, "level"), "E2");
	assert_int_equal(json_integer_value(json_object_get(root, "exit")), 1);
	json_decref(root);
}

static void brief_json_names_what_was_declared(void **state)
{
	struct scene *scene = *state;

	scene->header.brief = true;
	print_with(scene, print_json);
	json_t *root = json_loads(scene->text, JSON_REJECT_DUPLICATES, NULL);
	assert_int_equal(json_array_size(json_object_get(root, "capabilities")), 3);
	assert_int_equal(json_array_size(json_object_get(root, "probes")), 1);
	json_decref(root);
}

static void folding_keeps_to_the_page(void **state)
{
	static const char words[] =
		"one three fifteen letters a seventeen an eighty and so on to the "
		"end of a line which a word may fill to its very last column "
		"and the next one then begins another";
	struct scene *scene = *state;

	for (size_t skip = 0; skip < 60; skip++) {
		size_t width = 0;
		free(take_ptr(&scene->text));
		FILE *out = open_memstream(&scene->text, &scene->size);
		assert_non_null(out);
		fold(words + skip, 4, out);
		assert_int_equal(fclose(out), 0);
		for (const char *at = scene->text; *at; at++) {
			width = *at == '\n' ? 0 : width + 1;
			assert_true(width <= 80);
		}
	}
}

/* Columns, not bytes: nothing here is wider than one. */
static void text_fits_the_terminal(void **state)
{
	struct scene *scene = *state;
	size_t width = 0;

	scene->header.target =
		"exec:a-launcher --with --more options --than --fit --on --one --line "
		"and/a/path/that/has/no/blank/anywhere/and/goes/on/for/more/than/eighty/"
		"columns/in/one/go {client}";
	print_with(scene, report_text);
	for (const char *at = scene->text; *at; at++) {
		width = *at == '\n' ? 0 : width + 1;
		assert_true(width <= 80);
		/* What a client sends cannot draw on the operator's screen. */
		assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
	}
	assert_non_null(strstr(scene->text, "net.disable          declared kept      PASS"));
	assert_non_null(strstr(scene->text, "1 as declared, 1 violated, 1 inconclusive"));
}

/* Whatever leaves a probe undecided is said beside it. */
static void text_says_why_nothing_can_be_said(void **state)
{
	struct scene *scene = *state;
	struct measurement *measurement = &scene->measurement;
	size_t i = probe_index(probe_find("N.tcp4"));
	char text[300];
	char line[32];
	const struct {
		enum observation observed, control;
		enum claim claim;
		const char *detail, *words;
	} table[] = {
		{OBSERVED_INCONCLUSIVE, OBSERVED_SHUT, CLAIM_REFUSED, "Operation not permitted",
			"did not get through, and neither did the control outside (SHUT); "
			"Operation not permitted"},
		{OBSERVED_CLAIM_ONLY, OBSERVED_OPEN, CLAIM_REFUSED, "",
			"was refused, as the client says; the host cannot see it"},
		{OBSERVED_ABSENT, OBSERVED_OPEN, CLAIM_ABSENT, "", "nothing of the kind"},
		{OBSERVED_UNKNOWN, OBSERVED_OPEN, CLAIM_TIMEOUT, "", "did not come back"},
		{OBSERVED_UNKNOWN, OBSERVED_OPEN, CLAIM_KILLED, "killed by signal 31",
			"was killed by it, and the host saw nothing; killed by signal 31"},
		{OBSERVED_UNKNOWN, OBSERVED_OPEN, CLAIM_DONE, "",
			"neither the client nor the host"},
		{OBSERVED_NOT_RUN, OBSERVED_OPEN, CLAIM_NOT_RUN, "not tried: a reason",
			"not tried: a reason"},
		{OBSERVED_NOT_RUN, OBSERVED_OPEN, CLAIM_NOT_RUN, "", "never answered"},
	};

	for (size_t row = 0; row < ARRAY_SIZE(table); row++) {
		measurement->verdicts[i].observed = table[row].observed;
		measurement->verdicts[i].control = table[row].control;
		measurement->verdicts[i].verdict = VERDICT_INCONCLUSIVE;
		play(scene, "N.tcp4", table[row].claim, EVIDENCE_NONE, table[row].detail);
		(void)report_doubt(measurement, i, text, sizeof(text));
		assert_non_null(strstr(text, table[row].words));
		free(take_ptr(&scene->text));
		print_with(scene, report_text);
		(void)snprintf(line, sizeof(line), "    > %.12s", text);
		assert_non_null(strstr(scene->text, line));
	}
	measurement->verdicts[i].verdict = VERDICT_PASS;
	assert_string_equal(report_doubt(measurement, i, text, sizeof(text)), "");
}

static void colour_is_there_only_when_asked_for(void **state)
{
	struct scene *scene = *state;

	scene->header.colour = true;
	print_with(scene, report_text);
	assert_non_null(strstr(scene->text, "\033[32mPASS"));
}

static void tap_counts_what_it_says(void **state)
{
	struct scene *scene = *state;
	unsigned lines = 0;
	unsigned bad = 0;
	char plan[16];

	print_format(scene, "tap");
	for (char *line = scene->text; line && *line; line = strchr(line, '\n') + 1) {
		lines += strncmp(line, "ok ", 3) == 0 || strncmp(line, "not ok ", 7) == 0;
		bad += strncmp(line, "not ok ", 7) == 0;
	}
	assert_int_equal(lines, 6); /* three promises, three probes */
	assert_int_equal(bad, 2);
	(void)snprintf(plan, sizeof(plan), "\n1..%u\n", lines);
	assert_non_null(strstr(scene->text, plan));
	assert_non_null(strstr(scene->text, "mach.restrict # SKIP INCONCLUSIVE"));
}

/* What a client sends and what a target is called may be anything. */
static const char hostile[] =
	"]]><script>alert(1)</script>'\"&|`*_[x](y)#\\\x01\033[31m\xff\n</td>";

static void make_hostile(struct scene *scene)
{
	size_t i = probe_index(probe_find("P.kill"));

	(void)snprintf(scene->measurement.inside[i].detail,
		sizeof(scene->measurement.inside[i].detail), "%s", hostile);
	(void)snprintf(scene->measurement.client.fault, sizeof(scene->measurement.client.fault),
		"%s", hostile);
	scene->header.target = hostile;
	scene->header.profile = hostile;
}

static size_t count_of(const char *text, const char *part)
{
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, part)); at++) {
		count++;
	}
	return count;
}

static void hostile_words_stay_words(void **state)
{
	static const struct {
		const char *format, *part;
		size_t times; /* how often it is there whatever is in the words */
	} rows[] = {
		{"html", "<script>", 1},
		{"html", "alert(1)</", 0},
		{"junit", "<script", 0},
		{"junit", "]]>", 0},
		{"markdown", "<script", 0},
		{"markdown", "[x](y)", 0},
		{"tap", "\nnot ok", 2},
		{"tap", "# SKIP", 2},
	};
	struct scene *scene = *state;

	make_hostile(scene);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		print_format(scene, rows[i].format);
		size_t found = count_of(scene->text, rows[i].part);
		if (found != rows[i].times) {
			fail_msg(
				"%s: '%s' is there %zu times", rows[i].format, rows[i].part, found);
		}
	}
}

static void no_format_lets_control_bytes_out(void **state)
{
	struct scene *scene = *state;

	make_hostile(scene);
	for (const struct report_format *format = report_formats; format->name; format++) {
		print_format(scene, format->name);
		assert_true(scene->size > 100);
		for (size_t i = 0; i < scene->size; i++) {
			if ((unsigned char)scene->text[i] >= 0x7f ||
				((unsigned char)scene->text[i] < ' ' && scene->text[i] != '\n')) {
				fail_msg("%s lets byte %02x out", format->name,
					(unsigned char)scene->text[i]);
			}
		}
	}
}

/* Whatever is known about the host: who is confined is told none of it. */
static void a_caller_hears_of_verdicts_alone(void **state)
{
	static const char *const formats[] = {"caller", "caller-json"};
	static const char secret[] = "/srv/canary of pid 4711, uid 1234";
	struct scene *scene = *state;
	struct measurement *measurement = &scene->measurement;

	for (size_t i = 0; i < probe_count; i++) {
		(void)snprintf(measurement->inside[i].detail, sizeof(measurement->inside[i].detail),
			"%s", secret);
	}
	(void)snprintf(measurement->client.fault, sizeof(measurement->client.fault), "%s", secret);
	assert_int_equal(strv_append(&measurement->gaps, secret), 0);
	assert_int_equal(strv_append(&measurement->changes.left, secret), 0);
	assert_int_equal(strv_append(&measurement->changes.meanwhile, secret), 0);
	assert_int_equal(strv_append(&scene->target.additions, secret), 0);
	scene->header.target = secret;
	print_format(scene, "text");
	assert_non_null(strstr(scene->text, "4711"));
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		print_format(scene, formats[i]);
		assert_null(strstr(scene->text, "4711"));
		assert_null(strstr(scene->text, "/srv"));
		assert_non_null(strstr(scene->text, "proc.isolation"));
		assert_non_null(strstr(scene->text, "P.kill"));
		assert_null(strstr(scene->text, "N.tcp4"));
		/* What was never promised is not mentioned. */
		assert_null(strstr(scene->text, "ipc.restrict"));
	}
	scene->target.additions = strv_free(scene->target.additions);
}

static void json_forms_stay_json(void **state)
{
	static const char *const formats[] = {"json", "sarif", "caller-json"};
	struct scene *scene = *state;

	make_hostile(scene);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		print_format(scene, formats[i]);
		json_t *root = json_loads(scene->text, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(root);
		json_decref(root);
	}
	print_format(scene, "ndjson");
	char *rest = scene->text;
	for (char *line = NULL; (line = strsep(&rest, "\n")) && *line;) {
		json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(json_object_get(root, "event"));
		json_decref(root);
	}
}

/* P.kill is known to be open, for a reason that is not kind; so was N.tcp4, for too long. */
static void make_known(struct scene *scene)
{
	static char reason[sizeof(hostile)];
	struct known items[] = {
		{.probe = probe_find("P.kill"), .until = "2099-01-31"},
		{.probe = probe_find("N.tcp4"), .until = "2020-01-31"},
	};

	memcpy(reason, hostile, sizeof(hostile));
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		items[i].capability = CAPABILITY_COUNT;
		items[i].verdict = VERDICT_FAIL;
		items[i].reason = reason;
		assert_int_equal(known_add(&scene->measurement.known, &items[i]), 0);
	}
	assert_false(known_apply(
		&scene->measurement.known, "2026-11-22", &scene->measurement.judgement));
	scene->measurement.code = 1;
}

static void what_is_known_is_in_every_format(void **state)
{
	static const struct {
		const char *format, *part;
		size_t times;
	} rows[] = {
		{"text", "    > expected until 2099-01-31:\n", 1},
		{"text", "  N.tcp4, EXPIRED, was expected until 2020-01-31:\n", 1},
		{"text", "0 violated", 1},
		{"text", ", 1 expected\n", 1},
		{"json", "\"verdict\": \"EXPECTED\"", 2},
		{"json", "\"state\": \"expired\"", 1},
		{"ndjson", "\"event\":\"known\"", 2},
		{"tap", "proc.isolation # TODO EXPECTED\n", 1},
		{"tap", "P.kill # TODO EXPECTED\n", 1},
		{"tap", "not ok 1 - N.tcp4\n", 1},
		{"junit", "<skipped message=\"EXPECTED: expected until 2099-01-31: ", 1},
		{"junit", "classname=\"known\" name=\"N.tcp4\"", 1},
		{"sarif", "\"suppressions\"", 1},
		{"sarif", "\"toolExecutionNotifications\"", 1},
		{"sarif", "N.tcp4, EXPIRED", 1},
		{"markdown", "## Known before", 1},
		{"markdown", "broken, EXPECTED", 2},
		{"html", "<span class=\"v bad\">expired</span> <code>N.tcp4</code>", 1},
		{"html", "violated as expected", 1},
		{"html", "alert(1)</", 0},
		{"junit", "<script", 0},
		{"markdown", "[x](y)", 0},
	};
	struct scene *scene = *state;

	make_known(scene);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		print_format(scene, rows[i].format);
		size_t found = count_of(scene->text, rows[i].part);
		if (found != rows[i].times) {
			fail_msg("%s: '%s' is there %zu times: %s", rows[i].format, rows[i].part,
				found, scene->text);
		}
	}
	no_format_lets_control_bytes_out(state);
}

static void several_targets_stand_side_by_side(void **state)
{
	struct scene *scene = *state;
	struct report_header other = scene->header;
	const struct report_column columns[] = {
		{scene->header, &scene->measurement, false},
		{other, &scene->measurement, false},
		{other, &scene->measurement, true},
	};
	const struct report report = {columns, ARRAY_SIZE(columns), NULL};
	FILE *out = open_memstream(&scene->text, &scene->size);

	assert_non_null(out);
	assert_int_equal(report_write_text(&report, out), 0);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(scene->text, "  net.disable          kept   kept   kept"));
	assert_non_null(strstr(scene->text, "  C  exec:launcher {client} (the control outside)"));
	assert_non_null(strstr(scene->text, "  proc.isolation       BROKEN BROKEN BROKEN"));
	assert_int_equal(count_of(scene->text, "target exec:launcher"), 2);
}

/* As many as there can be. */
static void all_columns_fit_the_page(void **state)
{
	struct scene *scene = *state;
	struct report_column columns[REPORT_MAX_COLUMNS + 1];
	const struct report report = {columns, ARRAY_SIZE(columns), NULL};
	size_t width = 0;

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		columns[i] = (struct report_column){
			scene->header, &scene->measurement, i == REPORT_MAX_COLUMNS};
	}
	FILE *out = open_memstream(&scene->text, &scene->size);
	assert_non_null(out);
	assert_int_equal(report_write_text(&report, out), 0);
	assert_int_equal(fclose(out), 0);
	for (const char *at = scene->text; *at; at++) {
		width = *at == '\n' ? 0 : width + 1;
		assert_true(width <= 80);
	}
}

/* With --proof, a row is there for any target that it speaks against. */
static void a_violation_of_a_later_target_is_in_the_tables(void **state)
{
	static const char *const formats[] = {"html", "markdown"};
	struct scene *scene = *state;
	struct measurement clean = scene->measurement;

	scene->header.brief = true;
	clean.verdicts = calloc(probe_count, sizeof(clean.verdicts[0]));
	assert_non_null(clean.verdicts);
	for (size_t i = 0; i < probe_count; i++) {
		clean.verdicts[i].capability = CAPABILITY_COUNT;
		clean.verdicts[i].verdict = VERDICT_NOT_TESTED;
	}
	const struct report_column columns[] = {
		{scene->header, &clean, false},
		{scene->header, &scene->measurement, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		for (size_t count = 1; count <= ARRAY_SIZE(columns); count++) {
			const struct report report = {columns, count, NULL};
			free(take_ptr(&scene->text));
			FILE *out = open_memstream(&scene->text, &scene->size);
			assert_non_null(out);
			assert_int_equal(report_format_find(formats[i])->write(&report, out), 0);
			assert_int_equal(fclose(out), 0);
			bool there = strstr(scene->text, "data-k=\"p.kill ") ||
				strstr(scene->text, "| P.kill: ");
			assert_int_equal(there, count == 2);
		}
	}
	free(clean.verdicts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(json_has_the_schema, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			brief_json_names_what_was_declared, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(folding_keeps_to_the_page, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(text_fits_the_terminal, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			text_says_why_nothing_can_be_said, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			colour_is_there_only_when_asked_for, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(tap_counts_what_it_says, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(hostile_words_stay_words, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			no_format_lets_control_bytes_out, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			a_caller_hears_of_verdicts_alone, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(json_forms_stay_json, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			what_is_known_is_in_every_format, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			several_targets_stand_side_by_side, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(all_columns_fit_the_page, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			a_violation_of_a_later_target_is_in_the_tables, set_scene, clear_scene),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
