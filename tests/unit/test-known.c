/* What is known about a target before: manifests, former reports, and what they do to verdicts. */
#include "testkit/known.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "testkit/manifest.h"
#include "testkit/past.h"
#include "testkit/report.h"
#include "tests/test.h"

#define TODAY "2026-11-22"

struct scene {
	struct measurement measurement;
	struct target target;
	char *text;
	size_t size;
};

static void play(struct scene *scene, const char *id, enum evidence inside)
{
	size_t i = probe_index(probe_find(id));

	scene->measurement.control[i] = (struct outcome){
		.claim = CLAIM_DONE, .evidence = EVIDENCE_SEEN, .level = LEVEL_EVENT};
	scene->measurement.inside[i] =
		(struct outcome){.claim = inside == EVIDENCE_SEEN ? CLAIM_DONE : CLAIM_REFUSED,
			.evidence = inside,
			.level = LEVEL_EVENT};
}

static void judge(struct scene *scene, const char *promises)
{
	struct capability_set declared = {0};
	struct err err;

	assert_int_equal(capability_set_parse(promises, &declared, &err), 0);
	judge_all(declared, scene->measurement.control, scene->measurement.inside,
		scene->measurement.verdicts, &scene->measurement.judgement);
}

/* The network is shut; two signals get through. */
static int set_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	if (!scene) {
		return -1;
	}
	scene->measurement.control = calloc(probe_count, sizeof(struct outcome));
	scene->measurement.inside = calloc(probe_count, sizeof(struct outcome));
	scene->measurement.verdicts = calloc(probe_count, sizeof(struct probe_verdict));
	play(scene, "N.tcp4", EVIDENCE_UNSEEN);
	play(scene, "P.kill", EVIDENCE_SEEN);
	play(scene, "P.kill0", EVIDENCE_SEEN);
	play(scene, "P.group", EVIDENCE_UNSEEN);
	judge(scene, "net.disable,proc.isolation");
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

static enum verdict verdict_of(const struct scene *scene, const char *id)
{
	return scene->measurement.verdicts[probe_index(probe_find(id))].verdict;
}

/* Adds what a manifest would say. */
static void know(struct scene *scene, const char *name, const char *until)
{
	static char reason[] = "known";
	struct known item = {.probe = probe_find(name),
		.capability = CAPABILITY_COUNT,
		.verdict = VERDICT_FAIL,
		.reason = reason};
	struct err err;

	if (!item.probe) {
		assert_int_equal(capability_parse(name, &item.capability, &err), 0);
	}
	(void)snprintf(item.until, sizeof(item.until), "%s", until);
	assert_int_equal(known_add(&scene->measurement.known, &item), 0);
}

static bool apply(struct scene *scene)
{
	return known_apply(&scene->measurement.known, TODAY, &scene->measurement.judgement);
}

static const struct capability_verdict *isolation(const struct scene *scene)
{
	return &scene->measurement.judgement.capabilities[CAPABILITY_PROC_ISOLATION];
}

static void all_that_is_open_must_be_known(void **state)
{
	struct scene *scene = *state;

	know(scene, "P.kill", "2027-01-31");
	assert_true(apply(scene));
	assert_int_equal(verdict_of(scene, "P.kill"), VERDICT_EXPECTED);
	assert_int_equal(verdict_of(scene, "P.kill0"), VERDICT_FAIL);
	assert_int_equal(isolation(scene)->verdict, VERDICT_FAIL);
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 1);

	know(scene, "P.kill0", "2027-01-31");
	assert_true(apply(scene));
	assert_int_equal(isolation(scene)->verdict, VERDICT_EXPECTED);
	/* It is not kept all the same. */
	assert_int_equal(isolation(scene)->observed, STATE_BROKEN);
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 0);
}

static void a_capability_covers_all_of_its_probes(void **state)
{
	struct scene *scene = *state;

	know(scene, "proc.isolation", TODAY); /* the last day counts */
	assert_true(apply(scene));
	assert_int_equal(verdict_of(scene, "P.kill"), VERDICT_EXPECTED);
	assert_int_equal(verdict_of(scene, "P.kill0"), VERDICT_EXPECTED);
	assert_int_equal(isolation(scene)->verdict, VERDICT_EXPECTED);
	assert_int_equal(scene->measurement.known.items[0].state, KNOWN_OPEN);
}

