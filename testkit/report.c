#include "testkit/report.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "cloche-config.h"
#include "testkit/fold.h"

#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static const char *colour_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_PASS:
		return GREEN;
	case VERDICT_FAIL:
	case VERDICT_OVER_RESTRICTED:
		return RED;
	case VERDICT_INCONCLUSIVE:
	case VERDICT_UNDECLARED_OPEN:
		return YELLOW;
	default:
		return "";
	}
}

static bool speaks_against(enum verdict verdict)
{
	return verdict == VERDICT_FAIL || verdict == VERDICT_OVER_RESTRICTED;
}

static bool was_run(const struct probe_verdict *probe)
{
	return probe->observed != OBSERVED_NOT_RUN || probe->verdict != VERDICT_NOT_TESTED;
}

static const char *group_title(const struct probe *probe, const struct probe *before)
{
	return before && before->id[0] == probe->id[0] ? NULL : probe_group(probe);
}

/* ---- text ---- */

static void print_verdict(
	const struct report_header *header, enum verdict verdict, int width, FILE *out)
{
	if (header->colour) {
		(void)fprintf(
			out, "%s%-*s" PLAIN, colour_of(verdict), width, verdict_name(verdict));
	} else {
		(void)fprintf(out, "%-*s", width, verdict_name(verdict));
	}
}

static void print_capability(const struct report_header *header,
	const struct capability_verdict *result, enum capability capability, FILE *out)
{
	if (result->verdict == VERDICT_NOT_TESTED && !result->declared) {
		return;
	}
	if (header->brief && !result->declared) {
		return;
	}
	(void)fprintf(out, "  %-20s %-8s %-9s ", capability_name(capability),
		result->declared ? "declared" : "-", capability_state_name(result->observed));
	print_verdict(header, result->verdict, 16, out);
	(void)fprintf(out, " E%d  %u/%u/%u\n", (int)result->level, result->passed, result->failed,
		result->unclear);
}

static void print_probe(const struct report_header *header, const struct measurement *measurement,
	size_t i, FILE *out)
{
	const struct outcome *inside = &measurement->inside[i];
	const struct probe_verdict *verdict = &measurement->verdicts[i];
	char text[400];
	char line[600];

	(void)fprintf(out, "  %-25s %-8s %-7s E%d %-13s ", probe_table[i].id,
		probe_table[i].flags & PROBE_STATE ? "-" : claim_name(inside->claim),
		evidence_name(inside->evidence), (int)inside->level,
		observation_name(verdict->observed));
	print_verdict(header, verdict->verdict, 1, out);
	(void)fputc('\n', out);
	if (speaks_against(verdict->verdict)) {
		(void)snprintf(line, sizeof(line), "    > %s: %s%s%s",
			verdict->capability < CAPABILITY_COUNT
				? capability_name(verdict->capability)
				: "nothing",
			probe_table[i].what, inside->detail[0] ? "; " : "",
			log_escape(inside->detail, text, sizeof(text)));
		fold(line, 6, out);
	}
}

static void print_probes(
	const struct report_header *header, const struct measurement *measurement, FILE *out)
{
	const struct probe *before = NULL;

	(void)fprintf(out, "\n  %-25s %-8s %-7s %-2s %-13s %s\n", "PROBE", "CLAIM", "HOST", "LV",
		"OBSERVED", "VERDICT");
	for (size_t i = 0; i < probe_count; i++) {
		const struct probe_verdict *verdict = &measurement->verdicts[i];
		const char *title = NULL;
		if (!was_run(verdict) || (header->brief && !speaks_against(verdict->verdict))) {
			continue;
		}
		title = group_title(&probe_table[i], before);
		if (title) {
			(void)fprintf(out, "%s\n", title);
		}
		print_probe(header, measurement, i, out);
		before = &probe_table[i];
	}
}

static void print_summary(const struct measurement *measurement, FILE *out)
{
	unsigned counts[VERDICT_COUNT] = {0};

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		counts[measurement->judgement.capabilities[i].verdict]++;
	}
	(void)fprintf(out,
		"\n%u as declared, %u violated, %u inconclusive, %u open without a promise\n"
		"%.0f ms inside, %.0f ms in all\n",
		counts[VERDICT_PASS], counts[VERDICT_FAIL] + counts[VERDICT_OVER_RESTRICTED],
		counts[VERDICT_INCONCLUSIVE], counts[VERDICT_UNDECLARED_OPEN],
		(double)measurement->inside_usec / 1000, (double)measurement->total_usec / 1000);
}

void report_text(
	const struct report_header *header, const struct measurement *measurement, FILE *out)
{
	char line[700];

	(void)snprintf(line, sizeof(line), "target %.400s%s%.64s", header->target,
		header->profile ? ", profile " : "", header->profile ? header->profile : "");
	fold(line, 2, out);
	if (header->details->plan) {
		(void)fprintf(out, "plan %s\n", header->details->digest);
	}
	STRV_FOREACH (item, header->details->additions) {
		(void)snprintf(line, sizeof(line), "added: %.600s", *item);
		fold(line, 2, out);
	}
	if (measurement->client.fault[0]) {
		(void)fprintf(out, "client: %.70s\n", measurement->client.fault);
	}
	if (measurement->client.lost || measurement->client.damaged) {
		(void)fprintf(out, "client: %zu lines lost, %zu damaged\n",
			measurement->client.lost, measurement->client.damaged);
	}
	(void)fprintf(out, "\n  %-20s %-8s %-9s %-16s %s\n", "CAPABILITY", "DECLARED", "OBSERVED",
		"VERDICT", "LV  KEPT/BROKEN/?");
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		print_capability(
			header, &measurement->judgement.capabilities[i], (enum capability)i, out);
	}
	print_probes(header, measurement, out);
	print_summary(measurement, out);
}

