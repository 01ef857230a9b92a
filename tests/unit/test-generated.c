/*
 * Plans of every backend for generated specs, on hosts that have everything, little and nothing: the
 * same for the same seed, which is printed and can be given with CLOCHE_SEED.
 */
#include "tests/test.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/choose.h"
#include "base/cleanup.h"
#include "base/strv.h"

#define SPECS 200
#define DEFAULT_SEED UINT64_C(20261122)

static uint64_t random_state;

/* xorshift64*: the same numbers everywhere. */
static uint64_t random_number(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * UINT64_C(2685821657736338717) >> 11) % below;
}

static bool one_in(uint64_t n)
{
	return random_number(n) == 0;
}

/* ---- specs ---- */

/* Quotes, blanks, brackets, backslashes and what else generated texts have to survive. */
static const char *const unix_paths[] = {"/usr", "/etc", "/srv/a b", "/srv/it's", "/srv/\"quoted\"",
	"/srv/back\\slash", "/srv/(paren)", "/srv/{id}", "/srv/comma,colon:x", "/srv/\xc3\xa4",
	"/srv/$HOME", "/srv/`x`", "/srv/%u", "/srv/[a]", "/srv/*", "/srv/=", "/srv/-x", "/srv/#"};
static const char *const windows_paths[] = {
	"C:\\work", "C:\\a b", "D:\\it's", "C:\\(x)", "C:\\%PATH%", "C:\\a'b;c", "E:\\x\\y"};
static const char *const words[] = {"true", "sh", "-c", "echo 'x' \"y\" $z", "a b", "", "\\",
	"{dir}", "--", "\n", "\xff\xfe", "(", "%s"};
static const char *const variables[] = {"A=1", "B=", "PATH=/bin", "API_TOKEN=x y", "C=a\nb",
	"HOME=/root", "Q='\"\\", "LANG=C.UTF-8"};
static const char *const patterns[] = {"*_TOKEN", "PATH", "A*", "?", "[A-C]"};
static const char *const egress[] = {
	"example.org:443", "10.0.0.0/8", "192.0.2.1:53", "[2001:db8::1]:80"};
static const char *const ports[] = {"80", "8443"};
static const char *const services[] = {"com.apple.system.opendirectoryd.libinfo", "a.b"};

static void set(struct spec *spec, const char *name, const char *text)
{
	struct err err = {0};

	if (spec_set(spec, spec_find_key(name), text, &err) < 0) {
		fail_msg("%s = %s: %s", name, text, err.msg);
	}
}

static void set_some(struct spec *spec, const char *name, const char *const *list, size_t count)
{
	size_t some = 1 + random_number(3);

	for (size_t i = 0; i < some; i++) {
		set(spec, name, list[random_number(count)]);
	}
}

#define SET_SOME(spec, name, list) set_some(spec, name, list, ARRAY_SIZE(list))

static void set_files(struct spec *spec, bool windows)
{
	const char *const *paths = windows ? windows_paths : unix_paths;
	size_t count = windows ? ARRAY_SIZE(windows_paths) : ARRAY_SIZE(unix_paths);
	static const char *const modes[] = {"none", "scope", "ephemeral", "overlay"};
	uint64_t mode = random_number(ARRAY_SIZE(modes));

	set(spec, "write", modes[mode]);
	if (mode == WRITE_SCOPE || (mode == WRITE_OVERLAY && one_in(2))) {
		set_some(spec, "writable", paths, count);
	}
	if (mode == WRITE_OVERLAY && one_in(4)) {
		set(spec, "allow_temp", "yes");
	}
	if (one_in(2)) {
		set_some(spec, "readable", paths, count);
		if (one_in(3)) {
			set(spec, "dir", spec->readable[0]);
		}
	}
	if (one_in(3)) {
		set_some(spec, "read_deny", paths, count);
	}
}

