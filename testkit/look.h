/*
 * One probe being looked at by the host: what the evidence files share. Each of them ends in a table
 * of rows; evidence.c walks the tables.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "testkit/evidence.h"
#include "testkit/outside.h"

struct look {
	const struct evidence_context *context;
	const struct probe *probe;
	const struct answer *answer;
	struct outcome *outcome;
};

struct evidence_row {
	const char *probe;
	void (*look)(struct look *look, const char *arg);
	const char *arg;
};

/* A way of looking, in words: what it finds. A token alone proves what was done, not what was not. */
struct evidence_kind {
	void (*look)(struct look *look, const char *arg);
	const char *text;
	bool word_only;
};

/* Both lists end with NULL; text is for rows whose way of looking is no kind of its own. */
struct evidence_table {
	const struct evidence_row *rows;
	const struct evidence_kind *kinds; /* or NULL */
	const char *text;
};

extern const struct evidence_table evidence_files, evidence_objects, evidence_calls, evidence_state,
	evidence_leaks, evidence_limits, evidence_filter, evidence_doors, evidence_posture,
	evidence_regress, evidence_peers, evidence_channels;

/* What is said of it to people; at most one line. */
void look_detail(struct look *look, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The evidence, with how good it is. */
void look_conclude(struct look *look, bool seen, enum evidence_level level);

/* Did the client say that it was done, and with exactly this text? */
bool look_is_done(const struct look *look);
bool look_text_is(const struct look *look, const char *text);

/* Was the client told of this setting in this run? */
bool look_has_setting(const struct look *look, const char *name);

/* Did an event name this probe? */
bool look_reached(const struct look *look);

/*
 * The word of the client together with what the filter makes of the call. A refusal by a filter that
 * refuses is shut for good; a success through one that lets pass is open; a refusal that the filter
 * does not explain is somebody else's, and only a word. allowed: as outside_allows() says.
 */
void look_door(struct look *look, int allowed);

/* A right token is proof, a wrong one a lie, a refusal only a word. */
void look_token(struct look *look, const char *token);

/* ---- ways of looking that several tables have ---- */

/* The token of the probe, or of the canary that arg names, came back. */
void look_own_token(struct look *look, const char *arg);

/* The same for one that is made once for a measurement. */
void look_ground_token(struct look *look, const char *arg);

/* A listener of ours heard of it. arg: the setting that says where it listens. */
void look_message(struct look *look, const char *arg);

/* Both: the canary heard, and the client knows what it answered. */
void look_message_and_token(struct look *look, const char *arg);

/* The kernel told us that the canary was opened. */
void look_opened(struct look *look, const char *arg);

/* arg: the digit of the namespace (enum outside_namespace) that is or is not the host's own. */
void look_shares_namespace(struct look *look, const char *arg);

/* The filter, asked about the call that the probe tries. */
void look_filter_door(struct look *look, const char *arg);
