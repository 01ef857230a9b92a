#include "sshd/net-conn.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "sshd/net-channel.h"

#define MAX_SILENT_CHANNELS 16 /* closed by us and not yet by the client, beyond max_sessions */
#define OFFERED (SSH_AUTH_METHOD_PASSWORD | SSH_AUTH_METHOD_PUBLICKEY | SSH_AUTH_METHOD_INTERACTIVE)
#define REFUSED_STATUS 254 /* of a session that was not let start; 255 is ssh's own */

void net_conn_end(struct net_conn *conn, const char *bye)
{
	if (!conn->bye) {
		conn->bye = bye;
	}
}

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text; /* only read from, while it is being sent */
}

/* The banner may be sent once logging in has begun, and must not be sent later than that. */
static void send_banner(struct net_conn *conn)
{
	ssh_string banner = NULL;

	if (conn->sent_banner || !conn->welcome.banner[0]) {
		return;
	}
	conn->sent_banner = true;
	banner = ssh_string_from_char(conn->welcome.banner);
	if (banner) {
		(void)ssh_send_issue_banner(conn->session, banner);
		ssh_string_free(banner);
	}
}

void net_conn_set_farewell(struct net_conn *conn, const char *text)
{
	free(conn->farewell);
	conn->farewell = strdup(text);
}

/*
 * A client may know no algorithm of those that are offered, which only the operator can mend. libssh has it in words:
 * the method up to a colon, and the offers of both sides in brackets.
 */
static void note_mismatch(struct net_conn *conn, const char *message)
{
	static const char before[] = "no match for method ";
	static const char offer[] = "client [";
	const char *method = strstr(message, before);
	const char *client = method ? strstr(method, offer) : NULL;
	char text[WIRE_MAX_REASON + 1];

	if (!client || conn->mismatch) {
		return;
	}
	method += sizeof(before) - 1;
	client += sizeof(offer) - 1;
	(void)snprintf(text, sizeof(text), WIRE_BYE_MISMATCH "%.*s; the client offers %.*s",
		(int)strcspn(method, ":"), method, (int)strcspn(client, "]"), client);
	conn->mismatch = strdup(text);
}

/*
 * libssh drops a login with a bad signature, or with a key it cannot parse, without an answer and
 * without calling us: the client would wait until its time is up, and nothing would be counted. All
 * it does is log, so while logins go on that is listened to. Should the words change, the client
 * waits. In the same way it takes no notice of no-more-sessions@openssh.com, by which a client gives
 * up what somebody might do with its connection later; that it logs at a level which is quiet about
 * the bytes of sessions.
 */
static void hear_libssh(int priority, const char *function, const char *message, void *userdata)
{
	struct net_conn *conn = userdata;

	if (strcmp(function, "ssh_packet_userauth_request") == 0 &&
		strstr(message, ": Auth request for")) {
		conn->dropped_login |= conn->unanswered_login;
		conn->unanswered_login = true;
	} else if (strcmp(function, "ssh_auth_reply_default") == 0) {
		conn->unanswered_login = false;
	} else if (strcmp(function, "ssh_packet_global_request") == 0 &&
		strstr(message, "UNKNOWN SSH_MSG_GLOBAL_REQUEST no-more-sessions@openssh.com,")) {
		conn->no_more_sessions = true;
	} else if (strcmp(function, "ssh_kex_select_methods") == 0) {
		note_mismatch(conn, message);
	}
}

void net_conn_listen_to_libssh(struct net_conn *conn)
{
	if (ssh_get_log_level() != SSH_LOG_NONE) {
		return; /* debugging: a person reads it */
	}
	(void)ssh_set_log_userdata(conn);
	(void)ssh_set_log_callback(hear_libssh);
	(void)ssh_set_log_level(SSH_LOG_PACKET);
}

static void listen_less_to_libssh(void)
{
	if (ssh_get_log_callback() == hear_libssh) {
		(void)ssh_set_log_level(SSH_LOG_PROTOCOL);
	}
}

static int deny(struct net_conn *conn)
{
	conn->denied++;
	conn->unanswered_login = false;
	/* The monitor counts too, and is the one to trust; this is for when it does not answer. */
	if (conn->denied > conn->welcome.max_auth_tries * 2 + 8) {
		net_conn_end(conn, "auth tries");
	}
	return SSH_AUTH_DENIED;
}

