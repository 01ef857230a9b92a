#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/capability.h"
#include "base/cleanup.h"

static void every_name_reads_back_as_its_number(void **state)
{
	for (enum capability c = 0; c < CAPABILITY_COUNT; c++) {
		enum capability found = CAPABILITY_COUNT;
		assert_int_equal(capability_parse(capability_name(c), &found, NULL), 0);
		assert_int_equal(found, c);
		assert_true(strlen(capability_describe(c)) > 10);
		assert_true(strlen(capability_describe(c)) < 80);
	}
}

static void the_first_seventeen_are_the_names_of_the_seed(void **state)
{
	static const char *const names[] = {"net.disable", "net.enable", "net.outbound",
		"fs.read.host", "fs.read.scope", "fs.read.deny", "fs.write.deny", "fs.write.scope",
		"fs.write.ephemeral", "env.scrub", "proc.no_exec", "kernel.isolation",
		"ipc.restrict", "mach.restrict", "res.cpu", "res.memory", "res.pids"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(capability_name((enum capability)i), names[i]);
	}
}

static void an_unknown_name_is_refused_with_the_nearest(void **state)
{
	enum capability c = CAPABILITY_COUNT;
	struct err err = {0};

	assert_int_equal(capability_parse("net.disabel", &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "did you mean 'net.disable'"));
	assert_int_equal(capability_parse("perpetuum.mobile", &c, &err), -EINVAL);
	assert_null(strstr(err.msg, "did you mean"));
	assert_int_equal(c, CAPABILITY_COUNT);
}

static void sets_obey_their_algebra(void **state)
{
	struct capability_set a = capability_set_of(CAPABILITY_NET_DISABLE);
	struct capability_set b = capability_set_of(CAPABILITY_DENIAL_LOG);
	struct capability_set both = capability_set_union(a, b);

	assert_int_equal(capability_set_len((struct capability_set){0}), 0);
	assert_int_equal(capability_set_len(both), 2);
	assert_true(capability_set_has(both, CAPABILITY_DENIAL_LOG));
	assert_false(capability_set_has(a, CAPABILITY_DENIAL_LOG));
	assert_int_equal(capability_set_intersect(both, a).bits, a.bits);
	assert_int_equal(capability_set_sub(both, a).bits, b.bits);
	capability_set_remove(&both, CAPABILITY_NET_DISABLE);
	assert_int_equal(both.bits, b.bits);
}

static void lists_are_sorted_by_name_not_by_number(void **state)
{
	struct capability_set set = {0};
	enum capability list[CAPABILITY_COUNT];
	char text[128];

	capability_set_add(&set, CAPABILITY_RES_PIDS);
	capability_set_add(&set, CAPABILITY_DENIAL_LOG);
	capability_set_add(&set, CAPABILITY_NET_EGRESS);
	assert_int_equal(capability_set_list(set, list), 3);
	assert_int_equal(list[0], CAPABILITY_DENIAL_LOG);
	assert_int_equal(list[2], CAPABILITY_RES_PIDS);
	assert_string_equal(
		capability_set_format(set, text, sizeof(text)), "denial.log, net.egress, res.pids");
}

static void formatting_is_cut_and_terminated(void **state)
{
	struct capability_set all = {(UINT64_C(1) << CAPABILITY_COUNT) - 1};
	char text[16];

	memset(text, 'x', sizeof(text));
	capability_set_format(all, text, sizeof(text));
	assert_int_equal(strlen(text), sizeof(text) - 1);
	assert_string_equal(
		capability_set_format((struct capability_set){0}, text, sizeof(text)), "none");
}

static void sets_are_read_with_blanks_around_commas(void **state)
{
	struct capability_set set = {0};

	assert_int_equal(capability_set_parse(" net.disable ,res.cpu", &set, NULL), 0);
	assert_int_equal(set.bits,
		capability_set_of(CAPABILITY_NET_DISABLE).bits |
			capability_set_of(CAPABILITY_RES_CPU).bits);
}

static void a_bad_set_names_its_bad_part_and_changes_nothing(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"net.disable,,res.cpu", "a name is missing"},
		{"", "a name is missing"},
		{"net.disable,res.cpus", "'res.cpus'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct capability_set set = capability_set_of(CAPABILITY_RES_TIME);
		struct err err = {0};
		assert_int_equal(capability_set_parse(rows[i].text, &set, &err), -EINVAL);
		assert_non_null(strstr(err.msg, rows[i].says));
		assert_int_equal(set.bits, capability_set_of(CAPABILITY_RES_TIME).bits);
	}
}

static void twelve_are_portable(void **state)
{
	struct capability_set set = capability_set_portable();

	assert_int_equal(capability_set_len(set), 12);
	assert_false(capability_set_has(set, CAPABILITY_FS_READ_HOST));
	assert_false(capability_set_has(set, CAPABILITY_PROC_NO_EXEC));
	assert_true(capability_set_has(set, CAPABILITY_IPC_RESTRICT));
	assert_true(capability_set_has(set, CAPABILITY_ENV_SCRUB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_reads_back_as_its_number),
		cmocka_unit_test(the_first_seventeen_are_the_names_of_the_seed),
		cmocka_unit_test(an_unknown_name_is_refused_with_the_nearest),
		cmocka_unit_test(sets_obey_their_algebra),
		cmocka_unit_test(lists_are_sorted_by_name_not_by_number),
		cmocka_unit_test(formatting_is_cut_and_terminated),
		cmocka_unit_test(sets_are_read_with_blanks_around_commas),
		cmocka_unit_test(a_bad_set_names_its_bad_part_and_changes_nothing),
		cmocka_unit_test(twelve_are_portable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
