/* The fenced lines: what survives a login, and what does not pass for ours. */
#include "testkit/protocol.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/test.h"

#define FENCE "0123456789abcdef"

static struct protocol_line result_line(void)
{
	struct protocol_line line = {
		.kind = PROTOCOL_RESULT, .sequence = 7, .claim = CLAIM_REFUSED, .error = 13};

	(void)snprintf(line.id, sizeof(line.id), "N.tcp4");
	memcpy(line.text, "to\0ken\xff", 7);
	line.size = 7;
	return line;
}

static void every_kind_comes_back_as_it_went(void **state)
{
	const struct protocol_line lines[] = {
		{.kind = PROTOCOL_HELLO, .sequence = 0, .pid = 2, .uid = 1000, .gid = 4294967295},
		{.kind = PROTOCOL_START, .sequence = 1, .id = "F.read-tmp"},
		result_line(),
		{.kind = PROTOCOL_RESULT, .sequence = 9, .id = "X.self", .claim = CLAIM_DONE},
		{.kind = PROTOCOL_END, .sequence = 4294967295, .size = 160},
	};
	char text[PROTOCOL_MAX_LINE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct protocol_line back;
		size_t size = protocol_format(&lines[i], FENCE, text, sizeof(text));
		memset(&back, 0x5a, sizeof(back));
		assert_int_equal(protocol_parse(text, size, FENCE, &back), 1);
		assert_int_equal(back.kind, lines[i].kind);
		assert_int_equal(back.sequence, lines[i].sequence);
		assert_string_equal(back.id, lines[i].id);
		assert_int_equal(back.claim, lines[i].claim);
		assert_int_equal(back.error, lines[i].error);
		assert_int_equal(back.size, lines[i].size);
		assert_memory_equal(back.text, lines[i].text, sizeof(back.text));
		assert_int_equal(back.pid, lines[i].pid);
		assert_int_equal(back.uid, lines[i].uid);
		assert_int_equal(back.gid, lines[i].gid);
	}
}

static void a_line_survives_terminals_and_banners(void **state)
{
	struct protocol_line line = result_line();
	struct protocol_line back;
	char text[PROTOCOL_MAX_LINE];
	char dressed[PROTOCOL_MAX_LINE + 64];
	size_t size = protocol_format(&line, FENCE, text, sizeof(text));

	(void)state;
	text[size - 1] = '\0';
	int length = snprintf(dressed, sizeof(dressed), "Welcome! user@host:~$ %s\r\r\n", text);
	assert_int_equal(protocol_parse(dressed, (size_t)length, FENCE, &back), 1);
	assert_string_equal(back.id, "N.tcp4");
}

static void any_changed_byte_is_noticed(void **state)
{
	struct protocol_line line = result_line();
	struct protocol_line back;
	char text[PROTOCOL_MAX_LINE];
	size_t size = protocol_format(&line, FENCE, text, sizeof(text)) - 1;

	(void)state;
	for (size_t i = 0; i < size; i++) {
		text[i] ^= 1;
		assert_int_not_equal(protocol_parse(text, size, FENCE, &back), 1);
		text[i] ^= 1;
		/* Cut short, too. */
		assert_int_not_equal(protocol_parse(text, i, FENCE, &back), 1);
	}
	assert_int_equal(protocol_parse(text, size, FENCE, &back), 1);
}

/* Sums are right here: it is the content that is not. */
static void wrong_content_with_a_right_sum_is_refused(void **state)
{
	static const char *const bodies[] = {
		"0 hello 1 2",
		"0 hello 1 2 3 4",
		"0 hello 1 2 -3",
		"0 hello 1 2 4294967296",
		"0 hello  1 2 3",
		"x hello 1 2 3",
		" hello 1 2 3",
		"4294967296 end 1",
		"0 start",
		"0 start ",
		"0 start -id",
		"0 start ../../etc",
		"0 start 123456789012345678901234567890123",
		"0 end",
		"0 end 1 ",
		"0 result X.self done 0",
		"0 result X.self done 0 0",
		"0 result X.self done 0 0g",
		"0 result X.self done 0 AB",
		"0 result X.self done x -",
		"0 result X.self perhaps 0 -",
		"0 result X.self done 99999999999 -",
		"0 result X.self done 0 - -",
		"0 shout X.self",
		"0",
		"",
	};
	struct protocol_line back;
	char text[PROTOCOL_MAX_LINE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		int length = snprintf(text, sizeof(text), "@" FENCE " %s", bodies[i]);
		length += snprintf(text + length, sizeof(text) - (size_t)length, " *%08x",
			protocol_checksum(text, (size_t)length));
		if (protocol_parse(text, (size_t)length, FENCE, &back) != -EBADMSG) {
			fail_msg("taken: %s", bodies[i]);
		}
	}
}

