/*
 * One loop over the socket to net, the events of the sandboxes, two signals and the clock.
 *
 * Trust: net has talked to the network, so every message is from the attacker. wire_receive() has
 * checked its form; wire_is_legal() says whether it may come now; here it is checked against what
 * the login may do. Each request gets one answer, in order, so a net process that asks without
 * reading fills its own socket and nothing of ours: our end never blocks, and when there is no room
 * for an answer the connection ends.
 *
 * Death: when net is gone, or breaks the rules, every sandbox gets a hang-up and HANG_UP_MS, then
 * is killed, and we exit. When we are gone, pid 1 of each sandbox and net see the end of their
 * sockets.
 */
#include "sshd/monitor.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <libssh/libssh.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "sshd/auth.h"
#include "sshd/forward.h"
#include "sshd/motd.h"
#include "sshd/wire.h"

#define USEC UINT64_C(1000000)
#define HANG_UP_MS 500
#define STOP_MS 1000
#define SETTLE_USEC (USEC / 2)
#define END_USEC (2 * USEC) /* net's time to say goodbye after END */

#define FIXED_FDS 2 /* net and signals */

struct monitor {
	const struct monitor_options *options;
	const struct config *config;
	struct auth auth;
	struct session_context context;
	struct session_shared shared;
	struct forwards forwards;
	enum wire_state state;
	char address[INET6_ADDRSTRLEN];
	char version[128];
	uint16_t port;
	int socket; /* -1: net is gone */
	int signals;
	int net; /* pidfd, -1 before the first message */
	uint64_t deadline; /* of login, or of ENDING; UINT64_MAX: none */
	uint64_t trim_at; /* when unused memory is given back */
	uint64_t settle_at; /* when a connection without sessions is ended by a stopping server */
	bool draining, stopping, logged_in;
	bool crashed, too_slow; /* how it ended, for the listener */
	bool limit_told; /* the audit log knows that max_sessions was hit */
	struct session **sessions; /* room for session_room of them */
	struct pollfd *fds; /* room for FIXED_FDS more */
	size_t session_count, session_room;
};

int monitor_make_pair(int *ret_monitor, int *ret_net)
{
	int pair[2];
	int on = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return -errno;
	}
	if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
		int code = errno;
		(void)close(pair[0]);
		(void)close(pair[1]);
		return -code;
	}
	*ret_monitor = pair[0];
	*ret_net = pair[1];
	return 0;
}

void monitor_format_peer(int client, char *text, size_t size, uint16_t *ret_port)
{
	struct sockaddr_storage storage = {0};
	socklen_t length = sizeof(storage);
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&storage;
	const char *done = NULL;

	*ret_port = 0;
	(void)getpeername(client, (struct sockaddr *)&storage, &length);
	if (storage.ss_family == AF_INET) {
		done = inet_ntop(AF_INET, &v4->sin_addr, text, (socklen_t)size);
		*ret_port = ntohs(v4->sin_port);
	} else if (storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		done = inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, (socklen_t)size);
		*ret_port = ntohs(v6->sin6_port);
	} else if (storage.ss_family == AF_INET6) {
		done = inet_ntop(AF_INET6, &v6->sin6_addr, text, (socklen_t)size);
		*ret_port = ntohs(v6->sin6_port);
	}
	if (!done) {
		(void)snprintf(text, size, "unknown");
	}
}

/* Connection events go to the audit log as well as they can; sessions wait for a log that works. */
static void audit(struct monitor *monitor, const char *event, json_t *fields)
{
	bool failing = monitor->options->audit->failing;
	struct err err = {0};

	if (audit_event(monitor->options->audit, event, fields, &err) < 0 && !failing) {
		log_error("%s; no session is started until it can", err.msg);
	}
}

static void end_sessions(struct monitor *monitor, const char *cause)
{
	for (size_t i = 0; i < monitor->session_count; i++) {
		session_end(monitor->sessions[i], cause, HANG_UP_MS, NULL);
	}
}

/* The end of talking to net. What it had open is closed, whatever state it is in. */
static void drop_net(struct monitor *monitor, const char *cause)
{
	if (monitor->socket < 0) {
		return;
	}
	log_debug("connection ends: %s", cause);
	close_fdp(&monitor->socket);
	(void)shutdown(monitor->options->client, SHUT_RDWR);
	if (monitor->net >= 0) {
		(void)proc_signal(monitor->net, SIGKILL);
	}
	end_sessions(monitor, cause);
}

