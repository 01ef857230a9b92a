/*
 * The layout of a message, all numbers little-endian:
 *
 *	type channel number flags rows columns xpixel ypixel fd_count	nine u32
 *	user text data							three blobs
 *
 * Every field is always there, and what a type does not use must be empty: so there is one parser,
 * one form of each message, and nothing that could be smuggled in a field nobody looks at.
 */
#include "sshd/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/io.h"

#define HAS_CHANNEL (1u << 0)
#define HAS_NUMBER (1u << 1)
#define HAS_FLAGS (1u << 2)
#define HAS_SIZE (1u << 3)
#define HAS_USER (1u << 4)
#define HAS_DATA (1u << 5)
#define SOCKET_FDS 2 /* one for either direction, so that each can be closed by itself */

#define IN_NEW (1u << WIRE_STATE_NEW)
#define IN_AUTH (1u << WIRE_STATE_AUTH)
#define IN_OPEN (1u << WIRE_STATE_OPEN)
#define IN_ENDING (1u << WIRE_STATE_ENDING)
#define IN_ANY (IN_NEW | IN_AUTH | IN_OPEN | IN_ENDING)

/* What each type may carry, and in which states net may send it (0: the monitor's to send). */
static const struct {
	enum wire_type type;
	const char *name;
	unsigned states;
	unsigned fields;
	uint32_t max_text;
	uint32_t max_fds;
} types[] = {
	{WIRE_HELLO, "HELLO", IN_NEW, 0, 255, 0},
	{WIRE_KEX, "KEX", IN_NEW | IN_AUTH, 0, 255, 0},
	{WIRE_AUTH_NONE, "AUTH_NONE", IN_AUTH, HAS_USER, 0, 0},
	{WIRE_AUTH_QUERY, "AUTH_QUERY", IN_AUTH, HAS_USER | HAS_DATA, 255, 0},
	{WIRE_AUTH_KEY, "AUTH_KEY", IN_AUTH, HAS_USER | HAS_DATA, 255, 0},
	{WIRE_AUTH_PASSWORD, "AUTH_PASSWORD", IN_AUTH, HAS_USER | HAS_DATA, 0, 0},
	{WIRE_OPEN, "OPEN", IN_OPEN, HAS_CHANNEL, 0, 0},
	{WIRE_ENV, "ENV", IN_OPEN, HAS_CHANNEL | HAS_DATA, WIRE_MAX_COMMAND, 0},
	{WIRE_PTY, "PTY", IN_OPEN, HAS_CHANNEL | HAS_SIZE, 255, 0},
	{WIRE_SHELL, "SHELL", IN_OPEN, HAS_CHANNEL, 0, 0},
	{WIRE_EXEC, "EXEC", IN_OPEN, HAS_CHANNEL, WIRE_MAX_COMMAND, 0},
	{WIRE_SUBSYSTEM, "SUBSYSTEM", IN_OPEN, HAS_CHANNEL, 255, 0},
	{WIRE_SIGNAL, "SIGNAL", IN_OPEN | IN_ENDING, HAS_CHANNEL, 32, 0},
	{WIRE_CLOSE, "CLOSE", IN_OPEN | IN_ENDING, HAS_CHANNEL, 0, 0},
	{WIRE_ACTIVE, "ACTIVE", IN_OPEN | IN_ENDING, HAS_CHANNEL, 0, 0},
	{WIRE_BYE, "BYE", IN_ANY, 0, WIRE_MAX_REASON, 0},
	{WIRE_AGENT, "AGENT", IN_OPEN, HAS_CHANNEL, 0, 0},
	{WIRE_FORWARD, "FORWARD", IN_OPEN, HAS_CHANNEL | HAS_NUMBER, 255, 0},
	{WIRE_LISTEN, "LISTEN", IN_OPEN, HAS_CHANNEL | HAS_NUMBER, 255, 0},
	{WIRE_AUTH_ASK, "AUTH_ASK", IN_AUTH, HAS_USER, 0, 0},
	{WIRE_AUTH_ANSWER, "AUTH_ANSWER", IN_AUTH, HAS_USER | HAS_DATA, WIRE_MAX_CODE, 0},
	{WIRE_WELCOME, "WELCOME", 0, HAS_DATA, 0, 0},
	{WIRE_AUTH_RESULT, "AUTH_RESULT", 0, HAS_NUMBER | HAS_FLAGS, 255, 0},
	{WIRE_RESULT, "RESULT", 0, HAS_CHANNEL | HAS_NUMBER, 4096, 0},
	{WIRE_STARTED, "STARTED", 0, HAS_CHANNEL | HAS_NUMBER, 255, WIRE_MAX_FDS},
	{WIRE_EXIT, "EXIT", 0, HAS_CHANNEL | HAS_NUMBER | HAS_FLAGS, 32, 0},
	{WIRE_NOTICE, "NOTICE", 0, HAS_CHANNEL, 4096, 0},
	{WIRE_END, "END", 0, 0, 4096, 0},
	{WIRE_SOCKET, "SOCKET", 0, HAS_CHANNEL, 0, SOCKET_FDS},
	{WIRE_BOUND, "BOUND", 0, HAS_CHANNEL | HAS_NUMBER, 0, 0},
	{WIRE_FAILED, "FAILED", 0, HAS_CHANNEL, 255, 0},
	{WIRE_INCOMING, "INCOMING", 0, HAS_CHANNEL | HAS_NUMBER | HAS_FLAGS, 255, SOCKET_FDS},
	{WIRE_WATCH, "WATCH", 0, HAS_CHANNEL, 0, 1},
};

