/*
 * How much a home directory takes, by walking through it: bytes as the file system has them on the disk, so that holes
 * cost nothing, each file once however many names it has, and everything that lies there, whoever owns it.
 *
 * A home is full of what its user has put there, who may change it meanwhile: each name is looked up by itself below
 * an open directory, no link is followed, nothing but directories is opened, and all that is kept is bounded. The walk
 * is done in steps, so that who does it can do other things as well.
 */
#pragma once

#include <stdint.h>

/* At most this much is counted. */
struct home_bounds {
	uint64_t bytes, entries;
};

struct home_use {
	uint64_t bytes, entries;
	const char *
		over; /* static: why it stopped, as in "its files take too much"; NULL: all was counted */
};

struct home_count;

/* What a limit of so many bytes bounds: an entry for each 4 KiB, a thousand at least, a million at most. */
struct home_bounds home_bounds(uint64_t bytes);

/* Begins at home, a directory's descriptor (borrowed). 0 and *ret, or negative errno. */
int home_count_new(int home, const struct home_bounds *bounds, struct home_count **ret);

/* Looks at so many entries more. 1 when it is over, 0 when there is more. */
int home_count_step(struct home_count *count, unsigned entries);

/* What has been counted so far. */
struct home_use home_count_use(const struct home_count *count);

void home_count_free(struct home_count *count); /* accepts NULL */
