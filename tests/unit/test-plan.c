#include "tests/test.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "backends/backend.h"
#include "backends/linux/filter.h"
#include "base/io.h"

/* A plan with something in every field. */
static struct plan *make_plan(void)
{
	struct plan *plan = NULL;
	struct plan_mount *mount = NULL;

	assert_int_equal(plan_new("fake", &plan), 0);
	plan->executable_here = true;
	capability_set_add(&plan->uses, CAPABILITY_NET_DISABLE);
	assert_int_equal(plan_add_caveat(plan, "res.memory.no_cgroup"), 0);
	assert_int_equal(strv_append(&plan->argv, "echo"), 0);
	assert_int_equal(strv_append(&plan->argv, "tab\there \"quoted\" \\ \x01 \x7f \xc3\xa9"), 0);
	assert_int_equal(strv_append(&plan->argv, "not utf-8: \xff"), 0);
	assert_int_equal(strv_append(&plan->env, "PATH=/usr/bin"), 0);
	plan->dir = strdup("/home/user");
	plan->hostname = strdup("cloche");
	plan->user = strdup("user");
	plan->uid = plan->gid = 1000;
	plan->namespaces = PLAN_NS_USER | PLAN_NS_CGROUP;
	plan->uid_map[0] = (struct plan_id_map){.inside = 0, .count = 65536};
	plan->id_map_count = 1;
	mount = plan_add_mount(plan, PLAN_MOUNT_TMPFS, NULL, "/", PLAN_NOSUID | PLAN_INSIDE);
	mount->mode = 0755;
	mount->size = 1 << 20;
	mount->inodes = 100;
	mount = plan_add_mount(plan, PLAN_MOUNT_FILE, NULL, "/etc/hostname", 0);
	mount->content = strdup("cloche\n");
	assert_non_null(plan_add_mount(plan, PLAN_MOUNT_BIND, "/usr", "/usr", PLAN_READ_ONLY));
	assert_int_equal(strv_append(&plan->sysctls, "user.max_user_namespaces=0"), 0);
	plan->landlock = (struct plan_landlock){
		.abi = 7, .handled_fs = 0xffff, .handled_net = 3, .scoped = 3};
	assert_int_equal(plan_add_path_rule(plan, "/usr", 0xd), 0);
	plan->filter = filter_get(false);
	plan->memory = 1 << 30;
	plan->pids = 64;
	plan->cpu_milli = 1500;
	plan->disk = 1 << 20;
	plan->timeout = 60;
	plan->cgroup_version[0] = 1;
	plan_add_rlimit(plan, "core", RLIMIT_CORE, 0, 0);
	plan_add_rlimit(plan, "stack", RLIMIT_STACK, 8 << 20, RLIM_INFINITY);
	char step[] = "undo";
	char *steps[] = {step, NULL};
	assert_int_equal(strv_append(&plan->command, "tool"), 0);
	assert_int_equal(strv_append(&plan->tool_env, "PATH=/usr/bin"), 0);
	assert_int_equal(plan_add_file(plan, "config.json", "{}", 0600), 0);
	assert_int_equal(plan_add_step(plan, PLAN_AFTER, steps), 0);
	assert_int_equal(plan_seal(plan), 0);
	return plan;
}

static int setup(void **state)
{
	*state = make_plan();
	return 0;
}

static int teardown(void **state)
{
	plan_free(*state);
	return 0;
}

static void the_writer_agrees_with_jansson(void **state)
{
	char *ours = plan_to_json(*state);
	json_error_t error;
	json_t *root = json_loads(ours, JSON_REJECT_DUPLICATES, &error);
	char *theirs = NULL;

	if (!root) {
		fail_msg("%d:%d: %s", error.line, error.column, error.text);
	}
	theirs = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(ours, theirs);
	json_decref(root);
	free(ours);
	free(theirs);
}

static void the_digest_is_that_of_the_json_without_the_listing(void **state)
{
	const struct plan *plan = *state;
	char *text = plan_to_json(plan);
	json_t *root = json_loads(text, 0, NULL);
	json_t *filter = json_object_get(root, "filter");
	json_t *caveat = NULL;
	uint8_t digest[32];
	char hex[65];
	size_t i = 0;

	json_array_foreach(json_object_get(root, "caveats"), i, caveat)
	{
		assert_int_equal(json_object_del(caveat, "text"), 0);
		assert_int_equal(json_object_del(caveat, "remedy"), 0);
		assert_int_equal(json_object_size(caveat), 3); /* capability, code, severity */
	}
	assert_int_equal(i, 1);
	assert_true(json_array_size(json_object_get(filter, "rules")) > 100);
	assert_int_equal(json_object_del(filter, "rules"), 0);
	free(text);
	text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
	assert_int_equal(crypto_generichash(digest, sizeof(digest), (const uint8_t *)text,
				 strlen(text), NULL, 0),
		0);
	assert_string_equal(io_hex(digest, sizeof(digest), hex), plan->digest);
	free(text);
	json_decref(root);
}

