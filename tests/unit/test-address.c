#include "tests/test.h"

#include <string.h>

#include "base/cleanup.h"
#include "keys/address.h"

static void patterns_are_host_and_port_and_nothing_else(void **state)
{
	static const struct {
		const char *pattern;
		bool valid;
	} rows[] = {
		{"localhost:80", true},
		{"*:*", true},
		{"*.example.org:443", true},
		{"[::1]:22", true},
		{"[*]:22", true},
		{"10.0.0.?:*", true},
		{"", false},
		{":", false},
		{":80", false},
		{"[]:80", false},
		{"localhost", false},
		{"localhost:", false},
		{"localhost:0", false},
		{"localhost:65536", false},
		{"localhost:4294967376", false},
		{"localhost:-1", false},
		{"localhost: 80", false},
		{"::1:80", false},
		{"[::1:80", false},
		{"host name:80", false},
		{"[a-z]x:80", false},
		{"a\nb:80", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (address_pattern_is_valid(rows[i].pattern) != rows[i].valid) {
			fail_msg("%s", rows[i].pattern);
		}
	}
}

static void only_what_a_pattern_says_is_permitted(void **state)
{
	static const struct {
		const char *pattern, *host;
		uint32_t port;
		bool permitted;
	} rows[] = {
		{"localhost:80", "localhost", 80, true},
		{"localhost:80", "LOCALHOST", 80, true},
		{"localhost:80", "localhost", 81, false},
		{"localhost:80", "127.0.0.1", 80, false},
		{"localhost:*", "localhost", 65535, true},
		{"*:443", "anything", 443, true},
		{"*:443", "anything", 80, false},
		{"*.example.org:*", "www.example.org", 1, true},
		{"*.example.org:*", "example.org", 1, false},
		{"*.example.org:*", "example.org.evil", 1, false},
		{"[::1]:22", "::1", 22, true},
		{"[::1]:22", "::2", 22, false},
		{"10.*:80", "10.1.2.3", 80, true},
		{"192.168.1.?:80", "192.168.1.7", 80, true},
		/* What speaks of addresses permits no name, which could stand for any address. */
		{"10.*:80", "10.example.org", 80, false},
		{"192.168.1.?:80", "192.168.1.x", 80, false},
		{"10.*:80", "10.1", 80, false},
		{"*:80", "10.example.org", 80, true},
		{"10.*.example.org:80", "10.1.example.org", 80, true},
		/* 80 + 2^16: not the same port. */
		{"localhost:80", "localhost", 65616, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *list[] = {(char *)(uintptr_t)rows[i].pattern, NULL};
		if (address_matches(list, rows[i].host, rows[i].port) != rows[i].permitted) {
			fail_msg("%s for %s port %u", rows[i].pattern, rows[i].host, rows[i].port);
		}
	}
	assert_false(address_matches(NULL, "localhost", 80));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_are_host_and_port_and_nothing_else),
		cmocka_unit_test(only_what_a_pattern_says_is_permitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
