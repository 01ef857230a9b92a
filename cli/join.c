/*
 * `cloche join --read-only`: shows what a session prints, on somebody else's terminal.
 *
 * The session is not trusted, and a terminal obeys what it is shown: but for --raw all of it goes
 * through base/terminal.c. Nothing that is typed here goes anywhere.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/terminal.h"
#include "cli/cli.h"
#include "cli/control.h"
#include "sshd/watch.h"

#define REPLY_MAX 65536
#define SIGNAL_MSEC 1000
#define CTRL_C 3
#define CTRL_D 4

/* Also what --raw may have left behind: the mouse, pasting, keys. */
static const char undo[] = "\033[!p\033[0m\033[?25h\033[?7h\033(B\017";
static const char undo_raw[] =
	"\033[?1000l\033[?1002l\033[?1003l\033[?1004l\033[?1006l\033[?2004l\033[>4m\033[?1l\033>";
static const char undo_screen[] = "\033[?1049l";

struct watching {
	const char *id;
	int socket;
	bool raw, pty;
	bool keys; /* standard input is a terminal */
	bool screen; /* standard output is one */
	bool tilde; /* the last key */
	bool told_small;
	bool left; /* by who watches, while the session goes on */
	struct terminal_filter filter;
	struct termios before;
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int signo)
{
	told_to_end = signo;
}

/* A line of ours, wherever the session has left the cursor. */
__attribute__((format(printf, 2, 3))) static void say(
	const struct watching *watching, const char *format, ...)
{
	const char *end = watching->screen ? "\r\n" : "\n";
	char text[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)fprintf(stderr, "%scloche: %s%s", watching->screen ? "\r\n" : "", text, end);
}

/* The first line, and the socket that comes with it. NULL when there is none. */
static char *read_reply(int control, int *ret_socket)
{
	cleanup(buf_fini) struct buf line = {0};

	while (line.size < REPLY_MAX) {
		char part[4096];
		int fd = -1;
		size_t count = 0;
		ssize_t n = io_receive(control, part, sizeof(part), &fd, 1, &count, 0);
		if (n <= 0) {
			return NULL;
		}
		if (count == 1) {
			close_fdp(ret_socket);
			*ret_socket = fd;
		}
		buf_put(&line, part, (size_t)n);
		if (memchr(part, '\n', (size_t)n)) {
			return line.failed ? NULL : strndup((const char *)line.data, line.size);
		}
	}
	return NULL;
}

/* What is known of the session, and the socket to watch it by. NULL when all was said. */
static json_t *ask(const char *socket, const char *id, int *ret_socket)
{
	json_t *request = json_pack("{s:s, s:s}", "do", "join", "id", id);
	cleanup_free char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	cleanup_close int control = control_connect(socket);
	json_t *reply = NULL;

	json_decref(request);
	if (control < 0) {
		return NULL;
	}
	if (line && io_write_all(control, line, strlen(line)) == 0 &&
		io_write_all(control, "\n", 1) == 0) {
		cleanup_free char *text = read_reply(control, ret_socket);
		reply = text ? json_loads(text, 0, NULL) : NULL;
	}
	if (json_is_true(json_object_get(reply, "ok")) && *ret_socket >= 0) {
		return reply;
	}
	const char *why = json_string_value(json_object_get(reply, "error"));
	(void)cli_fail(CLI_FAILED, "%s", why ? why : "the server gave no answer");
	json_decref(reply);
	return NULL;
}

static bool reads_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);
		if (value && *value) {
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
		}
	}
	return false;
}

static void set_up(struct watching *watching)
{
	struct sigaction action = {.sa_handler = on_signal};
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		(void)sigaction(signals[i], &action, NULL);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	watching->screen = isatty(STDOUT_FILENO);
	watching->keys = tcgetattr(STDIN_FILENO, &watching->before) == 0;
	if (watching->keys) {
		struct termios now = watching->before;
		cfmakeraw(&now);
		/* What a terminal of its own prints has its line ends; what a pipe prints has not. */
		now.c_oflag |= watching->pty ? 0 : watching->before.c_oflag;
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
	}
}

static void tear_down(const struct watching *watching)
{
	if (watching->screen) {
		(void)io_write_all(STDOUT_FILENO, undo, sizeof(undo) - 1);
		if (watching->raw) {
			(void)io_write_all(STDOUT_FILENO, undo_raw, sizeof(undo_raw) - 1);
		}
		if (watching->raw || watching->filter.alternate) {
			(void)io_write_all(STDOUT_FILENO, undo_screen, sizeof(undo_screen) - 1);
		}
	}
	if (watching->keys) {
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &watching->before);
	}
}

static void compare_sizes(struct watching *watching, const struct winsize *theirs)
{
	struct winsize own = {0};
	bool small = watching->screen && ioctl(STDOUT_FILENO, TIOCGWINSZ, &own) == 0 &&
		(own.ws_row < theirs->ws_row || own.ws_col < theirs->ws_col);

	if (small && !watching->told_small) {
		say(watching,
			"the session's terminal has %u rows and %u columns, this one %u and %u: "
			"what it "
			"shows does not fit",
			theirs->ws_row, theirs->ws_col, own.ws_row, own.ws_col);
	}
	watching->told_small = small;
}