static void what_is_expired_excuses_nothing_and_fails(void **state)
{
	struct scene *scene = *state;

	know(scene, "proc.isolation", "2026-11-21");
	assert_false(apply(scene));
	assert_int_equal(verdict_of(scene, "P.kill"), VERDICT_FAIL);
	assert_int_equal(isolation(scene)->verdict, VERDICT_FAIL);
	assert_int_equal(scene->measurement.known.items[0].state, KNOWN_EXPIRED);
	/* Also when the door is shut by now. */
	play(scene, "P.kill", EVIDENCE_UNSEEN);
	play(scene, "P.kill0", EVIDENCE_UNSEEN);
	judge(scene, "proc.isolation");
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 0);
	assert_false(apply(scene));
}

static void an_entry_says_what_became_of_it(void **state)
{
	static const struct {
		const char *name;
		enum known_state state;
	} rows[] = {
		{"P.kill", KNOWN_OPEN},
		{"P.group", KNOWN_SHUT},
		{"P.seize", KNOWN_UNTESTED},
		{"net.disable", KNOWN_SHUT},
		{"ipc.restrict", KNOWN_UNTESTED},
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		know(scene, rows[i].name, "2027-01-31");
	}
	assert_true(apply(scene));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(scene->measurement.known.items[i].state, rows[i].state);
	}
}

/* An opening is no excuse for a promise that something works. */
static void only_openings_are_excused(void **state)
{
	struct scene *scene = *state;

	judge(scene, "net.enable");
	assert_int_equal(verdict_of(scene, "N.tcp4"), VERDICT_OVER_RESTRICTED);
	know(scene, "N.tcp4", "2027-01-31");
	know(scene, "net.enable", "2027-01-31");
	(void)apply(scene);
	assert_int_equal(verdict_of(scene, "N.tcp4"), VERDICT_OVER_RESTRICTED);
}

static void days_are_days(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {{"2026-11-22", true}, {"2028-02-29", true}, {"2027-02-29", false},
		{"2027-13-01", false}, {"2027-00-10", false}, {"2027-1-31", false},
		{"2027-01-31 ", false}, {"27-01-31", false}, {"2027/01/31", false}, {"", false},
		{"20270131", false}, {"+027-01-31", false}, {"9999-12-31", true}};
	char date[KNOWN_DATE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(known_is_date(rows[i].text), rows[i].good);
	}
	assert_true(known_is_date(known_date(0, date)));
	assert_true(known_is_date(known_date(90, date)));
}

/* ---- manifests ---- */

static int read_manifest(const char *text, struct manifest *ret, char **ret_words)
{
	size_t size = 0;
	FILE *out = open_memstream(ret_words, &size);
	int r = 0;

	assert_non_null(out);
	r = manifest_parse(text, strlen(text), "m.yaml", out, ret);
	assert_int_equal(fclose(out), 0);
	return r;
}

static void a_manifest_is_read(void **state)
{
	struct manifest manifest = {0};
	char *words = NULL;

	(void)state;
	assert_int_equal(read_manifest("manifest: 1\n"
				       "target: 'exec:a {client}'\n"
				       "promises: [net.disable, proc.isolation]\n"
				       "openings:\n"
				       "  - {probe: P.kill, reason: same user, until: 2027-01-31}\n"
				       "  - capability: ipc.restrict\n"
				       "    reason: shared on purpose\n"
				       "    until: 2027-02-01\n",
				 &manifest, &words),
		0);
	assert_string_equal(words, "");
	assert_string_equal(manifest.target, "exec:a {client}");
	assert_true(manifest.declares);
	assert_int_equal(capability_set_len(manifest.promises), 2);
	assert_int_equal(manifest.openings.count, 2);
	assert_string_equal(known_name(&manifest.openings.items[0]), "P.kill");
	assert_string_equal(known_name(&manifest.openings.items[1]), "ipc.restrict");
	assert_string_equal(manifest.openings.items[1].until, "2027-02-01");
	manifest_fini(&manifest);
	free(words);
}

