/*
 * A listener and monitor with no policy and no sandbox, so that the network-facing process can be
 * tested by itself against stock clients. One user, one password, one authorized_keys file; commands
 * run as a uid of no account, without any confinement: loopback only, tests only.
 *
 * Words it knows instead of a command: "@refuse TEXT" does not start, "@notice TEXT" shows a line
 * and starts nothing more than cat, "@end TEXT" disconnects, "@hang" never answers. A port to be
 * listened on at the address "late" is bound after some seconds, or so it says.
 *
 *	fake-monitor PORT HOSTKEY AUTHORIZED_KEYS USER PASSWORD NET_UID RUN_UID EMPTY_DIR
 *		[max-sessions=N] [keepalive=SECONDS] [tries=N] [banner=TEXT] [late-welcome=1] [debug=1]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "sshd/net.h"
#include "sshd/wire.h"

#define MAX_SESSIONS 64
#define AUTH_PASSWORD 2
#define AUTH_PUBLICKEY 4

static struct {
	const char *authorized_keys, *user, *password;
	uid_t run_uid;
	bool late_welcome;
	struct wire_welcome welcome;
} policy;

struct session {
	bool used, pty;
	uint32_t channel;
	pid_t pid; /* 0: not started */
	int pidfd;
	char term[64];
	struct winsize size;
	char **env;
};

static struct session sessions[MAX_SESSIONS];

static struct session *find_session(uint32_t channel)
{
	for (size_t i = 0; i < MAX_SESSIONS; i++) {
		if (sessions[i].used && sessions[i].channel == channel) {
			return &sessions[i];
		}
	}
	return NULL;
}

static void end_session(struct session *session)
{
	if (session->pid > 0) {
		int status = 0;
		(void)kill(-session->pid, SIGKILL);
		(void)waitpid(session->pid, &status, 0);
	}
	if (session->pidfd >= 0) {
		(void)close(session->pidfd);
	}
	strv_free(session->env);
	*session = (struct session){.pidfd = -1};
}

static bool key_is_known(const uint8_t *blob, size_t size)
{
	char base64[8192];
	cleanup_free char *text = NULL;

	if (sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL) > sizeof(base64)) {
		return false;
	}
	(void)sodium_bin2base64(base64, sizeof(base64), blob, size, sodium_base64_VARIANT_ORIGINAL);
	return io_read_file(AT_FDCWD, policy.authorized_keys, 1 << 20, &text, NULL) == 0 &&
		strstr(text, base64);
}

static uint32_t judge(const struct wire *wire)
{
	static unsigned failures;
	bool user = strcmp(wire->user, policy.user) == 0;
	bool key = user && wire->data && key_is_known(wire->data, wire->data_size);

	if (wire->type == WIRE_AUTH_KEY && key) {
		return WIRE_AUTH_OK;
	}
	if (wire->type == WIRE_AUTH_QUERY && key) {
		return WIRE_AUTH_KEY_WOULD_DO;
	}
	if (wire->type == WIRE_AUTH_PASSWORD && user &&
		wire->data_size == strlen(policy.password) &&
		memcmp(wire->data, policy.password, wire->data_size) == 0) {
		return WIRE_AUTH_OK;
	}
	if (wire->type != WIRE_AUTH_NONE && ++failures >= policy.welcome.max_auth_tries) {
		return WIRE_AUTH_TOO_MANY;
	}
	return WIRE_AUTH_DENIED;
}

static void run_child(const struct session *session, const char *command)
{
	char *shell[] = {(char[]){"-sh"}, NULL};
	char *with_command[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)command, NULL};
	char *env[64] = {(char[]){"PATH=/usr/bin:/bin"}, (char[]){"PS1=prompt> "}};
	size_t count = 2;

	STRV_FOREACH (entry, session->env) {
		if (count < ARRAY_SIZE(env) - 1) {
			env[count++] = *entry;
		}
	}
	(void)syscall(SYS_close_range, 3u, ~0u, 0u);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGCHLD, SIG_DFL);
	if (geteuid() == 0 &&
		(setgroups(0, NULL) < 0 ||
			setresgid(policy.run_uid, policy.run_uid, policy.run_uid) < 0 ||
			setresuid(policy.run_uid, policy.run_uid, policy.run_uid) < 0)) {
		_exit(127);
	}
	(void)execve("/bin/sh", command ? with_command : shell, env);
	_exit(127);
}

