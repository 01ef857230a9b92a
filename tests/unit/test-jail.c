/*
 * What is written for a jail is read back by small readers of the four grammars (jail.conf, fstab,
 * rctl, pf), written from their manuals: they must find exactly what was put in, and nothing else.
 */
#include "tests/test.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "base/parse.h"
#include "base/strv.h"

static int try_spec(const struct spec *spec, struct plan **ret, struct err *err)
{
	struct host host = {0};
	int r = spec_validate(spec, err);

	return r < 0 ? r : backend_compile(&backend_jail, spec, &host, 0, ret, err);
}

static struct plan *compile(const char *json)
{
	struct plan *plan = NULL;
	struct spec spec = {0};
	struct err err = {0};

	if (spec_from_json(json, &spec, &err) < 0 || try_spec(&spec, &plan, &err) < 0) {
		fail_msg("%s: %s", json, err.msg);
	}
	spec_fini(&spec);
	return plan;
}

static void expect_refusal(const char *json, const char *says)
{
	struct plan *plan = NULL;
	struct spec spec = {0};
	struct err err = {0};
	int r = spec_from_json(json, &spec, &err);

	r = r < 0 ? r : try_spec(&spec, &plan, &err);
	if (r == 0 || !strstr(err.msg, says)) {
		fail_msg("%s: %s, not '%s'", json, r ? err.msg : "taken", says);
	}
	spec_fini(&spec);
}

static const char *file_of(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->file_count; i++) {
		if (strcmp(plan->files[i].name, name) == 0) {
			return plan->files[i].content;
		}
	}
	return NULL;
}

/* ---- jail.conf: NAME { parameter; parameter = 'value'; } ---- */

/* Appends "parameter" or "parameter=value" to ret. NULL: the text is no such file. */
static char **read_conf(const char *text)
{
	char **list = NULL;
	char word[256];
	int used = 0;

	if (sscanf(text, "cloche-{id} {%n", &used) < 0 || used == 0) {
		return NULL;
	}
	for (text += used;; text++) {
		text += strspn(text, " \t\n");
		if (*text == '}') {
			return strcmp(text, "}\n") == 0 ? list : strv_free(list);
		}
		size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._");
		if (length == 0 || length >= sizeof(word)) {
			return strv_free(list);
		}
		(void)snprintf(word, sizeof(word), "%.*s", (int)length, text);
		text += length;
		if (strncmp(text, " = ", 3) == 0) {
			text += 3;
			bool quoted = *text == '\'';
			length = quoted ? strcspn(text + 1, "'\n") : strspn(text, "0123456789");
			text += quoted;
			if (length == 0 || (quoted && text[length] != '\'')) {
				return strv_free(list);
			}
			(void)strv_appendf(&list, "%s=%.*s", word, (int)length, text);
			text += length + quoted;
		} else {
			(void)strv_append(&list, word);
		}
		if (*text != ';') {
			return strv_free(list);
		}
	}
}

/* ---- fstab: six fields between blanks, octal escapes ---- */

struct entry {
	char source[512], target[512], type[32], options[128];
};

/* The next field of *at, decoded as strunvis(3) does for \ooo; any other backslash is an error. */
static bool read_field(const char **at, char *out, size_t size)
{
	size_t used = 0;

	*at += strspn(*at, " \t");
	while (**at && !isspace((unsigned char)**at)) {
		unsigned byte = (unsigned char)**at;
		if (byte == '\\') {
			if (sscanf(*at + 1, "%3o", &byte) != 1 || byte == 0 || byte > 255) {
				return false;
			}
			*at += 3;
		}
		(*at)++;
		if (used + 1 >= size) {
			return false;
		}
		out[used++] = (char)byte;
	}
	out[used] = '\0';
	return used > 0 && out[0] != '#';
}

