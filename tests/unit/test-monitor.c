/*
 * The monitor against a net process that is this test, with a backend that confines nothing: what
 * is tested is who may do what, when, and what is said and left behind.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "keys/password.h"
#include "sshd/monitor.h"
#include "sshd/wire.h"

/* ---- a backend without walls ---- */

/* A tool that is not there any more says so when it is started; sessions do not ask before. */
static bool probe_would_refuse;

static int fake_probe(const struct host *host, struct err *err)
{
	return probe_would_refuse ? err_refuse(err, ENOTSUP, "asked again") : 0;
}

static int fake_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;

	assert_int_equal(plan_new("fake", &plan), 0);
	plan->executable_here = true;
	plan->uses = spec_capabilities(spec);
	assert_int_equal(strv_copy(spec->args, &plan->argv), 0);
	assert_int_equal(spec_environment(spec, &plan->env), 0);
	assert_int_equal(plan_seal(plan), 0);
	*ret_plan = take_ptr(&plan);
	return 0;
}

static int fake_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err)
{
	extern const struct backend fake;
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));

	assert_non_null(sandbox);
	sandbox->backend = &fake;
	sandbox->pidfd = proc_spawn(plan->argv, plan->env, io->fds, &sandbox->pid);
	if (sandbox->pidfd < 0) {
		int code = -sandbox->pidfd;
		free(sandbox);
		return err_set(err, code, "starting %s", plan->argv[0]);
	}
	sandbox->event = sandbox->pidfd;
	sandbox->pty = -1;
	*ret_sandbox = sandbox;
	return 0;
}

static int fake_signal(struct sandbox *sandbox, int signo)
{
	return proc_signal(sandbox->pidfd, signo);
}

static int fake_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret)
{
	return proc_wait(sandbox->pidfd, 0, &ret->status) == 0;
}

static void fake_usage(struct sandbox *sandbox, struct sandbox_usage *ret)
{
	*ret = (struct sandbox_usage){.memory_peak = 4096, .pids_peak = 1};
}

static void fake_destroy(struct sandbox *sandbox)
{
	int status = 0;

	(void)proc_signal(sandbox->pidfd, SIGKILL);
	(void)proc_wait(sandbox->pidfd, 1000, &status);
	(void)close(sandbox->pidfd);
	free(sandbox);
}

extern const struct backend fake;
const struct backend fake = {
	.name = "fake",
	.summary = "confines nothing",
	.enforces = {UINT64_MAX},
	.probe = fake_probe,
	.compile = fake_compile,
	.start = fake_start,
	.signal = fake_signal,
	.poll_exit = fake_poll_exit,
	.usage = fake_usage,
	.destroy = fake_destroy,
};
static const struct backend *const fakes[] = {&fake, NULL};

/* ---- the rest of a server ---- */

struct fixture {
	char directory[64];
	char keys[96], audit_path[96];
	char password[PASSWORD_LINE_SIZE];
	uint8_t blob[51];
	struct config_profile profile;
	struct config_user users[3];
	struct config config;
	struct host host;
	struct session_gate gate;
	struct audit audit;
	struct limits *limits;
	int net, client;
	char *log;
	bool killable;
	bool tcp; /* the client's connection is a real one */
	pid_t monitor;
};

static char *all_kinds[] = {(char[]){"shell"}, (char[]){"exec"}, (char[]){"sftp"}, NULL};
static char *accept_env[] = {(char[]){"LANG"}, NULL};

