/*
 * What a sandbox is born with, and its birth: a child in namespaces of its own that runs cloche-init and
 * waits for its plan. For callers with one thread.
 */
#pragma once

#include "backends/linux/sandbox.h"

/* With an id, and nothing else yet; launcher_destroy() undoes whatever comes to it. NULL: no memory. */
struct native_sandbox *birth_new(void);

/* The range of ids it runs with, and the group it is killed by. 0 or negative errno. */
int birth_names(struct native_sandbox *sandbox, const struct plan *plan, const struct host *host,
	struct err *err);

/*
 * Clones the child, in sandbox->network where there is one, and writes its maps; then it execs
 * cloche-init and goes on by itself. 0 or negative errno.
 */
int birth_give(struct native_sandbox *sandbox, const struct plan *plan, const struct host *host,
	struct err *err);

/*
 * Once the child has left our memory: when memory is short it goes before what the host runs, and as root
 * we see to it that nothing in it can take that back (a score is never set below what somebody with
 * CAP_SYS_RESOURCE has set last, proc(5), and is inherited with that floor). 0 or negative errno.
 */
int birth_yield(const struct native_sandbox *sandbox, struct err *err);

/*
 * The first two of the above for the next start, which is expected to be of a plan with the same namespaces,
 * ids and layers; the rest of plan is not looked at. At most one is kept; what fails is left to the
 * start itself.
 */
void birth_ahead(const struct plan *plan, const struct host *host);

/*
 * What was born ahead, now the caller's, when it is what plan needs and still waits; NULL otherwise,
 * and then there is none any more.
 */
struct native_sandbox *birth_take(const struct plan *plan, const struct host *host);

/* Ends and removes what was born ahead and not taken. */
void birth_forget(void);