static void send_wire(struct monitor *monitor, const struct wire *wire)
{
	if (monitor->socket < 0) {
		return;
	}
	int r = wire_send(monitor->socket, wire);
	if (r < 0) {
		if (r != -EPIPE && r != -ECONNRESET) {
			log_warning("net process does not take its answers: %s", strerror(-r));
		}
		drop_net(monitor, "client_gone");
	}
}

static void send_simple(struct monitor *monitor, enum wire_type type, uint32_t channel,
	uint32_t number, const char *text)
{
	struct wire wire;

	wire_init(&wire, type, channel);
	wire.number = number;
	/* Borrowed: not given to wire_fini(). */
	wire.text = (char *)(uintptr_t)text;
	send_wire(monitor, &wire);
}

static void send_result(struct monitor *monitor, uint32_t channel, bool yes, const char *text)
{
	send_simple(monitor, WIRE_RESULT, channel, yes, text);
}

/* The moment net has is given once: saying goodbye again must not keep the connection. */
static void begin_ending(struct monitor *monitor)
{
	if (monitor->state != WIRE_STATE_ENDING) {
		monitor->state = WIRE_STATE_ENDING;
		monitor->deadline = io_now_usec() + END_USEC;
	}
}

/* Tells the client why, and gives net a moment to do it. */
static void end_connection(struct monitor *monitor, const char *text)
{
	send_simple(monitor, WIRE_END, WIRE_NO_CHANNEL, 0, text);
	begin_ending(monitor);
}

static void break_rule(struct monitor *monitor, const char *what)
{
	json_t *fields = json_pack("{s:o}", "reason", audit_text(what));

	monitor->crashed = true;
	log_error("net process broke the rules (%s); its connection ends", what);
	audit(monitor, "protocol_error", fields);
	drop_net(monitor, "protocol_error");
}

/* ---- login ---- */

/* Methods as libssh counts them. */
static unsigned methods_for_net(unsigned methods)
{
	static const unsigned bits[] = {
		[METHOD_PUBLICKEY] = SSH_AUTH_METHOD_PUBLICKEY,
		[METHOD_PASSWORD] = SSH_AUTH_METHOD_PASSWORD,
		[METHOD_INTERACTIVE] = SSH_AUTH_METHOD_INTERACTIVE,
	};
	unsigned result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		result |= methods & (1u << i) ? bits[i] : 0;
	}
	return result;
}

static void on_hello(struct monitor *monitor, const struct wire *wire)
{
	const struct config *config = monitor->config;
	struct wire_welcome welcome = {
		.max_auth_tries = (uint32_t)config->max_auth_tries,
		.max_sessions = (uint32_t)config->max_sessions,
		.keepalive_interval = (uint32_t)config->keepalive_interval,
		.keepalive_count = (uint32_t)config->keepalive_count,
		.methods = methods_for_net(auth_offered(config)),
	};
	struct wire reply;

	(void)snprintf(monitor->version, sizeof(monitor->version), "%s", wire->text);
	(void)snprintf(
		welcome.banner, sizeof(welcome.banner), "%s", config->banner ? config->banner : "");
	if (wire_welcome_pack(&welcome, &reply) < 0) {
		drop_net(monitor, "out_of_memory");
		return;
	}
	monitor->state = WIRE_STATE_AUTH;
	send_wire(monitor, &reply);
	wire_fini(&reply);
}

static const struct session_gate *find_gate(
	const struct monitor *monitor, const struct config_profile *profile)
{
	return &monitor->options->gates[profile - monitor->config->profiles];
}

/* The certificate a login rests on, as the audit log has it; null when there is none. */
static json_t *describe_certificate(const struct auth *auth)
{
	const struct certificate *certificate = &auth->certificate;
	char print[FINGERPRINT_SIZE];

	if (!auth->by_key || !certificate->id) {
		return json_null();
	}
	(void)fingerprint_format(certificate->ca, certificate->ca_size, print, sizeof(print));
	return json_pack("{s:o, s:o, s:o, s:s}", "id", audit_text(certificate->id), "serial",
		json_sprintf("%llu", (unsigned long long)certificate->serial), "principal",
		audit_text(auth->principal), "ca", print);
}