/* Configurations own their texts; these are never freed. */
static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* A made-up Ed25519 key: its signature is net's business. */
static void make_key(struct fixture *fixture)
{
	static const uint8_t head[] = "\0\0\0\x0bssh-ed25519\0\0\0\x20";
	char text[128];
	char line[512];

	memcpy(fixture->blob, head, 19);
	memset(fixture->blob + 19, 7, 32);
	(void)sodium_bin2base64(text, sizeof(text), fixture->blob, sizeof(fixture->blob),
		sodium_base64_VARIANT_ORIGINAL);
	(void)snprintf(line, sizeof(line), "ssh-ed25519 %s test\n", text);
	int fd = open(fixture->keys, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, line, strlen(line)), 0);
	(void)close(fd);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	static char *key_files[2];

	(void)snprintf(
		fixture->directory, sizeof(fixture->directory), "/tmp/cloche-monitor-XXXXXX");
	if (!mkdtemp(fixture->directory)) {
		return -1;
	}
	(void)snprintf(fixture->keys, sizeof(fixture->keys), "%s/keys", fixture->directory);
	(void)snprintf(
		fixture->audit_path, sizeof(fixture->audit_path), "%s/audit", fixture->directory);
	make_key(fixture);
	key_files[0] = fixture->keys;
	fixture->profile = (struct config_profile){
		.name = text_of("standard"), .accept_env = accept_env, .sessions = all_kinds};
	spec_init(&fixture->profile.spec);
	fixture->profile.spec.shell = strdup("/bin/sh");
	fixture->users[0] = (struct config_user){.name = text_of("alice"),
		.profile = text_of("standard"),
		.authorized_keys = key_files};
	fixture->users[1] =
		(struct config_user){.name = text_of("bob"), .profile = text_of("standard")};
	fixture->users[2] = (struct config_user){
		.name = text_of("guest"), .profile = text_of("standard"), .guest = true};
	fixture->config = (struct config){
		.login_grace = 20,
		.max_auth_tries = 3,
		.max_sessions = 2,
		.max_total_sessions = 100,
		.max_user_sessions = 100,
		.profiles = &fixture->profile,
		.profile_count = 1,
		.users = fixture->users,
		.user_count = 3,
	};
	host_init_ideal(&fixture->host, 7);
	probe_would_refuse = false;
	fixture->gate =
		(struct session_gate){.open = true, .measured = true, .proof = "0123456789abcdef"};
	fixture->net = fixture->client = -1;
	*state = fixture;
	return limits_new(4, &fixture->limits);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	int status = 0;

	close_fdp(&fixture->net);
	close_fdp(&fixture->client);
	if (fixture->monitor > 0) {
		(void)kill(fixture->monitor, SIGKILL);
		(void)waitpid(fixture->monitor, &status, 0);
	}
	(void)unlink(fixture->keys);
	(void)unlink(fixture->audit_path);
	(void)rmdir(fixture->directory);
	limits_free(fixture->limits);
	spec_fini(&fixture->profile.spec);
	free(fixture->log);
	free(fixture);
	return 0;
}

static void make_tcp_pair(int ret[2])
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	cleanup_close int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listening, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ret[0], (struct sockaddr *)&address, size), 0);
	ret[1] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ret[1] >= 0);
}

static void start_with_audit(struct fixture *fixture, const char *audit_path)
{
	struct err err = {0};
	int ours = -1;
	int pair[2];
	sigset_t set;

	assert_int_equal(audit_init(&fixture->audit, audit_path, &err), 0);
	assert_int_equal(monitor_make_pair(&ours, &fixture->net), 0);
	/* The monitor kills the process that is net; here that would be this test. */
	if (!fixture->killable) {
		int off = 0;
		assert_int_equal(setsockopt(ours, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)), 0);
	}
	if (fixture->tcp) {
		make_tcp_pair(pair);
	} else {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	}
	fixture->client = pair[0];
	int slot = limits_take_slot(fixture->limits, &(struct source){0});
	fixture->monitor = fork();
	assert_true(fixture->monitor >= 0);
	if (fixture->monitor == 0) {
		const struct monitor_options options = {
			.config = &fixture->config,
			.host = &fixture->host,
			.backends = fakes,
			.gates = &fixture->gate,
			.audit = &fixture->audit,
			.limits = fixture->limits,
			.slot = (size_t)slot,
			.socket = ours,
			.client = pair[1],
		};
		(void)close(fixture->net);
		(void)close(pair[0]);
		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
		sigaddset(&set, SIGUSR1);
		(void)sigprocmask(SIG_SETMASK, &set, NULL);
		_exit(monitor_run(&options));
	}
	(void)close(ours);
	(void)close(pair[1]);
	audit_fini(&fixture->audit);
}

/* ---- net's side ---- */

static void ask(struct fixture *fixture, enum wire_type type, const char *user, const char *text,
	const void *data, size_t size)
{
	struct wire wire;
	bool channel = type >= WIRE_OPEN && type <= WIRE_ACTIVE;

	wire_init(&wire, type, channel ? 0 : WIRE_NO_CHANNEL);
	wire.user = (char *)(uintptr_t)user;
	wire.text = (char *)(uintptr_t)text;
	wire.data = (uint8_t *)(uintptr_t)data;
	wire.data_size = size;
	assert_int_equal(wire_send(fixture->net, &wire), 0);
}

/* The next message, of type, or WIRE_END of the stream for type 0. Free with wire_fini(). */
static struct wire hear(struct fixture *fixture, enum wire_type type)
{
	struct wire wire = {0};
	struct err err = {0};
	struct pollfd wait = {.fd = fixture->net, .events = POLLIN};

