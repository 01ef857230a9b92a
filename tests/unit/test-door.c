/*
 * `why` inside a session: when a plan has it, where its socket lies, and what a session can make the
 * server do by it.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/keeper-door.h"
#include "base/cleanup.h"
#include "backends/linux/page.h"
#include "base/io.h"
#include "backends/door.h"
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

static struct plan *plan_by(
	const struct backend *backend, const char *words, bool why, uint32_t without)
{
	const struct host host = a_host();
	struct spec spec;
	struct plan *plan = NULL;
	struct err err = {0};

	planned_spec(words, &spec);
	spec.why = why;
	assert_int_equal(strv_append(&spec.env, "PATH=/usr/bin:/bin"), 0);
	/* Not backend_compile(): that asks an engine what an image's name stands for. */
	if (backend->compile(&spec, &host, without, &plan, &err) < 0) {
		fail_msg("%s, %s: %s", backend->name, words, err.msg);
	}
	spec_fini(&spec);
	return plan;
}

static struct plan *plan_of(const char *words, bool why, uint32_t without)
{
	return plan_by(&backend_native, words, why, without);
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
		"write=scope;writable=/var/run", "readable=/var/run/cloche/x",
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

static const struct backend *const foreign[] = {
	&backend_bubblewrap, &backend_docker, &backend_podman};

static bool is_told(const struct plan *plan, const char *text)
{
	cleanup_free char *json = plan_to_json(plan);

	return strstr(json, text) != NULL;
}

/* A tool binds the socket out of its own directory, read-only, for the session's user alone. */
static void a_plan_of_a_tool_has_it_in_the_tools_directory(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		const char *words = i ? "write=ephemeral" : "readable=/usr;write=ephemeral";
		cleanup(plan_freep) struct plan *with = plan_by(foreign[i], words, true, 0);
		cleanup(plan_freep) struct plan *again = plan_by(foreign[i], words, true, 0);
		cleanup(plan_freep) struct plan *without = plan_by(foreign[i], words, false, 0);
		int door = place_of(with, PLAN_MOUNT_DOOR);
		int program = place_of(with, PLAN_MOUNT_WHY);

		assert_true(door > 0 && program > 0);
		assert_string_equal(with->mounts[door].source, "{dir}/door");
		assert_string_equal(with->mounts[door].target, "/run/cloche/why");
		assert_int_equal(with->mounts[door].flags, PLAN_READ_ONLY | PLAN_USER);
		assert_int_equal(with->mounts[door].mode, 0600);
		assert_string_equal(with->mounts[program].target, "/run/cloche/bin/why");
		assert_non_null(strstr(strv_getenv(with->env, "PATH"), ":/run/cloche/bin"));
		assert_true(plan_has_caveat(with, "ipc.why_door"));
		assert_false(plan_has_caveat(with, "session.no_why"));
		assert_string_equal(with->digest, again->digest);
		assert_string_not_equal(with->digest, without->digest);
		assert_int_equal(with->uses.bits, without->uses.bits);
		/* Nobody who does not ask for it has any of it. */
		assert_false(is_told(without, "/run/cloche") || is_told(without, "why"));
		assert_int_equal(without->file_count, with->file_count - (i > 0 ? 2 : 0));
	}
	/* Where a directory of the host's is in that place, nothing is made in it. */
	cleanup(plan_freep) struct plan *profile = plan_by(&backend_docker, "", true, 0);
	cleanup(plan_freep) struct plan *hosts = plan_by(&backend_docker, "readable=/etc", true, 0);
	assert_true(is_told(profile, "/etc/profile.d/cloche-why.sh"));
	assert_true(place_of(hosts, PLAN_MOUNT_DOOR) >= 0 && !is_told(hosts, "profile.d"));
	/* /run is noexec on many hosts, which podman would keep to. */
	cleanup(plan_freep) struct plan *podman = plan_by(&backend_podman, "", true, 0);
	assert_true(is_told(podman, "target=/run/cloche/bin/why,bind-nonrecursive,readonly,exec"));
	assert_true(is_told(podman, "target=/run/cloche/why,bind-nonrecursive,readonly\""));
}

