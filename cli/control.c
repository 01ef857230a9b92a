/*
 * What a running server says of itself, and is told: `cloche sessions` and `cloche penalties`. One
 * line of JSON each way over its control socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/control.h"
#include "session/config.h"

struct wishes {
	const char *socket, *reason, *clear;
	bool json;
};

int control_connect(const char *wanted)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[CONFIG_CONTROL_PATH];

	if (!config_control_path(wanted ? wanted : "auto", path)) {
		return cli_fail(-1,
			"without root or XDG_RUNTIME_DIR there is no usual control socket; "
			"name it with --socket");
	}
	memcpy(address.sun_path, path, sizeof(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int code = errno;
		(void)close(fd);
		fd = cli_fail(-1,
			"no server answers at %s: %s; --socket names another, as the server's key "
			"control does",
			path, strerror(code));
	}
	return fd;
}

/* One line: what comes behind it may be no more than word that the server has hung up. */
static char *read_reply(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	FILE *stream = copy >= 0 ? fdopen(copy, "r") : NULL;
	char *line = NULL;
	size_t room = 0;

	if (!stream) {
		close_fdp(&copy);
		return NULL;
	}
	if (getline(&line, &room, stream) < 0) {
		free(line);
		line = NULL;
	}
	(void)fclose(stream);
	return line;
}

/* Consumes request. The server's reply if it says ok, or NULL when all was said. */
static json_t *ask(const struct wishes *wishes, json_t *request)
{
	cleanup_free char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	cleanup_free char *text = NULL;
	cleanup_close int fd = control_connect(wishes->socket);
	json_t *reply = NULL;

	json_decref(request);
	if (fd < 0) {
		return NULL;
	}
	if (!line || io_write_all(fd, line, strlen(line)) < 0 || io_write_all(fd, "\n", 1) < 0) {
		/* Who may not ask is told so without being read: there may be an answer all the same. */
		(void)shutdown(fd, SHUT_WR);
	}
	text = read_reply(fd);
	if (!text || !(reply = json_loads(text, 0, NULL))) {
		(void)cli_fail(CLI_FAILED, "the server gave no answer");
		return NULL;
	}
	if (!json_is_true(json_object_get(reply, "ok"))) {
		const char *why = json_string_value(json_object_get(reply, "error"));
		(void)cli_fail(CLI_FAILED, "%s", why ? why : "the server refused");
		json_decref(reply);
		return NULL;
	}
	return reply;
}

/* A member of a row; control bytes were made harmless by the server. */
static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "-";
}

static int print_json(const json_t *reply)
{
	int r = json_dumpf(reply, stdout, JSON_INDENT(2));

	(void)putchar('\n');
	return r == 0 && cli_flush() ? CLI_OK : CLI_FAILED;
}

static void format_since(const json_t *row, char *text, size_t size)
{
	json_int_t seconds = time(NULL) - json_integer_value(json_object_get(row, "started"));

	if (seconds < 0) {
		seconds = 0;
	}
	(void)snprintf(text, size, "%lld:%02lld:%02lld", (long long)seconds / 3600,
		(long long)seconds / 60 % 60, (long long)seconds % 60);
}

/* Of a column: no wider than what stands in it, so that a row fits a terminal as long as it can. */
static int width_of(const json_t *list, const char *title, const char *name)
{
	size_t width = strlen(title);

	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t length = strlen(text_of(json_array_get(list, i), name));
		width = length > width ? length : width;
	}
	return (int)width;
}

static const struct {
	const char *title, *name;
} columns[] = {
	{"ID", "id"},
	{"USER", "user"},
	{"ADDRESS", "address"},
	{"PROFILE", "profile"},
	{"BACKEND", "backend"},
	{"KIND", "kind"},
};

static int print_sessions(const json_t *reply)
{
	const json_t *list = json_object_get(reply, "sessions");
	int widths[ARRAY_SIZE(columns)];

	for (size_t c = 0; c < ARRAY_SIZE(columns); c++) {
		widths[c] = width_of(list, columns[c].title, columns[c].name);
		(void)printf("%-*s ", widths[c], columns[c].title);
	}
	(void)printf("TIME\n");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		char since[32];
		format_since(row, since, sizeof(since));
		for (size_t c = 0; c < ARRAY_SIZE(columns); c++) {
			(void)printf("%-*s ", widths[c], text_of(row, columns[c].name));
		}
		(void)printf("%s\n", since);
	}
	size_t count = json_array_size(list);
	long long connections = json_integer_value(json_object_get(reply, "connections"));
	(void)printf("%zu session%s, %lld connection%s%s\n", count, count == 1 ? "" : "s",
		connections, connections == 1 ? "" : "s",
		json_is_true(json_object_get(reply, "draining")) ? "; the server is draining" : "");
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

char *control_find_id(const char *socket, const char *typed)
{
	const struct wishes wishes = {.socket = socket};
	json_t *reply = ask(&wishes, json_pack("{s:s}", "do", "sessions"));
	const json_t *list = json_object_get(reply, "sessions");
	const char *found = NULL;
	char *id = NULL;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *candidate = text_of(json_array_get(list, i), "id");
		if (strncmp(candidate, typed, strlen(typed)) != 0) {
			continue;
		}
		if (strcmp(candidate, typed) == 0) {
			found = candidate;
			break;
		}
		if (found) {
			(void)cli_fail(
				CLI_FAILED, "%s begins more than one id: say more of it", typed);
			json_decref(reply);
			return NULL;
		}
		found = candidate;
	}
	if (found) {
		id = strdup(found);
	} else if (reply) {
		(void)cli_fail(
			CLI_FAILED, "there is no session %s; `cloche sessions` lists them", typed);
	}
	json_decref(reply);
	return id;
}

