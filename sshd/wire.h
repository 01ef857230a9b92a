/*
 * What monitor and net say to one another, over a SOCK_SEQPACKET pair, one message a packet.
 *
 * Net is the hostile side: it has talked to the network. The monitor answers every request exactly
 * once, in order; the table in wire.c says in which state of the connection each type is legal, and
 * anything else ends the connection. No message is longer than WIRE_MAX.
 *
 *	net -> monitor				monitor -> net
 *	HELLO	   text: client version		WELCOME	   the limits net is to keep (struct wire_welcome)
 *	KEX	   text: "kex cipher mac"	-
 *	AUTH_NONE  user				AUTH_RESULT number: enum wire_auth
 *	AUTH_QUERY user, text: key algorithm,	AUTH_RESULT
 *		   data: key blob (would this key do?)
 *	AUTH_KEY   the same, after libssh has	AUTH_RESULT
 *		   verified the signature
 *	AUTH_PASSWORD user, data: password	AUTH_RESULT
 *	AUTH_ASK   user: what is to be asked,	AUTH_RESULT, with PROMPT the flags say what
 *		   keyboard-interactive?
 *	AUTH_ANSWER user, data: password,	AUTH_RESULT
 *		   text: code; after a PROMPT
 *	OPEN	   channel			RESULT number: 1 yes 0 no, text: reason
 *	ENV	   channel, text: name, data: value	RESULT
 *	PTY	   channel, text: TERM, size	RESULT
 *	SHELL	   channel			STARTED channel, number: 1 with a terminal (one
 *	EXEC	   channel, text: command	  descriptor: its master), 0 without (three: stdin's
 *	SUBSYSTEM  channel, text: name		  write end, stdout's and stderr's read ends),
 *						or RESULT 0 with a text for the user
 *	SIGNAL	   channel, text: "TERM"	-
 *	CLOSE	   channel (client closed it,	-
 *		   or net is done with it)
 *	ACTIVE	   channel (input came; at most	-
 *		   once a second, for idle limits)
 *	BYE	   text: reason class		-
 *	AGENT	   channel: forward the agent to	RESULT
 *		   this session, not started yet
 *	FORWARD	   channel, text: host, number:	RESULT, and after a yes SOCKET or FAILED
 *		   port to connect to, inside
 *	LISTEN	   channel, text: host, number:	RESULT, and after a yes BOUND or FAILED; then
 *		   port to listen on, inside	  INCOMING as often as somebody connects
 *						SOCKET channel, the connected socket twice, for
 *						     either direction
 *						BOUND channel, number: the port that is listened on
 *						FAILED channel, text: why
 *						INCOMING channel (new), number: the LISTEN's or the
 *						     session's, flag 1: to the agent, text: address
 *						     and port it came from, the socket twice
 *						EXIT channel, number: exit status, text: signal name
 *						     or "", flag 1: core dumped
 *						NOTICE channel, text: a line for the user's terminal
 *						WATCH channel, the socket of somebody who watches it
 *						     (watch.h)
 *						END  text: disconnect the client, saying this
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

#define WIRE_MAX 65536
#define WIRE_MAX_USER 255
#define WIRE_MAX_REASON 255
#define WIRE_BYE_MISMATCH "no common " /* how a BYE begins that the operator wants to read */
#define WIRE_MAX_COMMAND 32768
#define WIRE_MAX_FDS 3
#define WIRE_MAX_CODE 32
#define WIRE_NO_CHANNEL UINT32_MAX
#define WIRE_FIRST_INCOMING 0x80000000u /* the monitor numbers these; net the ones below */

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_KEX,
	WIRE_AUTH_NONE,
	WIRE_AUTH_QUERY,
	WIRE_AUTH_KEY,
	WIRE_AUTH_PASSWORD,
	WIRE_OPEN,
	WIRE_ENV,
	WIRE_PTY,
	WIRE_SHELL,
	WIRE_EXEC,
	WIRE_SUBSYSTEM,
	WIRE_SIGNAL,
	WIRE_CLOSE,
	WIRE_ACTIVE,
	WIRE_BYE,
	WIRE_AGENT,
	WIRE_FORWARD,
	WIRE_LISTEN,
	WIRE_AUTH_ASK,
	WIRE_AUTH_ANSWER,
	WIRE_WELCOME = 64,
	WIRE_AUTH_RESULT,
	WIRE_RESULT,
	WIRE_STARTED,
	WIRE_EXIT,
	WIRE_NOTICE,
	WIRE_END,
	WIRE_SOCKET,
	WIRE_BOUND,
	WIRE_FAILED,
	WIRE_INCOMING,
	WIRE_WATCH,
};

/* PARTIAL: flags are the methods that may come next. PROMPT: flags are what to ask for. */
enum wire_auth {
	WIRE_AUTH_DENIED,
	WIRE_AUTH_OK,
	WIRE_AUTH_KEY_WOULD_DO,
	WIRE_AUTH_TOO_MANY,
	WIRE_AUTH_PARTIAL,
	WIRE_AUTH_PROMPT,
	WIRE_AUTH_REFUSED, /* the credential was good, and text says why it is not enough; the end */
};

#define WIRE_PROMPT_PASSWORD (1u << 0)
#define WIRE_PROMPT_CODE (1u << 1)

/* The state a connection is in, as the monitor sees it. */
enum wire_state { WIRE_STATE_NEW, WIRE_STATE_AUTH, WIRE_STATE_OPEN, WIRE_STATE_ENDING };

/* One message, all kinds. Which fields mean something is said in the table above. */
struct wire {
	enum wire_type type;
	uint32_t channel;
	uint32_t number;
	uint32_t flags;
	char *user;
	char *text;
	uint8_t *data;
	size_t data_size;
	struct winsize size;
	int fds[WIRE_MAX_FDS]; /* owned; fd_count of them */
	size_t fd_count;
};

/* What net is told at the start: WELCOME carries it in data, by wire_welcome_pack(). */
struct wire_welcome {
	uint32_t max_auth_tries;
	uint32_t max_sessions; /* channels open at once */
	uint32_t keepalive_interval; /* seconds; 0: none */
	uint32_t keepalive_count;
	uint32_t methods; /* SSH_AUTH_METHOD_* bits to offer */
	char banner[1024];
};

void wire_init(struct wire *wire, enum wire_type type, uint32_t channel);
/* Frees, wipes data (it may be a password), closes what is still in fds. Accepts a zeroed one. */
void wire_fini(struct wire *wire);

/* Sends wire; it and its descriptors stay the caller's. 0 or negative errno. */
int wire_send(int socket, const struct wire *wire);

/* Shorthand for messages of numbers and text. */
int wire_send_simple(
	int socket, enum wire_type type, uint32_t channel, uint32_t number, const char *text);

/*
 * Receives into a fresh *ret, which the caller frees with wire_fini() when 1 was returned. flags as
 * recvmsg(2). Returns 1; 0 at the end of the stream; -EAGAIN; -EPROTO with err for a malformed one.
 */
int wire_receive(int socket, struct wire *ret, int flags, struct err *err);

/* The parser alone, for the fuzzer: no descriptors. 0 or -EPROTO. */
int wire_parse(const void *data, size_t size, struct wire *ret, struct err *err);

/* May net send this type in this state? */
bool wire_is_legal(enum wire_type type, enum wire_state state);

const char *wire_type_name(enum wire_type type);

int wire_welcome_pack(const struct wire_welcome *welcome, struct wire *ret);
int wire_welcome_unpack(const struct wire *wire, struct wire_welcome *ret);
