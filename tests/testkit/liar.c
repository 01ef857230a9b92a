/*
 * A client that lies: runs the real one and changes what it reports. "refuse" denies what was done,
 * "boast" claims what was refused, "mumble" leaves every second answer out, "rename" takes no name that the
 * host could find it by. It knows the fence, as a taken-over client would.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "testkit/protocol.h"

static const char *mode;
static char fence[PROTOCOL_MAX_FENCE + 1];
static unsigned sequence, answers;

static void twist(struct protocol_line *line)
{
	if (strcmp(mode, "refuse") == 0 && line->claim == CLAIM_DONE) {
		line->claim = CLAIM_REFUSED;
		line->error = EPERM;
		line->size = 0;
	} else if (strcmp(mode, "boast") == 0 && line->claim != CLAIM_DONE) {
		line->claim = CLAIM_DONE;
		line->error = 0;
		line->size = 3;
		memcpy(line->text, "lie", 4);
	}
}

static int take(const char *text, size_t size, void *context)
{
	char out[PROTOCOL_MAX_LINE + 64];
	struct protocol_line line;

	(void)context;
	if (!fence[0] && size > 1 && text[0] == '@') {
		(void)snprintf(fence, sizeof(fence), "%.*s", (int)strcspn(text + 1, " "), text + 1);
	}
	if (!fence[0] || protocol_parse(text, size, fence, &line) != 1) {
		return 0;
	}
	if (line.kind == PROTOCOL_RESULT) {
		twist(&line);
		if (strcmp(mode, "mumble") == 0 && answers++ % 2 == 0) {
			return 0;
		}
	}
	line.sequence = sequence++;
	return io_write_all(1, out, protocol_format(&line, fence, out, sizeof(out)));
}

/* What the host says, but for the name. Never returns. */
static void pass_input(int out)
{
	char line[PROTOCOL_MAX_LINE];

	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, "set name ", 9) == 0) {
			(void)snprintf(line, sizeof(line), "set name nobody-here\n");
		}
		if (io_write_all(out, line, strlen(line)) < 0) {
			break;
		}
	}
	_exit(0);
}

/* Puts one of ours between the host and the client. */
static int rename_client(void)
{
	int ends[2];
	pid_t pid = pipe(ends) < 0 ? -1 : fork();

	if (pid == 0) {
		(void)close(ends[0]);
		pass_input(ends[1]);
	}
	if (pid < 0 || dup2(ends[0], 0) < 0) {
		return -1;
	}
	(void)close(ends[0]);
	(void)close(ends[1]);
	return 0;
}

int main(int argc, char **argv)
{
	static struct protocol_stream stream;
	char data[4096];
	int ends[2];
	pid_t pid = 0;
	ssize_t n = 0;

	if (argc != 3 || pipe(ends) < 0 || (pid = fork()) < 0) {
		return 2;
	}
	mode = argv[1];
	if (pid == 0 && strcmp(mode, "rename") == 0 && rename_client() < 0) {
		_exit(2);
	}
	if (pid == 0) {
		char *client[] = {argv[2], NULL};
		if (dup2(ends[1], 1) < 0 || close(ends[0]) < 0 || close(ends[1]) < 0) {
			_exit(2);
		}
		(void)execv(client[0], client);
		_exit(127);
	}
	(void)close(ends[1]);
	while ((n = read(ends[0], data, sizeof(data))) > 0) {
		if (protocol_feed(&stream, data, (size_t)n, take, NULL) < 0) {
			break;
		}
	}
	(void)waitpid(pid, NULL, 0);
	return 0;
}
