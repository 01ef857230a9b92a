#include "sshd/control-answer.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "session/audit.h"

/* Up to the end of the line. Its length, or negative errno. */
static ssize_t read_line(int fd, char *text, size_t size)
{
	size_t used = 0;

	while (used < size) {
		ssize_t n = read(fd, text + used, size - used);
		if (n < 0 && errno != EINTR) {
			return -errno;
		}
		if (n == 0) {
			return (ssize_t)used;
		}
		const char *end = n > 0 ? memchr(text + used, '\n', (size_t)n) : NULL;
		if (end) {
			return end - text;
		}
		used += n > 0 ? (size_t)n : 0;
	}
	return -EMSGSIZE;
}

static json_t *describe(const struct roster_row *row)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:b, s:I}", "id",
		audit_text(row->id), "user", audit_text(row->user), "address",
		audit_text(row->address), "profile", audit_text(row->profile), "backend",
		audit_text(row->backend), "kind", audit_text(row->kind), "plan",
		audit_text(row->plan), "monitor", (int)row->monitor, "pty", (int)row->pty,
		"started", (json_int_t)row->started);
}

/* How many sessions the connection of id has: ids of one begin alike. */
static int count_channels(const struct roster *roster, const char *id)
{
	size_t length = strcspn(id, ".") + 1;
	struct roster_row row;
	size_t position = 0;
	int count = 0;

	while (roster_next(roster, &position, &row)) {
		count += strncmp(row.id, id, length) == 0;
	}
	return count;
}

static json_t *list_sessions(const struct control_helper *helper)
{
	json_t *list = json_array();
	struct roster_row row;
	size_t position = 0;

	while (roster_next(helper->roster, &position, &row)) {
		(void)json_array_append_new(list, describe(&row));
	}
	return json_pack("{s:b, s:b, s:I, s:I, s:o}", "ok", 1, "draining", (int)helper->draining,
		"connections", (json_int_t)limits_count_connections(helper->limits),
		"unauthenticated", (json_int_t)limits_count_unauthenticated(helper->limits),
		"sessions", list);
}

static json_t *refuse(const char *text)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static json_t *show_session(const struct control_helper *helper, const char *id)
{
	struct roster_row row;
	size_t position = 0;

	while (roster_next(helper->roster, &position, &row)) {
		if (strcmp(row.id, id) == 0) {
			json_t *session = describe(&row);
			(void)json_object_set_new(session, "channels",
				json_integer(count_channels(helper->roster, id)));
			return json_pack("{s:b, s:o}", "ok", 1, "session", session);
		}
	}
	return refuse("there is no such session");
}

static json_t *list_penalties(const struct control_helper *helper)
{
	json_t *list = json_array();
	struct penalty_row row;
	size_t position = 0;

	while (penalties_next(helper->penalties, io_now_usec(), &position, &row)) {
		char address[SOURCE_TEXT];
		bool user = row.source.family == 0;
		const char *who = user ? row.user : source_format(&row.source, address);
		(void)json_array_append_new(list,
			json_pack("{s:s, s:o, s:s, s:b, s:I}", "kind", user ? "user" : "address",
				"who", audit_text(who), "reason", penalty_name(row.reason),
				"enforced", (int)row.enforced, "seconds", (json_int_t)row.seconds));
	}
	return json_pack("{s:b, s:o}", "ok", 1, "penalties", list);
}

/*
 * Done by the listener, which alone can. What is to be watched takes the session's own monitor, which
 * may be busy: *ret_socket (the caller's) is what it gave, or -1.
 */
static json_t *ask_listener(
	const struct control_helper *helper, const struct control_request *request, int *ret_socket)
{
	const struct timeval patience = {.tv_sec = 5};
	struct control_answer answer = {0};
	size_t fds = 0;

	if (control_verb_changes(request->verb) && !helper->may_change) {
		return refuse("only root and the server's own user may do this");
	}
	(void)setsockopt(helper->listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (io_send(helper->listener, request, sizeof(*request), NULL, 0) < 0 ||
		io_receive(helper->listener, &answer, sizeof(answer), ret_socket, 1, &fds,
			MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(answer)) {
		return refuse("the server does not answer");
	}
	answer.text[sizeof(answer.text) - 1] = '\0';
	return answer.code < 0
		? refuse(answer.text)
		: json_pack("{s:b, s:I}", "ok", 1, "count", (json_int_t)answer.count);
}

static json_t *join_session(
	const struct control_helper *helper, const struct control_request *request, int *ret_socket)
{
	json_t *shown = show_session(helper, request->id);

	if (!json_is_true(json_object_get(shown, "ok"))) {
		return shown;
	}
	json_t *asked = ask_listener(helper, request, ret_socket);
	if (!json_is_true(json_object_get(asked, "ok"))) {
		json_decref(shown);
		return asked;
	}
	json_decref(asked);
	return shown;
}

static json_t *answer(
	const struct control_helper *helper, const struct control_request *request, int *ret_socket)
{
	switch (request->verb) {
	case CONTROL_SESSIONS:
		return list_sessions(helper);
	case CONTROL_SHOW:
		return show_session(helper, request->id);
	case CONTROL_PENALTIES:
		return list_penalties(helper);
	case CONTROL_KILL:
	case CONTROL_DRAIN:
	case CONTROL_CLEAR:
		return ask_listener(helper, request, ret_socket);
	case CONTROL_JOIN:
		return join_session(helper, request, ret_socket);
	case CONTROL_VERBS:
		break;
	}
	return refuse("not known");
}

int control_answer(const struct control_helper *helper)
{
	char text[CONTROL_MAX_REQUEST];
	struct control_request request;
	struct err err = {0};
	cleanup_close int socket = -1; /* of what is to be watched */
	ssize_t n = read_line(helper->client, text, sizeof(text));
	json_t *reply = NULL;

	if (n < 0) {
		reply = refuse("a line of JSON is expected, of less than 4096 bytes");
	} else if (control_request_parse(text, (size_t)n, &request, &err) < 0) {
		reply = refuse(err.msg);
	} else {
		reply = answer(helper, &request, &socket);
	}
	cleanup_free char *line = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	json_decref(reply);
	if (!line) {
		return 1;
	}
	if (socket >= 0) {
		/* It comes with the first byte of the line. */
		return io_send(helper->client, line, 1, &socket, 1) < 0 ||
			io_write_all(helper->client, line + 1, strlen(line + 1)) < 0 ||
			io_write_all(helper->client, "\n", 1) < 0;
	}
	return io_write_all(helper->client, line, strlen(line)) < 0 ||
		io_write_all(helper->client, "\n", 1) < 0;
}
