/*
 * A client by libssh, for tests/e2e: it does one thing and prints what came of it.
 *
 *	libssh-client PORT USER exec COMMAND		stdin, stdout and stderr are the command's
 *	libssh-client PORT USER pty TERM COMMAND	on a terminal of 37 lines and 111 columns,
 *							which becomes 50 by 132 when TERM was shown
 *	libssh-client PORT USER many COUNT COMMAND	channels one after another
 *	libssh-client PORT USER apart COUNT COMMAND	channels at once; $N is the number of each
 *	libssh-client PORT USER direct PORT COMMAND	when COMMAND has said a line, stdin goes to that
 *							port of the server's, and its answer to stdout
 *	libssh-client PORT USER remote PORT COMMAND	that port of the server's is forwarded here: what
 *							COMMAND sends to it comes back twice
 *	libssh-client PORT USER sftp FILE REMOTE BACK	puts FILE, gets it again
 *
 * The environment has the rest: LIBSSH_KNOWN_HOSTS, LIBSSH_KEY, LIBSSH_PASSWORD, LIBSSH_ANSWERS (one a
 * line), LIBSSH_REKEY (bytes), LIBSSH_ENV (NAME=VALUE). Exit status: the command's; 200 for a death by
 * signal, whose name is printed; 255 when something failed.
 */
#include <fcntl.h>
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/sftp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAILED 255
#define BY_SIGNAL 200
#define MAX_APART 64

static unsigned rekeys;

static void complain(ssh_session session, const char *what)
{
	(void)fprintf(stderr, "libssh-client: %s: %s\n", what, ssh_get_error(session));
}

/* libssh has no other way to tell. */
static void hear_log(int priority, const char *function, const char *message, void *userdata)
{
	rekeys += strstr(message, "triggered rekey") != NULL;
}

/* ---- logging in ---- */

static int answer_questions(ssh_session session, char *answers)
{
	int r = ssh_userauth_kbdint(session, NULL, NULL);

	while (r == SSH_AUTH_INFO) {
		int count = ssh_userauth_kbdint_getnprompts(session);
		for (int i = 0; i < count; i++) {
			char *answer = strsep(&answers, "\n");
			(void)ssh_userauth_kbdint_setanswer(
				session, (unsigned)i, answer ? answer : "");
		}
		r = ssh_userauth_kbdint(session, NULL, NULL);
	}
	return r;
}

static int log_in_by_key(ssh_session session, const char *path)
{
	ssh_key key = NULL;
	int r = SSH_AUTH_ERROR;

	if (ssh_pki_import_privkey_file(path, NULL, NULL, NULL, &key) == SSH_OK) {
		r = ssh_userauth_publickey(session, NULL, key);
	}
	ssh_key_free(key);
	return r;
}

static int log_in(ssh_session session)
{
	const char *key = getenv("LIBSSH_KEY");
	const char *password = getenv("LIBSSH_PASSWORD");
	const char *answers = getenv("LIBSSH_ANSWERS");
	char *own = answers ? strdup(answers) : NULL;
	int r = SSH_AUTH_DENIED;

	(void)ssh_userauth_none(session, NULL); /* asks which methods there are */
	if (key) {
		r = log_in_by_key(session, key);
	} else if (password) {
		r = ssh_userauth_password(session, NULL, password);
	} else if (own) {
		r = answer_questions(session, own);
	}
	free(own);
	return r == SSH_AUTH_SUCCESS ? 0 : -1;
}

