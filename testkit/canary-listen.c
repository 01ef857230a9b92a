/*
 * Listeners of a run, and what they are told.
 */
#include <assert.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "testkit/canary-parts.h"
#include "testkit/protocol.h"

enum listener {
	LISTENER_TCP4,
	LISTENER_TCP6,
	LISTENER_ALIAS,
	LISTENER_OWN,
	LISTENER_UDP4,
	LISTENER_UDP6,
	LISTENER_PATH,
	LISTENER_TMP,
	LISTENER_ABSTRACT,
	LISTENER_DATAGRAM,
	LISTENER_ABSTRACT_DATAGRAM,
	LISTENER_COUNT,
};

static_assert(LISTENER_COUNT == CANARY_LISTENERS, "a slot each");

/* Network listeners: where each binds. */
static const struct {
	enum listener listener;
	const char *setting;
	int family, type;
	const char *address; /* NULL: one of the host's own that is no loopback, where it has one */
} net_listeners[] = {
	{LISTENER_TCP4, "tcp4", AF_INET, SOCK_STREAM, "127.0.0.1"},
	{LISTENER_TCP6, "tcp6", AF_INET6, SOCK_STREAM, "::1"},
	{LISTENER_ALIAS, "alias", AF_INET, SOCK_STREAM, "127.0.0.2"},
	{LISTENER_OWN, "own", AF_INET, SOCK_STREAM, NULL},
	{LISTENER_UDP4, "udp4", AF_INET, SOCK_DGRAM, "127.0.0.1"},
	{LISTENER_UDP6, "udp6", AF_INET6, SOCK_DGRAM, "::1"},
};

static const struct {
	enum listener listener;
	const char *setting;
	int type;
	bool abstract, in_tmp;
	const char *name;
} unix_listeners[] = {
	{LISTENER_PATH, "unix.path", SOCK_STREAM, false, false, "meet/stream"},
	{LISTENER_TMP, "unix.tmp", SOCK_STREAM, false, true, "stream"},
	{LISTENER_ABSTRACT, "unix.abstract", SOCK_STREAM, true, false, "stream"},
	{LISTENER_DATAGRAM, "unix.datagram", SOCK_DGRAM, false, false, "meet/datagram"},
	{LISTENER_ABSTRACT_DATAGRAM, "unix.abstract.datagram", SOCK_DGRAM, true, false, "datagram"},
};

/* What reaches it is at the host itself: such packets never leave it. */
static void find_own_address(struct canary *canary, char out[INET_ADDRSTRLEN])
{
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) < 0) {
		return;
	}
	for (const struct ifaddrs *at = list; at && !*out; at = at->ifa_next) {
		if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET) {
			uint32_t own =
				ntohl(((const struct sockaddr_in *)at->ifa_addr)->sin_addr.s_addr);
			if (own >> 24 != IN_LOOPBACKNET) {
				(void)inet_ntop(AF_INET,
					&((const struct sockaddr_in *)at->ifa_addr)->sin_addr, out,
					INET_ADDRSTRLEN);
				canary_set(canary, "own.address", "%u", own);
			}
		}
	}
	freeifaddrs(list);
}

static void listen_net(struct canary *canary)
{
	char own[INET_ADDRSTRLEN] = "";

	find_own_address(canary, own);
	for (size_t i = 0; i < ARRAY_SIZE(net_listeners); i++) {
		union {
			struct sockaddr any;
			struct sockaddr_in v4;
			struct sockaddr_in6 v6;
		} address = {.any.sa_family = (sa_family_t)net_listeners[i].family};
		socklen_t size = sizeof(address);
		bool v4 = net_listeners[i].family == AF_INET;
		cleanup_close int fd = socket(net_listeners[i].family,
			net_listeners[i].type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0 ||
			inet_pton(net_listeners[i].family,
				net_listeners[i].address ? net_listeners[i].address : own,
				v4 ? (void *)&address.v4.sin_addr
				   : (void *)&address.v6.sin6_addr) != 1 ||
			bind(fd, &address.any, v4 ? sizeof(address.v4) : sizeof(address.v6)) < 0 ||
			(net_listeners[i].type == SOCK_STREAM && listen(fd, 16) < 0) ||
			getsockname(fd, &address.any, &size) < 0) {
			continue; /* no IPv6, say: its control will not be open either */
		}
		canary_set(canary, net_listeners[i].setting, "%u",
			ntohs(v4 ? address.v4.sin_port : address.v6.sin6_port));
		canary->listeners[net_listeners[i].listener] = (struct canary_listener){
			take_fd(&fd), net_listeners[i].type == SOCK_STREAM};
	}
}