/* Returns how many entries, or -1 for a text that is no fstab. */
static int read_fstab(const char *text, struct entry *list, int room)
{
	int count = 0;

	while (*text) {
		struct entry *entry = &list[count++];
		char zero[2][8];
		if (count > room || !read_field(&text, entry->source, sizeof(entry->source)) ||
			!read_field(&text, entry->target, sizeof(entry->target)) ||
			!read_field(&text, entry->type, sizeof(entry->type)) ||
			!read_field(&text, entry->options, sizeof(entry->options)) ||
			!read_field(&text, zero[0], sizeof(zero[0])) ||
			!read_field(&text, zero[1], sizeof(zero[1])) || *text != '\n') {
			return -1;
		}
		text++;
	}
	return count;
}

static const struct entry *find_entry(const struct entry *list, int count, const char *target)
{
	const struct entry *found = NULL;

	for (int i = 0; i < count; i++) {
		if (strncmp(list[i].target, "{dir}/root", 10) == 0 &&
			strcmp(list[i].target + 10, target) == 0) {
			found = &list[i]; /* the last one covers the others */
		}
	}
	return found;
}

/* ---- rctl: subject:id:resource:action=amount ---- */

static bool read_rctl(const char *text)
{
	static const char *const resources[] = {
		"memoryuse", "swapuse", "maxproc", "nthr", "pcpu", NULL};

	while (*text) {
		char resource[32];
		unsigned long long amount = 0;
		bool known = false;
		int used = 0;
		if (sscanf(text, "jail:cloche-{id}:%31[a-z]:deny=%llu%n", resource, &amount,
			    &used) != 2 ||
			amount == 0 || text[used] != '\n') {
			return false;
		}
		for (size_t i = 0; resources[i]; i++) {
			known |= strcmp(resource, resources[i]) == 0;
		}
		if (!known) {
			return false;
		}
		text += used + 1;
	}
	return true;
}

/* ---- pf ---- */

static bool take(const char **at, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(*at, word, length) != 0) {
		return false;
	}
	*at += length;
	return true;
}

static bool take_network(const char **at)
{
	size_t length = strspn(*at, "0123456789./");

	*at += length;
	return length >= strlen("0.0.0.0/0");
}

static bool take_port(const char **at)
{
	char number[8] = "";
	uint64_t port = 0;

	if (!take(at, " port ")) {
		return true;
	}
	size_t length = strspn(*at, "0123456789");
	(void)snprintf(number, sizeof(number), "%.*s", (int)length, *at);
	*at += length;
	return parse_range(number, 1, 65535, &port) == 0;
}

/* One line of the few forms we write; in the order pf asks for: tables, nat, filter. */
static bool read_pf_line(const char *at, int *stage)
{
	if (take(&at, "table <local> const {")) {
		while (take(&at, " ") && *at != '}') {
			if (!take_network(&at)) {
				return false;
			}
		}
		return *stage == 0 && strcmp(at, "}") == 0;
	}
	if (strcmp(at, "nat on $ext inet from $inside to any -> ($ext)") == 0) {
		return (*stage)++ == 0;
	}
	if (*stage == 0) {
		return false;
	}
	if (take(&at, "block drop ")) {
		if (strcmp(at, "quick on $if all") == 0) {
			*stage = 2;
			return true;
		}
		return *stage == 1 &&
			(strcmp(at, "quick on $if inet6 all") == 0 ||
				strcmp(at, "in quick on $if inet from ! $inside to any") == 0 ||
				strcmp(at, "in quick on $if inet from any to <local>") == 0 ||
				strcmp(at, "in quick on $if inet from any to (self)") == 0);
	}
	if (*stage != 1) {
		return false; /* nothing stands behind the last block */
	}
	if (take(&at, "pass out quick on $if inet proto tcp from any to $inside")) {
		return *at == ' ' && take_port(&at) && strcmp(at, " keep state") == 0;
	}
	if (take(&at, "pass in quick on $if inet proto { tcp udp icmp } from $inside to any")) {
		return strcmp(at, " keep state") == 0;
	}
	return take(&at, "pass in quick on $if inet proto { tcp udp } from $inside to ") &&
		take_network(&at) && take_port(&at) && strcmp(at, " keep state") == 0;
}

