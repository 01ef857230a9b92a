#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "session/config-schema.h"
#include "session/config.h"
#include "session/document.h"

#define PASSWORD_LINE                                                                              \
	"$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                   \
	"mPb6Lk5zLmpyHTmS0nyn1bW1q0lE1cM1nE5v2kq9Yxk"

#define SEALED                                                                                     \
	"$cloche-totp$1$"                                                                          \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define USERS "users: {\"*\": {profile: tight}}\n"

/* Parses text from memory of its own size, so that a read past the end is seen. */
static int parse_sized(const char *text, size_t size, char **ret_messages, struct config *config)
{
	cleanup_free char *copy = malloc(size + 1);
	size_t length = 0;
	FILE *out = open_memstream(ret_messages, &length);
	int r = 0;

	assert_non_null(out);
	assert_non_null(copy);
	memcpy(copy, text, size);
	copy[size] = '\0';
	r = config_parse(copy, size, "t.yaml", out, config);
	assert_int_equal(fclose(out), 0);
	return r;
}

static int parse(const char *text, char **ret_messages, struct config *config)
{
	return parse_sized(text, strlen(text), ret_messages, config);
}

/* Parses what must be right. */
static void parse_good(const char *text, struct config *config)
{
	cleanup_free char *messages = NULL;

	if (parse(text, &messages, config) != 0) {
		fail_msg("%s", messages);
	}
	assert_string_equal(messages, "");
}

static void assert_refused_sized(const char *text, size_t size, const char *says)
{
	cleanup_free char *messages = NULL;
	struct config config = {0};

	if (parse_sized(text, size, &messages, &config) != -EINVAL || !strstr(messages, says)) {
		fail_msg("---\n%s--- should say \"%s\" but says:\n%s", text, says, messages);
	}
}

static void assert_refused(const char *text, const char *says)
{
	assert_refused_sized(text, strlen(text), says);
}