static void log_in(struct monitor *monitor)
{
	struct auth *auth = &monitor->auth;
	char print[64] = "";
	bool vouched = auth->by_key && auth->certificate.id;

	monitor->context = (struct session_context){
		.login =
			{
				.config = monitor->config,
				.user = auth->user,
				.profile = auth->profile,
				.key = auth->by_key ? &auth->key.options : NULL,
				.name = auth->name,
				.address = monitor->address,
			},
		.host = monitor->options->host,
		.backends = monitor->options->backends,
		.gate = find_gate(monitor, auth->profile),
		.audit = monitor->options->audit,
		.limits = monitor->options->limits,
		.slot = monitor->options->slot,
		.penalties = monitor->options->penalties,
		.roster = monitor->options->roster,
		.shared = &monitor->shared,
	};
	if (auth->by_key) {
		(void)fingerprint_format(auth->key.blob, auth->key.blob_size, print, sizeof(print));
	}
	audit(monitor, "auth_ok",
		json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}", "user", audit_text(auth->name),
			"method", auth->method, "key", audit_text(print[0] ? print : NULL),
			"certificate", describe_certificate(auth), "profile",
			audit_text(auth->profile->name), "client", audit_text(monitor->version)));
	log_info("%s logged in from %s port %u by %s%s%s%s%s, profile %s", auth->name,
		monitor->address, monitor->port, auth->method, print[0] ? " " : "", print,
		vouched ? " with certificate " : "", vouched ? auth->certificate.id : "",
		auth->profile->name);
	limits_set_user(monitor->options->limits, monitor->options->slot, auth->name);
	monitor->state = WIRE_STATE_OPEN;
	monitor->deadline = UINT64_MAX;
	monitor->logged_in = true;
}

static void send_auth(struct monitor *monitor, enum wire_auth result, uint32_t flags)
{
	struct wire wire;

	wire_init(&wire, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL);
	wire.number = result;
	wire.flags = flags;
	send_wire(monitor, &wire);
}

static void answer_auth(struct monitor *monitor, enum auth_answer answer, bool query)
{
	struct auth *auth = &monitor->auth;

	if (answer == AUTH_YES && query) {
		send_simple(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_KEY_WOULD_DO, "");
		return;
	}
	if (answer == AUTH_YES) {
		log_in(monitor);
		send_simple(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_OK, "");
		return;
	}
	if (answer == AUTH_PARTIAL) {
		audit(monitor, "auth_partial",
			json_pack("{s:o, s:s}", "user", audit_text(auth->name), "method",
				auth->method));
		send_auth(monitor, WIRE_AUTH_PARTIAL, methods_for_net(auth->next));
		return;
	}
	if (answer == AUTH_PROMPT) {
		send_auth(monitor, WIRE_AUTH_PROMPT, auth->prompts);
		return;
	}
	if (answer == AUTH_NAME_CHANGED) {
		break_rule(monitor, "change of user name");
		return;
	}
	if (auth->tries > 0) {
		audit(monitor, "auth_refused",
			json_pack("{s:o, s:s, s:s, s:I}", "user", audit_text(auth->name), "method",
				auth->method ? auth->method : "none", "reason", auth->reason,
				"tries", (json_int_t)auth->tries));
		log_info("refused %s from %s port %u: %s (%llu of %llu tries)",
			auth->name[0] ? auth->name : "a name that cannot be one", monitor->address,
			monitor->port, auth->reason, (unsigned long long)auth->tries,
			(unsigned long long)monitor->config->max_auth_tries);
	}
	if (answer == AUTH_TOO_MANY) {
		send_simple(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_TOO_MANY, "");
		begin_ending(monitor);
		return;
	}
	send_simple(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_DENIED, "");
}

static void on_auth_none(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor, auth_check_none(&monitor->auth, wire->user), false);
}

static void on_auth_query(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor,
		auth_check_key(&monitor->auth, wire->user, wire->data, wire->data_size, false),
		true);
}

static void on_auth_key(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor,
		auth_check_key(&monitor->auth, wire->user, wire->data, wire->data_size, true),
		false);
}

static void on_auth_password(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor,
		auth_check_password(
			&monitor->auth, wire->user, (const char *)wire->data, wire->data_size),
		false);
}

static void on_auth_ask(struct monitor *monitor, const struct wire *wire)
{
	static_assert(AUTH_PROMPT_PASSWORD == WIRE_PROMPT_PASSWORD &&
			AUTH_PROMPT_CODE == WIRE_PROMPT_CODE,
		"prompts are sent as they are");
	answer_auth(monitor, auth_ask(&monitor->auth, wire->user), false);
}

