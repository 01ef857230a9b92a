#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/penalties.h"
#include "session/source.h"

#define USEC UINT64_C(1000000)

static const struct penalty_rules usual = {
	.seconds = {[PENALTY_CRASH] = 90,
		[PENALTY_AUTHFAIL] = 5,
		[PENALTY_NOAUTH] = 1,
		[PENALTY_FORK_BOMB] = 5},
	.least = 15,
	.most = 600,
	.room4 = 65536,
	.room6 = 65536,
	.bits4 = 32,
	.bits6 = 128,
};

static struct source source(const char *text)
{
	struct source source = {0};

	assert_int_equal(source_parse(text, &source), 0);
	return source;
}

static enum penalties_answer ask(struct penalties *penalties, const struct penalty_rules *rules,
	const char *address, uint64_t second)
{
	struct source from = source(address);
	enum penalty reason = PENALTY_COUNT;
	uint64_t left = 0;

	return penalties_check(penalties, rules, &from, second * USEC, &left, &reason);
}

static bool add(struct penalties *penalties, const struct penalty_rules *rules, const char *address,
	enum penalty reason, uint64_t times, uint64_t second)
{
	struct source from = source(address);

	return penalties_add(penalties, rules, &from, reason, times, second * USEC);
}

static int set_up(void **state)
{
	return penalties_new((struct penalties **)state);
}

static int tear_down(void **state)
{
	penalties_free(*state);
	return 0;
}

static void less_than_the_least_is_not_enforced(void **state)
{
	struct penalties *penalties = *state;

	assert_false(add(penalties, &usual, "192.0.2.1", PENALTY_AUTHFAIL, 1, 100));
	assert_false(add(penalties, &usual, "192.0.2.1", PENALTY_AUTHFAIL, 1, 100));
	assert_int_equal(ask(penalties, &usual, "192.0.2.1", 100), PENALTIES_NONE);
	assert_true(add(penalties, &usual, "192.0.2.1", PENALTY_AUTHFAIL, 1, 100));
	assert_int_equal(ask(penalties, &usual, "192.0.2.1", 100), PENALTIES_SOURCE);
	assert_int_equal(ask(penalties, &usual, "192.0.2.2", 100), PENALTIES_NONE);
	/* To the end, not only while more than the least is left. */
	assert_int_equal(ask(penalties, &usual, "192.0.2.1", 114), PENALTIES_SOURCE);
	assert_int_equal(ask(penalties, &usual, "192.0.2.1", 115), PENALTIES_NONE);
	/* What has ended counts no more. */
	assert_false(add(penalties, &usual, "192.0.2.1", PENALTY_AUTHFAIL, 1, 116));
	assert_int_equal(ask(penalties, &usual, "192.0.2.1", 116), PENALTIES_NONE);
}

static void no_more_than_the_most_comes_together(void **state)
{
	struct penalties *penalties = *state;

	assert_true(add(penalties, &usual, "2001:db8::1", PENALTY_CRASH, UINT32_MAX, 10));
	assert_false(add(penalties, &usual, "2001:db8::1", PENALTY_CRASH, 3, 10));
	assert_int_equal(ask(penalties, &usual, "2001:db8::1", 609), PENALTIES_SOURCE);
	assert_int_equal(ask(penalties, &usual, "2001:db8::1", 610), PENALTIES_NONE);
}

static void a_reason_of_zero_is_off(void **state)
{
	struct penalties *penalties = *state;

	assert_false(add(penalties, &usual, "192.0.2.1", PENALTY_OOM, 1000, 1));
	assert_int_equal(ask(penalties, &usual, "192.0.2.1", 1), PENALTIES_NONE);
}

