/* The monitor's parser of what the network-facing process says. */
#include <stdlib.h>

#include "sshd/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire wire;
	struct wire_welcome welcome;
	struct err err;

	if (wire_parse(data, size, &wire, &err) < 0) {
		return 0;
	}
	/* What was accepted is within its promises. */
	if (!wire.user || !wire.text || wire.fd_count > WIRE_MAX_FDS || wire.data_size > size) {
		abort();
	}
	(void)wire_welcome_unpack(&wire, &welcome);
	wire_fini(&wire);
	return 0;
}
