/*
 * What a client is told when it has to wait. A shared address with an offender behind it deserves a
 * reason and a time. But the line must not say more than the offender knows: one word for everything
 * before login, so that it does not tell which user names there are, and the time only in steps of
 * STEP seconds, so that it does not tell how much a try was worth.
 */
#include "sshd/doorman.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "sshd/monitor.h"
#include "sshd/startups.h"

#define DROP_LOG_USEC UINT64_C(10000000)
#define STEP 15

int doorman_init(struct doorman *doorman, struct limits *limits)
{
	*doorman = (struct doorman){.limits = limits};
	return penalties_new(&doorman->penalties);
}

void doorman_fini(struct doorman *doorman)
{
	doorman->penalties = penalties_free(doorman->penalties);
}

struct penalty_rules doorman_rules(const struct config *config)
{
	struct penalty_rules rules = {
		.least = config->penalty_min,
		.most = config->penalty_max,
		.room4 = config->penalty_sources4,
		.room6 = config->penalty_sources6,
		.bits4 = config->source_bits4,
		.bits6 = config->source_bits6,
		.deny_all = strcmp(config->penalty_overflow, "deny-all") == 0,
	};

	memcpy(rules.seconds, config->penalty, sizeof(rules.seconds));
	return rules;
}

/* Do penalties mean anything to this source? */
static bool is_exempt(const struct config *config, const struct source *source)
{
	return !config->penalties || source->family == 0 ||
		source_is_in(source, config->penalty_exempt);
}

/* ---- letting in ---- */

/* One line for many: a flood must not fill the log. */
static void tally(struct doorman_tally *tally, struct audit *audit, const char *limit,
	const char *why, const struct source *source)
{
	char address[SOURCE_TEXT];
	uint64_t now = io_now_usec();

	tally->count++;
	if (now < tally->since + DROP_LOG_USEC) {
		return;
	}
	source_format(source, address);
	log_warning("turned %llu connection%s away, the last from %s: %s",
		(unsigned long long)tally->count, tally->count == 1 ? "" : "s", address, why);
	(void)audit_event(audit, "limit_hit",
		json_pack("{s:s, s:s, s:s, s:I}", "limit", limit, "reason", why, "address", address,
			"count", (json_int_t)tally->count),
		NULL);
	*tally = (struct doorman_tally){.since = now};
}

static bool must_wait(struct doorman *doorman, const struct config *config, struct audit *audit,
	const struct source *source, char *text)
{
	const struct penalty_rules rules = doorman_rules(config);
	enum penalty reason = PENALTY_COUNT;
	uint64_t seconds = 0;

	if (is_exempt(config, source)) {
		return false;
	}
	switch (penalties_check(
		doorman->penalties, &rules, source, io_now_usec(), &seconds, &reason)) {
	case PENALTIES_NONE:
		return false;
	case PENALTIES_FULL:
		tally(&doorman->waiting, audit, "penalties", "penalty_overflow", source);
		(void)snprintf(text, DOORMAN_TEXT,
			"Not allowed at this time: too many addresses misbehave; try again "
			"later\r\n");
		return true;
	case PENALTIES_SOURCE:
		break;
	}
	tally(&doorman->waiting, audit, "penalties", penalty_name(reason), source);
	seconds = (seconds + STEP - 1) / STEP * STEP;
	(void)snprintf(text, DOORMAN_TEXT,
		"Not allowed at this time: %s your address; try again in %llu seconds\r\n",
		reason >= PENALTY_FIRST_OF_SESSIONS ? "sessions went over their limits from"
						    : "logins failed or broke off from",
		(unsigned long long)seconds);
	return true;
}

/* Why there is no room for one more that has not logged in, or NULL. */
static const char *find_shortage(const struct doorman *doorman, const struct config *config,
	const struct source *source, uint32_t dice)
{
	const struct startups startups = {
		.begin = config->startups_begin,
		.rate = config->startups_rate,
		.full = config->startups_full,
	};
	struct source block = source_mask(*source, config->source_bits4, config->source_bits6);

	if (config->max_connections &&
		limits_count_connections(doorman->limits) >= config->max_connections) {
		return "max_connections";
	}
	if (startups_drop(&startups, limits_count_unauthenticated(doorman->limits), dice)) {
		return "max_startups";
	}
	if (config->source_startups && block.family &&
		limits_count_source(doorman->limits, &block, config->source_bits4,
			config->source_bits6) >= config->source_startups) {
		return "source_startups";
	}
	return NULL;
}