static ssize_t find_type(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if ((uint32_t)types[i].type == type) {
			return (ssize_t)i;
		}
	}
	return -1;
}

const char *wire_type_name(enum wire_type type)
{
	ssize_t i = find_type(type);

	return i < 0 ? "?" : types[i].name;
}

bool wire_is_legal(enum wire_type type, enum wire_state state)
{
	ssize_t i = find_type(type);

	return i >= 0 && (types[i].states & (1u << state)) != 0;
}

void wire_init(struct wire *wire, enum wire_type type, uint32_t channel)
{
	*wire = (struct wire){.type = type, .channel = channel, .fds = {-1, -1, -1}};
}

void wire_fini(struct wire *wire)
{
	free(wire->user);
	free(wire->text);
	if (wire->data) {
		explicit_bzero(wire->data, wire->data_size);
		free(wire->data);
	}
	if (wire->fd_count > 0) {
		/* A session's, where nobody took them: what it sent to its agent is in there. */
		io_close_hostile(wire->fds, wire->fd_count);
	}
	*wire = (struct wire){.fds = {-1, -1, -1}};
}

static bool size_is_zero(const struct winsize *size)
{
	return !size->ws_row && !size->ws_col && !size->ws_xpixel && !size->ws_ypixel;
}

static bool is_longer(const char *text, size_t max)
{
	return text && strnlen(text, max + 1) > max;
}

