#include "testkit/report.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

const struct report_format report_formats[] = {
	{"text", report_write_text},
	{"json", report_write_json},
	{"ndjson", report_write_ndjson},
	{"tap", report_write_tap},
	{"junit", report_write_junit},
	{"sarif", report_write_sarif},
	{"markdown", report_write_markdown},
	{"html", report_write_html},
	{"receipt", report_write_receipt},
	{"caller", report_write_caller},
	{"caller-json", report_write_caller_json},
	{NULL, NULL},
};

const struct report_format *report_format_find(const char *name)
{
	for (const struct report_format *format = report_formats; format->name; format++) {
		if (strcmp(format->name, name) == 0) {
			return format;
		}
	}
	return NULL;
}

bool report_speaks_against(enum verdict verdict)
{
	return verdict == VERDICT_FAIL || verdict == VERDICT_OVER_RESTRICTED;
}

bool report_was_run(const struct probe_verdict *probe)
{
	return probe->observed != OBSERVED_NOT_RUN || probe->verdict != VERDICT_NOT_TESTED;
}

char *report_excuse(const struct measurement *measurement, size_t i, char *text, size_t size)
{
	const struct known *item = measurement->verdicts[i].verdict == VERDICT_EXPECTED
		? known_find(&measurement->known, i)
		: NULL;

	text[0] = '\0';
	return item ? known_describe(item, text, size) : text;
}

/* What is missing before it could be said; a claim that no kind of end is, comes first. */
static const char *doubt(enum observation observed, enum claim claim)
{
	static const char *const words[OBSERVED_COUNT] = {
		[OBSERVED_OPEN] = "open is not what could be told apart",
		[OBSERVED_CLAIM_OPEN] = "got through, as the client says; the host cannot see it",
		[OBSERVED_LEAK] = "was refused, and yet reached the host",
		[OBSERVED_CLAIM_ONLY] = "was refused, as the client says; the host cannot see it",
		[OBSERVED_ABSENT] = "there is nothing of the kind here to be tried",
		[OBSERVED_UNKNOWN] = "neither the client nor the host can tell",
	};

	if (claim == CLAIM_TIMEOUT && observed == OBSERVED_UNKNOWN) {
		return "the client did not come back from it in time";
	}
	if (claim == CLAIM_KILLED && observed == OBSERVED_UNKNOWN) {
		return "the client was killed by it, and the host saw nothing";
	}
	return words[observed] ? words[observed] : "it cannot be told";
}

char *report_doubt(const struct measurement *measurement, size_t i, char *text, size_t size)
{
	const struct probe_verdict *verdict = &measurement->verdicts[i];
	const struct outcome *inside = &measurement->inside[i];
	const char *gap = inside->detail[0] ? "; " : "";

	text[0] = '\0';
	if (verdict->verdict != VERDICT_INCONCLUSIVE) {
		return text;
	}
	if (verdict->observed == OBSERVED_NOT_RUN) {
		(void)snprintf(text, size, "%s",
			inside->detail[0] ? inside->detail : "asked for and never answered");
	} else if (verdict->observed == OBSERVED_INCONCLUSIVE) {
		(void)snprintf(text, size,
			"did not get through, and neither did the control outside (%s)%s%s",
			observation_name(verdict->control), gap, inside->detail);
	} else {
		(void)snprintf(text, size, "%s%s%s", doubt(verdict->observed, inside->claim), gap,
			inside->detail);
	}
	return text;
}

bool report_is_shown(const struct report_column *column, size_t i)
{
	const struct probe_verdict *verdict = &column->measurement->verdicts[i];

	return report_was_run(verdict) &&
		(!column->header.brief || report_speaks_against(verdict->verdict) ||
			verdict->verdict == VERDICT_EXPECTED);
}

bool report_shows(const struct report *report, size_t i)
{
	for (size_t c = 0; c < report->count; c++) {
		if (!report->columns[c].automatic && report_is_shown(&report->columns[c], i)) {
			return true;
		}
	}
	return false;
}

/* XML 1.0 has no way to write most control characters, so they are shown as \xNN before. */
void report_put_xml(const char *text, FILE *out)
{
	static const struct {
		char c;
		const char *text;
	} names[] = {
		{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
	char clean[1024];

	for (const char *c = log_escape(text, clean, sizeof(clean)); *c; c++) {
		size_t i = 0;
		while (i < ARRAY_SIZE(names) && names[i].c != *c) {
			i++;
		}
		if (i < ARRAY_SIZE(names)) {
			(void)fputs(names[i].text, out);
		} else if ((unsigned char)*c < 0x80) {
			(void)fputc(*c, out);
		} else {
			/* Beyond ASCII there are code points that XML forbids and text that runs backwards. */
			(void)fprintf(out, "\\x%02x", (unsigned char)*c);
		}
	}
}
