/*
 * The parts of cloche-testkit-host: measuring (host.c) and measuring with layers left out
 * (host-ablate.c).
 */
#pragma once

#include "testkit/canary.h"
#include "testkit/options.h"
#include "testkit/target.h"

#define HOST_SETUP 2 /* exit status: nothing could be measured */

/* The directory that canaries are put into. */
const char *host_canary_parent(const struct options *options);

/* Makes the plan of a target that has one, and says what is declared. 0 or negative errno. */
int host_prepare(const struct options *options, struct target *target, const struct ground *ground,
	struct capability_set *ret_declared, struct err *err);

/* Signals, session and groups as the process that measures has them. */
void host_become(void);

/* `ablate`; client is the client's path. Returns the exit status. */
int host_ablate(const struct options *options, const char *client);

/* What host_ablate() runs of itself in the second sandbox with a user namespace, and nobody else. */
#define HOST_ABLATE_APART "ablate-apart"
int host_ablate_apart(int argc, char **argv);
