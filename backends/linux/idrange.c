#include "backends/linux/idrange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "backends/linux/lockdir.h"
#include "base/cleanup.h"
#include "base/io.h"

/* One file a range, named by its first id; how the files are held is in lockdir.h. */

int idrange_take(const struct host *host, struct idrange *ret, struct err *err)
{
	cleanup_close int directory = -1;
	uint32_t slots = host->id_count / IDRANGE_SIZE;
	uint32_t start;

	if (slots == 0) {
		return err_refuse(err, ENOTSUP, "this host has no ids for a session of its own");
	}
	directory = lockdir_open(IDRANGE_DIRECTORY);
	if (directory < 0) {
		return err_set(err, -directory, "opening %s", IDRANGE_DIRECTORY);
	}
	io_random(&start, sizeof(start));
	for (uint32_t i = 0; i < slots; i++) {
		uint32_t base = host->id_base + (start % slots + i) % slots * IDRANGE_SIZE;
		char name[16];

		(void)snprintf(name, sizeof(name), "%u", base);
		int fd = lockdir_lock(directory, name, O_CREAT);
		if (fd >= 0) {
			*ret = (struct idrange){.base = base, .lock = fd};
			return 0;
		}
		if (fd != -EWOULDBLOCK) {
			return err_set(err, -fd, "locking %s/%s", IDRANGE_DIRECTORY, name);
		}
	}
	return err_refuse(err, EBUSY, "all %u ranges of ids are taken", slots);
}

void idrange_release(struct idrange *range)
{
	lockdir_release(IDRANGE_DIRECTORY, range->base, &range->lock);
}

int idrange_sweep(void)
{
	return lockdir_sweep(IDRANGE_DIRECTORY, NULL);
}
