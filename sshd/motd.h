/*
 * What a shell on a terminal is greeted with: the profile's motd.
 */
#pragma once

#include "session/config.h"
#include "session/session.h"

/*
 * Lines separated by "\r\n", without one at the end; the caller frees *ret, NULL when the profile wants
 * none. "auto" names the profile, what was promised and observed for it, its limits, and `why` where the session has it. 0 or -ENOMEM.
 */
int motd_make(const struct config_profile *profile, const struct session_gate *gate, bool why,
	char **ret);