static void set_limits(struct spec *spec)
{
	static const struct {
		const char *key, *values[3];
	} limits[] = {
		{"cpus", {"0.001", "1.5", "64"}},
		{"memory", {"1M", "512M", "1T"}},
		{"pids", {"1", "64", "4294967295"}},
		{"disk", {"1M", "64M", "1G"}},
		{"timeout", {"1", "1h", "1d"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (one_in(2)) {
			struct err err = {0};
			const char *value = limits[i].values[random_number(3)];
			/* What is out of a key's range is refused by the key. */
			(void)spec_set(spec, spec_find_key(limits[i].key), value, &err);
		}
	}
}

static void set_net(struct spec *spec)
{
	static const char *const modes[] = {"disable", "enable", "outbound", "egress"};
	uint64_t mode = one_in(2) ? NET_DISABLE : random_number(ARRAY_SIZE(modes));

	set(spec, "net", modes[mode]);
	if (mode == NET_EGRESS) {
		SET_SOME(spec, "egress", egress);
	}
	if (mode != NET_DISABLE && one_in(4)) {
		SET_SOME(spec, "inbound", ports);
	}
}

static void set_identity(struct spec *spec, bool windows)
{
	if (one_in(4)) {
		set(spec, "hostname", "box-1");
	}
	if (one_in(4)) {
		set(spec, "user", "ann.b_c-d");
	}
	if (!windows && one_in(6)) {
		set(spec, "root", one_in(2) ? "directory" : "image");
		set(spec, "root_path", "/srv/root");
	}
	if (one_in(8)) {
		set(spec, "ids", one_in(2) ? "range" : "single");
	}
}

static void generate(struct spec *spec, bool windows)
{
	spec_init(spec);
	if (windows) {
		set(spec, "backend", "appcontainer");
	}
	/* There a program is named by its whole path. */
	assert_int_equal(strv_append(&spec->args, windows ? "C:\\work\\true.exe" : "true"), 0);
	for (size_t i = random_number(4); i > 0; i--) {
		assert_int_equal(
			strv_append(&spec->args, words[random_number(ARRAY_SIZE(words))]), 0);
	}
	set_net(spec);
	set_files(spec, windows);
	set_limits(spec);
	set_identity(spec, windows);
	if (one_in(2)) {
		SET_SOME(spec, "env", variables);
	}
	if (one_in(4)) {
		SET_SOME(spec, "env_allow", patterns);
	}
	if (one_in(4)) {
		SET_SOME(spec, "env_deny", patterns);
	}
	if (one_in(6)) {
		SET_SOME(spec, "mach_allow", services);
	}
	if (one_in(4)) {
		set(spec, "no_exec", "yes");
	}
}

/* ---- hosts ---- */

enum { HOST_IDEAL, HOST_OLD, HOST_USER, HOST_BARE, HOSTS };
static const char *const host_names[HOSTS] = {"ideal", "old", "user", "bare"};

static void make_hosts(struct host hosts[HOSTS])
{
	host_init_ideal(&hosts[HOST_IDEAL], 7);
	host_init_ideal(&hosts[HOST_OLD], 2);
	hosts[HOST_OLD].overlay = false;
	host_init_ideal(&hosts[HOST_USER], 6);
	hosts[HOST_USER].root = false;
	hosts[HOST_USER].id_count = 0;
	hosts[HOST_BARE] = (struct host){.release = "4.4.0", .machine = "x86_64", .processors = 1};
}

/* ---- what must hold for each plan ---- */

struct place {
	size_t spec;
	const char *host, *backend;
	bool whole; /* the listing of the filter too: once a spec, it is most of the work */
};

static void complain(const struct place *place, const char *what)
{
	fail_msg("spec %zu, %s host, %s: %s", place->spec, place->host, place->backend, what);
}

static void check_json(const struct plan *plan, const char *text, const struct place *place)
{
	json_error_t error;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	char *again = NULL;

	if (!root) {
		complain(place, error.text);
		return;
	}
	again = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
	if (!again || strcmp(again, text) != 0) {
		complain(place, "the JSON is not canonical");
	}
	if (json_array_size(json_object_get(root, "uses")) != capability_set_len(plan->uses)) {
		complain(place, "the JSON has other promises");
	}
	free(again);
	json_decref(root);
}

static void check_promises(
	const struct backend *backend, const struct plan *plan, const struct place *place)
{
	bool isolated = capability_set_has(plan->uses, CAPABILITY_KERNEL_ISOLATION);

	if (capability_set_sub(plan->uses, backend->enforces).bits) {
		complain(place, "uses exceeds enforces");
	}
	if (plan->kernel > backend->kernel) {
		complain(place, "a better kernel than the backend's best (struct backend.kernel)");
	}
	if (isolated != (plan->kernel != PLAN_KERNEL_SHARED)) {
		complain(place, "kernel.isolation and the plan's kernel contradict each other");
	}
	if (strcmp(plan->backend, backend->name) != 0) {
		complain(place, "another backend's name");
	}
	if (backend->kernel == PLAN_KERNEL_SHARED &&
		capability_set_has(backend->enforces, CAPABILITY_KERNEL_ISOLATION)) {
		complain(place, "struct backend.kernel is not said");
	}
}

/* Text for people: nobody reads it here, the sanitizers do. */
static void check_print(const struct plan *plan)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	plan_print(plan, out);
	assert_int_equal(fclose(out), 0);
	assert_true(size > 0);
	free(text);
}

/* Again, from a copy of the spec, through its JSON where it can: same plan, same digest. */
static void check_again(const struct backend *backend, const struct spec *spec,
	const struct host *host, const struct plan *first, const char *first_json,
	const struct place *place)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	cleanup_free char *spec_json = spec_to_json(spec);
	cleanup_free char *json = NULL;
	struct spec copy = {0};
	struct err err = {0};

	assert_non_null(spec_json);
	/* Bytes that are no text are written as an object, which is not read. */
	if (strstr(spec_json, "{\"bytes\":")) {
		assert_int_equal(spec_copy(spec, &copy), 0);
	} else if (spec_from_json(spec_json, &copy, &err) < 0) {
		complain(place, err.msg);
	}
	if (backend->compile(&copy, host, 0, &plan, &err) < 0) {
		complain(place, "the second time it is refused");
		return;
	}
	if (first_json) {
		json = plan_to_json(plan);
		assert_non_null(json);
	}
	if (strcmp(plan->digest, first->digest) != 0 ||
		(first_json && strcmp(json, first_json) != 0)) {
		complain(place, "the second plan differs");
	}
	spec_fini(&copy);
}

