/*
 * What cloche-netd reads: addresses, names, rules, requests and DNS answers; and that the kernel's
 * rules and ours deny the same addresses.
 */
#include "tests/test.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/linux/netd/dns.h"
#include "backends/linux/netd/request.h"
#include "backends/linux/netd/rules.h"
#include "base/cleanup.h"

static bool reads(const char *text, struct address *ret)
{
	return address_parse(text, strlen(text), ret);
}

static void addresses_are_read_as_the_c_library_reads_them(void **state)
{
	static const char *const good[] = {"0.0.0.0", "1.2.3.4", "255.255.255.255", "::", "::1",
		"1::", "2001:db8::7", "1:2:3:4:5:6:7:8", "fe80::1:2", "::2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7::", "ABCD:ef01::"};
	static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1",
		"1.2.3.4 ", " 1.2.3.4", "1.2.3.", ".1.2.3", "0x7f.0.0.1", "127.1", "2130706433",
		":", ":::", "1:", ":1", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"12345::", "::ffff:1.2.3.4", "fe80::1%eth0",
		"g::", "1:2:3:4:5:6:7:8::", "1:2:3:4::5:6:7:8", "0.0.0.0000001"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct address address;
		uint8_t expected[16] = {0};
		int family = strchr(good[i], ':') ? AF_INET6 : AF_INET;
		if (!reads(good[i], &address)) {
			fail_msg("'%s' was refused", good[i]);
		}
		assert_int_equal(inet_pton(family, good[i], expected), 1);
		assert_memory_equal(address.bytes, expected, 16);
		assert_int_equal(address.family, family == AF_INET ? 4 : 6);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct address address;
		if (reads(bad[i], &address)) {
			fail_msg("'%s' was accepted", bad[i]);
		}
	}
}

