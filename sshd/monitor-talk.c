/*
 * How the monitor speaks: to net, to the audit log, and its last words to both. Our end of the socket
 * never blocks; when there is no room for an answer the connection ends.
 */
#include "sshd/monitor-state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"

/* A browser behind -D that reaches nothing asks a few dozen times a page. */
#define REFUSALS_MAX 256
#define REFUSALS_FORGOTTEN 4 /* a second */
#define END_USEC UINT64_C(2000000) /* net's time to say goodbye after END */

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

void monitor_audit(struct monitor *monitor, const char *event, json_t *fields)
{
	bool failing = monitor->options->audit->failing;
	struct err err = {0};

	if (audit_event(monitor->options->audit, event, fields, &err) < 0 && !failing) {
		log_error("%s; no session is started until it can", err.msg);
	}
}

void monitor_end_sessions(struct monitor *monitor, const char *cause)
{
	for (size_t i = 0; i < monitor->session_count; i++) {
		session_end(monitor->sessions[i], cause, HANG_UP_MS, NULL);
	}
	monitor_probe_end(monitor, cause, "this connection is being ended");
}

void monitor_drop(struct monitor *monitor, const char *cause)
{
	if (monitor->socket < 0) {
		return;
	}
	log_debug("connection ends: %s", cause);
	close_fdp(&monitor->socket);
	/* Whoever was told why may still be sending: with both ways shut TCP would answer with a reset. */
	(void)shutdown(monitor->options->client,
		monitor->state == WIRE_STATE_ENDING ? SHUT_WR : SHUT_RDWR);
	if (monitor->net >= 0) {
		(void)proc_signal(monitor->net, SIGKILL);
	}
	monitor_end_sessions(monitor, cause);
}

void monitor_send(struct monitor *monitor, const struct wire *wire)
{
	if (monitor->socket < 0) {
		return;
	}
	int r = wire_send(monitor->socket, wire);
	/* Of one that is gone the goodbye is still to be read, and then the end. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
		log_warning("net process does not take its answers: %s", strerror(-r));
		monitor_drop(monitor, "client_gone");
	}
}

void monitor_say(struct monitor *monitor, enum wire_type type, uint32_t channel, uint32_t number,
	const char *text)
{
	struct wire wire;

	wire_init(&wire, type, channel);
	wire.number = number;
	/* Borrowed: not given to wire_fini(). */
	wire.text = (char *)(uintptr_t)text;
	monitor_send(monitor, &wire);
}

void monitor_answer(struct monitor *monitor, uint32_t channel, bool yes, const char *text)
{
	monitor_say(monitor, WIRE_RESULT, channel, yes, text);
}

void monitor_begin_ending(struct monitor *monitor)
{
	if (monitor->state != WIRE_STATE_ENDING) {
		monitor->state = WIRE_STATE_ENDING;
		monitor->deadline = io_now_usec() + END_USEC;
	}
}

void monitor_end_connection(struct monitor *monitor, const char *text)
{
	monitor_say(monitor, WIRE_END, WIRE_NO_CHANNEL, 0, text);
	monitor_begin_ending(monitor);
}

void monitor_note_refusal(struct monitor *monitor)
{
	uint64_t now = io_now_usec();
	uint64_t sunk = (now - monitor->refusals_at) / (USEC / REFUSALS_FORGOTTEN);

	monitor->refusals -= sunk < monitor->refusals ? (unsigned)sunk : monitor->refusals;
	monitor->refusals_at += sunk * (USEC / REFUSALS_FORGOTTEN);
	if (++monitor->refusals <= REFUSALS_MAX || monitor->state == WIRE_STATE_ENDING) {
		return;
	}
	monitor_audit(monitor, "limit_hit", json_pack("{s:s}", "limit", "refusals"));
	limits_note(monitor->options->limits, monitor->options->slot, PENALTY_SESSION_FLOOD);
	monitor_end_sessions(monitor, "refusals");
	monitor_end_connection(monitor, "too many requests were refused");
}

void monitor_break_rule(struct monitor *monitor, const char *what)
{
	json_t *fields = json_pack("{s:o}", "reason", audit_text(what));

	monitor->crashed = true;
	log_error("net process broke the rules (%s); its connection ends", what);
	monitor_audit(monitor, "protocol_error", fields);
	monitor_drop(monitor, "protocol_error");
}
