#include "session/report.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/parse.h"

#define MAX_COMPLAINTS 64 /* who has more will look again anyway */
#define WIDTH 96 /* characters of a source line that are shown */

void report_init(struct report *report, const char *name, const char *text, size_t size)
{
	*report = (struct report){.name = name, .text = text, .size = size};
}

void report_fini(struct report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		free(report->complaints[i].message);
	}
	free(report->complaints);
	*report = (struct report){0};
}

bool report_is_clean(const struct report *report)
{
	return report->count == 0 && report->dropped == 0;
}

__attribute__((format(printf, 5, 0))) static void add(struct report *report, struct place start,
	struct place end, bool hide, const char *format, va_list args)
{
	char *message = NULL;

	if (!report->complaints) {
		report->complaints = calloc(MAX_COMPLAINTS, sizeof(*report->complaints));
	}
	if (!report->complaints || report->count == MAX_COMPLAINTS ||
		vasprintf(&message, format, args) < 0) {
		report->dropped++;
		return;
	}
	report->complaints[report->count++] =
		(struct complaint){.start = start, .end = end, .hide = hide, .message = message};
}

void report_add(
	struct report *report, struct place start, struct place end, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(report, start, end, false, format, args);
	va_end(args);
}

void report_add_hidden(
	struct report *report, struct place start, struct place end, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(report, start, end, true, format, args);
	va_end(args);
}

/* ---- the text, as libyaml divides it into lines and characters ---- */

/* The length of the line break at text, or 0. YAML 1.1 knows five. */
static size_t break_length(const char *text, const char *end)
{
	if (text[0] == '\n') {
		return 1;
	}
	if (text[0] == '\r') {
		return text + 1 < end && text[1] == '\n' ? 2 : 1;
	}
	if (end - text >= 2 && memcmp(text, "\xc2\x85", 2) == 0) {
		return 2;
	}
	if (end - text >= 3 &&
		(memcmp(text, "\xe2\x80\xa8", 3) == 0 || memcmp(text, "\xe2\x80\xa9", 3) == 0)) {
		return 3;
	}
	return 0;
}

/* The length of the character at text, 1 for a byte that begins none. text ends with a NUL. */
static size_t character_length(const char *text)
{
	size_t length = parse_utf8_length(text);

	return length ? length : 1;
}

struct place report_place_of(const struct report *report, size_t offset)
{
	const char *end = report->text + report->size;
	struct place place = {0, 0};

	for (const char *at = report->text; at < end && at < report->text + offset;) {
		size_t length = break_length(at, end);
		if (length) {
			place.line++;
			place.column = 0;
		} else {
			length = character_length(at);
			place.column++;
		}
		at += length;
	}
	return place;
}

/* The bytes of one line, without its break. */
static const char *find_line(const struct report *report, size_t line, size_t *ret_size)
{
	const char *end = report->text + report->size;
	const char *at = report->text;
	const char *start = at;

	while (at < end) {
		size_t length = break_length(at, end);
		if (length && line-- == 0) {
			break;
		}
		at += length ? length : character_length(at);
		start = length ? at : start;
	}
	*ret_size = (size_t)(at - start);
	return start;
}

/* ---- printing ---- */

/*
 * Where the source line has to stop so that no password is shown, in bytes: before an Argon2 line, and
 * behind the colon that follows the word "pass".
 */
static size_t secret_from(const char *line, size_t size)
{
	size_t cut = size;

	for (size_t i = 0; i + 4 <= size && i < cut; i++) {
		if (strncasecmp(line + i, "pass", 4) == 0) {
			const char *colon = memchr(line + i, ':', size - i);
			cut = colon ? (size_t)(colon - line) + 1 : i;
		} else if (strncasecmp(line + i, "$arg", 4) == 0) {
			cut = i;
		}
	}
	return cut;
}

/* The byte that character number column starts at, at most size. */
static size_t byte_of_column(const char *line, size_t size, size_t column)
{
	size_t at = 0;

	while (at < size && column-- > 0) {
		at += character_length(line + at);
	}
	return at < size ? at : size;
}

/* Prints count characters of the line; what is not text becomes one '?'. */
static void print_characters(const char *line, size_t size, FILE *out)
{
	for (size_t at = 0; at < size;) {
		size_t length = parse_utf8_length(line + at);
		unsigned char first = (unsigned char)line[at];
		/* C1 controls, and U+2028, U+2029 and the marks around them, are no text for us. */
		bool plain = length > 0 && first >= 0x20 && first != 0x7f &&
			!(first == 0xc2 && (unsigned char)line[at + 1] < 0xa0) &&
			!(first == 0xe2 && (unsigned char)line[at + 1] == 0x80) &&
			!(first == 0xef && (unsigned char)line[at + 1] == 0xbb);
		if (plain) {
			(void)fwrite(line + at, 1, length, out);
		} else {
			(void)fputc(first == '\t' ? ' ' : '?', out);
		}
		at += length ? length : 1;
	}
}

static void print_source(const struct report *report, const struct complaint *complaint, FILE *out)
{
	size_t size = 0;
	const char *line = find_line(report, complaint->start.line, &size);
	size_t start = complaint->start.column;
	size_t last =
		complaint->end.line == complaint->start.line ? complaint->end.column : start + 1;
	size_t skip = start > WIDTH / 2 ? start - WIDTH / 4 : 0;
	size_t from = byte_of_column(line, size, skip);
	size_t shown = byte_of_column(line, size, skip + WIDTH);
	size_t cut = secret_from(line, size);

	if (complaint->hide) {
		size_t behind = byte_of_column(line, size, last + 1);
		cut = behind < cut ? behind : cut;
	}
	shown = cut < shown ? cut : shown;
	if (shown <= from && size > 0) {
		return; /* nothing that may be shown */
	}
	(void)fprintf(out, "%5zu | %s", complaint->start.line + 1, skip ? "..." : "");
	print_characters(line + from, shown - from, out);
	(void)fprintf(out, "%s\n", shown < size ? "..." : "");
	if (byte_of_column(line, size, start) > shown) {
		return;
	}
	(void)fprintf(out, "      | %*s^", (int)(start - skip + (skip ? 3 : 0)), "");
	for (size_t i = start + 1; i < last && i < skip + WIDTH; i++) {
		(void)fputc('~', out);
	}
	(void)fputc('\n', out);
}

static int compare_complaints(const void *a, const void *b)
{
	const struct complaint *one = a;
	const struct complaint *two = b;

	if (one->start.line != two->start.line) {
		return one->start.line < two->start.line ? -1 : 1;
	}
	return (one->start.column > two->start.column) - (one->start.column < two->start.column);
}

void report_print(struct report *report, FILE *out)
{
	if (!out) {
		return;
	}
	if (report->count > 0) {
		qsort(report->complaints, report->count, sizeof(*report->complaints),
			compare_complaints);
	}
	for (size_t i = 0; i < report->count; i++) {
		const struct complaint *complaint = &report->complaints[i];
		(void)fprintf(out, "%s:%zu:%zu: error: ", report->name, complaint->start.line + 1,
			complaint->start.column + 1);
		print_characters(complaint->message, strlen(complaint->message), out);
		(void)fputc('\n', out);
		print_source(report, complaint, out);
	}
	if (report->dropped > 0) {
		(void)fprintf(out, "%s: error: and %zu more\n", report->name, report->dropped);
	}
}
