#include "backends/linux/subnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/linux/links.h"
#include "backends/linux/lockdir.h"
#include "base/cleanup.h"
#include "base/io.h"

#define POOL_BASE 0x647f8000U /* 100.127.128.0 */
#define POOL_SLOTS 8192U

/*
 * The kernel lets a socket be bound to the host's own addresses only. One that is ours already is
 * the end of a session that is still going away, or of an owner in another /run.
 */
static bool is_ours_already(in_addr_t address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {address}};
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
}

static int take_slot(int directory, unsigned slot, const char *link, struct subnet *ret)
{
	uint32_t base = POOL_BASE + 4 * slot;
	char name[16];

	(void)snprintf(name, sizeof(name), "%u", slot);
	cleanup_close int fd = lockdir_lock(directory, name, O_CREAT);
	if (fd < 0) {
		return fd;
	}
	if (is_ours_already(htonl(base + 1))) {
		return -EWOULDBLOCK;
	}
	if (ftruncate(fd, 0) < 0 || io_write_all(fd, link, strlen(link)) < 0) {
		return -EIO;
	}
	*ret = (struct subnet){.gateway = htonl(base + 1),
		.address = htonl(base + 2),
		.netmask = htonl(0xfffffffcU),
		.slot = slot,
		.lock = take_fd(&fd)};
	return 0;
}

int subnet_take(const char *link, struct subnet *ret, struct err *err)
{
	cleanup_close int directory = lockdir_open(SUBNET_DIRECTORY);
	uint32_t start = 0;

	if (directory < 0) {
		return err_set(err, -directory, "opening %s", SUBNET_DIRECTORY);
	}
	io_random(&start, sizeof(start));
	for (uint32_t i = 0; i < POOL_SLOTS; i++) {
		int r = take_slot(directory, (start + i) % POOL_SLOTS, link, ret);
		if (r != -EWOULDBLOCK) {
			return r < 0 ? err_set(err, -r, "taking addresses for the session") : 0;
		}
	}
	return err_refuse(err, EBUSY, "all %u links of sessions are taken", POOL_SLOTS);
}

void subnet_release(struct subnet *subnet)
{
	lockdir_release(SUBNET_DIRECTORY, subnet->slot, &subnet->lock);
}

/* The interface dies with its namespace; what is still there has lost its owner a moment ago. */
static void delete_left_over(int fd)
{
	char name[16] = "";

	if (pread(fd, name, sizeof(name) - 1, 0) > 3 &&
		(strncmp(name, "cl-", 3) == 0 || strncmp(name, "cx-", 3) == 0)) {
		(void)links_delete(name);
	}
}

int subnet_sweep(void)
{
	return lockdir_sweep(SUBNET_DIRECTORY, delete_left_over);
}