	assert_int_equal(poll(&wait, 1, 10000), 1);
	int r = wire_receive(fixture->net, &wire, MSG_DONTWAIT, &err);
	if (type == 0) {
		assert_true(r == 0 || r == -ECONNRESET);
		return wire;
	}
	assert_int_equal(r, 1);
	assert_string_equal(wire_type_name(wire.type), wire_type_name(type));
	return wire;
}

static uint32_t hear_number(struct fixture *fixture, enum wire_type type)
{
	struct wire wire = hear(fixture, type);
	uint32_t number = wire.number;

	wire_fini(&wire);
	return number;
}

static void say_hello(struct fixture *fixture)
{
	struct wire_welcome welcome;

	ask(fixture, WIRE_HELLO, NULL, "SSH-2.0-test", NULL, 0);
	struct wire wire = hear(fixture, WIRE_WELCOME);
	assert_int_equal(wire_welcome_unpack(&wire, &welcome), 0);
	assert_int_equal(welcome.max_auth_tries, fixture->config.max_auth_tries);
	wire_fini(&wire);
}

/* As net does before it ends; without it, it has crashed. */
static void say_goodbye(struct fixture *fixture)
{
	ask(fixture, WIRE_BYE, NULL, "test", NULL, 0);
	close_fdp(&fixture->net);
}

static void log_in(struct fixture *fixture)
{
	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_KEY, "alice", "ssh-ed25519", fixture->blob, sizeof(fixture->blob));
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_OK);
	ask(fixture, WIRE_OPEN, NULL, NULL, NULL, 0);
	assert_int_equal(hear_number(fixture, WIRE_RESULT), 1);
}

/* Starts a command; its standard output is at *ret_out. */
static void run(struct fixture *fixture, const char *command, int *ret_out)
{
	ask(fixture, WIRE_EXEC, NULL, command, NULL, 0);
	struct wire wire = hear(fixture, WIRE_STARTED);
	assert_int_equal(wire.fd_count, 3);
	*ret_out = take_fd(&wire.fds[1]);
	wire_fini(&wire);
}

static int wait_monitor(struct fixture *fixture, int timeout_ms)
{
	cleanup_close int pidfd = proc_pidfd(fixture->monitor);
	int status = 0;

	assert_true(pidfd >= 0);
	assert_int_equal(proc_wait(pidfd, timeout_ms, &status), 0);
	fixture->monitor = 0;
	return proc_exit_code(status);
}

/* What is in the audit log now. */
static const char *read_audit(struct fixture *fixture)
{
	free(fixture->log);
	fixture->log = NULL;
	assert_int_equal(
		io_read_file(AT_FDCWD, fixture->audit_path, 1 << 20, &fixture->log, NULL), 0);
	return fixture->log;
}

/* ---- claims ---- */

static void a_login_runs_a_command_and_hears_its_status(void **state)
{
	struct fixture *fixture = *state;
	cleanup_close int out = -1;
	cleanup_free char *text = NULL;

	log_in(fixture);
	ask(fixture, WIRE_ENV, NULL, "LANG", "C", 1);
	assert_int_equal(hear_number(fixture, WIRE_RESULT), 1);
	ask(fixture, WIRE_ENV, NULL, "EDITOR", "vi", 2);
	assert_int_equal(hear_number(fixture, WIRE_RESULT), 0);
	run(fixture, "echo $USER $LANG $EDITOR; exit 3", &out);
	struct wire wire = hear(fixture, WIRE_EXIT);
	assert_int_equal(wire.number, 3);
	assert_string_equal(wire.text ? wire.text : "", "");
	wire_fini(&wire);
	assert_int_equal(io_read_fd(out, 4096, &text, NULL), 0);
	assert_string_equal(text, "alice C\n");
	ask(fixture, WIRE_CLOSE, NULL, NULL, NULL, 0);
	say_goodbye(fixture);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_LOGGED_IN);

	const char *log = read_audit(fixture);
	const char *started = strstr(log, "\"event\":\"session_start\"");
	const char *ended = strstr(log, "\"event\":\"session_end\"");
	assert_non_null(strstr(log, "\"event\":\"auth_ok\""));
	assert_non_null(started);
	assert_non_null(ended);
	assert_true(started < ended);
	assert_non_null(strstr(started, "\"proof\":\"0123456789abcdef\""));
	assert_non_null(strstr(ended, "\"cause\":\"exited\",\"status\":3"));
	assert_int_equal(limits_count_sessions(fixture->limits), 0);
}

