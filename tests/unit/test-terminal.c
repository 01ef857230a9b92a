/*
 * What a watcher's terminal is shown of a session: text and colours come through, and nothing that
 * would make it answer or change what is the watcher's.
 */
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/terminal.h"

/* What comes of text, given in pieces of this size. The caller frees. */
static char *filtered(const char *text, size_t size, size_t piece, bool ascii)
{
	struct terminal_filter filter = {.ascii = ascii};
	struct buf out = {0};

	for (size_t i = 0; i < size; i += piece) {
		terminal_filter(&filter, text + i, size - i < piece ? size - i : piece, &out);
	}
	buf_put_u8(&out, 0);
	assert_false(out.failed);
	return (char *)out.data;
}

static void expect(const char *text, const char *expected)
{
	static const size_t pieces[] = {1, 2, 3, 4096};

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		cleanup_free char *got = filtered(text, strlen(text), pieces[i], false);
		assert_string_equal(got, expected);
	}
}

static void what_people_see_comes_through(void **state)
{
	static const char *const same[] = {"plain text\r\nand more\ttabbed\b \a",
		"\033[1;31mred\033[0m", "\033[38:2::1:2:3m", "\033[38;5;196m",
		"\033[2J\033[H\033[10;20H", "\033[K\033[1K\033[?2K", "\0337\0338\033D\033E\033M",
		"\033(0lqk\033(B\033)0\016x\017", "\033[?1049h\033[?1049l", "\033[?25l\033[?25h",
		"\033[4h\033[4l", "\033[!p", "\033[2 q", "\033[1;24r\033[r", "\033[3S\033[3T",
		"gr\303\274n \342\202\254 \360\237\214\261", "\033[s\033[u",
		"\033[5@\033[3P\033[2L\033[2M"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		expect(same[i], same[i]);
	}
}

static void what_makes_a_terminal_answer_does_not(void **state)
{
	static const char *const none[] = {"\005", "\033[c", "\033[>c", "\033[=c", "\033[0c",
		"\033Z", "\033[5n", "\033[6n", "\033[?6n", "\033[?996n", "\033[x", "\033[1x",
		"\033[18t", "\033[21t", "\033[?25$p", "\033[4$p", "\033[>q", "\033[?u", "\033[?4m",
		"\033[1;1;1;1;1;1*y", "\033[?1;1;0S", "\033]10;?\a", "\033]11;?\033\\",
		"\033]4;1;?\a", "\033]52;c;?\a", "\033]50;?\a", "\033P+q544e\033\\",
		"\033P$qm\033\\", "\033_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\033\\",
		"\033]1337;ReportCellSize\a", "\302\233c", "\302\220+q544e\302\234", "\033[1;2'|"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		cleanup_free char *got = filtered(none[i], strlen(none[i]), 1, false);
		assert_null(strchr(got, '\033'));
		assert_null(strchr(got, '\005'));
		assert_null(strstr(got, "\302\233"));
	}
	expect("\033[c\033[6n\033]11;?\a\033Z\005", "");
	/* Its parts are text; nothing obeys them. */
	expect("\302\2336n", "6n");
}

