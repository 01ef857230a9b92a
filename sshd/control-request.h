/*
 * What a client of the control socket may ask: one line of JSON, {"do": VERB, ...}.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "session/roster.h"

#define CONTROL_MAX_REQUEST 4096

enum control_verb {
	CONTROL_SESSIONS, /* all of them */
	CONTROL_SHOW, /* one: "id" */
	CONTROL_KILL, /* "id", and perhaps "reason" */
	CONTROL_DRAIN,
	CONTROL_PENALTIES,
	CONTROL_JOIN, /* to watch one: "id" */
	CONTROL_CLEAR, /* "who": an address, the name of a user, or "all" */
	CONTROL_VERBS,
};

/* Of fixed size: what the listener is asked to do is handed to it as it is. */
struct control_request {
	enum control_verb verb;
	char id[32];
	char reason[ROSTER_REASON];
	char who[72];
};

/* Does it change anything? Those are for root and the server's own user. */
bool control_verb_changes(enum control_verb verb);

/*
 * Reads a request of at most CONTROL_MAX_REQUEST bytes. A member that the verb does not have, a missing one,
 * one that is too long and text with control bytes are mistakes. 0, or -EINVAL with err for the client.
 */
int control_request_parse(
	const char *text, size_t size, struct control_request *ret, struct err *err);
