/*
 * What can be measured of a login from its own side of the connection: what the server does for a
 * client besides running its command. The system's ssh is the client, and nothing is sent anywhere
 * but to the server that was named.
 */
#pragma once

#include "testkit/canary.h"
#include "testkit/judge.h"
#include "testkit/target.h"

/*
 * Tries every H probe (or those that only names), first what stands for it without any server in
 * between, then through target, which must be TARGET_SSH. Fills the H entries of control and inside
 * (probe_count each), and appends to gaps what could not be tried, or seen, and why. 0 or negative
 * errno when the canaries could not be planted.
 */
int ssh_measure(const struct target *target, struct ground *ground, const char *only,
	struct outcome *control, struct outcome *inside, char ***gaps, struct err *err);

/* What counts as evidence for an H probe, for people; NULL: it is none of these. */
const char *ssh_evidence(const struct probe *probe);
