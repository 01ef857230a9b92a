/*
 * A shared sandbox: commands that join it see each other and nothing of the host, each confined as
 * one alone is, and sockets made in its network for somebody outside.
 */
#include "tests/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/image.h"
#include "base/io.h"

struct world {
	struct host host;
	struct spec spec;
	struct plan *plan;
	struct sandbox *sandbox;
};

static struct plan *compile(struct world *world, const char *script)
{
	struct plan *plan = NULL;
	struct err err = {0};

	world->spec.args = strv_free(world->spec.args);
	assert_int_equal(strv_append(&world->spec.args, "/bin/sh"), 0);
	assert_int_equal(strv_append(&world->spec.args, "-c"), 0);
	assert_int_equal(strv_append(&world->spec.args, script), 0);
	if (backend_native.compile(&world->spec, &world->host, 0, &plan, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	return plan;
}

static int set_up(void **state)
{
	static struct world world;
	struct err err = {0};

	world = (struct world){0};
	assert_int_equal(host_probe(&world.host, &err), 0);
	spec_init(&world.spec);
	world.spec.share = SHARE_CONNECTION;
	world.spec.write = WRITE_EPHEMERAL;
	assert_int_equal(strv_append(&world.spec.readable, "/usr"), 0);
	world.plan = compile(&world, "unused");
	if (backend_native.start(world.plan, &world.host, NULL, &world.sandbox, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	backend_native.destroy(world->sandbox);
	world->plan = plan_free(world->plan);
	spec_fini(&world->spec);
	return 0;
}

/* Joins a shell; its output can be read from *ret_output. */
static struct sandbox *join(struct world *world, const char *script, int *ret_output)
{
	struct plan *plan = compile(world, script);
	struct sandbox *joined = NULL;
	struct err err = {0};
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	const struct sandbox_stdio io = {.fds = {-1, pipes[1], pipes[1]}};
	int r = backend_native.join(world->sandbox, plan, &io, &joined, &err);
	(void)close(pipes[1]);
	plan_free(plan);
	if (r < 0) {
		(void)close(pipes[0]);
		fail_msg("%s", err.msg);
	}
	*ret_output = pipes[0];
	return joined;
}

static int await_exit(struct sandbox *joined)
{
	struct sandbox_exit ended = {0};

	for (int i = 0; i < 100; i++) {
		struct pollfd wait = {.fd = joined->event, .events = POLLIN};
		int r = joined->backend->poll_exit(joined, &ended);
		if (r != 0) {
			return r < 0 ? r : ended.status;
		}
		(void)poll(&wait, 1, 100);
	}
	return -ETIMEDOUT;
}

/* Runs one to its end. Returns its wait status; text gets what it wrote. */
static int run(struct world *world, const char *script, char *text, size_t size)
{
	int output = -1;
	struct sandbox *joined = join(world, script, &output);
	cleanup_free char *data = NULL;
	size_t length = 0;

	assert_int_equal(io_read_fd(output, 1 << 16, &data, &length), 0);
	(void)snprintf(text, size, "%s", data);
	(void)close(output);
	int status = await_exit(joined);
	joined->backend->destroy(joined);
	return status;
}

static void what_joins_gets_its_own_exit_status(void **state)
{
	char text[512];
	int status = run(*state, "echo one; exit 7", text, sizeof(text));

	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_string_equal(text, "one\n");
	status = run(*state, "kill -USR1 $$", text, sizeof(text));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
}

static void what_joins_meets_what_joined_before(void **state)
{
	struct world *world = *state;
	char text[512];
	int output = -1;

	assert_int_equal(run(world, "echo kept >/tmp/note", text, sizeof(text)), 0);
	struct sandbox *first = join(world, "echo $$; sleep 1000", &output);
	char line[32] = "";
	assert_true(read(output, line, sizeof(line) - 1) > 0);
	char script[128];
	(void)snprintf(
		script, sizeof(script), "cat /tmp/note; kill -TERM %d && echo met", atoi(line));
	assert_int_equal(run(world, script, text, sizeof(text)), 0);
	assert_string_equal(text, "kept\nmet\n");
	int status = await_exit(first);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	first->backend->destroy(first);
	(void)close(output);
}

static void what_joins_is_confined_like_one_alone(void **state)
{
	static const char script[] = "grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "
				     "/proc/self/status; ls -l /proc/self/fd | grep -c -- '->'; "
				     "unshare -U true 2>/dev/null || echo no userns; "
				     "cat /proc/1/environ 2>/dev/null || echo no init; "
				     "kill -9 1 2>/dev/null; readlink /proc/1/exe || echo no exe";
	char text[1024];

	(void)run(*state, script, text, sizeof(text));
	assert_non_null(strstr(text, "Uid:\t1000\t1000\t1000\t1000"));
	assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(text, "CapBnd:\t0000000000000000"));
	assert_non_null(strstr(text, "NoNewPrivs:\t1"));
	assert_non_null(strstr(text, "Seccomp:\t2"));
	assert_non_null(strstr(text, "\n4\n")); /* 0, 1, 2 and the directory itself */
	assert_non_null(strstr(text, "no userns"));
	assert_non_null(strstr(text, "no init"));
	assert_non_null(strstr(text, "no exe"));
}

static void closing_one_ends_it_and_no_other(void **state)
{
	struct world *world = *state;
	char text[256];
	int first_output = -1;
	int second_output = -1;
	struct sandbox *first = join(world, "echo $$; sleep 1000", &first_output);
	struct sandbox *second = join(world, "echo $$; sleep 1000", &second_output);
	char line[32] = "";

	assert_true(read(first_output, line, sizeof(line) - 1) > 0);
	first->backend->destroy(first);
	/* Its output ends when the last of its process group has ended. */
	assert_int_equal(read(first_output, line, sizeof(line)), 0);
	assert_true(read(second_output, line, sizeof(line) - 1) > 0);
	assert_int_equal(
		run(world, "while ! pgrep -x sleep >/dev/null; do :; done; pgrep -xc sleep", text,
			sizeof(text)),
		0);
	assert_string_equal(text, "1\n");
	assert_int_equal(second->backend->signal(second, SIGKILL), 0);
	int status = await_exit(second);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	second->backend->destroy(second);
	(void)close(first_output);
	(void)close(second_output);
}

static void a_command_that_is_not_there_is_said_and_frees_its_place(void **state)
{
	struct world *world = *state;
	const struct sandbox_stdio io = {.fds = {-1, -1, -1}};
	char text[64];

	for (int i = 0; i < IMAGE_MAX_JOINED + 10; i++) {
		struct plan *plan = compile(world, "true");
		struct sandbox *joined = NULL;
		struct err err = {0};
		free(plan->argv[0]);
		plan->argv[0] = strdup("/no/such/program");
		int r = backend_native.join(world->sandbox, plan, &io, &joined, &err);
		plan_free(plan);
		assert_int_equal(r, -ENOENT);
		assert_non_null(strstr(err.msg, "/no/such/program"));
	}
	assert_int_equal(run(world, "true", text, sizeof(text)), 0);
}

static void a_terminal_comes_with_its_size(void **state)
{
	struct world *world = *state;
	struct plan *plan = compile(world, "stty size; tty");
	const struct sandbox_stdio io = {.pty = true, .size = {33, 99, 0, 0}};
	struct sandbox *joined = NULL;
	struct err err = {0};
	char text[256] = "";
	size_t used = 0;

	assert_int_equal(backend_native.join(world->sandbox, plan, &io, &joined, &err), 0);
	plan_free(plan);
	assert_int_equal(await_exit(joined), 0);
	for (ssize_t n = 1; n > 0 && used<sizeof(text) - 1; used += n> 0 ? (size_t)n : 0) {
		n = read(joined->pty, text + used, sizeof(text) - 1 - used);
	}
	assert_non_null(strstr(text, "33 99"));
	assert_non_null(strstr(text, "/dev/pts/"));
	joined->backend->destroy(joined);
}

/* The answer to open_socket(), as backend_take_socket() gives it. */
static int ask_socket(struct world *world, enum sandbox_socket kind, const void *address,
	socklen_t size, int *ret_fd)
{
	struct err err = {0};
	cleanup_close int event = -1;
	int r = backend_native.open_socket(
		world->sandbox, world->plan, kind, address, size, &event, &err);

	for (int i = 0; r == 0 && i < 100; i++) {
		struct pollfd wait = {.fd = event, .events = POLLIN};
		(void)poll(&wait, 1, 100);
		r = backend_take_socket(event, ret_fd);
	}
	return r;
}

static struct sockaddr_in loopback(in_port_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void sockets_reach_the_sandbox_s_network_and_not_the_host_s(void **state)
{
	struct world *world = *state;
	cleanup_close int outside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cleanup_close int inside = -1;
	cleanup_close int client = -1;
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof(address);
	char text[64] = "";

	/* The same port on the host: whoever reached it would be seen. */
	assert_int_equal(bind(outside, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(outside, 8), 0);
	assert_int_equal(getsockname(outside, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(ask_socket(world, SANDBOX_CONNECT, &address, sizeof(address), &client),
		-ECONNREFUSED);
	assert_int_equal(ask_socket(world, SANDBOX_LISTEN, &address, sizeof(address), &inside), 1);
	assert_int_equal(ask_socket(world, SANDBOX_CONNECT, &address, sizeof(address), &client), 1);
	cleanup_close int server = accept4(inside, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	assert_int_equal(write(server, "inside", 6), 6);
	assert_int_equal(read(client, text, sizeof(text)), 6);
	assert_string_equal(text, "inside");
	struct pollfd wait = {.fd = outside, .events = POLLIN};
	assert_int_equal(poll(&wait, 1, 0), 0);
}

static void a_private_socket_is_for_the_session_s_user(void **state)
{
	struct world *world = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/agent-0123/socket"};
	cleanup_close int listener = -1;
	char text[256];

	assert_int_equal(
		ask_socket(world, SANDBOX_LISTEN_PRIVATE, &address, sizeof(address), &listener), 1);
	assert_int_equal(run(world, "stat -c '%a %U %F' /tmp/agent-0123 /tmp/agent-0123/socket",
				 text, sizeof(text)),
		0);
	assert_string_equal(text, "700 user directory\n600 user socket\n");
	/* A name that is taken is not taken over. */
	cleanup_close int again = -1;
	assert_int_equal(
		ask_socket(world, SANDBOX_LISTEN_PRIVATE, &address, sizeof(address), &again),
		-EEXIST);
}

static void a_malformed_address_is_refused(void **state)
{
	struct world *world = *state;
	unsigned char bytes[200] = {0};
	cleanup_close int fd = -1;

	assert_int_equal(ask_socket(world, SANDBOX_CONNECT, bytes, 1, &fd), -EINVAL);
	assert_int_equal(ask_socket(world, SANDBOX_CONNECT, bytes, sizeof(bytes), &fd), -EINVAL);
	assert_true(ask_socket(world, SANDBOX_CONNECT, bytes, 16, &fd) < 0);
	struct sockaddr_un bare = {.sun_family = AF_UNIX, .sun_path = "socket"};
	assert_int_equal(
		ask_socket(world, SANDBOX_LISTEN_PRIVATE, &bare, sizeof(bare), &fd), -EINVAL);
}

/* What measures and runs plans need not know that they are shared. */
static void a_shared_plan_can_be_started_with_its_one_command(void **state)
{
	struct world *world = *state;
	struct plan *plan = compile(world, "test -e /tmp/note || exit 5");
	const struct sandbox_stdio io = {.fds = {-1, -1, -1}};
	struct sandbox *sandbox = NULL;
	struct sandbox_usage usage = {0};
	struct err err = {0};
	char text[64];

	assert_int_equal(run(world, "touch /tmp/note", text, sizeof(text)), 0);
	assert_int_equal(backend_native.start(plan, &world->host, &io, &sandbox, &err), 0);
	plan_free(plan);
	int status = await_exit(sandbox);
	backend_native.usage(sandbox, &usage);
	backend_native.destroy(sandbox);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	assert_true(usage.cpu_usec > 0 || world->host.cgroup[CGROUP_CPU].version == 0);
}

/*
 * Between its change of identity and its exec what joins is the session's user already, and can be stopped
 * by a program inside; cloche-init waits for that exec, and would keep no time limit while it does. The
 * sandbox must not outlive such a trick.
 */
static void who_stops_what_joins_loses_the_sandbox(void **state)
{
	struct world *world = *state;
	const struct sandbox_stdio io = {.fds = {-1, -1, -1}};
	struct plan *plan = compile(world, "true");
	struct sandbox *joined = NULL;
	struct err err = {0};
	int output = -1;
	struct sandbox *attacker =
		join(world, "while :; do kill -STOP -1; done 2>/dev/null", &output);
	int r = 0;

	for (int i = 0; i < 200 && r == 0; i++) {
		r = backend_native.join(world->sandbox, plan, &io, &joined, &err);
		if (r == 0) {
			/* Stopped too late: it had been executed. */
			joined->backend->destroy(joined);
		}
	}
	plan_free(plan);
	assert_int_equal(r, -ETIMEDOUT);
	struct pollfd gone = {.fd = world->sandbox->pidfd, .events = POLLIN};
	assert_int_equal(poll(&gone, 1, 5000), 1);
	char byte = 0;
	assert_int_equal(read(output, &byte, 1), 0);
	attacker->backend->destroy(attacker);
	(void)close(output);
}

static void there_is_an_end_to_what_can_join(void **state)
{
	struct world *world = *state;
	struct sandbox *joined[IMAGE_MAX_JOINED] = {0};
	const struct sandbox_stdio io = {.fds = {-1, -1, -1}};
	struct plan *plan = compile(world, "exec sleep 1000");
	struct sandbox *one_more = NULL;
	struct err err = {0};
	char text[64];

	for (size_t i = 0; i < IMAGE_MAX_JOINED; i++) {
		assert_int_equal(
			backend_native.join(world->sandbox, plan, &io, &joined[i], &err), 0);
	}
	assert_int_equal(backend_native.join(world->sandbox, plan, &io, &one_more, &err), -EAGAIN);
	plan_free(plan);
	for (size_t i = 0; i < IMAGE_MAX_JOINED; i++) {
		joined[i]->backend->destroy(joined[i]);
	}
	assert_int_equal(run(world, "true", text, sizeof(text)), 0);
}

int main(void)
{
	struct host host;
	struct err err = {0};
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(what_joins_gets_its_own_exit_status),
		CASE(what_joins_meets_what_joined_before),
		CASE(what_joins_is_confined_like_one_alone),
		CASE(closing_one_ends_it_and_no_other),
		CASE(a_command_that_is_not_there_is_said_and_frees_its_place),
		CASE(a_terminal_comes_with_its_size),
		CASE(sockets_reach_the_sandbox_s_network_and_not_the_host_s),
		CASE(a_private_socket_is_for_the_session_s_user),
		CASE(a_malformed_address_is_refused),
		CASE(a_shared_plan_can_be_started_with_its_one_command),
		CASE(there_is_an_end_to_what_can_join),
		CASE(who_stops_what_joins_loses_the_sandbox),
	};

	if (host_probe(&host, &err) < 0 || backend_native.probe(&host, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