static bool read_pf(const char *text)
{
	char *copy = strdup(text);
	int stage = 0;
	bool good = true;

	for (char *line = strtok(copy, "\n"); line && good; line = strtok(NULL, "\n")) {
		good = read_pf_line(line, &stage);
	}
	free(copy);
	return good && stage == 2;
}

/* Everything of a plan can be read back. */
static void check_plan(const struct plan *plan)
{
	struct entry entries[64];
	char **conf = read_conf(file_of(plan, "jail.conf"));
	const char *pf = file_of(plan, "pf.conf");

	if (!conf) {
		fail_msg("jail.conf: %s", file_of(plan, "jail.conf"));
	}
	strv_free(conf);
	if (read_fstab(file_of(plan, "fstab"), entries, ARRAY_SIZE(entries)) < 0) {
		fail_msg("fstab: %s", file_of(plan, "fstab"));
	}
	if (!read_rctl(file_of(plan, "rctl.conf"))) {
		fail_msg("rctl.conf: %s", file_of(plan, "rctl.conf"));
	}
	if (pf && !read_pf(pf)) {
		fail_msg("pf.conf: %s", pf);
	}
	assert_int_equal(capability_set_sub(plan->uses, backend_jail.enforces).bits, 0);
	assert_false(plan->executable_here);
	assert_true(plan_has_caveat(plan, "backend.never_executed"));
}

/* ---- tests ---- */

static void all_that_a_jail_may_not_do_is_off(void **state)
{
	static const char *const wanted[] = {"path={dir}/root", "host.hostname=lab",
		"mount.fstab={dir}/fstab", "devfs_ruleset=4", "enforce_statfs=2", "children.max=0",
		"securelevel=3", "sysvmsg=new", "sysvsem=new", "sysvshm=new", "exec.clean",
		"persist", "allow.noraw_sockets", "allow.nomount", "allow.noset_hostname",
		"ip4=disable", "ip6=disable"};
	struct plan *plan = compile("{\"args\":[\"sh\"],\"hostname\":\"lab\"}");
	char **conf = read_conf(file_of(plan, "jail.conf"));

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!strv_contains(conf, wanted[i])) {
			fail_msg("no %s", wanted[i]);
		}
	}
	for (size_t i = 0; conf[i]; i++) {
		assert_true(
			strncmp(conf[i], "allow.", 6) != 0 || strncmp(conf[i], "allow.no", 8) == 0);
	}
	strv_free(conf);
	check_plan(plan);
	plan_free(plan);
}

static void hostile_paths_come_back_as_they_were(void **state)
{
	static const char *const names[] = {"/a b", "/a\"b", "/a'b", "/a\\040b", "/a\\", "/a#b",
		"/#", "/a,rw", "/a)b;{c}", "/$(id)`id`", "/{dir}", "/{id}", "/{fd:x}", "/{brace}",
		"/\xc3\xa9", "/a\xff", "/a=b", "/%s"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct entry entries[64];
		struct plan *plan = NULL;
		struct spec spec = {0};
		struct err err = {0};
		char writable[64];
		char denied[64];
		(void)snprintf(writable, sizeof(writable), "/w%s", names[i]);
		(void)snprintf(denied, sizeof(denied), "%s/secret", names[i]);
		spec.write = WRITE_SCOPE;
		assert_int_equal(strv_append(&spec.args, "x"), 0);
		assert_int_equal(strv_append(&spec.readable, names[i]), 0);
		assert_int_equal(strv_append(&spec.writable, writable), 0);
		assert_int_equal(strv_append(&spec.read_deny, denied), 0);
		if (try_spec(&spec, &plan, &err) < 0) {
			fail_msg("%s: %s", names[i], err.msg);
		}
		check_plan(plan);
		int count = read_fstab(file_of(plan, "fstab"), entries, ARRAY_SIZE(entries));
		const struct entry *read = find_entry(entries, count, names[i]);
		const struct entry *write = find_entry(entries, count, writable);
		const struct entry *deny = find_entry(entries, count, denied);
		assert_true(read && write && deny);
		assert_string_equal(read->source, names[i]);
		assert_string_equal(read->options, "ro,nosuid");
		assert_string_equal(write->source, writable);
		assert_string_equal(write->options, "rw,nosuid");
		assert_string_equal(deny->source, "{dir}/empty");
		assert_ptr_equal(deny, &entries[count - 1]);
		/* No byte of theirs can be a placeholder: each brace but ours is escaped. */
		for (const char *at = file_of(plan, "fstab"); (at = strchr(at, '{')); at++) {
			assert_int_equal(strncmp(at, "{dir}/", 6), 0);
		}
		plan_free(plan);
		spec_fini(&spec);
	}
}

