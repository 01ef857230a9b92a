/*
 * `why` inside a sandbox that a foreign tool makes: the socket lies in the tool's directory
 * (keeper-door.h), and the tool binds it into the sandbox, read-only. gVisor would have to be told to
 * let in whatever socket of the host's a session can see; there it is a page, which the server writes.
 */
#pragma once

#include <stdbool.h>

#include "backends/keeper-door.h"
#include "backends/linux/image.h"
#include "backends/plan.h"
#include "backends/spec.h"

/* How the program gets into the sandbox. */
enum foreign_door_program {
	FOREIGN_DOOR_MADE, /* the tool makes directories and files inside: from memory */
	FOREIGN_DOOR_BOUND, /* it binds files of the plan */
	FOREIGN_DOOR_PAGE, /* it binds one directory, with the page */
};

/*
 * Adds socket, program and caveat to the plan where native would have them (native-door.h); after
 * view and environment, before the caveats of all. 0 or -ENOMEM.
 */
int foreign_door_compile(
	const struct spec *spec, struct plan *plan, enum foreign_door_program program);

/*
 * Will a plan that is still being made have a page? Then KEEPER_PAGE_BESIDE needs no mount of its own,
 * and is FOREIGN_DOOR_BESIDE inside.
 */
bool foreign_door_has_page(const struct spec *spec, const struct plan *plan);
#define FOREIGN_DOOR_BESIDE IMAGE_WHY_DIR "/" KEEPER_PAGE_BESIDE

/* Whether a plan has one. */
bool foreign_door_is_in(const struct plan *plan);
