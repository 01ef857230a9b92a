#include "testkit/judge.h"

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const observation_names[] = {
	[OBSERVED_NOT_RUN] = "NOT-RUN",
	[OBSERVED_OPEN] = "OPEN",
	[OBSERVED_CLAIM_OPEN] = "CLAIM-OPEN",
	[OBSERVED_SHUT] = "SHUT",
	[OBSERVED_KILLED] = "SHUT-BY-KILL",
	[OBSERVED_VIRTUAL] = "VIRTUAL",
	[OBSERVED_LEAK] = "LEAK",
	[OBSERVED_LYING] = "LYING",
	[OBSERVED_CLAIM_ONLY] = "CLAIM-ONLY",
	[OBSERVED_ABSENT] = "ABSENT",
	[OBSERVED_INCONCLUSIVE] = "INCONCLUSIVE",
	[OBSERVED_UNKNOWN] = "UNKNOWN",
};
static_assert(ARRAY_SIZE(observation_names) == OBSERVED_COUNT, "one name each");

static const char *const verdict_names[] = {
	[VERDICT_PASS] = "PASS",
	[VERDICT_FAIL] = "FAIL",
	[VERDICT_OVER_RESTRICTED] = "OVER-RESTRICTED",
	[VERDICT_INCONCLUSIVE] = "INCONCLUSIVE",
	[VERDICT_UNDECLARED_OPEN] = "UNDECLARED-OPEN",
	[VERDICT_UNDECLARED_SHUT] = "UNDECLARED-SHUT",
	[VERDICT_NOT_TESTED] = "NOT-TESTED",
	[VERDICT_EXPECTED] = "EXPECTED",
};
static_assert(ARRAY_SIZE(verdict_names) == VERDICT_COUNT, "one name each");

const char *observation_name(enum observation observed)
{
	return observation_names[observed];
}

const char *verdict_name(enum verdict verdict)
{
	return verdict_names[verdict];
}

static int find_name(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0) {
			return i;
		}
	}
	return -EINVAL;
}

int observation_parse(const char *name, enum observation *ret)
{
	int i = find_name(observation_names, OBSERVED_COUNT, name);

	*ret = i < 0 ? *ret : (enum observation)i;
	return i < 0 ? i : 0;
}

int verdict_parse(const char *name, enum verdict *ret)
{
	int i = find_name(verdict_names, VERDICT_COUNT, name);

	*ret = i < 0 ? *ret : (enum verdict)i;
	return i < 0 ? i : 0;
}

const char *expectation_name(enum expectation expectation)
{
	static const char *const names[] = {"shut", "open", "virtual"};

	return names[expectation];
}

const char *evidence_name(enum evidence evidence)
{
	static const char *const names[] = {"none", "seen", "unseen"};

	return names[evidence];
}

const char *capability_state_name(enum capability_state state)
{
	static const char *const names[] = {"untested", "kept", "broken", "unclear"};

	return names[state];
}

/* Without a word from the client only the host's eyes count. */
static enum observation observe_state(const struct outcome *outcome)
{
	static const enum observation by_evidence[EVIDENCE_COUNT] = {
		[EVIDENCE_NONE] = OBSERVED_NOT_RUN,
		[EVIDENCE_SEEN] = OBSERVED_OPEN,
		[EVIDENCE_UNSEEN] = OBSERVED_SHUT,
	};

	return by_evidence[outcome->evidence];
}

/* claim by evidence; VIRTUAL is what an impossible success would be called LYING. */
static const enum observation observation_table[CLAIM_COUNT][EVIDENCE_COUNT] = {
	[CLAIM_NOT_RUN] = {OBSERVED_NOT_RUN, OBSERVED_LEAK, OBSERVED_NOT_RUN},
	[CLAIM_DONE] = {OBSERVED_CLAIM_OPEN, OBSERVED_OPEN, OBSERVED_LYING},
	[CLAIM_REFUSED] = {OBSERVED_CLAIM_ONLY, OBSERVED_LEAK, OBSERVED_SHUT},
	[CLAIM_ABSENT] = {OBSERVED_ABSENT, OBSERVED_LEAK, OBSERVED_ABSENT},
	[CLAIM_KILLED] = {OBSERVED_UNKNOWN, OBSERVED_LEAK, OBSERVED_KILLED},
	[CLAIM_TIMEOUT] = {OBSERVED_UNKNOWN, OBSERVED_LEAK, OBSERVED_UNKNOWN},
};

enum observation judge_observe(const struct probe *probe, const struct outcome *outcome)
{
	enum observation observed = OBSERVED_UNKNOWN;

