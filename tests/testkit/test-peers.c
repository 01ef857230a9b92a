/*
 * Doors that only a full run tries are seen open with their layer removed, and shut with it: those of
 * two sessions at once, and those of known escapes.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/backend.h"
#include "base/cleanup.h"
#include "testkit/probes.h"
#include "tests/test.h"
#include "tests/testkit/harness.h"

#define BASE                                                                                       \
	"--target=native", "--net=disable", "--readable=/usr", "--read-deny=/usr/share/doc",       \
		"--write=none"

/* What is left out, and what then must be open; each ends with NULL. */
static const struct row {
	const char *layers;
	const char *open[16];
} rows[] = {
	{"filter",
		{"REG.clone3", "REG.vsock", "REG.CVE-2016-0728", "REG.CVE-2026-43284",
			"REG.CVE-2023-28100", "REG.socketcall", "K.survey-32", "K.families"}},
	{"filter,user_limits,landlock", {"REG.CVE-2022-0492"}},
	{"net", {"C.tcp", "C.network"}},
	{"net,landlock", {"C.unix-abstract"}},
	{"pid", {"C.see", "C.namespaces"}},
	{"ipc", {"C.sysv", "C.message", "C.namespaces"}},
	{"caps", {"REG.CVE-2020-5291"}},
	{"close_fds", {"REG.CVE-2024-21626"}},
	{"masks", {"REG.CVE-2025-31133"}},
	{"read_deny", {"REG.CVE-2026-39861"}},
};

static bool is_open(const struct measured *measured, const char *id)
{
	const char *observed = probe_field(measured, id, "observed");

	return strcmp(observed, "OPEN") == 0 || strcmp(observed, "CLAIM-OPEN") == 0;
}

static void is_in_group(const struct measured *measured, const char *group)
{
	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (strncmp(probe->id, group, strlen(group)) == 0 &&
			strcmp(probe_field(measured, probe->id, "verdict"), "FAIL") == 0) {
			fail_msg("%s fails with every layer in place: %s", probe->id,
				probe_field(measured, probe->id, "detail"));
		}
	}
}

static void every_layer_in_place_keeps_all(void **state)
{
	struct measured measured = run_host(BASE, (char *)NULL);
	cleanup_free char *broken = NULL;

	(void)state;
	assert_non_null(measured.report);
	broken = broken_promises(&measured);
	assert_string_equal(broken, "");
	is_in_group(&measured, "C.");
	is_in_group(&measured, "REG.");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t j = 0; rows[i].open[j]; j++) {
			const char *observed = probe_field(&measured, rows[i].open[j], "observed");
			if (strcmp(observed, "SHUT") != 0) {
				fail_msg("%s is %s with every layer in place", rows[i].open[j],
					observed);
			}
		}
	}
	measured_fini(&measured);
}

static void each_door_is_seen_open(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *without = NULL;
		assert_true(asprintf(&without, "--without=%s", rows[i].layers) > 0);
		struct measured measured = run_host(BASE, without, (char *)NULL);
		assert_non_null(measured.report);
		for (size_t j = 0; rows[i].open[j]; j++) {
			if (!is_open(&measured, rows[i].open[j])) {
				fail_msg("without %s: %s is %s (%s)", rows[i].layers,
					rows[i].open[j],
					probe_field(&measured, rows[i].open[j], "observed"),
					probe_field(&measured, rows[i].open[j], "detail"));
			}
		}
		measured_fini(&measured);
	}
}

/* Nothing at all in the way: every door of two sessions is open, and the host sees it. */
static void two_sessions_without_a_sandbox_reach_each_other(void **state)
{
	struct measured measured = run_host("--target=none", (char *)NULL);
	size_t count = 0;

	(void)state;
	assert_non_null(measured.report);
	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (probe->id[0] != 'C') {
			continue;
		}
		count++;
		if (!is_open(&measured, probe->id)) {
			fail_msg("%s is %s", probe->id,
				probe_field(&measured, probe->id, "observed"));
		}
	}
	assert_true(count >= 20);
	measured_fini(&measured);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layer_in_place_keeps_all),
		cmocka_unit_test(each_door_is_seen_open),
		cmocka_unit_test(two_sessions_without_a_sandbox_reach_each_other),
	};
	struct host host;
	struct err err = {0};

	if (geteuid() != 0 || host_probe(&host, &err) < 0 ||
		backend_native.probe(&host, &err) < 0 || host.landlock_abi < 6 ||
		!host.cgroup[CGROUP_MEMORY].version) {
		(void)fprintf(
			stderr, "needs root and a native backend with every layer: %s\n", err.msg);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
