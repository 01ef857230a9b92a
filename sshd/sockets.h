/*
 * The addresses we listen on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define SOCKETS_MAX 16

struct sockets {
	struct {
		int fd;
		char *name; /* as configured; NULL: handed over by a service manager */
	} items[SOCKETS_MAX];
	size_t count;
};

/*
 * Opens a listening socket for each of "127.0.0.1:2222", "[::1]:2222", "*:2222" (both families).
 * Those that old (may be NULL) has open already are shared with it. On failure *ret is untouched
 * and nothing stays open. 0 or negative errno.
 */
int sockets_open(char *const *listen, struct sockets *old, struct sockets *ret, struct err *err);

/*
 * Takes count sockets from descriptor 3 on. -EINVAL with err, and none is taken, unless all are TCP
 * sockets that listen: anything else would be reported as readable for ever and serve nobody.
 */
int sockets_adopt(size_t count, struct sockets *ret, struct err *err);

/* Where the i-th really listens: a port of 0 is chosen by the kernel. */
void sockets_format(const struct sockets *sockets, size_t i, char *text, size_t size);

/* In a child that has other things to do: only the descriptors, no memory is touched. */
void sockets_close_fds(const struct sockets *sockets);

/* Closes all. Accepts a zeroed one. */
void sockets_close(struct sockets *sockets);
