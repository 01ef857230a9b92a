/*
 * A network namespace with a way out, as plan->net says, made by the launcher before its child: it
 * belongs to the launcher's user namespace, so nobody inside has power over it. The caller has one
 * thread, goes into the namespace for a moment and comes back; if it cannot come back it aborts.
 */
#pragma once

#include <stdint.h>

#include "backends/linux/subnet.h"
#include "backends/plan.h"
#include "base/err.h"

struct network {
	int home, inside; /* namespaces, while the start needs them; -1 */
	char link[16]; /* the host's end; "" none */
	struct subnet subnet;
	int sockets[3]; /* listening inside: DNS datagrams, DNS streams, proxy; -1 */
	int helper, control; /* cloche-netd: pidfd, and the socket whose end is its end; -1 */
};

/* An emptied one, for network_end(). */
void network_init(struct network *network);

/* Makes all that plan->net says, for the session called id. 0 or negative errno; then end it. */
int network_prepare(
	const struct plan *plan, const char *id, struct network *network, struct err *err);

/* So that what is cloned in between is born in the namespace. Both do nothing without one. */
int network_enter(const struct network *network, struct err *err);
void network_leave(const struct network *network);

/*
 * Starts cloche-netd as this user and group of the host, where the plan needs it, and waits until
 * it is confined; then lets go of everything that would keep the namespace alive without a sandbox.
 */
int network_serve(const struct plan *plan, uint32_t uid, struct network *network, struct err *err);

/* Ends what is left of it: when the sandbox is dead. */
void network_end(struct network *network);