static void what_is_not_legal_now_ends_the_connection(void **state)
{
	struct fixture *fixture = *state;

	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_OPEN, NULL, NULL, NULL, 0);
	(void)hear(fixture, 0);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_CRASH);
	const char *log = read_audit(fixture);
	assert_non_null(strstr(log, "\"event\":\"protocol_error\""));
}

static void a_channel_runs_one_command(void **state)
{
	struct fixture *fixture = *state;
	cleanup_close int out = -1;

	log_in(fixture);
	run(fixture, "sleep 60", &out);
	ask(fixture, WIRE_EXEC, NULL, "true", NULL, 0);
	(void)hear(fixture, 0);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_CRASH);
}

static void all_failures_look_alike_and_end_after_max_tries(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = {"alice", "bob", "nobody", "../etc", "*", ""};

	assert_int_equal(password_make("right", 5, fixture->password), 0);
	fixture->users[1].password = fixture->password;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int status = 0;
		start_with_audit(fixture, fixture->audit_path);
		say_hello(fixture);
		ask(fixture, WIRE_AUTH_NONE, names[i], NULL, NULL, 0);
		assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
		ask(fixture, WIRE_AUTH_PASSWORD, names[i], NULL, "wrong", 5);
		assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
		fixture->blob[30] ^= 1;
		ask(fixture, WIRE_AUTH_QUERY, names[i], "ssh-ed25519", fixture->blob,
			sizeof(fixture->blob));
		fixture->blob[30] ^= 1;
		assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
		ask(fixture, WIRE_AUTH_PASSWORD, names[i], NULL, "wrong", 5);
		assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_TOO_MANY);
		close_fdp(&fixture->net);
		close_fdp(&fixture->client);
		assert_int_equal(waitpid(fixture->monitor, &status, 0), fixture->monitor);
		fixture->monitor = 0;
		(void)limits_drop_slot(fixture->limits, 0);
	}
}

static void the_right_password_and_a_good_key_are_let_in(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(password_make("right", 5, fixture->password), 0);
	fixture->users[1].password = fixture->password;
	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_PASSWORD, "bob", NULL, "right", 5);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_OK);
	const char *log = read_audit(fixture);
	assert_null(strstr(log, "right"));
}

static void half_a_chain_is_no_login(void **state)
{
	struct fixture *fixture = *state;
	char *chains[] = {(char[]){"publickey,password"}, NULL};

	assert_int_equal(password_make("right", 5, fixture->password), 0);
	fixture->users[0].password = fixture->password;
	fixture->users[0].methods = chains;
	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_PASSWORD, "alice", NULL, "right", 5);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
	ask(fixture, WIRE_AUTH_KEY, "alice", "ssh-ed25519", fixture->blob, sizeof(fixture->blob));
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_PARTIAL);
	/* Whatever net makes of that: no session is opened. */
	ask(fixture, WIRE_OPEN, NULL, NULL, NULL, 0);
	(void)hear(fixture, 0);
	fixture->users[0].methods = NULL;
	fixture->users[0].password = NULL;
}

static void answers_without_a_question_are_refused(void **state)
{
	struct fixture *fixture = *state;
	char *chains[] = {(char[]){"keyboard-interactive"}, NULL};

	assert_int_equal(password_make("right", 5, fixture->password), 0);
	fixture->users[1].password = fixture->password;
	fixture->users[1].methods = chains;
	fixture->config.max_auth_tries = 4;
	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_ANSWER, "bob", "", "right", 5);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
	ask(fixture, WIRE_AUTH_ASK, "bob", NULL, NULL, 0);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_PROMPT);
	/* Another method in between takes the question back. */
	ask(fixture, WIRE_AUTH_PASSWORD, "bob", NULL, "right", 5);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
	ask(fixture, WIRE_AUTH_ANSWER, "bob", "", "right", 5);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
	ask(fixture, WIRE_AUTH_ASK, "bob", NULL, NULL, 0);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_PROMPT);
	ask(fixture, WIRE_AUTH_ANSWER, "bob", "", "right", 5);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_OK);
	fixture->users[1].methods = NULL;
}

static void a_key_is_asked_about_and_then_used(void **state)
{
	struct fixture *fixture = *state;

	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_QUERY, "alice", "ssh-ed25519", fixture->blob, sizeof(fixture->blob));
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_KEY_WOULD_DO);
	/* Knowing a key that would do is not being in. */
	ask(fixture, WIRE_OPEN, NULL, NULL, NULL, 0);
	(void)hear(fixture, 0);
}