static void bytes_that_are_no_text_are_kept_apart(void **state)
{
	char *json = plan_to_json(*state);

	assert_non_null(strstr(json, "{\"bytes\":\"6e6f74207574662d383a20ff\"}"));
	free(json);
}

static void the_same_plan_has_the_same_digest(void **state)
{
	const struct plan *plan = *state;
	struct plan *again = make_plan();

	assert_int_equal(strlen(plan->digest), 64);
	assert_string_equal(plan->digest, again->digest);
	plan_free(again);
}

/* One change to one field each. */

#define CHANGE(name, statement)                                                                    \
	static void change_##name(struct plan *plan)                                               \
	{                                                                                          \
		statement;                                                                         \
	}

CHANGE(backend, plan->backend = "other")
CHANGE(executable, plan->executable_here = false)
CHANGE(uses, capability_set_add(&plan->uses, CAPABILITY_RES_CPU))
CHANGE(caveat, assert(plan_add_caveat(plan, "id.single_uid") == 0))
CHANGE(argv, plan->argv[0][0] = 'f')
CHANGE(argv_bytes, plan->argv[2][11] = '\xfe')
CHANGE(env, plan->env[0][0] = 'p')
CHANGE(dir, plan->dir[1] = 'x')
CHANGE(hostname, plan->hostname[0] = 'x')
CHANGE(user, plan->user[0] = 'x')
CHANGE(uid, plan->uid++)
CHANGE(gid, plan->gid++)
CHANGE(namespaces, plan->namespaces |= PLAN_NS_NET)
CHANGE(map_inside, plan->uid_map[0].inside++)
CHANGE(map_count, plan->uid_map[0].count++)
CHANGE(map_own, plan->uid_map[0].own = true)
CHANGE(map_offset, plan->uid_map[0].offset++)
CHANGE(map_fewer, plan->id_map_count = 0)
CHANGE(mount_kind, plan->mounts[2].kind = PLAN_MOUNT_OVERLAY)
CHANGE(mount_source, plan->mounts[2].source[1] = 'v')
CHANGE(mount_target, plan->mounts[2].target[1] = 'v')
CHANGE(mount_flags, plan->mounts[2].flags = 0)
CHANGE(mount_mode, plan->mounts[0].mode = 0777)
CHANGE(mount_size, plan->mounts[0].size++)
CHANGE(mount_inodes, plan->mounts[0].inodes++)
CHANGE(mount_content, plan->mounts[1].content[0] = 'x')
CHANGE(sysctl, plan->sysctls[0][0] = 'x')
CHANGE(landlock_abi, plan->landlock.abi = 6)
CHANGE(landlock_fs, plan->landlock.handled_fs = 1)
CHANGE(landlock_net, plan->landlock.handled_net = 1)
CHANGE(landlock_scoped, plan->landlock.scoped = 1)
CHANGE(rule_path, plan->landlock.rules[0].path[1] = 'x')
CHANGE(rule_access, plan->landlock.rules[0].access++)
CHANGE(filter, plan->filter = filter_get(true))
CHANGE(filter_none, plan->filter = NULL)
CHANGE(no_exec, plan->no_exec = true)
CHANGE(shared, plan->shared = true)
CHANGE(memory, plan->memory++)
CHANGE(pids, plan->pids++)
CHANGE(cpu, plan->cpu_milli++)
CHANGE(disk, plan->disk++)
CHANGE(timeout, plan->timeout++)
CHANGE(cgroup_memory, plan->cgroup_version[0]++)
CHANGE(cgroup_pids, plan->cgroup_version[1]++)
CHANGE(cgroup_cpu, plan->cgroup_version[2]++)
CHANGE(rlimit_name, plan->rlimits[0].name = "nofile")
CHANGE(rlimit_resource, plan->rlimits[0].resource = RLIMIT_NOFILE)
CHANGE(rlimit_soft, plan->rlimits[0].soft++)
CHANGE(rlimit_hard, plan->rlimits[1].hard = 5)
CHANGE(without, plan->without = PLAN_LAYER_TIME)
CHANGE(command, plan->command[0][0] = 'p')
CHANGE(kernel, plan->kernel = PLAN_KERNEL_GUEST)
CHANGE(tool_env, plan->tool_env[0][0] = 'p')
CHANGE(file_name, plan->files[0].name[0] = 'p')
CHANGE(file_content, plan->files[0].content[0] = 'p')
CHANGE(file_mode, plan->files[0].mode = 0644)
CHANGE(step_when, plan->steps[0].when = PLAN_BEFORE)
CHANGE(step_argv, plan->steps[0].argv[0][0] = 'p')

