#include "sshd/net-watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/io.h"
#include "sshd/watch.h"

#define CATCH_UP_MSEC 200

struct net_watcher {
	struct net_watcher *next;
	int socket; /* owned */
	uint64_t lost; /* bytes that it was not sent, and does not know of */
};

/* Unlinks *link, tells it why if it listens, and frees it. */
static void let_go(struct net_channel *channel, struct net_watcher **link, enum watch_kind why)
{
	const struct watch_record record = {.kind = why};
	struct net_watcher *watcher = *link;

	(void)watch_send(watcher->socket, &record);
	*link = watcher->next;
	channel->conn->watchers--;
	close_fdp(&watcher->socket);
	free(watcher);
}

/* What it missed comes first. False when it is not there any more. */
static bool tell_lost(struct net_watcher *watcher)
{
	const struct watch_record record = {.kind = WATCH_LOST, .lost = watcher->lost};
	int r = watcher->lost ? watch_send(watcher->socket, &record) : 0;

	watcher->lost = r == 0 ? 0 : watcher->lost;
	return r == 0 || r == -EAGAIN;
}

/* False when it is not there any more. */
static bool tell(struct net_watcher *watcher, const struct watch_record *record)
{
	int r = tell_lost(watcher) ? 0 : -EPIPE;

	if (r == 0 && watcher->lost) {
		r = -EAGAIN;
	}
	r = r ? r : watch_send(watcher->socket, record);
	if (r == -EAGAIN) {
		watcher->lost += record->data_size;
	}
	return r == 0 || r == -EAGAIN;
}

static void tell_all(struct net_channel *channel, const struct watch_record *record)
{
	struct net_watcher **link = &channel->watchers;

	while (*link) {
		if (tell(*link, record)) {
			link = &(*link)->next;
		} else {
			let_go(channel, link, WATCH_END);
		}
	}
}

/* Those who have left make room. */
static size_t count(struct net_channel *channel)
{
	struct net_watcher **link = &channel->watchers;
	size_t found = 0;

	while (*link) {
		struct pollfd hung = {.fd = (*link)->socket};
		if (poll(&hung, 1, 0) == 1 && (hung.revents & (POLLHUP | POLLERR))) {
			let_go(channel, link, WATCH_END);
			continue;
		}
		found++;
		link = &(*link)->next;
	}
	return found;
}

static void count_all(struct net_conn *conn)
{
	for (struct net_channel *channel = conn->channels; channel; channel = channel->next) {
		(void)count(channel);
	}
}

void net_watch_add(struct net_channel *channel, int socket)
{
	const struct watch_record size = {.kind = WATCH_SIZE, .size = channel->size};
	struct net_watcher *watcher = calloc(1, sizeof(*watcher));
	struct net_watcher **link = &channel->watchers;
	bool full = false;

	if (!watcher) {
		(void)close(socket);
		return;
	}
	count_all(channel->conn);
	full = count(channel) >= NET_WATCHERS || channel->conn->watchers >= NET_ALL_WATCHERS;
	*watcher = (struct net_watcher){.next = *link, .socket = socket};
	*link = watcher;
	channel->conn->watchers++;
	if (full || channel->forward || channel->sent_close) {
		let_go(channel, link, full ? WATCH_FULL : WATCH_END);
	} else if (channel->pty) {
		(void)tell(watcher, &size);
	}
}

void net_watch_copy(struct net_channel *channel, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t at = 0; channel->watchers && at < size;) {
		size_t part = size - at < WATCH_DATA_MAX ? size - at : WATCH_DATA_MAX;
		const struct watch_record record = {
			.kind = WATCH_DATA, .data = bytes + at, .data_size = part};
		tell_all(channel, &record);
		at += part;
	}
}

void net_watch_resize(struct net_channel *channel)
{
	const struct watch_record record = {.kind = WATCH_SIZE, .size = channel->size};

	if (channel->pty) {
		tell_all(channel, &record);
	}
}

void net_watch_catch_up(struct net_channel *channel)
{
	struct net_watcher **link = &channel->watchers;

	while (*link) {
		if (tell_lost(*link)) {
			link = &(*link)->next;
		} else {
			let_go(channel, link, WATCH_END);
		}
	}
}

int net_watch_timeout(const struct net_channel *channel)
{
	for (const struct net_watcher *watcher = channel->watchers; watcher;
		watcher = watcher->next) {
		if (watcher->lost) {
			return CATCH_UP_MSEC;
		}
	}
	return -1;
}

void net_watch_end(struct net_channel *channel)
{
	net_watch_catch_up(channel);
	while (channel->watchers) {
		let_go(channel, &channel->watchers, WATCH_END);
	}
}