static void a_good_key_is_not_asked_about_for_ever(void **state)
{
	struct fixture *fixture = *state;
	uint32_t answer = WIRE_AUTH_KEY_WOULD_DO;
	size_t asked = 0;

	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	for (; answer == WIRE_AUTH_KEY_WOULD_DO && asked < 1000; asked++) {
		ask(fixture, WIRE_AUTH_QUERY, "alice", "ssh-ed25519", fixture->blob,
			sizeof(fixture->blob));
		answer = hear_number(fixture, WIRE_AUTH_RESULT);
	}
	assert_int_equal(answer, WIRE_AUTH_TOO_MANY);
	assert_int_equal(asked, 101);
}

static void the_key_of_another_user_does_not_do(void **state)
{
	struct fixture *fixture = *state;

	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_KEY, "nobody", "ssh-ed25519", fixture->blob, sizeof(fixture->blob));
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
	ask(fixture, WIRE_AUTH_KEY, "alice", "ssh-ed25519", fixture->blob, sizeof(fixture->blob));
	(void)hear(fixture, 0); /* a name is said once */
}

static void guests_need_user_and_profile(void **state)
{
	struct fixture *fixture = *state;

	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_NONE, "guest", NULL, NULL, 0);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_DENIED);
	close_fdp(&fixture->net);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_CRASH);

	fixture->profile.guest = true;
	close_fdp(&fixture->client);
	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_NONE, "guest", NULL, NULL, 0);
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_OK);
}

static void who_does_not_log_in_is_cut_off(void **state)
{
	struct fixture *fixture = *state;
	char byte;

	fixture->config.login_grace = 1;
	start_with_audit(fixture, fixture->audit_path);
	assert_int_equal(wait_monitor(fixture, 3000), MONITOR_GRACE_EXCEEDED);
	/* The connection itself, too: net may be stuck. */
	assert_int_equal(read(fixture->client, &byte, 1), 0);
	const char *log = read_audit(fixture);
	assert_non_null(strstr(log, "\"reason\":\"login_grace\""));
}

/* Before login as well: a goodbye that is said again and again must not outlive the login timer. */
static void goodbye_is_said_once(void **state)
{
	struct fixture *fixture = *state;
	uint64_t began = io_now_usec();
	struct wire bye;

	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	wire_init(&bye, WIRE_BYE, WIRE_NO_CHANNEL);
	while (wire_send(fixture->net, &bye) == 0 && io_now_usec() < began + 10000000) {
		(void)poll(NULL, 0, 200);
	}
	assert_true(io_now_usec() < began + 6000000);
	assert_int_equal(wait_monitor(fixture, 2000), MONITOR_NO_AUTH);
}

/* A client that hangs up just then makes net end with an answer unread, which the kernel calls a reset. */
static void goodbye_counts_with_an_answer_unread(void **state)
{
	struct fixture *fixture = *state;
	struct pollfd welcome = {.events = POLLIN};

	start_with_audit(fixture, fixture->audit_path);
	ask(fixture, WIRE_HELLO, NULL, "SSH-2.0-test", NULL, 0);
	welcome.fd = fixture->net;
	assert_int_equal(poll(&welcome, 1, 5000), 1);
	say_goodbye(fixture);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_NO_AUTH);
}

static void goodbye_counts_when_nobody_takes_the_answer(void **state)
{
	struct fixture *fixture = *state;

	start_with_audit(fixture, fixture->audit_path);
	assert_int_equal(kill(fixture->monitor, SIGSTOP), 0);
	ask(fixture, WIRE_HELLO, NULL, "SSH-2.0-test", NULL, 0);
	say_goodbye(fixture);
	assert_int_equal(kill(fixture->monitor, SIGCONT), 0);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_NO_AUTH);
}

/* The same without one. */
static void an_answer_that_nobody_takes_does_not_hide_a_crash(void **state)
{
	struct fixture *fixture = *state;

	start_with_audit(fixture, fixture->audit_path);
	assert_int_equal(kill(fixture->monitor, SIGSTOP), 0);
	ask(fixture, WIRE_HELLO, NULL, "SSH-2.0-test", NULL, 0);
	close_fdp(&fixture->net);
	assert_int_equal(kill(fixture->monitor, SIGCONT), 0);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_CRASH);
}

/*
 * The client sends without end and reads what it is told only then: TCP must not take that back by a
 * reset, neither for what lay unread nor for what comes later.
 */
