#include "tests/test.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "keys/seal.h"
#include "keys/totp.h"

static const uint8_t secret[] = "12345678901234567890";

#define SIZE (sizeof(secret) - 1)

static void codes_are_those_of_the_rfc(void **state)
{
	/* RFC 6238, appendix B, SHA-1: the last six of its eight digits. */
	static const struct {
		uint64_t time;
		int code;
	} rows[] = {{59, 287082}, {1111111109, 81804}, {1111111111, 50471}, {1234567890, 5924},
		{2000000000, 279037}, {20000000000, 353130}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(totp_code(secret, SIZE, rows[i].time / TOTP_STEP), rows[i].code);
	}
}

static void a_code_is_good_for_its_step_and_its_neighbours_once(void **state)
{
	const time_t time = 1234567890; /* in step 41152263 */
	const uint64_t step = 41152263;
	static const struct {
		const char *text;
		int offset; /* seconds */
		uint64_t last;
		bool good;
	} rows[] = {
		{"005924", 0, 0, true},
		{"005924", 30, 0, true},
		{"005924", -30, 0, true},
		{"005924", 60, 0, false},
		{"005924", -60, 0, false},
		{"005924", 0, step - 1, true},
		{"005924", 0, step, false},
		{"005924", 0, step + 1, false},
		{"005925", 0, 0, false},
		{"5924", 0, 0, false},
		{"00592", 0, 0, false},
		{"0059240", 0, 0, false},
		{" 05924", 0, 0, false},
		{"", 0, 0, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t counter = 0;
		bool good = totp_verify(
			secret, SIZE, time + rows[i].offset, rows[i].text, rows[i].last, &counter);
		if (good != rows[i].good || counter != (good ? step : 0)) {
			fail_msg("row %zu: %d, %llu", i, good, (unsigned long long)counter);
		}
	}
}

static void the_first_moments_of_1970_are_no_trouble(void **state)
{
	uint64_t counter = 0;

	assert_false(totp_verify(secret, SIZE, 0, "000000", 0, &counter));
	assert_false(totp_verify(secret, SIZE, -5, "000000", 0, &counter));
}

static void a_line_opens_with_its_key_and_no_other(void **state)
{
	uint8_t key[SEAL_KEY_SIZE] = {1}, other[SEAL_KEY_SIZE] = {2};
	uint8_t opened[SEAL_SECRET_SIZE];
	char line[SEAL_LINE_SIZE], again[SEAL_LINE_SIZE];

	seal_make_line(key, secret, line);
	seal_make_line(key, secret, again);
	assert_string_not_equal(line, again);
	assert_true(seal_line_is_valid(line));
	assert_int_equal(seal_open_line(key, line, opened), 0);
	assert_memory_equal(opened, secret, SIZE);
	assert_int_equal(seal_open_line(other, line, opened), -EBADMSG);
	for (size_t i = 0; line[i]; i++) {
		char kept = line[i];
		line[i] = kept == 'A' ? 'B' : 'A';
		assert_int_equal(seal_open_line(key, line, opened), -EBADMSG);
		line[i] = kept;
	}
	line[strlen(line) - 1] = '\0';
	assert_false(seal_line_is_valid(line));
	assert_false(seal_line_is_valid(""));
	assert_false(seal_line_is_valid("$cloche-totp$1$"));
	assert_false(seal_line_is_valid("287082"));
}

static void base32_is_that_of_the_rfc(void **state)
{
	char text[SEAL_BASE32_SIZE];

	seal_format_base32(secret, text);
	assert_string_equal(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
}

static void a_key_file_is_made_once_and_read_back(void **state)
{
	char directory[] = "/tmp/cloche-seal-XXXXXX";
	char path[64];
	uint8_t key[SEAL_KEY_SIZE], again[SEAL_KEY_SIZE];
	struct err err = {0};

	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/key", directory);
	assert_int_equal(seal_make_key(path, &err), 0);
	assert_int_equal(seal_load_key(path, geteuid(), key, &err), 0);
	assert_int_equal(seal_make_key(path, &err), -EEXIST);
	assert_int_equal(seal_load_key(path, geteuid(), again, &err), 0);
	assert_memory_equal(key, again, sizeof(key));
	assert_int_equal(truncate(path, 63), 0);
	assert_int_equal(seal_load_key(path, geteuid(), again, &err), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_are_those_of_the_rfc),
		cmocka_unit_test(a_code_is_good_for_its_step_and_its_neighbours_once),
		cmocka_unit_test(the_first_moments_of_1970_are_no_trouble),
		cmocka_unit_test(a_line_opens_with_its_key_and_no_other),
		cmocka_unit_test(base32_is_that_of_the_rfc),
		cmocka_unit_test(a_key_file_is_made_once_and_read_back),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