static int start_on_pty(struct session *session, const char *command, struct wire *started)
{
	int master = -1;

	session->pid = forkpty(&master, NULL, NULL, &session->size);
	if (session->pid == 0) {
		run_child(session, command);
	}
	started->number = 1;
	started->fds[0] = master;
	started->fd_count = 1;
	return session->pid < 0 ? -errno : 0;
}

static int start_on_pipes(struct session *session, const char *command, struct wire *started)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
		return -errno;
	}
	session->pid = fork();
	if (session->pid == 0) {
		(void)setsid();
		(void)dup2(in[0], 0);
		(void)dup2(out[1], 1);
		(void)dup2(err[1], 2);
		run_child(session, command);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	(void)close(err[1]);
	started->fds[0] = in[1];
	started->fds[1] = out[0];
	started->fds[2] = err[0];
	started->fd_count = 3;
	return session->pid < 0 ? -errno : 0;
}

static const char *after(const char *text, const char *word)
{
	size_t length = strlen(word);

	return strncmp(text, word, length) == 0 ? text + length : NULL;
}

static void handle_start(int net, struct session *session, const struct wire *wire)
{
	const char *command = wire->type == WIRE_SHELL ? NULL : wire->text;
	struct wire started;

	if (command && after(command, "@refuse ")) {
		(void)wire_send_simple(
			net, WIRE_RESULT, wire->channel, 0, after(command, "@refuse "));
		return;
	}
	if (command && after(command, "@end ")) {
		(void)wire_send_simple(net, WIRE_END, WIRE_NO_CHANNEL, 0, after(command, "@end "));
		return;
	}
	if (command && strcmp(command, "@hang") == 0) {
		return;
	}
	if (wire->type == WIRE_SUBSYSTEM) {
		if (strcmp(command, "sftp") != 0) {
			(void)wire_send_simple(net, WIRE_RESULT, wire->channel, 0, "");
			return;
		}
		command = "exec /usr/lib/openssh/sftp-server";
	}
	if (command && after(command, "@notice ")) {
		(void)wire_send_simple(
			net, WIRE_NOTICE, wire->channel, 0, after(command, "@notice "));
		command = "exec cat";
	}
	wire_init(&started, WIRE_STARTED, wire->channel);
	if ((session->pty ? start_on_pty : start_on_pipes)(session, command, &started) < 0) {
		_exit(1);
	}
	session->pidfd = proc_pidfd(session->pid);
	(void)wire_send(net, &started);
	wire_fini(&started);
}

static void handle_open(int net, const struct wire *wire)
{
	struct session *free_one = NULL;

	for (size_t i = 0; i < MAX_SESSIONS; i++) {
		free_one = sessions[i].used ? free_one : &sessions[i];
	}
	if (free_one) {
		*free_one = (struct session){.used = true, .channel = wire->channel, .pidfd = -1};
	}
	(void)wire_send_simple(net, WIRE_RESULT, wire->channel, free_one ? 1 : 0, "");
}

static void handle_env(int net, struct session *session, const struct wire *wire)
{
	cleanup_free char *value = strndup((const char *)wire->data, wire->data_size);
	bool accepted = strcmp(wire->text, "LANG") == 0 || strncmp(wire->text, "LC_", 3) == 0;

	if (accepted) {
		(void)strv_setenv(&session->env, wire->text, value ? value : "");
	}
	(void)wire_send_simple(net, WIRE_RESULT, wire->channel, accepted, "");
}

static void handle_signal(const struct session *session, const char *name)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {{"TERM", SIGTERM}, {"INT", SIGINT}, {"HUP", SIGHUP}, {"USR1", SIGUSR1}};

	for (size_t i = 0; i < ARRAY_SIZE(names) && session->pid > 0; i++) {
		if (strcmp(names[i].name, name) == 0) {
			(void)kill(-session->pid, names[i].number);
		}
	}
}