static ssh_session connect_to(const char *port, const char *user)
{
	ssh_session session = ssh_new();
	const char *rekey = getenv("LIBSSH_REKEY");
	uint64_t limit = rekey ? strtoull(rekey, NULL, 10) : 0;
	const int no = 0;
	const int yes = 1;

	(void)ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &no);
	(void)ssh_options_set(session, SSH_OPTIONS_NODELAY, &yes);
	(void)ssh_options_set(session, SSH_OPTIONS_HOST, "127.0.0.1");
	(void)ssh_options_set(session, SSH_OPTIONS_PORT_STR, port);
	(void)ssh_options_set(session, SSH_OPTIONS_USER, user);
	(void)ssh_options_set(session, SSH_OPTIONS_KNOWNHOSTS, getenv("LIBSSH_KNOWN_HOSTS"));
	if (limit) {
		(void)ssh_options_set(session, SSH_OPTIONS_REKEY_DATA, &limit);
		(void)ssh_set_log_callback(hear_log);
		(void)ssh_set_log_level(SSH_LOG_PACKET);
	}
	if (ssh_connect(session) != SSH_OK) {
		complain(session, "connecting");
	} else if (ssh_session_is_known_server(session) != SSH_KNOWN_HOSTS_OK) {
		complain(session, "the host key");
	} else if (log_in(session) < 0) {
		complain(session, "logging in");
	} else {
		return session;
	}
	ssh_free(session);
	return NULL;
}

/* ---- channels ---- */

static void on_exit_signal(ssh_session session, ssh_channel channel, const char *name, int core,
	const char *text, const char *language, void *userdata)
{
	(void)snprintf(userdata, 32, "%s", name);
}

static ssh_channel open_session(ssh_session session)
{
	ssh_channel channel = ssh_channel_new(session);
	const char *setting = getenv("LIBSSH_ENV");
	const char *equals = setting ? strchr(setting, '=') : NULL;

	if (!channel || ssh_channel_open_session(channel) != SSH_OK) {
		complain(session, "opening a session");
		ssh_channel_free(channel);
		return NULL;
	}
	if (equals) {
		char name[64];
		(void)snprintf(name, sizeof(name), "%.*s", (int)(equals - setting), setting);
		(void)ssh_channel_request_env(channel, name, equals + 1);
	}
	return channel;
}

/* Moves what has come of one stream; returns how much. */
static int copy(ssh_channel channel, int is_stderr, FILE *to, int wait_ms)
{
	static char data[65536];
	int n = ssh_channel_read_timeout(channel, data, sizeof(data), is_stderr, wait_ms);

	if (n > 0) {
		(void)fwrite(data, 1, (size_t)n, to);
	}
	return n;
}

static void copy_all(ssh_channel channel)
{
	while (!ssh_channel_is_eof(channel) && ssh_channel_is_open(channel)) {
		(void)copy(channel, 0, stdout, 5);
		(void)copy(channel, 1, stderr, 0);
	}
	while (copy(channel, 0, stdout, 0) > 0 || copy(channel, 1, stderr, 0) > 0) {
	}
	(void)fflush(NULL);
}

/* Moves what comes on stdout until word has come. */
static int copy_until(ssh_channel channel, const char *word)
{
	char seen[4096] = "";
	size_t size = 0;

	while (!strstr(seen, word) && size < sizeof(seen) - 1) {
		int n = ssh_channel_read_timeout(
			channel, seen + size, (uint32_t)(sizeof(seen) - 1 - size), 0, 20000);
		if (n <= 0) {
			return -1;
		}
		size += (size_t)n;
	}
	(void)fwrite(seen, 1, size, stdout);
	return 0;
}

/* Sends stdin to its end. */
static int feed(ssh_channel channel)
{
	static char data[32768];
	ssize_t n = 0;

	while ((n = read(STDIN_FILENO, data, sizeof(data))) > 0) {
		if (ssh_channel_write(channel, data, (uint32_t)n) != n) {
			return -1;
		}
	}
	return ssh_channel_send_eof(channel) == SSH_OK ? 0 : -1;
}

static int status_of(ssh_channel channel, const char *by_signal)
{
	int status = ssh_channel_get_exit_status(channel);

	if (by_signal[0]) {
		(void)fprintf(stderr, "signal %s\n", by_signal);
		return BY_SIGNAL;
	}
	return status < 0 ? FAILED : status;
}

static void listen_for_signal(ssh_channel channel, struct ssh_channel_callbacks_struct *callbacks,
	char by_signal[static 32])
{
	callbacks->userdata = by_signal;
	callbacks->channel_exit_signal_function = on_exit_signal;
	ssh_callbacks_init(callbacks);
	(void)ssh_set_channel_callbacks(channel, callbacks);
}