/* gVisor lets no socket in: one directory of the tool's is bound, read-only, and no file of the plan is. */
static void a_plan_of_gvisor_has_a_page(void **state)
{
	static const struct backend *const pages[] = {
		&backend_gvisor, &backend_docker_runsc, &backend_podman_runsc};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		const char *words = i ? "write=ephemeral" : "readable=/usr;write=ephemeral";
		cleanup(plan_freep) struct plan *with = plan_by(pages[i], words, true, 0);
		cleanup(plan_freep) struct plan *without = plan_by(pages[i], words, false, 0);
		int page = place_of(with, PLAN_MOUNT_PAGE);

		assert_true(page > 0);
		assert_int_equal(place_of(with, PLAN_MOUNT_DOOR), -1);
		assert_string_equal(with->mounts[page].source, "{dir}/page");
		assert_string_equal(with->mounts[page].target, "/run/cloche");
		assert_int_equal(with->mounts[page].flags, PLAN_READ_ONLY);
		assert_non_null(strstr(strv_getenv(with->env, "PATH"), ":/run/cloche/bin"));
		assert_true(is_told(with, "{dir}/page"));
		/* No more mounts than without: what gVisor of 2022 needs besides lies beside it. */
		assert_true(is_told(with, "/run/cloche/statx.so"));
		assert_true(is_told(without, "/run/cloche-statx.so"));
		assert_int_equal(with->mount_count, without->mount_count + (i > 0));
		assert_true(plan_has_caveat(with, "ipc.why_page"));
		assert_false(plan_has_caveat(with, "ipc.why_door"));
		assert_false(plan_has_caveat(with, "session.no_why"));
		assert_int_equal(with->uses.bits, without->uses.bits);
		assert_false(is_told(without, "{dir}/page"));
	}
	cleanup(plan_freep) struct plan *podman = plan_by(&backend_podman_runsc, "", true, 0);
	assert_true(is_told(podman, "target=/run/cloche,bind-nonrecursive,readonly,exec"));
	/* Whole, with or without a network's flag: no socket of the host's is let in for it. */
	cleanup(plan_freep) struct plan *gvisor = plan_by(&backend_gvisor, "", true, 0);
	assert_true(is_told(gvisor, "--host-uds=none"));
	assert_true(is_told(gvisor, "--file-access-mounts=shared"));
}

