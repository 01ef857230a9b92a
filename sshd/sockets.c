#include "sshd/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "base/strv.h"

#define BACKLOG 1024
#define FIRST_LISTEN_FD 3

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* "host:port", numeric, IPv6 in brackets. No resolver: an operator's typo must not ask the network. */
static int parse_address(const char *text, union address *ret, struct err *err)
{
	cleanup_free char *host = strdup(text);
	char *colon = host ? strrchr(host, ':') : NULL;
	uint64_t port = 0;

	if (!colon || parse_range(colon + 1, 0, 65535, &port) < 0) {
		return err_refuse(err, EINVAL,
			"listen: %s: an address and a port are expected, 127.0.0.1:2222 or "
			"[::1]:2222",
			text);
	}
	*colon = '\0';
	*ret = (union address){0};
	size_t length = strlen(host);
	if (host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) == 1) {
			return 0;
		}
	} else {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
			return 0;
		}
	}
	return err_refuse(err, EINVAL, "listen: %s: \"%s\" is not a numeric address", text, host);
}

static int open_one(const char *text, struct err *err)
{
	cleanup_close int fd = -1;
	union address address;
	int on = 1;

	int r = parse_address(text, &address, err);
	if (r < 0) {
		return r;
	}
	bool v6 = address.any.sa_family == AF_INET6;
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return err_set(err, errno, "listen: %s", text);
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (v6) {
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	if (bind(fd, &address.any, v6 ? sizeof(address.v6) : sizeof(address.v4)) < 0 ||
		listen(fd, BACKLOG) < 0) {
		return err_set(err, errno, "listen: %s", text);
	}
	return take_fd(&fd);
}

static int add(struct sockets *sockets, const char *name, struct sockets *old, struct err *err)
{
	if (sockets->count >= SOCKETS_MAX) {
		return err_refuse(err, E2BIG, "listen: at most %d addresses", SOCKETS_MAX);
	}
	for (size_t i = 0; old && i < old->count; i++) {
		if (old->items[i].name && strcmp(old->items[i].name, name) == 0) {
			/* Shared until the caller says that all is well. */
			sockets->items[sockets->count].fd =
				fcntl(old->items[i].fd, F_DUPFD_CLOEXEC, 3);
			sockets->items[sockets->count++].name = strdup(name);
			return 0;
		}
	}
	int fd = open_one(name, err);
	if (fd < 0) {
		return fd;
	}
	sockets->items[sockets->count].fd = fd;
	sockets->items[sockets->count++].name = strdup(name);
	return 0;
}

/* "*:PORT" stands for all addresses of both families; a host without IPv6 has one. */
static int add_all(struct sockets *sockets, const char *port, struct sockets *old, struct err *err)
{
	char v4[32];
	char v6[32];

	(void)snprintf(v4, sizeof(v4), "0.0.0.0:%.8s", port);
	(void)snprintf(v6, sizeof(v6), "[::]:%.8s", port);
	int r = add(sockets, v4, old, err);
	if (r == 0) {
		r = add(sockets, v6, old, err);
		r = r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL ? 0 : r;
	}
	return r;
}

int sockets_open(char *const *list, struct sockets *old, struct sockets *ret, struct err *err)
{
	struct sockets sockets = {0};
	int r = 0;

	for (; list && *list && r == 0; list++) {
		bool all = strncmp(*list, "*:", 2) == 0;
		r = all ? add_all(&sockets, *list + 2, old, err) : add(&sockets, *list, old, err);
	}
	if (r == 0 && sockets.count == 0) {
		r = err_refuse(err, EINVAL, "listen: no address is given");
	}
	if (r < 0) {
		sockets_close(&sockets);
		return r;
	}
	*ret = sockets;
	return 0;
}

void sockets_format(const struct sockets *sockets, size_t i, char *text, size_t size)
{
	union address address = {0};
	socklen_t length = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "?";

	(void)getsockname(sockets->items[i].fd, &address.any, &length);
	if (address.any.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host));
		(void)snprintf(text, size, "[%s]:%u", host, ntohs(address.v6.sin6_port));
	} else {
		(void)inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof(host));
		(void)snprintf(text, size, "%s:%u", host, ntohs(address.v4.sin_port));
	}
}

static bool is_listening(int fd)
{
	int family = 0;
	int type = 0;
	int listening = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 &&
		(family == AF_INET || family == AF_INET6) &&
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

int sockets_adopt(size_t count, struct sockets *ret, struct err *err)
{
	struct sockets sockets = {0};

	if (count > SOCKETS_MAX) {
		return err_refuse(
			err, EINVAL, "at most %d sockets can be handed over", SOCKETS_MAX);
	}
	for (; sockets.count < count; sockets.count++) {
		int fd = FIRST_LISTEN_FD + (int)sockets.count;
		if (!is_listening(fd)) {
			return err_refuse(err, EINVAL,
				"descriptor %d, handed over by LISTEN_FDS, is not a TCP socket "
				"that listens",
				fd);
		}
		sockets.items[sockets.count].fd = fd;
	}
	*ret = sockets;
	return 0;
}

void sockets_close_fds(const struct sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++) {
		(void)close(sockets->items[i].fd);
	}
}

void sockets_close(struct sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++) {
		close_fdp(&sockets->items[i].fd);
		free(sockets->items[i].name);
	}
	sockets->count = 0;
}