/* ---- JSON ---- */

static json_t *level_json(enum evidence_level level)
{
	return json_sprintf("E%d", (int)level);
}

/* What was run and has a say about the capability. */
static json_t *deciding_json(const struct measurement *measurement, enum capability capability)
{
	json_t *list = json_array();

	for (size_t i = 0; i < judge_rule_count; i++) {
		const struct probe *probe = probe_find(judge_rules[i].probe);
		if (judge_rules[i].capability == capability &&
			measurement->verdicts[probe_index(probe)].observed != OBSERVED_NOT_RUN) {
			(void)json_array_append_new(list, json_string(probe->id));
		}
	}
	return list;
}

static json_t *capabilities_json(
	const struct report_header *header, const struct measurement *measurement)
{
	json_t *list = json_array();

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (header->brief && !result->declared) {
			continue;
		}
		(void)json_array_append_new(list,
			json_pack("{s:s, s:b, s:s, s:s, s:o, s:o, s:i, s:i, s:i}", "name",
				capability_name((enum capability)i), "declared", result->declared,
				"observed", capability_state_name(result->observed), "verdict",
				verdict_name(result->verdict), "level", level_json(result->level),
				"probes", deciding_json(measurement, (enum capability)i), "kept",
				(int)result->passed, "broken", (int)result->failed, "unclear",
				(int)result->unclear));
	}
	return list;
}

static json_t *probe_json(const struct measurement *measurement, size_t i)
{
	const struct outcome *inside = &measurement->inside[i];
	const struct probe_verdict *verdict = &measurement->verdicts[i];
	bool decides = verdict->capability < CAPABILITY_COUNT;
	char text[400];

	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o, s:s, s:s, s:s, s:s, s:s*, s:s}", "id",
		probe_table[i].id, "group", probe_group(&probe_table[i]), "what",
		probe_table[i].what, "claim",
		probe_table[i].flags & PROBE_STATE ? "none" : claim_name(inside->claim), "errno",
		inside->error, "evidence", evidence_name(inside->evidence), "level",
		level_json(inside->level), "control", observation_name(verdict->control),
		"observed", observation_name(verdict->observed), "expected",
		decides ? expectation_name(verdict->expectation) : "none", "verdict",
		verdict_name(verdict->verdict), "capability",
		decides ? capability_name(verdict->capability) : NULL, "detail",
		log_escape(inside->detail, text, sizeof(text)));
}

static json_t *probes_json(
	const struct report_header *header, const struct measurement *measurement)
{
	json_t *list = json_array();

	for (size_t i = 0; i < probe_count; i++) {
		const struct probe_verdict *verdict = &measurement->verdicts[i];
		if (was_run(verdict) && (!header->brief || speaks_against(verdict->verdict))) {
			(void)json_array_append_new(list, probe_json(measurement, i));
		}
	}
	return list;
}

static json_t *target_json(const struct report_header *header)
{
	const struct target *target = header->details;
	json_t *additions = json_array();
	struct utsname name = {0};

	(void)uname(&name);
	STRV_FOREACH (item, target->additions) {
		(void)json_array_append_new(additions, json_string(*item));
	}
	return json_pack("{s:s, s:s*, s:s*, s:s*, s:s, s:o}", "name", header->target, "profile",
		header->profile, "plan", target->plan ? target->digest : NULL, "measured_plan",
		target->plan ? target->plan->digest : NULL, "kernel", name.release, "additions",
		additions);
}

int report_json(
	const struct report_header *header, const struct measurement *measurement, FILE *out)
{
	json_t *root = json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:{s:b, s:b, s:i, s:i, s:s}, s:I, s:I, s:i}", "schema",
		"cloche.report/1", "version", CLOCHE_VERSION, "target", target_json(header),
		"capabilities", capabilities_json(header, measurement), "probes",
		probes_json(header, measurement), "client", "came", measurement->client.hello,
		"finished", measurement->client.ended, "lost", (int)measurement->client.lost,
		"damaged", (int)measurement->client.damaged, "fault", measurement->client.fault,
		"inside_usec", (json_int_t)measurement->inside_usec, "total_usec",
		(json_int_t)measurement->total_usec, "exit", measurement->code);
	int r = root ? json_dumpf(root, out, header->brief ? JSON_COMPACT : JSON_INDENT(2)) : -1;

	json_decref(root);
	(void)fputc('\n', out);
	return r < 0 ? -ENOMEM : 0;
}

/* ---- TAP ---- */

static void tap_line(
	unsigned number, const char *name, enum verdict verdict, const char *detail, FILE *out)
{
	bool skipped = verdict != VERDICT_PASS && !speaks_against(verdict);

	(void)fprintf(out, "%s %u - %s%s%s%s%s\n", speaks_against(verdict) ? "not ok" : "ok",
		number, name, skipped ? " # SKIP " : "", skipped ? verdict_name(verdict) : "",
		!skipped && detail[0] ? " # " : "", skipped ? "" : detail);
}

void report_tap(
	const struct report_header *header, const struct measurement *measurement, FILE *out)
{
	unsigned number = 0;
	char text[200];

	(void)fprintf(out, "TAP version 13\n# target %s\n", header->target);
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (result->declared) {
			tap_line(++number, capability_name((enum capability)i), result->verdict, "",
				out);
		}
	}
	for (size_t i = 0; i < probe_count && !header->brief; i++) {
		if (was_run(&measurement->verdicts[i])) {
			tap_line(++number, probe_table[i].id, measurement->verdicts[i].verdict,
				log_escape(measurement->inside[i].detail, text, sizeof(text)), out);
		}
	}
	(void)fprintf(out, "1..%u\n", number);
}