static void on_auth_answer(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor,
		auth_check_answer(&monitor->auth, wire->user, (const char *)wire->data,
			wire->data_size, wire->text),
		false);
}

/* ---- sessions ---- */

static struct session *find_session(const struct monitor *monitor, uint32_t channel)
{
	for (size_t i = 0; i < monitor->session_count; i++) {
		if (monitor->sessions[i]->channel == channel) {
			return monitor->sessions[i];
		}
	}
	return NULL;
}

/* The session a request is about, still without a command; else the rules are broken. */
static struct session *find_open(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_session(monitor, wire->channel);

	if (!session || session->state != SESSION_OPEN) {
		break_rule(monitor, wire_type_name(wire->type));
		return NULL;
	}
	return session;
}

/* For one session more. */
static int make_room(struct monitor *monitor)
{
	size_t room = monitor->session_room * 2 + 4;

	if (monitor->session_count < monitor->session_room) {
		return 0;
	}
	/* Two for each session: it, and its agent. */
	struct session **sessions = reallocarray(monitor->sessions, room, sizeof(struct session *));
	if (!sessions) {
		return -ENOMEM;
	}
	monitor->sessions = sessions;
	struct pollfd *fds = reallocarray(
		monitor->fds, 2 * room + FORWARD_MAX + FIXED_FDS, sizeof(struct pollfd));
	if (!fds) {
		return -ENOMEM;
	}
	monitor->fds = fds;
	monitor->session_room = room;
	return 0;
}

/* Numbers are net's to choose, each once. */
static bool is_taken(const struct monitor *monitor, uint32_t channel)
{
	return channel >= WIRE_FIRST_INCOMING || find_session(monitor, channel) ||
		forwards_have(&monitor->forwards, channel);
}

static void on_open(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = NULL;

	if (is_taken(monitor, wire->channel)) {
		break_rule(monitor, "channel opened twice");
		return;
	}
	if (monitor->draining) {
		send_result(monitor, wire->channel, false, "the server is stopping");
		return;
	}
	if (monitor->session_count >= monitor->config->max_sessions) {
		/* Once, until one fits again: net could ask for ever, and fill the disk. */
		if (!monitor->limit_told) {
			audit(monitor, "limit_hit",
				json_pack("{s:i, s:s}", "channel", (int)wire->channel, "limit",
					"max_sessions"));
		}
		monitor->limit_told = true;
		limits_note(
			monitor->options->limits, monitor->options->slot, PENALTY_SESSION_FLOOD);
		send_result(monitor, wire->channel, false, "too many sessions on this connection");
		return;
	}
	if (make_room(monitor) < 0 || session_new(wire->channel, &session) < 0) {
		send_result(monitor, wire->channel, false, "out of memory");
		return;
	}
	monitor->sessions[monitor->session_count++] = session;
	monitor->limit_told = false;
	send_result(monitor, wire->channel, true, "");
}

static void on_env(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_open(monitor, wire);

	if (!session) {
		return;
	}
	cleanup_free char *value = strndup((const char *)wire->data, wire->data_size);
	bool whole = value && strlen(value) == wire->data_size;
	int r = whole ? session_set_env(&monitor->context, session, wire->text, value) : -EINVAL;
	send_result(monitor, wire->channel, r == 0, r == 0 ? "" : "not accepted");
}

static void on_pty(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_open(monitor, wire);

	if (session) {
		int r = session_set_pty(&monitor->context, session, wire->text, &wire->size);
		send_result(
			monitor, wire->channel, r == 0, r == 0 ? "" : "no terminal for this key");
	}
}

/* Without measuring, people who look at their screen are told so; programs are left alone. */
static void say_unmeasured(struct monitor *monitor, const struct session *session)
{
	if (!monitor->context.gate->measured && session->pty) {
		send_simple(monitor, WIRE_NOTICE, session->channel, 0,
			"cloche: this server runs with --no-proof; what its sandbox promises was "
			"not "
			"measured");
	}
}

/*
 * Said before STARTED, so that net has it before it reads the shell's first word. A forced command is
 * no shell.
 */
static void greet(struct monitor *monitor, const struct session *session, enum policy_kind kind)
{
	const struct policy_login *login = &monitor->context.login;
	cleanup_free char *text = NULL;

	if (kind != POLICY_SHELL || !session->pty || (login->key && login->key->command)) {
		return;
	}
	if (motd_make(login->profile, monitor->context.gate, &text) < 0) {
		log_warning("no memory for a greeting");
	} else if (text) {
		send_simple(monitor, WIRE_NOTICE, session->channel, 0, text);
	}
}