static void handle_listen(int net, const struct wire *wire)
{
	(void)wire_send_simple(net, WIRE_RESULT, wire->channel, 1, "");
	(void)sleep(strcmp(wire->text, "late") == 0 ? 3 : 0);
	(void)wire_send_simple(net, WIRE_BOUND, wire->channel, 4711, "");
}

static void handle(int net, const struct wire *wire)
{
	struct session *session = find_session(wire->channel);
	struct wire welcome;

	switch (wire->type) {
	case WIRE_HELLO:
		(void)sleep(policy.late_welcome ? 1 : 0);
		(void)wire_welcome_pack(&policy.welcome, &welcome);
		(void)wire_send(net, &welcome);
		wire_fini(&welcome);
		break;
	case WIRE_AUTH_NONE:
	case WIRE_AUTH_QUERY:
	case WIRE_AUTH_KEY:
	case WIRE_AUTH_PASSWORD:
		(void)wire_send_simple(net, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, judge(wire), "");
		break;
	case WIRE_OPEN:
		handle_open(net, wire);
		break;
	case WIRE_ENV:
		handle_env(net, session, wire);
		break;
	case WIRE_PTY:
		session->pty = true;
		session->size = wire->size;
		(void)strv_setenv(&session->env, "TERM", wire->text);
		(void)wire_send_simple(net, WIRE_RESULT, wire->channel, 1, "");
		break;
	case WIRE_SHELL:
	case WIRE_EXEC:
	case WIRE_SUBSYSTEM:
		handle_start(net, session, wire);
		break;
	case WIRE_SIGNAL:
		handle_signal(session, wire->text);
		break;
	case WIRE_LISTEN:
		handle_listen(net, wire);
		break;
	case WIRE_CLOSE:
		if (session) {
			end_session(session);
		}
		break;
	default:
		break;
	}
	fprintf(stderr, "%s %u %s\n", wire_type_name(wire->type), wire->channel,
		wire->type == WIRE_ENV || wire->data ? "" : wire->text);
}

static const char *signal_name(int number)
{
	switch (number) {
	case SIGTERM:
		return "TERM";
	case SIGKILL:
		return "KILL";
	case SIGSEGV:
		return "SEGV";
	default:
		return "ABRT";
	}
}

static void report_exit(int net, struct session *session)
{
	struct wire wire;
	int status = 0;

	(void)waitpid(session->pid, &status, 0);
	/* As a sandbox does: when its first process ends, all do. */
	(void)kill(-session->pid, SIGKILL);
	session->pid = 0;
	close_fdp(&session->pidfd);
	wire_init(&wire, WIRE_EXIT, session->channel);
	wire.number = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0;
	wire.text = strdup(WIFSIGNALED(status) ? signal_name(WTERMSIG(status)) : "");
	wire.flags = WIFSIGNALED(status) && WCOREDUMP(status) ? 1 : 0;
	(void)wire_send(net, &wire);
	wire_fini(&wire);
}

/* One connection's monitor. Ends with its net process. */
static void monitor(int net)
{
	enum wire_state state = WIRE_STATE_NEW;

	for (size_t i = 0; i < MAX_SESSIONS; i++) {
		sessions[i].pidfd = -1;
	}
	for (;;) {
		struct pollfd fds[MAX_SESSIONS + 1] = {{.fd = net, .events = POLLIN}};
		for (size_t i = 0; i < MAX_SESSIONS; i++) {
			fds[i + 1] = (struct pollfd){.fd = sessions[i].pidfd, .events = POLLIN};
		}
		if (poll(fds, MAX_SESSIONS + 1, -1) < 0) {
			continue;
		}
		for (size_t i = 0; i < MAX_SESSIONS; i++) {
			if (sessions[i].pidfd >= 0 && fds[i + 1].revents) {
				report_exit(net, &sessions[i]);
			}
		}
		if (!fds[0].revents) {
			continue;
		}
		struct wire wire;
		struct err err = {0};
		int r = wire_receive(net, &wire, 0, &err);
		if (r <= 0) {
			fprintf(stderr, "net ended: %s\n", r < 0 ? err.msg : "end of stream");
			break;
		}
		/* The table of states is put to the test by the way. */
		if (state != WIRE_STATE_NEW && wire.type < WIRE_OPEN && wire.type > WIRE_KEX) {
			state = WIRE_STATE_AUTH;
		} else if (wire.type >= WIRE_OPEN && wire.type != WIRE_BYE) {
			state = WIRE_STATE_OPEN;
		}
		if (!wire_is_legal(wire.type, state)) {
			fprintf(stderr, "ILLEGAL %s in state %d\n", wire_type_name(wire.type),
				state);
			break;
		}
		state = state == WIRE_STATE_NEW ? WIRE_STATE_AUTH : state;
		handle(net, &wire);
		wire_fini(&wire);
	}
	for (size_t i = 0; i < MAX_SESSIONS; i++) {
		if (sessions[i].used) {
			end_session(&sessions[i]);
		}
	}
	_exit(0);
}

