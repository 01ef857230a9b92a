#include "sshd/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/log.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

void forwards_init(struct forwards *forwards)
{
	*forwards = (struct forwards){0};
	for (size_t i = 0; i < FORWARD_MAX; i++) {
		forwards->list[i].fd = -1;
	}
}

static void release(struct forward *forward)
{
	close_fdp(&forward->fd);
	*forward = (struct forward){.fd = -1};
}

void forwards_fini(struct forwards *forwards)
{
	for (size_t i = 0; i < FORWARD_MAX; i++) {
		release(&forwards->list[i]);
	}
}

static struct forward *find(struct forwards *forwards, uint32_t channel)
{
	for (size_t i = 0; i < FORWARD_MAX; i++) {
		struct forward *forward = &forwards->list[i];
		if (forward->state != FORWARD_FREE && forward->channel == channel) {
			return forward;
		}
	}
	return NULL;
}

static struct forward *find_free(struct forwards *forwards)
{
	for (size_t i = 0; i < FORWARD_MAX; i++) {
		if (forwards->list[i].state == FORWARD_FREE) {
			return &forwards->list[i];
		}
	}
	return NULL;
}

bool forwards_have(const struct forwards *forwards, uint32_t channel)
{
	return find((struct forwards *)(uintptr_t)forwards, channel) != NULL;
}

/* ---- addresses ---- */

