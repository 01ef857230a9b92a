/*
 * IP addresses and host names as text from outside: read strictly, and judged. Needs no C library,
 * since the relay has none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_SIZE 256 /* a host name with its terminator */

struct address {
	uint8_t family; /* 4 or 6 */
	uint8_t bytes[16]; /* the first 4 for family 4 */
};

/*
 * Reads an address of exactly length bytes: four decimal numbers without leading zeros, or an IPv6
 * address of hexadecimal groups, one run of them shortened to "::", no embedded IPv4, no zone.
 */
bool address_parse(const char *text, size_t length, struct address *ret);

/*
 * Is it of those nobody reaches unless a rule lists it? Loopback, this network, private, shared,
 * link-local (where cloud metadata lives), protocol, multicast, reserved, and of IPv6 all that is
 * not global unicast, and what only wraps an IPv4 address.
 */
bool address_is_denied(const struct address *address);

bool address_is_within(const struct address *address, const struct address *network, unsigned bits);

/*
 * Reads a host name of exactly length bytes into out: letters, digits and hyphens in labels of 1 to
 * 63, lower-cased, one trailing dot stripped. NUL, controls, empty labels and all else are refused,
 * and so is whatever inet_aton(3) might take for an address: the last label begins with a letter.
 */
bool name_parse(const char *text, size_t length, char out[NAME_SIZE]);

bool name_is_equal(const char *a, const char *b);

/* Is name a proper subdomain of parent? Both as name_parse() leaves them. */
bool name_is_below(const char *name, const char *parent);

/* A decimal port from 1 to 65535 of exactly length bytes, or 0. */
uint16_t port_parse(const char *text, size_t length);