bool doorman_admits(struct doorman *doorman, const struct config *config, struct audit *audit,
	const struct source *source, uint32_t dice, char *text)
{
	const char *why = NULL;

	doorman_hear(doorman, config, audit);
	if (must_wait(doorman, config, audit, source, text)) {
		return false;
	}
	why = find_shortage(doorman, config, source, dice);
	if (!why) {
		return true;
	}
	tally(&doorman->busy, audit, "connections", why, source);
	(void)snprintf(text, DOORMAN_TEXT, "Too many connections; try again later\r\n");
	return false;
}

/* ---- learning ---- */

/* The first moment that something is enforced is worth a line. */
static void say_begin(struct audit *audit, const char *what, const char *who, enum penalty reason)
{
	log_warning("%s %s has to wait: %s", what, who, penalty_name(reason));
	(void)audit_event(audit, "penalty",
		json_pack("{s:s, s:o, s:s}", "kind", what, "who", audit_text(who), "reason",
			penalty_name(reason)),
		NULL);
}

static void penalise(struct doorman *doorman, const struct config *config, struct audit *audit,
	const struct source *source, enum penalty reason, uint64_t times)
{
	const struct penalty_rules rules = doorman_rules(config);
	char address[SOURCE_TEXT];

	if (!is_exempt(config, source) &&
		penalties_add(doorman->penalties, &rules, source, reason, times, io_now_usec())) {
		say_begin(audit, "address", source_format(source, address), reason);
	}
}

static void penalise_user(struct doorman *doorman, const struct config *config, struct audit *audit,
	const struct source *source, const char *user, enum penalty reason, uint64_t times)
{
	const struct penalty_rules rules = doorman_rules(config);

	if (!is_exempt(config, source) &&
		penalties_add_user(
			doorman->penalties, &rules, user, reason, times, io_now_usec())) {
		say_begin(audit, "user", user, reason);
	}
}

/* The reason for a wait status, or PENALTY_COUNT: none. */
static enum penalty reason_of(int status)
{
	static const struct {
		int code;
		enum penalty reason;
	} rows[] = {
		{MONITOR_NO_AUTH, PENALTY_NOAUTH},
		{MONITOR_GRACE_EXCEEDED, PENALTY_GRACE_EXCEEDED},
		{MONITOR_CRASH, PENALTY_CRASH},
		{MONITOR_AUTH_FAILED, PENALTY_AUTHFAIL},
		{MONITOR_REFUSED, PENALTY_REFUSECONNECTION},
		{MONITOR_INVALID_USER, PENALTY_INVALIDUSER},
	};

	if (!WIFEXITED(status)) {
		return PENALTY_CRASH;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].code == WEXITSTATUS(status)) {
			return rows[i].reason;
		}
	}
	return PENALTY_COUNT;
}

void doorman_learn(struct doorman *doorman, const struct config *config, struct audit *audit,
	const struct source *source, int status)
{
	enum penalty reason = reason_of(status);

	if (reason != PENALTY_COUNT) {
		penalise(doorman, config, audit, source, reason, 1);
	}
}

void doorman_hear(struct doorman *doorman, const struct config *config, struct audit *audit)
{
	size_t slots = 0;

	if (!limits_hear_notes(doorman->limits)) {
		return;
	}
	slots = limits_used(doorman->limits);
	for (size_t slot = 0; slot < slots; slot++) {
		for (unsigned i = PENALTY_FIRST_OF_SESSIONS; i < PENALTY_COUNT; i++) {
			uint32_t times = limits_take_note(doorman->limits, slot, (enum penalty)i);
			if (times > 0) {
				struct source source = limits_source(doorman->limits, slot);
				penalise(doorman, config, audit, &source, (enum penalty)i, times);
				penalise_user(doorman, config, audit, &source,
					limits_user(doorman->limits, slot), (enum penalty)i, times);
			}
		}
	}
}