static char *print(const struct config *config)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	config_print(config, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* ---- what is accepted ---- */

static void the_default_is_what_it_says(void **state)
{
	struct config config = {0};
	const struct config_profile *profile = NULL;

	assert_int_equal(config_load(NULL, stderr, &config), 0);
	assert_string_equal(config.listen[0], "127.0.0.1:2222");
	assert_int_equal(strv_length(config.listen), 1);
	assert_int_equal(config.login_grace, 120);
	assert_int_equal(config.max_auth_tries, 6);
	assert_int_equal(config.startups_begin, 10);
	assert_int_equal(config.startups_rate, 30);
	assert_int_equal(config.startups_full, 100);
	assert_int_equal(config.max_sessions, 10);
	assert_true(config.proof);
	assert_null(config.banner);
	assert_null(config.kex);
	assert_string_equal(config.audit_log, "-");
	assert_string_equal(config_find_user(&config, "anyone")->profile, "default");
	assert_string_equal(config_find_user(&config, "anyone")->authorized_keys[0],
		"/etc/cloche/authorized_keys");
	profile = config_find_profile(&config, "default");
	assert_non_null(profile);
	assert_int_equal(profile->spec.net, NET_DISABLE);
	assert_int_equal(profile->spec.write, WRITE_EPHEMERAL);
	assert_int_equal(strv_length(profile->spec.readable), 7);
	assert_int_equal(profile->spec.memory, UINT64_C(512) << 20);
	assert_int_equal(profile->spec.pids, 128);
	assert_int_equal(profile->spec.cpu_milli, 1000);
	assert_int_equal(profile->spec.disk, UINT64_C(256) << 20);
	assert_int_equal(profile->spec.timeout, 12 * 3600);
	assert_int_equal(profile->idle_timeout, 1800);
	assert_int_equal(profile->warning, 60);
	assert_true(strv_contains(profile->accept_env, "LC_*"));
	assert_false(profile->guest);
	assert_true(config_find_profile(&config, "lab")->guest);
	assert_int_equal(config_find_profile(&config, "tight")->spec.write, WRITE_NONE);
	/* Nobody is let in without a credential unless the operator says so. */
	for (size_t i = 0; i < config.user_count; i++) {
		assert_false(config.users[i].guest);
	}
	config_fini(&config);
}

static void every_key_can_be_said(void **state)
{
	struct config config = {0};
	const struct config_profile *profile = NULL;
	const struct config_user *user = NULL;

	parse_good("server:\n"
		   "  listen: [\"192.0.2.1:22\", '[2001:db8::1]:0']\n"
		   "  host_keys: [/k/a, /k//b/]\n"
		   "  authorized_keys: [/k/%u]\n"
		   "  login_grace: 30\n"
		   "  max_auth_tries: 3\n"
		   "  startups: 1:50:2\n"
		   "  max_sessions: 4\n"
		   "  max_connections: 5\n"
		   "  max_total_sessions: 6\n"
		   "  max_user_sessions: 7\n"
		   "  keepalive_interval: 1m30s\n"
		   "  keepalive_count: 8\n"
		   "  drain: 0\n"
		   "  banner: |\n"
		   "    Hello.\n"
		   "    Grüße.\n"
		   "  audit_log: /var/log/a\n"
		   "  state_dir: /s\n"
		   "  empty_dir: /e\n"
		   "  net_user: nobody\n"
		   "  log_level: debug\n"
		   "  kex: curve25519-sha256,curve25519-sha256@libssh.org\n"
		   "  ciphers: aes128-gcm@openssh.com\n"
		   "  macs: hmac-sha2-256\n"
		   "  host_key_algorithms: ssh-ed25519\n"
		   "  public_key_algorithms: ssh-ed25519,rsa-sha2-512\n"
		   "  proof: no\n"
		   "profiles:\n"
		   "  p:\n"
		   "    description: all of it\n"
		   "    guest: on\n"
		   "    idle_timeout: 5m\n"
		   "    warning: 30s\n"
		   "    accept_env: [EDITOR]\n"
		   "    net: enable\n"
		   "    write: scope\n"
		   "    writable: [/srv/x]\n"
		   "    env: [A=1, \"B=two words\"]\n"
		   "    cpus: 1.25\n"
		   "    memory: 64M\n"
		   "    require: [res.memory, res.cpu]\n"
		   "    hostname: box\n"
		   "users:\n"
		   "  alice:\n"
		   "    profile: p\n"
		   "    authorized_keys: [/a/one, /a/two]\n"
		   "    password: " PASSWORD_LINE "\n"
		   "    guest: yes\n"
		   "    max_sessions: 2\n"
		   "  bob: {profile: p, authorized_keys: []}\n"
		   "  carol: {profile: p}\n",
		&config);
	assert_string_equal(config.listen[1], "[2001:db8::1]:0");
	assert_string_equal(config.host_keys[1], "/k/b");
	assert_int_equal(config.login_grace, 30);
	assert_int_equal(config.startups_full, 2);
	assert_int_equal(config.keepalive_interval, 90);
	assert_int_equal(config.drain, 0);
	assert_string_equal(config.banner, "Hello.\nGrüße.\n");
	assert_string_equal(config.public_key_algorithms, "ssh-ed25519,rsa-sha2-512");
	assert_false(config.proof);
	profile = config_find_profile(&config, "p");
	assert_true(profile->guest);
	assert_int_equal(profile->spec.cpu_milli, 1250);
	assert_string_equal(profile->spec.env[1], "B=two words");
	assert_true(capability_set_has(profile->spec.require, CAPABILITY_RES_CPU));
	assert_int_equal(strv_length(profile->accept_env), 1);
	user = config_find_user(&config, "alice");
	assert_string_equal(user->password, PASSWORD_LINE);
	assert_true(user->guest && user->own_keys);
	assert_int_equal(user->max_sessions, 2);
	/* No keys of one's own is not the same as nothing said. */
	assert_int_equal(strv_length(config_find_user(&config, "bob")->authorized_keys), 0);
	assert_string_equal(config_find_user(&config, "carol")->authorized_keys[0], "/k/%u");
	assert_null(config_find_user(&config, "dave"));
	config_fini(&config);
}

static void scalars_mean_what_the_schema_says(void **state)
{
	struct config config = {0};

	/* YAML 1.1 would make of these: false, an octal number, a float, null, a time in base 60. */
	parse_good("server: {max_auth_tries: 022, startups: 1:30:59}\n"
		   "profiles:\n"
		   "  no: {hostname: null, description: ~, env: [A=1e3, 'B=yes']}\n"
		   "users:\n"
		   "  1e3: {profile: no}\n"
		   "  null: {profile: 'no'}\n",
		&config);
	assert_int_equal(config.max_auth_tries, 22);
	assert_int_equal(config.startups_full, 59);
	assert_string_equal(config_find_profile(&config, "no")->spec.hostname, "null");
	assert_string_equal(config_find_profile(&config, "no")->description, "~");
	assert_non_null(config_find_user(&config, "1e3"));
	assert_non_null(config_find_user(&config, "null"));
	config_fini(&config);
}

/* ---- inheritance ---- */

static void profiles_inherit_and_lists_replace(void **state)
{
	struct config config = {0};
	const struct config_profile *child = NULL;

	parse_good("profiles:\n"
		   "  child: {inherit: parent, memory: 1G, env: [C=3], accept_env: []}\n"
		   "  parent: {inherit: grand, pids: 7, description: old}\n"
		   "  grand: {memory: 2G, env: [A=1, B=2], write: ephemeral, guest: yes,"
		   " require: [res.pids], idle_timeout: 9}\n" USERS,
		&config);
	child = config_find_profile(&config, "child");
	assert_int_equal(child->spec.memory, UINT64_C(1) << 30);
	assert_int_equal(child->spec.pids, 7);
	assert_int_equal(child->spec.write, WRITE_EPHEMERAL);
	assert_int_equal(strv_length(child->spec.env), 1);
	assert_string_equal(child->spec.env[0], "C=3");
	assert_int_equal(strv_length(child->accept_env), 0);
	assert_true(child->guest);
	assert_int_equal(child->idle_timeout, 9);
	assert_string_equal(child->description, "old");
	assert_true(capability_set_has(child->spec.require, CAPABILITY_RES_PIDS));
	assert_string_equal(child->name, "child");
	/* The parent keeps its own. */
	assert_int_equal(strv_length(config_find_profile(&config, "parent")->spec.env), 2);
	config_fini(&config);
}

static void a_profile_without_a_parent_is_the_empty_spec(void **state)
{
	struct config config = {0};
	struct spec tight;

	parse_good("profiles: {p: {}}\nusers: {a: {profile: p}}\n", &config);
	spec_init(&tight);
	assert_memory_equal(&config_find_profile(&config, "p")->spec, &tight, sizeof(tight));
	assert_false(config_find_profile(&config, "p")->guest);
	config_fini(&config);
}

static void built_in_profiles_are_there_when_asked_for(void **state)
{
	struct config config = {0};

	parse_good("profiles: {lab: {inherit: lab, pids: 9}, own: {inherit: lab}}\n"
		   "users: {a: {profile: agent}, b: {profile: agent}, c: {profile: own}}\n",
		&config);
	assert_int_equal(config.profile_count, 3); /* lab, own, agent; not tight */
	assert_int_equal(config_find_profile(&config, "agent")->spec.pids, 512);
	/* "lab" is the file's for all but itself. */
	assert_int_equal(config_find_profile(&config, "lab")->spec.pids, 9);
	assert_int_equal(config_find_profile(&config, "lab")->spec.memory, UINT64_C(256) << 20);
	assert_int_equal(config_find_profile(&config, "own")->spec.pids, 9);
	assert_null(config_find_profile(&config, "tight"));
	config_fini(&config);
}

/* What isobox's profile of that name denies, but for the home directory before it. */
static const char *const credentials[] = {".ssh", ".gnupg", ".aws", ".azure", ".docker", ".kube",
	".npmrc", ".pypirc", ".netrc", ".git-credentials", ".config/gcloud", ".config/gh",
	".config/op", ".config/1Password", "Library/Keychains",
	"Library/Application Support/1Password"};
static const char *const secrets[] = {"CI_TOKEN", "API_KEY", "MY_SECRET", "AWS_REGION",
	"GITHUB_SHA", "ANTHROPIC_X", "OPENAI_X", "SSH_AUTH_SOCK"};

static void agents_get_a_network_and_no_credentials(void **state)
{
	struct config config = {0};
	char path[128];

	assert_int_equal(setenv("HOME", "/srv/somebody", 1), 0);
	assert_int_equal(config_load_builtin("agent", &config), 0);
	assert_int_equal(config.profile_count, 1);
	const struct spec *spec = &config_find_profile(&config, "agent")->spec;
	assert_int_equal(spec->net, NET_OUTBOUND);
	assert_int_equal(spec->write, WRITE_OVERLAY);
	for (size_t i = 0; i < ARRAY_SIZE(credentials); i++) {
		(void)snprintf(path, sizeof(path), "/srv/somebody/%s", credentials[i]);
		assert_true(strv_contains(spec->read_deny, path));
	}
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		assert_true(strv_matches(spec->env_deny, secrets[i]));
	}
	assert_false(strv_matches(spec->env_deny, "PATH"));
	config_fini(&config);
	assert_int_equal(config_load_builtin("nonesuch", &config), -ENOENT);
	assert_int_equal(config_load_builtin("a: {b", &config), -ENOENT);
}

