/*
 * A client that dies at each probe in turn, having said "refused" to all before it: the host comes to
 * an end in time, and believes neither the answers that did not come nor that they would have been
 * good ones. The controls are taken once; each death is a run in one process.
 *
 * In the suite every fifth probe; all of them by hand (three minutes): test-deaths all
 */
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/measure.h"
#include "tests/test.h"
#include "tests/testkit/harness.h"

#define PATIENCE_USEC 8000000 /* for one run; a second is plenty on a quiet machine */

static size_t step = 5;
static struct ground ground;
static struct measurement honest;

static int run_dying(const char *id, struct measurement *ret)
{
	struct capability_set all = {0};
	struct measure_options options = {
		.skip = PROBE_TIME, .timeout_ms = 4000, .control = honest.control};
	struct target target = {0};
	struct err err = {0};
	char text[300];
	int r = 0;

	for (size_t i = 0; i < judge_rule_count; i++) {
		if (judge_rules[i].capability != CAPABILITY_RES_TIME) {
			capability_set_add(&all, judge_rules[i].capability);
		}
	}
	(void)snprintf(
		text, sizeof(text), "exec:%s die %s {client}", program_path("TESTKIT_HOSTILE"), id);
	r = target_parse(text, NULL, &target, &err);
	r = r < 0 ? r : measure(&target, &ground, all, &options, ret, &err);
	target_fini(&target);
	if (r < 0) {
		(void)fprintf(stderr, "%s: %s\n", id, err.msg);
	}
	return r;
}

/* Does some rule of this promise ask a probe that was never answered? */
static bool lacks_an_answer(const struct measurement *measurement, enum capability capability)
{
	for (size_t i = 0; i < judge_rule_count; i++) {
		const struct probe *probe = probe_find(judge_rules[i].probe);
		if (judge_rules[i].capability == capability &&
			measurement->inside[probe_index(probe)].missing) {
			return true;
		}
	}
	return false;
}

static unsigned check_death(const struct probe *probe)
{
	struct measurement measurement = {0};
	const uint64_t began = io_now_usec();
	unsigned missing = 0;

	assert_int_equal(run_dying(probe->id, &measurement), 0);
	if (io_now_usec() - began > PATIENCE_USEC) {
		fail_msg("%s: took %llu ms", probe->id,
			(unsigned long long)(io_now_usec() - began) / 1000);
	}
	if (!measurement.client.hello || measurement.client.ended || !measurement.client.fault[0]) {
		fail_msg("%s: the death was not noticed", probe->id);
	}
	if (measurement.inside[probe_index(probe)].claim != CLAIM_KILLED) {
		fail_msg("%s: taken for an answer", probe->id);
	}
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		if (lacks_an_answer(&measurement, (enum capability)i)) {
			missing++;
			if (measurement.judgement.capabilities[i].verdict == VERDICT_PASS) {
				fail_msg("%s: %s was believed", probe->id,
					capability_name((enum capability)i));
			}
		}
	}
	if (measurement.code != 1 && measurement.code != 3) {
		fail_msg("%s: exit %d", probe->id, measurement.code);
	}
	measurement_fini(&measurement);
	return missing;
}

static void no_death_is_an_answer(void **state)
{
	/* What the client itself tries, in the one session that this test makes. */
	const unsigned others = PROBE_STATE | PROBE_TIME | PROBE_SSH | PROBE_PEER;
	unsigned deaths = 0;
	unsigned missing = 0;

	(void)state;
	for (size_t i = 0; i < probe_count; i++) {
		if (!(probe_table[i].flags & others) && i % step == 0) {
			missing += check_death(&probe_table[i]);
			deaths++;
		}
	}
	(void)printf("%u deaths, %u promises left without an answer\n", deaths, missing);
	assert_true(deaths > 100 / step);
	assert_true(missing > deaths);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_death_is_an_answer)};
	const struct measure_options options = {.skip = PROBE_LIMIT, .timeout_ms = 20000};
	struct capability_set none = {0};
	struct target target = {0};
	struct err err = {0};
	gid_t group = OUTSIDE_GROUP;
	int code = 1;

	step = argc > 1 && strcmp(argv[1], "all") == 0 ? 1 : step;
	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root, for controls of another user\n");
		return 77;
	}
	(void)setsid();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTTOU, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	(void)setgroups(1, &group);
	if (sodium_init() < 0 || target_parse("none", NULL, &target, &err) < 0 ||
		ground_init(&ground, "/srv", program_path("TESTKIT_CLIENT"), &err) < 0 ||
		measure(&target, &ground, none, &options, &honest, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
	} else {
		code = cmocka_run_group_tests(tests, NULL, NULL);
	}
	measurement_fini(&honest);
	ground_fini(&ground);
	target_fini(&target);
	return code;
}
