/*
 * What can be tried only with something of the server's owner: a key that is bound to a command, a
 * login whose sandbox cannot be made, the log. What was not given is not tried, and said so.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "testkit/ssh-attempt.h"

#define MAX_LOG (16U << 20)
#define LOG_MS 500 /* for a line to be written; the client has ended by then */
#define NOT_CONNECTED 255 /* how ssh ends when there was no session */

/* A sum that a shell has to work out: text that is only repeated does not have it. */
#define SUM "$((1300 + 37))"
#define SUM_IS "1337"

static bool has(const struct ssh_attempt *attempt, const char *text)
{
	return attempt->out && strstr(attempt->out, text);
}

/* ---- a key for one command ---- */

/* By a command, by the input of a shell, by a connection to a listener of the host's. */
static const char *try_more(struct ssh_attempt *attempt, bool *ret_came)
{
	static char direct[] = "-W";
	const char *key = attempt->offers->forced_key;
	char where[40];
	char port[16] = "";
	char line[96];
	char *const options[] = {direct, where, NULL};
	cleanup(strv_freep) char **command =
		ssh_words_by_key(attempt, key, NULL, "echo forced" SUM);
	cleanup(strv_freep) char **shell = ssh_words_by_key(attempt, key, NULL, NULL);
	cleanup(strv_freep) char **forward = NULL;

	(void)ssh_run(attempt, command, NULL, false);
	*ret_came = attempt->code != NOT_CONNECTED && attempt->code >= 0;
	if (!*ret_came) {
		return NULL;
	}
	if (has(attempt, "forced" SUM_IS)) {
		return "a command of ours ran";
	}
	(void)ssh_run(attempt, shell, "echo forced" SUM "\nexit\n", false);
	if (has(attempt, "forced" SUM_IS)) {
		return "a shell ran";
	}
	(void)ssh_setting(attempt, "tcp4", port, sizeof(port));
	(void)snprintf(where, sizeof(where), "127.0.0.1:%s", port);
	(void)snprintf(line, sizeof(line), "%s %s\n", attempt->canary->fence, attempt->probe->id);
	forward = ssh_words_by_key(attempt, key, options, NULL);
	(void)ssh_run(attempt, forward, line, false);
	return ssh_reached(attempt) ? "the host's loopback was reached" : NULL;
}

void ssh_try_forced(struct ssh_attempt *attempt)
{
	const char *more = NULL;
	bool came = true;

	if (!attempt->offers->forced_key) {
		ssh_decline(attempt, "--forced-key did not give a key that is bound to a command");
		return;
	}
	if (ssh_is_control(attempt)) {
		(void)ssh_run_command(attempt, NULL, "echo forced" SUM, false);
		more = has(attempt, "forced" SUM_IS) ? "a command of ours ran" : NULL;
	} else {
		more = try_more(attempt, &came);
	}
	if (!came) {
		ssh_decline(attempt, "nobody can log in by the key of --forced-key");
		return;
	}
	ssh_claim(attempt, more != NULL);
	ssh_conclude(attempt, more != NULL, LEVEL_TOKEN);
	ssh_say(attempt, "%s", more ? more : "nothing but the command of the key");
}

/* ---- a sandbox that cannot be made ---- */

void ssh_try_fail_closed(struct ssh_attempt *attempt)
{
	char path[160];
	char command[240];
	cleanup(strv_freep) char **words = NULL;
	struct stat info;

	if (!attempt->offers->broken_user) {
		ssh_decline(
			attempt, "--broken-user did not name a login whose sandbox cannot be made");
		return;
	}
	(void)snprintf(
		path, sizeof(path), "%s/meet/%s", attempt->canary->directory, attempt->probe->id);
	(void)snprintf(command, sizeof(command), "echo open" SUM "; mkdir %s", path);
	if (ssh_is_control(attempt)) {
		(void)ssh_run_command(attempt, NULL, command, false);
	} else {
		words = ssh_words_as(attempt, attempt->offers->broken_user, command);
		(void)ssh_run(attempt, words, NULL, false);
	}
	bool ran = has(attempt, "open" SUM_IS);
	bool made = lstat(path, &info) == 0;
	ssh_claim(attempt, ran || attempt->code == 0);
	ssh_conclude(attempt, ran || made, made ? LEVEL_COMPARED : LEVEL_TOKEN);
	ssh_say(attempt, "exit code %d%s", attempt->code, ran ? ", and the command ran" : "");
	(void)rmdir(path);
}

