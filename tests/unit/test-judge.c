/* The judge: data to data, a row for every case of the tables. */
#include "testkit/judge.h"

#include <stdio.h>
#include <string.h>

#include "backends/elsewhere.h"
#include "backends/backend.h"
#include "base/cleanup.h"
#include "testkit/evidence.h"
#include "tests/test.h"

/* ---- one run ---- */

static void observation_joins_claim_and_evidence(void **state)
{
	static const struct {
		enum claim claim;
		enum evidence evidence;
		unsigned flags;
		enum observation observed;
	} rows[] = {
		{CLAIM_DONE, EVIDENCE_SEEN, 0, OBSERVED_OPEN},
		{CLAIM_DONE, EVIDENCE_SEEN, PROBE_VIRTUAL, OBSERVED_OPEN},
		{CLAIM_DONE, EVIDENCE_UNSEEN, 0, OBSERVED_LYING},
		{CLAIM_DONE, EVIDENCE_UNSEEN, PROBE_VIRTUAL, OBSERVED_VIRTUAL},
		{CLAIM_DONE, EVIDENCE_NONE, 0, OBSERVED_CLAIM_OPEN},
		{CLAIM_REFUSED, EVIDENCE_UNSEEN, 0, OBSERVED_SHUT},
		{CLAIM_REFUSED, EVIDENCE_SEEN, 0, OBSERVED_LEAK},
		{CLAIM_REFUSED, EVIDENCE_SEEN, PROBE_VIRTUAL, OBSERVED_LEAK},
		{CLAIM_REFUSED, EVIDENCE_NONE, 0, OBSERVED_CLAIM_ONLY},
		{CLAIM_ABSENT, EVIDENCE_NONE, 0, OBSERVED_ABSENT},
		{CLAIM_ABSENT, EVIDENCE_UNSEEN, 0, OBSERVED_ABSENT},
		{CLAIM_ABSENT, EVIDENCE_SEEN, 0, OBSERVED_LEAK},
		{CLAIM_KILLED, EVIDENCE_UNSEEN, 0, OBSERVED_KILLED},
		{CLAIM_KILLED, EVIDENCE_SEEN, 0, OBSERVED_LEAK},
		{CLAIM_KILLED, EVIDENCE_NONE, 0, OBSERVED_UNKNOWN},
		{CLAIM_TIMEOUT, EVIDENCE_UNSEEN, 0, OBSERVED_UNKNOWN},
		{CLAIM_TIMEOUT, EVIDENCE_SEEN, 0, OBSERVED_LEAK},
		{CLAIM_NOT_RUN, EVIDENCE_NONE, 0, OBSERVED_NOT_RUN},
		{CLAIM_NOT_RUN, EVIDENCE_UNSEEN, 0, OBSERVED_NOT_RUN},
		{CLAIM_NOT_RUN, EVIDENCE_SEEN, 0, OBSERVED_LEAK},
		/* The host's own eyes, whatever the client says. */
		{CLAIM_REFUSED, EVIDENCE_SEEN, PROBE_STATE, OBSERVED_OPEN},
		{CLAIM_DONE, EVIDENCE_UNSEEN, PROBE_STATE, OBSERVED_SHUT},
		{CLAIM_DONE, EVIDENCE_NONE, PROBE_STATE, OBSERVED_NOT_RUN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct probe probe = {"X.test", rows[i].flags, "test"};
		const struct outcome outcome = {
			.claim = rows[i].claim, .evidence = rows[i].evidence};
		enum observation observed = judge_observe(&probe, &outcome);
		if (observed != rows[i].observed) {
			fail_msg("row %zu: %s", i, observation_name(observed));
		}
	}
}

static void silence_is_not_an_answer(void **state)
{
	const struct probe probe = {"X.test", 0, "test"};
	struct outcome outcome = {.missing = true};

	(void)state;
	assert_int_equal(judge_observe(&probe, &outcome), OBSERVED_UNKNOWN);
	outcome.evidence = EVIDENCE_UNSEEN;
	assert_int_equal(judge_observe(&probe, &outcome), OBSERVED_UNKNOWN);
	outcome.evidence = EVIDENCE_SEEN;
	assert_int_equal(judge_observe(&probe, &outcome), OBSERVED_LEAK);
}

static void looking_shut_counts_only_with_an_open_control(void **state)
{
	static const enum observation shut[] = {OBSERVED_SHUT, OBSERVED_KILLED, OBSERVED_VIRTUAL,
		OBSERVED_CLAIM_ONLY, OBSERVED_UNKNOWN};
	static const enum observation open[] = {OBSERVED_OPEN, OBSERVED_CLAIM_OPEN, OBSERVED_LEAK,
		OBSERVED_LYING, OBSERVED_NOT_RUN};

	(void)state;
	for (size_t control = 0; control < OBSERVED_COUNT; control++) {
		bool was_open = control == OBSERVED_OPEN || control == OBSERVED_CLAIM_OPEN;
		for (size_t i = 0; i < ARRAY_SIZE(shut); i++) {
			assert_int_equal(judge_compare(shut[i], (enum observation)control),
				was_open ? shut[i] : OBSERVED_INCONCLUSIVE);
		}
		/* What is seen open is open, whatever the control did. */
		for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
			assert_int_equal(
				judge_compare(open[i], (enum observation)control), open[i]);
		}
	}
}

