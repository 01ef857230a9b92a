/*
 * The answers that need no listening: is this configuration good (-t), and what would a login get
 * (-T -C)?
 */
#pragma once

#include <stdio.h>

#include "backends/backend.h"
#include "session/config.h"
#include "session/session.h"

/*
 * Makes one throw-away sandbox of each profile, running true, and says on out how it went. Returns
 * how many failed.
 */
unsigned check_profiles(const struct config *config, const struct host *host,
	const struct backend *const list[], FILE *out);

/*
 * Prints who the login described by text ("user=alice,addr=192.0.2.7,key=SHA256:...") would be, the rules that
 * speak of it, its profile, and the plan's uses and caveats. gates may be NULL. 0, or -EINVAL / -ENOENT with err.
 */
int check_login(const struct config *config, const struct host *host,
	const struct backend *const list[], const struct session_gate *gates, const char *text,
	FILE *out, struct err *err);
