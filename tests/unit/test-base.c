#include "tests/test.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"

static void numbers_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} rows[] = {
		{"0", 0, 0},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = 0;
		assert_int_equal(parse_u64(rows[i].text, &value), rows[i].result);
		assert_int_equal(value, rows[i].value);
	}
}

static void sizes_and_durations_take_suffixes(void **state)
{
	uint64_t value = 0;

	assert_int_equal(parse_size("64K", &value), 0);
	assert_int_equal(value, 65536);
	assert_int_equal(parse_size("64k", &value), -EINVAL);
	assert_int_equal(parse_size("64KB", &value), -EINVAL);
	assert_int_equal(parse_size("99999999999T", &value), -ERANGE);
	assert_int_equal(parse_duration("1h30m", &value), 0);
	assert_int_equal(value, 5400);
	assert_int_equal(parse_duration("90", &value), 0);
	assert_int_equal(value, 90);
	assert_int_equal(parse_duration("1y", &value), -EINVAL);
	assert_int_equal(parse_milli("1.5", &value), 0);
	assert_int_equal(value, 1500);
	assert_int_equal(parse_milli("0.0005", &value), -EINVAL);
	assert_int_equal(parse_milli("1.", &value), -EINVAL);
}

static void paths_are_cleaned_or_refused(void **state)
{
	static const struct {
		const char *path, *clean;
	} rows[] = {
		{"/", "/"},
		{"//a///b/./c/", "/a/b/c"},
		{"a/b", NULL},
		{"/a/../b", NULL},
		{"/a\nb", NULL},
		{"/..a/b..", "/..a/b.."},
		{"", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *clean = NULL;
		int r = parse_absolute_path(rows[i].path, &clean);
		assert_int_equal(r, rows[i].clean ? 0 : -EINVAL);
		if (rows[i].clean) {
			assert_string_equal(clean, rows[i].clean);
		}
	}
}

static void a_path_of_windows_is_what_it_looks_like(void **state)
{
	static const struct {
		const char *path, *clean;
	} rows[] = {
		{"C:\\", "C:\\"},
		{"c:\\work", "C:\\work"},
		{"C:\\work\\", "C:\\work"},
		{"C:\\\\work\\\\a b", "C:\\work\\a b"},
		{"D:\\caf\xc3\xa9\\x.txt", "D:\\caf\xc3\xa9\\x.txt"},
		{"C:\\PROGRA~1", "C:\\PROGRA~1"},
		{"C:\\console", "C:\\console"},
		{"C:\\com10", "C:\\com10"},
		{"C:\\..\\x", NULL},
		{"C:\\a\\.\\x", NULL},
		{"C:work", NULL},
		{"C:", NULL},
		{"C:/work", NULL},
		{"C:\\a/b", NULL},
		{"\\\\server\\share", NULL},
		{"\\\\?\\C:\\x", NULL},
		{"\\\\.\\PhysicalDrive0", NULL},
		{"1:\\x", NULL},
		{"/work", NULL},
		{"C:\\secret.", NULL},
		{"C:\\secret ", NULL},
		{"C:\\secret \\x", NULL},
		{"C:\\file:stream", NULL},
		{"C:\\file::$DATA", NULL},
		{"C:\\nul", NULL},
		{"C:\\a\\Con.txt", NULL},
		{"C:\\NUL .txt", NULL},
		{"C:\\lpt1", NULL},
		{"C:\\COM\xc2\xb9", NULL},
		{"C:\\*.txt", NULL},
		{"C:\\a\"b", NULL},
		{"C:\\a\nb", NULL},
		{"C:\\a\x7f", NULL},
		{"C:\\\xc0\xae", NULL},
		{"C:\\\xed\xa0\x80", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *clean = NULL;
		int r = parse_windows_path(rows[i].path, &clean);
		if (r != (rows[i].clean ? 0 : -EINVAL)) {
			fail_msg("'%s' gives %d", rows[i].path, r);
		}
		if (rows[i].clean) {
			assert_string_equal(clean, rows[i].clean);
		}
	}
}

static void a_log_line_cannot_be_forged(void **state)
{
	char out[64];

	assert_string_equal(
		log_escape("a\nb\x1b[2J\x7f\\", out, sizeof(out)), "a\\x0ab\\x1b[2J\\x7f\\x5c");
	assert_string_equal(log_escape("\xc3\xa9\xc3\xff", out, sizeof(out)), "\xc3\xa9\\xc3\\xff");
	assert_string_equal(log_escape("\xc0\xae", out, sizeof(out)), "\\xc0\\xae");
	/* CSI and OSC of eight bits, as characters; the first that is none of them */
	assert_string_equal(log_escape("\xc2\x9b[n", out, sizeof(out)), "\\xc2\\x9b[n");
	assert_string_equal(log_escape("\xc2\x9d\xc2\xa0", out, sizeof(out)), "\\xc2\\x9d\xc2\xa0");
	assert_string_equal(log_escape("abcdef", out, 5), "a");
}

static void a_reader_never_reads_past_its_end(void **state)
{
	cleanup(buf_fini) struct buf buf = {0};
	size_t size = 0;

	buf_put_u32(&buf, 7);
	buf_put_string(&buf, "hello");
	for (size_t cut = 0; cut < buf.size; cut++) {
		struct reader reader = {.data = buf.data, .left = cut};
		(void)reader_u32(&reader);
		(void)reader_blob(&reader, &size);
		assert_true(reader.failed);
		assert_false(reader_done(&reader));
	}
	struct reader reader = {.data = buf.data, .left = buf.size};
	assert_int_equal(reader_u32(&reader), 7);
	cleanup_free char *text = reader_string(&reader, 5);
	assert_string_equal(text, "hello");
	assert_true(reader_done(&reader));
}

static void errors_keep_their_code_and_gain_context(void **state)
{
	struct err err = {0};

	assert_int_equal(err_set(&err, EPERM, "mounting %s", "/proc"), -EPERM);
	assert_int_equal(err_wrap(&err, "session %d", 7), -EPERM);
	assert_string_equal(err.msg, "session 7: mounting /proc: Operation not permitted");
	assert_int_equal(err_refuse(&err, EINVAL, "no"), -EINVAL);
	assert_string_equal(err.msg, "no");
}

static void lists_behave(void **state)
{
	cleanup(strv_freep) char **list = NULL;

	assert_int_equal(strv_setenv(&list, "A", "1"), 0);
	assert_int_equal(strv_setenv(&list, "AB", "2"), 0);
	assert_int_equal(strv_setenv(&list, "A", "3"), 0);
	assert_int_equal(strv_length(list), 2);
	assert_string_equal(strv_getenv(list, "A"), "3");
	assert_null(strv_getenv(list, "B"));
	assert_int_equal(parse_edit_distance("memroy", "memory", 3), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_read_strictly),
		cmocka_unit_test(sizes_and_durations_take_suffixes),
		cmocka_unit_test(paths_are_cleaned_or_refused),
		cmocka_unit_test(a_path_of_windows_is_what_it_looks_like),
		cmocka_unit_test(a_log_line_cannot_be_forged),
		cmocka_unit_test(a_reader_never_reads_past_its_end),
		cmocka_unit_test(errors_keep_their_code_and_gain_context),
		cmocka_unit_test(lists_behave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
