#include "tests/test.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/methods.h"

#define KEY (1u << METHOD_PUBLICKEY)
#define WORD (1u << METHOD_PASSWORD)
#define ASK (1u << METHOD_INTERACTIVE)

static void chains_are_read_and_written_back(void **state)
{
	static const char *const rows[] = {"publickey", "password", "keyboard-interactive",
		"publickey,password", "publickey,publickey",
		"publickey,password,keyboard-interactive",
		"publickey,publickey,publickey,publickey"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct methods methods;
		struct err err = {0};
		char text[128];
		assert_int_equal(methods_parse(rows[i], &methods, &err), 0);
		assert_string_equal(methods_format(&methods, text, sizeof(text)), rows[i]);
	}
}

static void what_is_no_chain_is_refused(void **state)
{
	static const char *const rows[] = {"", ",", "publickey,", ",publickey",
		"publickey,,password", "publickey, password", "Publickey", "none", "hostbased",
		"password,password", "keyboard-interactive,keyboard-interactive", "any",
		"publickey,publickey,publickey,publickey,publickey"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct methods methods;
		struct err err = {0};
		assert_int_equal(methods_parse(rows[i], &methods, &err), -EINVAL);
		assert_true(err.msg[0]);
	}
}

static void a_chain_is_gone_through_in_order(void **state)
{
	char *both[] = {
		(char[]){"publickey,password"}, (char[]){"publickey,keyboard-interactive"}, NULL};
	char *two[] = {(char[]){"publickey,publickey"}, (char[]){"password"}, NULL};
	const struct {
		char *const *chains;
		struct methods passed;
		unsigned next;
		bool done;
	} rows[] = {
		{NULL, {.count = 0}, KEY | WORD | ASK, false},
		{NULL, {{METHOD_PASSWORD}, 1}, 0, true},
		{both, {.count = 0}, KEY, false},
		{both, {{METHOD_PUBLICKEY}, 1}, WORD | ASK, false},
		{both, {{METHOD_PASSWORD}, 1}, 0, false},
		{both, {{METHOD_PUBLICKEY, METHOD_PASSWORD}, 2}, 0, true},
		{both, {{METHOD_PASSWORD, METHOD_PUBLICKEY}, 2}, 0, false},
		{both, {{METHOD_PUBLICKEY, METHOD_PUBLICKEY}, 2}, 0, false},
		{two, {.count = 0}, KEY | WORD, false},
		{two, {{METHOD_PASSWORD}, 1}, 0, true},
		{two, {{METHOD_PUBLICKEY}, 1}, KEY, false},
		{two, {{METHOD_PUBLICKEY, METHOD_PUBLICKEY}, 2}, 0, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool done = false;
		unsigned next = methods_next(rows[i].chains, &rows[i].passed, &done);
		if (next != rows[i].next || done != rows[i].done) {
			fail_msg("row %zu: %u, %d", i, next, done);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_are_read_and_written_back),
		cmocka_unit_test(what_is_no_chain_is_refused),
		cmocka_unit_test(a_chain_is_gone_through_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
