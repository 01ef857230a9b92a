/* What the next session of a connection will need, begun before it is asked for. */
#pragma once

#include "session/session.h"

/*
 * For a connection that has had several sessions, and so will ask for another: what its backend can begin
 * without knowing the command. Nothing of a session's is in it, and it is one session's when it is taken.
 */
void session_prepare(const struct session_context *context);

/* Undoes what no session has taken. */
void session_forget(const struct session_context *context);
