#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "sshd/wire.h"
#include "tests/test.h"

/* Writable, because the fields of a message are; at file scope, so that they stay. */
#define TEXT(text) ((char[]){text})
#define BYTES(text) ((uint8_t[]){text})

static int make_pair(void **state)
{
	int *pair = malloc(2 * sizeof(int));

	*state = pair;
	return pair && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 ? 0 : -1;
}

static int close_pair(void **state)
{
	int *pair = *state;

	(void)close(pair[0]);
	(void)close(pair[1]);
	free(pair);
	return 0;
}

static struct {
	const char *name;
	struct wire wire;
} samples[] = {
	{"HELLO", {.type = WIRE_HELLO, .channel = WIRE_NO_CHANNEL, .text = TEXT("OpenSSH_9.2")}},
	{"KEX", {.type = WIRE_KEX, .channel = WIRE_NO_CHANNEL, .text = TEXT("a b c")}},
	{"AUTH_NONE", {.type = WIRE_AUTH_NONE, .channel = WIRE_NO_CHANNEL, .user = TEXT("u")}},
	{"AUTH_QUERY",
		{.type = WIRE_AUTH_QUERY,
			.channel = WIRE_NO_CHANNEL,
			.user = TEXT("u"),
			.text = TEXT("ssh-ed25519"),
			.data = BYTES("\0\1\2"),
			.data_size = 3}},
	{"AUTH_PASSWORD",
		{.type = WIRE_AUTH_PASSWORD,
			.channel = WIRE_NO_CHANNEL,
			.user = TEXT("u"),
			.data = BYTES("secret"),
			.data_size = 6}},
	{"AUTH_ASK", {.type = WIRE_AUTH_ASK, .channel = WIRE_NO_CHANNEL, .user = TEXT("u")}},
	{"AUTH_ANSWER",
		{.type = WIRE_AUTH_ANSWER,
			.channel = WIRE_NO_CHANNEL,
			.user = TEXT("u"),
			.text = TEXT("123456"),
			.data = BYTES("secret"),
			.data_size = 6}},
	{"OPEN", {.type = WIRE_OPEN, .channel = 0}},
	{"PTY",
		{.type = WIRE_PTY,
			.channel = 7,
			.text = TEXT("xterm"),
			.size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 65535}}},
	{"EXEC", {.type = WIRE_EXEC, .channel = 1, .text = TEXT("echo \xff")}},
	{"RESULT", {.type = WIRE_RESULT, .channel = 1, .number = 1}},
	{"EXIT", {.type = WIRE_EXIT, .channel = 3, .number = 7, .flags = 1, .text = TEXT("KILL")}},
	{"END", {.type = WIRE_END, .channel = WIRE_NO_CHANNEL, .text = TEXT("enough")}},
};

static void every_type_comes_back_as_it_was_sent(void **state)
{
	int *pair = *state;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct wire *sent = &samples[i].wire;
		struct wire got;
		struct err err = {0};
		print_message("%s\n", samples[i].name);
		assert_string_equal(wire_type_name(sent->type), samples[i].name);
		assert_int_equal(wire_send(pair[0], sent), 0);
		assert_int_equal(wire_receive(pair[1], &got, 0, &err), 1);
		assert_int_equal(got.type, sent->type);
		assert_int_equal(got.channel, sent->channel);
		assert_int_equal(got.number, sent->number);
		assert_int_equal(got.flags, sent->flags);
		assert_string_equal(got.user, sent->user ? sent->user : "");
		assert_string_equal(got.text, sent->text ? sent->text : "");
		assert_int_equal(got.data_size, sent->data_size);
		assert_true(!sent->data_size || memcmp(got.data, sent->data, sent->data_size) == 0);
		assert_memory_equal(&got.size, &sent->size, sizeof(got.size));
		wire_fini(&got);
	}
}

static void started_brings_the_descriptors_it_says(void **state)
{
	static const struct {
		uint32_t number;
		size_t fds;
		int expected;
	} rows[] = {{1, 1, 0}, {0, 3, 0}, {1, 3, -EINVAL}, {0, 0, -EINVAL}, {0, 1, -EINVAL}};
	int *pair = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct wire wire, got;
		struct err err = {0};
		wire_init(&wire, WIRE_STARTED, 5);
		wire.number = rows[i].number;
		for (size_t j = 0; j < rows[i].fds; j++) {
			wire.fds[wire.fd_count++] = open("/dev/null", O_RDWR | O_CLOEXEC);
		}
		assert_int_equal(wire_send(pair[0], &wire), rows[i].expected);
		if (rows[i].expected == 0) {
			assert_int_equal(wire_receive(pair[1], &got, 0, &err), 1);
			assert_int_equal(got.fd_count, rows[i].fds);
			for (size_t j = 0; j < got.fd_count; j++) {
				assert_int_equal(fcntl(got.fds[j], F_GETFD), FD_CLOEXEC);
			}
			wire_fini(&got);
		}
		wire_fini(&wire);
	}
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++) {
		count += fcntl(fd, F_GETFD) >= 0;
	}
	return count;
}

