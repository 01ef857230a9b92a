/*
 * Choices among backends made of tables: who is taken, who is asked whether it is there, and what is
 * said when nobody will do.
 */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/choose.h"
#include "base/cleanup.h"

/* A backend, and what its compile() and probe() do: found by the fake's place in the table. */
struct fake {
	struct backend backend;
	const char *refuses; /* compile() does, with this text */
	const char *caveats[2];
	bool absent;
	unsigned compiled, asked;
};

#define ALL ((UINT64_C(1) << CAPABILITY_COUNT) - 1)
#define BIT(name) (UINT64_C(1) << CAPABILITY_##name)

enum { ABSENT, SILENT, HONEST, COMPLETE, HOLED, BOASTER, UNWILLING, FAKES };
static struct fake fakes[FAKES];

static int probe(struct fake *fake, struct err *err)
{
	fake->asked++;
	return fake->absent ? err_refuse(err, ENOTSUP, "the tool is not installed; apt install it")
			    : 0;
}

static int compile(struct fake *fake, struct capability_set uses, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;

	fake->compiled++;
	if (fake->refuses) {
		return err_refuse(err, ENOTSUP, "%s", fake->refuses);
	}
	assert_int_equal(plan_new(fake->backend.name, &plan), 0);
	plan->uses = uses;
	plan->without = without;
	for (size_t i = 0; i < ARRAY_SIZE(fake->caveats) && fake->caveats[i]; i++) {
		assert_int_equal(plan_add_caveat(plan, fake->caveats[i]), 0);
	}
	if (without) {
		assert_int_equal(plan_add_caveat(plan, "layer.removed"), 0);
	}
	assert_int_equal(plan_seal(plan), 0);
	*ret_plan = take_ptr(&plan);
	return 0;
}

/* The functions of a backend have no closure: a pair for each fake. */
#define FAKE(index, keeps)                                                                         \
	static int probe_##index(const struct host *host, struct err *err)                         \
	{                                                                                          \
		return probe(&fakes[index], err);                                                  \
	}                                                                                          \
	static int compile_##index(const struct spec *spec, const struct host *host,               \
		uint32_t without, struct plan **ret_plan, struct err *err)                         \
	{                                                                                          \
		return compile(                                                                    \
			&fakes[index], (struct capability_set){keeps}, without, ret_plan, err);    \
	}

FAKE(ABSENT, ALL)
FAKE(SILENT, ALL & ~BIT(RES_MEMORY))
FAKE(HONEST, ALL & ~BIT(RES_MEMORY))
FAKE(COMPLETE, ALL)
FAKE(HOLED, ALL)
FAKE(BOASTER, ALL)
FAKE(UNWILLING, ALL)

