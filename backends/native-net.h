/*
 * What a native sandbox can reach: the network part of the plan, as text that the kernel and
 * cloche-netd are given at the start.
 */
#pragma once

#include "backends/host.h"
#include "backends/plan.h"
#include "backends/spec.h"
#include "base/err.h"

/*
 * Fills plan->net and its caveats; plan->namespaces is chosen already. 0, -ENOMEM, -ENOTSUP with err
 * saying what this host lacks, or -EINVAL for a rule that cannot be read.
 */
int native_net_compile(
	const struct spec *spec, const struct host *host, struct plan *plan, struct err *err);

/* Adds to the environment what makes programs use the proxy; convenience, not enforcement. 0 or -ENOMEM. */
int native_net_environment(const struct plan *plan, char ***env);
