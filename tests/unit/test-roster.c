#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session/roster.h"

static int set_up(void **state)
{
	return roster_new((struct roster **)state);
}

static int tear_down(void **state)
{
	roster_free(*state);
	return 0;
}

static int add(struct roster *roster, size_t slot, const char *id)
{
	struct roster_row row = {.monitor = getpid()};

	(void)snprintf(row.id, sizeof(row.id), "%s", id);
	return roster_add(roster, slot, &row);
}

/* The ids in order, each followed by a blank. */
static const char *list(const struct roster *roster)
{
	static char text[256];
	struct roster_row row;
	size_t position = 0;

	text[0] = '\0';
	while (roster_next(roster, &position, &row)) {
		size_t used = strlen(text);
		(void)snprintf(text + used, sizeof(text) - used, "%s ", row.id);
	}
	return text;
}

static void sessions_come_and_go(void **state)
{
	struct roster *roster = *state;

	assert_string_equal(list(roster), "");
	assert_int_equal(add(roster, 0, "a.0"), 0);
	assert_int_equal(add(roster, 1, "b.0"), 1);
	assert_int_equal(add(roster, 0, "a.1"), 2);
	assert_string_equal(list(roster), "a.0 b.0 a.1 ");
	roster_remove(roster, 1);
	assert_string_equal(list(roster), "a.0 a.1 ");
	assert_int_equal(add(roster, 2, "c.0"), 1);
	roster_drop(roster, 0);
	assert_string_equal(list(roster), "c.0 ");
}

static void what_another_process_enters_is_seen(void **state)
{
	struct roster *roster = *state;
	int status = 0;

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		_exit(add(roster, 7, "child.0") == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(list(roster), "child.0 ");
	roster_drop(roster, 7);
	assert_string_equal(list(roster), "");
}

static void only_the_session_that_is_to_end_hears_of_it(void **state)
{
	struct roster *roster = *state;
	char reason[ROSTER_REASON];
	size_t slot = 0;

	int first = add(roster, 3, "a.0");
	int second = add(roster, 4, "b.0");
	assert_int_equal(roster_end(roster, "c.0", "", &slot), -ENOENT);
	assert_int_equal(roster_end(roster, "b", "", &slot), -ENOENT);
	assert_int_equal(roster_end(roster, "b.0", "enough", &slot), 0);
	assert_int_equal(slot, 4);
	assert_int_equal(roster_end(roster, "b.0", "again", &slot), -EALREADY);
	assert_false(roster_must_end(roster, (size_t)first, reason));
	assert_true(roster_must_end(roster, (size_t)second, reason));
	assert_string_equal(reason, "enough");
	/* Whoever has the place next is somebody else. */
	roster_remove(roster, (size_t)second);
	assert_false(roster_must_end(roster, (size_t)second, reason));
	assert_int_equal(add(roster, 5, "d.0"), second);
	assert_false(roster_must_end(roster, (size_t)second, reason));
}

static void only_the_session_that_is_to_be_watched_hears_of_it_once(void **state)
{
	struct roster *roster = *state;
	uint32_t token = 0;
	uint32_t uid = 0;
	size_t slot = 0;

	int first = add(roster, 3, "a.0");
	int second = add(roster, 4, "b.0");
	assert_false(roster_take_watch(roster, (size_t)first, &token, &uid));
	assert_int_equal(roster_watch(roster, "c.0", 1, 0, &slot), -ENOENT);
	assert_int_equal(roster_watch(roster, "b.0", 7, 4000000000U, &slot), 0);
	assert_int_equal(slot, 4);
	assert_int_equal(roster_watch(roster, "b.0", 8, 0, &slot), -EBUSY);
	assert_false(roster_take_watch(roster, (size_t)first, &token, &uid));
	assert_true(roster_take_watch(roster, (size_t)second, &token, &uid));
	assert_int_equal(token, 7);
	assert_int_equal(uid, 4000000000U);
	assert_false(roster_take_watch(roster, (size_t)second, &token, &uid));
	/* Whoever has the place next is somebody else. */
	assert_int_equal(roster_watch(roster, "b.0", 9, 0, &slot), 0);
	roster_remove(roster, (size_t)second);
	assert_false(roster_take_watch(roster, (size_t)second, &token, &uid));
	assert_int_equal(add(roster, 5, "d.0"), second);
	assert_false(roster_take_watch(roster, (size_t)second, &token, &uid));
	assert_int_equal(roster_watch(roster, "d.0", 10, 1, &slot), 0);
	assert_true(roster_take_watch(roster, (size_t)second, &token, &uid));
	assert_int_equal(token, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sessions_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_another_process_enters_is_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			only_the_session_that_is_to_end_hears_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			only_the_session_that_is_to_be_watched_hears_of_it_once, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