/* The kernel tells the sender of the unread one of a reset before what the other end has left. */
static void what_was_said_arrives_though_something_lay_unread(void **state)
{
	int *pair = *state;
	struct wire got;
	struct err err = {0};

	assert_int_equal(wire_send_simple(pair[1], WIRE_HELLO, WIRE_NO_CHANNEL, 0, "unread"), 0);
	assert_int_equal(wire_send_simple(pair[0], WIRE_BYE, WIRE_NO_CHANNEL, 0, "the end"), 0);
	(void)close(pair[0]);
	pair[0] = -1;
	assert_int_equal(wire_receive(pair[1], &got, 0, &err), 1);
	assert_string_equal(got.text, "the end");
	wire_fini(&got);
	assert_int_equal(wire_receive(pair[1], &got, 0, &err), 0);
}

static void descriptors_nobody_asked_for_are_refused_and_closed(void **state)
{
	int *pair = *state;
	struct wire got;
	struct err err = {0};
	uint8_t bytes[9 * 4 + 3 * 4] = {0};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int before = open_descriptors();

	bytes[0] = WIRE_SHELL;
	assert_int_equal(io_send(pair[0], bytes, sizeof(bytes), NULL, 0), 0);
	assert_int_equal(wire_receive(pair[1], &got, 0, &err), 1);
	wire_fini(&got);
	assert_int_equal(io_send(pair[0], bytes, sizeof(bytes), &fd, 1), 0);
	assert_int_equal(wire_receive(pair[1], &got, 0, &err), -EPROTO);
	bytes[8 * 4] = 1; /* even when the message admits to it */
	assert_int_equal(io_send(pair[0], bytes, sizeof(bytes), &fd, 1), 0);
	assert_int_equal(wire_receive(pair[1], &got, 0, &err), -EPROTO);
	assert_int_equal(open_descriptors(), before);
	(void)close(fd);
}

static struct {
	const char *name;
	struct wire wire;
} unsound[] = {
	{"text in SHELL", {.type = WIRE_SHELL, .text = TEXT("x")}},
	{"user in EXEC", {.type = WIRE_EXEC, .user = TEXT("root")}},
	{"data in OPEN", {.type = WIRE_OPEN, .data = BYTES("x"), .data_size = 1}},
	{"size in SHELL", {.type = WIRE_SHELL, .size = {.ws_row = 1}}},
	{"number in CLOSE", {.type = WIRE_CLOSE, .number = 1}},
	{"flags in OPEN", {.type = WIRE_OPEN, .flags = 1}},
	{"channel in BYE", {.type = WIRE_BYE, .channel = 5}},
	{"no channel in OPEN", {.type = WIRE_OPEN, .channel = WIRE_NO_CHANNEL}},
	{"unknown type", {.type = 99}},
};

static void fields_a_type_does_not_use_must_be_empty(void **state)
{
	int *pair = *state;

	for (size_t i = 0; i < ARRAY_SIZE(unsound); i++) {
		print_message("%s\n", unsound[i].name);
		assert_int_equal(wire_send(pair[0], &unsound[i].wire), -EINVAL);
	}
}

static void lengths_are_bounded(void **state)
{
	int *pair = *state;
	char *text = malloc(WIRE_MAX_COMMAND + 2);
	char user[WIRE_MAX_USER + 2];
	struct wire wire;

	assert_non_null(text);
	memset(text, 'x', WIRE_MAX_COMMAND + 1);
	text[WIRE_MAX_COMMAND + 1] = '\0';
	memset(user, 'u', sizeof(user) - 1);
	user[sizeof(user) - 1] = '\0';
	assert_int_equal(wire_send_simple(pair[0], WIRE_EXEC, 0, 0, text), -EINVAL);
	text[WIRE_MAX_COMMAND] = '\0';
	assert_int_equal(wire_send_simple(pair[0], WIRE_EXEC, 0, 0, text), 0);
	assert_int_equal(wire_send_simple(pair[0], WIRE_PTY, 0, 0, text), -EINVAL);
	wire_init(&wire, WIRE_AUTH_NONE, WIRE_NO_CHANNEL);
	wire.user = user;
	assert_int_equal(wire_send(pair[0], &wire), -EINVAL);
	free(text);
}

