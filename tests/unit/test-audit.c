#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "session/audit.h"

static char directory[64];
static char path[96];

static int set_up(void **state)
{
	(void)snprintf(directory, sizeof(directory), "/tmp/cloche-audit-XXXXXX");
	if (!mkdtemp(directory)) {
		return -1;
	}
	(void)snprintf(path, sizeof(path), "%s/audit", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void)unlink(path);
	return rmdir(directory);
}

/* The file's lines that are JSON objects, as an array. */
static json_t *read_lines(size_t *ret_bad)
{
	cleanup_free char *text = NULL;
	json_t *list = json_array();
	size_t bad = 0;

	assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
	char *rest = text;
	char *line = NULL;
	while ((line = strsep(&rest, "\n"))) {
		json_t *entry = *line ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
		bad += *line && !entry;
		if (entry) {
			assert_int_equal(json_array_append_new(list, entry), 0);
		}
	}
	*ret_bad = bad;
	return list;
}

static const char *text_at(json_t *list, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(list, i), key));
}

static void an_event_is_one_line_with_its_place(void **state)
{
	struct audit audit;
	struct stat status;
	struct err err = {0};
	size_t bad = 0;

	assert_int_equal(audit_init(&audit, path, &err), 0);
	assert_int_equal(fstat(audit.fd, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(audit_event(&audit, "server_start", NULL, &err), 0);
	audit_begin(&audit);
	assert_int_equal(audit_event(&audit, "connect",
				 json_pack("{s:o}", "address", audit_text("192.0.2.7")), &err),
		0);
	assert_int_equal(audit_event(&audit, "auth_ok", NULL, &err), 0);
	audit_fini(&audit);

	json_t *list = read_lines(&bad);
	assert_int_equal(bad, 0);
	assert_int_equal(json_array_size(list), 3);
	assert_null(json_object_get(json_array_get(list, 0), "conn"));
	assert_string_equal(text_at(list, 1, "address"), "192.0.2.7");
	assert_string_equal(text_at(list, 1, "conn"), text_at(list, 2, "conn"));
	assert_int_equal(strlen(text_at(list, 1, "conn")), 16);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 2), "seq")), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 2), "v")), 1);
	/* 2026-01-01T00:00:00.000000Z */
	assert_int_equal(strlen(text_at(list, 0, "ts")), 27);
	assert_int_equal(text_at(list, 0, "ts")[26], 'Z');
	json_decref(list);
}

static void text_from_outside_cannot_forge_a_line(void **state)
{
	struct audit audit;
	struct err err = {0};
	size_t bad = 0;

	assert_int_equal(audit_init(&audit, path, &err), 0);
	assert_int_equal(audit_event(&audit, "x",
				 json_pack("{s:o, s:o}", "user",
					 audit_text("a\n{\"event\":\"auth_ok\"}\n\x1b[2J\"\\"),
					 "raw", audit_text("\xff\xc0\xaf\x80")),
				 &err),
		0);
	audit_fini(&audit);
	json_t *list = read_lines(&bad);
	assert_int_equal(bad, 0);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(
		text_at(list, 0, "user"), "a\\x0a{\"event\":\"auth_ok\"}\\x0a\\x1b[2J\"\\x5c");
	assert_string_equal(text_at(list, 0, "raw"), "\\xff\\xc0\\xaf\\x80");
	json_decref(list);
}

static void a_full_disk_is_said_and_costs_one_line(void **state)
{
	struct audit audit;
	struct rlimit old;
	struct err err = {0};
	size_t bad = 0;

	/* A limit on the file's size cuts writes short as a full disk does. */
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(audit_init(&audit, path, &err), 0);
	assert_int_equal(audit_event(&audit, "before", NULL, &err), 0);
	off_t size = lseek(audit.fd, 0, SEEK_END);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	struct rlimit tight = {.rlim_cur = (rlim_t)size + 20, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	int r = audit_event(&audit, "lost", NULL, &err);
	int again = audit_event(&audit, "lost too", NULL, &err);
	bool failing = audit.failing;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r, -ENOSPC);
	assert_true(again < 0);
	assert_true(failing);
	assert_non_null(strstr(err.msg, "audit log cannot be written"));
	assert_int_equal(audit_event(&audit, "after", NULL, &err), 0);
	assert_false(audit.failing);
	audit_fini(&audit);

	json_t *list = read_lines(&bad);
	assert_int_equal(bad, 1);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(text_at(list, 0, "event"), "before");
	assert_string_equal(text_at(list, 1, "event"), "after");
	json_decref(list);
}

static void many_writers_keep_lines_whole(void **state)
{
	enum { WRITERS = 4, LINES = 50 };
	struct audit audit;
	struct err err = {0};
	pid_t pids[WRITERS];
	size_t bad = 0;

	assert_int_equal(audit_init(&audit, path, &err), 0);
	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			int failed = 0;
			audit_begin(&audit);
			for (int n = 0; n < LINES; n++) {
				failed |= audit_event(&audit, "line", NULL, NULL) < 0;
			}
			_exit(failed);
		}
	}
	for (int i = 0; i < WRITERS; i++) {
		int status = 0;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	audit_fini(&audit);
	json_t *list = read_lines(&bad);
	assert_int_equal(bad, 0);
	assert_int_equal(json_array_size(list), WRITERS * LINES);
	json_decref(list);
}

static void files_that_others_can_write_are_refused(void **state)
{
	struct audit audit;
	struct err err = {0};
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	(void)close(fd);
	assert_int_equal(audit_init(&audit, path, &err), -EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(audit_init(&audit, path, &err), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(audit_init(&audit, path, &err), -EISDIR);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			an_event_is_one_line_with_its_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			text_from_outside_cannot_forge_a_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_full_disk_is_said_and_costs_one_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_writers_keep_lines_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			files_that_others_can_write_are_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
