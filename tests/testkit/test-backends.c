/*
 * Each backend that runs here is held to what it declares, and a plan of it with something left out
 * is caught: the same table for all, so that a new backend is a new row.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/backend.h"
#include "base/cleanup.h"
#include "tests/testkit/harness.h"
#include "tests/test.h"

/* What every backend is asked for, so that it declares as much as it can. */
#define ASKED                                                                                      \
	"--net=disable", "--readable=/usr", "--memory=256M", "--pids=64", "--cpus=0.5",            \
		"--disk=16M", "--env-deny=SECRET*", "--timeout=300"

/* What is left out, and which promise must then be seen broken. */
struct broken {
	const char *layer, *capability;
};

static const struct row {
	const char *backend;
	const char *declares; /* at the least, with blanks around each */
	struct broken broken[8];
} rows[] = {
	{"bubblewrap",
		" net.disable fs.read.scope fs.write.deny env.scrub ipc.restrict res.cpu "
		"res.memory "
		"res.pids res.disk res.time proc.isolation kernel.filter priv.none dev.minimal "
		"tty.isolate host.conceal session.fresh ",
		{{"net", "net.disable"}, {"filter", "kernel.filter"}, {"pid", "proc.isolation"},
			{"ipc", "ipc.restrict"}, {"dev", "dev.minimal"},
			{"user_limits", "priv.none"}, {"cgroup", "res.memory"}}},
};

static char *option(const char *name, const char *value)
{
	char *text = NULL;

	assert_true(asprintf(&text, "%s=%s", name, value) > 0);
	return text;
}

static void keeps_all_it_declares(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *target = option("--target", rows[i].backend);
		struct measured measured =
			run_host(target, "--quick", "--write=none", ASKED, (char *)NULL);
		cleanup_free char *broken = broken_promises(&measured);

		assert_non_null(measured.report);
		assert_string_equal(broken, "");
		assert_int_equal(measured.code, 0);
		for (size_t c = 0; c < CAPABILITY_COUNT; c++) {
			const char *name = capability_name((enum capability)c);
			char word[64];
			(void)snprintf(word, sizeof(word), " %s ", name);
			if (strstr(rows[i].declares, word)) {
				assert_string_equal(
					capability_field(&measured, name, "verdict"), "PASS");
			}
		}
		measured_fini(&measured);
	}
}

static void throw_away_writes_are_thrown_away(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *target = option("--target", rows[i].backend);
		struct measured measured =
			run_host(target, "--quick", "--write=ephemeral", ASKED, (char *)NULL);

		assert_string_equal(
			capability_field(&measured, "fs.write.ephemeral", "verdict"), "PASS");
		assert_int_equal(measured.code, 0);
		measured_fini(&measured);
	}
}

static void what_is_left_out_is_missed(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (const struct broken *broken = rows[i].broken; broken->layer; broken++) {
			cleanup_free char *target = option("--target", rows[i].backend);
			cleanup_free char *without = option("--without", broken->layer);
			struct measured measured = run_host(
				target, "--quick", "--write=none", without, ASKED, (char *)NULL);

			if (measured.code != 1 ||
				strcmp(capability_field(&measured, broken->capability, "verdict"),
					"FAIL") != 0) {
				fail_msg("%s without %s: exit %d, %s is %s", rows[i].backend,
					broken->layer, measured.code, broken->capability,
					capability_field(&measured, broken->capability, "verdict"));
			}
			measured_fini(&measured);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_all_it_declares),
		cmocka_unit_test(throw_away_writes_are_thrown_away),
		cmocka_unit_test(what_is_left_out_is_missed),
	};
	struct host host;

	if (geteuid() != 0 || host_probe(&host, NULL) < 0 || !host.user_namespaces ||
		!host.cgroup[CGROUP_MEMORY].version) {
		(void)fprintf(stderr, "needs root, user namespaces and control groups\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
