/*
 * Sources are in one table a family: entries in an array, found by a keyed hash over their address,
 * so that nobody can choose addresses that collide. Entries that are not used cost no memory.
 *
 * Users are few, and in shared memory. The listener alone writes: the end of the time is zero while
 * a row is being changed, so that a reader who sees the same end before and after has read the row
 * of that end.
 */
#include "session/penalties.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sodium.h>

#define USEC UINT64_C(1000000)
#define NOBODY UINT32_MAX

/* What one has coming. */
struct sentence {
	uint64_t ends;
	bool enforced;
	uint8_t reason;
};

struct entry {
	struct source source; /* family 0: not in use */
	struct sentence sentence;
	uint32_t next; /* of the same hash, or of those not in use */
};

struct table {
	struct entry entries[PENALTIES_MAX_SOURCES];
	uint32_t heads[PENALTIES_MAX_SOURCES]; /* index + 1; 0: none */
	uint32_t touched; /* entries below this one have been used at least once */
	uint32_t unused; /* index + 1 of the first below touched that is not in use */
	size_t count;
	uint64_t earliest; /* no entry ends before */
};

struct user_row {
	atomic_ullong ends; /* 0: not in use, or being changed */
	atomic_uint enforced, reason;
	char name[PENALTIES_NAME];
};

struct penalties {
	struct table *tables[2]; /* of IPv4, IPv6 */
	struct user_row *users; /* shared */
	unsigned char key[crypto_shorthash_KEYBYTES];
};

const char *penalty_name(enum penalty reason)
{
	static const char *const names[] = {
		[PENALTY_CRASH] = "crash",
		[PENALTY_AUTHFAIL] = "authfail",
		[PENALTY_INVALIDUSER] = "invaliduser",
		[PENALTY_GRACE_EXCEEDED] = "grace_exceeded",
		[PENALTY_REFUSECONNECTION] = "refuseconnection",
		[PENALTY_NOAUTH] = "noauth",
		[PENALTY_FORK_BOMB] = "fork_bomb",
		[PENALTY_OOM] = "oom",
		[PENALTY_SESSION_FLOOD] = "session_flood",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == PENALTY_COUNT, "one name a reason");

	return (unsigned)reason < PENALTY_COUNT ? names[reason] : "unknown";
}

