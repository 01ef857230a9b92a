/*
 * Addresses and names as clients write them and as a resolver inside the sandbox answers: hostile, both.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

union forward_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* An address of either family, as digits only. False: it is none, and *ret has no family. */
bool forward_read_address(
	const char *number, uint16_t port, union forward_address *ret, socklen_t *ret_size);

bool forward_is_number(const char *host);

/* A name that can be given to a program as an argument, and to a resolver. */
bool forward_is_name(const char *host);

/*
 * Takes the first address of answer, where each line has one before other words, and shortens answer to
 * what comes after it. False: there was none, and answer is empty.
 */
bool forward_take_address(char *answer, char ret[static INET6_ADDRSTRLEN]);