static void a_plan_without_one_says_so(void **state)
{
	static const char *const in_the_way[] = {"readable=/run",
		"write=scope;writable=/run/cloche", "write=scope;writable=/var/run",
		"refuse_on=ipc.why_door", "refuse_on=info"};
	static const struct backend *const never[] = {&backend_jail}; /* microvm: test-microvm */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(foreign) * ARRAY_SIZE(in_the_way); i++) {
		const struct backend *backend = foreign[i % ARRAY_SIZE(foreign)];
		const char *words = in_the_way[i / ARRAY_SIZE(foreign)];
		if (strstr(words, "writable") && backend == &backend_bubblewrap) {
			continue; /* as root it writes to nothing of the host's */
		}
		cleanup(plan_freep) struct plan *plan = plan_by(backend, words, true, 0);
		assert_int_equal(place_of(plan, PLAN_MOUNT_DOOR), -1);
		assert_true(plan_has_caveat(plan, "session.no_why"));
		assert_false(plan_has_caveat(plan, "ipc.why_door"));
		assert_null(strstr(strv_getenv(plan->env, "PATH"), "/run/cloche"));
	}
	static const char *const no_page[] = {
		"readable=/usr;write=scope;writable=/var/run/cloche/x", "readable=/var/run/cloche",
		"refuse_on=ipc.why_page", "readable=/usr;no_exec=yes"};
	for (size_t i = 0; i < ARRAY_SIZE(no_page); i++) {
		cleanup(plan_freep) struct plan *plan =
			plan_by(&backend_gvisor, no_page[i], true, 0);
		assert_int_equal(place_of(plan, PLAN_MOUNT_PAGE), -1);
		assert_true(plan_has_caveat(plan, "session.no_why"));
		assert_false(plan_has_caveat(plan, "ipc.why_page"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(never) * 2; i++) {
		cleanup(plan_freep) struct plan *plan =
			plan_by(never[i / 2], "write=ephemeral", i % 2, 0);
		assert_int_equal(plan_has_caveat(plan, "session.no_why"), i % 2);
		assert_int_equal(place_of(plan, PLAN_MOUNT_DOOR), -1);
		assert_null(strstr(strv_getenv(plan->env, "PATH"), "/run/cloche"));
	}
	cleanup(plan_freep) struct plan *with = plan_of("readable=/usr", true, 0);
	cleanup(plan_freep) struct plan *without = plan_of("readable=/usr;no_exec=yes", true, 0);
	cleanup(plan_freep) struct plan *unasked = plan_of("readable=/usr", false, 0);
	assert_false(plan_has_caveat(with, "session.no_why"));
	assert_true(plan_has_caveat(without, "session.no_why"));
	assert_false(plan_has_caveat(unasked, "session.no_why"));
}

/* With as many paths as bwrap can take beside each other: those come first. */
static void a_plan_that_is_full_goes_without(void **state)
{
	const struct host host = a_host();
	struct spec spec;
	int doors = 0;
	int full = 0;

	(void)state;
	planned_spec("readable=/usr", &spec);
	spec.why = true;
	for (int i = 0; i < 50; i++) {
		cleanup(plan_freep) struct plan *plan = NULL;
		struct err err = {0};

		assert_int_equal(strv_appendf(&spec.readable, "/srv/%d", i), 0);
		if (backend_bubblewrap.compile(&spec, &host, 0, &plan, &err) == 0) {
			bool door = place_of(plan, PLAN_MOUNT_DOOR) >= 0;
			assert_int_equal(plan_has_caveat(plan, "session.no_why"), !door);
			doors += door;
			full += !door;
		}
	}
	assert_true(doors > 20);
	assert_int_equal(full, 2);
	spec_fini(&spec);
}

/* ---- on the host ---- */

static unsigned mode_of(const char *path)
{
	struct stat seen;

	assert_int_equal(lstat(path, &seen), 0);
	return seen.st_mode & 07777;
}

static void its_socket_is_one_users_and_shows_nobody(void **state)
{
	char top[] = "/tmp/cloche-door-XXXXXX";
	char path[4][64];
	struct keeper_door door;
	struct err err = {0};
	struct ucred shown = {0};
	socklen_t size = sizeof(shown);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	bool root = geteuid() == 0;

	(void)state;
	assert_non_null(mkdtemp(top));
	for (int i = 0; i < 3; i++) {
		(void)snprintf(path[i], sizeof(path[i]), "%s%.*s", top, 2 * i, "/a/b");
		assert_true(i == 0 || mkdir(path[i], 0700) == 0);
	}
	(void)snprintf(path[3], sizeof(path[3]), "%s/a/b/door", top);
	cleanup_close int dir = open(path[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	keeper_door_init(&door);
	if (root) {
		door.uid = door.gid = 61234;
	}
	if (keeper_door_make(&door, dir, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	assert_int_equal(mode_of(path[3]), 0600);
	struct stat seen;
	assert_int_equal(fstat(door.place, &seen), 0);
	assert_int_equal(seen.st_uid, root ? 61234 : geteuid());
	assert_true(S_ISSOCK(seen.st_mode));
	/* What is above lets nobody through who is not meant to come by it. */
	assert_int_equal(mode_of(path[2]) | mode_of(path[1]) | mode_of(top), 0700);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path[3]);
	cleanup_close int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (const void *)&address, sizeof(address)), 0);
	/* Whoever has called listen() is gone. */
	assert_int_equal(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &shown, &size), 0);
	assert_int_not_equal(shown.pid, getpid());
	assert_true(shown.pid == 0 || (kill(shown.pid, 0) < 0 && errno == ESRCH));
	/* And a second one in its place is none. */
	struct keeper_door second;
	keeper_door_init(&second);
	assert_true(keeper_door_make(&second, dir, &err) < 0);
	assert_int_equal(second.listener, -1);
	keeper_door_fini(&door);
	assert_int_equal(unlink(path[3]), 0);
	door.passable = true;
	assert_int_equal(keeper_door_make(&door, dir, &err), 0);
	assert_int_equal(mode_of(path[3]), 0600);
	assert_int_equal(mode_of(path[2]), 0711);
	assert_int_equal(mode_of(path[1]), 0711);
	assert_int_equal(mode_of(top), 0711);
	keeper_door_fini(&door);
	assert_int_equal(unlink(path[3]), 0);
	for (int i = 2; i >= 0; i--) {
		assert_int_equal(rmdir(path[i]), 0);
	}
}

static void its_page_is_roots_and_read_only(void **state)
{
	char top[] = "/tmp/cloche-page-XXXXXX";
	char path[4][64];
	struct sandbox_door taken = {.listener = -1, .page = -1};
	struct keeper_door door;
	struct err err = {0};
	struct stat seen;

	(void)state;
	assert_non_null(mkdtemp(top));
	for (size_t i = 0; i < ARRAY_SIZE(path); i++) {
		static const char *const names[] = {"page", "page/bin", "page/why", "page/bin/why"};
		(void)snprintf(path[i], sizeof(path[i]), "%s/%s", top, names[i]);
	}
	cleanup_close int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	keeper_door_init(&door);
	door.is_page = true;
	mode_t before = umask(077);
	int r = keeper_door_make(&door, dir, &err);
	(void)umask(before);
	if (r < 0) {
		fail_msg("%s", err.msg);
	}
	assert_int_equal(mode_of(path[0]), 0755);
	assert_int_equal(mode_of(path[1]), 0755);
	assert_int_equal(mode_of(path[2]), 0444);
	assert_int_equal(mode_of(path[3]), 0555);
	assert_int_equal(mode_of(top), 0700);
	assert_int_equal(lstat(path[2], &seen), 0);
	assert_int_equal(seen.st_uid, geteuid());
	assert_int_equal(seen.st_size, sizeof(struct page));
	/* It is the caller's once. */
	keeper_door_take(&door, &taken);
	assert_true(taken.page >= 0 && taken.listener == -1 && door.page == -1);
	keeper_door_fini(&door);
	assert_true(fcntl(taken.page, F_GETFD) & FD_CLOEXEC);
	close_fdp(&taken.page);
	assert_true(keeper_door_make(&door, dir, &err) < 0);
	for (int i = 3; i >= 0; i--) {
		assert_int_equal(remove(path[(int[]){0, 1, 3, 2}[i]]), 0);
	}
	assert_int_equal(rmdir(top), 0);
}

/* ---- the door ---- */

struct world {
	char directory[32];
	struct sockaddr_un address;
	struct session_door door;
};

static int given = -1;

static void give(struct sandbox *sandbox, struct sandbox_door *ret)
{
	(void)sandbox;
	ret->listener = take_fd(&given);
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

static int given_page = -1;

static void give_page(struct sandbox *sandbox, struct sandbox_door *ret)
{
	(void)sandbox;
	ret->page = given_page;
}

static bool is_whole(const struct page *page)
{
	return page->magic == PAGE_MAGIC && page->size <= sizeof(page->text) &&
		page->sum ==
		page_seal(page_sum(PAGE_SUM, page->text, page->size), page->serial, page->size);
}

static void a_page_is_written_once_a_second(void **state)
{
	static const struct backend fake = {.take_door = give_page};
	static char much[2 * PAGE_TEXT];
	cleanup_close int reader = -1;
	struct session_door door = {0};
	struct page page;
	uint64_t now = 5000000;

	(void)state;
	given_page = memfd_create("page", MFD_CLOEXEC);
	assert_true(given_page >= 0);
	reader = fcntl(given_page, F_DUPFD_CLOEXEC, 3);
	door_open(&door, &fake, NULL);
	assert_true(door.open && door_is_due(&door, now));
	assert_true(door_deadline(&door, now) <= now);
	assert_int_equal(door_poll(&door, now).fd, -1);
	assert_true(door_accept(&door, now));
	door_tell(&door, "told\n", 5);
	assert_true(pread(reader, &page, sizeof(page), 0) > 5);
	assert_true(is_whole(&page));
	assert_int_equal(page.serial, 1);
	assert_int_equal(page.size, 5);
	assert_memory_equal(page.text, "told\n", 5);
	/* Half of another one is seen. */
	page.text[1] = 'x';
	assert_false(is_whole(&page));
	page.text[1] = 'o';
	page.serial++;
	assert_false(is_whole(&page));
	assert_false(door_accept(&door, now + 999999) || door_is_due(&door, now + 999999));
	assert_int_equal(door_deadline(&door, now + 1), now + 1000000);
	assert_true(door_accept(&door, now + 1000000));
	/* What is longer than can be is cut, and nothing is written behind the page. */
	memset(much, 'm', sizeof(much));
	door_tell(&door, much, sizeof(much));
	assert_int_equal(pread(reader, &page, sizeof(page), 0), sizeof(page));
	assert_true(is_whole(&page) && page.serial == 2 && page.size == PAGE_TEXT);
	assert_int_equal(lseek(reader, 0, SEEK_END), sizeof(page));
	door_close(&door);
	assert_false(door.open);
	assert_true(fcntl(given_page, F_GETFD) < 0);
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
		cmocka_unit_test(a_plan_of_a_tool_has_it_in_the_tools_directory),
		cmocka_unit_test(a_plan_of_gvisor_has_a_page),
		cmocka_unit_test(a_plan_without_one_says_so),
		cmocka_unit_test(a_plan_that_is_full_goes_without),
		cmocka_unit_test(its_socket_is_one_users_and_shows_nobody),
		cmocka_unit_test(its_page_is_roots_and_read_only),
		cmocka_unit_test_setup_teardown(
			who_asks_is_told_and_the_next_one_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_descriptors_there_is_a_pause_too, set_up, tear_down),
		cmocka_unit_test(a_page_is_written_once_a_second),
		cmocka_unit_test(one_that_is_not_there_does_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