/* Whatever comes next, the answers to an earlier question are not awaited any more. */
static void stop_asking(struct net_conn *conn)
{
	free(conn->asking);
	conn->asking = NULL;
}

/* As a banner: clients that hear a no do not wait for what is said when the connection ends. */
static void say_refusal(struct net_conn *conn, const char *reason)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "cloche: %s\n", reason);
	ssh_string banner = ssh_string_from_char(text);
	if (banner) {
		(void)ssh_send_issue_banner(conn->session, banner);
		SSH_STRING_FREE(banner);
	}
	net_conn_set_farewell(conn, reason);
}

/* The monitor takes a second name for a rule that we broke, when it is the client who did (RFC 4252, 5). */
static bool keeps_name(struct net_conn *conn, const char *user)
{
	if (!conn->user) {
		conn->user = strdup(user);
	}
	return conn->user && strcmp(conn->user, user) == 0;
}

/* Asks the monitor about a login. Once the connection is ending, everything is denied. */
static int ask_auth(struct net_conn *conn, const struct wire *request)
{
	struct wire answer;
	uint32_t result = WIRE_AUTH_DENIED;
	uint32_t flags = 0;

	conn->unanswered_login = false;
	stop_asking(conn);
	send_banner(conn);
	if (!keeps_name(conn, request->user)) {
		net_conn_set_farewell(conn, "A connection has one user name");
		net_conn_end(conn, "change of user name");
		return deny(conn);
	}
	if (net_ask(conn, request, &answer) < 0) {
		return deny(conn);
	}
	result = answer.type == WIRE_AUTH_RESULT ? answer.number : WIRE_AUTH_DENIED;
	flags = answer.flags;
	if (result == WIRE_AUTH_REFUSED) {
		say_refusal(conn, answer.text ? answer.text : "access denied");
	}
	wire_fini(&answer);
	switch (result) {
	case WIRE_AUTH_OK:
		/* To be told that a key would do is not to be logged in. */
		if (request->type != WIRE_AUTH_QUERY && request->type != WIRE_AUTH_ASK) {
			conn->authenticated = true;
			listen_less_to_libssh();
			return SSH_AUTH_SUCCESS;
		}
		break;
	case WIRE_AUTH_KEY_WOULD_DO:
		if (request->type == WIRE_AUTH_QUERY) {
			return SSH_AUTH_SUCCESS;
		}
		break;
	case WIRE_AUTH_PARTIAL:
		if (request->type != WIRE_AUTH_QUERY && request->type != WIRE_AUTH_ASK) {
			ssh_set_auth_methods(conn->session, (int)(flags & OFFERED));
			return SSH_AUTH_PARTIAL;
		}
		break;
	case WIRE_AUTH_PROMPT:
		if (request->type == WIRE_AUTH_ASK) {
			conn->prompts = flags;
			return SSH_AUTH_INFO;
		}
		break;
	case WIRE_AUTH_REFUSED:
		net_conn_end(conn, "refused");
		break;
	case WIRE_AUTH_TOO_MANY:
		net_conn_end(conn, "auth tries");
		net_conn_set_farewell(conn, "Too many authentication failures");
		break;
	default:
		break;
	}
	return deny(conn);
}

/* Sends the questions. */
static int ask_client(struct net_conn *conn, ssh_message message, const char *user)
{
	const char *prompts[2] = {NULL};
	char silent[2] = {0, 0};
	unsigned count = 0;

	if (conn->prompts & WIRE_PROMPT_PASSWORD) {
		prompts[count++] = "Password: ";
	}
	if (conn->prompts & WIRE_PROMPT_CODE) {
		prompts[count++] = "Verification code: ";
	}
	conn->asking = strdup(user);
	return conn->asking &&
			ssh_message_auth_interactive_request(
				message, "", "", count, prompts, silent) == SSH_OK
		? 0
		: 1;
}

/* The answer to the question of this place; what the client has left out is empty. */
static const char *answer_at(struct net_conn *conn, int place)
{
	const char *answer = place < ssh_userauth_kbdint_getnanswers(conn->session)
		? ssh_userauth_kbdint_getanswer(conn->session, (unsigned)place)
		: NULL;

	return answer ? answer : "";
}

