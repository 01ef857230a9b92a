#include "testkit/protocol.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

static const char *const claim_names[] = {
	[CLAIM_NOT_RUN] = "not-run",
	[CLAIM_DONE] = "done",
	[CLAIM_REFUSED] = "refused",
	[CLAIM_ABSENT] = "absent",
	[CLAIM_KILLED] = "killed",
	[CLAIM_TIMEOUT] = "timeout",
};
static_assert(ARRAY_SIZE(claim_names) == CLAIM_COUNT, "one name each");

static const struct {
	const char *word;
	unsigned fields;
} kinds[] = {
	[PROTOCOL_HELLO] = {"hello", 3},
	[PROTOCOL_START] = {"start", 1},
	[PROTOCOL_RESULT] = {"result", 4},
	[PROTOCOL_END] = {"end", 1},
};

const char *claim_name(enum claim claim)
{
	return claim_names[claim];
}

static bool parse_number(const char *text, uint64_t max, uint32_t *ret)
{
	uint64_t value = 0;

	if (parse_range(text, 0, max, &value) < 0) {
		return false;
	}
	*ret = (uint32_t)value;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(const char *text, struct protocol_line *ret)
{
	size_t length = strlen(text);

	if (strcmp(text, "-") == 0) {
		return true;
	}
	if (length % 2 != 0 || length / 2 > PROTOCOL_MAX_TEXT) {
		return false;
	}
	for (size_t i = 0; i < length; i += 2) {
		int high = hex_digit(text[i]);
		int low = hex_digit(text[i + 1]);
		if (high < 0 || low < 0) {
			return false;
		}
		ret->text[ret->size++] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool parse_claim(const char *text, enum claim *ret)
{
	for (size_t i = 0; i < CLAIM_COUNT; i++) {
		if (strcmp(text, claim_names[i]) == 0) {
			*ret = (enum claim)i;
			return true;
		}
	}
	return false;
}

static bool parse_id(const char *text, struct protocol_line *ret)
{
	size_t length = strlen(text);

	if (length == 0 || length > PROTOCOL_MAX_ID || !parse_is_name(text)) {
		return false;
	}
	memcpy(ret->id, text, length + 1);
	return true;
}

static bool parse_fields(char *fields[], struct protocol_line *ret)
{
	uint32_t number = 0;

	switch (ret->kind) {
	case PROTOCOL_HELLO:
		return parse_number(fields[0], UINT32_MAX, &ret->pid) &&
			parse_number(fields[1], UINT32_MAX, &ret->uid) &&
			parse_number(fields[2], UINT32_MAX, &ret->gid);
	case PROTOCOL_START:
		return parse_id(fields[0], ret);
	case PROTOCOL_RESULT:
		if (!parse_number(fields[2], INT32_MAX, &number)) {
			return false;
		}
		ret->error = (int)number;
		return parse_id(fields[0], ret) && parse_claim(fields[1], &ret->claim) &&
			parse_hex(fields[3], ret);
	case PROTOCOL_END:
		if (!parse_number(fields[0], UINT32_MAX, &number)) {
			return false;
		}
		ret->size = number;
		return true;
	}
	return false;
}

/* Splits at single blanks. False when the count is another one. */
static bool split(char *text, char *fields[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fields[i] = strsep(&text, " ");
		if (!fields[i] || !*fields[i]) {
			return false;
		}
	}
	return !text;
}

/* body: "<sequence> <kind> <fields>", writable. */
static bool parse_body(char *body, struct protocol_line *ret)
{
	char *fields[4] = {NULL};
	char *sequence = strsep(&body, " ");
	char *word = strsep(&body, " ");

	if (!body || !sequence || !word || !parse_number(sequence, UINT32_MAX, &ret->sequence)) {
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(word, kinds[i].word) == 0) {
			ret->kind = (enum protocol_kind)i;
			return split(body, fields, kinds[i].fields) && parse_fields(fields, ret);
		}
	}
	return false;
}

/* True when text ends in " *" and the eight digits of the sum of what stands before; cuts it off. */
static bool check_sum(char *text, size_t *size)
{
	char expected[12];

	if (*size < 10) {
		return false;
	}
	(void)snprintf(expected, sizeof(expected), " *%08x", protocol_checksum(text, *size - 10));
	if (memcmp(text + *size - 10, expected, 10) != 0) {
		return false;
	}
	*size -= 10;
	text[*size] = '\0';
	return true;
}

int protocol_parse(const char *line, size_t size, const char *fence, struct protocol_line *ret)
{
	char text[PROTOCOL_MAX_LINE + 1];
	char mark[PROTOCOL_MAX_FENCE + 3];
	int length = snprintf(mark, sizeof(mark), "@%s ", fence);
	const char *found = NULL;
	struct protocol_line parsed = {0};

	assert(length > 2 && (size_t)length < sizeof(mark));
	while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == '\n')) {
		size--;
	}
	found = size <= PROTOCOL_MAX_LINE ? memmem(line, size, mark, (size_t)length) : NULL;
	if (!found) {
		return 0;
	}
	size -= (size_t)(found - line);
	memcpy(text, found, size);
	text[size] = '\0';
	if (memchr(text, '\0', size) || !check_sum(text, &size) ||
		!parse_body(text + length, &parsed)) {
		return -EBADMSG;
	}
	*ret = parsed;
	return 1;
}

static int format_body(const struct protocol_line *line, char *out, size_t size)
{
	char hex[PROTOCOL_MAX_TEXT * 2 + 1];

	switch (line->kind) {
	case PROTOCOL_HELLO:
		return snprintf(out, size, "hello %u %u %u", line->pid, line->uid, line->gid);
	case PROTOCOL_START:
		return snprintf(out, size, "start %s", line->id);
	case PROTOCOL_RESULT:
		return snprintf(out, size, "result %s %s %d %s", line->id, claim_name(line->claim),
			line->error, line->size ? io_hex(line->text, line->size, hex) : "-");
	case PROTOCOL_END:
		return snprintf(out, size, "end %zu", line->size);
	}
	return 0;
}

size_t protocol_format(const struct protocol_line *line, const char *fence, char *out, size_t size)
{
	char body[PROTOCOL_MAX_LINE - 64];
	int length = 0;

	(void)format_body(line, body, sizeof(body));
	length = snprintf(out, size, "@%s %u %s", fence, line->sequence, body);
	assert(length > 0 && (size_t)length + 12 < size);
	length += snprintf(out + length, size - (size_t)length, " *%08x\n",
		protocol_checksum(out, (size_t)length));
	return (size_t)length;
}

int protocol_feed(struct protocol_stream *stream, const char *data, size_t size,
	int (*take)(const char *line, size_t size, void *context), void *context)
{
	for (size_t i = 0; i < size; i++) {
		int r = 0;
		if (data[i] != '\n') {
			if (stream->used < sizeof(stream->line)) {
				stream->line[stream->used++] = data[i];
			} else {
				stream->overflow = true;
			}
			continue;
		}
		if (stream->overflow) {
			stream->dropped++;
		} else {
			r = take(stream->line, stream->used, context);
		}
		stream->used = 0;
		stream->overflow = false;
		if (r < 0) {
			return r;
		}
	}
	return 0;
}
