/*
 * Four IPv4 addresses for one session's link, so that no two live sessions share any. Held by a
 * locked file as ranges of ids are; the file names the interface, so that a sweep finds what is
 * left of an owner that died.
 */
#pragma once

#include <netinet/in.h>

#include "base/err.h"

#define SUBNET_POOL "100.127.128.0/17" /* of the carriers' shared space: in nobody's own network */
#define SUBNET_DIRECTORY "/run/cloche/links"

struct subnet {
	in_addr_t gateway; /* the host's end; network byte order, as all here */
	in_addr_t address; /* the sandbox's */
	in_addr_t netmask;
	unsigned slot;
	int lock; /* close-on-exec; -1: none */
};

/*
 * Takes four addresses whose host's end is no address of the namespace we are in, for the interface
 * called link. 0, -EBUSY when all are taken, or another negative errno.
 */
int subnet_take(const char *link, struct subnet *ret, struct err *err);

/* Gives them back. Only when the interface is gone. Accepts one without a lock. */
void subnet_release(struct subnet *subnet);

/* Removes files that nobody holds, and the interfaces they name. Returns how many, or negative errno. */
int subnet_sweep(void);