static void what_nobody_may_reach_is_denied(void **state)
{
	static const char *const denied[] = {"0.0.0.0", "0.255.255.255", "10.0.0.0",
		"10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.8", "192.168.0.0",
		"192.168.255.255", "224.0.0.1", "239.255.255.255", "240.0.0.0", "255.255.255.255",
		"::", "::1", "::7f00:1", "::ffff:7f00:1", "::ffff:a01:203", "64:ff9b::a01:203",
		"64:ff9b:1::1", "fe80::1", "fec0::1", "fc00::1", "fdff::1", "ff02::1",
		"2002:a01:203::1", "2001:0:1::1", "100::1", "1fff::1", "4000::1"};
	static const char *const public[] = {"1.1.1.1", "9.255.255.255", "11.0.0.0",
		"100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
		"169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
		"192.169.0.0", "223.255.255.255", "2001:db8::1", "2606:4700::1111", "2a00::1",
		"3fff::1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
		struct address address;
		assert_true(reads(denied[i], &address));
		if (!address_is_denied(&address)) {
			fail_msg("%s is not denied", denied[i]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(public); i++) {
		struct address address;
		assert_true(reads(public[i], &address));
		if (address_is_denied(&address)) {
			fail_msg("%s is denied", public[i]);
		}
	}
}

/* The kernel's list, taken from the plan: its members are denied here, and their neighbours not. */
static void the_kernels_list_is_the_same(void **state)
{
	struct host host;
	struct spec spec;
	struct err err = {0};
	cleanup(plan_freep) struct plan *plan = NULL;
	unsigned members = 0;

	(void)state;
	host_init_ideal(&host, 7);
	spec_init(&spec);
	spec.net = NET_OUTBOUND;
	assert_int_equal(strv_append(&spec.args, "true"), 0);
	assert_int_equal(backend_native.compile(&spec, &host, 0, &plan, &err), 0);
	spec_fini(&spec);
	char *at = strstr(plan->net.rules, "set denied");
	assert_non_null(at);
	at = strstr(at, "elements = { ") + strlen("elements = { ");
	char *end = strchr(at, '}');
	*end = '\0';
	for (char *item = NULL; (item = strsep(&at, ", "));) {
		unsigned a = 0, b = 0, c = 0, d = 0, bits = 0;
		if (!*item) {
			continue;
		}
		assert_int_equal(sscanf(item, "%u.%u.%u.%u/%u", &a, &b, &c, &d, &bits), 5);
		uint32_t first = a << 24 | b << 16 | c << 8 | d;
		uint32_t last = first | (uint32_t)(UINT64_C(0xffffffff) >> bits);
		for (uint64_t probe = first; probe <= last;
			probe += (uint64_t)last - first ? last - first : 1) {
			struct address address = {4,
				{(uint8_t)(probe >> 24), (uint8_t)(probe >> 16),
					(uint8_t)(probe >> 8), (uint8_t)probe}};
			assert_true(address_is_denied(&address));
		}
		members++;
	}
	assert_int_equal(members, 10);
}

static void names_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		size_t length;
		const char *name; /* NULL: refused */
	} cases[] = {
#define CASE(text, name) {text, sizeof(text) - 1, name}
		CASE("good.example", "good.example"),
		CASE("GOOD.Example.", "good.example"),
		CASE("xn--bcher-kva.example", "xn--bcher-kva.example"),
		CASE("host", "host"),
		CASE("a.b-c.d1", "a.b-c.d1"),
		CASE("1.example", "1.example"),
		CASE("", NULL),
		CASE(".", NULL),
		CASE("..", NULL),
		CASE("a..b", NULL),
		CASE("a.b..", NULL),
		CASE(".a.b", NULL),
		CASE("-a.b", NULL),
		CASE("a-.b", NULL),
		CASE("a_b.c", NULL),
		CASE("a b.c", NULL),
		CASE("a\0b.c", NULL),
		CASE("evil\0.good.example", NULL),
		CASE("a.b\n", NULL),
		CASE("b\xc3\xbc.example", NULL),
		CASE("127.0.0.1", NULL),
		CASE("127.1", NULL),
		CASE("0x7f.1", NULL),
		CASE("2130706433", NULL),
		CASE("a.0x7f", NULL),
		CASE("a.1", NULL),
		CASE("*.a", NULL),
		CASE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b", NULL),
	};
	char longest[300] = "";
	char name[NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool fine = name_parse(cases[i].text, cases[i].length, name);
		if (fine != (cases[i].name != NULL) || (fine && strcmp(name, cases[i].name) != 0)) {
			fail_msg("'%s': %s", cases[i].text, fine ? name : "refused");
		}
	}
	for (int i = 0; i < 126; i++) {
		(void)strcat(longest, "a.");
	}
	(void)strcat(longest, "b"); /* 253 */
	assert_true(name_parse(longest, 253, name));
	(void)strcat(longest, "b");
	assert_false(name_parse(longest, 254, name));
	assert_true(name_is_below("a.b.c", "b.c"));
	assert_false(name_is_below("b.c", "b.c"));
	assert_false(name_is_below("ab.c", "b.c"));
	assert_false(name_is_below("b.c.a", "b.c"));
}

