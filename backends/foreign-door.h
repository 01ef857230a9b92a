/*
 * `why` inside a sandbox that a foreign tool makes: the socket lies in the tool's directory
 * (keeper-door.h), and the tool binds it into the sandbox, read-only.
 */
#pragma once

#include <stdbool.h>

#include "backends/plan.h"
#include "backends/spec.h"

/* How the program gets into the sandbox. */
enum foreign_door_program {
	FOREIGN_DOOR_MADE, /* the tool makes directories and files inside: from memory */
	FOREIGN_DOOR_BOUND, /* it binds files of the plan */
};

/*
 * Adds socket, program and caveat to the plan where native would have them (native-door.h); after
 * view and environment, before the caveats of all. 0 or -ENOMEM.
 */
int foreign_door_compile(
	const struct spec *spec, struct plan *plan, enum foreign_door_program program);

/* Whether a plan has one. */
bool foreign_door_is_in(const struct plan *plan);
