#include <string.h>

#include "base/log.h"
#include "testkit/fold.h"
#include "testkit/report.h"

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
	case VERDICT_EXPECTED:
		return YELLOW;
	default:
		return "";
	}
}

static const char *group_title(const struct probe *probe, const struct probe *before)
{
	const char *name = probe_group(probe);

	return before && strcmp(probe_group(before), name) == 0 ? NULL : name;
}

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

void report_put_capabilities(
	const struct report_header *header, const struct measurement *measurement, FILE *out)
{
	(void)fprintf(out, "\n  %-20s %-8s %-9s %-16s %s\n", "CAPABILITY", "DECLARED", "OBSERVED",
		"VERDICT", "LV  KEPT/BROKEN/?");
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		print_capability(
			header, &measurement->judgement.capabilities[i], (enum capability)i, out);
	}
}

static void print_probe(const struct report_header *header, const struct measurement *measurement,
	size_t i, FILE *out)
{
	const struct outcome *inside = &measurement->inside[i];
	const struct probe_verdict *verdict = &measurement->verdicts[i];
	char text[600];
	char line[900];
	char excuse[500];

	(void)fprintf(out, "  %-25s %-8s %-7s E%d %-13s ", probe_table[i].id,
		probe_table[i].flags & PROBE_STATE ? "-" : claim_name(inside->claim),
		evidence_name(inside->evidence), (int)inside->level,
		observation_name(verdict->observed));
	print_verdict(header, verdict->verdict, 1, out);
	(void)fputc('\n', out);
	if (verdict->verdict == VERDICT_EXPECTED) {
		(void)report_excuse(measurement, i, excuse, sizeof(excuse));
		(void)snprintf(
			line, sizeof(line), "    > %s", log_escape(excuse, text, sizeof(text)));
		fold(line, 6, out);
	}
	if (report_doubt(measurement, i, excuse, sizeof(excuse))[0]) {
		(void)snprintf(
			line, sizeof(line), "    > %s", log_escape(excuse, text, sizeof(text)));
		fold(line, 6, out);
	}
	if (report_speaks_against(verdict->verdict)) {
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
		if (!report_was_run(verdict) ||
			(header->brief && !report_speaks_against(verdict->verdict) &&
				verdict->verdict != VERDICT_EXPECTED)) {
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

#define MEANWHILE_SHOWN 5

/* What could not be looked at, and what became of the host. */
static void print_conditions(const struct measurement *measurement, FILE *out)
{
	char text[400];
	char line[600];
	size_t count = 0;

	STRV_FOREACH (gap, measurement->gaps) {
		(void)snprintf(line, sizeof(line), "no evidence of %s", *gap);
		fold(line, 2, out);
	}
	STRV_FOREACH (left, measurement->changes.left) {
		(void)snprintf(line, sizeof(line), "LEFT AT THE HOST %s",
			log_escape(*left, text, sizeof(text)));
		fold(line, 2, out);
	}
	STRV_FOREACH (other, measurement->changes.meanwhile) {
		if (++count <= MEANWHILE_SHOWN) {
			(void)snprintf(line, sizeof(line), "meanwhile, by whomever: %s",
				log_escape(*other, text, sizeof(text)));
			fold(line, 2, out);
		}
	}
	if (count > MEANWHILE_SHOWN) {
		(void)fprintf(out, "and %zu more such changes\n", count - MEANWHILE_SHOWN);
	}
}

static void print_summary(const struct measurement *measurement, FILE *out)
{
	unsigned counts[VERDICT_COUNT] = {0};
	char expected[24] = "";

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		counts[measurement->judgement.capabilities[i].verdict]++;
	}
	if (counts[VERDICT_EXPECTED]) {
		(void)snprintf(
			expected, sizeof(expected), ", %u expected", counts[VERDICT_EXPECTED]);
	}
	(void)fprintf(out,
		"\n%u as declared, %u violated, %u inconclusive, %u open without a promise%s\n"
		"%.0f ms inside, %.0f ms in all\n",
		counts[VERDICT_PASS], counts[VERDICT_FAIL] + counts[VERDICT_OVER_RESTRICTED],
		counts[VERDICT_INCONCLUSIVE], counts[VERDICT_UNDECLARED_OPEN], expected,
		(double)measurement->inside_usec / 1000, (double)measurement->total_usec / 1000);
	if (measurement->end_usec > 0) {
		(void)fprintf(out, "%.0f ms from its end until it was gone\n",
			(double)measurement->end_usec / 1000);
	}
	if (measurement->boot_usec > 0) {
		(void)fprintf(out, "the guest booted in %.0f ms\n",
			(double)measurement->boot_usec / 1000);
	}
}

static void print_known(const struct measurement *measurement, FILE *out)
{
	char words[500];
	char text[700];
	char line[800];

	for (size_t i = 0; i < measurement->known.count; i++) {
		const struct known *item = &measurement->known.items[i];
		(void)log_escape(known_describe(item, words, sizeof(words)), text, sizeof(text));
		(void)snprintf(line, sizeof(line), "  %s, %s", known_name(item), text);
		(void)fputs(i ? "" : "\nknown before\n", out);
		fold(line, 6, out);
	}
}

void report_text(
	const struct report_header *header, const struct measurement *measurement, FILE *out)
{
	char line[700];
	char name[400];
	char profile[64];
	char fault[71];

	(void)snprintf(line, sizeof(line), "target %s%s%s",
		log_escape(header->target, name, sizeof(name)), header->profile ? ", profile " : "",
		log_escape(header->profile ? header->profile : "", profile, sizeof(profile)));
	fold(line, 2, out);
	if (header->details->plan) {
		(void)fprintf(out, "plan %s\n", header->details->digest);
	}
	STRV_FOREACH (item, header->details->additions) {
		(void)snprintf(line, sizeof(line), "added: %.600s", *item);
		fold(line, 2, out);
	}
	if (measurement->client.fault[0]) {
		(void)fprintf(out, "client: %s\n",
			log_escape(measurement->client.fault, fault, sizeof(fault)));
	}
	if (measurement->client.lost || measurement->client.damaged) {
		(void)fprintf(out, "client: %zu lines lost, %zu damaged\n",
			measurement->client.lost, measurement->client.damaged);
	}
	report_put_capabilities(header, measurement, out);
	print_probes(header, measurement, out);
	print_known(measurement, out);
	print_conditions(measurement, out);
	print_summary(measurement, out);
}

/* One letter a target: A, B, ... as many as a page holds beside the names. */
static void print_cell(const struct report_column *column, size_t capability, FILE *out)
{
	/* Eight columns beside the names have room for six letters each. */
	static const char *const words[] = {
		[STATE_UNTESTED] = "-",
		[STATE_KEPT] = "kept",
		[STATE_BROKEN] = "broken",
		[STATE_UNCLEAR] = "?",
	};
	const struct capability_verdict *result =
		&column->measurement->judgement.capabilities[capability];
	const char *word =
		report_speaks_against(result->verdict) ? "BROKEN" : words[result->observed];

	if (column->header.colour) {
		(void)fprintf(out, " %s%-6s" PLAIN, colour_of(result->verdict), word);
	} else {
		(void)fprintf(out, " %-6s", word);
	}
}

static void print_side_by_side(const struct report *report, FILE *out)
{
	char line[700];
	char name[400];

	(void)fprintf(out, "  %-20s", "CAPABILITY");
	for (size_t i = 0; i < report->count; i++) {
		(void)fprintf(out, " %-6c", (char)('A' + i));
	}
	(void)fputc('\n', out);
	for (size_t c = 0; c < CAPABILITY_COUNT; c++) {
		(void)fprintf(out, "  %-20s", capability_name((enum capability)c));
		for (size_t i = 0; i < report->count; i++) {
			print_cell(&report->columns[i], c, out);
		}
		(void)fputc('\n', out);
	}
	(void)fputs("\n  BROKEN  against a promise    ?  unclear    -  untested\n\n", out);
	for (size_t i = 0; i < report->count; i++) {
		(void)snprintf(line, sizeof(line), "  %c  %s%s", (char)('A' + i),
			log_escape(report->columns[i].header.target, name, sizeof(name)),
			report->columns[i].automatic ? " (the control outside)" : "");
		fold(line, 5, out);
	}
}

/* One target by itself; several first side by side, then each. */
int report_write_text(const struct report *report, FILE *out)
{
	size_t asked = 0;

	for (size_t i = 0; i < report->count; i++) {
		asked += !report->columns[i].automatic;
	}
	if (asked > 1) {
		print_side_by_side(report, out);
	}
	for (size_t i = 0; i < report->count; i++) {
		if (!report->columns[i].automatic) {
			(void)fputs(asked > 1 ? "\n" : "", out);
			report_text(
				&report->columns[i].header, report->columns[i].measurement, out);
		}
	}
	return 0;
}
