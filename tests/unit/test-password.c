#include "tests/test.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "keys/password.h"

static void a_made_line_accepts_its_password_only(void **state)
{
	char line[PASSWORD_LINE_SIZE];

	assert_int_equal(password_make("correct horse", 13, line), 0);
	assert_true(password_line_is_valid(line));
	assert_true(password_verify(line, "correct horse", 13));
	assert_false(password_verify(line, "correct horsf", 13));
	assert_false(password_verify(line, "correct horse", 12));
	assert_false(password_verify(line, "correct horse\0", 14));
}

static void bytes_behind_a_nul_count(void **state)
{
	char line[PASSWORD_LINE_SIZE];

	assert_int_equal(password_make("a\0b", 3, line), 0);
	assert_true(password_verify(line, "a\0b", 3));
	assert_false(password_verify(line, "a\0c", 3));
	assert_false(password_verify(line, "a", 1));
}

static void an_empty_password_is_never_right(void **state)
{
	char line[PASSWORD_LINE_SIZE];

	assert_int_equal(password_make("", 0, line), -EINVAL);
	/* Not even when another tool hashed one. */
	assert_int_equal(crypto_pwhash_str(line, "", 0, crypto_pwhash_OPSLIMIT_INTERACTIVE,
				 crypto_pwhash_MEMLIMIT_INTERACTIVE),
		0);
	assert_false(password_verify(line, "", 0));
}

static void two_lines_of_one_password_differ(void **state)
{
	char one[PASSWORD_LINE_SIZE], two[PASSWORD_LINE_SIZE];

	assert_int_equal(password_make("same", 4, one), 0);
	assert_int_equal(password_make("same", 4, two), 0);
	assert_string_not_equal(one, two);
}

#define SALT "c2FsdHNhbHRzYWx0c2FsdA"
#define HASH "mPb6Lk5zLmpyHTmS0nyn1bW1q0lE1cM1nE5v2kq9Yxk"

static void only_lines_of_the_one_cost_are_valid(void **state)
{
	static const struct {
		const char *line;
		bool valid;
	} rows[] = {
		{"$argon2id$v=19$m=65536,t=2,p=1$" SALT "$" HASH, true},
		{"$argon2id$v=19$m=65536,t=3,p=1$" SALT "$" HASH, false},
		{"$argon2id$v=19$m=8,t=2,p=1$" SALT "$" HASH, false},
		{"$argon2id$v=19$m=4294967295,t=2,p=1$" SALT "$" HASH, false},
		{"$argon2i$v=19$m=65536,t=2,p=1$" SALT "$" HASH, false},
		{"$argon2id$v=16$m=65536,t=2,p=1$" SALT "$" HASH, false},
		{"$argon2id$v=19$m=65536,t=2,p=1$" SALT "$" HASH "x", false},
		{"$argon2id$v=19$m=65536,t=2,p=1$" SALT "$" HASH " ", false},
		{"$argon2id$v=19$m=65536,t=2,p=1$" SALT "$", false},
		{"$argon2id$v=19$m=65536,t=2,p=1$" SALT, false},
		{"$argon2id$v=19$m=65536,t=2,p=1$$" HASH, false},
		{"$6$salt$hash", false},
		{"hunter2", false},
		{"", false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (password_line_is_valid(rows[i].line) != rows[i].valid) {
			fail_msg("row %zu: %s", i, rows[i].line);
		}
	}
}

static void lines_of_another_cost_verify_nothing(void **state)
{
	char line[PASSWORD_LINE_SIZE];

	assert_int_equal(crypto_pwhash_str(line, "cheap", 5, crypto_pwhash_OPSLIMIT_MIN,
				 crypto_pwhash_MEMLIMIT_MIN),
		0);
	assert_false(password_line_is_valid(line));
	assert_false(password_verify(line, "cheap", 5));
}

static double seconds_of_cpu(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The best of three, in processor time, so that a busy machine does not decide. */
static double cost_of(const char *line)
{
	double best = 1e9;

	for (int i = 0; i < 3; i++) {
		double start = seconds_of_cpu();
		assert_false(password_verify(line, "wrong", 5));
		double spent = seconds_of_cpu() - start;
		best = spent < best ? spent : best;
	}
	return best;
}

static void an_unknown_user_costs_what_a_wrong_password_costs(void **state)
{
	char line[PASSWORD_LINE_SIZE];
	double known = 0, unknown = 0, broken = 0;

	assert_int_equal(password_make("right", 5, line), 0);
	known = cost_of(line);
	unknown = cost_of(NULL);
	broken = cost_of("$argon2id$broken");
	print_message("known %.4f s, unknown %.4f s, broken %.4f s\n", known, unknown, broken);
	/* A check left out would be a factor of thousands. */
	assert_true(unknown > 0.5 * known && unknown < 2 * known);
	assert_true(broken > 0.5 * known && broken < 2 * known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_made_line_accepts_its_password_only),
		cmocka_unit_test(bytes_behind_a_nul_count),
		cmocka_unit_test(an_empty_password_is_never_right),
		cmocka_unit_test(two_lines_of_one_password_differ),
		cmocka_unit_test(only_lines_of_the_one_cost_are_valid),
		cmocka_unit_test(lines_of_another_cost_verify_nothing),
		cmocka_unit_test(an_unknown_user_costs_what_a_wrong_password_costs),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
