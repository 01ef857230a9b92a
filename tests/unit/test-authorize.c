/*
 * The operator's command: what it may answer, and what becomes of one that hangs, shouts, leaves others behind
 * or looks around.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sshd/authorize.h"
#include "sshd/helper.h"

#define SECOND UINT64_C(1000000)

/* ---- answers ---- */

static void an_answer_is_read_strictly(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "there is no answer"},
		{"yes", "not JSON, in line 1, column"},
		{"true", "not JSON, in line 1"},
		{"[]", "a JSON object is expected"},
		{"{}", "\"v\" is missing"},
		{"{\"v\":2,\"allow\":true}", "\"v\" is not 1"},
		{"{\"v\":true,\"allow\":true}", "\"v\" is not 1"},
		{"{\"v\":1}", "\"allow\" is missing"},
		{"{\"v\":1,\"allow\":\"true\"}", "\"allow\" is neither true nor false"},
		{"{\"v\":1,\"allow\":null}", "\"allow\" is neither true nor false"},
		{"{\"v\":1,\"allow\":true,\"allow\":true}", "not JSON"},
		{"{\"v\":1,\"allow\":true} {}", "not JSON"},
		{"{\"v\":1,\"allow\":true,\"command\":\"x\"}", "a member that is not known"},
		{"{\"v\":1,\"allow\":true,\"reason\":1}", "\"reason\" is not a text"},
		{"{\"v\":1,\"allow\":true,\"reason\":\"a\\nb\"}", "has control bytes"},
		{"{\"v\":1,\"allow\":true,\"reason\":\"a\\u0000b\"}", "not JSON"},
		{"{\"v\":1,\"allow\":true,\"profile\":"
		 "\"012345678901234567890123456789012345678901234567"
		 "890123456789012345\"}",
			"longer than 64 bytes"},
		{"{\"v\":1,\"allow\":true,\"limits\":[]}", "\"limits\" is not an object"},
		{"{\"v\":1,\"allow\":true,\"limits\":{\"disk\":1}}", "not known"},
		{"{\"v\":1,\"allow\":true,\"limits\":{\"timeout\":0}}", "from 1 to"},
		{"{\"v\":1,\"allow\":true,\"limits\":{\"timeout\":1.5}}", "whole number"},
		{"{\"v\":1,\"allow\":true,\"limits\":{\"timeout\":-1}}", "whole number"},
		{"{\"v\":1,\"allow\":true,\"limits\":{\"memory\":1}}", "from 4194304 to"},
		{"{\"v\":1,\"allow\":true,\"limits\":{\"pids\":99999999999999999999}}", "not JSON"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct authorize_answer answer = {0};
		struct err err = {0};
		int r = authorize_answer_parse(rows[i].text, strlen(rows[i].text), &answer, &err);
		if (r != -EINVAL || !strstr(err.msg, rows[i].says)) {
			fail_msg("%s should say \"%s\" but says %s", rows[i].text, rows[i].says,
				err.msg);
		}
		assert_false(answer.allow);
	}
}

static void an_answer_can_only_narrow(void **state)
{
	static const char text[] =
		"{\"v\":1,\"allow\":true,\"forward\":false,\"limits\":{\"timeout\":60,"
		"\"idle_timeout\":30,\"memory\":67108864,\"pids\":16,\"max_sessions\":9}}";
	struct rules_result result = {.max_sessions = 2};
	struct authorize_answer answer = {0};
	struct err err = {0};

	assert_int_equal(authorize_answer_parse(text, strlen(text), &answer, &err), 0);
	result.profile.spec.timeout = 10;
	result.profile.spec.memory = UINT64_C(1) << 30;
	assert_int_equal(strv_append(&result.profile.forward, "local"), 0);
	authorize_narrow(&answer, 128, &result);
	assert_int_equal(result.profile.spec.timeout, 10);
	assert_int_equal(result.profile.idle_timeout, 30);
	assert_int_equal(result.profile.spec.memory, 64 << 20);
	assert_int_equal(result.profile.spec.pids, 16);
	assert_int_equal(result.max_sessions, 2);
	assert_null(result.profile.forward);
	/* Without a number of the user's own it is the server's that is narrowed. */
	result.max_sessions = 0;
	authorize_narrow(&answer, 4, &result);
	assert_int_equal(result.max_sessions, 4);
}