	assert(outcome->claim < CLAIM_COUNT && outcome->evidence < EVIDENCE_COUNT);
	if (probe->flags & PROBE_STATE) {
		return observe_state(outcome);
	}
	if (outcome->missing) {
		return outcome->evidence == EVIDENCE_SEEN ? OBSERVED_LEAK : OBSERVED_UNKNOWN;
	}
	observed = observation_table[outcome->claim][outcome->evidence];
	if (observed == OBSERVED_LYING && probe->flags & PROBE_VIRTUAL) {
		return OBSERVED_VIRTUAL;
	}
	return observed;
}

enum observation judge_compare(enum observation inside, enum observation control)
{
	bool looks_shut = inside == OBSERVED_SHUT || inside == OBSERVED_KILLED ||
		inside == OBSERVED_VIRTUAL || inside == OBSERVED_CLAIM_ONLY ||
		inside == OBSERVED_UNKNOWN;
	bool was_open = control == OBSERVED_OPEN || control == OBSERVED_CLAIM_OPEN;

	return looks_shut && !was_open ? OBSERVED_INCONCLUSIVE : inside;
}

enum verdict judge_expect(enum expectation expectation, enum observation observed)
{
	static const enum verdict table[][OBSERVED_COUNT] = {
		[EXPECT_SHUT] =
			{
				[OBSERVED_NOT_RUN] = VERDICT_NOT_TESTED,
				[OBSERVED_OPEN] = VERDICT_FAIL,
				[OBSERVED_CLAIM_OPEN] = VERDICT_FAIL,
				[OBSERVED_SHUT] = VERDICT_PASS,
				[OBSERVED_KILLED] = VERDICT_PASS,
				[OBSERVED_VIRTUAL] = VERDICT_PASS,
				[OBSERVED_LEAK] = VERDICT_FAIL,
				[OBSERVED_LYING] = VERDICT_FAIL,
				[OBSERVED_CLAIM_ONLY] = VERDICT_INCONCLUSIVE,
				[OBSERVED_ABSENT] = VERDICT_INCONCLUSIVE,
				[OBSERVED_INCONCLUSIVE] = VERDICT_INCONCLUSIVE,
				[OBSERVED_UNKNOWN] = VERDICT_INCONCLUSIVE,
			},
		[EXPECT_OPEN] =
			{
				[OBSERVED_NOT_RUN] = VERDICT_NOT_TESTED,
				[OBSERVED_OPEN] = VERDICT_PASS,
				[OBSERVED_CLAIM_OPEN] = VERDICT_INCONCLUSIVE,
				[OBSERVED_SHUT] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_KILLED] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_VIRTUAL] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_LEAK] = VERDICT_INCONCLUSIVE,
				[OBSERVED_LYING] = VERDICT_FAIL,
				[OBSERVED_CLAIM_ONLY] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_ABSENT] = VERDICT_INCONCLUSIVE,
				[OBSERVED_INCONCLUSIVE] = VERDICT_INCONCLUSIVE,
				[OBSERVED_UNKNOWN] = VERDICT_INCONCLUSIVE,
			},
		[EXPECT_VIRTUAL] =
			{
				[OBSERVED_NOT_RUN] = VERDICT_NOT_TESTED,
				[OBSERVED_OPEN] = VERDICT_FAIL,
				[OBSERVED_CLAIM_OPEN] = VERDICT_INCONCLUSIVE,
				[OBSERVED_SHUT] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_KILLED] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_VIRTUAL] = VERDICT_PASS,
				[OBSERVED_LEAK] = VERDICT_FAIL,
				[OBSERVED_LYING] = VERDICT_FAIL,
				[OBSERVED_CLAIM_ONLY] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_ABSENT] = VERDICT_INCONCLUSIVE,
				[OBSERVED_INCONCLUSIVE] = VERDICT_INCONCLUSIVE,
				[OBSERVED_UNKNOWN] = VERDICT_INCONCLUSIVE,
			},
	};

	return table[expectation][observed];
}

/* The promise nobody made: what is it worth here. */
static enum verdict judge_undeclared(enum capability_kind kind, bool over_restricted_only,
	const struct capability_verdict *result)
{
	bool open = kind == CAPABILITY_GRANT ? result->passed > 0
					     : result->failed > 0 && !over_restricted_only;

	if (open) {
		return VERDICT_UNDECLARED_OPEN;
	}
	return result->passed || result->failed ? VERDICT_UNDECLARED_SHUT : VERDICT_NOT_TESTED;
}

static void conclude(
	enum capability capability, bool over_restricted_only, struct capability_verdict *result)
{
	bool kept = result->passed && !result->missing;