static void start(struct monitor *monitor, const struct wire *wire, enum policy_kind kind,
	const char *command)
{
	struct session *session = find_open(monitor, wire);
	struct wire reply;
	struct err err = {0};
	char text[sizeof(err.msg) + 16];

	if (!session) {
		return;
	}
	wire_init(&reply, WIRE_STARTED, wire->channel);
	int r = monitor->draining ? err_refuse(&err, EAGAIN, "the server is stopping")
				  : session_start(&monitor->context, session, kind, command,
					    reply.fds, &reply.fd_count, &err);
	if (r < 0) {
		log_warning("session of %s refused: %s", monitor->auth.name, err.msg);
		(void)snprintf(text, sizeof(text), "cloche: %s", err.msg);
		send_result(monitor, wire->channel, false, text);
		return;
	}
	reply.number = session->pty;
	log_info("session %u of %s started: %s, pid %d", session->channel, monitor->auth.name,
		policy_kind_name(kind), (int)session->sandbox->pid);
	greet(monitor, session, kind);
	send_wire(monitor, &reply);
	wire_fini(&reply);
	say_unmeasured(monitor, session);
	monitor->trim_at = io_now_usec() + USEC;
}

static void on_shell(struct monitor *monitor, const struct wire *wire)
{
	start(monitor, wire, POLICY_SHELL, NULL);
}

static void on_exec(struct monitor *monitor, const struct wire *wire)
{
	start(monitor, wire, POLICY_EXEC, wire->text);
}

static void on_subsystem(struct monitor *monitor, const struct wire *wire)
{
	start(monitor, wire, POLICY_SUBSYSTEM, wire->text);
}

static void on_signal(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_session(monitor, wire->channel);

	if (session && session_signal(session, wire->text) < 0) {
		log_debug("unknown signal from the client");
	}
}

static void forget_session(struct monitor *monitor, struct session *session)
{
	for (size_t i = 0; i < monitor->session_count; i++) {
		if (monitor->sessions[i] == session) {
			monitor->sessions[i] = monitor->sessions[--monitor->session_count];
			break;
		}
	}
	session_free(&monitor->context, session);
}

static void on_close(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_session(monitor, wire->channel);

	if (forwards_close(&monitor->forwards, &monitor->context, wire->channel)) {
		return;
	}
	/* Closing what is closed is no crime: our EXIT and its CLOSE may cross. */
	if (!session) {
		return;
	}
	session->closed = true;
	session_end(session, "client_closed", HANG_UP_MS, NULL);
	if (!session->sandbox) {
		forget_session(monitor, session);
	}
}

static void on_active(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_session(monitor, wire->channel);

	if (session) {
		session_touch(session);
	}
}

static void on_agent(struct monitor *monitor, const struct wire *wire)
{
	struct session *session = find_open(monitor, wire);

	if (session) {
		int r = session_set_agent(&monitor->context, session);
		send_result(monitor, wire->channel, r == 0, r == 0 ? "" : "not offered");
	}
}

static void on_forward(struct monitor *monitor, const struct wire *wire)
{
	struct err err = {0};
	int r = 0;

	if (is_taken(monitor, wire->channel)) {
		break_rule(monitor, "channel opened twice");
		return;
	}
	if (monitor->draining) {
		r = err_refuse(&err, EAGAIN, "the server is stopping");
	} else if (make_room(monitor) < 0) {
		r = err_set(&err, ENOMEM, "forwarding");
	} else {
		r = forwards_ask(&monitor->forwards, &monitor->context, wire, &err);
	}
	if (r < 0) {
		log_info("forwarding of %s to %s port %u refused: %s", monitor->auth.name,
			wire->text, wire->number, err.msg);
	}
	send_result(monitor, wire->channel, r == 0, r == 0 ? "" : err.msg);
}

static void on_kex(struct monitor *monitor, const struct wire *wire)
{
	log_debug("%s port %u: %s", monitor->address, monitor->port, wire->text);
}

static void on_bye(struct monitor *monitor, const struct wire *wire)
{
	log_debug("%s port %u says goodbye: %s", monitor->address, monitor->port, wire->text);
	/* It is about to exit; what it still has to write is let out. */
	end_sessions(monitor, "client_gone");
	begin_ending(monitor);
}

