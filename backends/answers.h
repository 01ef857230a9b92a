/*
 * What a tool has answered to a question whose answer depends on files alone: its help depends on its
 * program. Asking takes a process and up to 30 ms, which no session should wait for twice. Answers are
 * kept below runtime_open() until the file changes, the machine boots, or somebody removes them.
 *
 * Nothing rests on an answer being remembered: what goes wrong here means asking again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ANSWERS_MAX 65536

/* Which file at which time: its inode, size and times of change, as one line. */
struct answers_key {
	char text[1024];
};

/* The key of the file path as it is now: take it before asking. False when there is no such file. */
bool answers_key(const char *path, struct answers_key *ret);

/*
 * The answer to question (a name for a file) that was kept with this key: into text, cut at size,
 * NUL-terminated.
 */
bool answers_recall(const char *question, const struct answers_key *key, char *text, size_t size);

/* Keeps text for answers_recall(). */
void answers_keep(const char *question, const struct answers_key *key, const char *text);
