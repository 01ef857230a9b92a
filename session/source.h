/*
 * Where a connection comes from, as what is counted and penalised: an address without its port.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define SOURCE_TEXT 46 /* room for source_format() */

struct source {
	uint8_t family; /* 4 or 6; 0: not known */
	uint8_t bytes[16]; /* zero behind what the family has */
};

/* An IPv4 address in an IPv6 one counts as IPv4. */
struct source source_from(const struct sockaddr_storage *address);

/* The peer of a connected socket; family 0 when it has no such address. */
struct source source_of_peer(int socket);

/* The block it belongs to: all bits behind the first bits4 (or bits6) are zero. */
struct source source_mask(struct source source, uint64_t bits4, uint64_t bits6);

bool source_is_equal(const struct source *a, const struct source *b);

/* A numeric address. 0 or -EINVAL. */
int source_parse(const char *text, struct source *ret);

/* Is source in one of the networks ("192.0.2.0/24", "2001:db8::1")? */
bool source_is_in(const struct source *source, char *const *networks);

/* Is this a network source_is_in() can read, with no bits set behind its prefix? */
bool source_network_is_valid(const char *text);

/* Fills text (SOURCE_TEXT bytes) and returns it; "unknown" for family 0. */
char *source_format(const struct source *source, char *text);
