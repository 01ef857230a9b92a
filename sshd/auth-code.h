/*
 * One-time codes of users: the sealed secret is opened, the code compared, and what was used is written down
 * in state_dir/totp, so that no connection, of this server or the next, takes it again.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "session/config.h"

/*
 * Is code the one of this user (with a totp line; name is a file name)? False as well, and said on the log,
 * when the secret cannot be opened or its use not be written down. Nothing is written when count is false:
 * then another part of the same answer was wrong, and the code stays good. With proven the user has shown
 * something else before: wrong codes are counted then, and after some in a row none is good for a while.
 */
bool auth_code_verify(const struct config *config, const struct config_user *user, uid_t owner,
	const char *code, bool count, bool proven);
