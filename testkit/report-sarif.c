/*
 * SARIF 2.1.0 (OASIS, 27 March 2020): one run a target, one rule a probe. A result of any kind but
 * "fail" has no level (3.27.10).
 */
#include <assert.h>
#include <errno.h>
#include <jansson.h>

#include "base/log.h"
#include "cloche-config.h"
#include "testkit/evidence.h"
#include "testkit/report.h"

static const struct {
	const char *kind, *level;
} kinds[] = {
	[VERDICT_PASS] = {"pass", "none"},
	[VERDICT_FAIL] = {"fail", "error"},
	[VERDICT_OVER_RESTRICTED] = {"fail", "warning"},
	[VERDICT_INCONCLUSIVE] = {"review", "none"},
	[VERDICT_UNDECLARED_OPEN] = {"informational", "none"},
	[VERDICT_UNDECLARED_SHUT] = {"informational", "none"},
	[VERDICT_NOT_TESTED] = {"notApplicable", "none"},
	[VERDICT_EXPECTED] = {"fail", "error"}, /* suppressed */
};
static_assert(sizeof(kinds) / sizeof(kinds[0]) == VERDICT_COUNT, "one kind a verdict");

static json_t *text_json(const char *text)
{
	char clean[1024];

	return json_pack("{s:s}", "text", log_escape(text, clean, sizeof(clean)));
}

static json_t *rules_json(void)
{
	json_t *list = json_array();

	for (const struct probe *probe = probe_table; probe->id; probe++) {
		(void)json_array_append_new(list,
			json_pack("{s:s, s:o, s:o, s:o, s:{s:[s, s]}}", "id", probe->id,
				"shortDescription", text_json(probe->what), "fullDescription",
				text_json(probe->why), "help", text_json(evidence_text(probe)),
				"properties", "tags", "sandbox", probe_group(probe)));
	}
	return list;
}

static json_t *result_json(const struct report_column *column, size_t i)
{
	const struct probe_verdict *verdict = &column->measurement->verdicts[i];
	const struct outcome *inside = &column->measurement->inside[i];
	const char *promise = verdict->capability < CAPABILITY_COUNT
		? capability_name(verdict->capability)
		: "nothing promised";
	char message[600];
	char name[600];
	char excuse[500];

	(void)snprintf(message, sizeof(message), "%s: %s (%s, %s)%s%s", probe_table[i].what,
		observation_name(verdict->observed), promise, verdict_name(verdict->verdict),
		inside->detail[0] ? "; " : "", inside->detail);
	json_t *result = json_pack("{s:s, s:i, s:s, s:s, s:o, s:[{s:[{s:o, s:s}]}], s:{s:s, s:s}}",
		"ruleId", probe_table[i].id, "ruleIndex", (int)i, "kind",
		kinds[verdict->verdict].kind, "level", kinds[verdict->verdict].level, "message",
		text_json(message), "locations", "logicalLocations", "name",
		json_string(log_escape(column->header.target, name, sizeof(name))), "kind",
		"resource", "properties", "verdict", verdict_name(verdict->verdict), "control",
		observation_name(verdict->control));

	if (report_excuse(column->measurement, i, excuse, sizeof(excuse))[0]) {
		(void)json_object_set_new(result, "suppressions",
			json_pack("[{s:s, s:s, s:o}]", "kind", "external", "status", "accepted",
				"justification",
				json_string(log_escape(excuse, name, sizeof(name)))));
	}
	return result;
}

/* What is known fails by itself when its time is over: a word of the tool's, not a result. */
static json_t *notifications_json(const struct report_column *column)
{
	const struct known_list *list = &column->measurement->known;
	json_t *notifications = json_array();
	char words[500];
	char text[600];

	for (size_t i = 0; i < list->count; i++) {
		if (known_fails(&list->items[i])) {
			(void)known_describe(&list->items[i], words, sizeof(words));
			(void)snprintf(
				text, sizeof(text), "%s, %s", known_name(&list->items[i]), words);
			(void)json_array_append_new(notifications,
				json_pack("{s:s, s:o}", "level", "error", "message",
					text_json(text)));
		}
	}
	return notifications;
}

static json_t *run_json(const struct report_column *column)
{
	json_t *results = json_array();

	for (size_t i = 0; i < probe_count; i++) {
		if (report_is_shown(column, i)) {
			(void)json_array_append_new(results, result_json(column, i));
		}
	}
	return json_pack("{s:{s:{s:s, s:s, s:s, s:o}}, s:[{s:b, s:i, s:o}], s:o}", "tool", "driver",
		"name", "cloche-testkit-host", "version", CLOCHE_VERSION, "semanticVersion",
		CLOCHE_VERSION, "rules", rules_json(), "invocations", "executionSuccessful",
		column->measurement->client.hello, "exitCode", column->measurement->code,
		"toolExecutionNotifications", notifications_json(column), "results", results);
}

int report_write_sarif(const struct report *report, FILE *out)
{
	json_t *runs = json_array();

	for (size_t i = 0; i < report->count; i++) {
		if (!report->columns[i].automatic) {
			(void)json_array_append_new(runs, run_json(&report->columns[i]));
		}
	}
	json_t *root = json_pack("{s:s, s:s, s:o}", "$schema",
		"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
		"sarif-schema-2.1.0.json",
		"version", "2.1.0", "runs", runs);
	int r = root ? json_dumpf(root, out, JSON_INDENT(2)) : -1;
	json_decref(root);
	(void)fputc('\n', out);
	return r < 0 ? -ENOMEM : 0;
}