static void the_readers_notice_what_is_wrong(void **state)
{
	struct entry entries[8];
	char **conf = read_conf("cloche-{id} {\n\tpath = 'a';\n\tpersist;\n}\n");

	assert_int_equal(strv_length(conf), 2);
	strv_free(conf);
	assert_null(read_conf("cloche-{id} {\n\tpath = 'a'b';\n}\n"));
	assert_null(read_conf("cloche-{id} {\n\tpath = 'a\n';\n}\n"));
	assert_null(read_conf("cloche-{id} {\n\tpath = a;\n}\n"));
	assert_null(read_conf("cloche-{id} {\n\tpersist;\n}\nother {}\n"));
	assert_int_equal(read_fstab("/a\t/b\tnullfs\tro\t0\t0\n", entries, 8), 1);
	assert_int_equal(read_fstab("/a b\t/b\tnullfs\tro\t0\t0\n", entries, 8), -1);
	assert_int_equal(read_fstab("/a\\b\t/b\tnullfs\tro\t0\t0\n", entries, 8), -1);
	assert_int_equal(read_fstab("#a\t/b\tnullfs\tro\t0\t0\n", entries, 8), -1);
	assert_true(read_rctl("jail:cloche-{id}:maxproc:deny=5\n"));
	assert_false(read_rctl("jail:other:maxproc:deny=5\n"));
	assert_false(read_rctl("jail:cloche-{id}:maxproc:log=5\n"));
	assert_false(read_pf("nat on $ext inet from $inside to any -> ($ext)\n"));
	assert_false(read_pf("nat on $ext inet from $inside to any -> ($ext)\n"
			     "block drop quick on $if all\n"
			     "pass in quick on $if inet proto { tcp udp icmp } from $inside to any "
			     "keep state\n"));
}

static void egress_lists_networks_and_nothing_else_passes(void **state)
{
	struct plan *plan = compile("{\"args\":[\"sh\"],\"net\":\"egress\",\"egress\":"
				    "[\"192.0.2.0/24:443\",\"198.51.100.7\"]}");
	const char *pf = file_of(plan, "pf.conf");

	check_plan(plan);
	assert_non_null(strstr(pf, "to 192.0.2.0/24 port 443 keep state\n"));
	assert_non_null(strstr(pf, "to 198.51.100.7/32 keep state\n"));
	assert_null(strstr(pf, "to any keep"));
	assert_non_null(strstr(file_of(plan, "jail.conf"), "\tvnet;\n"));
	assert_true(capability_set_has(plan->uses, CAPABILITY_NET_EGRESS));
	plan_free(plan);
	plan = compile("{\"args\":[\"sh\"],\"net\":\"egress\"}");
	assert_null(strstr(file_of(plan, "pf.conf"), "pass"));
	plan_free(plan);
	expect_refusal("{\"args\":[\"x\"],\"net\":\"egress\",\"egress\":[\"example.com\"]}",
		"pf knows no names");
	expect_refusal("{\"args\":[\"x\"],\"net\":\"egress\",\"egress\":[\"[2001:db8::1]:443\"]}",
		"no IPv6");
	expect_refusal("{\"args\":[\"x\"],\"net\":\"egress\",\"egress\":[\"192.0.2.0/33\"]}",
		"192.0.2.0/33");
	expect_refusal(
		"{\"args\":[\"x\"],\"net\":\"egress\",\"egress\":[\"192.0.2.1:0\"]}", "port");
}

