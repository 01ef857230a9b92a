/* The microvm backend as far as it is data: plans, the guest's messages, the kit's manifest. */
#include "tests/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/vm/kit.h"
#include "backends/vm/protocol.h"
#include "backends/vm/session.h"

#define DIGEST "0000000000000000000000000000000000000000000000000000000000000000"

static void simple_spec(struct spec *spec)
{
	spec_init(spec);
	assert_int_equal(strv_append(&spec->args, "sh"), 0);
	assert_int_equal(strv_append(&spec->readable, "/srv/data"), 0);
	spec->memory = 256 << 20;
	spec->timeout = 60;
}

static struct plan *compile(const struct spec *spec, bool kvm)
{
	struct plan *plan = NULL;
	struct host host;
	struct err err = {0};

	host_init_ideal(&host, 7);
	host.guest.kvm = kvm;
	if (backend_microvm.compile(spec, &host, 0, &plan, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	return plan;
}

static bool has_word(char *const *argv, const char *word)
{
	for (; *argv; argv++) {
		if (strcmp(*argv, word) == 0) {
			return true;
		}
	}
	return false;
}

static const struct plan_mount *find_mount(const struct plan *plan, const char *target)
{
	for (size_t i = 0; i < plan->mount_count; i++) {
		if (strcmp(plan->mounts[i].target, target) == 0) {
			return &plan->mounts[i];
		}
	}
	return NULL;
}

static void plan_has_a_machine_in_a_jail(void **state)
{
	struct spec spec;
	struct plan *plan = NULL;

	(void)state;
	simple_spec(&spec);
	plan = compile(&spec, false);
	assert_int_equal(plan->kernel, PLAN_KERNEL_GUEST);
	assert_true(capability_set_has(plan->uses, CAPABILITY_KERNEL_ISOLATION));
	assert_int_equal(capability_set_sub(plan->uses, backend_microvm.enforces).bits, 0);
	assert_non_null(plan->jail);
	assert_int_equal(plan->landlock.abi, 2);
	assert_int_equal(plan->jail->landlock.abi, 7);
	assert_true(plan->jail->namespaces & PLAN_NS_NET);
	assert_non_null(plan->jail->filter);
	assert_true(has_word(plan->command,
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
	assert_true(has_word(plan->command, "-nodefaults"));
	assert_true(has_word(plan->command, "-no-user-config"));
	assert_false(has_word(plan->command, "-netdev"));
	/* 256 MiB for the session, the rest for the guest's kernel. */
	assert_true(has_word(plan->command, "352M"));
	assert_true(plan->jail->memory > UINT64_C(352) << 20);
	assert_true(plan->jail->timeout > plan->timeout);
	plan_free(plan);
	spec_fini(&spec);
}

static void command_is_the_jails(void **state)
{
	struct spec spec;
	struct plan *plan = NULL;

	(void)state;
	simple_spec(&spec);
	plan = compile(&spec, false);
	assert_int_equal(strv_length(plan->command), strv_length(plan->jail->argv));
	for (size_t i = 0; plan->command[i]; i++) {
		assert_string_equal(plan->command[i], plan->jail->argv[i]);
	}
	plan_free(plan);
	spec_fini(&spec);
}

/* What the guest may see is what the jail has, and the jail has it read-only. */
static void guest_sees_listed_places_only(void **state)
{
	struct spec spec;
	struct plan *plan = NULL;

	(void)state;
	simple_spec(&spec);
	assert_int_equal(strv_append(&spec.read_deny, "/srv/data/secret"), 0);
	plan = compile(&spec, false);
	assert_null(find_mount(plan->jail, "/export/home"));
	assert_null(find_mount(plan->jail, "/scopes/0"));
	assert_non_null(find_mount(plan->jail, "/export/srv/data"));
	assert_true(find_mount(plan->jail, "/export/srv/data")->flags & PLAN_READ_ONLY);
	assert_int_equal(find_mount(plan->jail, "/export/srv/data/secret")->kind, PLAN_MOUNT_MASK);
	plan_free(plan);
	spec_fini(&spec);
}

static void writable_places_are_mapped_in_the_jail(void **state)
{
	const struct plan_mount *scope = NULL;
	struct spec spec;
	struct plan *plan = NULL;

	(void)state;
	simple_spec(&spec);
	spec.write = WRITE_SCOPE;
	assert_int_equal(strv_append(&spec.writable, "/srv/work"), 0);
	plan = compile(&spec, false);
	scope = find_mount(plan->jail, "/scopes/0");
	assert_non_null(scope);
	assert_false(scope->flags & PLAN_READ_ONLY);
	assert_true(scope->flags & PLAN_IDMAP);
	assert_true(find_mount(plan->jail, "/export/srv/work")->flags & PLAN_READ_ONLY);
	assert_false(find_mount(plan, "/srv/work")->flags & PLAN_IDMAP);
	assert_int_equal(plan->jail->uid, VM_ID_BASE + VM_SESSION_UID);
	/* A host socket in it stays out of reach: the guest's kernel would open its own. */
	assert_true(capability_set_has(plan->uses, CAPABILITY_IPC_RESTRICT));
	plan_free(plan);
	spec_fini(&spec);
}

static void no_kvm_is_said(void **state)
{
	struct spec spec;
	struct plan *with = NULL;
	struct plan *without = NULL;

	(void)state;
	simple_spec(&spec);
	with = compile(&spec, true);
	without = compile(&spec, false);
	assert_false(plan_has_caveat(with, "vm.no_kvm"));
	assert_true(plan_has_caveat(without, "vm.no_kvm"));
	assert_non_null(find_mount(with->jail, "/dev/kvm"));
	assert_null(find_mount(without->jail, "/dev/kvm"));
	plan_free(with);
	plan_free(without);
	spec_fini(&spec);
}

static void kit_is_part_of_the_digest(void **state)
{
	struct spec spec;
	struct plan *one = NULL;
	struct plan *two = NULL;
	struct host host;
	struct err err = {0};

	(void)state;
	simple_spec(&spec);
	host_init_ideal(&host, 7);
	assert_int_equal(backend_microvm.compile(&spec, &host, 0, &one, &err), 0);
	host.guest.digest[0] = '1';
	assert_int_equal(backend_microvm.compile(&spec, &host, 0, &two, &err), 0);
	assert_string_not_equal(one->digest, two->digest);
	plan_free(two);
	host.guest.digest[0] = '0';
	assert_int_equal(backend_microvm.compile(&spec, &host, 0, &two, &err), 0);
	assert_string_equal(one->digest, two->digest);
	plan_free(one);
	plan_free(two);
	spec_fini(&spec);
}

static void without_a_kit_there_is_no_plan(void **state)
{
	struct plan *plan = NULL;
	struct err err = {0};
	struct host host;
	struct spec spec;

	simple_spec(&spec);
	host_init_ideal(&host, 7);
	host.guest = (struct host_guest){.missing = "/somewhere: nothing"};
	assert_int_equal(backend_microvm.compile(&spec, &host, 0, &plan, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "/somewhere: nothing"));
	assert_non_null(strstr(err.msg, "cloche-make-guest"));
	spec_fini(&spec);
}

static void network_and_images_are_refused(void **state)
{
	struct spec spec;
	struct plan *plan = NULL;
	struct host host;
	struct err err = {0};

	(void)state;
	host_init_ideal(&host, 7);
	simple_spec(&spec);
	spec.net = NET_ENABLE;
	assert_int_equal(backend_microvm.compile(&spec, &host, 0, &plan, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "use net: disable"));
	spec.net = NET_DISABLE;
	spec.root = ROOT_IMAGE;
	spec.root_path = strdup("/srv/image");
	assert_int_equal(backend_microvm.compile(&spec, &host, 0, &plan, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "root: directory"));
	spec_fini(&spec);
}

/* The agent compiles what it was sent and must arrive where the server did. */
static void agent_arrives_at_the_same_plan(void **state)
{
	const struct vm_facts facts = {
		.landlock_abi = 2, .merged_usr = true, .processors = 1, .kit = DIGEST};
	struct plan *ours = NULL;
	struct plan *theirs = NULL;
	struct vm_facts got;
	struct spec spec;
	struct spec sent;
	struct err err = {0};
	char digest[65];
	uint32_t without = 0;
	char *text = NULL;

	(void)state;
	simple_spec(&spec);
	spec.why = true; /* as a server has it */
	assert_int_equal(vm_session_compile(&spec, &facts, PLAN_LAYER_CAPS, &ours, &err), 0);
	text = vm_session_text(&spec, &facts, PLAN_LAYER_CAPS, ours->digest);
	assert_int_equal(vm_session_parse(text, &sent, &got, &without, digest, &err), 0);
	assert_int_equal(vm_session_compile(&sent, &got, without, &theirs, &err), 0);
	assert_string_equal(theirs->digest, digest);
	assert_int_equal(without, PLAN_LAYER_CAPS);
	assert_true(sent.why && plan_has_caveat(theirs, "ipc.why_door"));
	free(text);
	plan_free(ours);
	plan_free(theirs);
	spec_fini(&spec);
	spec_fini(&sent);
}

static void hostile_frames_are_refused(void **state)
{
	static const struct {
		const char *name;
		struct vm_frame frames[5];
		int expected; /* of the last one */
	} cases[] = {
		{"hello twice", {{VM_HELLO, 0, 0, 0}, {VM_HELLO, 0, 0, 0}}, -EPROTO},
		{"started before hello", {{VM_STARTED, 0, 0, 0}}, -EPROTO},
		{"exit before the streams end",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_EXITED, 0, 0, 0}},
			-EPROTO},
		{"a third stream",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_STREAM_END, 0, 3, 0}},
			-EPROTO},
		{"a stream ends twice",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_STREAM_END, 0, 1, 0},
				{VM_STREAM_END, 0, 1, 9}},
			-EPROTO},
		{"failure without a reason", {{VM_FAILED, 0, 0, 0}}, -EPROTO},
		{"failure after the start",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_FAILED, 0, 5, 0}},
			-EPROTO},
		{"stopped is no end",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_STREAM_END, 0, 1, 0},
				{VM_STREAM_END, 0, 2, 0}, {VM_EXITED, 0, 0x137f, 0}},
			-EPROTO},
		{"an answer that nobody asked for",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_SEEN, 0, 1, 0}}, -EPROTO},
		{"why before the start", {{VM_HELLO, 0, 0, 0}, {VM_WHY, 0, 0, 0}}, -EPROTO},
		{"why, without waiting for an answer",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_WHY, 0, 1, 2},
				{VM_WHY, 0, 1, 2}},
			-EPROTO},
		{"more than can be counted",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0},
				{VM_WHY, 0, UINT64_C(1) << 32, 0}},
			-EPROTO},
		{"more than can be counted, of tasks",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0},
				{VM_WHY, 0, 0, UINT64_C(1) << 32}},
			-EPROTO},
		{"an answer to us",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_BECAUSE, 0, 0, 0}},
			-EPROTO},
		{"why", {{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_WHY, 0, UINT32_MAX, 0}},
			0},
		{"a good end",
			{{VM_HELLO, 0, 0, 0}, {VM_STARTED, 0, 0, 0}, {VM_STREAM_END, 0, 1, 0},
				{VM_STREAM_END, 0, 2, 0}, {VM_EXITED, 0, 0x0300, 0}},
			0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_guest guest = {0};
		int r = 0;
		for (size_t j = 0; j < 5 && cases[i].frames[j].type; j++) {
			assert_int_equal(r, 0);
			r = vm_guest_take(&guest, &cases[i].frames[j]);
		}
		if (r != cases[i].expected) {
			fail_msg("%s: %d", cases[i].name, r);
		}
	}
}

