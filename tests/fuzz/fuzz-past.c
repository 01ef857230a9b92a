/* Former reports come from files that anybody may have written. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testkit/past.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct past *past, FILE *out)
{
	const struct past_target *first = &past->targets[0];
	const struct capability_set none = {0};
	struct known_list list = {0};

	assert(past->count > 0 && past->count <= PAST_MAX_TARGETS);
	for (size_t i = 0; i < past->count; i++) {
		assert(past_compare(&past->targets[i], &past->targets[i], out) == 0);
		(void)past_compare(first, &past->targets[i], out);
	}
	assert(past_to_known(first, none, &list) == 0);
	/* Whatever was promised then is promised no more. */
	for (size_t i = 0; i < list.count; i++) {
		assert(list.items[i].probe || list.items[i].state == KNOWN_DROPPED);
	}
	known_fini(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *out;
	struct past past = {0};
	struct err err = {0};
	int r = past_parse((const char *)data, size, &past, &err);

	if (!out) {
		out = fopen("/dev/null", "we");
		assert(out);
	}
	assert(r == 0 || (r == -EINVAL && err.msg[0]));
	if (r == 0) {
		use(&past, out);
		past_fini(&past);
	}
	return 0;
}