static int take_answers(struct net_conn *conn)
{
	cleanup_free char *user = conn->asking;
	bool password = conn->prompts & WIRE_PROMPT_PASSWORD;
	struct wire request;

	conn->asking = NULL;
	if (!user) {
		return deny(conn); /* nobody has asked */
	}
	wire_init(&request, WIRE_AUTH_ANSWER, WIRE_NO_CHANNEL);
	request.user = user;
	/* libssh's own copies, which it wipes. */
	request.data = (uint8_t *)borrow(password ? answer_at(conn, 0) : "");
	request.data_size = strlen((const char *)request.data);
	if (conn->prompts & WIRE_PROMPT_CODE) {
		request.text = borrow(answer_at(conn, password ? 1 : 0));
	}
	return ask_auth(conn, &request);
}

int net_conn_interact(struct net_conn *conn, ssh_message message)
{
	struct wire request;
	int result = 0;

	net_conn_prepare_logins(conn);
	if (conn->authenticated || !(conn->welcome.methods & SSH_AUTH_METHOD_INTERACTIVE)) {
		(void)deny(conn);
		return 1;
	}
	if (ssh_message_auth_kbdint_is_response(message)) {
		result = take_answers(conn);
	} else {
		const char *user = ssh_message_auth_user(message);
		wire_init(&request, WIRE_AUTH_ASK, WIRE_NO_CHANNEL);
		request.user = borrow(user ? user : "");
		result = ask_auth(conn, &request);
		if (result == SSH_AUTH_INFO) {
			return ask_client(conn, message, request.user);
		}
	}
	if (result == SSH_AUTH_SUCCESS || result == SSH_AUTH_PARTIAL) {
		(void)ssh_message_auth_reply_success(message, result == SSH_AUTH_PARTIAL);
		return 0;
	}
	return 1;
}

static int auth_none(ssh_session session, const char *user, void *userdata)
{
	struct net_conn *conn = userdata;
	struct wire request;

	net_conn_prepare_logins(conn);
	wire_init(&request, WIRE_AUTH_NONE, WIRE_NO_CHANNEL);
	request.user = borrow(user);
	return ask_auth(conn, &request);
}

static int auth_password(
	ssh_session session, const char *user, const char *password, void *userdata)
{
	struct net_conn *conn = userdata;
	struct wire request;

	net_conn_prepare_logins(conn);
	if (!(conn->welcome.methods & SSH_AUTH_METHOD_PASSWORD)) {
		return deny(conn);
	}
	wire_init(&request, WIRE_AUTH_PASSWORD, WIRE_NO_CHANNEL);
	request.user = borrow(user);
	/* libssh's own copy, which it wipes; wire_send() wipes what it made of it. */
	request.data = (uint8_t *)borrow(password);
	request.data_size = strlen(password);
	return ask_auth(conn, &request);
}

/*
 * Key types whose signature proves the key and nothing more: no DSA, and nothing that has no name. Of a
 * certificate libssh has checked only that the client holds its key; whether anybody vouched for it the
 * monitor finds out.
 */
static const char *key_algorithm(ssh_key key)
{
	switch (ssh_key_type(key)) {
	case SSH_KEYTYPE_RSA:
	case SSH_KEYTYPE_ED25519:
	case SSH_KEYTYPE_SK_ED25519:
	case SSH_KEYTYPE_RSA_CERT01:
	case SSH_KEYTYPE_ECDSA_P256_CERT01:
	case SSH_KEYTYPE_ECDSA_P384_CERT01:
	case SSH_KEYTYPE_ECDSA_P521_CERT01:
	case SSH_KEYTYPE_ED25519_CERT01:
	case SSH_KEYTYPE_SK_ECDSA_CERT01:
	case SSH_KEYTYPE_SK_ED25519_CERT01:
		return ssh_key_type_to_char(ssh_key_type(key));
	case SSH_KEYTYPE_ECDSA_P256:
	case SSH_KEYTYPE_ECDSA_P384:
	case SSH_KEYTYPE_ECDSA_P521:
		return ssh_pki_key_ecdsa_name(key);
	case SSH_KEYTYPE_SK_ECDSA:
		return "sk-ecdsa-sha2-nistp256@openssh.com";
	default:
		return NULL;
	}
}

