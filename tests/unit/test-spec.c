#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/spec.h"
#include "base/cleanup.h"

static int setup(void **state)
{
	struct spec *spec = calloc(1, sizeof(*spec));

	spec_init(spec);
	if (strv_append(&spec->args, "true") < 0) {
		return -1;
	}
	*state = spec;
	return 0;
}

static int teardown(void **state)
{
	spec_fini(*state);
	free(*state);
	return 0;
}

static int set(struct spec *spec, const char *name, const char *text, struct err *err)
{
	const struct spec_key *key = spec_find_key(name);

	assert_non_null(key);
	return spec_set(spec, key, text, err);
}

/* "key=value;key=value" */
static void set_all(struct spec *spec, const char *assignments)
{
	char *copy = strdup(assignments);

	for (char *rest = copy, *item = NULL; (item = strsep(&rest, ";"));) {
		char *value = strchr(item, '=');
		struct err err = {0};
		if (!*item) {
			continue;
		}
		*value++ = '\0';
		if (set(spec, item, value, &err) < 0) {
			fail_msg("%s=%s: %s", item, value, err.msg);
		}
	}
	free(copy);
}

static void the_zero_spec_is_tight(void **state)
{
	const struct spec *spec = *state;
	char text[200];

	assert_int_equal(spec_validate(spec, NULL), 0);
	capability_set_format(spec_capabilities(spec), text, sizeof(text));
	assert_string_equal(text, "fs.read.host, fs.write.deny, net.disable");
}

static void keys_are_found_with_dashes_and_suggested(void **state)
{
	assert_ptr_equal(spec_find_key("read-deny"), spec_find_key("read_deny"));
	assert_null(spec_find_key("read"));
	assert_null(spec_find_key("args"));
	assert_string_equal(spec_suggest_key("hostnam"), "hostname");
	assert_string_equal(spec_suggest_key("read-dney"), "read_deny");
	assert_null(spec_suggest_key("perpetuum"));
}

