#include "tests/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "session/config-schema.h"
#include "session/rules.h"

#define KEY_A "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
#define PASSWORD_LINE                                                                              \
	"$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                   \
	"mPb6Lk5zLmpyHTmS0nyn1bW1q0lE1cM1nE5v2kq9Yxk"

static const char head[] =
	"profiles:\n"
	"  wide: {inherit: lab, forward: [local], sessions: [shell, exec]}\n"
	"users:\n"
	"  alice: {profile: wide, groups: [staff, ops], password: \"" PASSWORD_LINE "\"}\n"
	"  bob: {profile: wide, max_sessions: 7}\n"
	"  \"*\": {profile: lab}\n"
	"rules:\n";

static int parse(const char *rules, char **ret_messages, struct config *ret)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(ret_messages, &size);

	assert_non_null(out);
	assert_true(asprintf(&text, "%s%s", head, rules) > 0);
	int r = config_parse(text, strlen(text), "t.yaml", out, ret);
	assert_int_equal(fclose(out), 0);
	return r;
}

static void parse_good(const char *rules, struct config *ret)
{
	cleanup_free char *messages = NULL;

	if (parse(rules, &messages, ret) != 0) {
		fail_msg("%s", messages);
	}
}

static struct rules_login login_of(
	const struct config *config, const char *name, const char *address, const char *key)
{
	return (struct rules_login){.name = name,
		.user = config_find_user(config, name),
		.address = address,
		.key = key};
}

/* ---- whom a rule is about ---- */

