/*
 * The command that is asked about each login, after it has proven who it is and before it gets anything. What it
 * says can only choose among the profiles of the configuration, and narrow limits; no answer is a no.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "session/config.h"
#include "session/rules.h"

#define AUTHORIZE_MAX_ANSWER (64 * 1024)

/* 0 where the answer says nothing. */
struct authorize_limits {
	uint64_t timeout, idle_timeout; /* seconds */
	uint64_t memory; /* bytes */
	uint64_t pids, max_sessions;
};

struct authorize_answer {
	bool allow;
	bool no_forward;
	char reason[201]; /* for the user and the audit log; "": none */
	char profile[65]; /* "": as it was */
	char identity[129]; /* who it is, as the command knows them; "": not said */
	struct authorize_limits limits;
};

/*
 * Reads one answer, strictly: a JSON object with "v": 1 and "allow", and nothing that is not known. 0, or -EINVAL
 * with err in words for the operator.
 */
int authorize_answer_parse(
	const char *text, size_t size, struct authorize_answer *ret, struct err *err);

/*
 * Asks the configuration's command. question is consumed. gone: a socket whose end means that nobody waits any more, and
 * a descriptor that is readable when it is to stop. 0 and *ret, or negative errno with err; *ret_usec is what it took in each case.
 */
int authorize_ask(const struct config *config, json_t *question, const int gone[2],
	struct authorize_answer *ret, uint64_t *ret_usec, struct err *err);

/* Could the command be asked at all? 0, or negative errno with err. */
int authorize_check(const struct config *config, struct err *err);

/* Makes a login's limits at most what the answer says. */
void authorize_narrow(const struct authorize_answer *answer, uint64_t max_user_sessions,
	struct rules_result *result);
