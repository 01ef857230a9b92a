/*
 * From what was seen to what it means. Data to data: no kernel, no file, no clock.
 *
 * A probe gives two independent inputs, what the client claims and what the host saw. Both runs of
 * it, the control outside and the one inside, become an observation; const tables say which
 * observations a promise permits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/capability.h"
#include "testkit/probes.h"
#include "testkit/protocol.h"

enum evidence {
	EVIDENCE_NONE, /* nothing the host could have seen */
	EVIDENCE_SEEN, /* the effect reached the host, or the state is open */
	EVIDENCE_UNSEEN, /* it would have been seen, and was not */
	EVIDENCE_COUNT,
};

/* How good the evidence is; higher is better. */
enum evidence_level {
	LEVEL_CLAIM, /* E0: the client's word */
	LEVEL_TOKEN, /* E1: a token came back that only the canary knew */
	LEVEL_EVENT, /* E2: the host saw it happen */
	LEVEL_STATE, /* E3: the host read the state itself */
	LEVEL_COMPARED, /* E4: before and after */
};

/* One run of one probe. */
struct outcome {
	enum claim claim;
	int error;
	enum evidence evidence;
	enum evidence_level level;
	bool missing; /* it was asked for and never answered */
	char detail[160]; /* for people; "" when there is nothing to say */
};

enum observation {
	OBSERVED_NOT_RUN,
	OBSERVED_OPEN, /* it reached the host */
	OBSERVED_CLAIM_OPEN, /* the client says so and the host cannot know */
	OBSERVED_SHUT,
	OBSERVED_KILLED, /* shut by killing the one who tried */
	OBSERVED_VIRTUAL, /* succeeded inside, the host is untouched */
	OBSERVED_LEAK, /* refused, and yet it reached the host */
	OBSERVED_LYING, /* the client's word and the host's eyes contradict each other */
	OBSERVED_CLAIM_ONLY, /* the client says shut and the host cannot know */
	OBSERVED_ABSENT, /* there is nothing of the kind on this machine */
	OBSERVED_INCONCLUSIVE, /* looks shut, but the control was not open either */
	OBSERVED_UNKNOWN,
	OBSERVED_COUNT,
};

enum expectation {
	EXPECT_SHUT, /* must not reach the host */
	EXPECT_OPEN, /* must work, and reach the host */
	EXPECT_VIRTUAL, /* must work, and not reach the host */
};

enum verdict {
	VERDICT_PASS,
	VERDICT_FAIL, /* declared shut, observed open */
	VERDICT_OVER_RESTRICTED, /* declared open, observed shut */
	VERDICT_INCONCLUSIVE,
	VERDICT_UNDECLARED_OPEN, /* nothing was promised, and it is open */
	VERDICT_UNDECLARED_SHUT, /* nothing was promised, and it is shut all the same */
	VERDICT_NOT_TESTED,
	VERDICT_EXPECTED, /* violated, as a manifest or a former report says: of known_apply() */
	VERDICT_COUNT,
};

/* One row: this probe helps to decide this promise. */
struct judge_rule {
	enum capability capability;
	const char *probe;
	enum expectation expectation;
};

extern const struct judge_rule judge_rules[];
extern const size_t judge_rule_count;

struct probe_verdict {
	enum observation observed; /* with the control taken into account */
	enum observation control;
	enum verdict verdict;
	enum capability capability; /* for which promise; CAPABILITY_COUNT: none */
	enum expectation expectation; /* meaningful with a capability */
};

enum capability_state { STATE_UNTESTED, STATE_KEPT, STATE_BROKEN, STATE_UNCLEAR };

struct capability_verdict {
	bool declared;
	enum capability_state observed;
	enum verdict verdict;
	enum evidence_level level; /* the best among what decided */
	unsigned passed, failed, unclear;
	unsigned missing; /* asked for and not answered: nothing is kept for good then */
};

struct judgement {
	struct probe_verdict *probes; /* probe_count of them, in the table's order */
	struct capability_verdict capabilities[CAPABILITY_COUNT];
};

/* What one run shows by itself. */
enum observation judge_observe(const struct probe *probe, const struct outcome *outcome);

/*
 * What the run inside shows, given the control: looks-shut counts only where the control was open.
 */
enum observation judge_compare(enum observation inside, enum observation control);

/* What an observation says about an expectation. Never an UNDECLARED verdict. */
enum verdict judge_expect(enum expectation expectation, enum observation observed);

/*
 * The whole. control and inside have probe_count entries; probes (for the result) too, and is the
 * caller's.
 */
void judge_all(struct capability_set declared, const struct outcome *control,
	const struct outcome *inside, struct probe_verdict *probes, struct judgement *ret);

/* 0: as declared or expected, 1: violated, 3: nothing violated but something declared stayed unclear. */
int judge_exit_code(const struct judgement *judgement);

/* Names as reports show them: "OPEN", "CLAIM-ONLY"; "PASS"; "shut"; "seen"; "kept". */
const char *observation_name(enum observation observed);
const char *verdict_name(enum verdict verdict);
const char *expectation_name(enum expectation expectation);
const char *evidence_name(enum evidence evidence);
const char *capability_state_name(enum capability_state state);

/* What has this name. 0 or -EINVAL. */
int observation_parse(const char *name, enum observation *ret);
int verdict_parse(const char *name, enum verdict *ret);
