/*
 * What somebody who is confined may be told about the measurement of their own kind of sandbox.
 *
 * It is put together from our tables and from verdicts, never from a report with things taken out: what a probe
 * found in detail, where canaries lay, what else happened on the host meanwhile and who the client was there are
 * the host's, and would tell a session what host.conceal hides from it. The operator has them in a report of
 * any other format.
 */
#include <errno.h>
#include <jansson.h>

#include "base/log.h"
#include "testkit/fold.h"
#include "testkit/report.h"

#define PROFILE_SIZE 80

/* What the exit status says, in words. */
static const char *outcome_of(const struct measurement *measurement)
{
	switch (measurement->code) {
	case 0:
		return "as declared";
	case 1:
		return "violated";
	case 3:
		return "inconclusive";
	default:
		return "not measured";
	}
}

static bool is_violated(const struct measurement *measurement, size_t i)
{
	return report_speaks_against(measurement->verdicts[i].verdict) &&
		measurement->verdicts[i].capability < CAPABILITY_COUNT;
}

static void print_violations(const struct measurement *measurement, FILE *out)
{
	const char *title = "\nviolated by\n";
	char line[400];

	for (size_t i = 0; i < probe_count; i++) {
		if (is_violated(measurement, i)) {
			(void)snprintf(line, sizeof(line), "  %s, %s: %s", probe_table[i].id,
				capability_name(measurement->verdicts[i].capability),
				probe_table[i].what);
			(void)fputs(title, out);
			fold(line, 4, out);
			title = "";
		}
	}
}

static void count_declared(const struct measurement *measurement, unsigned counts[VERDICT_COUNT])
{
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (result->declared) {
			counts[result->verdict]++;
		}
	}
}

static const char *profile_of(const struct report *report, char text[PROFILE_SIZE])
{
	const char *name = report->columns[0].header.profile;

	return log_escape(name ? name : "default", text, PROFILE_SIZE);
}

static const char *backend_of(const struct report *report)
{
	const struct target *target = report->columns[0].header.details;

	return target->backend ? target->backend->name : "none";
}

int report_write_caller(const struct report *report, FILE *out)
{
	const struct report_header header = {.brief = true};
	const struct measurement *measurement = report->columns[0].measurement;
	unsigned counts[VERDICT_COUNT] = {0};
	char profile[PROFILE_SIZE];
	char line[400];

	(void)snprintf(line, sizeof(line),
		"profile %s, backend %s: measured in a fresh sandbox, made as this login's are; "
		"nothing of the user's ran in it, and none that runs was touched",
		profile_of(report, profile), backend_of(report));
	fold(line, 2, out);
	report_put_capabilities(&header, measurement, out);
	print_violations(measurement, out);
	count_declared(measurement, counts);
	(void)fprintf(out, "\n%s: %u as declared, %u violated, %u inconclusive\n",
		outcome_of(measurement), counts[VERDICT_PASS],
		counts[VERDICT_FAIL] + counts[VERDICT_OVER_RESTRICTED],
		counts[VERDICT_INCONCLUSIVE]);
	return 0;
}

static json_t *list_capabilities(const struct measurement *measurement)
{
	json_t *list = json_array();

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (result->declared) {
			(void)json_array_append_new(list,
				json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "name",
					capability_name((enum capability)i), "observed",
					capability_state_name(result->observed), "verdict",
					verdict_name(result->verdict), "kept", (int)result->passed,
					"broken", (int)result->failed, "unclear",
					(int)result->unclear));
		}
	}
	return list;
}

static json_t *list_violations(const struct measurement *measurement)
{
	json_t *list = json_array();

	for (size_t i = 0; i < probe_count; i++) {
		if (is_violated(measurement, i)) {
			(void)json_array_append_new(list,
				json_pack("{s:s, s:s, s:s}", "probe", probe_table[i].id,
					"capability",
					capability_name(measurement->verdicts[i].capability),
					"what", probe_table[i].what));
		}
	}
	return list;
}

int report_write_caller_json(const struct report *report, FILE *out)
{
	const struct measurement *measurement = report->columns[0].measurement;
	char profile[PROFILE_SIZE];
	json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:i, s:o, s:o}", "schema", "cloche.caller/1",
		"profile", profile_of(report, profile), "backend", backend_of(report), "outcome",
		outcome_of(measurement), "exit", measurement->code, "capabilities",
		list_capabilities(measurement), "violated", list_violations(measurement));
	int r = root ? json_dumpf(root, out, JSON_INDENT(2)) : -1;

	json_decref(root);
	(void)fputc('\n', out);
	return r < 0 ? -ENOMEM : 0;
}
