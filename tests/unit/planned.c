#include "tests/unit/planned.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "tests/test.h"

static void assign(struct spec *spec, const char *name, const char *value, bool must)
{
	const struct spec_key *key = spec_find_key(name);
	struct err err = {0};

	assert_non_null(key);
	if (spec_set(spec, key, value, &err) < 0 && must) {
		fail_msg("%s=%s: %s", name, value, err.msg);
	}
}

void planned_spec(const char *assignments, struct spec *ret)
{
	spec_init(ret);
	assert_int_equal(strv_append(&ret->args, "prog"), 0);
	assert_int_equal(strv_append(&ret->args, "a b"), 0);
	planned_spec_add(assignments, ret);
}

void planned_spec_add(const char *assignments, struct spec *ret)
{
	cleanup_free char *copy = strdup(assignments);

	for (char *rest = copy, *item = NULL; (item = strsep(&rest, ";"));) {
		char *value = strchr(item, '=');
		if (*item) {
			*value++ = '\0';
			assign(ret, item, value, true);
		}
	}
}

struct plan *planned_compile(
	const struct backend *backend, const struct spec *spec, struct err *err)
{
	static const struct host nothing = {.processors = 1};
	struct plan *plan = NULL;

	*err = (struct err){0};
	if (spec_validate(spec, err) < 0 ||
		backend_compile(backend, spec, &nothing, 0, &plan, err) < 0) {
		return NULL;
	}
	return plan;
}

/* ---- made up ---- */

/* Values worth trying; the last ones are what an attacker would. A NULL ends each list. */
static const struct {
	const char *key;
	const char *values[12];
} choices[] = {
	{"net", {"disable", "enable", "outbound", "egress"}},
	{"egress", {"example.org", "10.0.0.0/8:443", "*.example.org:80"}},
	{"inbound", {"80", "8080", "65535"}},
	{"write", {"none", "scope", "ephemeral", "overlay"}},
	{"no_exec", {"yes", "no"}},
	{"allow_temp", {"yes", "no"}},
	{"mach_allow", {"com.apple.trustd", "a\"b"}},
	{"env", {"A=b", "TOKEN=secret", "EMPTY=", "SPACE= x", "NL=a\nb", "P={id}", "Q=\"'\\"}},
	{"env_allow", {"A", "*", "T*"}},
	{"env_deny", {"*TOKEN*", "[A-C]"}},
	{"cpus", {"0.5", "1", "1.5", "8", "8.001", "64"}},
	{"memory", {"4M", "100000000", "1G", "16G", "17G"}},
	{"pids", {"1", "64", "4194304"}},
	{"disk", {"64K", "1G"}},
	{"timeout", {"1", "1h"}},
	{"hostname", {"box"}},
	{"user", {"me", "root", "a.b"}},
	{"root", {"host", "image", "directory"}},
	{"strict", {"no", "yes"}},
	{"ids", {"auto", "range", "single"}},
	{"require", {"net.disable", "kernel.isolation", "ipc.restrict"}},
	{"refuse_on", {"missing", "fs.*"}},
};

static const char *const unix_paths[] = {"/", "/work", "/work/sub", "/Users/me/My Work", "/etc/ssh",
	"/ETC/passwd", "/dev/disk0", "/usr/lib", "/private/var/run/docker.sock",
	"/System/Volumes/Data/Users/me", "/a,readonly", "/a=b", "/q\"uote", "/b\\ack", "/{dir}/x",
	"/\xc3\xa9t\xc3\xa9", "/\xff", "/a$(id)`id`", NULL};
static const char *const windows_paths[] = {"C:\\", "C:\\work", "c:\\WORK\\sub", "D:\\My Work",
	"C:\\Windows\\System32", "C:\\windows", "C:\\Users\\me\\.ssh", "C:\\q'uote", "C:\\{id}\\x",
	"C:\\\xc3\xa9t\xc3\xa9", "C:\\a$(id)", "C:\\Program Files\\x", "E:\\image.tar", NULL};
static const char *const path_keys[] = {
	"writable", "readable", "read_deny", "dir", "root_path", "home", "shell", NULL};

/* A small generator whose numbers are the same everywhere (xorshift). */
static uint32_t next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static const char *pick(uint32_t *state, const char *const *list)
{
	size_t count = 0;

	while (list[count]) {
		count++;
	}
	return list[next(state) % count];
}

