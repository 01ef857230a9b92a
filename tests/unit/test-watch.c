/*
 * The records a watcher hears, and net's side of it: a copy for those who keep up, a count for
 * those who do not, and nothing that the session has to wait for.
 */
#include "tests/test.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sshd/net-watch.h"
#include "sshd/watch.h"

struct world {
	struct net_conn conn;
	struct net_channel channel;
	int ends[NET_ALL_WATCHERS + 1]; /* the watchers' */
	size_t count;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->channel.conn = &world->conn;
	world->channel.pty = true;
	world->channel.size = (struct winsize){.ws_row = 50, .ws_col = 132};
	world->conn.channels = &world->channel;
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	net_watch_end(&world->channel);
	for (size_t i = 0; i < world->count; i++) {
		close_fdp(&world->ends[i]);
	}
	assert_int_equal(world->conn.watchers, 0);
	free(world);
	return 0;
}

/* Somebody who watches; the watcher's end. */
static int add(struct world *world)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(world->count < ARRAY_SIZE(world->ends));
	world->ends[world->count++] = pair[1];
	net_watch_add(&world->channel, pair[0]);
	return pair[1];
}

static uint8_t packet[WATCH_RECORD_MAX];

/* 1 and *ret; 0: nothing is there; -EPIPE: the end. */
static int hear(int end, struct watch_record *ret)
{
	ssize_t n = io_receive(end, packet, sizeof(packet), NULL, 0, NULL, MSG_DONTWAIT);

	if (n == -EAGAIN || n == 0) {
		return n ? 0 : -EPIPE;
	}
	assert_true(n > 0);
	assert_int_equal(watch_parse(packet, (size_t)n, ret), 0);
	return 1;
}

static void expect_kind(int end, enum watch_kind kind)
{
	struct watch_record record;

	assert_int_equal(hear(end, &record), 1);
	assert_int_equal(record.kind, kind);
}

static void a_watcher_hears_size_output_and_end(void **state)
{
	struct world *world = *state;
	struct watch_record record;
	int end = add(world);

	assert_int_equal(hear(end, &record), 1);
	assert_int_equal(record.kind, WATCH_SIZE);
	assert_int_equal(record.size.ws_row, 50);
	assert_int_equal(record.size.ws_col, 132);
	net_watch_copy(&world->channel, "hello", 5);
	assert_int_equal(hear(end, &record), 1);
	assert_int_equal(record.kind, WATCH_DATA);
	assert_int_equal(record.data_size, 5);
	assert_memory_equal(record.data, "hello", 5);
	world->channel.size.ws_col = 300;
	net_watch_resize(&world->channel);
	assert_int_equal(hear(end, &record), 1);
	assert_int_equal(record.size.ws_col, 300);
	net_watch_end(&world->channel);
	expect_kind(end, WATCH_END);
	assert_int_equal(hear(end, &record), -EPIPE);
}

static void who_does_not_keep_up_loses_output_and_learns_how_much(void **state)
{
	static uint8_t data[100000];
	struct world *world = *state;
	struct watch_record record;
	uint64_t heard = 0;
	uint64_t lost = 0;
	int slow = add(world);
	int r = 0;

	expect_kind(slow, WATCH_SIZE);
	assert_int_equal(net_watch_timeout(&world->channel), -1);
	for (int i = 0; i < 100; i++) {
		net_watch_copy(&world->channel, data, sizeof(data));
	}
	assert_true(net_watch_timeout(&world->channel) > 0);
	net_watch_catch_up(&world->channel);
	while ((r = hear(slow, &record)) > 0) {
		heard += record.kind == WATCH_DATA ? record.data_size : 0;
		lost += record.lost;
	}
	assert_true(heard > 0 && heard < 100 * sizeof(data));
	net_watch_catch_up(&world->channel);
	assert_int_equal(net_watch_timeout(&world->channel), -1);
	while (hear(slow, &record) > 0) {
		assert_int_equal(record.kind, WATCH_LOST);
		lost += record.lost;
	}
	assert_int_equal(heard + lost, 100 * sizeof(data));
	/* And from there on it goes on. */
	net_watch_copy(&world->channel, "on", 2);
	expect_kind(slow, WATCH_DATA);
}

static void there_are_only_so_many_and_who_has_left_makes_room(void **state)
{
	struct world *world = *state;
	struct watch_record record;

	for (size_t i = 0; i < NET_WATCHERS; i++) {
		expect_kind(add(world), WATCH_SIZE);
	}
	int late = add(world);
	expect_kind(late, WATCH_FULL);
	assert_int_equal(hear(late, &record), -EPIPE);
	assert_int_equal(world->conn.watchers, NET_WATCHERS);
	close_fdp(&world->ends[0]);
	expect_kind(add(world), WATCH_SIZE);
	close_fdp(&world->ends[1]);
	net_watch_copy(&world->channel, "x", 1);
	assert_int_equal(world->conn.watchers, NET_WATCHERS - 1);
}

static void forwardings_and_what_is_over_cannot_be_watched(void **state)
{
	struct world *world = *state;

	world->channel.forward = true;
	expect_kind(add(world), WATCH_END);
	world->channel.forward = false;
	world->channel.sent_close = true;
	expect_kind(add(world), WATCH_END);
	world->channel.sent_close = false;
	world->channel.pty = false;
	int end = add(world);
	net_watch_copy(&world->channel, "x", 1);
	expect_kind(end, WATCH_DATA);
}

static void what_is_no_record_is_refused(void **state)
{
	static const struct {
		size_t size;
		uint8_t bytes[12];
	} rows[] = {{0, ""}, {1, "S"}, {4, "S123"}, {6, "S12345"}, {1, "D"}, {1, "L"},
		{8, "L1234567"}, {10, "L123456789"}, {2, "E1"}, {2, "F1"}, {1, "x"}, {1, {0}}};
	struct watch_record record;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(watch_parse(rows[i].bytes, rows[i].size, &record), -EPROTO);
	}
	packet[0] = 'D';
	assert_int_equal(watch_parse(packet, WATCH_RECORD_MAX, &record), 0);
	assert_int_equal(watch_parse(packet, WATCH_RECORD_MAX + 1, &record), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_watcher_hears_size_output_and_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			who_does_not_keep_up_loses_output_and_learns_how_much, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			there_are_only_so_many_and_who_has_left_makes_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			forwardings_and_what_is_over_cannot_be_watched, set_up, tear_down),
		cmocka_unit_test(what_is_no_record_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
