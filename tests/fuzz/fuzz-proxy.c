/*
 * What a program inside says to the proxy: the same in one piece and byte by byte, never more than
 * came, and a name that comes of it is one.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "backends/linux/netd/request.h"

/* The member that the kind of destination does not use has nothing to say. */
static bool is_equal(const struct request *a, const struct request *b)
{
	return a->kind == b->kind && a->greeted == b->greeted && a->is_name == b->is_name &&
		a->port == b->port &&
		(a->is_name ? strcmp(a->name, b->name) == 0
			    : a->address.family == b->address.family &&
					memcmp(a->address.bytes, b->address.bytes,
						a->address.family == 4 ? 4 : 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads with at most step new bytes at a time, as they would come. */
static enum request_state read_all(
	struct request *request, const uint8_t *data, size_t size, size_t step, size_t *ret_used)
{
	size_t from = 0;

	*request = (struct request){0};
	for (size_t to = 0; to < size;) {
		to = size - to < step ? size : to + step;
		for (;;) {
			size_t used = 0;
			enum request_state state =
				request_read(request, data + from, to - from, &used);
			assert(used <= to - from);
			from += used;
			if (state != REQUEST_GREETED && state != REQUEST_MORE) {
				*ret_used = from;
				return state;
			}
			if (state == REQUEST_MORE) {
				break;
			}
		}
	}
	*ret_used = from;
	return REQUEST_MORE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request whole;
	struct request pieces;
	char name[NAME_SIZE];
	size_t used = 0;
	size_t used_pieces = 0;
	enum request_state state = REQUEST_MORE;

	if (size > REQUEST_SIZE / 2) {
		return 0;
	}
	state = read_all(&whole, data, size, size, &used);
	assert(read_all(&pieces, data, size, 1, &used_pieces) == state);
	if (state == REQUEST_COMPLETE) {
		assert(whole.port && used == used_pieces && is_equal(&whole, &pieces));
		assert(!whole.is_name ||
			(name_parse(whole.name, strlen(whole.name), name) &&
				name_is_equal(name, whole.name)));
	}
	return 0;
}