static void outbound_lets_out_but_not_to_the_host_and_its_networks(void **state)
{
	struct plan *plan =
		compile("{\"args\":[\"sh\"],\"net\":\"outbound\",\"inbound\":[\"8080\"]}");
	const char *pf = file_of(plan, "pf.conf");
	const char *local = strstr(pf, "to <local>");
	const char *self = strstr(pf, "to (self)");
	const char *out = strstr(pf, "to any keep state");

	check_plan(plan);
	assert_true(local && self && out && local < out && self < out);
	assert_non_null(strstr(pf, "from any to $inside port 8080 keep state\n"));
	assert_non_null(strstr(pf, " 169.254.0.0/16 "));
	/* Without the anchors in the host's rules ours would never be looked at. */
	assert_non_null(strstr(file_of(plan, "net-up"), "anchor \"cloche/\\*\""));
	assert_non_null(strstr(file_of(plan, "net-up"), "set -eu"));
	plan_free(plan);
}

static void limits_are_there_before_the_jail_is(void **state)
{
	struct plan *plan =
		compile("{\"args\":[\"sh\"],\"memory\":\"1G\",\"pids\":64,\"cpus\":\"1.5\"}");

	check_plan(plan);
	assert_string_equal(file_of(plan, "rctl.conf"),
		"jail:cloche-{id}:memoryuse:deny=1073741824\n"
		"jail:cloche-{id}:swapuse:deny=1073741824\n"
		"jail:cloche-{id}:maxproc:deny=64\n"
		"jail:cloche-{id}:nthr:deny=64\n"
		"jail:cloche-{id}:pcpu:deny=150\n");
	assert_string_equal(plan->steps[1].argv[3], "{dir}/rctl.conf");
	assert_string_equal(plan->steps[2].argv[0], "/usr/sbin/jail");
	assert_true(plan_has_caveat(plan, "jail.rctl.tunable"));
	plan_free(plan);
}

static void what_is_made_is_removed(void **state)
{
	static const struct {
		const char *json, *before, *after;
	} rows[] = {
		{"{\"args\":[\"sh\"]}", "/bin/mkdir /usr/sbin/jail ", "/usr/sbin/jail "},
		{"{\"args\":[\"sh\"],\"readable\":[\"/srv\"]}",
			"/bin/mkdir /sbin/mount /bin/mkdir /usr/sbin/jail ",
			"/usr/sbin/jail /sbin/umount "},
		{"{\"args\":[\"sh\"],\"write\":\"ephemeral\",\"net\":\"outbound\",\"pids\":5}",
			"/bin/mkdir /bin/sh {dir}/root-up /usr/sbin/jail {dir}/net-up ",
			"/usr/sbin/jail {dir}/net-down /usr/bin/rctl {dir}/root-down "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct plan *plan = compile(rows[i].json);
		char said[PLAN_WHENS][512] = {"", "", ""};
		for (size_t j = 0; j < plan->step_count; j++) {
			char *const *argv = plan->steps[j].argv;
			char *text = said[plan->steps[j].when];
			bool script = argv[1] && strncmp(argv[1], "{dir}/", 6) == 0 &&
				strcmp(argv[0], "/bin/sh") == 0;
			(void)snprintf(text + strlen(text), sizeof(said[0]) - strlen(text), "%s ",
				argv[script]);
			if (script) {
				assert_non_null(file_of(plan, argv[1] + 6));
			}
		}
		assert_string_equal(said[PLAN_BEFORE], rows[i].before);
		assert_string_equal(said[PLAN_KILL], "/usr/bin/pkill ");
		assert_string_equal(said[PLAN_AFTER], rows[i].after);
		plan_free(plan);
	}
}

static void a_clone_takes_what_is_thrown_away(void **state)
{
	struct plan *plan =
		compile("{\"args\":[\"sh\"],\"write\":\"ephemeral\",\"root\":\"directory\","
			"\"root_path\":\"/jails/base {id}\",\"disk\":\"1G\"}");
	const char *const wanted[] = {
		"/bin/sh", "{dir}/root-up", "/jails/base {brace}id}", "536870912"};

	check_plan(plan);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		assert_string_equal(plan->steps[1].argv[i], wanted[i]);
	}
	assert_true(capability_set_has(plan->uses, CAPABILITY_FS_WRITE_EPHEMERAL));
	assert_true(capability_set_has(plan->uses, CAPABILITY_RES_DISK));
	assert_false(capability_set_has(plan->uses, CAPABILITY_FS_READ_HOST));
	plan_free(plan);
}

