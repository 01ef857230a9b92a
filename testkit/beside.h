/*
 * Sends an eye (eye.h) into the kernel that serves a session, where that is not the host's: into a
 * guest by its relay's window, into gVisor by runsc exec. Takes what machine_read() found, so it works
 * for whoever started the session: a backend, a server, an engine.
 */
#pragma once

#include "base/err.h"
#include "testkit/machine.h"
#include "testkit/outside.h"

/*
 * What the eye, a program at that path on both sides, sees of the process that calls itself name.
 * scope: as for room_measure(). 0 and *ret for the caller to outside_fini(), or negative errno.
 */
int beside_look(const struct machine *machine, const char *eye, const char *name, const char *scope,
	struct outside *ret, struct err *err);
