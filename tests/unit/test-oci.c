/*
 * The OCI form of the system call policy against the compiled one: an interpreter of the format,
 * asked the same questions as the program that native sessions get.
 */
#include "tests/test.h"

#include <errno.h>
#include <jansson.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "backends/linux/arch.h"
#include "backends/linux/bpf.h"
#include "backends/linux/filter-policy.h"
#include "backends/linux/filter.h"
#include "backends/oci.h"
#include "base/cleanup.h"

static bool is_named(json_t *rule, const char *name)
{
	size_t i = 0;
	json_t *item = NULL;

	json_array_foreach(json_object_get(rule, "names"), i, item)
	{
		if (strcmp(json_string_value(item), name) == 0) {
			return true;
		}
	}
	return false;
}

static bool matches(json_t *rule, const uint64_t args[6])
{
	size_t i = 0;
	json_t *item = NULL;

	json_array_foreach(json_object_get(rule, "args"), i, item)
	{
		json_int_t index = 0, mask = 0, value = 0;
		const char *op = NULL;
		assert_int_equal(json_unpack(item, "{s:I,s:s,s:I,s:I}", "index", &index, "op", &op,
					 "value", &mask, "valueTwo", &value),
			0);
		assert_string_equal(op, "SCMP_CMP_MASKED_EQ");
		if ((args[index] & (uint64_t)mask) != (uint64_t)value) {
			return false;
		}
	}
	return true;
}

/* 0: allowed; else the errno. All rules that match must say the same: their order is nobody's. */
static int answer(json_t *profile, const char *name, const uint64_t args[6])
{
	size_t i = 0;
	json_t *rule = NULL;
	int found = -1;

	json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
	{
		const char *action = json_string_value(json_object_get(rule, "action"));
		int says = (int)json_integer_value(json_object_get(rule, "errnoRet"));

		if (strcmp(action, "SCMP_ACT_TRACE") == 0) {
			says = ENOSYS; /* there is no tracer */
		}
		if (is_named(rule, name) && matches(rule, args)) {
			assert_true(found == -1 || found == says);
			found = says;
		}
	}
	return found == -1 ? (int)json_integer_value(json_object_get(profile, "defaultErrnoRet"))
			   : found;
}

static int compiled_answer(int number, const uint64_t args[6])
{
	size_t count = 0;
	const struct sock_filter *program = filter_template(filter_get(false), &count);
	struct seccomp_data data = {.nr = number, .arch = NATIVE_ARCH};
	uint32_t action = 0;

	memcpy(data.args, args, sizeof(data.args));
	assert_int_equal(filter_evaluate(program, count, &data, &action), 0);
	if (action == SECCOMP_RET_ALLOW) {
		return 0;
	}
	assert_int_equal(action & SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ERRNO);
	return (int)(action & SECCOMP_RET_DATA);
}

static void compare(json_t *profile, size_t row, const uint64_t args[6])
{
	const char *name = filter_policy[row].name;
	int wanted = compiled_answer(filter_policy_numbers[row], args);
	int got = answer(profile, name, args);

	/* The one difference the header names. */
	if (strcmp(name, "socket") == 0 && wanted == EPERM && got == ENOSYS) {
		return;
	}
	if (got != wanted) {
		fail_msg("%s(0x%lx, 0x%lx, 0x%lx): compiled %d, OCI %d", name, args[0], args[1],
			args[2], wanted, got);
	}
}

/* Values around every condition of any row: as is, each bit turned, high halves filled. */
static void oci_profile_says_what_the_compiled_one_says(void **state)
{
	cleanup_free char *text = oci_seccomp_json(0);
	json_t *profile = json_loads(text, 0, NULL);

	assert_non_null(profile);
	for (size_t row = 0; row < filter_policy_count; row++) {
		const struct filter_condition *list = filter_policy[row].conditions;
		uint64_t args[6] = {0};

		if (filter_policy_numbers[row] < 0) {
			continue;
		}
		for (size_t i = 0; i < FILTER_MAX_CONDITIONS && list[i].mask; i++) {
			args[list[i].arg] = list[i].value;
		}
		compare(profile, row, args);
		for (size_t i = 0; i < FILTER_MAX_CONDITIONS && list[i].mask; i++) {
			for (unsigned bit = 0; bit < 64; bit++) {
				args[list[i].arg] ^= UINT64_C(1) << bit;
				compare(profile, row, args);
				args[list[i].arg] ^= UINT64_C(1) << bit;
			}
		}
	}
	json_decref(profile);
}

/* A value with high bits set is the same int for the kernel (CVE-2019-7303, CVE-2019-10063). */
static void oci_profile_compares_as_the_kernel_does(void **state)
{
	cleanup_free char *text = oci_seccomp_json(0);
	json_t *profile = json_loads(text, 0, NULL);
	uint64_t args[6] = {0, UINT64_C(0xdead00000000) | TIOCSTI};

	assert_int_equal(answer(profile, "ioctl", args), EPERM);
	args[1] = TIOCGWINSZ;
	assert_int_equal(answer(profile, "ioctl", args), 0);
	args[0] = AF_VSOCK;
	assert_int_equal(answer(profile, "socket", args), EPERM);
	assert_int_equal(answer(profile, "a_call_of_tomorrow", args), ENOSYS);
	json_decref(profile);
}

static void oci_profile_without_exec_has_no_way_to_exec(void **state)
{
	cleanup_free char *text = oci_seccomp_json(OCI_SECCOMP_NO_EXEC);
	json_t *profile = json_loads(text, 0, NULL);
	uint64_t args[6] = {0};

	assert_int_equal(answer(profile, "execve", args), EPERM);
	assert_int_equal(answer(profile, "execveat", args), EPERM);
	assert_int_equal(answer(profile, "read", args), 0);
	json_decref(profile);
}

static void oci_profile_for_old_runsc_still_says_enosys_to_clone3(void **state)
{
	cleanup_free char *text = oci_seccomp_json(OCI_SECCOMP_OLD_RUNSC);
	json_t *profile = json_loads(text, 0, NULL);
	const uint64_t args[6] = {0};

	assert_int_equal(answer(profile, "clone3", args), ENOSYS);
	json_decref(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oci_profile_says_what_the_compiled_one_says),
		cmocka_unit_test(oci_profile_compares_as_the_kernel_does),
		cmocka_unit_test(oci_profile_without_exec_has_no_way_to_exec),
		cmocka_unit_test(oci_profile_for_old_runsc_still_says_enosys_to_clone3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