static void conditions_match_whom_they_say(void **state)
{
	static const struct {
		const char *when;
		const char *user, *address, *key;
		bool matches;
	} rows[] = {
		{"{}", "alice", "192.0.2.7", NULL, true},
		{"{user: [alice]}", "alice", "192.0.2.7", NULL, true},
		{"{user: [alice]}", "alicex", "192.0.2.7", NULL, false},
		{"{user: [\"al*\"]}", "alice", "192.0.2.7", NULL, true},
		{"{user: [\"al?\"]}", "alice", "192.0.2.7", NULL, false},
		{"{user: [\"*\", \"!alice\"]}", "alice", "192.0.2.7", NULL, false},
		{"{user: [\"!alice\", \"*\"]}", "bob", "192.0.2.7", NULL, true},
		{"{group: [ops]}", "alice", "192.0.2.7", NULL, true},
		{"{group: [ops]}", "bob", "192.0.2.7", NULL, false},
		{"{group: [\"*\"]}", "bob", "192.0.2.7", NULL, false},
		{"{group: [\"*\", \"!staff\"]}", "alice", "192.0.2.7", NULL, false},
		{"{address: [192.0.2.0/24]}", "bob", "192.0.2.7", NULL, true},
		{"{address: [192.0.2.0/24]}", "bob", "192.0.3.7", NULL, false},
		{"{address: [192.0.2.0/24]}", "bob", "2001:db8::1", NULL, false},
		{"{address: [192.0.2.0/24]}", "bob", "::ffff:192.0.2.7", NULL, true},
		{"{address: [192.0.2.0/24, \"!192.0.2.7\"]}", "bob", "192.0.2.7", NULL, false},
		{"{address: [192.0.2.0/24, \"!192.0.2.7\"]}", "bob", "192.0.2.8", NULL, true},
		{"{address: [\"2001:db8::/32\"]}", "bob", "2001:db8::1", NULL, true},
		{"{address: [\"::/0\"]}", "bob", "unknown", NULL, false},
		{"{key: [\"" KEY_A "\"]}", "bob", "192.0.2.7", KEY_A, true},
		{"{key: [\"" KEY_A "\"]}", "bob", "192.0.2.7", KEY_B, false},
		{"{key: [\"" KEY_A "\"]}", "bob", "192.0.2.7", NULL, false},
		{"{key: [\"" KEY_A "\"], user: [alice]}", "bob", "192.0.2.7", KEY_A, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		struct config config = {0};
		(void)snprintf(text, sizeof(text), "  - {name: r, when: %s, profile: tight}\n",
			rows[i].when);
		parse_good(text, &config);
		struct rules_login login =
			login_of(&config, rows[i].user, rows[i].address, rows[i].key);
		if (rules_find_any(&config, &login) != rows[i].matches) {
			fail_msg("%s for %s from %s", rows[i].when, rows[i].user, rows[i].address);
		}
		config_fini(&config);
	}
}

static void a_certificate_is_known_by_authority_and_principal(void **state)
{
	char *principals[] = {(char[]){"alice"}, (char[]){"admins-eu"}, NULL};
	char *negated[] = {(char[]){"!x"}, NULL};
	struct config config = {0};

	parse_good("  - {name: a, when: {authority: [\"" KEY_A "\"], principal: [\"admins-*\"]}, "
		   "profile: tight}\n",
		&config);
	struct rules_login login = login_of(&config, "alice", "192.0.2.7", KEY_B);
	assert_false(rules_find_any(&config, &login));
	login.authority = KEY_A;
	assert_false(rules_find_any(&config, &login));
	login.principals = principals;
	assert_true(rules_find_any(&config, &login));
	login.authority = KEY_B;
	assert_false(rules_find_any(&config, &login));
	login.authority = KEY_A;
	login.principals = negated;
	assert_false(rules_find_any(&config, &login));
	config_fini(&config);
}

/* ---- what comes of it ---- */

static void of_each_setting_the_first_rule_that_says_it_wins(void **state)
{
	struct config config = {0};
	struct rules_result result = {0};
	struct err err = {0};

	parse_good("  - {name: one, when: {user: [bob]}, idle_timeout: 5, forward: []}\n"
		   "  - {name: none, when: {user: [nobody]}, profile: lab}\n"
		   "  - {name: two, when: {}, profile: tight, idle_timeout: 9, timeout: 60, "
		   "max_sessions: 2}\n"
		   "  - {name: three, when: {}, profile: lab, timeout: 70}\n",
		&config);
	struct rules_login bob = login_of(&config, "bob", "192.0.2.7", NULL);
	assert_int_equal(rules_apply(&config, &bob, NULL, NULL, &result, &err), 0);
	assert_string_equal(result.profile.name, "tight");
	assert_ptr_equal(result.base, config_find_profile(&config, "tight"));
	assert_int_equal(result.profile.idle_timeout, 5);
	assert_int_equal(result.profile.spec.timeout, 60);
	assert_int_equal(result.max_sessions, 2);
	assert_int_equal(strv_length(result.applied), 2);
	assert_true(strv_contains(result.applied, "one") && strv_contains(result.applied, "two"));
	rules_result_fini(&result);
	config_fini(&config);
}

static void what_no_rule_says_stays(void **state)
{
	struct config config = {0};
	struct rules_result result = {0};
	struct key_options key = {.profile = (char[]){"lab"}};
	struct err err = {0};

	parse_good("  - {name: one, when: {user: [alice]}, forward: []}\n", &config);
	struct rules_login bob = login_of(&config, "bob", "192.0.2.7", NULL);
	struct rules_login alice = login_of(&config, "alice", "192.0.2.7", NULL);
	assert_int_equal(rules_apply(&config, &bob, NULL, NULL, &result, &err), 0);
	assert_string_equal(result.profile.name, "wide");
	assert_true(strv_contains(result.profile.forward, "local"));
	assert_int_equal(result.max_sessions, 7);
	assert_null(result.applied);
	rules_result_fini(&result);
	assert_int_equal(rules_apply(&config, &alice, NULL, NULL, &result, &err), 0);
	assert_null(result.profile.forward);
	assert_true(strv_contains(result.profile.sessions, "shell"));
	assert_false(strv_contains(result.profile.sessions, "sftp"));
	rules_result_fini(&result);
	/* The key's profile stands before the user's, and behind a rule's. */
	config_fini(&config);
	parse_good("  - {name: one, when: {user: [alice]}, profile: tight}\n", &config);
	bob = login_of(&config, "bob", "192.0.2.7", NULL);
	alice = login_of(&config, "alice", "192.0.2.7", NULL);
	/* The file uses lab, for "*", so it is there. */
	assert_int_equal(rules_apply(&config, &bob, &key, NULL, &result, &err), 0);
	assert_string_equal(result.profile.name, "lab");
	rules_result_fini(&result);
	assert_int_equal(rules_apply(&config, &alice, &key, NULL, &result, &err), 0);
	assert_string_equal(result.profile.name, "tight");
	rules_result_fini(&result);
	config_fini(&config);
}

static void an_earlier_rule_can_except_from_a_refusal(void **state)
{
	struct config config = {0};

	parse_good("  - {name: but, when: {user: [alice]}, refuse: no}\n"
		   "  - {name: out, when: {address: [192.0.2.0/24]}, refuse: yes}\n",
		&config);
	struct rules_login bob = login_of(&config, "bob", "192.0.2.7", NULL);
	struct rules_login alice = login_of(&config, "alice", "192.0.2.7", NULL);
	assert_string_equal(rules_find_refusal(&config, &bob)->name, "out");
	assert_null(rules_find_refusal(&config, &alice));
	bob.address = "198.51.100.1";
	assert_null(rules_find_refusal(&config, &bob));
	/* Nobody knows whether this is a refused one. */
	bob.address = "unknown";
	assert_non_null(rules_find_refusal(&config, &bob));
	config_fini(&config);
}

static void methods_of_a_rule_never_open_more_than_they_say(void **state)
{
	cleanup(strv_freep) char **methods = NULL;
	struct config config = {0};
	bool closed = false;

	parse_good(
		"  - {name: m, when: {}, methods: [password, \"publickey,password\"]}\n", &config);
	struct rules_login bob = login_of(&config, "bob", "192.0.2.7", NULL);
	struct rules_login alice = login_of(&config, "alice", "192.0.2.7", NULL);
	assert_int_equal(rules_methods(&config, &alice, &methods, &closed), 0);
	assert_int_equal(strv_length(methods), 2);
	assert_false(closed);
	methods = strv_free(methods);
	/* bob has no password: no chain is left, and that is not "any method". */
	assert_int_equal(rules_methods(&config, &bob, &methods, &closed), 0);
	assert_true(closed);
	config_fini(&config);
}

/* ---- what is refused ---- */

static void mistakes_are_named_with_their_line(void **state)
{
	static const struct {
		const char *rules, *says;
	} rows[] = {
		{"  one: {}\n", "rules wants a list"},
		{"  - one\n", "t.yaml:8:5: error: a rule has keys and values"},
		{"  - {when: {}, refuse: yes}\n", "a rule has a \"name\""},
		{"  - {name: a, refuse: yes}\n", "a rule says with \"when\" whom it is about"},
		{"  - {name: a, when: [], refuse: yes}\n", "when wants keys and values"},
		{"  - {name: a, when: {}}\n", "this rule changes nothing"},
		{"  - {name: a b, when: {}, refuse: yes}\n", "is not a name"},
		{"  - {name: a, when: {}, refuse: yes}\n  - {name: a, when: {}, refuse: no}\n",
			"t.yaml:9:6: error: there is a rule of this name already"},
		{"  - {name: a, when: {}, profle: tight}\n", "did you mean \"profile\"?"},
		{"  - {name: a, when: {usr: [b]}, refuse: yes}\n", "did you mean \"user\"?"},
		{"  - {name: a, when: {}, profile: tigth}\n",
			"there is no profile \"tigth\"; did you mean \"tight\"?"},
		{"  - {name: a, when: {user: alice}, refuse: yes}\n", "user wants a list"},
		{"  - {name: a, when: {user: []}, refuse: yes}\n", "it would match nothing"},
		{"  - {name: a, when: {user: [\"!bob\"]}, refuse: yes}\n", "only items with \"!\""},
		{"  - {name: a, when: {address: [\"!10.0.0.0/8\"]}, refuse: yes}\n",
			"\"0.0.0.0/0\", \"::/0\""},
		{"  - {name: a, when: {address: [10.0.0.1/8]}, refuse: yes}\n",
			"is not a network such as"},
		{"  - {name: a, when: {user: [\"a b\"]}, refuse: yes}\n", "is not a name with"},
		{"  - {name: a, when: {key: [MD5:00]}, refuse: yes}\n", "is not a fingerprint"},
		{"  - {name: a, when: {key: [\"" KEY_A "=\"]}, refuse: yes}\n",
			"is not a fingerprint"},
		{"  - {name: a, when: {}, methods: []}\n", "one chain at least"},
		{"  - {name: a, when: {key: [\"" KEY_A "\"]}, methods: [publickey]}\n",
			"methods are decided before a key is seen"},
		{"  - {name: a, when: {}, timeout: 0}\n", "timeout: '0' is not from 1"},
		{"  - {name: a, when: {}, share: connection}\n", "unknown key \"share\" in a rule"},
		{"  - {name: a, name: b, when: {}, refuse: yes}\n", "name"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *messages = NULL;
		struct config config = {0};
		if (parse(rows[i].rules, &messages, &config) != -EINVAL ||
			!strstr(messages, rows[i].says)) {
			fail_msg("%s should say \"%s\" but says:\n%s", rows[i].rules, rows[i].says,
				messages);
		}
	}
}

static void settings_are_read_as_in_a_profile(void **state)
{
	for (const struct config_key *key = config_rule_keys; key->name; key++) {
		const struct config_key *own = config_key_find(config_profile_keys, key->name);
		if (own) {
			assert_int_equal(own->type, key->type);
			assert_ptr_equal(own->read, key->read);
			assert_int_equal(own->max, key->max);
			assert_int_equal(
				own->offset + offsetof(struct config_rule, over), key->offset);
		}
	}
}

static void rules_print_and_read_back(void **state)
{
	static const char rules[] =
		"  - {name: one, when: {user: [\"!a\", \"*\"], address: [\"::/0\"]}, refuse: no}\n"
		"  - {name: two, when: {}, forward: [], motd: none, methods: [publickey]}\n";
	cleanup_free char *first = NULL;
	cleanup_free char *second = NULL;
	struct config config = {0};
	struct config again = {0};
	size_t size = 0;

	parse_good(rules, &config);
	FILE *out = open_memstream(&first, &size);
	config_print(&config, out);
	(void)fclose(out);
	assert_int_equal(config_parse(first, strlen(first), "printed", stderr, &again), 0);
	assert_int_equal(again.rule_count, 2);
	assert_true(strv_contains(again.rules[1].said, "forward"));
	assert_true(strv_contains(again.rules[1].said, "motd"));
	out = open_memstream(&second, &size);
	config_print(&again, out);
	(void)fclose(out);
	assert_string_equal(first, second);
	assert_non_null(strstr(first,
		"\nrules:\n  - name: one\n"
		"    when: {user: [\"!a\", \"*\"], address: [\"::/0\"]}\n"));
	config_fini(&config);
	config_fini(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_match_whom_they_say),
		cmocka_unit_test(a_certificate_is_known_by_authority_and_principal),
		cmocka_unit_test(of_each_setting_the_first_rule_that_says_it_wins),
		cmocka_unit_test(what_no_rule_says_stays),
		cmocka_unit_test(an_earlier_rule_can_except_from_a_refusal),
		cmocka_unit_test(methods_of_a_rule_never_open_more_than_they_say),
		cmocka_unit_test(mistakes_are_named_with_their_line),
		cmocka_unit_test(settings_are_read_as_in_a_profile),
		cmocka_unit_test(rules_print_and_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