int penalties_new(struct penalties **ret)
{
	struct penalties *penalties = calloc(1, sizeof(*penalties));

	if (!penalties) {
		return -ENOMEM;
	}
	crypto_shorthash_keygen(penalties->key);
	for (size_t i = 0; i < 2; i++) {
		/* So large that it is mapped, and only what is touched becomes memory. */
		penalties->tables[i] = calloc(1, sizeof(struct table));
	}
	penalties->users = mmap(NULL, PENALTIES_USERS * sizeof(struct user_row),
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (penalties->users == MAP_FAILED) {
		penalties->users = NULL;
	}
	if (!penalties->tables[0] || !penalties->tables[1] || !penalties->users) {
		penalties_free(penalties);
		return -ENOMEM;
	}
	*ret = penalties;
	return 0;
}

struct penalties *penalties_free(struct penalties *penalties)
{
	if (penalties) {
		free(penalties->tables[0]);
		free(penalties->tables[1]);
		if (penalties->users) {
			(void)munmap(penalties->users, PENALTIES_USERS * sizeof(struct user_row));
		}
		free(penalties);
	}
	return NULL;
}

/* Adds seconds to what is left, and decides whether it has become enough. */
static bool lengthen(struct sentence *sentence, const struct penalty_rules *rules,
	enum penalty reason, uint64_t times, uint64_t now)
{
	uint64_t most = rules->most * USEC;
	uint64_t seconds = rules->seconds[reason];
	/* Both are bounded by the configuration; times is what needs care. */
	uint64_t added = seconds && times > rules->most / seconds ? most : times * seconds * USEC;

	if (sentence->ends <= now) {
		*sentence = (struct sentence){.ends = now};
	}
	sentence->ends += added;
	if (sentence->ends > now + most) {
		sentence->ends = now + most;
	}
	/* What is told and listed is why, not the trifle that came after it. */
	if (!sentence->enforced || seconds >= rules->seconds[sentence->reason]) {
		sentence->reason = (uint8_t)reason;
	}
	bool before = sentence->enforced;
	sentence->enforced = before || sentence->ends - now >= rules->least * USEC;
	return sentence->enforced && !before;
}

static uint64_t seconds_left(uint64_t ends, uint64_t now)
{
	return ends > now ? (ends - now + USEC - 1) / USEC : 0;
}

/* ---- sources ---- */

static struct table *table_of(const struct penalties *penalties, const struct source *source)
{
	return penalties->tables[source->family == 6];
}

static uint32_t *head_of(const struct penalties *penalties, const struct source *source)
{
	uint8_t bytes[17];
	uint64_t hash = 0;

	bytes[0] = source->family;
	memcpy(bytes + 1, source->bytes, 16);
	crypto_shorthash((unsigned char *)&hash, bytes, sizeof(bytes), penalties->key);
	return &table_of(penalties, source)->heads[hash % PENALTIES_MAX_SOURCES];
}

static struct entry *find(const struct penalties *penalties, const struct source *source)
{
	struct table *table = table_of(penalties, source);

	for (uint32_t i = *head_of(penalties, source); i; i = table->entries[i - 1].next) {
		if (source_is_equal(&table->entries[i - 1].source, source)) {
			return &table->entries[i - 1];
		}
	}
	return NULL;
}

static void forget(const struct penalties *penalties, struct table *table, uint32_t index)
{
	uint32_t *link = head_of(penalties, &table->entries[index].source);

	while (*link != index + 1) {
		link = &table->entries[*link - 1].next;
	}
	*link = table->entries[index].next;
	table->entries[index] = (struct entry){.next = table->unused};
	table->unused = index + 1;
	table->count--;
}

/* Takes out what has ended. The one that ends first of the rest, or NOBODY. */
static uint32_t clean(const struct penalties *penalties, struct table *table, uint64_t now)
{
	uint32_t first = NOBODY;

	table->earliest = UINT64_MAX;
	for (uint32_t i = 0; i < table->touched; i++) {
		const struct entry *entry = &table->entries[i];
		if (entry->source.family == 0) {
			continue;
		}
		if (entry->sentence.ends <= now) {
			forget(penalties, table, i);
		} else if (entry->sentence.ends < table->earliest) {
			table->earliest = entry->sentence.ends;
			first = i;
		}
	}
	return first;
}

/* A new entry, or NULL when the table is full and stays so. */
static struct entry *make(struct penalties *penalties, const struct penalty_rules *rules,
	const struct source *source, uint64_t now)
{
	struct table *table = table_of(penalties, source);
	size_t room = source->family == 6 ? rules->room6 : rules->room4;
	uint32_t *head = head_of(penalties, source);
	uint32_t index = 0;

	if (table->count >= room) {
		index = clean(penalties, table, now);
		if (!rules->deny_all && table->count >= room && index != NOBODY) {
			forget(penalties, table, index);
		}
		/* A reload has made it smaller. */
		for (uint32_t i = 0; !rules->deny_all && table->count >= room; i++) {
			if (table->entries[i].source.family) {
				forget(penalties, table, i);
			}
		}
	}
	if (table->count >= room) {
		return NULL;
	}
	if (table->unused) {
		index = table->unused - 1;
		table->unused = table->entries[index].next;
	} else {
		index = table->touched++;
	}
	table->entries[index] = (struct entry){.source = *source, .next = *head};
	*head = index + 1;
	table->count++;
	return &table->entries[index];
}

bool penalties_add(struct penalties *penalties, const struct penalty_rules *rules,
	const struct source *source, enum penalty reason, uint64_t times, uint64_t now)
{
	struct source block = source_mask(*source, rules->bits4, rules->bits6);
	struct entry *entry = NULL;

	bool begins = false;

	if (source->family == 0 || rules->seconds[reason] == 0 || times == 0) {
		return false;
	}
	entry = find(penalties, &block);
	entry = entry ? entry : make(penalties, rules, &block, now);
	if (entry) {
		struct table *table = table_of(penalties, &block);
		begins = lengthen(&entry->sentence, rules, reason, times, now);
		if (table->count == 1 || entry->sentence.ends < table->earliest) {
			table->earliest = entry->sentence.ends;
		}
	}
	return begins;
}

enum penalties_answer penalties_check(struct penalties *penalties,
	const struct penalty_rules *rules, const struct source *source, uint64_t now,
	uint64_t *ret_seconds, enum penalty *ret_reason)
{
	struct source block = source_mask(*source, rules->bits4, rules->bits6);
	struct table *table = table_of(penalties, &block);
	size_t room = block.family == 6 ? rules->room6 : rules->room4;
	const struct entry *entry = block.family ? find(penalties, &block) : NULL;

	if (entry && entry->sentence.enforced && entry->sentence.ends > now) {
		*ret_seconds = seconds_left(entry->sentence.ends, now);
		*ret_reason = entry->sentence.reason;
		return PENALTIES_SOURCE;
	}
	if (!rules->deny_all || table->count < room) {
		return PENALTIES_NONE;
	}
	if (now >= table->earliest) {
		(void)clean(penalties, table, now);
	}
	return table->count < room ? PENALTIES_NONE : PENALTIES_FULL;
}

/* ---- users ---- */

static struct user_row *find_user(const struct penalties *penalties, const char *user)
{
	for (size_t i = 0; i < PENALTIES_USERS; i++) {
		struct user_row *row = &penalties->users[i];
		if (atomic_load(&row->ends) && strcmp(row->name, user) == 0) {
			return row;
		}
	}
	return NULL;
}

/* A row that is free or has ended, else the one that ends first. */
static struct user_row *make_user(const struct penalties *penalties)
{
	struct user_row *best = &penalties->users[0];

	for (size_t i = 1; i < PENALTIES_USERS; i++) {
		struct user_row *row = &penalties->users[i];
		if (atomic_load(&row->ends) < atomic_load(&best->ends)) {
			best = row;
		}
	}
	return best;
}

bool penalties_add_user(struct penalties *penalties, const struct penalty_rules *rules,
	const char *user, enum penalty reason, uint64_t times, uint64_t now)
{
	struct user_row *row = *user ? find_user(penalties, user) : NULL;
	struct sentence sentence = {0};

	if (!*user || rules->seconds[reason] == 0 || times == 0) {
		return false;
	}
	if (row) {
		sentence.ends = atomic_load(&row->ends);
		sentence.enforced = atomic_load(&row->enforced);
		sentence.reason = (uint8_t)atomic_load(&row->reason);
	} else {
		row = make_user(penalties);
	}
	bool begins = lengthen(&sentence, rules, reason, times, now);
	atomic_store(&row->ends, 0);
	(void)snprintf(row->name, sizeof(row->name), "%s", user);
	atomic_store(&row->enforced, sentence.enforced);
	atomic_store(&row->reason, sentence.reason);
	atomic_store(&row->ends, sentence.ends);
	return begins;
}

/* A copy of a row that holds together. False for one without time left, or that is being changed. */
static bool read_user(const struct user_row *row, uint64_t now, struct penalty_row *ret)
{
	uint64_t ends = atomic_load(&row->ends);

	if (ends <= now) {
		return false;
	}
	*ret = (struct penalty_row){
		.reason = (enum penalty)atomic_load(&row->reason),
		.enforced = atomic_load(&row->enforced),
		.seconds = seconds_left(ends, now),
	};
	memcpy(ret->user, row->name, sizeof(ret->user) - 1);
	return atomic_load(&row->ends) == ends;
}

uint64_t penalties_check_user(
	const struct penalties *penalties, const char *user, uint64_t now, enum penalty *ret_reason)
{
	for (size_t i = 0; i < PENALTIES_USERS; i++) {
		struct penalty_row row;
		if (read_user(&penalties->users[i], now, &row) && row.enforced &&
			strcmp(row.user, user) == 0) {
			*ret_reason = row.reason;
			return row.seconds;
		}
	}
	return 0;
}

/* ---- all of them ---- */

static bool read_entry(const struct entry *entry, uint64_t now, struct penalty_row *ret)
{
	if (entry->source.family == 0 || entry->sentence.ends <= now) {
		return false;
	}
	*ret = (struct penalty_row){
		.source = entry->source,
		.reason = (enum penalty)entry->sentence.reason,
		.enforced = entry->sentence.enforced,
		.seconds = seconds_left(entry->sentence.ends, now),
	};
	return true;
}

bool penalties_next(
	const struct penalties *penalties, uint64_t now, size_t *position, struct penalty_row *ret)
{
	for (; *position < 2 * PENALTIES_MAX_SOURCES; (*position)++) {
		const struct table *table = penalties->tables[*position / PENALTIES_MAX_SOURCES];
		size_t i = *position % PENALTIES_MAX_SOURCES;
		if (i < table->touched && read_entry(&table->entries[i], now, ret)) {
			(*position)++;
			return true;
		}
	}
	for (; *position < 2 * PENALTIES_MAX_SOURCES + PENALTIES_USERS; (*position)++) {
		size_t i = *position - (size_t)(2 * PENALTIES_MAX_SOURCES);
		if (read_user(&penalties->users[i], now, ret)) {
			(*position)++;
			return true;
		}
	}
	return false;
}

static size_t clear_all(struct penalties *penalties)
{
	size_t count = 0;

	for (size_t t = 0; t < 2; t++) {
		struct table *table = penalties->tables[t];
		for (uint32_t i = 0; i < table->touched; i++) {
			if (table->entries[i].source.family) {
				forget(penalties, table, i);
				count++;
			}
		}
	}
	for (size_t i = 0; i < PENALTIES_USERS; i++) {
		count += atomic_exchange(&penalties->users[i].ends, 0) != 0;
	}
	return count;
}

size_t penalties_clear(struct penalties *penalties, const struct penalty_rules *rules,
	const struct source *source, const char *user)
{
	if (source) {
		struct source block = source_mask(*source, rules->bits4, rules->bits6);
		const struct entry *entry = find(penalties, &block);
		struct table *table = table_of(penalties, &block);
		if (entry) {
			forget(penalties, table, (uint32_t)(entry - table->entries));
		}
		return entry != NULL;
	}
	if (user) {
		struct user_row *row = find_user(penalties, user);
		if (row) {
			atomic_store(&row->ends, 0);
		}
		return row != NULL;
	}
	return clear_all(penalties);
}
