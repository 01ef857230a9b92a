/* What a guest that an attacker owns may send to the relay. */
#include <assert.h>
#include <string.h>

#include "backends/vm/kit.h"
#include "backends/vm/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_guest guest = {.looking = true};
	struct vm_frame frame;
	const uint8_t *text = NULL;
	size_t at = 0;
	ssize_t n = 0;

	while ((n = vm_frame_next(data + at, size - at, true, &frame, &text)) > 0) {
		char clean[VM_TEXT_MAX + 1];
		assert((size_t)n <= size - at &&
			frame.size <= (frame.type == VM_SEEN ? VM_SEEN_CHUNK : VM_TEXT_MAX));
		vm_text_clean(text, frame.size, clean);
		assert(strlen(clean) == (frame.size < VM_TEXT_MAX ? frame.size : VM_TEXT_MAX));
		if (vm_guest_take(&guest, &frame) < 0) {
			break;
		}
		assert(!guest.exited || (guest.started && guest.ended[1] && guest.ended[2]));
		assert(!(guest.failed && guest.started) && guest.seen <= VM_SEEN_MAX);
		at += (size_t)n;
	}
	return 0;
}