static void change_order_of_mounts(struct plan *plan)
{
	struct plan_mount swap = plan->mounts[1];

	plan->mounts[1] = plan->mounts[2];
	plan->mounts[2] = swap;
}

#define ROW(name)                                                                                  \
	{                                                                                          \
#name, change_##name                                                               \
	}

static void every_field_is_in_the_digest(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct plan *plan);
	} rows[] = {ROW(backend), ROW(executable), ROW(uses), ROW(caveat), ROW(argv),
		ROW(argv_bytes), ROW(env), ROW(dir), ROW(hostname), ROW(user), ROW(uid), ROW(gid),
		ROW(namespaces), ROW(map_inside), ROW(map_count), ROW(map_own), ROW(map_offset),
		ROW(map_fewer), ROW(mount_kind), ROW(mount_source), ROW(mount_target),
		ROW(mount_flags), ROW(mount_mode), ROW(mount_size), ROW(mount_inodes),
		ROW(mount_content), ROW(sysctl), ROW(landlock_abi), ROW(landlock_fs),
		ROW(landlock_net), ROW(landlock_scoped), ROW(rule_path), ROW(rule_access),
		ROW(filter), ROW(filter_none), ROW(no_exec), ROW(shared), ROW(memory), ROW(pids),
		ROW(cpu), ROW(disk), ROW(timeout), ROW(cgroup_memory), ROW(cgroup_pids),
		ROW(cgroup_cpu), ROW(rlimit_name), ROW(rlimit_resource), ROW(rlimit_soft),
		ROW(rlimit_hard), ROW(without), ROW(command), ROW(kernel), ROW(tool_env),
		ROW(file_name), ROW(file_content), ROW(file_mode), ROW(step_when), ROW(step_argv),
		ROW(order_of_mounts)};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct plan *plan = make_plan();
		char before[65];
		memcpy(before, plan->digest, sizeof(before));
		rows[i].change(plan);
		assert_int_equal(plan_seal(plan), 0);
		if (strcmp(before, plan->digest) == 0) {
			fail_msg("the digest does not cover %s", rows[i].name);
		}
		plan_free(plan);
	}
}

static void a_digest_costs_little(void **state)
{
	struct plan *plan = *state;
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 80; i++) {
		assert_non_null(plan_add_mount(
			plan, PLAN_MOUNT_BIND, "/some/where/on/the/host", "/some/where/inside", 7));
		assert_int_equal(
			strv_append(&plan->env, "SOME_VARIABLE=with a value of length"), 0);
	}
	for (int i = 0; i < 20; i++) {
		uint64_t start = io_now_usec();
		assert_int_equal(plan_seal(plan), 0);
		uint64_t took = io_now_usec() - start;
		best = took < best ? took : best;
	}
	print_message("plan_seal: %llu us\n", (unsigned long long)best);
	assert_true(best < 5000); /* sanitizers and a busy machine included; 300 without */
}

static void every_line_for_people_fits_80_columns(void **state)
{
	struct plan *plan = *state;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		assert_int_equal(plan_add_caveat(plan, info->code), 0);
	}
	plan->uses.bits = (UINT64_C(1) << CAPABILITY_COUNT) - 1;
	plan->without = PLAN_LAYER_TIME;
	assert_int_equal(strv_appendf(&plan->env, "LONG=%0200d", 7), 0);
	plan_print(plan, out);
	assert_int_equal(fclose(out), 0);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (strlen(line) > 80) {
			fail_msg("%zu: %s", strlen(line), line);
		}
		for (const char *c = line; *c; c++) {
			assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
		}
	}
	free(text);
}

static void printing_names_what_matters(void **state)
{
	static const char *const words[] = {"backend      fake", "net.disable",
		"res.memory.no_cgroup", "[missing]", "/etc/hostname", "/usr ro", "ABI 7",
		"1 GiB (cgroup v1)", "1.500", "60 s", "stack 8388608", "PATH=/usr/bin",
		"user.max_user_namespaces=0"};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	plan_print(*state, out);
	assert_int_equal(fclose(out), 0);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strstr(text, words[i])) {
			fail_msg("'%s' is not in:\n%s", words[i], text);
		}
	}
	free(text);
}

