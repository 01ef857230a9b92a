/*
 * share: connection: one sandbox for all that a connection asks for. It is made when the first of
 * them comes and lives until the connection ends.
 */
#pragma once

#include <stdbool.h>

#include "backends/backend.h"
#include "base/err.h"
#include "backends/door.h"

struct session_shared { /* zeroed: there is none yet */
	const struct backend *backend;
	struct plan *plan; /* what the sandbox is; its argv is nobody's */
	struct sandbox *sandbox;
	struct session_door door; /* of all that are in it */
	char digest[65]; /* plan_sandbox_digest() */
	bool home_full; /* as in struct session; the caller's */
};

/* Makes it from plan, which is consumed on success. 0 or negative errno. */
int session_shared_start(struct session_shared *shared, const struct backend *backend,
	struct plan **plan, const struct host *host, struct err *err);

/*
 * Can a command with this plan join? -ENOTSUP when the plan is of another sandbox, -EPIPE when the
 * sandbox has ended; err is fit for the user.
 */
int session_shared_check(struct session_shared *shared, const struct plan *plan, struct err *err);

/*
 * A socket that listens at path inside, in a directory of its own, for the session's user. *ret_fd is
 * the caller's. 0 or negative errno.
 */
int session_shared_listen(
	struct session_shared *shared, const char *path, int *ret_fd, struct err *err);

/* Ends it. Everything that joined must be gone. Accepts a zeroed one. */
void session_shared_fini(struct session_shared *shared);
