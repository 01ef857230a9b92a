/*
 * What the operator's command answers: whatever is accepted says yes or no, within bounds; whatever is refused is
 * refused with words, and changes nothing.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sshd/authorize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
	assert(strnlen(text, room) < room);
	for (; *text; text++) {
		assert((unsigned char)*text >= 0x20 && *text != 0x7f);
	}
}

/* Every byte: what is refused must leave nothing behind, in the padding neither. */
static bool is_untouched(const struct authorize_answer *answer)
{
	const unsigned char *byte = (const unsigned char *)answer;

	for (size_t i = 0; i < sizeof(*answer); i++) {
		if (byte[i]) {
			return false;
		}
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct authorize_answer answer = {0};
	struct err err = {0};
	/* Memory of its own size, so that a read past the end is seen. */
	char *text = malloc(size ? size : 1);

	assert(text);
	memcpy(text, data, size);
	int r = authorize_answer_parse(text, size, &answer, &err);
	free(text);
	if (r < 0) {
		assert(r == -EINVAL && err.msg[0]);
		assert(is_untouched(&answer));
		return 0;
	}
	check_text(answer.reason, sizeof(answer.reason));
	check_text(answer.profile, sizeof(answer.profile));
	check_text(answer.identity, sizeof(answer.identity));
	assert(answer.limits.timeout <= 366u * 86400 && answer.limits.max_sessions <= 65536);
	assert(answer.limits.memory == 0 || answer.limits.memory >= (UINT64_C(4) << 20));
	return 0;
}
