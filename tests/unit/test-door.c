/*
 * `why` inside a session: when a plan has it, and what a session can make the server do by it.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/backend.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "session/door.h"
#include "tests/unit/planned.h"

static struct host a_host(void)
{
	return (struct host){.root = true,
		.user_namespaces = true,
		.proc_mountable = true,
		.overlay = true,
		.id_base = 65536 * 8,
		.id_count = 65536 * 16,
		.landlock_abi = 7};
}

static struct plan *plan_of(const char *words, bool why, uint32_t without)
{
	const struct host host = a_host();
	struct spec spec;
	struct plan *plan = NULL;
	struct err err = {0};

	planned_spec(words, &spec);
	spec.why = why;
	assert_int_equal(strv_append(&spec.env, "PATH=/usr/bin:/bin"), 0);
	if (backend_compile(&backend_native, &spec, &host, without, &plan, &err) < 0) {
		fail_msg("%s: %s", words, err.msg);
	}
	spec_fini(&spec);
	return plan;
}

/* The place of a mount of this kind, or -1. */
static int place_of(const struct plan *plan, enum plan_mount_kind kind)
{
	for (size_t i = 0; i < plan->mount_count; i++) {
		if (plan->mounts[i].kind == kind) {
			return (int)i;
		}
	}
	return -1;
}

static void a_plan_has_it_where_the_server_asks(void **state)
{
	cleanup(plan_freep) struct plan *with = plan_of("readable=/usr;write=ephemeral", true, 0);
	cleanup(plan_freep) struct plan *without =
		plan_of("readable=/usr;write=ephemeral", false, 0);
	cleanup(plan_freep) struct plan *broad = plan_of("write=ephemeral", true, 0);
	cleanup_free char *json = plan_to_json(with);

	(void)state;
	assert_true(plan_has_caveat(with, "ipc.why_door"));
	assert_false(plan_has_caveat(without, "ipc.why_door"));
	assert_int_equal(place_of(without, PLAN_MOUNT_DOOR), -1);
	assert_int_equal(place_of(without, PLAN_MOUNT_WHY), -1);
	assert_string_equal(strv_getenv(without->env, "PATH"), "/usr/bin:/bin");
	int door = place_of(with, PLAN_MOUNT_DOOR);
	int program = place_of(with, PLAN_MOUNT_WHY);
	assert_true(door > 0 && program > 0);
	assert_string_equal(with->mounts[door].target, "/run/cloche/why");
	assert_string_equal(with->mounts[program].target, "/run/cloche/bin/why");
	assert_string_equal(strv_getenv(with->env, "PATH"), "/usr/bin:/bin:/run/cloche/bin");
	/* It is printed, hashed, and takes no promise away. */
	assert_non_null(strstr(json, "\"kind\":\"door\""));
	assert_string_not_equal(with->digest, without->digest);
	assert_int_equal(with->uses.bits, without->uses.bits);
	assert_true(place_of(broad, PLAN_MOUNT_DOOR) > 0);
}

static void a_plan_goes_without_where_it_would_be_in_the_way(void **state)
{
	static const char *const rows[] = {"readable=/usr;no_exec=yes", "readable=/run",
		"readable=/run/cloche/x", "write=scope;writable=/run/cloche",
		"write=scope;writable=/run", "read_deny=/run",
		"readable=/usr;refuse_on=ipc.why_door", "write=ephemeral;refuse_on=ipc.*",
		"readable=/usr;write=ephemeral;home=/run/cloche/home"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = plan_of(rows[i], true, 0);
		if (place_of(plan, PLAN_MOUNT_DOOR) >= 0 || place_of(plan, PLAN_MOUNT_WHY) >= 0) {
			fail_msg("%s has a door", rows[i]);
		}
	}
	cleanup(plan_freep) struct plan *bare = plan_of("readable=/usr", true, PLAN_LAYER_MOUNT);
	assert_int_equal(place_of(bare, PLAN_MOUNT_DOOR), -1);
}

/* Other backends have none, and say so where a server asks for it; and so does native without. */
static void a_plan_without_one_says_so(void **state)
{
	const struct host host = a_host();
	struct spec spec;
	struct err err = {0};

	(void)state;
	planned_spec("readable=/usr;write=ephemeral", &spec);
	for (int why = 0; why <= 1; why++) {
		struct plan *plan = NULL;
		spec.why = why;
		assert_int_equal(
			backend_compile(&backend_bubblewrap, &spec, &host, 0, &plan, &err), 0);
		assert_int_equal(plan_has_caveat(plan, "session.no_why"), why);
		assert_int_equal(place_of(plan, PLAN_MOUNT_DOOR), -1);
		assert_null(strstr(strv_getenv(plan->env, "PATH"), "/run/cloche"));
		plan_free(plan);
	}
	spec_fini(&spec);
	cleanup(plan_freep) struct plan *with = plan_of("readable=/usr", true, 0);
	cleanup(plan_freep) struct plan *without = plan_of("readable=/usr;no_exec=yes", true, 0);
	cleanup(plan_freep) struct plan *unasked = plan_of("readable=/usr", false, 0);
	assert_false(plan_has_caveat(with, "session.no_why"));
	assert_true(plan_has_caveat(without, "session.no_why"));
	assert_false(plan_has_caveat(unasked, "session.no_why"));
}

