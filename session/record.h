/*
 * What the audit log is told of a session's life.
 */
#pragma once

#include "session/session.h"

/* Before it starts: the plan, and who asked for what. 0, or negative errno with err; then it must not start. */
int record_start(const struct session_context *context, const struct session *session,
	enum policy_kind kind, const char *command, const struct plan *plan, struct err *err);

/* It was not let start. */
void record_refused(const struct session_context *context, const struct session *session,
	const struct err *err);

/* It came up to a limit. */
void record_limit(
	const struct session_context *context, const struct session *session, const char *limit);

/* Its end, as the client was told, and what it used. */
void record_end(const struct session_context *context, const struct session *session,
	const struct session_news *news, const char *cause, const struct sandbox_usage *usage,
	uint64_t now);
