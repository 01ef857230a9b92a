/*
 * Net's questions to the monitor, which is this test: an answer finds its question, what is said
 * meanwhile is kept, and after the monitor's END nobody waits for an answer that cannot come.
 */
#include "tests/test.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sshd/net-conn.h"

#define AT_ONCE_USEC 5000000 /* an answer that does not come is waited for much longer */

struct world {
	struct net_conn conn;
	int monitor;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	int pair[2];

	assert_non_null(world);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	world->conn.monitor = pair[0];
	world->conn.inbox_end = &world->conn.inbox;
	world->monitor = pair[1];
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct wire wire;

	while (net_next_message(&world->conn, &wire)) {
		wire_fini(&wire);
	}
	close_fdp(&world->conn.monitor);
	close_fdp(&world->monitor);
	free(world);
	return 0;
}

static void say(struct world *world, enum wire_type type, uint32_t channel, const char *text)
{
	assert_int_equal(wire_send_simple(world->monitor, type, channel, 0, text), 0);
}

static int ask(struct world *world, struct wire *ret_answer)
{
	struct wire request;

	wire_init(&request, WIRE_OPEN, 0);
	return net_ask(&world->conn, &request, ret_answer);
}

static void an_answer_is_found_behind_what_else_is_said(void **state)
{
	struct world *world = *state;
	struct wire wire;

	say(world, WIRE_NOTICE, 0, "a notice");
	say(world, WIRE_RESULT, 0, NULL);
	assert_int_equal(ask(world, &wire), 0);
	assert_int_equal(wire.type, WIRE_RESULT);
	wire_fini(&wire);
	assert_true(net_next_message(&world->conn, &wire));
	assert_int_equal(wire.type, WIRE_NOTICE);
	wire_fini(&wire);
}

/* libssh hands over all the requests that came in one read: the first is answered by END, the rest never. */
static void nobody_waits_after_the_end(void **state)
{
	struct world *world = *state;
	uint64_t began = io_now_usec();
	struct wire wire;

	say(world, WIRE_END, WIRE_NO_CHANNEL, "too many requests were refused");
	assert_int_equal(ask(world, &wire), -ECANCELED);
	assert_int_equal(ask(world, &wire), -ECANCELED);
	assert_null(net_await_about(&world->conn, 7, UINT64_C(120000000)));
	assert_true(io_now_usec() < began + AT_ONCE_USEC);
	/* What the client is told is still there, and nothing has ended the connection for another reason. */
	assert_null(world->conn.bye);
	assert_true(net_next_message(&world->conn, &wire));
	assert_string_equal(wire.text, "too many requests were refused");
	wire_fini(&wire);
}

/* Seen by the loop before anybody asked. */
static void nobody_asks_after_the_end(void **state)
{
	struct world *world = *state;
	uint64_t began = io_now_usec();
	struct wire wire;

	say(world, WIRE_END, WIRE_NO_CHANNEL, "idle");
	net_collect(&world->conn);
	assert_int_equal(ask(world, &wire), -ECANCELED);
	assert_true(io_now_usec() < began + AT_ONCE_USEC);
	assert_int_equal(recv(world->monitor, &(char){0}, 1, MSG_DONTWAIT), -1);
}

static void a_monitor_that_is_gone_ends_the_connection(void **state)
{
	struct world *world = *state;
	struct wire wire;

	close_fdp(&world->monitor);
	assert_true(ask(world, &wire) < 0);
	assert_string_equal(world->conn.bye, "monitor gone");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_answer_is_found_behind_what_else_is_said),
		CASE(nobody_waits_after_the_end),
		CASE(nobody_asks_after_the_end),
		CASE(a_monitor_that_is_gone_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
