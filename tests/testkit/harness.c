#include "tests/testkit/harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "tests/test.h"

#define MAX_REPORT (4U << 20)

const char *program_path(const char *variable)
{
	const char *path = getenv(variable);

	if (!path) {
		fail_msg("%s is not set", variable);
	}
	return path;
}

struct measured run_host_list(char *const *words)
{
	cleanup(strv_freep) char **argv = NULL;
	cleanup_free char *text = NULL;
	struct measured measured = {0};
	uint64_t began = io_now_usec();
	int ends[2];
	int status = 0;

	assert_int_equal(strv_append(&argv, program_path("TESTKIT_HOST")), 0);
	assert_int_equal(strv_append(&argv, "--format=json"), 0);
	for (; *words; words++) {
		assert_int_equal(strv_append(&argv, *words), 0);
	}
	assert_int_equal(pipe(ends), 0);
	const int fds[] = {-1, ends[1], 2};
	int pidfd = proc_spawn(argv, environ, fds, NULL);
	assert_true(pidfd >= 0);
	(void)close(ends[1]);
	assert_int_equal(io_read_fd(ends[0], MAX_REPORT, &text, NULL), 0);
	(void)close(ends[0]);
	assert_int_equal(proc_wait(pidfd, 10000, &status), 0);
	(void)close(pidfd);
	measured.code = proc_exit_code(status);
	measured.msec = (io_now_usec() - began) / 1000;
	measured.report = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	return measured;
}

struct measured run_host(const char *word, ...)
{
	cleanup(strv_freep) char **words = NULL;
	va_list args;

	va_start(args, word);
	for (; word; word = va_arg(args, const char *)) {
		assert_int_equal(strv_append(&words, word), 0);
	}
	va_end(args);
	return run_host_list(words);
}

void measured_fini(struct measured *measured)
{
	json_decref(measured->report);
	measured->report = NULL;
}

static const char *field_of(const struct measured *measured, const char *list, const char *key,
	const char *name, const char *field)
{
	json_t *item = NULL;
	size_t i = 0;

	json_array_foreach(json_object_get(measured->report, list), i, item)
	{
		const char *value = json_string_value(json_object_get(item, key));
		if (value && strcmp(value, name) == 0) {
			value = json_string_value(json_object_get(item, field));
			return value ? value : "";
		}
	}
	return "";
}

const char *capability_field(const struct measured *measured, const char *name, const char *field)
{
	return field_of(measured, "capabilities", "name", name, field);
}

const char *probe_field(const struct measured *measured, const char *id, const char *field)
{
	return field_of(measured, "probes", "id", id, field);
}

char *broken_promises(const struct measured *measured)
{
	cleanup(strv_freep) char **names = NULL;
	json_t *item = NULL;
	size_t i = 0;
	char *text = NULL;

	json_array_foreach(json_object_get(measured->report, "capabilities"), i, item)
	{
		const char *verdict = json_string_value(json_object_get(item, "verdict"));
		if (json_is_true(json_object_get(item, "declared")) && verdict &&
			strcmp(verdict, "PASS") != 0) {
			assert_int_equal(strv_append(&names,
						 json_string_value(json_object_get(item, "name"))),
				0);
		}
	}
	if (names) {
		strv_sort(names);
	}
	text = names ? strv_join(names, " ") : strdup("");
	assert_non_null(text);
	return text;
}
