/*
 * Limits: what is in force, and how far the client came against it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testkit/look.h"
#include "testkit/room.h"

#define MIB (UINT64_C(1) << 20)

/*
 * Around another kernel that nobody looked into: its own tasks count as well there, and what limits
 * those of its session is inside. Such a number can show that a promise is kept, not that it is broken.
 */
static bool is_around(const struct outside *theirs)
{
	return theirs->group && !theirs->found;
}

static void limit_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	const struct limits *limits = look->context->limits;
	const struct {
		char name;
		uint64_t declared, found, slack;
	} table[] = {
		{'m', limits->memory, theirs->memory_limit, 4096},
		{'t', limits->tasks, theirs->tasks_limit,
			16}, /* init and the like are counted too */
		{'c', limits->cpu_milli, theirs->cpu_limit, 10},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].name != arg[0]) {
			continue;
		}
		bool open = table[i].found == 0 ||
			(table[i].declared && table[i].found > table[i].declared + table[i].slack);
		if (open && arg[0] == 't' && is_around(theirs)) {
			return;
		}
		look_conclude(look, open, LEVEL_STATE);
		look_detail(look, "declared %" PRIu64 ", in force %" PRIu64 "%s", table[i].declared,
			table[i].found, table[i].found ? "" : " (none)");
	}
}

static void disk_state(struct look *look, const char *arg)
{
	const struct limits *limits = look->context->limits;
	const struct outside *theirs = &look->context->run->outside;
	uint64_t room = theirs->room;
	char where[128] = "";
	char scope[96];
	bool bounded = false;

	(void)arg;
	if (theirs->elsewhere ? theirs->room_known < 0 : theirs->mount_count == 0) {
		return;
	}
	(void)snprintf(scope, sizeof(scope), "%s/scope", look->context->ground->root);
	(void)snprintf(where, sizeof(where), "%s", theirs->room_where);
	bounded = theirs->elsewhere
		? theirs->room_known == 1
		: room_measure(look->context->own, theirs, scope, &room, where, sizeof(where));
	if (!bounded) {
		look_conclude(look, true, LEVEL_STATE);
		look_detail(look, "%s", where);
		return;
	}
	look_conclude(look, limits->disk && room > limits->disk + MIB, LEVEL_STATE);
	look_detail(look, "declared %" PRIu64 ", room %" PRIu64, limits->disk, room);
}

static uint64_t leading_number(const struct answer *answer)
{
	return strtoull((const char *)answer->text, NULL, 10);
}

/* In the control nobody lies: our own program, outside. Its word is that the machine can do it. */
static bool control_word(struct look *look)
{
	if (look->context->control) {
		if (look_is_done(look)) {
			look_conclude(look, true, LEVEL_CLAIM);
		}
		return true;
	}
	return false;
}

static void memory_used(struct look *look, const char *arg)
{
	uint64_t peak = look->context->run->memory_peak;
	uint64_t limit = look->context->limits->memory;

	(void)arg;
	if (!control_word(look) && peak && limit) {
		look_conclude(look, peak > limit + limit / 20, LEVEL_EVENT);
		look_detail(look, "peak %" PRIu64 " of %" PRIu64, peak, limit);
	}
}

static void tasks_used(struct look *look, const char *arg)
{
	uint64_t limit = look->context->limits->tasks;
	uint64_t made = leading_number(look->answer);
	const struct outside *theirs = &look->context->run->outside;
	bool loose = theirs->tasks_limit > limit + 16;

	(void)arg;
	if (!control_word(look) && limit && theirs->tasks_limit &&
		!(loose && made <= limit + 4 && is_around(theirs))) {
		look_conclude(look, made > limit + 4 || loose, LEVEL_STATE);
		look_detail(look, "%" PRIu64 " made, limit %" PRIu64, made, limit);
	}
}

/* The budget is refilled each tenth of a second: one refill more than the share fits in. */
static void cpu_used(struct look *look, const char *arg)
{
	uint64_t limit = look->context->limits->cpu_milli;
	const struct run *run = look->context->run;
	const bool control = look->context->control;
	const char *second = strchr((const char *)look->answer->text, ' ');
	uint64_t told = second ? strtoull(second + 1, NULL, 10) : 0;
	uint64_t wall = control ? told : run->cpu_wall_usec / 1000;
	uint64_t used = control ? leading_number(look->answer) : run->cpu_used_usec;
	uint64_t allowed = limit * (wall + 100);

	(void)arg;
	if (limit && wall && used) {
		look_conclude(look, used > allowed + allowed / 10, LEVEL_EVENT);
		look_detail(look, "%" PRIu64 " us in %" PRIu64 " ms", used, wall);
	}
}

static void disk_used(struct look *look, const char *arg)
{
	uint64_t written = leading_number(look->answer);
	uint64_t limit = look->context->limits->disk;

	if (!control_word(look) && limit) {
		disk_state(look, arg);
		if (look->outcome->evidence != EVIDENCE_NONE) {
			look_conclude(look,
				written > limit || look->outcome->evidence == EVIDENCE_SEEN,
				LEVEL_STATE);
			look_detail(look, "%" PRIu64 " written, limit %" PRIu64, written, limit);
		}
	}
}

static void time_used(struct look *look, const char *arg)
{
	const struct run *run = look->context->run;
	uint64_t lived = (run->ended_usec - run->started_usec) / 1000;

	(void)arg;
	if (!control_word(look)) {
		look_conclude(look, run->ended || run->timed_out, LEVEL_EVENT);
		look_detail(look, "lived %" PRIu64 " ms", lived);
	}
}

static const struct evidence_row rows[] = {
	{"R.memory-limit", limit_state, "m"},
	{"R.tasks-limit", limit_state, "t"},
	{"R.cpu-limit", limit_state, "c"},
	{"R.disk-limit", disk_state, NULL},
	{"R.memory", memory_used, NULL},
	{"R.tasks", tasks_used, NULL},
	{"R.cpu", cpu_used, NULL},
	{"R.disk", disk_used, NULL},
	{"R.time", time_used, NULL},
	{NULL, NULL, NULL},
};

static const struct evidence_kind kinds[] = {
	{limit_state, "E3: the limits of its control group", false},
	{disk_state, "E3: the sizes of its writable mounts", false},
	{memory_used, "E3: the most its control group has used", false},
	{tasks_used, "E3: the limit of its control group, with the count the client reached",
		false},
	{cpu_used, "E2: the processor time that the host saw it use", false},
	{disk_used, "E3: the sizes of its writable mounts, with what the client could write",
		false},
	{time_used, "E2: whether it was still there after the limit", false},
	{NULL, NULL, false},
};

const struct evidence_table evidence_limits = {rows, kinds, NULL};
