/*
 * How the client gets to where it runs when all that the target gives is a login or a shell: a ladder
 * of ways, tried in order. A way works when a client that came by it greets; nothing else counts,
 * and what the other side says meanwhile is bounded in size and time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ground;
struct target;

/* What is said, on a line of its own, by what only stays because no client comes. */
#define DELIVER_STAYS "cloche-stays"

/* What was found for a target. Everything is its own, and freed by deliver_fini(). */
struct delivery {
	const char *rung; /* the way that works, borrowed; NULL: none does */
	char *command; /* what the shell there runs; NULL: ask for the sftp subsystem instead */
	uint8_t *input; /* what its standard input begins with */
	size_t size;
	char **failures; /* "cat: exit status 127, sh: head: not found", one for each way tried */
	char **uploads; /* paths that we made there by sftp */
};

struct deliver_options {
	const char *only; /* one rung, or NULL: all in order */
	const char *at; /* where the client lies already, or NULL */
};

/* Is this the name of a rung? */
bool deliver_knows(const char *name);

/* Is it absolute, and the same to every shell? */
bool deliver_takes_path(const char *path);

/* Their names in order, each with a comma before it but the first, for messages. Returns text. */
char *deliver_names(char *text, size_t size);

/* Does the target leave it to us how the client comes? */
bool deliver_is_needed(const struct target *target);

/*
 * Tries the ladder on target and keeps in target->delivery what works. When nothing does its rung is
 * NULL, and what it runs then only stays, for the host to look at. 0, or a negative errno with err
 * when there is no memory, the client cannot be read, or we were interrupted.
 */
int deliver_client(struct target *target, const struct ground *ground,
	const struct deliver_options *options, struct err *err);

/* Removes what was uploaded, and frees. */
void deliver_fini(struct target *target);