static void a_bad_value_is_refused_in_one_line_and_changes_nothing(void **state)
{
	static const struct {
		const char *key, *text, *says;
	} rows[] = {
		{"net", "enabled",
			"net: 'enabled' is not one of disable, enable, outbound, egress"},
		{"write", "", "is not one of none"},
		{"no_exec", "maybe", "yes or no"},
		{"memory", "-1", "number of bytes"},
		{"memory", "1K", "must be 0 (none) or from 4194304"},
		{"memory", "99999999999T", "fits"},
		{"pids", "4294967296", "from 1 to 4194304"},
		{"pids", "1.5", "whole number"},
		{"cpus", "0.001", "from 0.01 to 1024"},
		{"cpus", "half", "number of processors"},
		{"timeout", "1y", "1h30m"},
		{"readable", "relative", "not an absolute path"},
		{"readable", " ", "readable: a blank value"},
		{"writable", "/a/../b", "not an absolute path"},
		{"dir", "", "blank"},
		{"env", "PATH", "NAME=VALUE"},
		{"env", "=x", "NAME=VALUE"},
		{"env_deny", "[A-", "without ']'"},
		{"env_deny", "A\\", "backslash"},
		{"env_allow", "A=B", "not values"},
		{"env_allow", "", "blank"},
		{"hostname", "a b", "not a name"},
		{"user", "-x", "not a name"},
		{"inbound", "0", "port from 1"},
		{"egress", "exa mple:80", "host[:port]"},
		{"egress", "example.org:99999", "port from 1"},
		{"require", "net.disabled", "did you mean 'net.disable'"},
		{"refuse_on", "res.memory.nocgroup", "no caveat"},
		{"refuse_on", "bogus.*", "no caveat"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec *spec = *state;
		struct err err = {0};
		char *before = spec_to_json(spec);
		char *after = NULL;
		assert_int_equal(set(spec, rows[i].key, rows[i].text, &err), -EINVAL);
		if (!strstr(err.msg, rows[i].says) || strchr(err.msg, '\n')) {
			fail_msg("%s=%s: %s", rows[i].key, rows[i].text, err.msg);
		}
		after = spec_to_json(spec);
		assert_string_equal(before, after);
		free(before);
		free(after);
	}
}

static void good_values_are_taken(void **state)
{
	struct spec *spec = *state;

	set_all(spec,
		"memory=1G;cpus=1.5;timeout=1h30m;pids=64;disk=64K;memory=0;memory=512M;"
		"readable=/usr//share/./doc/;egress=example.org:443;egress=10.0.0.0/8:53;"
		"egress=[2001:db8::1]:22;egress=2001:db8::/32;refuse_on=missing;"
		"refuse_on=landlock.*;refuse_on=id.single_uid;env_deny=[]a]*;env_deny=[!A-Z]");
	assert_int_equal(spec->memory, 512 << 20);
	assert_int_equal(spec->cpu_milli, 1500);
	assert_int_equal(spec->timeout, 5400);
	assert_int_equal(spec->disk, 65536);
	assert_string_equal(spec->readable[0], "/usr/share/doc");
	assert_int_equal(strv_length(spec->egress), 4);
}

static void rules_between_keys_are_checked(void **state)
{
	static const struct {
		const char *assignments, *says;
	} rows[] = {
		{"writable=/srv", "writable: needs write scope or overlay; write is none"},
		{"write=ephemeral;writable=/srv", "write is ephemeral"},
		{"write=ephemeral;allow_temp=yes", "allow_temp: needs write scope or overlay"},
		{"write=scope", "scope needs a writable path"},
		{"egress=a:1", "egress: needs net egress"},
		{"inbound=80", "inbound: needs a network"},
		{"readable=/srv/a;dir=/srv/ab", "below none of the readable"},
		{"root=directory", "needs root_path"},
		{"root=image", "needs root_path"},
		{"root=image;root_path=/a;image=b", "one of them"},
		{"image=b", "needs root image"},
		{"root_path=/srv/root", "needs root directory"},
		{"strict=yes", "readable"},
		{"strict=yes;readable=/usr;no_exec=yes", "proc.no_exec"},
		{"strict=yes;readable=/usr;disk=1M", "res.disk"},
		{"strict=yes;readable=/usr;require=kernel.filter", "kernel.filter"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec spec = {0};
		struct err err = {0};
		assert_int_equal(spec_copy(*state, &spec), 0);
		set_all(&spec, rows[i].assignments);
		if (spec_validate(&spec, &err) != -EINVAL || !strstr(err.msg, rows[i].says)) {
			fail_msg("%s: %s", rows[i].assignments, err.msg);
		}
		spec_fini(&spec);
	}
}

static void legal_combinations_are_let_through(void **state)
{
	static const char *const rows[] = {
		"write=scope;writable=/srv",
		"write=scope;allow_temp=yes",
		"write=overlay",
		"write=overlay;writable=/srv;allow_temp=yes",
		"net=egress",
		"net=enable;inbound=8080",
		"readable=/srv/a;dir=/srv/a/b",
		"readable=/srv/a;write=scope;writable=/srv/b;dir=/srv/b",
		"readable=/srv/a;dir=/home/user",
		"readable=/srv;dir=/srv",
		"dir=/anywhere",
		"root=directory;root_path=/srv/root",
		"root=image;root_path=/srv/root.img;ids=single",
		"strict=yes;readable=/usr;memory=1G;write=ephemeral;env_deny=*_TOKEN",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec spec = {0};
		struct err err = {0};
		assert_int_equal(spec_copy(*state, &spec), 0);
		set_all(&spec, rows[i]);
		if (spec_validate(&spec, &err) < 0) {
			fail_msg("%s: %s", rows[i], err.msg);
		}
		spec_fini(&spec);
	}
}

static void a_command_is_needed(void **state)
{
	struct spec spec = {0};
	struct err err = {0};

	assert_int_equal(spec_validate(&spec, &err), -EINVAL);
	assert_string_equal(err.msg, "no command was given");
	assert_int_equal(strv_append(&spec.args, ""), 0);
	assert_int_equal(spec_validate(&spec, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "empty"));
	spec_fini(&spec);
}

static void values_filled_by_hand_are_checked_too(void **state)
{
	struct spec *spec = *state;
	struct err err = {0};

	assert_int_equal(strv_append(&spec->read_deny, "etc/shadow"), 0);
	assert_int_equal(spec_validate(spec, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "read_deny: 'etc/shadow'"));
	spec_clear(spec, spec_find_key("read_deny"));
	spec->pids = UINT64_MAX;
	assert_int_equal(spec_validate(spec, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "pids"));
}

static void capabilities_follow_the_keys(void **state)
{
	static const struct {
		const char *assignments, *names;
	} rows[] = {
		{"net=outbound", "fs.read.host, fs.write.deny, net.outbound"},
		{"write=overlay", "fs.read.host, fs.write.ephemeral, fs.write.scope, net.disable"},
		{"readable=/srv;read_deny=/srv/x",
			"fs.read.deny, fs.read.scope, fs.write.deny, net.disable"},
		{"env_allow=PATH", "env.scrub, fs.read.host, fs.write.deny, net.disable"},
		{"no_exec=yes;mach_allow=x",
			"fs.read.host, fs.write.deny, mach.restrict, net.disable, proc.no_exec"},
		{"cpus=1;memory=1G;pids=9;disk=1M;timeout=9",
			"fs.read.host, fs.write.deny, net.disable, res.cpu, res.disk, res.memory, "
			"res.pids, res.time"},
		{"net=egress;inbound=80", "fs.read.host, fs.write.deny, net.egress, net.inbound"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec spec = {0};
		char text[300];
		set_all(&spec, rows[i].assignments);
		assert_string_equal(
			capability_set_format(spec_capabilities(&spec), text, sizeof(text)),
			rows[i].names);
		spec_fini(&spec);
	}
}

static void every_key_survives_json(void **state)
{
	struct spec *spec = *state;
	struct spec back = {0};
	struct err err = {0};
	char *first = NULL;
	char *second = NULL;

	set_all(spec,
		"net=egress;egress=a.example:1;inbound=22;write=overlay;writable=/w;readable=/r;"
		"read_deny=/d;allow_temp=yes;env=A=b;env_allow=A*;env_deny=B;no_exec=yes;"
		"mach_allow=m;cpus=0.25;memory=1G;pids=7;disk=1M;timeout=60;strict=yes;dir=/r;"
		"root=directory;root_path=/root2;ids=range;hostname=h;user=u;home=/home/u;shell=/"
		"bin/sh;"
		"require=net.egress,res.cpu;refuse_on=missing;backend=native");
	assert_int_equal(strv_append(&spec->args, ""), 0);
	assert_int_equal(strv_append(&spec->args, "\x01\"\\\n\xc3\xa9"), 0);
	/* No valid spec has both, and no key may be lost. */
	set_all(spec, "image=cloche-base:1");
	first = spec_to_json(spec);
	assert_non_null(first);
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		char quoted[64];
		(void)snprintf(quoted, sizeof(quoted), "\"%s\":", key->name);
		if (!strstr(first, quoted)) {
			fail_msg("%s is not in %s", key->name, first);
		}
	}
	if (spec_from_json(first, &back, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	second = spec_to_json(&back);
	assert_string_equal(first, second);
	assert_int_equal(spec_capabilities(spec).bits, spec_capabilities(&back).bits);
	free(first);
	free(second);
	spec_fini(&back);
}

static void json_is_read_strictly(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "line 1"},
		{"[]", "object"},
		{"{\"net\":\"disable\",\"net\":\"enable\"}", "duplicate"},
		{"{\"wirte\":\"none\"}", "did you mean 'write'"},
		{"{\"no_exec\":\"yes\"}", "true or false"},
		{"{\"pids\":true}", "whole number"},
		{"{\"pids\":1.5}", "whole number"},
		{"{\"pids\":-1}", "whole number"},
		{"{\"readable\":\"/usr\"}", "a list of texts"},
		{"{\"readable\":[1]}", "a list of texts"},
		{"{\"dir\":[]}", "a text"},
		{"{\"args\":\"ls\"}", "a list of texts"},
		{"{\"memory\":null}", "number of bytes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec spec = {0};
		struct err err = {0};
		assert_int_equal(spec_from_json(rows[i].text, &spec, &err), -EINVAL);
		if (!strstr(err.msg, rows[i].says)) {
			fail_msg("%s: %s", rows[i].text, err.msg);
		}
	}
}

static void json_takes_numbers_with_and_without_units(void **state)
{
	struct spec spec = {0};
	struct err err = {0};

	if (spec_from_json("{\"memory\":\"1G\",\"cpus\":0.5,\"timeout\":90,\"pids\":3}", &spec,
		    &err) < 0) {
		fail_msg("%s", err.msg);
	}
	assert_int_equal(spec.memory, 1 << 30);
	assert_int_equal(spec.cpu_milli, 500);
	assert_int_equal(spec.timeout, 90);
	assert_int_equal(spec.pids, 3);
	spec_fini(&spec);
}

static void the_environment_is_filtered_sorted_and_unique(void **state)
{
	static const struct {
		const char *assignments, *expected;
	} rows[] = {
		{"", ""},
		{"env=B=2;env=A1=1;env=A=0", "A=0 A1=1 B=2"},
		{"env=A=1;env=B=1;env=A=2;env=A=3", "A=3 B=1"},
		{"env=A_TOKEN=x;env=HOME=/h;env=PATH=/b;env_allow=HOME;env_allow=*_TOKEN;env_deny="
		 "*_TOKEN",
			"HOME=/h"},
		{"env=A=SECRET;env_deny=SECRET", "A=SECRET"},
		{"env=A=1;env_allow=B", ""},
		{"env=A=x=y;env=A==", "A=="},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec spec = {0};
		char **list = NULL;
		char *joined = NULL;
		set_all(&spec, rows[i].assignments);
		assert_int_equal(spec_environment(&spec, &list), 0);
		joined = strv_join(list, " ");
		assert_string_equal(joined, rows[i].expected);
		free(joined);
		strv_free(list);
		spec_fini(&spec);
	}
}

static void a_copy_shares_nothing(void **state)
{
	struct spec *spec = *state;
	struct spec copy = {0};

	set_all(spec, "write=scope;writable=/w;hostname=h;memory=1G");
	assert_int_equal(spec_copy(spec, &copy), 0);
	set_all(&copy, "writable=/x;hostname=i");
	assert_int_equal(strv_length(spec->writable), 1);
	assert_int_equal(strv_length(copy.writable), 2);
	assert_string_equal(spec->hostname, "h");
	assert_int_equal(copy.memory, 1 << 30);
	assert_string_equal(copy.args[0], "true");
	assert_ptr_not_equal(copy.args[0], spec->args[0]);
	spec_fini(&copy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void paths_of_windows_need_its_backend_by_name(void **state)
{
	static const struct {
		const char *assignments;
		const char *complaint; /* NULL: accepted */
	} rows[] = {
		{"backend=appcontainer;readable=C:\\work;dir=c:\\WORK\\a", NULL},
		{"readable=C:\\;dir=C:\\x;backend=appcontainer", NULL},
		{"readable=C:\\work", "only backend appcontainer"},
		{"readable=C:\\work;backend=auto", "only backend appcontainer"},
		{"read_deny=C:\\work;backend=native", "only backend appcontainer"},
		{"readable=/work;backend=appcontainer", "no path of Windows"},
		{"readable=C:\\work;dir=C:\\workshop;backend=appcontainer", "below none"},
		{"readable=C:\\work;dir=D:\\work;backend=appcontainer", "below none"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = {0};
		struct spec spec = {0};
		assert_int_equal(strv_append(&spec.args, "true"), 0);
		set_all(&spec, rows[i].assignments);
		int r = spec_validate(&spec, &err);
		if (r != (rows[i].complaint ? -EINVAL : 0) ||
			(rows[i].complaint && !strstr(err.msg, rows[i].complaint))) {
			fail_msg("%s: %d %s", rows[i].assignments, r, err.msg);
		}
		spec_fini(&spec);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_of_windows_need_its_backend_by_name),
		TEST(the_zero_spec_is_tight),
		TEST(keys_are_found_with_dashes_and_suggested),
		TEST(a_bad_value_is_refused_in_one_line_and_changes_nothing),
		TEST(good_values_are_taken),
		TEST(rules_between_keys_are_checked),
		TEST(legal_combinations_are_let_through),
		TEST(a_command_is_needed),
		TEST(values_filled_by_hand_are_checked_too),
		TEST(capabilities_follow_the_keys),
		TEST(every_key_survives_json),
		TEST(json_is_read_strictly),
		TEST(json_takes_numbers_with_and_without_units),
		TEST(the_environment_is_filtered_sorted_and_unique),
		TEST(a_copy_shares_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
