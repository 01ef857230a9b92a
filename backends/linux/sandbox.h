/*
 * A sandbox of the launcher's, or a command that joined one.
 */
#pragma once

#include "backends/backend.h"
#include "backends/linux/cgroup.h"
#include "backends/linux/idrange.h"
#include "backends/linux/network.h"

struct native_sandbox {
	struct sandbox base;
	struct cgroup cgroup;
	struct idrange ids;
	struct network network;
	uint32_t namespaces;
	int door; /* of a plan with one, until it is taken; -1 */
	bool born; /* its child is there, and waits for the plan */
	bool cloned; /* into its v2 group */
	bool exited;
	struct sandbox_exit how;
	struct native_sandbox
		*joined; /* what it joined, and then it has nothing of the above; or NULL */
	bool alone; /* what it joined was made for it, and ends with it */
};

/* The down-cast; asserts that it is one. */
struct native_sandbox *launcher_native(struct sandbox *sandbox);

/* launcher_join() with a sandbox made for it, which is consumed, also on failure. */
int launcher_join_alone(struct sandbox *sandbox, const struct plan *plan,
	const struct sandbox_stdio *io, struct sandbox **ret_joined, struct err *err);
