#include "backends/backend.h"

const struct backend *const backends[] = {
	&backend_native,
	&backend_bubblewrap,
	&backend_gvisor,
	&backend_podman,
	&backend_docker,
	&backend_podman_runsc,
	&backend_docker_runsc,
	&backend_microvm,
	/* For other systems: never available here. */
	&backend_seatbelt,
	&backend_apple_container,
	&backend_appcontainer,
	&backend_jail,
	NULL,
};