static void only_denials_know_home_directories(void **state)
{
	struct config config = {0};

	assert_int_equal(setenv("HOME", "/srv/somebody", 1), 0);
	parse_good("profiles: {p: {read_deny: [~/x, /y]}}\n" USERS, &config);
	const struct spec *spec = &config_find_profile(&config, "p")->spec;
	/* That of the password file, and HOME, which is another one here; then what is absolute. */
	assert_true(strv_contains(spec->read_deny, "/srv/somebody/x"));
	assert_true(strv_contains(spec->read_deny, "/y"));
	assert_int_equal(strv_length(spec->read_deny), 3);
	config_fini(&config);
	assert_refused("profiles: {p: {readable: [~/x]}}\n" USERS, "absolute");
	assert_refused("profiles: {p: {read_deny: [~/../x]}}\n" USERS, "..");
}

static void circles_are_refused(void **state)
{
	assert_refused("profiles: {a: {inherit: a}}\n" USERS, "there is no profile \"a\"");
	assert_refused(
		"profiles: {a: {inherit: b}, b: {inherit: a}}\n" USERS, "inherits from itself");
	assert_refused("profiles: {a: {inherit: b}, b: {inherit: c}, c: {inherit: a}}\n" USERS,
		"inherits from itself");
	assert_refused(
		"profiles: {a: {inherit: nowhere}}\n" USERS, "there is no profile \"nowhere\"");
	assert_refused("profiles: {a: {inherit: tigth}}\n" USERS, "did you mean \"tight\"?");
}

/* ---- what is refused ---- */