/* The key as on the wire, for the caller to free. libssh gives it only as text. */
static uint8_t *key_blob(ssh_key key, size_t *ret_size)
{
	char *base64 = NULL;
	uint8_t *blob = NULL;
	size_t length = 0;

	if (ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK) {
		return NULL;
	}
	length = strlen(base64);
	blob = malloc(length + 1);
	if (blob &&
		sodium_base642bin(blob, length, base64, length, NULL, ret_size, NULL,
			sodium_base64_VARIANT_ORIGINAL) != 0) {
		free(blob);
		blob = NULL;
	}
	ssh_string_free_char(base64);
	return blob;
}

static int auth_key(
	ssh_session session, const char *user, ssh_key key, char signature, void *userdata)
{
	struct net_conn *conn = userdata;
	const char *algorithm = key_algorithm(key);
	struct wire request;
	int result = 0;

	net_conn_prepare_logins(conn);
	if (!algorithm || !(conn->welcome.methods & SSH_AUTH_METHOD_PUBLICKEY)) {
		return deny(conn);
	}
	/* libssh has verified the signature when it says VALID, and does not call for a bad one. */
	if (signature == SSH_PUBLICKEY_STATE_VALID) {
		wire_init(&request, WIRE_AUTH_KEY, WIRE_NO_CHANNEL);
	} else if (signature == SSH_PUBLICKEY_STATE_NONE) {
		wire_init(&request, WIRE_AUTH_QUERY, WIRE_NO_CHANNEL);
	} else {
		return deny(conn);
	}
	request.user = borrow(user);
	request.text = borrow(algorithm);
	request.data = key_blob(key, &request.data_size);
	if (!request.data) {
		return deny(conn);
	}
	result = ask_auth(conn, &request);
	free(request.data);
	return result;
}

/* Asks about a channel. True when the monitor says yes; *ret_text (may be NULL) is its reason. */
static bool ask_channel(struct net_conn *conn, const struct wire *request, char **ret_text)
{
	struct wire answer;
	bool yes = false;

	if (net_ask(conn, request, &answer) < 0) {
		return false;
	}
	yes = answer.type == WIRE_RESULT && answer.number == 1;
	if (ret_text) {
		*ret_text = take_ptr(&answer.text);
	}
	wire_fini(&answer);
	return yes;
}

static int channel_pty(ssh_session session, ssh_channel ssh, const char *term, int columns,
	int rows, int x, int y, void *userdata)
{
	struct net_channel *channel = userdata;
	struct wire request;

	if (channel->started || channel->pty) {
		return -1;
	}
	net_channel_resize(channel, columns, rows, x, y);
	wire_init(&request, WIRE_PTY, channel->id);
	request.text = borrow(term);
	request.size = channel->size;
	channel->pty = ask_channel(channel->conn, &request, NULL);
	return channel->pty ? 0 : -1;
}

static int channel_window(
	ssh_session session, ssh_channel ssh, int columns, int rows, int x, int y, void *userdata)
{
	net_channel_resize(userdata, columns, rows, x, y);
	return 0;
}

static int channel_env(
	ssh_session session, ssh_channel ssh, const char *name, const char *value, void *userdata)
{
	struct net_channel *channel = userdata;
	struct wire request;

	if (channel->started) {
		return 1;
	}
	wire_init(&request, WIRE_ENV, channel->id);
	request.text = borrow(name);
	request.data = (uint8_t *)borrow(value);
	request.data_size = strlen(value);
	return ask_channel(channel->conn, &request, NULL) ? 0 : 1;
}

/*
 * Starts the session. When the monitor refuses with a reason, the request is granted all the same
 * and the session consists of that reason: a refused request would show the user nothing.
 */
static int start(struct net_channel *channel, enum wire_type type, const char *text)
{
	struct wire request, answer;
	int r = 0;

	if (channel->started) {
		return 1;
	}
	wire_init(&request, type, channel->id);
	request.text = borrow(text);
	r = net_ask(channel->conn, &request, &answer);
	if (r < 0) {
		/* A client whose request was refused might end before it is told why it must. */
		return r == -ECANCELED ? 0 : 1;
	}
	if (answer.type == WIRE_STARTED) {
		net_channel_start(channel, &answer);
	} else if (answer.type == WIRE_RESULT && answer.text[0]) {
		net_channel_refuse(channel, answer.text, REFUSED_STATUS);
	}
	wire_fini(&answer);
	return channel->started ? 0 : 1;
}

