/*
 * What the documentation of isobox (reference/seeds/001) says of its Spec, Plan and sets, asked of
 * ours: the same capabilities, the same refusals, and its caveats by their meaning.
 */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/choose.h"
#include "base/cleanup.h"

static struct host ideal, bare;

static int setup(void **state)
{
	host_init_ideal(&ideal, 7);
	bare = ideal;
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		bare.cgroup[i] = (struct host_cgroup){0};
	}
	bare.cgroup_kill[0] = '\0';
	return 0;
}

static void parse(const char *json, struct spec *ret)
{
	struct err err = {0};

	if (spec_from_json(json, ret, &err) < 0) {
		fail_msg("%s: %s", json, err.msg);
	}
}

/* Spec.Capabilities(): "the capability set this spec requests". */
static void a_spec_asks_for_what_isobox_says(void **state)
{
	static const struct {
		const char *json, *asks;
	} rows[] = {
		/* "The zero value denies external access", "denies all writes", "Empty grants
		 * broad host reads". */
		{"{\"args\":[\"x\"]}", "fs.read.host, fs.write.deny, net.disable"},
		{"{\"args\":[\"x\"],\"net\":\"enable\"}",
			"fs.read.host, fs.write.deny, net.enable"},
		{"{\"args\":[\"x\"],\"net\":\"outbound\"}",
			"fs.read.host, fs.write.deny, net.outbound"},
		{"{\"args\":[\"x\"],\"write\":\"scope\",\"writable\":[\"/srv\"]}",
			"fs.read.host, fs.write.scope, net.disable"},
		{"{\"args\":[\"x\"],\"write\":\"ephemeral\"}",
			"fs.read.host, fs.write.ephemeral, net.disable"},
		/* "persists writes under Writable, while writes elsewhere are ephemeral" */
		{"{\"args\":[\"x\"],\"write\":\"overlay\",\"writable\":[\"/srv\"]}",
			"fs.read.host, fs.write.ephemeral, fs.write.scope, net.disable"},
		{"{\"args\":[\"x\"],\"readable\":[\"/usr\"]}",
			"fs.read.scope, fs.write.deny, net.disable"},
		{"{\"args\":[\"x\"],\"read_deny\":[\"/root\"]}",
			"fs.read.deny, fs.read.host, fs.write.deny, net.disable"},
		{"{\"args\":[\"x\"],\"no_exec\":true}",
			"fs.read.host, fs.write.deny, net.disable, proc.no_exec"},
		{"{\"args\":[\"x\"],\"mach_allow\":[\"com.apple.system.opendirectoryd.libinfo\"]}",
			"fs.read.host, fs.write.deny, mach.restrict, net.disable"},
		{"{\"args\":[\"x\"],\"cpus\":1.5,\"memory\":1073741824}",
			"fs.read.host, fs.write.deny, net.disable, res.cpu, res.memory"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec spec = {0};
		char names[512];
		parse(rows[i].json, &spec);
		assert_int_equal(spec_validate(&spec, NULL), 0);
		assert_string_equal(
			capability_set_format(spec_capabilities(&spec), names, sizeof(names)),
			rows[i].asks);
		spec_fini(&spec);
	}
}

static void refusals_are_those_of_isobox(void **state)
{
	static const struct {
		const char *json, *says;
	} rows[] = {
		{"{}", "no command"},
		{"{\"args\":[\"\"]}", "empty"},
		{"{\"args\":[\"x\"],\"allow_temp\":true}", "allow_temp"},
		{"{\"args\":[\"x\"],\"write\":\"ephemeral\",\"allow_temp\":true}", "allow_temp"},
		{"{\"args\":[\"x\"],\"writable\":[\"/srv\"]}", "writable"},
		{"{\"args\":[\"x\"],\"write\":\"scope\"}", "scope needs"},
		{"{\"args\":[\"x\"],\"readable\":[\"/usr\"],\"dir\":\"/srv\"}", "dir"},
		/* "Strict rejects any capability outside Intersection()": broad reads are. */
		{"{\"args\":[\"x\"],\"strict\":true}", "fs.read.host"},
		{"{\"args\":[\"x\"],\"strict\":true,\"readable\":[\"/usr\"],\"no_exec\":true}",
			"proc.no_exec"},
		{"{\"args\":[\"x\"],\"strict\":true,\"readable\":[\"/usr\"],"
		 "\"read_deny\":[\"/usr/x\"]}",
			"fs.read.deny"},
		{"{\"args\":[\"x\"],\"strict\":true,\"readable\":[\"/usr\"],"
		 "\"mach_allow\":[\"a.b\"]}",
			"mach.restrict"},
		/* and what is inside it passes: limits, a scope, no network */
		{"{\"args\":[\"x\"],\"strict\":true,\"readable\":[\"/usr\"],\"cpus\":1,"
		 "\"memory\":\"1G\",\"pids\":9,\"write\":\"ephemeral\"}",
			NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec spec = {0};
		struct err err = {0};
		parse(rows[i].json, &spec);
		int r = spec_validate(&spec, &err);
		assert_int_equal(r, rows[i].says ? -EINVAL : 0);
		if (rows[i].says && !strstr(err.msg, rows[i].says)) {
			fail_msg("row %zu: %s", i, err.msg);
		}
		spec_fini(&spec);
	}
}

/* Where isobox's documentation promises a caveat, our plan has one about the same capability. */
static void caveats_mean_what_isobox_says(void **state)
{
	static const struct {
		const char *json;
		const struct host *host;
		enum capability about;
		bool kept; /* promised all the same */
	} rows[] = {
		/* "other backends ignore it with a caveat" */
		{"{\"args\":[\"x\"],\"mach_allow\":[\"a.b\"]}", &ideal, CAPABILITY_MACH_RESTRICT,
			false},
		/* "Backends that cannot cap CPU report a caveat"; memory the same */
		{"{\"args\":[\"x\"],\"cpus\":1}", &bare, CAPABILITY_RES_CPU, false},
		{"{\"args\":[\"x\"],\"memory\":\"1G\"}", &bare, CAPABILITY_RES_MEMORY, false},
		/* "plus the minimum needed to load the executable" */
		{"{\"args\":[\"x\"],\"readable\":[\"/srv\"]}", &ideal, CAPABILITY_FS_READ_SCOPE,
			true},
		/* denials are by path: part 1.2 of the reference */
		{"{\"args\":[\"x\"],\"read_deny\":[\"/srv\"]}", &ideal, CAPABILITY_FS_READ_DENY,
			true},
		/* "prevents access to host local IPC endpoints" is withdrawn with host paths */
		{"{\"args\":[\"x\"],\"write\":\"scope\",\"writable\":[\"/srv\"]}", &ideal,
			CAPABILITY_IPC_RESTRICT, false},
		/* loopback is no part of the promise */
		{"{\"args\":[\"x\"]}", &ideal, CAPABILITY_NET_DISABLE, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = NULL;
		struct spec spec = {0};
		struct err err = {0};
		bool said = false;
		parse(rows[i].json, &spec);
		if (backend_compile(&backend_native, &spec, rows[i].host, 0, &plan, &err) < 0) {
			fail_msg("row %zu: %s", i, err.msg);
		}
		for (size_t j = 0; j < plan->caveat_count; j++) {
			said |= plan->caveats[j].capability == rows[i].about;
		}
		if (!said) {
			fail_msg("row %zu: no caveat about %s", i, capability_name(rows[i].about));
		}
		assert_int_equal(capability_set_has(plan->uses, rows[i].about), rows[i].kept);
		spec_fini(&spec);
	}
}

/* "CapNoExec forbids creating a new program image after launch", and the like: a plan uses it. */
static void a_plan_uses_what_was_asked_for(void **state)
{
	struct spec spec = {0};

	parse("{\"args\":[\"x\"],\"no_exec\":true,\"write\":\"ephemeral\",\"readable\":[\"/usr\"],"
	      "\"cpus\":0.5,\"memory\":\"64M\",\"pids\":8,\"env_deny\":[\"A*\"]}",
		&spec);
	cleanup(plan_freep) struct plan *plan = NULL;
	assert_int_equal(backend_compile(&backend_native, &spec, &ideal, 0, &plan, NULL), 0);
	assert_int_equal(capability_set_sub(spec_capabilities(&spec), plan->uses).bits, 0);
	spec_fini(&spec);
}

/*
 * "Lets you compile and inspect a plan for a non-native backend": each compiles the zero spec, or
 * one with what can be read listed, and says when it cannot run here.
 */
static void every_backend_can_be_inspected_anywhere(void **state)
{
	for (size_t i = 0; backends[i]; i++) {
		cleanup(plan_freep) struct plan *plan = NULL;
		bool windows = strcmp(backends[i]->name, "appcontainer") == 0;
		const char *path = windows ? "C:\\\\work" : "/usr";
		struct spec spec = {0};
		struct err err = {0};
		char json[160];
		(void)snprintf(json, sizeof(json),
			"{\"args\":[\"x\"],\"backend\":\"%s\",\"readable\":[\"%s\"]}",
			backends[i]->name, path);
		parse(json, &spec);
		if (backends[i]->compile(&spec, &ideal, 0, &plan, &err) < 0) {
			/* Only who needs something of the host that this made-up one lacks. */
			print_message("%s: %s\n", backends[i]->name, err.msg);
			assert_true(*err.msg);
		} else {
			assert_true(capability_set_has(plan->uses, CAPABILITY_NET_DISABLE));
		}
		spec_fini(&spec);
	}
}

/* Rows of the seed's matrix that must not depend on taste. Who is not built in is not asked. */
static void the_matrix_has_the_seeds_corners(void **state)
{
	static const struct {
		const char *backend;
		enum capability capability;
		bool kept;
	} rows[] = {
		{"gvisor", CAPABILITY_KERNEL_ISOLATION, true},
		{"seatbelt", CAPABILITY_KERNEL_ISOLATION, false},
		{"seatbelt", CAPABILITY_MACH_RESTRICT, true},
		{"seatbelt", CAPABILITY_NET_DISABLE, true},
		{"seatbelt", CAPABILITY_RES_CPU, false},
		{"appcontainer", CAPABILITY_KERNEL_ISOLATION, false},
		{"appcontainer", CAPABILITY_NET_DISABLE, true},
		{"appcontainer", CAPABILITY_FS_READ_HOST, false},
		{"docker", CAPABILITY_KERNEL_ISOLATION, false},
		{"docker", CAPABILITY_FS_READ_HOST, false},
		{"docker", CAPABILITY_NET_DISABLE, true},
		{"native", CAPABILITY_KERNEL_ISOLATION, false},
		{"native", CAPABILITY_MACH_RESTRICT, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct backend *backend = backend_find(backends, rows[i].backend);
		if (backend &&
			capability_set_has(backend->enforces, rows[i].capability) != rows[i].kept) {
			fail_msg("%s and %s: the seed says %s", rows[i].backend,
				capability_name(rows[i].capability), rows[i].kept ? "yes" : "no");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_spec_asks_for_what_isobox_says, setup),
		cmocka_unit_test_setup(refusals_are_those_of_isobox, setup),
		cmocka_unit_test_setup(caveats_mean_what_isobox_says, setup),
		cmocka_unit_test_setup(a_plan_uses_what_was_asked_for, setup),
		cmocka_unit_test_setup(every_backend_can_be_inspected_anywhere, setup),
		cmocka_unit_test_setup(the_matrix_has_the_seeds_corners, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
