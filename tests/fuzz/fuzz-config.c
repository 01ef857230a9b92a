/*
 * The configuration: whatever is accepted must print as something that is accepted and prints the same;
 * whatever is refused must be refused with words.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *print(const struct config *config, size_t *ret_size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);

	assert(out);
	config_print(config, out);
	assert(fclose(out) == 0);
	return text;
}

static void check_round_trip(const struct config *config)
{
	struct config again = {0};
	size_t first_size = 0, second_size = 0;
	char *first = print(config, &first_size);
	char *second = NULL;
	int r = config_parse(first, first_size, "printed", stderr, &again);

	assert(r == 0);
	second = print(&again, &second_size);
	assert(first_size == second_size && memcmp(first, second, first_size) == 0);
	config_fini(&again);
	free(first);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = {0};
	char *messages = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&messages, &length);
	char *text = malloc(size + 1);
	int r = 0;

	assert(out && text);
	memcpy(text, data, size);
	text[size] = '\0';
	r = config_parse(text, size, "fuzz", out, &config);
	assert(fclose(out) == 0);
	if (r == 0) {
		assert(length == 0);
		check_round_trip(&config);
		config_fini(&config);
	} else {
		assert(r == -EINVAL && length > 0);
	}
	free(messages);
	free(text);
	return 0;
}
