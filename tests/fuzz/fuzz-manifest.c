/*
 * Manifests come from whoever owns a target: what is accepted can be used, what is refused is refused
 * with words.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testkit/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* On a target of which nothing is known. */
static void use(struct manifest *manifest)
{
	struct outcome *nothing = calloc(probe_count, sizeof(nothing[0]));
	struct probe_verdict *verdicts = calloc(probe_count, sizeof(verdicts[0]));
	struct judgement judgement;
	char text[500];

	assert(nothing && verdicts);
	judge_all(manifest->promises, nothing, nothing, verdicts, &judgement);
	(void)known_apply(&manifest->openings, "2026-11-22", &judgement);
	for (size_t i = 0; i < manifest->openings.count; i++) {
		const struct known *item = &manifest->openings.items[i];
		assert(item->state < KNOWN_STATES && known_is_date(item->until));
		assert(strstr(known_describe(item, text, sizeof(text)), item->until));
		assert(*known_name(item));
	}
	free(nothing);
	free(verdicts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest manifest = {0};
	char *messages = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&messages, &length);
	char *text = malloc(size + 1);
	int r = 0;

	assert(out && text);
	memcpy(text, data, size);
	text[size] = '\0';
	r = manifest_parse(text, size, "fuzz", out, &manifest);
	assert(fclose(out) == 0);
	assert((r == 0 && length == 0) || (r == -EINVAL && length > 0));
	if (r == 0) {
		use(&manifest);
		manifest_fini(&manifest);
	}
	free(messages);
	free(text);
	return 0;
}