#define BACKEND(index, text, best)                                                                 \
	.backend = {.name = text,                                                                  \
		.enforces = {best},                                                                \
		.probe = probe_##index,                                                            \
		.compile = compile_##index}

static struct fake fakes[FAKES] = {
	[ABSENT] = {BACKEND(ABSENT, "absent", ALL), .absent = true},
	/* All but res.memory, and not a word about it. */
	[SILENT] = {BACKEND(SILENT, "silent", ALL)},
	/* The same, and it says so. */
	[HONEST] = {BACKEND(HONEST, "honest", ALL), .caveats = {"res.memory.no_cgroup"}},
	[COMPLETE] = {BACKEND(COMPLETE, "all", ALL)},
	/* Everything, with a hole it names. */
	[HOLED] = {BACKEND(HOLED, "holed", ALL), .caveats = {"fs.read_deny.by_path"}},
	/* Promises what it has never claimed to be able to do. */
	[BOASTER] = {BACKEND(BOASTER, "boaster", ALL & ~BIT(NET_EGRESS))},
	[UNWILLING] = {BACKEND(UNWILLING, "unwilling", ALL & ~BIT(NET_OUTBOUND)),
		.refuses = "net.outbound: not by me"},
};

static const struct backend *const with_all[] = {&fakes[ABSENT].backend, &fakes[SILENT].backend,
	&fakes[HONEST].backend, &fakes[COMPLETE].backend, NULL};
static const struct backend *const without_all[] = {
	&fakes[ABSENT].backend, &fakes[SILENT].backend, NULL};
static const struct backend *const ranked[] = {&fakes[HONEST].backend, &fakes[HOLED].backend,
	&fakes[COMPLETE].backend, &fakes[ABSENT].backend, NULL};
static const struct backend *const gone[] = {
	&fakes[ABSENT].backend, &fakes[HOLED].backend, &fakes[HONEST].backend, NULL};
static const struct backend *const boasting[] = {&fakes[BOASTER].backend, NULL};

static int setup(void **state)
{
	for (size_t i = 0; i < FAKES; i++) {
		fakes[i].compiled = fakes[i].asked = 0;
	}
	return 0;
}

static void choice_goes_by_what_plans_keep(void **state)
{
	static const struct {
		const char *json, *chosen, *says;
		const struct backend *const *list;
		uint32_t without;
	} rows[] = {
		{"{\"args\":[\"x\"]}", "silent", NULL, with_all, 0},
		{"{\"args\":[\"x\"],\"memory\":\"1G\"}", "honest", NULL, with_all, 0},
		{"{\"args\":[\"x\"],\"memory\":\"1G\",\"require\":[\"res.memory\"]}", "all", NULL,
			with_all, 0},
		{"{\"args\":[\"x\"],\"memory\":\"1G\",\"refuse_on\":[\"missing\"]}", "all", NULL,
			with_all, 0},
		{"{\"args\":[\"x\"],\"backend\":\"all\"}", "all", NULL, with_all, 0},
		{"{\"args\":[\"x\"],\"backend\":\"auto\"}", "silent", NULL, with_all, 0},
		{"{\"args\":[\"x\"],\"backend\":\"absent\"}", NULL,
			"absent: the tool is not installed", with_all, 0},
		{"{\"args\":[\"x\"],\"backend\":\"nonesuch\"}", NULL,
			"there is no backend 'nonesuch'; there are: absent, silent", with_all, 0},
		{"{\"args\":[\"x\"],\"backend\":\"honset\"}", NULL,
			"there is no backend 'honset'; did you mean 'honest'?", with_all, 0},
		{"{\"args\":[\"x\"],\"memory\":\"1G\"}", NULL,
			"absent: the tool is not installed; apt install it; silent: lacks "
			"res.memory and does not say so",
			without_all, 0},
		{"{\"args\":[\"x\"],\"memory\":\"1G\"}", "silent", NULL, without_all,
			PLAN_LAYER_CGROUP},
		{"{}", NULL, "no command", with_all, 0},
		/* The best: what lacks nothing before what does, then who has no holes. */
		{"{\"args\":[\"x\"],\"memory\":\"1G\",\"backend\":\"auto\"}", "all", NULL, with_all,
			0},
		{"{\"args\":[\"x\"],\"memory\":\"1G\",\"backend\":\"auto\"}", "all", NULL, ranked,
			0},
		{"{\"args\":[\"x\"],\"memory\":\"1G\",\"backend\":\"auto\"}", "holed", NULL, gone,
			0},
		{"{\"args\":[\"x\"],\"backend\":\"auto\"}", "holed", NULL, gone, 0},
		{"{\"args\":[\"x\"],\"memory\":\"1G\",\"backend\":\"auto\","
		 "\"refuse_on\":[\"weaker\"]}",
			NULL, "holed: has the refused caveat fs.read_deny.by_path", gone, 0},
		{"{\"args\":[\"x\"]}", NULL, "promises net.egress, which it cannot keep", boasting,
			0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct backend *backend = NULL;
		struct plan *plan = NULL;
		struct spec spec = {0};
		struct host host = {0};
		struct err err = {0};
		assert_int_equal(spec_from_json(rows[i].json, &spec, &err), 0);
		int r = backend_choose(
			rows[i].list, &spec, &host, rows[i].without, &backend, &plan, &err);
		if (rows[i].chosen) {
			if (r < 0) {
				fail_msg("row %zu: %s", i, err.msg);
			}
			assert_string_equal(backend->name, rows[i].chosen);
			assert_string_equal(plan->backend, rows[i].chosen);
		} else {
			assert_true(r < 0);
			assert_null(plan);
			if (!strstr(err.msg, rows[i].says)) {
				fail_msg("row %zu: %s", i, err.msg);
			}
		}
		plan_free(plan);
		spec_fini(&spec);
	}
}

/* Chooses for a spec that asks for memory, on "backend". */
static void choose(const struct backend *const list[], const char *name)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	const struct backend *backend = NULL;
	struct spec spec = {0};
	struct host host = {0};
	struct err err = {0};
	char json[128];

	(void)snprintf(json, sizeof(json), "{\"args\":[\"x\"],\"memory\":\"1G\"%s%s%s}",
		name ? ",\"backend\":\"" : "", name ? name : "", name ? "\"" : "");
	assert_int_equal(spec_from_json(json, &spec, &err), 0);
	assert_int_equal(backend_choose(list, &spec, &host, 0, &backend, &plan, &err), 0);
	spec_fini(&spec);
}

static void nobody_behind_the_first_that_will_do_is_looked_at(void **state)
{
	choose(ranked, NULL);
	assert_int_equal(fakes[HONEST].compiled, 1);
	assert_int_equal(fakes[HONEST].asked, 1);
	for (size_t i = 0; i < FAKES; i++) {
		assert_true(i == HONEST || fakes[i].compiled + fakes[i].asked == 0);
	}
}

static void only_who_would_be_taken_is_asked(void **state)
{
	choose(ranked, "auto");
	assert_int_equal(fakes[COMPLETE].asked, 1);
	assert_int_equal(fakes[HONEST].asked + fakes[HOLED].asked, 0);
	assert_int_equal(fakes[ABSENT].compiled, 0); /* nothing can be better than all */
	setup(state);
	choose(ranked, "holed");
	assert_int_equal(fakes[HOLED].asked, 1);
	assert_int_equal(fakes[HONEST].compiled + fakes[COMPLETE].compiled, 0);
}

static void the_table_says_why_for_each(void **state)
{
	static const struct backend *const list[] = {&fakes[HONEST].backend, &fakes[ABSENT].backend,
		&fakes[UNWILLING].backend, &fakes[COMPLETE].backend, NULL};
	static const struct {
		bool fits, available;
		unsigned rank, weaker;
		uint64_t lacks;
		const char *reason;
	} rows[] = {
		{true, true, 2, 1, BIT(RES_MEMORY), ""},
		{true, false, 0, 0, 0, "the tool is not installed; apt install it"},
		{false, true, 0, 0, BIT(NET_OUTBOUND), "net.outbound: not by me"},
		{true, true, 1, 0, 0, ""},
	};
	cleanup(choices_fini) struct choices choices = {0};
	struct spec spec = {0};
	struct host host = {0};
	struct err err = {0};

	assert_int_equal(spec_from_json("{\"args\":[\"x\"],\"memory\":\"1G\",\"net\":\"outbound\","
					"\"backend\":\"honest\"}",
				 &spec, &err),
		0);
	assert_int_equal(backend_weigh(list, &spec, &host, 0, &choices, &err), 0);
	assert_int_equal(choices.count, ARRAY_SIZE(rows));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct choice *choice = &choices.list[i];
		assert_ptr_equal(choice->backend, list[i]);
		assert_int_equal(choice->fits, rows[i].fits);
		assert_int_equal(choice->plan != NULL, rows[i].fits);
		assert_int_equal(choice->available, rows[i].available);
		assert_int_equal(choice->rank, rows[i].rank);
		assert_int_equal(choice->weaker, rows[i].weaker);
		assert_int_equal(choice->lacks.bits, rows[i].lacks);
		assert_string_equal(choice_reason(choice), rows[i].reason);
	}
	spec_fini(&spec);
}

