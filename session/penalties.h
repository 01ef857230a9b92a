/*
 * Who has to wait before it is served again: addresses, for what their connections did, and users,
 * for what their sessions did.
 *
 * Each offence adds its seconds to what is left of the earlier ones, up to a most. As long as less
 * than a least has come together nothing is enforced; from then on until the end all is. The numbers
 * are OpenSSH's (PerSourcePenalties). Tables are of fixed size; when one is full, either the entry
 * that would end first makes room, or everybody unknown is refused until one ends.
 *
 * Only the listener changes them. Users are in memory shared with monitors, which ask.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session/source.h"

#define PENALTIES_MAX_SOURCES 65536
#define PENALTIES_USERS 256
#define PENALTIES_NAME 72

enum penalty {
	/* before login */
	PENALTY_CRASH, /* the process that talks to the client died, or was found lying */
	PENALTY_AUTHFAIL, /* tried to log in, and did not */
	PENALTY_INVALIDUSER, /* the same, as a user there is not */
	PENALTY_GRACE_EXCEEDED,
	PENALTY_REFUSECONNECTION, /* the configuration refuses it */
	PENALTY_NOAUTH, /* went away without trying */
	/* after login; these count for the user as well */
	PENALTY_FORK_BOMB, /* a session ended that had hit its limit of tasks */
	PENALTY_OOM, /* a session ended in which the memory limit had killed */
	PENALTY_SESSION_FLOOD, /* a session was refused, because there were too many */
	PENALTY_COUNT,
};
#define PENALTY_FIRST_OF_SESSIONS PENALTY_FORK_BOMB

/* The word for it in the configuration (behind "penalty_"), the audit log and tables. */
const char *penalty_name(enum penalty reason);

/* The configuration's numbers. Times in seconds. */
struct penalty_rules {
	uint64_t seconds[PENALTY_COUNT];
	uint64_t least, most;
	uint64_t room4, room6; /* addresses of each family */
	uint64_t bits4, bits6; /* addresses that share so many first bits are one source */
	bool deny_all; /* what a full table means */
};

struct penalties;

/* Empty tables. 0 or -errno. */
int penalties_new(struct penalties **ret);
struct penalties *penalties_free(struct penalties *penalties);

/*
 * times offences of a source, or of a user. now: microseconds, as io_now_usec(). True when they have
 * to wait from now on, and did not before.
 */
bool penalties_add(struct penalties *penalties, const struct penalty_rules *rules,
	const struct source *source, enum penalty reason, uint64_t times, uint64_t now);
bool penalties_add_user(struct penalties *penalties, const struct penalty_rules *rules,
	const char *user, enum penalty reason, uint64_t times, uint64_t now);

enum penalties_answer {
	PENALTIES_NONE,
	PENALTIES_SOURCE, /* this source waits */
	PENALTIES_FULL, /* the table is full, and so everybody does */
};

/* Is source served now? With SOURCE, *ret_seconds (rounded up) and *ret_reason are set. */
enum penalties_answer penalties_check(struct penalties *penalties,
	const struct penalty_rules *rules, const struct source *source, uint64_t now,
	uint64_t *ret_seconds, enum penalty *ret_reason);

/* The same for a user, from any process: whole seconds left, or 0. */
uint64_t penalties_check_user(const struct penalties *penalties, const char *user, uint64_t now,
	enum penalty *ret_reason);

/* One row of the tables. */
struct penalty_row {
	struct source source; /* family 0: of a user */
	char user[PENALTIES_NAME];
	enum penalty reason; /* the last */
	bool enforced;
	uint64_t seconds; /* left, rounded up */
};

/* The next row that has time left, from *position (0 at first) on. False at the end. */
bool penalties_next(
	const struct penalties *penalties, uint64_t now, size_t *position, struct penalty_row *ret);

/* Forgets the source (masked as rules say), the user, or with both NULL all. How many it were. */
size_t penalties_clear(struct penalties *penalties, const struct penalty_rules *rules,
	const struct source *source, const char *user);