/* ---- what it means ---- */

static void expectations_meet_observations(void **state)
{
	static const struct {
		enum observation observed;
		enum verdict shut, open, virtual;
	} rows[] = {
		{OBSERVED_NOT_RUN, VERDICT_NOT_TESTED, VERDICT_NOT_TESTED, VERDICT_NOT_TESTED},
		{OBSERVED_OPEN, VERDICT_FAIL, VERDICT_PASS, VERDICT_FAIL},
		{OBSERVED_CLAIM_OPEN, VERDICT_FAIL, VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE},
		{OBSERVED_SHUT, VERDICT_PASS, VERDICT_OVER_RESTRICTED, VERDICT_OVER_RESTRICTED},
		{OBSERVED_KILLED, VERDICT_PASS, VERDICT_OVER_RESTRICTED, VERDICT_OVER_RESTRICTED},
		{OBSERVED_VIRTUAL, VERDICT_PASS, VERDICT_OVER_RESTRICTED, VERDICT_PASS},
		{OBSERVED_LEAK, VERDICT_FAIL, VERDICT_INCONCLUSIVE, VERDICT_FAIL},
		{OBSERVED_LYING, VERDICT_FAIL, VERDICT_FAIL, VERDICT_FAIL},
		/* A word alone is never enough for a deny. */
		{OBSERVED_CLAIM_ONLY, VERDICT_INCONCLUSIVE, VERDICT_OVER_RESTRICTED,
			VERDICT_OVER_RESTRICTED},
		{OBSERVED_ABSENT, VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE},
		{OBSERVED_INCONCLUSIVE, VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE,
			VERDICT_INCONCLUSIVE},
		{OBSERVED_UNKNOWN, VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE,
			VERDICT_INCONCLUSIVE},
	};

	(void)state;
	assert_int_equal(ARRAY_SIZE(rows), OBSERVED_COUNT);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(judge_expect(EXPECT_SHUT, rows[i].observed), rows[i].shut);
		assert_int_equal(judge_expect(EXPECT_OPEN, rows[i].observed), rows[i].open);
		assert_int_equal(judge_expect(EXPECT_VIRTUAL, rows[i].observed), rows[i].virtual);
	}
}

/* ---- whole judgements ---- */

struct scene {
	struct outcome *control, *inside;
	struct probe_verdict *probes;
	struct judgement judgement;
};

static int set_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	if (!scene) {
		return -1;
	}
	scene->control = calloc(probe_count, sizeof(scene->control[0]));
	scene->inside = calloc(probe_count, sizeof(scene->inside[0]));
	scene->probes = calloc(probe_count, sizeof(scene->probes[0]));
	*state = scene;
	return scene->control && scene->inside && scene->probes ? 0 : -1;
}

