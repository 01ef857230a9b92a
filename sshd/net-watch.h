/*
 * Those who watch a session: a copy of what its client is sent, as far as they keep up. A watcher
 * has no say: nothing is read from it, nothing waits for it.
 */
#pragma once

#include "sshd/net-channel.h"

#define NET_WATCHERS 4 /* of a session; one more is told so and let go */
#define NET_ALL_WATCHERS 8 /* of a connection */

/* Takes a socket of somebody who watches channel; consumed. */
void net_watch_add(struct net_channel *channel, int socket);

/* What the client is sent. */
void net_watch_copy(struct net_channel *channel, const void *data, size_t size);

/* The terminal has another size. */
void net_watch_resize(struct net_channel *channel);

/* Tells those who have missed something how much, if they can be told now. */
void net_watch_catch_up(struct net_channel *channel);

/* Milliseconds until it is worth another try; -1: nobody has missed anything. */
int net_watch_timeout(const struct net_channel *channel);

/* The session is over. */
void net_watch_end(struct net_channel *channel);