static void strings_with_a_nul_inside_are_refused(void **state)
{
	uint8_t bytes[9 * 4 + 3 * 4 + 3] = {WIRE_EXEC};
	struct wire got;
	struct err err = {0};

	bytes[9 * 4 + 4] = 3;
	memcpy(bytes + 9 * 4 + 8, "abc", 3);
	assert_int_equal(wire_parse(bytes, sizeof(bytes), &got, &err), 0);
	assert_string_equal(got.text, "abc");
	wire_fini(&got);
	bytes[9 * 4 + 9] = 0;
	assert_int_equal(wire_parse(bytes, sizeof(bytes), &got, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "malformed"));
}

static void garbage_and_the_end_are_told_apart(void **state)
{
	int *pair = *state;
	struct wire got;
	struct err err = {0};

	assert_int_equal(wire_receive(pair[1], &got, MSG_DONTWAIT, &err), -EAGAIN);
	assert_int_equal(io_send(pair[0], "garbage", 7, NULL, 0), 0);
	assert_int_equal(wire_receive(pair[1], &got, 0, &err), -EPROTO);
	assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
	assert_int_equal(wire_receive(pair[1], &got, 0, &err), 0);
}

static void only_the_states_in_the_table_permit_a_type(void **state)
{
	static const struct {
		enum wire_type type;
		const char *states; /* new auth open ending */
	} rows[] = {
		{WIRE_HELLO, "y---"},
		{WIRE_KEX, "yy--"},
		{WIRE_AUTH_NONE, "-y--"},
		{WIRE_AUTH_QUERY, "-y--"},
		{WIRE_AUTH_KEY, "-y--"},
		{WIRE_AUTH_PASSWORD, "-y--"},
		{WIRE_OPEN, "--y-"},
		{WIRE_ENV, "--y-"},
		{WIRE_PTY, "--y-"},
		{WIRE_SHELL, "--y-"},
		{WIRE_EXEC, "--y-"},
		{WIRE_SUBSYSTEM, "--y-"},
		{WIRE_SIGNAL, "--yy"},
		{WIRE_CLOSE, "--yy"},
		{WIRE_ACTIVE, "--yy"},
		{WIRE_BYE, "yyyy"},
		{WIRE_AGENT, "--y-"},
		{WIRE_FORWARD, "--y-"},
		{WIRE_LISTEN, "--y-"},
		{WIRE_AUTH_ASK, "-y--"},
		{WIRE_AUTH_ANSWER, "-y--"},
		{WIRE_SOCKET, "----"},
		{WIRE_BOUND, "----"},
		{WIRE_FAILED, "----"},
		{WIRE_INCOMING, "----"},
		{WIRE_WATCH, "----"},
		/* the monitor's own: never net's to send */
		{WIRE_WELCOME, "----"},
		{WIRE_AUTH_RESULT, "----"},
		{WIRE_STARTED, "----"},
		{WIRE_EXIT, "----"},
		{WIRE_END, "----"},
		{(enum wire_type)99, "----"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned s = WIRE_STATE_NEW; s <= WIRE_STATE_ENDING; s++) {
			print_message("%s in state %u\n", wire_type_name(rows[i].type), s);
			assert_int_equal(wire_is_legal(rows[i].type, (enum wire_state)s),
				rows[i].states[s] == 'y');
		}
	}
}

static void a_welcome_round_trips(void **state)
{
	struct wire_welcome sent = {.max_auth_tries = 6,
		.max_sessions = 10,
		.keepalive_interval = 15,
		.keepalive_count = 3,
		.methods = 6};
	struct wire_welcome got = {0};
	struct wire wire;

	memset(sent.banner, 'b', sizeof(sent.banner) - 1);
	assert_int_equal(wire_welcome_pack(&sent, &wire), 0);
	assert_int_equal(wire_welcome_unpack(&wire, &got), 0);
	assert_memory_equal(&got, &sent, sizeof(got));
	wire.data_size--;
	assert_int_equal(wire_welcome_unpack(&wire, &got), -EPROTO);
	wire_fini(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			every_type_comes_back_as_it_was_sent, make_pair, close_pair),
		cmocka_unit_test_setup_teardown(
			started_brings_the_descriptors_it_says, make_pair, close_pair),
		cmocka_unit_test_setup_teardown(
			what_was_said_arrives_though_something_lay_unread, make_pair, close_pair),
		cmocka_unit_test_setup_teardown(
			descriptors_nobody_asked_for_are_refused_and_closed, make_pair, close_pair),
		cmocka_unit_test_setup_teardown(
			fields_a_type_does_not_use_must_be_empty, make_pair, close_pair),
		cmocka_unit_test_setup_teardown(lengths_are_bounded, make_pair, close_pair),
		cmocka_unit_test(strings_with_a_nul_inside_are_refused),
		cmocka_unit_test_setup_teardown(
			garbage_and_the_end_are_told_apart, make_pair, close_pair),
		cmocka_unit_test(only_the_states_in_the_table_permit_a_type),
		cmocka_unit_test(a_welcome_round_trips),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
