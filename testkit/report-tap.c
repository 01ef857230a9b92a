#include "base/log.h"
#include "testkit/report.h"

/* In a description a backslash and a hash have a meaning of their own. */
static void put_description(const char *text, FILE *out)
{
	char clean[700];

	for (const char *c = log_escape(text, clean, sizeof(clean)); *c; c++) {
		if (*c == '#' || *c == '\\') {
			(void)fputc('\\', out);
		}
		(void)fputc(*c, out);
	}
}

/* A double-quoted YAML scalar on one line. */
static void put_quoted(const char *text, FILE *out)
{
	char clean[700];

	(void)fputc('"', out);
	for (const char *c = log_escape(text, clean, sizeof(clean)); *c; c++) {
		if (*c == '"' || *c == '\\') {
			(void)fputc('\\', out);
		}
		(void)fputc(*c, out);
	}
	(void)fputc('"', out);
}

static void put_line(unsigned number, const struct report_column *column, const char *name,
	enum verdict verdict, bool several, FILE *out)
{
	bool expected = verdict == VERDICT_EXPECTED;
	bool failed = report_speaks_against(verdict) || expected;
	bool skipped = verdict != VERDICT_PASS && !failed;

	(void)fprintf(out, "%s %u - ", failed ? "not ok" : "ok", number);
	if (several) {
		put_description(column->header.target, out);
		(void)fputs(": ", out);
	}
	(void)fprintf(out, "%s%s%s\n", name,
		skipped            ? " # SKIP "
			: expected ? " # TODO "
				   : "",
		skipped || expected ? verdict_name(verdict) : "");
}

static void put_diagnostic(const struct report_column *column, size_t i, FILE *out)
{
	const struct outcome *inside = &column->measurement->inside[i];

	char text[500];

	(void)fprintf(out, "  ---\n  tried: ");
	put_quoted(probe_table[i].what, out);
	if (report_excuse(column->measurement, i, text, sizeof(text))[0]) {
		(void)fputs("\n  known: ", out);
		put_quoted(text, out);
	}
	(void)fprintf(out, "\n  observed: %s\n  evidence: %s, E%d\n  detail: ",
		observation_name(column->measurement->verdicts[i].observed),
		evidence_name(inside->evidence), (int)inside->level);
	put_quoted(inside->detail, out);
	(void)fprintf(out, "\n  ...\n");
}

/* What is known fails by itself when its time is over. */
static unsigned put_known(
	const struct report_column *column, unsigned number, bool several, FILE *out)
{
	const struct known_list *list = &column->measurement->known;
	char text[500];

	for (size_t i = 0; i < list->count; i++) {
		const struct known *item = &list->items[i];
		if (known_fails(item)) {
			put_line(++number, column, known_name(item), VERDICT_FAIL, several, out);
			(void)fputs("  ---\n  known: ", out);
			put_quoted(known_describe(item, text, sizeof(text)), out);
			(void)fputs("\n  ...\n", out);
		}
	}
	return number;
}

static unsigned put_column(
	const struct report_column *column, unsigned number, bool several, FILE *out)
{
	const struct measurement *measurement = column->measurement;

	(void)fputs("# target ", out);
	put_description(column->header.target, out);
	(void)fputc('\n', out);
	number = put_known(column, number, several, out);
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (result->declared) {
			put_line(++number, column, capability_name((enum capability)i),
				result->verdict, several, out);
		}
	}
	for (size_t i = 0; i < probe_count && !column->header.brief; i++) {
		if (!report_was_run(&measurement->verdicts[i])) {
			continue;
		}
		put_line(++number, column, probe_table[i].id, measurement->verdicts[i].verdict,
			several, out);
		if (report_speaks_against(measurement->verdicts[i].verdict) ||
			measurement->verdicts[i].verdict == VERDICT_EXPECTED) {
			put_diagnostic(column, i, out);
		}
	}
	return number;
}

int report_write_tap(const struct report *report, FILE *out)
{
	unsigned number = 0;
	bool several = report->count > 1 && !report->columns[1].automatic;

	(void)fprintf(out, "TAP version 14\n");
	for (size_t i = 0; i < report->count; i++) {
		if (!report->columns[i].automatic) {
			number = put_column(&report->columns[i], number, several, out);
		}
	}
	(void)fprintf(out, "1..%u\n", number);
	return 0;
}