static void (*const handlers[])(struct monitor *monitor, const struct wire *wire) = {
	[WIRE_HELLO] = on_hello,
	[WIRE_KEX] = on_kex,
	[WIRE_AUTH_NONE] = on_auth_none,
	[WIRE_AUTH_QUERY] = on_auth_query,
	[WIRE_AUTH_KEY] = on_auth_key,
	[WIRE_AUTH_PASSWORD] = on_auth_password,
	[WIRE_AUTH_ASK] = on_auth_ask,
	[WIRE_AUTH_ANSWER] = on_auth_answer,
	[WIRE_OPEN] = on_open,
	[WIRE_ENV] = on_env,
	[WIRE_PTY] = on_pty,
	[WIRE_SHELL] = on_shell,
	[WIRE_EXEC] = on_exec,
	[WIRE_SUBSYSTEM] = on_subsystem,
	[WIRE_SIGNAL] = on_signal,
	[WIRE_CLOSE] = on_close,
	[WIRE_ACTIVE] = on_active,
	[WIRE_BYE] = on_bye,
	[WIRE_AGENT] = on_agent,
	[WIRE_FORWARD] = on_forward,
	[WIRE_LISTEN] = on_forward,
};

/* ---- the loop ---- */

/*
 * Holds net by pidfd, so that it can be killed whatever it does. The kernel says who sent the first
 * message; as net alone has the other end and that end is not closed, the pid is still its own.
 */
static void learn_net(struct monitor *monitor)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct ucred who = {0};
	int off = 0;

	ssize_t n = recvmsg(monitor->socket, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL; header;
		header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&who, CMSG_DATA(header), sizeof(who));
		}
	}
	(void)setsockopt(monitor->socket, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off));
	int pidfd = who.pid > 0 && who.pid != getpid() ? proc_pidfd(who.pid) : -1;
	struct pollfd hung = {.fd = monitor->socket};
	(void)poll(&hung, 1, 0);
	if (pidfd >= 0 && (hung.revents & POLLHUP)) {
		close_fdp(&pidfd);
	}
	monitor->net = pidfd;
}

static void on_socket(struct monitor *monitor)
{
	cleanup(wire_fini) struct wire wire = {0};
	struct err err = {0};

	if (monitor->state == WIRE_STATE_NEW && monitor->net < 0) {
		learn_net(monitor);
	}
	int r = wire_receive(monitor->socket, &wire, MSG_DONTWAIT, &err);
	if (r == -EAGAIN) {
		return;
	}
	if (r == -EPROTO) {
		break_rule(monitor, err.msg);
		return;
	}
	if (r <= 0) {
		/* It says goodbye before it ends; WIRE_STATE_ENDING is when it has, or we have. */
		monitor->crashed = monitor->crashed || monitor->state != WIRE_STATE_ENDING;
		drop_net(monitor, "client_gone");
		return;
	}
	if (!wire_is_legal(wire.type, monitor->state)) {
		/* What was on its way when we said END is nobody's fault. */
		if (monitor->state == WIRE_STATE_ENDING) {
			return;
		}
		break_rule(monitor, wire_type_name(wire.type));
		return;
	}
	handlers[wire.type](monitor, &wire);
}

