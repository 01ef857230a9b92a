/*
 * The keys of the configuration, one table a section. The tables decide what is accepted, what the
 * defaults are and what is printed, and the manual page is tested against them. The keys of a sandbox
 * inside a profile are not here: they are spec_keys[] of backends/spec.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "session/config.h"

enum config_type {
	CONFIG_BOOL,
	CONFIG_COUNT, /* whole number, uint64_t */
	CONFIG_DURATION, /* seconds, uint64_t */
	CONFIG_SIZE, /* bytes, uint64_t */
	CONFIG_TEXT, /* char * */
	CONFIG_LIST, /* char ** */
	CONFIG_BLOCK, /* bits4:bits6, two uint64_t in a row */
	CONFIG_STARTUPS, /* begin:rate:full, three uint64_t in a row */
	CONFIG_INHERIT, /* a name that the loader itself understands; no field */
	CONFIG_SECTION, /* keys and values of their own, which the loader reads; no field */
};

struct config_key {
	const char *name;
	enum config_type type;
	size_t offset; /* in struct config, config_profile or config_user */
	uint64_t min, max; /* for numbers */
	/* Checks one text or item and makes the copy that is kept; NULL: anything, copied. */
	int (*read)(const char *text, char **ret, struct err *err);
	const char *unset; /* the word that stands for NULL, or NULL: there is none */
	const char *preset; /* the default, as -o would set it; NULL: nothing */
	const char *preset_says; /* for the manual, where preset does not say it */
	bool path; /* relative paths are made whole when they come from the command line */
	const char *help; /* one line */
};

/* Each ends with a NULL name. */
extern const struct config_key config_server_keys[];
extern const struct config_key config_profile_keys[];
extern const struct config_key config_user_keys[];
extern const struct config_key config_rule_keys[]; /* of struct config_rule */
extern const struct config_key config_when_keys[]; /* of struct config_when */

/* The key called exactly that, or NULL. */
const struct config_key *config_key_find(const struct config_key *keys, const char *name);

/*
 * The name nearest to a mistyped one among keys and spec (which may be NULL), or NULL: for "did you mean".
 */
const char *config_key_suggest(
	const struct config_key *keys, const struct spec_key *spec, const char *name);

/* Sets a key of base from text; lists are appended to. 0, or -EINVAL / -ENOMEM with err. */
int config_key_set(const struct config_key *key, void *base, const char *text, struct err *err);

/* The same for lists from items separated by commas. */
int config_key_set_items(
	const struct config_key *key, void *base, const char *text, struct err *err);

/* Sets what has a default, and zeroes the rest. base is taken to be empty. 0 or -ENOMEM. */
int config_keys_preset(const struct config_key *keys, void *base);

/* Frees what the key owns and empties it. */
void config_key_clear(const struct config_key *key, void *base);
void config_keys_clear(const struct config_key *keys, void *base);

/* Moves the key's value, letting the old one go; from is left empty. */
void config_key_move(const struct config_key *key, void *from, void *to);

/* Replaces the value in to by a copy of the one in from. 0 or -ENOMEM, with to emptied. */
int config_key_copy(const struct config_key *key, const void *from, void *to);

/* Copies all keys into an empty struct. 0 or -ENOMEM; half-built then, to be cleared. */
int config_keys_copy(const struct config_key *keys, const void *from, void *to);

/* A profile with all defaults; a copy under another name; its end. 0 or -ENOMEM; fini after both. */
int config_profile_init(struct config_profile *profile, const char *name);
int config_profile_copy(
	const struct config_profile *from, const char *name, struct config_profile *ret);
void config_profile_fini(struct config_profile *profile);

void config_rule_fini(struct config_rule *rule); /* accepts a zeroed one */

/* Is there a value to print? False for an unset text that has no word for it. */
bool config_key_is_set(const struct config_key *key, const void *base);

/* Prints the value as YAML that reads back the same. */
void config_key_print(const struct config_key *key, const void *base, FILE *out);

/* The same for the keys of a sandbox; "is set": differs from what spec_init() gives. */
bool config_spec_key_is_set(const struct spec_key *key, const struct spec *spec);
void config_spec_key_print(const struct spec_key *key, const struct spec *spec, FILE *out);
