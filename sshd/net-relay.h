/*
 * The bytes of one channel. net-channel.c says when; here is how, within bounded memory.
 */
#pragma once

#include "sshd/net-channel.h"

/* libssh's data callback: hands on what the session takes at once. */
int net_relay_data(ssh_session session, ssh_channel ssh, void *data, uint32_t size, int is_stderr,
	void *userdata);

/* Client to session. Ends by closing the session's stdin when all was delivered. */
void net_relay_in(struct net_channel *channel, bool writable);

/* Session to client, given what poll(2) said. */
void net_relay_out(struct net_channel *channel, const struct pollfd *fds, size_t count);

/*
 * Looks how far a terminal's output is ahead of what the client has taken: too far, and nothing can be
 * sent until it has caught up, or until pace_timeout milliseconds (-1: never) have passed.
 */
void net_relay_pace(struct net_channel *channel, uint64_t now);
int net_relay_pace_timeout(const struct net_channel *channel, uint64_t now);

/* Can libssh be given bytes for this channel now? */
bool net_relay_can_send(const struct net_channel *channel);

/* What poll(2) said about fd; 0 when it was not asked. */
short net_relay_revents(const struct pollfd *fds, size_t count, int fd);

/* Close one way, or all; what waited for it is dropped. With a terminal, out takes in along. */
void net_relay_close_in(struct net_channel *channel);
void net_relay_close_out(struct net_channel *channel);
void net_relay_close(struct net_channel *channel);
