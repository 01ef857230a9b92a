/* What an eye of the testkit's says from a kernel that an attacker may have taken over. */
#include <assert.h>
#include <string.h>

#include "testkit/eye.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t none[6];
	static struct outside outside;

	if (eye_parse((const char *)data, size, &outside) == 0) {
		assert(outside.found && outside.elsewhere && outside.pid == 0);
		assert(outside.mount_count <= EYE_MOUNTS_MAX);
		assert(outside.filter_count <= OUTSIDE_MAX_FILTERS);
		assert(strlen(outside.device_text) < sizeof(outside.device_text));
		assert(outside_allows(&outside, 0xc000003e, 1, none) <= 1);
		outside_fini(&outside);
	}
	return 0;
}