static void mistakes_are_named_with_their_place(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"server: {lissten: []}\n" USERS,
			"t.yaml:1:10: error: unknown key \"lissten\" in server; did you mean "
			"\"listen\"?"},
		{"sevrer: {}\n" USERS, "did you mean \"server\"?"},
		{"profiles: {p: {memroy: 1G}}\n" USERS, "did you mean \"memory\"?"},
		{"profiles: {p: {read-deny: [/x]}}\n" USERS, "did you mean \"read_deny\"?"},
		{"profiles:\n  p:\n    backend: bubblwrap\n" USERS,
			"t.yaml:3:14: error: backend: there is no backend 'bubblwrap'; did you "
			"mean 'bubblewrap'?\n"},
		{"profiles: {p: {backend: zzzzzz}}\n" USERS,
			"there is no backend 'zzzzzz'; there are: native, "},
		{"profiles: {p: {zzzzzz: 1}}\n" USERS, "unknown key \"zzzzzz\" in a profile\n"},
		{"profiles: {p: {args: [sh]}}\n" USERS, "unknown key \"args\""},
		{"users: {a: {profile: tight, shell: /bin/sh}}\n",
			"unknown key \"shell\" in a user"},
		{"server: {<<: {}}\n" USERS, "unknown key \"<<\""},
		{"server: {drain: 1, drain: 2}\n" USERS,
			"\"drain\" is here twice; it was on line 1"},
		{"profiles: {p: {}, p: {}}\n" USERS, "\"p\" is here twice"},
		{"users: {a: {profile: tight}, \"a\": {}}\n", "\"a\" is here twice"},
		{"server: {}\nusers: {a: {profile: tight}}\nserver: {}\n",
			"t.yaml:3:1: error: the key \"server\""},
		{"server: {drain: !!int 1}\n" USERS,
			"tags (tag:yaml.org,2002:int) are not accepted"},
		{"server: {drain: ! 1}\n" USERS, "tags (!)"},
		{"server: !x {drain: 1}\n" USERS, "tags (!x)"},
		{"%TAG ! tag:x,2000:\n---\n" USERS, "tags are not accepted"},
		{"server: &a {drain: 1}\n" USERS, "anchors (&a)"},
		{"server: {host_keys: [&a /x, *a]}\n" USERS, "aliases (*a)"},
		{"server: {drain: *a}\n" USERS, "alias"},
		{USERS "---\n" USERS, "t.yaml:2:1: error: a second document begins here"},
		{USERS "...\n---\nx\n", "a second document"},
		{"", "there is nothing in this file"},
		{"# only this\n", "there is nothing in this file"},
		{"just text\n", "a configuration has the keys"},
		{"[a, b]\n", "a configuration has the keys"},
		{"{}\n", "there are no users"},
		{"users: {}\n", "there are no users"},
		{"users:\n", "users wants keys and values"},
		{"users: [a]\n", "users wants keys and values"},
		{"users: {a: }\n", "user a wants keys and values"},
		{"users: {a: tight}\n", "user a wants keys and values"},
		{"users: {[a]: {}}\n", "a key is a word"},
		{"users: {? {a: b} : {}}\n", "a key is a word"},
		{"profiles: {p: }\n" USERS, "profile p wants keys and values"},
		{"profiles: {../p: {}}\n" USERS, "not a name for a profile"},
		{"users: {../a: {profile: tight}}\n", "not a login name"},
		{"users: {\"a*\": {profile: tight}}\n", "not a login name"},
		{"users: {a: {}}\n", "there is no profile \"default\""},
		{"users: {a: {profile: nope}}\n",
			"t.yaml:1:22: error: there is no profile \"nope\""},
		{"users: {a: {profile: tight, guest: yes}}\n", "may not be a guest"},
		{"server: {login_grace: }\n" USERS, "login_grace has no value"},
		{"server: {login_grace: 0}\n" USERS, "not from 1 to 3600 seconds"},
		{"server: {login_grace: 2y}\n" USERS, "a time such as"},
		{"server: {login_grace: [1]}\n" USERS, "wants a single value"},
		{"server: {login_grace: -1}\n" USERS, "a time such as"},
		{"server: {max_sessions: 99999999999999999999}\n" USERS, "not from 1 to 1000"},
		{"server: {listen: 127.0.0.1:22}\n" USERS, "listen wants a list"},
		{"server: {listen: [127.0.0.1]}\n" USERS, "not an address and port"},
		{"server: {listen: [localhost:22]}\n" USERS, "not an address and port"},
		{"server: {listen: [\"127.0.0.1:65536\"]}\n" USERS, "not an address and port"},
		{"server: {listen: [\"::1:22\"]}\n" USERS, "not an address and port"},
		{"server: {listen: [\"[::1\"]}\n" USERS, "not an address and port"},
		{"server: {listen: [\"[]:22\"]}\n" USERS, "not an address and port"},
		{"server: {listen: [\":22\"]}\n" USERS, "not an address and port"},
		{"server: {listen: [\"[127.0.0.1]:22\"]}\n" USERS, "not an address and port"},
		{"server: {listen: [[x]]}\n" USERS, "an item of listen is a single value"},
		{"server: {listen: [,]}\n" USERS, "error"},
		{"server: {host_keys: [relative]}\n" USERS, "not an absolute path"},
		{"server: {host_keys: [/a/../b]}\n" USERS, "not an absolute path"},
		{"server: {authorized_keys: [/a/%h]}\n" USERS, "after '%' only"},
		{"server: {authorized_keys: [/a%]}\n" USERS, "after '%' only"},
		{"server: {authorized_principals: ['a b']}\n" USERS, "not a principal"},
		{"server: {authorized_principals: ['%u-x']}\n" USERS, "not a principal"},
		{"users: {a: {profile: tight, methods: ['publickey,,password']}}\n",
			"is no method"},
		{"users: {a: {profile: tight, methods: ['publickey,password']}}\n",
			"asks for a password, and the user has none"},
		{"users: {a: {profile: tight, methods: ['publickey,keyboard-interactive']}}\n",
			"neither password nor totp"},
		{"users: {a: {profile: tight, totp: secret}}\n", "not a line of `cloche totp`"},
		{"users: {a: {profile: tight, totp: '" SEALED "'}}\n", "no methods"},
		{"users: {a: {profile: tight, totp: '" SEALED
		 "', methods: [keyboard-interactive]}}\n",
			"a code alone"},
		{"users: {'*': {profile: tight, totp: '" SEALED
		 "', methods: ['publickey,keyboard-interactive']}}\n",
			"one person's"},
		{"users: {a: {profile: lab, guest: yes, methods: [publickey]}}\n",
			"the user is a guest"},
		{"server: {startups: 10:30}\n" USERS, "begin:rate:full"},
		{"server: {startups: 10:30:100:1}\n" USERS, "begin:rate:full"},
		{"server: {startups: 10:101:100}\n" USERS, "begin:rate:full"},
		{"server: {startups: 0:30:100}\n" USERS, "begin:rate:full"},
		{"server: {startups: 11:30:10}\n" USERS, "begin:rate:full"},
		{"server: {net_user: root}\n" USERS, "must not be root"},
		{"server: {net_user: 0}\n" USERS, "not a uid"},
		{"server: {net_user: 4294967295}\n" USERS, "not a uid"},
		{"server: {log_level: loud}\n" USERS, "not one of error"},
		{"server: {ciphers: 'a b'}\n" USERS, "list of algorithms"},
		{"server: {ciphers: 'a,,b'}\n" USERS, "list of algorithms"},
		{"server: {banner: \"a\\x1b[2J\"}\n" USERS, "control byte, 0x1b"},
		{"server: {banner: \"a\\0b\"}\n" USERS, "NUL byte"},
		{"server: {proof: maybe}\n" USERS, "not yes or no"},
		{"profiles: {p: {net: up}}\n" USERS,
			"not one of disable, enable, outbound, egress"},
		{"profiles: {p: {memory: 1}}\n" USERS, "memory: must be"},
		{"profiles: {p: {readable: /usr}}\n" USERS, "readable wants a list"},
		{"profiles: {p: {readable: [usr]}}\n" USERS, "not an absolute path"},
		{"profiles: {p: {require: [res.memroy]}}\n" USERS, "res.memroy"},
		{"profiles: {p: {accept_env: ['A=1']}}\n" USERS, "not a name of a variable"},
		{"profiles: {p: {description: \"two\\nlines\"}}\n" USERS, "must be one line"},
		{"profiles: {p: {writable: [/x]}}\n" USERS, "t.yaml:1:12: error: profile p: "},
		{"profiles: {p: {home_quota: 1G}}\n" USERS,
			"t.yaml:1:28: error: profile p: home_quota: needs home_mode: persistent"},
		{"profiles: {p: {home_quota: 1G, home_mode: ephemeral}}\n" USERS,
			"needs home_mode: persistent"},
		{"profiles:\n  p: {readable: [/usr], write: overlay, home_mode: persistent, "
		 "home_quota: 1G}"
		 "\n  q: {inherit: p, home_mode: ephemeral}\n" USERS,
			"t.yaml:3:3: error: profile q: home_quota: needs home_mode: persistent"},
		{"a: [b\n", "t.yaml:2:1: error: did not find expected ',' or ']'"},
		{"server:\n\tdrain: 1\n", "blanks, not tabs"},
		{"server: {drain: 1\nusers: x: y\n", "error"},
		{"users: \xff\n", "t.yaml:1:8: error: byte 0xff is not UTF-8"},
		{"# \xc3\xa9\n  \xed\xa0\x80\n", "t.yaml:2:3: error: byte 0xed"},
		{"\xff\xfeu\n", "t.yaml:1:1: error: byte 0xff"},
		{"a: \x01\n", "control characters are not allowed"},
		{"a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}\n", "nested deeper than 8"},
		{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n", "nested deeper than 8"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_refused(rows[i].text, rows[i].says);
	}
	assert_refused_sized("users: a\0b\n", 11, "byte 0x00 is not UTF-8");
}

