#include "tests/test.h"

#include <errno.h>

#include "base/cleanup.h"
#include "session/limits.h"
#include "sshd/auth.h"
#include "sshd/startups.h"

static unsigned count_drops(const struct startups *startups, uint64_t waiting)
{
	unsigned dropped = 0;

	for (uint32_t dice = 0; dice < 100; dice++) {
		dropped += startups_drop(startups, waiting, dice);
	}
	return dropped;
}

static void drops_grow_in_a_straight_line(void **state)
{
	static const struct {
		struct startups startups;
		uint64_t waiting;
		unsigned percent;
	} rows[] = {
		{{10, 30, 100}, 0, 0},
		{{10, 30, 100}, 9, 0},
		{{10, 30, 100}, 10, 30},
		{{10, 30, 100}, 55, 65},
		{{10, 30, 100}, 99, 99},
		{{10, 30, 100}, 100, 100},
		{{10, 30, 100}, 100000, 100},
		{{10, 100, 10}, 9, 0},
		{{10, 100, 10}, 10, 100},
		{{10, 100, 60}, 10, 100},
		{{5, 0, 15}, 5, 0},
		{{5, 0, 15}, 10, 50},
		{{0, 0, 0}, 0, 100},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(count_drops(&rows[i].startups, rows[i].waiting), rows[i].percent);
	}
}

static void failures_answer_at_few_moments(void **state)
{
	assert_int_equal(auth_round_time(0), 5000);
	assert_int_equal(auth_round_time(4999), 5000);
	assert_int_equal(auth_round_time(5001), 10000);
	assert_int_equal(auth_round_time(81000), 85000);
}

static void sessions_are_counted_by_all_and_by_user(void **state)
{
	const struct source here = {.family = 4, .bytes = {192, 0, 2, 1}};
	struct limits *limits = NULL;
	const char *reason = NULL;

	assert_int_equal(limits_new(8, &limits), 0);
	int a = limits_take_slot(limits, &here);
	int b = limits_take_slot(limits, &here);
	int c = limits_take_slot(limits, &here);
	assert_int_equal(limits_count_unauthenticated(limits), 3);
	limits_set_user(limits, (size_t)a, "alice");
	limits_set_user(limits, (size_t)b, "alice");
	limits_set_user(limits, (size_t)c, "bob");
	assert_int_equal(limits_count_unauthenticated(limits), 0);
	assert_int_equal(limits_count_connections(limits), 3);

	assert_int_equal(limits_add_session(limits, (size_t)a, 4, 2, &reason), 0);
	assert_int_equal(limits_add_session(limits, (size_t)b, 4, 2, &reason), 0);
	assert_int_equal(limits_add_session(limits, (size_t)b, 4, 2, &reason), -EUSERS);
	assert_int_equal(limits_add_session(limits, (size_t)c, 4, 0, &reason), 0);
	assert_int_equal(limits_add_session(limits, (size_t)c, 4, 0, &reason), 0);
	assert_int_equal(limits_add_session(limits, (size_t)c, 4, 0, &reason), -EAGAIN);
	assert_int_equal(limits_count_sessions(limits), 4);
	limits_remove_session(limits, (size_t)a);
	assert_int_equal(limits_add_session(limits, (size_t)b, 4, 2, &reason), 0);
	limits_free(limits);
}

static void measurements_are_one_a_user_and_few_in_all(void **state)
{
	static const char *const users[] = {"alice", "alice", "bob", "carol"};
	const struct source here = {.family = 4, .bytes = {192, 0, 2, 1}};
	struct limits *limits = NULL;
	const char *reason = NULL;
	size_t slots[ARRAY_SIZE(users)];

	assert_int_equal(limits_new(8, &limits), 0);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		slots[i] = (size_t)limits_take_slot(limits, &here);
		limits_set_user(limits, slots[i], users[i]);
	}
	assert_int_equal(limits_add_probe(limits, slots[0], 2, &reason), 0);
	assert_int_equal(limits_add_probe(limits, slots[0], 2, &reason), -EUSERS);
	assert_int_equal(limits_add_probe(limits, slots[1], 2, &reason), -EUSERS);
	assert_int_equal(limits_add_probe(limits, slots[2], 2, &reason), 0);
	assert_int_equal(limits_add_probe(limits, slots[3], 2, &reason), -EAGAIN);
	/* What ended, and what a dead monitor had, makes room. */
	limits_remove_probe(limits, slots[0]);
	assert_int_equal(limits_add_probe(limits, slots[1], 2, &reason), 0);
	(void)limits_drop_slot(limits, slots[2]);
	assert_int_equal(limits_add_probe(limits, slots[3], 2, &reason), 0);
	assert_int_equal(limits_count_sessions(limits), 0);
	limits_free(limits);
}

static void what_a_dead_monitor_held_is_given_back(void **state)
{
	const struct source here = {.family = 4, .bytes = {192, 0, 2, 1}};
	struct limits *limits = NULL;
	const char *reason = NULL;

	assert_int_equal(limits_new(2, &limits), 0);
	int a = limits_take_slot(limits, &here);
	assert_true(limits_take_slot(limits, &here) >= 0);
	assert_int_equal(limits_take_slot(limits, &here), -EAGAIN);
	limits_set_user(limits, (size_t)a, "alice");
	assert_int_equal(limits_add_session(limits, (size_t)a, 1, 1, &reason), 0);
	assert_int_equal(limits_drop_slot(limits, (size_t)a), 1);
	assert_int_equal(limits_count_sessions(limits), 0);
	assert_int_equal(limits_take_slot(limits, &here), a);
	limits_set_user(limits, (size_t)a, "alice");
	assert_int_equal(limits_add_session(limits, (size_t)a, 1, 1, &reason), 0);
	limits_free(limits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drops_grow_in_a_straight_line),
		cmocka_unit_test(failures_answer_at_few_moments),
		cmocka_unit_test(sessions_are_counted_by_all_and_by_user),
		cmocka_unit_test(measurements_are_one_a_user_and_few_in_all),
		cmocka_unit_test(what_a_dead_monitor_held_is_given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