static void rules_mean_what_they_say(void **state)
{
	static const char *const bad[] = {"", "a:0", "a:65536", "a:", ":80", "a:b", "a..b", "*",
		"*.", "*.*.a", "a.*.b", "10.1.2.3/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08",
		"0.0.0.0/1x", "a/8", "[::1", "[::1]80", "[a]:80", "[1.2.3.4]:80", "::1/129",
		"1.2.3", "1.2.3.4.5", "http://a", "a b", "a:80:81", "2001:db8::1/64",
		"::ffff:a00:0/104"};
	static const struct {
		const char *rule, *target;
		uint16_t port;
		bool permitted;
	} cases[] = {
		{"a.example", "a.example", 80, true},
		{"A.Example.:443", "a.example", 443, true},
		{"a.example:443", "a.example", 80, false},
		{"*.example", "a.example", 80, true},
		{"*.example", "b.a.example", 80, true},
		{"*.example", "example", 80, false},
		{"a.example", "b.a.example", 80, false},
		{"10.0.0.0/8", "10.255.0.1", 1, true},
		{"10.0.0.0/8:53", "10.0.0.1", 53, true},
		{"10.0.0.0/8:53", "10.0.0.1", 54, false},
		{"10.0.0.0/8", "11.0.0.1", 1, false},
		{"0.0.0.0/0", "8.8.8.8", 1, true},
		{"0.0.0.0/0", "2001:db8::1", 1, false},
		{"1.2.3.4", "1.2.3.4", 9, true},
		{"1.2.3.4", "1.2.3.5", 9, false},
		{"2001:db8::/32", "2001:db8:1::1", 9, true},
		{"[2001:db8::/32]:22", "2001:db8::1", 22, true},
		{"[2001:db8::1]:22", "2001:db8::1", 23, false},
		{"::/0", "1.2.3.4", 1, false},
		{"::/0", "2001:db8::1", 1, true},
		/* 10.1.2.3, as IPv6 can say it: a connection there is one to 10.1.2.3 */
		{"::/0", "::ffff:a01:203", 1, false},
		{"::/64", "::ffff:a9fe:a9fe", 80, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct rule rule;
		if (!rule_parse(bad[i], &rule)) {
			fail_msg("'%s' was accepted", bad[i]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rule rule;
		struct address address;
		const char *problem = rule_parse(cases[i].rule, &rule);
		if (problem) {
			fail_msg("'%s': %s", cases[i].rule, problem);
		}
		bool permitted = reads(cases[i].target, &address)
			? rules_permit_address(&rule, 1, &address, cases[i].port)
			: rules_permit_name(&rule, 1, cases[i].target, cases[i].port);
		if (permitted != cases[i].permitted) {
			fail_msg("%s for %s:%u: %d", cases[i].rule, cases[i].target, cases[i].port,
				permitted);
		}
	}
	assert_false(rules_permit_name(NULL, 0, "a.example", 80));
}

static void answers_are_for_the_question(void **state)
{
	uint8_t query[DNS_QUERY_SIZE];
	uint8_t answer[512];
	struct address found[2];
	size_t size = dns_write_query(query, 0x1234, "a.example", DNS_TYPE_A);
	static const uint8_t record[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7};

	(void)state;
	assert_int_equal(size, 12 + 11 + 4);
	memcpy(answer, query, size);
	answer[2] = 0x81;
	answer[7] = 3;
	for (int i = 0; i < 3; i++) {
		memcpy(answer + size + (size_t)i * sizeof(record), record, sizeof(record));
	}
	size_t whole = size + 3 * sizeof(record);
	assert_int_equal(
		dns_read_answer(answer, whole, 0x1234, "a.example", DNS_TYPE_A, found, 2), 2);
	assert_int_equal(found[1].bytes[3], 7);
	assert_int_equal(
		dns_read_answer(answer, whole, 0x1235, "a.example", DNS_TYPE_A, found, 2), -1);
	assert_int_equal(
		dns_read_answer(answer, whole, 0x1234, "b.example", DNS_TYPE_A, found, 2), -1);
	assert_int_equal(
		dns_read_answer(answer, whole, 0x1234, "a.example", DNS_TYPE_AAAA, found, 2), -1);
	assert_int_equal(
		dns_read_answer(answer, size + 20, 0x1234, "a.example", DNS_TYPE_A, found, 2), 1);
	answer[3] = 3; /* no such name */
	assert_int_equal(
		dns_read_answer(answer, whole, 0x1234, "a.example", DNS_TYPE_A, found, 2), 0);
	answer[2] = 0x01; /* a question */
	assert_int_equal(
		dns_read_answer(answer, whole, 0x1234, "a.example", DNS_TYPE_A, found, 2), -1);
}

static enum request_state ask(const char *data, size_t size, struct request *request)
{
	size_t used = 0;
	enum request_state state = REQUEST_MORE;

	*request = (struct request){0};
	do {
		state = request_read(request, (const uint8_t *)data, size, &used);
		data += used;
		size -= used;
	} while (state == REQUEST_GREETED);
	return state;
}

static void requests_are_read_strictly(void **state)
{
	static const struct {
		const char *data;
		size_t size;
		enum request_state expected;
	} cases[] = {
		CASE("CONNECT a.example:443 HTTP/1.1\r\n\r\n", REQUEST_COMPLETE),
		CASE("CONNECT 1.2.3.4:443 HTTP/1.0\r\nHost: x\r\n\r\nmore", REQUEST_COMPLETE),
		CASE("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n", REQUEST_COMPLETE),
		CASE("CONNECT a.example:443 HTTP/1.1\r\n", REQUEST_MORE),
		CASE("CONN", REQUEST_MORE),
		CASE("GET http://a.example/ HTTP/1.1\r\n\r\n", REQUEST_NO_METHOD),
		CASE("CONNECT a.example HTTP/1.1\r\n\r\n", REQUEST_BAD),
		CASE("CONNECT a.example:443\r\n\r\n", REQUEST_BAD),
		CASE("CONNECT a.example:443 HTTP/2.0\r\n\r\n", REQUEST_BAD),
		CASE("CONNECT a.example:443 HTTP/1.1\n\n", REQUEST_BAD),
		CASE("CONNECT a.example\0:443 HTTP/1.1\r\n\r\n", REQUEST_BAD),
		CASE("CONNECT a.example:443 b HTTP/1.1\r\n\r\n", REQUEST_BAD),
		CASE("CONNECT u@a.example:443 HTTP/1.1\r\n\r\n", REQUEST_BAD),
		CASE("CONNECT :443 HTTP/1.1\r\n\r\n", REQUEST_BAD),
		CASE("CONNECT  HTTP/1.1\r\n\r\n", REQUEST_BAD),
		CASE("\x16\x03\x01", REQUEST_BAD),
		CASE("\x05\x01\x00\x05\x01\x00\x03\x09"
		     "a.example\x00\x50",
			REQUEST_COMPLETE),
		CASE("\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50", REQUEST_COMPLETE),
		CASE("\x05\x01\x02", REQUEST_NO_METHOD),
		CASE("\x05\x00", REQUEST_NO_METHOD),
		CASE("\x05\x01\x00\x05\x02\x00\x03\x09"
		     "a.example\x00\x50",
			REQUEST_BAD),
		CASE("\x05\x01\x00\x05\x01\x00\x03\x09"
		     "a.example\x00\x00",
			REQUEST_BAD),
		CASE("\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", REQUEST_BAD),
		CASE("\x05\x01\x00\x05\x01\x00\x09\x09"
		     "a.example\x00\x50",
			REQUEST_BAD),
		CASE("\x05\x01\x00\x05\x01\x00\x03\x09"
		     "a\0example\x00\x50",
			REQUEST_BAD),
		CASE("\x05\x01\x00\x05\x01\x00\x03\x09"
		     "a.exam",
			REQUEST_MORE),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct request request;
		enum request_state got = ask(cases[i].data, cases[i].size, &request);
		if (got != cases[i].expected) {
			fail_msg("case %zu ('%s'): %d", i, cases[i].data, (int)got);
		}
		assert_true(got != REQUEST_COMPLETE || request.port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_as_the_c_library_reads_them),
		cmocka_unit_test(what_nobody_may_reach_is_denied),
		cmocka_unit_test(the_kernels_list_is_the_same),
		cmocka_unit_test(names_are_read_strictly),
		cmocka_unit_test(rules_mean_what_they_say),
		cmocka_unit_test(answers_are_for_the_question),
		cmocka_unit_test(requests_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
