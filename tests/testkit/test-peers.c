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
	{"net,landlock", {"C.tcp", "C.network", "C.unix-abstract"}},
	{"pid", {"C.see", "C.namespaces"}},
	{"ipc", {"C.sysv", "C.message", "C.namespaces"}},
	{"caps,close_fds,masks,read_deny",
		{"REG.CVE-2020-5291", "REG.CVE-2024-21626", "REG.CVE-2025-31133",
			"REG.CVE-2026-39861"}},
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

/* Where nobody ever logged in there is no record of it. */
static bool has_records(void)
{
	return access("/var/log/wtmp", F_OK) == 0 || access("/var/log/lastlog", F_OK) == 0 ||
		access("/run/utmp", F_OK) == 0 || access("/var/log/btmp", F_OK) == 0;
}

/* Of two sessions, or of one after another; not of logins, which nobody asked for. */
static bool is_of_sessions(const struct probe *probe)
{
	return (probe->id[0] == 'C' || strncmp(probe->id, "S.", 2) == 0) &&
		!(probe->flags & PROBE_SSH) &&
		(has_records() || strcmp(probe->id, "C.history-shared") != 0);
}

/* Nothing at all in the way: every door of two sessions is open, and the host sees it. */
static void two_sessions_without_a_sandbox_reach_each_other(void **state)
{
	struct measured measured = run_host("--target=none", (char *)NULL);
	size_t count = 0;

	(void)state;
	assert_non_null(measured.report);
	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (!is_of_sessions(probe)) {
			continue;
		}
		count++;
		if (!is_open(&measured, probe->id)) {
			fail_msg("%s is %s", probe->id,
				probe_field(&measured, probe->id, "observed"));
		}
	}
	assert_true(count >= 38);
	measured_fini(&measured);
}

/* ---- targets with one hole each, which no layer of a plan stands for ---- */

#define BWRAP                                                                                      \
	"--target=exec:bwrap --ro-bind / / --tmpfs /tmp --tmpfs /var/tmp --unshare-all "           \
	"--new-session --proc /proc "

static const struct hole {
	const char *what, *target;
	const char *fails; /* all of the C and S probes that do, sorted */
} holes[] = {
	{"the session outlives its launcher", BWRAP "--dev /dev {client}", "S.lock S.process"},
	{"terminals in common",
		BWRAP "--die-with-parent --dev-bind /dev /dev --tmpfs /dev/shm {client}", "C.pty"},
	{"files in common that can be written",
		"--target=exec:bwrap --bind / / --tmpfs /tmp --tmpfs /var/tmp --unshare-all "
		"--new-session --proc /proc --die-with-parent --setenv HOME /none --dev /dev "
		"{client}",
		"C.ld-cache"},
};

static bool is_failed(const struct measured *measured, const char *id)
{
	return strcmp(probe_field(measured, id, "verdict"), "FAIL") == 0;
}

/* What fails beyond what fails without the hole (a keyring is common to all of these). */
static char *failed_beyond(const struct measured *measured, const struct measured *sound)
{
	cleanup(strv_freep) char **names = NULL;

	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (is_of_sessions(probe) && is_failed(measured, probe->id) &&
			!is_failed(sound, probe->id)) {
			assert_int_equal(strv_append(&names, probe->id), 0);
		}
	}
	if (names) {
		strv_sort(names);
	}
	char *text = names ? strv_join(names, " ") : strdup("");
	assert_non_null(text);
	return text;
}

static void each_hole_between_sessions_is_found_where_it_is(void **state)
{
	char all[] = "--declare=session.fresh,tty.isolate,fs.write.deny";
	struct measured sound =
		run_host(BWRAP "--die-with-parent --dev /dev {client}", all, (char *)NULL);

	(void)state;
	assert_non_null(sound.report);
	for (size_t i = 0; i < ARRAY_SIZE(holes); i++) {
		struct measured measured = run_host(holes[i].target, all, (char *)NULL);
		assert_non_null(measured.report);
		cleanup_free char *failed = failed_beyond(&measured, &sound);
		if (strcmp(failed, holes[i].fails) != 0) {
			fail_msg("%s: '%s' failed, '%s' expected", holes[i].what, failed,
				holes[i].fails);
		}
		measured_fini(&measured);
	}
	measured_fini(&sound);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layer_in_place_keeps_all),
		cmocka_unit_test(each_door_is_seen_open),
		cmocka_unit_test(two_sessions_without_a_sandbox_reach_each_other),
		cmocka_unit_test(each_hole_between_sessions_is_found_where_it_is),
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