static int clear_scene(void **state)
{
	struct scene *scene = *state;

	free(scene->control);
	free(scene->inside);
	free(scene->probes);
	free(scene);
	return 0;
}

static void play(struct scene *scene, const char *id, enum evidence control, enum claim claim,
	enum evidence evidence)
{
	size_t i = probe_index(probe_find(id));

	scene->control[i] =
		(struct outcome){.claim = CLAIM_DONE, .evidence = control, .level = LEVEL_EVENT};
	scene->inside[i] =
		(struct outcome){.claim = claim, .evidence = evidence, .level = LEVEL_EVENT};
}

static struct capability_verdict judge(struct scene *scene, enum capability declared, bool declare)
{
	struct capability_set set = {0};

	if (declare) {
		capability_set_add(&set, declared);
	}
	judge_all(set, scene->control, scene->inside, scene->probes, &scene->judgement);
	return scene->judgement.capabilities[declared];
}

static void a_kept_promise_passes(void **state)
{
	struct scene *scene = *state;

	play(scene, "N.tcp4", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_UNSEEN);
	play(scene, "N.udp4", EVIDENCE_SEEN, CLAIM_DONE, EVIDENCE_UNSEEN);
	struct capability_verdict verdict = judge(scene, CAPABILITY_NET_DISABLE, true);
	assert_int_equal(verdict.verdict, VERDICT_PASS);
	assert_int_equal(verdict.observed, STATE_KEPT);
	assert_int_equal(verdict.passed, 2);
	assert_int_equal(verdict.level, LEVEL_EVENT);
	assert_int_equal(judge_exit_code(&scene->judgement), 0);
}

static void one_open_door_fails(void **state)
{
	struct scene *scene = *state;

	play(scene, "N.tcp4", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_UNSEEN);
	play(scene, "N.tcp6", EVIDENCE_SEEN, CLAIM_DONE, EVIDENCE_SEEN);
	struct capability_verdict verdict = judge(scene, CAPABILITY_NET_DISABLE, true);
	assert_int_equal(verdict.verdict, VERDICT_FAIL);
	assert_int_equal(verdict.observed, STATE_BROKEN);
	assert_int_equal(judge_exit_code(&scene->judgement), 1);
	/* The probe says for whom. */
	struct probe_verdict *probe = &scene->probes[probe_index(probe_find("N.tcp6"))];
	assert_int_equal(probe->verdict, VERDICT_FAIL);
	assert_int_equal(probe->capability, CAPABILITY_NET_DISABLE);
}

static void a_refusal_that_happened_fails(void **state)
{
	struct scene *scene = *state;

	play(scene, "P.kill", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_SEEN);
	assert_int_equal(judge(scene, CAPABILITY_PROC_ISOLATION, true).verdict, VERDICT_FAIL);
	assert_int_equal(scene->probes[probe_index(probe_find("P.kill"))].observed, OBSERVED_LEAK);
}

static void a_shut_control_is_never_a_pass(void **state)
{
	struct scene *scene = *state;

	play(scene, "N.tcp4", EVIDENCE_UNSEEN, CLAIM_REFUSED, EVIDENCE_UNSEEN);
	struct capability_verdict verdict = judge(scene, CAPABILITY_NET_DISABLE, true);
	assert_int_equal(verdict.verdict, VERDICT_INCONCLUSIVE);
	assert_int_equal(verdict.observed, STATE_UNCLEAR);
	assert_int_equal(judge_exit_code(&scene->judgement), 3);
}

static void words_alone_are_never_a_pass(void **state)
{
	struct scene *scene = *state;

	play(scene, "P.see", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_NONE);
	play(scene, "P.vm-read", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_NONE);
	assert_int_equal(
		judge(scene, CAPABILITY_PROC_ISOLATION, true).verdict, VERDICT_INCONCLUSIVE);
	assert_int_equal(judge_exit_code(&scene->judgement), 3);
}