static int start_zygote(const struct net_options *options)
{
	int pair[2];
	char answer[600] = "";

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return -1;
	}
	if (fork() == 0) {
		(void)close(pair[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(net_zygote_main(options, pair[1]));
	}
	(void)close(pair[1]);
	if (io_receive(pair[0], answer, sizeof(answer) - 1, NULL, 0, NULL, 0) < 1 ||
		answer[0] != 'R') {
		fprintf(stderr, "zygote: %s\n", answer);
		return -1;
	}
	return pair[0];
}

static int listen_on(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 128) == 0
		? fd
		: -1;
}

static void accept_one(int listener, int zygote)
{
	int tcp = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	int pair[2];

	if (tcp < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return;
	}
	int fds[2] = {tcp, pair[1]};
	(void)io_send(zygote, "C", 1, fds, 2);
	(void)close(tcp);
	(void)close(pair[1]);
	if (fork() == 0) {
		(void)close(listener);
		(void)close(zygote);
		(void)signal(SIGCHLD, SIG_DFL);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		monitor(pair[0]);
	}
	(void)close(pair[0]);
}

static void set_option(const char *option, struct net_options *net)
{
	const char *value = NULL;

	if ((value = after(option, "max-sessions="))) {
		policy.welcome.max_sessions = (uint32_t)atoi(value);
	} else if ((value = after(option, "keepalive="))) {
		policy.welcome.keepalive_interval = (uint32_t)atoi(value);
	} else if ((value = after(option, "tries="))) {
		policy.welcome.max_auth_tries = (uint32_t)atoi(value);
	} else if ((value = after(option, "banner="))) {
		(void)snprintf(policy.welcome.banner, sizeof(policy.welcome.banner), "%s\n", value);
	} else if (after(option, "late-welcome=1")) {
		policy.late_welcome = true;
	} else if (after(option, "debug=1")) {
		net->debug = true;
	}
}

int main(int argc, char **argv)
{
	if (argc < 9) {
		return 2;
	}
	char *host_keys[] = {argv[2], NULL};
	struct net_options options = {.host_keys = host_keys,
		.uid = geteuid() == 0 ? (uid_t)atoi(argv[6]) : (uid_t)-1,
		.gid = (gid_t)atoi(argv[6]),
		.empty_dir = argv[8]};
	policy.authorized_keys = argv[3];
	policy.user = argv[4];
	policy.password = argv[5];
	policy.run_uid = (uid_t)atoi(argv[7]);
	policy.welcome = (struct wire_welcome){.max_auth_tries = 6,
		.max_sessions = 10,
		.keepalive_count = 3,
		.methods = AUTH_PASSWORD | AUTH_PUBLICKEY};
	for (int i = 9; i < argc; i++) {
		set_option(argv[i], &options);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	int zygote = start_zygote(&options);
	(void)signal(SIGCHLD, SIG_IGN);
	int listener = zygote < 0 ? -1 : listen_on(argv[1]);
	if (listener < 0) {
		return 1;
	}
	for (;;) {
		accept_one(listener, zygote);
	}
}