/* Numbers, and the one name that needs nobody to ask. */
static bool read_address(const char *host, uint16_t port, union address *ret, socklen_t *ret_size)
{
	const char *number = strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;

	*ret = (union address){0};
	if (inet_pton(AF_INET, number, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(port);
		*ret_size = sizeof(ret->v4);
		return true;
	}
	if (inet_pton(AF_INET6, number, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(port);
		*ret_size = sizeof(ret->v6);
		return true;
	}
	return false;
}

/*
 * Always the sandbox's loopback, as with sshd's GatewayPorts no, whatever the client asks for: "" and
 * "*" are what clients send when their user said nothing.
 */
static const char *listen_address(const char *host)
{
	return strcmp(host, "::1") == 0 ? "::1" : "127.0.0.1";
}

/* ---- audit ---- */

static void audit_forward(const struct session_context *context, const char *event,
	const struct wire *request, const char *reason)
{
	json_t *fields = json_pack("{s:i, s:s, s:o, s:i, s:o}", "channel", (int)request->channel,
		"kind", request->type == WIRE_LISTEN ? "remote" : "local", "host",
		audit_text(request->text), "port", (int)request->number, "reason",
		reason ? audit_text(reason) : json_null());

	(void)audit_event(context->audit, event, fields, NULL);
}

static void audit_end(const struct session_context *context, const struct forward *forward)
{
	json_t *fields = json_pack("{s:I, s:o, s:i}", "channel", (json_int_t)forward->channel,
		"host", audit_text(forward->host), "port", (int)forward->port);

	(void)audit_event(context->audit, "forward_end", fields, NULL);
}

/* ---- requests ---- */

static int open_socket(const struct session_context *context, struct forward *forward,
	enum sandbox_socket kind, const char *host, struct err *err)
{
	struct session_shared *shared = context->shared;
	union address address;
	socklen_t size = 0;

	if (!read_address(host, forward->port, &address, &size)) {
		return err_refuse(err, EINVAL,
			"'%s' is a name; only addresses and localhost can be reached", host);
	}
	close_fdp(&forward->fd);
	return shared->backend->open_socket(
		shared->sandbox, shared->plan, kind, &address.any, size, &forward->fd, err);
}

static int begin(struct forwards *forwards, const struct session_context *context,
	const struct wire *request, struct err *err)
{
	bool remote = request->type == WIRE_LISTEN;
	struct forward *forward = find_free(forwards);
	int r = policy_check_forward(&context->login,
		remote ? POLICY_FORWARD_REMOTE : POLICY_FORWARD_LOCAL, request->text,
		request->number, err);

	if (r < 0) {
		return r;
	}
	if (!forward) {
		return err_refuse(err, EUSERS, "too many forwardings on this connection");
	}
	r = session_share(context, err);
	if (r < 0) {
		return r;
	}
	*forward = (struct forward){
		.channel = request->channel, .fd = -1, .port = (uint16_t)request->number};
	(void)snprintf(forward->host, sizeof(forward->host), "%s", request->text);
	forward->is_localhost = !remote && strcasecmp(request->text, "localhost") == 0;
	r = open_socket(context, forward, remote ? SANDBOX_LISTEN : SANDBOX_CONNECT,
		remote ? listen_address(request->text) : request->text, err);
	if (r == 0) {
		forward->state = remote ? FORWARD_BINDING : FORWARD_CONNECTING;
	}
	return r;
}

int forwards_ask(struct forwards *forwards, const struct session_context *context,
	const struct wire *request, struct err *err)
{
	int r = 0;

	if (request->number > UINT16_MAX ||
		(request->number == 0 && request->type == WIRE_FORWARD)) {
		r = err_refuse(err, EINVAL, "there is no such port");
	} else {
		r = begin(forwards, context, request, err);
	}
	audit_forward(context, r < 0 ? "forward_refused" : "forward_start", request,
		r < 0 ? err->msg : NULL);
	return r;
}

bool forwards_close(
	struct forwards *forwards, const struct session_context *context, uint32_t channel)
{
	struct forward *forward = find(forwards, channel);

	if (!forward) {
		return false;
	}
	audit_end(context, forward);
	release(forward);
	return true;
}

/* ---- what happens ---- */

static bool has_input(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	return poll(&ready, 1, 0) == 1;
}

/* The same socket twice, so that net can close one way and keep the other. */
static int attach(struct wire *wire, int socket)
{
	int second = fcntl(socket, F_DUPFD_CLOEXEC, 3);

	if (second < 0) {
		(void)close(socket);
		return -errno;
	}
	wire->fds[0] = socket;
	wire->fds[1] = second;
	wire->fd_count = 2;
	return 0;
}

static int fail(
	struct forward *forward, const struct session_context *context, int code, struct wire *ret)
{
	wire_init(ret, WIRE_FAILED, forward->channel);
	ret->text = strdup(strerror(code));
	audit_end(context, forward);
	release(forward);
	return 1;
}

static int connected(
	struct forward *forward, const struct session_context *context, struct wire *ret)
{
	int socket = -1;
	int r = backend_take_socket(forward->fd, &socket);

	if (r == -ECONNREFUSED && forward->is_localhost) {
		struct err err = {0};
		forward->is_localhost = false;
		r = open_socket(context, forward, SANDBOX_CONNECT, "::1", &err);
	}
	if (r <= 0) {
		return r < 0 ? fail(forward, context, -r, ret) : 0;
	}
	wire_init(ret, WIRE_SOCKET, forward->channel);
	r = attach(ret, socket);
	if (r < 0) {
		return fail(forward, context, -r, ret);
	}
	close_fdp(&forward->fd);
	forward->state = FORWARD_OPEN;
	return 1;
}

static int bound(struct forward *forward, const struct session_context *context, struct wire *ret)
{
	union address address = {0};
	socklen_t size = sizeof(address);
	int socket = -1;
	int r = backend_take_socket(forward->fd, &socket);

	if (r <= 0) {
		return r < 0 ? fail(forward, context, -r, ret) : 0;
	}
	close_fdp(&forward->fd);
	forward->fd = socket;
	(void)io_set_nonblocking(socket, true);
	if (getsockname(socket, &address.any, &size) == 0) {
		/* The port stands at the same place in both. */
		forward->port = ntohs(address.v4.sin_port);
	}
	forward->state = FORWARD_LISTENING;
	wire_init(ret, WIRE_BOUND, forward->channel);
	ret->number = forward->port;
	return 1;
}

/* Where a connection came from, as "address port". */
static void format_origin(const union address *address, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "";
	bool v6 = address->any.sa_family == AF_INET6;

	(void)inet_ntop(address->any.sa_family,
		v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr,
		host, sizeof(host));
	(void)snprintf(text, size, "%s %u", *host ? host : "127.0.0.1",
		(unsigned)ntohs(address->v4.sin_port));
}

/* One that has connected becomes a forwarding of its own. With no room it is hung up on. */
static int accept_one(
	struct forwards *forwards, int listener, uint32_t number, bool agent, struct wire *ret)
{
	union address address = {0};
	socklen_t size = sizeof(address);
	int socket = accept4(listener, &address.any, &size, SOCK_CLOEXEC);
	struct forward *forward = find_free(forwards);
	char origin[80];

	if (socket < 0 || !forward) {
		if (socket >= 0) {
			(void)close(socket);
		}
		return -EAGAIN;
	}
	*forward = (struct forward){.state = FORWARD_OPEN,
		.channel = WIRE_FIRST_INCOMING + (forwards->accepted++ & 0x3fffffff),
		.fd = -1};
	(void)snprintf(forward->host, sizeof(forward->host), agent ? "agent" : "incoming");
	wire_init(ret, WIRE_INCOMING, forward->channel);
	if (attach(ret, socket) < 0) {
		release(forward);
		return -EAGAIN;
	}
	ret->number = number;
	ret->flags = agent;
	format_origin(&address, origin, sizeof(origin));
	ret->text = strdup(agent ? "" : origin);
	return 0;
}

int forwards_accept_agent(
	struct forwards *forwards, int listener, uint32_t session, struct wire *ret)
{
	return has_input(listener) ? accept_one(forwards, listener, session, true, ret) : -EAGAIN;
}

size_t forwards_prepare(const struct forwards *forwards, struct pollfd *fds)
{
	size_t count = 0;

	for (size_t i = 0; i < FORWARD_MAX; i++) {
		if (forwards->list[i].fd >= 0) {
			fds[count++] =
				(struct pollfd){.fd = forwards->list[i].fd, .events = POLLIN};
		}
	}
	return count;
}

int forwards_step(
	struct forwards *forwards, const struct session_context *context, struct wire *ret)
{
	for (size_t i = 0; i < FORWARD_MAX; i++) {
		struct forward *forward = &forwards->list[i];
		int r = 0;
		if (forward->fd < 0 || !has_input(forward->fd)) {
			continue;
		}
		if (forward->state == FORWARD_CONNECTING) {
			r = connected(forward, context, ret);
		} else if (forward->state == FORWARD_BINDING) {
			r = bound(forward, context, ret);
		} else if (accept_one(forwards, forward->fd, forward->channel, false, ret) == 0) {
			r = 1;
		}
		if (r > 0) {
			return r;
		}
	}
	return 0;
}