static void the_command_runs_as_nobody_with_its_variables_alone(void **state)
{
	static const char *const wanted[] = {"/usr/sbin/jexec", "-u", "nobody", "cloche-{id}",
		"/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", "/srv/{brace}id}", "/usr/bin/env",
		"-i", "--", "A={brace}dir}'\n"};
	struct plan *plan = compile(
		"{\"args\":[\"sh\"],\"dir\":\"/srv/{id}\",\"env\":[\"A={dir}'\\n\",\"T=1\"],"
		"\"env_deny\":[\"T\"]}");

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		assert_string_equal(plan->command[i], wanted[i]);
	}
	assert_false(strv_contains(plan->command, "T=1"));
	assert_true(capability_set_has(plan->uses, CAPABILITY_ENV_SCRUB));
	plan_free(plan);
}

static void refusals_say_what_would_be_right(void **state)
{
	expect_refusal("{\"args\":[\"x\"],\"ids\":\"range\"}", "ids: auto");
	expect_refusal("{\"args\":[\"x\"],\"root\":\"image\",\"root_path\":\"/i\"}", "ZFS dataset");
	expect_refusal("{\"args\":[\"x\"],\"root\":\"directory\",\"root_path\":\"/"
		       "i\",\"readable\":[\"/x\"]}",
		"leave readable out");
	expect_refusal(
		"{\"args\":[\"x\"],\"write\":\"ephemeral\",\"readable\":[\"/x\"]}", "whole root");
	expect_refusal("{\"args\":[\"x\"],\"write\":\"scope\",\"writable\":[\"/"
		       "w\"],\"read_deny\":[\"/w/s\"]}",
		"put a link");
	expect_refusal(
		"{\"args\":[\"x\"],\"write\":\"scope\",\"writable\":[\"/tmp/x\"]}", "allow_temp");
	expect_refusal("{\"args\":[\"x\"],\"readable\":[\"/a\\nb\"]}", "control bytes");
	expect_refusal("{\"args\":[\"x\"],\"hostname\":\"a'b\"}", "is not a name");
	expect_refusal("{\"args\":[\"x\"],\"require\":[\"kernel.isolation\"]}", "kernel.isolation");
	expect_refusal("{\"args\":[\"/bin/x\"],\"no_exec\":true,\"refuse_on\":[\"missing\"]}",
		"jail.no_exec");
	expect_refusal("{\"args\":[\"A=b\"]}", "env(1)");
}

/* ---- made-up specs ---- */

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

static void add_paths(uint64_t *seed, char ***list, const char *top)
{
	static const char alphabet[] = "ab/ \\'\"#{}$;()=,%.\xc3\xa9";

	for (uint64_t count = next(seed) % 3; count > 0; count--) {
		char raw[32];
		size_t length = 1 + next(seed) % 20;
		char *clean = NULL;
		(void)snprintf(raw, sizeof(raw), "%s", top);
		for (size_t i = strlen(raw); i < length && i + 1 < sizeof(raw); i++) {
			raw[i] = alphabet[next(seed) % (sizeof(alphabet) - 1)];
			raw[i + 1] = '\0';
		}
		if (parse_absolute_path(raw, &clean) == 0 && strcmp(clean, "/") != 0) {
			assert_int_equal(strv_append(list, clean), 0);
		}
		free(clean);
	}
}