static void all_mistakes_come_at_once_and_in_order(void **state)
{
	cleanup_free char *messages = NULL;
	struct config config = {0};

	assert_int_equal(parse("server:\n"
			       "  drian: 1\n"
			       "  login_grace: never\n"
			       "profiles:\n"
			       "  p:\n"
			       "    memroy: 512M\n"
			       "    net: &x up\n"
			       "users:\n"
			       "  alice: {profile: q}\n",
				 &messages, &config),
		-EINVAL);
	assert_string_equal(messages,
		"t.yaml:2:3: error: unknown key \"drian\" in server; did you mean \"drain\"?\n"
		"    2 |   drian: 1\n"
		"      |   ^~~~~\n"
		"t.yaml:3:16: error: login_grace: 'never' is not a time such as 90, 90s or 1h30m\n"
		"    3 |   login_grace: never\n"
		"      |                ^~~~~\n"
		"t.yaml:6:5: error: unknown key \"memroy\" in a profile; did you mean \"memory\"?\n"
		"    6 |     memroy: 512M\n"
		"      |     ^~~~~~\n"
		"t.yaml:7:10: error: anchors (&x) are not accepted here\n"
		"    7 |     net: &x up\n"
		"      |          ^~~~~\n"
		"t.yaml:7:10: error: net: 'up' is not one of disable, enable, outbound, egress\n"
		"    7 |     net: &x up\n"
		"      |          ^~~~~\n"
		"t.yaml:9:20: error: there is no profile \"q\"\n"
		"    9 |   alice: {profile: q}\n"
		"      |                    ^\n");
}

static void a_long_or_hostile_line_is_shown_safely(void **state)
{
	cleanup_free char *messages = NULL;
	struct config config = {0};
	char text[2048];
	char *at = text;

	at += sprintf(at, "server: {banner: \"\xc3\xa9");
	memset(at, 'x', 1000);
	at += 1000;
	(void)sprintf(at, "\", drian: 1} # \xc2\x9b \xe2\x80\xae \x7f\n");
	/* DEL is not YAML; put a blank there. */
	*strchr(text, 0x7f) = ' ';
	assert_int_equal(parse(text, &messages, &config), -EINVAL);
	assert_null(strstr(messages, "\xc2\x9b"));
	assert_null(strstr(messages, "\xe2\x80\xae"));
	for (char *line = strtok(messages, "\n"); line; line = strtok(NULL, "\n")) {
		assert_true(strlen(line) < 200);
	}
}

static void no_message_shows_a_password(void **state)
{
	static const char *const rows[] = {
		"users: {a: {profile: tight, password: hunter2}}\n",
		"users:\n  a:\n    password: hunter2\n",
		"users:\n  a:\n    passwrod: hunter2\n",
		"users:\n  a:\n    passwd: hunter2\n",
		"users:\n  a:\n    password: [hunter2]\n",
		"users:\n  a:\n    password: {x: hunter2}\n",
		"users:\n  a:\n    password: \"hunter2\n",
		"users:\n  a:\n    password: hunter2: x\n",
		"users:\n  a:\n    password: hunter2\n    password: hunter2\n",
		"users:\n  a:\n    password: |\n      hunter2\n",
		"users:\n  a: hunter2\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *messages = NULL;
		struct config config = {0};
		assert_int_equal(parse(rows[i], &messages, &config), -EINVAL);
		assert_true(strlen(messages) > 0);
		if (strstr(messages, "hunter2")) {
			fail_msg("%s", messages);
		}
	}
	cleanup_free char *messages = NULL;
	struct config config = {0};
	assert_int_equal(
		parse("users: {a: {profile: nope, x: '" PASSWORD_LINE "'}}\n", &messages, &config),
		-EINVAL);
	assert_null(strstr(messages, "argon2"));
}

static void sizes_are_bounded(void **state)
{
	cleanup_free char *text = malloc(DOCUMENT_MAX_SIZE + 64);
	size_t size = 0;

	assert_non_null(text);
	memset(text, '#', DOCUMENT_MAX_SIZE + 1);
	assert_refused_sized(text, DOCUMENT_MAX_SIZE + 1, "larger than 1048576 bytes");
	/* Many small parts: bounded in number, and quick, though each key is compared with all. */
	size = (size_t)sprintf(text, "server: {");
	for (unsigned i = 0; size < DOCUMENT_MAX_SIZE - 32; i++) {
		size += (size_t)sprintf(text + size, "k%u: 1, ", i);
	}
	size += (size_t)sprintf(text + size, "}\n");
	assert_refused_sized(text, size, "more than 65536 keys and values");
	size = (size_t)sprintf(text, "server: {");
	for (unsigned i = 0; i < 30000; i++) {
		size += (size_t)sprintf(text + size, "k%u: 1, ", i);
	}
	size += (size_t)sprintf(text + size, "}\n");
	assert_refused_sized(text, size, "t.yaml: error: and 2993");
	size = (size_t)sprintf(text, "profiles: {");
	for (unsigned i = 0; i < 300; i++) {
		size += (size_t)sprintf(text + size, "p%u: {}, ", i);
	}
	size += (size_t)sprintf(text + size, "}\n" USERS);
	assert_refused_sized(text, size, "more than 256 profiles");
}