/* The testkit's question: one answer in pieces, of so many bytes at most, and nothing behind it. */
static void answers_are_asked_for_and_bounded(void **state)
{
	const struct vm_frame piece = {.type = VM_SEEN, .size = VM_SEEN_CHUNK};
	const struct vm_frame last = {.type = VM_SEEN, .number = 1};
	const struct vm_frame odd = {.type = VM_SEEN, .number = 2};
	struct vm_guest guest = {.hello = true, .started = true, .looking = true};

	(void)state;
	assert_int_equal(vm_guest_take(&guest, &odd), -EPROTO);
	for (unsigned i = 0; i < VM_SEEN_MAX / VM_SEEN_CHUNK; i++) {
		assert_int_equal(vm_guest_take(&guest, &piece), 0);
	}
	assert_int_equal(vm_guest_take(&guest, &piece), -EPROTO);
	assert_int_equal(vm_guest_take(&guest, &last), 0);
	assert_false(guest.looking);
	assert_int_equal(vm_guest_take(&guest, &last), -EPROTO);
}

/* What the lists take out does not even go into the guest's memory. */
static void scrubbed_variables_stay_outside(void **state)
{
	const struct vm_facts facts = {
		.landlock_abi = 2, .merged_usr = true, .processors = 1, .kit = DIGEST};
	struct spec spec;
	char *text = NULL;

	(void)state;
	simple_spec(&spec);
	assert_int_equal(strv_append(&spec.env, "SECRET_KEY=swordfish"), 0);
	assert_int_equal(strv_append(&spec.env, "PLAIN=seen"), 0);
	assert_int_equal(strv_append(&spec.env_deny, "SECRET*"), 0);
	text = vm_session_text(&spec, &facts, 0, DIGEST);
	assert_non_null(strstr(text, "PLAIN=seen"));
	assert_null(strstr(text, "swordfish"));
	free(text);
	text = vm_session_text(&spec, &facts, PLAN_LAYER_ENV, DIGEST);
	assert_non_null(strstr(text, "swordfish"));
	free(text);
	spec_fini(&spec);
}

