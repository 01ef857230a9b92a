/*
 * The testkit sees what it should: the native backend with layers taken away, one row each, turns
 * exactly these promises to broken and no other.
 *
 * Where two layers stand behind the same promise, one of them alone shows nothing: such rows expect
 * nothing broken, and the row with both of them follows.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/links.h"
#include "base/cleanup.h"
#include "tests/test.h"
#include "tests/testkit/harness.h"

struct row {
	const char *layers; /* NULL: none is left out */
	const char *extra[6]; /* further options */
	const char *broken; /* sorted names */
};

#define BASE                                                                                       \
	"--target=native", "--quick", "--net=disable", "--readable=/usr",                          \
		"--read-deny=/usr/share/doc", "--env-deny=SECRET_*", "--memory=64M", "--pids=40",  \
		"--cpus=0.5", "--disk=32M"

static const struct row rows[] = {
	{NULL, {"--write=ephemeral", "--timeout=1h"}, ""},
	{NULL, {"--write=none", "--no-exec"}, ""},
	{"landlock", {"--write=none"}, ""}, /* mounts say the same */
	{"rlimits", {"--write=none"}, ""}, /* the control group counts the tasks */
	{"keyring", {"--write=none"}, ""}, /* the filter has no call for keys */
	{"filter", {"--write=none"}, "host.conceal ipc.restrict kernel.filter tty.isolate"},
	{"filter,keyring", {"--write=none"},
		"host.conceal ipc.restrict kernel.filter session.fresh tty.isolate"},
	{"filter", {"--write=none", "--no-exec"},
		"host.conceal ipc.restrict kernel.filter proc.no_exec tty.isolate"},
	{"cgroup", {"--write=none"}, "host.conceal res.cpu res.memory"},
	{"cgroup,rlimits", {"--write=none"}, "host.conceal res.cpu res.memory res.pids"},
	/* Without it neither Landlock nor a filter can be had. */
	{"no_new_privs,landlock,filter", {"--write=none"},
		"host.conceal ipc.restrict kernel.filter priv.none tty.isolate"},
	{"caps", {"--write=none"}, "priv.none"},
	{"user_limits", {"--write=none"}, "priv.none"},
	{"masks", {"--write=none"}, "host.conceal"},
	{"close_fds", {"--write=none"}, "session.fresh"},
	{"session", {"--write=none"}, "tty.isolate"},
	{"net", {"--write=none"}, "net.disable"},
	{NULL, {"--write=none", "--net=outbound", "--inbound=8080"}, ""},
	{NULL, {"--write=none", "--net=egress", "--egress=10.1.2.3:80"}, ""},
	{"net", {"--write=none", "--net=outbound", "--inbound=8080"}, "net.inbound net.outbound"},
	{"net", {"--write=none", "--net=egress", "--egress=10.1.2.3:80"}, "net.egress"},
	{"net_rules", {"--write=none", "--net=egress", "--egress=10.1.2.3:80"}, "net.egress"},
	{"pid", {"--write=none"}, "host.conceal proc.isolation"},
	{"ipc", {"--write=none"}, "ipc.restrict session.fresh"},
	{"uts", {"--write=none"}, "host.conceal"},
	{"dev", {"--write=none"},
		"dev.minimal fs.write.deny host.conceal ipc.restrict res.disk session.fresh"},
	{"env", {"--write=none"}, "env.scrub"},
	{"read_only", {"--write=none"}, "fs.write.deny res.disk"},
	{"read_only", {"--write=ephemeral"}, "fs.write.ephemeral res.disk"},
	{"read_deny", {"--write=none"}, "fs.read.deny"},
	{"disk", {"--write=none"}, "res.disk"},
	{"time", {"--write=none", "--timeout=1h"}, "res.time"},
	{"mount", {"--write=none", "--dir=/usr"},
		"dev.minimal fs.read.deny fs.read.scope fs.write.deny host.conceal ipc.restrict "
		"proc.isolation res.disk session.fresh"},
};

