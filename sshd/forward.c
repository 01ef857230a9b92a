#include "sshd/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "sshd/forward-address.h"

static void end_lookup(struct forward *forward)
{
	if (forward->lookup) {
		forward->lookup->backend->destroy(forward->lookup);
		forward->lookup = NULL;
	}
}

static void release(struct forward *forward)
{
	end_lookup(forward);
	close_fdp(&forward->fd);
	*forward = (struct forward){.fd = -1};
}

void forwards_fini(struct forwards *forwards)
{
	for (size_t i = 0; forwards->list && i < FORWARD_MAX; i++) {
		release(&forwards->list[i]);
	}
	free(forwards->list);
	*forwards = (struct forwards){0};
}

static struct forward *find(struct forwards *forwards, uint32_t channel)
{
	for (size_t i = 0; forwards->list && i < FORWARD_MAX; i++) {
		struct forward *forward = &forwards->list[i];
		if (forward->state != FORWARD_FREE && forward->channel == channel) {
			return forward;
		}
	}
	return NULL;
}

static struct forward *find_free(struct forwards *forwards)
{
	if (!forwards->list) {
		forwards->list = calloc(FORWARD_MAX, sizeof(*forwards->list));
		for (size_t i = 0; forwards->list && i < FORWARD_MAX; i++) {
			forwards->list[i].fd = -1;
		}
	}
	for (size_t i = 0; forwards->list && i < FORWARD_MAX; i++) {
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
	union forward_address address;
	socklen_t size = 0;

	if (!forward_read_address(host, forward->port, &address, &size)) {
		return err_refuse(err, EINVAL, "'%s' is no address", host);
	}
	close_fdp(&forward->fd);
	return shared->backend->open_socket(
		shared->sandbox, shared->plan, kind, &address.any, size, &forward->fd, err);
}

/*
 * Names are looked up inside, by the plan's rules, as a program there would: its answer is hostile
 * text, of which only addresses are taken, and they are reached from inside too.
 */
static int look_up(const struct session_context *context, struct forward *forward, struct err *err)
{
	struct session_shared *shared = context->shared;
	char program[] = "getent";
	char database[] = "ahosts";
	char *argv[] = {program, database, forward->host, NULL};
	struct plan plan = *shared->plan; /* borrows all but the command */
	cleanup_close int theirs = -1;
	int pair[2];

	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0) {
		return err_set(err, errno, "looking up %s", forward->host);
	}
	forward->fd = pair[0];
	theirs = pair[1];
	plan.argv = argv;
	const struct sandbox_stdio io = {.fds = {-1, theirs, -1}};
	forward->state = FORWARD_RESOLVING;
	return shared->backend->join(shared->sandbox, &plan, &io, &forward->lookup, err);
}

/* Tries the first address that is left of the answer. -EHOSTUNREACH when none is. */
static int try_next(const struct session_context *context, struct forward *forward, struct err *err)
{
	char address[INET6_ADDRSTRLEN];

	if (forward_take_address(forward->answer, address)) {
		forward->state = FORWARD_CONNECTING;
		return open_socket(context, forward, SANDBOX_CONNECT, address, err);
	}
	return err_refuse(err, EHOSTUNREACH, "%s: no address answers", forward->host);
}

static int connect_to(
	const struct session_context *context, struct forward *forward, struct err *err)
{
	static const char localhost[] = "127.0.0.1\n::1\n";

	if (strcasecmp(forward->host, "localhost") == 0) {
		memcpy(forward->answer, localhost, sizeof(localhost));
		return try_next(context, forward, err);
	}
	if (forward_is_number(forward->host)) {
		(void)snprintf(forward->answer, sizeof(forward->answer), "%s", forward->host);
		return try_next(context, forward, err);
	}
	return forward_is_name(forward->host)
		? look_up(context, forward, err)
		: err_refuse(err, EINVAL, "'%s' is neither an address nor a name", forward->host);
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
	if (remote) {
		forward->state = FORWARD_BINDING;
		r = open_socket(
			context, forward, SANDBOX_LISTEN, listen_address(request->text), err);
	} else {
		r = connect_to(context, forward, err);
	}
	if (r < 0) {
		release(forward);
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
	if (r < 0) {
		refusals_add(context->refusals, request->channel, "forward", 1, err->msg);
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

/* The lookup has said something, or ended. */
static int resolved(
	struct forward *forward, const struct session_context *context, struct wire *ret)
{
	size_t room = sizeof(forward->answer) - 1 - forward->answer_size;
	ssize_t n = read(forward->fd, forward->answer + forward->answer_size, room);
	struct err err = {0};

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return 0;
	}
	forward->answer_size += n > 0 ? (size_t)n : 0;
	if (n > 0 && forward->answer_size < sizeof(forward->answer) - 1) {
		return 0;
	}
	forward->answer[forward->answer_size] = '\0';
	end_lookup(forward);
	int r = try_next(context, forward, &err);
	return r < 0 ? fail(forward, context, -r, ret) : 0;
}

static int connected(
	struct forward *forward, const struct session_context *context, struct wire *ret)
{
	int socket = -1;
	int r = backend_take_socket(forward->fd, &socket);

	if (r < 0 && *forward->answer) {
		struct err err = {0};
		r = try_next(context, forward, &err) == 0 ? 0 : r;
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
	union forward_address address = {0};
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
static void format_origin(const union forward_address *address, char *text, size_t size)
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
	union forward_address address = {0};
	socklen_t size = sizeof(address);
	int socket = accept4(listener, &address.any, &size, SOCK_CLOEXEC);
	struct forward *forward = find_free(forwards);
	char origin[80];

	if (socket < 0 || !forward) {
		io_close_hostile(&socket, 1);
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

	for (size_t i = 0; forwards->list && i < FORWARD_MAX; i++) {
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
	for (size_t i = 0; forwards->list && i < FORWARD_MAX; i++) {
		struct forward *forward = &forwards->list[i];
		int r = 0;
		if (forward->fd < 0 || !has_input(forward->fd)) {
			continue;
		}
		if (forward->state == FORWARD_RESOLVING) {
			r = resolved(forward, context, ret);
		} else if (forward->state == FORWARD_CONNECTING) {
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