/* ---- modes ---- */

static int do_exec(ssh_session session, char **arguments)
{
	struct ssh_channel_callbacks_struct callbacks = {0};
	ssh_channel channel = open_session(session);
	char by_signal[32] = "";
	int status = FAILED;

	if (!channel) {
		return FAILED;
	}
	listen_for_signal(channel, &callbacks, by_signal);
	if (ssh_channel_request_exec(channel, arguments[0]) == SSH_OK && feed(channel) == 0) {
		copy_all(channel);
		status = status_of(channel, by_signal);
	} else {
		complain(session, "exec");
	}
	ssh_channel_free(channel);
	return status;
}

static int do_pty(ssh_session session, char **arguments)
{
	ssh_channel channel = open_session(session);
	int status = FAILED;

	if (!channel) {
		return FAILED;
	}
	if (ssh_channel_request_pty_size(channel, arguments[0], 111, 37) == SSH_OK &&
		ssh_channel_request_exec(channel, arguments[1]) == SSH_OK &&
		copy_until(channel, arguments[0]) == 0 &&
		ssh_channel_change_pty_size(channel, 132, 50) == SSH_OK) {
		copy_all(channel);
		status = status_of(channel, "");
	} else {
		complain(session, "a terminal");
	}
	ssh_channel_free(channel);
	return status;
}

static uint64_t milliseconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Prints how long each tenth of them took, in milliseconds. */
static int do_many(ssh_session session, char **arguments)
{
	int count = atoi(arguments[0]);
	uint64_t begin = milliseconds();

	for (int i = 1; i <= count; i++) {
		ssh_channel channel = open_session(session);
		int status = -1;
		if (channel && ssh_channel_request_exec(channel, arguments[1]) == SSH_OK) {
			copy_all(channel);
			status = ssh_channel_get_exit_status(channel);
		}
		if (status != 0) {
			(void)fprintf(
				stderr, "channel %d: %d: %s\n", i, status, ssh_get_error(session));
			return FAILED;
		}
		(void)ssh_channel_close(channel);
		ssh_channel_free(channel);
		if (count >= 10 && i % (count / 10) == 0) {
			uint64_t now = milliseconds();
			(void)printf("#%d %llu\n", i, (unsigned long long)(now - begin));
			(void)fflush(stdout);
			begin = now;
		}
	}
	return 0;
}

static int do_apart(ssh_session session, char **arguments)
{
	ssh_channel channels[MAX_APART] = {NULL};
	int count = atoi(arguments[0]);
	char command[1024];

	count = count < MAX_APART ? count : MAX_APART;
	for (int i = 0; i < count; i++) {
		channels[i] = open_session(session);
		(void)snprintf(command, sizeof(command), "N=%d; %s", i, arguments[1]);
		if (!channels[i] || ssh_channel_request_exec(channels[i], command) != SSH_OK) {
			complain(session, "one of many");
			return FAILED;
		}
	}
	/* The last first: each has its own bytes, whenever they are asked for. */
	for (int i = count; i-- > 0;) {
		copy_all(channels[i]);
		(void)printf("%d\n", ssh_channel_get_exit_status(channels[i]));
		ssh_channel_free(channels[i]);
	}
	return 0;
}

/* Runs command and waits for its first words. */
static ssh_channel run_until_it_speaks(ssh_session session, const char *command)
{
	ssh_channel channel = open_session(session);
	char byte;

	if (channel && ssh_channel_request_exec(channel, command) == SSH_OK) {
		while (ssh_channel_read_timeout(channel, &byte, 1, 0, 20000) == 1) {
			if (byte == '\n') {
				return channel;
			}
		}
	}
	complain(session, "the command");
	return NULL;
}