static void check_row(const struct row *row)
{
	static const char *const base[] = {BASE};
	cleanup(strv_freep) char **words = NULL;
	cleanup_free char *broken = NULL;
	struct measured measured;

	for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
		assert_int_equal(strv_append(&words, base[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(row->extra) && row->extra[i]; i++) {
		assert_int_equal(strv_append(&words, row->extra[i]), 0);
	}
	if (row->layers) {
		assert_int_equal(strv_appendf(&words, "--without=%s", row->layers), 0);
	}
	measured = run_host_list(words);
	if (!measured.report) {
		fail_msg("without %s: no report, exit %d", row->layers ? row->layers : "nothing",
			measured.code);
	}
	broken = broken_promises(&measured);
	if (strcmp(broken, row->broken) != 0 || measured.code != (*row->broken ? 1 : 0)) {
		fail_msg("without %s: '%s' broken, '%s' expected, exit %d",
			row->layers ? row->layers : "nothing", broken, row->broken, measured.code);
	}
	measured_fini(&measured);
}

static void each_layer_is_missed_where_it_matters(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check_row(&rows[i]);
	}
}

/* A layer that no row takes away would be one that nobody measures. */
static void no_layer_is_forgotten(void **state)
{
	(void)state;
	for (size_t i = 0; plan_layer_names[i]; i++) {
		/* That one takes a second sandbox: test-ablate.py. */
		bool found = UINT32_C(1) << i == PLAN_LAYER_USER;
		for (size_t j = 0; j < ARRAY_SIZE(rows); j++) {
			found |= rows[j].layers && strstr(rows[j].layers, plan_layer_names[i]);
		}
		if (!found) {
			fail_msg("no row leaves out %s", plan_layer_names[i]);
		}
	}
}

/* Every promise that native makes is broken by some row: none of them passes come what may. */
static void every_promise_can_be_seen_broken(void **state)
{
	/* grants; and net.enable, whose absence is net.disable */
	static const char *const elsewhere[] = {"net.enable", "fs.read.host", "fs.write.scope"};

	(void)state;
	for (size_t c = 0; c < CAPABILITY_COUNT; c++) {
		const char *name = capability_name((enum capability)c);
		bool found = !capability_set_has(backend_native.enforces, (enum capability)c);
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			found |= strstr(rows[i].broken, name) != NULL;
		}
		for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
			found |= strcmp(elsewhere[i], name) == 0;
		}
		if (!found) {
			fail_msg("nothing breaks %s", name);
		}
	}
}

/* Grants, held against a target that does not give them. */
static void a_grant_that_is_not_given_is_seen(void **state)
{
	static const struct {
		const char *capability, *net;
	} cases[] = {{"net.enable", "--net=disable"}, {"fs.read.host", "--net=disable"},
		{"fs.write.scope", "--net=disable"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *declare = NULL;
		assert_true(asprintf(&declare, "--declare=%s", cases[i].capability) > 0);
		struct measured measured =
			run_host(BASE, "--write=none", cases[i].net, declare, (char *)NULL);
		assert_int_equal(measured.code, 1);
		assert_string_equal(capability_field(&measured, cases[i].capability, "verdict"),
			"OVER-RESTRICTED");
		measured_fini(&measured);
	}
}

/*
 * The host's network, as far as the sandboxes of this test know: an address, and a way to the world
 * that ends at the other end of a link of ours, where nobody is.
 */
static int make_network(void)
{
	cleanup_close int own = -1;

	if (unshare(CLONE_NEWNET) < 0) {
		return -1;
	}
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || links_add_pair("up0", "down0", own) < 0 || links_up("lo", 0, 0) < 0 ||
		links_up("down0", 0, 0) < 0 ||
		links_up("up0", htonl(0xcb007101U), htonl(0xffffff00U)) < 0 ||
		links_add_default_route(htonl(0xcb007102U)) < 0) {
		return -1;
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_layer_is_missed_where_it_matters),
		cmocka_unit_test(no_layer_is_forgotten),
		cmocka_unit_test(every_promise_can_be_seen_broken),
		cmocka_unit_test(a_grant_that_is_not_given_is_seen),
	};
	struct host host;
	struct err err = {0};

	if (geteuid() == 0 && make_network() < 0) {
		perror("making a network for the test");
		return 1;
	}
	if (geteuid() != 0 || host_probe(&host, &err) < 0 ||
		backend_native.probe(&host, &err) < 0 || !host.overlay || host.landlock_abi < 6 ||
		!host.cgroup[CGROUP_MEMORY].version) {
		(void)fprintf(
			stderr, "needs root and a native backend with every layer: %s\n", err.msg);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