static void on_signals(struct monitor *monitor)
{
	struct signalfd_siginfo info;

	while (read(monitor->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		for (size_t i = 0; info.ssi_signo == SIGUSR2 && i < monitor->session_count; i++) {
			session_look_at_roster(&monitor->context, monitor->sessions[i]);
		}
		monitor->draining = monitor->draining || info.ssi_signo != SIGUSR2;
		if (info.ssi_signo != SIGTERM || monitor->stopping) {
			continue;
		}
		monitor->stopping = true;
		for (size_t i = 0; i < monitor->session_count; i++) {
			session_end(monitor->sessions[i], "server_stop", STOP_MS,
				"the server is stopping; this session ends");
		}
	}
}

static void log_end(const struct monitor *monitor, const struct session *session,
	const struct session_news *news)
{
	char how[48];

	if (news->signal[0]) {
		(void)snprintf(how, sizeof(how), "signal %s", news->signal);
	} else {
		(void)snprintf(how, sizeof(how), "status %u", (unsigned)news->status);
	}
	log_info("session %u of %s ended: %s%s%s", session->channel, monitor->auth.name, how,
		session->cause ? ", " : "", session->cause ? session->cause : "");
}

static void tell_news(
	struct monitor *monitor, const struct session *session, const struct session_news *news)
{
	char text[sizeof(news->text) + 16];
	struct wire wire;

	if (news->text[0]) {
		(void)snprintf(text, sizeof(text), "cloche: %s", news->text);
		send_simple(monitor, WIRE_NOTICE, session->channel, 0, text);
	}
	if (news->kind == SESSION_ENDED) {
		log_end(monitor, session, news);
		wire_init(&wire, WIRE_EXIT, session->channel);
		wire.number = news->status;
		wire.flags = news->core;
		wire.text = (char *)(uintptr_t)news->signal;
		send_wire(monitor, &wire);
	}
}

static void step_sessions(struct monitor *monitor)
{
	uint64_t now = io_now_usec();

	for (size_t i = monitor->session_count; i-- > 0;) {
		struct session *session = monitor->sessions[i];
		struct session_news news = session_step(&monitor->context, session, now);
		while (news.kind != SESSION_NO_NEWS) {
			tell_news(monitor, session, &news);
			news = session_step(&monitor->context, session, now);
		}
		if (session->state == SESSION_OVER && session->closed && !session->sandbox) {
			forget_session(monitor, session);
		}
	}
}

/* Sockets of the sandbox that are to be net's. */
static void step_forwards(struct monitor *monitor)
{
	struct wire wire;

	while (monitor->socket >= 0 &&
		forwards_step(&monitor->forwards, &monitor->context, &wire) > 0) {
		send_wire(monitor, &wire);
		wire_fini(&wire);
	}
	for (size_t i = 0; i < monitor->session_count && monitor->socket >= 0; i++) {
		const struct session *session = monitor->sessions[i];
		while (session->agent >= 0 && monitor->socket >= 0 &&
			forwards_accept_agent(
				&monitor->forwards, session->agent, session->channel, &wire) == 0) {
			send_wire(monitor, &wire);
			wire_fini(&wire);
		}
	}
}

static bool any_running(const struct monitor *monitor)
{
	for (size_t i = 0; i < monitor->session_count; i++) {
		if (monitor->sessions[i]->sandbox) {
			return true;
		}
	}
	return false;
}

/*
 * While the server stops, a connection without sessions is ended; a moment later, because a client
 * that is cut off before it has closed its channel forgets the output and status it was sent.
 */
static void watch_stop(struct monitor *monitor, uint64_t now)
{
	bool over = monitor->stopping || (monitor->draining && monitor->session_count == 0);

	if (!over || monitor->state == WIRE_STATE_ENDING || any_running(monitor)) {
		monitor->settle_at = UINT64_MAX;
	} else if (monitor->settle_at == UINT64_MAX) {
		monitor->settle_at = now + (monitor->logged_in ? SETTLE_USEC : 0);
	}
	if (now >= monitor->settle_at) {
		monitor->settle_at = UINT64_MAX;
		end_connection(monitor, "the server is stopping");
	}
}

/*
 * What making plans and starting sandboxes took goes back, so that an idle session stays small: free
 * heap, and the pages of the stack below this frame, which hold nothing any more.
 */
static void trim(void)
{
	enum { DEPTH = 512 * 1024, MARGIN = 16 * 1024 };
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - MARGIN) & ~(page - 1);

	(void)malloc_trim(0);
	/* Where the stack has not been that deep there is nothing mapped: -ENOMEM, and no harm. */
	(void)madvise((void *)(end - DEPTH), DEPTH, MADV_DONTNEED);
}

/* What the clock asks for, sessions apart. */
static void watch_clock(struct monitor *monitor)
{
	uint64_t now = io_now_usec();

	if (now >= monitor->trim_at) {
		trim();
		monitor->trim_at = UINT64_MAX;
	}
	watch_stop(monitor, now);
	if (now < monitor->deadline) {
		return;
	}
	monitor->deadline = UINT64_MAX;
	if (monitor->state != WIRE_STATE_ENDING) {
		monitor->too_slow = true;
		log_info("%s port %u did not log in within %llu seconds", monitor->address,
			monitor->port, (unsigned long long)monitor->config->login_grace);
		audit(monitor, "auth_refused",
			json_pack("{s:o, s:s}", "user",
				audit_text(monitor->auth.named ? monitor->auth.name : NULL),
				"reason", "login_grace"));
	}
	drop_net(monitor, "deadline");
}