static int show(const struct wishes *wishes, const char *typed)
{
	cleanup_free char *id = control_find_id(wishes->socket, typed);
	json_t *reply = id ? ask(wishes, json_pack("{s:s, s:s}", "do", "show", "id", id)) : NULL;
	const char *name = NULL;
	json_t *value = NULL;
	int code = CLI_FAILED;

	if (!reply) {
		return CLI_FAILED;
	}
	if (wishes->json) {
		code = print_json(json_object_get(reply, "session"));
	} else {
		json_object_foreach(json_object_get(reply, "session"), name, value)
		{
			cleanup_free char *text =
				json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
			(void)printf("%-9s %s\n", name,
				json_is_string(value) ? json_string_value(value)
					: text        ? text
						      : "-");
		}
		code = cli_flush() ? CLI_OK : CLI_FAILED;
	}
	json_decref(reply);
	return code;
}

static int kill_session(const struct wishes *wishes, const char *typed)
{
	cleanup_free char *id = control_find_id(wishes->socket, typed);
	json_t *request = id
		? json_pack("{s:s, s:s, s:s*}", "do", "kill", "id", id, "reason", wishes->reason)
		: NULL;
	json_t *reply = request ? ask(wishes, request) : NULL;

	json_decref(reply);
	return reply ? CLI_OK : CLI_FAILED;
}

static int drain(const struct wishes *wishes)
{
	json_t *reply = ask(wishes, json_pack("{s:s}", "do", "drain"));
	long long left = json_integer_value(json_object_get(reply, "count"));

	if (!reply) {
		return CLI_FAILED;
	}
	json_decref(reply);
	(void)printf("the server takes no more connections; it ends with the last of %lld\n", left);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

static int list_sessions(const struct wishes *wishes)
{
	json_t *reply = ask(wishes, json_pack("{s:s}", "do", "sessions"));
	int code = CLI_FAILED;

	if (reply) {
		code = wishes->json ? print_json(reply) : print_sessions(reply);
	}
	json_decref(reply);
	return code;
}

/* -1: go on. What an option is for is decided by the command, which lists those it has. */
static int parse(int argc, char **argv, const char *with, struct wishes *ret)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"socket", required_argument, NULL, 's'},
		{"reason", required_argument, NULL, 'r'},
		{"clear", required_argument, NULL, 'c'},
		{.name = NULL},
	};
	int c = 0;

	*ret = (struct wishes){0};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == ':') {
			return cli_fail(
				CLI_USAGE, "%s: %s needs a value", argv[0], argv[optind - 1]);
		}
		if (c == '?' || !strchr(with, c)) {
			return cli_fail(CLI_USAGE,
				"%s: %s is no option; `cloche help %s` lists them", argv[0],
				argv[optind - 1], argv[0]);
		}
		ret->json |= c == 'j';
		ret->socket = c == 's' ? optarg : ret->socket;
		ret->reason = c == 'r' ? optarg : ret->reason;
		ret->clear = c == 'c' ? optarg : ret->clear;
	}
	return -1;
}

int command_sessions(int argc, char **argv)
{
	struct wishes wishes;
	int r = parse(argc, argv, "jsr", &wishes);
	char **words = argv + optind;
	int count = argc - optind;

	if (r >= 0) {
		return r;
	}
	bool kill_wanted = count == 2 && strcmp(words[0], "kill") == 0;
	if (wishes.reason && !kill_wanted) {
		return cli_fail(CLI_USAGE, "--reason is for sessions kill");
	}
	if (kill_wanted) {
		return kill_session(&wishes, words[1]);
	}
	if (count == 0) {
		return list_sessions(&wishes);
	}
	if (count == 2 && strcmp(words[0], "show") == 0) {
		return show(&wishes, words[1]);
	}
	if (count == 1 && strcmp(words[0], "drain") == 0) {
		return drain(&wishes);
	}
	return cli_fail(CLI_USAGE, "sessions takes nothing, show ID, kill ID or drain");
}

static int print_penalties(const json_t *reply)
{
	const json_t *list = json_object_get(reply, "penalties");
	int width = width_of(list, "WHO", "who");

	(void)printf(
		"%-8s %-*s %-17s %-8s %s\n", "KIND", width, "WHO", "REASON", "WAITS", "SECONDS");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		(void)printf("%-8s %-*s %-17s %-8s %lld\n", text_of(row, "kind"), width,
			text_of(row, "who"), text_of(row, "reason"),
			json_is_true(json_object_get(row, "enforced")) ? "yes" : "not yet",
			(long long)json_integer_value(json_object_get(row, "seconds")));
	}
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

int command_penalties(int argc, char **argv)
{
	struct wishes wishes;
	int r = parse(argc, argv, "jsc", &wishes);
	json_t *request = NULL;
	json_t *reply = NULL;

	if (r >= 0) {
		return r;
	}
	if (optind < argc) {
		return cli_fail(CLI_USAGE, "penalties takes no argument '%s'", argv[optind]);
	}
	request = wishes.clear ? json_pack("{s:s, s:s}", "do", "clear", "who", wishes.clear)
			       : json_pack("{s:s}", "do", "penalties");
	reply = ask(&wishes, request);
	if (!reply) {
		return CLI_FAILED;
	}
	r = wishes.clear ? CLI_OK : wishes.json ? print_json(reply) : print_penalties(reply);
	json_decref(reply);
	return r;
}
