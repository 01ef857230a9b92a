/* Whatever a client or a login writes: cut into lines and read, with the fence it should know. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "testkit/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(const char *line, size_t size, void *context)
{
	struct protocol_line parsed;
	struct protocol_line again;
	char text[PROTOCOL_MAX_LINE + 64];

	(void)context;
	if (protocol_parse(line, size, "f00d", &parsed) == 1) {
		/* What was taken can be said again and is taken again. */
		size_t length = protocol_format(&parsed, "f00d", text, sizeof(text));
		assert(protocol_parse(text, length, "f00d", &again) == 1);
		assert(again.kind == parsed.kind && again.size == parsed.size);
		assert(parsed.kind == PROTOCOL_END || parsed.size <= PROTOCOL_MAX_TEXT);
		assert(strlen(parsed.id) <= PROTOCOL_MAX_ID);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct protocol_stream stream = {0};

	(void)protocol_feed(&stream, (const char *)data, size, take, NULL);
	(void)take((const char *)data, size, NULL);
	return 0;
}