/* ---- the command ---- */

struct fixture {
	char directory[64];
	char script[96];
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	(void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/cloche-helper-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	assert_int_equal(chmod(fixture->directory, 0755), 0);
	(void)snprintf(fixture->script, sizeof(fixture->script), "%s/ask", fixture->directory);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	(void)unlink(fixture->script);
	assert_int_equal(rmdir(fixture->directory), 0);
	free(fixture);
	return 0;
}

static void write_script(const struct fixture *fixture, const char *body)
{
	int fd = open(fixture->script, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "#!/bin/sh\n%s\n", body) > 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(chmod(fixture->script, 0755), 0);
}

static int ask(
	const struct fixture *fixture, const char *body, struct helper_result *ret, struct err *err)
{
	char *argv[] = {
		(char *)(uintptr_t)fixture->script, (char[]){"one argument; $(not) a shell"}, NULL};
	bool root = geteuid() == 0;
	const struct helper helper = {.argv = argv,
		.uid = root ? 65521 : (uid_t)-1,
		.gid = root ? 65521 : (gid_t)-1,
		.input = "question",
		.input_size = 8,
		.timeout = 1,
		.max_output = 1000,
		.client = -1,
		.interrupt = -1};

	write_script(fixture, body);
	return helper_run(&helper, ret, err);
}

static void it_is_asked_and_answers(void **state)
{
	struct helper_result result;
	struct err err = {0};

	assert_int_equal(ask(*state, "cat; printf ' %s' \"$1\"; echo oops >&2", &result, &err), 0);
	assert_string_equal(result.output, "question one argument; $(not) a shell");
	assert_int_equal(result.size, strlen(result.output));
	assert_string_equal(result.complaint, "oops\n");
	free(result.output);
}

static void it_has_nothing_of_ours(void **state)
{
	cleanup_close int secret = open("/etc/passwd", O_RDONLY); /* not close-on-exec */
	struct helper_result result;
	struct err err = {0};

	assert_true(secret > 2);
	assert_int_equal(setenv("CLOCHE_SECRET", "x", 1), 0);
	assert_int_equal(
		ask(*state,
			"ls /proc/self/fd | wc -l; env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; "
			"grep -h NoNewPrivs /proc/self/status; id -u; id -G; ulimit -c",
			&result, &err),
		0);
	/* ls has a fourth, for the directory; the shell adds PWD and its like. */
	assert_int_equal(strncmp(result.output, "4\n", 2), 0);
	assert_null(strstr(result.output, "CLOCHE_SECRET"));
	assert_non_null(strstr(result.output, "LANG "));
	assert_non_null(strstr(result.output, "NoNewPrivs:\t1"));
	assert_non_null(strstr(result.output, " /\n"));
	if (geteuid() == 0) {
		assert_non_null(strstr(result.output, "\n65521\n65521\n0\n"));
	}
	free(result.output);
}

static void one_that_hangs_is_killed_with_all_it_started(void **state)
{
	const struct fixture *fixture = *state;
	struct helper_result result;
	struct err err = {0};
	char body[256];
	char marker[128];
	uint64_t began = io_now_usec();

	(void)snprintf(marker, sizeof(marker), "sleep 61.%d", (int)getpid());
	/* Another session, as root another one still: only the namespace catches that. */
	(void)snprintf(body, sizeof(body), "%s %s & exec sleep 60", geteuid() == 0 ? "setsid" : "",
		marker);
	assert_int_equal(ask(fixture, body, &result, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "has not answered within 1 s"));
	assert_true(io_now_usec() - began < 3 * SECOND);
	(void)snprintf(body, sizeof(body), "pgrep -f '^%s' >/dev/null", marker);
	assert_int_not_equal(system(body), 0);
}

static void what_it_leaves_behind_is_killed_when_it_has_answered(void **state)
{
	struct helper_result result;
	struct err err = {0};
	char body[256];
	uint64_t began = io_now_usec();

	/* It holds the pipes open; the end of the command is what counts. */
	(void)snprintf(body, sizeof(body), "sleep 62.%d & echo done", (int)getpid());
	assert_int_equal(ask(*state, body, &result, &err), 0);
	assert_string_equal(result.output, "done\n");
	assert_true(io_now_usec() - began < SECOND);
	free(result.output);
	(void)snprintf(body, sizeof(body), "pgrep -f '^sleep 62.%d' >/dev/null", (int)getpid());
	assert_int_not_equal(system(body), 0);
}

static void what_fails_says_how(void **state)
{
	static const struct {
		const char *body;
		int code;
		const char *says;
	} rows[] = {
		{"echo '{}'; exit 3", -EIO, "ended with status 3"},
		{"while :; do echo 0123456789; done", -EFBIG, "more than 1000 bytes"},
		{"exec sleep 60 >&-", -ETIMEDOUT, "within 1 s"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct helper_result result;
		struct err err = {0};
		assert_int_equal(ask(*state, rows[i].body, &result, &err), rows[i].code);
		assert_non_null(strstr(err.msg, rows[i].says));
		assert_null(result.output);
	}
}

static void a_flood_of_complaints_neither_blocks_nor_grows(void **state)
{
	struct helper_result result;
	struct err err = {0};

	assert_int_equal(
		ask(*state, "head -c 300000 /dev/zero | tr '\\0' x >&2; echo done", &result, &err),
		0);
	assert_string_equal(result.output, "done\n");
	assert_int_equal(strlen(result.complaint), sizeof(result.complaint) - 1);
	free(result.output);
}

static void nobody_waits_for_a_client_that_is_gone(void **state)
{
	const struct fixture *fixture = *state;
	char *argv[] = {(char *)(uintptr_t)fixture->script, NULL};
	struct helper helper = {.argv = argv,
		.uid = (uid_t)-1,
		.input = "",
		.timeout = 30,
		.max_output = 10,
		.interrupt = -1};
	struct helper_result result;
	struct err err = {0};
	int pair[2];
	uint64_t began = io_now_usec();

	write_script(fixture, "exec sleep 60");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(close(pair[1]), 0);
	helper.client = pair[0];
	assert_int_equal(helper_run(&helper, &result, &err), -EPIPE);
	assert_true(io_now_usec() - began < 3 * SECOND);
	assert_int_equal(close(pair[0]), 0);
}

static void a_command_that_others_could_change_is_not_run(void **state)
{
	const struct fixture *fixture = *state;
	char *argv[] = {(char *)(uintptr_t)fixture->script, NULL};
	const struct helper helper = {.argv = argv,
		.uid = (uid_t)-1,
		.input = "",
		.timeout = 1,
		.max_output = 10,
		.client = -1,
		.interrupt = -1};
	struct helper_result result;
	struct err err = {0};

	write_script(fixture, "echo hello");
	assert_int_equal(chmod(fixture->script, 0777), 0);
	assert_int_equal(helper_run(&helper, &result, &err), -EPERM);
	assert_non_null(strstr(err.msg, "can be written by others"));
	assert_int_equal(chmod(fixture->script, 0644), 0);
	assert_int_equal(helper_run(&helper, &result, &err), -EACCES);
	assert_non_null(strstr(err.msg, "cannot be started"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_read_strictly),
		cmocka_unit_test(an_answer_can_only_narrow),
		cmocka_unit_test_setup_teardown(it_is_asked_and_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_has_nothing_of_ours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			one_that_hangs_is_killed_with_all_it_started, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_it_leaves_behind_is_killed_when_it_has_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_fails_says_how, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_flood_of_complaints_neither_blocks_nor_grows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			nobody_waits_for_a_client_that_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_command_that_others_could_change_is_not_run, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
