/*
 * The limit of a home directory that lasts, while sessions use it. Where the file system keeps it (project quotas),
 * there is nothing to watch. Elsewhere the home is counted before a session starts and again while sessions
 * run, the more seldom the longer counting takes, and not at all while nothing is written to its file system.
 *
 * So more than the limit can be written for as long as the pause and the count take: HOME_PAUSE_MIN at best,
 * HOME_PAUSE_MAX at worst; and what is no longer in the directory but still open is not seen. One watch a
 * connection: a connection is one login's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "session/home-count.h"

#define HOME_PAUSE_MIN UINT64_C(1000000) /* microseconds between two counts */
#define HOME_PAUSE_MAX UINT64_C(60000000)

struct home_watch {
	int home; /* -1: nothing is watched */
	uint64_t quota;
	struct home_count *count; /* under way, or NULL */
	struct home_use use; /* by the last count that was finished */
	uint64_t began, took; /* of the count that is under way, or was last */
	uint64_t counted_at, next_at;
	uint64_t blocks, files; /* free ones of its file system at that time */
	bool warned; /* that it is nearly full */
	bool told; /* that it is over */
};

enum home_news { HOME_NOTHING, HOME_NEAR, HOME_OVER };

void home_watch_init(struct home_watch *watch);
void home_watch_fini(struct home_watch *watch); /* leaves an emptied one */

/*
 * Before a session starts: makes the home at path (session/homes.h) if it is not there, and sees to its limit (0:
 * none, and an earlier one is lifted). *ret_full: it takes more, or could not be counted in time. Blocks for as long as
 * counting takes, ten seconds at most. 0 or negative errno with err.
 */
int home_watch_begin(struct home_watch *watch, const char *path, uint64_t quota, bool *ret_full,
	struct err *err);

/* When home_watch_step() wants to be called; UINT64_MAX: no need. */
uint64_t home_watch_deadline(const struct home_watch *watch);

/* Does a part of what is due. HOME_NEAR once, when little is left; HOME_OVER ends the watch. */
enum home_news home_watch_step(struct home_watch *watch, uint64_t now);

/* "5.2M of 4.0M", or why it could not be counted. Fills text and returns it. */
const char *home_watch_describe(const struct home_watch *watch, char *text, size_t size);

/*
 * For people who ask what this host gives: how a limit would be kept for homes below the directory above, which may be
 * missing. Static.
 */
const char *home_quota_kind(const char *above);
