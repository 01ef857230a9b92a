/*
 * What a native sandbox sees: the mounts of the plan in their order, and the Landlock rules that
 * repeat what they allow.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backends/host.h"
#include "backends/plan.h"
#include "backends/spec.h"
#include "base/err.h"

struct native_view {
	bool broad; /* the host's tree is the root, read-only */
	bool has_scopes; /* something of the host's can be written for good */
	bool host_sockets; /* a path of the host's may hold sockets that can be connected to */
	bool no_overlay; /* an ephemeral layer was asked for that cannot be had */
	char *home;
	char *start; /* working directory when the spec names none */
};

void native_view_fini(struct native_view *view);

/* What promises rest on in this view: enum promise_ground. */
uint32_t native_view_grounds(const struct spec *spec, const struct native_view *view);

/* Appends mounts, rules and caveats to plan. 0, -ENOMEM, or another errno with err. */
int native_view_compile(const struct spec *spec, const struct host *host, struct plan *plan,
	struct native_view *ret, struct err *err);