static void what_was_not_tried_is_inconclusive(void **state)
{
	struct scene *scene = *state;
	struct capability_verdict verdict = judge(scene, CAPABILITY_MACH_RESTRICT, true);

	assert_int_equal(verdict.verdict, VERDICT_INCONCLUSIVE);
	assert_int_equal(verdict.observed, STATE_UNTESTED);
	assert_int_equal(judge_exit_code(&scene->judgement), 3);
}

static void a_silent_client_cannot_pass(void **state)
{
	struct scene *scene = *state;

	play(scene, "N.tcp4", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_UNSEEN);
	play(scene, "N.tcp6", EVIDENCE_SEEN, CLAIM_NOT_RUN, EVIDENCE_NONE);
	scene->inside[probe_index(probe_find("N.tcp6"))].missing = true;
	assert_int_equal(judge(scene, CAPABILITY_NET_DISABLE, true).verdict, VERDICT_INCONCLUSIVE);
	assert_int_equal(judge_exit_code(&scene->judgement), 3);
}

static void a_missing_grant_is_over_restricted(void **state)
{
	struct scene *scene = *state;

	play(scene, "F.scope-read", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_UNSEEN);
	play(scene, "F.read-home", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_UNSEEN);
	assert_int_equal(
		judge(scene, CAPABILITY_FS_READ_SCOPE, true).verdict, VERDICT_OVER_RESTRICTED);
	assert_int_equal(judge_exit_code(&scene->judgement), 1);
	/* Together with an open door it is that which counts. */
	play(scene, "F.read-home", EVIDENCE_SEEN, CLAIM_DONE, EVIDENCE_SEEN);
	assert_int_equal(judge(scene, CAPABILITY_FS_READ_SCOPE, true).verdict, VERDICT_FAIL);
}

static void throw_away_writes_must_work_and_stay_inside(void **state)
{
	struct scene *scene = *state;

	play(scene, "F.scratch", EVIDENCE_SEEN, CLAIM_DONE, EVIDENCE_UNSEEN);
	assert_int_equal(judge(scene, CAPABILITY_FS_WRITE_EPHEMERAL, true).verdict, VERDICT_PASS);
	play(scene, "F.scratch", EVIDENCE_SEEN, CLAIM_DONE, EVIDENCE_SEEN);
	assert_int_equal(judge(scene, CAPABILITY_FS_WRITE_EPHEMERAL, true).verdict, VERDICT_FAIL);
	play(scene, "F.scratch", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_UNSEEN);
	assert_int_equal(
		judge(scene, CAPABILITY_FS_WRITE_EPHEMERAL, true).verdict, VERDICT_OVER_RESTRICTED);
}

static void what_nobody_promised_is_listed_and_breaks_nothing(void **state)
{
	struct scene *scene = *state;

	play(scene, "N.tcp4", EVIDENCE_SEEN, CLAIM_DONE, EVIDENCE_SEEN);
	assert_int_equal(
		judge(scene, CAPABILITY_NET_DISABLE, false).verdict, VERDICT_UNDECLARED_OPEN);
	assert_int_equal(scene->judgement.capabilities[CAPABILITY_NET_ENABLE].verdict,
		VERDICT_UNDECLARED_OPEN);
	assert_int_equal(judge_exit_code(&scene->judgement), 0);
	play(scene, "N.tcp4", EVIDENCE_SEEN, CLAIM_REFUSED, EVIDENCE_UNSEEN);
	assert_int_equal(
		judge(scene, CAPABILITY_NET_DISABLE, false).verdict, VERDICT_UNDECLARED_SHUT);
	assert_int_equal(scene->judgement.capabilities[CAPABILITY_NET_ENABLE].verdict,
		VERDICT_UNDECLARED_SHUT);
	assert_int_equal(
		scene->judgement.capabilities[CAPABILITY_IPC_RESTRICT].verdict, VERDICT_NOT_TESTED);
}

/* ---- the tables ---- */

static void every_rule_names_a_probe(void **state)
{
	(void)state;
	for (size_t i = 0; i < judge_rule_count; i++) {
		if (!probe_find(judge_rules[i].probe)) {
			fail_msg("no probe is called %s", judge_rules[i].probe);
		}
		for (size_t j = 0; j < i; j++) {
			assert_false(judge_rules[i].capability == judge_rules[j].capability &&
				strcmp(judge_rules[i].probe, judge_rules[j].probe) == 0);
		}
	}
}

