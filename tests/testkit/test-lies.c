/*
 * Clients that lie or misbehave, and targets that confine nothing: the testkit must not be taken in,
 * hung or filled by any of them.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "testkit/judge.h"
#include "tests/test.h"
#include "tests/testkit/harness.h"

#define BUSY_MS 15000 /* what a busy machine and the sanitizers may add to it */
#define BWRAP "bwrap --ro-bind / / --unshare-all --new-session --dev /dev --proc /proc"

/* "--target=exec:<launcher> <program> <mode> {client}" */
static char *target(const char *launcher, const char *program, const char *mode)
{
	char *text = NULL;

	assert_true(asprintf(&text, "--target=exec:%s %s %s {client}", launcher,
			    program_path(program), mode) > 0);
	return text;
}

/* Probes that the host itself sees happen; what a filter dump says is no such thing. */
static bool is_seen_to_happen(const char *id, const char *evidence, const char *level)
{
	return strcmp(evidence, "seen") == 0 && level[1] >= '2' && id[0] != 'K' && id[0] != 'X' &&
		!strstr(id, "-door");
}

static void what_was_done_cannot_be_denied(void **state)
{
	cleanup_free char *honest_target = target("", "TESTKIT_ENV", "");
	cleanup_free char *lying_target = target("", "TESTKIT_LIAR", "refuse");
	struct measured honest = run_host(honest_target, "--quick", (char *)NULL);
	struct measured lying = run_host(lying_target, "--quick", (char *)NULL);
	unsigned caught = 0;

	(void)state;
	assert_non_null(honest.report);
	assert_non_null(lying.report);
	for (size_t i = 0; i < probe_count; i++) {
		const char *id = probe_table[i].id;
		if (probe_table[i].flags & PROBE_STATE ||
			!is_seen_to_happen(id, probe_field(&honest, id, "evidence"),
				probe_field(&honest, id, "level"))) {
			continue;
		}
		caught++;
		if (strcmp(probe_field(&lying, id, "observed"), "LEAK") != 0) {
			fail_msg("%s: the lie was taken: %s", id,
				probe_field(&lying, id, "observed"));
		}
	}
	assert_true(caught >= 25);
	measured_fini(&honest);
	measured_fini(&lying);
}

/* And the promises are found broken, lie or not. */
static void denial_does_not_keep_a_promise(void **state)
{
	cleanup_free char *lying_target = target("", "TESTKIT_LIAR", "refuse");
	static const char *const promises[] = {"net.disable", "fs.read.scope", "fs.write.deny",
		"fs.write.ephemeral", "ipc.restrict", "proc.isolation", "kernel.filter",
		"priv.none", "dev.minimal", "tty.isolate", "host.conceal", "session.fresh",
		"env.scrub", "res.memory", "res.cpu", "res.disk"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(promises); i++) {
		cleanup_free char *declare = NULL;
		assert_true(asprintf(&declare, "--declare=%s", promises[i]) > 0);
		struct measured measured = run_host(lying_target, "--quick", declare, (char *)NULL);
		if (measured.code != 1 ||
			strcmp(capability_field(&measured, promises[i], "verdict"), "FAIL") != 0) {
			fail_msg("%s: %s, exit %d", promises[i],
				capability_field(&measured, promises[i], "verdict"), measured.code);
		}
		measured_fini(&measured);
	}
}

/* In a target that confines: what the host did not see did not happen. */
static void what_was_not_done_cannot_be_claimed(void **state)
{
	cleanup_free char *honest_target = target(BWRAP, "TESTKIT_ENV", "");
	cleanup_free char *lying_target = target(BWRAP, "TESTKIT_LIAR", "boast");
	struct measured honest = run_host(honest_target, "--quick", (char *)NULL);
	struct measured lying = run_host(lying_target, "--quick", (char *)NULL);
	unsigned caught = 0;

	(void)state;
	assert_non_null(honest.report);
	assert_non_null(lying.report);
	for (size_t i = 0; i < probe_count; i++) {
		const char *id = probe_table[i].id;
		const char *observed = probe_field(&lying, id, "observed");
		if (probe_table[i].flags & PROBE_STATE ||
			strcmp(probe_field(&honest, id, "observed"), "SHUT") != 0 ||
			strcmp(probe_field(&honest, id, "evidence"), "unseen") != 0) {
			continue;
		}
		caught++;
		/* A success that stays inside is something a sandbox may well offer. */
		if (strcmp(observed, probe_table[i].flags & PROBE_VIRTUAL ? "VIRTUAL" : "LYING") !=
			0) {
			fail_msg("%s: the lie was taken: %s", id, observed);
		}
	}
	assert_true(caught >= 20);
	measured_fini(&honest);
	measured_fini(&lying);
}

