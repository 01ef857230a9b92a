#include <string.h>

#include "base/log.h"
#include "testkit/report.h"

/* Every punctuation mark of ASCII may be escaped by a backslash; these are the ones that matter. */
static void put(const char *text, FILE *out)
{
	char clean[700];

	for (const char *c = log_escape(text, clean, sizeof(clean)); *c; c++) {
		if (*c == '<' || *c == '>' || *c == '&') {
			(void)fputs(*c == '<' ? "&lt;" : *c == '>' ? "&gt;" : "&amp;", out);
			continue;
		}
		if (strchr("\\`*_{}[]()#+!|~-:@", *c)) {
			(void)fputc('\\', out);
		}
		(void)fputc(*c, out);
	}
}

static void put_head(const struct report *report, const char *first, FILE *out)
{
	(void)fprintf(out, "| %s |", first);
	for (size_t i = 0; i < report->count; i++) {
		(void)fputc(' ', out);
		put(report->columns[i].header.target, out);
		(void)fputs(report->columns[i].automatic ? " (control) |" : " |", out);
	}
	(void)fputs("\n|---|", out);
	for (size_t i = 0; i < report->count; i++) {
		(void)fputs("---|", out);
	}
	(void)fputc('\n', out);
}

static const char *mark(enum verdict verdict)
{
	return report_speaks_against(verdict) ? "**" : "";
}

static void put_capabilities(const struct report *report, FILE *out)
{
	put_head(report, "capability", out);
	for (size_t c = 0; c < CAPABILITY_COUNT; c++) {
		(void)fprintf(out, "| %s |", capability_name((enum capability)c));
		for (size_t i = 0; i < report->count; i++) {
			const struct capability_verdict *result =
				&report->columns[i].measurement->judgement.capabilities[c];
			(void)fprintf(out, " %s%s%s%s%s |", mark(result->verdict),
				capability_state_name(result->observed),
				result->declared ? ", " : "",
				result->declared ? verdict_name(result->verdict) : "",
				mark(result->verdict));
		}
		(void)fputc('\n', out);
	}
}

static void put_probes(const struct report *report, FILE *out)
{
	put_head(report, "probe", out);
	for (size_t p = 0; p < probe_count; p++) {
		if (!report_shows(report, p)) {
			continue;
		}
		(void)fprintf(out, "| %s: ", probe_table[p].id);
		put(probe_table[p].what, out);
		(void)fputs(" |", out);
		for (size_t i = 0; i < report->count; i++) {
			const struct probe_verdict *verdict =
				&report->columns[i].measurement->verdicts[p];
			(void)fprintf(out, " %s%s%s |", mark(verdict->verdict),
				observation_name(verdict->observed), mark(verdict->verdict));
		}
		(void)fputc('\n', out);
	}
}

static void put_violations(const struct report_column *column, FILE *out)
{
	for (size_t p = 0; p < probe_count; p++) {
		if (!report_speaks_against(column->measurement->verdicts[p].verdict)) {
			continue;
		}
		(void)fprintf(
			out, "- %s of ", verdict_name(column->measurement->verdicts[p].verdict));
		put(column->header.target, out);
		(void)fprintf(out, ": %s, ", probe_table[p].id);
		put(probe_table[p].what, out);
		(void)fputs("; ", out);
		put(column->measurement->inside[p].detail, out);
		(void)fputc('\n', out);
	}
}

static void put_known(const struct report_column *column, FILE *out)
{
	char text[500];

	for (size_t i = 0; i < column->measurement->known.count; i++) {
		const struct known *item = &column->measurement->known.items[i];
		(void)fprintf(out, "- %s of ", known_name(item));
		put(column->header.target, out);
		(void)fputs(": ", out);
		put(known_describe(item, text, sizeof(text)), out);
		(void)fputc('\n', out);
	}
}

static bool has_known(const struct report *report)
{
	size_t count = 0;

	for (size_t i = 0; i < report->count; i++) {
		count += report->columns[i].measurement->known.count;
	}
	return count > 0;
}

int report_write_markdown(const struct report *report, FILE *out)
{
	(void)fputs("# What was confined\n\n", out);
	put_capabilities(report, out);
	(void)fputs("\n## Violations\n\n", out);
	for (size_t i = 0; i < report->count; i++) {
		put_violations(&report->columns[i], out);
	}
	if (has_known(report)) {
		(void)fputs("\n## Known before\n\n", out);
		for (size_t i = 0; i < report->count; i++) {
			put_known(&report->columns[i], out);
		}
	}
	(void)fputs("\n## Probes\n\n", out);
	put_probes(report, out);
	return 0;
}