static void evidence_longer_than_allowed_is_refused(void **state)
{
	struct protocol_line back;
	char text[PROTOCOL_MAX_LINE];
	int length = snprintf(text, sizeof(text), "@" FENCE " 0 result X.self done 0 ");

	(void)state;
	for (size_t i = 0; i < PROTOCOL_MAX_TEXT + 1; i++) {
		length += snprintf(text + length, sizeof(text) - (size_t)length, "ab");
	}
	length += snprintf(text + length, sizeof(text) - (size_t)length, " *%08x",
		protocol_checksum(text, (size_t)length));
	assert_int_equal(protocol_parse(text, (size_t)length, FENCE, &back), -EBADMSG);
}

static void other_text_is_left_alone(void **state)
{
	static const char *const lines[] = {"", "hello", "set fence " FENCE, "@" FENCE,
		"@0123456789abcdee 0 end 1 *00000000", "\r\n"};
	struct protocol_line back;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_int_equal(protocol_parse(lines[i], strlen(lines[i]), FENCE, &back), 0);
	}
}

struct taken {
	size_t count;
	size_t sizes[8];
	int stop_at;
};

static int take(const char *line, size_t size, void *context)
{
	struct taken *taken = context;

	(void)line;
	taken->sizes[taken->count++ % 8] = size;
	return taken->stop_at && (int)taken->count == taken->stop_at ? -EPROTO : 0;
}

static void a_stream_is_cut_into_lines(void **state)
{
	struct protocol_stream stream = {0};
	struct taken taken = {0};
	static const char text[] = "one\ntwo\n\nlast without end";

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(protocol_feed(&stream, text + i, 1, take, &taken), 0);
	}
	assert_int_equal(taken.count, 3);
	assert_int_equal(taken.sizes[0], 3);
	assert_int_equal(taken.sizes[2], 0);
	assert_int_equal(protocol_feed(&stream, "\n", 1, take, &taken), 0);
	assert_int_equal(taken.sizes[3], 16);
}

static void a_line_without_end_costs_no_memory(void **state)
{
	struct protocol_stream stream = {0};
	struct taken taken = {0};
	char flood[512];

	(void)state;
	memset(flood, 'x', sizeof(flood));
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(protocol_feed(&stream, flood, sizeof(flood), take, &taken), 0);
	}
	assert_int_equal(protocol_feed(&stream, "\nok\n", 4, take, &taken), 0);
	assert_int_equal(stream.dropped, 1);
	assert_int_equal(taken.count, 1);
	assert_int_equal(taken.sizes[0], 2);
}

static void the_taker_can_stop_the_stream(void **state)
{
	struct protocol_stream stream = {0};
	struct taken taken = {.stop_at = 2};

	(void)state;
	assert_int_equal(protocol_feed(&stream, "a\nb\nc\n", 6, take, &taken), -EPROTO);
	assert_int_equal(taken.count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_comes_back_as_it_went),
		cmocka_unit_test(a_line_survives_terminals_and_banners),
		cmocka_unit_test(any_changed_byte_is_noticed),
		cmocka_unit_test(wrong_content_with_a_right_sum_is_refused),
		cmocka_unit_test(evidence_longer_than_allowed_is_refused),
		cmocka_unit_test(other_text_is_left_alone),
		cmocka_unit_test(a_stream_is_cut_into_lines),
		cmocka_unit_test(a_line_without_end_costs_no_memory),
		cmocka_unit_test(the_taker_can_stop_the_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
