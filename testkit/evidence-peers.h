/*
 * Two sessions being looked at by the host: what the evidence about them shares.
 */
#pragma once

#include "testkit/look.h"
#include "testkit/peer.h"

/* The session that is alive beside the measured one, or NULL when there is none. */
const struct peer *look_peer(const struct look *look);

/* The token that was told to it alone came back. */
void look_peer_token(struct look *look, const char *arg);

/* Has each of the two a kernel to itself? Then they have nothing of a kernel's in common. */
bool look_peers_have_kernels(const struct look *look);

/*
 * Do both see the same object at this path? 1 yes, 0 no, -1 it is not known: also where neither has
 * it.
 */
int look_both_see(const struct look *look, const char *path);