static void listen_unix(struct canary *canary)
{
	for (size_t i = 0; i < ARRAY_SIZE(unix_listeners); i++) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		char name[108];
		size_t length = 0;
		cleanup_close int fd =
			socket(AF_UNIX, unix_listeners[i].type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		int n = unix_listeners[i].abstract
			? snprintf(name, sizeof(name), "%s-%s", canary->leave,
				  unix_listeners[i].name)
			: snprintf(name, sizeof(name), "%s/%s",
				  unix_listeners[i].in_tmp ? canary->tmp : canary->directory,
				  unix_listeners[i].name);
		if (fd < 0 || n < 0 || (size_t)n + 1 >= sizeof(address.sun_path)) {
			continue;
		}
		memcpy(address.sun_path + unix_listeners[i].abstract, name,
			(size_t)n + 1 - unix_listeners[i].abstract);
		length = offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1;
		/* Its mode from the first moment: by its name it might be another's by then. */
		mode_t before = umask(0111);
		int r = bind(fd, (struct sockaddr *)&address, (socklen_t)length);
		(void)umask(before);
		if (r < 0 || (unix_listeners[i].type == SOCK_STREAM && listen(fd, 16) < 0)) {
			continue;
		}
		canary_set(canary, unix_listeners[i].setting, "%s", name);
		canary->listeners[unix_listeners[i].listener] = (struct canary_listener){
			take_fd(&fd), unix_listeners[i].type == SOCK_STREAM};
	}
}

/* A free port, for the client to listen on: found by binding it for a moment. */
static void choose_listen_port(struct canary *canary)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
		getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
		canary->listen_port = ntohs(address.sin_port);
		canary_set(canary, "listen", "%u", canary->listen_port);
	}
}

size_t canary_poll(const struct canary *canary, struct pollfd *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < CANARY_LISTENERS; i++) {
		ret[count++] = (struct pollfd){.fd = canary->listeners[i].fd, .events = POLLIN};
	}
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		ret[count++] = (struct pollfd){.fd = canary->connections[i].fd, .events = POLLIN};
	}
	return count;
}

/* "<fence> <id>": who was there. Anything else is somebody else's. */
bool canary_note_message(struct canary *canary, const char *text, size_t size)
{
	char id[PROTOCOL_MAX_ID + 1];
	size_t fence = strlen(canary->fence);
	const struct probe *probe = NULL;

	if (size <= fence + 1 || memcmp(text, canary->fence, fence) != 0 || text[fence] != ' ' ||
		size - fence - 1 >= sizeof(id)) {
		return false;
	}
	memcpy(id, text + fence + 1, size - fence - 1);
	id[size - fence - 1] = '\0';
	probe = probe_find(id);
	if (!probe) {
		return false;
	}
	canary->reached[probe_index(probe)] = true;
	return true;
}

static void answer(struct canary *canary, int fd, const char *text, size_t size,
	const struct sockaddr *to, socklen_t to_size)
{
	char token[CANARY_TOKEN];
	char id[PROTOCOL_MAX_ID + 1];
	size_t fence = strlen(canary->fence) + 1;

	if (!canary_note_message(canary, text, size)) {
		return;
	}
	memcpy(id, text + fence, size - fence);
	id[size - fence] = '\0';
	(void)canary_token(canary, id, token);
	(void)sendto(fd, token, strlen(token), MSG_NOSIGNAL | MSG_DONTWAIT, to, to_size);
}

static void serve_datagrams(struct canary *canary, int fd)
{
	char text[96];
	struct sockaddr_storage from;

	for (int i = 0; i < 64; i++) {
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(
			fd, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from, &size);
		if (n < 0) {
			return;
		}
		answer(canary, fd, text, (size_t)n, (struct sockaddr *)&from, size);
	}
}

static void serve_listener(struct canary *canary, int fd)
{
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		struct canary_connection *connection = &canary->connections[i];
		if (connection->fd >= 0) {
			continue;
		}
		connection->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		connection->used = 0;
		if (connection->fd < 0) {
			return;
		}
	}
}

static void serve_connection(struct canary *canary, struct canary_connection *connection)
{
	ssize_t n = recv(connection->fd, connection->line + connection->used,
		sizeof(connection->line) - connection->used, MSG_DONTWAIT);
	char *end = NULL;

	if (n < 0 && errno == EAGAIN) {
		return;
	}
	connection->used += n > 0 ? (size_t)n : 0;
	end = memchr(connection->line, '\n', connection->used);
	if (end) {
		answer(canary, connection->fd, connection->line, (size_t)(end - connection->line),
			NULL, 0);
	}
	if (end || n <= 0 || connection->used == sizeof(connection->line)) {
		close_fdp(&connection->fd);
	}
}

void canary_listen(struct canary *canary)
{
	listen_net(canary);
	listen_unix(canary);
	choose_listen_port(canary);
}

/* One that has just been taken is asked at once: what it says has mostly come with it. */
void canary_serve_listeners(struct canary *canary, const struct pollfd *ready)
{
	const struct pollfd *said = ready + CANARY_LISTENERS;

	for (size_t i = 0; i < CANARY_LISTENERS; i++) {
		if (ready[i].revents && canary->listeners[i].stream) {
			serve_listener(canary, canary->listeners[i].fd);
		} else if (ready[i].revents) {
			serve_datagrams(canary, canary->listeners[i].fd);
		}
	}
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		if (canary->connections[i].fd >= 0 && (said[i].revents || said[i].fd < 0)) {
			serve_connection(canary, &canary->connections[i]);
		}
	}
}
