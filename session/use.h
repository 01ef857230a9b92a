/*
 * What sessions come up to inside their limits, for their users: the sandbox goes on, but a program of it
 * was killed, or could not be started, and cannot say why.
 */
#pragma once

#include "session/session.h"

/* What others of a shared sandbox came up to before is not this session's. */
void use_begin(struct session *session, const struct plan *plan);

/*
 * What has happened since the user was last told: words in text, which stays as it is when there is
 * nothing to tell.
 */
void use_tell(const struct session_context *context, struct session *session,
	const struct sandbox_usage *usage, char *text, size_t size);