static int channel_shell(ssh_session session, ssh_channel ssh, void *userdata)
{
	return start(userdata, WIRE_SHELL, "");
}

static int channel_exec(ssh_session session, ssh_channel ssh, const char *command, void *userdata)
{
	return start(userdata, WIRE_EXEC, command);
}

static int channel_subsystem(ssh_session session, ssh_channel ssh, const char *name, void *userdata)
{
	return start(userdata, WIRE_SUBSYSTEM, name);
}

static void channel_signal(ssh_session session, ssh_channel ssh, const char *signal, void *userdata)
{
	struct net_channel *channel = userdata;

	if (channel->started && !channel->exited) {
		net_tell(channel->conn, WIRE_SIGNAL, channel->id, signal);
	}
}

/* Nobody waits for an answer to this, and a no needs none: there is no agent then. */
static void channel_agent(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct net_channel *channel = userdata;
	struct wire request;

	if (!channel->started) {
		wire_init(&request, WIRE_AGENT, channel->id);
		(void)ask_channel(channel->conn, &request, NULL);
	}
}

/* Counts what is open, and what we closed but the client has not. */
static bool has_room(const struct net_conn *conn)
{
	uint32_t open = 0;
	uint32_t silent = 0;

	for (const struct net_channel *channel = conn->channels; channel; channel = channel->next) {
		if (channel->sent_close) {
			silent++;
		} else {
			open += !channel->forward;
		}
	}
	return open < conn->welcome.max_sessions &&
		silent < conn->welcome.max_sessions + MAX_SILENT_CHANNELS;
}

static struct net_channel *add_channel(struct net_conn *conn, uint32_t id)
{
	ssh_channel ssh = ssh_channel_new(conn->session);
	struct net_channel *channel = ssh ? net_channel_add(conn, id, ssh) : NULL;

	if (!channel) {
		ssh_channel_free(ssh);
		net_conn_end(conn, "memory");
		return NULL;
	}
	channel->callbacks.channel_pty_request_function = channel_pty;
	channel->callbacks.channel_pty_window_change_function = channel_window;
	channel->callbacks.channel_env_request_function = channel_env;
	channel->callbacks.channel_shell_request_function = channel_shell;
	channel->callbacks.channel_exec_request_function = channel_exec;
	channel->callbacks.channel_subsystem_request_function = channel_subsystem;
	channel->callbacks.channel_signal_function = channel_signal;
	channel->callbacks.channel_auth_agent_req_function = channel_agent;
	ssh_callbacks_init(&channel->callbacks);
	if (ssh_set_channel_callbacks(ssh, &channel->callbacks) != SSH_OK) {
		net_conn_end(conn, "memory");
	}
	return channel;
}

/* NULL refuses the channel. */
static ssh_channel open_session(ssh_session session, void *userdata)
{
	struct net_conn *conn = userdata;
	struct net_channel *channel = NULL;
	struct wire request;

	if (conn->no_more_sessions) {
		net_conn_set_farewell(conn, "You said that there would be no more sessions");
		net_conn_end(conn, "session after the last");
		return NULL;
	}
	if (!conn->authenticated || !has_room(conn)) {
		return NULL;
	}
	wire_init(&request, WIRE_OPEN, conn->next_channel++);
	if (!ask_channel(conn, &request, NULL)) {
		return NULL;
	}
	channel = add_channel(conn, request.channel);
	return channel ? channel->ssh : NULL;
}

int net_conn_set_callbacks(struct net_conn *conn)
{
	struct ssh_server_callbacks_struct *callbacks = &conn->callbacks;

	callbacks->userdata = conn;
	callbacks->auth_none_function = auth_none;
	callbacks->auth_password_function = auth_password;
	callbacks->auth_pubkey_function = auth_key;
	callbacks->channel_open_request_session_function = open_session;
	ssh_callbacks_init(callbacks);
	net_forward_set_callbacks(conn);
	return ssh_set_server_callbacks(conn->session, callbacks) == SSH_OK ? 0 : -EINVAL;
}