static void probes_have_one_name_each(void **state)
{
	(void)state;
	assert_true(probe_count >= 70);
	for (size_t i = 0; i < probe_count; i++) {
		assert_ptr_equal(probe_find(probe_table[i].id), &probe_table[i]);
		assert_true(strlen(probe_table[i].id) <= PROTOCOL_MAX_ID);
		assert_string_not_equal(probe_group(&probe_table[i]), "other");
		assert_true(strlen(probe_table[i].what) > 5);
	}
	assert_null(probe_find("N.none"));
}

static bool is_layer(const char *name)
{
	for (size_t i = 0; plan_layer_names[i]; i++) {
		if (strcmp(plan_layer_names[i], name) == 0) {
			return true;
		}
	}
	for (size_t i = 0; probe_more_layers[i]; i++) {
		if (strcmp(probe_more_layers[i], name) == 0) {
			return true;
		}
	}
	return false;
}

/* `explain` has something to say about each: why it is tried, who should stop it, where to read on. */
static void every_probe_is_explained(void **state)
{
	char layers[64];

	(void)state;
	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (!probe->why || strlen(probe->why) < 15 || !probe->reference ||
			strlen(probe->reference) < 5 || !probe->layer ||
			strlen(probe->layer) >= sizeof(layers)) {
			fail_msg("%s: a text is missing", probe->id);
		}
		assert_string_not_equal(probe->why, probe->what);
		assert_true(evidence_text(probe)[0] == 'E' && strlen(evidence_text(probe)) > 15);
		assert_true(!evidence_exists(probe) || evidence_text(probe)[1] != '0');
		char *rest = strcpy(layers, probe->layer);
		for (char *name = NULL; (name = strsep(&rest, ","));) {
			if (!is_layer(name)) {
				fail_msg("%s: no layer is called '%s'", probe->id, name);
			}
		}
	}
}

/*
 * No promise without a probe that can decide it: one that the proof before login runs, and of which
 * the host has eyes of its own.
 */
static void every_promise_of_every_backend_is_decided(void **state)
{
	(void)state;
	for (size_t i = 0; backends[i]; i++) {
		if (backends[i]->start == elsewhere_start) {
			continue; /* nothing to probe: its plans are judged as text, test-<name> */
		}
		for (size_t c = 0; c < CAPABILITY_COUNT; c++) {
			bool decided = false;
			for (size_t r = 0; r < judge_rule_count; r++) {
				const struct probe *probe = probe_find(judge_rules[r].probe);
				decided |= judge_rules[r].capability == (enum capability)c &&
					probe->flags & (PROBE_QUICK | PROBE_TIME) &&
					evidence_exists(probe);
			}
			if (capability_set_has(backends[i]->enforces, (enum capability)c) &&
				!decided) {
				fail_msg("%s: nothing decides %s", backends[i]->name,
					capability_name((enum capability)c));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(observation_joins_claim_and_evidence),
		cmocka_unit_test(silence_is_not_an_answer),
		cmocka_unit_test(looking_shut_counts_only_with_an_open_control),
		cmocka_unit_test(expectations_meet_observations),
		cmocka_unit_test_setup_teardown(a_kept_promise_passes, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(one_open_door_fails, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			a_refusal_that_happened_fails, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			a_shut_control_is_never_a_pass, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			words_alone_are_never_a_pass, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			what_was_not_tried_is_inconclusive, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			a_silent_client_cannot_pass, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			a_missing_grant_is_over_restricted, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			throw_away_writes_must_work_and_stay_inside, set_scene, clear_scene),
		cmocka_unit_test_setup_teardown(
			what_nobody_promised_is_listed_and_breaks_nothing, set_scene, clear_scene),
		cmocka_unit_test(every_rule_names_a_probe),
		cmocka_unit_test(probes_have_one_name_each),
		cmocka_unit_test(every_probe_is_explained),
		cmocka_unit_test(every_promise_of_every_backend_is_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
