#include "testkit/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "session/document.h"

#define MAX_OPENINGS 512
#define MAX_REASON 400 /* bytes */

/* ---- reading ---- */

struct reading {
	struct report *report;
	struct manifest *manifest;
};

static void complain(struct reading *reading, const struct node *node, const char *text)
{
	report_add(reading->report, node->start, node->end, "%s", text);
}

/* A key and what it does with its value. 0 or -ENOMEM; mistakes go to the report. */
struct key {
	const char *name;
	int (*read)(struct reading *reading, const struct node *value, void *into);
};

static const struct key *find_key(const struct key *keys, const char *name)
{
	while (keys->name && strcmp(keys->name, name) != 0) {
		keys++;
	}
	return keys->name ? keys : NULL;
}

static int read_map(
	struct reading *reading, const struct node *map, const struct key *keys, void *into)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i + 1 < map->count; i += 2) {
		const struct node *name = map->items[i];
		const struct key *key = find_key(keys, name->text);
		if (key) {
			r = key->read(reading, map->items[i + 1], into);
		} else {
			report_add(reading->report, name->start, name->end,
				"unknown key \"%s\"; what may stand here is %s, %s, %s or %s",
				name->text, keys[0].name, keys[1].name, keys[2].name, keys[3].name);
		}
	}
	return r;
}

static bool is_text(struct reading *reading, const struct node *node, const char *otherwise)
{
	if (node->kind == NODE_SCALAR && *node->text) {
		return true;
	}
	if (node->kind != NODE_BAD) {
		complain(reading, node, otherwise);
	}
	return false;
}

static int read_version(struct reading *reading, const struct node *value, void *into)
{
	bool *seen = into;

	*seen = true;
	if (is_text(reading, value, "the version is 1") && strcmp(value->text, "1") != 0) {
		complain(reading, value, "this program reads manifests of version 1");
	}
	return 0;
}

static int read_target(struct reading *reading, const struct node *value, void *into)
{
	(void)into;
	if (!is_text(reading, value, "a target is a text")) {
		return 0;
	}
	/* It may be here twice, which has been complained about. */
	free(reading->manifest->target);
	reading->manifest->target = strdup(value->text);
	return reading->manifest->target ? 0 : -ENOMEM;
}

static bool take_capability(
	struct reading *reading, const struct node *node, enum capability *ret_capability)
{
	struct err err;

	if (!is_text(reading, node, "a capability is a word, such as net.disable")) {
		return false;
	}
	if (capability_parse(node->text, ret_capability, &err) < 0) {
		complain(reading, node, err.msg);
		return false;
	}
	return true;
}

static int read_promises(struct reading *reading, const struct node *value, void *into)
{
	enum capability capability = CAPABILITY_COUNT;

	(void)into;
	if (value->kind != NODE_LIST) {
		complain(reading, value, "promises are a list, such as [net.disable]; [] for none");
		return 0;
	}
	reading->manifest->declares = true;
	for (size_t i = 0; i < value->count; i++) {
		if (take_capability(reading, value->items[i], &capability)) {
			capability_set_add(&reading->manifest->promises, capability);
		}
	}
	return 0;
}

static int read_probe(struct reading *reading, const struct node *value, void *into)
{
	struct known *opening = into;

	if (is_text(reading, value, "a probe is a word, such as N.tcp4")) {
		opening->probe = probe_find(value->text);
		if (!opening->probe) {
			complain(reading, value,
				"no probe is called that; cloche-testkit-host list names them");
		}
	}
	return 0;
}

static int read_capability(struct reading *reading, const struct node *value, void *into)
{
	struct known *opening = into;

	(void)take_capability(reading, value, &opening->capability);
	return 0;
}

static int read_reason(struct reading *reading, const struct node *value, void *into)
{
	struct known *opening = into;

	if (!is_text(reading, value, "a reason is a text")) {
		return 0;
	}
	if (strlen(value->text) > MAX_REASON) {
		complain(reading, value, "a reason has room for 400 bytes");
		return 0;
	}
	opening->reason = value->text; /* borrowed: known_add() copies it */
	return 0;
}

static int read_until(struct reading *reading, const struct node *value, void *into)
{
	static const char form[] = "the last day, such as 2027-01-31";
	struct known *opening = into;

	if (is_text(reading, value, form)) {
		if (known_is_date(value->text)) {
			memcpy(opening->until, value->text, KNOWN_DATE);
		} else {
			complain(reading, value, form);
		}
	}
	return 0;
}

static const struct key opening_keys[] = {
	{"probe", read_probe},
	{"capability", read_capability},
	{"reason", read_reason},
	{"until", read_until},
	{NULL, NULL},
};