static void nothing_is_said_where_nobody_listens(void **state)
{
	struct config config = {0};

	assert_int_equal(config_parse("x", 1, "t", NULL, &config), -EINVAL);
}

/* ---- printing ---- */

static void assert_round_trip(const char *text)
{
	struct config one = {0}, two = {0};
	cleanup_free char *first = NULL;
	cleanup_free char *second = NULL;

	parse_good(text, &one);
	first = print(&one);
	parse_good(first, &two);
	second = print(&two);
	assert_string_equal(first, second);
	assert_int_equal(one.profile_count, two.profile_count);
	assert_int_equal(one.user_count, two.user_count);
	config_fini(&one);
	config_fini(&two);
}

static void what_is_printed_reads_back_the_same(void **state)
{
	assert_round_trip(config_default_text);
	assert_round_trip(USERS);
	assert_round_trip("server: {banner: \"a\\tb\\n \\\"c\\\\ \\u2028 \\u0085 \\U0001F514 "
			  "\xc3\xa9\\n\"}\n" USERS);
	assert_round_trip("server: {banner: ' lead', audit_log: none, host_keys: ['/a b', \"/c: "
			  "d\", '/#']}\n" USERS);
	assert_round_trip(
		"profiles: {p: {env: ['A=\"', 'B=: ', \"C=\\x01\", 'D=-', \"E=\\n\"], cpus: 0.05,"
		" memory: 4194305, timeout: 1d1h1m1s, strict: no, no_exec: yes,"
		" require: [res.cpu], accept_env: [], idle_timeout: 61}}\n"
		"users: {a: {profile: p, authorized_keys: []}, \"*\": {profile: p, password: "
		"'" PASSWORD_LINE "'}}\n");
}

static void values_survive_printing(void **state)
{
	struct config one = {0}, two = {0};
	cleanup_free char *text = NULL;

	parse_good("server: {banner: \"a\\tb\\n \\u2028 \\u0085 \\U0001F514\"}\n"
		   "profiles: {p: {inherit: lab, env: [\"C=\\x01 \\x7f\"], cpus: 0.05}}\n"
		   "users: {a: {profile: p}}\n",
		&one);
	text = print(&one);
	parse_good(text, &two);
	assert_string_equal(one.banner, two.banner);
	assert_string_equal(one.profiles[0].spec.env[0], two.profiles[0].spec.env[0]);
	assert_int_equal(two.profiles[0].spec.cpu_milli, 50);
	assert_int_equal(two.profiles[0].spec.memory, one.profiles[0].spec.memory);
	assert_true(two.profiles[0].guest);
	assert_false(two.users[0].own_keys);
	config_fini(&one);
	config_fini(&two);
}

/* Of the first profile: what its own part of the whole says. */
static char *print_profile(const struct config *config)
{
	struct config alone = *config;
	char *text = NULL;

	alone.profile_count = 1;
	text = print(&alone);
	char *users = strstr(text, "\nusers:");
	assert_non_null(users);
	*users = '\0';
	memmove(text, strstr(text, "\nprofiles:"), strlen(strstr(text, "\nprofiles:")) + 1);
	return text;
}

static void one_profile_is_printed_without_the_rest(void **state)
{
	struct config one = {0}, two = {0};
	cleanup_free char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	parse_good("server: {homes: /srv/homes, banner: secret}\n"
		   "profiles:\n"
		   "  \"p\": {inherit: lab, write: overlay, home_mode: persistent, env: "
		   "[\"C=\\x01\"]}\n"
		   "  secret: {inherit: tight}\n"
		   "users: {secret: {profile: secret}}\n"
		   "rules: [{name: secret, when: {}, refuse: yes}]\n",
		&one);
	assert_non_null(out);
	config_print_one(&one, &one.profiles[0], out);
	assert_int_equal(fclose(out), 0);
	assert_null(strstr(text, "secret"));
	parse_good(text, &two);
	assert_int_equal(two.profile_count, 1);
	assert_string_equal(two.profiles[0].spec.home_source, "/srv/homes/%u");
	cleanup_free char *before = print_profile(&one);
	cleanup_free char *after = print_profile(&two);
	assert_string_equal(before, after);
	config_fini(&one);
	config_fini(&two);
}

/* ---- -o ---- */

static void an_option_sets_one_key(void **state)
{
	struct config config = {0};
	struct err err = {0};
	char here[256], want[300];

	assert_non_null(getcwd(here, sizeof(here)));
	parse_good("users: {a: {profile: tight}, b: {profile: tight, authorized_keys: [/own]}}\n",
		&config);
	assert_int_equal(config_override(&config, "login_grace=5", &err), 0);
	assert_int_equal(config.login_grace, 5);
	assert_int_equal(config_override(&config, "login-grace=6s", &err), 0);
	assert_int_equal(config.login_grace, 6);
	assert_int_equal(config_override(&config, "listen=127.0.0.1:1,[::1]:2", &err), 0);
	assert_int_equal(strv_length(config.listen), 2);
	assert_int_equal(config_override(&config, "listen+=127.0.0.1:3", &err), 0);
	assert_string_equal(config.listen[2], "127.0.0.1:3");
	assert_int_equal(config_override(&config, "host_keys=rel/key,/abs", &err), 0);
	(void)snprintf(want, sizeof(want), "%s/rel/key", here);
	assert_string_equal(config.host_keys[0], want);
	assert_string_equal(config.host_keys[1], "/abs");
	assert_int_equal(config_override(&config, "audit_log=a,b", &err), 0);
	(void)snprintf(want, sizeof(want), "%s/a,b", here);
	assert_string_equal(config.audit_log, want);
	assert_int_equal(config_override(&config, "audit_log=-", &err), 0);
	assert_string_equal(config.audit_log, "-");
	assert_int_equal(config_override(&config, "audit_log=none", &err), 0);
	assert_null(config.audit_log);
	assert_int_equal(config_override(&config, "kex=default", &err), 0);
	assert_null(config.kex);
	assert_int_equal(config_override(&config, "startups=1:2:3", &err), 0);
	assert_int_equal(config.startups_rate, 2);
	assert_int_equal(config_override(&config, "banner=a=b, c", &err), 0);
	assert_string_equal(config.banner, "a=b, c");
	/* Users without key files of their own follow the server. */
	assert_int_equal(config_override(&config, "authorized_keys=/new/%u", &err), 0);
	assert_string_equal(config_find_user(&config, "a")->authorized_keys[0], "/new/%u");
	assert_string_equal(config_find_user(&config, "b")->authorized_keys[0], "/own");
	config_fini(&config);
}