/* Is this a message of its type: nothing in unused fields, nothing too long, descriptors right? */
static bool is_sound(const struct wire *wire)
{
	ssize_t i = find_type(wire->type);
	unsigned fields = i < 0 ? 0 : types[i].fields;
	bool has_channel = wire->channel != WIRE_NO_CHANNEL;

	if (i < 0 || is_longer(wire->text, types[i].max_text) ||
		is_longer(wire->user, WIRE_MAX_USER) || wire->fd_count > types[i].max_fds) {
		return false;
	}
	/* STARTED says by its number how many it brings: a terminal, or three pipes. */
	if (wire->type == WIRE_STARTED && wire->fd_count != (wire->number == 1 ? 1u : 3u)) {
		return false;
	}
	if ((wire->type == WIRE_SOCKET || wire->type == WIRE_INCOMING) &&
		wire->fd_count != SOCKET_FDS) {
		return false;
	}
	if (wire->type == WIRE_WATCH && wire->fd_count != 1) {
		return false;
	}
	/* A type without a channel may say either 0 or "none". */
	return (fields & HAS_CHANNEL ? has_channel : !has_channel || wire->channel == 0) &&
		(!wire->number || (fields & HAS_NUMBER)) &&
		(!wire->flags || (fields & HAS_FLAGS)) &&
		(size_is_zero(&wire->size) || (fields & HAS_SIZE)) &&
		(!wire->user || !wire->user[0] || (fields & HAS_USER)) &&
		(!wire->data_size || (fields & HAS_DATA));
}

static void put_header(struct buf *buf, const struct wire *wire)
{
	buf_put_u32(buf, wire->type);
	buf_put_u32(buf, wire->channel);
	buf_put_u32(buf, wire->number);
	buf_put_u32(buf, wire->flags);
	buf_put_u32(buf, wire->size.ws_row);
	buf_put_u32(buf, wire->size.ws_col);
	buf_put_u32(buf, wire->size.ws_xpixel);
	buf_put_u32(buf, wire->size.ws_ypixel);
	buf_put_u32(buf, (uint32_t)wire->fd_count);
}

int wire_send(int socket, const struct wire *wire)
{
	cleanup(buf_wipe) struct buf buf = {0}; /* may hold a password */

	if (!is_sound(wire)) {
		return -EINVAL;
	}
	put_header(&buf, wire);
	buf_put_string(&buf, wire->user);
	buf_put_string(&buf, wire->text);
	buf_put_blob(&buf, wire->data, wire->data_size);
	if (buf.failed) {
		return -ENOMEM;
	}
	if (buf.size > WIRE_MAX) {
		return -EMSGSIZE;
	}
	return io_send(socket, buf.data, buf.size, wire->fds, wire->fd_count);
}

int wire_send_simple(
	int socket, enum wire_type type, uint32_t channel, uint32_t number, const char *text)
{
	struct wire wire;

	wire_init(&wire, type, channel);
	wire.number = number;
	/* Only read from; the cast spares a copy. */
	wire.text = (char *)(uintptr_t)text;
	return wire_send(socket, &wire);
}

/* A number of at most 16 bits, as struct winsize holds. */
static unsigned short get_short(struct reader *reader)
{
	uint32_t value = reader_u32(reader);

	if (value > UINT16_MAX) {
		reader->failed = true;
		return 0;
	}
	return (unsigned short)value;
}

static int get_data(struct reader *reader, struct wire *ret)
{
	size_t size = 0;
	const void *data = reader_blob(reader, &size);

	if (!data || size == 0) {
		return 0;
	}
	ret->data = malloc(size);
	if (!ret->data) {
		return -ENOMEM;
	}
	memcpy(ret->data, data, size);
	ret->data_size = size;
	return 0;
}

/* Parses all of it; *ret_fds is how many descriptors the sender says came along. */
static int parse(struct reader *reader, struct wire *ret, uint32_t *ret_fds)
{
	uint32_t type = reader_u32(reader);
	ssize_t i = find_type(type);
	int r = 0;

	if (i < 0) {
		return -EPROTO;
	}
	wire_init(ret, types[i].type, reader_u32(reader));
	ret->number = reader_u32(reader);
	ret->flags = reader_u32(reader);
	ret->size.ws_row = get_short(reader);
	ret->size.ws_col = get_short(reader);
	ret->size.ws_xpixel = get_short(reader);
	ret->size.ws_ypixel = get_short(reader);
	*ret_fds = reader_u32(reader);
	ret->user = reader_string(reader, WIRE_MAX_USER);
	ret->text = reader_string(reader, types[i].max_text);
	r = get_data(reader, ret);
	if (r < 0) {
		return r;
	}
	return reader_done(reader) && ret->user && ret->text ? 0 : -EPROTO;
}

