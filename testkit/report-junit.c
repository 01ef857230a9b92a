#include "testkit/report.h"

struct counts {
	unsigned tests, failures, skipped;
};

static bool is_case(const struct report_column *column, size_t i)
{
	return !column->header.brief && report_was_run(&column->measurement->verdicts[i]);
}

static void count(struct counts *counts, enum verdict verdict)
{
	counts->tests++;
	counts->failures += report_speaks_against(verdict);
	counts->skipped += verdict != VERDICT_PASS && !report_speaks_against(verdict);
}

static unsigned count_known(const struct report_column *column)
{
	unsigned failed = 0;

	for (size_t i = 0; i < column->measurement->known.count; i++) {
		failed += known_fails(&column->measurement->known.items[i]);
	}
	return failed;
}

static struct counts count_column(const struct report_column *column)
{
	unsigned known = count_known(column);
	struct counts counts = {.tests = known, .failures = known};

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		if (column->measurement->judgement.capabilities[i].declared) {
			count(&counts, column->measurement->judgement.capabilities[i].verdict);
		}
	}
	for (size_t i = 0; i < probe_count; i++) {
		if (is_case(column, i)) {
			count(&counts, column->measurement->verdicts[i].verdict);
		}
	}
	return counts;
}

/* class and name are words of ours, the rest is not. */
static void put_case(const char *class, const char *name, enum verdict verdict, const char *message,
	const char *detail, FILE *out)
{
	(void)fprintf(out, "    <testcase classname=\"%s\" name=\"%s\"", class, name);
	if (verdict == VERDICT_PASS) {
		(void)fprintf(out, "/>\n");
		return;
	}
	(void)fprintf(out, ">\n      <%s message=\"%s: ",
		report_speaks_against(verdict) ? "failure" : "skipped", verdict_name(verdict));
	report_put_xml(message, out);
	(void)fputc('"', out);
	if (report_speaks_against(verdict)) {
		(void)fprintf(out, " type=\"%s\">", verdict_name(verdict));
		report_put_xml(detail, out);
		(void)fprintf(out, "</failure>\n    </testcase>\n");
	} else {
		(void)fprintf(out, "/>\n    </testcase>\n");
	}
}

/* What is known fails by itself when its time is over. */
static void put_known(const struct report_column *column, FILE *out)
{
	char text[500];

	for (size_t i = 0; i < column->measurement->known.count; i++) {
		const struct known *item = &column->measurement->known.items[i];
		if (known_fails(item)) {
			put_case("known", known_name(item), VERDICT_FAIL,
				known_describe(item, text, sizeof(text)), item->reason, out);
		}
	}
}

static void put_suite(const struct report_column *column, FILE *out)
{
	const struct measurement *measurement = column->measurement;
	struct counts counts = count_column(column);
	char excuse[500];

	(void)fprintf(out, "  <testsuite name=\"");
	report_put_xml(column->header.target, out);
	(void)fprintf(out,
		"\" tests=\"%u\" failures=\"%u\" errors=\"0\" skipped=\"%u\" time=\"%.3f\">\n",
		counts.tests, counts.failures, counts.skipped,
		(double)measurement->total_usec / 1000000);
	put_known(column, out);
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (result->declared) {
			put_case("capability", capability_name((enum capability)i), result->verdict,
				capability_describe((enum capability)i), "", out);
		}
	}
	for (size_t i = 0; i < probe_count; i++) {
		if (is_case(column, i)) {
			(void)report_excuse(measurement, i, excuse, sizeof(excuse));
			put_case(probe_group(&probe_table[i]), probe_table[i].id,
				measurement->verdicts[i].verdict,
				excuse[0] ? excuse : probe_table[i].what,
				measurement->inside[i].detail, out);
		}
	}
	(void)fprintf(out, "  </testsuite>\n");
}

int report_write_junit(const struct report *report, FILE *out)
{
	(void)fprintf(
		out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cloche\">\n");
	for (size_t i = 0; i < report->count; i++) {
		if (!report->columns[i].automatic) {
			put_suite(&report->columns[i], out);
		}
	}
	(void)fprintf(out, "</testsuites>\n");
	return 0;
}
