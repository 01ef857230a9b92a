/* What an eye in another kernel writes is read back as it was, and nothing else is read. */
#include "tests/test.h"

#include <errno.h>
#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testkit/eye.h"

static char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *ret = NULL;

	assert_non_null(at);
	assert_true(asprintf(&ret, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	return ret;
}

/* Of this very process, which has no filter, and of one that is made up. */
static char *write_own(struct outside *ret)
{
	struct buf text = {0};

	outside_read(getpid(), ret);
	assert_true(ret->found);
	ret->room_known = 1;
	ret->room = 4096;
	eye_write(ret, &text);
	buf_put_u8(&text, 0);
	assert_false(text.failed);
	return (char *)text.data;
}

static void what_is_written_is_read(void **state)
{
	static struct outside ours;
	static struct outside theirs;
	char *text = write_own(&ours);

	(void)state;
	assert_int_equal(eye_parse(text, strlen(text), &theirs), 0);
	assert_true(theirs.found && theirs.elsewhere);
	assert_int_equal(theirs.pid, 0);
	assert_int_equal(theirs.uid, ours.uid);
	assert_memory_equal(theirs.caps, ours.caps, sizeof(ours.caps));
	assert_memory_equal(theirs.namespaces, ours.namespaces, sizeof(ours.namespaces));
	assert_memory_equal(theirs.beside, ours.beside, sizeof(ours.beside));
	assert_int_equal(theirs.no_new_privs, ours.no_new_privs);
	assert_int_equal(theirs.tasks_limit, ours.tasks_limit);
	assert_int_equal(theirs.room, 4096);
	assert_int_equal(theirs.mount_count, ours.mount_count);
	assert_int_equal(theirs.filter_count, ours.filter_count);
	outside_fini(&theirs);
	outside_fini(&ours);
	free(text);
}

static void a_filter_says_the_same_on_both_sides(void **state)
{
	static struct sock_filter program[] = {{0x20, 0, 0, 0}, {0x15, 0, 1, 39},
		{0x06, 0, 0, 0x00050001}, {0x06, 0, 0, 0x7fff0000}};
	static const uint64_t none[6];
	static struct outside ours;
	static struct outside theirs;
	struct buf text = {0};

	(void)state;
	outside_read(0, &ours);
	ours.dumped = true;
	ours.filters[0] = (struct outside_filter){program, ARRAY_SIZE(program)};
	ours.filter_count = 1;
	eye_write(&ours, &text);
	assert_int_equal(eye_parse((const char *)text.data, text.size, &theirs), 0);
	assert_int_equal(outside_allows(&theirs, AUDIT_ARCH_X86_64, 39, none), 0);
	assert_int_equal(outside_allows(&theirs, AUDIT_ARCH_X86_64, 40, none), 1);
	outside_fini(&theirs);
	buf_fini(&text);
}

static void other_texts_are_refused(void **state)
{
	static const struct {
		const char *name, *from, *to;
	} cases[] = {
		{"another version", "eye 1", "eye 2"},
		{"an unknown line", "\nids", "\nodd 1\nids"},
		{"a line twice", "\ncaps", "\nids 0 0\ncaps"},
		{"a line that is missing", "\nbeside", "\nmount"},
		{"too few numbers", "caps 0 0 0 0 0", "caps 0 0"},
		{"a filter without end", "\nend", "\nfilter 3 6,0,0,0\nend"},
		{"a filter of no size", "\nend", "\nfilter 0\nend"},
		{"a filter that is too long", "\nend", "\nfilter 99999 6,0,0,0\nend"},
		{"no end", "\nend\n", "\n"},
	};
	static const char good[] =
		"eye 1\nids 1 1\ncaps 0 0 0 0 0\nstate 1 2 0 1 0 101\nnamespaces 1 2 3 4 5 6 7\n"
		"beside 8 9 a b c d e\nuser_namespaces 0\ndevices 0 \nlimits 1 2 3 4\nroom 1 5 \n"
		"end\n";
	static struct outside outside;

	(void)state;
	assert_int_equal(eye_parse(good, strlen(good), &outside), 0);
	outside_fini(&outside);
	assert_int_equal(eye_parse(NULL, 0, &outside), -EBADMSG); /* it could not be sent */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = replaced(good, cases[i].from, cases[i].to);
		if (eye_parse(text, strlen(text), &outside) != -EBADMSG) {
			fail_msg("%s was read", cases[i].name);
		}
		free(text);
	}
}

/* A report is shown on terminals. */
static void words_from_there_are_harmless(void **state)
{
	static const char text[] =
		"eye 1\nids 1 1\ncaps 0 0 0 0 0\nstate 1 2 0 1 0 101\nnamespaces 1 2 3 4 5 6 7\n"
		"beside 8 9 a b c d e\nuser_namespaces 0\ndevices 1 \033[2Jsda\nlimits 1 2 3 4\n"
		"room 0 0 /\007tmp\nmount 0 1 1 tmpfs /\033c\nend\n";
	static struct outside outside;

	(void)state;
	assert_int_equal(eye_parse(text, strlen(text), &outside), 0);
	assert_string_equal(outside.device_text, "?[2Jsda");
	assert_string_equal(outside.room_where, "/?tmp");
	assert_string_equal(outside.mounts[0].target, "/?c");
	outside_fini(&outside);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_filter_says_the_same_on_both_sides),
		cmocka_unit_test(other_texts_are_refused),
		cmocka_unit_test(words_from_there_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