	result->observed = result->failed ? STATE_BROKEN
		: kept                    ? STATE_KEPT
		: result->unclear         ? STATE_UNCLEAR
					  : STATE_UNTESTED;
	if (!result->declared) {
		result->verdict =
			judge_undeclared(capability_kind(capability), over_restricted_only, result);
		return;
	}
	if (result->failed) {
		result->verdict = over_restricted_only ? VERDICT_OVER_RESTRICTED : VERDICT_FAIL;
		return;
	}
	result->verdict = kept ? VERDICT_PASS : VERDICT_INCONCLUSIVE;
}

/* Worst first: what a probe that decides several promises is reported as. */
static int severity(enum verdict verdict)
{
	static const int order[VERDICT_COUNT] = {
		[VERDICT_FAIL] = 6,
		[VERDICT_OVER_RESTRICTED] = 5,
		[VERDICT_PASS] = 4,
		[VERDICT_INCONCLUSIVE] = 3,
		[VERDICT_UNDECLARED_OPEN] = 2,
		[VERDICT_UNDECLARED_SHUT] = 1,
		[VERDICT_NOT_TESTED] = 0,
		[VERDICT_EXPECTED] = 0, /* nothing is expected yet */
	};

	return order[verdict];
}

static void note_probe(struct probe_verdict *probe, const struct judge_rule *rule, bool declared,
	enum verdict verdict)
{
	if (!declared) {
		return;
	}
	if (probe->capability == CAPABILITY_COUNT || severity(verdict) > severity(probe->verdict)) {
		probe->verdict = verdict;
		probe->capability = rule->capability;
		probe->expectation = rule->expectation;
	}
}

static enum verdict undeclared_probe(enum observation observed)
{
	switch (observed) {
	case OBSERVED_OPEN:
	case OBSERVED_CLAIM_OPEN:
	case OBSERVED_LEAK:
	case OBSERVED_LYING:
		return VERDICT_UNDECLARED_OPEN;
	case OBSERVED_SHUT:
	case OBSERVED_KILLED:
	case OBSERVED_VIRTUAL:
		return VERDICT_UNDECLARED_SHUT;
	case OBSERVED_NOT_RUN:
		return VERDICT_NOT_TESTED;
	default:
		return VERDICT_INCONCLUSIVE;
	}
}

static void judge_rule(const struct judge_rule *rule, const struct outcome *inside,
	struct judgement *ret, bool over_restricted_only[CAPABILITY_COUNT])
{
	const struct probe *probe = probe_find(rule->probe);
	struct capability_verdict *result = &ret->capabilities[rule->capability];
	struct probe_verdict *seen = NULL;
	enum verdict verdict = VERDICT_NOT_TESTED;

	assert(probe);
	seen = &ret->probes[probe_index(probe)];
	verdict = judge_expect(rule->expectation, seen->observed);
	note_probe(seen, rule, result->declared, verdict);
	if (verdict == VERDICT_NOT_TESTED) {
		return;
	}
	if (verdict == VERDICT_INCONCLUSIVE) {
		result->unclear++;
		result->missing += inside[probe_index(probe)].missing;
		return;
	}
	if (verdict == VERDICT_FAIL) {
		over_restricted_only[rule->capability] = false;
	}
	result->passed += verdict == VERDICT_PASS;
	result->failed += verdict != VERDICT_PASS;
	if (inside[probe_index(probe)].level > result->level) {
		result->level = inside[probe_index(probe)].level;
	}
}

void judge_all(struct capability_set declared, const struct outcome *control,
	const struct outcome *inside, struct probe_verdict *probes, struct judgement *ret)
{
	bool over_restricted_only[CAPABILITY_COUNT];

	memset(ret, 0, sizeof(*ret));
	ret->probes = probes;
	for (size_t i = 0; i < probe_count; i++) {
		const struct probe *probe = &probe_table[i];
		enum observation outside = judge_observe(probe, &control[i]);
		enum observation observed =
			judge_compare(judge_observe(probe, &inside[i]), outside);
		probes[i] = (struct probe_verdict){
			.observed = observed,
			.control = outside,
			.verdict = undeclared_probe(observed),
			.capability = CAPABILITY_COUNT,
		};
	}
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		ret->capabilities[i].declared = capability_set_has(declared, (enum capability)i);
		over_restricted_only[i] = true;
	}
	for (size_t i = 0; i < judge_rule_count; i++) {
		judge_rule(&judge_rules[i], inside, ret, over_restricted_only);
	}
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		conclude((enum capability)i, over_restricted_only[i], &ret->capabilities[i]);
	}
}

int judge_exit_code(const struct judgement *judgement)
{
	int code = 0;

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		enum verdict verdict = judgement->capabilities[i].verdict;
		if (verdict == VERDICT_FAIL || verdict == VERDICT_OVER_RESTRICTED) {
			return 1;
		}
		if (judgement->capabilities[i].declared && verdict != VERDICT_PASS &&
			verdict != VERDICT_EXPECTED) {
			code = 3;
		}
	}
	return code;
}
