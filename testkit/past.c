#include "testkit/past.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"

#define MAX_TEXT 600
#define MAX_ENTRIES 4096 /* of a list */

static void past_target_fini(struct past_target *target)
{
	free(target->name);
	free(target->version);
	free(target->kernel);
	free(target->plan);
	free(target->observed);
	free(target->probes);
}

void past_fini(struct past *past)
{
	for (size_t i = 0; i < past->count; i++) {
		past_target_fini(&past->targets[i]);
	}
	free(past->targets);
	*past = (struct past){0};
}

/* ---- reading ---- */

/* A text that is there, or must not be missing. What cannot be shown is written as \xNN. */
static int take_text(
	const json_t *from, const char *key, bool optional, char **ret, struct err *err)
{
	const json_t *value = json_object_get(from, key);
	char clean[MAX_TEXT];

	if (!json_is_string(value) && !(optional && !value)) {
		return err_refuse(err, EINVAL, "'%s' is missing, or no text", key);
	}
	*ret = strdup(value ? log_escape(json_string_value(value), clean, sizeof(clean)) : "");
	return *ret ? 0 : err_set(err, ENOMEM, "reading a report");
}

static int take_list(const json_t *from, const char *key, const json_t **ret, struct err *err)
{
	*ret = json_object_get(from, key);
	if (!json_is_array(*ret) || json_array_size(*ret) > MAX_ENTRIES) {
		return err_refuse(
			err, EINVAL, "'%s' is missing, or no list of at most %d", key, MAX_ENTRIES);
	}
	return 0;
}

/* A word of an entry, borrowed; "" when there is none. */
static const char *word_of(const json_t *entry, const char *key)
{
	const char *word = json_string_value(json_object_get(entry, key));

	return word ? word : "";
}

static int refuse_entry(struct err *err, const char *list, size_t i, const char *key)
{
	return err_refuse(err, EINVAL, "%s[%zu] has no '%s' that can be used", list, i, key);
}

static int take_capability(
	const json_t *entry, size_t i, struct past_target *target, struct err *err)
{
	const json_t *declared = json_object_get(entry, "declared");
	enum verdict verdict = VERDICT_NOT_TESTED;
	enum capability capability = CAPABILITY_COUNT;
	struct err ignored;

	if (!*word_of(entry, "name")) {
		return refuse_entry(err, "capabilities", i, "name");
	}
	if (!json_is_boolean(declared)) {
		return refuse_entry(err, "capabilities", i, "declared");
	}
	if (verdict_parse(word_of(entry, "verdict"), &verdict) < 0) {
		return refuse_entry(err, "capabilities", i, "verdict");
	}
	if (capability_parse(word_of(entry, "name"), &capability, &ignored) < 0) {
		target->unknown++;
		return 0;
	}
	target->declared[capability] = json_is_true(declared);
	target->capabilities[capability] = verdict;
	return 0;
}

static int take_probe(const json_t *entry, size_t i, struct past_target *target, struct err *err)
{
	enum verdict verdict = VERDICT_NOT_TESTED;
	enum observation observed = OBSERVED_NOT_RUN;
	const struct probe *probe = probe_find(word_of(entry, "id"));

	if (!*word_of(entry, "id")) {
		return refuse_entry(err, "probes", i, "id");
	}
	if (observation_parse(word_of(entry, "observed"), &observed) < 0) {
		return refuse_entry(err, "probes", i, "observed");
	}
	if (verdict_parse(word_of(entry, "verdict"), &verdict) < 0) {
		return refuse_entry(err, "probes", i, "verdict");
	}
	if (!probe) {
		target->unknown++;
		return 0;
	}
	target->observed[probe_index(probe)] = observed;
	target->probes[probe_index(probe)] = verdict;
	return 0;
}

static int take_entries(const json_t *from, const char *key,
	int (*take)(const json_t *entry, size_t i, struct past_target *target, struct err *err),
	struct past_target *target, struct err *err)
{
	const json_t *list = NULL;
	int r = take_list(from, key, &list, err);

	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		r = take(json_array_get(list, i), i, target, err);
	}
	return r;
}