static void a_client_that_is_still_sending_is_not_reset(void **state)
{
	static const char flood[65536];
	struct fixture *fixture = *state;
	struct pollfd told = {.events = POLLIN};
	char byte;

	fixture->tcp = true;
	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	told.fd = fixture->client;
	assert_int_equal(send(told.fd, flood, sizeof(flood), MSG_NOSIGNAL), sizeof(flood));
	say_goodbye(fixture);
	assert_int_equal(poll(&told, 1, 10000), 1);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(send(told.fd, flood, 1024, MSG_NOSIGNAL), 1024);
		(void)poll(NULL, 0, 5);
	}
	assert_int_equal(read(told.fd, &byte, 1), 0);
	close_fdp(&fixture->client);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_NO_AUTH);
}

/* And one that never stops is not waited for. */
static void a_client_that_never_stops_sending_is_left(void **state)
{
	static const char flood[4096];
	struct fixture *fixture = *state;
	uint64_t began = io_now_usec();

	fixture->tcp = true;
	start_with_audit(fixture, fixture->audit_path);
	say_hello(fixture);
	say_goodbye(fixture);
	while (send(fixture->client, flood, sizeof(flood), MSG_NOSIGNAL) > 0) {
		assert_true(io_now_usec() < began + 10000000);
	}
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_NO_AUTH);
}