/* 0, or negative errno when nobody reads it. */
static int show(struct watching *watching, const struct watch_record *record)
{
	cleanup(buf_fini) struct buf out = {0};

	if (watching->raw) {
		return io_write_all(STDOUT_FILENO, record->data, record->data_size);
	}
	terminal_filter(&watching->filter, record->data, record->data_size, &out);
	return out.failed ? -ENOMEM : io_write_all(STDOUT_FILENO, out.data, out.size);
}

/* One packet. -1: go on; else the exit code. */
static int hear(struct watching *watching)
{
	static uint8_t packet[WATCH_RECORD_MAX];
	struct watch_record record;
	ssize_t n =
		io_receive(watching->socket, packet, sizeof(packet), NULL, 0, NULL, MSG_DONTWAIT);

	if (n == -EAGAIN) {
		return -1;
	}
	if (n <= 0) {
		say(watching, "the connection of session %s has ended", watching->id);
		return CLI_OK;
	}
	if (watch_parse(packet, (size_t)n, &record) < 0) {
		say(watching, "the process that serves the session sends what is no record");
		return CLI_FAILED;
	}
	switch (record.kind) {
	case WATCH_SIZE:
		compare_sizes(watching, &record.size);
		return -1;
	case WATCH_DATA:
		return show(watching, &record) < 0 ? CLI_FAILED : -1;
	case WATCH_LOST:
		say(watching, "[%" PRIu64 " bytes not shown]", record.lost);
		return -1;
	case WATCH_FULL:
		say(watching, "session %s is watched by as many as may", watching->id);
		return CLI_FAILED;
	case WATCH_END:
		break;
	}
	say(watching, "session %s has ended", watching->id);
	return CLI_OK;
}

/* Does the watcher want to leave? Everything else is for nobody. */
static bool read_keys(struct watching *watching)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n < 0 && errno == EINTR) {
		return false;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (keys[i] == 'q' || keys[i] == CTRL_C || keys[i] == CTRL_D ||
			(watching->tilde && keys[i] == '.')) {
			return true;
		}
		watching->tilde = keys[i] == '~';
	}
	return n <= 0;
}

static int watch(struct watching *watching)
{
	while (!told_to_end) {
		struct pollfd fds[] = {{.fd = watching->socket, .events = POLLIN},
			{.fd = watching->keys ? STDIN_FILENO : -1, .events = POLLIN}};
		/* A signal that comes just before would be slept over. */
		if (poll(fds, ARRAY_SIZE(fds), SIGNAL_MSEC) < 0) {
			continue;
		}
		int code = fds[0].revents ? hear(watching) : -1;
		if (code >= 0) {
			return code;
		}
		if (fds[1].revents && read_keys(watching)) {
			break;
		}
	}
	watching->left = true;
	return CLI_OK;
}

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "-";
}

static int join(const char *control, const char *id, bool raw)
{
	cleanup_close int socket = -1;
	json_t *reply = ask(control, id, &socket);
	const json_t *row = json_object_get(reply, "session");
	struct watching watching = {.id = id, .raw = raw, .filter = {.ascii = !reads_utf8()}};

	if (!reply) {
		return CLI_FAILED;
	}
	watching.socket = socket;
	watching.pty = json_is_true(json_object_get(row, "pty"));
	(void)fprintf(stderr,
		"cloche: session %s of %s (profile %s, %s%s); from here on what it prints%s; %s\n",
		id, text_of(row, "user"), text_of(row, "profile"), text_of(row, "kind"),
		watching.pty ? " on a terminal" : "", raw ? ", as it is" : "",
		isatty(STDIN_FILENO) ? "q, Ctrl-C or ~. leaves" : "Ctrl-C leaves");
	json_decref(reply);
	set_up(&watching);
	int code = watch(&watching);
	tear_down(&watching);
	if (watching.left) {
		say(&watching, "session %s is watched no longer", id);
	}
	if (watching.filter.dropped > 0) {
		(void)fprintf(stderr,
			"cloche: control sequences that were not shown: %" PRIu64 "\n",
			watching.filter.dropped);
	}
	return code;
}

int command_join(int argc, char **argv)
{
	static const struct option options[] = {
		{"read-only", no_argument, NULL, 'o'},
		{"raw", no_argument, NULL, 'r'},
		{"socket", required_argument, NULL, 's'},
		{.name = NULL},
	};
	const char *socket = NULL;
	bool read_only = false;
	bool raw = false;
	int c = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == ':' || c == '?') {
			return cli_fail(CLI_USAGE,
				c == ':' ? "join: %s needs a value"
					 : "join: %s is no option; `cloche help join` lists them",
				argv[optind - 1]);
		}
		read_only |= c == 'o';
		raw |= c == 'r';
		socket = c == 's' ? optarg : socket;
	}
	if (!read_only) {
		return cli_fail(CLI_USAGE,
			"join needs --read-only: a session can be watched, and typed into by its "
			"user "
			"alone");
	}
	if (argc - optind != 1) {
		return cli_fail(CLI_USAGE,
			"join takes the ID of one session; `cloche sessions` lists them");
	}
	cleanup_free char *id = control_find_id(socket, argv[optind]);
	return id ? join(socket, id, raw) : CLI_FAILED;
}