static int allocate(struct past_target *target, struct err *err)
{
	target->observed = calloc(probe_count, sizeof(target->observed[0]));
	target->probes = calloc(probe_count, sizeof(target->probes[0]));
	if (!target->observed || !target->probes) {
		return err_set(err, ENOMEM, "reading a report");
	}
	for (size_t i = 0; i < probe_count; i++) {
		target->probes[i] = VERDICT_NOT_TESTED;
	}
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		target->capabilities[i] = VERDICT_NOT_TESTED;
	}
	return 0;
}

static int read_target(const json_t *root, struct past_target *ret, struct err *err)
{
	const json_t *target = json_object_get(root, "target");
	int r = 0;

	if (strcmp(word_of(root, "schema"), "cloche.report/1") != 0) {
		return err_refuse(err, EINVAL, "it is no report of the form cloche.report/1");
	}
	r = allocate(ret, err);
	r = r < 0 ? r : take_text(root, "version", false, &ret->version, err);
	r = r < 0 ? r : take_text(target, "name", false, &ret->name, err);
	r = r < 0 ? r : take_text(target, "kernel", false, &ret->kernel, err);
	r = r < 0 ? r : take_text(target, "plan", true, &ret->plan, err);
	r = r < 0 ? r : take_entries(root, "capabilities", take_capability, ret, err);
	return r < 0 ? r : take_entries(root, "probes", take_probe, ret, err);
}

static int read_others(const json_t *root, struct past *past, struct err *err)
{
	const json_t *others = json_object_get(root, "others");
	int r = 0;

	if (others && (!json_is_array(others) || json_array_size(others) >= PAST_MAX_TARGETS)) {
		return err_refuse(
			err, EINVAL, "'others' is no list of less than %d", PAST_MAX_TARGETS);
	}
	for (size_t i = 0; r == 0 && i < json_array_size(others); i++) {
		const json_t *other = json_array_get(others, i);
		if (json_object_get(other, "others")) {
			return err_refuse(err, EINVAL, "'others' of others");
		}
		r = read_target(other, &past->targets[past->count++], err);
	}
	return r;
}

int past_read(const json_t *root, struct past *ret, struct err *err)
{
	struct past past = {0};
	int r = 0;

	if (strcmp(word_of(root, "schema"), "cloche.receipt/1") == 0) {
		root = json_object_get(root, "report");
	}
	past.targets = calloc(PAST_MAX_TARGETS, sizeof(past.targets[0]));
	if (!past.targets) {
		return err_set(err, ENOMEM, "reading a report");
	}
	past.count = 1;
	r = read_target(root, &past.targets[0], err);
	r = r < 0 ? r : read_others(root, &past, err);
	if (r < 0) {
		past_fini(&past);
		return r;
	}
	*ret = past;
	return 0;
}

int past_parse(const char *text, size_t size, struct past *ret, struct err *err)
{
	json_error_t error;
	json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	int r = root ? past_read(root, ret, err)
		     : err_refuse(err, EINVAL, "line %d, column %d: %s", error.line, error.column,
			       error.text);

	json_decref(root);
	return r;
}

