/*
 * The loader's own: what its parts share while a configuration is read. config-read.c has the whole and the
 * profiles, config-users.c the users, config-rules.c the rules. Mistakes are put on the report, and reading
 * goes on.
 */
#pragma once

#include "session/config-schema.h"
#include "session/config.h"
#include "session/document.h"
#include "session/report.h"

/* A profile as it was written, and what it comes to once it was asked for. */
struct definition {
	const struct node *name; /* scalar */
	const struct node *body; /* map */
	struct report *report; /* of the text it stands in */
	bool builtin;
	enum { FRESH, RESOLVING, RESOLVED } state;
	struct config_profile profile;
};

struct loading {
	struct report report; /* about the file */
	struct report builtin_report;
	struct node *root, *builtin_root;
	struct definition *definitions; /* the file's, then the built-in ones */
	size_t definition_count;
	struct config config;
	int error; /* -ENOMEM, or 0; what is wrong with the text is in report */
};

/* Where values of one map go: keys of ours, and for profiles the keys of a sandbox as well. */
struct target {
	const char *what; /* "server", for messages */
	const struct config_key *keys;
	void *base;
	struct spec *spec; /* or NULL */
	struct report *report;
};

/* Remembers that memory ran out; anything else is a mistake in the text and is reported. */
bool loading_is_fatal(struct loading *loading, int r);

void loading_complain(struct report *report, const struct node *node, const char *message);

/* The value of key in a map, or NULL. */
const struct node *loading_find(const struct node *map, const char *key);

/* Sets all keys of a map. */
void loading_apply(struct loading *loading, const struct target *target, const struct node *map);

/* The map behind a section's name, or NULL where there is none, complaining where it is something else. */
const struct node *loading_section(
	struct report *report, const struct node *root, const char *name);

/*
 * The profile of this name, which is brought into the configuration if it is a built-in one that the file does
 * not have. NULL, with a complaint at place, where there is none.
 */
const struct config_profile *loading_use_profile(
	struct loading *loading, const char *name, const struct node *place);

void loading_read_users(struct loading *loading);
void loading_read_rules(struct loading *loading);
