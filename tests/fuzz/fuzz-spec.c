/*
 * Specs from outside: JSON, and "key value" lines as the command line and the configuration give
 * them. Whatever is accepted must validate or be refused with a sentence, and survive JSON.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "backends/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted is written and read back the same. */
static void check_round_trip(const struct spec *spec)
{
	cleanup_free char *first = spec_to_json(spec);
	cleanup_free char *second = NULL;
	struct spec back = {0};
	struct err err = {0};

	assert(first);
	/* Bytes that are no text are written as an object, which is not read. */
	if (!strstr(first, "{\"bytes\":")) {
		int r = spec_from_json(first, &back, &err);
		assert(r == 0);
		second = spec_to_json(&back);
		assert(second && strcmp(first, second) == 0);
		spec_fini(&back);
	}
}

static void try_json(const char *text)
{
	struct spec spec = {0};
	struct err err = {0};
	char **environment = NULL;

	if (spec_from_json(text, &spec, &err) < 0) {
		assert(*err.msg);
		return;
	}
	if (spec_validate(&spec, &err) < 0) {
		assert(*err.msg);
	}
	assert(spec_environment(&spec, &environment) == 0);
	strv_free(environment);
	check_round_trip(&spec);
	spec_fini(&spec);
}

static void try_lines(char *text)
{
	struct spec spec = {0};
	struct err err = {0};

	for (char *rest = text, *line = NULL; (line = strsep(&rest, "\n"));) {
		char *value = line + strcspn(line, " ");
		const struct spec_key *key = NULL;
		if (*value) {
			*value++ = '\0';
		}
		key = spec_find_key(line);
		if (!key) {
			(void)spec_suggest_key(line);
		} else if (spec_set(&spec, key, value, &err) < 0) {
			assert(*err.msg && !strchr(err.msg, '\n'));
		}
	}
	check_round_trip(&spec);
	spec_fini(&spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size);

	assert(text || size == 0);
	if (text && *text == '{') {
		try_json(text);
	} else if (text) {
		try_lines(text);
	}
	return 0;
}