/* Returns whether there was a plan. */
static bool check_one(const struct backend *backend, const struct spec *spec,
	const struct host *host, const struct place *place)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	cleanup(plan_freep) struct plan *accepted = NULL;
	cleanup_free char *json = NULL;
	struct err err = {0};
	int r = spec_check_paths(spec, backend->name, &err);

	/* Paths of another system never get to a backend: backend_compile() sees to it. */
	r = r < 0 ? r : backend->compile(spec, host, 0, &plan, &err);
	if (r < 0) {
		if (!*err.msg || err.code != -r || (r != -ENOTSUP && r != -EINVAL)) {
			complain(place, *err.msg ? err.msg : "refused without a word");
		}
		return false;
	}
	if (strlen(plan->digest) != 64) {
		complain(place, "the plan is not sealed");
	}
	if (place->whole) {
		json = plan_to_json(plan);
		assert_non_null(json);
		check_json(plan, json, place);
		check_print(plan);
	}
	check_promises(backend, plan, place);
	check_again(backend, spec, host, plan, json, place);
	/* What is asked for and not kept is said. Names that take an engine to look up are not asked for. */
	if (!backend->resolve && backend_compile(backend, spec, host, 0, &accepted, &err) < 0) {
		complain(place, err.msg);
	}
	return true;
}

static void every_backend_is_honest_about_generated_specs(void **state)
{
	const char *said = getenv("CLOCHE_SEED");
	uint64_t seed = said ? strtoull(said, NULL, 10) : DEFAULT_SEED;
	struct host hosts[HOSTS];
	size_t plans[32] = {0};

	print_message("seed %llu\n", (unsigned long long)seed);
	random_state = seed ? seed : 1;
	make_hosts(hosts);
	for (size_t i = 0; i < SPECS; i++) {
		struct spec spec = {0};
		struct err err = {0};
		generate(&spec, i % 8 == 7);
		if (spec_validate(&spec, &err) < 0) {
			fail_msg("spec %zu: %s", i, err.msg);
		}
		for (size_t h = 0; h < HOSTS; h++) {
			for (size_t b = 0; backends[b]; b++) {
				const struct place place = {
					i, host_names[h], backends[b]->name, i % HOSTS == h};
				plans[b] += check_one(backends[b], &spec, &hosts[h], &place);
			}
		}
		spec_fini(&spec);
	}
	for (size_t b = 0; backends[b]; b++) {
		print_message("%s: %zu plans of %d\n", backends[b]->name, plans[b], SPECS * HOSTS);
		if (plans[b] < 20) {
			fail_msg("%s compiles next to nothing", backends[b]->name);
		}
	}
}

/* The table of a backend is whole, and names are not given twice. */
static void every_slot_of_every_backend_is_filled(void **state)
{
	for (size_t i = 0; backends[i]; i++) {
		const struct backend *backend = backends[i];
		assert_true(backend->name && *backend->name && backend->summary);
		assert_true(backend->probe && backend->compile && backend->start &&
			backend->signal && backend->poll_exit && backend->usage &&
			backend->destroy);
		assert_true(backend->enforces.bits && backend->kernel < PLAN_KERNELS);
		assert_ptr_equal(backend_find(backends, backend->name), backend);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot_of_every_backend_is_filled),
		cmocka_unit_test(every_backend_is_honest_about_generated_specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
