/* What counts as left at the host, and what may be somebody else's: snapshots with a line changed. */
#include "testkit/snapshot.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "tests/test.h"

#define NAME "ckfeedfeedfeedfeed" /* what a measurement would call its things */

static bool has(char *const *list, const char *begin, const char *part)
{
	STRV_FOREACH (line, (char **)(uintptr_t)list) {
		if (strncmp(*line, begin, strlen(begin)) == 0 && strstr(*line, part)) {
			return true;
		}
	}
	return false;
}

static char **find(const struct snapshot *snapshot, const char *begin)
{
	STRV_FOREACH (line, snapshot->lines) {
		if (strncmp(*line, begin, strlen(begin)) == 0) {
			return line;
		}
	}
	fail_msg("no line begins with '%s'", begin);
	return NULL;
}

/* As if it had been another before. */
static void change_end(char *line)
{
	char *last = line + strlen(line) - 1;

	*last = *last == '0' ? '1' : '0';
}

static void change_inode(char *line)
{
	char *number = strstr(line, " inode ");

	assert_non_null(number);
	number[7] = number[7] == '1' ? '2' : '1';
}

static void what_is_ours_is_left_and_the_rest_is_noted(void **state)
{
	static const char *const lines[] = {"route: ckfeedfeedfeedfeed to 0/0 by 0",
		"socket: @ckfeedfeedfeedfeed", "socket: @somebody", "file: /tmp/somebody",
		"module: somebody", "mount: /srv/somebody (of /)", "bpf: program 1 of somebody"};
	char name[] = NAME;
	char *names[] = {name, NULL};
	struct ground ground = {.names = names};
	struct snapshot before = {0};
	struct snapshot_changes changes = {0};

	(void)state;
	assert_int_equal(snapshot_take(&before, false), 0);
	change_end(*find(&before, "content: /bin/sh "));
	change_inode(*find(&before, "content: /etc/passwd "));
	before.clock_msec -= 5000;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_int_equal(strv_append(&before.lines, lines[i]), 0);
	}
	strv_sort(before.lines);
	assert_int_equal(snapshot_compare(&before, &ground, false, &changes), 0);
	assert_true(has(changes.left, "route: " NAME, "(is gone)"));
	assert_true(has(changes.left, "socket: @" NAME, "(is gone)"));
	assert_true(has(changes.left, "setting: the clock was moved by ", " ms"));
	assert_true(has(changes.left, "content: /bin/sh ", "(is new)"));
	assert_false(has(changes.left, "content: /etc/passwd ", ""));
	assert_true(has(changes.meanwhile, "content: /etc/passwd ", "(is new)"));
	assert_true(has(changes.meanwhile, "module: somebody", "(is gone)"));
	assert_true(has(changes.meanwhile, "mount: /srv/somebody", "(is gone)"));
	assert_true(has(changes.meanwhile, "bpf: program 1 of somebody", "(is gone)"));
	for (size_t i = 0; i < 2; i++) {
		char **list = i ? changes.left : changes.meanwhile;
		assert_false(
			has(list, "socket: @somebody", "") || has(list, "file: /tmp/somebody", ""));
	}
	strv_free(changes.left);
	strv_free(changes.meanwhile);
	snapshot_fini(&before);
}

static void a_moment_later_nothing_is_left(void **state)
{
	struct ground ground = {0};
	struct snapshot before = {0};
	struct snapshot_changes changes = {0};

	(void)state;
	assert_int_equal(snapshot_take(&before, true), 0);
	assert_int_equal(snapshot_compare(&before, &ground, true, &changes), 0);
	assert_false(has(changes.left, "setting: the clock", ""));
	strv_free(changes.left);
	strv_free(changes.meanwhile);
	snapshot_fini(&before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_ours_is_left_and_the_rest_is_noted),
		cmocka_unit_test(a_moment_later_nothing_is_left),
	};

	if (sodium_init() < 0) {
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
