/*
 * Plans for Windows, which is not here: the launcher's file is read back as JSON and held against the
 * spec. That the launcher itself reads it is for tests/windows.
 */
#include "tests/test.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/unit/planned.h"

#define PROGRAM "C:\\Windows\\System32\\cmd.exe"

static const struct backend *const backend = &backend_appcontainer;

static struct plan *try_compile(const char *program, const char *assignments, struct err *err)
{
	struct spec spec;

	planned_spec("backend=appcontainer", &spec);
	planned_spec_add(assignments, &spec);
	free(spec.args[0]);
	spec.args[0] = strdup(program);
	struct plan *plan = planned_compile(backend, &spec, err);
	spec_fini(&spec);
	return plan;
}

static struct plan *compile(const char *assignments)
{
	struct err err;
	struct plan *plan = try_compile(PROGRAM, assignments, &err);

	if (!plan) {
		fail_msg("%s: %s", assignments, err.msg);
	}
	return plan;
}

static json_t *read_file(const struct plan *plan)
{
	assert_int_equal(plan->file_count, 1);
	assert_string_equal(plan->files[0].name, "appcontainer.json");
	assert_int_equal(plan->files[0].mode, 0600);
	json_t *json = json_loads(plan->files[0].content, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	return json;
}

/* "read C:\x", "deny C:\y": one a line, optional ones with a '?'. */
static void format_entries(const json_t *json, char *out, size_t size)
{
	size_t index = 0;
	size_t used = 0;
	const json_t *ace = NULL;

	*out = '\0';
	json_array_foreach(json_object_get(json, "aces"), index, ace)
	{
		used += (size_t)snprintf(out + used, size - used, "%s%s %s\n",
			json_string_value(json_object_get(ace, "access")),
			json_is_true(json_object_get(ace, "optional")) ? "?" : "",
			json_string_value(json_object_get(ace, "path")));
		assert_true(used < size);
	}
}

static void entries_are_just_those_of_the_spec(void **state)
{
	static const struct {
		const char *program, *assignments, *entries, *dir;
	} rows[] = {
		{PROGRAM, "", "", "C:\\Windows"},
		{PROGRAM, "readable=D:\\a\\b\\c",
			"traverse? D:\\a\ntraverse? D:\\a\\b\nread D:\\a\\b\\c\n", "D:\\a\\b\\c"},
		{PROGRAM, "write=scope;writable=C:\\w;readable=C:\\r;read_deny=C:\\r\\s",
			"read C:\\r\nwrite C:\\w\ndeny C:\\r\\s\n", "C:\\w"},
		{PROGRAM, "readable=C:\\r;readable=c:\\R", "read C:\\r\n", "C:\\r"},
		{"D:\\tools\\x.exe", "", "traverse? D:\\tools\nread D:\\tools\\x.exe\n",
			"C:\\Windows"},
		{"C:\\Program Files\\x\\x.exe", "", "", "C:\\Windows"},
		{PROGRAM, "write=ephemeral;dir=C:\\w", "write .\\work\n", ".\\work"},
		{PROGRAM, "write=ephemeral", "write .\\temp\n", ".\\temp"},
		{PROGRAM, "write=scope;allow_temp=yes", "write .\\temp\n", "C:\\Windows"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err;
		char entries[512];
		struct plan *plan = try_compile(rows[i].program, rows[i].assignments, &err);
		if (!plan) {
			fail_msg("%s: %s", rows[i].assignments, err.msg);
		}
		json_t *json = read_file(plan);
		format_entries(json, entries, sizeof(entries));
		assert_string_equal(entries, rows[i].entries);
		assert_string_equal(json_string_value(json_object_get(json, "dir")), rows[i].dir);
		json_decref(json);
		plan_free(plan);
	}
}

/* What is put in is taken out, from the last to the first; a crash is undone from the journal. */
static void everything_is_undone_backwards(void **state)
{
	cleanup(plan_freep) struct plan *plan =
		compile("write=scope;writable=C:\\a\\w;readable=C:\\a\\r;read_deny=C:\\a\\r\\s");
	json_t *json = read_file(plan);
	const json_t *aces = json_object_get(json, "aces");
	const json_t *undo = json_object_get(json, "undo");
	size_t count = json_array_size(aces);

	assert_true(count >= 4);
	assert_int_equal(json_array_size(undo), count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(json_string_value(json_array_get(undo, i)),
			json_string_value(
				json_object_get(json_array_get(aces, count - 1 - i), "path")));
	}
	assert_int_equal(plan->step_count, 1);
	assert_int_equal(plan->steps[0].when, PLAN_AFTER);
	assert_string_equal(plan->steps[0].argv[1], "--undo");
	assert_string_equal(plan->steps[0].argv[2], "{dir}\\journal");
	json_decref(json);
}

static void settings_are_found_again_in_the_file(void **state)
{
	cleanup(plan_freep) struct plan *plan =
		compile("cpus=1.5;memory=512M;pids=64;timeout=90;no_exec=yes;env=A=b;env=Token=x;"
			"env=PATH=C:\\x;env_deny=TOK*;net=enable");
	json_t *json = read_file(plan);
	const json_t *env = json_object_get(json, "env");
	cleanup_free char *text = json_dumps(env, JSON_COMPACT);
	cleanup_free char *sids = json_dumps(json_object_get(json, "capabilities"), JSON_COMPACT);

	assert_int_equal(json_integer_value(json_object_get(json, "cpu_milli")), 1500);
	assert_int_equal(json_integer_value(json_object_get(json, "memory")), 512 << 20);
	assert_int_equal(json_integer_value(json_object_get(json, "pids")), 64);
	assert_int_equal(json_integer_value(json_object_get(json, "timeout")), 90);
	assert_true(json_is_false(json_object_get(json, "child_processes")));
	assert_true(json_is_false(json_object_get(json, "loopback")));
	assert_true(json_is_true(json_object_get(json, "lpac")));
	assert_string_equal(json_string_value(json_object_get(json, "profile")), "cloche-{id}");
	assert_string_equal(json_string_value(json_object_get(json, "handles")), "stdio");
	assert_string_equal(sids, "[\"S-1-15-3-2\",\"S-1-15-3-3\"]");
	assert_non_null(strstr(text, "\"A=b\""));
	assert_non_null(strstr(text, "\"PATH=C:\\\\x\""));
	assert_non_null(strstr(text, "\"SystemRoot=C:\\\\Windows\""));
	/* Names have no case there: what is denied is denied in any spelling. */
	assert_null(strstr(text, "oken"));
	json_decref(json);
}

static void two_spellings_of_a_name_are_one_variable(void **state)
{
	cleanup(plan_freep) struct plan *plan = compile("env=Path=C:\\bad;env=PATH=C:\\good");

	assert_null(strv_getenv(plan->env, "PATH"));
	assert_string_equal(strv_getenv(plan->env, "Path"), "C:\\bad");
}

static void networks_are_named_by_their_sids(void **state)
{
	static const struct {
		const char *assignments, *sids;
	} rows[] = {
		{"", "[]"},
		{"net=outbound", "[\"S-1-15-3-1\"]"},
		{"net=enable", "[\"S-1-15-3-2\",\"S-1-15-3-3\"]"},
		{"net=egress", "[]"},
		{"net=egress;egress=example.org", "[]"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = compile(rows[i].assignments);
		json_t *json = read_file(plan);
		cleanup_free char *sids =
			json_dumps(json_object_get(json, "capabilities"), JSON_COMPACT);
		assert_string_equal(sids, rows[i].sids);
		json_decref(json);
	}
}

static void what_windows_would_read_otherwise_is_refused(void **state)
{
	static const struct {
		const char *program, *assignments, *complaint;
	} rows[] = {
		{"cmd", "", "whole path"},
		{"cmd.exe", "", "whole path"},
		{"/bin/sh", "", "whole path"},
		{"C:\\x.bat", "", "whole path"},
		{"C:\\x.cmd", "", "whole path"},
		{"C:\\a\\..\\x.exe", "", "whole path"},
		{"C:\\x.exe ", "", "whole path"},
		{"C:\\x.exe:s.exe", "", "whole path"},
		{PROGRAM, "readable=C:\\", "access lists"},
		{PROGRAM, "readable=C:\\Users", "access lists"},
		{PROGRAM, "readable=c:\\WINDOWS\\System32", "access lists"},
		{PROGRAM, "write=scope;writable=D:\\", "access lists"},
		{PROGRAM, "write=scope;writable=C:\\Program Files\\x", "access lists"},
		{PROGRAM, "write=scope;writable=c:\\programdata\\x", "access lists"},
		{PROGRAM, "write=ephemeral;dir=C:\\", "access lists"},
		{PROGRAM, "read_deny=C:\\", "access lists"},
		{PROGRAM, "readable=C:\\PROGRA~1\\x", "short name"},
		{PROGRAM, "readable=C:\\{id}", "{id}"},
		{PROGRAM, "env=A={dir}", "{dir}"},
		{PROGRAM, "env=A=\xff", "UTF-8"},
		{PROGRAM, "root=directory;root_path=C:\\r", "root: host"},
		{PROGRAM, "ids=range", "ids: range"},
		{PROGRAM, "pids=65536", "65535"},
		{PROGRAM, "require=kernel.isolation", "kernel.isolation"},
		{PROGRAM, "require=fs.read.deny;read_deny=C:\\s", "fs.read.deny"},
		{PROGRAM, "net=egress;egress=a.b;refuse_on=missing", "egress_closed"},
		{PROGRAM, "strict=yes", "fs.read.host"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err;
		struct plan *plan = try_compile(rows[i].program, rows[i].assignments, &err);
		if (plan) {
			fail_msg("%s %s was accepted", rows[i].program, rows[i].assignments);
		}
		if (!strstr(err.msg, rows[i].complaint)) {
			fail_msg("%s %s: %s", rows[i].program, rows[i].assignments, err.msg);
		}
	}
}

/* The seed's row for AppContainer, and what it says of each. */
static void promises_and_caveats_are_those_of_the_seed(void **state)
{
	static const struct {
		const char *assignments;
		const char *uses, *lacks;
		const char *caveats[3];
	} rows[] = {
		{"", "net.disable, ipc.restrict, fs.write.deny", "fs.read.host",
			{"appcontainer.no_loopback", "appcontainer.ambient_grants",
				"backend.never_executed"}},
		{"net=outbound", "net.outbound", "ipc.restrict",
			{"appcontainer.internet_only", "appcontainer.ipc_by_network"}},
		{"net=enable", "net.enable", "ipc.restrict", {"appcontainer.ipc_by_network"}},
		{"net=enable;inbound=80", "", "net.inbound", {"appcontainer.inbound_unlisted"}},
		{"net=egress;egress=a.b", "", "net.egress", {"appcontainer.egress_closed"}},
		{"readable=C:\\r", "fs.read.scope", "", {"fs.read_scope.runtime_added"}},
		{"read_deny=C:\\r", "", "fs.read.deny", {"appcontainer.read_deny_best_effort"}},
		{"write=scope;writable=C:\\w", "fs.write.scope", "res.disk",
			{"appcontainer.lists_change", "fs.write_scope.hard_links"}},
		{"write=ephemeral;dir=C:\\w", "fs.write.ephemeral", "res.disk",
			{"appcontainer.ephemeral_copy", "appcontainer.disk_unbounded"}},
		{"write=overlay;writable=C:\\w", "fs.write.scope", "fs.write.ephemeral",
			{"appcontainer.overlay_denies"}},
		{"no_exec=yes", "proc.no_exec", "", {"appcontainer.brokers"}},
		{"cpus=1;memory=1G;pids=9;timeout=9", "res.cpu, res.memory, res.pids, res.time", "",
			{"appcontainer.memory_is_commit", "appcontainer.cpu_of_all"}},
		{"disk=1M", "", "res.disk", {"appcontainer.disk_unbounded"}},
		{"mach_allow=a.b", "", "mach.restrict", {"mach.ignored"}},
		{"hostname=box", "", "", {"appcontainer.hostname_ignored"}},
		{"env_deny=A", "env.scrub", "", {NULL}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = compile(rows[i].assignments);
		struct capability_set uses = {0};
		struct capability_set lacks = {0};
		if (*rows[i].uses) {
			assert_int_equal(capability_set_parse(rows[i].uses, &uses, NULL), 0);
		}
		if (*rows[i].lacks) {
			assert_int_equal(capability_set_parse(rows[i].lacks, &lacks, NULL), 0);
		}
		if (capability_set_sub(uses, plan->uses).bits ||
			capability_set_intersect(lacks, plan->uses).bits) {
			char names[512];
			fail_msg("%s: %s", rows[i].assignments,
				capability_set_format(plan->uses, names, sizeof(names)));
		}
		for (size_t c = 0; c < ARRAY_SIZE(rows[i].caveats) && rows[i].caveats[c]; c++) {
			if (!plan_has_caveat(plan, rows[i].caveats[c])) {
				fail_msg("'%s' lacks the caveat %s", rows[i].assignments,
					rows[i].caveats[c]);
			}
		}
		assert_int_equal(plan->kernel, PLAN_KERNEL_SHARED);
	}
}

static void plans_are_as_they_were_read(void **state)
{
	static const struct {
		const char *name, *assignments;
	} rows[] = {
		{"appcontainer-tight", ""},
		{"appcontainer-agent",
			"net=outbound;write=scope;writable=C:\\Users\\me\\project;"
			"readable=C:\\Users\\me\\project;readable=D:\\tools;"
			"read_deny=C:\\Users\\me\\project\\.env;no_exec=no;cpus=2;memory=4G;"
			"pids=64;timeout=1h;env=API_KEY=x;env_deny=*_KEY;allow_temp=yes"},
		{"appcontainer-lab", "write=ephemeral;dir=C:\\course\\week 1;no_exec=yes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = compile(rows[i].assignments);
		cleanup_free char *text = planned_describe(plan);
		planned_golden(rows[i].name, text);
	}
}

static void made_up_specs_compile_or_are_refused(void **state)
{
	size_t compiled = planned_generate(backend, 800);

	if (compiled < 40) {
		fail_msg("only %zu of 800 compile: they test nothing", compiled);
	}
}

static void paths_of_this_system_are_not_taken(void **state)
{
	struct spec spec;
	struct err err;

	planned_spec("readable=/work", &spec);
	assert_null(planned_compile(backend, &spec, &err));
	assert_non_null(strstr(err.msg, "no path of Windows"));
	spec_fini(&spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_just_those_of_the_spec),
		cmocka_unit_test(everything_is_undone_backwards),
		cmocka_unit_test(settings_are_found_again_in_the_file),
		cmocka_unit_test(two_spellings_of_a_name_are_one_variable),
		cmocka_unit_test(networks_are_named_by_their_sids),
		cmocka_unit_test(what_windows_would_read_otherwise_is_refused),
		cmocka_unit_test(promises_and_caveats_are_those_of_the_seed),
		cmocka_unit_test(plans_are_as_they_were_read),
		cmocka_unit_test(made_up_specs_compile_or_are_refused),
		cmocka_unit_test(paths_of_this_system_are_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
