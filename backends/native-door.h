/*
 * `why` inside a session of the server: a socket on which the server says what it refused that
 * session, and the program that asks there.
 */
#pragma once

#include <stdbool.h>

#include "backends/plan.h"
#include "backends/spec.h"

/*
 * Adds both to the plan if the spec asks for it and nothing of the session's own is in the way;
 * after the view and the environment. 0 or -ENOMEM.
 */
int native_door_compile(const struct spec *spec, struct plan *plan);

/* The caveats that name what is there: a socket, or a page. */
#define NATIVE_DOOR_CAVEAT "ipc.why_door"
#define NATIVE_DOOR_PAGE_CAVEAT "ipc.why_page"

/* Whether it would, under that caveat; for those that put it in place in another way. */
bool native_door_is_wanted(const struct spec *spec, const struct plan *plan, const char *caveat);

/* Would the spec go without it rather than have the caveat? */
bool native_door_is_refused(const struct spec *spec, const char *caveat);

/* The caveat, and the program's place at the end of PATH. 0 or -ENOMEM. */
int native_door_note(struct plan *plan, const char *caveat);
