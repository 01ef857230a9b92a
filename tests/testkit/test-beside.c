/*
 * A look into gVisor's kernel, with a runsc that is ours (fake-runsc.c): it goes to runsc itself, and one
 * that fails says what came instead, in whatever verdict is left open by it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/beside.h"
#include "testkit/evidence.h"
#include "testkit/eye.h"
#include "testkit/gaps.h"
#include "tests/test.h"

#define WORD "the word that the client alone was told"
#define FIRST_PLACE "/usr/local/sbin" /* of those where runsc is looked for */
#define RUNSC FIRST_PLACE "/runsc"

/* In the tree of mounts of install(): it goes with us, however we end. */
static char root[] = FIRST_PLACE "/beside.XXXXXX";

/* ---- the session ---- */

struct session {
	int pidfd, in;
	pid_t pid, child;
	struct machine machine;
};

static void write_file(const char *name, const void *data, size_t size, mode_t mode)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "%s/%s", name[0] == '/' ? "" : root, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, data, size), 0);
}

static int set_up(void **state)
{
	static struct session session;
	char option[64];
	char *argv[] = {(char *)(uintptr_t)RUNSC, (char *)(uintptr_t) "boot", option,
		(char *)(uintptr_t)WORD, (char *)(uintptr_t) "container", NULL};
	char number[16] = "";
	int in[2];
	int out[2];

	(void)snprintf(option, sizeof(option), "--root=%s", root);
	assert_true(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	session.pidfd = proc_spawn(argv, NULL, (const int[3]){in[0], out[1], 2}, &session.pid);
	assert_true(session.pidfd >= 0);
	(void)close(in[0]);
	(void)close(out[1]);
	session.in = in[1];
	assert_true(read(out[0], number, sizeof(number) - 1) > 0);
	(void)close(out[0]);
	session.child = atoi(number);
	machine_read(session.pid, WORD, false, &session.machine);
	*state = &session;
	return 0;
}

static int tear_down(void **state)
{
	struct session *session = *state;
	int status = 0;

	(void)close(session->in);
	assert_int_equal(proc_wait(session->pidfd, 20000, &status), 0);
	(void)close(session->pidfd);
	return 0;
}

/* What runsc exec will do next. */
static void prepare(const char *text, size_t size, const char *errors, const char *code)
{
	write_file("text", text, size, 0600);
	write_file("errors", errors, strlen(errors), 0600);
	write_file("code", code, strlen(code), 0600);
}

static char *write_report(size_t *ret_size)
{
	static struct outside outside;
	struct buf text = {0};

	outside_read(getpid(), &outside);
	outside.uid = 4321;
	eye_write(&outside, &text);
	assert_false(text.failed);
	outside_fini(&outside);
	*ret_size = text.size;
	return (char *)text.data;
}

static int look(const struct machine *machine, struct outside *ret, struct err *err)
{
	return beside_look(machine, "/eye", "name", "/scope", ret, err);
}

/* ---- the tests ---- */

static void memory_is_runscs_where_an_address_space_has_the_lower_number(void **state)
{
	const struct session *session = *state;

	assert_true(session->child > 1 && session->child < session->pid);
	assert_int_equal(session->machine.memory, session->pid);
	assert_string_equal(session->machine.engine, RUNSC);
}

static void look_reads_what_the_eye_writes(void **state)
{
	const struct session *session = *state;
	static struct outside seen;
	struct err err = {0};
	size_t size = 0;
	cleanup_free char *report = write_report(&size);

	prepare(report, size, "a warning\n", "0");
	assert_int_equal(look(&session->machine, &seen, &err), 0);
	assert_int_equal(seen.uid, 4321);
	assert_int_equal(seen.root_is_ours, -1);
	outside_fini(&seen);
}

static void look_is_tried_again_while_runsc_refuses(void **state)
{
	const struct session *session = *state;
	static struct outside seen;
	struct err err = {0};
	size_t size = 0;
	cleanup_free char *report = write_report(&size);

	prepare(report, size, "", "0");
	write_file("busy-1", "", 0, 0600);
	write_file("busy-2", "", 0, 0600);
	assert_int_equal(look(&session->machine, &seen, &err), 0);
	outside_fini(&seen);
}

static void failing_look_says_what_came(void **state)
{
	const struct session *session = *state;
	size_t size = 0;
	cleanup_free char *report = write_report(&size);
	cleanup_free char *flood = calloc(1, EYE_MAX + 2);
	static struct outside seen;
	const struct {
		const char *text;
		size_t size;
		const char *errors, *code, *words, *absent;
	} table[] = {
		{"", 0, "no such\x1b container\nsecond line\n", "128",
			"runsc exec ended with 128 after 0 bytes, which are no report; it said: "
			"no such\\x1b container",
			"second"},
		{report, 20, "", "137", "ended with 137 after 20 bytes, which are no report", NULL},
		{flood, EYE_MAX + 1, "", "0", "runsc exec, after 2", NULL},
	};

	assert_non_null(flood);
	memset(flood, 'x', EYE_MAX + 1);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct err err = {0};
		prepare(table[i].text, table[i].size, table[i].errors, table[i].code);
		assert_true(look(&session->machine, &seen, &err) < 0);
		if (!strstr(err.msg, table[i].words) ||
			(table[i].absent && strstr(err.msg, table[i].absent))) {
			fail_msg("row %zu: %s", i, err.msg);
		}
	}
}