static void what_is_the_watchers_own_stays(void **state)
{
	static const struct {
		const char *what, *text, *expected;
	} rows[] = {
		{"a title", "a\033]0;owned\ab", "ab"},
		{"a title, ended by ST", "a\033]2;owned\033\\b", "ab"},
		{"a title of screen", "a\033kowned\033\\b", "ab"},
		{"the clipboard", "a\033]52;c;cm0gLXJmIH4K\ab", "ab"},
		{"a link", "\033]8;;http://x/\033\\text\033]8;;\033\\", "text"},
		{"colours of the palette", "\033]4;0;#ffffff\ax\033]104\ay", "xy"},
		{"the size of the window", "a\033[8;1;1tb", "ab"},
		{"columns", "a\033[?3hb", "ab"},
		{"what the mouse sends", "\033[?1000;1002;1006hx", "x"},
		{"what the mouse sends, by its old name", "\033[1;1;1;1;1Tx", "x"},
		{"what keys send", "\033[?1h\033=\033[>4;2m\033[>1u\033[=5ux", "x"},
		{"what pasting sends", "\033[?2004hx", "x"},
		{"that it is looked at", "\033[?1004hx", "x"},
		{"a locked keyboard", "\033[2hx", "x"},
		{"what Enter sends", "\033[20hx", "x"},
		{"the printer", "\033[5i\033[?5isecret\033[4i", "secret"},
		{"lines scrolled away", "\033[3J\033[?3Jx", "x"},
		{"8-bit controls", "\033 G\033%@x", "x"},
		{"tabulators", "\033[3g\033Hx", "x"},
		{"one mode of many", "\033[?1000;25;2004l", "\033[?25l"},
		{"a full reset", "\033c", "\033[!p\033[H\033[2J"},
		{"an application's own command", "\033_hello\033\\\033^there\033\\\033Xwho\033\\x",
			"x"},
		{"a number that is too large", "\033[99999999bx\033[10000Ax", "xx"},
		{"a sequence within a sequence", "\033[3\033[31mx", "\033[31mx"},
		{"a control byte within a sequence", "\033[3\r1mx", "\033[31mx"},
		{"a cancelled sequence", "\033[3\03031mx", "31mx"},
		{"parameters behind the intermediate byte", "\033[!1px\033[1?25hx", "xx"},
		{"colons where there are none", "\033[1:2Hx", "x"},
		{"bytes of no character", "a\377b\300\257c\355\240\200d",
			"a\357\277\275b\357\277\275\357\277\275c\357\277\275\357\277\275\357\277"
			"\275d"},
		{"a character that is cut by a sequence", "\342\202\033[31mx",
			"\357\277\275\033[31mx"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *whole =
			filtered(rows[i].text, strlen(rows[i].text), 4096, false);
		cleanup_free char *bytes = filtered(rows[i].text, strlen(rows[i].text), 1, false);
		if (strcmp(whole, rows[i].expected) != 0 || strcmp(bytes, rows[i].expected) != 0) {
			fail_msg("%s: '%s'", rows[i].what, whole);
		}
	}
}

static void a_string_without_an_end_hides_no_more_than_its_bound(void **state)
{
	static char text[TERMINAL_STRING + 64];
	cleanup_free char *title = filtered("\033]0;never\nseen", 14, 1, false);

	(void)state;
	assert_string_equal(title, "\nseen");
	memset(text, 'x', sizeof(text));
	text[0] = '\033';
	text[1] = 'P';
	memcpy(text + sizeof(text) - 5, "seen", 5);
	cleanup_free char *rest = filtered(text, sizeof(text) - 1, 4096, false);
	assert_true(strlen(rest) < 64 && strstr(rest, "seen"));
}

static void a_sequence_that_is_too_long_is_dropped_as_a_whole(void **state)
{
	char text[256];

	(void)state;
	memset(text, '1', sizeof(text));
	text[0] = '\033';
	text[1] = '[';
	memcpy(text + sizeof(text) - 5, "mend", 5);
	expect(text, "end");
}

static void a_terminal_without_utf8_gets_ascii(void **state)
{
	/* "e" with a hook: its second byte is an 8-bit "ESC [" to such a terminal. */
	cleanup_free char *got = filtered("\304\2336n \342\202\254", 8, 1, true);

	(void)state;
	assert_string_equal(got, "?6n ?");
}

static void what_was_dropped_is_counted_and_the_other_screen_remembered(void **state)
{
	struct terminal_filter filter = {0};
	cleanup(buf_fini) struct buf out = {0};

	(void)state;
	terminal_filter(&filter, "\033[c\033]0;x\a\033[?1049h", 17, &out);
	assert_int_equal(filter.dropped, 2);
	assert_true(filter.alternate);
	terminal_filter(&filter, "\033[?1049l", 8, &out);
	assert_false(filter.alternate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_people_see_comes_through),
		cmocka_unit_test(what_makes_a_terminal_answer_does_not),
		cmocka_unit_test(what_is_the_watchers_own_stays),
		cmocka_unit_test(a_string_without_an_end_hides_no_more_than_its_bound),
		cmocka_unit_test(a_sequence_that_is_too_long_is_dropped_as_a_whole),
		cmocka_unit_test(a_terminal_without_utf8_gets_ascii),
		cmocka_unit_test(what_was_dropped_is_counted_and_the_other_screen_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