int past_load(const char *path, struct past *ret, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r = io_read_file(AT_FDCWD, path, PAST_MAX_SIZE, &text, &size);

	if (r < 0) {
		return err_set(err, -r, "reading %s", path);
	}
	r = past_parse(text, size, ret, err);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

const struct past_target *past_find_read(const struct past *past, const char *name, bool only)
{
	for (size_t i = 0; i < past->count; i++) {
		if (strcmp(past->targets[i].name, name) == 0) {
			return &past->targets[i];
		}
	}
	return only && past->count == 1 ? &past->targets[0] : NULL;
}

/* A report escapes the name, and what is read from it is escaped again. */
const struct past_target *past_find(const struct past *past, const char *name, bool only)
{
	char once[1024];
	char twice[MAX_TEXT];

	(void)log_escape(name, once, sizeof(once));
	return past_find_read(past, log_escape(once, twice, sizeof(twice)), only);
}

/* ---- what is known by it ---- */

static bool was_violated(enum verdict verdict)
{
	return verdict == VERDICT_FAIL || verdict == VERDICT_OVER_RESTRICTED ||
		verdict == VERDICT_EXPECTED;
}

/* A probe's violation is known for those of its promises that were violated then. */
static int add_violations(const struct past_target *before, struct known_list *list)
{
	static char reason[] = "so in the baseline";
	int r = 0;

	for (size_t i = 0; r == 0 && i < judge_rule_count; i++) {
		const struct judge_rule *rule = &judge_rules[i];
		const struct probe *probe = probe_find(rule->probe);
		enum verdict verdict =
			judge_expect(rule->expectation, before->observed[probe_index(probe)]);
		if (was_violated(before->capabilities[rule->capability]) &&
			before->declared[rule->capability] && was_violated(verdict)) {
			r = known_add(list,
				&(struct known){.probe = probe,
					.capability = rule->capability,
					.verdict = verdict,
					.reason = reason});
		}
	}
	return r;
}

static int add_promises(
	const struct past_target *before, struct capability_set declared, struct known_list *list)
{
	static char undecided[] = "undecided in the baseline";
	static char dropped[] = "declared in the baseline";
	int r = 0;

	for (size_t i = 0; r == 0 && i < CAPABILITY_COUNT; i++) {
		struct known item = {.capability = (enum capability)i,
			.verdict = VERDICT_INCONCLUSIVE,
			.reason = undecided};
		if (before->declared[i] && !capability_set_has(declared, (enum capability)i)) {
			item.state = KNOWN_DROPPED;
			item.reason = dropped;
			r = known_add(list, &item);
		} else if (before->declared[i] && before->capabilities[i] == VERDICT_INCONCLUSIVE) {
			r = known_add(list, &item);
		}
	}
	return r;
}

int past_to_known(
	const struct past_target *before, struct capability_set declared, struct known_list *list)
{
	int r = add_violations(before, list);

	return r < 0 ? r : add_promises(before, declared, list);
}

/* ---- two of them ---- */

/* How bad a verdict is, for saying whether one is worse than another. */
static int badness(enum verdict verdict)
{
	static const int order[VERDICT_COUNT] = {
		[VERDICT_PASS] = 0,
		[VERDICT_UNDECLARED_SHUT] = 1,
		[VERDICT_NOT_TESTED] = 2,
		[VERDICT_UNDECLARED_OPEN] = 3,
		[VERDICT_INCONCLUSIVE] = 3,
		[VERDICT_EXPECTED] = 4,
		[VERDICT_OVER_RESTRICTED] = 5,
		[VERDICT_FAIL] = 6,
	};

	return order[verdict];
}

static void compare_texts(const char *what, const char *before, const char *after, FILE *out)
{
	if (strcmp(before, after) != 0) {
		(void)fprintf(out, "  %s: %s -> %s\n", what, *before ? before : "none",
			*after ? after : "none");
	}
}

static size_t compare_capability(const struct past_target *before, const struct past_target *after,
	enum capability capability, FILE *out)
{
	enum verdict was = before->capabilities[capability];
	enum verdict is = after->capabilities[capability];
	bool worse = badness(is) > badness(was) ||
		(before->declared[capability] && !after->declared[capability]);

	if (was == is && before->declared[capability] == after->declared[capability]) {
		return 0;
	}
	(void)fprintf(out, "  %s: %s%s -> %s%s%s\n", capability_name(capability),
		before->declared[capability] ? "declared, " : "", verdict_name(was),
		after->declared[capability] ? "declared, " : "", verdict_name(is),
		worse ? "  (worse)" : "");
	return worse;
}

static size_t compare_probe(
	const struct past_target *before, const struct past_target *after, size_t i, FILE *out)
{
	enum verdict was = before->probes[i];
	enum verdict is = after->probes[i];
	/* That something is tried now which was not before is no loss. */
	bool worse = was == VERDICT_NOT_TESTED ? was_violated(is) : badness(is) > badness(was);

	if (was == is && before->observed[i] == after->observed[i]) {
		return 0;
	}
	(void)fprintf(out, "  %s: %s, %s -> %s, %s%s\n", probe_table[i].id,
		observation_name(before->observed[i]), verdict_name(was),
		observation_name(after->observed[i]), verdict_name(is), worse ? "  (worse)" : "");
	return worse;
}

size_t past_compare(const struct past_target *before, const struct past_target *after, FILE *out)
{
	size_t worse = 0;

	compare_texts("version", before->version, after->version, out);
	compare_texts("kernel", before->kernel, after->kernel, out);
	compare_texts("plan", before->plan, after->plan, out);
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		worse += compare_capability(before, after, (enum capability)i, out);
	}
	for (size_t i = 0; i < probe_count; i++) {
		worse += compare_probe(before, after, i, out);
	}
	return worse;
}
