/*
 * Random early drop of connections that have not authenticated, as sshd's MaxStartups
 * begin:rate:full.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct startups {
	uint64_t begin; /* below this many waiting, nobody is dropped */
	uint64_t rate; /* percent that are dropped at begin */
	uint64_t full; /* from this many on, all are */
};

/*
 * Is the next connection dropped, with waiting of them not authenticated? The chance grows in a
 * straight line from rate to 100 percent. dice is a random number from 0 to 99.
 */
bool startups_drop(const struct startups *startups, uint64_t waiting, uint32_t dice);