/* ---- the door ---- */

struct world {
	char directory[32];
	struct sockaddr_un address;
	struct session_door door;
};

static int given = -1;

static int give(struct sandbox *sandbox)
{
	(void)sandbox;
	return take_fd(&given);
}

static int set_up(void **state)
{
	static const struct backend fake = {.take_door = give};
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	(void)snprintf(world->directory, sizeof(world->directory), "/tmp/cloche-door-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	world->address.sun_family = AF_UNIX;
	(void)snprintf(world->address.sun_path, sizeof(world->address.sun_path), "%s/why",
		world->directory);
	given = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(given, (void *)&world->address, sizeof(world->address)), 0);
	assert_int_equal(listen(given, 4), 0);
	door_open(&world->door, &fake, NULL);
	assert_true(world->door.open);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	door_close(&world->door);
	assert_int_equal(unlink(world->address.sun_path), 0);
	assert_int_equal(rmdir(world->directory), 0);
	free(world);
	return 0;
}

static int ask(const struct world *world)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (const void *)&world->address, sizeof(world->address)), 0);
	return fd;
}

static void who_asks_is_told_and_the_next_one_waits(void **state)
{
	struct world *world = *state;
	uint64_t now = 5000000;
	char text[16] = "";
	cleanup_close int first = ask(world);
	cleanup_close int second = ask(world);

	assert_int_equal(door_poll(&world->door, now).fd, world->door.listener);
	assert_true(door_accept(&world->door, now));
	door_tell(&world->door, "told\n", 5);
	assert_int_equal(read(first, text, sizeof(text)), 5);
	assert_string_equal(text, "told\n");
	assert_int_equal(read(first, text, sizeof(text)), 0);
	/* As long as the first has not hung up, nobody is served; what it says is not heard. */
	(void)send(first, "more", 4, MSG_NOSIGNAL);
	assert_int_equal(door_poll(&world->door, now).fd, world->door.peer);
	assert_int_equal(door_poll(&world->door, now).events, 0);
	assert_false(door_accept(&world->door, now + 100000000));
	close_fdp(&first);
	/* And then not before a second has passed. */
	assert_false(door_accept(&world->door, now + 999999));
	assert_int_equal(door_poll(&world->door, now + 999999).fd, -1);
	assert_int_equal(door_deadline(&world->door, now + 999999), now + 1000000);
	assert_true(door_accept(&world->door, now + 1000000));
	door_tell(&world->door, "again", 5);
	assert_int_equal(read(second, text, sizeof(text)), 5);
}

/* Who waits there cannot be let in, and poll() would say that it waits, without end. */
static void without_descriptors_there_is_a_pause_too(void **state)
{
	struct world *world = *state;
	struct rlimit before;
	uint64_t now = 5000000;
	cleanup_close int client = ask(world);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	bool accepted = door_accept(&world->door, now);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(accepted);
	assert_int_equal(door_poll(&world->door, now).fd, -1);
	assert_int_equal(door_deadline(&world->door, now), now + 1000000);
	assert_true(door_accept(&world->door, now + 1000000));
	/* And with nobody there, none: whoever comes is let in at once. */
	close_fdp(&client);
	assert_false(door_accept(&world->door, now + 3000000));
	assert_int_equal(door_poll(&world->door, now + 3000000).fd, world->door.listener);
}

static void one_that_is_not_there_does_nothing(void **state)
{
	static const struct backend none = {.take_door = NULL};
	struct session_door door = {0};

	(void)state;
	door_open(&door, &none, NULL);
	assert_false(door.open);
	assert_int_equal(door_poll(&door, 1).fd, -1);
	assert_true(door_deadline(&door, 1) == UINT64_MAX);
	assert_false(door_accept(&door, 1));
	door_close(&door);
	/* Zero is standard input, and still is. */
	assert_true(fcntl(0, F_GETFD) >= 0 || errno != EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_has_it_where_the_server_asks),
		cmocka_unit_test(a_plan_goes_without_where_it_would_be_in_the_way),
		cmocka_unit_test(a_plan_without_one_says_so),
		cmocka_unit_test_setup_teardown(
			who_asks_is_told_and_the_next_one_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_descriptors_there_is_a_pause_too, set_up, tear_down),
		cmocka_unit_test(one_that_is_not_there_does_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