static void make_spec(uint64_t *seed, struct spec *spec)
{
	static const char *const rules[] = {
		"192.0.2.0/24", "192.0.2.1:443", "example.com", "10.0.0.0/8:53"};

	spec_init(spec);
	assert_int_equal(strv_append(&spec->args, next(seed) % 2 ? "/bin/sh" : "sh"), 0);
	spec->net = next(seed) % 4;
	spec->write = next(seed) % 4;
	spec->no_exec = next(seed) % 4 == 0;
	spec->memory = next(seed) % 3 ? 0 : 64 << 20;
	spec->pids = next(seed) % 3 ? 0 : 1 + next(seed) % 100;
	spec->cpu_milli = next(seed) % 3 ? 0 : 10 + next(seed) % 4000;
	spec->disk = next(seed) % 3 ? 0 : 1 << 20;
	spec->timeout = next(seed) % 100;
	if (next(seed) % 2) {
		add_paths(seed, &spec->readable, "/r");
	}
	add_paths(seed, &spec->read_deny, "/d");
	if (spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY) {
		add_paths(seed, &spec->writable, "/w");
		spec->allow_temp = next(seed) % 2;
	}
	if (spec->net == NET_EGRESS) {
		assert_int_equal(strv_append(&spec->egress, rules[next(seed) % 4]), 0);
	}
	if (spec->net != NET_DISABLE && next(seed) % 3 == 0) {
		assert_int_equal(strv_append(&spec->inbound, "8080"), 0);
	}
}

/* Both backends: compiled twice to one digest, never more promised than can be kept. */
static void two_hundred_specs_compile_and_read_back(void **state)
{
	const struct backend *const both[] = {&backend_jail, &backend_seatbelt};
	uint64_t seed = 20261122;
	int compiled[2] = {0, 0};

	for (int i = 0; i < 200; i++) {
		struct spec spec;
		make_spec(&seed, &spec);
		for (size_t j = 0; j < 2; j++) {
			struct plan *plan = NULL;
			struct plan *again = NULL;
			struct host host = {0};
			struct err err = {0};
			int r = spec_validate(&spec, &err);
			r = r < 0 ? r : backend_compile(both[j], &spec, &host, 0, &plan, &err);
			if (r < 0) {
				assert_true(r == -EINVAL || r == -ENOTSUP);
				assert_true(strlen(err.msg) > 10);
				if (strstr(err.msg, "does not say so") ||
					strstr(err.msg, "cannot keep")) {
					fail_msg("spec %d: %s", i, err.msg);
				}
				continue;
			}
			compiled[j]++;
			if (both[j] == &backend_jail) {
				check_plan(plan);
			}
			assert_int_equal(
				backend_compile(both[j], &spec, &host, 0, &again, NULL), 0);
			assert_string_equal(plan->digest, again->digest);
			plan_free(plan);
			plan_free(again);
		}
		spec_fini(&spec);
	}
	print_message("compiled: jail %d, seatbelt %d of 200\n", compiled[0], compiled[1]);
	assert_true(compiled[0] > 40 && compiled[1] > 80);
}

static void it_is_never_started_nor_chosen_here(void **state)
{
	struct host host = {0};
	struct plan *plan = compile("{\"args\":[\"x\"]}");
	struct sandbox *sandbox = NULL;
	struct err err = {0};

	assert_int_equal(backend_jail.probe(&host, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "FreeBSD"));
	assert_int_equal(backend_jail.start(plan, &host, NULL, &sandbox, &err), -ENOTSUP);
	assert_null(sandbox);
	plan_free(plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_a_jail_may_not_do_is_off),
		cmocka_unit_test(hostile_paths_come_back_as_they_were),
		cmocka_unit_test(the_readers_notice_what_is_wrong),
		cmocka_unit_test(egress_lists_networks_and_nothing_else_passes),
		cmocka_unit_test(outbound_lets_out_but_not_to_the_host_and_its_networks),
		cmocka_unit_test(limits_are_there_before_the_jail_is),
		cmocka_unit_test(what_is_made_is_removed),
		cmocka_unit_test(a_clone_takes_what_is_thrown_away),
		cmocka_unit_test(the_command_runs_as_nobody_with_its_variables_alone),
		cmocka_unit_test(refusals_say_what_would_be_right),
		cmocka_unit_test(two_hundred_specs_compile_and_read_back),
		cmocka_unit_test(it_is_never_started_nor_chosen_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