/* Too many backends for all their sentences: names and what they lack still fit. */
static void a_refusal_of_many_names_each(void **state)
{
	const struct backend *list[13] = {NULL};
	const struct backend *backend = NULL;
	struct plan *plan = NULL;
	struct spec spec = {0};
	struct host host = {0};
	struct err err = {0};

	for (size_t i = 0; i < 12; i++) {
		list[i] = &fakes[i % 2 ? UNWILLING : ABSENT].backend;
	}
	assert_int_equal(spec_from_json("{\"args\":[\"x\"],\"net\":\"outbound\"}", &spec, &err), 0);
	assert_int_equal(backend_choose(list, &spec, &host, 0, &backend, &plan, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "unwilling lacks net.outbound"));
	assert_non_null(strstr(err.msg, "not here: absent, absent"));
	assert_non_null(strstr(err.msg, "(cloche explain says more)"));
	spec_fini(&spec);
}

static void a_name_is_found(void **state)
{
	assert_ptr_equal(backend_find(with_all, "honest"), &fakes[HONEST].backend);
	assert_null(backend_find(with_all, "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(choice_goes_by_what_plans_keep, setup),
		cmocka_unit_test_setup(nobody_behind_the_first_that_will_do_is_looked_at, setup),
		cmocka_unit_test_setup(only_who_would_be_taken_is_asked, setup),
		cmocka_unit_test_setup(the_table_says_why_for_each, setup),
		cmocka_unit_test_setup(a_refusal_of_many_names_each, setup),
		cmocka_unit_test(a_name_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