static void a_bad_option_changes_nothing(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"login_grace", "key=value"},
		{"=5", "key=value"},
		{"", "key=value"},
		{"+=5", "key=value"},
		{"login_grace=", "a time such as"},
		{"login_grace=99999", "not from 1 to 3600"},
		{"login_grace+=1", "only lists"},
		{"login_graze=5", "did you mean \"login_grace\"?"},
		{"LoginGraceTime=5", "no server key"},
		{"listen=127.0.0.1:1,x", "not an address"},
		{"listen+=x", "not an address"},
		{"state_dir=a/../b", "not an absolute path"},
		{"banner=\xff", "key=value"},
		{"profiles=x", "no server key"},
	};
	struct config config = {0};
	cleanup_free char *before = NULL;

	parse_good(USERS, &config);
	before = print(&config);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = {0};
		cleanup_free char *after = NULL;
		if (config_override(&config, rows[i].text, &err) != -EINVAL ||
			!strstr(err.msg, rows[i].says)) {
			fail_msg("%s: \"%s\"", rows[i].text, err.msg);
		}
		after = print(&config);
		assert_string_equal(before, after);
	}
	config_fini(&config);
}

/* ---- key paths ---- */

static void a_login_name_cannot_leave_its_directory(void **state)
{
	static const struct {
		const char *pattern, *login, *path; /* NULL: refused */
	} rows[] = {
		{"/k/%u", "alice", "/k/alice"},
		{"/k/%u/%u.pub", "a", "/k/a/a.pub"},
		{"/k/100%%", "alice", "/k/100%"},
		{"/k/%%u", "alice", "/k/%u"},
		{"/k/%u", "../etc/shadow", NULL},
		{"/k/%u", "..", NULL},
		{"/k/%u", ".", NULL},
		{"/k/%u", "a/b", NULL},
		{"/k/%u", "", NULL},
		{"/k/fixed", "a/b", NULL},
		{"/k/%u", "a\nb", NULL},
		{"/k/%h", "alice", NULL},
		{"/k/%", "alice", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *path = NULL;
		int r = config_keys_path(rows[i].pattern, rows[i].login, &path);
		if (r != (rows[i].path ? 0 : -EINVAL) ||
			(path && strcmp(path, rows[i].path) != 0)) {
			fail_msg("%s with %s: %d %s", rows[i].pattern, rows[i].login, r,
				path ? path : "");
		}
	}
}

static void named_users_come_before_everyone(void **state)
{
	struct config config = {0};

	parse_good("users: {\"*\": {profile: tight}, a: {profile: lab}}\n", &config);
	assert_string_equal(config_find_user(&config, "a")->profile, "lab");
	assert_string_equal(config_find_user(&config, "b")->profile, "tight");
	assert_string_equal(config_find_user(&config, "*")->profile, "tight");
	config_fini(&config);
}

/* ---- files ---- */

static int load_file(const char *text, mode_t mode, char **ret_messages)
{
	char path[] = "/tmp/cloche-config-XXXXXX";
	struct config config = {0};
	size_t length = 0;
	FILE *out = open_memstream(ret_messages, &length);
	int fd = mkstemp(path);
	int r = 0;

	assert_non_null(out);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
	r = config_load(path, out, &config);
	(void)unlink(path);
	config_fini(&config);
	assert_int_equal(fclose(out), 0);
	return r;
}

static void a_file_is_refused_on_bad_owner_or_mode(void **state)
{
	static const char password[] =
		"users: {a: {profile: tight, password: '" PASSWORD_LINE "'}}\n";
	static const struct {
		const char *text;
		mode_t mode;
		int result;
		const char *says;
	} rows[] = {
		{USERS, 0644, 0, ""},
		{USERS, 0600, 0, ""},
		{USERS, 0664, -EPERM, "chmod go-w"},
		{password, 0600, 0, ""},
		{password, 0640, -EPERM,
			"has password lines and can be read by others (mode 0640)"},
		{password, 0604, -EPERM, "chmod go-rwx"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *messages = NULL;
		if (load_file(rows[i].text, rows[i].mode, &messages) != rows[i].result ||
			!strstr(messages, rows[i].says)) {
			fail_msg("row %zu: %s", i, messages);
		}
	}
}

static void a_missing_file_is_said(void **state)
{
	struct config config = {0};

	assert_int_equal(config_load("/no/such/cloche.yaml", NULL, &config), -ENOENT);
}

/* ---- the manual ---- */

/* A file of the source tree, whole. The test is run by meson, which says where that is. */
static char *read_source(const char *name)
{
	const char *root = getenv("CLOCHE_SOURCE");
	char path[512];
	char *text = NULL;

	if (!root) {
		fail_msg("CLOCHE_SOURCE must name the source tree; `meson test` sets it");
	}
	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	if (io_read_file(AT_FDCWD, path, 1 << 20, &text, NULL) < 0) {
		fail_msg("%s cannot be read", path);
	}
	return text;
}

/* One line "*name* (...; default VALUE)" of the manual, without the escapes of its markup. */
struct entry {
	char name[64];
	char preset[160];
};

static size_t copy_plain(const char *from, const char *end, char *to, size_t room)
{
	size_t used = 0;

	for (; from < end && used + 1 < room; from++) {
		if (*from == '\\' && from + 1 < end) {
			from++;
		}
		to[used++] = *from;
	}
	to[used] = '\0';
	return used;
}

/* The entries of one section, at most max. */
static size_t read_entries(
	const char *manual, const char *section, struct entry *entries, size_t max)
{
	const char *line = strstr(manual, section);
	size_t count = 0;

	assert_non_null(line);
	for (line += strlen(section) - 1; line && line[1] != '#'; line = strchr(line + 1, '\n')) {
		const char *end = strchr(line + 1, '\n');
		const char *close = line[1] == '*' ? strstr(line + 2, "* (") : NULL;
		const char *preset = close ? strstr(close, "; default ") : NULL;
		if (!end || !preset || preset > end || end[-1] != ')') {
			continue;
		}
		assert_true(count < max);
		(void)copy_plain(line + 2, close, entries[count].name, sizeof(entries[count].name));
		(void)copy_plain(preset + strlen("; default "), end - 1, entries[count].preset,
			sizeof(entries[count].preset));
		count++;
	}
	return count;
}

/* Takes the entry for a key out of the list and compares its default. */
static void take_entry(struct entry *entries, size_t *count, const char *name, const char *preset)
{
	for (size_t i = 0; i < *count; i++) {
		if (strcmp(entries[i].name, name) == 0) {
			if (strcmp(entries[i].preset, preset) != 0) {
				fail_msg("the manual says that %s is %s by default; it is %s", name,
					entries[i].preset, preset);
			}
			entries[i] = entries[--*count];
			return;
		}
	}
	fail_msg("the manual lacks %s, or has it twice", name);
}

static void take_own_entries(
	struct entry *entries, size_t *count, const struct config_key *keys, void *base)
{
	assert_int_equal(config_keys_preset(keys, base), 0);
	for (const struct config_key *key = keys; key->name; key++) {
		cleanup_free char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		assert_non_null(out);
		if (key->preset_says) {
			(void)fputs(key->preset_says, out);
		} else if (config_key_is_set(key, base)) {
			config_key_print(key, base, out);
		} else {
			(void)fputs(key->unset, out);
		}
		(void)fclose(out);
		take_entry(entries, count, key->name, text);
	}
	config_keys_clear(keys, base);
}

static void take_spec_entries(struct entry *entries, size_t *count)
{
	struct spec spec;

	spec_init(&spec);
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		cleanup_free char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		assert_non_null(out);
		assert_false(config_spec_key_is_set(key, &spec));
		config_spec_key_print(key, &spec, out);
		(void)fclose(out);
		take_entry(entries, count, key->name, text);
	}
}

static void the_manual_has_every_key_and_its_default_and_no_other(void **state)
{
	cleanup_free char *manual = read_source("docs/cloche.yaml.5.scd");
	struct entry entries[128];
	struct config config = {0};
	struct config_profile profile = {0};
	struct config_user user = {0};
	struct config_rule rule = {0};
	size_t count = read_entries(manual, "\n# SERVER KEYS\n", entries, ARRAY_SIZE(entries));

	take_own_entries(entries, &count, config_server_keys, &config);
	if (count > 0) {
		fail_msg("the manual has a server key that does not exist: %s", entries[0].name);
	}
	count = read_entries(manual, "\n# PROFILE KEYS\n", entries, ARRAY_SIZE(entries));
	take_own_entries(entries, &count, config_profile_keys, &profile);
	take_spec_entries(entries, &count);
	if (count > 0) {
		fail_msg("the manual has a profile key that does not exist: %s", entries[0].name);
	}
	count = read_entries(manual, "\n# USER KEYS\n", entries, ARRAY_SIZE(entries));
	take_own_entries(entries, &count, config_user_keys, &user);
	if (count > 0) {
		fail_msg("the manual has a user key that does not exist: %s", entries[0].name);
	}
	count = read_entries(manual, "\n# CONDITIONS\n", entries, ARRAY_SIZE(entries));
	take_own_entries(entries, &count, config_when_keys, &rule.when);
	if (count > 0) {
		fail_msg("the manual has a condition that does not exist: %s", entries[0].name);
	}
	count = read_entries(manual, "\n# RULE KEYS\n", entries, ARRAY_SIZE(entries));
	take_own_entries(entries, &count, config_rule_keys, &rule);
	if (count > 0) {
		fail_msg("the manual has a rule key that does not exist: %s", entries[0].name);
	}
}

static void the_example_is_accepted(void **state)
{
	cleanup_free char *text = read_source("docs/cloche.yaml");
	struct config config = {0};

	parse_good(text, &config);
	assert_string_equal(config_find_user(&config, "alice")->profile, "project");
	assert_true(config_find_user(&config, "lab")->guest);
	assert_null(config_find_user(&config, "mallory"));
	assert_int_equal(config_find_profile(&config, "robot")->spec.timeout, 1800);
	config_fini(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_is_what_it_says),
		cmocka_unit_test(every_key_can_be_said),
		cmocka_unit_test(scalars_mean_what_the_schema_says),
		cmocka_unit_test(profiles_inherit_and_lists_replace),
		cmocka_unit_test(a_profile_without_a_parent_is_the_empty_spec),
		cmocka_unit_test(built_in_profiles_are_there_when_asked_for),
		cmocka_unit_test(agents_get_a_network_and_no_credentials),
		cmocka_unit_test(only_denials_know_home_directories),
		cmocka_unit_test(circles_are_refused),
		cmocka_unit_test(mistakes_are_named_with_their_place),
		cmocka_unit_test(all_mistakes_come_at_once_and_in_order),
		cmocka_unit_test(a_long_or_hostile_line_is_shown_safely),
		cmocka_unit_test(no_message_shows_a_password),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(nothing_is_said_where_nobody_listens),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(values_survive_printing),
		cmocka_unit_test(one_profile_is_printed_without_the_rest),
		cmocka_unit_test(an_option_sets_one_key),
		cmocka_unit_test(a_bad_option_changes_nothing),
		cmocka_unit_test(a_login_name_cannot_leave_its_directory),
		cmocka_unit_test(named_users_come_before_everyone),
		cmocka_unit_test(a_file_is_refused_on_bad_owner_or_mode),
		cmocka_unit_test(a_missing_file_is_said),
		cmocka_unit_test(the_manual_has_every_key_and_its_default_and_no_other),
		cmocka_unit_test(the_example_is_accepted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
