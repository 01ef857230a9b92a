/*
 * Specs as JSON: written canonically, read strictly, both by the table of keys.
 */
#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "backends/emit.h"
#include "backends/spec-keys.h"
#include "backends/spec.h"

static bool is_default(const struct spec *spec, const struct spec_key *key)
{
	const void *field = spec_const_field(spec, key);

	switch (key->type) {
	case SPEC_CHOICE:
		return *(const unsigned *)field == 0;
	case SPEC_BOOL:
		return !*(const bool *)field;
	case SPEC_CAPABILITIES:
		return ((const struct capability_set *)field)->bits == 0;
	case SPEC_SIZE:
	case SPEC_COUNT:
	case SPEC_MILLI:
	case SPEC_DURATION:
		return *(const uint64_t *)field == 0;
	default:
		return !*(void *const *)field;
	}
}

static void put_value(struct emitter *out, const struct spec *spec, const struct spec_key *key)
{
	const void *field = spec_const_field(spec, key);
	char text[32];

	switch (key->type) {
	case SPEC_CHOICE:
		emit_text(out, key->choices[*(const unsigned *)field]);
		break;
	case SPEC_BOOL:
		emit_bool(out, *(const bool *)field);
		break;
	case SPEC_STRING:
	case SPEC_PATH:
		emit_text(out, *(char *const *)field);
		break;
	case SPEC_MILLI:
		emit_text(out,
			spec_format_number(
				key->type, *(const uint64_t *)field, text, sizeof(text)));
		break;
	case SPEC_SIZE:
	case SPEC_COUNT:
	case SPEC_DURATION:
		emit_number(out, *(const uint64_t *)field);
		break;
	case SPEC_PATHS:
	case SPEC_STRINGS:
		emit_list(out, *(char **const *)field);
		break;
	case SPEC_CAPABILITIES:
		emit_capabilities(out, *(const struct capability_set *)field);
		break;
	}
}

/* The command is a key in JSON only: elsewhere it has a place of its own. */
static const struct spec_key args_key = {"args", SPEC_STRINGS, offsetof(struct spec, args)};

#define MAX_KEYS 64

static int compare_keys(const void *a, const void *b)
{
	const struct spec_key *const *left = a;
	const struct spec_key *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

char *spec_to_json(const struct spec *spec)
{
	const struct spec_key *sorted[MAX_KEYS] = {&args_key};
	struct emitter out = {0};
	size_t count = 1;

	for (const struct spec_key *key = spec_keys; key->name; key++) {
		assert(count < MAX_KEYS);
		sorted[count++] = key;
	}
	qsort(sorted, count, sizeof(sorted[0]), compare_keys);
	emit_open(&out, '{');
	for (size_t i = 0; i < count; i++) {
		if (!is_default(spec, sorted[i])) {
			emit_key(&out, sorted[i]->name);
			put_value(&out, spec, sorted[i]);
		}
	}
	emit_close(&out, '}');
	return emit_finish(&out);
}

static int refuse_type(const struct spec_key *key, const char *wanted, struct err *err)
{
	return err_refuse(err, EINVAL, "%s: must be %s", key->name, wanted);
}

static int set_from_number(
	struct spec *spec, const struct spec_key *key, const json_t *value, struct err *err)
{
	char text[48];

	if (json_is_integer(value)) {
		(void)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
	} else if (json_is_real(value) && key->type == SPEC_MILLI) {
		(void)snprintf(text, sizeof(text), "%.3f", json_real_value(value));
	} else if (json_is_string(value)) {
		return spec_set(spec, key, json_string_value(value), err);
	} else {
		return refuse_type(key, spec_number_form(key->type), err);
	}
	return spec_set(spec, key, text, err);
}

static int set_from_list(
	struct spec *spec, const struct spec_key *key, const json_t *value, struct err *err)
{
	size_t index = 0;
	const json_t *item = NULL;

	if (!json_is_array(value)) {
		return refuse_type(key, "a list of texts", err);
	}
	json_array_foreach(value, index, item)
	{
		int r = json_is_string(item) ? 0 : refuse_type(key, "a list of texts", err);
		if (r == 0 && key == &args_key) {
			r = strv_append(&spec->args, json_string_value(item));
		} else if (r == 0) {
			r = spec_set(spec, key, json_string_value(item), err);
		}
		if (r < 0) {
			return r == -ENOMEM ? err_set(err, ENOMEM, "%s", key->name) : r;
		}
	}
	return 0;
}

static int set_from_json(
	struct spec *spec, const struct spec_key *key, const json_t *value, struct err *err)
{
	if (key->type == SPEC_BOOL) {
		if (!json_is_boolean(value)) {
			return refuse_type(key, "true or false", err);
		}
		return spec_set(spec, key, json_is_true(value) ? "yes" : "no", err);
	}
	if (spec_key_is_number(key)) {
		return set_from_number(spec, key, value, err);
	}
	if (spec_key_is_list(key) || key->type == SPEC_CAPABILITIES) {
		return set_from_list(spec, key, value, err);
	}
	if (!json_is_string(value)) {
		return refuse_type(key, "a text", err);
	}
	return spec_set(spec, key, json_string_value(value), err);
}

static int refuse_unknown(const char *name, struct err *err)
{
	const char *nearest = spec_suggest_key(name);

	if (nearest) {
		return err_refuse(
			err, EINVAL, "a spec has no key '%s'; did you mean '%s'?", name, nearest);
	}
	return err_refuse(err, EINVAL, "a spec has no key '%s'", name);
}

int spec_from_json(const char *text, struct spec *ret, struct err *err)
{
	cleanup(spec_fini) struct spec spec = {0};
	cleanup(json_decrefp) json_t *root = NULL;
	json_error_t error;
	const char *name = NULL;
	json_t *value = NULL;

	root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!root) {
		return err_refuse(err, EINVAL, "line %d, column %d: %s", error.line, error.column,
			error.text);
	}
	if (!json_is_object(root)) {
		return err_refuse(err, EINVAL, "a spec is a JSON object");
	}
	json_object_foreach(root, name, value)
	{
		const struct spec_key *key =
			strcmp(name, args_key.name) == 0 ? &args_key : spec_find_key(name);
		int r = key ? set_from_json(&spec, key, value, err) : refuse_unknown(name, err);
		if (r < 0) {
			return r;
		}
	}
	*ret = spec;
	spec_init(&spec);
	return 0;
}
