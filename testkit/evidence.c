#include "testkit/evidence.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "testkit/look.h"
#include "testkit/ssh.h"

void look_detail(struct look *look, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(look->outcome->detail, sizeof(look->outcome->detail), format, args);
	va_end(args);
}

void look_conclude(struct look *look, bool seen, enum evidence_level level)
{
	look->outcome->evidence = seen ? EVIDENCE_SEEN : EVIDENCE_UNSEEN;
	look->outcome->level = level;
}

bool look_is_done(const struct look *look)
{
	return look->answer->claim == CLAIM_DONE;
}

bool look_has_setting(const struct look *look, const char *name)
{
	char key[64];
	const struct buf *job = &look->context->canary->settings;

	(void)snprintf(key, sizeof(key), "set %s ", name);
	return job->size > 0 && memmem(job->data, job->size, key, strlen(key));
}

bool look_reached(const struct look *look)
{
	return look->context->canary->reached[probe_index(look->probe)];
}

bool look_text_is(const struct look *look, const char *text)
{
	size_t size = look->answer->size;

	while (size > 0 &&
		(look->answer->text[size - 1] == '\n' || !look->answer->text[size - 1])) {
		size--;
	}
	return size == strlen(text) && memcmp(look->answer->text, text, size) == 0;
}

/* Without any eyes of the host's a right token is proof, a wrong one a lie, a refusal only a word. */
void look_token(struct look *look, const char *token)
{
	if (look_is_done(look)) {
		look_conclude(look, look_text_is(look, token), LEVEL_TOKEN);
	}
}

void look_own_token(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];

	look_token(look, canary_token(look->context->canary, arg ? arg : look->probe->id, token));
}

void look_ground_token(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];

	look_token(look, ground_token(look->context->ground, 0, arg, token));
}

/* A listener of ours heard of it. arg: the setting that says where it listens. */
void look_message(struct look *look, const char *arg)
{
	if (look_has_setting(look, arg)) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

/* Both: the canary heard, and the client knows what it answered. */
void look_message_and_token(struct look *look, const char *arg)
{
	look_message(look, arg);
	if (!look_reached(look)) {
		look_own_token(look, NULL);
		if (look->outcome->evidence == EVIDENCE_NONE && look_has_setting(look, arg)) {
			look_conclude(look, false, LEVEL_EVENT);
		}
	}
}

void look_opened(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->canary->inotify >= 0) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

void look_shares_namespace(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	size_t which = (size_t)(arg[0] - '0');

	if (theirs->found && theirs->namespaces[which]) {
		look_conclude(
			look, theirs->namespaces[which] == theirs->beside[which], LEVEL_STATE);
		look_detail(look, "inode %" PRIu64, theirs->namespaces[which]);
	}
}

/* ---- the tables ---- */

/* Ways of looking that several tables have. */
static const struct evidence_kind shared_kinds[] = {
	{look_message, "E2: the canary's listener, pipe or queue got the message", false},
	{look_message_and_token, "E2: the canary got the connection; E1: its token came back",
		false},
	{look_opened, "E2: inotify saw the canary being opened", false},
	{look_own_token, "E1: a token that only the canary held came back", true},
	{look_ground_token, "E1: a token that only the launcher held came back", true},
	{look_shares_namespace, "E3: the namespace's number in /proc, compared by the host", false},
	{NULL, NULL, false},
};

static const struct evidence_row no_rows[] = {{NULL, NULL, NULL}};
static const struct evidence_table evidence_shared = {no_rows, shared_kinds, NULL};

static const struct evidence_table *const tables[] = {
	&evidence_shared,
	&evidence_files,
	&evidence_objects,
	&evidence_calls,
	&evidence_state,
	&evidence_leaks,
	&evidence_limits,
	&evidence_filter,
	&evidence_doors,
	&evidence_posture,
	&evidence_regress,
	&evidence_peers,
	&evidence_channels,
};

static const struct evidence_row *find_row(
	const struct probe *probe, const struct evidence_table **ret_table)
{
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct evidence_row *row = tables[t]->rows; row->probe; row++) {
			if (strcmp(row->probe, probe->id) == 0) {
				*ret_table = tables[t];
				return row;
			}
		}
	}
	return NULL;
}

static const struct evidence_kind *find_kind(const struct evidence_row *row)
{
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		const struct evidence_kind *kind = tables[t]->kinds;
		for (; kind && kind->look; kind++) {
			if (kind->look == row->look) {
				return kind;
			}
		}
	}
	return NULL;
}

bool evidence_exists(const struct probe *probe)
{
	const struct evidence_table *table = NULL;
	const struct evidence_row *row = find_row(probe, &table);
	const struct evidence_kind *kind = row ? find_kind(row) : NULL;

	return row && (!kind || !kind->word_only);
}

const char *evidence_text(const struct probe *probe)
{
	const struct evidence_table *table = NULL;
	const struct evidence_row *row = find_row(probe, &table);
	const struct evidence_kind *kind = row ? find_kind(row) : NULL;

	if (row) {
		return kind ? kind->text : table->text;
	}
	return ssh_evidence(probe) ? ssh_evidence(probe)
				   : "E0: the client's word alone, which never decides a promise";
}

/* Where the host could not look, its reason is what a verdict lacks, more than the client's error is. */
static void say_unseen(struct look *look)
{
	const char *unseen = look->context->run->unseen;

	if (unseen[0] && look->outcome->evidence == EVIDENCE_NONE && !look->outcome->detail[0]) {
		look_detail(look, "%s", unseen);
	}
}

static void say_errno(struct look *look)
{
	if (look->outcome->detail[0] || !look->outcome->error) {
		return;
	}
	if (look->outcome->claim == CLAIM_KILLED) {
		look_detail(look, "killed by signal %d", look->outcome->error);
	} else if (look->outcome->claim != CLAIM_TIMEOUT) {
		look_detail(look, "%s", strerror(look->outcome->error));
	}
}

/* Of another kernel's client the host sees the limits around that kernel, and its memory. */
static bool is_visible(const struct run *run, const char *id)
{
	static const char *const ids[] = {
		"R.memory-limit", "R.tasks-limit", "R.cpu-limit", "L.env-host"};
	bool listed = false;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		listed |= strcmp(ids[i], id) == 0;
	}
	return run->outside.found || (listed && run->outside.group);
}

void evidence_collect(const struct evidence_context *context, struct outcome *ret)
{
	for (size_t i = 0; i < probe_count; i++) {
		const struct answer *answer = &context->run->answers[i];
		struct look look = {context, &probe_table[i], answer, &ret[i]};
		bool state = probe_table[i].flags & PROBE_STATE;
		if (state ? !is_visible(context->run, probe_table[i].id) : !answer->asked) {
			continue;
		}
		ret[i] = (struct outcome){.claim = answer->claim,
			.error = answer->error,
			.missing = !state && !answer->answered};
		const struct evidence_table *table = NULL;
		const struct evidence_row *row = find_row(&probe_table[i], &table);
		if (ret[i].missing && context->run->alone) {
			look_detail(&look, "not tried: no client could be brought there");
			continue;
		}
		if (row) {
			row->look(&look, row->arg);
		}
		say_unseen(&look);
		say_errno(&look);
	}
}