static int do_direct(ssh_session session, char **arguments)
{
	ssh_channel command = run_until_it_speaks(session, arguments[1]);
	ssh_channel channel = command ? ssh_channel_new(session) : NULL;
	int port = atoi(arguments[0]);

	if (!channel ||
		ssh_channel_open_forward(channel, "127.0.0.1", port, "127.0.0.1", 1) != SSH_OK ||
		feed(channel) < 0) {
		complain(session, "the port");
		return FAILED;
	}
	copy_all(channel);
	ssh_channel_free(channel);
	ssh_channel_free(command);
	return 0;
}

static int do_remote(ssh_session session, char **arguments)
{
	int port = atoi(arguments[0]);
	ssh_channel channel = NULL;
	ssh_channel command = NULL;
	char data[512];
	int n = 0;

	if (ssh_channel_listen_forward(session, "127.0.0.1", port, NULL) != SSH_OK) {
		complain(session, "listening");
		return FAILED;
	}
	command = open_session(session);
	if (!command || ssh_channel_request_exec(command, arguments[1]) != SSH_OK) {
		complain(session, "the command");
		return FAILED;
	}
	channel = ssh_channel_open_forward_port(session, 20000, &port, NULL, NULL);
	n = channel ? ssh_channel_read_timeout(channel, data, sizeof(data), 0, 20000) : 0;
	if (n <= 0) {
		complain(session, "nobody came");
		return FAILED;
	}
	(void)ssh_channel_write(channel, data, (uint32_t)n);
	(void)ssh_channel_write(channel, data, (uint32_t)n);
	(void)ssh_channel_send_eof(channel);
	copy_all(command);
	ssh_channel_free(channel);
	ssh_channel_free(command);
	return 0;
}

static int put(sftp_session sftp, const char *from, const char *to)
{
	static char data[32768];
	sftp_file file = sftp_open(sftp, to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (file && fd >= 0 && (n = read(fd, data, sizeof(data))) > 0) {
		if (sftp_write(file, data, (size_t)n) != n) {
			break;
		}
	}
	(void)close(fd);
	return file && sftp_close(file) == SSH_OK && n == 0 ? 0 : -1;
}

static int get(sftp_session sftp, const char *from, const char *to)
{
	static char data[32768];
	sftp_file file = sftp_open(sftp, from, O_RDONLY, 0);
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = -1;

	while (file && fd >= 0 && (n = sftp_read(file, data, sizeof(data))) > 0) {
		if (write(fd, data, (size_t)n) != n) {
			break;
		}
	}
	(void)close(fd);
	return file && sftp_close(file) == SSH_OK && n == 0 ? 0 : -1;
}

static int do_sftp(ssh_session session, char **arguments)
{
	sftp_session sftp = sftp_new(session);
	int r = -1;

	if (sftp && sftp_init(sftp) == SSH_OK) {
		r = put(sftp, arguments[0], arguments[1]);
		r = r < 0 ? r : get(sftp, arguments[1], arguments[2]);
	}
	if (r < 0) {
		complain(session, "sftp");
	}
	sftp_free(sftp);
	return r < 0 ? FAILED : 0;
}

static const struct mode {
	const char *name;
	int arguments;
	int (*run)(ssh_session session, char **arguments);
} modes[] = {
	{"exec", 1, do_exec},
	{"pty", 2, do_pty},
	{"many", 2, do_many},
	{"apart", 2, do_apart},
	{"direct", 2, do_direct},
	{"remote", 2, do_remote},
	{"sftp", 3, do_sftp},
};

int main(int argc, char **argv)
{
	const struct mode *mode = NULL;
	ssh_session session = NULL;
	int status = FAILED;

	for (size_t i = 0; argc > 3 && i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(argv[3], modes[i].name) == 0 && argc == 4 + modes[i].arguments) {
			mode = &modes[i];
		}
	}
	if (!mode) {
		(void)fprintf(stderr, "usage: libssh-client PORT USER MODE ARGUMENT...\n");
		return FAILED;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	session = connect_to(argv[1], argv[2]);
	if (session) {
		status = mode->run(session, argv + 4);
		ssh_disconnect(session);
		ssh_free(session);
	}
	if (getenv("LIBSSH_REKEY")) {
		(void)fprintf(stderr, "rekeys %u\n", rekeys);
	}
	return status;
}
