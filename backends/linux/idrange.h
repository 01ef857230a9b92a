/*
 * A range of user and group ids for one session, so that no two live sessions share an id and none
 * shares one with the host. Held by a locked file: it is free again when the holder closes it or
 * dies, however it dies.
 */
#pragma once

#include <stdint.h>

#include "backends/host.h"
#include "base/err.h"

#define IDRANGE_SIZE 65536U
#define IDRANGE_DIRECTORY "/run/cloche/ids"

struct idrange {
	uint32_t base; /* first id on the host; IDRANGE_SIZE of them are ours */
	int lock; /* close-on-exec; closing it (idrange_release()) frees the range */
};

/*
 * Takes a free range of [host->id_base, host->id_base + host->id_count), starting the search at a
 * random place. 0, -ENOTSUP when the host has none to give, -EBUSY when all are taken, or another
 * negative errno.
 */
int idrange_take(const struct host *host, struct idrange *ret, struct err *err);

/* Gives it back. Only when no process and no file of the session is left. */
void idrange_release(struct idrange *range);

/* Removes lock files that nobody holds. Returns how many, or negative errno. */
int idrange_sweep(void);