static void make_up(
	uint32_t *state, const char *const *paths, const char *backend, struct spec *ret)
{
	static const char *const commands[] = {"sh", "/bin/true", "C:\\work\\a.exe", "-c", "a=b",
		"x y", "{id}", "caf\xc3\xa9", "\"", NULL};

	spec_init(ret);
	assign(ret, "backend", backend, true);
	for (unsigned i = 0; i <= next(state) % 3; i++) {
		assert_int_equal(strv_append(&ret->args, pick(state, commands)), 0);
	}
	if (paths == windows_paths && next(state) % 2) {
		free(ret->args[0]);
		ret->args[0] = strdup("C:\\work\\a.exe");
	}
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		if (next(state) % 4 == 0) {
			assign(ret, choices[i].key, pick(state, choices[i].values), false);
		}
	}
	for (size_t i = 0; path_keys[i]; i++) {
		for (unsigned n = next(state) % 6; n < 2; n++) {
			assign(ret, path_keys[i], pick(state, paths), false);
		}
	}
	/* What makes most of them invalid by themselves is put right. */
	if (ret->write != WRITE_SCOPE && ret->write != WRITE_OVERLAY) {
		ret->writable = strv_free(ret->writable);
		ret->allow_temp = false;
	}
	if (ret->net != NET_EGRESS) {
		ret->egress = strv_free(ret->egress);
	}
	if (ret->net == NET_DISABLE) {
		ret->inbound = strv_free(ret->inbound);
	}
	if (ret->root == ROOT_HOST) {
		free(take_ptr(&ret->root_path));
	}
	if (next(state) % 4) {
		ret->require = (struct capability_set){0};
		ret->refuse_on = strv_free(ret->refuse_on);
	}
}

static void check_plan(
	const struct backend *backend, const struct spec *spec, const struct plan *plan)
{
	struct host other;
	cleanup(plan_freep) struct plan *again = NULL;
	cleanup_free char *json = plan_to_json(plan);
	struct err err = {0};

	assert_non_null(json);
	assert_false(plan->executable_here);
	assert_true(plan_has_caveat(plan, "backend.never_executed"));
	assert_int_equal(capability_set_sub(plan->uses, backend->enforces).bits, 0);
	host_init_ideal(&other, 7);
	assert_int_equal(backend_compile(backend, spec, &other, 0, &again, &err), 0);
	assert_string_equal(plan->digest, again->digest);
}

size_t planned_generate(const struct backend *backend, unsigned count)
{
	bool windows = spec_backend_is_windows(backend->name);
	uint32_t state = 20261122;
	size_t compiled = 0;

	for (unsigned i = 0; i < count; i++) {
		struct spec spec;
		struct err err = {0};
		make_up(&state, windows ? windows_paths : unix_paths, backend->name, &spec);
		struct plan *plan = planned_compile(backend, &spec, &err);
		if (plan) {
			check_plan(backend, &spec, plan);
			compiled++;
		} else if (!*err.msg || strchr(err.msg, '\n') || strstr(err.msg, "say so") ||
			strstr(err.msg, "which it cannot keep")) {
			cleanup_free char *json = spec_to_json(&spec);
			fail_msg("%s\n%s", json, err.msg);
		}
		plan_free(plan);
		spec_fini(&spec);
	}
	return compiled;
}

char *planned_describe(const struct plan *plan)
{
	struct buf out = {0};
	char names[1024];

	buf_printf(&out, "%s, kernel %s\nuses %s\n", plan->backend, plan_kernel_name(plan->kernel),
		capability_set_format(plan->uses, names, sizeof(names)));
	for (size_t i = 0; i < plan->caveat_count; i++) {
		buf_printf(&out, "caveat %s\n", plan->caveats[i].code);
	}
	buf_printf(&out, "command\n");
	STRV_FOREACH (word, plan->command) {
		buf_printf(&out, "\t%s\n", *word);
	}
	for (size_t i = 0; i < plan->file_count; i++) {
		buf_printf(&out, "file %s %04o\n%s", plan->files[i].name, plan->files[i].mode,
			plan->files[i].content);
	}
	for (size_t i = 0; i < plan->step_count; i++) {
		cleanup_free char *line = strv_join(plan->steps[i].argv, " ");
		buf_printf(&out, "%s %s\n", plan_when_name(plan->steps[i].when), line);
	}
	buf_put(&out, "", 1);
	assert_false(out.failed);
	return (char *)out.data;
}

void planned_golden(const char *name, const char *text)
{
	const char *source = getenv("CLOCHE_SOURCE");
	bool write = getenv("CLOCHE_WRITE_GOLDEN") != NULL;
	cleanup_free char *wanted = calloc(1, 65536);
	cleanup_free char *path = NULL;
	FILE *file = NULL;

	assert_non_null(source);
	assert_true(asprintf(&path, "%s/tests/unit/golden/%s.txt", source, name) > 0);
	file = fopen(path, write ? "w" : "r");
	if (!file) {
		fail_msg("%s: %s", path, strerror(errno));
	}
	if (write) {
		assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	} else {
		assert_true(fread(wanted, 1, 65535, file) > 0);
	}
	assert_int_equal(fclose(file), 0);
	if (!write && strcmp(text, wanted) != 0) {
		fail_msg("%s.txt is not what the plan is now:\n%s", name, text);
	}
}