/* ---- the log ---- */

/* Its last line that has some length, without the newline. False: none, or it cannot be read. */
static bool last_line(const char *path, char *out, size_t size)
{
	cleanup_free char *text = NULL;
	size_t length = 0;

	out[0] = '\0';
	if (io_read_file(AT_FDCWD, path, MAX_LOG, &text, &length) < 0) {
		return false;
	}
	while (length > 0 && !out[0]) {
		text[length] = '\0';
		const char *at = memrchr(text, '\n', length);
		const char *line = at ? at + 1 : text;
		if (strlen(line) > 20) {
			(void)snprintf(out, size, "%s", line);
		}
		length = at ? (size_t)(at - text) : 0;
	}
	return out[0] != '\0';
}

void ssh_try_log_read(struct ssh_attempt *attempt)
{
	const char *path = attempt->offers->server_log;
	char line[200];
	char command[400];

	if (!path || !last_line(path, line, sizeof(line))) {
		ssh_decline(attempt,
			path ? "the log of --server-log is empty, or not for us"
			     : "--server-log did not say where the log is");
		return;
	}
	(void)snprintf(
		command, sizeof(command), "tail -c 65536 '%s' 2>/dev/null; echo looked", path);
	(void)ssh_run_command(attempt, NULL, command, false);
	ssh_claim(attempt, has(attempt, line));
	if (has(attempt, "looked")) {
		ssh_conclude(attempt, has(attempt, line), LEVEL_TOKEN);
	}
}

/* What was added behind `from` bytes. */
static char *read_added(const char *path, off_t from)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;

	if (fd < 0 || lseek(fd, from, SEEK_SET) < 0 || io_read_fd(fd, MAX_LOG, &text, NULL) < 0) {
		return NULL;
	}
	return text;
}

/* Does a line of the text begin with the token? */
static bool has_line(const char *text, const char *token)
{
	const char *at = strstr(text, token);

	while (at && at > text && at[-1] != '\n') {
		at = strstr(at + 1, token);
	}
	return at != NULL;
}

/* Names and commands with a line's end in them. */
static void write_lines(struct ssh_attempt *attempt, const char *path, const char *token)
{
	char text[400];
	cleanup(strv_freep) char **command = NULL;
	cleanup(strv_freep) char **name = NULL;

	if (ssh_is_control(attempt)) {
		(void)snprintf(text, sizeof(text), "printf 'x\\n%s y\\n' >>'%s'", token, path);
		(void)ssh_run_command(attempt, NULL, text, false);
		return;
	}
	(void)snprintf(text, sizeof(text), "x\n%s y", token);
	name = ssh_words_as(attempt, text, "true");
	(void)ssh_run(attempt, name, NULL, false);
	(void)snprintf(text, sizeof(text), "true\n: %s\n%s y 2>/dev/null", token, token);
	command = ssh_words(attempt, NULL, text);
	(void)ssh_run(attempt, command, NULL, false);
}

void ssh_try_log_lines(struct ssh_attempt *attempt)
{
	const char *path = attempt->offers->server_log;
	char own[160];
	char token[CANARY_TOKEN];
	struct stat info = {0};
	bool found = false;
	bool grown = false;
	uint64_t until = 0;

	if (!path) {
		ssh_decline(attempt, "--server-log did not say where the log is");
		return;
	}
	(void)canary_token(attempt->canary, attempt->probe->id, token);
	if (ssh_is_control(attempt)) {
		(void)snprintf(own, sizeof(own), "%s/%s", attempt->canary->tmp, attempt->probe->id);
		path = own;
	}
	(void)stat(path, &info);
	write_lines(attempt, path, token);
	until = io_now_usec() + LOG_MS * 1000;
	do {
		cleanup_free char *added = read_added(path, info.st_size);
		grown |= added && *added;
		found = added && has_line(added, token);
		(void)usleep(found ? 0 : SSH_STEP_MS * 1000);
	} while (!found && io_now_usec() < until);
	if (!grown) {
		ssh_decline(attempt, "nothing was added to the log of --server-log");
		return;
	}
	ssh_claim(attempt, found);
	ssh_conclude(attempt, found, LEVEL_EVENT);
}
