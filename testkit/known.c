#include "testkit/known.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

int known_add(struct known_list *list, const struct known *item)
{
	struct known *grown = reallocarray(list->items, list->count + 1, sizeof(list->items[0]));

	if (!grown) {
		return -ENOMEM;
	}
	list->items = grown;
	list->items[list->count] = *item;
	list->items[list->count].reason = strdup(item->reason);
	if (!list->items[list->count].reason) {
		return -ENOMEM;
	}
	list->count++;
	return 0;
}

void known_fini(struct known_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].reason);
	}
	free(list->items);
	*list = (struct known_list){0};
}

/* ---- what an entry is about ---- */

bool known_fails(const struct known *item)
{
	return item->state == KNOWN_EXPIRED || item->state == KNOWN_DROPPED;
}

static bool is_about(const struct known *item, const struct judge_rule *rule)
{
	return (!item->probe || strcmp(item->probe->id, rule->probe) == 0) &&
		(item->capability == CAPABILITY_COUNT || item->capability == rule->capability);
}

static const struct known *excuse_for(
	const struct known_list *list, const struct judge_rule *rule, enum verdict verdict)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct known *item = &list->items[i];
		if (!known_fails(item) && item->verdict == verdict && is_about(item, rule)) {
			return item;
		}
	}
	return NULL;
}

static const struct probe_verdict *seen_by(
	const struct judgement *judgement, const struct judge_rule *rule)
{
	return &judgement->probes[probe_index(probe_find(rule->probe))];
}

static bool violates(enum verdict verdict)
{
	return verdict == VERDICT_FAIL || verdict == VERDICT_OVER_RESTRICTED;
}

/* ---- states ---- */

/* A probe that decides nothing is open or shut all the same. */
static enum known_state state_of_probe(const struct probe_verdict *seen)
{
	return seen->verdict == VERDICT_UNDECLARED_OPEN ? KNOWN_OPEN
		: seen->verdict == VERDICT_NOT_TESTED   ? KNOWN_UNTESTED
							: KNOWN_SHUT;
}

static enum known_state state_of(const struct known *item, const struct judgement *judgement)
{
	enum known_state state = KNOWN_UNTESTED;
	bool decides = false;

	if (item->verdict == VERDICT_INCONCLUSIVE) {
		enum verdict verdict = judgement->capabilities[item->capability].verdict;
		return verdict == VERDICT_INCONCLUSIVE ? KNOWN_OPEN : KNOWN_SHUT;
	}
	for (size_t i = 0; i < judge_rule_count; i++) {
		const struct judge_rule *rule = &judge_rules[i];
		if (!is_about(item, rule)) {
			continue;
		}
		enum verdict verdict =
			judge_expect(rule->expectation, seen_by(judgement, rule)->observed);
		decides = true;
		if (verdict == item->verdict) {
			return KNOWN_OPEN;
		}
		state = verdict == VERDICT_NOT_TESTED ? state : KNOWN_SHUT;
	}
	return decides || !item->probe
		? state
		: state_of_probe(&judgement->probes[probe_index(item->probe)]);
}

static void set_states(
	struct known_list *list, const char *today, const struct judgement *judgement)
{
	for (size_t i = 0; i < list->count; i++) {
		struct known *item = &list->items[i];
		if (item->state == KNOWN_DROPPED) {
			continue;
		}
		/* Dates of this form are in order as texts. */
		item->state = item->until[0] && strcmp(today, item->until) > 0
			? KNOWN_EXPIRED
			: state_of(item, judgement);
	}
}

/* ---- verdicts ---- */

/* Is every violation that matches excused? On no, *ret_rule is one that is not. */
static bool all_excused(const struct known_list *list, const struct judgement *judgement,
	const struct probe *probe, enum capability capability, const struct judge_rule **ret_rule)
{
	for (size_t i = 0; i < judge_rule_count; i++) {
		const struct judge_rule *rule = &judge_rules[i];
		if ((probe && strcmp(rule->probe, probe->id) != 0) ||
			(!probe && rule->capability != capability) ||
			!judgement->capabilities[rule->capability].declared) {
			continue;
		}
		enum verdict verdict =
			judge_expect(rule->expectation, seen_by(judgement, rule)->observed);
		if (violates(verdict) && !excuse_for(list, rule, verdict)) {
			*ret_rule = rule;
			return false;
		}
	}
	return true;
}

