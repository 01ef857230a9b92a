/*
 * What a hostile session prints, on its way to a watcher's terminal: whatever goes in, what comes
 * out has no control but those of the list, is the same when put in again, and does not depend on
 * where the bytes were cut.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/terminal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void filter_in(const uint8_t *data, size_t size, size_t piece, bool ascii, struct buf *out)
{
	struct terminal_filter filter = {.ascii = ascii};

	for (size_t i = 0; i < size; i += piece) {
		terminal_filter(&filter, data + i, size - i < piece ? size - i : piece, out);
	}
	assert(!out->failed);
}

static bool is_known_control(const uint8_t *at, size_t left)
{
	size_t i = 0;

	if (left < 2 || at[1] != '[') {
		return left >= 2 &&
			(strchr("78DEM", at[1]) ||
				(left >= 3 && strchr("()", at[1]) && strchr("B0", at[2])));
	}
	for (i = 2; i < left && at[i] < 0x40; i++) {
		assert(at[i] >= ' ');
	}
	assert(i < left &&
		!strchr("cinptxyz{|}~q", at[i]) == !(at[i - 1] == '!' || at[i - 1] == ' '));
	return i < left && at[2] != '>' && at[2] != '=' && at[2] != '<' &&
		!memchr(at + 2, '$', i - 2);
}

static void check(const struct buf *out, bool ascii)
{
	for (size_t i = 0; i < out->size; i++) {
		uint8_t byte = out->data[i];
		assert(byte >= ' ' || byte == 0x1b || (byte >= '\a' && byte <= 0x0f));
		assert(byte != 0x7f && (byte < 0x80 || !ascii));
		assert(byte != 0xc2 || out->data[i + 1] >= 0xa0);
		assert(byte != 0x1b || is_known_control(out->data + i, out->size - i));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup(buf_fini) struct buf whole = {0};
	cleanup(buf_fini) struct buf bytes = {0};
	cleanup(buf_fini) struct buf again = {0};
	cleanup(buf_fini) struct buf ascii = {0};

	filter_in(data, size, size + 1, false, &whole);
	filter_in(data, size, 1, false, &bytes);
	filter_in(whole.data, whole.size, 7, false, &again);
	filter_in(data, size, 3, true, &ascii);
	assert(whole.size == bytes.size && whole.size == again.size);
	assert(whole.size == 0 || memcmp(whole.data, bytes.data, whole.size) == 0);
	assert(whole.size == 0 || memcmp(whole.data, again.data, whole.size) == 0);
	check(&whole, false);
	check(&ascii, true);
	return 0;
}