/* Takes over the descriptors that came along, also on failure. */
static int parse_message(const void *data, size_t size, const int fds[WIRE_MAX_FDS],
	size_t fd_count, struct wire *ret, struct err *err)
{
	struct reader reader = {.data = data, .left = size};
	uint32_t said = 0;
	int r = 0;

	wire_init(ret, 0, WIRE_NO_CHANNEL);
	r = parse(&reader, ret, &said);
	memcpy(ret->fds, fds, sizeof(ret->fds));
	ret->fd_count = fd_count;
	if (r == 0 && (said != fd_count || !is_sound(ret))) {
		r = -EPROTO;
	}
	if (r < 0) {
		enum wire_type type = ret->type;
		wire_fini(ret);
		return err_refuse(err, -r, "a message of %zu bytes (%s) is malformed", size,
			wire_type_name(type));
	}
	return 0;
}

int wire_parse(const void *data, size_t size, struct wire *ret, struct err *err)
{
	const int none[WIRE_MAX_FDS] = {-1, -1, -1};

	return parse_message(data, size, none, 0, ret, err);
}

int wire_receive(int socket, struct wire *ret, int flags, struct err *err)
{
	/* Static, because 64 KiB of stack would cost every idle connection its pages. */
	static uint8_t data[WIRE_MAX];
	int fds[WIRE_MAX_FDS] = {-1, -1, -1};
	size_t count = 0;
	ssize_t n = io_receive(socket, data, sizeof(data), fds, WIRE_MAX_FDS, &count, flags);
	int r = 0;

	if (n == 0 || n == -EAGAIN) {
		return (int)n;
	}
	if (n == -EMSGSIZE || n == -EMFILE) {
		return err_refuse(
			err, EPROTO, "a message is too long or brings too many descriptors");
	}
	if (n < 0) {
		return err_set(err, (int)-n, "receiving a message");
	}
	r = parse_message(data, (size_t)n, fds, count, ret, err);
	explicit_bzero(data, (size_t)n);
	return r < 0 ? r : 1;
}

int wire_welcome_pack(const struct wire_welcome *welcome, struct wire *ret)
{
	struct buf buf = {0};

	wire_init(ret, WIRE_WELCOME, WIRE_NO_CHANNEL);
	buf_put_u32(&buf, welcome->max_auth_tries);
	buf_put_u32(&buf, welcome->max_sessions);
	buf_put_u32(&buf, welcome->keepalive_interval);
	buf_put_u32(&buf, welcome->keepalive_count);
	buf_put_u32(&buf, welcome->methods);
	buf_put_blob(&buf, welcome->banner, strnlen(welcome->banner, sizeof(welcome->banner) - 1));
	if (buf.failed) {
		buf_fini(&buf);
		return -ENOMEM;
	}
	ret->data = buf.data;
	ret->data_size = buf.size;
	return 0;
}

int wire_welcome_unpack(const struct wire *wire, struct wire_welcome *ret)
{
	struct reader reader = {.data = wire->data, .left = wire->data_size};
	struct wire_welcome welcome = {0};
	cleanup_free char *banner = NULL;

	if (wire->type != WIRE_WELCOME) {
		return -EPROTO;
	}
	welcome.max_auth_tries = reader_u32(&reader);
	welcome.max_sessions = reader_u32(&reader);
	welcome.keepalive_interval = reader_u32(&reader);
	welcome.keepalive_count = reader_u32(&reader);
	welcome.methods = reader_u32(&reader);
	banner = reader_string(&reader, sizeof(welcome.banner) - 1);
	if (!reader_done(&reader) || !banner) {
		return -EPROTO;
	}
	memcpy(welcome.banner, banner, strlen(banner) + 1);
	*ret = welcome;
	return 0;
}
