/*
 * Clients that behave badly, by name: what a sandbox could hold instead of ours. None of them may
 * cost the host more than the time it has set itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "testkit/protocol.h"

static char fence[PROTOCOL_MAX_FENCE + 1];

/* Reads its own standard input up to the greeting, as the real one does. */
static void learn_fence(void)
{
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strncmp(line, "set fence ", 10) == 0) {
			(void)snprintf(fence, sizeof(fence), "%.32s", line + 10);
		}
		if (strcmp(line, "hello") == 0) {
			return;
		}
	}
	exit(0);
}

static void say(const struct protocol_line *line)
{
	char text[PROTOCOL_MAX_LINE + 64];

	if (io_write_all(1, text, protocol_format(line, fence, text, sizeof(text))) < 0) {
		exit(0);
	}
}

static void greet(void)
{
	learn_fence();
	say(&(struct protocol_line){.kind = PROTOCOL_HELLO, .pid = 1});
}

static void behave_hang(void)
{
	for (;;) {
		(void)pause();
	}
}

static void behave_leave(void)
{
}

static void behave_garbage(void)
{
	char noise[4096];

	for (;;) {
		io_random(noise, sizeof(noise));
		if (io_write_all(1, noise, sizeof(noise)) < 0) {
			return;
		}
	}
}

static void behave_greet_and_hang(void)
{
	greet();
	behave_hang();
}

static void behave_greet_and_leave(void)
{
	greet();
}

/* Well-formed lines without end, about a probe that was asked for and ones that were not. */
static void behave_flood(void)
{
	struct protocol_line line = {.kind = PROTOCOL_RESULT, .claim = CLAIM_DONE};

	greet();
	for (unsigned i = 0;; i++) {
		line.sequence = i;
		(void)snprintf(line.id, sizeof(line.id), i % 2 ? "N.tcp4" : "no.such%u", i);
		say(&line);
	}
}

/* Says it is done without having answered anything. */
static void behave_skip(void)
{
	greet();
	say(&(struct protocol_line){.kind = PROTOCOL_END, .sequence = 1, .size = 100});
	behave_hang();
}

/* Answers what it is asked, and is gone at the start of one probe: killed. */
static const char *last;

static void behave_die(void)
{
	struct protocol_line line = {.sequence = 1, .claim = CLAIM_REFUSED, .error = EPERM};
	char text[256];

	greet();
	while (fgets(text, sizeof(text), stdin) && strcmp(text, "go\n") != 0) {
		text[strcspn(text, "\n")] = '\0';
		if (strncmp(text, "run ", 4) != 0) {
			continue;
		}
		(void)snprintf(line.id, sizeof(line.id), "%.32s", text + 4);
		line.kind = PROTOCOL_START;
		say(&line);
		line.sequence++;
		if (strcmp(line.id, last) == 0) {
			(void)raise(SIGKILL);
		}
		line.kind = PROTOCOL_RESULT;
		say(&line);
		line.sequence++;
	}
	/* Another session asks for other probes: this one goes well. */
	say(&(struct protocol_line){.kind = PROTOCOL_END, .sequence = line.sequence});
	while (fgets(text, sizeof(text), stdin)) {
	}
}

/* Reaches the victim and keeps it from telling: says that it was refused. */
static void silence(int signo)
{
	struct protocol_line line = {.sequence = 1, .claim = CLAIM_REFUSED, .error = EPERM};
	char text[256];
	int victim = 0;

	greet();
	while (fgets(text, sizeof(text), stdin) && strcmp(text, "go\n") != 0) {
		(void)sscanf(text, "set victim %d", &victim);
		if (sscanf(text, "run %32s", line.id) != 1) {
			continue;
		}
		if (strcmp(line.id, "P.kill") == 0 && victim > 0) {
			(void)kill(victim, signo);
			(void)kill(victim, SIGUSR1);
		}
		line.kind = PROTOCOL_RESULT;
		say(&line);
		line.sequence++;
	}
	say(&(struct protocol_line){.kind = PROTOCOL_END, .sequence = line.sequence});
	behave_hang();
}

static void behave_murder(void)
{
	silence(SIGKILL);
}

static void behave_stop(void)
{
	silence(SIGSTOP);
}

static const struct {
	const char *name;
	void (*behave)(void);
} behaviours[] = {
	{"hang", behave_hang},
	{"leave", behave_leave},
	{"garbage", behave_garbage},
	{"greet-hang", behave_greet_and_hang},
	{"greet-leave", behave_greet_and_leave},
	{"flood", behave_flood},
	{"skip", behave_skip},
	{"die", behave_die},
	{"murder", behave_murder},
	{"stop", behave_stop},
};

int main(int argc, char **argv)
{
	last = argc > 2 ? argv[2] : "";
	for (size_t i = 0; argc > 1 && i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
		if (strcmp(argv[1], behaviours[i].name) == 0) {
			behaviours[i].behave();
			return 0;
		}
	}
	return 2;
}