static void mistakes_have_a_place_and_a_remedy(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "m.yaml:1:1: error: there is nothing in this file"},
		{"[a]", "a manifest is a map"},
		{"promises: []\n", "a manifest says manifest: 1"},
		{"manifest: 2\n", "m.yaml:1:11: error: this program reads manifests of version 1"},
		{"manifest: [1]\n", "the version is 1"},
		{"manifest: 1\nmore: 2\n", "unknown key \"more\""},
		{"manifest: 1\npromises: net.disable\n", "promises are a list"},
		{"manifest: 1\npromises: [net.disabel]\n", "net.disable"},
		{"manifest: 1\npromises: [[]]\n", "a capability is a word"},
		{"manifest: 1\ntarget: []\n", "a target is a text"},
		{"manifest: 1\nopenings: 3\n", "openings are a list"},
		{"manifest: 1\nopenings: [3]\n", "an opening is a map"},
		{"manifest: 1\nopenings: [{probe: N.none, reason: x, until: 2027-01-31}]\n",
			"no probe is called that"},
		{"manifest: 1\nopenings: [{reason: x, until: 2027-01-31}]\n",
			"of one probe or of one capability"},
		{"manifest: 1\nopenings: [{probe: P.kill, capability: res.cpu, reason: x, until: "
		 "2027-01-31}]\n",
			"of one probe or of one capability"},
		{"manifest: 1\nopenings: [{probe: P.kill, until: 2027-01-31}]\n", "why is this"},
		{"manifest: 1\nopenings: [{probe: P.kill, reason: x}]\n", "until when"},
		{"manifest: 1\nopenings: [{probe: P.kill, reason: x, until: 2027-02-30}]\n",
			"the last day, such as"},
		{"manifest: 1\nopenings: [{probe: P.kill, reason: x, until: never}]\n",
			"m.yaml:2:46: error: the last day, such as"},
		{"manifest: 1\nmanifest: 1\n", "here twice"},
		{"manifest: &a 1\n", "anchors"},
		{"manifest: 1\nopenings: [", "m.yaml:"},
		{"manifest: 1\ntarget: \"\x01\"\n", "m.yaml:"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct manifest manifest = {0};
		cleanup_free char *words = NULL;
		assert_int_equal(read_manifest(rows[i].text, &manifest, &words), -EINVAL);
		if (!strstr(words, rows[i].says)) {
			fail_msg("%s gives %s", rows[i].text, words);
		}
	}
}

static void what_is_learned_is_what_was_seen(void **state)
{
	static const char target[] = "exec:a \"b\" 'c': [\\] # \x01\xff {client}";
	struct scene *scene = *state;
	struct manifest manifest = {0};
	cleanup_free char *words = NULL;
	FILE *out = open_memstream(&scene->text, &scene->size);

	assert_non_null(out);
	manifest_write("exec:a \"b\" 'c': [\\] # {client}", &scene->measurement, out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(read_manifest(scene->text, &manifest, &words), 0);
	assert_string_equal(manifest.target, "exec:a \"b\" 'c': [\\] # {client}");
	assert_true(capability_set_has(manifest.promises, CAPABILITY_NET_DISABLE));
	assert_true(capability_set_has(manifest.promises, CAPABILITY_PROC_ISOLATION));
	assert_int_equal(manifest.openings.count, 2);
	known_fini(&scene->measurement.known);
	scene->measurement.known = manifest.openings;
	manifest.openings = (struct known_list){0};
	manifest_fini(&manifest);
	assert_true(apply(scene));
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 0);

	/* Whatever a target is called, the file can be read. */
	free(take_ptr(&scene->text));
	free(take_ptr(&words));
	out = open_memstream(&scene->text, &scene->size);
	manifest_write(target, &scene->measurement, out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(read_manifest(scene->text, &manifest, &words), 0);
	manifest_fini(&manifest);
}

/* ---- former reports ---- */

static void print_report(struct scene *scene)
{
	const struct report_header header = {
		.target = "exec:a {client}", .details = &scene->target};
	FILE *out = NULL;

	free(take_ptr(&scene->text));
	out = open_memstream(&scene->text, &scene->size);
	assert_non_null(out);
	assert_int_equal(report_json(&header, &scene->measurement, out), 0);
	assert_int_equal(fclose(out), 0);
}

static void read_past(struct scene *scene, struct past *past)
{
	struct err err = {0};

	print_report(scene);
	if (past_parse(scene->text, scene->size, past, &err) < 0) {
		fail_msg("%s", err.msg);
	}
}

static struct capability_set declared_now(const struct scene *scene)
{
	struct capability_set set = {0};

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		if (scene->measurement.judgement.capabilities[i].declared) {
			capability_set_add(&set, (enum capability)i);
		}
	}
	return set;
}

