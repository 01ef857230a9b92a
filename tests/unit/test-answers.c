/* What a tool has answered is remembered for as long as its file is the same. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/answers.h"
#include "backends/foreign.h"
#include "backends/runtime.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/test.h"

struct world {
	char tool[64]; /* a program that has not changed for an hour */
	char question[40];
	struct answers_key key;
};

static void write_tool(const struct world *world, const char *text)
{
	FILE *file = fopen(world->tool, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(world->tool, 0755), 0);
}

static int make_world(void **state)
{
	static struct world world;
	unsigned char random[8];
	char hex[17];

	io_random(random, sizeof(random));
	(void)snprintf(world.tool, sizeof(world.tool), "/tmp/cloche-answers-%s",
		io_hex(random, sizeof(random), hex));
	(void)snprintf(world.question, sizeof(world.question), "test-%s", hex);
	(void)snprintf(world.key.text, sizeof(world.key.text), "a key\n");
	*state = &world;
	return 0;
}

static int end_world(void **state)
{
	struct world *world = *state;
	char folder[RUNTIME_PATH];
	cleanup_close int directory = runtime_open("answers", false, folder);

	(void)unlink(world->tool);
	if (directory >= 0) {
		(void)unlinkat(directory, world->question, 0);
	}
	return 0;
}

static void an_answer_is_given_back_for_its_key_alone(void **state)
{
	struct world *world = *state;
	const struct answers_key other = {"a key that is another\n"};
	char text[16] = "";

	assert_false(answers_recall(world->question, &world->key, text, sizeof(text)));
	answers_keep(world->question, &world->key, "forty-two");
	assert_true(answers_recall(world->question, &world->key, text, sizeof(text)));
	assert_string_equal(text, "forty-two");
	assert_false(answers_recall(world->question, &other, text, sizeof(text)));
	answers_keep(world->question, &other, "");
	assert_true(answers_recall(world->question, &other, text, sizeof(text)));
	assert_string_equal(text, "");
	assert_false(answers_recall(world->question, &world->key, text, sizeof(text)));
}

static void a_key_is_of_one_state_of_a_file(void **state)
{
	struct world *world = *state;
	struct answers_key first;
	struct answers_key second;

	assert_false(answers_key(world->tool, &first));
	write_tool(world, "#!/bin/sh\necho one\n");
	/* It may change again within the same tick. */
	assert_false(answers_key(world->tool, &first));
	assert_true(answers_key("/bin/sh", &first));
	assert_true(answers_key("/bin/sh", &second));
	assert_string_equal(first.text, second.text);
	assert_true(answers_key("/bin/cat", &second));
	assert_string_not_equal(first.text, second.text);
}

static void what_somebody_else_put_there_is_not_taken(void **state)
{
	struct world *world = *state;
	char folder[RUNTIME_PATH];
	char text[16] = "";

	answers_keep(world->question, &world->key, "mine");
	cleanup_close int directory = runtime_open("answers", false, folder);
	assert_true(directory >= 0);
	assert_int_equal(unlinkat(directory, world->question, 0), 0);
	assert_int_equal(symlinkat("/etc/hostname", directory, world->question), 0);
	assert_false(answers_recall(world->question, &world->key, text, sizeof(text)));
	assert_false(answers_recall("../answers", &world->key, text, sizeof(text)));
	answers_keep("../../escaped", &world->key, "x");
	assert_int_equal(faccessat(directory, "../../escaped", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static void a_tool_that_has_just_changed_is_asked_each_time(void **state)
{
	struct world *world = *state;
	char option[] = "--help";
	char *argv[] = {world->tool, option, NULL};
	char text[16];

	write_tool(world, "#!/bin/sh\necho one\n");
	assert_int_equal(foreign_ask_once(argv, 5000, text, sizeof(text)), 0);
	assert_string_equal(text, "one\n");
	write_tool(world, "#!/bin/sh\necho two\n");
	assert_int_equal(foreign_ask_once(argv, 5000, text, sizeof(text)), 0);
	assert_string_equal(text, "two\n");
	write_tool(world, "#!/bin/sh\nexit 3\n");
	assert_int_equal(foreign_ask_once(argv, 5000, text, sizeof(text)), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			an_answer_is_given_back_for_its_key_alone, make_world, end_world),
		cmocka_unit_test_setup_teardown(
			a_key_is_of_one_state_of_a_file, make_world, end_world),
		cmocka_unit_test_setup_teardown(
			what_somebody_else_put_there_is_not_taken, make_world, end_world),
		cmocka_unit_test_setup_teardown(
			a_tool_that_has_just_changed_is_asked_each_time, make_world, end_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