static void frames_have_limits(void **state)
{
	struct vm_frame frame = {.type = VM_FAILED, .size = VM_TEXT_MAX + 1};
	const uint8_t *text = NULL;
	struct vm_frame got;

	(void)state;
	assert_int_equal(
		vm_frame_next((const uint8_t *)&frame, sizeof(frame), true, &got, &text), -EBADMSG);
	frame.size = VM_TEXT_MAX;
	assert_int_equal(
		vm_frame_next((const uint8_t *)&frame, sizeof(frame), true, &got, &text), 0);
	frame.type = VM_SESSION;
	assert_int_equal(
		vm_frame_next((const uint8_t *)&frame, sizeof(frame), true, &got, &text), -EBADMSG);
}

static void manifest_is_strict(void **state)
{
	static const struct {
		const char *text;
		int expected;
	} cases[] = {
		{"cloche-guest 2\nrelease 6.1.0\nlandlock 2\ndigest " DIGEST "\n", 0},
		{"cloche-guest 1\nrelease 6.1.0\nlandlock 2\ndigest " DIGEST "\n", -EINVAL},
		{"cloche-guest 2\nrelease 6.1.0\nlandlock 2\ndigest 00\n", -EINVAL},
		{"cloche-guest 2\nrelease 6.1.0\nlandlock -1\ndigest " DIGEST "\n", -EINVAL},
		{"cloche-guest 2\nrelease 6.1.0\nlandlock 2\ndigest " DIGEST "\nmore", -EINVAL},
		{"", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host_guest guest = {0};
		assert_int_equal(vm_kit_parse(cases[i].text, &guest), cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_has_a_machine_in_a_jail),
		cmocka_unit_test(command_is_the_jails),
		cmocka_unit_test(guest_sees_listed_places_only),
		cmocka_unit_test(writable_places_are_mapped_in_the_jail),
		cmocka_unit_test(no_kvm_is_said),
		cmocka_unit_test(kit_is_part_of_the_digest),
		cmocka_unit_test(without_a_kit_there_is_no_plan),
		cmocka_unit_test(network_and_images_are_refused),
		cmocka_unit_test(agent_arrives_at_the_same_plan),
		cmocka_unit_test(hostile_frames_are_refused),
		cmocka_unit_test(answers_are_asked_for_and_bounded),
		cmocka_unit_test(scrubbed_variables_stay_outside),
		cmocka_unit_test(frames_have_limits),
		cmocka_unit_test(manifest_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