/* A kernel of one's own is what the host finds, not a process that it does not find. */
static void a_client_of_another_name_has_no_kernel_of_its_own(void **state)
{
	static const char *const launchers[] = {"", BWRAP};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(launchers); i++) {
		cleanup_free char *renamed = target(launchers[i], "TESTKIT_LIAR", "rename");
		struct measured measured = run_host(renamed, "--probe=K.same-kernel",
			"--declare=kernel.isolation", (char *)NULL);

		assert_int_equal(measured.code, 1);
		assert_string_equal(probe_field(&measured, "K.same-kernel", "observed"), "OPEN");
		assert_string_equal(
			capability_field(&measured, "kernel.isolation", "verdict"), "FAIL");
		measured_fini(&measured);
	}
}

static void a_boast_does_not_make_a_grant(void **state)
{
	cleanup_free char *lying_target = target(BWRAP, "TESTKIT_LIAR", "boast");
	struct measured measured = run_host(
		lying_target, "--quick", "--declare=fs.write.scope,net.enable", (char *)NULL);

	(void)state;
	assert_int_equal(measured.code, 1);
	assert_string_not_equal(capability_field(&measured, "fs.write.scope", "verdict"), "PASS");
	assert_string_not_equal(capability_field(&measured, "net.enable", "verdict"), "PASS");
	measured_fini(&measured);
}

/* Answers left out are not answers in the client's favour. */
static void half_the_answers_are_no_proof(void **state)
{
	cleanup_free char *mumbling = target(BWRAP, "TESTKIT_LIAR", "mumble");
	struct measured measured =
		run_host(mumbling, "--quick", "--declare=net.disable", (char *)NULL);

	(void)state;
	assert_int_equal(measured.code, 3);
	assert_string_equal(capability_field(&measured, "net.disable", "verdict"), "INCONCLUSIVE");
	measured_fini(&measured);
}

/* ---- clients that only want to do harm ---- */

static const struct {
	const char *mode;
	int code;
	unsigned seconds; /* it has; enough for a greeting, where there is one */
	bool full_time; /* it uses them up, twice */
} hostile[] = {
	{"hang", 2, 1, true},
	{"leave", 2, 30, false},
	{"garbage", 2, 30, false},
	{"greet-hang", 3, 3, true},
	{"greet-leave", 3, 30, false},
	{"flood", 3, 30, false},
	{"skip", 3, 30, false},
};

static void no_client_keeps_the_host(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		cleanup_free char *text = target("", "TESTKIT_HOSTILE", hostile[i].mode);
		cleanup_free char *limit = NULL;
		assert_true(asprintf(&limit, "--run-timeout=%us", hostile[i].seconds) > 0);
		struct measured measured =
			run_host(text, "--quick", limit, "--declare=proc.no_exec", (char *)NULL);
		if (measured.code != hostile[i].code) {
			fail_msg("%s: exit %d", hostile[i].mode, measured.code);
		}
		/* Control and two sessions. */
		if (measured.msec >
			(hostile[i].full_time ? 2000 * hostile[i].seconds : 0) + BUSY_MS) {
			fail_msg("%s took %llu ms", hostile[i].mode,
				(unsigned long long)measured.msec);
		}
		measured_fini(&measured);
	}
}

/* A victim that is killed or stopped before it could count its signals was reached all the same. */
static void a_silenced_victim_was_reached(void **state)
{
	static const char *const modes[] = {"murder", "stop"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		cleanup_free char *text = target("", "TESTKIT_HOSTILE", modes[i]);
		struct measured measured =
			run_host(text, "--quick", "--declare=proc.isolation", (char *)NULL);

		assert_int_equal(measured.code, 1);
		if (strcmp(probe_field(&measured, "P.kill", "observed"), "LEAK") != 0) {
			fail_msg("%s: %s", modes[i], probe_field(&measured, "P.kill", "observed"));
		}
		measured_fini(&measured);
	}
}

/* ---- launchers that keep their promises ---- */

static void a_launcher_can_be_given_places(void **state)
{
	struct measured measured = run_host(
		"--target=exec:" BWRAP " --tmpfs {deny} --bind {scope} {scope} {client}", "--quick",
		"--declare=net.disable,fs.write.scope,fs.read.deny,fs.read.host,dev.minimal",
		(char *)NULL);
	cleanup_free char *broken = broken_promises(&measured);

	(void)state;
	/* It hands inherited descriptors on, through which one can write. */
	assert_string_equal(broken, "fs.write.scope");
	assert_string_equal(probe_field(&measured, "F.scope-create", "verdict"), "PASS");
	assert_string_equal(probe_field(&measured, "F.dirfd", "verdict"), "FAIL");
	assert_string_equal(probe_field(&measured, "F.rofd", "verdict"), "FAIL");
	assert_string_equal(probe_field(&measured, "F.create", "verdict"), "PASS");
	measured_fini(&measured);
}