static bool apply_past(struct scene *scene, const struct past *past)
{
	known_fini(&scene->measurement.known);
	assert_int_equal(
		past_to_known(&past->targets[0], declared_now(scene), &scene->measurement.known),
		0);
	return apply(scene);
}

static void only_what_is_new_fails(void **state)
{
	struct scene *scene = *state;
	struct past past = {0};

	read_past(scene, &past);
	assert_non_null(past_find(&past, "exec:a {client}", false));
	assert_null(past_find(&past, "exec:b {client}", false));
	assert_non_null(past_find(&past, "exec:b {client}", true));
	assert_true(apply_past(scene, &past));
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 0);
	assert_int_equal(isolation(scene)->verdict, VERDICT_EXPECTED);

	play(scene, "P.group", EVIDENCE_SEEN);
	judge(scene, "net.disable,proc.isolation");
	assert_true(apply_past(scene, &past));
	assert_int_equal(verdict_of(scene, "P.kill"), VERDICT_EXPECTED);
	assert_int_equal(verdict_of(scene, "P.group"), VERDICT_FAIL);
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 1);
	past_fini(&past);
}

/* P.kill was open when nobody promised anything about signals: no excuse for who promises it now. */
static void a_new_promise_has_no_excuse(void **state)
{
	struct scene *scene = *state;
	struct past past = {0};

	judge(scene, "net.disable");
	read_past(scene, &past);
	judge(scene, "net.disable,proc.isolation");
	assert_true(apply_past(scene, &past));
	assert_int_equal(isolation(scene)->verdict, VERDICT_FAIL);
	past_fini(&past);
}

static void a_promise_that_is_gone_fails(void **state)
{
	struct scene *scene = *state;
	struct past past = {0};

	read_past(scene, &past);
	judge(scene, "proc.isolation");
	assert_false(apply_past(scene, &past));
	past_fini(&past);
}

static void what_was_undecided_may_stay_so(void **state)
{
	struct scene *scene = *state;
	struct past past = {0};

	judge(scene, "mach.restrict,net.disable");
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 3);
	read_past(scene, &past);
	assert_true(apply_past(scene, &past));
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 0);
	/* But nothing else may become so. */
	play(scene, "N.tcp4", EVIDENCE_NONE);
	judge(scene, "mach.restrict,net.disable");
	assert_true(apply_past(scene, &past));
	assert_int_equal(judge_exit_code(&scene->measurement.judgement), 3);
	past_fini(&past);
}

static void differences_are_told(void **state)
{
	struct scene *scene = *state;
	struct past before = {0};
	struct past after = {0};
	cleanup_free char *words = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&words, &size);

	assert_non_null(out);
	read_past(scene, &before);
	assert_int_equal(past_compare(&before.targets[0], &before.targets[0], out), 0);
	(void)fflush(out);
	assert_string_equal(words, "");
	play(scene, "N.tcp4", EVIDENCE_SEEN);
	play(scene, "P.kill", EVIDENCE_UNSEEN);
	judge(scene, "net.disable,proc.isolation");
	read_past(scene, &after);
	assert_true(past_compare(&before.targets[0], &after.targets[0], out) >= 2);
	assert_int_equal(fclose(out), 0);
	assert_non_null(
		strstr(words, "  net.disable: declared, PASS -> declared, FAIL  (worse)\n"));
	assert_non_null(strstr(words, "  N.tcp4: SHUT, PASS -> OPEN, FAIL  (worse)\n"));
	assert_non_null(strstr(words, "  P.kill: OPEN, FAIL -> SHUT, PASS\n"));
	past_fini(&before);
	past_fini(&after);
}

