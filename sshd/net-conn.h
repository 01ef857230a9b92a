/*
 * One connection in the net process.
 *
 *	net-conn.c	what libssh calls us for: logins, channels, requests on them
 *	net-loop.c	the one loop: waits, lets libssh work, moves bytes, keeps time, ends
 *	net-forward.c	forwarded ports and agents
 *	net-ask.c	requests to the monitor and what it says unasked
 *	net-channel.c	one channel's life
 *	net-relay.c	one channel's bytes between client and sandbox
 *	net-watch.c	copies of them for those who watch
 *
 * libssh calls back at any time while it is given control, a write included. So a callback only
 * records, asks the monitor, or writes to the sandbox; it never calls libssh to send, frees nothing
 * and closes no channel. All of that the loop does.
 */
#pragma once

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <stdbool.h>
#include <stdint.h>

#include "sshd/wire.h"

/* Longer than any launch. A monitor that says nothing for so long is no monitor. */
#define NET_ANSWER_USEC (120 * 1000000ull)

struct net_channel;
struct net_listener;
struct net_watcher;

struct net_message {
	struct wire wire;
	struct net_message *next;
};

struct net_conn {
	ssh_session session;
	ssh_event event; /* NULL until keys are exchanged */
	struct ssh_server_callbacks_struct callbacks;
	struct ssh_callbacks_struct common_callbacks;
	struct ssh_counter_struct traffic; /* bytes of the TCP connection, kept by libssh */
	int tcp; /* libssh's, which closes it */
	int monitor; /* owned */

	struct wire_welcome welcome;
	bool said_hello, prepared, welcomed, sent_banner, authenticated;
	bool unanswered_login; /* libssh has seen one and neither answered nor asked us */
	bool dropped_login; /* and has gone on to the next one */
	bool up; /* a session was started: acknowledgements may be delayed now */
	bool no_more_sessions; /* the client has said so */
	bool any_closed; /* the client has closed a channel that we still have */
	uint32_t denied;
	char *asking; /* the user whose answers to keyboard-interactive are awaited, or NULL */
	char *user; /* the one name that logins on this connection are for, once there was one, or NULL */
	uint32_t prompts; /* what was asked */

	struct net_message *inbox, **inbox_end; /* came while an answer was awaited */
	struct net_channel *channels, **channels_end;
	uint32_t next_channel;
	struct net_listener *listeners; /* ports of the sandbox that are forwarded to the client */
	size_t watchers; /* of all channels */
	size_t held; /* bytes of clients that no sandbox has taken yet, over all channels */

	uint64_t heard_at; /* when bytes last came from the client, in microseconds */
	uint64_t heard_bytes;
	uint32_t unanswered; /* keep-alives */
	uint64_t fed_at; /* the watchdog */
	uint64_t busy_at, trimmed_at; /* last event; bytes moved when memory was last given back */

	bool ended; /* the monitor has said END: it answers nothing any more */
	const char *bye; /* set: the loop ends, and the monitor is told this reason class */
	char *farewell; /* what the client is told at the end, or NULL */
	char *mismatch; /* why keys could not be agreed upon, or NULL: the bye is then this */
};

/*
 * Serves one connection to its end. session has its socket, which must be non-blocking; monitor is
 * consumed. Never blocks for ever on either.
 */
void net_conn_run(ssh_session session, int tcp, int monitor);

/*
 * Says hello and what was agreed on, and waits for the monitor's welcome; once. Needed before the first login:
 * a client that does not wait for answers (dropbear's) may have it processed while keys are exchanged.
 */
void net_conn_prepare_logins(struct net_conn *conn);

/* net-conn.c: sets the callbacks for logins and channels. */
int net_conn_set_callbacks(struct net_conn *conn);

/*
 * Learns of what libssh drops in silence: logins, until one succeeds, and no-more-sessions. And why no keys were
 * agreed upon.
 */
void net_conn_listen_to_libssh(struct net_conn *conn);

/* A message about keyboard-interactive, which libssh has no callback for. 0: answered; 1: refuse it. */
int net_conn_interact(struct net_conn *conn, ssh_message message);

/* What the client is told when the connection ends. */
void net_conn_set_farewell(struct net_conn *conn, const char *text);

/* Ends the connection for this reason class (static). The first reason stays. */
void net_conn_end(struct net_conn *conn, const char *bye);

/*
 * net-ask.c: sends request and waits for its one answer; what else the monitor says meanwhile goes
 * to the inbox. 0 and *ret_answer, for wire_fini(); -EINVAL when request is not sendable (too long);
 * -ECANCELED, at once, when the monitor has said END, which the inbox tells; on any other failure the
 * connection is over and net_conn_end() was called.
 */
int net_ask(struct net_conn *conn, const struct wire *request, struct wire *ret_answer);

/*
 * Waits at most usec for a message about channel, which stays in the inbox and is returned; what the
 * monitor refused is net_refused. NULL when there is none yet.
 */
const struct wire *net_await_about(struct net_conn *conn, uint32_t channel, uint64_t usec);
extern const struct wire net_refused;

/* net-forward.c: sets its callbacks; and frees what it keeps. */
void net_forward_set_callbacks(struct net_conn *conn);
void net_forward_fini(struct net_conn *conn);

/* SOCKET, BOUND, FAILED or INCOMING. */
void net_forward_handle(struct net_conn *conn, struct wire *wire);

/* Goes on with opening a channel to the client. */
void net_forward_open(struct net_channel *channel);

/* Tells the monitor something that has no answer. Failure ends the connection. */
void net_tell(struct net_conn *conn, enum wire_type type, uint32_t channel, const char *text);

/* The same, but forgotten where it would have to wait. */
void net_hint(struct net_conn *conn, enum wire_type type, uint32_t channel);

/* Reads what the monitor has said into the inbox, without waiting. */
void net_collect(struct net_conn *conn);

/* The first message of the inbox in *ret, for wire_fini(). False when there is none. */
bool net_next_message(struct net_conn *conn, struct wire *ret);

/*
 * Waits until the monitor has said something. 0; or -ETIMEDOUT after deadline (of io_now_usec()), and
 * then the connection is over.
 */
int net_await(struct net_conn *conn, uint64_t deadline);