/* ---- both halves know the same probes ---- */

static void the_client_knows_every_probe(void **state)
{
	cleanup_free char *text = NULL;
	char list[] = "--list";
	char *argv[] = {(char *)(uintptr_t)program_path("TESTKIT_CLIENT"), list, NULL};
	int ends[2];
	int status = 0;
	size_t count = 0;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	const int fds[] = {-1, ends[1], 2};
	int pidfd = proc_spawn(argv, NULL, fds, NULL);
	assert_true(pidfd >= 0);
	(void)close(ends[1]);
	assert_int_equal(io_read_fd(ends[0], 65536, &text, NULL), 0);
	(void)close(ends[0]);
	assert_int_equal(proc_wait(pidfd, 5000, &status), 0);
	(void)close(pidfd);
	for (char *rest = text, *id = NULL; (id = strsep(&rest, "\n")) && *id; count++) {
		const struct probe *probe = probe_find(id);
		if (!probe || probe->flags & (PROBE_STATE | PROBE_SSH)) {
			fail_msg("the host does not know %s as the client does", id);
		}
	}
	for (size_t i = 0; i < probe_count; i++) {
		count -= !(probe_table[i].flags & (PROBE_STATE | PROBE_SSH));
	}
	assert_int_equal(count, 0);
}

/* ---- no confinement at all ---- */

static void nothing_keeps_no_promise(void **state)
{
	struct capability_set all = {0};

	(void)state;
	for (size_t i = 0; i < judge_rule_count; i++) {
		/* Grants are there where nothing confines, and these two are about limits and lists. */
		if (capability_kind(judge_rules[i].capability) == CAPABILITY_RESTRICTION) {
			capability_set_add(&all, judge_rules[i].capability);
		}
	}
	capability_set_remove(&all, CAPABILITY_FS_READ_DENY);
	capability_set_remove(&all, CAPABILITY_RES_TIME);
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(all, list);
	char names[1024];
	cleanup_free char *declare = NULL;

	(void)capability_set_format(all, names, sizeof(names));
	assert_true(asprintf(&declare, "--declare=%s", names) > 0);
	struct measured measured = run_host("--target=none", declare, (char *)NULL);
	assert_int_equal(measured.code, 1);
	for (size_t i = 0; i < count; i++) {
		const char *name = capability_name(list[i]);
		if (strcmp(capability_field(&measured, name, "verdict"), "FAIL") != 0) {
			fail_msg("%s: %s", name, capability_field(&measured, name, "verdict"));
		}
	}
	measured_fini(&measured);
}

static void what_nobody_declared_breaks_nothing(void **state)
{
	struct measured measured = run_host("--target=none", "--quick", (char *)NULL);

	(void)state;
	assert_int_equal(measured.code, 0);
	assert_string_equal(
		capability_field(&measured, "net.disable", "verdict"), "UNDECLARED-OPEN");
	measured_fini(&measured);
}

static void bad_usage_is_exit_two(void **state)
{
	static const char *const words[][2] = {{"--target=nowhere", NULL}, {"--probe=N.none", NULL},
		{"--target=none", "--declare=net.disabled"}, {"--target=exec:true", NULL},
		{"--target=native", "--profile=nobody"},
		{"--target=ssh://-oProxyCommand=x@h", NULL}, {"--target=none", "--format=xml"},
		{"--target=none", "--client=/nonexistent"}, {"--quick", NULL},
		{"--target=none", "stray"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct measured measured = run_host(words[i][0], words[i][1], (char *)NULL);
		if (measured.code != 2 || measured.report) {
			fail_msg("%s: exit %d", words[i][0], measured.code);
		}
		measured_fini(&measured);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_done_cannot_be_denied),
		cmocka_unit_test(denial_does_not_keep_a_promise),
		cmocka_unit_test(what_was_not_done_cannot_be_claimed),
		cmocka_unit_test(a_client_of_another_name_has_no_kernel_of_its_own),
		cmocka_unit_test(a_boast_does_not_make_a_grant),
		cmocka_unit_test(half_the_answers_are_no_proof),
		cmocka_unit_test(no_client_keeps_the_host),
		cmocka_unit_test(a_silenced_victim_was_reached),
		cmocka_unit_test(a_launcher_can_be_given_places),
		cmocka_unit_test(the_client_knows_every_probe),
		cmocka_unit_test(nothing_keeps_no_promise),
		cmocka_unit_test(what_nobody_declared_breaks_nothing),
		cmocka_unit_test(bad_usage_is_exit_two),
	};

	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root, for controls of another user\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