#define HEAD                                                                                       \
	"{\"schema\":\"cloche.report/"                                                             \
	"1\",\"version\":\"1\",\"target\":{\"name\":\"a\",\"kernel\":\"6\"},"

static void reports_of_others_are_refused_in_one_line(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "line 1"},
		{"{", "line 1"},
		{"[]", "no report"},
		{"{\"schema\":\"cloche.report/2\"}", "no report"},
		{"{\"schema\":\"cloche.receipt/1\"}", "no report"},
		{"{\"schema\":\"cloche.report/1\",\"schema\":\"cloche.report/1\"}", "duplicate"},
		{"{\"schema\":\"cloche.report/1\"}", "'version' is missing"},
		{"{\"schema\":\"cloche.report/1\",\"version\":\"1\"}", "'name' is missing"},
		{HEAD "\"probes\":[]}", "'capabilities' is missing"},
		{HEAD "\"capabilities\":{},\"probes\":[]}", "'capabilities' is missing"},
		{HEAD "\"capabilities\":[1],\"probes\":[]}", "capabilities[0] has no 'name'"},
		{HEAD "\"capabilities\":[{\"name\":\"net.disable\",\"declared\":1}],\"probes\":[]}",
			"capabilities[0] has no 'declared'"},
		{HEAD "\"capabilities\":[{\"name\":\"net.disable\",\"declared\":true,\"verdict\":"
		      "\"FINE\"}],\"probes\":[]}",
			"capabilities[0] has no 'verdict'"},
		{HEAD "\"capabilities\":[],\"probes\":[{\"id\":\"N.tcp4\"}]}",
			"probes[0] has no 'observed'"},
		{HEAD "\"capabilities\":[],\"probes\":[],\"others\":[{\"others\":[]}]}", "others"},
		{HEAD "\"capabilities\":[],\"probes\":[],\"others\":7}", "others"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct past past = {0};
		struct err err = {0};
		assert_int_equal(
			past_parse(rows[i].text, strlen(rows[i].text), &past, &err), -EINVAL);
		if (!strstr(err.msg, rows[i].says) || strchr(err.msg, '\n')) {
			fail_msg("%s gives %s", rows[i].text, err.msg);
		}
	}
}

/* A newer program's report may name more. */
static void names_that_are_not_known_are_counted(void **state)
{
	static const char text[] = HEAD
		"\"capabilities\":[{\"name\":\"net.other\",\"declared\":true,\"verdict\":\"FAIL\"}]"
		","
		"\"probes\":[{\"id\":\"N.other\",\"observed\":\"OPEN\",\"verdict\":\"FAIL\"}]}";
	struct past past = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(past_parse(text, strlen(text), &past, &err), 0);
	assert_int_equal(past.targets[0].unknown, 2);
	past_fini(&past);
}

int main(void)
{
#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, set_scene, clear_scene)
	const struct CMUnitTest tests[] = {
		WITH_SCENE(all_that_is_open_must_be_known),
		WITH_SCENE(a_capability_covers_all_of_its_probes),
		WITH_SCENE(what_is_expired_excuses_nothing_and_fails),
		WITH_SCENE(an_entry_says_what_became_of_it),
		WITH_SCENE(only_openings_are_excused),
		cmocka_unit_test(days_are_days),
		cmocka_unit_test(a_manifest_is_read),
		cmocka_unit_test(mistakes_have_a_place_and_a_remedy),
		WITH_SCENE(what_is_learned_is_what_was_seen),
		WITH_SCENE(only_what_is_new_fails),
		WITH_SCENE(a_new_promise_has_no_excuse),
		WITH_SCENE(a_promise_that_is_gone_fails),
		WITH_SCENE(what_was_undecided_may_stay_so),
		WITH_SCENE(differences_are_told),
		cmocka_unit_test(reports_of_others_are_refused_in_one_line),
		cmocka_unit_test(names_that_are_not_known_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