static int read_opening(struct reading *reading, const struct node *node)
{
	struct known opening = {.capability = CAPABILITY_COUNT, .verdict = VERDICT_FAIL};
	size_t before = reading->report->count + reading->report->dropped;
	int r = 0;

	if (node->kind != NODE_MAP) {
		complain(reading, node,
			"an opening is a map of probe or capability, reason and until");
		return 0;
	}
	r = read_map(reading, node, opening_keys, &opening);
	if (r < 0 || reading->report->count + reading->report->dropped != before) {
		return r;
	}
	if (!opening.probe == (opening.capability == CAPABILITY_COUNT)) {
		complain(reading, node, "an opening is of one probe or of one capability");
		return 0;
	}
	if (!opening.reason || !opening.until[0]) {
		complain(reading, node,
			opening.reason
				? "until when is this accepted? a day, such as until: 2027-01-31"
				: "why is this accepted? say reason: and a text");
		return 0;
	}
	return known_add(&reading->manifest->openings, &opening);
}

static int read_openings(struct reading *reading, const struct node *value, void *into)
{
	int r = 0;

	(void)into;
	if (value->kind != NODE_LIST || value->count > MAX_OPENINGS) {
		complain(reading, value, "openings are a list of at most 512");
		return 0;
	}
	for (size_t i = 0; r == 0 && i < value->count; i++) {
		r = read_opening(reading, value->items[i]);
	}
	return r;
}

static const struct key manifest_keys[] = {
	{"manifest", read_version},
	{"target", read_target},
	{"promises", read_promises},
	{"openings", read_openings},
	{NULL, NULL},
};

static int read_root(struct reading *reading)
{
	static const struct place top = {0, 0};
	cleanup(node_freep) struct node *root = NULL;
	bool versioned = false;
	int r = document_parse(reading->report, &root);

	if (r < 0 || !root) {
		return r;
	}
	if (root->kind != NODE_MAP) {
		complain(reading, root, "a manifest is a map that begins with manifest: 1");
		return 0;
	}
	r = read_map(reading, root, manifest_keys, &versioned);
	if (r == 0 && !versioned) {
		report_add(reading->report, top, top, "a manifest says manifest: 1");
	}
	return r;
}

int manifest_parse(const char *text, size_t size, const char *name, FILE *out, struct manifest *ret)
{
	struct manifest manifest = {0};
	struct report report;
	struct reading reading = {&report, &manifest};
	int r = 0;

	report_init(&report, name, text, size);
	r = read_root(&reading);
	if (r == 0 && !report_is_clean(&report)) {
		report_print(&report, out);
		r = -EINVAL;
	}
	report_fini(&report);
	if (r < 0) {
		manifest_fini(&manifest);
		return r;
	}
	*ret = manifest;
	return 0;
}

int manifest_load(const char *path, FILE *out, struct manifest *ret, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r = io_read_file(AT_FDCWD, path, DOCUMENT_MAX_SIZE, &text, &size);

	if (r < 0) {
		return err_set(err, -r, "reading the manifest %s", path);
	}
	r = manifest_parse(text, size, path, out, ret);
	return r < 0 ? err_refuse(err, -r, "the manifest %s cannot be used", path) : 0;
}

void manifest_fini(struct manifest *manifest)
{
	free(manifest->target);
	known_fini(&manifest->openings);
	*manifest = (struct manifest){0};
}

/* ---- writing ---- */

static void write_promises(const struct measurement *measurement, FILE *out)
{
	const char *before = "";

	(void)fputs("promises: [", out);
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (result->declared || result->observed == STATE_KEPT) {
			(void)fprintf(out, "%s%s", before, capability_name((enum capability)i));
			before = ", ";
		}
	}
	(void)fputs("]\n", out);
}

void manifest_write(const char *target, const struct measurement *measurement, FILE *out)
{
	const char *head = "openings:\n";
	char today[KNOWN_DATE];
	char last[KNOWN_DATE];
	char reason[MAX_REASON];

	(void)known_date(0, today);
	(void)known_date(MANIFEST_DAYS, last);
	(void)fprintf(out,
		"# Written by cloche-testkit-host --learn from what was observed on %s.\n"
		"# Say for each opening why it is accepted, and for how long.\nmanifest: "
		"1\ntarget: ",
		today);
	document_print_text(target, out);
	(void)fputc('\n', out);
	write_promises(measurement, out);
	for (size_t i = 0; i < probe_count; i++) {
		if (measurement->verdicts[i].verdict != VERDICT_FAIL) {
			continue;
		}
		(void)snprintf(
			reason, sizeof(reason), "observed on %s: %s", today, probe_table[i].what);
		(void)fprintf(out, "%s  - probe: %s\n    reason: ", head, probe_table[i].id);
		document_print_text(reason, out);
		(void)fprintf(out, "\n    until: %s\n", last);
		head = "";
	}
}
