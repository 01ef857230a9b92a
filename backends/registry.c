#include "backends/backend.h"

const struct backend *const backends[] = {
	&backend_native,
	NULL,
};