static void look_without_arguments_to_go_by_says_so(void **state)
{
	const struct session *session = *state;
	struct machine machine = session->machine;
	static struct outside seen;
	struct err err = {0};

	machine.memory = session->child;
	assert_int_equal(look(&machine, &seen, &err), -ESRCH);
	assert_non_null(strstr(err.msg, "shows no arguments"));
	machine.memory = 0;
	assert_int_equal(look(&machine, &seen, &err), -ESRCH);
	assert_non_null(strstr(err.msg, "no process is known"));
}

/* A run whose look has failed: of another kernel, with the limits of the group around it. */
struct scene {
	struct ground ground;
	struct canary canary;
	struct target target;
	struct run run;
	struct limits limits;
	struct outcome outcomes[CANARY_MAX_PROBES];
};

static struct scene *failed_look(uint64_t tasks)
{
	static struct scene scene;

	memset(&scene, 0, sizeof(scene));
	scene.ground = (struct ground){.terminal_slave = -1, .dir_fd = -1};
	scene.canary = (struct canary){.ground = &scene.ground, .inotify = -1};
	scene.run = (struct run){.canary = &scene.canary,
		.target = &scene.target,
		.environment = -1,
		.hello = true,
		.machine = {.kernel = MACHINE_OTHER},
		.unseen = "no look inside: runsc said why"};
	outside_read(0, &scene.run.outside);
	scene.run.outside.group = true;
	scene.run.outside.tasks_limit = tasks;
	scene.limits = (struct limits){.tasks = 40};
	scene.run.answers = calloc(probe_count, sizeof(scene.run.answers[0]));
	assert_non_null(scene.run.answers);
	return &scene;
}

static void collect(struct scene *scene)
{
	const struct evidence_context context = {.run = &scene->run,
		.canary = &scene->canary,
		.ground = &scene->ground,
		.target = &scene->target,
		.limits = &scene->limits};

	evidence_collect(&context, scene->outcomes);
	free(scene->run.answers);
}

static const struct outcome *outcome_of(const struct scene *scene, const char *id)
{
	return &scene->outcomes[probe_index(probe_find(id))];
}

static void failed_look_is_why_nothing_is_known(void **state)
{
	struct scene *scene = failed_look(0);
	char **gaps = NULL;
	size_t found = 0;

	(void)state;
	scene->run.answers[probe_index(probe_find("K.userns"))] = (struct answer){
		.asked = true, .answered = true, .claim = CLAIM_REFUSED, .error = EPERM};
	assert_int_equal(gaps_find(&scene->run, &gaps), 0);
	STRV_FOREACH (line, gaps) {
		found += strstr(*line, "; no look inside: runsc said why") != NULL;
	}
	assert_int_equal(found, 1);
	collect(scene);
	assert_int_equal(outcome_of(scene, "K.userns")->evidence, EVIDENCE_NONE);
	assert_string_equal(outcome_of(scene, "K.userns")->detail, scene->run.unseen);
	strv_free(gaps);
}

static void limit_around_a_kernel_that_was_not_seen_breaks_no_promise(void **state)
{
	static const struct {
		uint64_t tasks;
		enum evidence evidence;
	} table[] = {{432, EVIDENCE_NONE}, {0, EVIDENCE_NONE}, {40, EVIDENCE_UNSEEN}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct scene *scene = failed_look(table[i].tasks);
		collect(scene);
		assert_int_equal(outcome_of(scene, "R.tasks-limit")->evidence, table[i].evidence);
	}
}

/* Our runsc, in a tree of mounts that nobody else sees. */
static bool install(const char *fake)
{
	cleanup_free char *program = NULL;
	size_t size = 0;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("runsc", FIRST_PLACE, "tmpfs", 0, "mode=0755") < 0 || !mkdtemp(root) ||
		io_read_file(AT_FDCWD, fake, 64U << 20, &program, &size) < 0) {
		return false;
	}
	write_file(RUNSC, program, size, 0755);
	return true;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_runscs_where_an_address_space_has_the_lower_number),
		cmocka_unit_test(look_reads_what_the_eye_writes),
		cmocka_unit_test(look_is_tried_again_while_runsc_refuses),
		cmocka_unit_test(failing_look_says_what_came),
		cmocka_unit_test(look_without_arguments_to_go_by_says_so),
		cmocka_unit_test(failed_look_is_why_nothing_is_known),
		cmocka_unit_test(limit_around_a_kernel_that_was_not_seen_breaks_no_promise),
	};

	if (geteuid() != 0) {
		(void)printf("SKIP: takes root, as runsc is root's\n");
		return 77;
	}
	assert(argc == 2);
	if (!install(argv[1])) {
		perror("installing a runsc of our own");
		return 1;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