/* A probe that violates several promises is reported for one that is not excused. */
static void excuse_probe(const struct known_list *list, struct judgement *judgement, size_t i)
{
	struct probe_verdict *probe = &judgement->probes[i];
	const struct judge_rule *rule = NULL;

	if (!violates(probe->verdict)) {
		return;
	}
	if (all_excused(list, judgement, &probe_table[i], CAPABILITY_COUNT, &rule)) {
		probe->verdict = VERDICT_EXPECTED;
		return;
	}
	probe->capability = rule->capability;
	probe->expectation = rule->expectation;
	probe->verdict = judge_expect(rule->expectation, probe->observed);
}

static void excuse_capability(
	const struct known_list *list, struct judgement *judgement, enum capability capability)
{
	struct capability_verdict *result = &judgement->capabilities[capability];
	const struct judge_rule *ignored = NULL;

	if (violates(result->verdict) && all_excused(list, judgement, NULL, capability, &ignored)) {
		result->verdict = VERDICT_EXPECTED;
	}
	for (size_t i = 0; i < list->count && result->verdict == VERDICT_INCONCLUSIVE; i++) {
		if (list->items[i].capability == capability && !known_fails(&list->items[i]) &&
			list->items[i].verdict == VERDICT_INCONCLUSIVE) {
			result->verdict = VERDICT_EXPECTED;
		}
	}
}

bool known_apply(struct known_list *list, const char *today, struct judgement *judgement)
{
	bool good = true;

	set_states(list, today, judgement);
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		excuse_capability(list, judgement, (enum capability)i);
	}
	for (size_t i = 0; i < probe_count; i++) {
		excuse_probe(list, judgement, i);
	}
	for (size_t i = 0; i < list->count; i++) {
		good = good && !known_fails(&list->items[i]);
	}
	return good;
}

const struct known *known_find(const struct known_list *list, size_t probe)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct known *item = &list->items[i];
		for (size_t k = 0; item->state == KNOWN_OPEN && k < judge_rule_count; k++) {
			if (strcmp(judge_rules[k].probe, probe_table[probe].id) == 0 &&
				is_about(item, &judge_rules[k])) {
				return item;
			}
		}
	}
	return NULL;
}

/* ---- words ---- */

const char *known_name(const struct known *item)
{
	return item->probe ? item->probe->id : capability_name(item->capability);
}

const char *known_state_name(enum known_state state)
{
	static const char *const names[KNOWN_STATES] = {
		[KNOWN_UNTESTED] = "untested",
		[KNOWN_OPEN] = "open",
		[KNOWN_SHUT] = "shut",
		[KNOWN_EXPIRED] = "expired",
		[KNOWN_DROPPED] = "dropped",
	};

	return names[state];
}

char *known_describe(const struct known *item, char *text, size_t size)
{
	static const char *const words[KNOWN_STATES] = {
		[KNOWN_UNTESTED] = "nothing was run that could tell; expected",
		[KNOWN_OPEN] = "expected",
		[KNOWN_SHUT] = "not so any more, the entry can go; expected",
		[KNOWN_EXPIRED] = "EXPIRED, was expected",
		[KNOWN_DROPPED] = "DROPPED, no longer declared",
	};

	(void)snprintf(text, size, "%s%s%s: %s", words[item->state],
		item->until[0] ? " until " : "", item->until, item->reason);
	return text;
}

/* ---- days ---- */

char *known_date(int days, char date[KNOWN_DATE])
{
	time_t now = time(NULL) + (time_t)days * 86400;
	struct tm day;

	(void)gmtime_r(&now, &day);
	(void)strftime(date, KNOWN_DATE, "%Y-%m-%d", &day);
	return date;
}

bool known_is_date(const char *text)
{
	static const char form[] = "dddd-dd-dd";
	char again[KNOWN_DATE];
	struct tm day = {0};

	if (strlen(text) != strlen(form)) {
		return false;
	}
	for (size_t i = 0; form[i]; i++) {
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i]) {
			return false;
		}
	}
	day.tm_year = atoi(text) - 1900;
	day.tm_mon = atoi(text + 5) - 1;
	day.tm_mday = atoi(text + 8);
	/* A day that is not in its month comes back as another. */
	return timegm(&day) != (time_t)-1 && strftime(again, sizeof(again), "%Y-%m-%d", &day) > 0 &&
		strcmp(text, again) == 0;
}