static void a_net_process_that_hangs_is_killed(void **state)
{
	struct fixture *fixture = *state;
	int status = 0;

	fixture->killable = true;
	fixture->config.login_grace = 1;
	start_with_audit(fixture, fixture->audit_path);
	pid_t net = fork();
	assert_true(net >= 0);
	if (net == 0) {
		struct wire wire;
		wire_init(&wire, WIRE_HELLO, WIRE_NO_CHANNEL);
		wire.text = text_of("SSH-2.0-stuck");
		(void)wire_send(fixture->net, &wire);
		for (;;) {
			(void)pause();
		}
	}
	close_fdp(&fixture->net);
	assert_int_equal(wait_monitor(fixture, 3000), MONITOR_GRACE_EXCEEDED);
	assert_int_equal(waitpid(net, &status, 0), net);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_closed_profile_says_which_promise_failed(void **state)
{
	struct fixture *fixture = *state;

	fixture->gate = (struct session_gate){.reason = "profile standard is closed: net.disable"};
	log_in(fixture);
	ask(fixture, WIRE_SHELL, NULL, NULL, NULL, 0);
	struct wire wire = hear(fixture, WIRE_RESULT);
	assert_int_equal(wire.number, 0);
	assert_non_null(strstr(wire.text, "net.disable"));
	wire_fini(&wire);
	const char *log = read_audit(fixture);
	assert_non_null(strstr(log, "\"event\":\"session_refused\""));
	assert_null(strstr(log, "\"event\":\"session_start\""));
}

static void the_backend_of_a_profile_is_not_asked_for_each_session(void **state)
{
	struct fixture *fixture = *state;

	fixture->gate.backend = &fake;
	probe_would_refuse = true;
	log_in(fixture);
	ask(fixture, WIRE_EXEC, NULL, "true", NULL, 0);
	struct wire wire = hear(fixture, WIRE_STARTED);
	wire_fini(&wire);
}

static void without_a_remembered_backend_one_is_chosen(void **state)
{
	struct fixture *fixture = *state;

	probe_would_refuse = true;
	log_in(fixture);
	ask(fixture, WIRE_EXEC, NULL, "true", NULL, 0);
	struct wire wire = hear(fixture, WIRE_RESULT);
	assert_int_equal(wire.number, 0);
	assert_non_null(strstr(wire.text, "fake: asked again"));
	wire_fini(&wire);
}

static void a_plan_weaker_than_the_measured_one_is_refused(void **state)
{
	struct fixture *fixture = *state;

	fixture->gate.uses = capability_set_of(CAPABILITY_KERNEL_ISOLATION);
	log_in(fixture);
	ask(fixture, WIRE_SHELL, NULL, NULL, NULL, 0);
	struct wire wire = hear(fixture, WIRE_RESULT);
	assert_int_equal(wire.number, 0);
	assert_non_null(strstr(wire.text, "kernel.isolation"));
	wire_fini(&wire);
	assert_int_equal(limits_count_sessions(fixture->limits), 0);
}

static void without_an_audit_log_nothing_starts(void **state)
{
	struct fixture *fixture = *state;

	start_with_audit(fixture, "/dev/full");
	say_hello(fixture);
	ask(fixture, WIRE_AUTH_KEY, "alice", "ssh-ed25519", fixture->blob, sizeof(fixture->blob));
	assert_int_equal(hear_number(fixture, WIRE_AUTH_RESULT), WIRE_AUTH_OK);
	ask(fixture, WIRE_OPEN, NULL, NULL, NULL, 0);
	assert_int_equal(hear_number(fixture, WIRE_RESULT), 1);
	ask(fixture, WIRE_EXEC, NULL, "true", NULL, 0);
	struct wire wire = hear(fixture, WIRE_RESULT);
	assert_int_equal(wire.number, 0);
	assert_non_null(strstr(wire.text, "audit log cannot be written: No space left"));
	wire_fini(&wire);
}

static void sessions_of_a_connection_and_a_user_are_counted(void **state)
{
	struct fixture *fixture = *state;
	cleanup_close int out = -1;

	fixture->config.max_sessions = 1;
	fixture->config.max_user_sessions = 1;
	log_in(fixture);
	struct wire wire;
	wire_init(&wire, WIRE_OPEN, 1);
	assert_int_equal(wire_send(fixture->net, &wire), 0);
	assert_int_equal(hear_number(fixture, WIRE_RESULT), 0);
	run(fixture, "sleep 60", &out);
	assert_int_equal(limits_count_sessions(fixture->limits), 1);

	struct fixture second = *fixture;
	start_with_audit(&second, fixture->audit_path);
	say_hello(&second);
	ask(&second, WIRE_AUTH_KEY, "alice", "ssh-ed25519", second.blob, sizeof(second.blob));
	assert_int_equal(hear_number(&second, WIRE_AUTH_RESULT), WIRE_AUTH_OK);
	ask(&second, WIRE_OPEN, NULL, NULL, NULL, 0);
	assert_int_equal(hear_number(&second, WIRE_RESULT), 1);
	ask(&second, WIRE_EXEC, NULL, "true", NULL, 0);
	struct wire reply = hear(&second, WIRE_RESULT);
	assert_int_equal(reply.number, 0);
	assert_non_null(strstr(reply.text, "as many sessions at once"));
	wire_fini(&reply);
	close_fdp(&second.net);
	close_fdp(&second.client);
	assert_int_equal(wait_monitor(&second, 5000), MONITOR_CRASH);
}

static void say_of(struct fixture *fixture, enum wire_type type, uint32_t channel)
{
	struct wire wire;

	wire_init(&wire, type, channel);
	assert_int_equal(wire_send(fixture->net, &wire), 0);
}

static void channels_are_not_refused_for_ever(void **state)
{
	struct fixture *fixture = *state;
	enum wire_type heard = WIRE_RESULT;

	fixture->config.max_sessions = 1;
	log_in(fixture);
	for (int i = 0; heard != WIRE_END; i++) {
		struct wire wire = {0};
		struct err err = {0};
		assert_true(i < 2000);
		say_of(fixture, WIRE_OPEN, 1);
		assert_int_equal(hear_number(fixture, WIRE_RESULT), 0);
		say_of(fixture, WIRE_CLOSE, 0);
		say_of(fixture, WIRE_OPEN, 0);
		assert_int_equal(wire_receive(fixture->net, &wire, 0, &err), 1);
		heard = wire.type;
		wire_fini(&wire);
	}
	say_goodbye(fixture);
	assert_int_equal(wait_monitor(fixture, 5000), MONITOR_LOGGED_IN);
}

static void when_net_is_gone_the_sandbox_is_gone(void **state)
{
	struct fixture *fixture = *state;
	cleanup_close int out = -1;
	char byte;

	log_in(fixture);
	run(fixture, "trap '' HUP TERM; echo up; while :; do sleep 1; done", &out);
	assert_int_equal(read(out, &byte, 1), 1);
	close_fdp(&fixture->net);
	assert_int_equal(wait_monitor(fixture, 2000), MONITOR_CRASH);
	assert_int_equal(limits_count_sessions(fixture->limits), 0);
	const char *log = read_audit(fixture);
	assert_non_null(strstr(log, "\"cause\":\"client_gone\""));
}

static void the_time_limit_is_announced_and_kept(void **state)
{
	struct fixture *fixture = *state;
	cleanup_close int out = -1;

	fixture->profile.spec.timeout = 2;
	fixture->profile.warning = 1;
	log_in(fixture);
	run(fixture, "exec sleep 60", &out);
	struct wire wire = hear(fixture, WIRE_NOTICE);
	assert_string_equal(
		wire.text, "cloche: time limit of 2 seconds: this session ends in 1 second");
	wire_fini(&wire);
	wire = hear(fixture, WIRE_NOTICE);
	assert_string_equal(
		wire.text, "cloche: time limit of 2 seconds reached; this session ends");
	wire_fini(&wire);
	wire = hear(fixture, WIRE_EXIT);
	assert_string_equal(wire.text, "HUP");
	wire_fini(&wire);
	const char *log = read_audit(fixture);
	assert_non_null(strstr(log, "\"event\":\"limit_hit\""));
	assert_non_null(strstr(log, "\"cause\":\"timeout\""));
}

static void input_keeps_a_session_from_being_idle(void **state)
{
	struct fixture *fixture = *state;
	cleanup_close int out = -1;

	fixture->profile.idle_timeout = 1;
	log_in(fixture);
	run(fixture, "exec sleep 60", &out);
	uint64_t began = io_now_usec();
	for (int i = 0; i < 4; i++) {
		(void)poll(NULL, 0, 500);
		ask(fixture, WIRE_ACTIVE, NULL, NULL, NULL, 0);
	}
	struct wire wire = hear(fixture, WIRE_NOTICE);
	assert_true(io_now_usec() - began > 2500000);
	assert_non_null(strstr(wire.text, "idle limit of 1 second reached"));
	wire_fini(&wire);
	wire = hear(fixture, WIRE_EXIT);
	wire_fini(&wire);
}

static void signals_reach_the_command(void **state)
{
	struct fixture *fixture = *state;
	cleanup_close int out = -1;

	log_in(fixture);
	run(fixture, "exec sleep 60", &out);
	ask(fixture, WIRE_SIGNAL, NULL, "NONSENSE", NULL, 0);
	ask(fixture, WIRE_SIGNAL, NULL, "USR1", NULL, 0);
	struct wire wire = hear(fixture, WIRE_EXIT);
	assert_string_equal(wire.text, "USR1");
	wire_fini(&wire);
}

static void a_stopping_server_tells_its_users(void **state)
{
	struct fixture *fixture = *state;
	cleanup_close int out = -1;

	log_in(fixture);
	run(fixture, "exec sleep 60", &out);
	assert_int_equal(kill(fixture->monitor, SIGTERM), 0);
	struct wire wire = hear(fixture, WIRE_NOTICE);
	assert_non_null(strstr(wire.text, "server is stopping"));
	wire_fini(&wire);
	wire = hear(fixture, WIRE_EXIT);
	wire_fini(&wire);
	wire = hear(fixture, WIRE_END);
	wire_fini(&wire);
	close_fdp(&fixture->net);
	assert_int_equal(wait_monitor(fixture, 3000), MONITOR_LOGGED_IN);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_login_runs_a_command_and_hears_its_status),
		CASE(what_is_not_legal_now_ends_the_connection),
		CASE(a_channel_runs_one_command),
		CASE(all_failures_look_alike_and_end_after_max_tries),
		CASE(the_right_password_and_a_good_key_are_let_in),
		CASE(half_a_chain_is_no_login),
		CASE(answers_without_a_question_are_refused),
		CASE(a_key_is_asked_about_and_then_used),
		CASE(a_good_key_is_not_asked_about_for_ever),
		CASE(the_key_of_another_user_does_not_do),
		CASE(guests_need_user_and_profile),
		CASE(who_does_not_log_in_is_cut_off),
		CASE(a_net_process_that_hangs_is_killed),
		CASE(goodbye_is_said_once),
		CASE(goodbye_counts_with_an_answer_unread),
		CASE(goodbye_counts_when_nobody_takes_the_answer),
		CASE(an_answer_that_nobody_takes_does_not_hide_a_crash),
		CASE(a_client_that_is_still_sending_is_not_reset),
		CASE(a_client_that_never_stops_sending_is_left),
		CASE(a_closed_profile_says_which_promise_failed),
		CASE(a_plan_weaker_than_the_measured_one_is_refused),
		CASE(the_backend_of_a_profile_is_not_asked_for_each_session),
		CASE(without_a_remembered_backend_one_is_chosen),
		CASE(without_an_audit_log_nothing_starts),
		CASE(sessions_of_a_connection_and_a_user_are_counted),
		CASE(channels_are_not_refused_for_ever),
		CASE(when_net_is_gone_the_sandbox_is_gone),
		CASE(the_time_limit_is_announced_and_kept),
		CASE(input_keeps_a_session_from_being_idle),
		CASE(signals_reach_the_command),
		CASE(a_stopping_server_tells_its_users),
	};
	(void)signal(SIGPIPE, SIG_IGN);
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