static int next_timeout(const struct monitor *monitor)
{
	uint64_t now = io_now_usec();
	uint64_t next = monitor->deadline < monitor->trim_at ? monitor->deadline : monitor->trim_at;

	next = monitor->settle_at < next ? monitor->settle_at : next;
	for (size_t i = 0; i < monitor->session_count; i++) {
		uint64_t wanted = session_deadline(monitor->sessions[i]);
		next = wanted < next ? wanted : next;
	}
	if (next == UINT64_MAX) {
		return -1;
	}
	uint64_t left = next > now ? (next - now + 999) / 1000 : 0;
	return left > 3600000 ? 3600000 : (int)left;
}

static void turn(struct monitor *monitor)
{
	struct pollfd first[FIXED_FDS];
	struct pollfd *fds = monitor->fds ? monitor->fds : first;
	nfds_t count = FIXED_FDS;

	fds[0] = (struct pollfd){.fd = monitor->socket, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = monitor->signals, .events = POLLIN};
	for (size_t i = 0; i < monitor->session_count; i++) {
		fds[count++] = (struct pollfd){
			.fd = session_event_fd(monitor->sessions[i]), .events = POLLIN};
		fds[count++] = (struct pollfd){.fd = monitor->sessions[i]->agent, .events = POLLIN};
	}
	if (monitor->fds) {
		count += forwards_prepare(&monitor->forwards, fds + count);
	}
	if (poll(fds, count, next_timeout(monitor)) < 0) {
		if (errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			drop_net(monitor, "trouble");
		}
		return;
	}
	/* Handling one may move fds. */
	bool told = fds[1].revents;
	bool asked = fds[0].revents;
	if (told) {
		on_signals(monitor);
	}
	if (asked && monitor->socket >= 0) {
		on_socket(monitor);
	}
	step_sessions(monitor);
	step_forwards(monitor);
	watch_clock(monitor);
}

static int set_up(struct monitor *monitor)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	monitor->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (monitor->signals < 0) {
		return -errno;
	}
	/* Ours alone: net's end is another open file description. */
	return io_set_nonblocking(monitor->socket, true);
}

static void begin(struct monitor *monitor)
{
	monitor_format_peer(monitor->options->client, monitor->address, sizeof(monitor->address),
		&monitor->port);
	audit_begin(monitor->options->audit);
	audit(monitor, "connect",
		json_pack("{s:o, s:i}", "address", audit_text(monitor->address), "port",
			(int)monitor->port));
	auth_init(&monitor->auth, monitor->config, monitor->address);
	monitor->deadline = monitor->config->login_grace
		? io_now_usec() + monitor->config->login_grace * USEC
		: UINT64_MAX;
}

static enum monitor_exit find_exit(const struct monitor *monitor)
{
	const struct auth *auth = &monitor->auth;

	if (monitor->crashed) {
		return MONITOR_CRASH;
	}
	if (monitor->logged_in) {
		return MONITOR_LOGGED_IN;
	}
	if (monitor->too_slow) {
		return MONITOR_GRACE_EXCEEDED;
	}
	if (auth->tries == 0) {
		return MONITOR_NO_AUTH;
	}
	if (!auth->user) {
		return MONITOR_INVALID_USER;
	}
	return auth->reason && strcmp(auth->reason, "no_profile") == 0 ? MONITOR_REFUSED
								       : MONITOR_AUTH_FAILED;
}

int monitor_run(const struct monitor_options *options)
{
	struct monitor monitor = {
		.options = options,
		.config = options->config,
		.socket = options->socket,
		.signals = -1,
		.net = -1,
		.trim_at = UINT64_MAX,
		.settle_at = UINT64_MAX,
	};
	int r = set_up(&monitor);

	if (r < 0) {
		log_error("connection refused: %s", strerror(-r));
		return MONITOR_TROUBLE;
	}
	begin(&monitor);
	while (monitor.socket >= 0 || any_running(&monitor)) {
		turn(&monitor);
	}
	while (monitor.session_count > 0) {
		forget_session(&monitor, monitor.sessions[0]);
	}
	forwards_fini(&monitor.forwards);
	session_unshare(&monitor.context);
	audit(&monitor, "disconnect", json_pack("{s:b}", "logged_in", (int)monitor.logged_in));
	int code = find_exit(&monitor);
	auth_fini(&monitor.auth);
	free(monitor.sessions);
	free(monitor.fds);
	close_fdp(&monitor.net);
	close_fdp(&monitor.signals);
	return code;
}