static void a_block_is_one_source(void **state)
{
	struct penalties *penalties = *state;
	struct penalty_rules rules = usual;

	rules.bits4 = 24;
	rules.bits6 = 56;
	assert_true(add(penalties, &rules, "192.0.2.1", PENALTY_CRASH, 1, 1));
	assert_true(add(penalties, &rules, "2001:db8:0:1::1", PENALTY_CRASH, 1, 1));
	assert_int_equal(ask(penalties, &rules, "192.0.2.200", 1), PENALTIES_SOURCE);
	assert_int_equal(ask(penalties, &rules, "192.0.3.1", 1), PENALTIES_NONE);
	assert_int_equal(ask(penalties, &rules, "2001:db8:0:ff::9", 1), PENALTIES_SOURCE);
	assert_int_equal(ask(penalties, &rules, "2001:db8:0:100::9", 1), PENALTIES_NONE);
	assert_int_equal(ask(penalties, &rules, "::ffff:192.0.2.7", 1), PENALTIES_SOURCE);
}

static void a_full_table_forgets_who_ends_first(void **state)
{
	struct penalties *penalties = *state;
	struct penalty_rules rules = usual;

	rules.room4 = 2;
	assert_true(add(penalties, &rules, "192.0.2.1", PENALTY_CRASH, 2, 1));
	assert_true(add(penalties, &rules, "192.0.2.2", PENALTY_CRASH, 1, 1));
	assert_true(add(penalties, &rules, "192.0.2.3", PENALTY_CRASH, 1, 2));
	assert_int_equal(ask(penalties, &rules, "192.0.2.1", 3), PENALTIES_SOURCE);
	assert_int_equal(ask(penalties, &rules, "192.0.2.2", 3), PENALTIES_NONE);
	assert_int_equal(ask(penalties, &rules, "192.0.2.3", 3), PENALTIES_SOURCE);
	/* The other family has a table of its own. */
	assert_true(add(penalties, &rules, "2001:db8::1", PENALTY_CRASH, 1, 3));
	assert_int_equal(ask(penalties, &rules, "192.0.2.1", 3), PENALTIES_SOURCE);
}

static void a_full_table_denies_all_until_one_ends(void **state)
{
	struct penalties *penalties = *state;
	struct penalty_rules rules = usual;

	rules.room4 = 2;
	rules.deny_all = true;
	assert_true(add(penalties, &rules, "192.0.2.1", PENALTY_CRASH, 2, 1));
	assert_int_equal(ask(penalties, &rules, "192.0.2.9", 1), PENALTIES_NONE);
	assert_true(add(penalties, &rules, "192.0.2.2", PENALTY_CRASH, 1, 1));
	assert_int_equal(ask(penalties, &rules, "192.0.2.9", 1), PENALTIES_FULL);
	assert_int_equal(ask(penalties, &rules, "192.0.2.9", 90), PENALTIES_FULL);
	assert_int_equal(ask(penalties, &rules, "2001:db8::9", 1), PENALTIES_NONE);
	assert_int_equal(ask(penalties, &rules, "192.0.2.9", 91), PENALTIES_NONE);
	assert_int_equal(ask(penalties, &rules, "192.0.2.1", 91), PENALTIES_SOURCE);
}