static void caveats_are_added_once_with_their_texts(void **state)
{
	struct plan *plan = *state;

	assert_int_equal(plan->caveat_count, 1);
	assert_int_equal(plan_add_caveat(plan, "res.memory.no_cgroup"), 0);
	assert_int_equal(plan->caveat_count, 1);
	assert_true(plan_has_caveat(plan, "res.memory.no_cgroup"));
	assert_false(plan_has_caveat(plan, "res.cpu.no_cgroup"));
	assert_int_equal(plan->caveats[0].capability, CAPABILITY_RES_MEMORY);
	assert_int_equal(plan->caveats[0].severity, CAVEAT_MISSING);
	assert_true(strlen(plan->caveats[0].text) > 10);
}

static void the_caveat_table_is_well_formed(void **state)
{
	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		assert_true(strlen(info->text) > 20);
		assert_non_null(strchr(info->code, '.'));
		for (const struct caveat_info *other = caveat_table; other < info; other++) {
			assert_string_not_equal(info->code, other->code);
		}
		/* A restriction may only be missing by a caveat that names it. */
		if (info->severity == CAVEAT_MISSING && !info->remedy) {
			assert_true(info->capability < CAPABILITY_COUNT);
		}
	}
}

static void check_weighs_require_and_refuse_on(void **state)
{
	static const struct {
		const char *require, *refuse_on, *says; /* says NULL: taken */
	} rows[] = {
		{"net.disable", NULL, NULL},
		{"net.disable,res.cpu,res.memory", NULL, "lacks res.cpu, res.memory"},
		{"net.disable", "missing", "res.memory.no_cgroup"},
		{"net.disable", "weaker", "res.memory.no_cgroup"},
		{"net.disable", "info", "res.memory.no_cgroup"},
		{"net.disable", "res.*", "res.memory.no_cgroup"},
		{"net.disable", "res.memory.no_cgroup", "refused caveat"},
		{"net.disable", "res.cpu.no_cgroup", NULL},
		{"res.cpu", "missing", "lacks res.cpu; has the refused caveat res.memory"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct capability_set require = {0};
		char **refuse_on = NULL;
		struct err err = {0};
		int r = 0;
		assert_int_equal(capability_set_parse(rows[i].require, &require, NULL), 0);
		if (rows[i].refuse_on) {
			assert_int_equal(strv_append(&refuse_on, rows[i].refuse_on), 0);
		}
		r = plan_check(*state, require, refuse_on, &err);
		strv_free(refuse_on);
		assert_int_equal(r, rows[i].says ? -ENOTSUP : 0);
		if (rows[i].says && !strstr(err.msg, rows[i].says)) {
			fail_msg("row %zu: %s", i, err.msg);
		}
	}
}

static void a_severity_does_not_refuse_what_is_milder(void **state)
{
	struct plan *plan = NULL;
	char *weaker[] = {(char[]){"weaker"}, NULL};
	char *info[] = {(char[]){"info"}, NULL};

	assert_int_equal(plan_new("fake", &plan), 0);
	assert_int_equal(plan_add_caveat(plan, "landlock.no_net"), 0);
	assert_int_equal(plan_check(plan, (struct capability_set){0}, weaker, NULL), 0);
	assert_int_equal(plan_check(plan, (struct capability_set){0}, info, NULL), -ENOTSUP);
	plan_free(plan);
}

static void names_and_bits_go_together(void **state)
{
	assert_string_equal(plan_layer_names[0], "landlock");
	assert_string_equal(plan_layer_names[21], "time");
	assert_string_equal(plan_layer_names[22], "net_rules");
	assert_string_equal(plan_layer_names[23], "user");
	assert_null(plan_layer_names[24]);
	assert_string_equal(plan_mount_kind_name(PLAN_MOUNT_RDONLY), "rdonly");
	assert_string_equal(caveat_severity_name(CAVEAT_MISSING), "missing");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_writer_agrees_with_jansson),
		TEST(the_digest_is_that_of_the_json_without_the_listing),
		TEST(bytes_that_are_no_text_are_kept_apart),
		TEST(the_same_plan_has_the_same_digest),
		TEST(every_field_is_in_the_digest),
		TEST(a_digest_costs_little),
		TEST(every_line_for_people_fits_80_columns),
		TEST(printing_names_what_matters),
		TEST(caveats_are_added_once_with_their_texts),
		TEST(the_caveat_table_is_well_formed),
		TEST(check_weighs_require_and_refuse_on),
		TEST(a_severity_does_not_refuse_what_is_milder),
		TEST(names_and_bits_go_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