/* Fills it to the brim and beyond, makes it small, and looks at what is left. */
static void many_sources_come_and_go(void **state)
{
	struct penalties *penalties = *state;
	struct penalty_rules rules = usual;
	struct penalty_row row;
	size_t position = 0;
	size_t rows = 0;

	for (uint32_t i = 0; i < PENALTIES_MAX_SOURCES; i++) {
		struct source from = {.family = 4, .bytes = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
		assert_true(penalties_add(penalties, &usual, &from, PENALTY_CRASH, 1, USEC + i));
	}
	assert_int_equal(ask(penalties, &usual, "10.0.0.0", 2), PENALTIES_SOURCE);
	assert_true(add(penalties, &usual, "192.0.2.1", PENALTY_CRASH, 1, 2));
	assert_int_equal(ask(penalties, &usual, "10.0.0.0", 2), PENALTIES_NONE);
	assert_int_equal(ask(penalties, &usual, "10.0.0.1", 2), PENALTIES_SOURCE);
	while (penalties_next(penalties, 2 * USEC, &position, &row)) {
		rows++;
	}
	assert_int_equal(rows, PENALTIES_MAX_SOURCES);
	rules.room4 = 10;
	assert_true(add(penalties, &rules, "192.0.2.2", PENALTY_CRASH, 1, 3));
	assert_int_equal(penalties_clear(penalties, &rules, NULL, NULL), 10);
	assert_int_equal(ask(penalties, &usual, "192.0.2.2", 3), PENALTIES_NONE);
	position = 0;
	assert_false(penalties_next(penalties, 3 * USEC, &position, &row));
}

static void users_wait_for_what_their_sessions_did(void **state)
{
	struct penalties *penalties = *state;
	enum penalty reason = PENALTY_COUNT;
	struct penalty_row row;
	size_t position = 0;

	assert_false(
		penalties_add_user(penalties, &usual, "alice", PENALTY_FORK_BOMB, 2, 10 * USEC));
	assert_int_equal(penalties_check_user(penalties, "alice", 10 * USEC, &reason), 0);
	assert_true(
		penalties_add_user(penalties, &usual, "alice", PENALTY_FORK_BOMB, 1, 10 * USEC));
	assert_int_equal(penalties_check_user(penalties, "alice", 11 * USEC, &reason), 14);
	assert_int_equal(reason, PENALTY_FORK_BOMB);
	assert_int_equal(penalties_check_user(penalties, "bob", 11 * USEC, &reason), 0);
	assert_true(penalties_next(penalties, 11 * USEC, &position, &row));
	assert_string_equal(row.user, "alice");
	assert_int_equal(row.seconds, 14);
	assert_int_equal(penalties_clear(penalties, &usual, NULL, "alice"), 1);
	assert_int_equal(penalties_check_user(penalties, "alice", 11 * USEC, &reason), 0);
	/* More users than rows: nothing but the oldest is lost. */
	for (unsigned i = 0; i < PENALTIES_USERS + 1; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "u%u", i);
		assert_true(penalties_add_user(
			penalties, &usual, name, PENALTY_FORK_BOMB, 3, 20 * USEC + i));
	}
	assert_int_equal(penalties_check_user(penalties, "u0", 21 * USEC, &reason), 0);
	assert_true(penalties_check_user(penalties, "u1", 21 * USEC, &reason) > 0);
	assert_true(penalties_check_user(penalties, "u256", 21 * USEC, &reason) > 0);
}

static void networks_are_read_strictly(void **state)
{
	static const char *const good[] = {
		"192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1"};
	static const char *const bad[] = {"", "/", "192.0.2.1/24", "192.0.2.0/33", "192.0.2/24",
		"2001:db8::1/32", "host", "192.0.2.0/", "192.0.2.0/-1", "::ffff:192.0.2.0/120"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(source_network_is_valid(good[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(source_network_is_valid(bad[i]));
	}
}

static void a_network_holds_its_own(void **state)
{
	static const struct {
		const char *network, *address;
		bool in;
	} rows[] = {
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.128/25", "192.0.2.127", false},
		{"0.0.0.0/0", "203.0.113.9", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *networks[] = {(char *)(uintptr_t)rows[i].network, NULL};
		struct source from = source(rows[i].address);
		assert_int_equal(source_is_in(&from, networks), rows[i].in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			less_than_the_least_is_not_enforced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			no_more_than_the_most_comes_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reason_of_zero_is_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_block_is_one_source, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_full_table_forgets_who_ends_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_full_table_denies_all_until_one_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_sources_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			users_wait_for_what_their_sessions_did, set_up, tear_down),
		cmocka_unit_test(networks_are_read_strictly),
		cmocka_unit_test(a_network_holds_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
